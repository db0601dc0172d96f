//! A replica as bytes: everything that survives a restart.

use super::Protocol;
use super::buffer::{Buffer, Entry};
use super::codec::{read_group, write_group};
use super::group::Group;
use super::notes::Notes;
use super::peer::Peer;
use super::replica::GroupReplica;
use super::said::{read_rows, write_rows};
use super::stable::Burial;
use super::whole::Whole;
use crate::contract::{Malformed, Seat};
use crate::crdt::causal::{Agent, Dot, Span, Version};
use crate::crdt::sequence::TextOrder;
use crate::crdt::snapshot::{read_cells, write_cells};
use crate::crdt::stability::Members;
use crate::document::ReplicaId;
use crate::wire::{Reader, Writer};

/// Appends a replica.
pub fn save(replica: &GroupReplica, out: &mut Vec<u8>) {
    let mut writer = Writer::after(std::mem::take(out));
    writer.uint(u64::from(replica.agent.incarnation()));
    writer.uint(replica.have.get(Agent::GENESIS));
    replica.have.write(&mut writer);
    write_cells(&mut writer, &replica.have, &replica.cells);
    writer.uint(replica.buffer.start());
    writer.uint(replica.buffer.before());
    writer.uint(replica.buffer.told());
    writer.count(replica.buffer.entries().len());
    for entry in replica.buffer.entries() {
        writer.byte(u8::from(entry.from.is_some()) | u8::from(entry.is_whole) << 1);
        entry.from.iter().for_each(|from| writer.replica(*from));
        write_group(&mut writer, &entry.group);
    }
    writer.count(replica.peers.len());
    replica.peers.iter().for_each(|peer| peer.write(&mut writer));
    replica.notes.write(&mut writer);
    replica.members.write(&mut writer);
    write_rows(&mut writer, &replica.said);
    writer.byte(u8::from(replica.burial.is_some()));
    if let Some(Burial { as_of, deleted }) = &replica.burial {
        as_of.write(&mut writer);
        writer.count(deleted.len());
        for (cell, spans) in deleted {
            writer.cell(*cell);
            writer.count(spans.len());
            for span in spans {
                span.first.agent.write(&mut writer);
                writer.uint(span.first.counter);
                writer.uint(span.len);
            }
        }
    }
    *out = writer.finish();
}

/// Reads what [`save`] wrote, in the same seat.
///
/// # Errors
/// [`Malformed`] where it makes no sense.
pub fn restore(
    protocol: Protocol,
    text_order: TextOrder,
    seat: &Seat<'_>,
    saved: &[u8],
) -> Result<GroupReplica, Malformed> {
    let mut reader = Reader::new(saved);
    let agent = Agent::new(seat.replica, reader.uint32()?);
    let lost_memory = agent.incarnation() >> 16 != seat.incarnation;
    let agent = if lost_memory { Agent::seated(seat.replica, seat.incarnation) } else { agent };
    let genesis = reader.uint()?;
    let mut have = Version::read(&mut reader)?;
    have.raise(Agent::GENESIS, genesis);
    let cells = read_cells(&mut reader, &have, seat.schema, text_order)?;
    let (start, before, told) = (reader.uint()?, reader.uint()?, reader.uint()?);
    let (mut entries, mut through) = (Vec::new(), before);
    for _ in 0..reader.count(4)? {
        let flags = reader.byte()?;
        if flags > 3 {
            return Err(Malformed("unknown flags of a group"));
        }
        let from = if flags & 1 != 0 { Some(reader.replica()?) } else { None };
        let group: Group = read_group(&mut reader)?;
        group.check(seat.schema, text_order, &have, Agent::GENESIS)?;
        through = through
            .checked_add(group.elements().max(1))
            .ok_or(Malformed("number of elements out of range"))?;
        entries.push(Entry { from, group, is_whole: flags & 2 != 0, through });
    }
    if start.checked_add(entries.len() as u64).is_none() {
        return Err(Malformed("positions out of range"));
    }
    let buffer = Buffer::resume(start, before, told, entries);
    let mut peers = Vec::new();
    for _ in 0..reader.count(10)? {
        let mut peer = Peer::read(&mut reader)?;
        if peer.confirmed.next.max(peer.sent.next) > buffer.end() {
            return Err(Malformed("a peer's position is out of range"));
        }
        if lost_memory {
            // Nobody has heard of this life's stream. What this replica has of theirs it still has.
            peer.forget();
        }
        peers.push(peer);
    }
    let mut expected: Vec<ReplicaId> = seat.peers.to_vec();
    expected.sort_unstable();
    if !peers.iter().map(|peer| peer.id).eq(expected) {
        return Err(Malformed("the peers are those of another seat"));
    }
    let notes = Notes::read(&mut reader)?;
    let mut members = Members::read(&mut reader)?;
    if lost_memory {
        members.start_over();
    }
    let said = read_rows(&mut reader)?;
    let burial = if reader.byte()? == 1 { Some(read_burial(&mut reader)?) } else { None };
    reader.end()?;
    Ok(GroupReplica {
        protocol,
        agent,
        schema: seat.schema.clone(),
        transport: seat.transport,
        have,
        cells,
        buffer,
        peers,
        notes,
        whole: Whole::default(),
        members,
        said,
        burial,
    })
}

fn read_burial(reader: &mut Reader<'_>) -> Result<Burial, Malformed> {
    let as_of = Version::read(reader)?;
    let mut deleted = Vec::new();
    for _ in 0..reader.count(3)? {
        let cell = reader.cell()?;
        let mut spans = Vec::new();
        for _ in 0..reader.count(3)? {
            let first = Dot { agent: Agent::read(reader)?, counter: reader.uint()? };
            let len = reader.uint()?;
            if first.counter.checked_add(len).is_none() {
                return Err(Malformed("number of dots out of range"));
            }
            spans.push(Span { first, len });
        }
        deleted.push((cell, spans));
    }
    Ok(Burial { as_of, deleted })
}
