//! What several edits show that do not follow each other.

use super::super::graph::Graph;
use super::super::step::Step;
use super::super::three_way::{State, merge};
use super::line::NewNode;
use super::{History, View};
use crate::document::{Content, FieldKind, Value};
use crate::lineage::Lineage;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Where histories criss-cross more often than this, the oldest common ancestor stands for the merge of several.
const DEEPEST: usize = 3;

/// Merges under way: how deep, and those that are known.
#[derive(Debug, Default)]
struct Merging {
    depth: usize,
    known: BTreeMap<Vec<usize>, State>,
}

impl History {
    /// The merge of some places that do not follow each other.
    pub(super) fn merged(&self, heads: &[usize], graph: &Graph, work: &mut u64) -> State {
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
            // Nothing is in the set after a deletion.
            let put_in = match (step, &*self.root.state.content) {
                (Some(Step::Change { inserted, .. }), _)
                | (Some(Step::Set(Content::Set(inserted))), _)
                | (None, Content::Set(inserted)) => inserted,
                _ => continue,
            };
            put_in.iter().for_each(|new| there.entry(new).or_default().push(place));
        }
        let elements = there.into_iter().filter(|(_, puts)| !puts.is_empty());
        let content = Content::Set(elements.map(|(element, _)| element.clone()).collect());
        State { content: Arc::new(content), stands_on: Lineage::new() }
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
            return State { content: Arc::new(self.kind.empty()), stands_on: Lineage::new() };
        };
        let mut merged = self.state(*first).into_owned();
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
            let (both, cost) = merge(&base, &merged, &self.state(*head));
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
            if let Some(NewNode { step: Step::Add(amount), name, .. }) =
                place.checked_sub(1).map(|at| &self.line[at].new)
            {
                sum = sum.wrapping_add(*amount);
                stands_on.extend(&name.also);
                stands_on.insert(name.edit);
                continue;
            }
            let state = self.state(place);
            if let Content::Counter(own) = *state.content {
                sum = sum.wrapping_add(own);
                stands_on.extend(&state.stands_on);
            }
        }
        State { content: Arc::new(Content::Counter(sum)), stands_on }
    }

    /// The different values of a register that nobody has seen replaced. Sides that changed nothing yield.
    pub(super) fn rivals(&self, heads: &[usize], work: &mut u64) -> View {
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
            let State { content, stands_on } = self.state(*side).into_owned();
            if content.is_empty() {
                continue;
            }
            view.stands_on.extend(&stands_on);
            if !view.alternatives.iter().any(|(_, other)| *other == content) {
                view.alternatives.push((self.edit_at(*side), content));
            }
        }
        view
    }
}
