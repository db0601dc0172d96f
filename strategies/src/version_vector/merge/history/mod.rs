//! The history of one cell, as far back as anybody may still need it: a root that every member has, and the edits since then, each with
//! the ones that its author had seen last. What is shown is a pure function of it, so that all who have the same edits show the same,
//! and nobody ever writes a merge.
//!
//! Edits written without knowing each other are merged three-way, against what both authors had seen: their last common ancestor, which is
//! itself a merge where histories criss-cross (as git's recursive strategy has it). So counters come out exact.
//!
//! A register cannot be merged. A side that changed nothing yields, a deletion yields to a value, and where several different values
//! remain they are shown as alternatives: whoever merges files by hand is asked there, too.
//!
//! **Root.** An edit that every current member is known to have, and that everything else here either led to or followed, becomes the
//! root; what led to it is forgotten. Merging is not affected: all that can still come has the root in its past. Whoever was away for so
//! long that nobody waited for him has an older root. Then there is no common ancestor that both sides know, and he takes over the
//! others' root and makes his own edits again on top of it ([`History::adopt`]).

mod line;
mod merging;
mod root;

pub use line::{Line, Name, NewNode, Node};
pub use root::Root;

use super::graph::Graph;
use super::step::Step;
use super::three_way::State;
use crate::contract::Malformed;
use crate::document::{Content, Edit, EditId, FieldKind, Mark, ReplicaId};
use crate::lineage::Lineage;
use crate::version_vector::vector::{Actor, Dot, Vector};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Of so many edits one after the other, one keeps its state: those between are worked out again where somebody has to be merged with them.
/// So a long history takes no more room than what was written, and a short way to any point of it.
const STATES_APART: u8 = 64;

/// What a cell shows, and the edits it stands on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// The content, or the alternatives of a conflict, the one displayed first; none where there is nothing.
    pub alternatives: Vec<(EditId, Arc<Content>)>,
    pub stands_on: Lineage,
}

/// What became of a node that came from somebody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It was here.
    Known,
    New,
    /// What it follows is not here.
    Refused,
    /// It was here, and was left out since it does not follow the root.
    LeftOut,
}

/// One cell.
#[derive(Clone, Debug)]
pub struct History {
    pub kind: FieldKind,
    /// All events known.
    pub vector: Vector,
    pub root: Root,
    /// The edits since the root.
    pub line: Line,
    view: View,
}

/// The name of an alternative.
pub fn mark(edit: EditId) -> Mark {
    Mark(u128::from(edit.origin.0) << 64 | u128::from(edit.sequence))
}

impl History {
    /// A cell that nobody has written to.
    pub fn new(kind: FieldKind) -> Self {
        let state = State { content: Arc::new(kind.empty()), stands_on: Lineage::new() };
        let root = Root {
            dot: Dot::GENESIS,
            events: 0,
            edit: EditId { origin: ReplicaId::GENESIS, sequence: 0 },
            vector: Vector::default(),
            state,
            pieces: Vec::new(),
            pieces_kept: 0,
            removals: Lineage::new(),
            deletions: Lineage::new(),
        };
        let line = Line::new(root.dot);
        History { kind, vector: Vector::default(), root, line, view: View::default() }
    }

    /// Adds one more edit of the genesis.
    pub fn genesis(&mut self, id: EditId, edit: &Edit) {
        let step = Step::of(edit);
        let shown = self.root.state.clone();
        self.root.pieces.extend(step.inserted().into_iter().map(|piece| (id, Some(piece))));
        self.root.state = step.apply(shown, &[], id);
        self.root.edit = id;
        self.look();
    }

    pub fn view(&self) -> &View {
        &self.view
    }

    /// Whether an edit is among those since the root.
    pub fn place(&self, dot: Dot) -> Option<usize> {
        if dot == self.root.dot {
            return Some(0);
        }
        self.line.find(dot).map(|at| at + 1)
    }

