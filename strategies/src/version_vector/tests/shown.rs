//! What is shown, what is reported, and that everybody ends with the same.

use super::*;

#[test]
fn rivals_are_surfaced_and_an_answer_leaves_open_what_came_later() {
    let mut net = Net::mesh(&CLIENT_IDS, 3);
    let at = cell(0, REGISTER);
    let a = net.edit(0, &put(0, "a"));
    let b = net.edit(1, &put(0, "b"));
    let c = net.edit(2, &put(0, "c"));
    net.changes(0);
    net.exchange(1, 0);
    assert_eq!(net.shown(0, at), [register("b"), register("a")]);
    let conflict = Change::Conflicted { cell: at, edit: a, with: b };
    assert_eq!(net.changes(0), [Change::Applied { edit: b }, conflict]);
    let seen = net.marks(0, at);
    net.exchange(2, 0);
    let conflict = Change::Conflicted { cell: at, edit: b, with: c };
    assert_eq!(net.changes(0), [Change::Applied { edit: c }, conflict]);

    let answer = net.edit(0, &Edit::Resolve { cell: at, content: register("b"), seen });
    assert_eq!(net.shown(0, at), [register("b"), register("c")]);
    let replaced = Change::Replaced { edit: a, by: answer };
    let conflict = Change::Conflicted { cell: at, edit: c, with: answer };
    assert_eq!(net.changes(0), [replaced, conflict], "b is what the answer shows");
    net.settle("late arrival");
    let seen = net.marks(2, at);
    net.edit(2, &Edit::Resolve { cell: at, content: register("d"), seen });
    net.settle("all answered");
    assert_eq!(net.shown(0, at), [register("d")]);
}

#[test]
fn a_put_over_a_conflict_replaces_all_that_was_shown() {
    let mut net = Net::mesh(&CLIENT_IDS, 2);
    let (a, b) = (net.edit(0, &put(0, "a")), net.edit(1, &put(0, "b")));
    net.exchange(1, 0);
    net.changes(0);
    let c = net.edit(0, &put(0, "c"));
    let replaced = |edit| Change::Replaced { edit, by: c };
    assert_eq!(net.changes(0), [replaced(a), replaced(b)]);
    net.settle("replaced");
    assert_eq!(net.shown(1, cell(0, REGISTER)), [register("c")]);
}

#[test]
fn merging_keeps_both_sides_of_all_but_a_register() {
    let mut net = Net::mesh(&MERGE, 3);
    let (counter, set, text) = (cell(1, COUNTER), cell(1, SET), cell(1, TEXT));
    let splice =
        |at, delete, insert: &str| Edit::Splice { cell: text, at, delete, insert: insert.into() };
    net.edit(0, &Edit::Add { cell: counter, amount: 5 });
    net.edit(0, &insert(1, "x"));
    net.edit(0, &splice(0, 0, "one two three"));
    net.settle("before");
    net.edit(0, &Edit::Add { cell: counter, amount: 2 });
    net.edit(1, &Edit::Add { cell: counter, amount: -3 });
    net.edit(0, &insert(1, "y"));
    net.edit(1, &Edit::Remove { cell: set, element: "x".into() });
    net.edit(0, &splice(13, 0, " four"));
    net.edit(1, &splice(4, 4, ""));
    net.edit(2, &splice(0, 0, "zero "));
    net.settle("after");
    assert_eq!(net.shown(2, counter), [Content::Counter(4)]);
    assert_eq!(net.shown(2, set), [Content::Set(["y".into()].into())]);
    assert_eq!(net.shown(1, text), [Content::Text("zero one three four".into())]);

    let at = cell(1, REGISTER);
    let (a, b) = (net.edit(0, &put(1, "a")), net.edit(1, &put(1, "b")));
    net.changes(1);
    net.exchange(0, 1);
    let conflict = Change::Conflicted { cell: at, edit: b, with: a };
    assert_eq!(net.changes(1), [Change::Applied { edit: a }, conflict]);
    net.settle("rivals");
    assert_eq!(net.shown(2, at), [register("b"), register("a")]);
    let seen = net.marks(2, at);
    net.edit(2, &Edit::Resolve { cell: at, content: register("c"), seen });
    net.settle("answered");
    assert_eq!(net.shown(0, at), [register("c")]);
}

