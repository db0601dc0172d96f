//! The document where records win as a whole: whoever writes one field writes the record, and of two people who write different fields
//! of one record at the same time, one loses what he wrote. That is what a REST interface does whose clients `PUT` the whole resource
//! back (RFC 9110, section 9.3.4), as typical mobile back ends ask for.
//!
//! A deleted record is a record without fields, with a stamp like any other.

use super::digests::Digests;
use super::ids;
use super::stamp::{Stamp, StampClock};
use super::store::{News, Outcome, Place, Rules, Store, edit_value, records_in, stand_on, target};
use super::updates::RawContent;
use crate::contract::{Cargo, Change, Footprint, Malformed, Outbox, Seat, WallTime};
use crate::document::{
    Cell, Content, Edit, EditId, FieldId, FieldKind, PartitionId, RecordId, Rendering, ReplicaId,
    Schema, Scope,
};
use crate::lineage::Lineage;
use crate::wire::{Reader, Writer};
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

/// All fields of a record that somebody has written to, and when that was.
#[derive(Clone, Debug)]
struct Record {
    stamp: Stamp,
    fields: BTreeMap<FieldId, Field>,
    /// The edit that made it what it is, of a deleted record the deletion; for reports only.
    head: Option<EditId>,
}

#[derive(Clone, Debug)]
struct Field {
    content: Content,
    /// The edits it stands on; for reports only.
    lineage: Lineage,
}

impl Record {
    fn new() -> Self {
        Record { stamp: Stamp::GENESIS, fields: BTreeMap::new(), head: None }
    }

    fn field(&mut self, field: FieldId, kind: FieldKind) -> &mut Field {
        let empty = || Field { content: kind.empty(), lineage: Lineage::new() };
        self.fields.entry(field).or_insert_with(empty)
    }

    fn content_bytes(&self) -> u64 {
        self.fields.values().map(|field| field.content.bytes()).sum()
    }

    /// The deletion, where that is all it is.
    fn deletion(&self) -> Option<EditId> {
        self.head.filter(|_| self.fields.is_empty())
    }
}

/// A record as it was read: its contents still in the message.
#[derive(Debug)]
pub(crate) struct RawRecord<'a> {
    record: RecordId,
    stamp: Stamp,
    fields: Vec<(FieldId, RawContent<'a>)>,
}

/// One replica's copy.
#[derive(Debug)]
pub(crate) struct Records {
    schema: Schema,
    clock: StampClock,
    records: BTreeMap<RecordId, Record>,
    /// The latest time of a grave that was forgotten.
    forgotten: u64,
    digests: Digests,
    /// Sum over all records.
    content_bytes: u64,
}

impl Records {
    fn empty(seat: &Seat<'_>, rules: Rules) -> Self {
        Records {
            schema: seat.schema.clone(),
            clock: StampClock::new(rules.source, seat.replica, seat.incarnation),
            records: BTreeMap::new(),
            forgotten: 0,
            digests: Digests::default(),
            content_bytes: 0,
        }
    }

    fn delete(&mut self, wall: WallTime, id: EditId, place: RecordId, out: &mut Outbox) {
        let record = self.records.entry(place).or_insert_with(Record::new);
        let deletion = record.deletion();
        let fields = std::mem::take(&mut record.fields);
        record.stamp = self.clock.stamp(wall, record.stamp.time);
        let edits = fields.values().flat_map(|field| field.lineage.iter());
        for edit in edits.chain(deletion) {
            out.change(Change::Replaced { edit, by: id });
        }
        record.head = Some(id);
        out.work(1 + fields.len() as u64);
        for (field, old) in fields {
            self.content_bytes -= old.content.bytes();
            self.digests.touch(Cell { record: place, field });
        }
    }

