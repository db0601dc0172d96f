//! One content of a cell, and what several of them amount to.

use super::story::Story;
use super::vector::{Dot, Vector};
use crate::document::{Content, Edit, EditId, FieldKind, Mark};
use std::collections::BTreeSet;

/// One content of a cell, beside others if those were written without knowing it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// The event that made it.
    pub dot: Dot,
    /// Where versions are told apart by vectors alone: the vector that it shares with those that its coordinator filed together with
    /// it. Empty where dots do that.
    pub clock: Vector,
    /// How many events of the cell its author had seen, this one included; the genesis counts 0.
    pub events: u64,
    /// The edit that made it.
    pub edit: EditId,
    /// Whether that edit was a delete.
    pub deleted: bool,
    pub content: Content,
    pub story: Story,
}

impl Version {
    /// The order in which versions are preferred where nothing else decides: the author who had seen more comes first.
    pub fn rank(&self) -> (u64, Dot) {
        (self.events, self.dot)
    }

    /// Its name as an alternative: the edit that made it, which stays the same whoever files it under which event.
    pub fn mark(&self) -> Mark {
        Mark(u128::from(self.edit.origin.0) << 64 | u128::from(self.edit.sequence))
    }
}

/// What a user's edit makes of a cell: a new version, before anybody gave it a name.
#[derive(Debug)]
pub struct Write {
    pub edit: EditId,
    pub deleted: bool,
    pub content: Content,
    pub story: Story,
}

impl Write {
    pub fn into_version(self, dot: Dot, clock: Vector, events: u64) -> Version {
        let Write { edit, deleted, content, story } = self;
        Version { dot, clock, events, edit, deleted, content, story }
    }
}

/// The version that wins, or is displayed first: of the counters the one that is farthest from zero (of opposite ones the positive),
/// otherwise the one with the highest rank. An empty one never wins over one with content: a write survives a concurrent
/// delete.
pub fn preferred_of<'a>(versions: impl Iterator<Item = &'a Version>) -> Option<&'a Version> {
    versions.filter(|version| !version.content.is_empty()).max_by_key(|version| {
        let distance = match version.content {
            Content::Counter(sum) => (sum.unsigned_abs(), sum),
            _ => (0, 0),
        };
        (distance, version.rank())
    })
}

/// One version for each distinct content that is not empty, the preferred one first, the others by falling rank.
pub fn alternatives_of<'a>(versions: &[&'a Version]) -> Vec<&'a Version> {
    let Some(first) = preferred_of(versions.iter().copied()) else { return Vec::new() };
    if versions.len() == 1 {
        return vec![first];
    }
    let mut others: Vec<&Version> = versions.to_vec();
    others.sort_by_key(|version| std::cmp::Reverse(version.rank()));
    let mut seen = BTreeSet::from([&first.content]);
    others.retain(|version| !version.content.is_empty() && seen.insert(&version.content));
    others.insert(0, first);
    others
}

fn union(versions: &[&Version]) -> Content {
    let sets = versions.iter().filter_map(|version| match &version.content {
        Content::Set(elements) => Some(elements),
        _ => None,
    });
    Content::Set(sets.flatten().cloned().collect())
}

/// Whether a version is part of what is shown. An empty one is where there are only empty ones. Of counters with the same sum only
/// one is: what was added to the others is not in it.
pub fn is_shown(version: &Version, preferred: Option<&Version>) -> bool {
    let Some(preferred) = preferred else { return true };
    match &version.content {
        content if content.is_empty() => false,
        Content::Counter(sum) if preferred.content == Content::Counter(*sum) => {
            version.rank() == preferred.rank()
        }
        _ => true,
    }
}

/// What an edit by a user who is shown these versions makes of them, and which of them it takes the place of.
pub fn compose(
    visible: &[&Version],
    kind: FieldKind,
    id: EditId,
    edit: &Edit,
) -> (Write, Vec<EditId>) {
    match edit {
        Edit::Delete { .. } => {
            let (_, _, mut story) = basis(visible, kind);
            story.delete(id);
            let write = Write { edit: id, deleted: true, content: kind.empty(), story };
            (write, visible.iter().map(|version| version.edit).collect())
        }
        Edit::Resolve { content, seen, .. } => answer(visible, id, content, seen),
        _ => {
            let (mut content, words, mut story) = basis(visible, kind);
            content.apply(edit);
            if let Content::Text(text) = &mut content {
                append_words(text, &words);
            }
            if let Edit::Put { .. } = edit {
                story.replace(id);
            } else {
                story.build_on(id);
            }
            let write = Write { edit: id, deleted: false, content, story };
            (write, visible.iter().map(|version| version.edit).collect())
        }
    }
}

