//! Revision trees, as in CouchDB and PouchDB: a record is one JSON-like document that is replaced as a whole. Every edit makes a new revision of
//! it, named by its generation and a hash of its parent and content; revisions that were made apart become branches of a tree, and a fixed rule
//! picks the one that everybody shows.
//!
//! Sources: the CouchDB documentation, chapters "Replication and conflict model" and "CouchDB replication protocol" (version 3 of the
//! protocol), and Lehnardt, Anderson and Slater, "CouchDB: The Definitive Guide", 2010, chapter on conflict management.
//!
//! **The winner** is the leaf that is not deleted, has the highest generation, and among those the highest hash. Other leaves that are not
//! deleted are conflicts: nothing is merged, ever. As CouchDB names a document's conflicts and leaves them to the application, so does this: a cell in
//! which leaves differ is shown as a conflict between them, the winner's content first. Since leaves are whole documents, two users who changed
//! different fields of a record are in conflict too, and the older content of a field may be put beside the newer one. An answer makes a new
//! revision of the first leaf that the user was shown and deletes the others, as that chapter has it, with all that these say of other fields. Edits change
//! the winner. A delete puts a tombstone on every leaf.
//!
//! **Replication** goes in each direction for itself. Every replica numbers its changes; a record stands in the feed where it changed last. The source
//! tells which leaves the next 100 records of its feed have (`_changes`), the target answers which of these it lacks (`_revs_diff`), the source
//! sends them with their ancestors (`_bulk_docs` with `new_edits` false), the target confirms. The number up to which that was done is the
//! checkpoint. Both sides keep it, compare notes when a link opens, and go on from there after a lost session or a restart. Unlike CouchDB a replica
//! does not list for a peer what that peer has just listed itself; CouchDB does, and learns that nothing is missing.
//!
//! **What is dropped.** Bodies of revisions that have children go at once (CouchDB keeps them until compaction runs). Of a leaf's ancestors the last 1000
//! are kept (CouchDB's default `revs_limit`): whoever comes back further behind than that finds a conflict where there is none. Leaves that lost a conflict
//! stay as tombstones for as long as their record lives. A record of which all members have the same tombstones and nothing else is purged, and everybody is
//! told so with the next changes; CouchDB leaves purging to its administrator. Whoever was said to be gone asks for the whole feed when it is back, and
//! drops what it does not find there, but for its own edits that nobody had confirmed.

mod exchange;
mod leaf;
mod message;
mod peer;
mod purge;
mod record;
mod replica;
mod report;
mod snapshot;
mod story;
#[cfg(test)]
mod tests;

use crate::contract::{EditIds, Malformed, Profile, Replica, Seat, Strategy, Support};
use message::Message;
use replica::RevisionTreeReplica;

/// The strategy `revision-tree`.
#[derive(Debug)]
pub struct RevisionTree {
    /// How many of a leaf's last revisions are remembered, itself included; at least 2.
    revs_limit: usize,
}

/// `revision-tree`, with CouchDB's default limit of 1000 revisions.
pub const REVISION_TREE: RevisionTree = RevisionTree::with_limit(1000);

impl RevisionTree {
    /// Remembers so many of a leaf's last revisions, itself included; at least 2.
    pub const fn with_limit(revs_limit: usize) -> Self {
        assert!(revs_limit >= 2, "a revision's parent is part of its name");
        RevisionTree { revs_limit }
    }
}

impl Strategy for RevisionTree {
    fn name(&self) -> &str {
        "revision-tree"
    }

    fn profile(&self) -> Profile {
        Profile {
            summary: "Revision trees of whole records, as in CouchDB: a fixed rule picks the branch that is shown, and the others stay as conflicts",
            register: Support::Native,
            counter: Support::Emulated(
                "a number in a whole record: of rival sums the winner's is shown, and what others had added is in the conflict beside it",
            ),
            set: Support::Emulated(
                "a list in a whole record: rival lists are shown as alternatives, none is merged",
            ),
            text: Support::Emulated(
                "a string in a whole record: rival texts are shown as alternatives, none is merged",
            ),
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
        Box::new(RevisionTreeReplica::create(self.revs_limit, seat))
    }

    fn restore(&self, seat: &Seat<'_>, saved: &[u8]) -> Result<Box<dyn Replica>, Malformed> {
        Ok(Box::new(RevisionTreeReplica::restore(self.revs_limit, seat, saved)?))
    }

    fn recode(&self, message: &[u8]) -> Result<Vec<u8>, Malformed> {
        Ok(Message::decode(message)?.encode())
    }
}
