//! Which agent made the edit of each local time.

use super::graph::Time;
use crate::crdt::causal::{Agent, Dot};
use std::collections::BTreeMap;

/// Consecutive times of edits with consecutive names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// Time of the first.
    pub time: Time,
    /// How many; at least 1.
    pub len: usize,
    /// Name of the first.
    pub first: Dot,
}

impl Stretch {
    /// Time behind the last.
    pub fn end(&self) -> Time {
        self.time + self.len
    }
}

/// The names of all edits from some time on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    stretches: Vec<Stretch>,
    /// The stretches of each agent, in order of names.
    by_agent: BTreeMap<Agent, Vec<Stretch>>,
}

impl Names {
    /// Every stretch, in order of times.
    pub fn stretches(&self) -> &[Stretch] {
        &self.stretches
    }

    /// Names the next edits, from a time on.
    pub fn push(&mut self, time: Time, len: usize, first: Dot) {
        let goes_on =
            |last: &Stretch| last.end() == time && last.first.plus(last.len as u64) == first;
        if let Some(last) = self.stretches.last_mut().filter(|last| goes_on(last)) {
            last.len += len;
            let own = self.by_agent.get_mut(&first.agent).and_then(|own| own.last_mut());
            own.expect("every stretch is its agent's too").len += len;
            return;
        }
        let new = Stretch { time, len, first };
        self.stretches.push(new);
        self.by_agent.entry(first.agent).or_default().push(new);
    }

    /// The stretch of an edit.
    fn stretch_of(&self, time: Time) -> Option<&Stretch> {
        let after = self.stretches.partition_point(|stretch| stretch.time <= time);
        self.stretches[..after].last().filter(|stretch| time < stretch.end())
    }

    /// The name of an edit that is known.
    pub fn dot(&self, time: Time) -> Dot {
        let stretch = self.stretch_of(time).expect("every edit has a name");
        stretch.first.plus((time - stretch.time) as u64)
    }

    /// The time of an edit, where it is known.
    pub fn time(&self, dot: Dot) -> Option<Time> {
        let own = self.by_agent.get(&dot.agent)?;
        let after = own.partition_point(|stretch| stretch.first.counter <= dot.counter);
        let stretch = own[..after].last()?;
        let offset = (dot.counter - stretch.first.counter) as usize;
        (offset < stretch.len).then_some(stretch.time + offset)
    }

    /// The counter of the last name of an agent that is known here.
    pub fn last_of(&self, agent: Agent) -> Option<u64> {
        let last = self.by_agent.get(&agent)?.last()?;
        Some(last.first.counter + last.len as u64 - 1)
    }

    /// Forgets the edits before a time.
    pub fn forget_before(&mut self, time: Time) {
        let cut = |stretches: &mut Vec<Stretch>| {
            stretches.retain(|stretch| stretch.end() > time);
            for stretch in stretches.iter_mut().filter(|stretch| stretch.time < time) {
                let gone = time - stretch.time;
                stretch.first = stretch.first.plus(gone as u64);
                (stretch.time, stretch.len) = (time, stretch.len - gone);
            }
        };
        cut(&mut self.stretches);
        self.by_agent.values_mut().for_each(cut);
        self.by_agent.retain(|_, own| !own.is_empty());
    }
}
