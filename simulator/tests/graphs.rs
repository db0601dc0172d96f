//! Trees, rings and explicit edges; the schedules `rounds` and `random-peer`; rhythms.

mod common;

use common::meddling::{Bystander, meddled};
use common::*;
use reconverge_scenarios::{Scenario, ScheduleKind, Topology};
use reconverge_simulator::fact::{Fact, Phase};
use reconverge_simulator::plan::plan;
use reconverge_simulator::row::Status;
use reconverge_simulator::streams::Streams;
use reconverge_simulator::topology::Graph;
use reconverge_simulator::workload::{Script, schema};
use reconverge_strategies::{FieldId, registry};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

/// Six phones in a rough world: outages, kills, and no server.
fn rough(topology: &str) -> Scenario {
    let topology = format!("topology={{ {topology} }}");
    let own = ["duration=1h", "group.phone.count=5", "group.server.kills.mean=20min"];
    built_in("small", &[&own[..], &[topology.as_str()]].concat())
}

const GRAPHS: [(&str, &str); 3] = [
    ("tree", "kind = \"tree\""),
    ("ring", "kind = \"ring\""),
    ("edges", "kind = \"edges\", edges = [[5, 0], [0, 3], [3, 1], [1, 0], [2, 4], [4, 5]]"),
];

/// Whoever can converges, telling neighbours alone; whoever cannot says why.
#[test]
fn every_strategy_gets_through_every_graph_or_says_why_not() {
    for (name, topology) in GRAPHS {
        let scenario = rough(topology);
        let graph = Graph::new(&scenario);
        let edges: BTreeSet<[u32; 2]> = graph.pairs.iter().copied().collect();
        let mut supported = 0;
        for strategy in registry() {
            for seed in 0..2 {
                let (mut opened, mut spoke) = (BTreeSet::new(), BTreeSet::new());
                let row = listen(&scenario, *strategy, seed, |_, fact| match fact {
                    Fact::SessionOpened { device, peer } => {
                        opened.insert([*device, *peer]);
                    }
                    Fact::Sent { from, to, .. } => {
                        spoke.insert([*from.min(to), *from.max(to)]);
                    }
                    _ => {}
                });
                let row = row.result.row;
                let what = format!("{} in {name} seed {seed}: {}", row.strategy, row.reason);
                if strategy.profile().graph.unsupported().is_some() {
                    assert_eq!(row.status, Status::Unsupported, "{what}");
                    assert!(row.reason.starts_with(&format!("{name}: ")), "{what}");
                    continue;
                }
                let metrics = figures(&row);
                assert!(metrics.kills > Some(0) && metrics.edits_kept > Some(20), "{what}");
                assert_eq!(opened, edges, "{what}: the lower number dials");
                assert_eq!(spoke, edges, "{what}");
                supported += 1;
            }
        }
        assert!(supported >= 8, "{name}: {supported}");
    }
}

/// A replica sits among its neighbours and nobody decides.
#[test]
fn seats_have_neighbours_and_no_authority() {
    for (name, topology) in GRAPHS {
        let scenario = rough(topology);
        let pairs = Graph::new(&scenario).pairs;
        let seats = Mutex::new(BTreeMap::new());
        let curious = meddled(strategy("lww/hlc"), |seat, _| {
            let peers: BTreeSet<u32> = seat.peers.iter().map(|peer| peer.0).collect();
            assert!(seat.peers.is_sorted() && seat.authority.is_none(), "{name}: {seat:?}");
            assert_eq!(seat.members.len(), 6, "{name}");
            seats.lock().expect("one thread").insert(seat.replica.0, peers);
            Box::new(Bystander)
        });
        figures(&trial(&scenario, &curious, 0).result.row);
        let mut expected: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
        for [a, b] in pairs {
            expected.entry(a).or_default().insert(b);
            expected.entry(b).or_default().insert(a);
        }
        assert_eq!(*seats.lock().expect("one thread"), expected, "{name}");
    }
}

/// The fifteen nodes of `icde19`, quiet enough to see when each one speaks.
fn nodes(overrides: &[&str]) -> Scenario {
    built_in("icde19", overrides)
}

