//! The shape, exchanges between two trees, and hostile bytes.

use super::message::{Message, Wanted};
use super::*;
use crate::reconcile::Differences;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeSet;

fn tree(keys: impl IntoIterator<Item = Key>) -> Tree {
    let mut tree = Tree::new();
    for key in keys {
        tree.insert(key, &mut 0);
    }
    tree
}

/// Names like those of join-irreducibles, or hashes.
fn key(rng: &mut ChaCha8Rng, names: bool) -> Key {
    match names {
        true => Key::from(rng.random_range(0..5u32)) << 96 | Key::from(rng.random_range(1..400u32)),
        false => rng.random(),
    }
}

struct Outcome {
    descent: Descent,
    rounds: u32,
    bytes: usize,
}

fn exchange(mine: &Tree, theirs: &Tree) -> Outcome {
    let (mut descent, mut question) = Descent::start(mine, &mut 0);
    let (mut rounds, mut bytes) = (0, 0);
    loop {
        assert_eq!(recode(&question).as_ref(), Ok(&question));
        let reply = answer(theirs, &question, &mut 0).expect("an honest question");
        assert_eq!(recode(&reply).as_ref(), Ok(&reply));
        rounds += 1;
        bytes += question.len() + reply.len();
        match descent.take(mine, &reply, &mut 0).expect("an honest answer") {
            Step::Done => return Outcome { descent, rounds, bytes },
            Step::Ask(next) => question = next,
            Step::Stale => panic!("this answer was asked for"),
        }
    }
}

fn differences(mine: &BTreeSet<Key>, theirs: &BTreeSet<Key>) -> Differences {
    Differences {
        only_mine: mine.difference(theirs).copied().collect(),
        only_theirs: theirs.difference(mine).copied().collect(),
    }
}

#[test]
fn the_tree_is_that_of_its_keys_whatever_happened_before() {
    for seed in 0..150 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let names = seed % 2 == 0;
        let mut kept = Tree::new();
        let mut keys: BTreeSet<Key> = BTreeSet::new();
        for turn in 0..400 {
            let new = key(&mut rng, names);
            let old = keys.range(new..).next().copied();
            match old.filter(|_| rng.random_range(0..5) < 2) {
                Some(old) => {
                    assert!(keys.remove(&old) && kept.remove(old, &mut 0), "seed {seed}");
                    assert!(!kept.remove(old, &mut 0), "seed {seed}");
                }
                None => assert_eq!(kept.insert(new, &mut 0), keys.insert(new), "seed {seed}"),
            }
            if turn % 50 == 0 {
                kept.root_hash(&mut 0);
            }
        }
        kept.check();
        let mut shuffled: Vec<Key> = keys.iter().copied().collect();
        shuffled.shuffle(&mut rng);
        let fresh = tree(shuffled);
        fresh.check();
        // The same shape, and the same hashes below.
        let whole = |tree: &Tree| (tree.root_hash(&mut 0), tree.page(Span::ALL, &mut 0));
        assert_eq!(whole(&kept), whole(&fresh), "seed {seed}");
        assert!(kept.keys().into_iter().eq(keys.iter().copied()), "seed {seed}");
        for probe in (0..20).map(|_| key(&mut rng, names)) {
            assert_eq!(kept.contains(probe, &mut 0), keys.contains(&probe), "seed {seed}");
        }
        for key in &keys {
            assert!(kept.contains(*key, &mut 0), "seed {seed}");
            assert!(kept.remove(*key, &mut 0), "seed {seed}");
        }
        assert_eq!(kept.root_hash(&mut 0), EMPTY, "seed {seed}");
        assert!(kept.is_empty());
    }
}

#[test]
fn an_interval_has_the_tree_of_its_keys() {
    for seed in 0..300 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let keys: BTreeSet<Key> = (0..200).map(|_| key(&mut rng, true)).collect();
        let all = tree(keys.iter().copied());
        for _ in 0..20 {
            // Ends on keys, beside keys, and anywhere.
            let mut ends = [0, 0].map(|_| {
                let end = key(&mut rng, true);
                let end = keys.range(end..).next().copied().unwrap_or(Key::MAX);
                end.saturating_add(1).saturating_sub(rng.random_range(0..3))
            });
            ends.sort_unstable();
            let span = Span { first: ends[0], last: ends[1] };
            let part = tree(keys.range(span.first..=span.last).copied());
            let context = format!("seed {seed}: {span:x?}");
            assert_eq!(all.hash(span, &mut 0), part.root_hash(&mut 0), "{context}");
            assert_eq!(all.page(span, &mut 0), part.page(Span::ALL, &mut 0), "{context}");
            assert_eq!(all.list(span, &mut 0), part.keys(), "{context}");
        }
    }
}

