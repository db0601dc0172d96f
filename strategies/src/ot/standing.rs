//! Which edits stand behind what is displayed, and the changes reported when operations come. For reports only: it decides
//! nothing that is shown or sent.

use super::batch::Batch;
use super::names::{Names, Target};
use super::op::{CellOp, CounterOp, ElementOp, Ops, RegisterOp};
use crate::contract::{Change, Outbox};
use crate::document::{Cell, EditId, Value};
use crate::lineage::Lineage;
use std::collections::BTreeMap;

/// The revision of edits that the server has not ordered, as far as their author knows.
pub const UNDER_WAY: u64 = u64::MAX;

/// The edits behind what is displayed. Texts are missing: what a splice deletes its author saw.
#[derive(Debug, Default)]
pub struct Standing {
    /// The Put whose value is shown.
    pub registers: BTreeMap<Cell, EditId>,
    /// The additions that are in the sum, with the revision that each came with.
    pub counters: BTreeMap<Cell, Vec<(u64, EditId)>>,
    /// The insertions of elements that are shown.
    pub sets: BTreeMap<Cell, BTreeMap<Value, Lineage>>,
}

impl Standing {
    /// An edit made here became `ops`: reports what it hides.
    pub fn local(&mut self, id: EditId, ops: &Ops, revision: u64, out: &mut Outbox) {
        let mut gone = Vec::new();
        for (cell, op) in ops {
            match op {
                CellOp::Register(RegisterOp::Nothing) | CellOp::Text(_) => {}
                CellOp::Register(RegisterOp::Clear) => gone.extend(self.registers.remove(cell)),
                CellOp::Register(RegisterOp::Put(_)) => {
                    gone.extend(self.registers.insert(*cell, id));
                }
                CellOp::Counter(op) => {
                    let additions = self.counters.entry(*cell).or_default();
                    if op.left.is_some() {
                        gone.extend(additions.drain(..).map(|(_, id)| id));
                    }
                    if op.left.is_none() || op.add != 0 {
                        additions.push((revision, id));
                    }
                }
                CellOp::Set(elements) => {
                    let held = self.sets.entry(*cell).or_default();
                    for (element, op) in elements {
                        match op {
                            ElementOp::Nothing => {}
                            ElementOp::Insert => {
                                held.entry(element.clone()).or_default().insert(id);
                            }
                            ElementOp::Remove => {
                                let inserted = held.remove(element).unwrap_or_default();
                                gone.extend(inserted.iter());
                            }
                        }
                    }
                }
            }
        }
        for edit in gone {
            out.change(Change::Replaced { edit, by: id });
        }
    }

    /// A revision made elsewhere arrived as `ops` and was displayed as `shown`, which is less where edits of this replica that are
    /// still under way win; `own_winner` names the one that wins there. Reports everything that came and went.
    pub fn foreign(
        &mut self,
        revision: u64,
        ops: &Ops,
        shown: &Ops,
        names: &Names,
        own_winner: impl Fn(&Target) -> Option<EditId>,
        out: &mut Outbox,
    ) {
        let mut arrival = Arrival { revision, names, hidden: Lineage::new(), replaced: Vec::new() };
        for ((cell, op), shown) in ops.iter().zip(shown.values()) {
            match (op, shown) {
                (CellOp::Register(op), CellOp::Register(shown)) => {
                    self.register(*cell, op, shown, &own_winner, &mut arrival);
                }
                (CellOp::Counter(op), _) => self.counter(*cell, op, &mut arrival),
                (CellOp::Set(ops), CellOp::Set(shown)) => {
                    for ((element, op), shown) in ops.iter().zip(shown.values()) {
                        let target = (*cell, Some(element.clone()));
                        self.element(&target, *op, *shown, &own_winner, &mut arrival);
                    }
                }
                _ => {}
            }
        }
        for edit in names.all().minus(&arrival.hidden) {
            out.change(Change::Applied { edit });
        }
        for (edit, by) in arrival.replaced {
            if edit != by {
                out.change(Change::Replaced { edit, by });
            }
        }
    }

    fn register(
        &mut self,
        cell: Cell,
        op: &RegisterOp,
        shown: &RegisterOp,
        own_winner: &impl Fn(&Target) -> Option<EditId>,
        arrival: &mut Arrival,
    ) {
        let decider = arrival.within_the_batch(&(cell, None));
        match (op, shown) {
            (RegisterOp::Put(_), RegisterOp::Put(_)) => {
                let before = match decider {
                    Some(decider) => self.registers.insert(cell, decider),
                    None => self.registers.remove(&cell),
                };
                arrival.replaced(before, decider);
            }
            (RegisterOp::Put(_), _) => {
                arrival.hide(&(cell, None));
                arrival.replaced(decider, own_winner(&(cell, None)));
            }
            (RegisterOp::Clear, RegisterOp::Clear) => {
                arrival.replaced(self.registers.remove(&cell), decider);
            }
            (RegisterOp::Clear | RegisterOp::Nothing, _) => {}
        }
    }

