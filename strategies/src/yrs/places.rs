//! Which cell every item belongs to.
//!
//! | what | root type | entry |
//! |---|---|---|
//! | register | map `r` | `RECORD.FIELD`: its value |
//! | set | map `s` | `RECORD.FIELD.CLIENT.ELEMENT`: true; each client has an entry of its own, so that only what was seen is removed |
//! | counter | list `cRECORD.FIELD` | the amounts added |
//! | text | text `tRECORD.FIELD` | |
//!
//! An update says of most items only what their neighbours are. Where all items are is therefore kept here, and an update is checked
//! against it before the library sees it: the library trusts whoever wrote it.

use super::message::Vector;
use super::update::{Any, Block, Client, Held, Id, Update};
use crate::contract::Malformed;
use crate::document::{Cell, FieldId, FieldKind, RecordId, Schema, Value};
use std::collections::BTreeMap;

/// Name of the map of registers.
pub const REGISTERS: &str = "r";
/// Name of the map of sets' elements.
pub const ELEMENTS: &str = "s";

/// Where an item is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The value of a register.
    Register(Cell),
    /// An amount of a counter.
    Counter(Cell),
    /// A client's entry for an element of a set.
    Element(Cell, Value, Client),
    /// A stretch of a text.
    Text(Cell),
}

/// The key of a register.
pub fn register_key(cell: Cell) -> String {
    format!("{}.{}", cell.record.0, cell.field.0)
}

/// The key of a client's entry for an element.
pub fn element_key(cell: Cell, client: Client, element: &str) -> String {
    format!("{}.{}.{client}.{element}", cell.record.0, cell.field.0)
}

/// The name of a counter's list.
pub fn counter_name(cell: Cell) -> String {
    format!("c{}.{}", cell.record.0, cell.field.0)
}

/// The name of a text.
pub fn text_name(cell: Cell) -> String {
    format!("t{}.{}", cell.record.0, cell.field.0)
}

/// A cell from `RECORD.FIELD`, only as [`register_key`] writes it, so that a cell has one name.
fn read_cell(text: &str) -> Option<Cell> {
    let (record, field) = text.split_once('.')?;
    let cell = Cell { record: RecordId(record.parse().ok()?), field: FieldId(field.parse().ok()?) };
    (register_key(cell) == text).then_some(cell)
}

/// A place from the names in an update.
fn read_place(name: &str, key: Option<&str>, client: Client) -> Option<Place> {
    match (name, key) {
        (REGISTERS, Some(key)) => read_cell(key).map(Place::Register),
        (ELEMENTS, Some(key)) => {
            let mut parts = key.splitn(4, '.');
            let (record, field) = (parts.next()?, parts.next()?);
            let (owner, element) = (parts.next()?, parts.next()?);
            let cell = read_cell(&format!("{record}.{field}"))?;
            let is_own = owner == client.to_string();
            is_own.then(|| Place::Element(cell, element.into(), client))
        }
        (name, None) => match name.split_at_checked(1)? {
            ("c", cell) => read_cell(cell).map(Place::Counter),
            ("t", cell) => read_cell(cell).map(Place::Text),
            _ => None,
        },
        _ => None,
    }
}

/// The amount that an entry of a counter stands for. What 31 bits cannot hold is written as a string.
pub fn read_amount(value: &Any) -> Option<i64> {
    match value {
        Any::Integer(amount) => Some(*amount),
        Any::Text(text) => text.parse().ok().filter(|amount: &i64| amount.to_string() == *text),
        Any::True => None,
    }
}

impl Place {
    fn fits(&self, schema: &Schema, block: &Block, client: Client) -> bool {
        let (cell, kind) = match self {
            Place::Register(cell) => (cell, FieldKind::Register),
            Place::Counter(cell) => (cell, FieldKind::Counter),
            Place::Element(cell, ..) => (cell, FieldKind::Set),
            Place::Text(cell) => (cell, FieldKind::Text),
        };
        let is_keyed = matches!(self, Place::Register(_) | Place::Element(..));
        // What comes later in a map replaces what was there: nothing is put to the left of anything.
        let is_placed = block.keyed == is_keyed && !(is_keyed && block.right.is_some());
        let is_owned = match self {
            Place::Element(_, _, owner) => *owner == client,
            _ => true,
        };
        let holds = match (self, &block.held) {
            (_, Held::Deleted(_)) | (Place::Text(_), Held::Text(..)) => true,
            (Place::Register(_), Held::Values(values)) => matches!(values[..], [Any::Text(_)]),
            (Place::Element(..), Held::Values(values)) => matches!(values[..], [Any::True]),
            (Place::Counter(_), Held::Values(values)) => {
                values.iter().all(|value| read_amount(value).is_some())
            }
            _ => false,
        };
        schema.kind(cell.field) == Some(kind) && is_placed && is_owned && holds
    }
}

/// Items of one client at one place.
#[derive(Clone, Debug)]
struct Stretch {
    start: u32,
    end: u32,
    place: Place,
}

/// Why an update cannot be taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It builds on what is not here.
    Gap,
    /// It makes no sense.
    Nonsense(Malformed),
}

/// A block of an update by client and position, and where it is.
pub type Placed = (Client, usize, Place);

/// The places of all items.
#[derive(Clone, Debug, Default)]
pub struct Places {
    stretches: BTreeMap<Client, Vec<Stretch>>,
    count: usize,
    vector: Vector,
}

impl Places {
    /// How far each client's items are known.
    pub fn vector(&self) -> &Vector {
        &self.vector
    }

    /// How many of a client's items are known.
    pub fn known(&self, client: Client) -> u32 {
        self.vector.get(&client).copied().unwrap_or(0)
    }

