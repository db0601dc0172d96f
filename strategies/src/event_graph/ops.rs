//! What the edits did to the text: runs of insertions and deletions, each edit one character, at positions in the version that it was
//! made in.

use super::graph::Time;
use crate::contract::Malformed;
use crate::document::{byte_offset, char_count};
use crate::wire::{Reader, Writer};
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
    /// Length of its text in bytes; 0 for a deletion of which nobody noted what it deleted.
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
    /// What was inserted, and what the user of this replica deleted, in order of times.
    text: String,
}

impl Ops {
    /// Every run, in order.
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// Bytes of text inserted and deleted.
    pub fn text_bytes(&self) -> usize {
        self.text.len()
    }

    /// What a run inserted; of a deletion what it deleted, in order of its edits, or nothing where that was not noted.
    pub fn text_of(&self, run: &Run) -> &str {
        &self.text[run.text..run.text + run.bytes]
    }

    /// The part of a run's text that belongs to a range of its edits.
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
        if let Some(last) = self
            .runs
            .last_mut()
            .filter(|last| follows && last.kind == Kind::Insert && last.pos + last.len == pos)
        {
            last.len += len;
            last.bytes += bytes;
            return;
        }
        let text = self.text.len() - bytes;
        self.runs.push(Run { start, len, kind: Kind::Insert, pos, text, bytes, before });
    }

    /// Notes of deletions what they deleted, as far as that is not noted yet and `deleted` knows it; U+FFFD stands for the rest of a run.
    pub fn note(&mut self, mut deleted: impl FnMut(Time) -> Option<char>) {
        let mut all = String::with_capacity(self.text.len());
        for run in &mut self.runs {
            let start = all.len();
            let text = &self.text[run.text..run.text + run.bytes];
            if run.kind == Kind::Insert || !text.is_empty() {
                all.push_str(text);
            } else {
                let found: Vec<Option<char>> = (run.start..run.end()).map(&mut deleted).collect();
                if found.iter().any(Option::is_some) {
                    all.extend(found.iter().map(|found| found.unwrap_or('\u{fffd}')));
                }
            }
            (run.text, run.bytes) = (start, all.len() - start);
        }
        self.text = all;
    }

    /// Adds a deletion of `len` characters from a time on: `pos` is where the first one is deleted, as `kind` says; `text` is what was
    /// deleted, in order of the edits, if that is known.
    pub fn delete(
        &mut self,
        start: Time,
        (kind, pos, len): (Kind, usize, usize),
        text: &str,
        before: usize,
        follows: bool,
    ) {
        let at = self.text.len();
        self.text.push_str(text);
        let is_known = |run: &Run| (run.bytes > 0) != text.is_empty();
        if let Some(last) = self.runs.last_mut().filter(|last| follows && is_known(last)) {
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
                last.bytes += text.len();
                return;
            }
        }
        // A single deletion may turn out to be the first of either kind.
        let kind = if len == 1 { Kind::Delete } else { kind };
        self.runs.push(Run { start, len, kind, pos, text: at, bytes: text.len(), before });
    }

    /// Adds a deletion that a user made, of the characters `text` from `pos` on; as backspaces where it goes on with such.
    pub fn delete_block(
        &mut self,
        start: Time,
        pos: usize,
        text: &str,
        before: usize,
        follows: bool,
    ) {
        let len = char_count(text);
        let last = self.runs.last().filter(|_| follows);
        let is_backwards = last.is_some_and(|last| match last.kind {
            Kind::Backspace => pos + len + last.len == last.pos + 1,
            Kind::Delete => last.len == 1 && pos + len == last.pos,
            Kind::Insert => false,
        });
        if is_backwards && len > 1 {
            let reversed: String = text.chars().rev().collect();
            self.delete(start, (Kind::Backspace, pos + len - 1, len), &reversed, before, follows);
        } else {
            self.delete(start, (Kind::Delete, pos, len), text, before, follows);
        }
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
            self.runs[0] = Run {
                start: time,
                len: run.len - skip,
                pos: run.pos_after(skip),
                before: run.length_after(skip),
                text: run.text + gone_bytes,
                bytes: run.bytes - gone_bytes,
                ..run
            };
        }
        let gone_bytes = self.runs.first().map_or(self.text.len(), |run| run.text);
        self.text.drain(..gone_bytes);
        for run in &mut self.runs {
            run.text -= gone_bytes;
        }
    }

    /// Writes the runs, with what the user of this replica deleted if `whole`.
    pub fn write(&self, writer: &mut Writer, whole: bool) {
        writer.count(self.runs.len());
        let mut text = String::new();
        for run in &self.runs {
            let keeps_text = run.bytes > 0 && (whole || run.kind == Kind::Insert);
            let kind = run.kind as u64 | if keeps_text { 4 } else { 0 };
            writer.uint((run.len as u64) << 3 | kind);
            writer.uint(run.pos as u64);
            writer.uint(run.before as u64);
            if keeps_text {
                text.push_str(self.text_of(run));
            }
        }
        writer.str(&text);
    }

    /// Reads what [`Ops::write`] wrote: runs that go on from a time.
    ///
    /// # Errors
    /// [`Malformed`] where it makes no sense.
    pub fn read(reader: &mut Reader<'_>, start: Time) -> Result<Self, Malformed> {
        let mut ops = Ops::default();
        let mut at = start;
        for _ in 0..reader.count(3)? {
            let head = reader.uint()?;
            let (len, pos) = (read_length(head >> 3)?, read_length(reader.uint()?)?);
            let (kind, before) = (Kind::from_bits(head & 3)?, read_length(reader.uint()?)?);
            let keeps_text = head & 4 != 0;
            let fits = len > 0 && (kind != Kind::Backspace || pos + 1 >= len);
            if !fits || (kind == Kind::Insert && !keeps_text) {
                return Err(Malformed("a run of edits makes no sense"));
            }
            ops.runs.push(Run {
                start: at,
                len,
                kind,
                pos,
                text: 0,
                bytes: keeps_text.into(),
                before,
            });
            at += len;
        }
        ops.text = reader.str()?.to_owned();
        let (mut rest, mut text, is_ascii) = (&ops.text[..], 0, ops.text.is_ascii());
        for run in &mut ops.runs {
            run.text = text;
            if run.bytes > 0 {
                let bytes = prefix(rest, run.len, is_ascii);
                run.bytes = bytes;
                if char_count(&rest[..bytes]) != run.len {
                    return Err(Malformed("text is missing"));
                }
                (rest, text) = (&rest[bytes..], text + bytes);
            }
        }
        if rest.is_empty() { Ok(ops) } else { Err(Malformed("text is left over")) }
    }
}

impl Kind {
    /// The kind written as a number.
    ///
    /// # Errors
    /// [`Malformed`] where there is none.
    pub fn from_bits(bits: u64) -> Result<Kind, Malformed> {
        match bits {
            0 => Ok(Kind::Insert),
            1 => Ok(Kind::Delete),
            2 => Ok(Kind::Backspace),
            _ => Err(Malformed("unknown kind of edit")),
        }
    }
}

/// Bytes of the first so many characters of a text, of which the caller knows whether all of it is ASCII: looks at these characters alone.
pub fn prefix(text: &str, chars: usize, is_ascii: bool) -> usize {
    if is_ascii {
        return chars.min(text.len());
    }
    text.char_indices().nth(chars).map_or(text.len(), |(offset, _)| offset)
}

/// A number of characters or a position, small enough for sums of many never to overflow.
///
/// # Errors
/// [`Malformed`] where it exceeds 32 bits.
pub fn read_length(length: u64) -> Result<usize, Malformed> {
    u32::try_from(length)
        .map(|length| length as usize)
        .map_err(|_| Malformed("length out of range"))
}