#[test]
fn merging_of_histories_that_cross_counts_everything_once() {
    for seed in 0..60 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut net = Net::mesh(&MERGE, 4);
        let (counter, set) = (cell(1, COUNTER), cell(1, SET));
        let (mut sum, mut elements) = (0, BTreeSet::new());
        for step in 0..40 {
            let (from, to) = (rng.random_range(0..4), rng.random_range(0..4));
            if rng.random_bool(0.5) {
                let amount = rng.random_range(1..100);
                sum += amount;
                net.edit(from, &Edit::Add { cell: counter, amount });
                elements.insert(Value::from(format!("e{step}")));
                net.edit(from, &insert(1, &format!("e{step}")));
            } else if from != to {
                net.exchange(from, to);
            }
        }
        net.settle(&format!("seed {seed}"));
        assert_eq!(net.shown(0, counter), [Content::Counter(sum)], "seed {seed}");
        assert_eq!(net.shown(0, set), [Content::Set(elements)], "seed {seed}");
    }
}

#[test]
fn what_was_overwritten_before_it_was_sent_is_reported_as_applied_and_replaced() {
    for strategy in [&CLIENT_IDS, &MERGE] {
        let mut net = Net::mesh(strategy, 2);
        let (a, b) = (net.edit(0, &put(1, "a")), net.edit(0, &put(1, "b")));
        net.exchange(0, 1);
        let expected = [
            Change::Applied { edit: b },
            Change::Applied { edit: a },
            Change::Replaced { edit: a, by: b },
        ];
        assert_eq!(net.changes(1), expected);
    }
}

#[test]
fn a_delete_is_applied_once_and_a_concurrent_write_survives_it() {
    for strategy in [&CLIENT_IDS, &MERGE] {
        let mut net = Net::mesh(strategy, 3);
        let a = net.edit(0, &put(1, "a"));
        net.edit(0, &insert(1, "x"));
        net.settle("before the delete");
        let b = net.edit(1, &put(1, "b"));
        let gone = net.edit(2, &Edit::Delete { record: RecordId(1) });
        assert_eq!(net.rendering(2).iter().filter(|(at, _)| at.record == RecordId(1)).count(), 0);
        net.changes(0);
        net.exchange(2, 0);
        let applied = Change::Applied { edit: gone };
        // That what was shown of the set is gone needs no report.
        assert_eq!(net.changes(0), [applied, Change::Replaced { edit: a, by: gone }]);
        net.exchange(1, 0);
        assert_eq!(net.changes(0), [Change::Applied { edit: b }]);
        net.settle("write beside delete");
        assert_eq!(net.shown(2, cell(1, REGISTER)), [register("b")]);
        assert_eq!(net.shown(2, cell(1, SET)), []);
        net.edit(0, &Edit::Delete { record: RecordId(1) });
        net.settle("deleted for good");
        assert_eq!(net.shown(1, cell(1, REGISTER)), []);
    }
}

#[test]
fn a_set_edited_while_it_is_deleted_comes_back_whole_and_says_so() {
    let mut net = Net::mesh(&CLIENT_IDS, 2);
    net.edit(0, &insert(1, "x"));
    net.settle("before");
    let y = net.edit(1, &insert(1, "y"));
    let gone = net.edit(0, &Edit::Delete { record: RecordId(1) });
    net.changes(0);
    net.exchange(1, 0);
    let undone = Change::Replaced { edit: gone, by: y };
    assert_eq!(net.changes(0), [Change::Applied { edit: y }, undone]);
    net.settle("after");
    assert_eq!(net.shown(0, cell(1, SET)).len(), 1);
}

#[test]
fn a_replica_without_its_memory_is_a_new_writer_and_is_told_everything() {
    let mut net = Net::new(&CLIENT_IDS, true, 3, Transport::Session);
    let early = net.saved(1);
    net.edit(1, &put(1, "mine"));
    net.edit(2, &put(2, "theirs"));
    net.settle("before the crash");
    net.incarnations[1] = 1;
    net.believed[1] = net.genesis.iter().map(|(id, _)| *id).collect();
    net.restart(1, &early);
    net.edit(1, &insert(1, "anew"));
    net.edit(1, &put(1, "again"));
    net.settle("after the crash");
    let rivals: BTreeSet<Content> = net.shown(2, cell(1, REGISTER)).into_iter().collect();
    assert_eq!(rivals, [register("mine"), register("again")].into());
    assert_eq!(net.shown(1, cell(2, REGISTER)), [register("theirs")]);
}

