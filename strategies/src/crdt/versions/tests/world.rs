//! A few replicas and what is in flight between them.

use crate::contract::*;
use crate::crdt::Crdt;
use crate::document::*;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

pub const CLOCK: Clock = Clock { now: Tick(0), wall: WallTime(0) };

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

pub fn delete(record: u32) -> Edit {
    Edit::Delete { record: RecordId(record) }
}

pub fn id(origin: u32, sequence: u64) -> EditId {
    EditId { origin: ReplicaId(origin), sequence }
}

/// What the replicas of a world have between them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shape {
    /// Everybody talks to replica 0.
    Star,
    /// Everybody talks to everybody.
    Mesh,
    /// Replica *n* talks to replicas 2*n* + 1 and 2*n* + 2.
    Tree,
}

pub type Message = (Vec<u8>, Cargo);

pub struct World {
    pub strategy: Crdt,
    pub shape: Shape,
    pub transport: Transport,
    pub genesis: Vec<(EditId, Edit)>,
    pub replicas: Vec<Box<dyn Replica>>,
    pub incarnations: Vec<u32>,
    /// In flight from one to another.
    pub links: BTreeMap<(usize, usize), VecDeque<Message>>,
    pub open: BTreeSet<(usize, usize)>,
    pub edits: u64,
    /// Reports of each replica since they were last taken.
    pub changes: Vec<Vec<Change>>,
    pub messages: u64,
    /// How many of them held a whole state.
    pub states: u64,
    /// Every put and addition that was made, genesis included.
    pub made: BTreeMap<EditId, Edit>,
    /// The edits that each replica shows, going by its reports.
    pub reported: Vec<BTreeSet<EditId>>,
    /// The cells in which each replica has reported a conflict.
    pub conflicted: Vec<BTreeSet<Cell>>,
    pub scramble_ids: bool,
    /// What a failure is told with.
    pub label: String,
    /// Bytes of all messages.
    pub bytes: u64,
}

impl World {
    pub fn new(strategy: Crdt, count: u32, shape: Shape, transport: Transport) -> Self {
        let base = |sequence| EditId { origin: ReplicaId::GENESIS, sequence };
        let genesis = vec![
            (base(0), put(0, "from the start")),
            (base(1), add(0, 100)),
            (base(2), insert(0, "old")),
            (base(3), edit_text(0, 0, 0, "once upon a time")),
        ];
        let mut world = World {
            strategy,
            shape,
            transport,
            genesis,
            replicas: Vec::new(),
            incarnations: vec![0; count as usize],
            links: BTreeMap::new(),
            open: BTreeSet::new(),
            edits: 0,
            changes: vec![Vec::new(); count as usize],
            messages: 0,
            states: 0,
            made: BTreeMap::new(),
            reported: vec![BTreeSet::new(); count as usize],
            conflicted: vec![BTreeSet::new(); count as usize],
            scramble_ids: false,
            label: String::new(),
            bytes: 0,
        };
        for me in 0..count as usize {
            let replica = world.seated(me, |seat| strategy.create(seat));
            world.replicas.push(replica);
            world.reported[me].extend(world.genesis.iter().map(|(id, _)| *id));
        }
        world.made.extend(world.genesis.iter().cloned());
        world
    }

    pub fn pairs(&self) -> Vec<(usize, usize)> {
        let count = self.changes.len();
        let all = (0..count).flat_map(|a| (a + 1..count).map(move |b| (a, b)));
        all.filter(|(a, b)| match self.shape {
            Shape::Star => *a == 0,
            Shape::Mesh => true,
            Shape::Tree => (b - 1) / 2 == *a,
        })
        .collect()
    }

    pub fn peers(&self, me: usize) -> Vec<ReplicaId> {
        let linked = |pair: &(usize, usize)| match *pair {
            (a, b) if a == me => Some(b),
            (a, b) if b == me => Some(a),
            _ => None,
        };
        let mut peers: Vec<_> = self.pairs().iter().filter_map(linked).collect();
        peers.sort_unstable();
        peers.into_iter().map(|peer| ReplicaId(peer as u32)).collect()
    }

