//! The list of strategies: one line each.

use crate::contract::Strategy;
use crate::{crdt, full_copy, lww, version_vector};

/// Every built-in strategy, in the order of tables.
pub fn registry() -> &'static [&'static dyn Strategy] {
    &[
        &lww::Lww::WALL,
        &lww::Lww::HLC,
        &version_vector::SIBLINGS,
        &version_vector::MERGE,
        &crdt::Delta,
        &full_copy::FullCopy,
    ]
use crate::full_copy::FullCopy;
use crate::lww::Lww;
use crate::online_only::OnlineOnly;

/// Every built-in strategy, in the order of tables.
pub fn registry() -> &'static [&'static dyn Strategy] {
    &[&Lww::WALL, &Lww::HLC, &OnlineOnly, &FullCopy]
}
