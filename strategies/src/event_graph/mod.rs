//! `event-graph`: a graph of edits, replayed on merge, with nothing but text in memory at rest (Gentle and Kleppmann, "Collaborative Text
//! Editing with Eg-walker", EuroSys 2025).
//!
//! A text is kept as what it says. Beside it is the graph of the edits that made it so: who made them, in which version, and what each did at
//! which position of that version. An edit that was made in the current version is applied as it is. Where edits were made
//! concurrently, those behind the common version are replayed on a temporary structure, which tells what they do to the text as
//! it is here. The graph is history; what all members have is forgotten up to a critical version, which no later edit can be
//! concurrent to.
//!
//! What no graph of positions is needed for is native too: registers keep rival values side by side, counters sum what
//! each replica added, sets and records let additions win over concurrent removals, as in [`crate::crdt`]. A deletion of a record deletes from its
//! texts what its author saw.
//!
//! Top-down: `replica` (protocol; what is stable it knows from `crdt::stability`), `receiving`, `state` (peers far behind), `message`, `codec`, `event`, `cells` (the
//! document), `text`, then the algorithm: `tracker`, `tree`, `graph`, `ops`, `names`. The rope of a long text is
//! `jumprope`, whose shape comes from a fixed seed.

mod cells;
mod codec;
mod event;
mod graph;
mod log;
mod message;
mod names;
mod ops;
mod receiving;
mod replica;
mod snapshot;
mod state;
#[cfg(test)]
mod tests;
mod text;
mod tracker;
mod tree;
pub mod vectors;

use crate::contract::{EditIds, Malformed, Profile, Replica, Seat, Strategy, Support};
use message::recode_message;
use replica::GraphReplica;

/// The strategy `event-graph`.
#[derive(Clone, Copy, Debug)]
pub struct EventGraph;

impl Strategy for EventGraph {
    fn name(&self) -> &str {
        "event-graph"
    }

    fn profile(&self) -> Profile {
        Profile {
            summary: "A graph of edits, replayed on merge (Eg-walker): plain text at rest, FugueMax order; rivals kept side by side, additions win.",
            register: Support::Native,
            counter: Support::Native,
            set: Support::Native,
            text: Support::Native,
            star: Support::Native,
            mesh: Support::Native,
            graph: Support::Native,
            session: Support::Native,
            datagram: Support::Native,
            memory_loss: Support::Unsupported(
                "replicas converge, but reports can miss which values a forgetful peer's document brings back",
            ),
            exceptions: &[],
            schedule: None,
            edit_ids: EditIds::InCargo,
        }
    }

    fn create(&self, seat: &Seat<'_>) -> Box<dyn Replica> {
        Box::new(GraphReplica::new(seat))
    }

    fn restore(&self, seat: &Seat<'_>, saved: &[u8]) -> Result<Box<dyn Replica>, Malformed> {
        Ok(Box::new(snapshot::restore(seat, saved)?))
    }

    fn recode(&self, message: &[u8]) -> Result<Vec<u8>, Malformed> {
        recode_message(message)
    }
}
