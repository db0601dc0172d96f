//! Each figure over seeds: where it lies, how sure that is, and how it compares with the baseline.

use std::collections::BTreeMap;

use reconverge_simulator::row::{Metrics, Row};

use crate::comparison::{Cell, Group};
use crate::names;
use crate::run::RunInfo;
use crate::stats::{self, Interval, Plan};

/// Below this number of seeds the bootstrap's interval misses the truth more often than it says.
pub const HONEST_SEEDS: usize = 20;

/// Below this number of seeds it is not worth printing.
pub const LEAST_SEEDS: usize = 5;

/// A value and the range that is meant to hold the true one with 95 %.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The best guess.
    pub value: f64,
    /// Its range; `None` with too few seeds.
    pub interval: Option<Interval>,
}

/// One metric of one strategy over seeds.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Name of the metric: a column of `trials.csv`, or one of those that [`metrics`] adds.
    pub metric: &'static str,
    /// The values by seed, of the trials that have one.
    pub values: Vec<(u64, f64)>,
    /// For percentiles: that of the merged distributions of all seeds.
    pub pooled: Option<u64>,
    /// The median over seeds.
    pub median: Option<Estimate>,
    /// The mean over seeds; `None` for percentiles, which are never averaged.
    pub mean: Option<Estimate>,
    /// How it compares with the baseline; `None` for the baseline itself and without common seeds.
    pub difference: Option<Difference>,
}

/// A strategy against the baseline on the seeds that both ran.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// Number of common seeds.
    pub pairs: usize,
    /// Whether it is the median of the differences (percentiles) or their mean (everything else).
    pub of: &'static str,
    /// Strategy minus baseline.
    pub estimate: Estimate,
    /// Chance of a difference this large if there were none, corrected for the number of strategies (Holm).
    pub p_holm: f64,
    /// Cliff's delta.
    pub delta: f64,
    /// Of the means, or for percentiles of the medians; `None` where the baseline's is 0.
    pub ratio: Option<f64>,
}

/// Metrics of the summary: `edits_asked`, the figures of a trial, then what is derived from them.
pub fn metrics() -> impl Iterator<Item = &'static str> {
    ["edits_asked"].into_iter().chain(Metrics::NAMES.iter().copied()).chain(DERIVED)
}

/// Figures that the table shows and that are no column of their own.
const DERIVED: [&str; 3] = ["edits_lost_permille", "bytes_wire_per_edit", "footprint_bytes"];

/// The value of a metric in a trial.
fn value(row: &Row, figures: &Metrics, metric: &str) -> Option<f64> {
    let asked = (row.edits_asked > 0).then_some(row.edits_asked as f64);
    Some(match metric {
        "edits_asked" => row.edits_asked as f64,
        "edits_lost_permille" => 1_000.0 * figures.edits_lost? as f64 / asked?,
        "bytes_wire_per_edit" => figures.bytes_wire? as f64 / asked?,
        "footprint_bytes" => {
            let parts = [
                figures.footprint_content_bytes?,
                figures.footprint_metadata_bytes?,
                figures.footprint_history_bytes?,
            ];
            parts.iter().map(|&bytes| bytes as f64).sum()
        }
        _ => figures.get(metric).expect("every other metric is a column")? as f64,
    })
}

/// Whether a metric is a percentile or a maximum of observations inside a trial.
fn is_percentile(metric: &str) -> bool {
    ["_p50", "_p90", "_p99", "_p999", "_max"].iter().any(|ending| metric.ends_with(ending))
}

/// The percentile of the merged distributions that a metric stands for.
fn pooled(group: &Group, metric: &str) -> Option<u64> {
    let (measure, statistic) = metric.split_once("_us_")?;
    let named = group.distributions.named();
    let (_, merged) = named.into_iter().find(|(name, _)| *name == measure)?;
    let quantile = match statistic {
        _ if merged.is_empty() => return None,
        "p50" => 0.5,
        "p90" => 0.9,
        "p99" => 0.99,
        "p999" => 0.999,
        "max" => return Some(merged.max()),
        _ => return None,
    };
    Some(merged.value_at_quantile(quantile))
}

/// Resampling plans by sample size, drawn when first needed.
struct Plans<'a> {
    scenario: &'a str,
    by_size: BTreeMap<usize, Plan>,
}

