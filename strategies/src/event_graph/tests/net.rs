//! A network of replicas over sessions, every one of which is open unless a test closes it.

use crate::event_graph::EventGraph;
use crate::*;
use std::collections::{BTreeMap, VecDeque};

pub const CLOCK: Clock = Clock { now: Tick(0), wall: WallTime(0) };
pub const REGISTER: Cell = Cell { record: RecordId(0), field: FieldId(0) };
pub const COUNTER: Cell = Cell { record: RecordId(0), field: FieldId(1) };
pub const SET: Cell = Cell { record: RecordId(0), field: FieldId(2) };
pub const TEXT: Cell = Cell { record: RecordId(0), field: FieldId(3) };

pub struct Net {
    pub replicas: Vec<Box<dyn Replica>>,
    /// All links there are, and those that are open.
    all: Vec<(usize, usize)>,
    links: Vec<(usize, usize)>,
    authority: Option<usize>,
    /// Changes that each replica reported.
    pub changes: Vec<Vec<Change>>,
    pub work_units: u64,
    sequence: u64,
}

pub fn id(n: usize) -> ReplicaId {
    ReplicaId(n as u32)
}

impl Net {
    /// So many replicas with these links, all of which are open.
    pub fn new(count: usize, links: &[(usize, usize)], authority: Option<usize>) -> Self {
        let mut net = Net {
            replicas: Vec::new(),
            all: links.to_vec(),
            links: Vec::new(),
            authority,
            changes: vec![Vec::new(); count],
            work_units: 0,
            sequence: 0,
        };
        net.replicas = (0..count).map(|n| net.seated(n, |seat| EventGraph.create(seat))).collect();
        for (a, b) in links {
            net.open(*a, *b);
        }
        net
    }

