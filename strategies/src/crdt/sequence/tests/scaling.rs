//! What an edit costs in short and long texts, counted.

use super::*;
use crate::crdt::{DIGEST, DIGEST_RGA};
use crate::*;

/// A text of about so many characters, in runs of ten at random places, and its twin that got them from afar. The most items a
/// remote insertion looked at.
fn grown(order: TextOrder, chars: usize) -> (Sequence, Sequence, u64) {
    let mut rng = ChaCha8Rng::seed_from_u64(chars as u64);
    let (mut text, mut twin) = (Sequence::new(order), Sequence::new(order));
    let agent = Agent::new(ReplicaId(0), 0);
    let mut most = 0;
    for n in 0..chars as u64 / 10 {
        let first = Dot { agent, counter: 1 + n * 10 };
        let at = rng.random_range(0..=text.len());
        let (left, claim) = text.insert_at(at, first, "0123456789");
        most = most.max(twin.insert_beside(first, left, claim, "0123456789"));
    }
    (text, twin, most)
}

#[test]
fn an_edit_takes_logarithmic_steps_in_the_length_of_the_text() {
    for order in [TextOrder::FugueMax, TextOrder::Rga] {
        for (chars, steps) in [(1_000, 190), (10_000, 190), (100_000, 253), (1_000_000, 253)] {
            let (text, twin, most) = grown(order, chars);
            assert_eq!(text.text(), twin.text(), "{order:?}, {chars} characters");
            for text in [text, twin] {
                let most = text.chunks.most_steps();
                assert!(most <= steps, "{order:?}: {most} steps in {chars} characters");
            }
            assert!(most <= 2, "{order:?}: {most} items looked at in {chars} characters");
        }
    }
}

#[test]
fn counted_work_of_an_edit_grows_by_the_same_for_every_ten_times_longer_text() {
    const TEXT: Cell = Cell { record: RecordId(0), field: FieldId(0) };
    let schema = Schema::new(vec![FieldKind::Text]);
    for strategy in [DIGEST, DIGEST_RGA] {
        let mut replica = strategy.create(&Seat {
            replica: ReplicaId(0),
            peers: &[],
            members: &[ReplicaId(0)],
            partitions: Partitions::WHOLE,
            authority: None,
            schema: &schema,
            genesis: &[],
            transport: Transport::Session,
            incarnation: 0,
        });
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let (mut length, mut sequence, mut before) = (0usize, 0, None);
        let mut edit = |at: usize, insert: &str| {
            let edit = Edit::Splice { cell: TEXT, at, delete: 1, insert: insert.to_owned() };
            let (mut out, id) = (Outbox::new(), EditId { origin: ReplicaId(0), sequence });
            sequence += 1;
            let clock = Clock { now: Tick(0), wall: WallTime(0) };
            replica.handle(clock, Input::Edit { id, edit: &edit }, &mut out).expect("own edit");
            out.work_units
        };
        for chars in [1_000, 10_000, 100_000, 1_000_000] {
            while length < chars {
                edit(rng.random_range(0..=length), "0123456789");
                length += 9;
            }
            // The least of several batches: now and then one pays for a search of the whole text, which many edits have earned.
            let batches = (0..10)
                .map(|_| -> u64 { (0..100).map(|_| edit(rng.random_range(0..length), "x")).sum() });
            let work = batches.min().expect("ten of them");
            let grew = work.saturating_sub(before.unwrap_or(work));
            assert!(grew <= 4 * 100, "{}: {grew} more at {chars}", strategy.name());
            before = Some(work);
        }
    }
}
