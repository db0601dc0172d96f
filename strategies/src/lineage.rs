//! Which edits a piece of content stands on: a set of edit ids kept as ranges.
//!
//! A strategy that ships a field as one opaque value (last writer wins, version vectors) knows which edits went into the value it
//! shows, and so can say which ones came and which ones went when another value takes its place. Used for reports only.

use crate::contract::{CargoIds, Change, Malformed, Outbox};
use crate::document::EditId;
use crate::wire::{Reader, Writer};

/// More ids than this on one element of a message are taken for nonsense: reports list them one by one.
const MOST_IDS: u64 = 1 << 20;

/// A set of edit ids, as sorted ranges of one origin's sequences.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lineage {
    /// First id and last sequence of each range; sorted, disjoint, not adjacent.
    ranges: Vec<(EditId, u64)>,
}

impl Lineage {
    /// The empty set.
    pub const fn new() -> Self {
        Lineage { ranges: Vec::new() }
    }

    /// The set of one edit.
    pub fn of(id: EditId) -> Self {
        Lineage { ranges: vec![(id, id.sequence)] }
    }

    /// Whether no edit is in it.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Number of edits in it.
    pub fn len(&self) -> u64 {
        self.ranges.iter().map(|(first, last)| last - first.sequence + 1).sum()
    }

    /// Whether an edit is in it.
    pub fn contains(&self, id: EditId) -> bool {
        let after = self.ranges.partition_point(|(first, _)| *first <= id);
        after > 0 && {
            let (first, last) = self.ranges[after - 1];
            first.origin == id.origin && id.sequence <= last
        }
    }

    /// Adds an edit; true where it was not in the set.
    pub fn insert(&mut self, id: EditId) -> bool {
        let after = self.ranges.partition_point(|(first, _)| *first <= id);
        if after > 0 {
            let (first, last) = &mut self.ranges[after - 1];
            if first.origin == id.origin {
                if id.sequence <= *last {
                    return false;
                }
                if last.checked_add(1) == Some(id.sequence) {
                    *last = id.sequence;
                    self.join_with_next(after - 1);
                    return true;
                }
            }
        }
        self.ranges.insert(after, (id, id.sequence));
        self.join_with_next(after);
        true
    }

    fn join_with_next(&mut self, at: usize) {
        if let Some((next, next_last)) = self.ranges.get(at + 1).copied() {
            let (first, last) = &mut self.ranges[at];
            if next.origin == first.origin && last.checked_add(1) == Some(next.sequence) {
                *last = next_last;
                self.ranges.remove(at + 1);
            }
        }
    }

    /// Adds every edit of another set. One pass over the ranges of both, however many edits they hold.
    pub fn extend(&mut self, other: &Lineage) {
        if let [(only, last)] = other.ranges[..]
            && only.sequence == last
        {
            self.insert(only);
            return;
        }
        if self.is_empty() {
            self.ranges.clone_from(&other.ranges);
        }
        if self.ranges == other.ranges || other.is_empty() {
            return;
        }
        let mut theirs = other.ranges.iter().copied().peekable();
        let union = Vec::with_capacity(self.ranges.len() + other.ranges.len());
        for range in std::mem::replace(&mut self.ranges, union) {
            while let Some(earlier) = theirs.next_if(|theirs| theirs.0 <= range.0) {
                self.append(earlier);
            }
            self.append(range);
        }
        theirs.for_each(|range| self.append(range));
    }

    /// Adds a range that begins no earlier than the last one.
    fn append(&mut self, (first, last): (EditId, u64)) {
        match self.ranges.last_mut() {
            Some((start, end))
                if start.origin == first.origin && first.sequence <= end.saturating_add(1) =>
            {
                *end = (*end).max(last);
            }
            _ => self.ranges.push((first, last)),
        }
    }

    /// Whether any edit is in both sets.
    pub fn meets(&self, other: &Lineage) -> bool {
        let mut theirs = other.ranges.iter().peekable();
        self.ranges.iter().any(|(first, last)| {
            let before = |(start, end): &&(EditId, u64)| {
                start.origin < first.origin || start.origin == first.origin && *end < first.sequence
            };
            while theirs.next_if(before).is_some() {}
            theirs
                .peek()
                .is_some_and(|(start, _)| start.origin == first.origin && start.sequence <= *last)
        })
    }

