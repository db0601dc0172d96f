//! The loop: takes what is due from the agenda and hands it to whom it concerns. No policy beyond order.

mod host;
mod membership;
mod sessions;
mod settle;
mod users;

use crate::agenda::{Agenda, Due, TimerId};
use crate::device::battery::PJ_PER_MJ;
use crate::device::clock::DeviceClock;
use crate::device::journal::{HostInput, Journal};
use crate::fact::{Fact, NotMade, Phase, Probe};
use crate::network::Network;
use crate::partitions::Holders;
use crate::plan::DevicePlan;
use crate::probe::ledger::Ledger;
use crate::row::TimelineRow;
use crate::schedule::Rule;
use crate::streams::{Stream, Streams};
use crate::topology::Graph;
use crate::workload::{Script, schema};
use host::{Host, Waiting};
use membership::Membership;
use reconverge_scenarios::{Scenario, TransportKind};
use reconverge_strategies::{
    Cargo, Digest, Footprint, Outbox, Profile, Rendering, ReplicaId, Schema, Seat, Strategy,
    Transport,
};
use sessions::Pair;
use settle::Settling;

/// Messages in a row that one input may cause before its exchange counts as endless.
pub const MAX_REPLIES: u32 = 64;

/// How far apart footprints are looked at: a replica may have to visit all it keeps.
const FOOTPRINT_NS: u64 = 3_600_000_000_000;

/// What the agenda holds.
#[derive(Debug)]
enum Event {
    /// The next asked edit is due.
    Asked(u32),
    Link {
        device: u32,
        up: bool,
    },
    Plugged {
        device: u32,
        plugged: bool,
    },
    Present {
        device: u32,
        present: bool,
    },
    Kill {
        device: u32,
    },
    PowerFails {
        device: u32,
    },
    /// A stopped process starts again, unless it was stopped anew.
    Restart {
        device: u32,
        life: u32,
    },
    /// The next message of a session's set-up is due, unless it was cut meanwhile.
    Leg {
        pair: u32,
        generation: u32,
        n: u32,
    },
    /// That message has reached its receiver's link.
    LegReaches {
        pair: u32,
        generation: u32,
        n: u32,
    },
    /// A message has reached its receiver's link.
    Reaches(Box<Message>),
    /// It is through.
    Deliver(Box<Message>),
    /// A device may have been away for the retention.
    Absence {
        device: u32,
    },
    /// A user has thought over a prompt.
    Answer {
        device: u32,
        prompt: u32,
    },
    Sample,
    Weigh,
    Heal,
    Deadline,
}

#[derive(Clone, Debug)]
struct Message {
    from: u32,
    to: u32,
    pair: u32,
    generation: u32,
    bytes: Vec<u8>,
    cargo: Cargo,
    /// What its receiver's link has to carry.
    wire_bytes: u64,
    /// How many replies led to it.
    hops: u32,
}

/// What the timers of the agenda are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Timer {
    /// The processor of a device has finished an input.
    Cpu(u32),
    /// A battery is empty, or full enough.
    Battery(u32),
    /// The next tick of a schedule that has any.
    Tick(u32),
    /// The journal is to be synced at the latest now.
    Journal(u32),
    /// One side of a pair is to talk to the other.
    Sync { pair: u32, side: usize },
    /// One side of a pair gives up waiting for the other.
    Silence { pair: u32, side: usize },
}

/// Numbers the timers: four for each device, then four for each pair.
#[derive(Clone, Copy, Debug)]
struct Timers {
    devices: u32,
}

impl Timers {
    fn id(self, timer: Timer) -> TimerId {
        let pairs = 4 * self.devices;
        TimerId(match timer {
            Timer::Cpu(device) => 4 * device,
            Timer::Battery(device) => 4 * device + 1,
            Timer::Tick(device) => 4 * device + 2,
            Timer::Journal(device) => 4 * device + 3,
            Timer::Sync { pair, side } => pairs + 4 * pair + side as u32,
            Timer::Silence { pair, side } => pairs + 4 * pair + 2 + side as u32,
        })
    }

