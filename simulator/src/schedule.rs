//! When a device speaks. A schedule decides from signals that a device has: what is pending, and the state of its battery.

use crate::streams::Streams;
use reconverge_scenarios::{Schedule, ScheduleKind};
use reconverge_strategies::OwnSchedule;

/// What a device that has something pending should do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Speak after so long, unless it is to speak earlier already.
    After(u64),
    /// Wait for the next tick, or for others.
    Wait,
}

/// How one device decides.
#[derive(Clone, Debug, PartialEq)]
pub enum Rule {
    /// As the scenario says.
    Scenario(Schedule),
    /// Never first: it answers.
    Silent,
}

/// Signals of a device.
#[derive(Clone, Copy, Debug)]
pub struct Signals {
    /// The charger is plugged in, or there is no battery.
    pub powered: bool,
    /// The charge is below the saver threshold.
    pub saving: bool,
}

impl Rule {
    /// The rule of a device, given what its strategy insists on. A hub whose clients have their own rhythm does not break it.
    pub fn new(schedule: &Schedule, own: Option<OwnSchedule>, is_hub: bool) -> Rule {
        match own {
            None => Rule::Scenario(schedule.clone()),
            Some(OwnSchedule::Immediate) if is_hub => Rule::Scenario(schedule.clone()),
            Some(OwnSchedule::Periodic { .. }) if is_hub => Rule::Silent,
            Some(OwnSchedule::Immediate) => {
                Rule::Scenario(Schedule { kind: ScheduleKind::Immediate, ..schedule.clone() })
            }
            Some(OwnSchedule::Periodic { interval_s }) => Rule::Scenario(Schedule {
                kind: ScheduleKind::Periodic,
                interval_ns: interval_s * 1_000_000_000,
                ..schedule.clone()
            }),
        }
    }

    /// What to do about something that just became pending.
    pub fn decide(&self, signals: Signals) -> Decision {
        let Rule::Scenario(schedule) = self else { return Decision::Wait };
        match schedule.kind {
            ScheduleKind::Immediate => Decision::After(0),
            ScheduleKind::Periodic | ScheduleKind::Rounds | ScheduleKind::RandomPeer => {
                Decision::Wait
            }
            ScheduleKind::Batched => Decision::After(schedule.age_ns),
            ScheduleKind::BatteryAware => Decision::After(if signals.powered {
                0
            } else if signals.saving {
                schedule.interval_ns
            } else {
                schedule.age_ns
            }),
        }
    }

    /// The interval of its ticks, where it has any.
    pub fn tick_ns(&self) -> Option<u64> {
        let Rule::Scenario(schedule) = self else { return None };
        match schedule.kind {
            ScheduleKind::Periodic | ScheduleKind::Rounds | ScheduleKind::RandomPeer => {
                Some(schedule.interval_ns.max(1))
            }
            ScheduleKind::Immediate | ScheduleKind::Batched | ScheduleKind::BatteryAware => None,
        }
    }

    /// The time of the first tick of device `number` of `count`, where it has any: evenly spread in rounds, else at random.
    pub fn first_tick_ns(&self, number: u32, count: u32, streams: &Streams) -> Option<u64> {
        let interval_ns = self.tick_ns()?;
        let in_rounds = matches!(self, Rule::Scenario(s) if s.kind == ScheduleKind::Rounds);
        Some(if in_rounds {
            (u128::from(interval_ns) * u128::from(number) / u128::from(count)) as u64
        } else {
            streams.stream("tick", number).below(interval_ns)
        })
    }

    /// Whether a tick is for one peer drawn at random, and not for all of them.
    pub fn draws_partners(&self) -> bool {
        matches!(self, Rule::Scenario(schedule) if schedule.kind == ScheduleKind::RandomPeer)
    }

    /// In words, as in the column `schedule`.
    pub fn describe(&self) -> String {
        let Rule::Scenario(schedule) = self else { return "silent".into() };
        let kind = schedule.kind.name();
        match schedule.kind {
            ScheduleKind::Immediate => kind.into(),
            ScheduleKind::Periodic | ScheduleKind::Rounds | ScheduleKind::RandomPeer => {
                format!("{kind} {}", duration_text(schedule.interval_ns))
            }
            ScheduleKind::Batched => format!("{kind} {}", duration_text(schedule.age_ns)),
            ScheduleKind::BatteryAware => format!(
                "{kind} {}/{}",
                duration_text(schedule.age_ns),
                duration_text(schedule.interval_ns)
            ),
        }
    }
}

