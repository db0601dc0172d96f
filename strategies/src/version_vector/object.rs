//! What is stored of one cell: the versions that nobody has seen replaced, and one vector of all events known in the cell.
//!
//! Each version is named by the dot of the event that made it. A version is obsolete where the other side's vector covers its dot
//! and the other side has it no more. One vector for all versions of a cell, instead of one for each, is exact since vectors
//! only ever travel together with all versions: the dotted version vector sets of Almeida et al., "Scalable and accurate causality
//! tracking for eventually consistent stores", DAIS 2014, as in Riak since its second version.

use super::Policy;
use super::story::Story;
use super::vector::{Actor, Dot, Vector};
use crate::document::{Content, Edit, EditId, FieldKind, Mark};
use std::collections::BTreeSet;

/// One content of a cell, beside others if those were written without knowing it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// The event that made it.
    pub dot: Dot,
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

    /// Its name as an alternative: its dot.
    pub fn mark(&self) -> Mark {
        let actor = self.dot.actor;
        let writer = u64::from(actor.replica.0) << 32 | u64::from(actor.incarnation);
        Mark(u128::from(writer) << 64 | u128::from(self.dot.counter))
    }
}

/// All versions of one cell. Genesis alone needs no vector.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Object {
    /// All events known in this cell.
    pub vector: Vector,
    /// Those still there, by falling rank.
    pub versions: Vec<Version>,
}

/// What a join did.
#[derive(Debug)]
pub struct Joined {
    /// Versions that came, by the events that made them.
    pub added: Vec<Dot>,
    /// Versions that went.
    pub dropped: Vec<Version>,
}

impl Object {
    /// Adds one more edit of the genesis.
    pub fn genesis(&mut self, kind: FieldKind, id: EditId, edit: &Edit) {
        let version = match self.versions.pop() {
            Some(version) => version,
            None => Version {
                dot: Dot::GENESIS,
                events: 0,
                edit: id,
                deleted: false,
                content: kind.empty(),
                story: Story::default(),
            },
        };
        let Version { mut content, mut story, .. } = version;
        if let Edit::Put { .. } = edit {
            story.replace(id);
        } else {
            story.build_on(id);
        }
        content.apply(edit);
        self.versions.push(Version { edit: id, content, story, ..version });
    }

    /// See [`preferred_of`].
    pub fn preferred(&self) -> Option<&Version> {
        preferred_of(self.versions.iter())
    }

    /// One version for each distinct content that is not empty, the preferred one first, the others by falling rank.
    pub fn alternatives(&self) -> Vec<&Version> {
        let Some(first) = self.preferred() else { return Vec::new() };
        if self.versions.len() == 1 {
            return vec![first];
        }
        let mut seen = BTreeSet::from([&first.content]);
        let others = self
            .versions
            .iter()
            .filter(|version| !version.content.is_empty() && seen.insert(&version.content));
        std::iter::once(first).chain(others).collect()
    }

    /// The one content that the merging policy shows; `None` where it is empty.
    pub fn merged(&self) -> Option<Content> {
        match (self.versions.as_slice(), &self.preferred()?.content) {
            ([_, _, ..], Content::Set(_)) => Some(self.union()),
            (_, content) => Some(content.clone()),
        }
    }

    fn union(&self) -> Content {
        let sets = self.versions.iter().filter_map(|version| match &version.content {
            Content::Set(elements) => Some(elements),
            _ => None,
        });
        Content::Set(sets.flatten().cloned().collect())
    }

    /// Whether a version is part of what is shown. An empty one is where there are only empty ones. Of counters with the same sum only
    /// one is: what was added to the others is not in it.
    pub fn is_shown(version: &Version, preferred: Option<&Version>, policy: Policy) -> bool {
        let Some(preferred) = preferred else { return true };
        match (&version.content, policy) {
            (content, _) if content.is_empty() => false,
            (Content::Counter(sum), _) if preferred.content == Content::Counter(*sum) => {
                version.dot == preferred.dot
            }
            (_, Policy::Siblings) | (Content::Set(_), Policy::Merge) => true,
            (content, Policy::Merge) => *content == preferred.content,
        }
    }

    /// An edit by this replica's user, which takes the place of all versions.
    ///
    /// Where there are several, it builds on what merges them without dropping anything: the union of sets, the first text followed
    /// by the words that only others have, the preferred counter (of sums without a history no more can be said).
    pub fn write(
        &mut self,
        actor: Actor,
        policy: Policy,
        kind: FieldKind,
        id: EditId,
        edit: &Edit,
    ) {
        let (mut content, words, mut story) = self.take_all(policy, kind);
        content.apply(edit);
        if let Content::Text(text) = &mut content {
            append_words(text, &words);
        }
        if let Edit::Put { .. } = edit {
            story.replace(id);
        } else {
            story.build_on(id);
        }
        self.push(actor, id, false, content, story);
    }

