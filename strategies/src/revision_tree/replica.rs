//! A replica: records, peers, and what passes between them.

use super::leaf::Leaf;
use super::message::Message;
use super::peer::Peer;
use super::purge::Members;
use super::record::Record;
use super::report::{report_own, report_own_conflict, shown};
use crate::contract::{
    Cargo, Change, Clock, Footprint, Input, LinkState, Malformed, Outbox, Pending, Replica, Seat,
    Transport,
};
use crate::document::{
    Cell, Edit, EditId, FieldKind, RecordId, Rendering, ReplicaId, Schema, Scope,
};
use std::collections::{BTreeMap, BTreeSet};

/// One copy of the document.
#[derive(Debug)]
pub struct RevisionTreeReplica {
    pub(super) revs_limit: usize,
    pub(super) incarnation: u32,
    pub(super) transport: Transport,
    pub(super) schema: Schema,
    pub(super) records: BTreeMap<RecordId, Record>,
    /// Position of the last change in the feed; the first is 1.
    pub(super) seq: u64,
    /// By ascending id.
    pub(super) peers: Vec<Peer>,
    pub(super) members: Members,
}

impl RevisionTreeReplica {
    pub fn create(revs_limit: usize, seat: &Seat<'_>) -> Self {
        let mut replica = Self::vacant(revs_limit, seat);
        let mut last: BTreeMap<RecordId, EditId> = BTreeMap::new();
        for (id, edit) in seat.genesis {
            let Some(cell) = edit.cell() else { continue };
            if let Some(kind) = seat.schema.kind(cell.field) {
                let record = replica.records.entry(cell.record).or_default();
                record.genesis(kind, *id, cell.field, edit);
                last.insert(cell.record, *id);
            }
        }
        for (id, record) in &mut replica.records {
            record.commit_genesis(revs_limit, last[id]);
            replica.seq += 1;
            record.seq = replica.seq;
        }
        replica.peers =
            seat.peers.iter().map(|id| Peer::new(*id, seat.incarnation, replica.seq)).collect();
        replica.peers.sort_by_key(|peer| peer.id);
        replica
    }

    /// Without records and peers.
    pub(super) fn vacant(revs_limit: usize, seat: &Seat<'_>) -> Self {
        RevisionTreeReplica {
            revs_limit,
            incarnation: seat.incarnation,
            transport: seat.transport,
            schema: seat.schema.clone(),
            records: BTreeMap::new(),
            seq: 0,
            peers: Vec::new(),
            members: Members::new(seat),
        }
    }

    fn peer_at(&self, id: ReplicaId) -> Option<usize> {
        self.peers.binary_search_by_key(&id, |peer| peer.id).ok()
    }

    fn edit(&mut self, id: EditId, edit: &Edit, out: &mut Outbox) {
        let (record_id, cell) = (edit.record(), edit.cell());
        if cell.is_none() && self.records.get(&record_id).is_none_or(Record::is_deleted) {
            return;
        }
        let kind = match cell {
            None => None,
            Some(cell) => match self.schema.kind(cell.field) {
                Some(kind) if kind == speaks_of(edit) => Some(kind),
                _ => return,
            },
        };
        let record = self.records.entry(record_id).or_default();
        record.begin(self.members.grave(record_id));
        out.work(1 + record.leaves().len() as u64);
        match (edit, cell.zip(kind)) {
            (Edit::Resolve { cell, content, seen }, _) => {
                let before = shown(record.leaves().iter());
                record.resolve(self.revs_limit, id, cell.field, content, seen);
                report_own(record, &before, id, out);
                report_own_conflict(*cell, record, id, out);
            }
            (_, Some((cell, kind))) => {
                let replaced = record.edit(self.revs_limit, id, (cell.field, kind), edit);
                let elsewhere =
                    |edit: &EditId| record.leaves().iter().any(|leaf| leaf.story.shows(*edit));
                for edit in replaced.iter().filter(|edit| !elsewhere(edit)) {
                    out.change(Change::Replaced { edit, by: id });
                }
                report_own_conflict(cell, record, id, out);
            }
            (_, None) => {
                let before = shown(record.leaves().iter());
                record.delete(self.revs_limit, id);
                report_own(record, &before, id, out);
            }
        }
        // The whole record is hashed for its new name.
        out.work_bytes(record.live().first().map_or(0, |leaf| leaf.content_bytes() as usize));
        self.members.vouch_for(record_id);
        self.touch(record_id, out);
    }

    /// A record changed: it moves to the end of the feed.
    pub(super) fn touch(&mut self, id: RecordId, out: &mut Outbox) {
        let Some(record) = self.records.get_mut(&id) else { return };
        self.seq += 1;
        let old = std::mem::replace(&mut record.seq, self.seq);
        self.peers.iter_mut().for_each(|peer| peer.owe(old, self.seq, id));
        out.work(self.peers.len() as u64);
        record.seen_by.clear();
        self.members.moved(id);
        if record.is_deleted() {
            record.seen_by.insert(self.members.own());
            self.check_ripe(id);
        }
    }

    fn sync(&mut self, to: ReplicaId, out: &mut Outbox) {
        let Some(at) = self.peer_at(to) else { return };
        if self.peers[at].greet {
            self.send_greeting(at, false, out);
        }
        self.send_changes(at, out);
    }

