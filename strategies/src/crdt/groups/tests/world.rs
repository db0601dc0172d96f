//! A few replicas and what is in flight between them.

use super::*;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

const CLOCK: Clock = Clock { now: Tick(0), wall: WallTime(0) };

pub fn schema() -> Schema {
    use FieldKind::*;
    Schema::new(vec![Register, Counter, Set, Text])
}

pub fn cell(record: u32, field: u16) -> Cell {
    Cell { record: RecordId(record), field: FieldId(field) }
}

pub fn put(record: u32, value: &str) -> Edit {
    Edit::Put { cell: cell(record, 0), value: value.into() }
}

pub fn add(record: u32, amount: i64) -> Edit {
    Edit::Add { cell: cell(record, 1), amount }
}

pub fn insert(record: u32, element: &str) -> Edit {
    Edit::Insert { cell: cell(record, 2), element: element.into() }
}

pub fn remove(record: u32, element: &str) -> Edit {
    Edit::Remove { cell: cell(record, 2), element: element.into() }
}

pub fn edit_text(record: u32, at: usize, delete: usize, insert: &str) -> Edit {
    Edit::Splice { cell: cell(record, 3), at, delete, insert: insert.into() }
}

/// What every replica holds from the beginning.
pub fn genesis() -> Vec<(EditId, Edit)> {
    let base = |sequence| EditId { origin: ReplicaId::GENESIS, sequence };
    vec![
        (base(0), put(0, "from the start")),
        (base(1), add(0, 100)),
        (base(2), insert(0, "old")),
        (base(3), edit_text(0, 0, 0, "once upon a time")),
    ]
}

/// What the replicas of a world have between them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shape {
    Star,
    Mesh,
    Tree,
    Ring,
}

/// Messages in flight from one to another, the oldest first.
type Queue = VecDeque<(Vec<u8>, Cargo)>;

/// A replica as it was, and what it had reported by then.
pub type Memory = (Vec<u8>, BTreeSet<EditId>, BTreeSet<Cell>);

pub struct World {
    strategy: Groups,
    shape: Shape,
    transport: Transport,
    pub replicas: Vec<Box<dyn Replica>>,
    incarnations: Vec<u32>,
    pub links: BTreeMap<(usize, usize), Queue>,
    pub open: BTreeSet<(usize, usize)>,
    absent: Option<usize>,
    edits: u64,
    /// Elements sent.
    pub elements: u64,
    /// Messages that held a whole state.
    pub wholes: u64,
    made: BTreeMap<EditId, Edit>,
    /// The edits that each replica shows, going by its reports.
    reported: Vec<BTreeSet<EditId>>,
    conflicted: Vec<BTreeSet<Cell>>,
    changes: u64,
}

impl World {
    pub fn new(strategy: Groups, count: usize, shape: Shape, transport: Transport) -> Self {
        let start: BTreeSet<EditId> = genesis().into_iter().map(|(id, _)| id).collect();
        let mut world = World {
            strategy,
            shape,
            transport,
            replicas: Vec::new(),
            incarnations: vec![0; count],
            links: BTreeMap::new(),
            open: BTreeSet::new(),
            absent: None,
            edits: 0,
            elements: 0,
            wholes: 0,
            made: genesis().into_iter().collect(),
            reported: vec![start; count],
            conflicted: vec![BTreeSet::new(); count],
            changes: 0,
        };
        for me in 0..count {
            let replica = world.seated(me, |seat| strategy.create(seat));
            world.replicas.push(replica);
        }
        if transport == Transport::Datagram {
            world.open_all();
        }
        world
    }

    pub fn pairs(&self) -> Vec<(usize, usize)> {
        let count = self.incarnations.len();
        let all = (0..count).flat_map(|a| (a + 1..count).map(move |b| (a, b)));
        all.filter(|(a, b)| match self.shape {
            Shape::Star => *a == 0,
            Shape::Mesh => true,
            Shape::Tree => (b - 1) / 2 == *a,
            Shape::Ring => *b == a + 1 || *a == 0 && b + 1 == count,
        })
        .collect()
    }

