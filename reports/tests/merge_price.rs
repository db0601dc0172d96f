//! What it costs to merge two branches that both grew while they were apart.
//!
//! Two clients of a hub (or two peers, where there can be no hub) each make `n` edits at random places of one text, offline; then they
//! connect and talk until everybody shows the same. The price is the `Work` of handling `Receive` at all replicas: it holds
//! decoding, merging, transforming, and whatever is answered at once; editing and what is said on `Sync` are not in it. The
//! exponent is the slope of a line through the logarithms of `n` and the price (least squares).
//!
//! The price of operational transformation without composition grows with the product of both branches, that of replicated data types
//! and of a replayed event graph with their sum, apart from logarithms. Nothing is claimed of composed transformation: what is
//! merged is then one operation on each side, whose price is the number of its components.
//!
//! `docs/merge-price.svg` shows the prices. `RECONVERGE_BLESS=1 cargo test -p reconverge-reports --test merge_price` draws it anew.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use reconverge_reports::{PriceCurve, price_figure};
use reconverge_strategies::*;
use std::collections::VecDeque;
use std::path::Path;

const TEXT: Cell = Cell { record: RecordId(0), field: FieldId(0) };
/// Edits of one branch: 100 to 3200.
const SIZES: [usize; 6] = [100, 200, 400, 800, 1600, 3200];
/// Scalar values that both branches begin with.
const COMMON_LENGTH: usize = 1000;
/// Strategies in the figure: all that transform, and one of each other kind.
const SHOWN: [&str; 8] = [
    "ot/central",
    "ot/uncomposed",
    "ot/relay",
    "crdt/state",
    "crdt/delta-bp-rr",
    "crdt/digest",
    "crdt/digest+rga",
    "event-graph",
];
/// Passes over all links after which everybody must show the same.
const MOST_PASSES: usize = 1000;

/// Two authors, perhaps with a hub between them.
struct Pair<'a> {
    strategy: &'a dyn Strategy,
    replicas: Vec<Box<dyn Replica>>,
    /// Links, the dialling side first.
    links: Vec<(usize, usize)>,
    on_the_way: VecDeque<(usize, usize, Vec<u8>, Cargo)>,
    receive_work_units: u64,
    messages: u64,
    out: Outbox,
}

fn id(n: usize) -> ReplicaId {
    ReplicaId(n as u32)
}

impl<'a> Pair<'a> {
    /// The authors are 0 and 1, the hub is 2.
    fn new(strategy: &'a dyn Strategy) -> Self {
        let profile = strategy.profile();
        assert_eq!(profile.text.unsupported(), None, "{} has texts", strategy.name());
        let star = profile.star.unsupported().is_none();
        let links = if star { vec![(0, 2), (1, 2)] } else { vec![(0, 1)] };
        let members: Vec<ReplicaId> = (0..if star { 3 } else { 2 }).map(id).collect();
        let transport = match profile.session.unsupported() {
            None => Transport::Session,
            Some(_) => Transport::Datagram,
        };
        let common: String = (0..COMMON_LENGTH).map(|n| char::from(b'a' + n as u8 % 26)).collect();
        let edit = Edit::Splice { cell: TEXT, at: 0, delete: 0, insert: common };
        let genesis = [(EditId { origin: ReplicaId::GENESIS, sequence: 1 }, edit)];
        let schema = Schema::new(vec![FieldKind::Text]);
        let create = |n: usize| {
            let peers: Vec<ReplicaId> = links
                .iter()
                .filter_map(|(a, b)| [(*a, *b), (*b, *a)].into_iter().find(|ends| ends.0 == n))
                .map(|(_, peer)| id(peer))
                .collect();
            strategy.create(&Seat {
                replica: id(n),
                peers: &peers,
                members: &members,
                partitions: Partitions::WHOLE,
                authority: star.then_some(id(2)),
                schema: &schema,
                genesis: &genesis,
                transport,
                incarnation: 0,
            })
        };
        let replicas = (0..members.len()).map(create).collect();
        Pair {
            strategy,
            replicas,
            links,
            on_the_way: VecDeque::new(),
            receive_work_units: 0,
            messages: 0,
            out: Outbox::new(),
        }
    }

    fn handle(&mut self, n: usize, input: Input<'_>) {
        self.out.clear();
        let name = self.strategy.name();
        let clock = Clock { now: Tick(0), wall: WallTime(1_700_000_000_000_000) };
        self.replicas[n]
            .handle(clock, input, &mut self.out)
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        for output in self.out.outputs.drain(..) {
            if let Output::Send { to, bytes, cargo } = output {
                self.on_the_way.push_back((n, to.0 as usize, bytes, cargo));
            }
        }
    }

    /// An author types at random places, and deletes now and then.
    fn branch(&mut self, author: usize, edits: usize, rng: &mut ChaCha8Rng) {
        for sequence in 1..=edits as u64 {
            let length = self.replicas[author].length(TEXT);
            let at = rng.random_range(0..=length);
            let delete = usize::from(at < length && rng.random_bool(0.25));
            let insert = char::from(b'A' + rng.random_range(0..26)).to_string();
            let edit = Edit::Splice { cell: TEXT, at, delete, insert };
            self.handle(
                author,
                Input::Edit { id: EditId { origin: id(author), sequence }, edit: &edit },
            );
        }
    }

