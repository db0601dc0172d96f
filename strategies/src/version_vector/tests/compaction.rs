//! What is kept does not grow under steady editing, and who was away comes back with all that is his.

use super::*;

/// One edit of a steady mix: what is inserted is removed later, what is typed is deleted later.
fn steady_edit(net: &Net, n: usize, kind: FieldId, step: usize) -> Edit {
    let at = cell(1, kind);
    match kind {
        REGISTER => put(1, &format!("v{:07}", net.sequence)),
        COUNTER => Edit::Add { cell: at, amount: if step.is_multiple_of(2) { 1000 } else { -999 } },
        SET => match net.rendering(n).get(at).map(Shown::first) {
            Some(Content::Set(elements)) if elements.len() >= 5 => {
                let element = elements.first().cloned().expect("five of them");
                Edit::Remove { cell: at, element }
            }
            _ => insert(1, &format!("e{:07}", net.sequence)),
        },
        _ => {
            let length = net.replicas[n].length(at);
            let delete = if length >= 90 { 9 } else { 0 };
            let insert = if delete > 0 { String::new() } else { format!("w{:07} ", net.sequence) };
            Edit::Splice { cell: at, at: 0, delete, insert }
        }
    }
}

/// Bytes kept by all replicas together after `steps` steady edits in turns: as modelled, and in snapshots.
fn kept(mut net: Net, kind: FieldId, steps: usize) -> Vec<(u64, u64)> {
    let authors: Vec<usize> =
        (0..net.replicas.len()).filter(|n| net.authority != Some(ReplicaId(*n as u32))).collect();
    let mut kept = Vec::new();
    let links = net.links();
    for step in 0..steps {
        let n = authors[step % authors.len()];
        let edit = steady_edit(&net, n, kind, step);
        net.edit(n, &edit);
        if step % 40 == 39 && kind != COUNTER {
            // A deletion now and then, and the record comes back.
            net.edit(n, &Edit::Delete { record: RecordId(1) });
        }
        net.exchange_all(&links);
        let footprint: u64 = net.replicas.iter().map(|replica| replica.footprint().total()).sum();
        let saved: usize = (0..net.replicas.len()).map(|n| net.saved(n).len()).sum();
        kept.push((footprint, saved as u64));
    }
    net.settle("steady");
    kept
}

/// Growth per step, by least squares, after a warm-up.
fn slope(values: impl Iterator<Item = u64>) -> f64 {
    let values: Vec<f64> = values.map(|value| value as f64).collect();
    let values = &values[values.len() / 3..];
    let count = values.len() as f64;
    let (mid, mean) = ((count - 1.0) / 2.0, values.iter().sum::<f64>() / count);
    let mut above = 0.0;
    let mut below = 0.0;
    for (n, value) in values.iter().enumerate() {
        above += (n as f64 - mid) * (value - mean);
        below += (n as f64 - mid) * (n as f64 - mid);
    }
    above / below
}

#[test]
fn what_is_kept_is_flat_under_steady_editing() {
    for strategy in ALL {
        for (name, net) in [
            ("star", Net::new(strategy, true, 4, Transport::Session)),
            ("star over datagrams", Net::new(strategy, true, 3, Transport::Datagram)),
            ("mesh", Net::mesh(strategy, 3)),
            ("line", Net::line(strategy, 4)),
        ] {
            let fresh = |net: &Net| {
                Net::linked(strategy, net.replicas.len(), net.transport, |a, b| {
                    net.peers[a].contains(&ReplicaId(b as u32))
                })
            };
            for kind in [REGISTER, COUNTER, SET, TEXT] {
                let mut again = fresh(&net);
                again.authority = net.authority;
                again.replicas =
                    (0..again.replicas.len()).map(|n| strategy.create(&again.seat(n))).collect();
                let replicas = again.replicas.len() as f64;
                let kept = kept(again, kind, 1440);
                let what = format!("{} in a {name}, field {}", strategy.name(), kind.0);
                let footprint = slope(kept.iter().map(|(footprint, _)| *footprint));
                assert!(footprint < 0.25, "{what}: {footprint} bytes a step, {kept:?}");
                let saved = slope(kept.iter().map(|(_, saved)| *saved));
                // Whoever deletes a counter has to name every addition that goes with it: a few bytes each, for reports only.
                let most = if kind == COUNTER { 5.0 * replicas } else { 0.5 };
                assert!(saved < most, "{what}: snapshots grow by {saved} bytes a step");
            }
        }
    }
}

/// Edits of all kinds by one who is away, on what he had.
fn edits_by_one_who_is_away(net: &mut Net, n: usize) -> Vec<EditId> {
    let text = |at, delete, insert: &str| Edit::Splice {
        cell: cell(1, TEXT),
        at,
        delete,
        insert: insert.into(),
    };
    let edits = [
        put(1, "away"),
        put(2, "away too"),
        Edit::Add { cell: cell(1, COUNTER), amount: 100 },
        insert(1, "away"),
        Edit::Remove { cell: cell(1, SET), element: "old".into() },
        text(0, 0, "away "),
        text(net.replicas[n].length(cell(1, TEXT)), 0, "gone "),
    ];
    edits.iter().map(|edit| net.edit(n, edit)).collect()
}

