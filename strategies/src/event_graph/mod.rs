//! `event-graph`
mod graph;
mod names;
mod ops;
mod text;
mod tracker;
mod tree;
pub mod vectors;
