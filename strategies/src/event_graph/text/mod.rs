//! One text: what it says, and the graph of the edits that made it so, as far back as anybody may still speak of.
//!
//! What was there before the graph begins is the base: the text that every replica starts with, or a critical version that everybody has,
//! behind which the graph was forgotten.

mod content;
mod encoding;

use super::event::Typed;
use super::graph::{Graph, Side, Time};
use super::names::Names;
use super::ops::{Kind, Ops};
use super::tracker::{Effect, Tracker};
use crate::crdt::causal::{Dot, Version};
use crate::document::{char_count, splice};
use content::Content;
use std::ops::Range;

/// Something that was done to a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    /// Text was inserted at a position.
    Inserted(usize, String),
    /// Text was deleted from a position on; `backwards` where its last character was deleted first.
    Deleted { at: usize, text: String, backwards: bool },
}

/// A text and its graph.
#[derive(Debug)]
pub struct Text {
    content: Content,
    /// Characters of the content.
    length: usize,
    graph: Graph,
    ops: Ops,
    names: Names,
    /// The heads of the base by name, ascending; empty for the beginning.
    base: Vec<Dot>,
    /// Characters of the base.
    base_length: usize,
}

impl Default for Text {
    fn default() -> Self {
        Text {
            content: Content::of(""),
            length: 0,
            graph: Graph::default(),
            ops: Ops::default(),
            names: Names::default(),
            base: Vec::new(),
            base_length: 0,
        }
    }
}

impl Text {
    /// What it says.
    pub fn content(&self) -> String {
        self.content.whole()
    }

    /// Characters that it shows.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Bytes that it shows.
    pub fn bytes(&self) -> usize {
        self.content.bytes()
    }

    /// What was done, in order of local times.
    pub fn ops(&self) -> &Ops {
        &self.ops
    }

    /// The graph of its edits.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Bytes that the graph takes, about.
    pub fn history_bytes(&self) -> usize {
        let parents = self.graph.entries().iter().map(|entry| 1 + entry.parents.len());
        parents.sum::<usize>() * size_of::<Range<Time>>()
            + size_of_val(self.ops.runs())
            + self.ops.text_bytes()
            + 2 * size_of_val(self.names.stretches())
    }

    /// Changes the base, where there are no edits yet.
    pub fn begin(&mut self, at: usize, delete: usize, insert: &str) {
        let at = at.min(self.length);
        self.apply(Effect::Delete(at, delete.min(self.length - at)));
        self.apply(Effect::Insert(at, insert));
        self.base_length = self.length;
    }

    /// Makes a user's edit: edits from the name `first` on that delete from a position, or insert there if nothing is to be deleted. Returns how
    /// many edits that were, and the elements visited.
    pub fn edit(&mut self, first: Dot, at: usize, delete: usize, insert: &str) -> (usize, u64) {
        let (start, before) = (self.graph.end(), self.length);
        let follows = self.graph.heads().last().is_some_and(|head| head + 1 == start)
            && self.graph.heads().len() == 1;
        let count = if delete > 0 {
            let text = self.content.slice(at, delete);
            self.ops.delete_block(start, at, &text, before, follows);
            self.apply(Effect::Delete(at, delete));
            delete
        } else {
            self.ops.insert(start, at, insert, before, follows);
            self.apply(Effect::Insert(at, insert));
            self.length - before
        };
        self.graph.push_on_top(count);
        self.names.push(start, count, first);
        (count, self.depth() + insert.len() as u64 / 64)
    }

    /// Nodes that are passed on the way to a place in the content.
    fn depth(&self) -> u64 {
        2 + u64::from((self.length / 256 + 1).ilog2())
    }

    fn apply(&mut self, effect: Effect<'_>) {
        match effect {
            Effect::Insert(at, text) => {
                self.content.insert(at.min(self.length), text);
                self.length += char_count(text);
            }
            Effect::Delete(at, count) => self.delete(at, count),
        }
    }

    fn delete(&mut self, at: usize, count: usize) {
        // A snapshot that lies about lengths must do no worse than show nonsense.
        let count = count.min(self.length.saturating_sub(at));
        if count == 0 {
            return;
        }
        self.content.delete(at, count);
        self.length -= count;
    }

    /// The version that some heads name, as far as it is part of the graph; `None` where it is not: where it lies before the
    /// base, or names edits that are not here.
    pub fn version(&self, heads: &[Dot]) -> Option<Vec<Time>> {
        if heads == self.base {
            return Some(Vec::new());
        }
        let mut version = Vec::with_capacity(heads.len());
        for head in heads {
            version.push(self.names.time(*head)?);
        }
        version.sort_unstable();
        version.dedup();
        (!version.is_empty()).then_some(version)
    }

