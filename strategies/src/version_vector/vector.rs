//! Version vectors: which events somebody had seen, as one counter for each writer.
//!
//! Parker et al., "Detection of mutual inconsistency in distributed systems", IEEE TSE 9(3), 1983. The dots, which name single
//! events, follow Preguica et al., "Dotted version vectors: logical clocks for optimistic replication", 2010.

use crate::contract::Malformed;
use crate::document::ReplicaId;
use crate::wire::{Reader, Writer};
use std::cmp::Ordering;

/// The greatest counter that is taken from a message: far beyond any run, and far from overflow.
const COUNTER_MAX: u64 = 1 << 48;

/// Somebody who writes: a replica, in one of its lives. A replica that came back without its memory would mint the same dots
/// again, so it counts as a new writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Actor {
    pub replica: ReplicaId,
    pub incarnation: u32,
}

impl Actor {
    /// The writer of what every replica holds from the beginning. No vector names it: its events are known to everybody.
    pub const GENESIS: Actor = Actor { replica: ReplicaId::GENESIS, incarnation: 0 };
}

/// One event: the `counter`-th of its actor in this cell, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dot {
    pub actor: Actor,
    pub counter: u64,
}

impl Dot {
    /// The event that stands for all of the genesis.
    pub const GENESIS: Dot = Dot { actor: Actor::GENESIS, counter: 1 };
}

/// For each actor, how many of its events are covered. Sorted by actor; no counter is zero.
///
/// Compared by what they cover: `a <= b` means that `b` covers all that `a` covers; concurrent vectors do not compare.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vector {
    entries: Vec<(Actor, u64)>,
}

/// What somebody had seen of a cell when he wrote to it: all that the vector covers, except for the events that he left open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Context {
    pub vector: Vector,
    /// Events covered by the vector whose versions he did not mean to replace.
    pub open: Vec<Dot>,
}

impl Context {
    /// Whether the version that an event made is replaced by whoever writes in this context.
    pub fn covers(&self, dot: Dot) -> bool {
        self.vector.covers(dot) && !self.open.contains(&dot)
    }
}

impl Vector {
    /// How many events of an actor are covered.
    pub fn get(&self, actor: Actor) -> u64 {
        self.entries
            .binary_search_by_key(&actor, |(actor, _)| *actor)
            .map_or(0, |at| self.entries[at].1)
    }

    /// Whether an event is covered.
    pub fn covers(&self, dot: Dot) -> bool {
        dot.actor == Actor::GENESIS || dot.counter <= self.get(dot.actor)
    }

    /// Adds an actor's next event.
    pub fn increment(&mut self, actor: Actor) -> Dot {
        let counter = match self.entries.binary_search_by_key(&actor, |(actor, _)| *actor) {
            Ok(at) => {
                self.entries[at].1 = self.entries[at].1.saturating_add(1);
                self.entries[at].1
            }
            Err(at) => {
                self.entries.insert(at, (actor, 1));
                1
            }
        };
        Dot { actor, counter }
    }

    /// Covers what the other one covers as well. One pass over both.
    pub fn join(&mut self, other: &Vector) {
        let mut joined = Vec::with_capacity(self.entries.len().max(other.entries.len()));
        let mut theirs = other.entries.iter().copied().peekable();
        for (actor, counter) in &self.entries {
            while let Some(entry) = theirs.next_if(|entry| entry.0 < *actor) {
                joined.push(entry);
            }
            let same = theirs.next_if(|entry| entry.0 == *actor).map_or(0, |entry| entry.1);
            joined.push((*actor, (*counter).max(same)));
        }
        joined.extend(theirs);
        self.entries = joined;
    }

    /// Covers no more than so many events of an actor.
    pub fn cap(&mut self, actor: Actor, most: u64) {
        if let Ok(at) = self.entries.binary_search_by_key(&actor, |(actor, _)| *actor) {
            self.entries[at].1 = self.entries[at].1.min(most);
            if most == 0 {
                self.entries.remove(at);
            }
        }
    }

    /// Number of events covered, the genesis not counted.
    pub fn events(&self) -> u64 {
        self.entries.iter().fold(0, |sum, (_, counter)| sum.saturating_add(*counter))
    }

