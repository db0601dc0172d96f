//! Graphs against what their definitions say, on random ones.

use crate::event_graph::graph::{Graph, Side, Time, advance};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeSet;

/// A graph of about `entries` entries, by a few agents that now and then merge what another one has.
fn random_graph(rng: &mut ChaCha8Rng, entries: usize) -> Graph {
    let mut graph = Graph::default();
    let mut versions: Vec<Vec<Time>> = vec![Vec::new(); rng.random_range(1..4)];
    for _ in 0..entries {
        let n = rng.random_range(0..versions.len());
        if rng.random_bool(0.4) {
            let other = versions[rng.random_range(0..versions.len())].clone();
            let all = ancestors(&graph, &[versions[n].clone(), other].concat());
            versions[n] = heads(&graph, &all);
        }
        let count = rng.random_range(1..4);
        graph.push(&versions[n], count);
        versions[n] = vec![graph.end() - 1];
    }
    graph
}

fn parents(graph: &Graph, time: Time) -> Vec<Time> {
    let entry = &graph.entries()[graph.entry_of(time)];
    if time == entry.start { entry.parents.clone() } else { vec![time - 1] }
}

fn ancestors(graph: &Graph, version: &[Time]) -> BTreeSet<Time> {
    let mut all = BTreeSet::new();
    let mut open = version.to_vec();
    while let Some(time) = open.pop() {
        if all.insert(time) {
            open.extend(parents(graph, time));
        }
    }
    all
}

fn heads(graph: &Graph, all: &BTreeSet<Time>) -> Vec<Time> {
    let inner: BTreeSet<Time> = all.iter().flat_map(|time| parents(graph, *time)).collect();
    all.difference(&inner).copied().collect()
}

fn random_version(rng: &mut ChaCha8Rng, graph: &Graph) -> Vec<Time> {
    let some: Vec<Time> =
        (0..rng.random_range(0..3)).map(|_| rng.random_range(0..graph.end())).collect();
    heads(graph, &ancestors(graph, &some))
}

#[test]
fn versions_are_sets_of_edits() {
    for seed in 0..300 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let count = rng.random_range(1..15);
        let graph = random_graph(&mut rng, count);
        let everything = (0..graph.end()).collect();
        assert_eq!(graph.heads(), heads(&graph, &everything), "seed {seed}");
        let (a, b) = (random_version(&mut rng, &graph), random_version(&mut rng, &graph));
        let (all_a, all_b) = (ancestors(&graph, &a), ancestors(&graph, &b));
        for time in 0..graph.end() {
            assert_eq!(graph.contains(&a, time), all_a.contains(&time), "seed {seed}: {time}");
        }
        let (only_a, only_b, _) = graph.diff(&a, &b);
        let listed = |spans: &[std::ops::Range<Time>]| -> BTreeSet<Time> {
            spans.iter().cloned().flatten().collect()
        };
        assert_eq!(listed(&only_a), &all_a - &all_b, "seed {seed}: {a:?} {b:?} {graph:?}");
        assert_eq!(listed(&only_b), &all_b - &all_a, "seed {seed}: {a:?} {b:?} {graph:?}");

        let conflict = graph.conflict(&a, &b);
        let common = ancestors(&graph, &conflict.common);
        let mut between = BTreeSet::new();
        for (span, side) in &conflict.spans {
            for time in span.clone() {
                let (in_a, in_b) = (all_a.contains(&time), all_b.contains(&time));
                let expected = match (in_a, in_b) {
                    (true, false) => Side::OnlyA,
                    (false, true) => Side::OnlyB,
                    _ => Side::Shared,
                };
                assert_eq!(*side, expected, "seed {seed}: {time} of {a:?} {b:?} {graph:?}");
                assert!(between.insert(time), "seed {seed}: {time} twice");
                let past = ancestors(&graph, &[time]);
                assert!(common.is_subset(&past), "seed {seed}: {time} is no later than {common:?}");
            }
        }
        assert_eq!(&common | &between, &all_a | &all_b, "seed {seed}: {a:?} {b:?} {graph:?}");
        assert!(common.is_disjoint(&between), "seed {seed}");
    }
}

#[test]
fn critical_versions_are_found_and_only_they() {
    let mut found_any = 0;
    for seed in 0..300 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let count = rng.random_range(1..15);
        let graph = random_graph(&mut rng, count);
        let limit = rng.random_range(0..=graph.end());
        let is_critical = |time: Time| {
            let before: BTreeSet<Time> = (0..time).collect();
            (time..graph.end()).all(|later| before.is_subset(&ancestors(&graph, &[later])))
        };
        let found = graph.critical(0, &[], limit);
        for (time, heads_at) in &found {
            assert!(is_critical(*time), "seed {seed}: {time} in {graph:?}");
            let before = (0..*time).collect();
            assert_eq!(*heads_at, heads(&graph, &before), "seed {seed}: {time} in {graph:?}");
        }
        let latest = (1..=limit).rev().find(|time| is_critical(*time));
        assert_eq!(found.last().map(|(time, _)| *time), latest, "seed {seed}: {graph:?}");
        let Some((time, _)) = found.last() else { continue };
        found_any += 1;
        let mut rest = graph.clone();
        rest.forget_before(*time);
        assert_eq!((rest.start(), rest.end()), (*time, graph.end()), "seed {seed}");
        let mut again: Vec<Time> = Vec::new();
        rest.entries().iter().for_each(|e| advance(&mut again, &e.parents, e.end - 1));
        assert_eq!(rest.heads(), again, "seed {seed}");
    }
    assert!(found_any > 100, "only {found_any} graphs had a critical version");
}
