//! What replicas keep under steady editing: edits of one kind that leave the document as large as it is, round after round, with
//! everything told to everybody in between. Where an algorithm allows it, that takes no more room in round 40 than in round 20. Where it
//! does not, the table [`GROWING`] says so, with the reason and the bytes an edit leaves behind; and whoever grows no more must be taken
//! out of it.
//!
//! `cargo test -p reconverge-strategies --test footprint -- --nocapture` prints the slopes of all.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use reconverge_strategies::*;
use std::collections::VecDeque;

const ROUNDS: usize = 40;

/// Edits of each writer in a round.
const EDITS: usize = 24;

/// Characters of the text that is edited, but for what comes from others meanwhile.
const TEXT_CHARS: usize = 80;

/// Rounds over which the largest footprint is taken, before [`ROUNDS`] and before half of that: what is let go now and then is measured
/// at its height.
const WINDOW: usize = 10;

/// A slope that is none: the larger one of this share of the footprint between the windows, and so many bytes for a replica.
const FLAT_SHARE: f64 = 0.08;
const FLAT_BYTES: f64 = 400.0;

const SCHEMA: [FieldKind; 4] =
    [FieldKind::Register, FieldKind::Counter, FieldKind::Set, FieldKind::Text];

/// Who talks to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// A hub, which does not write, and two clients.
    Star,
    /// Four in a ring, all of whom write.
    Ring,
}

impl Shape {
    fn count(self) -> usize {
        if self == Shape::Star { 3 } else { 4 }
    }

    /// Pairs, the dialling side first.
    fn links(self) -> Vec<(usize, usize)> {
        match self {
            Shape::Star => vec![(1, 0), (2, 0)],
            Shape::Ring => vec![(0, 1), (1, 2), (2, 3), (0, 3)],
        }
    }

    fn peers(self, me: usize) -> Vec<ReplicaId> {
        let other = |(a, b): (usize, usize)| match me {
            _ if me == a => Some(b),
            _ if me == b => Some(a),
            _ => None,
        };
        let mut peers: Vec<usize> = self.links().into_iter().filter_map(other).collect();
        peers.sort_unstable();
        peers.into_iter().map(|peer| ReplicaId(peer as u32)).collect()
    }

    fn writers(self) -> std::ops::Range<usize> {
        if self == Shape::Star { 1..3 } else { 0..4 }
    }
}

/// What is edited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    Register,
    Counter,
    Set,
    Text,
    Records,
}

const WORKS: [Work; 5] = [Work::Register, Work::Counter, Work::Set, Work::Text, Work::Records];

impl Work {
    fn is_supported(self, profile: &Profile) -> bool {
        let fields = match self {
            Work::Register => vec![FieldKind::Register],
            Work::Counter => vec![FieldKind::Counter],
            Work::Set => vec![FieldKind::Set],
            Work::Text => vec![FieldKind::Text],
            Work::Records => vec![FieldKind::Register, FieldKind::Set],
        };
        fields.into_iter().all(|kind| profile.field(kind).unsupported().is_none())
    }

    /// The next edit of a writer.
    fn edit(self, world: &World, me: usize, n: usize, rng: &mut ChaCha8Rng) -> Edit {
        let cell = |record, field| Cell { record: RecordId(record), field: FieldId(field) };
        let few = rng.random_range(0..4);
        let word = |n: usize| Value::from(format!("{:05}", n % 100_000));
        match self {
            Work::Register => Edit::Put { cell: cell(few, 0), value: word(n * 7 + me) },
            Work::Counter => Edit::Add { cell: cell(few, 1), amount: 1 - 2 * (n as i64 % 2) },
            Work::Set => {
                let (cell, element) = (cell(0, 2), word(few as usize));
                match n % 2 {
                    0 => Edit::Insert { cell, element },
                    _ => Edit::Remove { cell, element },
                }
            }
            Work::Text => {
                let cell = cell(0, 3);
                let length = world.replicas[me].length(cell);
                let at = rng.random_range(0..=length.min(TEXT_CHARS));
                let delete = length.saturating_sub(TEXT_CHARS);
                Edit::Splice { cell, at, delete, insert: "edit".into() }
            }
            Work::Records => match n % 4 {
                0 => Edit::Delete { record: RecordId(few) },
                1 => Edit::Insert { cell: cell(few, 2), element: word(me) },
                _ => Edit::Put { cell: cell(few, 0), value: word(n * 7 + me) },
            },
        }
    }
}

