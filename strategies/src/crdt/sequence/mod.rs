//! A text as a replicated list of characters, in the FugueMax order (Weidner and Kleppmann, "The Art of the Fugue", 2023), so that
//! words typed at the same place by different people never interleave.
//!
//! Every character remembers what it was inserted behind and before. A new one that found company between the two is placed
//! by the scan known from YATA in its corrected form, which gives the same order as the FugueMax tree and needs no tree.

mod chunks;
mod encoding;
mod forgetting;
mod index;
mod item;
mod merging;
mod neighbours;
mod order;
#[cfg(test)]
mod tests;
mod tree;

use super::causal::{Dot, Span, insert_span};
use crate::contract::Footprint;
use crate::document::{byte_offset, char_count};
use chunks::{Chunks, Place};
pub use item::{Item, RUN_CHARS};
pub use order::{Claim, TextOrder};
use std::collections::BTreeSet;

/// A text, deleted characters included as dots.
#[derive(Clone, Debug)]
pub struct Sequence {
    order: TextOrder,
    /// Greatest Lamport timestamp seen.
    clock: u64,
    chunks: Box<Chunks>,
    /// Deleted characters that were kept by [`Sequence::forget`].
    settled: BTreeSet<Dot>,
    /// Bytes of visible text.
    bytes: usize,
}

impl Sequence {
    /// An empty text.
    pub fn new(order: TextOrder) -> Self {
        Self::from_lists(order, 0, Vec::new())
    }

    /// A text of these chunks of items, which are in order and whose dots do not overlap; `clock` is the greatest timestamp seen.
    pub fn from_lists(order: TextOrder, clock: u64, lists: Vec<Vec<Item>>) -> Self {
        let bytes = lists.iter().flatten().map(|item| item.text.len()).sum();
        let (chunks, settled) = (Box::new(Chunks::from_items(lists)), BTreeSet::new());
        Sequence { order, clock, chunks, settled, bytes }
    }

    /// The items chunk by chunk, as [`Sequence::from_lists`] takes them.
    pub fn lists(&self) -> impl Iterator<Item = &[Item]> {
        self.chunks.lists()
    }

    /// Visible characters.
    pub fn len(&self) -> usize {
        self.chunks.visible()
    }

    /// Bytes of visible text.
    #[cfg(test)]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether any of its items is deleted. Looks at none of them.
    pub fn has_deleted(&self) -> bool {
        self.chunks.deleted() > 0
    }

    /// Number of items, deleted ones included.
    pub fn items(&self) -> usize {
        self.chunks.items()
    }

    /// The visible text.
    pub fn text(&self) -> String {
        let mut text = String::with_capacity(self.bytes);
        for item in self.lists().flatten() {
            text.push_str(&item.text);
        }
        text
    }

    /// What it takes, in bytes.
    pub fn footprint(&self) -> Footprint {
        let deleted = self.chunks.deleted();
        let item = size_of::<Item>() as u64;
        Footprint {
            content_bytes: self.bytes as u64,
            metadata_bytes: (self.items() - deleted) as u64 * item,
            history_bytes: deleted as u64 * item + (self.settled.len() * size_of::<Dot>()) as u64,
        }
    }

    /// The dots of all visible characters.
    pub fn visible(&self) -> Vec<Span> {
        self.spans(|item| !item.is_deleted())
    }

    fn spans(&self, which: impl Fn(&Item) -> bool) -> Vec<Span> {
        let mut spans: Vec<Span> =
            self.lists().flatten().filter(|item| which(item)).map(Item::span).collect();
        spans.sort_unstable();
        spans.dedup_by(|next, span| {
            let adjacent = span.end() == next.first;
            span.len += if adjacent { next.len } else { 0 };
            adjacent
        });
        spans
    }

