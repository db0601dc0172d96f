//! What a replica says when it may: the join of the groups that a peer lacks, or its whole state.

use super::Protocol;
use super::buffer::Entry;
use super::message::{Body, Head, write_message};
use super::notes::Addition;
use super::peer::{Cursor, Peer};
use super::replica::GroupReplica;
use super::said::Row;
use super::spans;
use crate::contract::{Cargo, Malformed, Outbox, Transport};
use crate::crdt::causal::{Dot, Span, Version};
use crate::crdt::cells::State;
use crate::document::{Cell, ReplicaId};

impl GroupReplica {
    /// From where on a peer must be told: of what it has, or, over sessions, of what it has or gets before.
    pub(super) fn base<'a>(&self, peer: &'a Peer) -> &'a Cursor {
        match self.transport {
            Transport::Session => &peer.sent,
            Transport::Datagram => &peer.confirmed,
        }
    }

    /// Whether what a peer lacks is not in the buffer, or not as a group.
    pub(super) fn needs_whole(&self, peer: &Peer) -> bool {
        if self.begins_again(peer) {
            return true;
        }
        let next = self.base(peer).next;
        let came_whole = |entry: &Entry| entry.is_whole && entry.from != Some(peer.id);
        next < self.buffer.start().max(peer.reborn)
            || self.buffer.holds_whole() && self.buffer.since(next).any(came_whole)
    }

    /// Whether a peer must begin a new life, on this replica's document.
    pub(super) fn begins_again(&self, peer: &Peer) -> bool {
        peer.again || self.members.is_gone(peer.id)
    }

    pub(super) fn head(&self, peer: &Peer) -> Head {
        Head {
            asks: false,
            incarnation: self.agent.incarnation(),
            yours: peer.incarnation,
            heard: peer.heard,
            version: (self.protocol == Protocol::State).then(|| self.have.clone()),
        }
    }

    pub(super) fn sync(&mut self, id: ReplicaId, out: &mut Outbox) -> Result<(), Malformed> {
        let at = self.peer(id)?;
        let peer = &self.peers[at];
        let mut head = self.head(peer);
        let (mut cargo, end) = (Cargo::default(), self.buffer.end());
        let body = if self.protocol == Protocol::State || self.needs_whole(peer) {
            head.version = Some(self.have.clone());
            self.whole(at, &mut cargo, out)
        } else if self.base(peer).next < end {
            self.group(peer, &mut cargo, out)
        } else {
            head.asks = !peer.answered && (!peer.greeted || self.transport == Transport::Datagram);
            if !head.asks {
                return Ok(());
            }
            Body::Nothing
        };
        let bytes = write_message(&head, &body);
        out.work_bytes(bytes.len());
        out.send(id, bytes, cargo);
        let is_state = self.protocol == Protocol::State;
        let peer = &mut self.peers[at];
        peer.greeted = true;
        if body != Body::Nothing {
            peer.sent = Cursor { told: end, next: end };
            self.buffer.tell();
        }
        if is_state {
            peer.offered.join(&self.have);
        }
        Ok(())
    }

    /// The join of all groups that a peer lacks.
    fn group(&self, peer: &Peer, cargo: &mut Cargo, out: &mut Outbox) -> Body {
        let base = self.base(peer);
        let mut entries = self
            .buffer
            .since(base.next)
            .filter(|entry| !self.protocol.spares(peer.id, entry.from, entry.is_whole));
        let mut group = entries.next().map(|entry| entry.group.clone()).unwrap_or_default();
        for entry in entries {
            out.work(1 + entry.group.parts().len() as u64);
            group.join(&entry.group);
        }
        cargo.elements = group.elements();
        cargo.content_bytes = group.content_bytes();
        out.work(cargo.elements);
        let sums: Vec<Addition> = group.additions().collect();
        let standing = sums.iter().map(|sum| self.standing(*sum, group.covers()));
        self.notes.ride(group.covers(), &Version::new(), standing, cargo);
        Body::Group { first: base.told, end: self.buffer.end(), group }
    }

    /// This replica's whole state.
    fn whole(&mut self, at: usize, cargo: &mut Cargo, out: &mut Outbox) -> Body {
        out.work(self.whole.refresh(&self.have, &self.cells));
        cargo.elements = self.whole.elements;
        cargo.content_bytes = self.whole.content_bytes;
        let known = &self.peers[at].known;
        let covers = covers(&self.have);
        let news: Vec<Span> = covers.iter().filter_map(|of| spans::beyond(*of, known)).collect();
        let states = self.cells.states().iter();
        let sums = states.flat_map(|(cell, state)| additions(*cell, state));
        let standing = sums.map(|sum| self.standing(sum, &news));
        self.notes.ride(&covers, known, standing, cargo);
        let again = self.begins_again(&self.peers[at]);
        let is_new = |agent, row: &Row| !known.covers(Dot { agent, counter: row.counter });
        let said = self.said.iter().filter(|(agent, row)| again || is_new(**agent, row));
        let said = said.map(|(agent, row)| (*agent, row.clone())).collect();
        Body::Whole { end: self.buffer.end(), again, said, cells: self.whole.bytes() }
    }

    /// The additions behind a sum that stand and that are among these dots.
    fn standing(&self, (cell, agent): Addition, news: &[Span]) -> Vec<Dot> {
        let Some(State::Counter(counter)) = self.cells.states().get(&cell) else {
            return Vec::new();
        };
        let from = news.partition_point(|span| span.first.agent < agent);
        let own = news[from..].iter().take_while(|span| span.first.agent == agent);
        own.flat_map(|span| counter.standing().range(span.first..span.end()).copied()).collect()
    }
}

/// All dots of a version, genesis left aside.
pub(super) fn covers(version: &Version) -> Vec<Span> {
    let span = |(agent, counter)| Span { first: Dot { agent, counter: 1 }, len: counter };
    version.iter().map(span).collect()
}

/// The agents whose additions are part of a counter, in order; none of other cells.
pub(super) fn additions(cell: Cell, state: &State) -> impl Iterator<Item = Addition> + '_ {
    let shares = match state {
        State::Counter(counter) => Some(counter.shares()),
        _ => None,
    };
    let added = shares.into_iter().flatten().filter(|(_, share)| share.added.through > 0);
    added.map(move |(agent, _)| (cell, *agent))
}
