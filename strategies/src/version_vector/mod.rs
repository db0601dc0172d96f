//! Version vectors: every cell is an object of a key-value store in the manner of Dynamo and Riak. Whoever writes it says which
//! versions he had seen; versions written without knowing each other are kept beside each other.
//!
//! - `version-vector/client-ids` shows them to the user, who decides.
//! - `version-vector/merge` shows what a fixed rule makes of them; nothing is written until a user's next edit.
//!
//! What a cell holds is one opaque value to the store. DeCandia et al., "Dynamo: Amazon's highly available key-value store",
//! SOSP 2007, section 4.4; how versions are named and compared: see `object`.

mod message;
mod object;
mod peer;
mod replica;
mod report;
mod story;
#[cfg(test)]
mod tests;
mod vector;

use crate::contract::{EditIds, Malformed, Profile, Replica, Seat, Strategy, Support};
use message::Message;
use replica::VersionVectorReplica;

/// What is done with versions that were written without knowing each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Policy {
    /// They are shown as alternatives.
    Siblings,
    /// A pure function of them is shown.
    Merge,
}

/// The strategy, in one of its two variants.
#[derive(Debug)]
pub struct VersionVector {
    policy: Policy,
}

/// `version-vector/client-ids`: concurrent versions are shown as alternatives.
pub const CLIENT_IDS: VersionVector = VersionVector { policy: Policy::Siblings };

/// `version-vector/merge`: concurrent versions are merged by a fixed rule, which for registers, counters and texts means that
/// one of them is shown and the others are lost.
pub const MERGE: VersionVector = VersionVector { policy: Policy::Merge };

impl Strategy for VersionVector {
    fn name(&self) -> &str {
        match self.policy {
            Policy::Siblings => "version-vector/client-ids",
            Policy::Merge => "version-vector/merge",
        }
    }

    fn profile(&self) -> Profile {
        let (summary, counter, set, text) = match self.policy {
            Policy::Siblings => (
                "A version vector for each field; values written without knowing each other are shown to the user",
                "one opaque sum: of rival sums one survives an Add, and what others had added is lost",
                "one opaque value: rival sets are shown as alternatives; an Insert or Remove takes their union",
                "one opaque value: rival texts are shown as alternatives; a Splice edits the first and appends words that only others have",
            ),
            Policy::Merge => (
                "A version vector for each field; of values written without knowing each other a fixed rule shows one",
                "one opaque sum: of rival sums the one farthest from zero is shown, and what others had added is lost",
                "one opaque value: of rival sets the union is shown, so that a concurrent Remove may come undone",
                "one opaque value: of rival texts the one whose author had seen more is shown, and the others are lost",
            ),
        };
        Profile {
            summary,
            register: Support::Native,
            counter: Support::Emulated(counter),
            set: Support::Emulated(set),
            text: Support::Emulated(text),
            star: Support::Native,
            mesh: Support::Native,
            graph: Support::Native,
            session: Support::Native,
            datagram: Support::Native,
            exceptions: &[],
            schedule: None,
            edit_ids: EditIds::InMessages,
        }
    }

    fn create(&self, seat: &Seat<'_>) -> Box<dyn Replica> {
        Box::new(VersionVectorReplica::create(self.policy, seat))
    }

    fn restore(&self, seat: &Seat<'_>, saved: &[u8]) -> Result<Box<dyn Replica>, Malformed> {
        Ok(Box::new(VersionVectorReplica::restore(self.policy, seat, saved)?))
    }

    fn recode(&self, message: &[u8]) -> Result<Vec<u8>, Malformed> {
        Ok(Message::decode(message)?.encode())
    }
}
