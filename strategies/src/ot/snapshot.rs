//! Pieces of a replica's own snapshot as bytes.

use super::batch::Batch;
use super::codec::{read_ops, write_ops};
use super::content::Cells;
use super::names::{Names, TargetNames};
use super::standing::Standing;
use crate::contract::Malformed;
use crate::lineage::Lineage;
use crate::wire::{Reader, Writer};

/// Writes the displayed document.
pub fn write_cells(cells: &Cells, writer: &mut Writer) {
    let cells = cells.iter();
    writer.count(cells.len());
    for (cell, content) in cells {
        writer.cell(cell);
        writer.content(content);
    }
}

/// Reads the displayed document into an empty one.
///
/// # Errors
/// [`Malformed`] where the bytes are no document of its schema.
pub fn read_cells(reader: &mut Reader<'_>, cells: &mut Cells) -> Result<(), Malformed> {
    for _ in 0..reader.count(3)? {
        let cell = reader.cell()?;
        cells.load(cell, reader.content()?)?;
    }
    Ok(())
}

/// Writes which edits stand behind the document.
pub fn write_standing(standing: &Standing, writer: &mut Writer) {
    writer.count(standing.registers.len());
    for (cell, id) in &standing.registers {
        writer.cell(*cell);
        writer.edit_id(*id);
    }
    writer.count(standing.counters.len());
    for (cell, additions) in &standing.counters {
        writer.cell(*cell);
        writer.count(additions.len());
        for (revision, id) in additions {
            writer.uint(*revision);
            writer.edit_id(*id);
        }
    }
    writer.count(standing.sets.len());
    for (cell, elements) in &standing.sets {
        writer.cell(*cell);
        writer.count(elements.len());
        for (element, inserted) in elements {
            writer.str(element.as_str());
            inserted.write(writer);
        }
    }
}

/// Reads which edits stand behind the document.
///
/// # Errors
/// [`Malformed`] where the bytes say no such thing.
pub fn read_standing(reader: &mut Reader<'_>) -> Result<Standing, Malformed> {
    let mut standing = Standing::default();
    for _ in 0..reader.count(4)? {
        let cell = reader.cell()?;
        standing.registers.insert(cell, reader.edit_id()?);
    }
    for _ in 0..reader.count(3)? {
        let additions = standing.counters.entry(reader.cell()?).or_default();
        for _ in 0..reader.count(3)? {
            additions.push((reader.uint()?, reader.edit_id()?));
        }
    }
    for _ in 0..reader.count(3)? {
        let elements = standing.sets.entry(reader.cell()?).or_default();
        for _ in 0..reader.count(2)? {
            let element = reader.value()?;
            elements.insert(element, Lineage::read(reader)?);
        }
    }
    Ok(standing)
}

/// Writes a batch.
pub fn write_batch(batch: &Batch, writer: &mut Writer) {
    write_ops(&batch.ops, writer);
    writer.uint(batch.edits);
    batch.names.idle.write(writer);
    writer.count(batch.names.by_target.len());
    for ((cell, element), names) in &batch.names.by_target {
        writer.cell(*cell);
        writer.byte(u8::from(element.is_some()));
        if let Some(element) = element {
            writer.str(element.as_str());
        }
        for list in names.lists() {
            list.write(writer);
        }
    }
}

/// Reads a batch.
///
/// # Errors
/// [`Malformed`] where the bytes are not one.
pub fn read_batch(reader: &mut Reader<'_>) -> Result<Batch, Malformed> {
    let ops = read_ops(reader)?;
    let edits = reader.uint()?;
    let mut names = Names { idle: Lineage::read(reader)?, ..Names::default() };
    for _ in 0..reader.count(6)? {
        let cell = reader.cell()?;
        let element = match reader.byte()? {
            0 => None,
            _ => Some(reader.value()?),
        };
        let lists = TargetNames {
            gone: Lineage::read(reader)?,
            deciding: Lineage::read(reader)?,
            added: Lineage::read(reader)?,
        };
        names.by_target.insert((cell, element), lists);
    }
    Ok(Batch { ops, names, edits })
}
