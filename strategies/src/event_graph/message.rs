//! What replicas say to each other: versions, acknowledgements, events.
//!
//! A message begins with a byte that says what is in it.

use super::codec::{read_events, write_events};
use super::event::{Event, Typed};
use crate::contract::Malformed;
use crate::crdt::causal::{Agent, Version};
use crate::wire::{Reader, Writer};

const VERSION: u8 = 1;
const ASKS: u8 = 2;
const RESET: u8 = 4;
const ACK: u8 = 8;
const EVENTS: u8 = 16;
const STATE: u8 = 32;
const REBASE: u8 = 64;

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
    /// How far the sender has the events of some agents.
    pub ack: Version,
}

/// What a message brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Events; perhaps none.
    Events(Vec<Event<Typed>>),
    /// The sender's whole document, for a receiver that is further behind than the sender's history reaches. With `rebase`, a life of the receiver's that is over, the sender cannot
    /// take up what the receiver has besides as it is: the receiver is to make it again on top.
    State { bytes: Vec<u8>, rebase: Option<Agent> },
}

/// Writes a message; `None` where there is nothing to say.
pub fn write_message(head: &Head, body: &Body) -> Option<Vec<u8>> {
    let flag = |is_set, flag| if is_set { flag } else { 0 };
    let told =
        flag(head.version.is_some(), VERSION) | flag(head.asks, ASKS) | flag(head.resets, RESET);
    let ack = flag(head.ack.len() > 0, ACK);
    let brings = match body {
        Body::Events(events) if events.is_empty() => 0,
        Body::Events(_) => EVENTS,
        Body::State { rebase, .. } => STATE | flag(rebase.is_some(), REBASE),
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
        Body::Events(events) if brings > 0 => write_events(&mut writer, events),
        Body::Events(_) => {}
        Body::State { bytes, rebase } => {
            if let Some(life) = rebase {
                life.write(&mut writer);
            }
            writer.raw(bytes);
        }
    }
    Some(writer.finish())
}

/// Reads a message.
///
/// # Errors
/// [`Malformed`] where it makes no sense whatever the schema is.
pub fn read_message(bytes: &[u8]) -> Result<(Head, Body), Malformed> {
    let mut reader = Reader::new(bytes);
    let flags = reader.byte()?;
    let (asks, resets) = (flags & ASKS != 0, flags & RESET != 0);
    let tells = flags & VERSION != 0;
    let is_known = flags & !(VERSION | ASKS | RESET | ACK | EVENTS | STATE | REBASE) == 0;
    if flags == 0 || !is_known || (asks || resets) && !tells {
        return Err(Malformed("unknown kind of message"));
    }
    let version = if tells { Some(Version::read(&mut reader)?) } else { None };
    let ack = if flags & ACK != 0 { Version::read(&mut reader)? } else { Version::new() };
    if flags & ACK != 0 && ack.len() == 0 {
        return Err(Malformed("an empty acknowledgement"));
    }
    let body = match flags & (EVENTS | STATE | REBASE) {
        0 => Body::Events(Vec::new()),
        EVENTS => {
            let events = read_events(&mut reader)?;
            if events.is_empty() {
                return Err(Malformed("no events where some were announced"));
            }
            Body::Events(events)
        }
        kind if kind & !REBASE == STATE => {
            let is_over = kind & REBASE != 0;
            let rebase = if is_over { Some(Agent::read(&mut reader)?) } else { None };
            Body::State { bytes: reader.raw(reader.remaining())?.to_vec(), rebase }
        }
        _ => return Err(Malformed("both events and a state")),
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
    write_message(&head, &body).ok_or(Malformed("an empty message"))
}
