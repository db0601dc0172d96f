//! The flat files: integers and text only, in the order of cells, strategies and seeds.

use std::io::{self, Write};

use reconverge_simulator::row::{Metrics, Status};

use crate::comparison::Comparison;
use crate::run::EpisodeRow;

type Csv<'a> = csv::Writer<&'a mut dyn Write>;

fn start<'a>(out: &'a mut dyn Write, header: &[&str]) -> io::Result<Csv<'a>> {
    let mut csv = csv::Writer::from_writer(out);
    csv.write_record(header)?;
    Ok(csv)
}

fn optional(value: Option<u64>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

/// `trials.csv`: one row per trial.
pub(super) fn trials(comparison: &Comparison, out: &mut dyn Write) -> io::Result<()> {
    let mut header = vec![
        "scenario",
        "cell",
        "strategy",
        "schedule",
        "seed",
        "status",
        "reason",
        "digest",
        "world_digest",
        "edits_asked",
    ];
    header.extend(Metrics::NAMES);
    let mut csv = start(out, &header)?;
    for trial in comparison.trials() {
        let row = &trial.row;
        let mut fields = vec![
            row.scenario.clone(),
            row.cell.clone(),
            row.strategy.clone(),
            row.schedule.clone(),
            row.seed.to_string(),
            row.status.name().to_owned(),
            row.reason.clone(),
        ];
        if row.status != Status::Unsupported {
            fields.push(format!("{:032x}", row.digest));
            fields.push(format!("{:032x}", row.world_digest));
            fields.push(row.edits_asked.to_string());
            fields.extend(row.metrics.iter().flat_map(Metrics::values).map(optional));
        }
        fields.resize(header.len(), String::new());
        csv.write_record(&fields)?;
    }
    csv.flush()
}

/// `latency.csv`: the buckets of all histograms. `value_us` is the largest value that falls into the bucket, so that recording it again
/// rebuilds the histogram.
pub(super) fn latency(comparison: &Comparison, out: &mut dyn Write) -> io::Result<()> {
    let mut csv = start(out, &["cell", "strategy", "seed", "measure", "value_us", "count"])?;
    for trial in comparison.trials() {
        let seed = trial.row.seed.to_string();
        for (measure, histogram) in trial.histograms.named() {
            for bucket in histogram.iter_recorded() {
                let value = bucket.value_iterated_to().to_string();
                let count = bucket.count_at_value().to_string();
                csv.write_record([
                    &trial.row.cell,
                    &trial.row.strategy,
                    &seed,
                    measure,
                    &value,
                    &count,
                ])?;
            }
        }
    }
    csv.flush()
}

/// `timeline.csv`: the course of every trial; `device` is empty in rows that speak of the whole trial.
pub(super) fn timeline(comparison: &Comparison, out: &mut dyn Write) -> io::Result<()> {
    let header = [
        "cell",
        "strategy",
        "seed",
        "at_s",
        "device",
        "edits_pending",
        "seats_diverged",
        "bytes_wire",
        "energy_mj",
        "links_up",
        "battery_permille",
    ];
    let mut csv = start(out, &header)?;
    for trial in comparison.trials() {
        for row in &trial.timeline {
            csv.write_record([
                trial.row.cell.clone(),
                trial.row.strategy.clone(),
                trial.row.seed.to_string(),
                row.at_s.to_string(),
                optional(row.device.map(u64::from)),
                row.edits_pending.to_string(),
                row.seats_diverged.to_string(),
                row.bytes_wire.to_string(),
                row.energy_mj.to_string(),
                row.links_up.to_string(),
                optional(row.battery_permille),
            ])?;
        }
    }
    csv.flush()
}

/// `episode.csv`: the facts of one stretch, in the order given.
pub(super) fn episode(rows: &[EpisodeRow], out: &mut dyn Write) -> io::Result<()> {
    let mut csv = csv::WriterBuilder::new().has_headers(false).from_writer(out);
    csv.write_record(["at_us", "strategy", "seed", "device", "fact", "detail"])?;
    for row in rows {
        csv.serialize(row)?;
    }
    csv.flush()
}

/// `timing.csv`: the only file with figures of a real clock.
pub(super) fn timing(comparison: &Comparison, out: &mut dyn Write) -> io::Result<()> {
    let mut csv = start(out, &["cell", "strategy", "seed", "wall_us", "events", "events_per_s"])?;
    for trial in comparison.trials() {
        let timing = trial.timing;
        let rate = (u128::from(timing.events) * 1_000_000).checked_div(u128::from(timing.wall_us));
        csv.write_record([
            trial.row.cell.clone(),
            trial.row.strategy.clone(),
            trial.row.seed.to_string(),
            timing.wall_us.to_string(),
            timing.events.to_string(),
            rate.map(|rate| rate.to_string()).unwrap_or_default(),
        ])?;
    }
    csv.flush()
}