    fn merge_record(
        &mut self,
        raw: &RawRecord<'_>,
        unloader: &mut ids::Unloader<'_>,
        element: usize,
        out: &mut Outbox,
    ) -> Outcome {
        let here = self.records.get(&raw.record).map_or(Stamp::GENESIS, |record| record.stamp);
        let order = raw.stamp.cmp(&here);
        out.work(1 + raw.fields.len() as u64);
        if order != Ordering::Equal {
            let mut theirs = Record { stamp: raw.stamp, ..Record::new() };
            theirs.head = ids::one(unloader.element(element));
            for (n, (field, content)) in raw.fields.iter().enumerate() {
                let lineage = ids::lineage(unloader.element(element + 1 + n));
                out.work_bytes(content.len());
                theirs.fields.insert(*field, Field { content: content.to_content(), lineage });
            }
            match order {
                Ordering::Less => self.report_loser(raw.record, &theirs, out),
                _ => self.take(raw.record, theirs, out),
            }
        }
        let news = match order {
            Ordering::Less => News::Stale,
            Ordering::Equal => News::Same,
            Ordering::Greater => News::Taken,
        };
        let grave = news != News::Stale && raw.fields.is_empty();
        Outcome { grave, ..Outcome::of(Place::Record(raw.record), news) }
    }

    /// Reports the edits that arrived in a record which is older than what is here.
    fn report_loser(&self, place: RecordId, theirs: &Record, out: &mut Outbox) {
        let ours = &self.records[&place];
        let Some(by) = ours.head else { return };
        for (field, Field { lineage, .. }) in &theirs.fields {
            let here = ours.fields.get(field);
            let here = here.map_or(const { &Lineage::new() }, |field| &field.lineage);
            for edit in lineage.minus(here).filter(|edit| *edit != by) {
                out.change(Change::Replaced { edit, by });
            }
        }
        if let Some(edit) = theirs.deletion().filter(|edit| *edit != by) {
            out.change(Change::Replaced { edit, by });
        }
    }

    /// Puts a newer record in the place of the one that is here.
    fn take(&mut self, place: RecordId, new: Record, out: &mut Outbox) {
        self.content_bytes += new.content_bytes();
        let old = self.records.remove(&place).unwrap_or_else(Record::new);
        self.content_bytes -= old.content_bytes();
        let (was, is) = (old.deletion(), new.deletion());
        let mut report = |edit, by| match by {
            None => out.change(Change::Applied { edit }),
            Some(by) => out.change(Change::Replaced { edit, by }),
        };
        is.filter(|_| is != was).into_iter().for_each(|edit| report(edit, None));
        for (field, Field { content, lineage }) in &new.fields {
            let before = old.fields.get(field);
            if before.is_none_or(|before| before.content != *content) {
                self.digests.touch(Cell { record: place, field: *field });
            }
            let before = before.map_or(const { &Lineage::new() }, |before| &before.lineage);
            lineage.minus(before).for_each(|edit| report(edit, None));
        }
        for (field, Field { lineage, .. }) in &old.fields {
            let after = new.fields.get(field);
            if after.is_none() {
                self.digests.touch(Cell { record: place, field: *field });
            }
            let after = after.map_or(const { &Lineage::new() }, |after| &after.lineage);
            if new.head.is_some() {
                lineage.minus(after).for_each(|edit| report(edit, new.head));
            }
        }
        if let (Some(edit), true, Some(_)) = (was, is != was, new.head) {
            report(edit, new.head);
        }
        self.records.insert(place, new);
    }

    fn content(&self, cell: Cell) -> Option<&Content> {
        let field = self.records.get(&cell.record)?.fields.get(&cell.field)?;
        Some(&field.content)
    }
}

impl Store for Records {
    type Updates<'a> = Vec<RawRecord<'a>>;

    fn new(seat: &Seat<'_>, rules: Rules) -> Self {
        let mut document = Self::empty(seat, rules);
        for (id, edit) in seat.genesis {
            let Some((cell, kind)) = target(seat.schema, edit) else { continue };
            let record = document.records.entry(cell.record).or_insert_with(Record::new);
            let field = record.field(cell.field, kind);
            stand_on(&mut field.lineage, *id, edit);
            field.content.apply(edit);
            document.digests.touch(cell);
        }
        document.content_bytes = document.records.values().map(Record::content_bytes).sum();
        document
    }

    fn edit(
        &mut self,
        wall: WallTime,
        id: EditId,
        edit: &Edit,
        out: &mut Outbox,
    ) -> Result<Outcome, Malformed> {
        let outcome = Outcome::of(Place::Record(edit.record()), News::Taken);
        if let Edit::Delete { record } = edit {
            self.delete(wall, id, *record, out);
            return Ok(Outcome { grave: true, ..outcome });
        }
        let (cell, kind) =
            target(&self.schema, edit).ok_or(Malformed("the edit does not fit the schema"))?;
        let record = self.records.entry(cell.record).or_insert_with(Record::new);
        record.stamp = self.clock.stamp(wall, record.stamp.time);
        if let Some(edit) = record.deletion() {
            out.change(Change::Replaced { edit, by: id });
        }
        record.head = Some(id);
        let field = record.field(cell.field, kind);
        let (before, after) = edit_value(&mut field.content, &mut field.lineage, id, edit, out);
        self.content_bytes = self.content_bytes - before + after;
        self.digests.touch(cell);
        Ok(outcome)
    }

