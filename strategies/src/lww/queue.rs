//! What one peer is owed: the places it lacks, the batches on their way to it, and which of its own batches have come.

use super::store::Place;
use crate::contract::Malformed;
use crate::wire::{Reader, Writer};
use std::collections::{BTreeMap, BTreeSet};

/// Something to tell a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Item {
    /// Please send everything.
    AskEverything,
    /// Please send a snapshot: this replica has lost memory of what it had acknowledged.
    AskSnapshot,
    /// Everything there is, so that the peer drops what is no more.
    Snapshot,
    /// The latest value of a place.
    Latest(Place),
}

/// Each item is in exactly one of three states: dirty, unacknowledged, or known to the peer (and then not in here). A change while a
/// batch is on its way makes the item dirty again, so that only the latest value is ever sent.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    dirty: BTreeSet<Item>,
    /// With the first batch that carries the present value.
    unacknowledged: BTreeMap<Item, u64>,
    next_batch: u64,
    /// One more than the latest batch that was taken: earlier ones hold nothing that it did not, or came before.
    received: u64,
    /// Batches below this that have not come are not taken any more: the peer will repeat what matters of them.
    floor: u64,
    /// Graves that the peer told of, with the batch, as long as it may tell of them again.
    told: BTreeMap<Place, u64>,
    /// The peer is presumed gone: nobody waits for it.
    gone: bool,
    /// Graves that the peer does not know were forgotten without it: what it sends may be long deleted, until it has taken a snapshot.
    estranged: bool,
    /// The peer has lost memory: that it lacks something says nothing, until it has taken a snapshot.
    forgetful: bool,
    /// This replica has lost memory, and no snapshot has come from the peer since.
    awaiting: bool,
}

/// A batch to send.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Batch {
    pub number: u64,
    /// Batches below this number will not be repeated.
    pub lowest: u64,
    /// What it carries, in ascending order.
    pub items: Vec<Item>,
    /// Whether it is the first to carry a snapshot.
    pub first_snapshot: bool,
}

/// What to do with a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// It is new.
    Take,
    /// It has come before, or what it holds: its sender may not know.
    Known,
    /// It comes too late.
    Late,
}

impl Queue {
    /// For a replica in its n-th incarnation: batch numbers do not repeat after lost memory.
    pub fn new(incarnation: u32) -> Self {
        let mut queue = Queue::default();
        queue.begin(incarnation);
        queue
    }

    /// Starts an incarnation that knows less than the one before had acknowledged.
    pub fn begin(&mut self, incarnation: u32) {
        if incarnation > 0 {
            self.next_batch = u64::from(incarnation) << 32;
            self.awaiting = true;
            self.mark(Item::AskSnapshot);
        }
    }

    /// The peer has lost memory. What it was asked for before may be among that.
    pub fn begin_again(&mut self) {
        self.estrange();
        self.forgetful = true;
        if self.awaiting && !self.has(Item::AskSnapshot) {
            self.mark(Item::AskSnapshot);
        }
    }

    /// The peer lacks this.
    pub fn mark(&mut self, item: Item) {
        self.unacknowledged.remove(&item);
        self.dirty.insert(item);
    }

    /// The peer turned out to lack this.
    pub fn repair(&mut self, place: Place) {
        if !self.owes(place) {
            self.mark(Item::Latest(place));
        }
    }

    /// The peer has this, or it no longer exists.
    pub fn settle(&mut self, place: Place) {
        self.drop_item(Item::Latest(place));
    }

    fn drop_item(&mut self, item: Item) {
        self.dirty.remove(&item);
        self.unacknowledged.remove(&item);
    }

    fn has(&self, item: Item) -> bool {
        self.dirty.contains(&item) || self.unacknowledged.contains_key(&item)
    }

    /// Whether the peer may lack the latest of a place.
    pub fn owes(&self, place: Place) -> bool {
        self.has(Item::Latest(place))
    }

    /// Whether a grave must stay for the peer: it may not know of it, or may tell of it again, which then would be news.
    pub fn needs(&self, grave: Place) -> bool {
        self.owes(grave) || self.told.contains_key(&grave) || self.has(Item::Snapshot)
    }

    /// The peer told of a grave.
    pub fn was_told(&mut self, grave: Place, batch: u64) {
        self.told.insert(grave, batch);
    }

    /// Forgets a grave. A peer that needed it is estranged by that.
    pub fn forget(&mut self, grave: Place) {
        if self.needs(grave) {
            self.estrange();
        }
        self.settle(grave);
        self.told.remove(&grave);
    }

    /// From here on nothing is taken from the peer until it has taken a snapshot.
    pub fn estrange(&mut self) {
        self.estranged = true;
        self.mark(Item::Snapshot);
    }

    pub fn is_estranged(&self) -> bool {
        self.estranged
    }

    pub fn is_forgetful(&self) -> bool {
        self.forgetful
    }

