//! Last writer wins: every cell is one value with the time of its last write, and the later write wins as a whole.
//!
//! Counters, sets and texts are values like any other: read, changed, written back. Of two people who edit one at the same time, one
//! loses everything that he wrote. That is what products built on "updated_at" columns do, and what this strategy is here to show.
//! `lww/wall` asks the device's clock, `lww/hlc` a hybrid logical clock; all else is shared.
//!
//! A replica keeps for each peer the set of places that the peer lacks. A `Sync` sends their latest values as one numbered batch; the
//! peer acknowledges the number. What was not acknowledged when a session ends is owed again. Whatever is news to a replica it owes to
//! all other peers, so that a hub relays and a mesh gossips. Over datagrams each `Sync` repeats all that is not acknowledged.
//!
//! A `Delete` is a tombstone for the record with a stamp of its own. Values stamped later survive it or come back, each as a whole.

pub(crate) mod digests;
pub(crate) mod ids;
mod queue;
pub(crate) mod stamp;
pub(crate) mod store;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
pub(crate) mod updates;

use crate::contract::{
    Cargo, Clock, EditIds, Footprint, Input, LinkState, Malformed, Outbox, Pending, Profile,
    Replica, Seat, Strategy, Support, Transport,
};
use crate::document::{Cell, PartitionId, Rendering, ReplicaId, Scope};
use crate::wire::{Reader, Writer};
use queue::{Item, Queue};
use stamp::{Stamp, StampSource};
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use store::{Document, Outcome, Place};
use updates::Updates;

/// How counters, sets and texts are served.
pub(crate) const ONE_VALUE: Support =
    Support::Emulated("one value: read, changed and written back as a whole");

/// Last writer wins per cell, under one of two clocks.
#[derive(Debug)]
pub struct Lww {
    name: &'static str,
    summary: &'static str,
    source: StampSource,
}

impl Lww {
    /// Stamps are the device's wall clock in microseconds, ties broken by replica: wrong clocks win or lose unduly.
    pub const WALL: Lww = Lww {
        name: "lww/wall",
        summary: "The later write of a field wins as a whole, by the devices' own clocks.",
        source: StampSource::Wall,
    };

    /// Stamps are hybrid logical clocks (Kulkarni et al. 2014), ties broken by replica: what was seen is always earlier.
    pub const HLC: Lww = Lww {
        name: "lww/hlc",
        summary: "The later write of a field wins as a whole, by hybrid logical clocks.",
        source: StampSource::Hlc,
    };
}

impl Strategy for Lww {
    fn name(&self) -> &str {
        self.name
    }

    fn profile(&self) -> Profile {
        Profile {
            summary: self.summary,
            register: Support::Native,
            counter: ONE_VALUE,
            set: ONE_VALUE,
            text: ONE_VALUE,
            star: Support::Native,
            mesh: Support::Native,
            graph: Support::Native,
            session: Support::Native,
            datagram: Support::Native,
            exceptions: &[],
            schedule: None,
            edit_ids: EditIds::InCargo,
        }
    }

    fn create(&self, seat: &Seat<'_>) -> Box<dyn Replica> {
        let queue = |peer: &ReplicaId| (*peer, Queue::new(seat.incarnation));
        Box::new(LwwReplica {
            document: Document::new(seat, self.source),
            queues: seat.peers.iter().map(queue).collect(),
            transport: seat.transport,
            incarnation: seat.incarnation,
        })
    }

    fn restore(&self, seat: &Seat<'_>, saved: &[u8]) -> Result<Box<dyn Replica>, Malformed> {
        let mut reader = Reader::new(saved);
        let incarnation = reader.uint32()?;
        let document = Document::restore(seat, self.source, &mut reader)?;
        let mut queues = BTreeMap::new();
        // In the order in which they were saved.
        for peer in seat.peers.iter().collect::<BTreeSet<_>>() {
            let mut queue = Queue::restore(&mut reader)?;
            if incarnation != seat.incarnation {
                queue.forget(seat.incarnation);
            }
            queues.insert(*peer, queue);
        }
        reader.end()?;
        let (transport, incarnation) = (seat.transport, seat.incarnation);
        Ok(Box::new(LwwReplica { document, queues, transport, incarnation }))
    }

    fn recode(&self, message: &[u8]) -> Result<Vec<u8>, Malformed> {
        let mut writer = Writer::new();
        match Message::read(message)? {
            Message::Batch { number, everything, updates } => {
                write_batch_head(&mut writer, number, everything);
                updates.write(&mut writer);
            }
            Message::Acknowledge { number } => write_acknowledgement(&mut writer, number),
        }
        Ok(writer.finish())
    }
}

/// What replicas say to each other.
enum Message<'a> {
    /// Latest values; `everything` asks for all that the receiver has.
    Batch { number: u64, everything: bool, updates: Updates<'a> },
    /// A batch has come.
    Acknowledge { number: u64 },
}

impl<'a> Message<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let kind = reader.byte()?;
        let number = reader.uint()?;
        let message = match kind {
            0 => Message::Acknowledge { number },
            1 | 2 => Message::Batch {
                number,
                everything: kind == 2,
                updates: Updates::read(&mut reader)?,
            },
            _ => return Err(Malformed("unknown kind of message")),
        };
        reader.end()?;
        Ok(message)
    }
}

fn write_acknowledgement(writer: &mut Writer, number: u64) {
    writer.byte(0);
    writer.uint(number);
}

fn write_batch_head(writer: &mut Writer, number: u64, everything: bool) {
    writer.byte(if everything { 2 } else { 1 });
    writer.uint(number);
}

struct LwwReplica {
    document: Document,
    /// One for each peer.
    queues: BTreeMap<ReplicaId, Queue>,
    transport: Transport,
    incarnation: u32,
}

