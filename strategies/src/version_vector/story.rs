//! Which edits a version stands on and which ones it took the place of. For reports only: it rides in cargo, is never looked at
//! when merging, and costs no work units and no footprint, since the modelled product does not have it.

use super::seen::Seen;
use crate::contract::{CargoIds, Malformed};
use crate::document::{EditId, ReplicaId};
use crate::lineage::Lineage;
use crate::wire::{Reader, Writer};

/// The edits behind one version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Story {
    /// Those that its content stands on.
    pub stands_on: Lineage,
    /// Deletes that its author knew. Content that came later does not undo a delete.
    pub deletes: Lineage,
    /// Those that were knowingly replaced on the way to it.
    pub replaced: Lineage,
}

impl Story {
    fn chapters(&self) -> [&Lineage; 3] {
        [&self.stands_on, &self.deletes, &self.replaced]
    }

    fn chapters_mut(&mut self) -> [&mut Lineage; 3] {
        [&mut self.stands_on, &mut self.deletes, &mut self.replaced]
    }

    /// The chapters, each with whether its edits are deletes, in the order in which they are reported.
    fn told(&self) -> [(&Lineage, bool); 3] {
        [(&self.deletes, true), (&self.stands_on, false), (&self.replaced, false)]
    }

    /// The edits that occur in it and were not seen yet, each with whether it is a delete.
    pub fn news<'a>(&'a self, seen: &'a Seen) -> impl Iterator<Item = (EditId, bool)> + 'a {
        self.told().into_iter().flat_map(move |(chapter, is_delete)| {
            chapter.ranges().iter().flat_map(move |(first, last)| {
                let from = first.sequence.max(seen.next(first.origin));
                let edit = move |sequence| EditId { origin: first.origin, sequence };
                (from..=*last).map(move |sequence| (edit(sequence), is_delete))
            })
        })
    }

    /// Adds the edits that occur in it.
    pub fn add_to(&self, known: &mut Lineage) {
        self.chapters().into_iter().for_each(|chapter| known.extend(chapter));
    }

    /// It respects the deletes of one that is gone, and took the place of the other edits in it; the known ones are told elsewhere.
    pub fn carry(&mut self, gone: &Story, known: &Lineage) {
        self.deletes.extend(&gone.deletes.difference(known));
        for chapter in [&gone.stands_on, &gone.replaced] {
            self.replaced.extend(&chapter.difference(known));
        }
    }

    /// Forgets most of what went before: everybody around has been told. Who loses its memory has to be told again of what came last.
    pub fn settle(&mut self) {
        self.deletes = recent(&self.deletes);
        self.replaced = recent(&self.replaced);
    }

    /// Whether its deletes are without effect, since content that stands on what they deleted is shown beside it.
    pub fn undone_by(&self, shown: &Lineage) -> bool {
        !self.deletes.is_empty() && self.replaced.meets(shown)
    }

    /// One more edit on top of the content.
    pub fn build_on(&mut self, edit: EditId) {
        self.stands_on.insert(edit);
    }

    /// An edit takes the place of the content.
    pub fn replace(&mut self, edit: EditId) {
        self.replaced.extend(&self.stands_on);
        self.stands_on = Lineage::of(edit);
    }

    /// A delete takes the place of the content.
    pub fn delete(&mut self, edit: EditId) {
        self.replaced.extend(&self.stands_on);
        self.stands_on = Lineage::new();
        self.deletes.insert(edit);
    }

    /// The story of something that takes the place of several versions, and stands on those marked so.
    pub fn of_all<'a>(stories: impl Iterator<Item = (&'a Story, bool)> + Clone) -> Self {
        let mut all = Story::default();
        for (story, stands_on_it) in stories.clone() {
            let chapter = if stands_on_it { &mut all.stands_on } else { &mut all.replaced };
            chapter.extend(&story.stands_on);
            all.replaced.extend(&story.replaced);
        }
        stories.for_each(|(story, _)| all.deletes.extend(&story.deletes));
        all.replaced = all.replaced.difference(&all.stands_on).difference(&all.deletes);
        all
    }

    /// Appends its edits to a message's cargo, as those of the `version`-th version in it, without the version's own edit, which
    /// is in the bytes.
    pub fn load(&self, version: usize, own: EditId, ids: &mut Vec<CargoIds>) {
        for (n, chapter) in self.chapters().into_iter().enumerate() {
            let alone = |ids: &CargoIds| (ids.first, ids.count) == (own, 1);
            ids.extend(chapter.cargo(3 * version + n).filter(|ids| !alone(ids)));
        }
    }

    /// Takes the edits of the `version`-th version from a message's cargo, whatever it holds. `ids` is advanced past them.
    pub fn unload(&mut self, version: usize, ids: &mut &[CargoIds]) {
        let mut lists: [Vec<(EditId, u64)>; 3] = Default::default();
        while let Some((next, rest)) = ids.split_first() {
            let Some(n) = (next.element as usize).checked_sub(3 * version) else {
                *ids = rest;
                continue;
            };
            let Some(list) = lists.get_mut(n) else { break };
            list.extend(Lineage::range_of(next));
            *ids = rest;
        }
        for (chapter, list) in self.chapters_mut().into_iter().zip(lists) {
            if let Some(mut cargo) = Lineage::from_ranges(list) {
                // There is one edit at most already: the version's own.
                cargo.extend(chapter);
                *chapter = cargo;
            }
        }
    }

    pub fn save(&self, out: &mut Writer) {
        for chapter in self.chapters() {
            chapter.write(out);
        }
    }

    pub fn restore(bytes: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut story = Story::default();
        for chapter in story.chapters_mut() {
            *chapter = Lineage::read(bytes)?;
        }
        Ok(story)
    }
}

