//! The `oracle` row: what perfect knowledge would cost and bring. No replica could do it, and it is never ranked; costs of strategies can
//! be read as multiples of its own.
//!
//! It takes class A alone: what users ask for, the weather of the links, and who is linked with whom. Devices never fail. Two linked
//! devices are in contact while both their links are usable. In contact, whatever one shows and the other lacks crosses at once,
//! in no time, coalesced and uncompressed, with nothing around it: a value its bytes, a counter eight, an element or a word its own
//! bytes, a removal eight. What was overwritten before a contact never crosses.

use crate::partitions::Holders;
use crate::plan::{DevicePlan, plan};
use crate::row::{Histograms, Metrics, Row, Status, Timing, TrialResult};
use crate::streams::Streams;
use crate::topology::Graph;
use crate::workload::{Script, schema};
use reconverge_scenarios::Scenario;
use reconverge_strategies::crdt::DIGEST;
use reconverge_strategies::partitioned::Partitioned;
use reconverge_strategies::{
    Cell, Change, Clock, Content, Digest, Edit, EditId, Input, LinkState, Outbox, Output, RecordId,
    Rendering, Replica, ReplicaId, Schema, Scope, Seat, Strategy, Tick, Transport, WallTime,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// What the row says where others name their schedule.
pub const SCHEDULE: &str = "not realisable";

/// Bytes that a counter or a removal takes.
const PLAIN_BYTES: u64 = 8;

/// Computes the row of one seed.
pub fn run(scenario: &Scenario, seed: u64) -> TrialResult {
    let streams = Streams::new(seed);
    let plans = plan(scenario, &streams);
    let script = Script::draw(scenario, &plans, &streams);
    let schema = schema(scenario);
    let mut oracle = Oracle::new(scenario, &plans, &script, &schema);
    oracle.work();
    oracle.result(scenario, seed)
}

/// An edit that was made.
struct Made {
    at_ns: u64,
    seat: usize,
    record: RecordId,
    cell: Option<Cell>,
    bytes: u64,
    last_shown_ns: u64,
}

struct Oracle<'a> {
    plans: &'a [DevicePlan],
    script: &'a Script,
    schema: &'a Schema,
    duration_ns: u64,
    has_user: Vec<bool>,
    hub: Option<usize>,
    holders: Holders,
    linked: Vec<Vec<usize>>,
    replicas: Vec<Box<dyn Replica>>,
    /// What each device showed when it was last looked at.
    shown: Vec<Rendering>,
    made: BTreeMap<EditId, Made>,
    now_ns: u64,
    healed: bool,
    histograms: Histograms,
    void: u64,
    crossings: u64,
    bytes_up: u64,
    bytes_down: u64,
    bytes: u64,
    digest: Digest,
}

impl<'a> Oracle<'a> {
    fn new(
        scenario: &'a Scenario,
        plans: &'a [DevicePlan],
        script: &'a Script,
        schema: &'a Schema,
    ) -> Self {
        let groups = scenario.groups.iter();
        let groups: Vec<_> =
            groups.flat_map(|group| std::iter::repeat_n(group, group.count as usize)).collect();
        let graph = Graph::new(scenario);
        let hub = graph.hub.map(|hub| hub as usize);
        let count = groups.len();
        let mut linked = vec![Vec::new(); count];
        for [a, b] in graph.pairs.iter().map(|pair| pair.map(|device| device as usize)) {
            linked[a].push(b);
            linked[b].push(a);
        }
        linked.iter_mut().for_each(|peers| peers.sort_unstable());
        let holders = Holders::new(scenario, graph.hub);
        let members: Vec<ReplicaId> = (0..count as u32).map(ReplicaId).collect();
        let replicas = linked.iter().enumerate().map(|(device, peers)| {
            let peers: Vec<ReplicaId> = peers.iter().map(|peer| members[*peer]).collect();
            Partitioned(DIGEST).create(&Seat {
                replica: members[device],
                peers: &peers,
                members: &members,
                partitions: holders.seat(),
                authority: hub.map(|hub| members[hub]),
                schema,
                genesis: &script.genesis,
                transport: Transport::Session,
                incarnation: 0,
            })
        });
        let replicas: Vec<_> = replicas.collect();
        let has_user = groups.iter().map(|group| group.user.is_some()).collect();
        let shown = replicas.iter().map(|replica| {
            let mut rendering = Rendering::new();
            replica.render(Scope::All, &mut rendering);
            rendering
        });
        let mut oracle = Oracle {
            plans,
            script,
            schema,
            duration_ns: scenario.duration_ns,
            has_user,
            hub,
            holders,
            shown: shown.collect(),
            replicas,
            linked,
            made: BTreeMap::new(),
            now_ns: 0,
            healed: false,
            histograms: Histograms::default(),
            void: 0,
            crossings: 0,
            bytes_up: 0,
            bytes_down: 0,
            bytes: 0,
            digest: Digest::new(),
        };
        for a in 0..count {
            for b in oracle.linked[a].clone() {
                oracle.open(a, b);
            }
        }
        oracle
    }

