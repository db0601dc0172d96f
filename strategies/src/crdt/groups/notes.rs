//! What only reports need: which edit each dot stems from, and which edits were replaced by which. It rides in the cargo; nothing that a
//! replica shows, sends or decides depends on it, and nothing is missing where it did not arrive.
//!
//! A group forgets what was overtaken, so its receiver cannot tell which edits those were. Who makes an edit knows what it
//! replaces; that travels on with it, from neighbour to neighbour.

use super::spans;
use crate::contract::{Cargo, CargoIds, Change, Malformed, Outbox};
use crate::crdt::attribution::Attribution;
use crate::crdt::causal::{Agent, Dot, Span, Version, insert_span};
use crate::document::{Cell, EditId};
use crate::wire::{Reader, Writer};
use std::collections::BTreeMap;

/// The edits behind the dots of a replica, and their fates.
#[derive(Clone, Debug, Default)]
pub struct Notes {
    ids: Attribution,
    /// The puts and additions that an edit replaced, by the first dot of that edit; as long as a neighbour may not know.
    fates: BTreeMap<Dot, Vec<Dot>>,
    /// Dots that every neighbour knows that is present; those that are not may still need to be told.
    deferred: Vec<Span>,
    /// The puts and additions that were replaced, as every neighbour knows.
    dead: Vec<Span>,
    /// With so many fates it is worth looking for some that every neighbour knows.
    worth_settling: u64,
}

/// What the cargo of a message said.
#[derive(Debug, Default)]
pub struct Taken {
    /// Additions behind the sums of which the message tells.
    pub standing: Vec<(Addition, Dot)>,
    /// Edits that were reported as replaced.
    pub replaced: Vec<EditId>,
    /// The edit reported last as applied.
    pub newest: Option<EditId>,
}

/// An agent's additions to a counter, of which a message tells the sum.
pub type Addition = (Cell, Agent);

impl Notes {
    /// The edit that a dot stems from.
    pub fn of(&self, dot: Dot) -> Option<EditId> {
        self.ids.of(dot)
    }

    /// Notes an edit made here, and what it replaced.
    pub fn made(&mut self, first: Dot, len: u64, id: EditId, hidden: Vec<Dot>) {
        self.ids.note(first, len, id);
        if !hidden.is_empty() {
            self.fates.insert(first, hidden);
        }
    }

    /// Fills the cargo of a message that covers these dots, from which what `known` covers may be left out. `standing` are the additions
    /// behind each sum, in order.
    pub fn ride(
        &self,
        covers: &[Span],
        known: &Version,
        standing: impl Iterator<Item = Vec<Dot>>,
        cargo: &mut Cargo,
    ) {
        let mut element = 0_u64;
        for span in covers {
            if let Some(news) = spans::beyond(*span, known) {
                for part in spans::minus(news, &self.dead) {
                    let place = element + part.first.counter - span.first.counter;
                    self.ids.ride(part.first, part.len, place, &mut cargo.ids);
                }
            }
            element = element.saturating_add(span.len);
        }
        let one = |element, first| CargoIds { element: element as u32, first, count: 1 };
        for dots in standing {
            let news = dots.into_iter().filter(|dot| !known.covers(*dot));
            cargo.ids.extend(news.filter_map(|dot| self.of(dot)).map(|id| one(element, id)));
            element += 1;
        }
        for span in covers.iter().filter_map(|span| spans::beyond(*span, known)) {
            for (by, gone) in self.fates.range(span.first..span.end()) {
                let Some(by) = self.of(*by) else { continue };
                for gone in gone.iter().filter_map(|dot| self.of(*dot)) {
                    cargo.ids.extend([one(element, gone), one(element + 1, by)]);
                    element += 2;
                }
            }
        }
    }

    /// Takes the cargo of a message that covers these dots, some of which `have` covers too, and reports what is new.
    pub fn take(
        &mut self,
        covers: &[Span],
        have: &Version,
        sums: &[Addition],
        cargo: &Cargo,
        out: &mut Outbox,
    ) -> Taken {
        let mut taken = Taken::default();
        let mut element = 0_u64;
        for span in covers {
            let skip = (have.get(span.first.agent) + 1).saturating_sub(span.first.counter);
            if skip < span.len && element <= u64::from(u32::MAX) {
                let arrived = |edit| {
                    taken.newest = Some(edit);
                    out.change(Change::Applied { edit });
                };
                self.ids.take(span.first, (span.len, skip), element, &cargo.ids, arrived);
            }
            element = element.saturating_add(span.len);
        }
        let rest = cargo.ids.partition_point(|ids| u64::from(ids.element) < element);
        let mut pairs = Vec::new();
        for ids in &cargo.ids[rest..] {
            let place = u64::from(ids.element).saturating_sub(element);
            match usize::try_from(place).ok().and_then(|place| sums.get(place)) {
                Some(sum) => {
                    let dot = self.ids.find(sum.1, ids.first);
                    taken.standing.extend(dot.map(|dot| (*sum, dot)));
                }
                None => pairs.push(ids.first),
            }
        }
        for pair in pairs.chunks_exact(2) {
            if self.is_news(pair[0], pair[1], have) {
                out.change(Change::Replaced { edit: pair[0], by: pair[1] });
                taken.replaced.push(pair[0]);
            }
        }
        taken
    }

