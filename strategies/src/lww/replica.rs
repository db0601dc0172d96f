//! The replica that all last-writer-wins strategies share, whatever its document is.
//!
//! It keeps for each peer the set of places that the peer lacks. A `Sync` sends their latest values as one numbered batch; the
//! peer acknowledges the number. What was not acknowledged when a session ends is owed again. Whatever is news to a replica it owes to
//! all other peers, so that a hub relays and a mesh gossips. Over datagrams each `Sync` repeats all that is not acknowledged.

use super::message::{Ask, Message, write_acknowledgement, write_batch_head};
use super::queue::{Item, Queue};
use super::store::{News, Outcome, Place, Receipts, Rules, Store};
use crate::contract::{
    Cargo, Clock, Footprint, Input, LinkState, Malformed, Outbox, Pending, Replica, Seat, Transport,
};
use crate::document::{Cell, PartitionId, Rendering, ReplicaId, Scope};
use crate::wire::{Reader, Writer};
use std::collections::{BTreeMap, BTreeSet};

pub(crate) struct LwwReplica<S> {
    document: S,
    rules: Rules,
    /// One for each peer.
    queues: BTreeMap<ReplicaId, Queue>,
    transport: Transport,
    incarnation: u32,
}

impl<S: Store> LwwReplica<S> {
    pub fn new(seat: &Seat<'_>, rules: Rules) -> Self {
        let queue = |peer: &ReplicaId| (*peer, Queue::new(seat.incarnation));
        LwwReplica {
            document: S::new(seat, rules),
            rules,
            queues: seat.peers.iter().map(queue).collect(),
            transport: seat.transport,
            incarnation: seat.incarnation,
        }
    }

    pub fn restore(seat: &Seat<'_>, rules: Rules, saved: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(saved);
        let incarnation = reader.uint32()?;
        let document = S::restore(seat, rules, &mut reader)?;
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
        Ok(LwwReplica { document, rules, queues, transport, incarnation })
    }

    fn sync(&mut self, peer: ReplicaId, out: &mut Outbox) {
        let again = self.transport == Transport::Datagram;
        let Some((number, items)) = self.queues.get_mut(&peer).and_then(|q| q.batch(again)) else {
            return;
        };
        let mut writer = Writer::new();
        let mut cargo = Cargo::default();
        let ask = if items[0] == Item::Everything { Ask::Everything } else { Ask::Nothing };
        write_batch_head(&mut writer, number, ask);
        let places: Vec<Place> = items.iter().filter_map(|item| item.place()).collect();
        self.document.write(peer, &places, &mut writer, &mut cargo);
        out.work(places.len() as u64);
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
        if !self.queues.contains_key(&from) {
            return Err(Malformed("not from a peer"));
        }
        match Message::read::<S>(self.rules, bytes)? {
            Message::Acknowledge { number, receipts } => {
                self.take_acknowledgement(from, number, &receipts, out)?;
            }
            Message::Batch { number, ask, updates } => {
                self.document.check(from, &updates)?;
                if self.queue(from).receive(number) {
                    self.merge(clock, from, &updates, cargo, out);
                    if ask == Ask::Everything {
                        self.owe_everything(from, out);
                    }
                }
                let mut writer = Writer::new();
                let receipts = self.document.receipts(&updates);
                write_acknowledgement(self.rules, &mut writer, number, &receipts);
                out.send(from, writer.finish(), Cargo::default());
            }
        }
        Ok(())
    }

    fn take_acknowledgement(
        &mut self,
        from: ReplicaId,
        number: u64,
        receipts: &Receipts,
        out: &mut Outbox,
    ) -> Result<(), Malformed> {
        let settled = self.queue(from).acknowledged(number)?;
        out.work(1 + settled.len() as u64);
        for place in settled.iter().filter_map(|item| item.place()) {
            self.document.settle(place, receipts, out);
        }
        Ok(())
    }

    fn queue(&mut self, peer: ReplicaId) -> &mut Queue {
        self.queues.get_mut(&peer).expect("looked up when its message arrived")
    }

    fn merge(
        &mut self,
        clock: Clock,
        from: ReplicaId,
        updates: &S::Updates<'_>,
        cargo: &Cargo,
        out: &mut Outbox,
    ) {
        let queues = &mut self.queues;
        let mut notes = 0;
        self.document.merge(clock.wall, from, updates, cargo, out, |outcome| {
            notes += note(queues, &outcome, Some(from));
        });
        out.work(notes);
    }

    /// A peer that lost memory lacks everything but what all hold from the beginning.
    fn owe_everything(&mut self, peer: ReplicaId, out: &mut Outbox) {
        let written = self.document.written();
        out.work(written.len() as u64);
        let queue = self.queue(peer);
        written.into_iter().for_each(|place| queue.mark(Item::Latest(place)));
    }
}

/// Brings the queues up to date with what an edit or update did, and says how many of them it touched.
fn note(
    queues: &mut BTreeMap<ReplicaId, Queue>,
    outcome: &Outcome,
    from: Option<ReplicaId>,
) -> u64 {
    match outcome.news {
        News::Stale => return 0,
        News::Same => {
            if let Some(queue) = from.and_then(|from| queues.get_mut(&from)) {
                queue.settle(outcome.place);
            }
            return 1;
        }
        News::Taken | News::Joined => {}
    }
    for (peer, queue) in queues.iter_mut() {
        if Some(*peer) == from && outcome.news == News::Taken {
            queue.settle(outcome.place);
        } else {
            queue.mark(Item::Latest(outcome.place));
        }
        outcome.dropped.iter().for_each(|cell| queue.settle(Place::Cell(*cell)));
        outcome.emptied.iter().for_each(|cell| queue.mark(Item::Latest(Place::Cell(*cell))));
    }
    queues.len() as u64
}

impl<S: Store> Replica for LwwReplica<S> {
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
