//! Version vectors: every cell is an object of a key-value store in the manner of Dynamo and Riak. Whoever writes it says which
//! versions he had seen; versions written without knowing each other are kept beside each other.
//!
//! What a cell holds is one opaque value to the store. DeCandia et al., "Dynamo: Amazon's highly available key-value store",
//! SOSP 2007, section 4.4. The variants differ in who has an entry in the vectors, and in what becomes of rivals:
//!
//! - `version-vector/client-ids`: everyone who writes has an entry of his own, as Riak had it at first ("client ids"). Exact; vectors
//!   grow with the number of writers.
//! - `version-vector/server-ids`: only those have an entry who coordinate writes, as in Riak from 0.14 ("vnode ids") until dotted version
//!   vectors came. Vectors stay small, but of two writes that one server coordinates the vectors no longer say whether one
//!   author had seen the other's: false conflicts, and more and more siblings where writers race ("sibling explosion").
//! - `version-vector/dotted`: the same, but every version is named by the dot of the event that made it. Vectors stay small, conflicts are
//!   true, and there are never more siblings than writers. Preguica, Baquero, Almeida, Fonte and Goncalves, "Dotted
//!   version vectors: logical clocks for optimistic replication", 2010; in Riak since 2.0.
//! - `version-vector/merge`: as `client-ids`, but rivals are merged three-way against their last common ancestor, as git and the
//!   applications on top of CouchDB do: the history of a cell is kept as far back as somebody may still need it. Only registers that
//!   both sides changed are put in front of the user.
//!
//! **Who coordinates.** Where there is an authority (the hub of a star), it does for `server-ids` and `dotted`: a client keeps
//! its edits as drafts, shows them at once, and sends each with the context in which it was made; the hub files it and answers with the
//! cell as it is now. While one draft of a cell waits for that answer, later ones of the same cell wait too, since their context is in the
//! answer. Without an authority every replica coordinates the edits of its own users; then there are as many coordinators as writers,
//! and `dotted` and `client-ids` do the same.

mod entry;
#[cfg(test)]
mod examples;
mod merge;
mod message;
mod object;
mod peer;
mod replica;
mod report;
mod seen;
mod story;
#[cfg(test)]
mod tests;
mod uplink;
mod vector;
mod version;

use crate::contract::{EditIds, Malformed, Profile, Replica, Seat, Strategy, Support};
use crate::document::{Cell, Edit, FieldKind, ReplicaId, Schema};
use merge::MergeReplica;
use message::Message;
use object::Naming;
use replica::VersionVectorReplica;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Variant {
    ClientIds,
    ServerIds,
    Dotted,
    Merge,
}

impl Variant {
    fn naming(self) -> Naming {
        if self == Variant::ServerIds { Naming::Clocks } else { Naming::Dots }
    }

    /// Who coordinates a replica's edits, where it does not do so itself.
    fn coordinator(self, seat: &Seat<'_>) -> Option<ReplicaId> {
        let delegates = matches!(self, Variant::ServerIds | Variant::Dotted);
        seat.authority.filter(|authority| delegates && *authority != seat.replica)
    }
}

/// The strategy, in one of its variants.
#[derive(Debug)]
pub struct VersionVector {
    variant: Variant,
}

/// `version-vector/client-ids`: one entry per writer; concurrent versions are shown as alternatives.
pub const CLIENT_IDS: VersionVector = VersionVector { variant: Variant::ClientIds };

/// `version-vector/server-ids`: one entry per coordinator, without dots: false conflicts, on purpose.
pub const SERVER_IDS: VersionVector = VersionVector { variant: Variant::ServerIds };

/// `version-vector/dotted`: one entry per coordinator, and a dot for every version.
pub const DOTTED: VersionVector = VersionVector { variant: Variant::Dotted };

/// `version-vector/merge`: concurrent versions are merged three-way; registers that both sides changed are shown as alternatives.
pub const MERGE: VersionVector = VersionVector { variant: Variant::Merge };

