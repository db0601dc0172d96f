//! Replaying edits on a temporary structure, to find out what they do to the text as it is here.
//!
//! An edit speaks of positions in the version that it was made in. The tracker can go to any version of a stretch of history: what
//! that version does not contain is taken back (retreat) or done again (advance) by changing the states of characters, none of
//! which ever leaves the structure. There the edit is applied, and its place is looked up among what is shown at the end. Insertions at
//! the same place are ordered as in YjsMod, which is the FugueMax order. After Gentle and Kleppmann, "Collaborative
//! Text Editing with Eg-walker", EuroSys 2025.

use super::graph::{Graph, Time};
use super::names::Names;
use super::ops::{Kind, Ops};
use super::tree::{Item, NONE, Place, Tree};
use std::collections::BTreeMap;
use std::ops::Range;

/// Names of the characters that were there before the stretch of history begins: they have no edit.
const EARLIER: Time = 1 << 62;

/// What an edit does to the text as it is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect<'a> {
    /// Inserts text at a position.
    Insert(usize, &'a str),
    /// Deletes so many characters from a position on.
    Delete(usize, usize),
}

/// What a stretch of deletions deleted.
#[derive(Clone, Copy, Debug)]
struct Target {
    len: usize,
    /// The character with the least name among those deleted.
    first: Time,
    /// Whether they were deleted in descending order of names.
    backwards: bool,
}

/// The replay of a stretch of history.
pub struct Tracker<'a> {
    graph: &'a Graph,
    names: &'a Names,
    tree: Tree,
    /// What deletions deleted, by their first time.
    targets: BTreeMap<Time, Target>,
    /// The version that it is at.
    version: Vec<Time>,
    visited: u64,
}

impl<'a> Tracker<'a> {
    /// At a version in which the text has `length` characters; only edits behind that version can be replayed.
    pub fn new(graph: &'a Graph, names: &'a Names, version: Vec<Time>, length: usize) -> Self {
        let mut tree = Tree::new();
        if length > 0 {
            let (state, gone) = (1, false);
            let item = Item { id: EARLIER, len: length, left: NONE, right: NONE, state, gone };
            tree.insert(tree.start(), item);
        }
        Tracker { graph, names, tree, targets: BTreeMap::new(), version, visited: 0 }
    }

    /// Runs, children and entries visited so far.
    pub fn work(&self) -> u64 {
        self.visited + self.tree.work()
    }