/// An edit that makes sense in the author's view.
pub(super) fn random_edit(net: &Net, n: usize, rng: &mut ChaCha8Rng) -> Edit {
    let record = rng.random_range(0..2);
    let fresh = format!("w{} ", net.sequence);
    let rendering = net.rendering(n);
    let at = cell(record, FieldId(rng.random_range(0..4)));
    if let Some(Shown::Conflict(alternatives)) = rendering.get(at)
        && rng.random_bool(0.5)
    {
        let seen = alternatives.iter().map(|a| a.mark).filter(|_| rng.random_bool(0.8)).collect();
        let content = match alternatives[0].content {
            // A fresh value, so that puts stay recognisable.
            Content::Register(_) => register(&format!("r{}", net.sequence)),
            ref other => other.clone(),
        };
        return Edit::Resolve { cell: at, content, seen };
    }
    if rng.random_bool(0.08) {
        return Edit::Delete { record: RecordId(record) };
    }
    match at.field {
        REGISTER => put(record, &fresh),
        COUNTER => Edit::Add { cell: at, amount: rng.random_range(-3..=3) },
        SET if rng.random_bool(0.6) => insert(record, &fresh),
        SET => {
            let element = match rendering.get(at).map(Shown::first) {
                Some(Content::Set(elements)) => elements.first().cloned(),
                _ => None,
            };
            Edit::Remove { cell: at, element: element.unwrap_or("nothing".into()) }
        }
        TEXT => {
            let length = net.replicas[n].length(at);
            let position = rng.random_range(0..=length);
            let delete = rng.random_range(0..=(length - position).min(3));
            Edit::Splice { cell: at, at: position, delete, insert: fresh }
        }
        _ => unreachable!("four fields"),
    }
}

#[test]
fn everybody_ends_with_the_same_whatever_happens() {
    for seed in 0..480 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let strategy = ALL[(seed / 12) as usize % ALL.len()];
        let what = format!("seed {seed}, {}", strategy.name());
        let transport = if seed % 3 == 0 { Transport::Datagram } else { Transport::Session };
        let mut net = Net::new(strategy, seed % 4 < 2, 3, transport);
        net.what.clone_from(&what);
        let links = net.links();
        for _ in 0..120 {
            let (from, to) = links[rng.random_range(0..links.len())];
            match rng.random_range(0..12) {
                0..4 => {
                    let edit = random_edit(&net, from, &mut rng);
                    net.edit(from, &edit);
                }
                4..7 => net.sync(from, to),
                7..10 => {
                    net.deliver(from, to);
                }
                10 if transport == Transport::Datagram => {
                    let queue = net.queues.entry((from, to)).or_default();
                    if !queue.is_empty() {
                        let n = rng.random_range(0..queue.len());
                        let parcel = queue[n].clone();
                        match rng.random_range(0..3) {
                            0 => drop(queue.remove(n)),
                            1 => queue.push_back(parcel),
                            _ => queue.swap(0, n),
                        }
                    }
                }
                10 => net.lose(from, to),
                _ => {
                    let saved = net.saved(from);
                    net.restart(from, &saved);
                }
            }
        }
        net.settle(&what);
    }
}

