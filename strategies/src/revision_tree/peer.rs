//! What is known of a peer: how far each of the two feeds has got, and what is under way.

use super::leaf::Rev;
use super::message::Told;
use crate::contract::{Malformed, Pending, Transport};
use crate::document::{RecordId, ReplicaId};
use crate::wire::{Reader, Writer};
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

/// Records that are told at once, as CouchDB's replicator takes them.
pub const BATCH: usize = 100;

/// One peer.
#[derive(Clone, Debug)]
pub struct Peer {
    pub id: ReplicaId,
    /// Records that it lacks as they are here, by their position in the feed.
    owed: BTreeMap<u64, RecordId>,
    /// The checkpoint: up to here it has this replica's feed.
    through: u64,
    /// It is told the feed from its beginning.
    from_start: bool,
    /// It asked for the whole feed and has not come to its end: what it is known to have is told all the same, for what is not is purged.
    promised_all: bool,
    next_number: u64,
    open: Option<Exchange>,
    /// Checkpoints were not compared since the link opened.
    pub greet: bool,
    /// They must be, for this replica lacks something that it had.
    pub anxious: bool,
    /// Exchanges of this peer below this number are over.
    expected: u64,
    /// What it was asked for.
    asked: Option<Asked>,
    /// How far this peer's feed is known here, in which of its lives.
    life: u32,
    recorded: u64,
    /// It was asked for all of its feed, and has not begun to tell it: what it tells meanwhile is no checkpoint.
    awaits_all: bool,
    /// It tells its feed from the beginning, and has not come to the end.
    pub tells_all: bool,
    /// Deleted records of which it was not told all that is known of who has them, and those of which it was just told.
    untold: BTreeSet<RecordId>,
    telling: BTreeSet<RecordId>,
}

/// An exchange begun here.
#[derive(Clone, Debug)]
pub struct Exchange {
    pub number: u64,
    pub last: u64,
    /// Everything that was told, in the order of the message.
    pub listed: Vec<(RecordId, Rev)>,
    /// The peer said what it lacks.
    pub answered: bool,
}

/// Documents that are to come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub number: u64,
    /// Nothing before them is missing: the checkpoint moves on.
    pub follows: bool,
    pub last: u64,
    pub is_end: bool,
    /// The records that something is missing of, with all their leaves there.
    pub told: Vec<Told>,
}

/// What is to be told next.
pub struct Batch {
    pub number: u64,
    pub from_start: bool,
    pub life: u32,
    pub last: u64,
    pub remaining: u64,
    pub records: Vec<RecordId>,
    pub deleted: Vec<RecordId>,
}

impl Peer {
    /// A peer that has the feed up to a position, as this replica has the peer's.
    pub fn new(id: ReplicaId, incarnation: u32, genesis: u64) -> Self {
        Peer {
            id,
            owed: BTreeMap::new(),
            through: genesis,
            from_start: false,
            promised_all: false,
            next_number: u64::from(incarnation) << 32,
            open: None,
            greet: true,
            anxious: incarnation > 0,
            expected: 0,
            asked: None,
            life: 0,
            recorded: genesis,
            awaits_all: false,
            tells_all: false,
            untold: BTreeSet::new(),
            telling: BTreeSet::new(),
        }
    }

    /// A record moved in the feed.
    pub fn owe(&mut self, old_seq: u64, seq: u64, record: RecordId) {
        self.owed.remove(&old_seq);
        self.owed.insert(seq, record);
        self.forget(record);
    }

    /// It turned out to have the record at this position.
    pub fn has(&mut self, seq: u64) {
        if !self.promised_all {
            self.owed.remove(&seq);
        }
    }

    /// The record at this position is no more.
    pub fn purged(&mut self, seq: u64, record: RecordId) {
        self.owed.remove(&seq);
        self.forget(record);
    }

    /// Whether it is owed the record at this position.
    pub fn lacks(&self, seq: u64) -> bool {
        self.owed.contains_key(&seq)
    }

    /// There is no more to be told of who has this record.
    pub fn forget(&mut self, record: RecordId) {
        self.untold.remove(&record);
        self.telling.remove(&record);
    }

    /// There is more to be told of who has this record.
    pub fn tell(&mut self, record: RecordId) {
        self.untold.insert(record);
    }

    /// Whether it knows all there is to know of who has this record.
    pub fn is_told(&self, record: RecordId) -> bool {
        !self.untold.contains(&record) && !self.telling.contains(&record)
    }

    /// What to tell now, if anything. An exchange that is open over a session goes on first; over datagrams it is given up.
    pub fn take_batch(&mut self, transport: Transport) -> Option<Batch> {
        if self.open.is_some() && transport == Transport::Session {
            return None;
        }
        self.give_up();
        if self.owed.is_empty() && self.untold.is_empty() && !self.from_start {
            return None;
        }
        let number = self.next_number;
        self.next_number += 1;
        let records: Vec<RecordId> = self.owed.values().take(BATCH).copied().collect();
        let last = self.owed.keys().take(BATCH).copied().max().unwrap_or(self.through);
        let remaining = (self.owed.len() - records.len()) as u64;
        self.telling = std::mem::take(&mut self.untold);
        let deleted = self.telling.iter().copied().collect();
        let (from_start, life) = (self.from_start, self.life);
        Some(Batch { number, from_start, life, last, remaining, records, deleted })
    }

