//! Names: globs over them, their natural order, and hashes of them.

use std::cmp::Ordering;

/// Whether `pattern` matches the whole of `name`: `*` stands for any characters, also none and also `/`, `?` for exactly one.
pub fn glob_matches(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    let (mut p, mut n) = (0, 0);
    // Where to go on if what follows the last star does not fit: that star takes one character more. Earlier stars need no second
    // look, so the time is at most the product of the lengths.
    let mut retry = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                retry = Some((p + 1, n));
                p += 1;
            }
            Some(&c) if c == '?' || c == name[n] => {
                p += 1;
                n += 1;
            }
            _ => {
                let Some((after_star, taken)) = retry else { return false };
                retry = Some((after_star, taken + 1));
                (p, n) = (after_star, taken + 1);
            }
        }
    }
    pattern[p..].iter().all(|&c| c == '*')
}

/// The order that a person expects: runs of digits by value, so that `9` comes before `10`. Names that differ only in leading zeros
/// are ordered by their bytes.
pub fn natural_order(a: &str, b: &str) -> Ordering {
    let (mut rest_a, mut rest_b) = (a, b);
    while !rest_a.is_empty() && !rest_b.is_empty() {
        let (head_a, tail_a) = chunk(rest_a);
        let (head_b, tail_b) = chunk(rest_b);
        let both_digits =
            head_a.as_bytes()[0].is_ascii_digit() && head_b.as_bytes()[0].is_ascii_digit();
        let order = match both_digits {
            true => {
                let (x, y) = (head_a.trim_start_matches('0'), head_b.trim_start_matches('0'));
                x.len().cmp(&y.len()).then_with(|| x.cmp(y))
            }
            false => head_a.cmp(head_b),
        };
        if order.is_ne() {
            return order;
        }
        (rest_a, rest_b) = (tail_a, tail_b);
    }
    rest_a.len().cmp(&rest_b.len()).then_with(|| a.cmp(b))
}

/// Splits off the leading run of digits, or of anything else.
fn chunk(text: &str) -> (&str, &str) {
    let digits = text.as_bytes()[0].is_ascii_digit();
    let end = text.find(|c: char| c.is_ascii_digit() != digits).unwrap_or(text.len());
    text.split_at(end)
}

/// FNV-1a in 128 bits over the pieces, each followed by a byte that UTF-8 never contains. Not cryptographic.
///
/// Glenn Fowler, Landon Curt Noll, Kiem-Phong Vo: the FNV non-cryptographic hash algorithm (RFC 9923).
pub(crate) fn hash(pieces: &[&str]) -> u128 {
    let mut hash: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    let mut take = |byte: u8| {
        hash = (hash ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
    };
    for piece in pieces {
        piece.bytes().for_each(&mut take);
        take(0xff);
    }
    hash
}

/// A seed for a generator, from names.
pub(crate) fn seed(pieces: &[&str]) -> [u8; 32] {
    let mut seed = [0; 32];
    seed[..16].copy_from_slice(&hash(pieces).to_le_bytes());
    seed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs() {
        for (pattern, name) in [
            ("crdt/*", "crdt/delta"),
            ("*", ""),
            ("*", "lww/hlc"),
            ("*delta*", "crdt/delta-bp-rr"),
            ("l?w/*c", "lww/hlc"),
            ("a*b*c", "a-b-b-c"),
            ("lww/hlc", "lww/hlc"),
            ("**", "x"),
        ] {
            assert!(glob_matches(pattern, name), "{pattern} should match {name}");
        }
        for (pattern, name) in [
            ("crdt/*", "crdt"),
            ("?", ""),
            ("lww", "lww/hlc"),
            ("*hlc", "lww/hlc2"),
            ("", "x"),
            ("a*b*c", "a-b-d"),
        ] {
            assert!(!glob_matches(pattern, name), "{pattern} should not match {name}");
        }
        // A hostile pattern ends soon.
        assert!(!glob_matches(&"*a".repeat(50), &"a".repeat(2_000).replace('a', "ab")));
    }

    #[test]
    fn natural() {
        let mut names = ["10", "9", "a10", "a9", "a", "", "09"];
        names.sort_by(|a, b| natural_order(a, b));
        assert_eq!(names, ["", "09", "9", "10", "a", "a9", "a10"]);
    }

    #[test]
    fn hashes_keep_pieces_apart() {
        // The published 128-bit value of the empty input, and one more byte for one empty piece.
        assert_eq!(hash(&[]), 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d);
        assert_ne!(hash(&["ab", "c"]), hash(&["a", "bc"]));
    }
}
