//! The document where each field wins on its own: one stamped value per cell, one stamped tombstone per deleted record. Merging takes
//! the greater stamp of each, so any order, any number of times, ends in the same document.
//!
//! A tombstone hides whatever of its record is stamped below it. Values stamped later survive it or come back, each as a whole.
//!
//! Where an authority orders writes by their arrival, it gives each that arrives the next number for a stamp. A client's own writes stand
//! above all others until it learns their numbers: they will arrive later than whatever it is told meanwhile. Only what is told after
//! a write has arrived may take its place; each message says up to which of the receiver's writes that is.

mod merging;

use crate::contract::{Cargo, Change, Footprint, Malformed, Outbox, Seat, WallTime};
use crate::document::{
    Cell, Content, Edit, EditId, FieldKind, PartitionId, RecordId, Rendering, ReplicaId, Schema,
    Scope,
};
use crate::lineage::Lineage;
use crate::lww::digests::Digests;
use crate::lww::ids;
use crate::lww::siblings::{Held, Siblings};
use crate::lww::stamp::{Stamp, StampClock};
use crate::lww::store::{
    News, Outcome, Place, Receipts, Rules, Store, cells_in, cells_of, edit_value, stand_on, target,
};
use crate::lww::updates::{Selection, Tombstone, Updates};
use crate::wire::{Reader, Writer};
use std::collections::{BTreeMap, BTreeSet};

/// One replica's copy.
#[derive(Debug)]
pub(crate) struct Cells {
    schema: Schema,
    rules: Rules,
    clock: StampClock,
    cells: BTreeMap<Cell, Held>,
    tombstones: BTreeMap<RecordId, Tombstone>,
    /// Cells that are in no other table.
    critical: BTreeMap<Cell, Siblings>,
    /// At the authority: the number up to which it has taken each client's writes.
    arrived: BTreeMap<ReplicaId, u64>,
    /// The latest time of a grave that was forgotten.
    forgotten: u64,
    digests: Digests,
    /// Sum over all cells.
    content_bytes: u64,
}

impl Cells {
    fn empty(seat: &Seat<'_>, rules: Rules) -> Self {
        Cells {
            schema: seat.schema.clone(),
            rules,
            clock: StampClock::new(rules.source, seat.replica, seat.incarnation),
            cells: BTreeMap::new(),
            tombstones: BTreeMap::new(),
            critical: BTreeMap::new(),
            arrived: BTreeMap::new(),
            forgotten: 0,
            digests: Digests::default(),
            content_bytes: 0,
        }
    }

    /// Writes all that is here.
    pub fn write_all(&self, writer: &mut Writer, cargo: &mut Cargo) {
        let selection = Selection {
            arrived: 0,
            tombstones: self.tombstones.iter().map(|(record, t)| (*record, t)).collect(),
            cells: self.cells.iter().map(|(cell, held)| (*cell, held)).collect(),
            critical: self.critical.iter().map(|(cell, s)| (*cell, s)).collect(),
        };
        selection.write(self.rules, writer, cargo);
    }

    fn asks_about(&self, cell: Cell) -> bool {
        self.rules.asks && self.schema.is_critical(cell.field)
    }

    fn delete(
        &mut self,
        wall: WallTime,
        id: EditId,
        record: RecordId,
        out: &mut Outbox,
    ) -> Outcome {
        let cells = self.cells.range(cells_of(record)).map(|(_, held)| held.stamp.time);
        let seen = cells.max().unwrap_or(0).max(self.tombstone_stamp(record).time);
        let stamp = self.clock.stamp(wall, seen);
        let dropped = self.bury(record, Tombstone { stamp, edit: Some(id) }, out);
        let mut emptied = Vec::new();
        for (cell, siblings) in self.critical.range_mut(cells_of(record)) {
            self.content_bytes -= siblings.content_bytes();
            out.work(siblings.versions().len() as u64);
            if siblings.empty(id, out) {
                self.digests.touch(*cell);
                emptied.push(*cell);
            }
        }
        Outcome { dropped, emptied, grave: true, ..Outcome::of(Place::Record(record), News::Taken) }
    }

    fn held_stamp(&self, cell: Cell) -> Stamp {
        self.cells.get(&cell).map_or(Stamp::GENESIS, |held| held.stamp)
    }

