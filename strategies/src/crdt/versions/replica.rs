//! One replica: what it does on each input.
//!
//! A replica keeps the changes that some peer may still lack, in the order in which it applied them, and for each peer how far that one is
//! known to be. What it sends is an interval: everything behind a version that the peer is known to have (over sessions: to have or to
//! get before). So whatever arrives is contiguous and comes after what it refers to; where it is not, because the peer lost its memory, the
//! receiver says how far it really is. A peer that is further behind than the log reaches gets the whole state.

use super::Protocol;
use super::log::Entry;
use super::message::{Body, Brought, Head, read_message, write_message};
use super::reconciling::{Exchanges, MOST_KEYS, Probe, Sets, by_keys, number_before};
use super::save;
use super::store::{Store, Use};
use crate::contract::{
    Cargo, Clock, Footprint, Input, Malformed, Outbox, Pending, Replica, Seat, SeatChange,
    Transport,
};
use crate::crdt::causal::{Agent, Dot, Version};
use crate::crdt::op::Delta;
use crate::crdt::sequence::TextOrder;
use crate::crdt::snapshot;
use crate::document::{Cell, PartitionId, Rendering, ReplicaId, Scope};
use crate::wire::Writer;

/// What is known of a peer.
#[derive(Debug)]
pub struct Peer {
    /// Its name.
    pub id: ReplicaId,
    /// In which of its lives it is, as far as it told.
    pub life: u32,
    /// What it is known to have.
    pub acked: Version,
    /// What it has, or gets if the session lasts; under [`Protocol::Scuttlebutt`] what it has or has been told of.
    pub sent: Version,
    /// Position in the log of the first change that `acked` does not cover.
    pub cursor: u64,
    /// Whether it was asked for its version since the link opened.
    pub greeted: bool,
    /// Whether it told its own since.
    pub met: bool,
    /// Whether it may take this replica for one that remembers more: memory was lost, and the peer has not answered since.
    pub misled: bool,
    /// Whether it was sent the whole state since one of the two last had an [`Input::Sync`]: it is not answered with that again.
    pub offered: bool,
    /// Number of the last digest sent to it, or of the last exchange begun with it.
    pub digests: u64,
    /// What that one said, until it is answered.
    pub asked: Option<Version>,
    /// Sets that are being reconciled.
    pub exchanges: Exchanges,
}

/// What a message is to bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bring {
    Nothing,
    /// This replica's version, to be told what it lacks.
    Version,
    /// What the peer lacks.
    Changes,
    /// The whole state, to begin again from.
    Rebase,
}

/// A replica that replicates by version.
#[derive(Debug)]
pub struct VersionReplica {
    pub(super) protocol: Protocol,
    pub(super) transport: Transport,
    /// In a star nobody else brings a peer what this replica has for it: changes need not wait for its version.
    pub(super) is_star: bool,
    pub(super) store: Store,
    /// Where sets are reconciled.
    pub(super) sets: Sets,
    /// In order of names.
    pub(super) peers: Vec<Peer>,
}

impl VersionReplica {
    /// A replica that holds the seat's genesis and nothing else.
    pub fn new(seat: &Seat<'_>, protocol: Protocol, text_order: TextOrder) -> Self {
        let mut peers: Vec<Peer> = seat.peers.iter().map(|id| Peer::new(*id)).collect();
        peers.sort_by_key(|peer| peer.id);
        for peer in &mut peers {
            peer.misled = seat.incarnation > 0;
            if protocol.reconciles() {
                peer.digests = number_before(seat.incarnation);
            }
        }
        VersionReplica {
            protocol,
            transport: seat.transport,
            is_star: seat.authority.is_some(),
            store: Store::new(seat, text_order, protocol.one_by_one()),
            sets: Sets::default(),
            peers,
        }
    }

    pub(super) fn peer(&self, id: ReplicaId) -> Result<usize, Malformed> {
        self.peers.binary_search_by_key(&id, |peer| peer.id).map_err(|_| Malformed("not a peer"))
    }

