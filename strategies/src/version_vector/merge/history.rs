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

use super::graph::Graph;
use super::step::Step;
use super::three_way::{State, merge};
use crate::contract::Malformed;
use crate::document::{Content, Edit, EditId, FieldKind, Mark, ReplicaId, Value};
use crate::lineage::Lineage;
use crate::version_vector::vector::{Actor, Dot, Vector};
use std::collections::{BTreeMap, BTreeSet};

/// Where histories criss-cross more often than this, the oldest common ancestor stands for the merge of several.
const DEEPEST: usize = 3;

/// Merges under way: how deep, and those that are known.
#[derive(Debug, Default)]
struct Merging {
    depth: usize,
    known: BTreeMap<Vec<usize>, State>,
}

/// One edit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub dot: Dot,
    /// How many of its actor's dots before it were given up and stand for nothing.
    pub skips: u64,
    pub edit: EditId,
    /// For reports only: earlier edits of the same author that went into it before anybody else saw them.
    pub also: Lineage,
    /// What its author had seen last, in order. Nothing where he had seen nothing of what is here.
    pub parents: Vec<Dot>,
    /// See [`History::step`].
    pub(super) step: Step,
    /// Who is known to have it, in order.
    pub holders: Vec<ReplicaId>,
    /// Whether it ever left this replica: until then, its author's next edits go into it.
    pub sent: bool,
    /// How many events its author had seen, this one included.
    pub events: u64,
    pub state: State,
}

/// What everything here follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    pub dot: Dot,
    pub events: u64,
    pub edit: EditId,
    /// All events up to it.
    pub vector: Vector,
    pub state: State,
    /// For reports only: edits that brought words or elements that are still there, with these if they are known.
    pub pieces: Vec<(EditId, Option<Value>)>,
    /// How many of them there were when those that are gone were last left out.
    pub pieces_kept: usize,
}

/// What a cell shows, and the edits it stands on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// The content, or the alternatives of a conflict, the one displayed first; none where there is nothing.
    pub alternatives: Vec<(EditId, Content)>,
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
    /// The edits since the root, each after those it follows: by number of events, then dot.
    pub line: Vec<Node>,
    view: View,
}

/// The name of an alternative.
pub fn mark(edit: EditId) -> Mark {
    Mark(u128::from(edit.origin.0) << 64 | u128::from(edit.sequence))
}

impl History {
    /// A cell that nobody has written to.
    pub fn new(kind: FieldKind) -> Self {
        let state = State { content: kind.empty(), stands_on: Lineage::new() };
        let root = Root {
            dot: Dot::GENESIS,
            events: 0,
            edit: EditId { origin: ReplicaId::GENESIS, sequence: 0 },
            vector: Vector::default(),
            state,
            pieces: Vec::new(),
            pieces_kept: 0,
        };
        History { kind, vector: Vector::default(), root, line: Vec::new(), view: View::default() }
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
        self.line.iter().rposition(|node| node.dot == dot).map(|at| at + 1)
    }

    pub(super) fn state(&self, place: usize) -> &State {
        place.checked_sub(1).map_or(&self.root.state, |at| &self.line[at].state)
    }

    fn edit_at(&self, place: usize) -> EditId {
        place.checked_sub(1).map_or(self.root.edit, |at| self.line[at].edit)
    }

    pub(super) fn dot_at(&self, place: usize) -> Dot {
        place.checked_sub(1).map_or(self.root.dot, |at| self.line[at].dot)
    }

