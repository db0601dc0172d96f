//! What is printed is read as the same scenario: the built-in ones, and random ones in which no value is a default.

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use reconverge_scenarios::{
    Battery, Budget, ClockError, Cpu, Crashes, Data, Device, Durability, DurationLaw, Encryption,
    Field, FieldKind, Group, Link, Loss, Mix, Outage, OutageModel, Override, Radio, Rhythm,
    Scenario, Schedule, ScheduleKind, Storage, Topology, Transport, TransportKind, User, Window,
    Workload, builtin, builtin_names, devices, networks, outages, parse, schedules, to_toml,
    topologies,
};

const SECOND: u64 = 1_000_000_000;
const HOUR: u64 = 3600 * SECOND;
const DAY: u64 = 24 * HOUR;

fn assert_round_trip(scenario: &Scenario, context: &str) {
    let printed = to_toml(scenario);
    match parse(&printed, "printed", &[]) {
        Ok(again) => {
            assert_eq!(&again, scenario, "{context}\n{printed}");
            assert_eq!(to_toml(&again), printed, "{context}");
        }
        Err(error) => panic!("{context}: {error}\n{printed}"),
    }
}

#[test]
fn audit_mode_is_for_small_trials() {
    let text = builtin("small").expect("built in");
    let set = |path: &str, value: &str| Override { path: path.into(), value: value.into() };
    let audit = set("workload.audit", "true");
    let refused = parse(text, "small", std::slice::from_ref(&audit)).expect_err("records are long");
    assert_eq!(refused.path, "workload.audit");
    assert!(refused.expected.contains("60 B"), "{}", refused.expected);
    let small = parse(text, "small", &[audit, set("data.record_size", "60B")]).expect("small");
    assert!(small.workload.audit);
    assert_round_trip(&small, "audit");
    // A rhythm decides how many edits there are: three phones make 3,000, but not 3,003.
    let with = |count: u32| {
        let rhythm = set("workload.rhythm", &format!("{{ every = \"1s\", count = {count} }}"));
        let audit = set("workload.audit", "true");
        parse(text, "small", &[audit, set("data.record_size", "60B"), rhythm])
    };
    assert!(with(1000).is_ok());
    assert_eq!(with(1001).expect_err("too many").path, "workload.audit");
}

#[test]
fn built_in_scenarios_are_right_and_come_back() {
    assert_eq!(builtin_names().next(), Some("commuter"), "the default is the first");
    for name in builtin_names() {
        let text = builtin(name).expect("listed");
        let scenario = match parse(text, name, &[]) {
            Ok(scenario) => scenario,
            Err(error) => panic!("{error}"),
        };
        assert_eq!(scenario.name, name);
        assert!(
            text.starts_with("analysis = \"\"\"\n") && text.contains("\n# "),
            "{name} explains itself"
        );
        assert!(scenario.analysis.len() > 100, "{name}");
        assert_round_trip(&scenario, name);
    }
    let error = builtin("comuter").expect_err("no such scenario");
    assert_eq!(error.suggestion.as_deref(), Some("commuter"));
}

#[test]
fn the_default_scenario_is_the_one_that_was_agreed() {
    let scenario = parse(builtin("commuter").expect("listed"), "commuter", &[]).expect("right");
    let groups: Vec<(&str, u32)> =
        scenario.groups.iter().map(|group| (group.name.as_str(), group.count)).collect();
    assert_eq!(groups, [("phone", 12), ("server", 1)]);
    assert_eq!((scenario.duration_ns, scenario.settle_ns, scenario.seeds), (DAY, 2 * HOUR, 10));
    assert_eq!(
        scenario.strategies,
        [
            "lww/wall",
            "lww/hlc",
            "version-vector/client-ids",
            "version-vector/merge",
            "ot/central",
            "crdt/digest",
            "online-only",
            "full-copy"
        ]
    );
    let phone = &scenario.groups[0];
    let user = phone.user.as_ref().expect("phones have users");
    assert_eq!((user.awake.from_ns, user.awake.until_ns), (7 * HOUR, 23 * HOUR));
    assert_eq!(scenario.groups[1].user, None, "nobody sits at the server");
    let battery = phone.device.battery.as_ref().expect("phones have batteries");
    assert_eq!((battery.initial_permille, battery.charging_jitter_ns), (600, HOUR / 2));
    assert_eq!(battery.charging, [Window { from_ns: 23 * HOUR, until_ns: 30 * HOUR + HOUR / 2 }]);
    assert_eq!(phone.kills, Some(Crashes { mean_ns: 8 * HOUR, restart_ns: 2 * SECOND }));
    assert_eq!(phone.schedule.kind, ScheduleKind::Batched);
    assert_eq!(phone.schedule.age_ns, 30 * SECOND);
    assert_eq!(scenario.topology, Topology::Star { hub: "server".to_owned() });
    assert_eq!((scenario.data.records, scenario.data.record_bytes), (200, 200));
    let fields: Vec<&str> = scenario.data.fields.iter().map(|field| field.name.as_str()).collect();
    assert_eq!(fields, ["title", "done", "votes", "tags", "notes"], "in the order of the file");
}

