//! Messages as bytes.
//!
//! ```text
//! hello      0 seen flight                    client to server; flight: number of the batch in flight, 0 for none
//! batch      1 base number ops                client to server
//! queue      4 base number count ops*         the same, uncomposed: two operations or more
//! revisions  2 first count revision*          server to client
//! answer     3 first count revision*          the same, when a hello asked what became of a batch
//! relayed    6 first floor count revision*    as 2, as relayed; floor: how far below the revision before the first one
//! answer     7 first floor count revision*    as 3, as relayed
//! revision   0 | 3 count                      the client's own batch that was in flight: one operation, or more
//!            1 ops                            somebody else's, to be taken as it is
//!            2 distance ops                   somebody else's, made so many revisions before the one that it follows
//! snapshot   5 revision number at             server to client; number: of the client's last batch that is in it; at: its revision
//!              count ops*                     the last revisions before it, as ordered
//!              count (cell content)*          in order of cells
//!              count (cell wiped left)*       in order of cells: counters that changed since the receiver last heard
//! ops        count (cell op)*                 in order of cells
//! cell       record field                     record: as many as it is after the one before
//! op         0 | 1 | 2 value                  register: nothing, clear, put
//!            3 add | 4 left add               counter
//!            5 count (element 0|1|2)*         set, in order of elements: nothing, insert, remove
//!            6 count component*               text; component: length * 4 + (0 retain, 1 insert, 2 delete), inserted bytes
//! left       count (revision amount)*         revision: how far after the one before, times 2; one more where the sum alone of
//!                                             several is known, and then how many follow
//! ```
//!
//! Numbers are of variable length. A run of typing is one component of a composed operation.

use super::op::{Addition, CellOp, CounterOp, ElementOp, Ops, RegisterOp, Span, Tally};
use super::text::{Component, TextOp};
use crate::contract::Malformed;
use crate::document::{Cell, Content, FieldId, RecordId, Value};
use crate::wire::{Reader, Writer};
use std::collections::BTreeMap;

/// Longest stretch of text that an operation may span, in scalar values: far beyond any text, and far from overflowing.
const LONGEST: u64 = 1 << 31;

/// What client and server say to each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// The first thing that a client says in a session, unless it has a batch to send; later, how far it has come.
    Hello {
        /// Last revision that it has.
        seen: u64,
        /// Number of the batch that it sent and heard nothing about.
        flight: Option<u64>,
    },
    /// A client's edits.
    Batch {
        /// Last revision that they were made to fit.
        base: u64,
        /// Counted from 1 by the client.
        number: u64,
        /// The edits: composed into one, or each on its own, one after another; at least one.
        queue: Vec<Ops>,
    },
    /// What the server has ordered.
    Revisions {
        /// Whether this answers a hello that named a batch.
        answer: bool,
        /// Number of the first one.
        first: u64,
        /// Where the server only relays: no batch that is still to come was made before this revision.
        floor: Option<u64>,
        /// Consecutive revisions.
        revisions: Vec<Revision>,
    },
    /// Everything, where revisions that a client lacks are not kept any more.
    Snapshot(Snapshot),
}

/// One revision, as a client hears of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Revision {
    /// The batch that it has in flight, which became so many revisions.
    Own(u32),
    /// Somebody else's operations.
    Foreign {
        /// How many revisions they still have to be transformed over: 0 where the server did so.
        distance: u64,
        /// The operations.
        ops: Ops,
    },
}

/// The document after a revision, and what is needed to go on from there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The revision.
    pub revision: u64,
    /// Number of the receiver's last batch that is in it.
    pub executed: u64,
    /// The last revision that this batch became; 0 for none.
    pub executed_at: u64,
    /// The last revisions up to this one, where the receiver must transform what was made before it.
    pub history: Vec<Ops>,
    /// Every cell that is not empty.
    pub cells: BTreeMap<Cell, Content>,
    /// Counters that changed since the receiver last heard.
    pub tallies: BTreeMap<Cell, Tally>,
}

