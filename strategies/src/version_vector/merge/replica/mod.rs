//! A replica of `version-vector/merge`: histories of cells, peers, and what passes between them.

mod exchange;
mod members;

use crate::contract::{
    Clock, Footprint, Input, LinkState, Malformed, Outbox, Pending, Replica, Seat, Transport,
};
use crate::document::{
    Alternative, Cell, Content, Edit, EditId, FieldKind, Rendering, ReplicaId, Schema, Scope,
};
use crate::lww::store::cells_in;
use crate::version_vector::cells_of;
use crate::version_vector::merge::history::{History, mark};
use crate::version_vector::merge::message::{decode_lives, encode_lives};
use crate::version_vector::merge::report::report_own;
use crate::version_vector::merge::stored::{restore_history, save_history};
use crate::version_vector::peer::Peer;
use crate::version_vector::seen::RecentDeletes;
use crate::version_vector::vector::{Actor, Dot};
use crate::wire::{Reader, Writer};
use std::collections::{BTreeMap, BTreeSet};

/// One copy of the document.
#[derive(Debug)]
pub struct MergeReplica {
    actor: Actor,
    transport: Transport,
    schema: Schema,
    /// Everybody whose having an edit counts, in order.
    members: BTreeSet<ReplicaId>,
    /// How many members there were at first.
    seats: usize,
    /// How often others are known to have come back without their memory, as far as they ever did.
    lives: BTreeMap<ReplicaId, u32>,
    cells: BTreeMap<Cell, History>,
    /// By ascending id.
    peers: Vec<Neighbour>,
    /// For reports only.
    deletes: RecentDeletes,
}

/// A peer.
#[derive(Debug)]
struct Neighbour {
    peer: Peer,
    /// Cells whose root it may not have.
    rootless: BTreeSet<Cell>,
    /// Cells that it has taken in, though it had more; and the edits that nothing of what it had followed. Once these are here, it is known to
    /// have all that is here.
    ahead: BTreeMap<Cell, Vec<Dot>>,
}

impl MergeReplica {
    pub fn create(seat: &Seat<'_>) -> Self {
        let mut replica = Self::vacant(seat);
        for (id, edit) in seat.genesis {
            if let Some((cell, kind)) =
                edit.cell().and_then(|cell| Some((cell, seat.schema.kind(cell.field)?)))
            {
                let history = replica.cells.entry(cell).or_insert_with(|| History::new(kind));
                history.genesis(*id, edit);
            }
        }
        let mut peers = seat.peers.to_vec();
        peers.sort_unstable();
        let neighbour = |id| Neighbour {
            peer: Peer::new(id, seat.incarnation),
            rootless: BTreeSet::new(),
            ahead: BTreeMap::new(),
        };
        replica.peers = peers.into_iter().map(neighbour).collect();
        replica
    }

    fn vacant(seat: &Seat<'_>) -> Self {
        MergeReplica {
            actor: Actor { replica: seat.replica, incarnation: seat.incarnation },
            transport: seat.transport,
            schema: seat.schema.clone(),
            members: seat.members.iter().copied().collect(),
            seats: seat.members.len(),
            lives: BTreeMap::new(),
            cells: BTreeMap::new(),
            peers: Vec::new(),
            deletes: RecentDeletes::default(),
        }
    }

    pub fn restore(seat: &Seat<'_>, saved: &[u8]) -> Result<Self, Malformed> {
        let mut bytes = Reader::new(saved);
        let mut replica = Self::vacant(seat);
        let incarnation = bytes.uint32()?;
        replica.members = restore_set(&mut bytes, 1, |bytes| bytes.replica())?;
        replica.lives = decode_lives(&mut bytes)?.into_iter().collect();
        let schema = replica.schema.clone();
        for _ in 0..bytes.count(8)? {
            let cell = bytes.cell()?;
            let kind = schema.kind(cell.field).ok_or(Malformed("no such field"))?;
            let mut history = History::new(kind);
            restore_history(&mut history, &mut bytes)?;
            if replica.cells.insert(cell, history).is_some() {
                return Err(Malformed("a cell twice"));
            }
        }
        for _ in 0..bytes.count(6)? {
            let peer = Peer::restore(&mut bytes)?;
            let rootless = restore_set(&mut bytes, 2, |bytes| bytes.cell())?;
            let mut ahead = BTreeMap::new();
            for _ in 0..bytes.count(3)? {
                let cell = bytes.cell()?;
                let heads = restore_set(&mut bytes, 1, super::message::decode_dot)?;
                ahead.insert(cell, heads.into_iter().collect());
            }
            replica.peers.push(Neighbour { peer, rootless, ahead });
        }
        replica.deletes = RecentDeletes::restore(&mut bytes)?;
        bytes.end()?;
        let known = |cell: &Cell| replica.cells.contains_key(cell);
        let owed =
            |n: &Neighbour| n.peer.cells().all(|c| known(&c)) && n.rootless.iter().all(known);
        if !replica.peers.iter().all(owed) {
            return Err(Malformed("a cell is owed that does not exist"));
        }
        let mut expected = seat.peers.to_vec();
        expected.sort_unstable();
        if !expected.iter().eq(replica.peers.iter().map(|neighbour| &neighbour.peer.id)) {
            return Err(Malformed("snapshot from another seat"));
        }
        if incarnation != seat.incarnation {
            let reborn = |n: Neighbour| Neighbour { peer: n.peer.reborn(seat.incarnation), ..n };
            replica.peers = replica.peers.into_iter().map(reborn).collect();
            // Somebody may have lost his memory, too, and told so what is forgotten here.
            for peer in expected {
                replica.estranged(peer);
            }
        }
        Ok(replica)
    }

