//! What survives a restart.

use super::leaf::Leaf;
use super::peer::Peer;
use super::purge::Members;
use super::record::Record;
use super::replica::{RevisionTreeReplica, feed};
use super::story::Story;
use crate::contract::{Malformed, Seat};
use crate::document::{RecordId, ReplicaId};
use crate::wire::{Reader, Writer};
use std::collections::BTreeSet;

impl RevisionTreeReplica {
    pub(super) fn write_snapshot(&self, out: &mut Vec<u8>) {
        let mut bytes = Writer::after(std::mem::take(out));
        bytes.uint(u64::from(self.incarnation));
        bytes.uint(self.seq);
        bytes.count(self.records.len());
        for (id, record) in &self.records {
            bytes.uint(u64::from(id.0));
            bytes.uint(record.seq);
            bytes.count(record.seen_by.len());
            record.seen_by.iter().for_each(|replica| bytes.replica(*replica));
            bytes.count(record.leaves().len());
            for leaf in record.leaves() {
                leaf.write(&mut bytes);
                leaf.story.save(&mut bytes);
            }
        }
        bytes.count(self.peers.len());
        self.peers.iter().for_each(|peer| peer.save(&mut bytes));
        self.members.save(&mut bytes);
        *out = bytes.finish();
    }

    /// The replica that wrote a snapshot.
    pub fn restore(revs_limit: usize, seat: &Seat<'_>, saved: &[u8]) -> Result<Self, Malformed> {
        let mut bytes = Reader::new(saved);
        let mut replica = Self::vacant(revs_limit, seat);
        let incarnation = bytes.uint32()?;
        replica.seq = bytes.uint()?;
        for _ in 0..bytes.count(5)? {
            let (id, seq) = (RecordId(bytes.uint32()?), bytes.uint()?);
            let mut seen_by: BTreeSet<ReplicaId> = BTreeSet::new();
            for _ in 0..bytes.count(1)? {
                seen_by.insert(bytes.replica()?);
            }
            let mut leaves = Vec::new();
            for _ in 0..bytes.count(20)? {
                let leaf = Leaf::read(&mut bytes)?;
                leaves.push(leaf.with(Story::restore(&mut bytes)?));
            }
            if leaves.is_empty() {
                return Err(Malformed("a record without revisions"));
            }
            replica.records.insert(id, Record::of(leaves, seq, seen_by));
        }
        for _ in 0..bytes.count(5)? {
            replica.peers.push(Peer::restore(&mut bytes)?);
        }
        replica.members = Members::restore(seat, &mut bytes)?;
        bytes.end()?;
        let mut expected = seat.peers.to_vec();
        expected.sort();
        if !expected.iter().eq(replica.peers.iter().map(|peer| &peer.id)) {
            return Err(Malformed("snapshot from another seat"));
        }
        let exists = |id: &RecordId| replica.records.contains_key(id);
        if !replica.peers.iter().all(|peer| peer.owed_records().all(exists))
            || !replica.members.ripe_records().all(exists)
        {
            return Err(Malformed("a record is spoken of that does not exist"));
        }
        if incarnation != seat.incarnation {
            for peer in &mut replica.peers {
                peer.reborn(seat.incarnation, feed(&replica.records));
            }
        }
        Ok(replica)
    }
}
