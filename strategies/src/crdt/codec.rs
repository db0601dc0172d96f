//! How dots and changes are written: agents once in a table, dots as differences from dots named before.

use super::causal::{Agent, COUNTER_MAX, Dot, Span, Version};
use super::counter::Tally;
use super::op::{Delta, Op, Seen};
use super::sequence::{Claim, RUN_CHARS};
use super::stability::Said;
use crate::contract::Malformed;
use crate::document::{Cell, byte_offset, char_count};
use crate::wire::{Reader, Writer};

/// Writes and reads dots. A dot is one integer: the difference of its counter from the agent's last one, mixed with the agent's
/// place in the table.
#[derive(Clone, Debug)]
pub struct Dots {
    table: Vec<Agent>,
    last: Vec<u64>,
    used: Vec<bool>,
}

impl Dots {
    /// Dots of these agents, in any order.
    pub fn of(mut agents: Vec<Agent>) -> Self {
        agents.sort_unstable();
        agents.dedup();
        let count = agents.len();
        Dots { table: agents, last: vec![0; count], used: vec![false; count] }
    }

    /// Writes the table.
    pub fn write_table(&self, writer: &mut Writer) {
        writer.count(self.table.len());
        for agent in &self.table {
            agent.write(writer);
        }
    }

    /// Reads a table, the agents ascending.
    ///
    /// # Errors
    /// [`Malformed`] where they are not.
    pub fn read_table(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut agents = Vec::new();
        for _ in 0..reader.count(1)? {
            let agent = Agent::read(reader)?;
            if agents.last().is_some_and(|last| *last >= agent) {
                return Err(Malformed("agents are not ascending"));
            }
            agents.push(agent);
        }
        Ok(Dots::of(agents))
    }

    /// The place of an agent in the table, which names it.
    pub fn place(&self, agent: Agent) -> usize {
        self.table.binary_search(&agent).expect("the table holds every agent that is written")
    }

    /// Takes a dot as the last one of its agent.
    pub fn remember(&mut self, place: usize, counter: u64) {
        self.last[place] = counter;
        self.used[place] = true;
    }

    /// The agent at a place of the table.
    pub fn agent(&self, place: u64) -> Option<Agent> {
        usize::try_from(place).ok().and_then(|place| self.table.get(place)).copied()
    }

    /// Whether a dot of every agent was written or read.
    pub fn all_used(&self) -> bool {
        !self.used.contains(&false)
    }

    /// Writes a dot, or none.
    pub fn write(&mut self, writer: &mut Writer, dot: Dot) {
        let choices = self.table.len() as u64 + 1;
        if dot.is_none() {
            writer.uint(choices - 1);
            return;
        }
        let place = self.place(dot.agent);
        let difference = dot.counter.wrapping_sub(self.last[place]) as i64;
        let zigzag = (difference << 1 ^ difference >> 63) as u64;
        let code = zigzag.checked_mul(choices).and_then(|code| code.checked_add(place as u64));
        writer.uint(code.expect("counters are small, being contiguous"));
        self.remember(place, dot.counter);
    }

    /// Reads a dot, or none.
    ///
    /// # Errors
    /// [`Malformed`] where the counter is out of range.
    pub fn read(&mut self, reader: &mut Reader<'_>) -> Result<Dot, Malformed> {
        let code = reader.uint()?;
        let choices = self.table.len() as u64 + 1;
        let (zigzag, place) = (code / choices, (code % choices) as usize);
        let difference = (zigzag >> 1) as i64 ^ -((zigzag & 1) as i64);
        let Some(agent) = self.table.get(place).copied() else {
            let is_plain = zigzag == 0;
            return if is_plain { Ok(Dot::NONE) } else { Err(Malformed("no dot with a counter")) };
        };
        let counter = self.last[place].wrapping_add(difference as u64);
        if counter == 0 || counter > COUNTER_MAX {
            return Err(Malformed("counter out of range"));
        }
        self.remember(place, counter);
        Ok(Dot { agent, counter })
    }

