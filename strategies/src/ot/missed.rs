//! What the server remembers of revisions that it does not keep, for clients that were away too long and return: what was added to
//! each counter, which their own wipes need, and, for reports only, which edits there were.

use super::batch::Batch;
use super::codec::{read_tally, write_tally};
use super::content::Cells;
use super::names::TargetNames;
use super::op::{CellOp, ElementOp, RegisterOp, Tally};
use super::standing::Standing;
use crate::contract::{CargoIds, Malformed};
use crate::document::{Cell, Content, EditId, Value};
use crate::lineage::Lineage;
use crate::wire::{Reader, Writer};
use std::collections::BTreeMap;

/// What the elements of cargo behind a snapshot's targets speak of, in turns.
const CODES: u64 = 3;

/// What happened in a stretch of revisions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Missed {
    /// What became of each counter.
    pub tallies: BTreeMap<Cell, Tally>,
    /// Edits that nothing can hide, such as splices and deletions, in order of revisions. For reports only.
    lasting: Vec<(u64, EditId)>,
    /// The edit that emptied a register or counter last. For reports only.
    emptied: BTreeMap<Cell, EditId>,
}

impl Missed {
    /// Takes in one more revision.
    pub fn take(&mut self, revision: u64, batch: &Batch) {
        let mut lasting = batch.names.idle.clone();
        let unnamed = TargetNames::default();
        let names = |cell: &Cell, element: Option<&Value>| {
            batch.names.by_target.get(&(*cell, element.cloned())).unwrap_or(&unnamed)
        };
        for (cell, op) in &batch.ops {
            let lone = names(cell, None);
            match op {
                CellOp::Register(RegisterOp::Put(_)) => {}
                CellOp::Register(op) => {
                    lasting.extend(&lone.deciding);
                    if *op == RegisterOp::Clear {
                        self.emptied.extend(lone.deciding.iter().map(|edit| (*cell, edit)));
                    }
                }
                CellOp::Counter(op) => {
                    self.tallies.entry(*cell).or_default().take(revision, op);
                    if op.left.is_some() {
                        lasting.extend(&lone.deciding);
                        self.emptied.extend(lone.deciding.iter().map(|edit| (*cell, edit)));
                    }
                }
                CellOp::Set(elements) => {
                    for (element, op) in elements {
                        if *op != ElementOp::Insert {
                            lasting.extend(&names(cell, Some(element)).deciding);
                        }
                    }
                }
                CellOp::Text(_) => lasting.extend(&lone.added),
            }
        }
        self.lasting.extend(lasting.iter().map(|edit| (revision, edit)));
    }

    /// Bytes in memory, reports aside.
    pub fn bytes(&self) -> u64 {
        self.tallies.values().map(|tally| 14 + 24 * tally.left.len() as u64).sum()
    }

    /// Which edits a snapshot holds, as cargo. Element *n* speaks of the *n*-th target of the snapshot's cells; after these, in turns,
    /// numbers say with which revision an edit came, which cell an edit emptied, and behind which counter there are additions although it
    /// is not in the snapshot: their sum is zero.
    pub fn names(
        &self,
        since: u64,
        standing: &Standing,
        cells: &BTreeMap<Cell, Content>,
        schema: &Cells,
    ) -> Vec<CargoIds> {
        let mut cargo = Vec::new();
        let mut put = |element: u64, lineage: &Lineage| {
            let Ok(element) = u32::try_from(element) else { return };
            cargo.extend(lineage.cargo(element as usize));
        };
        let mut element = 0;
        let mut came: BTreeMap<u64, Lineage> = BTreeMap::new();
        for (cell, content) in cells {
            let Content::Set(elements) = content else {
                put(element, &standing.behind(*cell));
                element += 1;
                continue;
            };
            for value in elements {
                if let Some(inserted) = standing.sets.get(cell).and_then(|all| all.get(value)) {
                    put(element, inserted);
                }
                element += 1;
            }
        }
        let additions = standing.counters.values().flatten();
        for (revision, edit) in additions.chain(&self.lasting) {
            if *revision > since {
                came.entry(*revision).or_default().insert(*edit);
            }
        }
        for (revision, edits) in &came {
            put(element + CODES * revision, edits);
        }
        for (cell, edit) in &self.emptied {
            put(element + CODES * schema.number(*cell) + 1, &Lineage::of(*edit));
        }
        for cell in standing.counters.keys().filter(|cell| !cells.contains_key(cell)) {
            put(element + CODES * schema.number(*cell) + 2, &standing.behind(*cell));
        }
        cargo
    }

