//! One replica: what it does on each input.
//!
//! Every change is a delta with dots of its author. A replica keeps the deltas that some peer may still lack, in the order in which
//! it applied them, and for each peer how far that one is known to be. What it sends is an interval: all deltas behind
//! a version that the peer is known to have (over sessions: to have or to get before). So whatever arrives is contiguous and comes after
//! what it refers to; where it is not, because the peer lost its memory, the receiver says how far it really is. A peer
//! that is further behind than the log reaches gets the whole state.

use super::attribution::Attribution;
use super::causal::{Agent, Dot, Version};
use super::cells::{Cells, Effects};
use super::codec::Piece;
use super::log::Log;
use super::message::{Body, Head, read_message, write_message};
use super::op::Delta;
use super::sequence::TextOrder;
use super::snapshot;
use crate::contract::{
    Cargo, Change, Clock, Footprint, Input, Malformed, Outbox, Pending, Replica, Seat, Transport,
};
use crate::document::{Cell, Edit, EditId, PartitionId, Rendering, ReplicaId, Schema, Scope};
use crate::wire::{Reader, Writer};

/// What is known of a peer.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its name.
    pub id: ReplicaId,
    /// What it is known to have.
    pub acked: Version,
    /// What it has, or gets if the session lasts.
    pub sent: Version,
    /// Position in the log of the first delta that `acked` does not cover.
    pub cursor: u64,
    /// Whether it was told this replica's version since the link opened.
    pub greeted: bool,
    /// Whether it told its own since.
    pub met: bool,
    /// Whether it may take this replica for one that remembers more: memory was lost, and the peer has not answered since.
    pub misled: bool,
    /// Whether it was sent the whole state since the last [`Input::Sync`]: it is not answered with that again.
    pub offered: bool,
}

/// A replica of `crdt/delta`.
#[derive(Debug)]
pub struct DeltaReplica {
    pub(super) agent: Agent,
    pub(super) schema: Schema,
    pub(super) transport: Transport,
    /// In a star nobody else brings a peer what this replica has for it: changes need not wait for its version.
    pub(super) is_star: bool,
    /// What this replica has.
    pub(super) have: Version,
    pub(super) cells: Cells,
    pub(super) log: Log,
    /// In order of names.
    pub(super) peers: Vec<Peer>,
    pub(super) ids: Attribution,
}

impl DeltaReplica {
    /// A replica that holds the seat's genesis and nothing else.
    pub fn new(seat: &Seat<'_>, text_order: TextOrder) -> Self {
        let mut replica = DeltaReplica {
            agent: Agent::new(seat.replica, seat.incarnation),
            schema: seat.schema.clone(),
            transport: seat.transport,
            is_star: seat.authority.is_some(),
            have: Version::new(),
            cells: Cells::new(text_order),
            log: Log::default(),
            peers: seat.peers.iter().map(|id| Peer::new(*id)).collect(),
            ids: Attribution::default(),
        };
        replica.peers.sort_by_key(|peer| peer.id);
        for peer in &mut replica.peers {
            peer.misled = seat.incarnation > 0;
        }
        for (id, edit) in seat.genesis {
            replica.mint(Agent::GENESIS, *id, edit, &mut Effects::default());
        }
        replica
    }

    /// Makes an edit, under the next dots of an agent.
    fn mint(&mut self, agent: Agent, id: EditId, edit: &Edit, effects: &mut Effects) -> Vec<Delta> {
        let first = Dot { agent, counter: self.have.get(agent) + 1 };
        let mut deltas = Vec::new();
        self.cells.edit(&self.schema, edit, first, &mut deltas, effects);
        if let Some(last) = deltas.last().map(Delta::last) {
            self.have.raise(agent, last.counter);
            self.ids.note(first, last.counter - first.counter + 1, id);
        }
        deltas
    }

    fn edit(&mut self, id: EditId, edit: &Edit, out: &mut Outbox) {
        let mut effects = Effects::default();
        let deltas = self.mint(self.agent, id, edit, &mut effects);
        self.report(Some(id), &effects, out);
        let sealed = self.sealed();
        for delta in deltas {
            self.log.push(delta, sealed);
        }
        self.prune();
    }

