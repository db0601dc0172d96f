//! One replica: what it does on each input. The document, its changes and what is known of peers are those of a replica by version; this one
//! decides what is a rumor and who is told.

use super::hot::Hot;
use super::message::{Message, NO_RUMORS};
use crate::contract::{
    Cargo, Clock, Footprint, Input, LinkState, Malformed, Outbox, Output, Pending, Replica, Seat,
    Transport,
};
use crate::crdt::TextOrder;
use crate::crdt::versions::{Protocol, RumorMessage, VersionReplica, restore};
use crate::document::{Cell, PartitionId, Rendering, ReplicaId, Scope};
use crate::wire::{Reader, Writer};
use std::collections::VecDeque;
use std::num::NonZeroU32;

/// What is under way with a peer.
#[derive(Debug)]
struct Peer {
    id: ReplicaId,
    /// Number of the last push to it.
    pushes: u64,
    /// Pushes that it has not answered; over datagrams at most the last one.
    unanswered: VecDeque<Push>,
    /// Whether the answer to a checksum is awaited.
    compares: bool,
}

/// Rumors on their way.
#[derive(Debug)]
struct Push {
    number: u64,
    /// Of the rumors, ascending.
    positions: Vec<u64>,
}

/// A replica that spreads rumors.
#[derive(Debug)]
pub struct GossipReplica {
    document: VersionReplica,
    hot: Hot,
    /// Whether anti-entropy finds what rumors leave out.
    is_backed: bool,
    transport: Transport,
    /// In order of names.
    peers: Vec<Peer>,
}

impl GossipReplica {
    /// A replica that holds the seat's genesis and nothing else.
    pub fn new(seat: &Seat<'_>, interest: NonZeroU32, is_backed: bool) -> Self {
        let mut peers: Vec<Peer> = seat.peers.iter().map(|id| Peer::new(*id)).collect();
        peers.sort_by_key(|peer| peer.id);
        for peer in &mut peers {
            peer.pushes = pushes_before(seat.incarnation);
        }
        GossipReplica {
            document: VersionReplica::new(seat, Protocol::Rumors, TextOrder::FugueMax),
            hot: Hot::new(interest),
            is_backed,
            transport: seat.transport,
            peers,
        }
    }

    /// The replica that wrote `saved`.
    ///
    /// # Errors
    /// [`Malformed`] where it makes no sense.
    pub fn restore(
        seat: &Seat<'_>,
        interest: NonZeroU32,
        is_backed: bool,
        saved: &[u8],
    ) -> Result<Self, Malformed> {
        let mut reader = Reader::new(saved);
        let document = reader.blob()?;
        let document = restore(seat, Protocol::Rumors, TextOrder::FugueMax, document)?;
        let hot = Hot::read(&mut reader, interest, &document.logged())?;
        let mut peers = Vec::new();
        for _ in 0..reader.count(4)? {
            let mut peer = Peer::read(&mut reader)?;
            peer.pushes = peer.pushes.max(pushes_before(seat.incarnation));
            peers.push(peer);
        }
        reader.end()?;
        let mut expected: Vec<ReplicaId> = seat.peers.to_vec();
        expected.sort_unstable();
        if !peers.iter().map(|peer| peer.id).eq(expected) {
            return Err(Malformed("the peers are those of another seat"));
        }
        Ok(GossipReplica { document, hot, is_backed, transport: seat.transport, peers })
    }

    fn peer(&self, id: ReplicaId) -> Result<usize, Malformed> {
        self.peers.binary_search_by_key(&id, |peer| peer.id).map_err(|_| Malformed("not a peer"))
    }

    fn sync(&mut self, id: ReplicaId, out: &mut Outbox) -> Result<(), Malformed> {
        let at = self.peer(id)?;
        let sent_before = out.outputs.len();
        if self.document.must_introduce(id) {
            self.document.introduce(id, out)?;
        } else if self.transport == Transport::Session
            && self.is_backed
            && !self.document.has_met(id)
        {
            self.document.compare(id, out)?;
        } else if self.push(at, out)? || !self.is_backed {
            return Ok(());
        } else if !self.document.has_met(id) {
            self.document.compare(id, out)?;
        } else if !self.document.is_level(id) && !self.awaits(at) {
            let checksum = Some(self.document.checksum(out));
            self.peers[at].compares = true;
            send(id, &Message { checksum, ..Message::default() }, Cargo::default(), out);
            return Ok(());
        }
        wrap(sent_before, &Message::default(), out);
        Ok(())
    }

    /// Whether something that was said to a peer over a session is sure to be answered.
    fn awaits(&self, at: usize) -> bool {
        let peer = &self.peers[at];
        self.transport == Transport::Session && (peer.compares || !peer.unanswered.is_empty())
    }