/// A duration in its largest whole unit.
fn duration_text(ns: u64) -> String {
    let units = [
        (3_600_000_000_000, "h"),
        (60_000_000_000, "min"),
        (1_000_000_000, "s"),
        (1_000_000, "ms"),
        (1_000, "us"),
    ];
    match units.into_iter().find(|(unit, _)| ns >= *unit && ns.is_multiple_of(*unit)) {
        Some((unit, name)) => format!("{}{name}", ns / unit),
        None => format!("{ns}ns"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    fn schedule(kind: ScheduleKind) -> Schedule {
        Schedule { kind, age_ns: 30 * S, interval_ns: 900 * S }
    }

    #[test]
    fn each_kind_decides_from_its_signals() {
        let draining = Signals { powered: false, saving: false };
        let saving = Signals { powered: false, saving: true };
        let powered = Signals { powered: true, saving: false };
        let rule = |kind| Rule::new(&schedule(kind), None, false);
        assert_eq!(rule(ScheduleKind::Immediate).decide(saving), Decision::After(0));
        assert_eq!(rule(ScheduleKind::Periodic).decide(powered), Decision::Wait);
        assert_eq!(rule(ScheduleKind::Batched).decide(saving), Decision::After(30 * S));
        let aware = rule(ScheduleKind::BatteryAware);
        assert_eq!(aware.decide(draining), Decision::After(30 * S));
        assert_eq!(aware.decide(saving), Decision::After(900 * S));
        assert_eq!(aware.decide(powered), Decision::After(0));
        assert_eq!(rule(ScheduleKind::Periodic).tick_ns(), Some(900 * S));
        assert_eq!(aware.tick_ns(), None);
        for kind in [ScheduleKind::Rounds, ScheduleKind::RandomPeer] {
            assert_eq!(rule(kind).decide(powered), Decision::Wait);
            assert_eq!(rule(kind).tick_ns(), Some(900 * S));
            assert_eq!(rule(kind).draws_partners(), kind == ScheduleKind::RandomPeer);
        }
        assert!(!rule(ScheduleKind::Periodic).draws_partners());
        assert_eq!(rule(ScheduleKind::Rounds).describe(), "rounds 15min");
        assert_eq!(rule(ScheduleKind::RandomPeer).describe(), "random-peer 15min");
    }

    #[test]
    fn rounds_are_evenly_spread_and_others_at_random() {
        let streams = Streams::new(1);
        let first = |kind, interval_ns, number, count| {
            let rule = Rule::new(&Schedule { interval_ns, ..schedule(kind) }, None, false);
            rule.first_tick_ns(number, count, &streams)
        };
        let rounds: Vec<_> = (0..15).map(|n| first(ScheduleKind::Rounds, S, n, 15)).collect();
        let exact: Vec<_> = (0..15).map(|n| Some(n * S / 15)).collect();
        assert_eq!(rounds, exact);
        let ten_years_ns = 3650 * 86_400 * S;
        let last = first(ScheduleKind::Rounds, ten_years_ns, 9_999, 10_000);
        assert_eq!(last, Some(ten_years_ns / 10_000 * 9_999));
        for kind in [ScheduleKind::Periodic, ScheduleKind::RandomPeer] {
            let phases: Vec<_> =
                (0..15).map(|n| first(kind, S, n, 15).expect("it ticks")).collect();
            assert!(!phases.is_sorted() && phases.iter().all(|phase| *phase < S), "{phases:?}");
        }
        assert_eq!(first(ScheduleKind::Batched, S, 0, 15), None);
    }

    #[test]
    fn a_strategy_may_insist() {
        let batched = schedule(ScheduleKind::Batched);
        let own = Some(OwnSchedule::Periodic { interval_s: 900 });
        assert_eq!(Rule::new(&batched, own, false).describe(), "periodic 15min");
        assert_eq!(Rule::new(&batched, own, true), Rule::Silent);
        let own = Some(OwnSchedule::Immediate);
        assert_eq!(Rule::new(&batched, own, false).describe(), "immediate");
        assert_eq!(Rule::new(&batched, own, true).describe(), "batched 30s");
    }
}