/// The user's answer to a conflict: takes the place of the alternatives `seen`, and of empty versions, which are hidden beside
/// any content anyway. Others stay.
fn answer(
    visible: &[&Version],
    id: EditId,
    content: &Content,
    seen: &[Mark],
) -> (Write, Vec<EditId>) {
    // A mark names one of possibly several versions of equal content.
    let named: BTreeSet<&Content> = visible
        .iter()
        .filter(|version| seen.contains(&version.mark()))
        .map(|version| &version.content)
        .collect();
    let answered: Vec<&Version> = visible
        .iter()
        .copied()
        .filter(|version| version.content.is_empty() || named.contains(&version.content))
        .collect();
    let stories = answered.iter().map(|version| (&version.story, keeps(content, &version.content)));
    let mut story = Story::of_all(stories);
    story.build_on(id);
    let write = Write { edit: id, deleted: false, content: content.clone(), story };
    (write, answered.iter().map(|version| version.edit).collect())
}

/// What an edit builds on, besides the words of other texts that are to be appended to it.
///
/// Where there are several versions, it is what merges them without dropping anything: the union of sets, the first text followed by the
/// words that only others have, the preferred counter (of sums without a history no more can be said).
fn basis(visible: &[&Version], kind: FieldKind) -> (Content, Vec<String>, Story) {
    let preferred = preferred_of(visible.iter().copied());
    let Some(preferred) = preferred.filter(|_| visible.len() > 1) else {
        // One version, or only empty ones.
        if let [only] = visible {
            return (only.content.clone(), Vec::new(), only.story.clone());
        }
        let stories = visible.iter().map(|version| (&version.story, true));
        return (kind.empty(), Vec::new(), Story::of_all(stories));
    };
    let stories = visible.iter().map(|version| {
        // Of counters only the preferred one is built on, whatever is shown beside it.
        let built_on = match kind {
            FieldKind::Counter => version.rank() == preferred.rank(),
            _ => is_shown(version, Some(preferred)),
        };
        (&version.story, built_on)
    });
    let story = Story::of_all(stories);
    match kind {
        FieldKind::Set => (union(visible), Vec::new(), story),
        FieldKind::Text => {
            (preferred.content.clone(), missing_words(&alternatives_of(visible)), story)
        }
        FieldKind::Register | FieldKind::Counter => (preferred.content.clone(), Vec::new(), story),
    }
}

/// Whether an answer still shows what an alternative said.
fn keeps(answer: &Content, alternative: &Content) -> bool {
    match (answer, alternative) {
        (_, alternative) if alternative.is_empty() => false,
        (Content::Set(answer), Content::Set(alternative)) => answer.is_superset(alternative),
        (Content::Text(answer), Content::Text(alternative)) => answer.contains(alternative),
        (answer, alternative) => answer == alternative,
    }
}

/// The words that other alternatives have and the first one lacks, in order.
///
/// Whole texts are not appended: they have most of their words in common, and every conflict would double the text.
fn missing_words(alternatives: &[&Version]) -> Vec<String> {
    let words = |version: &Version| match &version.content {
        Content::Text(text) => text.split_whitespace().map(str::to_owned).collect(),
        _ => Vec::new(),
    };
    let Some((first, others)) = alternatives.split_first() else { return Vec::new() };
    let mut known: BTreeSet<String> = words(first).into_iter().collect();
    others.iter().flat_map(|other| words(other)).filter(|word| known.insert(word.clone())).collect()
}

/// Every word keeps its distance, from what stands before it and from what somebody will type after it.
fn append_words(text: &mut String, words: &[String]) {
    if !words.is_empty() && text.chars().next_back().is_some_and(|last| !last.is_whitespace()) {
        text.push(' ');
    }
    for word in words {
        text.push_str(word);
        text.push(' ');
    }
}
