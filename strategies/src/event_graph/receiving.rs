//! What a replica does with a message: it checks all of it, takes up what is new, and answers.

use super::cells::Effects;
use super::event::{Act, Event, Passage, Typed};
use super::graph::Time;
use super::message::{Body, Head, read_message};
use super::ops::{Kind, prefix};
use super::replica::GraphReplica;
use crate::contract::{Cargo, Change, Malformed, Outbox};
use crate::crdt::causal::{Agent, Dot, Version};
use crate::crdt::stability::Said;
use crate::document::{Cell, ReplicaId};
use std::collections::BTreeMap;

/// How the events of a message could be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// All of them.
    All,
    /// Something is missing before them.
    Gap,
    /// They were made in a version of which the history was forgotten here.
    Forgotten,
}

/// Texts to be brought up to date: how far they are, and in which version.
pub(super) type Stale = BTreeMap<Cell, (Time, Vec<Time>)>;

impl GraphReplica {
    pub(super) fn receive(
        &mut self,
        from: ReplicaId,
        bytes: &[u8],
        cargo: &Cargo,
        out: &mut Outbox,
    ) -> Result<(), Malformed> {
        let at = self.peer(from)?;
        let (head, body) = read_message(bytes)?;
        out.work_bytes(bytes.len());
        let (told, used) = match body {
            Body::Events(events) => {
                self.check(&events)?;
                self.greet_again(from, head.version.as_ref(), &events);
                if self.members.is_gone(from) {
                    (Version::new(), if events.is_empty() { Use::All } else { Use::Forgotten })
                } else {
                    self.take_events(events, cargo, out)
                }
            }
            Body::State { bytes, rebase } => {
                let version = head.version.as_ref();
                let version = version.ok_or(Malformed("a state without its version"))?;
                let used = self.take_state(from, version, (&bytes, rebase), cargo, out)?;
                (version.clone(), used)
            }
        };
        if let Some(said) = self.members.say(&self.have) {
            self.tell(said, out);
        }
        let mut reply = Head::default();
        if used != Use::All || head.asks {
            reply.version = Some(self.have.clone());
            reply.resets = used != Use::All;
        } else {
            for (agent, _) in told.iter() {
                reply.ack.raise(agent, self.have.get(agent));
            }
        }
        let brings = head.version.is_some();
        self.learn(at, head, &told);
        if used == Use::Forgotten {
            if !self.peers[at].offered {
                let mut cargo = Cargo::default();
                let body = self.state(Some(self.life(at)), &mut reply, &mut cargo);
                self.post(at, reply, body, cargo, out);
            }
        } else {
            self.say(at, reply, brings, out);
        }
        self.prune();
        Ok(())
    }

    /// A peer that was gone is heard of under its new name.
    fn greet_again(&mut self, from: ReplicaId, version: Option<&Version>, events: &[Event<Typed>]) {
        if !self.members.is_gone(from) {
            return;
        }
        let told = version.into_iter().flat_map(Version::iter).map(|(agent, _)| agent);
        let made = events.iter().map(|event| event.first.agent);
        let latest = told.chain(made).filter(|agent| agent.replica() == from).max();
        if let Some(agent) = latest {
            self.members.heard(agent, 0, false);
        }
    }

    /// Makes an event of this replica's own that is no edit.
    pub(super) fn tell(&mut self, said: Said, out: &mut Outbox) {
        let act = Act::Saw { has: said.has, gone: said.gone };
        let first = Dot { agent: self.agent, counter: self.have.get(self.agent) + 1 };
        self.have.raise(first.agent, first.counter);
        self.list(Event { first, span: 1, act });
        self.forget(out);
    }

    /// Whether events may be applied at all, before any is.
    fn check(&self, events: &[Event<Typed>]) -> Result<(), Malformed> {
        for event in events {
            let author = event.first.agent;
            if !event.fits(&self.schema) {
                return Err(Malformed("a cell is of another kind, or there is none"));
            }
            if author >= Agent::GENESIS {
                return Err(Malformed("events by nobody"));
            }
            if author == self.agent && !self.have.covers(event.last()) {
                return Err(Malformed("own events that were never made"));
            }
        }
        Ok(())
    }

