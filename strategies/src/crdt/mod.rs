//! `crdt/delta`: conflict-free replicated data types that travel as deltas with dots (Almeida, Shoker and Baquero, "Delta state
//! replicated data types", 2018).
//!
//! Registers keep rival values side by side, counters sum what each replica added, sets and records let additions win over concurrent
//! removals, texts are sequences in the FugueMax order. Nobody decides anything: whoever has the same changes shows the same.
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

/// The strategy `crdt/delta`.
#[derive(Clone, Copy, Debug)]
pub struct Delta;

impl Strategy for Delta {
    fn name(&self) -> &str {
        "crdt/delta"
    }

    fn profile(&self) -> Profile {
        Profile {
            summary: "Delta-state CRDTs with causal contexts: rivals kept side by side, additions win, text in FugueMax order.",
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
        Box::new(DeltaReplica::new(seat))
    }

    fn restore(&self, seat: &Seat<'_>, saved: &[u8]) -> Result<Box<dyn Replica>, Malformed> {
        Ok(Box::new(snapshot::restore(seat, saved)?))
    }

    fn recode(&self, message: &[u8]) -> Result<Vec<u8>, Malformed> {
        recode_message(message)
    }
}
