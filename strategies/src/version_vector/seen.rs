//! Which edits were reported already. For reports only, like `story`.

use crate::contract::Malformed;
use crate::document::{EditId, ReplicaId};
use crate::wire::{Reader, Writer};
use std::collections::BTreeMap;

/// The edits known to one cell: of each origin all up to a sequence. An origin's edits of a cell come in order, since each one knows of
/// those before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    last: BTreeMap<ReplicaId, u64>,
}

impl Seen {
    /// The first sequence of an origin that is not known.
    pub fn next(&self, origin: ReplicaId) -> u64 {
        self.last.get(&origin).map_or(0, |last| last.saturating_add(1))
    }

    pub fn add(&mut self, edit: EditId) {
        let last = self.last.entry(edit.origin).or_default();
        *last = edit.sequence.max(*last);
    }

    pub fn save(&self, out: &mut Writer) {
        out.count(self.last.len());
        for (origin, last) in &self.last {
            out.edit_id(EditId { origin: *origin, sequence: *last });
        }
    }

    pub fn restore(bytes: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut seen = Seen::default();
        for _ in 0..bytes.count(2)? {
            seen.add(bytes.edit_id()?);
        }
        Ok(seen)
    }
}

/// How many deletions of one origin are remembered.
const DELETES: usize = 32;

/// The last deletions of each origin. A deletion comes in all cells of a record, mostly in one message, and is reported once.
#[derive(Clone, Debug, Default)]
pub struct RecentDeletes {
    last: BTreeMap<ReplicaId, Vec<u64>>,
}

impl RecentDeletes {
    /// Remembers a deletion; true where it is new.
    pub fn is_new(&mut self, edit: EditId) -> bool {
        let last = self.last.entry(edit.origin).or_default();
        match last.binary_search(&edit.sequence) {
            Ok(_) => false,
            Err(at) => {
                last.insert(at, edit.sequence);
                if last.len() > DELETES {
                    last.remove(0);
                }
                true
            }
        }
    }

    pub fn save(&self, out: &mut Writer) {
        out.count(self.last.len());
        for (origin, sequences) in &self.last {
            out.replica(*origin);
            out.count(sequences.len());
            sequences.iter().for_each(|sequence| out.uint(*sequence));
        }
    }

    pub fn restore(bytes: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut deletes = RecentDeletes::default();
        for _ in 0..bytes.count(2)? {
            let origin = bytes.replica()?;
            for _ in 0..bytes.count(1)? {
                deletes.is_new(EditId { origin, sequence: bytes.uint()? });
            }
        }
        Ok(deletes)
    }
}