    /// The edits of these names by local times, piece by piece, each with the first of its names; without those that are not known here.
    pub fn pieces(&self, first: Dot, span: u64) -> Vec<(Dot, Range<Time>)> {
        let mut pieces: Vec<(Dot, Range<Time>)> = Vec::new();
        for dot in (0..span).map(|n| first.plus(n)) {
            let Some(time) = self.names.time(dot) else { continue };
            match pieces.last_mut() {
                Some((_, piece)) if piece.end == time => piece.end += 1,
                _ => pieces.push((dot, time..time + 1)),
            }
        }
        pieces
    }

    /// The heads of a version by name, ascending.
    pub fn heads(&self, version: &[Time]) -> Vec<Dot> {
        if version.is_empty() {
            return self.base.clone();
        }
        let mut heads: Vec<Dot> = version.iter().map(|time| self.names.dot(*time)).collect();
        heads.sort_unstable();
        heads
    }

    /// Takes up edits by somebody else, from the name `first` on, each made right after the one before and the first one in the version
    /// `parents`; they show once they are merged.
    pub fn learn(
        &mut self,
        first: Dot,
        parents: &[Time],
        kind: Kind,
        pos: usize,
        len: usize,
        text: &str,
    ) {
        let start = self.graph.end();
        let follows = parents == [start.wrapping_sub(1)];
        match kind {
            Kind::Insert => self.ops.insert(start, pos, text, 0, follows),
            _ => self.ops.delete(start, (kind, pos, len), "", 0, follows),
        }
        self.graph.push(parents, len);
        self.names.push(start, len, first);
    }

    /// Edits as they travel: from one agent, and each made right after the one before.
    pub fn typed(&self, range: Range<Time>) -> Typed {
        let mut parents = Vec::new();
        self.graph.pieces(range.start..range.start + 1, |_, version| parents = version.to_vec());
        let mut typed =
            Typed { parents: self.heads(&parents), runs: Vec::new(), text: String::new() };
        let runs = &self.ops.runs()[self.ops.run_of(range.start)..];
        for run in runs.iter().take_while(|run| run.start < range.end) {
            let skip = range.start.saturating_sub(run.start);
            let len = run.end().min(range.end) - run.start - skip;
            // A single deletion has no direction.
            let kind =
                if run.kind == Kind::Backspace && len == 1 { Kind::Delete } else { run.kind };
            typed.runs.push((kind, run.pos_after(skip), len));
            if kind == Kind::Insert {
                typed.text.push_str(self.ops.text_in(run, skip..skip + len));
            }
        }
        typed
    }

    /// Makes the edits from a time on part of the content, which is that of the version `heads` so far: everything before. Returns the
    /// elements visited.
    pub fn merge(&mut self, from: Time, mut heads: Vec<Time>) -> u64 {
        let (mut at, end) = (from, self.graph.end());
        let mut critical = None;
        let mut work = 0;
        while at < end {
            let entry = &self.graph.entries()[self.graph.entry_of(at)];
            let is_next =
                if at == entry.start { entry.parents == heads } else { heads == [at - 1] };
            if is_next {
                let stop = entry.end;
                work += self.go_on(at..stop);
                (at, heads) = (stop, vec![stop - 1]);
                continue;
            }
            let stops = critical.get_or_insert_with(|| {
                work += (self.graph.entries().len() - self.graph.entry_of(at)) as u64;
                self.graph.critical(at, &heads, end)
            });
            let next = stops.partition_point(|(time, _)| *time <= at);
            let (stop, after) = match stops.get(next) {
                Some((stop, after)) => (*stop, after.clone()),
                None => (end, self.graph.heads().to_vec()),
            };
            work += self.replay(at..stop, &heads, &after);
            (at, heads) = (stop, after);
        }
        work
    }

    /// Applies edits that follow one another and everything applied so far: they do what they say.
    fn go_on(&mut self, range: Range<Time>) -> u64 {
        let mut ops = std::mem::take(&mut self.ops);
        let (mut at, mut start, mut work) = (ops.run_of(range.start), range.start, 0);
        while start < range.end {
            let run = ops.runs()[at];
            if start == run.start {
                ops.set_before(at, self.length);
            }
            let (skip, end) = (start - run.start, run.end().min(range.end));
            let (pos, len) = (run.pos_after(skip), end - start);
            match run.kind {
                Kind::Insert => {
                    let text = ops.text_in(&run, skip..skip + len);
                    self.apply(Effect::Insert(pos.min(self.length), text));
                    work += text.len() as u64 / 64;
                }
                Kind::Delete => self.delete(pos, len.min(self.length.saturating_sub(pos))),
                Kind::Backspace => {
                    let beyond = (pos + 1).saturating_sub(self.length).min(len);
                    self.delete(pos + 1 - len, len - beyond);
                }
            }
            work += self.depth();
            (start, at) = (end, at + 1);
        }
        self.ops = ops;
        work
    }