    /// Whether an answer is awaited that still matters: over datagrams it may have been lost.
    fn is_open(&self, at: usize) -> bool {
        let peer = &self.peers[at];
        let mut asked = peer.unanswered.iter().flat_map(|push| &push.positions);
        self.awaits(at)
            || asked.any(|position| self.hot.is_hot(*position))
            || peer.compares && !self.document.is_level(peer.id)
    }

    /// The rumors that a peer can be told: over sessions not those that are on their way.
    fn untold(&self, at: usize) -> impl ExactSizeIterator<Item = u64> {
        let peer = &self.peers[at];
        let is_session = self.transport == Transport::Session;
        // They are pushed in the order in which they became hot.
        let last = peer.unanswered.back().and_then(|push| push.positions.last());
        let told = last.filter(|_| is_session).map_or(0, |last| last + 1);
        self.hot.positions_from(told)
    }

    /// Tells a peer the rumors. Returns whether there were any.
    fn push(&mut self, at: usize, out: &mut Outbox) -> Result<bool, Malformed> {
        let positions: Vec<u64> = self.untold(at).collect();
        out.work(self.hot.len() as u64);
        if positions.is_empty() {
            return Ok(false);
        }
        let (inner, cargo) = self.document.rumors(&positions, out);
        let peer = &mut self.peers[at];
        self.document.passed_on(peer.id, &positions)?;
        peer.pushes += 1;
        let number = peer.pushes;
        if self.transport == Transport::Datagram {
            peer.unanswered.clear();
        }
        peer.unanswered.push_back(Push { number, positions });
        let message = Message { push: Some(number), inner: Some(&inner), ..Message::default() };
        send(peer.id, &message, cargo, out);
        Ok(true)
    }

    fn receive(
        &mut self,
        from: ReplicaId,
        bytes: &[u8],
        cargo: &Cargo,
        out: &mut Outbox,
    ) -> Result<(), Malformed> {
        let at = self.peer(from)?;
        let message = Message::read(bytes)?;
        out.work_bytes(bytes.len());
        if message.checksum.is_some() && !self.is_backed {
            return Err(Malformed("checksums belong to anti-entropy"));
        }
        let inner = message.inner.map(RumorMessage::read).transpose()?;
        if let Some((number, known)) = &message.feedback {
            let pushes = &self.peers[at].unanswered;
            let push = pushes.iter().find(|push| push.number == *number);
            if push.is_some_and(|push| push.positions.len() != known.len()) {
                return Err(Malformed("feedback on other rumors"));
            }
        }
        let mut reply = Message::default();
        if let Some(number) = message.push {
            let rumors = inner.as_ref().filter(|inner| inner.operations() > 0).ok_or(NO_RUMORS)?;
            let (known, brings_edits) = self.document.known(rumors, out);
            reply.feedback = Some((number, known));
            reply.answers = self.is_backed && !brings_edits;
        }
        let sent_before = out.outputs.len();
        if let Some(inner) = inner {
            self.document.receive_message(from, inner, cargo, out)?;
        }
        // Whatever answers a checksum, or speaks of versions, ends the wait.
        self.peers[at].compares &= message.push.is_some();
        if let Some((number, known)) = message.feedback {
            self.hear_back(at, number, &known, out);
        }
        if reply.answers {
            reply.checksum = Some(self.document.checksum(out));
        }
        if let Some(theirs) = message.checksum {
            let own = self.document.checksum(out);
            if own != theirs {
                self.document.compare(from, out)?;
            } else {
                self.document.agree(from)?;
                if !message.answers {
                    (reply.checksum, reply.answers) = (Some(own), true);
                }
            }
        }
        self.answer(from, sent_before, &reply, out);
        Ok(())
    }

    /// Takes note of which rumors a peer knew.
    fn hear_back(&mut self, at: usize, number: u64, known: &[bool], out: &mut Outbox) {
        let pushes = &mut self.peers[at].unanswered;
        // Over a session answers come in the order of pushes.
        let Some(place) = pushes.iter().position(|push| push.number == number) else { return };
        let push = pushes.drain(..=place).next_back().expect("there is one at that place");
        out.work(known.len() as u64);
        for (position, was_known) in push.positions.iter().zip(known) {
            self.hot.told(*position, *was_known);
        }
    }

    /// Sends a reply together with what the document has to say.
    fn answer(&self, to: ReplicaId, sent_before: usize, reply: &Message<'_>, out: &mut Outbox) {
        let sends = |output: &Output| matches!(output, Output::Send { .. });
        if out.outputs[sent_before..].iter().any(sends) {
            wrap(sent_before, reply, out);
        } else if *reply != Message::default() {
            send(to, reply, Cargo::default(), out);
        }
    }

