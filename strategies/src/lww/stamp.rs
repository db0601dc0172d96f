//! When a write was made, as far as its author's clock can tell: the order that decides which value wins.

use crate::contract::{Malformed, WallTime};
use crate::document::ReplicaId;
use crate::wire::{Reader, Writer};

/// Times at or above this (292,000 years of microseconds, or 4,400 years of a hybrid clock) are nonsense on the wire, so that adding
/// one to a stored time never overflows.
const TIME_LIMIT: u64 = 1 << 63;

/// How far a received hybrid time may be ahead of this device's wall clock and still move the own hybrid clock.
const MOST_AHEAD_MS: u64 = 24 * 60 * 60 * 1000;

/// Position of a write in the total order of all writes to a cell or record: the greater stamp wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Stamp {
    /// Microseconds of a wall clock, or milliseconds and a 16-bit counter of a hybrid clock; never 0 but for genesis.
    pub time: u64,
    /// The author; decides between equal times.
    pub replica: ReplicaId,
    /// The author's incarnation: one that lost its memory may read the same time again.
    pub incarnation: u32,
}

impl Stamp {
    /// The stamp of what everybody holds from the beginning; below all others.
    pub const GENESIS: Stamp = Stamp { time: 0, replica: ReplicaId::GENESIS, incarnation: 0 };

    pub fn write(self, writer: &mut Writer) {
        writer.uint(self.time);
        let again = self.incarnation > 0;
        writer.uint(u64::from(self.replica.0.wrapping_add(1)) << 1 | u64::from(again));
        if again {
            writer.uint(u64::from(self.incarnation));
        }
    }

    pub fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let time = reader.uint()?;
        let author = reader.uint()?;
        let replica = u32::try_from(author >> 1).map_err(|_| Malformed("author out of range"))?;
        let replica = ReplicaId(replica.wrapping_sub(1));
        let incarnation = if author & 1 == 1 { reader.uint32()? } else { 0 };
        let sound = if replica == ReplicaId::GENESIS {
            time == 0 && author == 0
        } else {
            time > 0 && time < TIME_LIMIT && (incarnation > 0) == (author & 1 == 1)
        };
        if sound {
            Ok(Stamp { time, replica, incarnation })
        } else {
            Err(Malformed("impossible stamp"))
        }
    }
}

/// Which clock a replica stamps its writes with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StampSource {
    /// The device's wall clock, in microseconds, right or wrong.
    Wall,
    /// A hybrid logical clock (Kulkarni, Demirbas, Madappa, Avva, Leone: "Logical Physical Clocks", OPODIS 2014): 48 bits of wall clock
    /// milliseconds above a 16-bit counter, pushed forward by every stamp received. A full counter carries into the milliseconds.
    Hlc,
}

/// Mints the stamps of one replica.
///
/// Its readings strictly increase, also where the wall clock goes back: each is the clock's time or the last reading plus one, whichever
/// is later. A write is always later than what its author saw in that place, so a stamp is at least one above it; that
/// lifts this one stamp and not the clock. Stamps of one replica are therefore unique within a record, which is where they are compared.
#[derive(Clone, Debug)]
pub(crate) struct StampClock {
    source: StampSource,
    replica: ReplicaId,
    incarnation: u32,
    /// The last reading.
    pub last: u64,
}

impl StampClock {
    pub fn new(source: StampSource, replica: ReplicaId, incarnation: u32) -> Self {
        StampClock { source, replica, incarnation, last: 0 }
    }

    /// A stamp for a write made now, later than `seen`.
    pub fn stamp(&mut self, wall: WallTime, seen: u64) -> Stamp {
        let time = match self.source {
            StampSource::Wall => wall.0.min(TIME_LIMIT - 1),
            StampSource::Hlc => milliseconds(wall) << 16,
        };
        self.last = time.max(self.last + 1);
        let time = self.last.max(seen + 1);
        Stamp { time, replica: self.replica, incarnation: self.incarnation }
    }