    pub fn seated<R>(&self, me: usize, with: impl FnOnce(&Seat<'_>) -> R) -> R {
        with(&Seat {
            replica: ReplicaId(me as u32),
            peers: &self.peers(me),
            members: &(0..self.changes.len() as u32).map(ReplicaId).collect::<Vec<_>>(),
            partitions: Partitions::WHOLE,
            authority: (self.shape == Shape::Star).then_some(ReplicaId(0)),
            schema: &schema(),
            genesis: &self.genesis,
            transport: self.transport,
            incarnation: self.incarnations[me],
        })
    }

    pub fn handle(&mut self, me: usize, input: Input<'_>) {
        let is_edit = matches!(input, Input::Edit { .. });
        let mut out = Outbox::new();
        self.replicas[me]
            .handle(CLOCK, input, &mut out)
            .unwrap_or_else(|error| panic!("{}: peers are honest: {error}", self.label));
        for output in out.outputs {
            match output {
                Output::Change(change) => {
                    match change {
                        Change::Applied { edit } => drop(self.reported[me].insert(edit)),
                        Change::Replaced { edit, .. } => drop(self.reported[me].remove(&edit)),
                        Change::Conflicted { cell, .. } => {
                            self.conflicted[me].insert(cell);
                        }
                        _ => {}
                    }
                    self.changes[me].push(change);
                }
                Output::Send { to, bytes, mut cargo } => {
                    assert!(!is_edit, "nothing is sent on an edit");
                    assert_eq!(self.strategy.recode(&bytes).as_ref(), Ok(&bytes));
                    self.messages += 1;
                    self.bytes += bytes.len() as u64;
                    self.states += u64::from(bytes[0] & 32 != 0);
                    if self.scramble_ids {
                        cargo.ids.reverse();
                        cargo.ids.truncate(cargo.ids.len() / 2);
                        for ids in &mut cargo.ids {
                            ids.first.sequence ^= 5;
                        }
                    }
                    let link = (me, to.0 as usize);
                    self.links.entry(link).or_default().push_back((bytes, cargo));
                }
            }
        }
    }

    pub fn edit(&mut self, me: usize, edit: Edit) -> EditId {
        self.edits += 1;
        let id = id(me as u32, self.edits);
        self.reported[me].insert(id);
        self.made.insert(id, edit.clone());
        self.handle(me, Input::Edit { id, edit: &edit });
        id
    }

    pub fn sync(&mut self, from: usize, to: usize) {
        self.handle(from, Input::Sync { peer: ReplicaId(to as u32) });
    }

    pub fn deliver(&mut self, from: usize, to: usize) -> bool {
        let next = self.links.get_mut(&(from, to)).and_then(VecDeque::pop_front);
        let Some((bytes, cargo)) = next else { return false };
        let from = ReplicaId(from as u32);
        self.handle(to, Input::Receive { from, bytes: &bytes, cargo: &cargo });
        true
    }

    pub fn link(&mut self, (a, b): (usize, usize), state: LinkState) {
        self.links.remove(&(a, b));
        self.links.remove(&(b, a));
        if state == LinkState::Open {
            self.open.insert((a, b))
        } else {
            self.open.remove(&(a, b))
        };
        for (me, peer) in [(a, b), (b, a)] {
            self.handle(me, Input::Link { peer: ReplicaId(peer as u32), state });
        }
    }

    /// Opens what is closed, as the host does: the one that dialled speaks at once.
    pub fn open_all(&mut self) {
        self.open_all_but(None);
    }

    fn open_all_but(&mut self, away: Option<usize>) {
        for pair in self.pairs() {
            let is_here = away.is_none_or(|me| pair.0 != me && pair.1 != me);
            if is_here && !self.open.contains(&pair) {
                self.link(pair, LinkState::Open);
                self.sync(pair.1, pair.0);
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
            assert!(budget > 0, "{}: replies never end", self.label);
        }
    }

    /// Lets everybody speak who is owed something, until nobody is.
    pub fn settle(&mut self) {
        self.settle_but(None);
    }

    /// The same while somebody is away.
    pub fn settle_but(&mut self, away: Option<usize>) {
        self.open_all_but(away);
        self.drain();
        for round in 0.. {
            let mut spoke = false;
            for (a, b) in self.pairs() {
                for (from, to) in [(a, b), (b, a)] {
                    let is_here = away.is_none_or(|me| from != me && to != me);
                    if is_here && self.replicas[from].pending(ReplicaId(to as u32)).edits > 0 {
                        spoke = true;
                        self.sync(from, to);
                        self.drain();
                    }
                }
            }
            if !spoke {
                break;
            }
            if round >= 20 {
                let owed = self.pairs().into_iter().flat_map(|(a, b)| [(a, b), (b, a)]);
                let owed = owed.map(|(a, b)| (a, b, self.replicas[a].pending(ReplicaId(b as u32))));
                let owed: Vec<_> = owed.filter(|(_, _, pending)| pending.edits > 0).collect();
                panic!("{}: somebody is owed something for ever: {owed:?}", self.label);
            }
        }
    }

    pub fn shown(&self, me: usize) -> Rendering {
        let mut rendering = Rendering::new();
        self.replicas[me].render(Scope::All, &mut rendering);
        rendering
    }

    /// Everybody shows the same, says so, owes nothing, and stays silent about it.
    pub fn assert_converged(&mut self, label: &str) {
        let expected = self.shown(0);
        let fingerprint = self.replicas[0].fingerprint(PartitionId(0));
        for changes in &mut self.changes {
            changes.clear();
        }
        for (a, b) in self.pairs() {
            for (from, to) in [(a, b), (b, a)] {
                self.sync(from, to);
                self.drain();
            }
        }
        for (me, replica) in self.replicas.iter().enumerate() {
            assert_eq!(self.shown(me), expected, "{label}: replica {me}");
            assert_eq!(replica.fingerprint(PartitionId(0)), fingerprint, "{label}: replica {me}");
            assert_eq!(self.changes[me], [], "{label}: replica {me}");
            for peer in self.peers(me) {
                let pending = replica.pending(peer);
                assert_eq!(pending, Pending::default(), "{label}: {me} to {peer}");
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

    /// Starts a replica again that forgot everything, in its next life.
    pub fn forget(&mut self, me: usize) {
        self.incarnations[me] += 1;
        self.replicas[me] = self.seated(me, |seat| self.strategy.create(seat));
        self.cut_off(me);
    }

    fn cut_off(&mut self, me: usize) {
        for pair in self.pairs() {
            if (pair.0 == me || pair.1 == me) && self.open.contains(&pair) {
                self.link(pair, LinkState::Lost);
            }
        }
    }

    /// Stops a replica and starts it again from what it saves, or from an older snapshot, in its next life.
    pub fn restart(&mut self, me: usize, older: Option<&[u8]>) {
        let mut saved = Vec::new();
        self.replicas[me].save(&mut saved);
        self.incarnations[me] += u32::from(older.is_some());
        let saved = older.unwrap_or(&saved);
        let restored =
            self.seated(me, |seat| self.strategy.restore(seat, saved)).expect("its own bytes");
        self.replicas[me] = restored;
        self.cut_off(me);
    }

    pub fn random_edit(&mut self, rng: &mut ChaCha8Rng, me: usize) -> EditId {
        let record = rng.random_range(0..3);
        let name = format!("v{}", self.edits);
        let element = format!("e{}", rng.random_range(0..4));
        let length = self.replicas[me].length(cell(record, 3));
        let at = rng.random_range(0..=length);
        let edit = match rng.random_range(0..16) {
            0..3 => put(record, &name),
            3..5 => add(record, rng.random_range(-9..10)),
            5..7 => insert(record, &element),
            7 => remove(record, &element),
            8..13 => edit_text(record, at, 0, ["x", "yö", "word"][rng.random_range(0..3)]),
            13 => edit_text(record, at, rng.random_range(0..6), "r"),
            14 => delete(record),
            _ => self.answer(me, record),
        };
        self.edit(me, edit)
    }

    /// The answer to a conflict, if there is one.
    pub fn answer(&self, me: usize, record: u32) -> Edit {
        let cell = cell(record, 0);
        match self.shown(me).get(cell) {
            Some(Shown::Conflict(rivals)) => Edit::Resolve {
                cell,
                content: rivals[1].content.clone(),
                seen: rivals.iter().map(|rival| rival.mark).collect(),
            },
            _ => put(record, "nothing to answer"),
        }
    }
}
