//! A hierarchical wheel of entries that sorts lazily.
//!
//! The entries due soonest are in the *run*, which is sorted and short. All others lie unsorted in
//! 16 levels of 16 slots: an entry's level is the highest group of four bits in which its time
//! differs from the *origin*, its slot there is the value of that group. So the lowest slot of the
//! lowest level in use always holds the soonest entries. When the run is used up, that slot becomes
//! the new run if it is small; otherwise its entries first go to the slots of a lower level.
//!
//! Buckets that are sorted only when they come up are known from the calendar queue (R. Brown,
//! CACM 31(10), 1988) and the ladder queue (Tang, Goh and Thng, ACM TOMACS 15(3), 2005), levels by
//! differing digit from the radix heap (Ahuja, Mehlhorn, Orlin and Tarjan, JACM 37(2), 1990).
//!
//! Slots are lists of chunks, and an emptied chunk is the next one used: memory follows the number
//! of entries, and what is written is mostly in the cache.

use std::collections::VecDeque;

/// Bits of time a level tells apart.
const DIGIT_BITS: u32 = 4;
const DIGITS: usize = 1 << DIGIT_BITS;
const LEVELS: usize = (u64::BITS / DIGIT_BITS) as usize;
/// A slot of up to this many entries becomes the run as a whole.
const RUN_ENTRIES: usize = 32;
const CHUNK_ENTRIES: usize = 32;

/// When something is due, and its place among equal times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rank {
    pub(super) at_ns: u64,
    pub(super) sequence: u64,
}

impl Ord for Rank {
    #[inline]
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        // One wide comparison has no branch to mispredict.
        let wide = |rank: &Self| u128::from(rank.at_ns) << u64::BITS | u128::from(rank.sequence);
        wide(self).cmp(&wide(other))
    }
}

impl PartialOrd for Rank {
    #[inline]
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// Values by rank; no two may have the same rank.
#[derive(Debug)]
pub(super) struct Wheel<T> {
    run: VecDeque<Entry<T>>,
    /// Entries up to this time belong in the run, later ones in the slots.
    run_end_ns: u64,
    /// What the slots are relative to; not after any entry in them.
    origin_ns: u64,
    /// One bit for each level with an entry.
    levels: u32,
    /// One bit for each slot with an entry, by level.
    digits: [u32; LEVELS],
    /// By level * `DIGITS` + digit.
    slots: [Slot<T>; LEVELS * DIGITS],
    /// Empty chunks; the one emptied last is used first.
    spare: Vec<Chunk<T>>,
    len: usize,
}

#[derive(Debug)]
struct Entry<T> {
    rank: Rank,
    value: T,
}

/// Up to `CHUNK_ENTRIES` entries, in a block of that size or none.
type Chunk<T> = Vec<Entry<T>>;

#[derive(Debug)]
struct Slot<T> {
    /// The chunk that is being filled.
    last: Chunk<T>,
    full: Vec<Chunk<T>>,
    /// The soonest time here, `u64::MAX` while empty.
    min_ns: u64,
    /// The latest time here, 0 while empty.
    max_ns: u64,
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self { last: Vec::new(), full: Vec::new(), min_ns: u64::MAX, max_ns: 0 }
    }
}

