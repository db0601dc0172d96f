//! Updates of Yjs as plain data: what may be in them here, read strictly and written in one form.
//!
//! The bytes are the library's "version 1": for each client, highest first, its consecutive blocks, then what is deleted. Only what this
//! strategy makes is read: items of root types, with text, values, or nothing any more. Bytes that do not come out the same when they
//! are written again are refused, so that an update has one encoding, on every replica and after every restart.

use crate::contract::Malformed;
use crate::document::byte_offset;
use crate::wire::{Reader, Writer};
use std::collections::BTreeMap;

/// A client of the library: a replica in one of its lives, 53 bits.
pub type Client = u64;

/// The name of one item: UTF-16 unit of a text, value of a list, or entry of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id {
    /// Who made it.
    pub client: Client,
    /// Which of the client's, from 0.
    pub clock: u32,
}

/// Clocks end here: the library computes with signed differences.
const MOST_CLOCK: u32 = i32::MAX as u32;
/// Clients are numbers that JavaScript can hold.
const CLIENT_BITS: u32 = 53;

const DELETED: u8 = 1;
const STRING: u8 = 4;
const ANY: u8 = 8;
const HAS_KEY: u8 = 0x20;
const HAS_RIGHT: u8 = 0x40;
const HAS_ORIGIN: u8 = 0x80;
const ANY_STRING: u8 = 119;
const ANY_TRUE: u8 = 120;
const ANY_INTEGER: u8 = 125;

/// One value of a list or map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Any {
    /// An integer of at most 31 bits and a sign.
    Integer(i64),
    /// A string.
    Text(String),
    /// True.
    True,
}

/// What a block holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Held {
    /// Nothing any more.
    Deleted(u32),
    /// A stretch of a text, and its length in UTF-16 units.
    Text(String, u32),
    /// Values.
    Values(Vec<Any>),
}

impl Held {
    fn len(&self) -> u32 {
        match self {
            Held::Deleted(len) | Held::Text(_, len) => *len,
            Held::Values(values) => values.len() as u32,
        }
    }
}

/// Consecutive items of one client, put in at one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The first one's clock.
    pub clock: u32,
    /// What was to the left of the first one.
    pub origin: Option<Id>,
    /// What was to the right of them.
    pub right: Option<Id>,
    /// Name of the root type and key in it; `None` where a neighbour tells.
    pub parent: Option<(String, Option<String>)>,
    /// Whether they are entries of a map.
    pub keyed: bool,
    /// What they hold.
    pub held: Held,
}

impl Block {
    /// The clock behind the last one.
    pub fn end(&self) -> u32 {
        self.clock + self.held.len()
    }

    /// Takes up the block that follows, where both can be one; gives it back otherwise.
    fn join(&mut self, next: Block, client: Client) -> Option<Block> {
        let last = Id { client, clock: self.end() - 1 };
        let follows = next.clock == self.end() && next.origin == Some(last);
        if !follows || next.right != self.right || next.keyed != self.keyed {
            return Some(next);
        }
        match (&mut self.held, next.held) {
            (Held::Deleted(len), Held::Deleted(more)) => *len += more,
            (Held::Text(text, len), Held::Text(tail, more)) if !self.keyed => {
                text.push_str(&tail);
                *len += more;
            }
            (Held::Values(values), Held::Values(more)) if !self.keyed => values.extend(more),
            (_, held) => return Some(Block { held, ..next }),
        }
        None
    }
}

/// Clocks by client: ascending, disjoint, not adjacent ranges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ids(BTreeMap<Client, Vec<(u32, u32)>>);

impl Ids {
    /// Every range: client, first clock, clock behind the last.
    pub fn iter(&self) -> impl Iterator<Item = (Client, u32, u32)> + '_ {
        self.0
            .iter()
            .flat_map(|(client, ranges)| ranges.iter().map(|(start, end)| (*client, *start, *end)))
    }

    /// Number of ranges.
    pub fn ranges(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether an item is in it.
    pub fn contains(&self, id: Id) -> bool {
        self.covers(id.client, id.clock, id.clock + 1)
    }

    /// Whether all of a range is in it.
    pub fn covers(&self, client: Client, start: u32, end: u32) -> bool {
        let Some(ranges) = self.0.get(&client) else { return false };
        let after = ranges.partition_point(|range| range.0 <= start);
        after > 0 && end <= ranges[after - 1].1
    }

    /// Adds a range.
    pub fn insert(&mut self, client: Client, start: u32, end: u32) {
        let ranges = self.0.entry(client).or_default();
        let from = ranges.partition_point(|range| range.1 < start);
        let until = from + ranges[from..].partition_point(|range| range.0 <= end);
        let met = &ranges[from..until];
        let start = met.first().map_or(start, |range| range.0.min(start));
        let end = met.last().map_or(end, |range| range.1.max(end));
        ranges.splice(from..until, [(start, end)]);
    }
}

