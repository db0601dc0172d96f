//! Names of changes and what a replica has seen of them: dots, spans of dots, version vectors.

use crate::contract::Malformed;
use crate::document::{Mark, ReplicaId};
use crate::wire::{Reader, Writer};

/// Who mints dots: a replica in one of its lives. A replica that lost its memory starts counting again, under its next
/// incarnation. Ordered by replica number, then incarnation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Agent(u64);

impl Agent {
    /// The author of what every replica holds from the beginning; never on the wire.
    pub const GENESIS: Agent = Agent::new(ReplicaId::GENESIS, 0);

    /// A replica in its `incarnation`-th life, counted from 0.
    pub const fn new(replica: ReplicaId, incarnation: u32) -> Self {
        Agent((replica.0 as u64) << 32 | incarnation as u64)
    }

    /// A replica in a seat's `incarnation`. It takes a new name, [`Agent::next`], whenever it comes back after it was presumed gone.
    pub fn seated(replica: ReplicaId, incarnation: u32) -> Self {
        Agent::new(replica, incarnation << 16)
    }

    /// Both numbers in one, ordered as agents are.
    pub fn bits(self) -> u64 {
        self.0
    }

    /// The agent of [`Agent::bits`].
    pub fn from_bits(bits: u64) -> Self {
        Agent(bits)
    }

    /// The replica.
    pub fn replica(self) -> ReplicaId {
        ReplicaId((self.0 >> 32) as u32)
    }

    /// The next life of the same replica.
    pub fn next(self) -> Agent {
        Agent::new(self.replica(), self.incarnation().saturating_add(1))
    }

    /// In which of its lives the replica is, counted from 0.
    pub fn incarnation(self) -> u32 {
        self.0 as u32
    }

    /// Writes it; one byte for the first life of the replicas up to 62.
    pub fn write(self, writer: &mut Writer) {
        let (replica, incarnation) = ((self.0 >> 32).wrapping_add(1) & 0xffff_ffff, self.0 as u32);
        writer.uint(replica << 1 | u64::from(incarnation > 0));
        if incarnation > 0 {
            writer.uint(u64::from(incarnation));
        }
    }

    /// Reads what [`Agent::write`] wrote.
    ///
    /// # Errors
    /// [`Malformed`] where the numbers are out of range or not in their shortest form.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let code = reader.uint()?;
        let replica =
            u32::try_from(code >> 1).map_err(|_| Malformed("replica number out of range"))?;
        let incarnation = if code & 1 == 1 { reader.uint32()? } else { 0 };
        if code & 1 == 1 && incarnation == 0 {
            return Err(Malformed("incarnation is not in its shortest form"));
        }
        Ok(Agent::new(ReplicaId(replica.wrapping_sub(1)), incarnation))
    }
}

/// Greatest counter that is read: sums of counters and lengths never overflow, nor does a difference of two mixed with a place in a table of
/// millions of agents.
pub const COUNTER_MAX: u64 = 1 << 40;

/// The name of one change, or of one character: the `counter`-th by its agent, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Dot {
    /// Who made it.
    pub agent: Agent,
    /// Which of the agent's.
    pub counter: u64,
}

impl Dot {
    /// No dot: the start or the end of a text.
    pub const NONE: Dot = Dot { agent: Agent(0), counter: 0 };

    /// Whether this is [`Dot::NONE`].
    pub fn is_none(self) -> bool {
        self.counter == 0
    }

    /// The dot `steps` later by the same agent.
    pub fn plus(self, steps: u64) -> Dot {
        Dot { agent: self.agent, counter: self.counter + steps }
    }

    /// The dot right before, by the same agent; none where this is the first.
    pub fn before(self) -> Dot {
        if self.counter > 1 { Dot { counter: self.counter - 1, ..self } } else { Dot::NONE }
    }

    /// The dot as the name of an alternative.
    pub fn mark(self) -> Mark {
        Mark(u128::from(self.agent.0) << 64 | u128::from(self.counter))
    }
}

/// Consecutive dots of one agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// The first of them.
    pub first: Dot,
    /// How many; at least 1.
    pub len: u64,
}

impl Span {
    /// The dot after the last one.
    pub fn end(self) -> Dot {
        self.first.plus(self.len)
    }
}

/// Adds a span to a sorted list of disjoint, non-adjacent spans.
pub fn insert_span(spans: &mut Vec<Span>, new: Span) {
    let touches = |span: &Span| {
        span.first.agent == new.first.agent && span.first <= new.end() && new.first <= span.end()
    };
    let start = spans.partition_point(|span| span.first < new.first);
    let start = start - usize::from(start > 0 && touches(&spans[start - 1]));
    let mut end = start;
    let (mut first, mut stop) = (new.first, new.end());
    while end < spans.len() && touches(&spans[end]) {
        first = first.min(spans[end].first);
        stop = stop.max(spans[end].end());
        end += 1;
    }
    let joined = Span { first, len: stop.counter - first.counter };
    match end - start {
        0 => spans.insert(start, joined),
        1 => spans[start] = joined,
        _ => drop(spans.splice(start..end, [joined])),
    }
}

/// How far somebody has seen each agent's changes: all up to and including a counter. Sorted by agent, no zeros.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Version {
    entries: Vec<(Agent, u64)>,
}

impl Version {
    /// Nothing seen.
    pub fn new() -> Self {
        Self::default()
    }

    /// How far this agent was seen.
    pub fn get(&self, agent: Agent) -> u64 {
        self.entries.binary_search_by_key(&agent, |(of, _)| *of).map_or(0, |at| self.entries[at].1)
    }

