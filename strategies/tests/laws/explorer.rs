//! What can happen to a small network: local histories, shared by all orders in which they occur.
//!
//! A replica's state is a function of what happened to it, so each distinct local history is played once, and a state of the
//! whole network is nothing but one local history per replica: orders that differ only in what happens first on two replicas
//! that do not hear of it are one state. What is under way follows from the histories too: what was sent and not yet received.

use crate::kinds::Kind;
use crate::reports::Reports;
use crate::stage::{Event, Stage, difference, id, number, play, rendering};
use rand::SeedableRng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use reconverge_strategies::*;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

/// Rounds of `Sync` in all directions that must repair whatever was lost.
const REPAIRING_ROUNDS: usize = 3;
/// Most messages that one `Sync` may set off.
const LONGEST_EXCHANGE: usize = 64;

/// How the two first authors' clocks stand to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tempo {
    Equal,
    FirstAhead,
    SecondAhead,
}

impl Tempo {
    pub const ALL: [Tempo; 3] = [Tempo::Equal, Tempo::FirstAhead, Tempo::SecondAhead];
}

/// Number of a local history.
type HistoryId = usize;
/// Number of a message.
type MessageId = usize;

/// One more thing that happens to a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Open(ReplicaId),
    /// The `Sync` of the dialling side when a link opens.
    Greet(ReplicaId),
    /// An edit that makes the conflict which an answer to a conflict needs.
    Prepare,
    /// The edit at this place of the plan.
    Edit(usize),
    Sync(ReplicaId),
    Receive(ReplicaId, MessageId),
}

/// What happened to one replica, and what came of it.
struct History {
    n: usize,
    /// What happened, in order; longer histories share it.
    events: Vec<Rc<Event>>,
    steps: Vec<Step>,
    /// What it sent, in order.
    sent: Vec<(ReplicaId, MessageId)>,
    /// The replica itself, until it goes on in a longer history; it can be played again.
    replica: Option<Box<dyn Replica>>,
    /// What it shows then, once somebody has looked.
    shown: Option<Rc<Rendering>>,
    /// Where its last step ended: whether anything was reported.
    reported: bool,
    /// What was sent and reported, event by event.
    outputs: Vec<Rc<Vec<Output>>>,
    /// Peers that it owes something.
    owes: Vec<ReplicaId>,
    /// The history that is one step shorter.
    before: Option<HistoryId>,
    next: BTreeMap<Step, HistoryId>,
}

/// Local histories of every replica of a network, and what follows from them.
pub struct Explorer<'s> {
    pub stage: &'s Stage<'s>,
    tempo: Tempo,
    /// Who makes an edit of which kind, in the order of the plan.
    plan: Vec<(usize, Kind)>,
    /// States in which an exchange ended.
    pub ends: u64,
    histories: Vec<History>,
    /// By replica: steps and messages sent before the exchange began.
    begun: Vec<(usize, usize)>,
    messages: Vec<(Vec<u8>, Cargo)>,
    numbers: BTreeMap<Vec<u8>, Vec<MessageId>>,
}

/// A state of the network: a local history for each replica.
pub type State = Vec<HistoryId>;

impl<'s> Explorer<'s> {
    /// Nothing happened yet.
    pub fn new(stage: &'s Stage<'s>, tempo: Tempo, plan: Vec<(usize, Kind)>) -> Self {
        Explorer {
            stage,
            tempo,
            plan,
            ends: 0,
            histories: Vec::new(),
            begun: vec![(0, 0); stage.count()],
            messages: Vec::new(),
            numbers: BTreeMap::new(),
        }
    }

    /// Looks at every state that can be reached, if there are not more than so many, and lets each that is complete end; false where there are
    /// more.
    pub fn explore(
        &mut self,
        start: &State,
        most_states: usize,
        most_arrivals: usize,
    ) -> Result<bool, String> {
        let mut seen = BTreeSet::from([start.clone()]);
        let mut open = VecDeque::from([start.clone()]);
        while let Some(state) = open.pop_front() {
            if seen.len() >= most_states {
                return Ok(false);
            }
            let steps = self.steps(&state, most_arrivals);
            self.end_where_complete(&state, &steps)?;
            for step in steps {
                let next = self.after(&state, step)?;
                if seen.insert(next.clone()) {
                    open.push_back(next);
                }
            }
        }
        Ok(true)
    }