    fn sync(&mut self, n: usize, peer: usize) {
        self.handle(n, Input::Sync { peer: id(peer) });
        while let Some((from, to, bytes, cargo)) = self.on_the_way.pop_front() {
            self.handle(to, Input::Receive { from: id(from), bytes: &bytes, cargo: &cargo });
            self.receive_work_units += self.out.work_units;
            self.messages += 1;
        }
    }

    fn merge(&mut self) {
        for (a, b) in self.links.clone() {
            for (n, peer) in [(a, b), (b, a)] {
                self.handle(n, Input::Link { peer: id(peer), state: LinkState::Open });
            }
            self.sync(a, b);
        }
        for _ in 0..MOST_PASSES {
            let mut owed = false;
            for (a, b) in self.links.clone() {
                for (n, peer) in [(a, b), (b, a)] {
                    if self.replicas[n].pending(id(peer)).edits > 0 {
                        owed = true;
                        self.sync(n, peer);
                    }
                }
            }
            if !owed {
                break;
            }
        }
        let texts: Vec<Rendering> = self
            .replicas
            .iter()
            .map(|replica| {
                let mut shown = Rendering::new();
                replica.render(Scope::Cell(TEXT), &mut shown);
                shown
            })
            .collect();
        let name = self.strategy.name();
        assert!(texts.iter().all(|text| *text == texts[0]), "{name} has not converged");
    }
}

/// The price of merging two branches of so many edits, in units of work.
fn price(strategy: &dyn Strategy, edits: usize) -> u64 {
    let mut rng = ChaCha8Rng::seed_from_u64(edits as u64);
    let mut pair = Pair::new(strategy);
    for author in [0, 1] {
        pair.branch(author, edits, &mut rng);
    }
    pair.merge();
    assert!(pair.receive_work_units > 0 && pair.messages > 1, "{} works", strategy.name());
    pair.receive_work_units
}

/// Logarithm to base 2, of a number from 1: the same bits on every machine.
fn log2(number: u64) -> f64 {
    let whole = number.ilog2();
    let mut rest = number as f64 / (1_u64 << whole) as f64;
    let (mut log, mut bit) = (f64::from(whole), 0.5);
    for _ in 0..40 {
        rest *= rest;
        if rest >= 2.0 {
            rest /= 2.0;
            log += bit;
        }
        bit /= 2.0;
    }
    log
}

/// The slope of a line through the logarithms of sizes and prices.
fn exponent(prices: &[u64]) -> f64 {
    let points: Vec<(f64, f64)> =
        SIZES.iter().zip(prices).map(|(n, price)| (log2(*n as u64), log2(*price))).collect();
    let count = points.len() as f64;
    let mean = |pick: fn(&(f64, f64)) -> f64| points.iter().map(pick).sum::<f64>() / count;
    let (mean_x, mean_y) = (mean(|point| point.0), mean(|point| point.1));
    let above: f64 = points.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    let below: f64 = points.iter().map(|(x, _)| (x - mean_x) * (x - mean_x)).sum();
    above / below
}

/// What is claimed of a strategy's exponent; `None` where it is not measured here.
fn claim(name: &str) -> Option<Claim> {
    if name == "ot/uncomposed" {
        Some(Claim::AtLeast(1.8))
    } else if name.starts_with("ot/") {
        Some(Claim::Nothing)
    } else if name.starts_with("crdt/") || name.starts_with("event-graph") {
        Some(Claim::AtMost(1.2))
    } else {
        None
    }
}

enum Claim {
    AtLeast(f64),
    AtMost(f64),
    Nothing,
}

#[test]
fn the_price_of_merging_two_branches() {
    let mut broken = Vec::new();
    let mut curves = Vec::new();
    for strategy in registry() {
        let name = strategy.name();
        let Some(claim) = claim(name) else { continue };
        let prices = SIZES.map(|edits| price(*strategy, edits));
        let exponent = exponent(&prices);
        match claim {
            Claim::AtLeast(least) if exponent < least => {
                broken.push(format!("{name}: {exponent:.3} is less than {least}"));
            }
            Claim::AtMost(most) if exponent > most => {
                broken.push(format!("{name}: {exponent:.3} is more than {most}"));
            }
            _ => {}
        }
        curves.push(PriceCurve {
            strategy: name.to_owned(),
            exponent_milli: (exponent * 1000.0).round() as u64,
            points: SIZES.iter().map(|n| *n as u64).zip(prices).collect(),
        });
    }
    let measured: Vec<&str> = curves.iter().map(|curve| curve.strategy.as_str()).collect();
    for name in ["ot/central", "ot/uncomposed", "ot/relay"] {
        assert!(measured.contains(&name), "{name} is not in the registry");
    }
    assert!(broken.is_empty(), "{}", broken.join("; "));
    curves.retain(|curve| SHOWN.contains(&curve.strategy.as_str()));
    assert_eq!(curves.len(), SHOWN.len());
    let drawn = price_figure(&curves).svg;
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/merge-price.svg"));
    if std::env::var_os("RECONVERGE_BLESS").is_some() {
        std::fs::write(path, &drawn).expect("the figure can be written");
    }
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    assert!(kept == drawn, "docs/merge-price.svg is stale: RECONVERGE_BLESS=1 draws it anew");
}

#[test]
fn the_exponent_of_a_power_is_found() {
    for (power, expected) in [(1, 1.0), (2, 2.0), (3, 3.0)] {
        let prices = SIZES.map(|n| 7 * (n as u64).pow(power));
        assert!((exponent(&prices) - expected).abs() < 1e-9);
    }
    assert!(exponent(&SIZES.map(|_| 40)).abs() < 1e-9);
}
