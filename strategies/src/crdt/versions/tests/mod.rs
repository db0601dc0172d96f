//! Whole replicas in small worlds: whatever is lost, doubled, reordered or restarted, all end with one document, and reports add up.

mod stability;
mod world;

use super::message::{Body, Brought, read_message, write_message};
use crate::contract::*;
use crate::crdt::{Crdt, DIGEST, DIGEST_RGA, MERKLE, OP, RATELESS, SCUTTLEBUTT};
use crate::document::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeMap, BTreeSet};
use world::*;

/// Every strategy that replicates by version.
const STRATEGIES: [Crdt; 6] = [DIGEST, DIGEST_RGA, OP, SCUTTLEBUTT, MERKLE, RATELESS];

/// Each of them with each seed, and both in words.
fn cases(seeds: u64) -> impl Iterator<Item = (Crdt, u64, String)> {
    let label = |strategy: Crdt, seed| format!("{}, seed {seed}", strategy.name());
    STRATEGIES.into_iter().flat_map(move |strategy| {
        (0..seeds).map(move |seed| (strategy, seed, label(strategy, seed)))
    })
}

#[test]
fn sessions_that_break_and_replicas_that_restart_end_in_one_document() {
    for (strategy, seed, label) in cases(120) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let shape = if seed % 2 == 0 { Shape::Star } else { Shape::Mesh };
        let mut world = World::new(strategy, rng.random_range(2..5), shape, Transport::Session);
        let count = world.replicas.len();
        for _ in 0..rng.random_range(20..150) {
            let pairs = world.pairs();
            let pair = pairs[rng.random_range(0..pairs.len())];
            let me = rng.random_range(0..count);
            match rng.random_range(0..20) {
                0..8 => {
                    world.random_edit(&mut rng, me);
                }
                8..14 => {
                    let (from, to) =
                        if rng.random_range(0..2) == 0 { pair } else { (pair.1, pair.0) };
                    world.deliver(from, to);
                }
                14..17 if world.open.contains(&pair) => {
                    let (from, to) =
                        if rng.random_range(0..2) == 0 { pair } else { (pair.1, pair.0) };
                    world.sync(from, to);
                }
                14..17 => {
                    world.link(pair, LinkState::Open);
                    world.sync(pair.1, pair.0);
                }
                17 if world.open.contains(&pair) => world.link(pair, LinkState::Lost),
                18 => world.restart(me, None),
                _ => {}
            }
        }
        world.settle();
        world.assert_converged(&label);
        world.assert_reports(&label);
        world.assert_conflicts(&label);
        assert_eq!(world.states, 0, "{label}: nobody lost its memory");
    }
}

#[test]
fn datagrams_lost_doubled_and_reordered_end_in_one_document() {
    for (strategy, seed, label) in cases(120) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let shape = if seed % 2 == 0 { Shape::Star } else { Shape::Mesh };
        let mut world = World::new(strategy, rng.random_range(2..4), shape, Transport::Datagram);
        world.open_all();
        for _ in 0..rng.random_range(20..150) {
            let pairs = world.pairs();
            let pair = pairs[rng.random_range(0..pairs.len())];
            let (from, to) = if rng.random_range(0..2) == 0 { pair } else { (pair.1, pair.0) };
            let me = rng.random_range(0..world.replicas.len());
            match rng.random_range(0..10) {
                0..4 => {
                    world.random_edit(&mut rng, me);
                }
                4..6 => world.sync(from, to),
                _ => {
                    let queue = world.links.entry((from, to)).or_default();
                    let at = rng.random_range(0..=queue.len());
                    match rng.random_range(0..4) {
                        0 => drop(queue.pop_front()),
                        1 => queue.extend(queue.get(at).cloned()),
                        2 if at < queue.len() => queue.swap(0, at),
                        _ => drop(world.deliver(from, to)),
                    }
                }
            }
        }
        world.drain();
        world.settle();
        world.assert_converged(&label);
        world.assert_reports(&label);
        world.assert_conflicts(&label);
        assert_eq!(world.states, 0, "{label}: nobody lost its memory");
    }
}