    /// Whether a snapshot is to come because this replica has lost memory.
    pub fn is_awaiting(&self) -> bool {
        self.awaiting
    }

    pub fn set_gone(&mut self, gone: bool) {
        self.gone = gone;
    }

    pub fn is_gone(&self) -> bool {
        self.gone
    }

    /// Whether a snapshot was sent that has not been acknowledged.
    pub fn snapshot_is_under_way(&self) -> bool {
        self.unacknowledged.contains_key(&Item::Snapshot)
    }

    /// Starts a batch: what is dirty, and with `again` what was sent and not acknowledged. `None` where there is nothing to say.
    pub fn batch(&mut self, again: bool) -> Option<Batch> {
        let number = self.next_batch;
        let waiting = if again { None } else { self.unacknowledged.values().min().copied() };
        let fresh = std::mem::take(&mut self.dirty);
        let first_snapshot = fresh.contains(&Item::Snapshot);
        self.unacknowledged.extend(fresh.iter().map(|item| (*item, number)));
        let items: Vec<Item> = if again {
            self.unacknowledged.keys().copied().collect()
        } else {
            fresh.into_iter().collect()
        };
        if items.is_empty() {
            return None;
        }
        self.next_batch += 1;
        Some(Batch { number, lowest: waiting.unwrap_or(number), items, first_snapshot })
    }

    /// The peer has a batch. It then has the present value of whatever that batch or an earlier one was the first to carry: over
    /// sessions earlier batches came before it, over datagrams it repeated what they carried.
    pub fn acknowledged(&mut self, number: u64) -> Result<Vec<Item>, Malformed> {
        if number >= self.next_batch {
            return Err(Malformed("acknowledges what was not sent"));
        }
        let settled = self.unacknowledged.extract_if(.., |_, first| *first <= number);
        let settled: Vec<Item> = settled.map(|(item, _)| item).collect();
        if settled.contains(&Item::Snapshot) {
            (self.estranged, self.forgetful) = (false, false);
        }
        Ok(settled)
    }

    /// The session is gone, and perhaps what was on its way.
    pub fn lost(&mut self) {
        self.dirty.extend(std::mem::take(&mut self.unacknowledged).into_keys());
    }

    /// A snapshot came from the peer, which had taken this replica's batches below `received` by then and ignores all others that are on
    /// their way but for a snapshot: if that were begun anew too, two that speak at the same time would never be done.
    pub fn rejoin(&mut self, received: u64) -> Result<(), Malformed> {
        if let Some(last) = received.checked_sub(1) {
            self.acknowledged(last)?;
        }
        let snapshot = self.unacknowledged.get(&Item::Snapshot).copied();
        let ignored = self.unacknowledged.extract_if(.., |_, first| Some(*first) != snapshot);
        self.dirty.extend(ignored.map(|(item, _)| item));
        self.awaiting = false;
        self.drop_item(Item::AskSnapshot);
        Ok(())
    }

    /// What a batch of the peer is.
    pub fn arrival(&self, number: u64) -> Arrival {
        if number < self.received {
            Arrival::Known
        } else if number < self.floor {
            Arrival::Late
        } else {
            Arrival::Take
        }
    }

    /// Notes that a batch was taken, after which the peer will not repeat those below `lowest`; gives back the graves that it so will not tell
    /// of again.
    pub fn took(&mut self, number: u64, lowest: u64) -> Vec<Place> {
        self.received = number.saturating_add(1);
        let over = self.told.extract_if(.., |_, batch| *batch < lowest);
        over.map(|(place, _)| place).collect()
    }

    /// Whatever has not come yet of the batches below a number is not taken any more.
    pub fn raise_floor(&mut self, floor: u64) {
        self.floor = self.floor.max(floor);
    }

    /// One more than the latest batch that was taken.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// The number of the next batch to send.
    pub fn next_batch(&self) -> u64 {
        self.next_batch
    }

    pub fn dirty(&self) -> u64 {
        self.dirty.len() as u64
    }

    pub fn unacknowledged(&self) -> u64 {
        self.unacknowledged.len() as u64
    }

    /// Bytes in fixed-width form.
    pub fn bytes(&self) -> u64 {
        (self.dirty() + self.unacknowledged() + self.told.len() as u64) * 6
    }

    pub fn save(&self, writer: &mut Writer) {
        writer.count(self.dirty.len());
        self.dirty.iter().for_each(|item| item.write(writer));
        writer.count(self.unacknowledged.len());
        for (item, first) in &self.unacknowledged {
            item.write(writer);
            writer.uint(*first);
        }
        writer.uint(self.next_batch);
        writer.uint(self.received);
        writer.uint(self.floor);
        writer.count(self.told.len());
        for (place, batch) in &self.told {
            place.write(writer);
            writer.uint(*batch);
        }
        let flags = [self.gone, self.estranged, self.forgetful, self.awaiting];
        writer.byte(flags.iter().rev().fold(0, |all, flag| all << 1 | u8::from(*flag)));
    }

