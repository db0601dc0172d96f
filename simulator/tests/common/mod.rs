//! What the tests of the engine share: scenarios, probes made of closures, statistics, and strategies that somebody meddles with.
#![allow(dead_code, reason = "each test file uses a part of it")]

pub mod history;
pub mod meddling;

use reconverge_scenarios::{Override, Scenario, builtin, parse};
use reconverge_simulator::fact::{Fact, Probe};
use reconverge_simulator::row::{Metrics, Row, Status};
use reconverge_simulator::trial::{Case, Finished, run};
use reconverge_strategies::{Strategy, registry};

pub const SECOND: u64 = 1_000_000_000;
pub const MINUTE: u64 = 60 * SECOND;
pub const HOUR: u64 = 60 * MINUTE;

/// A probe that hands each fact to a closure.
pub struct Listen<F>(pub F);

impl<F: FnMut(u64, &Fact<'_>)> Probe for Listen<F> {
    fn observe(&mut self, at_ns: u64, fact: &Fact<'_>) {
        (self.0)(at_ns, fact);
    }
}

/// A scenario from its text.
pub fn scenario(text: &str) -> Scenario {
    match parse(text, "test.toml", &[]) {
        Ok(scenario) => scenario,
        Err(error) => panic!("{error}"),
    }
}

/// A built-in scenario with some values replaced: `path=value`.
pub fn built_in(name: &str, overrides: &[&str]) -> Scenario {
    let overrides: Vec<Override> =
        overrides.iter().map(|text| text.parse().expect("path=value")).collect();
    match parse(builtin(name).expect("a built-in scenario"), name, &overrides) {
        Ok(scenario) => scenario,
        Err(error) => panic!("{error}"),
    }
}

/// A strategy of the registry.
pub fn strategy(name: &str) -> &'static dyn Strategy {
    let named = registry().iter().find(|strategy| strategy.name() == name);
    *named.unwrap_or_else(|| panic!("no strategy {name}"))
}

/// One trial, without a listener.
pub fn trial(scenario: &Scenario, strategy: &dyn Strategy, seed: u64) -> Finished {
    let case = Case { scenario, strategy, seed, detailed: false, script: None };
    run(&case, &mut [])
}

/// One trial, every fact of which goes to a closure.
pub fn listen(
    scenario: &Scenario,
    strategy: &dyn Strategy,
    seed: u64,
    take: impl FnMut(u64, &Fact<'_>),
) -> Finished {
    let case = Case { scenario, strategy, seed, detailed: false, script: None };
    run(&case, &mut [&mut Listen(take)])
}

/// The figures of a trial that ended well.
pub fn figures(row: &Row) -> &Metrics {
    assert_eq!(row.status, Status::Ok, "{} seed {}: {}", row.strategy, row.seed, row.reason);
    row.metrics.as_ref().expect("a trial that ended well has figures")
}

/// Mean and standard error of the mean of independent values.
pub fn mean_and_error(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|value| (value - mean) * (value - mean)).sum();
    (mean, (squares / (n - 1.0) / n).sqrt())
}

/// The mean of independent replications lies within four of its standard errors of the closed form, and that error is small enough to
/// mean something: below `resolution` of the expected value.
pub fn assert_agrees(what: &str, replications: &[f64], expected: f64, resolution: f64) {
    let (mean, error) = mean_and_error(replications);
    println!("{what}: {mean:.6} ± {error:.6}, closed form {expected:.6}");
    assert!(error < resolution * expected.abs(), "{what}: {error} is too coarse for {expected}");
    let distance = (mean - expected).abs();
    assert!(distance < 4.0 * error, "{what}: {mean} ± {error}, closed form {expected}");
}
