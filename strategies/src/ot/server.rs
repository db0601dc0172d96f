//! The server: gives every batch its place in one order, and tells everybody else.
//!
//! As `ot/central` and `ot/uncomposed` it also transforms every batch to fit there. As `ot/relay` it sends it on as it came. (What this
//! replica displays is then kept by a reader beside the sequencer: a client like all others, whose transformations bill no work
//! to the sequencer. It also says which batches cannot be, and makes the snapshots.)
//!
//! Revisions are forgotten once all current members have them. A client that is gone is not waited for; when it comes back and lacks
//! what was forgotten, it gets a snapshot.

use super::Ot;
use super::batch::{Batch, check_made_at, over_earlier};
use super::codec::{
    Message, Snapshot, content_bytes, encode_foreign, encode_own, encode_revisions_head, read_ops,
    size_of, write_ops,
};
use super::content::{Cells, Lengths};
use super::missed::Missed;
use super::names::CargoNames;
use super::op::{CellOp, Ops, Span, cross};
use super::snapshot;
use super::standing::Standing;
use crate::contract::{
    Cargo, Change, Clock, Footprint, Input, LinkState, Malformed, Outbox, Pending, Replica, Seat,
    SeatChange,
};
use crate::document::{Cell, Content, Edit, EditId, PartitionId, Rendering, ReplicaId, Scope};
use crate::wire::{Reader, Writer};
use std::collections::{BTreeMap, VecDeque};

/// What is kept for each client, in memory: five numbers and two flags.
const CLIENT_BYTES: u64 = 42;
/// The number of the last revision, in memory.
const METADATA_BYTES: u64 = 8;
/// What is kept with each revision beside its operations: author, batch, distance.
const REVISION_BYTES: u64 = 8;

/// The replica that orders everything.
#[derive(Debug)]
pub struct Server {
    kind: Ot,
    replica: ReplicaId,
    cells: Cells,
    standing: Standing,
    /// Number of the last revision.
    revision: u64,
    /// The last revisions: all that a current member may still lack, or be unaware of.
    log: VecDeque<Entry>,
    clients: BTreeMap<ReplicaId, Peer>,
    /// What was forgotten although somebody who is gone lacks it.
    missed: Missed,
}

/// One revision.
#[derive(Debug)]
struct Entry {
    author: ReplicaId,
    /// As ordered: what it does after the revision before.
    batch: Batch,
    /// What it would have to be transformed over to become that, as it came from its author; where the server only relays.
    raw: Option<Raw>,
    bytes: u64,
}

/// A batch as its author made it.
#[derive(Debug)]
struct Raw {
    /// How many revisions before the last one at that time.
    distance: u64,
    ops: Ops,
}

impl Entry {
    fn new(author: ReplicaId, batch: Batch, raw: Option<Raw>) -> Self {
        let raw_bytes = raw.as_ref().map_or(0, |raw| size_of(&raw.ops));
        let bytes = size_of(&batch.ops) + raw_bytes + REVISION_BYTES;
        Entry { author, batch, raw, bytes }
    }

    /// What clients are told.
    fn told(&self) -> (u64, &Ops) {
        self.raw.as_ref().map_or((0, &self.batch.ops), |raw| (raw.distance, &raw.ops))
    }
}

/// What the server knows of a client.
#[derive(Clone, Copy, Debug, Default)]
struct Peer {
    /// Number of the last batch of this client that was executed; 0 for none.
    executed: u64,
    /// The last revision that it became.
    executed_at: u64,
    /// The client has every revision up to this one.
    acknowledged: u64,
    /// Last revision sent in this session.
    sent: u64,
    /// The revision of the last snapshot sent in this session; 0 for none.
    snapshot: u64,
    /// Whether the client has said, since the last session was lost, how far it has come.
    known: bool,
    /// Whether it is presumed gone: revisions are not kept for it.
    gone: bool,
}