    /// Reports what a change did to others.
    fn report(&self, by: Option<EditId>, effects: &Effects, out: &mut Outbox) {
        out.work(effects.work_units);
        let Some(by) = by else { return };
        for edit in effects.hidden.iter().filter_map(|dot| self.ids.of(*dot)) {
            out.change(Change::Replaced { edit, by });
        }
        for (cell, dot) in &effects.rivals {
            if let Some(edit) = self.ids.of(*dot) {
                out.change(Change::Conflicted { cell: *cell, edit, with: by });
            }
        }
    }

    fn peer(&self, id: ReplicaId) -> Result<usize, Malformed> {
        self.peers.binary_search_by_key(&id, |peer| peer.id).map_err(|_| Malformed("not a peer"))
    }

    fn sync(&mut self, id: ReplicaId, out: &mut Outbox) -> Result<(), Malformed> {
        let at = self.peer(id)?;
        self.peers[at].offered = false;
        let peer = &self.peers[at];
        let greets = !peer.met && (!peer.greeted || self.transport == Transport::Datagram);
        let changes = peer.met || self.is_star && self.log.reaches(self.base(peer));
        let version = greets.then(|| self.have.clone());
        self.say(at, Head { version, asks: greets, ..Head::default() }, changes, out);
        Ok(())
    }

