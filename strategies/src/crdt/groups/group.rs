//! Delta-groups: parts of the state, as a lattice.
//!
//! A group is a set of dots that it tells of, and for each cell what became of them. Each kind of cell is a product of chains, so that the
//! join is unique, decomposes into join-irreducible elements, and forgets by itself what was overtaken:
//!
//! - register: for each agent its last put, shown before hidden (nobody is his own rival: who puts replaces what he put before);
//! - counter: for each agent how far and how much it added, and how much of that was deleted;
//! - set: for each insertion, there before removed;
//! - text: for each character, shown before deleted.
//!
//! Beside the cells, of each agent the last that it said of what it has ([`Rows`]).

use super::passage::{Passage, Run};
use super::said::{self, Row, Rows};
use super::spans;
use crate::contract::Malformed;
use crate::crdt::causal::{Agent, Dot, Span, Version, insert_span};
use crate::crdt::cells::{Cells, State};
use crate::crdt::counter::{Share, Tally};
use crate::crdt::op::{Delta, Op, Seen};
use crate::crdt::sequence::{Claim, TextOrder};
use crate::document::{Cell, FieldKind, Schema, Value};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// Part of a state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// The dots that it tells of. Those that it says nothing else of were overtaken, or only hid something.
    covers: Vec<Span>,
    parts: BTreeMap<Cell, Part>,
    said: Rows,
}

/// Part of one cell; none is empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Each agent's last put: which, and the value unless it is hidden.
    Register(BTreeMap<Agent, (u64, Option<Value>)>),
    /// Each agent's share.
    Counter(BTreeMap<Agent, Share>),
    /// Insertions, with the element unless it was removed.
    Set(BTreeMap<Dot, Option<Value>>),
    /// Characters.
    Text(Passage),
}

impl Part {
    fn of(kind: FieldKind) -> Part {
        match kind {
            FieldKind::Register => Part::Register(BTreeMap::new()),
            FieldKind::Counter => Part::Counter(BTreeMap::new()),
            FieldKind::Set => Part::Set(BTreeMap::new()),
            FieldKind::Text => Part::Text(Passage::default()),
        }
    }

    /// The kind of cell.
    pub fn kind(&self) -> FieldKind {
        match self {
            Part::Register(_) => FieldKind::Register,
            Part::Counter(_) => FieldKind::Counter,
            Part::Set(_) => FieldKind::Set,
            Part::Text(_) => FieldKind::Text,
        }
    }

    /// Takes in an agent's put, shown or hidden.
    pub fn put(&mut self, dot: Dot, value: Option<Value>) {
        let Part::Register(puts) = self else { return };
        match puts.entry(dot.agent) {
            Entry::Vacant(slot) => drop(slot.insert((dot.counter, value))),
            Entry::Occupied(mut last) => {
                let (counter, shown) = last.get();
                if *counter < dot.counter
                    || *counter == dot.counter && shown.is_some() && value.is_none()
                {
                    last.insert((dot.counter, value));
                }
            }
        }
    }

    /// Takes in how far an agent's share goes.
    pub fn raise(&mut self, agent: Agent, share: Share) {
        let Part::Counter(shares) = self else { return };
        let own = shares.entry(agent).or_default();
        for (own, other) in [(&mut own.added, share.added), (&mut own.reset, share.reset)] {
            if other.through > own.through {
                *own = other;
            }
        }
    }

    /// Takes in an insertion, there or removed.
    pub fn insert(&mut self, dot: Dot, element: Option<Value>) {
        let Part::Set(insertions) = self else { return };
        match insertions.entry(dot) {
            Entry::Vacant(slot) => drop(slot.insert(element)),
            Entry::Occupied(mut own) if element.is_none() => drop(own.insert(None)),
            Entry::Occupied(_) => {}
        }
    }

    fn join(&mut self, other: &Part) {
        match other {
            Part::Register(puts) => {
                for (agent, (counter, value)) in puts {
                    self.put(Dot { agent: *agent, counter: *counter }, value.clone());
                }
            }
            Part::Counter(shares) => {
                shares.iter().for_each(|(agent, share)| self.raise(*agent, *share));
            }
            Part::Set(insertions) => {
                for (dot, element) in insertions {
                    self.insert(*dot, element.clone());
                }
            }
            Part::Text(theirs) => {
                if let Part::Text(own) = self {
                    own.join(theirs);
                }
            }
        }
    }

    fn elements(&self) -> u64 {
        match self {
            Part::Register(puts) => puts.len() as u64,
            Part::Counter(shares) => shares.values().map(share_elements).sum(),
            Part::Set(insertions) => insertions.len() as u64,
            Part::Text(passage) => passage.elements(),
        }
    }

    fn content_bytes(&self) -> u64 {
        let length = |value: &Option<Value>| value.as_ref().map_or(0, |v| v.as_str().len() as u64);
        match self {
            Part::Register(puts) => puts.values().map(|(_, value)| length(value)).sum(),
            Part::Counter(shares) => shares.values().map(share_content_bytes).sum(),
            Part::Set(insertions) => insertions.values().map(length).sum(),
            Part::Text(passage) => passage.runs().values().map(|run| run.text.len() as u64).sum(),
        }
    }