    /// Goes from state to state at random, to the end.
    pub fn walk_at_random(&mut self, start: &State, walks: u64) -> Result<(), String> {
        for seed in 0..walks {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let mut state = start.clone();
            loop {
                let steps = self.steps(&state, 2);
                self.end_where_complete(&state, &steps)?;
                let Some(step) = steps.choose(&mut rng) else { break };
                state = self.after(&state, *step)?;
            }
        }
        Ok(())
    }

    /// What the dialling sides said when the links opened arrives, answers included.
    pub fn greet(&mut self, state: &mut State) -> Result<(), String> {
        let mut delivered = BTreeMap::new();
        delivered.extend(self.stage.directions().into_iter().map(|ends| (ends, 0)));
        let links = self.stage.links();
        links.into_iter().try_for_each(|(a, b)| self.drain(state, &mut delivered, a, b))
    }

    /// All edits of the plan are made, one after another, before anything else happens.
    pub fn make_all(&mut self, state: &mut State) -> Result<(), String> {
        (0..self.plan.len()).try_for_each(|place| self.make(state, place))
    }

    /// The edit at a place of the plan is made.
    pub fn make(&mut self, state: &mut State, place: usize) -> Result<(), String> {
        let (n, _) = self.plan[place];
        state[n] = self.extend(state[n], Step::Edit(place))?;
        Ok(())
    }

    /// Two replicas speak, and all of it arrives, answers included; nothing was under way between them.
    pub fn exchange(&mut self, state: &mut State, n: usize, peer: usize) -> Result<(), String> {
        let mut delivered = BTreeMap::new();
        for (from, to) in [(n, peer), (peer, n)] {
            delivered.insert((from, to), self.sent_to(state[from], to).len());
        }
        state[n] = self.extend(state[n], Step::Sync(id(peer)))?;
        self.drain(state, &mut delivered, n, peer)
    }

    /// The rest is deterministic: over datagrams what is under way is lost; everybody speaks to everybody, and all of it arrives. Then everybody
    /// shows the same, has nothing more to say, and what was reported is true.
    pub fn end(&mut self, mut state: State) -> Result<(), String> {
        self.ends += 1;
        self.settle(&mut state, REPAIRING_ROUNDS)?;
        let first = self.shown(state[0])?;
        for (n, history) in state.iter().enumerate().skip(1) {
            let other = self.shown(*history)?;
            if other != first {
                let cell = difference(&first, &other);
                return Err(
                    self.failure(&state, &format!("{} and {} differ in {cell}", id(0), id(n)))
                );
            }
        }
        self.check_reports(&state, &first).map_err(|what| self.failure(&state, &what))?;
        let settled = state.clone();
        self.settle(&mut state, 1)?;
        for (before, after) in settled.into_iter().zip(state.clone()) {
            let mut new = after;
            while new != before {
                if self.histories[new].reported {
                    return Err(
                        self.failure(&state, "all is settled, and still changes are reported")
                    );
                }
                new = self.histories[new].before.expect("it goes back to what was settled");
            }
            if self.shown(after)? != first {
                return Err(self.failure(&state, "all was settled, and still something changes"));
            }
        }
        Ok(())
    }

    /// What each replica reported, in its own order; the authority first, which the others speak of.
    fn check_reports(&self, state: &State, shown: &Rendering) -> Result<(), String> {
        let mut reports = Reports::new(self.stage);
        let events = |n: usize| {
            let history = &self.histories[state[n]];
            history.events.iter().zip(&history.outputs)
        };
        for (event, _) in (0..state.len()).flat_map(events) {
            if let Event::Edit { id, edit } = &**event {
                reports.made(*id, edit);
            }
        }
        let hub = self.stage.authority();
        for n in hub.into_iter().chain((0..state.len()).filter(|n| Some(*n) != hub)) {
            for (event, outputs) in events(n) {
                reports.take(n, event, outputs)?;
            }
            reports.check_shown(n, shown)?;
        }
        reports.check_complete(true)
    }

