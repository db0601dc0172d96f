//! A critical cell: a value that a concurrent write does not overwrite. Both stay, and the user is asked.
//!
//! To know which writes are concurrent, the cell carries what was seen when it was written: of each author the time of its latest write
//! here. That is a version vector over the stamps (Parker et al., "Detection of mutual inconsistency in distributed systems", IEEE TSE 1983),
//! and merging is that of an optimised observed-remove set (Bieniusa et al., "An optimized conflict-free replicated set", 2012): a version
//! that only one side holds goes where the other side has seen it. The cell always travels as a whole, so whoever has seen a write has
//! seen all earlier ones of its author.

use super::ids;
use super::stamp::Stamp;
use super::store::{News, head, stand_on};
use crate::contract::{Change, Malformed, Outbox};
use crate::document::{Alternative, Cell, Content, Digest, Edit, EditId, FieldKind, Mark};
use crate::lineage::Lineage;
use crate::wire::{Reader, Writer};

use std::cmp::Reverse;

/// One value, and when and by whom it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub stamp: Stamp,
    pub content: Content,
    /// The edits it stands on; for reports only.
    pub lineage: Lineage,
}

impl Held {
    pub fn nothing(kind: FieldKind) -> Self {
        Held { stamp: Stamp::GENESIS, content: kind.empty(), lineage: Lineage::new() }
    }

    /// The edit that made this value, where it is known.
    pub fn head(&self) -> Option<EditId> {
        head(&self.lineage, self.stamp.replica)
    }

    fn mark(&self) -> Mark {
        let (replica, incarnation) = self.stamp.author();
        let author = u64::from(replica.0) << 32 | u64::from(incarnation);
        Mark(u128::from(self.stamp.time) << 64 | u128::from(author))
    }
}

/// The writes to a cell that have been seen: of each author the latest, and with it all before. What all hold from the beginning counts
/// as seen by everybody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// In ascending order of authors.
    latest: Vec<Stamp>,
}

impl Seen {
    pub fn covers(&self, write: Stamp) -> bool {
        let at = self.latest.binary_search_by_key(&write.author(), |stamp| stamp.author());
        write == Stamp::GENESIS || at.is_ok_and(|at| write.time <= self.latest[at].time)
    }

    fn take(&mut self, write: Stamp) {
        match self.latest.binary_search_by_key(&write.author(), |stamp| stamp.author()) {
            Ok(at) => self.latest[at].time = self.latest[at].time.max(write.time),
            Err(at) => self.latest.insert(at, write),
        }
    }

    /// All authors' latest writes.
    pub fn iter(&self) -> impl Iterator<Item = Stamp> + '_ {
        self.latest.iter().copied()
    }

    /// The latest time of all.
    fn newest(&self) -> u64 {
        self.iter().map(|stamp| stamp.time).max().unwrap_or(0)
    }

    pub fn write(&self, writer: &mut Writer) {
        writer.count(self.latest.len());
        self.latest.iter().for_each(|stamp| stamp.write(writer));
    }

    pub fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut latest: Vec<Stamp> = Vec::new();
        for _ in 0..reader.count(2)? {
            let stamp = Stamp::read(reader)?;
            let ascending = latest.last().is_none_or(|last| last.author() < stamp.author());
            if !ascending || stamp == Stamp::GENESIS {
                return Err(Malformed("authors are not ascending"));
            }
            latest.push(stamp);
        }
        Ok(Seen { latest })
    }

    /// Writes one of the writes seen: its author's place in the list, and how much older it is than the latest.
    pub fn write_one(&self, write: Stamp, writer: &mut Writer) {
        match self.latest.binary_search_by_key(&write.author(), |stamp| stamp.author()) {
            Ok(at) => {
                writer.count(at + 1);
                writer.uint(self.latest[at].time - write.time);
            }
            Err(_) => writer.uint(0),
        }
    }

    /// Reads one of the writes seen.
    pub fn read_one(&self, reader: &mut Reader<'_>) -> Result<Stamp, Malformed> {
        let Some(at) = reader.uint()?.checked_sub(1) else { return Ok(Stamp::GENESIS) };
        let latest = usize::try_from(at).ok().and_then(|at| self.latest.get(at));
        let latest = *latest.ok_or(Malformed("an author that was not seen"))?;
        match latest.time.checked_sub(reader.uint()?) {
            Some(time) if time > 0 => Ok(Stamp { time, ..latest }),
            _ => Err(Malformed("a write before all times")),
        }
    }
}

/// The versions of a critical cell that nobody has overwritten knowingly.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Siblings {
    /// The greatest stamp first: that one is displayed. All of them are seen.
    versions: Vec<Held>,
    seen: Seen,
    /// The deletion that emptied the cell last, as far as is known; for reports only.
    emptied: Option<EditId>,
}

