//! What replicas say to each other, and the stored form of a cell.

use super::object::{Object, Version};
use super::story::Story;
use super::vector::{Actor, Vector};
use crate::contract::{CargoIds, Malformed};
use crate::document::{Cell, EditId};
use crate::lineage::Lineage;
use crate::wire::{Reader, Writer};

const UPDATE: u8 = 0;
const ACK: u8 = 1;
const ASK: u8 = 2;
const HEARD: u8 = 3;

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Cells that changed, whole, by ascending cell. To be answered with an [`Message::Ack`] of the same number.
    Update { batch: u64, cells: Vec<(Cell, Object)> },
    /// All batches up to this one have been taken in (over datagrams: this one, which holds all that earlier ones did).
    Ack { batch: u64 },
    /// The sender came back without its memory: everything is owed to it anew. To be answered with [`Message::Heard`].
    Ask { incarnation: u32 },
    /// The question was understood.
    Heard { incarnation: u32 },
}

impl Message {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        match self {
            Message::Update { batch, cells } => {
                update_head(*batch, cells.len(), &mut out);
                cells.iter().for_each(|(cell, object)| encode_object(*cell, object, &mut out));
            }
            Message::Ack { batch } => {
                out.byte(ACK);
                out.uint(*batch);
            }
            Message::Ask { incarnation } => {
                out.byte(ASK);
                out.uint(u64::from(*incarnation));
            }
            Message::Heard { incarnation } => {
                out.byte(HEARD);
                out.uint(u64::from(*incarnation));
            }
        }
        out.finish()
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut bytes = Reader::new(bytes);
        let message = match bytes.byte()? {
            UPDATE => {
                let batch = bytes.uint()?;
                Message::Update { batch, cells: decode_objects(&mut bytes)? }
            }
            ACK => Message::Ack { batch: bytes.uint()? },
            ASK => Message::Ask { incarnation: bytes.uint32()? },
            HEARD => Message::Heard { incarnation: bytes.uint32()? },
            _ => return Err(Malformed("unknown kind of message")),
        };
        bytes.end()?;
        Ok(message)
    }
}

/// Begins an [`Message::Update`] of so many cells, each to follow by [`encode_object`].
pub fn update_head(batch: u64, cells: usize, out: &mut Writer) {
    out.byte(UPDATE);
    out.uint(batch);
    out.count(cells);
}

/// Writes one cell: its vector, then its versions.
pub fn encode_object(cell: Cell, object: &Object, out: &mut Writer) {
    out.cell(cell);
    object.vector.encode(out);
    out.count(object.versions.len());
    for version in &object.versions {
        object.vector.encode_dot(version.dot, version.deleted, out);
        out.uint(version.events);
        out.uint(version.edit.sequence);
        out.content(&version.content);
    }
}

/// Reads what follows a number of cells.
pub fn decode_objects(bytes: &mut Reader<'_>) -> Result<Vec<(Cell, Object)>, Malformed> {
    // Two bytes of cell, a vector, a number of versions.
    let count = bytes.count(4)?;
    let mut cells: Vec<(Cell, Object)> = Vec::with_capacity(count);
    for _ in 0..count {
        let cell = bytes.cell()?;
        if cells.last().is_some_and(|(last, _)| *last >= cell) {
            return Err(Malformed("cells are not ascending"));
        }
        cells.push((cell, decode_object(bytes)?));
    }
    Ok(cells)
}

fn decode_object(bytes: &mut Reader<'_>) -> Result<Object, Malformed> {
    let vector = Vector::decode(bytes)?;
    // Place, counter, events, edit, content.
    let count = bytes.count(5)?;
    let mut versions: Vec<Version> = Vec::with_capacity(count);
    for _ in 0..count {
        let (dot, deleted) = vector.decode_dot(bytes)?;
        let events = bytes.uint()?;
        let edit = EditId { origin: dot.actor.replica, sequence: bytes.uint()? };
        let content = bytes.content()?;
        if events > vector.events() || (events == 0) != (dot.actor == Actor::GENESIS) {
            return Err(Malformed("version by an author who had seen too much"));
        }
        if deleted && !content.is_empty() {
            return Err(Malformed("deleted, yet not empty"));
        }
        let own = Lineage::of(edit);
        let story = if deleted {
            Story { deletes: own, ..Story::default() }
        } else {
            Story { stands_on: own, ..Story::default() }
        };
        let version = Version { dot, events, edit, deleted, content, story };
        if versions.last().is_some_and(|last| last.rank() <= version.rank()) {
            return Err(Malformed("versions are not in order"));
        }
        versions.push(version);
    }
    Ok(Object { vector, versions })
}

/// Reads the edits behind the versions of a message from its cargo. There are no more of them than events in the cell and edits
/// in the genesis.
pub fn unload_cargo(cells: &mut [(Cell, Object)], genesis_edits: u64, mut ids: &[CargoIds]) {
    let mut n = 0;
    for (_, object) in cells {
        let most = object.vector.events().saturating_add(genesis_edits);
        for version in &mut object.versions {
            version.story.unload(n, most, &mut ids);
            n += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{Content, FieldId, RecordId, ReplicaId};
    use crate::version_vector::vector::Dot;

    fn update() -> Message {
        let mut vector = Vector::default();
        let actor = |replica, incarnation| Actor { replica: ReplicaId(replica), incarnation };
        let version = |dot: Dot, events, content| Version {
            dot,
            events,
            edit: EditId { origin: dot.actor.replica, sequence: 300 },
            deleted: false,
            content,
            story: Story {
                stands_on: Lineage::of(EditId { origin: dot.actor.replica, sequence: 300 }),
                ..Story::default()
            },
        };
        let dots = [actor(3, 0), actor(1, 0), actor(1, 2)].map(|actor| vector.increment(actor));
        let versions = vec![
            version(dots[0], 3, Content::Text("añ😀".into())),
            version(dots[1], 1, Content::Text(String::new())),
            version(Dot::GENESIS, 0, Content::Text("old".into())),
        ];
        let cell = |record| Cell { record: RecordId(record), field: FieldId(0) };
        let gone = Version {
            deleted: true,
            story: Story {
                deletes: Lineage::of(EditId { origin: ReplicaId(1), sequence: 300 }),
                ..Story::default()
            },
            ..version(dots[2], 1, Content::Counter(0))
        };
        let cells = vec![
            (cell(1), Object { vector: vector.clone(), versions }),
            (cell(700), Object { vector, versions: vec![gone] }),
        ];
        Message::Update { batch: 12, cells }
    }

    #[test]
    fn messages_survive() {
        let others = [
            Message::Ack { batch: 300 },
            Message::Ask { incarnation: 2 },
            Message::Heard { incarnation: 2 },
        ];
        for message in [update()].into_iter().chain(others) {
            assert_eq!(Message::decode(&message.encode()).as_ref(), Ok(&message));
        }
    }

    #[test]
    fn what_is_decoded_is_encoded_to_the_same_bytes_or_refused() {
        let bytes = update().encode();
        for length in 0..bytes.len() {
            assert!(Message::decode(&bytes[..length]).is_err(), "cut to {length}");
        }
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << bit;
                if let Ok(message) = Message::decode(&flipped) {
                    assert_eq!(message.encode(), flipped, "bit {bit} of byte {at}");
                }
            }
        }
    }
}
