//! One replica: the two steps when a link begins, updates from then on.

use super::document::Document;
use super::message::{Message, Vector};
use super::peer::{Entry, Log, Named, Peer, STRANGER};
use super::places::Fault;
use super::story::Story;
use super::update::{Any, Client, Held, Update};
use crate::contract::{
    Cargo, CargoIds, Change, Clock, Footprint, Input, LinkState, Malformed, Outbox, Pending,
    Replica, Seat, Transport,
};
use crate::document::{Cell, Edit, EditId, Rendering, ReplicaId, Scope};
use std::collections::VecDeque;

/// What the library keeps of a run of items, in bytes: its `Item` of about 170 and an entry of a list.
const ITEM_BYTES: u64 = 180;
/// What is kept here of a run of items at one place, in bytes.
const PLACE_BYTES: u64 = 50;
/// What is kept of a run of deleted items, in bytes.
const DELETED_RUN_BYTES: u64 = 8;

/// A replica.
pub struct YrsReplica {
    pub(super) document: Document,
    pub(super) story: Story,
    pub(super) log: Log,
    pub(super) peers: Vec<Named>,
    /// Edits made here that the authority has not confirmed, and the position in the log that it must reach for that.
    pub(super) unconfirmed: VecDeque<(u64, EditId)>,
    authority: Option<ReplicaId>,
    transport: Transport,
    incarnation: u32,
}

/// The client that a replica is in one of its lives; genesis is 0.
pub fn client_of(replica: ReplicaId, incarnation: u32) -> Client {
    // 53 bits: a seat's incarnation is a small number.
    u64::from(incarnation & 0x001f_ffff) << 32 | u64::from(replica.0.wrapping_add(1))
}

impl YrsReplica {
    /// A replica that holds the genesis.
    pub fn new(seat: &Seat<'_>) -> Self {
        let mut replica = YrsReplica::empty(seat);
        let mut first = Document::new(client_of(ReplicaId::GENESIS, 0), seat.schema);
        for (id, edit) in seat.genesis {
            let before = first.known(first.client());
            first.edit(edit);
            let after = first.known(first.client());
            replica.story.note(first.client(), (before, after), *id);
        }
        let all = first.difference(&Vector::new());
        replica.document.apply(&all).expect("the library reads what it wrote");
        replica
    }

    /// A replica that holds nothing.
    pub(super) fn empty(seat: &Seat<'_>) -> Self {
        YrsReplica {
            document: Document::new(client_of(seat.replica, seat.incarnation), seat.schema),
            story: Story::default(),
            log: Log::default(),
            peers: seat.peers.iter().map(|peer| (*peer, Peer::new(seat.incarnation))).collect(),
            unconfirmed: VecDeque::new(),
            authority: seat.authority.filter(|authority| *authority != seat.replica),
            transport: seat.transport,
            incarnation: seat.incarnation,
        }
    }

    fn position(&self, peer: ReplicaId) -> Result<usize, Malformed> {
        self.peers.iter().position(|(name, _)| *name == peer).ok_or(Malformed(STRANGER))
    }

    /// From where on a peer is to be told the log.
    fn tell_from(&self, peer: &Peer) -> u64 {
        match self.transport {
            Transport::Session if peer.steady => peer.sent,
            _ => peer.acked,
        }
    }

    fn edit(&mut self, id: EditId, edit: &Edit, out: &mut Outbox) {
        let client = self.document.client();
        let before = self.document.known(client);
        let (update, hidden) = self.document.edit(edit);
        self.story.note(client, (before, self.document.known(client)), id);
        self.story.edited(id, &hidden, out);
        self.learn(update, None, out);
        if self.authority.is_some() {
            self.unconfirmed.push_back((self.log.end(), id));
        }
    }

    /// Puts what is new into the log.
    fn learn(&mut self, update: Update, from: Option<usize>, out: &mut Outbox) {
        let bytes = update.write().len();
        out.work((update.block_count() + update.deleted.ranges()) as u64);
        out.work_bytes(bytes);
        if update.is_empty() {
            return;
        }
        let at = self.log.end();
        self.log.entries.push_back(Entry { update, bytes: bytes as u64 });
        if let Some(from) = from {
            self.peers[from].1.has(at);
        }
        self.forget_told();
    }

