//! Replicas in small networks, and what no law asks: that history stays short, that merging is cheap, that nobody's edits are lost when he
//! comes back after months.

mod graphs;
mod history;
mod net;
mod returning;