    fn neighbour(&mut self, id: ReplicaId) -> Option<&mut Neighbour> {
        let at = self.peers.binary_search_by_key(&id, |neighbour| neighbour.peer.id).ok()?;
        Some(&mut self.peers[at])
    }

    fn edit(&mut self, id: EditId, edit: &Edit, out: &mut Outbox) {
        let is_shown = |history: &History| !history.view().alternatives.is_empty();
        let shows = |cell: &Cell| self.cells.get(cell).is_some_and(is_shown);
        for (cell, kind) in cells_of(edit, &self.schema, shows) {
            self.edit_cell(cell, kind, id, edit, out);
        }
        if let Edit::Delete { .. } = edit {
            self.deletes.is_new(id);
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
        let history = self.cells.entry(cell).or_insert_with(|| History::new(kind));
        let before = history.view().stands_on.clone();
        out.work(history.write(self.actor, id, edit));
        report_own(cell, &before, history, id, edit, out);
        self.peers.iter_mut().for_each(|neighbour| neighbour.peer.owe(cell));
    }

    fn in_scope(&self, scope: Scope) -> impl Iterator<Item = (Cell, &History)> {
        let cells = self.cells.range(cells_in(scope)).map(|(cell, history)| (*cell, history));
        cells.filter(move |(cell, _)| scope.contains(*cell))
    }
}

fn restore_set<T: Ord>(
    bytes: &mut Reader<'_>,
    least_bytes: usize,
    mut one: impl FnMut(&mut Reader<'_>) -> Result<T, Malformed>,
) -> Result<BTreeSet<T>, Malformed> {
    let mut set = BTreeSet::new();
    for _ in 0..bytes.count(least_bytes)? {
        set.insert(one(bytes)?);
    }
    Ok(set)
}

impl Replica for MergeReplica {
    fn handle(&mut self, _: Clock, input: Input<'_>, out: &mut Outbox) -> Result<(), Malformed> {
        match input {
            Input::Edit { id, edit } => self.edit(id, edit, out),
            Input::Sync { peer } => self.sync(peer, out),
            Input::Receive { from, bytes, cargo } => self.receive(from, bytes, cargo, out)?,
            Input::Link { peer, state: LinkState::Lost } => {
                if let Some(neighbour) = self.neighbour(peer) {
                    neighbour.peer.lost();
                }
            }
            Input::Link { state: LinkState::Open, .. } => {}
            Input::Seat(change) => self.seat(change, out),
        }
        Ok(())
    }

    fn pending(&self, peer: ReplicaId) -> Pending {
        let at = self.peers.binary_search_by_key(&peer, |neighbour| neighbour.peer.id);
        at.map_or_else(|_| Pending::default(), |at| self.peers[at].peer.pending(self.transport))
    }

    fn length(&self, cell: Cell) -> usize {
        let view = self.cells.get(&cell).map(History::view);
        let first = view.and_then(|view| view.alternatives.first());
        first.map_or(0, |(_, content)| content.length())
    }

    fn render(&self, scope: Scope, out: &mut Rendering) {
        for (cell, history) in self.in_scope(scope) {
            let alternatives = history.view().alternatives.iter();
            let alternatives = alternatives.map(|(edit, content)| Alternative {
                mark: mark(*edit),
                content: Content::clone(content),
            });
            out.conflict(cell, alternatives.collect());
        }
    }

    fn save(&self, out: &mut Vec<u8>) {
        let mut bytes = Writer::after(std::mem::take(out));
        bytes.uint(u64::from(self.actor.incarnation));
        bytes.count(self.members.len());
        self.members.iter().for_each(|member| bytes.replica(*member));
        encode_lives(&self.known_lives(), &mut bytes);
        bytes.count(self.cells.len());
        for (cell, history) in &self.cells {
            bytes.cell(*cell);
            save_history(history, &mut bytes);
        }
        bytes.count(self.peers.len());
        for Neighbour { peer, rootless, ahead } in &self.peers {
            peer.save(&mut bytes);
            bytes.count(rootless.len());
            rootless.iter().for_each(|cell| bytes.cell(*cell));
            bytes.count(ahead.len());
            for (cell, heads) in ahead {
                bytes.cell(*cell);
                bytes.count(heads.len());
                heads.iter().for_each(|head| super::message::encode_dot(*head, &mut bytes));
            }
        }
        self.deletes.save(&mut bytes);
        *out = bytes.finish();
    }

    fn footprint(&self) -> Footprint {
        /// An actor and its counter; also the name of an edit that another one follows.
        const ENTRY_BYTES: u64 = 16;
        /// A dot, the number of events, the edit.
        const NODE_BYTES: u64 = 16 + 8 + 12;
        /// Somebody who has an edit.
        const HOLDER_BYTES: u64 = 4;
        /// A cell and the number of a batch.
        const OWED_BYTES: u64 = 6 + 8;
        let mut footprint = Footprint::default();
        for history in self.cells.values() {
            let root = &history.root;
            let metadata = ENTRY_BYTES * root.vector.len() as u64 + NODE_BYTES;
            footprint.content_bytes += root.state.content.bytes();
            if root.state.content.is_empty() {
                footprint.history_bytes += metadata;
            } else {
                footprint.metadata_bytes += metadata;
            }
            for node in history.line.iter() {
                footprint.history_bytes += NODE_BYTES
                    + ENTRY_BYTES * node.parents.len() as u64
                    + HOLDER_BYTES * node.holders.len() as u64
                    + history.step(node).content_bytes();
            }
        }
        let owed = self.peers.iter().flat_map(|neighbour| neighbour.peer.cells()).count();
        footprint.history_bytes += OWED_BYTES * owed as u64;
        footprint
    }
}
