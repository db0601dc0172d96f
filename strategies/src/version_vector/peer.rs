//! What a replica remembers of a peer: which cells it is owed, and which of its puts are filed. No vectors are kept of peers, only which cells changed since they were
//! last sent and which are on their way.

use crate::contract::{Malformed, Pending, Transport};
use crate::document::{Cell, ReplicaId};
use crate::wire::{Reader, Writer};
use std::collections::{BTreeMap, BTreeSet};

/// One peer.
#[derive(Debug)]
pub struct Peer {
    pub id: ReplicaId,
    /// Cells that changed and were not sent since.
    changed: BTreeSet<Cell>,
    /// Cells that were sent and not acknowledged since, with the number of the first batch that carried their present state.
    in_flight: BTreeMap<Cell, u64>,
    next_batch: u64,
    /// Its puts below this serial number are filed here.
    next_put: u64,
    /// This replica came back without its memory and this peer does not know yet.
    pub asking: bool,
}

impl Peer {
    /// A peer that is owed nothing. Batches of another life of this replica are numbered far apart, so that a late
    /// acknowledgement is not taken for one of this life.
    pub fn new(id: ReplicaId, incarnation: u32) -> Self {
        Peer {
            id,
            changed: BTreeSet::new(),
            in_flight: BTreeMap::new(),
            next_batch: u64::from(incarnation) << 32,
            next_put: 0,
            asking: incarnation > 0,
        }
    }

    /// A cell changed.
    pub fn owe(&mut self, cell: Cell) {
        self.in_flight.remove(&cell);
        self.changed.insert(cell);
    }

    /// This peer turned out to know all there is to know of a cell.
    pub fn knows(&mut self, cell: Cell) {
        self.in_flight.remove(&cell);
        self.changed.remove(&cell);
    }

    /// What is to be sent now, by ascending cell, and under which number; `None` where nothing is. Over sessions what is on its way
    /// arrives or is lost noticeably; over datagrams it is sent again.
    pub fn take_batch(&mut self, transport: Transport) -> Option<(u64, Vec<Cell>)> {
        let changed = std::mem::take(&mut self.changed);
        let number = self.next_batch;
        let cells: Vec<Cell> = match transport {
            Transport::Session => changed.iter().copied().collect(),
            Transport::Datagram => {
                let again: BTreeSet<Cell> = self.in_flight.keys().copied().collect();
                again.union(&changed).copied().collect()
            }
        };
        self.in_flight.extend(changed.into_iter().map(|cell| (cell, number)));
        (!cells.is_empty()).then(|| {
            self.next_batch += 1;
            (number, cells)
        })
    }

    /// The peer has this batch. So it has every cell whose present state was first in this batch or an earlier one: over sessions
    /// the earlier ones arrived before, over datagrams this one held it too. Returns these cells.
    pub fn acknowledged(&mut self, batch: u64) -> Vec<Cell> {
        if batch >= self.next_batch {
            return Vec::new();
        }
        let has = |since: &u64| *since <= batch;
        let cells = self.in_flight.iter().filter(|(_, since)| has(since)).map(|(cell, _)| *cell);
        let cells = cells.collect();
        self.in_flight.retain(|_, since| !has(since));
        cells
    }

    /// Whether it is owed nothing of a cell, and nothing of it is on its way.
    pub fn is_even(&self, cell: Cell) -> bool {
        !self.changed.contains(&cell) && !self.in_flight.contains_key(&cell)
    }

    /// Whether a put of this peer is to be filed: each one is, once.
    pub fn files(&mut self, serial: u64) -> bool {
        let new = serial >= self.next_put;
        if new {
            self.next_put = serial + 1;
        }
        new
    }

    /// Everything on its way is gone.
    pub fn lost(&mut self) {
        let lost = std::mem::take(&mut self.in_flight);
        self.changed.extend(lost.into_keys());
    }

    pub fn pending(&self, transport: Transport) -> Pending {
        let in_flight = self.in_flight.len() as u64;
        let again = if transport == Transport::Datagram { in_flight } else { 0 };
        Pending {
            edits: self.changed.len() as u64 + again + u64::from(self.asking),
            exchange_open: in_flight > 0,
        }
    }

    /// Cells in the bookkeeping.
    pub fn cells(&self) -> impl Iterator<Item = Cell> {
        self.changed.iter().chain(self.in_flight.keys()).copied()
    }

    pub fn save(&self, out: &mut Writer) {
        out.replica(self.id);
        out.uint(self.next_batch);
        out.uint(self.next_put);
        out.byte(u8::from(self.asking));
        out.count(self.changed.len());
        self.changed.iter().for_each(|cell| out.cell(*cell));
        out.count(self.in_flight.len());
        for (cell, batch) in &self.in_flight {
            out.cell(*cell);
            out.uint(*batch);
        }
    }

    pub fn restore(bytes: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut peer = Peer::new(bytes.replica()?, 0);
        peer.next_batch = bytes.uint()?;
        peer.next_put = bytes.uint()?;
        peer.asking = bytes.byte()? == 1;
        for _ in 0..bytes.count(2)? {
            peer.changed.insert(bytes.cell()?);
        }
        for _ in 0..bytes.count(3)? {
            peer.in_flight.insert(bytes.cell()?, bytes.uint()?);
        }
        Ok(peer)
    }

    /// The same peer, seen by a replica in another life.
    pub fn reborn(mut self, incarnation: u32) -> Self {
        self.next_batch = u64::from(incarnation) << 32;
        self.asking = true;
        self.lost();
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{FieldId, RecordId};

    fn cell(record: u32) -> Cell {
        Cell { record: RecordId(record), field: FieldId(0) }
    }

    #[test]
    fn over_sessions_a_cell_is_sent_once_until_it_changes_or_is_lost() {
        let mut peer = Peer::new(ReplicaId(1), 0);
        let session = Transport::Session;
        peer.owe(cell(1));
        assert_eq!(peer.take_batch(session), Some((0, vec![cell(1)])));
        assert_eq!(peer.take_batch(session), None);
        assert_eq!(peer.pending(session), Pending { edits: 0, exchange_open: true });
        peer.owe(cell(1));
        peer.owe(cell(2));
        assert_eq!(peer.take_batch(session), Some((1, vec![cell(1), cell(2)])));
        peer.acknowledged(0);
        assert_eq!(peer.cells().count(), 2, "the first batch held neither as they are now");
        peer.lost();
        assert_eq!(peer.pending(session), Pending { edits: 2, exchange_open: false });
        assert_eq!(peer.take_batch(session), Some((2, vec![cell(1), cell(2)])));
        peer.acknowledged(2);
        assert_eq!(peer.pending(session), Pending::default());
    }

    #[test]
    fn over_datagrams_a_cell_is_sent_until_acknowledged() {
        let mut peer = Peer::new(ReplicaId(1), 0);
        let datagram = Transport::Datagram;
        peer.owe(cell(1));
        assert_eq!(peer.take_batch(datagram), Some((0, vec![cell(1)])));
        peer.owe(cell(2));
        assert_eq!(peer.take_batch(datagram), Some((1, vec![cell(1), cell(2)])));
        assert_eq!(peer.pending(datagram).edits, 2);
        peer.acknowledged(7);
        assert_eq!(peer.pending(datagram).edits, 2, "there was no such batch");
        peer.acknowledged(0);
        assert_eq!(peer.take_batch(datagram), Some((2, vec![cell(2)])));
        peer.acknowledged(1);
        assert_eq!(peer.pending(datagram), Pending::default());
    }
}
