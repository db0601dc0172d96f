//! Where two have another root: somebody was away for so long that the others went on without him.

use super::history::{History, Line, Name, NewNode, Node, Root, Taken};
use super::step::Step;
use crate::document::{Content, EditId, FieldKind};
use crate::lineage::Lineage;
use crate::version_vector::vector::{Actor, Dot, Vector};
use std::collections::{BTreeMap, BTreeSet};

/// What taking over a root did.
#[derive(Debug, Default)]
pub struct Adopted {
    /// New edits, the earlier ones that went into each, and whether it is a deletion.
    pub came: Vec<(EditId, Lineage, bool)>,
    /// Edits of others that do not follow the root.
    pub left_out: Vec<EditId>,
    /// Some of what came could not be placed.
    pub refused: bool,
}

impl History {
    /// Takes over somebody's root, and the edits that he sent with it: he and everybody else went on without this replica, or without
    /// somebody whose edits are here. What follows the root stays. Own edits that do not are made again on top, under the same names; where they change a register that others
    /// changed too, beside what they wrote. A deletion of what others have changed since is dropped. Edits of others that do not follow the
    /// root are left out, and returned: who made them does the same.
    ///
    /// What was written before this replica's root, and is unknown to the others all the same (two groups that each took the other for
    /// gone), is kept beside theirs, too: two-way, without an ancestor. Of two sums the one farther from zero is kept.
    pub fn adopt(
        &mut self,
        root: Root,
        nodes: Vec<NewNode>,
        actor: Actor,
        work: &mut u64,
    ) -> Adopted {
        let old = self.clone();
        let known = root.vector.clone();
        self.vector.join(&root.vector);
        self.line = Line::new(root.dot);
        self.root = root;
        // What is here already, but does not follow the root by way of what is here, comes later.
        self.vector = known.clone();
        let mut adopted = Adopted::default();
        for node in nodes {
            let new = (node.name.edit, node.name.also.clone(), node.clears());
            let dot = node.dot;
            match self.take(node, work) {
                Taken::New if !old.vector.covers(dot) && !old.has(new.0) => adopted.came.push(new),
                Taken::New | Taken::Known | Taken::LeftOut => {}
                Taken::Refused => adopted.refused = true,
            }
        }
        let known = self.vector.clone();
        self.vector.join(&old.vector);
        self.look_at(work);
        let stay = self.stay(&old, &known, actor);
        for node in old.line.iter().filter(|node| stay.contains(&node.dot)) {
            self.add(node.new.clone(), work);
        }
        self.look_at(work);
        if !known.covers(old.root.dot) {
            self.keep_beside(&old.root, actor, work);
        }
        let mut made: BTreeMap<Dot, Dot> = BTreeMap::new();
        let lost = |node: &&Node| !known.covers(node.dot) && !stay.contains(&node.dot);
        for node in old.line.iter().filter(lost) {
            *work += 1;
            if node.dot.actor.replica != actor.replica {
                adopted.left_out.extend(node.name.edits());
            } else if !node.was_in(&self.root.vector) {
                let before = old.seen_by(&old.places(&node.parents), work).0.content;
                let step = old.step(node);
                let after = old.place(node.dot).map(|place| old.state(place).into_owned().content);
                let after = after.unwrap_or_else(|| before.clone());
                let change = (&*before, &*after);
                if let Some((parents, step)) = self.redo(node, step, change, &made, work) {
                    let mut name = node.name.clone();
                    if node.dot.actor == actor {
                        name.former.push(node.dot.counter..=old.vector.get(actor));
                    }
                    made.insert(node.dot, self.mint(actor, name, parents, step, work));
                    self.look_at(work);
                }
            }
        }
        // Its author may have made it again already, or others have taken it in.
        let known = self.known_pieces();
        adopted.left_out.retain(|edit| !known.contains(edit));
        adopted
    }

