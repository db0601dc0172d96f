//! A client: displays the server's state with its own edits on top, of which one batch is in flight and the rest are buffered.
//!
//! Only the displayed document is kept. What the server has ordered is transformed over the batch in flight and the buffer before
//! it is displayed, and these over it (Nichols et al. 1995, with one batch in flight as in Google Wave and ShareDB).

use super::batch::Batch;
use super::codec::{Message, Revision, content_bytes, encode_batch, size_of};
use super::content::{Cells, Lengths};
use super::names::{CargoNames, Names, Target};
use super::op::{CellOp, Ops};
use super::snapshot;
use super::standing::{BUFFERED, IN_FLIGHT, Standing};
use crate::contract::{
    Cargo, Change, Clock, Footprint, Input, Malformed, Outbox, Pending, Replica,
};
use crate::document::{Cell, Edit, EditId, PartitionId, Rendering, ReplicaId, Scope};
use crate::wire::{Reader, Writer};
use std::collections::BTreeMap;

/// Revisions, a batch number and flags, in memory.
const METADATA_BYTES: u64 = 26;

/// A client of the server that orders everything.
#[derive(Debug)]
pub struct Client {
    server: ReplicaId,
    cells: Cells,
    standing: Standing,
    /// Last revision that is displayed.
    seen: u64,
    /// Last revision that the server knows to be displayed, if what was sent arrives.
    told: u64,
    /// Whether the server heard from this client in this session.
    greeted: bool,
    /// Whether the server was asked what became of the batch in flight.
    asked: bool,
    /// Number of the batch in flight, or else of the last one.
    number: u64,
    flight: Option<Batch>,
    buffer: Batch,
}

impl Client {
    /// A client that displays `cells`, like everybody else at revision 0.
    pub fn new(server: ReplicaId, cells: Cells, standing: Standing) -> Self {
        Client {
            server,
            cells,
            standing,
            seen: 0,
            told: 0,
            greeted: true,
            asked: false,
            number: 0,
            flight: None,
            buffer: Batch::default(),
        }
    }

    /// The client that [`Replica::save`] wrote.
    ///
    /// # Errors
    /// [`Malformed`] where the bytes are not such a snapshot.
    pub fn load(
        server: ReplicaId,
        cells: Cells,
        reader: &mut Reader<'_>,
    ) -> Result<Self, Malformed> {
        let mut client = Client::new(server, cells, Standing::default());
        snapshot::read_cells(reader, &mut client.cells)?;
        client.standing = snapshot::read_standing(reader)?;
        client.seen = reader.uint()?;
        client.told = reader.uint()?;
        let flags = reader.byte()?;
        client.greeted = flags & 1 != 0;
        client.asked = flags & 2 != 0;
        client.number = reader.uint()?;
        if flags & 4 != 0 {
            client.flight = Some(snapshot::read_batch(reader)?);
        }
        client.buffer = snapshot::read_batch(reader)?;
        Ok(client)
    }

    fn edit(&mut self, id: EditId, edit: &Edit, out: &mut Outbox) -> Result<(), Malformed> {
        let ops = self.cells.ops_of(edit)?;
        self.standing.local(id, &ops, BUFFERED, out);
        for (cell, op) in &ops {
            out.work(self.cells.apply(*cell, op));
        }
        out.work(1 + self.buffer.add(id, ops));
        Ok(())
    }

    /// Sends the buffer where nothing is in flight; or else says hello where the server has not heard of it.
    fn speak(&mut self, out: &mut Outbox) {
        if self.flight.is_none() && self.buffer.edits > 0 {
            let batch = std::mem::take(&mut self.buffer);
            self.standing.advance(batch.ops.keys().copied(), BUFFERED, IN_FLIGHT);
            self.number += 1;
            self.flight = Some(batch);
            self.send_flight(out);
        } else if !self.greeted || self.flight.is_none() && self.told < self.seen {
            let flight = self.flight.is_some().then_some(self.number);
            self.asked = flight.is_some();
            self.greeted = true;
            self.told = self.seen;
            let bytes = Message::Hello { seen: self.seen, flight }.encode();
            out.work_bytes(bytes.len());
            out.send(self.server, bytes, Cargo::default());
        }
    }

    fn send_flight(&mut self, out: &mut Outbox) {
        let Some(batch) = &self.flight else { return };
        self.greeted = true;
        self.told = self.seen;
        let mut writer = Writer::new();
        encode_batch(self.seen, self.number, &batch.ops, &mut writer);
        let mut cargo = Cargo {
            elements: batch.ops.values().map(|op| op.elements() as u64).sum(),
            content_bytes: batch.ops.values().map(content_bytes).sum(),
            ids: Vec::new(),
        };
        batch.names.write(&batch.ops, &mut 0, &mut cargo.ids);
        out.work_bytes(writer.len());
        out.send(self.server, writer.finish(), cargo);
    }

