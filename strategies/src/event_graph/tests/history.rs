//! What history costs: in memory under steady editing, and in work when long branches meet.

use super::net::{Net, TEXT, id};
use crate::crdt::causal::{Agent, Dot};
use crate::event_graph::ops::Kind;
use crate::event_graph::text::Text;
use crate::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Edits by everybody, concurrent within a round, and everybody hears of all of them.
fn round(net: &mut Net, rng: &mut ChaCha8Rng) {
    for n in 1..net.replicas.len() {
        let length = net.replicas[n].length(TEXT);
        let at = rng.random_range(0..=length);
        // The text stays about as long as it is.
        let delete = if length > 400 { (length - at).min(6) } else { 0 };
        net.splice(n, at, delete, "steady");
        net.edit(n, Edit::Add { cell: super::net::COUNTER, amount: 1 });
        let value = format!("v{}", rng.random_range(0..9)).into();
        net.edit(n, Edit::Put { cell: super::net::REGISTER, value });
    }
    net.settle();
}

#[test]
fn steady_editing_takes_no_more_and_more_memory() {
    for mut net in
        [Net::star(4), Net::mesh(4), Net::new(4, &[(0, 1), (1, 2), (2, 3), (0, 3)], None)]
    {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut sizes = Vec::new();
        for n in 0..400 {
            round(&mut net, &mut rng);
            if n % 100 >= 50 {
                let all = net.replicas.iter().map(|replica| replica.footprint());
                sizes.push(all.map(|size| size.metadata_bytes + size.history_bytes).max());
            }
        }
        net.assert_agreement("after steady editing");
        let most: Vec<_> =
            sizes.chunks(50).map(|chunk| chunk.iter().max().copied().flatten()).collect();
        println!("most metadata and history by hundred rounds: {most:?}");
        let (first, last) = (most[0].unwrap_or(0), most[3].unwrap_or(u64::MAX));
        assert!(last < first + first / 5, "{first} bytes grow to {last}");
        assert!(last < 60_000, "{last} bytes for a text of 400 characters");
    }
}

/// Two branches of so many edits each, typed at random places; the work of merging one into the other.
fn merging_work(edits: usize) -> u64 {
    let mut rng = ChaCha8Rng::seed_from_u64(edits as u64);
    let mut net = Net::mesh(2);
    net.splice(0, 0, 0, &"x".repeat(1000));
    net.settle();
    net.close(0, 1);
    for _ in 0..edits {
        for n in 0..2 {
            let length = net.replicas[n].length(TEXT);
            let at = rng.random_range(0..length);
            let delete = if rng.random_bool(0.3) { (length - at).min(2) } else { 0 };
            net.splice(n, at, delete, "ab");
        }
    }
    net.work_units = 0;
    net.open(0, 1);
    net.settle();
    net.assert_agreement("after merging");
    net.work_units
}

#[test]
fn merging_long_branches_takes_little_more_than_linear_work() {
    let sizes = [100, 200, 400, 800, 1600, 3200];
    let work: Vec<u64> = sizes.iter().map(|edits| merging_work(*edits)).collect();
    println!("work of merging two branches of {sizes:?} edits: {work:?}");
    // Least squares on logarithms.
    let points: Vec<(f64, f64)> = sizes
        .iter()
        .zip(&work)
        .map(|(n, work)| (libm::log(*n as f64), libm::log(*work as f64)))
        .collect();
    let count = points.len() as f64;
    let (x, y) =
        points.iter().fold((0.0, 0.0), |sum, p| (sum.0 + p.0 / count, sum.1 + p.1 / count));
    let (over, under) = points
        .iter()
        .fold((0.0, 0.0), |sum, p| (sum.0 + (p.0 - x) * (p.1 - y), sum.1 + (p.0 - x) * (p.0 - x)));
    let exponent = over / under;
    println!("exponent {exponent:.3}");
    assert!(exponent <= 1.2, "exponent {exponent}");
}

#[test]
fn local_work_is_logarithmic_in_length() {
    let mut per_edit = Vec::new();
    for exponent in [3, 4, 5, 6] {
        let length = 10usize.pow(exponent);
        let mut net = Net::mesh(2);
        net.close(0, 1);
        net.splice(0, 0, 0, &"y".repeat(length));
        let mut rng = ChaCha8Rng::seed_from_u64(9);
        net.work_units = 0;
        for _ in 0..1000 {
            net.splice(0, rng.random_range(0..length), 1, "z");
        }
        per_edit.push(net.work_units / 1000);
    }
    println!("work of an edit in texts of 10^3 to 10^6 characters: {per_edit:?}");
    assert!(per_edit[3] <= per_edit[0] + 3 * 8, "{per_edit:?}");
}

/// Positions that make no sense are cut to the text, everywhere alike, whatever is applied first.
#[test]
fn edits_beyond_the_end_do_the_same_everywhere() {
    for seed in 0..200 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let edits: Vec<(usize, Kind, usize, usize)> = (0..6)
            .map(|_| {
                let kind = [Kind::Insert, Kind::Delete, Kind::Backspace][rng.random_range(0..3)];
                let len = rng.random_range(1..5);
                let pos = rng.random_range(0..12);
                let pos = if kind == Kind::Backspace { pos + len } else { pos };
                (rng.random_range(0..2), kind, pos, len)
            })
            .collect();
        let run = |one_by_one: bool, order: [usize; 2]| {
            let mut text = Text::default();
            text.begin(0, 0, "abcd");
            // Each agent's edits follow one another; the two agents know nothing of each other.
            for agent in order {
                let (mut counter, mut last) = (1, Vec::new());
                for (_, kind, pos, len) in edits.iter().filter(|(author, ..)| *author == agent) {
                    let (from, heads) = (text.graph().end(), text.graph().heads().to_vec());
                    let first = Dot { agent: Agent::new(id(agent), 0), counter };
                    let inserted = "uvwxyz"[..*len].to_owned();
                    text.learn(first, &last, *kind, *pos, *len, &inserted);
                    counter += *len as u64;
                    last = vec![text.graph().end() - 1];
                    if one_by_one {
                        text.merge(from, heads);
                    }
                }
            }
            if !one_by_one {
                text.merge(0, Vec::new());
            }
            text.content()
        };
        let expected = run(true, [0, 1]);
        assert_eq!(run(true, [1, 0]), expected, "seed {seed}: {edits:?}");
        assert_eq!(run(false, [0, 1]), expected, "seed {seed}: {edits:?}");
        assert_eq!(run(false, [1, 0]), expected, "seed {seed}: {edits:?}");
    }
}
