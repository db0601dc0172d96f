//! A set and the beginning of its sequence of symbols.

use super::walk::Walk;
use super::{Batch, FIRST_BATCH, Key, MAX_SYMBOLS, Symbol, checksum};
use std::collections::BTreeMap;

/// A set of keys and as many of its coded symbols as anybody asked for so far, kept up to date.
///
/// With `n` keys and `m` symbols, an insertion or removal touches about `2 ln m` symbols; making `m` symbols touches about `2 n ln m`.
#[derive(Clone, Debug)]
pub struct Sketch {
    seed: u64,
    members: BTreeMap<Key, Member>,
    symbols: Vec<Symbol>,
}

#[derive(Clone, Copy, Debug)]
struct Member {
    check: u64,
    /// Stands at the key's first symbol that is not made yet.
    walk: Walk,
}

impl Sketch {
    /// The empty set under a seed.
    pub fn new(seed: u64) -> Self {
        Sketch { seed, members: BTreeMap::new(), symbols: Vec::new() }
    }

    /// The seed of its checksums.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Number of keys.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether it holds no key.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Whether it holds a key.
    pub fn contains(&self, key: Key) -> bool {
        self.members.contains_key(&key)
    }

    /// The keys, ascending.
    pub fn keys(&self) -> impl Iterator<Item = Key> + '_ {
        self.members.keys().copied()
    }

    /// Number of symbols made so far; what they cost stays until the sketch is dropped.
    pub fn made(&self) -> usize {
        self.symbols.len()
    }

    /// Adds a key; false where it was there. Open exchanges must hear of it: [`Drift::inserted`].
    pub fn insert(&mut self, key: Key, visited: &mut u64) -> bool {
        *visited += 1;
        if self.contains(key) {
            return false;
        }
        let check = checksum(self.seed, key);
        let walk = toggle(&mut self.symbols, 0, key, check, 1, visited);
        self.members.insert(key, Member { check, walk });
        true
    }

    /// Takes a key away; false where it was not there. Open exchanges must hear of it: [`Drift::removed`].
    pub fn remove(&mut self, key: Key, visited: &mut u64) -> bool {
        *visited += 1;
        let Some(Member { check, .. }) = self.members.remove(&key) else {
            return false;
        };
        toggle(&mut self.symbols, 0, key, check, -1, visited);
        true
    }

    /// The symbols that follow the first `from`, as many as [`batch_len`] says, of the set as it was when `drift` began. `None` where
    /// nobody can ask for them: `from` is more than was ever made, or all of [`MAX_SYMBOLS`] were sent.
    pub fn batch(&mut self, from: u32, drift: &Drift, visited: &mut u64) -> Option<Batch> {
        let to = from.saturating_add(batch_len(from)).min(MAX_SYMBOLS);
        if from as usize > self.symbols.len() || from >= to {
            return None;
        }
        self.make(to, visited);
        let mut symbols = self.symbols[from as usize..to as usize].to_vec();
        *visited += symbols.len() as u64;
        drift.undo(self.seed, from, &mut symbols, -1, visited);
        let set_len = drift.len_before(self.members.len());
        Some(Batch { seed: self.seed, set_len, first: from, symbols })
    }

    /// The symbols made so far, at least `len` of them.
    pub(super) fn symbols(&mut self, len: u32, visited: &mut u64) -> &[Symbol] {
        self.make(len, visited);
        &self.symbols
    }

    fn make(&mut self, len: u32, visited: &mut u64) {
        let made = self.symbols.len();
        if made >= len as usize {
            return;
        }
        self.symbols.resize(len as usize, Symbol::default());
        *visited += (len as usize - made + self.members.len()) as u64;
        for (key, member) in &mut self.members {
            while member.walk.index < len {
                self.symbols[member.walk.index as usize].toggle(*key, member.check, 1);
                *visited += 1;
                member.walk.step();
            }
        }
    }
}

/// How many symbols follow the first `from` in one batch: half as many as were sent, and at least [`FIRST_BATCH`].
pub fn batch_len(from: u32) -> u32 {
    (from / 2).max(FIRST_BATCH)
}

/// Adds a key to, or takes it from, every symbol that it falls into among `symbols`, the first of which is number `first`. Returns the
/// walk where it has left them.
pub(super) fn toggle(
    symbols: &mut [Symbol],
    first: u32,
    key: Key,
    check: u64,
    sign: i64,
    visited: &mut u64,
) -> Walk {
    let mut walk = Walk::begin(check);
    while walk.index < first {
        *visited += 1;
        walk.step();
    }
    while let Some(symbol) = symbols.get_mut((walk.index - first) as usize) {
        symbol.toggle(key, check, sign);
        *visited += 1;
        walk.step();
    }
    walk
}

/// What changed in a set since an exchange about it began: the exchange goes on as if it had not, since what was sent of the old set
/// and what would be sent of the new one do not fit together. Whoever holds a [`Sketch`] and has an exchange open tells its drift of every
/// insertion and removal that the sketch accepted.
#[derive(Clone, Debug, Default)]
pub struct Drift {
    /// True for keys that were not there when it began.
    changes: BTreeMap<Key, bool>,
}

impl Drift {
    /// Nothing changed.
    pub fn new() -> Self {
        Self::default()
    }

    /// A key came that the set did not hold.
    pub fn inserted(&mut self, key: Key) {
        self.changed(key, true);
    }

    /// A key went that the set held.
    pub fn removed(&mut self, key: Key) {
        self.changed(key, false);
    }

    fn changed(&mut self, key: Key, came: bool) {
        // A change and its opposite cancel out: a key is in here only where the set differs from what it was.
        if self.changes.remove(&key).is_none() {
            self.changes.insert(key, came);
        }
    }

    /// Whether the set held a key when the exchange began.
    pub(super) fn held(&self, sketch: &Sketch, key: Key) -> bool {
        match self.changes.get(&key) {
            Some(came) => !came,
            None => sketch.contains(key),
        }
    }

    /// Takes the changes out of symbols of the present set (`sign` -1), or of a difference in which it counts negative (`sign` 1).
    pub(super) fn undo(
        &self,
        seed: u64,
        first: u32,
        symbols: &mut [Symbol],
        sign: i64,
        visited: &mut u64,
    ) {
        for (key, came) in &self.changes {
            let sign = if *came { sign } else { -sign };
            toggle(symbols, first, *key, checksum(seed, *key), sign, visited);
        }
    }

    /// Number of keys when it began, of a set that holds `len` now.
    fn len_before(&self, len: usize) -> u64 {
        let came = self.changes.values().filter(|came| **came).count();
        (len + (self.changes.len() - came) - came) as u64
    }
}
