//! A whole text as bytes.

use super::{Claim, Item, Sequence, TextOrder};
use crate::contract::Malformed;
use crate::crdt::causal::{Agent, Dot, Version};
use crate::crdt::codec::Dots;
use crate::document::char_count;
use crate::wire::{Reader, Writer};
use std::collections::BTreeSet;

impl Sequence {
    /// Appends the text, its deleted characters as dots. All its dots are of these agents.
    pub fn write(&self, writer: &mut Writer, agents: &[Agent]) {
        let mut dots = Dots::of(agents.to_vec());
        writer.uint(self.clock);
        let lists: Vec<&[Item]> = self.lists().filter(|items| !items.is_empty()).collect();
        writer.count(lists.len());
        for items in lists {
            writer.count(items.len());
            for item in items {
                dots.write(writer, item.first);
                writer.uint(u64::from(item.len));
                dots.write(writer, item.left);
                match item.claim {
                    Claim::Before(right) => dots.write(writer, right),
                    Claim::At(time) => writer.uint(time),
                }
                writer.str(&item.text);
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
        let mut items =
            Items { order, have, dots: Dots::of(have.agents()), taken: BTreeSet::new() };
        let mut lists = Vec::new();
        for _ in 0..reader.count(2)? {
            lists
                .push((0..reader.count(5)?).map(|_| items.next(reader)).collect::<Result<_, _>>()?);
        }
        let mut text = Sequence::from_lists(order, clock, lists);
        for _ in 0..reader.count(1)? {
            let dot = items.dots.read_some(reader)?;
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
    /// First and last dot of every item read.
    taken: BTreeSet<(Dot, Dot)>,
}

impl Items<'_> {
    fn dot(&mut self, reader: &mut Reader<'_>) -> Result<Dot, Malformed> {
        let dot = self.dots.read(reader)?;
        if self.have.covers(dot) { Ok(dot) } else { Err(Malformed("a dot nobody has made")) }
    }

    fn next(&mut self, reader: &mut Reader<'_>) -> Result<Item, Malformed> {
        let first = self.dots.read_some(reader)?;
        let len = reader.uint32()?;
        let item = Item {
            first,
            len,
            left: self.dot(reader)?,
            claim: match self.order {
                TextOrder::FugueMax => Claim::Before(self.dot(reader)?),
                TextOrder::Rga => Claim::At(reader.uint32()?.into()),
            },
            text: reader.str()?.to_owned(),
        };
        let fits = item.is_deleted() || char_count(&item.text) as u64 == u64::from(len);
        if len == 0 || !fits || !self.have.covers(item.last()) {
            return Err(Malformed("an item of text does not fit its dots"));
        }
        let before = self.taken.range(..=(first, Dot { counter: u64::MAX, ..first })).next_back();
        let after = self.taken.range((first, Dot::NONE)..).next();
        let overlaps = before.is_some_and(|(_, last)| *last >= first)
            || after.is_some_and(|(next, _)| *next <= item.last());
        if overlaps {
            return Err(Malformed("two items of text share a dot"));
        }
        self.taken.insert((first, item.last()));
        Ok(item)
    }
}
