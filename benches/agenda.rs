//! The agenda against floor A, and the cost of its operations.
//!
//! `cargo bench --bench agenda` first runs W1 and W2 in full, the agenda and floor A by turns, and
//! prints how much faster the agenda is; models are set up outside the clock. Then come the groups
//! of criterion. With a filter, as in `-- hold`, only the groups run.

mod floor_a;
#[allow(dead_code, reason = "the tests of the simulator use the rest")]
mod workloads;

use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group};
use floor_a::BinHeap;
use rand_chacha::rand_core::Rng;
use reconverge_simulator::agenda::{Agenda, Due, TimerId};
use workloads::{Case, Outcome};

/// Pairs of runs for each ratio.
const PAIRS: usize = 5;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments == ["--bench"] {
        compare("W1", workloads::W1, [1.2, 3.0], w1_agenda, w1_floor_a);
        compare("W2", workloads::W2, [1.5, 1.5], w2_agenda, w2_floor_a);
    }
    groups();
    Criterion::default().configure_from_args().final_summary();
}

type Run = fn(Case) -> (Duration, Outcome);

fn compare(workload: &str, cases: [Case; 2], targets: [f64; 2], agenda: Run, floor_a: Run) {
    for (case, target) in cases.into_iter().zip(targets) {
        let mut pairs = Vec::new();
        for _ in 0..PAIRS {
            let [ours, theirs] = [agenda, floor_a].map(|run| {
                let (elapsed, outcome) = run(case);
                assert_eq!(outcome, case.outcome, "{workload} {case:?}");
                elapsed.as_secs_f64()
            });
            pairs.push((theirs / ours, ours, theirs));
        }
        let ratio = median(pairs.iter().map(|pair| pair.0));
        let ns = |seconds: f64| seconds * 1e9 / case.outcome.events as f64;
        println!(
            "{workload} n={:<6} agenda {:6.1} ns/event  floor-A-binheap {:6.1} ns/event  \
             ratio {ratio:.2}x (pairs {:.2}-{:.2}), target {target}x: {}",
            case.n,
            ns(median(pairs.iter().map(|pair| pair.1))),
            ns(median(pairs.iter().map(|pair| pair.2))),
            pairs.iter().map(|pair| pair.0).fold(f64::INFINITY, f64::min),
            pairs.iter().map(|pair| pair.0).fold(0.0, f64::max),
            if ratio >= target { "met" } else { "MISSED" },
        );
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

fn clocked(run: impl FnOnce()) -> Duration {
    let start = Instant::now();
    run();
    start.elapsed()
}

fn w1_agenda(case: Case) -> (Duration, Outcome) {
    let mut processes = workloads::processes(case.n);
    let end_ns = workloads::w1_end_ns(case.n, case.divisor);
    let elapsed = clocked(|| workloads::w1_agenda(&mut processes, end_ns));
    (elapsed, workloads::w1_outcome(&processes))
}

fn w1_floor_a(case: Case) -> (Duration, Outcome) {
    let mut processes = workloads::processes(case.n);
    let end_ns = workloads::w1_end_ns(case.n, case.divisor);
    let elapsed = clocked(|| floor_a::w1(&mut processes, end_ns));
    (elapsed, workloads::w1_outcome(&processes))
}

fn w2_agenda(case: Case) -> (Duration, Outcome) {
    let mut nodes = workloads::nodes(case.n);
    let end_ns = workloads::w2_end_ns(case.n, case.divisor);
    let elapsed = clocked(|| workloads::w2_agenda(&mut nodes, end_ns));
    (elapsed, workloads::w2_outcome(nodes.iter()))
}

fn w2_floor_a(case: Case) -> (Duration, Outcome) {
    let mut nodes: Vec<_> = workloads::nodes(case.n).into_iter().map(|node| (node, 1)).collect();
    let end_ns = workloads::w2_end_ns(case.n, case.divisor);
    let elapsed = clocked(|| floor_a::w2(&mut nodes, end_ns));
    (elapsed, workloads::w2_outcome(nodes.iter().map(|(node, _)| node)))
}

criterion_group! {
    name = groups;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    targets = hold, timers
}

/// Takes the soonest of so many pending events and schedules it again after a delay of W1.
fn hold(criterion: &mut Criterion) {
    let mut rng = workloads::stream(7);
    let delays_ns: Vec<u64> = (0..1 << 16).map(|_| workloads::delay_ns(&mut rng)).collect();
    let mut group = criterion.benchmark_group("hold");
    group.throughput(Throughput::Elements(1));
    for pending in [32u32, 512, 16_384, 262_144] {
        group.bench_function(BenchmarkId::new("agenda", pending), |bencher| {
            let mut agenda = Agenda::new();
            let mut delays_ns = delays_ns.iter().cycle();
            let mut delay_ns = || *delays_ns.next().expect("a cycle does not end");
            for event in 0..pending {
                agenda.schedule(delay_ns(), u64::from(event));
            }
            let mut step = || {
                let Some((now_ns, Due::Event(event))) = agenda.pop() else {
                    unreachable!("as many events stay pending")
                };
                agenda.schedule(now_ns + delay_ns(), event);
                now_ns
            };
            (0..4 * pending).for_each(|_| {
                step();
            });
            bencher.iter(step);
        });
        group.bench_function(BenchmarkId::new("floor-A-binheap", pending), |bencher| {
            let mut heap = BinHeap::new(pending as usize);
            let mut delays_ns = delays_ns.iter().cycle();
            let mut delay_ns = || *delays_ns.next().expect("a cycle does not end");
            for event in 0..pending {
                heap.push(delay_ns(), u64::from(event));
            }
            let mut step = || {
                let (now_ns, event) = heap.pop().expect("as many events stay pending");
                heap.push(now_ns + delay_ns(), event);
                now_ns
            };
            (0..4 * pending).for_each(|_| {
                step();
            });
            bencher.iter(step);
        });
    }
    group.finish();
}

/// Timers among 512 pending events: moved later at each event, moved earlier and later by turns,
/// and set, taken and set again.
fn timers(criterion: &mut Criterion) {
    const TIMERS: u32 = 64;
    let mut group = criterion.benchmark_group("timers");
    group.throughput(Throughput::Elements(1));
    let mut rng = workloads::stream(8);
    let full = |rng: &mut _| {
        let mut agenda = Agenda::with_timers(TIMERS);
        for event in 0..512u64 {
            agenda.schedule(workloads::delay_ns(rng), event);
        }
        agenda
    };
    let any = |rng: &mut rand_chacha::ChaCha8Rng| TimerId(rng.next_u32() % TIMERS);

    let mut agenda = full(&mut rng);
    group.bench_function("event-moves-one-later", |bencher| {
        bencher.iter(|| {
            let (now_ns, due) = agenda.pop().expect("events stay pending");
            if let Due::Event(event) = due {
                agenda.schedule(now_ns + workloads::delay_ns(&mut rng), event);
            }
            agenda.set_timer(any(&mut rng), now_ns + 2_000_000_000);
        });
    });
    let mut agenda = full(&mut rng);
    group.bench_function("event-moves-one-anywhere", |bencher| {
        bencher.iter(|| {
            let (now_ns, due) = agenda.pop().expect("events stay pending");
            if let Due::Event(event) = due {
                agenda.schedule(now_ns + workloads::delay_ns(&mut rng), event);
            }
            agenda.set_timer(any(&mut rng), now_ns + workloads::delay_ns(&mut rng));
        });
    });
    let mut agenda = Agenda::<u64>::with_timers(TIMERS);
    for timer in 0..TIMERS {
        agenda.set_timer(TimerId(timer), workloads::delay_ns(&mut rng));
    }
    group.bench_function("fires-and-is-set-again", |bencher| {
        bencher.iter(|| {
            let Some((now_ns, Due::Timer(timer))) = agenda.pop() else {
                unreachable!("all timers are set")
            };
            agenda.set_timer(timer, now_ns + workloads::delay_ns(&mut rng));
        });
    });
    group.finish();
}
