//! What a replica says to a peer, and what it makes of what a peer says.

use super::{MergeReplica, Neighbour};
use crate::contract::{Cargo, CargoIds, Malformed, Outbox};
use crate::document::{Cell, EditId, ReplicaId};
use crate::lineage::Lineage;
use crate::version_vector::merge::history::{History, Root, Taken};
use crate::version_vector::merge::message::{
    Message, Part, Remark, RootNames, part_for, unload_node,
};
use crate::version_vector::merge::report::{Came, report_news};
use crate::version_vector::vector::Dot;
use std::collections::BTreeMap;

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

impl MergeReplica {
    pub(super) fn sync(&mut self, to: ReplicaId, out: &mut Outbox) {
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

    pub(super) fn receive(
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
            let mut also = node.name.also.clone();
            if let Some(before) = history.before_it_grew(&node).map(|before| &before.name) {
                also = also.difference(&before.also).difference(&Lineage::of(before.edit));
            }
            let new = (node.name.edit, also, node.clears());
            let again = history.has(node.name.edit);
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
                // What is on its way holds nothing of edits made again, and may make him take the root that was here.
                peer.owe(cell);
            } else if !history.is_held(from) {
                if peer.is_even(cell) {
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
