//! The document of one replica, with its changes: those made here, those that come from others, and the log of what somebody may still
//! lack. What is said to whom is decided elsewhere.

use super::log::{Entry, Log};
use super::waiting::{Early, Waiting};
use crate::contract::{Cargo, CargoIds, Change, Malformed, Outbox, Seat};
use crate::crdt::attribution::Attribution;
use crate::crdt::causal::{Agent, Dot, Version};
use crate::crdt::cells::{Cells, Effects};
use crate::crdt::op::Delta;
use crate::crdt::sequence::TextOrder;
use crate::crdt::snapshot;
use crate::document::{Edit, EditId, Schema};
use crate::wire::Reader;

/// What one replica has.
#[derive(Debug)]
pub struct Store {
    pub agent: Agent,
    pub schema: Schema,
    /// What this replica has.
    pub have: Version,
    pub cells: Cells,
    pub log: Log,
    pub ids: Attribution,
    /// Where operations travel one by one: what this replica had when it made its last one.
    pub told: Option<Version>,
    /// Operations that came too early.
    pub waiting: Waiting,
}

impl Store {
    /// The seat's genesis and nothing else; with `one_by_one`, changes are kept as operations of their own.
    pub fn new(seat: &Seat<'_>, text_order: TextOrder, one_by_one: bool) -> Self {
        let mut store = Store {
            agent: Agent::new(seat.replica, seat.incarnation),
            schema: seat.schema.clone(),
            have: Version::new(),
            cells: Cells::new(text_order),
            log: Log::default(),
            ids: Attribution::default(),
            told: one_by_one.then(Version::new),
            waiting: Waiting::default(),
        };
        for (id, edit) in seat.genesis {
            store.mint(Agent::GENESIS, *id, edit, &mut Effects::default());
        }
        store
    }

    /// Makes an edit, under the next dots of an agent.
    fn mint(&mut self, agent: Agent, id: EditId, edit: &Edit, effects: &mut Effects) -> Vec<Delta> {
        let first = Dot { agent, counter: self.have.get(agent) + 1 };
        let mut deltas = Vec::new();
        self.cells.edit(&self.schema, edit, first, &mut deltas, effects);
        if let Some(last) = deltas.last().map(Delta::last) {
            self.have.raise(agent, last.counter);
            self.ids.note(first, last.counter - first.counter + 1, id);
        }
        deltas
    }

    /// Makes a user's edit and logs it. What lies before `sealed` in the log stays as it is.
    pub fn edit(&mut self, id: EditId, edit: &Edit, sealed: u64, out: &mut Outbox) {
        let mut effects = Effects::default();
        let deltas = self.mint(self.agent, id, edit, &mut effects);
        self.report(Some(id), &effects, out);
        for delta in deltas {
            match &mut self.told {
                None => self.log.merge(delta, sealed),
                Some(told) => {
                    let mut saw = self.have.news(told);
                    saw.forget(self.agent);
                    out.work(saw.len() as u64);
                    told.join(&self.have);
                    self.log.push(Entry { delta, saw });
                }
            }
        }
    }

    /// Reports what a change did to others.
    fn report(&self, by: Option<EditId>, effects: &Effects, out: &mut Outbox) {
        out.work(effects.work_units);
        let Some(by) = by else { return };
        for edit in effects.hidden.iter().filter_map(|dot| self.ids.of(*dot)) {
            out.change(Change::Replaced { edit, by });
        }
        for (cell, dot) in &effects.rivals {
            if let Some(edit) = self.ids.of(*dot) {
                out.change(Change::Conflicted { cell: *cell, edit, with: by });
            }
        }
    }

