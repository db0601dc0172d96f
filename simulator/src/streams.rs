//! One seed, many generators addressed by name, and stateless draws for the fate of single packets.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use reconverge_scenarios::DurationLaw;
use reconverge_strategies::Digest;

/// Makes the generators of one trial. A generator depends on the seed, its name and its number only, never on which others exist.
#[derive(Clone, Copy, Debug)]
pub struct Streams {
    seed: u64,
}

impl Streams {
    /// The streams of a seed.
    pub fn new(seed: u64) -> Self {
        Streams { seed }
    }

    /// The generator for one purpose (`"presence"`) of one thing (device 3).
    pub fn stream(&self, purpose: &str, number: u32) -> Stream {
        let mut digest = Digest::new();
        digest.bytes(purpose.as_bytes());
        digest.word(u64::from(number));
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(digest.finish() as u64);
        Stream { rng }
    }

    /// A uniform draw that depends on nothing but the seed and the words: the fate of one packet.
    pub fn fate(&self, words: [u64; 4]) -> u64 {
        let mut hash = self.seed ^ 0x6a09_e667_f3bc_c909;
        for word in words {
            hash = (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            hash ^= hash >> 32;
        }
        mix(hash)
    }
}

/// The finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
pub(crate) fn mix(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// A uniform number in (0, 1] from 64 random bits.
pub(crate) fn unit(bits: u64) -> f64 {
    ((bits >> 11) + 1) as f64 * (1.0 / 9_007_199_254_740_992.0)
}

/// Whether an event of so many parts per million happens, given 64 random bits.
pub(crate) fn happens(bits: u64, ppm: u32) -> bool {
    (u128::from(bits) * 1_000_000) >> 64 < u128::from(ppm)
}

/// A generator with the laws that scenarios speak of, over `libm`, so that every machine draws the same.
#[derive(Clone, Debug)]
pub struct Stream {
    rng: ChaCha8Rng,
}

impl Stream {
    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.rng.next_u64()
    }

    /// Uniform below `bound` (which is at least 1).
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(bound)) >> 64) as u64
    }

    /// Uniform in (0, 1].
    pub fn unit(&mut self) -> f64 {
        unit(self.bits())
    }

    /// Exponential with a mean.
    pub fn exponential_ns(&mut self, mean_ns: u64) -> u64 {
        (-libm::log(self.unit()) * mean_ns as f64) as u64
    }

    /// Standard normal (Box and Muller 1958). Two draws.
    pub fn normal(&mut self) -> f64 {
        normal(self.bits(), self.bits())
    }

    /// A duration. Always two draws, so that a change of law shifts nothing else.
    pub fn duration_ns(&mut self, law: &DurationLaw) -> u64 {
        duration_ns(law, self.bits(), self.bits())
    }

    /// Uniform in ± `spread_ns`.
    pub fn around(&mut self, spread_ns: u64) -> i64 {
        self.below(2 * spread_ns + 1) as i64 - spread_ns as i64
    }
}

fn normal(first: u64, second: u64) -> f64 {
    libm::sqrt(-2.0 * libm::log(unit(first))) * libm::cos(2.0 * std::f64::consts::PI * unit(second))
}

/// A duration from 128 random bits.
pub(crate) fn duration_ns(law: &DurationLaw, first: u64, second: u64) -> u64 {
    match law {
        DurationLaw::Fixed { ns } => *ns,
        DurationLaw::Uniform { from_ns, until_ns } => {
            let span = u128::from(until_ns - from_ns) + 1;
            from_ns + ((u128::from(first) * span) >> 64) as u64
        }
        DurationLaw::Exponential { mean_ns } => (-libm::log(unit(first)) * *mean_ns as f64) as u64,
        DurationLaw::Lognormal { median_ns, sigma } => {
            (*median_ns as f64 * libm::exp(sigma * normal(first, second))) as u64
        }
        DurationLaw::Weibull { mean_ns, shape } => {
            let scale = *mean_ns as f64 / libm::tgamma(1.0 + 1.0 / shape);
            (scale * libm::pow(-libm::log(unit(first)), 1.0 / shape)) as u64
        }
    }
}

/// The mean of a law.
pub fn mean_ns(law: &DurationLaw) -> f64 {
    match law {
        DurationLaw::Fixed { ns } => *ns as f64,
        DurationLaw::Uniform { from_ns, until_ns } => (*from_ns as f64 + *until_ns as f64) / 2.0,
        DurationLaw::Exponential { mean_ns } | DurationLaw::Weibull { mean_ns, .. } => {
            *mean_ns as f64
        }
        DurationLaw::Lognormal { median_ns, sigma } => {
            *median_ns as f64 * libm::exp(sigma * sigma / 2.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_depends_on_seed_purpose_and_number_only() {
        let draw = |seed, purpose, number| Streams::new(seed).stream(purpose, number).bits();
        assert_eq!(draw(1, "weather", 3), draw(1, "weather", 3));
        let all = [
            draw(1, "weather", 3),
            draw(2, "weather", 3),
            draw(1, "user", 3),
            draw(1, "weather", 4),
        ];
        for (n, a) in all.iter().enumerate() {
            assert!(all[..n].iter().all(|b| a != b), "{all:?}");
        }
    }

    #[test]
    fn laws_have_their_means() {
        let second = 1_000_000_000;
        for (law, relative_deviation) in [
            (DurationLaw::Uniform { from_ns: second, until_ns: 3 * second }, 0.29),
            (DurationLaw::Exponential { mean_ns: second }, 1.0),
            (DurationLaw::Lognormal { median_ns: second, sigma: 0.5 }, 0.54),
            (DurationLaw::Weibull { mean_ns: second, shape: 0.5 }, 2.24),
        ] {
            let n = 40_000;
            let mut stream = Streams::new(7).stream("test", 0);
            let sum: f64 = (0..n).map(|_| stream.duration_ns(&law) as f64).sum();
            let error = (sum / f64::from(n) / mean_ns(&law) - 1.0).abs();
            let tolerance = 4.0 * relative_deviation / libm::sqrt(f64::from(n));
            assert!(error < tolerance, "{law:?}: off by {error}, allowed {tolerance}");
        }
    }

    #[test]
    fn fates_are_uniform_and_independent_of_order() {
        let streams = Streams::new(3);
        let n = 100_000_u64;
        let hits =
            (0..n).filter(|tick| happens(streams.fate([1, 0, *tick, 0]), 250_000)).count() as f64;
        let deviation = libm::sqrt(n as f64 * 0.25 * 0.75);
        assert!((hits - n as f64 * 0.25).abs() < 4.0 * deviation, "{hits} of {n}");
        assert_ne!(streams.fate([1, 0, 5, 0]), streams.fate([1, 0, 5, 1]));
        assert_eq!(streams.fate([1, 0, 5, 1]), Streams::new(3).fate([1, 0, 5, 1]));
    }
}