impl<T> Wheel<T> {
    pub(super) fn new() -> Self {
        Self {
            run: VecDeque::new(),
            run_end_ns: 0,
            origin_ns: 0,
            levels: 0,
            digits: [0; LEVELS],
            slots: std::array::from_fn(|_| Slot::default()),
            spare: Vec::new(),
            len: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(super) fn push(&mut self, rank: Rank, value: T) {
        self.len += 1;
        if rank.at_ns > self.run_end_ns {
            self.file(Entry { rank, value });
        } else {
            self.insert(Entry { rank, value });
        }
    }

    /// The soonest entry.
    #[inline]
    pub(super) fn first(&mut self) -> Option<(Rank, &T)> {
        if self.run.is_empty() && self.levels != 0 {
            self.open();
        }
        self.run.front().map(|entry| (entry.rank, &entry.value))
    }

    /// The value `n` places after the soonest one, as far as the order is known yet.
    #[inline]
    pub(super) fn after_first(&self, n: usize) -> Option<&T> {
        self.run.get(n).map(|entry| &entry.value)
    }

    /// Takes the entry [`first`](Self::first) has just returned.
    #[inline]
    pub(super) fn take_first(&mut self) -> T {
        self.len -= 1;
        self.run.pop_front().expect("there is a first entry").value
    }

    /// Makes `at_ns` the origin of an empty wheel, so that entries from then on spread well.
    pub(super) fn restart(&mut self, at_ns: u64) {
        debug_assert_eq!(self.len, 0, "the wheel is empty");
        self.origin_ns = at_ns;
        self.run_end_ns = at_ns;
    }

    /// Drops all entries but those to keep.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(Rank, &T) -> bool) {
        self.run.retain(|entry| keep(entry.rank, &entry.value));
        self.len = self.run.len();
        self.refile(|wheel, entry| {
            if keep(entry.rank, &entry.value) {
                wheel.len += 1;
                wheel.file(entry);
            }
        });
    }

    /// Adds an entry to its slot.
    #[inline]
    fn file(&mut self, entry: Entry<T>) {
        let level = level_of(entry.rank.at_ns, self.origin_ns);
        self.file_at(level, entry);
    }

    /// Adds an entry to its slot on the given level.
    #[inline]
    fn file_at(&mut self, level: usize, entry: Entry<T>) {
        let at_ns = entry.rank.at_ns;
        let digit = (at_ns >> (level as u32 * DIGIT_BITS)) as usize % DIGITS;
        self.levels |= 1 << level;
        self.digits[level] |= 1 << digit;
        let slot = &mut self.slots[level * DIGITS + digit];
        slot.min_ns = slot.min_ns.min(at_ns);
        slot.max_ns = slot.max_ns.max(at_ns);
        if slot.last.len() == slot.last.capacity() {
            let next = self.spare.pop().unwrap_or_else(|| Vec::with_capacity(CHUNK_ENTRIES));
            let full = std::mem::replace(&mut slot.last, next);
            if !full.is_empty() {
                slot.full.push(full);
            }
        }
        slot.last.push(entry);
    }

    /// Adds an entry to the run.
    #[inline]
    fn insert(&mut self, entry: Entry<T>) {
        // From behind: most new entries are late ones.
        let at = self.run.iter().rposition(|other| other.rank < entry.rank).map_or(0, |at| at + 1);
        self.run.insert(at, entry);
        if self.run.len() > 4 * RUN_ENTRIES {
            self.spread();
        }
    }

    /// Refills the run, which is used up, from the soonest slot; there must be one.
    #[inline(never)]
    fn open(&mut self) {
        loop {
            let level = self.levels.trailing_zeros() as usize;
            let digit = self.digits[level].trailing_zeros() as usize;
            let slot = &self.slots[level * DIGITS + digit];
            let (min_ns, max_ns) = (slot.min_ns, slot.max_ns);
            self.origin_ns = min_ns;
            if min_ns == max_ns || slot.full.is_empty() && slot.last.len() <= RUN_ENTRIES {
                self.run_end_ns = min_ns | ((1 << (level as u32 * DIGIT_BITS)) - 1);
                self.run.clear();
                self.empty_slot(level, digit, |wheel, entry| wheel.run.push_back(entry));
                self.run.make_contiguous().sort_unstable_by_key(|entry| entry.rank);
                return;
            }
            // They agree in all digits above the one that tells the first from the last. That one
            // is below this level, on which they agree by being in one slot.
            let lower = level_of(min_ns, max_ns);
            self.empty_slot(level, digit, |wheel, entry| wheel.file_at(lower, entry));
        }
    }

    /// The run has grown too long: keeps its first instant and files the rest.
    #[cold]
    fn spread(&mut self) {
        let first_ns = self.run.front().expect("the run is long").rank.at_ns;
        if self.run_end_ns == first_ns {
            return;
        }
        self.run_end_ns = first_ns;
        let back = first_ns < self.origin_ns;
        self.origin_ns = first_ns;
        if back {
            // The run was opened ahead of the present, and earlier entries came in since.
            self.refile(Self::file);
        }
        let instant = self.run.partition_point(|entry| entry.rank.at_ns == first_ns);
        for entry in self.run.split_off(instant) {
            self.file(entry);
        }
    }

    /// Empties every slot. Entries that are filed meanwhile may be visited twice.
    fn refile(&mut self, mut visit: impl FnMut(&mut Self, Entry<T>)) {
        for level in 0..LEVELS {
            for digit in 0..DIGITS {
                if self.digits[level] & 1 << digit != 0 {
                    self.empty_slot(level, digit, &mut visit);
                }
            }
        }
    }

    /// Takes a slot out, hands on its entries in order, and keeps its chunks.
    #[inline]
    fn empty_slot(
        &mut self,
        level: usize,
        digit: usize,
        mut visit: impl FnMut(&mut Self, Entry<T>),
    ) {
        self.digits[level] &= !(1 << digit);
        if self.digits[level] == 0 {
            self.levels &= !(1 << level);
        }
        let Slot { last, mut full, .. } = std::mem::take(&mut self.slots[level * DIGITS + digit]);
        for mut chunk in full.drain(..).chain([last]) {
            for entry in chunk.drain(..) {
                visit(self, entry);
            }
            self.spare.push(chunk);
        }
        let slot = &mut self.slots[level * DIGITS + digit];
        if slot.full.capacity() == 0 {
            slot.full = full;
        }
    }
}

/// The level of the highest digit in which two times differ; the lowest for equal ones.
#[inline]
fn level_of(a_ns: u64, b_ns: u64) -> usize {
    (((a_ns ^ b_ns) | 1).ilog2() / DIGIT_BITS) as usize
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::{Rank, Wheel};

    impl<T> Wheel<T> {
        /// Entries there is memory for.
        fn capacity(&self) -> usize {
            let slots = self.slots.iter().flat_map(|slot| slot.full.iter().chain([&slot.last]));
            slots.chain(&self.spare).map(Vec::capacity).sum::<usize>() + self.run.capacity()
        }
    }

    /// A binary heap would hold 100,000 entries of the same size.
    #[test]
    fn memory_follows_the_number_of_entries_and_does_not_creep() {
        const ENTRIES: u64 = 100_000;
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut wheel = Wheel::new();
        let mut sequence = 0;
        let mut push = |wheel: &mut Wheel<u64>, now_ns| {
            sequence += 1;
            let delay_ns = rng.random::<u64>() >> rng.random_range(20..50);
            wheel.push(Rank { at_ns: now_ns + delay_ns, sequence }, 0);
        };
        (0..ENTRIES).for_each(|_| push(&mut wheel, 0));
        for turn in 0..2_000_000 {
            let (rank, _) = wheel.first().expect("as many stay");
            wheel.take_first();
            push(&mut wheel, rank.at_ns);
            if turn % 1000 == 0 {
                assert!(wheel.capacity() as u64 <= ENTRIES * 13 / 10, "turn {turn}");
            }
        }
        assert_eq!(wheel.len() as u64, ENTRIES);
    }

    /// Inserting into the run is only cheap while it is short.
    #[test]
    fn the_run_stays_short_whatever_comes_in_below_its_end() {
        for descending in [false, true] {
            let mut wheel = Wheel::new();
            wheel.push(Rank { at_ns: u64::MAX, sequence: 0 }, ());
            wheel.first();
            for sequence in 1..10_000 {
                let at_ns = if descending { 10_000 - sequence } else { sequence } * 1000;
                wheel.push(Rank { at_ns, sequence }, ());
                assert!(wheel.run.len() <= 4 * super::RUN_ENTRIES, "at {at_ns}");
            }
        }
    }
}