    /// What a peer has before anything that is sent to it now.
    fn base<'a>(&self, peer: &'a Peer) -> &'a Version {
        match self.transport {
            Transport::Session => &peer.sent,
            Transport::Datagram => &peer.acked,
        }
    }

    /// Sends a message, with the changes that the peer lacks if it is to have them.
    fn say(&mut self, at: usize, mut head: Head, changes: bool, out: &mut Outbox) {
        let peer = &self.peers[at];
        let base = self.base(peer);
        let reaches = self.log.reaches(base);
        let changes = changes && (reaches || !peer.offered);
        let mut cargo = Cargo::default();
        let body = if !changes || self.have.beyond(base) == 0 {
            Body::Deltas(Vec::new())
        } else if reaches {
            let pieces: Vec<Piece<'_>> = self.log.unknown(peer.cursor, base).collect();
            for (delta, skip) in &pieces {
                let dots = delta.span - skip;
                self.ids.ride(delta.first.plus(*skip), dots, cargo.elements, &mut cargo.ids);
                cargo.elements += dots;
                cargo.content_bytes += delta.content_bytes(*skip);
            }
            out.work(pieces.len() as u64);
            Body::Deltas(pieces)
        } else {
            head.version.get_or_insert_with(|| self.have.clone());
            for (agent, counter) in self.have.iter() {
                self.ids.ride(Dot { agent, counter: 1 }, counter, cargo.elements, &mut cargo.ids);
                cargo.elements += counter;
            }
            cargo.content_bytes = self.cells.footprint().content_bytes;
            let mut writer = Writer::new();
            snapshot::write_cells(&mut writer, &self.have, &self.cells);
            Body::State(writer.finish())
        };
        head.resets |= peer.misled && head.version.is_some();
        let Some(bytes) = write_message(&head, &body) else { return };
        out.work_bytes(bytes.len());
        out.send(peer.id, bytes, cargo);
        let offers = matches!(body, Body::State(_));
        let peer = &mut self.peers[at];
        peer.greeted |= head.version.is_some();
        peer.offered |= offers;
        if changes {
            peer.sent.join(&self.have);
        }
    }

    fn receive(
        &mut self,
        from: ReplicaId,
        bytes: &[u8],
        cargo: &Cargo,
        out: &mut Outbox,
    ) -> Result<(), Malformed> {
        let at = self.peer(from)?;
        let (head, body) = read_message(bytes)?;
        out.work_bytes(bytes.len());
        let (told, usable) = match body {
            Body::Deltas(deltas) => {
                self.check(&deltas)?;
                self.take_deltas(deltas, cargo, out)
            }
            Body::State(state) => {
                let version = head.version.as_ref();
                let version = version.ok_or(Malformed("a state without its version"))?;
                let usable = self.take_state(version, &state, cargo, out)?;
                (version.clone(), usable)
            }
        };
        let mut reply = Head::default();
        if !usable || head.asks {
            reply.version = Some(self.have.clone());
            reply.resets = !usable;
        } else {
            for (agent, _) in told.iter() {
                reply.ack.raise(agent, self.have.get(agent));
            }
        }
        let changes = head.version.is_some();
        self.learn(at, head, &told);
        self.say(at, reply, changes, out);
        self.prune();
        Ok(())
    }

    /// Whether deltas may be applied at all, before any is.
    fn check(&self, deltas: &[Delta]) -> Result<(), Malformed> {
        for delta in deltas {
            let author = delta.first.agent;
            if !delta.fits(&self.schema, self.cells.text_order()) {
                return Err(Malformed("a cell is of another kind, or there is none"));
            }
            if author >= Agent::GENESIS {
                return Err(Malformed("changes by nobody"));
            }
            if author == self.agent && !self.have.covers(delta.last()) {
                return Err(Malformed("own changes that were never made"));
            }
        }
        Ok(())
    }

    /// Applies the deltas that are new, up to the first that does not follow what is here. Returns how far each agent's deltas in the message go,
    /// and whether all could be used.
    fn take_deltas(
        &mut self,
        deltas: Vec<Delta>,
        cargo: &Cargo,
        out: &mut Outbox,
    ) -> (Version, bool) {
        let (mut told, mut element, mut usable) = (Version::new(), 0, true);
        for mut delta in deltas {
            let (first, span, last) = (delta.first, delta.span, delta.last());
            let have = self.have.get(first.agent);
            out.work(1);
            if last.counter > have {
                if first.counter > have + 1 || !delta.is_ready(&self.have) {
                    usable = false;
                    break;
                }
                let skip = have + 1 - first.counter;
                let arrived = |edit| out.change(Change::Applied { edit });
                self.ids.take(first, (span, skip), element, &cargo.ids, arrived);
                delta.skip(skip);
                self.have.raise(first.agent, last.counter);
                let mut effects = Effects::default();
                self.cells.apply(&delta, &mut effects);
                self.report(self.ids.of(delta.first), &effects, out);
                let sealed = self.sealed();
                self.log.push(delta, sealed);
            }
            told.raise(first.agent, last.counter);
            element += span;
        }
        (told, usable)
    }

    /// Takes over a peer's whole state, and applies again on top what this replica has and the peer lacks. Refused where the log
    /// does not hold all of that: then the peer lost its memory too, and gets this one's state.
    fn take_state(
        &mut self,
        version: &Version,
        state: &[u8],
        cargo: &Cargo,
        out: &mut Outbox,
    ) -> Result<bool, Malformed> {
        let mut theirs = version.clone();
        theirs.raise(Agent::GENESIS, self.have.get(Agent::GENESIS));
        let mut reader = Reader::new(state);
        let order = self.cells.text_order();
        let cells = snapshot::read_cells(&mut reader, &theirs, &self.schema, order)?;
        reader.end()?;
        if theirs.get(self.agent) > self.have.get(self.agent) {
            return Err(Malformed("own changes that were never made"));
        }
        if theirs.beyond(&self.have) == 0 {
            return Ok(true);
        }
        if !self.log.reaches(&theirs) {
            return Ok(false);
        }
        out.work_bytes(state.len());
        let before = std::mem::replace(&mut self.cells, cells);
        let (mut element, mut newest) = (0, None);
        for (agent, counter) in version.iter() {
            let (first, skip) = (Dot { agent, counter: 1 }, self.have.get(agent));
            self.ids.take(first, (counter, skip), element, &cargo.ids, |edit| {
                newest = Some(edit);
                out.change(Change::Applied { edit });
            });
            element += counter;
        }
        self.log.skip_to(&self.have, &theirs);
        self.have.join(&theirs);
        let mut effects = Effects::default();
        for (delta, skip) in self.log.unknown(self.log.start(), &theirs) {
            let mut delta = delta.clone();
            delta.skip(skip);
            self.cells.apply(&delta, &mut effects);
        }
        out.work(effects.work_units);
        let found = before.compare(&self.cells);
        for (hidden, by) in found.hidden {
            // Where nothing is displayed instead, something new has deleted it; which one the state does not say.
            let by = by.and_then(|dot| self.ids.of(dot)).or(newest);
            if let (Some(edit), Some(by)) = (self.ids.of(hidden), by) {
                out.change(Change::Replaced { edit, by });
            }
        }
        for (cell, rival, new) in found.rivals {
            if let (Some(edit), Some(with)) = (self.ids.of(rival), self.ids.of(new)) {
                out.change(Change::Conflicted { cell, edit, with });
            }
        }
        Ok(true)
    }

    /// Notes what a message says about its sender.
    fn learn(&mut self, at: usize, head: Head, told: &Version) {
        let peer = &mut self.peers[at];
        if let Some(version) = head.version {
            if head.resets {
                peer.sent = version.clone();
                peer.acked = version;
                peer.cursor = self.log.start();
            } else {
                peer.acked.join(&version);
            }
            peer.met = true;
            peer.misled &= head.asks;
        }
        peer.acked.join(&head.ack);
        peer.acked.join(told);
        peer.sent.join(&peer.acked);
        peer.cursor = self.log.first_unknown(peer.cursor, &peer.acked);
    }

    /// The log's position before which some peer has everything: what is there must not change any more.
    fn sealed(&self) -> u64 {
        self.peers.iter().map(|peer| peer.cursor).max().unwrap_or(0)
    }

    /// Drops what every peer has.
    fn prune(&mut self) {
        let needed = self.peers.iter().map(|peer| peer.cursor).min();
        self.log.drop_before(needed.unwrap_or(self.log.end()));
    }
}

