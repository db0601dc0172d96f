//! A network of replicas in memory: sessions that break, datagrams that get lost, devices with clocks of their own, and a
//! journal of everything that happened. It checks at every step what the contract says of any step.

use crate::reports::Reports;
use crate::stage::{Event, Stage, difference, id, number, play, rendering};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use reconverge_strategies::*;
use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write;

/// Most messages that one message may set off between two replicas, itself included.
const LONGEST_EXCHANGE: usize = 64;
/// 2023-11-14, somewhere in the afternoon.
const START_US: u64 = 1_700_000_000_000_000;

/// Something that happened, and its effects.
#[derive(Clone)]
pub struct Moment {
    pub replica: usize,
    pub clock: Clock,
    pub event: Event,
    pub outputs: Vec<Output>,
    pub work_units: u64,
}

/// A message under way.
#[derive(Clone)]
struct Parcel {
    bytes: Vec<u8>,
    cargo: Cargo,
}

/// A device's clocks: wrong by an offset and a drift, each its own way.
struct DeviceClock {
    offset_us: u64,
    drift_ppm: u64,
    boot_us: u64,
}

/// The network.
pub struct World<'s> {
    pub stage: &'s Stage<'s>,
    pub replicas: Vec<Box<dyn Replica>>,
    pub journal: Vec<Moment>,
    pub serial: u64,
    /// A replica that gets what another one gets, and must do the same.
    twin: Option<(usize, Box<dyn Replica>)>,
    clocks: Vec<DeviceClock>,
    elapsed_us: u64,
    sequences: Vec<u64>,
    /// Messages under way, by sender and receiver.
    queues: BTreeMap<(usize, usize), VecDeque<Parcel>>,
    /// Sessions that exist, the dialling side first.
    sessions: BTreeMap<(usize, usize), bool>,
    /// Whether one side believes in its session with the other.
    believed: BTreeMap<(usize, usize), bool>,
    reports: Reports,
    /// Whether a false report fails the case.
    pub checks_reports: bool,
    /// Fingerprint by digest of the rendering, and back.
    fingerprints: BTreeMap<u128, u128>,
    renderings: BTreeMap<u128, u128>,
    out: Outbox,
}

impl<'s> World<'s> {
    /// A network in which no link was ever open.
    pub fn new(stage: &'s Stage<'s>, rng: &mut ChaCha8Rng) -> Self {
        let count = stage.count();
        let clocks = (0..count)
            .map(|_| DeviceClock {
                offset_us: [0, 1, 250_000, 90_000_000][rng.random_range(0..4)],
                drift_ppm: rng.random_range(0..100),
                boot_us: 0,
            })
            .collect();
        World {
            stage,
            replicas: (0..count).map(|n| stage.create(n)).collect(),
            journal: Vec::new(),
            serial: 0,
            twin: None,
            clocks,
            elapsed_us: 0,
            sequences: vec![0; count],
            queues: stage.directions().into_iter().map(|ends| (ends, VecDeque::new())).collect(),
            sessions: stage.links().into_iter().map(|ends| (ends, false)).collect(),
            believed: stage.directions().into_iter().map(|ends| (ends, false)).collect(),
            reports: Reports::new(stage),
            checks_reports: false,
            fingerprints: BTreeMap::new(),
            renderings: BTreeMap::new(),
            out: Outbox::new(),
        }
    }

    /// Everything that happened, one line each.
    pub fn history(&self) -> String {
        let mut text = String::new();
        for moment in &self.journal {
            let Moment { replica, clock, event, outputs, .. } = moment;
            let wall_us = clock.wall.0 - START_US;
            writeln!(text, "  {} at wall +{wall_us} us {event}", id(*replica)).expect("a string");
            for output in outputs {
                match output {
                    Output::Send { to, bytes, cargo } => {
                        write!(text, "      sends {to} {} bytes ", bytes.len())
                            .and_then(|()| {
                                bytes
                                    .iter()
                                    .take(64)
                                    .try_for_each(|byte| write!(text, "{byte:02x}"))
                            })
                            .and_then(|()| writeln!(text, " with {} elements", cargo.elements))
                    }
                    Output::Change(change) => writeln!(text, "      reports {change:?}"),
                }
                .expect("a string");
            }
        }
        text
    }

