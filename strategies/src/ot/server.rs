//! The server: gives every batch its place in one order, transforms it to fit there, and tells everybody else.

use super::batch::Batch;
use super::codec::{Message, content_bytes, encode_revisions, size_of};
use super::content::{Cells, Lengths};
use super::names::CargoNames;
use super::op::{CellOp, CounterOp, Ops};
use super::snapshot;
use super::standing::Standing;
use crate::contract::{
    Cargo, Change, Clock, Footprint, Input, LinkState, Malformed, Outbox, Pending, Replica,
};
use crate::document::{Cell, Edit, EditId, PartitionId, Rendering, ReplicaId, Scope};
use crate::wire::{Reader, Writer};
use std::collections::{BTreeMap, VecDeque};

/// What is kept for each client, in memory: three numbers and a flag.
const CLIENT_BYTES: u64 = 25;
/// The number of the last revision, in memory.
const METADATA_BYTES: u64 = 8;
/// What is kept with each revision beside its operations: author and batch.
const REVISION_BYTES: u64 = 8;

/// The replica that orders everything.
#[derive(Debug)]
pub struct Server {
    replica: ReplicaId,
    cells: Cells,
    standing: Standing,
    /// Number of the last revision.
    revision: u64,
    /// The last revisions: all that a client may still lack, or be unaware of.
    log: VecDeque<Entry>,
    clients: BTreeMap<ReplicaId, Peer>,
}

/// One revision.
#[derive(Debug)]
struct Entry {
    author: ReplicaId,
    batch: Batch,
    bytes: u64,
}

/// What the server knows of a client.
#[derive(Clone, Copy, Debug)]
struct Peer {
    /// Number of the last batch of this client that became a revision; 0 for none.
    executed: u64,
    /// The client has every revision up to this one.
    acknowledged: u64,
    /// Last revision sent in this session.
    sent: u64,
    /// Whether the client has said, since the last session was lost, how far it has come.
    known: bool,
}

impl Server {
    /// A server that displays `cells` as revision 0, like all its clients.
    pub fn new(
        replica: ReplicaId,
        clients: &[ReplicaId],
        cells: Cells,
        standing: Standing,
    ) -> Self {
        let peer = Peer { executed: 0, acknowledged: 0, sent: 0, known: true };
        Server {
            replica,
            cells,
            standing,
            revision: 0,
            log: VecDeque::new(),
            clients: clients.iter().map(|client| (*client, peer)).collect(),
        }
    }

    /// The server that [`Replica::save`] wrote.
    ///
    /// # Errors
    /// [`Malformed`] where the bytes are not such a snapshot.
    pub fn load(
        replica: ReplicaId,
        clients: &[ReplicaId],
        cells: Cells,
        reader: &mut Reader<'_>,
    ) -> Result<Self, Malformed> {
        let mut server = Server::new(replica, clients, cells, Standing::default());
        snapshot::read_cells(reader, &mut server.cells)?;
        server.standing = snapshot::read_standing(reader)?;
        server.revision = reader.uint()?;
        for _ in 0..reader.count(2)? {
            let author = reader.replica()?;
            let batch = snapshot::read_batch(reader)?;
            let bytes = size_of(&batch.ops);
            server.log.push_back(Entry { author, batch, bytes });
        }
        let pruned = server.revision.checked_sub(server.log.len() as u64);
        let pruned = pruned.ok_or(Malformed("more revisions than were counted"))?;
        for peer in server.clients.values_mut() {
            *peer = Peer {
                executed: reader.uint()?,
                acknowledged: reader.uint()?,
                sent: reader.uint()?,
                known: reader.byte()? != 0,
            };
            let numbers = [pruned, peer.acknowledged, peer.sent, server.revision];
            if !numbers.is_sorted() {
                return Err(Malformed("a client's revisions are not in order"));
            }
        }
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
        self.execute(self.replica, batch, out);
        out.change(Change::Acknowledged { edit: id });
        Ok(())
    }

