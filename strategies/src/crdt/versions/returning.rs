//! Taking over a peer's whole document, where the log of neither reaches back to what the other one has, or where this replica was gone.
//!
//! What this replica has and the peer lacks goes on top: as it is where the peer only remembers less. Where this replica was presumed
//! gone, everybody else may have forgotten characters that its changes name as neighbours, and has stopped listening to its old
//! name. Then it makes its own changes again on the peer's document, under the same edit ids but in a new life with new dots: text beside the
//! nearest character that is still there. Changes by others that the peer lacks are left to those who made them.
//!
//! The one thing that this cannot know: a change of its old life that reached a member which has not passed it on in all the time since is
//! made twice.

use super::log::Log;
use super::store::{Store, Use};
use crate::contract::{Cargo, Malformed, Outbox};
use crate::crdt::causal::{Agent, Dot, Span, Version, insert_span};
use crate::crdt::cells::{Cells, Effects};
use crate::crdt::op::{Delta, Op, Seen};
use crate::crdt::snapshot;
use crate::crdt::takeover::{Displayed, Replacement};
use crate::document::{Cell, EditId, ReplicaId};
use crate::wire::Reader;
use std::collections::{BTreeMap, BTreeSet};

impl Store {
    /// Takes over the document of a peer that has `version`. Refused where this replica's log does not hold all that the peer lacks and its
    /// document is the larger one: then the peer gets this one's state. With `over` the peer takes this replica, in that life, for one that was
    /// gone.
    ///
    /// # Errors
    /// [`Malformed`] where the state makes no sense.
    pub fn take_state(
        &mut self,
        from: ReplicaId,
        version: &Version,
        (state, over): (&[u8], Option<Agent>),
        cargo: &Cargo,
        out: &mut Outbox,
    ) -> Result<Use, Malformed> {
        let mut theirs = version.clone();
        theirs.raise(Agent::GENESIS, self.have.get(Agent::GENESIS));
        if theirs.get(self.agent) > self.have.get(self.agent) {
            return Err(Malformed("own changes that were never made"));
        }
        let read = || {
            let mut reader = Reader::new(state);
            let order = self.cells.text_order();
            let cells = snapshot::read_cells(&mut reader, &theirs, &self.schema, order)?;
            reader.end()?;
            Ok(cells)
        };
        let cells = read()?;
        let rebase = over.is_some();
        // It has begun a new life since.
        if over.is_some_and(|life| self.agent > life) && self.have.get(self.agent) > 0 {
            return Ok(Use::Gap);
        }
        if self.have.reaches(&theirs) && !rebase {
            return Ok(Use::All);
        }
        // Where neither remembers what the other one lacks, the smaller document gives way. A peer with the smaller one gets this one's state.
        let remembers = self.log.reaches(&theirs);
        let size = |version: &Version| version.beyond(&Version::new());
        let gives_way = (size(&self.have), from) < (size(&theirs), self.agent.replica());
        if !rebase && !remembers && !gives_way {
            return Ok(Use::Gap);
        }
        // Of two that take each other to be gone it is the same.
        if rebase && self.members.is_gone(from) && !gives_way {
            return Ok(Use::All);
        }
        out.work_bytes(state.len());
        let on_top = if rebase || !remembers { None } else { self.put_on_top(cells, &theirs, out) };
        let (cells, anew) = match on_top {
            Some(cells) => (cells, false),
            None => (read()?, true),
        };
        self.members.welcome(from);
        let was = self.displayed();
        let before = std::mem::replace(&mut self.cells, cells);
        let (fresh, _) = self.ids.take_all(version, &self.have, &cargo.ids, out);
        let newest = fresh.last().copied();
        if anew {
            self.begin_again(&before, &was, theirs, newest, out);
        } else {
            self.log.skip_to(&self.have, &theirs);
            self.have.join(&theirs);
        }
        self.report_replacement(&before, &was, fresh, out);
        Ok(if anew { Use::Gap } else { Use::All })
    }

    /// A peer's document with what it lacks applied as it is; `None` where one of these changes names a neighbour that was forgotten there.
    fn put_on_top(&self, mut cells: Cells, theirs: &Version, out: &mut Outbox) -> Option<Cells> {
        let mut effects = Effects::default();
        for (entry, skip) in self.log.unknown(self.log.start(), theirs) {
            let mut delta = entry.delta.clone();
            delta.skip(skip);
            if !cells.knows_neighbours(&delta) {
                return None;
            }
            cells.apply(&delta, &mut effects);
        }
        out.work(effects.work_units);
        Some(cells)
    }

