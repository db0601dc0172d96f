//! What everybody has goes, and whoever was gone comes back without harm.

use super::super::message::{Body, Brought, read_message, write_message};
use super::*;
use crate::crdt::op::Op;

const SHAPES: [Shape; 3] = [Shape::Star, Shape::Mesh, Shape::Tree];

/// A record that nothing is ever taken away from.
const PRECIOUS: u32 = 7;

/// Types and deletes, puts, inserts and removes, so that the document stays as large as it is.
fn edit_steadily(world: &mut World, me: usize, round: usize) {
    let text = cell(1, 3);
    let length = world.replicas[me].length(text);
    for n in 0..6 {
        let at = (round * 31 + n * 7 + me) % (length + 1).min(60);
        world.edit(me, edit_text(1, at, 0, "k"));
    }
    let length = world.replicas[me].length(text);
    if length > 60 && round % world.replicas.len() == me {
        world.edit(me, edit_text(1, (round * 13 + me) % 40, length - 60, ""));
    }
    world.edit(me, put(1, &format!("{:05}", round % 100_000)));
    world.edit(me, insert(1, &format!("{me}")));
    world.edit(me, remove(1, &format!("{}", (me + 1) % 4)));
    world.edit(me, add(1, 1));
}

/// Metadata and history of the largest replica.
fn overhead(world: &World) -> u64 {
    let of = |replica: &dyn Replica| {
        let footprint = replica.footprint();
        footprint.metadata_bytes + footprint.history_bytes
    };
    world.replicas.iter().map(|replica| of(&**replica)).max().expect("there are replicas")
}

/// The slope of a line through equidistant points, by least squares, in units a point.
fn slope(points: &[u64]) -> f64 {
    let count = points.len() as f64;
    let (mid_x, mid_y) = ((count - 1.0) / 2.0, points.iter().sum::<u64>() as f64 / count);
    let along = |(n, y): (usize, &u64)| (n as f64 - mid_x) * (*y as f64 - mid_y);
    let above: f64 = points.iter().enumerate().map(along).sum();
    above / (0..points.len()).map(|n| (n as f64 - mid_x) * (n as f64 - mid_x)).sum::<f64>()
}

#[test]
fn under_steady_editing_the_footprint_is_flat() {
    for strategy in STRATEGIES {
        for shape in SHAPES {
            let mut world = World::new(strategy, 4, shape, Transport::Session);
            let mut sizes = Vec::new();
            for round in 0..360 {
                for me in 0..4 {
                    edit_steadily(&mut world, me, round);
                }
                world.settle();
                sizes.push(overhead(&world));
            }
            let (label, flat) = (format!("{} in a {shape:?}", strategy.name()), &sizes[120..]);
            let mean = flat.iter().sum::<u64>() as f64 / flat.len() as f64;
            let growth = slope(flat) * flat.len() as f64 / mean;
            assert!(growth.abs() < 0.1, "{label}: {growth} of {mean} in {flat:?}");
            world.assert_converged(&label);
            // What a replica alone keeps of as much typing, by comparison.
            let unheard = World::new(strategy, 4, shape, Transport::Session);
            let mut unheard = unheard;
            for round in 0..360 {
                edit_steadily(&mut unheard, 1, round);
            }
            assert!(overhead(&unheard) as f64 > 3.0 * mean, "{label}: {mean} is not small");
        }
    }
}

#[test]
fn what_members_say_costs_little() {
    for shape in SHAPES {
        let mut world = World::new(DIGEST, 8, shape, Transport::Session);
        let (mut all, mut said) = (0, 0);
        for round in 0..150 {
            for me in 0..8 {
                edit_steadily(&mut world, me, round);
            }
            world.open_all();
            for pair in world.pairs() {
                for (from, to) in [pair, (pair.1, pair.0)] {
                    world.sync(from, to);
                    while let Some((bytes, _)) = world.links[&(from, to)].front().cloned() {
                        let (head, brought) = read_message(&bytes).expect("an honest message");
                        if let Brought::Deltas(deltas) = &brought {
                            let plain = deltas.iter().filter(|d| !matches!(d.op, Op::Saw(_)));
                            let plain = Body::Deltas(plain.map(|delta| (delta, 0)).collect());
                            let plain = write_message(&head, &plain).map_or(0, |bytes| bytes.len());
                            said += bytes.len() - plain.min(bytes.len());
                        }
                        all += bytes.len();
                        world.deliver(from, to);
                    }
                }
            }
        }
        world.settle();
        assert!(said > 0 && said * 20 < all, "{shape:?}: {said} of {all} bytes");
    }
}

/// A replica loses its links and is presumed gone.
fn leave(world: &mut World, me: usize) {
    for pair in world.pairs() {
        if (pair.0 == me || pair.1 == me) && world.open.contains(&pair) {
            world.link(pair, LinkState::Lost);
        }
    }
    tell_all(world, me, SeatChange::Gone { replica: ReplicaId(me as u32) });
}

