//! A whole text as bytes: what is shown as one block, then run by run whose it is and where it belongs.
//!
//! ```text
//! text     clock, shown characters, number of chunks, chunk*, number of settled dots, dot*
//! chunk    number of items, item*
//! item     head, first dot, [left dot], [right dot | time less counter of the first dot, as the difference to the item before]
//! head     length << 4 | right << 2 | left << 1 | shown
//! left     0: it is named; 1: the last character of the item before, or the start
//! right    0: it is named; 1: the first character of the next item, or the end; 2: that of the item before (FugueMax; else 0)
//! ```

use super::{Claim, Item, Sequence, TextOrder};
use crate::contract::Malformed;
use crate::crdt::causal::{Agent, Dot, Span, Version};
use crate::crdt::codec::Dots;
use crate::document::byte_offset;
use crate::wire::{Reader, Writer};

const SHOWN: u64 = 1;
const LEFT_BEFORE: u64 = 1 << 1;
const RIGHT_SHIFT: u32 = 2;
const RIGHT_NAMED: u64 = 0;
const RIGHT_NEXT: u64 = 1;
const RIGHT_SAME: u64 = 2;
const LENGTH_SHIFT: u32 = 4;

impl Sequence {
    /// Appends the text, its deleted characters as dots. All its dots are of these agents.
    pub fn write(&self, writer: &mut Writer, agents: &[Agent]) {
        let mut dots = Dots::of(agents.to_vec());
        writer.uint(self.clock);
        writer.count(self.bytes);
        for item in self.lists().flatten() {
            writer.raw(item.text.as_bytes());
        }
        let mut after = self.lists().flatten().skip(1).map(|item| item.first);
        let (mut last, mut right, mut lag) = (Dot::NONE, Dot::NONE, 0);
        writer.count(self.lists().filter(|items| !items.is_empty()).count());
        for items in self.lists().filter(|items| !items.is_empty()) {
            writer.count(items.len());
            for item in items {
                let next = after.next().unwrap_or(Dot::NONE);
                let rule = match item.claim {
                    Claim::Before(named) if named == next => RIGHT_NEXT,
                    Claim::Before(named) if named == right => RIGHT_SAME,
                    _ => RIGHT_NAMED,
                };
                let shown = if item.is_deleted() { 0 } else { SHOWN };
                let left = if item.left == last { LEFT_BEFORE } else { 0 };
                let length = u64::from(item.len) << LENGTH_SHIFT;
                writer.uint(length | rule << RIGHT_SHIFT | left | shown);
                dots.write(writer, item.first);
                if left == 0 {
                    dots.write(writer, item.left);
                }
                match item.claim {
                    Claim::Before(named) if rule == RIGHT_NAMED => dots.write(writer, named),
                    Claim::Before(_) => {}
                    Claim::At(time) => {
                        let now = time.wrapping_sub(item.first.counter) as i64;
                        writer.int(now.wrapping_sub(lag));
                        lag = now;
                    }
                }
                (last, right) = (item.last(), item.right());
            }
        }
        writer.count(self.settled.len());
        self.settled.iter().for_each(|dot| dots.write(writer, *dot));
    }

    /// Reads what [`Sequence::write`] wrote, with the agents of `have`.
    ///
    /// # Errors
    /// [`Malformed`] where it makes no sense, or names a dot that `have` does not cover.
    pub fn read(
        reader: &mut Reader<'_>,
        order: TextOrder,
        have: &Version,
    ) -> Result<Sequence, Malformed> {
        let clock = u64::from(reader.uint32()?);
        let text = reader.str()?;
        let mut items = Items::new(order, have, text);
        let mut lists = Vec::new();
        for _ in 0..reader.count(2)? {
            let count = reader.count(2)?;
            let mut list = Vec::with_capacity(count.min(64));
            for _ in 0..count {
                items.next(reader, &mut lists, &mut list)?;
            }
            lists.push(list);
        }
        items.end()?;
        let mut dots = items.dots;
        let mut text = Sequence::from_lists(order, clock, lists);
        for _ in 0..reader.count(1)? {
            let dot = dots.read_some(reader)?;
            let item = text.chunks.find(dot).and_then(|place| text.chunks.get(place));
            if !item.is_some_and(Item::is_deleted) || !text.settled.insert(dot) {
                return Err(Malformed("a character was not deleted, or is kept twice"));
            }
        }
        Ok(text)
    }
}