    /// Entries that nobody has to be told as they are are forgotten: whoever is met anew is told the difference.
    fn forget_told(&mut self) {
        let needed = |(_, peer): &Named| match peer.steady {
            true => Some(self.tell_from(peer)),
            // A difference is under way: what follows it will do once it is known to have arrived.
            false => peer.under_way.back().map(|message| message.log),
        };
        let least = self.peers.iter().filter_map(needed).min();
        self.log.forget_before(least.unwrap_or(self.log.end()));
    }

    fn ask(&mut self, at: usize, answers: bool, out: &mut Outbox) {
        let (to, peer) = &mut self.peers[at];
        peer.asked = true;
        let (incarnation, vector) = (self.incarnation, self.document.vector().clone());
        let bytes = Message::Step1 { answers, incarnation, vector }.write();
        out.work_bytes(bytes.len());
        out.send(*to, bytes, Cargo::default());
    }

    /// Sends an update, all that the peer lacks being in it.
    fn tell(&mut self, at: usize, update: Update, is_step_2: bool, out: &mut Outbox) {
        let (to, peer) = &mut self.peers[at];
        // Datagrams may overtake one another: what is not known to have arrived is told again.
        let told = match self.transport {
            Transport::Session => peer.told,
            Transport::Datagram => peer.told_surely,
        };
        let cargo = Cargo {
            elements: (update.block_count() + update.deleted.ranges()) as u64,
            content_bytes: content_bytes(&update),
            ids: self.story.ride(&update, told),
        };
        out.work(cargo.elements);
        let serial = peer.send(self.log.end(), self.story.len());
        let message = if is_step_2 {
            Message::Step2 { serial, update }
        } else {
            Message::Since { serial, update }
        };
        let bytes = message.write();
        out.work_bytes(bytes.len());
        out.send(*to, bytes, cargo);
    }

    fn sync(&mut self, peer: ReplicaId, out: &mut Outbox) -> Result<(), Malformed> {
        let at = self.position(peer)?;
        let peer = &self.peers[at].1;
        let waits = peer.asked && self.transport == Transport::Datagram;
        if peer.steady && !waits {
            let update = self.log.joined(self.tell_from(peer), &peer.has);
            self.tell(at, update, false, out);
            self.forget_told();
        } else if !peer.asked || self.transport == Transport::Datagram {
            self.ask(at, false, out);
        }
        Ok(())
    }

    fn receive(
        &mut self,
        from: ReplicaId,
        bytes: &[u8],
        ids: &[CargoIds],
        out: &mut Outbox,
    ) -> Result<(), Malformed> {
        let at = self.position(from)?;
        out.work_bytes(bytes.len());
        match Message::read(bytes)? {
            Message::Step1 { answers, incarnation, vector } => {
                self.asked(at, answers, incarnation, &vector, out);
            }
            Message::Step2 { serial, update } => match self.check(&update) {
                Ok(()) => {
                    self.take_in(at, &update, ids, out)?;
                    let peer = &mut self.peers[at].1;
                    (peer.heard, peer.asked) = (true, false);
                    acknowledge(from, serial, out);
                }
                // A late answer to what was asked before memory was lost. The next one will fit.
                Err(Fault::Gap) => {}
                Err(Fault::Nonsense(what)) => return Err(what),
            },
            Message::Since { serial, update } => match self.check(&update) {
                Ok(()) => {
                    self.take_in(at, &update, ids, out)?;
                    acknowledge(from, serial, out);
                }
                Err(Fault::Gap) => self.ask(at, false, out),
                Err(Fault::Nonsense(what)) => return Err(what),
            },
            Message::Ack { serial } => self.acknowledged(at, serial, out),
        }
        Ok(())
    }

    fn check(&self, update: &Update) -> Result<(), Fault> {
        self.document.check(update)
    }

    /// Answers a state vector, and asks for the peer's own state where it has not told it on this link.
    fn asked(
        &mut self,
        at: usize,
        answers: bool,
        incarnation: u32,
        vector: &Vector,
        out: &mut Outbox,
    ) {
        let peer = &mut self.peers[at].1;
        if peer.incarnation != incarnation {
            peer.forgot(incarnation);
        }
        let update = self.document.difference(vector);
        self.tell(at, update, true, out);
        let peer = &mut self.peers[at].1;
        peer.steady |= self.transport == Transport::Session;
        let asks = match self.transport {
            Transport::Session => !peer.heard && !peer.asked,
            // Whoever asks may not know that its own state arrived here: it is to tell it again, and be told so.
            Transport::Datagram => !answers,
        };
        if asks {
            self.ask(at, true, out);
        }
        self.forget_told();
    }

