//! Partial replication for every strategy: one replica of it for each partition that is held.
//!
//! The partitions of a document are documents of their own to the strategy, as the documents of one repository are to automerge-repo or
//! the databases of one server to CouchDB: each message belongs to one of them and begins with its number. So a
//! replica hears of the partitions that it holds and of no other, and a bad message can spoil nothing but its own.
//! A document of one partition is left to the strategy alone, and its messages are what they were.

use crate::contract::*;
use crate::document::{Cell, Edit, EditId, PartitionId, RecordId, Rendering, ReplicaId, Scope};
use crate::wire::{Reader, Writer};

/// A strategy that can hold a part of a document.
#[derive(Clone, Copy, Debug)]
pub struct Partitioned<S>(pub S);

impl<S: Strategy> Strategy for Partitioned<S> {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn profile(&self) -> Profile {
        self.0.profile()
    }

    fn create(&self, seat: &Seat<'_>) -> Box<dyn Replica> {
        if seat.partitions.count <= 1 {
            return self.0.create(seat);
        }
        let parts = places(seat).map(|place| {
            let replica = place.seated(seat, |seat| self.0.create(seat));
            Part { partition: place.partition, peers: place.peers, members: place.members, replica }
        });
        Box::new(PartitionedReplica { count: seat.partitions.count, parts: parts.collect() })
    }

    fn restore(&self, seat: &Seat<'_>, saved: &[u8]) -> Result<Box<dyn Replica>, Malformed> {
        if seat.partitions.count <= 1 {
            return self.0.restore(seat, saved);
        }
        let mut reader = Reader::new(saved);
        let mut parts = Vec::new();
        for place in places(seat) {
            let saved = reader.blob()?;
            let replica = place.seated(seat, |seat| self.0.restore(seat, saved))?;
            let Place { partition, peers, members, .. } = place;
            parts.push(Part { partition, peers, members, replica });
        }
        reader.end()?;
        Ok(Box::new(PartitionedReplica { count: seat.partitions.count, parts }))
    }

    /// Without a seat a message does not say whether it is of a part: this is for documents of one partition.
    fn recode(&self, message: &[u8]) -> Result<Vec<u8>, Malformed> {
        self.0.recode(message)
    }
}

/// The partition that a message is about, and what it says.
fn open(message: &[u8]) -> Result<(PartitionId, &[u8]), Malformed> {
    let mut reader = Reader::new(message);
    let partition = PartitionId(reader.uint32()?);
    let body = reader.raw(reader.remaining())?;
    Ok((partition, body))
}

/// A message about a partition.
fn address(partition: PartitionId, body: &[u8]) -> Vec<u8> {
    let mut writer = Writer::after(Vec::with_capacity(body.len() + 5));
    writer.uint(u64::from(partition.0));
    writer.raw(body);
    writer.finish()
}

/// Where a replica sits in one of its partitions.
struct Place {
    partition: PartitionId,
    peers: Vec<ReplicaId>,
    members: Vec<ReplicaId>,
    genesis: Vec<(EditId, Edit)>,
}

impl Place {
    /// What `made` makes of the seat.
    fn seated<T>(&self, whole: &Seat<'_>, made: impl FnOnce(&Seat<'_>) -> T) -> T {
        made(&Seat {
            peers: &self.peers,
            members: &self.members,
            partitions: Partitions::WHOLE,
            authority: whole.authority.filter(|hub| self.members.contains(hub)),
            genesis: &self.genesis,
            ..*whole
        })
    }
}

/// The partitions that a seat's replica holds, in order.
fn places<'s>(seat: &'s Seat<'_>) -> impl Iterator<Item = Place> + 's {
    let held = (0..seat.partitions.count).map(PartitionId);
    held.filter(|partition| seat.partitions.holds(seat.replica, *partition)).map(|partition| {
        let holders = |replicas: &[ReplicaId]| {
            let holds = |replica: &ReplicaId| seat.partitions.holds(*replica, partition);
            replicas.iter().copied().filter(holds).collect()
        };
        let is_here = |edit: &Edit| seat.partitions.of(edit.record()) == partition;
        Place {
            partition,
            peers: holders(seat.peers),
            members: holders(seat.members),
            genesis: seat.genesis.iter().filter(|(_, edit)| is_here(edit)).cloned().collect(),
        }
    })
}

