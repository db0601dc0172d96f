//! What a replica has of one cell: the object as the coordinators filed it, and drafts: edits of its own that no coordinator has
//! filed yet.
//!
//! A draft hides what its author no longer saw when he made it: versions of the object, or earlier drafts. All are named by the edits
//! that made them, which stay the same when a draft is filed and comes back as a version.

use super::object::{Joined, Naming, Object};
use super::seen::Seen;
use super::story::recent;
use super::vector::{Actor, Context, Dot, Vector};
use super::version::{Version, Write};
use crate::contract::Malformed;
use crate::document::{Content, Edit, EditId, ReplicaId, Value};
use crate::lineage::Lineage;
use crate::wire::{Reader, Writer};

/// After so many edits by this replica's user, or a quarter of those that are kept where that is more, those of which nothing is to be seen
/// are left out.
const NOTES: usize = 8;

/// One cell.
#[derive(Clone, Debug, Default)]
pub struct Entry {
    pub object: Object,
    /// In the order they were made.
    pub drafts: Vec<Draft>,
    /// For reports only: edits known here.
    pub seen: Seen,
    /// For reports only: what this replica's user put into a set or text that is still there.
    pub own: Vec<(EditId, Value)>,
    /// How many edits this replica's user made here since what is gone was last left out.
    noted: u32,
}

/// An edit on its way to the coordinator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// As it is shown until then, under a provisional dot.
    pub version: Version,
    /// What it takes the place of, as far as it is still there.
    pub hides: Vec<EditId>,
    /// Its number among the drafts that this replica sent, once it was sent.
    pub serial: Option<u64>,
    /// The coordinator turned out to have it, though its answer has not come: it is shown as part of the object, if at all.
    pub landed: bool,
}

impl Entry {
    /// What the user sees, by falling rank but for drafts.
    pub fn visible(&self) -> Vec<&Version> {
        let versions = self.object.versions.iter();
        if self.drafts.is_empty() {
            return versions.collect();
        }
        let drafts = self.drafts.iter().filter(|draft| !draft.landed).map(|draft| &draft.version);
        let hidden = |edit: EditId| self.drafts.iter().any(|draft| draft.hides.contains(&edit));
        drafts.chain(versions).filter(|version| !hidden(version.edit)).collect()
    }

    /// Keeps a write of this replica's user until it can be filed. Earlier drafts that it replaces and that were never sent are
    /// gone for good; they are returned.
    pub fn draft(&mut self, author: Actor, write: Write, replaced: &[EditId]) -> Vec<Version> {
        let unsent =
            |draft: &Draft| draft.serial.is_none() && replaced.contains(&draft.version.edit);
        let (gone, kept): (Vec<Draft>, Vec<Draft>) =
            std::mem::take(&mut self.drafts).into_iter().partition(unsent);
        self.drafts = kept;
        let mut hides = replaced.to_vec();
        gone.iter().for_each(|draft| hides.extend(&draft.hides));
        let dot = Dot { actor: author, counter: write.edit.sequence };
        let events = self.object.vector.events() + 1;
        let version = write.into_version(dot, Vector::default(), events);
        self.drafts.push(Draft { version, hides, serial: None, landed: false });
        self.tidy();
        gone.into_iter().map(|draft| draft.version).collect()
    }

    /// Whether a draft of this cell waits for the coordinator's answer. Until then no other one is sent: it could not say that it
    /// replaces that one.
    pub fn in_flight(&self) -> bool {
        self.drafts.iter().any(|draft| draft.serial.is_some())
    }

    /// What the author of a draft had seen, in the coordinator's terms.
    pub fn context(&self, naming: Naming, draft: &Draft) -> Context {
        self.object.context(naming, &draft.hides)
    }

    /// Takes in the object as somebody else has it. Drafts that turn out to be in it are no longer shown as drafts; they count among what
    /// was dropped.
    pub fn join(&mut self, naming: Naming, other: Object) -> Joined {
        let mut joined = self.object.join(naming, other);
        for draft in &mut self.drafts {
            if draft.serial.is_some()
                && !draft.landed
                && self.object.made_by(draft.version.edit).is_some()
            {
                draft.landed = true;
                joined.dropped.push(draft.version.clone());
            }
        }
        self.tidy();
        joined
    }

    /// The coordinator has dealt with all drafts up to this one. Those that were shown as drafts until now are returned.
    pub fn filed(&mut self, serial: u64) -> Vec<Version> {
        let filed = |draft: &Draft| draft.serial.is_some_and(|sent| sent <= serial);
        let (filed, kept): (Vec<Draft>, Vec<Draft>) =
            std::mem::take(&mut self.drafts).into_iter().partition(filed);
        self.drafts = kept;
        self.tidy();
        filed.into_iter().filter(|draft| !draft.landed).map(|draft| draft.version).collect()
    }

    /// Versions have gone whose stories not everybody around has been told: the one that came in their place carries them on, since its
    /// author may have forgotten them. `shown` are the edits whose versions were here before.
    pub fn inherit(&mut self, shown: &[EditId], gone: &[Version]) {
        let mut known = Lineage::new();
        self.object.versions.iter().for_each(|version| version.story.add_to(&mut known));
        let versions = &mut self.object.versions;
        let new = versions.iter().position(|version| !shown.contains(&version.edit));
        if let Some(heir) = versions.get_mut(new.unwrap_or(0)) {
            gone.iter().for_each(|version| heir.story.carry(&version.story, &known));
        }
    }

