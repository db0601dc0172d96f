//! Exchanges between two sketches, the figures of the paper, and hostile symbols.

use super::*;
use crate::reconcile::Differences;
use crate::wire::{Reader, Writer};
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeSet;

/// Bytes there, and the batch back.
fn through_the_wire(batch: &Batch) -> Batch {
    let mut writer = Writer::new();
    batch.write(&mut writer);
    let bytes = writer.finish();
    let mut reader = Reader::new(&bytes);
    let read = Batch::read(&mut reader).expect("its own bytes");
    assert_eq!(reader.end(), Ok(()));
    assert_eq!(&read, batch);
    read
}

fn sketch(seed: u64, keys: impl IntoIterator<Item = Key>) -> Sketch {
    let mut sketch = Sketch::new(seed);
    for key in keys {
        sketch.insert(key, &mut 0);
    }
    sketch
}

/// Both sides of an exchange until the receiver is done.
fn exchange(sender: &mut Sketch, receiver: &mut Sketch) -> Decoder {
    let mut decoder = Decoder::new();
    let mut from = 0;
    loop {
        let batch = sender.batch(from, &Drift::new(), &mut 0).expect("what was asked for");
        let batch = through_the_wire(&batch);
        match decoder.take(&batch, receiver, &Drift::new(), &mut 0).expect("honest symbols") {
            Progress::Done => return decoder,
            Progress::More { from: next } => from = next,
            Progress::Stale => panic!("symbols {from} and later were asked for"),
        }
    }
}

/// Names like those of join-irreducibles: a few agents, counters in a row.
fn dot(rng: &mut ChaCha8Rng) -> Key {
    Key::from(rng.random_range(0..5u32)) << 96 | Key::from(rng.random_range(1..400u32))
}

fn differences(mine: &BTreeSet<Key>, theirs: &BTreeSet<Key>) -> Differences {
    Differences {
        only_mine: mine.difference(theirs).copied().collect(),
        only_theirs: theirs.difference(mine).copied().collect(),
    }
}

#[test]
fn both_lists_are_those_of_the_sets() {
    for seed in 0..300 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (mut theirs, mut mine) = (BTreeSet::new(), BTreeSet::new());
        for _ in 0..rng.random_range(0..300) {
            let key = if seed % 2 == 0 { dot(&mut rng) } else { rng.random() };
            let side = rng.random_range(0..20);
            if side != 0 {
                theirs.insert(key);
            }
            if side != 1 {
                mine.insert(key);
            }
        }
        let mut sender = sketch(seed, theirs.iter().copied());
        let mut receiver = sketch(seed, mine.iter().copied());
        let decoder = exchange(&mut sender, &mut receiver);
        assert_eq!(decoder.differences(), differences(&mine, &theirs), "seed {seed}");
    }
}

#[test]
fn equal_sets_need_one_symbol() {
    for len in [0, 1, 50] {
        let decoder = exchange(&mut sketch(3, 0..len), &mut sketch(3, 0..len));
        assert_eq!(decoder.differences(), Differences::default());
        assert_eq!(decoder.consumed(), 1, "{len} keys");
    }
}

#[test]
fn a_sketch_follows_its_set_as_if_it_were_made_anew() {
    for seed in 0..100 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut keys = BTreeSet::new();
        let mut kept = Sketch::new(seed);
        let mut made = 0;
        for _ in 0..120 {
            let key = Key::from(rng.random_range(0..40u32));
            match rng.random_range(0..5) {
                0 => made = kept.symbols(rng.random_range(0..200), &mut 0).len() as u32,
                1 | 2 => assert_eq!(kept.remove(key, &mut 0), keys.remove(&key), "seed {seed}"),
                _ => assert_eq!(kept.insert(key, &mut 0), keys.insert(key), "seed {seed}"),
            }
            assert!(kept.keys().eq(keys.iter().copied()), "seed {seed}");
        }
        let mut fresh = sketch(seed, keys);
        assert_eq!(kept.symbols(made, &mut 0), fresh.symbols(made, &mut 0), "seed {seed}");
        assert_eq!(kept.symbols(300, &mut 0), fresh.symbols(300, &mut 0), "seed {seed}");
    }
}

