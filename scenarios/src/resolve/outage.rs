//! Reading outages.

use crate::built_in;
use crate::resolve::law::{check_jitter, duration, law, windows};
use crate::scenario::{Outage, OutageModel};
use crate::section::{Place, Section};
use crate::units::SECOND;

const EXPECTED: &str = "the name of an outage, or a table with a model";

/// An outage: a built-in one, one with some fields of its own, or one that is spelt out.
pub(crate) fn outage(place: &Place<'_>) -> Option<Outage> {
    let known = built_in::outage_table();
    if place.as_text().is_some() {
        return built_in::find(place, "outage", known).cloned();
    }
    place.table(EXPECTED, |section| match section.get("profile") {
        Some(profile) => {
            let base = built_in::find(&profile, "outage", known)?;
            fields(section, &base.profile, Some(&base.model))
        }
        None => fields(section, "", None),
    })
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Windows,
    Renewal,
}

/// The fields of an outage, from those of `base` where they are absent and the model is the same.
pub(crate) fn fields(
    section: &Section<'_>,
    profile: &str,
    base: Option<&OutageModel>,
) -> Option<Outage> {
    let base_kind = base.map(|model| match model {
        OutageModel::Windows { .. } => Kind::Windows,
        OutageModel::Renewal { .. } => Kind::Renewal,
    });
    let kind = section.inherit("model", "`windows` or `renewal`", base_kind, |place| {
        place.choice(&[("windows", Kind::Windows), ("renewal", Kind::Renewal)])
    });
    let model = match kind {
        Some(Kind::Windows) => windows_model(section, base),
        Some(Kind::Renewal) => renewal_model(section, base),
        None => {
            // Without a model nobody can say which keys are right: all are let pass, the model is the error.
            for key in ["windows", "jitter", "up", "down", "within"] {
                section.get(key);
            }
            None
        }
    };
    Some(Outage { profile: profile.to_owned(), model: model? })
}

fn windows_model(section: &Section<'_>, base: Option<&OutageModel>) -> Option<OutageModel> {
    let (base_windows, base_jitter_ns) = match base {
        Some(OutageModel::Windows { windows, jitter_ns }) => (Some(windows.clone()), *jitter_ns),
        _ => (None, 0),
    };
    let windows = section.inherit("windows", "a list of windows", base_windows, |place| {
        let windows = windows(place)?;
        if windows.is_empty() { place.refuse("at least one window") } else { Some(windows) }
    });
    let jitter_place = section.get("jitter");
    let jitter_ns = match &jitter_place {
        Some(place) => duration(0)(place),
        None => Some(base_jitter_ns),
    };
    let (windows, jitter_ns) = (windows?, jitter_ns?);
    check_jitter(section, jitter_place.as_ref(), &windows, jitter_ns)?;
    Some(OutageModel::Windows { windows, jitter_ns })
}

fn renewal_model(section: &Section<'_>, base: Option<&OutageModel>) -> Option<OutageModel> {
    let (base_up, base_down, base_within) = match base {
        Some(OutageModel::Renewal { up, down, within }) => {
            (Some(up.clone()), Some(down.clone()), within.clone())
        }
        _ => (None, None, Vec::new()),
    };
    // Stays of less than a second on average would make events without end.
    let up = section.inherit("up", "a law of durations", base_up, law(SECOND));
    let down = section.inherit("down", "a law of durations", base_down, law(SECOND));
    let within = section.read_or("within", base_within, windows);
    Some(OutageModel::Renewal { up: up?, down: down?, within: within? })
}
