//! A whole state as bytes, cell by cell. Each cell is written for itself, so that only those that changed are written again, and a receiver
//! passes over those of which it has the same bytes: what would be joined is here.

use super::group::{share_content_bytes, share_elements};
use crate::contract::Malformed;
use crate::crdt::causal::{Agent, Version};
use crate::crdt::cells::{Cells, State};
use crate::crdt::snapshot::write_bare_cell;
use crate::document::Cell;
use crate::wire::{Reader, Writer};
use std::collections::{BTreeMap, BTreeSet};

/// The cells of a replica as bytes. It can be made anew at any time, and is not saved.
#[derive(Debug, Default)]
pub struct Whole {
    /// The agents whose dots the bytes name, by number. With other agents all is other bytes.
    agents: Vec<Agent>,
    cells: BTreeMap<Cell, Written>,
    /// Cells that changed since they were written.
    stale: BTreeSet<Cell>,
    /// Join-irreducible elements in it.
    pub elements: u64,
    /// Bytes of user content in it.
    pub content_bytes: u64,
}

/// One cell.
#[derive(Debug, Default)]
struct Written {
    bytes: Vec<u8>,
    elements: u64,
    content_bytes: u64,
    /// The bytes of another replica that were joined last: a text can be written in more than one way.
    joined: Vec<u8>,
}

impl Whole {
    /// A cell changed.
    pub fn touch(&mut self, cell: Cell) {
        self.stale.insert(cell);
    }

    /// Notes that what another replica wrote of a cell is joined with it.
    pub fn note_joined(&mut self, cell: Cell, bytes: &[u8]) {
        bytes.clone_into(&mut self.cells.entry(cell).or_default().joined);
    }

    /// Whether a cell as another replica that names agents by the same numbers wrote it tells nothing new.
    pub fn is_known(&self, cell: Cell, bytes: &[u8]) -> bool {
        let written = self.cells.get(&cell);
        written.is_some_and(|own| own.bytes == bytes || own.joined == bytes)
    }

    /// Whether a replica with this version names agents by the same numbers.
    pub fn is_alike(&self, version: &Version) -> bool {
        self.agents == version.agents()
    }

    /// Writes again what changed. Returns how many cells that were.
    pub fn refresh(&mut self, have: &Version, cells: &Cells) -> u64 {
        let agents = have.agents();
        if self.agents != agents {
            self.cells.values_mut().for_each(|written| written.joined.clear());
            self.stale.extend(cells.states().keys());
            self.agents = agents;
        }
        if self.cells.len() < cells.states().len() {
            // A cell that nobody wrote to may be there all the same, with nothing in it.
            let new = cells.states().keys().filter(|cell| !self.cells.contains_key(cell));
            self.stale.extend(new);
        }
        let stale = std::mem::take(&mut self.stale);
        for cell in &stale {
            let Some(state) = cells.states().get(cell) else { continue };
            let mut writer = Writer::new();
            write_bare_cell(&mut writer, &self.agents, state);
            let written = self.cells.entry(*cell).or_default();
            self.elements -= written.elements;
            self.content_bytes -= written.content_bytes;
            written.bytes = writer.finish();
            (written.elements, written.content_bytes) = measure(state);
            self.elements += written.elements;
            self.content_bytes += written.content_bytes;
        }
        stale.len() as u64
    }

    /// All of it, as it was last written.
    pub fn bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.count(self.cells.len());
        for (cell, written) in &self.cells {
            writer.cell(*cell);
            writer.blob(&written.bytes);
        }
        writer.finish()
    }
}

/// The cells of a whole state, in order, and the bytes of each.
///
/// # Errors
/// [`Malformed`] where cells are not ascending, or the bytes end early or late.
pub fn split(bytes: &[u8]) -> Result<Vec<(Cell, &[u8])>, Malformed> {
    let mut reader = Reader::new(bytes);
    let mut cells: Vec<(Cell, &[u8])> = Vec::new();
    for _ in 0..reader.count(3)? {
        let cell = reader.cell()?;
        if cells.last().is_some_and(|(last, _)| *last >= cell) {
            return Err(Malformed("cells are not ascending"));
        }
        cells.push((cell, reader.blob()?));
    }
    reader.end()?;
    Ok(cells)
}

/// Elements of a cell, and bytes of user content.
fn measure(state: &State) -> (u64, u64) {
    match state {
        State::Register(register) => {
            let lengths = register.values().iter().map(|(_, v)| v.as_str().len() as u64);
            (register.values().len() as u64, lengths.sum())
        }
        State::Counter(counter) => {
            let shares = counter.shares().values();
            (shares.clone().map(share_elements).sum(), shares.map(share_content_bytes).sum())
        }
        State::Set(set) => {
            let lengths = set.insertions().values().map(|e| e.as_str().len() as u64);
            (set.insertions().len() as u64, lengths.sum())
        }
        State::Text(text) => {
            let characters = text.runs().map(|run| u64::from(run.len)).sum();
            (characters, text.footprint().content_bytes)
        }
    }
}