/// Who spoke with whom and when, before healing.
fn talks(scenario: &Scenario, strategy_name: &str, seed: u64) -> Vec<(u64, u32, u32)> {
    let (mut talks, mut working) = (Vec::new(), true);
    let finished = listen(scenario, strategy(strategy_name), seed, |at_ns, fact| match fact {
        Fact::Synced { device, peer } if working => talks.push((at_ns, *device, *peer)),
        Fact::Phase(phase) => working &= *phase == Phase::Work,
        _ => {}
    });
    figures(&finished.result.row);
    talks
}

/// Device i of n speaks with all its peers at i/n of each interval, exactly; only its first tick may come before its sessions do.
#[test]
fn rounds_are_spread_evenly_to_the_nanosecond() {
    let scenario = nodes(&["duration=104s", "group.node.schedule.interval=7s"]);
    let mut expected = BTreeSet::new();
    for [a, b] in Graph::new(&scenario).pairs {
        for (device, peer) in [(a, b), (b, a)] {
            let first_ns = 7 * SECOND * u64::from(device) / 15;
            let ticks = (0..).map(|k| first_ns + 7 * SECOND * k);
            let ticks = ticks.skip_while(|at_ns| *at_ns == 0);
            let ticks = ticks.take_while(|at_ns| *at_ns < 104 * SECOND);
            expected.extend(ticks.map(|at_ns| (at_ns, device, peer)));
        }
    }
    let found: BTreeSet<_> = talks(&scenario, "lww/hlc", 0).into_iter().collect();
    assert_eq!(found, expected);
}

/// At each tick one peer, each as often as any other, and the same ones whatever the strategy.
#[test]
fn random_peers_are_uniform_and_the_same_for_every_strategy() {
    let mut scenario = nodes(&["duration=10min"]);
    scenario.groups[0].schedule.kind = ScheduleKind::RandomPeer;
    for topology in [scenario.topology.clone(), Topology::Mesh] {
        scenario.topology = topology;
        let degree = match scenario.topology {
            Topology::Mesh => 14,
            _ => 4,
        };
        let mut counts: BTreeMap<(u32, u32), u32> = BTreeMap::new();
        for seed in 0..3 {
            let talks = talks(&scenario, "lww/hlc", seed);
            let ticks: BTreeSet<(u64, u32)> = talks.iter().map(|(at, d, _)| (*at, *d)).collect();
            assert_eq!(ticks.len(), talks.len(), "seed {seed}: one peer at each tick");
            // A phase below the first sessions' set-up costs a device its first tick.
            assert!((15 * 599..=15 * 600).contains(&talks.len()), "seed {seed}: {}", talks.len());
            // Merging in graphs takes a minute or so.
            let others =
                if seed == 0 { &["lww/wall", "version-vector/merge"][..] } else { &["lww/wall"] };
            for other in others {
                assert!(talks == self::talks(&scenario, other, seed), "{other} seed {seed}");
            }
            for (_, device, peer) in talks {
                *counts.entry((device, peer)).or_default() += 1;
            }
        }
        assert_eq!(counts.len(), 15 * degree, "{:?}", scenario.topology);
        let expected = 1800.0 / degree as f64;
        let distances = counts.values().map(|count| f64::from(*count) - expected);
        let squares = distances.map(|distance| distance * distance);
        let chi_square = squares.sum::<f64>() / expected;
        // 15 (degree − 1) degrees of freedom; mean and variance of chi-square; four standard deviations.
        let freedom = 15.0 * (degree as f64 - 1.0);
        let distance = (chi_square - freedom).abs() / (2.0 * freedom).sqrt();
        assert!(distance < 4.0, "{chi_square} with {freedom} degrees of freedom");
    }
    let talks = |seed| talks(&scenario, "lww/hlc", seed);
    assert!(talks(0) != talks(1), "another seed draws other partners");
}

