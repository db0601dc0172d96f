//! Random histories, with an account of what users did and what must be left of it.

use super::star::*;
use crate::contract::*;
use crate::document::*;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeMap, BTreeSet};

/// What users did to one record, each with contents of his own, and took away while they saw it.
#[derive(Default)]
pub struct Ledger {
    puts: BTreeSet<Value>,
    puts_gone: BTreeSet<Value>,
    /// Every addition is another power of two, so that a sum says which additions are in it.
    added: i64,
    taken: i64,
    elements: BTreeSet<Value>,
    elements_gone: BTreeSet<Value>,
    chars: BTreeSet<char>,
    chars_gone: BTreeSet<char>,
}

impl Ledger {
    fn random_edit(&mut self, rng: &mut ChaCha8Rng, star: &Star, n: usize) -> Option<Edit> {
        Some(match rng.random_range(0..12) {
            0 | 1 => {
                self.puts_gone.extend(star.value(n));
                let value = Value::from(format!("v{}", self.puts.len()));
                self.puts.insert(value.clone());
                Edit::Put { cell: REGISTER, value }
            }
            2 => self.delete(star, n),
            3 | 4 => {
                let amount = self.added + 1;
                if amount == 1 << 62 {
                    return None;
                }
                self.added += amount;
                add(amount)
            }
            5 | 6 => {
                let element = Value::from(format!("e{}", self.elements.len()));
                self.elements.insert(element.clone());
                Edit::Insert { cell: SET, element }
            }
            7 => {
                let shown: Vec<Value> = star.elements(n).into_iter().collect();
                let element = shown.choose(rng)?.clone();
                self.elements_gone.insert(element.clone());
                Edit::Remove { cell: SET, element }
            }
            8 => self.resolve(rng, star, n),
            _ => {
                let shown: Vec<char> = star.text(n).chars().collect();
                let at = rng.random_range(0..=shown.len());
                let delete = rng.random_range(0..=(shown.len() - at).min(3));
                self.chars_gone.extend(&shown[at..at + delete]);
                write(at, delete, &self.fresh_text(rng))
            }
        })
    }

    fn delete(&mut self, star: &Star, n: usize) -> Edit {
        self.puts_gone.extend(star.value(n));
        self.taken |= star.sum(n);
        self.elements_gone.extend(star.elements(n));
        self.chars_gone.extend(star.text(n).chars());
        DELETE
    }

    /// Nothing here is ever in conflict; an answer nevertheless replaces what is shown.
    fn resolve(&mut self, rng: &mut ChaCha8Rng, star: &Star, n: usize) -> Edit {
        let text = self.fresh_text(rng);
        self.chars_gone.extend(star.text(n).chars());
        Edit::Resolve { cell: TEXT, content: Content::Text(text), seen: Vec::new() }
    }

    /// Characters that nobody used before, some of three bytes and some of four; not letters, which would make words.
    fn fresh_text(&mut self, rng: &mut ChaCha8Rng) -> String {
        let mut text = String::new();
        for number in (self.chars.len() as u32..).take(rng.random_range(0..4)) {
            let plane = if number % 2 == 0 { 0xe000 } else { 0xf_0000 };
            text.push(char::from_u32(plane + number).expect("no surrogate"));
        }
        self.chars.extend(text.chars());
        text
    }

    pub fn check(&self, star: &Star, words: &str) {
        assert_eq!(star.sum(SERVER), self.added & !self.taken, "{words}: the counter");
        let left = |all: &BTreeSet<Value>, gone| all - gone;
        assert_eq!(star.elements(SERVER), left(&self.elements, &self.elements_gone), "{words}");
        let chars: Vec<char> = star.text(SERVER).chars().collect();
        let distinct: BTreeSet<char> = chars.iter().copied().collect();
        assert_eq!(chars.len(), distinct.len(), "{words}: a character is doubled");
        assert_eq!(distinct, &self.chars - &self.chars_gone, "{words}: the text");
        match star.value(SERVER) {
            Some(value) => {
                let left = left(&self.puts, &self.puts_gone);
                assert!(left.contains(&value), "{words}: {value:?} was taken away");
            }
            // Every write lost to a later one, and the last was taken away by somebody who saw it.
            None => assert_eq!(self.puts.is_empty(), self.puts_gone.is_empty(), "{words}"),
        }
    }
}