    /// All edits and all beginnings of contacts, in order of time; of one moment the contacts first.
    fn work(&mut self) {
        let usable_again = self.plans.iter().enumerate().flat_map(|(device, plan)| {
            plan.outages.iter().map(move |(_, until)| (until, None, device))
        });
        let asked = self.script.asked.iter().enumerate();
        let asked = asked.map(|(n, asked)| (asked.at_ns, Some(n as u32), asked.seat as usize));
        let duration_ns = self.duration_ns;
        let mut events: Vec<_> =
            usable_again.chain(asked).filter(|(at_ns, ..)| *at_ns < duration_ns).collect();
        events.sort_unstable();
        for (at_ns, asked, device) in events {
            self.now_ns = at_ns;
            let news = asked.is_none_or(|number| self.edit(number, device));
            if news {
                self.flood([device].into());
            }
        }
        (self.now_ns, self.healed) = (self.duration_ns, true);
        self.flood((0..self.replicas.len()).collect());
    }

    /// Makes an asked edit; false where it has no effect in its author's view.
    fn edit(&mut self, number: u32, device: usize) -> bool {
        let mut seen = Rendering::new();
        let concrete = self.script.concrete(number, &*self.replicas[device], &mut seen);
        let Some(edit) = concrete else {
            self.void += 1;
            return false;
        };
        let id = EditId { origin: ReplicaId(device as u32), sequence: u64::from(number) };
        let made = Made {
            at_ns: self.now_ns,
            seat: device,
            record: edit.record(),
            cell: edit.cell(),
            bytes: edit.content_bytes(),
            last_shown_ns: self.now_ns,
        };
        self.note(device, &edit);
        self.made.insert(id, made);
        let outputs = self.handle(device, Input::Edit { id, edit: &edit });
        debug_assert!(outputs.iter().all(|output| !matches!(output, Output::Send { .. })));
        let cells = self.cells(&[id]);
        self.look(device, &cells);
        true
    }

    fn note(&mut self, device: usize, edit: &Edit) {
        self.digest.word(self.now_ns);
        self.digest.word((device as u64) << 32 | u64::from(edit.record().0));
    }

    fn open(&mut self, at: usize, with: usize) {
        let peer = ReplicaId(with as u32);
        self.handle(at, Input::Link { peer, state: LinkState::Open });
    }

    fn handle(&mut self, device: usize, input: Input<'_>) -> Vec<Output> {
        let mut out = Outbox::new();
        let clock = Clock { now: Tick(self.now_ns), wall: WallTime(self.now_ns / 1000) };
        let handled = self.replicas[device].handle(clock, input, &mut out);
        handled.expect("honest replicas understand one another");
        out.outputs
    }

    fn is_usable(&self, device: usize) -> bool {
        self.healed || !self.plans[device].outages.contains(self.now_ns)
    }

    /// Tells everybody in reach what is new on some devices.
    fn flood(&mut self, news: BTreeSet<usize>) {
        let mut waiting: VecDeque<usize> = news.into_iter().collect();
        while let Some(device) = waiting.pop_front() {
            if !self.is_usable(device) {
                continue;
            }
            for peer in self.linked[device].clone() {
                if !self.is_usable(peer) {
                    continue;
                }
                for learner in self.meet(device, peer) {
                    waiting.push_back(learner);
                }
            }
        }
    }

