//! Everything of a replica that survives a restart, as bytes.

use super::Protocol;
use super::log::{Entry, Log};
use super::reconciling::{Sets, number_before};
use super::replica::{Peer, VersionReplica};
use super::store::{Burial, Store};
use super::waiting::{Early, Waiting};
use crate::contract::{CargoIds, Malformed, Seat};
use crate::crdt::attribution::Attribution;
use crate::crdt::causal::{Agent, COUNTER_MAX, Span, Version};
use crate::crdt::codec::{
    Dots, Operation, Piece, read_deltas, read_operations, write_deltas, write_operations,
};
use crate::crdt::op::Delta;
use crate::crdt::sequence::TextOrder;
use crate::crdt::snapshot::{read_cells, write_cells};
use crate::crdt::stability::Members;
use crate::document::ReplicaId;
use crate::wire::{Reader, Writer};

/// Appends a replica.
pub fn save(replica: &VersionReplica, out: &mut Vec<u8>) {
    let mut writer = Writer::after(std::mem::take(out));
    save_store(&replica.store, &mut writer);
    writer.count(replica.peers.len());
    for peer in &replica.peers {
        save_peer(peer, &mut writer);
    }
    *out = writer.finish();
}

fn save_store(store: &Store, writer: &mut Writer) {
    writer.uint(u64::from(store.agent.incarnation()));
    writer.uint(store.have.get(Agent::GENESIS));
    store.have.write(writer);
    write_cells(writer, &store.have, &store.cells);
    writer.uint(store.log.start());
    store.log.dropped().write(writer);
    let mut log = Writer::new();
    match &store.told {
        None => {
            let pieces: Vec<Piece<'_>> = store.log.entries().map(|e| (&e.delta, 0)).collect();
            write_deltas(&mut log, &pieces);
        }
        Some(_) => write_operations(&mut log, &operations(store.log.entries())),
    }
    writer.blob(&log.finish());
    if let Some(told) = &store.told {
        told.write(writer);
        let mut waiting = Writer::new();
        write_operations(&mut waiting, &operations(store.waiting.iter().map(|early| &early.entry)));
        writer.blob(&waiting.finish());
        for early in store.waiting.iter() {
            writer.count(early.ids.len());
            for ids in &early.ids {
                writer.uint(u64::from(ids.element));
                writer.edit_id(ids.first);
                writer.uint(ids.count);
            }
        }
    }
    store.members.write(writer);
    store.stable.write(writer);
    writer.uint(store.searched_at_dots);
    let own: Vec<Piece<'_>> = store.own.iter().map(|delta| (delta, 0)).collect();
    let mut kept = Writer::new();
    write_deltas(&mut kept, &own);
    writer.blob(&kept.finish());
    writer.byte(u8::from(store.burial.is_some()));
    if let Some(Burial { as_of, deleted }) = &store.burial {
        as_of.write(writer);
        writer.count(deleted.len());
        for (cell, spans) in deleted {
            writer.cell(*cell);
            let mut dots = Dots::of(spans.iter().map(|span| span.first.agent).collect());
            dots.write_table(writer);
            writer.count(spans.len());
            for span in spans {
                dots.write(writer, span.first);
                writer.uint(span.len);
            }
        }
    }
    store.ids.write(writer);
}

fn restore_burial(reader: &mut Reader<'_>) -> Result<Option<Burial>, Malformed> {
    if reader.byte()? == 0 {
        return Ok(None);
    }
    let as_of = Version::read(reader)?;
    let mut deleted = Vec::new();
    for _ in 0..reader.count(5)? {
        let cell = reader.cell()?;
        let mut dots = Dots::read_table(reader)?;
        let mut spans = Vec::new();
        for _ in 0..reader.count(2)? {
            let (first, len) = (dots.read_some(reader)?, reader.uint()?);
            if len == 0 || len > COUNTER_MAX {
                return Err(Malformed("number of characters out of range"));
            }
            spans.push(Span { first, len });
        }
        deleted.push((cell, spans));
    }
    Ok(Some(Burial { as_of, deleted }))
}

fn operations<'a>(entries: impl Iterator<Item = &'a Entry>) -> Vec<Operation<'a>> {
    entries.map(|entry| (&entry.delta, &entry.saw)).collect()
}

fn save_peer(peer: &Peer, writer: &mut Writer) {
    writer.replica(peer.id);
    writer.uint(u64::from(peer.life));
    peer.acked.write(writer);
    peer.sent.write(writer);
    writer.uint(peer.cursor);
    writer.uint(peer.digests);
    let exchanges = &peer.exchanges;
    let (has_asked, has_taken) = (peer.asked.is_some(), exchanges.last_taken.is_some());
    let said = [peer.greeted, peer.met, peer.misled, peer.offered];
    let flags = said.into_iter().chain([has_asked, exchanges.is_open, has_taken]);
    writer.byte((0..).zip(flags).map(|(bit, flag)| u8::from(flag) << bit).sum());
    if let Some(asked) = &peer.asked {
        asked.write(writer);
    }
    if let Some((sender, number)) = exchanges.last_taken {
        sender.write(writer);
        writer.uint(number);
    }
}

