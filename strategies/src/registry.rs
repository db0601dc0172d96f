//! The list of strategies: one line each.

use crate::contract::Strategy;
use crate::versioned::Versioned;
use crate::{
    crdt, event_graph, full_copy, gossip, lww, online_only, ot, revision_tree, version_vector,
};

/// Every built-in strategy, in the order of tables.
pub fn registry() -> &'static [&'static dyn Strategy] {
    REGISTRY
}

const REGISTRY: &[&dyn Strategy] = &[
    &Versioned(lww::Lww::WALL),
    &Versioned(lww::Lww::LAMPORT),
    &Versioned(lww::Lww::HLC),
    &Versioned(lww::Lww::RECORD),
    &Versioned(lww::Lww::SERVER_ORDER),
    &Versioned(lww::Lww::PROMPT),
    &Versioned(version_vector::CLIENT_IDS),
    &Versioned(version_vector::SERVER_IDS),
    &Versioned(version_vector::DOTTED),
    &Versioned(version_vector::MERGE),
    &Versioned(revision_tree::REVISION_TREE),
    &Versioned(ot::Central),
    &Versioned(ot::Uncomposed),
    &Versioned(ot::Relay),
    &Versioned(crdt::groups::STATE),
    &Versioned(crdt::groups::DELTA),
    &Versioned(crdt::groups::DELTA_BP),
    &Versioned(crdt::groups::DELTA_RR),
    &Versioned(crdt::groups::DELTA_BP_RR),
    &Versioned(crdt::OP),
    &Versioned(crdt::DIGEST),
    &Versioned(crdt::DIGEST_RGA),
    &Versioned(crdt::MERKLE),
    &Versioned(crdt::RATELESS),
    &Versioned(crdt::SCUTTLEBUTT),
    &Versioned(gossip::RUMOR),
    &Versioned(gossip::RUMOR_ONLY),
    &Versioned(event_graph::EventGraph),
    &Versioned(online_only::OnlineOnly),
    &Versioned(full_copy::FullCopy),
];
