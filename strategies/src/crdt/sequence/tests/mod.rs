//! The sequence against a tree of single characters, written as simply as the papers state it.

mod forgetting;
mod interleaving;
mod scaling;

use super::*;
use crate::crdt::causal::Agent;
use crate::document::ReplicaId;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeSet;

/// One character's insertion or deletion.
#[derive(Clone, Copy, Debug)]
enum Step {
    Insert { dot: Dot, left: Dot, claim: Claim, what: char },
    Delete { dot: Dot },
}

struct Node {
    dot: Dot,
    what: char,
    deleted: bool,
    /// `None` for children of the root.
    parent: Option<usize>,
    is_right_child: bool,
    /// Orders right siblings.
    claim: Claim,
}

/// FugueMax or RGA as a tree of single characters; every operation looks at all of them.
#[derive(Default)]
struct Naive {
    nodes: Vec<Node>,
    /// The nodes in order of the text: left children, the node, right children.
    order: Vec<usize>,
}

impl Naive {
    fn apply(&mut self, step: Step) {
        match step {
            Step::Delete { dot } => {
                let at = self.at(dot).expect("deletions come after insertions");
                self.nodes[at].deleted = true;
            }
            Step::Insert { dot, left, claim, what } => {
                let (above, before) = (self.at(left), self.at(right_of(claim)));
                // Below the left neighbour, unless that had a right child already: then the right neighbour was below it.
                let under_right = before.filter(|before| self.is_under(*before, above));
                let (parent, is_right_child) =
                    under_right.map_or((above, true), |before| (Some(before), false));
                let node = Node { dot, what, deleted: false, parent, is_right_child, claim };
                let place = self.place(&node);
                self.order.insert(place, self.nodes.len());
                self.nodes.push(node);
            }
        }
    }

    /// Where a new node goes: behind the siblings on its side that come before it.
    fn place(&self, node: &Node) -> usize {
        let mut place = match node.parent {
            None => 0,
            Some(parent) if node.is_right_child => self.position(parent) + 1,
            Some(parent) => self
                .order
                .iter()
                .position(|of| self.is_under(*of, Some(parent)))
                .expect("the parent itself"),
        };
        let right_position = |dot: Dot| self.at(dot).map_or(usize::MAX, |of| self.position(of));
        for (at, other) in self.nodes.iter().enumerate() {
            if (other.parent, other.is_right_child) != (node.parent, node.is_right_child) {
                continue;
            }
            let (theirs, ours) = match (other.claim, node.claim) {
                (Claim::At(theirs), Claim::At(ours)) => (theirs as usize, ours as usize),
                _ => [other, node].map(|of| right_position(right_of(of.claim))).into(),
            };
            let goes_before = if node.is_right_child && theirs != ours {
                theirs > ours
            } else {
                other.dot < node.dot
            };
            if goes_before {
                let last = self.order.iter().rposition(|of| self.is_under(*of, Some(at)));
                place = place.max(last.expect("the sibling itself") + 1);
            }
        }
        place
    }

    fn at(&self, dot: Dot) -> Option<usize> {
        self.nodes.iter().position(|node| node.dot == dot)
    }

    fn position(&self, node: usize) -> usize {
        self.order.iter().position(|of| *of == node).expect("every node is in the order")
    }

    /// Whether a node is another one or below it; everything is below the root.
    fn is_under(&self, node: usize, top: Option<usize>) -> bool {
        let mut at = Some(node);
        while at != top && at.is_some() {
            at = self.nodes[at.expect("checked")].parent;
        }
        at == top
    }

    fn text(&self) -> String {
        let shown = self.order.iter().map(|of| &self.nodes[*of]).filter(|node| !node.deleted);
        shown.map(|node| node.what).collect()
    }
}

/// What an insertion names on its right.
fn right_of(claim: Claim) -> Dot {
    if let Claim::Before(right) = claim { right } else { Dot::NONE }
}

