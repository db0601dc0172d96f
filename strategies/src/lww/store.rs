//! The document as last-writer-wins keeps it: one stamped value per cell, one stamped tombstone per deleted record. Merging takes the
//! greater stamp of each, so any order, any number of times, ends in the same document.

use super::digests::Digests;
use super::ids;
use super::stamp::{Stamp, StampClock, StampSource};
use super::updates::{RawContent, Updates};
use crate::contract::{Cargo, Change, Footprint, Malformed, Outbox, Seat, WallTime};
use crate::document::{
    Cell, Content, Edit, EditId, FieldId, FieldKind, PartitionId, RecordId, Rendering, ReplicaId,
    Schema, Scope,
};
use crate::lineage::Lineage;
use crate::wire::{Reader, Writer};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// One thing that is replicated as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// The tombstone of a record.
    Tombstone(RecordId),
    /// The value of a cell.
    Cell(Cell),
}

impl Place {
    pub fn write(self, writer: &mut Writer) {
        match self {
            Place::Tombstone(record) => {
                writer.byte(0);
                writer.uint(u64::from(record.0));
            }
            Place::Cell(cell) => {
                writer.byte(1);
                writer.cell(cell);
            }
        }
    }

    pub fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        match reader.byte()? {
            0 => reader.uint32().map(|record| Place::Tombstone(RecordId(record))),
            1 => reader.cell().map(Place::Cell),
            _ => Err(Malformed("unknown kind of place")),
        }
    }
}

/// The value of a cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub stamp: Stamp,
    pub content: Content,
    /// The edits it stands on; for reports only.
    pub lineage: Lineage,
}

impl Held {
    /// The edit that made this value, where it is known: its author's latest.
    fn head(&self) -> Option<EditId> {
        head(&self.lineage, self.stamp.replica)
    }
}

/// A deletion: hides whatever of its record is stamped at or below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tombstone {
    pub stamp: Stamp,
    /// The deletion itself, where it is known; for reports only.
    pub edit: Option<EditId>,
}

/// What a local edit or a received update did.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub place: Place,
    /// How what came compares with what was here: `Greater` means that it was taken.
    pub news: Ordering,
    /// Cells whose value a deletion hid and dropped.
    pub dropped: Vec<Cell>,
}

/// One replica's copy.
#[derive(Debug)]
pub(crate) struct Document {
    schema: Schema,
    pub clock: StampClock,
    pub cells: BTreeMap<Cell, Held>,
    pub tombstones: BTreeMap<RecordId, Tombstone>,
    digests: Digests,
    /// Sum over all cells.
    content_bytes: u64,
}

impl Document {
    /// What the seat's genesis says, stamped below everything.
    pub fn new(seat: &Seat<'_>, source: StampSource) -> Self {
        let mut document = Self::empty(seat, source);
        for (id, edit) in seat.genesis {
            let Some((cell, kind)) = target(seat.schema, edit) else { continue };
            let held = document.cells.entry(cell).or_insert_with(|| nothing(kind));
            stand_on(&mut held.lineage, *id, edit);
            held.content.apply(edit);
            document.digests.touch(cell);
        }
        document.content_bytes = document.cells.values().map(|held| held.content.bytes()).sum();
        document
    }

    fn empty(seat: &Seat<'_>, source: StampSource) -> Self {
        Document {
            schema: seat.schema.clone(),
            clock: StampClock::new(source, seat.replica, seat.incarnation),
            cells: BTreeMap::new(),
            tombstones: BTreeMap::new(),
            digests: Digests::default(),
            content_bytes: 0,
        }
    }