    /// Every edit, in order.
    pub fn iter(&self) -> impl Iterator<Item = EditId> + '_ {
        self.ranges.iter().flat_map(|(first, last)| {
            (first.sequence..=*last).map(|sequence| EditId { origin: first.origin, sequence })
        })
    }

    /// The edits that are in this set and not in the other, in order.
    pub fn minus<'a>(&'a self, other: &'a Lineage) -> impl Iterator<Item = EditId> + 'a {
        self.ranges_minus(other).flat_map(|(first, last)| {
            (first.sequence..=last).map(move |sequence| EditId { origin: first.origin, sequence })
        })
    }

    /// The same as a set.
    pub fn difference(&self, other: &Lineage) -> Lineage {
        Lineage { ranges: self.ranges_minus(other).collect() }
    }

    /// The same as ranges. One pass over the ranges of both, however many edits they hold.
    fn ranges_minus<'a>(&'a self, other: &'a Lineage) -> impl Iterator<Item = (EditId, u64)> + 'a {
        let mut theirs = other.ranges.as_slice();
        self.ranges.iter().flat_map(move |&(first, last)| {
            let origin = first.origin;
            while let Some(((start, end), rest)) = theirs.split_first()
                && (start.origin < origin || start.origin == origin && *end < first.sequence)
            {
                theirs = rest;
            }
            let (mut theirs, mut left) = (theirs, Some(first.sequence));
            std::iter::from_fn(move || {
                loop {
                    let from = EditId { origin, sequence: left? };
                    match theirs.split_first() {
                        Some(((start, end), rest))
                            if start.origin == origin && start.sequence <= last =>
                        {
                            theirs = rest;
                            left = (*end < last).then(|| *end + 1);
                            if start.sequence > from.sequence {
                                return Some((from, start.sequence - 1));
                            }
                        }
                        _ => {
                            left = None;
                            return Some((from, last));
                        }
                    }
                }
            })
        })
    }

    /// First id and last sequence of each range, in order.
    pub fn ranges(&self) -> &[(EditId, u64)] {
        &self.ranges
    }

    /// A set from ranges; `None` where they are not sorted, disjoint and non-adjacent.
    pub fn from_ranges(ranges: Vec<(EditId, u64)>) -> Option<Self> {
        let whole = ranges.iter().all(|(first, last)| first.sequence <= *last);
        let sorted = ranges.windows(2).all(|pair| {
            let ((a, a_last), (b, _)) = (pair[0], pair[1]);
            a.origin < b.origin || a.origin == b.origin && a_last.checked_add(1) < Some(b.sequence)
        });
        (whole && sorted).then_some(Lineage { ranges })
    }

    /// As cargo of a message's `element`-th element.
    pub fn cargo(&self, element: usize) -> impl Iterator<Item = CargoIds> + '_ {
        let element = element as u32;
        self.ranges.iter().map(move |(first, last)| {
            let count = (last - first.sequence).saturating_add(1);
            CargoIds { element, first: *first, count }
        })
    }

    /// The range that an entry of cargo describes; `None` where it makes no sense.
    pub fn range_of(ids: &CargoIds) -> Option<(EditId, u64)> {
        let more = ids.count.checked_sub(1).filter(|more| *more < MOST_IDS)?;
        Some((ids.first, ids.first.sequence.checked_add(more)?))
    }

    /// The set that an entry of cargo describes; `None` where it makes no sense.
    pub fn of_cargo(ids: &CargoIds) -> Option<Self> {
        Some(Lineage { ranges: vec![Lineage::range_of(ids)?] })
    }

    /// Writes it.
    pub fn write(&self, writer: &mut Writer) {
        writer.count(self.ranges.len());
        for (first, last) in &self.ranges {
            writer.edit_id(*first);
            writer.uint(last - first.sequence);
        }
    }

    /// Reads what [`Lineage::write`] wrote.
    ///
    /// # Errors
    /// [`Malformed`] where ranges are out of range or out of order.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut ranges = Vec::new();
        for _ in 0..reader.count(3)? {
            let first = reader.edit_id()?;
            let last = first.sequence.checked_add(reader.uint()?);
            ranges.push((first, last.ok_or(Malformed("edit ids out of range"))?));
        }
        Lineage::from_ranges(ranges).ok_or(Malformed("edit ids are not ascending"))
    }

    /// Reports that content standing on `new` took the place of content standing on `self`: every edit that came is
    /// `Applied`, every one that went is `Replaced` by `by`.
    pub fn report_change(&self, new: &Lineage, by: EditId, out: &mut Outbox) {
        for edit in new.minus(self) {
            out.change(Change::Applied { edit });
        }
        for edit in self.minus(new) {
            out.change(Change::Replaced { edit, by });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::ReplicaId;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;
    use std::collections::BTreeSet;

    #[test]
    fn the_last_sequence_is_no_overflow() {
        let id = |sequence| EditId { origin: ReplicaId(1), sequence };
        let mut lineage = Lineage::of(id(u64::MAX));
        assert!(lineage.insert(id(3)) && lineage.insert(id(u64::MAX - 1)));
        lineage.extend(&Lineage::of(id(u64::MAX)));
        assert_eq!(lineage.ranges(), [(id(3), 3), (id(u64::MAX - 1), u64::MAX)]);
        assert!(lineage.minus(&Lineage::of(id(u64::MAX))).eq([id(3), id(u64::MAX - 1)]));
        assert!(!lineage.insert(id(u64::MAX)));
    }

    #[test]
    fn sets_survive_cargo_and_storage() {
        let id = |origin, sequence| EditId { origin: ReplicaId(origin), sequence };
        let mut edits = Lineage::of(id(1, 5));
        for sequence in [6, 7, 9] {
            edits.insert(id(0, sequence));
        }
        let ranges = edits.cargo(3).map(|ids| Lineage::range_of(&ids).unwrap());
        assert_eq!(Lineage::from_ranges(ranges.collect()).as_ref(), Some(&edits));
        let mut writer = Writer::new();
        edits.write(&mut writer);
        assert_eq!(Lineage::read(&mut Reader::new(&writer.finish())), Ok(edits));
        for (sequence, count) in [(0, 0), (0, MOST_IDS + 1), (0, u64::MAX), (u64::MAX, 2)] {
            let ids = CargoIds { element: 0, first: id(1, sequence), count };
            assert_eq!(Lineage::range_of(&ids), None);
        }
    }

    #[test]
    fn it_behaves_as_a_set_of_ids() {
        for seed in 0..200 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let mut pairs: Vec<(Lineage, BTreeSet<EditId>)> = vec![Default::default(); 2];
            for _ in 0..60 {
                let (lineage, reference) = &mut pairs[rng.random_range(0..2)];
                let id = EditId {
                    origin: ReplicaId(rng.random_range(0..3)),
                    sequence: rng.random_range(0..20),
                };
                assert_eq!(lineage.insert(id), reference.insert(id), "seed {seed}");
            }
            let (a, b) = (&pairs[0], &pairs[1]);
            assert!(a.0.iter().eq(a.1.iter().copied()), "seed {seed}");
            assert_eq!(a.0.len(), a.1.len() as u64, "seed {seed}");
            assert!(a.0.minus(&b.0).eq(a.1.difference(&b.1).copied()), "seed {seed}");
            let difference = a.0.difference(&b.0);
            assert!(difference.iter().eq(a.0.minus(&b.0)), "seed {seed}");
            assert_eq!(Lineage::from_ranges(a.0.ranges().to_vec()).as_ref(), Some(&a.0));
            assert_eq!(Lineage::from_ranges(difference.ranges().to_vec()), Some(difference));
            let mut union = a.0.clone();
            union.extend(&b.0);
            assert!(union.iter().eq(a.1.union(&b.1).copied()), "seed {seed}");
            assert_eq!(Lineage::from_ranges(union.ranges().to_vec()), Some(union), "seed {seed}");
            assert_eq!(a.0.meets(&b.0), !a.1.is_disjoint(&b.1), "seed {seed}");
        }
    }
}
