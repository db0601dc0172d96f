//! The intent ledger over histories made by hand, whose accounts are known: each account and each count is reached, and told from its
//! neighbours.

mod common;

use common::history::*;
use reconverge_simulator::fact::{Fact, NotMade};
use reconverge_simulator::probe::accounts::{Accounts, close};
use reconverge_strategies::{
    Alternative, Cell, Change, Content, Edit, EditId, Mark, Refusal, Rendering, ReplicaId, Value,
};

fn conflict(contents: &[Content]) -> Rendering {
    let mut rendering = Rendering::new();
    let alternatives = contents
        .iter()
        .enumerate()
        .map(|(n, content)| Alternative { mark: Mark(n as u128), content: content.clone() });
    rendering.conflict(TITLE, alternatives.collect());
    rendering
}

#[test]
fn an_overwritten_put_is_superseded_where_it_was_known_and_lost_where_not() {
    let script = script();
    for known in [true, false] {
        let mut history = History::new(&script);
        let first = history.put(0);
        if known {
            history.applied(&[1], first);
        }
        let second = history.put(1);
        if known {
            history.replaced(&[1], first, second);
        }
        history.applied(&[0], second);
        history.replaced(&[0], first, second);
        history.applied(&[2], second);
        let accounts = history.end(&shown(&[(TITLE, register(1))])).expect("no contradiction");
        let lost = u64::from(!known);
        let expected = Accounts { kept: 1, superseded: 1 - lost, lost, ..Accounts::default() };
        assert_eq!(accounts, expected, "known: {known}");
        assert_eq!(accounts.asked(), 2);
    }
}

/// Whether the one who overwrote it knew counts, not whether somebody else did.
#[test]
fn a_put_that_only_a_third_party_knew_is_lost() {
    let script = script();
    let mut history = History::new(&script);
    let first = history.put(0);
    history.applied(&[2], first);
    let second = history.put(1);
    history.applied(&[0, 2], second);
    history.replaced(&[0, 2], first, second);
    let accounts = history.end(&shown(&[(TITLE, register(1))])).expect("no contradiction");
    assert_eq!(accounts, Accounts { kept: 1, lost: 1, ..Accounts::default() });
}

/// Only what stood on a screen was shown, be it for the shortest time.
#[test]
fn what_is_applied_and_replaced_in_one_moment_was_never_shown() {
    let script = script();
    for at_once in [true, false] {
        let mut history = History::new(&script);
        let (first, second) = (history.put(0), history.put(1));
        history.applied(&[2], second);
        history.applied(&[2], first);
        let replaced = Change::Replaced { edit: first, by: second };
        if at_once {
            history.and_at_once(2, replaced);
        } else {
            history.report(&[2], replaced);
        }
        history.replaced(&[0], first, second);
        history.applied(&[0], second);
        let third = history.put(2);
        history.applied(&[0, 1], third);
        history.replaced(&ALL, second, third);
        let accounts = history.end(&shown(&[(TITLE, register(2))])).expect("no contradiction");
        let lost = u64::from(at_once);
        let expected = Accounts { kept: 1, superseded: 2 - lost, lost, ..Accounts::default() };
        assert_eq!(accounts, expected, "at once: {at_once}");
        // The second and the third edit on two screens each; the first on one, if on any.
        assert_eq!(history.ledger.histograms.visible.len(), 4 + u64::from(!at_once));
    }
}

#[test]
fn rivals_side_by_side_are_surfaced_and_an_answer_is_reactive() {
    let script = script();
    let mut history = History::new(&script);
    let (first, second) = (history.put(0), history.put(1));
    history.applied(&[1, 2], first);
    history.applied(&[0, 2], second);
    history.report(&[0], Change::Conflicted { cell: TITLE, edit: first, with: second });
    let both = conflict(&[register(0), register(1)]);
    let accounts = history.end(&both).expect("no contradiction");
    assert_eq!(accounts, Accounts { surfaced: 2, ..Accounts::default() });

    let answer = Edit::Resolve { cell: TITLE, content: register(1), seen: vec![Mark(0), Mark(1)] };
    let prompted = [register(0), register(1)];
    let answer = history.make(2, None, &Rendering::new(), &prompted, &answer);
    history.applied(&[0, 1], answer);
    for put in [first, second] {
        history.replaced(&ALL, put, answer);
    }
    let accounts = history.end(&shown(&[(TITLE, register(1))])).expect("no contradiction");
    let expected = Accounts { kept: 1, superseded: 1, reactive: 1, ..Accounts::default() };
    assert_eq!(accounts, expected);
}

