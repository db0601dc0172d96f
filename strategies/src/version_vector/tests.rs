//! Both variants on small networks: what is shown, what is reported, and that everybody ends with the same.

use super::{CLIENT_IDS, DOTTED, MERGE, SERVER_IDS, VersionVector};
use crate::contract::*;
use crate::document::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

const ALL: [&VersionVector; 4] = [&CLIENT_IDS, &SERVER_IDS, &DOTTED, &MERGE];
const CLOCK: Clock = Clock { now: Tick(0), wall: WallTime(0) };
const REGISTER: FieldId = FieldId(0);
const COUNTER: FieldId = FieldId(1);
const SET: FieldId = FieldId(2);
const TEXT: FieldId = FieldId(3);

fn cell(record: u32, field: FieldId) -> Cell {
    Cell { record: RecordId(record), field }
}

fn put(record: u32, value: &str) -> Edit {
    Edit::Put { cell: cell(record, REGISTER), value: value.into() }
}

fn insert(record: u32, element: &str) -> Edit {
    Edit::Insert { cell: cell(record, SET), element: element.into() }
}

fn register(value: &str) -> Content {
    Content::Register(Some(value.into()))
}

type Parcel = (Vec<u8>, Cargo);

/// Replicas and what is on its way between them.
struct Net {
    strategy: &'static VersionVector,
    transport: Transport,
    peers: Vec<Vec<ReplicaId>>,
    members: Vec<ReplicaId>,
    authority: Option<ReplicaId>,
    incarnations: Vec<u32>,
    genesis: Vec<(EditId, Edit)>,
    schema: Schema,
    replicas: Vec<Box<dyn Replica>>,
    queues: BTreeMap<(usize, usize), VecDeque<Parcel>>,
    sequence: u64,
    /// What was reported since it was last looked at, by replica.
    changes: Vec<Vec<Change>>,
    /// The edits that each replica should be showing, if one believes its reports.
    believed: Vec<BTreeSet<EditId>>,
    puts: BTreeMap<EditId, (Cell, Content)>,
    what: String,
}

impl Net {
    /// In a star, replica 0 is the hub.
    fn new(
        strategy: &'static VersionVector,
        star: bool,
        count: usize,
        transport: Transport,
    ) -> Self {
        let linked = |a: usize, b: usize| a != b && (!star || a == 0 || b == 0);
        let ids = |a: usize| (0..count).filter(move |b| linked(a, *b)).map(|b| ReplicaId(b as u32));
        let name = |sequence| EditId { origin: ReplicaId::GENESIS, sequence };
        let genesis = vec![(name(3), put(0, "g")), (name(4), insert(0, "g"))];
        let kinds = [FieldKind::Register, FieldKind::Counter, FieldKind::Set, FieldKind::Text];
        let mut net = Net {
            strategy,
            transport,
            peers: (0..count).map(|a| ids(a).collect()).collect(),
            members: (0..count).map(|n| ReplicaId(n as u32)).collect(),
            authority: star.then_some(ReplicaId(0)),
            incarnations: vec![0; count],
            schema: Schema::new(kinds.to_vec()),
            replicas: Vec::new(),
            queues: BTreeMap::new(),
            sequence: 0,
            changes: vec![Vec::new(); count],
            believed: vec![genesis.iter().map(|(id, _)| *id).collect(); count],
            puts: [(name(3), (cell(0, REGISTER), register("g")))].into(),
            genesis,
            what: String::new(),
        };
        net.replicas = (0..count).map(|n| strategy.create(&net.seat(n))).collect();
        net
    }

    fn mesh(strategy: &'static VersionVector, count: usize) -> Self {
        Net::new(strategy, false, count, Transport::Session)
    }