    fn receive(
        &mut self,
        from: ReplicaId,
        bytes: &[u8],
        cargo: &Cargo,
        out: &mut Outbox,
    ) -> Result<(), Malformed> {
        out.work_bytes(bytes.len());
        let at = self.peer_at(from).ok_or(Malformed("not from a peer"))?;
        match Message::decode(bytes)? {
            Message::Greeting { answer, asks_all, own, life, through } => {
                self.greeted(at, own, (life, through), (answer, asks_all), out);
            }
            Message::Changes(changes) => self.told(at, changes, cargo, out),
            Message::Diff { number, missing } => self.asked(at, number, &missing, cargo, out)?,
            Message::Documents { number, leaves } => {
                self.check(&leaves)?;
                self.store(at, number, leaves, cargo, out);
            }
            Message::Stored { number } => self.stored(at, number, out),
        }
        Ok(())
    }

    fn check(&self, leaves: &[(RecordId, Leaf)]) -> Result<(), Malformed> {
        for (_, leaf) in leaves {
            for (field, content) in &leaf.contents {
                if self.schema.kind(*field) != Some(content.kind()) {
                    return Err(Malformed("content of another kind than its field"));
                }
            }
            if !leaf.is_genuine(self.revs_limit) {
                return Err(Malformed("a revision under a wrong name"));
            }
        }
        Ok(())
    }

    /// The records of a scope, with their cells in it.
    fn in_scope(&self, scope: Scope) -> impl Iterator<Item = (Cell, FieldKind, &Record)> {
        let range = match scope {
            Scope::Cell(Cell { record, .. }) | Scope::Record(record) => record..=record,
            Scope::All | Scope::Partition(_) => RecordId(0)..=RecordId(u32::MAX),
        };
        let cells = self.records.range(range).flat_map(|(id, record)| {
            self.schema.cells(*id).map(move |(cell, kind)| (cell, kind, record))
        });
        cells.filter(move |(cell, _, _)| scope.contains(*cell))
    }
}

/// All records with their positions in the feed.
pub(super) fn feed(records: &BTreeMap<RecordId, Record>) -> impl Iterator<Item = (u64, RecordId)> {
    records.iter().map(|(id, record)| (record.seq, *id))
}

/// The kind of field that an edit of a cell is for.
fn speaks_of(edit: &Edit) -> FieldKind {
    match edit {
        Edit::Put { .. } => FieldKind::Register,
        Edit::Add { .. } => FieldKind::Counter,
        Edit::Insert { .. } | Edit::Remove { .. } => FieldKind::Set,
        Edit::Splice { .. } => FieldKind::Text,
        Edit::Resolve { content, .. } => content.kind(),
        Edit::Delete { .. } => unreachable!("a delete has no cell"),
    }
}

impl Replica for RevisionTreeReplica {
    fn handle(&mut self, _: Clock, input: Input<'_>, out: &mut Outbox) -> Result<(), Malformed> {
        match input {
            Input::Edit { id, edit } => self.edit(id, edit, out),
            Input::Sync { peer } => self.sync(peer, out),
            Input::Receive { from, bytes, cargo } => self.receive(from, bytes, cargo, out)?,
            Input::Link { peer, state } => {
                if let Some(at) = self.peer_at(peer) {
                    match state {
                        LinkState::Open => self.peers[at].opened(),
                        LinkState::Lost => {
                            self.peers[at].lost();
                            if self.members.doubts() {
                                self.peers[at].ask_all();
                            }
                        }
                    }
                }
            }
            Input::Seat(change) => self.membership(change),
        }
        Ok(())
    }

    fn pending(&self, peer: ReplicaId) -> Pending {
        let at = self.peer_at(peer);
        at.map_or_else(Pending::default, |at| self.peers[at].pending(self.transport))
    }

    fn length(&self, cell: Cell) -> usize {
        let winner = self.records.get(&cell.record).and_then(|record| record.live().first());
        winner.and_then(|leaf| leaf.content(cell.field)).map_or(0, |content| content.length())
    }

    fn render(&self, scope: Scope, out: &mut Rendering) {
        for (cell, kind, record) in self.in_scope(scope) {
            match record.live() {
                [] => {}
                [only] => {
                    if let Some(content) = only.content(cell.field) {
                        out.settled(cell, content.clone());
                    }
                }
                _ => out.conflict(cell, record.alternatives(cell.field, kind)),
            }
        }
    }

    fn save(&self, out: &mut Vec<u8>) {
        self.write_snapshot(out);
    }

    fn footprint(&self) -> Footprint {
        /// A generation and a hash.
        const REV_BYTES: u64 = 8 + 16;
        /// The hash of an ancestor.
        const ANCESTOR_BYTES: u64 = 16;
        /// A position in the feed and a record.
        const OWED_BYTES: u64 = 8 + 4;
        let mut footprint = Footprint::default();
        for record in self.records.values() {
            let mut revs = BTreeSet::new();
            for leaf in record.leaves() {
                footprint.content_bytes += leaf.content_bytes();
                let bytes = if leaf.deleted {
                    &mut footprint.history_bytes
                } else {
                    &mut footprint.metadata_bytes
                };
                *bytes += REV_BYTES;
                if record.leaves().len() > 1 {
                    // Branches share the revisions before they parted.
                    revs.extend(leaf.path().skip(1));
                } else {
                    footprint.history_bytes += ANCESTOR_BYTES * (leaf.path_len() as u64 - 1);
                }
            }
            footprint.metadata_bytes += size_of::<u64>() as u64;
            footprint.history_bytes += ANCESTOR_BYTES * revs.len() as u64;
            footprint.history_bytes += size_of::<ReplicaId>() as u64 * record.seen_by.len() as u64;
        }
        let owed: u64 = self.peers.iter().map(Peer::records).sum();
        footprint.history_bytes += OWED_BYTES * owed;
        footprint
    }
}
