//! Merkle search trees (Auvolat and Taïani, "Merkle Search Trees: Efficient State-Based CRDTs in Open Networks", SRDS 2019).
//!
//! A search tree whose shape follows from its keys alone: a key's level is the number of leading zero digits, base 16, of its
//! hash, so that a sixteenth of the keys of each level rise above it. The keys of the highest level stand in the root and divide the others
//! into intervals, each of which is such a tree again. Whoever has the same keys has the same tree, in whatever order they came and went, and
//! the same hash at its root. Levels that an interval has no key of are passed over, where the paper would have a node without keys.
//!
//! ```text
//! asker                                         answerer
//! Descent::start  ── Root: hash ──────────────► answer
//!                 ◄── Same, or Pages: root ────
//! Descent::take   ── Ask: intervals that differ ─► answer
//!                 ◄── Pages: their top nodes ─────
//! Descent::take → Done: Differences
//! ```
//!
//! The asker compares each interval between the keys of the peer's node with the same interval *of its own tree*, wherever its own nodes
//! end, and asks on only where the hashes differ. Since the tree of an interval is defined for every interval (cutting a tree takes a
//! path), a key that only one side has costs its own path and no more. In the end the asker knows both lists; the answerer keeps nothing between
//! messages and learns nothing. With `d` differences among `n` keys about `d log n` nodes travel, in about `log n` rounds (base 16).
//!
//! Measured: among 10,000 random keys 10 differences cost 23 nodes in 4 rounds and 11.6 kB; among 12,000 names of 12 agents the 10 newest of
//! one agent cost 4 nodes and 872 bytes, and so do the 100 newest.
//!
//! Messages name intervals, never nodes, so both sets may change during an exchange: each interval is compared as it is at
//! that moment, every difference that was there throughout is found, and what the peer's tree grew beyond its
//! former height is asked for as a plain list. An exchange ends after at most 18 questions, whatever the peer answers.
//!
//! Nodes are hashed to 128 bits with SipHash-2-4 under a fixed key. That guards against chance (two different nodes agree with probability
//! 2^-128), not against a peer who crafts keys; such a peer can hide differences from others, or crowd one node, and nothing worse.

mod descent;
mod message;
#[cfg(test)]
mod tests;
mod tree;

pub use descent::{Descent, Step, answer};
pub use message::recode;
pub use tree::Tree;

use super::Key;
use siphasher::sip::SipHasher24 as ShortHasher;
use siphasher::sip128::{Hasher128, SipHasher24 as WideHasher};
use std::hash::Hasher;

/// The hash of no keys at all.
const EMPTY: u128 = 0;

/// Levels are below this: 64 bits have sixteen digits, all of which may be zero.
const LEVELS: u8 = 17;

/// The key of both hashes. Any will do; every replica has the same.
const HASH_KEY: (u64, u64) = (0x4d65_726b_6c65_2073, 0x6561_7263_6820_7472);

/// A key's level: the number of leading zero digits, base 16, of its hash.
fn level(key: Key) -> u8 {
    let hash = ShortHasher::new_with_keys(HASH_KEY.0, HASH_KEY.1).hash(&key.to_le_bytes());
    (hash.leading_zeros() / 4) as u8
}

/// The hash of a node: of its keys, and unless they are of level 0 of its children in turn.
fn node_hash(keys: &[Key], children: impl Iterator<Item = u128>) -> u128 {
    let mut hasher = WideHasher::new_with_keys(HASH_KEY.0, HASH_KEY.1);
    hasher.write(&(keys.len() as u64).to_le_bytes());
    keys.iter().for_each(|key| hasher.write(&key.to_le_bytes()));
    children.for_each(|child| hasher.write(&child.to_le_bytes()));
    hasher.finish128().as_u128()
}

/// An interval of keys, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    first: Key,
    last: Key,
}

impl Span {
    const ALL: Span = Span { first: 0, last: Key::MAX };

    fn contains(self, key: Key) -> bool {
        self.first <= key && key <= self.last
    }
}

/// The top node of an interval.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Page {
    /// All of one level, ascending; none where the interval is empty. In a list: every key of the interval.
    keys: Vec<Key>,
    /// Hashes of what lies before, between and after the keys: one more than keys, or none where all of it is empty.
    children: Vec<u128>,
}

impl Page {
    /// The parts of `span` before, between and after the keys, with their hashes; `None` where no key fits between.
    fn gaps(&self, span: Span) -> impl Iterator<Item = (Option<Span>, u128)> + '_ {
        (0..=self.keys.len()).map(move |at| {
            let first = match at {
                0 => Some(span.first),
                _ => self.keys[at - 1].checked_add(1),
            };
            let last = match self.keys.get(at) {
                Some(key) => key.checked_sub(1),
                None => Some(span.last),
            };
            let gap = match (first, last) {
                (Some(first), Some(last)) if first <= last => Some(Span { first, last }),
                _ => None,
            };
            (gap, self.children.get(at).copied().unwrap_or(EMPTY))
        })
    }
}
