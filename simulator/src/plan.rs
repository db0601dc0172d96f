//! What happens to every device whatever its strategy does: link weather, plug-in times, presence, kills, losses of power, clock errors. Drawn before
//! a trial starts, from the seed alone (class A of the common random numbers).

use crate::streams::{Stream, Streams, mean_ns};
use reconverge_scenarios::{Crashes, Group, Loss, OutageModel, Scenario, Window};

/// Nanoseconds of a day. Trials start at midnight.
pub const DAY_NS: u64 = 86_400_000_000_000;

/// Half-open stretches of time, sorted and disjoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stretches(Vec<(u64, u64)>);

impl Stretches {
    /// From any stretches: empty ones go, overlapping and touching ones join.
    pub fn new(mut stretches: Vec<(u64, u64)>) -> Self {
        stretches.retain(|(from, until)| from < until);
        stretches.sort_unstable();
        let mut joined: Vec<(u64, u64)> = Vec::with_capacity(stretches.len());
        for (from, until) in stretches {
            match joined.last_mut() {
                Some((_, last)) if from <= *last => *last = until.max(*last),
                _ => joined.push((from, until)),
            }
        }
        Stretches(joined)
    }

    /// Each stretch, in order.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.0.iter().copied()
    }

    /// Whether a moment lies in one of them.
    pub fn contains(&self, at_ns: u64) -> bool {
        let after = self.0.partition_point(|(from, _)| *from <= at_ns);
        after > 0 && at_ns < self.0[after - 1].1
    }

    /// Together they last so long.
    pub fn total_ns(&self) -> u64 {
        self.0.iter().map(|(from, until)| until - from).sum()
    }
}

/// What happens to one device.
#[derive(Clone, Debug, Default)]
pub struct DevicePlan {
    /// When its access link is unusable.
    pub outages: Stretches,
    /// When its link loses many packets (the bad state of Gilbert–Elliott).
    pub bad_spells: Stretches,
    /// When it is plugged in.
    pub plugged: Stretches,
    /// When its user is present.
    pub present: Stretches,
    /// When its process is killed.
    pub kills: Vec<u64>,
    /// When its power fails.
    pub power_losses: Vec<u64>,
    /// Error of its time of day at the start.
    pub clock_offset_us: i64,
    /// Error of its frequency, in parts per billion.
    pub clock_drift_ppb: i64,
}

/// Draws the plan of every device, numbered through the groups.
pub fn plan(scenario: &Scenario, streams: &Streams) -> Vec<DevicePlan> {
    let groups = scenario.groups.iter();
    groups
        .flat_map(|group| std::iter::repeat_n(group, group.count as usize))
        .enumerate()
        .map(|(number, group)| device(group, number as u32, scenario.duration_ns, streams))
        .collect()
}

fn device(group: &Group, number: u32, until_ns: u64, streams: &Streams) -> DevicePlan {
    let mut outages = Vec::new();
    for (n, outage) in group.outages.iter().enumerate() {
        let mut stream = streams.stream(&format!("outage {n}"), number);
        outage_process(&outage.model, until_ns, &mut stream, &mut outages);
    }
    let mut bad_spells = Vec::new();
    if let Loss::Bursts { good_ns, bad_ns, .. } = group.link.loss {
        let mut stream = streams.stream("loss", number);
        let mut at_ns = 0;
        let mut bad = stream.below(good_ns + bad_ns) < bad_ns;
        while at_ns < until_ns {
            let stay = stream.exponential_ns(if bad { bad_ns } else { good_ns }).max(1);
            if bad {
                bad_spells.push((at_ns, at_ns + stay));
            }
            at_ns += stay;
            bad = !bad;
        }
    }
    let mut plugged = Vec::new();
    if let Some(battery) = &group.device.battery {
        let mut stream = streams.stream("charging", number);
        daily(&battery.charging, battery.charging_jitter_ns, until_ns, &mut stream, &mut plugged);
    }
    let mut present = Vec::new();
    if let Some(user) = &group.user {
        let mut stream = streams.stream("presence", number);
        for (from, until) in days(user.awake, until_ns) {
            let mut at_ns = from + stream.below(1 + mean_ns(&user.gap) as u64);
            while at_ns < until {
                let stay = stream.duration_ns(&user.session).max(1);
                present.push((at_ns, (at_ns + stay).min(until)));
                at_ns += stay + stream.duration_ns(&user.gap).max(1);
            }
        }
    }
    let crashes = |process: &Option<Crashes>, name: &str| {
        let mut times_ns = Vec::new();
        if let Some(process) = process {
            let mut stream = streams.stream(name, number);
            let mut at_ns = stream.exponential_ns(process.mean_ns);
            while at_ns < until_ns {
                times_ns.push(at_ns);
                at_ns += process.restart_ns + stream.exponential_ns(process.mean_ns).max(1);
            }
        }
        times_ns
    };
    let mut clock = streams.stream("clock", number);
    let offset_us = (clock.duration_ns(&group.clock.offset) / 1000) as i64;
    let clock_offset_us = if clock.bits() & 1 == 0 { offset_us } else { -offset_us };
    let ppb = f64::from(group.clock.drift_ppm) * 1000.0;
    let clock_drift_ppb = (clock.normal().clamp(-5.0, 5.0) * ppb) as i64;
    let cut = |stretches: Vec<(u64, u64)>| {
        let within = stretches.into_iter().map(|(from, until)| (from, until.min(until_ns)));
        Stretches::new(within.collect())
    };
    DevicePlan {
        outages: cut(outages),
        bad_spells: cut(bad_spells),
        plugged: cut(plugged),
        present: cut(present),
        kills: crashes(&group.kills, "kills"),
        power_losses: crashes(&group.power_losses, "power losses"),
        clock_offset_us,
        clock_drift_ppb,
    }
}