#[test]
fn different_sets_have_different_hashes() {
    let mut seen = BTreeSet::new();
    for set in 0..1u32 << 12 {
        let keys = (0..12).filter(|bit| set >> bit & 1 == 1).map(|bit| Key::from(bit * 7u32));
        assert!(seen.insert(tree(keys).root_hash(&mut 0)), "set {set:b}");
    }
}

#[test]
fn both_lists_are_those_of_the_sets() {
    for seed in 0..400 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (mut mine, mut theirs) = (BTreeSet::new(), BTreeSet::new());
        let sides = [3, 10, 100][seed as usize % 3];
        for _ in 0..rng.random_range(0..600) {
            let key = key(&mut rng, seed % 2 == 0);
            let side = rng.random_range(0..sides);
            if side != 0 {
                theirs.insert(key);
            }
            if side != 1 {
                mine.insert(key);
            }
        }
        if seed % 10 == 0 {
            mine.clear();
        } else if seed % 10 == 1 {
            theirs.clear();
        }
        let outcome = exchange(&tree(mine.iter().copied()), &tree(theirs.iter().copied()));
        assert_eq!(*outcome.descent.differences(), differences(&mine, &theirs), "seed {seed}");
    }
}

#[test]
fn the_ends_of_the_key_space_are_keys_as_others() {
    let all = [0, 1, 2, Key::MAX - 2, Key::MAX - 1, Key::MAX];
    for mine in 0..64u32 {
        for theirs in 0..64u32 {
            let set = |bits: u32| -> BTreeSet<Key> {
                (0..6).filter(|at| bits >> at & 1 == 1).map(|at| all[at]).collect()
            };
            let outcome = exchange(&tree(set(mine)), &tree(set(theirs)));
            let expected = differences(&set(mine), &set(theirs));
            assert_eq!(*outcome.descent.differences(), expected, "{mine:b} and {theirs:b}");
        }
    }
}

/// Nodes and hashes that travel for `d` differences among `n` random keys, against d times the height.
#[test]
fn nodes_travel_for_differences_and_not_for_the_set() {
    for n in [1_000u32, 10_000, 100_000] {
        let mut rng = ChaCha8Rng::seed_from_u64(u64::from(n));
        let mut keys: Vec<Key> = (0..n).map(|_| rng.random()).collect();
        let mut mine = tree(keys.iter().copied());
        let theirs = tree(keys.iter().copied());
        mine.root_hash(&mut 0);
        theirs.root_hash(&mut 0);
        keys.shuffle(&mut rng);
        let mut changed = 0;
        for d in [0u32, 1, 3, 10, 30, 100, 300] {
            while changed < d {
                // Alternately a key that only they have, and one that only is here.
                match changed % 2 {
                    0 => mine.remove(keys[changed as usize], &mut 0),
                    _ => mine.insert(rng.random(), &mut 0),
                };
                changed += 1;
            }
            let outcome = exchange(&mine, &theirs);
            let Outcome { descent, rounds, bytes } = outcome;
            let (pages, hashes) = (descent.pages(), descent.hashes());
            println!(
                "n {n:6} d {d:3}: {pages:4} nodes, {hashes:5} hashes, {bytes:6} bytes, {rounds} rounds"
            );
            assert_eq!(descent.differences().len(), d as usize);
            let height = f64::from(n.ilog2() + 1) / 4.0;
            assert!(pages as f64 <= f64::from(d) * (height + 2.0) + 1.0, "{pages} nodes");
            assert!(hashes as f64 <= f64::from(d) * 20.0 * (height + 1.0) + 1.0, "{hashes} hashes");
            assert!(f64::from(rounds) <= height + 4.0, "{rounds} rounds");
        }
    }
}

/// The case that strategies have: the peer lacks, or holds beyond mine, the newest changes of some agents.
#[test]
fn the_newest_names_of_each_agent_are_neighbours() {
    let name = |agent: u32, counter: u32| Key::from(agent) << 96 | Key::from(counter);
    let of = |agents: u32, counters: u32| {
        tree((1..=agents).flat_map(|agent| (1..=counters).map(move |at| name(agent, at))))
    };
    for (agents, counters) in [(12, 100), (12, 1000), (2, 50_000)] {
        let theirs = of(agents, counters);
        let mut mine = of(agents, counters);
        let mut ahead = 0;
        for d in [1, 10, 100] {
            while ahead < d {
                ahead += 1;
                mine.insert(name(1, counters + ahead), &mut 0);
            }
            let Outcome { descent, rounds, bytes } = exchange(&mine, &theirs);
            let (pages, n) = (descent.pages(), agents * counters);
            println!("names, n {n:6} d {d:3}: {pages} nodes, {bytes} bytes, {rounds} rounds");
            assert_eq!(descent.differences().only_mine.len(), d as usize);
            assert!(bytes <= 6000, "{bytes} bytes for {d} neighbours");
        }
    }
}

