//! The kinds of edits of small exchanges, each in terms of what its author sees at that time.

use crate::stage::{Stage, rendering};
use reconverge_strategies::*;

/// What an author does to record 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Put,
    /// Into the other register, which is critical.
    PutCritical,
    Delete,
    Add,
    Insert,
    /// The same element whoever inserts it.
    InsertSame,
    Remove,
    SpliceInsert,
    SpliceDelete,
    SpliceReplace,
    Resolve,
}

/// What an author writes with its first edit, its second one and so on; edits of different places in an exchange differ.
const WORDS: [&str; 4] = ["first", "second", "third", "fourth"];
const AMOUNTS: [i64; 4] = [7, -3, 11, -5];

impl Kind {
    pub const ALL: [Kind; 11] = [
        Kind::Put,
        Kind::PutCritical,
        Kind::Delete,
        Kind::Add,
        Kind::Insert,
        Kind::InsertSame,
        Kind::Remove,
        Kind::SpliceInsert,
        Kind::SpliceDelete,
        Kind::SpliceReplace,
        Kind::Resolve,
    ];

    /// The edit that comes at this place of an exchange; `None` where it would change nothing in its author's view, or the strategy knows no
    /// such field.
    pub fn edit(self, stage: &Stage<'_>, replica: &dyn Replica, place: usize) -> Option<Edit> {
        let shown = rendering(replica);
        let record = RecordId(0);
        let word = WORDS[place];
        let nth = |kind, n| {
            let mut cells = stage.schema.cells(record).filter(|(_, k)| *k == kind);
            cells.nth(n).map(|(cell, _)| cell)
        };
        let splice = |at: usize, delete: usize, insert: &str| {
            let cell = nth(FieldKind::Text, 0)?;
            let at = replica.length(cell).min(at);
            let delete = (replica.length(cell) - at).min(delete);
            let insert = String::from(insert);
            let changes = delete > 0 || !insert.is_empty();
            changes.then_some(Edit::Splice { cell, at, delete, insert })
        };
        Some(match self {
            Kind::Put => Edit::Put { cell: nth(FieldKind::Register, 0)?, value: word.into() },
            Kind::PutCritical => {
                Edit::Put { cell: nth(FieldKind::Register, 1)?, value: word.into() }
            }
            Kind::Delete => {
                shown.iter().find(|(cell, _)| cell.record == record)?;
                Edit::Delete { record }
            }
            Kind::Add => Edit::Add { cell: nth(FieldKind::Counter, 0)?, amount: AMOUNTS[place] },
            Kind::Insert => Edit::Insert { cell: nth(FieldKind::Set, 0)?, element: word.into() },
            Kind::InsertSame => {
                let (cell, element) = (nth(FieldKind::Set, 0)?, Value::from("common"));
                let there = shown.get(cell).is_some_and(|shown| match shown.first() {
                    Content::Set(elements) => elements.contains(&element),
                    _ => false,
                });
                (!there).then_some(Edit::Insert { cell, element })?
            }
            Kind::Remove => {
                let cell = nth(FieldKind::Set, 0)?;
                let Content::Set(elements) = shown.get(cell)?.first() else { return None };
                Edit::Remove { cell, element: elements.first()?.clone() }
            }
            Kind::SpliceInsert => splice(1, 0, word)?,
            Kind::SpliceDelete => splice(1, 2, "")?,
            Kind::SpliceReplace => splice(1, 1, word)?,
            Kind::Resolve => {
                let conflict = |(cell, shown): (Cell, &Shown)| match shown {
                    Shown::Conflict(alternatives) => Some((cell, alternatives.clone())),
                    Shown::Settled(_) => None,
                };
                let (cell, alternatives) = shown.iter().find_map(conflict)?;
                let content = alternatives[0].content.clone();
                let seen = alternatives.iter().map(|alternative| alternative.mark).collect();
                Edit::Resolve { cell, content, seen }
            }
        })
    }
}