impl Message {
    /// The message as bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        match self {
            Message::Hello { seen, flight } => {
                writer.byte(0);
                writer.uint(*seen);
                writer.uint(flight.unwrap_or(0));
            }
            Message::Batch { base, number, queue } => {
                encode_batch(*base, *number, queue.iter(), &mut writer);
            }
            Message::Revisions { answer, first, floor, revisions } => {
                encode_revisions_head(*answer, *first, *floor, &mut writer);
                writer.count(revisions.len());
                for revision in revisions {
                    match revision {
                        Revision::Own(count) => encode_own(*count, &mut writer),
                        Revision::Foreign { distance, ops } => {
                            encode_foreign(*distance, ops, &mut writer);
                        }
                    }
                }
            }
            Message::Snapshot(snapshot) => snapshot.encode(&mut writer),
        }
        writer.finish()
    }

    /// The message that these bytes are.
    ///
    /// # Errors
    /// [`Malformed`] where they are none, or not in the one form that [`Message::encode`] writes.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let message = match reader.byte()? {
            0 => {
                let seen = revision_number(&mut reader)?;
                let flight = Some(reader.uint()?).filter(|number| *number > 0);
                Message::Hello { seen, flight }
            }
            kind @ (1 | 4) => read_batch(kind == 4, &mut reader)?,
            kind @ (2 | 3 | 6 | 7) => read_revisions(kind % 2 == 1, kind > 5, &mut reader)?,
            5 => Message::Snapshot(Snapshot::read(&mut reader)?),
            _ => return Err(Malformed("unknown kind of message")),
        };
        reader.end()?;
        Ok(message)
    }
}

impl Snapshot {
    fn encode(&self, writer: &mut Writer) {
        writer.byte(5);
        writer.uint(self.revision);
        writer.uint(self.executed);
        writer.uint(self.executed_at);
        writer.count(self.history.len());
        for ops in &self.history {
            write_ops(ops, writer);
        }
        writer.count(self.cells.len());
        let mut cells = Ascending::default();
        for (cell, content) in &self.cells {
            cells.write(*cell, writer);
            writer.content(content);
        }
        writer.count(self.tallies.len());
        let mut cells = Ascending::default();
        for (cell, tally) in &self.tallies {
            cells.write(*cell, writer);
            write_tally(tally, writer);
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut snapshot = Snapshot {
            revision: revision_number(reader)?,
            executed: reader.uint()?,
            executed_at: revision_number(reader)?,
            ..Snapshot::default()
        };
        for _ in 0..reader.count(1)? {
            snapshot.history.push(read_ops(reader)?);
        }
        if snapshot.history.len() as u64 > snapshot.revision {
            return Err(Malformed("more history than revisions"));
        }
        let mut cells = Ascending::default();
        for _ in 0..reader.count(4)? {
            let cell = cells.read(reader)?;
            let content = reader.content()?;
            if content.is_empty() {
                return Err(Malformed("a snapshot leaves empty cells out"));
            }
            snapshot.cells.insert(cell, content);
        }
        let mut cells = Ascending::default();
        for _ in 0..reader.count(4)? {
            let cell = cells.read(reader)?;
            let tally = read_tally(reader)?;
            let last = tally.left.last().map_or(0, |addition| addition.revisions.last);
            if tally.wiped.max(last) > snapshot.revision {
                return Err(Malformed("additions after the snapshot"));
            }
            snapshot.tallies.insert(cell, tally);
        }
        Ok(snapshot)
    }
}

/// Writes a batch: one operation or more.
pub fn encode_batch<'a>(
    base: u64,
    number: u64,
    queue: impl ExactSizeIterator<Item = &'a Ops>,
    writer: &mut Writer,
) {
    writer.byte(if queue.len() == 1 { 1 } else { 4 });
    writer.uint(base);
    writer.uint(number);
    if queue.len() != 1 {
        writer.count(queue.len());
    }
    queue.for_each(|ops| write_ops(ops, writer));
}

