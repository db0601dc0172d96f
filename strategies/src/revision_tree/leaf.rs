//! A revision without children, and those it descends from.

use super::story::Story;
use crate::contract::Malformed;
use crate::document::{Content, Digest, EditId, FieldId};
use crate::lineage::Lineage;
use crate::wire::{Reader, Writer};
use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};

/// Highest generation that is taken from others: far beyond what anybody reaches, and far from overflow.
const MOST_GENERATIONS: u64 = 1 << 48;

/// The name of a revision: `generation-hash`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rev {
    /// One more than its parent's; the first is 1.
    pub generation: u64,
    /// Of its parent's name and its own content.
    pub hash: u128,
}

impl Rev {
    /// Bytes of the shortest name on the wire.
    pub const LEAST_BYTES: usize = 17;

    pub fn write(self, out: &mut Writer) {
        out.uint(self.generation);
        out.raw(&self.hash.to_le_bytes());
    }

    pub fn read(bytes: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Rev { generation: read_generation(bytes)?, hash: read_hash(bytes)? })
    }
}

/// A revision with its content. Bodies of its ancestors are gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    generation: u64,
    /// Hashes of its last ancestors, the oldest first, and its own. As many as the limit allows, or all there are.
    path: VecDeque<u128>,
    /// Whether it is a tombstone, which has no content.
    pub deleted: bool,
    /// Only those that are not empty.
    pub contents: BTreeMap<FieldId, Content>,
    pub story: Story,
}

impl Leaf {
    /// What is there before the first revision, perhaps after earlier ones that were purged with these deletes.
    pub fn nothing(deletes: Lineage) -> Self {
        Leaf {
            generation: 0,
            path: VecDeque::new(),
            deleted: true,
            contents: BTreeMap::new(),
            story: Story { deletes, ..Story::default() },
        }
    }

    /// The same with a story.
    pub fn with(self, story: Story) -> Self {
        Leaf { story, ..self }
    }

    /// Its name.
    pub fn rev(&self) -> Rev {
        Rev { generation: self.generation, hash: self.path.back().copied().unwrap_or_default() }
    }

    /// Leaves in this order: the winner first, tombstones last.
    pub fn rank(&self) -> (bool, Reverse<Rev>) {
        (self.deleted, Reverse(self.rev()))
    }

    /// Revisions that are remembered, itself included.
    pub fn path_len(&self) -> usize {
        self.path.len()
    }

    /// The names that are remembered, its own first.
    pub fn path(&self) -> impl Iterator<Item = Rev> + '_ {
        let hashes = self.path.iter().rev().enumerate();
        hashes.map(|(n, hash)| Rev { generation: self.generation - n as u64, hash: *hash })
    }

    /// Whether this revision is that one, or is known to descend from it.
    pub fn covers(&self, rev: Rev) -> bool {
        let back = self.generation.checked_sub(rev.generation);
        let at = back.and_then(|back| (self.path.len() as u64).checked_sub(back + 1));
        at.is_some_and(|at| self.path[at as usize] == rev.hash)
    }

    /// A field's content, where it is not empty.
    pub fn content(&self, field: FieldId) -> Option<&Content> {
        self.contents.get(&field)
    }

    /// Sets a field.
    pub fn set(&mut self, field: FieldId, content: Content) {
        if content.is_empty() {
            self.contents.remove(&field);
        } else {
            self.contents.insert(field, content);
        }
    }

    /// Becomes a tombstone, once committed.
    pub fn empty(&mut self) {
        self.deleted = true;
        self.contents.clear();
    }

    /// What was changed since becomes a new revision, with the present one as its parent.
    pub fn commit(&mut self, revs_limit: usize, by: EditId) {
        let hash = self.hash_on((self.generation > 0).then(|| self.rev()));
        self.generation += 1;
        self.path.push_back(hash);
        if self.path.len() > revs_limit {
            self.path.pop_front();
        }
        self.story.by = Some(by);
        self.story.twins = Lineage::new();
    }

    /// A hash of the content and of its parent's name, so that the same edit of the same revision has the same name wherever it is made.
    fn hash_on(&self, parent: Option<Rev>) -> u128 {
        let mut digest = Digest::new();
        digest.word(u64::from(self.deleted));
        if let Some(Rev { generation, hash }) = parent {
            digest.word(generation);
            digest.word(hash as u64);
            digest.word((hash >> 64) as u64);
        }
        for (field, content) in &self.contents {
            digest.word(u64::from(field.0));
            digest.content(content);
        }
        digest.finish()
    }

    /// Bytes of user content.
    pub fn content_bytes(&self) -> u64 {
        self.contents.values().map(Content::bytes).sum()
    }

    /// Writes everything but the story.
    pub fn write(&self, out: &mut Writer) {
        out.uint(self.generation);
        out.count(self.path.len());
        self.path.iter().rev().for_each(|hash| out.raw(&hash.to_le_bytes()));
        out.byte(u8::from(self.deleted));
        if !self.deleted {
            out.count(self.contents.len());
            for (field, content) in &self.contents {
                out.uint(u64::from(field.0));
                out.content(content);
            }
        }
    }

    /// Reads what [`Leaf::write`] wrote, without a story.
    pub fn read(bytes: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut leaf =
            Leaf { generation: read_generation(bytes)?, ..Leaf::nothing(Lineage::new()) };
        for _ in 0..bytes.count(16)? {
            leaf.path.push_front(read_hash(bytes)?);
        }
        if leaf.path.is_empty() || leaf.path.len() as u64 > leaf.generation {
            return Err(Malformed("more ancestors than generations, or no revision"));
        }
        leaf.deleted = match bytes.byte()? {
            0 => false,
            1 => return Ok(Leaf { deleted: true, ..leaf }),
            _ => return Err(Malformed("neither deleted nor not")),
        };
        for _ in 0..bytes.count(2)? {
            let field = u16::try_from(bytes.uint()?).map_err(|_| Malformed("no such field"))?;
            let content = bytes.content()?;
            if content.is_empty() || leaf.contents.keys().last().is_some_and(|f| f.0 >= field) {
                return Err(Malformed("fields out of order, or an empty one"));
            }
            leaf.contents.insert(FieldId(field), content);
        }
        Ok(leaf)
    }

    /// Whether its name is right, and it has as many ancestors as it must. (CouchDB believes any name; here it is the checksum too.)
    pub fn is_genuine(&self, revs_limit: usize) -> bool {
        let parent = self.path().nth(1);
        self.path.len() as u64 == self.generation.min(revs_limit as u64)
            && self.hash_on(parent) == self.rev().hash
    }
}

fn read_generation(bytes: &mut Reader<'_>) -> Result<u64, Malformed> {
    let generation = bytes.uint()?;
    if generation == 0 || generation > MOST_GENERATIONS {
        return Err(Malformed("no such generation"));
    }
    Ok(generation)
}

fn read_hash(bytes: &mut Reader<'_>) -> Result<u128, Malformed> {
    let hash = bytes.raw(16)?.try_into().expect("sixteen bytes were read");
    Ok(u128::from_le_bytes(hash))
}