impl Siblings {
    /// A cell as it was read or restored; `None` where it holds what was not seen, or in another order.
    pub fn new(versions: Vec<Held>, seen: Seen, emptied: Option<EditId>) -> Option<Self> {
        let ordered = versions.windows(2).all(|pair| pair[0].stamp > pair[1].stamp);
        let sound = ordered && versions.iter().all(|version| seen.covers(version.stamp));
        sound.then_some(Siblings { versions, seen, emptied })
    }

    pub fn versions(&self) -> &[Held] {
        &self.versions
    }

    pub fn seen(&self) -> &Seen {
        &self.seen
    }

    pub fn emptied(&self) -> Option<EditId> {
        self.emptied
    }

    /// The latest time that was seen here.
    pub fn newest(&self) -> u64 {
        self.seen.newest()
    }

    /// What is displayed first.
    pub fn first(&self) -> Option<&Content> {
        self.versions.first().map(|version| &version.content)
    }

    pub fn content_bytes(&self) -> u64 {
        self.versions.iter().map(|version| version.content.bytes()).sum()
    }

    /// An edit that everybody makes before anything else.
    pub fn begin(&mut self, kind: FieldKind, id: EditId, edit: &Edit) {
        if self.versions.is_empty() {
            self.versions.push(Held::nothing(kind));
        }
        stand_on(&mut self.versions[0].lineage, id, edit);
        self.versions[0].content.apply(edit);
    }

    /// What the user here does. A put takes the place of all that is shown, an answer that of the alternatives it names, and of those
    /// that say the same. Any other edit changes what is displayed; its rivals stay.
    pub fn edit(
        &mut self,
        kind: FieldKind,
        id: EditId,
        edit: &Edit,
        stamp: Stamp,
        out: &mut Outbox,
    ) -> Vec<EditId> {
        let mut new = Held::nothing(kind);
        let gone: Vec<Held> = match edit {
            Edit::Put { .. } => std::mem::take(&mut self.versions),
            Edit::Resolve { seen, .. } => {
                let named = |version: &&Held| seen.contains(&version.mark());
                let said: Vec<Content> =
                    self.versions.iter().filter(named).map(|v| v.content.clone()).collect();
                self.versions.extract_if(.., |version| said.contains(&version.content)).collect()
            }
            _ if self.versions.is_empty() => Vec::new(),
            _ => {
                new = self.versions.remove(0);
                Vec::new()
            }
        };
        new.lineage.insert(id);
        new.content.apply(edit);
        new.stamp = stamp;
        for edit in union(&gone).iter() {
            out.change(Change::Replaced { edit, by: id });
        }
        let rivals = self.versions.iter().filter(|rival| rival.content != new.content);
        let rivals = rivals.filter_map(Held::head).collect();
        self.versions.insert(0, new);
        self.versions.sort_by_key(|version| Reverse(version.stamp));
        self.seen.take(stamp);
        rivals
    }

    /// A deletion takes what is shown here; true where there was anything.
    pub fn empty(&mut self, by: EditId, out: &mut Outbox) -> bool {
        let any = !self.versions.is_empty();
        self.purge(Some(by), out);
        if any {
            self.emptied = Some(by);
        }
        any
    }

    /// Drops what is shown here.
    pub fn purge(&mut self, by: Option<EditId>, out: &mut Outbox) {
        for edit in union(&std::mem::take(&mut self.versions)).iter() {
            by.into_iter().for_each(|by| out.change(Change::Replaced { edit, by }));
        }
    }

    /// Writes every version anew.
    pub fn renew(&mut self, mut stamp: impl FnMut(u64) -> Stamp) {
        for version in self.versions.iter_mut().rev() {
            version.stamp = stamp(self.seen.newest());
            self.seen.take(version.stamp);
        }
    }

    /// Joins what a peer has.
    pub fn merge(&mut self, cell: Cell, theirs: Siblings, out: &mut Outbox) -> News {
        if (self.stamps().eq(theirs.stamps())) && self.seen == theirs.seen {
            return News::Same;
        }
        let before = union(&self.versions);
        let offered = union(&theirs.versions);
        let their_head = theirs.versions.first().map_or(theirs.emptied, Held::head);
        let mut joined: Vec<Held> = Vec::new();
        let mut taken: Vec<Stamp> = Vec::new();
        let mut left = 0;
        for version in std::mem::take(&mut self.versions) {
            if theirs.stamps().any(|stamp| stamp == version.stamp)
                || !theirs.seen.covers(version.stamp)
            {
                joined.push(version);
            } else {
                left += 1;
            }
        }
        let own_head = joined.first().map_or(self.emptied, Held::head);
        let stamps: Vec<Stamp> = theirs.stamps().collect();
        for version in theirs.versions {
            if !self.seen.covers(version.stamp) {
                taken.push(version.stamp);
                joined.push(version);
            }
        }
        joined.sort_by_key(|version| Reverse(version.stamp));
        let changed = left > 0 || !taken.is_empty();
        let seen_before = self.seen.clone();
        theirs.seen.iter().for_each(|stamp| self.seen.take(stamp));
        self.versions = joined;
        self.emptied = theirs.emptied.or(self.emptied);
        self.report(cell, &before, &offered, (own_head, their_head), &taken, out);
        if self.stamps().eq(stamps) && self.seen == theirs.seen {
            News::Taken
        } else if changed || self.seen != seen_before {
            News::Joined
        } else {
            News::Stale
        }
    }

