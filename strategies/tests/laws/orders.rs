//! Every possible order of a small exchange, exhaustively.
//!
//! A replica's state is a function of what happened to it, so each distinct local history is played once, and a state of the
//! whole network is nothing but one local history per replica: orders that differ only in what happens first on two replicas
//! that do not hear of it are one state. What is under way follows from the histories too: what was sent and not yet received.

use crate::keep::random_orders;
use crate::stage::{Event, Stage, Topology, difference, id, number, play, rendering, settings};
use rand::SeedableRng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use reconverge_strategies::*;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// States of the network that are looked at for one pair of edits; where there are more, random walks go on to the end.
const MOST_STATES: usize = 1_200;
/// Those walks.
const WALKS: u64 = 30;
/// The same for more than two replicas over datagrams, where every state is an end, since everything under way may be lost.
const MOST_STATES_AT_LARGE: usize = 150;
const WALKS_AT_LARGE: u64 = 3;
/// Rounds of `Sync` in all directions that must repair whatever was lost.
const REPAIRING_ROUNDS: usize = 3;
/// Most messages that one `Sync` may set off.
const LONGEST_EXCHANGE: usize = 64;

/// Two edits made apart, in every order with what carries them; then longer exchanges at random.
pub fn orders(strategy: &dyn Strategy) -> Result<(), String> {
    // In a mesh of two nearly everything can be looked at; three is where an edit takes two ways.
    for (topology, transport, count) in exchanges(&strategy.profile()) {
        let stage = Stage::new(strategy, topology, transport, count);
        for (n, first) in Kind::ALL.into_iter().enumerate() {
            for (m, second) in Kind::ALL.into_iter().enumerate().skip(n) {
                for tempo in tempos(transport, n + m) {
                    Explorer::new(&stage, *tempo, [first, second]).explore()?;
                }
            }
        }
    }
    random_orders(strategy)
}

fn exchanges(profile: &Profile) -> Vec<(Topology, Transport, usize)> {
    let mut exchanges = settings(profile, 2, 1);
    // Two links have many more orders over datagrams; the star shows those.
    exchanges.retain(|(topology, transport, _)| {
        *topology != Topology::Tree || *transport == Transport::Session
    });
    if exchanges.contains(&(Topology::Mesh, Transport::Session, 2)) {
        exchanges.push((Topology::Mesh, Transport::Session, 3));
    }
    exchanges
}

/// How the two authors' clocks stand to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tempo {
    Equal,
    FirstAhead,
    SecondAhead,
}

impl Tempo {
    const ALL: [Tempo; 3] = [Tempo::Equal, Tempo::FirstAhead, Tempo::SecondAhead];
}

/// Over sessions every tempo; over datagrams, which have many more orders, each pair of edits at one tempo in turn.
fn tempos(transport: Transport, pair: usize) -> &'static [Tempo] {
    match transport {
        Transport::Session => &Tempo::ALL,
        Transport::Datagram => &Tempo::ALL[pair % 3..][..1],
    }
}

/// What an author does, in terms of what he sees at that time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Put,
    Delete,
    Add,
    Insert,
    Remove,
    Splice,
    Resolve,
}

impl Kind {
    const ALL: [Kind; 7] = [
        Kind::Put,
        Kind::Delete,
        Kind::Add,
        Kind::Insert,
        Kind::Remove,
        Kind::Splice,
        Kind::Resolve,
    ];
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
    Edit,
    Sync(ReplicaId),
    Receive(ReplicaId, MessageId),
}

/// What happened to one replica, and what came of it.
struct History {
    n: usize,
    /// What happened, in order.
    events: Vec<Event>,
    steps: Vec<Step>,
    /// What it sent, in order.
    sent: Vec<(ReplicaId, MessageId)>,
    /// The replica itself, until it goes on in a longer history; it can be played again.
    replica: Option<Box<dyn Replica>>,
    /// Peers that it owes something.
    owes: Vec<ReplicaId>,
    next: BTreeMap<Step, HistoryId>,
}

struct Explorer<'s> {
    stage: &'s Stage<'s>,
    tempo: Tempo,
    kinds: [Kind; 2],
    authors: [usize; 2],
    histories: Vec<History>,
    /// By replica: steps and messages sent before the exchange began.
    begun: Vec<(usize, usize)>,
    messages: Vec<(Vec<u8>, Cargo)>,
    numbers: BTreeMap<Vec<u8>, Vec<MessageId>>,
}

