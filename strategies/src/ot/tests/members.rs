//! Clients that are away for longer than revisions are kept.

use super::random::{Ledger, random_step};
use super::star::*;
use crate::contract::*;
use crate::document::*;
use crate::ot::Ot;
use crate::ot::codec::Message;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeMap, BTreeSet};

fn gone(n: usize) -> SeatChange {
    SeatChange::Gone { replica: id(n) }
}

fn back(n: usize) -> SeatChange {
    SeatChange::Back { replica: id(n) }
}

fn is_snapshot(bytes: &[u8]) -> bool {
    matches!(Message::decode(bytes), Ok(Message::Snapshot(_)))
}

/// Three clients with something in every cell, of which one (number 3) edits, is cut off and presumed gone while others go on.
fn one_is_gone(kind: Ot, sent: bool) -> (Star, Vec<EditId>) {
    let mut star = Star::new(kind);
    star.edit(0, &write(0, 0, "The quick brown fox jumps"));
    star.edit(0, &add(7));
    star.edit(0, &insert("old"));
    star.edit(0, &insert("older"));
    star.edit(0, &put("first"));
    star.settle();
    let mut own = vec![star.edit(3, &write(10, 0, "red-")), star.edit(3, &write(4, 5, "slow"))];
    if sent {
        star.sync(3, SERVER);
        star.deliver_up(3);
    }
    own.push(star.edit(3, &add(100)));
    own.push(star.edit(3, &insert("own")));
    own.push(star.edit(3, &Edit::Remove { cell: SET, element: "old".into() }));
    own.push(star.edit(3, &put("own")));
    star.lose(3);
    star.member(gone(3));
    star.edit(2, &write(20, 5, "leaps over it"));
    star.edit(2, &write(0, 3, "One very"));
    for (n, word) in ["a", "b", "c"].into_iter().enumerate() {
        star.edit(0, &put(word));
        star.edit(2, &add(1 + n as i64));
        star.edit(0, &insert(word));
        star.exchange(0);
        star.exchange(2);
    }
    star.exchange(0);
    (star, own)
}

#[test]
fn who_was_gone_comes_back_through_a_snapshot_and_keeps_its_own_edits() {
    for (kind, sent) in KINDS.into_iter().flat_map(|kind| [(kind, false), (kind, true)]) {
        let words = format!("{kind:?}, sent: {sent}");
        let (mut star, own) = one_is_gone(kind, sent);
        star.exchange(0);
        star.exchange(2);
        let history = star.replicas[SERVER].footprint().history_bytes;
        assert_eq!(history, 0, "{words}: nothing is kept for one who is gone");
        star.member(back(3));
        star.connect(3);
        star.deliver_up(3);
        assert!(is_snapshot(&star.down[3][0].0), "{words}");
        star.settle();
        star.converged(&words);
        assert_eq!(star.text(3), "One very slow red-brown fox leaps over it", "{words}");
        assert_eq!(star.sum(3), 7 + 100 + 1 + 2 + 3, "{words}");
        let elements = ["a", "b", "c", "older", "own"].map(Value::from);
        assert_eq!(star.elements(3), elements.into(), "{words}");
        assert_eq!(star.value(3), Some("own".into()), "{words}: the later in the server's order");
        for edit in own {
            let acknowledged = Change::Acknowledged { edit };
            let count = star.changes[3].iter().filter(|change| **change == acknowledged).count();
            assert_eq!(count, 1, "{words}: {edit}");
            let applied = Change::Applied { edit };
            assert!(star.changes[0].contains(&applied), "{words}: {edit} came under its own name");
        }
    }
}