/// Gossip survives outages, kills and datagrams: nobody is left behind.
#[test]
fn rhythmic_schedules_get_through_a_rough_world() {
    for kind in ["rounds", "random-peer"] {
        for transport in ["session", "datagram"] {
            let overrides = [
                format!("group.phone.schedule={{ kind = \"{kind}\", interval = \"5s\" }}"),
                format!("group.server.schedule={{ kind = \"{kind}\", interval = \"5s\" }}"),
                format!("transport.kind={transport}"),
                "topology.kind=mesh".to_owned(),
                "duration=1h".to_owned(),
            ];
            let overrides: Vec<&str> = overrides.iter().map(String::as_str).collect();
            let scenario = built_in("small", &overrides);
            for name in ["lww/hlc", "version-vector/merge"] {
                for seed in 0..3 {
                    let row = trial(&scenario, strategy(name), seed).result.row;
                    let metrics = figures(&row);
                    assert_eq!(row.schedule, format!("{kind} 5s"));
                    assert_eq!(metrics.edits_stranded, Some(0), "{name} {kind} {transport} {seed}");
                    assert!(metrics.visible_us_p50 < Some(60_000_000), "{name} {kind} {transport}");
                }
            }
        }
    }
}

/// Device i of n makes its edit k, counted from 1, at (k + (i + ½)/n) intervals, present or not; devices without a user make none.
#[test]
fn a_rhythm_is_exact() {
    let mut scenario = nodes(&["seeds=1"]);
    let mut silent = scenario.groups[0].clone();
    silent.user = None;
    silent.count = 3;
    scenario.groups.push(silent);
    let streams = Streams::new(5);
    let script = Script::draw(&scenario, &plan(&scenario, &streams), &streams);
    let found: Vec<_> = script.asked.iter().map(|asked| (asked.at_ns, asked.seat)).collect();
    let exact = |k: u64, i: u64| (k * SECOND + SECOND * (2 * i + 1) / 36, i as u32);
    let expected: Vec<_> = (1..=100).flat_map(|k| (0..15).map(move |i| exact(k, i))).collect();
    assert_eq!(found, expected);
}

#[test]
fn critical_fields_are_in_the_schema() {
    let scenario = built_in("small", &[]);
    assert_eq!(schema(&scenario).critical, []);
    let critical = ["data.fields.notes.critical=true", "data.fields.done.critical=true"];
    assert_eq!(schema(&built_in("small", &critical)).critical, [FieldId(1), FieldId(4)]);
}

/// Elements sent in the experiment of Enes, Almeida, Baquero and Leitao (ICDE 2019), exact: N updates, E edges, n nodes.
#[test]
fn icde19_sends_as_many_elements_as_the_closed_forms_say() {
    const N: u64 = 1_500;
    const NODES: u64 = 15;
    /// What a strategy sends, given the number of edges.
    type Form = fn(u64) -> u64;
    const FORMS: &[(&str, Form)] = &[
        // Whoever hears what the other one has sends exactly what it lacks: each element crosses each edge once.
        ("crdt/digest", |edges| N * edges),
        ("scuttlebutt", |edges| N * edges),
        ("crdt/delta-bp-rr", |edges| N * (2 * edges - NODES + 1)),
        ("crdt/delta-rr", |edges| 2 * N * edges),
    ];
    for (scenario, edges, seed) in [("icde19", 30, 0), ("icde19-tree", 14, 0), ("icde19", 30, 9)] {
        let scenario = built_in(scenario, &[]);
        assert_eq!(Graph::new(&scenario).pairs.len() as u64, edges);
        for (name, form) in FORMS {
            let row = trial(&scenario, strategy(name), seed).result.row;
            let metrics = figures(&row);
            assert_eq!(row.edits_asked, N, "{name}");
            assert_eq!(metrics.edits_kept, Some(N), "{name}");
            assert_eq!(metrics.elements_sent, Some(form(edges)), "{name} in {}", scenario.name);
        }
    }
}

/// What the authors measured on their tree, as a multiple of what deltas without redundancy send (their raw metrics of October 2018), within ten
/// per cent: they count until about a second after the last update, this scenario some seconds longer.
#[test]
fn icde19_has_the_ratios_that_were_measured() {
    let scenario = built_in("icde19-tree", &[]);
    for (name, measured) in [("crdt/state", 104.2), ("crdt/delta", 102.4), ("crdt/delta-bp", 1.0)] {
        let row = trial(&scenario, strategy(name), 0).result.row;
        let sent = figures(&row).elements_sent.expect("it sends elements");
        let ratio = sent as f64 / 21_000.0;
        assert!((ratio / measured - 1.0).abs() < 0.1, "{name}: {ratio} times, measured {measured}");
    }
}