    pub(super) fn sync(&mut self, id: ReplicaId, out: &mut Outbox) -> Result<(), Malformed> {
        let at = self.peer(id)?;
        self.peers[at].offered = false;
        let peer = &self.peers[at];
        let mut head = Head::default();
        let changes = match self.protocol {
            Protocol::Digest | Protocol::Rumors => {
                let is_new = !peer.greeted || self.transport == Transport::Datagram;
                head.asks = !peer.met && is_new || peer.misled;
                let is_known = self.is_star && !self.store.members.is_gone(id);
                peer.met || is_known && self.store.log.reaches(self.base(peer))
            }
            Protocol::Operations => {
                head.asks = peer.misled;
                true
            }
            Protocol::Scuttlebutt => {
                self.ask(at, &mut head);
                false
            }
            Protocol::Merkle | Protocol::Rateless if self.store.members.is_gone(id) => true,
            Protocol::Merkle | Protocol::Rateless if peer.misled => {
                head.asks = true;
                false
            }
            Protocol::Merkle | Protocol::Rateless => {
                head.probe = Some(by_keys(out, |out| self.begin(at, out)));
                false
            }
        };
        if head.asks {
            head.version = Some(self.store.have.clone());
        }
        self.say(at, head, if changes { Bring::Changes } else { Bring::Nothing }, out);
        Ok(())
    }

    /// Puts a digest into a message: whoever has something that it does not name answers with that.
    fn ask(&mut self, at: usize, head: &mut Head) {
        let peer = &mut self.peers[at];
        peer.digests += 1;
        head.number = Some(peer.digests);
        head.version = Some(self.store.have.clone());
        peer.asked = Some(self.store.have.news(&Version::new()));
        peer.sent.join(&self.store.have);
    }

