//! The wire form of cells that are written one by one: deleted records and cells, each with its stamp. Read without copying any content.
//!
//! Before them stands, where an authority orders writes by arrival, up to which number it has taken the receiver's writes; after them come
//! critical cells, where the user is asked.

use super::ids;
use super::siblings::{Held, Seen, Siblings};
use super::stamp::Stamp;
use super::store::Rules;
use crate::contract::{Cargo, Malformed};
use crate::document::{Cell, Content, EditId, FieldKind, RecordId, Schema};
use crate::lineage::Lineage;
use crate::wire::{Reader, Writer};

/// A deletion: hides whatever of its record is stamped below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tombstone {
    pub stamp: Stamp,
    /// The deletion itself, where it is known; for reports only.
    pub edit: Option<EditId>,
}

/// What a message says, as it was read: checked, in ascending order, contents still in the message.
#[derive(Debug, Default)]
pub(crate) struct Updates<'a> {
    /// The number up to which the authority has taken the receiver's writes.
    pub arrived: u64,
    pub tombstones: Vec<(RecordId, Stamp)>,
    pub cells: Vec<(Cell, Stamp, RawContent<'a>)>,
    pub critical: Vec<(Cell, RawSiblings<'a>)>,
}

/// What to send, in ascending order.
#[derive(Debug, Default)]
pub(crate) struct Selection<'a> {
    pub arrived: u64,
    pub tombstones: Vec<(RecordId, &'a Tombstone)>,
    pub cells: Vec<(Cell, &'a Held)>,
    pub critical: Vec<(Cell, &'a Siblings)>,
}

/// A content that was checked but not copied.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawContent<'a> {
    bytes: &'a [u8],
    kind: FieldKind,
}

/// A critical cell whose contents were checked but not copied.
#[derive(Clone, Debug)]
pub(crate) struct RawSiblings<'a> {
    pub seen: Seen,
    /// Only what was seen, the greatest stamp first.
    pub versions: Vec<(Stamp, RawContent<'a>)>,
}

impl<'a> RawSiblings<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let seen = Seen::read(reader)?;
        let mut versions: Vec<(Stamp, RawContent<'a>)> = Vec::new();
        for _ in 0..reader.count(2)? {
            let stamp = seen.read_one(reader)?;
            if versions.last().is_some_and(|(last, _)| *last <= stamp) {
                return Err(Malformed("versions out of order"));
            }
            versions.push((stamp, RawContent::read(reader)?));
        }
        Ok(RawSiblings { seen, versions })
    }

    fn write(&self, writer: &mut Writer) {
        self.seen.write(writer);
        writer.count(self.versions.len());
        for (stamp, content) in &self.versions {
            self.seen.write_one(*stamp, writer);
            writer.content(&content.to_content());
        }
    }

    /// The cell, its contents copied.
    pub fn to_siblings(
        &self,
        emptied: Option<EditId>,
        mut lineage: impl FnMut() -> Lineage,
    ) -> Siblings {
        let held = |(stamp, content): &(Stamp, RawContent<'_>)| Held {
            stamp: *stamp,
            content: content.to_content(),
            lineage: lineage(),
        };
        let versions = self.versions.iter().map(held).collect();
        Siblings::new(versions, self.seen.clone(), emptied)
            .expect("it was checked when it was read")
    }
}

impl<'a> RawContent<'a> {
    pub fn read(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let mut start = reader.clone();
        let kind = match reader.byte()? {
            0 => FieldKind::Register,
            1 => {
                reader.str()?;
                FieldKind::Register
            }
            2 => {
                reader.int()?;
                FieldKind::Counter
            }
            3 => {
                let mut last = None;
                for _ in 0..reader.count(1)? {
                    let element = reader.str()?;
                    if last.is_some_and(|last| last >= element) {
                        return Err(Malformed("set elements are not ascending"));
                    }
                    last = Some(element);
                }
                FieldKind::Set
            }
            4 => {
                reader.str()?;
                FieldKind::Text
            }
            _ => return Err(Malformed("unknown kind of content")),
        };
        let bytes = start.raw(start.remaining() - reader.remaining())?;
        Ok(RawContent { bytes, kind })
    }

    /// The content, copied.
    pub fn to_content(self) -> Content {
        Reader::new(self.bytes).content().expect("it was checked when the message was read")
    }

    pub fn kind(self) -> FieldKind {
        self.kind
    }

    /// Bytes it takes in the message.
    pub fn len(self) -> usize {
        self.bytes.len()
    }
}

impl<'a> Updates<'a> {
    /// Reads the updates that a message holds from here on.
    pub fn read(rules: Rules, reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let mut updates = Updates::default();
        if rules.orders_by_arrival() {
            updates.arrived = reader.uint()?;
        }
        let count = reader.count(3)?;
        updates.tombstones.reserve_exact(count);
        for _ in 0..count {
            let record = RecordId(reader.uint32()?);
            if updates.tombstones.last().is_some_and(|(last, _)| *last >= record) {
                return Err(Malformed("deleted records are not ascending"));
            }
            updates.tombstones.push((record, Stamp::read(reader)?));
        }
        let count = reader.count(5)?;
        updates.cells.reserve_exact(count);
        for _ in 0..count {
            let cell = reader.cell()?;
            if updates.cells.last().is_some_and(|(last, ..)| *last >= cell) {
                return Err(Malformed("cells are not ascending"));
            }
            updates.cells.push((cell, Stamp::read(reader)?, RawContent::read(reader)?));
        }
        if rules.asks {
            for _ in 0..reader.count(4)? {
                let cell = reader.cell()?;
                if updates.critical.last().is_some_and(|(last, _)| *last >= cell) {
                    return Err(Malformed("cells are not ascending"));
                }
                updates.critical.push((cell, RawSiblings::read(reader)?));
            }
        }
        Ok(updates)
    }

    /// Whether every cell exists, is of the kind that its content says, and is critical exactly where it says so.
    pub fn check(&self, rules: Rules, schema: &Schema) -> Result<(), Malformed> {
        let critical = |cell: Cell| rules.asks && schema.is_critical(cell.field);
        let fits =
            |cell: Cell, content: &RawContent<'_>| schema.kind(cell.field) == Some(content.kind);
        let plain = |(cell, _, content): &(Cell, Stamp, RawContent<'_>)| {
            fits(*cell, content) && !critical(*cell)
        };
        let asked = |(cell, siblings): &(Cell, RawSiblings<'_>)| {
            critical(*cell) && siblings.versions.iter().all(|(_, content)| fits(*cell, content))
        };
        if self.cells.iter().all(plain) && self.critical.iter().all(asked) {
            Ok(())
        } else {
            Err(Malformed("content of another kind"))
        }
    }

    /// Writes what was read.
    pub fn write(&self, rules: Rules, writer: &mut Writer) {
        if rules.orders_by_arrival() {
            writer.uint(self.arrived);
        }
        writer.count(self.tombstones.len());
        for (record, stamp) in &self.tombstones {
            writer.uint(u64::from(record.0));
            stamp.write(writer);
        }
        writer.count(self.cells.len());
        for (cell, stamp, content) in &self.cells {
            writer.cell(*cell);
            stamp.write(writer);
            writer.content(&content.to_content());
        }
        if rules.asks {
            writer.count(self.critical.len());
            for (cell, siblings) in &self.critical {
                writer.cell(*cell);
                siblings.write(writer);
            }
        }
    }
}

impl Selection<'_> {
    /// Writes updates and fills the cargo. Elements are the deleted records, the cells, and then for each critical cell the deletion that
    /// emptied it and its versions, with the edits that these stand on. Gives back how many elements there are.
    pub fn write(&self, rules: Rules, writer: &mut Writer, cargo: &mut Cargo) -> usize {
        if rules.orders_by_arrival() {
            writer.uint(self.arrived);
        }
        let mut element = 0;
        writer.count(self.tombstones.len());
        for (record, tombstone) in &self.tombstones {
            writer.uint(u64::from(record.0));
            tombstone.stamp.write(writer);
            ids::load_one(cargo, element, tombstone.edit);
            element += 1;
        }
        writer.count(self.cells.len());
        for (cell, held) in &self.cells {
            writer.cell(*cell);
            held.stamp.write(writer);
            writer.content(&held.content);
            load(cargo, element, held);
            element += 1;
        }
        if rules.asks {
            writer.count(self.critical.len());
        }
        for (cell, siblings) in &self.critical {
            writer.cell(*cell);
            siblings.seen().write(writer);
            writer.count(siblings.versions().len());
            ids::load_one(cargo, element, siblings.emptied());
            element += 1;
            for version in siblings.versions() {
                siblings.seen().write_one(version.stamp, writer);
                writer.content(&version.content);
                load(cargo, element, version);
                element += 1;
            }
        }
        cargo.elements += (self.tombstones.len() + self.cells.len() + self.critical.len()) as u64;
        element
    }
}

fn load(cargo: &mut Cargo, element: usize, held: &Held) {
    cargo.content_bytes += held.content.bytes();
    // What everybody holds from the beginning is news to nobody.
    if held.stamp != Stamp::GENESIS {
        ids::load(cargo, element, &held.lineage);
    }
}
