//! A replica: cells, peers, and what passes between them.

mod filing;

use crate::contract::{
    Cargo, Clock, Footprint, Input, LinkState, Malformed, Outbox, Pending, Replica, Seat, Transport,
};
use crate::document::{
    Alternative, Cell, Edit, EditId, FieldKind, Rendering, ReplicaId, Schema, Scope,
};
use crate::lww::store::cells_in;
use crate::version_vector::entry::Entry;
use crate::version_vector::message::{
    Message, decode_objects, encode_objects, unload_cargo, update_head,
};
use crate::version_vector::object::{Naming, Object};
use crate::version_vector::peer::Peer;
use crate::version_vector::report::{report_news, report_own};
use crate::version_vector::seen::RecentDeletes;
use crate::version_vector::story::Story;
use crate::version_vector::uplink::Uplink;
use crate::version_vector::vector::Actor;
use crate::version_vector::version::{Version, alternatives_of, compose, preferred_of};
use crate::version_vector::{Variant, cells_of};
use crate::wire::{Reader, Writer};
use std::collections::BTreeMap;

/// One copy of the document.
#[derive(Debug)]
pub struct VersionVectorReplica {
    naming: Naming,
    actor: Actor,
    transport: Transport,
    schema: Schema,
    cells: BTreeMap<Cell, Entry>,
    /// By ascending id.
    peers: Vec<Peer>,
    /// Where this replica's own edits go; `None` where it coordinates them itself.
    uplink: Option<Uplink>,
    /// For reports only.
    deletes: RecentDeletes,
}

impl VersionVectorReplica {
    pub fn create(variant: Variant, seat: &Seat<'_>) -> Self {
        let mut cells: BTreeMap<Cell, Entry> = BTreeMap::new();
        for (id, edit) in seat.genesis {
            if let Some((cell, kind)) =
                edit.cell().and_then(|cell| Some((cell, seat.schema.kind(cell.field)?)))
            {
                let entry = cells.entry(cell).or_default();
                entry.object.genesis(kind, *id, edit);
                entry.seen.add(*id);
            }
        }
        let mut peers: Vec<Peer> =
            seat.peers.iter().map(|id| Peer::new(*id, seat.incarnation)).collect();
        peers.sort_by_key(|peer| peer.id);
        let uplink = variant.coordinator(seat).map(|id| Uplink::new(id, seat.incarnation));
        VersionVectorReplica { peers, cells, uplink, ..Self::vacant(variant, seat) }
    }

    fn vacant(variant: Variant, seat: &Seat<'_>) -> Self {
        VersionVectorReplica {
            naming: variant.naming(),
            actor: Actor { replica: seat.replica, incarnation: seat.incarnation },
            transport: seat.transport,
            schema: seat.schema.clone(),
            cells: BTreeMap::new(),
            peers: Vec::new(),
            uplink: None,
            deletes: RecentDeletes::default(),
        }
    }

    pub fn restore(variant: Variant, seat: &Seat<'_>, saved: &[u8]) -> Result<Self, Malformed> {
        let mut bytes = Reader::new(saved);
        let mut replica = Self::vacant(variant, seat);
        let incarnation = bytes.uint32()?;
        let mut yours = Vec::new();
        let mut cells = decode_objects(replica.naming, &mut bytes, &mut yours)?;
        if !yours.is_empty() {
            return Err(Malformed("content left out"));
        }
        for (_, object) in &mut cells {
            for version in &mut object.versions {
                version.story = Story::restore(&mut bytes)?;
            }
        }
        replica.check(&cells)?;
        for (cell, object) in cells {
            let mut entry = Entry::default();
            entry.object = object;
            entry.restore_notes(&mut bytes)?;
            replica.cells.insert(cell, entry);
        }
        replica.deletes = RecentDeletes::restore(&mut bytes)?;
        for _ in 0..bytes.count(5)? {
            replica.peers.push(Peer::restore(&mut bytes)?);
        }
        if let Some(coordinator) = variant.coordinator(seat) {
            let mut uplink = Uplink::restore(coordinator, &mut bytes)?;
            replica.restore_drafts(&mut uplink, &mut bytes)?;
            replica.uplink = Some(uplink);
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
            if let Some(uplink) = &mut replica.uplink {
                uplink.reborn(seat.incarnation);
            }
            // Peers may have lost their memory, too, and told so what is forgotten here.
            (0..replica.peers.len()).for_each(|at| replica.owe_all(at));
        }
        Ok(replica)
    }

