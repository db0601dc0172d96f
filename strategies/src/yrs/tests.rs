//! What the laws do not ask: the names and bytes that Yjs itself would see, its choices, and what hostile bytes meet.

use super::document::Document;
use super::message::{Message, Vector};
use super::places::Fault;
use super::replica::client_of;
use super::update::{Any, Held, Id, Ids, Update};
use crate::document::{
    Cell, Content, Edit, FieldId, FieldKind, RecordId, Rendering, ReplicaId, Schema, Scope,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn schema() -> Schema {
    Schema::new(vec![FieldKind::Register, FieldKind::Counter, FieldKind::Set, FieldKind::Text])
}

fn cell(field: u16) -> Cell {
    Cell { record: RecordId(0), field: FieldId(field) }
}

fn document(replica: u32) -> Document {
    Document::new(client_of(ReplicaId(replica), 0), &schema())
}

fn put(value: &str) -> Edit {
    Edit::Put { cell: cell(0), value: value.into() }
}

fn add(amount: i64) -> Edit {
    Edit::Add { cell: cell(1), amount }
}

fn insert(element: &str) -> Edit {
    Edit::Insert { cell: cell(2), element: element.into() }
}

fn typed(at: usize, delete: usize, insert: &str) -> Edit {
    Edit::Splice { cell: cell(3), at, delete, insert: insert.into() }
}

fn shown(document: &Document, field: u16) -> Option<Content> {
    let mut rendering = Rendering::new();
    document.render(Scope::All, &mut rendering);
    rendering.get(cell(field)).map(|shown| shown.first().clone())
}

/// Each gets what it lacks of the other.
fn meet(a: &mut Document, b: &mut Document) {
    let (for_a, for_b) = (b.difference(a.vector()), a.difference(b.vector()));
    for (document, update) in [(a, for_a), (b, for_b)] {
        assert_eq!(Update::read_exactly(&update.write()).as_ref(), Ok(&update));
        assert_eq!(document.check(&update), Ok(()));
        document.apply(&update).expect("it was checked");
    }
}

/// The bytes are known: the same in every process, on every machine, as std's hash maps within the library must not show.
#[test]
fn bytes_are_the_same_in_every_process() {
    let mut document = document(0);
    for edit in [put("a"), put("b"), add(-70), insert("x"), typed(0, 0, "ñ😀z"), typed(1, 1, "")]
    {
        document.edit(&edit);
    }
    let bytes = document.difference(&Vector::new()).write();
    let again = {
        let mut other = super::tests::document(1);
        other.apply(&Update::read_exactly(&bytes).expect("just written")).expect("whole");
        other.difference(&Vector::new()).write()
    };
    assert_eq!(bytes, again, "whoever reads it writes the same");
    let text = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let expected = concat!(
        "01070100",               // one client's seven blocks, client 1, from 0 on
        "2101017203302e3001",     // in map `r` at `0.0` one item, deleted
        "a8010001770162",         // after item 0: `b`
        "08010463302e31017dc601", // in list `c0.1`: -70
        "28010173",
        "07302e322e312e78",
        "0178",                 // in map `s` at `0.2.1.x`: true
        "04010474302e3302c3b1", // in text `t0.3`: ñ
        "81010402",             // after item 4: two UTF-16 units, deleted
        "840106017a",           // after item 6: z
        "010102",
        "0001",
        "0502", // deleted of client 1: one from 0 on, two from 5 on
    );
    assert_eq!(text(&bytes), expected);
}

#[test]
fn one_of_two_concurrent_values_is_kept_and_the_other_is_hidden_by_it() {
    let (mut a, mut b) = (document(1), document(2));
    a.edit(&put("from a"));
    b.edit(&put("from b"));
    let update = b.difference(a.vector());
    let (_, hidden) = a.apply(&update).expect("it is whole");
    b.apply(&a.difference(b.vector())).expect("it is whole");
    assert_eq!(shown(&a, 0), shown(&b, 0));
    assert_eq!(hidden.len(), 1);
    assert!(hidden[0].by.is_some_and(|by| by != hidden[0].first), "{hidden:?}");
}

#[test]
fn an_addition_wins_over_a_removal_that_did_not_see_it() {
    let (mut a, mut b) = (document(1), document(2));
    a.edit(&insert("x"));
    meet(&mut a, &mut b);
    a.edit(&Edit::Remove { cell: cell(2), element: "x".into() });
    b.edit(&insert("x"));
    meet(&mut a, &mut b);
    assert_eq!(shown(&a, 2), Some(Content::Set(["x".into()].into())));
    assert_eq!(shown(&a, 2), shown(&b, 2));
}

#[test]
fn amounts_of_every_size_are_summed() {
    let (mut a, mut b) = (document(1), document(2));
    for amount in [0, 1, -1, 63, 64, -64, 0x7fff_ffff, -0x7fff_ffff, 1 << 40, i64::MIN, i64::MAX] {
        a.edit(&add(amount));
        meet(&mut a, &mut b);
        assert_eq!(shown(&a, 1), shown(&b, 1), "after {amount}");
    }
    assert_eq!(shown(&b, 1), Some(Content::Counter((1 << 40) + 62)), "the two largest make -1");
    b.edit(&Edit::Delete { record: RecordId(0) });
    a.edit(&add(5));
    meet(&mut a, &mut b);
    assert_eq!(shown(&a, 1), Some(Content::Counter(5)), "what was not seen is not deleted");
    assert_eq!(shown(&a, 1), shown(&b, 1));
}

#[test]
fn random_texts_converge_and_their_state_has_one_encoding() {
    for seed in 0..60 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut documents = [document(1), document(2), document(3)];
        for _ in 0..60 {
            let at = rng.random_range(0..3);
            let length = documents[at].length(cell(3));
            if rng.random_bool(0.7) {
                let from = rng.random_range(0..=length);
                let delete = rng.random_range(0..=(length - from).min(3));
                let text = ["", "a", "bc", "ñ", "😀", "x😀y"][rng.random_range(0..6)];
                documents[at].edit(&typed(from, delete, text));
            } else {
                let other = (at + rng.random_range(1..3)) % 3;
                let update = documents[at].difference(documents[other].vector());
                assert_eq!(documents[other].check(&update), Ok(()), "seed {seed}");
                documents[other].apply(&update).expect("it was checked");
            }
        }
        for _ in 0..2 {
            let [a, b, c] = &mut documents;
            meet(a, b);
            meet(b, c);
            meet(a, c);
        }
        let states = documents.each_ref().map(|document| document.difference(&Vector::new()));
        assert!(states[1..].iter().all(|state| *state == states[0]), "seed {seed}");
        assert_eq!(shown(&documents[0], 3), shown(&documents[2], 3), "seed {seed}");
    }
}

