//! `check --determinism`: the same trials twice, on one thread and on several; where they differ, the first fact in which they do.

use std::process::ExitCode;
use std::sync::mpsc::{Receiver, sync_channel};

use reconverge_simulator::probe::log::{Line, Log};
use reconverge_simulator::row::{Row, Status, TrialResult};
use reconverge_simulator::trial::{self, Case};

use crate::error::Failure;
use crate::output;
use crate::run::run_trials;

/// How far the one of two compared runs may be ahead, in facts.
const AHEAD: usize = 4096;

/// Runs the trials once on one thread and once on `jobs` (at least two), and compares them.
pub(crate) fn check(cases: &[Case<'_>], jobs: usize) -> Result<ExitCode, Failure> {
    let jobs = jobs.max(2);
    let alone = run_trials(cases, 1, false);
    let together = run_trials(cases, jobs, false);
    let mut differing = Vec::new();
    for (case, (one, other)) in cases.iter().zip(alone.iter().zip(&together)) {
        if let Some(difference) = difference(one, other) {
            differing.push((case, difference));
        }
    }
    if differing.is_empty() {
        let run = alone.iter().filter(|result| result.row.status != Status::Unsupported).count();
        let aside = match alone.len() - run {
            0 => String::new(),
            count => format!(" ({count} more are unsupported)"),
        };
        output::print(&format!(
            "{run} trials, each on 1 thread and on {jobs}: the same digests and figures{aside}\n"
        ))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = String::new();
    for (case, difference) in &differing {
        let (name, seed) = (case.strategy.name(), case.seed);
        text += &format!("{name}, seed {seed}: {difference}\n{}\n", first_difference(case));
    }
    output::print(&text)?;
    let (count, all) = (differing.len(), cases.len());
    Err(Failure::run(format!("{count} of {all} trials differ from run to run")))
}

/// What differs between two results of the same trial; `None` where nothing does. Only the real time may.
fn difference(one: &TrialResult, other: &TrialResult) -> Option<String> {
    let (a, b): (&Row, &Row) = (&one.row, &other.row);
    if a.world_digest != b.world_digest {
        return Some(digests("the worlds", a.world_digest, b.world_digest));
    }
    if a.digest != b.digest {
        return Some(digests("the facts", a.digest, b.digest));
    }
    if a != b {
        return Some("the same facts, but other figures".to_owned());
    }
    let same = one.timeline == other.timeline
        && one.timing.events == other.timing.events
        && one.histograms.named().iter().zip(other.histograms.named()).all(|(a, b)| *a.1 == *b.1);
    (!same).then(|| "the same facts and figures, but another course".to_owned())
}

fn digests(what: &str, one: u128, other: u128) -> String {
    format!("{what} differ, with digests {one:032x} and {other:032x}")
}

/// Runs a trial twice more, side by side, and finds the first fact in which the two differ, with its time.
fn first_difference(case: &Case<'_>) -> String {
    std::thread::scope(|scope| {
        let facts = || {
            let (sender, receiver) = sync_channel::<Line>(AHEAD);
            let case = *case;
            scope.spawn(move || {
                // After the first difference nobody listens any more.
                let mut log = Log::new(0, u64::MAX, |line| drop(sender.send(line)));
                trial::run(&case, &mut [&mut log]);
            });
            receiver
        };
        let (one, other) = (facts(), facts());
        match first_unequal(&one, &other) {
            Some((one, other)) => {
                let words = |line: Option<Line>| line.map_or("nothing more".to_owned(), |l| l.to_string());
                format!("  one:   {}\n  other: {}", words(one), words(other))
            }
            None => "  two more runs of it have the same facts: it happens now and then, or facts hide it".to_owned(),
        }
    })
}

fn first_unequal(
    one: &Receiver<Line>,
    other: &Receiver<Line>,
) -> Option<(Option<Line>, Option<Line>)> {
    loop {
        match (one.recv().ok(), other.recv().ok()) {
            (None, None) => return None,
            (a, b) if a != b => return Some((a, b)),
            _ => {}
        }
    }
}