    /// Number of actors.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// The entries in order, to arrange vectors that do not compare.
    pub fn entries(&self) -> &[(Actor, u64)] {
        &self.entries
    }

    /// Sets an actor's counter, which grows.
    pub fn raise(&mut self, dot: Dot) {
        match self.entries.binary_search_by_key(&dot.actor, |(actor, _)| *actor) {
            Ok(at) => self.entries[at].1 = self.entries[at].1.max(dot.counter),
            Err(at) => self.entries.insert(at, (dot.actor, dot.counter)),
        }
    }

    /// Writes it: of each actor the distance from the one before, a flag for lives after the first, and the counter.
    pub fn encode(&self, out: &mut Writer) {
        out.count(self.entries.len());
        let mut last = 0;
        for (actor, counter) in &self.entries {
            let again = actor.incarnation > 0;
            out.uint(u64::from(actor.replica.0 - last) << 1 | u64::from(again));
            last = actor.replica.0;
            if again {
                out.uint(u64::from(actor.incarnation));
            }
            out.uint(*counter);
        }
    }

    pub fn decode(bytes: &mut Reader<'_>) -> Result<Self, Malformed> {
        let count = bytes.count(2)?;
        let mut entries: Vec<(Actor, u64)> = Vec::with_capacity(count);
        for _ in 0..count {
            let head = bytes.uint()?;
            let last = entries.last().map_or(0, |(actor, _)| actor.replica.0);
            let replica = u32::try_from(head >> 1).ok().and_then(|step| last.checked_add(step));
            let replica = replica.ok_or(Malformed("no such replica"))?;
            let incarnation = if head & 1 == 1 { bytes.uint32()? } else { 0 };
            let actor = Actor { replica: ReplicaId(replica), incarnation };
            let counter = bytes.uint()?;
            if actor.replica == ReplicaId::GENESIS || head & 1 == 1 && incarnation == 0 {
                return Err(Malformed("no such actor"));
            }
            if counter == 0 || counter > COUNTER_MAX {
                return Err(Malformed("counter out of range"));
            }
            if entries.last().is_some_and(|(last, _)| *last >= actor) {
                return Err(Malformed("vector is not ascending"));
            }
            entries.push((actor, counter));
        }
        Ok(Vector { entries })
    }

    /// Writes an event that this vector covers, with three flags: the place of its actor (0 for the genesis), then the counter.
    pub fn encode_dot(&self, dot: Dot, flags: u8, out: &mut Writer) {
        let place = self
            .entries
            .binary_search_by_key(&dot.actor, |(actor, _)| *actor)
            .map_or(0, |at| at as u64 + 1);
        out.uint(place << 3 | u64::from(flags));
        out.uint(dot.counter);
    }

    /// Reads an event that this vector covers, and the flags.
    pub fn decode_dot(&self, bytes: &mut Reader<'_>) -> Result<(Dot, u8), Malformed> {
        let head = bytes.uint()?;
        let counter = bytes.uint()?;
        let dot = match (head >> 3).checked_sub(1) {
            None => Dot { actor: Actor::GENESIS, counter },
            Some(at) => {
                let (actor, _) = usize::try_from(at)
                    .ok()
                    .and_then(|at| self.entries.get(at))
                    .ok_or(Malformed("version by nobody in the vector"))?;
                Dot { actor: *actor, counter }
            }
        };
        let exists = if dot.actor == Actor::GENESIS { counter == 1 } else { counter > 0 };
        if !exists || !self.covers(dot) {
            return Err(Malformed("version outside of its vector"));
        }
        Ok((dot, (head & 7) as u8))
    }
}

