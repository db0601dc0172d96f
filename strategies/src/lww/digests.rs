//! A fingerprint of a table of cells that costs only what changed since it was last asked for.

use crate::document::{Cell, Content, Digest};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

/// The sum of one digest per shown cell. Cells that changed are digested again when the sum is next asked for, so that a text
/// edited a thousand times in between is read once.
#[derive(Debug, Default)]
pub(crate) struct Digests {
    inner: RefCell<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Sum of `known`, wrapping.
    sum: u128,
    known: BTreeMap<Cell, u128>,
    stale: BTreeSet<Cell>,
}

impl Digests {
    /// Notes that a cell changed, came or went.
    pub fn touch(&mut self, cell: Cell) {
        let inner = self.inner.get_mut();
        if let Some(digest) = inner.known.remove(&cell) {
            inner.sum = inner.sum.wrapping_sub(digest);
        }
        inner.stale.insert(cell);
    }

    /// The fingerprint of what `content` shows.
    pub fn sum<'a>(&self, content: impl Fn(Cell) -> Option<&'a Content>) -> u128 {
        self.sum_of(|cell, digest| match content(cell).filter(|content| !content.is_empty()) {
            Some(content) => {
                digest.content(content);
                true
            }
            None => false,
        })
    }

    /// The fingerprint of what `shown` takes in for each cell; it says whether there is anything.
    pub fn sum_of(&self, shown: impl Fn(Cell, &mut Digest) -> bool) -> u128 {
        let inner = &mut *self.inner.borrow_mut();
        while let Some(cell) = inner.stale.pop_first() {
            let mut digest = Digest::new();
            digest.word(u64::from(cell.record.0) << 16 | u64::from(cell.field.0));
            if shown(cell, &mut digest) {
                let digest = digest.finish();
                inner.sum = inner.sum.wrapping_add(digest);
                inner.known.insert(cell, digest);
            }
        }
        inner.sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{FieldId, RecordId};
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn the_running_sum_is_that_of_a_fresh_start() {
        for seed in 0..50 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let mut cells: BTreeMap<Cell, Content> = BTreeMap::new();
            let mut running = Digests::default();
            for _ in 0..40 {
                let cell = Cell { record: RecordId(rng.random_range(0..4)), field: FieldId(0) };
                match rng.random_range(0..3) {
                    0 => drop(cells.remove(&cell)),
                    amount => drop(cells.insert(cell, Content::Counter(amount - 1))),
                }
                running.touch(cell);
                if rng.random_range(0..3) == 0 {
                    let mut fresh = Digests::default();
                    cells.keys().for_each(|cell| fresh.touch(*cell));
                    let sum = running.sum(|cell| cells.get(&cell));
                    assert_eq!(sum, fresh.sum(|cell| cells.get(&cell)), "seed {seed}");
                }
            }
        }
    }
}
