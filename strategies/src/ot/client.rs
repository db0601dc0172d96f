//! A client: displays the server's state with its own edits on top, of which some are in flight and the rest are buffered.
//!
//! What the server has ordered is transformed over what is in flight and the buffer before it is displayed, and these over it (Nichols et
//! al. 1995; one batch in flight as in Google Wave and ShareDB). Only the displayed document is kept, and beside it the server's state of
//! those cells that edits under way touch: from there a difference leads to a snapshot, should one come.

use super::Ot;
use super::batch::{Batch, check_made_at};
use super::codec::{Message, Revision, content_bytes, encode_batch, size_of};
use super::content::{Cells, Held};
use super::history::History;
use super::names::{CargoNames, Target};
use super::op::{Ops, Span};
use super::rebase::{Arrival, Rebase};
use super::snapshot;
use super::standing::{Standing, UNDER_WAY};
use crate::contract::{
    Cargo, Change, Clock, Footprint, Input, Malformed, Outbox, Pending, Replica, Seat,
};
use crate::document::{Cell, Edit, EditId, FieldKind, PartitionId, Rendering, ReplicaId, Scope};
use crate::wire::{Reader, Writer};
use std::collections::{BTreeMap, VecDeque};

/// Revisions, a batch number and flags, in memory.
const METADATA_BYTES: u64 = 26;

/// A client of the server that orders everything.
#[derive(Debug)]
pub struct Client {
    pub(super) kind: Ot,
    pub(super) replica: ReplicaId,
    server: ReplicaId,
    pub(super) cells: Cells,
    pub(super) standing: Standing,
    /// What the server has in cells (other than sets) that edits under way touch, as of revision `seen`.
    pub(super) bases: BTreeMap<Cell, Base>,
    /// Last revision that is displayed.
    pub(super) seen: u64,
    /// Last revision that the server knows to be displayed, if what was sent arrives.
    told: u64,
    /// Whether the server heard from this client in this session.
    greeted: bool,
    /// Whether the server was asked what became of the batch in flight.
    pub(super) asked: bool,
    /// Number of the batch in flight, or else of the last one.
    pub(super) number: u64,
    /// Edits that were sent, one batch after another; composed into one, or each on its own.
    pub(super) flight: VecDeque<Batch>,
    /// Later ones, likewise.
    pub(super) buffer: Vec<Batch>,
    /// The last revisions, where the server only relays.
    pub(super) history: History,
}

/// A cell without the edits under way.
#[derive(Debug)]
pub struct Base {
    /// What it holds.
    pub held: Held,
    /// How many batches under way touch it.
    pub under_way: usize,
}

impl Client {
    /// A client that displays `cells`, like everybody else at revision 0.
    pub fn new(
        kind: Ot,
        seat: &Seat<'_>,
        server: ReplicaId,
        cells: Cells,
        standing: Standing,
    ) -> Self {
        Client {
            kind,
            replica: seat.replica,
            server,
            cells,
            standing,
            bases: BTreeMap::new(),
            seen: 0,
            told: 0,
            greeted: true,
            asked: false,
            number: 0,
            flight: VecDeque::new(),
            buffer: Vec::new(),
            history: History::default(),
        }
    }

    /// The client that [`Replica::save`] wrote.
    ///
    /// # Errors
    /// [`Malformed`] where the bytes are not such a snapshot.
    pub fn load(
        kind: Ot,
        seat: &Seat<'_>,
        server: ReplicaId,
        cells: Cells,
        reader: &mut Reader<'_>,
    ) -> Result<Self, Malformed> {
        let mut client = Client::new(kind, seat, server, cells, Standing::default());
        snapshot::read_cells(reader, &mut client.cells)?;
        client.standing = snapshot::read_standing(reader)?;
        for _ in 0..reader.count(4)? {
            let cell = reader.cell()?;
            let held = Held::from(reader.content()?);
            client.cells.check_kind(cell, held.content().kind())?;
            client.bases.insert(cell, Base { held, under_way: 0 });
        }
        client.seen = reader.uint()?;
        client.told = reader.uint()?;
        let flags = reader.byte()?;
        client.greeted = flags & 1 != 0;
        client.asked = flags & 2 != 0;
        client.number = reader.uint()?;
        for in_flight in [true, false] {
            for _ in 0..reader.count(4)? {
                let batch = snapshot::read_batch(reader)?;
                for (cell, op) in &batch.ops {
                    client.cells.check_kind(*cell, op.kind())?;
                    match client.bases.get_mut(cell) {
                        Some(base) => base.under_way += 1,
                        None if op.kind() == FieldKind::Set => {}
                        None => return Err(Malformed("edits under way on nothing")),
                    }
                }
                if in_flight {
                    client.flight.push_back(batch);
                } else {
                    client.buffer.push(batch);
                }
            }
        }
        if client.bases.values().any(|base| base.under_way == 0) {
            return Err(Malformed("a base for nothing under way"));
        }
        client.history = History::read(client.seen, reader)?;
        Ok(client)
    }