    /// Writes it all.
    pub fn write(&self, writer: &mut Writer) {
        writer.count(self.tallies.len());
        for (cell, tally) in &self.tallies {
            writer.cell(*cell);
            write_tally(tally, writer);
        }
        writer.count(self.lasting.len());
        for (revision, edit) in &self.lasting {
            writer.uint(*revision);
            writer.edit_id(*edit);
        }
        writer.count(self.emptied.len());
        for (cell, edit) in &self.emptied {
            writer.cell(*cell);
            writer.edit_id(*edit);
        }
    }

    /// Reads what [`Missed::write`] wrote.
    ///
    /// # Errors
    /// [`Malformed`] where the bytes say no such thing.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut missed = Missed::default();
        for _ in 0..reader.count(4)? {
            let cell = reader.cell()?;
            missed.tallies.insert(cell, read_tally(reader)?);
        }
        for _ in 0..reader.count(3)? {
            missed.lasting.push((reader.uint()?, reader.edit_id()?));
        }
        for _ in 0..reader.count(4)? {
            missed.emptied.insert(reader.cell()?, reader.edit_id()?);
        }
        Ok(missed)
    }
}

/// The names that came with a snapshot.
#[derive(Debug, Default)]
pub struct SnapshotNames {
    targets: BTreeMap<u64, Lineage>,
    /// With which revision edits came that the receiver may lack.
    pub came: BTreeMap<EditId, u64>,
    emptied: BTreeMap<u64, EditId>,
    /// The additions behind counters whose sum is zero, by the numbers of their cells.
    zeros: BTreeMap<u64, Lineage>,
}

impl SnapshotNames {
    /// Reads cargo, where the snapshot has so many targets.
    pub fn read(targets: u64, cargo: &[CargoIds]) -> Self {
        let mut names = SnapshotNames::default();
        for ids in cargo {
            let Some(lineage) = Lineage::of_cargo(ids) else { continue };
            let element = u64::from(ids.element);
            match element.checked_sub(targets) {
                None => names.targets.entry(element).or_default().extend(&lineage),
                Some(code) => {
                    let number = code / CODES;
                    match code % CODES {
                        0 => names.came.extend(lineage.iter().map(|edit| (edit, number))),
                        1 => names.emptied.extend(lineage.iter().take(1).map(|by| (number, by))),
                        _ => names.zeros.entry(number).or_default().extend(&lineage),
                    }
                }
            }
        }
        names
    }

    /// The edits behind a target, by its number.
    pub fn behind(&self, target: u64) -> Lineage {
        self.targets.get(&target).cloned().unwrap_or_default()
    }

    /// The edit that emptied a cell, by its number.
    pub fn emptied_by(&self, cell: u64) -> Option<EditId> {
        self.emptied.get(&cell).copied()
    }

    /// The counters whose sum is zero and behind which there are additions, by their numbers.
    pub fn zeros(&self) -> impl Iterator<Item = u64> + '_ {
        self.zeros.keys().copied()
    }

    /// The additions behind a counter whose sum is zero, by its number.
    pub fn behind_zero(&self, cell: u64) -> Lineage {
        self.zeros.get(&cell).cloned().unwrap_or_default()
    }
}
