//! What the world does: datagrams, links, batteries, schedules, prompts; and that every strategy gets through every built-in scenario.

mod common;

use common::*;
use reconverge_scenarios::{
    DurationLaw, Encryption, Loss, Scenario, ScheduleKind, Transport, TransportKind, builtin_names,
};
use reconverge_simulator::fact::{Fact, Phase, Stop};
use reconverge_simulator::network::Network;
use reconverge_simulator::plan::Stretches;
use reconverge_simulator::row::Status;
use reconverge_simulator::streams::Streams;
use reconverge_strategies::registry;
use std::collections::BTreeMap;

/// Over datagrams messages are lost, doubled and overtaken, and strategies converge nevertheless.
#[test]
fn datagrams_are_lost_doubled_and_overtaken() {
    let mut scenario = built_in("field-team", &["duration=2h", "group.surveyor.count=4"]);
    scenario.groups[0].schedule.kind = ScheduleKind::Immediate;
    scenario.workload.edits_per_hour = 120.0;
    scenario.groups[0].link.duplicate_ppm = 50_000;
    scenario.groups[0].link.loss = Loss::Independent { ppm: 30_000 };
    for name in ["lww/hlc", "version-vector/merge", "crdt/digest"] {
        // Messages under way, by direction: number and length. Lengths tell them apart well enough.
        let mut under_way: BTreeMap<(u32, u32), Vec<(u64, u64)>> = BTreeMap::new();
        let (mut sent, mut lost, mut overtaken, mut doubled) = (0_u64, 0, 0, 0);
        let mut gone: BTreeMap<(u32, u32), Vec<u64>> = BTreeMap::new();
        let finished = listen(&scenario, strategy(name), 1, |_, fact| match fact {
            Fact::Sent { from, to, bytes, arrives_ns } => {
                sent += 1;
                match arrives_ns {
                    Some(_) => {
                        under_way.entry((*from, *to)).or_default().push((sent, bytes.len() as u64));
                    }
                    None => lost += 1,
                }
            }
            Fact::Delivered { from, to, bytes } => {
                let messages = under_way.entry((*from, *to)).or_default();
                let arrived = gone.entry((*from, *to)).or_default();
                match messages.iter().position(|(_, length)| length == bytes) {
                    Some(at) => {
                        overtaken += u64::from(at > 0);
                        messages.remove(at);
                        arrived.push(*bytes);
                    }
                    None => {
                        assert!(arrived.contains(bytes), "{name}: what arrives was sent");
                        doubled += 1;
                    }
                }
            }
            Fact::Dropped { from, to, bytes } => {
                let messages = under_way.entry((*from, *to)).or_default();
                if let Some(at) = messages.iter().position(|(_, length)| length == bytes) {
                    messages.remove(at);
                }
            }
            _ => {}
        });
        figures(&finished.result.row);
        let share = lost as f64 / sent as f64;
        assert!(sent > 1_000 && (0.03..0.1).contains(&share), "{name}: {lost} of {sent}");
        assert!(doubled > 20, "{name}: {doubled} doubled");
        assert!(overtaken > 0, "{name}: none overtaken");
    }
}

/// Two datagrams to one device: the later one arrives first where its jitter is smaller.
#[test]
fn a_datagram_overtakes_another() {
    let mut link = built_in("office", &[]).groups[0].link.clone();
    link.jitter = DurationLaw::Uniform { from_ns: 0, until_ns: SECOND };
    link.loss = Loss::Independent { ppm: 0 };
    link.radio = None;
    let transport = Transport { kind: TransportKind::Datagram, encryption: Encryption::None };
    let links = [0, 1].map(|_| (link.clone(), Stretches::default(), false));
    let mut network = Network::new(Streams::new(0), transport, links.into_iter());
    let mut reaches_ns = |at_ns| network.send(at_ns, 0, 1, 10).reaches_ns.expect("nothing is lost");
    let arrivals: Vec<u64> = (0..100).map(|n| reaches_ns(n * 1_000_000)).collect();
    assert!(!arrivals.is_sorted(), "{arrivals:?}");
}

