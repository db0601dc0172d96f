//! `yrs`: Yjs in Rust, as its authors wrote it (the crate `yrs`), behind this contract. It shows that the contract is not made for the
//! other strategies of this collection. Only with the cargo feature `yrs`.
//!
//! Texts are the library's own, in the order of YATA (Nicolaescu et al., "Near Real-Time Peer-to-Peer Shared Editing on Extensible Data
//! Types", GROUP 2016) as Yjs has it, which differs from the FugueMax order of the other CRDTs here where several users type at one
//! place. A register is an entry of a map: of concurrent entries the library keeps one, and the others are gone. A set is a map with an
//! entry for each element and client: a removal deletes the entries that its author saw, so that additions win. A counter is a
//! list of amounts. All are root types, which nobody has to create first. Names are in [`places`].
//!
//! When replicas meet they do the two steps of `y-protocols`: each tells its state vector and is answered with the difference, which repeats
//! all deletions, as Yjs does. From then on they send what is new, blocks of many edits joined to runs. Yjs leaves delivery to
//! its transport; here every update is acknowledged, as Hocuspocus does, so that what a lost session swallowed is known to be owed.
//!
//! The library trusts what it reads. So an update is read here first, in [`update`], and refused unless it is exactly what this
//! strategy writes; then everything that it builds on must be here or in it, and at the same place ([`places`]). The library never
//! holds anything back for later.
//!
//! `Work` counts blocks and deleted ranges, bytes encoded and decoded, and the texts that are read again; the library's own walks along a
//! list are not counted, as it does not tell.

mod document;
mod message;
mod peer;
mod places;
mod replica;
mod snapshot;
mod story;
#[cfg(test)]
mod tests;
mod update;

use crate::contract::{EditIds, Malformed, Profile, Replica, Seat, Strategy, Support};
use message::Message;
use replica::YrsReplica;

/// The strategy `yrs`.
#[derive(Clone, Copy, Debug)]
pub struct Yrs;

impl Strategy for Yrs {
    fn name(&self) -> &str {
        "yrs"
    }

    fn profile(&self) -> Profile {
        Profile {
            summary: "Yjs in Rust, a library: state vector, then difference; one of concurrent values wins; texts in YATA order, not FugueMax.",
            register: Support::Native,
            counter: Support::Emulated("a list of amounts, summed"),
            set: Support::Emulated(
                "a map with an entry for each element and replica; additions win",
            ),
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
        Box::new(YrsReplica::new(seat))
    }

    fn restore(&self, seat: &Seat<'_>, saved: &[u8]) -> Result<Box<dyn Replica>, Malformed> {
        Ok(Box::new(snapshot::restore(seat, saved)?))
    }

    fn recode(&self, message: &[u8]) -> Result<Vec<u8>, Malformed> {
        let written = Message::read(message)?.write();
        if written == message { Ok(written) } else { Err(Malformed("not written as messages are")) }
    }
}
