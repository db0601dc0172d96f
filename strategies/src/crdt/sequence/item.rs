//! A run of characters that one agent inserted one after another.

use super::order::Claim;
use crate::crdt::causal::{Dot, Span};
use crate::document::byte_offset;

/// Characters in one item of visible text at most, so that cutting it stays cheap.
pub const RUN_CHARS: u32 = 1024;

/// Characters with consecutive dots, each inserted right behind the one before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Dot of the first character.
    pub first: Dot,
    /// How many characters; at least 1.
    pub len: u32,
    /// What the first character was inserted behind; the others stand behind one another.
    pub left: Dot,
    /// What else decides where the first character goes.
    pub claim: Claim,
    /// The characters; empty once they are deleted.
    pub text: String,
}

impl Item {
    /// Whether its characters are deleted.
    pub fn is_deleted(&self) -> bool {
        self.text.is_empty()
    }

    /// What it was inserted before, where that is known.
    pub fn right(&self) -> Dot {
        if let Claim::Before(right) = self.claim { right } else { Dot::NONE }
    }

    /// Characters that are shown.
    pub fn visible(&self) -> usize {
        if self.is_deleted() { 0 } else { self.len as usize }
    }

    /// The dots of its characters.
    pub fn span(&self) -> Span {
        Span { first: self.first, len: u64::from(self.len) }
    }

    /// The dot of its last character.
    pub fn last(&self) -> Dot {
        self.first.plus(u64::from(self.len) - 1)
    }

    /// How far into the item a character lies.
    pub fn offset_of(&self, dot: Dot) -> Option<u32> {
        let inside = self.first <= dot && dot < self.span().end();
        inside.then(|| (dot.counter - self.first.counter) as u32)
    }

    /// Where in the text a character starts, in bytes.
    pub fn byte_at(&self, offset: u32) -> usize {
        if self.is_deleted() {
            0
        } else if self.text.len() == self.len as usize {
            offset as usize
        } else {
            byte_offset(&self.text, offset as usize)
        }
    }

    /// Takes the characters from `offset` on, at least one and not all of them.
    pub fn split_off(&mut self, offset: u32) -> Item {
        let text = self.text.split_off(self.byte_at(offset));
        let tail = Item {
            first: self.first.plus(u64::from(offset)),
            len: self.len - offset,
            left: self.first.plus(u64::from(offset) - 1),
            claim: self.claim.of_later(u64::from(offset)),
            text,
        };
        self.len = offset;
        tail
    }

    /// Forgets the characters, but not that they were here.
    pub fn delete(&mut self) {
        self.text = String::new();
    }

    /// Whether a character with this dot, inserted right behind the last one with this claim, goes on where this item ends.
    pub fn goes_on(&self, first: Dot, claim: Claim) -> bool {
        self.span().end() == first && self.claim.of_later(u64::from(self.len)) == claim
    }

    /// Whether the next item can be made part of this one: both are deleted, and the next one could be the rest of a
    /// [`Item::split_off`].
    pub fn joins(&self, next: &Item) -> bool {
        self.is_deleted()
            && next.is_deleted()
            && next.left == self.last()
            && self.goes_on(next.first, next.claim)
            && self.len.checked_add(next.len).is_some()
    }
}
