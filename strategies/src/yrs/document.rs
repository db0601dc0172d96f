//! The library's document, and beside it what it shows.

use super::message::Vector;
use super::places::{
    ELEMENTS, Fault, Place, Places, REGISTERS, counter_name, element_key, read_amount,
    register_key, text_name,
};
use super::update::{Any, Client, Held, Id, Ids, Update, utf16_offset};
use crate::contract::Malformed;
use crate::document::{
    Cell, Content, Edit, FieldKind, RecordId, Rendering, Schema, Scope, Value, char_count, splice,
};
use ::yrs::updates::decoder::Decode;
use ::yrs::{
    Array, ClientID, Doc, GetString, Map, OffsetKind, Options, Out, ReadTxn, StateVector, Text,
    Transact, TransactionMut, WriteTxn,
};
use std::collections::{BTreeMap, BTreeSet};

/// Largest amount that is written as an integer.
const MOST_INTEGER: u64 = 0x7fff_ffff;

/// Items of a register or counter that are not shown any more, or never were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hidden {
    /// The first of them.
    pub first: Id,
    /// The clock behind the last one.
    pub end: u32,
    /// The register or counter.
    pub cell: Cell,
    /// The value that the register shows instead, where there is one.
    pub by: Option<Id>,
}

/// What a cell shows.
#[derive(Clone, Debug)]
enum View {
    /// The value, and the entry that it is.
    Register(Option<(Id, Value)>),
    Counter(i64),
    /// The entries that stand for each element.
    Set(BTreeMap<Value, BTreeSet<Id>>),
    /// The text and its length in scalar values.
    Text(String, usize),
}

impl View {
    fn empty(kind: FieldKind) -> View {
        match kind {
            FieldKind::Register => View::Register(None),
            FieldKind::Counter => View::Counter(0),
            FieldKind::Set => View::Set(BTreeMap::new()),
            FieldKind::Text => View::Text(String::new(), 0),
        }
    }

    fn content(&self) -> Content {
        match self {
            View::Register(held) => {
                Content::Register(held.as_ref().map(|(_, value)| value.clone()))
            }
            View::Counter(sum) => Content::Counter(*sum),
            View::Set(elements) => Content::Set(elements.keys().cloned().collect()),
            View::Text(text, _) => Content::Text(text.clone()),
        }
    }

    fn bytes(&self) -> u64 {
        match self {
            View::Register(held) => {
                held.as_ref().map_or(0, |(_, value)| value.as_str().len() as u64)
            }
            View::Counter(sum) => 8 * u64::from(*sum != 0),
            View::Set(elements) => elements.keys().map(|e| e.as_str().len() as u64).sum(),
            View::Text(text, _) => text.len() as u64,
        }
    }
}

/// Entries of a register: the first, the clock behind the last, and the value, where there is one still.
type Rival = (Id, u32, Option<Value>);

/// One replica's document.
pub struct Document {
    doc: Doc,
    client: Client,
    schema: Schema,
    places: Places,
    deleted: Ids,
    cells: BTreeMap<Cell, View>,
}

impl Document {
    /// An empty document. The client must not have made anything that others know and this document does not.
    pub fn new(client: Client, schema: &Schema) -> Self {
        let guid = "reconverge".into();
        let mut options = Options::with_guid_and_client_id(guid, ClientID::new(client));
        options.offset_kind = OffsetKind::Utf16;
        Document {
            doc: Doc::with_options(options),
            client,
            schema: schema.clone(),
            places: Places::default(),
            deleted: Ids::default(),
            cells: BTreeMap::new(),
        }
    }

    /// Who edits here.
    pub fn client(&self) -> Client {
        self.client
    }

    /// How far each client's items are known.
    pub fn vector(&self) -> &Vector {
        self.places.vector()
    }

    /// How many of a client's items are known.
    pub fn known(&self, client: Client) -> u32 {
        self.places.known(client)
    }

    /// Runs of items as the library keeps them, runs of items at one place, and runs of deleted ones: what merging and the past cost.
    /// The library does not tell the first: the document is written for it.
    pub fn runs(&self) -> [usize; 3] {
        let items = self.difference(&Vector::new()).block_count();
        [items, self.places.runs(), self.deleted.ranges()]
    }

    /// Bytes of all that is shown.
    pub fn content_bytes(&self) -> u64 {
        self.cells.values().map(View::bytes).sum()
    }

