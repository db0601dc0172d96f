//! A replica as bytes: its document, as peers that are too far behind get it, and everything else that survives a restart.

use super::cells::{Cells, State};
use super::codec::{read_events, write_events};
use super::event::{Act, Event, Passage};
use super::log::Log;
use super::replica::{GraphReplica, Peer, agent};
use super::text::Text;
use crate::contract::{Malformed, Seat};
use crate::crdt::attribution::Attribution;
use crate::crdt::causal::{Agent, Dot, Version};
use crate::crdt::codec::Dots;
use crate::crdt::snapshot::{CellReader, write_counter, write_register, write_set};
use crate::crdt::stability::Members;
use crate::document::{Cell, FieldKind, ReplicaId, Schema};
use crate::wire::{Reader, Writer};
use std::collections::BTreeMap;

/// The document as a peer gets it.
pub fn write_state(replica: &GraphReplica) -> Vec<u8> {
    let mut writer = Writer::new();
    write_cells(&mut writer, &replica.have, &replica.cells, false);
    writer.finish()
}

/// Appends a replica.
pub fn save(replica: &GraphReplica, out: &mut Vec<u8>) {
    let mut writer = Writer::after(std::mem::take(out));
    writer.uint(u64::from(replica.agent.incarnation()));
    writer.uint(replica.have.get(Agent::GENESIS));
    replica.have.write(&mut writer);
    write_cells(&mut writer, &replica.have, &replica.cells, true);
    writer.uint(replica.log.start());
    replica.log.dropped().write(&mut writer);
    let mut log = Writer::new();
    write_log(&mut log, replica.log.events());
    writer.blob(&log.finish());
    replica.stable.write(&mut writer);
    let mut own = Writer::new();
    write_log(&mut own, replica.own.iter());
    writer.blob(&own.finish());
    writer.count(replica.peers.len());
    for peer in &replica.peers {
        writer.replica(peer.id);
        peer.acked.write(&mut writer);
        peer.sent.write(&mut writer);
        writer.uint(peer.cursor);
        let flags = [peer.greeted, peer.met, peer.misled, peer.offered, peer.forgot];
        writer.byte((0..).zip(flags).map(|(bit, flag)| u8::from(flag) << bit).sum());
    }
    replica.members.write(&mut writer);
    replica.ids.write(&mut writer);
    writer.count(replica.replaced.len());
    for (edit, by) in &replica.replaced {
        writer.edit_id(*edit);
        writer.edit_id(*by);
    }
    *out = writer.finish();
}

/// Events, each by itself; the texts' graphs have what was typed.
fn write_log<'a>(writer: &mut Writer, events: impl ExactSizeIterator<Item = &'a Event<Passage>>) {
    writer.count(events.len());
    for event in events {
        if let Act::Type { cell, typed } = &event.act {
            writer.byte(1);
            event.first.agent.write(writer);
            writer.uint(event.first.counter);
            writer.uint(event.span);
            writer.cell(*cell);
            writer.uint(*typed as u64);
        } else {
            writer.byte(0);
            let mut one = Writer::new();
            write_events(&mut one, &[event.untyped()]);
            writer.blob(&one.finish());
        }
    }
}

fn read_log(
    reader: &mut Reader<'_>,
    cells: &Cells,
    have: &Version,
    schema: &Schema,
) -> Result<Vec<Event<Passage>>, Malformed> {
    let mut events = Vec::new();
    for _ in 0..reader.count(2)? {
        let event = if reader.byte()? == 1 {
            let agent = Agent::read(reader)?;
            let first = Dot { agent, counter: reader.uint()? };
            let span = reader.uint()?;
            let (cell, typed) = (reader.cell()?, reader.uint()?);
            let end = typed.checked_add(span);
            let known = cells.text(cell).map(|text| text.graph().end() as u64);
            if span == 0 || first.counter == 0 || end.is_none() || end > known {
                return Err(Malformed("the log names what was never typed"));
            }
            Event { first, span, act: Act::Type { cell, typed: typed as Passage } }
        } else {
            let mut one = read_events(&mut Reader::new(reader.blob()?))?;
            let event = one.pop().filter(|_| one.is_empty());
            event.and_then(Event::into_untyped).ok_or(Malformed("the log names no event"))?
        };
        let last = event.first.counter.checked_add(event.span - 1);
        let known = last.is_some_and(|last| last <= have.get(event.first.agent));
        if !known || !event.is_ready(have) || !event.fits(schema) {
            return Err(Malformed("the log holds events that the document lacks"));
        }
        events.push(event);
    }
    Ok(events)
}