    fn seated<R>(&self, n: usize, with: impl FnOnce(&Seat<'_>) -> R) -> R {
        let peers = self.all.iter().filter_map(|(a, b)| match n {
            n if n == *a => Some(id(*b)),
            n if n == *b => Some(id(*a)),
            _ => None,
        });
        let mut peers: Vec<ReplicaId> = peers.collect();
        peers.sort();
        with(&Seat {
            replica: id(n),
            peers: &peers,
            members: &(0..self.changes.len()).map(id).collect::<Vec<_>>(),
            partitions: Partitions::WHOLE,
            authority: self.authority.map(id),
            schema: &schema(),
            genesis: &[],
            transport: Transport::Session,
            incarnation: 0,
        })
    }

    /// Puts a replica that was read from the snapshot of another one in its place.
    pub fn reread(&mut self, n: usize, label: &str) {
        let mut saved = Vec::new();
        self.replicas[n].save(&mut saved);
        let copy = self.seated(n, |seat| EventGraph.restore(seat, &saved));
        let copy = copy.unwrap_or_else(|e| panic!("{label}: {n} cannot read its snapshot: {e}"));
        self.replicas[n] = copy;
        let mut again = Vec::new();
        self.replicas[n].save(&mut again);
        assert!(again == saved, "{label}: the snapshot of {n} is another one when it was read");
    }

    /// Replica 0 is the hub of all others.
    pub fn star(count: usize) -> Self {
        let links: Vec<_> = (1..count).map(|n| (n, 0)).collect();
        Net::new(count, &links, Some(0))
    }

    /// Everybody is linked with everybody.
    pub fn mesh(count: usize) -> Self {
        let links: Vec<_> = (0..count).flat_map(|a| (a + 1..count).map(move |b| (a, b))).collect();
        Net::new(count, &links, None)
    }

    pub fn open(&mut self, a: usize, b: usize) {
        self.links.push((a, b));
        for (n, peer) in [(a, b), (b, a)] {
            self.handle(n, Input::Link { peer: id(peer), state: LinkState::Open });
        }
        self.sync(a, b);
    }

    pub fn close(&mut self, a: usize, b: usize) {
        self.links.retain(|ends| *ends != (a, b));
        for (n, peer) in [(a, b), (b, a)] {
            self.handle(n, Input::Link { peer: id(peer), state: LinkState::Lost });
        }
    }

    /// Says to some replicas that the membership changed.
    pub fn seat(&mut self, to: &[usize], change: SeatChange) {
        for n in to {
            self.handle(*n, Input::Seat(change));
        }
    }

    pub fn edit(&mut self, n: usize, edit: Edit) -> EditId {
        self.sequence += 1;
        let id = EditId { origin: id(n), sequence: self.sequence };
        let sent = self.handle(n, Input::Edit { id, edit: &edit });
        assert!(sent.is_empty(), "nothing is sent on an edit");
        id
    }

    pub fn splice(&mut self, n: usize, at: usize, delete: usize, insert: &str) -> EditId {
        self.edit(n, Edit::Splice { cell: TEXT, at, delete, insert: insert.to_owned() })
    }

    fn handle(&mut self, n: usize, input: Input<'_>) -> Vec<(usize, Vec<u8>, Cargo)> {
        let mut out = Outbox::new();
        self.replicas[n].handle(CLOCK, input, &mut out).expect("honest peers");
        self.work_units += out.work_units;
        let mut sent = Vec::new();
        for output in out.outputs {
            match output {
                Output::Send { to, bytes, cargo } => sent.push((to.0 as usize, bytes, cargo)),
                Output::Change(change) => self.changes[n].push(change),
            }
        }
        sent
    }

    /// Lets one speak to another, until both are silent.
    pub fn sync(&mut self, from: usize, to: usize) {
        let first = self.handle(from, Input::Sync { peer: id(to) });
        let mut queue: VecDeque<_> = first.into_iter().map(|message| (from, message)).collect();
        let mut messages = 0;
        while let Some((from, (to, bytes, cargo))) = queue.pop_front() {
            messages += 1;
            assert!(messages < 20, "an exchange that does not end");
            let from = id(from);
            let replies = self.handle(to, Input::Receive { from, bytes: &bytes, cargo: &cargo });
            queue.extend(replies.into_iter().map(|message| (to, message)));
        }
    }

    /// Everybody pays what is owed over open links, until nobody owes anything.
    pub fn settle(&mut self) {
        for _ in 0..50 {
            let links = self.links.clone();
            let ends = links.into_iter().flat_map(|(a, b)| [(a, b), (b, a)]);
            let owed: Vec<_> =
                ends.filter(|(a, b)| self.replicas[*a].pending(id(*b)).edits > 0).collect();
            if owed.is_empty() {
                return;
            }
            owed.into_iter().for_each(|(a, b)| self.sync(a, b));
        }
        panic!("somebody is still owed something");
    }

    pub fn rendering(&self, n: usize) -> Rendering {
        let mut rendering = Rendering::new();
        self.replicas[n].render(Scope::All, &mut rendering);
        rendering
    }

    pub fn text(&self, n: usize) -> String {
        match self.rendering(n).get(TEXT) {
            Some(Shown::Settled(Content::Text(text))) => text.clone(),
            None => String::new(),
            other => panic!("not a text: {other:?}"),
        }
    }

    pub fn assert_agreement(&self, when: &str) {
        for n in 1..self.replicas.len() {
            assert_eq!(self.rendering(n), self.rendering(0), "replica {n}, {when}");
        }
    }

    /// How often a replica reported each edit as applied.
    pub fn applied(&self, n: usize) -> BTreeMap<EditId, usize> {
        let mut applied = BTreeMap::new();
        for change in &self.changes[n] {
            if let Change::Applied { edit } = change {
                *applied.entry(*edit).or_default() += 1;
            }
        }
        applied
    }
}

pub fn schema() -> Schema {
    use FieldKind::*;
    Schema::new(vec![Register, Counter, Set, Text])
}
