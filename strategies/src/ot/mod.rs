//! Operational transformation with a server that puts everything in one order, in the manner of Jupiter (Nichols, Curtis, Dixon,
//! Lamping: "High-latency, low-bandwidth windowing in the Jupiter collaboration system", UIST 1995), Google Wave (Wang, Mah, Lassen:
//! "Google Wave operational transformation", 2010) and ShareDB.
//!
//! - The server (the hub of a star) numbers batches of edits as revisions, each transformed over what was ordered since the
//!   revision that its author had seen.
//! - A client has one batch in flight and buffers later edits. What arrives is transformed over both.
//! - What two concurrent operations on a cell become is in [`op`]; texts are in [`text`]. Of what users do, only one of two
//!   concurrent writes to the same register is lost, and an insertion of an element into a set that another one, who had not
//!   seen the insertion, removed.
//! - When a session begins a client says how far it has come, and the number of the batch in flight; the server answers with what the
//!   client lacks, in which that batch is found if it was executed. If not, the client sends it again.
//!
//! | variant | differs in one thing | as in |
//! |---|---|---|
//! | `ot/central` | the batch in flight and the buffer are composed into one operation per cell | Google Wave, ShareDB's default |
//! | `ot/uncomposed` | every edit stays an operation of its own: each is ordered, and transformed over each, by itself | ShareDB with `preventCompose`, Jupiter |
//! | `ot/relay` | the server only numbers and passes on; every client transforms | Fluid Framework |
//!
//! `ot/uncomposed`: ShareDB without composition has one operation in flight and sends the next when that one is acknowledged; Jupiter
//! sends every operation at once and keeps all that are not acknowledged in a queue. Here the queue of a moment is one message, which
//! the server takes as a whole; so the schedule, which decides when to speak, means the same for all variants.
//!
//! `ot/relay`: a total order broadcast as in Fluid Framework: a batch carries the revision that it was made at (there
//! `referenceSequenceNumber`), the server gives it its number (`sequenceNumber`) and tells the oldest revision that anybody may still
//! make batches at (`minimumSequenceNumber`), back to which every client keeps history, because it needs it to transform. The server's
//! `Work` holds no transformation. That the server displays something at all is owed to the contract: beside the sequencer sits a
//! reader, a client like all others, whose transformations are not billed; applying what was ordered is.
//!
//! A client learns of its own batch's place in the reply to it, together with everything ordered before: without these it could not
//! tell what comes next.
//!
//! Deleting a record becomes one operation for each cell that shows something: the register is cleared, the counter wiped, the
//! shown elements removed, the whole text deleted. What others do to these cells meanwhile survives.
//!
//! Revisions are forgotten once all current members have them. A client that was gone for longer and lacks some comes back through a
//! snapshot: its edits under way are applied again on top, under the same ids (`adopt.rs` says how). Two things are coarser then: where
//! it inserted in a stretch that others rewrote, the difference of the texts decides where the insertion stands; and of more than 64
//! additions to a counter that its own wipe did not see, the oldest are one sum to a concurrent wipe.

mod adopt;
mod batch;
mod client;
mod codec;
mod content;
mod diff;
mod history;
mod missed;
mod names;
pub mod op;
mod rebase;
mod server;
mod snapshot;
mod standing;
pub mod text;

#[cfg(test)]
mod tests;

use crate::contract::{EditIds, Malformed, Outbox, Profile, Replica, Seat, Strategy, Support};
use crate::wire::Reader;
use client::Client;
use codec::Message;
use content::Cells;
use server::Server;
use standing::Standing;

/// The variants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ot {
    /// `ot/central`: edits are composed.
    Central,
    /// `ot/uncomposed`: every edit is an operation of its own.
    Uncomposed,
    /// `ot/relay`: the server orders, and every client transforms.
    Relay,
}

pub use Ot::{Central, Relay, Uncomposed};

impl Ot {
    /// Whether edits that wait for each other become one operation per cell.
    fn composes(self) -> bool {
        self != Uncomposed
    }

    /// Whether the server leaves transformation to its clients.
    fn relays(self) -> bool {
        self == Relay
    }
}

impl Strategy for Ot {
    fn name(&self) -> &str {
        match self {
            Central => "ot/central",
            Uncomposed => "ot/uncomposed",
            Relay => "ot/relay",
        }
    }

    fn profile(&self) -> Profile {
        let one_order = Support::Unsupported("one server must order all batches");
        Profile {
            summary: match self {
                Central => {
                    "A server orders batches of edits and transforms them to fit; clients keep one batch in flight"
                }
                Uncomposed => {
                    "A server orders edits one by one and transforms them to fit; clients keep one queue in flight"
                }
                Relay => {
                    "A server orders batches of edits; clients transform them to fit and keep one batch in flight"
                }
            },
            register: Support::Native,
            counter: Support::Native,
            set: Support::Native,
            text: Support::Native,
            star: Support::Native,
            mesh: one_order,
            graph: one_order,
            session: Support::Native,
            datagram: Support::Unsupported(
                "revisions and batches must arrive in order, which only a session gives",
            ),
            memory_loss: Support::Unsupported(
                "revisions are counted: whoever forgets some counts them twice",
            ),
            exceptions: &[],
            schedule: None,
            edit_ids: EditIds::InCargo,
        }
    }

    fn create(&self, seat: &Seat<'_>) -> Box<dyn Replica> {
        let mut cells = Cells::new(seat.schema);
        let mut standing = Standing::default();
        for (id, edit) in seat.genesis {
            let ops = cells.ops_of(edit).expect("the genesis fits the schema");
            standing.local(*id, &ops, 0, &mut Outbox::new());
            for (cell, op) in &ops {
                cells.apply(*cell, op);
            }
        }
        match seat.authority.filter(|authority| *authority != seat.replica) {
            Some(server) => Box::new(Client::new(*self, seat, server, cells, standing)),
            None => Box::new(Server::new(*self, seat, cells, standing)),
        }
    }

    fn restore(&self, seat: &Seat<'_>, saved: &[u8]) -> Result<Box<dyn Replica>, Malformed> {
        let cells = Cells::new(seat.schema);
        let mut reader = Reader::new(saved);
        let replica: Box<dyn Replica> =
            match seat.authority.filter(|authority| *authority != seat.replica) {
                Some(server) => Box::new(Client::load(*self, seat, server, cells, &mut reader)?),
                None => Box::new(Server::load(*self, seat, cells, &mut reader)?),
            };
        reader.end()?;
        Ok(replica)
    }

    fn recode(&self, message: &[u8]) -> Result<Vec<u8>, Malformed> {
        Ok(Message::decode(message)?.encode())
    }
}
