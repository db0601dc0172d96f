//! Who listens to the facts of a trial.

pub mod accounts;
pub mod holding;
pub mod ledger;
pub mod log;
