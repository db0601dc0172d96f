//! What a replica tells its application about a cell that changed.
//!
//! Of registers and counters it is known which edits they stand on, so that each one that goes can be named. Of sets and texts nothing goes
//! but what somebody removed who had seen it, which needs no report: rivals are shown, and an edit takes them together.

use super::seen::{RecentDeletes, Seen};
use super::version::{Version, alternatives_of, is_shown, preferred_of};
use crate::contract::{Change, Outbox};
use crate::document::{Cell, Content, EditId};
use crate::lineage::Lineage;
use std::borrow::Cow;

/// The edits that a cell shows. Borrowed from its version where there is only one, as there mostly is.
#[derive(Debug)]
struct Shown<'a> {
    stands_on: Cow<'a, Lineage>,
    /// Deletes whose effect is gone, since something that stands on what they deleted is shown.
    undone: Lineage,
}

impl<'a> Shown<'a> {
    /// What these versions of one cell show together.
    fn of(versions: &[&'a Version]) -> Self {
        if let [only] = versions {
            let stands_on = Cow::Borrowed(&only.story.stands_on);
            return Shown { stands_on, undone: Lineage::new() };
        }
        let preferred = preferred_of(versions.iter().copied());
        let (mut stands_on, mut undone) = (Lineage::new(), Lineage::new());
        for version in versions.iter().filter(|version| is_shown(version, preferred)) {
            stands_on.extend(&version.story.stands_on);
        }
        for version in versions.iter().filter(|version| version.is_undone(preferred, &stands_on)) {
            undone.extend(&version.story.deletes);
        }
        Shown { stands_on: Cow::Owned(stands_on), undone }
    }
}

impl Version {
    /// Whether the deletes it respects are without effect beside what is shown.
    fn is_undone(&self, preferred: Option<&Version>, shown: &Lineage) -> bool {
        let story = &self.story;
        let forgotten = self.deleted && preferred.is_some() && story.replaced.is_empty();
        story.undone_by(shown) || forgotten && !matches!(self.content, Content::Register(_))
    }

    /// Whether the edits that it stands on are all named.
    fn names_all(&self) -> bool {
        matches!(self.content, Content::Register(_) | Content::Counter(_))
    }
}

/// Reports what an edit by this replica's user did to a cell that showed `old` before.
pub fn report_own(
    cell: Cell,
    old: &[&Version],
    new: &[&Version],
    own: EditId,
    deletes: bool,
    out: &mut Outbox,
) {
    if new.iter().any(|version| version.names_all()) {
        let (before, after) = (Shown::of(old), Shown::of(new));
        for edit in before.stands_on.minus(&after.stands_on) {
            out.change(Change::Replaced { edit, by: own });
        }
        // An answer may say what another version beside it says already: of equal sums only one is shown.
        let hidden = !deletes && !after.stands_on.contains(own);
        if let Some(preferred) = preferred_of(new.iter().copied()).filter(|_| hidden) {
            out.change(Change::Replaced { edit: own, by: preferred.edit });
        }
    }
    // An answer that left something open.
    if new.len() > 1
        && let alternatives = alternatives_of(new)
        && alternatives.len() > 1
        && let Some(open) = alternatives.iter().find(|version| version.edit != own)
    {
        out.change(Change::Conflicted { cell, edit: open.edit, with: own });
    }
}

/// Reports what came from others to a cell that showed `old` before.
pub fn report_news(
    cell: Cell,
    old: &[&Version],
    now: &[&Version],
    seen: &mut Seen,
    deletes: &mut RecentDeletes,
    out: &mut Outbox,
) {
    let new = now.iter().filter(|v| !old.iter().any(|old| old.edit == v.edit));
    let new: Vec<&Version> = new.copied().collect();
    let (before, after) = (Shown::of(old), Shown::of(now));
    let preferred = preferred_of(now.iter().copied());
    let mut came = Lineage::new();
    for version in &new {
        for (edit, is_delete) in version.story.news(seen) {
            if !came.insert(edit) {
                continue;
            }
            let replaced = version.story.replaced.contains(edit);
            if is_delete {
                if deletes.is_new(edit) {
                    out.change(Change::Applied { edit });
                }
            } else if !version.names_all() || after.stands_on.contains(edit) {
                out.change(Change::Applied { edit });
            } else if replaced {
                // Knowingly replaced on the way here, it was part of what came.
                out.change(Change::Applied { edit });
                out.change(Change::Replaced { edit, by: version.edit });
            } else if let Some(preferred) = preferred {
                // A rival that loses at once never was.
                out.change(Change::Replaced { edit, by: preferred.edit });
            }
        }
    }
    came.iter().for_each(|edit| seen.add(edit));
    if old.iter().chain(now).any(|version| version.names_all()) {
        report_changes(&before, &after, &came, now, out);
    }
    if let Some(preferred) = preferred {
        for edit in after.undone.minus(&before.undone) {
            out.change(Change::Replaced { edit, by: preferred.edit });
        }
    }
    if now.len() > 1 {
        report_rivals(cell, old, now, out);
    }
}

/// Reports edits that were known, and came back or went.
fn report_changes(
    before: &Shown<'_>,
    after: &Shown<'_>,
    came: &Lineage,
    now: &[&Version],
    out: &mut Outbox,
) {
    for edit in after.stands_on.minus(&before.stands_on).filter(|edit| !came.contains(*edit)) {
        out.change(Change::Applied { edit });
    }
    let preferred = preferred_of(now.iter().copied());
    for edit in before.stands_on.minus(&after.stands_on) {
        let heir = now.iter().copied().find(|version| version.story.replaced.contains(edit));
        if let Some(heir) = heir.or(preferred).or(now.first().copied()) {
            out.change(Change::Replaced { edit, by: heir.edit });
        }
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
