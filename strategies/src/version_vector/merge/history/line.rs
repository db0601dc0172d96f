//! The edits of a cell since its root, in order, and what is asked of them with every message: which of them nothing follows, how many of
//! them somebody has, how many never left. So a message costs what it brings, however long somebody has been silent.

use super::super::graph::Places;
use super::super::step::Step;
use super::super::three_way::State;
use crate::document::{EditId, ReplicaId, Value};
use crate::lineage::Lineage;
use crate::version_vector::vector::{Dot, Vector};
use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};

/// Which edits a node stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    pub edit: EditId,
    /// For reports only: earlier edits of the same author that went into it before anybody else saw them.
    pub also: Lineage,
    /// For reports only: what each of them brought into a set or text, where there are several. Of a single one it is in its step.
    pub brought: Vec<(EditId, Value)>,
    /// Known to its author alone: what it was before it was made again on another root, from the first time on.
    pub former: Vec<Former>,
}

/// A dot that a node had before its author made it again, and its author's last dot then.
pub type Former = std::ops::RangeInclusive<u64>;

impl Name {
    /// A single edit.
    pub fn of(edit: EditId) -> Self {
        Name { edit, also: Lineage::new(), brought: Vec::new(), former: Vec::new() }
    }

    /// All edits.
    pub fn edits(&self) -> impl Iterator<Item = EditId> {
        self.also.iter().chain([self.edit])
    }
}

/// An edit before it has its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewNode {
    pub dot: Dot,
    /// How many of its actor's dots before it were given up and stand for nothing.
    pub skips: u64,
    /// How many of its actor's dots right before it name what it was before its author's later edits went into it. Who has lost its memory may
    /// have told one of them, and know only of an earlier one.
    pub grown: u64,
    pub name: Name,
    /// What its author had seen last, in order. Nothing where he had seen nothing of what is here.
    pub parents: Vec<Dot>,
    /// See [`super::History::step`].
    pub step: Step,
    /// Who is known to have it, in order.
    pub holders: Vec<ReplicaId>,
    /// Whether it ever left this replica: until then, its author's next edits go into it.
    pub sent: bool,
}

impl NewNode {
    /// Whether a dot names it, or what it was before later edits went into it.
    pub fn covers(&self, dot: Dot) -> bool {
        let Dot { actor, counter } = self.dot;
        dot.actor == actor && (counter - self.grown..=counter).contains(&dot.counter)
    }

    /// Whether what led to a root, with so many of its author's dots in it, holds what it was before it was made again. (A root that holds any of the
    /// dots that were made then holds what led to that.)
    pub fn was_in(&self, root: &Vector) -> bool {
        let last = root.get(self.dot.actor);
        self.name.former.iter().any(|former| former.contains(&last))
    }

    /// Whether a node is what it was before later edits went into it.
    pub fn grew_from(&self, node: &NewNode) -> bool {
        let first = |node: &NewNode| node.dot.counter - node.grown;
        self.dot != node.dot && self.covers(node.dot) && first(self) == first(node)
    }

    /// The words or elements that it brought into a set or text, and which edit brought them.
    pub fn pieces(&self) -> Vec<(EditId, Value)> {
        if !self.name.also.is_empty() {
            return self.name.brought.clone();
        }
        self.step.inserted().into_iter().map(|piece| (self.name.edit, piece)).collect()
    }

    /// Which of several edits brought each word or element of its step, as far as one of them did.
    pub fn attributed(&self) -> Vec<Option<EditId>> {
        let mut by: BTreeMap<Value, EditId> = BTreeMap::new();
        for (edit, piece) in &self.name.brought {
            by.extend(words(piece).into_iter().chain([piece.clone()]).map(|token| (token, *edit)));
        }
        self.step_tokens().iter().map(|token| by.get(token).copied()).collect()
    }