    fn read<'a>(_: Rules, reader: &mut Reader<'a>) -> Result<Self::Updates<'a>, Malformed> {
        let count = reader.count(4)?;
        let mut records: Vec<RawRecord<'a>> = Vec::with_capacity(count);
        for _ in 0..count {
            let record = RecordId(reader.uint32()?);
            if records.last().is_some_and(|last| last.record >= record) {
                return Err(Malformed("records are not ascending"));
            }
            let stamp = Stamp::read(reader)?;
            let mut fields: Vec<(FieldId, RawContent<'a>)> = Vec::new();
            for _ in 0..reader.count(2)? {
                let field = u16::try_from(reader.uint()?).map(FieldId);
                let field = field.map_err(|_| Malformed("field number out of range"))?;
                if fields.last().is_some_and(|(last, _)| *last >= field) {
                    return Err(Malformed("fields are not ascending"));
                }
                fields.push((field, RawContent::read(reader)?));
            }
            records.push(RawRecord { record, stamp, fields });
        }
        Ok(records)
    }

    fn rewrite(_: Rules, records: &Self::Updates<'_>, writer: &mut Writer) {
        writer.count(records.len());
        for raw in records {
            writer.uint(u64::from(raw.record.0));
            raw.stamp.write(writer);
            writer.count(raw.fields.len());
            for (field, content) in &raw.fields {
                writer.uint(u64::from(field.0));
                writer.content(&content.to_content());
            }
        }
    }

    fn check(&self, _: ReplicaId, records: &Self::Updates<'_>) -> Result<(), Malformed> {
        let mut fields = records.iter().flat_map(|raw| &raw.fields);
        if fields.all(|(field, content)| self.schema.kind(*field) == Some(content.kind())) {
            Ok(())
        } else {
            Err(Malformed("content of another kind"))
        }
    }

    /// Elements of the cargo are for each record the edit that made it, and its fields.
    fn write(
        &self,
        _: ReplicaId,
        places: &[Place],
        writer: &mut Writer,
        cargo: &mut Cargo,
    ) -> usize {
        let record = |place: &Place| match place {
            Place::Record(record) => self.records.get_key_value(record),
            Place::Cell(_) => None,
        };
        let records: Vec<(&RecordId, &Record)> = places.iter().filter_map(record).collect();
        writer.count(records.len());
        let mut element = 0;
        for (id, record) in records {
            writer.uint(u64::from(id.0));
            record.stamp.write(writer);
            writer.count(record.fields.len());
            ids::load_one(cargo, element, record.head);
            element += 1;
            for (field, Field { content, lineage }) in &record.fields {
                writer.uint(u64::from(field.0));
                writer.content(content);
                cargo.content_bytes += content.bytes();
                // What everybody holds from the beginning is news to nobody.
                if record.stamp != Stamp::GENESIS {
                    ids::load(cargo, element, lineage);
                }
                element += 1;
            }
            cargo.elements += record.fields.len().max(1) as u64;
        }
        element
    }

    fn merge(
        &mut self,
        wall: WallTime,
        _: ReplicaId,
        records: &Self::Updates<'_>,
        cargo: &Cargo,
        out: &mut Outbox,
        mut each: impl FnMut(Outcome),
    ) {
        let mut unloader = ids::Unloader::new(cargo);
        let mut element = 0;
        for raw in records {
            self.clock.observe(raw.stamp, wall);
            each(self.merge_record(raw, &mut unloader, element, out));
            element += 1 + raw.fields.len();
        }
    }

    fn places(&self, since_beginning: bool) -> Vec<Place> {
        let least = if since_beginning { 1 } else { 0 };
        let records = self.records.iter().filter(|(_, record)| record.stamp.time >= least);
        records.map(|(record, _)| Place::Record(*record)).collect()
    }

    fn named(records: &Self::Updates<'_>) -> (BTreeSet<Place>, usize) {
        let places = records.iter().map(|raw| Place::Record(raw.record)).collect();
        (places, records.iter().map(|raw| 1 + raw.fields.len()).sum())
    }

    fn grave(&self, place: Place) -> Option<u64> {
        let record = self.records.get(&place.record())?;
        record.fields.is_empty().then_some(record.stamp.time)
    }

    fn has_passed(&self, wall: WallTime, time: u64) -> bool {
        self.clock.has_passed(wall, time)
    }

    fn forget(&mut self, grave: Place) -> Option<EditId> {
        let record = self.records.remove(&grave.record())?;
        self.learn_forgotten(record.stamp.time);
        record.head
    }

    fn forgotten(&self) -> u64 {
        self.forgotten
    }

    fn learn_forgotten(&mut self, time: u64) {
        self.clock.pass(time);
        self.forgotten = self.forgotten.max(time);
    }

    fn purge(&mut self, place: Place, by: Option<EditId>, out: &mut Outbox) -> Place {
        let Some(record) = self.records.get_mut(&place.record()) else { return place };
        self.content_bytes -= record.content_bytes();
        for (field, old) in std::mem::take(&mut record.fields) {
            if let Some(by) = by {
                old.lineage.iter().for_each(|edit| out.change(Change::Replaced { edit, by }));
            }
            self.digests.touch(Cell { record: place.record(), field });
        }
        record.stamp = record.stamp.next();
        record.head = by;
        place
    }

    fn renew(&mut self, wall: WallTime, place: Place) {
        if let Some(record) = self.records.get_mut(&place.record())
            && record.stamp.time <= self.forgotten
            && !record.fields.is_empty()
        {
            record.stamp = self.clock.stamp(wall, self.forgotten);
        }
    }

    fn length(&self, cell: Cell) -> usize {
        self.content(cell).map_or(0, Content::length)
    }

    fn render(&self, scope: Scope, out: &mut Rendering) {
        for (id, record) in self.records.range(records_in(scope)) {
            for (field, Field { content, .. }) in &record.fields {
                let cell = Cell { record: *id, field: *field };
                if scope.contains(cell) {
                    out.settled(cell, content.clone());
                }
            }
        }
    }

    fn fingerprint(&self, partition: PartitionId) -> u128 {
        match partition {
            PartitionId(0) => self.digests.sum(|cell| self.content(cell)),
            _ => 0,
        }
    }

    fn footprint(&self) -> Footprint {
        let dead = self.records.values().filter(|record| record.fields.is_empty()).count() as u64;
        let alive = self.records.len() as u64 - dead;
        let fields: usize = self.records.values().map(|record| record.fields.len()).sum();
        Footprint {
            content_bytes: self.content_bytes,
            metadata_bytes: alive * (16 + 4) + fields as u64 * 2,
            history_bytes: dead * (16 + 4),
        }
    }

    fn save(&self, writer: &mut Writer) {
        writer.uint(self.clock.last);
        writer.uint(self.forgotten);
        writer.count(self.records.len());
        for (id, record) in &self.records {
            writer.uint(u64::from(id.0));
            record.stamp.write(writer);
            ids::write_one(writer, record.head);
            writer.count(record.fields.len());
            for (field, Field { content, lineage }) in &record.fields {
                writer.uint(u64::from(field.0));
                writer.content(content);
                lineage.write(writer);
            }
        }
    }

    fn restore(seat: &Seat<'_>, rules: Rules, reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut document = Self::empty(seat, rules);
        document.clock.resume(reader.uint()?)?;
        document.forgotten = reader.uint()?;
        for _ in 0..reader.count(5)? {
            let id = RecordId(reader.uint32()?);
            let mut record = Record { stamp: Stamp::read(reader)?, ..Record::new() };
            record.head = ids::read_one(reader)?;
            for _ in 0..reader.count(3)? {
                let field = u16::try_from(reader.uint()?).map(FieldId);
                let field = field.map_err(|_| Malformed("field number out of range"))?;
                let content = reader.content()?;
                if seat.schema.kind(field) != Some(content.kind()) {
                    return Err(Malformed("content of another kind"));
                }
                document.digests.touch(Cell { record: id, field });
                record.fields.insert(field, Field { content, lineage: Lineage::read(reader)? });
            }
            document.content_bytes += record.content_bytes();
            document.records.insert(id, record);
        }
        Ok(document)
    }
}