fn read_batch(several: bool, reader: &mut Reader<'_>) -> Result<Message, Malformed> {
    let base = revision_number(reader)?;
    let number = reader.uint()?;
    if number == 0 {
        return Err(Malformed("batches are counted from 1"));
    }
    let count = if several { reader.count(1)? } else { 1 };
    if several && count < 2 {
        return Err(Malformed("a queue of one is a batch"));
    }
    let mut queue = Vec::new();
    for _ in 0..count {
        queue.push(read_ops(reader)?);
    }
    Ok(Message::Batch { base, number, queue })
}

/// Writes what comes before the count of revisions.
pub fn encode_revisions_head(answer: bool, first: u64, floor: Option<u64>, writer: &mut Writer) {
    writer.byte(if floor.is_some() { 6 } else { 2 } + u8::from(answer));
    writer.uint(first);
    if let Some(floor) = floor {
        writer.uint(first - 1 - floor);
    }
}

/// Writes that the receiver's own batch became so many revisions.
pub fn encode_own(count: u32, writer: &mut Writer) {
    if count == 1 {
        writer.byte(0);
    } else {
        writer.byte(3);
        writer.uint(u64::from(count));
    }
}

/// Writes somebody else's revision.
pub fn encode_foreign(distance: u64, ops: &Ops, writer: &mut Writer) {
    if distance == 0 {
        writer.byte(1);
    } else {
        writer.byte(2);
        writer.uint(distance);
    }
    write_ops(ops, writer);
}

fn read_revisions(
    answer: bool,
    relayed: bool,
    reader: &mut Reader<'_>,
) -> Result<Message, Malformed> {
    let first = revision_number(reader)?;
    let floor = if relayed {
        let below = first.checked_sub(1).and_then(|before| before.checked_sub(reader.uint().ok()?));
        Some(below.ok_or(Malformed("revisions are counted from 1"))?)
    } else {
        None
    };
    let mut revisions = Vec::new();
    for _ in 0..reader.count(1)? {
        revisions.push(read_revision(reader)?);
    }
    Ok(Message::Revisions { answer, first, floor, revisions })
}

fn read_revision(reader: &mut Reader<'_>) -> Result<Revision, Malformed> {
    Ok(match reader.byte()? {
        0 => Revision::Own(1),
        1 => Revision::Foreign { distance: 0, ops: read_ops(reader)? },
        2 => match revision_number(reader)? {
            0 => return Err(Malformed("no distance is said otherwise")),
            distance => Revision::Foreign { distance, ops: read_ops(reader)? },
        },
        3 => match reader.uint32()? {
            0 | 1 => return Err(Malformed("one operation is said otherwise")),
            count => Revision::Own(count),
        },
        _ => return Err(Malformed("unknown kind of revision")),
    })
}

/// A revision's number: one that leaves room to count on.
fn revision_number(reader: &mut Reader<'_>) -> Result<u64, Malformed> {
    let number = reader.uint()?;
    if number > u64::MAX / 2 { Err(Malformed("no such revision")) } else { Ok(number) }
}

/// Cells in ascending order, each record as its distance from the one before.
#[derive(Default)]
struct Ascending {
    last: Option<Cell>,
}

impl Ascending {
    fn write(&mut self, cell: Cell, writer: &mut Writer) {
        let before = self.last.map_or(0, |last| last.record.0);
        writer.uint(u64::from(cell.record.0 - before));
        writer.uint(u64::from(cell.field.0));
        self.last = Some(cell);
    }

