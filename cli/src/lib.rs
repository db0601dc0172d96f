//! The command `reconverge`. A binary with other strategies than the built-in ones is a main function that calls [`main_with`]:
//!
//! ```no_run
//! use reconverge_strategies::{Strategy, registry};
//!
//! fn main() -> std::process::ExitCode {
//!     let mut strategies: Vec<&dyn Strategy> = registry().to_vec();
//!     // strategies.push(&Mine);
//!     reconverge::main_with(&strategies)
//! }
//! ```
//!
//! Standard output carries only what was asked for; progress and messages go to standard error. Exit codes: 0 well; 1 a trial diverged or
//! failed, a budget was broken, or reading or writing failed; 2 bad input.

mod args;
mod check;
mod determinism;
mod episode;
mod error;
mod list;
mod load;
mod output;
mod progress;
mod recording;
mod replay;
mod run;
mod select;
mod show;
mod trace;
mod vectors;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;
use reconverge_strategies::Strategy;

use args::{Args, Command};
use error::Failure;

/// The whole command: reads the arguments of the process, runs, and says how it went. `strategies` are those that scenarios can name, in
/// the order of tables.
pub fn main_with(strategies: &[&dyn Strategy]) -> ExitCode {
    main_from(std::env::args_os(), strategies)
}

/// [`main_with`] for given arguments, the name of the program first.
pub fn main_from(
    arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>,
    strategies: &[&dyn Strategy],
) -> ExitCode {
    let args = match Args::try_parse_from(arguments) {
        Ok(args) => args,
        Err(error) => {
            // Help and the version come this way too; nobody is left to tell where printing fails.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    match dispatch(&args.command, strategies) {
        Ok(code) => code,
        Err(failure) => {
            output::say(&failure.text());
            ExitCode::from(failure.code)
        }
    }
}

fn dispatch(command: &Command, strategies: &[&dyn Strategy]) -> Result<ExitCode, Failure> {
    select::check_names(strategies)?;
    match command {
        Command::Run(args) => run::run(args, strategies),
        Command::List(args) => list::list(args, strategies),
        Command::Show(args) => show::show(args),
        Command::Check(args) => check::check(args, strategies),
        Command::Replay(args) => replay::replay(args, strategies),
        Command::Trace(args) => trace::trace(args, strategies),
        Command::Vectors(args) => vectors::vectors(args),
    }
}
