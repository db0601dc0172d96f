//! Part of a text: characters that were inserted and characters that were deleted, as a lattice. Of a character the chain is: not here,
//! shown, deleted.

use super::spans;
use crate::contract::Malformed;
use crate::crdt::causal::{Agent, Dot, Span, insert_span};
use crate::crdt::sequence::{Claim, Item};
use crate::document::byte_offset;
use std::collections::{BTreeMap, VecDeque};

/// Characters with consecutive dots, each inserted right behind the one before; all of them shown or all of them deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// How many; at least 1.
    pub len: u32,
    /// What the first one was inserted behind.
    pub left: Dot,
    /// What else decides where the first one goes.
    pub claim: Claim,
    /// The characters; empty once they are deleted.
    pub text: String,
}

impl Run {
    /// The same run as an item of a text has it.
    pub fn of(item: &Item) -> Run {
        Run { len: item.len, left: item.left, claim: item.claim, text: item.text.clone() }
    }

    /// Whether its characters are deleted.
    pub fn is_deleted(&self) -> bool {
        self.text.is_empty()
    }

    /// The dots of a run with this first one.
    pub fn span(&self, first: Dot) -> Span {
        Span { first, len: u64::from(self.len) }
    }

    /// The characters with the dots of `part`, which lie in the run that begins with `first`.
    pub fn cut(&self, first: Dot, part: Span) -> Run {
        let skip = part.first.counter - first.counter;
        let start = byte_offset(&self.text, skip as usize);
        let stop = start + byte_offset(&self.text[start..], part.len as usize);
        Run {
            len: part.len as u32,
            left: if skip == 0 { self.left } else { first.plus(skip - 1) },
            claim: self.claim.of_later(skip),
            text: self.text[start..stop].to_owned(),
        }
    }
}

/// Part of a text. Always in the same form for the same characters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Passage {
    /// The characters inserted, by the dot of the first one of each run; runs are as long as can be.
    runs: BTreeMap<Dot, Run>,
    /// The characters deleted that are not among those.
    hidden: Vec<Span>,
}

impl Passage {
    /// A passage of these runs, which do not overlap, and these deletions of others.
    pub fn of(runs: BTreeMap<Dot, Run>, hidden: Vec<Span>) -> Self {
        Passage { runs, hidden }
    }

    /// The characters inserted, by the dot of the first one of each run.
    pub fn runs(&self) -> &BTreeMap<Dot, Run> {
        &self.runs
    }

    /// The characters deleted that are not among those inserted.
    pub fn hidden(&self) -> &[Span] {
        &self.hidden
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty() && self.hidden.is_empty()
    }

    /// Number of characters, each inserted, deleted, or both.
    pub fn elements(&self) -> u64 {
        self.runs.values().map(|run| u64::from(run.len)).sum::<u64>() + spans::count(&self.hidden)
    }

    /// Takes in another part of the same text.
    pub fn join(&mut self, other: &Passage) {
        for (first, run) in &other.runs {
            self.insert(*first, run);
        }
        for span in &other.hidden {
            self.hide(*span);
        }
    }

    /// Takes in characters that were inserted, shown or deleted.
    pub fn insert(&mut self, first: Dot, run: &Run) {
        let own: Vec<Span> = self.overlapping(run.span(first));
        for part in spans::minus(run.span(first), &own) {
            let gone = spans::meet(part, &self.hidden);
            self.put(part.first, run.cut(first, part));
            for span in gone {
                self.unhide(span);
                self.hide(span);
            }
        }
        if run.is_deleted() {
            own.iter()
                .flat_map(|of| spans::meet(run.span(first), &[*of]))
                .for_each(|of| self.hide(of));
        }
    }

    /// Takes in that characters were deleted.
    pub fn hide(&mut self, span: Span) {
        let own = self.overlapping(span);
        for outside in spans::minus(span, &own) {
            insert_span(&mut self.hidden, outside);
        }
        for inside in spans::meet(span, &own) {
            let first = *self.runs.range(..=inside.first).next_back().expect("it overlaps").0;
            self.delete(first, inside);
        }
    }

    /// The spans of the runs that overlap one, each run for itself.
    fn overlapping(&self, span: Span) -> Vec<Span> {
        let before = self.runs.range(..span.first).next_back();
        let inside = self.runs.range(span.first..span.end());
        let all = before.into_iter().chain(inside).map(|(first, run)| run.span(*first));
        all.filter(|own| own.first < span.end() && span.first < own.end()).collect()
    }

