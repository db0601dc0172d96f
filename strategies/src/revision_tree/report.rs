//! What a replica tells its application about a record that changed.

use super::leaf::Leaf;
use super::record::{Record, rivals};
use crate::contract::{Change, Outbox};
use crate::document::{Cell, EditId, FieldId, RecordId};
use crate::lineage::Lineage;
use std::collections::BTreeSet;

static NONE: Lineage = Lineage::new();

/// All that leaves of one record show. A delete is without effect where something is shown that it deleted.
pub fn shown<'a>(leaves: impl Iterator<Item = &'a Leaf> + Clone) -> Lineage {
    let mut contents = Lineage::new();
    for leaf in leaves.clone().filter(|leaf| !leaf.deleted) {
        leaf.story.fields.values().for_each(|edits| contents.extend(edits));
    }
    let mut all = contents.clone();
    for leaf in leaves {
        if !(leaf.deleted && leaf.story.gone.meets(&contents)) {
            all.extend(&leaf.story.deletes);
        }
    }
    all
}

/// Reports what edits by this replica's user did to a record that showed `before`.
pub fn report_own(record: &Record, before: &Lineage, own: EditId, out: &mut Outbox) {
    let after = shown(record.leaves().iter());
    for edit in before.minus(&after).filter(|edit| *edit != own) {
        out.change(Change::Replaced { edit, by: own });
    }
    for edit in after.minus(before).filter(|edit| *edit != own) {
        out.change(Change::Applied { edit });
    }
}

/// Reports a conflict that an edit by this replica's user left open, or made.
pub fn report_own_conflict(cell: Cell, record: &Record, own: EditId, out: &mut Outbox) {
    if let [first, second, ..] = record.rivals(cell.field)[..] {
        let other = if shows(first, cell.field, own) { second } else { first };
        let edit = speaker(other, Some(own), cell.field).unwrap_or(own);
        out.change(Change::Conflicted { cell, edit, with: own });
    }
}

/// Reports what came from others: the leaves that were here, those that are here now, and those of them that are new.
pub fn report_news(
    record: RecordId,
    before: &[&Leaf],
    after: &[&Leaf],
    fresh: &[&Leaf],
    out: &mut Outbox,
) {
    if let ([] | [_], [new]) = (before, after) {
        report_step(before.first().copied(), new, out);
        return;
    }
    let (was, is) = (shown(before.iter().copied()), shown(after.iter().copied()));
    let makers = || fresh.iter().chain(after).filter_map(|leaf| leaf.story.by);
    for edit in is.minus(&was) {
        out.change(Change::Applied { edit });
    }
    let mut hidden = Lineage::new();
    for leaf in fresh {
        for edit in leaf.story.deletes.minus(&is).filter(|edit| !was.contains(*edit)) {
            // Of a delete that loses at once: what it would have deleted stays.
            let winner = after.first().and_then(|leaf| leaf.story.by);
            if hidden.insert(edit)
                && let Some(by) = winner.into_iter().chain(makers()).find(|by| *by != edit)
            {
                out.change(Change::Replaced { edit, by });
            }
        }
    }
    for edit in was.minus(&is) {
        if let Some(by) = makers().find(|by| *by != edit) {
            out.change(Change::Replaced { edit, by });
        }
    }
    report_rivals(record, before, after, out);
}

/// One leaf, or nothing, became one other leaf.
fn report_step(old: Option<&Leaf>, new: &Leaf, out: &mut Outbox) {
    let of = |leaf: Option<&Leaf>, field: FieldId| {
        leaf.and_then(|leaf| leaf.story.fields.get(&field)).unwrap_or(&NONE).clone()
    };
    let fields: BTreeSet<FieldId> =
        old.into_iter().chain([new]).flat_map(|leaf| leaf.story.fields.keys().copied()).collect();
    let mut gone = Vec::new();
    for field in fields {
        let (was, is) = (of(old, field), of(Some(new), field));
        for edit in is.minus(&was) {
            out.change(Change::Applied { edit });
        }
        gone.extend(was.minus(&is));
    }
    let deletes = old.map_or(&NONE, |old| &old.story.deletes);
    for edit in new.story.deletes.minus(deletes) {
        out.change(Change::Applied { edit });
    }
    gone.extend(deletes.minus(&new.story.deletes));
    for edit in gone {
        if let Some(by) = new.story.by.filter(|by| *by != edit) {
            out.change(Change::Replaced { edit, by });
        }
    }
}

/// Reports every alternative that was not shown before and now stands beside another one.
fn report_rivals(record: RecordId, before: &[&Leaf], after: &[&Leaf], out: &mut Outbox) {
    let live = |leaves: &[&Leaf]| leaves.iter().filter(|leaf| !leaf.deleted).count();
    if live(after) < 2 {
        return;
    }
    let fields: BTreeSet<FieldId> =
        after.iter().flat_map(|leaf| leaf.contents.keys().copied()).collect();
    for field in fields {
        let alive = |leaf: &&&Leaf| !leaf.deleted;
        let is = rivals(after.iter().filter(alive).copied(), field);
        if is.len() < 2 {
            continue;
        }
        let was = rivals(before.iter().filter(alive).copied(), field);
        let is_old = |leaf: &Leaf| was.iter().any(|old| old.content(field) == leaf.content(field));
        let here = is.iter().copied().find(|leaf| is_old(leaf)).unwrap_or(is[0]);
        let cell = Cell { record, field };
        for rival in is.iter().copied().filter(|leaf| leaf.rev() != here.rev() && !is_old(leaf)) {
            let with = speaker(rival, None, field);
            let edit = speaker(here, with, field);
            if let (Some(edit), Some(with)) = (edit.or(with), with.or(edit)) {
                out.change(Change::Conflicted { cell, edit, with });
            }
        }
    }
}

fn shows(leaf: &Leaf, field: FieldId, edit: EditId) -> bool {
    leaf.story.fields.get(&field).is_some_and(|edits| edits.contains(edit))
}

/// An edit to name a leaf's content of a field by, another one than `other` if possible: the last that it stands on.
fn speaker(leaf: &Leaf, other: Option<EditId>, field: FieldId) -> Option<EditId> {
    let edits = leaf.story.fields.get(&field).unwrap_or(&NONE);
    let maker = leaf.story.by.filter(|by| edits.contains(*by));
    let last = edits.iter().filter(|edit| Some(*edit) != other).last();
    maker.filter(|by| Some(*by) != other).or(last).or(leaf.story.by)
}

/// Another edit turned out to have made the very same revision as one here: only one of them counts, here the one that was here.
pub fn report_twins(record: &mut Record, at: usize, told: &Lineage, out: &mut Outbox) {
    let leaf = &record.leaves()[at];
    let mine = leaf.story.edits();
    let mut twins = leaf.story.twins.clone();
    let (rev, by) = (leaf.rev(), leaf.story.by);
    for edit in told.minus(&mine) {
        let shown = record.leaves().iter().any(|leaf| leaf.story.shows(edit));
        if let Some(by) = by.filter(|by| *by != edit && !shown)
            && twins.insert(edit)
        {
            out.change(Change::Replaced { edit, by });
        }
    }
    if let Some(leaf) = record.leaf_mut(rev) {
        leaf.story.twins = twins;
    }
}