    fn read(&mut self, reader: &mut Reader<'_>) -> Result<Cell, Malformed> {
        let before = self.last.map_or(0, |last| last.record.0);
        let record = before.checked_add(reader.uint32()?);
        let record = RecordId(record.ok_or(Malformed("record number out of range"))?);
        let field =
            u16::try_from(reader.uint()?).map_err(|_| Malformed("field number out of range"))?;
        let cell = Cell { record, field: FieldId(field) };
        if self.last.is_some_and(|last| last >= cell) {
            return Err(Malformed("cells are not ascending"));
        }
        self.last = Some(cell);
        Ok(cell)
    }
}

/// Writes the operations of a batch or revision.
pub fn write_ops(ops: &Ops, writer: &mut Writer) {
    writer.count(ops.len());
    let mut cells = Ascending::default();
    for (cell, op) in ops {
        cells.write(*cell, writer);
        write_op(op, writer);
    }
}

fn write_op(op: &CellOp, writer: &mut Writer) {
    match op {
        CellOp::Register(RegisterOp::Nothing) => writer.byte(0),
        CellOp::Register(RegisterOp::Clear) => writer.byte(1),
        CellOp::Register(RegisterOp::Put(value)) => {
            writer.byte(2);
            writer.str(value.as_str());
        }
        CellOp::Counter(CounterOp { left: None, add }) => {
            writer.byte(3);
            writer.int(*add);
        }
        CellOp::Counter(CounterOp { left: Some(left), add }) => {
            writer.byte(4);
            write_left(left, writer);
            writer.int(*add);
        }
        CellOp::Set(elements) => {
            writer.byte(5);
            writer.count(elements.len());
            for (element, op) in elements {
                writer.str(element.as_str());
                writer.byte(match op {
                    ElementOp::Nothing => 0,
                    ElementOp::Insert => 1,
                    ElementOp::Remove => 2,
                });
            }
        }
        CellOp::Text(op) => {
            writer.byte(6);
            writer.count(op.components().len());
            for component in op.components() {
                match component {
                    Component::Retain(count) => writer.uint((*count as u64) << 2),
                    Component::Insert(text) => {
                        writer.uint((text.len() as u64) << 2 | 1);
                        writer.raw(text.as_bytes());
                    }
                    Component::Delete(count) => writer.uint((*count as u64) << 2 | 2),
                }
            }
        }
    }
}

/// Writes what a wipe left.
pub fn write_left(left: &[Addition], writer: &mut Writer) {
    writer.count(left.len());
    let mut before = 0;
    for addition in left {
        let Span { since, last } = addition.revisions;
        let more = last - since - 1;
        writer.uint((since - before) << 1 | u64::from(more > 0));
        if more > 0 {
            writer.uint(more);
        }
        writer.int(addition.amount);
        before = last;
    }
}

/// Reads what [`write_left`] wrote.
///
/// # Errors
/// [`Malformed`] where the bytes are not additions in order of revisions.
pub fn read_left(reader: &mut Reader<'_>) -> Result<Vec<Addition>, Malformed> {
    let mut left = Vec::new();
    let mut before: u64 = 0;
    for _ in 0..reader.count(2)? {
        let head = reader.uint()?;
        let more = if head & 1 == 0 { 0 } else { reader.uint()? };
        if head & 1 == 1 && more == 0 {
            return Err(Malformed("one addition is said otherwise"));
        }
        // A quarter of what fits, each.
        let since = before + (head >> 1).min(u64::MAX / 4);
        let last = since + 1 + more.min(u64::MAX / 4);
        if last > u64::MAX / 4 {
            return Err(Malformed("no such revision"));
        }
        let amount = reader.int()?;
        if amount == 0 {
            return Err(Malformed("an addition of nothing"));
        }
        left.push(Addition { revisions: Span { since, last }, amount });
        before = last;
    }
    Ok(left)
}

/// Writes a tally.
pub fn write_tally(tally: &Tally, writer: &mut Writer) {
    writer.uint(tally.wiped);
    write_left(&tally.left, writer);
}

