//! How groups are written: a table of agents, then dots as differences from dots named before, cell by cell in order.

use super::group::{Group, Part};
use super::passage::{Passage, Run};
use super::said::{Rows, read_rows, write_rows};
use crate::contract::Malformed;
use crate::crdt::causal::{Agent, COUNTER_MAX, Dot, Span};
use crate::crdt::codec::Dots;
use crate::crdt::counter::{Share, Tally};
use crate::crdt::sequence::{Claim, TextOrder};
use crate::document::{Cell, FieldId, RecordId, Value, char_count};
use crate::wire::{Reader, Writer};
use std::collections::BTreeMap;

const REGISTER: u8 = 0;
const COUNTER: u8 = 1;
const SET: u8 = 2;
const TEXT_FUGUE_MAX: u8 = 3;
const TEXT_RGA: u8 = 4;
/// The record is that of the cell before; only the field follows.
const SAME_RECORD: u8 = 1 << 3;

/// Appends a group.
pub fn write_group(writer: &mut Writer, group: &Group) {
    let mut agents = Vec::new();
    group.each_agent(|agent| agents.push(agent));
    let mut dots = Dots::of(agents);
    dots.write_table(writer);
    write_spans(writer, &mut dots, group.covers());
    let says = !group.said().is_empty();
    writer.uint((group.parts().len() as u64) << 1 | u64::from(says));
    let mut record = None;
    for (cell, part) in group.parts() {
        let same = record == Some(cell.record);
        writer.byte(kind_of(part) | if same { SAME_RECORD } else { 0 });
        if !same {
            writer.uint(u64::from(cell.record.0));
            record = Some(cell.record);
        }
        writer.uint(u64::from(cell.field.0));
        write_part(writer, &mut dots, part);
    }
    if says {
        write_rows(writer, group.said());
    }
}

fn kind_of(part: &Part) -> u8 {
    match part {
        Part::Register(_) => REGISTER,
        Part::Counter(_) => COUNTER,
        Part::Set(_) => SET,
        Part::Text(passage) => match passage.runs().values().next().map(|run| run.claim) {
            Some(Claim::At(_)) => TEXT_RGA,
            _ => TEXT_FUGUE_MAX,
        },
    }
}

fn write_spans(writer: &mut Writer, dots: &mut Dots, spans: &[Span]) {
    writer.count(spans.len());
    for span in spans {
        dots.write(writer, span.first);
        writer.uint(span.len);
    }
}

/// A value, or that it is hidden: the length and one more, so that an empty value is one.
fn write_value(writer: &mut Writer, value: &Option<Value>) {
    match value {
        None => writer.uint(0),
        Some(value) => {
            writer.uint(value.as_str().len() as u64 + 1);
            writer.raw(value.as_str().as_bytes());
        }
    }
}

fn write_part(writer: &mut Writer, dots: &mut Dots, part: &Part) {
    match part {
        Part::Register(puts) => {
            writer.count(puts.len());
            for (agent, (counter, value)) in puts {
                dots.write(writer, Dot { agent: *agent, counter: *counter });
                write_value(writer, value);
            }
        }
        Part::Counter(shares) => {
            // Each tally for itself; the sign of its place says which: added, then reset.
            for tally_of in [|share: &Share| share.added, |share: &Share| share.reset] {
                let tallies = shares.iter().map(|(agent, share)| (agent, tally_of(share)));
                let tallies: Vec<_> = tallies.filter(|(_, tally)| tally.through > 0).collect();
                writer.count(tallies.len());
                for (agent, tally) in tallies {
                    dots.write(writer, Dot { agent: *agent, counter: tally.through });
                    writer.int(tally.sum);
                }
            }
        }
        Part::Set(insertions) => {
            writer.count(insertions.len());
            for (dot, element) in insertions {
                dots.write(writer, *dot);
                write_value(writer, element);
            }
        }
        Part::Text(passage) => write_passage(writer, dots, passage),
    }
}

fn write_passage(writer: &mut Writer, dots: &mut Dots, passage: &Passage) {
    writer.count(passage.runs().len());
    let mut time = 0;
    for (first, run) in passage.runs() {
        dots.write(writer, *first);
        dots.write(writer, run.left);
        match run.claim {
            Claim::Before(right) => dots.write(writer, right),
            Claim::At(at) => {
                writer.int(at.wrapping_sub(time) as i64);
                time = at + u64::from(run.len);
            }
        }
        if run.is_deleted() {
            writer.uint(0);
            writer.uint(u64::from(run.len));
        } else {
            writer.str(&run.text);
        }
    }
    write_spans(writer, dots, passage.hidden());
}

/// Reads what [`write_group`] wrote.
///
/// # Errors
/// [`Malformed`] where it makes no sense whatever the schema is.
pub fn read_group(reader: &mut Reader<'_>) -> Result<Group, Malformed> {
    let mut dots = Dots::read_table(reader)?;
    let covers = read_spans(reader, &mut dots)?;
    if covers.is_empty() {
        return Err(Malformed("a group that tells of nothing"));
    }
    let mut parts: BTreeMap<Cell, Part> = BTreeMap::new();
    let mut record = None;
    let head = reader.uint()?;
    for _ in 0..head >> 1 {
        let head = reader.byte()?;
        if head & SAME_RECORD == 0 {
            let next = RecordId(reader.uint32()?);
            if record == Some(next) {
                return Err(Malformed("the record before is named again"));
            }
            record = Some(next);
        }
        let record = record.ok_or(Malformed("no record before"))?;
        let field = u16::try_from(reader.uint()?).map_err(|_| Malformed("field out of range"))?;
        let cell = Cell { record, field: FieldId(field) };
        if parts.last_key_value().is_some_and(|(last, _)| *last >= cell) {
            return Err(Malformed("cells are not ascending"));
        }
        parts.insert(cell, read_part(reader, &mut dots, head & !SAME_RECORD)?);
    }
    if dots.has_unused() {
        return Err(Malformed("table names an agent without use"));
    }
    let said = if head & 1 == 1 { read_rows(reader)? } else { Rows::new() };
    if head & 1 == 1 && said.is_empty() {
        return Err(Malformed("nobody says anything"));
    }
    Ok(Group::of(covers, parts, said))
}