    /// Whether changes may be applied at all, before any is.
    ///
    /// # Errors
    /// [`Malformed`] where one of them may not.
    pub fn check<'a>(&self, deltas: impl Iterator<Item = &'a Delta>) -> Result<(), Malformed> {
        for delta in deltas {
            let author = delta.first.agent;
            if !delta.fits(&self.schema, self.cells.text_order()) {
                return Err(Malformed("a cell is of another kind, or there is none"));
            }
            if author >= Agent::GENESIS {
                return Err(Malformed("changes by nobody"));
            }
            if author == self.agent && !self.have.covers(delta.last()) {
                return Err(Malformed("own changes that were never made"));
            }
        }
        Ok(())
    }

    /// Applies the deltas that are new, up to the first that does not follow what is here. Returns how far each agent's deltas in the message go,
    /// and whether all could be used.
    pub fn take_deltas(
        &mut self,
        deltas: Vec<Delta>,
        cargo: &Cargo,
        sealed: u64,
        out: &mut Outbox,
    ) -> (Version, bool) {
        let (mut told, mut element) = (Version::new(), 0);
        for mut delta in deltas {
            let (first, span, last) = (delta.first, delta.span, delta.last());
            let have = self.have.get(first.agent);
            out.work(1);
            if last.counter > have {
                if first.counter > have + 1 || !delta.is_ready(&self.have) {
                    return (told, false);
                }
                let skip = have + 1 - first.counter;
                self.arrive(first, (span, skip), element, &cargo.ids, out);
                delta.skip(skip);
                self.apply(&delta, out);
                self.log.merge(delta, sealed);
            }
            told.raise(first.agent, last.counter);
            element += span;
        }
        (told, true)
    }

    /// Applies the operations that are new and whose dependencies are here, and lets the others wait. Returns how far each agent's operations
    /// in the message go, and whether none has to wait.
    pub fn take_operations(
        &mut self,
        entries: Vec<Entry>,
        cargo: &Cargo,
        out: &mut Outbox,
    ) -> (Version, bool) {
        let (mut told, mut element, mut usable) = (Version::new(), 0, true);
        for entry in entries {
            let (first, span, last) = (entry.delta.first, entry.delta.span, entry.delta.last());
            let have = self.have.get(first.agent);
            out.work(1 + entry.saw.len() as u64);
            told.raise(first.agent, last.counter);
            if last.counter > have {
                let is_next = first.counter == have + 1;
                if is_next && self.have.reaches(&entry.saw) && entry.delta.is_ready(&self.have) {
                    self.deliver(entry, element, &cargo.ids, out);
                } else {
                    usable = false;
                    let ids = rebased(&cargo.ids, element, span);
                    self.waiting.keep(Early { entry, ids });
                }
            }
            element += span;
        }
        let mut work_units = 0;
        while let Some(early) = self.waiting.take_ready(&self.have, &mut work_units) {
            self.deliver(early.entry, 0, &early.ids, out);
        }
        out.work(work_units);
        (told, usable)
    }

    fn deliver(&mut self, entry: Entry, element: u64, ids: &[CargoIds], out: &mut Outbox) {
        self.arrive(entry.delta.first, (entry.delta.span, 0), element, ids, out);
        self.apply(&entry.delta, out);
        self.log.push(entry);
    }

    /// Takes the ids of a change's dots, of which this replica knows `skip`, and reports what is new.
    fn arrive(
        &mut self,
        first: Dot,
        span_skip: (u64, u64),
        element: u64,
        ids: &[CargoIds],
        out: &mut Outbox,
    ) {
        self.ids.take(first, span_skip, element, ids, |edit| out.change(Change::Applied { edit }));
    }

    fn apply(&mut self, delta: &Delta, out: &mut Outbox) {
        self.have.raise(delta.first.agent, delta.last().counter);
        let mut effects = Effects::default();
        self.cells.apply(delta, &mut effects);
        self.report(self.ids.of(delta.first), &effects, out);
    }

    /// Takes over a peer's whole state, and applies again on top what this replica has and the peer lacks. Refused where the log
    /// does not hold all of that: then the peer lost its memory too, and gets this one's state.
    ///
    /// # Errors
    /// [`Malformed`] where the state makes no sense.
    pub fn take_state(
        &mut self,
        version: &Version,
        state: &[u8],
        cargo: &Cargo,
        out: &mut Outbox,
    ) -> Result<bool, Malformed> {
        let mut theirs = version.clone();
        theirs.raise(Agent::GENESIS, self.have.get(Agent::GENESIS));
        let mut reader = Reader::new(state);
        let order = self.cells.text_order();
        let cells = snapshot::read_cells(&mut reader, &theirs, &self.schema, order)?;
        reader.end()?;
        if theirs.get(self.agent) > self.have.get(self.agent) {
            return Err(Malformed("own changes that were never made"));
        }
        if self.have.reaches(&theirs) {
            return Ok(true);
        }
        if !self.log.reaches(&theirs) {
            return Ok(false);
        }
        out.work_bytes(state.len());
        let before = std::mem::replace(&mut self.cells, cells);
        let (mut element, mut newest) = (0, None);
        for (agent, counter) in version.iter() {
            let (first, skip) = (Dot { agent, counter: 1 }, self.have.get(agent));
            self.ids.take(first, (counter, skip), element, &cargo.ids, |edit| {
                newest = Some(edit);
                out.change(Change::Applied { edit });
            });
            element += counter;
        }
        self.log.skip_to(&self.have, &theirs);
        self.have.join(&theirs);
        let mut effects = Effects::default();
        for (entry, skip) in self.log.unknown(self.log.start(), &theirs) {
            let mut delta = entry.delta.clone();
            delta.skip(skip);
            self.cells.apply(&delta, &mut effects);
        }
        out.work(effects.work_units);
        self.report_replacement(&before, newest, out);
        Ok(true)
    }

    /// Reports what is shown no more, and which rivals there are, now that another document took the place of the one before; `newest` is an edit
    /// that came with it.
    fn report_replacement(&self, before: &Cells, newest: Option<EditId>, out: &mut Outbox) {
        let found = before.compare(&self.cells);
        for (hidden, by) in found.hidden {
            // Where nothing is displayed instead, something new has deleted it; which one the state does not say.
            let by = by.and_then(|dot| self.ids.of(dot)).or(newest);
            if let (Some(edit), Some(by)) = (self.ids.of(hidden), by) {
                out.change(Change::Replaced { edit, by });
            }
        }
        for (cell, rival, new) in found.rivals {
            if let (Some(edit), Some(with)) = (self.ids.of(rival), self.ids.of(new)) {
                out.change(Change::Conflicted { cell, edit, with });
            }
        }
    }
}

/// The ids that belong to `span` elements from `element` on, as if these were the whole message.
fn rebased(ids: &[CargoIds], element: u64, span: u64) -> Vec<CargoIds> {
    let own = ids.iter().filter(|entry| (element..element + span).contains(&entry.element.into()));
    own.map(|entry| CargoIds { element: entry.element - element as u32, ..*entry }).collect()
}
