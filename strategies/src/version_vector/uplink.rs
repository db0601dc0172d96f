//! The way of a replica's own edits to the replica that coordinates them.
//!
//! Drafts are numbered when they are first sent, and are sent again until the coordinator says up to which number it has filed them. It
//! remembers that number for each author, so that what comes twice is filed once.

use super::entry::Draft;
use crate::contract::{Malformed, Pending, Transport};
use crate::document::{Cell, ReplicaId};
use crate::wire::{Reader, Writer};
use std::collections::{BTreeMap, BTreeSet};

/// Drafts by cell, as far as the coordinator is concerned.
#[derive(Debug)]
pub struct Uplink {
    /// Who coordinates this replica's edits.
    pub coordinator: ReplicaId,
    next_serial: u64,
    /// Sent and not known to be filed.
    sent: BTreeMap<u64, Cell>,
    /// What was sent was lost with its session.
    again: bool,
    /// Cells with drafts that may be sent.
    ready: BTreeSet<Cell>,
}

impl Uplink {
    /// Drafts of another life of this replica are numbered far apart, so that they are not taken for those of this life.
    pub fn new(coordinator: ReplicaId, incarnation: u32) -> Self {
        Uplink {
            coordinator,
            next_serial: u64::from(incarnation) << 32,
            sent: BTreeMap::new(),
            again: false,
            ready: BTreeSet::new(),
        }
    }

    /// A cell has drafts that were never sent, and none on the way.
    pub fn is_ready(&mut self, cell: Cell) {
        self.ready.insert(cell);
    }

    /// Drafts sent before that are to be sent once more.
    pub fn again(&mut self, transport: Transport) -> Vec<(u64, Cell)> {
        let again = std::mem::take(&mut self.again) || transport == Transport::Datagram;
        let sent = self.sent.iter().filter(|_| again);
        sent.map(|(serial, cell)| (*serial, *cell)).collect()
    }

    /// Cells whose drafts are to be sent for the first time.
    pub fn take_ready(&mut self) -> BTreeSet<Cell> {
        std::mem::take(&mut self.ready)
    }

    /// Numbers a draft that is being sent.
    pub fn number(&mut self, cell: Cell, draft: &mut Draft) -> u64 {
        let serial = self.next_serial;
        self.next_serial += 1;
        self.sent.insert(serial, cell);
        draft.serial = Some(serial);
        serial
    }

    /// All drafts up to this one are filed. Returns their cells.
    pub fn filed(&mut self, serial: u64) -> BTreeSet<Cell> {
        let open = self.sent.split_off(&serial.saturating_add(1));
        std::mem::replace(&mut self.sent, open).into_values().collect()
    }

    /// Everything on its way is gone.
    pub fn lost(&mut self) {
        self.again = !self.sent.is_empty();
    }

    pub fn pending(&self, transport: Transport) -> Pending {
        let on_the_way = self.sent.len() as u64;
        let again = self.again || transport == Transport::Datagram;
        Pending {
            edits: self.ready.len() as u64 + if again { on_the_way } else { 0 },
            exchange_open: on_the_way > 0 && !self.again,
        }
    }

    /// The same, in another life of this replica.
    pub fn reborn(&mut self, incarnation: u32) {
        self.next_serial = u64::from(incarnation) << 32;
        self.lost();
    }

    /// What cannot be told from the drafts themselves.
    pub fn save(&self, out: &mut Writer) {
        out.uint(self.next_serial);
        out.byte(u8::from(self.again));
    }

    /// Reads what [`Uplink::save`] wrote; the drafts of each cell are to be told by [`Uplink::restore_draft`].
    pub fn restore(coordinator: ReplicaId, bytes: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut uplink = Uplink::new(coordinator, 0);
        uplink.next_serial = bytes.uint()?;
        if uplink.next_serial == u64::MAX {
            return Err(Malformed("serial number out of range"));
        }
        uplink.again = bytes.byte()? == 1;
        Ok(uplink)
    }

    pub fn restore_draft(&mut self, cell: Cell, draft: &Draft) -> Result<(), Malformed> {
        match draft.serial {
            Some(serial) if serial >= self.next_serial => Err(Malformed("a draft from the future")),
            Some(serial) => match self.sent.insert(serial, cell) {
                None => Ok(()),
                Some(_) => Err(Malformed("two drafts of one number")),
            },
            None => Ok(()),
        }
    }
}