    /// It is on its way.
    pub fn begun(&mut self, exchange: Exchange) {
        self.open = Some(exchange);
    }

    /// The exchange of this number, if it waits to hear what is missing.
    pub fn answered(&mut self, number: u64) -> Option<Exchange> {
        let open = self.open.as_mut().filter(|open| open.number == number && !open.answered)?;
        open.answered = true;
        Some(open.clone())
    }

    /// The peer has everything of this exchange. Returns the records that it was owed, as they are here.
    pub fn completed(&mut self, number: u64) -> Option<Vec<RecordId>> {
        let open = self.open.take_if(|open| open.number == number)?;
        let left = self.owed.split_off(&(open.last + 1));
        let owed = std::mem::replace(&mut self.owed, left);
        self.telling.clear();
        self.through = self.through.max(open.last);
        self.from_start = false;
        self.promised_all &= !self.owed.is_empty();
        Some(owed.into_values().collect())
    }

    /// How far the peer says it has this replica's feed. Where it has less than it had, it is told the rest again.
    pub fn compare(&mut self, through: u64, feed: impl Iterator<Item = (u64, RecordId)>) {
        if through >= self.through {
            self.through = through;
            // What it has of a whole feed that it asked for it takes for purged, unless it is told.
            if !self.promised_all {
                self.owed = self.owed.split_off(&(through + 1));
            }
            return;
        }
        self.tell_from(through, feed);
    }

    /// The peer has this replica's feed up to here, and whatever else it had told it has forgotten.
    pub fn tell_from(&mut self, through: u64, feed: impl Iterator<Item = (u64, RecordId)>) {
        self.give_up();
        self.owed.extend(feed.filter(|(seq, _)| *seq > through));
        self.through = through;
    }

    /// The peer wants to be told the whole feed.
    pub fn tell_all(&mut self, feed: impl Iterator<Item = (u64, RecordId)>) {
        self.give_up();
        self.owed.extend(feed);
        self.through = 0;
        (self.from_start, self.promised_all) = (true, true);
    }

    /// What this replica knows of the peer's feed: in which life, and up to where.
    pub fn recorded(&self) -> (u32, u64) {
        (self.life, self.recorded)
    }

    /// Asks for all of the peer's feed.
    pub fn ask_all(&mut self) {
        self.recorded = 0;
        self.greet = true;
        self.anxious = true;
        self.asked = None;
        (self.awaits_all, self.tells_all) = (true, false);
    }

    /// It is asked for all of its feed, or is not: then whatever it tells is a checkpoint.
    pub fn asks(&mut self, all: bool) {
        self.awaits_all = all;
    }

    /// Whether it has still to tell all of its feed, or the rest of it.
    pub fn is_to_tell_all(&self) -> bool {
        self.awaits_all || self.tells_all
    }

    /// It tells some of its feed, perhaps from the beginning. Whether nothing before that is missing here, if it had all that the peer believes.
    pub fn tells(&mut self, from_start: bool) -> bool {
        self.tells_all |= from_start;
        self.awaits_all &= !from_start;
        !self.awaits_all
    }

    /// Whether an exchange of the peer is news.
    pub fn begins(&mut self, number: u64) -> bool {
        let is_new = number >= self.expected;
        if is_new {
            self.expected = number.saturating_add(1);
            self.asked = None;
        }
        is_new
    }

    pub fn ask(&mut self, asked: Asked) {
        self.asked = Some(asked);
    }

    /// Whether documents are to come.
    pub fn is_asked(&self) -> bool {
        self.asked.is_some()
    }

    /// No documents are to come any more.
    pub fn drop_asked(&mut self) -> Option<Asked> {
        self.asked.take()
    }

    /// The documents of this exchange came.
    pub fn take_asked(&mut self, number: u64) -> Option<Asked> {
        self.asked.take_if(|asked| asked.number == number)
    }

    /// This replica has the peer's feed up to here, if nothing before is missing.
    pub fn record(&mut self, follows: bool, last: u64) {
        if follows {
            self.recorded = self.recorded.max(last);
        } else {
            (self.greet, self.anxious) = (true, true);
        }
    }

    /// Whether an exchange is of the life in which the peer is, as far as is known here.
    pub fn is_of_its_life(&self, number: u64) -> bool {
        number >> 32 == u64::from(self.life)
    }

    /// The peer greets from a life: an earlier one than is known, the same, or a later one, in which it has lost its memory.
    pub fn lives(&mut self, life: u32) -> Ordering {
        let order = life.cmp(&self.life);
        if order == Ordering::Greater {
            (self.life, self.recorded) = (life, 0);
            (self.asked, self.tells_all) = (None, false);
        }
        order
    }