/// So many edits of each author are remembered after everybody around has been told.
const RECENT: u64 = 4;

/// The last edits of each author.
pub fn recent(edits: &Lineage) -> Lineage {
    let mut kept = Vec::new();
    let mut left: Option<(ReplicaId, u64)> = None;
    for (first, last) in edits.ranges().iter().rev() {
        let more = left.filter(|(origin, _)| *origin == first.origin).map_or(RECENT, |(_, n)| n);
        let count = more.min(last - first.sequence + 1);
        left = Some((first.origin, more - count));
        if count > 0 {
            kept.push((EditId { origin: first.origin, sequence: last - (count - 1) }, *last));
        }
    }
    kept.reverse();
    Lineage::from_ranges(kept).expect("parts of ranges in order")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(sequence: u64) -> EditId {
        EditId { origin: ReplicaId(1), sequence }
    }

    #[test]
    fn the_last_edits_of_an_author_include_his_first() {
        assert_eq!(recent(&lineage(&[0])), lineage(&[0]));
        let many: Vec<u64> = (0..40).filter(|n| n % 10 != 3).collect();
        assert_eq!(recent(&lineage(&many)), lineage(&many[many.len() - RECENT as usize..]));
    }

    fn lineage(sequences: &[u64]) -> Lineage {
        let mut lineage = Lineage::new();
        sequences.iter().for_each(|n| {
            lineage.insert(id(*n));
        });
        lineage
    }

    #[test]
    fn it_travels_in_cargo_and_in_snapshots() {
        let stories: Vec<Story> = (0..3)
            .map(|n| Story {
                stands_on: lineage(&[n, n + 2, n + 3]),
                deletes: lineage(&[20 + n]),
                replaced: lineage(&[9, 30 + n]),
            })
            .collect();
        let mut ids = Vec::new();
        stories.iter().enumerate().for_each(|(n, story)| story.load(n, id(n as u64), &mut ids));
        assert!(
            ids.iter().all(|ids| ids.first != id(u64::from(ids.element / 3))),
            "own edits stay out"
        );
        let mut rest = ids.as_slice();
        for (n, story) in stories.iter().enumerate() {
            let mut unloaded = Story { stands_on: lineage(&[n as u64]), ..Story::default() };
            unloaded.unload(n, &mut rest);
            assert_eq!(unloaded, *story);
            let mut saved = Writer::new();
            story.save(&mut saved);
            let saved = saved.finish();
            assert_eq!(Story::restore(&mut Reader::new(&saved)).as_ref(), Ok(story));
        }
        assert!(rest.is_empty());
    }

    #[test]
    fn scrambled_cargo_is_tolerated() {
        let mut story = Story::default();
        let huge = CargoIds { element: 0, first: id(5), count: (1 << 20) + 1 };
        let none = CargoIds { element: 1, first: id(5), count: 0 };
        let falling = [9, 4].map(|n| CargoIds { element: 2, first: id(n), count: 1 });
        let later = CargoIds { element: 77, first: id(5), count: 1 };
        let ids = [huge, none, falling[0], falling[1], later];
        let mut rest = ids.as_slice();
        story.unload(0, &mut rest);
        assert_eq!((story, rest.len()), (Story::default(), 1));
    }

    #[test]
    fn a_delete_is_undone_by_content_that_stands_on_what_it_deleted() {
        let mut deleted = Story { stands_on: lineage(&[1, 2]), ..Story::default() };
        let mut rival = deleted.clone();
        deleted.delete(id(7));
        rival.build_on(id(8));
        assert!(deleted.undone_by(&rival.stands_on));
        let all = Story::of_all([(&deleted, false), (&rival, true)].into_iter());
        assert_eq!(all.stands_on, lineage(&[1, 2, 8]));
        assert_eq!((all.deletes, all.replaced), (lineage(&[7]), lineage(&[])));

        let mut fresh = Story { stands_on: lineage(&[1, 2]), ..Story::default() };
        fresh.replace(id(9));
        assert!(!deleted.undone_by(&fresh.stands_on));
        let all = Story::of_all([(&deleted, false), (&fresh, true)].into_iter());
        assert_eq!(all.stands_on, lineage(&[9]));
        assert_eq!((all.deletes, all.replaced), (lineage(&[7]), lineage(&[1, 2])));
    }
}
