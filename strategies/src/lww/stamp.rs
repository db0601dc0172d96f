//! When a write was made, as far as its author's clock can tell: the order that decides which value wins.

use crate::contract::{Malformed, WallTime};
use crate::document::ReplicaId;
use crate::wire::{Reader, Writer};

/// Times at or above this (292,000 years of microseconds, or 4,400 years of a hybrid clock) are nonsense on the wire, so that adding
/// one to a stored time never overflows.
const TIME_LIMIT: u64 = 1 << 63;

/// How far a received hybrid time may be ahead of this device's wall clock and still move the own hybrid clock: one minute, as in the
/// hybrid logical clock of Azure IoT Operations (`DEFAULT_MAX_CLOCK_DRIFT`). Servers that keep time well allow less (CockroachDB
/// `--max-offset`: 500 ms), MongoDB a year (`maxAcceptableLogicalClockDriftSecs`). Clocks of phones are mostly within seconds, and some
/// are an hour off.
const MOST_AHEAD_MS: u64 = 60 * 1000;

/// Times of writes that no authority has seen yet begin here, above all that it has.
const PENDING: u64 = 1 << 62;

/// Writes that one incarnation may number before it meets the numbers of the next.
const NUMBERS_PER_INCARNATION: u64 = 1 << 29;

/// Position of a write in the total order of all writes to a cell or record: the greater stamp wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Stamp {
    /// Microseconds of a wall clock, a count of writes, milliseconds and a 16-bit counter of a hybrid clock, or an authority's number;
    /// never 0 but for genesis.
    pub time: u64,
    /// The author; decides between equal times.
    pub replica: ReplicaId,
    /// The author's incarnation: one that lost its memory may read the same time again.
    pub incarnation: u32,
}

impl Stamp {
    /// The stamp of what everybody holds from the beginning; below all others.
    pub const GENESIS: Stamp = Stamp { time: 0, replica: ReplicaId::GENESIS, incarnation: 0 };

    /// The number that its author gave a write which awaits the authority's; `None` of all others.
    pub fn pending(self) -> Option<u64> {
        self.time.checked_sub(PENDING)
    }

    /// The lowest stamp above this one.
    pub fn next(self) -> Stamp {
        if self == Stamp::GENESIS {
            return Stamp { time: 1, replica: ReplicaId(0), incarnation: 0 };
        }
        match self.incarnation.checked_add(1) {
            Some(incarnation) => Stamp { incarnation, ..self },
            None => Stamp { time: self.time + 1, ..self },
        }
    }

