//! The list of strategies: one line each.

use crate::contract::Strategy;
use crate::versioned::Versioned;
use crate::{crdt, event_graph, full_copy, lww, online_only, ot, version_vector};
use crate::{crdt, event_graph, full_copy, lww, online_only, ot, revision_tree, version_vector};

/// Every built-in strategy, in the order of tables.
pub fn registry() -> &'static [&'static dyn Strategy] {
    REGISTRY
use crate::{crdt, event_graph, full_copy, gossip, lww, online_only, ot, version_vector};

/// Every built-in strategy, in the order of tables.
pub fn registry() -> &'static [&'static dyn Strategy] {
    &[
        &lww::Lww::WALL,
        &lww::Lww::LAMPORT,
        &lww::Lww::HLC,
        &lww::Lww::RECORD,
        &lww::Lww::SERVER_ORDER,
        &lww::Lww::PROMPT,
        &version_vector::CLIENT_IDS,
        &version_vector::SERVER_IDS,
        &version_vector::DOTTED,
        &version_vector::MERGE,
        &revision_tree::REVISION_TREE,
        &ot::Central,
        &ot::Uncomposed,
        &ot::Relay,
        &crdt::groups::STATE,
        &crdt::groups::DELTA,
        &crdt::groups::DELTA_BP,
        &crdt::groups::DELTA_RR,
        &crdt::groups::DELTA_BP_RR,
        &crdt::OP,
        &crdt::DIGEST,
        &crdt::DIGEST_RGA,
        &crdt::MERKLE,
        &crdt::RATELESS,
        &crdt::SCUTTLEBUTT,
        &gossip::RUMOR,
        &gossip::RUMOR_ONLY,
        &event_graph::EventGraph,
        &online_only::OnlineOnly,
        &full_copy::FullCopy,
    ]
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
    &Versioned(event_graph::EventGraph),
    &Versioned(online_only::OnlineOnly),
    &Versioned(full_copy::FullCopy),
];