/// Reads what [`write_tally`] wrote.
///
/// # Errors
/// As for [`read_left`].
pub fn read_tally(reader: &mut Reader<'_>) -> Result<Tally, Malformed> {
    Ok(Tally { wiped: revision_number(reader)?, left: read_left(reader)? })
}

/// Reads what [`write_ops`] wrote. Whether the operations fit a document is another question.
///
/// # Errors
/// [`Malformed`] where the bytes are not operations in their one form.
pub fn read_ops(reader: &mut Reader<'_>) -> Result<Ops, Malformed> {
    let mut ops = Ops::new();
    let mut cells = Ascending::default();
    for _ in 0..reader.count(3)? {
        let cell = cells.read(reader)?;
        ops.insert(cell, read_op(reader)?);
    }
    Ok(ops)
}

fn read_op(reader: &mut Reader<'_>) -> Result<CellOp, Malformed> {
    Ok(match reader.byte()? {
        0 => CellOp::Register(RegisterOp::Nothing),
        1 => CellOp::Register(RegisterOp::Clear),
        2 => CellOp::Register(RegisterOp::Put(reader.value()?)),
        3 => CellOp::Counter(CounterOp { left: None, add: reader.int()? }),
        4 => {
            let left = Some(read_left(reader)?);
            CellOp::Counter(CounterOp { left, add: reader.int()? })
        }
        5 => CellOp::Set(read_elements(reader)?),
        6 => CellOp::Text(read_text_op(reader)?),
        _ => return Err(Malformed("unknown kind of operation")),
    })
}

fn read_elements(reader: &mut Reader<'_>) -> Result<BTreeMap<Value, ElementOp>, Malformed> {
    let mut elements = BTreeMap::new();
    for _ in 0..reader.count(2)? {
        let element = reader.value()?;
        if elements.last_key_value().is_some_and(|(last, _)| *last >= element) {
            return Err(Malformed("elements are not ascending"));
        }
        let op = match reader.byte()? {
            0 => ElementOp::Nothing,
            1 => ElementOp::Insert,
            2 => ElementOp::Remove,
            _ => return Err(Malformed("unknown operation on an element")),
        };
        elements.insert(element, op);
    }
    Ok(elements)
}

fn read_text_op(reader: &mut Reader<'_>) -> Result<TextOp, Malformed> {
    let count = reader.count(1)?;
    let mut components = Vec::new();
    let mut span = 0;
    for _ in 0..count {
        let head = reader.uint()?;
        let length = head >> 2;
        span += length.min(LONGEST);
        if length == 0 || span >= LONGEST {
            return Err(Malformed("component is empty or longer than any text"));
        }
        components.push(match head & 3 {
            0 => Component::Retain(length as usize),
            1 => {
                let bytes = reader.raw(length as usize)?;
                let text = std::str::from_utf8(bytes);
                Component::Insert(text.map_err(|_| Malformed("text is not UTF-8"))?.to_owned())
            }
            2 => Component::Delete(length as usize),
            _ => return Err(Malformed("unknown kind of component")),
        });
    }
    let op: TextOp = components.into_iter().collect();
    if op.components().len() == count {
        Ok(op)
    } else {
        Err(Malformed("components could be joined"))
    }
}

/// Bytes that operations take in a message.
pub fn size_of(ops: &Ops) -> u64 {
    let mut writer = Writer::new();
    write_ops(ops, &mut writer);
    writer.len() as u64
}

/// Bytes of the user's own content in an operation's encoding: values, elements, inserted text and amounts.
pub fn content_bytes(op: &CellOp) -> u64 {
    match op {
        CellOp::Register(RegisterOp::Put(value)) => value.as_str().len() as u64,
        CellOp::Register(_) => 0,
        CellOp::Counter(op) => {
            let mut writer = Writer::new();
            writer.int(op.add);
            writer.len() as u64
        }
        CellOp::Set(elements) => elements.keys().map(|e| e.as_str().len() as u64).sum(),
        CellOp::Text(op) => op.inserted_bytes() as u64,
    }
}