#[test]
fn what_was_never_made_and_what_was_refused_have_their_accounts() {
    let script = script();
    let mut history = History::new(&script);
    history.observe(&Fact::NotMade { number: 7, why: NotMade::Blocked });
    history.observe(&Fact::NotMade { number: 8, why: NotMade::Void });
    let refused = history.put(1);
    history.report(&[1], Change::Refused { edit: refused, reason: Refusal::Stale });
    let accounts = history.end(&Rendering::new()).expect("no contradiction");
    assert_eq!(accounts, Accounts { blocked: 1, void: 1, refused: 1, ..Accounts::default() });
}

#[test]
fn nobody_waits_for_a_refused_edit() {
    let script = script();
    let mut history = History::new(&script);
    let refusal = |edit| Change::Refused { edit, reason: Refusal::Stale };
    let lonely = history.put(0);
    assert_eq!(history.ledger.pending(), 1);
    history.report(&[0], refusal(lonely));
    assert_eq!(history.ledger.pending(), 0);
    let known = history.put(0);
    history.applied(&[1, 2], known);
    assert_eq!(history.ledger.pending(), 0);
    history.report(&ALL, refusal(known));
    assert_eq!(history.ledger.pending(), 0);
    let kept = history.put(1);
    assert_eq!(history.ledger.pending(), 1);
    history.applied(&[0, 2], kept);
    assert_eq!(history.ledger.pending(), 0);
}

/// Somebody who knew a put overwrote it, but was refused: what made it vanish was somebody else.
#[test]
fn a_refused_edit_supersedes_nothing() {
    let script = script();
    let mut history = History::new(&script);
    let first = history.put(0);
    history.applied(&[1], first);
    let refused = history.put(1);
    history.replaced(&[1], first, refused);
    history.report(&[1], Change::Refused { edit: refused, reason: Refusal::Stale });
    let rival = history.put(2);
    history.applied(&[0, 1], rival);
    history.replaced(&[0], first, rival);
    let accounts = history.end(&shown(&[(TITLE, register(2))])).expect("no contradiction");
    assert_eq!(accounts, Accounts { kept: 1, refused: 1, lost: 1, ..Accounts::default() });
}

#[test]
fn what_exists_only_where_it_was_made_is_stranded() {
    let script = script();
    let mut history = History::new(&script);
    history.put(1);
    history.add(1, 1);
    history.splice(1, "", 0, 0, 2);
    let own = shown(&[
        (TITLE, register(0)),
        (VOTES, Content::Counter(1)),
        (NOTES, Content::Text(mark(2, 0) + &mark(2, 1))),
    ]);
    let renderings = [Rendering::new(), own, Rendering::new()];
    let accounts = close(&history.ledger, &renderings).expect("no contradiction");
    assert_eq!(accounts, Accounts { stranded: 3, ..Accounts::default() });
}

#[test]
fn a_delete_is_kept_where_all_it_saw_is_gone_and_supersedes_it() {
    let script = script();
    let mut history = History::new(&script);
    let (put, insert, add) = (history.put(0), history.insert(0), history.add(0, 1));
    for edit in [put, insert, add] {
        history.applied(&[1, 2], edit);
    }
    let seen = shown(&[(TITLE, register(0)), (VOTES, Content::Counter(1)), (TAGS, set(&[1]))]);
    let delete = history.delete(1, &seen);
    history.applied(&[0, 2], delete);
    for edit in [put, insert, add] {
        history.replaced(&ALL, edit, delete);
    }
    let accounts = history.end(&Rendering::new()).expect("no contradiction");
    assert_eq!(accounts, Accounts { kept: 1, superseded: 3, ..Accounts::default() });
}

#[test]
fn what_comes_back_after_a_delete_is_resurrected_unless_somebody_else_wrote_meanwhile() {
    let script = script();
    for meanwhile in [false, true] {
        let mut history = History::new(&script);
        let insert = history.insert(0);
        history.applied(&[1, 2], insert);
        let delete = history.delete(1, &shown(&[(TAGS, set(&[0]))]));
        history.replaced(&[1], insert, delete);
        let mut end = vec![(TAGS, set(&[0]))];
        if meanwhile {
            let put = history.put(2);
            history.applied(&[0, 1], put);
            end.push((TITLE, register(2)));
        }
        history.applied(&[0, 2], delete);
        // The set as it was wins over the delete.
        history.applied(&[1], insert);
        let accounts = history.end(&shown(&end)).expect("no contradiction");
        let kept = 1 + u64::from(meanwhile);
        let deletes_resurrected = u64::from(!meanwhile);
        let expected = Accounts { kept, lost: 1, deletes_resurrected, ..Accounts::default() };
        assert_eq!(accounts, expected, "meanwhile: {meanwhile}");
    }
}

