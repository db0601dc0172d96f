//! Edits composed into one operation per cell: what a client buffers and sends, and what the server orders.

use super::names::{Names, Target};
use super::op::{CellOp, ElementOp, Ops, RegisterOp};
use crate::document::EditId;

/// Edits of one replica that travel and are ordered together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// What they do, composed.
    pub ops: Ops,
    /// Which they are; for reports only.
    pub names: Names,
    /// How many; what others composed is not counted.
    pub edits: u64,
}

impl Batch {
    /// Appends one more edit, which became `ops` in view of all before it. Returns the work in units.
    pub fn add(&mut self, id: EditId, ops: Ops) -> u64 {
        self.names.add(id, &ops, &self.ops);
        self.edits += 1;
        let mut work = 0;
        for (cell, op) in ops {
            if let Some(slot) = self.ops.get_mut(&cell) {
                slot.compose(op);
                work += slot.size();
            } else {
                self.ops.insert(cell, op);
            }
        }
        work
    }

    /// The edit that hides what somebody else, earlier in the server's order, puts at a target.
    pub fn winner(&self, (cell, element): &Target) -> Option<EditId> {
        let hides = match (self.ops.get(cell)?, element) {
            (CellOp::Register(op), None) => matches!(op, RegisterOp::Put(_)),
            (CellOp::Set(ops), Some(element)) => ops.get(element) == Some(&ElementOp::Remove),
            _ => false,
        };
        let names = self.names.by_target.get(&(*cell, element.clone())).filter(|_| hides)?;
        names.deciding.iter().next()
    }
}
