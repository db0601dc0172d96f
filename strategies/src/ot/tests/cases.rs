//! What is said, and what becomes of edits, in cases that matter.

use super::star::*;
use crate::contract::*;
use crate::document::*;
use crate::ot::Ot;
use crate::ot::codec::{Message, Revision};
use crate::ot::op::{Addition, CellOp, CounterOp, ElementOp, Ops, RegisterOp, Span};
use crate::ot::text::TextOp;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

#[test]
fn a_batch_whose_answer_was_lost_is_executed_once() {
    for kind in KINDS {
        let mut star = Star::new(kind);
        let edit = star.edit(0, &add(5));
        star.sync(0, SERVER);
        star.deliver_up(0);
        star.lose(0);
        assert_eq!(
            star.replicas[0].pending(id(SERVER)),
            Pending { edits: 1, exchange_open: false }
        );
        star.connect(0);
        let (hello, _) = star.up[0].back().expect("a hello").clone();
        assert_eq!(Message::decode(&hello), Ok(Message::Hello { seen: 0, flight: Some(1) }));
        star.deliver_all();
        assert_eq!(star.changes[0], [Change::Acknowledged { edit }]);
        star.settle();
        assert_eq!((star.sum(0), star.sum(SERVER)), (5, 5));
    }
}

#[test]
fn a_batch_that_was_lost_is_sent_again_once_the_server_says_so() {
    for kind in KINDS {
        let mut star = Star::new(kind);
        star.edit(0, &add(5));
        star.sync(0, SERVER);
        star.lose(0);
        star.edit(2, &add(1));
        star.exchange(2);
        star.connect(0);
        star.deliver_up(0);
        star.deliver_down(0);
        assert_eq!(star.sum(0), 6, "the answer brought what was missed");
        let (again, _) = star.up[0].back().expect("the batch").clone();
        assert!(matches!(Message::decode(&again), Ok(Message::Batch { base: 1, number: 1, .. })));
        star.settle();
        star.converged("sent again");
        assert_eq!(star.sum(SERVER), 6);
    }
}

#[test]
fn a_server_that_crashed_before_the_first_session_learns_how_far_a_client_is() {
    for kind in KINDS {
        let mut star = Star::new(kind);
        star.edit(2, &add(1));
        star.exchange(2);
        star.restart(SERVER);
        // As if this client had never been connected, nor had lost a session.
        star.replicas[0] = with_seat(0, |seat| star.kind.create(seat));
        star.connect(0);
        star.deliver_all();
        assert_eq!(star.sum(0), 1);
        assert_eq!(star.replicas[SERVER].pending(id(0)), Pending::default());
    }
}

#[test]
fn an_acknowledgement_is_small_and_later_edits_wait_for_it() {
    for kind in KINDS {
        let mut star = Star::new(kind);
        star.edit(0, &put("a"));
        star.sync(0, SERVER);
        star.edit(0, &put("b"));
        let waiting = Pending { edits: 0, exchange_open: true };
        assert_eq!(star.replicas[0].pending(id(SERVER)), waiting);
        star.sync(0, SERVER);
        assert_eq!(star.up[0].len(), 1, "one batch in flight");
        star.deliver_up(0);
        assert_eq!(star.down[0][0].0.len(), if kind == Ot::Relay { 5 } else { 4 });
        star.deliver_down(0);
        assert_eq!(star.replicas[0].pending(id(SERVER)).edits, 1);
        star.settle();
        star.converged("two batches");
        assert_eq!(star.value(2), Some("b".into()));
    }
}

#[test]
fn what_waits_for_each_other_is_composed_or_not() {
    for kind in KINDS {
        let mut star = Star::new(kind);
        for (at, letter) in ["h", "e", "l", "p"].into_iter().enumerate() {
            star.edit(0, &write(at, 0, letter));
        }
        star.edit(0, &write(3, 1, "lo"));
        star.edit(0, &add(2));
        star.edit(0, &add(3));
        star.sync(0, SERVER);
        let (bytes, cargo) = star.up[0][0].clone();
        let Ok(Message::Batch { base: 0, number: 1, queue }) = Message::decode(&bytes) else {
            panic!("{kind:?}: {bytes:02x?} is no first batch")
        };
        if kind == Ot::Uncomposed {
            assert_eq!((queue.len(), cargo.elements), (7, 7));
            assert!(queue.iter().all(|ops| ops.len() == 1));
        } else {
            let sum = CellOp::Counter(CounterOp { left: None, add: 5 });
            let text = CellOp::Text(TextOp::splice(0, 0, "hello"));
            assert_eq!(queue, [Ops::from([(COUNTER, sum), (TEXT, text)])], "{kind:?}");
        }
        star.settle();
        star.converged("typed");
        assert_eq!((star.text(2).as_str(), star.sum(2)), ("hello", 5));
    }
}