/// Somebody answers a conflict with what somebody else deletes at the same time: what is shown is the answer, unless the deleter knew that.
#[test]
fn a_delete_is_kept_where_an_answer_that_it_did_not_know_of_keeps_what_it_deleted() {
    let script = script();
    for known in [false, true] {
        let mut history = History::new(&script);
        let (first, second) = (history.put(0), history.put(1));
        history.applied(&[1, 2], first);
        history.applied(&[0, 2], second);
        let answer =
            Edit::Resolve { cell: TITLE, content: register(1), seen: vec![Mark(0), Mark(1)] };
        let prompted = [register(0), register(1)];
        let both = conflict(&prompted);
        let answer = history.make(2, None, &both, &prompted, &answer);
        for put in [first, second] {
            history.replaced(&[2], put, answer);
        }
        if known {
            history.applied(&[1], answer);
            history.replaced(&[1], first, answer);
            history.replaced(&[1], second, answer);
        }
        let delete = history.delete(1, &both);
        history.applied(&[0, 2], delete);
        history.applied(if known { &[0] } else { &[0, 1] }, answer);
        for put in [first, second] {
            history.replaced(&[0, 1], put, if known { answer } else { delete });
        }
        let accounts = history.end(&shown(&[(TITLE, register(1))])).expect("no contradiction");
        let lost = u64::from(known);
        assert_eq!((accounts.lost, accounts.reactive), (lost, 1), "known: {known}");
        assert_eq!(accounts.kept, 2 - lost, "known: {known}: {accounts:?}");
    }
}

#[test]
fn a_delete_whose_additions_survive_is_lost() {
    let script = script();
    let mut history = History::new(&script);
    let add = history.add(0, 3);
    history.applied(&[1, 2], add);
    let delete = history.delete(1, &shown(&[(VOTES, Content::Counter(3))]));
    history.applied(&[0, 2], delete);
    let end = shown(&[(VOTES, Content::Counter(3))]);
    let accounts = history.end(&end).expect("no contradiction");
    let expected = Accounts { kept: 1, lost: 1, deletes_resurrected: 1, ..Accounts::default() };
    assert_eq!(accounts, expected);
}

#[test]
fn a_removed_element_is_superseded_one_that_vanishes_is_lost_and_so_is_a_remove_in_vain() {
    let script = script();
    let remove = |number: u32| Edit::Remove { cell: TAGS, element: Value::from(mark(number, 0)) };
    for in_vain in [false, true] {
        let mut history = History::new(&script);
        let (first, second) = (history.insert(0), history.insert(0));
        history.applied(&[1, 2], first);
        history.applied(&[1, 2], second);
        let removal = history.made(1, &Rendering::new(), |_| remove(0));
        history.applied(&[0, 2], removal);
        history.report(&ALL, Change::Replaced { edit: second, by: removal });
        let end = if in_vain { shown(&[(TAGS, set(&[0]))]) } else { Rendering::new() };
        let accounts = history.end(&end).expect("no contradiction");
        let expected = if in_vain {
            Accounts { kept: 1, lost: 2, ..Accounts::default() }
        } else {
            Accounts { kept: 1, superseded: 1, lost: 1, ..Accounts::default() }
        };
        assert_eq!(accounts, expected, "in vain: {in_vain}");
    }
}

#[test]
fn additions_are_kept_lost_and_doubled() {
    let script = script();
    let mut history = History::new(&script);
    let (kept, lost, doubled) = (history.add(0, 1), history.add(1, 1), history.add(2, -1));
    history.applied(&[1, 2], kept);
    history.replaced(&[1], lost, kept);
    history.applied(&[0, 1], doubled);
    history.applied(&ALL, doubled);
    let end = shown(&[(VOTES, Content::Counter(-1))]);
    let accounts = history.end(&end).expect("no contradiction");
    let expected = Accounts {
        kept: 2,
        lost: 1,
        increments_lost: 1,
        increments_doubled: 1,
        ..Accounts::default()
    };
    assert_eq!(accounts, expected);
}

