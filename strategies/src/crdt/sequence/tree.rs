//! Numbered leaves in an order, each with a weight: a B-tree in which every leaf finds its place and every place its leaf in
//! logarithmic time.

/// Children of a node before it is cut in two; a place among them fits in [`PLACE_BITS`].
const MOST: usize = 63;
/// Bits of a path that say which child.
const PLACE_BITS: u32 = 6;
/// Parent of the root.
const NOBODY: u32 = u32::MAX;

#[derive(Clone, Debug)]
struct Node {
    parent: u32,
    children: Vec<u32>,
    /// Sum of the weights of the leaves under each child.
    weights: Vec<usize>,
}

/// The order of the leaves. There is at least one.
#[derive(Clone, Debug)]
pub struct Tree {
    nodes: Vec<Node>,
    root: u32,
    /// Nodes on the way from the root to any leaf.
    depth: u32,
    /// The node above each leaf.
    parents: Vec<u32>,
}

impl Tree {
    /// Leaves numbered from 0 with these weights, at least one, in this order.
    pub fn new(weights: impl Iterator<Item = usize>) -> Self {
        let mut level: Vec<(u32, usize)> = (0..).zip(weights).collect();
        let parents = vec![NOBODY; level.len()];
        let mut tree = Tree { nodes: Vec::new(), root: 0, depth: 0, parents };
        while tree.depth == 0 || level.len() > 1 {
            let mut above = Vec::new();
            for group in level.chunks(MOST / 2) {
                let (children, weights): (Vec<u32>, Vec<usize>) = group.iter().copied().unzip();
                let node = tree.nodes.len() as u32;
                children.iter().for_each(|child| tree.set_parent(*child, tree.depth, node));
                above.push((node, weights.iter().sum()));
                tree.nodes.push(Node { parent: NOBODY, children, weights });
            }
            tree.depth += 1;
            level = above;
        }
        tree.root = level[0].0;
        tree
    }

    /// The leaf in which the `at`-th unit of weight lies, and the weight of all before it.
    pub fn find(&self, at: usize) -> (u32, usize) {
        let (mut child, mut left) = (self.root, at);
        for _ in 0..self.depth {
            let node = &self.nodes[child as usize];
            let mut place = 0;
            while place + 1 < node.weights.len() && left >= node.weights[place] {
                left -= node.weights[place];
                place += 1;
            }
            child = node.children[place];
        }
        (child, at - left)
    }

    /// Makes a leaf heavier, or lighter.
    pub fn add(&mut self, leaf: u32, weight: isize) {
        self.add_above(leaf, self.parents[leaf as usize], weight);
    }

    /// What orders leaves.
    pub fn path(&self, leaf: u32) -> u64 {
        let (mut path, mut shift) = (0, 0);
        for (node, place) in self.way_up(leaf) {
            debug_assert!(place < self.nodes[node as usize].children.len());
            path |= (place as u64) << shift;
            shift += PLACE_BITS;
        }
        path
    }

    /// The first leaf.
    pub fn first(&self) -> u32 {
        self.outermost(self.root, self.depth, false)
    }

    /// The leaf after another one.
    pub fn next(&self, leaf: u32) -> Option<u32> {
        for (height, (node, place)) in (0..).zip(self.way_up(leaf)) {
            if let Some(child) = self.nodes[node as usize].children.get(place + 1) {
                return Some(self.outermost(*child, height, false));
            }
        }
        None
    }

    /// The leaf before another one.
    pub fn previous(&self, leaf: u32) -> Option<u32> {
        for (height, (node, place)) in (0..).zip(self.way_up(leaf)) {
            if let Some(place) = place.checked_sub(1) {
                let child = self.nodes[node as usize].children[place];
                return Some(self.outermost(child, height, true));
            }
        }
        None
    }

    /// Puts the next new leaf, without weight, right after another one, and returns its number.
    pub fn insert_after(&mut self, leaf: u32) -> u32 {
        let new = self.parents.len() as u32;
        let parent = self.parents[leaf as usize];
        self.parents.push(parent);
        self.adopt(parent, leaf, new, 0);
        self.keep_narrow(parent, 0);
        new
    }

    /// Takes out a leaf without weight, not the only one. Its number is not used again.
    pub fn remove(&mut self, leaf: u32) {
        let (mut child, mut parent) = (leaf, self.parents[leaf as usize]);
        while parent != NOBODY {
            let place = self.place(parent, child);
            let node = &mut self.nodes[parent as usize];
            node.children.remove(place);
            node.weights.remove(place);
            if !node.children.is_empty() {
                break;
            }
            (child, parent) = (parent, node.parent);
        }
    }

    /// The most children of nodes that finding a leaf can look at.
    #[cfg(test)]
    pub fn most_steps(&self) -> usize {
        let widest = self.nodes.iter().map(|node| node.children.len()).max().unwrap_or(0);
        self.depth as usize * widest
    }

