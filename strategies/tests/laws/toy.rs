//! A small correct strategy, so that the suite is never without one, and the ground for the broken ones: whole fields, the last
//! writer wins, every field is sent until its receiver says that it has it.

use reconverge_strategies::lineage::Lineage;
use reconverge_strategies::wire::{Reader, Writer};
use reconverge_strategies::*;
use std::collections::{BTreeMap, BTreeSet};

/// When a field was written, and by whom.
type Stamp = (u64, ReplicaId);

/// The strategy. `prefers` says whether a received stamp wins over the one that is held.
pub struct Toy {
    pub prefers: fn(received: Stamp, held: Stamp) -> bool,
}

/// The correct one.
pub static TOY: Toy = Toy { prefers: |received, held| received > held };

#[derive(Clone, Debug, Default)]
struct Field {
    stamp: Option<Stamp>,
    content: Option<Content>,
    edits: Lineage,
}

struct ToyReplica {
    prefers: fn(Stamp, Stamp) -> bool,
    replica: ReplicaId,
    schema: Schema,
    peers: Vec<ReplicaId>,
    last: u64,
    fields: BTreeMap<Cell, Field>,
    /// By peer: what it has not confirmed.
    owed: BTreeMap<ReplicaId, BTreeSet<Cell>>,
    /// Edits that went or lost at once, so that an old message brings no second report.
    passed_over: Lineage,
}

enum Message {
    State(Vec<(Cell, Stamp, Content)>),
    Confirm(Vec<(Cell, Stamp)>),
}

impl Strategy for Toy {
    fn name(&self) -> &str {
        "toy"
    }

    fn profile(&self) -> Profile {
        let whole = Support::Emulated("as one value; the last writer wins");
        Profile {
            summary: "whole fields, last writer wins",
            register: Support::Native,
            counter: whole,
            set: whole,
            text: whole,
            star: Support::Native,
            mesh: Support::Native,
            graph: Support::Native,
            session: Support::Native,
            datagram: Support::Native,
            memory_loss: Support::Native,
            exceptions: &[],
            schedule: None,
            edit_ids: EditIds::InCargo,
        }
    }

    fn create(&self, seat: &Seat<'_>) -> Box<dyn Replica> {
        let mut replica = ToyReplica {
            prefers: self.prefers,
            replica: seat.replica,
            schema: seat.schema.clone(),
            peers: seat.peers.to_vec(),
            last: 0,
            fields: BTreeMap::new(),
            owed: BTreeMap::new(),
            passed_over: Lineage::new(),
        };
        for (id, edit) in seat.genesis {
            for cell in replica.cells(edit) {
                replica.write(cell, (0, ReplicaId::GENESIS), *id, edit, &mut Outbox::new());
            }
        }
        Box::new(replica)
    }

    fn restore(&self, seat: &Seat<'_>, saved: &[u8]) -> Result<Box<dyn Replica>, Malformed> {
        let mut replica = ToyReplica {
            prefers: self.prefers,
            replica: seat.replica,
            schema: seat.schema.clone(),
            peers: seat.peers.to_vec(),
            last: 0,
            fields: BTreeMap::new(),
            owed: BTreeMap::new(),
            passed_over: Lineage::new(),
        };
        replica.load(saved)?;
        Ok(Box::new(replica))
    }

    fn recode(&self, message: &[u8]) -> Result<Vec<u8>, Malformed> {
        Ok(encode(&decode(message)?))
    }
}

impl ToyReplica {
    /// The cells that an edit writes to: of a deletion all that show something.
    fn cells(&self, edit: &Edit) -> Vec<Cell> {
        match edit.cell() {
            Some(cell) => vec![cell],
            None => self
                .schema
                .cells(edit.record())
                .map(|(cell, _)| cell)
                .filter(|cell| {
                    let content = self.fields.get(cell).and_then(|field| field.content.as_ref());
                    content.is_some_and(|content| !content.is_empty())
                })
                .collect(),
        }
    }

    fn write(&mut self, cell: Cell, stamp: Stamp, id: EditId, edit: &Edit, out: &mut Outbox) {
        let empty = self.schema.kind(cell.field).expect("edits are within the schema").empty();
        let field = self.fields.entry(cell).or_default();
        let mut content = field.content.clone().unwrap_or_else(|| empty.clone());
        let whole = matches!(edit, Edit::Put { .. } | Edit::Delete { .. } | Edit::Resolve { .. });
        match edit {
            Edit::Delete { .. } => content = empty,
            _ => content.apply(edit),
        }
        let mut edits = if whole { Lineage::new() } else { field.edits.clone() };
        edits.insert(id);
        let gone =
            std::mem::replace(field, Field { stamp: Some(stamp), content: Some(content), edits });
        out.work(1);
        self.report(cell, &gone.edits, id, Some(id), out);
    }

