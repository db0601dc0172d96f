//! The order of edits: a graph in which every edit names the version it was made in.
//!
//! Edits are numbered in the order in which they came to be known here: local times. An edit has a greater time than whatever came
//! before it causally. Edits that follow one another without a branch are one entry. A version is named by its heads: the edits in it that
//! no other edit in it comes after, ascending.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BinaryHeap};
use std::ops::Range;

/// The place of an edit in the order in which edits came to be known here.
pub type Time = usize;

/// Edits of which each but the first has the one before it as its only parent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Time of the first.
    pub start: Time,
    /// Time behind the last.
    pub end: Time,
    /// The version that the first was made in; empty where it was made in what was here from the beginning.
    pub parents: Vec<Time>,
}

/// Which of two versions edits are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// In the first only.
    OnlyA,
    /// In the second only.
    OnlyB,
    /// In both.
    Shared,
}

/// What lies between two versions and the version that both of them contain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conflict {
    /// Edits that are not in `common`, ascending, with the versions that they are in.
    pub spans: Vec<(Range<Time>, Side)>,
    /// A version in both of the two, after which all of `spans` come.
    pub common: Vec<Time>,
    /// Entries and heads visited.
    pub visited: u64,
}

/// The graph.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Graph {
    entries: Vec<Entry>,
    /// The version of everything.
    heads: Vec<Time>,
    /// The first time; earlier edits were forgotten.
    start: Time,
}

impl Graph {
    /// A graph of these entries, which follow one another from `start` on.
    pub fn from_entries(start: Time, entries: Vec<Entry>) -> Self {
        let mut heads = Vec::new();
        for entry in &entries {
            advance(&mut heads, &entry.parents, entry.end - 1);
        }
        Graph { entries, heads, start }
    }

    /// Every entry, in order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The version of everything.
    pub fn heads(&self) -> &[Time] {
        &self.heads
    }

    /// The first time that is known.
    pub fn start(&self) -> Time {
        self.start
    }

    /// The time that the next edit gets.
    pub fn end(&self) -> Time {
        self.entries.last().map_or(self.start, |entry| entry.end)
    }

    /// Adds edits that follow one another, the first one made in the version `parents`.
    pub fn push(&mut self, parents: &[Time], count: usize) {
        let start = self.end();
        advance(&mut self.heads, parents, start + count - 1);
        match self.entries.last_mut() {
            Some(last) if parents == [start - 1] => last.end += count,
            _ => {
                let parents = parents.to_vec();
                self.entries.push(Entry { start, end: start + count, parents });
            }
        }
    }

    /// Adds edits that follow one another and everything that is here.
    pub fn push_on_top(&mut self, count: usize) {
        let start = self.end();
        match (self.entries.last_mut(), &self.heads[..]) {
            (Some(last), [head]) if head + 1 == start => {
                last.end += count;
                self.heads[0] += count;
            }
            _ => {
                let parents = std::mem::replace(&mut self.heads, vec![start + count - 1]);
                self.entries.push(Entry { start, end: start + count, parents });
            }
        }
    }

    /// The number of the entry of an edit.
    pub fn entry_of(&self, time: Time) -> usize {
        self.entries.partition_point(|entry| entry.end <= time)
    }

    /// Calls `visit` with every piece of an entry in a range, and the version that its first edit was made in.
    pub fn pieces(&self, range: Range<Time>, mut visit: impl FnMut(Range<Time>, &[Time])) {
        let mut at = self.entry_of(range.start);
        let mut start = range.start;
        while start < range.end {
            let entry = &self.entries[at];
            let end = entry.end.min(range.end);
            if start == entry.start {
                visit(start..end, &entry.parents);
            } else {
                visit(start..end, &[start - 1]);
            }
            (start, at) = (end, at + 1);
        }
    }

    /// Whether a version contains an edit.
    pub fn contains(&self, version: &[Time], target: Time) -> bool {
        let mut open: BinaryHeap<Time> = version.iter().copied().collect();
        while let Some(time) = open.pop() {
            if time < target {
                return false;
            }
            let entry = &self.entries[self.entry_of(time)];
            if entry.start <= target {
                return true;
            }
            while open.peek().is_some_and(|next| *next >= entry.start) {
                open.pop();
            }
            open.extend(entry.parents.iter().filter(|parent| **parent >= target));
        }
        false
    }