    fn timer(self, id: TimerId) -> Timer {
        if id.0 < 4 * self.devices {
            let device = id.0 / 4;
            return match id.0 % 4 {
                0 => Timer::Cpu(device),
                1 => Timer::Battery(device),
                2 => Timer::Tick(device),
                _ => Timer::Journal(device),
            };
        }
        let rest = id.0 - 4 * self.devices;
        let (pair, side) = (rest / 4, (rest % 2) as usize);
        if rest % 4 < 2 { Timer::Sync { pair, side } } else { Timer::Silence { pair, side } }
    }
}

/// Figures that the world itself counts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Messages of strategies.
    pub messages: u64,
    /// What strategies wrote.
    pub bytes_strategy: u64,
    /// User content inside it.
    pub bytes_content: u64,
    /// Data elements.
    pub elements: u64,
    /// Written and never received.
    pub bytes_wasted: u64,
    /// Sessions that opened.
    pub sessions: u64,
    /// Sessions that did not come about.
    pub sessions_failed: u64,
    /// Largest footprint of one replica seen.
    pub footprint_peak_bytes: u64,
    /// Process kills that hit.
    pub kills: u64,
    /// Losses of power that hit.
    pub power_losses: u64,
    /// Batteries that ran empty.
    pub battery_deaths: u64,
    /// Events of the agenda.
    pub events: u64,
}

/// How a trial ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Everybody shows the same, and all is quiet.
    Quiescent,
    /// Replicas differ, as said.
    Diverged(String),
    /// A replica misbehaved, as said.
    Failed(String),
}

/// A trial while it runs.
pub struct World<'a> {
    strategy: &'a dyn Strategy,
    profile: Profile,
    script: &'a Script,
    plans: &'a [DevicePlan],
    schema: Schema,
    streams: Streams,
    transport: Transport,
    duration_ns: u64,
    settle_ns: u64,
    timeline_step_ns: u64,
    authority: Option<ReplicaId>,
    /// Peers of each replica, in order.
    peers: Vec<Vec<ReplicaId>>,
    members: Vec<ReplicaId>,
    holders: Holders,
    membership: Membership,
    agenda: Agenda<Event>,
    timers: Timers,
    now_ns: u64,
    hosts: Vec<Host>,
    pairs: Vec<Pair>,
    /// Draws whom each device talks to at a tick, where its schedule asks for one peer at random: the same for every strategy.
    partners: Vec<Stream>,
    network: Network,
    probes: Vec<&'a mut dyn Probe>,
    digest: Digest,
    world_digest: Digest,
    counts: Counts,
    settling: Settling,
    phase: Phase,
    out: Outbox,
    seen: Rendering,
    ending: Option<Ending>,
    /// Messages on their way.
    in_flight: u32,
    /// Sessions being set up.
    dialling: u32,
    ledger: Option<Ledger<'a>>,
    timeline: Vec<TimelineRow>,
    /// Whether the timeline has rows for each device.
    detailed: bool,
}