/// A state of the network: a local history for each replica.
type State = Vec<HistoryId>;

impl<'s> Explorer<'s> {
    fn new(stage: &'s Stage<'s>, tempo: Tempo, kinds: [Kind; 2]) -> Self {
        let authors = stage.authors();
        Explorer {
            stage,
            tempo,
            kinds,
            authors: [authors[0], authors[1]],
            histories: Vec::new(),
            begun: vec![(0, 0); stage.count()],
            messages: Vec::new(),
            numbers: BTreeMap::new(),
        }
    }

    /// Looks at every state that can be reached, and lets each that is complete end.
    fn explore(&mut self) -> Result<(), String> {
        let Some(start) = self.start()? else { return Ok(()) };
        let at_large = self.stage.transport == Transport::Datagram && self.stage.count() > 2;
        let (most_states, walks) = match at_large {
            true => (MOST_STATES_AT_LARGE, WALKS_AT_LARGE),
            false => (MOST_STATES, WALKS),
        };
        let mut seen = BTreeSet::from([start.clone()]);
        let mut open = VecDeque::from([start.clone()]);
        while let Some(state) = open.pop_front() {
            if seen.len() >= most_states {
                return self.walk_at_random(&start, walks);
            }
            let steps = self.steps(&state);
            self.end_where_complete(&state, &steps)?;
            for step in steps {
                let next = self.after(&state, step)?;
                if seen.insert(next.clone()) {
                    open.push_back(next);
                }
            }
        }
        Ok(())
    }

    fn walk_at_random(&mut self, start: &State, walks: u64) -> Result<(), String> {
        for seed in 0..walks {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let mut state = start.clone();
            loop {
                let steps = self.steps(&state);
                self.end_where_complete(&state, &steps)?;
                let Some(step) = steps.choose(&mut rng) else { break };
                state = self.after(&state, *step)?;
            }
        }
        Ok(())
    }

    fn after(&mut self, state: &State, (n, step): (usize, Step)) -> Result<State, String> {
        let mut next = state.clone();
        next[n] = self.extend(state[n], step)?;
        Ok(next)
    }

    /// Over sessions an exchange ends when all has arrived; over datagrams, where whatever is under way may be lost, at any time.
    fn end_where_complete(&mut self, state: &State, steps: &[(usize, Step)]) -> Result<(), String> {
        let both = self.authors.iter().all(|n| self.did(state[*n], Step::Edit));
        if steps.is_empty() || both && self.stage.transport == Transport::Datagram {
            self.end(state.clone())?;
        }
        Ok(())
    }

