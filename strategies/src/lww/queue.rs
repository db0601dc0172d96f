//! What one peer is owed: the places it lacks, the batches on their way to it, and which of its own batches have come.

use super::store::Place;
use crate::contract::Malformed;
use crate::wire::{Reader, Writer};
use std::collections::{BTreeMap, BTreeSet};

/// Something to tell a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Item {
    /// Please send everything: this replica has lost memory of what it had acknowledged.
    Everything,
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
    received: Window,
}

impl Queue {
    /// For a replica in its n-th incarnation: batch numbers do not repeat after lost memory.
    pub fn new(incarnation: u32) -> Self {
        let mut queue = Queue::default();
        queue.forget(incarnation);
        queue
    }

    /// Starts an incarnation that knows less than the one before had acknowledged.
    pub fn forget(&mut self, incarnation: u32) {
        if incarnation > 0 {
            self.next_batch = u64::from(incarnation) << 32;
            self.mark(Item::Everything);
        }
    }

    /// The peer lacks this.
    pub fn mark(&mut self, item: Item) {
        self.unacknowledged.remove(&item);
        self.dirty.insert(item);
    }

    /// The peer has this, or it no longer exists.
    pub fn settle(&mut self, place: Place) {
        let item = Item::Latest(place);
        self.dirty.remove(&item);
        self.unacknowledged.remove(&item);
    }

    /// Starts a batch, in ascending order: what is dirty, and with `again` what was sent and not acknowledged. `None` where there is
    /// nothing to say.
    pub fn batch(&mut self, again: bool) -> Option<(u64, Vec<Item>)> {
        let number = self.next_batch;
        let fresh = std::mem::take(&mut self.dirty);
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
        Some((number, items))
    }

    /// The peer has a batch. It then has the present value of whatever that batch or an earlier one was the first to carry: over
    /// sessions earlier batches came before it, over datagrams it repeated what they carried.
    pub fn acknowledged(&mut self, number: u64) -> Result<Vec<Item>, Malformed> {
        if number >= self.next_batch {
            return Err(Malformed("acknowledges what was not sent"));
        }
        let settled = self.unacknowledged.extract_if(.., |_, first| *first <= number);
        Ok(settled.map(|(item, _)| item).collect())
    }

    /// The session is gone, and perhaps what was on its way.
    pub fn lost(&mut self) {
        self.dirty.extend(std::mem::take(&mut self.unacknowledged).into_keys());
    }

    /// Notes that a batch of the peer came; false where it had come before.
    pub fn receive(&mut self, number: u64) -> bool {
        self.received.insert(number)
    }

    pub fn dirty(&self) -> u64 {
        self.dirty.len() as u64
    }

    pub fn unacknowledged(&self) -> u64 {
        self.unacknowledged.len() as u64
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
        writer.uint(self.received.end);
        writer.uint(self.received.seen);
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
        queue.received = Window { end: reader.uint()?, seen: reader.uint()? };
        Ok(queue)
    }
}

/// Which batches of a peer came, as far as 64 back; older ones count as new, which costs work but changes nothing.
#[derive(Debug, Default)]
struct Window {
    /// One more than the highest number that came; 0 before the first.
    end: u64,
    /// Bit n: number `end - 1 - n` came.
    seen: u64,
}

impl Window {
    fn insert(&mut self, number: u64) -> bool {
        let Some(end) = number.checked_add(1) else { return true };
        if end > self.end {
            let shift = u32::try_from(end - self.end).unwrap_or(u32::MAX);
            self.seen = self.seen.checked_shl(shift).unwrap_or(0) | 1;
            self.end = end;
            return true;
        }
        let back = self.end - end;
        if back >= 64 {
            return true;
        }
        let new = self.seen & 1 << back == 0;
        self.seen |= 1 << back;
        new
    }
}

impl Item {
    /// The place whose latest value it is.
    pub fn place(self) -> Option<Place> {
        match self {
            Item::Everything => None,
            Item::Latest(place) => Some(place),
        }
    }

    fn write(self, writer: &mut Writer) {
        match self {
            Item::Everything => writer.byte(0),
            Item::Latest(place) => {
                writer.byte(1);
                place.write(writer);
            }
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        match reader.byte()? {
            0 => Ok(Item::Everything),
            1 => Place::read(reader).map(Item::Latest),
            _ => Err(Malformed("unknown kind of item")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::RecordId;

    fn item(record: u32) -> Item {
        Item::Latest(Place::Record(RecordId(record)))
    }

    #[test]
    fn a_change_on_the_way_is_owed_again_and_an_old_acknowledgement_does_not_settle_it() {
        let mut queue = Queue::new(0);
        queue.mark(item(1));
        queue.mark(item(2));
        assert_eq!(queue.batch(false), Some((0, vec![item(1), item(2)])));
        queue.mark(item(2));
        assert_eq!(queue.batch(false), Some((1, vec![item(2)])));
        queue.acknowledged(0).unwrap();
        assert_eq!((queue.dirty(), queue.unacknowledged()), (0, 1), "record 2 is still owed");
        queue.lost();
        assert_eq!(queue.batch(false), Some((2, vec![item(2)])));
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
        assert_eq!(queue.batch(true), Some((1, vec![item(1), item(2)])));
        queue.acknowledged(0).unwrap();
        assert_eq!(queue.batch(true), Some((2, vec![item(2)])));
        queue.acknowledged(1).unwrap();
        assert_eq!(queue.batch(true), None);
    }

    #[test]
    fn a_window_knows_doubles_in_any_order() {
        let mut window = Window::default();
        for number in [0, 2, 1, 70, 69] {
            assert!(window.insert(number), "{number} is new");
            assert!(!window.insert(number), "{number} came twice");
        }
        assert!(window.insert(3), "too far back to know");
        assert!(window.insert(1 << 40));
        assert!(!window.insert(1 << 40));
        assert!(window.insert(u64::MAX), "cannot be counted past");
    }
}
