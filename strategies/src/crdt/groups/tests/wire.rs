//! Bytes: what is written is read again, whatever arrives is refused or understood, and nothing is wasted.

use super::world::{World, edit_text, put, random_edit};
use super::*;
use crate::crdt::groups::codec::{read_group, write_group};
use crate::crdt::groups::group::Group;
use crate::crdt::groups::message::{Body, read_message};
use crate::wire::{Reader, Writer};

/// The groups that a random history puts on the wire.
fn groups_of(seed: u64, strategy: Groups) -> Vec<Group> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut world = World::new(strategy, 3, Shape::Mesh, Transport::Datagram);
    world.drain();
    let mut groups = Vec::new();
    for serial in 0..60 {
        let me = rng.random_range(0..3);
        let edit = random_edit(&mut rng, &world.shown(me), serial);
        world.edit(me, edit);
        if rng.random_bool(0.5) {
            world.sync(me, (me + 1) % 3);
            for (bytes, _) in world.links.values().flatten() {
                if let Ok((_, Body::Group { group, .. })) = read_message(bytes) {
                    groups.push(group);
                }
            }
            world.drain();
        }
    }
    groups
}

fn written(group: &Group) -> Vec<u8> {
    let mut writer = Writer::new();
    write_group(&mut writer, group);
    writer.finish()
}

#[test]
fn a_group_survives_the_wire() {
    let mut count = 0;
    for seed in 0..40 {
        for strategy in [DELTA, DELTA_BP_RR] {
            for group in groups_of(seed, strategy) {
                let bytes = written(&group);
                let mut reader = Reader::new(&bytes);
                assert_eq!(read_group(&mut reader), Ok(group), "seed {seed}");
                assert!(reader.is_empty(), "seed {seed}");
                count += 1;
            }
        }
    }
    assert!(count > 1000, "only {count} groups were seen");
}

#[test]
fn a_group_that_is_cut_off_or_flipped_is_refused_or_another_group() {
    for seed in 0..20 {
        for group in groups_of(seed, DELTA).iter().take(6) {
            let bytes = written(group);
            for length in 0..bytes.len() {
                let mut reader = Reader::new(&bytes[..length]);
                assert!(read_group(&mut reader).is_err(), "seed {seed}: {length} bytes");
            }
            for at in 0..bytes.len() {
                for bit in 0..8 {
                    let mut flipped = bytes.clone();
                    flipped[at] ^= 1 << bit;
                    let mut reader = Reader::new(&flipped);
                    if let Ok(other) = read_group(&mut reader) {
                        // What is understood is written as it was read, as far as it was read.
                        let again = written(&other);
                        assert_eq!(again[..], flipped[..again.len()], "seed {seed}, byte {at}");
                    }
                }
            }
        }
    }
}

/// Bytes that replica 0 puts on the wire to tell replica 1 of edits; nothing else is in flight.
fn bytes_for(strategy: Groups, edits: impl IntoIterator<Item = Edit>) -> usize {
    let mut world = World::new(strategy, 2, Shape::Mesh, Transport::Session);
    world.settle("at first");
    edits.into_iter().for_each(|edit| world.edit(0, edit));
    world.sync(0, 1);
    let sent = world.links[&(0, 1)].iter().map(|(bytes, _)| bytes.len()).sum();
    world.drain();
    world.assert_converged(strategy.name);
    sent
}

#[test]
fn encodings_do_not_waste() {
    let typed = |n: usize| edit_text(1, n, 0, "x");
    for strategy in [DELTA, DELTA_BP, DELTA_RR, DELTA_BP_RR] {
        // A value of 5 bytes: 16 more say which register, whose put, and where in the stream.
        assert!(bytes_for(strategy, [put(1, "value")]) <= 21, "{}", strategy.name);
        // Typing is one run, whose characters take their own bytes.
        assert!(bytes_for(strategy, (0..1000).map(typed)) <= 1030, "{}", strategy.name);
        // A put takes a byte or two beside its value, its record, its field.
        let puts = (0..100).map(|record| put(record, "value"));
        assert!(bytes_for(strategy, puts) <= 100 * 12 + 20, "{}", strategy.name);
        // Of values that were overtaken nothing is left.
        let puts = (0..100).map(|n| put(1, &format!("value {n}")));
        assert!(bytes_for(strategy, puts) <= 30, "{}", strategy.name);
    }
}
