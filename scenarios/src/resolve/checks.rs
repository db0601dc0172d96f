//! What spans several values of a scenario.

use crate::resolve::group::MOST_DEVICES;
use crate::scenario::{FieldKind, Scenario, Topology};
use crate::section::Place;
use crate::topology::Graph;
use crate::units::DURATION;

/// Records what is wrong with values that are each right by themselves.
pub(crate) fn check(root: &Place<'_>, scenario: &Scenario) {
    check_hub(root, scenario);
    check_edges(root, scenario);
    check_devices(root, scenario);
    check_rhythm(root, scenario);
    check_mix(root, scenario);
    check_audit(root, scenario);
    // Who holds what can be told only once hub, edges and devices are right.
    if root.context.is_clean() {
        check_partitions(root, scenario);
    }
}

/// Every partition has records and somebody who holds it, and what one holder learns reaches the others through holders alone.
fn check_partitions(root: &Place<'_>, scenario: &Scenario) {
    let count = scenario.data.partitions;
    let records = scenario.data.records;
    if count > records {
        let expected = format!("at most {records}, the number of records");
        at(root, "data.partitions").refuse::<()>(expected);
        return;
    }
    for group in &scenario.groups {
        if group.partitions_held.is_some_and(|each| each > count) {
            let expected = format!("at most {count}, the number of partitions, or `all`");
            at(root, &format!("group.{}.partitions_held", group.name)).refuse::<()>(expected);
            return;
        }
    }
    if scenario.groups.iter().all(|group| group.partitions_held.is_none_or(|each| each == count)) {
        return;
    }
    let held = scenario.partitions_held();
    // In a mesh, and around a hub that holds the partition, all holders are connected.
    let graph = match &scenario.topology {
        Topology::Mesh => None,
        _ => Some(Graph::new(scenario)),
    };
    for partition in 0..count {
        let holds = |device: &u32| held[*device as usize].binary_search(&partition).is_ok();
        let mut holders = (0..held.len() as u32).filter(holds);
        let Some(first) = holders.next() else {
            let found = format!("nobody who holds partition {partition}");
            let expected = "groups that hold all partitions together";
            at(root, "data.partitions").refuse_as::<()>(found, expected, None);
            return;
        };
        if let Topology::Star { hub: name } = &scenario.topology
            && graph.as_ref().and_then(|graph| graph.hub).is_some_and(|hub| !holds(&hub))
        {
            let found = format!("a hub without partition {partition}, which device {first} holds");
            let expected = "a hub that holds all partitions that its clients hold";
            let path = format!("group.{name}.partitions_held");
            at(root, &path).refuse_as::<()>(found, expected, None);
            return;
        }
        let Some(Graph { hub: None, pairs }) = &graph else { continue };
        let mut parts = Parts::new(held.len() as u32);
        let between = pairs.iter().filter(|pair| pair.iter().all(holds));
        between.for_each(|[a, b]| parts.join(*a, *b));
        let part = parts.of(first);
        if let Some(device) = holders.find(|device| parts.of(*device) != part) {
            let found = format!(
                "no way from device {first} to device {device} through devices that hold partition {partition}"
            );
            let expected = "a topology in which the holders of each partition are connected";
            at(root, "topology").refuse_as::<()>(found, expected, None);
            return;
        }
    }
}

/// Which devices are connected. Each leads to another one of its part, and in the end to one that leads to itself and stands for the part.
struct Parts {
    leads_to: Vec<u32>,
}

impl Parts {
    fn new(devices: u32) -> Parts {
        Parts { leads_to: (0..devices).collect() }
    }

    fn of(&mut self, mut device: u32) -> u32 {
        while self.leads_to[device as usize] != device {
            let next = self.leads_to[device as usize];
            self.leads_to[device as usize] = self.leads_to[next as usize];
            device = next;
        }
        device
    }

    fn join(&mut self, a: u32, b: u32) {
        let (a, b) = (self.of(a), self.of(b));
        self.leads_to[a.max(b) as usize] = a.min(b);
    }
}

/// In audit mode every character is unique, and there are only so many.
fn check_audit(root: &Place<'_>, scenario: &Scenario) {
    let users = scenario.groups.iter().filter(|group| group.user.is_some());
    let users: u32 = users.map(|group| group.count).sum();
    let hours = scenario.duration_ns as f64 / 3.6e12;
    let of_each = match scenario.workload.rhythm {
        Some(rhythm) => f64::from(rhythm.count),
        None => hours * scenario.workload.edits_per_hour,
    };
    let most_edits = f64::from(users) * of_each;
    let cells = scenario.data.records as usize * scenario.data.fields.len();
    let small = most_edits <= 3000.0
        && cells <= 4000
        && scenario.data.record_bytes <= 60
        && scenario.workload.splice_words <= 7;
    if scenario.workload.audit && !small {
        let expected = "false, or a small trial: at most 3000 edits if all users stay, 4000 fields, \
                        records of 60 B, and 7 splice words";
        at(root, "workload.audit").refuse::<()>(expected);
    }
}

