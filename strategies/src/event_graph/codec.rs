//! How events are written: agents once in a table, dots as differences from dots named before, and what is typed as runs with all text in
//! one piece.
//!
//! After the table come blocks of consecutive events by one agent: its place in the table, the first counter, the number of events. An
//! event is a byte that says what it is, then its cell unless that is the one before, then the rest.

use super::event::{Act, Event, Seen, Typed};
use super::ops::{Kind, read_length};
use crate::contract::Malformed;
use crate::crdt::causal::{Agent, COUNTER_MAX, Dot};
use crate::crdt::codec::Dots;
use crate::crdt::counter::Tally;
use crate::document::{Cell, char_count};
use crate::wire::{Reader, Writer};

const PUT: u8 = 0;
const ADD: u8 = 1;
const INSERT: u8 = 2;
const TYPE: u8 = 3;
const HIDE: u8 = 4;
const SAW: u8 = 5;
/// The cell is that of the event before.
const SAME_CELL: u8 = 1 << 3;
/// Nothing was seen that is to be hidden; of typing: it goes on where the same author was right before.
const PLAIN: u8 = 1 << 4;
/// Of typing: there is one run, whose kind is in the two highest bits.
const ONE_RUN: u8 = 1 << 5;
const KIND_SHIFT: u8 = 6;

/// Writes events to the end of a message.
pub fn write_events(writer: &mut Writer, events: &[Event<Typed>]) {
    let mut agents = Vec::new();
    for event in events {
        agents.push(event.first.agent);
        let mut name = |dot: Dot| {
            if !dot.is_none() {
                agents.push(dot.agent);
            }
        };
        event.each_reference(&mut name);
        if let Act::Type { typed, .. } = &event.act {
            typed.parents.iter().for_each(|dot| name(*dot));
        }
    }
    let mut all = EventWriter { dots: Dots::of(agents), cell: None };
    all.dots.write_table(writer);
    let mut rest = events;
    while let Some(first) = rest.first() {
        let follows = |pair: &[Event<Typed>]| pair[0].last().plus(1) == pair[1].first;
        let count = 1 + rest.windows(2).take_while(|pair| follows(pair)).count();
        let (block, after) = rest.split_at(count);
        writer.count(all.dots.place(first.first.agent));
        writer.uint(first.first.counter);
        writer.count(count);
        block.iter().for_each(|event| all.write(writer, event));
        rest = after;
    }
}

/// Reads what [`write_events`] wrote, to the end of the message.
///
/// # Errors
/// [`Malformed`] where it makes no sense whatever the schema is.
pub fn read_events(reader: &mut Reader<'_>) -> Result<Vec<Event<Typed>>, Malformed> {
    let mut all = EventReader { dots: Dots::read_table(reader)?, cell: None };
    let mut events = Vec::new();
    while !reader.is_empty() {
        let agent = all.dots.agent(reader.uint()?);
        let agent = agent.ok_or(Malformed("author is not in the table"))?;
        let mut counter = reader.uint()?;
        for _ in 0..reader.count(2)? {
            let event = all.read(reader, Dot { agent, counter })?;
            counter += event.span;
            events.push(event);
        }
    }
    if !all.dots.all_used() {
        return Err(Malformed("table names an agent without use"));
    }
    Ok(events)
}

struct EventWriter {
    dots: Dots,
    cell: Option<Cell>,
}