    /// What was logged since is hot, and what every peer has is not.
    fn spread(&mut self, logged_before: u64) {
        let logged = self.document.logged();
        self.hot.heat(logged_before.max(logged.start)..logged.end);
        self.hot.cool_before(logged.start);
    }
}

/// Numbers of pushes in each life of a replica, about: one that lost its memory does not know which it has used.
const PUSHES_PER_LIFE: u64 = 1 << 24;

fn pushes_before(incarnation: u32) -> u64 {
    u64::from(incarnation) * PUSHES_PER_LIFE
}

fn send(to: ReplicaId, message: &Message<'_>, cargo: Cargo, out: &mut Outbox) {
    let bytes = message.write();
    out.work_bytes(bytes.len());
    out.send(to, bytes, cargo);
}

/// Puts what the document sent into messages of gossip: the first one with all else that is to be said.
fn wrap(sent_before: usize, first: &Message<'_>, out: &mut Outbox) {
    let mut first = Some(first);
    for output in &mut out.outputs[sent_before..] {
        if let Output::Send { bytes, .. } = output {
            let message = first.take().cloned().unwrap_or_default();
            *bytes = Message { inner: Some(bytes), ..message }.write();
        }
    }
}

impl Peer {
    fn new(id: ReplicaId) -> Self {
        Peer { id, pushes: 0, unanswered: VecDeque::new(), compares: false }
    }

    fn write(&self, writer: &mut Writer) {
        writer.replica(self.id);
        writer.uint(self.pushes);
        writer.byte(u8::from(self.compares));
        writer.count(self.unanswered.len());
        for push in &self.unanswered {
            writer.uint(push.number);
            writer.count(push.positions.len());
            push.positions.iter().for_each(|position| writer.uint(*position));
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut peer = Peer::new(reader.replica()?);
        peer.pushes = reader.uint()?;
        peer.compares = match reader.byte()? {
            0 => false,
            1 => true,
            _ => return Err(Malformed("unknown marks of a peer")),
        };
        for _ in 0..reader.count(2)? {
            let number = reader.uint()?;
            let positions = (0..reader.count(1)?).map(|_| reader.uint());
            let positions = positions.collect::<Result<_, _>>()?;
            peer.unanswered.push_back(Push { number, positions });
        }
        Ok(peer)
    }
}

impl Replica for GossipReplica {
    fn handle(
        &mut self,
        clock: Clock,
        input: Input<'_>,
        out: &mut Outbox,
    ) -> Result<(), Malformed> {
        let logged = self.document.logged().end;
        match input {
            Input::Sync { peer } => self.sync(peer, out)?,
            Input::Receive { from, bytes, cargo } => self.receive(from, bytes, cargo, out)?,
            Input::Link { peer, state: LinkState::Open | LinkState::Lost } => {
                let at = self.peer(peer)?;
                self.peers[at].unanswered.clear();
                self.peers[at].compares = false;
                self.document.handle(clock, input, out)?;
            }
            Input::Edit { .. } | Input::Seat(_) => self.document.handle(clock, input, out)?,
        }
        self.spread(logged);
        Ok(())
    }

    fn pending(&self, peer: ReplicaId) -> Pending {
        let Ok(at) = self.peer(peer) else { return Pending::default() };
        let known = self.document.pending(peer);
        let rumors = self.untold(at).len() as u64;
        let exchange_open = known.exchange_open || self.is_open(at);
        let edits = match self.is_backed {
            true => rumors.max(known.edits),
            false => rumors.max(u64::from(self.document.must_introduce(peer))),
        };
        Pending { edits, exchange_open }
    }

    fn length(&self, cell: Cell) -> usize {
        self.document.length(cell)
    }

    fn render(&self, scope: Scope, out: &mut Rendering) {
        self.document.render(scope, out);
    }

    fn fingerprint(&self, partition: PartitionId) -> u128 {
        self.document.fingerprint(partition)
    }

    fn save(&self, out: &mut Vec<u8>) {
        let mut document = Vec::new();
        self.document.save(&mut document);
        let mut writer = Writer::after(std::mem::take(out));
        writer.blob(&document);
        self.hot.write(&mut writer);
        writer.count(self.peers.len());
        self.peers.iter().for_each(|peer| peer.write(&mut writer));
        *out = writer.finish();
    }

    fn footprint(&self) -> Footprint {
        let mut footprint = self.document.footprint();
        let pushes = self.peers.iter().flat_map(|peer| &peer.unanswered);
        let positions: usize = pushes.map(|push| size_of_val(&push.positions[..])).sum();
        footprint.metadata_bytes += self.hot.memory_bytes() + positions as u64;
        footprint
    }
}