impl<'a> World<'a> {
    /// A world at its first moment. The scenario is one that the strategy supports.
    pub fn new(
        scenario: &'a Scenario,
        strategy: &'a dyn Strategy,
        seed: u64,
        plans: &'a [DevicePlan],
        script: &'a Script,
        probes: Vec<&'a mut dyn Probe>,
    ) -> World<'a> {
        let streams = Streams::new(seed);
        let profile = strategy.profile();
        let groups: Vec<_> = scenario
            .groups
            .iter()
            .flat_map(|group| std::iter::repeat_n(group, group.count as usize))
            .collect();
        let Graph { hub, pairs } = Graph::new(scenario);
        let hub = hub.map(|hub| hub as usize);
        let count = groups.len();
        let mut pairs_of: Vec<Vec<(u32, usize)>> = vec![Vec::new(); count];
        for (n, ends) in pairs.iter().enumerate() {
            for (side, end) in ends.iter().enumerate() {
                pairs_of[*end as usize].push((n as u32, side));
            }
        }
        let pairs: Vec<_> =
            pairs.into_iter().map(|[dials, other]| Pair::new(dials, other)).collect();
        let transport = match scenario.transport.kind {
            TransportKind::Session => Transport::Session,
            TransportKind::Datagram => Transport::Datagram,
        };
        let links = groups.iter().enumerate().map(|(device, group)| {
            (group.link.clone(), plans[device].bad_spells.clone(), Some(device) == hub)
        });
        let network = Network::new(streams, scenario.transport, links);
        let timers = Timers { devices: count as u32 };
        let mut world = World {
            strategy,
            script,
            plans,
            schema: schema(scenario),
            streams,
            transport,
            duration_ns: scenario.duration_ns,
            settle_ns: scenario.settle_ns,
            timeline_step_ns: scenario.timeline_step_ns,
            authority: hub.map(|hub| ReplicaId(hub as u32)),
            members: (0..count as u32).map(ReplicaId).collect(),
            holders: Holders::new(scenario, hub.map(|hub| hub as u32)),
            membership: Membership::new(count, scenario.data.retention_ns, scenario.duration_ns),
            peers: pairs_of
                .iter()
                .map(|own| {
                    let other = |(pair, side): &(u32, usize)| pairs[*pair as usize].ends[1 - side];
                    let mut others: Vec<_> = own.iter().map(other).map(ReplicaId).collect();
                    others.sort_unstable();
                    others
                })
                .collect(),
            partners: (0..count as u32).map(|device| streams.stream("partner", device)).collect(),
            agenda: Agenda::with_timers(4 * (count + pairs.len()) as u32),
            timers,
            now_ns: 0,
            hosts: Vec::new(),
            network,
            probes,
            digest: Digest::new(),
            world_digest: Digest::new(),
            counts: Counts::default(),
            settling: Settling::default(),
            phase: Phase::Work,
            out: Outbox::new(),
            seen: Rendering::new(),
            ending: None,
            in_flight: 0,
            dialling: 0,
            ledger: None,
            timeline: Vec::new(),
            detailed: false,
            pairs,
            profile,
        };
        for (device, (group, own_pairs)) in groups.iter().zip(pairs_of).enumerate() {
            let is_hub = Some(device) == hub;
            let rule = Rule::new(&group.schedule, world.profile.schedule, is_hub);
            let replica = strategy.create(&world.seat(device));
            let crashes = group.kills.is_some() || group.power_losses.is_some();
            let keeps = crashes || group.device.battery.is_some();
            let journal = Journal::new(replica.as_ref(), keeps);
            let plan = &plans[device];
            let clock = DeviceClock::new(plan.clock_offset_us, plan.clock_drift_ppb);
            let mut host = Host::new(group, rule, replica, journal, clock);
            host.pairs = own_pairs;
            world.hosts.push(host);
        }
        world
    }

    /// Keeps a ledger, and a timeline (with rows for each device where `detailed`).
    pub fn listen(&mut self, ledger: Ledger<'a>, detailed: bool) {
        self.ledger = Some(ledger);
        self.detailed = detailed;
    }

    fn begin(&mut self) {
        let duration_ns = self.duration_ns;
        for (device, plan) in self.plans.iter().enumerate() {
            let number = device as u32;
            // Clock errors are part of the world, though nothing happens when they are drawn.
            self.world_digest.word(plan.clock_offset_us as u64);
            self.world_digest.word(plan.clock_drift_ppb as u64);
            for (from, until) in plan.outages.iter() {
                self.agenda.schedule(from, Event::Link { device: number, up: false });
                self.agenda.schedule(until, Event::Link { device: number, up: true });
            }
            for (from, until) in plan.plugged.iter() {
                self.agenda.schedule(from, Event::Plugged { device: number, plugged: true });
                self.agenda.schedule(until, Event::Plugged { device: number, plugged: false });
            }
            for (from, until) in plan.present.iter() {
                self.agenda.schedule(from, Event::Present { device: number, present: true });
                self.agenda.schedule(until, Event::Present { device: number, present: false });
            }
            for at_ns in &plan.kills {
                self.agenda.schedule(*at_ns, Event::Kill { device: number });
            }
            for at_ns in &plan.power_losses {
                self.agenda.schedule(*at_ns, Event::PowerFails { device: number });
            }
            let count = self.plans.len() as u32;
            let rule = &self.hosts[device].rule;
            if let Some(first_ns) = rule.first_tick_ns(number, count, &self.streams) {
                self.agenda.set_timer(self.timers.id(Timer::Tick(number)), first_ns);
            }
            self.rearm_battery(device);
        }
        if let Some(first) = self.script.asked.first() {
            self.agenda.schedule(first.at_ns, Event::Asked(0));
        }
        self.agenda.schedule(duration_ns, Event::Heal);
        self.agenda.schedule(0, Event::Sample);
        self.agenda.schedule(0, Event::Weigh);
        self.watch_members();
        self.emit(&Fact::Phase(Phase::Work));
        for pair in 0..self.pairs.len() {
            self.dial(pair);
        }
    }

    /// Runs to the end.
    pub fn run(&mut self) -> Ending {
        self.begin();
        while self.ending.is_none() {
            let Some((now_ns, due)) = self.agenda.pop() else { break };
            self.now_ns = now_ns;
            self.counts.events += 1;
            match due {
                Due::Event(event) => self.event(event),
                Due::Timer(id) => self.timer(self.timers.timer(id)),
            }
            if self.phase == Phase::Heal && self.is_quiet() {
                self.settle_step();
            }
        }
        let ending = self.ending.take().expect("only an ending ends the loop: the deadline is one");
        self.close();
        self.emit(&Fact::Phase(Phase::End));
        ending
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Asked(number) => self.asked(number),
            Event::Link { device, up } => self.link_changed(device as usize, up),
            Event::Plugged { device, plugged } => self.plugged(device as usize, plugged),
            Event::Present { device, present } => self.presence(device as usize, present),
            Event::Kill { device } => self.kill(device as usize),
            Event::PowerFails { device } => self.power_fails(device as usize),
            Event::Restart { device, life } => self.restart(device as usize, life),
            Event::Leg { pair, generation, n } => self.leg_due(pair as usize, generation, n),
            Event::LegReaches { pair, generation, n } => {
                self.leg_reaches(pair as usize, generation, n);
            }
            Event::Reaches(message) => self.reaches(message),
            Event::Deliver(message) => self.deliver(*message),
            Event::Absence { device } => self.absence_due(device),
            Event::Answer { device, prompt } => self.answer_due(device as usize, prompt),
            Event::Sample => self.sample(),
            Event::Weigh => self.weigh(),
            Event::Heal => self.heal(),
            Event::Deadline => self.deadline(),
        }
    }

    fn timer(&mut self, timer: Timer) {
        match timer {
            Timer::Cpu(device) => self.finish_input(device as usize),
            Timer::Battery(device) => self.battery_due(device as usize),
            Timer::Tick(device) => self.tick(device as usize),
            Timer::Journal(device) => self.sync_journal(device as usize),
            Timer::Sync { pair, side } => self.sync_due(pair as usize, side),
            Timer::Silence { pair, side } => self.silence_due(pair as usize, side),
        }
    }

    fn asked(&mut self, number: u32) {
        let asked = &self.script.asked[number as usize];
        if let Some(next) = self.script.asked.get(number as usize + 1) {
            self.agenda.schedule(next.at_ns, Event::Asked(number + 1));
        }
        self.emit(&Fact::Asked { number, asked });
        let device = asked.seat as usize;
        if self.hosts[device].running() {
            self.enqueue(device, Waiting::Asked { number, acted_ns: self.now_ns });
        } else {
            self.emit(&Fact::NotMade { number, why: NotMade::Blocked });
        }
    }

    /// Looks at the footprints.
    fn weigh(&mut self) {
        self.agenda.schedule(self.now_ns + FOOTPRINT_NS, Event::Weigh);
        for host in &self.hosts {
            let total = host.replica.footprint().total();
            self.counts.footprint_peak_bytes = self.counts.footprint_peak_bytes.max(total);
        }
    }

    /// A row of the timeline.
    fn sample(&mut self) {
        self.agenda.schedule(self.now_ns + self.timeline_step_ns, Event::Sample);
        for host in &mut self.hosts {
            if let Some(battery) = &mut host.battery {
                battery.advance(self.now_ns);
            }
        }
        let Some(ledger) = &self.ledger else { return };
        let energy_pj = |device: usize| {
            let host = &self.hosts[device];
            let radio = self.network.radio(device).map_or(0, |radio| radio.energy().total_pj());
            host.battery.as_ref().map_or(0, |_| radio + host.cpu_pj + host.storage_pj)
        };
        let charge = |host: &Host| host.battery.as_ref().map(|battery| battery.permille());
        let usable = |host: &Host| u64::from(host.has_user && host.alive && host.link_up);
        let charges: Vec<u64> = self.hosts.iter().filter_map(charge).collect();
        let lacks = |device: usize| self.hosts[device].has_user && ledger.lacking(device) > 0;
        let devices = 0..self.hosts.len();
        self.timeline.push(TimelineRow {
            at_s: self.now_ns / 1_000_000_000,
            device: None,
            edits_pending: ledger.pending(),
            seats_diverged: devices.clone().filter(|device| lacks(*device)).count() as u64,
            bytes_wire: self.network.traffic().wire,
            energy_mj: devices.clone().map(energy_pj).sum::<u64>() / PJ_PER_MJ,
            links_up: self.hosts.iter().map(usable).sum(),
            battery_permille: (!charges.is_empty())
                .then(|| charges.iter().sum::<u64>() / charges.len() as u64),
        });
        if self.detailed {
            self.timeline.extend(devices.map(|device| TimelineRow {
                at_s: self.now_ns / 1_000_000_000,
                device: Some(device as u32),
                edits_pending: ledger.lacking(device),
                seats_diverged: u64::from(lacks(device)),
                bytes_wire: self.network.carried_bytes(device),
                energy_mj: energy_pj(device) / PJ_PER_MJ,
                links_up: usable(&self.hosts[device]),
                battery_permille: charge(&self.hosts[device]),
            }));
        }
    }

    /// Hands an input to a host, which takes it when its processor is free.
    fn enqueue_input(&mut self, device: usize, input: HostInput, hops: u32) {
        self.enqueue(device, Waiting::Input { input, hops });
    }

    fn emit(&mut self, fact: &Fact<'_>) {
        fact.digest(self.now_ns, &mut self.digest);
        if fact.is_world() {
            fact.digest(self.now_ns, &mut self.world_digest);
        }
        if let Some(ledger) = &mut self.ledger {
            ledger.observe(self.now_ns, fact);
        }
        for probe in &mut self.probes {
            probe.observe(self.now_ns, fact);
        }
    }

    fn fail(&mut self, reason: String) {
        if self.ending.is_none() {
            self.ending = Some(Ending::Failed(reason));
        }
    }

    fn seat(&self, device: usize) -> Seat<'_> {
        Seat {
            replica: ReplicaId(device as u32),
            peers: &self.peers[device],
            members: &self.members,
            partitions: self.holders.seat(),
            authority: self.authority,
            schema: &self.schema,
            genesis: &self.script.genesis,
            transport: self.transport,
            incarnation: self.hosts.get(device).map_or(0, |host| host.incarnation),
        }
    }

    /// Digest of everything that happened.
    pub fn digest(&self) -> u128 {
        self.digest.finish()
    }

    /// Digest of the world that every strategy meets alike.
    pub fn world_digest(&self) -> u128 {
        self.world_digest.finish()
    }

    /// What the world counted.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The access links.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The devices.
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// Who holds which partition.
    pub fn holders(&self) -> &Holders {
        &self.holders
    }

    /// The ledger, where one is kept.
    pub fn ledger(&self) -> Option<&Ledger<'a>> {
        self.ledger.as_ref()
    }

    /// The timeline so far.
    pub fn take_timeline(&mut self) -> Vec<TimelineRow> {
        std::mem::take(&mut self.timeline)
    }

    /// Number of the hub, where there is one.
    pub fn hub(&self) -> Option<usize> {
        self.authority.map(|replica| replica.0 as usize)
    }

    /// Mean footprint over replicas, rounded down.
    pub fn mean_footprint(&self) -> Footprint {
        let mut sum = Footprint::default();
        for host in &self.hosts {
            let one = host.replica.footprint();
            sum.content_bytes += one.content_bytes;
            sum.metadata_bytes += one.metadata_bytes;
            sum.history_bytes += one.history_bytes;
        }
        let count = self.hosts.len() as u64;
        Footprint {
            content_bytes: sum.content_bytes / count,
            metadata_bytes: sum.metadata_bytes / count,
            history_bytes: sum.history_bytes / count,
        }
    }
}