    /// Links are open and the dialling sides have spoken. Where an answer to a conflict is among the edits there is a conflict; `None` if the
    /// strategy knows no such thing.
    fn start(&mut self) -> Result<Option<State>, String> {
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
                owes: Vec::new(),
                next: BTreeMap::new(),
            });
            for peer in self.stage.peers(n) {
                history = self.extend(history, Step::Open(*peer))?;
            }
            state.push(history);
        }
        if !self.kinds.contains(&Kind::Resolve) {
            for (dialler, other) in self.stage.links() {
                state[dialler] = self.extend(state[dialler], Step::Greet(id(other)))?;
            }
            return Ok(Some(state));
        }
        for n in self.authors {
            state[n] = self.extend(state[n], Step::Prepare)?;
        }
        self.settle(&mut state)?;
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
    fn steps(&self, state: &State) -> Vec<(usize, Step)> {
        let mut steps = Vec::new();
        for n in self.authors {
            if !self.did(state[n], Step::Edit) {
                steps.push((n, Step::Edit));
            }
        }
        for (n, peer) in self.stage.directions() {
            let owes = self.histories[state[n]].owes.contains(&id(peer));
            if owes && !self.did(state[n], Step::Sync(id(peer))) {
                steps.push((n, Step::Sync(id(peer))));
            }
        }
        for (from, to) in self.stage.directions() {
            for message in self.arrivals(state, from, to) {
                steps.push((to, Step::Receive(id(from), message)));
            }
        }
        steps
    }

    /// What may arrive next: over sessions the oldest message under way; over datagrams any, twice at most.
    fn arrivals(&self, state: &State, from: usize, to: usize) -> Vec<MessageId> {
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
                messages.retain(|m| received.iter().filter(|r| *r == m).count() < 2);
                messages
            }
        }
    }

    /// The rest is deterministic: over datagrams what is under way is lost; everybody speaks to everybody, and all of it arrives.
    fn end(&mut self, mut state: State) -> Result<(), String> {
        self.settle(&mut state)?;
        let first = self.shown(state[0])?;
        for (n, history) in state.iter().enumerate().skip(1) {
            let other = self.shown(*history)?;
            if other != first {
                return Err(format!(
                    "{}, clocks {:?}, edits {:?}: {} and {} differ in {}\n{}",
                    self.stage,
                    self.tempo,
                    self.kinds,
                    id(0),
                    id(n),
                    difference(&first, &other),
                    self.words(&state)
                ));
            }
        }
        Ok(())
    }

    fn shown(&mut self, history: HistoryId) -> Result<Rendering, String> {
        let replica = self.replica(history)?;
        let shown = rendering(&*replica);
        self.histories[history].replica = Some(replica);
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
    fn settle(&mut self, state: &mut State) -> Result<(), String> {
        let directions = self.stage.directions();
        let mut delivered: BTreeMap<(usize, usize), usize> = directions
            .iter()
            .map(|(from, to)| ((*from, *to), self.sent_to(state[*from], *to).len()))
            .collect();
        for _ in 0..REPAIRING_ROUNDS {
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
        let mut out = Outbox::new();
        if let Some(event) = self.event(n, &*replica, step) {
            let clock = self.clock(n, events.len());
            play(self.stage, n, &mut replica, clock, &event, &mut out).map_err(|e| {
                format!("{}, edits {:?}: {e}\n{}", self.stage, self.kinds, self.words(&[history]))
            })?;
            events.push(event);
        }
        let mut steps = self.histories[history].steps.clone();
        steps.push(step);
        let mut sent = self.histories[history].sent.clone();
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
            Tempo::FirstAhead => n == self.authors[0],
            Tempo::SecondAhead => n == self.authors[1],
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
            Step::Edit => {
                let kind = self.kinds[usize::from(n == self.authors[1])];
                let edit = self.edit(n, replica, kind)?;
                Event::Edit { id: EditId { origin: id(n), sequence: 4 }, edit }
            }
        })
    }

    /// An edit of record 0 in terms of what its author sees.
    fn edit(&self, n: usize, replica: &dyn Replica, kind: Kind) -> Option<Edit> {
        let shown = rendering(replica);
        let record = RecordId(0);
        let word = if n == self.authors[0] { "first" } else { "second" };
        let cell = |kind| {
            let mut cells = self.stage.schema.cells(record);
            cells.find(|(_, k)| *k == kind).map(|(cell, _)| cell)
        };
        Some(match kind {
            Kind::Put => Edit::Put { cell: cell(FieldKind::Register)?, value: word.into() },
            Kind::Delete => {
                shown.iter().find(|(cell, _)| cell.record == record)?;
                Edit::Delete { record }
            }
            Kind::Add => {
                let amount = if word == "first" { 7 } else { -3 };
                Edit::Add { cell: cell(FieldKind::Counter)?, amount }
            }
            Kind::Insert => Edit::Insert { cell: cell(FieldKind::Set)?, element: word.into() },
            Kind::Remove => {
                let cell = cell(FieldKind::Set)?;
                let Content::Set(elements) = shown.get(cell)?.first() else { return None };
                Edit::Remove { cell, element: elements.first()?.clone() }
            }
            Kind::Splice => {
                let cell = cell(FieldKind::Text)?;
                let at = replica.length(cell).min(1);
                let delete = (replica.length(cell) - at).min(1);
                Edit::Splice { cell, at, delete, insert: word.into() }
            }
            Kind::Resolve => {
                let conflict = |(cell, shown): (Cell, &Shown)| match shown {
                    Shown::Conflict(alternatives) => Some((cell, alternatives.clone())),
                    Shown::Settled(_) => None,
                };
                let (cell, alternatives) = shown.iter().find_map(conflict)?;
                let content = alternatives[0].content.clone();
                let seen = alternatives.iter().map(|alternative| alternative.mark).collect();
                Edit::Resolve { cell, content, seen }
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
