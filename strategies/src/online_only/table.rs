//! The cells that a server holds, or that a client shows.

use crate::contract::{Malformed, Seat};
use crate::document::{Cell, Content, EditId, FieldKind, PartitionId, Rendering, Schema, Scope};
use crate::lineage::Lineage;
use crate::lww::digests::Digests;
use crate::lww::ids;
use crate::lww::store::{cells_in, stand_on, target};
use crate::wire::{Reader, Writer};
use std::collections::BTreeMap;

/// One cell. A client's cell is a copy of the server's as of some revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub content: Content,
    /// The edits it stands on; for reports only.
    pub lineage: Lineage,
    /// The delete that emptied it last; for reports only.
    pub emptied_by: Option<EditId>,
}

impl Held {
    pub fn empty(kind: FieldKind) -> Self {
        Held { content: kind.empty(), lineage: Lineage::new(), emptied_by: None }
    }

    /// The edit that took the place of whatever was here before and is not in the lineage: of a register its last `Put`, of all else
    /// the delete before the lineage began.
    pub fn usurper(&self) -> Option<EditId> {
        let put = match self.content.kind() {
            FieldKind::Register => self.lineage.iter().last(),
            _ => None,
        };
        put.or(self.emptied_by)
    }
}

/// Cells by name.
#[derive(Debug, Default)]
pub(super) struct Table {
    cells: BTreeMap<Cell, Held>,
    digests: Digests,
    /// Sum over all cells.
    content_bytes: u64,
}

impl Table {
    /// What the seat's genesis says.
    pub fn new(seat: &Seat<'_>) -> Self {
        let mut table = Table::default();
        for (id, edit) in seat.genesis {
            let Some((cell, kind)) = target(seat.schema, edit) else { continue };
            table.modify(cell, kind, |held| {
                stand_on(&mut held.lineage, *id, edit);
                held.content.apply(edit);
            });
        }
        table
    }

    pub fn get(&self, cell: Cell) -> Option<&Held> {
        self.cells.get(&cell)
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = (Cell, &Held)> {
        self.cells.iter().map(|(cell, held)| (*cell, held))
    }

    /// The cells within a scope, in order.
    pub fn within(&self, scope: Scope) -> impl Iterator<Item = (Cell, &Held)> {
        let cells = self.cells.range(cells_in(scope)).map(|(cell, held)| (*cell, held));
        cells.filter(move |(cell, _)| scope.contains(*cell))
    }

    /// Changes a cell, which begins empty.
    pub fn modify(&mut self, cell: Cell, kind: FieldKind, change: impl FnOnce(&mut Held)) {
        let held = self.cells.entry(cell).or_insert_with(|| Held::empty(kind));
        self.content_bytes -= held.content.bytes();
        change(held);
        self.content_bytes += held.content.bytes();
        self.digests.touch(cell);
    }

    /// Puts a whole cell in its place; gives back what was there.
    pub fn replace(&mut self, cell: Cell, held: Held) -> Option<Held> {
        self.digests.touch(cell);
        self.content_bytes += held.content.bytes();
        let old = self.cells.insert(cell, held);
        self.content_bytes -= old.as_ref().map_or(0, |old| old.content.bytes());
        old
    }

    pub fn len(&self) -> u64 {
        self.cells.len() as u64
    }

    pub fn content_bytes(&self) -> u64 {
        self.content_bytes
    }

    pub fn length(&self, cell: Cell) -> usize {
        self.cells.get(&cell).map_or(0, |held| held.content.length())
    }

    pub fn render(&self, scope: Scope, out: &mut Rendering) {
        self.within(scope).for_each(|(cell, held)| out.settled(cell, held.content.clone()));
    }

    pub fn fingerprint(&self, partition: PartitionId) -> u128 {
        match partition {
            PartitionId(0) => {
                self.digests.sum(|cell| self.cells.get(&cell).map(|held| &held.content))
            }
            _ => 0,
        }
    }

    pub fn save(&self, writer: &mut Writer) {
        writer.count(self.cells.len());
        for (cell, held) in &self.cells {
            writer.cell(*cell);
            writer.content(&held.content);
            held.lineage.write(writer);
            ids::write_one(writer, held.emptied_by);
        }
    }

    pub fn restore(schema: &Schema, reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut table = Table::default();
        for _ in 0..reader.count(5)? {
            let cell = reader.cell()?;
            let content = reader.content()?;
            if schema.kind(cell.field) != Some(content.kind()) {
                return Err(Malformed("content of another kind"));
            }
            let lineage = Lineage::read(reader)?;
            let emptied_by = ids::read_one(reader)?;
            table.replace(cell, Held { content, lineage, emptied_by });
        }
        Ok(table)
    }
}