    fn seat(&self, n: usize) -> Seat<'_> {
        Seat {
            replica: ReplicaId(n as u32),
            peers: &self.peers[n],
            members: &self.members,
            partitions: Partitions::WHOLE,
            authority: self.authority,
            schema: &self.schema,
            genesis: &self.genesis,
            transport: self.transport,
            incarnation: self.incarnations[n],
        }
    }

    fn input(&mut self, n: usize, input: Input<'_>) -> Result<(), Malformed> {
        let mut out = Outbox::new();
        self.replicas[n].handle(CLOCK, input, &mut out)?;
        for output in out.outputs {
            match output {
                Output::Send { to, bytes, cargo } => {
                    assert_eq!(self.strategy.recode(&bytes).as_ref(), Ok(&bytes));
                    self.queues.entry((n, to.0 as usize)).or_default().push_back((bytes, cargo));
                }
                Output::Change(change) => {
                    match change {
                        Change::Applied { edit } => {
                            let new = self.believed[n].insert(edit);
                            assert!(new, "{}: {edit} applied again at {n}", self.what);
                        }
                        Change::Replaced { edit, by } => {
                            assert_ne!(edit, by);
                            self.believed[n].remove(&edit);
                        }
                        _ => {}
                    }
                    self.changes[n].push(change);
                }
            }
        }
        Ok(())
    }

    fn edit(&mut self, n: usize, edit: &Edit) -> EditId {
        self.sequence += 2;
        let id = EditId { origin: ReplicaId(n as u32), sequence: self.sequence };
        if let Edit::Put { cell, value } = edit {
            self.puts.insert(id, (*cell, Content::Register(Some(value.clone()))));
        }
        self.believed[n].insert(id);
        self.input(n, Input::Edit { id, edit }).expect("edits are well-formed");
        id
    }

    fn sync(&mut self, from: usize, to: usize) {
        self.input(from, Input::Sync { peer: ReplicaId(to as u32) }).expect("no bytes");
    }

    fn deliver(&mut self, from: usize, to: usize) -> bool {
        let parcel = self.queues.entry((from, to)).or_default().pop_front();
        parcel.is_some_and(|parcel| {
            self.receive(from, to, &parcel);
            true
        })
    }

    fn receive(&mut self, from: usize, to: usize, (bytes, cargo): &Parcel) {
        let input = Input::Receive { from: ReplicaId(from as u32), bytes, cargo };
        self.input(to, input).expect("sent by a replica");
    }

    /// Everything that `from` owes to `to`, and the answers.
    fn exchange(&mut self, from: usize, to: usize) {
        self.sync(from, to);
        while self.deliver(from, to) || self.deliver(to, from) {}
    }

    fn lose(&mut self, a: usize, b: usize) {
        for (from, to) in [(a, b), (b, a)] {
            self.queues.entry((from, to)).or_default().clear();
            let peer = ReplicaId(to as u32);
            self.input(from, Input::Link { peer, state: LinkState::Lost }).expect("no bytes");
        }
    }

    fn links(&self) -> Vec<(usize, usize)> {
        let to = |n: usize| self.peers[n].iter().map(move |peer| (n, peer.0 as usize));
        (0..self.peers.len()).flat_map(to).collect()
    }

    fn restart(&mut self, n: usize, saved: &[u8]) {
        let restored = self.strategy.restore(&self.seat(n), saved).expect("its own snapshot");
        let mut again = Vec::new();
        restored.save(&mut again);
        if self.incarnations[n] == 0 {
            assert_eq!(again, saved, "what was restored is saved as it was");
        }
        self.replicas[n] = restored;
        for (_, peer) in self.links().into_iter().filter(|(from, _)| *from == n) {
            self.lose(n, peer);
        }
    }

    fn saved(&self, n: usize) -> Vec<u8> {
        let mut saved = Vec::new();
        self.replicas[n].save(&mut saved);
        saved
    }

    fn rendering(&self, n: usize) -> Rendering {
        let mut rendering = Rendering::new();
        self.replicas[n].render(Scope::All, &mut rendering);
        rendering
    }

    fn shown(&self, n: usize, at: Cell) -> Vec<Content> {
        let mut rendering = Rendering::new();
        self.replicas[n].render(Scope::Cell(at), &mut rendering);
        rendering.get(at).map_or(Vec::new(), |shown| shown.contents().cloned().collect())
    }

    fn marks(&self, n: usize, at: Cell) -> Vec<Mark> {
        match self.rendering(n).get(at) {
            Some(Shown::Conflict(alternatives)) => alternatives.iter().map(|a| a.mark).collect(),
            _ => Vec::new(),
        }
    }

    fn changes(&mut self, n: usize) -> Vec<Change> {
        std::mem::take(&mut self.changes[n])
    }

    /// Exchanges until nobody owes anything, checks that all show the same and report it, and that one more round is silent.
    fn settle(&mut self, what: &str) {
        for round in 0.. {
            assert!(round < 20, "{what}: no end");
            let mut owed = 0;
            for (from, to) in self.links() {
                owed += self.replicas[from].pending(ReplicaId(to as u32)).edits;
                self.exchange(from, to);
            }
            if owed == 0 {
                break;
            }
        }
        let first = self.rendering(0);
        let fingerprint = self.replicas[0].fingerprint(PartitionId(0));
        for n in 0..self.replicas.len() {
            let shown = self.rendering(n);
            assert_eq!(shown, first, "{what}: replica {n} shows something else");
            assert_eq!(self.replicas[n].fingerprint(PartitionId(0)), fingerprint, "{what}");
            for (id, (cell, content)) in &self.puts {
                let visible = shown.get(*cell).is_some_and(|s| s.contents().any(|c| c == content));
                assert_eq!(self.believed[n].contains(id), visible, "{what}: {id} at {n}");
            }
            self.changes(n);
        }
        for (from, to) in self.links() {
            self.sync(from, to);
            assert!(!self.deliver(from, to), "{what}: {from} has nothing new for {to}");
            assert!(!self.replicas[from].pending(ReplicaId(to as u32)).exchange_open, "{what}");
        }
    }
}