    /// Length of a text in scalar values.
    pub fn length(&self, cell: Cell) -> usize {
        match self.cells.get(&cell) {
            Some(View::Text(_, length)) => *length,
            _ => 0,
        }
    }

    /// Adds what is shown.
    pub fn render(&self, scope: Scope, out: &mut Rendering) {
        let first = |record| Cell { record, field: crate::document::FieldId(0) };
        let last = |record| Cell { record, field: crate::document::FieldId(u16::MAX) };
        let range = match scope {
            Scope::Cell(cell) => self.cells.range(cell..=cell),
            Scope::Record(record) => self.cells.range(first(record)..=last(record)),
            _ => self.cells.range(..),
        };
        for (cell, view) in range.filter(|(cell, _)| scope.contains(**cell)) {
            out.settled(*cell, view.content());
        }
    }

    /// What is shown in a register or set, or is counted, or the text.
    fn content(&self, cell: Cell) -> Option<Content> {
        self.cells.get(&cell).map(View::content)
    }

    /// Makes an edit: what to tell others of it, and what it hides.
    pub fn edit(&mut self, edit: &Edit) -> (Update, Vec<Hidden>) {
        let doc = self.doc.clone();
        let mut txn = doc.transact_mut();
        self.edit_in(&mut txn, edit);
        self.finish(txn, true)
    }

    fn edit_in(&mut self, txn: &mut TransactionMut<'_>, edit: &Edit) {
        match edit {
            Edit::Put { cell, value } => put(txn, *cell, value),
            Edit::Delete { record } => self.delete(txn, *record),
            Edit::Add { cell, amount } => add(txn, *cell, *amount),
            Edit::Insert { cell, element } => self.insert(txn, *cell, element),
            Edit::Remove { cell, element } => self.remove(txn, *cell, element),
            Edit::Splice { cell, at, delete, insert } => {
                self.splice(txn, *cell, *at, *delete, insert);
            }
            Edit::Resolve { cell, content, .. } => self.replace(txn, *cell, content),
        }
    }

    fn insert(&self, txn: &mut TransactionMut<'_>, cell: Cell, element: &Value) {
        let elements = txn.get_or_insert_map(ELEMENTS);
        elements.insert(txn, element_key(cell, self.client, element.as_str()), true);
    }

    fn remove(&self, txn: &mut TransactionMut<'_>, cell: Cell, element: &Value) {
        let Some(View::Set(shown)) = self.cells.get(&cell) else { return };
        let elements = txn.get_or_insert_map(ELEMENTS);
        for item in shown.get(element).into_iter().flatten() {
            elements.remove(txn, &element_key(cell, item.client, element.as_str()));
        }
    }

    fn splice(
        &mut self,
        txn: &mut TransactionMut<'_>,
        cell: Cell,
        at: usize,
        delete: usize,
        insert: &str,
    ) {
        let view = self.cells.entry(cell).or_insert_with(|| View::empty(FieldKind::Text));
        let View::Text(shown, length) = view else { return };
        let text = txn.get_or_insert_text(text_name(cell));
        let at = at.min(*length);
        let delete = delete.min(*length - at);
        let start = utf16_offset(shown, at);
        if delete > 0 {
            let end = utf16_offset(shown, at + delete);
            text.remove_range(txn, start as u32, (end - start) as u32);
        }
        if !insert.is_empty() {
            text.insert(txn, start as u32, insert);
        }
        splice(shown, at, delete, insert);
        *length = *length - delete + char_count(insert);
    }

    /// Removes what is shown of a record.
    fn delete(&mut self, txn: &mut TransactionMut<'_>, record: RecordId) {
        let cells: Vec<_> = self.schema.cells(record).collect();
        for (cell, _) in cells {
            self.empty(txn, cell);
        }
    }

    fn empty(&mut self, txn: &mut TransactionMut<'_>, cell: Cell) {
        match self.cells.get(&cell) {
            Some(View::Register(Some(_))) => {
                let registers = txn.get_or_insert_map(REGISTERS);
                registers.remove(txn, &register_key(cell));
            }
            Some(View::Counter(_)) => {
                let amounts = txn.get_or_insert_array(counter_name(cell));
                let count = amounts.len(txn);
                if count > 0 {
                    amounts.remove_range(txn, 0, count);
                }
            }
            Some(View::Set(shown)) => {
                let shown: Vec<Value> = shown.keys().cloned().collect();
                for element in shown {
                    self.remove(txn, cell, &element);
                }
            }
            Some(View::Text(_, length)) => self.splice(txn, cell, 0, *length, ""),
            Some(View::Register(None)) | None => {}
        }
    }

