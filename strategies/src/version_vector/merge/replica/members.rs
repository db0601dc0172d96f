//! Who is there: who is gone, who is back, and who came back without its memory.

use super::MergeReplica;
use crate::contract::{Outbox, SeatChange};
use crate::document::{Cell, ReplicaId};
use crate::version_vector::merge::message::Part;
use crate::version_vector::vector::Actor;

impl MergeReplica {
    /// A peer may have nothing of what everybody is believed to have.
    pub(super) fn estranged(&mut self, peer: ReplicaId) -> u64 {
        let written: Vec<Cell> = self
            .cells
            .iter_mut()
            .filter(|(_, history)| history.vector.len() > 0)
            .map(|(cell, history)| {
                history.forgotten(peer);
                *cell
            })
            .collect();
        if let Some(neighbour) = self.neighbour(peer) {
            neighbour.ahead.clear();
            for cell in written {
                neighbour.rootless.insert(cell);
                neighbour.peer.owe(cell);
            }
        }
        self.cells.len() as u64
    }

    pub(super) fn known_lives(&self) -> Vec<(ReplicaId, u32)> {
        self.lives.iter().map(|(replica, life)| (*replica, *life)).collect()
    }

    /// Somebody lives for the so-manieth time: what he had in an earlier life he may not have. Returns the cost.
    pub(super) fn meet(&mut self, replica: ReplicaId, life: u32) -> u64 {
        let known = self.lives.get(&replica).copied().unwrap_or(0);
        if life <= known || replica == self.actor.replica {
            return 0;
        }
        self.lives.insert(replica, life);
        self.cells.values_mut().for_each(|history| history.forgotten(replica));
        self.cells.len() as u64
    }

    /// Takes in what a message says of lives, and leaves out who is said in it to have something but had it in an earlier life.
    pub(super) fn meet_all(
        &mut self,
        from: ReplicaId,
        batch: u64,
        lives: &[(ReplicaId, u32)],
        cells: &mut [(Cell, Part)],
        out: &mut Outbox,
    ) {
        let mut work = self.meet(from, life_of(batch));
        for (replica, life) in lives {
            work += self.meet(*replica, *life);
        }
        let authors = || cells.iter().flat_map(|(_, part)| &part.nodes).map(|node| node.dot.actor);
        for author in authors() {
            work += self.meet(author.replica, author.incarnation);
        }
        for node in cells.iter_mut().flat_map(|(_, part)| &mut part.nodes) {
            let now = |who: &ReplicaId| self.lives.get(who).copied().unwrap_or(0);
            let then = |who: &ReplicaId| {
                let at = lives.binary_search_by_key(who, |(replica, _)| *replica);
                at.map_or(0, |at| lives[at].1)
            };
            node.holders.retain(|holder| then(holder) == now(holder));
            let Actor { replica, incarnation } = node.dot.actor;
            node.holders.extend((now(&replica) == incarnation).then_some(replica));
            node.holders.push(from);
        }
        out.work(work);
    }

    /// Whether somebody may come back who has to be told what nobody else needs to know any more.
    pub(super) fn is_missing(&self) -> bool {
        self.members.len() < self.seats || self.actor.incarnation > 0 || !self.lives.is_empty()
    }

    pub(super) fn seat(&mut self, change: SeatChange, out: &mut Outbox) {
        match change {
            SeatChange::Gone { replica } if replica != self.actor.replica => {
                self.members.remove(&replica);
            }
            SeatChange::Back { replica } if replica != self.actor.replica => {
                self.members.insert(replica);
                out.work(self.estranged(replica));
            }
            SeatChange::Gone { .. } | SeatChange::Back { .. } => {}
        }
    }
}

/// In which of its lives somebody numbered a batch; see [`Peer::new`].
fn life_of(batch: u64) -> u32 {
    (batch >> 32) as u32
}
