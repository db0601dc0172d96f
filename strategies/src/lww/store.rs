//! What all last-writer-wins documents have in common: what is replicated as a whole, and what a replica asks of its copy.

use super::stamp::StampSource;
use crate::contract::{Cargo, Change, Footprint, Malformed, Outbox, Seat, WallTime};
use crate::document::{
    Cell, Content, Edit, EditId, FieldId, FieldKind, PartitionId, RecordId, Rendering, ReplicaId,
    Schema, Scope,
};
use crate::lineage::Lineage;
use crate::wire::{Reader, Writer};
use std::collections::BTreeSet;
use std::ops::RangeInclusive;

/// One thing that is replicated as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// A record: its tombstone, or where records win as a whole, all of it.
    Record(RecordId),
    /// The value of a cell.
    Cell(Cell),
}

impl Place {
    pub fn record(self) -> RecordId {
        match self {
            Place::Record(record) => record,
            Place::Cell(cell) => cell.record,
        }
    }

    pub fn write(self, writer: &mut Writer) {
        match self {
            Place::Record(record) => {
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
            0 => reader.uint32().map(|record| Place::Record(RecordId(record))),
            1 => reader.cell().map(Place::Cell),
            _ => Err(Malformed("unknown kind of place")),
        }
    }
}

/// How what came compares with what was here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// It is older.
    Stale,
    /// It is what was here.
    Same,
    /// It took the place of what was here.
    Taken,
    /// It was joined with what was here, and the sender lacks a part of what came of it.
    Joined,
}

/// What a local edit or a received update did.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub place: Place,
    pub news: News,
    /// Cells whose value a deletion hid and dropped.
    pub dropped: Vec<Cell>,
    /// Cells that a deletion emptied, and that have to tell so themselves.
    pub emptied: Vec<Cell>,
    /// Whether the place now holds nothing but the memory of a deletion.
    pub grave: bool,
}

impl Outcome {
    /// An outcome that concerns nothing but its place.
    pub fn of(place: Place, news: News) -> Self {
        Outcome { place, news, dropped: Vec::new(), emptied: Vec::new(), grave: false }
    }
}

/// In what a document differs from its neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rules {
    pub source: StampSource,
    /// Whether concurrent writes of critical fields are put before the user.
    pub asks: bool,
}

impl Rules {
    /// Rules that leave nothing to ask.
    pub const fn by(source: StampSource) -> Self {
        Rules { source, asks: false }
    }

    /// Whether an authority decides by the order in which writes arrive.
    pub fn orders_by_arrival(self) -> bool {
        matches!(self.source, StampSource::Arrival { .. })
    }
}

/// What became of a client's writes: the number that the client gave each, ascending, and the authority's number; none where the write has
/// been overwritten already.
pub(crate) type Receipts = Vec<(u64, Option<u64>)>;

/// One replica's copy of the document.
pub(crate) trait Store: Sized + Send {
    /// Updates as they were read from a message, not checked against the document yet.
    type Updates<'a>;

    /// What the seat's genesis says, stamped below everything.
    fn new(seat: &Seat<'_>, rules: Rules) -> Self;

    fn save(&self, writer: &mut Writer);

    fn restore(seat: &Seat<'_>, rules: Rules, reader: &mut Reader<'_>) -> Result<Self, Malformed>;

    /// Reads the updates that a message holds from here on.
    fn read<'a>(rules: Rules, reader: &mut Reader<'a>) -> Result<Self::Updates<'a>, Malformed>;