/// Reads what [`save`] wrote, in the same seat.
///
/// # Errors
/// [`Malformed`] where it makes no sense.
pub fn restore(
    seat: &Seat<'_>,
    protocol: Protocol,
    text_order: TextOrder,
    saved: &[u8],
) -> Result<VersionReplica, Malformed> {
    let mut reader = Reader::new(saved);
    let lost_memory = Reader::new(saved).uint32()? >> 16 != seat.incarnation;
    let mut store = restore_store(seat, protocol, text_order, &mut reader)?;
    if lost_memory {
        // Under its new name it has said nothing yet.
        store.told = store.told.map(|_| Version::new());
        store.members.start_over();
    }
    let mut peers = Vec::new();
    for _ in 0..reader.count(7)? {
        let mut peer = restore_peer(&mut reader)?;
        if peer.cursor < store.log.start() || peer.cursor > store.log.end() {
            return Err(Malformed("a peer's position is out of range"));
        }
        peer.misled |= lost_memory;
        if lost_memory && protocol.reconciles() {
            peer.digests = peer.digests.max(number_before(seat.incarnation));
        }
        peers.push(peer);
    }
    let mut expected: Vec<ReplicaId> = seat.peers.to_vec();
    expected.sort_unstable();
    if !peers.iter().map(|peer| peer.id).eq(expected) {
        return Err(Malformed("the peers are those of another seat"));
    }
    reader.end()?;
    let (transport, is_star) = (seat.transport, seat.authority.is_some());
    let sets = Sets::default();
    Ok(VersionReplica { protocol, transport, is_star, store, sets, peers })
}

fn restore_store(
    seat: &Seat<'_>,
    protocol: Protocol,
    text_order: TextOrder,
    reader: &mut Reader<'_>,
) -> Result<Store, Malformed> {
    let life = reader.uint32()?;
    let genesis = reader.uint()?;
    let mut have = Version::read(reader)?;
    have.raise(Agent::GENESIS, genesis);
    let cells = read_cells(reader, &have, seat.schema, text_order)?;
    let start = reader.uint()?;
    let dropped = Version::read(reader)?;
    let mut log = Reader::new(reader.blob()?);
    let entries = if protocol.one_by_one() {
        read_entries(&mut log)?
    } else {
        let plain = |delta| Entry { delta, saw: Version::new() };
        read_deltas(&mut log)?.into_iter().map(plain).collect()
    };
    let known = |Entry { delta, saw }: &Entry| {
        let fits = delta.fits(seat.schema, text_order);
        have.covers(delta.last()) && have.reaches(saw) && delta.is_ready(&have) && fits
    };
    if !entries.iter().all(known) || start.checked_add(entries.len() as u64).is_none() {
        return Err(Malformed("the log holds changes that the document lacks"));
    }
    let (mut told, mut waiting) = (None, Waiting::default());
    if protocol.one_by_one() {
        told = Some(Version::read(reader)?);
        for entry in read_entries(&mut Reader::new(reader.blob()?))? {
            if !entry.delta.fits(seat.schema, text_order) {
                return Err(Malformed("an operation that waits does not fit the schema"));
            }
            waiting.keep(Early { entry, ids: restore_ids(reader)? });
        }
    }
    let members = Members::read(reader)?;
    let stable = Version::read(reader)?;
    let searched_at_dots = reader.uint()?;
    let own = read_deltas(&mut Reader::new(reader.blob()?))?;
    let fits = |delta: &Delta| delta.fits(seat.schema, text_order);
    if !own.iter().all(|delta| have.covers(delta.last()) && fits(delta)) {
        return Err(Malformed("own changes that the document lacks"));
    }
    Ok(Store {
        agent: match life >> 16 == seat.incarnation {
            true => Agent::new(seat.replica, life),
            false => Agent::seated(seat.replica, seat.incarnation),
        },
        schema: seat.schema.clone(),
        have,
        cells,
        log: Log::resume(start, dropped, entries),
        told,
        waiting,
        members,
        stable,
        own: own.into(),
        burial: restore_burial(reader)?,
        searched_at_dots,
        ids: Attribution::read(reader)?,
    })
}

fn read_entries(reader: &mut Reader<'_>) -> Result<Vec<Entry>, Malformed> {
    let operations = read_operations(reader)?;
    Ok(operations.into_iter().map(|(delta, saw)| Entry { delta, saw }).collect())
}

fn restore_ids(reader: &mut Reader<'_>) -> Result<Vec<CargoIds>, Malformed> {
    (0..reader.count(4)?)
        .map(|_| {
            Ok(CargoIds {
                element: reader.uint32()?,
                first: reader.edit_id()?,
                count: reader.uint()?,
            })
        })
        .collect()
}

fn restore_peer(reader: &mut Reader<'_>) -> Result<Peer, Malformed> {
    let mut peer = Peer::new(reader.replica()?);
    peer.life = reader.uint32()?;
    peer.acked = Version::read(reader)?;
    peer.sent = Version::read(reader)?;
    peer.cursor = reader.uint()?;
    peer.digests = reader.uint()?;
    let flags = reader.byte()?;
    if flags > 127 {
        return Err(Malformed("unknown marks of a peer"));
    }
    let is_set = |bit: u8| flags & 1 << bit != 0;
    (peer.greeted, peer.met, peer.misled, peer.offered) =
        (is_set(0), is_set(1), is_set(2), is_set(3));
    peer.exchanges.is_open = is_set(5);
    if is_set(4) {
        peer.asked = Some(Version::read(reader)?);
    }
    if is_set(6) {
        peer.exchanges.last_taken = Some((Agent::read(reader)?, reader.uint()?));
    }
    Ok(peer)
}
