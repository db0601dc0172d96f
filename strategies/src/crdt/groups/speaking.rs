//! What a replica says when it may: the join of the groups that a peer lacks, or its whole state.

use super::Protocol;
use super::buffer::Entry;
use super::group::{share_content_bytes, share_elements};
use super::message::{Body, Head, write_message};
use super::notes::Addition;
use super::peer::{Cursor, Peer};
use super::replica::GroupReplica;
use super::spans;
use crate::contract::{Cargo, Malformed, Outbox, Transport};
use crate::crdt::causal::{Agent, Dot, Span, Version};
use crate::crdt::cells::{Cells, State};
use crate::crdt::snapshot::write_bare_cells;
use crate::document::{Cell, ReplicaId};
use crate::wire::Writer;

/// A whole state as bytes.
#[derive(Clone, Debug)]
pub struct Written {
    bytes: Vec<u8>,
    elements: u64,
    content_bytes: u64,
}

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
        let next = self.base(peer).next;
        let came_whole = |entry: &Entry| entry.is_whole && entry.from != Some(peer.id);
        next < self.buffer.start().max(peer.reborn)
            || self.buffer.holds_whole() && self.buffer.since(next).any(came_whole)
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
            self.whole(peer, &mut cargo, out)
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
        let none = Version::new();
        let sums: Vec<Addition> = group.additions().collect();
        let told = |dot: &Dot| spans::has(group.covers(), *dot);
        let standing = sums.iter().map(|sum| {
            let dots = self.standing(*sum, &none);
            dots.into_iter().filter(told).collect()
        });
        self.notes.ride(group.covers(), &none, standing, cargo);
        Body::Group { first: base.told, end: self.buffer.end(), group }
    }

    /// This replica's whole state.
    fn whole(&self, peer: &Peer, cargo: &mut Cargo, out: &mut Outbox) -> Body {
        let mut written = self.written.borrow_mut();
        let written = written.get_or_insert_with(|| self.write_whole());
        out.work(written.elements);
        cargo.elements = written.elements;
        cargo.content_bytes = written.content_bytes;
        let known = &peer.known;
        let sums = additions(&self.cells);
        let standing = sums.iter().map(|sum| self.standing(*sum, known));
        self.notes.ride(&covers(&self.have), known, standing, cargo);
        Body::Whole { end: self.buffer.end(), cells: written.bytes.clone() }
    }

    fn write_whole(&self) -> Written {
        let mut writer = Writer::new();
        write_bare_cells(&mut writer, &self.have, &self.cells);
        let (mut elements, mut content_bytes) = (0, 0);
        for state in self.cells.states().values() {
            match state {
                State::Register(register) => {
                    elements += register.values().len() as u64;
                    let values = register.values().iter();
                    content_bytes += values.map(|(_, v)| v.as_str().len() as u64).sum::<u64>();
                }
                State::Counter(counter) => {
                    elements += counter.shares().values().map(share_elements).sum::<u64>();
                    content_bytes +=
                        counter.shares().values().map(share_content_bytes).sum::<u64>();
                }
                State::Set(set) => {
                    elements += set.insertions().len() as u64;
                    let held = set.insertions().values();
                    content_bytes += held.map(|e| e.as_str().len() as u64).sum::<u64>();
                }
                State::Text(text) => {
                    elements += text.runs().map(|run| u64::from(run.len)).sum::<u64>();
                    content_bytes += text.footprint().content_bytes;
                }
            }
        }
        Written { bytes: writer.finish(), elements, content_bytes }
    }

    /// The additions behind a sum that stand and that `known` does not cover.
    fn standing(&self, (cell, agent): Addition, known: &Version) -> Vec<Dot> {
        match self.cells.states().get(&cell) {
            Some(State::Counter(counter)) => {
                let [first, last] = [known.get(agent).saturating_add(1), u64::MAX];
                let dots = [first, last].map(|counter| Dot { agent, counter });
                counter.standing().range(dots[0]..=dots[1]).copied().collect()
            }
            _ => Vec::new(),
        }
    }
}

/// All dots of a version, genesis left aside.
pub(super) fn covers(version: &Version) -> Vec<Span> {
    let span = |(agent, counter)| Span { first: Dot { agent, counter: 1 }, len: counter };
    version.iter().map(span).collect()
}

/// The agents whose additions to a counter are part of a state, in order of cells.
pub(super) fn additions(cells: &Cells) -> Vec<(Cell, Agent)> {
    let mut all = Vec::new();
    for (cell, state) in cells.states() {
        if let State::Counter(counter) = state {
            let added = counter.shares().iter().filter(|(_, share)| share.added.through > 0);
            all.extend(added.map(|(agent, _)| (*cell, *agent)));
        }
    }
    all
}
