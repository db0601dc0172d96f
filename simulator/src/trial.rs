//! One trial: a scenario, a strategy and a seed become one row with its histograms; and many trials on all cores.

use crate::device::battery::PJ_PER_MJ;
use crate::fact::Probe;
use crate::plan::plan;
use crate::probe::accounts;
use crate::probe::ledger::{Ledger, SeatKind};
use crate::row::{Histograms, Metrics, Row, Status, Timing, TrialResult};
use crate::schedule::Rule;
use crate::streams::Streams;
use crate::workload::{Script, schema};
use crate::world::{Ending, World};
use reconverge_scenarios::{Durability, Group, Scenario, Topology, TransportKind};
use reconverge_strategies::{Law, Profile, Rendering, Scope, Strategy, Support};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What to run.
#[derive(Clone, Copy)]
pub struct Case<'a> {
    /// The world.
    pub scenario: &'a Scenario,
    /// The strategy.
    pub strategy: &'a dyn Strategy,
    /// The seed.
    pub seed: u64,
    /// Whether the timeline has rows for each device.
    pub detailed: bool,
    /// A recorded session to replay; else the scenario's workload is drawn.
    pub script: Option<&'a Script>,
}

/// A trial that has ended.
pub struct Finished {
    /// Its row and what belongs to it.
    pub result: TrialResult,
    /// What every replica shows at the end; empty where nothing ran.
    pub renderings: Vec<Rendering>,
}

/// Why a strategy cannot do what a scenario asks; `None` where it can.
pub fn unsupported(scenario: &Scenario, profile: &Profile) -> Option<String> {
    let topology = (scenario.topology.name(), topology_support(&scenario.topology, profile));
    let transport = match scenario.transport.kind {
        TransportKind::Session => ("sessions", profile.session),
        TransportKind::Datagram => ("datagrams", profile.datagram),
    };
    let fields = schema(scenario).fields;
    let fields = fields
        .iter()
        .zip(&scenario.data.fields)
        .map(|(kind, field)| (field.name.as_str(), profile.field(*kind)));
    // Where nothing leaves before it is on storage, nobody ever knows less than it told.
    let forgets = |group: &Group| {
        let unsafely = matches!(group.device.storage.durability, Durability::Unsafe { .. });
        unsafely && group.power_losses.is_some()
    };
    let memory_loss = scenario.groups.iter().any(forgets);
    let memory_loss = memory_loss.then_some(("memory loss", profile.memory_loss));
    [topology, transport]
        .into_iter()
        .chain(memory_loss)
        .chain(fields)
        .find_map(|(what, support)| support.unsupported().map(|why| format!("{what}: {why}")))
}

/// How far a strategy serves a topology.
pub fn topology_support(topology: &Topology, profile: &Profile) -> Support {
    match topology {
        Topology::Star { .. } => profile.star,
        Topology::Mesh => profile.mesh,
        Topology::Tree { .. } | Topology::Ring | Topology::Edges { .. } => profile.graph,
    }
}