    fn kind(&self, cell: Cell) -> Result<FieldKind, Malformed> {
        self.schema.kind(cell.field).ok_or(Malformed("no such field"))
    }

    fn check(&self, cells: &[(Cell, Object)]) -> Result<(), Malformed> {
        for (cell, object) in cells {
            let kind = self.kind(*cell)?;
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
        let shows = |cell: &Cell| self.cells.get(cell).is_some_and(Entry::shows_something);
        for (cell, kind) in cells_of(edit, &self.schema, shows) {
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
        let entry = self.cells.entry(cell).or_default();
        out.work(1 + entry.object.vector.len() as u64);
        let visible = entry.visible();
        for version in &visible {
            let moved = if kind == FieldKind::Text { version.content.bytes() } else { 0 };
            out.work_bytes(moved as usize);
        }
        // A change of the only version hides nothing.
        let replaces =
            matches!(edit, Edit::Put { .. } | Edit::Delete { .. } | Edit::Resolve { .. });
        let reports = replaces || visible.len() > 1;
        let shown = if reports { ids_of(&visible) } else { Vec::new() };
        let (write, replaced) = compose(&visible, kind, id, edit);
        let gone = match &mut self.uplink {
            None => {
                let context = entry.object.context(self.naming, &replaced);
                entry.object.put(self.naming, self.actor, &context, write)
            }
            Some(uplink) => {
                let gone = entry.draft(self.actor, write, &replaced);
                if !entry.in_flight() {
                    uplink.is_ready(cell);
                }
                gone
            }
        };
        if reports {
            let old = entry.find(&shown, &gone);
            let deletes = matches!(edit, Edit::Delete { .. });
            report_own(cell, &old, &entry.visible(), id, deletes, out);
        }
        entry.note(id, edit);
        if self.uplink.is_none() {
            self.peers.iter_mut().for_each(|peer| peer.owe(cell));
        }
    }

    fn sync(&mut self, to: ReplicaId, out: &mut Outbox) {
        let (transport, incarnation) = (self.transport, self.actor.incarnation);
        let Some(peer) = self.peer(to) else { return };
        if peer.asking {
            let bytes = Message::Ask { incarnation }.encode(self.naming);
            out.work_bytes(bytes.len());
            out.send(to, bytes, Cargo::default());
        }
        if self.uplink.as_ref().is_some_and(|uplink| uplink.coordinator == to) {
            self.send_drafts(to, out);
        }
        let Some(peer) = self.peer(to) else { return };
        let Some((batch, cells)) = peer.take_batch(transport) else { return };
        let mut bytes = Writer::new();
        update_head(batch, &mut bytes);
        self.send_objects(to, &cells, &[], bytes, out);
    }

    /// Sends cells whole, after what is in `bytes`.
    fn send_objects(
        &self,
        to: ReplicaId,
        cells: &[Cell],
        yours: &[EditId],
        mut bytes: Writer,
        out: &mut Outbox,
    ) {
        let mut cargo = Cargo::default();
        let object =
            |cell: &Cell| (*cell, &self.cells.get(cell).expect("only cells that exist").object);
        encode_objects(self.naming, cells.iter().map(object), yours, &mut bytes);
        for version in cells.iter().flat_map(|cell| &object(cell).1.versions) {
            version.story.load(cargo.elements as usize, version.edit, &mut cargo.ids);
            cargo.elements += 1;
            if !yours.contains(&version.edit) {
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
        match Message::decode(self.naming, bytes)? {
            Message::Update { batch, mut cells } => {
                self.check(&cells)?;
                unload_cargo(&mut cells, &cargo.ids);
                cells.into_iter().for_each(|(cell, object)| self.join(from, cell, object, out));
                out.send(from, Message::Ack { batch }.encode(self.naming), Cargo::default());
            }
            Message::Ack { batch } => {
                let cells = self.peer(from).map_or(Vec::new(), |peer| peer.acknowledged(batch));
                cells.into_iter().for_each(|cell| self.settle(cell));
            }
            Message::Ask { incarnation } => {
                if let Ok(at) = self.peers.binary_search_by_key(&from, |peer| peer.id) {
                    out.work(self.cells.len() as u64);
                    self.owe_all(at);
                }
                let heard = Message::Heard { incarnation }.encode(self.naming);
                out.send(from, heard, Cargo::default());
            }
            Message::Heard { incarnation } => {
                let current = incarnation == self.actor.incarnation;
                if let Some(peer) = self.peer(from).filter(|_| current) {
                    peer.asking = false;
                }
            }
            Message::Puts { puts } => self.coordinate(from, puts, cargo, out)?,
            Message::Filed { serial, mut cells, yours } => {
                self.complete(&mut cells, &yours)?;
                self.check(&cells)?;
                unload_cargo(&mut cells, &cargo.ids);
                self.filed(from, serial, cells, out);
            }
        }
        Ok(())
    }

    /// A peer may have nothing of what it was sent.
    fn owe_all(&mut self, at: usize) {
        let written = self.cells.iter().filter(|(_, entry)| entry.object.vector.len() > 0);
        written.for_each(|(cell, _)| self.peers[at].owe(*cell));
    }

    fn join(&mut self, from: ReplicaId, cell: Cell, incoming: Object, out: &mut Outbox) {
        let told = self.all_told(cell);
        let entry = self.cells.entry(cell).or_default();
        out.work((entry.object.vector.len() + incoming.vector.len() + 1) as u64);
        out.work((entry.object.versions.len() + incoming.versions.len()) as u64);
        let shown = ids_of(&entry.visible());
        let joined = entry.join(self.naming, incoming);
        if joined.changed {
            if !told {
                entry.inherit(&shown, &joined.dropped);
            }
            self.report(cell, &shown, &joined.dropped, out);
            let others = self.peers.iter_mut().filter(|peer| peer.id != from);
            others.for_each(|peer| peer.owe(cell));
        }
        if joined.sender_knows_all
            && let Some(peer) = self.peer(from)
        {
            peer.knows(cell);
        }
        self.settle(cell);
    }

    /// Tells the application what is shown in a cell instead of the versions that these edits made, some of which are gone.
    fn report(&mut self, cell: Cell, shown: &[EditId], gone: &[Version], out: &mut Outbox) {
        let entry = self.cells.get_mut(&cell).expect("only cells that exist");
        let mut seen = std::mem::take(&mut entry.seen);
        let old = entry.find(shown, gone);
        report_news(cell, &old, &entry.visible(), &mut seen, &mut self.deletes, out);
        entry.seen = seen;
    }

    /// Forgets what only reports needed, where everybody around has been told.
    fn settle(&mut self, cell: Cell) {
        let told = self.all_told(cell);
        if let Some(entry) = self.cells.get_mut(&cell).filter(|_| told) {
            entry.settle(self.actor.replica);
        }
    }

    /// Whether everybody around has been told all there is to know of a cell. Those who are gone are waited for: when they come back they
    /// must be told of everything that went, and what is kept for that is for reports only.
    fn all_told(&self, cell: Cell) -> bool {
        self.peers.iter().all(|peer| peer.is_even(cell))
    }

    fn in_scope(&self, scope: Scope) -> impl Iterator<Item = (Cell, &Entry)> {
        let cells = self.cells.range(cells_in(scope)).map(|(cell, entry)| (*cell, entry));
        cells.filter(move |(cell, _)| scope.contains(*cell))
    }
}

fn ids_of(versions: &[&Version]) -> Vec<EditId> {
    versions.iter().map(|version| version.edit).collect()
}

impl Replica for VersionVectorReplica {
    fn handle(&mut self, _: Clock, input: Input<'_>, out: &mut Outbox) -> Result<(), Malformed> {
        match input {
            Input::Edit { id, edit } => self.edit(id, edit, out),
            Input::Sync { peer } => self.sync(peer, out),
            Input::Receive { from, bytes, cargo } => self.receive(from, bytes, cargo, out)?,
            Input::Link { peer: id, state: LinkState::Lost } => {
                if let Some(peer) = self.peer(id) {
                    peer.lost();
                }
                if let Some(uplink) = self.uplink.as_mut().filter(|up| up.coordinator == id) {
                    uplink.lost();
                }
            }
            Input::Link { state: LinkState::Open, .. } => {}
            Input::Seat(_) => {}
        }
        Ok(())
    }

    fn pending(&self, peer: ReplicaId) -> Pending {
        let at = self.peers.binary_search_by_key(&peer, |peer| peer.id);
        let mut pending =
            at.map_or_else(|_| Pending::default(), |at| self.peers[at].pending(self.transport));
        if let Some(uplink) = self.uplink.as_ref().filter(|uplink| uplink.coordinator == peer) {
            let drafts = uplink.pending(self.transport);
            pending.edits += drafts.edits;
            pending.exchange_open |= drafts.exchange_open;
        }
        pending
    }

    fn length(&self, cell: Cell) -> usize {
        let Some(entry) = self.cells.get(&cell) else { return 0 };
        preferred_of(entry.visible().into_iter()).map_or(0, |version| version.content.length())
    }

    fn render(&self, scope: Scope, out: &mut Rendering) {
        for (cell, entry) in self.in_scope(scope) {
            let alternatives = alternatives_of(&entry.visible()).into_iter().map(|version| {
                Alternative { mark: version.mark(), content: version.content.clone() }
            });
            out.conflict(cell, alternatives.collect());
        }
    }

    fn save(&self, out: &mut Vec<u8>) {
        let mut bytes = Writer::after(std::mem::take(out));
        bytes.uint(u64::from(self.actor.incarnation));
        let objects = self.cells.iter().map(|(cell, entry)| (*cell, &entry.object));
        encode_objects(self.naming, objects, &[], &mut bytes);
        for entry in self.cells.values() {
            entry.object.versions.iter().for_each(|version| version.story.save(&mut bytes));
        }
        self.cells.values().for_each(|entry| entry.save_notes(&mut bytes));
        self.deletes.save(&mut bytes);
        bytes.count(self.peers.len());
        self.peers.iter().for_each(|peer| peer.save(&mut bytes));
        if let Some(uplink) = &self.uplink {
            uplink.save(&mut bytes);
            let drafted = || self.cells.iter().filter(|(_, entry)| !entry.drafts.is_empty());
            bytes.count(drafted().count());
            for (cell, entry) in drafted() {
                bytes.cell(*cell);
                bytes.count(entry.drafts.len());
                entry.drafts.iter().for_each(|draft| draft.save(&mut bytes));
            }
        }
        *out = bytes.finish();
    }

    fn footprint(&self) -> Footprint {
        /// An actor and its counter.
        const ENTRY_BYTES: u64 = 16;
        /// A dot, the number of events, the edit.
        const VERSION_BYTES: u64 = 16 + 8 + 12;
        /// The same, the number of the draft, and what it hides.
        const DRAFT_BYTES: u64 = VERSION_BYTES + 8 + 12;
        /// A cell and the number of a batch.
        const OWED_BYTES: u64 = 6 + 8;
        let mut footprint = Footprint::default();
        for Entry { object, drafts, .. } in self.cells.values() {
            let clocks = match self.naming {
                Naming::Dots => object.vector.len(),
                Naming::Clocks => object.clocks().iter().map(|clock| clock.len()).sum(),
            };
            let mut metadata = ENTRY_BYTES * clocks as u64;
            for version in &object.versions {
                metadata += VERSION_BYTES;
                footprint.content_bytes += version.content.bytes();
            }
            if object.versions.iter().all(|version| version.deleted) {
                footprint.history_bytes += metadata;
            } else {
                footprint.metadata_bytes += metadata;
            }
            for draft in drafts {
                footprint.content_bytes += draft.version.content.bytes();
                footprint.history_bytes += DRAFT_BYTES;
            }
        }
        let owed = self.peers.iter().flat_map(Peer::cells).count();
        footprint.history_bytes += OWED_BYTES * owed as u64;
        footprint
    }
}

impl Entry {
    /// Whether the user sees anything here.
    fn shows_something(&self) -> bool {
        self.visible().iter().any(|version| !version.content.is_empty())
    }

    /// The versions that these edits made, whether they are still here or among those that have gone.
    fn find<'a>(&'a self, edits: &[EditId], gone: &'a [Version]) -> Vec<&'a Version> {
        let drafts = self.drafts.iter().filter(|draft| !draft.landed).map(|draft| &draft.version);
        let all = gone.iter().chain(&self.object.versions).chain(drafts);
        let all: Vec<&Version> = all.collect();
        edits.iter().filter_map(|edit| all.iter().find(|v| v.edit == *edit).copied()).collect()
    }
}