#[test]
fn an_insertion_and_its_hash_cost_a_path() {
    let mut kept = tree(0..50_000);
    kept.root_hash(&mut 0);
    let mut visited = 0;
    for key in 0..1000u32 {
        kept.insert(Key::from(key) << 96, &mut visited);
        kept.root_hash(&mut visited);
    }
    assert!((10_000..300_000).contains(&visited), "{visited} visits for 1000 insertions");
    visited = 0;
    kept.root_hash(&mut visited);
    assert_eq!(visited, 1, "nothing changed since");
}

#[test]
fn differences_are_found_while_both_sets_change() {
    let mut changed = 0;
    for seed in 0..200 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut sets = [0, 1].map(|_| {
            let keys: BTreeSet<Key> = (0..400).map(|_| key(&mut rng, true)).collect();
            keys
        });
        let mut trees = [0, 1].map(|side: usize| tree(sets[side].iter().copied()));
        // Keys that one side had throughout and the other never.
        let mut lasting = differences(&sets[0], &sets[1]);
        let (mut descent, mut question) = Descent::start(&trees[0], &mut 0);
        let mut questions = 1;
        loop {
            let reply = answer(&trees[1], &question, &mut 0).expect("an honest question");
            for _ in 0..rng.random_range(0..60) {
                let side = rng.random_range(0..2);
                let key = key(&mut rng, true);
                if sets[side].insert(key) {
                    assert!(trees[side].insert(key, &mut 0));
                } else {
                    assert!(sets[side].remove(&key) && trees[side].remove(key, &mut 0));
                }
                lasting.only_mine.retain(|lasts| *lasts != key);
                lasting.only_theirs.retain(|lasts| *lasts != key);
                changed += 1;
            }
            match descent.take(&trees[0], &reply, &mut 0).expect("an honest answer") {
                Step::Done => break,
                Step::Ask(next) => question = next,
                Step::Stale => panic!("seed {seed}: this answer was asked for"),
            }
            questions += 1;
        }
        assert!(questions <= 18, "seed {seed}: {questions} questions");
        let found = descent.differences();
        let all = |all: &[Key], some: &[Key]| some.iter().all(|key| all.contains(key));
        assert!(all(&found.only_mine, &lasting.only_mine), "seed {seed}");
        assert!(all(&found.only_theirs, &lasting.only_theirs), "seed {seed}");
        assert!(found.only_mine.is_sorted_by(|a, b| a < b), "seed {seed}: something twice");
        assert!(found.only_theirs.is_sorted_by(|a, b| a < b), "seed {seed}: something twice");
    }
    assert!(changed > 5000, "only {changed} changes");
}

#[test]
fn doubled_and_late_answers_change_nothing() {
    for seed in 0..50 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mine = tree((0..300).map(|_| key(&mut rng, true)));
        let theirs = tree((0..300).map(|_| key(&mut rng, true)));
        let (mut descent, mut question) = Descent::start(&mine, &mut 0);
        let mut seen = vec![Message::Same.encode()];
        loop {
            let reply = answer(&theirs, &question, &mut 0).expect("an honest question");
            let step = descent.take(&mine, &reply, &mut 0).expect("an honest answer");
            seen.push(reply);
            let before = descent.differences().clone();
            for old in &seen {
                assert_eq!(descent.take(&mine, old, &mut 0), Ok(Step::Stale), "seed {seed}");
            }
            assert_eq!(*descent.differences(), before, "seed {seed}");
            match step {
                Step::Ask(next) => question = next,
                _ => break,
            }
        }
    }
}

#[test]
fn truncated_and_flipped_bytes_are_refused_or_harmless() {
    let (mut refused, mut taken) = (0, 0);
    for seed in 0..1500 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mine = tree((0..100).map(|_| key(&mut rng, true)));
        let theirs = tree((0..100).map(|_| key(&mut rng, true)));
        let (mut descent, mut question) = Descent::start(&mine, &mut 0);
        let spoil = |bytes: &mut Vec<u8>, rng: &mut ChaCha8Rng| {
            let at = rng.random_range(0..bytes.len());
            match rng.random_range(0..6) {
                0 => bytes.truncate(at),
                1 => bytes[at] ^= 1 << rng.random_range(0..8),
                _ => {}
            }
        };
        for questions in 0.. {
            assert!(questions <= 18, "seed {seed}: {questions} questions");
            spoil(&mut question, &mut rng);
            let Ok(mut reply) = answer(&theirs, &question, &mut 0) else {
                refused += 1;
                break;
            };
            spoil(&mut reply, &mut rng);
            if let Ok(recoded) = recode(&reply) {
                assert_eq!(recoded, reply, "seed {seed}: another form of the same");
            }
            let before = format!("{descent:?}");
            match descent.take(&mine, &reply, &mut 0) {
                Ok(Step::Ask(next)) => question = next,
                Ok(_) => {
                    taken += 1;
                    break;
                }
                Err(_) => {
                    assert_eq!(format!("{descent:?}"), before, "seed {seed}: refused, yet changed");
                    refused += 1;
                    break;
                }
            }
        }
    }
    assert!(refused > 300 && taken > 100, "{refused} refused, {taken} taken");
}

