//! Releases that know less and more than this one, in one document.

use super::message::lead;
use super::*;
use crate::crdt::DIGEST;
use crate::document::{Edit, FieldId, FieldKind, RecordId, Schema, Value};
use crate::full_copy::FullCopy;
use crate::lww::Lww;

const HUB: ReplicaId = ReplicaId(1);
const CLIENTS: [ReplicaId; 2] = [ReplicaId(2), ReplicaId(3)];
const CELL: Cell = Cell { record: RecordId(0), field: FieldId(0) };

/// A hub and two clients.
struct Star {
    schema: Schema,
    strategy: &'static dyn Strategy,
    replicas: BTreeMap<ReplicaId, VersionedReplica>,
    /// Those that stand for a release which knows version 1 alone.
    older: Vec<ReplicaId>,
    edits: u64,
}

impl Star {
    fn new(strategy: &'static dyn Strategy) -> Self {
        let schema = Schema::new(vec![FieldKind::Register]);
        let mut star =
            Star { schema, strategy, replicas: BTreeMap::new(), older: Vec::new(), edits: 0 };
        for replica in [HUB, CLIENTS[0], CLIENTS[1]] {
            let inner = star.with_seat(replica, |seat| strategy.create(seat));
            let fresh = VersionedReplica { inner, peers: BTreeMap::new(), fields: BTreeMap::new() };
            star.replicas.insert(replica, fresh);
        }
        for client in CLIENTS {
            for (at, peer) in [(client, HUB), (HUB, client)] {
                star.input(at, Input::Link { peer, state: LinkState::Open });
            }
        }
        star
    }

