//! A whole document as bytes, as peers that are too far behind get it, and as it survives a restart.

use super::causal::{Agent, Dot, Version};
use super::cells::{Cells, State};
use super::codec::Dots;
use super::counter::{Counter, Share, Tally};
use super::register::Register;
use super::sequence::{Sequence, TextOrder};
use super::set::Set;
use crate::contract::Malformed;
use crate::document::{Cell, FieldKind, Schema};
use crate::wire::{Reader, Writer};
use std::collections::{BTreeMap, BTreeSet};

/// Appends the document of a replica that has `have`.
pub fn write_cells(writer: &mut Writer, have: &Version, cells: &Cells) {
    let agents = have.agents();
    let mut dots = Dots::of(agents.clone());
    writer.count(cells.states().len());
    for (cell, state) in cells.states() {
        writer.cell(*cell);
        write_state(writer, &mut dots, &agents, state, true);
    }
}

/// Appends one cell, all of whose dots are of these agents, without what only reports need.
pub fn write_bare_cell(writer: &mut Writer, agents: &[Agent], state: &State) {
    write_state(writer, &mut Dots::of(agents.to_vec()), agents, state, false);
}

fn write_state(
    writer: &mut Writer,
    dots: &mut Dots,
    agents: &[Agent],
    state: &State,
    for_reports: bool,
) {
    match state {
        State::Register(register) => write_register(writer, dots, register),
        State::Counter(counter) => write_counter(writer, dots, counter, for_reports),
        State::Set(set) => write_set(writer, dots, set),
        State::Text(text) => text.write(writer, agents),
    }
}

/// Appends a register.
pub fn write_register(writer: &mut Writer, dots: &mut Dots, register: &Register) {
    writer.count(register.values().len());
    for (dot, value) in register.values() {
        dots.write(writer, *dot);
        writer.str(value.as_str());
    }
}

/// Appends a counter.
pub fn write_counter(writer: &mut Writer, dots: &mut Dots, counter: &Counter, for_reports: bool) {
    writer.count(counter.shares().len());
    for (agent, share) in counter.shares() {
        for tally in [share.added, share.reset] {
            dots.write(writer, Dot { agent: *agent, counter: tally.through });
            writer.int(tally.sum);
        }
    }
    let none = BTreeSet::new();
    let standing = if for_reports { counter.standing() } else { &none };
    writer.count(standing.len());
    standing.iter().for_each(|dot| dots.write(writer, *dot));
}

/// Appends a set.
pub fn write_set(writer: &mut Writer, dots: &mut Dots, set: &Set) {
    writer.count(set.insertions().len());
    for (dot, element) in set.insertions() {
        dots.write(writer, *dot);
        writer.str(element.as_str());
    }
}

/// Reads what [`write_bare_cell`] wrote, with the agents of `have`.
///
/// # Errors
/// [`Malformed`] where it makes no sense, or names a dot that `have` does not cover.
pub fn read_cell(
    bytes: &[u8],
    have: &Version,
    kind: FieldKind,
    text_order: TextOrder,
) -> Result<State, Malformed> {
    let mut reader = Reader::new(bytes);
    let mut one = CellReader::new(have);
    let state = one.state(&mut reader, kind, text_order)?;
    reader.end()?;
    Ok(state)
}

/// Reads what [`write_cells`] wrote.
///
/// # Errors
/// [`Malformed`] where it makes no sense, or names a dot that `have` does not cover.
pub fn read_cells(
    reader: &mut Reader<'_>,
    have: &Version,
    schema: &Schema,
    text_order: TextOrder,
) -> Result<Cells, Malformed> {
    let mut all = CellReader::new(have);
    let mut states: BTreeMap<Cell, State> = BTreeMap::new();
    for _ in 0..reader.count(3)? {
        let cell = reader.cell()?;
        if states.last_key_value().is_some_and(|(last, _)| *last >= cell) {
            return Err(Malformed("cells are not ascending"));
        }
        let kind = schema.kind(cell.field).ok_or(Malformed("no such field"))?;
        let state = all.state(reader, kind, text_order)?;
        states.insert(cell, state);
    }
    Ok(Cells::from_states(text_order, states))
}

/// Reads the cells of a document, all dots of which its version covers.
pub struct CellReader<'a> {
    have: &'a Version,
    /// Where the last dot of each agent was.
    pub dots: Dots,
}

impl<'a> CellReader<'a> {
    /// Of the document of a replica that has `have`.
    pub fn new(have: &'a Version) -> Self {
        CellReader { have, dots: Dots::of(have.agents()) }
    }

    fn state(
        &mut self,
        reader: &mut Reader<'_>,
        kind: FieldKind,
        text_order: TextOrder,
    ) -> Result<State, Malformed> {
        Ok(match kind {
            FieldKind::Register => State::Register(self.register(reader)?),
            FieldKind::Counter => State::Counter(self.counter(reader)?),
            FieldKind::Set => State::Set(self.set(reader)?),
            FieldKind::Text => State::Text(Sequence::read(reader, text_order, self.have)?),
        })
    }

    fn dot(&mut self, reader: &mut Reader<'_>) -> Result<Dot, Malformed> {
        let dot = self.dots.read(reader)?;
        if self.have.covers(dot) { Ok(dot) } else { Err(Malformed("a dot nobody has made")) }
    }

    fn some_dot(&mut self, reader: &mut Reader<'_>) -> Result<Dot, Malformed> {
        let dot = self.dot(reader)?;
        if dot.is_none() { Err(Malformed("a dot is missing")) } else { Ok(dot) }
    }

    /// Reads a register.
    ///
    /// # Errors
    /// [`Malformed`] where it makes no sense, or names a dot that the version does not cover.
    pub fn register(&mut self, reader: &mut Reader<'_>) -> Result<Register, Malformed> {
        let mut values = Vec::new();
        for _ in 0..reader.count(2)? {
            values.push((self.some_dot(reader)?, reader.value()?));
        }
        Ok(Register::from_values(values))
    }

    /// Reads a counter.
    ///
    /// # Errors
    /// [`Malformed`] where it makes no sense, or names a dot that the version does not cover.
    pub fn counter(&mut self, reader: &mut Reader<'_>) -> Result<Counter, Malformed> {
        let mut shares = BTreeMap::new();
        for _ in 0..reader.count(4)? {
            let mut agent = None;
            let mut tally = || {
                let dot = self.dot(reader)?;
                agent = agent.or((!dot.is_none()).then_some(dot.agent));
                let same = dot.is_none() || agent == Some(dot.agent);
                let tally = Tally { through: dot.counter, sum: reader.int()? };
                if same { Ok(tally) } else { Err(Malformed("a share of two agents")) }
            };
            let share = Share { added: tally()?, reset: tally()? };
            shares.insert(agent.ok_or(Malformed("a share of nobody"))?, share);
        }
        let mut standing = BTreeSet::new();
        for _ in 0..reader.count(1)? {
            standing.insert(self.some_dot(reader)?);
        }
        Ok(Counter::from_parts(shares, standing))
    }

    /// Reads a set.
    ///
    /// # Errors
    /// [`Malformed`] where it makes no sense, or names a dot that the version does not cover.
    pub fn set(&mut self, reader: &mut Reader<'_>) -> Result<Set, Malformed> {
        let mut set = Set::default();
        for _ in 0..reader.count(2)? {
            let dot = self.some_dot(reader)?;
            if set.insertions().contains_key(&dot) {
                return Err(Malformed("an insertion twice"));
            }
            set.insert(dot, reader.value()?, &[]);
        }
        Ok(set)
    }
}
