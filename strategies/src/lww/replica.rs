//! The replica that all last-writer-wins strategies share, whatever its document is.
//!
//! It keeps for each peer the set of places that the peer lacks. A `Sync` sends their latest values as one numbered batch; the
//! peer acknowledges the number. What was not acknowledged when a session ends is owed again. Whatever is news to a replica it owes to
//! all other peers, so that a hub relays and a mesh gossips. Over datagrams each `Sync` repeats all that is not acknowledged, so that a
//! batch holds whatever still matters of the ones before, and those that it overtook are not taken.
//!
//! # Graves
//! What a deletion leaves behind is forgotten where every peer is known to have it and cannot tell of it again. Then nothing older can
//! come any more: a peer that has a grave sends nothing that the grave hides, and it forgets the grave only when its own peers
//! have it, so nobody can bring it anything older either. So each replica needs to know of its neighbours only, on any graph, and no clock
//! decides when it is time, as Cassandra's `gc_grace_seconds` does, after which a node that was away brings deleted data back.
//! The grave of a deletion from the future stays until the own clock has passed it, so that all later writes here are later than
//! it.
//!
//! # Peers that were gone
//! Nobody waits for a peer that is presumed gone. Where a grave is forgotten without it, what it sends is not taken any more until it has
//! acknowledged a snapshot of everything. From that it learns what is no more: what its sender once had and has no more was deleted. What its
//! sender never had, the returning replica writes anew, later than all that was forgotten, and sends. If another peer that
//! stayed has had it, it asks that one first whether it still is. A replica that lost memory asks for a snapshot itself.

use super::message::{Acknowledgement, Head, Message, Snapshot};
use super::queue::{Arrival, Item, Queue};
use super::store::{News, Outcome, Place, Rules, Store};
use crate::contract::{
    Cargo, CargoIds, Change, Clock, Footprint, Input, LinkState, Malformed, Outbox, Pending,
    Replica, Seat, SeatChange, Transport, WallTime,
};
use crate::document::{Cell, EditId, PartitionId, RecordId, Rendering, ReplicaId, Scope};
use crate::wire::{Reader, Writer};
use std::collections::{BTreeMap, BTreeSet};

