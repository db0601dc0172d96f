//! Operations that arrived before what they depend on: over datagrams, or after a neighbour lost its memory.

use super::log::Entry;
use crate::contract::CargoIds;
use crate::crdt::causal::{Agent, Dot, Version};
use std::collections::BTreeMap;

/// Most operations that wait, and most bytes of them. What finds no room is dropped unacknowledged, so that it comes again, in order.
const MOST: usize = 1024;
const MOST_BYTES: u64 = 1 << 20;

/// An operation and the ids that rode along with it, the first of its dots being element 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Early {
    /// The operation.
    pub entry: Entry,
    /// For reports only.
    pub ids: Vec<CargoIds>,
}

/// Operations that wait, by their first dots.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    early: BTreeMap<Dot, Early>,
    bytes: u64,
}

impl Waiting {
    /// Keeps an operation, unless it is here already or there is no room.
    pub fn keep(&mut self, early: Early) {
        let bytes = early.entry.memory_bytes();
        let fits = self.early.len() < MOST && self.bytes + bytes <= MOST_BYTES;
        let first = early.entry.delta.first;
        if fits && !self.early.contains_key(&first) {
            self.bytes += bytes;
            self.early.insert(first, early);
        }
    }

    /// Whether the operation with this first dot waits.
    pub fn holds(&self, first: Dot) -> bool {
        self.early.contains_key(&first)
    }

    /// Takes out an operation that can be delivered to somebody who has `have`, if there is one. Those that were delivered in another way, and those
    /// that speak of what their author cannot have seen, are dropped on the way. Adds the number of operations looked at to `work_units`.
    pub fn take_ready(&mut self, have: &Version, work_units: &mut u64) -> Option<Early> {
        let mut agent = self.early.first_key_value().map(|(first, _)| first.agent);
        while let Some(of) = agent {
            let range = Dot { agent: of, counter: 0 }..=Dot { agent: of, counter: u64::MAX };
            let first = self.early.range(range).next().map(|(first, _)| *first);
            *work_units += 1;
            let next = have.get(of) + 1;
            match first {
                Some(first) if first.counter < next => drop(self.remove(first)),
                Some(first)
                    if first.counter == next && have.reaches(&self.early[&first].entry.saw) =>
                {
                    let early = self.remove(first);
                    if early.entry.delta.is_ready(have) {
                        return Some(early);
                    }
                }
                _ => agent = self.after(of),
            }
        }
        None
    }

    fn after(&self, agent: Agent) -> Option<Agent> {
        let last = Dot { agent, counter: u64::MAX };
        let (first, _) = self
            .early
            .range((std::ops::Bound::Excluded(last), std::ops::Bound::Unbounded))
            .next()?;
        Some(first.agent)
    }

    fn remove(&mut self, first: Dot) -> Early {
        let early = self.early.remove(&first).expect("it was just found");
        self.bytes -= early.entry.memory_bytes();
        early
    }

    /// Everything that waits, in order of dots.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Early> {
        self.early.values()
    }

    /// Bytes it takes in memory, about.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crdt::op::{Delta, Op};
    use crate::document::{Cell, FieldId, RecordId, ReplicaId};

    fn agent(replica: u32) -> Agent {
        Agent::new(ReplicaId(replica), 0)
    }

    fn addition(replica: u32, counter: u64, saw: &[(u32, u64)]) -> Early {
        let cell = Cell { record: RecordId(0), field: FieldId(0) };
        let first = Dot { agent: agent(replica), counter };
        let delta = Delta { first, span: 1, op: Op::Add { cell, amount: 1 } };
        let mut seen = Version::new();
        saw.iter().for_each(|(replica, counter)| seen.raise(agent(*replica), *counter));
        Early { entry: Entry { delta, saw: seen }, ids: Vec::new() }
    }

    #[test]
    fn operations_come_out_after_what_they_depend_on() {
        let mut waiting = Waiting::default();
        for early in [
            addition(3, 1, &[(2, 2)]),
            addition(2, 2, &[]),
            addition(2, 1, &[(1, 5)]),
            addition(1, 4, &[]),
        ] {
            waiting.keep(early.clone());
            waiting.keep(early);
        }
        let mut have = Version::new();
        assert_eq!(waiting.take_ready(&have, &mut 0), None);
        have.raise(agent(1), 5);
        let mut order = Vec::new();
        while let Some(early) = waiting.take_ready(&have, &mut 0) {
            let first = early.entry.delta.first;
            have.raise(first.agent, first.counter);
            order.push(first);
        }
        let dots = [(2, 1), (2, 2), (3, 1)];
        assert_eq!(order, dots.map(|(of, counter)| Dot { agent: agent(of), counter }));
        assert_eq!((waiting.iter().len(), waiting.bytes()), (0, 0), "what was known is dropped");
    }

    #[test]
    fn strangers_cannot_fill_the_memory() {
        let mut waiting = Waiting::default();
        for n in 0..10_000 {
            waiting.keep(addition(7, 2 * n + 2, &[]));
        }
        assert_eq!(waiting.iter().len(), MOST);
        let mut work_units = 0;
        assert_eq!(waiting.take_ready(&Version::new(), &mut work_units), None);
        assert!(work_units < 10);
    }
}
