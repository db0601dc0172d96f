//! The variants on small networks.

mod compaction;
mod races;
mod shown;

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
        let linked = |a: usize, b: usize| !star || a == 0 || b == 0;
        let mut net = Net::linked(strategy, count, transport, linked);
        net.authority = star.then_some(ReplicaId(0));
        net.replicas = (0..count).map(|n| strategy.create(&net.seat(n))).collect();
        net
    }

    /// Everybody with the one before and the one after.
    fn line(strategy: &'static VersionVector, count: usize) -> Self {
        Net::linked(strategy, count, Transport::Session, |a, b| a.abs_diff(b) == 1)
    }

    fn linked(
        strategy: &'static VersionVector,
        count: usize,
        transport: Transport,
        linked: impl Fn(usize, usize) -> bool,
    ) -> Self {
        let ids = |a: usize| {
            (0..count).filter(|b| a != *b && linked(a, *b)).map(|b| ReplicaId(b as u32)).collect()
        };
        let name = |sequence| EditId { origin: ReplicaId::GENESIS, sequence };
        let genesis = vec![(name(3), put(0, "g")), (name(4), insert(0, "g"))];
        let kinds = [FieldKind::Register, FieldKind::Counter, FieldKind::Set, FieldKind::Text];
        let mut net = Net {
            strategy,
            transport,
            peers: (0..count).map(ids).collect(),
            members: (0..count).map(|n| ReplicaId(n as u32)).collect(),
            authority: None,
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

    /// The membership service says something to everybody but the one it is about.
    fn seat_change(&mut self, change: SeatChange, about: usize) {
        for n in (0..self.replicas.len()).filter(|n| *n != about) {
            self.input(n, Input::Seat(change)).expect("no bytes");
        }
    }

    /// Everything that `from` owes to `to`, what was on its way between them, and the answers. Returns how many messages these were.
    fn exchange(&mut self, from: usize, to: usize) -> usize {
        self.sync(from, to);
        let mut count = 0;
        while self.deliver(from, to) || self.deliver(to, from) {
            count += 1;
        }
        count
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

    /// Exchanges over these links until nobody owes anything over them.
    fn exchange_all(&mut self, links: &[(usize, usize)]) {
        for round in 0.. {
            assert!(round < 20, "{}: no end", self.what);
            let mut came = 0;
            for (from, to) in links {
                let owed = self.replicas[*from].pending(ReplicaId(*to as u32)).edits;
                let count = self.exchange(*from, *to);
                assert!(owed == 0 || count > 0, "{}: {from} keeps it from {to}", self.what);
                came += count;
            }
            if came == 0 {
                break;
            }
        }
    }

    /// Exchanges until nobody owes anything, checks that all show the same and report it, and that one more round is silent.
    fn settle(&mut self, what: &str) {
        self.what = what.to_owned();
        self.exchange_all(&self.links());
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
