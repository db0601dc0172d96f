//! Questions and answers, and their bytes.
//!
//! ```text
//! version  1 byte, 1
//! kind     1 byte: 0 Root, 1 Ask, 2 Same, 3 Pages
//! Root     16 bytes: the asker's root hash; zero where it has no keys
//! Ask      round (varint), number of intervals, a bit for each (set: every key is asked for, and no hashes); each interval: its
//!          distance from the one before, its width less one (varints of up to 128 bits)
//! Same     nothing: the root hashes agree
//! Pages    round (varint), number of pages, each: twice its number of keys, plus one where hashes follow (varint); the keys,
//!          each as the distance from the key before, also across pages; a bit for each gap that is not empty, and for each of
//!          those 16 bytes of hash
//! ```
//!
//! Bits fill bytes from the lowest; integers are little endian. Everything is ascending, so distances are small where names are dense.

use super::{EMPTY, Key, Page, Span};
use crate::contract::Malformed;
use crate::reconcile::{read_wide, write_wide};
use crate::wire::{Reader, Writer};

const VERSION: u8 = 1;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Message {
    Root { hash: u128 },
    Ask { round: u64, wanted: Vec<Wanted> },
    Same,
    Pages { round: u64, pages: Vec<Page> },
}

/// An interval that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub span: Span,
    /// Every key of it, instead of its top node.
    pub list: bool,
}

/// Decodes a message and encodes it again: for the law that both fit together.
///
/// # Errors
/// [`Malformed`] where the bytes are no message of this protocol.
pub fn recode(bytes: &[u8]) -> Result<Vec<u8>, Malformed> {
    Ok(Message::decode(bytes)?.encode())
}

impl Message {
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.byte(VERSION);
        match self {
            Message::Root { hash } => {
                writer.byte(0);
                writer.raw(&hash.to_le_bytes());
            }
            Message::Ask { round, wanted } => {
                writer.byte(1);
                writer.uint(*round);
                writer.count(wanted.len());
                write_bits(&mut writer, wanted.iter().map(|wanted| wanted.list));
                let mut next = 0;
                for Wanted { span, .. } in wanted {
                    write_wide(&mut writer, span.first - next);
                    write_wide(&mut writer, span.last - span.first);
                    next = span.last.wrapping_add(1);
                }
            }
            Message::Same => writer.byte(2),
            Message::Pages { round, pages } => {
                writer.byte(3);
                writer.uint(*round);
                writer.count(pages.len());
                let mut next = 0;
                for page in pages {
                    write_page(&mut writer, page, &mut next);
                }
            }
        }
        writer.finish()
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        if reader.byte()? != VERSION {
            return Err(Malformed("unknown version of a search tree"));
        }
        let message = match reader.byte()? {
            0 => Message::Root { hash: read_hash(&mut reader)? },
            1 => Message::Ask { round: reader.uint()?, wanted: read_wanted(&mut reader)? },
            2 => Message::Same,
            3 => {
                let round = reader.uint()?;
                let count = reader.count(1)?;
                let mut next = Some(0);
                let pages = (0..count).map(|_| read_page(&mut reader, &mut next));
                Message::Pages { round, pages: pages.collect::<Result<_, _>>()? }
            }
            _ => return Err(Malformed("unknown kind of message")),
        };
        reader.end()?;
        Ok(message)
    }
}

fn read_wanted(reader: &mut Reader<'_>) -> Result<Vec<Wanted>, Malformed> {
    let count = reader.count(2)?;
    let lists = read_bits(reader, count)?;
    let mut next = Some(0);
    let mut wanted = Vec::with_capacity(count);
    for list in lists {
        let first = step(next, read_wide(reader)?)?;
        let last = step(Some(first), read_wide(reader)?)?;
        next = last.checked_add(1);
        wanted.push(Wanted { span: Span { first, last }, list });
    }
    Ok(wanted)
}

/// `next` is the least key that may follow; zero after the largest of all, which nothing follows.
fn write_page(writer: &mut Writer, page: &Page, next: &mut Key) {
    writer.uint((page.keys.len() as u64) << 1 | u64::from(!page.children.is_empty()));
    for key in &page.keys {
        write_wide(writer, key - *next);
        *next = key.wrapping_add(1);
    }
    write_bits(writer, page.children.iter().map(|child| *child != EMPTY));
    for child in page.children.iter().filter(|child| **child != EMPTY) {
        writer.raw(&child.to_le_bytes());
    }
}

fn read_page(reader: &mut Reader<'_>, next: &mut Option<Key>) -> Result<Page, Malformed> {
    let head = reader.uint()?;
    let (count, has_children) = (head >> 1, head & 1 == 1);
    if count > reader.remaining() as u64 {
        return Err(Malformed("count exceeds the message"));
    }
    let mut keys = Vec::with_capacity(count as usize);
    for _ in 0..count {
        let key = step(*next, read_wide(reader)?)?;
        *next = key.checked_add(1);
        keys.push(key);
    }
    let mut children = Vec::new();
    if has_children {
        let bits = read_bits(reader, keys.len() + 1)?;
        if keys.is_empty() || !bits.contains(&true) {
            return Err(Malformed("hashes of nothing"));
        }
        for bit in bits {
            let hash = if bit { read_hash(reader)? } else { EMPTY };
            if bit && hash == EMPTY {
                return Err(Malformed("hashes of nothing"));
            }
            children.push(hash);
        }
    }
    Ok(Page { keys, children })
}

fn step(next: Option<Key>, distance: u128) -> Result<Key, Malformed> {
    next.and_then(|next| next.checked_add(distance)).ok_or(Malformed("key exceeds 128 bits"))
}

fn read_hash(reader: &mut Reader<'_>) -> Result<u128, Malformed> {
    let bytes = reader.raw(16)?.try_into().expect("sixteen bytes were asked for");
    Ok(u128::from_le_bytes(bytes))
}

fn write_bits(writer: &mut Writer, bits: impl Iterator<Item = bool>) {
    let (mut byte, mut used) = (0, 0);
    for bit in bits {
        byte |= u8::from(bit) << used;
        used += 1;
        if used == 8 {
            writer.byte(byte);
            (byte, used) = (0, 0);
        }
    }
    if used > 0 {
        writer.byte(byte);
    }
}

fn read_bits(reader: &mut Reader<'_>, count: usize) -> Result<Vec<bool>, Malformed> {
    let bytes = reader.raw(count.div_ceil(8))?;
    let bit = |at: usize| bytes[at / 8] >> (at % 8) & 1 == 1;
    if (count..bytes.len() * 8).any(bit) {
        return Err(Malformed("bits beyond the last"));
    }
    Ok((0..count).map(bit).collect())
}
