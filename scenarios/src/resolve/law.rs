//! Reading laws of durations and windows of the day.

use crate::scenario::{DurationLaw, Window};
use crate::section::{Place, Section};
use crate::units::{DAY, DURATION};

/// The longest duration that a scenario may name: ten years, so that no sum of two overflows the clock.
const LONGEST: u64 = 3650 * DAY;

const LAWS: &str = "a duration or a law: { uniform = [\"a\", \"b\"] }, { exponential = \"mean\" }, \
                    { lognormal = [\"median\", sigma] } or { weibull = [\"mean\", shape] }";

/// A duration of at least `least_ns`.
pub(crate) fn duration(least_ns: u64) -> impl Fn(&Place<'_>) -> Option<u64> {
    move |place| place.quantity(&DURATION, least_ns..=LONGEST)
}

/// A law of durations whose mean (for a lognormal: median) is at least `least_ns`.
pub(crate) fn law(least_ns: u64) -> impl Fn(&Place<'_>) -> Option<DurationLaw> {
    move |place| {
        let law = match place.as_text() {
            Some(_) => duration(0)(place).map(|ns| DurationLaw::Fixed { ns }),
            None => place.table(LAWS, named_law),
        }?;
        let middle_ns = match law {
            DurationLaw::Fixed { ns } => ns,
            DurationLaw::Uniform { from_ns, until_ns } => from_ns.midpoint(until_ns),
            DurationLaw::Exponential { mean_ns } | DurationLaw::Weibull { mean_ns, .. } => mean_ns,
            DurationLaw::Lognormal { median_ns, .. } => median_ns,
        };
        if middle_ns < least_ns {
            return place.refuse(format!("a mean of at least {}", DURATION.print(least_ns)));
        }
        Some(law)
    }
}

fn named_law(section: &Section<'_>) -> Option<DurationLaw> {
    let uniform = section.get("uniform");
    let exponential = section.get("exponential");
    let lognormal = section.get("lognormal");
    let weibull = section.get("weibull");
    match (uniform, exponential, lognormal, weibull) {
        (Some(place), None, None, None) => {
            let [from, until] = place.pair("two durations: shortest and longest")?;
            let (from_ns, until_ns) = (duration(0)(&from), duration(0)(&until));
            let (from_ns, until_ns) = (from_ns?, until_ns?);
            if from_ns > until_ns {
                return until.refuse(format!("at least {}", DURATION.print(from_ns)));
            }
            Some(DurationLaw::Uniform { from_ns, until_ns })
        }
        (None, Some(place), None, None) => {
            Some(DurationLaw::Exponential { mean_ns: duration(1)(&place)? })
        }
        (None, None, Some(place), None) => {
            let [median, sigma] = place.pair("a median and a sigma, as in [\"100ms\", 1.0]")?;
            let (median_ns, sigma) = (duration(1)(&median), sigma.number(0.0..=5.0));
            Some(DurationLaw::Lognormal { median_ns: median_ns?, sigma: sigma? })
        }
        (None, None, None, Some(place)) => {
            let [mean, shape] = place.pair("a mean and a shape, as in [\"2h\", 0.5]")?;
            let (mean_ns, shape) = (duration(1)(&mean), shape.number(0.1..=10.0));
            Some(DurationLaw::Weibull { mean_ns: mean_ns?, shape: shape? })
        }
        // A misspelt law is reported as an unknown key.
        (None, None, None, None) if !section.is_empty() => None,
        (None, None, None, None) => section.place.refuse(LAWS),
        _ => section.place.refuse_as("more than one law", LAWS, None),
    }
}

/// A window of each day. One that ends before it begins ends on the next day.
pub(crate) fn window(place: &Place<'_>) -> Option<Window> {
    const EXPECTED: &str = "two times from midnight, as in [\"7h45min\", \"8h30min\"]";
    let [from, until] = place.pair(EXPECTED)?;
    let (from_ns, until_ns) =
        (from.quantity(&DURATION, 0..=DAY - 1), until.quantity(&DURATION, 0..=2 * DAY));
    let (from_ns, mut until_ns) = (from_ns?, until_ns?);
    if until_ns < from_ns {
        until_ns += DAY;
    }
    if until_ns == from_ns || until_ns - from_ns > DAY {
        return place.refuse_as(
            format!("a window of {}", DURATION.print(until_ns - from_ns)),
            "a window longer than nothing and no longer than a day",
            None,
        );
    }
    Some(Window { from_ns, until_ns })
}

/// Windows of each day, in order and apart.
pub(crate) fn windows(place: &Place<'_>) -> Option<Vec<Window>> {
    const EXPECTED: &str = "a list of windows, as in [[\"7h45min\", \"8h30min\"]]";
    let windows = place.list(EXPECTED, window)?;
    for index in 0..windows.len() {
        let next_from_ns = next_from(&windows, index);
        if windows[index].until_ns > next_from_ns {
            return place.refuse_as(
                "windows that overlap or are out of order",
                "windows in the order of the day, each ending before the next begins",
                None,
            );
        }
    }
    Some(windows)
}

/// When the window after number `index` begins, the first one of the next day after the last.
fn next_from(windows: &[Window], index: usize) -> u64 {
    match windows.get(index + 1) {
        Some(next) => next.from_ns,
        None => windows[0].from_ns + DAY,
    }
}

/// Refuses a spread that could turn two ends of windows round.
pub(crate) fn check_jitter(
    section: &Section<'_>,
    place: Option<&Place<'_>>,
    windows: &[Window],
    jitter_ns: u64,
) -> Option<()> {
    let lengths = windows.iter().map(|window| window.until_ns - window.from_ns);
    let gaps = (0..windows.len()).map(|index| next_from(windows, index) - windows[index].until_ns);
    let Some(shortest) = lengths.chain(gaps).min() else { return Some(()) };
    if jitter_ns > shortest / 2 {
        let place = place.unwrap_or(&section.place);
        return place.refuse_as(
            DURATION.print(jitter_ns),
            format!(
                "a spread of at most {}: half of the shortest window or gap",
                DURATION.print(shortest / 2)
            ),
            None,
        );
    }
    Some(())
}
