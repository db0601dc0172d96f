//! What replicas say to each other: versions, acknowledgements, changes.
//!
//! A message begins with flags (a varint) that say which of its parts follow, in the order of [`Head`] and [`Body`].

use super::log::Entry;
use super::reconciling::Probe;
use crate::contract::Malformed;
use crate::crdt::causal::{Agent, Version};
use crate::crdt::codec::{
    Operation, Piece, read_deltas, read_operations, write_deltas, write_operations,
};
use crate::crdt::op::Delta;
use crate::wire::{Reader, Writer};

const VERSION: u64 = 1;
const ASKS: u64 = 2;
const RESETS: u64 = 4;
const ACK: u64 = 8;
const DELTAS: u64 = 16;
const STATE: u64 = 32;
const OPERATIONS: u64 = 64;
const NUMBER: u64 = 128;
const ANSWERS: u64 = 256;
const COVERS: u64 = 512;
const REBASE: u64 = 1024;
const PROBE: u64 = 2048;
const LIFE: u64 = 4096;
const ALL: u64 = 8191;

/// Everything in a message but what it brings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// In which of its lives the sender is. Datagrams from a life that is over may come late.
    pub life: u32,
    /// All that the sender has.
    pub version: Option<Version>,
    /// The sender wants the receiver's version in return; only with its own.
    pub asks: bool,
    /// The sender has no more than its version says, whatever the receiver believes: it lost its memory, or could not use what was
    /// sent. Only with its version.
    pub resets: bool,
    /// The version is a digest, to be answered with what it lacks; its number. Only with the version.
    pub number: Option<u64>,
    /// This answers the digest of this number.
    pub answers: Option<u64>,
    /// The sender has all that the digest told; only with `answers`.
    pub covers: bool,
    /// How far the sender has the changes of some agents.
    pub ack: Version,
    /// Part of an exchange that reconciles sets.
    pub probe: Option<Probe>,
}

