//! A text and its graph as bytes.

use super::{Content, Text};
use crate::contract::Malformed;
use crate::crdt::causal::Version;
use crate::crdt::codec::Dots;
use crate::document::char_count;
use crate::event_graph::graph::{Entry, Graph, Time};
use crate::event_graph::names::Names;
use crate::event_graph::ops::{Ops, read_length};
use crate::wire::{Reader, Writer};

/// Greatest time that is read, so that there is room for all that may come.
const TIME_MAX: u64 = 1 << 60;

impl Text {
    /// Writes it; with what only its own replica needs if `whole`.
    pub fn write(&self, writer: &mut Writer, dots: &mut Dots, whole: bool) {
        writer.uint(self.graph.start() as u64);
        writer.uint(self.base_length as u64);
        writer.count(self.base.len());
        self.base.iter().for_each(|dot| dots.write(writer, *dot));
        writer.count(self.names.stretches().len());
        for stretch in self.names.stretches() {
            writer.uint(stretch.len as u64);
            dots.write(writer, stretch.first);
        }
        writer.count(self.graph.entries().len());
        for entry in self.graph.entries() {
            writer.uint((entry.end - entry.start) as u64);
            writer.count(entry.parents.len());
            entry
                .parents
                .iter()
                .rev()
                .for_each(|parent| writer.uint((entry.start - parent) as u64));
        }
        self.ops.write(writer, whole);
        writer.str(&self.content());
    }

    /// Reads what [`Text::write`] wrote.
    ///
    /// # Errors
    /// [`Malformed`] where it makes no sense, or names a dot that `have` does not cover.
    pub fn read(
        reader: &mut Reader<'_>,
        dots: &mut Dots,
        have: &Version,
    ) -> Result<Self, Malformed> {
        let mut known = |reader: &mut Reader<'_>, len: u64| {
            let dot = dots.read_some(reader)?;
            let is_known = len > 0 && have.covers(dot.plus(len - 1));
            if is_known { Ok(dot) } else { Err(Malformed("a dot nobody has made")) }
        };
        let start = reader.uint()?;
        if start > TIME_MAX {
            return Err(Malformed("time out of range"));
        }
        let start = start as Time;
        let base_length = read_length(reader.uint()?)?;
        let mut base = Vec::new();
        for _ in 0..reader.count(1)? {
            base.push(known(reader, 1)?);
        }
        let mut names = Names::default();
        let mut end = start;
        for _ in 0..reader.count(2)? {
            let len = read_length(reader.uint()?)?;
            let first = known(reader, len as u64)?;
            if names.last_of(first.agent).is_some_and(|last| last >= first.counter) {
                return Err(Malformed("names of edits are not ascending"));
            }
            names.push(end, len, first);
            end += len;
        }
        let (mut entries, mut at) = (Vec::new(), start);
        for _ in 0..reader.count(2)? {
            let len = read_length(reader.uint()?)?;
            let mut parents = Vec::new();
            for _ in 0..reader.count(1)? {
                let back = reader.uint()?;
                let parent = usize::try_from(back).ok().filter(|back| *back > 0);
                let parent = parent.and_then(|back| at.checked_sub(back));
                let parent = parent.filter(|parent| *parent >= start);
                parents.push(parent.ok_or(Malformed("a parent is no earlier edit"))?);
            }
            parents.reverse();
            if len == 0 || !parents.is_sorted_by(|a, b| a < b) {
                return Err(Malformed("an entry of the graph makes no sense"));
            }
            entries.push(Entry { start: at, end: at + len, parents });
            at += len;
        }
        let ops = Ops::read(reader, start)?;
        let last = ops.runs().last().map_or(start, |run| run.end());
        if at != end || last != end {
            return Err(Malformed("parts of a text do not fit"));
        }
        let content = reader.str()?;
        let graph = Graph::from_entries(start, entries);
        let length = char_count(content);
        let content = Content::of(content);
        Ok(Text { content, length, graph, ops, names, base, base_length })
    }
}
