//! What one edit did to the content of a cell.

use super::three_way::State;
use crate::contract::Malformed;
use crate::document::{Content, Edit, EditId, FieldKind, Value, char_count, splice};
use crate::lineage::Lineage;
use crate::wire::{Reader, Writer};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

/// One change. Positions count scalar values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Put(Value),
    Add(i64),
    /// Elements that came and elements that went, none in both.
    Change {
        inserted: BTreeSet<Value>,
        removed: BTreeSet<Value>,
    },
    Splice {
        at: u64,
        delete: u64,
        insert: Value,
    },
    /// The record was deleted.
    Clear,
    /// All of the content is new: an answer to a conflict.
    Set(Content),
}

impl Step {
    pub fn of(edit: &Edit) -> Step {
        match edit {
            Edit::Put { value, .. } => Step::Put(value.clone()),
            Edit::Add { amount, .. } => Step::Add(*amount),
            Edit::Insert { element, .. } => {
                Step::Change { inserted: [element.clone()].into(), removed: BTreeSet::new() }
            }
            Edit::Remove { element, .. } => {
                Step::Change { inserted: BTreeSet::new(), removed: [element.clone()].into() }
            }
            Edit::Splice { at, delete, insert, .. } => Step::Splice {
                at: *at as u64,
                delete: *delete as u64,
                insert: insert.as_str().into(),
            },
            Edit::Delete { .. } => Step::Clear,
            Edit::Resolve { content, .. } => Step::Set(content.clone()),
        }
    }

    /// The splice that makes one text of another.
    pub fn between(old: &str, new: &str) -> Step {
        let same = |(a, b): &(char, char)| a == b;
        let start = old.chars().zip(new.chars()).take_while(same).count();
        let skip = |text: &str| text.chars().skip(start).collect::<Vec<char>>();
        let (old, new) = (skip(old), skip(new));
        let ends = old.iter().rev().zip(new.iter().rev()).take_while(|(a, b)| a == b).count();
        let insert: String = new[..new.len() - ends].iter().collect();
        let (at, delete) = (start as u64, (old.len() - ends) as u64);
        Step::Splice { at, delete, insert: insert.into() }
    }

    /// One step that does what two do, the second one after the first. (Of texts, a splice that stands for the outcome.)
    pub fn then(&self, next: &Step) -> Option<Step> {
        match (self, next) {
            (Step::Put(_), Step::Put(_)) => Some(next.clone()),
            (Step::Splice { .. }, Step::Splice { .. }) => Some(self.clone()),
            (Step::Add(one), Step::Add(more)) => Some(Step::Add(one.wrapping_add(*more))),
            (
                Step::Change { inserted, removed },
                Step::Change { inserted: came, removed: went },
            ) => Some(Step::Change {
                inserted: inserted.difference(went).chain(came).cloned().collect(),
                removed: removed.difference(came).chain(went).cloned().collect(),
            }),
            _ => None,
        }
    }

    /// Whether it makes sense in a cell of this kind.
    pub fn fits(&self, kind: FieldKind) -> bool {
        match self {
            Step::Put(_) => kind == FieldKind::Register,
            Step::Add(_) => kind == FieldKind::Counter,
            Step::Change { .. } => kind == FieldKind::Set,
            Step::Splice { .. } => kind == FieldKind::Text,
            Step::Clear => true,
            Step::Set(content) => content.kind() == kind,
        }
    }