/// What a message brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body<'a> {
    /// Nothing.
    Nothing,
    /// Changes behind what the receiver has, each with the number of its dots that the receiver has; neighbours may be joined.
    Deltas(Vec<Piece<'a>>),
    /// Operations, each for itself.
    Operations(Vec<Operation<'a>>),
    /// The sender's whole document, for a receiver that is further behind than the sender's log reaches, or was gone: then with the life of the
    /// receiver that is over.
    State(&'a [u8], Option<Agent>),
}

/// What a received message brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Brought {
    /// Changes, perhaps none; each follows those before.
    Deltas(Vec<Delta>),
    /// Operations, in any order.
    Operations(Vec<Entry>),
    /// The sender's whole document, and the life of the receiver that is over.
    State(Vec<u8>, Option<Agent>),
}

/// Writes a message; `None` where there is nothing to say.
pub fn write_message(head: &Head, body: &Body<'_>) -> Option<Vec<u8>> {
    let flag = |is_set, flag| if is_set { flag } else { 0 };
    let flags = flag(head.version.is_some(), VERSION)
        | flag(head.asks, ASKS)
        | flag(head.resets, RESETS)
        | flag(head.number.is_some(), NUMBER)
        | flag(head.answers.is_some(), ANSWERS)
        | flag(head.covers, COVERS)
        | flag(head.ack.len() > 0, ACK)
        | flag(head.probe.is_some(), PROBE)
        | match body {
            Body::Nothing => 0,
            Body::Deltas(_) => DELTAS,
            Body::Operations(_) => OPERATIONS,
            Body::State(_, None) => STATE,
            Body::State(_, Some(_)) => STATE | REBASE,
        };
    if flags == 0 {
        return None;
    }
    let mut writer = Writer::new();
    writer.uint(flags | flag(head.life > 0, LIFE));
    if head.life > 0 {
        writer.uint(u64::from(head.life));
    }
    if let Some(version) = &head.version {
        version.write(&mut writer);
    }
    for number in [head.number, head.answers].into_iter().flatten() {
        writer.uint(number);
    }
    if head.ack.len() > 0 {
        head.ack.write(&mut writer);
    }
    if let Some(probe) = &head.probe {
        probe.write(&mut writer);
    }
    match body {
        Body::Nothing => {}
        Body::Deltas(pieces) => write_deltas(&mut writer, pieces),
        Body::Operations(operations) => write_operations(&mut writer, operations),
        Body::State(state, life) => {
            if let Some(life) = life {
                life.write(&mut writer);
            }
            writer.raw(state);
        }
    }
    Some(writer.finish())
}

/// Reads a message.
///
/// # Errors
/// [`Malformed`] where it makes no sense whatever the schema is.
pub fn read_message(bytes: &[u8]) -> Result<(Head, Brought), Malformed> {
    let mut reader = Reader::new(bytes);
    let flags = reader.uint()?;
    let has = |flag: u64| flags & flag != 0;
    let lacks_version = flags & (ASKS | RESETS | NUMBER) != 0 && !has(VERSION);
    if flags & !LIFE == 0
        || flags > ALL
        || lacks_version
        || has(COVERS) && !has(ANSWERS)
        || has(REBASE) && !has(STATE)
    {
        return Err(Malformed("unknown kind of message"));
    }
    let life = if has(LIFE) { reader.uint32()? } else { 0 };
    if has(LIFE) && life == 0 {
        return Err(Malformed("a first life is not named"));
    }
    let version = if has(VERSION) { Some(Version::read(&mut reader)?) } else { None };
    let mut number = |flag| if has(flag) { reader.uint().map(Some) } else { Ok(None) };
    let (number, answers) = (number(NUMBER)?, number(ANSWERS)?);
    let ack = if has(ACK) { Version::read(&mut reader)? } else { Version::new() };
    if has(ACK) && ack.len() == 0 {
        return Err(Malformed("an empty acknowledgement"));
    }
    let probe = if has(PROBE) { Some(Probe::read(&mut reader)?) } else { None };
    let brings = flags & (DELTAS | OPERATIONS | STATE) != 0;
    if brings && probe.as_ref().is_some_and(|probe| !matches!(probe, Probe::Found { .. })) {
        return Err(Malformed("changes come when differences are known"));
    }
    let (asks, resets, covers) = (has(ASKS), has(RESETS), has(COVERS));
    let head = Head { life, version, asks, resets, number, answers, covers, ack, probe };
    let over = if has(REBASE) { Some(Agent::read(&mut reader)?) } else { None };
    let is_empty = reader.is_empty();
    let brought = match flags & (DELTAS | OPERATIONS | STATE) {
        0 => Brought::Deltas(Vec::new()),
        DELTAS => Brought::Deltas(read_deltas(&mut reader)?),
        OPERATIONS => {
            let operations = read_operations(&mut reader)?;
            let entries = operations.into_iter().map(|(delta, saw)| Entry { delta, saw });
            Brought::Operations(entries.collect())
        }
        STATE => Brought::State(reader.raw(reader.remaining())?.to_vec(), over),
        _ => return Err(Malformed("a message brings two things")),
    };
    let nothing = match &brought {
        Brought::Deltas(deltas) => has(DELTAS) && deltas.is_empty(),
        Brought::Operations(entries) => entries.is_empty(),
        Brought::State(..) => is_empty,
    };
    if nothing {
        return Err(Malformed("no changes where some were announced"));
    }
    reader.end()?;
    Ok((head, brought))
}

/// Reads a message and writes it again. A state's inside can only be read by somebody who knows the schema, and stays as it is.
///
/// # Errors
/// [`Malformed`] as for [`read_message`].
pub fn recode_message(bytes: &[u8]) -> Result<Vec<u8>, Malformed> {
    let (head, brought) = read_message(bytes)?;
    let body = match &brought {
        Brought::Deltas(deltas) if deltas.is_empty() => Body::Nothing,
        Brought::Deltas(deltas) => Body::Deltas(deltas.iter().map(|delta| (delta, 0)).collect()),
        Brought::Operations(entries) => {
            Body::Operations(entries.iter().map(|entry| (&entry.delta, &entry.saw)).collect())
        }
        Brought::State(state, life) => Body::State(state, *life),
    };
    write_message(&head, &body).ok_or(Malformed("an empty message"))
}
