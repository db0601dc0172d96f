//! Whole replicas in small worlds: whatever is lost, doubled, reordered, restarted, forgotten or given up, all end with one document,
//! and the reports agree with it. And the lattice that they exchange parts of.

mod lattice;
mod stable;
mod wire;
mod world;

use super::*;
use crate::contract::*;
use crate::document::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use world::{Shape, World};

/// The family.
pub const ALL: [Groups; 5] = [STATE, DELTA, DELTA_BP, DELTA_RR, DELTA_BP_RR];

const SHAPES: [Shape; 4] = [Shape::Star, Shape::Mesh, Shape::Tree, Shape::Ring];

/// What may go wrong in a random history, beside what always may.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Faults {
    /// Devices restart with all they had.
    Restarts,
    /// Memories are lost too, wholly or back to an older snapshot.
    Amnesia,
    /// Devices are given up for gone too, and come back.
    Absence,
}

fn random_history(seed: u64, strategy: Groups, transport: Transport, faults: Faults) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let shape = SHAPES[seed as usize % 4];
    let label = format!("seed {seed}, {}, {shape:?}, {transport:?}", strategy.name);
    let mut world = World::new(strategy, rng.random_range(2..6), shape, transport);
    let count = world.replicas.len();
    let mut older = vec![None; count];
    for _ in 0..rng.random_range(20..160) {
        let pairs = world.pairs();
        let pair = pairs[rng.random_range(0..pairs.len())];
        let (from, to) = if rng.random_bool(0.5) { pair } else { (pair.1, pair.0) };
        let me = rng.random_range(0..count);
        match rng.random_range(0..40) {
            0..15 => world.random_edit(&mut rng, me),
            15..26 => world.pass(from, to, &mut rng),
            26..33 if world.open.contains(&pair) || transport == Transport::Datagram => {
                world.sync(from, to);
            }
            26..33 if world.is_present(from) && world.is_present(to) => {
                world.link(pair, LinkState::Open);
                world.sync(pair.0, pair.1);
            }
            33 | 34 if world.open.contains(&pair) => world.link(pair, LinkState::Lost),
            35 => world.restart(me, None),
            36 => older[me] = Some(world.snapshot(me)),
            37 if faults == Faults::Amnesia => {
                let older = older[me].take();
                world.restart(me, Some(older));
            }
            38 if faults == Faults::Absence => match world.absent() {
                Some(absent) => world.back(absent),
                None => world.gone(me),
            },
            _ => {}
        }
    }
    if let Some(absent) = world.absent() {
        world.back(absent);
    }
    world.settle(&label);
    world.assert_converged(&label);
    world.assert_reports(&label);
    world.assert_conflicts(&label);
}

fn random_histories(faults: Faults) {
    for seed in 0..200 {
        for strategy in ALL {
            let transport =
                if seed / 4 % 2 == 0 { Transport::Session } else { Transport::Datagram };
            random_history(seed, strategy, transport, faults);
        }
    }
}

#[test]
fn whatever_is_lost_and_whoever_restarts_all_end_in_one_document() {
    random_histories(Faults::Restarts);
}

#[test]
fn memories_that_are_lost_come_back_from_the_others() {
    random_histories(Faults::Amnesia);
}

#[test]
fn who_was_given_up_comes_back_and_loses_none_of_its_edits() {
    random_histories(Faults::Absence);
}

/// A replica that is away holds everybody's buffer until it is given up; then nothing is kept for it, it gets the whole state when
/// it is back, and what it did meanwhile reaches everybody.
#[test]
fn the_buffer_waits_for_everybody_but_those_who_are_gone() {
    for strategy in [DELTA, DELTA_BP, DELTA_RR, DELTA_BP_RR] {
        let mut world = World::new(strategy, 3, Shape::Mesh, Transport::Session);
        world.settle("at first");
        world.cut_off(2);
        for n in 0..200 {
            world.edit(0, world::put(1, &format!("value {n}")));
            world.edit(1, world::insert(1, &format!("element {n}")));
            world.sync(0, 1);
            world.sync(1, 0);
            world.drain();
        }
        for _ in 0..3 {
            world.sync(0, 1);
            world.sync(1, 0);
            world.drain();
        }
        world.edit(2, world::insert(2, "made far away"));
        world.edit(2, world::edit_text(0, 4, 0, "and far away "));
        let history = |world: &World, me: usize| world.replicas[me].footprint().history_bytes;
        let before = [0, 1].map(|me| history(&world, me));
        assert!(before.iter().all(|bytes| *bytes > 200 * 16), "{}: {before:?}", strategy.name);
        world.gone(2);
        assert!([0, 1].iter().all(|me| history(&world, *me) == 0), "{}", strategy.name);
        world.back(2);
        world.settle(strategy.name);
        world.assert_converged(strategy.name);
        world.assert_reports(strategy.name);
        let shown = world.shown(0);
        let text = shown.get(world::cell(0, 3)).expect("the text is shown").first().clone();
        assert_eq!(
            text,
            Content::Text("onceand far away  upon a time".into()),
            "{}",
            strategy.name
        );
        assert!(world.wholes > 0, "{}: it got the whole state", strategy.name);
    }
}