    /// What it makes of what its author was shown. `parents` are the single states that this was merged from.
    pub fn apply(&self, shown: State, parents: &[Cow<'_, State>], edit: EditId) -> State {
        let State { mut content, mut stands_on } = shown;
        let kind = content.kind();
        match self {
            Step::Put(value) => {
                content = Arc::new(Content::Register(Some(value.clone())));
                stands_on = Lineage::new();
            }
            Step::Set(answer) => {
                // What the answer still says, it says on behalf of those who said it before.
                let same = parents.iter().filter(|parent| *parent.content == *answer);
                let mut kept = Lineage::new();
                same.for_each(|parent| kept.extend(&parent.stands_on));
                content = Arc::new(answer.clone());
                stands_on = kept;
            }
            Step::Clear => {
                return State { content: Arc::new(kind.empty()), stands_on: Lineage::new() };
            }
            Step::Add(amount) => {
                if let Content::Counter(sum) = Arc::make_mut(&mut content) {
                    *sum = sum.wrapping_add(*amount);
                }
            }
            Step::Change { inserted, removed } => {
                if let Content::Set(elements) = Arc::make_mut(&mut content) {
                    elements.retain(|element| !removed.contains(element));
                    elements.extend(inserted.iter().cloned());
                }
            }
            Step::Splice { at, delete, insert } => {
                if let Content::Text(text) = Arc::make_mut(&mut content) {
                    let clamp = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
                    splice(text, clamp(*at), clamp(*delete), insert.as_str());
                }
            }
        }
        if matches!(kind, FieldKind::Register | FieldKind::Counter) {
            stands_on.insert(edit);
        }
        State { content, stands_on }
    }

    /// Whether it took something out of a set or text, and not all of it.
    pub fn takes_out(&self) -> bool {
        match self {
            Step::Change { removed, .. } => !removed.is_empty(),
            Step::Splice { delete, .. } => *delete > 0,
            _ => false,
        }
    }

    /// The words or elements that it brought into a set or text.
    pub fn inserted(&self) -> Vec<Value> {
        match self {
            Step::Change { inserted, .. } => inserted.iter().cloned().collect(),
            Step::Splice { insert, .. } if !insert.as_str().is_empty() => vec![insert.clone()],
            Step::Set(Content::Set(elements)) => elements.iter().cloned().collect(),
            Step::Set(Content::Text(text)) if !text.is_empty() => vec![text.as_str().into()],
            _ => Vec::new(),
        }
    }

    /// Bytes of user content in it.
    pub fn content_bytes(&self) -> u64 {
        match self {
            Step::Put(value) => value.as_str().len() as u64,
            Step::Change { inserted, removed } => {
                inserted.iter().map(|element| element.as_str().len() as u64).sum::<u64>()
                    + 8 * removed.len() as u64
            }
            Step::Splice { insert, delete, .. } => {
                insert.as_str().len() as u64 + if *delete > 0 { 8 } else { 0 }
            }
            Step::Set(content) => content.bytes(),
            Step::Add(_) | Step::Clear => 8,
        }
    }

    /// How far it reaches into a text, for the cost of applying it.
    pub fn work(&self, text_bytes: usize) -> u64 {
        match self {
            Step::Splice { insert, .. } => {
                1 + (text_bytes + char_count(insert.as_str())) as u64 / 64
            }
            _ => 1,
        }
    }

    pub fn encode(&self, out: &mut Writer) {
        match self {
            Step::Put(value) => {
                out.byte(0);
                out.str(value.as_str());
            }
            Step::Add(amount) => {
                out.byte(1);
                out.int(*amount);
            }
            Step::Change { inserted, removed } => {
                out.byte(2);
                for elements in [inserted, removed] {
                    out.count(elements.len());
                    elements.iter().for_each(|element| out.str(element.as_str()));
                }
            }
            Step::Splice { at, delete, insert } => {
                out.byte(3);
                out.uint(*at);
                out.uint(*delete);
                out.str(insert.as_str());
            }
            Step::Clear => out.byte(4),
            Step::Set(content) => {
                out.byte(5);
                out.content(content);
            }
        }
    }

    pub fn decode(bytes: &mut Reader<'_>) -> Result<Step, Malformed> {
        Ok(match bytes.byte()? {
            0 => Step::Put(bytes.value()?),
            1 => Step::Add(bytes.int()?),
            2 => {
                let (inserted, removed) = (elements(bytes)?, elements(bytes)?);
                if !inserted.is_disjoint(&removed) {
                    return Err(Malformed("an element both came and went"));
                }
                Step::Change { inserted, removed }
            }
            3 => Step::Splice { at: bytes.uint()?, delete: bytes.uint()?, insert: bytes.value()? },
            4 => Step::Clear,
            5 => Step::Set(bytes.content()?),
            _ => return Err(Malformed("unknown kind of step")),
        })
    }
}

fn elements(bytes: &mut Reader<'_>) -> Result<BTreeSet<Value>, Malformed> {
    let mut elements: BTreeSet<Value> = BTreeSet::new();
    for _ in 0..bytes.count(1)? {
        let element = bytes.value()?;
        if elements.last().is_some_and(|last| *last >= element) {
            return Err(Malformed("elements are not ascending"));
        }
        elements.insert(element);
    }
    Ok(elements)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_splice_between_two_texts_makes_one_of_the_other() {
        for (old, new) in
            [("", ""), ("a", "a"), ("abc", "axc"), ("aa", "aaa"), ("ñ😀x", "ñx"), ("abc", "")]
        {
            let Step::Splice { at, delete, insert } = Step::between(old, new) else {
                panic!("a splice")
            };
            let mut text = old.to_owned();
            splice(&mut text, at as usize, delete as usize, insert.as_str());
            assert_eq!(text, new, "{old}");
        }
    }
}
