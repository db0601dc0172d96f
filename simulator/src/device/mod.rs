//! The parts of a device: battery, radio, clocks, journal.

pub mod battery;
pub mod clock;
pub mod journal;
pub mod radio;