    /// What a peer has before anything that is sent to it now.
    fn base<'a>(&self, peer: &'a Peer) -> &'a Version {
        match (self.protocol, self.transport) {
            (Protocol::Digest | Protocol::Operations | Protocol::Rumors, Transport::Session) => {
                &peer.sent
            }
            _ => &peer.acked,
        }
    }

    /// Sends a message, with what the peer lacks if it is to have that.
    fn say(&mut self, at: usize, mut head: Head, bring: Bring, out: &mut Outbox) {
        let (peer, store) = (&self.peers[at], &self.store);
        let base = self.base(peer);
        let rebase = bring == Bring::Rebase || store.members.is_gone(peer.id);
        let rebase = rebase.then(|| self.life(peer));
        let reaches = store.log.reaches(base) && rebase.is_none();
        let is_new = !peer.offered || rebase.is_some() && self.transport == Transport::Datagram;
        let is_owed = matches!(bring, Bring::Changes | Bring::Rebase);
        let brings = is_owed && (reaches || is_new);
        let mut cargo = Cargo::default();
        let mut state = Vec::new();
        let body = if !brings || base.reaches(&store.have) && rebase.is_none() {
            Body::Nothing
        } else if reaches {
            self.unknown(peer, base, &mut cargo, out)
        } else {
            head.version.get_or_insert_with(|| store.have.clone());
            state = self.state(&mut cargo);
            Body::State(&state, rebase)
        };
        head.resets |= peer.misled && head.version.is_some();
        head.life = store.agent.incarnation();
        let Some(bytes) = write_message(&head, &body) else { return };
        out.work_bytes(bytes.len());
        out.send(peer.id, bytes, cargo);
        let peer = &mut self.peers[at];
        peer.greeted |= head.asks;
        peer.offered |= !state.is_empty();
        if brings {
            peer.sent.join(&self.store.have);
        }
    }

    /// The latest life of a peer that is known here.
    fn life(&self, peer: &Peer) -> Agent {
        let known = self.store.have.iter().chain(peer.acked.iter()).map(|(agent, _)| agent);
        let latest = known.filter(|agent| agent.replica() == peer.id).max();
        let told = Agent::new(peer.id, peer.life);
        latest.map_or(told, |latest| latest.max(told))
    }

    /// The changes in the log that a peer lacks.
    fn unknown<'a>(
        &'a self,
        peer: &'a Peer,
        base: &'a Version,
        cargo: &mut Cargo,
        out: &mut Outbox,
    ) -> Body<'a> {
        let one_by_one = self.protocol.one_by_one();
        let whole = |(entry, skip)| if one_by_one { (entry, 0) } else { (entry, skip) };
        let lacking = self.store.log.unknown(peer.cursor, base).map(whole);
        let lacking: Vec<(&Entry, u64)> = lacking.collect();
        let mut dots = 0;
        for (Entry { delta, saw }, skip) in &lacking {
            let span = delta.span - skip;
            self.store.ids.ride(delta.first.plus(*skip), span, dots, &mut cargo.ids);
            dots += span;
            cargo.elements += delta.elements(*skip);
            cargo.content_bytes += delta.content_bytes(*skip);
            out.work(1 + saw.len() as u64);
        }
        let pieces = lacking.into_iter();
        if one_by_one {
            Body::Operations(pieces.map(|(entry, _)| (&entry.delta, &entry.saw)).collect())
        } else {
            Body::Deltas(pieces.map(|(entry, skip)| (&entry.delta, skip)).collect())
        }
    }

    /// The whole state.
    fn state(&self, cargo: &mut Cargo) -> Vec<u8> {
        let store = &self.store;
        for (agent, counter) in store.have.iter() {
            store.ids.ride(Dot { agent, counter: 1 }, counter, cargo.elements, &mut cargo.ids);
            cargo.elements += counter;
        }
        cargo.content_bytes = store.cells.footprint().content_bytes;
        let mut writer = Writer::new();
        snapshot::write_cells(&mut writer, &store.have, &store.cells);
        writer.finish()
    }

    fn receive(
        &mut self,
        from: ReplicaId,
        bytes: &[u8],
        cargo: &Cargo,
        out: &mut Outbox,
    ) -> Result<(), Malformed> {
        let message = read_message(bytes)?;
        out.work_bytes(bytes.len());
        self.receive_read(from, message, cargo, out)
    }

    /// Takes a message that was read.
    pub(super) fn receive_read(
        &mut self,
        from: ReplicaId,
        (head, brought): (Head, Brought),
        cargo: &Cargo,
        out: &mut Outbox,
    ) -> Result<(), Malformed> {
        let at = self.peer(from)?;
        let reconciles = self.protocol.reconciles();
        if head.number.is_some() && self.protocol != Protocol::Scuttlebutt
            || head.probe.is_some() && !reconciles
        {
            return Err(Malformed("digests belong to another protocol"));
        }
        if head.life < self.peers[at].life {
            // From a life that is over: what it did then and others lack it has done again.
            return Ok(());
        }
        self.meet(at, head.life);
        if let Some(Probe::Begin { sender, .. }) = &head.probe {
            self.greet_again(from, &head, &mut std::iter::once(*sender));
        }
        let (told, used) = self.take(from, &head, brought, cargo, out)?;
        let sealed = self.sealed();
        self.store.tell(sealed, out);
        let mut reply = Head::default();
        if used != Use::All || head.asks {
            reply.version = Some(self.store.have.clone());
            reply.resets = used != Use::All;
        } else {
            for (agent, _) in told.iter() {
                reply.ack.raise(agent, self.store.have.get(agent));
            }
        }
        let mut bring = match used {
            Use::Forgotten => Bring::Rebase,
            _ if head.version.is_some() => Bring::Changes,
            _ => Bring::Nothing,
        };
        let is_turn = head.asks || head.number.is_some() && head.answers.is_none();
        self.peers[at].offered &= !is_turn;
        let under_way = self.peers[at].offered && self.transport == Transport::Session;
        let mut head = head;
        if let Some(probe) = head.probe.take() {
            if self.store.members.is_gone(from) {
                bring = Bring::Rebase;
            } else {
                let (said, then) = by_keys(out, |out| self.probed(at, probe, out))?;
                reply.probe = said;
                if bring == Bring::Nothing {
                    bring = then;
                }
                if bring == Bring::Version {
                    reply.version = Some(self.store.have.clone());
                    reply.asks = true;
                }
            }
        }
        let (number, is_answer) = (head.number, head.answers.is_some());
        let is_ahead = head.version.as_ref().is_some_and(|theirs| !self.store.have.reaches(theirs));
        self.learn(at, head, &told);
        if number.is_some() {
            reply.answers = number;
            reply.covers = !is_ahead;
            if is_ahead && self.is_star && !is_answer {
                self.ask(at, &mut reply);
            }
        }
        // What makes it begin again is on its way.
        if used != Use::Forgotten || !under_way {
            self.say(at, reply, bring, out);
        }
        self.prune();
        Ok(())
    }

    /// Takes in what a message brings. Returns how far each agent's changes in it go, and how they could be used.
    fn take(
        &mut self,
        from: ReplicaId,
        head: &Head,
        brought: Brought,
        cargo: &Cargo,
        out: &mut Outbox,
    ) -> Result<(Version, Use), Malformed> {
        let one_by_one = self.protocol.one_by_one();
        match brought {
            Brought::Deltas(deltas) if deltas.is_empty() => {
                self.greet_again(from, head, &mut std::iter::empty());
                Ok((Version::new(), Use::All))
            }
            Brought::Deltas(deltas) if !one_by_one => {
                self.store.check(deltas.iter())?;
                if self.greet_again(from, head, &mut deltas.iter().map(|delta| delta.first.agent)) {
                    return Ok((Version::new(), Use::Forgotten));
                }
                let sealed = self.sealed();
                Ok(self.store.take_deltas(deltas, cargo, sealed, out))
            }
            Brought::Operations(entries) if one_by_one => {
                self.store.check(entries.iter().map(|entry| &entry.delta))?;
                let mut authors = entries.iter().map(|entry| entry.delta.first.agent);
                if self.greet_again(from, head, &mut authors) {
                    return Ok((Version::new(), Use::Forgotten));
                }
                Ok(self.store.take_operations(entries, cargo, out))
            }
            Brought::State(state, rebase) => {
                let version = head.version.as_ref();
                let version = version.ok_or(Malformed("a state without its version"))?;
                if self.protocol.reconciles() && version.beyond(&Version::new()) > MOST_KEYS {
                    return Err(Malformed("a state of more changes than have keys"));
                }
                if self.greet_again(from, head, &mut std::iter::empty()) && rebase.is_none() {
                    return Ok((Version::new(), Use::Forgotten));
                }
                let life = self.store.agent;
                let used = self.store.take_state(from, version, (&state, rebase), cargo, out)?;
                if self.store.agent != life {
                    self.begin_again();
                }
                Ok((version.clone(), used))
            }
            _ => Err(Malformed("changes belong to another protocol")),
        }
    }

    /// A peer speaks in this life. What it had in another one it may have no more, but for what it says.
    fn meet(&mut self, at: usize, life: u32) {
        let peer = &mut self.peers[at];
        if life > peer.life {
            peer.life = life;
            (peer.acked, peer.sent) = (Version::new(), Version::new());
            peer.cursor = self.store.log.start();
            (peer.greeted, peer.met) = (false, false);
            peer.exchanges.lose();
        }
    }

    /// Whether a peer is still gone, now that it speaks: if it does under a new name, it has taken over somebody's document, and is not.
    fn greet_again(
        &mut self,
        from: ReplicaId,
        head: &Head,
        authors: &mut dyn Iterator<Item = Agent>,
    ) -> bool {
        if !self.store.members.is_gone(from) {
            return false;
        }
        let told = head.version.iter().flat_map(Version::iter).map(|(agent, _)| agent);
        let latest = told.chain(authors).filter(|agent| agent.replica() == from).max();
        if let Some(agent) = latest {
            self.store.members.heard(agent, 0, false);
        }
        self.store.members.is_gone(from)
    }

    /// This replica goes on in a new life: all its peers may take it to have what it left to others.
    fn begin_again(&mut self) {
        self.sets.clear();
        for peer in &mut self.peers {
            peer.exchanges.lose();
            peer.cursor = self.store.log.start();
            peer.sent = peer.acked.clone();
            (peer.misled, peer.greeted, peer.met) = (true, false, false);
        }
    }

    /// Notes what a message says about its sender.
    fn learn(&mut self, at: usize, head: Head, told: &Version) {
        let peer = &mut self.peers[at];
        if head.answers == Some(peer.digests)
            && let Some(asked) = peer.asked.take()
        {
            peer.misled = false;
            if head.covers {
                peer.acked.join(&asked);
            }
            // It has told all that it had and this replica lacked. What it had in a life that is over is void.
            peer.acked.limit(&self.store.have);
        }
        if let Some(version) = head.version {
            if head.resets {
                peer.sent = version.clone();
                peer.acked = version;
                peer.cursor = self.store.log.start();
            } else {
                peer.acked.join(&version);
            }
            peer.met = true;
            // Versions say all that an exchange would have found out.
            peer.exchanges.abandon();
            peer.misled &= head.asks || head.number.is_some();
        }
        peer.acked.join(&head.ack);
        peer.acked.join(told);
        peer.sent.join(&peer.acked);
        peer.cursor = self.store.log.first_unknown(peer.cursor, &peer.acked);
    }

    /// The log's position before which some peer has everything: what is there must not change any more.
    fn sealed(&self) -> u64 {
        self.peers.iter().map(|peer| peer.cursor).max().unwrap_or(0)
    }

    /// Drops what every peer has that is not gone.
    pub(super) fn prune(&mut self) {
        let here = self.peers.iter().filter(|peer| !self.store.members.is_gone(peer.id));
        let needed = here.map(|peer| peer.cursor).min();
        self.store.prune(needed.unwrap_or(self.store.log.end()));
        let start = self.store.log.start();
        for peer in &mut self.peers {
            peer.cursor = peer.cursor.max(start);
        }
    }
}

