//! What is stored of one cell: the versions that nobody has seen replaced, and one vector of all events known in the cell.
//!
//! Whoever coordinates a write gives it a dot: the event that made the version. Versions are told apart in one of two ways
//! ([`Naming`]):
//!
//! - By **dots**: a version is obsolete where the other side's vector covers its dot and the other side has it no more. One vector for
//!   all versions of a cell, instead of one for each, is exact since vectors only ever travel together with all versions: the dotted
//!   version vector sets of Almeida et al., "Scalable and accurate causality tracking for eventually consistent stores", DAIS 2014, as
//!   in Riak since its second version.
//! - By **clocks**: vectors alone, as Riak did before. Of two writes that the same server coordinates, the second has the greater
//!   vector, even if its author knew nothing of the first. The server notices that, and so as not to lose the first it files both
//!   under the one greater vector. From then on they are replaced together or not at all: whoever had seen only one of them
//!   replaces neither, and his new value joins the two.

use super::vector::{Actor, Context, Dot, Vector};
use super::version::{Version, Write};
use crate::document::{Edit, EditId, FieldKind};
use std::cmp::Ordering;

/// How versions are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Naming {
    /// Each by its own dot.
    Dots,
    /// By vectors that versions of one server share.
    Clocks,
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
    /// Versions that went; by clocks, also such as stayed under a greater clock.
    pub dropped: Vec<Version>,
    /// Whether anything came or went.
    pub changed: bool,
    /// Whether all that is known now came with the other side's object.
    pub sender_knows_all: bool,
}

impl Object {
    /// Adds one more edit of the genesis.
    pub fn genesis(&mut self, kind: FieldKind, id: EditId, edit: &Edit) {
        let write = match self.versions.pop() {
            Some(Version { content, story, .. }) => {
                Write { edit: id, deleted: false, content, story }
            }
            None => {
                Write { edit: id, deleted: false, content: kind.empty(), story: Default::default() }
            }
        };
        let mut version = write.into_version(Dot::GENESIS, Vector::default(), 0);
        if let Edit::Put { .. } = edit {
            version.story.replace(id);
        } else {
            version.story.build_on(id);
        }
        version.content.apply(edit);
        self.versions.push(version);
    }

    /// The context of somebody who read this object and replaces the versions that these edits made.
    pub fn context(&self, naming: Naming, replaced: &[EditId]) -> Context {
        let stays = |version: &&Version| !replaced.contains(&version.edit);
        let mut context = Context::default();
        match naming {
            Naming::Dots => {
                context.vector = self.vector.clone();
                context.open = self.versions.iter().filter(stays).map(|v| v.dot).collect();
            }
            Naming::Clocks => {
                // A clock is in it only where everything filed under it was seen.
                let open: Vec<&Vector> =
                    self.versions.iter().filter(stays).map(|version| &version.clock).collect();
                for version in self.versions.iter().filter(|v| !open.contains(&&v.clock)) {
                    context.vector.join(&version.clock);
                }
            }
        }
        context
    }

    /// Coordinates a write by somebody who had seen this object as it was in `context`. Returns the versions that went.
    pub fn put(
        &mut self,
        naming: Naming,
        coordinator: Actor,
        context: &Context,
        write: Write,
    ) -> Vec<Version> {
        let seen = self.seen(context);
        self.vector.join(&seen);
        let events = seen.events() + 1;
        let dot = self.vector.increment(coordinator);
        let versions = std::mem::take(&mut self.versions);
        let (gone, stays): (Vec<_>, Vec<_>) = versions.into_iter().partition(|v| match naming {
            Naming::Dots => context.covers(v.dot),
            Naming::Clocks => v.clock <= seen,
        });
        self.versions = stays;
        let mut clock = Vector::default();
        if naming == Naming::Clocks {
            clock = seen;
            clock.raise(dot);
            for version in self.versions.iter_mut().filter(|v| v.clock <= clock) {
                version.clock = clock.clone();
            }
        }
        let version = write.into_version(dot, clock, events);
        let at = self.versions.partition_point(|other| other.rank() > version.rank());
        self.versions.insert(at, version);
        gone
    }

    /// The events that everybody who knows a put in this context knows of. A coordinator may be behind the author, who read elsewhere;
    /// but what the author left open is known only to those who have it.
    fn seen(&self, context: &Context) -> Vector {
        let mut seen = context.vector.clone();
        for dot in context.open.iter().filter(|dot| !self.vector.covers(**dot)) {
            seen.cap(dot.actor, dot.counter - 1);
        }
        seen
    }

    /// Takes in what somebody else has of this cell.
    pub fn join(&mut self, naming: Naming, other: Object) -> Joined {
        match naming {
            Naming::Dots => self.join_by_dots(other),
            Naming::Clocks => self.join_by_clocks(other),
        }
    }