    fn with_seat<T>(&self, replica: ReplicaId, made: impl FnOnce(&Seat<'_>) -> T) -> T {
        let peers = if replica == HUB { &CLIENTS[..] } else { &[HUB] };
        made(&Seat {
            replica,
            peers,
            members: &[HUB, CLIENTS[0], CLIENTS[1]],
            partitions: Partitions::WHOLE,
            authority: Some(HUB),
            schema: &self.schema,
            genesis: &[],
            transport: Transport::Session,
            incarnation: 0,
        })
    }

    /// Gives a replica an input, and what comes of it to everybody.
    fn input(&mut self, at: ReplicaId, input: Input<'_>) {
        let mut out = Outbox::new();
        let clock = Clock { now: Tick(self.edits), wall: WallTime(self.edits) };
        let replica = self.replicas.get_mut(&at).expect("a replica");
        replica.handle(clock, input, &mut out).expect("honest bytes");
        for output in out.outputs {
            let Output::Send { to, mut bytes, cargo } = output else { continue };
            if self.older.contains(&at) {
                assert_eq!(bytes[0], lead(PLAIN, WITH_FIELDS), "it says nothing of version 2");
                bytes[0] = lead(PLAIN, PLAIN);
            }
            if self.older.contains(&to) {
                assert_eq!(bytes[0] & 0x0f, PLAIN, "{at} answers {to} in its version");
            }
            let again = Versioned(Raw(self.strategy)).recode(&bytes);
            assert_eq!(again.as_ref(), Ok(&bytes));
            self.input(to, Input::Receive { from: at, bytes: &bytes, cargo: &cargo });
        }
    }

    fn put(&mut self, at: ReplicaId, value: &str) {
        self.edits += 1;
        let edit = Edit::Put { cell: CELL, value: Value::from(value) };
        let id = crate::document::EditId { origin: at, sequence: self.edits };
        self.input(at, Input::Edit { id, edit: &edit });
    }

    /// Everybody speaks to everybody as long as somebody has something to say.
    fn settle(&mut self) {
        let links = CLIENTS.into_iter().flat_map(|client| [(client, HUB), (HUB, client)]);
        let links: Vec<_> = links.collect();
        for _ in 0..8 {
            for (at, peer) in &links {
                if self.replicas[at].pending(*peer).edits > 0 {
                    self.input(*at, Input::Sync { peer: *peer });
                }
            }
        }
        for (at, peer) in links {
            assert_eq!(self.replicas[&at].pending(peer).edits, 0, "{at} owes {peer}");
        }
    }

    fn shown(&self, at: ReplicaId) -> u128 {
        self.replicas[&at].fingerprint(PartitionId(0))
    }

    fn agrees(&self) {
        assert!(CLIENTS.iter().all(|client| self.shown(*client) == self.shown(HUB)));
        let mut rendering = Rendering::new();
        self.replicas[&HUB].render(Scope::Partition(PartitionId(0)), &mut rendering);
        assert_ne!(rendering, Rendering::new(), "something is shown");
    }
}

/// A strategy behind a reference.
#[derive(Clone, Copy)]
struct Raw(&'static dyn Strategy);

impl Strategy for Raw {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn profile(&self) -> Profile {
        self.0.profile()
    }

    fn create(&self, seat: &Seat<'_>) -> Box<dyn Replica> {
        self.0.create(seat)
    }

    fn restore(&self, seat: &Seat<'_>, saved: &[u8]) -> Result<Box<dyn Replica>, Malformed> {
        self.0.restore(seat, saved)
    }

    fn recode(&self, message: &[u8]) -> Result<Vec<u8>, Malformed> {
        self.0.recode(message)
    }
}

const STRATEGIES: [&dyn Strategy; 3] = [&DIGEST, &Lww::HLC, &FullCopy];

fn field(tag: u32, author: ReplicaId, number: u64, content: &[u8]) -> Field {
    Field { key: FieldKey { tag, author }, number, content: Some(content.to_vec()) }
}

/// Lets a client say what only a later release would.
fn say(star: &mut Star, at: ReplicaId, field: Field) {
    star.replicas.get_mut(&at).expect("a replica").fields.insert(field.key, field);
}

#[test]
fn an_older_peer_is_answered_in_its_version() {
    for strategy in STRATEGIES {
        let mut star = Star::new(strategy);
        star.older = vec![CLIENTS[0]];
        say(&mut star, CLIENTS[1], field(7, CLIENTS[1], 1, b"later"));
        for n in 0..6 {
            star.put(CLIENTS[n % 2], &format!("value {n}"));
            star.settle();
        }
        star.agrees();
        assert_eq!(star.replicas[&HUB].fields.len(), 1, "the hub reads version 2");
        assert_eq!(star.replicas[&CLIENTS[0]].fields.len(), 0);
    }
}

#[test]
fn a_field_that_the_relay_does_not_know_passes_through_it() {
    for strategy in STRATEGIES {
        let mut star = Star::new(strategy);
        CLIENTS.iter().for_each(|client| star.put(*client, "hello"));
        star.settle();
        let first = field(7, CLIENTS[0], 1, b"one");
        say(&mut star, CLIENTS[0], first.clone());
        star.settle();
        assert_eq!(star.replicas[&CLIENTS[1]].fields[&first.key], first, "without any edit");
        // The relay restarts; then the author says something else, and another one of the same tag speaks too.
        let mut saved = Vec::new();
        star.replicas[&HUB].save(&mut saved);
        let restored = star
            .with_seat(HUB, |seat| Versioned(Raw(strategy)).restore(seat, &saved))
            .expect("an honest snapshot");
        let mut again = Vec::new();
        restored.save(&mut again);
        assert_eq!(saved, again);
        let mut reader = Reader::new(&saved);
        assert_eq!((reader.byte(), reader.count(1)), (Ok(SAVED), Ok(1)), "one field was saved");
        let second = field(7, CLIENTS[0], 2, b"two");
        let other = field(7, CLIENTS[1], 1, b"other");
        say(&mut star, CLIENTS[0], second.clone());
        say(&mut star, CLIENTS[1], other.clone());
        star.put(CLIENTS[1], "once more");
        star.settle();
        for replica in star.replicas.values() {
            let fields: Vec<_> = replica.fields.values().collect();
            assert_eq!(fields, [&second, &other]);
        }
        star.agrees();
    }
}

#[test]
fn what_is_of_no_known_version_is_refused_with_the_reason() {
    let newer = Malformed("a newer version of the wire format: this replica reads 1 and 2");
    assert_eq!(open(&[lead(3, 3)]).unwrap_err(), newer);
    for bad in [0x00, 0x20, 0x02, 0x12] {
        let refused = Malformed("not a version of the wire format");
        assert_eq!(open(&[bad, 3, 1, 1, 1]).unwrap_err(), refused, "{bad:02x}");
    }
    assert!(open(&[]).is_err());
    assert!(open(&[lead(2, 2), 1]).is_err(), "version 2 without fields");
    assert_eq!(
        open(&[lead(1, 9), 5]).map(|opened| opened.reads),
        Ok(9),
        "a later release may speak low"
    );
}

#[test]
fn a_stranger_cannot_fill_the_memory_with_fields() {
    let mut star = Star::new(&FullCopy);
    let hub = star.replicas.get_mut(&HUB).expect("the hub");
    let mut refused = 0;
    for tag in 0..100 {
        let told = [field(tag, CLIENTS[0], 1, &[0; 255])];
        let bytes = write(WITH_FIELDS, Some(&told), None);
        let input = Input::Receive { from: CLIENTS[0], bytes: &bytes, cargo: &Cargo::default() };
        let clock = Clock { now: Tick(0), wall: WallTime(0) };
        refused += u32::from(hub.handle(clock, input, &mut Outbox::new()).is_err());
    }
    assert_eq!((hub.fields.len(), refused), (MOST_FIELDS, 36));
    let long = write(WITH_FIELDS, Some(&[field(1, HUB, 1, &[0; 256])]), None);
    assert_eq!(open(&long).unwrap_err(), Malformed("field is too long"));
}
