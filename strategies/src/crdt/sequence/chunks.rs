//! Where the items of a sequence lie: in short chunks, found by visible position through a tree over the chunks, and by dot
//! through an index of ranges of dots. Nothing here knows how concurrent insertions are ordered.

use super::index::Index;
use super::item::{Item, RUN_CHARS};
use super::order::Claim;
use super::tree::Tree;
use crate::crdt::causal::{Dot, Span};
use crate::document::char_count;

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
    /// Visible characters.
    visible: usize,
}

impl Chunk {
    fn new(items: Vec<Item>) -> Self {
        let visible = items.iter().map(Item::visible).sum();
        Chunk { items, visible }
    }
}

/// An item near the last place that was looked for, as people write where they wrote before.
#[derive(Clone, Copy, Debug)]
struct Cursor {
    chunk: u32,
    /// Visible characters before the chunk.
    before_chunk: usize,
    item: usize,
    /// Visible characters before the item.
    before: usize,
}

/// Items in order of the text.
#[derive(Clone, Debug)]
pub struct Chunks {
    /// Every chunk; its number never changes. Those in the tree are not empty, unless there is only one.
    chunks: Vec<Chunk>,
    tree: Tree,
    /// A chunk, and how much more is visible in it than the tree knows.
    unsaid: (u32, isize),
    index: Index,
    /// Chunks that the index does not know yet.
    unlisted: Vec<u32>,
    cursor: Option<Cursor>,
    items: usize,
    /// How many of them are deleted.
    deleted: usize,
    visible: usize,
}

impl Chunks {
    /// These chunks of items, in order of the text.
    pub fn from_items(mut lists: Vec<Vec<Item>>) -> Self {
        lists.retain(|items| !items.is_empty());
        if lists.is_empty() {
            lists.push(Vec::new());
        }
        let chunks: Vec<Chunk> = lists.into_iter().map(Chunk::new).collect();
        let tree = Tree::new(chunks.iter().map(|chunk| chunk.visible));
        let spans: Vec<(Span, u32)> = (0..)
            .zip(&chunks)
            .flat_map(|(number, chunk)| chunk.items.iter().map(move |item| (item.span(), number)))
            .collect();
        let (items, visible) = (spans.len(), chunks.iter().map(|chunk| chunk.visible).sum());
        let deleted = chunks.iter().flat_map(|chunk| &chunk.items).filter(|item| item.is_deleted());
        let deleted = deleted.count();
        let (index, unsaid, unlisted) = (Index::new(spans), (0, 0), Vec::new());
        Chunks { chunks, tree, unsaid, index, unlisted, cursor: None, items, deleted, visible }
    }

    /// Visible characters.
    pub fn visible(&self) -> usize {
        self.visible
    }

    /// Number of items.
    pub fn items(&self) -> usize {
        self.items
    }

    /// Number of deleted items.
    pub fn deleted(&self) -> usize {
        self.deleted
    }

    /// The items chunk by chunk, in order of the text.
    pub fn lists(&self) -> impl Iterator<Item = &[Item]> {
        std::iter::successors(Some(self.tree.first()), |chunk| self.tree.next(*chunk))
            .map(|chunk| self.chunks[chunk as usize].items.as_slice())
    }