struct Items<'a> {
    order: TextOrder,
    have: &'a Version,
    dots: Dots,
    /// What is shown and not given to an item yet.
    text: &'a str,
    is_ascii: bool,
    /// The dots of every item read.
    spans: Vec<Span>,
    last: Dot,
    right: Dot,
    lag: i64,
    /// Whether the item before stands before the one to come.
    open: bool,
}

impl<'a> Items<'a> {
    fn new(order: TextOrder, have: &'a Version, text: &'a str) -> Self {
        Items {
            order,
            have,
            dots: Dots::of(have.agents()),
            text,
            is_ascii: text.is_ascii(),
            spans: Vec::new(),
            last: Dot::NONE,
            right: Dot::NONE,
            lag: 0,
            open: false,
        }
    }

    fn dot(&mut self, reader: &mut Reader<'_>) -> Result<Dot, Malformed> {
        let dot = self.dots.read(reader)?;
        if self.have.covers(dot) { Ok(dot) } else { Err(Malformed("a dot nobody has made")) }
    }

    /// Reads an item to the end of `list`; the one before may be the last one of `lists`.
    fn next(
        &mut self,
        reader: &mut Reader<'_>,
        lists: &mut [Vec<Item>],
        list: &mut Vec<Item>,
    ) -> Result<(), Malformed> {
        let head = reader.uint()?;
        let len = u32::try_from(head >> LENGTH_SHIFT).map_err(|_| Malformed("a run too long"))?;
        let rule = head >> RIGHT_SHIFT & 3;
        let first = self.dots.read_some(reader)?;
        let span = Span { first, len: u64::from(len) };
        if len == 0 || !self.have.covers(first.plus(span.len - 1)) {
            return Err(Malformed("an item of text does not fit its dots"));
        }
        let left = if head & LEFT_BEFORE != 0 { self.last } else { self.dot(reader)? };
        if self.open {
            let before = list.last_mut().or_else(|| lists.last_mut()?.last_mut());
            let before = before.ok_or(Malformed("nothing stands before the first item"))?;
            before.claim = Claim::Before(first);
            self.right = first;
        }
        let claim = match (self.order, rule) {
            (TextOrder::FugueMax, RIGHT_NAMED) => Claim::Before(self.dot(reader)?),
            (TextOrder::FugueMax, RIGHT_NEXT) => Claim::Before(Dot::NONE),
            (TextOrder::FugueMax, RIGHT_SAME) => Claim::Before(self.right),
            (TextOrder::Rga, RIGHT_NAMED) => {
                self.lag = self.lag.wrapping_add(reader.int()?);
                let time = u32::try_from(first.counter.wrapping_add(self.lag as u64));
                Claim::At(time.map_err(|_| Malformed("time out of range"))?.into())
            }
            _ => return Err(Malformed("an unknown way to name a neighbour")),
        };
        let text = if head & SHOWN != 0 { self.take(len)? } else { String::new() };
        let item = Item { first, len, left, claim, text };
        (self.last, self.right, self.open) = (item.last(), item.right(), rule == RIGHT_NEXT);
        self.spans.push(span);
        list.push(item);
        Ok(())
    }

    /// The next characters that are shown.
    fn take(&mut self, len: u32) -> Result<String, Malformed> {
        let len = len as usize;
        let end = if self.is_ascii { len } else { byte_offset(self.text, len) };
        let fits = end <= self.text.len() && (self.is_ascii || end >= len);
        let (taken, rest) = self.text.split_at_checked(end).filter(|_| fits).ok_or(TOO_SHORT)?;
        if !self.is_ascii && taken.chars().count() != len {
            return Err(TOO_SHORT);
        }
        self.text = rest;
        Ok(taken.to_owned())
    }

    /// All of the text is given to items, and none of them share a dot.
    fn end(&mut self) -> Result<(), Malformed> {
        if !self.text.is_empty() {
            return Err(Malformed("text that belongs to nobody"));
        }
        self.spans.sort_unstable();
        let apart = |pair: &[Span]| pair[0].end() <= pair[1].first;
        let apart = self.spans.windows(2).all(apart);
        if apart { Ok(()) } else { Err(Malformed("two items of text share a dot")) }
    }
}

const TOO_SHORT: Malformed = Malformed("more characters in items than are shown");
