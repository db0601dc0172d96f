//! The deterministic discrete-event simulator of Reconverge: any strategy, under any schedule, in any world.

pub mod row;
