//! What a replica tells its application about a cell that changed.

use super::Policy;
use super::version::{Version, alternatives_of, is_shown, preferred_of};
use crate::contract::{Change, Outbox};
use crate::document::{Cell, EditId};
use crate::lineage::Lineage;
use std::borrow::Cow;

/// The edits that a cell shows. Borrowed from its version where there is only one, as there mostly is.
#[derive(Debug)]
pub struct Shown<'a> {
    stands_on: Cow<'a, Lineage>,
    deletes: Cow<'a, Lineage>,
}

impl<'a> Shown<'a> {
    /// What these versions of one cell show together.
    pub fn of(versions: impl Iterator<Item = &'a Version> + Clone, policy: Policy) -> Self {
        let mut all = versions.clone();
        if let (Some(only), None) = (all.next(), all.next()) {
            let story = &only.story;
            return Shown {
                stands_on: Cow::Borrowed(&story.stands_on),
                deletes: Cow::Borrowed(&story.deletes),
            };
        }
        let preferred = preferred_of(versions.clone());
        let (mut stands_on, mut deletes) = (Lineage::new(), Lineage::new());
        for version in versions.clone() {
            if is_shown(version, preferred, policy) {
                stands_on.extend(&version.story.stands_on);
            }
        }
        for version in versions {
            if !version.story.undone_by(&stands_on) {
                deletes.extend(&version.story.deletes);
            }
        }
        Shown { stands_on: Cow::Owned(stands_on), deletes: Cow::Owned(deletes) }
    }

    fn contains(&self, edit: EditId) -> bool {
        self.stands_on.contains(edit) || self.deletes.contains(edit)
    }

    fn minus<'s>(&'s self, other: &'s Shown<'_>) -> impl Iterator<Item = EditId> + 's {
        let contents = self.stands_on.minus(&other.stands_on);
        let deletes = self.deletes.minus(&other.deletes);
        contents.chain(deletes).filter(|edit| !other.contains(*edit))
    }
}

/// Reports what an edit by this replica's user did to a cell that showed `old` before.
pub fn report_own(
    cell: Cell,
    old: &[&Version],
    new: &[&Version],
    own: EditId,
    policy: Policy,
    out: &mut Outbox,
) {
    let before = Shown::of(old.iter().copied(), policy);
    let after = Shown::of(new.iter().copied(), policy);
    for edit in before.minus(&after) {
        out.change(Change::Replaced { edit, by: own });
    }
    // An answer may say what another version beside it says already: of equal sums only one is shown.
    if let Some(preferred) = preferred_of(new.iter().copied()).filter(|_| !after.contains(own)) {
        out.change(Change::Replaced { edit: own, by: preferred.edit });
    }
    for edit in after.minus(&before).filter(|edit| *edit != own) {
        // Where versions come and go together, an answer may bring some back that its author had replaced before.
        out.change(Change::Applied { edit });
    }
    if policy == Policy::Merge || new.len() < 2 {
        return;
    }
    // An answer that left something open.
    let alternatives = alternatives_of(new);
    if let [_, _, ..] = alternatives[..]
        && let Some(open) = alternatives.iter().find(|version| version.edit != own)
    {
        out.change(Change::Conflicted { cell, edit: open.edit, with: own });
    }
}

/// Reports what came from others to a cell that showed `old` before. `elsewhere` says whether an edit was known to another cell of the
/// record: then it is a delete that was reported when it arrived there.
pub fn report_news(
    cell: Cell,
    old: &[&Version],
    now: &[&Version],
    policy: Policy,
    elsewhere: impl Fn(EditId) -> bool,
    out: &mut Outbox,
) {
    let is_new = |version: &&&Version| !old.iter().any(|old| old.edit == version.edit);
    let before = Shown::of(old.iter().copied(), policy);
    let after = Shown::of(now.iter().copied(), policy);
    let preferred = preferred_of(now.iter().copied());
    for edit in after.minus(&before) {
        if !elsewhere(edit) {
            out.change(Change::Applied { edit });
        }
    }
    let new: Vec<&Version> = now.iter().filter(is_new).copied().collect();
    let mut hidden = Lineage::new();
    for edit in new.iter().flat_map(|version| version.story.minus(old)) {
        if after.contains(edit) || !hidden.insert(edit) {
            continue;
        }
        let heir = new.iter().copied().find(|version| version.story.replaced.contains(edit));
        // Knowingly replaced on the way here, it was part of what came; a rival that loses never was.
        if heir.is_some() && !elsewhere(edit) {
            out.change(Change::Applied { edit });
        }
        if let Some(heir) = heir.or(preferred) {
            out.change(Change::Replaced { edit, by: heir.edit });
        }
    }
    for edit in before.minus(&after) {
        let heir = now.iter().copied().find(|v| v.story.replaced.contains(edit));
        if let Some(heir) = heir.or(preferred) {
            out.change(Change::Replaced { edit, by: heir.edit });
        }
    }
    if policy == Policy::Siblings && now.len() > 1 {
        report_rivals(cell, old, now, out);
    }
}

/// Reports every alternative that was not shown before and now stands beside another one.
fn report_rivals(cell: Cell, old: &[&Version], now: &[&Version], out: &mut Outbox) {
    let alternatives = alternatives_of(now);
    if alternatives.len() < 2 {
        return;
    }
    let is_old = |version: &Version| old.iter().any(|old| old.content == version.content);
    let here = alternatives.iter().find(|v| is_old(v)).unwrap_or(&alternatives[0]);
    for rival in alternatives.iter().filter(|v| v.edit != here.edit && !is_old(v)) {
        out.change(Change::Conflicted { cell, edit: here.edit, with: rival.edit });
    }
}