/// The occurrences of a daily window that begin before `until_ns`; one that began the day before the trial counts too.
fn days(window: Window, until_ns: u64) -> impl Iterator<Item = (u64, u64)> {
    let eve = (window.until_ns > DAY_NS).then(|| (0, window.until_ns - DAY_NS));
    let days = (0..=until_ns / DAY_NS).map(move |day| {
        let midnight = day * DAY_NS;
        (midnight + window.from_ns, midnight + window.until_ns)
    });
    eve.into_iter().chain(days).filter(move |(from, _)| *from < until_ns)
}

fn daily(
    windows: &[Window],
    jitter_ns: u64,
    until_ns: u64,
    stream: &mut Stream,
    out: &mut Vec<(u64, u64)>,
) {
    for window in windows {
        for (from, until) in days(*window, until_ns) {
            let shifted = |at: u64, by: i64| if at == 0 { 0 } else { at.saturating_add_signed(by) };
            let (first, second) = (stream.around(jitter_ns), stream.around(jitter_ns));
            out.push((shifted(from, first), shifted(until, second)));
        }
    }
}

fn outage_process(
    model: &OutageModel,
    until_ns: u64,
    stream: &mut Stream,
    out: &mut Vec<(u64, u64)>,
) {
    match model {
        OutageModel::Windows { windows, jitter_ns } => {
            daily(windows, *jitter_ns, until_ns, stream, out);
        }
        OutageModel::Renewal { up, down, within } => {
            let mut alternate = |from_ns: i128, until_ns: i128, begins_ns: i128| {
                let mut at_ns = begins_ns;
                while at_ns < until_ns {
                    at_ns += i128::from(stream.duration_ns(up).max(1));
                    let ends_ns = at_ns + i128::from(stream.duration_ns(down).max(1));
                    let cut = (at_ns.max(from_ns), ends_ns.min(until_ns));
                    if cut.0 < cut.1 {
                        out.push((cut.0 as u64, cut.1 as u64));
                    }
                    at_ns = ends_ns;
                }
            };
            if within.is_empty() {
                // The process has been running for many cycles when the trial begins, so that it is found in its stationary law.
                let cycle_ns = mean_ns(up) + mean_ns(down);
                alternate(0, i128::from(until_ns), -(cycle_ns * 50.0) as i128);
            } else {
                for window in within {
                    for (from, until) in days(*window, until_ns) {
                        alternate(from.into(), until.into(), from.into());
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reconverge_scenarios::DurationLaw;

    #[test]
    fn stretches_join_and_answer() {
        let stretches = Stretches::new(vec![(5, 9), (1, 3), (3, 4), (8, 12), (20, 20)]);
        assert_eq!(stretches.iter().collect::<Vec<_>>(), [(1, 4), (5, 12)]);
        let inside: Vec<u64> = (0..14).filter(|at| stretches.contains(*at)).collect();
        assert_eq!(inside, [1, 2, 3, 5, 6, 7, 8, 9, 10, 11]);
        assert_eq!(stretches.total_ns(), 10);
    }

    #[test]
    fn a_window_past_midnight_covers_the_first_morning() {
        let window = Window { from_ns: 23 * DAY_NS / 24, until_ns: 30 * DAY_NS / 24 };
        let found: Vec<_> = days(window, DAY_NS).collect();
        assert_eq!(found, [(0, 6 * DAY_NS / 24), (23 * DAY_NS / 24, 30 * DAY_NS / 24)]);
    }

    /// Alternating renewal: availability E[U] / (E[U] + E[D]), within four standard errors over independent replications.
    #[test]
    fn renewal_outages_have_the_availability_of_theory() {
        let minutes = |n: u64| n * 60_000_000_000;
        for (up, down) in [
            (
                DurationLaw::Exponential { mean_ns: minutes(12) },
                DurationLaw::Exponential { mean_ns: minutes(4) },
            ),
            (
                DurationLaw::Weibull { mean_ns: minutes(12), shape: 0.5 },
                DurationLaw::Weibull { mean_ns: minutes(4), shape: 0.5 },
            ),
        ] {
            let expected = mean_ns(&up) / (mean_ns(&up) + mean_ns(&down));
            let model = OutageModel::Renewal { up, down, within: Vec::new() };
            let horizon_ns = minutes(20_000);
            let shares: Vec<f64> = (0..40)
                .map(|seed| {
                    let mut stretches = Vec::new();
                    let mut stream = Streams::new(seed).stream("outage 0", 0);
                    outage_process(&model, horizon_ns, &mut stream, &mut stretches);
                    1.0 - Stretches::new(stretches).total_ns() as f64 / horizon_ns as f64
                })
                .collect();
            let mean = shares.iter().sum::<f64>() / shares.len() as f64;
            let variance = shares.iter().map(|s| (s - mean) * (s - mean)).sum::<f64>()
                / (shares.len() - 1) as f64;
            let error = libm::sqrt(variance / shares.len() as f64);
            assert!((mean - expected).abs() < 4.0 * error, "{mean} for {expected} ± {error}");
        }
    }
}