impl Peer {
    /// A peer of which nothing is known.
    pub fn new(id: ReplicaId) -> Self {
        Peer {
            id,
            life: 0,
            acked: Version::new(),
            sent: Version::new(),
            cursor: 0,
            greeted: false,
            met: false,
            misled: false,
            offered: false,
            digests: 0,
            asked: None,
            exchanges: Exchanges::default(),
        }
    }
}

impl Replica for VersionReplica {
    fn handle(
        &mut self,
        _clock: Clock,
        input: Input<'_>,
        out: &mut Outbox,
    ) -> Result<(), Malformed> {
        match input {
            Input::Edit { id, edit } => {
                let sealed = self.sealed();
                self.store.edit(id, edit, sealed, out);
                self.prune();
            }
            Input::Sync { peer } => self.sync(peer, out)?,
            Input::Receive { from, bytes, cargo } => self.receive(from, bytes, cargo, out)?,
            Input::Link { peer, state: _ } => {
                let at = self.peer(peer)?;
                let peer = &mut self.peers[at];
                peer.sent = peer.acked.clone();
                (peer.greeted, peer.met, peer.offered) = (false, false, false);
                peer.asked = None;
                peer.exchanges.lose();
            }
            Input::Seat(change) => {
                let (members, own) = (&mut self.store.members, self.store.agent.replica());
                match change {
                    SeatChange::Gone { replica } if replica != own => {
                        members.leave(replica, &self.store.have);
                    }
                    SeatChange::Gone { .. } => members.cast_out(),
                    SeatChange::Back { replica } if replica != own => members.join(replica),
                    SeatChange::Back { .. } => {}
                }
                let sealed = self.sealed();
                self.store.tell(sealed, out);
                self.prune();
            }
        }
        Ok(())
    }

