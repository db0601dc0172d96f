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
    &Versioned(Partitioned(event_graph::EventGraph)),
    &Versioned(Partitioned(online_only::OnlineOnly)),
    &Versioned(Partitioned(full_copy::FullCopy)),
];
