//! Changes as they travel: each is a delta to one or more cells, named by consecutive dots of its author.

use super::causal::{Agent, Dot, Span, Version, insert_span};
use super::counter::Tally;
use super::sequence::{Claim, RUN_CHARS, TextOrder};
use super::stability::Said;
use crate::document::{Cell, FieldKind, Schema, Value, byte_offset};

/// What a change does. Whatever it hides is named by dots its author had seen; nothing else is touched, so that
/// concurrent changes survive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Puts a value in place of those seen.
    Put { cell: Cell, value: Value, seen: Vec<Dot> },
    /// Adds to a counter.
    Add { cell: Cell, amount: i64 },
    /// Inserts an element in place of its insertions seen.
    Insert { cell: Cell, element: Value, seen: Vec<Dot> },
    /// Inserts text behind one character, with what else decides its place; each character has a dot.
    Run { cell: Cell, left: Dot, claim: Claim, text: String },
    /// Hides what was seen of some cells.
    Hide { seen: Vec<(Cell, Seen)> },
    /// Says what its author has; no change of the document.
    Saw(Said),
}

/// What a change hides of one cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Values of a register.
    Values(Vec<Dot>),
    /// Additions to a counter.
    Tallies(Vec<(Agent, Tally)>),
    /// Insertions into a set.
    Insertions(Vec<Dot>),
    /// Characters of a text.
    Characters(Vec<Span>),
}

impl Seen {
    /// The kind of cell it speaks of.
    pub fn kind(&self) -> FieldKind {
        match self {
            Seen::Values(_) => FieldKind::Register,
            Seen::Tallies(_) => FieldKind::Counter,
            Seen::Insertions(_) => FieldKind::Set,
            Seen::Characters(_) => FieldKind::Text,
        }
    }

    /// Whether it hides nothing.
    pub fn is_empty(&self) -> bool {
        match self {
            Seen::Values(dots) | Seen::Insertions(dots) => dots.is_empty(),
            Seen::Tallies(tallies) => tallies.is_empty(),
            Seen::Characters(spans) => spans.is_empty(),
        }
    }

    /// Calls `visit` with the last dot it names of each piece.
    pub fn each_dot(&self, visit: &mut impl FnMut(Dot)) {
        match self {
            Seen::Values(dots) | Seen::Insertions(dots) => dots.iter().for_each(|dot| visit(*dot)),
            Seen::Tallies(tallies) => tallies
                .iter()
                .for_each(|(agent, tally)| visit(Dot { agent: *agent, counter: tally.through })),
            Seen::Characters(spans) => {
                spans.iter().for_each(|span| visit(span.first.plus(span.len - 1)));
            }
        }
    }
}

/// One change by one agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delta {
    /// Its first dot.
    pub first: Dot,
    /// How many consecutive dots it has; at least 1. A run has one for each character; hidings of text that follow one
    /// another are joined and have one for each edit.
    pub span: u64,
    /// What it does.
    pub op: Op,
}

impl Delta {
    /// Its last dot.
    pub fn last(&self) -> Dot {
        self.first.plus(self.span - 1)
    }

    /// Calls `visit` with every dot that it refers to from its `skip`-th dot on: of a span of characters the last one.
    pub fn each_reference(&self, skip: u64, mut visit: impl FnMut(Dot)) {
        match &self.op {
            Op::Add { .. } => {}
            Op::Put { seen, .. } | Op::Insert { seen, .. } => {
                seen.iter().for_each(|dot| visit(*dot));
            }
            Op::Run { left, claim, .. } => {
                visit(if skip == 0 { *left } else { self.first });
                if let Claim::Before(right) = claim {
                    visit(*right);
                }
            }
            Op::Hide { seen } => seen.iter().for_each(|(_, seen)| seen.each_dot(&mut visit)),
            Op::Saw(said) => said.has.iter().for_each(|dot| visit(*dot)),
        }
    }

    /// How many of its dots from the `skip`-th on are data.
    pub fn elements(&self, skip: u64) -> u64 {
        if let Op::Saw(_) = self.op { 0 } else { self.span - skip }
    }

    /// Calls `visit` with every cell that it changes.
    pub fn each_cell(&self, mut visit: impl FnMut(Cell)) {
        match &self.op {
            Op::Put { cell, .. } | Op::Add { cell, .. } => visit(*cell),
            Op::Insert { cell, .. } | Op::Run { cell, .. } => visit(*cell),
            Op::Hide { seen } => seen.iter().for_each(|(cell, _)| visit(*cell)),
            Op::Saw(_) => {}
        }
    }

    /// Whether everything that it refers to has been seen.
    pub fn is_ready(&self, have: &Version) -> bool {
        let mut ready = true;
        self.each_reference(0, |dot| ready &= have.covers(dot));
        ready
    }

