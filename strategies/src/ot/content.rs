//! What a replica displays: the content of cells, how edits become operations on it, and its fingerprint.

use super::op::{CellOp, CounterOp, ElementOp, Ops, RegisterOp};
use super::text::{Text, TextOp};
use crate::contract::Malformed;
use crate::document::{
    Cell, Content, Digest, Edit, FieldKind, PartitionId, Rendering, Schema, Scope, Value,
};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

/// The content of one cell. Like [`Content`], but a text knows its length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Held {
    /// A register; `None` where nothing is shown.
    Register(Option<Value>),
    /// A counter.
    Counter(i64),
    /// A set.
    Set(BTreeSet<Value>),
    /// A text.
    Text(Text),
}

impl Held {
    fn empty(kind: FieldKind) -> Self {
        Held::from(kind.empty())
    }

    /// What is displayed.
    pub fn content(&self) -> Content {
        match self {
            Held::Register(value) => Content::Register(value.clone()),
            Held::Counter(sum) => Content::Counter(*sum),
            Held::Set(elements) => Content::Set(elements.clone()),
            Held::Text(text) => Content::Text(text.as_str().to_owned()),
        }
    }

    /// Bytes of user content, as [`Content::bytes`] counts them.
    fn bytes(&self) -> u64 {
        match self {
            Held::Register(value) => value.as_ref().map_or(0, |v| v.as_str().len() as u64),
            Held::Counter(sum) => u64::from(*sum != 0) * 8,
            Held::Set(elements) => elements.iter().map(|e| e.as_str().len() as u64).sum(),
            Held::Text(text) => text.as_str().len() as u64,
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Held::Register(value) => value.is_none(),
            Held::Counter(sum) => *sum == 0,
            Held::Set(elements) => elements.is_empty(),
            Held::Text(text) => text.length() == 0,
        }
    }

    /// Length of a text in scalar values; 0 for other kinds.
    fn length(&self) -> usize {
        match self {
            Held::Text(text) => text.length(),
            _ => 0,
        }
    }

    /// Changes the content. Returns the work in units.
    ///
    /// # Errors
    /// [`Malformed`] where the operation is for another kind or a longer text; nothing is changed then.
    pub fn apply(&mut self, op: &CellOp) -> Result<u64, Malformed> {
        match (self, op) {
            (Held::Register(_), CellOp::Register(RegisterOp::Nothing)) => {}
            (Held::Register(slot), CellOp::Register(RegisterOp::Clear)) => *slot = None,
            (Held::Register(slot), CellOp::Register(RegisterOp::Put(value))) => {
                *slot = Some(value.clone());
            }
            (Held::Counter(sum), CellOp::Counter(op)) => *sum = op.apply(*sum),
            (Held::Set(held), CellOp::Set(ops)) => {
                for (element, op) in ops {
                    match op {
                        ElementOp::Nothing => {}
                        ElementOp::Insert => {
                            held.insert(element.clone());
                        }
                        ElementOp::Remove => {
                            held.remove(element);
                        }
                    }
                }
            }
            (Held::Text(text), CellOp::Text(text_op)) => {
                return Ok(op.size() + text_op.apply(text)? as u64 / 64);
            }
            _ => return Err(Malformed("operation is for another kind of cell")),
        }
        Ok(op.size())
    }

    fn digest(&self, digest: &mut Digest) {
        match self {
            Held::Text(text) => {
                digest.word(4);
                digest.bytes(text.as_str().as_bytes());
            }
            other => digest.content(&other.content()),
        }
    }
}

impl From<Content> for Held {
    fn from(content: Content) -> Self {
        match content {
            Content::Register(value) => Held::Register(value),
            Content::Counter(sum) => Held::Counter(sum),
            Content::Set(elements) => Held::Set(elements),
            Content::Text(text) => Held::Text(text.into()),
        }
    }
}

/// The displayed document.
#[derive(Debug)]
pub struct Cells {
    schema: Schema,
    /// Empty cells are left out.
    held: BTreeMap<Cell, Held>,
    digests: RefCell<Digests>,
}

/// The sum of one digest per cell. A cell that changed is digested again when somebody asks.
#[derive(Debug, Default)]
struct Digests {
    sum: u128,
    known: BTreeMap<Cell, u128>,
    stale: BTreeSet<Cell>,
}

/// Lengths that texts will have, where operations are checked before any of them is applied.
pub type Lengths = BTreeMap<Cell, usize>;

impl Cells {
    /// An empty document.
    pub fn new(schema: &Schema) -> Self {
        Cells { schema: schema.clone(), held: BTreeMap::new(), digests: RefCell::default() }
    }

    /// Sets the content of a cell, where it comes from a snapshot.
    ///
    /// # Errors
    /// [`Malformed`] where the schema has no such field, or one of another kind.
    pub fn load(&mut self, cell: Cell, content: Content) -> Result<(), Malformed> {
        self.expect_kind(cell, content.kind())?;
        self.digests.get_mut().stale.insert(cell);
        self.held.insert(cell, content.into());
        Ok(())
    }

    fn expect_kind(&self, cell: Cell, kind: FieldKind) -> Result<(), Malformed> {
        match self.schema.kind(cell.field) {
            Some(actual) if actual == kind => Ok(()),
            Some(_) => Err(Malformed("operation is for another kind of cell")),
            None => Err(Malformed("no such field")),
        }
    }

    /// Whether an operation fits; `lengths` holds those of texts that operations already checked will change, and is brought up
    /// to date.
    ///
    /// # Errors
    /// [`Malformed`] where it does not fit.
    pub fn check(&self, cell: Cell, op: &CellOp, lengths: &mut Lengths) -> Result<(), Malformed> {
        self.expect_kind(cell, op.kind())?;
        if let CellOp::Text(op) = op {
            let length = lengths.entry(cell).or_insert_with(|| self.length(cell));
            *length = op.length_after(*length)?;
        }
        Ok(())
    }