    /// The words or elements of its step.
    pub fn step_tokens(&self) -> Vec<Value> {
        let pieces = self.step.inserted();
        match self.step {
            Step::Splice { .. } => pieces.iter().flat_map(words).collect(),
            _ => pieces,
        }
    }

    /// Whether it took something out of a set or text, and not all of it; or may have, where it stands for several edits: one of them may have taken
    /// out what another one brought.
    pub fn takes_out(&self) -> bool {
        match self.step {
            Step::Change { .. } | Step::Splice { .. } => {
                !self.name.also.is_empty() || self.step.takes_out()
            }
            _ => false,
        }
    }

    /// Whether it deletes the record.
    pub fn clears(&self) -> bool {
        self.step == Step::Clear
    }
}

/// An edit at its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Without its place.
    pub new: NewNode,
    /// How many events its author had seen, this one included.
    pub events: u64,
    /// How many edits one after the other led to it since the last one whose state is kept whatever follows; 0 for such a one.
    pub depth: u8,
    /// What it made of the cell; see [`super::History::state`].
    pub state: Option<State>,
}

impl Deref for Node {
    type Target = NewNode;

    fn deref(&self) -> &NewNode {
        &self.new
    }
}

impl DerefMut for Node {
    fn deref_mut(&mut self) -> &mut NewNode {
        &mut self.new
    }
}

impl Node {
    /// Whether somebody is known to have it.
    pub fn is_held(&self, by: ReplicaId) -> bool {
        self.holders.binary_search(&by).is_ok()
    }

    /// Whether its step is what it did to what its author was shown: of several splices in one only the outcome is kept until it is sent.
    pub fn says_its_step(&self) -> bool {
        self.sent || self.name.also.is_empty() || !matches!(self.step, Step::Splice { .. })
    }
}

/// Edits, each after those it follows: by number of events, then dot.
#[derive(Clone, Debug)]
pub struct Line {
    nodes: Vec<Node>,
    /// What nothing here follows; the root among it, where there is something that does not follow the root. In order.
    heads: Vec<Dot>,
    /// How many edits here somebody has, where he has any.
    held: BTreeMap<ReplicaId, usize>,
    /// How many never left this replica.
    unsent: usize,
    /// The edits that the nodes stand for.
    edits: Lineage,
}

impl Deref for Line {
    type Target = [Node];

    fn deref(&self) -> &[Node] {
        &self.nodes
    }
}

impl Line {
    /// Nothing but a root.
    pub fn new(root: Dot) -> Self {
        let (held, edits) = (BTreeMap::new(), Lineage::new());
        Line { nodes: Vec::new(), heads: vec![root], held, unsent: 0, edits }
    }

    /// What nothing here follows, in order.
    pub fn heads(&self) -> &[Dot] {
        &self.heads
    }

    /// Where an edit is.
    pub fn find(&self, dot: Dot) -> Option<usize> {
        self.nodes.iter().rposition(|node| node.dot == dot)
    }

    /// Adds an edit that follows what is here.
    pub fn insert(&mut self, node: Node) {
        self.heads.retain(|head| !node.parents.contains(head));
        if let Err(at) = self.heads.binary_search(&node.dot) {
            self.heads.insert(at, node.dot);
        }
        for holder in &node.holders {
            *self.held.entry(*holder).or_default() += 1;
        }
        self.unsent += usize::from(!node.sent);
        self.edits.insert(node.name.edit);
        self.edits.extend(&node.name.also);
        let key = (node.events, node.dot);
        let at = self.nodes.partition_point(|other| (other.events, other.dot) < key);
        self.nodes.insert(at, node);
    }

    /// Whether an edit is here, under any dot.
    pub fn has(&self, edit: EditId) -> bool {
        self.edits.contains(edit)
    }

    /// Somebody has one of them.
    pub fn hold(&mut self, at: usize, holder: ReplicaId) {
        if hold(&mut self.nodes[at].holders, holder) {
            *self.held.entry(holder).or_default() += 1;
        }
    }