    fn pending(&self, peer: ReplicaId) -> Pending {
        let Ok(at) = self.peer(peer) else { return Pending::default() };
        let (peer, have) = (&self.peers[at], &self.store.have);
        let owed = match (self.protocol, self.transport) {
            (_, Transport::Session) => have.beyond(&peer.sent),
            (_, Transport::Datagram) => have.beyond(&peer.acked),
        };
        // One that was gone needs at least to hear that it is to begin again; and one that lost its memory must say so, or the peer goes
        // on where it believes to have stopped.
        let owed = owed.max(u64::from(self.store.members.is_gone(peer.id) || peer.misled));
        let under_way = !peer.acked.reaches(&peer.sent);
        match self.protocol {
            Protocol::Digest | Protocol::Rumors => {
                Pending { edits: owed, exchange_open: peer.greeted && !peer.met || under_way }
            }
            Protocol::Operations => Pending { edits: owed, exchange_open: under_way },
            Protocol::Merkle | Protocol::Rateless => Pending {
                edits: owed,
                exchange_open: peer.exchanges.is_open || peer.greeted && !peer.met,
            },
            // Speaking also brings what the peer has and this replica lacks.
            Protocol::Scuttlebutt => Pending {
                edits: owed.saturating_add(peer.acked.beyond(have)),
                exchange_open: peer.asked.is_some(),
            },
        }
    }

    fn length(&self, cell: Cell) -> usize {
        self.store.cells.length(cell)
    }

    fn render(&self, scope: Scope, out: &mut Rendering) {
        self.store.cells.render(scope, out);
    }

    fn fingerprint(&self, partition: PartitionId) -> u128 {
        if partition == PartitionId(0) { self.store.cells.fingerprint() } else { 0 }
    }

    fn save(&self, out: &mut Vec<u8>) {
        save::save(self, out);
    }

    fn footprint(&self) -> Footprint {
        let mut footprint = self.store.cells.footprint();
        let versions = self.peers.iter().map(|peer| peer.acked.len()).sum::<usize>();
        let entries = versions + self.store.have.len();
        footprint.metadata_bytes += (entries * size_of::<(Agent, u64)>()) as u64;
        footprint.metadata_bytes += self.store.members.bytes();
        footprint.history_bytes += self.store.log.bytes() + self.store.waiting.bytes();
        footprint.history_bytes += self.store.own.iter().map(Delta::memory_bytes).sum::<u64>();
        let burial = self.store.burial.iter().flat_map(|burial| &burial.deleted);
        footprint.history_bytes +=
            burial.map(|(_, spans)| size_of_val(&spans[..]) as u64).sum::<u64>();
        footprint
    }
}