    fn give_up(&mut self) {
        self.open = None;
        self.untold.append(&mut self.telling);
    }

    /// Everything on its way is gone.
    pub fn lost(&mut self) {
        self.give_up();
        self.asked = None;
        self.tells_all = false;
    }

    /// A link began.
    pub fn opened(&mut self) {
        self.greet = true;
    }

    pub fn pending(&self, transport: Transport) -> Pending {
        let owed = match (&self.open, transport) {
            (Some(open), Transport::Session) => self.owed.range(open.last + 1..).count(),
            _ => self.owed.len(),
        };
        let greets = u64::from(self.greet && self.anxious);
        Pending { edits: owed as u64 + greets, exchange_open: self.open.is_some() }
    }

    /// Records that it lacks.
    pub fn owed_records(&self) -> impl Iterator<Item = &RecordId> {
        self.owed.values()
    }

    /// Records in the bookkeeping.
    pub fn records(&self) -> u64 {
        (self.owed.len() + self.untold.len() + self.telling.len()) as u64
    }

    /// The same peer, seen by a replica in another life.
    pub fn reborn(&mut self, incarnation: u32, feed: impl Iterator<Item = (u64, RecordId)>) {
        self.lost();
        self.next_number = u64::from(incarnation) << 32;
        self.tell_from(0, feed);
        self.greet = true;
        self.anxious = true;
    }

    pub fn save(&self, out: &mut Writer) {
        out.replica(self.id);
        out.count(self.owed.len());
        for (seq, record) in &self.owed {
            out.uint(*seq);
            out.uint(u64::from(record.0));
        }
        for number in [self.through, self.next_number, self.expected, self.recorded] {
            out.uint(number);
        }
        out.uint(u64::from(self.life));
        let told = [self.from_start, self.promised_all];
        let flags = [self.greet, self.anxious, self.awaits_all, self.tells_all];
        for flag in told.into_iter().chain(flags) {
            out.byte(u8::from(flag));
        }
        for records in [&self.untold, &self.telling] {
            out.count(records.len());
            records.iter().for_each(|record| out.uint(u64::from(record.0)));
        }
        out.byte(u8::from(self.open.is_some()));
        if let Some(Exchange { number, last, listed, answered }) = &self.open {
            out.uint(*number);
            out.uint(*last);
            out.byte(u8::from(*answered));
            out.count(listed.len());
            for (record, rev) in listed {
                out.uint(u64::from(record.0));
                rev.write(out);
            }
        }
        out.byte(u8::from(self.asked.is_some()));
        if let Some(Asked { number, follows, last, is_end, told }) = &self.asked {
            out.uint(*number);
            out.uint(*last);
            out.byte(u8::from(*is_end) | u8::from(*follows) << 1);
            out.count(told.len());
            for Told { record, revs } in told {
                out.uint(u64::from(record.0));
                out.count(revs.len());
                revs.iter().for_each(|rev| rev.write(out));
            }
        }
    }

    pub fn restore(bytes: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut peer = Peer::new(bytes.replica()?, 0, 0);
        for _ in 0..bytes.count(2)? {
            peer.owed.insert(bytes.uint()?, RecordId(bytes.uint32()?));
        }
        peer.through = bytes.uint()?;
        peer.next_number = bytes.uint()?;
        peer.expected = bytes.uint()?;
        peer.recorded = bytes.uint()?;
        peer.life = bytes.uint32()?;
        peer.from_start = bytes.byte()? == 1;
        peer.promised_all = bytes.byte()? == 1;
        peer.greet = bytes.byte()? == 1;
        peer.anxious = bytes.byte()? == 1;
        peer.awaits_all = bytes.byte()? == 1;
        peer.tells_all = bytes.byte()? == 1;
        for records in [&mut peer.untold, &mut peer.telling] {
            for _ in 0..bytes.count(1)? {
                records.insert(RecordId(bytes.uint32()?));
            }
        }
        if bytes.byte()? == 1 {
            let (number, last) = (bytes.uint()?, bytes.uint()?);
            let answered = bytes.byte()? == 1;
            let mut listed = Vec::new();
            for _ in 0..bytes.count(1 + Rev::LEAST_BYTES)? {
                listed.push((RecordId(bytes.uint32()?), Rev::read(bytes)?));
            }
            peer.open = Some(Exchange { number, last, listed, answered });
        }
        if bytes.byte()? == 1 {
            let (number, last) = (bytes.uint()?, bytes.uint()?);
            let flags = bytes.byte()?;
            let (is_end, follows) = (flags & 1 == 1, flags & 2 == 2);
            let mut told = Vec::new();
            for _ in 0..bytes.count(2 + Rev::LEAST_BYTES)? {
                let record = RecordId(bytes.uint32()?);
                let revs = (0..bytes.count(Rev::LEAST_BYTES)?).map(|_| Rev::read(bytes));
                told.push(Told { record, revs: revs.collect::<Result<_, _>>()? });
            }
            peer.asked = Some(Asked { number, follows, last, is_end, told });
        }
        Ok(peer)
    }
}
