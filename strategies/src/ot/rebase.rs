//! What arrives is transformed over the edits under way, and these over it: aside, so that nothing has changed where some of it turns out
//! not to fit.

use super::batch::Batch;
use super::client::Client;
use super::content::Lengths;
use super::names::Names;
use super::op::{CellOp, Ops, Span, cross};
use crate::contract::Malformed;
use crate::document::Cell;
use std::collections::{BTreeMap, VecDeque};

/// One revision of a message, checked and transformed.
pub enum Arrival {
    /// One of the client's own batches in flight, as it was ordered.
    Own {
        /// What it does after the revision before.
        ops: Ops,
    },
    /// Somebody else's.
    Foreign {
        /// What it does after the revision before.
        ops: Ops,
        /// What it does to what is displayed.
        shown: Ops,
        /// Which edits it consists of.
        names: Names,
    },
}

impl Arrival {
    /// What it does after the revision before.
    pub fn ops(&self) -> &Ops {
        match self {
            Arrival::Own { ops } | Arrival::Foreign { ops, .. } => ops,
        }
    }
}

/// Edits under way as they read after what arrived.
#[derive(Default)]
pub struct Rebase {
    /// Where revisions touched the same cells: the operations in order, each with the place of its batch among those that were under
    /// way.
    touched: BTreeMap<Cell, Vec<(usize, CellOp)>>,
    /// How many batches landed; those in flight, if any.
    landed: usize,
    /// Lengths of displayed texts, and of those without the edits under way.
    lengths: Lengths,
    base_lengths: Lengths,
    /// Cost so far, in units.
    pub work: u64,
}

impl Rebase {
    /// The operations of a revision as they are to be displayed.
    ///
    /// # Errors
    /// [`Malformed`] where they do not fit.
    pub fn pass(&mut self, client: &Client, at: Span, ops: &Ops) -> Result<Ops, Malformed> {
        let mut shown = Ops::new();
        for (cell, op) in ops {
            client.cells.check_kind(*cell, op.kind())?;
            if let (CellOp::Text(op), Some(base)) = (op, client.bases.get(cell)) {
                let length = self.base_lengths.entry(*cell).or_insert_with(|| base.held.length());
                *length = op.length_after(*length)?;
            }
            let landed = self.landed;
            let under_way = self.touched.entry(*cell).or_insert_with(|| {
                self.work += (client.flight.len() + client.buffer.len()) as u64;
                let batches = client.flight.iter().chain(&client.buffer).enumerate().skip(landed);
                batches.filter_map(|(n, b)| Some((n, b.ops.get(cell)?.clone()))).collect()
            });
            let mut op = op.clone();
            for (_, own) in under_way {
                self.work += cross(&mut op, own, at);
            }
            client.cells.check(*cell, &op, &mut self.lengths)?;
            self.work += 1;
            shown.insert(*cell, op);
        }
        Ok(shown)
    }

    /// What was in flight is ordered: as it reads now.
    ///
    /// # Errors
    /// [`Malformed`] where nothing is in flight, or something else.
    pub fn land(&mut self, client: &Client, count: u32) -> Result<Vec<Arrival>, Malformed> {
        let flight = &client.flight;
        if self.landed > 0 || flight.is_empty() || flight.len() != count as usize {
            return Err(Malformed("no such batch is in flight"));
        }
        self.landed = flight.len();
        let mut landed: Vec<Ops> = flight.iter().map(|batch| batch.ops.clone()).collect();
        for (cell, under_way) in &mut self.touched {
            for (n, op) in under_way.extract_if(.., |(n, _)| *n < flight.len()) {
                landed[n].insert(*cell, op);
            }
        }
        for (cell, op) in landed.iter().flatten() {
            self.work += 1;
            if let (CellOp::Text(op), Some(base)) = (op, client.bases.get(cell)) {
                let length = self.base_lengths.entry(*cell).or_insert_with(|| base.held.length());
                *length = op.length_after(*length)?;
            }
        }
        Ok(landed.into_iter().map(|ops| Arrival::Own { ops }).collect())
    }

    /// Puts the edits under way back as they read now, once what landed is no more among them.
    pub fn settle(self, flight: &mut VecDeque<Batch>, buffer: &mut [Batch]) {
        let mut under_way: Vec<&mut Batch> = flight.iter_mut().chain(buffer).collect();
        for (cell, ops) in self.touched {
            for (n, op) in ops {
                under_way[n - self.landed].ops.insert(cell, op);
            }
        }
    }
}
