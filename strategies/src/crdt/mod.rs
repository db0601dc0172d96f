//! `crdt/*`: conflict-free replicated data types that travel as deltas with dots (Almeida, Shoker and Baquero, "Delta state
//! replicated data types", 2018).
//!
//! Registers keep rival values side by side, counters sum what each replica added, sets and records let additions win over concurrent
//! removals, texts are sequences in the FugueMax order, or in that of RGA (`+rga`). Nobody decides anything: whoever has the same changes shows the
//! same.
//!
//! Top-down: `replica` (protocol), `message`, `op` (what a change is), `cells` (the document) and its parts, `causal` (names).
//! A replica that lost its memory mints dots under its next [`crate::Seat::incarnation`].

mod attribution;
mod causal;
mod cells;
mod codec;
mod counter;
mod log;
mod message;
mod op;
mod register;
mod replica;
mod sequence;
mod set;
mod snapshot;
#[cfg(test)]
mod tests;

use crate::contract::{EditIds, Malformed, Profile, Replica, Seat, Strategy, Support};
use message::recode_message;
use replica::DeltaReplica;
pub use sequence::TextOrder;

/// A way of replicating these data types.
#[derive(Clone, Copy, Debug)]
pub struct Crdt {
    name: &'static str,
    summary: &'static str,
    text_order: TextOrder,
}

/// The strategy `crdt/delta`.
pub const DELTA: Crdt = Crdt {
    name: "crdt/delta",
    summary: "Delta-state CRDTs with causal contexts: rivals kept side by side, additions win, text in FugueMax order.",
    text_order: TextOrder::FugueMax,
};

/// The strategy `crdt/delta+rga`: as [`DELTA`], but for the order of text inserted concurrently at one place.
pub const DELTA_RGA: Crdt = Crdt {
    name: "crdt/delta+rga",
    summary: "Delta-state CRDTs with causal contexts: rivals kept side by side, additions win, text in RGA order.",
    text_order: TextOrder::Rga,
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
            exceptions: &[],
            schedule: None,
            edit_ids: EditIds::InCargo,
        }
    }

    fn create(&self, seat: &Seat<'_>) -> Box<dyn Replica> {
        Box::new(DeltaReplica::new(seat, self.text_order))
    }

    fn restore(&self, seat: &Seat<'_>, saved: &[u8]) -> Result<Box<dyn Replica>, Malformed> {
        Ok(Box::new(snapshot::restore(seat, self.text_order, saved)?))
    }

    fn recode(&self, message: &[u8]) -> Result<Vec<u8>, Malformed> {
        recode_message(message)
    }
}
