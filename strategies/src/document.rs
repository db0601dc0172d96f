//! The document model that every strategy serves: records of typed fields, and the edits users make to them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

/// A replica: a device's or server's copy of the document. Also names it as a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplicaId(pub u32);

impl ReplicaId {
    /// The origin of the edits that every replica already holds when a trial begins.
    pub const GENESIS: ReplicaId = ReplicaId(u32::MAX);
}

impl fmt::Display for ReplicaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::GENESIS { f.write_str("genesis") } else { write!(f, "r{}", self.0) }
    }
}

/// Name of an edit, minted by the host. Sequences of one origin strictly increase and may have gaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EditId {
    /// The replica where the edit was made.
    pub origin: ReplicaId,
    /// Position among the origin's edits; strictly increasing, not contiguous.
    pub sequence: u64,
}

impl fmt::Display for EditId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.origin, self.sequence)
    }
}

/// A record of the document, numbered from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordId(pub u32);

/// A field of every record, numbered from 0 in the order of the [`Schema`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldId(pub u16);

/// A set of records that is replicated as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionId(pub u32);

/// One field of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cell {
    /// The record.
    pub record: RecordId,
    /// The field of that record.
    pub field: FieldId,
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.record.0, self.field.0)
    }
}

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FieldKind {
    /// One value, replaced as a whole.
    Register,
    /// A number that people add to.
    Counter,
    /// Distinct values that people insert and remove.
    Set,
    /// A text that people splice.
    Text,
}

impl FieldKind {
    /// The content of a field nobody has written to.
    pub fn empty(self) -> Content {
        match self {
            FieldKind::Register => Content::Register(None),
            FieldKind::Counter => Content::Counter(0),
            FieldKind::Set => Content::Set(BTreeSet::new()),
            FieldKind::Text => Content::Text(String::new()),
        }
    }
}

/// The fields that every record has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema {
    /// The kind of each field, by [`FieldId`].
    pub fields: Vec<FieldKind>,
    /// Fields whose concurrent changes a user wants to be asked about rather than see one of them vanish; in order.
    pub critical: Vec<FieldId>,
}

impl Schema {
    /// Fields of these kinds, none of them critical.
    pub fn new(fields: Vec<FieldKind>) -> Self {
        Schema { fields, critical: Vec::new() }
    }

    /// Whether a field is marked critical.
    pub fn is_critical(&self, field: FieldId) -> bool {
        self.critical.binary_search(&field).is_ok()
    }

    /// The kind of a field, or `None` where the schema has no such field.
    pub fn kind(&self, field: FieldId) -> Option<FieldKind> {
        self.fields.get(usize::from(field.0)).copied()
    }

    /// The cells of a record, in order, with their kinds.
    pub fn cells(&self, record: RecordId) -> impl Iterator<Item = (Cell, FieldKind)> + '_ {
        self.fields
            .iter()
            .enumerate()
            .map(move |(n, kind)| (Cell { record, field: FieldId(n as u16) }, *kind))
    }
}

/// A register's value or a set's element: a short string, cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Value(Arc<str>);

impl Value {
    /// The value as a string.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value(text.into())
    }
}

/// What a user does to the document. Every edit speaks of what the author's own replica shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// Replaces a register's value.
    Put {
        /// The register.
        cell: Cell,
        /// The new value.
        value: Value,
    },
    /// Removes what the author's replica shows of a record now.
    Delete {
        /// The record.
        record: RecordId,
    },
    /// Adds to a counter.
    Add {
        /// The counter.
        cell: Cell,
        /// What to add; may be negative.
        amount: i64,
    },
    /// Inserts an element into a set.
    Insert {
        /// The set.
        cell: Cell,
        /// The element.
        element: Value,
    },
    /// Removes an element from a set, as the author's replica shows it now.
    Remove {
        /// The set.
        cell: Cell,
        /// The element.
        element: Value,
    },
    /// Replaces a stretch of a text. Positions count Unicode scalar values of the author's view;
    /// `at + delete` never exceeds [`crate::Replica::length`].
    Splice {
        /// The text.
        cell: Cell,
        /// Where.
        at: usize,
        /// How many scalar values to delete from there.
        delete: usize,
        /// What to insert there.
        insert: String,
    },
    /// A user's answer to a conflict: `content` replaces the alternatives named in `seen`; those that
    /// arrived meanwhile stay open.
    Resolve {
        /// The cell in conflict.
        cell: Cell,
        /// What the user chose; of the cell's kind.
        content: Content,
        /// The marks of the alternatives that the user was shown.
        seen: Vec<Mark>,
    },
}