    /// The edits that only the first of two versions contains, and those that only the second one does, each latest first; and how many
    /// entries were visited.
    pub fn diff(&self, a: &[Time], b: &[Time]) -> (Vec<Range<Time>>, Vec<Range<Time>>, u64) {
        let (mut only_a, mut only_b) = (Vec::new(), Vec::new());
        let mut emit = |range: Range<Time>, side| match side {
            Side::OnlyA => prepend(&mut only_a, range),
            Side::OnlyB => prepend(&mut only_b, range),
            Side::Shared => {}
        };
        let mut open: BinaryHeap<(Time, Side)> =
            a.iter().map(|time| (*time, Side::OnlyA)).collect();
        open.extend(b.iter().map(|time| (*time, Side::OnlyB)));
        // Once all that is open is shared, so is all that comes before.
        let (mut unshared, mut visited) = (open.len(), 0);
        while unshared > 0 {
            let (time, mut side) = open.pop().expect("something unshared is open");
            unshared -= usize::from(side != Side::Shared);
            let entry = &self.entries[self.entry_of(time)];
            visited += 1;
            let mut end = time + 1;
            while let Some((next, other)) = open.peek().copied().filter(|(t, _)| *t >= entry.start)
            {
                open.pop();
                unshared -= usize::from(other != Side::Shared);
                if next + 1 < end {
                    emit(next + 1..end, side);
                    end = next + 1;
                }
                side = side.and(other);
            }
            emit(entry.start..end, side);
            open.extend(entry.parents.iter().map(|parent| (*parent, side)));
            unshared += if side == Side::Shared { 0 } else { entry.parents.len() };
        }
        (only_a, only_b, visited)
    }

    /// What lies between two versions, and a version in both of them that all of it comes after. As in diff, but whole versions are followed
    /// down until they are one: so the heads of a merge stay together as long as nothing comes between.
    pub fn conflict(&self, a: &[Time], b: &[Time]) -> Conflict {
        let mut open = BinaryHeap::from([
            Point { version: a.to_vec(), side: Side::OnlyA },
            Point { version: b.to_vec(), side: Side::OnlyB },
        ]);
        let (mut spans, mut visited) = (Vec::new(), 0);
        let common = loop {
            let Point { version, mut side } = open.pop().expect("two versions become one");
            visited += 1;
            while let Some(next) = open.peek().filter(|next| next.version == version) {
                side = side.and(next.side);
                open.pop();
            }
            let Some((time, rest)) = version.split_last() else { break version };
            if open.is_empty() {
                break version;
            }
            open.extend(rest.iter().map(|time| Point { version: vec![*time], side }));
            let entry = &self.entries[self.entry_of(*time)];
            let mut end = time + 1;
            let all_inside = loop {
                let Some(next) = open.peek() else { break true };
                let Some((time, rest)) =
                    next.version.split_last().filter(|(t, _)| **t >= entry.start)
                else {
                    break false;
                };
                if time + 1 < end {
                    spans.push((time + 1..end, side));
                    end = time + 1;
                }
                let (rest, other) = (rest.to_vec(), next.side);
                open.pop();
                visited += 1;
                open.extend(rest.iter().map(|time| Point { version: vec![*time], side: other }));
                side = side.and(other);
            };
            if all_inside {
                break vec![end - 1];
            }
            spans.push((entry.start..end, side));
            open.push(Point { version: entry.parents.clone(), side });
        };
        spans.reverse();
        spans.dedup_by(|next, span| {
            let joins = span.0.end == next.0.start && span.1 == next.1;
            span.0.end = if joins { next.0.end } else { span.0.end };
            joins
        });
        Conflict { spans, common, visited }
    }