/// What is late for one device holds up nobody else at the link of the server.
#[test]
fn a_late_message_does_not_hold_up_the_server() {
    let scenario = built_in("small", &[]);
    let (phone, server) = (&scenario.groups[0].link, &scenario.groups[1].link);
    let mut unlucky = phone.clone();
    unlucky.loss =
        Loss::Bursts { good_ns: SECOND, bad_ns: SECOND, good_ppm: 0, bad_ppm: 1_000_000 };
    let spell = Stretches::new(vec![(0, 10 * SECOND)]);
    let mut lucky = phone.clone();
    lucky.loss = Loss::Independent { ppm: 0 };
    let links = [
        (unlucky, spell, false),
        (lucky, Stretches::default(), false),
        (server.clone(), Stretches::default(), true),
    ];
    let mut network = Network::new(Streams::new(0), scenario.transport, links.into_iter());
    let late = network.send(0, 0, 2, 100);
    let prompt = network.send(1, 1, 2, 100);
    let (late_ns, prompt_ns) = (late.reaches_ns.expect("late"), prompt.reaches_ns.expect("prompt"));
    assert!(late_ns > 10 * SECOND && prompt_ns < SECOND, "{late_ns} {prompt_ns}");
    assert!(network.receive(prompt_ns, 2, prompt.wire_bytes) < SECOND);
    assert!(network.receive(late_ns, 2, late.wire_bytes) > 10 * SECOND);
}

/// A battery that lasts minutes: the device dies, edits are blocked, a charger brings it back, and in the end everybody agrees.
#[test]
fn a_device_that_runs_empty_dies_and_comes_back() {
    let scenario = built_in(
        "small",
        &[
            "group.phone.device.battery.capacity=2kJ",
            "group.phone.device.battery.initial=0.3",
            "group.phone.kills=none",
        ],
    );
    for name in ["lww/hlc", "ot/central", "crdt/digest"] {
        let mut stopped: BTreeMap<u32, u64> = BTreeMap::new();
        let (mut deaths, mut dead_ns, mut working) = (0, 0, true);
        let finished = listen(&scenario, strategy(name), 0, |at_ns, fact| match fact {
            Fact::Stopped { device, why } => {
                assert_eq!(*why, Stop::Battery, "{name}: nobody is killed");
                stopped.insert(*device, at_ns);
                deaths += 1;
            }
            Fact::Restarted { device, .. } => {
                dead_ns += at_ns - stopped.remove(device).expect("it had stopped");
            }
            Fact::EditMade { id, .. } => assert_eq!(stopped.get(&id.origin.0), None, "{name}"),
            Fact::Phase(phase) => working &= *phase == Phase::Work,
            _ => {}
        });
        let metrics = figures(&finished.result.row);
        assert!(stopped.is_empty() && !working, "{name}: healing charges everybody");
        assert_eq!(metrics.battery_deaths, Some(deaths), "{name}");
        assert!(deaths >= 3 && metrics.edits_blocked > Some(20), "{name}: {metrics:?}");
        assert_eq!(metrics.battery_min_permille, Some(0), "{name}");
        // A restart takes a little longer than being dead does.
        let dead_ms = metrics.dead_ms.expect("phones have batteries");
        assert!(dead_ms > 600_000 && dead_ms < dead_ns / 1_000_000, "{name}: {dead_ms}");
    }
}

/// A phone that does nothing drains all the same, and the timeline shows it as it drains.
#[test]
fn the_timeline_shows_how_an_idle_battery_drains() {
    let scenario = built_in(
        "commuter",
        &[
            "duration=6h",
            "group.phone.count=1",
            "group.phone.kills=none",
            "group.phone.outages=[]",
            "group.phone.device.battery.capacity=1kJ",
            "group.phone.device.battery.initial=1",
            "group.phone.device.battery.charging=[]",
            "group.phone.device.battery.charging_jitter=0s",
        ],
    );
    let result = trial(&scenario, strategy("lww/hlc"), 0).result;
    assert_eq!(result.row.edits_asked, 0, "the user sleeps");
    let at = |hour: u64| {
        let row =
            result.timeline.iter().find(|row| row.at_s == hour * 3600 && row.device.is_none());
        row.and_then(|row| row.battery_permille).expect("a sample with a battery") as i64
    };
    // 27 mW are 97.2 J an hour; setting up the session costs some joules more before the first.
    assert!((880..=903).contains(&at(1)), "{}", at(1));
    for hour in 2..6 {
        let drained = at(1) - at(hour);
        assert!((drained - 972 * (hour as i64 - 1) / 10).abs() <= 1, "hour {hour}: {drained}");
    }
}

