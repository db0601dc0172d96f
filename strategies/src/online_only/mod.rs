//! The baseline without offline work: a server executes what clients ask for, in the order in which it arrives, and clients show what
//! the server has told them.
//!
//! A client without a session refuses edits ([`crate::Refusal::Offline`]). With one it queues them as numbered requests, and shows nothing
//! until the server answers. A request that was accepted waits through a lost session and is sent again; the server knows by its number
//! whether it has executed it. So an edit is refused or delayed, never shown and then lost.
//!
//! A splice speaks of positions in what its author saw. It names the revision that he saw, and the server refuses it
//! ([`crate::Refusal::Stale`]) where somebody else has changed the text since, as HTTP does with `If-Match` (RFC 9110, section 13.1.1).
//! All other edits are executed unconditionally.

mod client;
mod message;
mod server;
mod table;
#[cfg(test)]
mod tests;

use crate::contract::{
    EditIds, Law, Malformed, OwnSchedule, Profile, Replica, Seat, Strategy, Support,
};
use crate::wire::Writer;
use client::Client;
use message::{Submission, Update};
use server::Server;

/// Nothing works without the server.
#[derive(Debug)]
pub struct OnlineOnly;

impl Strategy for OnlineOnly {
    fn name(&self) -> &str {
        "online-only"
    }

    fn profile(&self) -> Profile {
        Profile {
            summary: "A server executes every edit; without a connection nothing can be edited.",
            register: Support::Native,
            counter: Support::Native,
            set: Support::Native,
            text: Support::Native,
            star: Support::Native,
            mesh: Support::Unsupported("one server decides; a mesh has none"),
            graph: Support::Unsupported("one server decides; everybody must reach it"),
            session: Support::Native,
            datagram: Support::Unsupported("requests and answers need order, as over HTTP"),
            memory_loss: Support::Unsupported(
                "the server alone decides: what it has told and forgets, nobody can tell it",
            ),
            exceptions: &[(
                Law::LocalVisibility,
                "an edit is refused or delayed, never shown and then lost",
            )],
            schedule: Some(OwnSchedule::Immediate),
            edit_ids: EditIds::InCargo,
        }
    }

    fn create(&self, seat: &Seat<'_>) -> Box<dyn Replica> {
        if seat.authority == Some(seat.replica) {
            Box::new(Server::new(seat))
        } else {
            Box::new(Client::new(seat))
        }
    }

    fn restore(&self, seat: &Seat<'_>, saved: &[u8]) -> Result<Box<dyn Replica>, Malformed> {
        Ok(if seat.authority == Some(seat.replica) {
            Box::new(Server::restore(seat, saved)?)
        } else {
            Box::new(Client::restore(seat, saved)?)
        })
    }

    fn recode(&self, message: &[u8]) -> Result<Vec<u8>, Malformed> {
        let mut writer = Writer::new();
        match message.first() {
            Some(&message::SUBMISSION | &message::GREETING) => {
                Submission::read(message)?.write(&mut writer);
            }
            _ => Update::read(message)?.write(&mut writer),
        }
        Ok(writer.finish())
    }
}
