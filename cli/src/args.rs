//! The arguments of the command.

use std::ops::Range;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Parser, Subcommand, ValueEnum};
use reconverge_scenarios::Override;

/// Which way of synchronising offline-first data should I choose? Reconverge runs every strategy through the same simulated world and
/// says what each one cost and what it did to people's edits.
#[derive(Debug, Parser)]
#[command(name = "reconverge", version, arg_required_else_help = true, after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXAMPLES: &str = "\
Examples:
  reconverge run                                compare the strategies on `commuter`
  reconverge run office --strategy 'lww/*'      only two of them, in another world
  reconverge list                               what scenarios can name
  reconverge show small > mine.toml             a scenario to start from
  reconverge check mine.toml                    what would it run?
  reconverge vectors ot-apply cases.jsonl       does the code here compute what others did?

Exit codes: 0 well; 1 a trial diverged or failed, a budget was broken, or reading or writing failed; 2 bad input.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Run(RunArgs),
    List(ListArgs),
    Show(ShowArgs),
    Check(CheckArgs),
    Replay(ReplayArgs),
    Trace(TraceArgs),
    Vectors(VectorsArgs),
}

// Which world. (Documentation comments on flattened arguments would become the help of the command.)
#[derive(Debug, clap::Args)]
pub(crate) struct ScenarioArgs {
    /// A scenario file, if it contains `/` or ends in `.toml`; else the name of a built-in scenario
    #[arg(value_name = "SCENARIO", default_value = "commuter")]
    pub(crate) scenario: String,
    /// Replaces a value of the scenario; may be given several times. Keys as in the file, groups by their name, other lists by index
    #[arg(long = "set", value_name = "PATH=VALUE")]
    pub(crate) overrides: Vec<Override>,
}

// Which trials.
#[derive(Debug, clap::Args)]
pub(crate) struct TrialArgs {
    /// A name or glob of strategies, instead of those that the scenario names; may be given several times
    #[arg(long = "strategy", value_name = "GLOB")]
    pub(crate) strategies: Vec<String>,
    /// How many seeds (0 to N−1), or which (from A until before B); else as many as the scenario says
    #[arg(long, value_name = "N|A..B")]
    pub(crate) seeds: Option<Seeds>,
}

/// Runs a scenario and compares its strategies
///
/// Prints a table, and writes tables, figures and a page into the folder DIR/<name of the scenario>.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  reconverge run
  reconverge run field-team --seeds 20
  reconverge run small --strategy 'crdt/*' --strategy lww/hlc --format markdown
  reconverge run --set group.phone.count=4 --set group.phone.link=edge-2g
  reconverge run ./mine.toml --seeds 5..10 --out results --jobs 1")]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) scenario: ScenarioArgs,
    #[command(flatten)]
    pub(crate) trials: TrialArgs,
    /// Trials at the same time; the results are the same for any number [default: one for each core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) jobs: Option<u32>,
    /// Where to put the folder with the files
    #[arg(long, value_name = "DIR", default_value = "reconverge-out")]
    pub(crate) out: PathBuf,
    /// What to print; `csv` and `json` have the content of summary.csv
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub(crate) format: Format,
    /// Prints nothing but the result: no progress, no messages
    #[arg(long)]
    pub(crate) quiet: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people at a terminal
    Table,
    /// Every figure with its interval and its difference from the baseline
    Csv,
    /// The same as JSON
    Json,
    /// The table for a page
    Markdown,
}

/// Lists what scenarios can name
///
/// One line each. Behind a strategy stands in brackets what it serves: kinds of
/// field; topologies; transports. What it emulates has a `~`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  reconverge list
  reconverge list strategies
  reconverge list networks")]
pub(crate) struct ListArgs {
    /// Of what; everything where absent
    #[arg(value_enum)]
    pub(crate) what: Option<Listed>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Listed {
    Strategies,
    Scenarios,
    Topologies,
    Networks,
    Devices,
    Outages,
    Schedules,
}

/// Prints a scenario with every value resolved
///
/// The output is a scenario file that gives the same results.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  reconverge show
  reconverge show small > mine.toml
  reconverge show office --set group.phone.link=lte-poor")]
pub(crate) struct ShowArgs {
    #[command(flatten)]
    pub(crate) scenario: ScenarioArgs,
}

/// Validates a scenario and explains what it would run
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  reconverge check ./mine.toml
  reconverge check commuter --set topology.kind=mesh
  reconverge check small --determinism")]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    pub(crate) scenario: ScenarioArgs,
    #[command(flatten)]
    pub(crate) trials: TrialArgs,
    /// Runs each trial twice, on one thread and on several, and compares what happened
    #[arg(long)]
    pub(crate) determinism: bool,
    /// So many threads for the second time [default: one for each core, at least two]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=1024), requires = "determinism")]
    pub(crate) jobs: Option<u32>,
}

