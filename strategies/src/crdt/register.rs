//! A multi-value register: the values that no put has replaced knowingly.

use super::causal::Dot;
use crate::document::{Alternative, Cell, Content, Mark, Rendering, Value};

/// Values by their dots, the greatest (counter, agent) first: that one is displayed, on every replica.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Register {
    values: Vec<(Dot, Value)>,
}

fn rank(dot: Dot) -> (u64, Dot) {
    (dot.counter, dot)
}

impl Register {
    /// Puts a value in place of those named in `seen` and says which of these were here.
    pub fn put(&mut self, dot: Dot, value: Value, seen: &[Dot], hidden: &mut Vec<Dot>) {
        self.hide(seen, hidden);
        let at = self.values.partition_point(|(other, _)| rank(*other) > rank(dot));
        self.values.insert(at, (dot, value));
    }

    /// Takes the values named in `seen` away and says which of these were here.
    pub fn hide(&mut self, seen: &[Dot], hidden: &mut Vec<Dot>) {
        self.values.retain(|(dot, _)| {
            let gone = seen.contains(dot);
            if gone {
                hidden.push(*dot);
            }
            !gone
        });
    }

    /// The dots of all values.
    pub fn dots(&self) -> Vec<Dot> {
        self.values.iter().map(|(dot, _)| *dot).collect()
    }

    /// The dots that an answer to a conflict replaces: those named by the marks the user was shown, and those of equal values,
    /// which are shown under one mark.
    pub fn named(&self, seen: &[Mark]) -> Vec<Dot> {
        let shown: Vec<&Value> = self
            .values
            .iter()
            .filter(|(dot, _)| seen.contains(&dot.mark()))
            .map(|(_, value)| value)
            .collect();
        self.values.iter().filter(|(_, v)| shown.contains(&v)).map(|(dot, _)| *dot).collect()
    }

    /// The dots whose values differ from that of `dot`.
    pub fn rivals(&self, dot: Dot) -> impl Iterator<Item = Dot> + '_ {
        let own = self.values.iter().find(|(other, _)| *other == dot).map(|(_, value)| value);
        self.values.iter().filter(move |(_, value)| Some(value) != own).map(|(other, _)| *other)
    }

    /// All values with their dots, the displayed one first.
    pub fn values(&self) -> &[(Dot, Value)] {
        &self.values
    }

    /// A register of these values, in any order.
    pub fn from_values(mut values: Vec<(Dot, Value)>) -> Self {
        values.sort_by_key(|(dot, _)| std::cmp::Reverse(rank(*dot)));
        Register { values }
    }

    /// Shows the value, or the alternatives: one for each distinct value, named by its greatest dot.
    pub fn show(&self, cell: Cell, out: &mut Rendering) {
        let mut alternatives: Vec<Alternative> = Vec::new();
        for (dot, value) in &self.values {
            let content = Content::Register(Some(value.clone()));
            if alternatives.iter().all(|shown| shown.content != content) {
                alternatives.push(Alternative { mark: dot.mark(), content });
            }
        }
        out.conflict(cell, alternatives);
    }
}