impl PartialOrd for Vector {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        let (mut less, mut greater) = (false, false);
        let (mut a, mut b) = (self.entries.iter().peekable(), other.entries.iter().peekable());
        loop {
            let ours = a.peek().map(|(actor, _)| *actor);
            let theirs = b.peek().map(|(actor, _)| *actor);
            match (ours, theirs) {
                (None, None) => break,
                (Some(ours), Some(theirs)) if ours == theirs => {
                    let (x, y) = (a.next().map(|e| e.1), b.next().map(|e| e.1));
                    less |= x < y;
                    greater |= x > y;
                }
                (Some(ours), theirs) if theirs.is_none_or(|theirs| ours < theirs) => {
                    greater = true;
                    a.next();
                }
                _ => {
                    less = true;
                    b.next();
                }
            }
        }
        match (less, greater) {
            (false, false) => Some(Ordering::Equal),
            (true, false) => Some(Ordering::Less),
            (false, true) => Some(Ordering::Greater),
            (true, true) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Ordering::{Equal, Greater, Less};

    fn actor(replica: u32) -> Actor {
        Actor { replica: ReplicaId(replica), incarnation: 0 }
    }

    fn vector(entries: &[(u32, u64)]) -> Vector {
        Vector { entries: entries.iter().map(|(replica, n)| (actor(*replica), *n)).collect() }
    }

    #[test]
    fn vectors_compare_by_what_they_cover() {
        type Entries = &'static [(u32, u64)];
        let table: &[(Entries, Entries, Option<Ordering>)] = &[
            (&[], &[], Some(Equal)),
            (&[], &[(1, 1)], Some(Less)),
            (&[(1, 1)], &[(1, 1)], Some(Equal)),
            (&[(1, 2)], &[(1, 1)], Some(Greater)),
            (&[(1, 1)], &[(2, 1)], None),
            (&[(1, 1), (2, 1)], &[(2, 1)], Some(Greater)),
            (&[(1, 1), (3, 4)], &[(1, 1), (2, 1), (3, 4)], Some(Less)),
            (&[(1, 2), (2, 1)], &[(1, 1), (2, 2)], None),
            (&[(1, 9)], &[(1, 1), (2, 1)], None),
            (&[(1, 3), (2, 3)], &[(1, 3), (2, 3)], Some(Equal)),
            (&[(1, 3), (2, 3), (9, 1)], &[(1, 3), (2, 4)], None),
        ];
        for (a, b, expected) in table {
            let (a, b) = (vector(a), vector(b));
            assert_eq!(a.partial_cmp(&b), *expected, "{a:?} and {b:?}");
            assert_eq!(b.partial_cmp(&a), expected.map(Ordering::reverse), "{b:?} and {a:?}");
        }
    }

    #[test]
    fn a_join_is_the_least_vector_that_covers_both() {
        let table = [
            (vector(&[]), vector(&[(1, 2)]), vector(&[(1, 2)])),
            (
                vector(&[(1, 2), (3, 1)]),
                vector(&[(1, 1), (2, 5)]),
                vector(&[(1, 2), (2, 5), (3, 1)]),
            ),
            (vector(&[(4, 4)]), vector(&[(4, 4)]), vector(&[(4, 4)])),
        ];
        for (a, b, expected) in table {
            let (mut ab, mut ba) = (a.clone(), b.clone());
            ab.join(&b);
            ba.join(&a);
            assert_eq!((&ab, &ba), (&expected, &expected), "{a:?} and {b:?}");
            assert!(a <= ab && b <= ab);
            let again = ab.clone();
            ab.join(&again);
            assert_eq!(ab, expected, "joining twice changes nothing");
        }
    }

    #[test]
    fn an_increment_makes_an_event_that_was_not_covered() {
        let mut vector = vector(&[(1, 2), (3, 1)]);
        let before = vector.clone();
        for (replica, counter) in [(1, 3), (2, 1), (2, 2)] {
            let dot = vector.increment(actor(replica));
            assert_eq!(dot, Dot { actor: actor(replica), counter });
            assert!(vector.covers(dot) && !before.covers(dot));
        }
        assert!(before < vector);
        assert_eq!(vector.events(), before.events() + 3);
        assert!(before.covers(Dot::GENESIS), "everybody knows the genesis");
    }

    #[test]
    fn another_life_is_another_writer() {
        let mut vector = vector(&[(1, 2)]);
        let reborn = Actor { replica: ReplicaId(1), incarnation: 1 };
        assert_eq!(vector.increment(reborn).counter, 1);
        let mut bytes = Writer::new();
        vector.encode(&mut bytes);
        let bytes = bytes.finish();
        assert_eq!(Vector::decode(&mut Reader::new(&bytes)), Ok(vector));
    }
}
