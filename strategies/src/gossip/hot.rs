//! The rumors that a replica still spreads, by their positions in its log.

use crate::contract::Malformed;
use crate::wire::{Reader, Writer};
use std::num::NonZeroU32;
use std::ops::Range;

/// A rumor, and how many contacts in a row knew it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rumor {
    position: u64,
    misses: u32,
}

/// Hot rumors, in ascending order of positions.
#[derive(Debug)]
pub struct Hot {
    rumors: Vec<Rumor>,
    /// Misses in a row after which a rumor is dropped.
    interest: NonZeroU32,
}

impl Hot {
    /// None.
    pub fn new(interest: NonZeroU32) -> Self {
        Hot { rumors: Vec::new(), interest }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.rumors.len()
    }

    /// Their positions, from one on.
    pub fn positions_from(&self, position: u64) -> impl ExactSizeIterator<Item = u64> {
        let before = self.rumors.partition_point(|rumor| rumor.position < position);
        self.rumors[before..].iter().map(|rumor| rumor.position)
    }

    /// Whether the rumor at a position is hot.
    pub fn is_hot(&self, position: u64) -> bool {
        self.rumors.binary_search_by_key(&position, |rumor| rumor.position).is_ok()
    }

    /// What was logged at these positions, all behind those before, is hot.
    pub fn heat(&mut self, positions: Range<u64>) {
        self.rumors.extend(positions.map(|position| Rumor { position, misses: 0 }));
    }

    /// What lies before a position is known to all peers.
    pub fn cool_before(&mut self, position: u64) {
        let cold = self.rumors.partition_point(|rumor| rumor.position < position);
        self.rumors.drain(..cold);
    }

    /// Somebody was told of a rumor, and knew it or not.
    pub fn told(&mut self, position: u64, was_known: bool) {
        let at = self.rumors.binary_search_by_key(&position, |rumor| rumor.position);
        let Ok(at) = at else { return };
        let rumor = &mut self.rumors[at];
        rumor.misses = if was_known { rumor.misses + 1 } else { 0 };
        if rumor.misses >= self.interest.get() {
            self.rumors.remove(at);
        }
    }

    /// Bytes it takes in memory, about.
    pub fn memory_bytes(&self) -> u64 {
        size_of_val(&self.rumors[..]) as u64
    }

    /// Writes it.
    pub fn write(&self, writer: &mut Writer) {
        writer.count(self.rumors.len());
        for rumor in &self.rumors {
            writer.uint(rumor.position);
            writer.uint(u64::from(rumor.misses));
        }
    }

    /// Reads what [`Hot::write`] wrote; `logged` are the positions that there are.
    ///
    /// # Errors
    /// [`Malformed`] where it makes no sense.
    pub fn read(
        reader: &mut Reader<'_>,
        interest: NonZeroU32,
        logged: &Range<u64>,
    ) -> Result<Self, Malformed> {
        let mut hot = Hot::new(interest);
        for _ in 0..reader.count(2)? {
            let (position, misses) = (reader.uint()?, reader.uint32()?);
            let ascends = hot.rumors.last().is_none_or(|last| last.position < position);
            if !ascends || !logged.contains(&position) || misses >= interest.get() {
                return Err(Malformed("a rumor that cannot be hot"));
            }
            hot.rumors.push(Rumor { position, misses });
        }
        Ok(hot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interest_is_lost_after_misses_in_a_row() {
        let mut hot = Hot::new(NonZeroU32::new(2).expect("two"));
        hot.heat(5..8);
        hot.told(6, true);
        hot.told(6, false);
        hot.told(6, true);
        assert_eq!(
            hot.positions_from(0).collect::<Vec<_>>(),
            [5, 6, 7],
            "news sets the count back"
        );
        hot.told(6, true);
        hot.told(6, true);
        hot.told(9, true);
        assert_eq!(hot.positions_from(0).collect::<Vec<_>>(), [5, 7]);
        hot.cool_before(7);
        assert_eq!(hot.positions_from(0).collect::<Vec<_>>(), [7]);
        hot.told(7, true);
        let mut writer = Writer::new();
        hot.write(&mut writer);
        let bytes = writer.finish();
        let read = |logged| Hot::read(&mut Reader::new(&bytes), hot.interest, &logged);
        let mut again = read(7..8).expect("its own bytes");
        again.told(7, true);
        assert_eq!(again.len(), 0, "the count was kept");
        assert!(read(0..7).is_err(), "it is not in the log");
    }
}
