//! What replicas say to each other: flags, how far the sender has come, and a group or a whole state.

use super::codec::{read_group, write_group};
use super::group::Group;
use super::said::{Rows, read_rows, write_rows};
use crate::contract::Malformed;
use crate::crdt::causal::{COUNTER_MAX, Version};
use crate::wire::{Reader, Writer};

const ASKS: u8 = 1;
const LIVES: u8 = 2;
const YOUR_LIVES: u8 = 4;
const HEARD: u8 = 8;
const VERSION: u8 = 16;
const GROUP: u8 = 32;
const WHOLE: u8 = 64;

/// Everything in a message but what it brings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The sender wants an answer.
    pub asks: bool,
    /// In which of its lives the sender is, counted from 0.
    pub incarnation: u32,
    /// In which of its lives the receiver is, as far as the sender knows.
    pub yours: u32,
    /// Position in that life's stream of groups up to which the sender has everything.
    pub heard: u64,
    /// All that the sender has.
    pub version: Option<Version>,
}

/// What a message brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Nothing.
    Nothing,
    /// The join of the groups from one position of the sender's stream to another, as far as the receiver needs them.
    Group { first: u64, end: u64, group: Group },
    /// The sender's whole document, up to a position of its stream. Comes with the version, and with what members said that the receiver
    /// may not know. With `again` the receiver was gone, or speaks of what was forgotten: it is to begin a new life.
    Whole { end: u64, again: bool, said: Rows, cells: Vec<u8> },
}

/// Writes a message.
pub fn write_message(head: &Head, body: &Body) -> Vec<u8> {
    let flag = |is_set, flag| if is_set { flag } else { 0 };
    let brings = match body {
        Body::Nothing => 0,
        Body::Group { .. } => GROUP,
        Body::Whole { .. } => WHOLE,
    };
    let mut writer = Writer::new();
    writer.byte(
        flag(head.asks, ASKS)
            | flag(head.incarnation > 0, LIVES)
            | flag(head.yours > 0, YOUR_LIVES)
            | flag(head.heard > 0, HEARD)
            | flag(head.version.is_some(), VERSION)
            | brings,
    );
    for number in [u64::from(head.incarnation), u64::from(head.yours), head.heard] {
        if number > 0 {
            writer.uint(number);
        }
    }
    if let Some(version) = &head.version {
        version.write(&mut writer);
    }
    match body {
        Body::Nothing => {}
        Body::Group { first, end, group } => {
            writer.uint(*first);
            writer.uint(end - first);
            write_group(&mut writer, group);
        }
        Body::Whole { end, again, said, cells } => {
            writer.uint(end << 1 | u64::from(*again));
            write_rows(&mut writer, said);
            writer.raw(cells);
        }
    }
    writer.finish()
}

/// Reads a message.
///
/// # Errors
/// [`Malformed`] where it makes no sense whatever the schema is.
pub fn read_message(bytes: &[u8]) -> Result<(Head, Body), Malformed> {
    let mut reader = Reader::new(bytes);
    let flags = reader.byte()?;
    let mut number = |flag| -> Result<u64, Malformed> {
        let number = if flags & flag != 0 { reader.uint()? } else { 0 };
        let is_plain = (number > 0) == (flags & flag != 0);
        if is_plain { Ok(number) } else { Err(Malformed("a zero that goes without saying")) }
    };
    let life = |number| u32::try_from(number).map_err(|_| Malformed("incarnation out of range"));
    let (incarnation, yours) = (life(number(LIVES)?)?, life(number(YOUR_LIVES)?)?);
    let heard = number(HEARD)?;
    let version = match flags & VERSION {
        0 => None,
        _ => Some(Version::read(&mut reader)?),
    };
    let head = Head { asks: flags & ASKS != 0, incarnation, yours, heard, version };
    let body = match flags & !(ASKS | LIVES | YOUR_LIVES | HEARD | VERSION) {
        0 => Body::Nothing,
        GROUP => {
            let (first, span) = (reader.uint()?, reader.uint()?);
            let end = first.checked_add(span).filter(|end| span > 0 && *end <= COUNTER_MAX);
            let end = end.ok_or(Malformed("positions out of range"))?;
            Body::Group { first, end, group: read_group(&mut reader)? }
        }
        WHOLE if head.version.is_some() => {
            let end = reader.uint()?;
            let (end, again) = (end >> 1, end & 1 == 1);
            if end > COUNTER_MAX {
                return Err(Malformed("positions out of range"));
            }
            let said = read_rows(&mut reader)?;
            Body::Whole { end, again, said, cells: reader.raw(reader.remaining())?.to_vec() }
        }
        _ => return Err(Malformed("unknown kind of message")),
    };
    reader.end()?;
    Ok((head, body))
}

/// Reads a message and writes it again. A whole document's inside can only be read by somebody who knows the schema, and stays as it is.
///
/// # Errors
/// [`Malformed`] as for [`read_message`].
pub fn recode_message(bytes: &[u8]) -> Result<Vec<u8>, Malformed> {
    let (head, body) = read_message(bytes)?;
    Ok(write_message(&head, &body))
}
