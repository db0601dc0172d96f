//! Scenario files of Reconverge: what a world looks like, as data.

mod scenario;

pub use scenario::*;