impl Edit {
    /// The record this edit speaks of.
    pub fn record(&self) -> RecordId {
        self.cell().map_or_else(
            || match self {
                Edit::Delete { record } => *record,
                _ => unreachable!("only Delete has no cell"),
            },
            |cell| cell.record,
        )
    }

    /// The cell this edit speaks of; `None` for a [`Edit::Delete`], which speaks of all cells of its record.
    pub fn cell(&self) -> Option<Cell> {
        match self {
            Edit::Delete { .. } => None,
            Edit::Put { cell, .. }
            | Edit::Add { cell, .. }
            | Edit::Insert { cell, .. }
            | Edit::Remove { cell, .. }
            | Edit::Splice { cell, .. }
            | Edit::Resolve { cell, .. } => Some(*cell),
        }
    }

    /// Bytes of the user's own content in this edit, as UTF-8; a counter's amount and a removal count 8.
    pub fn content_bytes(&self) -> u64 {
        match self {
            Edit::Put { value, .. } => value.as_str().len() as u64,
            Edit::Insert { element, .. } => element.as_str().len() as u64,
            Edit::Splice { insert, delete, .. } => {
                insert.len() as u64 + if *delete > 0 { 8 } else { 0 }
            }
            Edit::Resolve { content, .. } => content.bytes(),
            Edit::Add { .. } | Edit::Remove { .. } | Edit::Delete { .. } => 8,
        }
    }
}

/// The content of one cell.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Content {
    /// A register; `None` where nothing was put.
    Register(Option<Value>),
    /// A counter.
    Counter(i64),
    /// A set.
    Set(BTreeSet<Value>),
    /// A text.
    Text(String),
}

impl Content {
    /// The kind of cell this is the content of.
    pub fn kind(&self) -> FieldKind {
        match self {
            Content::Register(_) => FieldKind::Register,
            Content::Counter(_) => FieldKind::Counter,
            Content::Set(_) => FieldKind::Set,
            Content::Text(_) => FieldKind::Text,
        }
    }

    /// Whether this is what a cell shows that nobody has written to.
    pub fn is_empty(&self) -> bool {
        match self {
            Content::Register(value) => value.is_none(),
            Content::Counter(sum) => *sum == 0,
            Content::Set(elements) => elements.is_empty(),
            Content::Text(text) => text.is_empty(),
        }
    }

    /// Bytes of user content; a counter counts 8 unless it is zero.
    pub fn bytes(&self) -> u64 {
        match self {
            Content::Register(value) => value.as_ref().map_or(0, |v| v.as_str().len() as u64),
            Content::Counter(sum) => {
                if *sum == 0 {
                    0
                } else {
                    8
                }
            }
            Content::Set(elements) => elements.iter().map(|e| e.as_str().len() as u64).sum(),
            Content::Text(text) => text.len() as u64,
        }
    }

    /// Length of a text in Unicode scalar values; 0 for other kinds.
    pub fn length(&self) -> usize {
        match self {
            Content::Text(text) => char_count(text),
            _ => 0,
        }
    }

    /// What a single user's document would show after `edit`. Edits of another kind, and `Delete`, change nothing here:
    /// a record is deleted by emptying its cells. Positions beyond the end are cut to the end.
    pub fn apply(&mut self, edit: &Edit) {
        match (self, edit) {
            (Content::Register(slot), Edit::Put { value, .. }) => *slot = Some(value.clone()),
            (Content::Counter(sum), Edit::Add { amount, .. }) => *sum = sum.wrapping_add(*amount),
            (Content::Set(elements), Edit::Insert { element, .. }) => {
                elements.insert(element.clone());
            }
            (Content::Set(elements), Edit::Remove { element, .. }) => {
                elements.remove(element);
            }
            (Content::Text(text), Edit::Splice { at, delete, insert, .. }) => {
                splice(text, *at, *delete, insert);
            }
            (slot, Edit::Resolve { content, .. }) if slot.kind() == content.kind() => {
                *slot = content.clone();
            }
            _ => {}
        }
    }
}

/// Number of Unicode scalar values in a text.
pub fn char_count(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.chars().count() }
}

/// Byte offset of the `at`-th scalar value, or the end.
pub fn byte_offset(text: &str, at: usize) -> usize {
    if text.is_ascii() {
        return at.min(text.len());
    }
    text.char_indices().nth(at).map_or(text.len(), |(offset, _)| offset)
}