#[test]
fn a_deletion_by_who_was_gone_takes_what_its_author_saw() {
    for kind in KINDS {
        let mut star = Star::new(kind);
        star.edit(0, &add(5));
        star.edit(0, &write(0, 0, "seen"));
        star.edit(0, &put("seen"));
        star.edit(0, &insert("seen"));
        star.settle();
        star.edit(3, &DELETE);
        star.lose(3);
        star.member(gone(3));
        // One wipes what both saw, and all of it is told while the third is gone.
        star.edit(2, &Edit::Delete { record: RECORD });
        star.exchange(2);
        star.exchange(0);
        star.edit(0, &add(30));
        star.edit(0, &write(0, 0, "new"));
        star.edit(0, &insert("new"));
        star.edit(0, &put("new"));
        star.settle_without(3);
        star.member(back(3));
        star.settle();
        star.converged("deleted twice");
        assert_eq!((star.sum(3), star.text(3).as_str()), (30, "new"), "{kind:?}");
        assert_eq!(star.value(3), Some("new".into()), "{kind:?}");
        assert_eq!(star.elements(3), ["new".into()].into(), "{kind:?}");
    }
}

#[test]
fn who_is_presumed_gone_and_is_not_goes_on() {
    for kind in KINDS {
        let mut star = Star::new(kind);
        star.edit(3, &write(0, 0, "three"));
        star.sync(3, SERVER);
        star.member(gone(3));
        // Its batch is still under way when revisions go that it would have to be transformed over.
        star.edit(0, &write(0, 0, "zero "));
        for n in [0, 2, 0, 2] {
            star.exchange_alone(n);
        }
        star.sync(SERVER, 3);
        assert!(is_snapshot(&star.down[3][0].0), "{kind:?}");
        star.deliver_down(3);
        assert_eq!(star.up[3].len(), 2, "{kind:?}: the batch is sent again");
        star.deliver_all();
        star.member(back(3));
        star.settle();
        star.converged("never gone");
        let mut text = star.text(0);
        for word in ["zero ", "three"] {
            let at = text.find(word).unwrap_or_else(|| panic!("{kind:?}: no {word} in {text}"));
            text.replace_range(at..at + word.len(), "");
        }
        assert_eq!(text, "", "{kind:?}: once each");
    }
}

#[test]
fn who_joins_later_gets_a_snapshot() {
    for kind in KINDS {
        let mut star = Star::new(kind);
        star.replicas[SERVER] = with_seat(SERVER, |seat| {
            kind.create(&Seat { peers: &[id(0), id(2)], members: &[id(0), id(1), id(2)], ..*seat })
        });
        star.open[3] = false;
        star.edit(0, &put("there"));
        star.edit(0, &write(0, 0, "before"));
        star.settle_without(3);
        star.member(back(3));
        star.replicas[3] = with_seat(3, |seat| kind.create(seat));
        star.edit(3, &write(0, 0, "newcomer "));
        star.settle();
        star.converged("joined");
        assert_eq!(star.value(3), Some("there".into()));
        assert!(["newcomer before", "beforenewcomer "].contains(&star.text(3).as_str()));
    }
}

/// More additions than a tally lists, which a wipe that saw none of them leaves, and a concurrent one that saw half of them does not.
#[test]
fn of_many_additions_a_wipe_leaves_those_that_its_author_did_not_see() {
    for kind in KINDS {
        let mut star = Star::new(kind);
        star.edit(0, &add(1 << 20));
        star.settle();
        star.edit(3, &DELETE);
        star.lose(3);
        star.member(gone(3));
        for round in 0..200 {
            star.edit(2, &add(1));
            star.exchange(2);
            star.exchange(0);
            if round == 99 {
                star.sync(2, SERVER);
                star.lose(2);
                star.edit(2, &DELETE);
                star.connect(2);
                star.deliver_all();
                star.settle_without(3);
                assert_eq!(star.sum(0), 0, "{kind:?}");
            }
        }
        star.member(back(3));
        star.settle();
        star.converged("many additions");
        assert_eq!(star.sum(3), 100, "{kind:?}");
    }
}