fn tell_all(world: &mut World, but: usize, change: SeatChange) {
    for me in 0..world.replicas.len() {
        if me != but {
            world.handle(me, Input::Seat(change));
        }
    }
}

#[test]
fn one_that_was_gone_for_long_loses_nothing() {
    for strategy in STRATEGIES {
        for (shape, away) in
            [(Shape::Star, 2), (Shape::Mesh, 0), (Shape::Mesh, 3), (Shape::Tree, 3)]
        {
            let label = format!("{} in a {shape:?}, {away} away", strategy.name());
            let mut world = World::new(strategy, 4, shape, Transport::Session);
            world.edit(1, edit_text(PRECIOUS, 0, 0, "the quick brown fox jumps"));
            world.settle();
            leave(&mut world, away);
            // Its words stand beside characters that the others delete and forget.
            world.edit(away, edit_text(PRECIOUS, 10, 0, "dark "));
            world.edit(away, edit_text(PRECIOUS, 15, 0, "reddish "));
            world.edit(away, edit_text(PRECIOUS, 0, 4, ""));
            world.edit(away, insert(PRECIOUS, "own"));
            world.edit(away, add(PRECIOUS, 5));
            let own = world.edit(away, put(PRECIOUS, "own"));
            let others: Vec<usize> = (0..4).filter(|me| *me != away).collect();
            world.edit(others[0], edit_text(PRECIOUS, 9, 10, ""));
            world.edit(others[1], insert(PRECIOUS, "theirs"));
            world.edit(others[1], add(PRECIOUS, 100));
            let mut sizes = Vec::new();
            for round in 0..250 {
                for me in &others {
                    edit_steadily(&mut world, *me, round);
                }
                world.settle_but(Some(away));
                sizes.push(others.iter().map(|me| history(&world, *me)).max().expect("others"));
            }
            let [early, late] = [50..150, 150..250]
                .map(|of: std::ops::Range<usize>| sizes[of].iter().max().copied().expect("rounds"));
            assert!(late < early * 5 / 4, "{label}: the others let nothing go: {early}, {late}");
            tell_all(&mut world, away, SeatChange::Back { replica: ReplicaId(away as u32) });
            world.settle();
            world.assert_converged(&label);
            assert!(world.states > 0, "{label}: a snapshot brings it back");
            let shown = world.shown(others[0]);
            let content = |field| shown.get(cell(PRECIOUS, field)).map(Shown::first).cloned();
            let text = content(3);
            assert_eq!(text, Some(Content::Text("quickdark reddish  jumps".into())), "{label}");
            assert_eq!(content(2), Some(Content::Set(["own".into(), "theirs".into()].into())));
            assert_eq!(content(1), Some(Content::Counter(105)), "{label}");
            assert_eq!(content(0), Some(Content::Register(Some("own".into()))), "{label}");
            // What came with the snapshot and had lost before is not taken to be shown.
            world.assert_reports(&label);
            for me in &others {
                let told = world.reported[*me].contains(&own);
                assert!(told, "{label}: {me} is told of the edits under their own ids");
            }
            // And afterwards it is one of them again.
            for round in 0..150 {
                for me in 0..4 {
                    edit_steadily(&mut world, me, round);
                }
                world.settle();
            }
            let after = (0..4).map(|me| history(&world, me)).max().expect("all");
            assert!(after < early * 2, "{label}: {after} is more than {early}");
            world.assert_converged(&label);
        }
    }
}

/// A replica that was presumed gone has made its edits again when a datagram from its old life arrives.
#[test]
fn what_comes_late_from_a_life_that_is_over_counts_for_nothing() {
    for strategy in STRATEGIES {
        let label = strategy.name();
        let mut world = World::new(strategy, 3, Shape::Star, Transport::Datagram);
        world.settle();
        world.edit(1, add(PRECIOUS, 1));
        world.settle();
        tell_all(&mut world, 1, SeatChange::Gone { replica: ReplicaId(1) });
        world.edit(1, add(PRECIOUS, 5));
        world.edit(1, edit_text(PRECIOUS, 0, 0, "once"));
        world.sync(1, 0);
        let late = world.links.remove(&(1, 0)).expect("something to say");
        tell_all(&mut world, 1, SeatChange::Back { replica: ReplicaId(1) });
        world.sync(0, 1);
        world.drain();
        let from = ReplicaId(1);
        for (bytes, cargo) in &late {
            world.handle(0, Input::Receive { from, bytes, cargo });
        }
        world.settle();
        for writer in [0, 2] {
            world.edit(writer, put(1, "and so on"));
            world.settle();
        }
        world.assert_converged(label);
        world.assert_reports(label);
        let shown = world.shown(0);
        let content = |field| shown.get(cell(PRECIOUS, field)).map(Shown::first).cloned();
        assert_eq!(content(1), Some(Content::Counter(6)), "{label}");
        assert_eq!(content(3), Some(Content::Text("once".into())), "{label}");
    }
}

