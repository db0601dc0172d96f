//! What gossip needs of a replica by version: its latest operations by position in the log, whether it knows an operation, and a checksum
//! of all that it has.

use super::log::Entry;
use super::message::{Body, Brought, Head, read_message, write_message};
use super::replica::VersionReplica;
use crate::contract::{Cargo, Malformed, Outbox, Transport};
use crate::crdt::causal::Version;
use crate::crdt::op::Op;
use crate::document::ReplicaId;
use std::ops::Range;

/// A message that was read.
#[derive(Debug)]
pub struct RumorMessage(Head, Brought);

impl RumorMessage {
    /// Reads one.
    ///
    /// # Errors
    /// [`Malformed`] where it makes no sense.
    pub fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        let (head, brought) = read_message(bytes)?;
        Ok(RumorMessage(head, brought))
    }

    /// How many operations it brings.
    pub fn operations(&self) -> usize {
        match &self.1 {
            Brought::Operations(entries) => entries.len(),
            _ => 0,
        }
    }
}

impl VersionReplica {
    /// Positions of the operations that some peer may still lack, in the order in which they were applied here.
    pub fn logged(&self) -> Range<u64> {
        self.store.log.start()..self.store.log.end()
    }

    /// A message that brings the operations at these positions, which are in the log and ascend.
    pub fn rumors(&self, positions: &[u64], out: &mut Outbox) -> (Vec<u8>, Cargo) {
        let (store, mut cargo) = (&self.store, Cargo::default());
        let (mut operations, mut dots) = (Vec::with_capacity(positions.len()), 0);
        for position in positions {
            let Entry { delta, saw } = store.log.at(*position).expect("a rumor is in the log");
            store.ids.ride(delta.first, delta.span, dots, &mut cargo.ids);
            dots += delta.span;
            cargo.elements += delta.elements(0);
            cargo.content_bytes += delta.content_bytes(0);
            out.work(1 + saw.len() as u64);
            operations.push((delta, saw));
        }
        let head = Head { life: store.agent.incarnation(), ..Head::default() };
        let bytes = write_message(&head, &Body::Operations(operations));
        (bytes.expect("it brings something"), cargo)
    }

    /// Which of the operations in a message are known here, those that wait included, and whether one of the others is an edit.
    pub fn known(&self, message: &RumorMessage, out: &mut Outbox) -> (Vec<bool>, bool) {
        let Brought::Operations(entries) = &message.1 else { return (Vec::new(), false) };
        out.work(entries.len() as u64);
        let mut brings_edits = false;
        let known = entries.iter().map(|Entry { delta, .. }| {
            let known =
                self.store.have.covers(delta.last()) || self.store.waiting.holds(delta.first);
            brings_edits |= !known && !matches!(delta.op, Op::Saw(_));
            known
        });
        (known.collect(), brings_edits)
    }

    /// Takes a message.
    ///
    /// # Errors
    /// [`Malformed`] where it makes no sense; nothing has changed then.
    pub fn receive_message(
        &mut self,
        from: ReplicaId,
        message: RumorMessage,
        cargo: &Cargo,
        out: &mut Outbox,
    ) -> Result<(), Malformed> {
        self.receive_read(from, (message.0, message.1), cargo, out)
    }

    /// Notes that operations at these positions are on their way to a peer: over a session they arrive, or the session is lost.
    pub fn passed_on(&mut self, to: ReplicaId, positions: &[u64]) -> Result<(), Malformed> {
        let at = self.peer(to)?;
        if self.transport == Transport::Session {
            for position in positions {
                let entry = self.store.log.at(*position).expect("a rumor is in the log");
                let last = entry.delta.last();
                self.peers[at].sent.raise(last.agent, last.counter);
            }
        }
        Ok(())
    }

    /// Whether a peer must first be told who is who: it was gone, or this replica lost its memory.
    pub fn must_introduce(&self, peer: ReplicaId) -> bool {
        self.peer(peer).is_ok_and(|at| self.store.members.is_gone(peer) || self.peers[at].misled)
    }

    /// Whether a peer told its version since the link opened, or ever over datagrams.
    pub fn has_met(&self, peer: ReplicaId) -> bool {
        self.peer(peer).is_ok_and(|at| self.peers[at].met)
    }

    /// Whether a peer is known to have all that is here.
    pub fn is_level(&self, peer: ReplicaId) -> bool {
        self.peer(peer).is_ok_and(|at| self.peers[at].acked.reaches(&self.store.have))
    }

    /// A peer's checksum equals [`VersionReplica::checksum`]: it has all that is here.
    pub fn agree(&mut self, peer: ReplicaId) -> Result<(), Malformed> {
        let at = self.peer(peer)?;
        let all = self.store.have.news(&Version::new());
        let peer = &mut self.peers[at];
        peer.acked.join(&all);
        peer.sent.join(&all);
        peer.cursor = self.store.log.first_unknown(peer.cursor, &all);
        self.prune();
        Ok(())
    }

    /// Asks a peer for its version, so that each side brings what the other one lacks.
    pub fn compare(&mut self, id: ReplicaId, out: &mut Outbox) -> Result<(), Malformed> {
        let at = self.peer(id)?;
        let peer = &mut self.peers[at];
        if peer.met {
            (peer.met, peer.greeted) = (false, false);
        }
        self.sync(id, out)
    }

    /// Says to a peer what is to be said as things stand.
    pub fn introduce(&mut self, id: ReplicaId, out: &mut Outbox) -> Result<(), Malformed> {
        self.sync(id, out)
    }

    /// A digest of all that this replica has, in 64 bits: equal versions have equal ones, others equal ones by an accident that is not to be
    /// expected.
    pub fn checksum(&self, out: &mut Outbox) -> u64 {
        let mut sum = 0x6f73_7369_7000_0067_u64;
        let mut mix = |word: u64| {
            // The finalizer of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
            sum = (sum ^ word).wrapping_add(0x9e37_79b9_7f4a_7c15);
            sum = (sum ^ sum >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            sum = (sum ^ sum >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            sum ^= sum >> 31;
        };
        for (agent, counter) in self.store.have.iter() {
            mix(agent.bits());
            mix(counter);
        }
        out.work(self.store.have.len() as u64);
        sum
    }
}