/// The graphs of Enes et al. (ICDE 2019), as far as they can be told without their list: nodes, edges, neighbours of each.
#[test]
fn icde19_has_the_graphs_of_the_paper() {
    for (name, count, degrees) in [
        ("icde19", 30, [4; 15]),
        ("icde19-tree", 14, [3, 2, 1, 1, 1, 3, 3, 1, 3, 1, 3, 1, 1, 3, 1]),
    ] {
        let scenario = parse(builtin(name).expect("listed"), name, &[]).expect("right");
        let Topology::Edges { edges } = &scenario.topology else { panic!("{name} has no edges") };
        assert_eq!(edges.len(), count, "{name}");
        let degree = |node: u32| edges.iter().flatten().filter(|end| **end == node).count();
        assert_eq!((0..15).map(degree).collect::<Vec<_>>(), degrees, "{name}");
        let [nodes] = scenario.groups.as_slice() else { panic!("{name} has other devices") };
        assert_eq!(nodes.count, 15, "{name}");
        assert_eq!(
            (nodes.schedule.kind, nodes.schedule.interval_ns),
            (ScheduleKind::Rounds, SECOND)
        );
        let rhythm = Rhythm { every_ns: SECOND, count: 100 };
        assert_eq!(scenario.workload.rhythm, Some(rhythm), "{name}");
    }
    let without_edges = |name: &str| {
        let text = builtin(name).expect("listed").split_once("\nname = ").expect("a name").1;
        let text = text.replacen(name, "", 1);
        let (head, rest) = text.split_once("kind = \"edges\"").expect("edges");
        (head.to_owned(), rest.split_once("\n]\n").expect("the list ends").1.to_owned())
    };
    assert_eq!(
        without_edges("icde19"),
        without_edges("icde19-tree"),
        "they differ in the edges alone"
    );
}

#[test]
fn every_built_in_name_can_be_used_and_comes_back() {
    let text = |device: &str, link: &str, outage: &str, schedule: &str, topology: &str| {
        format!(
            "name = \"x\"\nduration = \"1h\"\ndata = {{ fields = {{ a = \"set\" }} }}\n\
             topology = {{ kind = \"{topology}\", hub = \"h\", edges = [[1, 0], [2, 0]] }}\n\
             [[group]]\nname = \"h\"\ndevice = \"server\"\nlink = \"lte\"\n\
             [[group]]\nname = \"a\"\ncount = 2\ndevice = \"{device}\"\nlink = \"{link}\"\noutages = [\"{outage}\"]\n\
             schedule = \"{schedule}\"\nuser = {{}}\n"
        )
    };
    let check_in = |device: &str, link: &str, outage: &str, schedule: &str, topology: &str| {
        let context = format!("{device} {link} {outage} {schedule} {topology}");
        match parse(&text(device, link, outage, schedule, topology), "t", &[]) {
            Ok(scenario) => {
                assert_eq!(scenario.topology.name(), topology);
                assert_round_trip(&scenario, &context);
            }
            Err(error) => panic!("{context}: {error}"),
        }
    };
    let check = |device: &str, link: &str, outage: &str, schedule: &str| {
        check_in(device, link, outage, schedule, "mesh");
    };
    topologies().for_each(|of| check_in("laptop", "lte", "tunnels", "batched", &of.name));
    devices().for_each(|of| check(&of.name, "lte", "tunnels", "batched"));
    networks().for_each(|of| check("laptop", &of.name, "tunnels", "batched"));
    outages().for_each(|of| check("laptop", "lte", &of.name, "batched"));
    schedules().for_each(|of| check("laptop", "lte", "tunnels", &of.name));
}

