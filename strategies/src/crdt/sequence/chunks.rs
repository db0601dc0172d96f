//! Where the items of a sequence lie: in short chunks, found by visible position through a Fenwick tree over the chunks, and by dot
//! through an index of every item's first dot. Nothing here knows how concurrent insertions are ordered.

use super::item::{Item, RUN_CHARS};
use super::order::Claim;
use crate::crdt::causal::Dot;
use crate::document::char_count;
use std::collections::BTreeMap;

/// Items in a chunk before it is cut in two.
const CHUNK_ITEMS: usize = 64;

/// A place of one character: its chunk, its item there, and how far into the item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub chunk: u32,
    pub item: usize,
    pub offset: u32,
}

#[derive(Clone, Debug, Default)]
struct Chunk {
    items: Vec<Item>,
    /// Position among the chunks in order of the text.
    rank: u32,
    /// Visible characters.
    visible: usize,
}

impl Chunk {
    fn new(items: Vec<Item>, rank: u32) -> Self {
        let visible = items.iter().map(Item::visible).sum();
        Chunk { items, rank, visible }
    }
}

/// Items in order of the text.
#[derive(Clone, Debug)]
pub struct Chunks {
    /// Every chunk; its number never changes. None is empty unless it is the only one.
    chunks: Vec<Chunk>,
    /// Numbers of the chunks in order of the text.
    order: Vec<u32>,
    /// Fenwick tree of visible characters over `order`.
    tree: Vec<usize>,
    /// Chunk of the item with this first dot.
    index: BTreeMap<Dot, u32>,
    visible: usize,
}

impl Chunks {
    /// These chunks of items, in order of the text.
    pub fn from_items(mut lists: Vec<Vec<Item>>) -> Self {
        lists.retain(|items| !items.is_empty());
        if lists.is_empty() {
            lists.push(Vec::new());
        }
        let chunks: Vec<Chunk> =
            (0..).zip(lists).map(|(rank, items)| Chunk::new(items, rank)).collect();
        let order = (0..chunks.len() as u32).collect();
        let mut index = BTreeMap::new();
        for chunk in &chunks {
            index.extend(chunk.items.iter().map(|item| (item.first, chunk.rank)));
        }
        let visible = chunks.iter().map(|chunk| chunk.visible).sum();
        let mut all = Chunks { chunks, order, tree: Vec::new(), index, visible };
        all.rebuild_tree();
        all
    }

    /// Visible characters.
    pub fn visible(&self) -> usize {
        self.visible
    }

    /// Number of items.
    pub fn items(&self) -> usize {
        self.index.len()
    }

    /// The items chunk by chunk, in order of the text.
    pub fn lists(&self) -> impl Iterator<Item = &[Item]> {
        self.order.iter().map(|chunk| self.chunks[*chunk as usize].items.as_slice())
    }

    /// The place before everything.
    pub fn start(&self) -> Place {
        Place { chunk: self.order[0], item: 0, offset: 0 }
    }

    /// The item at a place; `None` behind the last one of its chunk.
    pub fn get(&self, place: Place) -> Option<&Item> {
        self.chunks[place.chunk as usize].items.get(place.item)
    }

    /// The same place, named as the start of the next chunk where it is behind the last item of its own; and the item there.
    pub fn settle(&self, place: Place) -> Option<(Place, &Item)> {
        if let Some(item) = self.get(place) {
            return Some((place, item));
        }
        let next = *self.order.get(self.chunks[place.chunk as usize].rank as usize + 1)?;
        let place = Place { chunk: next, item: 0, offset: 0 };
        self.get(place).map(|item| (place, item))
    }