    /// Inserts text, not empty, at a visible position, at most the length; its characters get the dots from `first` on. Returns what it was
    /// inserted behind, and what else decides its place.
    pub fn insert_at(&mut self, at: usize, first: Dot, text: &str) -> (Dot, Claim) {
        let (left, behind) = match at.checked_sub(1) {
            None => (Dot::NONE, self.chunks.start()),
            Some(before) => {
                let place = self.chunks.find_visible(before);
                (self.dot(place), Place { offset: place.offset + 1, ..place })
            }
        };
        let claim = match self.order {
            TextOrder::FugueMax => Claim::Before(self.dot_after(behind)),
            TextOrder::Rga => Claim::At(self.clock + 1),
        };
        self.put(behind, first, left, claim, text);
        (left, claim)
    }

    /// Deletes up to `count` visible characters from a visible position on and returns their dots.
    pub fn erase_at(&mut self, at: usize, count: usize) -> Vec<Span> {
        let mut spans = Vec::new();
        self.erase_each(at, count, |span| insert_span(&mut spans, span));
        spans
    }

    /// Deletes up to `count` visible characters from a visible position on and names their dots piece by piece.
    pub fn erase_each(&mut self, at: usize, count: usize, mut gone: impl FnMut(Span)) {
        let mut left = count.min(self.len().saturating_sub(at));
        while left > 0 {
            let place = self.chunks.find_visible(at);
            let first = self.dot(place);
            let len = self.erase_item(place, left as u64);
            gone(Span { first, len: u64::from(len) });
            left -= len as usize;
        }
    }

    /// Inserts text, not empty, that was inserted elsewhere behind `left` with a claim in this text's order. A neighbour that is not
    /// here counts as the start or the end. Returns how many items were looked at.
    pub fn insert_beside(&mut self, first: Dot, left: Dot, claim: Claim, text: &str) -> u64 {
        let (place, looked_at) = self.place_beside(first, left, claim);
        self.put(place, first, left, claim, text);
        looked_at
    }

    /// Where something goes that was inserted elsewhere, and how many items were looked at.
    fn place_beside(&mut self, first: Dot, left: Dot, claim: Claim) -> (Place, u64) {
        self.chunks.list();
        match claim {
            Claim::Before(right) => self.place_between(first, left, right),
            Claim::At(time) => self.place_timed(first, left, time),
        }
    }

    /// [`TextOrder::Rga`]: passes everything that is newer. All that stands behind a newer one is newer still, so the first one that is
    /// not ends those to be passed.
    fn place_timed(&mut self, first: Dot, left: Dot, time: u64) -> (Place, u64) {
        let behind = self.behind(left);
        let mut place = self.cut_behind(behind);
        let mut looked_at = 1;
        while let Some((at, item)) = self.chunks.settle(place) {
            looked_at += 1;
            let Claim::At(theirs) = item.claim else { break };
            if theirs < time || theirs == time && first < item.first {
                break;
            }
            place = Place { item: at.item + 1, ..at };
        }
        (place, looked_at)
    }

    fn place_between(&mut self, first: Dot, left: Dot, right: Dot) -> (Place, u64) {
        let behind = self.behind(left);
        if self.dot_after(behind) == right {
            return (behind, 1);
        }
        if let Some(place) = self.known(right) {
            self.chunks.cut(place);
        }
        let behind = self.behind(left);
        let behind = self.cut_behind(behind);
        let (place, looked_at) = self.scan(behind, first, left, right);
        (place, 1 + looked_at)
    }

    /// Deletes the characters with these dots, as far as they are here. Returns how many items were looked at.
    pub fn erase(&mut self, spans: &[Span]) -> u64 {
        self.chunks.list();
        let mut looked_at = 0;
        for span in spans {
            let mut dot = span.first;
            while dot < span.end() {
                looked_at += 1;
                if let Some(place) = self.chunks.find(dot) {
                    let len = self.erase_item(place, span.end().counter - dot.counter);
                    dot = dot.plus(u64::from(len));
                } else if let Some(next) = self.chunks.next_known(dot) {
                    dot = next;
                } else {
                    break;
                }
            }
        }
        looked_at
    }