/// A replica of one partition, and who else holds it.
struct Part {
    partition: PartitionId,
    peers: Vec<ReplicaId>,
    members: Vec<ReplicaId>,
    replica: Box<dyn Replica>,
}

impl Part {
    /// Gives it an input; its messages are marked as its own.
    fn handle(
        &mut self,
        clock: Clock,
        input: Input<'_>,
        out: &mut Outbox,
    ) -> Result<(), Malformed> {
        let mut mine = Outbox::new();
        self.replica.handle(clock, input, &mut mine)?;
        out.work(mine.work_units);
        out.outputs.extend(mine.outputs.into_iter().map(|output| match output {
            Output::Send { to, bytes, cargo } => {
                Output::Send { to, bytes: address(self.partition, &bytes), cargo }
            }
            change => change,
        }));
        Ok(())
    }
}

/// A replica of some partitions.
struct PartitionedReplica {
    /// How many partitions the document has.
    count: u32,
    /// Those that are held here, in order.
    parts: Vec<Part>,
}

impl PartitionedReplica {
    fn at(&self, partition: PartitionId) -> Option<&Part> {
        let at = self.parts.binary_search_by_key(&partition, |part| part.partition).ok()?;
        Some(&self.parts[at])
    }

    fn at_mut(&mut self, partition: PartitionId) -> Option<&mut Part> {
        let at = self.parts.binary_search_by_key(&partition, |part| part.partition).ok()?;
        Some(&mut self.parts[at])
    }

    fn of(&self, record: RecordId) -> PartitionId {
        Partitions { count: self.count, held: &[] }.of(record)
    }
}

impl Replica for PartitionedReplica {
    fn handle(
        &mut self,
        clock: Clock,
        input: Input<'_>,
        out: &mut Outbox,
    ) -> Result<(), Malformed> {
        let concerns = |part: &Part| match input {
            Input::Sync { peer } | Input::Link { peer, .. } => part.peers.contains(&peer),
            Input::Seat(SeatChange::Gone { replica } | SeatChange::Back { replica }) => {
                part.members.contains(&replica)
            }
            Input::Edit { .. } | Input::Receive { .. } => false,
        };
        match input {
            Input::Edit { edit, .. } => {
                let partition = self.of(edit.record());
                let part = self.at_mut(partition).ok_or(Malformed("a record not held here"))?;
                part.handle(clock, input, out)
            }
            Input::Receive { from, bytes, cargo } => {
                let (partition, body) = open(bytes)?;
                let part = self.at_mut(partition).ok_or(Malformed("a partition not held here"))?;
                if !part.peers.contains(&from) {
                    return Err(Malformed("a partition that its sender does not hold"));
                }
                part.handle(clock, Input::Receive { from, bytes: body, cargo }, out)
            }
            _ => self
                .parts
                .iter_mut()
                .filter(|part| concerns(part))
                .try_for_each(|part| part.handle(clock, input, out)),
        }
    }

    fn pending(&self, peer: ReplicaId) -> Pending {
        let mut sum = Pending::default();
        for part in self.parts.iter().filter(|part| part.peers.contains(&peer)) {
            let pending = part.replica.pending(peer);
            sum.edits += pending.edits;
            sum.exchange_open |= pending.exchange_open;
        }
        sum
    }

    fn length(&self, cell: Cell) -> usize {
        self.at(self.of(cell.record)).map_or(0, |part| part.replica.length(cell))
    }

    fn render(&self, scope: Scope, out: &mut Rendering) {
        let (one, scope) = match scope {
            Scope::All => {
                return self.parts.iter().for_each(|part| part.replica.render(scope, out));
            }
            Scope::Partition(partition) => (partition, Scope::All),
            Scope::Record(record) => (self.of(record), scope),
            Scope::Cell(cell) => (self.of(cell.record), scope),
        };
        if let Some(part) = self.at(one) {
            part.replica.render(scope, out);
        }
    }