    /// The next revision.
    fn execute(&mut self, author: ReplicaId, batch: Batch, out: &mut Outbox) {
        for (cell, op) in &batch.ops {
            out.work(self.cells.apply(*cell, op));
        }
        self.revision += 1;
        let bytes = size_of(&batch.ops);
        self.log.push_back(Entry { author, batch, bytes });
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
            Message::Batch { base, number, ops } => {
                self.check_base(peer, base)?;
                if number != peer.executed + 1 {
                    return Err(Malformed("not the client's next batch"));
                }
                let ops = self.transform(from, base, ops, out)?;
                let names = CargoNames::new(&cargo.ids).next(&ops);
                self.note(from, base);
                let number = self.revision + 1;
                self.standing.foreign(number, &ops, &ops, &names, |_| None, out);
                self.client(from).executed += 1;
                self.execute(from, Batch { ops, names, edits: 0 }, out);
                self.tell(from, false, out);
            }
            Message::Revisions { .. } => return Err(Malformed("a client does not say that")),
        }
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

    /// A batch as it reads after everything that was ordered since its base.
    fn transform(
        &self,
        author: ReplicaId,
        base: u64,
        mut ops: Ops,
        out: &mut Outbox,
    ) -> Result<Ops, Malformed> {
        for (cell, op) in &ops {
            self.cells.check_kind(*cell, op.kind())?;
            if let CellOp::Counter(CounterOp { left: Some(left), .. }) = op
                && left.last().is_some_and(|addition| addition.revision > base)
            {
                return Err(Malformed("a wipe leaves what its author cannot have"));
            }
        }
        let concurrent = self.log.range((base - self.pruned()) as usize..);
        for (number, entry) in (base + 1..).zip(concurrent) {
            if entry.author == author {
                return Err(Malformed("the client has not seen its own last batch"));
            }
            out.work(1);
            if ops.len() < entry.batch.ops.len() {
                for (cell, op) in &mut ops {
                    if let Some(earlier) = entry.batch.ops.get(cell) {
                        out.work(op.size() + earlier.size());
                        op.over_earlier(earlier, number);
                    }
                }
            } else {
                for (cell, earlier) in &entry.batch.ops {
                    if let Some(op) = ops.get_mut(cell) {
                        out.work(op.size() + earlier.size());
                        op.over_earlier(earlier, number);
                    }
                }
            }
        }
        let mut lengths = Lengths::new();
        for (cell, op) in &ops {
            self.cells.check(*cell, op, &mut lengths)?;
        }
        Ok(ops)
    }

    /// Sends what a client has not been sent yet; where it asked, also that this is nothing.
    fn tell(&mut self, client: ReplicaId, answer: bool, out: &mut Outbox) {
        let (revision, pruned) = (self.revision, self.pruned());
        let peer = self.client(client);
        let first = std::mem::replace(&mut peer.sent, revision) + 1;
        if first > revision && !answer {
            return;
        }
        let entries = || self.log.range((first - 1 - pruned) as usize..);
        let mut cargo = Cargo::default();
        let mut element = 0;
        for entry in entries() {
            if entry.author == client {
                element += 1;
            } else {
                entry.batch.names.write(&entry.batch.ops, &mut element, &mut cargo.ids);
                for op in entry.batch.ops.values() {
                    cargo.elements += op.elements() as u64;
                    cargo.content_bytes += content_bytes(op);
                }
            }
        }
        let revisions = entries().map(|entry| (entry.author != client).then_some(&entry.batch.ops));
        let mut writer = Writer::new();
        encode_revisions(answer, first, revisions, &mut writer);
        out.work_bytes(writer.len());
        out.send(client, writer.finish(), cargo);
    }

    /// Forgets the revisions that every client has.
    fn prune(&mut self) {
        let kept_from = self.clients.values().map(|peer| peer.acknowledged).min();
        while self.pruned() < kept_from.unwrap_or(self.revision) {
            self.log.pop_front();
        }
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
                }
                Ok(())
            }
            Input::Seat(_) => Ok(()),
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
        }
        for peer in self.clients.values() {
            writer.uint(peer.executed);
            writer.uint(peer.acknowledged);
            writer.uint(peer.sent);
            writer.byte(u8::from(peer.known));
        }
        *out = writer.finish();
    }

    fn footprint(&self) -> Footprint {
        Footprint {
            content_bytes: self.cells.bytes(),
            metadata_bytes: METADATA_BYTES + CLIENT_BYTES * self.clients.len() as u64,
            history_bytes: self.log.iter().map(|entry| entry.bytes + REVISION_BYTES).sum(),
        }
    }
}
