//! Groups form a lattice; what a join says is new is the join of the join-irreducible elements that were.

use super::world::{genesis, random_edit, schema};
use super::*;
use crate::crdt::causal::{Agent, Dot, Span, Version};
use crate::crdt::cells::{Cells, State};
use crate::crdt::counter::Share;
use crate::crdt::groups::group::{Group, Part};
use crate::crdt::groups::join::{Effects, join_group, join_state, new_runs};
use crate::crdt::groups::passage::Run;
use crate::crdt::op::Delta;
use crate::crdt::snapshot::{read_cells, write_cells};
use crate::wire::{Reader, Writer};
use std::collections::BTreeMap;

/// An author: a document, its version, and the delta of every edit in it, in the order in which they came.
struct Author {
    agent: Agent,
    have: Version,
    cells: Cells,
    groups: Vec<Group>,
}

impl Author {
    fn new(replica: u32) -> Self {
        let agent = Agent::new(ReplicaId(replica), 0);
        let (have, cells) = (Version::new(), Cells::new(TextOrder::FugueMax));
        let mut author = Author { agent, have, cells, groups: Vec::new() };
        for (_, edit) in genesis() {
            author.make(Agent::GENESIS, &edit);
        }
        author.groups.clear();
        author
    }

    fn make(&mut self, agent: Agent, edit: &Edit) {
        let first = Dot { agent, counter: self.have.get(agent) + 1 };
        let (mut deltas, mut effects) = (Vec::new(), crate::crdt::cells::Effects::default());
        self.cells.edit(&schema(), edit, first, &mut deltas, &mut effects);
        if let Some(last) = deltas.last().map(Delta::last) {
            self.have.raise(agent, last.counter);
            self.groups.push(Group::of_edit(&deltas, &self.cells));
        }
    }

    fn random_edit(&mut self, rng: &mut ChaCha8Rng, serial: u64) {
        let edit = random_edit(rng, &self.shown(), serial);
        self.make(self.agent, &edit);
    }

    fn take(&mut self, group: &Group) -> Group {
        let runs = new_runs(group, &self.have).expect("honest groups have an order");
        let effects = &mut Effects::default();
        let delta = join_group(&mut self.cells, &mut self.have, group, &runs, effects);
        if !delta.covers().is_empty() {
            self.groups.push(delta.clone());
        }
        delta
    }

    /// Everything up to now as one group.
    fn all(&self) -> Group {
        joined(&self.groups)
    }

    fn fork(&self) -> Author {
        let mut writer = Writer::new();
        write_cells(&mut writer, &self.have, &self.cells);
        let bytes = writer.finish();
        let mut reader = Reader::new(&bytes);
        let order = TextOrder::FugueMax;
        let cells = read_cells(&mut reader, &self.have, &schema(), order).expect("its own bytes");
        Author { agent: self.agent, have: self.have.clone(), cells, groups: self.groups.clone() }
    }

    fn shown(&self) -> Rendering {
        let mut shown = Rendering::new();
        self.cells.render(Scope::All, &mut shown);
        shown
    }
}

fn joined<'a>(groups: impl IntoIterator<Item = &'a Group>) -> Group {
    let mut all = Group::default();
    groups.into_iter().for_each(|group| all.join(group));
    all
}

/// Three authors who edit and join groups of each other, and what each knows. What is joined is always all that the other one has.
fn authors(rng: &mut ChaCha8Rng, steps: usize) -> [Author; 3] {
    let mut authors = [0, 1, 2].map(Author::new);
    for step in 0..steps {
        let me = rng.random_range(0..3);
        if rng.random_bool(0.7) {
            authors[me].random_edit(rng, step as u64);
        } else {
            let all = authors[rng.random_range(0..3)].all();
            authors[me].take(&all);
        }
    }
    authors
}

/// The join-irreducible elements of a group, and each dot that it covers.
fn irreducibles(group: &Group) -> Vec<Group> {
    let mut all = Vec::new();
    let mut add = |cell: Cell, part: Part| {
        all.push(Group::of(Vec::new(), BTreeMap::from([(cell, part)]), BTreeMap::new()));
    };
    for (cell, part) in group.parts() {
        match part {
            Part::Register(puts) => {
                for (agent, put) in puts {
                    add(*cell, Part::Register(BTreeMap::from([(*agent, put.clone())])));
                }
            }
            Part::Counter(shares) => {
                for (agent, share) in shares {
                    let Share { added, reset } = *share;
                    for (through, half) in [
                        (added.through, Share { added, ..Share::default() }),
                        (reset.through, Share { reset, ..Share::default() }),
                    ] {
                        if through > 0 {
                            add(*cell, Part::Counter(BTreeMap::from([(*agent, half)])));
                        }
                    }
                }
            }
            Part::Set(insertions) => {
                for (dot, element) in insertions {
                    add(*cell, Part::Set(BTreeMap::from([(*dot, element.clone())])));
                }
            }
            Part::Text(passage) => {
                for (first, run) in passage.runs() {
                    for n in 0..u64::from(run.len) {
                        let dot = first.plus(n);
                        let mut one = Group::default();
                        let run = run.cut(*first, Span { first: dot, len: 1 });
                        one.passage(*cell).insert(dot, &run);
                        add(*cell, one.parts()[cell].clone());
                    }
                }
                for span in passage.hidden() {
                    for n in 0..span.len {
                        let span = Span { first: span.first.plus(n), len: 1 };
                        let mut one = Group::default();
                        one.passage(*cell).hide(span);
                        add(*cell, one.parts()[cell].clone());
                    }
                }
            }
        }
    }
    let elements = all.len() as u64;
    assert_eq!(elements, group.elements(), "as many as are counted");
    for span in group.covers() {
        let dot = |n| Span { first: span.first.plus(n), len: 1 };
        all.extend((0..span.len).map(|n| Group::covering(vec![dot(n)])));
    }
    all
}