/// The schedule of devices with users, in words; marked where the strategy insists on its own.
pub fn schedule_text(scenario: &Scenario, profile: &Profile) -> String {
    let hub = match &scenario.topology {
        Topology::Star { hub } => Some(hub),
        _ => None,
    };
    let mut texts: Vec<String> = Vec::new();
    for group in scenario.groups.iter().filter(|group| Some(&group.name) != hub) {
        let text = Rule::new(&group.schedule, profile.schedule, false).describe();
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    let own = if profile.schedule.is_some() { " (own)" } else { "" };
    format!("{}{own}", texts.join(", "))
}

/// Runs one trial. `probes` listen to it and cannot influence it.
pub fn run(case: &Case<'_>, probes: &mut [&mut dyn Probe]) -> Finished {
    let Case { scenario, strategy, seed, .. } = *case;
    let profile = strategy.profile();
    let streams = Streams::new(seed);
    let plans = plan(scenario, &streams);
    let drawn;
    let script = match case.script {
        Some(script) => script,
        None => {
            drawn = Script::draw(scenario, &plans, &streams);
            &drawn
        }
    };
    let edits_asked = script.asked.len() as u64;
    if let Some(reason) = unsupported(scenario, &profile) {
        let row = Row { edits_asked, ..empty_row(case, Status::Unsupported, reason) };
        let result = TrialResult {
            row,
            histograms: Histograms::default(),
            timeline: Vec::new(),
            timing: Timing::default(),
        };
        return Finished { result, renderings: Vec::new() };
    }
    let seats = scenario.groups.iter().flat_map(|group| {
        let kind = SeatKind { has_user: group.user.is_some() };
        std::iter::repeat_n(kind, group.count as usize)
    });
    let delayed = profile.exceptions.iter().any(|(law, _)| *law == Law::LocalVisibility);
    let probes = probes.iter_mut().map(|probe| &mut **probe as &mut dyn Probe).collect();
    let mut world = World::new(scenario, strategy, seed, &plans, script, probes);
    let holders = world.holders().clone();
    let ledger = Ledger::new(script, seats.collect(), holders, world.hub(), delayed);
    world.listen(ledger, case.detailed);
    let ending = world.run();
    let renderings: Vec<Rendering> = world
        .hosts()
        .iter()
        .map(|host| {
            let mut rendering = Rendering::new();
            host.replica.render(Scope::All, &mut rendering);
            rendering
        })
        .collect();
    let is_probabilistic = profile.is_probabilistic();
    let (status, mut reason) = match ending {
        // What some replicas lack is its residue.
        Ending::Diverged(_) if is_probabilistic => (Status::Ok, String::new()),
        Ending::Quiescent => (Status::Ok, String::new()),
        Ending::Diverged(reason) => (Status::Diverged, reason),
        Ending::Failed(reason) => (Status::Failed, reason),
    };
    let mut status = status;
    let ledger = world.ledger().expect("it listened from the start");
    let mut accounts = accounts::Accounts::default();
    if status != Status::Failed {
        match accounts::close(ledger, &renderings) {
            Ok(closed) if closed.asked() == edits_asked => accounts = closed,
            Ok(closed) => {
                status = Status::Failed;
                reason = format!("{} of {edits_asked} asked edits have an account", closed.asked());
            }
            Err(contradiction) => {
                status = Status::Failed;
                reason = format!("reports contradict what is shown: {contradiction}");
            }
        }
    }
    let mut histograms = ledger.histograms.clone();
    let unsettled = ledger.settled_times(&mut histograms);
    let metrics = (status != Status::Failed).then(|| Metrics {
        residue_ppm: ledger.residue_ppm().filter(|_| is_probabilistic),
        ..metrics(&world, &accounts, &histograms, unsettled, &renderings, edits_asked)
    });
    let row = Row {
        digest: world.digest(),
        world_digest: world.world_digest(),
        edits_asked,
        metrics,
        ..empty_row(case, status, reason)
    };
    let timing = Timing { wall_us: 0, events: world.counts().events };
    let timeline = world.take_timeline();
    Finished { result: TrialResult { row, histograms, timeline, timing }, renderings }
}

/// Runs trials on so many threads and returns their results in the order of the cases. `clock_us` is asked before and after each trial;
/// `done` is told of each one that ended, in the order of ending.
pub fn run_all(
    cases: &[Case<'_>],
    jobs: usize,
    clock_us: &(dyn Fn() -> u64 + Sync),
    done: &(dyn Fn(&TrialResult) + Sync),
) -> Vec<TrialResult> {
    in_parallel(cases.len(), jobs, |number| {
        let begun_us = clock_us();
        let mut result = run_caught(&cases[number]);
        result.timing.wall_us = clock_us() - begun_us;
        done(&result);
        result
    })
}

/// Does so many pieces of work on so many threads, and returns what each came to in the order of their numbers.
pub fn in_parallel<T: Send>(count: usize, jobs: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let results: Vec<Mutex<Option<T>>> = (0..count).map(|_| Mutex::new(None)).collect();
    std::thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, count.max(1)) {
            scope.spawn(|| {
                loop {
                    let mine = next.fetch_add(1, Ordering::Relaxed);
                    let Some(slot) = results.get(mine) else { break };
                    let result = work(mine);
                    *slot.lock().expect("no thread panics while it holds this") = Some(result);
                }
            });
        }
    });
    let finished = results.into_iter().map(|slot| {
        slot.into_inner().expect("no thread panicked").expect("every piece was taken by a thread")
    });
    finished.collect()
}