    /// Takes the dots of a span, which are hidden, for not hidden.
    fn unhide(&mut self, span: Span) {
        let kept = self.hidden.iter().flat_map(|of| spans::minus(*of, &[span]));
        self.hidden = kept.collect();
    }

    /// Adds a run that overlaps no other.
    fn put(&mut self, first: Dot, run: Run) {
        let end = run.span(first).end();
        self.runs.insert(first, run);
        self.merge_at(end);
        self.merge_at(first);
    }

    /// Deletes a part of the run that begins with `first`.
    fn delete(&mut self, first: Dot, part: Span) {
        let whole = self.runs.remove(&first).expect("a run begins here");
        let span = whole.span(first);
        let dead = Run { text: String::new(), ..whole.cut(first, part) };
        let rest = spans::minus(span, &[part]);
        if whole.is_deleted() {
            self.runs.insert(first, whole);
            return;
        }
        for piece in rest {
            self.runs.insert(piece.first, whole.cut(first, piece));
        }
        self.put(part.first, dead);
    }

    /// Makes the run that begins with a dot one with the run before, where both could have been one.
    fn merge_at(&mut self, first: Dot) {
        let Some((before_first, before)) = self.runs.range(..first).next_back() else { return };
        let Some(run) = self.runs.get(&first) else { return };
        let (before_first, span) = (*before_first, before.span(*before_first));
        let follows = span.end() == first
            && run.left == span.first.plus(span.len - 1)
            && run.claim == before.claim.of_later(span.len)
            && run.is_deleted() == before.is_deleted();
        if let Some(len) = before.len.checked_add(run.len).filter(|_| follows) {
            let run = self.runs.remove(&first).expect("just found");
            let before = self.runs.get_mut(&before_first).expect("just found");
            before.len = len;
            before.text.push_str(&run.text);
        }
    }
}

/// Puts runs that do not overlap into an order in which each comes after those that it names; what is named and not among them is taken
/// to be there before.
///
/// # Errors
/// [`Malformed`] where there is no such order.
pub fn in_causal_order(mut runs: Vec<(Dot, Run)>) -> Result<Vec<(Dot, Run)>, Malformed> {
    if runs.len() < 2 && runs.iter().all(|(first, run)| !names(run, run.span(*first))) {
        return Ok(runs);
    }
    runs.sort_unstable_by_key(|(first, _)| *first);
    let mut waiting: BTreeMap<Agent, VecDeque<(Dot, Run)>> = BTreeMap::new();
    for (first, run) in runs {
        waiting.entry(first.agent).or_default().push_back((first, run));
    }
    let (mut ordered, mut count) = (Vec::new(), usize::MAX);
    while ordered.len() != count {
        count = ordered.len();
        // An agent's own runs follow one another; what they name of others' is waited for.
        for agent in waiting.keys().copied().collect::<Vec<_>>() {
            while let Some((_, run)) = waiting.get(&agent).and_then(VecDeque::front)
                && is_ready(run, &waiting)
            {
                ordered.extend(waiting.get_mut(&agent).and_then(VecDeque::pop_front));
            }
        }
        waiting.retain(|_, runs| !runs.is_empty());
    }
    if waiting.is_empty() { Ok(ordered) } else { Err(Malformed("text that stands beside itself")) }
}

/// Whether a run names a character in a span as its neighbour.
fn names(run: &Run, span: Span) -> bool {
    let within = |dot: Dot| span.first <= dot && dot < span.end();
    within(run.left) || matches!(run.claim, Claim::Before(right) if within(right))
}

/// Whether no run that waits holds a neighbour of this one.
fn is_ready(run: &Run, waiting: &BTreeMap<Agent, VecDeque<(Dot, Run)>>) -> bool {
    let waits = |dot: Dot| {
        waiting.get(&dot.agent).is_some_and(|runs| {
            let after = runs.partition_point(|(first, _)| *first <= dot);
            after > 0 && dot < runs[after - 1].1.span(runs[after - 1].0).end()
        })
    };
    let right = match run.claim {
        Claim::Before(right) => right,
        Claim::At(_) => Dot::NONE,
    };
    !waits(run.left) && !waits(right)
}