#[test]
fn rivals_are_surfaced_and_an_answer_leaves_open_what_came_later() {
    let mut net = Net::mesh(&CLIENT_IDS, 3);
    let at = cell(0, REGISTER);
    let a = net.edit(0, &put(0, "a"));
    let b = net.edit(1, &put(0, "b"));
    let c = net.edit(2, &put(0, "c"));
    net.changes(0);
    net.exchange(1, 0);
    assert_eq!(net.shown(0, at), [register("b"), register("a")]);
    let conflict = Change::Conflicted { cell: at, edit: a, with: b };
    assert_eq!(net.changes(0), [Change::Applied { edit: b }, conflict]);
    let seen = net.marks(0, at);
    net.exchange(2, 0);
    let conflict = Change::Conflicted { cell: at, edit: b, with: c };
    assert_eq!(net.changes(0), [Change::Applied { edit: c }, conflict]);

    let answer = net.edit(0, &Edit::Resolve { cell: at, content: register("b"), seen });
    assert_eq!(net.shown(0, at), [register("b"), register("c")]);
    let replaced = Change::Replaced { edit: a, by: answer };
    let conflict = Change::Conflicted { cell: at, edit: c, with: answer };
    assert_eq!(net.changes(0), [replaced, conflict], "b is what the answer shows");
    net.settle("late arrival");
    let seen = net.marks(2, at);
    net.edit(2, &Edit::Resolve { cell: at, content: register("d"), seen });
    net.settle("all answered");
    assert_eq!(net.shown(0, at), [register("d")]);
}

#[test]
fn a_put_over_a_conflict_replaces_all_that_was_shown() {
    let mut net = Net::mesh(&CLIENT_IDS, 2);
    let (a, b) = (net.edit(0, &put(0, "a")), net.edit(1, &put(0, "b")));
    net.exchange(1, 0);
    net.changes(0);
    let c = net.edit(0, &put(0, "c"));
    let replaced = |edit| Change::Replaced { edit, by: c };
    assert_eq!(net.changes(0), [replaced(a), replaced(b)]);
    net.settle("replaced");
    assert_eq!(net.shown(1, cell(0, REGISTER)), [register("c")]);
}

#[test]
fn merging_never_asks_and_reports_the_loser() {
    let mut net = Net::mesh(&MERGE, 2);
    let at = cell(1, REGISTER);
    let (a, b) = (net.edit(0, &put(1, "a")), net.edit(1, &put(1, "b")));
    net.changes(0);
    net.changes(1);
    net.exchange(0, 1);
    assert_eq!(net.changes(1), [Change::Replaced { edit: a, by: b }], "it lost on arrival");
    net.exchange(1, 0);
    assert_eq!(net.changes(0), [Change::Applied { edit: b }, Change::Replaced { edit: a, by: b }]);
    net.settle("merged");
    assert_eq!(net.shown(0, at), [register("b")]);
}

#[test]
fn what_was_overwritten_before_it_was_sent_is_reported_as_applied_and_replaced() {
    for strategy in [&CLIENT_IDS, &MERGE] {
        let mut net = Net::mesh(strategy, 2);
        let (a, b) = (net.edit(0, &put(1, "a")), net.edit(0, &put(1, "b")));
        net.exchange(0, 1);
        let expected = [
            Change::Applied { edit: b },
            Change::Applied { edit: a },
            Change::Replaced { edit: a, by: b },
        ];
        assert_eq!(net.changes(1), expected);
    }
}

