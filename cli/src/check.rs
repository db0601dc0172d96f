//! `check`: is a scenario right, and what would it run?

use std::fmt::Write;
use std::process::ExitCode;

use reconverge_reports::human;
use reconverge_scenarios::{Budget, FieldKind, Scenario, Topology, TransportKind};
use reconverge_simulator::plan::plan;
use reconverge_simulator::streams::Streams;
use reconverge_simulator::trial;
use reconverge_simulator::workload::{Script, schema};
use reconverge_strategies::{Profile, Strategy, Support};

use crate::args::CheckArgs;
use crate::error::Failure;
use crate::load::load;
use crate::run::{cases, jobs, seeds};
use crate::{determinism, output, select};

/// Of how many seeds the edits are counted.
const COUNTED_SEEDS: usize = 20;

pub(crate) fn check(args: &CheckArgs, known: &[&dyn Strategy]) -> Result<ExitCode, Failure> {
    let loaded = load(&args.scenario)?;
    let scenario = &loaded.scenario;
    let chosen = select::strategies(&loaded, &args.trials.strategies, known)?;
    select::budgeted(&loaded, &chosen, known)?;
    let seeds = seeds(&args.trials, scenario);
    if args.determinism {
        return determinism::check(&cases(scenario, &chosen, seeds), jobs(args.jobs));
    }
    let (strategies, count) = (chosen.len() as u64, seeds.end - seeds.start);
    let mut text = format!("{} is valid\n", args.scenario.scenario);
    let trials = format!(
        "{}: 1 cell × {} × {} = {}",
        scenario.name,
        many(strategies, "strategy", "strategies"),
        many(count, "seed", "seeds"),
        many(strategies * count, "trial", "trials"),
    );
    let counted = seeds.take(COUNTED_SEEDS);
    for (what, words) in [
        ("runs", trials),
        ("devices", devices(scenario)),
        ("time", time(scenario)),
        ("document", document(scenario)),
        ("edits", edits(scenario, counted)),
        ("budgets", budgets(scenario)),
    ] {
        writeln!(text, "  {what:<9} {words}").expect("a string takes everything");
    }
    let width = chosen.iter().map(|s| s.name().chars().count()).max().unwrap_or(0);
    for strategy in &chosen {
        let (name, profile) = (strategy.name(), strategy.profile());
        let (words, emulated) = match trial::unsupported(scenario, &profile) {
            Some(reason) => (format!("unsupported: {reason}"), Vec::new()),
            None => (trial::schedule_text(scenario, &profile), emulated(scenario, &profile)),
        };
        writeln!(text, "  {name:<width$}  {words}").expect("a string takes everything");
        for line in emulated {
            writeln!(text, "    {line}").expect("a string takes everything");
        }
    }
    output::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn many(count: u64, one: &str, more: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { more })
}

fn devices(scenario: &Scenario) -> String {
    let groups = scenario.groups.iter();
    let count: u64 = groups.clone().map(|group| u64::from(group.count)).sum();
    let groups = groups.map(|group| {
        let (device, link) = (&group.device.profile, &group.link.profile);
        let user = if group.user.is_some() { "" } else { ", no user" };
        format!("{} {} ({device}, {link}{user})", group.count, group.name)
    });
    let groups: Vec<String> = groups.collect();
    let topology = match &scenario.topology {
        Topology::Star { hub } => format!("a star around {hub}"),
        Topology::Mesh => "a mesh".to_owned(),
        Topology::Tree { branching } => match branching {
            1 => "a tree, one child each".to_owned(),
            _ => format!("a tree, {branching} children each"),
        },
        Topology::Ring => "a ring".to_owned(),
        Topology::Edges { edges } => {
            format!("a graph of {}", many(edges.len() as u64, "edge", "edges"))
        }
    };
    let transport = match scenario.transport.kind {
        TransportKind::Session => "sessions",
        TransportKind::Datagram => "datagrams",
    };
    format!("{count}: {}; {topology}, {transport}", groups.join(", "))
}

fn time(scenario: &Scenario) -> String {
    let [work, settle] =
        [scenario.duration_ns, scenario.settle_ns].map(|ns| human::duration(ns as f64 / 1e3));
    format!("{work} of work, then up to {settle} to settle")
}

fn document(scenario: &Scenario) -> String {
    let fields = scenario.data.fields.iter().map(|field| {
        let kind = match field.kind {
            FieldKind::Register => "register",
            FieldKind::Counter => "counter",
            FieldKind::Set => "set",
            FieldKind::Text => "text",
        };
        let critical = if field.critical { ", critical" } else { "" };
        format!("{} ({kind}{critical})", field.name)
    });
    let fields: Vec<String> = fields.collect();
    let records = many(u64::from(scenario.data.records), "record", "records");
    format!("{records} of about {} B: {}", scenario.data.record_bytes, fields.join(", "))
}

/// What users will ask for: exact, because it depends on scenario and seed alone.
fn edits(scenario: &Scenario, seeds: impl Iterator<Item = u64>) -> String {
    let asked = seeds.map(|seed| {
        let streams = Streams::new(seed);
        Script::draw(scenario, &plan(scenario, &streams), &streams).asked.len()
    });
    let asked: Vec<usize> = asked.collect();
    let least = asked.iter().min().copied().unwrap_or(0);
    let most = asked.iter().max().copied().unwrap_or(0);
    let range = if least == most { least.to_string() } else { format!("{least} to {most}") };
    match asked.len() {
        COUNTED_SEEDS => {
            format!("{range} asked for in each of the first {COUNTED_SEEDS} trials of a strategy")
        }
        _ => format!("{range} asked for in each trial"),
    }
}

fn budgets(scenario: &Scenario) -> String {
    let words = |budget: &Budget| {
        let bound = match (budget.min, budget.max) {
            (Some(min), Some(max)) => format!("from {min} to {max}"),
            (Some(min), None) => format!("at least {min}"),
            (None, Some(max)) => format!("at most {max}"),
            (None, None) => "anything".to_owned(),
        };
        format!("{} {} {bound}", budget.strategy, budget.metric)
    };
    match scenario.budgets.as_slice() {
        [] => "none".to_owned(),
        budgets => budgets.iter().map(words).collect::<Vec<String>>().join("; "),
    }
}

/// What a strategy emulates of what the scenario asks for, and how: a line for each way.
fn emulated(scenario: &Scenario, profile: &Profile) -> Vec<String> {
    let topology = match scenario.topology {
        Topology::Star { .. } => "a star",
        Topology::Mesh => "a mesh",
        Topology::Tree { .. } => "a tree",
        Topology::Ring => "a ring",
        Topology::Edges { .. } => "a graph",
    };
    let topology = (topology, trial::topology_support(&scenario.topology, profile));
    let transport = match scenario.transport.kind {
        TransportKind::Session => ("sessions", profile.session),
        TransportKind::Datagram => ("datagrams", profile.datagram),
    };
    let kinds = schema(scenario).fields;
    let fields = kinds.iter().zip(&scenario.data.fields);
    let fields = fields.map(|(kind, field)| (field.name.as_str(), profile.field(*kind)));
    let mut ways: Vec<(&str, Vec<&str>)> = Vec::new();
    for (what, support) in fields.chain([topology, transport]) {
        let Support::Emulated(how) = support else { continue };
        match ways.iter_mut().find(|(other, _)| *other == how) {
            Some((_, names)) => names.push(what),
            None => ways.push((how, vec![what])),
        }
    }
    ways.iter().map(|(how, names)| format!("emulates {} as {how}", human::list(names))).collect()
}
