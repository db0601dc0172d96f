//! Every possible order of a small exchange.
//!
//! - **Pairs**: two edits of every pair of kinds by two authors of the smallest network there is. Over sessions every order of edits, `Sync` and
//!   arrivals, exhaustively, under clocks that agree and that do not; over datagrams both edits first, and then every order of `Sync` and
//!   arrivals, of which any may never come.
//! - **Merges** (`merges.rs`): three and four edits of one kind on one cell.
//! - **At large**: larger networks, where there are too many orders to look at all of them; and longer exchanges at random.

use crate::explorer::{Explorer, Tempo};
use crate::keep::random_orders;
use crate::kinds::Kind;
use crate::merges::merges;
use crate::stage::{Stage, Topology, settings};
use reconverge_strategies::*;
use std::io::Write;

/// States of a network of two (or two and a hub) over sessions for one pair of edits: none has more, so that all are looked at.
const MOST_STATES: usize = 200_000;
/// The same over datagrams. Where there are more, the pair counts as cut off and random walks go on to the end.
const MOST_STATES_OF_DATAGRAMS: usize = 2_500;
/// The same for larger networks over sessions and over datagrams, where every state is an end, since everything under way may be lost.
const MOST_STATES_AT_LARGE: [usize; 2] = [600, 100];
/// Random walks where not everything can be looked at.
const WALKS: u64 = 8;
/// Most states over sessions of a strategy that is not chatty; what is more goes by walks.
const MOST_STATES_OF_A_STAR: usize = 4_000;

/// What was looked at.
#[derive(Default)]
struct Count {
    pairs: u64,
    cut_off: u64,
    ends: u64,
}

/// Two edits made apart, three or four of one kind, and longer exchanges at random.
pub fn orders(strategy: &dyn Strategy) -> Result<(), String> {
    let (mut small, mut large) = (Count::default(), Count::default());
    let profile = strategy.profile();
    let mesh = profile.mesh.unsupported().is_none();
    for (topology, transport, count) in settings(&profile, 2, 1) {
        let stage = Stage::new(strategy, topology, transport, count);
        if topology == Topology::Mesh || !mesh && matches!(topology, Topology::Star { .. }) {
            pairs(&stage, &mut small)?;
        } else if topology != Topology::Tree || transport == Transport::Session {
            // Two links have many more orders over datagrams; the star shows those.
            pairs_at_large(&stage, &mut large)?;
        }
    }
    if mesh && profile.session.unsupported().is_none() {
        // Three is where an edit takes two ways.
        pairs_at_large(&Stage::new(strategy, Topology::Mesh, Transport::Session, 3), &mut large)?;
    }
    let merged = merges(strategy)?;
    // Past what captures the output of tests that pass.
    let _ = writeln!(
        std::io::stderr(),
        "orders of {}: {} ends of {} small exchanges ({} not exhaustively), {} of {} larger ones, {merged} merges",
        strategy.name(),
        small.ends,
        small.pairs,
        small.cut_off,
        large.ends,
        large.pairs,
    );
    // Every pair but those with an answer to a conflict, for every tempo; and every merge of ten kinds.
    if small.pairs < 55 || small.ends < 1_000 || merged < 5_000 {
        return Err(String::from("hardly anything was looked at"));
    }
    random_orders(strategy)
}

/// Every pair of kinds, each with its place: who makes which is settled by clocks that stand either way.
fn all_pairs() -> impl Iterator<Item = [Kind; 2]> {
    let kinds = Kind::ALL.into_iter().enumerate();
    kinds.flat_map(|(n, first)| Kind::ALL.into_iter().skip(n).map(move |second| [first, second]))
}

/// All pairs, exhaustively.
fn pairs(stage: &Stage<'_>, count: &mut Count) -> Result<(), String> {
    let authors = stage.authors();
    for (n, [first, second]) in all_pairs().enumerate() {
        let datagrams = stage.transport == Transport::Datagram;
        let one = [Tempo::ALL[n % 3]];
        for tempo in if datagrams { &one[..] } else { &Tempo::ALL } {
            let plan = vec![(authors[0], first), (authors[1], second)];
            let mut explorer = Explorer::new(stage, *tempo, plan);
            let Some(mut start) = explorer.start()? else { continue };
            let most_states = match stage.topology {
                _ if datagrams => MOST_STATES_OF_DATAGRAMS,
                Topology::Star { .. } => MOST_STATES_OF_A_STAR,
                _ => MOST_STATES,
            };
            if datagrams {
                explorer.make_all(&mut start)?;
            }
            count.pairs += 1;
            if !explorer.explore(&start, most_states, 1)? {
                if most_states == MOST_STATES {
                    return Err(format!("{stage}, {first:?} and {second:?}: too many states"));
                }
                count.cut_off += 1;
                explorer.walk_at_random(&start, WALKS)?;
            }
            count.ends += explorer.ends;
        }
    }
    Ok(())
}

/// All pairs, each at one tempo in turn, as far as it goes.
fn pairs_at_large(stage: &Stage<'_>, count: &mut Count) -> Result<(), String> {
    let authors = stage.authors();
    for (n, [first, second]) in all_pairs().enumerate() {
        let plan = vec![(authors[0], first), (authors[1], second)];
        let mut explorer = Explorer::new(stage, Tempo::ALL[n % 3], plan);
        let Some(start) = explorer.start()? else { continue };
        let most = MOST_STATES_AT_LARGE[usize::from(stage.transport == Transport::Datagram)];
        count.pairs += 1;
        if !explorer.explore(&start, most, 2)? {
            count.cut_off += 1;
            explorer.walk_at_random(&start, WALKS)?;
        }
        count.ends += explorer.ends;
    }
    Ok(())
}
