//! `replay`: a recorded editing session is typed on one device and read on others, through a simulated network.

use std::fmt::Write;
use std::process::ExitCode;

use indicatif::ProgressBar;
use reconverge_reports::human;
use reconverge_scenarios::{self as scenarios, Override, Scenario, ScenarioError, ScheduleKind};
use reconverge_simulator::fact::{Fact, Probe};
use reconverge_simulator::row::{Metrics, Status};
use reconverge_simulator::trial::{self, Case, Finished};
use reconverge_simulator::workload::Script;
use reconverge_strategies::{Cell, Content, FieldId, RecordId, Shown, Strategy};

use crate::args::ReplayArgs;
use crate::error::Failure;
use crate::recording::{self, Recording};
use crate::{output, progress, select};

/// The world: phones that are plugged in and never out of reach, with a reader in front of each at all times, and a server.
const WORLD: &str = r#"
name = "replay"
duration = "1s"
settle = "24h"
seeds = 1

[[group]]
name = "phone"
count = 2
device = { profile = "phone-2020", battery = { charging = [["0h", "24h"]], charging_jitter = "0s" } }
link = "lte"
schedule = { kind = "batched", age = "1s", interval = "1s" }
user = { awake = ["0h", "24h"], session = "24h", gap = "1s" }

[[group]]
name = "server"
device = "server"
link = "datacenter"
schedule = { kind = "batched", age = "1s", interval = "1s" }

[topology]
kind = "star"
hub = "server"

[data]
records = 1
record_size = "0B"
fields = { text = "text" }
"#;

/// Who types: the first phone.
const WRITER: u32 = 0;
/// Virtual time between two patches: the pace of a fast typist, five keys a second.
const PATCH_NS: u64 = 200_000_000;
/// Virtual time after the last patch, before everything is healed: for the last batch to travel in the ordinary way.
const MARGIN_NS: u64 = 60_000_000_000;
/// The seed of network delays and clocks.
const SEED: u64 = 0;
/// Steps of the progress bar, in patches.
const STEP: u32 = 1000;

