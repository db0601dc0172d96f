//! What replicas say to each other, and the stored form of a cell.

use super::object::{Naming, Object};
use super::story::Story;
use super::vector::{Actor, Context, Vector};
use super::version::{Version, Write};
use crate::contract::{CargoIds, Malformed};
use crate::document::{Cell, Content, EditId, FieldId, RecordId, ReplicaId};
use crate::wire::{Reader, Writer};

const UPDATE: u8 = 0;
const ACK: u8 = 1;
const ASK: u8 = 2;
const HEARD: u8 = 3;
const PUTS: u8 = 4;
const FILED: u8 = 5;

/// The version is a tombstone.
const DELETED: u8 = 1;
/// Its edit was made by somebody else than the actor of its dot.
const FOREIGN: u8 = 2;
/// Its content is left out: the receiver has just sent it.
const YOURS: u8 = 4;

/// More clocks beside each other than any network makes in one cell.
const MOST_CLOCKS: usize = 1000;

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
    /// Edits by the sender's user, for the receiver to coordinate, by ascending serial number. To be answered with [`Message::Filed`].
    Puts { puts: Vec<Put> },
    /// All puts up to this serial number are filed. These are their cells as they are now, by ascending cell.
    Filed { serial: u64, cells: Vec<(Cell, Object)>, yours: Vec<EditId> },
}

/// One edit for a coordinator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Put {
    /// Its number among the puts that its author sent.
    pub serial: u64,
    pub cell: Cell,
    /// What the author had seen.
    pub context: Context,
    /// The sequence of the edit; the sender is its origin.
    pub sequence: u64,
    pub deleted: bool,
    pub content: Content,
}

impl Put {
    /// Its cell, its context, the write that it asks for, and its serial number.
    pub fn into_write(self, author: ReplicaId, mut story: Story) -> (Cell, Context, Write, u64) {
        let edit = EditId { origin: author, sequence: self.sequence };
        own_edit(edit, self.deleted, &mut story);
        let write = Write { edit, deleted: self.deleted, content: self.content, story };
        (self.cell, self.context, write, self.serial)
    }
}

/// A version stands on its own edit, or respects it.
fn own_edit(edit: EditId, deleted: bool, story: &mut Story) {
    let chapter = if deleted { &mut story.deletes } else { &mut story.stands_on };
    chapter.insert(edit);
}