    fn stamps(&self) -> impl Iterator<Item = Stamp> + '_ {
        self.versions.iter().map(|version| version.stamp)
    }

    /// Reports what a merge did: `before` was here, `offered` came.
    fn report(
        &self,
        cell: Cell,
        before: &Lineage,
        offered: &Lineage,
        (own_head, their_head): (Option<EditId>, Option<EditId>),
        taken: &[Stamp],
        out: &mut Outbox,
    ) {
        let after = union(&self.versions);
        for edit in after.minus(before) {
            out.change(Change::Applied { edit });
        }
        let mut replaced = |edit, by: Option<EditId>| {
            if let Some(by) = by.filter(|by| *by != edit) {
                out.change(Change::Replaced { edit, by });
            }
        };
        before.minus(&after).for_each(|edit| replaced(edit, their_head));
        let lost = offered.minus(&after).filter(|edit| !before.contains(*edit));
        lost.for_each(|edit| replaced(edit, own_head.or(their_head)));
        let new = self.versions.iter().filter(|version| taken.contains(&version.stamp));
        for version in new {
            let old_first = |rival: &&Held| taken.contains(&rival.stamp);
            let rivals = self.versions.iter().filter(|rival| rival.content != version.content);
            let rival = rivals.min_by_key(old_first);
            if let (Some(edit), Some(with)) = (rival.and_then(Held::head), version.head()) {
                out.change(Change::Conflicted { cell, edit, with });
            }
        }
    }

    /// What the user is shown: one alternative for each distinct content, the one displayed first, the rest in order of marks.
    pub fn alternatives(&self) -> Vec<Alternative> {
        let mut alternatives: Vec<Alternative> = Vec::new();
        for version in &self.versions {
            if alternatives.iter().all(|shown| shown.content != version.content) {
                let content = version.content.clone();
                alternatives.push(Alternative { mark: version.mark(), content });
            }
        }
        if let [_, rest @ ..] = &mut alternatives[..] {
            rest.sort();
        }
        alternatives
    }

    /// Takes what is shown into a digest; false where that is nothing.
    pub fn digest(&self, digest: &mut Digest) -> bool {
        let alternatives = self.alternatives();
        match &alternatives[..] {
            [] => return false,
            [only] if only.content.is_empty() => return false,
            [only] => digest.content(&only.content),
            several => {
                digest.word(several.len() as u64 | 1 << 63);
                for alternative in several {
                    digest.word(alternative.mark.0 as u64);
                    digest.word((alternative.mark.0 >> 64) as u64);
                    digest.content(&alternative.content);
                }
            }
        }
        true
    }

    pub fn save(&self, writer: &mut Writer) {
        self.seen.write(writer);
        writer.count(self.versions.len());
        for version in &self.versions {
            self.seen.write_one(version.stamp, writer);
            writer.content(&version.content);
            version.lineage.write(writer);
        }
        ids::write_one(writer, self.emptied);
    }

    pub fn restore(kind: FieldKind, reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let seen = Seen::read(reader)?;
        let mut versions = Vec::new();
        for _ in 0..reader.count(3)? {
            let stamp = seen.read_one(reader)?;
            let content = reader.content()?;
            if content.kind() != kind {
                return Err(Malformed("content of another kind"));
            }
            versions.push(Held { stamp, content, lineage: Lineage::read(reader)? });
        }
        let emptied = ids::read_one(reader)?;
        Siblings::new(versions, seen, emptied).ok_or(Malformed("versions out of order"))
    }
}

