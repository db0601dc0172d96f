//! What a replica reports when a peer's whole document takes the place of its own.

use super::attribution::Attribution;
use super::causal::{Dot, Version};
use crate::contract::{CargoIds, Change, Outbox};
use crate::document::{Cell, EditId};
use std::collections::{BTreeMap, BTreeSet};

/// The edits of which something is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Displayed {
    /// By the dots that show them.
    pub by_dot: BTreeMap<Dot, EditId>,
    /// How often each is there: additions once for each dot, all else once.
    pub times: BTreeMap<EditId, u64>,
}

/// How one document differs from the one before.
#[derive(Debug, Default)]
pub struct Comparison {
    /// Values and additions that are hidden, and the value that is displayed instead if there is one.
    pub hidden: Vec<(Dot, Option<Dot>)>,
    /// Values that are shown beside a new one, and that one.
    pub rivals: Vec<(Cell, Dot, Dot)>,
}

/// Two documents, one of which takes the place of the other.
pub struct Replacement<'a> {
    /// What the one before shows.
    pub was: &'a Displayed,
    /// What the one after shows.
    pub is: &'a Displayed,
    /// How they differ.
    pub found: Comparison,
    /// The edits that came with the one after and are new here, as far as it has to show them.
    pub fresh: Vec<EditId>,
    /// What took the place of an edit, where the document itself says so.
    pub replaced: &'a BTreeMap<EditId, EditId>,
    /// What may have hidden an edit otherwise; the first that is not that edit counts.
    pub stand_ins: Vec<EditId>,
}

impl Attribution {
    /// The edits behind what is shown: dots, each with whether it is an addition.
    pub fn displayed(&self, dots: impl Iterator<Item = (Dot, bool)>) -> Displayed {
        let mut displayed = Displayed::default();
        for (dot, adds) in dots {
            let Some(edit) = self.of(dot) else { continue };
            displayed.by_dot.insert(dot, edit);
            let times = displayed.times.entry(edit).or_default();
            *times = if adds { *times + 1 } else { 1 };
        }
        displayed
    }

    /// Takes the ids that came with the document of a peer that has `version`, and reports those that are new where `have` is known already;
    /// returns them, and how many elements the ids are about.
    pub fn take_all(
        &mut self,
        version: &Version,
        have: &Version,
        ids: &[CargoIds],
        out: &mut Outbox,
    ) -> (Vec<EditId>, u64) {
        let (mut element, mut fresh) = (0, Vec::new());
        for (agent, counter) in version.iter() {
            let (first, skip) = (Dot { agent, counter: 1 }, have.get(agent));
            self.take(first, (counter, skip), element, ids, |edit| {
                fresh.push(edit);
                out.change(Change::Applied { edit });
            });
            element += counter;
        }
        (fresh, element)
    }

    /// Forgets the ids of changes that were `known` and are not among those that are there now, so that these are new when they come again. Reports
    /// those that are in no other way accounted for as replaced by `newest`.
    pub fn drop_beyond(
        &mut self,
        have: &Version,
        known: &Version,
        newest: Option<EditId>,
        accounted_for: &BTreeSet<EditId>,
        out: &mut Outbox,
    ) {
        for (agent, _) in known.iter() {
            for edit in self.cut(agent, have.get(agent)) {
                // Where its author has made it again in a later life, it is here still.
                let is_gone = !accounted_for.contains(&edit) && self.find_any(edit).is_none();
                if let Some(by) = newest.filter(|by| is_gone && *by != edit) {
                    out.change(Change::Replaced { edit, by });
                }
            }
        }
    }

    /// Reports what is shown no more, what came without being shown, what is shown once more, and which rivals there are. An edit may have another
    /// name now: what counts is whether it is shown. Returns the edits of which nothing is shown, each with what took its place.
    pub fn report(&self, replacement: Replacement, out: &mut Outbox) -> Vec<(EditId, EditId)> {
        let Replacement { was, is, found, fresh, replaced, stand_ins } = replacement;
        out.work((was.by_dot.len() + is.by_dot.len()) as u64);
        let instead = found.hidden.into_iter().filter_map(|(hidden, instead)| {
            let instead = instead.and_then(|dot| is.by_dot.get(&dot).copied())?;
            Some((*was.by_dot.get(&hidden)?, instead))
        });
        let instead: BTreeMap<EditId, EditId> = instead.collect();
        let mut told = was.times.clone();
        for edit in fresh {
            *told.entry(edit).or_default() += 1;
        }
        for edit in is.times.keys() {
            told.entry(*edit).or_default();
        }
        let mut hidden = Vec::new();
        for (edit, told) in told {
            let times = is.times.get(&edit).copied().unwrap_or(0);
            if told > times {
                // Where nothing is displayed instead, something new has deleted it; which one the document says beside it, or not.
                let said = instead.get(&edit).or(replaced.get(&edit));
                let by = said.into_iter().chain(&stand_ins).find(|by| **by != edit);
                let by = *by.unwrap_or(&edit);
                out.change(Change::Replaced { edit, by });
                if times == 0 {
                    hidden.push((edit, by));
                }
            }
            let told = if told > times { 0 } else { told };
            (told..times).for_each(|_| out.change(Change::Applied { edit }));
        }
        for (cell, rival, new) in found.rivals {
            if let (Some(edit), Some(with)) = (self.of(rival), self.of(new)) {
                out.change(Change::Conflicted { cell, edit, with });
            }
        }
        hidden
    }
}