#[test]
fn a_delete_is_applied_once_and_a_concurrent_write_survives_it() {
    for strategy in [&CLIENT_IDS, &MERGE] {
        let mut net = Net::mesh(strategy, 3);
        let (a, x) = (net.edit(0, &put(1, "a")), net.edit(0, &insert(1, "x")));
        net.settle("before the delete");
        let b = net.edit(1, &put(1, "b"));
        let gone = net.edit(2, &Edit::Delete { record: RecordId(1) });
        assert_eq!(net.rendering(2).iter().filter(|(at, _)| at.record == RecordId(1)).count(), 0);
        net.changes(0);
        net.exchange(2, 0);
        let applied = Change::Applied { edit: gone };
        let replaced = |edit| Change::Replaced { edit, by: gone };
        assert_eq!(net.changes(0), [applied, replaced(a), replaced(x)]);
        net.exchange(1, 0);
        assert_eq!(net.changes(0), [Change::Applied { edit: b }]);
        net.settle("write beside delete");
        assert_eq!(net.shown(2, cell(1, REGISTER)), [register("b")]);
        assert_eq!(net.shown(2, cell(1, SET)), []);
        net.edit(0, &Edit::Delete { record: RecordId(1) });
        net.settle("deleted for good");
        assert_eq!(net.shown(1, cell(1, REGISTER)), []);
    }
}

#[test]
fn a_set_edited_while_it_is_deleted_comes_back_whole_and_says_so() {
    let mut net = Net::mesh(&CLIENT_IDS, 2);
    let x = net.edit(0, &insert(1, "x"));
    net.settle("before");
    let y = net.edit(1, &insert(1, "y"));
    let gone = net.edit(0, &Edit::Delete { record: RecordId(1) });
    net.changes(0);
    net.exchange(1, 0);
    let came = [Change::Applied { edit: x }, Change::Applied { edit: y }];
    let undone = Change::Replaced { edit: gone, by: y };
    assert_eq!(net.changes(0), [came[0], came[1], undone]);
    net.settle("after");
    assert_eq!(net.shown(0, cell(1, SET)).len(), 1);
}

#[test]
fn a_replica_without_its_memory_is_a_new_writer_and_is_told_everything() {
    let mut net = Net::new(&CLIENT_IDS, true, 3, Transport::Session);
    let early = net.saved(1);
    net.edit(1, &put(1, "mine"));
    net.edit(2, &put(2, "theirs"));
    net.settle("before the crash");
    net.incarnations[1] = 1;
    net.believed[1] = net.genesis.iter().map(|(id, _)| *id).collect();
    net.restart(1, &early);
    net.edit(1, &insert(1, "anew"));
    net.edit(1, &put(1, "again"));
    net.settle("after the crash");
    let rivals: BTreeSet<Content> = net.shown(2, cell(1, REGISTER)).into_iter().collect();
    assert_eq!(rivals, [register("mine"), register("again")].into());
    assert_eq!(net.shown(1, cell(2, REGISTER)), [register("theirs")]);
}

/// An edit that makes sense in the author's view.
fn random_edit(net: &Net, n: usize, rng: &mut ChaCha8Rng) -> Edit {
    let record = rng.random_range(0..2);
    let fresh = format!("w{} ", net.sequence);
    let rendering = net.rendering(n);
    let at = cell(record, FieldId(rng.random_range(0..4)));
    if let Some(Shown::Conflict(alternatives)) = rendering.get(at)
        && rng.random_bool(0.5)
    {
        let seen = alternatives.iter().map(|a| a.mark).filter(|_| rng.random_bool(0.8)).collect();
        let content = match alternatives[0].content {
            // A fresh value, so that puts stay recognisable.
            Content::Register(_) => register(&format!("r{}", net.sequence)),
            ref other => other.clone(),
        };
        return Edit::Resolve { cell: at, content, seen };
    }
    if rng.random_bool(0.08) {
        return Edit::Delete { record: RecordId(record) };
    }
    match at.field {
        REGISTER => put(record, &fresh),
        COUNTER => Edit::Add { cell: at, amount: rng.random_range(-3..=3) },
        SET if rng.random_bool(0.6) => insert(record, &fresh),
        SET => {
            let element = match rendering.get(at).map(Shown::first) {
                Some(Content::Set(elements)) => elements.first().cloned(),
                _ => None,
            };
            Edit::Remove { cell: at, element: element.unwrap_or("nothing".into()) }
        }
        TEXT => {
            let length = net.replicas[n].length(at);
            let position = rng.random_range(0..=length);
            let delete = rng.random_range(0..=(length - position).min(3));
            Edit::Splice { cell: at, at: position, delete, insert: fresh }
        }
        _ => unreachable!("four fields"),
    }
}

