//! Statistics over seeds. One seed is one sample; nothing inside a run is treated as independent.
//!
//! All of it is deterministic: resampling draws from ChaCha8 under a seed that the caller derives from names, and transcendental
//! functions come from `libm`, so that the same rows give the same bytes on every machine.

mod bootstrap;
mod order;
mod paired;

pub use bootstrap::{Plan, RESAMPLES};
pub use order::{median_interval, quantile_ranks};
pub use paired::{cliffs_delta, holm, sign_flip_p};

/// A range that is meant to hold the true value in 95 of 100 cases.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// Chance that an interval misses on one side: a 95 % interval has 2.5 % on each.
pub const TAIL: f64 = 0.025;

/// The arithmetic mean; `None` of nothing.
pub fn mean(sample: &[f64]) -> Option<f64> {
    (!sample.is_empty()).then(|| sample.iter().sum::<f64>() / sample.len() as f64)
}

/// The median, the mean of the two middle values where the number is even; `None` of nothing.
pub fn median(sample: &[f64]) -> Option<f64> {
    let mut sorted = sample.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        n if n % 2 == 1 => Some(sorted[middle]),
        _ => Some((sorted[middle - 1] + sorted[middle]) / 2.0),
    }
}

/// The standard normal distribution function.
pub fn normal_cdf(z: f64) -> f64 {
    0.5 * libm::erfc(-z * std::f64::consts::FRAC_1_SQRT_2)
}

/// The inverse of [`normal_cdf`], by bisection: some microseconds and no constants to mistype. Probabilities outside (0, 1) give ±9.
pub fn normal_quantile(probability: f64) -> f64 {
    let (mut low, mut high) = (-9.0, 9.0);
    for _ in 0..64 {
        let middle = (low + high) / 2.0;
        if normal_cdf(middle) < probability { low = middle } else { high = middle }
    }
    (low + high) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64, tolerance: f64) {
        assert!((a - b).abs() <= tolerance, "{a} is not within {tolerance} of {b}");
    }

    #[test]
    fn centres() {
        assert_eq!(mean(&[]), None);
        assert_eq!(median(&[]), None);
        assert_eq!(mean(&[1.0, 2.0, 6.0]), Some(3.0));
        assert_eq!(median(&[6.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[6.0, 1.0, 2.0, 3.0]), Some(2.5));
    }

    #[test]
    fn the_normal_distribution() {
        // Values from the tables of any textbook.
        close(normal_cdf(0.0), 0.5, 1e-15);
        close(normal_cdf(1.0), 0.841_344_746_068_542_9, 1e-14);
        close(normal_quantile(0.975), 1.959_963_984_540_054, 1e-12);
        close(normal_quantile(0.025), -1.959_963_984_540_054, 1e-12);
        close(normal_quantile(0.5), 0.0, 1e-12);
        close(normal_quantile(0.999), 3.090_232_306_167_813_5, 1e-12);
    }
}