/// As [`run`], where a panic of the strategy is a failed trial and not the end of all others.
fn run_caught(case: &Case<'_>) -> TrialResult {
    let run = std::panic::AssertUnwindSafe(|| run(case, &mut []).result);
    let caught = std::panic::catch_unwind(run);
    caught.unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<String>().map(String::as_str);
        let said = said.or(panic.downcast_ref::<&str>().copied()).unwrap_or("without a word");
        let reason = format!("panicked: {said}");
        TrialResult {
            row: empty_row(case, Status::Failed, reason),
            histograms: Histograms::default(),
            timeline: Vec::new(),
            timing: Timing::default(),
        }
    })
}

/// The row of a trial without figures.
fn empty_row(case: &Case<'_>, status: Status, reason: String) -> Row {
    Row {
        scenario: case.scenario.name.clone(),
        cell: "0".into(),
        strategy: case.strategy.name().into(),
        schedule: schedule_text(case.scenario, &case.strategy.profile()),
        seed: case.seed,
        status,
        reason,
        digest: 0,
        world_digest: 0,
        edits_asked: 0,
        metrics: None,
    }
}

fn metrics(
    world: &World<'_>,
    accounts: &accounts::Accounts,
    histograms: &Histograms,
    unsettled: (u64, u64),
    renderings: &[Rendering],
    edits_asked: u64,
) -> Metrics {
    let ledger = world.ledger().expect("it listened from the start");
    let (counts, traffic) = (world.counts(), world.network().traffic());
    let bytes_user = ledger.bytes_user();
    let footprint = world.mean_footprint();
    let mut metrics = Metrics {
        edits_blocked: Some(accounts.blocked),
        edits_void: Some(accounts.void),
        edits_kept: Some(accounts.kept),
        edits_surfaced: Some(accounts.surfaced),
        edits_refused: Some(accounts.refused),
        edits_crashed: Some(accounts.crashed),
        edits_stranded: Some(accounts.stranded),
        edits_superseded: Some(accounts.superseded),
        edits_lost: Some(accounts.lost),
        deletes_resurrected: Some(accounts.deletes_resurrected),
        increments_lost: Some(accounts.increments_lost),
        increments_doubled: Some(accounts.increments_doubled),
        text_chars_lost: Some(accounts.text_chars_lost),
        text_chars_doubled: Some(accounts.text_chars_doubled),
        text_runs_interleaved: Some(accounts.text_runs_interleaved),
        conflicts: Some(ledger.conflicts()),
        prompts: Some(ledger.prompts()),
        prompt_open_s_p50: ledger.prompt_open_s_p50(),
        edits_reactive: Some(accounts.reactive),
        unsettled_permille: (unsettled.1 > 0).then(|| unsettled.0 * 1000 / unsettled.1),
        reconverge_censored: Some(ledger.censored()),
        diverged_permille: ledger.diverged_permille(),
        settle_us: Some(world.settle_time_ns() / 1000),
        local_over_100ms: Some(ledger.local_over_100ms()),
        bytes_wire: Some(traffic.wire),
        bytes_wire_up: Some(traffic.up),
        bytes_wire_down: Some(traffic.down),
        bytes_strategy: Some(counts.bytes_strategy),
        bytes_content: Some(counts.bytes_content),
        bytes_framing: Some(traffic.framing),
        bytes_encryption: Some(traffic.encryption),
        bytes_handshake: Some(traffic.handshake),
        bytes_ack: Some(traffic.ack),
        bytes_retransmitted: Some(traffic.retransmitted),
        elements_sent: Some(counts.elements),
        bytes_user: Some(bytes_user),
        bytes_wasted: Some(counts.bytes_wasted),
        overhead_milli: (bytes_user > 0).then(|| traffic.wire * 1000 / bytes_user),
        messages: Some(counts.messages),
        sessions: Some(counts.sessions),
        sessions_failed: Some(counts.sessions_failed),
        footprint_content_bytes: Some(footprint.content_bytes),
        footprint_metadata_bytes: Some(footprint.metadata_bytes),
        footprint_history_bytes: Some(footprint.history_bytes),
        footprint_peak_bytes: Some(counts.footprint_peak_bytes),
        battery_deaths: Some(counts.battery_deaths),
        kills: Some(counts.kills),
        power_losses: Some(counts.power_losses),
        ..Metrics::default()
    };
    metrics.spread(histograms);
    devices(world, &mut metrics, renderings, edits_asked);
    metrics
}

