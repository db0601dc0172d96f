//! Which edits a batch consists of. For reports only: names travel in cargo and decide nothing.
//!
//! A *target* is a cell, or an element of a set: what one data element of a message speaks of. Operations never leave a batch, so
//! the targets of a message are the same to its sender and its receiver.

use super::op::{CellOp, ElementOp, Ops, RegisterOp};
use crate::contract::CargoIds;
use crate::document::{Cell, EditId, Value};
use crate::lineage::Lineage;
use std::collections::BTreeMap;

/// What one data element of a message speaks of.
pub type Target = (Cell, Option<Value>);

/// The edits of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Edits that decide nothing any more, or never did.
    pub idle: Lineage,
    /// Those behind each target.
    pub by_target: BTreeMap<Target, TargetNames>,
}

/// The edits behind one target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetNames {
    /// Those whose content was there within the batch and is gone.
    pub gone: Lineage,
    /// Those that say what the target is now: a Put, a Delete, an insertion, a removal.
    pub deciding: Lineage,
    /// Additions to a counter after that, or splices of a text.
    pub added: Lineage,
}

/// The lists of [`TargetNames`], in the order of cargo.
const LISTS: u32 = 3;

impl Names {
    /// Adds an edit that became `ops`. To be called before these are composed into `batch`.
    pub fn add(&mut self, id: EditId, ops: &Ops, batch: &Ops) {
        if ops.is_empty() {
            self.idle.insert(id);
        }
        for (cell, op) in ops {
            let before = batch.get(cell);
            match op {
                CellOp::Register(_) => {
                    let written = matches!(before, Some(CellOp::Register(RegisterOp::Put(_))));
                    self.decide((*cell, None), id, written);
                }
                CellOp::Counter(op) => {
                    if op.left.is_some() {
                        self.decide((*cell, None), id, false);
                        let names = self.by_target.entry((*cell, None)).or_default();
                        names.gone.extend(&std::mem::take(&mut names.added));
                    }
                    if op.left.is_none() || op.add != 0 {
                        self.by_target.entry((*cell, None)).or_default().added.insert(id);
                    }
                }
                CellOp::Set(elements) => {
                    for (element, op) in elements {
                        let before = match before {
                            Some(CellOp::Set(before)) => before.get(element),
                            _ => None,
                        };
                        let target = (*cell, Some(element.clone()));
                        if before == Some(op) {
                            self.by_target.entry(target).or_default().deciding.insert(id);
                        } else {
                            self.decide(target, id, before == Some(&ElementOp::Insert));
                        }
                    }
                }
                CellOp::Text(_) => {
                    self.by_target.entry((*cell, None)).or_default().added.insert(id);
                }
            }
        }
    }

    /// An edit takes the place of those that decided before, which had put something there (`shown`) or not.
    fn decide(&mut self, target: Target, id: EditId, shown: bool) {
        let names = self.by_target.entry(target).or_default();
        let before = std::mem::replace(&mut names.deciding, Lineage::of(id));
        if shown { &mut names.gone } else { &mut self.idle }.extend(&before);
    }

    /// Every edit, in order.
    pub fn all(&self) -> Lineage {
        let mut all = self.idle.clone();
        for names in self.by_target.values() {
            for list in names.lists() {
                all.extend(list);
            }
        }
        all
    }

    /// Writes the names into a message's cargo. `element` counts the elements of the message so far: one for the batch itself, and
    /// one for each of its targets.
    pub fn write(&self, ops: &Ops, element: &mut u32, cargo: &mut Vec<CargoIds>) {
        let mut put = |list: u32, names: &Lineage| {
            cargo.extend(names.cargo(list as usize));
        };
        put(*element * LISTS, &self.idle);
        *element += 1;
        for target in targets(ops) {
            if let Some(names) = self.by_target.get(&target) {
                for (list, lineage) in (0..).zip(names.lists()) {
                    put(*element * LISTS + list, lineage);
                }
            }
            *element += 1;
        }
    }
}

impl TargetNames {
    /// The three lists, in the order of cargo.
    pub fn lists(&self) -> [&Lineage; LISTS as usize] {
        [&self.gone, &self.deciding, &self.added]
    }
}

/// Everything that operations speak of, in the order of the message.
pub fn targets(ops: &Ops) -> impl Iterator<Item = Target> {
    ops.iter().flat_map(|(cell, op)| {
        let (lone, elements) = match op {
            CellOp::Set(elements) => (None, Some(elements)),
            _ => (Some((*cell, None)), None),
        };
        let elements = elements.into_iter().flat_map(BTreeMap::keys);
        lone.into_iter().chain(elements.map(|element| (*cell, Some(element.clone()))))
    })
}

