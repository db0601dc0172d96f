//! A replica: cells, peers, and what passes between them.

use super::Policy;
use super::message::{Message, decode_objects, encode_object, unload_cargo, update_head};
use super::object::Object;
use super::peer::Peer;
use super::report::{Shown, report_join};
use super::story::Story;
use super::vector::Actor;
use crate::contract::{
    Cargo, Clock, Footprint, Input, LinkState, Malformed, Outbox, Pending, Replica, Seat, Transport,
};
use crate::document::{
    Alternative, Cell, Edit, EditId, FieldId, FieldKind, RecordId, Rendering, ReplicaId, Schema,
    Scope,
};
use crate::wire::{Reader, Writer};
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// One copy of the document.
#[derive(Debug)]
pub struct VersionVectorReplica {
    policy: Policy,
    actor: Actor,
    transport: Transport,
    schema: Schema,
    /// How many edits the genesis has.
    genesis_edits: u64,
    cells: BTreeMap<Cell, Object>,
    /// By ascending id.
    peers: Vec<Peer>,
}

impl VersionVectorReplica {
    pub fn create(policy: Policy, seat: &Seat<'_>) -> Self {
        let mut cells: BTreeMap<Cell, Object> = BTreeMap::new();
        for (id, edit) in seat.genesis {
            if let Some((cell, kind)) =
                edit.cell().and_then(|cell| Some((cell, seat.schema.kind(cell.field)?)))
            {
                cells.entry(cell).or_default().genesis(kind, *id, edit);
            }
        }
        let mut peers: Vec<Peer> =
            seat.peers.iter().map(|id| Peer::new(*id, seat.incarnation)).collect();
        peers.sort_by_key(|peer| peer.id);
        VersionVectorReplica { peers, cells, ..Self::vacant(policy, seat) }
    }

    fn vacant(policy: Policy, seat: &Seat<'_>) -> Self {
        VersionVectorReplica {
            policy,
            actor: Actor { replica: seat.replica, incarnation: seat.incarnation },
            transport: seat.transport,
            schema: seat.schema.clone(),
            genesis_edits: seat.genesis.len() as u64,
            cells: BTreeMap::new(),
            peers: Vec::new(),
        }
    }

    pub fn restore(policy: Policy, seat: &Seat<'_>, saved: &[u8]) -> Result<Self, Malformed> {
        let mut bytes = Reader::new(saved);
        let mut replica = Self::vacant(policy, seat);
        let incarnation = bytes.uint32()?;
        let mut cells = decode_objects(&mut bytes)?;
        for (_, object) in &mut cells {
            for version in &mut object.versions {
                version.story = Story::restore(&mut bytes)?;
            }
        }
        replica.check(&cells)?;
        replica.cells = cells.into_iter().collect();
        for _ in 0..bytes.count(5)? {
            replica.peers.push(Peer::restore(&mut bytes)?);
        }
        bytes.end()?;
        let owed = |peer: &Peer| peer.cells().all(|cell| replica.cells.contains_key(&cell));
        if !replica.peers.iter().all(owed) {
            return Err(Malformed("a cell is owed that does not exist"));
        }
        let mut expected = seat.peers.to_vec();
        expected.sort();
        if !expected.iter().eq(replica.peers.iter().map(|peer| &peer.id)) {
            return Err(Malformed("snapshot from another seat"));
        }
        if incarnation != seat.incarnation {
            let peers = std::mem::take(&mut replica.peers).into_iter();
            replica.peers = peers.map(|peer| peer.reborn(seat.incarnation)).collect();
        }
        Ok(replica)
    }

    fn check(&self, cells: &[(Cell, Object)]) -> Result<(), Malformed> {
        for (cell, object) in cells {
            let kind = self.schema.kind(cell.field).ok_or(Malformed("no such field"))?;
            if object.versions.iter().any(|version| version.content.kind() != kind) {
                return Err(Malformed("content of another kind than its field"));
            }
        }
        Ok(())
    }

    fn peer(&mut self, id: ReplicaId) -> Option<&mut Peer> {
        let at = self.peers.binary_search_by_key(&id, |peer| peer.id).ok()?;
        Some(&mut self.peers[at])
    }

    fn edit(&mut self, id: EditId, edit: &Edit, out: &mut Outbox) {
        let Some(cell) = edit.cell() else {
            let schema = self.schema.clone();
            for (cell, kind) in schema.cells(edit.record()) {
                if self.cells.get(&cell).is_some_and(|object| object.preferred().is_some()) {
                    self.edit_cell(cell, kind, id, edit, out);
                }
            }
            return;
        };
        if let Some(kind) = self.schema.kind(cell.field)
            && speaks_of(edit).is_none_or(|wanted| wanted == kind)
        {
            self.edit_cell(cell, kind, id, edit, out);
        }
    }