    /// How many of them somebody lacks.
    pub fn lacking(&self, by: ReplicaId) -> usize {
        self.nodes.len() - self.held.get(&by).copied().unwrap_or(0)
    }

    /// Places of those that somebody lacks, the last first.
    fn lacked(&self, by: ReplicaId) -> impl Iterator<Item = usize> + '_ {
        let places = (0..self.nodes.len()).rev();
        places.filter(move |at| !self.nodes[*at].is_held(by)).take(self.lacking(by))
    }

    /// Those that somebody lacks, in order.
    pub fn lacked_by(&self, by: ReplicaId) -> Vec<&Node> {
        let mut lacked: Vec<&Node> = self.lacked(by).map(|at| &self.nodes[at]).collect();
        lacked.reverse();
        lacked
    }

    /// Somebody has all of them.
    pub fn held(&mut self, by: ReplicaId) {
        let lacked: Vec<usize> = self.lacked(by).collect();
        lacked.into_iter().for_each(|at| self.hold(at, by));
    }

    /// Somebody has none of them.
    pub fn forgotten(&mut self, by: ReplicaId) {
        self.held.remove(&by);
        self.nodes.iter_mut().for_each(|node| node.holders.retain(|holder| *holder != by));
    }

    /// Places of those that never left this replica.
    pub fn unsent(&self) -> Vec<usize> {
        let places = (0..self.nodes.len()).rev();
        places.filter(|at| !self.nodes[*at].sent).take(self.unsent).collect()
    }

    /// One of them leaves this replica, and changes no more.
    pub fn send(&mut self, at: usize, step: Step) {
        let node = &mut self.nodes[at];
        self.unsent -= usize::from(!node.sent);
        (node.step, node.sent) = (step, true);
    }

    /// A later edit of its author goes into the only one that nothing follows, which gets the next dot. Returns what it has made of the cell so far.
    pub fn grow(&mut self, at: usize, id: EditId, next: &Step, step: Step) -> &mut State {
        let Node { new, state, .. } = &mut self.nodes[at];
        self.edits.insert(id);
        if new.name.also.is_empty() {
            new.name.brought = new.pieces();
        }
        new.name.brought.extend(next.inserted().into_iter().map(|piece| (id, piece)));
        new.name.also.insert(new.name.edit);
        (new.name.edit, new.step) = (id, step);
        new.dot.counter += 1;
        new.grown += 1;
        self.heads = vec![new.dot];
        state.as_mut().expect("nothing follows it")
    }

    /// Its state can be worked out.
    pub fn shed(&mut self, at: usize) {
        self.nodes[at].state = None;
    }

    /// Takes out what led to a root, and the root, which is the last. Places count from the old root.
    pub fn take_past(&mut self, past: &Places) -> Vec<Node> {
        let all = std::mem::take(&mut self.nodes).into_iter().enumerate();
        let (gone, kept): (Vec<_>, Vec<_>) = all.partition(|(at, _)| past.has(at + 1));
        self.nodes = kept.into_iter().map(|(_, node)| node).collect();
        self.edits = Lineage::new();
        for node in &self.nodes {
            self.edits.insert(node.name.edit);
            self.edits.extend(&node.name.also);
        }
        let gone: Vec<Node> = gone.into_iter().map(|(_, node)| node).collect();
        for node in &gone {
            self.unsent -= usize::from(!node.sent);
            for holder in &node.holders {
                if let Some(count) = self.held.get_mut(holder) {
                    *count -= 1;
                }
            }
        }
        self.held.retain(|_, count| *count > 0);
        gone
    }
}

fn words(text: &Value) -> Vec<Value> {
    text.as_str().split_whitespace().map(Value::from).collect()
}

/// Adds a holder; true where it was none.
fn hold(holders: &mut Vec<ReplicaId>, holder: ReplicaId) -> bool {
    let place = holders.binary_search(&holder);
    if let Err(at) = place {
        holders.insert(at, holder);
    }
    place.is_err()
}
