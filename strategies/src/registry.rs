//! The list of strategies: one line each.

use crate::contract::Strategy;
use crate::{crdt, event_graph, full_copy, lww, online_only, ot, version_vector};

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
        &event_graph::EventGraph,
        &online_only::OnlineOnly,
        &full_copy::FullCopy,
    ]
}