    /// Reports what came to a cell and what went, unless another cell of the record shows it too. An edit `made` here and now
    /// needs no report.
    fn report(
        &mut self,
        cell: Cell,
        before: &Lineage,
        by: EditId,
        made: Option<EditId>,
        out: &mut Outbox,
    ) {
        let elsewhere = |id: EditId| {
            let mut cells = self.schema.cells(cell.record).map(|(cell, _)| cell);
            cells.any(|other| {
                other != cell
                    && self.fields.get(&other).is_some_and(|field| field.edits.contains(id))
            })
        };
        let now = &self.fields[&cell].edits;
        for edit in now.minus(before).filter(|id| made != Some(*id) && !elsewhere(*id)) {
            out.change(Change::Applied { edit });
        }
        let gone: Vec<EditId> = before.minus(now).filter(|id| !elsewhere(*id)).collect();
        for edit in gone {
            self.passed_over.insert(edit);
            out.change(Change::Replaced { edit, by });
        }
    }

    fn owe_all_but(&mut self, except: Option<ReplicaId>, cell: Cell) {
        for peer in self.peers.iter().filter(|peer| Some(**peer) != except) {
            self.owed.entry(*peer).or_default().insert(cell);
        }
    }

    fn receive_state(
        &mut self,
        from: ReplicaId,
        fields: Vec<(Cell, Stamp, Content)>,
        cargo: &Cargo,
        out: &mut Outbox,
    ) {
        let mut confirmed = Vec::new();
        for (n, (cell, stamp, content)) in fields.into_iter().enumerate() {
            out.work(1);
            let mut edits = Lineage::new();
            for ids in cargo.ids.iter().filter(|ids| ids.element as usize == n) {
                for k in 0..ids.count {
                    edits.insert(EditId {
                        origin: ids.first.origin,
                        sequence: ids.first.sequence + k,
                    });
                }
            }
            self.last = self.last.max(stamp.0);
            confirmed.push((cell, stamp));
            let held = self.fields.get(&cell).and_then(|field| field.stamp);
            if held == Some(stamp) {
                if let Some(owed) = self.owed.get_mut(&from) {
                    owed.remove(&cell);
                }
            } else if held.is_none_or(|held| (self.prefers)(stamp, held)) {
                let by = edits.iter().last();
                let field = Field { stamp: Some(stamp), content: Some(content), edits };
                let gone = self.fields.insert(cell, field).unwrap_or_default();
                if let Some(by) = by {
                    self.report(cell, &gone.edits, by, None, out);
                }
                self.owe_all_but(Some(from), cell);
                if let Some(owed) = self.owed.get_mut(&from) {
                    owed.remove(&cell);
                }
            } else {
                let winner = self.fields[&cell].edits.clone();
                let by = winner.iter().last();
                for edit in edits.minus(&winner) {
                    if let Some(by) = by
                        && self.passed_over.insert(edit)
                        && self.fields.values().all(|field| !field.edits.contains(edit))
                    {
                        out.change(Change::Replaced { edit, by });
                    }
                }
                self.owed.entry(from).or_default().insert(cell);
            }
        }
        let cargo = Cargo { elements: confirmed.len() as u64, ..Cargo::default() };
        out.send(from, encode(&Message::Confirm(confirmed)), cargo);
    }

    fn load(&mut self, saved: &[u8]) -> Result<(), Malformed> {
        let mut reader = Reader::new(saved);
        self.last = reader.uint()?;
        for _ in 0..reader.count(4)? {
            let cell = reader.cell()?;
            let stamp = Some((reader.uint()?, reader.replica()?));
            let content = Some(reader.content()?);
            self.fields.insert(cell, Field { stamp, content, edits: read_lineage(&mut reader)? });
        }
        for _ in 0..reader.count(2)? {
            let peer = reader.replica()?;
            let count = reader.count(2)?;
            let cells = (0..count).map(|_| reader.cell()).collect::<Result<_, _>>()?;
            self.owed.insert(peer, cells);
        }
        self.passed_over = read_lineage(&mut reader)?;
        reader.end()
    }
}

