//! One replica: what it does on each input.
//!
//! Every edit is one event or several, named by dots of its author. A replica keeps the events that some peer may still lack, in the order in
//! which they came to be known, and for each peer how far that one is known to be. What it sends is an interval: all events
//! behind a version that the peer is known to have (over sessions: to have or to get before). So whatever arrives is contiguous and comes after
//! what it refers to; where it is not, because the peer lost its memory, the receiver says how far it really is. A peer
//! that is further behind than the log or the graphs reach gets the whole state.

use super::cells::{Cells, Effects};
use super::event::{Act, Event, Passage, Typed};
use super::log::Log;
use super::message::{Body, Head, write_message};
use super::snapshot;
use crate::contract::{
    Cargo, CargoIds, Change, Clock, Footprint, Input, Malformed, Outbox, Pending, Replica, Seat,
    SeatChange, Transport,
};
use crate::crdt::attribution::Attribution;
use crate::crdt::causal::{Agent, Dot, Version};
use crate::crdt::stability::Members;
use crate::document::{Cell, Edit, EditId, PartitionId, Rendering, ReplicaId, Schema, Scope};
use std::collections::{BTreeMap, VecDeque};

/// What is known of a peer.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its name.
    pub id: ReplicaId,
    /// What it is known to have.
    pub acked: Version,
    /// What it has, or gets if the session lasts.
    pub sent: Version,
    /// Position in the log of the first event that `acked` does not cover.
    pub cursor: u64,
    /// Whether it was told this replica's version since the link opened.
    pub greeted: bool,
    /// Whether it told its own since.
    pub met: bool,
    /// Whether it may take this replica for one that remembers more: memory was lost, and the peer has not answered since.
    pub misled: bool,
    /// It has lost its memory, or begun again: what it once said that it had, it may have no more.
    pub forgot: bool,
    /// Whether it was sent the whole state since the last [`Input::Sync`]: it is not answered with that again.
    pub offered: bool,
}

/// A replica of `event-graph`.
#[derive(Debug)]
pub struct GraphReplica {
    pub(super) agent: Agent,
    pub(super) schema: Schema,
    pub(super) transport: Transport,
    /// In a star nobody else brings a peer what this replica has for it: events need not wait for its version.
    pub(super) is_star: bool,
    /// What this replica has.
    pub(super) have: Version,
    pub(super) cells: Cells,
    pub(super) log: Log,
    /// In order of names.
    pub(super) peers: Vec<Peer>,
    pub(super) members: Members,
    /// What every member was last found to have.
    pub(super) stable: Version,
    /// Own events that no peer lacks, but perhaps some member: this replica would have to make them again if it were gone.
    pub(super) own: VecDeque<Event<Passage>>,
    pub(super) ids: Attribution,
    /// For reports only: which edit took the place of another one. Whoever takes over the document is told so beside it.
    pub(super) replaced: BTreeMap<EditId, EditId>,
}

/// The agent of a seat, in the `rejoined`-th life of its memory: it gets a new name whenever it comes back after it was presumed gone.
pub(super) fn agent(replica: ReplicaId, incarnation: u32) -> Agent {
    Agent::new(replica, incarnation << 16)
}