#[test]
fn random_scenarios_come_back() {
    for seed in 0..300 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        assert_round_trip(&random_scenario(&mut rng), &format!("seed {seed}"));
    }
}

/// A duration of any magnitude.
fn duration(rng: &mut ChaCha8Rng, least: u64) -> u64 {
    let unit = [1, 1_000, 1_000_000, SECOND, 60 * SECOND, HOUR][rng.random_range(0..6)];
    least + rng.random_range(0..1_000) * unit
}

fn law(rng: &mut ChaCha8Rng, least: u64) -> DurationLaw {
    let ns = duration(rng, least.max(1));
    let factor = f64::from(rng.random_range(100..=5_000_u32)) / 1000.0;
    match rng.random_range(0..5) {
        0 => DurationLaw::Fixed { ns: if least == 0 { ns - 1 } else { ns } },
        1 => DurationLaw::Uniform { from_ns: ns, until_ns: ns.max(duration(rng, least)) },
        2 => DurationLaw::Exponential { mean_ns: ns },
        3 => DurationLaw::Lognormal { median_ns: ns, sigma: factor },
        _ => DurationLaw::Weibull { mean_ns: ns, shape: factor * 1.1 },
    }
}

/// Windows in order and apart; the last may reach into the next day.
fn windows(rng: &mut ChaCha8Rng, least: usize) -> Vec<Window> {
    let count = rng.random_range(least..=3);
    let mut ends: Vec<u64> = (0..2 * count).map(|_| rng.random_range(0..DAY)).collect();
    ends.sort_unstable();
    ends.dedup();
    if ends.len() < 2 * count {
        return vec![Window { from_ns: 0, until_ns: DAY }];
    }
    if count > 0 && rng.random_bool(0.3) {
        let first = ends.remove(0);
        ends.push(first + DAY);
    }
    ends.chunks(2).map(|pair| Window { from_ns: pair[0], until_ns: pair[1] }).collect()
}

/// A spread that fits between the ends of these windows.
fn jitter(rng: &mut ChaCha8Rng, windows: &[Window]) -> u64 {
    let Some(first) = windows.first() else { return duration(rng, 0) };
    let mut ends: Vec<u64> = windows.iter().flat_map(|w| [w.from_ns, w.until_ns]).collect();
    ends.push(first.from_ns + DAY);
    let shortest = ends.windows(2).map(|pair| pair[1] - pair[0]).min().expect("there are two ends");
    rng.random_range(0..=shortest / 2)
}

fn name(rng: &mut ChaCha8Rng, index: usize) -> String {
    let letters: Vec<char> = "abcxyzABC019-_".chars().collect();
    let random: String =
        (0..rng.random_range(0..8)).map(|_| letters[rng.random_range(0..letters.len())]).collect();
    format!("{random}{index}")
}

fn text(rng: &mut ChaCha8Rng) -> String {
    let parts = [
        "a b",
        "\n",
        "\"",
        "'''",
        "\"\"\"",
        "\\",
        "\t",
        "é",
        "\u{1}",
        "#",
        "\r\n",
        "=",
        "\u{1f600}",
        " ",
    ];
    (0..rng.random_range(0..9)).map(|_| parts[rng.random_range(0..parts.len())]).collect()
}

fn power(rng: &mut ChaCha8Rng) -> u64 {
    let digits = rng.random_range(1..=9);
    rng.random_range(0..10_u64.pow(digits))
}

fn device(rng: &mut ChaCha8Rng) -> Device {
    let charging = windows(rng, 0);
    let battery = Battery {
        capacity_mj: rng.random_range(1_000..1_000_000_000),
        initial_permille: rng.random_range(0..=1000),
        idle_mw: power(rng),
        screen_mw: power(rng),
        charge_mw: power(rng),
        charging_jitter_ns: jitter(rng, &charging),
        charging,
        saver_permille: rng.random_range(0..=1000),
        revive_permille: rng.random_range(1..=1000),
    };
    let profiles: Vec<&str> = devices().map(|of| of.name.as_str()).collect();
    Device {
        profile: profiles[rng.random_range(0..profiles.len())].to_owned(),
        battery: rng.random_bool(0.8).then_some(battery),
        cpu: Cpu { unit_ns: rng.random_range(0..=SECOND), active_mw: power(rng) },
        storage: Storage {
            sync_ns: duration(rng, 0),
            write_bytes_per_s: rng.random_range(1..1_000_000_000),
            active_mw: power(rng),
            durability: match rng.random_range(0..3) {
                0 => Durability::Edit,
                1 => Durability::Output { interval_ns: duration(rng, 1_000_000) },
                _ => Durability::Unsafe { interval_ns: duration(rng, 1_000_000) },
            },
        },
    }
}