impl Replica for ToyReplica {
    fn handle(
        &mut self,
        clock: Clock,
        input: Input<'_>,
        out: &mut Outbox,
    ) -> Result<(), Malformed> {
        match input {
            Input::Edit { id, edit } => {
                self.last = self.last.saturating_add(1).max(clock.wall.0);
                let stamp = (self.last, self.replica);
                for cell in self.cells(edit) {
                    self.write(cell, stamp, id, edit, out);
                    self.owe_all_but(None, cell);
                }
            }
            Input::Sync { peer } => {
                let Some(owed) = self.owed.get(&peer).filter(|owed| !owed.is_empty()) else {
                    return Ok(());
                };
                let mut fields = Vec::new();
                let mut cargo = Cargo { elements: owed.len() as u64, ..Cargo::default() };
                for (n, cell) in owed.iter().enumerate() {
                    out.work(1);
                    let Field { stamp, content, edits } = &self.fields[cell];
                    let stamp = stamp.expect("a field that was written");
                    let content = content.clone().expect("a field that was written");
                    cargo.content_bytes += content.bytes();
                    cargo.ids.extend(edits.ranges().iter().map(|(first, last)| CargoIds {
                        element: n as u32,
                        first: *first,
                        count: last - first.sequence + 1,
                    }));
                    fields.push((*cell, stamp, content));
                }
                let bytes = encode(&Message::State(fields));
                out.work_bytes(bytes.len());
                out.send(peer, bytes, cargo);
            }
            Input::Receive { from, bytes, cargo } => {
                out.work_bytes(bytes.len());
                match decode(bytes)? {
                    Message::State(fields) => {
                        let fits = |(cell, _, content): &(Cell, Stamp, Content)| {
                            self.schema.kind(cell.field) == Some(content.kind())
                        };
                        if !fields.iter().all(fits) {
                            return Err(Malformed("no such field"));
                        }
                        self.receive_state(from, fields, cargo, out);
                    }
                    Message::Confirm(confirmed) => {
                        for (cell, stamp) in confirmed {
                            if self.fields.get(&cell).and_then(|field| field.stamp) == Some(stamp)
                                && let Some(owed) = self.owed.get_mut(&from)
                            {
                                owed.remove(&cell);
                            }
                        }
                    }
                }
            }
            Input::Link { .. } | Input::Seat(_) => {}
        }
        Ok(())
    }

    fn pending(&self, peer: ReplicaId) -> Pending {
        let edits = self.owed.get(&peer).map_or(0, |owed| owed.len() as u64);
        Pending { edits, exchange_open: false }
    }

    fn length(&self, cell: Cell) -> usize {
        let content = self.fields.get(&cell).and_then(|field| field.content.as_ref());
        content.map_or(0, Content::length)
    }

    fn render(&self, scope: Scope, out: &mut Rendering) {
        for (cell, field) in self.fields.iter().filter(|(cell, _)| scope.contains(**cell)) {
            out.settled(*cell, field.content.clone().expect("a field that was written"));
        }
    }

    fn save(&self, out: &mut Vec<u8>) {
        let mut writer = Writer::after(std::mem::take(out));
        writer.uint(self.last);
        writer.count(self.fields.len());
        for (cell, Field { stamp, content, edits }) in &self.fields {
            let (time, by) = stamp.expect("a field that was written");
            writer.cell(*cell);
            writer.uint(time);
            writer.replica(by);
            writer.content(content.as_ref().expect("a field that was written"));
            write_lineage(&mut writer, edits);
        }
        writer.count(self.owed.len());
        for (peer, cells) in &self.owed {
            writer.replica(*peer);
            writer.count(cells.len());
            cells.iter().for_each(|cell| writer.cell(*cell));
        }
        write_lineage(&mut writer, &self.passed_over);
        *out = writer.finish();
    }

    fn footprint(&self) -> Footprint {
        let contents = self.fields.values().filter_map(|field| field.content.as_ref());
        Footprint {
            content_bytes: contents.map(Content::bytes).sum(),
            metadata_bytes: 12 * self.fields.len() as u64,
            history_bytes: self.owed.values().map(|owed| owed.len() as u64).sum(),
        }
    }
}

fn write_lineage(writer: &mut Writer, edits: &Lineage) {
    writer.count(edits.ranges().len());
    for (first, last) in edits.ranges() {
        writer.edit_id(*first);
        writer.uint(*last);
    }
}

fn read_lineage(reader: &mut Reader<'_>) -> Result<Lineage, Malformed> {
    let count = reader.count(3)?;
    let ranges = (0..count)
        .map(|_| Ok((reader.edit_id()?, reader.uint()?)))
        .collect::<Result<Vec<_>, Malformed>>()?;
    Lineage::from_ranges(ranges).ok_or(Malformed("ids are not in order"))
}

fn encode(message: &Message) -> Vec<u8> {
    let mut writer = Writer::new();
    match message {
        Message::State(fields) => {
            writer.byte(0);
            writer.count(fields.len());
            for (cell, stamp, content) in fields {
                writer.cell(*cell);
                writer.uint(stamp.0);
                writer.replica(stamp.1);
                writer.content(content);
            }
        }
        Message::Confirm(fields) => {
            writer.byte(1);
            writer.count(fields.len());
            for (cell, stamp) in fields {
                writer.cell(*cell);
                writer.uint(stamp.0);
                writer.replica(stamp.1);
            }
        }
    }
    writer.finish()
}

fn decode(bytes: &[u8]) -> Result<Message, Malformed> {
    let mut reader = Reader::new(bytes);
    let message = match reader.byte()? {
        0 => {
            let mut fields = Vec::new();
            for _ in 0..reader.count(5)? {
                fields.push((
                    reader.cell()?,
                    (reader.uint()?, reader.replica()?),
                    reader.content()?,
                ));
            }
            Message::State(fields)
        }
        1 => {
            let mut fields = Vec::new();
            for _ in 0..reader.count(4)? {
                fields.push((reader.cell()?, (reader.uint()?, reader.replica()?)));
            }
            Message::Confirm(fields)
        }
        _ => return Err(Malformed("unknown message")),
    };
    reader.end()?;
    Ok(message)
}