    /// Number of runs of items that lie at one place.
    pub fn runs(&self) -> usize {
        self.count
    }

    /// Where an item is.
    fn of(&self, id: Id) -> Option<&Place> {
        place_in(self.stretches.get(&id.client)?, id.clock)
    }

    /// The places of a range of items: first clock, clock behind the last, place.
    pub fn within(
        &self,
        client: Client,
        start: u32,
        end: u32,
    ) -> impl Iterator<Item = (u32, u32, &Place)> {
        let all = self.stretches.get(&client).map_or(&[][..], Vec::as_slice);
        let from = all.partition_point(|stretch| stretch.end <= start);
        all[from..]
            .iter()
            .take_while(move |stretch| stretch.start < end)
            .map(move |stretch| (stretch.start.max(start), stretch.end.min(end), &stretch.place))
    }

    /// Notes where the next items of a client are.
    pub fn push(&mut self, client: Client, end: u32, place: Place) {
        let known = self.vector.entry(client).or_default();
        let stretches = self.stretches.entry(client).or_default();
        match stretches.last_mut() {
            Some(last) if last.place == place => last.end = end,
            _ => {
                stretches.push(Stretch { start: *known, end, place });
                self.count += 1;
            }
        }
        *known = end;
    }

    /// Where the blocks of an update that are new here belong, each after all that it builds on.
    ///
    /// # Errors
    /// [`Fault`] where the library could not take it in as it is.
    pub fn resolve(&self, schema: &Schema, update: &Update) -> Result<Vec<Placed>, Fault> {
        let mut pass = Pass {
            places: self,
            schema,
            update,
            next: BTreeMap::new(),
            fresh: BTreeMap::new(),
            placed: Vec::with_capacity(update.block_count()),
        };
        for (client, blocks) in &update.blocks {
            if blocks.first().is_some_and(|first| first.clock > self.known(*client)) {
                return Err(Fault::Gap);
            }
        }
        for client in update.blocks.keys() {
            pass.place_all(*client)?;
        }
        let beyond = |(client, _, end): (Client, u32, u32)| {
            let fresh = update.blocks.get(&client).and_then(|blocks| blocks.last());
            end > self.known(client).max(fresh.map_or(0, Block::end))
        };
        if update.deleted.iter().any(beyond) {
            return Err(Fault::Gap);
        }
        Ok(pass.placed)
    }
}

fn place_in(stretches: &[Stretch], clock: u32) -> Option<&Place> {
    let after = stretches.partition_point(|stretch| stretch.start <= clock);
    stretches[..after].last().filter(|stretch| clock < stretch.end).map(|stretch| &stretch.place)
}

/// One walk through an update, in an order in which every block comes after those it builds on.
struct Pass<'a> {
    places: &'a Places,
    schema: &'a Schema,
    update: &'a Update,
    /// The next block of each client.
    next: BTreeMap<Client, usize>,
    fresh: BTreeMap<Client, Vec<Stretch>>,
    placed: Vec<Placed>,
}

impl Pass<'_> {
    /// Places all blocks of a client, and before each of them as many of others as it needs.
    fn place_all(&mut self, client: Client) -> Result<(), Fault> {
        let mut waiting = vec![(client, u32::MAX)];
        while let Some((client, last)) = waiting.last().copied() {
            let at = *self.next.entry(client).or_default();
            let block = self.update.blocks[&client].get(at).filter(|block| block.clock <= last);
            let Some(block) = block else {
                waiting.pop();
                continue;
            };
            if block.end() > self.places.known(client)
                && let Some(needed) = self.place(client, at, block)?
            {
                // A client whose next block waits already cannot be waited for.
                if waiting.iter().any(|(waiting, _)| *waiting == needed.client) {
                    return Err(Fault::Gap);
                }
                waiting.push((needed.client, needed.clock));
                continue;
            }
            self.next.insert(client, at + 1);
        }
        Ok(())
    }

    /// Where an item is; nothing where it is not placed yet.
    fn find(&self, id: Id) -> Option<Place> {
        let fresh = || place_in(self.fresh.get(&id.client)?, id.clock);
        self.places.of(id).or_else(fresh).cloned()
    }

    /// Places a block, or names an item that must be placed before.
    fn place(&mut self, client: Client, at: usize, block: &Block) -> Result<Option<Id>, Fault> {
        let nonsense = |what| Err(Fault::Nonsense(Malformed(what)));
        let mut place = None;
        for id in block.origin.into_iter().chain(block.right) {
            let Some(found) = self.find(id) else {
                let comes = self.update.blocks.get(&id.client).and_then(|blocks| blocks.last());
                let comes = id.client != client && comes.is_some_and(|last| id.clock < last.end());
                return if comes { Ok(Some(id)) } else { Err(Fault::Gap) };
            };
            if place.as_ref().is_some_and(|place| *place != found) {
                return nonsense("a block's neighbours are at different places");
            }
            place = Some(found);
        }
        if let Some((name, key)) = &block.parent {
            place = read_place(name, key.as_deref(), client);
        }
        let Some(place) = place.filter(|place| place.fits(self.schema, block, client)) else {
            return nonsense("a block does not fit where it is");
        };
        let known = self.places.known(client);
        if block.clock < known
            && self.find(Id { client, clock: known - 1 }).as_ref() != Some(&place)
        {
            return nonsense("the rest of a block is somewhere else");
        }
        let start = block.clock.max(known);
        let fresh = Stretch { start, end: block.end(), place: place.clone() };
        self.fresh.entry(client).or_default().push(fresh);
        self.placed.push((client, at, place));
        Ok(None)
    }
}