#[test]
fn the_work_of_transforming_is_where_it_is_done() {
    const MISSED: u64 = 300;
    for kind in KINDS {
        let mut star = Star::new(kind);
        star.edit(0, &write(0, 0, "0123456789"));
        star.settle();
        for n in 0..MISSED as usize {
            star.edit(2, &write(n % 10, 1, "x"));
            star.exchange(2);
        }
        star.edit(0, &write(5, 0, "y"));
        star.edit(0, &write(2, 1, "z"));
        star.work = [0; 4];
        star.sync(0, SERVER);
        star.deliver_up(0);
        let at_server = star.work[SERVER];
        let answer_bytes = star.down[0][0].0.len() as u64;
        star.work = [0; 4];
        star.exchange(2);
        let at_another = star.work[2];
        star.settle();
        star.converged("transformed");
        let words = format!("{kind:?}: {at_server} at the server, {at_another} at another client");
        match kind {
            Ot::Central => assert!(at_server > 5 * MISSED && at_another < 50, "{words}"),
            Ot::Uncomposed => assert!(at_server > 10 * MISSED && at_another < 50, "{words}"),
            Ot::Relay => {
                assert!(at_server < 30 + answer_bytes / 64 && at_another > 5 * MISSED, "{words}");
            }
        }
    }
}

#[test]
fn a_write_wins_over_a_concurrent_delete_in_either_order() {
    for kind in KINDS {
        for first in [0, 2] {
            let mut star = Star::new(kind);
            star.edit(0, &put("old"));
            star.settle();
            star.edit(0, &put("new"));
            star.edit(2, &DELETE);
            star.exchange(first);
            star.settle();
            star.converged("write and delete");
            assert_eq!(star.value(3), Some("new".into()), "the first to arrive is {first}");
        }
    }
}

#[test]
fn of_two_rival_writes_the_later_in_the_servers_order_stays() {
    for kind in KINDS {
        let mut star = Star::new(kind);
        let early = star.edit(0, &put("early"));
        let late = star.edit(2, &put("late"));
        star.exchange(0);
        assert_eq!(star.value(2), Some("late".into()));
        star.sync(SERVER, 2);
        star.deliver_all();
        assert_eq!(star.value(2), Some("late".into()), "displayed until the server says otherwise");
        assert_eq!(star.changes[2], [Change::Replaced { edit: early, by: late }]);
        star.settle();
        star.converged("two writes");
        assert_eq!(star.value(0), Some("late".into()));
        let end = [Change::Applied { edit: late }, Change::Replaced { edit: early, by: late }];
        assert_eq!(star.changes[0][1..], end);
    }
}

#[test]
fn two_deletes_take_a_counter_once_and_leave_what_neither_saw() {
    for kind in KINDS {
        let mut star = Star::new(kind);
        star.edit(0, &add(5));
        star.settle();
        star.edit(0, &DELETE);
        star.edit(2, &DELETE);
        star.edit(2, &add(2));
        let seen_by_nobody = star.edit(3, &add(10));
        star.exchange(3);
        star.settle();
        star.converged("two deletes");
        assert_eq!(star.sum(SERVER), 12);
        let gone = |change: &Change| matches!(change, Change::Replaced { edit, .. } if *edit == seen_by_nobody);
        assert!(!star.changes.iter().flatten().any(gone));
    }
}

#[test]
fn the_last_word_on_an_element_stays() {
    for kind in KINDS {
        for (first, stays) in [(0, false), (2, true)] {
            let mut star = Star::new(kind);
            star.edit(0, &insert("x"));
            star.settle();
            star.edit(0, &insert("x"));
            star.edit(2, &Edit::Remove { cell: SET, element: "x".into() });
            star.exchange(first);
            star.settle();
            star.converged("an element");
            assert_eq!(star.elements(3).contains(&"x".into()), stays, "{first} came first");
        }
    }
}

#[test]
fn what_two_users_type_at_one_place_does_not_mix() {
    for kind in KINDS {
        for seed in 0..100 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let mut star = Star::new(kind);
            let words = [(0, "abcdef"), (2, "uvwxyz")];
            let mut typed = [0, 0];
            while typed != [6, 6] {
                let who = rng.random_range(0..2);
                let (n, word) = words[who];
                if typed[who] < 6 {
                    let (before, letter) = (&word[..typed[who]], &word[typed[who]..=typed[who]]);
                    let at = star.text(n).find(before).expect("his own word") + before.len();
                    star.edit(n, &write(at, 0, letter));
                    typed[who] += 1;
                }
                if rng.random_bool(0.5) {
                    star.exchange(words[rng.random_range(0..2)].0);
                }
            }
            star.settle();
            star.converged(&format!("seed {seed}"));
            let text = star.text(3);
            assert!(words.iter().all(|(_, word)| text.contains(word)), "seed {seed}: {text}");
        }
    }
}

#[test]
fn history_is_kept_for_the_client_that_lacks_it() {
    for kind in KINDS {
        let mut star = Star::new(kind);
        star.lose(3);
        for n in 0..5 {
            star.edit(0, &write(0, 0, &n.to_string()));
            star.exchange(0);
            star.exchange(2);
        }
        assert!(star.replicas[SERVER].footprint().history_bytes > 0);
        assert_eq!(star.replicas[SERVER].pending(id(3)).edits, 5);
        star.settle();
        star.converged("late");
        assert_eq!(star.replicas[SERVER].footprint().history_bytes, 0);
    }
}

