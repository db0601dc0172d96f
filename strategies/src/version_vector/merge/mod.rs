//! `version-vector/merge`: three-way merge against the last common ancestor.

mod adopt;
mod graph;
mod history;
mod message;
mod replica;
mod report;
mod step;
mod stored;
mod three_way;

pub use message::Message;
pub use replica::MergeReplica;