    /// Remembers an edit of this replica's user, for reports.
    pub fn note(&mut self, id: EditId, edit: &Edit) {
        self.seen.add(id);
        self.noted += 1;
        match edit {
            Edit::Insert { element, .. } => self.own.push((id, element.clone())),
            Edit::Splice { insert, .. } if !insert.is_empty() => {
                self.own.push((id, insert.as_str().into()));
            }
            _ => {}
        }
    }

    /// Everybody around has been told all that is known here: what reports no longer need is forgotten. Of a set or text these are
    /// this replica's own edits of which nothing is to be seen.
    pub fn settle(&mut self, author: ReplicaId) {
        if !self.drafts.is_empty() {
            return;
        }
        self.object.versions.iter_mut().for_each(|version| version.story.settle());
        if (self.noted as usize) < NOTES.max(self.own.len() / 4) {
            return;
        }
        self.noted = 0;
        let Entry { object, own, .. } = self;
        own.retain(|(_, piece)| object.versions.iter().any(|v| shows(&v.content, piece)));
        for version in &mut object.versions {
            if matches!(version.content, Content::Set(_) | Content::Text(_)) {
                let last = recent(&version.story.stands_on);
                let there = |edit: EditId| {
                    last.contains(edit) || own.binary_search_by_key(&edit, |(own, _)| *own).is_ok()
                };
                let kept = version.story.stands_on.iter();
                let kept = kept.filter(|edit| edit.origin != author || there(*edit));
                version.story.stands_on = kept.fold(Lineage::new(), |mut all, edit| {
                    all.insert(edit);
                    all
                });
            }
        }
    }

    /// Writes what reports need.
    pub fn save_notes(&self, out: &mut Writer) {
        self.seen.save(out);
        out.count(self.own.len());
        for (edit, piece) in &self.own {
            out.edit_id(*edit);
            out.str(piece.as_str());
        }
        out.uint(u64::from(self.noted));
    }

    pub fn restore_notes(&mut self, bytes: &mut Reader<'_>) -> Result<(), Malformed> {
        self.seen = Seen::restore(bytes)?;
        for _ in 0..bytes.count(3)? {
            let edit = bytes.edit_id()?;
            if self.own.last().is_some_and(|(last, _)| *last >= edit) {
                return Err(Malformed("own edits are not ascending"));
            }
            self.own.push((edit, bytes.value()?));
        }
        self.noted = bytes.uint32()?;
        Ok(())
    }

    /// Forgets hidden things that are gone.
    fn tidy(&mut self) {
        let Entry { object, drafts, .. } = self;
        if drafts.is_empty() {
            return;
        }
        let mut there: Vec<EditId> = object.versions.iter().map(|version| version.edit).collect();
        there.extend(drafts.iter().map(|draft| draft.version.edit));
        for draft in drafts {
            draft.hides.retain(|edit| there.contains(edit));
            draft.hides.sort_unstable();
            draft.hides.dedup();
        }
    }
}

/// Whether anything of what an edit brought is to be seen.
fn shows(content: &Content, piece: &Value) -> bool {
    match content {
        Content::Set(elements) => elements.contains(piece),
        Content::Text(text) => piece.as_str().split_whitespace().any(|word| text.contains(word)),
        Content::Register(_) | Content::Counter(_) => false,
    }
}

impl Draft {
    pub fn save(&self, out: &mut Writer) {
        let Version { dot, events, edit, deleted, content, story, .. } = &self.version;
        out.uint(u64::from(dot.actor.incarnation));
        out.uint(*events);
        out.edit_id(*edit);
        out.byte(u8::from(*deleted) | u8::from(self.landed) << 1);
        out.content(content);
        story.save(out);
        out.count(self.hides.len());
        self.hides.iter().for_each(|edit| out.edit_id(*edit));
        // 0 stands for none.
        out.uint(self.serial.map_or(0, |serial| serial + 1));
    }

    pub fn restore(bytes: &mut Reader<'_>) -> Result<Self, Malformed> {
        let incarnation = bytes.uint32()?;
        let events = bytes.uint()?;
        let edit = bytes.edit_id()?;
        let flags = bytes.byte()?;
        if flags > 3 {
            return Err(Malformed("unknown flag of a draft"));
        }
        let content = bytes.content()?;
        let story = super::story::Story::restore(bytes)?;
        let mut hides = Vec::new();
        for _ in 0..bytes.count(2)? {
            hides.push(bytes.edit_id()?);
        }
        let serial = bytes.uint()?.checked_sub(1);
        let dot =
            Dot { actor: Actor { replica: edit.origin, incarnation }, counter: edit.sequence };
        let write = Write { edit, deleted: flags & 1 == 1, content, story };
        let version = write.into_version(dot, Vector::default(), events);
        Ok(Draft { version, hides, serial, landed: flags & 2 == 2 })
    }
}
