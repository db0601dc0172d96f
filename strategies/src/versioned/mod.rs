//! Versions on the wire: replicas of different releases understand each other.
//!
//! Every message begins with one byte. Its low half is the version in which the message is written, its high half the newest version
//! that its sender reads. A replica writes each message in the oldest version that can say it and never in one that the receiver does not read,
//! so a peer of an older release is answered in its version; a message of a version that nobody here knows is refused with that
//! reason.
//!
//! - **Version 1**: the strategy's own bytes follow.
//! - **Version 2**: fields that a later release may know stand before them ([`Field`]). This release knows none. What it is told it keeps, saves
//!   and passes on to every peer that reads version 2, as a relay between two later releases must. A field is repeated until the
//!   peer has confirmed it.
//!
//! The halves of a byte are the scheme of TLS (RFC 8446, section 4.2.1: each side says all it speaks, the common version is used) for the
//! price of one byte; that unknown fields are kept is the rule of Protocol Buffers since 3.5.

mod message;

#[cfg(test)]
mod tests;

use crate::contract::*;
use crate::document::{Cell, PartitionId, Rendering, ReplicaId, Scope};
use crate::wire::{Reader, Writer};
use message::{Opened, PLAIN, WITH_FIELDS, open, write};
use std::collections::{BTreeMap, BTreeSet};

pub use message::{Field, FieldKey};

/// Format of what [`Replica::save`] writes.
const SAVED: u8 = 1;
/// Most fields that a replica keeps: a stranger cannot fill its memory.
const MOST_FIELDS: usize = 64;

/// A strategy whose messages carry versions.
#[derive(Clone, Copy, Debug)]
pub struct Versioned<S>(pub S);

impl<S: Strategy> Strategy for Versioned<S> {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn profile(&self) -> Profile {
        self.0.profile()
    }

    fn create(&self, seat: &Seat<'_>) -> Box<dyn Replica> {
        let inner = self.0.create(seat);
        Box::new(VersionedReplica { inner, peers: BTreeMap::new(), fields: BTreeMap::new() })
    }

    fn restore(&self, seat: &Seat<'_>, saved: &[u8]) -> Result<Box<dyn Replica>, Malformed> {
        let mut reader = Reader::new(saved);
        if reader.byte()? != SAVED {
            return Err(Malformed("a snapshot of another release"));
        }
        let mut fields = BTreeMap::new();
        for _ in 0..reader.count(3)? {
            let field = Field::read(&mut reader)?;
            fields.insert(field.key, field);
        }
        let mut peers = BTreeMap::new();
        for _ in 0..reader.count(4)? {
            peers.insert(reader.replica()?, Peer::read(&mut reader)?);
        }
        let rest = reader.remaining();
        let inner = self.0.restore(seat, reader.raw(rest)?)?;
        Ok(Box::new(VersionedReplica { inner, peers, fields }))
    }

    fn recode(&self, message: &[u8]) -> Result<Vec<u8>, Malformed> {
        let opened = open(message)?;
        let body = opened.body.map(|body| self.0.recode(body)).transpose()?;
        Ok(write(opened.reads, opened.told.as_deref(), body))
    }
}

/// What is known of a peer.
#[derive(Clone, Debug, Default)]
struct Peer {
    /// The newest version that it reads; 0 where it has not spoken yet.
    reads: u8,
    /// Which fields it has, by number.
    has: BTreeMap<FieldKey, u64>,
    /// Fields that it waits to see confirmed.
    awaits: BTreeSet<FieldKey>,
}

impl Peer {
    fn write(&self, writer: &mut Writer) {
        writer.byte(self.reads);
        writer.count(self.has.len());
        for (key, number) in &self.has {
            key.write(writer);
            writer.uint(*number);
        }
        writer.count(self.awaits.len());
        self.awaits.iter().for_each(|key| key.write(writer));
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut peer = Peer { reads: reader.byte()?, ..Peer::default() };
        for _ in 0..reader.count(3)? {
            peer.has.insert(FieldKey::read(reader)?, reader.uint()?);
        }
        for _ in 0..reader.count(2)? {
            peer.awaits.insert(FieldKey::read(reader)?);
        }
        Ok(peer)
    }
}

/// A replica behind the leading byte.
struct VersionedReplica {
    inner: Box<dyn Replica>,
    /// Everybody who has spoken.
    peers: BTreeMap<ReplicaId, Peer>,
    /// What later releases told, to be passed on.
    fields: BTreeMap<FieldKey, Field>,
}