    fn edit(&mut self, id: EditId, edit: &Edit, out: &mut Outbox) -> Result<(), Malformed> {
        let ops = self.cells.ops_of(edit)?;
        self.standing.local(id, &ops, UNDER_WAY, out);
        if !self.kind.composes() || self.buffer.is_empty() {
            self.buffer.push(Batch::default());
        }
        for (cell, op) in &ops {
            out.work(self.keep_base(*cell, op.kind()));
            out.work(self.cells.apply(*cell, op));
        }
        let batch = self.buffer.last_mut().expect("just seen to");
        out.work(1 + batch.add(id, ops));
        Ok(())
    }

    /// Notes that the last batch is about to touch a cell. Returns the work in units.
    fn keep_base(&mut self, cell: Cell, kind: FieldKind) -> u64 {
        let known = self.buffer.last().is_some_and(|batch| batch.ops.contains_key(&cell));
        if known || kind == FieldKind::Set {
            return 0;
        }
        let mut work = 1;
        let cells = &self.cells;
        let base = self.bases.entry(cell).or_insert_with(|| {
            let held = cells.get(cell).cloned().unwrap_or_else(|| kind.empty().into());
            work += held.content().bytes() / 64;
            Base { held, under_way: 0 }
        });
        base.under_way += 1;
        work
    }

    /// Sends the buffer where nothing is in flight; or else says hello where the server has not heard of it.
    fn speak(&mut self, out: &mut Outbox) {
        if self.flight.is_empty() && !self.buffer.is_empty() {
            self.flight.extend(self.buffer.drain(..));
            self.number += 1;
            self.send_flight(out);
        } else if !self.greeted || self.flight.is_empty() && self.told < self.seen {
            let flight = (!self.flight.is_empty()).then_some(self.number);
            self.asked = flight.is_some();
            self.greeted = true;
            self.told = self.seen;
            let bytes = Message::Hello { seen: self.seen, flight }.encode();
            out.work_bytes(bytes.len());
            out.send(self.server, bytes, Cargo::default());
        }
    }

    pub(super) fn send_flight(&mut self, out: &mut Outbox) {
        if self.flight.is_empty() {
            return;
        }
        self.greeted = true;
        self.told = self.seen;
        let mut writer = Writer::new();
        let queue = self.flight.iter().map(|batch| &batch.ops);
        encode_batch(self.seen, self.number, queue, &mut writer);
        let mut cargo = Cargo::default();
        let mut element = 0;
        for batch in &self.flight {
            cargo.elements += batch.ops.values().map(|op| op.elements() as u64).sum::<u64>();
            cargo.content_bytes += batch.ops.values().map(content_bytes).sum::<u64>();
            batch.names.write(&batch.ops, &mut element, &mut cargo.ids);
        }
        out.work_bytes(writer.len());
        out.send(self.server, writer.finish(), cargo);
    }

    fn receive(&mut self, bytes: &[u8], cargo: &Cargo, out: &mut Outbox) -> Result<(), Malformed> {
        match Message::decode(bytes)? {
            Message::Revisions { answer, first, floor, revisions } => {
                out.work_bytes(bytes.len());
                if first == 0 || first > self.seen + 1 {
                    return Err(Malformed("revisions are missing in between"));
                }
                if floor.is_some() != self.kind.relays() {
                    return Err(Malformed("not such a server"));
                }
                self.revisions(first, revisions, cargo, out)?;
                if let Some(floor) = floor {
                    self.history.keep(self.seen - floor);
                }
                if answer && std::mem::take(&mut self.asked) {
                    self.send_flight(out);
                }
                Ok(())
            }
            Message::Snapshot(snapshot) => {
                out.work_bytes(bytes.len());
                self.adopt(snapshot, cargo, out)
            }
            _ => Err(Malformed("a server does not say that")),
        }
    }