impl Server {
    /// A server that displays `cells` as revision 0, like all its clients.
    pub fn new(kind: Ot, seat: &Seat<'_>, cells: Cells, standing: Standing) -> Self {
        let peer = Peer { known: true, ..Peer::default() };
        Server {
            kind,
            replica: seat.replica,
            cells,
            standing,
            revision: 0,
            log: VecDeque::new(),
            clients: seat.peers.iter().map(|client| (*client, peer)).collect(),
            missed: Missed::default(),
        }
    }

    /// The server that [`Replica::save`] wrote.
    ///
    /// # Errors
    /// [`Malformed`] where the bytes are not such a snapshot.
    pub fn load(
        kind: Ot,
        seat: &Seat<'_>,
        cells: Cells,
        reader: &mut Reader<'_>,
    ) -> Result<Self, Malformed> {
        let mut server = Server::new(kind, seat, cells, Standing::default());
        snapshot::read_cells(reader, &mut server.cells)?;
        server.standing = snapshot::read_standing(reader)?;
        server.revision = reader.uint()?;
        for _ in 0..reader.count(2)? {
            let author = reader.replica()?;
            let batch = snapshot::read_batch(reader)?;
            let raw = match reader.uint()? {
                0 => None,
                distance => Some(Raw { distance, ops: read_ops(reader)? }),
            };
            server.log.push_back(Entry::new(author, batch, raw));
        }
        if server.revision < server.log.len() as u64 {
            return Err(Malformed("more revisions than were counted"));
        }
        for _ in 0..reader.count(7)? {
            let client = reader.replica()?;
            let mut peer = Peer {
                executed: reader.uint()?,
                executed_at: reader.uint()?,
                acknowledged: reader.uint()?,
                sent: reader.uint()?,
                snapshot: reader.uint()?,
                ..Peer::default()
            };
            let flags = reader.byte()?;
            peer.known = flags & 1 != 0;
            peer.gone = flags & 2 != 0;
            if ![peer.acknowledged, peer.sent, server.revision].is_sorted() {
                return Err(Malformed("a client's revisions are not in order"));
            }
            server.clients.insert(client, peer);
        }
        server.missed = Missed::read(reader)?;
        Ok(server)
    }

    /// Number of the last revision that is not kept any more.
    fn pruned(&self) -> u64 {
        self.revision - self.log.len() as u64
    }

    fn edit(&mut self, id: EditId, edit: &Edit, out: &mut Outbox) -> Result<(), Malformed> {
        let ops = self.cells.ops_of(edit)?;
        self.standing.local(id, &ops, self.revision + 1, out);
        let mut batch = Batch::default();
        out.work(1 + batch.add(id, ops));
        self.execute(Entry::new(self.replica, batch, None), out);
        out.change(Change::Acknowledged { edit: id });
        Ok(())
    }

    /// The next revision.
    fn execute(&mut self, entry: Entry, out: &mut Outbox) {
        for (cell, op) in &entry.batch.ops {
            out.work(self.cells.apply(*cell, op));
        }
        self.revision += 1;
        self.log.push_back(entry);
        self.prune();
    }

    fn receive(
        &mut self,
        from: ReplicaId,
        bytes: &[u8],
        cargo: &Cargo,
        out: &mut Outbox,
    ) -> Result<(), Malformed> {
        let peer = *self.clients.get(&from).ok_or(Malformed("not from a client"))?;
        let message = Message::decode(bytes)?;
        out.work_bytes(bytes.len());
        match message {
            Message::Hello { seen, flight } => {
                self.check_base(peer, seen)?;
                if flight.is_some_and(|n| n != peer.executed && n != peer.executed + 1) {
                    return Err(Malformed("no such batch can be in flight"));
                }
                self.note(from, seen);
                self.tell(from, flight.is_some(), out);
            }
            Message::Batch { base, number, queue } => {
                self.check_base(peer, base)?;
                if !self.kind.composes() || queue.len() == 1 {
                    self.batch(from, peer, (base, number), queue, cargo, out)?;
                } else {
                    return Err(Malformed("clients compose their edits"));
                }
            }
            Message::Revisions { .. } | Message::Snapshot(_) => {
                return Err(Malformed("a client does not say that"));
            }
        }
        Ok(())
    }