    /// The critical versions behind `from` and not behind `limit`, where `at_from` is the version of everything before `from`: times such that
    /// every edit from there on comes after all edits before, each with the heads of these. Only versions that end an entry or that somebody
    /// branched off from, and the greatest possible one, are looked at.
    pub fn critical(&self, from: Time, at_from: &[Time], limit: Time) -> Vec<(Time, Vec<Time>)> {
        let mut pieces: Vec<(Range<Time>, Vec<Time>)> = Vec::new();
        self.pieces(from..self.end(), |range, parents| pieces.push((range, parents.to_vec())));
        let mut candidates = vec![limit];
        let mut before = Vec::with_capacity(pieces.len());
        let mut heads = at_from.to_vec();
        for (range, parents) in &pieces {
            candidates.push(range.end);
            candidates.extend(parents.last().map(|last| last + 1));
            before.push(heads.clone());
            advance(&mut heads, parents, range.end - 1);
        }
        candidates.retain(|time| *time > from && *time <= limit && *time <= self.end());
        candidates.sort_unstable();
        candidates.dedup();
        // Pieces from a candidate on that were made in a version with edits before it, by the first of their parents; and how many there
        // are for each version.
        let mut active: BinaryHeap<(Time, usize)> = BinaryHeap::new();
        let mut versions: BTreeMap<&[Time], usize> = BTreeMap::new();
        let mut next = pieces.len();
        let mut found = Vec::new();
        for time in candidates.into_iter().rev() {
            while next > 0 && pieces[next - 1].0.start >= time {
                next -= 1;
                let parents = &pieces[next].1[..];
                active.push((parents.first().map_or(0, |first| first + 1), next));
                *versions.entry(parents).or_default() += 1;
            }
            while let Some((_, gone)) = active.peek().copied().filter(|(first, _)| *first > time) {
                active.pop();
                let parents = &pieces[gone].1[..];
                let count = versions.get_mut(parents).expect("active pieces are counted");
                *count -= 1;
                if *count == 0 {
                    versions.remove(parents);
                }
            }
            let inside = next > 0 && pieces[next - 1].0.end > time;
            let mut heads = before.get(next).cloned().unwrap_or_else(|| self.heads.clone());
            if inside {
                heads = before[next - 1].clone();
                advance(&mut heads, &pieces[next - 1].1, time - 1);
            }
            if versions.keys().all(|version| *version == heads) && (!inside || heads == [time - 1])
            {
                found.push((time, heads));
            }
        }
        found.reverse();
        found
    }

    /// Forgets the edits before a critical version, which becomes what was here from the beginning.
    pub fn forget_before(&mut self, time: Time) {
        let first = self.entry_of(time);
        self.entries.drain(..first);
        if let Some(entry) = self.entries.first_mut().filter(|entry| entry.start < time) {
            entry.start = time;
            entry.parents.clear();
        }
        // Whoever names an edit before the version names all of its heads and nothing else.
        for entry in &mut self.entries {
            entry.parents.retain(|parent| *parent >= time);
        }
        self.heads.retain(|head| *head >= time);
        self.start = time;
    }
}

impl Side {
    fn and(self, other: Side) -> Side {
        if self == other { self } else { Side::Shared }
    }
}

/// A version on the way down, ordered by its latest edit.
#[derive(PartialEq, Eq)]
struct Point {
    version: Vec<Time>,
    side: Side,
}

impl Ord for Point {
    fn cmp(&self, other: &Self) -> Ordering {
        // A head on its own comes before the same head among others.
        let shorter = other.version.len().cmp(&self.version.len());
        let latest = self.version.last().cmp(&other.version.last()).then(shorter);
        latest.then_with(|| self.version.cmp(&other.version)).then(self.side.cmp(&other.side))
    }
}

impl PartialOrd for Point {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Adds to a version edits made in `parents`, the last of which is `last`.
pub fn advance(heads: &mut Vec<Time>, parents: &[Time], last: Time) {
    heads.retain(|head| !parents.contains(head));
    let at = heads.partition_point(|head| *head < last);
    heads.insert(at, last);
}

fn prepend(spans: &mut Vec<Range<Time>>, range: Range<Time>) {
    match spans.last_mut() {
        Some(last) if last.start == range.end => last.start = range.start,
        _ => spans.push(range),
    }
}