struct World {
    shape: Shape,
    replicas: Vec<Box<dyn Replica>>,
    parcels: VecDeque<(usize, usize, Vec<u8>, Cargo)>,
    elapsed_us: u64,
    sequences: Vec<u64>,
}

impl World {
    fn new(strategy: &dyn Strategy, shape: Shape) -> Self {
        let members: Vec<ReplicaId> = (0..shape.count() as u32).map(ReplicaId).collect();
        let replicas = members.iter().map(|me| {
            strategy.create(&Seat {
                replica: *me,
                peers: &shape.peers(me.0 as usize),
                members: &members,
                partitions: Partitions::WHOLE,
                authority: (shape == Shape::Star).then_some(ReplicaId(0)),
                schema: &Schema::new(SCHEMA.to_vec()),
                genesis: &[],
                transport: Transport::Session,
                incarnation: 0,
            })
        });
        let (parcels, sequences) = (VecDeque::new(), vec![0; shape.count()]);
        let mut world =
            World { shape, replicas: replicas.collect(), parcels, elapsed_us: 0, sequences };
        for (dialler, other) in shape.links() {
            for (me, peer) in [(dialler, other), (other, dialler)] {
                let peer = ReplicaId(peer as u32);
                world.handle(me, Input::Link { peer, state: LinkState::Open });
            }
            world.sync(dialler, other);
        }
        world
    }

    fn handle(&mut self, me: usize, input: Input<'_>) {
        self.elapsed_us += 1000;
        let clock = Clock {
            now: Tick(self.elapsed_us * 1000),
            wall: WallTime(1_700_000_000_000_000 + self.elapsed_us),
        };
        let mut out = Outbox::new();
        self.replicas[me].handle(clock, input, &mut out).expect("replicas are honest");
        for output in out.outputs {
            if let Output::Send { to, bytes, cargo } = output {
                self.parcels.push_back((me, to.0 as usize, bytes, cargo));
            }
        }
    }

    fn sync(&mut self, me: usize, peer: usize) {
        self.handle(me, Input::Sync { peer: ReplicaId(peer as u32) });
        self.deliver();
    }

    fn deliver(&mut self) {
        while let Some((from, to, bytes, cargo)) = self.parcels.pop_front() {
            let from = ReplicaId(from as u32);
            self.handle(to, Input::Receive { from, bytes: &bytes, cargo: &cargo });
        }
    }

    fn edit(&mut self, me: usize, edit: &Edit) {
        self.sequences[me] += 1;
        let id = EditId { origin: ReplicaId(me as u32), sequence: self.sequences[me] };
        self.handle(me, Input::Edit { id, edit });
        self.deliver();
    }

    /// Everybody says what he owes, until nobody owes anything.
    fn settle(&mut self, label: &str) {
        for _ in 0..100 {
            let links = self.shape.links().into_iter();
            let both = links.flat_map(|(a, b)| [(a, b), (b, a)]);
            let owes = |&(me, peer): &(usize, usize)| {
                self.replicas[me].pending(ReplicaId(peer as u32)).edits > 0
            };
            let owing: Vec<(usize, usize)> = both.filter(owes).collect();
            if owing.is_empty() {
                return;
            }
            owing.into_iter().for_each(|(me, peer)| self.sync(me, peer));
            self.elapsed_us += 30_000_000;
        }
        panic!("{label}: somebody owes for ever");
    }

    /// Bytes that a replica keeps, on average.
    fn mean_bytes(&self) -> f64 {
        let all: u64 = self.replicas.iter().map(|replica| replica.footprint().total()).sum();
        all as f64 / self.replicas.len() as f64
    }
}

