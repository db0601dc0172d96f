//! Every strategy through rough worlds in every network: it converges, and what it shows is what it reports, or it says why it cannot.

mod common;

use common::*;
use reconverge_scenarios::{Crashes, Durability, Scenario};
use reconverge_simulator::row::{Row, Status};
use reconverge_simulator::trial::unsupported;
use reconverge_strategies::registry;
use std::collections::BTreeSet;

/// `small` in each topology, over sessions and over datagrams.
fn networks(overrides: &[&str]) -> Vec<(String, Scenario)> {
    let network = |topology: &str, transport: &str| {
        let topology_kind = format!("topology.kind={topology}");
        let topologies = if topology == "star" { &[][..] } else { &[topology_kind.as_str()] };
        let transports =
            if transport == "datagram" { &["transport.kind=datagram"][..] } else { &[] };
        let all = [topologies, transports, overrides].concat();
        (format!("{topology} {transport}"), built_in("small", &all))
    };
    let topologies = ["star", "mesh", "tree", "ring"];
    let both = |topology| ["session", "datagram"].map(|transport| network(topology, transport));
    topologies.into_iter().flat_map(both).collect()
}

/// Power fails everywhere about every ten minutes and takes the last minute with it, told to others or not: whoever comes back may know less than
/// others know of it.
fn forgetful() -> Vec<(String, Scenario)> {
    let mut networks = networks(&[]);
    for group in networks.iter_mut().flat_map(|(_, scenario)| &mut scenario.groups) {
        group.power_losses = Some(Crashes { mean_ns: 10 * MINUTE, restart_ns: 20 * SECOND });
        group.device.storage.durability = Durability::Unsafe { interval_ns: MINUTE };
    }
    networks
}

/// Two minutes of silence are an absence, and outages last three: everybody takes everybody to be gone, at the same time or while they speak.
fn impatient() -> Vec<(String, Scenario)> {
    let retention = "data.retention=2min";
    let calm = networks(&[retention, "group.phone.kills=none"]).into_iter().take(4);
    let calm = calm.map(|(network, scenario)| (format!("{network} without kills"), scenario));
    networks(&[retention]).into_iter().chain(calm).collect()
}

/// What once failed: the beginning of strategies' names, a network, seeds.
const LOST_MEMORY: &[(&str, &str, &[u64])] = &[
    ("lww/", "star session", &[2, 3, 4, 15, 22, 23, 39]),
    ("lww/", "star datagram", &[2, 3, 4, 15, 22, 23, 39]),
    ("lww/", "mesh session", &[2, 3, 4, 15, 22, 23, 39]),
    ("lww/", "tree session", &[2, 3, 4, 15, 22, 23, 39]),
    ("lww/", "ring session", &[2, 3, 4, 15, 22, 23, 39]),
    ("version-vector/", "star session", &[11, 13, 23, 38]),
    ("version-vector/", "star datagram", &[13]),
    ("version-vector/", "mesh session", &[27, 29]),
    ("version-vector/", "mesh datagram", &[17, 29]),
    ("version-vector/", "tree session", &[13, 31]),
    ("version-vector/", "tree datagram", &[31]),
    ("version-vector/", "ring session", &[13, 16]),
    ("version-vector/", "ring datagram", &[17]),
    ("version-vector/merge", "ring datagram", &[20]),
    ("version-vector/merge", "mesh session", &[105]),
    ("version-vector/merge", "star datagram", &[138]),
    ("version-vector/merge", "tree session", &[120]),
    ("revision-tree", "star session", &[29, 38, 41, 44]),
    ("revision-tree", "star datagram", &[35, 38, 41, 47]),
    ("revision-tree", "tree session", &[7, 47]),
    ("revision-tree", "tree datagram", &[39]),
    ("revision-tree", "ring session", &[2]),
];

/// The same.
const SHORT_RETENTION: &[(&str, &str, &[u64])] = &[
    ("version-vector/merge", "star session", &[2, 10, 12, 16, 33, 36, 146, 155]),
    ("version-vector/merge", "star datagram", &[7, 12, 16, 18, 69, 146]),
    ("version-vector/merge", "mesh session", &[2, 12, 16, 21, 24, 33]),
    ("version-vector/merge", "mesh datagram", &[2, 7, 10, 12]),
    ("version-vector/merge", "tree session", &[2, 3, 6, 9, 12, 30, 73, 136, 150, 156]),
    ("version-vector/merge", "tree datagram", &[2, 3, 6, 12, 16, 31, 41, 66, 105, 156]),
    ("version-vector/merge", "ring session", &[7, 11, 12, 16, 34, 41, 64]),
    ("version-vector/merge", "ring datagram", &[3, 7, 11, 12]),
    ("revision-tree", "star datagram", &[17]),
    ("revision-tree", "tree datagram", &[73, 137]),
    ("revision-tree", "ring session", &[8]),
    ("revision-tree", "ring datagram", &[11, 22]),
    ("crdt/delta", "star session", &[10]),
    ("crdt/delta", "star datagram", &[12]),
    ("crdt/delta", "tree session", &[8, 36]),
    ("crdt/delta", "tree datagram", &[21, 24, 34]),
    ("crdt/delta", "ring datagram", &[9, 39]),
    ("crdt/op", "star datagram", &[21, 23, 30]),
    ("event-graph", "mesh datagram", &[11]),
    ("event-graph", "tree datagram", &[28]),
];

/// Lets every strategy through every world with the first seeds, and those through that once failed.
fn get_through(worlds: &[(String, Scenario)], once_failed: &[(&str, &str, &[u64])]) {
    let mut failures = Vec::new();
    for (network, scenario) in worlds {
        for strategy in registry() {
            let expected = match unsupported(scenario, &strategy.profile()) {
                Some(_) => Status::Unsupported,
                None => Status::Ok,
            };
            let of = |(name, in_network, _): &&(&str, &str, &[u64])| {
                strategy.name().starts_with(name) && in_network == network
            };
            let failed = once_failed.iter().filter(of).flat_map(|(_, _, seeds)| *seeds);
            let seeds: BTreeSet<u64> = (0..3).chain(failed.copied()).collect();
            for seed in seeds {
                let Row { strategy, status, reason, .. } =
                    trial(scenario, *strategy, seed).result.row;
                if status != expected {
                    failures.push(format!("{strategy}, {network}, {seed}: {status:?} {reason}"));
                }
            }
        }
    }
    for (name, network, _) in once_failed {
        assert!(registry().iter().any(|one| one.name().starts_with(name)), "no strategy {name}");
        assert!(worlds.iter().any(|(of, _)| of == network), "no network {network}");
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn outages_and_kills() {
    get_through(&networks(&[]), &[]);
}

#[test]
fn lost_memory() {
    let worlds = forgetful();
    for (network, scenario) in &worlds {
        for strategy in registry().iter().filter(|one| one.name().starts_with("lww/")) {
            if unsupported(scenario, &strategy.profile()).is_some() {
                assert_eq!(strategy.name(), "lww/server-order", "{network}");
                assert!(!network.starts_with("star"), "{network}");
            }
        }
    }
    get_through(&worlds, LOST_MEMORY);
}

#[test]
fn a_retention_of_two_minutes() {
    get_through(&impatient(), SHORT_RETENTION);
}