    fn tombstone_stamp(&self, record: RecordId) -> Stamp {
        self.tombstones.get(&record).map_or(Stamp::GENESIS, |tombstone| tombstone.stamp)
    }

    fn stamp_of(&self, place: Place) -> Stamp {
        match place {
            Place::Record(record) => self.tombstone_stamp(record),
            Place::Cell(cell) => self.held_stamp(cell),
        }
    }

    fn edit_critical(
        &mut self,
        wall: WallTime,
        (cell, kind): (Cell, FieldKind),
        id: EditId,
        edit: &Edit,
        out: &mut Outbox,
    ) {
        let siblings = self.critical.entry(cell).or_default();
        let stamp = self.clock.stamp(wall, siblings.newest());
        self.content_bytes -= siblings.content_bytes();
        out.work(siblings.versions().len() as u64);
        for rival in siblings.edit(kind, id, edit, stamp, out) {
            out.change(Change::Conflicted { cell, edit: rival, with: id });
        }
        self.content_bytes += siblings.content_bytes();
        out.work_bytes(siblings.content_bytes() as usize);
        self.digests.touch(cell);
    }
}

impl Store for Cells {
    type Updates<'a> = Updates<'a>;

    fn new(seat: &Seat<'_>, rules: Rules) -> Self {
        let mut document = Self::empty(seat, rules);
        for (id, edit) in seat.genesis {
            let Some((cell, kind)) = target(seat.schema, edit) else { continue };
            document.digests.touch(cell);
            if document.asks_about(cell) {
                document.critical.entry(cell).or_default().begin(kind, *id, edit);
                continue;
            }
            let held = document.cells.entry(cell).or_insert_with(|| Held::nothing(kind));
            stand_on(&mut held.lineage, *id, edit);
            held.content.apply(edit);
        }
        document.content_bytes = document.cells.values().map(|held| held.content.bytes()).sum();
        document.content_bytes +=
            document.critical.values().map(Siblings::content_bytes).sum::<u64>();
        document
    }

    fn edit(
        &mut self,
        wall: WallTime,
        id: EditId,
        edit: &Edit,
        out: &mut Outbox,
    ) -> Result<Outcome, Malformed> {
        if let Edit::Delete { record } = edit {
            return Ok(self.delete(wall, id, *record, out));
        }
        let (cell, kind) =
            target(&self.schema, edit).ok_or(Malformed("the edit does not fit the schema"))?;
        let outcome = Outcome::of(Place::Cell(cell), News::Taken);
        if self.asks_about(cell) {
            self.edit_critical(wall, (cell, kind), id, edit, out);
            return Ok(outcome);
        }
        let seen = self.tombstone_stamp(cell.record);
        let held = self.cells.entry(cell).or_insert_with(|| Held::nothing(kind));
        held.stamp = self.clock.stamp(wall, held.stamp.max(seen).time);
        let (before, after) = edit_value(&mut held.content, &mut held.lineage, id, edit, out);
        self.content_bytes = self.content_bytes - before + after;
        self.digests.touch(cell);
        Ok(outcome)
    }

