//! The contract, the document model and the synchronisation strategies of Reconverge.
//!
//! Start with [`contract`]: what a strategy is. Then [`document`]: what it synchronises. Then any strategy.

pub mod contract;
pub mod crdt;
pub mod document;
pub mod event_graph;
pub mod full_copy;
pub mod gossip;
pub mod lineage;
pub mod lww;
pub mod online_only;
pub mod ot;
pub mod partitioned;
pub mod reconcile;
mod registry;
pub mod revision_tree;
pub mod vectors;
pub mod version_vector;
pub mod versioned;
pub mod wire;
#[cfg(feature = "yrs")]
pub mod yrs;

pub use contract::*;
pub use document::*;
pub use registry::registry;
