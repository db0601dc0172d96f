//! The baseline that many products begin with: every quarter of an hour a client sends its whole document and gets the whole merged
//! document back. What merges is [`crate::lww`] with a hybrid logical clock; only the traffic differs.
//!
//! Nothing is acknowledged or repeated: the next period repairs whatever was lost. What a peer lacks is tracked all the same, so that
//! tools can see it, from what its own copies show.

use crate::contract::{
    Cargo, Clock, EditIds, Footprint, Input, LinkState, Malformed, Outbox, OwnSchedule, Pending,
    Profile, Replica, Seat, Strategy, Support, Transport,
};
use crate::document::{Cell, PartitionId, Rendering, ReplicaId, Scope};
use crate::lww::ONE_VALUE;
use crate::lww::cells::Cells;
use crate::lww::stamp::StampSource;
use crate::lww::store::{News, Outcome, Place, Rules, Store};
use crate::lww::updates::Updates;
use crate::wire::{Reader, Writer};
use std::collections::{BTreeMap, BTreeSet};

/// How two copies are merged.
const RULES: Rules = Rules::by(StampSource::Hlc);

/// The whole document both ways, every 15 minutes.
#[derive(Debug)]
pub struct FullCopy;

impl Strategy for FullCopy {
    fn name(&self) -> &str {
        "full-copy"
    }

    fn profile(&self) -> Profile {
        Profile {
            summary: "The whole document goes both ways every 15 minutes; the later write of a field wins.",
            register: Support::Native,
            counter: ONE_VALUE,
            set: ONE_VALUE,
            text: ONE_VALUE,
            star: Support::Native,
            mesh: Support::Native,
            graph: Support::Native,
            session: Support::Native,
            datagram: Support::Native,
            memory_loss: Support::Native,
            exceptions: &[],
            schedule: Some(OwnSchedule::Periodic { interval_s: 900 }),
            edit_ids: EditIds::InCargo,
        }
    }

    fn create(&self, seat: &Seat<'_>) -> Box<dyn Replica> {
        let peers = seat.peers.iter().map(|peer| (*peer, Peer::new(seat.incarnation)));
        Box::new(FullCopyReplica {
            document: Cells::new(seat, RULES),
            peers: peers.collect(),
            transport: seat.transport,
            incarnation: seat.incarnation,
        })
    }

    fn restore(&self, seat: &Seat<'_>, saved: &[u8]) -> Result<Box<dyn Replica>, Malformed> {
        let mut reader = Reader::new(saved);
        let incarnation = reader.uint32()?;
        let document = Cells::restore(seat, RULES, &mut reader)?;
        let mut peers = BTreeMap::new();
        // In the order in which they were saved.
        for id in seat.peers.iter().collect::<BTreeSet<_>>() {
            let mut peer = Peer::restore(&mut reader)?;
            if incarnation != seat.incarnation {
                peer.forget(seat.incarnation);
            }
            peers.insert(*id, peer);
        }
        reader.end()?;
        let (transport, incarnation) = (seat.transport, seat.incarnation);
        Ok(Box::new(FullCopyReplica { document, peers, transport, incarnation }))
    }

    fn recode(&self, message: &[u8]) -> Result<Vec<u8>, Malformed> {
        let copy = Copy::read(message)?;
        let mut writer = Writer::new();
        write_head(&mut writer, copy.answer, copy.number);
        copy.updates.write(RULES, &mut writer);
        Ok(writer.finish())
    }
}

/// The only kind of message: a whole document.
struct Copy<'a> {
    /// Whether it answers another copy; an answer is not answered.
    answer: bool,
    /// Of the exchange, counted by the one who asked.
    number: u64,
    updates: Updates<'a>,
}

impl<'a> Copy<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let answer = match reader.byte()? {
            0 => false,
            1 => true,
            _ => return Err(Malformed("neither a request nor an answer")),
        };
        let number = reader.uint()?;
        let updates = Updates::read(RULES, &mut reader)?;
        reader.end()?;
        Ok(Copy { answer, number, updates })
    }
}

fn write_head(writer: &mut Writer, answer: bool, number: u64) {
    writer.byte(u8::from(answer));
    writer.uint(number);
}

/// What is known of a peer.
#[derive(Debug, Default)]
struct Peer {
    /// Changed here, and not in any copy that was sent since.
    changed: BTreeSet<Place>,
    /// Sent in a copy, and no copy from the peer has shown it yet.
    sent: BTreeSet<Place>,
    /// Number of the next exchange begun here.
    next_exchange: u64,
    /// The exchange begun here that waits for its answer.
    open: Option<u64>,
    /// One more than the highest exchange that the peer began: lower numbers are doubles or late.
    expected: u64,
}

impl Peer {
    fn new(incarnation: u32) -> Self {
        let mut peer = Peer::default();
        peer.forget(incarnation);
        peer
    }