/// How long after an edit, made while nothing was pending, the phone speaks: each distinct time in seconds.
fn waits_s(battery: &[&str]) -> Vec<u64> {
    let mut overrides = vec!["duration=3h", "group.phone.count=1", "group.phone.outages=[]"];
    overrides.extend(["group.phone.kills=none", "group.phone.user.awake=[\"0h\", \"3h\"]"]);
    overrides.extend(battery);
    let mut scenario = built_in("small", &overrides);
    scenario.groups[0].schedule.kind = ScheduleKind::BatteryAware;
    let (mut edited_ns, mut waits, mut hellos) = (None, Vec::new(), 0);
    let finished = listen(&scenario, strategy("lww/hlc"), 0, |at_ns, fact| match fact {
        Fact::EditDone { id, .. } if id.origin.0 == 0 => {
            edited_ns.get_or_insert(at_ns);
        }
        Fact::Synced { device: 0, .. } => match edited_ns.take() {
            Some(edited_ns) => waits.push((at_ns - edited_ns + SECOND / 2) / SECOND),
            None => hellos += 1,
        },
        Fact::Phase(Phase::Heal) => edited_ns = None,
        _ => {}
    });
    figures(&finished.result.row);
    assert!(hellos > 0, "the one who dials says hello");
    waits.sort_unstable();
    waits.dedup();
    waits
}

#[test]
fn a_battery_aware_schedule_follows_the_battery() {
    let full = "group.phone.device.battery.initial=1";
    let idle = "group.phone.device.battery.charging=[]";
    let still = "group.phone.device.battery.charging_jitter=0s";
    assert_eq!(waits_s(&[full, idle, still]), [30], "on battery: batched");
    let low = "group.phone.device.battery.initial=0.14";
    let large = "group.phone.device.battery.capacity=1000Wh";
    assert_eq!(waits_s(&[low, large, idle, still]), [900], "saving: every quarter of an hour");
    let always = "group.phone.device.battery.charging=[[\"0h\", \"24h\"]]";
    assert_eq!(waits_s(&[low, large, always, still]), [0], "charging: at once");
    // 2 % above the threshold, and a screen that takes that within the hour.
    let nearly = "group.phone.device.battery.initial=0.17";
    assert_eq!(waits_s(&[nearly, idle, still]), [30, 900], "first batched, then saving");
}

#[test]
fn users_answer_prompts() {
    let mut scenario = built_in(
        "office",
        &["duration=2h", "data.records=3", "group.laptop.schedule={ kind = \"batched\" }"],
    );
    scenario.workload.edits_per_hour = 120.0;
    for name in ["crdt/digest", "version-vector/client-ids"] {
        let (mut prompted, mut answered, mut resolved, mut reactive) = (0, 0, 0, 0);
        let finished = listen(&scenario, strategy(name), 0, |_, fact| match fact {
            Fact::Prompted { alternatives, .. } => {
                assert!(*alternatives > 1, "{name}");
                prompted += 1;
            }
            Fact::Answered { resolves, .. } => {
                answered += 1;
                resolved += u64::from(*resolves);
            }
            Fact::EditMade { number: None, prompted, .. } => {
                assert!(prompted.len() > 1, "{name}: an answer is to what was shown");
                reactive += 1;
            }
            _ => {}
        });
        let metrics = figures(&finished.result.row);
        assert_eq!(metrics.prompts, Some(prompted), "{name}");
        assert_eq!(metrics.edits_reactive, Some(reactive), "{name}");
        assert_eq!(resolved, reactive, "{name}: each answer that finds a conflict is an edit");
        assert!(prompted > 10 && reactive > 5 && answered <= prompted, "{name}: {metrics:?}");
        let open_s = metrics.prompt_open_s_p50.expect("prompts were answered");
        assert!((5..120).contains(&open_s), "{name}: people think {open_s} s");
    }
}