    /// Whose write it is: a replica that lost its memory is another author.
    pub fn author(self) -> (ReplicaId, u32) {
        (self.replica, self.incarnation)
    }

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
    /// A count of writes, pushed forward by every stamp received (Lamport: "Time, clocks, and the ordering of events in a distributed
    /// system", CACM 21(7), 1978).
    Lamport,
    /// A hybrid logical clock (Kulkarni, Demirbas, Madappa, Avva, Leone: "Logical Physical Clocks", OPODIS 2014): 48 bits of wall clock
    /// milliseconds above a 16-bit counter, pushed forward by every stamp received. A full counter carries into the milliseconds.
    Hlc,
    /// The authority numbers writes as they arrive. Until then a write stands above all that the authority has numbered.
    Arrival {
        /// Whether this replica is the authority.
        decides: bool,
    },
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
        let last = match source {
            // Memory of numbers given out may be lost; those of an earlier incarnation are all below.
            StampSource::Arrival { .. } => u64::from(incarnation) * NUMBERS_PER_INCARNATION,
            _ => 0,
        };
        StampClock { source, replica, incarnation, last }
    }

    /// A stamp for a write made now, later than `seen`.
    pub fn stamp(&mut self, wall: WallTime, seen: u64) -> Stamp {
        self.last = self.reading(wall).max(self.last + 1);
        let time = match self.source {
            StampSource::Arrival { decides: false } => PENDING + self.last,
            _ => self.last.max(seen + 1),
        };
        Stamp { time, replica: self.replica, incarnation: self.incarnation }
    }

    fn reading(&self, wall: WallTime) -> u64 {
        match self.source {
            StampSource::Wall => wall.0.min(TIME_LIMIT - 1),
            StampSource::Lamport | StampSource::Arrival { .. } => 0,
            StampSource::Hlc => milliseconds(wall) << 16,
        }
    }

    /// Whether all stamps that are minted from now on are later than a time; where an authority numbers them, they always are.
    pub fn has_passed(&self, wall: WallTime, time: u64) -> bool {
        let by_arrival = matches!(self.source, StampSource::Arrival { .. });
        by_arrival || time <= self.last.max(self.reading(wall))
    }

    /// Makes it so from now on, also where the wall clock goes back.
    pub fn pass(&mut self, time: u64) {
        if !matches!(self.source, StampSource::Arrival { .. }) {
            self.last = self.last.max(time);
        }
    }

    /// The authority's number for somebody's write that has just arrived.
    pub fn number(&mut self, write: Stamp) -> Stamp {
        self.last += 1;
        Stamp { time: self.last, ..write }
    }

    /// Takes note of a stamp that arrived. A wall clock takes no note. A count of writes moves forward to it. A hybrid clock does so
    /// unless it is more than a minute ahead of this device's wall clock: such a write is merged like any other (or
    /// replicas would differ), but one broken clock must not carry all others into the future. An authority that lost its memory
    /// learns from what others remember.
    pub fn observe(&mut self, received: Stamp, wall: WallTime) {
        let follows = match self.source {
            StampSource::Wall | StampSource::Arrival { decides: false } => false,
            // A count that high was not counted.
            StampSource::Lamport | StampSource::Arrival { decides: true } => {
                received.time < PENDING
            }
            StampSource::Hlc => received.time >> 16 <= milliseconds(wall) + MOST_AHEAD_MS,
        };
        if follows {
            self.last = self.last.max(received.time);
        }
    }

    /// Continues after a reading that was saved.
    pub fn resume(&mut self, last: u64) -> Result<(), Malformed> {
        let limit = match self.source {
            StampSource::Arrival { .. } => PENDING,
            _ => TIME_LIMIT,
        };
        if last >= limit {
            return Err(Malformed("a clock beyond all times"));
        }
        self.last = self.last.max(last);
        Ok(())
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
        for source in [StampSource::Wall, StampSource::Lamport, StampSource::Hlc] {
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
        for source in [StampSource::Wall, StampSource::Lamport, StampSource::Hlc] {
            let mut clock = clock(source);
            let far = 1 << 60;
            assert_eq!(clock.stamp(WallTime(1_000_000), far).time, far + 1);
            assert!(clock.stamp(WallTime(1_000_001), 0).time < 1 << 40, "{source:?} was dragged");
        }
    }

    #[test]
    fn a_hybrid_clock_follows_what_it_receives_up_to_a_minute_ahead() {
        let wall = WallTime(1_000_000_000_000);
        let at =
            |time_ms: u64| Stamp { time: time_ms << 16, replica: ReplicaId(1), incarnation: 0 };
        let minute_ahead_ms = 1_000_000_000 + MOST_AHEAD_MS;
        let mut hybrid = clock(StampSource::Hlc);
        hybrid.observe(at(minute_ahead_ms + 1), wall);
        assert_eq!(hybrid.stamp(wall, 0).time, 1_000_000_000 << 16, "not dragged");
        hybrid.observe(at(minute_ahead_ms), wall);
        assert_eq!(hybrid.stamp(wall, 0).time, (minute_ahead_ms << 16) + 1, "counter 1");
        let mut wall_clock = clock(StampSource::Wall);
        wall_clock.observe(at(1_000_000_001), wall);
        assert_eq!(wall_clock.stamp(wall, 0).time, wall.0);
    }

    #[test]
    fn a_count_of_writes_follows_what_it_receives_but_for_nonsense() {
        let at = |time| Stamp { time, replica: ReplicaId(1), incarnation: 0 };
        let mut clock = clock(StampSource::Lamport);
        assert_eq!(clock.stamp(WallTime(1 << 50), 0).time, 1, "no clock is asked");
        clock.observe(at(40), WallTime(0));
        assert_eq!(clock.stamp(WallTime(0), 0).time, 41);
        clock.observe(at(TIME_LIMIT - 1), WallTime(0));
        assert_eq!(clock.stamp(WallTime(0), 0).time, 42);
    }

    #[test]
    fn what_awaits_its_number_stands_above_all_that_has_one() {
        let mut author = clock(StampSource::Arrival { decides: false });
        let mut authority = clock(StampSource::Arrival { decides: true });
        let write = author.stamp(WallTime(0), 1000);
        assert_eq!(write.pending(), Some(1));
        let numbered = authority.number(write);
        assert_eq!((numbered.time, numbered.replica, numbered.pending()), (1, ReplicaId(3), None));
        let mut again = StampClock::new(StampSource::Arrival { decides: true }, ReplicaId(3), 1);
        assert!(again.stamp(WallTime(0), 0) > authority.stamp(WallTime(0), 0), "memory was lost");
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
