//! What the fuzz targets do is what the test over the corpus does: `strategies/tests/laws/fuzzing.rs`.

#[path = "../../strategies/tests/laws/allocation.rs"]
mod allocation;
#[path = "../../strategies/tests/laws/editor.rs"]
mod editor;
#[path = "../../strategies/tests/laws/fuzzing.rs"]
pub mod fuzzing;
#[allow(dead_code, reason = "the laws use all of it")]
#[path = "../../strategies/tests/laws/harness.rs"]
mod harness;
#[allow(dead_code, reason = "the laws use all of it")]
#[path = "../../strategies/tests/laws/reports.rs"]
mod reports;
#[allow(dead_code, reason = "the laws use all of it")]
#[path = "../../strategies/tests/laws/stage.rs"]
mod stage;
#[allow(dead_code, reason = "the laws use all of it")]
#[path = "../../strategies/tests/laws/wander.rs"]
mod wander;

use fuzzing::Target;
use std::path::PathBuf;

/// Before the first input: where `FUZZ_SEEDS` names a folder, what real replicas write goes there for the fuzzer to begin with.
pub fn prepare(target: Target) {
    fuzzing::prepare();
    let Some(dir) = std::env::var_os("FUZZ_SEEDS").map(PathBuf::from) else { return };
    for (n, seed) in fuzzing::seeds(target).into_iter().enumerate() {
        std::fs::write(dir.join(format!("seed-{n:04}")), seed)
            .expect("a folder that can be written to");
    }
}