    /// The place of the character before the one at a place.
    pub fn before(&self, place: Place) -> Option<Place> {
        if place.offset > 0 {
            return Some(Place { offset: place.offset - 1, ..place });
        }
        let (chunk, item) = match place.item.checked_sub(1) {
            Some(item) => (place.chunk, item),
            None => {
                let rank = self.chunks[place.chunk as usize].rank.checked_sub(1)?;
                let chunk = self.order[rank as usize];
                (chunk, self.chunks[chunk as usize].items.len() - 1)
            }
        };
        let offset = self.chunks[chunk as usize].items[item].len - 1;
        Some(Place { chunk, item, offset })
    }

    /// What orders places as in the text.
    pub fn key(&self, place: Place) -> (u32, usize, u32) {
        (self.chunks[place.chunk as usize].rank, place.item, place.offset)
    }

    /// The place of the `at`-th visible character, which exists.
    pub fn find_visible(&self, at: usize) -> Place {
        let (mut rank, mut left) = (0, at);
        let mut step = self.tree.len().next_power_of_two();
        while step > 0 {
            if rank + step < self.tree.len() && self.tree[rank + step] <= left {
                rank += step;
                left -= self.tree[rank];
            }
            step /= 2;
        }
        let chunk = self.order[rank];
        for (item, entry) in self.chunks[chunk as usize].items.iter().enumerate() {
            if left < entry.visible() {
                return Place { chunk, item, offset: left as u32 };
            }
            left -= entry.visible();
        }
        unreachable!("the tree counts the visible characters of every chunk")
    }

    /// The place of the character with this dot.
    pub fn find(&self, dot: Dot) -> Option<Place> {
        let (first, chunk) = self.index.range(..=dot).next_back()?;
        let items = &self.chunks[*chunk as usize].items;
        let item = items.iter().position(|item| item.first == *first)?;
        items[item].offset_of(dot).map(|offset| Place { chunk: *chunk, item, offset })
    }

    /// The first dot of the next item at or after `dot`, by the same agent.
    pub fn next_known(&self, dot: Dot) -> Option<Dot> {
        let (first, _) = self.index.range(dot..).next()?;
        (first.agent == dot.agent).then_some(*first)
    }

    /// Makes a place the start of an item, by cutting the item in two where it is not.
    pub fn cut(&mut self, place: Place) -> Place {
        if place.offset == 0 {
            return place;
        }
        let items = &mut self.chunks[place.chunk as usize].items;
        let tail = items[place.item].split_off(place.offset);
        self.index.insert(tail.first, place.chunk);
        items.insert(place.item + 1, tail);
        Place { item: place.item + 1, offset: 0, ..place }
    }

    /// Puts items before the one at a place that is the start of an item.
    pub fn insert(&mut self, place: Place, new: Vec<Item>) {
        let visible = new.iter().map(Item::visible).sum::<usize>();
        self.index.extend(new.iter().map(|item| (item.first, place.chunk)));
        self.chunks[place.chunk as usize].items.splice(place.item..place.item, new);
        self.grow(place.chunk, visible);
        self.keep_short(place.chunk);
    }

    /// Appends text to the item before a place, where it continues that one and does not make it too long.
    pub fn append(&mut self, place: Place, first: Dot, claim: Claim, text: &str) -> bool {
        let items = &mut self.chunks[place.chunk as usize].items;
        let Some(before) = place.item.checked_sub(1).map(|item| &mut items[item]) else {
            return false;
        };
        let chars = char_count(text);
        let continues = !before.is_deleted() && before.goes_on(first, claim);
        if continues && before.len as usize + chars <= RUN_CHARS as usize {
            before.text.push_str(text);
            before.len += chars as u32;
            self.grow(place.chunk, chars);
            return true;
        }
        false
    }

    /// Deletes up to `most` characters of one item from a place on; says how many that were, and how many bytes of visible text.
    pub fn erase(&mut self, place: Place, most: u64) -> (u32, usize) {
        let item = &self.chunks[place.chunk as usize].items[place.item];
        let len = u64::from(item.len - place.offset).min(most) as u32;
        if item.is_deleted() {
            return (len, 0);
        }
        let start = self.cut(place);
        self.cut(Place { offset: if len < self.at(start).len { len } else { 0 }, ..start });
        let items = &mut self.chunks[start.chunk as usize].items;
        let bytes = items[start.item].text.len();
        items[start.item].delete();
        self.join_around(start);
        self.shrink(start.chunk, len as usize);
        self.keep_short(start.chunk);
        (len, bytes)
    }