    pub fn restore(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut queue = Queue::default();
        for _ in 0..reader.count(1)? {
            queue.dirty.insert(Item::read(reader)?);
        }
        for _ in 0..reader.count(2)? {
            let item = Item::read(reader)?;
            queue.unacknowledged.insert(item, reader.uint()?);
        }
        queue.next_batch = reader.uint()?;
        queue.received = reader.uint()?;
        queue.floor = reader.uint()?;
        for _ in 0..reader.count(3)? {
            queue.told.insert(Place::read(reader)?, reader.uint()?);
        }
        let flags = reader.byte()?;
        if flags > 15 {
            return Err(Malformed("unknown flags of a peer"));
        }
        (queue.gone, queue.estranged) = (flags & 1 != 0, flags & 2 != 0);
        (queue.forgetful, queue.awaiting) = (flags & 4 != 0, flags & 8 != 0);
        Ok(queue)
    }
}

impl Item {
    /// The place whose latest value it is.
    pub fn place(self) -> Option<Place> {
        match self {
            Item::Latest(place) => Some(place),
            _ => None,
        }
    }

    fn write(self, writer: &mut Writer) {
        match self {
            Item::AskEverything => writer.byte(0),
            Item::AskSnapshot => writer.byte(1),
            Item::Snapshot => writer.byte(2),
            Item::Latest(place) => {
                writer.byte(3);
                place.write(writer);
            }
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        match reader.byte()? {
            0 => Ok(Item::AskEverything),
            1 => Ok(Item::AskSnapshot),
            2 => Ok(Item::Snapshot),
            3 => Place::read(reader).map(Item::Latest),
            _ => Err(Malformed("unknown kind of item")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::RecordId;

    fn place(record: u32) -> Place {
        Place::Record(RecordId(record))
    }

    fn item(record: u32) -> Item {
        Item::Latest(place(record))
    }

    fn batch(number: u64, lowest: u64, items: &[Item]) -> Option<Batch> {
        Some(Batch { number, lowest, items: items.to_vec(), first_snapshot: false })
    }

    #[test]
    fn a_change_on_the_way_is_owed_again_and_an_old_acknowledgement_does_not_settle_it() {
        let mut queue = Queue::new(0);
        queue.mark(item(1));
        queue.mark(item(2));
        assert_eq!(queue.batch(false), batch(0, 0, &[item(1), item(2)]));
        queue.mark(item(2));
        assert_eq!(queue.batch(false), batch(1, 0, &[item(2)]));
        assert_eq!(queue.acknowledged(0), Ok(vec![item(1)]));
        assert_eq!((queue.dirty(), queue.unacknowledged()), (0, 1), "record 2 is still owed");
        queue.lost();
        assert_eq!(queue.batch(false), batch(2, 2, &[item(2)]));
        queue.acknowledged(2).unwrap();
        assert_eq!(queue.batch(false), None);
        assert!(queue.acknowledged(3).is_err(), "never sent");
    }

    #[test]
    fn over_datagrams_any_batch_that_carries_the_present_value_settles_it() {
        let mut queue = Queue::new(0);
        queue.mark(item(1));
        queue.batch(true);
        queue.mark(item(2));
        assert_eq!(queue.batch(true), batch(1, 1, &[item(1), item(2)]));
        queue.acknowledged(0).unwrap();
        assert_eq!(queue.batch(true), batch(2, 2, &[item(2)]));
        queue.acknowledged(1).unwrap();
        assert_eq!(queue.batch(true), None);
    }

    #[test]
    fn doubles_are_known_and_what_an_acknowledgement_overtook_is_late() {
        let mut queue = Queue::new(0);
        assert_eq!(queue.arrival(4), Arrival::Take);
        queue.took(4, 4);
        assert_eq!((queue.arrival(4), queue.arrival(2)), (Arrival::Known, Arrival::Known));
        queue.raise_floor(7);
        assert_eq!((queue.arrival(6), queue.arrival(7)), (Arrival::Late, Arrival::Take));
    }

    #[test]
    fn a_grave_stays_while_the_peer_may_lack_it_or_tell_of_it_again() {
        let mut queue = Queue::new(0);
        queue.mark(item(1));
        assert!(queue.needs(place(1)));
        queue.batch(false);
        queue.acknowledged(0).unwrap();
        assert!(!queue.needs(place(1)));
        queue.was_told(place(1), 5);
        assert!(queue.needs(place(1)), "its acknowledgement may not have come");
        assert_eq!(queue.took(8, 5), [], "batch 5 may be repeated");
        assert_eq!(queue.took(9, 9), [place(1)]);
        assert!(!queue.needs(place(1)));
    }
}
