//! Sets of dots as sorted, disjoint, non-adjacent spans; [`insert_span`](super::super::causal::insert_span) adds to them.

use crate::crdt::causal::{Dot, Span, Version};

/// Whether a dot is in the set.
pub fn has(spans: &[Span], dot: Dot) -> bool {
    let after = spans.partition_point(|span| span.first <= dot);
    after > 0 && dot < spans[after - 1].end()
}

/// Number of dots.
pub fn count(spans: &[Span]) -> u64 {
    spans.iter().fold(0, |sum: u64, span| sum.saturating_add(span.len))
}

/// The parts of a span that are not in the set, in order.
pub fn minus(span: Span, spans: &[Span]) -> Vec<Span> {
    split(span, spans).0
}

/// The parts of a span that are in the set, in order.
pub fn meet(span: Span, spans: &[Span]) -> Vec<Span> {
    split(span, spans).1
}

/// The parts of a span outside the set, and those inside.
fn split(span: Span, spans: &[Span]) -> (Vec<Span>, Vec<Span>) {
    let (mut outside, mut inside) = (Vec::new(), Vec::new());
    let (mut at, end) = (span.first, span.end());
    let from = spans.partition_point(|other| other.end() <= at);
    for other in spans[from..].iter().take_while(|other| other.first < end) {
        if at < other.first {
            outside.push(Span { first: at, len: other.first.counter - at.counter });
            at = other.first;
        }
        let stop = other.end().min(end);
        inside.push(Span { first: at, len: stop.counter - at.counter });
        at = stop;
    }
    if at < end {
        outside.push(Span { first: at, len: end.counter - at.counter });
    }
    (outside, inside)
}

/// The part of a span that a version does not cover.
pub fn beyond(span: Span, known: &Version) -> Option<Span> {
    let first = span.first.counter.max(known.get(span.first.agent) + 1);
    let end = span.end().counter;
    (first < end)
        .then(|| Span { first: Dot { agent: span.first.agent, counter: first }, len: end - first })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crdt::causal::{Agent, insert_span};
    use crate::document::ReplicaId;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;
    use std::collections::BTreeSet;

    #[test]
    fn spans_are_cut_as_sets_of_dots_are() {
        for seed in 0..300 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let mut span = |most: u64| {
                let agent = Agent::new(ReplicaId(rng.random_range(0..3)), 0);
                let counter = rng.random_range(1..20);
                Span { first: Dot { agent, counter }, len: rng.random_range(1..most) }
            };
            let mut spans = Vec::new();
            (0..seed % 9).for_each(|_| insert_span(&mut spans, span(4)));
            let cut = span(15);
            let dots = |spans: &[Span]| -> BTreeSet<Dot> {
                spans.iter().flat_map(|s| (0..s.len).map(|n| s.first.plus(n))).collect()
            };
            let (all, own) = (dots(&spans), dots(&[cut]));
            assert!(own.iter().all(|dot| has(&spans, *dot) == all.contains(dot)), "seed {seed}");
            assert_eq!(dots(&minus(cut, &spans)), &own - &all, "seed {seed}");
            assert_eq!(dots(&meet(cut, &spans)), &own & &all, "seed {seed}");
            assert_eq!(count(&spans), all.len() as u64, "seed {seed}");
            let mut known = Version::new();
            known.raise(cut.first.agent, seed % 25);
            let rest: BTreeSet<Dot> = own.into_iter().filter(|dot| !known.covers(*dot)).collect();
            assert_eq!(dots(&Vec::from_iter(beyond(cut, &known))), rest, "seed {seed}");
        }
    }
}
