//! Messages as bytes.
//!
//! ```text
//! hello      0 seen flight                  client to server; flight: number of the batch in flight, 0 for none
//! batch      1 base number ops              client to server
//! revisions  2 first count revision*        server to client
//! answer     3 first count revision*        the same, when a hello asked what became of a batch
//! revision   0                              the client's own batch that was in flight
//!            1 ops                          somebody else's
//! ops        count (cell op)*               in order of cells
//! op         0 | 1 | 2 value                register: nothing, clear, put
//!            3 add | 4 left add             counter; left: count (revision amount)*
//!            5 count (element 0|1|2)*       set, in order of elements: nothing, insert, remove
//!            6 count component*             text; component: length * 4 + (0 retain, 1 insert, 2 delete), inserted bytes
//! ```

use super::op::{Addition, CellOp, CounterOp, ElementOp, Ops, RegisterOp};
use super::text::{Component, TextOp};
use crate::contract::Malformed;
use crate::document::Value;
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
        /// The edits, composed.
        ops: Ops,
    },
    /// What the server has ordered.
    Revisions {
        /// Whether this answers a hello that named a batch.
        answer: bool,
        /// Number of the first one.
        first: u64,
        /// Consecutive revisions.
        revisions: Vec<Revision>,
    },
}

/// One revision, as a client hears of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Revision {
    /// The batch that it has in flight.
    Own,
    /// Somebody else's operations.
    Foreign(Ops),
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
            Message::Batch { base, number, ops } => {
                encode_batch(*base, *number, ops, &mut writer);
            }
            Message::Revisions { answer, first, revisions } => {
                let revisions = revisions.iter().map(|revision| match revision {
                    Revision::Own => None,
                    Revision::Foreign(ops) => Some(ops),
                });
                encode_revisions(*answer, *first, revisions, &mut writer);
            }
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
            1 => Message::Batch {
                base: revision_number(&mut reader)?,
                number: reader.uint()?,
                ops: read_ops(&mut reader)?,
            },
            kind @ (2 | 3) => {
                let first = revision_number(&mut reader)?;
                let count = reader.count(1)?;
                let mut revisions = Vec::new();
                for _ in 0..count {
                    revisions.push(match reader.byte()? {
                        0 => Revision::Own,
                        1 => Revision::Foreign(read_ops(&mut reader)?),
                        _ => return Err(Malformed("unknown kind of revision")),
                    });
                }
                Message::Revisions { answer: kind == 3, first, revisions }
            }
            _ => return Err(Malformed("unknown kind of message")),
        };
        reader.end()?;
        Ok(message)
    }
}

/// Writes a batch.
pub fn encode_batch(base: u64, number: u64, ops: &Ops, writer: &mut Writer) {
    writer.byte(1);
    writer.uint(base);
    writer.uint(number);
    write_ops(ops, writer);
}

/// Writes revisions; `None` stands for the receiver's own batch.
pub fn encode_revisions<'a>(
    answer: bool,
    first: u64,
    revisions: impl ExactSizeIterator<Item = Option<&'a Ops>>,
    writer: &mut Writer,
) {
    writer.byte(if answer { 3 } else { 2 });
    writer.uint(first);
    writer.count(revisions.len());
    for revision in revisions {
        match revision {
            None => writer.byte(0),
            Some(ops) => {
                writer.byte(1);
                write_ops(ops, writer);
            }
        }
    }
}

/// A revision's number: one that leaves room to count on.
fn revision_number(reader: &mut Reader<'_>) -> Result<u64, Malformed> {
    let number = reader.uint()?;
    if number > u64::MAX / 2 { Err(Malformed("no such revision")) } else { Ok(number) }
}

/// Writes the operations of a batch or revision.
pub fn write_ops(ops: &Ops, writer: &mut Writer) {
    writer.count(ops.len());
    for (cell, op) in ops {
        writer.cell(*cell);
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
            writer.count(left.len());
            for addition in left {
                writer.uint(addition.revision);
                writer.int(addition.amount);
            }
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

/// Reads what [`write_ops`] wrote. Whether the operations fit a document is another question.
///
/// # Errors
/// [`Malformed`] where the bytes are not operations in their one form.
pub fn read_ops(reader: &mut Reader<'_>) -> Result<Ops, Malformed> {
    let mut ops = Ops::new();
    for _ in 0..reader.count(3)? {
        let cell = reader.cell()?;
        if ops.last_key_value().is_some_and(|(last, _)| *last >= cell) {
            return Err(Malformed("cells are not ascending"));
        }
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
            let mut left: Vec<Addition> = Vec::new();
            for _ in 0..reader.count(2)? {
                let addition =
                    Addition { revision: revision_number(reader)?, amount: reader.int()? };
                if left.last().is_some_and(|last| last.revision >= addition.revision) {
                    return Err(Malformed("additions are not in order of revisions"));
                }
                if addition.amount == 0 {
                    return Err(Malformed("an addition of nothing"));
                }
                left.push(addition);
            }
            CellOp::Counter(CounterOp { left: Some(left), add: reader.int()? })
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