    /// Applies edits of which some were made concurrently to what is applied, or to one another: `heads` names what was applied, `after` what
    /// is to be.
    fn replay(&mut self, range: Range<Time>, heads: &[Time], after: &[Time]) -> u64 {
        let conflict = self.graph.conflict(heads, after);
        let split = conflict.spans.partition_point(|(span, _)| span.start < range.start);
        let (old, new) = conflict.spans.split_at(split);
        let (old, new) = (depth_first(&self.graph, old), depth_first(&self.graph, new));
        let length = match &conflict.common[..] {
            [] => self.base_length,
            common if common == heads => self.length,
            [head] => self.ops.length_at(*head),
            // Several heads stay together only where somebody made an edit in just that version.
            common => {
                let made = old.iter().find(|(_, parents)| parents == common);
                let first = &made.expect("an edit made in the common version").0;
                self.ops.runs()[self.ops.run_of(first.start)].before
            }
        };
        let mut ops = std::mem::take(&mut self.ops);
        let (graph, names) = (std::mem::take(&mut self.graph), std::mem::take(&mut self.names));
        let mut tracker = Tracker::new(&graph, &names, conflict.common, length);
        for (piece, parents) in &old {
            tracker.replay(piece.clone(), parents, &mut ops, |_, _| {});
        }
        let mut effects = 0;
        for (piece, parents) in &new {
            tracker.replay(piece.clone(), parents, &mut ops, |_, effect| {
                effects += self.depth();
                self.apply(effect);
            });
        }
        let work = tracker.work() + conflict.visited + (old.len() + new.len()) as u64 + effects;
        (self.ops, self.graph, self.names) = (ops, graph, names);
        work
    }

    /// What the edits that `known` does not cover did, in order, each with the first of the edits that did it; and the text without all of that.
    /// Characters that were deleted and that nobody noted are given as U+FFFD.
    pub fn unravel(&self, known: &Version) -> (String, Vec<(Time, Done)>) {
        let mut ops = self.ops.clone();
        let mut tracker = Tracker::new(&self.graph, &self.names, Vec::new(), self.base_length);
        let (mut old, mut new) = (Vec::new(), Vec::new());
        for stretch in self.names.stretches() {
            let seen = (known.get(stretch.first.agent) + 1).saturating_sub(stretch.first.counter);
            let split = stretch.time + (seen as usize).min(stretch.len);
            for (range, pieces) in
                [(stretch.time..split, &mut old), (split..stretch.end(), &mut new)]
            {
                self.graph.pieces(range, |range, parents| pieces.push((range, parents.to_vec())));
            }
        }
        for (range, parents) in old {
            tracker.replay(range, &parents, &mut ops, |_, _| {});
        }
        let mut done = Vec::new();
        for (range, parents) in new {
            tracker.replay(range, &parents, &mut ops, |time, effect| {
                done.push((
                    time,
                    match effect {
                        Effect::Insert(at, text) => Done::Inserted(at, text.to_owned()),
                        Effect::Delete(at, count) => self.deleted(time, at, count),
                    },
                ));
            });
        }
        let mut text = self.content();
        for (_, done) in done.iter().rev() {
            match done {
                Done::Inserted(at, inserted) => splice(&mut text, *at, char_count(inserted), ""),
                Done::Deleted { at, text: deleted, .. } => splice(&mut text, *at, 0, deleted),
            }
        }
        (text, done)
    }

    /// Notes of deletions what they deleted, as far as that is noted in this text's former form.
    pub fn note_deletions(&mut self, former: &Text) {
        let names = &self.names;
        self.ops.note(|time| {
            let then = former.names.time(names.dot(time))?;
            let run = &former.ops.runs()[former.ops.run_of(then)];
            let skip = then - run.start;
            former.ops.text_in(run, skip..skip + 1).chars().next()
        });
    }

    /// What so many deletions from a time on did, which deleted what was at a position.
    fn deleted(&self, time: Time, at: usize, count: usize) -> Done {
        let run = &self.ops.runs()[self.ops.run_of(time)];
        let skip = time - run.start;
        let text = self.ops.text_in(run, skip..skip + count);
        let backwards = run.kind == Kind::Backspace;
        let text = match backwards {
            _ if text.is_empty() => "\u{fffd}".repeat(count),
            true => text.chars().rev().collect(),
            false => text.to_owned(),
        };
        Done::Deleted { at, text, backwards }
    }