    /// Does what the user says. Changes of counters, sets and texts read the whole value, modify it and write it back with one new
    /// stamp.
    pub fn edit(
        &mut self,
        wall: WallTime,
        id: EditId,
        edit: &Edit,
        out: &mut Outbox,
    ) -> Result<Outcome, Malformed> {
        if let Edit::Delete { record } = edit {
            let held = self.cells.range(cells_of(*record)).map(|(_, held)| held.stamp.time).max();
            let seen = held.unwrap_or(0).max(self.tombstone_stamp(*record).time);
            let stamp = self.clock.stamp(wall, seen);
            let dropped = self.bury(*record, Tombstone { stamp, edit: Some(id) }, out);
            return Ok(Outcome {
                place: Place::Tombstone(*record),
                news: Ordering::Greater,
                dropped,
            });
        }
        let (cell, kind) =
            target(&self.schema, edit).ok_or(Malformed("the edit does not fit the schema"))?;
        let seen = self.tombstone_stamp(cell.record);
        let held = self.cells.entry(cell).or_insert_with(|| nothing(kind));
        held.stamp = self.clock.stamp(wall, held.stamp.max(seen).time);
        if matches!(edit, Edit::Put { .. }) {
            for edit in held.lineage.iter() {
                out.change(Change::Replaced { edit, by: id });
            }
        }
        stand_on(&mut held.lineage, id, edit);
        let before = held.content.bytes();
        held.content.apply(edit);
        self.content_bytes = self.content_bytes - before + held.content.bytes();
        // A text is searched for the position and moved; of the others only what is written counts.
        let moved = if kind == FieldKind::Text { before } else { edit.content_bytes() };
        out.work_bytes(moved as usize);
        self.digests.touch(cell);
        Ok(Outcome { place: Place::Cell(cell), news: Ordering::Greater, dropped: Vec::new() })
    }

    /// Takes whatever of a checked message is newer, and hands every outcome to `each`.
    pub fn merge(
        &mut self,
        wall: WallTime,
        updates: &Updates<'_>,
        cargo: &Cargo,
        out: &mut Outbox,
        mut each: impl FnMut(Outcome),
    ) {
        let mut unloader = ids::Unloader::new(cargo);
        for (element, &(record, stamp)) in updates.tombstones.iter().enumerate() {
            let edit = ids::one(unloader.element(element));
            self.clock.observe(stamp, wall);
            each(self.merge_tombstone(record, Tombstone { stamp, edit }, out));
        }
        let held = self.held_stamps(updates);
        for (element, &(cell, stamp, content)) in updates.cells.iter().enumerate() {
            let ids = unloader.element(updates.tombstones.len() + element);
            self.clock.observe(stamp, wall);
            out.work(1);
            let news = stamp.cmp(&held[element].max(self.tombstone_stamp(cell.record)));
            match news {
                Ordering::Less => self.report_loser(cell, &ids::lineage(ids), out),
                Ordering::Equal => {}
                Ordering::Greater => self.take(cell, stamp, content, ids::lineage(ids), out),
            }
            each(Outcome { place: Place::Cell(cell), news, dropped: Vec::new() });
        }
    }

    /// The stamps of the cells that a message speaks of. A few are looked up; for most of the document one walks along it.
    fn held_stamps(&self, updates: &Updates<'_>) -> Vec<Stamp> {
        let cells = updates.cells.iter().map(|(cell, ..)| *cell);
        if cells.len() < self.cells.len() / 8 {
            return cells.map(|cell| self.held_stamp(cell)).collect();
        }
        let mut along = self.cells.iter().peekable();
        cells
            .map(|cell| {
                while along.next_if(|(held, _)| **held < cell).is_some() {}
                let here = along.next_if(|(held, _)| **held == cell);
                here.map_or(Stamp::GENESIS, |(_, held)| held.stamp)
            })
            .collect()
    }

    fn merge_tombstone(&mut self, record: RecordId, new: Tombstone, out: &mut Outbox) -> Outcome {
        out.work(1);
        let news = new.stamp.cmp(&self.tombstone_stamp(record));
        let mut dropped = Vec::new();
        match news {
            Ordering::Less => {
                let by = self.tombstones[&record].edit;
                if let (Some(edit), Some(by)) = (new.edit, by) {
                    out.change(Change::Replaced { edit, by });
                }
            }
            Ordering::Equal => {}
            Ordering::Greater => {
                if let Some(edit) = new.edit {
                    out.change(Change::Applied { edit });
                }
                dropped = self.bury(record, new, out);
            }
        }
        Outcome { place: Place::Tombstone(record), news, dropped }
    }

