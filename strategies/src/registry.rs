//! The list of strategies: one line each.

use crate::contract::Strategy;
use crate::full_copy::FullCopy;
use crate::lww::Lww;

/// Every built-in strategy, in the order of tables.
pub fn registry() -> &'static [&'static dyn Strategy] {
    &[&Lww::WALL, &Lww::HLC, &FullCopy]
use crate::version_vector;

/// Every built-in strategy, in the order of tables.
pub fn registry() -> &'static [&'static dyn Strategy] {
    &[&version_vector::SIBLINGS, &version_vector::MERGE]
    &[&crate::crdt::Delta]
}