fn link(rng: &mut ChaCha8Rng) -> Link {
    let radio = Radio {
        promotion_ns: duration(rng, 0),
        promotion_mw: power(rng),
        tail_ns: duration(rng, 0),
        tail_mw: power(rng),
        active_mw: power(rng),
        up_uw_per_mbps: power(rng),
        down_uw_per_mbps: power(rng),
        paging_ns: duration(rng, 0),
    };
    let ppm = |rng: &mut ChaCha8Rng| rng.random_range(0..=1_000_000_u32);
    let profiles: Vec<&str> = networks().map(|of| of.name.as_str()).collect();
    Link {
        profile: profiles[rng.random_range(0..profiles.len())].to_owned(),
        up_bps: rng.random_range(1..=1_000_000_000_000),
        down_bps: 10_u64.pow(rng.random_range(0..=12)),
        delay_ns: duration(rng, 0),
        jitter: law(rng, 0),
        loss: if rng.random_bool(0.5) {
            Loss::Independent { ppm: ppm(rng) }
        } else {
            Loss::Bursts {
                good_ns: duration(rng, 1_000_000),
                bad_ns: duration(rng, 1_000_000),
                good_ppm: ppm(rng),
                bad_ppm: ppm(rng),
            }
        },
        duplicate_ppm: ppm(rng),
        mtu_bytes: rng.random_range(576..=65_535),
        radio: rng.random_bool(0.7).then_some(radio),
    }
}

fn outage(rng: &mut ChaCha8Rng) -> Outage {
    let mut profiles = vec![""];
    profiles.extend(outages().map(|of| of.name.as_str()));
    let profile = profiles[rng.random_range(0..profiles.len())].to_owned();
    let model = if rng.random_bool(0.5) {
        let windows = windows(rng, 1);
        let jitter_ns = jitter(rng, &windows);
        OutageModel::Windows { windows, jitter_ns }
    } else {
        OutageModel::Renewal {
            up: law(rng, SECOND),
            down: law(rng, SECOND),
            within: windows(rng, 0),
        }
    };
    Outage { profile, model }
}

fn group(rng: &mut ChaCha8Rng, index: usize) -> Group {
    let kinds = [
        ScheduleKind::Immediate,
        ScheduleKind::Periodic,
        ScheduleKind::Rounds,
        ScheduleKind::RandomPeer,
        ScheduleKind::Batched,
        ScheduleKind::BatteryAware,
    ];
    let user = User {
        awake: windows(rng, 1)[0],
        session: law(rng, SECOND),
        gap: law(rng, SECOND),
        think: law(rng, 0),
    };
    Group {
        name: name(rng, index),
        count: if index == 0 { 1 } else { rng.random_range(1..=2_000) },
        device: device(rng),
        link: link(rng),
        outages: (0..rng.random_range(0..3)).map(|_| outage(rng)).collect(),
        schedule: Schedule {
            kind: kinds[rng.random_range(0..kinds.len())],
            age_ns: duration(rng, 0),
            interval_ns: duration(rng, 100_000_000),
        },
        clock: ClockError { offset: law(rng, 0), drift_ppm: rng.random_range(0..=20_000) },
        user: (index == 1 || rng.random_bool(0.5)).then_some(user),
        kills: crashes(rng),
        power_losses: crashes(rng),
        partitions_held: None,
    }
}

fn crashes(rng: &mut ChaCha8Rng) -> Option<Crashes> {
    rng.random_bool(0.5)
        .then_some(Crashes { mean_ns: duration(rng, SECOND), restart_ns: duration(rng, 0) })
}