    /// Two devices tell each other everything. Returns those that learnt something.
    fn meet(&mut self, a: usize, b: usize) -> Vec<usize> {
        let mut applied: BTreeMap<usize, Vec<EditId>> = BTreeMap::new();
        let mut replaced = BTreeSet::new();
        loop {
            let mut flight = VecDeque::new();
            for (from, to) in [(a, b), (b, a)] {
                let peer = ReplicaId(to as u32);
                if self.replicas[from].pending(peer).edits > 0 {
                    let sent = self.handle(from, Input::Sync { peer });
                    flight.extend(sent.into_iter().map(|output| (from, output)));
                }
            }
            if flight.is_empty() {
                break;
            }
            while let Some((device, output)) = flight.pop_front() {
                match output {
                    Output::Send { to, bytes, cargo } => {
                        let (to, from) = (to.0 as usize, ReplicaId(device as u32));
                        let input = Input::Receive { from, bytes: &bytes, cargo: &cargo };
                        let answers = self.handle(to, input);
                        flight.extend(answers.into_iter().map(|output| (to, output)));
                    }
                    Output::Change(Change::Applied { edit }) => {
                        applied.entry(device).or_default().push(edit);
                    }
                    Output::Change(Change::Replaced { edit, .. }) => {
                        replaced.insert((device, edit));
                    }
                    Output::Change(_) => {}
                }
            }
        }
        for (device, edits) in &applied {
            self.shown_on(
                *device,
                edits.iter().filter(|edit| !replaced.contains(&(*device, **edit))),
            );
            let cells = self.cells(edits);
            let bytes = self.look(*device, &cells);
            self.digest.word((*device as u64) << 32 ^ bytes);
            self.crossings += u64::from(bytes > 0);
            self.bytes += bytes;
            match self.hub {
                Some(hub) if hub == *device => self.bytes_up += bytes,
                Some(_) => self.bytes_down += bytes,
                None => {
                    self.bytes_up += bytes;
                    self.bytes_down += bytes;
                }
            }
        }
        applied.into_keys().collect()
    }

