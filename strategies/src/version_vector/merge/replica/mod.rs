//! A replica of `version-vector/merge`: histories of cells, peers, and what passes between them.

mod members;

use super::history::{History, Root, Taken, mark};
use super::message::{
    Message, Part, Remark, RootNames, decode_lives, encode_lives, part_for, unload_node,
};
use super::report::{Came, report_news, report_own};
use super::stored::{restore_history, save_history};
use crate::contract::{
    Cargo, CargoIds, Clock, Footprint, Input, LinkState, Malformed, Outbox, Pending, Replica, Seat,
    Transport,
};
use crate::document::{
    Alternative, Cell, Content, Edit, EditId, FieldId, FieldKind, RecordId, Rendering, ReplicaId,
    Schema, Scope,
};
use crate::lineage::Lineage;
use crate::version_vector::cells_of;
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

/// What a part of a cell was, and did.
struct Joined {
    /// Its root.
    root: Dot,
    /// There was nothing else in it.
    is_question: bool,
    changed: bool,
    /// One of the two lacks the other one's root.
    roots_differ: bool,
    /// Own edits were made again on the other one's root.
    rebased: bool,
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

    fn sync(&mut self, to: ReplicaId, out: &mut Outbox) {
        let (transport, actor, lives) = (self.transport, self.actor, self.known_lives());
        let Some(neighbour) = self.neighbour(to) else { return };
        if neighbour.peer.asking {
            let bytes = Message::Ask { incarnation: actor.incarnation }.encode();
            out.work_bytes(bytes.len());
            out.send(to, bytes, Cargo::default());
        }
        let Some((batch, cells)) = neighbour.peer.take_batch(transport) else { return };
        let rootless = neighbour.rootless.clone();
        let (mut cargo, mut next_element) = (Cargo::default(), 0);
        let mut parts = Vec::with_capacity(cells.len());
        for cell in cells {
            let history = self.cells.get_mut(&cell).expect("only cells that exist are owed");
            history.will_send(to);
            let in_full = rootless.contains(&cell);
            let part = part_for(history, to, actor.replica, in_full, &mut next_element, &mut cargo);
            out.work(1 + part.nodes.len() as u64);
            parts.push((cell, part));
        }
        let bytes = Message::Update { batch, lives, cells: parts }.encode();
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
            Message::Update { batch, lives, mut cells } => {
                self.check(&cells)?;
                self.meet_all(from, batch, &lives, &mut cells, out);
                let mut remarks = Vec::new();
                let (mut ids, mut next_element) = (cargo.ids.as_slice(), 0);
                for (cell, part) in cells {
                    let remark = self.join(from, cell, part, &mut next_element, &mut ids, out);
                    if remark != Remark::default() {
                        remarks.push((cell, remark));
                    }
                }
                let bytes = Message::Ack { batch, remarks }.encode();
                out.work_bytes(bytes.len());
                out.send(from, bytes, Cargo::default());
            }
            Message::Ack { batch, remarks } => self.acknowledged(from, batch, &remarks, out),
            Message::Ask { incarnation } => {
                let met = self.meet(from, incarnation);
                out.work(met + self.estranged(from));
                out.send(from, Message::Heard { incarnation }.encode(), Cargo::default());
            }
            Message::Heard { incarnation } => {
                let current = incarnation == self.actor.incarnation;
                if let Some(neighbour) = self.neighbour(from).filter(|_| current) {
                    neighbour.peer.asking = false;
                }
            }
        }
        Ok(())
    }

    fn check(&self, cells: &[(Cell, Part)]) -> Result<(), Malformed> {
        for (cell, part) in cells {
            let kind = self.schema.kind(cell.field).ok_or(Malformed("no such field"))?;
            let full = part.full.iter().all(|full| full.content.kind() == kind);
            if !full || !part.nodes.iter().all(|node| node.step.fits(kind)) {
                return Err(Malformed("content of another kind than its field"));
            }
        }
        Ok(())
    }

    /// Takes in what somebody has of a cell.
    fn join(
        &mut self,
        from: ReplicaId,
        cell: Cell,
        part: Part,
        next_element: &mut usize,
        ids: &mut &[CargoIds],
        out: &mut Outbox,
    ) -> Remark {
        let kind = self.schema.kind(cell.field).expect("cells are checked");
        let (me, is_missing) = (self.actor, self.is_missing());
        let history = self.cells.entry(cell).or_insert_with(|| History::new(kind));
        let before = history.view().clone();
        let pieces_before = match part.full {
            Some(_) => history.visible_pieces(),
            None => Vec::new(),
        };
        let (mut news, mut work, mut needs_root) = (Came::default(), 1, false);
        let Part { root, full, nodes } = part;
        let is_question = full.is_none() && nodes.is_empty();
        let full = full.map(|full| (full, RootNames::unload(next_element, ids)));
        let mut nodes: Vec<_> = nodes
            .into_iter()
            .map(|mut node| {
                node.holders.push(me.replica);
                node.holders.sort_unstable();
                node.holders.dedup();
                unload_node(&mut node, next_element, ids);
                node
            })
            .collect();
        history.follow_root(root, &self.members, is_missing);
        let mut push_root = false;
        let mut adopted = None;
        let full = full.map(|(full, names)| full.into_root(root, names, history));
        match (history.place(root), full) {
            (Some(0), _) => {}
            // It is here, but not all that is here follows it. Whoever has that root may not have that.
            (Some(_), Some(_)) => {
                let here = history.as_root(root).expect("it has a place");
                adopted = Some(history.adopt(here, std::mem::take(&mut nodes), me, &mut work));
            }
            (Some(_), None) => push_root = true,
            (None, Some(full)) if history.root.vector.covers(root) => {
                let lacks = nodes.iter().any(|node| !history.has_seen(node.dot));
                adopted = if lacks { history.widen(&full, &nodes, &mut work) } else { None };
                if adopted.is_some() {
                    nodes.clear();
                }
            }
            (None, Some(full)) if goes_first(history, &full) => {
                let known = history.known_pieces();
                // Own ones are known unless memory was lost, though they may have been forgotten since.
                let own = |edit: &EditId| edit.origin == me.replica && me.incarnation == 0;
                let new = |edit: &EditId| !known.contains(edit) && !own(edit);
                let mut pieces = full.removals.clone();
                for (edit, _) in &full.pieces {
                    pieces.insert(*edit);
                }
                news.pieces = pieces.iter().filter(new).collect();
                news.deletions = full.deletions.iter().filter(new).collect();
                adopted = Some(history.adopt(full, std::mem::take(&mut nodes), me, &mut work));
            }
            (None, _) => needs_root = !history.root.vector.covers(root),
        }
        if let Some(adopted) = adopted {
            needs_root |= adopted.refused;
            news = Came { nodes: adopted.came, left_out: adopted.left_out, adopted: true, ..news };
        }
        for node in nodes {
            let mut also = node.also.clone();
            if let Some(before) = history.before_it_grew(&node) {
                also = also.difference(&before.also).difference(&Lineage::of(before.edit));
            }
            let new = (node.edit, also, node.clears());
            let again = history.has(node.edit);
            match history.take(node, &mut work) {
                Taken::New if again => news.again = true,
                Taken::New => news.nodes.push(new),
                Taken::Known => {}
                Taken::Refused => needs_root = true,
                Taken::LeftOut => push_root = true,
            }
        }
        history.look_at(&mut work);
        if news.adopted {
            news.back = history.back_since(&pieces_before);
            // Who removed it, while this replica was away, nobody says any more.
            news.left_out.extend(history.hidden(pieces_before));
        }
        let changed = news.is_any() || before != *history.view();
        if changed {
            report_news(cell, &before, history, &news, &mut self.deletes, out);
        }
        let rebased = news.adopted;
        if rebased {
            // Edits that were just made again nobody has, whatever he had more than was here before.
            self.peers.iter_mut().for_each(|neighbour| drop(neighbour.ahead.remove(&cell)));
        }
        let at = self.peers.binary_search_by_key(&from, |neighbour| neighbour.peer.id);
        if let Ok(at) = at {
            self.peers[at].catch_up(cell, &mut self.cells);
        }
        let roots_differ = needs_root || push_root;
        let joined = Joined { root, is_question, changed, roots_differ, rebased };
        self.settle_with(from, cell, joined, &mut work);
        out.work(work);
        let history = &self.cells[&cell];
        let heads = if history.is_held(from) { Vec::new() } else { history.head_dots() };
        let root = (history.root.dot != root).then_some(history.root.dot);
        Remark { heads, needs_root, root }
    }

    /// After a part of a cell came: what everybody has is forgotten, and whoever lacks something is owed it.
    fn settle_with(
        &mut self,
        from: ReplicaId,
        cell: Cell,
        Joined { root, is_question, changed, roots_differ, rebased }: Joined,
        work: &mut u64,
    ) {
        let is_missing = self.is_missing();
        let history = self.cells.get_mut(&cell).expect("a part of it came");
        // Whoever is taken to be gone is not waited for, and lacks it all the same.
        let lacks = |neighbour: &Neighbour| !history.is_held(neighbour.peer.id);
        let lacking: Vec<bool> = self.peers.iter().map(lacks).collect();
        *work += history.settle(&self.members, is_missing);
        for (neighbour, lacks) in self.peers.iter_mut().zip(lacking) {
            let Neighbour { peer, rootless, .. } = neighbour;
            if peer.id != from && rebased {
                // Whoever sent what was left out here learns why.
                rootless.insert(cell);
                peer.owe(cell);
            } else if peer.id != from {
                if changed && lacks {
                    peer.owe(cell);
                }
            } else if roots_differ {
                // One of the two is behind; whoever it is learns so from the other one's root.
                rootless.insert(cell);
                peer.owe(cell);
            } else if is_question && history.is_later(root) {
                peer.owe(cell);
            } else if rebased && !peer.is_even(cell) {
                // What is on its way may make him take the root that was here.
                peer.owe(cell);
            } else if !history.is_held(from) {
                // Of edits made again what is on its way holds nothing.
                if rebased || peer.is_even(cell) {
                    peer.owe(cell);
                }
            } else if !rootless.contains(&cell) && history.root.dot == root {
                // Of what led to a later root nobody can tell whether he has it, who may have lost his memory.
                peer.knows(cell);
            }
        }
    }

    /// A peer has taken in a batch.
    fn acknowledged(
        &mut self,
        from: ReplicaId,
        batch: u64,
        remarks: &[(Cell, Remark)],
        out: &mut Outbox,
    ) {
        let Ok(at) = self.peers.binary_search_by_key(&from, |neighbour| neighbour.peer.id) else {
            return;
        };
        let is_missing = self.is_missing();
        for cell in self.peers[at].peer.acknowledged(batch) {
            let neighbour = &mut self.peers[at];
            let remark = remarks.binary_search_by_key(&cell, |(cell, _)| *cell);
            let remark = remark.map_or_else(|_| Remark::default(), |at| remarks[at].1.clone());
            if remark.needs_root {
                neighbour.rootless.insert(cell);
                neighbour.peer.owe(cell);
                continue;
            }
            neighbour.rootless.remove(&cell);
            neighbour.ahead.insert(cell, remark.heads);
            neighbour.catch_up(cell, &mut self.cells);
            let Some(history) = self.cells.get_mut(&cell) else { continue };
            out.work(1 + history.settle(&self.members, is_missing));
            if let Some(root) = remark.root {
                history.follow_root(root, &self.members, is_missing);
                if !history.has_seen(root) {
                    // A part with nothing in it but the root asks for a later one.
                    self.peers[at].peer.owe(cell);
                }
            }
        }
    }

    fn in_scope(&self, scope: Scope) -> impl Iterator<Item = (Cell, &History)> {
        let cell = |record, field| Cell { record: RecordId(record), field: FieldId(field) };
        let range = match scope {
            Scope::Cell(cell) => cell..=cell,
            Scope::Record(record) => cell(record.0, 0)..=cell(record.0, u16::MAX),
            Scope::All | Scope::Partition(_) => cell(0, 0)..=cell(u32::MAX, u16::MAX),
        };
        let cells = self.cells.range(range).map(|(cell, history)| (*cell, history));
        cells.filter(move |(cell, _)| scope.contains(*cell))
    }
}

impl Neighbour {
    /// What it had more is here by now, or not yet.
    fn catch_up(&mut self, cell: Cell, cells: &mut BTreeMap<Cell, History>) {
        let (Some(heads), Some(history)) = (self.ahead.get(&cell), cells.get_mut(&cell)) else {
            return;
        };
        if !self.peer.is_even(cell) {
            // There is something new for it, and its answer to that will say.
            self.ahead.remove(&cell);
        } else if heads.iter().all(|head| history.vector.covers(*head)) {
            history.held(self.peer.id);
            self.ahead.remove(&cell);
        }
    }
}

/// Whether somebody's root, which is unknown here, goes before the one here: it follows that, or neither follows the other and it is the later
/// one.
fn goes_first(history: &History, root: &Root) -> bool {
    let here = &history.root;
    root.vector.covers(here.dot) || (root.events, root.dot) > (here.events, here.dot)
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