    /// Whether an operation is for a field of its kind.
    ///
    /// # Errors
    /// [`Malformed`] where it is not.
    pub fn check_kind(&self, cell: Cell, op: &CellOp) -> Result<(), Malformed> {
        self.expect_kind(cell, op.kind())
    }

    /// Applies an operation that was checked. Returns the work in units.
    pub fn apply(&mut self, cell: Cell, op: &CellOp) -> u64 {
        let held = self.held.entry(cell).or_insert_with(|| Held::empty(op.kind()));
        let work = held.apply(op).expect("the operation was checked");
        if held.is_empty() {
            self.held.remove(&cell);
        }
        self.digests.get_mut().stale.insert(cell);
        work
    }

    /// The operations that an edit means, in view of what is displayed.
    ///
    /// # Errors
    /// [`Malformed`] where the edit does not fit the schema.
    pub fn ops_of(&self, edit: &Edit) -> Result<Ops, Malformed> {
        let shown = |cell: &Cell| self.held.get(cell);
        let (cell, op) = match edit {
            Edit::Delete { record } => return Ok(self.deletion(*record)),
            Edit::Put { cell, value } => (*cell, CellOp::Register(RegisterOp::Put(value.clone()))),
            Edit::Add { cell, amount } => {
                (*cell, CellOp::Counter(CounterOp { left: None, add: *amount }))
            }
            Edit::Insert { cell, element } => {
                (*cell, CellOp::Set([(element.clone(), ElementOp::Insert)].into()))
            }
            Edit::Remove { cell, element } => {
                self.expect_kind(*cell, FieldKind::Set)?;
                match shown(cell) {
                    Some(Held::Set(elements)) if elements.contains(element) => {
                        (*cell, CellOp::Set([(element.clone(), ElementOp::Remove)].into()))
                    }
                    _ => return Ok(Ops::new()),
                }
            }
            Edit::Splice { cell, at, delete, insert } => {
                let length = self.length(*cell);
                let at = (*at).min(length);
                let delete = (*delete).min(length - at);
                (*cell, CellOp::Text(TextOp::splice(at, delete, insert)))
            }
            Edit::Resolve { cell, content, .. } => (*cell, replacement(shown(cell), content)),
        };
        self.expect_kind(cell, op.kind())?;
        Ok([(cell, op)].into())
    }

    /// Empties whatever of a record is displayed.
    fn deletion(&self, record: crate::document::RecordId) -> Ops {
        self.schema
            .cells(record)
            .filter_map(|(cell, kind)| {
                let held = self.held.get(&cell)?;
                Some((cell, replacement(Some(held), &kind.empty())))
            })
            .collect()
    }

    /// Length of a text in scalar values, as displayed.
    pub fn length(&self, cell: Cell) -> usize {
        self.held.get(&cell).map_or(0, Held::length)
    }

    /// Adds what is displayed within `scope`.
    pub fn render(&self, scope: Scope, out: &mut Rendering) {
        match scope {
            Scope::Cell(cell) => {
                if let Some(held) = self.held.get(&cell) {
                    out.settled(cell, held.content());
                }
            }
            Scope::Record(record) => {
                for (cell, _) in self.schema.cells(record) {
                    self.render(Scope::Cell(cell), out);
                }
            }
            Scope::All | Scope::Partition(_) => {
                for (cell, held) in self.held.iter().filter(|(cell, _)| scope.contains(**cell)) {
                    out.settled(*cell, held.content());
                }
            }
        }
    }

    /// A digest of everything displayed in a partition. Costs what changed since it was last asked for.
    pub fn fingerprint(&self, partition: PartitionId) -> u128 {
        if partition != PartitionId(0) {
            return 0;
        }
        let Digests { sum, known, stale } = &mut *self.digests.borrow_mut();
        while let Some(cell) = stale.pop_first() {
            if let Some(old) = known.remove(&cell) {
                *sum = sum.wrapping_sub(old);
            }
            if let Some(held) = self.held.get(&cell) {
                let mut digest = Digest::new();
                digest.word(u64::from(cell.record.0) << 16 | u64::from(cell.field.0));
                held.digest(&mut digest);
                let digest = digest.finish();
                *sum = sum.wrapping_add(digest);
                known.insert(cell, digest);
            }
        }
        *sum
    }

    /// Every cell that is not empty, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (Cell, &Held)> {
        self.held.iter().map(|(cell, held)| (*cell, held))
    }

    /// Bytes of user content.
    pub fn bytes(&self) -> u64 {
        self.held.values().map(Held::bytes).sum()
    }
}

/// The operation after which a cell that shows `held` shows `content`.
fn replacement(held: Option<&Held>, content: &Content) -> CellOp {
    match content {
        Content::Register(None) => CellOp::Register(RegisterOp::Clear),
        Content::Register(Some(value)) => CellOp::Register(RegisterOp::Put(value.clone())),
        Content::Counter(sum) => CellOp::Counter(CounterOp { left: Some(Vec::new()), add: *sum }),
        Content::Set(elements) => {
            let inserted = elements.iter().map(|e| (e.clone(), ElementOp::Insert));
            let mut ops: BTreeMap<Value, ElementOp> = match held {
                Some(Held::Set(shown)) => {
                    shown.iter().map(|e| (e.clone(), ElementOp::Remove)).collect()
                }
                _ => BTreeMap::new(),
            };
            ops.extend(inserted);
            CellOp::Set(ops)
        }
        Content::Text(text) => CellOp::Text(TextOp::splice(0, held.map_or(0, Held::length), text)),
    }
}
