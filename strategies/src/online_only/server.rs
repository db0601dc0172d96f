//! The server: executes requests in the order in which they arrive, and tells everybody.

use super::message::{Base, Request, Submission, write_update};
use super::table::{Held, Table};
use crate::contract::{
    Cargo, Change, Clock, Footprint, Input, LinkState, Malformed, Outbox, Pending, Replica, Seat,
};
use crate::document::{
    Cell, Edit, EditId, FieldId, FieldKind, PartitionId, RecordId, Rendering, ReplicaId, Schema,
    Scope,
};
use crate::lineage::Lineage;
use crate::lww::ids;
use crate::lww::store::{stand_on, target};
use crate::wire::{Reader, Writer};
use std::collections::{BTreeMap, BTreeSet};

pub(super) struct Server {
    schema: Schema,
    table: Table,
    /// Number of edits executed, above `first_revision`.
    revision: u64,
    /// Where the revisions of this incarnation begin. Whoever shows an older one may show what was forgotten.
    first_revision: u64,
    /// When each cell was last changed; one that is absent has never been.
    changed_at: BTreeMap<Cell, u64>,
    /// The same by revision.
    changed: BTreeSet<(u64, Cell)>,
    clients: BTreeMap<ReplicaId, Known>,
}

/// What the server knows of a client.
#[derive(Debug, Default)]
struct Known {
    /// Whether the client has greeted in this session, so that it has all but `lacks`.
    greeted: bool,
    /// Cells changed since the client was last told.
    lacks: BTreeSet<Cell>,
    /// The highest request executed or refused.
    last_request: u64,
    /// What became of the requests that the client may ask about again.
    answers: BTreeMap<u64, Option<u64>>,
}

impl Server {
    pub fn new(seat: &Seat<'_>) -> Self {
        let mut server = Server {
            schema: seat.schema.clone(),
            table: Table::new(seat),
            revision: 0,
            first_revision: 0,
            changed_at: BTreeMap::new(),
            changed: BTreeSet::new(),
            clients: seat.peers.iter().map(|peer| (*peer, Known::default())).collect(),
        };
        server.begin_incarnation(seat.incarnation);
        server
    }

    /// After lost memory revisions begin anew far above all that were ever told, and every cell counts as changed.
    fn begin_incarnation(&mut self, incarnation: u32) {
        let first_revision = u64::from(incarnation) << 32;
        if first_revision == self.first_revision {
            return;
        }
        self.first_revision = first_revision;
        self.revision = first_revision;
        let cells: Vec<Cell> = self.table.iter().map(|(cell, _)| cell).collect();
        cells.into_iter().for_each(|cell| self.touch(cell));
    }

    /// Notes that a cell changed at the present revision.
    fn touch(&mut self, cell: Cell) {
        if let Some(before) = self.changed_at.insert(cell, self.revision) {
            self.changed.remove(&(before, cell));
        }
        self.changed.insert((self.revision, cell));
        for client in self.clients.values_mut().filter(|client| client.greeted) {
            client.lacks.insert(cell);
        }
    }

    /// Does what an edit says, and gives back the revision that it made.
    fn execute(&mut self, id: Option<EditId>, edit: &Edit, out: &mut Outbox) -> u64 {
        self.revision += 1;
        if let Some((cell, kind)) = target(&self.schema, edit) {
            let moved = self.change(cell, kind, id, edit, out);
            out.work_bytes(moved as usize);
        } else {
            self.delete(id, edit, out);
        }
        out.work(self.clients.len() as u64);
        self.revision
    }

    /// Changes one cell, and gives back how many bytes were moved.
    fn change(
        &mut self,
        cell: Cell,
        kind: FieldKind,
        id: Option<EditId>,
        edit: &Edit,
        out: &mut Outbox,
    ) -> u64 {
        let mut moved = edit.content_bytes();
        self.table.modify(cell, kind, |held| {
            if kind == FieldKind::Text {
                moved += held.content.bytes();
            }
            match (edit, id) {
                (Edit::Put { .. }, Some(by)) => {
                    held.lineage.iter().for_each(|edit| out.change(Change::Replaced { edit, by }));
                }
                (Edit::Put { .. }, None) => held.lineage = Lineage::new(),
                _ => {}
            }
            if let Some(id) = id {
                stand_on(&mut held.lineage, id, edit);
            }
            held.content.apply(edit);
        });
        self.touch(cell);
        moved
    }