pub fn random_step(rng: &mut ChaCha8Rng, star: &mut Star, ledger: &mut Ledger) {
    // The server has no user, but may.
    let n = rng.random_range(0..4);
    let client = [0, 2, 3][rng.random_range(0..3)];
    match rng.random_range(0..20) {
        0..8 => {
            if let Some(edit) = ledger.random_edit(rng, star, n) {
                star.edit(n, &edit);
            }
        }
        8..11 if star.open[client] => star.sync(client, SERVER),
        11..13 if star.open[client] => star.sync(SERVER, client),
        13..15 => star.deliver_up(client),
        15..17 => star.deliver_down(client),
        17 if star.open[client] => star.lose(client),
        18 if !star.open[client] => star.connect(client),
        19 if rng.random_bool(0.3) => star.restart(n),
        _ => {}
    }
}

#[test]
fn whatever_happens_all_show_the_same_and_only_rival_writes_are_lost() {
    for kind in KINDS {
        for seed in 0..400 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let (mut star, mut ledger) = (Star::new(kind), Ledger::default());
            for _ in 0..rng.random_range(5..200) {
                random_step(&mut rng, &mut star, &mut ledger);
            }
            star.settle();
            star.converged(&format!("{kind:?}, seed {seed}"));
            ledger.check(&star, &format!("{kind:?}, seed {seed}"));
            let history = star.replicas[SERVER].footprint().history_bytes;
            assert_eq!(history, 0, "{kind:?}, seed {seed}: everybody has everything");
        }
    }
}

#[test]
fn reports_say_when_edits_came_and_were_acknowledged() {
    for kind in KINDS {
        for seed in 0..200 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let (mut star, mut ledger) = (Star::new(kind), Ledger::default());
            for _ in 0..100 {
                random_step(&mut rng, &mut star, &mut ledger);
            }
            star.settle();
            for n in 0..4 {
                let mut applied: BTreeMap<EditId, u32> = BTreeMap::new();
                let mut acknowledged: BTreeMap<EditId, u32> = BTreeMap::new();
                let mut replaced = BTreeSet::new();
                for change in &star.changes[n] {
                    match change {
                        Change::Applied { edit } => *applied.entry(*edit).or_default() += 1,
                        Change::Acknowledged { edit } => {
                            *acknowledged.entry(*edit).or_default() += 1
                        }
                        Change::Replaced { edit, .. } => {
                            replaced.insert(*edit);
                        }
                        other => panic!("{kind:?}, seed {seed}: {other:?}"),
                    }
                }
                for origin in 0..4 {
                    for sequence in 1..=star.sequences[origin] {
                        let edit = EditId { origin: id(origin), sequence };
                        let words = format!("{kind:?}, seed {seed}: {edit} at {n}");
                        if origin == n {
                            assert_eq!(acknowledged.get(&edit), Some(&1), "{words}");
                        } else {
                            let came = applied.get(&edit);
                            assert!(came == Some(&1) || replaced.contains(&edit), "{words}");
                            assert!(came <= Some(&1), "{words} came more than once");
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn tampered_messages_are_refused_or_handled() {
    for kind in KINDS {
        for seed in 0..300 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let (mut star, mut ledger) = (Star::new(kind), Ledger::default());
            for _ in 0..80 {
                random_step(&mut rng, &mut star, &mut ledger);
            }
            for n in star.clients() {
                for (to, from) in [(SERVER, n), (n, SERVER)] {
                    let queue = if to == SERVER { &star.up[n] } else { &star.down[n] };
                    let Some((mut bytes, cargo)) = queue.front().cloned() else { continue };
                    let at = rng.random_range(0..bytes.len());
                    if rng.random_bool(0.2) {
                        bytes.truncate(at);
                    } else {
                        bytes[at] = rng.random();
                    }
                    let before = star.shown(to);
                    let input = Input::Receive { from: id(from), bytes: &bytes, cargo: &cargo };
                    if star.handle(to, input).is_err() {
                        assert_eq!(star.shown(to), before, "{kind:?}, seed {seed}: {bytes:02x?}");
                    }
                }
            }
            // What was taken for honest may make later messages fail, but nobody panics.
            for n in star.clients() {
                star.edit(n, &write(0, star.text(n).chars().count().min(2), "x"));
                star.edit(n, &DELETE);
                star.sync(n, SERVER);
                while let Some((bytes, cargo)) = star.up[n].pop_front() {
                    let input = Input::Receive { from: id(n), bytes: &bytes, cargo: &cargo };
                    let _: Result<(), Malformed> = star.handle(SERVER, input);
                }
                star.sync(SERVER, n);
                while let Some((bytes, cargo)) = star.down[n].pop_front() {
                    let input = Input::Receive { from: id(SERVER), bytes: &bytes, cargo: &cargo };
                    let _: Result<(), Malformed> = star.handle(n, input);
                }
            }
        }
    }
}
