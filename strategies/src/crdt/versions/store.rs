//! The document of one replica, with its changes: those made here, those that come from others, and the log of what somebody may still
//! lack. What is said to whom is decided elsewhere.

use super::log::{Entry, Log};
use super::waiting::{Early, Waiting};
use crate::contract::{Cargo, CargoIds, Change, Malformed, Outbox, Seat};
use crate::crdt::attribution::Attribution;
use crate::crdt::causal::{Agent, Dot, Span, Version};
use crate::crdt::cells::{Cells, Effects};
use crate::crdt::op::{Delta, Op};
use crate::crdt::sequence::TextOrder;
use crate::crdt::stability::{Members, Said};
use crate::document::{Cell, Edit, EditId, Schema};
use std::collections::VecDeque;

/// Dots after which a replica that waits for nobody looks for what it can let go.
const ALONE_DOTS: u64 = 256;
/// Pieces of text looked at for each change, when deleted characters are searched.
const ITEMS_PER_DOT: u64 = 4;

/// How the changes of a message could be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// All of them.
    All,
    /// Something is missing before them.
    Gap,
    /// They speak of what was forgotten here, or come from somebody who was gone and may not know what was forgotten.
    Forgotten,
}

/// Deleted characters that can be let go once every member has what was here when they were found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Burial {
    pub as_of: Version,
    pub deleted: Vec<(Cell, Vec<Span>)>,
}

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
    /// What the others have.
    pub members: Members,
    /// What every member was last found to have.
    pub stable: Version,
    /// Own changes that no peer lacks, but perhaps some member: this replica would have to make them again if it were gone.
    pub own: VecDeque<Delta>,
    pub burial: Option<Burial>,
    /// How many dots were here when texts were last searched for deleted characters.
    pub searched_at_dots: u64,
}

impl Store {
    /// The seat's genesis and nothing else; with `one_by_one`, changes are kept as operations of their own.
    pub fn new(seat: &Seat<'_>, text_order: TextOrder, one_by_one: bool) -> Self {
        let mut store = Store {
            agent: Agent::seated(seat.replica, seat.incarnation),
            schema: seat.schema.clone(),
            have: Version::new(),
            cells: Cells::new(text_order),
            log: Log::default(),
            ids: Attribution::default(),
            told: one_by_one.then(Version::new),
            waiting: Waiting::default(),
            members: Members::new(seat.members, seat.replica),
            stable: Version::new(),
            own: VecDeque::new(),
            burial: None,
            searched_at_dots: 0,
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
            let (first, last) = (delta.first.counter, delta.last().counter);
            self.list(delta, sealed, out);
            if self.members.is_alone() && first / ALONE_DOTS != last.wrapping_add(1) / ALONE_DOTS {
                self.compact(out);
            }
        }
    }