    fn delete(&mut self, id: Option<EditId>, edit: &Edit, out: &mut Outbox) {
        let cells: Vec<_> = self
            .table
            .within(Scope::Record(edit.record()))
            .map(|(cell, held)| (cell, held.content.kind()))
            .collect();
        let mut older = BTreeSet::new();
        for (cell, kind) in cells {
            self.table.modify(cell, kind, |held| {
                let lineage = std::mem::take(&mut held.lineage);
                if let Some(by) = id {
                    lineage.iter().for_each(|edit| out.change(Change::Replaced { edit, by }));
                }
                older.extend(held.emptied_by);
                held.emptied_by = id;
                held.content = kind.empty();
            });
            self.touch(cell);
            out.work(1);
        }
        if let Some(by) = id {
            older.into_iter().for_each(|edit| out.change(Change::Replaced { edit, by }));
        }
    }

    /// Whether a text is as the author of a splice takes it to be.
    fn is_current(&self, client: &Known, request: &Request) -> bool {
        let cell = request.edit.cell();
        let changed_at = cell.and_then(|cell| self.changed_at.get(&cell)).copied().unwrap_or(0);
        match request.base {
            Base::Any => true,
            Base::Revision(revision) => changed_at <= revision,
            Base::After(number) => {
                let made = client.answers.get(&number).copied().flatten();
                made.is_some_and(|made| changed_at <= made)
            }
        }
    }

    fn receive(
        &mut self,
        from: ReplicaId,
        bytes: &[u8],
        cargo: &Cargo,
        out: &mut Outbox,
    ) -> Result<(), Malformed> {
        out.work_bytes(bytes.len());
        let submission = Submission::read(bytes)?;
        let fits = |edit: &Edit| {
            matches!(edit, Edit::Delete { .. }) || target(&self.schema, edit).is_some()
        };
        if !submission.requests.iter().all(|(_, request)| fits(&request.edit)) {
            return Err(Malformed("a request that does not fit the schema"));
        }
        let client = self.clients.get_mut(&from).ok_or(Malformed("not from a client"))?;
        let mut fresh_start = false;
        match submission.shows {
            Some(revision) if revision > self.revision => {
                return Err(Malformed("a client from the future"));
            }
            Some(revision) => {
                fresh_start = revision < self.first_revision;
                client.greeted = true;
                client.lacks = if fresh_start {
                    self.table.iter().map(|(cell, _)| cell).collect()
                } else {
                    let least = Cell { record: RecordId(0), field: FieldId(0) };
                    self.changed.range((revision + 1, least)..).map(|(_, cell)| *cell).collect()
                };
                out.work(client.lacks.len() as u64);
            }
            None if !client.greeted => return Err(Malformed("a client that has not greeted")),
            None => {}
        }
        client.answers = client.answers.split_off(&submission.answered.saturating_add(1));
        let mut unloader = ids::Unloader::new(cargo);
        let mut answers = Vec::with_capacity(submission.requests.len());
        for (element, (number, request)) in submission.requests.iter().enumerate() {
            let id = ids::one(unloader.element(element));
            answers.push((*number, self.answer(from, *number, request, id, out)));
        }
        self.tell(from, fresh_start, &answers, out);
        Ok(())
    }

    /// Executes or refuses a request, unless that has been done; gives back the revision that it made.
    fn answer(
        &mut self,
        from: ReplicaId,
        number: u64,
        request: &Request,
        id: Option<EditId>,
        out: &mut Outbox,
    ) -> Option<u64> {
        out.work(1);
        let client = &self.clients[&from];
        if number <= client.last_request {
            // A client asks again for an answer that it had only after it lost memory. The first revision there can be says that it
            // was executed, and makes stale what follows on from it.
            return client.answers.get(&number).copied().unwrap_or(Some(1));
        }
        let made = self.is_current(client, request).then(|| {
            id.into_iter().for_each(|edit| out.change(Change::Applied { edit }));
            self.execute(id, &request.edit, out)
        });
        let client = self.clients.get_mut(&from).expect("it was found above");
        client.last_request = number;
        client.answers.insert(number, made);
        made
    }

    /// Sends a client its answers and every cell that it lacks.
    fn tell(
        &mut self,
        to: ReplicaId,
        fresh_start: bool,
        answers: &[(u64, Option<u64>)],
        out: &mut Outbox,
    ) {
        let Some(client) = self.clients.get_mut(&to).filter(|client| client.greeted) else {
            return;
        };
        let lacks = std::mem::take(&mut client.lacks);
        if lacks.is_empty() && answers.is_empty() && !fresh_start {
            return;
        }
        let cells: Vec<(Cell, &Held)> =
            lacks.iter().filter_map(|cell| Some((*cell, self.table.get(*cell)?))).collect();
        let mut cargo = Cargo { elements: cells.len() as u64, ..Cargo::default() };
        for (element, (_, held)) in cells.iter().enumerate() {
            cargo.content_bytes += held.content.bytes();
            ids::load(&mut cargo, element, &held.lineage);
        }
        // After the cells come, in the same order, the deletes that emptied them.
        for (element, (_, held)) in cells.iter().enumerate() {
            ids::load_one(&mut cargo, cells.len() + element, held.emptied_by);
        }
        out.work(cells.len() as u64);
        let contents = cells.iter().map(|(cell, held)| (*cell, &held.content));
        let mut writer = Writer::new();
        write_update(&mut writer, fresh_start, self.revision, answers, contents);
        out.work_bytes(writer.len());
        out.send(to, writer.finish(), cargo);
    }

