//! Tests of the strategy as a whole.

use super::RevisionTree;
use super::message::Message;
use crate::contract::*;
use crate::document::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const KINDS: [FieldKind; 4] =
    [FieldKind::Register, FieldKind::Counter, FieldKind::Set, FieldKind::Text];

/// Replicas that all talk to each other over sessions.
struct World {
    strategy: RevisionTree,
    schema: Schema,
    members: Vec<ReplicaId>,
    genesis: Vec<(EditId, Edit)>,
    replicas: Vec<Box<dyn Replica>>,
    sequence: u64,
    changes: Vec<(usize, Change)>,
    sent: Vec<Message>,
}

impl World {
    fn new(revs_limit: usize, count: u32) -> Self {
        let genesis = put(0, "genesis");
        let id = EditId { origin: ReplicaId::GENESIS, sequence: 0 };
        let mut world = World {
            strategy: RevisionTree::with_limit(revs_limit),
            schema: Schema::new(KINDS.to_vec()),
            members: (0..count).map(ReplicaId).collect(),
            genesis: vec![(id, genesis)],
            replicas: Vec::new(),
            sequence: 0,
            changes: Vec::new(),
            sent: Vec::new(),
        };
        world.replicas = (0..count as usize).map(|n| world.create(n, 0)).collect();
        world
    }