/// A counter whose additions cancel out is not in a snapshot, and yet they stand behind it.
#[test]
fn additions_whose_sum_is_zero_are_in_the_reports_of_who_was_gone() {
    for kind in KINDS {
        let mut star = Star::new(kind);
        let seen = star.edit(2, &add(5));
        star.settle();
        star.lose(3);
        star.member(gone(3));
        let missed = star.edit(0, &add(-5));
        star.settle_without(3);
        star.member(back(3));
        star.changes[3].clear();
        star.settle();
        assert_eq!(star.changes[3], [Change::Applied { edit: missed }], "{kind:?}");
        let later = star.edit(0, &add(7));
        star.settle();
        let by = star.edit(0, &DELETE);
        star.settle();
        star.converged("a sum of zero");
        let gone = |edit: &EditId| star.changes[3].contains(&Change::Replaced { edit: *edit, by });
        assert!([seen, missed, later].iter().all(gone), "{kind:?}");
    }
}

/// The same without the second wipe: the sum of the oldest is as good as the parts.
#[test]
fn a_sum_of_old_additions_stays_where_no_one_wipes_them() {
    for kind in KINDS {
        let mut star = Star::new(kind);
        star.edit(0, &add(1 << 20));
        star.settle();
        star.edit(3, &DELETE);
        star.edit(3, &add(1 << 30));
        star.lose(3);
        star.member(gone(3));
        for _ in 0..200 {
            star.edit(2, &add(1));
            star.exchange(2);
            star.exchange(0);
        }
        star.member(back(3));
        star.settle();
        star.converged("many additions");
        assert_eq!(star.sum(3), (1 << 30) + 200, "{kind:?}");
    }
}

fn random_member(rng: &mut ChaCha8Rng, star: &mut Star) {
    let n = [0, 2, 3][rng.random_range(0..3)];
    star.member(if rng.random_bool(0.6) { gone(n) } else { back(n) });
}

#[test]
fn whoever_comes_and_goes_all_show_the_same_and_only_rival_writes_are_lost() {
    let mut snapshots = 0;
    for seed in 0..1500 {
        let kind = KINDS[seed as usize % 3];
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (mut star, mut ledger) = (Star::new(kind), Ledger::default());
        for _ in 0..rng.random_range(20..250) {
            random_step(&mut rng, &mut star, &mut ledger);
            if rng.random_bool(0.05) {
                random_member(&mut rng, &mut star);
            }
            snapshots += star.clients().filter(|n| !star.down[*n].is_empty()).count()
                * usize::from(
                    star.clients().any(|n| star.down[n].iter().any(|m| is_snapshot(&m.0))),
                );
            for (bytes, _) in star.up.iter().chain(&star.down).flatten() {
                assert_eq!(kind.recode(bytes).as_ref(), Ok(bytes), "{kind:?}, seed {seed}");
            }
        }
        if rng.random_bool(0.5) {
            star.clients().for_each(|n| star.member(back(n)));
        }
        let words = format!("{kind:?}, seed {seed}");
        star.settle();
        star.converged(&words);
        ledger.check(&star, &words);
        check_reports(&star, &words);
    }
    assert!(snapshots > 500, "snapshots are under way now and then, not only {snapshots} times");
}

/// Every edit is reported as applied at most once without having been replaced, and everybody knows of every edit or of one that took
/// its place; what stands in the register is what was said to stand there.
fn check_reports(star: &Star, words: &str) {
    let mut replacements: BTreeMap<EditId, BTreeSet<EditId>> = BTreeMap::new();
    for change in star.changes.iter().flatten() {
        if let Change::Replaced { edit, by } = change {
            replacements.entry(*edit).or_default().insert(*by);
        }
    }
    for n in 0..4 {
        let mut shown: BTreeMap<EditId, bool> = BTreeMap::new();
        for change in &star.changes[n] {
            match change {
                Change::Applied { edit } => {
                    let before = shown.insert(*edit, true);
                    assert_ne!(before, Some(true), "{words}: {edit} came twice at {n}");
                    assert_ne!(edit.origin, id(n), "{words}: {edit} came where it was made");
                }
                Change::Replaced { edit, .. } => {
                    shown.insert(*edit, false);
                }
                _ => {}
            }
        }
        for origin in 0..4 {
            for sequence in 1..=star.sequences[origin] {
                let edit = EditId { origin: id(origin), sequence };
                let (mut open, mut known) = (vec![edit], BTreeSet::new());
                let accounted = loop {
                    let Some(edit) = open.pop() else { break false };
                    if edit.origin == id(n) || shown.contains_key(&edit) {
                        break true;
                    }
                    if known.insert(edit) {
                        open.extend(replacements.get(&edit).into_iter().flatten());
                    }
                };
                assert!(accounted, "{words}: {n} knows nothing of {edit}");
            }
        }
    }
}