#[test]
fn ids_in_cargo_influence_nothing_but_reports() {
    for (strategy, seed, label) in cases(20) {
        let run = |scramble_ids| {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let mut world = World::new(strategy, 3, Shape::Mesh, Transport::Session);
            world.scramble_ids = scramble_ids;
            world.open_all();
            for _ in 0..60 {
                let me = rng.random_range(0..3);
                world.random_edit(&mut rng, me);
                if rng.random_range(0..3) == 0 {
                    world.sync(me, (me + 1) % 3);
                }
                let link = (rng.random_range(0..3), rng.random_range(0..3));
                world.deliver(link.0, link.1);
            }
            world.settle();
            (world.shown(0), world.messages)
        };
        assert_eq!(run(false), run(true), "{label}");
    }
}

#[test]
fn a_snapshot_has_the_same_future() {
    for (strategy, seed, label) in cases(40) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut world = World::new(strategy, 3, Shape::Star, Transport::Session);
        world.open_all();
        for step in 0..80 {
            let me = rng.random_range(0..3);
            world.random_edit(&mut rng, me);
            if step % 3 == 0 {
                world.sync(me, if me == 0 { 1 } else { 0 });
            }
            world.deliver(me, 0);
            world.deliver(0, me);
            let mut saved = Vec::new();
            world.replicas[me].save(&mut saved);
            let restored =
                world.seated(me, |seat| strategy.restore(seat, &saved)).expect("own bytes");
            let mut again = Vec::new();
            restored.save(&mut again);
            assert_eq!(saved, again, "{label}");
            assert_eq!(restored.footprint(), world.replicas[me].footprint(), "{label}");
            let of = |replica: &dyn Replica| replica.fingerprint(PartitionId(0));
            assert_eq!(of(&*restored), of(&*world.replicas[me]), "{label}");
            // From here on the restored one plays its part, without the others noticing.
            world.replicas[me] = restored;
            let cut = rng.random_range(0..saved.len());
            let mut bad = saved.clone();
            bad[cut] ^= 1 << rng.random_range(0..8);
            let _ = world.seated(me, |seat| strategy.restore(seat, &bad).map(drop));
            let cut = world.seated(me, |seat| strategy.restore(seat, &saved[..cut]).map(drop));
            assert!(cut.is_err(), "{label}: a snapshot cut short");
        }
        world.settle();
        world.assert_converged(&label);
        world.assert_reports(&label);
        world.assert_conflicts(&label);
        assert_eq!(world.states, 0, "{label}: nobody lost its memory");
    }
}

#[test]
fn a_replica_that_lost_its_memory_is_brought_up_to_date() {
    let mut states = 0;
    for (strategy, seed, label) in cases(80) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let shape = if seed % 2 == 0 { Shape::Star } else { Shape::Mesh };
        let transport = if seed % 4 < 2 { Transport::Session } else { Transport::Datagram };
        let mut world = World::new(strategy, 3, shape, transport);
        let me = rng.random_range(0..3);
        let mut older = Vec::new();
        for step in 0..90 {
            let author = rng.random_range(0..3);
            world.random_edit(&mut rng, author);
            match step {
                20 => world.replicas[me].save(&mut older),
                40 | 60 => world.settle(),
                // A few forget everything.
                70 if seed % 8 == 7 => world.forget(me),
                70 => world.restart(me, Some(&older)),
                // What it forgot to have acknowledged is still missing after another restart.
                71 => world.restart(me, None),
                75 if seed % 5 == 4 => world.forget((me + 1) % 3),
                _ => {}
            }
        }
        let label = format!("{label}, replica {me}");
        world.settle();
        world.assert_converged(&label);
        world.assert_conflicts(&label);
        states += world.states;
    }
    assert!(states > 40, "the log is too short for a replica that forgot");
}