    /// Writes what was read.
    fn rewrite(rules: Rules, updates: &Self::Updates<'_>, writer: &mut Writer);

    /// Whether updates fit the schema and come from whom they may come.
    fn check(&self, from: ReplicaId, updates: &Self::Updates<'_>) -> Result<(), Malformed>;

    /// Writes the latest of some places, given in ascending order, and fills the cargo; gives back how many elements that has.
    fn write(
        &self,
        to: ReplicaId,
        places: &[Place],
        writer: &mut Writer,
        cargo: &mut Cargo,
    ) -> usize;

    /// Does what the user says. Changes of counters, sets and texts read the whole value, modify it and write it back with one new
    /// stamp.
    fn edit(
        &mut self,
        wall: WallTime,
        id: EditId,
        edit: &Edit,
        out: &mut Outbox,
    ) -> Result<Outcome, Malformed>;

    /// Takes whatever of checked updates is newer, and hands every outcome to `each`.
    fn merge(
        &mut self,
        wall: WallTime,
        from: ReplicaId,
        updates: &Self::Updates<'_>,
        cargo: &Cargo,
        out: &mut Outbox,
        each: impl FnMut(Outcome),
    );

    /// What an authority says of the writes in updates that it has merged; nothing where nobody awaits that.
    fn receipts(&self, _: &Self::Updates<'_>) -> Receipts {
        Receipts::new()
    }

    /// Takes note of what the authority said of the present value of a place; false where it said nothing and should have.
    fn settle(&mut self, _place: Place, _receipts: &Receipts, _: &mut Outbox) -> bool {
        true
    }

    /// All places that hold anything, in ascending order; if told so, without those that hold what they held in the beginning.
    fn places(&self, since_beginning: bool) -> Vec<Place>;

    /// The places that updates speak of, and how many elements of the cargo are theirs.
    fn named(updates: &Self::Updates<'_>) -> (BTreeSet<Place>, usize);

    /// Where the deletion is found that decides whether a place still holds what it holds.
    fn ruled_by(&self, place: Place) -> Place {
        place
    }

    /// The time of the deletion where a place holds nothing else, and nothing here waits for it.
    fn grave(&self, place: Place) -> Option<u64>;

    /// Whether the own clock has passed a time, so that no later write here will be stamped below it.
    fn has_passed(&self, wall: WallTime, time: u64) -> bool;

    /// Forgets a grave whose time has passed; gives back the deletion, where it is known.
    fn forget(&mut self, grave: Place) -> Option<EditId>;

    /// The latest time of a grave that was forgotten.
    fn forgotten(&self) -> u64;

    /// Learns what others have forgotten. Writes that are made from now on are later.
    fn learn_forgotten(&mut self, time: u64);

    /// Drops what a place holds, because it was deleted and the deletion forgotten. Leaves a grave just above it, and says where.
    fn purge(&mut self, place: Place, by: Option<EditId>, out: &mut Outbox) -> Place;

    /// Writes anew what a place holds and others have not seen, where it might else stand below a grave that they have forgotten.
    fn renew(&mut self, wall: WallTime, place: Place);

    fn length(&self, cell: Cell) -> usize;

    fn render(&self, scope: Scope, out: &mut Rendering);

    fn fingerprint(&self, partition: PartitionId) -> u128;

    /// Stamps and places in fixed-width form; lineages are for reports and cost nothing.
    fn footprint(&self) -> Footprint;
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

/// A user's edit of a value that stands on some edits. Returns its bytes before and after.
pub(crate) fn edit_value(
    content: &mut Content,
    lineage: &mut Lineage,
    id: EditId,
    edit: &Edit,
    out: &mut Outbox,
) -> (u64, u64) {
    if matches!(edit, Edit::Put { .. }) {
        for edit in lineage.iter() {
            out.change(Change::Replaced { edit, by: id });
        }
    }
    stand_on(lineage, id, edit);
    let before = content.bytes();
    content.apply(edit);
    // A text is searched for the position and moved; of the others only what is written counts.
    let moved = if content.kind() == FieldKind::Text { before } else { edit.content_bytes() };
    out.work_bytes(moved as usize);
    (before, content.bytes())
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

/// Where the records of a scope lie in a table.
pub(crate) fn records_in(scope: Scope) -> RangeInclusive<RecordId> {
    match scope {
        Scope::All | Scope::Partition(_) => RecordId(0)..=RecordId(u32::MAX),
        Scope::Record(record) => record..=record,
        Scope::Cell(cell) => cell.record..=cell.record,
    }
}

/// The edit that made a value, where it is known: its author's latest, or the last there is.
pub(crate) fn head(lineage: &Lineage, author: ReplicaId) -> Option<EditId> {
    let ranges = lineage.ranges();
    let after = ranges.partition_point(|(first, _)| first.origin <= author);
    let by_author = after.checked_sub(1).map(|at| ranges[at]);
    let (first, last) = by_author.filter(|(f, _)| f.origin == author).or(ranges.last().copied())?;
    Some(EditId { origin: first.origin, sequence: last })
}
