//! Replicas that let settled characters go, beside twins that keep everything.

use super::*;
use crate::crdt::causal::Version;
use crate::wire::{Reader, Writer};

/// Replicas that forget, and twins that never do. Every step knows the steps that its author had seen.
struct Twins {
    forgetful: World,
    faithful: World,
    pasts: Vec<BTreeSet<usize>>,
}

impl Twins {
    fn new(order: TextOrder, replicas: usize) -> Self {
        Twins {
            forgetful: World::new(order, replicas),
            faithful: World::new(order, replicas),
            pasts: Vec::new(),
        }
    }

    fn both(&mut self, me: usize, act: impl Fn(&mut World)) {
        act(&mut self.forgetful);
        act(&mut self.faithful);
        let past = &self.faithful.known[me];
        self.pasts.resize(self.faithful.history.len(), past.clone());
    }

    /// Whether every replica knows a step, and every step that one lacks was made by somebody who knew it.
    fn is_stable(&self, at: usize, me: usize) -> bool {
        let known = &self.faithful.known;
        known.iter().all(|known| known.contains(&at))
            && (0..self.pasts.len())
                .filter(|step| !known[me].contains(step))
                .all(|step| self.pasts[step].contains(&at))
    }

    /// Lets a replica forget all that it may.
    fn forget(&mut self, me: usize) {
        let mut spans = Vec::new();
        for at in 0..self.pasts.len() {
            if let Step::Delete { dot } = self.faithful.history[at]
                && self.is_stable(at, me)
            {
                insert_span(&mut spans, Span { first: dot, len: 1 });
            }
        }
        self.forgetful.sequences[me].forget(&spans);
    }

    /// The replica reads what it wrote.
    fn restore(&mut self, me: usize) {
        let (text, mut have) = (&self.forgetful.sequences[me], Version::new());
        for (of, counter) in (0..).zip(&self.forgetful.counters) {
            have.raise(Agent::new(ReplicaId(of), 0), *counter);
        }
        let mut writer = Writer::new();
        text.write(&mut writer, &have.agents());
        let (bytes, order) = (writer.finish(), text.order);
        let mut reader = Reader::new(&bytes);
        let read = Sequence::read(&mut reader, order, &have).expect("its own bytes");
        reader.end().expect("nothing is left over");
        assert_eq!((read.settled.len(), read.clock), (text.settled.len(), text.clock));
        self.forgetful.sequences[me] = read;
    }

    fn check(&self, seed: u64) {
        let steps = self.forgetful.history.iter().map(|step| format!("{step:?}"));
        let twins = self.faithful.history.iter().map(|step| format!("{step:?}"));
        assert!(steps.eq(twins), "seed {seed}: the same edits name other characters");
        for (one, twin) in self.forgetful.sequences.iter().zip(&self.faithful.sequences) {
            assert_eq!(one.text(), twin.text(), "seed {seed}");
            assert_eq!(one.visible(), twin.visible(), "seed {seed}");
            for text in [one, twin] {
                let deleted = text.lists().flatten().filter(|item| item.is_deleted()).count();
                assert_eq!(text.chunks.deleted(), deleted, "seed {seed}");
            }
        }
    }
}

fn deleted_characters(text: &Sequence) -> usize {
    text.lists().flatten().filter(|item| item.is_deleted()).map(|item| item.len as usize).sum()
}

fn follow(seed: u64, replicas: usize, order: TextOrder) -> (usize, usize) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut twins = Twins::new(order, replicas);
    let eagerness = rng.random_range(1..6);
    for _ in 0..rng.random_range(10..80) {
        let me = rng.random_range(0..replicas);
        let length = twins.faithful.sequences[me].len();
        let at = rng.random_range(0..=length);
        match rng.random_range(0..12) {
            0..4 => {
                let word: String = (0..rng.random_range(1..5))
                    .map(|_| char::from(rng.random_range(b'a'..=b'z')))
                    .collect();
                twins.both(me, |world| world.insert(me, at, &word));
            }
            4..6 => {
                let count = rng.random_range(1..5);
                twins.both(me, |world| world.delete(me, at, count));
            }
            6..11 => {
                for _ in 0..eagerness {
                    let (from, into) =
                        (rng.random_range(0..replicas), rng.random_range(0..replicas));
                    twins.both(me, |world| world.merge(from, into));
                    twins.forget(into);
                }
            }
            _ => twins.restore(me),
        }
        twins.check(seed);
    }
    twins.both(0, World::merge_all);
    twins.check(seed);
    let before: usize = twins.forgetful.sequences.iter().map(deleted_characters).sum();
    let kept: usize = twins.faithful.sequences.iter().map(deleted_characters).sum();
    (0..replicas).for_each(|me| twins.forget(me));
    for text in &twins.forgetful.sequences {
        assert!(deleted_characters(text) <= text.len() + 1, "seed {seed}: one for each gap");
        assert_eq!(text.settled.len(), deleted_characters(text), "seed {seed}");
    }
    (before, kept)
}

#[test]
fn forgetting_changes_neither_the_text_nor_what_edits_name() {
    for order in [TextOrder::FugueMax, TextOrder::Rga] {
        for replicas in [2, 3] {
            let (mut left, mut all) = (0, 0);
            for seed in 0..400 {
                let (before, kept) = follow(seed, replicas, order);
                left += before;
                all += kept;
            }
            assert!(left < all * 9 / 10, "{order:?}: hardly anything went, {left} of {all} left");
        }
    }
}

#[test]
fn a_text_under_steady_editing_does_not_grow() {
    for order in [TextOrder::FugueMax, TextOrder::Rga] {
        let mut world = World::new(order, 1);
        world.insert(0, 0, &"steady ".repeat(10));
        let mut sizes = Vec::new();
        for round in 0..3000 {
            let at = (round * 31) % 60;
            world.delete(0, at, 5);
            world.insert(0, at, "words");
            let text = &mut world.sequences[0];
            let deleted = text.deleted();
            text.forget(&deleted);
            let footprint = text.footprint();
            sizes.push(footprint.metadata_bytes + footprint.history_bytes);
        }
        let most = |sizes: &[u64]| *sizes.iter().max().expect("some rounds");
        assert!(most(&sizes[2000..]) <= most(&sizes[500..1000]) * 5 / 4, "{order:?}");
    }
}

#[test]
fn what_is_shown_or_unknown_is_not_forgotten() {
    let mut world = World::new(TextOrder::FugueMax, 1);
    world.insert(0, 0, "abcdef");
    world.delete(0, 2, 2);
    let first = Dot { agent: Agent::new(ReplicaId(0), 0), counter: 1 };
    let text = &mut world.sequences[0];
    text.forget(&[Span { first, len: 1 << 40 }]);
    assert_eq!(text.text(), "abef");
    assert_eq!(deleted_characters(text), 1);
    text.forget(&[Span { first, len: 1 << 40 }]);
    assert_eq!(deleted_characters(text), 1, "the first of a row stays");
    assert_eq!(text.erase_at(0, 4).len(), 2);
    let deleted = text.deleted();
    text.forget(&deleted);
    assert_eq!((text.items(), text.len()), (1, 0));
}