/// Reads names from the cargo of a message, batch by batch.
pub struct CargoNames {
    /// In order of elements.
    ids: Vec<CargoIds>,
    element: u32,
}

impl CargoNames {
    /// Reads cargo from the start.
    pub fn new(cargo: &[CargoIds]) -> Self {
        let mut ids = cargo.to_vec();
        ids.sort_by_key(|ids| ids.element);
        CargoNames { ids, element: 0 }
    }

    /// The names of the next batch, whose operations are these.
    pub fn next(&mut self, ops: &Ops) -> Names {
        let mut names = Names { idle: self.list(0), by_target: BTreeMap::new() };
        self.element += 1;
        if self.ids.is_empty() {
            return names;
        }
        for target in targets(ops) {
            let lists =
                TargetNames { gone: self.list(0), deciding: self.list(1), added: self.list(2) };
            names.by_target.insert(target, lists);
            self.element += 1;
        }
        names
    }

    fn list(&self, list: u32) -> Lineage {
        let number = self.element.saturating_mul(LISTS).saturating_add(list);
        let from = self.ids.partition_point(|ids| ids.element < number);
        let mut lineage = Lineage::new();
        for ids in self.ids[from..].iter().take_while(|ids| ids.element == number) {
            lineage.extend(&Lineage::of_cargo(ids).unwrap_or_default());
        }
        lineage
    }
}

#[cfg(test)]
mod tests {
    use super::super::op::CounterOp;
    use super::*;
    use crate::document::{FieldId, RecordId, ReplicaId};

    fn id(sequence: u64) -> EditId {
        EditId { origin: ReplicaId(4), sequence }
    }

    fn cell(field: u16) -> Cell {
        Cell { record: RecordId(0), field: FieldId(field) }
    }

    fn batch(edits: &[(u64, Cell, CellOp)]) -> (Ops, Names) {
        let (mut ops, mut names) = (Ops::new(), Names::default());
        for (sequence, cell, op) in edits {
            names.add(id(*sequence), &[(*cell, op.clone())].into(), &ops);
            match ops.get_mut(cell) {
                Some(slot) => slot.compose(op.clone()),
                None => {
                    ops.insert(*cell, op.clone());
                }
            }
        }
        (ops, names)
    }

    #[test]
    fn names_survive_in_cargo() {
        let put = |text: &str| CellOp::Register(RegisterOp::Put(text.into()));
        let element = |text: &str, op| CellOp::Set([(text.into(), op)].into());
        let counter = |left: Option<Vec<_>>, add| CellOp::Counter(CounterOp { left, add });
        let (ops, names) = batch(&[
            (1, cell(0), put("a")),
            (2, cell(0), CellOp::Register(RegisterOp::Clear)),
            (5, cell(0), put("b")),
            (6, cell(1), counter(None, 3)),
            (7, cell(1), counter(Some(Vec::new()), 0)),
            (8, cell(1), counter(None, 4)),
            (9, cell(2), element("x", ElementOp::Insert)),
            (10, cell(2), element("y", ElementOp::Insert)),
            (12, cell(2), element("x", ElementOp::Remove)),
        ]);
        let register = &names.by_target[&(cell(0), None)];
        assert_eq!(
            (&register.gone, &register.deciding),
            (&Lineage::of(id(1)), &Lineage::of(id(5)))
        );
        assert_eq!(names.idle, Lineage::of(id(2)), "a clear that a later write undid");
        let counter = &names.by_target[&(cell(1), None)];
        assert_eq!(counter.gone, Lineage::of(id(6)));
        assert_eq!(counter.added, Lineage::of(id(8)));
        let x = &names.by_target[&(cell(2), Some("x".into()))];
        assert_eq!((&x.gone, &x.deciding), (&Lineage::of(id(9)), &Lineage::of(id(12))));
        assert_eq!(names.all().len(), 9);

        let (mut cargo, mut element) = (Vec::new(), 0);
        names.write(&ops, &mut element, &mut cargo);
        names.write(&ops, &mut element, &mut cargo);
        assert_eq!(element, 10, "twice the batch, its two lone cells and two elements");
        let mut read = CargoNames::new(&cargo);
        assert_eq!(read.next(&ops), names);
        assert_eq!(read.next(&ops), names);
    }
}