impl Peer {
    fn new(id: ReplicaId) -> Self {
        let (acked, sent) = (Version::new(), Version::new());
        let (greeted, met, misled, offered) = (false, false, false, false);
        Peer { id, acked, sent, cursor: 0, greeted, met, misled, offered }
    }
}

impl Replica for DeltaReplica {
    fn handle(
        &mut self,
        _clock: Clock,
        input: Input<'_>,
        out: &mut Outbox,
    ) -> Result<(), Malformed> {
        match input {
            Input::Edit { id, edit } => self.edit(id, edit, out),
            Input::Sync { peer } => self.sync(peer, out)?,
            Input::Receive { from, bytes, cargo } => self.receive(from, bytes, cargo, out)?,
            Input::Link { peer, state: _ } => {
                let at = self.peer(peer)?;
                let peer = &mut self.peers[at];
                peer.sent = peer.acked.clone();
                (peer.greeted, peer.met) = (false, false);
            }
            Input::Seat(_) => {}
        }
        Ok(())
    }

    fn pending(&self, peer: ReplicaId) -> Pending {
        let Ok(at) = self.peer(peer) else { return Pending::default() };
        let peer = &self.peers[at];
        Pending {
            edits: self.have.beyond(self.base(peer)),
            exchange_open: peer.greeted && !peer.met || peer.sent.beyond(&peer.acked) > 0,
        }
    }

    fn length(&self, cell: Cell) -> usize {
        self.cells.length(cell)
    }

    fn render(&self, scope: Scope, out: &mut Rendering) {
        self.cells.render(scope, out);
    }

    fn fingerprint(&self, partition: PartitionId) -> u128 {
        if partition == PartitionId(0) { self.cells.fingerprint() } else { 0 }
    }

    fn save(&self, out: &mut Vec<u8>) {
        snapshot::save(self, out);
    }

    fn footprint(&self) -> Footprint {
        let mut footprint = self.cells.footprint();
        let versions = self.peers.iter().map(|peer| peer.acked.len()).sum::<usize>();
        let entries = versions + self.have.len();
        footprint.metadata_bytes += (entries * size_of::<(Agent, u64)>()) as u64;
        footprint.history_bytes += self.log.bytes();
        footprint
    }
}