    fn counter(&mut self, cell: Cell, op: &CounterOp, arrival: &mut Arrival) {
        let target = (cell, None);
        let decider = arrival.within_the_batch(&target);
        let additions = self.counters.entry(cell).or_default();
        if let Some(left) = &op.left {
            let stays = |revision: u64| {
                revision == UNDER_WAY
                    || left.iter().any(|addition| addition.revisions.contains(revision))
            };
            let taken = additions.extract_if(.., |(revision, _)| !stays(*revision));
            arrival.replaced(taken.map(|(_, id)| id), decider);
        }
        if let Some(names) = arrival.names.by_target.get(&target) {
            additions.extend(names.added.iter().map(|id| (arrival.revision, id)));
        }
    }

    fn element(
        &mut self,
        target: &Target,
        op: ElementOp,
        shown: ElementOp,
        own_winner: &impl Fn(&Target) -> Option<EditId>,
        arrival: &mut Arrival,
    ) {
        let (cell, Some(element)) = target else { return };
        let decider = arrival.within_the_batch(target);
        let held = self.sets.entry(*cell).or_default();
        match (op, shown) {
            (ElementOp::Insert, ElementOp::Insert) => {
                let inserted = held.entry(element.clone()).or_default();
                arrival.deciding(target, |names| inserted.extend(names));
            }
            (ElementOp::Remove, ElementOp::Remove) => {
                let inserted = held.remove(element).unwrap_or_default();
                arrival.replaced(inserted.iter(), decider);
            }
            (ElementOp::Insert, _) => match (held.get_mut(element), own_winner(target)) {
                // An insertion of this replica's own comes later and shows the same.
                (Some(inserted), _) => arrival.deciding(target, |names| inserted.extend(names)),
                (None, Some(own)) => {
                    let mut hidden = Lineage::new();
                    arrival.deciding(target, |names| hidden.extend(names));
                    arrival.hide(target);
                    arrival.replaced(hidden.iter(), Some(own));
                }
                (None, None) => {}
            },
            (ElementOp::Remove | ElementOp::Nothing, _) => {}
        }
    }

    /// A batch of this replica's own became a revision. Returns the work in units.
    pub fn landed(&mut self, batch: &Batch, number: u64) -> u64 {
        let mut work = 0;
        for (cell, op) in &batch.ops {
            let (CellOp::Counter(_), Some(names)) = (op, batch.names.by_target.get(&(*cell, None)))
            else {
                continue;
            };
            // What is under way came last, or nearly so.
            let mut left = names.added.len();
            for (revision, edit) in self.counters.entry(*cell).or_default().iter_mut().rev() {
                if left == 0 {
                    break;
                }
                work += 1;
                if *revision == UNDER_WAY && names.added.contains(*edit) {
                    *revision = number;
                    left -= 1;
                }
            }
        }
        work
    }

    /// The edits behind a register or counter.
    pub fn behind(&self, cell: Cell) -> Lineage {
        let mut behind = Lineage::new();
        let additions = self.counters.get(&cell).into_iter().flatten().map(|(_, edit)| edit);
        for edit in self.registers.get(&cell).into_iter().chain(additions) {
            behind.insert(*edit);
        }
        behind
    }
}

/// A revision whose arrival is being reported.
struct Arrival<'a> {
    revision: u64,
    names: &'a Names,
    /// Edits that were never shown here.
    hidden: Lineage,
    replaced: Vec<(EditId, EditId)>,
}

impl Arrival<'_> {
    /// The edit that decides a target, after reporting those that it replaced within the batch.
    fn within_the_batch(&mut self, target: &Target) -> Option<EditId> {
        let names = self.names.by_target.get(target)?;
        let decider = names.deciding.iter().next()?;
        self.replaced(names.gone.iter(), Some(decider));
        Some(decider)
    }

    fn deciding(&self, target: &Target, then: impl FnOnce(&Lineage)) {
        if let Some(names) = self.names.by_target.get(target) {
            then(&names.deciding);
        }
    }

    /// Nothing that the batch did to a target is shown here at any time.
    fn hide(&mut self, target: &Target) {
        if let Some(names) = self.names.by_target.get(target) {
            self.hidden.extend(&names.gone);
            self.hidden.extend(&names.deciding);
        }
    }

    fn replaced(&mut self, edits: impl IntoIterator<Item = EditId>, by: Option<EditId>) {
        // Without a name (they may be missing) nothing can be said.
        let edits = edits.into_iter().filter_map(|edit| Some((edit, by?)));
        self.replaced.extend(edits);
    }
}