#[test]
fn everybody_ends_with_the_same_whatever_happens() {
    for seed in 0..480 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let strategy = ALL[(seed / 12) as usize % ALL.len()];
        let what = format!("seed {seed}, {}", strategy.name());
        let transport = if seed % 3 == 0 { Transport::Datagram } else { Transport::Session };
        let mut net = Net::new(strategy, seed % 4 < 2, 3, transport);
        net.what.clone_from(&what);
        let links = net.links();
        for _ in 0..120 {
            let (from, to) = links[rng.random_range(0..links.len())];
            match rng.random_range(0..12) {
                0..4 => {
                    let edit = random_edit(&net, from, &mut rng);
                    net.edit(from, &edit);
                }
                4..7 => net.sync(from, to),
                7..10 => {
                    net.deliver(from, to);
                }
                10 if transport == Transport::Datagram => {
                    let queue = net.queues.entry((from, to)).or_default();
                    if !queue.is_empty() {
                        let n = rng.random_range(0..queue.len());
                        let parcel = queue[n].clone();
                        match rng.random_range(0..3) {
                            0 => drop(queue.remove(n)),
                            1 => queue.push_back(parcel),
                            _ => queue.swap(0, n),
                        }
                    }
                }
                10 => net.lose(from, to),
                _ => {
                    let saved = net.saved(from);
                    net.restart(from, &saved);
                }
            }
            let conflicts = (0..3).any(|n| {
                net.rendering(n).iter().any(|(_, shown)| matches!(shown, Shown::Conflict(_)))
            });
            assert!(strategy.name() != MERGE.name() || !conflicts, "{what}");
        }
        net.settle(&what);
    }
}

#[test]
fn bytes_and_cargo_that_make_no_sense_do_no_harm() {
    for seed in 0..60 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let strategy = ALL[seed as usize % ALL.len()];
        let mut net = Net::new(strategy, seed % 8 < 4, 2, Transport::Session);
        for _ in 0..12 {
            let n = rng.random_range(0..2);
            let edit = random_edit(&net, n, &mut rng);
            net.edit(n, &edit);
            if rng.random_bool(0.2) {
                net.exchange(n, 1 - n);
            }
        }
        net.lose(0, 1);
        net.edit(0, &put(0, "last"));
        net.sync(0, 1);
        let (bytes, mut cargo) = net.queues[&(0, 1)][0].clone();
        let (saved, shown) = (net.saved(1), net.rendering(1));
        let from = ReplicaId(0);
        for _ in 0..100 {
            let mut bytes = bytes.clone();
            let at = rng.random_range(0..bytes.len());
            if rng.random_bool(0.3) {
                bytes.truncate(at);
            } else {
                bytes[at] ^= 1 << rng.random_range(0..8);
            }
            let mut victim = net.strategy.restore(&net.seat(1), &saved).expect("its own snapshot");
            let input = Input::Receive { from, bytes: &bytes, cargo: &cargo };
            let result = victim.handle(CLOCK, input, &mut Outbox::new());
            let mut after = Rendering::new();
            victim.render(Scope::All, &mut after);
            assert!(result.is_ok() || after == shown, "seed {seed}");
            let edit = &put(0, "more");
            let id = EditId { origin: ReplicaId(1), sequence: 1000 };
            let input = Input::Edit { id, edit };
            assert!(victim.handle(CLOCK, input, &mut Outbox::new()).is_ok(), "seed {seed}");
            let mut damaged = saved.clone();
            damaged[rng.random_range(0..saved.len())] ^= 1 << rng.random_range(0..8);
            if let Ok(mut victim) = net.strategy.restore(&net.seat(1), &damaged) {
                let input = Input::Sync { peer: from };
                assert!(victim.handle(CLOCK, input, &mut Outbox::new()).is_ok(), "seed {seed}");
            }
        }
        for ids in &mut cargo.ids {
            ids.count = rng.random();
            ids.element ^= rng.random_range(0..4);
            ids.first.sequence ^= rng.random::<u64>();
        }
        let mut straight = net.strategy.restore(&net.seat(1), &saved).expect("its own snapshot");
        let mut scrambled = net.strategy.restore(&net.seat(1), &saved).expect("its own snapshot");
        let none = Cargo::default();
        for (replica, cargo) in [(&mut straight, &none), (&mut scrambled, &cargo)] {
            let input = Input::Receive { from, bytes: &bytes, cargo };
            assert!(replica.handle(CLOCK, input, &mut Outbox::new()).is_ok(), "seed {seed}");
        }
        let prints = [&straight, &scrambled].map(|replica| replica.fingerprint(PartitionId(0)));
        assert_eq!(prints[0], prints[1], "seed {seed}: cargo reached the state");
    }
}