#[test]
fn sets_that_change_in_the_middle_are_reconciled_as_they_were() {
    let mut changed = 0;
    for seed in 0..200 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let theirs: BTreeSet<Key> = (0..60).map(|_| dot(&mut rng)).collect();
        let mine: BTreeSet<Key> = (0..60).map(|_| dot(&mut rng)).collect();
        let mut sender = (sketch(seed, theirs.iter().copied()), Drift::new());
        let mut receiver = (sketch(seed, mine.iter().copied()), Drift::new());
        let mut decoder = Decoder::new();
        let mut from = 0;
        loop {
            let batch = sender.0.batch(from, &sender.1, &mut 0).expect("what was asked for");
            assert_eq!(batch.set_len, theirs.len() as u64, "seed {seed}");
            match decoder.take(&batch, &mut receiver.0, &receiver.1, &mut 0).expect("honest") {
                Progress::Done => break,
                Progress::More { from: next } => from = next,
                Progress::Stale => panic!("seed {seed}: symbols {from} and later were asked for"),
            }
            for (sketch, drift) in [&mut sender, &mut receiver] {
                for _ in 0..rng.random_range(0..4) {
                    let key = dot(&mut rng);
                    if rng.random_range(0..2) == 0 && sketch.insert(key, &mut 0) {
                        drift.inserted(key);
                        changed += 1;
                    } else if sketch.remove(key, &mut 0) {
                        drift.removed(key);
                        changed += 1;
                    }
                }
            }
        }
        assert_eq!(decoder.differences(), differences(&mine, &theirs), "seed {seed}");
    }
    assert!(changed > 1000, "only {changed} changes");
}

#[test]
fn doubled_and_late_batches_change_nothing() {
    for seed in 0..50 {
        let mut sender = sketch(seed, 0..200);
        let mut receiver = sketch(seed, 150..250);
        let mut decoder = Decoder::new();
        let mut seen: Vec<Batch> = Vec::new();
        let mut from = 0;
        loop {
            let batch = sender.batch(from, &Drift::new(), &mut 0).expect("what was asked for");
            seen.push(batch.clone());
            let progress = decoder.take(&batch, &mut receiver, &Drift::new(), &mut 0);
            let before = decoder.differences();
            for old in &seen {
                let again = decoder.take(old, &mut receiver, &Drift::new(), &mut 0);
                assert_eq!(again, Ok(Progress::Stale), "seed {seed}");
            }
            assert_eq!(decoder.differences(), before, "seed {seed}");
            match progress.expect("honest symbols") {
                Progress::More { from: next } => {
                    let ahead = Batch { first: next + 1, ..batch };
                    let skipped = decoder.take(&ahead, &mut receiver, &Drift::new(), &mut 0);
                    assert_eq!(skipped, Ok(Progress::Stale), "seed {seed}");
                    from = next;
                }
                _ => break,
            }
        }
        assert_eq!(decoder.differences().only_theirs.len(), 150, "seed {seed}");
    }
}

#[test]
fn only_what_was_made_can_be_asked_for() {
    let mut sender = sketch(0, 0..10);
    assert_eq!(sender.batch(1, &Drift::new(), &mut 0), None);
    assert_eq!(sender.batch(u32::MAX, &Drift::new(), &mut 0), None);
    let first = sender.batch(0, &Drift::new(), &mut 0).expect("the beginning");
    assert_eq!(first.symbols.len(), FIRST_BATCH as usize);
    assert_eq!(sender.batch(FIRST_BATCH + 1, &Drift::new(), &mut 0), None);
    let (mut from, mut rounds) = (0, 0);
    while let Some(batch) = sender.batch(from, &Drift::new(), &mut 0) {
        from += batch.symbols.len() as u32;
        rounds += 1;
    }
    assert_eq!(from, MAX_SYMBOLS);
    assert!(rounds < 40, "{rounds} rounds");
}

