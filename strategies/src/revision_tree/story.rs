//! Which edits a revision stands on. For reports only: it rides in cargo, is never looked at when deciding anything, and costs no work units and
//! no footprint, since CouchDB does not have it.

use crate::contract::{CargoIds, Malformed};
use crate::document::{EditId, FieldId};
use crate::lineage::Lineage;
use crate::wire::{Reader, Writer};
use std::collections::BTreeMap;

/// The edits behind one leaf.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Story {
    /// Those that each field's content stands on.
    pub fields: BTreeMap<FieldId, Lineage>,
    /// Deletes whose effect it respects: what came later does not undo them.
    pub deletes: Lineage,
    /// Of a tombstone: what it hides.
    pub gone: Lineage,
    /// The edit that made the revision.
    pub by: Option<EditId>,
    /// Edits of others that made the very same revision, of which only one can count. Never sent.
    pub twins: Lineage,
}

impl Story {
    /// Everything that it shows, deletes apart.
    pub fn contents(&self) -> Lineage {
        let mut all = Lineage::new();
        self.fields.values().for_each(|edits| all.extend(edits));
        all
    }

    /// Everything that it shows.
    pub fn edits(&self) -> Lineage {
        let mut all = self.contents();
        all.extend(&self.deletes);
        all
    }

    /// Whether it shows an edit.
    pub fn shows(&self, edit: EditId) -> bool {
        self.deletes.contains(edit) || self.fields.values().any(|edits| edits.contains(edit))
    }

    /// A delete takes the place of everything.
    pub fn delete(&mut self, edit: EditId) {
        self.gone = self.contents();
        self.fields.clear();
        self.deletes.insert(edit);
    }

    /// Appends it to a message's cargo as that of the `n`-th document, in a schema of so many fields.
    pub fn load(&self, n: usize, fields: usize, ids: &mut Vec<CargoIds>) {
        let first = n * width(fields);
        for (field, edits) in &self.fields {
            ids.extend(edits.cargo(first + usize::from(field.0)));
        }
        ids.extend(self.deletes.cargo(first + fields));
        ids.extend(self.gone.cargo(first + fields + 1));
        if let Some(by) = self.by {
            ids.extend(Lineage::of(by).cargo(first + fields + 2));
        }
    }

    /// The stories of so many documents from a message's cargo, whatever it holds.
    pub fn unload(documents: usize, fields: usize, ids: &[CargoIds]) -> Vec<Self> {
        let mut stories = vec![Story::default(); documents];
        for (element, edits) in unload_edits(ids) {
            let Some(story) = stories.get_mut(element / width(fields)) else { continue };
            let slot = element % width(fields);
            if slot < fields {
                story.fields.entry(FieldId(slot as u16)).or_default().extend(&edits);
            } else if slot == fields {
                story.deletes.extend(&edits);
            } else if slot == fields + 1 {
                story.gone.extend(&edits);
            } else {
                story.by = edits.iter().next();
            }
        }
        stories
    }

    pub fn save(&self, out: &mut Writer) {
        out.count(self.fields.len());
        for (field, edits) in &self.fields {
            out.uint(u64::from(field.0));
            edits.write(out);
        }
        for edits in [&self.deletes, &self.gone, &self.twins] {
            edits.write(out);
        }
        out.byte(u8::from(self.by.is_some()));
        self.by.iter().for_each(|by| out.edit_id(*by));
    }

    pub fn restore(bytes: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut story = Story::default();
        for _ in 0..bytes.count(2)? {
            let field = u16::try_from(bytes.uint()?).map_err(|_| Malformed("no such field"))?;
            story.fields.insert(FieldId(field), Lineage::read(bytes)?);
        }
        story.deletes = Lineage::read(bytes)?;
        story.gone = Lineage::read(bytes)?;
        story.twins = Lineage::read(bytes)?;
        story.by = if bytes.byte()? == 1 { Some(bytes.edit_id()?) } else { None };
        Ok(story)
    }
}

/// Elements of cargo for each document: its fields, deletes, what it hides, and who made it.
fn width(fields: usize) -> usize {
    fields + 3
}

/// The edits of each element of a message's cargo, in the order of the cargo; nonsense is left out.
pub fn unload_edits(ids: &[CargoIds]) -> Vec<(usize, Lineage)> {
    let mut all = Vec::new();
    for piece in ids.chunk_by(|a, b| a.element == b.element) {
        let ranges = piece.iter().filter_map(Lineage::range_of);
        if let Some(edits) = Lineage::from_ranges(ranges.collect()) {
            all.push((piece[0].element as usize, edits));
        }
    }
    all
}
