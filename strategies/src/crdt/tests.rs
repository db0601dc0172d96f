//! Whole replicas in small worlds: whatever is lost, doubled, reordered or restarted, all end with one document, and reports add up.

use super::Delta;
use super::message::{Body, read_message};
use crate::contract::*;
use crate::document::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

const CLOCK: Clock = Clock { now: Tick(0), wall: WallTime(0) };

fn schema() -> Schema {
    use FieldKind::*;
    Schema { fields: vec![Register, Counter, Set, Text] }
}

fn cell(record: u32, field: u16) -> Cell {
    Cell { record: RecordId(record), field: FieldId(field) }
}

fn put(record: u32, value: &str) -> Edit {
    Edit::Put { cell: cell(record, 0), value: value.into() }
}

fn add(record: u32, amount: i64) -> Edit {
    Edit::Add { cell: cell(record, 1), amount }
}

fn insert(record: u32, element: &str) -> Edit {
    Edit::Insert { cell: cell(record, 2), element: element.into() }
}

fn remove(record: u32, element: &str) -> Edit {
    Edit::Remove { cell: cell(record, 2), element: element.into() }
}

fn splice(record: u32, at: usize, delete: usize, insert: &str) -> Edit {
    Edit::Splice { cell: cell(record, 3), at, delete, insert: insert.into() }
}

fn delete(record: u32) -> Edit {
    Edit::Delete { record: RecordId(record) }
}

fn id(origin: u32, sequence: u64) -> EditId {
    EditId { origin: ReplicaId(origin), sequence }
}

/// What the replicas of a world have between them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Shape {
    /// Everybody talks to replica 0.
    Star,
    /// Everybody talks to everybody.
    Mesh,
}

type Message = (Vec<u8>, Cargo);

struct World {
    shape: Shape,
    transport: Transport,
    genesis: Vec<(EditId, Edit)>,
    replicas: Vec<Box<dyn Replica>>,
    incarnations: Vec<u32>,
    /// In flight from one to another.
    links: BTreeMap<(usize, usize), VecDeque<Message>>,
    open: BTreeSet<(usize, usize)>,
    edits: u64,
    /// Reports of each replica since they were last taken.
    changes: Vec<Vec<Change>>,
    messages: u64,
    scramble_ids: bool,
}

impl World {
    fn new(count: u32, shape: Shape, transport: Transport) -> Self {
        let base = |sequence| EditId { origin: ReplicaId::GENESIS, sequence };
        let genesis = vec![
            (base(0), put(0, "from the start")),
            (base(1), add(0, 100)),
            (base(2), insert(0, "old")),
            (base(3), splice(0, 0, 0, "once upon a time")),
        ];
        let mut world = World {
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
            scramble_ids: false,
        };
        for me in 0..count as usize {
            let replica = world.seated(me, |seat| Delta.create(seat));
            world.replicas.push(replica);
        }
        world
    }