/// Replicas that write to one text, and all their steps in the order of time.
struct World {
    sequences: Vec<Sequence>,
    counters: Vec<u64>,
    known: Vec<BTreeSet<usize>>,
    history: Vec<Step>,
}

impl World {
    fn new(order: TextOrder, replicas: usize) -> Self {
        World {
            sequences: vec![Sequence::new(order); replicas],
            counters: vec![0; replicas],
            known: vec![BTreeSet::new(); replicas],
            history: Vec::new(),
        }
    }

    fn record(&mut self, me: usize, step: Step) {
        self.known[me].insert(self.history.len());
        self.history.push(step);
    }

    fn insert(&mut self, me: usize, at: usize, text: &str) {
        let agent = Agent::new(ReplicaId(me as u32), 0);
        let first = Dot { agent, counter: self.counters[me] + 1 };
        let (mut left, claim) = self.sequences[me].insert_at(at, first, text);
        for (n, what) in (0..).zip(text.chars()) {
            let dot = first.plus(n);
            self.record(me, Step::Insert { dot, left, claim: claim.of_later(n), what });
            left = dot;
            self.counters[me] += 1;
        }
    }

    fn delete(&mut self, me: usize, at: usize, count: usize) {
        for span in self.sequences[me].erase_at(at, count) {
            for n in 0..span.len {
                self.record(me, Step::Delete { dot: span.first.plus(n) });
            }
        }
    }

    fn merge(&mut self, from: usize, into: usize) {
        for at in self.known[from].clone() {
            if !self.known[into].insert(at) {
                continue;
            }
            match self.history[at] {
                Step::Insert { dot, left, claim, what } => {
                    self.sequences[into].insert_beside(dot, left, claim, &what.to_string());
                }
                Step::Delete { dot } => {
                    self.sequences[into].erase(&[Span { first: dot, len: 1 }]);
                }
            }
        }
    }

    fn merge_all(&mut self) {
        for from in 0..self.sequences.len() {
            for into in 0..self.sequences.len() {
                self.merge(from, into);
            }
        }
    }
}

#[test]
fn random_concurrent_histories_follow_the_tree() {
    for seed in 0..1000 {
        let order = if seed % 2 == 0 { TextOrder::FugueMax } else { TextOrder::Rga };
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut world = World::new(order, 3);
        for _ in 0..rng.random_range(5..60) {
            let me = rng.random_range(0..3usize);
            let length = world.sequences[me].len();
            match rng.random_range(0..10) {
                0..6 => {
                    let text: String = (0..rng.random_range(1..4))
                        .map(|_| char::from(rng.random_range(b'a'..=b'z')))
                        .map(|what| if what == 'e' { 'é' } else { what })
                        .collect();
                    world.insert(me, rng.random_range(0..=length), &text);
                }
                6..8 => world.delete(me, rng.random_range(0..=length), rng.random_range(1..4)),
                _ => world.merge(rng.random_range(0..3), me),
            }
        }
        world.merge_all();
        let mut naive = Naive::default();
        for step in &world.history {
            naive.apply(*step);
        }
        let expected = naive.text();
        for sequence in &world.sequences {
            assert_eq!(sequence.text(), expected, "seed {seed}");
            assert_eq!(sequence.len(), expected.chars().count(), "seed {seed}");
            assert_eq!(sequence.bytes(), expected.len(), "seed {seed}");
            let visible: u64 = sequence.visible().iter().map(|span| span.len).sum();
            assert_eq!(visible as usize, sequence.len(), "seed {seed}");
            let rebuilt =
                Sequence::from_lists(order, 0, sequence.lists().map(<[Item]>::to_vec).collect());
            assert_eq!(rebuilt.text(), expected, "seed {seed}");
        }
    }
}