    fn memory_bytes(&self) -> u64 {
        let entries = match self {
            Part::Register(puts) => puts.len() * size_of::<(Agent, (u64, Option<Value>))>(),
            Part::Counter(shares) => shares.len() * size_of::<(Agent, Share)>(),
            Part::Set(insertions) => insertions.len() * size_of::<(Dot, Option<Value>)>(),
            Part::Text(passage) => {
                passage.runs().len() * size_of::<(Dot, Run)>() + size_of_val(passage.hidden())
            }
        };
        size_of::<(Cell, Part)>() as u64 + entries as u64
    }
}

/// Elements of one agent's part in a counter: what it added, and what was deleted of that.
pub fn share_elements(share: &Share) -> u64 {
    u64::from(share.added.through > 0) + u64::from(share.reset.through > 0)
}

/// Bytes of user content in it: as many as it takes to write the sum that was added.
pub fn share_content_bytes(share: &Share) -> u64 {
    if share.added.through == 0 {
        return 0;
    }
    let zigzag = (share.added.sum << 1 ^ share.added.sum >> 63) as u64;
    u64::from((64 - zigzag.leading_zeros()).max(1).div_ceil(7))
}

impl Group {
    /// A group that tells of these dots, and nothing else yet.
    pub fn covering(covers: Vec<Span>) -> Self {
        Group { covers, ..Group::default() }
    }

    /// A group of these parts.
    pub fn of(covers: Vec<Span>, parts: BTreeMap<Cell, Part>, said: Rows) -> Self {
        Group { covers, parts, said }
    }

    /// What an agent says under its next dot.
    pub fn saying(agent: Agent, row: Row) -> Self {
        let first = Dot { agent, counter: row.counter };
        let (covers, said) = (vec![Span { first, len: 1 }], [(agent, row)].into());
        Group { covers, said, ..Group::default() }
    }

    /// The last that each agent said.
    pub fn said(&self) -> &Rows {
        &self.said
    }

    /// Takes in what an agent said.
    pub fn say(&mut self, agent: Agent, row: &Row) {
        said::say(&mut self.said, agent, row);
    }

    /// The delta of an edit that was just made: its changes, in terms of the document they are part of now.
    pub fn of_edit(deltas: &[Delta], cells: &Cells) -> Self {
        let mut group = Group::default();
        for delta in deltas {
            insert_span(&mut group.covers, Span { first: delta.first, len: delta.span });
            match &delta.op {
                Op::Put { cell, value, seen } => {
                    let part = group.part(*cell, FieldKind::Register);
                    seen.iter().for_each(|dot| part.put(*dot, None));
                    part.put(delta.first, Some(value.clone()));
                }
                Op::Add { cell, .. } => {
                    let agent = delta.first.agent;
                    let Some(State::Counter(counter)) = cells.states().get(cell) else { continue };
                    let added = counter.shares().get(&agent).map_or(Tally::default(), |s| s.added);
                    let share = Share { added, ..Share::default() };
                    group.part(*cell, FieldKind::Counter).raise(agent, share);
                }
                Op::Insert { cell, element, seen } => {
                    let part = group.part(*cell, FieldKind::Set);
                    seen.iter().for_each(|dot| part.insert(*dot, None));
                    part.insert(delta.first, Some(element.clone()));
                }
                Op::Run { cell, left, claim, text } => {
                    let (left, claim, text) = (*left, *claim, text.clone());
                    let run = Run { len: delta.span as u32, left, claim, text };
                    group.passage(*cell).insert(delta.first, &run);
                }
                Op::Hide { seen } => {
                    for (cell, seen) in seen {
                        group.hide(*cell, seen);
                    }
                }
                // No edit says that; only replicas by version do.
                Op::Saw(_) => {}
            }
        }
        group
    }

    fn hide(&mut self, cell: Cell, seen: &Seen) {
        let part = self.part(cell, seen.kind());
        match seen {
            Seen::Values(dots) => dots.iter().for_each(|dot| part.put(*dot, None)),
            Seen::Insertions(dots) => dots.iter().for_each(|dot| part.insert(*dot, None)),
            Seen::Tallies(tallies) => {
                for (agent, reset) in tallies {
                    part.raise(*agent, Share { reset: *reset, ..Share::default() });
                }
            }
            Seen::Characters(spans) => {
                spans.iter().for_each(|span| self.passage(cell).hide(*span));
            }
        }
    }

    /// The dots that it tells of.
    pub fn covers(&self) -> &[Span] {
        &self.covers
    }

    /// What it says of each cell, in order.
    pub fn parts(&self) -> &BTreeMap<Cell, Part> {
        &self.parts
    }

    /// What it says of one cell, to add to.
    pub fn part(&mut self, cell: Cell, kind: FieldKind) -> &mut Part {
        self.parts.entry(cell).or_insert_with(|| Part::of(kind))
    }