#[test]
fn answers_that_no_tree_gives_are_refused() {
    let mine = tree(0..1000);
    let of_level = |wanted: u8| (5000..).find(|key| level(*key) == wanted).expect("one in 16^n");
    let refuses = |below: u8, pages: Vec<Page>| {
        let (mut descent, _) = Descent::start(&mine, &mut 0);
        if below == 0 {
            descent = Descent::start(&Tree::new(), &mut 0).0;
        }
        let reply = Message::Pages { round: 0, pages }.encode();
        descent.take(&mine, &reply, &mut 0).is_err()
    };
    let page = |keys: &[Key], children: &[u128]| {
        let mut keys = keys.to_vec();
        keys.sort_unstable();
        Page { keys, children: children.to_vec() }
    };
    let (low, high) = (of_level(0), of_level(2));
    assert!(!refuses(1, vec![page(&[high], &[1, 0])]), "an honest form");
    assert!(refuses(1, vec![]), "no page");
    assert!(refuses(1, vec![page(&[high], &[]), page(&[], &[])]), "two pages");
    assert!(refuses(1, vec![page(&[low, high], &[])]), "two levels in a node");
    assert!(refuses(1, vec![page(&[low], &[1, 0])]), "something below the lowest level");
    assert!(refuses(0, vec![page(&[high], &[1, 0])]), "hashes in a list");
    assert!(!refuses(0, vec![page(&[low, high], &[])]), "a list of several levels");
    let pair = (5000..).find(|key| level(*key) == 1 && level(key + 1) == 1).expect("one in 256");
    assert!(refuses(1, vec![page(&[pair, pair + 1], &[0, 1, 0])]), "something where no key fits");
    // Asked for an interval, answered with keys outside of it.
    let theirs = tree(500..1500);
    let (mut descent, question) = Descent::start(&mine, &mut 0);
    let reply = answer(&theirs, &question, &mut 0).expect("an honest question");
    let Ok(Step::Ask(question)) = descent.take(&mine, &reply, &mut 0) else {
        panic!("the sets differ by more than a node");
    };
    let Ok(Message::Ask { round, wanted }) = Message::decode(&question) else {
        panic!("its own question");
    };
    let mut pages = vec![Page::default(); wanted.len()];
    pages[0].keys = vec![wanted[0].span.last + 1];
    let reply = Message::Pages { round, pages }.encode();
    assert!(descent.take(&mine, &reply, &mut 0).is_err(), "outside");
    assert!(descent.take(&mine, &question, &mut 0).is_err(), "a question");
    assert!(answer(&theirs, &reply, &mut 0).is_err(), "an answer");
}

#[test]
fn an_endless_answer_ends() {
    // A peer that always claims to have more below, of the highest level it can name.
    let mine = tree(0..1000);
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let (mut descent, question) = Descent::start(&mine, &mut 0);
    let mut asked = vec![Wanted { span: Span::ALL, list: false }];
    let (mut round, mut questions) = (0, 1);
    assert_eq!(question.len(), 18);
    loop {
        let pages = asked.iter().map(|Wanted { span, list }| {
            let middle = span.first + (span.last - span.first) / 2;
            let key = (middle..=span.last).find(|key| level(*key) == 1).unwrap_or(middle);
            let children = if *list || level(key) == 0 { vec![] } else { vec![rng.random(), 1] };
            Page { keys: vec![key], children }
        });
        let reply = Message::Pages { round, pages: pages.collect() }.encode();
        match descent.take(&mine, &reply, &mut 0) {
            Ok(Step::Ask(next)) => match Message::decode(&next) {
                Ok(Message::Ask { round: number, wanted }) => (round, asked) = (number, wanted),
                other => panic!("{other:?}"),
            },
            _ => break,
        }
        questions += 1;
        assert!(questions <= 18, "{questions} questions");
    }
    assert_eq!(questions, 3, "the root, a node below it, then lists");
}

#[test]
fn numbers_from_the_wire_allocate_nothing() {
    for kind in [1, 3] {
        let mut bytes = vec![1, kind, 0];
        bytes.extend([0xff, 0xff, 0xff, 0xff, 0xff, 0x01]);
        assert!(recode(&bytes).is_err());
        let mut bytes = vec![1, kind, 0, 1];
        bytes.extend([0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 0, 0, 0]);
        assert!(recode(&bytes).is_err());
    }
}