    /// Takes in an update that was checked.
    fn take_in(
        &mut self,
        at: usize,
        update: &Update,
        ids: &[CargoIds],
        out: &mut Outbox,
    ) -> Result<(), Malformed> {
        let known = self.document.vector().clone();
        let (new, hidden) = self.document.apply(update)?;
        let known = |client: Client| known.get(&client).copied().unwrap_or(0);
        self.story.received(update, known, ids, &hidden, out);
        let (peer, log) = (&mut self.peers[at].1, &self.log);
        let mut visited = 0;
        for (entry, _) in log.since(peer.acked).filter(|(_, entry)| update.covers(&entry.update)) {
            peer.has(entry);
            visited += 1;
        }
        out.work(visited + (update.block_count() + update.deleted.ranges()) as u64);
        self.learn(new, Some(at), out);
        Ok(())
    }

    fn acknowledged(&mut self, at: usize, serial: u64, out: &mut Outbox) {
        let (name, peer) = &mut self.peers[at];
        if !peer.arrived(serial) {
            return;
        }
        // A difference arrived, and all that was learnt since is still at hand.
        peer.steady |= self.transport == Transport::Datagram && peer.acked >= self.log.start;
        if Some(*name) == self.authority {
            let acked = peer.acked;
            while let Some((end, edit)) = self.unconfirmed.front().copied() {
                if end > acked {
                    break;
                }
                self.unconfirmed.pop_front();
                out.change(Change::Acknowledged { edit });
            }
        }
        self.forget_told();
    }
}

fn acknowledge(to: ReplicaId, serial: u64, out: &mut Outbox) {
    out.send(to, Message::Ack { serial }.write(), Cargo::default());
}

/// Bytes of users' content in an update: texts and values; a number counts 8, as does a range that is deleted.
fn content_bytes(update: &Update) -> u64 {
    let held = |held: &Held| match held {
        Held::Deleted(_) => 0,
        Held::Text(text, _) => text.len() as u64,
        Held::Values(values) => values.iter().map(any_bytes).sum(),
    };
    let blocks = update.blocks.values().flatten().map(|block| held(&block.held)).sum::<u64>();
    blocks + 8 * update.deleted.ranges() as u64
}

fn any_bytes(value: &Any) -> u64 {
    match value {
        Any::Integer(_) => 8,
        Any::Text(text) => text.len() as u64,
        Any::True => 1,
    }
}

impl Replica for YrsReplica {
    fn handle(&mut self, _: Clock, input: Input<'_>, out: &mut Outbox) -> Result<(), Malformed> {
        match input {
            Input::Edit { id, edit } => self.edit(id, edit, out),
            Input::Sync { peer } => self.sync(peer, out)?,
            Input::Receive { from, bytes, cargo } => self.receive(from, bytes, &cargo.ids, out)?,
            Input::Link { peer, state } => {
                if state == LinkState::Lost {
                    let at = self.position(peer)?;
                    self.peers[at].1.lost();
                    self.forget_told();
                }
            }
            // Nothing waits for anybody here: Yjs keeps its tombstones for ever.
            Input::Seat(_) => {}
        }
        Ok(())
    }

    fn pending(&self, peer: ReplicaId) -> Pending {
        let Ok(at) = self.position(peer) else { return Pending::default() };
        let peer = &self.peers[at].1;
        let edits = peer.lacks(self.tell_from(peer), self.log.end());
        Pending { edits, exchange_open: peer.asked }
    }

    fn length(&self, cell: Cell) -> usize {
        self.document.length(cell)
    }

    fn render(&self, scope: Scope, out: &mut Rendering) {
        self.document.render(scope, out);
    }

    fn save(&self, out: &mut Vec<u8>) {
        super::snapshot::save(self, out);
    }

    fn footprint(&self) -> Footprint {
        let [items, places, deleted] = self.document.runs().map(|runs| runs as u64);
        Footprint {
            content_bytes: self.document.content_bytes(),
            metadata_bytes: items * ITEM_BYTES + places * PLACE_BYTES,
            history_bytes: deleted * DELETED_RUN_BYTES
                + self.log.entries.iter().map(|entry| entry.bytes).sum::<u64>(),
        }
    }
}