    /// The edits of which something is shown.
    fn displayed(&self) -> Displayed {
        self.ids.displayed(self.cells.displayed())
    }

    /// Goes on from a peer's document in a new life: this replica's own changes that the peer lacks are made again, the others dropped.
    fn begin_again(
        &mut self,
        before: &Cells,
        was: &Displayed,
        theirs: Version,
        newest: Option<EditId>,
        out: &mut Outbox,
    ) {
        let lacking = self.own_unknown_to(&theirs);
        let known = std::mem::replace(&mut self.have, theirs);
        self.log = Log::resume(self.log.end(), self.have.news(&Version::new()), Vec::new());
        self.waiting = Default::default();
        self.told = self.told.is_some().then(Version::new);
        self.burial = None;
        self.agent = self.agent.next();
        self.members.start_over();
        let mut returning =
            Returning { before, theirs: self.have.clone(), names: BTreeMap::new(), store: self };
        let mut again = BTreeSet::new();
        for delta in &lacking {
            returning.make_again(delta, &mut again, out);
        }
        let shown = || self.displayed().times.into_keys().next();
        let by = newest.or(again.first().copied()).or_else(shown);
        again.extend(was.times.keys());
        self.ids.drop_beyond(&self.have, &known, by, &again, out);
    }

    /// Takes this replica's own changes that a peer lacks out of those that somebody may lack.
    fn own_unknown_to(&mut self, theirs: &Version) -> Vec<Delta> {
        let replica = self.agent.replica();
        let logged = self.log.entries().map(|entry| &entry.delta);
        let logged = logged.filter(|delta| delta.first.agent.replica() == replica).cloned();
        let mut lacking = Vec::new();
        for mut delta in std::mem::take(&mut self.own).into_iter().chain(logged) {
            let seen = theirs.get(delta.first.agent).saturating_sub(delta.first.counter - 1);
            if seen == 0 {
                lacking.push(delta);
                continue;
            }
            if seen < delta.span {
                let mut rest = delta.clone();
                rest.skip(seen);
                lacking.push(rest);
                delta.keep(seen);
            }
            self.own.push_back(delta);
        }
        lacking
    }

    /// Reports what the document shows instead of the one before; `fresh` are the edits that came with it.
    fn report_replacement(
        &self,
        before: &Cells,
        was: &Displayed,
        fresh: Vec<EditId>,
        out: &mut Outbox,
    ) {
        let is = self.displayed();
        let shown = is.times.keys().next();
        let newest = fresh.last().or(shown);
        // What has taken the place of an edit that came without being shown, the state does not say.
        let stand_in = fresh.iter().find(|edit| is.times.contains_key(edit)).or(shown);
        let stand_ins = newest.into_iter().chain(stand_in).copied().collect();
        let (found, replaced) = (before.compare(&self.cells), &BTreeMap::new());
        let replacement = Replacement { was, is: &is, found, fresh, replaced, stand_ins };
        self.ids.report(replacement, out);
    }
}

/// A replica on its way back.
struct Returning<'a> {
    store: &'a mut Store,
    /// The document as it was here.
    before: &'a Cells,
    /// What the peer has.
    theirs: Version,
    /// New names of stretches of own dots, by their first.
    names: BTreeMap<Dot, (u64, Dot)>,
}

