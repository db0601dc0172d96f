//! What coverage-guided fuzzing found worth keeping (`fuzz/corpus`), given to every strategy, whichever it was found with.

#[path = "laws/allocation.rs"]
mod allocation;
#[path = "laws/editor.rs"]
mod editor;
#[allow(dead_code, reason = "the fuzzers use all of it")]
#[path = "laws/fuzzing.rs"]
mod fuzzing;
#[allow(dead_code, reason = "the laws use all of it")]
#[path = "laws/harness.rs"]
mod harness;
#[allow(dead_code, reason = "the laws use all of it")]
#[path = "laws/reports.rs"]
mod reports;
#[allow(dead_code, reason = "the laws use all of it")]
#[path = "laws/stage.rs"]
mod stage;
#[allow(dead_code, reason = "the laws use all of it")]
#[path = "laws/wander.rs"]
mod wander;

use fuzzing::{Target, each};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;

/// Every target has at least so many inputs.
const LEAST_INPUTS: usize = 20;

#[test]
fn recode() {
    replay(Target::Recode);
}

#[test]
fn restore() {
    replay(Target::Restore);
}

#[test]
fn receive() {
    replay(Target::Receive);
}

#[test]
fn wire() {
    replay(Target::Wire);
}

/// Every input of a target, in every strategy.
fn replay(target: Target) {
    fuzzing::prepare();
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target.name());
    let files = std::fs::read_dir(&dir).expect("fuzz/corpus is part of the repository");
    let mut files: Vec<_> = files.map(|file| file.expect("a readable folder").path()).collect();
    files.sort_unstable();
    assert!(files.len() >= LEAST_INPUTS, "{}: only {} inputs", dir.display(), files.len());
    for file in files {
        let bytes = std::fs::read(&file).expect("a readable file");
        let mut strategy = "";
        let given = AssertUnwindSafe(|| each(target, &bytes, |name| strategy = name));
        if let Err(panic) = catch_unwind(given) {
            eprintln!("{} breaks {strategy}", file.display());
            resume_unwind(panic);
        }
    }
}
