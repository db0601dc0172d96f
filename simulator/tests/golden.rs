//! Digests of small trials of every strategy, held fixed in `golden/digests.txt`. They change where a strategy, the engine or the scenario
//! `small` changes what happens, be it by a nanosecond or a byte; then this writes them anew, and the difference is reviewed:
//!
//! ```text
//! RECONVERGE_BLESS=1 cargo test -p reconverge-simulator --test golden
//! ```

mod common;

use common::*;
use reconverge_simulator::row::Status;
use reconverge_strategies::registry;
use std::collections::BTreeMap;
use std::fmt::Write as _;

const COMMAND: &str = "RECONVERGE_BLESS=1 cargo test -p reconverge-simulator --test golden";
const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/digests.txt");
const HEAD: &str = "# Trials of the scenario `small`: strategy, seed, digest of all that happened, digest of the world.";

#[test]
fn small_trials_are_what_they_were() {
    let scenario = built_in("small", &[]);
    let mut found: BTreeMap<(String, u64), String> = BTreeMap::new();
    for strategy in registry() {
        for seed in 0..3 {
            let row = trial(&scenario, *strategy, seed).result.row;
            assert_eq!(row.status, Status::Ok, "{} seed {seed}: {}", row.strategy, row.reason);
            let digests = format!("{:032x} {:032x}", row.digest, row.world_digest);
            found.insert((row.strategy, seed), digests);
        }
    }
    #[expect(clippy::disallowed_methods, reason = "no trial depends on it")]
    let bless = std::env::var("RECONVERGE_BLESS").is_ok();
    if bless {
        let mut text = format!("{HEAD}\n# Written by: {COMMAND}\n");
        for ((strategy, seed), digests) in &found {
            writeln!(text, "{strategy} {seed} {digests}").expect("strings take everything");
        }
        return std::fs::write(PATH, text).expect("the folder can be written to");
    }
    let text = std::fs::read_to_string(PATH).unwrap_or_default();
    let mut golden: BTreeMap<(String, u64), String> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.splitn(3, ' ');
        let mut word = || words.next().unwrap_or_default();
        let key = (word().to_owned(), word().parse().expect("a seed"));
        golden.insert(key, word().to_owned());
    }
    let mut differences = String::new();
    let keys: std::collections::BTreeSet<_> = golden.keys().chain(found.keys()).collect();
    for key in keys {
        let (was, is) = (golden.get(key), found.get(key));
        if was != is {
            let or_none = |digests: Option<&String>| digests.map_or("none", |d| d).to_owned();
            writeln!(
                differences,
                "{} seed {}: was {}, is {}",
                key.0,
                key.1,
                or_none(was),
                or_none(is)
            )
            .expect("strings take everything");
        }
    }
    assert!(
        differences.is_empty(),
        "digest and world digest of trials of `small`:\n{differences}If that is meant: {COMMAND}"
    );
}