    fn read<'a>(rules: Rules, reader: &mut Reader<'a>) -> Result<Updates<'a>, Malformed> {
        Updates::read(rules, reader)
    }

    fn rewrite(rules: Rules, updates: &Updates<'_>, writer: &mut Writer) {
        updates.write(rules, writer);
    }

    fn check(&self, from: ReplicaId, updates: &Updates<'_>) -> Result<(), Malformed> {
        updates.check(self.rules, &self.schema)?;
        if !self.rules.orders_by_arrival() {
            return Ok(());
        }
        let tombstones = updates.tombstones.iter().map(|(_, stamp)| stamp);
        let mut stamps = tombstones.chain(updates.cells.iter().map(|(_, stamp, _)| stamp));
        let own =
            |stamp: &Stamp| self.decides() && stamp.replica == from && stamp.pending() > Some(0);
        if stamps.all(|stamp| stamp.pending().is_none() || own(stamp)) {
            Ok(())
        } else {
            Err(Malformed("a write without a number that is not the sender's"))
        }
    }

    fn write(
        &self,
        to: ReplicaId,
        places: &[Place],
        writer: &mut Writer,
        cargo: &mut Cargo,
    ) -> usize {
        let mut selection = Selection {
            arrived: self.arrived.get(&to).copied().unwrap_or(0),
            ..Selection::default()
        };
        for place in places {
            match place {
                Place::Record(record) => {
                    let tombstone = self.tombstones.get(record);
                    selection.tombstones.extend(tombstone.map(|t| (*record, t)));
                }
                Place::Cell(cell) if self.asks_about(*cell) => {
                    selection.critical.extend(self.critical.get(cell).map(|s| (*cell, s)));
                }
                Place::Cell(cell) => {
                    selection.cells.extend(self.cells.get(cell).map(|held| (*cell, held)));
                }
            }
        }
        selection.write(self.rules, writer, cargo)
    }

    fn merge(
        &mut self,
        wall: WallTime,
        from: ReplicaId,
        updates: &Updates<'_>,
        cargo: &Cargo,
        out: &mut Outbox,
        mut each: impl FnMut(Outcome),
    ) {
        let mut unloader = ids::Unloader::new(cargo);
        let before = self.arrived.get(&from).copied().unwrap_or(0);
        for (element, &(record, stamp)) in updates.tombstones.iter().enumerate() {
            let edit = ids::one(unloader.element(element));
            let Some(stamp) = self.admit(stamp, before) else {
                each(Outcome::of(Place::Record(record), News::Stale));
                continue;
            };
            self.clock.observe(stamp, wall);
            each(self.merge_tombstone(record, Tombstone { stamp, edit }, updates.arrived, out));
        }
        self.merge_cells(wall, updates, before, &mut unloader, out, &mut each);
        let mut element = updates.tombstones.len() + updates.cells.len();
        for (cell, raw) in &updates.critical {
            each(self.merge_critical(wall, *cell, raw, (&mut unloader, &mut element), out));
        }
        if self.decides() {
            let tombstones = updates.tombstones.iter().map(|(_, stamp)| stamp);
            let stamps = tombstones.chain(updates.cells.iter().map(|(_, stamp, _)| stamp));
            let latest = stamps.filter_map(|stamp| stamp.pending()).max().unwrap_or(0);
            self.arrived.insert(from, before.max(latest));
        }
    }

    fn receipts(&self, updates: &Updates<'_>) -> Receipts {
        let tombstones = updates.tombstones.iter().map(|(r, stamp)| (Place::Record(*r), stamp));
        let cells = updates.cells.iter().map(|(cell, stamp, _)| (Place::Cell(*cell), stamp));
        let mut receipts: Receipts = tombstones
            .chain(cells)
            .filter_map(|(place, stamp)| {
                let number = stamp.pending()?;
                // What came from a peer that has to hear a snapshot first was not taken.
                let arrived = self.arrived.get(&stamp.replica).copied().unwrap_or(0);
                let held = self.stamp_of(place);
                let alive = held.author() == stamp.author();
                (number <= arrived).then_some((number, alive.then_some(held.time)))
            })
            .collect();
        receipts.sort_unstable();
        receipts.dedup_by_key(|(number, _)| *number);
        receipts
    }

    fn settle(&mut self, place: Place, receipts: &Receipts, out: &mut Outbox) -> bool {
        let Some(number) = self.stamp_of(place).pending() else { return true };
        let Ok(at) = receipts.binary_search_by_key(&number, |(number, _)| *number) else {
            return false;
        };
        let time = receipts[at].1;
        let replace = |stamp: &mut Stamp| match time {
            Some(time) => stamp.time = time,
            None => *stamp = Stamp::GENESIS,
        };
        match place {
            Place::Cell(cell) => {
                if let Some(held) = self.cells.get_mut(&cell) {
                    replace(&mut held.stamp);
                }
                // It was deleted after it had arrived: so the authority says, or the number that comes behind the deletion.
                let stamp = self.held_stamp(cell);
                if let Some(tombstone) = self.tombstones.get(&cell.record)
                    && tombstone.stamp.pending().is_none()
                    && (time.is_none() || stamp < tombstone.stamp)
                {
                    self.drop_cell(cell, tombstone.edit, out);
                }
            }
            Place::Record(record) => match self.tombstones.get_mut(&record) {
                Some(tombstone) if time.is_some() => replace(&mut tombstone.stamp),
                _ => drop(self.tombstones.remove(&record)),
            },
        }
        true
    }

    fn places(&self, since_beginning: bool) -> Vec<Place> {
        let least = if since_beginning { 1 } else { 0 };
        let tombstones = self.tombstones.keys().map(|record| Place::Record(*record));
        let cells = self.cells.iter().filter(|(_, held)| held.stamp.time >= least);
        let critical = self.critical.iter().filter(|(_, siblings)| siblings.newest() >= least);
        let cells = cells.map(|(cell, _)| *cell).chain(critical.map(|(cell, _)| *cell));
        let mut places: Vec<Place> = tombstones.chain(cells.map(Place::Cell)).collect();
        places.sort_unstable();
        places
    }

    fn named(updates: &Updates<'_>) -> (BTreeSet<Place>, usize) {
        let tombstones = updates.tombstones.iter().map(|(record, _)| Place::Record(*record));
        let cells = updates.cells.iter().map(|(cell, ..)| Place::Cell(*cell));
        let critical = updates.critical.iter().map(|(cell, _)| Place::Cell(*cell));
        let versions = updates.critical.iter().map(|(_, raw)| 1 + raw.versions.len());
        let elements = updates.tombstones.len() + updates.cells.len() + versions.sum::<usize>();
        (tombstones.chain(cells).chain(critical).collect(), elements)
    }

    fn ruled_by(&self, place: Place) -> Place {
        match place {
            Place::Cell(cell) if !self.asks_about(cell) => Place::Record(cell.record),
            _ => place,
        }
    }

    /// Own writes in a deleted record that may have arrived before or after the deletion wait for it to be there.
    fn grave(&self, place: Place) -> Option<u64> {
        match place {
            Place::Record(record) => {
                let stamp = self.tombstones.get(&record)?.stamp;
                let mut cells = self.cells.range(cells_of(record));
                let waits = stamp.pending().is_some()
                    || self.rules.orders_by_arrival()
                        && cells.any(|(_, held)| held.stamp.pending().is_some());
                (!waits).then_some(stamp.time)
            }
            Place::Cell(cell) => {
                let siblings = self.critical.get(&cell)?;
                siblings.versions().is_empty().then(|| siblings.newest())
            }
        }
    }

    fn has_passed(&self, wall: WallTime, time: u64) -> bool {
        self.clock.has_passed(wall, time)
    }

    fn forget(&mut self, grave: Place) -> Option<EditId> {
        let (time, edit) = match grave {
            Place::Record(record) => {
                let tombstone = self.tombstones.remove(&record)?;
                (tombstone.stamp.time, tombstone.edit)
            }
            Place::Cell(cell) => {
                let siblings = self.critical.remove(&cell)?;
                (siblings.newest(), siblings.emptied())
            }
        };
        self.learn_forgotten(time);
        edit
    }

    fn forgotten(&self) -> u64 {
        self.forgotten
    }

    fn learn_forgotten(&mut self, time: u64) {
        self.clock.pass(time);
        self.forgotten = self.forgotten.max(time);
    }

    fn purge(&mut self, place: Place, by: Option<EditId>, out: &mut Outbox) -> Place {
        let Place::Cell(cell) = place else { return place };
        if let Some(siblings) = self.critical.get_mut(&cell) {
            self.content_bytes -= siblings.content_bytes();
            self.digests.touch(cell);
            siblings.purge(by, out);
            return place;
        }
        let stamp = self.held_stamp(cell).next();
        self.drop_cell(cell, by, out);
        // An own write that waits for its number has been deleted by the authority, which needs no grave of it.
        if stamp.pending().is_none() && stamp > self.tombstone_stamp(cell.record) {
            self.bury(cell.record, Tombstone { stamp, edit: by }, out);
        }
        Place::Record(cell.record)
    }

    fn renew(&mut self, wall: WallTime, place: Place) {
        let Place::Cell(cell) = place else { return };
        let forgotten = self.forgotten;
        if let Some(held) = self.cells.get_mut(&cell)
            && held.stamp.time <= forgotten
        {
            held.stamp = self.clock.stamp(wall, forgotten);
        }
        if let Some(siblings) = self.critical.get_mut(&cell) {
            siblings.renew(|newest| self.clock.stamp(wall, newest.max(forgotten)));
            self.digests.touch(cell);
        }
    }

    fn length(&self, cell: Cell) -> usize {
        let content = match self.critical.get(&cell) {
            Some(siblings) => siblings.first(),
            None => self.cells.get(&cell).map(|held| &held.content),
        };
        content.map_or(0, Content::length)
    }

    fn render(&self, scope: Scope, out: &mut Rendering) {
        for (cell, held) in self.cells.range(cells_in(scope)) {
            if scope.contains(*cell) {
                out.settled(*cell, held.content.clone());
            }
        }
        for (cell, siblings) in self.critical.range(cells_in(scope)) {
            if scope.contains(*cell) {
                out.conflict(*cell, siblings.alternatives());
            }
        }
    }

    fn fingerprint(&self, partition: PartitionId) -> u128 {
        if partition != PartitionId(0) {
            return 0;
        }
        self.digests.sum_of(|cell, digest| {
            match (self.cells.get(&cell), self.critical.get(&cell)) {
                (_, Some(siblings)) => siblings.digest(digest),
                (Some(held), None) if !held.content.is_empty() => {
                    digest.content(&held.content);
                    true
                }
                _ => false,
            }
        })
    }

    fn footprint(&self) -> Footprint {
        let stamps =
            |siblings: &Siblings| siblings.seen().iter().count() + siblings.versions().len();
        let (emptied, alive): (Vec<_>, Vec<_>) =
            self.critical.values().partition(|siblings| siblings.versions().is_empty());
        let bytes =
            |all: Vec<&Siblings>| all.iter().map(|s| 6 + 16 * stamps(s) as u64).sum::<u64>();
        Footprint {
            content_bytes: self.content_bytes,
            metadata_bytes: self.cells.len() as u64 * (16 + 6) + bytes(alive),
            history_bytes: self.tombstones.len() as u64 * (16 + 4) + bytes(emptied),
        }
    }

    fn save(&self, writer: &mut Writer) {
        writer.uint(self.clock.last);
        writer.uint(self.forgotten);
        writer.count(self.arrived.len());
        for (client, number) in &self.arrived {
            writer.replica(*client);
            writer.uint(*number);
        }
        writer.count(self.tombstones.len());
        for (record, tombstone) in &self.tombstones {
            writer.uint(u64::from(record.0));
            tombstone.stamp.write(writer);
            ids::write_one(writer, tombstone.edit);
        }
        writer.count(self.cells.len());
        for (cell, held) in &self.cells {
            writer.cell(*cell);
            held.stamp.write(writer);
            writer.content(&held.content);
            held.lineage.write(writer);
        }
        writer.count(self.critical.len());
        for (cell, siblings) in &self.critical {
            writer.cell(*cell);
            siblings.save(writer);
        }
    }

    fn restore(seat: &Seat<'_>, rules: Rules, reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut document = Self::empty(seat, rules);
        document.clock.resume(reader.uint()?)?;
        document.forgotten = reader.uint()?;
        for _ in 0..reader.count(2)? {
            document.arrived.insert(reader.replica()?, reader.uint()?);
        }
        for _ in 0..reader.count(4)? {
            let record = RecordId(reader.uint32()?);
            let tombstone = Tombstone { stamp: Stamp::read(reader)?, edit: ids::read_one(reader)? };
            document.tombstones.insert(record, tombstone);
        }
        for _ in 0..reader.count(6)? {
            let cell = reader.cell()?;
            let stamp = Stamp::read(reader)?;
            let content = reader.content()?;
            if seat.schema.kind(cell.field) != Some(content.kind()) || document.asks_about(cell) {
                return Err(Malformed("content of another kind"));
            }
            document.content_bytes += content.bytes();
            document.digests.touch(cell);
            let lineage = Lineage::read(reader)?;
            document.cells.insert(cell, Held { stamp, content, lineage });
        }
        for _ in 0..reader.count(5)? {
            let cell = reader.cell()?;
            let kind = seat.schema.kind(cell.field).filter(|_| document.asks_about(cell));
            let kind = kind.ok_or(Malformed("no such critical cell"))?;
            let siblings = Siblings::restore(kind, reader)?;
            document.content_bytes += siblings.content_bytes();
            document.digests.touch(cell);
            document.critical.insert(cell, siblings);
        }
        Ok(document)
    }
}
