//! Which symbols a key falls into.

/// The ascending indexes of one key's symbols. Symbol `i` is among them with probability `1 / (1 + i/2)`, independently of the
/// others (section 4.2 of the paper).
///
/// From `i`, the next index lies beyond `n` with probability `(i+1)(i+2) / ((n+1)(n+2))`: the product of `j / (j+2)` over what is
/// passed over. One uniform number is turned into the next index by inverting that exactly, where the paper's own code approximates.
/// Division, square root and rounding up of doubles are exactly specified (IEEE 754), so every platform walks alike.
#[derive(Clone, Copy, Debug)]
pub(super) struct Walk {
    state: u64,
    /// The current symbol's index; begins at 0, which every key falls into.
    pub index: u32,
}

impl Walk {
    /// The walk of the key with this checksum.
    pub fn begin(check: u64) -> Self {
        Walk { state: check, index: 0 }
    }

    /// Goes on to the next index; stays at `u32::MAX`, which is no symbol's.
    pub fn step(&mut self) {
        let uniform = ((self.draw() >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
        let at = f64::from(self.index);
        let beyond = ((at + 1.0) * (at + 2.0) / uniform + 0.25).sqrt() - 1.5;
        // The conversion saturates. A draw close to 1 may round down to where we are.
        self.index = (beyond.ceil() as u32).max(self.index.saturating_add(1));
    }

    /// SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
    fn draw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.state;
        x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ x >> 31
    }
}

#[cfg(test)]
mod tests {
    use super::super::checksum;
    use super::*;

    #[test]
    fn a_symbol_is_met_with_the_probability_of_the_paper() {
        const KEYS: u32 = 200_000;
        let watched = [0u32, 1, 2, 3, 5, 10, 30, 100, 1000];
        let mut met = [0u32; 9];
        for key in 0..u128::from(KEYS) {
            let mut walk = Walk::begin(checksum(1, key));
            while walk.index <= 1000 {
                if let Ok(at) = watched.binary_search(&walk.index) {
                    met[at] += 1;
                }
                let before = walk.index;
                walk.step();
                assert!(walk.index > before);
            }
        }
        for (index, met) in watched.into_iter().zip(met) {
            let rho = 1.0 / (1.0 + f64::from(index) / 2.0);
            let deviation = (rho * (1.0 - rho) / f64::from(KEYS)).sqrt();
            let share = f64::from(met) / f64::from(KEYS);
            assert!((share - rho).abs() <= 4.5 * deviation, "symbol {index}: {share}, not {rho}");
        }
    }

    #[test]
    fn a_walk_is_the_same_everywhere_and_ends_at_the_largest_index() {
        let mut walk = Walk::begin(7);
        let mut first = Vec::new();
        for _ in 0..12 {
            first.push(walk.index);
            walk.step();
        }
        assert_eq!(first, [0, 1, 18, 20, 27, 41, 84, 124, 218, 598, 932, 2900]);
        while walk.index < u32::MAX {
            walk.step();
        }
        walk.step();
        assert_eq!(walk.index, u32::MAX);
    }
}
