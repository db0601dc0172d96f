//! Consecutive symbols, and their bytes.
//!
//! ```text
//! version   1 byte, 1
//! seed      varint
//! set_len   varint: keys in the sender's set
//! first     varint: number of the first symbol
//! columns   2 bytes, little endian: bit b is set where byte b of any sum is not zero
//! count     varint: number of symbols
//! symbols   each: count as a zigzag varint of the difference from what is expected, the bytes of the sum that `columns` names,
//!           lowest first, 8 bytes of checksum, little endian
//! ```
//!
//! As in section 6 of the paper a count is written as its distance from the expected `set_len / (1 + i/2)`, one byte nearly always.
//! Keys that are names and not hashes use few columns: three to five bytes instead of sixteen.

use super::{Key, MAX_SYMBOLS, Symbol};
use crate::contract::Malformed;
use crate::wire::{Reader, Writer};

const VERSION: u8 = 1;

/// Sets larger than this are not believed; keeps expected counts within 64 bits.
const MAX_SET_LEN: u64 = 1 << 48;

/// Consecutive symbols of a set's sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The seed of the checksums.
    pub seed: u64,
    /// Number of keys in the set, as its holder says.
    pub set_len: u64,
    /// Number of the first symbol.
    pub first: u32,
    /// The symbols.
    pub symbols: Vec<Symbol>,
}

impl Batch {
    /// Writes it.
    pub fn write(&self, writer: &mut Writer) {
        writer.byte(VERSION);
        writer.uint(self.seed);
        writer.uint(self.set_len);
        writer.uint(u64::from(self.first));
        let columns = columns(&self.symbols);
        writer.raw(&columns.to_le_bytes());
        writer.count(self.symbols.len());
        for (index, symbol) in (self.first..).zip(&self.symbols) {
            writer.int(symbol.count.wrapping_sub(expected(self.set_len, index)));
            for (column, byte) in symbol.sum.to_le_bytes().into_iter().enumerate() {
                if columns >> column & 1 == 1 {
                    writer.byte(byte);
                }
            }
            writer.raw(&symbol.check.to_le_bytes());
        }
    }

    /// Reads what [`Batch::write`] wrote.
    ///
    /// # Errors
    /// [`Malformed`] where the version is unknown, a number is out of range, or a column is named that no sum uses.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        if reader.byte()? != VERSION {
            return Err(Malformed("unknown version of symbols"));
        }
        let seed = reader.uint()?;
        let set_len = reader.uint()?;
        let first = reader.uint32()?;
        if set_len > MAX_SET_LEN || first > MAX_SYMBOLS {
            return Err(Malformed("set or sequence is too long"));
        }
        let columns = u16::from_le_bytes([reader.byte()?, reader.byte()?]);
        let count = reader.count(1 + columns.count_ones() as usize + 8)?;
        if count > (MAX_SYMBOLS - first) as usize {
            return Err(Malformed("set or sequence is too long"));
        }
        let mut symbols = Vec::with_capacity(count);
        for index in (first..).take(count) {
            let count = expected(set_len, index).wrapping_add(reader.int()?);
            let mut sum = [0; 16];
            for (column, byte) in sum.iter_mut().enumerate() {
                if columns >> column & 1 == 1 {
                    *byte = reader.byte()?;
                }
            }
            let check = reader.raw(8)?.try_into().expect("eight bytes were asked for");
            let check = u64::from_le_bytes(check);
            symbols.push(Symbol { count, sum: Key::from_le_bytes(sum), check });
        }
        if self::columns(&symbols) != columns {
            return Err(Malformed("a column that no sum uses"));
        }
        Ok(Batch { seed, set_len, first, symbols })
    }
}

/// Which bytes of the sums are not all zero.
fn columns(symbols: &[Symbol]) -> u16 {
    let used = symbols.iter().fold(0, |used, symbol| used | symbol.sum);
    let bits = used.to_le_bytes().into_iter().enumerate();
    bits.fold(0, |bits, (column, byte)| bits | u16::from(byte != 0) << column)
}

/// How many keys of a set fall into a symbol on average.
fn expected(set_len: u64, index: u32) -> i64 {
    (2 * set_len / (2 + u64::from(index))) as i64
}