    /// Puts up a tombstone, newer than the one that is there, and drops what it hides.
    fn bury(&mut self, record: RecordId, new: Tombstone, out: &mut Outbox) -> Vec<Cell> {
        let mut dropped = Vec::new();
        let mut replaced = |edit| {
            if let Some(by) = new.edit {
                out.change(Change::Replaced { edit, by });
            }
        };
        if let Some(edit) = self.tombstones.insert(record, new).and_then(|old| old.edit) {
            replaced(edit);
        }
        for (cell, held) in self.cells.range(cells_of(record)) {
            if held.stamp <= new.stamp {
                held.lineage.iter().for_each(&mut replaced);
                dropped.push(*cell);
            }
        }
        for cell in &dropped {
            let held = self.cells.remove(cell).expect("it was found above");
            self.content_bytes -= held.content.bytes();
            self.digests.touch(*cell);
        }
        out.work(1 + dropped.len() as u64);
        dropped
    }

    /// Reports the edits that arrived in a value which is older than what is here.
    fn report_loser(&self, cell: Cell, lineage: &Lineage, out: &mut Outbox) {
        let nothing = Lineage::new();
        let (held, by) = match self.cells.get(&cell) {
            Some(held) => (&held.lineage, held.head()),
            None => (&nothing, self.tombstones.get(&cell.record).and_then(|t| t.edit)),
        };
        if let Some(by) = by {
            for edit in lineage.minus(held) {
                out.change(Change::Replaced { edit, by });
            }
        }
    }

    /// Puts a newer value in the place of the one that is here.
    fn take(
        &mut self,
        cell: Cell,
        stamp: Stamp,
        content: RawContent<'_>,
        lineage: Lineage,
        out: &mut Outbox,
    ) {
        let new = Held { stamp, content: content.to_content(), lineage };
        out.work_bytes(content.len());
        self.content_bytes += new.content.bytes();
        self.digests.touch(cell);
        let by = new.head();
        let Some(held) = self.cells.get_mut(&cell) else {
            new.lineage.iter().for_each(|edit| out.change(Change::Applied { edit }));
            self.cells.insert(cell, new);
            return;
        };
        self.content_bytes -= held.content.bytes();
        for edit in new.lineage.minus(&held.lineage) {
            out.change(Change::Applied { edit });
        }
        if let Some(by) = by {
            for edit in held.lineage.minus(&new.lineage) {
                out.change(Change::Replaced { edit, by });
            }
        }
        *held = new;
    }

    fn held_stamp(&self, cell: Cell) -> Stamp {
        self.cells.get(&cell).map_or(Stamp::GENESIS, |held| held.stamp)
    }

    fn tombstone_stamp(&self, record: RecordId) -> Stamp {
        self.tombstones.get(&record).map_or(Stamp::GENESIS, |tombstone| tombstone.stamp)
    }