/// What devices used.
fn devices(world: &World<'_>, metrics: &mut Metrics, renderings: &[Rendering], edits_asked: u64) {
    let ledger = world.ledger().expect("it listened from the start");
    let mut work = (0, 0);
    let mut written = (0, 0, 0);
    let mut records = (0, 0, 0);
    let (mut radio, mut promotions, mut on_ns) = ([0_u64; 3], 0, 0);
    let (mut cpu_pj, mut storage_pj, mut baseline_pj) = (0, 0, 0_u128);
    let (mut lowest, mut dead_ns) = (None, 0);
    for (device, host) in world.hosts().iter().enumerate() {
        work.0 += host.work_units;
        work.1 += host.recovery_units;
        written.0 += host.written.own_bytes;
        written.1 += host.written.received_bytes;
        written.2 += host.written.snapshot_bytes;
        if host.has_user {
            let mut held: Vec<_> = renderings[device].iter().map(|(cell, _)| cell.record).collect();
            held.dedup();
            records.0 += held.len() as u64;
            records.1 += ledger.records_touched(device);
            records.2 += 1;
        }
        dead_ns += host.dead_ns;
        let Some(battery) = &host.battery else { continue };
        cpu_pj += host.cpu_pj;
        storage_pj += host.storage_pj;
        baseline_pj += battery.baseline_pj();
        let charge = battery.lowest_permille();
        lowest = Some(lowest.map_or(charge, |lowest: u64| lowest.min(charge)));
        if let Some(one) = world.network().radio(device) {
            let energy = one.energy();
            radio[0] += energy.promotion_pj;
            radio[1] += energy.transfer_pj;
            radio[2] += energy.tail_pj;
            promotions += one.promotions();
            on_ns += one.on_ns();
        }
    }
    let radio_pj: u64 = radio.iter().sum();
    let total_pj = radio_pj + cpu_pj + storage_pj;
    // Rounded before they are added, so that the columns add up.
    let mj = |pj: u64| pj / PJ_PER_MJ;
    let radio_mj = radio.map(mj);
    let energy_mj = [radio_mj.iter().sum(), mj(cpu_pj), mj(storage_pj)];
    metrics.storage_written_bytes = Some(written.0 + written.1 + written.2);
    metrics.storage_own_bytes = Some(written.0);
    metrics.storage_received_bytes = Some(written.1);
    metrics.storage_snapshot_bytes = Some(written.2);
    metrics.records_held = (records.2 > 0).then(|| records.0 / records.2);
    metrics.records_touched = (records.2 > 0).then(|| records.1 / records.2);
    metrics.work_units = Some(work.0);
    metrics.work_recovery_units = Some(work.1);
    metrics.energy_radio_mj = Some(energy_mj[0]);
    metrics.energy_cpu_mj = Some(energy_mj[1]);
    metrics.energy_storage_mj = Some(energy_mj[2]);
    metrics.energy_total_mj = Some(energy_mj.iter().sum());
    metrics.energy_baseline_mj = Some((baseline_pj / u128::from(PJ_PER_MJ)) as u64);
    metrics.energy_radio_promotion_mj = Some(radio_mj[0]);
    metrics.energy_radio_transfer_mj = Some(radio_mj[1]);
    metrics.energy_radio_tail_mj = Some(radio_mj[2]);
    metrics.energy_per_edit_uj =
        (edits_asked > 0).then(|| total_pj / (PJ_PER_MJ / 1000) / edits_asked);
    metrics.radio_on_ms = Some(on_ns / 1_000_000);
    metrics.radio_promotions = Some(promotions);
    metrics.battery_min_permille = lowest;
    metrics.dead_ms = Some(dead_ns / 1_000_000);
}