    fn edit_cell(
        &mut self,
        cell: Cell,
        kind: FieldKind,
        id: EditId,
        edit: &Edit,
        out: &mut Outbox,
    ) {
        let object = self.cells.entry(cell).or_default();
        // A change of the only version hides nothing.
        let replaces =
            matches!(edit, Edit::Put { .. } | Edit::Delete { .. } | Edit::Resolve { .. });
        let shown = (replaces || object.versions.len() > 1)
            .then(|| Shown::of(object.versions.iter(), self.policy).into_owned());
        out.work(1 + object.vector.len() as u64);
        for version in &object.versions {
            let moved = if kind == FieldKind::Text { version.content.bytes() } else { 0 };
            out.work_bytes(moved as usize);
        }
        match edit {
            Edit::Delete { .. } => object.delete(self.actor, self.policy, kind, id),
            Edit::Resolve { content, seen, .. } => {
                object.resolve(self.actor, self.policy, id, content, seen);
            }
            _ => object.write(self.actor, self.policy, kind, id, edit),
        }
        if let Some(shown) = shown {
            shown.report_own(cell, object, id, self.policy, out);
        }
        self.peers.iter_mut().for_each(|peer| peer.owe(cell));
    }

    fn sync(&mut self, to: ReplicaId, out: &mut Outbox) {
        let (transport, incarnation) = (self.transport, self.actor.incarnation);
        let Some(peer) = self.peer(to) else { return };
        if peer.asking {
            let bytes = Message::Ask { incarnation }.encode();
            out.work_bytes(bytes.len());
            out.send(to, bytes, Cargo::default());
        }
        let Some((batch, cells)) = peer.take_batch(transport) else { return };
        let mut bytes = Writer::new();
        let mut cargo = Cargo::default();
        update_head(batch, cells.len(), &mut bytes);
        for cell in &cells {
            let object = self.cells.get(cell).expect("only cells that exist are owed");
            encode_object(*cell, object, &mut bytes);
            for version in &object.versions {
                version.story.load(cargo.elements as usize, version.edit, &mut cargo.ids);
                cargo.elements += 1;
                cargo.content_bytes += version.content.bytes();
            }
        }
        let bytes = bytes.finish();
        out.work(cells.len() as u64);
        out.work_bytes(bytes.len());
        out.send(to, bytes, cargo);
    }

    fn receive(
        &mut self,
        from: ReplicaId,
        bytes: &[u8],
        cargo: &Cargo,
        out: &mut Outbox,
    ) -> Result<(), Malformed> {
        out.work_bytes(bytes.len());
        match Message::decode(bytes)? {
            Message::Update { batch, mut cells } => {
                self.check(&cells)?;
                unload_cargo(&mut cells, self.genesis_edits, &cargo.ids);
                cells.into_iter().for_each(|(cell, object)| self.join(from, cell, object, out));
                out.send(from, Message::Ack { batch }.encode(), Cargo::default());
            }
            Message::Ack { batch } => {
                if let Some(peer) = self.peer(from) {
                    peer.acknowledged(batch);
                }
            }
            Message::Ask { incarnation } => {
                let at = self.peers.binary_search_by_key(&from, |peer| peer.id);
                if let Ok(at) = at {
                    out.work(self.cells.len() as u64);
                    let written = self.cells.iter().filter(|(_, object)| object.vector.len() > 0);
                    written.for_each(|(cell, _)| self.peers[at].owe(*cell));
                }
                out.send(from, Message::Heard { incarnation }.encode(), Cargo::default());
            }
            Message::Heard { incarnation } => {
                let current = incarnation == self.actor.incarnation;
                if let Some(peer) = self.peer(from).filter(|_| current) {
                    peer.asking = false;
                }
            }
        }
        Ok(())
    }

    fn join(&mut self, from: ReplicaId, cell: Cell, incoming: Object, out: &mut Outbox) {
        let object = self.cells.entry(cell).or_default();
        out.work((object.vector.len() + incoming.vector.len() + 1) as u64);
        let order = object.vector.partial_cmp(&incoming.vector);
        if matches!(order, None | Some(Ordering::Less)) {
            out.work((object.versions.len() + incoming.versions.len()) as u64);
            let joined = object.join(incoming);
            let elsewhere = |edit| knows_elsewhere(&self.cells, cell, edit);
            let object = &self.cells[&cell];
            report_join(cell, object, &joined, self.policy, elsewhere, out);
            let others = self.peers.iter_mut().filter(|peer| peer.id != from);
            others.for_each(|peer| peer.owe(cell));
        }
        let sender_knows_all = matches!(order, Some(Ordering::Less | Ordering::Equal));
        if sender_knows_all && let Some(peer) = self.peer(from) {
            peer.knows(cell);
        }
    }