#[test]
fn who_was_gone_comes_back_and_loses_none_of_his_edits() {
    for strategy in ALL {
        for shape in 0..3 {
            let mut net = match shape {
                0 => Net::new(strategy, true, 4, Transport::Session),
                1 => Net::mesh(strategy, 4),
                _ => Net::line(strategy, 4),
            };
            net.what = format!("{}, shape {shape}", strategy.name());
            let text = |at, delete, insert: &str| Edit::Splice {
                cell: cell(1, TEXT),
                at,
                delete,
                insert: insert.into(),
            };
            net.edit(1, &put(1, "before"));
            net.edit(1, &Edit::Add { cell: cell(1, COUNTER), amount: 1 });
            net.edit(1, &insert(1, "old"));
            net.edit(1, &text(0, 0, "one two "));
            net.exchange_all(&net.links());
            let gone = SeatChange::Gone { replica: ReplicaId(3) };
            net.seat_change(gone, 3);
            let others: Vec<(usize, usize)> =
                net.links().into_iter().filter(|(a, b)| *a != 3 && *b != 3).collect();
            let away = edits_by_one_who_is_away(&mut net, 3);
            for round in 0..10 {
                for n in [1, 2] {
                    net.edit(n, &put(1, &format!("{round} by {n}")));
                    net.edit(n, &Edit::Add { cell: cell(1, COUNTER), amount: 1 });
                    net.edit(n, &insert(1, &format!("{round} by {n}")));
                    net.edit(n, &text(8, 0, &format!("r{round}n{n} ")));
                    net.exchange_all(&others);
                }
            }
            for n in 0..3 {
                net.lose(n, 3);
            }
            net.seat_change(SeatChange::Back { replica: ReplicaId(3) }, 3);
            let what = net.what.clone();
            net.settle(&what);
            for n in 0..4 {
                let shown = |at| net.shown(n, at);
                assert!(shown(cell(1, REGISTER)).contains(&register("away")), "{what}");
                assert!(shown(cell(1, REGISTER)).contains(&register("9 by 2")), "{what}");
                assert_eq!(shown(cell(2, REGISTER)), [register("away too")], "{what}");
                let contents = shown(cell(1, TEXT));
                let texts: Vec<&str> = contents
                    .iter()
                    .filter_map(|content| match content {
                        Content::Text(text) => Some(text.as_str()),
                        _ => None,
                    })
                    .collect();
                for word in ["one", "two", "away", "gone", "r0n1", "r9n2"] {
                    let there = texts.iter().any(|text| text.contains(word));
                    assert!(there, "{what}: {word} is not in {texts:?}");
                }
                let contents = shown(cell(1, SET));
                for element in ["away", "0 by 1", "9 by 2"] {
                    let has = |content: &Content| matches!(content, Content::Set(all) if all.contains(&Value::from(element)));
                    assert!(contents.iter().any(has), "{what}: {element} is not in {contents:?}");
                }
                let sums = shown(cell(1, COUNTER));
                if strategy.name() == MERGE.name() {
                    assert_eq!(sums, [Content::Counter(121)], "{what}");
                    assert_eq!(contents.len(), 1, "{what}");
                } else {
                    let expected = [Content::Counter(101), Content::Counter(21)];
                    assert!(expected.iter().all(|sum| sums.contains(sum)), "{what}: {sums:?}");
                }
                for id in &away {
                    let origin = n == 3;
                    assert!(origin || net.believed[n].contains(id), "{what}: {id} at {n}");
                }
            }
        }
    }
}

#[test]
fn everybody_ends_with_the_same_whoever_is_thought_gone() {
    for seed in 0..1200 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let strategy = ALL[seed as usize % ALL.len()];
        let transport = if seed % 3 == 0 { Transport::Datagram } else { Transport::Session };
        let count = rng.random_range(3..6);
        let mut net = match seed / 4 % 3 {
            0 => Net::new(strategy, true, count, transport),
            1 => Net::new(strategy, false, count, transport),
            _ => Net::line(strategy, count),
        };
        net.what = format!("seed {seed}, {}", strategy.name());
        let what = net.what.clone();
        let links = net.links();
        let mut away: BTreeSet<usize> = BTreeSet::new();
        for _ in 0..rng.random_range(20..200) {
            let (from, to) = links[rng.random_range(0..links.len())];
            let cut = away.contains(&from) || away.contains(&to);
            match rng.random_range(0..20) {
                0..8 => {
                    let edit = shown::random_edit(&net, from, &mut rng);
                    net.edit(from, &edit);
                }
                8..13 if !cut => net.sync(from, to),
                13..17 if !cut => {
                    net.deliver(from, to);
                }
                17 => net.lose(from, to),
                // Nobody who holds the others together goes.
                18 if net.authority != Some(ReplicaId(from as u32))
                    && net.peers[from].len() != 2 =>
                {
                    let replica = ReplicaId(from as u32);
                    let change = if away.insert(from) {
                        net.peers[from]
                            .clone()
                            .iter()
                            .for_each(|peer| net.lose(from, peer.0 as usize));
                        SeatChange::Gone { replica }
                    } else {
                        away.remove(&from);
                        SeatChange::Back { replica }
                    };
                    net.seat_change(change, from);
                }
                19 => {
                    let saved = net.saved(from);
                    net.restart(from, &saved);
                }
                _ => {}
            }
        }
        for n in std::mem::take(&mut away) {
            net.seat_change(SeatChange::Back { replica: ReplicaId(n as u32) }, n);
        }
        net.settle(&what);
    }
}