/// The value at `path`, or the whole where it is a default.
fn at<'a>(root: &Place<'a>, path: &str) -> Place<'a> {
    let node = root.node.at(path).unwrap_or(root.node);
    Place { context: root.context, path: path.to_owned(), node }
}

fn check_hub(root: &Place<'_>, scenario: &Scenario) {
    let Topology::Star { hub } = &scenario.topology else { return };
    let names = scenario.groups.iter().map(|group| group.name.as_str());
    match scenario.groups.iter().find(|group| group.name == *hub) {
        None => {
            at(root, "topology.hub").refuse_name::<()>("one of the groups", names);
        }
        Some(group) if group.count != 1 => {
            at(root, &format!("group.{hub}.count"))
                .refuse::<()>("1, because this group is the hub of the star");
        }
        Some(_) => {}
    }
}

/// Edges lie between devices that exist, and lead from each to all.
fn check_edges(root: &Place<'_>, scenario: &Scenario) {
    let Topology::Edges { edges } = &scenario.topology else { return };
    let devices: u64 = scenario.groups.iter().map(|group| u64::from(group.count)).sum();
    if !(2..=u64::from(MOST_DEVICES)).contains(&devices) {
        return;
    }
    let devices = devices as u32;
    for (index, edge) in edges.iter().enumerate() {
        for (end, number) in edge.iter().enumerate() {
            if *number >= devices {
                let expected = format!("the number of a device: from 0 to {}", devices - 1);
                at(root, &format!("topology.edges.{index}.{end}")).refuse::<()>(expected);
                return;
            }
        }
    }
    let mut parts = Parts::new(devices);
    edges.iter().for_each(|[a, b]| parts.join(*a, *b));
    let cut_off = (1..devices).find(|device| parts.of(*device) != 0);
    if let Some(device) = cut_off {
        let found = format!("no way from device 0 to device {device}");
        at(root, "topology.edges").refuse_as::<()>(found, "edges that connect all devices", None);
    }
}

/// All edits of a rhythm are asked for within the work phase.
fn check_rhythm(root: &Place<'_>, scenario: &Scenario) {
    let Some(rhythm) = scenario.workload.rhythm else { return };
    // Edit number k falls into the interval after the k-th.
    let most = (scenario.duration_ns / rhythm.every_ns).saturating_sub(1);
    if u64::from(rhythm.count) <= most {
        return;
    }
    let (key, expected) = if most == 0 {
        let longest = DURATION.print(scenario.duration_ns / 2);
        ("every", format!("at most {longest}, half the duration: edits begin after one interval"))
    } else {
        ("count", format!("at most {most}: one less than such intervals fit into the duration"))
    };
    at(root, &format!("workload.rhythm.{key}")).refuse::<()>(expected);
}

fn check_devices(root: &Place<'_>, scenario: &Scenario) {
    let place = at(root, "group");
    let devices: u64 = scenario.groups.iter().map(|group| u64::from(group.count)).sum();
    if !(2..=u64::from(MOST_DEVICES)).contains(&devices) {
        let expected = format!("2 to {MOST_DEVICES} devices in all groups together");
        place.refuse_as::<()>(format!("{devices}"), expected, None);
    }
    if scenario.groups.iter().all(|group| group.user.is_none()) {
        place.refuse_as::<()>(
            "no group with a user, so nobody would edit",
            "a group with a user",
            None,
        );
    }
}

fn check_mix(root: &Place<'_>, scenario: &Scenario) {
    let mix = scenario.workload.mix;
    let has = |kind| scenario.data.fields.iter().any(|field| field.kind == kind);
    let possible = [
        (mix.put, has(FieldKind::Register)),
        (mix.add, has(FieldKind::Counter)),
        (mix.insert, has(FieldKind::Set)),
        (mix.remove, has(FieldKind::Set)),
        (mix.splice, has(FieldKind::Text)),
        (mix.delete, true),
    ];
    if possible.iter().all(|(share, possible)| *share == 0 || !possible) {
        at(root, "workload.mix").refuse_as::<()>(
            "no share for any kind of edit that the fields allow",
            "a share above 0 for at least one of them",
            None,
        );
    }
}