    /// Forgets the graph before the latest critical version that everybody has, who has at least `stable`; adds what was forgotten to
    /// `forgotten`. Returns the elements visited.
    pub fn forget(&mut self, stable: &Version, forgotten: &mut Version) -> u64 {
        let mut limit = self.graph.start();
        for stretch in self.names.stretches() {
            let seen = (stable.get(stretch.first.agent) + 1).saturating_sub(stretch.first.counter);
            let seen = (seen as usize).min(stretch.len);
            limit = stretch.time + seen;
            if seen < stretch.len {
                break;
            }
        }
        let start = self.graph.start();
        if limit == start {
            return 1;
        }
        let work = self.graph.entries().len() as u64;
        let Some((time, heads)) = self.graph.critical(start, &[], limit).pop() else { return work };
        self.base_length = match &heads[..] {
            _ if time == self.graph.end() => self.length,
            [head] => self.ops.length_at(*head),
            // Whatever comes next was made in just that version.
            _ => self.ops.runs()[self.ops.run_of(time)].before,
        };
        self.base = self.heads(&heads);
        for stretch in self.names.stretches().iter().take_while(|stretch| stretch.time < time) {
            let count = stretch.len.min(time - stretch.time) as u64;
            forgotten.raise(stretch.first.agent, stretch.first.counter + count - 1);
        }
        self.graph.forget_before(time);
        self.ops.forget_before(time);
        self.names.forget_before(time);
        work + self.ops.runs().len() as u64
    }
}

/// Pieces of the graph, each with the version that it was made in, ordered so that each comes after those that it follows and, where
/// that leaves a choice, right after one that it follows: so a branch is replayed to its end before another one begins.
fn depth_first(graph: &Graph, spans: &[(Range<Time>, Side)]) -> Vec<(Range<Time>, Vec<Time>)> {
    let mut pieces: Vec<(Range<Time>, Vec<Time>)> = Vec::new();
    for (span, _) in spans {
        graph.pieces(span.clone(), |range, parents| pieces.push((range, parents.to_vec())));
    }
    if pieces.len() < 2 {
        return pieces;
    }
    let mut waits_for = vec![0usize; pieces.len()];
    let mut followers: Vec<Vec<usize>> = vec![Vec::new(); pieces.len()];
    for (n, (_, parents)) in pieces.iter().enumerate() {
        for parent in parents {
            let after = pieces.partition_point(|(range, _)| range.start <= *parent);
            if let Some(at) = after.checked_sub(1).filter(|at| pieces[*at].0.end > *parent) {
                followers[at].push(n);
                waits_for[n] += 1;
            }
        }
    }
    let mut open: Vec<usize> = (0..pieces.len()).rev().filter(|n| waits_for[*n] == 0).collect();
    let mut order = Vec::with_capacity(pieces.len());
    while let Some(n) = open.pop() {
        order.push(std::mem::take(&mut pieces[n]));
        for follower in std::mem::take(&mut followers[n]).into_iter().rev() {
            waits_for[follower] -= 1;
            if waits_for[follower] == 0 {
                open.push(follower);
            }
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crdt::causal::Agent;
    use crate::document::ReplicaId;

    /// The same edits, learned from somebody else, do not say what was deleted.
    #[test]
    fn what_was_deleted_is_known_again_from_a_former_text() {
        let name = |counter| Dot { agent: Agent::new(ReplicaId(1), 0), counter };
        let [mut former, mut taken_over] = [Text::default(), Text::default()];
        for text in [&mut former, &mut taken_over] {
            text.begin(0, 0, "one two three");
        }
        former.edit(name(1), 4, 4, "");
        former.edit(name(5), 0, 1, "");
        taken_over.learn(name(1), &[], Kind::Delete, 4, 4, "");
        taken_over.learn(name(5), &[3], Kind::Delete, 0, 1, "");
        taken_over.merge(0, Vec::new());
        assert_eq!(taken_over.content(), "ne three");
        let before = |text: &Text| text.unravel(&Version::new()).0;
        assert_eq!(before(&taken_over), "\u{fffd}ne \u{fffd}\u{fffd}\u{fffd}\u{fffd}three");
        taken_over.note_deletions(&former);
        assert_eq!(before(&taken_over), "one two three");
        assert_eq!(taken_over.content(), "ne three");
    }
}
