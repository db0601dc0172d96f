//! The tree.

use super::{EMPTY, Key, Page, Span, level, node_hash};
use std::cell::Cell;

/// A set of keys as a Merkle search tree. Insertions and removals visit one path, and hashes are renewed when next asked for.
#[derive(Debug, Default)]
pub struct Tree {
    root: Child,
    len: usize,
}

type Child = Option<Box<Node>>;

#[derive(Debug)]
struct Node {
    level: u8,
    /// At least one, ascending, each of this level.
    keys: Vec<Key>,
    /// What lies before, between and after the keys, of lower levels; one more than keys.
    children: Vec<Child>,
    /// `None` since the last change below.
    hash: Cell<Option<u128>>,
}

impl Tree {
    /// The empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of keys.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it holds no key.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds a key; false where it was there.
    pub fn insert(&mut self, key: Key, visited: &mut u64) -> bool {
        let is_new = insert(&mut self.root, key, level(key), visited);
        self.len += usize::from(is_new);
        is_new
    }

    /// Takes a key away; false where it was not there.
    pub fn remove(&mut self, key: Key, visited: &mut u64) -> bool {
        let was_there = remove(&mut self.root, key, level(key), visited);
        self.len -= usize::from(was_there);
        was_there
    }

    /// Whether it holds a key.
    pub fn contains(&self, key: Key, visited: &mut u64) -> bool {
        let mut child = &self.root;
        while let Some(node) = child {
            match node.find(key, visited) {
                Ok(_) => return true,
                Err(at) => child = &node.children[at],
            }
        }
        false
    }

    /// The keys, ascending.
    pub fn keys(&self) -> Vec<Key> {
        self.list(Span::ALL, &mut 0)
    }

    /// Equal exactly where the keys are (but for one chance in 2^128).
    pub fn root_hash(&self, visited: &mut u64) -> u128 {
        self.hash(Span::ALL, visited)
    }

    /// The root hash of the tree of the keys in an interval.
    pub(super) fn hash(&self, span: Span, visited: &mut u64) -> u128 {
        let (first, last) = bounds(span);
        hash(&self.root, first, last, visited)
    }

    /// The root of the tree of the keys in an interval.
    pub(super) fn page(&self, span: Span, visited: &mut u64) -> Page {
        let (first, last) = bounds(span);
        let Some(cut) = Cut::of(&self.root, first, last, visited) else {
            return Page::default();
        };
        let mut children: Vec<u128> = cut.children(visited).collect();
        if children.iter().all(|child| *child == EMPTY) {
            children.clear();
        }
        Page { keys: cut.keys().to_vec(), children }
    }

    /// The keys in an interval, ascending.
    pub(super) fn list(&self, span: Span, visited: &mut u64) -> Vec<Key> {
        let mut keys = Vec::new();
        list(&self.root, span, &mut keys, visited);
        keys
    }

    /// Panics where the shape is not that of its keys.
    #[cfg(test)]
    pub(super) fn check(&self) {
        fn check(child: &Child, below: u8, keys: &mut Vec<Key>) {
            let Some(node) = child else { return };
            assert!(node.level < below && !node.keys.is_empty());
            assert_eq!(node.children.len(), node.keys.len() + 1);
            for (at, child) in node.children.iter().enumerate() {
                check(child, node.level, keys);
                if let Some(key) = node.keys.get(at) {
                    assert_eq!(level(*key), node.level);
                    keys.push(*key);
                }
            }
        }
        let mut keys = Vec::new();
        check(&self.root, super::LEVELS, &mut keys);
        assert!(keys.is_sorted_by(|a, b| a < b));
        assert_eq!(keys.len(), self.len);
    }
}

impl Node {
    fn new(level: u8, keys: Vec<Key>, children: Vec<Child>) -> Box<Self> {
        Box::new(Node { level, keys, children, hash: Cell::new(None) })
    }

    fn find(&self, key: Key, visited: &mut u64) -> Result<usize, usize> {
        // As many keys are looked at as their number has bits.
        *visited += u64::from(usize::BITS - self.keys.len().leading_zeros());
        self.keys.binary_search(&key)
    }

    fn hash(&self, visited: &mut u64) -> u128 {
        *visited += 1;
        if let Some(hash) = self.hash.get() {
            return hash;
        }
        *visited += self.keys.len() as u64;
        let children = if self.level == 0 { &[] } else { &self.children[..] };
        let children = children.iter().map(|child| hash(child, None, None, visited));
        let hash = node_hash(&self.keys, children);
        self.hash.set(Some(hash));
        hash
    }
}

// Recursion below is as deep as there are levels, seventeen at most.

fn insert(child: &mut Child, key: Key, level: u8, visited: &mut u64) -> bool {
    let Some(node) = child.as_mut().filter(|node| node.level >= level) else {
        let (before, after) = split(child.take(), key, visited);
        *child = Some(Node::new(level, vec![key], vec![before, after]));
        return true;
    };
    let Err(at) = node.find(key, visited) else {
        return false;
    };
    if node.level > level {
        let is_new = insert(&mut node.children[at], key, level, visited);
        if is_new {
            node.hash.set(None);
        }
        return is_new;
    }
    let (before, after) = split(node.children[at].take(), key, visited);
    *visited += (node.keys.len() - at) as u64;
    node.keys.insert(at, key);
    node.children[at] = before;
    node.children.insert(at + 1, after);
    node.hash.set(None);
    true
}

