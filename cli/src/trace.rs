//! `trace`: every fact of one trial.

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use reconverge_simulator::probe::log::Log;
use reconverge_simulator::row::Status;
use reconverge_simulator::trial::{self, Case};
use reconverge_strategies::Strategy;

use crate::args::TraceArgs;
use crate::error::Failure;
use crate::load::load;
use crate::{output, select};

pub(crate) fn trace(args: &TraceArgs, known: &[&dyn Strategy]) -> Result<ExitCode, Failure> {
    let loaded = load(&args.scenario)?;
    let strategy = select::one(&args.strategy, known)?;
    let scenario = &loaded.scenario;
    if let Some(reason) = trial::unsupported(scenario, &strategy.profile()) {
        let (name, world) = (strategy.name(), &scenario.name);
        return Err(Failure::input(format!("`{name}` cannot run in `{world}`: {reason}")));
    }
    let mut out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    // A probe cannot stop a trial: after an error the rest is run and not written.
    let mut written = Ok(());
    let mut log = Log::new(0, u64::MAX, |line| {
        if written.is_ok() {
            written = writeln!(out, "{line}");
        }
    });
    let case = Case { scenario, strategy, seed: args.seed, detailed: false, script: None };
    let row = trial::run(&case, &mut [&mut log]).result.row;
    output::accept(written.and_then(|()| out.flush()))?;
    match row.status {
        Status::Ok | Status::Unsupported => Ok(ExitCode::SUCCESS),
        Status::Diverged | Status::Failed => {
            let (name, status) = (strategy.name(), row.status.name());
            Err(Failure::run(format!("{name}, seed {}: {status}: {}", args.seed, row.reason)))
        }
    }
}
