//! Comparing two strategies that met the same seeds.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::RESAMPLES;

/// Up to this many pairs every assignment of signs is tried; above it, [`RESAMPLES`] random ones.
const EXACT_PAIRS: usize = 16;

/// Cliff's delta: the chance that a value of `a` exceeds one of `b`, minus the chance of the contrary; from −1 to 1. By custom 0.147,
/// 0.33 and 0.474 are called small, medium and large. `None` where a side is empty.
///
/// Norman Cliff, "Dominance statistics: ordinal analyses to answer ordinal questions", Psychological Bulletin 114 (1993).
pub fn cliffs_delta(a: &[f64], b: &[f64]) -> Option<f64> {
    if a.is_empty() || b.is_empty() {
        return None;
    }
    let sum: i64 =
        a.iter().flat_map(|x| b.iter().map(move |y| i64::from(x > y) - i64::from(x < y))).sum();
    Some(sum as f64 / (a.len() * b.len()) as f64)
}

/// Two-sided p value of "the differences are symmetric around zero", by flipping signs: R. A. Fisher's randomisation test, which asks
/// nothing of the distribution. Exact up to 16 pairs, so the smallest possible value is 2^(1−n); by random signs above. 1 of nothing.
pub fn sign_flip_p(differences: &[f64], seed: [u8; 32]) -> f64 {
    let observed = differences.iter().sum::<f64>().abs();
    let scale: f64 = differences.iter().map(|d| d.abs()).sum();
    // Sums that differ only by rounding count as equal.
    let threshold = observed - 1e-9 * scale;
    if differences.len() <= EXACT_PAIRS {
        let all = 1u32 << differences.len();
        let mut signs = vec![1.0; differences.len()];
        let mut sum: f64 = differences.iter().sum();
        let mut extreme = 0u32;
        for step in 1..=all {
            extreme += u32::from(sum.abs() >= threshold);
            // Gray code: one sign changes from each assignment to the next.
            if let Some(difference) = differences.get(step.trailing_zeros() as usize) {
                let sign = &mut signs[step.trailing_zeros() as usize];
                sum -= 2.0 * *sign * difference;
                *sign = -*sign;
            }
        }
        return f64::from(extreme) / f64::from(all);
    }
    let mut generator = ChaCha8Rng::from_seed(seed);
    let mut extreme = 1;
    for _ in 0..RESAMPLES {
        let mut sum = 0.0;
        for piece in differences.chunks(64) {
            let mut bits = generator.next_u64();
            for difference in piece {
                // The bit flips the sign without a branch, which could not be predicted.
                sum += f64::from_bits(difference.to_bits() ^ (bits << 63));
                bits >>= 1;
            }
        }
        extreme += usize::from(sum.abs() >= threshold);
    }
    extreme as f64 / (RESAMPLES + 1) as f64
}

/// Holm's step-down correction: p values that may be read together, in the order given.
///
/// Sture Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6 (1979).
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|&a, &b| p_values[a].total_cmp(&p_values[b]));
    let mut corrected = vec![0.0; p_values.len()];
    let mut largest: f64 = 0.0;
    for (position, &index) in order.iter().enumerate() {
        largest = largest.max(p_values[index] * (p_values.len() - position) as f64).min(1.0);
        corrected[index] = largest;
    }
    corrected
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deltas() {
        assert_eq!(cliffs_delta(&[1.0, 2.0], &[3.0, 4.0]), Some(-1.0));
        assert_eq!(cliffs_delta(&[3.0], &[3.0]), Some(0.0));
        assert_eq!(cliffs_delta(&[1.0, 3.0], &[2.0, 2.0]), Some(0.0));
        assert_eq!(cliffs_delta(&[2.0, 3.0], &[2.0, 1.0]), Some(0.75));
        assert_eq!(cliffs_delta(&[], &[1.0]), None);
    }

    #[test]
    fn sign_flips_by_hand() {
        assert!((sign_flip_p(&[], [0; 32]) - 1.0).abs() < 1e-12);
        assert!((sign_flip_p(&[0.0, 0.0], [0; 32]) - 1.0).abs() < 1e-12);
        // All of one sign: only the two extreme assignments are as far out.
        assert!((sign_flip_p(&[1.0, 2.0, 3.0, 4.0], [0; 32]) - 2.0 / 16.0).abs() < 1e-12);
        // |−1 + 2 + 3| = 4: of the 8 sums 6, 4, 2, 0, 0, −2, −4, −6 four are as far out.
        assert!((sign_flip_p(&[-1.0, 2.0, 3.0], [0; 32]) - 4.0 / 8.0).abs() < 1e-12);
    }

    #[test]
    fn random_signs_agree_with_all_signs() {
        // 16 differences exactly, and the same with a 17th of zero by random signs: the zero changes nothing.
        let mut differences: Vec<f64> = (0..16).map(|i| f64::from(i * 7 % 11) - 3.5).collect();
        let exact = sign_flip_p(&differences, [7; 32]);
        differences.push(0.0);
        let drawn = sign_flip_p(&differences, [7; 32]);
        let error = (exact * (1.0 - exact) / RESAMPLES as f64).sqrt();
        assert!((exact - drawn).abs() < 4.0 * error + 1e-4, "{exact} against {drawn}");
    }

    #[test]
    fn holm_as_in_the_textbook() {
        assert_eq!(holm(&[]), Vec::<f64>::new());
        let corrected = holm(&[0.01, 0.04, 0.03, 0.005]);
        for (got, want) in corrected.iter().zip([0.03, 0.06, 0.06, 0.02]) {
            assert!((got - want).abs() < 1e-12, "{corrected:?}");
        }
        assert_eq!(holm(&[0.9, 0.8]), vec![1.0, 1.0]);
    }
}
