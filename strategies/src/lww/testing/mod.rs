//! A small network of replicas for tests, and an audit of what the reports say against what is shown.

mod worlds;
pub(crate) use worlds::{
    hostile_bytes, hostile_snapshots, random_worlds, scrambled_ids, worlds_of_members,
};

use crate::contract::{
    Cargo, Change, Clock, Footprint, Input, Law, LinkState, Outbox, Output, Replica, Seat,
    SeatChange, Strategy, Tick, Transport, WallTime,
};
use crate::document::{
    Alternative, Cell, Content, Edit, EditId, FieldId, FieldKind, Mark, PartitionId, RecordId,
    Rendering, ReplicaId, Schema, Scope, Shown,
};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeMap, BTreeSet};

pub(crate) const REGISTER: u16 = 0;
pub(crate) const COUNTER: u16 = 1;
pub(crate) const SET: u16 = 2;
pub(crate) const TEXT: u16 = 3;
const RECORDS: u32 = 3;

pub(crate) fn cell(record: u32, field: u16) -> Cell {
    Cell { record: RecordId(record), field: FieldId(field) }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Topology {
    /// Replica 0 is the hub.
    Star,
    Mesh,
    /// Each with the one before and the one after.
    Ring,
    /// Replica *n* with 2*n* + 1 and 2*n* + 2.
    Tree,
}

impl Topology {
    fn links(self, a: usize, b: usize, count: usize) -> bool {
        let (low, high) = (a.min(b), a.max(b));
        a != b
            && match self {
                Topology::Star => low == 0,
                Topology::Mesh => true,
                Topology::Ring => high == low + 1 || low == 0 && high + 1 == count,
                Topology::Tree => (high - 1) / 2 == low,
            }
    }
}

/// The bytes, and what the sender counted.
type Message = (Vec<u8>, Cargo);

struct Node {
    replica: Box<dyn Replica>,
    peers: Vec<ReplicaId>,
    wall_offset_us: i64,
    /// Edits shown here, as far as reports say.
    shown: BTreeSet<EditId>,
}

pub(crate) struct Net {
    strategy: &'static dyn Strategy,
    topology: Topology,
    transport: Transport,
    schema: Schema,
    genesis: Vec<(EditId, Edit)>,
    nodes: Vec<Node>,
    /// Messages on their way, in order, by sender and receiver.
    flight: BTreeMap<(usize, usize), Vec<Message>>,
    open: BTreeSet<(usize, usize)>,
    pub edits: BTreeMap<EditId, Edit>,
    /// Every report so far, with who made it.
    pub reports: Vec<(usize, Change)>,
    /// Every message sent so far.
    pub sent: Vec<Vec<u8>>,
    /// What replaces the ids in cargos, where they are scrambled.
    scrambler: Option<ChaCha8Rng>,
    members: Vec<ReplicaId>,
    time_us: u64,
    next_sequence: u64,
}

impl Net {
    pub fn new(
        strategy: &'static dyn Strategy,
        topology: Topology,
        transport: Transport,
        replicas: usize,
    ) -> Self {
        Self::with_critical(strategy, topology, transport, replicas, &[])
    }

    /// A network in whose documents some fields are critical.
    pub fn with_critical(
        strategy: &'static dyn Strategy,
        topology: Topology,
        transport: Transport,
        replicas: usize,
        critical: &[u16],
    ) -> Self {
        let genesis_id = |sequence| EditId { origin: ReplicaId::GENESIS, sequence };
        let genesis = vec![
            (genesis_id(1), Edit::Put { cell: cell(0, REGISTER), value: "genesis".into() }),
            (genesis_id(2), Edit::Add { cell: cell(0, COUNTER), amount: 7 }),
            (genesis_id(3), Edit::Insert { cell: cell(0, SET), element: "<genesis>".into() }),
            (
                genesis_id(5),
                Edit::Splice { cell: cell(1, TEXT), at: 0, delete: 0, insert: "<g>".into() },
            ),
        ];
        let mut net = Net {
            strategy,
            topology,
            transport,
            schema: Schema {
                fields: vec![
                    FieldKind::Register,
                    FieldKind::Counter,
                    FieldKind::Set,
                    FieldKind::Text,
                ],
                critical: critical.iter().map(|field| FieldId(*field)).collect(),
            },
            edits: genesis.iter().cloned().collect(),
            genesis,
            nodes: Vec::new(),
            members: (0..replicas).map(|n| ReplicaId(n as u32)).collect(),
            flight: BTreeMap::new(),
            open: BTreeSet::new(),
            reports: Vec::new(),
            sent: Vec::new(),
            scrambler: None,
            time_us: 1_700_000_000_000_000,
            next_sequence: 0,
        };
        for n in 0..replicas {
            let peers: Vec<_> = (0..replicas)
                .filter(|m| topology.links(n, *m, replicas))
                .map(|m| ReplicaId(m as u32))
                .collect();
            let replica = strategy.create(&net.seat(n, &peers, 0));
            let shown = net.genesis.iter().map(|(id, _)| *id).collect();
            net.nodes.push(Node { replica, peers, wall_offset_us: 0, shown });
        }
        net
    }

    fn seat<'a>(&'a self, n: usize, peers: &'a [ReplicaId], incarnation: u32) -> Seat<'a> {
        Seat {
            replica: ReplicaId(n as u32),
            peers,
            members: &self.members,
            partitions: crate::Partitions::WHOLE,
            authority: (self.topology == Topology::Star).then_some(ReplicaId(0)),
            schema: &self.schema,
            genesis: &self.genesis,
            transport: self.transport,
            incarnation,
        }
    }

    fn delayed(&self) -> bool {
        self.strategy.profile().exceptions.iter().any(|(law, _)| *law == Law::LocalVisibility)
    }

    fn clock(&self, n: usize) -> Clock {
        let wall = self.time_us.saturating_add_signed(self.nodes[n].wall_offset_us);
        Clock { now: Tick(self.time_us * 1000), wall: WallTime(wall) }
    }

    fn handle(&mut self, n: usize, input: Input<'_>) -> Result<(), crate::Malformed> {
        let mut out = Outbox::new();
        let clock = self.clock(n);
        self.nodes[n].replica.handle(clock, input, &mut out)?;
        for output in out.outputs {
            match output {
                Output::Send { to, bytes, cargo } => {
                    assert!(!matches!(input, Input::Edit { .. }), "sent on Edit");
                    self.sent.push(bytes.clone());
                    let to = to.0 as usize;
                    if self.transport == Transport::Datagram || self.is_open(n, to) {
                        self.flight.entry((n, to)).or_default().push((bytes, cargo));
                    }
                }
                Output::Change(change) => {
                    self.reports.push((n, change));
                    let shown = &mut self.nodes[n].shown;
                    match change {
                        Change::Applied { edit } => drop(shown.insert(edit)),
                        Change::Replaced { edit, .. } => drop(shown.remove(&edit)),
                        Change::Refused { edit, .. } => {
                            assert!(!shown.contains(&edit), "{edit} was shown and refused");
                        }
                        _ => {}
                    }
                }
            }
        }
        Ok(())
    }

    pub fn edit(&mut self, n: usize, edit: Edit) -> EditId {
        self.time_us += 1;
        self.next_sequence += 1 + self.next_sequence % 2;
        let id = EditId { origin: ReplicaId(n as u32), sequence: self.next_sequence };
        if !self.delayed() {
            self.nodes[n].shown.insert(id);
        }
        self.edits.insert(id, edit.clone());
        self.handle(n, Input::Edit { id, edit: &edit }).expect("the edit fits");
        id
    }

    pub fn wait(&mut self, time_us: u64) {
        self.time_us += time_us;
    }

    pub fn put(&mut self, n: usize, record: u32, value: &str) -> EditId {
        self.edit(n, Edit::Put { cell: cell(record, REGISTER), value: value.into() })
    }

    pub fn splice(&mut self, n: usize, at: usize, delete: usize, insert: &str) -> EditId {
        let cell = cell(0, TEXT);
        self.edit(n, Edit::Splice { cell, at, delete, insert: insert.into() })
    }

    pub fn sync(&mut self, n: usize, peer: usize) {
        if self.transport == Transport::Datagram || self.is_open(n, peer) {
            let peer = ReplicaId(peer as u32);
            self.handle(n, Input::Sync { peer }).expect("only received bytes are malformed");
        }
    }

    pub fn pending(&self, n: usize, peer: usize) -> crate::Pending {
        self.nodes[n].replica.pending(ReplicaId(peer as u32))
    }

    pub fn in_flight(&self, from: usize, to: usize) -> usize {
        self.flight.get(&(from, to)).map_or(0, Vec::len)
    }

    /// Delivers the `at`-th message; it stays on its way where `keep` says so (a double).
    pub fn deliver(&mut self, from: usize, to: usize, at: usize, keep: bool) {
        self.time_us += 1000;
        let Some(queue) = self.flight.get_mut(&(from, to)).filter(|queue| at < queue.len()) else {
            return;
        };
        let (bytes, mut cargo) = if keep { queue[at].clone() } else { queue.remove(at) };
        if let Some(rng) = &mut self.scrambler {
            for ids in &mut cargo.ids {
                ids.element = rng.random_range(0..4);
                ids.first.sequence = rng.random_range(0..9);
                ids.count = rng.random_range(0..3);
            }
            cargo.ids.truncate(rng.random_range(0..8));
        }
        assert_eq!(self.strategy.recode(&bytes).as_ref(), Ok(&bytes), "round trip");
        let from = ReplicaId(from as u32);
        let input = Input::Receive { from, bytes: &bytes, cargo: &cargo };
        self.handle(to, input).expect("replicas understand each other");
    }

    pub fn drop_message(&mut self, from: usize, to: usize, at: usize) {
        if let Some(queue) = self.flight.get_mut(&(from, to)).filter(|queue| at < queue.len()) {
            queue.remove(at);
        }
    }

    fn is_open(&self, a: usize, b: usize) -> bool {
        self.open.contains(&(a.min(b), a.max(b)))
    }

    fn pairs(&self) -> Vec<(usize, usize)> {
        let of = |(n, node): (usize, &Node)| {
            node.peers.iter().map(move |m| (n, m.0 as usize)).collect::<Vec<_>>()
        };
        self.nodes.iter().enumerate().flat_map(of).collect()
    }

    /// Opens a session, where there is none; the side that dials is told to speak.
    pub fn open(&mut self, a: usize, b: usize) {
        if !self.open.insert((a.min(b), a.max(b))) {
            return;
        }
        self.link(a, b, LinkState::Open);
        let dialler = match self.topology {
            Topology::Star => a.max(b),
            _ => a.min(b),
        };
        self.sync(dialler, a + b - dialler);
    }

    pub fn lose(&mut self, a: usize, b: usize) {
        if self.open.remove(&(a.min(b), a.max(b))) {
            if self.transport == Transport::Session {
                self.flight.remove(&(a, b));
                self.flight.remove(&(b, a));
            }
            self.link(a, b, LinkState::Lost);
        }
    }

    fn link(&mut self, a: usize, b: usize, state: LinkState) {
        for (n, peer) in [(a, b), (b, a)] {
            let peer = ReplicaId(peer as u32);
            self.handle(n, Input::Link { peer, state }).expect("links are not malformed");
        }
    }

    pub fn saved(&self, n: usize) -> Vec<u8> {
        let mut saved = Vec::new();
        self.nodes[n].replica.save(&mut saved);
        saved
    }

    /// Restarts a replica from its snapshot.
    pub fn crash(&mut self, n: usize) {
        let saved = self.saved(n);
        self.restart(n, &saved, 0);
    }

    /// Restarts a replica from a snapshot that may be old.
    pub fn restart(&mut self, n: usize, saved: &[u8], incarnation: u32) {
        let peers = self.nodes[n].peers.clone();
        let replica = self.strategy.restore(&self.seat(n, &peers, incarnation), saved);
        self.nodes[n].replica = replica.expect("it was saved by the same strategy");
        if incarnation == 0 {
            assert_eq!(self.saved(n), saved, "what is restored saves the same");
        }
        for peer in peers {
            self.lose(n, peer.0 as usize);
            self.handle(n, Input::Link { peer, state: LinkState::Lost }).expect("as above");
        }
    }

    /// The membership service says to everybody else that a replica is gone, or back.
    pub fn member(&mut self, replica: usize, gone: bool) {
        let id = ReplicaId(replica as u32);
        let change = match gone {
            true => SeatChange::Gone { replica: id },
            false => SeatChange::Back { replica: id },
        };
        for n in (0..self.nodes.len()).filter(|n| *n != replica) {
            self.handle(n, Input::Seat(change)).expect("nothing was received");
        }
    }

    /// A replica loses all contact, and what was on its way is lost.
    pub fn isolate(&mut self, n: usize) {
        for peer in self.nodes[n].peers.clone() {
            let peer = peer.0 as usize;
            self.lose(n, peer);
            self.flight.remove(&(n, peer));
            self.flight.remove(&(peer, n));
        }
    }

    /// Everybody but one replica talks as a host lets them, until nothing is owed.
    pub fn settle_without(&mut self, away: usize) {
        let mut pairs = self.pairs();
        pairs.retain(|(a, b)| *a != away && *b != away);
        pairs.iter().for_each(|(a, b)| self.open(*a, *b));
        self.drain();
        for _ in 0..30 {
            let owing = pairs.iter().filter(|(n, m)| self.pending(*n, *m).edits > 0);
            let owing: Vec<_> = owing.copied().collect();
            owing.iter().for_each(|(n, m)| self.sync(*n, *m));
            self.drain();
            if owing.is_empty() {
                return;
            }
        }
        panic!("somebody is still owed something");
    }

    pub fn footprint(&self, n: usize) -> Footprint {
        self.nodes[n].replica.footprint()
    }

    pub fn shift_clock(&mut self, n: usize, offset_us: i64) {
        self.nodes[n].wall_offset_us = offset_us;
    }

    pub fn rendering(&self, n: usize) -> Rendering {
        let mut rendering = Rendering::new();
        self.nodes[n].replica.render(Scope::All, &mut rendering);
        rendering
    }

    pub fn shown(&self, n: usize, cell: Cell) -> Option<Content> {
        self.rendering(n).get(cell).map(|shown| shown.first().clone())
    }

    /// The alternatives of a register in conflict, the displayed one first; one where there is none.
    pub fn rivals(&self, n: usize, record: u32) -> Vec<Alternative> {
        match self.rendering(n).get(cell(record, REGISTER)) {
            Some(Shown::Conflict(alternatives)) => alternatives.clone(),
            Some(Shown::Settled(content)) => {
                vec![Alternative { mark: Mark(0), content: content.clone() }]
            }
            None => Vec::new(),
        }
    }

    pub fn text(&self, n: usize) -> String {
        match self.shown(n, cell(0, TEXT)) {
            Some(Content::Text(text)) => text,
            _ => String::new(),
        }
    }

    pub fn register(&self, n: usize, record: u32) -> Option<String> {
        match self.shown(n, cell(record, REGISTER)) {
            Some(Content::Register(Some(value))) => Some(value.as_str().to_owned()),
            _ => None,
        }
    }

    fn fingerprints(&self) -> Vec<u128> {
        self.nodes.iter().map(|node| node.replica.fingerprint(PartitionId(0))).collect()
    }

    /// Delivers everything that is on its way, and the answers to it.
    pub fn drain(&mut self) {
        for _ in 0..20 {
            let waiting: Vec<_> =
                self.flight.iter().filter(|(_, q)| !q.is_empty()).map(|(k, _)| *k).collect();
            if waiting.is_empty() {
                return;
            }
            for (from, to) in waiting {
                for _ in 0..self.in_flight(from, to) {
                    self.deliver(from, to, 0, false);
                }
            }
        }
        panic!("replies to replies to replies");
    }

    /// Heals all links and speaks as a host does: where something is pending. Then nothing must be left to say.
    pub fn settle(&mut self, label: &str) {
        for (a, b) in self.pairs() {
            self.open(a, b);
        }
        self.drain();
        let mut rounds = 0;
        loop {
            let owing: Vec<_> =
                self.pairs().into_iter().filter(|(n, m)| self.pending(*n, *m).edits > 0).collect();
            if owing.is_empty() {
                break;
            }
            rounds += 1;
            assert!(rounds < 30, "{label}: still pending: {owing:?}");
            owing.into_iter().for_each(|(n, m)| self.sync(n, m));
            self.drain();
        }
        let (reports, before) = (self.reports.len(), self.fingerprints());
        for (n, m) in self.pairs() {
            self.sync(n, m);
        }
        self.drain();
        assert_eq!(self.reports[reports..], [], "{label}: a round that should be silent");
        assert_eq!(self.fingerprints(), before, "{label}");
        for n in 1..self.nodes.len() {
            assert_eq!(self.rendering(n), self.rendering(0), "{label}: replica {n} and 0");
            assert_eq!(before[n], before[0], "{label}: fingerprint of {n} and 0");
        }
    }

    /// Whether everything that is shown is what the reports say is shown.
    pub fn audit(&self, label: &str) {
        for (n, node) in self.nodes.iter().enumerate() {
            let mut expected: BTreeMap<Cell, Content> = BTreeMap::new();
            let mut puts: BTreeSet<Cell> = BTreeSet::new();
            let mut texts: BTreeMap<Cell, usize> = BTreeMap::new();
            // Removals after insertions: elements are inserted once.
            let by_kind = |removals: bool| {
                node.shown.iter().filter_map(move |id| {
                    let edit = &self.edits[id];
                    (matches!(edit, Edit::Remove { .. }) == removals).then_some((id, edit))
                })
            };
            for (id, edit) in by_kind(false).chain(by_kind(true)) {
                let Some(cell) = edit.cell() else { continue };
                if let Edit::Put { .. } = edit {
                    assert!(puts.insert(cell), "{label}: {n} reports two values for {cell}: {id}");
                }
                if let Edit::Splice { insert, .. } = edit {
                    *texts.entry(cell).or_default() += insert.len();
                    let shown = self.shown(n, cell);
                    let Some(Content::Text(text)) = &shown else {
                        panic!("{label}: {n} reports {id}, but shows {shown:?}");
                    };
                    assert!(text.contains(insert.as_str()), "{label}: {n} reports {id}: {text}");
                    continue;
                }
                let kind = self.schema.kind(cell.field).expect("a known field");
                expected.entry(cell).or_insert_with(|| kind.empty()).apply(edit);
            }
            expected.retain(|_, content| !content.is_empty());
            for (cell, shown) in self.rendering(n).iter() {
                match shown.first() {
                    Content::Text(text) => {
                        assert_eq!(texts.get(&cell), Some(&text.len()), "{label}: {n} at {cell}");
                    }
                    content => {
                        let expected = expected.remove(&cell);
                        assert_eq!(expected.as_ref(), Some(content), "{label}: {n} at {cell}");
                    }
                }
            }
            assert_eq!(expected, BTreeMap::new(), "{label}: {n} reports what it does not show");
        }
    }
}