    fn failure(&self, state: &State, what: &str) -> String {
        let Explorer { stage, tempo, plan, .. } = self;
        format!("{stage}, clocks {tempo:?}, edits {plan:?}: {what}\n{}", self.words(state))
    }

    fn after(&mut self, state: &State, (n, step): (usize, Step)) -> Result<State, String> {
        let mut next = state.clone();
        next[n] = self.extend(state[n], step)?;
        Ok(next)
    }

    /// Over sessions an exchange ends when all has arrived; over datagrams, where whatever is under way may be lost, at any time.
    fn end_where_complete(&mut self, state: &State, steps: &[(usize, Step)]) -> Result<(), String> {
        let made =
            |(place, (n, _)): (usize, &(usize, Kind))| self.did(state[*n], Step::Edit(place));
        let both = self.plan.iter().enumerate().all(made);
        if steps.is_empty() || both && self.stage.transport == Transport::Datagram {
            self.end(state.clone())?;
        }
        Ok(())
    }

    /// Links are open and the dialling sides have spoken. Where an answer to a conflict is among the edits there is a conflict; `None` if the
    /// strategy knows no such thing.
    pub fn start(&mut self) -> Result<Option<State>, String> {
        let mut state = State::new();
        for n in 0..self.stage.count() {
            let replica = self.stage.create(n);
            let mut history = self.histories.len();
            self.histories.push(History {
                n,
                events: Vec::new(),
                steps: Vec::new(),
                sent: Vec::new(),
                replica: Some(replica),
                shown: None,
                reported: false,
                outputs: Vec::new(),
                owes: Vec::new(),
                before: None,
                next: BTreeMap::new(),
            });
            for peer in self.stage.peers(n) {
                history = self.extend(history, Step::Open(*peer))?;
            }
            state.push(history);
        }
        if self.plan.iter().all(|(_, kind)| *kind != Kind::Resolve) {
            for (dialler, other) in self.stage.links() {
                state[dialler] = self.extend(state[dialler], Step::Greet(id(other)))?;
            }
            return Ok(Some(state));
        }
        for n in self.stage.authors().into_iter().take(2) {
            state[n] = self.extend(state[n], Step::Prepare)?;
        }
        self.settle(&mut state, REPAIRING_ROUNDS)?;
        self.begun = state
            .iter()
            .map(|history| &self.histories[*history])
            .map(|history| (history.steps.len(), history.sent.len()))
            .collect();
        let shown = self.shown(state[0])?;
        Ok(shown.iter().any(|(_, shown)| matches!(shown, Shown::Conflict(_))).then_some(state))
    }

    fn did(&self, history: HistoryId, step: Step) -> bool {
        self.steps_since(history).contains(&step)
    }

    fn steps_since(&self, history: HistoryId) -> &[Step] {
        let history = &self.histories[history];
        &history.steps[self.begun[history.n].0..]
    }

    /// What was sent to a peer since the exchange began.
    fn sent_to(&self, history: HistoryId, to: usize) -> Vec<MessageId> {
        let history = &self.histories[history];
        let sent = &history.sent[self.begun[history.n].1..];
        sent.iter().filter(|(peer, _)| *peer == id(to)).map(|(_, message)| *message).collect()
    }

