//! The deterministic discrete-event simulator of Reconverge: any strategy, under any schedule, in any world.

pub mod agenda;
pub mod device;
pub mod fact;
pub mod network;
pub mod oracle;
pub mod partitions;
pub mod plan;
pub mod probe;
pub mod row;
pub mod schedule;
pub mod streams;
pub mod topology;
pub mod trial;
pub mod workload;
pub mod world;
