//! The list of strategies: one line each.

use crate::contract::Strategy;
use crate::partitioned::Partitioned;
use crate::versioned::Versioned;
use crate::{
    crdt, event_graph, full_copy, gossip, lww, online_only, ot, revision_tree, version_vector,
};

/// Every built-in strategy, in the order of tables.
pub fn registry() -> &'static [&'static dyn Strategy] {
    REGISTRY
}

const REGISTRY: &[&dyn Strategy] = &[
    &Versioned(Partitioned(lww::Lww::WALL)),
    &Versioned(Partitioned(lww::Lww::LAMPORT)),
    &Versioned(Partitioned(lww::Lww::HLC)),
    &Versioned(Partitioned(lww::Lww::RECORD)),
    &Versioned(Partitioned(lww::Lww::SERVER_ORDER)),
    &Versioned(Partitioned(lww::Lww::PROMPT)),
    &Versioned(Partitioned(version_vector::CLIENT_IDS)),
    &Versioned(Partitioned(version_vector::SERVER_IDS)),
    &Versioned(Partitioned(version_vector::DOTTED)),
    &Versioned(Partitioned(version_vector::MERGE)),
    &Versioned(Partitioned(revision_tree::REVISION_TREE)),
    &Versioned(Partitioned(ot::Central)),
    &Versioned(Partitioned(ot::Uncomposed)),
    &Versioned(Partitioned(ot::Relay)),
    &Versioned(Partitioned(crdt::groups::STATE)),
    &Versioned(Partitioned(crdt::groups::DELTA)),
    &Versioned(Partitioned(crdt::groups::DELTA_BP)),
    &Versioned(Partitioned(crdt::groups::DELTA_RR)),
    &Versioned(Partitioned(crdt::groups::DELTA_BP_RR)),
    &Versioned(Partitioned(crdt::OP)),
    &Versioned(Partitioned(crdt::DIGEST)),
    &Versioned(Partitioned(crdt::DIGEST_RGA)),
    &Versioned(Partitioned(crdt::MERKLE)),
    &Versioned(Partitioned(crdt::RATELESS)),
    &Versioned(Partitioned(crdt::SCUTTLEBUTT)),
    &Versioned(Partitioned(gossip::RUMOR)),
    &Versioned(Partitioned(gossip::RUMOR_ONLY)),
    &Versioned(Partitioned(event_graph::EventGraph)),
    &Versioned(Partitioned(online_only::OnlineOnly)),
    &Versioned(Partitioned(full_copy::FullCopy)),
    #[cfg(feature = "yrs")]
    &Versioned(Partitioned(crate::yrs::Yrs)),
];