    /// The edits of an older history that have their place in this one: what they follow is here. Of this replica's own ones, which
    /// come to others in order, none after one that has no place.
    fn stay(&self, old: &History, known: &Vector, actor: Actor) -> BTreeSet<Dot> {
        let unknown = || old.line.iter().filter(|node| !known.covers(node.dot));
        let placed = |below: u64| {
            let mut here: BTreeSet<Dot> = self.line.iter().map(|node| node.dot).collect();
            here.insert(self.root.dot);
            let mut placed = BTreeSet::new();
            for node in unknown() {
                let own = node.dot.actor == actor;
                if !(own && node.dot.counter >= below)
                    && node.parents.iter().all(|parent| here.contains(parent))
                {
                    here.insert(node.dot);
                    placed.insert(node.dot);
                }
            }
            placed
        };
        let all = placed(u64::MAX);
        let own = unknown().map(|node| node.dot).filter(|dot| dot.actor == actor);
        match own.filter(|dot| !all.contains(dot)).map(|dot| dot.counter).min() {
            Some(lost) => placed(lost),
            None => all,
        }
    }

    /// Keeps what an older root says beside the present one, unless somebody else has done so.
    fn keep_beside(&mut self, old: &Root, actor: Actor, work: &mut u64) {
        let (left, now) = (&*old.state.content, &*self.root.state.content);
        let step = Step::Set(left.clone());
        let is_kept = self.line.iter().any(|node| node.name.edit == old.edit && node.step == step);
        if left.is_empty() || left == now || is_kept {
            return;
        }
        let mut name = Name::of(old.edit);
        let mut parents = Vec::new();
        if let (Content::Counter(ours), Content::Counter(theirs)) = (left, now) {
            if ours.unsigned_abs() <= theirs.unsigned_abs() {
                return;
            }
            parents.push(self.root.dot);
            name.also = old.state.stands_on.difference(&Lineage::of(old.edit));
        }
        self.mint(actor, name, parents, step, work);
        self.look_at(work);
    }

    /// How an edit that was made on other content is made here.
    fn redo(
        &self,
        node: &Node,
        step: Step,
        (before, after): (&Content, &Content),
        made: &BTreeMap<Dot, Dot>,
        work: &mut u64,
    ) -> Option<(Vec<Dot>, Step)> {
        let heads: Vec<Dot> = self.heads().iter().map(|place| self.dot_at(*place)).collect();
        let now = self.seen_by(&self.heads(), work).0.content;
        let unchanged = self.view().alternatives.len() < 2 && *now == *before;
        let parents = if self.kind == FieldKind::Register && !unchanged {
            let parents = node.parents.iter().map(|dot| made.get(dot).copied());
            parents.collect::<Option<Vec<Dot>>>().unwrap_or_default()
        } else {
            heads
        };
        let step = match step {
            // Whatever others have changed since survives.
            Step::Clear if !unchanged && parents.is_empty() => return None,
            Step::Clear if !unchanged && self.kind != FieldKind::Register => return None,
            Step::Splice { .. } => {
                let (both, cost) = super::three_way::merge_contents(before, &now, after);
                *work += cost;
                match (&*now, &both) {
                    (Content::Text(now), Content::Text(both)) => Step::between(now, both),
                    _ => return None,
                }
            }
            step => step,
        };
        Some((parents, step))
    }

    /// Goes back to an older root that somebody else still has, together with all edits since, the root here among them: so edits that do
    /// not follow the root here have their place. `None` where that is not so, or where this replica has made its own edits again meanwhile.
    pub fn widen(&mut self, root: &Root, nodes: &[NewNode], work: &mut u64) -> Option<Adopted> {
        let mut wide = History::new(self.kind);
        wide.line = Line::new(root.dot);
        wide.root = root.clone();
        wide.vector = root.vector.clone();
        let given_up = |dot: Dot| {
            self.vector.covers(dot) && !self.root.vector.covers(dot) && self.place(dot).is_none()
        };
        for node in nodes {
            if given_up(node.dot) || wide.take(node.clone(), work) == Taken::Refused {
                return None;
            }
        }
        wide.place(self.root.dot)?;
        for node in self.line.iter() {
            match wide.place(node.dot) {
                Some(place) if place > 0 => {
                    node.holders.iter().for_each(|holder| wide.line.hold(place - 1, *holder));
                }
                _ if node.parents.iter().all(|parent| wide.place(*parent).is_some()) => {
                    wide.add(node.new.clone(), work);
                }
                _ => return None,
            }
        }
        let mut adopted = Adopted::default();
        for node in wide.line.iter().filter(|node| !self.vector.covers(node.dot)) {
            adopted.came.push((node.name.edit, node.name.also.clone(), node.step == Step::Clear));
        }
        wide.vector.join(&self.vector);
        wide.look_at(work);
        *self = wide;
        Some(adopted)
    }
}