    /// Takes note of a stamp that arrived. A wall clock takes no note. A hybrid clock moves forward to it, unless it is more than 24
    /// hours ahead of this device's wall clock: such a write is merged like any other (or replicas would differ),
    /// but one broken clock must not carry all others into the future.
    pub fn observe(&mut self, received: Stamp, wall: WallTime) {
        let credible = received.time >> 16 <= milliseconds(wall) + MOST_AHEAD_MS;
        if self.source == StampSource::Hlc && credible {
            self.last = self.last.max(received.time);
        }
    }
}

/// Wall clock milliseconds, kept below what a hybrid time can hold.
fn milliseconds(wall: WallTime) -> u64 {
    (wall.0 / 1000).min((TIME_LIMIT >> 16) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(source: StampSource) -> StampClock {
        StampClock::new(source, ReplicaId(3), 0)
    }

    #[test]
    fn own_stamps_increase_when_the_wall_clock_goes_back() {
        for source in [StampSource::Wall, StampSource::Hlc] {
            let mut clock = clock(source);
            let mut before = clock.stamp(WallTime(5_000_000), 0);
            for wall in [4_000_000, 0, 4_999_999, 5_000_000, 5_000_500, 9_000_000, 8_000_000] {
                let stamp = clock.stamp(WallTime(wall), 0);
                assert!(stamp > before, "{source:?} at {wall}: {stamp:?} after {before:?}");
                before = stamp;
            }
        }
    }

    #[test]
    fn a_write_is_later_than_what_it_overwrites_without_moving_the_clock() {
        for source in [StampSource::Wall, StampSource::Hlc] {
            let mut clock = clock(source);
            let far = 1 << 60;
            assert_eq!(clock.stamp(WallTime(1_000_000), far).time, far + 1);
            assert!(clock.stamp(WallTime(1_000_001), 0).time < 1 << 40, "{source:?} was dragged");
        }
    }

    #[test]
    fn a_hybrid_clock_follows_what_it_receives_up_to_a_day_ahead() {
        let wall = WallTime(1_000_000_000_000);
        let at =
            |time_ms: u64| Stamp { time: time_ms << 16, replica: ReplicaId(1), incarnation: 0 };
        let day_ahead_ms = 1_000_000_000 + MOST_AHEAD_MS;
        let mut hybrid = clock(StampSource::Hlc);
        hybrid.observe(at(day_ahead_ms + 1), wall);
        assert_eq!(hybrid.stamp(wall, 0).time, 1_000_000_000 << 16, "not dragged");
        hybrid.observe(at(day_ahead_ms), wall);
        assert_eq!(hybrid.stamp(wall, 0).time, (day_ahead_ms << 16) + 1, "counter 1");
        let mut wall_clock = clock(StampSource::Wall);
        wall_clock.observe(at(1_000_000_001), wall);
        assert_eq!(wall_clock.stamp(wall, 0).time, wall.0);
    }

    #[test]
    fn stamps_survive_the_wire_and_impossible_ones_are_refused() {
        let author =
            |time, replica, incarnation| Stamp { time, replica: ReplicaId(replica), incarnation };
        for stamp in [Stamp::GENESIS, author(1, 0, 0), author(TIME_LIMIT - 1, 70, 3)] {
            let mut writer = Writer::new();
            stamp.write(&mut writer);
            let bytes = writer.finish();
            let mut reader = Reader::new(&bytes);
            assert_eq!(Stamp::read(&mut reader), Ok(stamp));
            assert!(reader.is_empty());
        }
        for stamp in [author(0, 1, 0), author(TIME_LIMIT, 1, 0), author(5, u32::MAX, 0)] {
            let mut writer = Writer::new();
            stamp.write(&mut writer);
            assert!(Stamp::read(&mut Reader::new(&writer.finish())).is_err(), "{stamp:?}");
        }
    }
}