#[test]
fn long_texts_are_cut_into_chunks_and_stay_what_they_are() {
    for seed in 0..6 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (mut world, mut expected) = (World::new(TextOrder::FugueMax, 2), Vec::<char>::new());
        for _ in 0..3000 {
            let at = rng.random_range(0..=expected.len());
            if rng.random_range(0..3) < 2 {
                let text = "añ😀b".repeat(rng.random_range(1..4));
                let text = if rng.random_range(0..500) == 0 { text.repeat(400) } else { text };
                world.insert(0, at, &text);
                expected.splice(at..at, text.chars());
            } else {
                let count = rng.random_range(0..200usize).min(expected.len() - at);
                world.delete(0, at, count);
                expected.drain(at..at + count);
            }
        }
        let expected: String = expected.into_iter().collect();
        assert_eq!(world.sequences[0].text(), expected, "seed {seed}");
        world.merge(0, 1);
        assert_eq!(world.sequences[1].text(), expected, "seed {seed}");
    }
}

#[test]
fn spans_of_characters_that_are_not_here_are_passed_over() {
    let mut world = World::new(TextOrder::FugueMax, 1);
    world.insert(0, 0, "ab");
    world.counters[0] = 10;
    world.insert(0, 2, "cd");
    let first = Dot { agent: Agent::new(ReplicaId(0), 0), counter: 2 };
    world.sequences[0].erase(&[Span { first, len: u64::MAX - 2 }]);
    assert_eq!(world.sequences[0].text(), "a");
    let looked_at = world.sequences[0].erase(&[Span { first: first.plus(50), len: 1 << 60 }]);
    assert_eq!(looked_at, 1);
}

#[test]
fn every_character_is_found_by_its_dot_whatever_order_they_come_in() {
    for seed in 0..60 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut text = Sequence::new(TextOrder::Rga);
        let mut spans: Vec<Span> = Vec::new();
        for agent in 0..3 {
            let (agent, mut counter) = (Agent::new(ReplicaId(agent), 0), 1);
            for _ in 0..rng.random_range(1..150) {
                counter += rng.random_range(0..3);
                let len = rng.random_range(1..6);
                spans.push(Span { first: Dot { agent, counter }, len });
                counter += len;
            }
        }
        let mut here: BTreeSet<Dot> = BTreeSet::new();
        for n in 0..spans.len() {
            let other = rng.random_range(n..spans.len());
            spans.swap(n, other);
            let Span { first, len } = spans[n];
            let claim = Claim::At(rng.random_range(1..500));
            let left = spans[rng.random_range(0..=n)].first;
            if rng.random_range(0..3) == 0 {
                text.insert_deleted(first, len as u32, left, claim);
            } else {
                text.insert_beside(first, left, claim, &"x".repeat(len as usize));
            }
            here.extend((0..len).map(|n| first.plus(n)));
            if rng.random_range(0..8) == 0 {
                text.erase_at(rng.random_range(0..=text.len()), rng.random_range(0..20));
            }
            let gone = spans[rng.random_range(0..=n)];
            if rng.random_range(0..8) == 0 && text.chunks.find(gone.first).is_some() {
                text.erase(&[gone]);
                text.forget(&[gone]);
                let known = |dot: &Dot| text.chunks.find(*dot).is_some();
                let left: BTreeSet<Dot> = text.dots();
                assert!(left.iter().all(known), "seed {seed}");
                here.retain(|dot| left.contains(dot));
            }
        }
        for dot in spans.iter().flat_map(|span| (0..span.len + 2).map(|n| span.first.plus(n))) {
            let place = text.chunks.find(dot);
            assert_eq!(place.map(|place| text.dot(place)), here.get(&dot).copied(), "seed {seed}");
            if place.is_none() {
                let next = here.range(dot..).next().filter(|next| next.agent == dot.agent);
                assert_eq!(text.chunks.next_known(dot), next.copied(), "seed {seed}: {dot:?}");
            }
        }
        assert_eq!(text.dots(), here, "seed {seed}");
    }
}

impl Sequence {
    /// The dots of all characters, deleted ones included.
    fn dots(&self) -> BTreeSet<Dot> {
        let items = self.lists().flatten();
        items.flat_map(|item| (0..u64::from(item.len)).map(|n| item.first.plus(n))).collect()
    }
}