impl GraphReplica {
    /// A replica that holds the seat's genesis and nothing else.
    pub fn new(seat: &Seat<'_>) -> Self {
        let mut replica = GraphReplica {
            agent: agent(seat.replica, seat.incarnation),
            schema: seat.schema.clone(),
            transport: seat.transport,
            is_star: seat.authority.is_some(),
            have: Version::new(),
            cells: Cells::default(),
            log: Log::default(),
            peers: seat.peers.iter().map(|id| Peer::new(*id)).collect(),
            members: Members::new(seat.members, seat.replica),
            stable: Version::new(),
            own: VecDeque::new(),
            ids: Attribution::default(),
            replaced: BTreeMap::new(),
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
    pub(super) fn mint(
        &mut self,
        agent: Agent,
        id: EditId,
        edit: &Edit,
        effects: &mut Effects,
    ) -> Vec<Event<Passage>> {
        let first = Dot { agent, counter: self.have.get(agent) + 1 };
        let mut events = Vec::new();
        self.cells.edit(&self.schema, edit, first, &mut events, effects);
        if let Some(last) = events.last().map(Event::last) {
            self.have.raise(agent, last.counter);
            self.ids.note(first, last.counter - first.counter + 1, id);
        }
        events
    }

    fn edit(&mut self, id: EditId, edit: &Edit, out: &mut Outbox) {
        let mut effects = Effects::default();
        let events = self.mint(self.agent, id, edit, &mut effects);
        self.report(Some(id), &effects, out);
        for event in events {
            self.list(event);
        }
        self.prune();
    }

    /// Logs an event that is part of the document.
    pub(super) fn list(&mut self, event: Event<Passage>) {
        let follows = match &event.act {
            Act::Type { cell, typed } => self.cells.text(*cell).is_some_and(|text| {
                let graph = text.graph();
                graph.entries().get(graph.entry_of(*typed)).is_some_and(|e| e.start < *typed)
            }),
            _ => false,
        };
        let sealed = self.sealed();
        self.log.push(event, follows, sealed);
    }

    /// Reports what an event did to others.
    pub(super) fn report(&mut self, by: Option<EditId>, effects: &Effects, out: &mut Outbox) {
        out.work(effects.work_units);
        let Some(by) = by else { return };
        for edit in effects.hidden.iter().filter_map(|dot| self.ids.of(*dot)) {
            // What its author has made again in a later life may still stand under the other name.
            let aliases = self.ids.aliases(edit).into_iter();
            let times = aliases.filter(|dot| self.cells.stands(*dot)).count();
            if times == 0 {
                self.replaced.insert(edit, by);
            }
            if times == 0 || edit != by {
                out.change(Change::Replaced { edit, by });
                (0..times).for_each(|_| out.change(Change::Applied { edit }));
            }
        }
        for (cell, dot) in &effects.rivals {
            if let Some(edit) = self.ids.of(*dot).filter(|edit| *edit != by) {
                out.change(Change::Conflicted { cell: *cell, edit, with: by });
            }
        }
    }

    pub(super) fn peer(&self, id: ReplicaId) -> Result<usize, Malformed> {
        self.peers.binary_search_by_key(&id, |peer| peer.id).map_err(|_| Malformed("not a peer"))
    }

    fn sync(&mut self, id: ReplicaId, out: &mut Outbox) -> Result<(), Malformed> {
        let at = self.peer(id)?;
        self.peers[at].offered = false;
        let peer = &self.peers[at];
        let is_new = !peer.greeted || self.transport == Transport::Datagram;
        let greets = !peer.met && is_new || peer.misled;
        let ahead = self.is_star && !self.members.is_gone(id);
        let brings = peer.met || ahead && self.log.reaches(self.base(peer));
        let version = greets.then(|| self.have.clone());
        self.say(at, Head { version, asks: greets, ..Head::default() }, brings, out);
        Ok(())
    }

    /// What a peer has before anything that is sent to it now.
    fn base<'a>(&self, peer: &'a Peer) -> &'a Version {
        match self.transport {
            Transport::Session => &peer.sent,
            Transport::Datagram => &peer.acked,
        }
    }

    /// Sends a message, with what the peer lacks if it is to have that.
    pub(super) fn say(&mut self, at: usize, mut head: Head, brings: bool, out: &mut Outbox) {
        let peer = &self.peers[at];
        let base = self.base(peer);
        let is_gone = self.members.is_gone(peer.id);
        let reaches = self.log.reaches(base) && !is_gone;
        let brings = brings && (reaches || !peer.offered);
        let mut cargo = Cargo::default();
        let body = if !brings || self.have.beyond(base) == 0 && !is_gone {
            Body::Events(Vec::new())
        } else if reaches {
            let mut events = Vec::new();
            for (event, skip) in self.log.unknown(peer.cursor, base) {
                let dots = event.span - skip;
                let event = self.to_send(event, skip);
                self.ids.ride(event.first, dots, cargo.elements, &mut cargo.ids);
                cargo.elements += dots;
                cargo.content_bytes += event.content_bytes();
                if let Act::Type { typed, .. } = &event.act {
                    cargo.content_bytes += typed.text.len() as u64;
                    out.work(typed.runs.len() as u64);
                }
                events.push(event);
            }
            out.work(events.len() as u64);
            Body::Events(events)
        } else {
            self.state(is_gone.then(|| self.life(at)), &mut head, &mut cargo)
        };
        self.post(at, head, body, cargo, out);
        if brings {
            let peer = &mut self.peers[at];
            peer.sent.join(&self.have);
        }
    }

    /// The latest life of a peer that is known here.
    pub(super) fn life(&self, at: usize) -> Agent {
        let peer = &self.peers[at];
        let known = self.have.iter().chain(peer.acked.iter()).map(|(agent, _)| agent);
        let latest = known.filter(|agent| agent.replica() == peer.id).max();
        latest.unwrap_or(agent(peer.id, 0))
    }