    fn peers(&self, me: usize) -> Vec<ReplicaId> {
        let linked = |pair: &(usize, usize)| match *pair {
            (a, b) if a == me => Some(b),
            (a, b) if b == me => Some(a),
            _ => None,
        };
        let mut peers: Vec<_> = self.pairs().iter().filter_map(linked).collect();
        peers.sort_unstable();
        peers.into_iter().map(|peer| ReplicaId(peer as u32)).collect()
    }

    fn seated<R>(&self, me: usize, with: impl FnOnce(&Seat<'_>) -> R) -> R {
        with(&Seat {
            replica: ReplicaId(me as u32),
            peers: &self.peers(me),
            members: &(0..self.incarnations.len() as u32).map(ReplicaId).collect::<Vec<_>>(),
            partitions: Partitions::WHOLE,
            authority: (self.shape == Shape::Star).then_some(ReplicaId(0)),
            schema: &schema(),
            genesis: &genesis(),
            transport: self.transport,
            incarnation: self.incarnations[me],
        })
    }

    fn handle(&mut self, me: usize, input: Input<'_>) {
        let mut out = Outbox::new();
        self.replicas[me].handle(CLOCK, input, &mut out).expect("peers are honest");
        for output in out.outputs {
            match output {
                Output::Change(change) => {
                    self.changes += 1;
                    match change {
                        Change::Applied { edit } => {
                            let is_new = self.reported[me].insert(edit);
                            assert!(is_new, "{edit} is applied twice");
                        }
                        Change::Replaced { edit, .. } => drop(self.reported[me].remove(&edit)),
                        Change::Conflicted { cell, .. } => drop(self.conflicted[me].insert(cell)),
                        _ => {}
                    }
                }
                Output::Send { to, bytes, cargo } => {
                    assert_eq!(self.strategy.recode(&bytes).as_ref(), Ok(&bytes));
                    self.elements += cargo.elements;
                    self.wholes += u64::from(bytes[0] & 64 != 0);
                    let queue = self.links.entry((me, to.0 as usize)).or_default();
                    queue.push_back((bytes, cargo));
                }
            }
        }
    }

    pub fn edit(&mut self, me: usize, edit: Edit) {
        self.edits += 1;
        let id = EditId { origin: ReplicaId(me as u32), sequence: self.edits };
        self.reported[me].insert(id);
        self.made.insert(id, edit.clone());
        self.handle(me, Input::Edit { id, edit: &edit });
    }

    pub fn sync(&mut self, from: usize, to: usize) {
        if self.is_present(from) && self.is_present(to) {
            self.handle(from, Input::Sync { peer: ReplicaId(to as u32) });
        }
    }

    pub fn deliver(&mut self, from: usize, to: usize) -> bool {
        let next = self.links.get_mut(&(from, to)).and_then(VecDeque::pop_front);
        let Some((bytes, cargo)) = next else { return false };
        let from = ReplicaId(from as u32);
        self.handle(to, Input::Receive { from, bytes: &bytes, cargo: &cargo });
        true
    }

    /// A message arrives; datagrams may also be lost, doubled or overtaken.
    pub fn pass(&mut self, from: usize, to: usize, rng: &mut ChaCha8Rng) {
        let queue = self.links.entry((from, to)).or_default();
        if self.transport == Transport::Datagram && !queue.is_empty() {
            let at = rng.random_range(0..queue.len());
            match rng.random_range(0..5) {
                0 => return drop(queue.pop_front()),
                1 => queue.extend(queue.get(at).cloned()),
                2 => queue.swap(0, at),
                _ => {}
            }
        }
        self.deliver(from, to);
    }

    pub fn link(&mut self, (a, b): (usize, usize), state: LinkState) {
        if self.transport == Transport::Session {
            self.links.remove(&(a, b));
            self.links.remove(&(b, a));
        }
        match state {
            LinkState::Open => self.open.insert((a, b)),
            LinkState::Lost => self.open.remove(&(a, b)),
        };
        for (me, peer) in [(a, b), (b, a)] {
            self.handle(me, Input::Link { peer: ReplicaId(peer as u32), state });
        }
    }

    /// Opens what is closed, as the host does: the one that dialled speaks at once.
    fn open_all(&mut self) {
        for pair in self.pairs() {
            let present = self.is_present(pair.0) && self.is_present(pair.1);
            if present && !self.open.contains(&pair) {
                self.link(pair, LinkState::Open);
                self.sync(pair.0, pair.1);
            }
        }
    }

    pub fn drain(&mut self) {
        let mut budget = 10_000;
        while let Some((from, to)) =
            self.links.iter().find(|(_, queue)| !queue.is_empty()).map(|(link, _)| *link)
        {
            self.deliver(from, to);
            budget -= 1;
            assert!(budget > 0, "replies never end");
        }
    }

    /// Lets everybody speak who is owed something, until nobody is. Over datagrams everybody speaks once first, to whoever forgot something.
    pub fn settle(&mut self, label: &str) {
        self.drain();
        self.open_all();
        self.drain();
        for round in 0.. {
            let mut spoke = false;
            for (a, b) in self.pairs() {
                for (from, to) in [(a, b), (b, a)] {
                    let present = self.is_present(from) && self.is_present(to);
                    let pending = self.replicas[from].pending(ReplicaId(to as u32));
                    let owed = present && pending.edits > 0;
                    let repairs = self.transport == Transport::Datagram && round == 0;
                    if owed || repairs {
                        spoke = true;
                        self.sync(from, to);
                        self.drain();
                    }
                }
            }
            if !spoke {
                break;
            }
            assert!(round < 30, "{label}: somebody is owed something for ever");
        }
    }

    pub fn shown(&self, me: usize) -> Rendering {
        let mut rendering = Rendering::new();
        self.replicas[me].render(Scope::All, &mut rendering);
        rendering
    }

    /// Everybody shows the same, says so, owes nothing, and stays silent about it.
    pub fn assert_converged(&mut self, label: &str) {
        let (expected, changes) = (self.shown(0), self.changes);
        let fingerprint = self.replicas[0].fingerprint(PartitionId(0));
        for (me, replica) in self.replicas.iter().enumerate() {
            assert_eq!(self.shown(me), expected, "{label}: replica {me}");
            assert_eq!(replica.fingerprint(PartitionId(0)), fingerprint, "{label}: replica {me}");
        }
        for (a, b) in self.pairs() {
            for (from, to) in [(a, b), (b, a)] {
                self.sync(from, to);
                self.drain();
            }
        }
        assert_eq!(self.changes, changes, "{label}: silence");
        for (me, replica) in self.replicas.iter().enumerate() {
            assert_eq!(replica.fingerprint(PartitionId(0)), fingerprint, "{label}: replica {me}");
            for peer in self.peers(me) {
                assert_eq!(replica.pending(peer), Pending::default(), "{label}: {me} to {peer}");
            }
        }
    }

    /// Every conflict shown has been reported.
    pub fn assert_conflicts(&self, label: &str) {
        for (me, conflicted) in self.conflicted.iter().enumerate() {
            for (cell, shown) in self.shown(me).iter() {
                let is_told = !matches!(shown, Shown::Conflict(_)) || conflicted.contains(&cell);
                assert!(is_told, "{label}: {me} shows a conflict in {cell}");
            }
        }
    }

    /// What each replica shows of registers and counters is what its reports say.
    pub fn assert_reports(&self, label: &str) {
        for (me, reported) in self.reported.iter().enumerate() {
            let mut expected: BTreeMap<Cell, (BTreeSet<Content>, i64)> = BTreeMap::new();
            for edit in reported.iter().map(|id| &self.made[id]) {
                match edit {
                    Edit::Put { cell, value } => {
                        let content = Content::Register(Some(value.clone()));
                        expected.entry(*cell).or_default().0.insert(content);
                    }
                    Edit::Resolve { cell, content, .. } => {
                        expected.entry(*cell).or_default().0.insert(content.clone());
                    }
                    Edit::Add { cell, amount } => {
                        let sum = &mut expected.entry(*cell).or_default().1;
                        *sum = sum.wrapping_add(*amount);
                    }
                    _ => {}
                }
            }
            let shown = self.shown(me);
            for cell in (0..3).flat_map(|record| [cell(record, 0), cell(record, 1)]) {
                let (values, sum) = expected.remove(&cell).unwrap_or_default();
                let contents = shown.get(cell).into_iter().flat_map(Shown::contents).cloned();
                if cell.field == FieldId(0) {
                    assert_eq!(contents.collect::<BTreeSet<_>>(), values, "{label}: {me}, {cell}");
                } else {
                    let content = contents.last().unwrap_or(Content::Counter(0));
                    assert_eq!(content, Content::Counter(sum), "{label}: {me}, {cell}");
                }
            }
        }
    }

    pub fn snapshot(&self, me: usize) -> Memory {
        let mut saved = Vec::new();
        self.replicas[me].save(&mut saved);
        (saved, self.reported[me].clone(), self.conflicted[me].clone())
    }

    /// Starts a replica again from what it saves; or in its next life, from an older snapshot or from nothing.
    pub fn restart(&mut self, me: usize, next_life: Option<Option<Memory>>) {
        let memory = match next_life {
            None => Some(self.snapshot(me)),
            Some(memory) => {
                self.incarnations[me] += 1;
                memory
            }
        };
        let strategy = self.strategy;
        self.replicas[me] = match memory {
            Some((saved, reported, conflicted)) => {
                (self.reported[me], self.conflicted[me]) = (reported, conflicted);
                self.seated(me, |seat| strategy.restore(seat, &saved)).expect("its own bytes")
            }
            None => {
                self.reported[me] = genesis().into_iter().map(|(id, _)| id).collect();
                self.conflicted[me].clear();
                self.seated(me, |seat| strategy.create(seat))
            }
        };
        self.cut_off(me);
    }

    pub fn cut_off(&mut self, me: usize) {
        for pair in self.pairs() {
            if (pair.0 == me || pair.1 == me) && self.open.contains(&pair) {
                self.link(pair, LinkState::Lost);
            }
        }
    }

    pub fn is_present(&self, me: usize) -> bool {
        self.absent != Some(me)
    }

    pub fn absent(&self) -> Option<usize> {
        self.absent
    }

    /// A replica is away, and given up.
    pub fn gone(&mut self, me: usize) {
        self.cut_off(me);
        self.absent = Some(me);
        self.links.retain(|(from, to), _| *from != me && *to != me);
        self.tell(me, SeatChange::Gone { replica: ReplicaId(me as u32) });
    }

    /// It is back.
    pub fn back(&mut self, me: usize) {
        self.absent = None;
        self.tell(me, SeatChange::Back { replica: ReplicaId(me as u32) });
    }

    fn tell(&mut self, about: usize, change: SeatChange) {
        for me in (0..self.replicas.len()).filter(|me| *me != about) {
            self.handle(me, Input::Seat(change));
        }
    }

    pub fn random_edit(&mut self, rng: &mut ChaCha8Rng, me: usize) {
        let edit = random_edit(rng, &self.shown(me), self.edits);
        self.edit(me, edit);
    }

    /// The answer to a conflict, if there is one.
    pub fn answer(&self, me: usize, record: u32) -> Edit {
        answer(&self.shown(me), record)
    }
}

/// An edit of one of three records in view of what is shown.
pub fn random_edit(rng: &mut ChaCha8Rng, shown: &Rendering, serial: u64) -> Edit {
    let record = rng.random_range(0..3);
    let name = format!("v{serial}");
    let element = format!("e{}", rng.random_range(0..4));
    let length = shown.get(cell(record, 3)).map_or(0, |text| text.first().length());
    let at = rng.random_range(0..=length);
    match rng.random_range(0..16) {
        0..3 => put(record, &name),
        3..5 => add(record, rng.random_range(-9..10)),
        5..7 => insert(record, &element),
        7 => remove(record, &element),
        8..12 => edit_text(record, at, 0, ["x", "yö", "word"][rng.random_range(0..3)]),
        12..14 => edit_text(record, at, rng.random_range(0..6).min(length - at), "r"),
        14 => Edit::Delete { record: RecordId(record) },
        _ => answer(shown, record),
    }
}

fn answer(shown: &Rendering, record: u32) -> Edit {
    let cell = cell(record, 0);
    match shown.get(cell) {
        Some(Shown::Conflict(rivals)) => Edit::Resolve {
            cell,
            content: rivals[1].content.clone(),
            seen: rivals.iter().map(|rival| rival.mark).collect(),
        },
        _ => put(record, "nothing to answer"),
    }
}