    /// Reads a dot that is one.
    ///
    /// # Errors
    /// [`Malformed`] as for [`Dots::read`], or where there is none.
    pub fn read_some(&mut self, reader: &mut Reader<'_>) -> Result<Dot, Malformed> {
        let dot = self.read(reader)?;
        if dot.is_none() { Err(Malformed("a dot is missing")) } else { Ok(dot) }
    }

    /// Whether an agent of the table was never named.
    pub fn has_unused(&self) -> bool {
        self.used.contains(&false)
    }

    /// Writes some dots, with their number.
    pub fn write_list(&mut self, writer: &mut Writer, dots: &[Dot]) {
        writer.count(dots.len());
        for dot in dots {
            self.write(writer, *dot);
        }
    }

    /// Reads what [`Dots::write_list`] wrote.
    ///
    /// # Errors
    /// [`Malformed`] as for [`Dots::read_some`].
    pub fn read_list(&mut self, reader: &mut Reader<'_>) -> Result<Vec<Dot>, Malformed> {
        (0..reader.count(1)?).map(|_| self.read_some(reader)).collect()
    }
}

/// A change to write, and how many of its dots the receiver has.
pub type Piece<'a> = (&'a Delta, u64);

const PUT: u8 = 0;
const ADD: u8 = 1;
const INSERT: u8 = 2;
const RUN: u8 = 3;
const HIDE: u8 = 4;
const HIDE_MANY: u8 = 5;
/// A run that says when it was typed instead of what it was typed before.
const RUN_TIMED: u8 = 6;
/// What the author has; in no cell.
const SAW: u8 = 7;
/// The cell is that of the change before.
const SAME_CELL: u8 = 1 << 3;
/// Nothing was seen that is to be hidden; of a hiding: it has one dot.
const PLAIN: u8 = 1 << 4;
/// Of a hiding: the kind of cell, in two bits.
const KIND_SHIFT: u8 = 5;