#[test]
fn what_a_strategy_cannot_do_is_a_row_with_its_reason() {
    let scenario = built_in("field-team", &["duration=1h"]);
    let row = trial(&scenario, strategy("ot/central"), 0).result.row;
    assert_eq!(row.status, Status::Unsupported);
    assert!(row.reason.starts_with("mesh: ") && row.reason.len() > 10, "{}", row.reason);
    assert_eq!((row.digest, row.metrics.is_none()), (0, true));
    assert!(row.edits_asked > 0, "what was asked of it is known");
}

/// At most two hours of a built-in scenario with everybody awake, or 25 edits of each where they come by a rhythm, at most fifteen devices of a
/// kind, and nothing else changed.
fn short(name: &str) -> Scenario {
    let mut scenario = built_in(name, &[]);
    scenario.duration_ns = scenario.duration_ns.min(2 * HOUR);
    for group in &mut scenario.groups {
        group.count = group.count.min(15);
    }
    if let Some(rhythm) = &mut scenario.workload.rhythm {
        rhythm.count = rhythm.count.min(25);
    }
    for user in scenario.groups.iter_mut().filter_map(|group| group.user.as_mut()) {
        (user.awake.from_ns, user.awake.until_ns) = (0, 2 * HOUR);
        // Where people come twice a day for months, two hours would see hardly any of them.
        if name == "sabbatical" {
            user.gap = DurationLaw::Exponential { mean_ns: 10 * MINUTE };
        }
    }
    scenario.workload.edits_per_hour = scenario.workload.edits_per_hour.max(20.0);
    scenario
}

#[test]
fn every_strategy_gets_through_every_built_in_scenario() {
    for name in builtin_names() {
        let scenario = short(name);
        let mut supported = 0;
        for strategy in registry() {
            let row = trial(&scenario, *strategy, 0).result.row;
            let what = format!("{} in {name}: {}", row.strategy, row.reason);
            match row.status {
                Status::Ok => {
                    supported += 1;
                    assert!(row.edits_asked > 50, "{what}: {} edits", row.edits_asked);
                    let metrics = row.metrics.expect("it ended well");
                    // What is open between rivals has not vanished either.
                    let shown = metrics.edits_kept.zip(metrics.edits_surfaced);
                    let shown = shown.map(|(kept, surfaced)| kept + surfaced);
                    assert!(shown > Some(20) && metrics.bytes_wire > Some(0), "{what}: {shown:?}");
                }
                Status::Unsupported => assert!(!row.reason.is_empty()),
                Status::Diverged | Status::Failed => panic!("{what}"),
            }
        }
        assert!(supported >= 4, "{name}: {supported}");
    }
}

/// Rumors alone leave something out, and a trial tells how much instead of that replicas differ; with anti-entropy nothing is left out.
#[test]
fn a_probabilistic_strategy_ends_well_and_tells_its_residue() {
    let scenario = built_in("rumors", &["duration=30min", "group.node.user.awake.1=15min"]);
    let mut residues = Vec::new();
    for seed in 0..3 {
        let row = trial(&scenario, strategy("gossip/rumor-only"), seed).result.row;
        assert_eq!((row.status, &*row.reason), (Status::Ok, ""), "seed {seed}");
        let residue = figures(&row).residue_ppm.expect("some edits are held");
        assert!(residue < 50_000, "seed {seed}: rumors reach nearly everybody: {residue}");
        residues.push(residue);
        let row = trial(&scenario, strategy("gossip/rumor"), seed).result.row;
        assert_eq!((row.status, figures(&row).residue_ppm), (Status::Ok, None), "seed {seed}");
    }
    assert!(residues.iter().any(|residue| *residue > 0), "{residues:?}");
}