    /// The device's clocks now. The time of day may be put back; the other never runs backwards.
    fn clock(&self, n: usize) -> Clock {
        let DeviceClock { offset_us, drift_ppm, boot_us } = self.clocks[n];
        let drifted = |us: u64| us + us * drift_ppm / 1_000_000;
        Clock {
            now: Tick(drifted(self.elapsed_us - boot_us) * 1000),
            wall: WallTime(START_US + offset_us + drifted(self.elapsed_us)),
        }
    }

    /// Time passes.
    pub fn pass_us(&mut self, us: u64) {
        self.elapsed_us += us;
    }

    /// Somebody sets a device's time of day.
    pub fn set_offset_us(&mut self, n: usize, offset_us: u64) {
        self.clocks[n].offset_us = offset_us;
    }

    /// A replica's user makes an edit.
    pub fn edit(&mut self, n: usize, edit: Edit, gap: u64) -> Result<(), String> {
        self.sequences[n] += gap;
        let id = EditId { origin: id(n), sequence: self.sequences[n] };
        self.act(n, Event::Edit { id, edit })
    }

    /// Something happens to a replica: its effects are checked, recorded and put on their way.
    pub fn act(&mut self, n: usize, event: Event) -> Result<(), String> {
        let clock = self.clock(n);
        let mut out = std::mem::take(&mut self.out);
        let played = play(self.stage, n, &mut self.replicas[n], clock, &event, &mut out);
        self.journal.push(Moment {
            replica: n,
            clock,
            event: event.clone(),
            outputs: out.outputs.clone(),
            work_units: out.work_units,
        });
        played?;
        self.check_addresses(&event, &out.outputs)?;
        self.act_of_twin(n, clock, &event, &out)?;
        if self.checks_reports {
            self.reports.take(n, &event, &out.outputs)?;
            self.reports.check_shown(n, &rendering(&*self.replicas[n]))?;
        }
        self.check_view(n)?;
        for output in out.outputs.drain(..) {
            if let Output::Send { to, bytes, cargo } = output {
                self.post(n, number(to), Parcel { bytes, cargo });
            }
        }
        self.out = out;
        Ok(())
    }

    fn check_addresses(&self, event: &Event, outputs: &[Output]) -> Result<(), String> {
        let allowed = match event {
            Event::Sync { peer } => Some(*peer),
            Event::Receive { from, .. } => Some(*from),
            Event::Edit { .. } | Event::Link { .. } | Event::Restart => None,
        };
        for output in outputs {
            if let Output::Send { to, .. } = output
                && Some(*to) != allowed
            {
                return Err(format!("a message to {to} was sent when it {event}"));
            }
        }
        Ok(())
    }

    /// Length, scopes and fingerprint agree with the rendering of everything.
    fn check_view(&mut self, n: usize) -> Result<(), String> {
        let replica = &*self.replicas[n];
        let shown = rendering(replica);
        let digest = shown.fingerprint();
        let fingerprint = self.stage.fingerprint(replica);
        if *self.fingerprints.entry(digest).or_insert(fingerprint) != fingerprint {
            return Err(format!("{}: a rendering has two fingerprints: {shown:?}", id(n)));
        }
        if *self.renderings.entry(fingerprint).or_insert(digest) != digest {
            return Err(format!("{}: a fingerprint stands for two renderings: {shown:?}", id(n)));
        }
        for (cell, kind) in self.stage.cells() {
            let length = shown.get(cell).map_or(0, |content| content.first().length());
            if kind == FieldKind::Text && replica.length(cell) != length {
                return Err(format!(
                    "{}: text {cell} shows {length} characters, its length is said to be {}",
                    id(n),
                    replica.length(cell)
                ));
            }
        }
        // One scope a step is enough, in turn.
        let cells: Vec<Cell> = self.stage.cells().map(|(cell, _)| cell).collect();
        let cell = cells[self.journal.len() % cells.len()];
        for scope in [Scope::Cell(cell), Scope::Record(cell.record)] {
            let mut part = Rendering::new();
            replica.render(scope, &mut part);
            if !part.iter().eq(shown.iter().filter(|(cell, _)| scope.contains(*cell))) {
                return Err(format!("{}: rendering {scope:?} shows {part:?} of {shown:?}", id(n)));
            }
        }
        Ok(())
    }

    fn post(&mut self, from: usize, to: usize, parcel: Parcel) {
        if self.stage.transport == Transport::Datagram || self.alive(from, to) {
            self.queues.get_mut(&(from, to)).expect("sent along a link").push_back(parcel);
        }
    }

    fn link(&self, a: usize, b: usize) -> (usize, usize) {
        if self.sessions.contains_key(&(a, b)) { (a, b) } else { (b, a) }
    }