    /// What an edit made of the cell, or what the root says.
    pub fn state(&self, place: usize) -> Cow<'_, State> {
        let mut again: Vec<&Node> = Vec::new();
        let mut place = place;
        let mut state = loop {
            let Some(at) = place.checked_sub(1) else { break Cow::Borrowed(&self.root.state) };
            let node = &self.line[at];
            if let Some(state) = &node.state {
                break Cow::Borrowed(state);
            }
            // It follows one that is before it, or the root.
            let before = self.line[..at].iter().rposition(|before| node.parents == [before.dot]);
            place = before.map_or(0, |before| before + 1);
            again.push(node);
        };
        for node in again.into_iter().rev() {
            state = Cow::Owned(self.outcome(node, state.into_owned(), &[]));
        }
        state
    }

    /// What an edit makes of what its author was shown. `parents` are the single states that this was merged from.
    fn outcome(&self, node: &Node, shown: State, parents: &[Cow<'_, State>]) -> State {
        let mut state = node.step.apply(shown, parents, node.name.edit);
        if self.kind == FieldKind::Counter && node.step != Step::Clear {
            state.stands_on.extend(&node.name.also);
        }
        state
    }

    fn edit_at(&self, place: usize) -> EditId {
        place.checked_sub(1).map_or(self.root.edit, |at| self.line[at].name.edit)
    }

    pub(super) fn dot_at(&self, place: usize) -> Dot {
        place.checked_sub(1).map_or(self.root.dot, |at| self.line[at].dot)
    }

    /// What nobody here follows, from the best informed to the least.
    pub fn heads(&self) -> Vec<usize> {
        let places = self.line.heads().iter().filter_map(|head| self.place(*head));
        self.ranked(places.collect())
    }

    fn events_at(&self, place: usize) -> u64 {
        place.checked_sub(1).map_or(self.root.events, |at| self.line[at].events)
    }

    /// Places from the best informed to the least.
    fn ranked(&self, mut places: Vec<usize>) -> Vec<usize> {
        places
            .sort_by_key(|place| std::cmp::Reverse((self.events_at(*place), self.dot_at(*place))));
        places
    }

    /// Who follows whom.
    fn graph(&self) -> Graph {
        let mut places: Vec<(Dot, usize)> =
            (0..=self.line.len()).map(|place| (self.dot_at(place), place)).collect();
        places.sort_unstable();
        let place = |dot: &Dot| {
            let at = places.binary_search_by_key(dot, |(dot, _)| *dot).ok()?;
            Some(places[at].1)
        };
        let parents = |node: &Node| node.parents.iter().filter_map(place).collect();
        Graph::new(std::iter::once(Vec::new()).chain(self.line.iter().map(parents)).collect())
    }

    /// What somebody is shown who has seen these places last, and how many events he has seen.
    pub(super) fn seen_by(&self, parents: &[usize], work: &mut u64) -> (State, u64) {
        if let [only] = parents {
            return (self.state(*only).into_owned(), self.events_at(*only));
        }
        let graph = self.graph();
        let heads = self.ranked(parents.to_vec());
        let state = self.merged(&heads, &graph, work);
        let one = |place: usize| if place == 0 { self.root.events } else { 1 };
        let events = graph.past(&heads).iter().map(one).fold(0, u64::saturating_add);
        (state, events)
    }

    pub(super) fn places(&self, dots: &[Dot]) -> Vec<usize> {
        dots.iter().filter_map(|dot| self.place(*dot)).collect()
    }

    /// What a node did to what its author was shown.
    pub fn step(&self, node: &Node) -> Step {
        if node.says_its_step() {
            return node.step.clone();
        }
        let before = self.seen_by(&self.places(&node.parents), &mut 0).0.content;
        match (&*before, node.state.as_ref().map(|state| &*state.content)) {
            (Content::Text(before), Some(Content::Text(text))) => Step::between(before, text),
            _ => node.step.clone(),
        }
    }

    /// Nodes that somebody lacks are about to be sent to him: they change no more.
    pub fn will_send(&mut self, to: ReplicaId) {
        for at in self.line.unsent() {
            if !self.line[at].is_held(to) {
                let step = self.step(&self.line[at]);
                self.line.send(at, step);
                self.shed(at);
            }
        }
    }

    /// Drops the state of an edit that others follow, where it can be worked out again.
    fn shed(&mut self, at: usize) {
        let node = &self.line[at];
        // The values of registers are in the edits anyway.
        let is_large = self.kind != FieldKind::Register;
        if is_large
            && node.depth > 0
            && node.says_its_step()
            && self.line.heads().binary_search(&node.dot).is_err()
        {
            self.line.shed(at);
        }
    }

    /// Lets an edit go into its author's last one, if nobody else has seen that one.
    fn grow(&mut self, actor: Actor, id: EditId, edit: &Edit, work: &mut u64) -> bool {
        let heads = self.heads();
        let ([place], next) = (heads.as_slice(), Step::of(edit)) else { return false };
        let Some(at) = place.checked_sub(1) else { return false };
        let node = &self.line[at];
        let is_last = node.dot.counter == self.vector.get(actor);
        if node.sent || node.dot.actor != actor || !is_last || !node.name.former.is_empty() {
            return false;
        }
        let Some(step) = node.step.then(&next) else { return false };
        // What is shown is this content, which is not to be copied.
        self.view = View::default();
        self.vector.increment(actor);
        let state = self.line.grow(at, id, &next, step);
        *work += next.work(state.content.bytes() as usize);
        Arc::make_mut(&mut state.content).apply(edit);
        match self.kind {
            FieldKind::Register => state.stands_on = Lineage::of(id),
            FieldKind::Counter => {
                state.stands_on.insert(id);
            }
            FieldKind::Set | FieldKind::Text => {}
        }
        true
    }

    /// Adds a node whose parents are here.
    pub(super) fn add(&mut self, new: NewNode, work: &mut u64) {
        let places = self.places(&new.parents);
        let (shown, seen) = self.seen_by(&places, work);
        *work += new.step.work(shown.content.bytes() as usize);
        let events = seen.saturating_add(1);
        let depth = match places[..] {
            [only] if new.parents.len() == 1 => (self.depth(only) + 1) % STATES_APART,
            _ => 0,
        };
        let dot = new.dot;
        let mut node = Node { new, events, depth, state: None };
        let answers = matches!(node.step, Step::Set(_));
        let single = places.iter().filter(|_| answers).map(|place| self.state(*place));
        node.state = Some(self.outcome(&node, shown, &single.collect::<Vec<_>>()));
        self.line.insert(node);
        self.vector.raise(dot);
        // All parents are before it, and still where they were.
        places.iter().filter_map(|place| place.checked_sub(1)).for_each(|at| self.shed(at));
    }

    fn depth(&self, place: usize) -> u8 {
        place.checked_sub(1).map_or(0, |at| self.line[at].depth)
    }

    /// An edit by this replica's user. Returns its cost.
    pub fn write(&mut self, actor: Actor, id: EditId, edit: &Edit) -> u64 {
        let mut work = 1;
        if self.grow(actor, id, edit, &mut work) {
            self.look_at(&mut work);
            return work;
        }
        let mut parents = self.heads();
        if let (Edit::Resolve { seen, .. }, FieldKind::Register) = (edit, self.kind) {
            self.keep_open(&mut parents, seen);
        }
        let parents = parents.iter().map(|place| self.dot_at(*place)).collect();
        self.mint(actor, Name::of(id), parents, Step::of(edit), &mut work);
        self.look_at(&mut work);
        work
    }

    /// Leaves out the alternatives that an answer does not speak of. What shows nothing is never open.
    fn keep_open(&self, parents: &mut Vec<usize>, seen: &[Mark]) {
        let named: BTreeSet<Arc<Content>> = parents
            .iter()
            .filter(|place| seen.contains(&mark(self.edit_at(**place))))
            .map(|place| self.state(*place).content.clone())
            .collect();
        let shown = self.view.alternatives.iter().map(|(_, content)| content);
        let open: Vec<_> = shown.filter(|content| !named.contains(*content)).collect();
        parents.retain(|place| !open.contains(&&self.state(*place).content));
    }

    pub(super) fn mint(
        &mut self,
        actor: Actor,
        name: Name,
        mut parents: Vec<Dot>,
        step: Step,
        work: &mut u64,
    ) -> Dot {
        parents.sort_unstable();
        let dot = Dot { actor, counter: self.vector.get(actor) + 1 };
        // What is neither here nor led to the root was given up, and nobody else will ever see it.
        let made = Dot { actor, counter: dot.counter - 1 };
        let skips = if self.root.vector.covers(made) || self.place(made).is_some() {
            0
        } else {
            let own = self.line.iter().map(|node| node.dot).filter(|own| own.actor == actor);
            let last = own.map(|own| own.counter).fold(self.root.vector.get(actor), u64::max);
            made.counter.saturating_sub(last)
        };
        let holders = vec![actor.replica];
        let sent = false;
        let grown = 0;
        let node = NewNode { dot, skips, grown, name, parents, step, holders, sent };
        self.add(node, work);
        dot
    }

    /// Puts back a node from a snapshot.
    ///
    /// # Errors
    /// [`Malformed`] where what it follows is not here.
    pub fn put_back(&mut self, node: NewNode) -> Result<(), Malformed> {
        let placed = node.parents.iter().all(|parent| self.place(*parent).is_some());
        if !placed {
            return Err(Malformed("an edit that has no place"));
        }
        self.add(node, &mut 0);
        Ok(())
    }

    /// Whether an edit is here, or led to the root.
    pub fn has_seen(&self, dot: Dot) -> bool {
        self.root.vector.covers(dot) || self.stands_for(dot).is_some()
    }

    /// The node that a dot names, or that what it names has become since.
    fn stands_for(&self, dot: Dot) -> Option<&Node> {
        self.line.iter().rfind(|node| node.covers(dot))
    }

    /// What a node from somebody else was before later edits went into it, where that is here: its author lost its memory and told both.
    pub fn before_it_grew(&self, node: &NewNode) -> Option<&Node> {
        if node.grown == 0 {
            return None;
        }
        self.line.iter().rfind(|here| node.grew_from(here))
    }

    /// A node takes the place of what it was before later edits went into it, and whatever followed that follows it.
    fn regrow(&mut self, before: Dot, node: NewNode, work: &mut u64) {
        let old = std::mem::replace(&mut self.line, Line::new(self.root.dot));
        *work += old.len() as u64;
        let after = node.dot;
        let mut node = Some(node);
        for mut other in old.iter().map(|other| other.new.clone()) {
            if other.dot == before {
                other = node.take().expect("a dot is here once");
            }
            other.parents.iter_mut().filter(|parent| **parent == before).for_each(|parent| {
                *parent = after;
            });
            other.parents.sort_unstable();
            self.add(other, work);
        }
    }

    /// Takes in a node that somebody else sent; it is shown after the next [`History::look_at`].
    pub fn take(&mut self, mut node: NewNode, work: &mut u64) -> Taken {
        if self.vector.covers(node.dot) {
            let Some(place) = self.place(node.dot) else {
                // Who has what it was before it grew has not all of it.
                return if self.has_seen(node.dot) { Taken::Known } else { Taken::LeftOut };
            };
            if place > 0 {
                node.holders.iter().for_each(|holder| self.line.hold(place - 1, *holder));
            }
            return Taken::Known;
        }
        for parent in &mut node.parents {
            if self.place(*parent).is_none()
                && let Some(grown) = self.stands_for(*parent)
            {
                *parent = grown.dot;
            }
        }
        node.parents.sort_unstable();
        node.parents.dedup();
        if let Some(before) = self.before_it_grew(&node) {
            if before.parents != node.parents {
                return Taken::Refused;
            }
            self.regrow(before.dot, node, work);
            return Taken::New;
        }
        let next = [1, node.skips, node.grown].into_iter();
        let next = next.fold(self.vector.get(node.dot.actor), u64::saturating_add);
        let placed = node.parents.iter().all(|parent| self.place(*parent).is_some());
        if node.dot.counter > next || !placed {
            return Taken::Refused;
        }
        self.add(node, work);
        Taken::New
    }

    /// Whether an edit since the root is here, under any dot.
    pub fn has(&self, edit: EditId) -> bool {
        self.line.has(edit)
    }

    /// The edits that somebody lacks, or all, in an order in which he can take them: each after those it follows, and those of one actor as they
    /// were made.
    pub fn lacking(&self, to: Option<ReplicaId>) -> Vec<&Node> {
        let mut rest: Vec<&Node> = match to {
            Some(to) => self.line.lacked_by(to),
            None => self.line.iter().collect(),
        };
        let mut last = BTreeMap::new();
        let in_order = |node: &&Node| {
            let before = last.insert(node.dot.actor, node.dot.counter);
            before.is_none_or(|before| before < node.dot.counter)
        };
        if rest.iter().all(in_order) {
            return rest;
        }
        // Somebody left his own edit open, or made an edit again after others that stayed.
        let mut open: BTreeSet<Dot> = rest.iter().map(|node| node.dot).collect();
        let mut lacking: Vec<&Node> = Vec::with_capacity(rest.len());
        while !rest.is_empty() {
            let before = lacking.len();
            rest.retain(|node| {
                let Dot { actor, .. } = node.dot;
                let waits = node.parents.iter().any(|parent| open.contains(parent))
                    || open.range(Dot { actor, counter: 0 }..node.dot).next().is_some();
                if !waits {
                    open.remove(&node.dot);
                    lacking.push(node);
                }
                waits
            });
            if lacking.len() == before {
                // Edits that precede what they follow: nobody can take them.
                break;
            }
        }
        lacking.append(&mut rest);
        lacking
    }

    /// The dots of what nobody here follows.
    pub fn head_dots(&self) -> Vec<Dot> {
        self.line.heads().to_vec()
    }

    /// The edit that nobody here follows, whose author had seen most.
    pub fn last_edit(&self) -> EditId {
        self.heads().first().map_or(self.root.edit, |place| self.edit_at(*place))
    }

    /// Whether somebody is known to have all that is here.
    pub fn is_held(&self, by: ReplicaId) -> bool {
        self.line.lacking(by) == 0
    }

    /// Somebody has all that is here.
    pub fn held(&mut self, by: ReplicaId) {
        self.line.held(by);
    }

    /// Somebody has come back without his memory.
    pub fn forgotten(&mut self, by: ReplicaId) {
        self.line.forgotten(by);
    }

    /// Works out what is shown, after a change.
    pub fn look(&mut self) {
        self.look_at(&mut 0);
    }

    /// The same, counting the cost.
    pub fn look_at(&mut self, work: &mut u64) {
        let heads = self.heads();
        self.view = match (heads.as_slice(), self.kind) {
            ([only], _) => self.view_of(self.edit_at(*only), self.state(*only).into_owned()),
            (_, FieldKind::Register) => self.rivals(&heads, work),
            _ => {
                let state = self.merged(&heads, &self.graph(), work);
                self.view_of(self.edit_at(heads[0]), state)
            }
        };
    }

    fn view_of(&self, edit: EditId, state: State) -> View {
        let State { content, stands_on } = state;
        let alternatives = if content.is_empty() { Vec::new() } else { vec![(edit, content)] };
        View { alternatives, stands_on }
    }
}