#[test]
fn the_join_is_commutative_associative_and_idempotent() {
    for seed in 0..150 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let groups: Vec<Group> =
            authors(&mut rng, 40).into_iter().flat_map(|author| author.groups).collect();
        if groups.is_empty() {
            continue;
        }
        let mut some = || {
            let count = rng.random_range(1..6);
            let picked: Vec<_> =
                (0..count).map(|_| &groups[rng.random_range(0..groups.len())]).collect();
            joined(picked)
        };
        let (a, b, c) = (some(), some(), some());
        assert_eq!(joined([&a, &b]), joined([&b, &a]), "seed {seed}");
        assert_eq!(joined([&joined([&a, &b]), &c]), joined([&a, &joined([&b, &c])]), "seed {seed}");
        assert_eq!(joined([&a, &a]), a, "seed {seed}");
        assert_eq!(joined([&joined([&a, &b]), &b]), joined([&a, &b]), "seed {seed}");
    }
}

#[test]
fn a_group_is_the_join_of_its_irreducible_elements() {
    for seed in 0..100 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        for author in authors(&mut rng, 40) {
            let all = author.all();
            let elements = irreducibles(&all);
            assert_eq!(joined(&elements), all, "seed {seed}");
            for element in &elements {
                assert!(element.elements() <= 1, "seed {seed}: {element:?}");
            }
        }
    }
}

/// Delta(d, x) of the paper: the join of those elements of d that x does not have, no more and no less.
#[test]
fn what_is_new_in_a_group_is_the_join_of_its_new_elements() {
    for seed in 0..120 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let [author, other, _] = authors(&mut rng, 40);
        let group = other.all();
        // All that the author has, but for what everybody has from the beginning and no group tells of.
        let mine = author.all();
        let is_new = |one: &Group| joined([&mine, one]) != mine;
        let new: Vec<Group> = irreducibles(&group)
            .into_iter()
            .filter(is_new)
            .map(|one| {
                deletion(&one)
                    .filter(|less| joined([&mine, less]) == joined([&mine, &one]))
                    .unwrap_or(one)
            })
            .collect();
        let delta = author.fork().take(&group);
        assert_eq!(delta, joined(&new), "seed {seed}");
    }
}

/// The deletion alone, of a character that was inserted and deleted: enough for somebody who has the character.
fn deletion(one: &Group) -> Option<Group> {
    let (cell, part) = one.parts().first_key_value()?;
    let Part::Text(passage) = part else { return None };
    let (first, run) = passage.runs().first_key_value().filter(|(_, run)| run.is_deleted())?;
    let mut less = Group::default();
    less.passage(*cell).hide(run.span(*first));
    Some(less)
}

/// Joining states is joining everything that either has seen, in whatever order.
#[test]
fn states_join_as_the_groups_behind_them_do() {
    for seed in 0..150 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let [a, b, c] = authors(&mut rng, 50);
        let join = |into: &Author, from: &Author| {
            let mut joined = into.fork();
            let effects = &mut Effects::default();
            let states = from.cells.states().iter();
            let theirs = states.map(|(cell, state)| (*cell, (state.clone(), ()))).collect();
            join_state(&mut joined.cells, &mut joined.have, &theirs, (&from.have, false), effects)
                .expect("honest states");
            joined
        };
        let by_groups = {
            let mut author = a.fork();
            author.take(&b.all());
            author.take(&c.all());
            author
        };
        for joined in [
            join(&join(&a, &b), &c),
            join(&join(&c, &b), &a),
            join(&a, &join(&b, &c)),
            join(&join(&join(&b, &a), &c), &b),
        ] {
            assert_eq!(joined.shown(), by_groups.shown(), "seed {seed}");
            let versions =
                (joined.have.beyond(&by_groups.have), by_groups.have.beyond(&joined.have));
            assert_eq!(versions, (0, 0), "seed {seed}");
            let counters = |author: &Author| -> Vec<_> {
                let states = author.cells.states().iter();
                let counters = states.filter_map(|(cell, state)| match state {
                    State::Counter(counter) => Some((*cell, counter.shares().clone())),
                    _ => None,
                });
                counters.collect()
            };
            assert_eq!(counters(&joined), counters(&by_groups), "seed {seed}");
        }
    }
}

#[test]
fn text_that_stands_beside_itself_has_no_order() {
    use crate::crdt::groups::passage::in_causal_order;
    use crate::crdt::sequence::Claim;
    let dot = |agent, counter| Dot { agent: Agent::new(ReplicaId(agent), 0), counter };
    let run = |left| Run { len: 1, left, claim: Claim::Before(Dot::NONE), text: "x".into() };
    let beside = |left, other| vec![(dot(0, 1), run(left)), (dot(1, 1), run(other))];
    assert!(in_causal_order(beside(dot(1, 1), dot(0, 1))).is_err());
    assert!(in_causal_order(vec![(dot(0, 1), run(dot(0, 1)))]).is_err());
    let ordered = in_causal_order(beside(dot(1, 1), Dot::NONE)).expect("there is one");
    assert_eq!(ordered.iter().map(|(first, _)| *first).collect::<Vec<_>>(), [dot(1, 1), dot(0, 1)]);
}
