//! Who is a member of the document, and what each of them is known to have: what all of them have is stable, and no edit that is still to
//! come can be concurrent to it.
//!
//! Every member says in a change of its own, now and then, what it has. So the news takes the ways that all changes take, on any graph, and
//! whoever hears it has everything that the member made before. A member that is gone is not waited for; but what it made may only be taken as known to the end once every other member has said that
//! it takes that one to be gone, and has shown how far it had heard from it.

use super::causal::{Agent, Dot, Version};
use crate::contract::Malformed;
use crate::document::ReplicaId;
use crate::wire::{Reader, Writer};
use std::collections::{BTreeMap, BTreeSet};

/// Dots by others after which a member says again what it has, for each member.
const DOTS_PER_MEMBER: u64 = 64;

/// What a member has to say: what it has since it said so last, and who it takes to be gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// The last dot of each agent that is new, in order.
    pub has: Vec<Dot>,
    /// In order.
    pub gone: Vec<ReplicaId>,
}

/// What one other member has said.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    /// Only what this agent, or a later one of the same replica, says counts.
    agent: Agent,
    has: Version,
    gone: BTreeSet<ReplicaId>,
}

/// All members but this replica.
#[derive(Clone, Debug)]
pub struct Members {
    rows: BTreeMap<ReplicaId, Row>,
    /// Those that are gone, with the latest agent of theirs that is known.
    gone: BTreeMap<ReplicaId, Agent>,
    /// What this replica said last.
    told: Version,
    told_gone: Vec<ReplicaId>,
    /// Dots by others since then.
    news: u64,
    /// Whether this replica itself was said to be gone, and has not begun again since: nobody listens to it, so nothing that it finds to be
    /// stable is.
    is_outcast: bool,
}

impl Members {
    /// The members of a document, without `own`.
    pub fn new(members: &[ReplicaId], own: ReplicaId) -> Self {
        let others = members.iter().filter(|member| **member != own);
        let row = |member: &ReplicaId| (*member, Row::of(Agent::new(*member, 0)));
        let rows = others.map(row).collect();
        let (gone, told, told_gone) = (BTreeMap::new(), Version::new(), Vec::new());
        Members { rows, gone, told, told_gone, news: 0, is_outcast: false }
    }

    /// A replica is gone; `have` is what is here.
    pub fn leave(&mut self, replica: ReplicaId, have: &Version) {
        let of_it = |agent: &Agent| agent.replica() == replica;
        let latest = have.iter().map(|(agent, _)| agent).filter(of_it).max();
        self.rows.remove(&replica);
        self.gone.insert(replica, latest.unwrap_or(Agent::new(replica, 0)));
    }

    /// A replica is back, or new: it says afresh what it has. It stays suspect until it is heard of under its new name.
    pub fn join(&mut self, replica: ReplicaId) {
        let agent = match self.gone.get(&replica) {
            Some(agent) => agent.next(),
            None => Agent::new(replica, 0),
        };
        self.rows.entry(replica).or_insert(Row::of(agent));
    }

    /// This replica itself is said to be gone.
    pub fn cast_out(&mut self) {
        self.is_outcast = true;
    }

    /// Whether there is nobody else to wait for.
    pub fn is_alone(&self) -> bool {
        self.rows.is_empty()
    }

    /// Whether a replica was gone and was not heard of since under a new name.
    pub fn is_gone(&self, replica: ReplicaId) -> bool {
        self.gone.contains_key(&replica)
    }

    /// A replica takes over the document of another one, which so is not gone.
    pub fn welcome(&mut self, replica: ReplicaId) {
        if self.gone.remove(&replica).is_some() {
            self.rows.entry(replica).or_insert(Row::of(Agent::new(replica, 0)));
        }
    }

    /// Dots by an agent came.
    pub fn heard(&mut self, agent: Agent, dots: u64, is_news: bool) {
        self.news += if is_news { dots } else { 0 };
        let replica = agent.replica();
        if self.gone.get(&replica).is_some_and(|old| agent > *old) {
            self.join(replica);
            self.gone.remove(&replica);
        }
    }

    /// An agent made a change, and so has its own changes up to that one.
    pub fn made(&mut self, last: Dot) {
        let row = self.rows.get_mut(&last.agent.replica());
        if let Some(row) = row.filter(|row| row.agent == last.agent) {
            row.has.raise(last.agent, last.counter);
        }
    }

    /// An agent said what it has besides what it said before, having `counter` dots itself by then.
    pub fn take(&mut self, said: Dot, has: &[Dot], gone: &[ReplicaId]) {
        let Some(row) = self.rows.get_mut(&said.agent.replica()) else { return };
        if said.agent < row.agent {
            return;
        }
        if said.agent > row.agent {
            *row = Row::of(said.agent);
        }
        has.iter().for_each(|dot| row.has.raise(dot.agent, dot.counter));
        row.has.raise(said.agent, said.counter);
        row.gone = gone.iter().copied().collect();
    }

