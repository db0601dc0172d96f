//! What a replica displays: the content of cells, how edits become operations on it, and its fingerprint.

use super::op::{CellOp, CounterOp, ElementOp, Ops, RegisterOp};
use super::text::TextOp;
use crate::contract::Malformed;
use crate::document::{
    Cell, Content, Edit, FieldId, FieldKind, PartitionId, RecordId, Rendering, Schema, Scope, Value,
};
use crate::lww::digests::Digests;
use std::collections::BTreeMap;

/// The content of one cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    content: Content,
    /// Length of a text in scalar values; 0 for other kinds.
    length: usize,
}

impl Held {
    /// What is displayed.
    pub fn content(&self) -> &Content {
        &self.content
    }

    /// Length of a text in scalar values; 0 for other kinds.
    pub fn length(&self) -> usize {
        self.length
    }

    /// Changes the content. Returns the work in units.
    ///
    /// # Errors
    /// [`Malformed`] where the operation is for another kind or a longer text; nothing is changed then.
    pub fn apply(&mut self, op: &CellOp) -> Result<u64, Malformed> {
        match (&mut self.content, op) {
            (Content::Register(_), CellOp::Register(RegisterOp::Nothing)) => {}
            (Content::Register(slot), CellOp::Register(RegisterOp::Clear)) => *slot = None,
            (Content::Register(slot), CellOp::Register(RegisterOp::Put(value))) => {
                *slot = Some(value.clone());
            }
            (Content::Counter(sum), CellOp::Counter(op)) => *sum = op.apply(*sum),
            (Content::Set(held), CellOp::Set(ops)) => {
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
            (Content::Text(text), CellOp::Text(text_op)) => {
                let bytes = text_op.apply(text, &mut self.length)?;
                return Ok(op.size() + bytes as u64 / 64);
            }
            _ => return Err(Malformed("operation is for another kind of cell")),
        }
        Ok(op.size())
    }
}

impl From<Content> for Held {
    fn from(content: Content) -> Self {
        let length = content.length();
        Held { content, length }
    }
}

/// The displayed document.
#[derive(Debug)]
pub struct Cells {
    schema: Schema,
    /// Empty cells are left out.
    held: BTreeMap<Cell, Held>,
    digests: Digests,
}

/// Lengths that texts will have, where operations are checked before any of them is applied.
pub type Lengths = BTreeMap<Cell, usize>;

impl Cells {
    /// An empty document.
    pub fn new(schema: &Schema) -> Self {
        Cells { schema: schema.clone(), held: BTreeMap::new(), digests: Digests::default() }
    }

    /// Sets the content of a cell, where it comes from a snapshot.
    ///
    /// # Errors
    /// [`Malformed`] where the schema has no such field, or one of another kind.
    pub fn load(&mut self, cell: Cell, content: Content) -> Result<(), Malformed> {
        self.check_kind(cell, content.kind())?;
        self.digests.touch(cell);
        self.held.insert(cell, content.into());
        Ok(())
    }

    /// Makes a cell show something else, which is not empty.
    pub fn replace(&mut self, cell: Cell, content: Content) {
        self.digests.touch(cell);
        self.held.insert(cell, content.into());
    }

    /// Makes a cell show nothing.
    pub fn clear(&mut self, cell: Cell) {
        self.held.remove(&cell);
        self.digests.touch(cell);
    }

    /// The kind of a cell.
    ///
    /// # Errors
    /// [`Malformed`] where the schema has no such field.
    pub fn kind(&self, cell: Cell) -> Result<FieldKind, Malformed> {
        self.schema.kind(cell.field).ok_or(Malformed("no such field"))
    }

    /// What a cell displays; `None` where it is empty.
    pub fn get(&self, cell: Cell) -> Option<&Held> {
        self.held.get(&cell)
    }

    /// The cells of all records in a row: which one this is.
    pub fn number(&self, cell: Cell) -> u64 {
        u64::from(cell.record.0) * self.schema.fields.len() as u64 + u64::from(cell.field.0)
    }

    /// The cell with such a number among the cells of all records, where there is one.
    pub fn cell(&self, number: u64) -> Option<Cell> {
        let fields = self.schema.fields.len() as u64;
        let record = u32::try_from(number.checked_div(fields)?).ok()?;
        Some(Cell { record: RecordId(record), field: FieldId((number % fields) as u16) })
    }

