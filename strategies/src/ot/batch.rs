//! Edits as they travel: what a client buffers and sends, and what the server orders. Composed, they are one operation per cell.

use super::content::Cells;
use super::names::{Names, Target};
use super::op::{CellOp, CounterOp, ElementOp, Ops, RegisterOp, Span};
use crate::contract::Malformed;
use crate::document::EditId;

/// Edits of one replica that travel and are ordered as one.
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

/// Makes a batch fit after an earlier one, which is (part of) the given revision. Returns the work in units.
pub fn over_earlier(ops: &mut Ops, earlier: &Ops, revision: u64) -> u64 {
    let mut work = 1;
    let mut pass = |op: &mut CellOp, earlier: &CellOp| {
        work += op.size() + earlier.size();
        op.over_earlier(earlier, Span::one(revision));
    };
    if ops.len() < earlier.len() {
        for (cell, op) in ops {
            if let Some(earlier) = earlier.get(cell) {
                pass(op, earlier);
            }
        }
    } else {
        for (cell, earlier) in earlier {
            if let Some(op) = ops.get_mut(cell) {
                pass(op, earlier);
            }
        }
    }
    work
}

/// Whether these are operations that somebody who had the given revision, and no later one, can have made or made to fit.
///
/// # Errors
/// [`Malformed`] where a cell is of another kind, or a wipe leaves what came later.
pub fn check_made_at(revision: u64, ops: &Ops, cells: &Cells) -> Result<(), Malformed> {
    for (cell, op) in ops {
        cells.check_kind(*cell, op.kind())?;
        if let CellOp::Counter(CounterOp { left: Some(left), .. }) = op
            && left.last().is_some_and(|addition| addition.revisions.last > revision)
        {
            return Err(Malformed("a wipe leaves what its author cannot have"));
        }
    }
    Ok(())
}
