#![no_main]

use libfuzzer_sys::fuzz_target;
use reconverge_fuzz::fuzzing::{Target, one};
use reconverge_fuzz::prepare;

fuzz_target!(init: prepare(Target::Restore), |bytes: &[u8]| one(Target::Restore, bytes));