fn topology(rng: &mut ChaCha8Rng, groups: &[Group]) -> Topology {
    let devices: u32 = groups.iter().map(|group| group.count).sum();
    match rng.random_range(0..5) {
        0 => Topology::Star { hub: groups[0].name.clone() },
        1 => Topology::Mesh,
        2 => Topology::Tree { branching: rng.random_range(1..=10_000) },
        3 => Topology::Ring,
        _ => {
            // Every device with an earlier one, in any order and direction; and a few more edges.
            let mut edges: Vec<[u32; 2]> =
                (1..devices).map(|device| [device, rng.random_range(0..device)]).collect();
            for _ in 0..rng.random_range(0..3) {
                let edge = [rng.random_range(0..devices), rng.random_range(0..devices)];
                let [a, b] = edge;
                if a != b && !edges.contains(&[a, b]) && !edges.contains(&[b, a]) {
                    edges.push(edge);
                }
            }
            for index in (1..edges.len()).rev() {
                edges.swap(index, rng.random_range(0..=index));
                if rng.random_bool(0.5) {
                    edges[index].reverse();
                }
            }
            Topology::Edges { edges }
        }
    }
}

/// A rhythm that fits into the duration.
fn rhythm(rng: &mut ChaCha8Rng, duration_ns: u64) -> Rhythm {
    let every_ns = rng.random_range(1_000_000..=duration_ns / 2);
    let most = (duration_ns / every_ns - 1).min(1_000_000) as u32;
    Rhythm { every_ns, count: rng.random_range(1..=most) }
}

fn random_scenario(rng: &mut ChaCha8Rng) -> Scenario {
    let mut groups: Vec<Group> =
        (0..rng.random_range(2..5)).map(|index| group(rng, index)).collect();
    let records = rng.random_range(1..=1_000_000);
    let partitions = rng.random_range(1..=records.min(1000));
    // Each holds all, with or without saying so: so the holders are connected, whatever the topology.
    for group in &mut groups {
        group.partitions_held = rng.random_bool(0.5).then_some(partitions);
    }
    let kinds = [FieldKind::Register, FieldKind::Counter, FieldKind::Set, FieldKind::Text];
    let topology = topology(rng, &groups);
    let duration_ns = duration(rng, SECOND);
    Scenario {
        analysis: text(rng),
        name: name(rng, 0),
        duration_ns,
        settle_ns: duration(rng, SECOND),
        timeline_step_ns: duration(rng, SECOND),
        seeds: rng.random_range(1..=1_000_000),
        strategies: (0..rng.random_range(1..4)).map(|n| format!("s{n}/*{}'\"", n)).collect(),
        groups,
        topology,
        data: Data {
            records,
            partitions,
            retention_ns: duration(rng, SECOND),
            record_bytes: rng.random_range(0..=1_000_000),
            fields: (0..rng.random_range(1..6))
                .map(|index| Field {
                    name: name(rng, index),
                    kind: kinds[rng.random_range(0..4)],
                    critical: rng.random_bool(0.3),
                })
                .collect(),
        },
        workload: Workload {
            edits_per_hour: 0.001 + f64::from(rng.next_u32()) / 7e3,
            rhythm: rng.random_bool(0.5).then(|| rhythm(rng, duration_ns)),
            zipf: f64::from(rng.next_u32()) / f64::from(u32::MAX) * 10.0,
            mix: Mix {
                put: rng.random_range(0..=100),
                add: rng.random_range(0..=100),
                insert: rng.random_range(0..=100),
                remove: rng.random_range(0..=100),
                splice: rng.random_range(0..=100),
                delete: rng.random_range(1..=100),
            },
            value_bytes: rng.random_range(8..=1_000_000),
            splice_words: rng.random_range(1..=10_000),
            audit: false,
        },
        transport: Transport {
            kind: [TransportKind::Session, TransportKind::Datagram][rng.random_range(0..2)],
            encryption: [Encryption::None, Encryption::Tls13][rng.random_range(0..2)],
        },
        budgets: (0..rng.random_range(0..3))
            .map(|index| {
                let min = rng.random_range(0..=i64::MAX as u64);
                let max = rng.random_range(min..=i64::MAX as u64);
                Budget {
                    strategy: format!("s{index}/*"),
                    metric: name(rng, index),
                    max: (index != 1).then_some(max),
                    min: (index != 0).then_some(min),
                }
            })
            .collect(),
    }
}