fn read_spans(reader: &mut Reader<'_>, dots: &mut Dots) -> Result<Vec<Span>, Malformed> {
    let mut spans: Vec<Span> = Vec::new();
    for _ in 0..reader.count(2)? {
        let first = dots.read_some(reader)?;
        let len = reader.uint()?;
        if len == 0 || len > COUNTER_MAX {
            return Err(Malformed("number of dots out of range"));
        }
        if spans.last().is_some_and(|last| last.end() >= first) {
            return Err(Malformed("spans are not ascending and apart"));
        }
        spans.push(Span { first, len });
    }
    Ok(spans)
}

fn read_value(reader: &mut Reader<'_>) -> Result<Option<Value>, Malformed> {
    let Some(length) = reader.uint()?.checked_sub(1) else { return Ok(None) };
    let length = usize::try_from(length).map_err(|_| Malformed("message ends early"))?;
    let text = std::str::from_utf8(reader.raw(length)?);
    Ok(Some(Value::from(text.map_err(|_| Malformed("text is not UTF-8"))?)))
}

fn read_part(reader: &mut Reader<'_>, dots: &mut Dots, kind: u8) -> Result<Part, Malformed> {
    let part = match kind {
        REGISTER => {
            let mut puts: BTreeMap<Agent, (u64, Option<Value>)> = BTreeMap::new();
            for _ in 0..reader.count(2)? {
                let dot = dots.read_some(reader)?;
                if puts.last_key_value().is_some_and(|(last, _)| *last >= dot.agent) {
                    return Err(Malformed("puts are not ascending"));
                }
                puts.insert(dot.agent, (dot.counter, read_value(reader)?));
            }
            Part::Register(puts)
        }
        COUNTER => {
            let mut shares: BTreeMap<Agent, Share> = BTreeMap::new();
            for is_reset in [false, true] {
                let mut last = None;
                for _ in 0..reader.count(2)? {
                    let dot = dots.read_some(reader)?;
                    if last.is_some_and(|last| last >= dot.agent) {
                        return Err(Malformed("tallies are not ascending"));
                    }
                    last = Some(dot.agent);
                    let tally = Tally { through: dot.counter, sum: reader.int()? };
                    let share = shares.entry(dot.agent).or_default();
                    *(if is_reset { &mut share.reset } else { &mut share.added }) = tally;
                }
            }
            Part::Counter(shares)
        }
        SET => {
            let mut insertions: BTreeMap<Dot, Option<Value>> = BTreeMap::new();
            for _ in 0..reader.count(2)? {
                let dot = dots.read_some(reader)?;
                if insertions.last_key_value().is_some_and(|(last, _)| *last >= dot) {
                    return Err(Malformed("insertions are not ascending"));
                }
                insertions.insert(dot, read_value(reader)?);
            }
            Part::Set(insertions)
        }
        TEXT_FUGUE_MAX => Part::Text(read_passage(reader, dots, TextOrder::FugueMax)?),
        TEXT_RGA => Part::Text(read_passage(reader, dots, TextOrder::Rga)?),
        _ => return Err(Malformed("unknown kind of cell")),
    };
    let is_empty = match &part {
        Part::Register(puts) => puts.is_empty(),
        Part::Counter(shares) => shares.is_empty(),
        Part::Set(insertions) => insertions.is_empty(),
        Part::Text(passage) => {
            // Deletions alone say nothing of an order.
            passage.is_empty() || kind == TEXT_RGA && passage.runs().is_empty()
        }
    };
    if is_empty { Err(Malformed("a cell of which nothing is said")) } else { Ok(part) }
}

fn read_passage(
    reader: &mut Reader<'_>,
    dots: &mut Dots,
    order: TextOrder,
) -> Result<Passage, Malformed> {
    let mut runs: BTreeMap<Dot, Run> = BTreeMap::new();
    let mut time = 0_u64;
    for _ in 0..reader.count(4)? {
        let (first, left) = (dots.read_some(reader)?, dots.read(reader)?);
        let claim = match order {
            TextOrder::FugueMax => Claim::Before(dots.read(reader)?),
            TextOrder::Rga => {
                time = time.wrapping_add(reader.int()? as u64);
                if time > COUNTER_MAX {
                    return Err(Malformed("timestamp out of range"));
                }
                Claim::At(time)
            }
        };
        let text = reader.str()?.to_owned();
        let len = match char_count(&text) {
            0 => reader.uint32()?,
            chars => u32::try_from(chars).map_err(|_| Malformed("a run is too long"))?,
        };
        time = time.wrapping_add(u64::from(len));
        let last = runs.last_key_value().map(|(first, run)| run.span(*first));
        if len == 0 || last.is_some_and(|last| last.end() > first) {
            return Err(Malformed("runs are empty or not ascending"));
        }
        runs.insert(first, Run { len, left, claim, text });
    }
    let hidden = read_spans(reader, dots)?;
    let apart = |span: &Span| {
        let before = runs.range(..span.end()).next_back();
        before.is_none_or(|(first, run)| run.span(*first).end() <= span.first)
    };
    if !hidden.iter().all(apart) {
        return Err(Malformed("characters are deleted twice"));
    }
    Ok(Passage::of(runs, hidden))
}
