//! What replicas say to each other.

use super::leaf::{Leaf, Rev};
use crate::contract::Malformed;
use crate::document::{RecordId, ReplicaId};
use crate::wire::{Reader, Writer};

/// One message. Numbers of exchanges rise; their upper half is the source's life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// In which life its sender is, and how far the receiver's feed, of a life of the receiver, is known there: a comparison of checkpoints. A
    /// greeting is answered by another one. With `asks_all` its sender wants to be told the whole feed.
    Greeting { answer: bool, asks_all: bool, own: u32, life: u32, through: u64 },
    /// The next records of the source's feed with their leaves: `_changes`.
    Changes(Changes),
    /// Which of those the target lacks, as ascending indices into all the revisions that were told: `_revs_diff`.
    Diff { number: u64, missing: Vec<u32> },
    /// Those, with their ancestors: `_bulk_docs`.
    Documents { number: u64, leaves: Vec<(RecordId, Leaf)> },
    /// The target has them.
    Stored { number: u64 },
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    pub number: u64,
    /// The source's feed is told from its beginning.
    pub from_start: bool,
    /// The target's life in which it has what comes before them, as far as the source knows.
    pub life: u32,
    /// Position of the last of these records in the feed.
    pub last: u64,
    /// How many records remain to be told.
    pub remaining: u64,
    pub records: Vec<Told>,
    pub deleted: Vec<Deleted>,
}

/// The leaves of a record, by falling name; at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    pub record: RecordId,
    pub revs: Vec<Rev>,
}

/// Who is known to have a record with just these tombstones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deleted {
    pub record: RecordId,
    /// A digest of the tombstones.
    pub key: u64,
    /// In order.
    pub seen_by: Vec<ReplicaId>,
}

impl Message {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        match self {
            Message::Greeting { answer, asks_all, own, life, through } => {
                out.byte(u8::from(*answer) | u8::from(*asks_all) << 1);
                out.uint(u64::from(*own));
                out.uint(u64::from(*life));
                out.uint(*through);
            }
            Message::Changes(changes) => changes.write(&mut out),
            Message::Diff { number, missing } => {
                out.byte(6);
                out.uint(*number);
                out.count(missing.len());
                let mut next = 0;
                for index in missing {
                    out.uint(u64::from(index - next));
                    next = index + 1;
                }
            }
            Message::Documents { number, leaves } => {
                out.byte(7);
                out.uint(*number);
                out.count(leaves.len());
                let mut last = 0;
                for (record, leaf) in leaves {
                    out.uint(u64::from(record.0 - last));
                    leaf.write(&mut out);
                    last = record.0;
                }
            }
            Message::Stored { number } => {
                out.byte(8);
                out.uint(*number);
            }
        }
        out.finish()
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut bytes = Reader::new(bytes);
        let message = match bytes.byte()? {
            kind @ 0..=3 => Message::Greeting {
                answer: kind & 1 == 1,
                asks_all: kind & 2 == 2,
                own: bytes.uint32()?,
                life: bytes.uint32()?,
                through: bytes.uint()?,
            },
            kind @ (4 | 5) => Message::Changes(Changes::read(kind == 5, &mut bytes)?),
            6 => {
                let number = bytes.uint()?;
                let mut missing = Vec::new();
                let mut next = 0;
                for _ in 0..bytes.count(1)? {
                    let index = bytes.uint32()?.checked_add(next);
                    let index = index.filter(|index| *index < u32::MAX);
                    missing.push(index.ok_or(Malformed("index out of range"))?);
                    next = missing[missing.len() - 1] + 1;
                }
                Message::Diff { number, missing }
            }
            7 => Message::Documents { number: bytes.uint()?, leaves: read_leaves(&mut bytes)? },
            8 => Message::Stored { number: bytes.uint()? },
            _ => return Err(Malformed("unknown kind of message")),
        };
        bytes.end()?;
        Ok(message)
    }
}

impl Changes {
    fn write(&self, out: &mut Writer) {
        out.byte(4 + u8::from(self.from_start));
        out.uint(self.number);
        out.uint(u64::from(self.life));
        out.uint(self.last);
        out.uint(self.remaining);
        out.count(self.records.len());
        let mut next = 0;
        for Told { record, revs } in &self.records {
            out.uint(u64::from(record.0) - next);
            next = u64::from(record.0) + 1;
            out.count(revs.len());
            revs.iter().for_each(|rev| rev.write(out));
        }
        out.count(self.deleted.len());
        for Deleted { record, key, seen_by } in &self.deleted {
            out.uint(u64::from(record.0));
            out.raw(&key.to_le_bytes());
            out.count(seen_by.len());
            seen_by.iter().for_each(|replica| out.replica(*replica));
        }
    }

    fn read(from_start: bool, bytes: &mut Reader<'_>) -> Result<Self, Malformed> {
        let (number, life) = (bytes.uint()?, bytes.uint32()?);
        let (last, remaining) = (bytes.uint()?, bytes.uint()?);
        let mut changes =
            Changes { number, from_start, life, last, remaining, ..Changes::default() };
        let mut next = 0_u64;
        for _ in 0..bytes.count(2 + Rev::LEAST_BYTES)? {
            let record = bytes.uint()?.checked_add(next).and_then(|r| u32::try_from(r).ok());
            let record = RecordId(record.ok_or(Malformed("record out of range"))?);
            next = u64::from(record.0) + 1;
            let mut revs: Vec<Rev> = Vec::new();
            for _ in 0..bytes.count(Rev::LEAST_BYTES)? {
                let rev = Rev::read(bytes)?;
                if revs.last().is_some_and(|last| *last <= rev) {
                    return Err(Malformed("revisions are not falling"));
                }
                revs.push(rev);
            }
            if revs.is_empty() {
                return Err(Malformed("a record without revisions"));
            }
            changes.records.push(Told { record, revs });
        }
        for _ in 0..bytes.count(10)? {
            let record = RecordId(bytes.uint32()?);
            let key = bytes.raw(8)?.try_into().expect("eight bytes were read");
            let mut seen_by: Vec<ReplicaId> = Vec::new();
            for _ in 0..bytes.count(1)? {
                let replica = bytes.replica()?;
                if seen_by.last().is_some_and(|last| *last >= replica) {
                    return Err(Malformed("replicas are not ascending"));
                }
                seen_by.push(replica);
            }
            changes.deleted.push(Deleted { record, key: u64::from_le_bytes(key), seen_by });
        }
        Ok(changes)
    }
}

fn read_leaves(bytes: &mut Reader<'_>) -> Result<Vec<(RecordId, Leaf)>, Malformed> {
    let mut leaves: Vec<(RecordId, Leaf)> = Vec::new();
    let mut last = 0_u32;
    for _ in 0..bytes.count(20)? {
        let record = last.checked_add(bytes.uint32()?).ok_or(Malformed("record out of range"))?;
        last = record;
        let leaf = Leaf::read(bytes)?;
        let before = leaves.last().filter(|(before, _)| before.0 == record);
        if before.is_some_and(|(_, before)| before.rev() <= leaf.rev()) {
            return Err(Malformed("revisions are not falling"));
        }
        leaves.push((RecordId(record), leaf));
    }
    Ok(leaves)
}
