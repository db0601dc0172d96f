//! A record: the leaves of its revision tree.

use super::leaf::{Leaf, Rev};
use crate::document::{
    Alternative, Content, Digest, Edit, EditId, FieldId, FieldKind, Mark, ReplicaId,
};
use crate::lineage::Lineage;
use std::collections::BTreeSet;

/// One record.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// The winner first, tombstones last.
    leaves: Vec<Leaf>,
    /// Where it stands in this replica's feed.
    pub seq: u64,
    /// Where it is deleted: which members are known to have just these tombstones.
    pub seen_by: BTreeSet<ReplicaId>,
}

/// What became of a record when leaves came.
#[derive(Debug, Default)]
pub struct Merged {
    /// Those that something took the place of.
    pub gone: Vec<Leaf>,
    /// Those that are new.
    pub fresh: Vec<Rev>,
}

impl Record {
    pub fn of(leaves: Vec<Leaf>, seq: u64, seen_by: BTreeSet<ReplicaId>) -> Self {
        let mut record = Record { leaves, seq, seen_by };
        record.sort();
        record
    }

    fn sort(&mut self) {
        self.leaves.sort_by_key(Leaf::rank);
    }

    /// All leaves, the winner first.
    pub fn leaves(&self) -> &[Leaf] {
        &self.leaves
    }

    /// The leaf of that name, for its story.
    pub fn leaf_mut(&mut self, rev: Rev) -> Option<&mut Leaf> {
        self.leaves.iter_mut().find(|leaf| leaf.rev() == rev)
    }

    /// Those that are shown: the winner and its conflicts.
    pub fn live(&self) -> &[Leaf] {
        let live = self.leaves.partition_point(|leaf| !leaf.deleted);
        &self.leaves[..live]
    }

    /// Whether nothing is left but tombstones.
    pub fn is_deleted(&self) -> bool {
        self.live().is_empty()
    }

    /// The names of its leaves, falling.
    pub fn revs(&self) -> Vec<Rev> {
        let mut revs: Vec<Rev> = self.leaves.iter().map(Leaf::rev).collect();
        revs.sort_by(|a, b| b.cmp(a));
        revs
    }

    /// A digest of the names of its leaves.
    pub fn key(&self) -> u64 {
        let mut digest = Digest::new();
        for Rev { generation, hash } in self.revs() {
            for word in [generation, hash as u64, (hash >> 64) as u64] {
                digest.word(word);
            }
        }
        digest.finish() as u64
    }

    /// Whether a revision is one of these, or an ancestor that is remembered.
    pub fn knows(&self, rev: Rev) -> bool {
        self.leaves.iter().any(|leaf| leaf.covers(rev))
    }

    /// Takes in leaves of others. Those whose descendants are here, or come with them, are not leaves any more; the order in which they come
    /// does not matter.
    pub fn merge(&mut self, incoming: Vec<Leaf>) -> Merged {
        let mut merged = Merged::default();
        let here = std::mem::take(&mut self.leaves);
        let mut all: Vec<(Leaf, bool)> = here.into_iter().map(|leaf| (leaf, false)).collect();
        all.extend(incoming.into_iter().map(|leaf| (leaf, true)));
        // Descendants first, and of equals the one that is here.
        all.sort_by_key(|(leaf, is_new)| (std::cmp::Reverse(leaf.rev().generation), *is_new));
        for (leaf, is_new) in all {
            match self.knows(leaf.rev()) {
                true if is_new => {}
                true => merged.gone.push(leaf),
                false => {
                    if is_new {
                        merged.fresh.push(leaf.rev());
                    }
                    self.leaves.push(leaf);
                }
            }
        }
        self.sort();
        merged
    }

    /// Keeps only some leaves, and returns the others.
    pub fn retain(&mut self, keeps: impl Fn(&Leaf) -> bool) -> Vec<Leaf> {
        let (kept, gone) = std::mem::take(&mut self.leaves).into_iter().partition(keeps);
        self.leaves = kept;
        gone
    }

    /// The record as everybody has it from the beginning.
    pub fn genesis(&mut self, kind: FieldKind, id: EditId, field: FieldId, edit: &Edit) {
        if self.leaves.is_empty() {
            self.leaves.push(Leaf::nothing(Lineage::new()));
            self.leaves[0].deleted = false;
        }
        change(&mut self.leaves[0], field, kind, id, edit);
    }

    /// The genesis is complete: all of it is the first revision.
    pub fn commit_genesis(&mut self, revs_limit: usize, last: EditId) {
        self.leaves.iter_mut().for_each(|leaf| leaf.commit(revs_limit, last));
    }