    /// Whether a dot was seen; no dot always was.
    pub fn covers(&self, dot: Dot) -> bool {
        dot.is_none() || dot.counter <= self.get(dot.agent)
    }

    /// Sees an agent's changes up to `counter`.
    pub fn raise(&mut self, agent: Agent, counter: u64) {
        match self.entries.binary_search_by_key(&agent, |(of, _)| *of) {
            Ok(at) => self.entries[at].1 = self.entries[at].1.max(counter),
            Err(at) if counter > 0 => self.entries.insert(at, (agent, counter)),
            Err(_) => {}
        }
    }

    /// Sees what another one has seen.
    pub fn join(&mut self, other: &Version) {
        for (agent, counter) in &other.entries {
            self.raise(*agent, *counter);
        }
    }

    /// How many of the dots seen here `other` has not seen, genesis left aside.
    pub fn beyond(&self, other: &Version) -> u64 {
        let mut theirs = other.entries.iter().peekable();
        let mut dots = 0u64;
        for (agent, counter) in self.iter() {
            while theirs.next_if(|(of, _)| *of < agent).is_some() {}
            let seen = theirs.peek().filter(|(of, _)| *of == agent).map_or(0, |(_, seen)| *seen);
            dots = dots.saturating_add(counter.saturating_sub(seen));
        }
        dots
    }

    /// Whether everything seen there was seen here, genesis left aside.
    pub fn reaches(&self, other: &Version) -> bool {
        other.beyond(self) == 0
    }

    /// What was seen here and not there: the agents that are further here, with how far.
    pub fn news(&self, other: &Version) -> Version {
        let entries = self.iter().filter(|(agent, counter)| *counter > other.get(*agent));
        Version { entries: entries.collect() }
    }

    /// Every agent seen, with its counter, in order; genesis left aside.
    pub fn iter(&self) -> impl Iterator<Item = (Agent, u64)> + '_ {
        self.entries.iter().copied().filter(|(agent, _)| *agent != Agent::GENESIS)
    }

    /// Every agent seen, genesis included.
    pub fn agents(&self) -> Vec<Agent> {
        self.entries.iter().map(|(agent, _)| *agent).collect()
    }

    /// Number of agents, genesis included.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Leaves out what was not seen there.
    pub fn limit(&mut self, other: &Version) {
        self.entries.retain_mut(|(agent, counter)| {
            *counter = (*counter).min(other.get(*agent));
            *counter > 0
        });
    }

    /// Leaves an agent out.
    pub fn forget(&mut self, agent: Agent) {
        self.entries.retain(|(of, _)| *of != agent);
    }

    /// Bytes it takes in memory.
    pub fn memory_bytes(&self) -> u64 {
        (self.entries.len() * size_of::<(Agent, u64)>()) as u64
    }

    /// Writes it, genesis left aside.
    pub fn write(&self, writer: &mut Writer) {
        writer.count(self.iter().count());
        for (agent, counter) in self.iter() {
            agent.write(writer);
            writer.uint(counter);
        }
    }

    /// Reads what [`Version::write`] wrote.
    ///
    /// # Errors
    /// [`Malformed`] where agents are not ascending, one is genesis, or a counter is out of range.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut version = Version::new();
        for _ in 0..reader.count(2)? {
            let agent = Agent::read(reader)?;
            let counter = reader.uint()?;
            if agent >= Agent::GENESIS || counter == 0 || counter > COUNTER_MAX {
                return Err(Malformed("version names nobody, nothing or too much"));
            }
            if version.entries.last().is_some_and(|(last, _)| *last >= agent) {
                return Err(Malformed("version is not ascending"));
            }
            version.entries.push((agent, counter));
        }
        Ok(version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;
    use std::collections::BTreeSet;

    fn dot(agent: u32, counter: u64) -> Dot {
        Dot { agent: Agent::new(ReplicaId(agent), 0), counter }
    }

    #[test]
    fn spans_are_a_set_of_dots_in_fewest_pieces() {
        for seed in 0..200 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let (mut spans, mut dots) = (Vec::new(), BTreeSet::new());
            for _ in 0..rng.random_range(1..12) {
                let first = dot(rng.random_range(0..2), rng.random_range(1..30));
                let len = rng.random_range(1..6);
                insert_span(&mut spans, Span { first, len });
                dots.extend((0..len).map(|n| first.plus(n)));
                let listed = spans.iter().flat_map(|s| (0..s.len).map(|n| s.first.plus(n)));
                assert!(listed.eq(dots.iter().copied()), "seed {seed}: {spans:?}");
                let apart = spans.windows(2).all(|pair| pair[0].end() < pair[1].first);
                assert!(apart, "seed {seed}: {spans:?}");
            }
        }
    }

    #[test]
    fn a_version_survives_the_wire_without_genesis_and_counts_what_is_missing() {
        let mut version = Version::new();
        version.raise(Agent::GENESIS, 9);
        version.raise(Agent::new(ReplicaId(70), 3), 300);
        version.raise(Agent::new(ReplicaId(0), 0), 2);
        version.raise(Agent::new(ReplicaId(0), 0), 1);
        let mut writer = Writer::new();
        version.write(&mut writer);
        let bytes = writer.finish();
        let read = Version::read(&mut Reader::new(&bytes)).expect("its own bytes");
        assert!(read.iter().eq(version.iter()));
        assert_eq!(version.beyond(&Version::new()), 302);
        assert_eq!(version.beyond(&read), 0);
        assert_eq!(Version::new().beyond(&version), 0);
    }
}