/// Replaces `delete` scalar values from position `at` by `insert`; positions beyond the end are cut to the end.
pub fn splice(text: &mut String, at: usize, delete: usize, insert: &str) {
    let start = byte_offset(text, at);
    let end = start + byte_offset(&text[start..], delete);
    text.replace_range(start..end, insert);
}

/// A strategy's own name for one alternative of a conflict, opaque to everybody else; [`Edit::Resolve`] hands it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mark(pub u128);

/// One of several rival contents of a cell.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Alternative {
    /// The strategy's name for it; equal on every replica.
    pub mark: Mark,
    /// What it says.
    pub content: Content,
}

/// What the user sees in one cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    /// One content, not empty.
    Settled(Content),
    /// An open conflict: two or more alternatives, the one displayed first. All but the first are in order of their marks.
    Conflict(Vec<Alternative>),
}

impl Shown {
    /// What is displayed: the content, or a conflict's first alternative.
    pub fn first(&self) -> &Content {
        match self {
            Shown::Settled(content) => content,
            Shown::Conflict(alternatives) => &alternatives[0].content,
        }
    }

    /// Every content that is visible: one, or all alternatives of a conflict.
    pub fn contents(&self) -> impl Iterator<Item = &Content> {
        let (settled, alternatives): (Option<&Content>, &[Alternative]) = match self {
            Shown::Settled(content) => (Some(content), &[]),
            Shown::Conflict(alternatives) => (None, alternatives),
        };
        settled.into_iter().chain(alternatives.iter().map(|a| &a.content))
    }
}

/// Which part of the document to render.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Everything this replica holds.
    All,
    /// One partition. A replica of a document that is not partitioned holds number 0.
    Partition(PartitionId),
    /// One record.
    Record(RecordId),
    /// One cell.
    Cell(Cell),
}

impl Scope {
    /// Whether a cell lies in this scope.
    pub fn contains(self, cell: Cell) -> bool {
        match self {
            Scope::All => true,
            Scope::Partition(partition) => partition == PartitionId(0),
            Scope::Record(record) => cell.record == record,
            Scope::Cell(only) => cell == only,
        }
    }
}

/// What a replica shows its user, in canonical form: cells in order, empty ones left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rendering {
    cells: BTreeMap<Cell, Shown>,
}

impl Rendering {
    /// An empty rendering.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets everything, to be filled again.
    pub fn clear(&mut self) {
        self.cells.clear();
    }

    /// Shows one content; an empty one is left out.
    pub fn settled(&mut self, cell: Cell, content: Content) {
        if !content.is_empty() {
            self.cells.insert(cell, Shown::Settled(content));
        }
    }

    /// Shows a conflict; with fewer than two alternatives it is shown as settled. `alternatives[0]` is the one displayed; the rest is
    /// put in order of marks.
    pub fn conflict(&mut self, cell: Cell, mut alternatives: Vec<Alternative>) {
        match alternatives.len() {
            0 => {}
            1 => self.settled(cell, alternatives.remove(0).content),
            _ => {
                alternatives[1..].sort();
                self.cells.insert(cell, Shown::Conflict(alternatives));
            }
        }
    }

    /// Shows in a cell what another rendering shows there.
    pub fn replace(&mut self, cell: Cell, other: &Rendering) {
        match other.cells.get(&cell) {
            Some(shown) => drop(self.cells.insert(cell, shown.clone())),
            None => drop(self.cells.remove(&cell)),
        }
    }

    /// What is shown in a cell; `None` where it is empty.
    pub fn get(&self, cell: Cell) -> Option<&Shown> {
        self.cells.get(&cell)
    }

    /// All cells that are not empty, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Cell, &Shown)> {
        self.cells.iter().map(|(cell, shown)| (*cell, shown))
    }

    /// A 128-bit digest, equal for equal renderings.
    pub fn fingerprint(&self) -> u128 {
        let mut digest = Digest::new();
        for (cell, shown) in self.iter() {
            digest.word(u64::from(cell.record.0) << 16 | u64::from(cell.field.0));
            match shown {
                Shown::Settled(content) => digest.content(content),
                Shown::Conflict(alternatives) => {
                    digest.word(alternatives.len() as u64 | 1 << 63);
                    for alternative in alternatives {
                        digest.word(alternative.mark.0 as u64);
                        digest.word((alternative.mark.0 >> 64) as u64);
                        digest.content(&alternative.content);
                    }
                }
            }
        }
        digest.finish()
    }
}

/// A 128-bit digest for comparisons between replicas and runs; not cryptographic. Two lanes of multiply and rotate over
/// 8-byte little-endian words, each piece preceded by its length, finished by an avalanche.
#[derive(Clone, Copy, Debug)]
pub struct Digest {
    low: u64,
    high: u64,
}