/// Types a recorded editing session on one device and reads it on others
///
/// TRACE is JSON, plain or gzipped: {"startContent", "endContent", "txns": [{"patches": [[position, deleted, inserted]]}]}, with positions in
/// Unicode scalar values. One patch is typed every 200 ms of virtual time; the trace's own times are not used. All devices are phones that are
/// plugged in, and talk through a server. At the end every replica must show the recorded end, else the exit code is 1.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  reconverge replay automerge-paper.json.gz
  reconverge replay session.json --strategy lww/hlc --network wifi
  reconverge replay session.json --devices 5 --schedule immediate
  reconverge replay session.json --schedule periodic --interval 15min")]
pub(crate) struct ReplayArgs {
    /// The recorded session
    #[arg(value_name = "TRACE")]
    pub(crate) trace: PathBuf,
    /// The strategy
    #[arg(long, value_name = "NAME", default_value = "crdt/digest")]
    pub(crate) strategy: String,
    /// How many devices beside the server: one that types, and its readers
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(2..=1000))]
    pub(crate) devices: u32,
    /// The network of the devices; `reconverge list networks` lists them
    #[arg(long, value_name = "NAME", default_value = "lte")]
    pub(crate) network: String,
    /// When devices and server speak: immediate, periodic, rounds, random-peer, batched or battery-aware
    #[arg(long, value_name = "KIND", default_value = "batched")]
    pub(crate) schedule: String,
    /// How long a batch waits, or the interval of a periodic schedule [default: 1s]
    #[arg(long, value_name = "DURATION")]
    pub(crate) interval: Option<String>,
}

/// Prints every fact of one trial, one a line
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  reconverge trace small --strategy crdt/digest | less
  reconverge trace commuter --strategy lww/hlc --seed 3 | grep 'link of r4'")]
pub(crate) struct TraceArgs {
    #[command(flatten)]
    pub(crate) scenario: ScenarioArgs,
    /// The strategy
    #[arg(long, value_name = "NAME")]
    pub(crate) strategy: String,
    /// The seed
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) seed: u64,
}

/// Runs cases that others computed against the code here
///
/// FILE is plain or gzipped, with one case a line as a JSON object; what is in it depends on KIND. Every case that comes out otherwise is told
/// on standard error, up to twenty. The last line says how many passed and failed.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  reconverge vectors text-order text-order.jsonl
  reconverge vectors ot-transform transform.json.gz

Exit codes: 0 all passed; 1 some failed; 2 the file cannot be read, or a line of it is no such case.")]
pub(crate) struct VectorsArgs {
    /// What the cases are about
    #[arg(value_enum, value_name = "KIND")]
    pub(crate) kind: Kind,
    /// The cases
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Where text that several replicas insert at the same place ends up
    TextOrder,
    /// What text a graph of edits ends in
    ListHistories,
    /// What versions of a graph of edits have in common, and what not
    CausalGraph,
    /// What an operation makes of a text
    OtApply,
    /// One operation that does what two do
    OtCompose,
    /// An operation as it reads after another one, compared in normal form
    OtTransform,
}

/// A range of seeds that is not empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seeds(pub(crate) Range<u64>);

/// As many as a scenario may ask for.
const MOST_SEEDS: u64 = 1_000_000;

impl FromStr for Seeds {
    type Err = String;

    fn from_str(text: &str) -> Result<Seeds, String> {
        let number = |text: &str| text.trim().parse::<u64>().ok();
        let range = match text.split_once("..") {
            None => number(text).map(|count| 0..count),
            Some((from, until)) => number(from).zip(number(until)).map(|(from, until)| from..until),
        };
        let range = range.ok_or("expected a number such as `20`, or a range such as `5..15`")?;
        if range.is_empty() {
            return Err("there is no seed in it; `5..15` means 5 to 14".to_owned());
        }
        if range.end - range.start > MOST_SEEDS {
            return Err(format!("expected at most {MOST_SEEDS} seeds"));
        }
        Ok(Seeds(range))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn arguments_are_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn seeds() {
        let good = [("1", 0..1), ("20", 0..20), ("5..15", 5..15), (" 3 .. 4 ", 3..4)];
        for (text, range) in good {
            assert_eq!(text.parse(), Ok(Seeds(range)), "{text:?}");
        }
        let bad = [
            "",
            "0",
            "..",
            "5..",
            "..5",
            "5..5",
            "7..5",
            "-1",
            "1.5",
            "x",
            "1000001",
            "5...7",
            "99999999999999999999",
        ];
        for text in bad {
            assert!(text.parse::<Seeds>().is_err(), "{text:?}");
        }
    }
}
