//! Each strategy's operations, one by one: a local edit, encoding a batch, merging it at a server, decoding it; the price of
//! work has the client's part in the answers as well.
//!
//! A client and a server exchange batches of ten edits in an ideal session; only the operation in question is on the clock. At the end the
//! price of one unit of work is printed for each strategy: one that is off by more than a factor of three from the median counts its
//! work wrongly.

use criterion::{Criterion, criterion_group, criterion_main};
use reconverge_strategies::{
    Cell, Clock, Edit, EditId, FieldId, FieldKind, Input, LinkState, Outbox, Output, RecordId,
    Replica, ReplicaId, Schema, Seat, Strategy, Tick, Transport, WallTime, registry,
};
use std::collections::VecDeque;
use std::hint::black_box;
use std::time::{Duration, Instant};

const CLIENT: ReplicaId = ReplicaId(0);
const SERVER: ReplicaId = ReplicaId(1);
const RECORDS: u32 = 50;
const BATCH: u64 = 10;

/// Time spent on each operation, how often, and the work that was reported meanwhile.
#[derive(Default)]
struct Spent {
    edit: Duration,
    encode: Duration,
    merge: Duration,
    answer: Duration,
    batches: u64,
    work_units: u64,
    messages: Vec<Vec<u8>>,
}

fn schema() -> Schema {
    Schema::new(vec![FieldKind::Register, FieldKind::Counter, FieldKind::Set, FieldKind::Text])
}

fn edit(n: u64) -> Edit {
    let cell = |field| Cell {
        record: RecordId((n * 7 % u64::from(RECORDS)) as u32),
        field: FieldId(field),
    };
    match n % 4 {
        0 => Edit::Put { cell: cell(0), value: format!("value number {n}").into() },
        1 => Edit::Add { cell: cell(1), amount: 3 },
        2 => Edit::Insert { cell: cell(2), element: format!("tag{n}").into() },
        _ => Edit::Splice { cell: cell(3), at: 0, delete: 0, insert: format!("some words {n} ") },
    }
}

/// An operation: its name, its time, and how many there are in a batch.
type Operation = (&'static str, fn(&Spent) -> Duration, u64);

/// Two replicas in a session.
struct Two {
    replicas: [Box<dyn Replica>; 2],
    out: Outbox,
    now_us: u64,
}

impl Two {
    fn new(strategy: &dyn Strategy) -> Two {
        let schema = schema();
        let seat = |replica: ReplicaId, peer: ReplicaId| {
            strategy.create(&Seat {
                replica,
                peers: &[peer],
                members: &[CLIENT, SERVER],
                partitions: reconverge_strategies::Partitions::WHOLE,
                authority: Some(SERVER),
                schema: &schema,
                genesis: &[],
                transport: Transport::Session,
                incarnation: 0,
            })
        };
        let replicas = [seat(CLIENT, SERVER), seat(SERVER, CLIENT)];
        let mut two = Two { replicas, out: Outbox::new(), now_us: 1_767_225_600_000_000 };
        let mut spent = Spent::default();
        for (at, peer) in [(CLIENT, SERVER), (SERVER, CLIENT)] {
            two.handle(at, Input::Link { peer, state: LinkState::Open });
        }
        two.sync(&mut spent);
        two
    }

    fn handle(&mut self, at: ReplicaId, input: Input<'_>) -> Duration {
        self.now_us += 1000;
        let clock = Clock { now: Tick(self.now_us * 1000), wall: WallTime(self.now_us) };
        self.out.clear();
        let begun = Instant::now();
        self.replicas[at.0 as usize].handle(clock, input, &mut self.out).expect("honest bytes");
        begun.elapsed()
    }

    /// The client speaks, the server answers, until both are silent.
    fn sync(&mut self, spent: &mut Spent) {
        spent.encode += self.handle(CLIENT, Input::Sync { peer: SERVER });
        let mut flight = VecDeque::new();
        loop {
            spent.work_units += self.out.work_units;
            flight.extend(self.out.outputs.drain(..).filter_map(|output| match output {
                Output::Send { to, bytes, cargo } => Some((to, bytes, cargo)),
                Output::Change(_) => None,
            }));
            let Some((to, bytes, cargo)) = flight.pop_front() else { return };
            let from = if to == SERVER { CLIENT } else { SERVER };
            let took = self.handle(to, Input::Receive { from, bytes: &bytes, cargo: &cargo });
            if to == SERVER {
                spent.merge += took;
                spent.messages.push(bytes);
            } else {
                spent.answer += took;
            }
        }
    }
}

/// So many batches, on fresh replicas.
fn exchange(strategy: &dyn Strategy, batches: u64) -> Spent {
    let mut spent = Spent { batches, ..Spent::default() };
    let mut two = Two::new(strategy);
    for batch in 0..batches {
        for n in batch * BATCH..(batch + 1) * BATCH {
            let id = EditId { origin: CLIENT, sequence: n };
            let edit = edit(n);
            spent.edit += two.handle(CLIENT, Input::Edit { id, edit: &edit });
            spent.work_units += two.out.work_units;
        }
        two.sync(&mut spent);
    }
    spent
}

fn operations(criterion: &mut Criterion) {
    for strategy in registry() {
        let mut group = criterion.benchmark_group(format!("strategy/{}", strategy.name()));
        group.sample_size(10);
        let operations: [Operation; 3] = [
            ("edit", |spent| spent.edit, BATCH),
            ("encode a batch", |spent| spent.encode, 1),
            ("merge a batch", |spent| spent.merge, 1),
        ];
        for (name, took, per_batch) in operations {
            group.bench_function(name, |bencher| {
                bencher.iter_custom(|iterations| {
                    // Documents of a realistic size, however many iterations are asked for.
                    let batches = (iterations / per_batch).clamp(20, 200);
                    let spent = exchange(*strategy, batches);
                    took(&spent).mul_f64(iterations as f64 / (spent.batches * per_batch) as f64)
                });
            });
        }
        let messages = exchange(*strategy, 100).messages;
        group.bench_function("decode and encode a message", |bencher| {
            let mut next = messages.iter().cycle();
            bencher.iter(|| {
                let message = next.next().expect("there are messages");
                black_box(strategy.recode(black_box(message))).expect("honest bytes")
            });
        });
        group.finish();
    }
    price_of_work();
}

/// Prints nanoseconds for each unit of work.
fn price_of_work() {
    let mut prices: Vec<(f64, &str)> = registry()
        .iter()
        .map(|strategy| {
            let spent = exchange(*strategy, 200);
            let took = spent.edit + spent.encode + spent.merge + spent.answer;
            (took.as_nanos() as f64 / spent.work_units.max(1) as f64, strategy.name())
        })
        .collect();
    prices.sort_by(|a, b| a.0.total_cmp(&b.0));
    let median = prices[prices.len() / 2].0;
    println!("\nnanoseconds per unit of work (and relative to the median)");
    for (price, name) in prices {
        println!("  {name:<26} {price:>8.1} ns  {:>5.2}x", price / median);
    }
}

criterion_group!(benches, operations);
criterion_main!(benches);
