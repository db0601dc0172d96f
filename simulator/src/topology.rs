//! Who talks to whom: as the scenario says.

pub use reconverge_scenarios::Graph;
