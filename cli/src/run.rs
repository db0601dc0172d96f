//! `run`: all trials of a scenario, compared.

use std::num::NonZero;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use reconverge_reports::{self as reports, Colour, Comparison, RunInfo};
use reconverge_scenarios::{Scenario, to_toml};
use reconverge_simulator::oracle;
use reconverge_simulator::row::{Status, TrialResult};
use reconverge_simulator::trial::{self, Case};
use reconverge_strategies::Strategy;

use crate::args::{Format, RunArgs, TrialArgs};
use crate::error::Failure;
use crate::load::load;
use crate::output::{self, Stream};
use crate::{episode, progress, select};

pub(crate) fn run(args: &RunArgs, known: &[&dyn Strategy]) -> Result<ExitCode, Failure> {
    let loaded = load(&args.scenario)?;
    let scenario = &loaded.scenario;
    let chosen = select::strategies(&loaded, &args.trials.strategies, known)?;
    let budgeted = select::budgeted(&loaded, &chosen, known)?;
    let seeds = seeds(&args.trials, scenario);
    check_out(&args.out, &scenario.name)?;

    let cases = cases(scenario, &chosen, seeds.clone());
    let mut results = run_trials(&cases, jobs(args.jobs), args.quiet);
    let rows = results.iter().map(|result| &result.row);
    let broken = reports::check_budgets(&scenario.budgets, &budgeted, rows);
    let broken = broken.expect("the budgets were validated");
    results.extend(oracles(scenario, seeds.clone(), jobs(args.jobs)));
    let episode = episode::episode(scenario, &chosen, seeds.start);
    let strategies: Vec<String> = chosen.iter().map(|s| s.name().to_owned()).collect();
    let info = RunInfo {
        scenario_name: scenario.name.clone(),
        scenario_toml: to_toml(scenario),
        analysis: scenario.analysis.clone(),
        overrides: args
            .scenario
            .overrides
            .iter()
            .map(|o| format!("{}={}", o.path, o.value))
            .collect(),
        baseline: reports::default_baseline(&strategies).to_owned(),
        strategies,
        seeds,
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let comparison = Comparison::new(&info, &results);
    let product = product(args.format, &comparison, &broken);
    let written =
        reports::write_comparison(&args.out, &comparison, &episode, &broken).map_err(|error| {
            let message = error.to_string();
            match error {
                reports::WriteError::Io { source, .. } => Failure::io(message, source),
                reports::WriteError::Name(_) => Failure::input(message),
            }
        });
    output::print(&product)?;
    let folder = written?;
    if !args.quiet {
        output::say(&format!("The report is {}\n", folder.join("report.html").display()));
    }
    let well = |result: &TrialResult| matches!(result.row.status, Status::Ok | Status::Unsupported);
    let all_well = broken.is_empty() && results.iter().all(well);
    Ok(ExitCode::from(if all_well { 0 } else { 1 }))
}

/// What goes to standard output.
fn product(format: Format, comparison: &Comparison<'_>, broken: &[String]) -> String {
    match format {
        Format::Table if output::in_colour(Stream::Output) => {
            reports::terminal(comparison, broken, Colour::Ansi)
        }
        Format::Table => reports::terminal(comparison, broken, Colour::Plain),
        Format::Csv => reports::csv(comparison),
        Format::Json => reports::json(comparison),
        Format::Markdown => reports::markdown(comparison, broken),
    }
}

/// The seeds that are asked for, or else as many as the scenario says.
pub(crate) fn seeds(args: &TrialArgs, scenario: &Scenario) -> Range<u64> {
    args.seeds.as_ref().map_or(0..u64::from(scenario.seeds), |seeds| seeds.0.clone())
}

/// How many trials run at the same time.
pub(crate) fn jobs(asked: Option<u32>) -> usize {
    let cores = || std::thread::available_parallelism().map_or(1, NonZero::get);
    asked.map_or_else(cores, |jobs| jobs as usize)
}

/// Every strategy under every seed; the first seed in detail.
pub(crate) fn cases<'a>(
    scenario: &'a Scenario,
    strategies: &[&'a dyn Strategy],
    seeds: Range<u64>,
) -> Vec<Case<'a>> {
    let first = seeds.start;
    let of = |strategy: &'a dyn Strategy| {
        seeds.clone().map(move |seed| Case {
            scenario,
            strategy,
            seed,
            detailed: seed == first,
            script: None,
        })
    };
    strategies.iter().flat_map(|strategy| of(*strategy)).collect()
}

/// Runs them all, with a progress bar and a real clock: the only one there is.
pub(crate) fn run_trials(cases: &[Case<'_>], jobs: usize, quiet: bool) -> Vec<TrialResult> {
    let begun = Instant::now();
    let bar = progress::bar(cases.len() as u64, "trials", quiet);
    let results =
        trial::run_all(cases, jobs, &|| begun.elapsed().as_micros() as u64, &|_| bar.inc(1));
    bar.finish_and_clear();
    results
}

/// What perfect knowledge would cost under each seed, beside what the strategies did.
fn oracles(scenario: &Scenario, seeds: Range<u64>, jobs: usize) -> Vec<TrialResult> {
    let begun = Instant::now();
    let seeds: Vec<u64> = seeds.collect();
    trial::in_parallel(seeds.len(), jobs, |n| {
        let begun_us = begun.elapsed().as_micros() as u64;
        let mut result = oracle::run(scenario, seeds[n]);
        result.timing.wall_us = begun.elapsed().as_micros() as u64 - begun_us;
        result
    })
}

/// Whether files can be put there, as far as that can be known without making anything.
fn check_out(out: &Path, scenario_name: &str) -> Result<(), Failure> {
    if out.as_os_str().is_empty() {
        return Err(Failure::input("--out: expected a folder, found an empty path"));
    }
    let folder: PathBuf = out.join(scenario_name);
    for path in folder.ancestors().filter(|path| !path.as_os_str().is_empty()) {
        match path.metadata() {
            Ok(found) if !found.is_dir() => {
                let message = format!("--out: {} is not a folder", path.display());
                return Err(Failure::input(message));
            }
            Ok(_) => return Ok(()),
            // A link that leads nowhere.
            Err(_) if path.is_symlink() => {
                return Err(Failure::input(format!("--out: {} leads nowhere", path.display())));
            }
            Err(_) => {}
        }
    }
    Ok(())
}
