//! `episode.csv`: what happened to one device around one outage, for people who want to see how a strategy lives through it.

use std::collections::BTreeSet;

use reconverge_reports::EpisodeRow;
use reconverge_scenarios::Scenario;
use reconverge_simulator::fact::{Fact, Probe};
use reconverge_simulator::plan::{DevicePlan, plan};
use reconverge_simulator::streams::Streams;
use reconverge_simulator::trial::{self, Case};
use reconverge_strategies::Strategy;

const MINUTE_NS: u64 = 60_000_000_000;
/// How much of the time before an outage belongs to it.
const BEFORE_NS: u64 = MINUTE_NS;
/// How much of the time after it.
const AFTER_NS: u64 = 5 * MINUTE_NS;
/// The longest stretch.
const LONGEST_NS: u64 = 120 * MINUTE_NS;
/// The most facts.
const MOST_ROWS: usize = 400;
/// Baselines, whose way through an outage is of little interest.
const BASELINES: [&str; 2] = ["online-only", "full-copy"];

/// The facts of one device around one outage under one strategy; empty where nothing can run.
pub(crate) fn episode(
    scenario: &Scenario,
    strategies: &[&dyn Strategy],
    seed: u64,
) -> Vec<EpisodeRow> {
    let Some(strategy) = strategy(scenario, strategies) else { return Vec::new() };
    let plans = plan(scenario, &Streams::new(seed));
    let Some((device, from_ns, until_ns)) = stretch(scenario, &plans) else { return Vec::new() };
    let mut facts = Facts {
        strategy: strategy.name(),
        seed,
        names: names(scenario),
        device,
        from_ns,
        until_ns,
        asked: BTreeSet::new(),
        rows: Vec::new(),
    };
    let case = Case { scenario, strategy, seed, detailed: false, script: None };
    trial::run(&case, &mut [&mut facts]);
    facts.rows
}

/// `crdt/digest` if it takes part, else the first strategy that is no baseline, else the first.
fn strategy<'s>(scenario: &Scenario, strategies: &[&'s dyn Strategy]) -> Option<&'s dyn Strategy> {
    let runs = |s: &&&dyn Strategy| trial::unsupported(scenario, &s.profile()).is_none();
    let able: Vec<&dyn Strategy> = strategies.iter().filter(runs).copied().collect();
    let preferred = able.iter().find(|s| s.name() == "crdt/digest");
    let interesting = able.iter().find(|s| !BASELINES.contains(&s.name()));
    preferred.or(interesting).or(able.first()).copied()
}

/// The names of all devices: their group and their number.
fn names(scenario: &Scenario) -> Vec<String> {
    let groups = scenario.groups.iter();
    let of_devices =
        groups.flat_map(|group| std::iter::repeat_n(&group.name, group.count as usize));
    of_devices.enumerate().map(|(number, group)| format!("{group} r{number}")).collect()
}

/// An outage of a user's device, with what comes before and after it: one that lies wholly in the work phase if there is any, is not longer
/// than a stretch may be, meets its user at the device, and is the longest of those. Without outages, the beginning of somebody's presence.
fn stretch(scenario: &Scenario, plans: &[DevicePlan]) -> Option<(u32, u64, u64)> {
    let groups = scenario.groups.iter();
    let has_user = groups.flat_map(|g| std::iter::repeat_n(g.user.is_some(), g.count as usize));
    let users = (0..).zip(plans.iter().zip(has_user)).filter(|(_, (_, has_user))| *has_user);
    let users: Vec<(u32, &DevicePlan)> = users.map(|(device, (plan, _))| (device, plan)).collect();
    let outages = users.iter().flat_map(|(device, plan)| {
        plan.outages.iter().map(|(from, until)| (*device, *plan, from, until))
    });
    let quality = |(device, plan, from, until): &(u32, &DevicePlan, u64, u64)| {
        let whole = *from > 0 && until + AFTER_NS <= scenario.duration_ns;
        let fits = until - from + BEFORE_NS + AFTER_NS <= LONGEST_NS;
        let met = plan.present.iter().any(|(begin, end)| begin < *until && *from < end);
        // Of equals the first device and the earliest outage.
        (whole && fits, met, until - from, std::cmp::Reverse((*device, *from)))
    };
    let chosen = outages.max_by_key(quality).map(|(device, _, from, until)| (device, from, until));
    let presence = || {
        let sessions = users.iter().filter_map(|(device, plan)| {
            plan.present.iter().next().map(|(from, _)| (*device, from, from))
        });
        sessions.min_by_key(|(device, from, _)| (*from, *device))
    };
    let (device, from_ns, until_ns) = chosen.or_else(presence)?;
    let begin_ns = from_ns.saturating_sub(BEFORE_NS);
    Some((device, begin_ns, (until_ns + AFTER_NS).min(begin_ns + LONGEST_NS)))
}