fn history(world: &World, me: usize) -> u64 {
    world.replicas[me].footprint().history_bytes
}

#[test]
fn random_histories_with_members_that_come_and_go() {
    for (strategy, seed, label) in cases(100) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let shape = SHAPES[seed as usize % 3];
        let transport = if seed % 4 < 2 { Transport::Session } else { Transport::Datagram };
        let count = rng.random_range(2..6);
        let mut world = World::new(strategy, count, shape, transport);
        let count = count as usize;
        world.label = format!("{label}, {shape:?}, {transport:?}, {count}");
        let mut away: BTreeSet<usize> = BTreeSet::new();
        // Not everybody hears of it at once.
        let mut notices: Vec<(usize, SeatChange)> = Vec::new();
        let (mut precious, mut letters) = (Vec::new(), 0);
        for step in 0..rng.random_range(50..400) {
            let pairs = world.pairs();
            let pair = pairs[rng.random_range(0..pairs.len())];
            let me = rng.random_range(0..count);
            // Those away may be together.
            let usable = away.contains(&pair.0) == away.contains(&pair.1);
            let (from, to) = if rng.random_range(0..2) == 0 { pair } else { (pair.1, pair.0) };
            match rng.random_range(0..40) {
                0..12 => drop(world.random_edit(&mut rng, me)),
                12..15 => {
                    let element = format!("p{step}");
                    world.edit(me, insert(PRECIOUS, &element));
                    precious.push(element);
                }
                15..17 => {
                    let at = rng.random_range(0..=world.replicas[me].length(cell(PRECIOUS, 3)));
                    world.edit(me, edit_text(PRECIOUS, at, 0, "L"));
                    letters += 1;
                }
                17..26 => drop(world.deliver(from, to)),
                26..32 if world.open.contains(&pair) => world.sync(from, to),
                26..32 if usable => {
                    world.link(pair, LinkState::Open);
                    world.sync(pair.1, pair.0);
                }
                32 if world.open.contains(&pair) => world.link(pair, LinkState::Lost),
                33 => world.restart(me, None),
                34 if !away.contains(&me) && away.len() + 1 < count => {
                    away.insert(me);
                    let replica = ReplicaId(me as u32);
                    cut_off(&mut world, me, &away);
                    notices.extend((0..count).map(|to| (to, SeatChange::Gone { replica })));
                }
                35 => {
                    if let Some(me) = away.pop_first() {
                        let replica = ReplicaId(me as u32);
                        cut_off(&mut world, me, &away);
                        notices.extend((0..count).map(|to| (to, SeatChange::Back { replica })));
                    }
                }
                36..40 if !notices.is_empty() => {
                    hear(&mut world, &mut notices, rng.random_range(0..count))
                }
                _ => {}
            }
        }
        for me in std::mem::take(&mut away) {
            let replica = ReplicaId(me as u32);
            notices.extend((0..count).map(|to| (to, SeatChange::Back { replica })));
        }
        for me in 0..count {
            hear(&mut world, &mut notices, me);
        }
        if transport == Transport::Datagram {
            world.drain();
        }
        world.settle();
        world.assert_converged(&label);
        world.assert_conflicts(&label);
        let shown = world.shown(0);
        let length = world.replicas[0].length(cell(PRECIOUS, 3));
        assert!(length >= letters, "{label}: {length} of {letters} letters are left");
        let Some(Content::Set(elements)) = shown.get(cell(PRECIOUS, 2)).map(Shown::first) else {
            assert!(precious.is_empty(), "{label}: a set is lost");
            continue;
        };
        for element in precious {
            assert!(elements.contains(&element.as_str().into()), "{label}: {element} is lost");
        }
    }
}

/// A replica hears what changed in the membership, in order.
fn hear(world: &mut World, notices: &mut Vec<(usize, SeatChange)>, me: usize) {
    let (own, others) = std::mem::take(notices).into_iter().partition(|(to, _)| *to == me);
    *notices = others;
    let own: Vec<(usize, SeatChange)> = own;
    for (_, change) in own {
        world.handle(me, Input::Seat(change));
    }
}

/// Links between those away and the others are lost.
fn cut_off(world: &mut World, me: usize, away: &BTreeSet<usize>) {
    for pair in world.pairs() {
        let ends = pair.0 == me || pair.1 == me;
        if ends && world.open.contains(&pair) && away.contains(&pair.0) != away.contains(&pair.1) {
            world.link(pair, LinkState::Lost);
        }
    }
}
