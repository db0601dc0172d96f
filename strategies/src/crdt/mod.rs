//! `crdt/*` and `scuttlebutt`: conflict-free replicated data types whose changes are named by dots (Almeida, Shoker and Baquero, "Delta state
//! replicated data types", 2018), under different replication.
//!
//! Registers keep rival values side by side, counters sum what each replica added, sets and records let additions win over concurrent
//! removals, texts are sequences in the FugueMax order, or in that of RGA (`+rga`). Nobody decides anything: whoever has the same changes shows the
//! same.
//!
//! Top-down: `versions` (replication by version), `op` (what a change is), `cells` (the document) and its parts, `causal` (names).
//! A replica that lost its memory mints dots under its next [`crate::Seat::incarnation`].

pub(crate) mod attribution;
pub(crate) mod causal;
mod cells;
pub(crate) mod codec;
pub(crate) mod counter;
pub mod groups;
mod op;
pub(crate) mod register;
mod sequence;
pub(crate) mod set;
pub(crate) mod snapshot;
pub(crate) mod stability;
pub(crate) mod takeover;
mod text;
pub(crate) mod versions;

use crate::contract::{EditIds, Malformed, Profile, Replica, Seat, Strategy, Support};
pub use sequence::TextOrder;
pub use text::TextReplica;
use versions::{Protocol, VersionReplica, recode_message, restore};

/// A way of replicating these data types.
#[derive(Clone, Copy, Debug)]
pub struct Crdt {
    name: &'static str,
    summary: &'static str,
    protocol: Protocol,
    text_order: TextOrder,
}

/// The strategy `crdt/digest`: version vectors are exchanged, and exactly the difference is sent. Rivals are kept side by side, additions win,
/// text is in FugueMax order.
pub const DIGEST: Crdt = Crdt {
    name: "crdt/digest",
    summary: "CRDTs that exchange version vectors and send exactly the difference; rivals kept side by side, additions win, text in FugueMax order.",
    protocol: Protocol::Digest,
    text_order: TextOrder::FugueMax,
};

/// The strategy `crdt/digest+rga`: as [`DIGEST`], but for the order of text inserted concurrently at one place.
pub const DIGEST_RGA: Crdt = Crdt {
    name: "crdt/digest+rga",
    summary: "CRDTs that exchange version vectors and send exactly the difference; rivals kept side by side, additions win, text in RGA order.",
    text_order: TextOrder::Rga,
    ..DIGEST
};

/// The strategy `crdt/op`: as [`DIGEST`], but every operation travels on its own, by causal broadcast with buffering.
pub const OP: Crdt = Crdt {
    name: "crdt/op",
    summary: "CRDTs by causal broadcast: every operation is sent on its own with its dependencies to every neighbour that has not acknowledged it.",
    protocol: Protocol::Operations,
    ..DIGEST
};

/// The strategy `scuttlebutt`: as [`DIGEST`], but the version vector is sent at every turn and answered with what it lacks; nothing is pushed.
pub const SCUTTLEBUTT: Crdt = Crdt {
    name: "scuttlebutt",
    summary: "CRDTs by anti-entropy: at every turn a replica sends its version vector and is answered with what it lacks; nothing is pushed.",
    protocol: Protocol::Scuttlebutt,
    ..DIGEST
};

/// The strategy `crdt/merkle`: as [`DIGEST`], but what the other one lacks is found down a Merkle search tree of the changes.
pub const MERKLE: Crdt = Crdt {
    name: "crdt/merkle",
    summary: "CRDTs by anti-entropy: a Merkle search tree of all changes that are not stable yet shows where two replicas differ.",
    protocol: Protocol::Merkle,
    ..DIGEST
};

/// The strategy `crdt/rateless`: as [`MERKLE`], but the differences are decoded from rateless coded symbols.
pub const RATELESS: Crdt = Crdt {
    name: "crdt/rateless",
    summary: "CRDTs by anti-entropy: rateless coded symbols of all changes that are not stable yet are sent until the differences are decoded.",
    protocol: Protocol::Rateless,
    ..DIGEST
};

impl Strategy for Crdt {
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
        Box::new(VersionReplica::new(seat, self.protocol, self.text_order))
    }

    fn restore(&self, seat: &Seat<'_>, saved: &[u8]) -> Result<Box<dyn Replica>, Malformed> {
        Ok(Box::new(restore(seat, self.protocol, self.text_order, saved)?))
    }

    fn recode(&self, message: &[u8]) -> Result<Vec<u8>, Malformed> {
        recode_message(message)
    }
}