/// How many exchanges one figure is the mean of: more for few differences, where one exchange says little.
fn repetitions(differences: u32) -> u32 {
    if differences <= 10 { 20_000 } else { (60_000 / differences).max(60) }
}

#[derive(Default)]
struct Overhead {
    runs: f64,
    consumed: f64,
    squares: f64,
    sent: f64,
    most_sent: f64,
}

impl Overhead {
    fn mean(&self) -> f64 {
        self.consumed / self.runs
    }

    fn standard_error(&self) -> f64 {
        ((self.squares / self.runs - self.mean() * self.mean()).max(0.0) / self.runs).sqrt()
    }
}

/// Symbols per difference, over seeds; keys random, half of them on each side.
fn overhead(differences: u32, seeds: u32) -> Overhead {
    let mut overhead = Overhead::default();
    for seed in 0..seeds {
        let mut rng = ChaCha8Rng::seed_from_u64(u64::from(differences) << 32 | u64::from(seed));
        let keying = rng.random();
        let (mut sender, mut receiver) = (Sketch::new(keying), Sketch::new(keying));
        for side in 0..differences {
            [&mut sender, &mut receiver][side as usize % 2].insert(rng.random(), &mut 0);
        }
        let mut decoder = Decoder::new();
        while !decoder.is_done() {
            let batch = sender.batch(decoder.received(), &Drift::new(), &mut 0);
            let batch = batch.expect("what comes next");
            decoder.take(&batch, &mut receiver, &Drift::new(), &mut 0).expect("honest symbols");
        }
        assert_eq!(
            decoder.differences().len(),
            differences as usize,
            "d {differences}, seed {seed}"
        );
        let consumed = f64::from(decoder.consumed());
        let per_difference = consumed / f64::from(differences);
        overhead.runs += 1.0;
        overhead.consumed += per_difference;
        overhead.squares += per_difference * per_difference;
        overhead.sent += f64::from(decoder.received()) / f64::from(differences);
        overhead.most_sent = overhead.most_sent.max(f64::from(decoder.received()) / consumed);
        // A batch is half of what was sent before it, and at least the first one.
        let bound = (1.5 * consumed).max(consumed + f64::from(FIRST_BATCH));
        assert!(f64::from(decoder.received()) < bound, "d {differences}, seed {seed}");
    }
    overhead
}

/// Checks the mean symbols per difference, one standard error of it at most 0.01, and prints some of them.
fn check_overhead(range: impl Iterator<Item = u32>) {
    let mut worst = (0, 0.0, 0.0);
    for differences in range {
        let seeds = repetitions(differences);
        let overhead = overhead(differences, seeds);
        let (mean, error) = (overhead.mean(), overhead.standard_error());
        if LISTED.contains(&differences) {
            let (sent, most) = (overhead.sent / overhead.runs, overhead.most_sent);
            println!(
                "d {differences:4}: consumed {mean:.4} ± {error:.4} a difference over {seeds} seeds; \
                 sent {sent:.3} a difference, at most {most:.3} of what was consumed"
            );
        }
        assert!(error <= 0.01, "d {differences}: standard error {error}");
        assert!(mean <= 1.80, "d {differences}: {mean} ± {error} symbols per difference");
        if mean > worst.1 {
            worst = (differences, mean, error);
        }
    }
    println!("worst: d {} with {:.4} ± {:.4}", worst.0, worst.1, worst.2);
    // A decoder that counted too little would be well below the figures of the paper.
    assert!(worst.1 > 1.6, "too good: {worst:?}");
}

const LISTED: [u32; 16] = [1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 50, 100, 200, 500, 1000];