    /// The place before everything.
    pub fn start(&self) -> Place {
        Place { chunk: self.tree.first(), item: 0, offset: 0 }
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
        let place = Place { chunk: self.tree.next(place.chunk)?, item: 0, offset: 0 };
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
                let chunk = self.tree.previous(place.chunk)?;
                (chunk, self.chunks[chunk as usize].items.len() - 1)
            }
        };
        let offset = self.chunks[chunk as usize].items[item].len - 1;
        Some(Place { chunk, item, offset })
    }

    /// What orders places as in the text.
    pub fn key(&self, place: Place) -> (u64, usize, u32) {
        (self.tree.path(place.chunk), place.item, place.offset)
    }

    /// The place of the `at`-th visible character, which exists.
    pub fn find_visible(&mut self, at: usize) -> Place {
        let inside = |cursor: &Cursor| {
            let chunk = &self.chunks[cursor.chunk as usize];
            cursor.before_chunk <= at && at < cursor.before_chunk + chunk.visible
        };
        let mut cursor = self.cursor.filter(inside).unwrap_or_else(|| {
            self.say();
            let (chunk, before) = self.tree.find(at);
            Cursor { chunk, before_chunk: before, item: 0, before }
        });
        let items = &self.chunks[cursor.chunk as usize].items;
        while at < cursor.before {
            cursor.item -= 1;
            cursor.before -= items[cursor.item].visible();
        }
        while at >= cursor.before + items[cursor.item].visible() {
            cursor.before += items[cursor.item].visible();
            cursor.item += 1;
        }
        self.cursor = Some(cursor);
        Place { chunk: cursor.chunk, item: cursor.item, offset: (at - cursor.before) as u32 }
    }

    /// The place of the character with this dot.
    pub fn find(&self, dot: Dot) -> Option<Place> {
        let inside = |chunk: u32| {
            let items = self.chunks[chunk as usize].items.iter().enumerate();
            let mut places = items.filter_map(|(item, of)| Some((item, of.offset_of(dot)?)));
            places.next().map(|(item, offset)| Place { chunk, item, offset })
        };
        let listed = self.index.find(dot).and_then(inside);
        listed.or_else(|| self.unlisted.iter().copied().find_map(inside))
    }

    /// The first character of the next item after `dot`, which is in none, by the same agent.
    pub fn next_known(&mut self, dot: Dot) -> Option<Dot> {
        self.list();
        self.index.from(dot).find_map(|(chunk, end)| {
            let firsts = self.chunks[chunk as usize].items.iter().map(|item| item.first);
            firsts.filter(|first| dot < *first && *first < end).min()
        })
    }

    /// Brings the index up to date, so that many dots can be looked for. What a user writes by position does without.
    pub fn list(&mut self) {
        for chunk in std::mem::take(&mut self.unlisted) {
            for item in &self.chunks[chunk as usize].items {
                self.index.set(item.span(), chunk);
            }
        }
    }

    /// Makes a place the start of an item, by cutting the item in two where it is not.
    pub fn cut(&mut self, place: Place) -> Place {
        if place.offset == 0 {
            return place;
        }
        self.touch(place);
        let items = &mut self.chunks[place.chunk as usize].items;
        let tail = items[place.item].split_off(place.offset);
        self.deleted += usize::from(tail.is_deleted());
        items.insert(place.item + 1, tail);
        self.items += 1;
        Place { item: place.item + 1, offset: 0, ..place }
    }

    /// Puts items before the one at a place that is the start of an item.
    pub fn insert(&mut self, place: Place, new: Vec<Item>) {
        self.touch(place);
        let visible = new.iter().map(Item::visible).sum::<usize>();
        new.iter().for_each(|item| self.index.set(item.span(), place.chunk));
        self.items += new.len();
        self.deleted += new.iter().filter(|item| item.is_deleted()).count();
        let items = &mut self.chunks[place.chunk as usize].items;
        items.splice(place.item..place.item, new);
        self.grow(place.chunk, visible as isize);
        self.keep_short(place.chunk);
    }

    /// Puts one item before the one at a place that is the start of an item.
    pub fn insert_one(&mut self, place: Place, new: Item) {
        self.touch(place);
        let visible = new.visible();
        self.index.set(new.span(), place.chunk);
        self.items += 1;
        self.deleted += usize::from(new.is_deleted());
        self.chunks[place.chunk as usize].items.insert(place.item, new);
        self.grow(place.chunk, visible as isize);
        self.keep_short(place.chunk);
    }

    /// Appends text to the item before a place, where it continues that one and does not make it too long.
    pub fn append(&mut self, place: Place, first: Dot, claim: Claim, text: &str) -> bool {
        let items = &mut self.chunks[place.chunk as usize].items;
        let Some(item) = place.item.checked_sub(1) else { return false };
        let before = &mut items[item];
        let chars = char_count(text);
        let continues = !before.is_deleted() && before.goes_on(first, claim);
        if continues && before.len as usize + chars <= RUN_CHARS as usize {
            before.text.push_str(text);
            before.len += chars as u32;
            self.index.set(Span { first, len: chars as u64 }, place.chunk);
            self.touch(Place { item, ..place });
            self.grow(place.chunk, chars as isize);
            return true;
        }
        false
    }

    /// Deletes up to `most` characters of one item from a place on; says how many that were, and how many bytes of visible text.
    pub fn erase(&mut self, place: Place, most: u64) -> (u32, usize) {
        let item = self.at(place);
        let len = u64::from(item.len - place.offset).min(most) as u32;
        if item.is_deleted() {
            return (len, 0);
        }
        if let Some(bytes) = self.erase_end(place, len) {
            self.grow(place.chunk, -(len as isize));
            return (len, bytes);
        }
        let start = self.cut(place);
        self.cut(Place { offset: if len < self.at(start).len { len } else { 0 }, ..start });
        self.touch(start);
        let items = &mut self.chunks[start.chunk as usize].items;
        let bytes = items[start.item].text.len();
        items[start.item].delete();
        self.deleted += 1;
        self.grow(start.chunk, -(len as isize));
        self.join_around(start);
        self.keep_short(start.chunk);
        (len, bytes)
    }

    /// Deletes the end of an item, if what was deleted before stands right behind and goes on there, as after the key that deletes backwards.
    fn erase_end(&mut self, place: Place, len: u32) -> Option<usize> {
        let [item, next, ..] = &mut self.chunks[place.chunk as usize].items[place.item..] else {
            return None;
        };
        let joins = next.is_deleted()
            && next.left == item.last()
            && item.goes_on(next.first, next.claim)
            && next.len.checked_add(len).is_some();
        if place.offset == 0 || place.offset + len < item.len || !joins {
            return None;
        }
        let kept = item.byte_at(place.offset);
        let bytes = item.text.len() - kept;
        item.text.truncate(kept);
        item.len = place.offset;
        next.first = item.span().end();
        next.left = item.last();
        next.claim = item.claim.of_later(u64::from(item.len));
        next.len += len;
        self.touch(place);
        Some(bytes)
    }

    /// Makes an item one with those beside it, where they can be.
    pub fn join_around(&mut self, place: Place) {
        let items = &mut self.chunks[place.chunk as usize].items;
        for after in [place.item + 1, place.item] {
            if after > 0 && after < items.len() && items[after - 1].joins(&items[after]) {
                let gone = items.remove(after);
                items[after - 1].len += gone.len;
                self.items -= 1;
                self.deleted -= 1;
            }
        }
        self.touch(Place { item: place.item.saturating_sub(1), ..place });
    }

    /// Takes out deleted characters of one item, from a place on.
    pub fn remove(&mut self, place: Place, len: u32) {
        let end = place.offset + len;
        if end < self.at(place).len {
            self.cut(Place { offset: end, ..place });
        }
        let Place { chunk, item, .. } = self.cut(place);
        self.touch(Place { item, ..place });
        let items = &mut self.chunks[chunk as usize].items;
        let gone = items.remove(item);
        debug_assert!(gone.is_deleted(), "what is shown is not taken out");
        self.items -= 1;
        self.deleted -= 1;
        if items.is_empty() && self.items > 0 {
            self.cursor = None;
            self.say();
            self.tree.remove(chunk);
        } else {
            self.keep_short(chunk);
        }
        if self.index.len() + self.chunks.len() > 64 + 4 * self.items {
            let lists = self.lists().map(<[Item]>::to_vec).collect();
            *self = Chunks::from_items(lists);
        }
    }

    /// The most items and children of nodes that finding a place can look at.
    #[cfg(test)]
    pub fn most_steps(&self) -> usize {
        self.tree.most_steps() + self.lists().map(<[Item]>::len).max().unwrap_or(0)
    }

    fn at(&self, place: Place) -> &Item {
        &self.chunks[place.chunk as usize].items[place.item]
    }

    /// The cursor must not rely on an item that changes, nor on those behind it in its chunk, nor on another chunk.
    fn touch(&mut self, place: Place) {
        self.cursor = match self.cursor {
            Some(cursor) if cursor.chunk == place.chunk && cursor.item <= place.item => {
                Some(cursor)
            }
            Some(cursor) if cursor.chunk == place.chunk => {
                Some(Cursor { item: 0, before: cursor.before_chunk, ..cursor })
            }
            _ => None,
        };
    }

    fn grow(&mut self, chunk: u32, visible: isize) {
        self.visible = self.visible.wrapping_add_signed(visible);
        let of = &mut self.chunks[chunk as usize].visible;
        *of = of.wrapping_add_signed(visible);
        if self.unsaid.0 != chunk {
            self.say();
        }
        self.unsaid = (chunk, self.unsaid.1 + visible);
    }

    /// Tells the tree what it does not know.
    fn say(&mut self) {
        if self.unsaid.1 != 0 {
            self.tree.add(self.unsaid.0, self.unsaid.1);
            self.unsaid.1 = 0;
        }
    }

    /// Cuts a chunk that grew too long into halves; the costly part, once for every half chunk of new items.
    fn keep_short(&mut self, chunk: u32) {
        if self.chunks[chunk as usize].items.len() <= CHUNK_ITEMS {
            return;
        }
        self.cursor = None;
        self.say();
        let items = &mut self.chunks[chunk as usize].items;
        let mut rest = items.split_off(CHUNK_ITEMS / 2);
        let mut before = chunk;
        while !rest.is_empty() {
            let tail = rest.split_off(rest.len().min(CHUNK_ITEMS / 2));
            let number = self.tree.insert_after(before);
            self.unlisted.push(number);
            let moved = Chunk::new(rest);
            self.chunks[chunk as usize].visible -= moved.visible;
            self.tree.add(chunk, -(moved.visible as isize));
            self.tree.add(number, moved.visible as isize);
            self.chunks.push(moved);
            (before, rest) = (number, tail);
        }
    }
}
