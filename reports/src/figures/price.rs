//! What merging two branches costs, by their length: logarithmic on both axes, so that a power of the length is a straight line.

use super::Figure;
use super::canvas::{Anchor, Frame, figure, legend};
use super::palette::{FAINT, Look, look};

/// One strategy's prices.
#[derive(Clone, Debug)]
pub struct PriceCurve {
    /// The strategy.
    pub strategy: String,
    /// Slope of the line through the logarithms, in thousandths.
    pub exponent_milli: u64,
    /// Edits of one branch, and units of work.
    pub points: Vec<(u64, u64)>,
}

/// The figure of some strategies' prices.
pub fn price_figure(curves: &[PriceCurve]) -> Figure {
    let title = "What does it cost to merge two branches?";
    let subtitle = "Units of work of receiving, at all replicas, after two authors made so many edits each while apart";
    let entries: Vec<(String, Look)> = curves
        .iter()
        .map(|curve| {
            let PriceCurve { strategy, exponent_milli, .. } = curve;
            let exponent = (exponent_milli + 5) / 10;
            (format!("{strategy}  n^{}.{:02}", exponent / 100, exponent % 100), look(strategy))
        })
        .collect();
    let height = (150 + 24 * curves.len() as i32).max(470);
    let frame = Frame::beside_legend(height, entries.iter().map(|(name, _)| name.as_str()));
    let all = || curves.iter().flat_map(|curve| &curve.points);
    let svg = figure(height, title, subtitle, |canvas| {
        let Some(most) = all().map(|point| point.1).max() else {
            return canvas.label("Nothing was merged.", (frame.left, 140), FAINT, Anchor::Left);
        };
        let log = |number: u64| libm::log10(number.max(1) as f64);
        let least = all().map(|point| point.1).min().unwrap_or(1).max(1);
        let sizes: Vec<u64> = curves[0].points.iter().map(|point| point.0).collect();
        let (first, last) = (log(sizes[0]), log(sizes[sizes.len() - 1]));
        let (low, high) = (least.ilog10(), most.ilog10() + 1);
        let x = |n: u64| frame.x((log(n) - first) / (last - first));
        let y = |work: u64| frame.y((log(work) - f64::from(low)) / f64::from(high - low));
        let x_ticks: Vec<(i32, String)> = sizes.iter().map(|n| (x(*n), n.to_string())).collect();
        let y_ticks: Vec<(i32, String)> = (low..=high)
            .map(|power| (y(10_u64.pow(power)), power_of_ten(10_u64.pow(power))))
            .collect();
        let labels = ("edits of one branch (logarithmic)", "units of work (logarithmic)");
        canvas.axes(frame, (labels.0, &x_ticks), (labels.1, &y_ticks));
        for (curve, (_, look)) in curves.iter().zip(&entries) {
            let points: Vec<_> = curve.points.iter().map(|(n, work)| (x(*n), y(*work))).collect();
            canvas.line(points.clone(), look.ink, 2);
            points.into_iter().for_each(|at| canvas.marker(at, *look));
        }
        let entries: Vec<(&str, Look)> =
            entries.iter().map(|(name, look)| (name.as_str(), *look)).collect();
        legend(canvas, frame, &entries);
    });
    let reading = "A line twice as steep is a price that grows with the square of the length.";
    Figure { file_stem: "merge-price".to_owned(), title, reading, svg }
}

/// A power of ten: thousands apart, millions as M.
fn power_of_ten(number: u64) -> String {
    match number {
        0..1_000 => number.to_string(),
        1_000..1_000_000 => format!("{}\u{202f}000", number / 1_000),
        _ => format!("{} M", number / 1_000_000),
    }
}