impl VersionedReplica {
    /// What a peer is to be told: fields that it lacks, and confirmations of those that it sent.
    fn owed(&self, peer: &Peer) -> Vec<Field> {
        let lacking =
            |field: &Field| peer.has.get(&field.key).is_none_or(|has| *has < field.number);
        let owed = self.fields.values().filter_map(|field| match lacking(field) {
            true => Some(field.clone()),
            false => peer.awaits.contains(&field.key).then(|| field.confirmation()),
        });
        owed.collect()
    }

    /// Takes what a peer told of itself, and the fields.
    fn take(&mut self, from: ReplicaId, reads: u8, told: Vec<Field>) {
        let peer = self.peers.entry(from).or_default();
        peer.reads = reads;
        for field in told {
            let has = peer.has.entry(field.key).or_default();
            *has = field.number.max(*has);
            if field.content.is_none() {
                continue;
            }
            peer.awaits.insert(field.key);
            let here = self.fields.get(&field.key).map(|here| here.number);
            if here.is_none_or(|here| here < field.number) {
                self.fields.insert(field.key, field);
            }
        }
    }

    /// Puts the leading byte before every message, and fields into the first one.
    fn seal(&mut self, out: &mut Outbox) {
        for output in &mut out.outputs {
            if let Output::Send { to, bytes, .. } = output {
                match self.tell(*to) {
                    None => bytes.insert(0, message::lead(PLAIN, WITH_FIELDS)),
                    told => {
                        *bytes = write(WITH_FIELDS, told.as_deref(), Some(std::mem::take(bytes)));
                        out.work_units += 1;
                    }
                }
            }
        }
    }

    /// The fields that a message to a peer brings, where it reads any and there are some.
    fn tell(&mut self, to: ReplicaId) -> Option<Vec<Field>> {
        let peer = self.peers.get(&to).filter(|peer| peer.reads >= WITH_FIELDS)?;
        if self.fields.is_empty() {
            return None;
        }
        let told = self.owed(peer);
        self.peers.get_mut(&to)?.awaits.clear();
        (!told.is_empty()).then_some(told)
    }
}

impl Replica for VersionedReplica {
    fn handle(
        &mut self,
        clock: Clock,
        input: Input<'_>,
        out: &mut Outbox,
    ) -> Result<(), Malformed> {
        let Input::Receive { from, bytes, cargo } = input else {
            self.inner.handle(clock, input, out)?;
            self.seal(out);
            if let Input::Sync { peer } = input
                && let Some(told) = self.tell(peer)
            {
                out.send(peer, write(WITH_FIELDS, Some(&told), None), Cargo::default());
                out.work(told.len() as u64);
            }
            return Ok(());
        };
        let Opened { reads, told, body } = open(bytes)?;
        let told = told.unwrap_or_default();
        let new = told.iter().filter(|field| !self.fields.contains_key(&field.key)).count();
        if self.fields.len() + new > MOST_FIELDS {
            return Err(Malformed("more fields than a document may carry"));
        }
        if let Some(body) = body {
            self.inner.handle(clock, Input::Receive { from, bytes: body, cargo }, out)?;
        }
        self.take(from, reads, told);
        self.seal(out);
        Ok(())
    }

    fn pending(&self, peer: ReplicaId) -> Pending {
        let mut pending = self.inner.pending(peer);
        if !self.fields.is_empty()
            && let Some(peer) = self.peers.get(&peer).filter(|peer| peer.reads >= WITH_FIELDS)
        {
            pending.edits += self.owed(peer).len() as u64;
        }
        pending
    }

    fn length(&self, cell: Cell) -> usize {
        self.inner.length(cell)
    }

    fn render(&self, scope: Scope, out: &mut Rendering) {
        self.inner.render(scope, out);
    }

    fn fingerprint(&self, partition: PartitionId) -> u128 {
        self.inner.fingerprint(partition)
    }

    fn save(&self, out: &mut Vec<u8>) {
        let mut writer = Writer::after(std::mem::take(out));
        writer.byte(SAVED);
        writer.count(self.fields.len());
        self.fields.values().for_each(|field| field.write(&mut writer));
        writer.count(self.peers.len());
        for (replica, peer) in &self.peers {
            writer.replica(*replica);
            peer.write(&mut writer);
        }
        *out = writer.finish();
        self.inner.save(out);
    }

    fn footprint(&self) -> Footprint {
        let mut footprint = self.inner.footprint();
        let fields: u64 = self.fields.values().map(Field::bytes).sum();
        footprint.metadata_bytes += fields * (1 + self.peers.len() as u64);
        footprint
    }
}
