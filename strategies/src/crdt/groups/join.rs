//! Joining a group, or another replica's whole state, with the state of this one. Both say what was new.
//!
//! A state keeps only what is there; its version stands for all that it once had. So what the version covers and the state lacks is
//! hidden, and stays so.

use super::group::{Group, Part};
use super::passage::{Run, in_causal_order};
use super::returning::{Lacking, adopt};
use super::spans;
use crate::contract::Malformed;
use crate::crdt::causal::{Agent, Dot, Span, Version, insert_span};
use crate::crdt::cells::{Cells, State};
use crate::crdt::counter::{Counter, Share};
use crate::crdt::register::Register;
use crate::crdt::sequence::{Claim, Sequence};
use crate::crdt::set::Set;
use crate::document::{Cell, FieldKind, Value};
use std::collections::BTreeMap;

/// What a join did besides making the state greater.
#[derive(Debug, Default)]
pub struct Effects {
    /// Values that are now shown beside a new one: the cell, the value, the new one.
    pub rivals: Vec<(Cell, Dot, Dot)>,
    /// Values and additions that are hidden now.
    pub gone: Vec<(Cell, Dot)>,
    /// Elements visited.
    pub work_units: u64,
}

/// The runs of each text of a group that are new to a state that has `have`, in an order in which they can be inserted.
pub type NewRuns = BTreeMap<Cell, Vec<(Dot, Run)>>;

/// Of texts that were taken over from another replica, what is to be typed again.
pub type Retyped = Vec<(Cell, Lacking)>;

/// Whether everything that new runs of a text name as neighbours is here or among themselves; it was let go where not.
pub fn knows_neighbours(cells: &Cells, cell: Cell, runs: &[(Dot, Run)]) -> bool {
    let text = cells.text(cell);
    let mut own: Vec<Span> = Vec::new();
    runs.iter().for_each(|(first, run)| insert_span(&mut own, run.span(*first)));
    let knows =
        |dot: Dot| dot.is_none() || spans::has(&own, dot) || text.is_some_and(|text| text.has(dot));
    runs.iter().all(|(_, run)| {
        let right = match run.claim {
            Claim::Before(right) => right,
            Claim::At(_) => Dot::NONE,
        };
        knows(run.left) && knows(right)
    })
}

/// Finds those runs.
///
/// # Errors
/// [`Malformed`] where there is no such order.
pub fn new_runs(group: &Group, have: &Version) -> Result<NewRuns, Malformed> {
    let mut all = NewRuns::new();
    for (cell, part) in group.parts() {
        if let Part::Text(passage) = part {
            let runs = passage.runs().iter().map(|(first, run)| (*first, run));
            all.insert(*cell, order_new(runs, have)?);
        }
    }
    Ok(all)
}

fn order_new<'a>(
    runs: impl Iterator<Item = (Dot, &'a Run)>,
    have: &Version,
) -> Result<Vec<(Dot, Run)>, Malformed> {
    let new = runs.filter_map(|(first, run)| {
        let part = spans::beyond(run.span(first), have)?;
        Some((part.first, run.cut(first, part)))
    });
    in_causal_order(new.collect())
}

/// Joins a group that was checked, and whose new runs were found, with the state of a replica that has `have`. Returns the part of the
/// group that is new: the join of those of its join-irreducible elements that the state did not have.
pub fn join_group(
    cells: &mut Cells,
    have: &mut Version,
    group: &Group,
    runs: &NewRuns,
    effects: &mut Effects,
) -> Group {
    let mut covers = Vec::new();
    for part in group.covers().iter().filter_map(|span| spans::beyond(*span, have)) {
        insert_span(&mut covers, part);
    }
    effects.work_units += group.covers().len() as u64;
    // Every change has a dot, hidings too: a group without a new dot brings nothing new.
    let mut delta = Group::covering(covers);
    if delta.covers().is_empty() {
        return delta;
    }
    for (cell, part) in group.parts() {
        let mut new = Join { cell: *cell, have, delta: &mut delta, effects };
        cells.revise(*cell, part.kind(), |state| match (state, part) {
            (State::Register(register), Part::Register(puts)) => new.register(register, puts),
            (State::Counter(counter), Part::Counter(shares)) => {
                let mut changed = false;
                for (agent, share) in shares {
                    changed |= new.share(counter, *agent, share);
                }
                changed
            }
            (State::Set(set), Part::Set(insertions)) => {
                let mut changed = false;
                for (dot, element) in insertions {
                    changed |= new.insertion(set, *dot, element.as_ref());
                }
                changed
            }
            (State::Text(text), Part::Text(passage)) => {
                let runs = runs.get(cell).map_or(&[][..], Vec::as_slice);
                let dead = passage.runs().iter().filter(|(_, run)| run.is_deleted());
                let dead = dead.map(|(first, run)| run.span(*first));
                let hidden = passage.hidden().iter().copied().chain(dead);
                new.text(text, runs, hidden)
            }
            _ => false,
        });
    }
    for (agent, row) in group.said() {
        if !have.covers(Dot { agent: *agent, counter: row.counter }) {
            delta.say(*agent, row);
        }
    }
    for span in group.covers() {
        have.raise(span.first.agent, span.end().counter - 1);
    }
    delta
}