#[test]
fn the_server_refuses_batches_that_cannot_be() {
    for kind in KINDS {
        let mut star = Star::new(kind);
        star.edit(0, &write(0, 0, "añ😀"));
        star.settle();
        let base = 1;
        let batch = |base, number, cell, op| {
            Message::Batch { base, number, queue: vec![Ops::from([(cell, op)])] }.encode()
        };
        let clear = || CellOp::Register(RegisterOp::Clear);
        let wipe = |revision| {
            let left = Some(vec![Addition { revisions: Span::one(revision), amount: 1 }]);
            CellOp::Counter(CounterOp { left, add: 0 })
        };
        let other = |field| Cell { record: RECORD, field: FieldId(field) };
        let hostile = [
            batch(base + 1, 1, REGISTER, clear()),
            batch(u64::MAX, 1, REGISTER, clear()),
            batch(0, 1, REGISTER, clear()),
            batch(base, 0, REGISTER, clear()),
            batch(base, 2, REGISTER, clear()),
            batch(base, 1, TEXT, clear()),
            batch(base, 1, other(4), clear()),
            batch(base, 1, REGISTER, CellOp::Set([("x".into(), ElementOp::Insert)].into())),
            batch(base, 1, COUNTER, wipe(base + 1)),
            batch(base, 1, TEXT, CellOp::Text(TextOp::splice(4, 0, "x"))),
            batch(base, 1, TEXT, CellOp::Text(TextOp::splice(2, 2, ""))),
            batch(base, 1, TEXT, CellOp::Text(TextOp::splice(1 << 30, 1 << 30, "x"))),
            batch(base, 1, TEXT, CellOp::Text(TextOp::splice(1 << 40, 0, "x"))),
            Message::Hello { seen: base + 1, flight: None }.encode(),
            Message::Hello { seen: base, flight: Some(2) }.encode(),
            Message::Revisions { answer: false, first: 1, floor: None, revisions: Vec::new() }
                .encode(),
        ];
        let before = saved(&*star.replicas[SERVER]);
        for bytes in hostile {
            let input = Input::Receive { from: id(2), bytes: &bytes, cargo: &Cargo::default() };
            assert!(star.handle(SERVER, input).is_err(), "{:?}", Message::decode(&bytes));
            assert_eq!(saved(&*star.replicas[SERVER]), before, "{:?}", Message::decode(&bytes));
        }
        let bytes = batch(base, 1, TEXT, CellOp::Text(TextOp::splice(1, 1, "n")));
        let stranger = Input::Receive { from: id(9), bytes: &bytes, cargo: &Cargo::default() };
        assert!(star.handle(SERVER, stranger).is_err());
        let honest = Input::Receive { from: id(2), bytes: &bytes, cargo: &Cargo::default() };
        star.handle(SERVER, honest).expect("the next batch");
        assert_eq!(star.text(SERVER), "an😀");
    }
}

#[test]
fn a_client_that_transforms_refuses_what_cannot_be() {
    let mut star = Star::new(Ot::Relay);
    star.edit(2, &add(1));
    star.edit(0, &put("base"));
    star.exchange(2);
    star.sync(SERVER, 0);
    star.deliver_down(0);
    // Made before revision 1, which is on the counter, and ordered as revision 2.
    let relayed = |distance, cell, op| {
        let revisions = vec![Revision::Foreign { distance, ops: Ops::from([(cell, op)]) }];
        Message::Revisions { answer: false, first: 2, floor: Some(0), revisions }.encode()
    };
    let sum = |left| CellOp::Counter(CounterOp { left, add: 1 });
    let left = |revision| Some(vec![Addition { revisions: Span::one(revision), amount: 1 }]);
    let hostile = [
        relayed(1, COUNTER, CellOp::Set([("x".into(), ElementOp::Insert)].into())),
        relayed(1, COUNTER, sum(left(1))),
        relayed(0, COUNTER, sum(left(2))),
        relayed(2, COUNTER, sum(None)),
        relayed(1 << 60, COUNTER, sum(None)),
        relayed(1, TEXT, CellOp::Text(TextOp::splice(1, 0, "x"))),
        relayed(1, Cell { record: RECORD, field: FieldId(9) }, sum(None)),
        Message::Revisions { answer: false, first: 2, floor: None, revisions: Vec::new() }.encode(),
    ];
    let before = saved(&*star.replicas[0]);
    for bytes in hostile {
        let input = Input::Receive { from: id(SERVER), bytes: &bytes, cargo: &Cargo::default() };
        assert!(star.handle(0, input).is_err(), "{:?}", Message::decode(&bytes));
        assert_eq!(saved(&*star.replicas[0]), before, "{:?}", Message::decode(&bytes));
    }
    let bytes = relayed(1, COUNTER, sum(Some(Vec::new())));
    let input = Input::Receive { from: id(SERVER), bytes: &bytes, cargo: &Cargo::default() };
    star.handle(0, input).expect("a wipe that did not see revision 1");
    assert_eq!(star.sum(0), 2);
}
