//! Who follows whom among the edits of a cell, by place: 0 is the root, n the n-th edit since.

/// The places that each place follows.
#[derive(Debug)]
pub struct Graph {
    parents: Vec<Vec<usize>>,
}

/// A set of places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places(Vec<u64>);

impl Places {
    fn none(graph: &Graph) -> Self {
        Places(vec![0; graph.parents.len() / 64 + 1])
    }

    pub fn has(&self, place: usize) -> bool {
        self.0[place / 64] >> (place % 64) & 1 == 1
    }

    fn put(&mut self, place: usize) -> bool {
        let new = !self.has(place);
        self.0[place / 64] |= 1 << (place % 64);
        new
    }

    pub fn add(&mut self, other: &Places) {
        self.0.iter_mut().zip(&other.0).for_each(|(word, more)| *word |= more);
    }

    pub fn common(&self, other: &Places) -> Places {
        Places(self.0.iter().zip(&other.0).map(|(a, b)| a & b).collect())
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = usize> + '_ {
        (0..self.0.len() * 64).filter(|place| self.has(*place))
    }
}

impl Graph {
    /// From the places that each place follows, all of them earlier.
    pub fn new(parents: Vec<Vec<usize>>) -> Self {
        Graph { parents }
    }

    /// How many places there are.
    pub fn len(&self) -> usize {
        self.parents.len()
    }

    /// What led to some places, those included.
    pub fn past(&self, places: &[usize]) -> Places {
        let mut past = Places::none(self);
        let mut open: Vec<usize> = places.to_vec();
        while let Some(place) = open.pop() {
            if past.put(place) {
                open.extend(&self.parents[place]);
            }
        }
        past
    }

    /// Those of some places that none of the others follows, the last first.
    pub fn tops(&self, among: &Places) -> Vec<usize> {
        let mut followed = Places::none(self);
        for place in among.iter() {
            self.parents[place].iter().for_each(|parent| {
                followed.put(*parent);
            });
        }
        among.iter().rev().filter(|place| !followed.has(*place)).collect()
    }

    /// Whether every place either led to this one or follows it.
    pub fn divides(&self, place: usize) -> bool {
        let past = self.past(&[place]);
        let mut follows = Places::none(self);
        follows.put(place);
        for other in place + 1..self.parents.len() {
            if self.parents[other].iter().any(|parent| follows.has(*parent)) {
                follows.put(other);
            }
        }
        (0..self.parents.len()).all(|other| past.has(other) || follows.has(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 0 ── 1 ── 3 ── 5
    ///  └── 2 ──╳      and 6, which follows nothing
    ///      └── 4
    fn crossed() -> Graph {
        Graph::new(vec![vec![], vec![0], vec![0], vec![1, 2], vec![2], vec![3], vec![]])
    }

    #[test]
    fn pasts_and_tops() {
        let graph = crossed();
        let list = |places: &Places| places.iter().collect::<Vec<_>>();
        assert_eq!(list(&graph.past(&[5])), [0, 1, 2, 3, 5]);
        assert_eq!(list(&graph.past(&[6])), [6]);
        let common = graph.past(&[5]).common(&graph.past(&[4]));
        assert_eq!(list(&common), [0, 2]);
        assert_eq!(graph.tops(&common), [2]);
        assert_eq!(graph.tops(&graph.past(&[1, 4, 6])), [6, 4, 1]);
    }

    #[test]
    fn a_place_divides_where_everything_leads_to_it_or_follows_it() {
        let graph = Graph::new(vec![vec![], vec![0], vec![0], vec![1, 2], vec![3]]);
        let divides: Vec<bool> = (0..5).map(|place| graph.divides(place)).collect();
        assert_eq!(divides, [true, false, false, true, true]);
        assert!(!crossed().divides(0), "what follows nothing was not led to");
    }
}