    fn in_scope(&self, scope: Scope) -> impl Iterator<Item = (Cell, &Object)> {
        let cell = |record, field| Cell { record: RecordId(record), field: FieldId(field) };
        let range = match scope {
            Scope::Cell(cell) => cell..=cell,
            Scope::Record(record) => cell(record.0, 0)..=cell(record.0, u16::MAX),
            Scope::All | Scope::Partition(_) => cell(0, 0)..=cell(u32::MAX, u16::MAX),
        };
        let cells = self.cells.range(range).map(|(cell, object)| (*cell, object));
        cells.filter(move |(cell, _)| scope.contains(*cell))
    }
}

/// Whether an edit is known to another cell of the same record.
fn knows_elsewhere(cells: &BTreeMap<Cell, Object>, cell: Cell, edit: EditId) -> bool {
    let first = Cell { field: FieldId(0), ..cell };
    let last = Cell { field: FieldId(u16::MAX), ..cell };
    cells
        .range(first..=last)
        .filter(|(other, _)| **other != cell)
        .any(|(_, object)| object.versions.iter().any(|version| version.story.knows(edit)))
}

/// The kind of field that an edit of one cell is for.
fn speaks_of(edit: &Edit) -> Option<FieldKind> {
    match edit {
        Edit::Put { .. } => Some(FieldKind::Register),
        Edit::Add { .. } => Some(FieldKind::Counter),
        Edit::Insert { .. } | Edit::Remove { .. } => Some(FieldKind::Set),
        Edit::Splice { .. } => Some(FieldKind::Text),
        Edit::Resolve { content, .. } => Some(content.kind()),
        Edit::Delete { .. } => None,
    }
}

impl Replica for VersionVectorReplica {
    fn handle(&mut self, _: Clock, input: Input<'_>, out: &mut Outbox) -> Result<(), Malformed> {
        match input {
            Input::Edit { id, edit } => self.edit(id, edit, out),
            Input::Sync { peer } => self.sync(peer, out),
            Input::Receive { from, bytes, cargo } => self.receive(from, bytes, cargo, out)?,
            Input::Link { peer, state: LinkState::Lost } => {
                if let Some(peer) = self.peer(peer) {
                    peer.lost();
                }
            }
            Input::Link { state: LinkState::Open, .. } | Input::Seat(_) => {}
        }
        Ok(())
    }

    fn pending(&self, peer: ReplicaId) -> Pending {
        let at = self.peers.binary_search_by_key(&peer, |peer| peer.id);
        at.map_or_else(|_| Pending::default(), |at| self.peers[at].pending(self.transport))
    }

    fn length(&self, cell: Cell) -> usize {
        let preferred = self.cells.get(&cell).and_then(Object::preferred);
        preferred.map_or(0, |version| version.content.length())
    }

    fn render(&self, scope: Scope, out: &mut Rendering) {
        for (cell, object) in self.in_scope(scope) {
            match self.policy {
                Policy::Merge => {
                    if let Some(content) = object.merged() {
                        out.settled(cell, content);
                    }
                }
                Policy::Siblings => {
                    let alternatives = object.alternatives().into_iter().map(|version| {
                        Alternative { mark: version.mark(), content: version.content.clone() }
                    });
                    out.conflict(cell, alternatives.collect());
                }
            }
        }
    }

    fn save(&self, out: &mut Vec<u8>) {
        let mut bytes = Writer::after(std::mem::take(out));
        bytes.uint(u64::from(self.actor.incarnation));
        bytes.count(self.cells.len());
        self.cells.iter().for_each(|(cell, object)| encode_object(*cell, object, &mut bytes));
        for object in self.cells.values() {
            object.versions.iter().for_each(|version| version.story.save(&mut bytes));
        }
        bytes.count(self.peers.len());
        self.peers.iter().for_each(|peer| peer.save(&mut bytes));
        *out = bytes.finish();
    }

    fn footprint(&self) -> Footprint {
        /// An actor and its counter.
        const ENTRY_BYTES: u64 = 16;
        /// A dot, the number of events, the edit.
        const VERSION_BYTES: u64 = 16 + 8 + 12;
        /// A cell and the number of a batch.
        const OWED_BYTES: u64 = 6 + 8;
        let mut footprint = Footprint::default();
        for object in self.cells.values() {
            let mut metadata = ENTRY_BYTES * object.vector.len() as u64;
            for version in &object.versions {
                metadata += VERSION_BYTES;
                footprint.content_bytes += version.content.bytes();
            }
            if object.versions.iter().all(|version| version.deleted) {
                footprint.history_bytes += metadata;
            } else {
                footprint.metadata_bytes += metadata;
            }
        }
        let owed = self.peers.iter().flat_map(Peer::cells).count();
        footprint.history_bytes += OWED_BYTES * owed as u64;
        footprint
    }
}
