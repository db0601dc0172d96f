//! What a replica tells its application about a cell that changed.

use super::Policy;
use super::object::{Joined, Object, Version};
use crate::contract::{Change, Outbox};
use crate::document::{Cell, EditId};
use crate::lineage::Lineage;

/// What was shown and known of a cell before something happened to it.
pub struct Before {
    shown: Lineage,
    known: Lineage,
}

impl Before {
    pub fn of(object: &Object, policy: Policy) -> Self {
        Before { shown: object.shown_edits(policy), known: object.known_edits() }
    }

    /// Reports what a join did. `elsewhere` says whether an edit was known to another cell of the record: then it is a delete that
    /// was reported when it arrived there.
    pub fn report_join(
        &self,
        cell: Cell,
        object: &Object,
        joined: &Joined,
        policy: Policy,
        elsewhere: impl Fn(EditId) -> bool,
        out: &mut Outbox,
    ) {
        let shown = object.shown_edits(policy);
        for edit in shown.minus(&self.shown) {
            if !elsewhere(edit) {
                out.change(Change::Applied { edit });
            }
        }
        let added = || object.versions.iter().filter(|v| joined.added.contains(&v.dot));
        let mut arrived = Lineage::new();
        added().for_each(|version| version.story.add_to(&mut arrived));
        for edit in arrived.minus(&self.known).filter(|edit| !shown.contains(*edit)) {
            let heir = added().find(|version| version.story.replaced.contains(edit));
            // Knowingly replaced on the way here, it was part of what came; a rival that loses never was.
            if heir.is_some() && !elsewhere(edit) {
                out.change(Change::Applied { edit });
            }
            if let Some(heir) = heir.or(object.preferred()) {
                out.change(Change::Replaced { edit, by: heir.edit });
            }
        }
        self.report_gone(object, &shown, None, out);
        if policy == Policy::Siblings {
            report_rivals(cell, object, joined, out);
        }
    }

    /// Reports what an edit by this replica's user did.
    pub fn report_own(
        &self,
        cell: Cell,
        object: &Object,
        own: EditId,
        policy: Policy,
        out: &mut Outbox,
    ) {
        self.report_gone(object, &object.shown_edits(policy), Some(own), out);
        if policy == Policy::Merge || object.versions.len() < 2 {
            return;
        }
        // An answer that left something open.
        let alternatives = object.alternatives();
        if let [_, _, ..] = alternatives[..]
            && let Some(open) = alternatives.iter().find(|version| version.edit != own)
        {
            out.change(Change::Conflicted { cell, edit: open.edit, with: own });
        }
    }

    fn report_gone(&self, object: &Object, shown: &Lineage, by: Option<EditId>, out: &mut Outbox) {
        for edit in self.shown.minus(shown) {
            let heir = || {
                let heir = object.versions.iter().find(|v| v.story.replaced.contains(edit));
                heir.or(object.preferred()).map(|version| version.edit)
            };
            if let Some(by) = by.or_else(heir) {
                out.change(Change::Replaced { edit, by });
            }
        }
    }
}

/// Reports every alternative that was not shown before and now stands beside another one.
fn report_rivals(cell: Cell, object: &Object, joined: &Joined, out: &mut Outbox) {
    if object.versions.len() < 2 {
        return;
    }
    let alternatives = object.alternatives();
    if alternatives.len() < 2 {
        return;
    }
    let stayed = object.versions.iter().filter(|v| !joined.added.contains(&v.dot));
    let old: Vec<&Version> = stayed.chain(&joined.dropped).collect();
    let is_old = |version: &Version| old.iter().any(|old| old.content == version.content);
    let here = alternatives.iter().find(|v| is_old(v)).unwrap_or(&alternatives[0]);
    for rival in alternatives.iter().filter(|v| v.dot != here.dot && !is_old(v)) {
        out.change(Change::Conflicted { cell, edit: here.edit, with: rival.edit });
    }
}