    fn place(&self, parent: u32, child: u32) -> usize {
        let children = &self.nodes[parent as usize].children;
        children.iter().position(|of| *of == child).expect("a parent knows its children")
    }

    /// The nodes above a leaf and where among their children it goes down to it.
    fn way_up(&self, leaf: u32) -> impl Iterator<Item = (u32, usize)> + '_ {
        let step = move |parent: u32, child: u32| {
            (parent != NOBODY).then(|| (parent, self.place(parent, child)))
        };
        let first = step(self.parents[leaf as usize], leaf);
        std::iter::successors(first, move |(node, _)| {
            step(self.nodes[*node as usize].parent, *node)
        })
    }

    /// The first or last leaf at `height` levels under a child; the child itself at none.
    fn outermost(&self, child: u32, height: u32, last: bool) -> u32 {
        let mut child = child;
        for _ in 0..height {
            let children = &self.nodes[child as usize].children;
            child = if last { children[children.len() - 1] } else { children[0] };
        }
        child
    }

    fn add_above(&mut self, child: u32, parent: u32, weight: isize) {
        let (mut child, mut parent) = (child, parent);
        while parent != NOBODY {
            let place = self.place(parent, child);
            let node = &mut self.nodes[parent as usize];
            node.weights[place] = node.weights[place].wrapping_add_signed(weight);
            (child, parent) = (parent, node.parent);
        }
    }

    /// `height` is that of the child: 0 for a leaf.
    fn set_parent(&mut self, child: u32, height: u32, parent: u32) {
        if height == 0 {
            self.parents[child as usize] = parent;
        } else {
            self.nodes[child as usize].parent = parent;
        }
    }

    fn adopt(&mut self, parent: u32, after: u32, child: u32, weight: usize) {
        let place = self.place(parent, after) + 1;
        let node = &mut self.nodes[parent as usize];
        node.children.insert(place, child);
        node.weights.insert(place, weight);
    }

    /// Cuts a node with too many children in two, and those above it as far as they then have too many. Its children are at `height`.
    fn keep_narrow(&mut self, node: u32, height: u32) {
        let (mut node, mut height) = (node, height);
        while self.nodes[node as usize].children.len() > MOST {
            let new = self.nodes.len() as u32;
            let old = &mut self.nodes[node as usize];
            let children = old.children.split_off(MOST / 2);
            let weights = old.weights.split_off(MOST / 2);
            let (parent, moved) = (old.parent, weights.iter().sum::<usize>());
            let kept = old.weights.iter().sum();
            children.iter().for_each(|child| self.set_parent(*child, height, new));
            self.nodes.push(Node { parent, children, weights });
            if parent == NOBODY {
                let root = self.nodes.len() as u32;
                let (children, weights) = (vec![node, new], vec![kept, moved]);
                self.nodes.push(Node { parent: NOBODY, children, weights });
                self.nodes[node as usize].parent = root;
                self.nodes[new as usize].parent = root;
                (self.root, self.depth) = (root, self.depth + 1);
                return;
            }
            let place = self.place(parent, node);
            self.nodes[parent as usize].weights[place] = kept;
            self.adopt(parent, node, new, moved);
            (node, height) = (parent, height + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn leaves_are_found_by_weight_and_know_their_order() {
        for seed in 0..12 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let first: Vec<usize> = (0..rng.random_range(1..200)).map(|n| n % 5).collect();
            let mut tree = Tree::new(first.iter().copied());
            let mut list: Vec<(u32, usize)> = (0..).zip(first).collect();
            for step in 0..8000 {
                let at = rng.random_range(0..list.len());
                match rng.random_range(0..5) {
                    0..3 => {
                        let new = tree.insert_after(list[at].0);
                        list.insert(at + 1, (new, 0));
                    }
                    3 => {
                        tree.add(list[at].0, 3);
                        list[at].1 += 3;
                    }
                    _ if list.len() > 1 => {
                        tree.add(list[at].0, -(list[at].1 as isize));
                        tree.remove(list[at].0);
                        list.remove(at);
                    }
                    _ => {}
                }
                if step % 500 > 0 {
                    continue;
                }
                let in_order = std::iter::successors(Some(tree.first()), |leaf| tree.next(*leaf));
                assert!(in_order.eq(list.iter().map(|(leaf, _)| *leaf)), "seed {seed}");
                let mut before = 0;
                for (n, (leaf, weight)) in list.iter().enumerate() {
                    let previous = n.checked_sub(1).map(|n| list[n].0);
                    assert_eq!(tree.previous(*leaf), previous, "seed {seed}");
                    assert!(
                        previous.is_none_or(|of| tree.path(of) < tree.path(*leaf)),
                        "seed {seed}"
                    );
                    for at in before..before + weight {
                        assert_eq!(tree.find(at), (*leaf, before), "seed {seed}");
                    }
                    before += weight;
                }
            }
        }
    }
}