/// Without faults nobody ever sends a whole state, but where that is the protocol.
#[test]
fn groups_are_enough_where_no_memory_is_lost() {
    for strategy in [DELTA, DELTA_BP, DELTA_RR, DELTA_BP_RR] {
        for seed in 0..30 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let shape = SHAPES[seed as usize % 4];
            let mut world = World::new(strategy, 4, shape, Transport::Session);
            for _ in 0..100 {
                let pairs = world.pairs();
                let pair = pairs[rng.random_range(0..pairs.len())];
                let me = rng.random_range(0..4);
                match rng.random_range(0..6) {
                    0..3 => world.random_edit(&mut rng, me),
                    3 if world.open.contains(&pair) => world.link(pair, LinkState::Lost),
                    3 => world.link(pair, LinkState::Open),
                    4 if world.open.contains(&pair) => world.sync(pair.0, pair.1),
                    _ => world.pass(pair.0, pair.1, &mut rng),
                }
            }
            world.settle(strategy.name);
            assert_eq!(world.wholes, 0, "seed {seed}, {}", strategy.name);
        }
    }
}

/// An edit that goes on where nobody was told of the last one joins that one; where somebody may have been, even if the session was lost
/// since, it does not.
#[test]
fn what_somebody_may_have_been_told_never_changes() {
    for strategy in ALL {
        let mut world = World::new(strategy, 2, Shape::Mesh, Transport::Session);
        world.settle("at first");
        world.edit(0, world::put(1, "told"));
        world.sync(0, 1);
        world.deliver(0, 1);
        // The answer is lost.
        world.link((0, 1), LinkState::Lost);
        world.edit(0, world::put(2, "later"));
        world.settle(strategy.name);
        world.assert_converged(strategy.name);
        assert!(world.shown(1).get(world::cell(2, 0)).is_some(), "{}", strategy.name);
    }
}

/// Only what a message holds after joining is counted and sent.
#[test]
fn joining_forgets_what_was_overtaken() {
    for strategy in [DELTA, DELTA_BP, DELTA_RR, DELTA_BP_RR] {
        let mut world = World::new(strategy, 2, Shape::Mesh, Transport::Session);
        world.settle("at first");
        for n in 0..10 {
            world.edit(0, world::put(1, &format!("v{n}")));
            world.edit(0, world::add(1, n + 1));
        }
        world.edit(0, world::insert(1, "here"));
        world.edit(0, world::insert(1, "gone"));
        world.edit(0, world::remove(1, "gone"));
        world.edit(0, world::edit_text(1, 0, 0, "word"));
        world.edit(0, world::edit_text(1, 2, 2, "ol"));
        let elements = world.elements;
        world.sync(0, 1);
        // One put, one sum, two insertions (one of them only as removed), and six characters (two of them only as deleted).
        assert_eq!(world.elements - elements, 1 + 1 + 2 + 6, "{}", strategy.name);
        world.settle(strategy.name);
        world.assert_converged(strategy.name);
        world.assert_reports(strategy.name);
    }
}

#[test]
fn an_answer_given_after_one_s_own_later_put_replaces_that_too() {
    for strategy in ALL {
        let mut world = World::new(strategy, 2, Shape::Mesh, Transport::Session);
        world.settle("at first");
        world.edit(0, world::put(1, "left"));
        world.edit(1, world::put(1, "right"));
        world.settle(strategy.name);
        let answer = world.answer(0, 1);
        world.edit(0, world::put(1, "something else meanwhile"));
        world.edit(0, answer);
        world.settle(strategy.name);
        world.assert_converged(strategy.name);
        world.assert_reports(strategy.name);
        let shown = world.shown(1);
        let shown = shown.get(world::cell(1, 0)).expect("there is an answer");
        assert!(matches!(shown, Shown::Settled(_)), "{}: {shown:?}", strategy.name);
    }
}
