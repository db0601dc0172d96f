//! The events that some peer may still lack, in the order in which they came to be known here, so that everything comes after what it
//! refers to.

use super::event::{Act, Event, Passage};
use crate::crdt::causal::Version;
use std::collections::VecDeque;

/// A stretch of events; positions count from the first event ever logged.
#[derive(Debug, Default)]
pub struct Log {
    events: VecDeque<Event<Passage>>,
    /// Position of the first event still here.
    start: u64,
    /// What is not here any more.
    dropped: Version,
    bytes: u64,
}

impl Log {
    /// A log that goes on at a position, after events that told `dropped`.
    pub fn resume(start: u64, dropped: Version, events: Vec<Event<Passage>>) -> Self {
        let bytes = events.iter().map(Event::memory_bytes).sum();
        Log { events: events.into(), start, dropped, bytes }
    }

    /// Position of the first event still here.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// Position behind the last event.
    pub fn end(&self) -> u64 {
        self.start + self.events.len() as u64
    }

    /// What is not here any more.
    pub fn dropped(&self) -> &Version {
        &self.dropped
    }

    /// The events still here, in order.
    pub fn events(&self) -> impl ExactSizeIterator<Item = &Event<Passage>> {
        self.events.iter()
    }

    /// Bytes it takes in memory, about; what is typed belongs to the texts.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Logs an event. It becomes part of the last one where it goes on in the same text (`follows`: right after the edit before) and `sealed`,
    /// a position, is not beyond that one.
    pub fn push(&mut self, event: Event<Passage>, follows: bool, sealed: u64) {
        let end = self.end();
        if let Some(last) = self.events.back_mut().filter(|_| follows && sealed < end)
            && let (Act::Type { cell, typed }, Act::Type { cell: next_cell, typed: next }) =
                (&last.act, &event.act)
            && cell == next_cell
            && typed + last.span as usize == *next
            && last.last().plus(1) == event.first
        {
            last.span += event.span;
            return;
        }
        self.bytes += event.memory_bytes();
        self.events.push_back(event);
    }

    /// The events from a position on that `known` does not cover to their end, each with the number of dots that it does cover.
    pub fn unknown<'a>(
        &'a self,
        from: u64,
        known: &'a Version,
    ) -> impl Iterator<Item = (&'a Event<Passage>, u64)> {
        let skip = from.saturating_sub(self.start).min(self.events.len() as u64) as usize;
        self.events.range(skip..).filter_map(|event| {
            let seen = known.get(event.first.agent).saturating_sub(event.first.counter - 1);
            (seen < event.span).then_some((event, seen))
        })
    }

    /// The first position, from `from` on, of an event that `known` does not cover to its end.
    pub fn first_unknown(&self, from: u64, known: &Version) -> u64 {
        let from = from.clamp(self.start, self.end());
        let events = self.events.range((from - self.start) as usize..);
        from + events.take_while(|event| known.covers(event.last())).count() as u64
    }

    /// Whether every event that `known` does not cover is still here.
    pub fn reaches(&self, known: &Version) -> bool {
        self.dropped.beyond(known) == 0
    }

    /// Drops the events before a position, and hands each to `drop`.
    pub fn drop_before(&mut self, position: u64, mut drop: impl FnMut(Event<Passage>)) {
        while self.start < position {
            let Some(event) = self.events.pop_front() else { break };
            self.start += 1;
            self.bytes -= event.memory_bytes();
            self.dropped.raise(event.first.agent, event.last().counter);
            drop(event);
        }
    }

    /// Notes that what these events typed is not here any more, though they may still be listed.
    pub fn forget(&mut self, forgotten: &Version) {
        self.dropped.join(forgotten);
    }
}
