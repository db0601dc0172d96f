//! What every member has is forgotten, but for what it led to.

use super::super::graph::Graph;
use super::super::step::Step;
use super::super::three_way::State;
use super::History;
use super::line::Node;
use crate::document::{Content, EditId, ReplicaId, Value};
use crate::version_vector::vector::{Dot, Vector};
use std::collections::BTreeSet;

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

impl History {
    /// Forgets what every member has. Returns the cost. While somebody `is_missing` who was a member, it is remembered which edits took something out of a set or
    /// text: he must be told of them when he is back.
    pub fn settle(&mut self, members: &BTreeSet<ReplicaId>, is_missing: bool) -> u64 {
        // Mostly somebody lacks all of them, or nobody any.
        if members.iter().any(|member| self.line.lacking(*member) == self.line.len()) {
            return 1;
        }
        let everybody = |node: &Node| members.iter().all(|member| node.is_held(*member));
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
        let Node { edit, events, .. } = self.line[place - 1];
        let state = self.state(place).into_owned();
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
        let state = self.state(at + 1).into_owned();
        let Node { dot, edit, events, .. } = self.line[at];
        let past = graph.past(&[at + 1]);
        // What a deletion took, it took knowingly, and nobody is told of that any more.
        let mut deleted = BTreeSet::new();
        for place in past.iter().filter(|place| *place > 0) {
            if self.line[place - 1].step == Step::Clear {
                deleted.extend(graph.past(&[place]).iter().map(|before| self.dot_at(before)));
            }
        }
        if deleted.contains(&self.root.dot) {
            self.root.pieces.clear();
            self.root.pieces_kept = 0;
        }
        for node in self.line.take_past(&past) {
            self.root.vector.raise(node.dot);
            if deleted.contains(&node.dot) {
                continue;
            }
            if is_missing && node.step.takes_out() {
                let edits = node.also.iter().chain([node.edit]);
                self.root.pieces.extend(edits.map(|edit| (edit, None)));
            }
            let pieces = node.step.inserted();
            self.root.pieces.extend(pieces.into_iter().map(|piece| (node.edit, Some(piece))));
        }
        (self.root.dot, self.root.edit, self.root.events) = (dot, edit, events);
        self.root.state = state;
        self.drop_pieces();
    }

    /// Leaves out the edits of which nothing is to be seen any more.
    fn drop_pieces(&mut self) {
        let Root { state, pieces, pieces_kept, .. } = &mut self.root;
        if pieces.len() <= 2 * *pieces_kept + 8 {
            return;
        }
        let there = There::of(&state.content);
        pieces.retain(|(_, piece)| piece.as_ref().is_none_or(|piece| there.has(piece)));
        *pieces_kept = pieces.len();
    }

    /// Edits that brought what is in the set or text of the root, and those that took something out and are remembered.
    pub fn told_pieces(&self) -> impl Iterator<Item = EditId> + '_ {
        let there = There::of(&self.root.state.content);
        let told = move |piece: &Option<Value>| piece.as_ref().is_none_or(|piece| there.has(piece));
        self.root.pieces.iter().filter(move |(_, piece)| told(piece)).map(|(edit, _)| *edit)
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
        let there = self.shown();
        root.chain(line).filter(|(_, piece)| there.iter().any(|there| there.has(piece))).collect()
    }

    /// Those of some edits of whose piece nothing is to be seen now.
    pub fn hidden(&self, pieces: Vec<(EditId, Value)>) -> impl Iterator<Item = EditId> + '_ {
        let there = self.shown();
        let hidden = move |piece: &Value| !there.iter().any(|there| there.has(piece));
        pieces.into_iter().filter(move |(_, piece)| hidden(piece)).map(|(edit, _)| edit)
    }

    fn shown(&self) -> Vec<There<'_>> {
        self.view.alternatives.iter().map(|(_, content)| There::of(content)).collect()
    }
}

/// What there is of a set or text. Of other contents nothing is known.
enum There<'c> {
    Elements(&'c BTreeSet<Value>),
    Words(BTreeSet<&'c str>),
    Anything,
}

impl<'c> There<'c> {
    fn of(content: &'c Content) -> Self {
        match content {
            Content::Set(elements) => There::Elements(elements),
            Content::Text(text) => There::Words(text.split_whitespace().collect()),
            Content::Register(_) | Content::Counter(_) => There::Anything,
        }
    }

    /// Whether something of a piece is there.
    fn has(&self, piece: &Value) -> bool {
        match self {
            There::Elements(elements) => elements.contains(piece),
            There::Words(words) => {
                piece.as_str().split_whitespace().any(|word| words.contains(word))
            }
            There::Anything => true,
        }
    }
}