    /// Exchange numbers do not repeat after lost memory.
    fn forget(&mut self, incarnation: u32) {
        self.next_exchange = self.next_exchange.max(u64::from(incarnation) << 32);
    }

    fn settle(&mut self, place: Place) {
        self.changed.remove(&place);
        self.sent.remove(&place);
    }

    fn save(&self, writer: &mut Writer) {
        for places in [&self.changed, &self.sent] {
            writer.count(places.len());
            places.iter().for_each(|place| place.write(writer));
        }
        writer.uint(self.next_exchange);
        // Numbers below 2^64 - 1 are all that can be open.
        writer.uint(self.open.map_or(0, |number| number + 1));
        writer.uint(self.expected);
    }

    fn restore(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut peer = Peer::default();
        for places in [&mut peer.changed, &mut peer.sent] {
            for _ in 0..reader.count(2)? {
                places.insert(Place::read(reader)?);
            }
        }
        peer.next_exchange = reader.uint()?;
        peer.open = reader.uint()?.checked_sub(1);
        peer.expected = reader.uint()?;
        Ok(peer)
    }
}

struct FullCopyReplica {
    document: Cells,
    peers: BTreeMap<ReplicaId, Peer>,
    transport: Transport,
    incarnation: u32,
}

impl FullCopyReplica {
    fn sync(&mut self, to: ReplicaId, out: &mut Outbox) {
        let Some(peer) = self.peers.get_mut(&to) else { return };
        let number = peer.next_exchange;
        peer.next_exchange += 1;
        peer.open = Some(number);
        self.send(to, false, number, out);
    }

    fn send(&mut self, to: ReplicaId, answer: bool, number: u64, out: &mut Outbox) {
        let footprint = self.document.footprint();
        let mut writer = Writer::after(Vec::with_capacity(16 + footprint.total() as usize));
        let mut cargo = Cargo::default();
        write_head(&mut writer, answer, number);
        self.document.write_all(&mut writer, &mut cargo);
        out.work_bytes(writer.len());
        out.send(to, writer.finish(), cargo);
        if let Some(peer) = self.peers.get_mut(&to) {
            peer.sent.append(&mut peer.changed);
        }
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
        let peer = self.peers.get_mut(&from).ok_or(Malformed("not from a peer"))?;
        let copy = Copy::read(bytes)?;
        self.document.check(from, &copy.updates)?;
        if copy.answer {
            if peer.open != Some(copy.number) {
                return Ok(()); // doubled, or of an exchange that was given up
            }
            peer.open = None;
        } else {
            if copy.number < peer.expected {
                return Ok(());
            }
            peer.expected = copy.number.saturating_add(1);
        }
        self.merge(clock, from, &copy.updates, cargo, out);
        if !copy.answer {
            self.send(from, true, copy.number, out);
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
        let peers = &mut self.peers;
        // Nothing is owed to the sender, as mostly: then what it has as we have it needs no note.
        let settled = peers.get(&from).is_some_and(|p| p.changed.is_empty() && p.sent.is_empty());
        let mut notes = 0;
        self.document.merge(clock.wall, from, updates, cargo, out, |outcome| {
            if !(settled && outcome.news == News::Same) {
                notes += note(peers, &outcome, Some(from));
            }
        });
        out.work(notes);
    }
}

/// Notes who lacks what an edit or update brought, and says how many peers it touched.
fn note(peers: &mut BTreeMap<ReplicaId, Peer>, outcome: &Outcome, from: Option<ReplicaId>) -> u64 {
    match outcome.news {
        News::Stale => return 0,
        News::Same => {
            if let Some(peer) = from.and_then(|from| peers.get_mut(&from)) {
                peer.settle(outcome.place);
            }
            return 1;
        }
        News::Taken | News::Joined => {}
    }
    for (id, peer) in peers.iter_mut() {
        peer.settle(outcome.place);
        if Some(*id) != from {
            peer.changed.insert(outcome.place);
        }
        outcome.dropped.iter().for_each(|cell| peer.settle(Place::Cell(*cell)));
    }
    peers.len() as u64
}

impl Replica for FullCopyReplica {
    fn handle(
        &mut self,
        clock: Clock,
        input: Input<'_>,
        out: &mut Outbox,
    ) -> Result<(), Malformed> {
        match input {
            Input::Edit { id, edit } => {
                let outcome = self.document.edit(clock.wall, id, edit, out)?;
                out.work(note(&mut self.peers, &outcome, None));
            }
            Input::Sync { peer } => self.sync(peer, out),
            Input::Receive { from, bytes, cargo } => {
                self.receive(clock, from, bytes, cargo, out)?;
            }
            Input::Link { peer, state: LinkState::Lost } => {
                if let Some(peer) = self.peers.get_mut(&peer) {
                    peer.open = None;
                    peer.changed.append(&mut peer.sent);
                }
            }
            Input::Link { state: LinkState::Open, .. } | Input::Seat(_) => {}
        }
        Ok(())
    }