/// Blocks and deletions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Update {
    /// By client, following one another.
    pub blocks: BTreeMap<Client, Vec<Block>>,
    /// What is deleted.
    pub deleted: Ids,
}

impl Update {
    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty() && self.deleted.is_empty()
    }

    /// Number of blocks.
    pub fn block_count(&self) -> usize {
        self.blocks.values().map(Vec::len).sum()
    }

    /// The clocks each client's blocks reach over, highest client first, as they are written.
    pub fn spans(&self) -> impl Iterator<Item = (Client, u32, u32)> + '_ {
        self.blocks.iter().rev().filter_map(|(client, blocks)| {
            Some((*client, blocks.first()?.clock, blocks.last()?.end()))
        })
    }

    /// Whether all that is in another update is in this one too.
    pub fn covers(&self, other: &Update) -> bool {
        let spans: BTreeMap<_, _> =
            self.spans().map(|(client, start, end)| (client, (start, end))).collect();
        let within = |(client, start, end): (Client, u32, u32)| {
            spans.get(&client).is_some_and(|span| span.0 <= start && end <= span.1)
        };
        other.spans().all(within)
            && other
                .deleted
                .iter()
                .all(|(client, start, end)| self.deleted.covers(client, start, end))
    }

    /// Adds an update that came after; false where some of a client's items between are in neither, which no update can leave out.
    #[must_use]
    pub fn append(&mut self, later: &Update) -> bool {
        let mut whole = true;
        for (client, blocks) in &later.blocks {
            let own = self.blocks.entry(*client).or_default();
            let end = own.last().map(Block::end);
            whole &= end.is_none() || end == blocks.first().map(|block| block.clock);
            own.extend(blocks.iter().cloned());
        }
        for (client, start, end) in later.deleted.iter() {
            self.deleted.insert(client, start, end);
        }
        whole
    }

    /// Joins what can be one block: then it does not matter how the library has cut them.
    pub fn join_blocks(&mut self) {
        for (client, blocks) in &mut self.blocks {
            let mut joined: Vec<Block> = Vec::with_capacity(blocks.len());
            for block in blocks.drain(..) {
                let left = match joined.last_mut() {
                    Some(last) => last.join(block, *client),
                    None => Some(block),
                };
                joined.extend(left);
            }
            *blocks = joined;
        }
        self.blocks.retain(|_, blocks| !blocks.is_empty());
    }

    /// Writes it.
    pub fn write(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.count(self.blocks.len());
        for (client, blocks) in self.blocks.iter().rev() {
            writer.count(blocks.len());
            writer.uint(*client);
            writer.uint(u64::from(blocks.first().map_or(0, |block| block.clock)));
            blocks.iter().for_each(|block| write_block(&mut writer, block));
        }
        writer.count(self.deleted.0.len());
        for (client, ranges) in &self.deleted.0 {
            writer.uint(*client);
            writer.count(ranges.len());
            for (start, end) in ranges {
                writer.uint(u64::from(*start));
                writer.uint(u64::from(end - start));
            }
        }
        writer.finish()
    }

    /// Reads what the library or [`Update::write`] wrote.
    ///
    /// # Errors
    /// [`Malformed`] where it makes no sense, or holds what this strategy never makes.
    pub fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let mut update = Update::default();
        for _ in 0..reader.count(4)? {
            let count = reader.count(3)?;
            let (client, mut clock) = (read_client(&mut reader)?, read_clock(&mut reader)?);
            let mut blocks = Vec::with_capacity(count);
            for _ in 0..count {
                let block = read_block(&mut reader, clock)?;
                clock = block.end();
                blocks.push(block);
            }
            if count == 0 || update.blocks.insert(client, blocks).is_some() {
                return Err(Malformed("no blocks of a client, or twice"));
            }
        }
        for _ in 0..reader.count(4)? {
            let client = read_client(&mut reader)?;
            for _ in 0..reader.count(2)? {
                let (start, len) = (read_clock(&mut reader)?, read_clock(&mut reader)?);
                let end = start.checked_add(len).filter(|end| len > 0 && *end <= MOST_CLOCK);
                let end = end.ok_or(Malformed("an empty or endless range is deleted"))?;
                update.deleted.insert(client, start, end);
            }
        }
        reader.end()?;
        Ok(update)
    }

    /// Reads what another replica wrote.
    ///
    /// # Errors
    /// As for [`Update::read`], or where it is not written in the one form.
    pub fn read_exactly(bytes: &[u8]) -> Result<Self, Malformed> {
        let update = Update::read(bytes)?;
        if update.write() != bytes {
            return Err(Malformed("an update is not written as updates are"));
        }
        Ok(update)
    }
}

fn read_client(reader: &mut Reader<'_>) -> Result<Client, Malformed> {
    let client = reader.uint()?;
    if client >> CLIENT_BITS > 0 { Err(Malformed("client exceeds 53 bits")) } else { Ok(client) }
}