fn remove(child: &mut Child, key: Key, level: u8, visited: &mut u64) -> bool {
    let Some(node) = child.as_mut().filter(|node| node.level >= level) else {
        return false;
    };
    let at = match node.find(key, visited) {
        Ok(at) => at,
        Err(at) => {
            let was_there =
                node.level > level && remove(&mut node.children[at], key, level, visited);
            if was_there {
                node.hash.set(None);
            }
            return was_there;
        }
    };
    *visited += (node.keys.len() - at) as u64;
    node.keys.remove(at);
    let after = node.children.remove(at + 1);
    let joined = join(node.children[at].take(), after, visited);
    if node.keys.is_empty() {
        *child = joined;
    } else {
        node.children[at] = joined;
        node.hash.set(None);
    }
    true
}

/// The trees of the keys before and after a key that is not in it.
fn split(child: Child, key: Key, visited: &mut u64) -> (Child, Child) {
    let Some(mut node) = child else {
        return (None, None);
    };
    let at = node.find(key, visited).expect_err("only keys that are not there divide a tree");
    let (before, after) = split(node.children[at].take(), key, visited);
    let keys = node.keys.split_off(at);
    let mut children = node.children.split_off(at + 1);
    *visited += keys.len() as u64;
    children.insert(0, after);
    let right = match keys.is_empty() {
        true => children.swap_remove(0),
        false => Some(Node::new(node.level, keys, children)),
    };
    if node.keys.is_empty() {
        return (before, right);
    }
    node.children[at] = before;
    node.hash.set(None);
    (Some(node), right)
}

/// The tree of the keys of two trees, the first of which lies before the second.
fn join(before: Child, after: Child, visited: &mut u64) -> Child {
    let (mut before, mut after) = match (before, after) {
        (Some(before), Some(after)) => (before, after),
        (only, None) | (None, only) => return only,
    };
    *visited += 1;
    if before.level < after.level {
        let first = after.children[0].take();
        after.children[0] = join(Some(before), first, visited);
        after.hash.set(None);
        return Some(after);
    }
    let last = before.children.pop().expect("one more child than keys");
    if before.level > after.level {
        before.children.push(join(last, Some(after), visited));
    } else {
        *visited += after.keys.len() as u64;
        let first = after.children[0].take();
        before.children.push(join(last, first, visited));
        before.keys.append(&mut after.keys);
        before.children.extend(after.children.drain(1..));
    }
    before.hash.set(None);
    Some(before)
}

/// The ends of an interval where they can cut something.
fn bounds(span: Span) -> (Option<Key>, Option<Key>) {
    (Some(span.first).filter(|first| *first > 0), Some(span.last).filter(|last| *last < Key::MAX))
}

fn hash(child: &Child, first: Option<Key>, last: Option<Key>, visited: &mut u64) -> u128 {
    if first.is_none() && last.is_none() {
        return child.as_ref().map_or(EMPTY, |node| node.hash(visited));
    }
    match Cut::of(child, first, last, visited) {
        None => EMPTY,
        Some(cut) if cut.is_whole() => cut.node.hash(visited),
        Some(cut) => {
            *visited += cut.keys().len() as u64;
            node_hash(cut.keys(), cut.children(visited))
        }
    }
}

/// The root of the tree of an interval: a part of a node, of which the outermost children may be cut in turn.
struct Cut<'a> {
    node: &'a Node,
    from: usize,
    to: usize,
    first: Option<Key>,
    last: Option<Key>,
}

impl<'a> Cut<'a> {
    /// `None` where the interval is empty.
    fn of(
        mut child: &'a Child,
        mut first: Option<Key>,
        mut last: Option<Key>,
        visited: &mut u64,
    ) -> Option<Self> {
        loop {
            let node = child.as_deref()?;
            let from = first.map_or(0, |first| node.find(first, visited).unwrap_or_else(|at| at));
            let to = last.map_or(node.keys.len(), |last| match node.find(last, visited) {
                Ok(at) => at + 1,
                Err(at) => at,
            });
            // An end right beside a key cuts nothing of what lies beyond that key.
            first = first.filter(|first| from == 0 || node.keys[from - 1] != first - 1);
            last = last.filter(|last| node.keys.get(to).is_none_or(|key| *key != last + 1));
            if from < to {
                return Some(Cut { node, from, to, first, last });
            }
            child = &node.children[from];
        }
    }

    fn is_whole(&self) -> bool {
        self.keys().len() == self.node.keys.len() && self.first.is_none() && self.last.is_none()
    }

    fn keys(&self) -> &'a [Key] {
        &self.node.keys[self.from..self.to]
    }

    /// Hashes of what lies before, between and after the keys; none at level 0.
    fn children(&self, visited: &mut u64) -> impl Iterator<Item = u128> {
        let range = if self.node.level == 0 { 0..0 } else { self.from..self.to + 1 };
        range.map(|at| {
            let first = self.first.filter(|_| at == self.from);
            let last = self.last.filter(|_| at == self.to);
            hash(&self.node.children[at], first, last, visited)
        })
    }
}

fn list(child: &Child, span: Span, keys: &mut Vec<Key>, visited: &mut u64) {
    let Some(node) = child else { return };
    let from = node.keys.partition_point(|key| *key < span.first);
    *visited += 1;
    for at in from..=node.keys.len() {
        list(&node.children[at], span, keys, visited);
        match node.keys.get(at) {
            Some(key) if span.contains(*key) => keys.push(*key),
            _ => break,
        }
        *visited += 1;
    }
}