    fn pairs(&self) -> Vec<(usize, usize)> {
        let count = self.changes.len();
        let all = (0..count).flat_map(|a| (a + 1..count).map(move |b| (a, b)));
        all.filter(|(a, _)| self.shape == Shape::Mesh || *a == 0).collect()
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
            authority: (self.shape == Shape::Star).then_some(ReplicaId(0)),
            schema: &schema(),
            genesis: &self.genesis,
            transport: self.transport,
            incarnation: self.incarnations[me],
        })
    }

    fn handle(&mut self, me: usize, input: Input<'_>) {
        let is_edit = matches!(input, Input::Edit { .. });
        let mut out = Outbox::new();
        self.replicas[me].handle(CLOCK, input, &mut out).expect("peers are honest");
        for output in out.outputs {
            match output {
                Output::Change(change) => self.changes[me].push(change),
                Output::Send { to, bytes, mut cargo } => {
                    assert!(!is_edit, "nothing is sent on an edit");
                    assert_eq!(Delta.recode(&bytes).as_ref(), Ok(&bytes));
                    self.messages += 1;
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

    fn edit(&mut self, me: usize, edit: Edit) -> EditId {
        self.edits += 1;
        let id = id(me as u32, self.edits);
        self.handle(me, Input::Edit { id, edit: &edit });
        id
    }

    fn sync(&mut self, from: usize, to: usize) {
        self.handle(from, Input::Sync { peer: ReplicaId(to as u32) });
    }

    fn deliver(&mut self, from: usize, to: usize) -> bool {
        let next = self.links.get_mut(&(from, to)).and_then(VecDeque::pop_front);
        let Some((bytes, cargo)) = next else { return false };
        let from = ReplicaId(from as u32);
        self.handle(to, Input::Receive { from, bytes: &bytes, cargo: &cargo });
        true
    }

    fn link(&mut self, (a, b): (usize, usize), state: LinkState) {
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
    fn open_all(&mut self) {
        for pair in self.pairs() {
            if !self.open.contains(&pair) {
                self.link(pair, LinkState::Open);
                self.sync(pair.1, pair.0);
            }
        }
    }

    fn drain(&mut self) {
        let mut budget = 10_000;
        while let Some((from, to)) =
            self.links.iter().find(|(_, queue)| !queue.is_empty()).map(|(link, _)| *link)
        {
            self.deliver(from, to);
            budget -= 1;
            assert!(budget > 0, "replies never end");
        }
    }

    /// Lets everybody speak who is owed something, until nobody is.
    fn settle(&mut self) {
        self.open_all();
        self.drain();
        for round in 0.. {
            let mut spoke = false;
            for (a, b) in self.pairs() {
                for (from, to) in [(a, b), (b, a)] {
                    if self.replicas[from].pending(ReplicaId(to as u32)).edits > 0 {
                        spoke = true;
                        self.sync(from, to);
                        self.drain();
                    }
                }
            }
            if !spoke {
                break;
            }
            assert!(round < 20, "somebody is owed something for ever");
        }
    }

    fn shown(&self, me: usize) -> Rendering {
        let mut rendering = Rendering::new();
        self.replicas[me].render(Scope::All, &mut rendering);
        rendering
    }

    /// Everybody shows the same, says so, owes nothing, and stays silent about it.
    fn assert_converged(&mut self, label: &str) {
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

    /// Stops a replica and starts it again from what it saves, or from an older snapshot, in its next life.
    fn restart(&mut self, me: usize, older: Option<&[u8]>) {
        let mut saved = Vec::new();
        self.replicas[me].save(&mut saved);
        self.incarnations[me] += u32::from(older.is_some());
        let saved = older.unwrap_or(&saved);
        let restored = self.seated(me, |seat| Delta.restore(seat, saved)).expect("its own bytes");
        self.replicas[me] = restored;
        for pair in self.pairs() {
            if (pair.0 == me || pair.1 == me) && self.open.contains(&pair) {
                self.link(pair, LinkState::Lost);
            }
        }
    }

    fn random_edit(&mut self, rng: &mut ChaCha8Rng, me: usize) -> EditId {
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
            8..13 => splice(record, at, 0, ["x", "yö", "word"][rng.random_range(0..3)]),
            13 => splice(record, at, rng.random_range(0..6), "r"),
            14 => delete(record),
            _ => self.answer(me, record),
        };
        self.edit(me, edit)
    }

    /// The answer to a conflict, if there is one.
    fn answer(&self, me: usize, record: u32) -> Edit {
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

#[test]
fn sessions_that_break_and_replicas_that_restart_end_in_one_document() {
    for seed in 0..120 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let shape = if seed % 2 == 0 { Shape::Star } else { Shape::Mesh };
        let mut world = World::new(rng.random_range(2..5), shape, Transport::Session);
        let count = world.replicas.len();
        for _ in 0..rng.random_range(20..150) {
            let pairs = world.pairs();
            let pair = pairs[rng.random_range(0..pairs.len())];
            let me = rng.random_range(0..count);
            match rng.random_range(0..20) {
                0..8 => {
                    world.random_edit(&mut rng, me);
                }
                8..14 => {
                    let (from, to) =
                        if rng.random_range(0..2) == 0 { pair } else { (pair.1, pair.0) };
                    world.deliver(from, to);
                }
                14..17 if world.open.contains(&pair) => {
                    let (from, to) =
                        if rng.random_range(0..2) == 0 { pair } else { (pair.1, pair.0) };
                    world.sync(from, to);
                }
                14..17 => {
                    world.link(pair, LinkState::Open);
                    world.sync(pair.1, pair.0);
                }
                17 if world.open.contains(&pair) => world.link(pair, LinkState::Lost),
                18 => world.restart(me, None),
                _ => {}
            }
        }
        world.settle();
        world.assert_converged(&format!("seed {seed}"));
    }
}

#[test]
fn datagrams_lost_doubled_and_reordered_end_in_one_document() {
    for seed in 0..120 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let shape = if seed % 2 == 0 { Shape::Star } else { Shape::Mesh };
        let mut world = World::new(rng.random_range(2..4), shape, Transport::Datagram);
        world.open_all();
        for _ in 0..rng.random_range(20..150) {
            let pairs = world.pairs();
            let pair = pairs[rng.random_range(0..pairs.len())];
            let (from, to) = if rng.random_range(0..2) == 0 { pair } else { (pair.1, pair.0) };
            let me = rng.random_range(0..world.replicas.len());
            match rng.random_range(0..10) {
                0..4 => {
                    world.random_edit(&mut rng, me);
                }
                4..6 => world.sync(from, to),
                _ => {
                    let queue = world.links.entry((from, to)).or_default();
                    let at = rng.random_range(0..=queue.len());
                    match rng.random_range(0..4) {
                        0 => drop(queue.pop_front()),
                        1 => queue.extend(queue.get(at).cloned()),
                        2 if at < queue.len() => queue.swap(0, at),
                        _ => drop(world.deliver(from, to)),
                    }
                }
            }
        }
        world.drain();
        world.settle();
        world.assert_converged(&format!("seed {seed}"));
    }
}

#[test]
fn ids_in_cargo_influence_nothing_but_reports() {
    for seed in 0..20 {
        let run = |scramble_ids| {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let mut world = World::new(3, Shape::Mesh, Transport::Session);
            world.scramble_ids = scramble_ids;
            world.open_all();
            for _ in 0..60 {
                let me = rng.random_range(0..3);
                world.random_edit(&mut rng, me);
                if rng.random_range(0..3) == 0 {
                    world.sync(me, (me + 1) % 3);
                }
                let link = (rng.random_range(0..3), rng.random_range(0..3));
                world.deliver(link.0, link.1);
            }
            world.settle();
            (world.shown(0), world.messages)
        };
        assert_eq!(run(false), run(true), "seed {seed}");
    }
}

#[test]
fn a_snapshot_has_the_same_future() {
    for seed in 0..40 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut world = World::new(3, Shape::Star, Transport::Session);
        world.open_all();
        for step in 0..80 {
            let me = rng.random_range(0..3);
            world.random_edit(&mut rng, me);
            if step % 3 == 0 {
                world.sync(me, if me == 0 { 1 } else { 0 });
            }
            world.deliver(me, 0);
            world.deliver(0, me);
            let mut saved = Vec::new();
            world.replicas[me].save(&mut saved);
            let restored = world.seated(me, |seat| Delta.restore(seat, &saved)).expect("own bytes");
            let mut again = Vec::new();
            restored.save(&mut again);
            assert_eq!(saved, again, "seed {seed}");
            assert_eq!(restored.footprint(), world.replicas[me].footprint(), "seed {seed}");
            let of = |replica: &dyn Replica| replica.fingerprint(PartitionId(0));
            assert_eq!(of(&*restored), of(&*world.replicas[me]), "seed {seed}");
            // From here on the restored one plays its part, without the others noticing.
            world.replicas[me] = restored;
            let cut = rng.random_range(0..saved.len());
            let mut bad = saved.clone();
            bad[cut] ^= 1 << rng.random_range(0..8);
            let _ = world.seated(me, |seat| Delta.restore(seat, &bad).map(drop));
            let cut = world.seated(me, |seat| Delta.restore(seat, &saved[..cut]).map(drop));
            assert!(cut.is_err(), "seed {seed}: a snapshot cut short");
        }
        world.settle();
        world.assert_converged(&format!("seed {seed}"));
    }
}

#[test]
fn a_replica_that_lost_its_memory_is_brought_up_to_date() {
    for seed in 0..60 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let shape = if seed % 2 == 0 { Shape::Star } else { Shape::Mesh };
        let mut world = World::new(3, shape, Transport::Session);
        let me = rng.random_range(0..3);
        let mut older = Vec::new();
        for step in 0..90 {
            let author = rng.random_range(0..3);
            world.random_edit(&mut rng, author);
            if step == 20 {
                world.replicas[me].save(&mut older);
            }
            if step == 40 || step == 60 {
                world.settle();
            }
            if step == 70 {
                world.restart(me, Some(&older));
            }
        }
        world.settle();
        world.assert_converged(&format!("seed {seed}, replica {me}"));
        assert!(world.edits == 90 && world.replicas[me].footprint().content_bytes > 0);
    }
}

#[test]
fn what_everybody_has_leaves_the_log() {
    let mut world = World::new(3, Shape::Star, Transport::Session);
    world.open_all();
    world.drain();
    let before = world.replicas[1].footprint().history_bytes;
    for n in 0..50 {
        world.edit(1, splice(1, n, 0, "k"));
        world.edit(2, put(1, "v"));
    }
    assert!(world.replicas[1].footprint().history_bytes > before);
    world.settle();
    for replica in &world.replicas {
        assert_eq!(replica.footprint().history_bytes, before);
    }
}

#[test]
fn rivals_are_shown_reported_and_answered() {
    let mut world = World::new(3, Shape::Star, Transport::Session);
    world.settle();
    let cell = cell(1, 0);
    let (a, b) = (world.edit(1, put(1, "a")), world.edit(2, put(1, "b")));
    world.settle();
    let Some(Shown::Conflict(rivals)) = world.shown(0).get(cell).cloned() else {
        panic!("two values put at the same time are rivals")
    };
    assert_eq!(rivals.len(), 2);
    assert!(world.changes[1].contains(&Change::Conflicted { cell, edit: a, with: b }));
    assert!(world.changes[2].contains(&Change::Conflicted { cell, edit: b, with: a }));
    // Somebody else adds a third one, which the answer does not name.
    let late = world.edit(0, put(1, "unseen"));
    let seen = rivals.iter().map(|rival| rival.mark).collect();
    let content = Content::Register(Some("both".into()));
    let answer = world.edit(1, Edit::Resolve { cell, content, seen });
    world.settle();
    let values: BTreeSet<_> = match world.shown(2).get(cell) {
        Some(Shown::Conflict(rivals)) => rivals.iter().map(|r| r.content.clone()).collect(),
        other => panic!("the late value stays open: {other:?}"),
    };
    let value = |text: &str| Content::Register(Some(text.into()));
    assert_eq!(values, BTreeSet::from([value("both"), value("unseen")]));
    for (edit, by) in [(a, answer), (b, answer)] {
        assert!(world.changes[1].contains(&Change::Replaced { edit, by }));
    }
    for edit in [a, b] {
        let gone = world.changes[2]
            .iter()
            .any(|change| matches!(change, Change::Replaced { edit: gone, .. } if *gone == edit));
        assert!(gone, "{edit} is not shown any more");
    }
    assert!(world.changes[0].contains(&Change::Conflicted { cell, edit: late, with: answer }));
    world.assert_converged("rivals");
}

#[test]
fn additions_win_and_deletes_take_what_was_seen() {
    let mut world = World::new(3, Shape::Mesh, Transport::Session);
    let seen = [put(1, "v"), add(1, 5), insert(1, "e"), insert(1, "f"), splice(1, 0, 0, "text")];
    let ids: Vec<_> = seen.into_iter().map(|edit| world.edit(0, edit)).collect();
    world.settle();
    world.changes.iter_mut().for_each(Vec::clear);
    let by = world.edit(1, delete(1));
    let removed = world.edit(2, remove(1, "f"));
    for edit in [insert(1, "e"), insert(1, "f"), add(1, 2), splice(1, 2, 0, "ns")] {
        world.edit(0, edit);
    }
    for edit in [ids[0], ids[1]] {
        assert!(world.changes[1].contains(&Change::Replaced { edit, by }));
    }
    world.settle();
    for (me, changes) in world.changes.iter().enumerate() {
        let applied = |edit| changes.contains(&Change::Applied { edit });
        assert_eq!(applied(by), me != 1);
        assert_eq!(applied(removed), me != 2);
        for edit in [ids[0], ids[1]] {
            assert!(changes.contains(&Change::Replaced { edit, by }), "at {me}");
        }
    }
    let shown = world.shown(2);
    let content = |field| shown.get(cell(1, field)).map(|shown| shown.first().clone());
    assert_eq!(content(0), None);
    assert_eq!(content(1), Some(Content::Counter(2)));
    assert_eq!(content(2), Some(Content::Set(["e".into(), "f".into()].into())));
    assert_eq!(content(3), Some(Content::Text("ns".into())));
    world.assert_converged("additions win");
}

#[test]
fn every_remote_edit_is_applied_once_and_genesis_is_replaced_by_name() {
    let mut world = World::new(3, Shape::Star, Transport::Session);
    world.open_all();
    let mut made = BTreeMap::new();
    for n in 0..40usize {
        let me = 1 + n % 2;
        let edit = match n % 5 {
            0 => put(0, &format!("v{n}")),
            1 => add(0, 1),
            2 => splice(0, 3, 2, "ab"),
            _ => splice(0, n, 0, "z"),
        };
        made.insert(world.edit(me, edit), me);
        if n % 7 == 0 {
            world.settle();
        }
    }
    world.settle();
    for (me, changes) in world.changes.iter().enumerate() {
        let mut applied = BTreeMap::new();
        for change in changes {
            if let Change::Applied { edit } = change {
                *applied.entry(*edit).or_insert(0) += 1;
            }
        }
        let remote = made.iter().filter(|(_, at)| **at != me).map(|(edit, _)| (*edit, 1));
        assert_eq!(applied, remote.collect::<BTreeMap<_, _>>(), "at {me}");
        let genesis = EditId { origin: ReplicaId::GENESIS, sequence: 0 };
        let replaced = |c: &Change| matches!(c, Change::Replaced { edit, .. } if *edit == genesis);
        assert_eq!(changes.iter().filter(|change| replaced(change)).count(), 1, "at {me}");
    }
}

#[test]
fn hostile_messages_change_nothing_when_refused() {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let mut world = World::new(2, Shape::Mesh, Transport::Session);
    world.open_all();
    world.drain();
    for n in 0..400 {
        world.random_edit(&mut rng, n % 2);
        if n % 3 > 0 {
            continue;
        }
        world.sync(n % 2, 1 - n % 2);
        let link = (n % 2, 1 - n % 2);
        let (bytes, cargo) = world.links[&link].front().cloned().expect("something to say");
        let to = link.1;
        let (mut victim, peer) = (Vec::new(), ReplicaId(link.0 as u32));
        world.replicas[to].save(&mut victim);
        for _ in 0..30 {
            let mut bad = bytes.clone();
            match rng.random_range(0..3) {
                0 => bad.truncate(rng.random_range(0..bytes.len())),
                1 => bad[rng.random_range(0..bytes.len())] = rng.random(),
                _ => bad.insert(rng.random_range(0..=bytes.len()), rng.random()),
            }
            let mut restored =
                world.seated(to, |seat| Delta.restore(seat, &victim)).expect("own bytes");
            let before = restored.fingerprint(PartitionId(0));
            let mut out = Outbox::new();
            let input = Input::Receive { from: peer, bytes: &bad, cargo: &cargo };
            if restored.handle(CLOCK, input, &mut out).is_err() {
                assert_eq!(restored.fingerprint(PartitionId(0)), before);
                assert!(out.outputs.is_empty());
            }
            restored.render(Scope::All, &mut Rendering::new());
            let _ = Delta.recode(&bad);
        }
        world.drain();
    }
    let stranger = Input::Receive { from: ReplicaId(9), bytes: &[1, 0], cargo: &Cargo::default() };
    assert!(world.replicas[0].handle(CLOCK, stranger, &mut Outbox::new()).is_err());
}

#[test]
fn typing_travels_as_one_run_and_deleting_as_one_span() {
    let mut world = World::new(2, Shape::Star, Transport::Session);
    world.settle();
    for (at, key) in "hello world".chars().enumerate() {
        world.edit(1, splice(2, at, 0, &key.to_string()));
    }
    for at in (5..11).rev() {
        world.edit(1, splice(2, at, 1, ""));
    }
    world.sync(1, 0);
    let (bytes, cargo) = world.links[&(1, 0)].front().cloned().expect("something to say");
    let Ok((_, Body::Deltas(deltas))) = read_message(&bytes) else { panic!("changes travel") };
    assert_eq!(deltas.len(), 2);
    assert_eq!((cargo.elements, cargo.content_bytes), (17, 11));
    assert_eq!(cargo.ids.iter().map(|ids| ids.count).sum::<u64>(), 17);
    assert!(bytes.len() < 40, "{} bytes", bytes.len());
    world.settle();
    assert_eq!(world.shown(0).get(cell(2, 3)).expect("text").first().length(), 5);
}

#[test]
fn one_user_sees_what_a_plain_document_shows() {
    for seed in 0..40 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut world = World::new(2, Shape::Mesh, Transport::Session);
        world.genesis.clear();
        world.replicas[0] = world.seated(0, |seat| Delta.create(seat));
        let mut expected: BTreeMap<Cell, Content> = BTreeMap::new();
        for n in 0..200u64 {
            let record = rng.random_range(0..2);
            let at = rng.random_range(0..12);
            let element = format!("e{}", rng.random_range(0..3));
            let resolve = |field, content| Edit::Resolve {
                cell: cell(record, field),
                content,
                seen: Vec::new(),
            };
            let edit = match rng.random_range(0..12) {
                0 => put(record, &format!("v{n}")),
                1 => add(record, rng.random()),
                2 => insert(record, &element),
                3 => remove(record, &element),
                4..9 => splice(record, at, rng.random_range(0..5), ["", "a", "ñ😀"][at % 3]),
                9 => delete(record),
                10 => resolve(3, Content::Text("answer".into())),
                _ => resolve(0, Content::Register((at > 5).then(|| "answer".into()))),
            };
            world.edit(0, edit.clone());
            for (cell, kind) in schema().cells(edit.record()) {
                let content = expected.entry(cell).or_insert_with(|| kind.empty());
                match edit {
                    Edit::Delete { .. } => *content = kind.empty(),
                    _ if edit.cell() == Some(cell) => content.apply(&edit),
                    _ => {}
                }
            }
            let mut rendering = Rendering::new();
            expected.iter().for_each(|(cell, content)| rendering.settled(*cell, content.clone()));
            assert_eq!(world.shown(0), rendering, "seed {seed}, edit {n}");
        }
    }
}
