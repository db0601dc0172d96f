//! Are the changes that replicas report true? Checked as they come, and against what is shown once all is settled.

use crate::stage::{Event, Stage, id};
use reconverge_strategies::*;
use std::collections::{BTreeMap, BTreeSet};

/// What was made, and what every replica said about it.
pub struct Reports {
    shows_late: bool,
    authority: Option<usize>,
    made: BTreeMap<EditId, Made>,
    /// By replica: whether an edit is shown or gone, as it said last.
    standing: Vec<BTreeMap<EditId, Standing>>,
    /// By replica: cells with a reported conflict.
    conflicted: Vec<BTreeSet<Cell>>,
    /// Said by any replica: what took the place of an edit.
    replacements: BTreeMap<EditId, BTreeSet<EditId>>,
}

struct Made {
    edit: Edit,
    refused: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    Shown,
    Gone,
}

impl Reports {
    /// Before anything happened: everybody shows the genesis.
    pub fn new(stage: &Stage<'_>) -> Self {
        let genesis =
            |(id, edit): &(EditId, Edit)| (*id, Made { edit: edit.clone(), refused: false });
        let shown = stage.genesis.iter().map(|(id, _)| (*id, Standing::Shown)).collect();
        Reports {
            shows_late: stage.shows_late(),
            authority: stage.authority(),
            made: stage.genesis.iter().map(genesis).collect(),
            standing: vec![shown; stage.count()],
            conflicted: vec![BTreeSet::new(); stage.count()],
            replacements: BTreeMap::new(),
        }
    }

    /// An edit was made somewhere.
    pub fn made(&mut self, id: EditId, edit: &Edit) {
        self.made.entry(id).or_insert_with(|| Made { edit: edit.clone(), refused: false });
    }

    /// Takes in what a replica said when something happened to it.
    pub fn take(&mut self, n: usize, event: &Event, outputs: &[Output]) -> Result<(), String> {
        if let Event::Edit { id, edit } = event {
            self.made(*id, edit);
            if !self.shows_late {
                self.standing[n].insert(*id, Standing::Shown);
            }
        }
        for output in outputs {
            if let Output::Change(change) = output {
                self.change(n, *change).map_err(|what| {
                    format!("{} reports {change:?} when it {event}: {what}", id(n))
                })?;
            }
        }
        Ok(())
    }

