//! A hierarchical wheel of keys that sorts lazily.
//!
//! The keys due soonest are in the *run*, a short sorted list. All others lie unsorted in 16 levels
//! of 16 slots: a key's level is the highest group of four bits in which its time differs from the
//! *origin*, its slot there is the value of that group. So the lowest slot of the lowest level in
//! use always holds the soonest keys. When the run is used up, that slot becomes the new run if it
//! is small; otherwise only its first instant does, and the rest goes to lower levels.
//!
//! The idea of buckets that are sorted only when they come up is that of the calendar queue
//! (R. Brown, CACM 31(10), 1988) and of the ladder queue (Tang, Goh and Thng, ACM TOMACS 15(3),
//! 2005); the levels by differing digit are those of a radix heap (Ahuja, Mehlhorn, Orlin and
//! Tarjan, JACM 37(2), 1990).
//!
//! Slots are chains of chunks from one pool. Chunks are used again in last in, first out order, so
//! memory follows the number of keys, not the number of slots.

/// Bits of time a level tells apart.
const DIGIT_BITS: u32 = 4;
const DIGITS: usize = 1 << DIGIT_BITS;
const LEVELS: usize = (u64::BITS / DIGIT_BITS) as usize;
/// A slot of up to this many keys becomes the run as a whole.
const RUN_KEYS: u32 = 32;
const CHUNK_KEYS: usize = 32;
/// No chunk.
const NONE: u32 = u32::MAX;

/// One entry: when it is due, its place among equal times, and what it stands for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) at_ns: u64,
    /// Sequence number above, place in the lowest `PLACE_BITS`.
    order: u64,
}

impl Key {
    const PLACE_BITS: u32 = 24;
    /// Places are smaller than this.
    pub(super) const PLACES: u32 = 1 << Self::PLACE_BITS;

    #[inline]
    pub(super) fn new(at_ns: u64, sequence: u64, place: u32) -> Self {
        assert!(sequence >> (u64::BITS - Self::PLACE_BITS) == 0, "at most 2^40 keys are made");
        Self { at_ns, order: sequence << Self::PLACE_BITS | u64::from(place) }
    }

    #[inline]
    pub(super) fn place(self) -> u32 {
        self.order as u32 & (Self::PLACES - 1)
    }

    #[inline]
    fn rank(self) -> u128 {
        u128::from(self.at_ns) << u64::BITS | u128::from(self.order)
    }
}

impl Ord for Key {
    #[inline]
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.rank().cmp(&other.rank())
    }
}

impl PartialOrd for Key {
    #[inline]
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

#[derive(Debug)]
pub(super) struct Wheel {
    /// Sorted from `head` on; what lies before it has been taken.
    run: Vec<Key>,
    head: usize,
    /// Keys up to this time belong in the run, later ones in the slots.
    run_end_ns: u64,
    /// What the slots are relative to; not after any key in them.
    origin_ns: u64,
    /// One bit for each level with a key.
    levels: u32,
    /// One bit for each slot with a key, by level.
    digits: [u32; LEVELS],
    /// By level * `DIGITS` + digit.
    slots: [Slot; LEVELS * DIGITS],
    pool: Pool,
}

/// A chain of chunks, all full but the last.
#[derive(Clone, Copy, Debug)]
struct Slot {
    first: u32,
    last: u32,
    keys: u32,
    min_ns: u64,
}

const EMPTY: Slot = Slot { first: NONE, last: NONE, keys: 0, min_ns: u64::MAX };

impl Wheel {
    pub(super) fn new() -> Self {
        Self {
            run: Vec::new(),
            head: 0,
            run_end_ns: 0,
            origin_ns: 0,
            levels: 0,
            digits: [0; LEVELS],
            slots: [EMPTY; LEVELS * DIGITS],
            pool: Pool::new(),
        }
    }

    #[inline]
    pub(super) fn push(&mut self, key: Key) {
        if key.at_ns > self.run_end_ns {
            self.file(key);
        } else {
            self.insert(key);
        }
    }

    /// The least key.
    #[inline]
    pub(super) fn first(&mut self) -> Option<Key> {
        if self.head == self.run.len() {
            self.open();
        }
        self.run.get(self.head).copied()
    }

    /// Drops the least key, which [`first`](Self::first) has just returned.
    #[inline]
    pub(super) fn pop_first(&mut self) {
        self.head += 1;
    }

    /// Makes `at_ns` the origin of an empty wheel, so that keys from then on spread well.
    pub(super) fn restart(&mut self, at_ns: u64) {
        debug_assert!(self.levels == 0 && self.head == self.run.len(), "the wheel is empty");
        self.origin_ns = at_ns;
        self.run_end_ns = at_ns;
    }

    /// Drops all keys but those to keep.
    pub(super) fn retain(&mut self, keep: impl Fn(Key) -> bool) {
        self.run.drain(..self.head);
        self.head = 0;
        self.run.retain(|key| keep(*key));
        self.refile(keep);
    }

