//! An add-wins set: a removal takes away the insertions its author saw, so that a concurrent insertion stays.

use super::causal::Dot;
use crate::document::Value;
use std::collections::BTreeMap;

/// Elements, each held by the insertions that nobody has removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Set {
    elements: BTreeMap<Value, Vec<Dot>>,
    insertions: BTreeMap<Dot, Value>,
}

impl Set {
    /// Inserts an element in place of the insertions named in `seen`.
    pub fn insert(&mut self, dot: Dot, element: Value, seen: &[Dot]) {
        self.hide(seen);
        let holders = self.elements.entry(element.clone()).or_default();
        holders.insert(holders.partition_point(|holder| *holder < dot), dot);
        self.insertions.insert(dot, element);
    }

    /// Takes the insertions named in `seen` away.
    pub fn hide(&mut self, seen: &[Dot]) {
        for dot in seen {
            let Some(element) = self.insertions.remove(dot) else { continue };
            let holders = self.elements.get_mut(&element).expect("an insertion holds its element");
            holders.retain(|holder| holder != dot);
            if holders.is_empty() {
                self.elements.remove(&element);
            }
        }
    }

    /// The insertions that hold an element, in order.
    pub fn holders(&self, element: &Value) -> Vec<Dot> {
        self.elements.get(element).cloned().unwrap_or_default()
    }

    /// Every insertion, in order of dots.
    pub fn insertions(&self) -> &BTreeMap<Dot, Value> {
        &self.insertions
    }

    /// The elements, in order.
    pub fn elements(&self) -> impl Iterator<Item = &Value> {
        self.elements.keys()
    }
}