    /// What it says of one text, to add to.
    pub fn passage(&mut self, cell: Cell) -> &mut Passage {
        match self.part(cell, FieldKind::Text) {
            Part::Text(passage) => passage,
            _ => unreachable!("cells are checked against the schema before"),
        }
    }

    /// Takes in another group.
    pub fn join(&mut self, other: &Group) {
        other.covers.iter().for_each(|span| insert_span(&mut self.covers, *span));
        other.said.iter().for_each(|(agent, row)| self.say(*agent, row));
        for (cell, part) in &other.parts {
            match self.parts.entry(*cell) {
                Entry::Vacant(slot) => drop(slot.insert(part.clone())),
                Entry::Occupied(mut own) => own.get_mut().join(part),
            }
        }
    }

    /// How many join-irreducible elements it has: puts, sums, insertions, characters, each that was hidden or not. Dots of which there is
    /// nothing to say but that they are covered are no elements.
    pub fn elements(&self) -> u64 {
        self.parts.values().map(Part::elements).sum()
    }

    /// Bytes of user content: values, text, sums.
    pub fn content_bytes(&self) -> u64 {
        self.parts.values().map(Part::content_bytes).sum()
    }

    /// Bytes it takes in memory, about.
    pub fn memory_bytes(&self) -> u64 {
        let parts = self.parts.values().map(Part::memory_bytes).sum::<u64>();
        let said = said::memory_bytes(&self.said);
        size_of_val(&self.covers[..]) as u64 + parts + said + self.content_bytes()
    }

    /// The agents whose additions to a counter it tells of, in order of cells.
    pub fn additions(&self) -> impl Iterator<Item = (Cell, Agent)> + '_ {
        self.parts.iter().flat_map(|(cell, part)| {
            let shares = match part {
                Part::Counter(shares) => Some(shares),
                _ => None,
            };
            let added = shares.into_iter().flatten().filter(|(_, share)| share.added.through > 0);
            added.map(|(agent, _)| (*cell, *agent))
        })
    }

    /// Calls `visit` with the agent of every dot that it names.
    pub fn each_agent(&self, mut visit: impl FnMut(Agent)) {
        self.covers.iter().for_each(|span| visit(span.first.agent));
        for part in self.parts.values() {
            match part {
                Part::Register(puts) => puts.keys().for_each(|agent| visit(*agent)),
                Part::Counter(shares) => shares.keys().for_each(|agent| visit(*agent)),
                Part::Set(insertions) => insertions.keys().for_each(|dot| visit(dot.agent)),
                Part::Text(passage) => {
                    for (first, run) in passage.runs() {
                        let right = right_of(run);
                        let named = [*first, run.left, right];
                        named.iter().filter(|dot| !dot.is_none()).for_each(|dot| visit(dot.agent));
                    }
                    passage.hidden().iter().for_each(|span| visit(span.first.agent));
                }
            }
        }
    }

    /// Checks that the group can be joined with a state that has `have`: it goes on where that one ends, and tells of nothing that
    /// would be unknown then.
    ///
    /// # Errors
    /// [`Malformed`] where not.
    pub fn check(
        &self,
        schema: &Schema,
        text_order: TextOrder,
        have: &Version,
        own: Agent,
    ) -> Result<(), Malformed> {
        for span in &self.covers {
            let (agent, end) = (span.first.agent, span.end().counter);
            if agent >= Agent::GENESIS {
                return Err(Malformed("changes by nobody"));
            }
            if span.first.counter > have.get(agent) + 1 {
                return Err(Malformed("changes whose predecessors are missing"));
            }
            if agent == own && end > have.get(agent) + 1 {
                return Err(Malformed("own changes that were never made"));
            }
        }
        let known = |dot: Dot| have.covers(dot) || spans::has(&self.covers, dot);
        let all = |span: &Span| known(span.first) && known(span.first.plus(span.len - 1));
        said::check_rows(&self.said, known)?;
        for (cell, part) in &self.parts {
            if schema.kind(cell.field) != Some(part.kind()) {
                return Err(Malformed("a cell is of another kind, or there is none"));
            }
            let is_known = match part {
                Part::Register(puts) => puts
                    .iter()
                    .all(|(agent, (counter, _))| known(Dot { agent: *agent, counter: *counter })),
                Part::Counter(shares) => shares.iter().all(|(agent, share)| {
                    [share.added.through, share.reset.through]
                        .into_iter()
                        .all(|counter| counter == 0 || known(Dot { agent: *agent, counter }))
                }),
                Part::Set(insertions) => insertions.keys().all(|dot| known(*dot)),
                Part::Text(passage) => {
                    passage.hidden().iter().all(all)
                        && passage.runs().iter().all(|(first, run)| {
                            run.claim.order() == text_order
                                && known(run.left)
                                && known(right_of(run))
                                && all(&run.span(*first))
                        })
                }
            };
            if !is_known {
                return Err(Malformed("a group names what it does not tell of"));
            }
        }
        Ok(())
    }
}

/// What a run was inserted before, where it says so.
fn right_of(run: &Run) -> Dot {
    match run.claim {
        Claim::Before(right) => right,
        Claim::At(_) => Dot::NONE,
    }
}