    /// Everything that may happen next.
    fn steps(&self, state: &State, most_arrivals: usize) -> Vec<(usize, Step)> {
        let mut steps = Vec::new();
        for (place, (n, _)) in self.plan.iter().enumerate() {
            if !self.did(state[*n], Step::Edit(place)) {
                steps.push((*n, Step::Edit(place)));
            }
        }
        for (n, peer) in self.stage.directions() {
            let owes = self.histories[state[n]].owes.contains(&id(peer));
            if owes && !self.did(state[n], Step::Sync(id(peer))) {
                steps.push((n, Step::Sync(id(peer))));
            }
        }
        for (from, to) in self.stage.directions() {
            for message in self.arrivals(state, from, to, most_arrivals) {
                steps.push((to, Step::Receive(id(from), message)));
            }
        }
        steps
    }

    /// What may arrive next: over sessions the oldest message under way; over datagrams any, so many times at most.
    fn arrivals(
        &self,
        state: &State,
        from: usize,
        to: usize,
        most_arrivals: usize,
    ) -> Vec<MessageId> {
        let sent = self.sent_to(state[from], to);
        let received: Vec<MessageId> = self
            .steps_since(state[to])
            .iter()
            .filter_map(|step| match step {
                Step::Receive(peer, message) if *peer == id(from) => Some(*message),
                _ => None,
            })
            .collect();
        match self.stage.transport {
            Transport::Session => sent.get(received.len()).copied().into_iter().collect(),
            Transport::Datagram => {
                let mut messages = sent;
                messages.sort_unstable();
                messages.dedup();
                messages.retain(|m| received.iter().filter(|r| *r == m).count() < most_arrivals);
                messages
            }
        }
    }

    fn shown(&mut self, history: HistoryId) -> Result<Rc<Rendering>, String> {
        if let Some(shown) = &self.histories[history].shown {
            return Ok(Rc::clone(shown));
        }
        let replica = self.replica(history)?;
        let shown = Rc::new(rendering(&*replica));
        let history = &mut self.histories[history];
        (history.replica, history.shown) = (Some(replica), Some(Rc::clone(&shown)));
        Ok(shown)
    }

    /// The replica to which all that happened, played again where it has gone on.
    fn replica(&mut self, history: HistoryId) -> Result<Box<dyn Replica>, String> {
        if let Some(replica) = self.histories[history].replica.take() {
            return Ok(replica);
        }
        let History { n, events, .. } = &self.histories[history];
        let mut replica = self.stage.create(*n);
        let mut out = Outbox::new();
        for (at, event) in events.iter().enumerate() {
            play(self.stage, *n, &mut replica, self.clock(*n, at), event, &mut out)?;
        }
        Ok(replica)
    }

    /// Everybody speaks to everybody, and all of it arrives. What was under way before has arrived already (over sessions), or never
    /// will (over datagrams).
    fn settle(&mut self, state: &mut State, rounds: usize) -> Result<(), String> {
        let directions = self.stage.directions();
        let mut delivered: BTreeMap<(usize, usize), usize> = directions
            .iter()
            .map(|(from, to)| ((*from, *to), self.sent_to(state[*from], *to).len()))
            .collect();
        for _ in 0..rounds {
            for (n, peer) in &directions {
                state[*n] = self.extend(state[*n], Step::Sync(id(*peer)))?;
                self.drain(state, &mut delivered, *n, *peer)?;
            }
        }
        Ok(())
    }

    fn drain(
        &mut self,
        state: &mut State,
        delivered: &mut BTreeMap<(usize, usize), usize>,
        a: usize,
        b: usize,
    ) -> Result<(), String> {
        for _ in 0..LONGEST_EXCHANGE {
            let next = [(a, b), (b, a)].into_iter().find_map(|(from, to)| {
                let message = self.sent_to(state[from], to).get(delivered[&(from, to)]).copied()?;
                Some((from, to, message))
            });
            let Some((from, to, message)) = next else { return Ok(()) };
            *delivered.entry((from, to)).or_default() += 1;
            state[to] = self.extend(state[to], Step::Receive(id(from), message))?;
        }
        let words = self.words(state);
        Err(format!("{}: an exchange does not end\n{words}", self.stage))
    }