    fn receive(&mut self, bytes: &[u8], cargo: &Cargo, out: &mut Outbox) -> Result<(), Malformed> {
        let Message::Revisions { answer, first, revisions } = Message::decode(bytes)? else {
            return Err(Malformed("a server does not say that"));
        };
        out.work_bytes(bytes.len());
        if first == 0 || first > self.seen + 1 {
            return Err(Malformed("revisions are missing in between"));
        }
        let mut names = CargoNames::new(&cargo.ids);
        let mut rebase = Rebase::default();
        let mut arrivals = Vec::new();
        let last = (first + revisions.len() as u64 - 1).max(self.seen);
        for (number, revision) in (first..).zip(revisions) {
            let ops = match revision {
                Revision::Own => None,
                Revision::Foreign(ops) => Some(ops),
            };
            let names = names.next(ops.as_ref().unwrap_or(&Ops::new()));
            if number <= self.seen {
                continue;
            }
            arrivals.push(match ops {
                None if self.flight.is_none() || rebase.landed => {
                    return Err(Malformed("no batch is in flight"));
                }
                None => {
                    rebase.landed = true;
                    Arrival::Own { number }
                }
                Some(ops) => {
                    let shown = rebase.pass(self, number, &ops)?;
                    Arrival::Foreign { number, ops, shown, names }
                }
            });
        }
        out.work(rebase.work);
        for arrival in arrivals {
            self.take(arrival, out);
        }
        self.settle(rebase);
        self.seen = last;
        if answer && std::mem::take(&mut self.asked) {
            self.send_flight(out);
        }
        Ok(())
    }

    fn take(&mut self, arrival: Arrival, out: &mut Outbox) {
        match arrival {
            Arrival::Own { number } => {
                let batch = self.flight.take().expect("checked when it arrived");
                self.standing.advance(batch.ops.keys().copied(), IN_FLIGHT, number);
                for edit in batch.names.all().iter() {
                    out.change(Change::Acknowledged { edit });
                }
            }
            Arrival::Foreign { number, ops, shown, names } => {
                for (cell, op) in &shown {
                    out.work(self.cells.apply(*cell, op));
                }
                let under_way = [self.flight.as_ref(), Some(&self.buffer)];
                let own_winner = |target: &Target| {
                    under_way.into_iter().flatten().find_map(|batch| batch.winner(target))
                };
                self.standing.foreign(number, &ops, &shown, &names, own_winner, out);
            }
        }
    }

    /// The edits under way as they read after what arrived.
    fn settle(&mut self, rebase: Rebase) {
        for (cell, pending) in rebase.touched {
            if let (Some(batch), Some(op)) = (&mut self.flight, pending.flight) {
                batch.ops.insert(cell, op);
            }
            if let Some(op) = pending.buffer {
                self.buffer.ops.insert(cell, op);
            }
        }
    }
}

/// One revision of a message, checked and transformed.
enum Arrival {
    Own { number: u64 },
    Foreign { number: u64, ops: Ops, shown: Ops, names: Names },
}

/// Transforms revisions over the edits under way, aside, so that nothing has changed where one of them turns out not to fit.
#[derive(Default)]
struct Rebase {
    /// The edits under way, where revisions touched the same cells.
    touched: BTreeMap<Cell, UnderWay>,
    /// Whether the batch in flight was among the revisions.
    landed: bool,
    lengths: Lengths,
    work: u64,
}

struct UnderWay {
    flight: Option<CellOp>,
    buffer: Option<CellOp>,
}

impl Rebase {
    /// The operations of a revision as they are to be displayed.
    fn pass(&mut self, client: &Client, number: u64, ops: &Ops) -> Result<Ops, Malformed> {
        let mut shown = Ops::new();
        for (cell, op) in ops {
            client.cells.check_kind(*cell, op.kind())?;
            let under_way = self.touched.entry(*cell).or_insert_with(|| UnderWay {
                flight: client.flight.as_ref().and_then(|batch| batch.ops.get(cell)).cloned(),
                buffer: client.buffer.ops.get(cell).cloned(),
            });
            if self.landed {
                under_way.flight = None;
            }
            let mut op = op.clone();
            for own in [&mut under_way.flight, &mut under_way.buffer].into_iter().flatten() {
                self.work += own.size() + op.size();
                let arrived = op.clone();
                op.under_later(own);
                own.over_earlier(&arrived, number);
            }
            client.cells.check(*cell, &op, &mut self.lengths)?;
            self.work += 1;
            shown.insert(*cell, op);
        }
        Ok(shown)
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
            Input::Sync { .. } | Input::Link { .. } | Input::Seat(_) => {}
        }
        Ok(())
    }

    fn pending(&self, peer: ReplicaId) -> Pending {
        if peer != self.server {
            return Pending::default();
        }
        match &self.flight {
            // The buffer waits until the batch in flight has landed.
            Some(_) if self.greeted => Pending { edits: 0, exchange_open: true },
            Some(batch) => Pending { edits: batch.edits + self.buffer.edits, exchange_open: false },
            None => Pending { edits: self.buffer.edits, exchange_open: false },
        }
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
        writer.uint(self.seen);
        writer.uint(self.told);
        let flags = [self.greeted, self.asked, self.flight.is_some()];
        writer.byte((0..).zip(flags).map(|(bit, flag)| u8::from(flag) << bit).sum());
        writer.uint(self.number);
        for batch in self.flight.iter().chain([&self.buffer]) {
            snapshot::write_batch(batch, &mut writer);
        }
        *out = writer.finish();
    }

    fn footprint(&self) -> Footprint {
        let batches = self.flight.iter().chain([&self.buffer]).filter(|batch| batch.edits > 0);
        Footprint {
            content_bytes: self.cells.bytes(),
            metadata_bytes: METADATA_BYTES,
            history_bytes: batches.map(|batch| size_of(&batch.ops)).sum(),
        }
    }
}