    /// A delete by this replica's user: an empty version takes the place of all versions.
    pub fn delete(&mut self, actor: Actor, policy: Policy, kind: FieldKind, id: EditId) {
        let (_, _, mut story) = self.take_all(policy, kind);
        story.delete(id);
        self.push(actor, id, true, kind.empty(), story);
    }

    /// The user's answer to a conflict: takes the place of the alternatives `seen`, and of empty versions, which are hidden beside
    /// any content anyway. Others stay. (The merging policy shows no conflicts, so that there an answer speaks of everything.)
    pub fn resolve(
        &mut self,
        actor: Actor,
        policy: Policy,
        id: EditId,
        content: &Content,
        seen: &[Mark],
    ) {
        // A mark names one of possibly several versions of equal content.
        let named: BTreeSet<Content> = self
            .versions
            .iter()
            .filter(|version| seen.contains(&version.mark()))
            .map(|version| version.content.clone())
            .collect();
        let versions = std::mem::take(&mut self.versions);
        let (answered, open): (Vec<_>, Vec<_>) = versions.into_iter().partition(|version| {
            policy == Policy::Merge
                || version.content.is_empty()
                || named.contains(&version.content)
        });
        self.versions = open;
        let stories = answered.iter().map(|v| (&v.story, keeps(content, &v.content)));
        let mut story = Story::of_all(stories);
        story.build_on(id);
        self.push(actor, id, false, content.clone(), story);
    }

    /// What an edit builds on, besides the words of other texts that are to be appended to it.
    fn take_all(&mut self, policy: Policy, kind: FieldKind) -> (Content, Vec<String>, Story) {
        let Some(preferred) = self.preferred().filter(|_| self.versions.len() > 1) else {
            // One version, or only empty ones.
            let versions = std::mem::take(&mut self.versions);
            if versions.len() > 1 {
                let stories = versions.iter().map(|version| (&version.story, true));
                return (kind.empty(), Vec::new(), Story::of_all(stories));
            }
            let only = versions.into_iter().next();
            return only.map_or_else(
                || (kind.empty(), Vec::new(), Story::default()),
                |only| (only.content, Vec::new(), only.story),
            );
        };
        // Of counters only the preferred one is built on, whatever is shown beside it.
        let policy = if kind == FieldKind::Counter { Policy::Merge } else { policy };
        let stories = self
            .versions
            .iter()
            .map(|version| (&version.story, Self::is_shown(version, Some(preferred), policy)));
        let story = Story::of_all(stories);
        let (content, words) = match (kind, policy) {
            (FieldKind::Set, _) => (self.union(), Vec::new()),
            (FieldKind::Text, Policy::Siblings) => {
                (preferred.content.clone(), missing_words(&self.alternatives()))
            }
            _ => (preferred.content.clone(), Vec::new()),
        };
        self.versions.clear();
        (content, words, story)
    }

    fn push(&mut self, actor: Actor, edit: EditId, deleted: bool, content: Content, story: Story) {
        let dot = self.vector.increment(actor);
        let events = self.vector.events();
        let version = Version { dot, events, edit, deleted, content, story };
        let at = self.versions.partition_point(|other| other.rank() > version.rank());
        self.versions.insert(at, version);
    }