fn union(versions: &[Held]) -> Lineage {
    let mut union = Lineage::new();
    versions.iter().for_each(|version| union.extend(&version.lineage));
    union
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{FieldId, RecordId, ReplicaId};
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;
    use std::collections::BTreeSet;

    const CELL: Cell = Cell { record: RecordId(0), field: FieldId(0) };

    fn put(cell: &mut Siblings, author: u32, time: u64, value: &str) {
        let edit = Edit::Put { cell: CELL, value: value.into() };
        write(cell, author, time, &edit);
    }

    fn write(cell: &mut Siblings, author: u32, time: u64, edit: &Edit) {
        let id = EditId { origin: ReplicaId(author), sequence: time };
        let stamp = Stamp { time, replica: ReplicaId(author), incarnation: 0 };
        cell.edit(FieldKind::Register, id, edit, stamp, &mut Outbox::new());
    }

    fn merge(cell: &mut Siblings, theirs: &Siblings) -> News {
        cell.merge(CELL, theirs.clone(), &mut Outbox::new())
    }

    fn shown(cell: &Siblings) -> Vec<String> {
        let value = |alternative: Alternative| match alternative.content {
            Content::Register(Some(value)) => value.as_str().to_owned(),
            other => panic!("{other:?}"),
        };
        cell.alternatives().into_iter().map(value).collect()
    }

    #[test]
    fn concurrent_writes_both_stay_and_what_was_seen_goes() {
        let mut a = Siblings::default();
        put(&mut a, 1, 5, "a");
        let mut b = Siblings::default();
        put(&mut b, 2, 9, "b");
        assert_eq!(merge(&mut a, &b), News::Joined);
        assert_eq!(shown(&a), ["b", "a"]);
        put(&mut b, 2, 10, "later b");
        assert_eq!(merge(&mut b, &a), News::Joined);
        assert_eq!(shown(&b), ["later b", "a"], "the older b was overwritten by its author");
        put(&mut b, 2, 11, "last");
        assert_eq!(merge(&mut a, &b), News::Taken);
        assert_eq!((shown(&a), merge(&mut a, &b)), (vec!["last".to_owned()], News::Same));
    }

    #[test]
    fn an_answer_leaves_open_what_came_meanwhile_also_from_its_own_author() {
        let mut a = Siblings::default();
        put(&mut a, 1, 5, "a");
        let mut b = Siblings::default();
        put(&mut b, 2, 6, "b");
        merge(&mut a, &b);
        let seen = a.alternatives().iter().map(|alternative| alternative.mark).collect();
        put(&mut a, 1, 7, "made meanwhile");
        let answer = Content::Register(Some("answer".into()));
        write(&mut a, 1, 8, &Edit::Resolve { cell: CELL, content: answer, seen });
        assert_eq!(shown(&a), ["answer", "made meanwhile"]);
        merge(&mut b, &a);
        assert_eq!(shown(&b), ["answer", "made meanwhile"]);
    }

    #[test]
    fn equal_values_are_one_alternative_and_answered_as_one() {
        let mut a = Siblings::default();
        put(&mut a, 1, 5, "same");
        for (author, value) in [(2, "same"), (3, "other")] {
            let mut rival = Siblings::default();
            put(&mut rival, author, 6, value);
            merge(&mut a, &rival);
        }
        assert_eq!(shown(&a), ["other", "same"]);
        let seen = a.alternatives().iter().map(|alternative| alternative.mark).collect();
        let answer = Content::Register(Some("answer".into()));
        write(&mut a, 1, 8, &Edit::Resolve { cell: CELL, content: answer, seen });
        assert_eq!(shown(&a), ["answer"]);
    }

    /// Against a model that remembers every write and which ones each of them overwrote.
    #[test]
    fn merging_agrees_with_a_full_history() {
        for seed in 0..300 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let mut cells = vec![Siblings::default(); 3];
            // Of each replica: writes it knows of, and writes it knows to be overwritten.
            let mut model: Vec<(BTreeSet<u64>, BTreeSet<u64>)> = vec![Default::default(); 3];
            for time in 1..40 {
                let n = rng.random_range(0..3);
                match rng.random_range(0..5) {
                    0 | 1 => {
                        put(&mut cells[n], n as u32, time, &time.to_string());
                        let (known, gone) = &mut model[n];
                        gone.extend(known.iter());
                        known.insert(time);
                    }
                    2 if rng.random_range(0..3) == 0 => {
                        let by = EditId { origin: ReplicaId(n as u32), sequence: time };
                        cells[n].empty(by, &mut Outbox::new());
                        let (known, gone) = &mut model[n];
                        gone.extend(known.iter());
                    }
                    _ => {
                        let m = rng.random_range(0..3);
                        let theirs = cells[m].clone();
                        merge(&mut cells[n], &theirs);
                        let (known, gone) = model[m].clone();
                        model[n].0.extend(known);
                        model[n].1.extend(gone);
                    }
                }
                let (known, gone) = &model[n];
                let expected: BTreeSet<_> = known.difference(gone).map(u64::to_string).collect();
                let actual: BTreeSet<_> = shown(&cells[n]).into_iter().collect();
                assert_eq!(actual, expected, "seed {seed}");
            }
        }
    }
}