    /// Puts a tombstone on everything that is shown.
    pub fn delete(&mut self, revs_limit: usize, id: EditId) {
        let live = self.live().len();
        for leaf in &mut self.leaves[..live] {
            leaf.empty();
            leaf.story.delete(id);
            leaf.commit(revs_limit, id);
        }
        self.sort();
    }

    /// A record that a user begins afresh, perhaps after an earlier one that was purged with these deletes.
    pub fn begin(&mut self, deletes: &Lineage) {
        if self.leaves.is_empty() {
            self.leaves.push(Leaf::nothing(deletes.clone()));
        }
    }

    /// A user's edit of one field makes a new revision of the winner; there is one. Returns the edits whose content it took the place of.
    pub fn edit(
        &mut self,
        revs_limit: usize,
        id: EditId,
        (field, kind): (FieldId, FieldKind),
        edit: &Edit,
    ) -> Lineage {
        let winner = &mut self.leaves[0];
        winner.deleted = false;
        let replaced = change(winner, field, kind, id, edit);
        winner.commit(revs_limit, id);
        self.sort();
        replaced
    }

    /// A user's answer to a conflict. Of the leaves that say in this field what one of the `seen` alternatives says, the first says `content` from now on
    /// and the others are deleted, with all that they say of other fields. (Were each of them to say `content`, every two users who answer at the same time would double
    /// the leaves.)
    pub fn resolve(
        &mut self,
        revs_limit: usize,
        id: EditId,
        field: FieldId,
        content: &Content,
        seen: &[Mark],
    ) {
        let named: Vec<Option<Content>> = self
            .live()
            .iter()
            .filter(|leaf| seen.contains(&Mark(leaf.rev().hash)))
            .map(|leaf| leaf.content(field).cloned())
            .collect();
        let speaks_of = |leaf: &Leaf| named.contains(&leaf.content(field).cloned());
        let live = self.live().iter().enumerate();
        let mut answered: Vec<usize> =
            live.filter(|(_, leaf)| speaks_of(leaf)).map(|(n, _)| n).collect();
        if answered.is_empty() {
            self.leaves[0].deleted = false;
            answered.push(0);
        }
        let mut edits = Lineage::of(id);
        for n in &answered {
            let leaf = &self.leaves[*n];
            if leaf.content(field) == Some(content) {
                leaf.story.fields.get(&field).iter().for_each(|same| edits.extend(same));
            }
        }
        let (chosen, losers) = answered.split_first().expect("at least the winner");
        let leaf = &mut self.leaves[*chosen];
        leaf.set(field, content.clone());
        leaf.story.fields.insert(field, edits);
        leaf.commit(revs_limit, id);
        for n in losers {
            let leaf = &mut self.leaves[*n];
            leaf.empty();
            leaf.story.fields.clear();
            leaf.commit(revs_limit, id);
        }
        self.sort();
    }

    /// The leaves that say something else of a field than those before them, the winner first.
    pub fn rivals(&self, field: FieldId) -> Vec<&Leaf> {
        rivals(self.live().iter(), field)
    }

    /// What a field shows, each rival content under its leaf's name. An empty content is an alternative too, beside another one.
    pub fn alternatives(&self, field: FieldId, kind: FieldKind) -> Vec<Alternative> {
        let content = |leaf: &Leaf| leaf.content(field).cloned().unwrap_or_else(|| kind.empty());
        let rivals = self.rivals(field).into_iter();
        rivals
            .map(|leaf| Alternative { mark: Mark(leaf.rev().hash), content: content(leaf) })
            .collect()
    }
}

/// Of these leaves, those that say something else of a field than the ones before them.
pub fn rivals<'a>(leaves: impl Iterator<Item = &'a Leaf>, field: FieldId) -> Vec<&'a Leaf> {
    let mut rivals: Vec<&Leaf> = Vec::new();
    for leaf in leaves {
        if rivals.iter().all(|rival| rival.content(field) != leaf.content(field)) {
            rivals.push(leaf);
        }
    }
    rivals
}

/// Changes a field, without making a revision yet. Returns the edits whose content it took the place of.
fn change(leaf: &mut Leaf, field: FieldId, kind: FieldKind, id: EditId, edit: &Edit) -> Lineage {
    let mut content = leaf.contents.remove(&field).unwrap_or_else(|| kind.empty());
    content.apply(edit);
    leaf.set(field, content);
    let edits = leaf.story.fields.entry(field).or_default();
    if let Edit::Put { .. } = edit {
        return std::mem::replace(edits, Lineage::of(id));
    }
    edits.insert(id);
    Lineage::new()
}