/// Writes changes to the end of a message: a table of agents, then blocks of consecutive changes by one agent.
pub fn write_deltas(writer: &mut Writer, pieces: &[Piece<'_>]) {
    let mut agents = Vec::new();
    for (delta, skip) in pieces {
        agents.push(delta.first.agent);
        delta.each_reference(*skip, |dot| {
            if !dot.is_none() {
                agents.push(dot.agent);
            }
        });
    }
    let mut deltas = DeltaWriter { dots: Dots::of(agents), cell: None, time: 0 };
    deltas.dots.write_table(writer);
    let mut rest = pieces;
    while let Some((first, skip)) = rest.first() {
        let mut count = 1;
        while rest.get(count).is_some_and(|(next, skip)| {
            *skip == 0 && next.first == rest[count - 1].0.first.plus(rest[count - 1].0.span)
        }) {
            count += 1;
        }
        let (block, after) = rest.split_at(count);
        writer.count(deltas.dots.place(first.first.agent));
        writer.uint(first.first.counter + skip);
        writer.count(count);
        for (delta, skip) in block {
            deltas.write(writer, delta, *skip);
        }
        rest = after;
    }
}

/// Reads what [`write_deltas`] wrote, to the end of the message.
///
/// # Errors
/// [`Malformed`] where it makes no sense whatever the schema is.
pub fn read_deltas(reader: &mut Reader<'_>) -> Result<Vec<Delta>, Malformed> {
    let dots = Dots::read_table(reader)?;
    let mut all = DeltaReader { dots, cell: None, time: 0 };
    let mut deltas = Vec::new();
    while !reader.is_empty() {
        let place = reader.uint()?;
        let agent = usize::try_from(place).ok().and_then(|place| all.dots.table.get(place));
        let agent = *agent.ok_or(Malformed("author is not in the table"))?;
        let mut counter = reader.uint()?;
        for _ in 0..reader.count(2)? {
            let delta = all.read(reader, Dot { agent, counter })?;
            counter += delta.span;
            deltas.push(delta);
        }
    }
    if all.dots.has_unused() {
        return Err(Malformed("table names an agent without use"));
    }
    Ok(deltas)
}

/// A change as an operation of its own, and what its author had seen since the one before.
pub type Operation<'a> = (&'a Delta, &'a Version);

/// Writes operations to the end of a message: a table of agents, then each one with its name, what its author had seen since the one before,
/// and what it does.
pub fn write_operations(writer: &mut Writer, operations: &[Operation<'_>]) {
    let mut agents = Vec::new();
    for (delta, saw) in operations {
        agents.push(delta.first.agent);
        agents.extend(saw.iter().map(|(agent, _)| agent));
        delta.each_reference(0, |dot| {
            if !dot.is_none() {
                agents.push(dot.agent);
            }
        });
    }
    let mut all = DeltaWriter { dots: Dots::of(agents), cell: None, time: 0 };
    all.dots.write_table(writer);
    for (delta, saw) in operations {
        all.dots.write(writer, delta.first);
        writer.count(saw.iter().count());
        for (agent, counter) in saw.iter() {
            all.dots.write(writer, Dot { agent, counter });
        }
        all.write(writer, delta, 0);
    }
}

/// Reads what [`write_operations`] wrote, to the end of the message.
///
/// # Errors
/// [`Malformed`] where it makes no sense whatever the schema is.
pub fn read_operations(reader: &mut Reader<'_>) -> Result<Vec<(Delta, Version)>, Malformed> {
    let dots = Dots::read_table(reader)?;
    let mut all = DeltaReader { dots, cell: None, time: 0 };
    let mut operations = Vec::new();
    while !reader.is_empty() {
        let first = all.dots.read_some(reader)?;
        let (mut saw, mut last) = (Version::new(), None);
        for _ in 0..reader.count(1)? {
            let dot = all.dots.read_some(reader)?;
            let ascends = last.is_none_or(|last| last < dot.agent);
            if !ascends || dot.agent == first.agent || dot.agent >= Agent::GENESIS {
                return Err(Malformed("an operation stands on what it cannot"));
            }
            last = Some(dot.agent);
            saw.raise(dot.agent, dot.counter);
        }
        operations.push((all.read(reader, first)?, saw));
    }
    if all.dots.used.contains(&false) {
        return Err(Malformed("table names an agent without use"));
    }
    Ok(operations)
}

struct DeltaWriter {
    dots: Dots,
    cell: Option<Cell>,
    /// When the next character is typed, if the last one's author goes on.
    time: u64,
}

impl DeltaWriter {
    fn write(&mut self, writer: &mut Writer, delta: &Delta, skip: u64) {
        self.dots.remember(self.dots.place(delta.first.agent), delta.first.counter + skip);
        match &delta.op {
            Op::Put { cell, value, seen } => {
                self.head(writer, PUT, *cell, seen.is_empty());
                self.seen_dots(writer, seen);
                writer.str(value.as_str());
            }
            Op::Add { cell, amount } => {
                self.head(writer, ADD, *cell, false);
                writer.int(*amount);
            }
            Op::Insert { cell, element, seen } => {
                self.head(writer, INSERT, *cell, seen.is_empty());
                self.seen_dots(writer, seen);
                writer.str(element.as_str());
            }
            Op::Run { cell, left, claim, text } => {
                let kind = if let Claim::Before(_) = claim { RUN } else { RUN_TIMED };
                self.head(writer, kind, *cell, false);
                let left = if skip > 0 { delta.first.plus(skip - 1) } else { *left };
                self.dots.write(writer, left);
                match claim.of_later(skip) {
                    Claim::Before(right) => self.dots.write(writer, right),
                    Claim::At(time) => {
                        writer.int(time.wrapping_sub(self.time) as i64);
                        self.time = time + delta.span - skip;
                    }
                }
                writer.str(&text[byte_offset(text, skip as usize)..]);
            }
            Op::Saw(said) => {
                writer.byte(SAW);
                self.dots.write_list(writer, &said.has);
                writer.count(said.gone.len());
                said.gone.iter().for_each(|gone| writer.replica(*gone));
            }
            Op::Hide { seen } => {
                let span = delta.span - skip;
                match &seen[..] {
                    [(cell, seen)] => {
                        let kind = HIDE | (seen.kind() as u8) << KIND_SHIFT;
                        self.head(writer, kind, *cell, span == 1);
                        self.span(writer, span);
                        self.seen(writer, seen);
                    }
                    cells => {
                        writer.byte(HIDE_MANY | if span == 1 { PLAIN } else { 0 });
                        self.span(writer, span);
                        writer.count(cells.len());
                        for (cell, seen) in cells {
                            self.head(
                                writer,
                                HIDE | (seen.kind() as u8) << KIND_SHIFT,
                                *cell,
                                true,
                            );
                            self.seen(writer, seen);
                        }
                    }
                }
            }
        }
    }

    fn head(&mut self, writer: &mut Writer, kind: u8, cell: Cell, plain: bool) {
        let same = self.cell == Some(cell);
        writer.byte(kind | if same { SAME_CELL } else { 0 } | if plain { PLAIN } else { 0 });
        if !same {
            writer.cell(cell);
            self.cell = Some(cell);
        }
    }

    fn seen_dots(&mut self, writer: &mut Writer, seen: &[Dot]) {
        if !seen.is_empty() {
            self.dots.write_list(writer, seen);
        }
    }

    fn span(&mut self, writer: &mut Writer, span: u64) {
        if span > 1 {
            writer.uint(span);
        }
    }

    fn seen(&mut self, writer: &mut Writer, seen: &Seen) {
        match seen {
            Seen::Values(dots) | Seen::Insertions(dots) => self.dots.write_list(writer, dots),
            Seen::Tallies(tallies) => {
                writer.count(tallies.len());
                for (agent, tally) in tallies {
                    self.dots.write(writer, Dot { agent: *agent, counter: tally.through });
                    writer.int(tally.sum);
                }
            }
            Seen::Characters(spans) => {
                writer.count(spans.len());
                for span in spans {
                    self.dots.write(writer, span.first);
                    writer.uint(span.len);
                }
            }
        }
    }
}

struct DeltaReader {
    dots: Dots,
    cell: Option<Cell>,
    time: u64,
}

impl DeltaReader {
    fn read(&mut self, reader: &mut Reader<'_>, first: Dot) -> Result<Delta, Malformed> {
        self.dots.remember(self.dots.place(first.agent), first.counter);
        let head = reader.byte()?;
        let (kind, plain) = (head & 7, head & PLAIN != 0);
        let mut span = 1;
        let op = match kind {
            HIDE => {
                let cell = self.cell(reader, head)?;
                span = Self::span(reader, plain)?;
                let seen = self.seen(reader, head >> KIND_SHIFT)?;
                Op::Hide { seen: vec![(cell, seen)] }
            }
            HIDE_MANY => {
                if head & !PLAIN != HIDE_MANY {
                    return Err(Malformed("unknown kind of change"));
                }
                span = Self::span(reader, plain)?;
                let mut cells: Vec<(Cell, Seen)> = Vec::new();
                for _ in 0..reader.count(2)? {
                    let head = reader.byte()?;
                    if head & 7 != HIDE || head & PLAIN == 0 {
                        return Err(Malformed("a hiding of many cells hides in another way"));
                    }
                    let cell = self.cell(reader, head)?;
                    if cells.last().is_some_and(|(last, _)| *last >= cell) {
                        return Err(Malformed("cells are not ascending"));
                    }
                    cells.push((cell, self.seen(reader, head >> KIND_SHIFT)?));
                }
                if cells.len() == 1 {
                    return Err(Malformed("a hiding of many cells names one"));
                }
                Op::Hide { seen: cells }
            }
            SAW if head == SAW => Op::Saw(self.said(reader)?),
            _ if head >> KIND_SHIFT != 0 => return Err(Malformed("unknown kind of change")),
            PUT => {
                let cell = self.cell(reader, head)?;
                let seen = self.seen_dots(reader, plain)?;
                Op::Put { cell, value: reader.value()?, seen }
            }
            INSERT => {
                let cell = self.cell(reader, head)?;
                let seen = self.seen_dots(reader, plain)?;
                Op::Insert { cell, element: reader.value()?, seen }
            }
            ADD if !plain => Op::Add { cell: self.cell(reader, head)?, amount: reader.int()? },
            RUN | RUN_TIMED if !plain => {
                let cell = self.cell(reader, head)?;
                let left = self.dots.read(reader)?;
                let claim = if kind == RUN {
                    Claim::Before(self.dots.read(reader)?)
                } else {
                    Claim::At(self.time(reader)?)
                };
                let text = reader.str()?.to_owned();
                span = char_count(&text) as u64;
                if span == 0 {
                    return Err(Malformed("an empty run"));
                }
                if let Claim::At(time) = claim {
                    self.time = time + span;
                }
                Op::Run { cell, left, claim, text }
            }
            _ => return Err(Malformed("unknown kind of change")),
        };
        let end = first.counter.checked_add(span);
        if first.counter == 0 || end.is_none_or(|end| end > COUNTER_MAX) {
            return Err(Malformed("counter out of range"));
        }
        Ok(Delta { first, span, op })
    }

    fn said(&mut self, reader: &mut Reader<'_>) -> Result<Said, Malformed> {
        let has = self.dots.read_list(reader)?;
        let gone =
            (0..reader.count(1)?).map(|_| reader.replica()).collect::<Result<Vec<_>, _>>()?;
        let sorted = has.is_sorted_by(|a, b| a.agent < b.agent) && gone.is_sorted_by(|a, b| a < b);
        if sorted {
            Ok(Said { has, gone })
        } else {
            Err(Malformed("what a member has is not sorted"))
        }
    }

    fn cell(&mut self, reader: &mut Reader<'_>, head: u8) -> Result<Cell, Malformed> {
        if head & SAME_CELL != 0 {
            return self.cell.ok_or(Malformed("no cell before"));
        }
        let cell = reader.cell()?;
        if self.cell == Some(cell) {
            return Err(Malformed("the cell before is named again"));
        }
        self.cell = Some(cell);
        Ok(cell)
    }

    fn time(&self, reader: &mut Reader<'_>) -> Result<u64, Malformed> {
        let time = self.time.wrapping_add(reader.int()? as u64);
        let in_range = time > 0 && time <= COUNTER_MAX;
        if in_range { Ok(time) } else { Err(Malformed("time out of range")) }
    }

    fn seen_dots(&mut self, reader: &mut Reader<'_>, plain: bool) -> Result<Vec<Dot>, Malformed> {
        if plain {
            return Ok(Vec::new());
        }
        let dots = self.dots.read_list(reader)?;
        if dots.is_empty() { Err(Malformed("an empty list of dots")) } else { Ok(dots) }
    }

    fn span(reader: &mut Reader<'_>, plain: bool) -> Result<u64, Malformed> {
        let span = if plain { 1 } else { reader.uint()? };
        // More is never joined, and some replicas keep something of every dot.
        let in_range = span <= u64::from(RUN_CHARS) && plain == (span == 1) && span > 0;
        if in_range { Ok(span) } else { Err(Malformed("number of dots out of range")) }
    }

    fn seen(&mut self, reader: &mut Reader<'_>, kind: u8) -> Result<Seen, Malformed> {
        Ok(match kind {
            0 => Seen::Values(self.dots.read_list(reader)?),
            1 => {
                let mut tallies: Vec<(Agent, Tally)> = Vec::new();
                for _ in 0..reader.count(2)? {
                    let dot = self.dots.read_some(reader)?;
                    if tallies.last().is_some_and(|(last, _)| *last >= dot.agent) {
                        return Err(Malformed("tallies are not ascending"));
                    }
                    let tally = Tally { through: dot.counter, sum: reader.int()? };
                    tallies.push((dot.agent, tally));
                }
                Seen::Tallies(tallies)
            }
            2 => Seen::Insertions(self.dots.read_list(reader)?),
            3 => {
                let mut spans: Vec<Span> = Vec::new();
                for _ in 0..reader.count(2)? {
                    let first = self.dots.read_some(reader)?;
                    let len = reader.uint()?;
                    if len == 0 || len > COUNTER_MAX {
                        return Err(Malformed("number of characters out of range"));
                    }
                    if spans.last().is_some_and(|last| last.end() >= first) {
                        return Err(Malformed("spans are not ascending and apart"));
                    }
                    spans.push(Span { first, len });
                }
                Seen::Characters(spans)
            }
            _ => return Err(Malformed("unknown kind of cell")),
        })
    }
}
