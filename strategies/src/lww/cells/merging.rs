//! What comes from others: cells, critical cells, tombstones.

use super::Cells;
use crate::contract::{Change, Outbox, WallTime};
use crate::document::{Cell, EditId, RecordId};
use crate::lineage::Lineage;
use crate::lww::ids;
use crate::lww::siblings::Held;
use crate::lww::stamp::{Stamp, StampSource};
use crate::lww::store::{News, Outcome, Place, cells_of};
use crate::lww::updates::{RawContent, RawSiblings, Tombstone, Updates};
use std::cmp::Ordering;

impl Cells {
    /// The stamp under which a received write is merged; `None` where the authority has taken it before.
    pub(super) fn admit(&mut self, stamp: Stamp, arrived: u64) -> Option<Stamp> {
        match stamp.pending() {
            Some(number) if self.decides() => (number > arrived).then(|| self.clock.number(stamp)),
            _ => Some(stamp),
        }
    }

    pub(super) fn decides(&self) -> bool {
        self.rules.source == StampSource::Arrival { decides: true }
    }

    pub(super) fn merge_tombstone(
        &mut self,
        record: RecordId,
        new: Tombstone,
        arrived: u64,
        out: &mut Outbox,
    ) -> Outcome {
        out.work(1);
        let place = Place::Record(record);
        match new.stamp.cmp(&standing(self.tombstone_stamp(record), arrived)) {
            Ordering::Less => {
                let by = self.tombstones[&record].edit;
                if let (Some(edit), Some(by)) = (new.edit, by) {
                    out.change(Change::Replaced { edit, by });
                }
                Outcome::of(place, News::Stale)
            }
            Ordering::Equal => Outcome { grave: true, ..Outcome::of(place, News::Same) },
            Ordering::Greater => {
                let known = self.tombstones.get(&record).and_then(|old| old.edit);
                if let Some(edit) = new.edit.filter(|_| new.edit != known) {
                    out.change(Change::Applied { edit });
                }
                let dropped = self.bury(record, new, out);
                Outcome { dropped, grave: true, ..Outcome::of(place, News::Taken) }
            }
        }
    }

    /// Puts up a tombstone, newer than the one that is there, and drops what it hides.
    pub(super) fn bury(&mut self, record: RecordId, new: Tombstone, out: &mut Outbox) -> Vec<Cell> {
        if let Some(edit) = self.tombstones.insert(record, new).and_then(|old| old.edit)
            && let Some(by) = new.edit.filter(|by| *by != edit)
        {
            out.change(Change::Replaced { edit, by });
        }
        let cells = self.cells.range(cells_of(record));
        let hidden = cells.filter(|(_, held)| held.stamp < new.stamp).map(|(cell, _)| *cell);
        let dropped: Vec<Cell> = hidden.collect();
        dropped.iter().for_each(|cell| self.drop_cell(*cell, new.edit, out));
        out.work(1 + dropped.len() as u64);
        dropped
    }

    pub(super) fn drop_cell(&mut self, cell: Cell, by: Option<EditId>, out: &mut Outbox) {
        let Some(held) = self.cells.remove(&cell) else { return };
        self.content_bytes -= held.content.bytes();
        self.digests.touch(cell);
        for edit in held.lineage.iter() {
            if let Some(by) = by {
                out.change(Change::Replaced { edit, by });
            }
        }
    }

    pub(super) fn merge_cells(
        &mut self,
        wall: WallTime,
        updates: &Updates<'_>,
        before: u64,
        unloader: &mut ids::Unloader<'_>,
        out: &mut Outbox,
        each: &mut impl FnMut(Outcome),
    ) {
        let held = self.held_stamps(updates);
        for (n, &(cell, stamp, content)) in updates.cells.iter().enumerate() {
            let ids = unloader.element(updates.tombstones.len() + n);
            let place = Place::Cell(cell);
            let Some(stamp) = self.admit(stamp, before) else {
                each(Outcome::of(place, News::Stale));
                continue;
            };
            self.clock.observe(stamp, wall);
            let tombstone = standing(self.tombstone_stamp(cell.record), updates.arrived);
            let news = match stamp.cmp(&standing(held[n], updates.arrived)) {
                _ if stamp < tombstone => News::Stale,
                Ordering::Less => News::Stale,
                Ordering::Equal => News::Same,
                Ordering::Greater => News::Taken,
            };
            match news {
                News::Stale => self.report_loser(cell, &ids::lineage(ids), out),
                News::Taken => self.take(cell, stamp, content, ids::lineage(ids), out),
                News::Same | News::Joined => {}
            }
            each(Outcome::of(place, news));
        }
        // To compare two stamps is a quarter of a unit.
        out.work(1 + updates.cells.len() as u64 / 4);
    }