    /// The local history that is one step longer.
    fn extend(&mut self, history: HistoryId, step: Step) -> Result<HistoryId, String> {
        if let Some(next) = self.histories[history].next.get(&step) {
            return Ok(*next);
        }
        let n = self.histories[history].n;
        let mut replica = self.replica(history)?;
        let mut events = self.histories[history].events.clone();
        let mut outputs = self.histories[history].outputs.clone();
        let mut out = Outbox::new();
        if let Some(event) = self.event(n, &*replica, step) {
            let clock = self.clock(n, events.len());
            play(self.stage, n, &mut replica, clock, &event, &mut out)
                .map_err(|e| self.failure(&vec![history], &e))?;
            outputs.push(Rc::new(out.outputs.clone()));
            events.push(Rc::new(event));
        }
        let mut steps = self.histories[history].steps.clone();
        steps.push(step);
        let mut sent = self.histories[history].sent.clone();
        let reported = out.outputs.iter().any(|output| matches!(output, Output::Change(_)));
        for output in out.outputs {
            if let Output::Send { to, bytes, cargo } = output {
                debug_assert!(number(to) < self.stage.count());
                sent.push((to, self.number_of(bytes, cargo)));
            }
        }
        let next = self.histories.len();
        self.histories.push(History {
            n,
            events,
            steps,
            sent,
            owes: self
                .stage
                .peers(n)
                .iter()
                .copied()
                .filter(|peer| replica.pending(*peer).edits > 0)
                .collect(),
            replica: Some(replica),
            shown: None,
            reported,
            outputs,
            before: Some(history),
            next: BTreeMap::new(),
        });
        self.histories[history].next.insert(step, next);
        Ok(next)
    }

    fn number_of(&mut self, bytes: Vec<u8>, cargo: Cargo) -> MessageId {
        let numbers = self.numbers.entry(bytes.clone()).or_default();
        if let Some(known) = numbers.iter().find(|n| self.messages[**n].1 == cargo) {
            return *known;
        }
        let number = self.messages.len();
        numbers.push(number);
        self.messages.push((bytes, cargo));
        number
    }

    /// A device's clocks at the `at`-th thing that happens to it, whatever happens elsewhere.
    fn clock(&self, n: usize, at: usize) -> Clock {
        let ahead = match self.tempo {
            Tempo::Equal => false,
            Tempo::FirstAhead => n == self.stage.authors()[0],
            Tempo::SecondAhead => n == self.stage.authors()[1],
        };
        let us = 10 * at as u64;
        let offset_us = if ahead { 5_000_000 } else { 0 };
        Clock { now: Tick(us * 1000), wall: WallTime(1_700_000_000_000_000 + offset_us + us) }
    }

    /// What a step is to this replica; `None` for an edit that would change nothing in its view.
    fn event(&self, n: usize, replica: &dyn Replica, step: Step) -> Option<Event> {
        Some(match step {
            Step::Open(peer) => Event::Link { peer, state: LinkState::Open },
            Step::Greet(peer) | Step::Sync(peer) => Event::Sync { peer },
            Step::Receive(from, message) => {
                let (bytes, cargo) = self.messages[message].clone();
                Event::Receive { from, bytes, cargo }
            }
            Step::Prepare => {
                let cell = self.stage.cells().find(|(_, kind)| *kind == FieldKind::Register)?.0;
                let value = format!("{} before", id(n)).into();
                let id = EditId { origin: id(n), sequence: 1 };
                Event::Edit { id, edit: Edit::Put { cell, value } }
            }
            Step::Edit(place) => {
                let edit = self.plan[place].1.edit(self.stage, replica, place)?;
                let id = EditId { origin: id(n), sequence: 4 + 3 * place as u64 };
                Event::Edit { id, edit }
            }
        })
    }

    /// What happened to each replica.
    fn words(&self, state: &[HistoryId]) -> String {
        let mut text = String::new();
        for history in state {
            let History { n, events, .. } = &self.histories[*history];
            for event in events {
                text.push_str(&format!("  {} {event}\n", id(*n)));
            }
        }
        text
    }
}