    /// Shows something else in a cell.
    fn replace(&mut self, txn: &mut TransactionMut<'_>, cell: Cell, content: &Content) {
        if self.content(cell).as_ref() != Some(content)
            && !matches!(content, Content::Register(Some(_)))
        {
            self.empty(txn, cell);
        }
        match content {
            Content::Register(Some(value)) => put(txn, cell, value),
            Content::Counter(sum) => add(txn, cell, *sum),
            Content::Set(elements) => {
                elements.iter().for_each(|element| self.insert(txn, cell, element));
            }
            Content::Text(text) => self.splice(txn, cell, 0, 0, text),
            Content::Register(None) => {}
        }
    }

    /// Checks what somebody else wrote.
    ///
    /// # Errors
    /// [`Fault`] where it cannot be taken in.
    pub fn check(&self, update: &Update) -> Result<(), Fault> {
        self.places.resolve(&self.schema, update).map(drop)
    }

    /// Takes in what was checked: what of it was new, and what it hides.
    ///
    /// # Errors
    /// [`Malformed`] where the library refuses it after all.
    pub fn apply(&mut self, update: &Update) -> Result<(Update, Vec<Hidden>), Malformed> {
        let read = ::yrs::Update::decode_v1(&update.write())
            .map_err(|_| Malformed("the library cannot read an update"))?;
        let doc = self.doc.clone();
        let mut txn = doc.transact_mut();
        txn.apply_update(read).map_err(|_| Malformed("the library refuses an update"))?;
        Ok(self.finish(txn, false))
    }

    /// Everything beyond a state vector, and all deletions.
    pub fn difference(&self, vector: &Vector) -> Update {
        let mut known = StateVector::default();
        for (client, clock) in vector {
            // Nobody knows more of a client than there is, as far as this document can tell.
            let clock = (*clock).min(self.known(*client));
            if clock > 0 {
                known.set_max(ClientID::new(*client), clock);
            }
        }
        let bytes = self.doc.transact().encode_diff_v1(&known);
        let mut update = read_own(&bytes);
        update.join_blocks();
        update
    }

    /// Ends a transaction and takes up what it did.
    fn finish(&mut self, mut txn: TransactionMut<'_>, is_own: bool) -> (Update, Vec<Hidden>) {
        txn.commit();
        let bytes = txn.encode_update_v1();
        let mut done = read_own(&bytes);
        done.join_blocks();
        let hidden = self.absorb(&txn, &done, is_own);
        (done, hidden)
    }

