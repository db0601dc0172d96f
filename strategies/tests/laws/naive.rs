//! The reference: one user's document, as plain as can be, sharing no code with the document model beyond its types.

use reconverge_strategies::*;
use std::collections::{BTreeMap, BTreeSet};

/// A document that one user edits.
#[derive(Default)]
pub struct Naive {
    registers: BTreeMap<Cell, String>,
    counters: BTreeMap<Cell, i64>,
    sets: BTreeMap<Cell, BTreeSet<String>>,
    texts: BTreeMap<Cell, Vec<char>>,
}

impl Naive {
    /// The document after some edits.
    pub fn after<'a>(edits: impl IntoIterator<Item = &'a Edit>) -> Self {
        let mut naive = Naive::default();
        for edit in edits {
            naive.apply(edit);
        }
        naive
    }

    /// One more edit.
    pub fn apply(&mut self, edit: &Edit) {
        match edit {
            Edit::Put { cell, value } => {
                self.registers.insert(*cell, value.as_str().to_owned());
            }
            Edit::Delete { record } => {
                self.registers.retain(|cell, _| cell.record != *record);
                self.counters.retain(|cell, _| cell.record != *record);
                self.sets.retain(|cell, _| cell.record != *record);
                self.texts.retain(|cell, _| cell.record != *record);
            }
            Edit::Add { cell, amount } => *self.counters.entry(*cell).or_default() += amount,
            Edit::Insert { cell, element } => {
                self.sets.entry(*cell).or_default().insert(element.as_str().to_owned());
            }
            Edit::Remove { cell, element } => {
                self.sets.entry(*cell).or_default().remove(element.as_str());
            }
            Edit::Splice { cell, at, delete, insert } => {
                let text = self.texts.entry(*cell).or_default();
                let tail = text.split_off(*at);
                text.extend(insert.chars());
                text.extend(&tail[*delete..]);
            }
            Edit::Resolve { .. } => panic!("one user alone has no conflicts"),
        }
    }

    /// What it shows.
    pub fn rendering(&self) -> Rendering {
        let mut rendering = Rendering::new();
        for (cell, value) in &self.registers {
            rendering.settled(*cell, Content::Register(Some(value.as_str().into())));
        }
        for (cell, sum) in &self.counters {
            rendering.settled(*cell, Content::Counter(*sum));
        }
        for (cell, elements) in &self.sets {
            let elements = elements.iter().map(|element| element.as_str().into()).collect();
            rendering.settled(*cell, Content::Set(elements));
        }
        for (cell, text) in &self.texts {
            rendering.settled(*cell, Content::Text(text.iter().collect()));
        }
        rendering
    }
}