    /// Replays edits that follow one another and were not replayed yet; the first one was made in `parents`. Calls `emit` with what they do
    /// to the text at the end and the first of the edits that do it, and notes how long the text was before each run of them.
    pub fn replay(
        &mut self,
        range: Range<Time>,
        parents: &[Time],
        ops: &mut Ops,
        mut emit: impl FnMut(Time, Effect<'_>),
    ) {
        self.go_to(parents, ops);
        let mut at = ops.run_of(range.start);
        let mut start = range.start;
        while start < range.end {
            let run = ops.runs()[at];
            let length = self.tree.total().now;
            if start == run.start {
                ops.set_before(at, length);
            }
            let skip = start - run.start;
            let end = run.end().min(range.end);
            let (pos, len) = (run.pos_after(skip), end - start);
            self.visited += 1;
            match run.kind {
                Kind::Insert => {
                    let place = self.insert(start, len, pos.min(length));
                    emit(start, Effect::Insert(place, ops.text_in(&run, skip..skip + len)));
                }
                Kind::Delete => {
                    let len = len.min(length.saturating_sub(pos));
                    self.delete(start, pos, len, &mut emit);
                }
                Kind::Backspace => {
                    let beyond = (pos + 1).saturating_sub(length).min(len);
                    self.backspace(start + beyond, pos - beyond.min(pos), len - beyond, &mut emit);
                }
            }
            (start, at) = (end, at + 1);
        }
        self.version = vec![range.end - 1];
    }

    /// Inserts characters at a position of the version that the tracker is at; says where that is at the end.
    fn insert(&mut self, id: Time, len: usize, pos: usize) -> usize {
        let (left, behind) = match pos.checked_sub(1) {
            None => (NONE, self.tree.start()),
            Some(before) => {
                let place = self.tree.find_now(before);
                let left = self.tree.at(place).id + place.offset;
                (left, self.tree.cut(place.with_offset(place.offset + 1)))
            }
        };
        let right = self.first_there(behind);
        let place = self.scan(behind, id, left, right);
        let item = Item { id, len, left, right, state: 1, gone: false };
        let place = self.tree.insert(place, item);
        self.tree.before(place).end
    }

    /// The first character from a place on that is not yet to be inserted, be it deleted or not.
    fn first_there(&self, place: Place) -> Time {
        let mut next = self.tree.settle(place);
        while let Some(place) = next {
            let item = self.tree.at(place);
            if item.state > 0 {
                return item.id;
            }
            next = self.tree.settle(self.tree.behind(place));
        }
        NONE
    }

    /// Where characters inserted behind `left` and before `right` go among those that were inserted there concurrently.
    fn scan(&self, behind: Place, id: Time, left: Time, right: Time) -> Place {
        let key = |id: Time| (id != NONE).then(|| self.tree.before(self.tree.find(id)).all);
        let right_key = |id: Time| key(id).unwrap_or(NONE);
        let (mut place, mut next, mut undecided) = (behind, behind, false);
        let mut keys = None;
        while let Some(at) = self.tree.settle(next) {
            let other = self.tree.at(at);
            if other.state > 0 {
                break;
            }
            let (left_key, own_right_key) =
                *keys.get_or_insert_with(|| (key(left), right_key(right)));
            let others_left = key(other.left);
            if others_left < left_key {
                break;
            }
            if others_left == left_key {
                let others_right = right_key(other.right);
                if others_right == own_right_key && self.names.dot(id) < self.names.dot(other.id) {
                    break;
                }
                undecided = others_right < own_right_key;
            }
            next = self.tree.behind(at);
            if !undecided {
                place = next;
            }
        }
        place
    }

    /// Deletes the characters from a position on.
    fn delete(
        &mut self,
        mut time: Time,
        pos: usize,
        mut len: usize,
        emit: &mut impl FnMut(Time, Effect<'_>),
    ) {
        while len > 0 {
            let place = self.tree.find_now(pos);
            let item = self.tree.at(place);
            let count = (item.len - place.offset).min(len);
            let first = self.hide(time, place, count, emit);
            self.targets.insert(time, Target { len: count, first, backwards: false });
            (time, len) = (time + count, len - count);
        }
    }

    /// Deletes the characters at a position and before it, so many of them.
    fn backspace(
        &mut self,
        mut time: Time,
        mut pos: usize,
        mut len: usize,
        emit: &mut impl FnMut(Time, Effect<'_>),
    ) {
        while len > 0 {
            let place = self.tree.find_now(pos);
            let count = (place.offset + 1).min(len);
            let start = place.with_offset(place.offset + 1 - count);
            let first = self.hide(time, start, count, emit);
            self.targets.insert(time, Target { len: count, first, backwards: true });
            (time, len, pos) = (time + count, len - count, pos.saturating_sub(count));
        }
    }

    /// Deletes characters of one run from a place on; says what the first one is called.
    fn hide(
        &mut self,
        time: Time,
        place: Place,
        count: usize,
        emit: &mut impl FnMut(Time, Effect<'_>),
    ) -> Time {
        let place = self.cut_out(place, count);
        let item = self.tree.at(place);
        if !item.gone {
            emit(time, Effect::Delete(self.tree.before(place).end, count));
        }
        self.tree.set(place, item.state + 1, true);
        item.id
    }

    /// Makes `count` characters of one run from a place on a run of their own.
    fn cut_out(&mut self, place: Place, count: usize) -> Place {
        let id = self.tree.at(place).id + place.offset;
        let place = self.tree.cut(place);
        if self.tree.at(place).len == count {
            return place;
        }
        self.tree.cut(place.with_offset(count));
        self.tree.find(id)
    }

    /// Goes to another version by retreating from what it does not contain and advancing over what it contains besides.
    fn go_to(&mut self, version: &[Time], ops: &Ops) {
        if self.version == version {
            return;
        }
        let (back, forth, visited) = self.graph.diff(&self.version, version);
        self.visited += visited;
        for range in back {
            self.toggle(range, ops, false);
        }
        for range in forth {
            self.toggle(range, ops, true);
        }
        self.version = version.to_vec();
    }

    /// Takes back edits that were replayed, or does them again.
    fn toggle(&mut self, range: Range<Time>, ops: &Ops, forth: bool) {
        let mut at = ops.run_of(range.start);
        let mut start = range.start;
        while start < range.end {
            let run = &ops.runs()[at];
            let end = run.end().min(range.end);
            self.visited += 1;
            match run.kind {
                Kind::Insert => self.shift(start, end - start, forth),
                Kind::Delete | Kind::Backspace => self.toggle_deletions(start..end, forth),
            }
            (start, at) = (end, at + 1);
        }
    }

    fn toggle_deletions(&mut self, range: Range<Time>, forth: bool) {
        let from =
            self.targets.range(..=range.start).next_back().map_or(range.start, |(at, _)| *at);
        let found: Vec<(Time, Target)> =
            self.targets.range(from..range.end).map(|(at, target)| (*at, *target)).collect();
        for (at, target) in found {
            self.visited += 1;
            let (start, end) = (at.max(range.start), (at + target.len).min(range.end));
            if start >= end {
                continue;
            }
            let skip = if target.backwards { at + target.len - end } else { start - at };
            self.shift(target.first + skip, end - start, forth);
        }
    }

    /// Raises or lowers the state of characters with consecutive names.
    fn shift(&mut self, mut id: Time, mut count: usize, forth: bool) {
        while count > 0 {
            let place = self.tree.find(id);
            let some = (self.tree.at(place).len - place.offset).min(count);
            let place = self.cut_out(place, some);
            let item = self.tree.at(place);
            let state = if forth { item.state + 1 } else { item.state - 1 };
            self.tree.set(place, state, item.gone);
            (id, count) = (id + some, count - some);
        }
    }
}
