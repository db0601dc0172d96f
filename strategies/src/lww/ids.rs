//! Edit ids for reports only: how lineages ride in [`Cargo`] beside a message, and how they are saved.

use crate::contract::{Cargo, CargoIds, Malformed};
use crate::document::EditId;
use crate::lineage::Lineage;
use crate::wire::{Reader, Writer};

/// Puts the edits that an element stands on into the cargo.
pub(crate) fn load(cargo: &mut Cargo, element: usize, lineage: &Lineage) {
    cargo.ids.extend(lineage.cargo(element));
}

/// Puts one edit into the cargo, where it is known.
pub(crate) fn load_one(cargo: &mut Cargo, element: usize, edit: Option<EditId>) {
    cargo.ids.extend(edit.map(|first| CargoIds { element: element as u32, first, count: 1 }));
}

/// Hands out a cargo's ids element by element, in ascending order of elements; ids out of order are passed over.
#[derive(Debug)]
pub(crate) struct Unloader<'a> {
    ids: &'a [CargoIds],
}

impl<'a> Unloader<'a> {
    pub fn new(cargo: &'a Cargo) -> Self {
        Unloader { ids: &cargo.ids }
    }

    /// The ids of an element greater than all asked for before.
    pub fn element(&mut self, element: usize) -> &'a [CargoIds] {
        let before = self.ids.iter().take_while(|ids| (ids.element as usize) < element).count();
        let rest = &self.ids[before..];
        let here = rest.iter().take_while(|ids| ids.element as usize == element).count();
        self.ids = &rest[here..];
        &rest[..here]
    }
}

/// The lineage that one element's ids describe; empty where they make no sense.
pub(crate) fn lineage(ids: &[CargoIds]) -> Lineage {
    let ranges: Option<Vec<_>> = ids.iter().map(Lineage::range_of).collect();
    ranges.and_then(Lineage::from_ranges).unwrap_or_default()
}

/// The single edit that one element's ids describe, where they do.
pub(crate) fn one(ids: &[CargoIds]) -> Option<EditId> {
    ids.first().map(|ids| ids.first)
}

pub(crate) fn write_one(writer: &mut Writer, edit: Option<EditId>) {
    writer.byte(u8::from(edit.is_some()));
    if let Some(edit) = edit {
        writer.edit_id(edit);
    }
}

pub(crate) fn read_one(reader: &mut Reader<'_>) -> Result<Option<EditId>, Malformed> {
    match reader.byte()? {
        0 => Ok(None),
        1 => reader.edit_id().map(Some),
        _ => Err(Malformed("neither an edit id nor none")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::ReplicaId;

    fn id(origin: u32, sequence: u64) -> EditId {
        EditId { origin: ReplicaId(origin), sequence }
    }

    #[test]
    fn lineages_survive_cargo_and_storage() {
        let mut edits = Lineage::of(id(1, 5));
        for sequence in [6, 7, 9] {
            edits.insert(id(0, sequence));
        }
        let mut cargo = Cargo::default();
        load(&mut cargo, 1, &edits);
        load_one(&mut cargo, 4, Some(id(2, 1)));
        let mut unloader = Unloader::new(&cargo);
        assert!(unloader.element(0).is_empty());
        assert_eq!(lineage(unloader.element(1)), edits);
        assert_eq!(one(unloader.element(4)), Some(id(2, 1)));
        assert_eq!(one(unloader.element(5)), None);
        let mut writer = Writer::new();
        edits.write(&mut writer);
        assert_eq!(Lineage::read(&mut Reader::new(&writer.finish())), Ok(edits));
    }

    #[test]
    fn nonsense_ids_are_no_ids() {
        let range = |first, count| CargoIds { element: 0, first, count };
        for ids in [
            vec![range(id(0, 1), 0)],
            vec![range(id(0, u64::MAX), 2)],
            vec![range(id(0, 1), u64::MAX)],
            vec![range(id(1, 1), 1), range(id(0, 1), 1)],
        ] {
            assert!(lineage(&ids).is_empty(), "{ids:?}");
        }
    }
}
