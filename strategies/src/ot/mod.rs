//! `ot/central`: operational transformation with a server that orders everything, in the manner of Jupiter (Nichols et al. 1995),
//! Google Wave (Wang, Mah, Lassen 2010) and ShareDB.
//!
//! - The server (the hub of a star) numbers batches of edits as revisions, each transformed over what was ordered since the
//!   revision that its author had seen.
//! - A client has one batch in flight and composes later edits into one buffer. What arrives is transformed over both.
//! - What two concurrent operations on a cell become is in [`op`]; texts are in [`text`]. Of what users do, only one of two
//!   concurrent writes to the same register is lost, and an insertion of an element into a set that another one, who had not
//!   seen the insertion, removed.
//! - When a session begins a client says how far it has come, and the number of the batch in flight; the server answers with what the
//!   client lacks, in which that batch is found if it was executed. If not, the client sends it again.
//!
//! A client learns of its own batch's place in the reply to it, together with everything ordered before: without these it could not
//! tell what comes next.
//!
//! Deleting a record becomes one operation for each cell that shows something: the register is cleared, the counter wiped, the
//! shown elements removed, the whole text deleted. What others do to these cells meanwhile survives.

mod batch;
mod client;
mod codec;
mod content;
mod names;
pub mod op;
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

/// The strategy.
#[derive(Clone, Copy, Debug)]
pub struct Central;

impl Strategy for Central {
    fn name(&self) -> &str {
        "ot/central"
    }

    fn profile(&self) -> Profile {
        Profile {
            summary: "A server orders batches of edits and transforms them to fit; clients keep one batch in flight",
            register: Support::Native,
            counter: Support::Native,
            set: Support::Native,
            text: Support::Native,
            star: Support::Native,
            mesh: Support::Unsupported("one server must order all batches"),
            graph: Support::Unsupported("one server must order all batches"),
            session: Support::Native,
            datagram: Support::Unsupported(
                "revisions and batches must arrive in order, which only a session gives",
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
            Some(server) => Box::new(Client::new(server, cells, standing)),
            None => Box::new(Server::new(seat.replica, seat.peers, cells, standing)),
        }
    }

    fn restore(&self, seat: &Seat<'_>, saved: &[u8]) -> Result<Box<dyn Replica>, Malformed> {
        let cells = Cells::new(seat.schema);
        let mut reader = Reader::new(saved);
        let replica: Box<dyn Replica> =
            match seat.authority.filter(|authority| *authority != seat.replica) {
                Some(server) => Box::new(Client::load(server, cells, &mut reader)?),
                None => Box::new(Server::load(seat.replica, seat.peers, cells, &mut reader)?),
            };
        reader.end()?;
        Ok(replica)
    }

    fn recode(&self, message: &[u8]) -> Result<Vec<u8>, Malformed> {
        Ok(Message::decode(message)?.encode())
    }
}