    /// Applies the events that are new, up to the first that does not follow what is here. Returns how far each agent's events in the message go,
    /// and how they could be used.
    fn take_events(
        &mut self,
        events: Vec<Event<Typed>>,
        cargo: &Cargo,
        out: &mut Outbox,
    ) -> (Version, Use) {
        let (mut told, mut element, mut used) = (Version::new(), 0, Use::All);
        let (mut stale, mut heard) = (Stale::new(), false);
        for event in events {
            let (first, span, last) = (event.first, event.span, event.last());
            let have = self.have.get(first.agent);
            out.work(1);
            if last.counter > have {
                let skip = (have + 1).saturating_sub(first.counter);
                if first.counter > have + 1 || !event.is_ready(&self.have) {
                    used = Use::Gap;
                    break;
                }
                let Some(event) = self.take_up(event, skip, &mut stale) else {
                    used = Use::Forgotten;
                    break;
                };
                let arrived = |edit| out.change(Change::Applied { edit });
                self.ids.take(first, (span, skip), element, &cargo.ids, arrived);
                let is_news = !matches!(event.act, Act::Saw { .. });
                self.members.heard(first.agent, span - skip, is_news);
                self.have.raise(first.agent, last.counter);
                let mut effects = Effects::default();
                self.cells.apply(&event, &mut effects);
                self.report(self.ids.of(event.first), &effects, out);
                heard |= self.hear(&event);
                self.list(event);
            }
            told.raise(first.agent, last.counter);
            element += span;
        }
        self.merge(stale, out);
        if heard {
            self.forget(out);
        }
        (told, used)
    }

    /// The event as it is logged, without its first `skip` dots: what is typed becomes part of the text's graph. `None` where that graph does
    /// not know the version in which it was typed.
    pub(super) fn take_up(
        &mut self,
        event: Event<Typed>,
        skip: u64,
        stale: &mut Stale,
    ) -> Option<Event<Passage>> {
        let Event { first, span, act: Act::Type { cell, mut typed } } = event else {
            return event.into_untyped();
        };
        let version = match self.cells.text(cell) {
            _ if skip > 0 => self.cells.text(cell)?.version(&[first.plus(skip - 1)])?,
            Some(text) => text.version(&typed.parents)?,
            None if typed.parents.is_empty() => Vec::new(),
            None => return None,
        };
        let first = first.plus(skip);
        typed.skip(skip, first.before());
        let text = self.cells.text_mut(cell);
        let start = text.graph().end();
        stale.entry(cell).or_insert_with(|| (start, text.graph().heads().to_vec()));
        let is_ascii = typed.text.is_ascii();
        let (mut parents, mut name, mut rest) = (version, first, &typed.text[..]);
        for (kind, pos, len) in &typed.runs {
            let bytes = if *kind == Kind::Insert { prefix(rest, *len, is_ascii) } else { 0 };
            let (inserted, after) = rest.split_at(bytes);
            text.learn(name, &parents, *kind, *pos, *len, inserted);
            (name, rest) = (name.plus(*len as u64), after);
            parents.clear();
            parents.push(text.graph().end() - 1);
        }
        Some(Event { first, span: span - skip, act: Act::Type { cell, typed: start } })
    }

    /// Brings texts up to date.
    pub(super) fn merge(&mut self, stale: Stale, out: &mut Outbox) {
        for (cell, (from, heads)) in stale {
            out.work(self.cells.text_mut(cell).merge(from, heads));
        }
    }

    /// Takes note of what a member says that it has, if that is what an event is.
    fn hear(&mut self, event: &Event<Passage>) -> bool {
        let Act::Saw { has, gone } = &event.act else { return false };
        self.members.take(event.first, has, gone);
        let agent = event.first.agent;
        let is_latest = !self.have.iter().any(|(a, _)| a.replica() == agent.replica() && a > agent);
        if let Ok(at) = self.peer(agent.replica())
            && let Some(has) = self.members.has(agent.replica()).filter(|_| is_latest)
        {
            // Said by the member itself, whatever became of its acknowledgements.
            let peer = &mut self.peers[at];
            if peer.forgot {
                return true;
            }
            peer.acked.join(has);
            peer.sent.join(has);
            peer.cursor = self.log.first_unknown(peer.cursor, &peer.acked);
        }
        true
    }

    /// Notes what a message says about its sender.
    fn learn(&mut self, at: usize, head: Head, told: &Version) {
        let start = self.log.start();
        let peer = &mut self.peers[at];
        if let Some(version) = head.version {
            if head.resets {
                peer.forgot = true;
                peer.sent = version.clone();
                peer.acked = version;
                peer.cursor = start;
            } else {
                peer.acked.join(&version);
            }
            peer.met = true;
            peer.misled &= head.asks;
        }
        peer.acked.join(&head.ack);
        peer.acked.join(told);
        peer.sent.join(&peer.acked);
        peer.cursor = self.log.first_unknown(peer.cursor, &peer.acked);
    }
}