fn read_clock(reader: &mut Reader<'_>) -> Result<u32, Malformed> {
    let clock = reader.uint32()?;
    if clock > MOST_CLOCK { Err(Malformed("clock exceeds 31 bits")) } else { Ok(clock) }
}

fn read_id(reader: &mut Reader<'_>) -> Result<Id, Malformed> {
    Ok(Id { client: read_client(reader)?, clock: read_clock(reader)? })
}

fn write_id(writer: &mut Writer, id: Id) {
    writer.uint(id.client);
    writer.uint(u64::from(id.clock));
}

fn read_block(reader: &mut Reader<'_>, clock: u32) -> Result<Block, Malformed> {
    let info = reader.byte()?;
    let keyed = info & HAS_KEY != 0;
    let origin = if info & HAS_ORIGIN != 0 { Some(read_id(reader)?) } else { None };
    let right = if info & HAS_RIGHT != 0 { Some(read_id(reader)?) } else { None };
    let parent = if origin.is_none() && right.is_none() {
        if reader.byte()? != 1 {
            return Err(Malformed("a block within a block"));
        }
        let name = reader.str()?.to_owned();
        let key = if keyed { Some(reader.str()?.to_owned()) } else { None };
        Some((name, key))
    } else {
        None
    };
    let held = match info & !(HAS_KEY | HAS_RIGHT | HAS_ORIGIN) {
        DELETED => Held::Deleted(read_clock(reader)?),
        STRING => {
            let text = reader.str()?.to_owned();
            let len = utf16_len(&text) as u32;
            Held::Text(text, len)
        }
        ANY => {
            let count = reader.count(1)?;
            Held::Values((0..count).map(|_| read_any(reader)).collect::<Result<_, _>>()?)
        }
        _ => return Err(Malformed("a kind of block that is never made here")),
    };
    let end = clock.checked_add(held.len()).filter(|end| *end > clock && *end <= MOST_CLOCK);
    if end.is_none() {
        return Err(Malformed("an empty or endless block"));
    }
    Ok(Block { clock, origin, right, parent, keyed, held })
}

fn write_block(writer: &mut Writer, block: &Block) {
    let kind = match block.held {
        Held::Deleted(_) => DELETED,
        Held::Text(..) => STRING,
        Held::Values(_) => ANY,
    };
    let flag = |is_set, flag| if is_set { flag } else { 0 };
    let neighbours =
        flag(block.origin.is_some(), HAS_ORIGIN) | flag(block.right.is_some(), HAS_RIGHT);
    writer.byte(kind | neighbours | flag(block.keyed, HAS_KEY));
    for id in block.origin.into_iter().chain(block.right) {
        write_id(writer, id);
    }
    if let Some((name, key)) = &block.parent {
        writer.byte(1);
        writer.str(name);
        if let Some(key) = key {
            writer.str(key);
        }
    }
    match &block.held {
        Held::Deleted(len) => writer.uint(u64::from(*len)),
        Held::Text(text, _) => writer.str(text),
        Held::Values(values) => {
            writer.count(values.len());
            values.iter().for_each(|value| write_any(writer, value));
        }
    }
}

/// A value. Integers have their sign beside six bits in the first byte.
fn read_any(reader: &mut Reader<'_>) -> Result<Any, Malformed> {
    Ok(match reader.byte()? {
        ANY_STRING => Any::Text(reader.str()?.to_owned()),
        ANY_TRUE => Any::True,
        ANY_INTEGER => {
            let first = reader.byte()?;
            let low = i64::from(first & 0x3f);
            let high = if first & 0x80 != 0 { i64::from(read_clock(reader)?) } else { 0 };
            let size = low | high << 6;
            if size > i64::from(MOST_CLOCK) {
                return Err(Malformed("integer exceeds 31 bits"));
            }
            Any::Integer(if first & 0x40 != 0 { -size } else { size })
        }
        _ => return Err(Malformed("a kind of value that is never made here")),
    })
}

fn write_any(writer: &mut Writer, value: &Any) {
    match value {
        Any::Text(text) => {
            writer.byte(ANY_STRING);
            writer.str(text);
        }
        Any::True => writer.byte(ANY_TRUE),
        Any::Integer(value) => {
            writer.byte(ANY_INTEGER);
            let size = value.unsigned_abs();
            let sign = if *value < 0 { 0x40 } else { 0 };
            let more = if size > 0x3f { 0x80 } else { 0 };
            writer.byte((size & 0x3f) as u8 | sign | more);
            if size > 0x3f {
                writer.uint(size >> 6);
            }
        }
    }
}

/// Length of a text in UTF-16 units, as Yjs counts.
pub fn utf16_len(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.chars().map(char::len_utf16).sum() }
}

/// UTF-16 units before the `at`-th scalar value.
pub fn utf16_offset(text: &str, at: usize) -> usize {
    utf16_len(&text[..byte_offset(text, at)])
}
