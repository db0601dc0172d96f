//! What replicas that exchange parts of their state, rather than changes, need of a text.

use super::chunks::Place;
use super::{Claim, Item, Sequence};
use crate::crdt::causal::{Dot, Span, insert_span};

impl Sequence {
    /// Every run of characters, in order of the text; deleted ones included.
    pub fn runs(&self) -> impl Iterator<Item = &Item> {
        self.lists().flatten()
    }

    /// Inserts characters that were inserted elsewhere behind `left` with a claim in this text's order, and deleted since. A neighbour
    /// that is not here counts as the start or the end. Returns how many items were looked at.
    pub fn insert_deleted(&mut self, first: Dot, len: u32, left: Dot, claim: Claim) -> u64 {
        let (place, looked_at) = self.place_beside(first, left, claim);
        if let Claim::At(time) = claim {
            self.clock = self.clock.max(time + u64::from(len) - 1);
        }
        let place = self.cut_behind(place);
        self.chunks.insert(place, vec![Item { first, len, left, claim, text: String::new() }]);
        if let Some(place) = self.chunks.find(first) {
            self.chunks.join_around(Place { offset: 0, ..place });
        }
        looked_at
    }

    /// Deletes the characters with these dots, as far as they are here, and adds those that were still shown to `gone`. Returns how
    /// many items were looked at.
    pub fn erase_shown(&mut self, spans: &[Span], gone: &mut Vec<Span>) -> u64 {
        self.chunks.list();
        let mut looked_at = 0;
        for span in spans {
            let mut dot = span.first;
            while dot < span.end() {
                looked_at += 1;
                if let Some(place) = self.chunks.find(dot) {
                    let shown = self.chunks.get(place).is_some_and(|item| !item.is_deleted());
                    let len = u64::from(self.erase_item(place, span.end().counter - dot.counter));
                    if shown {
                        insert_span(gone, Span { first: dot, len });
                    }
                    dot = dot.plus(len);
                } else if let Some(next) = self.chunks.next_known(dot) {
                    dot = next;
                } else {
                    break;
                }
            }
        }
        looked_at
    }
}