impl Plans<'_> {
    fn of(&mut self, n: usize) -> &Plan {
        let seed = || names::seed(&["bootstrap", self.scenario, &n.to_string()]);
        self.by_size.entry(n).or_insert_with(|| Plan::new(seed(), n))
    }

    fn mean(&mut self, sample: &[f64]) -> Option<Estimate> {
        let interval =
            (sample.len() >= LEAST_SEEDS).then(|| self.of(sample.len()).mean_interval(sample));
        stats::mean(sample).map(|value| Estimate { value, interval })
    }

    /// Of few seeds the interval comes from order statistics, which is honest at any size that allows one.
    fn median(&mut self, sample: &[f64]) -> Option<Estimate> {
        let interval = match sample.len() >= HONEST_SEEDS {
            true => Some(self.of(sample.len()).median_interval(sample)),
            false => stats::median_interval(sample),
        };
        stats::median(sample).map(|value| Estimate { value, interval })
    }
}

/// Fills in the figures of all groups.
pub(crate) fn summarise(info: &RunInfo, cells: &mut [Cell]) {
    let mut plans = Plans { scenario: &info.scenario_name, by_size: BTreeMap::new() };
    for cell in cells {
        for group in &mut cell.strategies {
            group.lines = metrics().map(|metric| line(group, metric, &mut plans)).collect();
        }
        let baseline = cell.strategies.iter().find(|group| group.strategy == info.baseline);
        let Some(baseline) = baseline.map(|group| group.lines.clone()) else { continue };
        for (index, base) in baseline.iter().enumerate() {
            compare(cell, index, base, info, &mut plans);
        }
    }
}

/// One metric of one strategy by itself.
fn line(group: &Group, metric: &'static str, plans: &mut Plans) -> Line {
    let values: Vec<(u64, f64)> = group
        .measured()
        .filter_map(|(trial, figures)| Some((trial.row.seed, value(&trial.row, figures, metric)?)))
        .collect();
    let sample: Vec<f64> = values.iter().map(|(_, value)| *value).collect();
    let percentile = is_percentile(metric);
    Line {
        metric,
        pooled: percentile.then(|| pooled(group, metric)).flatten(),
        median: plans.median(&sample),
        mean: (!percentile).then(|| plans.mean(&sample)).flatten(),
        values,
        difference: None,
    }
}

/// One metric of all strategies of a cell against the baseline.
fn compare(cell: &mut Cell, index: usize, base: &Line, info: &RunInfo, plans: &mut Plans) {
    let others = cell.strategies.iter_mut().filter(|group| group.strategy != info.baseline);
    let mut p_values = Vec::new();
    let mut compared: Vec<&mut Difference> = Vec::new();
    for group in others {
        let line = &mut group.lines[index];
        let differences = paired_differences(&line.values, &base.values);
        let percentile = is_percentile(line.metric);
        let estimate =
            if percentile { plans.median(&differences) } else { plans.mean(&differences) };
        let Some(estimate) = estimate else { continue };
        let values =
            |line: &Line| line.values.iter().map(|(_, value)| *value).collect::<Vec<f64>>();
        let centre = if percentile { stats::median } else { stats::mean };
        let (own, its) = (values(line), values(base));
        p_values
            .push(stats::sign_flip_p(&differences, names::seed(&["signs", &info.scenario_name])));
        compared.push(
            line.difference.insert(Difference {
                pairs: differences.len(),
                of: if percentile { "median" } else { "mean" },
                estimate,
                p_holm: 1.0,
                delta: stats::cliffs_delta(&own, &its).expect("both sides have the common seeds"),
                ratio: centre(&own)
                    .zip(centre(&its))
                    .filter(|(_, its)| *its > 0.0)
                    .map(|(own, its)| own / its),
            }),
        );
    }
    for (difference, p) in compared.iter_mut().zip(stats::holm(&p_values)) {
        difference.p_holm = p;
    }
}

/// Differences on common seeds; both sides are ordered by seed.
pub(crate) fn paired_differences(own: &[(u64, f64)], base: &[(u64, f64)]) -> Vec<f64> {
    let base: BTreeMap<u64, f64> = base.iter().copied().collect();
    own.iter().filter_map(|(seed, value)| Some(value - base.get(seed)?)).collect()
}

impl Line {
    /// What to keep in mind about the interval of the mean: empty, `undercovers` or `too few seeds`.
    pub fn note(&self) -> &'static str {
        match self.values.len() {
            0..LEAST_SEEDS => "too few seeds",
            LEAST_SEEDS..HONEST_SEEDS => "undercovers",
            _ => "",
        }
    }
}