    /// Makes an item one with those beside it, where they can be.
    pub fn join_around(&mut self, place: Place) {
        let items = &mut self.chunks[place.chunk as usize].items;
        for after in [place.item + 1, place.item] {
            if after > 0 && after < items.len() && items[after - 1].joins(&items[after]) {
                let gone = items.remove(after);
                items[after - 1].len += gone.len;
                self.index.remove(&gone.first);
            }
        }
    }

    /// Takes out deleted characters of one item, from a place on.
    pub fn remove(&mut self, place: Place, len: u32) {
        let end = place.offset + len;
        if end < self.at(place).len {
            self.cut(Place { offset: end, ..place });
        }
        let Place { chunk, item, .. } = self.cut(place);
        let items = &mut self.chunks[chunk as usize].items;
        let gone = items.remove(item);
        debug_assert!(gone.is_deleted(), "what is shown is not taken out");
        self.index.remove(&gone.first);
        if items.is_empty() && self.order.len() > 1 {
            self.order.remove(self.chunks[chunk as usize].rank as usize);
            self.rank();
        } else {
            self.keep_short(chunk);
        }
    }

    fn at(&self, place: Place) -> &Item {
        &self.chunks[place.chunk as usize].items[place.item]
    }

    fn grow(&mut self, chunk: u32, visible: usize) {
        self.visible += visible;
        self.chunks[chunk as usize].visible += visible;
        let mut node = self.chunks[chunk as usize].rank as usize + 1;
        while node < self.tree.len() {
            self.tree[node] += visible;
            node += node & node.wrapping_neg();
        }
    }

    fn shrink(&mut self, chunk: u32, visible: usize) {
        self.visible -= visible;
        self.chunks[chunk as usize].visible -= visible;
        let mut node = self.chunks[chunk as usize].rank as usize + 1;
        while node < self.tree.len() {
            self.tree[node] -= visible;
            node += node & node.wrapping_neg();
        }
    }

    /// Cuts a chunk that grew too long into halves; the costly part, once for every half chunk of new items.
    fn keep_short(&mut self, chunk: u32) {
        let items = &mut self.chunks[chunk as usize].items;
        if items.len() <= CHUNK_ITEMS {
            return;
        }
        let mut rest = items.split_off(CHUNK_ITEMS / 2);
        let mut fresh = Vec::new();
        while !rest.is_empty() {
            let tail = rest.split_off(rest.len().min(CHUNK_ITEMS / 2));
            let number = self.chunks.len() as u32;
            for item in &rest {
                self.index.insert(item.first, number);
            }
            let moved = Chunk::new(rest, 0);
            self.chunks[chunk as usize].visible -= moved.visible;
            self.chunks.push(moved);
            fresh.push(number);
            rest = tail;
        }
        let next = self.chunks[chunk as usize].rank as usize + 1;
        self.order.splice(next..next, fresh);
        self.rank();
    }

    /// Says again which chunk is where, after there came new ones or one went.
    fn rank(&mut self) {
        for (rank, number) in (0..).zip(&self.order) {
            self.chunks[*number as usize].rank = rank;
        }
        self.rebuild_tree();
    }

    fn rebuild_tree(&mut self) {
        self.tree.clear();
        self.tree.push(0);
        self.tree.extend(self.order.iter().map(|chunk| self.chunks[*chunk as usize].visible));
        for node in 1..self.tree.len() {
            let parent = node + (node & node.wrapping_neg());
            if parent < self.tree.len() {
                self.tree[parent] += self.tree[node];
            }
        }
    }
}