impl Message {
    pub fn encode(&self, naming: Naming) -> Vec<u8> {
        let mut out = Writer::new();
        match self {
            Message::Update { batch, cells } => {
                update_head(*batch, &mut out);
                encode_objects(naming, cells.iter().map(|(c, o)| (*c, o)), &[], &mut out);
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
            Message::Puts { puts } => {
                out.byte(PUTS);
                out.count(puts.len());
                let mut last = 0;
                for put in puts {
                    out.uint(put.serial - last);
                    last = put.serial;
                    encode_put(put, &mut out);
                }
            }
            Message::Filed { serial, cells, yours } => {
                filed_head(*serial, &mut out);
                encode_objects(naming, cells.iter().map(|(c, o)| (*c, o)), yours, &mut out);
            }
        }
        out.finish()
    }

    pub fn decode(naming: Naming, bytes: &[u8]) -> Result<Self, Malformed> {
        let mut bytes = Reader::new(bytes);
        let mut yours = Vec::new();
        let message = match bytes.byte()? {
            UPDATE => {
                let batch = bytes.uint()?;
                Message::Update { batch, cells: decode_objects(naming, &mut bytes, &mut yours)? }
            }
            ACK => Message::Ack { batch: bytes.uint()? },
            ASK => Message::Ask { incarnation: bytes.uint32()? },
            HEARD => Message::Heard { incarnation: bytes.uint32()? },
            PUTS => Message::Puts { puts: decode_puts(&mut bytes)? },
            FILED => {
                let serial = bytes.uint()?;
                let cells = decode_objects(naming, &mut bytes, &mut yours)?;
                Message::Filed { serial, cells, yours: std::mem::take(&mut yours) }
            }
            _ => return Err(Malformed("unknown kind of message")),
        };
        bytes.end()?;
        if !yours.is_empty() {
            return Err(Malformed("content left out"));
        }
        Ok(message)
    }
}

/// Begins a [`Message::Update`], to be followed by [`encode_objects`].
pub fn update_head(batch: u64, out: &mut Writer) {
    out.byte(UPDATE);
    out.uint(batch);
}

/// Begins a [`Message::Filed`], to be followed by [`encode_objects`].
pub fn filed_head(serial: u64, out: &mut Writer) {
    out.byte(FILED);
    out.uint(serial);
}

/// Writes cells by ascending cell, without the contents of the versions made by the edits in `yours`.
pub fn encode_objects<'a>(
    naming: Naming,
    cells: impl ExactSizeIterator<Item = (Cell, &'a Object)>,
    yours: &[EditId],
    out: &mut Writer,
) {
    out.count(cells.len());
    let mut last = 0;
    for (cell, object) in cells {
        out.uint(u64::from(cell.record.0 - last));
        last = cell.record.0;
        out.uint(u64::from(cell.field.0));
        match naming {
            Naming::Dots => {
                object.vector.encode(out);
                let versions = object.versions.iter();
                encode_versions(&object.vector, versions.collect(), yours, out);
            }
            Naming::Clocks => {
                let clocks = object.clocks();
                out.count(clocks.len());
                for clock in &clocks {
                    clock.encode(out);
                    let versions = object.versions.iter().filter(|v| v.clock == *clock);
                    encode_versions(clock, versions.collect(), yours, out);
                }
            }
        }
    }
}

fn encode_versions(vector: &Vector, versions: Vec<&Version>, yours: &[EditId], out: &mut Writer) {
    out.count(versions.len());
    for version in versions {
        let foreign = version.edit.origin != version.dot.actor.replica;
        let omitted = yours.contains(&version.edit);
        let flags = [(version.deleted, DELETED), (foreign, FOREIGN), (omitted, YOURS)];
        let flags = flags.iter().filter(|(on, _)| *on).map(|(_, flag)| flag).sum();
        vector.encode_dot(version.dot, flags, out);
        out.uint(version.events);
        if foreign {
            out.replica(version.edit.origin);
        }
        out.uint(version.edit.sequence);
        if !omitted {
            out.content(&version.content);
        }
    }
}

/// Reads what [`encode_objects`] wrote. Contents that were left out are empty, and their edits are added to `yours`.
pub fn decode_objects(
    naming: Naming,
    bytes: &mut Reader<'_>,
    yours: &mut Vec<EditId>,
) -> Result<Vec<(Cell, Object)>, Malformed> {
    // Two bytes of cell, a vector or number of clocks, a number of versions.
    let count = bytes.count(3)?;
    let mut cells: Vec<(Cell, Object)> = Vec::with_capacity(count);
    for _ in 0..count {
        let last = cells.last().map(|(cell, _)| *cell);
        let step = bytes.uint32()?;
        let record = last.map_or(0, |last| last.record.0).checked_add(step);
        let record = RecordId(record.ok_or(Malformed("record number out of range"))?);
        let field = u16::try_from(bytes.uint()?);
        let field = FieldId(field.map_err(|_| Malformed("field number out of range"))?);
        let cell = Cell { record, field };
        if last.is_some_and(|last| last >= cell) {
            return Err(Malformed("cells are not ascending"));
        }
        let object = match naming {
            Naming::Dots => {
                let vector = Vector::decode(bytes)?;
                let versions = decode_versions(&vector, false, bytes, yours)?;
                Object { vector, versions }
            }
            Naming::Clocks => decode_clocks(bytes, yours)?,
        };
        cells.push((cell, object));
    }
    Ok(cells)
}

fn decode_clocks(bytes: &mut Reader<'_>, yours: &mut Vec<EditId>) -> Result<Object, Malformed> {
    let count = bytes.count(2)?;
    if count > MOST_CLOCKS {
        return Err(Malformed("too many clocks in a cell"));
    }
    let mut clocks: Vec<Vector> = Vec::with_capacity(count);
    let mut object = Object::default();
    for _ in 0..count {
        let clock = Vector::decode(bytes)?;
        if clocks.last().is_some_and(|last| last.entries() >= clock.entries()) {
            return Err(Malformed("clocks are not in order"));
        }
        if clocks.iter().any(|other| other.partial_cmp(&clock).is_some()) {
            return Err(Malformed("a clock that another one replaces"));
        }
        let versions = decode_versions(&clock, true, bytes, yours)?;
        if versions.is_empty() {
            return Err(Malformed("a clock of nothing"));
        }
        object.vector.join(&clock);
        object.versions.extend(versions);
        clocks.push(clock);
    }
    object.versions.sort_by_key(|version| std::cmp::Reverse(version.rank()));
    if object.versions.windows(2).any(|pair| pair[0].dot == pair[1].dot) {
        return Err(Malformed("an event made two versions"));
    }
    Ok(object)
}

fn decode_versions(
    vector: &Vector,
    clocked: bool,
    bytes: &mut Reader<'_>,
    yours: &mut Vec<EditId>,
) -> Result<Vec<Version>, Malformed> {
    // Place, counter, events, edit.
    let count = bytes.count(4)?;
    let mut versions: Vec<Version> = Vec::with_capacity(count);
    for _ in 0..count {
        let (dot, flags) = vector.decode_dot(bytes)?;
        let deleted = flags & DELETED != 0;
        let events = bytes.uint()?;
        let mut origin = dot.actor.replica;
        if flags & FOREIGN != 0 {
            origin = bytes.replica()?;
            if origin == dot.actor.replica {
                return Err(Malformed("a coordinator's own edit as somebody else's"));
            }
        }
        let edit = EditId { origin, sequence: bytes.uint()? };
        let content = if flags & YOURS != 0 {
            yours.push(edit);
            Content::Register(None)
        } else {
            bytes.content()?
        };
        if events > vector.events() || (events == 0) != (dot.actor == Actor::GENESIS) {
            return Err(Malformed("version by an author who had seen too much"));
        }
        if deleted && !content.is_empty() {
            return Err(Malformed("deleted, yet not empty"));
        }
        let mut story = Story::default();
        own_edit(edit, deleted, &mut story);
        let clock = if clocked { vector.clone() } else { Vector::default() };
        let version = Write { edit, deleted, content, story }.into_version(dot, clock, events);
        if versions.last().is_some_and(|last| last.rank() <= version.rank()) {
            return Err(Malformed("versions are not in order"));
        }
        versions.push(version);
    }
    Ok(versions)
}

fn encode_put(put: &Put, out: &mut Writer) {
    out.cell(put.cell);
    put.context.vector.encode(out);
    out.count(put.context.open.len());
    for dot in &put.context.open {
        put.context.vector.encode_dot(*dot, 0, out);
    }
    out.uint(put.sequence);
    out.byte(u8::from(put.deleted));
    out.content(&put.content);
}

fn decode_puts(bytes: &mut Reader<'_>) -> Result<Vec<Put>, Malformed> {
    // Serial, cell, vector, number of open events, edit, whether deleted, content.
    let count = bytes.count(8)?;
    let mut puts: Vec<Put> = Vec::with_capacity(count);
    for _ in 0..count {
        let step = bytes.uint()?;
        let last = puts.last().map_or(0, |put| put.serial);
        let serial = last.checked_add(step).ok_or(Malformed("serial number out of range"))?;
        if serial == u64::MAX || step == 0 && !puts.is_empty() {
            return Err(Malformed("puts are not ascending"));
        }
        let cell = bytes.cell()?;
        let mut context = Context { vector: Vector::decode(bytes)?, open: Vec::new() };
        for _ in 0..bytes.count(2)? {
            match context.vector.decode_dot(bytes)? {
                (dot, 0) => context.open.push(dot),
                _ => return Err(Malformed("an open event with a flag")),
            }
        }
        let sequence = bytes.uint()?;
        let deleted = match bytes.byte()? {
            flag @ 0..=1 => flag == 1,
            _ => return Err(Malformed("neither deleted nor not")),
        };
        let content = bytes.content()?;
        if deleted && !content.is_empty() {
            return Err(Malformed("deleted, yet not empty"));
        }
        puts.push(Put { serial, cell, context, sequence, deleted, content });
    }
    Ok(puts)
}

/// Reads the edits behind the versions of a message from its cargo.
pub fn unload_cargo(cells: &mut [(Cell, Object)], mut ids: &[CargoIds]) {
    let versions = cells.iter_mut().flat_map(|(_, object)| &mut object.versions);
    for (n, version) in versions.enumerate() {
        version.story.unload(n, &mut ids);
    }
}

/// Reads the edits behind puts from a message's cargo.
pub fn unload_puts(puts: Vec<Put>, mut ids: &[CargoIds]) -> Vec<(Put, Story)> {
    let unload = |(n, put): (usize, Put)| {
        let mut story = Story::default();
        story.unload(n, &mut ids);
        (put, story)
    };
    puts.into_iter().enumerate().map(unload).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lineage::Lineage;
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
            clock: Vector::default(),
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

    /// The same versions, each filed under a clock.
    fn clocked() -> Message {
        let Message::Update { batch, cells } = update() else { unreachable!("an update") };
        let mut cells = cells;
        for (_, object) in &mut cells {
            object.vector = Vector::default();
            for version in &mut object.versions {
                if version.dot != Dot::GENESIS {
                    version.clock.raise(version.dot);
                    version.events = 1;
                }
                object.vector.join(&version.clock);
            }
            object.versions.retain(|version| version.dot != Dot::GENESIS);
            object.versions.sort_by_key(|version| std::cmp::Reverse(version.rank()));
        }
        Message::Update { batch, cells }
    }

    fn others() -> Vec<Message> {
        let mut context = Context::default();
        let actor = |replica| Actor { replica: ReplicaId(replica), incarnation: 0 };
        let open = context.vector.increment(actor(4));
        context.vector.increment(actor(4));
        context.open.push(open);
        let put = |serial, deleted, content| Put {
            serial,
            cell: Cell { record: RecordId(3), field: FieldId(1) },
            context: context.clone(),
            sequence: 77,
            deleted,
            content,
        };
        let puts = vec![
            put(5, false, Content::Register(Some("x".into()))),
            put(6, true, Content::Counter(0)),
            put(900, false, Content::Counter(-1)),
        ];
        vec![
            Message::Ack { batch: 300 },
            Message::Ask { incarnation: 2 },
            Message::Heard { incarnation: 2 },
            Message::Puts { puts },
        ]
    }

    /// An answer that leaves out the content of an edit that a client made.
    fn filed() -> Message {
        let mut object = Object::default();
        let hub = Actor { replica: ReplicaId(9), incarnation: 0 };
        let edit = EditId { origin: ReplicaId(2), sequence: 40 };
        let mut story = Story::default();
        own_edit(edit, false, &mut story);
        let write = Write { edit, deleted: false, content: Content::Register(None), story };
        let dot = object.vector.increment(hub);
        object.versions.push(write.into_version(dot, Vector::default(), 1));
        let cell = Cell { record: RecordId(0), field: FieldId(0) };
        Message::Filed { serial: 3, cells: vec![(cell, object)], yours: vec![edit] }
    }

    #[test]
    fn messages_survive() {
        let by_dots = [update(), filed()].into_iter().chain(others()).map(|m| (Naming::Dots, m));
        let by_clocks = others().into_iter().chain([clocked()]).map(|m| (Naming::Clocks, m));
        for (naming, message) in by_dots.chain(by_clocks) {
            assert_eq!(Message::decode(naming, &message.encode(naming)).as_ref(), Ok(&message));
        }
    }

    #[test]
    fn what_is_decoded_is_encoded_to_the_same_bytes_or_refused() {
        let puts = others().pop().expect("puts");
        let messages = [
            (Naming::Dots, update()),
            (Naming::Dots, filed()),
            (Naming::Dots, puts),
            (Naming::Clocks, clocked()),
        ];
        for (naming, message) in messages {
            let bytes = message.encode(naming);
            for length in 0..bytes.len() {
                assert!(Message::decode(naming, &bytes[..length]).is_err(), "cut to {length}");
            }
            for at in 0..bytes.len() {
                for bit in 0..8 {
                    let mut flipped = bytes.clone();
                    flipped[at] ^= 1 << bit;
                    if let Ok(message) = Message::decode(naming, &flipped) {
                        assert_eq!(message.encode(naming), flipped, "bit {bit} of byte {at}");
                    }
                }
            }
        }
    }
}