    fn join_by_dots(&mut self, other: Object) -> Joined {
        let order = self.vector.partial_cmp(&other.vector);
        let theirs: Vec<Dot> = other.versions.iter().map(|version| version.dot).collect();
        let kept =
            |version: &Version| !other.vector.covers(version.dot) || theirs.contains(&version.dot);
        let (kept, dropped): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.versions).into_iter().partition(kept);
        self.versions = kept;
        let changed =
            !dropped.is_empty() || !matches!(order, Some(Ordering::Equal | Ordering::Greater));
        for version in other.versions {
            if !self.vector.covers(version.dot) {
                self.versions.push(version);
            }
        }
        self.sort();
        self.vector.join(&other.vector);
        let sender_knows_all = matches!(order, Some(Ordering::Less | Ordering::Equal))
            && self.versions.iter().map(|version| version.dot).eq(theirs);
        Joined { dropped, changed, sender_knows_all }
    }

    fn join_by_clocks(&mut self, other: Object) -> Joined {
        let (ours, theirs) = (self.clocks(), other.clocks());
        let names: Vec<(Dot, Vector)> =
            other.versions.iter().map(|version| (version.dot, version.clock.clone())).collect();
        let (kept, dropped): (Vec<_>, Vec<_>) = std::mem::take(&mut self.versions)
            .into_iter()
            .partition(|version| !theirs.iter().any(|clock| version.clock < *clock));
        self.versions = kept;
        let mut came = false;
        for version in other.versions {
            let is_old = ours.iter().any(|clock| version.clock <= *clock);
            // Honest clocks of one version are one greater than the other.
            if !is_old && !self.versions.iter().any(|here| here.dot == version.dot) {
                self.versions.push(version);
                came = true;
            }
        }
        self.sort();
        self.vector.join(&other.vector);
        let all = self.versions.iter().map(|version| (version.dot, &version.clock));
        let sender_knows_all = all.eq(names.iter().map(|(dot, clock)| (*dot, clock)));
        Joined { changed: came || !dropped.is_empty(), dropped, sender_knows_all }
    }

    fn sort(&mut self) {
        self.versions.sort_by_key(|version| std::cmp::Reverse(version.rank()));
    }

    /// The different clocks that its versions are filed under, in order of their entries.
    pub fn clocks(&self) -> Vec<Vector> {
        let mut clocks: Vec<Vector> = self.versions.iter().map(|v| v.clock.clone()).collect();
        clocks.sort_by(|a, b| a.entries().cmp(b.entries()));
        clocks.dedup();
        clocks
    }

    /// The version that an edit made.
    pub fn made_by(&self, edit: EditId) -> Option<&Version> {
        self.versions.iter().find(|version| version.edit == edit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{Cell, Content, FieldId, Mark, RecordId, ReplicaId, Value};
    use crate::version_vector::version::{alternatives_of, compose, is_shown, preferred_of};
    use std::collections::BTreeSet;

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
            let copy = &mut self.copies[n];
            let visible: Vec<&Version> = copy.versions.iter().collect();
            let (write, replaced) = compose(&visible, self.kind, id, edit);
            let context = copy.context(Naming::Dots, &replaced);
            copy.put(Naming::Dots, actor(n as u32), &context, write);
        }

        fn resolve(&mut self, n: usize, value: &str, seen: Vec<Mark>) {
            self.write(n, &Edit::Resolve { cell: CELL, content: register(value), seen });
        }

        fn alternatives(&self, n: usize) -> Vec<&Version> {
            alternatives_of(&self.copies[n].versions.iter().collect::<Vec<_>>())
        }

        fn marks(&self, n: usize) -> Vec<Mark> {
            self.alternatives(n).iter().map(|version| version.mark()).collect()
        }

        fn put(&mut self, n: usize, value: &str) {
            self.write(n, &Edit::Put { cell: CELL, value: value.into() });
        }

        fn delete(&mut self, n: usize) {
            self.write(n, &Edit::Delete { record: RecordId(0) });
        }

        fn send(&mut self, from: usize, to: usize) {
            let sent = self.copies[from].clone();
            self.copies[to].join(Naming::Dots, sent);
        }

        fn contents(&self, n: usize) -> Vec<Content> {
            self.alternatives(n).iter().map(|v| v.content.clone()).collect()
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
        let seen = registers.marks(0);
        registers.send(2, 0);
        registers.resolve(0, "a", seen);
        assert_eq!(registers.contents(0), [register("a"), register("c")]);
        // Now replica 1 answers about 0's answer only; "c" must survive although the answer's author had it.
        let mark = registers.copies[0].versions[0].mark();
        registers.send(0, 1);
        registers.resolve(1, "d", vec![mark]);
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
        registers.resolve(0, "x", vec![mark]);
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
        assert!(
            preferred_of(registers.all_equal().versions.iter()).is_none(),
            "who saw it can delete it"
        );
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
    fn of_counters_with_the_same_sum_only_one_is_shown() {
        let mut counters = Copies::new(FieldKind::Counter, 2);
        counters.write(0, &Edit::Add { cell: CELL, amount: 5 });
        counters.write(1, &Edit::Add { cell: CELL, amount: 5 });
        let all = counters.all_equal();
        let preferred = preferred_of(all.versions.iter());
        let shown = all.versions.iter().filter(|version| is_shown(version, preferred)).count();
        assert_eq!(shown, 1, "the other addition is not in the sum of 5");
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
