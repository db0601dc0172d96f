//! The trials of a run, put in order and grouped: cells, in them strategies, in them seeds.

use std::collections::BTreeMap;

use reconverge_simulator::row::{Histograms, Metrics, Status, TrialResult};

use crate::names::natural_order;
use crate::run::RunInfo;
use crate::stats::mean;
use crate::summary::{Line, summarise};

/// A run, ready to be shown. The order in which its results came in leaves no trace.
pub struct Comparison<'a> {
    /// What was run.
    pub info: &'a RunInfo,
    /// The points of the sweep, in natural order of their names; one, named `0`, where nothing is swept.
    pub cells: Vec<Cell<'a>>,
}

/// One point of a sweep.
pub struct Cell<'a> {
    /// Its name.
    pub name: &'a str,
    /// The schedule that most strategies followed.
    pub schedule: &'a str,
    /// The strategies, in the order of the run.
    pub strategies: Vec<Group<'a>>,
}

/// The trials of one strategy in one cell.
pub struct Group<'a> {
    /// Its name.
    pub strategy: &'a str,
    /// The schedule that its devices followed.
    pub schedule: &'a str,
    /// Its trials by seed.
    pub trials: Vec<&'a TrialResult>,
    /// The distributions over all its seeds: histograms are merged, percentiles are never averaged.
    pub distributions: Histograms,
    /// Its figures over seeds, in the order of [`crate::metrics`].
    pub lines: Vec<Line>,
}

impl<'a> Comparison<'a> {
    /// Groups the results and computes all statistics: about a second for 8 strategies × 10 seeds, most of it resampling.
    pub fn new(info: &'a RunInfo, results: &'a [TrialResult]) -> Comparison<'a> {
        let position =
            |name: &str| info.strategies.iter().position(|s| s == name).unwrap_or(usize::MAX);
        let mut ordered: Vec<&TrialResult> = results.iter().collect();
        ordered.sort_by(|a, b| {
            natural_order(&a.row.cell, &b.row.cell)
                .then_with(|| position(&a.row.strategy).cmp(&position(&b.row.strategy)))
                .then_with(|| a.row.strategy.cmp(&b.row.strategy))
                .then_with(|| a.row.seed.cmp(&b.row.seed))
        });
        let cells = ordered.chunk_by(|a, b| a.row.cell == b.row.cell).map(|cell| {
            let strategies: Vec<Group> = cell
                .chunk_by(|a, b| a.row.strategy == b.row.strategy)
                .map(|trials| Group {
                    strategy: &trials[0].row.strategy,
                    schedule: &trials[0].row.schedule,
                    trials: trials.to_vec(),
                    distributions: merged(trials),
                    lines: Vec::new(),
                })
                .collect();
            Cell {
                name: &cell[0].row.cell,
                schedule: most_common_schedule(&strategies),
                strategies,
            }
        });
        let mut cells: Vec<Cell> = cells.collect();
        summarise(info, &mut cells);
        Comparison { info, cells }
    }

    /// All trials, in order.
    pub fn trials(&self) -> impl Iterator<Item = &'a TrialResult> {
        self.cells
            .iter()
            .flat_map(|cell| &cell.strategies)
            .flat_map(|group| group.trials.iter().copied())
    }

    /// Whether anything is swept.
    pub fn is_sweep(&self) -> bool {
        self.cells.len() > 1
    }
}

/// The schedule that most strategies followed; the first of equally common ones.
fn most_common_schedule<'a>(strategies: &[Group<'a>]) -> &'a str {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for group in strategies.iter().filter(|group| !group.is_unsupported()) {
        *counts.entry(group.schedule).or_default() += 1;
    }
    let largest = counts.values().max().copied().unwrap_or(0);
    strategies
        .iter()
        .map(|g| g.schedule)
        .find(|s| counts.get(s).copied().unwrap_or(0) == largest)
        .unwrap_or("")
}

/// Those of the trials whose figures count.
fn measured<'a>(
    trials: &[&'a TrialResult],
) -> impl Iterator<Item = (&'a TrialResult, &'a Metrics)> {
    trials.iter().filter_map(|&trial| match trial.row.status {
        Status::Ok | Status::Diverged => trial.row.metrics.as_ref().map(|figures| (trial, figures)),
        Status::Unsupported | Status::Failed => None,
    })
}

/// The distributions of all trials that count, in one.
fn merged(trials: &[&TrialResult]) -> Histograms {
    let mut sum = Histograms::default();
    for (trial, _) in measured(trials) {
        let Histograms { visible, settled, everywhere, reconverge, local } = &trial.histograms;
        for (sum, own) in [
            (&mut sum.visible, visible),
            (&mut sum.settled, settled),
            (&mut sum.everywhere, everywhere),
            (&mut sum.reconverge, reconverge),
            (&mut sum.local, local),
        ] {
            sum.add(own).expect("a histogram that grows takes in any other");
        }
    }
    sum
}

impl<'a> Group<'a> {
    /// The trials whose figures count: those that ran to their end, converged or not. A failed trial broke the rules of the game, so
    /// that its figures mean nothing.
    pub fn measured(&self) -> impl Iterator<Item = (&'a TrialResult, &'a Metrics)> {
        measured(&self.trials)
    }

    /// Number of trials that ended in a certain way.
    pub fn count(&self, status: Status) -> usize {
        self.trials.iter().filter(|trial| trial.row.status == status).count()
    }

    /// Whether the strategy cannot do what the scenario asks.
    pub fn is_unsupported(&self) -> bool {
        self.trials.iter().all(|trial| trial.row.status == Status::Unsupported)
    }

    /// Whether every trial converged.
    pub fn always_converged(&self) -> bool {
        self.count(Status::Ok) == self.trials.len()
    }

    /// The counterfactual with perfect knowledge, which is no strategy: shown, never ranked.
    pub fn is_oracle(&self) -> bool {
        self.strategy == "oracle"
    }

    /// The name as shown to people.
    pub fn label(&self) -> String {
        match self.is_oracle() {
            true => format!("{} (not realisable)", self.strategy),
            false => self.strategy.to_owned(),
        }
    }

    /// A figure over seeds; `None` where there is no such metric.
    pub fn line(&self, metric: &str) -> Option<&Line> {
        self.lines.iter().find(|line| line.metric == metric)
    }

    /// Mean over seeds of a metric; `None` where nothing was measured.
    pub fn mean(&self, metric: &str) -> Option<f64> {
        self.line(metric)?.mean.map(|estimate| estimate.value)
    }

    /// Whether a metric is zero in every measured trial, of which there is at least one.
    pub fn never(&self, metric: &str) -> bool {
        let mut measured = self.measured().peekable();
        measured.peek().is_some()
            && measured.all(|(_, metrics)| metrics.get(metric) == Some(Some(0)))
    }

    /// Mean over seeds of a part per asked edit; `None` where nothing was measured or asked.
    pub fn per_edit(&self, part: impl Fn(&Metrics) -> u64) -> Option<f64> {
        let asked = self.measured().filter(|(trial, _)| trial.row.edits_asked > 0);
        let shares: Vec<f64> = asked
            .map(|(trial, metrics)| part(metrics) as f64 / trial.row.edits_asked as f64)
            .collect();
        mean(&shares)
    }
}