#[test]
fn reports_that_contradict_what_is_shown_are_named() {
    let script = script();
    let contradiction = |build: &dyn Fn(&mut History<'_>), end: &[(Cell, Content)]| {
        let mut history = History::new(&script);
        build(&mut history);
        history.end(&shown(end)).expect_err("a contradiction")
    };
    let unreported = contradiction(
        &|h| {
            h.put(0);
        },
        &[(TITLE, register(0))],
    );
    assert_eq!(unreported, "r1 shows edit r0.0 and never reported it, or reported it replaced");
    let not_shown = contradiction(
        &|h| {
            let put = h.put(0);
            h.applied(&[1, 2], put);
        },
        &[],
    );
    assert_eq!(not_shown, "r0 does not show edit r0.0, which by its reports it shows");
    let sum = contradiction(
        &|h| {
            let add = h.add(0, 5);
            h.applied(&[1], add);
        },
        &[(VOTES, Content::Counter(5))],
    );
    assert_eq!(sum, "r2 shows 5 in counter 0:1, and by its reports the sum is 0");
    let invented = EditId { origin: ReplicaId(2), sequence: 9 };
    let invention = contradiction(&|h| h.applied(&[1], invented), &[]);
    assert_eq!(invention, "r1 reports edit r2.9, which nobody made");
    let nobodys = contradiction(&|_| {}, &[(TITLE, Content::Register(Some("what?".into())))]);
    assert_eq!(nobodys, "r0: cell 0:0 shows something that nobody wrote");
}

/// A put that was synced before the power failed, one that was not, and one that was not and had left all the same.
#[test]
fn what_a_loss_of_power_took_is_crashed_only_where_it_is_nowhere() {
    let script = script();
    for (synced, left) in [(true, false), (false, false), (false, true)] {
        let mut history = History::new(&script);
        let put = history.put(1);
        if synced {
            history.observe(&Fact::Committed { device: 1 });
        }
        if left {
            history.applied(&[0, 2], put);
        }
        let taken = u64::from(!synced);
        if !synced {
            history.observe(&Fact::Forgotten { device: 1, edits: taken, reports: taken });
        }
        if !synced && left {
            history.applied(&[1], put);
        } else if synced {
            history.applied(&[0, 2], put);
        }
        let gone = !synced && !left;
        let end = if gone { Rendering::new() } else { shown(&[(TITLE, register(0))]) };
        let accounts = history.end(&end).expect("no contradiction");
        let crashed = u64::from(gone);
        let expected = Accounts { kept: 1 - crashed, crashed, ..Accounts::default() };
        assert_eq!(accounts, expected, "synced: {synced}, left: {left}");
        assert_eq!(history.ledger.pending(), 0, "nobody waits for a crashed edit");
        let mut histograms = history.ledger.histograms.clone();
        let (unsettled, pairs) = history.ledger.settled_times(&mut histograms);
        assert_eq!((unsettled, pairs), (0, 2 * (1 - crashed)));
    }
}

/// A crashed edit replaces nothing, though its author had been shown what it would have replaced; nor does a crashed delete delete.
#[test]
fn what_crashed_did_nothing_to_others() {
    let script = script();
    let mut history = History::new(&script);
    let (first, added) = (history.put(0), history.add(0, 3));
    history.applied(&[1, 2], first);
    history.applied(&[1, 2], added);
    for device in ALL {
        history.observe(&Fact::Committed { device });
    }
    let second = history.put(1);
    history.replaced(&[1], first, second);
    let title = [(TITLE, register(0)), (VOTES, Content::Counter(3))];
    let delete = history.delete(1, &shown(&title));
    history.replaced(&[1], added, delete);
    history.replaced(&[1], second, delete);
    // Two edits done, and three replacements.
    history.observe(&Fact::Forgotten { device: 1, edits: 2, reports: 5 });
    let accounts = history.end(&shown(&title)).expect("what was replaced is shown again");
    assert_eq!(accounts, Accounts { kept: 2, crashed: 2, ..Accounts::default() });

    // Somebody who did not know the first put replaces it: nobody who counts did so knowingly.
    let mut history = History::new(&script);
    let first = history.put(0);
    history.applied(&[1], first);
    let crashed = history.put(1);
    history.replaced(&[1], first, crashed);
    history.observe(&Fact::Forgotten { device: 1, edits: 1, reports: 2 });
    let third = history.put(2);
    history.applied(&[0, 1], third);
    history.replaced(&[0, 1], first, third);
    let accounts = history.end(&shown(&[(TITLE, register(2))])).expect("no contradiction");
    assert_eq!(accounts, Accounts { kept: 1, crashed: 1, lost: 1, ..Accounts::default() });
}

/// Reports that a loss of power did not take back still bind.
#[test]
fn reports_from_before_a_loss_of_power_are_still_checked() {
    let script = script();
    let mut history = History::new(&script);
    let put = history.put(0);
    history.applied(&[1, 2], put);
    history.observe(&Fact::Forgotten { device: 1, edits: 0, reports: 1 });
    let why =
        history.end(&shown(&[(TITLE, register(0))])).expect_err("r1 has not heard of it again");
    assert!(why.contains("r1 shows edit"), "{why}");
    history.applied(&[1], put);
    history.end(&shown(&[(TITLE, register(0))])).expect("now it has");
}
