//! How soon others see an edit: the cumulative distribution, on a logarithmic axis.

use hdrhistogram::Histogram;

use super::Figure;
use super::canvas::{Canvas, Frame, empty, figure, legend};
use super::palette::{Look, look};
use crate::comparison::{Cell, Group};

/// Ticks that mean something to people, in microseconds.
const TICKS: [(u64, &str); 16] = [
    (1, "1 µs"),
    (10, "10 µs"),
    (100, "100 µs"),
    (1_000, "1 ms"),
    (10_000, "10 ms"),
    (100_000, "100 ms"),
    (1_000_000, "1 s"),
    (10_000_000, "10 s"),
    (60_000_000, "1 min"),
    (600_000_000, "10 min"),
    (3_600_000_000, "1 h"),
    (21_600_000_000, "6 h"),
    (86_400_000_000, "1 d"),
    (604_800_000_000, "1 week"),
    (2_419_200_000_000, "4 weeks"),
    (31_536_000_000_000, "1 year"),
];

pub(super) fn draw(cell: &Cell) -> Figure {
    let curves: Vec<(String, Look, &Histogram<u64>)> = cell
        .strategies
        .iter()
        .map(|group| (group.label(), look(group.strategy), &group.distributions.visible))
        .filter(|(_, _, histogram)| !histogram.is_empty())
        .collect();
    let title = "How soon do others see an edit?";
    let subtitle = "Share of (edit, other person's device) pairs that have seen the edit within a given time, over all seeds";
    let height = (150 + 24 * curves.len() as i32).max(470);
    let frame = Frame::beside_legend(height, curves.iter().map(|(name, _, _)| name.as_str()));
    let Some((first, last)) = range(cell) else {
        return empty("visibility", title, subtitle, "No edit was seen by anybody else.");
    };
    let svg = figure(height, title, subtitle, |canvas| plot(canvas, frame, &curves, first, last));
    let reading = "Further up and further left is sooner. Read across at 50 % for the typical wait, and near the top for the unlucky \
                   edits: those of people who were offline. What a device never showed is not counted: a strategy that loses or refuses the slow \
                   edits looks sooner, even than the oracle. Where curves lie on each other, their markers alternate.";
    Figure { file_stem: "visibility".to_owned(), title, reading, svg }
}

/// The ticks that enclose nearly everything: all but the fastest thousandth, and what the oracle sees before anybody else could. `None` of nothing.
fn range(cell: &Cell) -> Option<(usize, usize)> {
    let seen = |is_counted: fn(&&Group) -> bool| {
        let groups = cell.strategies.iter().filter(is_counted);
        groups.map(|group| &group.distributions.visible).filter(|seen| !seen.is_empty())
    };
    let fastest = |is_counted: fn(&&Group) -> bool| {
        seen(is_counted).map(|histogram| histogram.value_at_quantile(0.001)).min()
    };
    let least = fastest(|group| !group.is_oracle()).or_else(|| fastest(|_| true))?;
    let most = seen(|_| true).map(Histogram::max).max()?;
    let first =
        TICKS.iter().rposition(|(tick, _)| *tick <= least).unwrap_or(0).min(TICKS.len() - 2);
    let last =
        TICKS.iter().position(|(tick, _)| *tick >= most).unwrap_or(TICKS.len() - 1).max(first + 1);
    Some((first, last))
}

fn plot(
    canvas: &Canvas,
    frame: Frame,
    curves: &[(String, Look, &Histogram<u64>)],
    first: usize,
    last: usize,
) {
    let log = |us: f64| libm::log10(us.max(1.0));
    let (from, until) = (log(TICKS[first].0 as f64), log(TICKS[last].0 as f64));
    let x_ticks: Vec<(i32, String)> = TICKS[first..=last]
        .iter()
        .map(|(us, label)| {
            (frame.x((log(*us as f64) - from) / (until - from)), (*label).to_owned())
        })
        .collect();
    let y_ticks = [0, 25, 50, 75, 100]
        .map(|percent| (frame.y(f64::from(percent) / 100.0), format!("{percent} %")));
    canvas.axes(
        frame,
        ("time since the edit (logarithmic)", &x_ticks),
        ("pairs that have seen it", &y_ticks),
    );
    let mut markers = Vec::new();
    // Markers every 100 pixels, which is 50 points.
    const EVERY: usize = 50;
    for (index, (_, look, histogram)) in curves.iter().enumerate() {
        let seen = cumulative(histogram);
        let points: Vec<(i32, i32)> = (frame.left..=frame.right)
            .step_by(2)
            .map(|x| {
                let share = f64::from(x - frame.left) / f64::from(frame.right - frame.left);
                let us = libm::exp10(from + share * (until - from)).round() as u64;
                let below = seen.partition_point(|(value, _)| *value <= us);
                (x, frame.y(if below == 0 { 0.0 } else { seen[below - 1].1 }))
            })
            .collect();
        // Every curve has its own places for markers, so that none hides behind another.
        let start = EVERY * (2 * index + 1) / (2 * curves.len());
        markers.extend(points.iter().skip(start).step_by(EVERY).map(|at| (*at, *look)));
        canvas.line(points, look.ink, 2);
    }
    for (at, look) in markers {
        canvas.marker(at, look);
    }
    let entries: Vec<(&str, Look)> =
        curves.iter().map(|(name, look, _)| (name.as_str(), *look)).collect();
    legend(canvas, frame, &entries);
}

/// Buckets of a histogram with the share of observations up to each.
fn cumulative(histogram: &Histogram<u64>) -> Vec<(u64, f64)> {
    let mut sum = 0;
    histogram
        .iter_recorded()
        .map(|bucket| {
            sum += bucket.count_at_value();
            (bucket.value_iterated_to(), sum as f64 / histogram.len() as f64)
        })
        .collect()
}
