//! What travels and what is logged: events, named by consecutive dots of their author.

use super::graph::Time;
use super::ops::Kind;
use crate::crdt::causal::{Agent, Dot, Version};
use crate::crdt::counter::Tally;
use crate::document::{Cell, FieldKind, ReplicaId, Schema, Value, byte_offset};

/// What an event does, where `T` says what is typed and deleted in a text: the text's own graph has it, or a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act<T> {
    /// Puts a value in place of those seen.
    Put { cell: Cell, value: Value, seen: Vec<Dot> },
    /// Adds to a counter.
    Add { cell: Cell, amount: i64 },
    /// Inserts an element in place of its insertions seen.
    Insert { cell: Cell, element: Value, seen: Vec<Dot> },
    /// Hides what was seen of some cells.
    Hide { seen: Vec<(Cell, Seen)> },
    /// Edits a text; each character inserted or deleted has a dot.
    Type { cell: Cell, typed: T },
    /// Says what its author has, since it said so last, and who it takes to be gone: so everybody learns what everybody has.
    Saw { has: Vec<Dot>, gone: Vec<ReplicaId> },
}

/// What an event hides of one cell that is no text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Values of a register.
    Values(Vec<Dot>),
    /// Additions to a counter.
    Tallies(Vec<(Agent, Tally)>),
    /// Insertions into a set.
    Insertions(Vec<Dot>),
}

impl Seen {
    /// The kind of cell it speaks of.
    pub fn kind(&self) -> FieldKind {
        match self {
            Seen::Values(_) => FieldKind::Register,
            Seen::Tallies(_) => FieldKind::Counter,
            Seen::Insertions(_) => FieldKind::Set,
        }
    }

    /// How many things it names.
    pub fn len(&self) -> usize {
        match self {
            Seen::Values(dots) | Seen::Insertions(dots) => dots.len(),
            Seen::Tallies(tallies) => tallies.len(),
        }
    }

    fn each_dot(&self, visit: &mut impl FnMut(Dot)) {
        match self {
            Seen::Values(dots) | Seen::Insertions(dots) => dots.iter().for_each(|dot| visit(*dot)),
            Seen::Tallies(tallies) => tallies
                .iter()
                .for_each(|(agent, tally)| visit(Dot { agent: *agent, counter: tally.through })),
        }
    }
}

/// What was typed and deleted in one text, each edit made right after the one before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Typed {
    /// The heads of the version that the first edit was made in.
    pub parents: Vec<Dot>,
    /// Kind, position and number of the edits of each run; a backspace never goes beyond the start of the text.
    pub runs: Vec<(Kind, usize, usize)>,
    /// What the insertions inserted, one after another.
    pub text: String,
}

impl Typed {
    /// How many edits that are.
    pub fn span(&self) -> u64 {
        self.runs.iter().map(|(_, _, len)| *len as u64).sum()
    }

    /// Forgets the first `skip` edits, less than all of them; `before` is the name of the last of these.
    pub fn skip(&mut self, skip: u64, before: Dot) {
        let mut skip = skip as usize;
        if skip == 0 {
            return;
        }
        self.parents = vec![before];
        let (mut runs, mut chars) = (0, 0);
        for (kind, pos, len) in &mut self.runs {
            let part = skip.min(*len);
            chars += if *kind == Kind::Insert { part } else { 0 };
            if part < *len {
                *pos = match kind {
                    Kind::Insert => *pos + part,
                    Kind::Delete => *pos,
                    Kind::Backspace => *pos - part,
                };
                *len -= part;
                break;
            }
            skip -= part;
            runs += 1;
        }
        self.runs.drain(..runs);
        self.text.drain(..byte_offset(&self.text, chars));
    }
}

impl<T> Event<T> {
    /// The same event where `T` does not matter, since it is not typed.
    ///
    /// # Panics
    /// Where it is.
    pub fn untyped<U>(&self) -> Event<U> {
        let act = match &self.act {
            Act::Put { cell, value, seen } => {
                Act::Put { cell: *cell, value: value.clone(), seen: seen.clone() }
            }
            Act::Add { cell, amount } => Act::Add { cell: *cell, amount: *amount },
            Act::Insert { cell, element, seen } => {
                Act::Insert { cell: *cell, element: element.clone(), seen: seen.clone() }
            }
            Act::Hide { seen } => Act::Hide { seen: seen.clone() },
            Act::Saw { has, gone } => Act::Saw { has: has.clone(), gone: gone.clone() },
            Act::Type { .. } => unreachable!("the caller looked"),
        };
        Event { first: self.first, span: self.span, act }
    }