/// Joins another replica's whole state with this one's; of the other one, which has `version`, these are the cells that may not be the same
/// here. Each comes with something that does not matter here. Where a text of theirs does not fit to what is here any more, or with `again`
/// in any case, theirs are taken over: then what is to be typed again is returned.
///
/// # Errors
/// [`Malformed`] where a text makes no sense; nothing has changed then.
pub fn join_state<T>(
    cells: &mut Cells,
    have: &mut Version,
    theirs: &BTreeMap<Cell, (State, T)>,
    (version, again): (&Version, bool),
    effects: &mut Effects,
) -> Result<Option<Retyped>, Malformed> {
    let mut texts = NewRuns::new();
    let mut fits = true;
    for (cell, (state, _)) in theirs {
        if let State::Text(text) = state {
            let new = text.runs().filter(|item| !have.covers(item.last()));
            let runs: Vec<_> = new.map(|item| (item.first, Run::of(item))).collect();
            let runs = runs.iter().map(|(first, run)| (*first, run));
            if again {
                continue;
            }
            match order_new(runs, have) {
                Ok(new) if knows_neighbours(cells, *cell, &new) => drop(texts.insert(*cell, new)),
                _ => fits = false,
            }
        }
    }
    let takes_over = again || !fits;
    let mut retyped = Retyped::new();
    // What is new is not asked for: somebody who gets a whole state passes on a whole state.
    let mut unused = Group::default();
    for (cell, (their, _)) in theirs {
        let mut new = Join { cell: *cell, have, delta: &mut unused, effects };
        cells.revise(*cell, kind_of(their), |state| match (state, their) {
            (State::Register(register), State::Register(their)) => {
                let mut puts: BTreeMap<Agent, (u64, Option<Value>)> = BTreeMap::new();
                let gone = gone(register.dots(), |dot| their.dots().contains(&dot), version);
                puts.extend(gone.map(|dot| (dot.agent, (dot.counter, None))));
                let shown = their.values().iter();
                puts.extend(shown.map(|(dot, v)| (dot.agent, (dot.counter, Some(v.clone())))));
                new.register(register, &puts)
            }
            (State::Counter(counter), State::Counter(their)) => {
                let mut changed = false;
                for (agent, share) in their.shares() {
                    changed |= new.share(counter, *agent, share);
                }
                changed
            }
            (State::Set(set), State::Set(their)) => {
                let mine: Vec<Dot> = set.insertions().keys().copied().collect();
                let gone = gone(mine, |dot| their.insertions().contains_key(&dot), version);
                let mut changed = false;
                for dot in gone {
                    changed |= new.insertion(set, dot, None);
                }
                for (dot, element) in their.insertions() {
                    changed |= new.insertion(set, *dot, Some(element));
                }
                changed
            }
            (State::Text(text), State::Text(their)) if takes_over => {
                new.effects.work_units += (text.items() + their.items()) as u64;
                let lacking = adopt(text, their, new.have, version);
                if !lacking.is_empty() {
                    retyped.push((*cell, lacking));
                }
                true
            }
            (State::Text(text), State::Text(their)) => {
                let runs = texts.get(cell).map_or(&[][..], Vec::as_slice);
                let dead = their.runs().filter(|item| item.is_deleted()).map(|item| item.span());
                // What it has seen and does not have any more is deleted too.
                let mut there: Vec<Span> = their.runs().map(|item| item.span()).collect();
                there.sort_unstable();
                let mine = text.visible().into_iter().flat_map(|span| spans::minus(span, &there));
                let seen = mine.filter_map(|span| {
                    let news = spans::beyond(span, version).map_or(0, |news| news.len);
                    (news < span.len).then_some(Span { len: span.len - news, ..span })
                });
                let gone: Vec<Span> = dead.chain(seen).collect();
                new.text(text, runs, gone.into_iter())
            }
            _ => false,
        });
    }
    let lacks = !version.reaches(have);
    have.join(version);
    Ok((again || takes_over && lacks).then_some(retyped))
}

/// Those of these dots that another replica has seen and shows no more.
fn gone(
    mine: Vec<Dot>,
    shows: impl Fn(Dot) -> bool,
    version: &Version,
) -> impl Iterator<Item = Dot> {
    mine.into_iter().filter(move |dot| version.covers(*dot) && !shows(*dot))
}