#[test]
fn what_everybody_has_leaves_the_log() {
    for strategy in STRATEGIES {
        let mut world = World::new(strategy, 3, Shape::Star, Transport::Session);
        world.open_all();
        world.drain();
        let before = world.replicas[1].footprint().history_bytes;
        for n in 0..50 {
            world.edit(1, edit_text(1, n, 0, "k"));
            world.edit(2, put(1, "v"));
        }
        let peaks = [1, 2].map(|me| world.replicas[me].footprint().history_bytes);
        assert!(peaks[0] > before && peaks[1] > before);
        world.settle();
        assert_eq!(world.replicas[0].footprint().history_bytes, before);
        // Its own changes are kept by each author until every member is known to have them.
        for (me, peak) in [1, 2].into_iter().zip(peaks) {
            let kept = world.replicas[me].footprint().history_bytes;
            assert!(kept > before && kept <= peak, "{kept} of {peak} bytes");
        }
    }
}

#[test]
fn rivals_are_shown_reported_and_answered() {
    for strategy in STRATEGIES {
        let mut world = World::new(strategy, 3, Shape::Star, Transport::Session);
        world.settle();
        let cell = cell(1, 0);
        let (a, b) = (world.edit(1, put(1, "a")), world.edit(2, put(1, "b")));
        world.settle();
        let Some(Shown::Conflict(rivals)) = world.shown(0).get(cell).cloned() else {
            panic!("two values put at the same time are rivals")
        };
        assert_eq!(rivals.len(), 2);
        assert!(world.changes[1].contains(&Change::Conflicted { cell, edit: a, with: b }));
        assert!(world.changes[2].contains(&Change::Conflicted { cell, edit: b, with: a }));
        // Somebody else adds a third one, which the answer does not name.
        let late = world.edit(0, put(1, "unseen"));
        let seen = rivals.iter().map(|rival| rival.mark).collect();
        let content = Content::Register(Some("both".into()));
        let answer = world.edit(1, Edit::Resolve { cell, content, seen });
        world.settle();
        let values: BTreeSet<_> = match world.shown(2).get(cell) {
            Some(Shown::Conflict(rivals)) => rivals.iter().map(|r| r.content.clone()).collect(),
            other => panic!("the late value stays open: {other:?}"),
        };
        let value = |text: &str| Content::Register(Some(text.into()));
        assert_eq!(values, BTreeSet::from([value("both"), value("unseen")]));
        for (edit, by) in [(a, answer), (b, answer)] {
            assert!(world.changes[1].contains(&Change::Replaced { edit, by }));
        }
        for edit in [a, b] {
            let gone = world.changes[2].iter().any(
                |change| matches!(change, Change::Replaced { edit: gone, .. } if *gone == edit),
            );
            assert!(gone, "{edit} is not shown any more");
        }
        assert!(world.changes[0].contains(&Change::Conflicted { cell, edit: late, with: answer }));
        world.assert_converged("rivals");
    }
}

