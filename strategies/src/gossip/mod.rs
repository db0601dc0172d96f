//! `gossip/rumor` and `gossip/rumor-only`: rumor mongering (Demers et al., "Epidemic algorithms for replicated database maintenance", PODC
//! 1987), push with feedback and a counter.
//!
//! What a replica makes or hears for the first time is a hot rumor. When the schedule picks a peer, the replica pushes all its hot rumors
//! to it, and is told which of them that one knew. A rumor that was known in [`INTEREST`] contacts in a row is of no interest any more; a
//! contact to whom it was new sets the count back to zero. The paper picks peers uniformly at random; that is the schedule `random-peer`. The
//! strategy speaks to whomever it is told to: in a star everybody's only partner is the hub, in other graphs rumors walk along edges.
//!
//! With that alone (`rumor-only`) some replicas are never told of some edits: the residue. `rumor` is backed by anti-entropy: a replica that
//! has no rumor for a peer, and does not know it to have everything, compares checksums with it, and so does one whose push brought nothing new;
//! where checksums differ, versions are exchanged, and with them exactly what each side lacks. Anti-entropy that finds something makes it a
//! rumor again, as the paper advises.
//!
//! Rumors are operations on the data types of [`crate::crdt`], which need what they refer to. A rumor whose causes are missing waits, and is
//! complained of; the complaint is answered with all that the one who complains lacks. So under `rumor-only`, too, a later rumor repairs what
//! earlier ones left out, and only what nothing later refers to stays unknown.
//!
//! Top-down: `replica` (inputs and what is said), `hot` (interest in rumors), `message`.

mod hot;
mod message;
mod replica;
#[cfg(test)]
mod tests;

use crate::contract::{EditIds, Law, Malformed, Profile, Replica, Seat, Strategy, Support};
use replica::GossipReplica;
use std::num::NonZeroU32;

/// Contacts in a row that knew a rumor, after which interest in it is lost: the paper's k. The paper recommends none; its table 1 shows what
/// 1 to 5 cost. Two leaves 3.7 % of 1000 replicas for 3.3 messages each: few enough for anti-entropy, for half the messages of five.
pub const INTEREST: NonZeroU32 = NonZeroU32::new(2).expect("two is not zero");

/// A way of spreading rumors.
#[derive(Clone, Copy, Debug)]
pub struct Gossip {
    name: &'static str,
    summary: &'static str,
    interest: NonZeroU32,
    is_backed: bool,
    exceptions: &'static [(Law, &'static str)],
}

/// The strategy `gossip/rumor`: rumors, backed by anti-entropy.
pub const RUMOR: Gossip = Gossip {
    name: "gossip/rumor",
    summary: "CRDTs by rumor mongering: news is pushed with feedback until two contacts in a row knew it; checksums and versions find what rumors left out.",
    interest: INTEREST,
    is_backed: true,
    exceptions: &[],
};

/// The strategy `gossip/rumor-only`: rumors and nothing else, so that some edits may never reach some replicas.
pub const RUMOR_ONLY: Gossip = Gossip {
    name: "gossip/rumor-only",
    summary: "CRDTs by rumor mongering alone: news is pushed with feedback until two contacts in a row knew it; whom nobody told never knows.",
    interest: INTEREST,
    is_backed: false,
    exceptions: &[
        (Law::Orders, "every order ends, but a replica that nobody told of an edit lacks it"),
        (
            Law::Quiescence,
            "probabilistic: talking ends, but some replicas may lack some edits; what they miss is the residue",
        ),
    ],
};

impl Strategy for Gossip {
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
            star: Support::Emulated("the hub is the only partner of everybody else"),
            mesh: Support::Native,
            graph: Support::Native,
            session: Support::Native,
            datagram: Support::Native,
            memory_loss: Support::Native,
            exceptions: self.exceptions,
            schedule: None,
            edit_ids: EditIds::InCargo,
        }
    }

    fn create(&self, seat: &Seat<'_>) -> Box<dyn Replica> {
        Box::new(GossipReplica::new(seat, self.interest, self.is_backed))
    }

    fn restore(&self, seat: &Seat<'_>, saved: &[u8]) -> Result<Box<dyn Replica>, Malformed> {
        Ok(Box::new(GossipReplica::restore(seat, self.interest, self.is_backed, saved)?))
    }

    fn recode(&self, message: &[u8]) -> Result<Vec<u8>, Malformed> {
        message::recode(message)
    }
}