impl EventWriter {
    fn write(&mut self, writer: &mut Writer, event: &Event<Typed>) {
        self.dots.remember(self.dots.place(event.first.agent), event.first.counter);
        match &event.act {
            Act::Put { cell, value, seen } => {
                self.head(writer, PUT, *cell, seen.is_empty());
                self.seen_dots(writer, seen);
                writer.str(value.as_str());
            }
            Act::Add { cell, amount } => {
                self.head(writer, ADD, *cell, false);
                writer.int(*amount);
            }
            Act::Insert { cell, element, seen } => {
                self.head(writer, INSERT, *cell, seen.is_empty());
                self.seen_dots(writer, seen);
                writer.str(element.as_str());
            }
            Act::Type { cell, typed } => self.typed(writer, event.first, *cell, typed),
            Act::Hide { seen } => {
                writer.byte(HIDE);
                writer.count(seen.len());
                for (cell, seen) in seen {
                    writer.cell(*cell);
                    self.seen(writer, seen);
                }
            }
            Act::Saw { has, gone } => {
                writer.byte(SAW);
                self.dots.write_list(writer, has);
                writer.count(gone.len());
                gone.iter().for_each(|replica| writer.replica(*replica));
            }
        }
    }

    fn typed(&mut self, writer: &mut Writer, first: Dot, cell: Cell, typed: &Typed) {
        let goes_on = typed.parents == [Dot { counter: first.counter - 1, ..first }];
        let one = match &typed.runs[..] {
            [(kind, ..)] => ONE_RUN | (*kind as u8) << KIND_SHIFT,
            _ => 0,
        };
        self.head(writer, TYPE | one, cell, goes_on);
        if !goes_on {
            self.dots.write_list(writer, &typed.parents);
        }
        if let [(kind, pos, len)] = typed.runs[..] {
            writer.uint(pos as u64);
            if kind == Kind::Insert {
                writer.str(&typed.text);
            } else {
                writer.uint(len as u64);
            }
            return;
        }
        writer.count(typed.runs.len());
        let mut expected = 0;
        for (kind, pos, len) in &typed.runs {
            writer.uint((*len as u64) << 2 | *kind as u64);
            writer.int(*pos as i64 - expected);
            expected = next_pos(*kind, *pos, *len);
        }
        writer.str(&typed.text);
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

    fn seen(&mut self, writer: &mut Writer, seen: &Seen) {
        writer.byte(seen.kind() as u8);
        match seen {
            Seen::Values(dots) | Seen::Insertions(dots) => self.dots.write_list(writer, dots),
            Seen::Tallies(tallies) => {
                writer.count(tallies.len());
                for (agent, tally) in tallies {
                    self.dots.write(writer, Dot { agent: *agent, counter: tally.through });
                    writer.int(tally.sum);
                }
            }
        }
    }
}

/// Where the next run is likely to be.
fn next_pos(kind: Kind, pos: usize, len: usize) -> i64 {
    match kind {
        Kind::Insert => (pos + len) as i64,
        Kind::Delete => pos as i64,
        Kind::Backspace => pos as i64 + 1 - len as i64,
    }
}

struct EventReader {
    dots: Dots,
    cell: Option<Cell>,
}

impl EventReader {
    fn read(&mut self, reader: &mut Reader<'_>, first: Dot) -> Result<Event<Typed>, Malformed> {
        self.dots.remember(self.dots.place(first.agent), first.counter);
        let head = reader.byte()?;
        let (kind, plain) = (head & 7, head & PLAIN != 0);
        let mut span = 1;
        let act = match kind {
            TYPE => {
                let cell = self.cell(reader, head)?;
                let typed = self.typed(reader, head, first)?;
                span = typed.span();
                Act::Type { cell, typed }
            }
            _ if head >= ONE_RUN => return Err(Malformed("unknown kind of event")),
            PUT => {
                let cell = self.cell(reader, head)?;
                let seen = self.seen_dots(reader, plain)?;
                Act::Put { cell, value: reader.value()?, seen }
            }
            INSERT => {
                let cell = self.cell(reader, head)?;
                let seen = self.seen_dots(reader, plain)?;
                Act::Insert { cell, element: reader.value()?, seen }
            }
            ADD if !plain => Act::Add { cell: self.cell(reader, head)?, amount: reader.int()? },
            HIDE if head == HIDE => {
                let mut seen: Vec<(Cell, Seen)> = Vec::new();
                for _ in 0..reader.count(4)? {
                    let cell = reader.cell()?;
                    if seen.last().is_some_and(|(last, _)| *last >= cell) {
                        return Err(Malformed("cells are not ascending"));
                    }
                    seen.push((cell, self.seen(reader)?));
                }
                Act::Hide { seen }
            }
            SAW if head == SAW => {
                let has = self.dots.read_list(reader)?;
                let mut gone = Vec::new();
                for _ in 0..reader.count(1)? {
                    gone.push(reader.replica()?);
                }
                if !gone.is_sorted_by(|a, b| a < b) {
                    return Err(Malformed("replicas are not ascending"));
                }
                Act::Saw { has, gone }
            }
            _ => return Err(Malformed("unknown kind of event")),
        };
        let end = first.counter.checked_add(span);
        if first.counter == 0 || end.is_none_or(|end| end > COUNTER_MAX) {
            return Err(Malformed("counter out of range"));
        }
        Ok(Event { first, span, act })
    }