#[test]
fn additions_win_and_deletes_take_what_was_seen() {
    for strategy in STRATEGIES {
        let mut world = World::new(strategy, 3, Shape::Mesh, Transport::Session);
        let seen =
            [put(1, "v"), add(1, 5), insert(1, "e"), insert(1, "f"), edit_text(1, 0, 0, "text")];
        let ids: Vec<_> = seen.into_iter().map(|edit| world.edit(0, edit)).collect();
        world.settle();
        world.changes.iter_mut().for_each(Vec::clear);
        let by = world.edit(1, delete(1));
        let removed = world.edit(2, remove(1, "f"));
        for edit in [insert(1, "e"), insert(1, "f"), add(1, 2), edit_text(1, 2, 0, "ns")] {
            world.edit(0, edit);
        }
        for edit in [ids[0], ids[1]] {
            assert!(world.changes[1].contains(&Change::Replaced { edit, by }));
        }
        world.settle();
        for (me, changes) in world.changes.iter().enumerate() {
            let applied = |edit| changes.contains(&Change::Applied { edit });
            assert_eq!(applied(by), me != 1);
            assert_eq!(applied(removed), me != 2);
            for edit in [ids[0], ids[1]] {
                assert!(changes.contains(&Change::Replaced { edit, by }), "at {me}");
            }
        }
        let shown = world.shown(2);
        let content = |field| shown.get(cell(1, field)).map(|shown| shown.first().clone());
        assert_eq!(content(0), None);
        assert_eq!(content(1), Some(Content::Counter(2)));
        assert_eq!(content(2), Some(Content::Set(["e".into(), "f".into()].into())));
        assert_eq!(content(3), Some(Content::Text("ns".into())));
        world.assert_converged("additions win");
    }
}

#[test]
fn every_remote_edit_is_applied_once_and_genesis_is_replaced_by_name() {
    for strategy in STRATEGIES {
        let mut world = World::new(strategy, 3, Shape::Star, Transport::Session);
        world.open_all();
        let mut made = BTreeMap::new();
        for n in 0..40usize {
            let me = 1 + n % 2;
            let edit = match n % 5 {
                0 => put(0, &format!("v{n}")),
                1 => add(0, 1),
                2 => edit_text(0, 3, 2, "ab"),
                _ => edit_text(0, n, 0, "z"),
            };
            made.insert(world.edit(me, edit), me);
            if n % 7 == 0 {
                world.settle();
            }
        }
        world.settle();
        for (me, changes) in world.changes.iter().enumerate() {
            let mut applied = BTreeMap::new();
            for change in changes {
                if let Change::Applied { edit } = change {
                    *applied.entry(*edit).or_insert(0) += 1;
                }
            }
            let remote = made.iter().filter(|(_, at)| **at != me).map(|(edit, _)| (*edit, 1));
            assert_eq!(applied, remote.collect::<BTreeMap<_, _>>(), "at {me}");
            let genesis = EditId { origin: ReplicaId::GENESIS, sequence: 0 };
            let replaced =
                |c: &Change| matches!(c, Change::Replaced { edit, .. } if *edit == genesis);
            assert_eq!(changes.iter().filter(|change| replaced(change)).count(), 1, "at {me}");
        }
    }
}

#[test]
fn hostile_messages_change_nothing_when_refused() {
    for strategy in STRATEGIES {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let mut world = World::new(strategy, 2, Shape::Mesh, Transport::Session);
        world.open_all();
        world.drain();
        for n in 0..400 {
            world.random_edit(&mut rng, n % 2);
            if n % 3 > 0 {
                continue;
            }
            world.sync(n % 2, 1 - n % 2);
            let link = (n % 2, 1 - n % 2);
            let (bytes, cargo) = world.links[&link].front().cloned().expect("something to say");
            let to = link.1;
            let (mut victim, peer) = (Vec::new(), ReplicaId(link.0 as u32));
            world.replicas[to].save(&mut victim);
            for _ in 0..30 {
                let mut bad = bytes.clone();
                match rng.random_range(0..3) {
                    0 => bad.truncate(rng.random_range(0..bytes.len())),
                    1 => bad[rng.random_range(0..bytes.len())] = rng.random(),
                    _ => bad.insert(rng.random_range(0..=bytes.len()), rng.random()),
                }
                let mut restored =
                    world.seated(to, |seat| strategy.restore(seat, &victim)).expect("own bytes");
                let before = restored.fingerprint(PartitionId(0));
                let mut out = Outbox::new();
                let input = Input::Receive { from: peer, bytes: &bad, cargo: &cargo };
                if restored.handle(CLOCK, input, &mut out).is_err() {
                    assert_eq!(restored.fingerprint(PartitionId(0)), before);
                    assert!(out.outputs.is_empty());
                }
                restored.render(Scope::All, &mut Rendering::new());
                let _ = strategy.recode(&bad);
            }
            world.drain();
        }
        let stranger =
            Input::Receive { from: ReplicaId(9), bytes: &[1, 0], cargo: &Cargo::default() };
        assert!(world.replicas[0].handle(CLOCK, stranger, &mut Outbox::new()).is_err());
    }
}

