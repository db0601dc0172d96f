//! What a replica knows of each neighbour, and what it has to tell them.

use super::update::Update;
use crate::document::ReplicaId;
use std::collections::VecDeque;

/// Messages under way that are remembered; the acknowledgement of an older one is not understood any more.
const MOST_UNDER_WAY: usize = 16;

/// A message that awaits its acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnderWay {
    /// Its number.
    pub serial: u64,
    /// The end of the log when it was sent: all of that the peer has once it has the message.
    pub log: u64,
    /// How many edits were known when it was sent.
    pub edits: usize,
}

/// A neighbour.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// In which of its lives it was last heard.
    pub incarnation: u32,
    /// Its state was asked for and not told yet.
    pub asked: bool,
    /// It told all it has since the link began.
    pub heard: bool,
    /// It has, or is about to get, all of the log up to `sent` (over datagrams: `acked`), so that what follows can be sent as it is.
    pub steady: bool,
    /// The log up to here was sent.
    pub sent: u64,
    /// The log up to here arrived.
    pub acked: u64,
    /// Entries from `acked` on that the peer has anyway; ascending.
    pub has: VecDeque<u64>,
    /// Edits whose ids were sent, in the order of learning.
    pub told: usize,
    /// Edits whose ids arrived.
    pub told_surely: usize,
    /// Number of the last message to it.
    pub serial: u64,
    /// Messages under way, in order.
    pub under_way: VecDeque<UnderWay>,
}

impl Peer {
    /// A neighbour that was never met, by a replica in one of its lives. An acknowledgement meant for an earlier life names no
    /// message of this one.
    pub fn new(own_incarnation: u32) -> Self {
        Peer { serial: u64::from(own_incarnation) << 32, ..Peer::default() }
    }

    /// The link is gone, with all that was under way.
    pub fn lost(&mut self) {
        (self.asked, self.heard, self.steady) = (false, false, false);
        (self.sent, self.told) = (self.acked, self.told_surely);
        self.under_way.clear();
    }

    /// The peer lost its memory: whatever it told before is void.
    pub fn forgot(&mut self, incarnation: u32) {
        *self = Peer { incarnation, serial: self.serial, asked: self.asked, ..Peer::default() };
    }

    /// Numbers the next message.
    pub fn send(&mut self, log: u64, edits: usize) -> u64 {
        self.serial += 1;
        (self.sent, self.told) = (log, edits);
        if self.under_way.len() == MOST_UNDER_WAY {
            self.under_way.pop_front();
        }
        self.under_way.push_back(UnderWay { serial: self.serial, log, edits });
        self.serial
    }

    /// A message arrived there. Whether it was under way.
    pub fn arrived(&mut self, serial: u64) -> bool {
        let Some(at) = self.under_way.iter().position(|message| message.serial == serial) else {
            return false;
        };
        let message = self.under_way[at];
        self.under_way.retain(|other| other.log > message.log || other.serial > serial);
        self.acked = self.acked.max(message.log);
        self.told_surely = self.told_surely.max(message.edits);
        self.sent = self.sent.max(self.acked);
        while self.has.front().is_some_and(|has| *has < self.acked) {
            self.has.pop_front();
        }
        true
    }

    /// The peer has an entry of the log.
    pub fn has(&mut self, entry: u64) {
        let at = self.has.partition_point(|has| *has < entry);
        if entry >= self.acked && self.has.get(at) != Some(&entry) {
            self.has.insert(at, entry);
        }
    }

    /// Entries from a position to the end that the peer lacks.
    pub fn lacks(&self, from: u64, end: u64) -> u64 {
        let has = self.has.len() - self.has.partition_point(|has| *has < from);
        end.saturating_sub(from) - has as u64
    }
}

/// Something that was learnt: by an edit here, or from a neighbour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What.
    pub update: Update,
    /// How long it is, written; for the footprint.
    pub bytes: u64,
}

/// What was learnt, in order, as far back as somebody may have to be told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log {
    /// Position of the first entry.
    pub start: u64,
    /// The entries.
    pub entries: VecDeque<Entry>,
}

impl Log {
    /// The position behind the last entry.
    pub fn end(&self) -> u64 {
        self.start + self.entries.len() as u64
    }

    /// Entries from a position on.
    pub fn since(&self, from: u64) -> impl Iterator<Item = (u64, &Entry)> {
        let skip = from.saturating_sub(self.start) as usize;
        (self.start..).zip(&self.entries).skip(skip)
    }

    /// Forgets the entries before a position.
    pub fn forget_before(&mut self, position: u64) {
        while self.start < position && self.entries.pop_front().is_some() {
            self.start += 1;
        }
    }

    /// One update that says what the entries from a position on say, but those the reader has. All of them where it cannot be said
    /// without: an update leaves out no item between others of one client.
    pub fn joined(&self, from: u64, has: &VecDeque<u64>) -> Update {
        let mut joined = Update::default();
        let lacks = |at: &u64| has.binary_search(at).is_err();
        let mut entries = self.since(from).filter(|(at, _)| lacks(at));
        if !entries.all(|(_, entry)| joined.append(&entry.update)) {
            joined = Update::default();
            for (_, entry) in self.since(from) {
                let whole = joined.append(&entry.update);
                debug_assert!(whole, "the log leaves nothing out");
            }
        }
        joined.join_blocks();
        joined
    }
}

/// The name of the peer that is not there.
pub const STRANGER: &str = "from somebody who is no neighbour";

/// A neighbour's name and what is known of it.
pub type Named = (ReplicaId, Peer);