    /// Adds a key to its slot.
    #[inline]
    fn file(&mut self, key: Key) {
        let differs = key.at_ns ^ self.origin_ns;
        let level = (differs | 1).ilog2() / DIGIT_BITS;
        let digit = (key.at_ns >> (level * DIGIT_BITS)) as usize % DIGITS;
        self.levels |= 1 << level;
        self.digits[level as usize] |= 1 << digit;
        let slot = &mut self.slots[level as usize * DIGITS + digit];
        let fill = slot.keys as usize % CHUNK_KEYS;
        if fill == 0 {
            let chunk = self.pool.take();
            match slot.keys {
                0 => slot.first = chunk,
                _ => self.pool.next[slot.last as usize] = chunk,
            }
            slot.last = chunk;
        }
        self.pool.chunks[slot.last as usize][fill] = key;
        slot.keys += 1;
        slot.min_ns = slot.min_ns.min(key.at_ns);
    }

    /// Adds a key to the run, from behind, as most new keys are late ones.
    #[inline]
    fn insert(&mut self, key: Key) {
        let mut at = self.run.len();
        self.run.push(key);
        while at > self.head && self.run[at - 1] > key {
            self.run[at] = self.run[at - 1];
            at -= 1;
        }
        self.run[at] = key;
        if self.head >= 2 * RUN_KEYS as usize && self.head >= self.run.len() / 2 {
            self.run.drain(..self.head);
            self.head = 0;
        }
        if self.run.len() - self.head > 4 * RUN_KEYS as usize {
            self.spread();
        }
    }

    /// Refills the run, which is used up, from the soonest slot; leaves it empty if there is none.
    #[inline(never)]
    fn open(&mut self) {
        self.run.clear();
        self.head = 0;
        if self.levels == 0 {
            return;
        }
        let level = self.levels.trailing_zeros();
        let digit = self.digits[level as usize].trailing_zeros();
        let slot = self.take_slot(level as usize, digit as usize);
        self.origin_ns = slot.min_ns;
        self.run_end_ns = if slot.keys <= RUN_KEYS || level == 0 {
            slot.min_ns | ((1 << (level * DIGIT_BITS)) - 1)
        } else {
            slot.min_ns
        };
        self.each(slot, |wheel, key| {
            if key.at_ns > wheel.run_end_ns {
                wheel.file(key);
            } else {
                wheel.run.push(key);
            }
        });
        self.run.sort_unstable();
    }

    /// The run has grown too long: keeps its first instant and files the rest.
    #[cold]
    fn spread(&mut self) {
        let first_ns = self.run[self.head].at_ns;
        if self.run_end_ns == first_ns {
            return;
        }
        self.run_end_ns = first_ns;
        let back = first_ns < self.origin_ns;
        self.origin_ns = first_ns;
        if back {
            // The run was opened ahead of the present, and earlier keys came in since.
            self.refile(|_| true);
        }
        let instant = self.run[self.head..].partition_point(|key| key.at_ns == first_ns);
        let rest = self.run.split_off(self.head + instant);
        for key in rest {
            self.file(key);
        }
    }

    /// Takes every key out of its slot and files those to keep by the present origin.
    fn refile(&mut self, keep: impl Fn(Key) -> bool) {
        for level in 0..LEVELS {
            let mut digits = self.digits[level];
            while digits != 0 {
                let digit = digits.trailing_zeros() as usize;
                digits &= digits - 1;
                let slot = self.take_slot(level, digit);
                self.each(slot, |wheel, key| {
                    if keep(key) {
                        wheel.file(key);
                    }
                });
            }
        }
    }

    fn take_slot(&mut self, level: usize, digit: usize) -> Slot {
        self.digits[level] &= !(1 << digit);
        if self.digits[level] == 0 {
            self.levels &= !(1 << level);
        }
        std::mem::replace(&mut self.slots[level * DIGITS + digit], EMPTY)
    }

    /// Gives the keys of a slot that was taken out, and its chunks back to the pool.
    #[inline]
    fn each(&mut self, slot: Slot, mut visit: impl FnMut(&mut Self, Key)) {
        let mut left = slot.keys as usize;
        let mut chunk = slot.first;
        while left > 0 {
            let keys = self.pool.chunks[chunk as usize];
            chunk = self.pool.give_back(chunk);
            for key in &keys[..left.min(CHUNK_KEYS)] {
                visit(self, *key);
            }
            left = left.saturating_sub(CHUNK_KEYS);
        }
    }
}

#[derive(Debug)]
struct Pool {
    chunks: Vec<[Key; CHUNK_KEYS]>,
    /// By chunk: the next one of its slot or of the free list.
    next: Vec<u32>,
    /// The chunk given back last.
    free: u32,
}

impl Pool {
    fn new() -> Self {
        Self { chunks: Vec::new(), next: Vec::new(), free: NONE }
    }

    #[inline]
    fn take(&mut self) -> u32 {
        if self.free == NONE {
            return self.grow();
        }
        let chunk = self.free;
        self.free = self.next[chunk as usize];
        chunk
    }

    #[cold]
    fn grow(&mut self) -> u32 {
        self.chunks.push([Key::default(); CHUNK_KEYS]);
        self.next.push(NONE);
        (self.chunks.len() - 1) as u32
    }

    /// Frees a chunk and returns the one that followed it.
    #[inline]
    fn give_back(&mut self, chunk: u32) -> u32 {
        let next = std::mem::replace(&mut self.next[chunk as usize], self.free);
        self.free = chunk;
        next
    }
}