impl LwwReplica {
    fn sync(&mut self, peer: ReplicaId, out: &mut Outbox) {
        let again = self.transport == Transport::Datagram;
        let Some((number, items)) = self.queues.get_mut(&peer).and_then(|q| q.batch(again)) else {
            return;
        };
        let mut writer = Writer::new();
        let mut cargo = Cargo::default();
        write_batch_head(&mut writer, number, items[0] == Item::Everything);
        let (mut tombstones, mut cells) = (Vec::new(), Vec::with_capacity(items.len()));
        let document = &self.document;
        for item in items {
            match item {
                Item::Everything => {}
                Item::Latest(Place::Tombstone(record)) => {
                    tombstones.extend(document.tombstones.get(&record).map(|t| (record, t)));
                }
                Item::Latest(Place::Cell(cell)) => {
                    cells.extend(document.cells.get(&cell).map(|held| (cell, held)));
                }
            }
        }
        out.work((tombstones.len() + cells.len()) as u64);
        updates::write(&mut writer, &mut cargo, tombstones.into_iter(), cells.into_iter());
        out.work_bytes(writer.len());
        out.send(peer, writer.finish(), cargo);
    }

    fn receive(
        &mut self,
        clock: Clock,
        from: ReplicaId,
        bytes: &[u8],
        cargo: &Cargo,
        out: &mut Outbox,
    ) -> Result<(), Malformed> {
        out.work_bytes(bytes.len());
        let queue = self.queues.get_mut(&from).ok_or(Malformed("not from a peer"))?;
        match Message::read(bytes)? {
            Message::Acknowledge { number } => {
                out.work(queue.acknowledged(number)? as u64);
            }
            Message::Batch { number, everything, updates } => {
                updates.check(self.document.schema())?;
                if queue.receive(number) {
                    self.merge(clock, from, &updates, cargo, out);
                    if everything {
                        self.owe_everything(from, out);
                    }
                }
                let mut writer = Writer::new();
                write_acknowledgement(&mut writer, number);
                out.send(from, writer.finish(), Cargo::default());
            }
        }
        Ok(())
    }

    fn merge(
        &mut self,
        clock: Clock,
        from: ReplicaId,
        updates: &Updates<'_>,
        cargo: &Cargo,
        out: &mut Outbox,
    ) {
        let queues = &mut self.queues;
        let mut notes = 0;
        self.document.merge(clock.wall, updates, cargo, out, |outcome| {
            notes += note(queues, &outcome, Some(from));
        });
        out.work(notes);
    }

    /// A peer that lost memory lacks everything but what all hold from the beginning.
    fn owe_everything(&mut self, peer: ReplicaId, out: &mut Outbox) {
        let Some(queue) = self.queues.get_mut(&peer) else { return };
        let tombstones = self.document.tombstones.keys().map(|record| Place::Tombstone(*record));
        let written = self.document.cells.iter().filter(|(_, held)| held.stamp > Stamp::GENESIS);
        let cells = written.map(|(cell, _)| Place::Cell(*cell));
        tombstones.chain(cells).for_each(|place| queue.mark(Item::Latest(place)));
        out.work(self.document.cells.len() as u64);
    }
}

/// Brings the queues up to date with what an edit or update did, and says how many of them it touched.
fn note(
    queues: &mut BTreeMap<ReplicaId, Queue>,
    outcome: &Outcome,
    from: Option<ReplicaId>,
) -> u64 {
    if outcome.news != Ordering::Greater {
        if let (Ordering::Equal, Some(queue)) =
            (outcome.news, from.and_then(|p| queues.get_mut(&p)))
        {
            queue.settle(outcome.place);
        }
        return 0;
    }
    for (peer, queue) in queues.iter_mut() {
        if Some(*peer) == from {
            queue.settle(outcome.place);
        } else {
            queue.mark(Item::Latest(outcome.place));
        }
        outcome.dropped.iter().for_each(|cell| queue.settle(Place::Cell(*cell)));
    }
    queues.len() as u64
}

impl Replica for LwwReplica {
    fn handle(
        &mut self,
        clock: Clock,
        input: Input<'_>,
        out: &mut Outbox,
    ) -> Result<(), Malformed> {
        match input {
            Input::Edit { id, edit } => {
                let outcome = self.document.edit(clock.wall, id, edit, out)?;
                out.work(note(&mut self.queues, &outcome, None));
            }
            Input::Sync { peer } => self.sync(peer, out),
            Input::Receive { from, bytes, cargo } => {
                self.receive(clock, from, bytes, cargo, out)?;
            }
            Input::Link { peer, state: LinkState::Lost } => {
                if let Some(queue) = self.queues.get_mut(&peer) {
                    queue.lost();
                }
            }
            Input::Link { state: LinkState::Open, .. } | Input::Seat(_) => {}
        }
        Ok(())
    }

    fn pending(&self, peer: ReplicaId) -> Pending {
        let Some(queue) = self.queues.get(&peer) else { return Pending::default() };
        let unsure = match self.transport {
            Transport::Session => 0,
            Transport::Datagram => queue.unacknowledged(),
        };
        Pending { edits: queue.dirty() + unsure, exchange_open: queue.unacknowledged() > 0 }
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
        let mut writer = Writer::after(std::mem::take(out));
        writer.uint(u64::from(self.incarnation));
        self.document.save(&mut writer);
        self.queues.values().for_each(|queue| queue.save(&mut writer));
        *out = writer.finish();
    }

    fn footprint(&self) -> Footprint {
        let queued = |queue: &Queue| (queue.dirty() + queue.unacknowledged()) * 6;
        let mut footprint = self.document.footprint();
        footprint.history_bytes += self.queues.values().map(queued).sum::<u64>();
        footprint
    }
}