    /// Notes that an edit took the place of another; false where that was known.
    fn is_news(&mut self, edit: EditId, by: EditId, have: &Version) -> bool {
        let Some(by_dot) = self.ids.find_any(by).filter(|dot| !have.covers(*dot)) else {
            return false;
        };
        let mut is_news = edit != by;
        if let Some(gone) = self.ids.find_any(edit).filter(|_| is_news) {
            let fates = self.fates.entry(by_dot).or_default();
            is_news = !fates.contains(&gone);
            if is_news {
                fates.push(gone);
            }
        }
        is_news
    }

    /// Every neighbour that is present knows these dots.
    pub fn defer(&mut self, covers: &[Span]) {
        covers.iter().for_each(|span| insert_span(&mut self.deferred, *span));
    }

    /// All neighbours are present.
    pub fn settle(&mut self) {
        for span in std::mem::take(&mut self.deferred) {
            let settled: Vec<Dot> =
                self.fates.range(span.first..span.end()).map(|(by, _)| *by).collect();
            settled.into_iter().for_each(|by| self.forget(by));
        }
    }

    fn forget(&mut self, by: Dot) {
        for gone in self.fates.remove(&by).into_iter().flatten() {
            insert_span(&mut self.dead, Span { first: gone, len: 1 });
        }
    }

    /// Every neighbour knows the dots for which `is_known` holds. Looks at all only when there are twice as many as were left the last time.
    pub fn settle_where(&mut self, is_known: impl Fn(Dot) -> bool) {
        if (self.fates.len() as u64) < self.worth_settling {
            return;
        }
        let known: Vec<Dot> = self.fates.keys().copied().filter(|by| is_known(*by)).collect();
        known.into_iter().for_each(|by| self.forget(by));
        self.worth_settling = 2 * self.fates.len() as u64 + 32;
    }

    /// Writes it.
    pub fn write(&self, writer: &mut Writer) {
        self.ids.write(writer);
        writer.uint(self.worth_settling);
        writer.count(self.fates.len());
        for (by, gone) in &self.fates {
            write_dot(writer, *by);
            writer.count(gone.len());
            gone.iter().for_each(|dot| write_dot(writer, *dot));
        }
        for spans in [&self.deferred, &self.dead] {
            writer.count(spans.len());
            for span in spans {
                write_dot(writer, span.first);
                writer.uint(span.len);
            }
        }
    }

    /// Reads what [`Notes::write`] wrote.
    ///
    /// # Errors
    /// [`Malformed`] where it makes no sense.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let (ids, worth_settling) = (Attribution::read(reader)?, reader.uint()?);
        let mut fates = BTreeMap::new();
        for _ in 0..reader.count(3)? {
            let by = read_dot(reader)?;
            let gone = (0..reader.count(2)?).map(|_| read_dot(reader)).collect::<Result<_, _>>()?;
            fates.insert(by, gone);
        }
        let (deferred, dead) = (read_spans(reader)?, read_spans(reader)?);
        Ok(Notes { ids, fates, deferred, dead, worth_settling })
    }
}

fn read_spans(reader: &mut Reader<'_>) -> Result<Vec<Span>, Malformed> {
    let mut spans = Vec::new();
    for _ in 0..reader.count(3)? {
        let (first, len) = (read_dot(reader)?, reader.uint()?);
        if len == 0 || first.counter.checked_add(len).is_none() {
            return Err(Malformed("number of dots out of range"));
        }
        insert_span(&mut spans, Span { first, len });
    }
    Ok(spans)
}

fn write_dot(writer: &mut Writer, dot: Dot) {
    dot.agent.write(writer);
    writer.uint(dot.counter);
}

fn read_dot(reader: &mut Reader<'_>) -> Result<Dot, Malformed> {
    Ok(Dot { agent: Agent::read(reader)?, counter: reader.uint()? })
}