#[test]
fn tampered_snapshots_are_refused_or_handled() {
    for seed in 0..60 {
        let kind = KINDS[seed as usize % 3];
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (mut star, _) = one_is_gone(kind, seed % 2 == 0);
        star.connect(3);
        star.deliver_up(3);
        let (honest, cargo) = star.down[3].pop_front().expect("a snapshot");
        assert!(is_snapshot(&honest));
        let saved = saved(&*star.replicas[3]);
        for _ in 0..200 {
            let mut bytes = honest.clone();
            let at = rng.random_range(0..bytes.len());
            if rng.random_bool(0.1) {
                bytes.truncate(at);
            } else {
                bytes[at] = rng.random();
            }
            let before = star.shown(3);
            let input = Input::Receive { from: id(SERVER), bytes: &bytes, cargo: &cargo };
            if star.handle(3, input).is_err() {
                assert_eq!(star.shown(3), before, "{kind:?}, seed {seed}: {bytes:02x?}");
                continue;
            }
            star.edit(3, &write(0, star.text(3).chars().count().min(2), "x"));
            star.edit(3, &DELETE);
            star.sync(3, SERVER);
            star.replicas[3] = with_seat(3, |seat| kind.restore(seat, &saved)).expect("saved");
        }
    }
}

/// Slope of a line through points at 0, 1, 2 and so on (least squares).
fn slope(points: &[u64]) -> f64 {
    let count = points.len() as f64;
    let mean_x = (count - 1.0) / 2.0;
    let mean_y = points.iter().sum::<u64>() as f64 / count;
    let (mut above, mut below) = (0.0, 0.0);
    for (x, y) in points.iter().enumerate() {
        let x = x as f64 - mean_x;
        above += x * (*y as f64 - mean_y);
        below += x * x;
    }
    above / below
}

#[test]
fn what_is_kept_does_not_grow_under_steady_editing() {
    for (kind, one_gone) in KINDS.into_iter().flat_map(|kind| [(kind, false), (kind, true)]) {
        let mut star = Star::new(kind);
        star.edit(0, &write(0, 0, "0123456789"));
        star.settle();
        let clients = if one_gone { vec![0, 2] } else { vec![0, 2, 3] };
        if one_gone {
            star.edit(3, &write(0, 1, "own"));
            star.lose(3);
            star.member(gone(3));
        }
        let mut kept: [Vec<u64>; 4] = Default::default();
        for round in 0..300 {
            for n in &clients {
                star.edit(*n, &put(["a", "b"][round % 2]));
                star.edit(*n, &write(round % 10, 1, "x"));
                star.edit(*n, &add([1, -1][round % 2]));
                star.edit(*n, &insert("e"));
                star.edit(*n, &Edit::Remove { cell: SET, element: "e".into() });
                if round % 10 == 0 {
                    star.edit(
                        *n,
                        &Edit::Resolve {
                            cell: COUNTER,
                            content: Content::Counter(0),
                            seen: Vec::new(),
                        },
                    );
                }
                star.exchange(*n);
            }
            if round >= 20 {
                for n in clients.iter().copied().chain([SERVER]) {
                    let footprint = star.replicas[n].footprint();
                    kept[n].push(footprint.metadata_bytes + footprint.history_bytes);
                }
            }
        }
        for n in clients.iter().copied().chain([SERVER]) {
            let slope = slope(&kept[n]);
            println!("{kind:?}, one gone: {one_gone}, replica {n}: {slope:.4} bytes a round");
            assert!(slope.abs() < 0.1, "{kind:?}, one gone: {one_gone}, replica {n}: {slope}");
        }
        star.settle();
        star.converged("in the end");
        assert_eq!(star.text(0).contains("own"), one_gone, "{kind:?}");
    }
}
