//! The intent ledger over texts made by hand: characters that vanish, come twice, or are deleted knowingly, and runs that are interleaved.

mod common;

use common::history::*;
use reconverge_simulator::probe::accounts::Accounts;
use reconverge_strategies::Content;

#[test]
fn characters_vanish_and_come_twice() {
    let script = script();
    let mut history = History::new(&script);
    let first = history.splice(0, "", 0, 0, 3);
    history.applied(&[1, 2], first);
    let text: String = (0..3).map(|n| mark(0, n)).collect();
    // Somebody who saw them deletes two of the three, and writes four of his own.
    let second = history.splice(1, &text, 1, 2, 4);
    history.applied(&[0, 2], second);
    let typed = |n| mark(1, n);
    let end = mark(0, 0) + &typed(0) + &typed(1) + &typed(1) + &typed(3);
    let accounts = history.end(&shown(&[(NOTES, Content::Text(end))]));
    // A character is missing that by the reports is shown: first that has to be reported.
    let contradiction = accounts.expect_err("one of four is missing");
    assert!(contradiction.contains("does not show edit r1.0"), "{contradiction}");
    let end = mark(0, 0) + &typed(0) + &typed(1) + &typed(1) + &typed(2) + &typed(3);
    let accounts = history.end(&shown(&[(NOTES, Content::Text(end))])).expect("all are there");
    let expected = Accounts { kept: 2, text_chars_doubled: 1, ..Accounts::default() };
    assert_eq!(accounts, expected);
    // A rival text takes its place.
    let rival = history.splice(2, "", 0, 0, 1);
    history.applied(&[0, 1], rival);
    for edit in [first, second] {
        history.replaced(&ALL, edit, rival);
    }
    let end = shown(&[(NOTES, Content::Text(mark(2, 0)))]);
    let accounts = history.end(&end).expect("no contradiction");
    // Of the first splice one character vanished, and two were deleted by somebody who saw them; of the second all four.
    let expected = Accounts { kept: 1, lost: 2, text_chars_lost: 5, ..Accounts::default() };
    assert_eq!(accounts, expected);
}

#[test]
fn splices_are_superseded_by_who_deletes_them_and_lost_where_their_deletion_is() {
    let script = script();
    for survives in [false, true] {
        let mut history = History::new(&script);
        let typed = history.splice(0, "", 0, 0, 1);
        history.applied(&[1, 2], typed);
        let deletion = history.splice(1, &mark(0, 0), 0, 1, 0);
        history.applied(&[0, 2], deletion);
        let text = if survives { mark(0, 0) } else { String::new() };
        let accounts =
            history.end(&shown(&[(NOTES, Content::Text(text))])).expect("no contradiction");
        let expected = if survives {
            Accounts { kept: 1, lost: 1, ..Accounts::default() }
        } else {
            Accounts { kept: 1, superseded: 1, ..Accounts::default() }
        };
        assert_eq!(accounts, expected, "survives: {survives}");
    }
}

/// Two people type two words each at the same place. `order` says how the text ends: digits are the numbers of edits.
fn interleaved(knows: bool, order: [u32; 4]) -> u64 {
    let script = script();
    let mut history = History::new(&script);
    let first = history.splice(0, "", 0, 0, 1);
    let second = history.splice(0, &mark(0, 0), 1, 0, 1);
    if knows {
        history.applied(&[1], first);
        history.applied(&[1], second);
    }
    let third = history.splice(1, "", 0, 0, 1);
    let fourth = history.splice(1, &mark(2, 0), 1, 0, 1);
    for edit in [first, second] {
        history.applied(if knows { &[2] } else { &[1, 2] }, edit);
    }
    history.applied(&[0, 2], third);
    history.applied(&[0, 2], fourth);
    let text: String = order.iter().map(|number| mark(*number, 0)).collect();
    let accounts = history.end(&shown(&[(NOTES, Content::Text(text))])).expect("no contradiction");
    assert_eq!(accounts.kept, 4);
    accounts.text_runs_interleaved
}

#[test]
fn runs_are_interleaved_only_by_runs_that_did_not_know_of_them() {
    assert_eq!(interleaved(false, [0, 1, 2, 3]), 0);
    assert_eq!(interleaved(false, [2, 3, 0, 1]), 0);
    assert_eq!(interleaved(false, [0, 2, 3, 1]), 1, "one run broken up by a whole one");
    assert_eq!(interleaved(false, [0, 2, 1, 3]), 2);
    assert_eq!(interleaved(true, [0, 2, 1, 3]), 0, "the second author meant it");
}