    /// A client's batch, made to fit after revision `base`.
    fn batch(
        &mut self,
        from: ReplicaId,
        peer: Peer,
        (base, number): (u64, u64),
        mut queue: Vec<Ops>,
        cargo: &Cargo,
        out: &mut Outbox,
    ) -> Result<(), Malformed> {
        if number != peer.executed + 1 {
            return Err(Malformed("not the client's next batch"));
        }
        if base < peer.snapshot {
            // A snapshot is on its way. The client will fit its batch to that and send it again.
            return Ok(());
        }
        if base < self.pruned() {
            self.note(from, base);
            self.tell_all(from, out);
            return Ok(());
        }
        let raw = self.kind.relays().then(|| queue.clone());
        let work = self.transform(from, base, &mut queue)?;
        if let Some(raw) = &raw {
            out.work(raw.iter().flat_map(Ops::values).map(CellOp::size).sum());
        } else {
            out.work(work);
        }
        self.note(from, base);
        let mut names = CargoNames::new(&cargo.ids);
        let mut raw = raw.into_iter().flatten();
        for ops in queue {
            let names = names.next(&ops);
            let number = self.revision + 1;
            self.standing.foreign(number, &ops, &ops, &names, |_| None, out);
            let distance = self.revision - base;
            let raw = raw.next().filter(|_| distance > 0).map(|ops| Raw { distance, ops });
            self.execute(Entry::new(from, Batch { ops, names, edits: 0 }, raw), out);
        }
        let executed_at = self.revision;
        let peer = self.client(from);
        peer.executed += 1;
        peer.executed_at = executed_at;
        self.tell(from, false, out);
        Ok(())
    }

    /// Whether a client may have come so far.
    fn check_base(&self, peer: Peer, base: u64) -> Result<(), Malformed> {
        if base < peer.acknowledged {
            return Err(Malformed("the client had come further before"));
        }
        let most = if peer.known { peer.sent } else { self.revision };
        if base > most {
            return Err(Malformed("the client cannot have this revision"));
        }
        Ok(())
    }

    /// A client has every revision up to this one.
    fn note(&mut self, client: ReplicaId, base: u64) {
        let peer = self.client(client);
        if !peer.known {
            peer.known = true;
            peer.sent = base;
        }
        peer.acknowledged = base;
        self.prune();
    }

    /// Makes a batch read as after everything that was ordered since its base. Returns the work in units.
    fn transform(&self, author: ReplicaId, base: u64, queue: &mut [Ops]) -> Result<u64, Malformed> {
        for ops in queue.iter() {
            check_made_at(base, ops, &self.cells)?;
        }
        let first = (base - self.pruned()) as usize;
        if self.log.range(first..).any(|entry| entry.author == author) {
            return Err(Malformed("the client has not seen its own last batch"));
        }
        let concurrent = (base + 1..).zip(self.log.range(first..));
        let mut work = 0;
        if let [ops] = queue {
            for (number, entry) in concurrent {
                work += over_earlier(ops, &entry.batch.ops, number);
            }
        } else {
            let mut met: BTreeMap<Cell, Vec<(u64, CellOp)>> =
                queue.iter().flat_map(Ops::keys).map(|cell| (*cell, Vec::new())).collect();
            for (number, entry) in concurrent {
                work += 1;
                for (cell, op) in &entry.batch.ops {
                    if let Some(met) = met.get_mut(cell) {
                        met.push((number, op.clone()));
                    }
                }
            }
            for (cell, op) in queue.iter_mut().flatten() {
                for (number, earlier) in met.get_mut(cell).into_iter().flatten() {
                    work += cross(earlier, op, Span::one(*number));
                }
            }
        }
        let mut lengths = Lengths::new();
        for (cell, op) in queue.iter().flatten() {
            self.cells.check(*cell, op, &mut lengths)?;
        }
        Ok(work)
    }

