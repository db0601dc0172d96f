//! What a replica tells its application about a cell that changed.

use super::history::{History, View};
use crate::contract::{Change, Outbox};
use crate::document::{Cell, Content, Edit, EditId, FieldKind};
use crate::lineage::Lineage;
use crate::version_vector::seen::RecentDeletes;
use std::collections::BTreeSet;
use std::sync::Arc;

/// What came from somebody else.
#[derive(Debug, Default)]
pub struct Came {
    /// New edits, the earlier ones that went into each, and whether it is a deletion.
    pub nodes: Vec<(EditId, Lineage, bool)>,
    /// An edit came that is here already: its author made it again.
    pub again: bool,
    /// Another root took the place of the one here.
    pub adopted: bool,
    /// Edits that brought what is in it, and were not known.
    pub pieces: Vec<EditId>,
    /// Edits whose piece is in it again.
    pub back: BTreeSet<EditId>,
    /// Deletions that led to it.
    pub deletions: Vec<EditId>,
    /// Edits that were left out since they do not follow it.
    pub left_out: Vec<EditId>,
}

impl Came {
    pub fn is_any(&self) -> bool {
        !self.nodes.is_empty() || self.again || self.adopted
    }
}

/// Whether the edits that a cell of this kind stands on are kept. Of sets and texts nothing is ever hidden from somebody who had not seen
/// it, and what goes knowingly needs no report.
fn stands_on_edits(kind: FieldKind) -> bool {
    matches!(kind, FieldKind::Register | FieldKind::Counter)
}

/// Reports what an edit by this replica's user did to a cell that stood on some edits.
pub fn report_own(
    cell: Cell,
    stood_on: &Lineage,
    history: &History,
    own: EditId,
    edit: &Edit,
    out: &mut Outbox,
) {
    let after = history.view();
    for gone in stood_on.minus(&after.stands_on).filter(|gone| *gone != own) {
        out.change(Change::Replaced { edit: gone, by: own });
    }
    let first = after.alternatives.first().map(|(first, _)| *first);
    let deletes = matches!(edit, Edit::Delete { .. });
    if stands_on_edits(history.kind)
        && !deletes
        && !after.stands_on.contains(own)
        && let Some(by) = first.filter(|by| *by != own)
    {
        out.change(Change::Replaced { edit: own, by });
    }
    // An answer that left something open.
    if let [_, _, ..] = after.alternatives[..]
        && let Some((open, _)) = after.alternatives.iter().find(|(edit, _)| *edit != own)
    {
        out.change(Change::Conflicted { cell, edit: *open, with: own });
    }
}

/// Reports what came from others to a cell that showed `before`.
pub fn report_news(
    cell: Cell,
    before: &View,
    history: &History,
    came: &Came,
    deletes: &mut RecentDeletes,
    out: &mut Outbox,
) {
    let after = history.view();
    let keeps = stands_on_edits(history.kind);
    let heir = |gone: EditId| {
        let first = after.alternatives.first().map(|(edit, _)| *edit);
        let nodes = came.nodes.iter().rev().map(|(edit, _, _)| *edit);
        let named = came.pieces.iter().chain(&came.back).copied();
        let last = [history.last_edit(), history.root.edit];
        let went = history.root.removals.iter().chain(history.root.deletions.iter());
        let mut heirs = first.into_iter().chain(last).chain(nodes).chain(named).chain(went);
        heirs.find(|heir| *heir != gone)
    };
    let gone = |edit: EditId, out: &mut Outbox| {
        if let Some(by) = heir(edit) {
            out.change(Change::Replaced { edit, by });
        }
    };
    for edit in &came.deletions {
        if deletes.is_new(*edit) {
            out.change(Change::Applied { edit: *edit });
        }
    }
    let mut new = Lineage::new();
    for (edit, also, clears) in &came.nodes {
        if *clears {
            if deletes.is_new(*edit) {
                out.change(Change::Applied { edit: *edit });
            }
            continue;
        }
        for edit in std::iter::once(*edit).chain(also.iter()) {
            if keeps && before.stands_on.contains(edit) || !new.insert(edit) {
                continue;
            }
            out.change(Change::Applied { edit });
            if keeps && !after.stands_on.contains(edit) {
                gone(edit, out);
            }
        }
    }
    for edit in after.stands_on.minus(&before.stands_on).filter(|edit| !new.contains(*edit)) {
        out.change(Change::Applied { edit });
    }
    for edit in &came.pieces {
        if new.insert(*edit) {
            out.change(Change::Applied { edit: *edit });
        }
    }
    for edit in &came.back {
        // It may have gone knowingly, without a report. What nothing else was ever beside has not gone.
        if new.insert(*edit)
            && let Some(by) = heir(*edit)
        {
            out.change(Change::Replaced { edit: *edit, by });
            out.change(Change::Applied { edit: *edit });
        }
    }
    before.stands_on.minus(&after.stands_on).for_each(|edit| gone(edit, out));
    if !keeps {
        came.left_out.iter().for_each(|edit| gone(*edit, out));
    }
    report_rivals(cell, before, after, out);
}

/// Reports every alternative that was not shown before and now stands beside another one.
fn report_rivals(cell: Cell, before: &View, after: &View, out: &mut Outbox) {
    let [first, _, ..] = &after.alternatives[..] else { return };
    let is_old = |alternative: &&(EditId, Arc<Content>)| {
        before.alternatives.iter().any(|(_, content)| *content == alternative.1)
    };
    let here = after.alternatives.iter().find(is_old).unwrap_or(first);
    for rival in after.alternatives.iter().filter(|rival| rival.0 != here.0 && !is_old(rival)) {
        out.change(Change::Conflicted { cell, edit: here.0, with: rival.0 });
    }
}