#[test]
fn symbols_per_difference_are_those_of_the_paper() {
    check_overhead(LISTED.into_iter());
}

#[test]
#[ignore = "half of the numbers of differences from 1 to 1000 take half a minute"]
fn symbols_per_difference_are_those_of_the_paper_for_every_odd_number() {
    check_overhead((1..=1000).step_by(2));
}

#[test]
#[ignore = "as those for odd numbers"]
fn symbols_per_difference_are_those_of_the_paper_for_every_even_number() {
    check_overhead((2..=1000).step_by(2));
}

#[test]
#[ignore = "a hundred thousand differences take seconds"]
fn a_hundred_thousand_differences_take_135_symbols_for_100() {
    let overhead = overhead(100_000, 10);
    let (mean, error) = (overhead.mean(), overhead.standard_error());
    let (sent, most) = (overhead.sent / overhead.runs, overhead.most_sent);
    println!(
        "d 100000: consumed {mean:.4} ± {error:.4} a difference over 10 seeds; sent {sent:.3}, at most {most:.3}"
    );
    assert!((mean - 1.35).abs() <= 0.02, "{mean} ± {error}");
}

#[test]
fn names_cost_few_bytes_and_hashes_the_whole_sixteen() {
    let bytes = |keys: Vec<Key>| {
        let mut sender = sketch(1, keys);
        let mut writer = Writer::new();
        for from in [0, 8, 16] {
            sender.batch(from, &Drift::new(), &mut 0).expect("the beginning").write(&mut writer);
        }
        writer.len()
    };
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let names = bytes((0..1000).map(|_| dot(&mut rng)).collect());
    let hashes = bytes((0..1000).map(|_| rng.random()).collect());
    assert!(names <= 24 * 14, "{names} bytes for 24 symbols");
    assert!(hashes >= 24 * 25, "{hashes} bytes for 24 symbols");
}

#[test]
fn an_insertion_costs_symbols_and_not_the_set() {
    let mut sketch = sketch(0, 0..50_000);
    sketch.symbols(1000, &mut 0);
    let mut visited = 0;
    for key in 50_000..50_100 {
        sketch.insert(key, &mut visited);
    }
    // On average 2 ln(500) symbols each.
    assert!((500..3000).contains(&visited), "{visited} visits for 100 insertions");
}

#[test]
fn truncated_and_flipped_bytes_do_no_harm() {
    let (mut refused, mut wrong) = (0, 0);
    for seed in 0..2000 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut sender = sketch(1, (0..100).map(|_| dot(&mut rng)));
        let mut receiver = sketch(1, (0..100).map(|_| dot(&mut rng)));
        let mut decoder = Decoder::new();
        for from in [0, 8, 16, 24, 36] {
            let batch = sender.batch(from, &Drift::new(), &mut 0).expect("the beginning");
            let mut writer = Writer::new();
            batch.write(&mut writer);
            let mut bytes = writer.finish();
            let at = rng.random_range(0..bytes.len());
            match rng.random_range(0..3) {
                0 => bytes.truncate(at),
                1 => bytes[at] ^= 1 << rng.random_range(0..8),
                _ => {}
            }
            let mut reader = Reader::new(&bytes);
            let Ok(read) = Batch::read(&mut reader) else {
                refused += 1;
                continue;
            };
            let mut writer = Writer::new();
            read.write(&mut writer);
            let used = bytes.len() - reader.remaining();
            assert_eq!(writer.finish(), bytes[..used], "seed {seed}: another form of the same");
            if decoder.take(&read, &mut receiver, &Drift::new(), &mut 0).is_err() {
                wrong += 1;
                break;
            }
        }
    }
    assert!(refused > 1000 && wrong > 10, "{refused} refused, {wrong} wrong");
}