#[test]
fn typing_travels_as_one_run_and_deleting_as_one_span() {
    let mut world = World::new(DIGEST, 2, Shape::Star, Transport::Session);
    world.settle();
    for (at, key) in "hello world".chars().enumerate() {
        world.edit(1, edit_text(2, at, 0, &key.to_string()));
    }
    for at in (5..11).rev() {
        world.edit(1, edit_text(2, at, 1, ""));
    }
    world.sync(1, 0);
    let (bytes, cargo) = world.links[&(1, 0)].front().cloned().expect("something to say");
    let Ok((_, Brought::Deltas(deltas))) = read_message(&bytes) else { panic!("changes travel") };
    assert_eq!(deltas.len(), 2);
    assert_eq!((cargo.elements, cargo.content_bytes), (17, 11));
    assert_eq!(cargo.ids.iter().map(|ids| ids.count).sum::<u64>(), 17);
    assert!(bytes.len() < 40, "{} bytes", bytes.len());
    world.settle();
    assert_eq!(world.shown(0).get(cell(2, 3)).expect("text").first().length(), 5);
}

#[test]
fn operations_travel_one_by_one_and_wait_for_what_they_depend_on() {
    let mut world = World::new(OP, 3, Shape::Mesh, Transport::Datagram);
    world.open_all();
    for (at, key) in "abc".chars().enumerate() {
        world.edit(0, edit_text(2, at, 0, &key.to_string()));
    }
    world.sync(0, 1);
    let (bytes, cargo) = world.links[&(0, 1)].front().cloned().expect("something to say");
    let Ok((_, Brought::Operations(entries))) = read_message(&bytes) else { panic!("operations") };
    assert_eq!((entries.len(), cargo.elements), (3, 3), "typing that goes on is not joined");
    assert!(entries.iter().all(|entry| entry.saw.len() == 0), "nothing was seen meanwhile");
    world.deliver(0, 1);
    world.deliver(1, 0);
    // Somebody answers, and a third one hears the answer first.
    world.edit(1, edit_text(2, 3, 0, "d"));
    world.edit(1, edit_text(2, 4, 0, "e"));
    let (lacking, other) = (world.replicas[2].length(cell(2, 3)), ReplicaId(2));
    world.sync(1, 2);
    let (bytes, cargo) = world.links[&(1, 2)].front().cloned().expect("something to say");
    let Ok((head, Brought::Operations(mut entries))) = read_message(&bytes) else {
        panic!("operations")
    };
    assert_eq!(entries.len(), 5, "neighbours pass on what they heard");
    assert_eq!([3, 4].map(|n: usize| entries[n].saw.len()), [1, 0], "each says what is new");
    entries.drain(..3);
    let late = Body::Operations(entries.iter().map(|entry| (&entry.delta, &entry.saw)).collect());
    let late = write_message(&head, &late).expect("two operations");
    let early = Cargo { elements: 2, ids: Vec::new(), ..cargo };
    world.links.clear();
    let from = ReplicaId(1);
    world.handle(2, Input::Receive { from, bytes: &late, cargo: &early });
    assert_eq!(world.replicas[2].length(cell(2, 3)), lacking, "they wait");
    assert_eq!(world.replicas[2].pending(from).edits, 0, "what waits is not passed on");
    world.restart(2, None);
    // Not all of them again: the first three alone set the others free.
    world.sync(0, 2);
    assert_eq!(world.replicas[0].pending(other).edits, 3);
    world.deliver(0, 2);
    let text = world.shown(2).get(cell(2, 3)).expect("a text").first().clone();
    assert_eq!(text, Content::Text("abcde".into()));
    world.settle();
    world.assert_converged("operations");
}

