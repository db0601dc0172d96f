//! Intervals for quantiles from order statistics: free of any assumption on the distribution, and honest at every size.

use super::{Interval, TAIL};

/// Ranks, counted from 0, of the two order statistics that enclose the given quantile with a confidence of at least 95 %: at most 2.5 %
/// on each side. `None` where `n` observations cannot do that (below 6 for the median).
///
/// The number of observations below the true quantile is binomial (n, `quantile`), whatever the distribution.
pub fn quantile_ranks(n: usize, quantile: f64) -> Option<(usize, usize)> {
    // at_most[k] = P(binomial ≤ k)
    let mut sum = 0.0;
    let at_most: Vec<f64> = (0..=n)
        .map(|k| {
            sum += binomial(n, k, quantile);
            sum
        })
        .collect();
    // The value of rank r lies above the quantile with P(binomial ≤ r), and below it with 1 − P(binomial ≤ r).
    let low = (0..n).rev().find(|&rank| at_most[rank] <= TAIL)?;
    let high = (0..n).find(|&rank| 1.0 - at_most[rank] <= TAIL)?;
    Some((low, high))
}

/// The interval of the median by order statistics; `None` below 6 observations.
pub fn median_interval(sample: &[f64]) -> Option<Interval> {
    let (low, high) = quantile_ranks(sample.len(), 0.5)?;
    let mut sorted = sample.to_vec();
    sorted.sort_by(f64::total_cmp);
    Some(Interval { low: sorted[low], high: sorted[high] })
}

/// P(k of n) at the given chance, through logarithms so that large n do not underflow.
fn binomial(n: usize, k: usize, chance: f64) -> f64 {
    let ln_factorial = |x: usize| libm::lgamma(x as f64 + 1.0);
    let ways = ln_factorial(n) - ln_factorial(k) - ln_factorial(n - k);
    libm::exp(ways + k as f64 * libm::log(chance) + (n - k) as f64 * libm::log1p(-chance))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_of_the_median_as_tabulated() {
        // The sign-test table: 1-based (1, 6), (2, 9), (6, 15), (40, 61) at n = 6, 10, 20, 100.
        assert_eq!(quantile_ranks(5, 0.5), None);
        assert_eq!(quantile_ranks(6, 0.5), Some((0, 5)));
        assert_eq!(quantile_ranks(10, 0.5), Some((1, 8)));
        assert_eq!(quantile_ranks(20, 0.5), Some((5, 14)));
        assert_eq!(quantile_ranks(100, 0.5), Some((39, 60)));
    }

    #[test]
    fn ranks_of_a_tail_quantile() {
        // The 90th percentile needs 1 − 0.9^n ≥ 0.975 above … : 36 observations.
        assert_eq!(quantile_ranks(35, 0.9), None);
        let (low, high) = quantile_ranks(36, 0.9).expect("enough observations");
        assert_eq!(high, 35);
        assert!(low < 33);
    }

    #[test]
    fn binomials_add_up() {
        for n in [1, 10, 1000] {
            let sum: f64 = (0..=n).map(|k| binomial(n, k, 0.3)).sum();
            assert!((sum - 1.0).abs() < 1e-9, "n = {n}: {sum}");
        }
        assert!((binomial(10, 5, 0.5) - 252.0 / 1024.0).abs() < 1e-12);
    }
}