    fn typed(&mut self, reader: &mut Reader<'_>, head: u8, first: Dot) -> Result<Typed, Malformed> {
        let parents = if head & PLAIN == 0 {
            self.dots.read_list(reader)?
        } else if first.counter > 1 {
            vec![Dot { counter: first.counter - 1, ..first }]
        } else {
            return Err(Malformed("the first edit goes on nowhere"));
        };
        if !parents.is_sorted_by(|a, b| a < b) {
            return Err(Malformed("heads are not ascending"));
        }
        if head & ONE_RUN != 0 {
            let kind = Kind::from_bits(u64::from(head >> KIND_SHIFT))?;
            let pos = read_length(reader.uint()?)?;
            let (len, text) = if kind == Kind::Insert {
                let text = reader.str()?;
                (char_count(text), text.to_owned())
            } else {
                (read_length(reader.uint()?)?, String::new())
            };
            let runs = vec![run(kind, pos, len)?];
            return Ok(Typed { parents, runs, text });
        }
        if head >> KIND_SHIFT != 0 {
            return Err(Malformed("unknown kind of event"));
        }
        let count = reader.count(2)?;
        let (mut runs, mut expected, mut chars) = (Vec::with_capacity(count), 0i64, 0);
        for _ in 0..count {
            let code = reader.uint()?;
            let (kind, len) = (Kind::from_bits(code & 3)?, read_length(code >> 2)?);
            let pos = expected.checked_add(reader.int()?).and_then(|pos| u64::try_from(pos).ok());
            let pos = read_length(pos.ok_or(Malformed("position out of range"))?)?;
            runs.push(run(kind, pos, len)?);
            expected = next_pos(kind, pos, len);
            chars += if kind == Kind::Insert { len } else { 0 };
        }
        let text = reader.str()?;
        if runs.len() < 2 || char_count(text) != chars {
            return Err(Malformed("text and runs do not fit"));
        }
        Ok(Typed { parents, runs, text: text.to_owned() })
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

    fn seen_dots(&mut self, reader: &mut Reader<'_>, plain: bool) -> Result<Vec<Dot>, Malformed> {
        if plain {
            return Ok(Vec::new());
        }
        let dots = self.dots.read_list(reader)?;
        if dots.is_empty() { Err(Malformed("an empty list of dots")) } else { Ok(dots) }
    }

    fn seen(&mut self, reader: &mut Reader<'_>) -> Result<Seen, Malformed> {
        Ok(match reader.byte()? {
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
            _ => return Err(Malformed("unknown kind of cell")),
        })
    }
}

fn run(kind: Kind, pos: usize, len: usize) -> Result<(Kind, usize, usize), Malformed> {
    let fits = len > 0 && (kind != Kind::Backspace || pos + 1 >= len);
    if fits { Ok((kind, pos, len)) } else { Err(Malformed("a run of edits makes no sense")) }
}
