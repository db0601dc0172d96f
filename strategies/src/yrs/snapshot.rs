//! What survives a restart: the library's whole state as one update, and the bookkeeping beside it.

use super::message::Vector;
use super::peer::{Entry, Peer, UnderWay};
use super::replica::YrsReplica;
use super::story::Story;
use super::update::Update;
use crate::contract::{Malformed, Seat};
use crate::wire::{Reader, Writer};

/// Appends everything that survives.
pub fn save(replica: &YrsReplica, out: &mut Vec<u8>) {
    let mut writer = Writer::after(std::mem::take(out));
    writer.blob(&replica.document.difference(&Vector::new()).write());
    replica.story.write(&mut writer);
    writer.uint(replica.log.start);
    writer.count(replica.log.entries.len());
    for entry in &replica.log.entries {
        writer.blob(&entry.update.write());
    }
    writer.count(replica.unconfirmed.len());
    for (end, id) in &replica.unconfirmed {
        writer.uint(*end);
        writer.edit_id(*id);
    }
    writer.count(replica.peers.len());
    for (name, peer) in &replica.peers {
        writer.replica(*name);
        write_peer(&mut writer, peer);
    }
    *out = writer.finish();
}

fn write_peer(writer: &mut Writer, peer: &Peer) {
    let flags = [peer.asked, peer.heard, peer.steady];
    writer.byte(flags.iter().rev().fold(0, |byte, flag| byte << 1 | u8::from(*flag)));
    let counts = [peer.told as u64, peer.told_surely as u64];
    for number in [u64::from(peer.incarnation), peer.sent, peer.acked, peer.serial] {
        writer.uint(number);
    }
    counts.iter().for_each(|count| writer.uint(*count));
    writer.count(peer.has.len());
    peer.has.iter().for_each(|entry| writer.uint(*entry));
    writer.count(peer.under_way.len());
    for UnderWay { serial, log, edits } in &peer.under_way {
        writer.uint(*serial);
        writer.uint(*log);
        writer.count(*edits);
    }
}

fn read_peer(reader: &mut Reader<'_>) -> Result<Peer, Malformed> {
    let flags = reader.byte()?;
    let mut peer = Peer {
        asked: flags & 1 != 0,
        heard: flags & 2 != 0,
        steady: flags & 4 != 0,
        incarnation: reader.uint32()?,
        sent: reader.uint()?,
        acked: reader.uint()?,
        serial: reader.uint()?,
        told: reader.uint()? as usize,
        told_surely: reader.uint()? as usize,
        ..Peer::default()
    };
    for _ in 0..reader.count(1)? {
        peer.has.push_back(reader.uint()?);
    }
    for _ in 0..reader.count(3)? {
        let (serial, log) = (reader.uint()?, reader.uint()?);
        peer.under_way.push_back(UnderWay { serial, log, edits: reader.uint()? as usize });
    }
    Ok(peer)
}

/// The replica that saved these bytes.
///
/// # Errors
/// [`Malformed`] where they are no such snapshot.
pub fn restore(seat: &Seat<'_>, saved: &[u8]) -> Result<YrsReplica, Malformed> {
    let mut reader = Reader::new(saved);
    let mut replica = YrsReplica::empty(seat);
    let state = Update::read_exactly(reader.blob()?)?;
    replica
        .document
        .check(&state)
        .map_err(|_| Malformed("a saved state does not stand by itself"))?;
    replica.document.apply(&state)?;
    replica.story = Story::read(&mut reader)?;
    replica.log.start = reader.uint()?;
    for _ in 0..reader.count(1)? {
        let bytes = reader.blob()?;
        let update = Update::read_exactly(bytes)?;
        replica.log.entries.push_back(Entry { update, bytes: bytes.len() as u64 });
    }
    for _ in 0..reader.count(3)? {
        let end = reader.uint()?;
        replica.unconfirmed.push_back((end, reader.edit_id()?));
    }
    let names: Vec<_> = replica.peers.iter().map(|(name, _)| *name).collect();
    if reader.count(1)? != names.len() {
        return Err(Malformed("a snapshot from another seat"));
    }
    for (at, name) in names.into_iter().enumerate() {
        if reader.replica()? != name {
            return Err(Malformed("a snapshot from another seat"));
        }
        let mut peer = read_peer(&mut reader)?;
        peer.serial = peer.serial.max(Peer::new(seat.incarnation).serial);
        replica.peers[at].1 = peer;
    }
    reader.end()?;
    Ok(replica)
}
