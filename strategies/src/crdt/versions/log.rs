//! The changes that some peer may still lack, in the order in which they were applied here, so that everything comes after what it
//! refers to. The one log of every protocol that knows versions.

use crate::crdt::causal::Version;
use crate::crdt::op::Delta;
use std::collections::VecDeque;

/// A change in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The change.
    pub delta: Delta,
    /// What its author had seen since his change before; kept where operations travel one by one, otherwise empty.
    pub saw: Version,
}

impl Entry {
    /// Bytes it takes in memory, about.
    pub fn memory_bytes(&self) -> u64 {
        self.delta.memory_bytes() + self.saw.memory_bytes()
    }
}

/// A stretch of changes; positions count from the first change ever logged.
#[derive(Debug, Default)]
pub struct Log {
    entries: VecDeque<Entry>,
    /// Position of the first change still here.
    start: u64,
    /// What the changes before `start` have told.
    dropped: Version,
    bytes: u64,
}

impl Log {
    /// A log that goes on at a position, after changes that told `dropped`.
    pub fn resume(start: u64, dropped: Version, entries: Vec<Entry>) -> Self {
        let bytes = entries.iter().map(Entry::memory_bytes).sum();
        Log { entries: entries.into(), start, dropped, bytes }
    }

    /// Position of the first change still here.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// Position behind the last change.
    pub fn end(&self) -> u64 {
        self.start + self.entries.len() as u64
    }

    /// What the changes that were dropped have told.
    pub fn dropped(&self) -> &Version {
        &self.dropped
    }

    /// The changes still here, in order.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = &Entry> {
        self.entries.iter()
    }

    /// The change at a position, if it is still here.
    pub fn at(&self, position: u64) -> Option<&Entry> {
        let into = position.checked_sub(self.start)?;
        self.entries.get(usize::try_from(into).ok()?)
    }

    /// Bytes it takes in memory, about.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Logs a change as one of its own.
    pub fn push(&mut self, entry: Entry) {
        self.bytes += entry.memory_bytes();
        self.entries.push_back(entry);
    }

    /// Logs a change. It becomes part of the last one where that can be and `sealed`, a position, is not beyond that one.
    pub fn merge(&mut self, delta: Delta, sealed: u64) {
        let end = self.end();
        if let Some(last) = self.entries.back_mut().filter(|_| sealed < end) {
            let before = last.memory_bytes();
            if last.delta.absorb(&delta) {
                self.bytes = self.bytes - before + last.memory_bytes();
                return;
            }
        }
        self.push(Entry { delta, saw: Version::new() });
    }

    /// The changes from a position on that `known` does not cover to their end, each with the number of dots that it does cover.
    pub fn unknown<'a>(
        &'a self,
        from: u64,
        known: &'a Version,
    ) -> impl Iterator<Item = (&'a Entry, u64)> {
        let skip = from.saturating_sub(self.start).min(self.entries.len() as u64) as usize;
        self.entries.range(skip..).filter_map(|entry| {
            let delta = &entry.delta;
            let seen = known.get(delta.first.agent).saturating_sub(delta.first.counter - 1);
            (seen < delta.span).then_some((entry, seen))
        })
    }

    /// The first position, from `from` on, of a change that `known` does not cover to its end.
    pub fn first_unknown(&self, from: u64, known: &Version) -> u64 {
        let from = from.clamp(self.start, self.end());
        let covered = self
            .entries
            .range((from - self.start) as usize..)
            .take_while(|entry| known.covers(entry.delta.last()))
            .count();
        from + covered as u64
    }

    /// Whether every change that `known` does not cover is still here.
    pub fn reaches(&self, known: &Version) -> bool {
        self.dropped.beyond(known) == 0
    }

    /// Drops the changes before a position, and hands each to `drop`.
    pub fn drop_before(&mut self, position: u64, mut drop: impl FnMut(Delta)) {
        while self.start < position {
            let Some(entry) = self.entries.pop_front() else { break };
            self.start += 1;
            self.bytes -= entry.memory_bytes();
            let last = entry.delta.last();
            self.dropped.raise(last.agent, last.counter);
            drop(entry.delta);
        }
    }

    /// Notes that this replica went from one version to another without the changes between.
    pub fn skip_to(&mut self, before: &Version, after: &Version) {
        for (agent, counter) in after.iter().filter(|(agent, n)| *n > before.get(*agent)) {
            self.dropped.raise(agent, counter);
        }
    }
}
