//! The deterministic discrete-event simulator of Reconverge: any strategy, under any schedule, in any world.

pub mod plan;
pub mod row;
pub mod streams;
pub mod workload;
