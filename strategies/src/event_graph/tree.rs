//! The characters of a stretch of history in the order of the text, those that are not there yet and those that are gone included:
//! a B-tree over runs that finds them by position and by name in logarithmic time. It only ever grows.

use super::graph::Time;
use std::cell::Cell;
use std::collections::BTreeMap;

/// No character: the start or the end of the text.
pub const NONE: Time = Time::MAX;

/// Runs in a leaf, and children of a node, before it is cut in two.
const MOST: usize = 32;

/// Characters inserted one behind another that all are in one state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item {
    /// Name of the first; the others are counted on.
    pub id: Time,
    /// How many; at least 1.
    pub len: usize,
    /// What the first was inserted behind; the others stand behind one another.
    pub left: Time,
    /// What all of them were inserted before.
    pub right: Time,
    /// In the version that the tracker is at: 0 where not inserted yet, 1 where shown, more where so many deletions less one hide it.
    pub state: u32,
    /// Whether any edit applied so far deletes it.
    pub gone: bool,
}

impl Item {
    fn sum(&self) -> Sum {
        let shown = |is_shown| if is_shown { self.len } else { 0 };
        Sum { all: self.len, now: shown(self.state == 1), end: shown(!self.gone) }
    }

    fn split_off(&mut self, offset: usize) -> Item {
        let id = self.id + offset;
        let tail = Item { id, len: self.len - offset, left: id - 1, ..*self };
        self.len = offset;
        tail
    }
}

/// Numbers of characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// All of them.
    pub all: usize,
    /// Those shown in the version that the tracker is at.
    pub now: usize,
    /// Those shown once everything applied so far is done.
    pub end: usize,
}

impl Sum {
    fn add(&mut self, other: Sum) {
        self.all += other.all;
        self.now += other.now;
        self.end += other.end;
    }

    fn take(&mut self, other: Sum) {
        self.all -= other.all;
        self.now -= other.now;
        self.end -= other.end;
    }
}

/// A place: how far into which run of which leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    leaf: usize,
    item: usize,
    /// Characters of the run before it.
    pub offset: usize,
}

impl Place {
    /// Another place in the same run.
    pub fn with_offset(self, offset: usize) -> Place {
        Place { offset, ..self }
    }
}

#[derive(Debug)]
struct Leaf {
    items: Vec<Item>,
    parent: usize,
    next: usize,
}

#[derive(Debug)]
struct Node {
    children: Vec<(usize, Sum)>,
    parent: usize,
    above_leaves: bool,
}

/// The tree.
#[derive(Debug)]
pub struct Tree {
    leaves: Vec<Leaf>,
    nodes: Vec<Node>,
    root: usize,
    /// The leaf of the run with this first name.
    index: BTreeMap<Time, usize>,
    /// Runs and children visited.
    work: Cell<u64>,
}

impl Tree {
    /// A tree without characters.
    pub fn new() -> Self {
        let leaf = Leaf { items: Vec::new(), parent: 0, next: NONE };
        let root = Node { children: vec![(0, Sum::default())], parent: NONE, above_leaves: true };
        Tree {
            leaves: vec![leaf],
            nodes: vec![root],
            root: 0,
            index: BTreeMap::new(),
            work: Cell::new(0),
        }
    }

    /// Runs and children visited so far.
    pub fn work(&self) -> u64 {
        self.work.get()
    }

    fn visit(&self, count: usize) {
        self.work.set(self.work.get() + count as u64);
    }

    /// All characters.
    pub fn total(&self) -> Sum {
        let mut sum = Sum::default();
        self.nodes[self.root].children.iter().for_each(|(_, child)| sum.add(*child));
        sum
    }

    /// The place before everything.
    pub fn start(&self) -> Place {
        Place { leaf: 0, item: 0, offset: 0 }
    }

    /// The run at a place, which is inside one.
    pub fn at(&self, place: Place) -> Item {
        self.leaves[place.leaf].items[place.item]
    }

    /// The place of the `at`-th character that is shown now, which exists.
    pub fn find_now(&self, at: usize) -> Place {
        let (mut node, mut left) = (self.root, at);
        loop {
            let Node { children, above_leaves, .. } = &self.nodes[node];
            let mut next = 0;
            while left >= children[next].1.now {
                left -= children[next].1.now;
                next += 1;
            }
            self.visit(1);
            let child = children[next].0;
            if *above_leaves {
                for (item, entry) in self.leaves[child].items.iter().enumerate() {
                    let now = entry.sum().now;
                    if left < now {
                        self.visit(1);
                        return Place { leaf: child, item, offset: left };
                    }
                    left -= now;
                }
                unreachable!("sums count the characters shown in every leaf");
            }
            node = child;
        }
    }

    /// The place of a character, which exists.
    pub fn find(&self, id: Time) -> Place {
        let (first, leaf) = self.index.range(..=id).next_back().expect("a character that exists");
        let items = &self.leaves[*leaf].items;
        let item = items.iter().position(|item| item.id == *first);
        self.visit(2);
        Place { leaf: *leaf, item: item.expect("the index names its leaf"), offset: id - first }
    }

