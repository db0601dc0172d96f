//! What a text says: a short one in one piece, a long one as a rope.

use crate::document::{byte_offset, splice};
use jumprope::{JumpRope, JumpRopeBuf};

/// A text of fewer bytes is kept in one piece.
const SHORT_BYTES: usize = 1024;

/// What a text says, by itself. Positions are within it.
#[derive(Debug)]
pub enum Content {
    /// In one piece.
    Short(String),
    /// In many pieces.
    Long(Box<JumpRopeBuf>),
}

impl Content {
    /// This text.
    pub fn of(text: &str) -> Self {
        let mut content = Content::Short(String::new());
        content.insert(0, text);
        content
    }

    /// Its length in bytes.
    pub fn bytes(&self) -> usize {
        match self {
            Content::Short(text) => text.len(),
            Content::Long(rope) => rope.len_bytes(),
        }
    }

    /// All of it.
    pub fn whole(&self) -> String {
        match self {
            Content::Short(text) => text.clone(),
            Content::Long(rope) => rope.borrow().to_string(),
        }
    }

    /// Some characters from a position on.
    pub fn slice(&self, at: usize, count: usize) -> String {
        match self {
            Content::Short(short) => {
                let start = byte_offset(short, at);
                let end = start + byte_offset(&short[start..], count);
                short[start..end].to_owned()
            }
            Content::Long(rope) => rope.borrow().slice_substrings(at..at + count).collect(),
        }
    }

    /// Inserts text at a position.
    pub fn insert(&mut self, at: usize, text: &str) {
        match self {
            Content::Short(short) if short.len() + text.len() <= SHORT_BYTES => {
                splice(short, at, 0, text);
            }
            Content::Short(short) => {
                // The seed only shapes the rope; with a fixed one the same edits cost the same.
                let mut rope = JumpRope::new_from_seed(1);
                rope.insert(0, short);
                rope.insert(at, text);
                *self = Content::Long(Box::new(JumpRopeBuf::with_rope(rope)));
            }
            Content::Long(rope) => rope.insert(at, text),
        }
    }

    /// Deletes some characters from a position on.
    pub fn delete(&mut self, at: usize, count: usize) {
        match self {
            Content::Short(short) => splice(short, at, count, ""),
            Content::Long(rope) => rope.remove(at..at + count),
        }
    }
}