    fn seated<T>(&self, n: usize, incarnation: u32, then: impl FnOnce(&Seat<'_>) -> T) -> T {
        let own = self.members[n];
        let peers: Vec<ReplicaId> =
            self.members.iter().copied().filter(|member| *member != own).collect();
        then(&Seat {
            replica: own,
            peers: &peers,
            members: &self.members,
            partitions: Partitions::WHOLE,
            authority: None,
            schema: &self.schema,
            genesis: &self.genesis,
            transport: Transport::Session,
            incarnation,
        })
    }

    fn create(&self, n: usize, incarnation: u32) -> Box<dyn Replica> {
        self.seated(n, incarnation, |seat| self.strategy.create(seat))
    }

    fn restart(&mut self, n: usize, saved: &[u8], incarnation: u32) {
        let restored = self.seated(n, incarnation, |seat| self.strategy.restore(seat, saved));
        self.replicas[n] = restored.expect("its own snapshot");
    }

    fn saved(&self, n: usize) -> Vec<u8> {
        let mut saved = Vec::new();
        self.replicas[n].save(&mut saved);
        saved
    }

    fn handle(&mut self, n: usize, input: Input<'_>) -> Vec<(usize, Vec<u8>, Cargo)> {
        let mut out = Outbox::new();
        let clock = Clock { now: Tick(0), wall: WallTime(0) };
        self.replicas[n].handle(clock, input, &mut out).expect("well-formed");
        let mut sent = Vec::new();
        for output in out.outputs {
            match output {
                Output::Change(change) => self.changes.push((n, change)),
                Output::Send { to, bytes, cargo } => {
                    self.sent.push(Message::decode(&bytes).expect("well-formed"));
                    sent.push((to.0 as usize, bytes, cargo));
                }
            }
        }
        sent
    }

    fn edit(&mut self, n: usize, edit: Edit) -> EditId {
        self.sequence += 1;
        let id = EditId { origin: self.members[n], sequence: self.sequence };
        self.handle(n, Input::Edit { id, edit: &edit });
        id
    }

    fn link(&mut self, a: usize, b: usize, state: LinkState) {
        for (n, peer) in [(a, b), (b, a)] {
            self.handle(n, Input::Link { peer: self.members[peer], state });
        }
    }

    /// One replica says what it has to say to another one, and at most so many messages arrive.
    fn sync(&mut self, n: usize, peer: usize, most: usize) {
        let mut under_way: std::collections::VecDeque<_> = self
            .handle(n, Input::Sync { peer: self.members[peer] })
            .into_iter()
            .map(|message| (n, message))
            .collect();
        for _ in 0..most {
            let Some((from, (to, bytes, cargo))) = under_way.pop_front() else { return };
            let from_id = self.members[from];
            let answers =
                self.handle(to, Input::Receive { from: from_id, bytes: &bytes, cargo: &cargo });
            under_way.extend(answers.into_iter().map(|message| (to, message)));
        }
    }

    /// A session in which both say all they have to say.
    fn meet(&mut self, a: usize, b: usize) {
        self.link(a, b, LinkState::Open);
        // Twice, since it may turn out that the other one lacks something.
        for (from, to) in [(a, b), (b, a), (a, b)] {
            self.sync(from, to, usize::MAX);
        }
        self.link(a, b, LinkState::Lost);
    }

    fn meet_all(&mut self) {
        for _ in 0..4 {
            for a in 0..self.replicas.len() {
                (a + 1..self.replicas.len()).for_each(|b| self.meet(a, b));
            }
        }
    }

    fn seat_change(&mut self, tell: &[usize], change: SeatChange) {
        tell.iter().for_each(|n| drop(self.handle(*n, Input::Seat(change))));
    }

    fn shown(&self, n: usize) -> Rendering {
        let mut rendering = Rendering::new();
        self.replicas[n].render(Scope::All, &mut rendering);
        rendering
    }

    fn cell(&self, n: usize, cell: Cell) -> Option<Shown> {
        self.shown(n).get(cell).cloned()
    }

    fn agree(&self, context: &str) {
        for n in 1..self.replicas.len() {
            assert_eq!(self.shown(0), self.shown(n), "{context}");
        }
    }

    fn documents(&self) -> Vec<usize> {
        let count = |message: &Message| match message {
            Message::Documents { leaves, .. } => Some(leaves.len()),
            _ => None,
        };
        self.sent.iter().filter_map(count).collect()
    }
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

fn settled(value: &str) -> Option<Shown> {
    Some(Shown::Settled(Content::Register(Some(value.into()))))
}

#[test]
fn the_winner_has_more_generations_whatever_comes_first() {
    for order in [[0, 1], [1, 0]] {
        let mut world = World::new(1000, 3);
        world.edit(0, put(0, "short"));
        world.edit(1, put(0, "long"));
        world.edit(1, put(0, "longer"));
        order.into_iter().for_each(|n| world.meet(n, 2));
        let shown = world.cell(2, cell(0, 0)).expect("a conflict");
        assert_eq!(*shown.first(), Content::Register(Some("longer".into())), "{order:?}");
        assert_eq!(shown.contents().count(), 2, "the other one is kept");
        world.edit(2, Edit::Delete { record: RecordId(0) });
        world.edit(0, put(0, "late"));
        world.meet_all();
        world.agree("after a delete");
        assert_eq!(world.cell(0, cell(0, 0)), settled("late"), "a deleted leaf never wins");
    }
}

#[test]
fn equal_edits_of_equal_parents_are_one_revision() {
    let mut world = World::new(1000, 2);
    let first = world.edit(0, add(0, 5));
    let second = world.edit(1, add(0, 5));
    world.meet(0, 1);
    for n in 0..2 {
        assert_eq!(world.cell(n, cell(0, 1)), Some(Shown::Settled(Content::Counter(5))));
    }
    assert!(world.documents().is_empty(), "nothing is missing");
    let replaced = |edit, by| Change::Replaced { edit, by };
    assert!(world.changes.contains(&(0, replaced(second, first))), "{:?}", world.changes);
    assert!(world.changes.contains(&(1, replaced(first, second))), "{:?}", world.changes);
    let changes = world.changes.len();
    world.meet(0, 1);
    assert_eq!(world.changes.len(), changes, "it is said once");
}

#[test]
fn changes_travel_in_batches_of_100() {
    let mut world = World::new(1000, 2);
    for record in 0..250 {
        world.edit(0, put(record, "new"));
    }
    world.meet(0, 1);
    assert_eq!(world.documents(), [100, 100, 50]);
    world.agree("after three batches");
    world.meet(0, 1);
    assert_eq!(world.documents().len(), 3, "once is enough");
}

#[test]
fn replication_resumes_at_its_checkpoint() {
    let mut world = World::new(1000, 2);
    for record in 0..250 {
        world.edit(0, put(record, "new"));
    }
    world.link(0, 1, LinkState::Open);
    // Two greetings; changes, what is missing, documents; and what confirms them is lost.
    world.sync(0, 1, 5);
    assert_eq!(world.documents(), [100]);
    world.link(0, 1, LinkState::Lost);
    assert_eq!(world.replicas[0].pending(ReplicaId(1)).edits, 250);
    let saved = [world.saved(0), world.saved(1)];
    saved.iter().enumerate().for_each(|(n, saved)| world.restart(n, saved, 0));
    // The target speaks first, and says how far it is.
    world.link(0, 1, LinkState::Open);
    world.sync(1, 0, usize::MAX);
    assert_eq!(world.replicas[0].pending(ReplicaId(1)).edits, 150);
    world.sync(0, 1, usize::MAX);
    assert_eq!(world.documents(), [100, 100, 50]);
    world.agree("after a lost session and a restart");
}

#[test]
fn a_replica_without_its_memory_is_told_all_again() {
    let mut world = World::new(1000, 2);
    let saved = world.saved(1);
    for record in 0..120 {
        world.edit(0, put(record, "new"));
    }
    world.edit(1, put(500, "own"));
    world.meet(0, 1);
    world.restart(1, &saved, 1);
    assert_ne!(world.shown(0), world.shown(1));
    world.meet(0, 1);
    world.agree("what it had said came back too");
    world.edit(1, put(500, "later"));
    world.meet(0, 1);
    assert_eq!(world.cell(0, cell(500, 0)), settled("later"));
}

/// That a replica once told something does not mean that it has it.
#[test]
fn whoever_forgot_what_it_told_is_told_it() {
    let mut world = World::new(1000, 2);
    world.edit(0, put(1, "known"));
    world.meet(0, 1);
    let saved = world.saved(1);
    world.edit(1, put(2, "told and forgotten"));
    world.meet(0, 1);
    world.restart(1, &saved, 1);
    assert_eq!(world.cell(1, cell(2, 0)), None);
    world.meet(0, 1);
    world.agree("what it had forgotten came back");
    assert_eq!(world.cell(1, cell(2, 0)), settled("told and forgotten"));
}

/// What a source goes on with is no proof of what was confirmed and then forgotten.
#[test]
fn whoever_forgot_what_it_confirmed_does_not_skip_it() {
    let mut world = World::new(1000, 2);
    let saved = world.saved(1);
    world.edit(0, put(1, "confirmed and forgotten"));
    world.meet(0, 1);
    world.restart(1, &saved, 1);
    world.edit(0, put(2, "new"));
    // A greeting, changes, and what is missing of them; the greeting that says what was forgotten is lost.
    world.link(0, 1, LinkState::Open);
    let told = world.handle(0, Input::Sync { peer: ReplicaId(1) });
    let (_, changes, cargo) = told.last().expect("there is news");
    let diff =
        world.handle(1, Input::Receive { from: ReplicaId(0), bytes: changes, cargo }).remove(0);
    let asked = Input::Receive { from: ReplicaId(1), bytes: &diff.1, cargo: &diff.2 };
    let documents = world.handle(0, asked).remove(0);
    let stored = Input::Receive { from: ReplicaId(0), bytes: &documents.1, cargo: &documents.2 };
    world.handle(1, stored);
    assert_eq!(world.cell(1, cell(2, 0)), settled("new"));
    world.link(0, 1, LinkState::Lost);
    world.meet(0, 1);
    world.agree("what it had forgotten came back");
}

#[test]
fn an_answer_settles_the_record_and_deletes_the_losers() {
    let mut world = World::new(1000, 2);
    for n in 0..2 {
        world.edit(n, put(0, ["left", "right"][n]));
        world.edit(n, add(0, 1 + n as i64));
    }
    world.meet_all();
    let seen = |world: &World, n: usize, field| match world.cell(n, cell(0, field)) {
        Some(Shown::Conflict(alternatives)) => {
            alternatives.iter().map(|alternative| alternative.mark).collect()
        }
        other => panic!("no conflict in field {field}: {other:?}"),
    };
    // Both answer at the same time, again and again: there are never more rivals than users.
    for round in 0..10 {
        for n in 0..2 {
            let content = Content::Register(Some(format!("both {n} {round}").into()));
            let seen = seen(&world, n, 0);
            world.edit(n, Edit::Resolve { cell: cell(0, 0), content, seen });
        }
        world.meet_all();
        world.agree("after two answers");
        let shown = world.cell(0, cell(0, 0)).expect("something");
        assert_eq!(shown.contents().count(), 2, "round {round}");
    }
    let content = Content::Register(Some("settled".into()));
    let seen = seen(&world, 0, 0);
    world.edit(0, Edit::Resolve { cell: cell(0, 0), content: content.clone(), seen });
    world.meet_all();
    world.agree("after an answer");
    assert_eq!(world.cell(1, cell(0, 0)), Some(Shown::Settled(content)));
    assert!(matches!(world.cell(1, cell(0, 1)), Some(Shown::Settled(Content::Counter(_)))));
}

#[test]
fn what_is_kept_of_the_past_stays_within_the_limit() {
    let mut world = World::new(8, 2);
    let mut totals = Vec::new();
    for round in 0..6 {
        for n in 0..40 {
            world.edit(n % 2, put(0, "same length"));
            world.meet(0, 1);
        }
        totals.push(world.replicas[0].footprint().total());
        assert!(totals.iter().all(|total| *total == totals[0]), "round {round}: {totals:?}");
    }
}

#[test]
fn a_returning_replica_beyond_the_limit_finds_a_false_conflict_and_nothing_is_lost() {
    let mut world = World::new(4, 3);
    for n in 0..20 {
        world.edit(0, put(0, &format!("v{n}")));
    }
    world.meet_all();
    world.agree("after 20 generations");
    let shown = world.cell(1, cell(0, 0)).expect("something");
    assert_eq!(*shown.first(), Content::Register(Some("v19".into())));
    assert_eq!(shown.contents().count(), 2, "the genesis is an ancestor that nobody remembers");
}

#[test]
fn whoever_meets_whom_all_show_the_same_in_the_end() {
    for seed in 0..150 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut world = World::new(rng.random_range(2..5), 4);
        for step in 0..rng.random_range(5..80) {
            let n = rng.random_range(0..4);
            let record = rng.random_range(0..2);
            match rng.random_range(0..10) {
                0..4 => {
                    world.edit(n, put(record, &format!("v{step}")));
                }
                4 => {
                    world.edit(n, add(record, 1));
                }
                5 => {
                    world.edit(n, Edit::Delete { record: RecordId(record) });
                }
                6 => world.restart(n, &world.saved(n), 0),
                _ => world.meet(n, (n + rng.random_range(1..4)) % 4),
            }
        }
        world.meet_all();
        world.agree(&format!("seed {seed}"));
    }
}

#[test]
fn records_that_everybody_knows_to_be_deleted_go() {
    let mut world = World::new(1000, 3);
    for record in 0..20 {
        world.edit(0, put(record, "short-lived"));
    }
    world.meet_all();
    for record in 0..20 {
        world.edit(1, Edit::Delete { record: RecordId(record) });
    }
    world.meet(0, 1);
    assert!(world.replicas[0].footprint().total() > 0, "one has not heard of it");
    world.meet_all();
    for n in 0..3 {
        assert_eq!(world.replicas[n].footprint(), Footprint::default(), "replica {n}");
    }
    // A record may begin again.
    world.edit(2, put(3, "again"));
    world.meet_all();
    world.agree("after a new beginning");
    assert_eq!(world.cell(0, cell(3, 0)), settled("again"));
}

#[test]
fn a_replica_that_was_gone_keeps_its_own_edits_and_brings_nothing_back_that_was_deleted() {
    let mut world = World::new(1000, 3);
    for record in 0..150 {
        world.edit(0, put(record, "old"));
    }
    world.meet_all();
    world.edit(2, put(7, "own"));
    world.edit(2, put(900, "own too"));
    world.seat_change(&[0, 1], SeatChange::Gone { replica: ReplicaId(2) });
    let deleted: Vec<EditId> =
        (0..140).map(|r| world.edit(0, Edit::Delete { record: RecordId(r) })).collect();
    world.edit(1, put(145, "newer"));
    for _ in 0..4 {
        world.meet(0, 1);
    }
    assert!(world.cell(0, cell(145, 0)).is_some());
    assert_eq!(world.replicas[0].footprint().total(), world.replicas[1].footprint().total());
    assert_eq!(world.replicas[0].footprint().content_bytes, 9 * 3 + 5, "the others are purged");
    world.seat_change(&[0, 1, 2], SeatChange::Back { replica: ReplicaId(2) });
    assert!(world.replicas[2].pending(ReplicaId(0)).edits > 0, "it has to ask");
    world.meet(0, 2);
    assert_eq!(world.cell(2, cell(8, 0)), None, "it was purged");
    let gone = |(n, change): &(usize, Change)| {
        *n == 2 && matches!(change, Change::Replaced { by, .. } if *by == deleted[8])
    };
    assert!(world.changes.iter().any(gone), "and that is reported");
    world.meet_all();
    world.agree("after the return");
    for (record, value) in [(7, "own"), (900, "own too"), (145, "newer"), (149, "old")] {
        assert_eq!(world.cell(1, cell(record, 0)), settled(value));
    }
    assert_eq!(world.shown(1).iter().count(), 10 + 2);
}

#[test]
fn what_has_a_wrong_name_or_was_not_told_is_refused() {
    let mut world = World::new(4, 2);
    for n in 0..6 {
        world.edit(0, put(0, &format!("v{n}")));
    }
    world.meet(0, 1);
    let documents = world.sent.iter().find(|sent| matches!(sent, Message::Documents { .. }));
    let Some(Message::Documents { number, leaves }) = documents.cloned() else {
        panic!("no documents were sent");
    };
    let before = world.shown(1);
    let mut receive = |message: Message| {
        let mut out = Outbox::new();
        let (bytes, cargo) = (message.encode(), Cargo::default());
        let clock = Clock { now: Tick(0), wall: WallTime(0) };
        let input = Input::Receive { from: ReplicaId(0), bytes: &bytes, cargo: &cargo };
        world.replicas[1].handle(clock, input, &mut out).is_err()
    };
    let tampered = |change: &dyn Fn(&mut super::leaf::Leaf)| {
        let mut leaves = leaves.clone();
        change(&mut leaves[0].1);
        Message::Documents { number, leaves }
    };
    assert!(!receive(tampered(&|_| {})), "what comes late is passed over");
    let content = Content::Register(Some("forged".into()));
    assert!(receive(tampered(&|leaf| leaf.set(FieldId(0), content.clone()))));
    assert!(receive(tampered(&|leaf| leaf.set(FieldId(1), content.clone()))), "another kind");
    assert!(receive(tampered(&|leaf| leaf.set(FieldId(9), content.clone()))), "no such field");
    assert!(receive(tampered(&|leaf| leaf.empty())), "a forged tombstone");
    let id = EditId { origin: ReplicaId(0), sequence: 1 };
    assert!(receive(tampered(&|leaf| leaf.commit(9, id))), "too many ancestors");
    assert_eq!(world.shown(1), before);
}