    /// Where characters inserted concurrently behind `left` and before `right` go. From `behind` on, every item up to `right` is company.
    /// One that stands further left ends the scan; one that stands further right belongs to company already passed. Of those behind the same
    /// character, the one whose right neighbour is further right goes first, then the one with the smaller dot; whoever stands before a nearer
    /// right neighbour is passed only if somebody behind it is.
    fn scan(&self, behind: Place, first: Dot, left: Dot, right: Dot) -> (Place, u64) {
        const END: (u64, usize, u32) = (u64::MAX, usize::MAX, u32::MAX);
        let key = |dot| self.known(dot).map(|place| self.chunks.key(place));
        let (left_key, right_key) = (key(left), key(right).unwrap_or(END));
        let (mut place, mut next, mut undecided) = (behind, behind, false);
        let mut looked_at = 0;
        while let Some((at, item)) = self.chunks.settle(next) {
            if item.first == right {
                break;
            }
            looked_at += 1;
            let company_left = key(item.left);
            if company_left < left_key {
                break;
            }
            if company_left == left_key {
                let company_right = key(item.right()).unwrap_or(END);
                if company_right == right_key && first < item.first {
                    break;
                }
                undecided = company_right < right_key;
            }
            next = Place { item: at.item + 1, ..at };
            if !undecided {
                place = next;
            }
        }
        (place, looked_at)
    }

    /// Puts text at a place, where it belongs.
    fn put(&mut self, place: Place, first: Dot, left: Dot, claim: Claim, text: &str) {
        self.bytes += text.len();
        if let Claim::At(time) = claim {
            self.clock = self.clock.max(time + char_count(text) as u64 - 1);
        }
        let place = self.cut_behind(place);
        let last_of_item = Dot { counter: first.counter - 1, ..first };
        if left == last_of_item && self.chunks.append(place, first, claim, text) {
            return;
        }
        let chars = char_count(text) as u32;
        if chars <= RUN_CHARS {
            let item = Item { first, len: chars, left, claim, text: text.to_owned() };
            self.chunks.insert_one(place, item);
            return;
        }
        let (mut items, mut rest) = (Vec::new(), text);
        let (mut first, mut left, mut claim) = (first, left, claim);
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(byte_offset(rest, RUN_CHARS as usize));
            let len = char_count(piece) as u32;
            let item = Item { first, len, left, claim, text: piece.to_owned() };
            (first, left, rest) = (item.span().end(), item.last(), after);
            claim = claim.of_later(u64::from(len));
            items.push(item);
        }
        self.chunks.insert(place, items);
    }

    fn erase_item(&mut self, place: Place, most: u64) -> u32 {
        let (len, bytes) = self.chunks.erase(place, most);
        self.bytes -= bytes;
        len
    }

    fn known(&self, dot: Dot) -> Option<Place> {
        if dot.is_none() { None } else { self.chunks.find(dot) }
    }

    /// The place right behind a character; the start where it is not here. It may be the end of an item.
    fn behind(&self, dot: Dot) -> Place {
        self.known(dot).map_or_else(
            || self.chunks.start(),
            |place| Place { offset: place.offset + 1, ..place },
        )
    }

    /// The same place as the start of an item, by cutting where it is inside one.
    fn cut_behind(&mut self, place: Place) -> Place {
        match self.chunks.get(place) {
            Some(item) if place.offset >= item.len => {
                Place { item: place.item + 1, offset: 0, ..place }
            }
            _ => self.chunks.cut(place),
        }
    }

    /// The dot at a place inside an item.
    fn dot(&self, place: Place) -> Dot {
        let item = self.chunks.get(place).expect("a place inside an item");
        item.first.plus(u64::from(place.offset))
    }

    /// The dot of the character at a place, which may be the end of an item or of the text.
    fn dot_after(&self, place: Place) -> Dot {
        match self.chunks.get(place) {
            Some(item) if place.offset < item.len => item.first.plus(u64::from(place.offset)),
            _ => {
                let next = Place { item: place.item + 1, offset: 0, ..place };
                let next = if self.chunks.get(place).is_some() { next } else { place };
                self.chunks.settle(next).map_or(Dot::NONE, |(_, item)| item.first)
            }
        }
    }
}
