//! A run of characters that one agent inserted one after another.

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
    /// What all of them were inserted before.
    pub right: Dot,
    /// The characters; empty once they are deleted.
    pub text: String,
}

impl Item {
    /// Whether its characters are deleted.
    pub fn is_deleted(&self) -> bool {
        self.text.is_empty()
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

    /// Takes the characters from `offset` on, at least one and not all of them.
    pub fn split_off(&mut self, offset: u32) -> Item {
        let text = if self.is_deleted() {
            String::new()
        } else if self.text.len() == self.len as usize {
            self.text.split_off(offset as usize)
        } else {
            self.text.split_off(byte_offset(&self.text, offset as usize))
        };
        let tail = Item {
            first: self.first.plus(u64::from(offset)),
            len: self.len - offset,
            left: self.first.plus(u64::from(offset) - 1),
            right: self.right,
            text,
        };
        self.len = offset;
        tail
    }

    /// Forgets the characters, but not that they were here.
    pub fn delete(&mut self) {
        self.text = String::new();
    }

    /// Whether a character with this dot, inserted right behind the last one and before `right`, goes on where this item ends.
    pub fn goes_on(&self, first: Dot, right: Dot) -> bool {
        self.span().end() == first && self.right == right
    }

    /// Whether the next item can be made part of this one: both are deleted, and the next one could be the rest of a
    /// [`Item::split_off`].
    pub fn joins(&self, next: &Item) -> bool {
        self.is_deleted()
            && next.is_deleted()
            && next.left == self.last()
            && self.goes_on(next.first, next.right)
            && self.len.checked_add(next.len).is_some()
    }
}
