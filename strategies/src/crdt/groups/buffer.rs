//! The groups that some neighbour may still lack, in the order in which they were joined with the state here, so that everything comes
//! after what it refers to.

use super::group::Group;
use crate::crdt::causal::Span;
use crate::document::ReplicaId;
use std::collections::VecDeque;

/// One group, as it was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The neighbour that it came from; none for the replica's own edits.
    pub from: Option<ReplicaId>,
    /// What is told. Of a whole state that arrived only what it covers: what it hid it does not say, so that it can only be passed on as a whole.
    pub group: Group,
    /// Whether it stands for a whole state that arrived.
    pub is_whole: bool,
    /// Elements up to and including this entry, counted from the first one ever stored; each entry counts one at least.
    pub through: u64,
}

/// A stretch of entries; positions count from the first one ever stored.
#[derive(Debug, Default)]
pub struct Buffer {
    entries: VecDeque<Entry>,
    /// Position of the first entry still here.
    start: u64,
    /// Elements before it.
    before: u64,
    bytes: u64,
    /// How many entries stand for whole states.
    whole: u64,
    /// Position up to which somebody may have been told: what is before must not change any more.
    told: u64,
}

impl Buffer {
    /// A buffer that goes on at a position, after so many elements, and that was told of up to another position.
    pub fn resume(start: u64, before: u64, told: u64, entries: Vec<Entry>) -> Self {
        let bytes = entries.iter().map(|entry| entry.group.memory_bytes()).sum();
        let whole = entries.iter().filter(|entry| entry.is_whole).count() as u64;
        Buffer { entries: entries.into(), start, before, bytes, whole, told }
    }

    /// Position of the first entry still here.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// Position behind the last entry.
    pub fn end(&self) -> u64 {
        self.start + self.entries.len() as u64
    }

    /// Position up to which somebody may have been told.
    pub fn told(&self) -> u64 {
        self.told
    }

    /// Somebody is told of all that is here.
    pub fn tell(&mut self) {
        self.told = self.end();
    }

    /// Elements before the first entry still here.
    pub fn before(&self) -> u64 {
        self.before
    }

    /// The entries still here, in order.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = &Entry> {
        self.entries.iter()
    }

    /// The entries from a position on.
    pub fn since(&self, position: u64) -> impl Iterator<Item = &Entry> {
        let skip = position.saturating_sub(self.start).min(self.entries.len() as u64);
        self.entries.range(skip as usize..)
    }

    /// Whether any entry stands for a whole state.
    pub fn holds_whole(&self) -> bool {
        self.whole > 0
    }

    /// The entry at a position.
    pub fn get(&self, position: u64) -> Option<&Entry> {
        let at = position.checked_sub(self.start)?;
        self.entries.get(usize::try_from(at).ok()?)
    }

    /// Bytes it takes in memory, about.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Elements from a position on.
    pub fn elements_since(&self, position: u64) -> u64 {
        let known = position.checked_sub(1).and_then(|last| self.get(last));
        self.through() - known.map_or(self.before, |entry| entry.through)
    }

    /// Elements up to the last entry.
    fn through(&self) -> u64 {
        self.entries.back().map_or(self.before, |entry| entry.through)
    }

    /// Stores a group.
    pub fn push(&mut self, from: Option<ReplicaId>, group: Group, is_whole: bool) {
        self.bytes += group.memory_bytes();
        let through = self.through() + group.elements().max(1);
        self.whole += u64::from(is_whole);
        self.entries.push_back(Entry { from, group, is_whole, through });
    }

    /// Joins a group of the replica's own with the last entry, if that is one too and nobody was told of it.
    pub fn extend(&mut self, group: &Group) -> bool {
        let (end, told) = (self.end(), self.told);
        let two_back = self.entries.len().checked_sub(2);
        let base = two_back.map_or(self.before, |at| self.entries[at].through);
        let Some(last) = self.entries.back_mut().filter(|_| told < end) else { return false };
        if last.from.is_some() {
            return false;
        }
        self.bytes -= last.group.memory_bytes();
        last.group.join(group);
        last.through = base + last.group.elements().max(1);
        self.bytes += last.group.memory_bytes();
        true
    }

    /// Drops everything; whoever has not got what comes next is behind.
    pub fn restart(&mut self) {
        let end = self.end() + 1;
        *self = Buffer::resume(end, self.through() + 1, end, Vec::new());
    }

    /// Drops the entries before a position and returns the dots that they told of.
    pub fn drop_before(&mut self, position: u64) -> Vec<Span> {
        let mut covered = Vec::new();
        while self.start < position {
            let Some(entry) = self.entries.pop_front() else { break };
            self.start += 1;
            self.before = entry.through;
            self.whole -= u64::from(entry.is_whole);
            self.bytes -= entry.group.memory_bytes();
            covered.extend_from_slice(entry.group.covers());
        }
        covered
    }
}