fn kind_of(state: &State) -> FieldKind {
    match state {
        State::Register(_) => FieldKind::Register,
        State::Counter(_) => FieldKind::Counter,
        State::Set(_) => FieldKind::Set,
        State::Text(_) => FieldKind::Text,
    }
}

/// Joining one cell; each step says whether what is shown may be another.
struct Join<'a> {
    cell: Cell,
    /// What was there before the join.
    have: &'a Version,
    delta: &'a mut Group,
    effects: &'a mut Effects,
}

impl Join<'_> {
    fn register(
        &mut self,
        register: &mut Register,
        puts: &BTreeMap<Agent, (u64, Option<Value>)>,
    ) -> bool {
        let (mut gone, mut shown) = (Vec::new(), Vec::new());
        self.effects.work_units += (puts.len() + register.values().len()) as u64;
        for (agent, (counter, value)) in puts {
            let dot = Dot { agent: *agent, counter: *counter };
            let is_new = !self.have.covers(dot);
            let own =
                register.values().iter().map(|(dot, _)| *dot).filter(|own| own.agent == *agent);
            let overtaken = |own: &Dot| match value {
                Some(_) => is_new && own.counter < *counter,
                None => own.counter <= *counter,
            };
            let before = gone.len();
            gone.extend(own.filter(overtaken));
            if is_new || gone.len() > before {
                self.delta.part(self.cell, FieldKind::Register).put(dot, value.clone());
            }
            if let Some(value) = value.as_ref().filter(|_| is_new) {
                shown.push((dot, value.clone()));
            }
        }
        register.hide(&gone, &mut Vec::new());
        for (dot, value) in &shown {
            register.put(*dot, value.clone(), &[], &mut Vec::new());
        }
        for (n, (dot, _)) in shown.iter().enumerate() {
            let later = |rival: &Dot| shown[n..].iter().any(|(other, _)| other == rival);
            let rivals = register.rivals(*dot).filter(|rival| !later(rival));
            self.effects.rivals.extend(rivals.map(|rival| (self.cell, rival, *dot)));
        }
        let changed = !gone.is_empty() || !shown.is_empty();
        self.effects.gone.extend(gone.into_iter().map(|dot| (self.cell, dot)));
        changed
    }

    fn share(&mut self, counter: &mut Counter, agent: Agent, share: &Share) -> bool {
        self.effects.work_units += 1;
        let own = counter.shares().get(&agent).copied().unwrap_or_default();
        let mut new = Share::default();
        if share.added.through > own.added.through && counter.raise(agent, share.added) {
            new.added = share.added;
        }
        if share.reset.through > own.reset.through {
            let mut gone = Vec::new();
            counter.hide(&[(agent, share.reset)], &mut gone);
            self.effects.gone.extend(gone.into_iter().map(|dot| (self.cell, dot)));
            new.reset = share.reset;
        }
        let is_news = new != Share::default();
        if is_news {
            self.delta.part(self.cell, FieldKind::Counter).raise(agent, new);
        }
        is_news
    }

    fn insertion(&mut self, set: &mut Set, dot: Dot, element: Option<&Value>) -> bool {
        self.effects.work_units += 1;
        let is_new = !self.have.covers(dot);
        let mut changes = true;
        match element {
            Some(element) if is_new => set.insert(dot, element.clone(), &[]),
            None if set.insertions().contains_key(&dot) => set.hide(&[dot]),
            None if is_new => changes = false,
            _ => return false,
        }
        self.delta.part(self.cell, FieldKind::Set).insert(dot, element.cloned());
        changes
    }

    fn text(
        &mut self,
        text: &mut Sequence,
        runs: &[(Dot, Run)],
        hidden: impl Iterator<Item = Span>,
    ) -> bool {
        for (first, run) in runs {
            self.effects.work_units += 1
                + run.text.len() as u64 / 64
                + if run.is_deleted() {
                    text.insert_deleted(*first, run.len, run.left, run.claim)
                } else {
                    text.insert_beside(*first, run.left, run.claim, &run.text)
                };
            self.delta.passage(self.cell).insert(*first, run);
        }
        let hidden: Vec<Span> = hidden.collect();
        let mut gone = Vec::new();
        self.effects.work_units += text.erase_shown(&hidden, &mut gone);
        // Characters that were deleted before this replica saw them at all.
        let unseen = hidden.iter().filter_map(|span| spans::beyond(*span, self.have));
        for span in unseen.chain(gone.iter().copied()) {
            self.delta.passage(self.cell).hide(span);
        }
        !runs.is_empty() || !gone.is_empty()
    }
}
