//! The part that all messages of values share: deleted records and cells, each with its stamp. Read without copying any content.

use super::ids;
use super::stamp::Stamp;
use super::store::{Held, Tombstone};
use crate::contract::{Cargo, Malformed};
use crate::document::{Cell, Content, FieldKind, RecordId, Schema};
use crate::wire::{Reader, Writer};

/// What a message says, as it was read: checked, in ascending order, contents still in the message.
#[derive(Debug)]
pub(crate) struct Updates<'a> {
    pub tombstones: Vec<(RecordId, Stamp)>,
    pub cells: Vec<(Cell, Stamp, RawContent<'a>)>,
}

/// A content that was checked but not copied.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawContent<'a> {
    bytes: &'a [u8],
    kind: FieldKind,
}

impl<'a> RawContent<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
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

    /// Bytes it takes in the message.
    pub fn len(self) -> usize {
        self.bytes.len()
    }
}

impl<'a> Updates<'a> {
    /// Reads the updates that a message holds from here on.
    pub fn read(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let count = reader.count(3)?;
        let mut tombstones: Vec<(RecordId, Stamp)> = Vec::with_capacity(count);
        for _ in 0..count {
            let record = RecordId(reader.uint32()?);
            if tombstones.last().is_some_and(|(last, _)| *last >= record) {
                return Err(Malformed("deleted records are not ascending"));
            }
            tombstones.push((record, Stamp::read(reader)?));
        }
        let count = reader.count(5)?;
        let mut cells: Vec<(Cell, Stamp, RawContent<'a>)> = Vec::with_capacity(count);
        for _ in 0..count {
            let cell = reader.cell()?;
            if cells.last().is_some_and(|(last, ..)| *last >= cell) {
                return Err(Malformed("cells are not ascending"));
            }
            cells.push((cell, Stamp::read(reader)?, RawContent::read(reader)?));
        }
        Ok(Updates { tombstones, cells })
    }

    /// Whether every cell exists and is of the kind that its content says.
    pub fn check(&self, schema: &Schema) -> Result<(), Malformed> {
        let fits = |(cell, _, content): &(Cell, Stamp, RawContent<'_>)| {
            schema.kind(cell.field) == Some(content.kind)
        };
        if self.cells.iter().all(fits) { Ok(()) } else { Err(Malformed("content of another kind")) }
    }

    /// Writes what was read.
    pub fn write(&self, writer: &mut Writer) {
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
    }
}

/// Writes updates and fills the cargo: elements are the deleted records and then the cells, with the edits they stand on.
pub(crate) fn write<'a>(
    writer: &mut Writer,
    cargo: &mut Cargo,
    tombstones: impl ExactSizeIterator<Item = (RecordId, &'a Tombstone)>,
    cells: impl ExactSizeIterator<Item = (Cell, &'a Held)>,
) {
    let deleted = tombstones.len();
    cargo.elements += (deleted + cells.len()) as u64;
    writer.count(deleted);
    for (element, (record, tombstone)) in tombstones.enumerate() {
        writer.uint(u64::from(record.0));
        tombstone.stamp.write(writer);
        ids::load_one(cargo, element, tombstone.edit);
    }
    writer.count(cells.len());
    for (element, (cell, held)) in cells.enumerate() {
        writer.cell(cell);
        held.stamp.write(writer);
        writer.content(&held.content);
        cargo.content_bytes += held.content.bytes();
        // What everybody holds from the beginning is news to nobody.
        if held.stamp != Stamp::GENESIS {
            ids::load(cargo, deleted + element, &held.lineage);
        }
    }
}