/// Two blocks of different clients may each need the other's first one.
#[test]
fn blocks_that_need_each_other_in_turns_are_taken_in() {
    let (mut a, mut b, mut c) = (document(1), document(2), document(3));
    for n in 0..6 {
        a.edit(&typed(0, 0, "a"));
        meet(&mut a, &mut b);
        b.edit(&typed(n % 2, 0, "b"));
        meet(&mut a, &mut b);
    }
    meet(&mut a, &mut c);
    assert_eq!(shown(&a, 3), shown(&c, 3));
}

#[test]
fn what_builds_on_what_is_not_here_is_a_gap() {
    let (mut a, b) = (document(1), document(2));
    let (first, _) = a.edit(&typed(0, 0, "first"));
    let (second, _) = a.edit(&typed(5, 0, "second"));
    let (deletion, _) = a.edit(&typed(0, 3, ""));
    assert_eq!(b.check(&first), Ok(()));
    assert_eq!(b.check(&second), Err(Fault::Gap));
    assert_eq!(b.check(&deletion), Err(Fault::Gap));
    // A circle: each block's origin is the other client's.
    let mut circle = first.clone();
    let mut block = circle.blocks[&client_of(ReplicaId(1), 0)][0].clone();
    (block.parent, block.origin) = (None, Some(Id { client: 9, clock: 0 }));
    let mut other = block.clone();
    other.origin = Some(Id { client: 8, clock: 0 });
    circle.blocks = [(8, vec![block]), (9, vec![other])].into();
    assert_eq!(b.check(&circle), Err(Fault::Gap));
}

#[test]
fn what_does_not_fit_is_refused() {
    let (mut a, b) = (document(1), document(2));
    let client = a.client();
    let (first, _) = a.edit(&put("x"));
    let altered = |alter: fn(&mut super::update::Block)| {
        let mut update = first.clone();
        alter(&mut update.blocks.get_mut(&client).expect("its author's")[0]);
        b.check(&update)
    };
    assert_eq!(altered(|_| {}), Ok(()));
    for alter in [
        |block: &mut super::update::Block| block.held = Held::Values(vec![Any::True]),
        |block: &mut super::update::Block| block.held = Held::Text("x".into(), 1),
        |block: &mut super::update::Block| block.parent = Some(("r".into(), Some("00.0".into()))),
        |block: &mut super::update::Block| block.parent = Some(("r".into(), Some("0.3".into()))),
        |block: &mut super::update::Block| block.parent = Some(("t0.0".into(), None)),
    ] {
        assert!(matches!(altered(alter), Err(Fault::Nonsense(_))));
    }
}

#[test]
fn messages_survive_and_nothing_else_is_read() {
    let (update, _) = document(1).edit(&typed(0, 0, "word"));
    for message in [
        Message::Step1 { answers: false, incarnation: 0, vector: [(1, 2), (7, 1)].into() },
        Message::Step1 { answers: true, incarnation: 3, vector: Vector::new() },
        Message::Step2 { serial: 300, update: update.clone() },
        Message::Since { serial: 1, update: Update::default() },
        Message::Ack { serial: 1 << 40 },
    ] {
        let bytes = message.write();
        assert_eq!(Message::read(&bytes), Ok(message));
        assert!(Message::read(&[&bytes[..], &[0]].concat()).is_err());
    }
}

#[test]
fn ranges_of_ids_are_joined() {
    for seed in 0..100 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (mut ids, mut reference) = (Ids::default(), [false; 40]);
        for _ in 0..12 {
            let start = rng.random_range(0..36u32);
            let end = start + rng.random_range(1..4);
            ids.insert(1, start, end);
            reference[start as usize..end as usize].fill(true);
        }
        for (clock, is_in) in reference.iter().enumerate() {
            let id = Id { client: 1, clock: clock as u32 };
            assert_eq!(ids.contains(id), *is_in, "seed {seed}");
        }
        let ranges: Vec<_> = ids.iter().collect();
        assert!(ranges.windows(2).all(|pair| pair[0].2 < pair[1].1), "seed {seed}: {ranges:?}");
    }
}