#[test]
fn one_user_sees_what_a_plain_document_shows() {
    for (strategy, seed, label) in cases(40) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut world = World::new(strategy, 2, Shape::Mesh, Transport::Session);
        world.genesis.clear();
        world.replicas[0] = world.seated(0, |seat| strategy.create(seat));
        let mut expected: BTreeMap<Cell, Content> = BTreeMap::new();
        for n in 0..200u64 {
            let record = rng.random_range(0..2);
            let at = rng.random_range(0..12);
            let element = format!("e{}", rng.random_range(0..3));
            let resolve = |field, content| Edit::Resolve {
                cell: cell(record, field),
                content,
                seen: Vec::new(),
            };
            let edit = match rng.random_range(0..12) {
                0 => put(record, &format!("v{n}")),
                1 => add(record, rng.random()),
                2 => insert(record, &element),
                3 => remove(record, &element),
                4..9 => edit_text(record, at, rng.random_range(0..5), ["", "a", "ñ😀"][at % 3]),
                9 => delete(record),
                10 => resolve(3, Content::Text("answer".into())),
                _ => resolve(0, Content::Register((at > 5).then(|| "answer".into()))),
            };
            world.edit(0, edit.clone());
            for (cell, kind) in schema().cells(edit.record()) {
                let content = expected.entry(cell).or_insert_with(|| kind.empty());
                match edit {
                    Edit::Delete { .. } => *content = kind.empty(),
                    _ if edit.cell() == Some(cell) => content.apply(&edit),
                    _ => {}
                }
            }
            let mut rendering = Rendering::new();
            expected.iter().for_each(|(cell, content)| rendering.settled(*cell, content.clone()));
            assert_eq!(world.shown(0), rendering, "{label}, edit {n}");
        }
    }
}

/// Bytes that a full exchange takes between two that have `common` changes in common, of which a third one has not spoken, and lack
/// `differences` of each other.
fn exchange_bytes(strategy: Crdt, common: u64, differences: u64) -> usize {
    let mut world = World::new(strategy, 3, Shape::Star, Transport::Session);
    let pair = (0, 2);
    world.link(pair, LinkState::Open);
    for _ in 0..common {
        world.edit(2, add(0, 1));
    }
    world.sync(2, 0);
    world.drain();
    for _ in 0..differences {
        world.edit(0, add(0, 1));
        world.edit(2, add(0, 1));
    }
    world.link(pair, LinkState::Lost);
    world.link(pair, LinkState::Open);
    world.sync(2, 0);
    let mut bytes = 0;
    while let Some(((from, to), queue)) = world.links.iter().find(|(_, queue)| !queue.is_empty()) {
        let (from, to) = (*from, *to);
        bytes += queue[0].0.len();
        world.deliver(from, to);
    }
    assert_eq!((world.shown(0), world.states), (world.shown(2), 0));
    bytes
}

#[test]
fn an_exchange_costs_what_the_differences_cost_and_not_what_the_set_does() {
    for strategy in [MERKLE, RATELESS] {
        for differences in [0, 1, 10, 100] {
            let [few, many] = [500, 8000].map(|n| exchange_bytes(strategy, n, differences));
            let label = format!("{}, {differences} differences", strategy.name());
            assert!(many < 2 * few, "{label}: {many} bytes instead of {few} with 16 times the set");
            println!("{label}: {few} and {many} bytes");
        }
        // A page of the tree is sent whole, however many of its changes are new.
        let [some, more] = [10, 100].map(|d| exchange_bytes(strategy, 500, d));
        let least = if strategy.name() == RATELESS.name() { 3 * some } else { some };
        assert!(more > least, "{}: {some}, {more} bytes", strategy.name());
    }
}