    /// Sends what a client has not been sent yet; where it asked, also that this is nothing.
    fn tell(&mut self, client: ReplicaId, answer: bool, out: &mut Outbox) {
        let (revision, pruned) = (self.revision, self.pruned());
        let since = self.client(client).sent;
        if since < pruned {
            self.tell_all(client, out);
            return;
        }
        if since == revision && !answer {
            return;
        }
        self.client(client).sent = revision;
        let mut cargo = Cargo::default();
        let (mut element, mut count) = (0, 0);
        let mut body = Writer::new();
        let mut entries = self.log.range((since - pruned) as usize..).peekable();
        while let Some(entry) = entries.next() {
            count += 1;
            if entry.author == client {
                let mut own = 1;
                while entries.next_if(|next| next.author == client).is_some() {
                    own += 1;
                }
                element += 1;
                encode_own(own, &mut body);
                continue;
            }
            let (distance, ops) = entry.told();
            entry.batch.names.write(ops, &mut element, &mut cargo.ids);
            for op in ops.values() {
                cargo.elements += op.elements() as u64;
                cargo.content_bytes += content_bytes(op);
            }
            encode_foreign(distance, ops, &mut body);
        }
        let mut writer = Writer::new();
        encode_revisions_head(answer, since + 1, self.kind.relays().then_some(pruned), &mut writer);
        writer.count(count);
        writer.raw(&body.finish());
        out.work_bytes(writer.len());
        out.send(client, writer.finish(), cargo);
    }

    /// Sends a client the whole document.
    fn tell_all(&mut self, client: ReplicaId, out: &mut Outbox) {
        let revision = self.revision;
        let peer = self.client(client);
        peer.sent = revision;
        peer.snapshot = revision;
        let (since, executed, executed_at) = (peer.acknowledged, peer.executed, peer.executed_at);
        let mut missed = self.missed.clone();
        for (number, entry) in (self.pruned() + 1..).zip(&self.log) {
            missed.take(number, &entry.batch);
        }
        let history: Vec<Ops> = if self.kind.relays() {
            self.log.iter().map(|entry| entry.batch.ops.clone()).collect()
        } else {
            Vec::new()
        };
        let cells: BTreeMap<Cell, Content> =
            self.cells.iter().map(|(cell, content)| (cell, content.clone())).collect();
        let cargo = Cargo {
            elements: cells.len() as u64 + history.len() as u64,
            content_bytes: cells.values().map(Content::bytes).sum::<u64>()
                + history.iter().flat_map(Ops::values).map(content_bytes).sum::<u64>(),
            ids: missed.names(since, &self.standing, &cells, &self.cells),
        };
        let mut tallies = missed.tallies;
        tallies.retain(|_, tally| {
            if tally.wiped <= since {
                tally.left.retain(|addition| addition.revisions.last > since);
            }
            tally.wiped > since || !tally.left.is_empty()
        });
        let snapshot = Snapshot { revision, executed, executed_at, history, cells, tallies };
        let bytes = Message::Snapshot(snapshot).encode();
        out.work(self.cells.iter().len() as u64);
        out.work_bytes(bytes.len());
        out.send(client, bytes, cargo);
    }