    /// The same event where `T` does not matter; `None` where it is typed.
    pub fn into_untyped<U>(self) -> Option<Event<U>> {
        let act = match self.act {
            Act::Put { cell, value, seen } => Act::Put { cell, value, seen },
            Act::Add { cell, amount } => Act::Add { cell, amount },
            Act::Insert { cell, element, seen } => Act::Insert { cell, element, seen },
            Act::Hide { seen } => Act::Hide { seen },
            Act::Saw { has, gone } => Act::Saw { has, gone },
            Act::Type { .. } => return None,
        };
        Some(Event { first: self.first, span: self.span, act })
    }
}

/// Where a text's graph has what was typed: from this time on.
pub type Passage = Time;

/// One event, or some edits of one text, by one agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event<T> {
    /// Its first dot.
    pub first: Dot,
    /// How many consecutive dots it has; at least 1, and 1 unless it is typed.
    pub span: u64,
    /// What it does.
    pub act: Act<T>,
}

impl<T> Event<T> {
    /// Its last dot.
    pub fn last(&self) -> Dot {
        self.first.plus(self.span - 1)
    }

    /// Calls `visit` with every dot that it refers to, those of a text's versions left aside.
    pub fn each_reference(&self, mut visit: impl FnMut(Dot)) {
        match &self.act {
            Act::Add { .. } | Act::Type { .. } => {}
            Act::Put { seen, .. } | Act::Insert { seen, .. } => {
                seen.iter().for_each(|dot| visit(*dot));
            }
            Act::Hide { seen } => seen.iter().for_each(|(_, seen)| seen.each_dot(&mut visit)),
            Act::Saw { has, .. } => has.iter().for_each(|dot| visit(*dot)),
        }
    }

    /// Whether everything that it refers to has been seen, those of a text's versions left aside.
    pub fn is_ready(&self, have: &Version) -> bool {
        let mut ready = true;
        // An author has seen all that is in front of the event itself.
        let own = |dot: Dot| dot.agent == self.first.agent && dot.counter < self.first.counter;
        self.each_reference(|dot| ready &= have.covers(dot) || own(dot));
        ready
    }

    /// Whether every cell is of the kind that it takes it for.
    pub fn fits(&self, schema: &Schema) -> bool {
        let is = |cell: &Cell, kind| schema.kind(cell.field) == Some(kind);
        match &self.act {
            Act::Put { cell, .. } => is(cell, FieldKind::Register),
            Act::Add { cell, .. } => is(cell, FieldKind::Counter),
            Act::Insert { cell, .. } => is(cell, FieldKind::Set),
            Act::Type { cell, .. } => is(cell, FieldKind::Text),
            Act::Hide { seen } => seen.iter().all(|(cell, seen)| is(cell, seen.kind())),
            Act::Saw { .. } => true,
        }
    }

    /// Bytes of user content in it, what is typed left aside: values; a counter's amount as many as it takes to write it.
    pub fn content_bytes(&self) -> u64 {
        match &self.act {
            Act::Put { value, .. } => value.as_str().len() as u64,
            Act::Insert { element, .. } => element.as_str().len() as u64,
            Act::Add { amount, .. } => {
                let zigzag = (amount << 1 ^ amount >> 63) as u64;
                u64::from((64 - zigzag.leading_zeros()).max(1).div_ceil(7))
            }
            Act::Hide { .. } | Act::Type { .. } | Act::Saw { .. } => 0,
        }
    }

    /// Bytes it takes in memory, about, what is typed left aside.
    pub fn memory_bytes(&self) -> u64 {
        let pieces = match &self.act {
            Act::Put { value, seen, .. } => value.as_str().len() + size_of_val(&seen[..]),
            Act::Insert { element, seen, .. } => element.as_str().len() + size_of_val(&seen[..]),
            Act::Add { .. } | Act::Type { .. } => 0,
            Act::Hide { seen } => {
                let named = seen.iter().map(|(_, seen)| seen.len()).sum::<usize>();
                size_of_val(&seen[..]) + named * size_of::<Dot>()
            }
            Act::Saw { has, gone } => size_of_val(&has[..]) + size_of_val(&gone[..]),
        };
        (size_of::<Event<T>>() + pieces) as u64
    }
}