    fn change(&mut self, n: usize, change: Change) -> Result<(), &'static str> {
        let known = |edit: &EditId| self.made.contains_key(edit);
        match change {
            Change::Applied { edit } => {
                if !known(&edit) {
                    return Err("no such edit was made");
                }
                if self.standing[n].insert(edit, Standing::Shown) == Some(Standing::Shown) {
                    return Err("it was shown already and not replaced since");
                }
            }
            Change::Replaced { edit, by } => {
                if !known(&edit) || !known(&by) {
                    return Err("no such edit was made");
                }
                if edit == by {
                    return Err("an edit cannot replace itself");
                }
                self.standing[n].insert(edit, Standing::Gone);
                self.replacements.entry(edit).or_default().insert(by);
            }
            Change::Conflicted { cell, edit, with } => {
                if !known(&edit) || !known(&with) {
                    return Err("no such edit was made");
                }
                self.conflicted[n].insert(cell);
            }
            Change::Acknowledged { edit } => {
                if !known(&edit) {
                    return Err("no such edit was made");
                }
                if self.authority.is_some_and(|hub| !self.accounted(edit, hub)) {
                    return Err("the authority never reported having it");
                }
            }
            Change::Refused { edit, .. } => {
                let Some(made) = self.made.get_mut(&edit) else {
                    return Err("no such edit was made");
                };
                made.refused = true;
                self.standing[n].insert(edit, Standing::Gone);
            }
        }
        Ok(())
    }

    /// Whether a replica made or reported an edit, or one that took its place, directly or in the end.
    fn accounted(&self, edit: EditId, n: usize) -> bool {
        let mut seen = BTreeSet::new();
        let mut open = vec![edit];
        while let Some(edit) = open.pop() {
            if edit.origin == id(n) || self.standing[n].contains_key(&edit) {
                return true;
            }
            if seen.insert(edit) {
                open.extend(self.replacements.get(&edit).into_iter().flatten());
            }
        }
        false
    }

    /// At any time: does what a replica reported agree with what it shows?
    pub fn check_shown(&self, n: usize, rendering: &Rendering) -> Result<(), String> {
        // What an answer to a conflict picked is shown on its behalf, whatever became of the edit it came from.
        let picked: BTreeSet<(Cell, &Content)> = self
            .made
            .values()
            .filter_map(|made| match &made.edit {
                Edit::Resolve { cell, content, .. } => Some((*cell, content)),
                _ => None,
            })
            .collect();
        for (edit, made) in &self.made {
            self.check_put(n, *edit, made, rendering, &picked)?;
            self.check_insert(n, *edit, made, rendering, &picked)?;
        }
        for (cell, shown) in rendering.iter() {
            if matches!(shown, Shown::Conflict(_)) && !self.conflicted[n].contains(&cell) {
                return Err(format!("{} shows a conflict in {cell} and never reported it", id(n)));
            }
        }
        Ok(())
    }

    /// Once all is settled: has every replica reported every edit, or what took its place? Not asked of a deletion: what took its
    /// place in one cell may have come from one replica and in another cell from another, so that nobody saw all of it go.
    ///
    /// With `twins`, somebody who reported the very same edit by another author has reported both: where contents name what is kept (as in
    /// revision trees) two authors who do the same to the same make one thing.
    pub fn check_complete(&self, twins: bool) -> Result<(), String> {
        for n in 0..self.standing.len() {
            for (edit, made) in &self.made {
                let asked = !made.refused && !matches!(made.edit, Edit::Delete { .. });
                let twin = |(other, also): (&EditId, &Made)| {
                    also.edit == made.edit && self.accounted(*other, n)
                };
                if asked && !self.accounted(*edit, n) && !(twins && self.made.iter().any(twin)) {
                    return Err(format!(
                        "{} reported neither {edit} nor anything that took its place",
                        id(n)
                    ));
                }
            }
        }
        Ok(())
    }

    fn check_put(
        &self,
        n: usize,
        edit: EditId,
        made: &Made,
        rendering: &Rendering,
        picked: &BTreeSet<(Cell, &Content)>,
    ) -> Result<(), String> {
        let Edit::Put { cell, value } = &made.edit else { return Ok(()) };
        let content = Content::Register(Some(value.clone()));
        if picked.contains(&(*cell, &content)) {
            return Ok(());
        }
        let visible =
            rendering.get(*cell).is_some_and(|shown| shown.contents().any(|c| *c == content));
        let said = self.standing[n].get(&edit) == Some(&Standing::Shown);
        if visible != said || visible && made.refused {
            let words = |yes| if yes { "shown" } else { "not shown" };
            return Err(format!(
                "{} in {cell} is {} at {}, which reported that it is {}",
                edit,
                words(visible),
                id(n),
                words(said)
            ));
        }
        Ok(())
    }

    /// An element that came with one edit only must be reported where it is shown. (One that is gone may have been removed by
    /// somebody who saw it, which needs no report.)
    fn check_insert(
        &self,
        n: usize,
        edit: EditId,
        made: &Made,
        rendering: &Rendering,
        picked: &BTreeSet<(Cell, &Content)>,
    ) -> Result<(), String> {
        let Edit::Insert { cell, element } = &made.edit else { return Ok(()) };
        if element.as_str().starts_with("common") || picked.iter().any(|(c, _)| c == cell) {
            return Ok(());
        }
        let visible = rendering.get(*cell).is_some_and(|shown| {
            shown.contents().any(|c| matches!(c, Content::Set(all) if all.contains(element)))
        });
        if visible && self.standing[n].get(&edit) != Some(&Standing::Shown) {
            return Err(format!(
                "{edit} in {cell} is shown at {}, which reported that it is not",
                id(n)
            ));
        }
        Ok(())
    }
}