/// The largest mean footprint of a replica in bytes, before half of the rounds and at the end, and the bytes that it keeps of an edit, by
/// anybody.
fn measure(strategy: &'static dyn Strategy, shape: Shape, work: Work) -> ([f64; 2], f64) {
    let label = format!("{} {shape:?} {work:?}", strategy.name());
    let mut world = World::new(strategy, shape);
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let immediate = strategy.profile().schedule == Some(OwnSchedule::Immediate);
    let mut sizes = Vec::new();
    for round in 0..ROUNDS {
        for n in 0..EDITS {
            for me in shape.writers() {
                let edit = work.edit(&world, me, round * EDITS + n, &mut rng);
                world.edit(me, &edit);
                if immediate {
                    world.settle(&label);
                }
            }
        }
        world.settle(&label);
        sizes.push(world.mean_bytes());
    }
    let highest = |end: usize| sizes[end - WINDOW..end].iter().copied().fold(0.0, f64::max);
    let bytes = [highest(ROUNDS / 2), highest(ROUNDS)];
    let edits = (ROUNDS / 2 * EDITS * shape.writers().len()) as f64;
    (bytes, (bytes[1] - bytes[0]) / edits)
}

/// A strategy that cannot let go of everything.
struct Growing {
    strategy: &'static str,
    works: &'static [Work],
    why: &'static str,
    /// Bytes that a replica keeps of an edit, at least and at most.
    slope: [f64; 2],
}

/// All that grow.
const GROWING: &[Growing] = &[
    Growing {
        strategy: "revision-tree",
        works: &WORKS,
        why: "keeps the names of the last 1000 revisions of each record, of which there are not as many yet",
        slope: [12.0, 25.0],
    },
    Growing {
        strategy: "version-vector/merge",
        works: &WORKS,
        why: "keeps a cell's history back to an edit beside which nobody made another one; here everybody edits all the time",
        slope: [3.0, 60.0],
    },
    Growing {
        strategy: "yrs",
        works: &WORKS,
        why: "keeps of every run of items that it deleted that there was one, for ever",
        slope: [80.0, 225.0],
    },
];

/// Those that are left out in a ring, with the reason.
const LEFT_OUT: &[(&str, &str)] = &[(
    "version-vector/merge",
    "four writers who never pause: a history without a last common ancestor in which merging takes ever longer, many minutes here",
)];

#[expect(clippy::disallowed_methods, reason = "a filter for whoever measures by hand")]
fn check(shape: Shape, support: impl Fn(&Profile) -> Support) {
    let only = std::env::var("RECONVERGE_STRATEGY").ok();
    let mut wrong = Vec::new();
    for strategy in registry() {
        let profile = strategy.profile();
        let is_meant = only.as_ref().is_none_or(|only| strategy.name().starts_with(only));
        if support(&profile).unsupported().is_some() || !is_meant {
            continue;
        }
        let left_out = LEFT_OUT.iter().find(|(name, _)| *name == strategy.name());
        if let Some((name, why)) = left_out.filter(|_| shape == Shape::Ring) {
            println!("{name:28} {shape:?} left out: {why}");
            continue;
        }
        for work in WORKS.into_iter().filter(|work| work.is_supported(&profile)) {
            let (bytes, slope) = measure(*strategy, shape, work);
            // What is less than before was let go later than usual before.
            let is_flat = bytes[1] - bytes[0] <= FLAT_BYTES.max(FLAT_SHARE * bytes[0]);
            let grows =
                |row: &&Growing| row.strategy == strategy.name() && row.works.contains(&work);
            let known = GROWING.iter().find(grows);
            let is_right = match known {
                None => is_flat,
                Some(row) => !is_flat && row.slope[0] <= slope && slope <= row.slope[1],
            };
            let line = format!(
                "{:28} {:4} {:8} {:9.0} {:9.0} bytes, {slope:7.2} an edit{}",
                strategy.name(),
                format!("{shape:?}"),
                format!("{work:?}"),
                bytes[0],
                bytes[1],
                known.map_or(String::new(), |row| format!("  ({})", row.why)),
            );
            println!("{line}");
            if !is_right {
                wrong.push(line);
            }
        }
    }
    assert!(wrong.is_empty(), "not as the table says:\n{}", wrong.join("\n"));
}

#[test]
fn under_steady_editing_in_a_star_footprints_are_flat_or_grow_as_the_table_says() {
    check(Shape::Star, |profile| profile.star);
}

#[test]
fn under_steady_editing_in_a_ring_footprints_are_flat_or_grow_as_the_table_says() {
    check(Shape::Ring, |profile| profile.graph);
}