#[test]
fn bytes_and_cargo_that_make_no_sense_do_no_harm() {
    for seed in 0..60 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let strategy = ALL[seed as usize % ALL.len()];
        let mut net = Net::new(strategy, seed % 8 < 4, 2, Transport::Session);
        for _ in 0..12 {
            let n = rng.random_range(0..2);
            let edit = random_edit(&net, n, &mut rng);
            net.edit(n, &edit);
            if rng.random_bool(0.2) {
                net.exchange(n, 1 - n);
            }
        }
        net.lose(0, 1);
        net.edit(0, &put(0, "last"));
        net.sync(0, 1);
        let (bytes, mut cargo) = net.queues[&(0, 1)][0].clone();
        let (saved, shown) = (net.saved(1), net.rendering(1));
        let from = ReplicaId(0);
        for _ in 0..100 {
            let mut bytes = bytes.clone();
            let at = rng.random_range(0..bytes.len());
            if rng.random_bool(0.3) {
                bytes.truncate(at);
            } else {
                bytes[at] ^= 1 << rng.random_range(0..8);
            }
            let mut victim = net.strategy.restore(&net.seat(1), &saved).expect("its own snapshot");
            let input = Input::Receive { from, bytes: &bytes, cargo: &cargo };
            let result = victim.handle(CLOCK, input, &mut Outbox::new());
            let mut after = Rendering::new();
            victim.render(Scope::All, &mut after);
            assert!(result.is_ok() || after == shown, "seed {seed}");
            let edit = &put(0, "more");
            let id = EditId { origin: ReplicaId(1), sequence: 1000 };
            let input = Input::Edit { id, edit };
            assert!(victim.handle(CLOCK, input, &mut Outbox::new()).is_ok(), "seed {seed}");
            let mut damaged = saved.clone();
            damaged[rng.random_range(0..saved.len())] ^= 1 << rng.random_range(0..8);
            if let Ok(mut victim) = net.strategy.restore(&net.seat(1), &damaged) {
                let input = Input::Sync { peer: from };
                assert!(victim.handle(CLOCK, input, &mut Outbox::new()).is_ok(), "seed {seed}");
            }
        }
        for ids in &mut cargo.ids {
            ids.count = rng.random();
            ids.element ^= rng.random_range(0..4);
            ids.first.sequence ^= rng.random::<u64>();
        }
        let mut straight = net.strategy.restore(&net.seat(1), &saved).expect("its own snapshot");
        let mut scrambled = net.strategy.restore(&net.seat(1), &saved).expect("its own snapshot");
        let none = Cargo::default();
        for (replica, cargo) in [(&mut straight, &none), (&mut scrambled, &cargo)] {
            let input = Input::Receive { from, bytes: &bytes, cargo };
            assert!(replica.handle(CLOCK, input, &mut Outbox::new()).is_ok(), "seed {seed}");
        }
        let prints = [&straight, &scrambled].map(|replica| replica.fingerprint(PartitionId(0)));
        assert_eq!(prints[0], prints[1], "seed {seed}: cargo reached the state");
    }
}

#[test]
fn whoever_was_silent_takes_a_history_of_any_length() {
    const EDITS: usize = 4_200;
    let mut net = Net::new(&MERGE, true, 3, Transport::Session);
    let text = cell(0, TEXT);
    for n in 0..EDITS {
        let insert = if n % 7 == 0 { "ñ " } else { "x " }.to_owned();
        let at = n % (net.replicas[1].length(text) + 1);
        let edit = Edit::Splice { cell: text, at, delete: n % 3, insert };
        net.edit(1, &edit);
        // Each is sent at once, so that none goes into another.
        net.exchange(1, 0);
    }
    // The second client writes before it hears of any of them: it is merged with what was before.
    net.edit(2, &Edit::Splice { cell: text, at: 0, delete: 0, insert: "late ".into() });
    net.settle("a long history");
    let Some(Content::Text(shown)) = net.shown(2, text).pop() else { panic!("a text") };
    assert!(shown.contains("late") && shown.contains('ñ'), "{shown}");
    let saved = net.saved(0);
    net.restart(0, &saved);
    net.settle("after a restart");
}

#[test]
fn what_an_earlier_life_had_is_told_again_by_those_who_heard_of_it() {
    for strategy in ALL {
        let mut net = Net::new(strategy, true, 3, Transport::Session);
        net.settle("at first");
        let before = [net.saved(0), net.saved(1)];
        net.edit(1, &insert(0, "told"));
        net.edit(1, &Edit::Add { cell: cell(0, COUNTER), amount: 4 });
        net.settle("told");
        for (n, saved) in before.iter().enumerate() {
            net.incarnations[n] = 1;
            net.restart(n, saved);
            // Its reports are as they were, too.
            net.believed[n] = net.genesis.iter().map(|(id, _)| *id).collect();
        }
        net.settle("two came back without their memory");
        let set = Content::Set(["g".into(), "told".into()].into());
        assert_eq!(net.shown(1, cell(0, SET)), [set], "{}", strategy.name());
        assert_eq!(net.shown(1, cell(0, COUNTER)), [Content::Counter(4)], "{}", strategy.name());
    }
}
