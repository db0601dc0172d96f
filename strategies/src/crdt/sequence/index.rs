//! In which chunk the character with a dot is, if it is anywhere: ranges of dots of one agent, so that cutting an item or
//! typing on in a chunk changes nothing here.

use crate::crdt::causal::{Agent, Dot, Span};
use std::collections::BTreeMap;
use std::ops::Bound;

/// The ranges. Dots without a character may be in any.
#[derive(Clone, Debug, Default)]
pub struct Index {
    /// First dot of each range, which goes up to the next one of the same agent.
    ranges: BTreeMap<Dot, u32>,
    /// Of each agent: the end of its newest characters, and the chunk of its last range.
    newest: Vec<(Agent, u64, u32)>,
}

impl Index {
    /// An index of these characters and their chunks, the dots disjoint.
    pub fn new(mut spans: Vec<(Span, u32)>) -> Self {
        spans.sort_unstable();
        let mut index = Index::default();
        let mut starts = Vec::new();
        for (span, chunk) in spans {
            let (agent, end) = (span.first.agent, span.end().counter);
            match index.newest.last_mut() {
                Some((of, newest, last)) if *of == agent => {
                    if *last != chunk {
                        starts.push((span.first, chunk));
                    }
                    (*newest, *last) = (end, chunk);
                }
                _ => {
                    starts.push((span.first, chunk));
                    index.newest.push((agent, end, chunk));
                }
            }
        }
        index.ranges = starts.into_iter().collect();
        index
    }

    /// Number of ranges.
    pub fn len(&self) -> usize {
        self.ranges.len()
    }

    /// The chunk of a character, if it is anywhere.
    pub fn find(&self, dot: Dot) -> Option<u32> {
        let (first, chunk) = self.ranges.range(..=dot).next_back()?;
        (first.agent == dot.agent).then_some(*chunk)
    }

    /// The ranges of the same agent from that of a dot on: the chunk, and where the next range starts.
    pub fn from(&self, dot: Dot) -> impl Iterator<Item = (u32, Dot)> + '_ {
        let start = self.ranges.range(..=dot).next_back().map_or(dot, |(first, _)| *first);
        let start = if start.agent == dot.agent { start } else { dot };
        let last = Dot { counter: u64::MAX, ..dot };
        let mut ranges = self.ranges.range(start..last).peekable();
        std::iter::from_fn(move || {
            let (_, chunk) = ranges.next()?;
            Some((*chunk, ranges.peek().map_or(last, |(next, _)| **next)))
        })
    }

    /// Says that these characters are in a chunk now.
    pub fn set(&mut self, span: Span, chunk: u32) {
        let (first, end) = (span.first, span.end());
        match self.newest.binary_search_by_key(&first.agent, |(agent, ..)| *agent) {
            Err(at) => {
                self.newest.insert(at, (first.agent, end.counter, chunk));
                self.ranges.insert(first, chunk);
            }
            Ok(at) if self.newest[at].1 <= first.counter => {
                let (_, newest, last) = &mut self.newest[at];
                if *last != chunk {
                    self.ranges.insert(first, chunk);
                }
                (*newest, *last) = (end.counter, chunk);
            }
            Ok(at) => {
                let follows = self.find(end);
                let inside = (Bound::Excluded(first), Bound::Excluded(end));
                while let Some((dot, _)) = self.ranges.range(inside).next() {
                    let dot = *dot;
                    self.ranges.remove(&dot);
                }
                if end.counter >= self.newest[at].1 {
                    (self.newest[at].1, self.newest[at].2) = (end.counter, chunk);
                } else if let Some(follows) = follows {
                    self.ranges.entry(end).or_insert(follows);
                }
                self.ranges.insert(first, chunk);
            }
        }
    }
}