    /// Whether a session between two replicas exists, or datagrams pass between them.
    pub fn alive(&self, a: usize, b: usize) -> bool {
        self.sessions[&self.link(a, b)]
    }

    /// Whether a replica may talk to a peer, as far as it knows.
    pub fn believes(&self, n: usize, peer: usize) -> bool {
        self.believed[&(n, peer)]
    }

    /// A session between two replicas begins; the dialling side speaks first.
    pub fn open(&mut self, a: usize, b: usize, answer_first: bool) -> Result<(), String> {
        let (dialler, other) = self.link(a, b);
        self.tell_lost(dialler, other)?;
        self.tell_lost(other, dialler)?;
        self.sessions.insert((dialler, other), true);
        if answer_first {
            self.tell_open(other, dialler)?;
        }
        self.tell_open(dialler, other)?;
        self.act(dialler, Event::Sync { peer: id(other) })?;
        if !answer_first {
            self.tell_open(other, dialler)?;
        }
        Ok(())
    }

    /// Every session begins.
    pub fn open_all(&mut self) -> Result<(), String> {
        for (a, b) in self.stage.links() {
            if !self.alive(a, b) {
                self.open(a, b, false)?;
            }
        }
        Ok(())
    }

    /// A session ends with everything in flight; neither side knows yet. Datagrams in flight may still arrive.
    pub fn lose(&mut self, a: usize, b: usize) {
        self.sessions.insert(self.link(a, b), false);
        if self.stage.transport == Transport::Session {
            for ends in [(a, b), (b, a)] {
                self.queues.get_mut(&ends).expect("a link").clear();
            }
        }
    }

    /// A replica learns that a session has ended, where it did not know.
    pub fn tell_lost(&mut self, n: usize, peer: usize) -> Result<(), String> {
        if !self.alive(n, peer) && self.believed.insert((n, peer), false) == Some(true) {
            self.act(n, Event::Link { peer: id(peer), state: LinkState::Lost })?;
        }
        Ok(())
    }

    fn tell_open(&mut self, n: usize, peer: usize) -> Result<(), String> {
        self.believed.insert((n, peer), true);
        self.act(n, Event::Link { peer: id(peer), state: LinkState::Open })
    }

    /// All links end, and everybody knows.
    pub fn lose_all(&mut self) -> Result<(), String> {
        for (a, b) in self.stage.links() {
            self.lose(a, b);
            self.tell_lost(a, b)?;
            self.tell_lost(b, a)?;
        }
        Ok(())
    }

    /// A device crashes and comes back with all it had; its peers do not know yet.
    pub fn restart(&mut self, n: usize) -> Result<(), String> {
        self.clocks[n].boot_us = self.elapsed_us;
        self.act(n, Event::Restart)?;
        self.lose_as_restarted(n)
    }

    /// From here on a restored copy of a replica gets what the replica itself gets, and must do the same.
    pub fn shadow(&mut self, n: usize) -> Result<(), String> {
        let mut saved = Vec::new();
        self.replicas[n].save(&mut saved);
        let twin = self.stage.restore(n, &saved)?;
        self.twin = Some((n, twin));
        self.compare_twin("restored")?;
        self.lose_as_restarted(n)
    }

    fn lose_as_restarted(&mut self, n: usize) -> Result<(), String> {
        for peer in self.stage.peers(n) {
            self.lose(n, number(*peer));
            self.believed.insert((n, number(*peer)), false);
            self.act(n, Event::Link { peer: *peer, state: LinkState::Lost })?;
        }
        Ok(())
    }

    fn act_of_twin(
        &mut self,
        n: usize,
        clock: Clock,
        event: &Event,
        out: &Outbox,
    ) -> Result<(), String> {
        let Some((who, twin)) = &mut self.twin else { return Ok(()) };
        if *who != n {
            return Ok(());
        }
        let mut twin_out = Outbox::new();
        play(self.stage, n, twin, clock, event, &mut twin_out)
            .map_err(|e| format!("the restored copy differs: {e}"))?;
        if twin_out.outputs != out.outputs {
            return Err(format!(
                "when it {event}, the restored copy of {} does {:?} instead of {:?}",
                id(n),
                twin_out.outputs,
                out.outputs
            ));
        }
        self.compare_twin(&event.to_string())
    }

