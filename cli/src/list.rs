//! `list`: what scenarios can name.

use std::fmt::Write;
use std::process::ExitCode;

use reconverge_scenarios::{self as scenarios, BuiltIn};
use reconverge_strategies::{Profile, Strategy, Support};

use crate::args::{ListArgs, Listed};
use crate::error::Failure;
use crate::output;

/// Each with its title, in the order of printing.
const SECTIONS: [(Listed, &str); 7] = [
    (Listed::Strategies, "Strategies, and in brackets what they serve (~ emulated)"),
    (Listed::Scenarios, "Scenarios"),
    (Listed::Topologies, "Topologies: the `kind` of `[topology]`"),
    (Listed::Networks, "Networks: a group's `link`"),
    (Listed::Devices, "Devices: a group's `device`"),
    (Listed::Outages, "Outages: one of a group's `outages`"),
    (Listed::Schedules, "Schedules: a group's `schedule`"),
];

pub(crate) fn list(args: &ListArgs, known: &[&dyn Strategy]) -> Result<ExitCode, Failure> {
    let mut text = String::new();
    match args.what {
        Some(what) => section(&mut text, what, known),
        None => {
            for (what, title) in SECTIONS {
                let gap = if text.is_empty() { "" } else { "\n" };
                writeln!(text, "{gap}{title}").expect("a string takes everything");
                section(&mut text, what, known);
            }
        }
    }
    output::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn section(text: &mut String, what: Listed, known: &[&dyn Strategy]) {
    let built_in = |built_in: &BuiltIn| (built_in.name.clone(), built_in.summary.clone());
    let entries: Vec<(String, String)> = match what {
        Listed::Strategies => known
            .iter()
            .map(|strategy| {
                let profile = strategy.profile();
                let line =
                    format!("{} [{}]", profile.summary.trim_end_matches('.'), served(&profile));
                (strategy.name().to_owned(), line)
            })
            .collect(),
        Listed::Scenarios => scenarios::builtin_names().map(scenario).collect(),
        Listed::Topologies => scenarios::topologies().map(built_in).collect(),
        Listed::Networks => scenarios::networks().map(built_in).collect(),
        Listed::Devices => scenarios::devices().map(built_in).collect(),
        Listed::Outages => scenarios::outages().map(built_in).collect(),
        Listed::Schedules => scenarios::schedules().map(built_in).collect(),
    };
    let width = entries.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    for (name, summary) in entries {
        writeln!(text, "  {name:<width$}  {summary}").expect("a string takes everything");
    }
}

/// A built-in scenario and the first sentence about it.
fn scenario(name: &str) -> (String, String) {
    let text = scenarios::builtin(name).expect("it lists itself");
    let scenario = scenarios::parse(text, name, &[]).expect("built-in scenarios are right");
    let words: Vec<&str> = scenario.analysis.split_whitespace().collect();
    let words = words.join(" ");
    let first = words.split_inclusive(". ").next().unwrap_or("").trim_end();
    (name.to_owned(), first.to_owned())
}

/// Kinds of field; topologies; transports: emulated ones with a `~`, unsupported ones not at all.
fn served(profile: &Profile) -> String {
    let list = |supports: &[(&str, Support)]| {
        let words = supports.iter().filter_map(|(what, support)| match support {
            Support::Native => Some((*what).to_owned()),
            Support::Emulated(_) => Some(format!("~{what}")),
            Support::Unsupported(_) => None,
        });
        words.collect::<Vec<String>>().join(" ")
    };
    let kinds = list(&[
        ("register", profile.register),
        ("counter", profile.counter),
        ("set", profile.set),
        ("text", profile.text),
    ]);
    let topologies =
        list(&[("star", profile.star), ("mesh", profile.mesh), ("graph", profile.graph)]);
    let conditions = list(&[
        ("session", profile.session),
        ("datagram", profile.datagram),
        ("memory loss", profile.memory_loss),
    ]);
    format!("{kinds}; {topologies}; {conditions}")
}
