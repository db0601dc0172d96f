//! The laws that every strategy keeps, each a named test over the whole registry. A strategy that cannot keep one says so in its
//! profile, with what it keeps instead; a law that is neither kept nor declared fails here, and so does a declared exception
//! that in fact holds.
//!
//! The suite includes a small strategy of its own, which keeps every law, and broken ones (`laws/broken.rs`), which show that
//! every law can fail.

#[path = "laws/allocation.rs"]
mod allocation;
#[path = "laws/broken.rs"]
mod broken;
#[path = "laws/editor.rs"]
mod editor;
#[path = "laws/explorer.rs"]
mod explorer;
#[path = "laws/harness.rs"]
mod harness;
#[path = "laws/hostile.rs"]
mod hostile;
#[path = "laws/keep.rs"]
mod keep;
#[path = "laws/kinds.rs"]
mod kinds;
#[path = "laws/merges.rs"]
mod merges;
#[path = "laws/naive.rs"]
mod naive;
#[path = "laws/older.rs"]
mod older;
#[path = "laws/orders.rs"]
mod orders;
#[path = "laws/reports.rs"]
mod reports;
#[path = "laws/stage.rs"]
mod stage;
#[path = "laws/toy.rs"]
mod toy;
#[path = "laws/wander.rs"]
mod wander;

use reconverge_strategies::{Law, Strategy, registry};
use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

/// What breaks a law, or nothing.
type Check = fn(&dyn Strategy) -> Result<(), String>;

/// A strategy that takes longer over one law hangs: long enough for a slow machine that does something else as well.
const PATIENCE: Duration = Duration::from_secs(1200);

#[test]
fn local_visibility() {
    over_registry(Law::LocalVisibility, keep::local_visibility);
}

#[test]
fn same_bytes() {
    over_registry(Law::SameBytes, keep::same_bytes);
}

#[test]
fn round_trip() {
    over_registry(Law::RoundTrip, keep::round_trip);
}

#[test]
fn hostile_bytes() {
    over_registry(Law::HostileBytes, hostile::hostile_bytes);
}

#[test]
fn duplicates() {
    over_registry(Law::Duplicates, keep::duplicates);
}

#[test]
fn orders() {
    over_registry(Law::Orders, orders::orders);
}

#[test]
fn save_restore() {
    over_registry(Law::SaveRestore, keep::save_restore);
}

#[test]
fn sequential() {
    over_registry(Law::Sequential, keep::sequential);
}

#[test]
fn quiescence() {
    over_registry(Law::Quiescence, keep::quiescence);
}

#[test]
fn cargo_inert() {
    over_registry(Law::CargoInert, keep::cargo_inert);
}

/// What holds among replicas of one release holds among those of two.
#[test]
fn quiescence_of_two_releases() {
    over(registry().to_vec(), Law::Quiescence, |strategy| {
        keep::quiescence(&older::TwoReleases(strategy))
    });
}

/// Every strategy keeps the law or breaks it as it declares; all that do not are listed. Whoever writes a strategy may name it, or the beginning of
/// some names, in `RECONVERGE_STRATEGY`, so that the others need not be waited for.
fn over_registry(law: Law, check: Check) {
    let toy: &'static dyn Strategy = &toy::TOY;
    over(registry().iter().copied().chain([toy]).collect(), law, check);
}

/// The same over some strategies.
fn over(strategies: Vec<&'static dyn Strategy>, law: Law, check: Check) {
    let named = std::env::var_os("RECONVERGE_STRATEGY").unwrap_or_default();
    let named = named.to_string_lossy();
    let judged: Vec<_> =
        strategies.into_iter().filter(|strategy| strategy.name().starts_with(&*named)).collect();
    assert!(!judged.is_empty(), "no strategy begins with {named}");
    // A few at a time, so that patience is measured on each and not on how many there are.
    let next = AtomicUsize::new(0);
    let judge_next = || {
        let mut failures = Vec::new();
        while let Some(strategy) = judged.get(next.fetch_add(1, Ordering::Relaxed)) {
            failures.extend(judge(law, *strategy, check, PATIENCE).err());
        }
        failures
    };
    let failures: Vec<String> = thread::scope(|scope| {
        let workers = [(); 2].map(|()| scope.spawn(judge_next));
        workers
            .into_iter()
            .flat_map(|worker| worker.join().expect("a judge does not panic"))
            .collect()
    });
    // Past what captures the output of tests that pass.
    let (ran, count) = (keep::RAN.load(Ordering::Relaxed), judged.len());
    let _ = writeln!(std::io::stderr(), "{law:?} of {count} strategies; {ran} random cases so far");
    assert!(failures.is_empty(), "{law:?}:\n{}", failures.join("\n"));
}

/// Whether a strategy does what its profile says of a law.
fn judge(
    law: Law,
    strategy: &'static dyn Strategy,
    check: Check,
    patience: Duration,
) -> Result<(), String> {
    let name = strategy.name();
    let exception = strategy.profile().exceptions.iter().find(|(excepted, _)| *excepted == law);
    match (within(patience, strategy, check), exception) {
        (Ok(()), None) | (Err(_), Some(_)) => Ok(()),
        (Err(what), None) => Err(format!("{name} breaks {law:?}: {what}")),
        (Ok(()), Some((_, instead))) => {
            Err(format!("{name} keeps {law:?}, though it declares that it does not ({instead})"))
        }
    }
}

/// Checks in a thread of its own, so that a strategy that hangs is named.
fn within(patience: Duration, strategy: &'static dyn Strategy, check: Check) -> Result<(), String> {
    let (done, verdict) = channel();
    let worker = thread::spawn(move || done.send(check(strategy)));
    match verdict.recv_timeout(patience) {
        Ok(verdict) => verdict,
        Err(RecvTimeoutError::Timeout) => Err(format!("it has not ended within {patience:?}")),
        Err(RecvTimeoutError::Disconnected) => Err(match worker.join() {
            Err(panic) => keep::panic_text(&*panic),
            Ok(_) => String::from("it ended without a verdict"),
        }),
    }
}
