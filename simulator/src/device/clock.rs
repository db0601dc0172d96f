//! A device's own clocks: wrong by an offset, running at a wrong rate.

use reconverge_strategies::{Clock, Tick, WallTime};

/// 2026-01-01 00:00 UTC in microseconds since 1970: when every trial begins.
pub const EPOCH_US: u64 = 1_767_225_600_000_000;

/// The errors of one device's clocks.
#[derive(Clone, Copy, Debug)]
pub struct DeviceClock {
    offset_us: i64,
    drift_ppb: i64,
}

impl DeviceClock {
    /// A clock that is wrong by so much at the start and so much more every second.
    pub fn new(offset_us: i64, drift_ppb: i64) -> Self {
        DeviceClock { offset_us, drift_ppb }
    }

    /// What it says at a moment of true time. The monotone clock begins with the trial; a restart of the process does not reset it.
    pub fn read(&self, at_ns: u64) -> Clock {
        let drift_ns = i128::from(at_ns) * i128::from(self.drift_ppb) / 1_000_000_000;
        let now_ns = (i128::from(at_ns) + drift_ns).max(0) as u64;
        let wall_us = EPOCH_US + now_ns / 1000;
        Clock { now: Tick(now_ns), wall: WallTime(wall_us.saturating_add_signed(self.offset_us)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offset_and_drift_add_up() {
        let day_ns = 86_400_000_000_000;
        let clock = DeviceClock::new(-250_000, 20_000).read(day_ns);
        assert_eq!(clock.now, Tick(day_ns + 1_728_000_000), "20 ppm of a day");
        assert_eq!(clock.wall, WallTime(EPOCH_US + 86_401_728_000 - 250_000));
    }
}