    /// The stamps of the cells that a message speaks of. A few are looked up; for most of the document one walks along it.
    fn held_stamps(&self, updates: &Updates<'_>) -> Vec<Stamp> {
        let cells = updates.cells.iter().map(|(cell, ..)| *cell);
        if cells.len() < self.cells.len() / 8 {
            return cells.map(|cell| self.held_stamp(cell)).collect();
        }
        let mut along = self.cells.iter().peekable();
        cells
            .map(|cell| {
                while along.next_if(|(held, _)| **held < cell).is_some() {}
                let here = along.next_if(|(held, _)| **held == cell);
                here.map_or(Stamp::GENESIS, |(_, held)| held.stamp)
            })
            .collect()
    }

    /// Reports the edits that arrived in a value which is older than what is here.
    fn report_loser(&self, cell: Cell, lineage: &Lineage, out: &mut Outbox) {
        let nothing = Lineage::new();
        let (held, by) = match self.cells.get(&cell) {
            Some(held) => (&held.lineage, held.head()),
            None => (&nothing, self.tombstones.get(&cell.record).and_then(|t| t.edit)),
        };
        if let Some(by) = by {
            for edit in lineage.minus(held) {
                out.change(Change::Replaced { edit, by });
            }
        }
    }

    /// Puts a newer value in the place of the one that is here.
    fn take(
        &mut self,
        cell: Cell,
        stamp: Stamp,
        content: RawContent<'_>,
        lineage: Lineage,
        out: &mut Outbox,
    ) {
        let new = Held { stamp, content: content.to_content(), lineage };
        out.work_bytes(content.len());
        self.content_bytes += new.content.bytes();
        self.digests.touch(cell);
        let by = new.head();
        let Some(held) = self.cells.get_mut(&cell) else {
            new.lineage.iter().for_each(|edit| out.change(Change::Applied { edit }));
            self.cells.insert(cell, new);
            return;
        };
        self.content_bytes -= held.content.bytes();
        for edit in new.lineage.minus(&held.lineage) {
            out.change(Change::Applied { edit });
        }
        if let Some(by) = by {
            for edit in held.lineage.minus(&new.lineage) {
                out.change(Change::Replaced { edit, by });
            }
        }
        *held = new;
    }

    pub(super) fn merge_critical(
        &mut self,
        wall: WallTime,
        cell: Cell,
        raw: &RawSiblings<'_>,
        (unloader, element): (&mut ids::Unloader<'_>, &mut usize),
        out: &mut Outbox,
    ) -> Outcome {
        raw.seen.iter().for_each(|stamp| self.clock.observe(stamp, wall));
        let mut next = || {
            *element += 1;
            unloader.element(*element - 1)
        };
        let emptied = ids::one(next());
        let theirs = raw.to_siblings(emptied, || ids::lineage(next()));
        out.work(1 + theirs.versions().len() as u64);
        out.work_bytes(theirs.content_bytes() as usize);
        let siblings = self.critical.entry(cell).or_default();
        self.content_bytes -= siblings.content_bytes();
        let news = siblings.merge(cell, theirs, out);
        self.content_bytes += siblings.content_bytes();
        let grave = siblings.versions().is_empty();
        if matches!(news, News::Taken | News::Joined) {
            self.digests.touch(cell);
        }
        Outcome { grave, ..Outcome::of(Place::Cell(cell), news) }
    }
}

/// The stamp with which what is here stands against what a peer tells: the lowest of all where it is an own write that had arrived before the
/// peer spoke.
fn standing(held: Stamp, arrived: u64) -> Stamp {
    match held.pending() {
        Some(number) if number <= arrived => Stamp::GENESIS,
        _ => held,
    }
}