    /// What a member has said that it has.
    pub fn has(&self, replica: ReplicaId) -> Option<&Version> {
        self.rows.get(&replica).map(|row| &row.has)
    }

    /// Whether there is enough news to say again what is here.
    pub fn is_due(&self) -> bool {
        self.news >= DOTS_PER_MEMBER * (self.rows.len() as u64 + 1) && !self.rows.is_empty()
    }

    /// It is said now, of these members in order that they are gone.
    pub fn say_all(&mut self) -> Vec<ReplicaId> {
        self.news = 0;
        self.gone.keys().copied().collect()
    }

    /// There is nothing to say until there is as much news again.
    pub fn wait(&mut self) {
        self.news = 0;
    }

    /// Says it at the next opportunity.
    pub fn hurry(&mut self) {
        self.news = u64::MAX / 2;
    }

    /// What this replica has to say, if it is time to: after enough news, or where it says something new of who is gone.
    pub fn say(&mut self, have: &Version) -> Option<Said> {
        let gone: Vec<ReplicaId> = self.gone.keys().copied().collect();
        let due = self.news >= DOTS_PER_MEMBER * (self.rows.len() as u64 + 1);
        if !due && gone == self.told_gone || self.rows.is_empty() {
            return None;
        }
        let new = |(agent, counter): &(Agent, u64)| *counter > self.told.get(*agent);
        let has = have.iter().filter(new).map(|(agent, counter)| Dot { agent, counter }).collect();
        have.iter().for_each(|(agent, counter)| self.told.raise(agent, counter));
        self.told_gone.clone_from(&gone);
        self.news = 0;
        Some(Said { has, gone })
    }

    /// Says everything again the next time, under a new name.
    pub fn start_over(&mut self) {
        self.is_outcast = false;
        self.told = Version::new();
        self.news = u64::MAX / 2;
    }

    /// What every member has, where that can be said; `have` is what is here.
    pub fn stable(&self, have: &Version) -> Option<Version> {
        let agree = |row: &Row| self.gone.keys().all(|gone| row.gone.contains(gone));
        let heard_out = |row: &Row| {
            let mut of_gone = row.has.iter().filter(|(agent, _)| self.is_gone(agent.replica()));
            of_gone.all(|(agent, counter)| have.get(agent) >= counter)
        };
        if self.is_outcast || !self.rows.values().all(|row| agree(row) && heard_out(row)) {
            return None;
        }
        let mut stable = Version::new();
        for (agent, counter) in have.iter() {
            let least = self.rows.values().map(|row| row.has.get(agent)).min();
            stable.raise(agent, least.unwrap_or(counter).min(counter));
        }
        Some(stable)
    }

    /// Bytes that it takes, about.
    pub fn bytes(&self) -> u64 {
        let entries = self.rows.values().map(|row| row.has.len()).sum::<usize>() + self.told.len();
        (entries * size_of::<(Agent, u64)>()) as u64
    }

    /// Writes it.
    pub fn write(&self, writer: &mut Writer) {
        writer.count(self.rows.len());
        for (replica, row) in &self.rows {
            writer.replica(*replica);
            row.agent.write(writer);
            row.has.write(writer);
            writer.count(row.gone.len());
            row.gone.iter().for_each(|gone| writer.replica(*gone));
        }
        writer.count(self.gone.len());
        for (replica, agent) in &self.gone {
            writer.replica(*replica);
            agent.write(writer);
        }
        self.told.write(writer);
        writer.count(self.told_gone.len());
        self.told_gone.iter().for_each(|gone| writer.replica(*gone));
        writer.uint(self.news);
        writer.byte(u8::from(self.is_outcast));
    }

    /// Reads what [`Members::write`] wrote.
    ///
    /// # Errors
    /// [`Malformed`] where it makes no sense.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut rows = BTreeMap::new();
        for _ in 0..reader.count(4)? {
            let replica = reader.replica()?;
            let (agent, has) = (Agent::read(reader)?, Version::read(reader)?);
            let gone = (0..reader.count(1)?).map(|_| reader.replica()).collect::<Result<_, _>>()?;
            rows.insert(replica, Row { agent, has, gone });
        }
        let mut gone = BTreeMap::new();
        for _ in 0..reader.count(2)? {
            gone.insert(reader.replica()?, Agent::read(reader)?);
        }
        let told = Version::read(reader)?;
        let told_gone =
            (0..reader.count(1)?).map(|_| reader.replica()).collect::<Result<_, _>>()?;
        let (news, is_outcast) = (reader.uint()?, reader.byte()? == 1);
        Ok(Members { rows, gone, told, told_gone, news, is_outcast })
    }
}

impl Row {
    fn of(agent: Agent) -> Self {
        Row { agent, has: Version::new(), gone: BTreeSet::new() }
    }
}
