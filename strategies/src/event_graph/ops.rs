//! What the edits did to the text: runs of insertions and deletions, each edit one character, at positions in the version that it was
//! made in.

use super::graph::Time;
use crate::document::{byte_offset, char_count};
use std::ops::Range;

/// What the edits of a run do. Of a run at position *p* the *n*-th edit, counted from 0:
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// inserts at *p* + *n*;
    Insert,
    /// deletes at *p*;
    Delete,
    /// deletes at *p* − *n*.
    Backspace,
}

/// Edits with consecutive times, each made right after the one before, that go on in the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Time of the first.
    pub start: Time,
    /// How many; at least 1.
    pub len: usize,
    /// What they do.
    pub kind: Kind,
    /// Where the first does it.
    pub pos: usize,
    /// Where its text starts among all text, in bytes.
    text: usize,
    /// Length of its text in bytes; 0 for a deletion.
    bytes: usize,
    /// Length of the whole text before the run, in characters, once it has been applied.
    pub before: usize,
}

impl Run {
    /// Time behind the last.
    pub fn end(&self) -> Time {
        self.start + self.len
    }

    /// Where the edit does what it does that is `skip` edits into the run.
    pub fn pos_after(&self, skip: usize) -> usize {
        match self.kind {
            Kind::Insert => self.pos + skip,
            Kind::Delete => self.pos,
            Kind::Backspace => self.pos - skip,
        }
    }

    /// Length of the whole text after `count` of its edits. Whatever lies behind the end of the text is not deleted.
    pub fn length_after(&self, count: usize) -> usize {
        match self.kind {
            Kind::Insert => self.before + count,
            Kind::Delete => self.before - count.min(self.before.saturating_sub(self.pos)),
            Kind::Backspace => {
                let beyond = (self.pos + 1).saturating_sub(self.before);
                self.before - count.saturating_sub(beyond)
            }
        }
    }
}

/// All runs from some time on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ops {
    runs: Vec<Run>,
    /// What was inserted, in order of times.
    text: String,
}

impl Ops {
    /// Every run, in order.
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// Bytes of inserted text.
    pub fn text_bytes(&self) -> usize {
        self.text.len()
    }

    /// What a run inserted.
    pub fn text_of(&self, run: &Run) -> &str {
        &self.text[run.text..run.text + run.bytes]
    }

    /// The part of a run's text that a range of its edits inserted.
    pub fn text_in(&self, run: &Run, range: Range<usize>) -> &str {
        let text = self.text_of(run);
        if run.bytes == run.len {
            return text.get(range).unwrap_or("");
        }
        let start = byte_offset(text, range.start);
        let end = start + byte_offset(&text[start..], range.len());
        &text[start..end]
    }

    /// Adds the insertion of some text from a time on, where the whole text has `before` characters. `follows` says that it was made right
    /// after the edit before.
    pub fn insert(&mut self, start: Time, pos: usize, text: &str, before: usize, follows: bool) {
        let len = char_count(text);
        let bytes = text.len();
        self.text.push_str(text);
        if let Some(last) = self.runs.last_mut().filter(|last| {
            follows && last.kind == Kind::Insert && last.pos + last.len == pos
        }) {
            last.len += len;
            last.bytes += bytes;
            return;
        }
        let text = self.text.len() - bytes;
        self.runs.push(Run { start, len, kind: Kind::Insert, pos, text, bytes, before });
    }

    /// Adds a deletion of `len` characters from a time on: `pos` is where the first one is deleted, as `kind` says.
    pub fn delete(
        &mut self,
        start: Time,
        (kind, pos, len): (Kind, usize, usize),
        before: usize,
        follows: bool,
    ) {
        if let Some(last) = self.runs.last_mut().filter(|_| follows) {
            let (on, one_back) = (last.pos == pos, pos + last.len == last.pos);
            let goes_on = match (last.kind, kind) {
                (Kind::Delete, Kind::Delete) if on => Some(Kind::Delete),
                (Kind::Delete, Kind::Delete) if last.len == 1 && len == 1 => Some(Kind::Backspace),
                (Kind::Delete, Kind::Backspace) if last.len == 1 => Some(Kind::Backspace),
                (Kind::Backspace, Kind::Backspace) => Some(Kind::Backspace),
                (Kind::Backspace, Kind::Delete) if len == 1 => Some(Kind::Backspace),
                _ => None,
            };
            if let Some(kind) = goes_on.filter(|kind| *kind == Kind::Delete || one_back) {
                last.kind = kind;
                last.len += len;
                return;
            }
        }
        // A single deletion may turn out to be the first of either kind.
        let kind = if len == 1 { Kind::Delete } else { kind };
        self.runs.push(Run { start, len, kind, pos, text: 0, bytes: 0, before });
    }

    /// Adds a deletion that a user made, of `len` characters from `pos` on; as backspaces where it goes on with such.
    pub fn delete_block(&mut self, start: Time, pos: usize, len: usize, before: usize, follows: bool) {
        let last = self.runs.last().filter(|_| follows);
        let is_backwards = last.is_some_and(|last| match last.kind {
            Kind::Backspace => pos + len + last.len == last.pos + 1,
            Kind::Delete => last.len == 1 && pos + len == last.pos,
            Kind::Insert => false,
        });
        let op = if is_backwards {
            (Kind::Backspace, pos + len - 1, len)
        } else {
            (Kind::Delete, pos, len)
        };
        self.delete(start, op, before, follows);
    }

    /// The number of the run of an edit.
    pub fn run_of(&self, time: Time) -> usize {
        self.runs.partition_point(|run| run.end() <= time)
    }

    /// Notes how long the whole text was before a run.
    pub fn set_before(&mut self, run: usize, before: usize) {
        self.runs[run].before = before;
    }

    /// Length of the whole text right after an edit that was applied.
    pub fn length_at(&self, time: Time) -> usize {
        let run = &self.runs[self.run_of(time)];
        run.length_after(time + 1 - run.start)
    }

    /// Forgets the edits before a time.
    pub fn forget_before(&mut self, time: Time) {
        let gone = self.run_of(time);
        self.runs.drain(..gone);
        if let Some(run) = self.runs.first().copied().filter(|run| run.start < time) {
            let skip = time - run.start;
            let gone_bytes = self.text_in(&run, 0..skip.min(run.len)).len();
            let is_insert = run.kind == Kind::Insert;
            self.runs[0] = Run {
                start: time,
                len: run.len - skip,
                pos: run.pos_after(skip),
                before: run.length_after(skip),
                text: if is_insert { run.text + gone_bytes } else { 0 },
                bytes: if is_insert { run.bytes - gone_bytes } else { 0 },
                ..run
            };
        }
        let first_text = self.runs.iter().find(|run| run.kind == Kind::Insert);
        let gone_bytes = first_text.map_or(self.text.len(), |run| run.text);
        self.text.drain(..gone_bytes);
        for run in self.runs.iter_mut().filter(|run| run.kind == Kind::Insert) {
            run.text -= gone_bytes;
        }
    }
}
