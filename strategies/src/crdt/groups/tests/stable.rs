//! What everybody has goes, and whoever was gone comes back without harm.

use super::world::{World, add, cell, edit_text, insert, put};
use super::*;
use crate::document::Content;

/// A record that nothing is ever taken away from.
const PRECIOUS: u32 = 7;

/// Types and deletes as much.
fn write_steadily(world: &mut World, me: usize, round: usize) {
    for n in 0..4 {
        let length = world.replicas[me].length(cell(1, 3));
        let at = (round * 31 + n * 7 + me * 3) % (length + 1).min(60);
        world.edit(me, edit_text(1, at, length.saturating_sub(60), "key"));
    }
    world.edit(me, put(1, "as long"));
}

fn largest(world: &World, but: Option<usize>) -> u64 {
    let others = world.replicas.iter().enumerate().filter(|(me, _)| Some(*me) != but);
    others.map(|(_, replica)| replica.footprint().total()).max().expect("there are replicas")
}

#[test]
fn deleted_characters_go_in_every_shape() {
    for strategy in ALL {
        for shape in SHAPES {
            let mut world = World::new(strategy, 4, shape, Transport::Session);
            let mut sizes = Vec::new();
            for round in 0..120 {
                (0..4).for_each(|me| write_steadily(&mut world, me, round));
                world.settle(strategy.name);
                sizes.push(largest(&world, None));
            }
            let [half, end] = [40..80, 80..120].map(|of| sizes[of].iter().max().copied());
            let label = format!("{} in a {shape:?}: {sizes:?}", strategy.name);
            assert!(end.expect("rounds") < half.expect("rounds") * 11 / 10, "{label}");
            world.assert_converged(&label);
        }
    }
}

#[test]
fn one_that_was_gone_for_long_loses_nothing() {
    for strategy in ALL {
        for (shape, away) in
            [(Shape::Star, 2), (Shape::Mesh, 0), (Shape::Tree, 3), (Shape::Ring, 1)]
        {
            let label = format!("{} in a {shape:?}, {away} away", strategy.name);
            let mut world = World::new(strategy, 4, shape, Transport::Session);
            world.edit(1, edit_text(PRECIOUS, 0, 0, "the quick brown fox jumps"));
            world.settle(&label);
            world.gone(away);
            // Its words stand beside characters that the others delete and forget.
            world.edit(away, edit_text(PRECIOUS, 10, 0, "dark "));
            world.edit(away, edit_text(PRECIOUS, 15, 0, "reddish "));
            world.edit(away, edit_text(PRECIOUS, 0, 4, ""));
            world.edit(away, insert(PRECIOUS, "own"));
            world.edit(away, add(PRECIOUS, 5));
            world.edit(away, put(PRECIOUS, "own"));
            let others: Vec<usize> = (0..4).filter(|me| *me != away).collect();
            world.edit(others[0], edit_text(PRECIOUS, 9, 10, ""));
            world.edit(others[1], insert(PRECIOUS, "theirs"));
            world.edit(others[1], add(PRECIOUS, 100));
            let mut sizes = Vec::new();
            for round in 0..120 {
                others.iter().for_each(|me| write_steadily(&mut world, *me, round));
                world.settle(&label);
                sizes.push(largest(&world, Some(away)));
            }
            let [half, end] = [40..80, 80..120].map(|of| sizes[of].iter().max().copied());
            let flat = end.expect("rounds") < half.expect("rounds") * 11 / 10;
            assert!(flat, "{label}: the others let nothing go: {sizes:?}");
            world.back(away);
            world.settle(&label);
            world.assert_converged(&label);
            let shown = world.shown(others[0]);
            let content = |field| shown.get(cell(PRECIOUS, field)).map(Shown::first).cloned();
            let text = content(3);
            assert_eq!(text, Some(Content::Text("quickdark reddish  jumps".into())), "{label}");
            assert_eq!(content(2), Some(Content::Set(["own".into(), "theirs".into()].into())));
            assert_eq!(content(1), Some(Content::Counter(105)), "{label}");
            assert_eq!(content(0), Some(Content::Register(Some("own".into()))), "{label}");
            // And afterwards it is one of them again.
            for round in 0..80 {
                (0..4).for_each(|me| write_steadily(&mut world, me, round));
                world.settle(&label);
            }
            let after = largest(&world, None);
            assert!(after < half.expect("rounds") * 2, "{label}: {after}");
            world.assert_converged(&label);
        }
    }
}

/// Letters typed into a text in which much is deleted all the time are there in the end, whoever was gone meanwhile.
#[test]
fn random_histories_with_members_that_come_and_go_lose_no_letter() {
    for strategy in ALL {
        for seed in 0..24 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let shape = SHAPES[seed as usize % SHAPES.len()];
            let transport = if seed % 3 < 2 { Transport::Session } else { Transport::Datagram };
            let label = format!("{}, seed {seed}, {shape:?}, {transport:?}", strategy.name);
            let mut world = World::new(strategy, 4, shape, transport);
            let mut letters = 0;
            for round in 0..rng.random_range(20..120) {
                for _ in 0..6 {
                    let me = rng.random_range(0..4);
                    let length = world.replicas[me].length(cell(PRECIOUS, 3));
                    match rng.random_range(0..12) {
                        0 => {
                            let at = rng.random_range(0..=length);
                            world.edit(me, edit_text(PRECIOUS, at, 0, "L"));
                            letters += 1;
                        }
                        1..6 => write_steadily(&mut world, me, round),
                        6 => world.restart(me, None),
                        7 if world.absent().is_none() => world.gone(me),
                        8 => {
                            if let Some(me) = world.absent() {
                                world.back(me);
                            }
                        }
                        _ => world.random_edit(&mut rng, me),
                    }
                }
                if rng.random_range(0..3) > 0 {
                    world.settle(&label);
                }
            }
            if let Some(me) = world.absent() {
                world.back(me);
            }
            world.settle(&label);
            world.assert_converged(&label);
            world.assert_conflicts(&label);
            let length = world.replicas[0].length(cell(PRECIOUS, 3));
            assert_eq!(length, letters, "{label}");
        }
    }
}
