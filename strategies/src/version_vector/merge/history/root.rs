//! What every member has is forgotten, but for what it led to.

use super::super::graph::Graph;
use super::super::three_way::State;
use super::History;
use super::line::{Name, NewNode, Node};
use crate::document::{Content, EditId, ReplicaId, Value};
use crate::lineage::Lineage;
use crate::version_vector::story::recent;
use crate::version_vector::vector::{Dot, Vector};
use std::collections::{BTreeMap, BTreeSet};

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
    /// For reports only: edits that took something out of a set or text and are remembered.
    pub removals: Lineage,
    /// For reports only: deletions of the record that are remembered.
    pub deletions: Lineage,
}

impl Root {
    /// A node leads to it. Of one that is deleted nothing is remembered but that it was there.
    fn take_in(&mut self, node: &NewNode, is_deleted: bool) {
        self.vector.raise(node.dot);
        if node.clears() {
            self.deletions.insert(node.name.edit);
        }
        if is_deleted {
            return;
        }
        if node.takes_out() {
            self.removals.extend(&node.name.also);
            self.removals.insert(node.name.edit);
        }
        let pieces = node.pieces();
        self.pieces.extend(pieces.into_iter().map(|(edit, piece)| (edit, Some(piece))));
    }
}

impl History {
    /// Forgets what every member has. Returns the cost. It is remembered which edits deleted the record, or took something out of
    /// a set or text: all of them while somebody `is_missing` who was a member, or lacks them, and the last ones for whoever loses his memory.
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
            self.move_root(at, &graph, members, is_missing);
        }
        (self.line.len() + 1) as u64
    }

    /// Whether the root here is a later one than this.
    pub fn is_later(&self, root: Dot) -> bool {
        self.root.dot != root && self.root.vector.covers(root)
    }

    /// Somebody else has this root: it becomes the root here, if it is here and everything else either led to it or follows it.
    pub fn follow_root(&mut self, dot: Dot, members: &BTreeSet<ReplicaId>, is_missing: bool) {
        let Some(place) = self.place(dot).filter(|place| *place > 0) else { return };
        let graph = self.graph();
        if graph.divides(place) {
            self.move_root(place - 1, &graph, members, is_missing);
        }
    }

    /// A node as a root. Some of what is here does not follow it: somebody who was thought to be gone wrote it.
    pub fn as_root(&self, dot: Dot) -> Option<Root> {
        let place = self.place(dot).filter(|place| *place > 0)?;
        let Node { new: NewNode { name, .. }, events, .. } = &self.line[place - 1];
        let mut root = self.root.clone();
        for led in self.graph().past(&[place]).iter().filter(|place| *place > 0) {
            root.take_in(&self.line[led - 1], false);
        }
        (root.dot, root.edit, root.events) = (dot, name.edit, *events);
        (root.state, root.pieces_kept) = (self.state(place).into_owned(), root.pieces.len());
        Some(root)
    }

    fn move_root(
        &mut self,
        at: usize,
        graph: &Graph,
        members: &BTreeSet<ReplicaId>,
        is_missing: bool,
    ) {
        let state = self.state(at + 1).into_owned();
        let Node { new: NewNode { dot, name: Name { edit, .. }, .. }, events, .. } = self.line[at];
        let past = graph.past(&[at + 1]);
        // Who has another root may have taken one for gone who is back meanwhile.
        let is_told = !is_missing && members.iter().all(|member| self.line[at].is_held(*member));
        // What a deletion took, it took knowingly: whoever is told of the deletion is told enough.
        let mut deleted = BTreeSet::new();
        for place in past.iter().filter(|place| *place > 0) {
            if self.line[place - 1].clears() {
                deleted.extend(graph.past(&[place]).iter().map(|before| self.dot_at(before)));
            }
        }
        if deleted.contains(&self.root.dot) {
            self.root.pieces.clear();
            self.root.pieces_kept = 0;
            self.root.removals = Lineage::new();
        }
        for node in self.line.take_past(&past) {
            self.root.take_in(&node, deleted.contains(&node.dot));
        }
        (self.root.dot, self.root.edit, self.root.events) = (dot, edit, events);
        self.root.state = state;
        if is_told {
            self.root.removals = recent(&self.root.removals);
            self.root.deletions = recent(&self.root.deletions);
        }
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

    /// Edits that brought what is in the set or text of the root.
    pub fn told_pieces(&self) -> impl Iterator<Item = EditId> + '_ {
        let there = There::of(&self.root.state.content);
        let told = move |piece: &Option<Value>| piece.as_ref().is_none_or(|piece| there.has(piece));
        self.root.pieces.iter().filter(move |(_, piece)| told(piece)).map(|(edit, _)| *edit)
    }

    /// Edits that brought what is in a set or text, as far as they are known by name.
    pub fn known_pieces(&self) -> BTreeSet<EditId> {
        let line = self.line.iter().flat_map(|node| node.name.edits());
        let root = self.root.pieces.iter().map(|(edit, _)| *edit);
        let took = self.root.removals.iter().chain(self.root.deletions.iter());
        root.chain(took).chain(line).collect()
    }

    /// Edits with all that they brought, as far as that is known here.
    pub fn name_pieces(&self, edits: &Lineage) -> Vec<(EditId, Option<Value>)> {
        let mut known: BTreeMap<EditId, Vec<Option<Value>>> = BTreeMap::new();
        self.all_pieces().for_each(|(edit, piece)| known.entry(edit).or_default().push(piece));
        let mut pieces = Vec::new();
        for edit in edits.iter() {
            let brought = known.remove(&edit).unwrap_or_else(|| vec![None]);
            pieces.extend(brought.into_iter().map(|piece| (edit, piece)));
        }
        pieces
    }

    fn all_pieces(&self) -> impl Iterator<Item = (EditId, Option<Value>)> + '_ {
        let brought =
            |node: &Node| node.pieces().into_iter().map(|(edit, piece)| (edit, Some(piece)));
        self.root.pieces.iter().cloned().chain(self.line.iter().flat_map(brought))
    }

    /// Edits whose piece of a set or text is to be seen now, or may be where anything is: of some it is not known what they brought.
    pub fn visible_pieces(&self) -> Vec<(EditId, Option<Value>)> {
        let there = self.shown();
        let shown = |piece: &Option<Value>| {
            there.iter().any(|there| piece.as_ref().is_none_or(|piece| there.has(piece)))
        };
        self.all_pieces().filter(|(_, piece)| shown(piece)).collect()
    }

    /// Edits whose piece is to be seen now, and was not when these were.
    pub fn back_since(&self, before: &[(EditId, Option<Value>)]) -> BTreeSet<EditId> {
        let there: BTreeSet<EditId> = before.iter().map(|(edit, _)| *edit).collect();
        let now = self.visible_pieces().into_iter().map(|(edit, _)| edit);
        now.filter(|edit| !there.contains(edit)).collect()
    }

    /// Those of some edits of whose pieces nothing is to be seen now. One that nobody knows of any more brought nothing of this.
    pub fn hidden(&self, pieces: Vec<(EditId, Option<Value>)>) -> Vec<EditId> {
        let (there, known) = (self.shown(), self.known_pieces());
        let hidden = |(edit, piece): &(EditId, Option<Value>)| match piece {
            Some(piece) => !there.iter().any(|there| there.has(piece)),
            None => !known.contains(edit),
        };
        let (gone, left): (Vec<_>, Vec<_>) = pieces.into_iter().partition(hidden);
        let left: BTreeSet<EditId> = left.into_iter().map(|(edit, _)| edit).collect();
        gone.into_iter().map(|(edit, _)| edit).filter(|edit| !left.contains(edit)).collect()
    }

    fn shown(&self) -> Vec<There<'_>> {
        self.view.alternatives.iter().map(|(_, content)| There::of(content)).collect()
    }
}

/// From so many bytes on a word is looked for within others, too.
const LONG: usize = 4;

/// What there is of a set or text. Of other contents nothing is known.
enum There<'c> {
    Elements(&'c BTreeSet<Value>),
    /// The words of a text, and the text.
    Words(BTreeSet<&'c str>, &'c str),
    Anything,
}

impl<'c> There<'c> {
    fn of(content: &'c Content) -> Self {
        match content {
            Content::Set(elements) => There::Elements(elements),
            Content::Text(text) => There::Words(text.split_whitespace().collect(), text),
            Content::Register(_) | Content::Counter(_) => There::Anything,
        }
    }

    /// Whether something of a piece is there.
    fn has(&self, piece: &Value) -> bool {
        match self {
            There::Elements(elements) => elements.contains(piece),
            There::Words(words, text) => piece.as_str().split_whitespace().any(|word| {
                // A merge may have put it right beside another one; what is shorter may be a part of any.
                words.contains(word) || word.len() >= LONG && text.contains(word)
            }),
            There::Anything => true,
        }
    }
}