    pub fn restore(seat: &Seat<'_>, saved: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(saved);
        let mut server = Server {
            schema: seat.schema.clone(),
            revision: reader.uint()?,
            first_revision: reader.uint()?,
            table: Table::restore(seat.schema, &mut reader)?,
            changed_at: BTreeMap::new(),
            changed: BTreeSet::new(),
            clients: BTreeMap::new(),
        };
        for _ in 0..reader.count(3)? {
            let (cell, revision) = (reader.cell()?, reader.uint()?);
            if server.changed_at.insert(cell, revision).is_some() {
                return Err(Malformed("a cell that changed twice"));
            }
            server.changed.insert((revision, cell));
        }
        // In the order in which they were saved.
        for id in seat.peers.iter().collect::<BTreeSet<_>>() {
            server.clients.insert(*id, Known::restore(&mut reader)?);
        }
        reader.end()?;
        server.begin_incarnation(seat.incarnation);
        Ok(server)
    }
}

impl Known {
    fn save(&self, writer: &mut Writer) {
        writer.byte(u8::from(self.greeted));
        writer.count(self.lacks.len());
        self.lacks.iter().for_each(|cell| writer.cell(*cell));
        writer.uint(self.last_request);
        writer.count(self.answers.len());
        for (number, made) in &self.answers {
            writer.uint(*number);
            writer.uint(made.unwrap_or(0));
        }
    }

    fn restore(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut client = Known { greeted: reader.byte()? == 1, ..Known::default() };
        for _ in 0..reader.count(2)? {
            client.lacks.insert(reader.cell()?);
        }
        client.last_request = reader.uint()?;
        for _ in 0..reader.count(2)? {
            let number = reader.uint()?;
            client.answers.insert(number, Some(reader.uint()?).filter(|made| *made > 0));
        }
        Ok(client)
    }
}

impl Replica for Server {
    fn handle(&mut self, _: Clock, input: Input<'_>, out: &mut Outbox) -> Result<(), Malformed> {
        match input {
            Input::Edit { id, edit } => {
                if !matches!(edit, Edit::Delete { .. }) && target(&self.schema, edit).is_none() {
                    return Err(Malformed("the edit does not fit the schema"));
                }
                // The profile delays local visibility, so own edits are reported as shown too.
                out.change(Change::Applied { edit: id });
                self.execute(Some(id), edit, out);
                out.change(Change::Acknowledged { edit: id });
            }
            Input::Sync { peer } => self.tell(peer, false, &[], out),
            Input::Receive { from, bytes, cargo } => self.receive(from, bytes, cargo, out)?,
            Input::Link { peer, state: LinkState::Lost } => {
                if let Some(client) = self.clients.get_mut(&peer) {
                    client.greeted = false;
                    client.lacks.clear();
                }
            }
            Input::Link { state: LinkState::Open, .. } | Input::Seat(_) => {}
        }
        Ok(())
    }

    /// Nothing before the client has greeted: until then it is not known what it lacks.
    fn pending(&self, peer: ReplicaId) -> Pending {
        let lacks = self.clients.get(&peer).map_or(0, |client| client.lacks.len());
        Pending { edits: lacks as u64, exchange_open: false }
    }

    fn length(&self, cell: Cell) -> usize {
        self.table.length(cell)
    }

    fn render(&self, scope: Scope, out: &mut Rendering) {
        self.table.render(scope, out);
    }

    fn fingerprint(&self, partition: PartitionId) -> u128 {
        self.table.fingerprint(partition)
    }

    fn save(&self, out: &mut Vec<u8>) {
        let mut writer = Writer::after(std::mem::take(out));
        writer.uint(self.revision);
        writer.uint(self.first_revision);
        self.table.save(&mut writer);
        writer.count(self.changed_at.len());
        for (cell, revision) in &self.changed_at {
            writer.cell(*cell);
            writer.uint(*revision);
        }
        self.clients.values().for_each(|client| client.save(&mut writer));
        *out = writer.finish();
    }

    fn footprint(&self) -> Footprint {
        let kept = |client: &Known| 8 + 6 * client.lacks.len() + 16 * client.answers.len();
        Footprint {
            content_bytes: self.table.content_bytes(),
            metadata_bytes: (8 + 6) * self.table.len(),
            history_bytes: self.clients.values().map(|client| kept(client) as u64).sum(),
        }
    }
}
