//! The last revisions as they were ordered: what a client of a server that only relays needs to transform the batches of others itself.

use super::batch::over_earlier;
use super::codec::{read_ops, size_of, write_ops};
use super::op::Ops;
use crate::contract::Malformed;
use crate::wire::{Reader, Writer};
use std::collections::VecDeque;

/// Revisions in a row, up to the last one that is displayed.
#[derive(Debug, Default)]
pub struct History {
    /// Each with its bytes in a message.
    kept: VecDeque<(Ops, u64)>,
    bytes: u64,
}

impl History {
    /// Appends the next revision.
    pub fn push(&mut self, ops: Ops) {
        let bytes = size_of(&ops);
        self.bytes += bytes;
        self.kept.push_back((ops, bytes));
    }

    /// Keeps only so many.
    pub fn keep(&mut self, count: u64) {
        while self.kept.len() as u64 > count {
            self.bytes -= self.kept.pop_front().map_or(0, |(_, bytes)| bytes);
        }
    }

    /// Bytes that it would take in messages.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The batch that became revision `number`, which its author made `distance` revisions before the one that it follows. `seen` is
    /// the last revision that is kept here; `newer` are those after it. Returns the work in units.
    ///
    /// # Errors
    /// [`Malformed`] where it was made before all that is kept.
    pub fn transform<'a>(
        &self,
        ops: &mut Ops,
        number: u64,
        distance: u64,
        seen: u64,
        newer: impl Fn(usize) -> &'a Ops,
    ) -> Result<u64, Malformed> {
        let first_kept = seen + 1 - self.kept.len() as u64;
        let from = number.checked_sub(distance).filter(|from| *from >= first_kept);
        let from = from.ok_or(Malformed("a batch from before all that is kept"))?;
        let mut work = 0;
        for earlier in from..number {
            let earlier_ops = match earlier.checked_sub(seen + 1) {
                Some(after) => newer(after as usize),
                None => &self.kept[(earlier - first_kept) as usize].0,
            };
            work += over_earlier(ops, earlier_ops, earlier);
        }
        Ok(work)
    }

    /// Writes all of it.
    pub fn write(&self, writer: &mut Writer) {
        writer.count(self.kept.len());
        for (ops, _) in &self.kept {
            write_ops(ops, writer);
        }
    }

    /// Reads what [`History::write`] wrote, up to revision `seen`.
    ///
    /// # Errors
    /// [`Malformed`] where the bytes are no such revisions.
    pub fn read(seen: u64, reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut history = History::default();
        let count = reader.count(1)?;
        if count as u64 > seen {
            return Err(Malformed("more history than revisions"));
        }
        for _ in 0..count {
            history.push(read_ops(reader)?);
        }
        Ok(history)
    }
}
