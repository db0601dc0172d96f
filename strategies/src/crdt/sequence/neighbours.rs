//! Where characters stand, for a replica that comes back and types again what it had typed beside characters that are no more.

use super::Sequence;
use crate::crdt::causal::{Dot, Span};

impl Sequence {
    /// Whether a character is here, deleted or not.
    pub fn has(&self, dot: Dot) -> bool {
        self.known(dot).is_some()
    }

    /// The characters up to one of them, deleted ones included, in order of the text.
    pub fn up_to(&self, dot: Dot) -> Vec<Span> {
        let mut spans = Vec::new();
        for item in self.lists().flatten() {
            if let Some(offset) = item.offset_of(dot) {
                spans.push(Span { first: item.first, len: u64::from(offset) + 1 });
                return spans;
            }
            spans.push(item.span());
        }
        spans
    }

    /// Visible characters up to one that is here, itself included; all of them where it is not.
    pub fn position_behind(&self, dot: Dot) -> usize {
        let mut position = 0;
        for item in self.lists().flatten() {
            if let Some(offset) = item.offset_of(dot) {
                return position + if item.is_deleted() { 0 } else { offset as usize + 1 };
            }
            position += item.visible();
        }
        position
    }
}