    /// What nobody here follows, from the best informed to the least.
    pub fn heads(&self) -> Vec<usize> {
        if let Some(last) = self.line.last()
            && self.is_straight()
        {
            debug_assert!(last.parents.len() == 1);
            return vec![self.line.len()];
        }
        let followed: BTreeSet<Dot> =
            self.line.iter().flat_map(|node| &node.parents).copied().collect();
        let all = 0..=self.line.len();
        self.ranked(all.filter(|place| !followed.contains(&self.dot_at(*place))).collect())
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

    /// Whether every edit follows the one before it.
    fn is_straight(&self) -> bool {
        let before = std::iter::once(self.root.dot).chain(self.line.iter().map(|node| node.dot));
        before.zip(&self.line).all(|(before, node)| node.parents == [before])
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

    /// The merge of some places that do not follow each other.
    fn merged(&self, heads: &[usize], graph: &Graph, work: &mut u64) -> State {
        match self.kind {
            FieldKind::Counter if heads.len() > 1 => self.summed(heads, graph, work),
            FieldKind::Set if heads.len() > 1 => self.gathered(heads, graph, work),
            _ => self.merged_at(heads, graph, &mut Merging::default(), work),
        }
    }

    /// The same of a set: what was ever put in, but for what somebody took out who had seen it put in.
    fn gathered(&self, heads: &[usize], graph: &Graph, work: &mut u64) -> State {
        let mut there: BTreeMap<&Value, Vec<usize>> = BTreeMap::new();
        for place in graph.past(heads).iter() {
            *work += 1;
            let step = place.checked_sub(1).map(|at| &self.line[at].step);
            if let Some(at) = place.checked_sub(1)
                && !matches!(step, Some(Step::Change { removed, .. }) if removed.is_empty())
            {
                let seen = graph.past(&self.places(&self.line[at].parents));
                let takes_out = |element: &Value| match step {
                    Some(Step::Change { removed, .. }) => removed.contains(element),
                    _ => true,
                };
                *work += there.len() as u64;
                for (_, puts) in there.iter_mut().filter(|(element, _)| takes_out(element)) {
                    puts.retain(|put| !seen.has(*put));
                }
            }
            match (step, &self.state(place).content) {
                (Some(Step::Change { inserted, .. }), _) => {
                    inserted.iter().for_each(|new| there.entry(new).or_default().push(place));
                }
                (_, Content::Set(elements)) => {
                    elements.iter().for_each(|new| there.entry(new).or_default().push(place));
                }
                _ => {}
            }
        }
        let elements = there.into_iter().filter(|(_, puts)| !puts.is_empty());
        let content = Content::Set(elements.map(|(element, _)| element.clone()).collect());
        State { content, stands_on: Lineage::new() }
    }

    /// The same of anything, three-way.
    fn merged_at(
        &self,
        heads: &[usize],
        graph: &Graph,
        merging: &mut Merging,
        work: &mut u64,
    ) -> State {
        let Some((first, others)) = heads.split_first() else {
            return State { content: self.kind.empty(), stands_on: Lineage::new() };
        };
        let mut merged = self.state(*first).clone();
        if others.is_empty() {
            return merged;
        }
        if let Some(known) = merging.known.get(heads) {
            return known.clone();
        }
        let mut past = graph.past(&[*first]);
        for head in others {
            let theirs = graph.past(&[*head]);
            let mut tops = self.ranked(graph.tops(&past.common(&theirs)));
            if merging.depth == DEEPEST {
                tops = tops.split_off(tops.len().saturating_sub(1));
            }
            merging.depth += 1;
            let base = self.merged_at(&tops, graph, merging, work);
            merging.depth -= 1;
            let (both, cost) = merge(&base, &merged, self.state(*head));
            merged = both;
            *work += cost + graph.len() as u64;
            past.add(&theirs);
        }
        merging.known.insert(heads.to_vec(), merged.clone());
        merged
    }

    /// The same of a counter: what the root says and all additions since then, but for those that somebody had seen when he deleted the record. That is
    /// what merging three-way gives however often histories criss-cross, if an addition that two have deleted is gone once.
    fn summed(&self, heads: &[usize], graph: &Graph, work: &mut u64) -> State {
        let past: Vec<usize> = graph.past(heads).iter().collect();
        *work += past.len() as u64;
        let mut undone = vec![false; graph.len()];
        for node in past.iter().filter_map(|place| Some(&self.line[place.checked_sub(1)?])) {
            if !matches!(node.step, Step::Add(_)) {
                for place in graph.past(&self.places(&node.parents)).iter() {
                    undone[place] = true;
                    *work += 1;
                }
            }
        }
        let (mut sum, mut stands_on) = (0_i64, Lineage::new());
        for place in past.into_iter().filter(|place| !undone[*place]) {
            match (place.checked_sub(1).map(|at| &self.line[at]), self.state(place)) {
                (Some(Node { step: Step::Add(amount), edit, also, .. }), _) => {
                    sum = sum.wrapping_add(*amount);
                    stands_on.extend(also);
                    stands_on.insert(*edit);
                }
                (_, State { content: Content::Counter(own), stands_on: own_edits }) => {
                    sum = sum.wrapping_add(*own);
                    stands_on.extend(own_edits);
                }
                _ => {}
            }
        }
        State { content: Content::Counter(sum), stands_on }
    }

    /// What somebody is shown who has seen these places last, and how many events he has seen.
    pub(super) fn seen_by(&self, parents: &[usize], work: &mut u64) -> (State, u64) {
        if let [only] = parents {
            return (self.state(*only).clone(), self.events_at(*only));
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
        match (&node.step, &node.state.content) {
            // Of several splices in one only the outcome is kept until somebody asks.
            (Step::Splice { .. }, Content::Text(text)) if !node.also.is_empty() && !node.sent => {
                match self.seen_by(&self.places(&node.parents), &mut 0).0.content {
                    Content::Text(before) => Step::between(&before, text),
                    _ => node.step.clone(),
                }
            }
            (step, _) => step.clone(),
        }
    }

    /// Nodes that somebody lacks are about to be sent to him: they change no more.
    pub fn will_send(&mut self, to: ReplicaId) {
        for at in 0..self.line.len() {
            let node = &self.line[at];
            if !node.sent && node.holders.binary_search(&to).is_err() {
                let step = self.step(node);
                self.line[at].step = step;
                self.line[at].sent = true;
            }
        }
    }

    /// Lets an edit go into its author's last one, if nobody else has seen that one.
    fn grow(&mut self, actor: Actor, id: EditId, edit: &Edit, work: &mut u64) -> bool {
        let heads = self.heads();
        let ([place], next) = (heads.as_slice(), Step::of(edit)) else { return false };
        let Some(node) = place.checked_sub(1).map(|at| &mut self.line[at]) else { return false };
        if node.sent || node.dot.actor != actor {
            return false;
        }
        let Some(step) = node.step.then(&next) else { return false };
        *work += next.work(node.state.content.bytes() as usize);
        node.step = step;
        node.state.content.apply(edit);
        match self.kind {
            FieldKind::Register => node.state.stands_on = Lineage::of(id),
            FieldKind::Counter => {
                node.state.stands_on.insert(id);
            }
            FieldKind::Set | FieldKind::Text => {}
        }
        node.also.insert(node.edit);
        node.edit = id;
        true
    }

    /// Adds a node whose parents are here.
    pub(super) fn add(&mut self, node: NewNode, work: &mut u64) {
        let NewNode { dot, skips, edit, also, parents, step, holders, sent } = node;
        let places = self.places(&parents);
        let (shown, seen) = self.seen_by(&places, work);
        let single: Vec<&State> = places.iter().map(|place| self.state(*place)).collect();
        *work += step.work(shown.content.bytes() as usize);
        let mut state = step.apply(shown, &single, edit);
        if self.kind == FieldKind::Counter && step != Step::Clear {
            state.stands_on.extend(&also);
        }
        let events = seen.saturating_add(1);
        let node = Node { dot, skips, edit, also, parents, step, holders, sent, events, state };
        let at = self.line.partition_point(|other| (other.events, other.dot) < (events, dot));
        self.line.insert(at, node);
        self.vector.raise(dot);
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
        self.mint(actor, (id, Lineage::new()), parents, Step::of(edit), &mut work);
        self.look_at(&mut work);
        work
    }

    /// Leaves out the alternatives that an answer does not speak of. What shows nothing is never open.
    fn keep_open(&self, parents: &mut Vec<usize>, seen: &[Mark]) {
        let named: BTreeSet<&Content> = parents
            .iter()
            .filter(|place| seen.contains(&mark(self.edit_at(**place))))
            .map(|place| &self.state(*place).content)
            .collect();
        let open: Vec<&Content> = self
            .view
            .alternatives
            .iter()
            .map(|(_, content)| content)
            .filter(|content| !named.contains(content))
            .collect();
        parents.retain(|place| !open.contains(&&self.state(*place).content));
    }

    pub(super) fn mint(
        &mut self,
        actor: Actor,
        (edit, also): (EditId, Lineage),
        mut parents: Vec<Dot>,
        step: Step,
        work: &mut u64,
    ) -> Dot {
        parents.sort_unstable();
        let dot = Dot { actor, counter: self.vector.get(actor) + 1 };
        // What is neither here nor led to the root was given up, and nobody else will ever see it.
        let own = self.line.iter().map(|node| node.dot).filter(|own| own.actor == actor);
        let last = own.map(|own| own.counter).fold(self.root.vector.get(actor), u64::max);
        let skips = self.vector.get(actor).saturating_sub(last);
        let holders = vec![actor.replica];
        let sent = false;
        self.add(NewNode { dot, skips, edit, also, parents, step, holders, sent }, work);
        dot
    }

    /// Puts back a node from a snapshot.
    ///
    /// # Errors
    /// [`Malformed`] where what it follows is not here.
    pub fn put_back(&mut self, node: NewNode) -> Result<(), Malformed> {
        let placed = node.parents.iter().all(|parent| self.place(*parent).is_some());
        if !placed || self.place(node.dot).is_some() {
            return Err(Malformed("an edit that has no place"));
        }
        self.add(node, &mut 0);
        Ok(())
    }

    /// Whether an edit is here, or led to the root.
    pub fn has_seen(&self, dot: Dot) -> bool {
        self.root.vector.covers(dot) || self.place(dot).is_some()
    }

    /// Takes in a node that somebody else sent; it is shown after the next [`History::look_at`].
    pub fn take(&mut self, node: NewNode, work: &mut u64) -> Taken {
        if self.vector.covers(node.dot) {
            let Some(place) = self.place(node.dot) else {
                let led = self.root.vector.covers(node.dot);
                return if led { Taken::Known } else { Taken::LeftOut };
            };
            if place > 0 {
                let holders = &mut self.line[place - 1].holders;
                node.holders.iter().for_each(|holder| hold(holders, *holder));
            }
            return Taken::Known;
        }
        let next = self.vector.get(node.dot.actor).saturating_add(1).saturating_add(node.skips);
        let placed = node.parents.iter().all(|parent| self.place(*parent).is_some());
        if node.dot.counter > next || !placed {
            return Taken::Refused;
        }
        self.add(node, work);
        Taken::New
    }

    /// Whether an edit since the root is here, under any dot.
    pub fn has(&self, edit: EditId) -> bool {
        self.line.iter().any(|node| node.is_of(edit))
    }

    /// The edits that somebody lacks, or all, in an order in which he can take them: each after those it follows, and those of one actor as they
    /// were made.
    pub fn lacking(&self, to: Option<ReplicaId>) -> Vec<&Node> {
        let lacks = |node: &&Node| to.is_none_or(|to| node.holders.binary_search(&to).is_err());
        let mut rest: Vec<&Node> = self.line.iter().filter(lacks).collect();
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

    /// Edits that brought what is in a set or text, as far as they are known by name.
    pub fn known_pieces(&self) -> BTreeSet<EditId> {
        let line = self.line.iter().flat_map(|node| node.also.iter().chain([node.edit]));
        self.root.pieces.iter().map(|(edit, _)| *edit).chain(line).collect()
    }

    /// Edits whose piece of a set or text is to be seen now.
    pub fn visible_pieces(&self) -> Vec<(EditId, Value)> {
        let line = self
            .line
            .iter()
            .flat_map(|node| node.step.inserted().into_iter().map(|piece| (node.edit, piece)));
        let root =
            self.root.pieces.iter().filter_map(|(edit, piece)| Some((*edit, piece.clone()?)));
        root.chain(line).filter(|(_, piece)| self.shows(piece)).collect()
    }

    /// Whether something of a piece of a set or text is to be seen.
    pub fn shows(&self, piece: &Value) -> bool {
        self.view.alternatives.iter().any(|(_, content)| is_in(piece, content))
    }

    /// The dots of what nobody here follows.
    pub fn head_dots(&self) -> Vec<Dot> {
        let mut dots: Vec<Dot> = self.heads().iter().map(|place| self.dot_at(*place)).collect();
        dots.sort_unstable();
        dots
    }

    /// The edit that nobody here follows, whose author had seen most.
    pub fn last_edit(&self) -> EditId {
        self.heads().first().map_or(self.root.edit, |place| self.edit_at(*place))
    }

    /// Whether somebody is known to have all that is here.
    pub fn is_held(&self, by: ReplicaId) -> bool {
        self.line.iter().all(|node| node.holders.binary_search(&by).is_ok())
    }

    /// Somebody has all that is here.
    pub fn held(&mut self, by: ReplicaId) {
        self.line.iter_mut().for_each(|node| hold(&mut node.holders, by));
    }

    /// Somebody has come back without his memory.
    pub fn forgotten(&mut self, by: ReplicaId) {
        self.line.iter_mut().for_each(|node| node.holders.retain(|holder| *holder != by));
    }

    /// Forgets what every member has. Returns the cost. While somebody `is_missing` who was a member, it is remembered which edits took something out of a set or
    /// text: he must be told of them when he is back.
    pub fn settle(&mut self, members: &BTreeSet<ReplicaId>, is_missing: bool) -> u64 {
        let everybody =
            |node: &Node| members.iter().all(|member| node.holders.binary_search(member).is_ok());
        let stable: Vec<usize> =
            (0..self.line.len()).rev().filter(|at| everybody(&self.line[*at])).collect();
        if stable.is_empty() {
            return self.line.len() as u64;
        }
        let graph = self.graph();
        if let Some(at) = stable.into_iter().find(|at| graph.divides(*at + 1)) {
            self.move_root(at, &graph, is_missing);
        }
        (self.line.len() + 1) as u64
    }

    /// Somebody else has this root: it becomes the root here, if it is here and everything else either led to it or follows it.
    pub fn follow_root(&mut self, dot: Dot, is_missing: bool) {
        let Some(place) = self.place(dot).filter(|place| *place > 0) else { return };
        let graph = self.graph();
        if graph.divides(place) {
            self.move_root(place - 1, &graph, is_missing);
        }
    }

    /// A node as a root. Some of what is here does not follow it: somebody who was thought to be gone wrote it.
    pub fn as_root(&self, dot: Dot) -> Option<Root> {
        let place = self.place(dot).filter(|place| *place > 0)?;
        let Node { edit, events, state, .. } = self.line[place - 1].clone();
        let mut vector = self.root.vector.clone();
        let mut pieces = self.root.pieces.clone();
        for led in self.graph().past(&[place]).iter().filter(|place| *place > 0) {
            let node = &self.line[led - 1];
            vector.raise(node.dot);
            pieces.extend(node.step.inserted().into_iter().map(|piece| (node.edit, Some(piece))));
        }
        let pieces_kept = pieces.len();
        Some(Root { dot, events, edit, vector, state, pieces, pieces_kept })
    }

    fn move_root(&mut self, at: usize, graph: &Graph, is_missing: bool) {
        let past = graph.past(&[at + 1]);
        let line = std::mem::take(&mut self.line);
        let mut root = None;
        for (n, node) in line.into_iter().enumerate() {
            if !past.has(n + 1) {
                self.line.push(node);
                continue;
            }
            self.root.vector.raise(node.dot);
            if is_missing && node.step.takes_out() {
                let edits = node.also.iter().chain([node.edit]);
                self.root.pieces.extend(edits.map(|edit| (edit, None)));
            }
            let pieces = node.step.inserted();
            self.root.pieces.extend(pieces.into_iter().map(|piece| (node.edit, Some(piece))));
            root = Some(node);
        }
        if let Some(Node { dot, edit, events, state, .. }) = root {
            let Root { vector, pieces, pieces_kept, .. } = self.root.clone();
            self.root = Root { dot, events, edit, vector, state, pieces, pieces_kept };
        }
        self.drop_pieces();
    }

    /// Leaves out the edits of which nothing is to be seen any more.
    fn drop_pieces(&mut self) {
        let Root { state, pieces, pieces_kept, .. } = &mut self.root;
        if pieces.len() <= 2 * *pieces_kept + 8 {
            return;
        }
        pieces.retain(|(_, piece)| piece.as_ref().is_none_or(|piece| is_in(piece, &state.content)));
        *pieces_kept = pieces.len();
    }

    /// Works out what is shown, after a change.
    pub fn look(&mut self) {
        self.look_at(&mut 0);
    }

    /// The same, counting the cost.
    pub fn look_at(&mut self, work: &mut u64) {
        let heads = self.heads();
        self.view = match (heads.as_slice(), self.kind) {
            ([only], _) => self.view_of(self.edit_at(*only), self.state(*only).clone()),
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

    /// The different values of a register that nobody has seen replaced. Sides that changed nothing yield.
    fn rivals(&self, heads: &[usize], work: &mut u64) -> View {
        let graph = self.graph();
        let unchanged = |head: &usize| {
            let others: Vec<usize> = heads.iter().copied().filter(|other| other != head).collect();
            let common = graph.past(&[*head]).common(&graph.past(&others));
            let tops = graph.tops(&common);
            let same = |top: &usize| self.state(*top).content == self.state(*head).content;
            !tops.is_empty() && tops.iter().all(same)
        };
        let changed: Vec<usize> = heads.iter().copied().filter(|head| !unchanged(head)).collect();
        *work += (heads.len() * graph.len()) as u64;
        let sides = if changed.is_empty() { &heads[..1] } else { &changed[..] };
        let mut view = View::default();
        for side in sides {
            let State { content, stands_on } = self.state(*side);
            if content.is_empty() {
                continue;
            }
            view.stands_on.extend(stands_on);
            if !view.alternatives.iter().any(|(_, other)| other == content) {
                view.alternatives.push((self.edit_at(*side), content.clone()));
            }
        }
        view
    }
}

/// A node before it has its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewNode {
    pub dot: Dot,
    pub skips: u64,
    pub edit: EditId,
    pub also: Lineage,
    pub parents: Vec<Dot>,
    pub step: Step,
    pub holders: Vec<ReplicaId>,
    pub sent: bool,
}

impl Node {
    /// Whether it stands for an edit.
    pub(super) fn is_of(&self, edit: EditId) -> bool {
        self.edit == edit || self.also.contains(edit)
    }

    pub(super) fn into_new(self) -> NewNode {
        let Node { dot, skips, edit, also, parents, step, holders, sent, .. } = self;
        NewNode { dot, skips, edit, also, parents, step, holders, sent }
    }
}

impl NewNode {
    /// Whether it deletes the record.
    pub fn clears(&self) -> bool {
        self.step == Step::Clear
    }
}

/// Whether something of a piece is in a set or text. Of other contents nothing is known.
fn is_in(piece: &Value, content: &Content) -> bool {
    match content {
        Content::Set(elements) => elements.contains(piece),
        Content::Text(text) => {
            let words: BTreeSet<&str> = text.split_whitespace().collect();
            piece.as_str().split_whitespace().any(|word| words.contains(word))
        }
        Content::Register(_) | Content::Counter(_) => true,
    }
}

/// Adds a holder.
pub fn hold(holders: &mut Vec<ReplicaId>, holder: ReplicaId) {
    if let Err(at) = holders.binary_search(&holder) {
        holders.insert(at, holder);
    }
}