    /// Takes up what a transaction did. What an edit of one's own does to a text is known already.
    fn absorb(&mut self, txn: &TransactionMut<'_>, done: &Update, is_own: bool) -> Vec<Hidden> {
        let placed = self.places.resolve(&self.schema, done);
        let placed = placed.expect("what the library took in fits what was there");
        // Entries of registers that are new or were shown, by register.
        let mut rivals: BTreeMap<Cell, Vec<Rival>> = BTreeMap::new();
        let mut texts = BTreeSet::new();
        let mut counters = BTreeSet::new();
        let mut hidden = Vec::new();
        for (client, at, place) in placed {
            let block = &done.blocks[&client][at];
            let first = Id { client, clock: block.clock };
            match &place {
                Place::Register(cell) => {
                    let value = match &block.held {
                        Held::Values(values) => match values.first() {
                            Some(Any::Text(text)) => Some(Value::from(text.as_str())),
                            _ => None,
                        },
                        _ => None,
                    };
                    rivals.entry(*cell).or_default().push((first, block.end(), value));
                }
                Place::Counter(cell) => {
                    if let Held::Values(values) = &block.held {
                        let sum = values.iter().filter_map(read_amount);
                        let sum = sum.fold(0i64, i64::wrapping_add);
                        let view = self.cells.entry(*cell).or_insert(View::Counter(0));
                        if let View::Counter(shown) = view {
                            *shown = shown.wrapping_add(sum);
                        }
                    }
                }
                Place::Element(cell, element, _) => {
                    if matches!(block.held, Held::Values(_)) {
                        let empty = || View::empty(FieldKind::Set);
                        let view = self.cells.entry(*cell).or_insert_with(empty);
                        if let View::Set(shown) = view {
                            shown.entry(element.clone()).or_default().insert(first);
                        }
                    }
                }
                Place::Text(cell) => {
                    texts.insert(*cell);
                }
            }
            self.places.push(client, block.end(), place);
        }
        for (client, start, end) in done.deleted.iter() {
            for (start, end, place) in self.places.within(client, start, end) {
                match place {
                    Place::Register(cell) => {
                        rivals.entry(*cell).or_default();
                    }
                    Place::Counter(cell) => {
                        counters.insert(*cell);
                        let first = Id { client, clock: start };
                        hidden.push(Hidden { first, end, cell: *cell, by: None });
                    }
                    Place::Element(cell, element, _) => {
                        if let Some(View::Set(shown)) = self.cells.get_mut(cell)
                            && let Some(entries) = shown.get_mut(element)
                        {
                            entries.retain(|entry| {
                                entry.client != client || entry.clock < start || entry.clock >= end
                            });
                            if entries.is_empty() {
                                shown.remove(element);
                            }
                        }
                    }
                    Place::Text(cell) => {
                        texts.insert(*cell);
                    }
                }
            }
            self.deleted.insert(client, start, end);
        }
        for (cell, rivals) in rivals {
            self.settle_register(cell, rivals, &done.deleted, &mut hidden);
        }
        counters.into_iter().for_each(|cell| self.count_again(txn, cell));
        if !is_own {
            texts.into_iter().for_each(|cell| self.read_text(txn, cell));
        }
        hidden
    }

    /// Of all rival entries of a register the library keeps one at most, and deletes the others.
    fn settle_register(
        &mut self,
        cell: Cell,
        mut rivals: Vec<Rival>,
        deleted: &Ids,
        hidden: &mut Vec<Hidden>,
    ) {
        if let Some(View::Register(Some((item, value)))) = self.cells.get(&cell) {
            rivals.push((*item, item.clock + 1, Some(value.clone())));
        }
        let is_kept = |(item, _, value): &Rival| {
            value.clone().filter(|_| !deleted.contains(*item)).map(|value| (*item, value))
        };
        let kept = rivals.iter().find_map(is_kept);
        let by = kept.as_ref().map(|(item, _)| *item);
        let gone = rivals.iter().filter(|(item, ..)| Some(*item) != by);
        hidden.extend(gone.map(|(first, end, _)| Hidden { first: *first, end: *end, cell, by }));
        self.cells.insert(cell, View::Register(kept));
    }

    /// Sums up a counter that lost amounts.
    fn count_again(&mut self, txn: &TransactionMut<'_>, cell: Cell) {
        let amount = |out: Out| match out {
            Out::Any(::yrs::Any::String(text)) => text.parse().ok(),
            Out::Any(any) => i64::try_from(any).ok(),
            _ => None,
        };
        let amounts = txn.get_array(counter_name(cell).as_str());
        let sum = amounts.map_or(0, |amounts| {
            amounts.iter(txn).filter_map(amount).fold(0i64, i64::wrapping_add)
        });
        self.cells.insert(cell, View::Counter(sum));
    }

    fn read_text(&mut self, txn: &TransactionMut<'_>, cell: Cell) {
        let text = txn.get_text(text_name(cell).as_str());
        let text = text.map_or_else(String::new, |text| text.get_string(txn));
        let length = char_count(&text);
        self.cells.insert(cell, View::Text(text, length));
    }
}

fn put(txn: &mut TransactionMut<'_>, cell: Cell, value: &Value) {
    let registers = txn.get_or_insert_map(REGISTERS);
    registers.insert(txn, register_key(cell), value.as_str());
}

/// The newest amount comes first, which takes no walk along the list.
fn add(txn: &mut TransactionMut<'_>, cell: Cell, amount: i64) {
    let amounts = txn.get_or_insert_array(counter_name(cell));
    if amount.unsigned_abs() <= MOST_INTEGER {
        amounts.insert(txn, 0, amount);
    } else {
        amounts.insert(txn, 0, amount.to_string());
    }
}

/// Reads what the library wrote of what this strategy put in.
fn read_own(bytes: &[u8]) -> Update {
    Update::read(bytes).expect("the library writes what it was given")
}
