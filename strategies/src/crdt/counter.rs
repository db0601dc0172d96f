//! A counter that replicas add to, with observed reset: a delete takes back what its author saw, concurrent additions stay.

use super::causal::{Agent, Dot};
use std::collections::{BTreeMap, BTreeSet};

/// What one agent added, up to and including one of its dots. Of two tallies of one agent the one with the greater `through`
/// includes the other, which is what the usual pair of growing sums (one up, one down) is for; the sum itself may then
/// go both ways and wrap around.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Counter of the last addition that is included.
    pub through: u64,
    /// Sum of the additions.
    pub sum: i64,
}

/// What each agent added, and how much of that deletes have taken back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counter {
    shares: BTreeMap<Agent, Share>,
    /// The additions that no delete has covered; names for reports, the value does not depend on them.
    standing: BTreeSet<Dot>,
}

/// One agent's part in a counter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// All that the agent added.
    pub added: Tally,
    /// The part of it that deletes have covered.
    pub reset: Tally,
}

impl Counter {
    /// Adds; dots of one agent come in order.
    pub fn add(&mut self, dot: Dot, amount: i64) {
        let added = &mut self.shares.entry(dot.agent).or_default().added;
        *added = Tally { through: dot.counter, sum: added.sum.wrapping_add(amount) };
        self.standing.insert(dot);
    }

    /// Takes in how far an agent's additions go; true where that is further than known.
    pub fn raise(&mut self, agent: Agent, added: Tally) -> bool {
        let own = &mut self.shares.entry(agent).or_default().added;
        let is_news = added.through > own.through;
        if is_news {
            *own = added;
        }
        is_news
    }

    /// Notes for reports that an addition that is part of a sum stands, unless a delete has covered it.
    pub fn note_standing(&mut self, dot: Dot) {
        let share = self.shares.get(&dot.agent).copied().unwrap_or_default();
        if share.reset.through < dot.counter && dot.counter <= share.added.through {
            self.standing.insert(dot);
        }
    }

    /// What a delete covers that is made now.
    pub fn seen(&self) -> Vec<(Agent, Tally)> {
        self.shares
            .iter()
            .filter(|(_, share)| share.added.through > share.reset.through)
            .map(|(agent, share)| (*agent, share.added))
            .collect()
    }

    /// Takes back what a delete covers and says which additions that were.
    pub fn hide(&mut self, seen: &[(Agent, Tally)], hidden: &mut Vec<Dot>) {
        for (agent, tally) in seen {
            let reset = &mut self.shares.entry(*agent).or_default().reset;
            if tally.through > reset.through {
                *reset = *tally;
                let from = Dot { agent: *agent, counter: 0 };
                let covered: Vec<Dot> = self
                    .standing
                    .range(from..=Dot { agent: *agent, counter: tally.through })
                    .copied()
                    .collect();
                for dot in covered {
                    self.standing.remove(&dot);
                    hidden.push(dot);
                }
            }
        }
    }

    /// The value shown.
    pub fn value(&self) -> i64 {
        self.shares.values().fold(0, |sum: i64, share| {
            sum.wrapping_add(share.added.sum).wrapping_sub(share.reset.sum)
        })
    }

    /// Each agent's part, in order.
    pub fn shares(&self) -> &BTreeMap<Agent, Share> {
        &self.shares
    }

    /// The additions that no delete has covered.
    pub fn standing(&self) -> &BTreeSet<Dot> {
        &self.standing
    }

    /// A counter of these parts.
    pub fn from_parts(shares: BTreeMap<Agent, Share>, standing: BTreeSet<Dot>) -> Self {
        Counter { shares, standing }
    }
}