    /// Notes when edits were first shown on a device.
    fn shown_on<'e>(&mut self, device: usize, edits: impl Iterator<Item = &'e EditId>) {
        if !self.has_user[device] {
            return;
        }
        for edit in edits {
            let now_ns = self.now_ns;
            let made = self.made.get_mut(edit).filter(|made| made.seat != device);
            if let Some(made) = made {
                let _ = self.histograms.visible.record((now_ns - made.at_ns) / 1000);
                made.last_shown_ns = now_ns;
            }
        }
    }

    /// The cells that some edits speak of.
    fn cells(&self, edits: &[EditId]) -> BTreeSet<Cell> {
        let made = edits.iter().filter_map(|edit| self.made.get(edit));
        made.flat_map(|made| match made.cell {
            Some(cell) => vec![cell],
            None => self.schema.cells(made.record).map(|(cell, _)| cell).collect(),
        })
        .collect()
    }

    /// What a device shows in some cells is what it showed and this many bytes of content more.
    fn look(&mut self, device: usize, cells: &BTreeSet<Cell>) -> u64 {
        let mut bytes = 0;
        for cell in cells {
            let mut now = Rendering::new();
            self.replicas[device].render(Scope::Cell(*cell), &mut now);
            let contents = |rendering: &Rendering| -> Vec<Content> {
                rendering
                    .get(*cell)
                    .into_iter()
                    .flat_map(|shown| shown.contents().cloned())
                    .collect()
            };
            let (old, new) = (contents(&self.shown[device]), contents(&now));
            bytes += self.difference(&old, &new);
            self.shown[device].replace(*cell, &now);
        }
        bytes
    }

    /// Bytes that turn what a cell showed into what it shows.
    fn difference(&self, old: &[Content], new: &[Content]) -> u64 {
        if old == new {
            return 0;
        }
        let pieces = |contents: &[Content]| -> BTreeMap<String, u64> {
            let mut pieces = BTreeMap::new();
            for content in contents {
                match content {
                    Content::Register(value) => {
                        let value = value.iter().map(|value| value.as_str().to_owned());
                        value.for_each(|value| *pieces.entry(value).or_default() += 1);
                    }
                    Content::Counter(_) => {}
                    Content::Set(elements) => elements
                        .iter()
                        .for_each(|e| *pieces.entry(e.as_str().to_owned()).or_default() += 1),
                    Content::Text(text) => self
                        .script
                        .words(text)
                        .for_each(|word| *pieces.entry(word.to_owned()).or_default() += 1),
                }
            }
            pieces
        };
        let (before, after) = (pieces(old), pieces(new));
        let missing_in = |of: &BTreeMap<String, u64>, piece: &str, count: u64| {
            count.saturating_sub(of.get(piece).copied().unwrap_or(0))
        };
        let came: u64 = after
            .iter()
            .map(|(piece, count)| missing_in(&before, piece, *count) * piece.len() as u64)
            .sum();
        // Whoever gets the value that is there instead needs no word about the one that went.
        let replaces = came > 0 && matches!(new.first(), Some(Content::Register(_)));
        let went =
            before.iter().any(|(piece, count)| missing_in(&after, piece, *count) > 0) && !replaces;
        let counted = came == 0 && !went;
        came + if went || counted { PLAIN_BYTES } else { 0 }
    }

    fn result(mut self, scenario: &Scenario, seed: u64) -> TrialResult {
        for made in self.made.values() {
            let others = self.holders.of_record(made.record).iter().map(|device| *device as usize);
            if others.filter(|device| *device != made.seat).any(|device| self.has_user[device]) {
                let us = (made.last_shown_ns - made.at_ns) / 1000;
                let _ = self.histograms.everywhere.record(us);
            }
        }
        self.histograms.settled = self.histograms.visible.clone();
        let others = |made: &Made| self.holders.of_record(made.record).len() as u64 - 1;
        let bytes_user: u64 = self.made.values().map(|made| made.bytes * others(made)).sum();
        let mut metrics = Metrics {
            edits_blocked: Some(0),
            edits_void: Some(self.void),
            bytes_wire: Some(self.bytes),
            bytes_wire_up: Some(self.bytes_up),
            bytes_wire_down: Some(self.bytes_down),
            bytes_strategy: Some(self.bytes),
            bytes_content: Some(self.bytes),
            bytes_user: Some(bytes_user),
            overhead_milli: (bytes_user > 0).then(|| self.bytes * 1000 / bytes_user),
            messages: Some(self.crossings),
            ..Metrics::default()
        };
        metrics.spread(&self.histograms);
        let row = Row {
            scenario: scenario.name.clone(),
            cell: "0".into(),
            strategy: "oracle".into(),
            schedule: SCHEDULE.into(),
            seed,
            status: Status::Ok,
            reason: String::new(),
            digest: self.digest.finish(),
            world_digest: 0,
            edits_asked: self.script.asked.len() as u64,
            metrics: Some(metrics),
        };
        let histograms = self.histograms;
        TrialResult { row, histograms, timeline: Vec::new(), timing: Timing::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reconverge_scenarios::{DurationLaw, Outage, OutageModel, Override, builtin, parse};

    fn office(overrides: &[&str]) -> Scenario {
        let overrides: Vec<Override> =
            overrides.iter().map(|text| text.parse().expect("path=value")).collect();
        let text = builtin("office").expect("a built-in scenario");
        parse(text, "office", &overrides).expect("it is right")
    }

    fn figures(scenario: &Scenario) -> Metrics {
        run(scenario, 1).row.metrics.expect("an oracle always has figures")
    }

    #[test]
    fn in_contact_everything_is_known_at_once() {
        let mut scenario = office(&[]);
        scenario.groups.iter_mut().for_each(|group| group.outages.clear());
        let metrics = figures(&scenario);
        assert_eq!(metrics.visible_us_max, Some(0));
        assert_eq!(metrics.everywhere_us_max, Some(0));
        assert!(metrics.bytes_wire > Some(0));
    }

    #[test]
    fn what_was_overwritten_before_a_contact_never_crosses() {
        let mut apart = office(&[]);
        let mut together = apart.clone();
        together.groups.iter_mut().for_each(|group| group.outages.clear());
        for group in &mut apart.groups {
            let down = DurationLaw::Fixed { ns: apart.duration_ns * 1000 };
            let up = DurationLaw::Fixed { ns: 1 };
            let model = OutageModel::Renewal { up, down, within: Vec::new() };
            group.outages = vec![Outage { profile: String::new(), model }];
        }
        let (apart, together) = (figures(&apart), figures(&together));
        assert!(apart.messages < together.messages);
        assert!(apart.bytes_wire < together.bytes_wire, "{apart:?} {together:?}");
        assert!(apart.visible_us_mean > Some(60_000_000));
    }
}
