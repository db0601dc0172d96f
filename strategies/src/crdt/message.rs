//! What replicas say to each other: versions, acknowledgements, changes.

use super::causal::Version;
use super::codec::{Piece, read_deltas, write_deltas};
use super::op::Delta;
use crate::contract::Malformed;
use crate::wire::{Reader, Writer};

const VERSION: u8 = 1;
const ASKS: u8 = 2;
const RESET: u8 = 4;
const ACK: u8 = 8;
const DELTAS: u8 = 16;
const STATE: u8 = 32;

/// Everything in a message but what it brings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// All that the sender has.
    pub version: Option<Version>,
    /// The sender wants the receiver's version in return; only with its own.
    pub asks: bool,
    /// The sender has no more than its version says, whatever the receiver believes: it lost its memory, or could not use what was
    /// sent. Only with its version.
    pub resets: bool,
    /// How far the sender has the changes of some agents.
    pub ack: Version,
}

/// What a message brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body<D> {
    /// Changes; perhaps none.
    Deltas(Vec<D>),
    /// The sender's whole document, for a receiver that is further behind than the sender's log reaches.
    State(Vec<u8>),
}

/// Writes a message; `None` where there is nothing to say.
pub fn write_message(head: &Head, body: &Body<Piece<'_>>) -> Option<Vec<u8>> {
    let flag = |is_set, flag| if is_set { flag } else { 0 };
    let told =
        flag(head.version.is_some(), VERSION) | flag(head.asks, ASKS) | flag(head.resets, RESET);
    let ack = flag(head.ack.len() > 0, ACK);
    let brings = match body {
        Body::Deltas(pieces) if pieces.is_empty() => 0,
        Body::Deltas(_) => DELTAS,
        Body::State(_) => STATE,
    };
    let flags = told | ack | brings;
    if flags == 0 {
        return None;
    }
    let mut writer = Writer::new();
    writer.byte(flags);
    if let Some(version) = &head.version {
        version.write(&mut writer);
    }
    if ack > 0 {
        head.ack.write(&mut writer);
    }
    match body {
        Body::Deltas(pieces) if brings > 0 => write_deltas(&mut writer, pieces),
        Body::Deltas(_) => {}
        Body::State(state) => writer.raw(state),
    }
    Some(writer.finish())
}

/// Reads a message.
///
/// # Errors
/// [`Malformed`] where it makes no sense whatever the schema is.
pub fn read_message(bytes: &[u8]) -> Result<(Head, Body<Delta>), Malformed> {
    let mut reader = Reader::new(bytes);
    let flags = reader.byte()?;
    let (asks, resets) = (flags & ASKS != 0, flags & RESET != 0);
    let tells = flags & VERSION != 0;
    let is_known = flags & !(VERSION | ASKS | RESET | ACK | DELTAS | STATE) == 0;
    if flags == 0 || !is_known || (asks || resets) && !tells {
        return Err(Malformed("unknown kind of message"));
    }
    let version = if tells { Some(Version::read(&mut reader)?) } else { None };
    let ack = if flags & ACK != 0 { Version::read(&mut reader)? } else { Version::new() };
    if flags & ACK != 0 && ack.len() == 0 {
        return Err(Malformed("an empty acknowledgement"));
    }
    let body = match flags & (DELTAS | STATE) {
        0 => Body::Deltas(Vec::new()),
        DELTAS => {
            let deltas = read_deltas(&mut reader)?;
            if deltas.is_empty() {
                return Err(Malformed("no changes where some were announced"));
            }
            Body::Deltas(deltas)
        }
        STATE => Body::State(reader.raw(reader.remaining())?.to_vec()),
        _ => return Err(Malformed("both changes and a state")),
    };
    reader.end()?;
    Ok((Head { version, asks, resets, ack }, body))
}

/// Reads a message and writes it again. A state's inside can only be read by somebody who knows the schema, and stays as it is.
///
/// # Errors
/// [`Malformed`] as for [`read_message`].
pub fn recode_message(bytes: &[u8]) -> Result<Vec<u8>, Malformed> {
    let (head, body) = read_message(bytes)?;
    let body = match &body {
        Body::Deltas(deltas) => Body::Deltas(deltas.iter().map(|delta| (delta, 0)).collect()),
        Body::State(state) => Body::State(state.clone()),
    };
    write_message(&head, &body).ok_or(Malformed("an empty message"))
}