impl Default for Digest {
    fn default() -> Self {
        Self::new()
    }
}

impl Digest {
    /// The digest of nothing.
    pub fn new() -> Self {
        Digest { low: 0x9e37_79b9_7f4a_7c15, high: 0xc2b2_ae3d_27d4_eb4f }
    }

    /// Takes in one word.
    pub fn word(&mut self, word: u64) {
        self.low = (self.low.rotate_left(27) ^ word).wrapping_mul(0x9fb2_1c65_1e98_df25);
        self.high = (self.high.rotate_left(31) ^ word).wrapping_mul(0xd6e8_feb8_6659_fd93);
        self.high ^= self.low >> 29;
    }

    /// Takes in a piece of bytes, its length included.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.word(bytes.len() as u64);
        let mut chunks = bytes.chunks_exact(8);
        for chunk in &mut chunks {
            self.word(u64::from_le_bytes(chunk.try_into().expect("chunks of eight")));
        }
        let rest = chunks.remainder();
        if !rest.is_empty() {
            let mut last = [0; 8];
            last[..rest.len()].copy_from_slice(rest);
            self.word(u64::from_le_bytes(last));
        }
    }

    /// Takes in the content of a cell.
    pub fn content(&mut self, content: &Content) {
        match content {
            Content::Register(value) => {
                self.word(1);
                self.bytes(value.as_ref().map_or(&[], |v| v.as_str().as_bytes()));
            }
            Content::Counter(sum) => {
                self.word(2);
                self.word(*sum as u64);
            }
            Content::Set(elements) => {
                self.word(3);
                self.word(elements.len() as u64);
                for element in elements {
                    self.bytes(element.as_str().as_bytes());
                }
            }
            Content::Text(text) => {
                self.word(4);
                self.bytes(text.as_bytes());
            }
        }
    }

    /// The digest of everything taken in so far.
    pub fn finish(mut self) -> u128 {
        for _ in 0..2 {
            self.word(0x2545_f491_4f6c_dd1d);
        }
        let mix = |mut x: u64| {
            x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            x ^ (x >> 31)
        };
        u128::from(mix(self.high)) << 64 | u128::from(mix(self.low))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splice_counts_scalar_values_and_cuts_at_the_end() {
        let mut text = String::from("añ😀z");
        splice(&mut text, 1, 2, "öß");
        assert_eq!(text, "aößz");
        splice(&mut text, 3, 99, "!");
        assert_eq!(text, "aöß!");
        splice(&mut text, 99, 1, "?");
        assert_eq!(text, "aöß!?");
        assert_eq!(char_count(&text), 5);
    }

    #[test]
    fn renderings_that_differ_have_other_fingerprints() {
        let cell = |record| Cell { record: RecordId(record), field: FieldId(0) };
        let mut seen = BTreeSet::new();
        let mut check = |build: &dyn Fn(&mut Rendering)| {
            let mut rendering = Rendering::new();
            build(&mut rendering);
            assert!(seen.insert(rendering.fingerprint()), "{rendering:?} collides");
        };
        let register = |text: &str| Content::Register(Some(text.into()));
        check(&|_| {});
        check(&|r| r.settled(cell(0), register("a")));
        check(&|r| r.settled(cell(1), register("a")));
        check(&|r| r.settled(cell(0), Content::Text("a".into())));
        check(&|r| r.settled(cell(0), Content::Set([Value::from("a")].into())));
        check(&|r| r.settled(cell(0), Content::Set([Value::from("a"), Value::from("")].into())));
        check(&|r| r.settled(cell(0), Content::Counter(97)));
        let rivals = |first: u128, second: u128| {
            vec![
                Alternative { mark: Mark(first), content: register("a") },
                Alternative { mark: Mark(second), content: register("b") },
            ]
        };
        check(&|r| r.conflict(cell(0), rivals(1, 2)));
        check(&|r| r.conflict(cell(0), rivals(2, 1)));
    }

    #[test]
    fn empty_cells_and_lone_alternatives_are_canonical() {
        let cell = Cell { record: RecordId(0), field: FieldId(0) };
        let mut rendering = Rendering::new();
        rendering.settled(cell, Content::Counter(0));
        assert_eq!(rendering, Rendering::new());
        let content = Content::Counter(3);
        rendering.conflict(cell, vec![Alternative { mark: Mark(9), content: content.clone() }]);
        assert_eq!(rendering.get(cell), Some(&Shown::Settled(content)));
    }
}
