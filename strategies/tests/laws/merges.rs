//! Three and four edits of one kind on one cell, in every order of merging.
//!
//! **Who** made which edit counts up to renaming: a partition of the edits, as a string that names a new author only after all before him.
//! Between two edits any one pair of replicas may exchange what they have, or none; afterwards all pairs do so, in any order. Of
//! four authors, for whom that is a quarter of a million histories a kind, either exchanges come between the edits or all orders follow them.

use crate::explorer::{Explorer, State, Tempo};
use crate::kinds::Kind;
use crate::stage::{Stage, Topology, settings};
use reconverge_strategies::*;

/// All merges of all kinds; how many there were.
pub fn merges(strategy: &dyn Strategy) -> Result<u64, String> {
    let profile = strategy.profile();
    let settings = settings(&profile, 2, 2);
    let session = settings.iter().any(|(_, transport, _)| *transport == Transport::Session);
    let transport = if session { Transport::Session } else { Transport::Datagram };
    let mesh =
        settings.iter().any(|(topology, t, _)| *topology == Topology::Mesh && *t == transport);
    let mut merged = 0;
    for edits in [3, 4] {
        for authors in partitions(edits) {
            let names = 1 + *authors.iter().max().expect("somebody edits");
            // One author alone has a reader.
            let clients = names.max(2);
            let stage = match mesh {
                true => Stage::new(strategy, Topology::Mesh, transport, clients),
                false => {
                    Stage::new(strategy, Topology::Star { hub: clients }, transport, clients + 1)
                }
            };
            for kind in Kind::ALL {
                merged += merges_of(&stage, kind, &authors)?;
            }
        }
    }
    Ok(merged)
}

/// All ways to assign so many edits to authors, up to renaming.
fn partitions(edits: usize) -> Vec<Vec<usize>> {
    let mut all = vec![Vec::new()];
    for _ in 0..edits {
        let longer = |authors: Vec<usize>| {
            let names = authors.iter().max().map_or(0, |most| most + 1);
            (0..=names).map(move |author| [&authors[..], &[author]].concat())
        };
        all = all.into_iter().flat_map(longer).collect();
    }
    all
}

/// All orders of these things.
fn permutations<T: Copy>(things: &[T]) -> Vec<Vec<T>> {
    if things.is_empty() {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for n in 0..things.len() {
        let rest = [&things[..n], &things[n + 1..]].concat();
        all.extend(permutations(&rest).into_iter().map(|more| [&things[n..=n], &more].concat()));
    }
    all
}

/// All merges of one kind by these authors.
fn merges_of(stage: &Stage<'_>, kind: Kind, authors: &[usize]) -> Result<u64, String> {
    let mut merges = 0;
    // Clocks that disagree are the concern of three.
    let tempos = if authors.len() == 3 { &Tempo::ALL[..2] } else { &Tempo::ALL[..1] };
    for tempo in tempos {
        let plan = authors.iter().map(|author| (stage.authors()[*author], kind)).collect();
        let mut explorer = Explorer::new(stage, *tempo, plan);
        let Some(start) = explorer.start()? else { continue };
        let all = permutations(&stage.links());
        let one = &all[..1];
        let (apart, mut between) = before_the_last(&mut explorer, start, authors.len())?;
        let few = all.len() <= 6;
        let orders = if few { &all[..] } else { one };
        if !few {
            finish(&mut explorer, &apart, &all)?;
        }
        if few {
            between.push(apart);
        }
        for state in &between {
            finish(&mut explorer, state, orders)?;
        }
        merges += explorer.ends;
    }
    Ok(merges)
}

/// The states when all edits are made: the one in which nobody spoke, and all others.
fn before_the_last(
    explorer: &mut Explorer<'_>,
    mut start: State,
    edits: usize,
) -> Result<(State, Vec<State>), String> {
    let links = explorer.stage.links();
    explorer.greet(&mut start)?;
    explorer.make(&mut start, 0)?;
    let (mut apart, mut others) = (start, Vec::new());
    for place in 1..edits {
        let mut next: Vec<State> = Vec::new();
        for state in others.iter().chain([&apart]) {
            for (a, b) in &links {
                let mut spoken: State = state.clone();
                explorer.exchange(&mut spoken, *a, *b)?;
                next.push(spoken);
            }
        }
        next.extend(others);
        next.sort_unstable();
        next.dedup();
        for state in next.iter_mut().chain([&mut apart]) {
            explorer.make(state, place)?;
        }
        others = next;
    }
    Ok((apart, others))
}

/// All pairs exchange what they have, in each of these orders, and the exchange ends.
fn finish(
    explorer: &mut Explorer<'_>,
    state: &State,
    orders: &[Vec<(usize, usize)>],
) -> Result<(), String> {
    for order in orders {
        let mut state = state.clone();
        for (a, b) in order {
            explorer.exchange(&mut state, *a, *b)?;
        }
        explorer.end(state)?;
    }
    Ok(())
}