impl Strategy for VersionVector {
    fn name(&self) -> &str {
        match self.variant {
            Variant::ClientIds => "version-vector/client-ids",
            Variant::ServerIds => "version-vector/server-ids",
            Variant::Dotted => "version-vector/dotted",
            Variant::Merge => "version-vector/merge",
        }
    }

    fn profile(&self) -> Profile {
        let summary = match self.variant {
            Variant::ClientIds => {
                "A version vector with an entry for each writer; values written without knowing each other are shown to the user"
            }
            Variant::ServerIds => {
                "A version vector with an entry for each server; racing writes become false conflicts that are shown to the user"
            }
            Variant::Dotted => {
                "A version vector with an entry for each server, and a dot for each value; only true conflicts are shown to the user"
            }
            Variant::Merge => {
                "A version vector for each field, and its history; values written without knowing each other are merged three-way"
            }
        };
        let (counter, set, text) = match self.variant {
            Variant::ClientIds | Variant::ServerIds | Variant::Dotted => (
                "one opaque sum: of rival sums one survives an Add, and what others had added is lost",
                "one opaque value: rival sets are shown as alternatives; an Insert or Remove takes their union",
                "one opaque value: rival texts are shown as alternatives; a Splice edits the first and appends words that only others have",
            ),
            Variant::Merge => (
                "merged three-way: both differences from the last common ancestor are added to it",
                "merged three-way: what either side inserted is there, and what either side removed is gone",
                "merged three-way by words; where both sides inserted at one place, one side's words come first",
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
            memory_loss: Support::Native,
            exceptions: &[],
            schedule: None,
            edit_ids: EditIds::InMessages,
        }
    }

    fn create(&self, seat: &Seat<'_>) -> Box<dyn Replica> {
        match self.variant {
            Variant::Merge => Box::new(MergeReplica::create(seat)),
            variant => Box::new(VersionVectorReplica::create(variant, seat)),
        }
    }

    fn restore(&self, seat: &Seat<'_>, saved: &[u8]) -> Result<Box<dyn Replica>, Malformed> {
        Ok(match self.variant {
            Variant::Merge => Box::new(MergeReplica::restore(seat, saved)?),
            variant => Box::new(VersionVectorReplica::restore(variant, seat, saved)?),
        })
    }

    fn recode(&self, message: &[u8]) -> Result<Vec<u8>, Malformed> {
        if self.variant == Variant::Merge {
            return Ok(merge::Message::decode(message)?.encode());
        }
        let naming = self.variant.naming();
        Ok(Message::decode(naming, message)?.encode(naming))
    }
}

/// The cells that an edit changes: of a deletion those of the record that show something, none where the field is of another kind.
fn cells_of(
    edit: &Edit,
    schema: &Schema,
    shows_something: impl Fn(&Cell) -> bool,
) -> Vec<(Cell, FieldKind)> {
    let Some(cell) = edit.cell() else {
        return schema.cells(edit.record()).filter(|(cell, _)| shows_something(cell)).collect();
    };
    let wanted = speaks_of(edit);
    let kind = schema.kind(cell.field).filter(|kind| wanted.is_none_or(|wanted| wanted == *kind));
    kind.map(|kind| (cell, kind)).into_iter().collect()
}

/// The kind of field that an edit of one cell is for.
fn speaks_of(edit: &Edit) -> Option<FieldKind> {
    match edit {
        Edit::Put { .. } => Some(FieldKind::Register),
        Edit::Add { .. } => Some(FieldKind::Counter),
        Edit::Insert { .. } | Edit::Remove { .. } => Some(FieldKind::Set),
        Edit::Splice { .. } => Some(FieldKind::Text),
        Edit::Resolve { content, .. } => Some(content.kind()),
        Edit::Delete { .. } => None,
    }
}