    /// Logs a change made here.
    pub fn list(&mut self, delta: Delta, sealed: u64, out: &mut Outbox) {
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

    /// Says what this replica has, in a change of its own, if it is time to.
    pub fn tell(&mut self, sealed: u64, out: &mut Outbox) {
        let Some(said) = self.members.say(&self.have) else { return };
        out.work(said.has.len() as u64);
        let first = Dot { agent: self.agent, counter: self.have.get(self.agent) + 1 };
        self.have.raise(first.agent, first.counter);
        self.list(Delta { first, span: 1, op: Op::Saw(said) }, sealed, out);
        self.compact(out);
    }

    /// Takes note of what a member says that it has.
    fn hear(&mut self, dot: Dot, said: &Said, out: &mut Outbox) {
        out.work(said.has.len() as u64);
        self.members.take(dot, &said.has, &said.gone);
        self.compact(out);
    }

    /// Lets go what nobody needs any more: deleted characters of texts, once every member has what deleted them.
    fn compact(&mut self, out: &mut Outbox) {
        let Some(stable) = self.members.stable(&self.have) else { return };
        out.work((self.have.len() * self.have.len()) as u64);
        while self.own.pop_front_if(|delta| stable.covers(delta.last())).is_some() {}
        if let Some(burial) = self.burial.take_if(|burial| stable.reaches(&burial.as_of)) {
            out.work(self.cells.forget(&burial.deleted));
        }
        if self.burial.is_none() && self.is_search_due() {
            out.work(self.cells.items_to_search());
            let deleted = self.cells.deleted();
            let as_of = self.have.news(&Version::new());
            self.burial = (!deleted.is_empty()).then_some(Burial { as_of, deleted });
        }
        self.stable = stable;
    }

    /// Whether so much was changed that a search of all texts costs each change a constant number of steps.
    fn is_search_due(&mut self) -> bool {
        let dots = self.have.iter().map(|(_, counter)| counter).sum::<u64>();
        // It is lower than it was where the document was taken over from another replica.
        let since = dots.saturating_sub(self.searched_at_dots);
        let is_due = since.saturating_mul(ITEMS_PER_DOT) >= self.cells.items_to_search()
            || dots < self.searched_at_dots;
        if is_due {
            self.searched_at_dots = dots;
        }
        is_due
    }

    /// Drops from the log what lies before a position, since no peer lacks it.
    pub fn prune(&mut self, position: u64) {
        let (own, stable, kept) = (self.agent.replica(), &self.stable, &mut self.own);
        self.log.drop_before(position, |delta| {
            if delta.first.agent.replica() == own && !stable.covers(delta.last()) {
                kept.push_back(delta);
            }
        });
    }

    /// Reports what a change did to others.
    fn report(&self, by: Option<EditId>, effects: &Effects, out: &mut Outbox) {
        out.work(effects.work_units);
        let Some(by) = by else { return };
        for edit in effects.hidden.iter().filter_map(|dot| self.ids.of(*dot)) {
            // What its author has made again in a later life may still stand under the other name.
            let aliases = self.ids.aliases(edit).into_iter();
            let times = aliases.filter(|dot| self.cells.stands(*dot)).count();
            if times == 0 || edit != by {
                out.change(Change::Replaced { edit, by });
                (0..times).for_each(|_| out.change(Change::Applied { edit }));
            }
        }
        for (cell, dot) in &effects.rivals {
            if let Some(edit) = self.ids.of(*dot).filter(|edit| *edit != by) {
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
    ) -> (Version, Use) {
        let (mut told, mut element) = (Version::new(), 0);
        for mut delta in deltas {
            let (first, span, last) = (delta.first, delta.span, delta.last());
            let have = self.have.get(first.agent);
            out.work(1);
            if last.counter > have {
                if first.counter > have + 1 || !delta.is_ready(&self.have) {
                    return (told, Use::Gap);
                }
                if first.counter == have + 1 && !self.cells.knows_neighbours(&delta) {
                    return (told, Use::Forgotten);
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
        (told, Use::All)
    }

    /// Applies the operations that are new and whose dependencies are here, and lets the others wait. Returns how far each agent's operations
    /// in the message go, and whether none has to wait.
    pub fn take_operations(
        &mut self,
        entries: Vec<Entry>,
        cargo: &Cargo,
        out: &mut Outbox,
    ) -> (Version, Use) {
        let (mut told, mut element, mut used) = (Version::new(), 0, Use::All);
        for entry in entries {
            let (first, span, last) = (entry.delta.first, entry.delta.span, entry.delta.last());
            let have = self.have.get(first.agent);
            out.work(1 + entry.saw.len() as u64);
            told.raise(first.agent, last.counter);
            if last.counter > have {
                let is_next = first.counter == have + 1;
                if is_next && self.have.reaches(&entry.saw) && entry.delta.is_ready(&self.have) {
                    if !self.cells.knows_neighbours(&entry.delta) {
                        return (told, Use::Forgotten);
                    }
                    self.deliver(entry, element, &cargo.ids, out);
                } else {
                    used = Use::Gap;
                    let ids = rebased(&cargo.ids, element, span);
                    self.waiting.keep(Early { entry, ids });
                }
            }
            element += span;
        }
        let mut work_units = 0;
        while let Some(early) = self.waiting.take_ready(&self.have, &mut work_units) {
            if !self.cells.knows_neighbours(&early.entry.delta) {
                used = Use::Forgotten;
                break;
            }
            self.deliver(early.entry, 0, &early.ids, out);
        }
        out.work(work_units);
        (told, used)
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
        let is_news = !matches!(delta.op, Op::Saw(_));
        self.members.heard(delta.first.agent, delta.span, is_news);
        self.members.made(delta.last());
        let mut effects = Effects::default();
        self.cells.apply(delta, &mut effects);
        self.report(self.ids.of(delta.first), &effects, out);
        if let Op::Saw(said) = &delta.op {
            self.hear(delta.first, said, out);
        }
    }
}

/// The ids that belong to `span` elements from `element` on, as if these were the whole message.
fn rebased(ids: &[CargoIds], element: u64, span: u64) -> Vec<CargoIds> {
    let own = ids.iter().filter(|entry| (element..element + span).contains(&entry.element.into()));
    own.map(|entry| CargoIds { element: entry.element - element as u32, ..*entry }).collect()
}
