//! Last writer wins: every cell is one value with the time of its last write, and the later write wins as a whole.
//!
//! Counters, sets and texts are values like any other: read, changed, written back. Of two people who edit one at the same time, one
//! loses everything that he wrote. That is what products built on "updated_at" columns do, and what this family is here to show.
//! Each variant differs from `lww/hlc` in one thing:
//!
//! | name | what differs | who does that |
//! |---|---|---|
//! | `lww/wall` | the device's own clock says what is later | Cassandra: timestamps that clients mint |
//! | `lww/lamport` | a count of writes says it | Lamport 1978; Riak's and SQLite replicators' row counters |
//! | `lww/hlc` | a hybrid logical clock says it | Kulkarni et al. 2014; CockroachDB, MongoDB |
//! | `lww/record` | the whole record travels and wins | REST back ends that take a resource whole |
//! | `lww/server-order` | the later to arrive at the server wins | Firestore, Firebase Realtime Database |
//! | `lww/prompt` | critical fields keep both and ask the user | file synchronisers, Notes fields with conflict documents |

pub(crate) mod cells;
pub(crate) mod digests;
pub(crate) mod ids;
mod message;
mod queue;
mod records;
mod replica;
mod siblings;
pub(crate) mod stamp;
pub(crate) mod store;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
pub(crate) mod updates;

use crate::contract::{EditIds, Malformed, Profile, Replica, Seat, Strategy, Support};
use cells::Cells;
use records::Records;
use replica::LwwReplica;
use stamp::StampSource;
use store::Rules;

/// How counters, sets and texts are served.
pub(crate) const ONE_VALUE: Support =
    Support::Emulated("one value: read, changed and written back as a whole");

/// Last writer wins, in one of its variants.
#[derive(Debug)]
pub struct Lww {
    name: &'static str,
    summary: &'static str,
    unit: Unit,
    rules: Rules,
}

/// What wins or loses as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Field,
    Record,
}

impl Lww {
    /// Stamps are the device's wall clock in microseconds, ties broken by replica: wrong clocks win or lose unduly. So do Cassandra's
    /// clients (`USING TIMESTAMP`, by default the coordinator's or client's clock).
    pub const WALL: Lww = Lww {
        name: "lww/wall",
        summary: "The later write of a field wins as a whole, by the devices' own clocks.",
        unit: Unit::Field,
        rules: Rules::by(StampSource::Wall),
    };

    /// Stamps are Lamport's counts of writes (CACM 1978), ties broken by replica: what was seen is always earlier, and of concurrent writes
    /// that of the replica which has seen more wins, whenever it was made.
    pub const LAMPORT: Lww = Lww {
        name: "lww/lamport",
        summary: "The later write of a field wins as a whole, by Lamport's logical clocks.",
        unit: Unit::Field,
        rules: Rules::by(StampSource::Lamport),
    };

    /// Stamps are hybrid logical clocks (Kulkarni et al. 2014), ties broken by replica: what was seen is always earlier, and concurrent
    /// writes are ordered by wall clocks. A stamp more than a minute ahead of the own wall clock is merged as it is, but the own
    /// clock does not follow it.
    pub const HLC: Lww = Lww {
        name: "lww/hlc",
        summary: "The later write of a field wins as a whole, by hybrid logical clocks.",
        unit: Unit::Field,
        rules: Rules::by(StampSource::Hlc),
    };

    /// As [`Lww::HLC`], but the unit is the record: it travels whole and wins whole, as where REST clients `PUT` a resource back.
    pub const RECORD: Lww = Lww {
        name: "lww/record",
        summary: "The later write of a record wins as a whole, by hybrid logical clocks.",
        unit: Unit::Record,
        rules: Rules::by(StampSource::Hlc),
    };

    /// The server numbers writes as they arrive, and the higher number wins; an author sees his own writes before that. So do the caches of
    /// Firestore and the Firebase Realtime Database, whose queued offline writes win when they arrive, however old they are.
    pub const SERVER_ORDER: Lww = Lww {
        name: "lww/server-order",
        summary: "Of two writes of a field that which reaches the server later wins as a whole.",
        unit: Unit::Field,
        rules: Rules::by(StampSource::Arrival { decides: false }),
    };

    /// As [`Lww::HLC`], but concurrent writes of a critical field are both kept and put before the user; a deletion spares what its author
    /// had not seen of such a field.
    pub const PROMPT: Lww = Lww {
        name: "lww/prompt",
        summary: "As lww/hlc, but rival writes of critical fields are put before the user.",
        unit: Unit::Field,
        rules: Rules { source: StampSource::Hlc, asks: true },
    };

    /// The rules as they hold in a seat: somebody has to number what arrives.
    fn rules_in(&self, seat: &Seat<'_>) -> Rules {
        let decides = seat.authority == Some(seat.replica);
        match self.rules.source {
            StampSource::Arrival { .. } => Rules::by(StampSource::Arrival { decides }),
            _ => self.rules,
        }
    }
}

impl Strategy for Lww {
    fn name(&self) -> &str {
        self.name
    }

    fn profile(&self) -> Profile {
        let without_server = match self.rules.orders_by_arrival() {
            true => Support::Unsupported("one server decides by what arrives there"),
            false => Support::Native,
        };
        Profile {
            summary: self.summary,
            register: Support::Native,
            counter: ONE_VALUE,
            set: ONE_VALUE,
            text: ONE_VALUE,
            star: Support::Native,
            mesh: without_server,
            graph: without_server,
            session: Support::Native,
            datagram: Support::Native,
            memory_loss: Support::Native,
            exceptions: &[],
            schedule: None,
            edit_ids: EditIds::InCargo,
        }
    }

    fn create(&self, seat: &Seat<'_>) -> Box<dyn Replica> {
        let rules = self.rules_in(seat);
        match self.unit {
            Unit::Field => Box::new(LwwReplica::<Cells>::new(seat, rules)),
            Unit::Record => Box::new(LwwReplica::<Records>::new(seat, rules)),
        }
    }

    fn restore(&self, seat: &Seat<'_>, saved: &[u8]) -> Result<Box<dyn Replica>, Malformed> {
        let rules = self.rules_in(seat);
        Ok(match self.unit {
            Unit::Field => Box::new(LwwReplica::<Cells>::restore(seat, rules, saved)?),
            Unit::Record => Box::new(LwwReplica::<Records>::restore(seat, rules, saved)?),
        })
    }

    fn recode(&self, bytes: &[u8]) -> Result<Vec<u8>, Malformed> {
        match self.unit {
            Unit::Field => message::recode::<Cells>(self.rules, bytes),
            Unit::Record => message::recode::<Records>(self.rules, bytes),
        }
    }
}