    /// The place itself, or where it is behind the last run of its leaf the start of the next one; `None` at the end.
    pub fn settle(&self, place: Place) -> Option<Place> {
        self.visit(1);
        if place.item < self.leaves[place.leaf].items.len() {
            return Some(place);
        }
        let leaf = self.leaves[place.leaf].next;
        (leaf != NONE).then_some(Place { leaf, item: 0, offset: 0 })
    }

    /// The place behind the run at a place.
    pub fn behind(&self, place: Place) -> Place {
        Place { item: place.item + 1, offset: 0, ..place }
    }

    /// How many characters there are before a place.
    pub fn before(&self, place: Place) -> Sum {
        let leaf = &self.leaves[place.leaf];
        let mut sum = Sum::default();
        leaf.items[..place.item].iter().for_each(|item| sum.add(item.sum()));
        if place.offset > 0 {
            sum.add(Item { len: place.offset, ..leaf.items[place.item] }.sum());
        }
        let (mut child, mut node) = (place.leaf, leaf.parent);
        while node != NONE {
            self.visit(1);
            for (_, other) in self.nodes[node].children.iter().take_while(|(c, _)| *c != child) {
                sum.add(*other);
            }
            (child, node) = (node, self.nodes[node].parent);
        }
        sum
    }

    /// Makes a place the start of a run, by cutting the run in two where it is not.
    pub fn cut(&mut self, place: Place) -> Place {
        if place.offset == 0 {
            return place;
        }
        let item = &mut self.leaves[place.leaf].items[place.item];
        if place.offset == item.len {
            return self.behind(place);
        }
        let tail = item.split_off(place.offset);
        self.put(self.behind(place), tail)
    }

    /// Puts a run at a place that is the start of one, and says where it is now.
    pub fn insert(&mut self, place: Place, item: Item) -> Place {
        self.change(place.leaf, |sum| sum.add(item.sum()));
        self.put(place, item)
    }

    /// Changes the state of the run at a place.
    pub fn set(&mut self, place: Place, state: u32, gone: bool) {
        let item = &mut self.leaves[place.leaf].items[place.item];
        let before = item.sum();
        (item.state, item.gone) = (state, gone);
        let after = item.sum();
        if before != after {
            self.change(place.leaf, |sum| {
                sum.take(before);
                sum.add(after);
            });
        }
    }

    /// Changes the sums above a leaf.
    fn change(&mut self, leaf: usize, by: impl Fn(&mut Sum)) {
        let (mut child, mut node) = (leaf, self.leaves[leaf].parent);
        while node != NONE {
            self.visit(1);
            let mut children = self.nodes[node].children.iter_mut();
            let (_, sum) = children.find(|(c, _)| *c == child).expect("a child of its parent");
            by(sum);
            (child, node) = (node, self.nodes[node].parent);
        }
    }

    /// Puts a run into a leaf that is counted above already.
    fn put(&mut self, place: Place, item: Item) -> Place {
        let Place { leaf, item: at, .. } = place;
        self.visit(1);
        self.index.insert(item.id, leaf);
        self.leaves[leaf].items.insert(at, item);
        let count = self.leaves[leaf].items.len();
        if count <= MOST {
            return Place { offset: 0, ..place };
        }
        self.visit(count / 2);
        let (fresh, kept) = (self.leaves.len(), count / 2);
        let moved = self.leaves[leaf].items.split_off(kept);
        let mut sum = Sum::default();
        for item in &moved {
            sum.add(item.sum());
            self.index.insert(item.id, fresh);
        }
        let (parent, next) = (self.leaves[leaf].parent, self.leaves[leaf].next);
        self.leaves[leaf].next = fresh;
        self.leaves.push(Leaf { items: moved, parent, next });
        self.adopt(parent, leaf, fresh, sum);
        if at < kept {
            Place { leaf, item: at, offset: 0 }
        } else {
            Place { leaf: fresh, item: at - kept, offset: 0 }
        }
    }

    /// Gives a node a new child behind another one, which `sum` was taken from.
    fn adopt(&mut self, node: usize, behind: usize, child: usize, sum: Sum) {
        let children = &mut self.nodes[node].children;
        let at = children.iter().position(|(c, _)| *c == behind).expect("a child of its parent");
        children[at].1.take(sum);
        children.insert(at + 1, (child, sum));
        let count = children.len();
        if count <= MOST {
            return;
        }
        let moved = children.split_off(count / 2);
        self.visit(count / 2);
        let (fresh, above_leaves) = (self.nodes.len(), self.nodes[node].above_leaves);
        let mut sum = Sum::default();
        for (child, part) in &moved {
            sum.add(*part);
            if above_leaves {
                self.leaves[*child].parent = fresh;
            } else {
                self.nodes[*child].parent = fresh;
            }
        }
        let parent = self.nodes[node].parent;
        self.nodes.push(Node { children: moved, parent, above_leaves });
        if parent == NONE {
            let mut whole = Sum::default();
            self.nodes[node].children.iter().for_each(|(_, part)| whole.add(*part));
            whole.add(sum);
            self.root = self.nodes.len();
            let children = vec![(node, whole)];
            self.nodes.push(Node { children, parent: NONE, above_leaves: false });
            self.nodes[node].parent = self.root;
            self.nodes[fresh].parent = self.root;
        }
        self.adopt(self.nodes[node].parent, node, fresh, sum);
    }
}