/// Reads what [`save`] wrote, in the same seat.
///
/// # Errors
/// [`Malformed`] where it makes no sense.
pub fn restore(seat: &Seat<'_>, saved: &[u8]) -> Result<GraphReplica, Malformed> {
    let mut reader = Reader::new(saved);
    let life = reader.uint32()?;
    let lost_memory = life >> 16 != seat.incarnation;
    let name = if lost_memory {
        agent(seat.replica, seat.incarnation)
    } else {
        Agent::new(seat.replica, life)
    };
    let genesis = reader.uint()?;
    let mut have = Version::read(&mut reader)?;
    have.raise(Agent::GENESIS, genesis);
    let cells = read_cells(&mut reader, &have, seat.schema)?;
    let start = reader.uint()?;
    let dropped = Version::read(&mut reader)?;
    let mut log = Reader::new(reader.blob()?);
    let events = read_log(&mut log, &cells, &have, seat.schema)?;
    log.end()?;
    if start.checked_add(events.len() as u64).is_none() {
        return Err(Malformed("the log is too long"));
    }
    let log = Log::resume(start, dropped, events);
    let stable = Version::read(&mut reader)?;
    let mut own = Reader::new(reader.blob()?);
    let own_events = read_log(&mut own, &cells, &have, seat.schema)?;
    own.end()?;
    let mut peers = Vec::new();
    for _ in 0..reader.count(5)? {
        let peer = Peer {
            id: reader.replica()?,
            acked: Version::read(&mut reader)?,
            sent: Version::read(&mut reader)?,
            cursor: reader.uint()?,
            greeted: false,
            met: false,
            misled: false,
            forgot: false,
            offered: false,
        };
        let flags = reader.byte()?;
        if peer.cursor < log.start() || peer.cursor > log.end() || flags > 31 {
            return Err(Malformed("a peer's position is out of range"));
        }
        let misled = lost_memory || flags & 4 != 0;
        let (greeted, met, offered) = (flags & 1 != 0, flags & 2 != 0, flags & 8 != 0);
        let forgot = flags & 16 != 0;
        peers.push(Peer { greeted, met, misled, forgot, offered, ..peer });
    }
    let mut expected: Vec<ReplicaId> = seat.peers.to_vec();
    expected.sort_unstable();
    if !peers.iter().map(|peer| peer.id).eq(expected) {
        return Err(Malformed("the peers are those of another seat"));
    }
    let members = Members::read(&mut reader)?;
    let ids = Attribution::read(&mut reader)?;
    let mut replaced = BTreeMap::new();
    for _ in 0..reader.count(4)? {
        replaced.insert(reader.edit_id()?, reader.edit_id()?);
    }
    reader.end()?;
    Ok(GraphReplica {
        agent: name,
        schema: seat.schema.clone(),
        transport: seat.transport,
        is_star: seat.authority.is_some(),
        have,
        cells,
        log,
        peers,
        members,
        stable,
        own: own_events.into(),
        ids,
        replaced,
    })
}

/// Appends the document of a replica that has `have`; with what only that replica needs if `whole`.
fn write_cells(writer: &mut Writer, have: &Version, cells: &Cells, whole: bool) {
    let mut dots = Dots::of(have.agents());
    writer.count(cells.states().len());
    for (cell, state) in cells.states() {
        writer.cell(*cell);
        match state {
            State::Register(register) => write_register(writer, &mut dots, register),
            State::Counter(counter) => write_counter(writer, &mut dots, counter, true),
            State::Set(set) => write_set(writer, &mut dots, set),
            State::Text(text) => text.write(writer, &mut dots, whole),
        }
    }
}

/// Reads what [`write_cells`] wrote.
///
/// # Errors
/// [`Malformed`] where it makes no sense, or names a dot that `have` does not cover.
pub fn read_cells(
    reader: &mut Reader<'_>,
    have: &Version,
    schema: &Schema,
) -> Result<Cells, Malformed> {
    let mut all = CellReader::new(have);
    let mut states: BTreeMap<Cell, State> = BTreeMap::new();
    for _ in 0..reader.count(3)? {
        let cell = reader.cell()?;
        if states.last_key_value().is_some_and(|(last, _)| *last >= cell) {
            return Err(Malformed("cells are not ascending"));
        }
        let state = match schema.kind(cell.field).ok_or(Malformed("no such field"))? {
            FieldKind::Register => State::Register(all.register(reader)?),
            FieldKind::Counter => State::Counter(all.counter(reader)?),
            FieldKind::Set => State::Set(all.set(reader)?),
            FieldKind::Text => State::Text(Text::read(reader, &mut all.dots, have)?),
        };
        states.insert(cell, state);
    }
    Ok(Cells::from_states(states))
}
