//! Reading groups of devices: their schedule, clocks, users and crashes.

use crate::built_in;
use crate::resolve::device::device;
use crate::resolve::law::{duration, law, window};
use crate::resolve::link::link;
use crate::resolve::none_or;
use crate::resolve::outage::outage;
use crate::scenario::{
    ClockError, Crashes, DurationLaw, Group, Schedule, ScheduleKind, User, Window,
};
use crate::section::{Place, Section};
use crate::units::{HOUR, MINUTE, SECOND};

/// The most devices that a scenario may have.
pub(crate) const MOST_DEVICES: u32 = 10_000;

/// The most partitions that a document may have.
pub(crate) const MOST_PARTITIONS: u32 = 1000;

/// A group of devices.
pub(crate) fn group(section: &Section<'_>) -> Option<Group> {
    let name = section.require("name", "a name", Place::name);
    let count = section.read_or("count", 1, |place| place.small(1..=MOST_DEVICES));
    let device = section.require("device", "a device", device);
    let link = section.require("link", "a network", link);
    let outages =
        section.read_or("outages", Vec::new(), |place| place.list("a list of outages", outage));
    let schedule = section.read_or("schedule", default_schedule(), schedule);
    let has_battery = device.as_ref().is_some_and(|device| device.battery.is_some());
    let clock = section.read_or("clock", default_clock(has_battery), |place| {
        place.table("a table", |section| clock(section, has_battery))
    });
    let default_user = has_battery.then(default_user);
    let user = section.read_or("user", default_user, |place| none_or(place, user));
    let kills = section.read_or("kills", None, |place| none_or(place, crashes(RESTART)));
    let power_losses = section.read_or("power_losses", None, |place| none_or(place, crashes(BOOT)));
    let partitions_held = section.read_or("partitions_held", None, |place| {
        if place.as_text() == Some("all") { Some(None) } else { partitions_held(place).map(Some) }
    });
    Some(Group {
        name: name?,
        count: count?,
        device: device?,
        link: link?,
        outages: outages?,
        schedule: schedule?,
        clock: clock?,
        user: user?,
        kills: kills?,
        power_losses: power_losses?,
        partitions_held: partitions_held?,
    })
}

fn partitions_held(place: &Place<'_>) -> Option<u32> {
    match place.as_text() {
        Some(_) => place.refuse("a number of partitions, or `all`"),
        None => place.small(1..=MOST_PARTITIONS),
    }
}

/// How long `batched` lets the oldest unsent edit wait: 30 s, as CouchDB's replicator does between checkpoints
/// (numbers.md, C).
const AGE: u64 = 30 * SECOND;
/// The interval of `periodic`, `rounds` and `random-peer`, and of `battery-aware` while saving: 15 min, the shortest that Android's WorkManager takes
/// (numbers.md, B.7).
const INTERVAL: u64 = 15 * MINUTE;
/// The shortest interval of `periodic`, `rounds` and `random-peer`: shorter ones would make events without end.
const SHORTEST_INTERVAL: u64 = 100_000_000;

/// At once, as most clients do while online (numbers.md, C: Replicache waits 10 ms, Firestore not at all).
fn default_schedule() -> Schedule {
    Schedule { kind: ScheduleKind::Immediate, age_ns: AGE, interval_ns: INTERVAL }
}

fn schedule(place: &Place<'_>) -> Option<Schedule> {
    let kinds = built_in::schedule_kinds();
    if place.as_text().is_some() {
        return Some(Schedule { kind: place.choice(&kinds)?, ..default_schedule() });
    }
    // Keys that the kind does not use are allowed, so that one override can change the kind.
    place.table("the name of a schedule or a table", |section| {
        let kind = section.require("kind", "the name of a schedule", |place| place.choice(&kinds));
        let age_ns = section.read_or("age", AGE, duration(0));
        let interval_ns = section.read_or("interval", INTERVAL, duration(SHORTEST_INTERVAL));
        Some(Schedule { kind: kind?, age_ns: age_ns?, interval_ns: interval_ns? })
    })
}

/// Clocks of battery devices: offset lognormal with a median of 100 ms, frequency error 20 ppm; of devices on mains: kept
/// within 10 ms by NTP, which also takes out the drift (numbers.md, A.6).
fn default_clock(has_battery: bool) -> ClockError {
    if has_battery {
        let offset = DurationLaw::Lognormal { median_ns: 100_000_000, sigma: 1.0 };
        ClockError { offset, drift_ppm: 20 }
    } else {
        let offset = DurationLaw::Uniform { from_ns: 0, until_ns: 10_000_000 };
        ClockError { offset, drift_ppm: 0 }
    }
}

fn clock(section: &Section<'_>, has_battery: bool) -> Option<ClockError> {
    let default = default_clock(has_battery);
    let offset = section.read_or("offset", default.offset, law(0));
    // A clock that is a tenth off (five times 20,000 ppm) is broken beyond any use.
    let drift_ppm = section.read_or("drift_ppm", default.drift_ppm, |p| p.small(0..=20_000));
    Some(ClockError { offset: offset?, drift_ppm: drift_ppm? })
}

/// A user who is present about an hour a day, in sessions of a minute with a heavy tail (numbers.md, A.5: Böhmer 2011,
/// Falaki 2010). The hours awake and the time to think over a prompt are assumptions.
fn default_user() -> User {
    User {
        awake: Window { from_ns: 7 * HOUR, until_ns: 23 * HOUR },
        session: DurationLaw::Weibull { mean_ns: MINUTE, shape: 0.5 },
        gap: DurationLaw::Exponential { mean_ns: 15 * MINUTE },
        think: DurationLaw::Lognormal { median_ns: 20 * SECOND, sigma: 0.8 },
    }
}

fn user(section: &Section<'_>) -> Option<User> {
    let default = default_user();
    let awake = section.read_or("awake", default.awake, window);
    let session = section.read_or("session", default.session, law(SECOND));
    let gap = section.read_or("gap", default.gap, law(SECOND));
    let think = section.read_or("think", default.think, law(0));
    Some(User { awake: awake?, session: session?, gap: gap?, think: think? })
}

/// How long a killed process is away: a cold start, an assumption.
const RESTART: u64 = 2 * SECOND;
/// How long a device without power is away: as long as it takes to boot, an assumption.
const BOOT: u64 = 30 * SECOND;

fn crashes(restart_ns: u64) -> impl Fn(&Section<'_>) -> Option<Crashes> {
    move |section| {
        let mean_ns = section.require("mean", "a duration", duration(SECOND));
        let restart_ns = section.read_or("restart", restart_ns, duration(0));
        Some(Crashes { mean_ns: mean_ns?, restart_ns: restart_ns? })
    }
}