impl Returning<'_> {
    /// What a dot is called now, and for how many dots from there on that holds; none where its change was dropped.
    fn rename(&self, dot: Dot) -> Option<(Dot, u64)> {
        if self.theirs.covers(dot) {
            return Some((dot, self.theirs.get(dot.agent) - dot.counter + 1));
        }
        let (first, (len, new)) = self.names.range(..=dot).next_back()?;
        let into = dot.counter.wrapping_sub(first.counter);
        (first.agent == dot.agent && into < *len).then(|| (new.plus(into), len - into))
    }

    fn renamed(&self, dots: &[Dot]) -> Vec<Dot> {
        dots.iter().filter_map(|dot| Some(self.rename(*dot)?.0)).collect()
    }

    /// Makes a change again under the next dots.
    fn make_again(&mut self, delta: &Delta, again: &mut BTreeSet<EditId>, out: &mut Outbox) {
        let agent = self.store.agent;
        let first = Dot { agent, counter: self.store.have.get(agent) + 1 };
        let op = match &delta.op {
            Op::Saw(_) => return,
            Op::Put { cell, value, seen } => {
                Op::Put { cell: *cell, value: value.clone(), seen: self.renamed(seen) }
            }
            Op::Add { .. } => delta.op.clone(),
            Op::Insert { cell, element, seen } => {
                Op::Insert { cell: *cell, element: element.clone(), seen: self.renamed(seen) }
            }
            Op::Run { cell, left, text, .. } => {
                let at = self.place(*cell, *left, out);
                match self.store.cells.type_at(*cell, at, first, text.clone()) {
                    Some(op) => op,
                    None => return,
                }
            }
            Op::Hide { seen } => {
                let seen = seen.iter().map(|(cell, seen)| (*cell, self.hidden(*cell, seen)));
                Op::Hide { seen: seen.filter(|(_, seen)| !seen.is_empty()).collect() }
            }
        };
        let made = Delta { first, span: delta.span, op };
        let mut effects = Effects::default();
        if !matches!(made.op, Op::Run { .. }) {
            self.store.cells.apply(&made, &mut effects);
        }
        self.names.insert(delta.first, (delta.span, first));
        for n in 0..delta.span {
            if let Some(id) = self.store.ids.of(delta.first.plus(n)) {
                self.store.ids.note(first.plus(n), 1, id);
                again.insert(id);
            }
        }
        self.store.have.raise(agent, made.last().counter);
        out.work(effects.work_units);
        self.store.list(made, u64::MAX, out);
    }

    /// Where text goes that was typed behind a character: behind the nearest one before it that is still there.
    fn place(&self, cell: Cell, left: Dot, out: &mut Outbox) -> usize {
        let (Some(before), Some(now)) = (self.before.text(cell), self.store.cells.text(cell))
        else {
            return 0;
        };
        if left.is_none() {
            return 0;
        }
        let up_to = before.up_to(left);
        out.work((up_to.len() + now.items()) as u64);
        for span in up_to.iter().rev() {
            for n in (0..span.len).rev() {
                out.work(1);
                if let Some((dot, _)) = self.rename(span.first.plus(n))
                    && now.has(dot)
                {
                    return now.position_behind(dot);
                }
            }
        }
        0
    }

    /// What is to be hidden now of what was hidden then.
    fn hidden(&self, cell: Cell, seen: &Seen) -> Seen {
        match seen {
            Seen::Values(dots) => Seen::Values(self.renamed(dots)),
            Seen::Insertions(dots) => Seen::Insertions(self.renamed(dots)),
            Seen::Characters(spans) => {
                let mut renamed = Vec::new();
                for span in spans {
                    let mut dot = span.first;
                    while dot < span.end() {
                        let left = span.end().counter - dot.counter;
                        let (new, len) = match self.rename(dot) {
                            Some((new, len)) => (Some(new), len.min(left)),
                            None => (None, 1),
                        };
                        if let Some(first) = new {
                            insert_span(&mut renamed, Span { first, len });
                        }
                        dot = dot.plus(len);
                    }
                }
                Seen::Characters(renamed)
            }
            Seen::Tallies(tallies) => {
                // Of another one's additions those that are here. Of its own all that it has made so far, which it had seen.
                let own = self.store.agent.replica();
                let is_own = |agent: Agent| agent.replica() == own;
                let saw_own = tallies.iter().any(|(agent, _)| is_own(*agent));
                let now = self.store.cells.tallies(cell);
                let seen = now.into_iter().filter_map(|(agent, added)| {
                    let then = tallies.iter().find(|(of, _)| *of == agent).map(|(_, tally)| *tally);
                    match then {
                        _ if is_own(agent) => saw_own.then_some((agent, added)),
                        Some(then) if then.through < added.through => Some((agent, then)),
                        then => then.map(|_| (agent, added)),
                    }
                });
                Seen::Tallies(seen.filter(|(_, tally)| tally.through > 0).collect())
            }
        }
    }
}