    /// Whether every cell is of the kind that it takes it for, and text in the order that it takes it for.
    pub fn fits(&self, schema: &Schema, text_order: TextOrder) -> bool {
        let is = |cell: &Cell, kind| schema.kind(cell.field) == Some(kind);
        match &self.op {
            Op::Put { cell, .. } => is(cell, FieldKind::Register),
            Op::Add { cell, .. } => is(cell, FieldKind::Counter),
            Op::Insert { cell, .. } => is(cell, FieldKind::Set),
            Op::Run { cell, claim, .. } => is(cell, FieldKind::Text) && claim.order() == text_order,
            Op::Hide { seen } => seen.iter().all(|(cell, seen)| is(cell, seen.kind())),
            Op::Saw(_) => true,
        }
    }

    /// Bytes of user content in it, from the `skip`-th dot on: values and text; a counter's amount as many as it takes to write it.
    pub fn content_bytes(&self, skip: u64) -> u64 {
        match &self.op {
            Op::Put { value, .. } => value.as_str().len() as u64,
            Op::Insert { element, .. } => element.as_str().len() as u64,
            Op::Run { text, .. } => (text.len() - byte_offset(text, skip as usize)) as u64,
            Op::Add { amount, .. } => {
                let zigzag = (amount << 1 ^ amount >> 63) as u64;
                u64::from((64 - zigzag.leading_zeros()).max(1).div_ceil(7))
            }
            Op::Hide { .. } | Op::Saw(_) => 0,
        }
    }

    /// Bytes it takes in memory, about.
    pub fn memory_bytes(&self) -> u64 {
        let pieces = match &self.op {
            Op::Put { value, seen, .. } => value.as_str().len() + seen.len() * size_of::<Dot>(),
            Op::Insert { element, seen, .. } => {
                element.as_str().len() + seen.len() * size_of::<Dot>()
            }
            Op::Run { text, .. } => text.len(),
            Op::Add { .. } => 0,
            Op::Hide { seen } => {
                let mut named = 0;
                seen.iter().for_each(|(_, seen)| seen.each_dot(&mut |_| named += 1));
                seen.len() * size_of::<(Cell, Seen)>() + named * size_of::<Span>()
            }
            Op::Saw(said) => size_of_val(&said.has[..]) + size_of_val(&said.gone[..]),
        };
        (size_of::<Delta>() + pieces) as u64
    }

    /// Forgets its first `skip` dots, less than all of them: characters of a run. Joined hidings stay whole, as
    /// hiding twice does no harm.
    pub fn skip(&mut self, skip: u64) {
        if skip == 0 {
            return;
        }
        if let Op::Run { left, claim, text, .. } = &mut self.op {
            *left = self.first.plus(skip - 1);
            *claim = claim.of_later(skip);
            text.drain(..byte_offset(text, skip as usize));
        }
        self.first = self.first.plus(skip);
        self.span -= skip;
    }

    /// Forgets all but its first `len` dots, at least one. Joined hidings stay whole.
    pub fn keep(&mut self, len: u64) {
        if let Op::Run { text, .. } = &mut self.op {
            text.truncate(byte_offset(text, len as usize));
        }
        self.span = self.span.min(len);
    }

    /// Takes in the change that follows, where both together are again one change no longer to write than the two: typing that goes on, and deleting
    /// that goes on beside.
    pub fn absorb(&mut self, next: &Delta) -> bool {
        let together = self.span + next.span;
        if self.first.plus(self.span) != next.first || together > u64::from(RUN_CHARS) {
            return false;
        }
        let last = self.last();
        let absorbed = match (&mut self.op, &next.op) {
            (
                Op::Run { cell, claim, text, .. },
                Op::Run { cell: next_cell, left, claim: next_claim, text: more },
            ) => {
                let goes_on =
                    cell == next_cell && *left == last && claim.of_later(self.span) == *next_claim;
                if goes_on {
                    text.push_str(more);
                }
                goes_on
            }
            (Op::Hide { seen }, Op::Hide { seen: more }) => match (&mut seen[..], &more[..]) {
                (
                    [(cell, Seen::Characters(spans))],
                    [(next_cell, Seen::Characters(next_spans))],
                ) if cell == next_cell && next_spans.len() == 1 => {
                    let beside = |span: &Span| {
                        span.end() == next_spans[0].first || next_spans[0].end() == span.first
                    };
                    let goes_on = spans.iter().any(beside);
                    if goes_on {
                        insert_span(spans, next_spans[0]);
                    }
                    goes_on
                }
                _ => false,
            },
            _ => false,
        };
        self.span += if absorbed { next.span } else { 0 };
        absorbed
    }
}