    /// The whole document as a message; with `rebase` for a peer whose life of that name is over.
    pub(super) fn state(&self, rebase: Option<Agent>, head: &mut Head, cargo: &mut Cargo) -> Body {
        head.version.get_or_insert_with(|| self.have.clone());
        for (agent, counter) in self.have.iter() {
            self.ids.ride(Dot { agent, counter: 1 }, counter, cargo.elements, &mut cargo.ids);
            cargo.elements += counter;
        }
        // Behind the ids of the document's elements come those of replaced edits, each with what took its place.
        for (n, (edit, by)) in (0..).map(|n: u64| 2 * n).zip(&self.replaced) {
            for (element, first) in [(cargo.elements + n, edit), (cargo.elements + n + 1, by)] {
                let Ok(element) = u32::try_from(element) else { continue };
                cargo.ids.push(CargoIds { element, first: *first, count: 1 });
            }
        }
        cargo.content_bytes = self.cells.footprint().content_bytes;
        Body::State { bytes: snapshot::write_state(self), rebase }
    }

    pub(super) fn post(
        &mut self,
        at: usize,
        mut head: Head,
        body: Body,
        cargo: Cargo,
        out: &mut Outbox,
    ) {
        let peer = &mut self.peers[at];
        head.resets |= peer.misled && head.version.is_some();
        let Some(bytes) = write_message(&head, &body) else { return };
        out.work_bytes(bytes.len());
        out.send(peer.id, bytes, cargo);
        peer.greeted |= head.version.is_some();
        peer.offered |= matches!(body, Body::State { .. });
    }

    /// An event as it travels, without its first `skip` dots.
    pub(super) fn to_send(&self, event: &Event<Passage>, skip: u64) -> Event<Typed> {
        let Act::Type { cell, typed } = &event.act else { return event.untyped() };
        let text = self.cells.text(*cell).expect("a logged edit of a text is in its graph");
        let typed = text.typed(typed + skip as usize..typed + event.span as usize);
        let act = Act::Type { cell: *cell, typed };
        Event { first: event.first.plus(skip), span: event.span - skip, act }
    }

    /// Forgets the history of texts as far as everybody has it.
    pub(super) fn forget(&mut self, out: &mut Outbox) {
        let Some(stable) = self.members.stable(&self.have) else { return };
        let mut forgotten = Version::new();
        for text in self.cells.texts() {
            out.work(text.forget(&stable, &mut forgotten));
        }
        self.log.forget(&forgotten);
        self.own.retain(|event| !stable.covers(event.last()));
        self.stable = stable;
    }

    /// The log's position up to which each peer has everything that is waited for.
    fn waited_for(&self) -> impl Iterator<Item = u64> + '_ {
        let here = self.peers.iter().filter(|peer| !self.members.is_gone(peer.id));
        here.map(|peer| peer.cursor)
    }

    /// The log's position before which some peer has everything: what is there must not change any more.
    fn sealed(&self) -> u64 {
        self.peers.iter().map(|peer| peer.cursor).max().unwrap_or(0)
    }

    /// Drops what every peer has that is not gone.
    pub(super) fn prune(&mut self) {
        let needed = self.waited_for().min().unwrap_or(self.log.end());
        let (replica, stable, own) = (self.agent.replica(), &self.stable, &mut self.own);
        self.log.drop_before(needed, |event| {
            if event.first.agent.replica() == replica && !stable.covers(event.last()) {
                own.push_back(event);
            }
        });
        for peer in &mut self.peers {
            peer.cursor = peer.cursor.max(self.log.start());
        }
    }
}

impl Peer {
    fn new(id: ReplicaId) -> Self {
        let (acked, sent) = (Version::new(), Version::new());
        let (greeted, met, misled) = (false, false, false);
        let (forgot, offered) = (false, false);
        Peer { id, acked, sent, cursor: 0, greeted, met, misled, forgot, offered }
    }
}

impl Replica for GraphReplica {
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
                (peer.greeted, peer.met, peer.offered) = (false, false, false);
            }
            Input::Seat(change) => {
                match change {
                    SeatChange::Gone { replica } if replica != self.agent.replica() => {
                        self.members.leave(replica, &self.have);
                    }
                    SeatChange::Back { replica } if replica != self.agent.replica() => {
                        self.members.join(replica);
                    }
                    _ => {}
                }
                if let Some(said) = self.members.say(&self.have) {
                    self.tell(said, out);
                }
                self.prune();
            }
        }
        Ok(())
    }

    fn pending(&self, peer: ReplicaId) -> Pending {
        let Ok(at) = self.peer(peer) else { return Pending::default() };
        let peer = &self.peers[at];
        // One that was gone needs at least to hear that it is to begin again; and one that forgot must say so.
        let is_due = self.members.is_gone(peer.id) || peer.misled;
        Pending {
            edits: self.have.beyond(self.base(peer)).max(u64::from(is_due)),
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
        footprint.metadata_bytes +=
            (entries * size_of::<(Agent, u64)>()) as u64 + self.members.bytes();
        footprint.history_bytes += self.log.bytes();
        footprint.history_bytes += self.own.iter().map(Event::memory_bytes).sum::<u64>();
        footprint
    }
}