    /// What changed since the last copy; over datagrams also what no copy from the peer has shown yet.
    fn pending(&self, peer: ReplicaId) -> Pending {
        let Some(peer) = self.peers.get(&peer) else { return Pending::default() };
        let unsure = match self.transport {
            Transport::Session => 0,
            Transport::Datagram => peer.sent.len() as u64,
        };
        Pending { edits: peer.changed.len() as u64 + unsure, exchange_open: peer.open.is_some() }
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
        self.peers.values().for_each(|peer| peer.save(&mut writer));
        *out = writer.finish();
    }

    fn footprint(&self) -> Footprint {
        self.document.footprint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Change;
    use crate::lww::testing::{
        Net, Topology, hostile_bytes, hostile_snapshots, random_worlds, scrambled_ids,
    };

    #[test]
    fn random_worlds_converge() {
        random_worlds(&FullCopy, Topology::Star, Transport::Session);
        random_worlds(&FullCopy, Topology::Mesh, Transport::Session);
        random_worlds(&FullCopy, Topology::Star, Transport::Datagram);
        random_worlds(&FullCopy, Topology::Mesh, Transport::Datagram);
    }

    #[test]
    fn ids_in_cargo_influence_nothing_but_reports() {
        scrambled_ids(&FullCopy, Transport::Session);
    }

    #[test]
    fn damaged_bytes_are_refused_or_understood() {
        hostile_bytes(&FullCopy);
        hostile_snapshots(&FullCopy);
    }

    #[test]
    fn one_copy_goes_each_way_and_an_answer_is_not_answered() {
        let mut net = Net::new(&FullCopy, Topology::Star, Transport::Session, 3);
        net.put(1, 0, "x");
        net.open(1, 0);
        assert_eq!((net.in_flight(1, 0), net.in_flight(0, 1)), (1, 0));
        net.deliver(1, 0, 0, true);
        assert_eq!((net.in_flight(1, 0), net.in_flight(0, 1)), (1, 1));
        net.deliver(1, 0, 0, false);
        assert_eq!(net.in_flight(0, 1), 1, "the same request is answered once");
        net.deliver(0, 1, 0, false);
        assert_eq!((net.in_flight(1, 0), net.in_flight(0, 1)), (0, 0));
        assert_eq!(net.pending(1, 0), Pending::default());
        assert_eq!(net.pending(0, 2).edits, 1);
        net.sync(0, 1);
        net.drain();
        assert_eq!(net.sent.len(), 4, "the hub asks likewise");
    }

    #[test]
    fn what_was_edited_during_an_exchange_stays_pending() {
        let mut net = Net::new(&FullCopy, Topology::Star, Transport::Session, 2);
        net.put(1, 0, "first");
        net.open(1, 0);
        assert_eq!(net.pending(1, 0), Pending { edits: 0, exchange_open: true });
        net.put(1, 0, "second");
        net.drain();
        assert_eq!(net.register(0, 0).as_deref(), Some("first"));
        assert_eq!(net.pending(1, 0), Pending { edits: 1, exchange_open: false });
        net.lose(1, 0);
        net.open(1, 0);
        net.drain();
        assert_eq!(net.register(0, 0).as_deref(), Some("second"));
        assert_eq!(net.pending(1, 0).edits, 0);
    }

    #[test]
    fn a_loser_is_reported_once_however_often_its_copy_arrives() {
        let mut net = Net::new(&FullCopy, Topology::Star, Transport::Session, 3);
        let lost = net.put(1, 0, "earlier");
        net.wait(1000);
        let kept = net.put(2, 0, "later");
        net.open(2, 0);
        net.drain();
        net.open(1, 0);
        net.deliver(1, 0, 0, true);
        net.drain();
        let loss = Change::Replaced { edit: lost, by: kept };
        assert_eq!(net.reports.iter().filter(|report| **report == (0, loss)).count(), 1);
        assert_eq!(net.register(1, 0).as_deref(), Some("later"));
    }

    #[test]
    fn a_replica_that_lost_memory_gets_everything_back() {
        let mut net = Net::new(&FullCopy, Topology::Star, Transport::Session, 3);
        net.put(1, 0, "known");
        net.settle("known");
        let old = net.saved(1);
        net.put(1, 1, "sent and forgotten");
        net.put(2, 2, "received and forgotten");
        net.settle("before");
        net.restart(1, &old, 1);
        net.put(1, 0, "new");
        net.settle("after");
        assert_eq!(net.register(1, 1).as_deref(), Some("sent and forgotten"));
        assert_eq!(net.register(0, 0).as_deref(), Some("new"));
    }
}