    fn revisions(
        &mut self,
        first: u64,
        revisions: Vec<Revision>,
        cargo: &Cargo,
        out: &mut Outbox,
    ) -> Result<(), Malformed> {
        let mut names = CargoNames::new(&cargo.ids);
        let mut rebase = Rebase::default();
        let mut arrivals: Vec<Arrival> = Vec::new();
        let mut number = first - 1;
        for revision in revisions {
            match revision {
                Revision::Own(count) => {
                    let _ = names.next(&Ops::new());
                    number += u64::from(count);
                    if number > self.seen {
                        arrivals.extend(rebase.land(self, count)?);
                    }
                }
                Revision::Foreign { distance, mut ops } => {
                    let names = names.next(&ops);
                    number += 1;
                    if number <= self.seen {
                        continue;
                    }
                    let base = (number - 1).checked_sub(distance);
                    let base = base.ok_or(Malformed("made before the first revision"))?;
                    check_made_at(base, &ops, &self.cells)?;
                    if distance > 0 {
                        let newer = |n: usize| arrivals[n].ops();
                        let seen = self.seen;
                        rebase.work +=
                            self.history.transform(&mut ops, number, distance, seen, newer)?;
                    }
                    let shown = rebase.pass(self, Span::one(number), &ops)?;
                    arrivals.push(Arrival::Foreign { ops, shown, names });
                }
            }
        }
        out.work(rebase.work);
        for arrival in arrivals {
            self.take(arrival, out);
        }
        rebase.settle(&mut self.flight, &mut self.buffer);
        Ok(())
    }

    /// Displays the next revision.
    fn take(&mut self, arrival: Arrival, out: &mut Outbox) {
        self.seen += 1;
        let ops = match arrival {
            Arrival::Own { ops } => {
                self.land(&ops, out);
                ops
            }
            Arrival::Foreign { ops, shown, names } => {
                for (cell, op) in &shown {
                    out.work(self.cells.apply(*cell, op));
                }
                for (cell, op) in &ops {
                    if let Some(base) = self.bases.get_mut(cell) {
                        out.work(base.held.apply(op).expect("checked with what is displayed"));
                    }
                }
                let under_way = || self.flight.iter().chain(&self.buffer);
                let own_winner =
                    |target: &Target| under_way().find_map(|batch| batch.winner(target));
                self.standing.foreign(self.seen, &ops, &shown, &names, own_winner, out);
                ops
            }
        };
        if self.kind.relays() {
            self.history.push(ops);
        }
    }

    /// The first batch in flight was ordered, as `ops`.
    pub(super) fn land(&mut self, ops: &Ops, out: &mut Outbox) {
        let Some(batch) = self.flight.pop_front() else { return };
        out.work(self.standing.landed(&batch, self.seen));
        for (cell, op) in ops {
            let Some(base) = self.bases.get_mut(cell) else { continue };
            base.under_way -= 1;
            if base.under_way == 0 {
                self.bases.remove(cell);
            } else {
                out.work(base.held.apply(op).expect("checked when it landed"));
            }
        }
        for edit in batch.names.all().iter() {
            out.change(Change::Acknowledged { edit });
        }
    }
}

impl Replica for Client {
    fn handle(&mut self, _: Clock, input: Input<'_>, out: &mut Outbox) -> Result<(), Malformed> {
        match input {
            Input::Edit { id, edit } => self.edit(id, edit, out)?,
            Input::Sync { peer } if peer == self.server => self.speak(out),
            Input::Receive { from, bytes, cargo } if from == self.server => {
                self.receive(bytes, cargo, out)?;
            }
            Input::Receive { .. } => return Err(Malformed("only the server speaks to a client")),
            // Also when a session begins: the server may have lost one that this client never had.
            Input::Link { peer, .. } if peer == self.server => {
                self.greeted = false;
                self.asked = false;
            }
            // Who is a member matters to the server alone.
            Input::Sync { .. } | Input::Link { .. } | Input::Seat(_) => {}
        }
        Ok(())
    }

    fn pending(&self, peer: ReplicaId) -> Pending {
        if peer != self.server {
            return Pending::default();
        }
        if !self.flight.is_empty() && self.greeted {
            // The buffer waits until the batch in flight has landed.
            return Pending { edits: 0, exchange_open: true };
        }
        let edits = self.flight.iter().chain(&self.buffer).map(|batch| batch.edits).sum();
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
        writer.count(self.bases.len());
        for (cell, base) in &self.bases {
            writer.cell(*cell);
            writer.content(base.held.content());
        }
        writer.uint(self.seen);
        writer.uint(self.told);
        writer.byte(u8::from(self.greeted) | u8::from(self.asked) << 1);
        writer.uint(self.number);
        writer.count(self.flight.len());
        self.flight.iter().for_each(|batch| snapshot::write_batch(batch, &mut writer));
        writer.count(self.buffer.len());
        self.buffer.iter().for_each(|batch| snapshot::write_batch(batch, &mut writer));
        self.history.write(&mut writer);
        *out = writer.finish();
    }

    fn footprint(&self) -> Footprint {
        let batches = self.flight.iter().chain(&self.buffer).filter(|batch| batch.edits > 0);
        let bases = self.bases.values().map(|base| base.held.content().bytes()).sum::<u64>();
        let under_way = batches.map(|batch| size_of(&batch.ops)).sum::<u64>();
        Footprint {
            content_bytes: self.cells.bytes(),
            metadata_bytes: METADATA_BYTES,
            history_bytes: under_way + bases + self.history.bytes(),
        }
    }
}