    fn fingerprint(&self, partition: PartitionId) -> u128 {
        self.at(partition).map_or(0, |part| part.replica.fingerprint(PartitionId(0)))
    }

    fn save(&self, out: &mut Vec<u8>) {
        let mut writer = Writer::after(std::mem::take(out));
        let mut saved = Vec::new();
        for part in &self.parts {
            saved.clear();
            part.replica.save(&mut saved);
            writer.blob(&saved);
        }
        *out = writer.finish();
    }

    fn footprint(&self) -> Footprint {
        let mut sum = Footprint::default();
        for part in &self.parts {
            let one = part.replica.footprint();
            sum.content_bytes += one.content_bytes;
            sum.metadata_bytes += one.metadata_bytes;
            sum.history_bytes += one.history_bytes;
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{FieldId, FieldKind, Schema, Value};
    use crate::registry;

    const HUB: ReplicaId = ReplicaId(1);
    const CLIENTS: [ReplicaId; 2] = [ReplicaId(4), ReplicaId(9)];
    const PARTITIONS: u32 = 3;

    /// What the clients hold; the hub holds everything.
    fn held() -> [(ReplicaId, Vec<PartitionId>); 2] {
        let parts = |numbers: [u32; 2]| numbers.map(PartitionId).to_vec();
        [(CLIENTS[0], parts([0, 1])), (CLIENTS[1], parts([1, 2]))]
    }

    fn with_seat<T>(replica: ReplicaId, made: impl FnOnce(&Seat<'_>) -> T) -> T {
        let cell = |record| Cell { record: RecordId(record), field: FieldId(0) };
        let genesis: Vec<_> = (0..6)
            .map(|n| {
                let id = EditId { origin: ReplicaId::GENESIS, sequence: u64::from(n) + 1 };
                (id, Edit::Put { cell: cell(n), value: Value::from("genesis") })
            })
            .collect();
        made(&Seat {
            replica,
            peers: if replica == HUB { &CLIENTS } else { &[HUB] },
            members: &[HUB, CLIENTS[0], CLIENTS[1]],
            partitions: Partitions { count: PARTITIONS, held: &held() },
            authority: Some(HUB),
            schema: &Schema::new(vec![FieldKind::Register]),
            genesis: &genesis,
            transport: Transport::Session,
            incarnation: 0,
        })
    }

    fn shown(replica: &dyn Replica, scope: Scope) -> Rendering {
        let mut rendering = Rendering::new();
        replica.render(scope, &mut rendering);
        rendering
    }

    /// A hub and two clients that share one partition; each edits what it holds.
    #[test]
    fn each_replica_hears_of_the_partitions_that_it_holds() {
        for strategy in registry() {
            let name = strategy.name();
            let all = [HUB, CLIENTS[0], CLIENTS[1]];
            let mut replicas: Vec<_> =
                all.iter().map(|id| with_seat(*id, |seat| strategy.create(seat))).collect();
            let number = |id| position(&all, id);
            let mut now = 0;
            let mut queue = Vec::new();
            let mut heard = vec![Vec::new(); 3];
            let mut give =
                |replicas: &mut Vec<Box<dyn Replica>>, at: ReplicaId, input: Input<'_>| {
                    now += 1_000_000;
                    let clock = Clock { now: Tick(now * 1000), wall: WallTime(now) };
                    let mut out = Outbox::new();
                    replicas[number(at)].handle(clock, input, &mut out).expect("honest input");
                    for output in out.outputs {
                        if let Output::Send { to, bytes, cargo } = output {
                            queue.push((at, to, bytes, cargo));
                        }
                    }
                    std::mem::take(&mut queue)
                };
            let mut waiting = std::collections::VecDeque::new();
            for client in CLIENTS {
                for (at, peer) in [(client, HUB), (HUB, client)] {
                    let state = LinkState::Open;
                    waiting.extend(give(&mut replicas, at, Input::Link { peer, state }));
                }
            }
            let mut sequence = 0;
            for round in 0..8 {
                for client in CLIENTS.into_iter().filter(|_| round < 3) {
                    for record in (0..6).map(RecordId) {
                        let partitions = Partitions { count: PARTITIONS, held: &held() };
                        if partitions.holds(client, partitions.of(record)) {
                            sequence += 1;
                            let id = EditId { origin: client, sequence };
                            let cell = Cell { record, field: FieldId(0) };
                            let value = Value::from(format!("{client} {round} {}", record.0));
                            let edit = Edit::Put { cell, value };
                            let input = Input::Edit { id, edit: &edit };
                            waiting.extend(give(&mut replicas, client, input));
                        }
                    }
                }
                for client in CLIENTS {
                    for (at, peer) in [(client, HUB), (HUB, client)] {
                        waiting.extend(give(&mut replicas, at, Input::Sync { peer }));
                        while let Some((from, to, bytes, cargo)) = waiting.pop_front() {
                            heard[number(to)].extend(bytes.get(1).copied());
                            let cargo = &cargo;
                            let input = Input::Receive { from, bytes: &bytes, cargo };
                            waiting.extend(give(&mut replicas, to, input));
                        }
                    }
                }
            }
            for (id, partitions) in held() {
                for partition in (0..PARTITIONS).map(PartitionId) {
                    let scope = Scope::Partition(partition);
                    let mine = &*replicas[number(id)];
                    let hubs = &*replicas[0];
                    if partitions.contains(&partition) {
                        assert_eq!(shown(mine, scope), shown(hubs, scope), "{name}, {id}");
                        assert_eq!(mine.fingerprint(partition), hubs.fingerprint(partition));
                        let [here, again] = [mine, hubs].map(|replica| {
                            let mut saved = Vec::new();
                            replica.save(&mut saved);
                            saved
                        });
                        assert_ne!(here, again, "a part is less than the whole");
                    } else {
                        assert_eq!(shown(mine, scope), Rendering::new(), "{name}, {id}");
                        let number = partition.0 as u8;
                        let at = position(&all, id);
                        assert!(
                            !heard[at].contains(&number),
                            "{name}: {id} heard of {partition:?}"
                        );
                    }
                }
                let all_of_it = shown(&*replicas[position(&all, id)], Scope::All);
                assert_eq!(all_of_it.iter().count(), 4, "{name}: the records of two partitions");
                // What it wrote it can read, and the copy shows the same.
                let mut saved = Vec::new();
                replicas[position(&all, id)].save(&mut saved);
                let copy = with_seat(id, |seat| strategy.restore(seat, &saved)).expect("honest");
                assert_eq!(shown(&*copy, Scope::All), all_of_it, "{name}");
            }
        }
    }

    fn position(all: &[ReplicaId], id: ReplicaId) -> usize {
        all.iter().position(|one| *one == id).expect("one of them")
    }

    #[test]
    fn what_is_about_a_partition_that_is_not_held_is_refused() {
        let strategy = Partitioned(crate::crdt::DIGEST);
        let mut client = with_seat(CLIENTS[0], |seat| strategy.create(seat));
        let clock = Clock { now: Tick(0), wall: WallTime(0) };
        let cargo = Cargo::default();
        for (bytes, why) in [
            (address(PartitionId(2), &[1, 0]), "a partition not held here"),
            (address(PartitionId(7), &[1, 0]), "a partition not held here"),
            (Vec::new(), "message ends early"),
        ] {
            let input = Input::Receive { from: HUB, bytes: &bytes, cargo: &cargo };
            let refused = client.handle(clock, input, &mut Outbox::new());
            assert_eq!(refused, Err(Malformed(why)));
        }
        let mut hub = with_seat(HUB, |seat| strategy.create(seat));
        let bytes = address(PartitionId(2), &[1, 0]);
        let input = Input::Receive { from: CLIENTS[0], bytes: &bytes, cargo: &cargo };
        let refused = hub.handle(clock, input, &mut Outbox::new());
        assert_eq!(refused, Err(Malformed("a partition that its sender does not hold")));
    }
}