    fn compare_twin(&self, when: &str) -> Result<(), String> {
        let Some((n, twin)) = &self.twin else { return Ok(()) };
        let replica = &self.replicas[*n];
        let (left, right) = (rendering(&**replica), rendering(&**twin));
        let saved = |replica: &dyn Replica| {
            let mut saved = Vec::new();
            replica.save(&mut saved);
            saved
        };
        let pending = |replica: &dyn Replica| {
            self.stage.peers(*n).iter().map(|peer| replica.pending(*peer)).collect::<Vec<_>>()
        };
        let what = if left != right {
            format!("shows another document: {}", difference(&left, &right))
        } else if pending(&**replica) != pending(&**twin) {
            format!("owes {:?} instead of {:?}", pending(&**twin), pending(&**replica))
        } else if saved(&**replica) != saved(&**twin) {
            String::from("saves other bytes")
        } else if replica.footprint() != twin.footprint() {
            format!("has {:?} instead of {:?}", twin.footprint(), replica.footprint())
        } else {
            return Ok(());
        };
        Err(format!("the restored copy of {}, when it {when}, {what}", id(*n)))
    }

    /// Links over which messages are under way, by sender and receiver.
    pub fn busy(&self) -> Vec<(usize, usize)> {
        self.queues.iter().filter(|(_, queue)| !queue.is_empty()).map(|(ends, _)| *ends).collect()
    }

    /// The next message arrives: over sessions the oldest one, over datagrams any, which may be lost or stay to arrive again.
    pub fn deliver_any(
        &mut self,
        from: usize,
        to: usize,
        rng: &mut ChaCha8Rng,
    ) -> Result<(), String> {
        if self.stage.transport == Transport::Session {
            return self.deliver(from, to);
        }
        let queue = self.queues.get_mut(&(from, to)).expect("a link");
        let at = rng.random_range(0..queue.len());
        let parcel = match rng.random_range(0..10) {
            0 | 1 => {
                queue.remove(at);
                return Ok(());
            }
            2 => queue[at].clone(),
            _ => queue.remove(at).expect("within the queue"),
        };
        self.hand_over(from, to, parcel)
    }

    /// The oldest message arrives.
    fn deliver(&mut self, from: usize, to: usize) -> Result<(), String> {
        let parcel = self.queues.get_mut(&(from, to)).and_then(VecDeque::pop_front);
        parcel.map_or(Ok(()), |parcel| self.hand_over(from, to, parcel))
    }

    fn hand_over(&mut self, from: usize, to: usize, parcel: Parcel) -> Result<(), String> {
        let Parcel { bytes, cargo } = parcel;
        self.act(to, Event::Receive { from: id(from), bytes, cargo })
    }

    /// Everything between two replicas arrives, answers included.
    pub fn drain(&mut self, a: usize, b: usize) -> Result<(), String> {
        let under_way = self.queues[&(a, b)].len() + self.queues[&(b, a)].len();
        let most = LONGEST_EXCHANGE * under_way.max(1);
        let mut messages = 0;
        while let Some((from, to)) =
            [(a, b), (b, a)].into_iter().find(|e| !self.queues[e].is_empty())
        {
            self.deliver(from, to)?;
            messages += 1;
            if messages > most {
                return Err(format!(
                    "{} and {} exchange more than {most} messages over {under_way}",
                    id(a),
                    id(b)
                ));
            }
        }
        Ok(())
    }

    /// Everything under way arrives.
    pub fn drain_all(&mut self) -> Result<(), String> {
        for (a, b) in self.stage.links() {
            self.drain(a, b)?;
        }
        Ok(())
    }

    /// The schedule lets a replica speak to a peer, and all of it arrives.
    pub fn sync(&mut self, n: usize, peer: usize) -> Result<(), String> {
        self.act(n, Event::Sync { peer: id(peer) })?;
        self.drain(n, peer)
    }

    /// The fingerprints of all replicas.
    pub fn fingerprints(&self) -> Vec<u128> {
        self.replicas.iter().map(|replica| self.stage.fingerprint(&**replica)).collect()
    }

    /// Everybody shows the same, and the reports agree with it.
    pub fn check_agreement(&self) -> Result<(), String> {
        let renderings: Vec<_> =
            self.replicas.iter().map(|replica| rendering(&**replica)).collect();
        for (n, shown) in renderings.iter().enumerate() {
            if *shown != renderings[0] {
                let where_ = difference(&renderings[0], shown);
                return Err(format!("{} and {} differ in {where_}", id(0), id(n)));
            }
        }
        if self.checks_reports { self.reports.check_complete(false) } else { Ok(()) }
    }
}