    /// Whether a cell is of a kind.
    ///
    /// # Errors
    /// [`Malformed`] where it is not.
    pub fn check_kind(&self, cell: Cell, kind: FieldKind) -> Result<(), Malformed> {
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
        self.check_kind(cell, op.kind())?;
        if let CellOp::Text(op) = op {
            let length = lengths.entry(cell).or_insert_with(|| self.length(cell));
            *length = op.length_after(*length)?;
        }
        Ok(())
    }

    /// Applies an operation that was checked. Returns the work in units.
    pub fn apply(&mut self, cell: Cell, op: &CellOp) -> u64 {
        let held = self.held.entry(cell).or_insert_with(|| op.kind().empty().into());
        let work = held.apply(op).expect("the operation was checked");
        if held.content.is_empty() {
            self.held.remove(&cell);
        }
        self.digests.touch(cell);
        work
    }

    /// The operations that an edit means, in view of what is displayed.
    ///
    /// # Errors
    /// [`Malformed`] where the edit does not fit the schema.
    pub fn ops_of(&self, edit: &Edit) -> Result<Ops, Malformed> {
        let shown = |cell: &Cell| self.held.get(cell).map(Held::content);
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
                self.check_kind(*cell, FieldKind::Set)?;
                match shown(cell) {
                    Some(Content::Set(elements)) if elements.contains(element) => {
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
        self.check_kind(cell, op.kind())?;
        Ok([(cell, op)].into())
    }

    /// Empties whatever of a record is displayed.
    fn deletion(&self, record: RecordId) -> Ops {
        self.schema
            .cells(record)
            .filter_map(|(cell, kind)| {
                let held = self.held.get(&cell)?;
                Some((cell, replacement(Some(&held.content), &kind.empty())))
            })
            .collect()
    }

    /// Length of a text in scalar values, as displayed.
    pub fn length(&self, cell: Cell) -> usize {
        self.held.get(&cell).map_or(0, |held| held.length)
    }

    /// Adds what is displayed within `scope`.
    pub fn render(&self, scope: Scope, out: &mut Rendering) {
        match scope {
            Scope::Cell(cell) => {
                if let Some(held) = self.held.get(&cell) {
                    out.settled(cell, held.content.clone());
                }
            }
            Scope::Record(record) => {
                for (cell, _) in self.schema.cells(record) {
                    self.render(Scope::Cell(cell), out);
                }
            }
            Scope::All | Scope::Partition(_) => {
                for (cell, held) in self.held.iter().filter(|(cell, _)| scope.contains(**cell)) {
                    out.settled(*cell, held.content.clone());
                }
            }
        }
    }

    /// A digest of everything displayed in a partition. Costs what changed since it was last asked for.
    pub fn fingerprint(&self, partition: PartitionId) -> u128 {
        if partition != PartitionId(0) {
            return 0;
        }
        self.digests.sum(|cell| self.held.get(&cell).map(Held::content))
    }

    /// Every cell that is not empty, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (Cell, &Content)> {
        self.held.iter().map(|(cell, held)| (*cell, &held.content))
    }

    /// Bytes of user content.
    pub fn bytes(&self) -> u64 {
        self.held.values().map(|held| held.content.bytes()).sum()
    }
}

/// The operation after which a cell that shows `shown` shows `content`.
fn replacement(shown: Option<&Content>, content: &Content) -> CellOp {
    match content {
        Content::Register(None) => CellOp::Register(RegisterOp::Clear),
        Content::Register(Some(value)) => CellOp::Register(RegisterOp::Put(value.clone())),
        Content::Counter(sum) => CellOp::Counter(CounterOp { left: Some(Vec::new()), add: *sum }),
        Content::Set(elements) => {
            let inserted = elements.iter().map(|e| (e.clone(), ElementOp::Insert));
            let mut ops: BTreeMap<Value, ElementOp> = match shown {
                Some(Content::Set(shown)) => {
                    shown.iter().map(|e| (e.clone(), ElementOp::Remove)).collect()
                }
                _ => BTreeMap::new(),
            };
            ops.extend(inserted);
            CellOp::Set(ops)
        }
        Content::Text(text) => {
            CellOp::Text(TextOp::splice(0, shown.map_or(0, Content::length), text))
        }
    }
}
