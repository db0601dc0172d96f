//! Set reconciliation: two replicas find out which keys only one of them holds, for a price that follows the number of
//! differences and not the size of the sets.
//!
//! Two ways, both without input or output of their own; what a key stands for and who sends what afterwards is the caller's
//! concern:
//!
//! - [`rateless`]: one side streams coded symbols, about 1.35 to 1.77 for each difference, until the other has decoded all of them.
//!   Cheapest where differences are few and anywhere; no memory of the peer is needed.
//! - [`merkle`]: both keep a search tree whose shape follows from the set alone, and one side descends where hashes
//!   differ. Cheapest where differences are neighbours, as the newest changes of an author are.
//!
//! **Who knows what in the end.** In both, one side ends up with both lists ([`Differences`]), the other with none: it sends the
//! items that the peer lacks and names those that it lacks itself. One exchange and one message in return settle both directions.
//!
//! **Keys are names, not hashes.** A [`Key`] has 128 bits, so that the name of a join-irreducible fits as it is: the agent in
//! the upper half, its counter in the lower half with a bit or two to tell apart what one dot can stand for (an addition, its
//! removal). Then a decoded key says at once what is missing, no table leads back from hashes to items, neighbours in the order are
//! consecutive changes of one agent (few subtrees differ, gaps fit in a byte), and sums of such keys use few bytes of the
//! sixteen. Equal keys must mean equal items: what can change under one name needs another name.
//!
//! **Nothing is saved.** Sketches and trees follow from their keys: a restored replica makes them again. Exchanges do not survive a lost
//! session; the next one begins anew.
//!
//! **Cost.** Every operation adds what it visited (keys, symbols, nodes; hashing included) to the counter that is handed in, which
//! may be [`crate::Outbox::work_units`] itself.
//!
//! **Why no crate.** Looked at in November 2026: `riblt` 0.1.1 hashes with the standard library's default hasher, whose algorithm is
//! not promised, and `do-riblt` 1.0.2 keeps hash maps and has no key for its checksums; both peel whatever they are told, without a
//! bound. `merkle-search-tree` 0.8.0 cannot remove keys by design, which compaction needs. Hashing is SipHash (Aumasson and
//! Bernstein, INDOCRYPT 2012) from the crate `siphasher`: small, without C, the same on every platform.

pub mod merkle;
pub mod rateless;

use crate::contract::Malformed;
use crate::wire::{Reader, Writer};

/// The name of an item.
pub type Key = u128;

/// Which keys only one side holds; each list ascending.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Differences {
    /// Keys that the peer lacks.
    pub only_mine: Vec<Key>,
    /// Keys that are missing here.
    pub only_theirs: Vec<Key>,
}

impl Differences {
    /// Number of differences on both sides.
    pub fn len(&self) -> usize {
        self.only_mine.len() + self.only_theirs.len()
    }

    /// Whether the sets are equal.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Writes 128 bits, seven a byte, least significant first: one byte below 128, nineteen at most.
fn write_wide(writer: &mut Writer, mut value: u128) {
    while value >= 0x80 {
        writer.byte(value as u8 | 0x80);
        value >>= 7;
    }
    writer.byte(value as u8);
}

/// Reads what [`write_wide`] wrote.
///
/// # Errors
/// [`Malformed`] where it is cut off, exceeds 128 bits or is not in its shortest form.
fn read_wide(reader: &mut Reader<'_>) -> Result<u128, Malformed> {
    let mut value = 0;
    for shift in (0..128).step_by(7) {
        let byte = reader.byte()?;
        if shift == 126 && byte > 3 {
            return Err(Malformed("integer exceeds 128 bits"));
        }
        value |= u128::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            if byte == 0 && shift > 0 {
                return Err(Malformed("integer is not in its shortest form"));
            }
            return Ok(value);
        }
    }
    Err(Malformed("integer exceeds 128 bits"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_integers_survive_and_only_their_shortest_form_is_read() {
        for value in [0, 1, 127, 128, 1 << 64, u128::MAX >> 1, u128::MAX - 1, u128::MAX] {
            let mut writer = Writer::new();
            write_wide(&mut writer, value);
            let bytes = writer.finish();
            let mut reader = Reader::new(&bytes);
            assert_eq!(read_wide(&mut reader), Ok(value));
            assert_eq!(reader.end(), Ok(()));
            for cut in 0..bytes.len() {
                assert!(
                    read_wide(&mut Reader::new(&bytes[..cut])).is_err(),
                    "{value} cut at {cut}"
                );
            }
        }
        assert!(read_wide(&mut Reader::new(&[0x80, 0x00])).is_err(), "a longer form of 0");
        let mut over = [0xff; 19];
        over[18] = 4;
        assert!(read_wide(&mut Reader::new(&over)).is_err(), "129 bits");
        assert!(read_wide(&mut Reader::new(&[0xff; 20])).is_err(), "140 bits");
    }
}