pub(crate) struct LwwReplica<S> {
    document: S,
    rules: Rules,
    /// One for each peer.
    queues: BTreeMap<ReplicaId, Queue>,
    /// Graves that nobody needs, but whose time has not come here, by time.
    early: BTreeSet<(u64, Place)>,
    /// What this replica brought back from being gone, and the peers that stayed and have had it: they are asked whether it still is, and
    /// until then nobody is told of it.
    doubtful: BTreeMap<Place, BTreeSet<ReplicaId>>,
    /// Of each record the latest deletion whose grave was forgotten, for reports only: who was gone or lost memory is told of it in the cargo
    /// of a snapshot.
    deletions: BTreeMap<RecordId, EditId>,
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
            early: BTreeSet::new(),
            doubtful: BTreeMap::new(),
            deletions: BTreeMap::new(),
            transport: seat.transport,
            incarnation: seat.incarnation,
        }
    }

    pub fn restore(seat: &Seat<'_>, rules: Rules, saved: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(saved);
        let incarnation = reader.uint32()?;
        let mut replica = Self::new(seat, rules);
        replica.document = S::restore(seat, rules, &mut reader)?;
        for _ in 0..reader.count(2)? {
            let place = Place::read(&mut reader)?;
            let peers = (0..reader.count(1)?).map(|_| reader.replica());
            replica.doubtful.insert(place, peers.collect::<Result<_, _>>()?);
        }
        for _ in 0..reader.count(3)? {
            let record = RecordId(reader.uint32()?);
            replica.deletions.insert(record, reader.edit_id()?);
        }
        // In the order in which they were saved.
        for queue in replica.queues.values_mut() {
            *queue = Queue::restore(&mut reader)?;
            if incarnation != seat.incarnation {
                queue.begin(seat.incarnation);
            }
        }
        reader.end()?;
        for place in replica.document.places(true) {
            if let Some(time) = replica.document.grave(place)
                && !replica.is_needed(place)
            {
                replica.early.insert((time, place));
            }
        }
        Ok(replica)
    }

    fn sync(&mut self, peer: ReplicaId, out: &mut Outbox) {
        let again = self.transport == Transport::Datagram;
        let Some(queue) = self.queues.get_mut(&peer) else { return };
        if self.rules.orders_by_arrival() && !again && queue.snapshot_is_under_way() {
            // The authority may take nothing of it. Later writes must not arrive before those.
            return;
        }
        let Some(batch) = queue.batch(again) else { return };
        let has = |item| batch.items.contains(&item);
        let snapshot = has(Item::Snapshot)
            .then(|| Snapshot { received: queue.received(), forgotten: self.document.forgotten() });
        let head = Head {
            number: batch.number,
            lowest: batch.lowest,
            asks_everything: has(Item::AskEverything),
            asks_snapshot: has(Item::AskSnapshot),
            snapshot,
        };
        let mut writer = Writer::new();
        let mut cargo = Cargo::default();
        head.write(&mut writer);
        let places = match snapshot {
            Some(_) => self.document.places(false),
            None => batch.items.iter().filter_map(|item| item.place()).collect(),
        };
        let elements = self.document.write(peer, &places, &mut writer, &mut cargo);
        if snapshot.is_some() {
            load_deletions(&mut cargo, elements, &self.deletions);
        }
        out.work(elements as u64);
        out.work_bytes(writer.len());
        out.send(peer, writer.finish(), cargo);
        if batch.first_snapshot {
            self.tell_graves_again();
        }
    }

    fn receive(
        &mut self,
        wall: WallTime,
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
            Message::Acknowledge(acknowledgement) => {
                self.take_acknowledgement(wall, from, &acknowledgement, out)
            }
            Message::Batch { head, updates } => {
                self.document.check(from, &updates)?;
                self.take_batch(wall, from, head, &updates, cargo, out)
            }
        }
    }

    fn take_acknowledgement(
        &mut self,
        wall: WallTime,
        from: ReplicaId,
        acknowledgement: &Acknowledgement,
        out: &mut Outbox,
    ) -> Result<(), Malformed> {
        let queue = self.queue(from);
        let settled = queue.acknowledged(acknowledgement.number)?;
        queue.set_gone(false);
        acknowledgement.floor.into_iter().for_each(|floor| queue.raise_floor(floor));
        out.work(1 + settled.len() as u64);
        for item in settled {
            match item {
                Item::Latest(place) => {
                    if !self.document.settle(place, &acknowledgement.receipts, out) {
                        // It came while the authority took nothing from here.
                        self.queue(from).mark(item);
                        continue;
                    }
                    self.forget_if_unneeded(wall, place);
                    if self.rules.orders_by_arrival() {
                        self.forget_if_unneeded(wall, Place::Record(place.record()));
                    }
                }
                Item::Snapshot => self.forget_all_unneeded(wall, out),
                Item::AskEverything | Item::AskSnapshot => {}
            }
        }
        Ok(())
    }

    fn take_batch(
        &mut self,
        wall: WallTime,
        from: ReplicaId,
        head: Head,
        updates: &S::Updates<'_>,
        cargo: &Cargo,
        out: &mut Outbox,
    ) -> Result<(), Malformed> {
        let queue = self.queue(from);
        let arrival = queue.arrival(head.number);
        match arrival {
            Arrival::Late => return Ok(()),
            Arrival::Known => {}
            Arrival::Take => {
                if head.snapshot.is_some_and(|snapshot| snapshot.received > queue.next_batch()) {
                    return Err(Malformed("has received what was not sent"));
                }
                queue.set_gone(false);
                if head.asks_snapshot {
                    queue.begin_again();
                    self.ask_no_more(wall, from);
                }
                let queue = self.queue(from);
                let estranged = queue.is_estranged();
                if estranged && head.snapshot.is_none() {
                    queue.raise_floor(head.number.saturating_add(1));
                    return Ok(());
                }
                // Where both have lost memory neither can say what was deleted, and each takes what the other has.
                let forgot = queue.is_awaiting();
                let both_forgot = forgot && queue.is_forgetful();
                let unneeded = queue.took(head.number, head.lowest);
                if let Some(snapshot) = head.snapshot {
                    self.rejoin(wall, from, snapshot, updates, cargo, out)?;
                }
                if estranged && !both_forgot {
                    self.queue(from).mark(Item::AskEverything);
                } else {
                    let stale = self.merge(wall, from, head.number, updates, cargo, out);
                    // What is older there was not told, or that was forgotten.
                    for place in stale.into_iter().filter(|_| forgot) {
                        let rule = self.document.ruled_by(place);
                        [place, rule].into_iter().for_each(|place| self.queue(from).repair(place));
                    }
                }
                if head.asks_everything {
                    self.owe_everything(from, out);
                }
                unneeded.into_iter().for_each(|grave| self.forget_if_unneeded(wall, grave));
            }
        }
        let receipts = self.document.receipts(updates);
        let with_floor = self.transport == Transport::Datagram;
        let floor = with_floor.then(|| self.queue(from).next_batch());
        let mut writer = Writer::new();
        let acknowledgement = Acknowledgement { number: head.number, floor, receipts };
        acknowledgement.write(self.rules, &mut writer);
        out.send(from, writer.finish(), Cargo::default());
        Ok(())
    }

    fn queue(&mut self, peer: ReplicaId) -> &mut Queue {
        self.queues.get_mut(&peer).expect("looked up when its message arrived")
    }

    /// Takes what is newer; returns the places where that is not so.
    fn merge(
        &mut self,
        wall: WallTime,
        from: ReplicaId,
        batch: u64,
        updates: &S::Updates<'_>,
        cargo: &Cargo,
        out: &mut Outbox,
    ) -> Vec<Place> {
        let (queues, doubtful) = (&mut self.queues, &mut self.doubtful);
        let by_arrival = self.rules.orders_by_arrival();
        let mut notes = 0;
        let (mut graves, mut confirmed, mut stale) = (Vec::new(), Vec::new(), Vec::new());
        self.document.merge(wall, from, updates, cargo, out, |outcome| {
            notes += note(queues, &outcome, Some(from));
            if outcome.news == News::Stale {
                stale.push(outcome.place);
            }
            if !doubtful.is_empty()
                && outcome.news != News::Stale
                && doubtful.remove(&outcome.place).is_some()
                && outcome.news == News::Same
            {
                confirmed.push(outcome.place);
            }
            if outcome.grave {
                if let (News::Taken | News::Same, Some(queue)) =
                    (outcome.news, queues.get_mut(&from))
                {
                    queue.was_told(outcome.place, batch);
                }
                graves.push(outcome.place);
            } else if by_arrival && outcome.news == News::Taken {
                // The deletion may have waited for what was here.
                graves.push(Place::Record(outcome.place.record()));
            }
        });
        out.work(notes);
        graves.into_iter().for_each(|grave| self.forget_if_unneeded(wall, grave));
        confirmed.into_iter().for_each(|place| self.tell_anew(wall, place));
        stale
    }

    /// A snapshot says what is no more, so that what this replica holds beside it was either deleted while it was gone, or is news.
    fn rejoin(
        &mut self,
        wall: WallTime,
        from: ReplicaId,
        snapshot: Snapshot,
        updates: &S::Updates<'_>,
        cargo: &Cargo,
        out: &mut Outbox,
    ) -> Result<(), Malformed> {
        let queue = self.queue(from);
        let asked = queue.is_awaiting();
        queue.rejoin(snapshot.received)?;
        // What a peer lacks that lost memory is no deletion: it is told of it in a snapshot.
        let forgetful = queue.is_forgetful();
        self.document.learn_forgotten(snapshot.forgotten);
        let (named, elements) = S::named(updates);
        self.deletions.extend(unload_deletions(cargo, elements));
        if forgetful {
            return Ok(());
        }
        let places = self.document.places(false);
        out.work(places.len() as u64);
        let told_of = |place: &Place| {
            named.contains(place) || named.contains(&self.document.ruled_by(*place))
        };
        let beside = places.into_iter().filter(|place| !told_of(place));
        let (news, old): (Vec<Place>, Vec<Place>) =
            beside.partition(|place| match self.doubtful.get(place) {
                Some(peers) => !peers.contains(&from),
                None => self.queues[&from].owes(*place),
            });
        for place in news {
            if self.doubtful.contains_key(&place) {
                continue;
            }
            if self.document.grave(place).is_some() {
                self.tell_all(place);
                continue;
            }
            // Who lost memory awaits snapshots; of all others it knows what they have said since.
            let may_lack = |queue: &Queue| !asked || queue.is_awaiting();
            let had_it = |queue: &Queue| !queue.is_gone() && !queue.owes(place) && may_lack(queue);
            let others = self.queues.iter().filter(|(peer, queue)| **peer != from && had_it(queue));
            let others: BTreeSet<ReplicaId> = others.map(|(peer, _)| *peer).collect();
            if others.is_empty() {
                self.tell_anew(wall, place);
                continue;
            }
            self.queues.values_mut().for_each(|queue| queue.settle(place));
            if !asked {
                others.iter().for_each(|peer| self.queue(*peer).mark(Item::AskEverything));
            }
            self.doubtful.insert(place, others);
        }
        let mut applied = BTreeSet::new();
        for place in old {
            self.doubtful.remove(&place);
            let by = self.deletions.get(&place.record()).copied();
            let alive = self.document.grave(place).is_none();
            if let Some(edit) = by.filter(|edit| alive && applied.insert(*edit)) {
                out.change(Change::Applied { edit });
            }
            self.queues.values_mut().for_each(|queue| queue.settle(place));
            let grave = self.document.purge(place, by, out);
            if self.queues.len() > 1 {
                // Whoever is reached through this replica only has not heard of it either.
                self.tell_all(grave);
            } else {
                self.forget_if_unneeded(wall, grave);
            }
        }
        Ok(())
    }

    fn tell_anew(&mut self, wall: WallTime, place: Place) {
        self.document.renew(wall, place);
        self.tell_all(place);
    }

    fn tell_all(&mut self, place: Place) {
        self.queues.values_mut().for_each(|queue| queue.mark(Item::Latest(place)));
    }

    /// Before a grave is told to somebody who may have forgotten it. If it were told to one neighbour only, and by that one to the next, then on
    /// a ring it could come round to where it has been forgotten again, for ever. What all neighbours are told at once stays
    /// until all of them have it, and so ends where its ways meet.
    fn tell_graves_again(&mut self) {
        for place in self.document.places(true) {
            if self.document.grave(place).is_some() {
                self.tell_all(place);
            }
        }
    }

    /// Everything but what all hold from the beginning.
    fn owe_everything(&mut self, peer: ReplicaId, out: &mut Outbox) {
        self.tell_graves_again();
        let places = self.document.places(true);
        out.work(places.len() as u64);
        let queue = self.queue(peer);
        places.into_iter().for_each(|place| queue.mark(Item::Latest(place)));
    }

    /// Whether somebody who is waited for needs a grave.
    fn is_needed(&self, grave: Place) -> bool {
        self.queues.values().any(|queue| !queue.is_gone() && queue.needs(grave))
    }

    fn forget_if_unneeded(&mut self, wall: WallTime, place: Place) {
        let Some(time) = self.document.grave(place) else { return };
        if self.is_needed(place) {
            return;
        }
        if !self.document.has_passed(wall, time) {
            self.early.insert((time, place));
            return;
        }
        let deletion = self.document.forget(place);
        self.deletions.extend(deletion.map(|edit| (place.record(), edit)));
        self.queues.values_mut().for_each(|queue| queue.forget(place));
    }

    fn forget_all_unneeded(&mut self, wall: WallTime, out: &mut Outbox) {
        let places = self.document.places(true);
        out.work(places.len() as u64);
        places.into_iter().for_each(|place| self.forget_if_unneeded(wall, place));
    }

    /// Graves whose time has come.
    fn forget_early(&mut self, wall: WallTime) {
        while let Some(first) = self.early.first().copied()
            && self.document.has_passed(wall, first.0)
        {
            self.early.remove(&first);
            self.forget_if_unneeded(wall, first.1);
        }
    }

    fn member(&mut self, wall: WallTime, change: SeatChange, out: &mut Outbox) {
        let (replica, gone) = match change {
            SeatChange::Gone { replica } => (replica, true),
            SeatChange::Back { replica } => (replica, false),
        };
        let Some(queue) = self.queues.get_mut(&replica) else { return };
        queue.set_gone(gone);
        if gone {
            self.forget_all_unneeded(wall, out);
            self.ask_no_more(wall, replica);
        }
    }

    /// A peer cannot say what still is: where it was the last to be asked, this replica tells of what it has.
    fn ask_no_more(&mut self, wall: WallTime, peer: ReplicaId) {
        let mut unknown = Vec::new();
        self.doubtful.retain(|place, peers| {
            peers.remove(&peer);
            if peers.is_empty() {
                unknown.push(*place);
            }
            !peers.is_empty()
        });
        unknown.into_iter().for_each(|place| self.tell_anew(wall, place));
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

/// Puts forgotten deletions into the cargo of a snapshot: element `elements` and the number of the record.
fn load_deletions(cargo: &mut Cargo, elements: usize, deletions: &BTreeMap<RecordId, EditId>) {
    for (record, first) in deletions {
        let element = u32::try_from(elements).ok().and_then(|e| e.checked_add(record.0));
        cargo.ids.extend(element.map(|element| CargoIds { element, first: *first, count: 1 }));
    }
}

fn unload_deletions(cargo: &Cargo, elements: usize) -> impl Iterator<Item = (RecordId, EditId)> {
    cargo.ids.iter().filter_map(move |ids| {
        let record = (ids.element as usize).checked_sub(elements)?;
        Some((RecordId(record as u32), ids.first))
    })
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
                if outcome.grave {
                    self.forget_if_unneeded(clock.wall, outcome.place);
                }
            }
            Input::Sync { peer } => self.sync(peer, out),
            Input::Receive { from, bytes, cargo } => {
                self.receive(clock.wall, from, bytes, cargo, out)?;
            }
            Input::Link { peer, state } => {
                if let Some(queue) = self.queues.get_mut(&peer) {
                    match state {
                        LinkState::Lost => queue.lost(),
                        LinkState::Open => queue.set_gone(false),
                    }
                }
            }
            Input::Seat(change) => self.member(clock.wall, change, out),
        }
        self.forget_early(clock.wall);
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
        writer.count(self.doubtful.len());
        for (place, peers) in &self.doubtful {
            place.write(&mut writer);
            writer.count(peers.len());
            peers.iter().for_each(|peer| writer.replica(*peer));
        }
        writer.count(self.deletions.len());
        for (record, edit) in &self.deletions {
            writer.uint(u64::from(record.0));
            writer.edit_id(*edit);
        }
        self.queues.values().for_each(|queue| queue.save(&mut writer));
        *out = writer.finish();
    }

    fn footprint(&self) -> Footprint {
        let mut footprint = self.document.footprint();
        footprint.history_bytes += self.queues.values().map(Queue::bytes).sum::<u64>();
        footprint
    }
}