    /// Forgets the revisions that every current member has.
    fn prune(&mut self) {
        let least = |peers: &mut dyn Iterator<Item = &Peer>| {
            peers.map(|peer| peer.acknowledged).min().unwrap_or(self.revision)
        };
        let kept_from = least(&mut self.clients.values().filter(|peer| !peer.gone));
        let had_by_all = least(&mut self.clients.values());
        if self.pruned() <= had_by_all {
            self.missed = Missed::default();
        }
        while self.pruned() < kept_from {
            let number = self.pruned() + 1;
            let entry = self.log.pop_front().expect("what is not pruned is there");
            if number > had_by_all {
                self.missed.take(number, &entry.batch);
            }
        }
    }

    /// A member is presumed gone, or came (back).
    fn member(&mut self, change: SeatChange) {
        match change {
            SeatChange::Gone { replica } => {
                if let Some(peer) = self.clients.get_mut(&replica) {
                    peer.gone = true;
                }
            }
            SeatChange::Back { replica } if replica != self.replica => {
                self.clients.entry(replica).or_default().gone = false;
            }
            SeatChange::Back { .. } => {}
        }
        self.prune();
    }

    fn client(&mut self, client: ReplicaId) -> &mut Peer {
        self.clients.get_mut(&client).expect("looked up when its message arrived")
    }
}

impl Replica for Server {
    fn handle(&mut self, _: Clock, input: Input<'_>, out: &mut Outbox) -> Result<(), Malformed> {
        match input {
            Input::Edit { id, edit } => self.edit(id, edit, out),
            Input::Receive { from, bytes, cargo } => self.receive(from, bytes, cargo, out),
            Input::Sync { peer } => {
                // How far a client has come after a loss, it says first.
                if self.clients.get(&peer).is_some_and(|client| client.known) {
                    self.tell(peer, false, out);
                }
                Ok(())
            }
            Input::Link { peer, state } => {
                if let (Some(peer), LinkState::Lost) = (self.clients.get_mut(&peer), state) {
                    peer.known = false;
                    peer.sent = peer.acknowledged;
                    peer.snapshot = 0;
                }
                Ok(())
            }
            Input::Seat(change) => {
                self.member(change);
                Ok(())
            }
        }
    }

    fn pending(&self, peer: ReplicaId) -> Pending {
        let edits = self.clients.get(&peer).map_or(0, |peer| self.revision - peer.sent);
        Pending { edits, exchange_open: false }
    }

    fn length(&self, cell: Cell) -> usize {
        self.cells.length(cell)
    }

    fn render(&self, scope: Scope, out: &mut Rendering) {
        self.cells.render(scope, out);
    }

    fn fingerprint(&self, partition: PartitionId) -> u128 {
        self.cells.fingerprint(partition)
    }

    fn save(&self, out: &mut Vec<u8>) {
        let mut writer = Writer::after(std::mem::take(out));
        snapshot::write_cells(&self.cells, &mut writer);
        snapshot::write_standing(&self.standing, &mut writer);
        writer.uint(self.revision);
        writer.count(self.log.len());
        for entry in &self.log {
            writer.replica(entry.author);
            snapshot::write_batch(&entry.batch, &mut writer);
            writer.uint(entry.raw.as_ref().map_or(0, |raw| raw.distance));
            if let Some(raw) = &entry.raw {
                write_ops(&raw.ops, &mut writer);
            }
        }
        writer.count(self.clients.len());
        for (client, peer) in &self.clients {
            writer.replica(*client);
            writer.uint(peer.executed);
            writer.uint(peer.executed_at);
            writer.uint(peer.acknowledged);
            writer.uint(peer.sent);
            writer.uint(peer.snapshot);
            writer.byte(u8::from(peer.known) | u8::from(peer.gone) << 1);
        }
        self.missed.write(&mut writer);
        *out = writer.finish();
    }

    fn footprint(&self) -> Footprint {
        let clients = CLIENT_BYTES * self.clients.len() as u64;
        Footprint {
            content_bytes: self.cells.bytes(),
            metadata_bytes: METADATA_BYTES + clients + self.missed.bytes(),
            history_bytes: self.log.iter().map(|entry| entry.bytes).sum(),
        }
    }
}