/// Takes down the facts of one device, and messages and sessions with it.
struct Facts<'a> {
    strategy: &'a str,
    seed: u64,
    names: Vec<String>,
    device: u32,
    from_ns: u64,
    until_ns: u64,
    /// Edits that its user wanted to make.
    asked: BTreeSet<u32>,
    rows: Vec<EpisodeRow>,
}

impl Facts<'_> {
    /// The device on which it happened, where this one has part in it.
    fn place(&self, fact: &Fact<'_>) -> Option<u32> {
        let device = match fact {
            Fact::NotMade { number, .. } if self.asked.contains(number) => self.device,
            _ => fact.device()?,
        };
        let other = match fact {
            Fact::Sent { from, to, .. } => Some(if *from == device { *to } else { *from }),
            Fact::Delivered { from, .. } | Fact::Dropped { from, .. } => Some(*from),
            Fact::Synced { peer, .. }
            | Fact::SessionOpened { peer, .. }
            | Fact::SessionLost { peer, .. } => Some(*peer),
            _ => None,
        };
        (device == self.device || other == Some(self.device)).then_some(device)
    }
}

impl Probe for Facts<'_> {
    fn observe(&mut self, at_ns: u64, fact: &Fact<'_>) {
        if let Fact::Asked { number, asked } = fact
            && asked.seat == self.device
        {
            self.asked.insert(*number);
        }
        let within = (self.from_ns..self.until_ns).contains(&at_ns) && self.rows.len() < MOST_ROWS;
        if let Some(device) = self.place(fact).filter(|_| within) {
            self.rows.push(EpisodeRow {
                at_us: at_ns / 1000,
                strategy: self.strategy.to_owned(),
                seed: self.seed,
                device: self.names[device as usize].clone(),
                fact: fact.name().to_owned(),
                detail: fact.to_string(),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reconverge_scenarios::{builtin, parse};
    use reconverge_strategies::registry;

    fn small(overrides: &[&str]) -> Scenario {
        let overrides: Vec<_> = overrides.iter().map(|o| o.parse().expect("an override")).collect();
        parse(builtin("small").expect("built in"), "small", &overrides).expect("valid")
    }

    #[test]
    fn it_tells_of_one_device_and_its_link() {
        for seed in 0..5 {
            let rows = episode(&small(&[]), registry(), seed);
            assert!(!rows.is_empty() && rows.len() <= MOST_ROWS, "seed {seed}");
            let link = rows.iter().find(|row| row.fact == "link").expect("an outage begins");
            assert!(rows.iter().all(|row| row.strategy == "crdt/digest" && row.seed == seed));
            let number = link.device.strip_prefix("phone ").expect("it happened to a phone");
            assert!(rows.iter().all(|row| row.detail.contains(number) || row.fact == "not-made"));
            assert!(rows.is_sorted_by_key(|row| row.at_us), "seed {seed}");
            let span_us = rows.last().expect("not empty").at_us - rows[0].at_us;
            assert!(span_us <= LONGEST_NS / 1000, "seed {seed}");
        }
    }

    #[test]
    fn without_outages_it_tells_of_a_beginning() {
        let rows = episode(&small(&["group.phone.outages=[]"]), registry(), 0);
        assert!(rows.iter().any(|row| row.fact == "present"), "{rows:?}");
    }

    #[test]
    fn baselines_come_last() {
        let scenario = small(&[]);
        let named = |names: &[&str]| -> Vec<&dyn Strategy> {
            registry().iter().copied().filter(|s| names.contains(&s.name())).collect()
        };
        let chosen = |names: &[&str]| {
            strategy(&scenario, &named(names)).map(|strategy| strategy.name().to_owned())
        };
        assert_eq!(chosen(&["online-only", "full-copy"]).as_deref(), Some("online-only"));
        assert_eq!(chosen(&["online-only", "lww/hlc"]).as_deref(), Some("lww/hlc"));
        assert_eq!(chosen(&["crdt/digest", "lww/hlc"]).as_deref(), Some("crdt/digest"));
        assert_eq!(chosen(&[]), None);
    }
}
