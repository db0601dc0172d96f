//! `crdt/state` and the `crdt/delta` family: replicas that send each other parts of their state, which is a lattice, and join what
//! arrives with their own (Enes, Almeida, Baquero and Leitão, "Efficient synchronization of state-based CRDTs", ICDE 2019, algorithms
//! 1 and 2).
//!
//! - `crdt/state`: the whole state.
//! - `crdt/delta`: *delta-groups*. An edit makes a small delta; deltas are joined with the state and kept in a buffer; a neighbour is sent
//!   the join of all that are kept. A group that arrives and is news in any part is kept as a whole for the others.
//! - `-bp` *avoids back-propagation*: what came from a neighbour is not sent back to it.
//! - `-rr` *removes redundancy*: of a group that arrives only the join-irreducible elements that are news are kept.
//!
//! The paper's channels lose nothing. Here sessions get lost, and datagrams are lost, doubled and reordered; so what is kept is
//! numbered, each neighbour says how far it has come, and is told from there on until it has said so (as in algorithm 2 of
//! Almeida, Shoker and Baquero, "Delta state replicated data types", 2018). A neighbour takes what is told in this order and no
//! other, so that whatever it hears of comes after what it refers to, and what it has seen of an agent is always all up to a counter.
//! A neighbour that lost its memory, or for which too much was not kept (the host says who is gone for long), gets the whole state.
//!
//! Deleted characters go once every member has said that it has what deleted them. Saying so is a change of its own, without elements; where
//! no text has deleted characters nobody says anything.
//!
//! Top-down: `replica` and `speaking` (protocol), `stable` and `returning` (letting go, and who was gone meanwhile), `peer`, `message`, `buffer`,
//! `group`, `passage` and `said` (the lattice), `join` (with a document), `codec`, `whole`, `snapshot`, `notes` (reports), `spans`.

mod buffer;
mod codec;
mod group;
mod join;
mod message;
mod notes;
mod passage;
mod peer;
mod replica;
mod returning;
mod said;
mod snapshot;
mod spans;
mod speaking;
mod stable;
#[cfg(test)]
mod tests;
mod whole;

use super::sequence::TextOrder;
use crate::contract::{EditIds, Malformed, Profile, Replica, Seat, Strategy, Support};
use crate::document::ReplicaId;
use message::recode_message;
use replica::GroupReplica;

/// What neighbours send each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    /// Whole states.
    State,
    /// Delta-groups.
    Delta {
        /// Whether what came from a neighbour is sent back to it.
        back_propagation: bool,
        /// Whether a group that brings something new is passed on with all that is not new in it.
        redundancy: bool,
    },
}

impl Protocol {
    /// Whether a neighbour is not told of an entry of the buffer that came from somebody. A whole state is never sent back.
    fn spares(self, peer: ReplicaId, from: Option<ReplicaId>, is_whole: bool) -> bool {
        let sends_back = matches!(self, Protocol::Delta { back_propagation: true, .. });
        from == Some(peer) && (is_whole || !sends_back)
    }

    fn removes_redundancy(self) -> bool {
        matches!(self, Protocol::Delta { redundancy: false, .. })
    }
}

/// A strategy of this family.
#[derive(Clone, Copy, Debug)]
pub struct Groups {
    name: &'static str,
    summary: &'static str,
    protocol: Protocol,
    text_order: TextOrder,
}

const fn groups(name: &'static str, summary: &'static str, protocol: Protocol) -> Groups {
    Groups { name, summary, protocol, text_order: TextOrder::FugueMax }
}

/// The strategy `crdt/state`.
pub const STATE: Groups =
    groups("crdt/state", "State-based CRDTs: the whole state is sent and joined.", Protocol::State);

/// The strategy `crdt/delta`.
pub const DELTA: Groups = groups(
    "crdt/delta",
    "Delta-state CRDTs, classic: groups of deltas; one that brings anything new is passed on as a whole, to everybody.",
    Protocol::Delta { back_propagation: true, redundancy: true },
);

/// The strategy `crdt/delta-bp`.
pub const DELTA_BP: Groups = groups(
    "crdt/delta-bp",
    "Delta-state CRDTs that do not send a group back to where it came from.",
    Protocol::Delta { back_propagation: false, redundancy: true },
);

/// The strategy `crdt/delta-rr`.
pub const DELTA_RR: Groups = groups(
    "crdt/delta-rr",
    "Delta-state CRDTs that pass on only what is new in a group, to everybody.",
    Protocol::Delta { back_propagation: true, redundancy: false },
);

/// The strategy `crdt/delta-bp-rr`.
pub const DELTA_BP_RR: Groups = groups(
    "crdt/delta-bp-rr",
    "Delta-state CRDTs that pass on only what is new in a group, and not back to where it came from.",
    Protocol::Delta { back_propagation: false, redundancy: false },
);

impl Strategy for Groups {
    fn name(&self) -> &str {
        self.name
    }

    fn profile(&self) -> Profile {
        Profile {
            summary: self.summary,
            register: Support::Native,
            counter: Support::Native,
            set: Support::Native,
            text: Support::Native,
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
        Box::new(GroupReplica::new(self.protocol, self.text_order, seat))
    }

    fn restore(&self, seat: &Seat<'_>, saved: &[u8]) -> Result<Box<dyn Replica>, Malformed> {
        Ok(Box::new(snapshot::restore(self.protocol, self.text_order, seat, saved)?))
    }

    fn recode(&self, message: &[u8]) -> Result<Vec<u8>, Malformed> {
        recode_message(message)
    }
}