#[test]
fn numbers_from_the_wire_allocate_nothing() {
    let mut writer = Writer::new();
    writer.byte(1);
    writer.uint(7);
    writer.uint(1000);
    writer.uint(0);
    writer.raw(&[0, 0]);
    writer.uint(1 << 19);
    writer.raw(&[0; 64]);
    let bytes = writer.finish();
    assert!(Batch::read(&mut Reader::new(&bytes)).is_err());
    let beyond =
        Batch { seed: 0, set_len: 0, first: MAX_SYMBOLS, symbols: vec![Symbol::default()] };
    let mut writer = Writer::new();
    beyond.write(&mut writer);
    assert!(Batch::read(&mut Reader::new(&writer.finish())).is_err());
    let taken = Decoder::new().take(&beyond, &mut Sketch::new(0), &Drift::new(), &mut 0);
    assert!(taken.is_err());
}

#[test]
fn symbols_that_no_set_has_are_refused() {
    let alone = |key| Symbol { count: 1, sum: key, check: checksum(0, key) };
    let missing = |key| Symbol { count: -1, ..alone(key) };
    let batch = |symbols: Vec<Symbol>| Batch { seed: 0, set_len: 3, first: 0, symbols };
    let take = |symbols, mine: &[Key]| {
        let mut mine = sketch(0, mine.iter().copied());
        Decoder::new().take(&batch(symbols), &mut mine, &Drift::new(), &mut 0)
    };
    // A key that does not fall into symbol 1, alone in it.
    let stranger = (0..100).find(|key| {
        let mut walk = walk::Walk::begin(checksum(0, *key));
        walk.step();
        walk.index > 1
    });
    let stranger = stranger.expect("most keys pass over symbol 1 sooner or later");
    let other = stranger + 1000;
    let both = Symbol {
        count: 2,
        sum: stranger ^ other,
        check: checksum(0, stranger) ^ checksum(0, other),
    };
    assert!(take(vec![both, alone(stranger)], &[]).is_err(), "a key where it does not belong");
    assert!(take(vec![missing(5)], &[]).is_err(), "lacks what nobody has");
    // Symbol 0 holds nothing of mine, and one of theirs which I hold too.
    let twice = Symbol { count: 2, sum: 0, check: 0 };
    assert!(take(vec![twice], &[5]).is_err(), "has twice what I have once");
    // Two copies of one key: after one is peeled the other is left.
    let mut three = both;
    three.toggle(stranger, checksum(0, stranger), 1);
    three.toggle(other, checksum(0, other), -1);
    three.toggle(stranger, checksum(0, stranger), 1);
    assert_eq!((three.count, three.sum), (3, stranger));
    assert_eq!(take(vec![three], &[]), Ok(Progress::More { from: 1 }), "not decodable");
    assert!(take(vec![], &[]) == Ok(Progress::Stale), "an empty batch");
    let other_seed = Batch { seed: 9, ..batch(vec![alone(5)]) };
    let taken = Decoder::new().take(&other_seed, &mut Sketch::new(0), &Drift::new(), &mut 0);
    assert!(taken.is_err(), "another seed");
}

#[test]
fn random_symbols_end_the_exchange() {
    for seed in 0..200 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut mine = sketch(0, 0..20);
        let mut decoder = Decoder::new();
        let mut pool: Vec<Key> = (10..40).collect();
        pool.shuffle(&mut rng);
        for first in 0..300 {
            // Sums of keys that checksums agree with, thrown together without regard to where they belong.
            let mut symbol = Symbol::default();
            for key in &pool[..rng.random_range(0..4)] {
                symbol.toggle(*key, checksum(0, *key), rng.random_range(0..2) * 2 - 1);
            }
            let batch = Batch { seed: 0, set_len: 20, first, symbols: vec![symbol] };
            let taken = decoder.take(&batch, &mut mine, &Drift::new(), &mut 0);
            assert!(decoder.differences().len() <= decoder.consumed() as usize, "seed {seed}");
            if !matches!(taken, Ok(Progress::More { .. })) {
                break;
            }
        }
    }
}