    /// Takes in what somebody else has of this cell.
    pub fn join(&mut self, other: Object) -> Joined {
        let kept = |version: &Version| {
            !other.vector.covers(version.dot) || find(&other.versions, version).is_some()
        };
        let (kept, dropped): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.versions).into_iter().partition(kept);
        self.versions = kept;
        let mut added = Vec::new();
        for version in other.versions {
            if !self.vector.covers(version.dot) {
                added.push(version.dot);
                self.versions.push(version);
            }
        }
        self.versions.sort_by_key(|version| std::cmp::Reverse(version.rank()));
        self.vector.join(&other.vector);
        Joined { added, dropped }
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

fn find(versions: &[Version], wanted: &Version) -> Option<usize> {
    versions.binary_search_by(|version| wanted.rank().cmp(&version.rank())).ok()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{Cell, FieldId, RecordId, ReplicaId, Value};

    const CELL: Cell = Cell { record: RecordId(0), field: FieldId(0) };

    fn actor(replica: u32) -> Actor {
        Actor { replica: ReplicaId(replica), incarnation: 0 }
    }

    /// Replicas that each hold one cell.
    struct Copies {
        kind: FieldKind,
        copies: Vec<Object>,
        sequence: u64,
    }

    impl Copies {
        fn new(kind: FieldKind, count: usize) -> Self {
            Copies { kind, copies: vec![Object::default(); count], sequence: 0 }
        }

        fn id(&mut self, n: usize) -> EditId {
            self.sequence += 1;
            EditId { origin: ReplicaId(n as u32), sequence: self.sequence }
        }

        fn write(&mut self, n: usize, edit: &Edit) {
            let id = self.id(n);
            self.copies[n].write(actor(n as u32), Policy::Siblings, self.kind, id, edit);
        }

        fn put(&mut self, n: usize, value: &str) {
            self.write(n, &Edit::Put { cell: CELL, value: value.into() });
        }

        fn delete(&mut self, n: usize) {
            let id = self.id(n);
            self.copies[n].delete(actor(n as u32), Policy::Siblings, self.kind, id);
        }

        fn send(&mut self, from: usize, to: usize) {
            let sent = self.copies[from].clone();
            self.copies[to].join(sent);
        }

        fn contents(&self, n: usize) -> Vec<Content> {
            self.copies[n].alternatives().iter().map(|v| v.content.clone()).collect()
        }

        fn all_equal(&mut self) -> Object {
            for _ in 0..2 {
                for a in 0..self.copies.len() {
                    for b in 0..self.copies.len() {
                        self.send(a, b);
                    }
                }
            }
            assert!(self.copies.windows(2).all(|pair| pair[0] == pair[1]), "{:?}", self.copies);
            self.copies[0].clone()
        }
    }

    fn register(value: &str) -> Content {
        Content::Register(Some(value.into()))
    }

    fn insert(element: &str) -> Edit {
        Edit::Insert { cell: CELL, element: element.into() }
    }

    fn splice(at: usize, delete: usize, insert: &str) -> Edit {
        Edit::Splice { cell: CELL, at, delete, insert: insert.into() }
    }

    #[test]
    fn versions_written_without_knowing_each_other_stay_beside_each_other() {
        let mut registers = Copies::new(FieldKind::Register, 3);
        registers.put(0, "a");
        registers.put(1, "b");
        registers.send(0, 2);
        registers.send(1, 2);
        assert_eq!(registers.contents(2), [register("b"), register("a")]);
        registers.put(2, "c");
        assert_eq!(registers.contents(2), [register("c")]);
        let all = registers.all_equal();
        assert_eq!(all.versions.len(), 1, "who had seen both replaces both");
        assert_eq!((all.versions[0].events, all.vector.len()), (3, 3));
    }

    #[test]
    fn an_answer_leaves_open_what_came_meanwhile_even_from_the_same_writer() {
        let mut registers = Copies::new(FieldKind::Register, 3);
        for (n, value) in ["a", "b", "c"].into_iter().enumerate() {
            registers.put(n, value);
        }
        registers.send(1, 0);
        let seen: Vec<Mark> = registers.copies[0].alternatives().iter().map(|v| v.mark()).collect();
        registers.send(2, 0);
        let id = registers.id(0);
        registers.copies[0].resolve(actor(0), Policy::Siblings, id, &register("a"), &seen);
        assert_eq!(registers.contents(0), [register("a"), register("c")]);
        // Now replica 1 answers about 0's answer only; "c" must survive although the answer's author had it.
        let mark = registers.copies[0].versions[0].mark();
        registers.send(0, 1);
        let id = registers.id(1);
        registers.copies[1].resolve(actor(1), Policy::Siblings, id, &register("d"), &[mark]);
        registers.all_equal();
        assert_eq!(registers.contents(2), [register("d"), register("c")]);
    }

    #[test]
    fn equal_contents_are_one_alternative_and_are_answered_together() {
        let mut registers = Copies::new(FieldKind::Register, 3);
        registers.put(0, "same");
        registers.put(1, "same");
        registers.put(2, "other");
        let all = registers.all_equal();
        assert_eq!(all.versions.len(), 3);
        assert_eq!(registers.contents(0), [register("other"), register("same")]);
        let mark = registers.copies[0].versions[1].mark();
        let id = registers.id(0);
        registers.copies[0].resolve(actor(0), Policy::Siblings, id, &register("x"), &[mark]);
        assert_eq!(registers.contents(0), [register("x"), register("other")]);
    }

    #[test]
    fn a_write_survives_a_concurrent_delete() {
        let mut registers = Copies::new(FieldKind::Register, 2);
        registers.put(0, "a");
        registers.send(0, 1);
        registers.delete(0);
        registers.put(1, "b");
        let all = registers.all_equal();
        assert_eq!(registers.contents(0), [register("b")]);
        assert_eq!(all.versions.len(), 2, "the tombstone is hidden beside it");
        registers.delete(1);
        assert!(registers.all_equal().preferred().is_none(), "who saw it can delete it");
    }

    #[test]
    fn an_edit_of_a_conflict_drops_nothing() {
        let mut sets = Copies::new(FieldKind::Set, 2);
        sets.write(0, &insert("a"));
        sets.write(1, &insert("b"));
        sets.send(1, 0);
        sets.write(0, &insert("c"));
        let all: BTreeSet<Value> = ["a", "b", "c"].map(Value::from).into();
        assert_eq!(sets.contents(0), [Content::Set(all)]);

        let mut texts = Copies::new(FieldKind::Text, 3);
        texts.write(0, &splice(0, 0, "milk eggs"));
        texts.send(0, 1);
        texts.send(0, 2);
        texts.write(0, &splice(9, 0, " bread"));
        texts.write(1, &splice(0, 0, "two "));
        texts.write(2, &splice(0, 0, "two "));
        texts.all_equal();
        assert_eq!(texts.contents(0).len(), 2);
        texts.write(0, &splice(0, 4, ""));
        assert_eq!(texts.contents(0), [Content::Text("milk eggs bread ".into())]);

        let mut counters = Copies::new(FieldKind::Counter, 2);
        counters.write(0, &Edit::Add { cell: CELL, amount: -5 });
        counters.write(1, &Edit::Add { cell: CELL, amount: 3 });
        counters.send(1, 0);
        assert_eq!(counters.contents(0), [Content::Counter(-5), Content::Counter(3)]);
        counters.write(0, &Edit::Add { cell: CELL, amount: 1 });
        assert_eq!(counters.contents(0), [Content::Counter(-4)]);
    }

    #[test]
    fn merging_takes_the_best_informed_register_the_farthest_counter_and_all_elements() {
        let mut registers = Copies::new(FieldKind::Register, 3);
        registers.put(0, "a");
        registers.put(0, "aa");
        registers.put(2, "b");
        assert_eq!(registers.all_equal().merged(), Some(register("aa")), "two events against one");

        let mut counters = Copies::new(FieldKind::Counter, 2);
        counters.write(0, &Edit::Add { cell: CELL, amount: -7 });
        counters.write(1, &Edit::Add { cell: CELL, amount: 7 });
        assert_eq!(counters.all_equal().merged(), Some(Content::Counter(7)));

        let mut sets = Copies::new(FieldKind::Set, 2);
        sets.write(0, &insert("a"));
        sets.write(1, &insert("b"));
        let both: BTreeSet<Value> = ["a", "b"].map(Value::from).into();
        assert_eq!(sets.all_equal().merged(), Some(Content::Set(both)));
    }

    #[test]
    fn of_counters_with_the_same_sum_only_one_is_shown() {
        let mut counters = Copies::new(FieldKind::Counter, 2);
        counters.write(0, &Edit::Add { cell: CELL, amount: 5 });
        counters.write(1, &Edit::Add { cell: CELL, amount: 5 });
        let all = counters.all_equal();
        for policy in [Policy::Siblings, Policy::Merge] {
            let shown = all.versions.iter();
            let shown = shown.filter(|v| Object::is_shown(v, all.preferred(), policy)).count();
            assert_eq!(shown, 1, "the other addition is not in the sum of 5");
        }
    }

    #[test]
    fn a_text_in_conflict_does_not_double_with_every_conflict() {
        let mut texts = Copies::new(FieldKind::Text, 2);
        texts.write(0, &splice(0, 0, "a note of some words"));
        texts.all_equal();
        for round in 0..50 {
            texts.write(0, &splice(0, 0, &format!("x{round} ")));
            texts.write(1, &splice(0, 0, &format!("y{round} ")));
            texts.all_equal();
        }
        texts.write(0, &splice(0, 0, "end "));
        let [Content::Text(text)] = &texts.contents(0)[..] else { panic!("one text") };
        assert_eq!(text.split_whitespace().count(), 5 + 100 + 1, "{text}");
    }

    #[test]
    fn appended_words_are_not_glued_to_what_is_typed_after_them() {
        let mut texts = Copies::new(FieldKind::Text, 2);
        texts.write(0, &splice(0, 0, "one "));
        texts.write(1, &splice(0, 0, "two "));
        texts.all_equal();
        texts.write(0, &splice(0, 0, ""));
        texts.write(0, &splice(8, 0, "three "));
        let [Content::Text(text)] = &texts.contents(0)[..] else { panic!("one text") };
        let mut words: Vec<&str> = text.split_whitespace().collect();
        words.sort_unstable();
        assert_eq!(words, ["one", "three", "two"]);
    }
}