    /// The fields of every record.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    pub fn length(&self, cell: Cell) -> usize {
        self.cells.get(&cell).map_or(0, |held| held.content.length())
    }

    pub fn render(&self, scope: Scope, out: &mut Rendering) {
        for (cell, held) in self.cells.range(cells_in(scope)) {
            if scope.contains(*cell) {
                out.settled(*cell, held.content.clone());
            }
        }
    }

    pub fn fingerprint(&self, partition: PartitionId) -> u128 {
        match partition {
            PartitionId(0) => {
                self.digests.sum(|cell| self.cells.get(&cell).map(|held| &held.content))
            }
            _ => 0,
        }
    }

    /// Stamps and places in fixed-width form; lineages are for reports and cost nothing.
    pub fn footprint(&self) -> Footprint {
        Footprint {
            content_bytes: self.content_bytes,
            metadata_bytes: self.cells.len() as u64 * (16 + 6),
            history_bytes: self.tombstones.len() as u64 * (16 + 4),
        }
    }

    pub fn save(&self, writer: &mut Writer) {
        writer.uint(self.clock.last);
        writer.count(self.tombstones.len());
        for (record, tombstone) in &self.tombstones {
            writer.uint(u64::from(record.0));
            tombstone.stamp.write(writer);
            ids::write_one(writer, tombstone.edit);
        }
        writer.count(self.cells.len());
        for (cell, held) in &self.cells {
            writer.cell(*cell);
            held.stamp.write(writer);
            writer.content(&held.content);
            ids::write_lineage(writer, &held.lineage);
        }
    }

    pub fn restore(
        seat: &Seat<'_>,
        source: StampSource,
        reader: &mut Reader<'_>,
    ) -> Result<Self, Malformed> {
        let mut document = Self::empty(seat, source);
        document.clock.last = reader.uint()?;
        for _ in 0..reader.count(4)? {
            let record = RecordId(reader.uint32()?);
            let tombstone = Tombstone { stamp: Stamp::read(reader)?, edit: ids::read_one(reader)? };
            document.tombstones.insert(record, tombstone);
        }
        for _ in 0..reader.count(6)? {
            let cell = reader.cell()?;
            let stamp = Stamp::read(reader)?;
            let content = reader.content()?;
            if seat.schema.kind(cell.field) != Some(content.kind()) {
                return Err(Malformed("content of another kind"));
            }
            document.content_bytes += content.bytes();
            document.digests.touch(cell);
            let lineage = ids::read_lineage(reader)?;
            document.cells.insert(cell, Held { stamp, content, lineage });
        }
        Ok(document)
    }
}

/// The cell that an edit changes and its kind, where the schema has it and the edit is of that kind.
pub(crate) fn target(schema: &Schema, edit: &Edit) -> Option<(Cell, FieldKind)> {
    let cell = edit.cell()?;
    let kind = schema.kind(cell.field)?;
    let wanted = match edit {
        Edit::Put { .. } => FieldKind::Register,
        Edit::Add { .. } => FieldKind::Counter,
        Edit::Insert { .. } | Edit::Remove { .. } => FieldKind::Set,
        Edit::Splice { .. } => FieldKind::Text,
        Edit::Resolve { content, .. } => content.kind(),
        Edit::Delete { .. } => return None,
    };
    (kind == wanted).then_some((cell, kind))
}

/// Adds an edit to those that a value stands on. A `Put` leaves nothing of the value before it.
pub(crate) fn stand_on(lineage: &mut Lineage, id: EditId, edit: &Edit) {
    if matches!(edit, Edit::Put { .. }) {
        *lineage = Lineage::of(id);
    } else {
        lineage.insert(id);
    }
}

/// Where the cells of a record lie in a table.
pub(crate) fn cells_of(record: RecordId) -> RangeInclusive<Cell> {
    Cell { record, field: FieldId(0) }..=Cell { record, field: FieldId(u16::MAX) }
}

/// Where the cells of a scope lie in a table.
pub(crate) fn cells_in(scope: Scope) -> RangeInclusive<Cell> {
    match scope {
        Scope::All | Scope::Partition(_) => {
            *cells_of(RecordId(0)).start()..=*cells_of(RecordId(u32::MAX)).end()
        }
        Scope::Record(record) => cells_of(record),
        Scope::Cell(cell) => cell..=cell,
    }
}

fn nothing(kind: FieldKind) -> Held {
    Held { stamp: Stamp::GENESIS, content: kind.empty(), lineage: Lineage::new() }
}

fn head(lineage: &Lineage, author: ReplicaId) -> Option<EditId> {
    let after = lineage.ranges().partition_point(|(first, _)| first.origin <= author);
    let (first, last) = lineage.ranges().get(after.checked_sub(1)?)?;
    (first.origin == author).then_some(EditId { origin: author, sequence: *last })
}
