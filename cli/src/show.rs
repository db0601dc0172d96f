//! `show`: a scenario with every value resolved.

use std::process::ExitCode;

use reconverge_scenarios::to_toml;

use crate::args::ShowArgs;
use crate::error::Failure;
use crate::load::load;
use crate::output;

pub(crate) fn show(args: &ShowArgs) -> Result<ExitCode, Failure> {
    let loaded = load(&args.scenario)?;
    output::print(&to_toml(&loaded.scenario))?;
    Ok(ExitCode::SUCCESS)
}