pub(crate) fn replay(args: &ReplayArgs, known: &[&dyn Strategy]) -> Result<ExitCode, Failure> {
    let strategy = select::one(&args.strategy, known)?;
    let recording = recording::read(&args.trace)?;
    let scenario = world(args, recording.patches.len() as u64)?;
    if let Some(reason) = trial::unsupported(&scenario, &strategy.profile()) {
        return Err(Failure::input(format!("`{}` cannot replay: {reason}", strategy.name())));
    }
    let Recording { patches, end } = recording;
    let edits = patches.len() as u64;
    let typed: u64 = patches.iter().map(|patch| patch.insert.len() as u64).sum();
    let script = Script::recorded(patches, WRITER, PATCH_NS);
    let mut typing = Typing { bar: progress::bar(edits, "patches", false) };
    let case =
        Case { scenario: &scenario, strategy, seed: SEED, detailed: false, script: Some(&script) };
    let finished = trial::run(&case, &mut [&mut typing]);
    typing.bar.finish_and_clear();
    judge(&finished, &scenario, &end)?;
    let schedule = trial::schedule_text(&scenario, &strategy.profile());
    let metrics = finished.result.row.metrics.expect("a trial that went well has figures");
    let parameters = [
        ("trace", args.trace.display().to_string()),
        ("strategy", strategy.name().to_owned()),
        ("schedule", schedule),
        ("network", args.network.clone()),
        (
            "devices",
            format!("{}, plugged in, and a server; one types, the others read", args.devices),
        ),
    ];
    let length = end.chars().count();
    let mut text = String::new();
    for (what, words) in parameters.into_iter().chain(figures(&metrics, edits, typed)) {
        writeln!(text, "{what:<12} {words}").expect("a string takes everything");
    }
    let replicas = finished.renderings.len();
    writeln!(
        text,
        "{:<12} all {replicas} replicas show the recorded end: {length} characters",
        "end"
    )
    .expect("a string takes everything");
    output::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// The world that the arguments ask for, long enough for so many patches.
fn world(args: &ReplayArgs, patches: u64) -> Result<Scenario, Failure> {
    let mut overrides = vec![
        set("duration", format!("{}ns", (patches + 1) * PATCH_NS + MARGIN_NS)),
        set("group.phone.count", args.devices.to_string()),
        set("group.phone.link", args.network.clone()),
    ];
    for group in ["phone", "server"] {
        overrides.push(set(&format!("group.{group}.schedule.kind"), args.schedule.clone()));
        if let Some(interval) = &args.interval {
            for key in ["age", "interval"] {
                overrides.push(set(&format!("group.{group}.schedule.{key}"), interval.clone()));
            }
        }
    }
    let scenario = scenarios::parse(WORLD, "replay", &overrides).map_err(|e| blame(args, &e))?;
    if args.interval.is_some() && scenario.groups[0].schedule.kind == ScheduleKind::Immediate {
        let message =
            "--interval: the schedule `immediate` waits for nothing, so it takes no interval";
        return Err(Failure::input(message));
    }
    Ok(scenario)
}

fn set(path: &str, value: String) -> Override {
    Override { path: path.to_owned(), value }
}

/// The error of a scenario, in words of the option that it comes from.
fn blame(args: &ReplayArgs, error: &ScenarioError) -> Failure {
    let path = error.path.as_str();
    let interval = args.interval.as_deref().unwrap_or_default();
    let option = match path {
        _ if path.ends_with(".link") => format!("--network {}", args.network),
        _ if path.ends_with(".kind") => format!("--schedule {}", args.schedule),
        _ if path.ends_with(".age") || path.ends_with(".interval") => {
            format!("--interval {interval}")
        }
        _ => error.source_name.clone(),
    };
    let ScenarioError { expected, found, suggestion, .. } = error;
    Failure::input(format!("{option}: expected {expected}, found {found}"))
        .did_you_mean(suggestion.as_deref())
}

/// Whether the trial went well and every replica shows the recorded end.
fn judge(finished: &Finished, scenario: &Scenario, end: &str) -> Result<(), Failure> {
    let row = &finished.result.row;
    if row.status == Status::Failed {
        return Err(Failure::run(format!("{}: failed: {}", row.strategy, row.reason)));
    }
    let cell = Cell { record: RecordId(0), field: FieldId(0) };
    let phones = scenario.groups[0].count as usize;
    for (number, rendering) in finished.renderings.iter().enumerate() {
        let shown = match rendering.get(cell) {
            Some(Shown::Settled(Content::Text(text))) => text.as_str(),
            Some(_) => {
                return Err(Failure::run(format!("r{number} shows a conflict, or no text at all")));
            }
            None => "",
        };
        if let Some(difference) = recording::difference(shown, end) {
            let who = if number < phones { "phone" } else { "server" };
            return Err(Failure::run(format!(
                "{}: r{number} (a {who}) does not show the recorded end: {difference}",
                row.strategy
            )));
        }
    }
    match row.status {
        Status::Diverged => Err(Failure::run(format!("{}: {}", row.strategy, row.reason))),
        _ => Ok(()),
    }
}

/// The figures, with what each is called.
fn figures(metrics: &Metrics, edits: u64, typed: u64) -> Vec<(&'static str, String)> {
    let us = |value: Option<u64>| value.map_or("–".to_owned(), |us| human::duration(us as f64));
    let bytes = |value: Option<u64>| human::bytes(value.unwrap_or(0) as f64);
    let per_edit = |value: Option<u64>| human::bytes(value.unwrap_or(0) as f64 / edits as f64);
    let total = |parts: [Option<u64>; 3]| Some(parts.into_iter().flatten().sum());
    let parts = [
        metrics.footprint_content_bytes,
        metrics.footprint_metadata_bytes,
        metrics.footprint_history_bytes,
    ];
    let duration_us = (edits * PATCH_NS / 1000) as f64;
    vec![
        ("edits", format!("{edits} patches in {}, one every 200 ms", human::duration(duration_us))),
        (
            "bytes/edit",
            format!(
                "{} on the wire, {} of it written by the strategy; {} typed",
                per_edit(metrics.bytes_wire),
                per_edit(metrics.bytes_strategy),
                human::bytes(typed as f64 / edits as f64)
            ),
        ),
        (
            "visible",
            format!(
                "half of the edits within {}, 99 % within {}",
                us(metrics.visible_us_p50),
                us(metrics.visible_us_p99)
            ),
        ),
        (
            "local",
            format!(
                "half of the edits within {}, 99 % within {}",
                us(metrics.local_us_p50),
                us(metrics.local_us_p99)
            ),
        ),
        (
            "energy/edit",
            metrics.energy_per_edit_uj.map_or("–".to_owned(), |uj| human::energy(uj as f64)),
        ),
        (
            "footprint",
            format!(
                "{}: {} content, {} metadata, {} history",
                bytes(total(parts)),
                bytes(parts[0]),
                bytes(parts[1]),
                bytes(parts[2])
            ),
        ),
    ]
}

/// Moves the progress bar as patches are typed.
struct Typing {
    bar: ProgressBar,
}

impl Probe for Typing {
    fn observe(&mut self, _at_ns: u64, fact: &Fact<'_>) {
        if let Fact::Asked { number, .. } = fact
            && number.is_multiple_of(STEP)
        {
            self.bar.set_position(u64::from(*number));
        }
    }
}
