//! The command `reconverge` with the built-in strategies.

use std::process::ExitCode;

fn main() -> ExitCode {
    reconverge::main_with(reconverge_strategies::registry())
}
