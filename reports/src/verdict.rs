//! The outcome in words, before any number: who converged, who lost edits, and who is cheapest among those that lost none.

use reconverge_simulator::row::Status;

use crate::comparison::{Cell, Comparison, Group};
use crate::human;
use crate::names;
use crate::stats::{holm, sign_flip_p};
use crate::summary::paired_differences;
use crate::table::one_line;

/// A strategy that turned away more edits than the most willing one, by more than this share of those asked for, is not ranked with it:
/// it did less work.
const TURNED_AWAY_MARGIN: f64 = 0.01;

/// Damage done to people's work by merging, besides lost edits, and how to say it; `{}` is the mean per trial.
const OTHER_DAMAGE: [(&str, &str); 5] = [
    ("increments_lost", "lost {} additions to counters"),
    ("increments_doubled", "counted {} additions twice"),
    ("text_chars_lost", "lost {} characters of text"),
    ("text_chars_doubled", "doubled {} characters of text"),
    ("deletes_resurrected", "brought back {} deleted things"),
];

/// The outcome of one cell, a sentence or two each: convergence, damage, energy, bytes, and what did not run.
pub fn verdict(cell: &Cell) -> Vec<String> {
    let ran: Vec<&Group> =
        cell.strategies.iter().filter(|g| !g.is_unsupported() && !g.is_oracle()).collect();
    let mut sentences = Vec::new();
    if ran.is_empty() {
        sentences.push("No strategy could run here.".to_owned());
    } else {
        sentences.push(convergence(&ran));
        sentences.extend(damage(&ran));
        sentences.extend(cheapest(&ran));
    }
    let unsupported = cell.strategies.iter().filter(|group| group.is_unsupported());
    for group in unsupported {
        sentences.push(format!(
            "{} did not run: {}",
            group.strategy,
            full_stop(&group.trials[0].row.reason)
        ));
    }
    sentences
}

fn convergence(ran: &[&Group]) -> String {
    let (always, not): (Vec<&Group>, Vec<&Group>) =
        ran.iter().partition(|group| group.always_converged());
    if not.is_empty() {
        return match ran {
            [one] => format!("{} converged in every trial.", one.strategy),
            _ => format!("All {} strategies converged in every trial.", ran.len()),
        };
    }
    let not: Vec<String> = not
        .iter()
        .map(|group| {
            format!(
                "{} ({} of {} trials)",
                group.strategy,
                group.count(Status::Ok),
                group.trials.len()
            )
        })
        .collect();
    let others = match always.len() {
        0 => "No strategy converged in every trial",
        _ => "Not every strategy converged in every trial",
    };
    format!("{others}: {} did not.", human::list(&not))
}

/// Whether nothing of people's work was damaged in any trial, and every trial converged.
fn harmless(group: &Group) -> bool {
    group.always_converged()
        && undamaged(group, "edits_lost")
        && OTHER_DAMAGE.iter().all(|(metric, _)| undamaged(group, metric))
}

/// Metrics that the scenario's data cannot give (no counters, no texts) are `None` and count as undamaged.
fn undamaged(group: &Group, metric: &str) -> bool {
    group.measured().all(|(_, figures)| matches!(figures.get(metric), Some(None | Some(0))))
}

fn damage(ran: &[&Group]) -> Vec<String> {
    let measured: Vec<&Group> =
        ran.iter().copied().filter(|group| group.measured().next().is_some()).collect();
    let clean: Vec<&str> =
        measured.iter().filter(|group| harmless(group)).map(|group| group.strategy).collect();
    let mut sentences = Vec::new();
    if clean.len() == measured.len() && !clean.is_empty() {
        sentences.push("None of them lost or doubled anybody's work.".to_owned());
    } else if !clean.is_empty() {
        sentences.push(format!("Nobody's work was lost or doubled by {}.", human::list(&clean)));
    }
    let mut losers: Vec<&Group> =
        measured.iter().copied().filter(|group| !undamaged(group, "edits_lost")).collect();
    // The worst first; a stable sort, so that equals stay in the order of the table.
    let lost = |group: &Group| group.mean("edits_lost").unwrap_or(0.0);
    losers.sort_by(|a, b| lost(b).total_cmp(&lost(a)));
    let losses = alike(&losers, |group| of_asked(group, "edits_lost", ""));
    let losses: Vec<String> =
        losses.iter().map(|(names, each, lost)| format!("{names} ({each}{lost})")).collect();
    if !losses.is_empty() {
        sentences.push(format!("Edits were lost by {}.", human::list(&losses)));
    }
    let damages = |group: &Group| {
        let damages = OTHER_DAMAGE.iter().filter(|(metric, _)| !undamaged(group, metric));
        let in_words = damages.map(|(metric, words)| {
            words.replace("{}", &human::count(group.mean(metric).unwrap_or(0.0)))
        });
        human::list(&in_words.collect::<Vec<_>>())
    };
    for (names, each, damages) in alike(&measured, damages) {
        if !damages.is_empty() {
            sentences.push(format!("On average, {names} {each}{damages} per trial."));
        }
    }
    let surfacing: Vec<&Group> = measured
        .into_iter()
        .filter(|group| group.mean("edits_surfaced").is_some_and(|mean| mean > 0.0))
        .collect();
    let surfaced = alike(&surfacing, |group| of_asked(group, "edits_surfaced", " edits"));
    sentences.extend(surfaced.into_iter().map(|(names, each, surfaced)| {
        format!("{names} left conflicts for people to settle ({each}{surfaced}).")
    }));
    sentences
}

/// Strategies of which the same is to be said, in the order of the first of them: their names, `each ` if they are several, and what is said.
fn alike(groups: &[&Group], say: impl Fn(&Group) -> String) -> Vec<(String, &'static str, String)> {
    let mut said: Vec<(Vec<&str>, String)> = Vec::new();
    for group in groups {
        let words = say(group);
        match said.iter_mut().find(|(_, same)| *same == words) {
            Some((names, _)) => names.push(group.strategy),
            None => said.push((vec![group.strategy], words)),
        }
    }
    let each = |names: &[&str]| if names.len() > 1 { "each " } else { "" };
    said.into_iter().map(|(names, words)| (human::list(&names), each(&names), words)).collect()
}

/// How many of the asked edits ended in an account, per trial and as a share.
fn of_asked(group: &Group, account: &str, what: &str) -> String {
    let mean = |metric| human::count(group.mean(metric).unwrap_or(0.0));
    let share =
        group.per_edit(|figures| figures.get(account).flatten().unwrap_or(0)).unwrap_or(0.0);
    format!("{} of {}{what} per trial, {}", mean(account), mean("edits_asked"), human::share(share))
}

/// Share of asked edits that a strategy turned away: blocked because it could not take them, or refused by an authority.
fn turned_away(group: &Group) -> f64 {
    group
        .per_edit(|figures| figures.edits_blocked.unwrap_or(0) + figures.edits_refused.unwrap_or(0))
        .unwrap_or(0.0)
}

fn cheapest(ran: &[&Group]) -> Vec<String> {
    let harmless: Vec<&&Group> =
        ran.iter().filter(|g| g.measured().next().is_some() && harmless(g)).collect();
    let most_willing =
        harmless.iter().map(|group| turned_away(group)).fold(f64::INFINITY, f64::min);
    let (ranked, unwilling): (Vec<&Group>, Vec<&Group>) = harmless
        .into_iter()
        .partition(|group| turned_away(group) <= most_willing + TURNED_AWAY_MARGIN);
    let mut sentences = Vec::new();
    for (metric, of, show) in [
        ("energy_per_edit_uj", "energy", human::energy as fn(f64) -> String),
        ("bytes_wire_per_edit", "bytes", human::bytes),
    ] {
        sentences.extend(cheapest_by(&ranked, metric, of, show));
    }
    for group in unwilling {
        let share = human::share(turned_away(group));
        sentences.push(format!(
            "{} harmed nothing either, but turned away {share} of the edits that people asked for, so its costs are not ranked with the others.",
            group.strategy
        ));
    }
    sentences
}

/// Who needs least, and from whom the seeds cannot tell it apart.
fn cheapest_by(
    ranked: &[&Group],
    metric: &str,
    of: &str,
    show: fn(f64) -> String,
) -> Option<String> {
    let valued: Vec<(&Group, f64)> =
        ranked.iter().filter_map(|group| group.mean(metric).map(|mean| (*group, mean))).collect();
    let (best, least) = *valued.iter().min_by(|a, b| a.1.total_cmp(&b.1))?;
    if valued.iter().all(|(_, mean)| *mean == 0.0) {
        return None; // where no device has a battery, say
    }
    if valued.len() == 1 {
        return Some(format!(
            "{} alone qualifies; it needs {} per edit in {of}.",
            best.strategy,
            show(least)
        ));
    }
    let rivals: Vec<&Group> =
        valued.iter().map(|(g, _)| *g).filter(|g| g.strategy != best.strategy).collect();
    let values =
        |group: &Group| group.line(metric).map(|line| line.values.clone()).unwrap_or_default();
    let p_values: Vec<f64> = rivals
        .iter()
        .map(|rival| {
            let differences = paired_differences(&values(rival), &values(best));
            sign_flip_p(&differences, names::seed(&["signs", metric, rival.strategy]))
        })
        .collect();
    let close = rivals.iter().zip(holm(&p_values)).filter(|(_, p)| *p > 0.05);
    let close: Vec<&str> = close.map(|(rival, _)| rival.strategy).collect();
    let separation = match close.as_slice() {
        [] => String::new(),
        close => format!("; these seeds do not separate it from {}", human::list(close)),
    };
    Some(format!(
        "Cheapest in {of} among those without damage: {} under schedule {}, {} per edit{separation}.",
        best.strategy,
        best.schedule,
        show(least)
    ))
}

/// What broke: budgets first, then for each strategy of each cell its first trial that diverged or failed, in words.
pub fn broken_lines(comparison: &Comparison, broken_budgets: &[String]) -> Vec<String> {
    let mut lines: Vec<String> = broken_budgets
        .iter()
        .map(|budget| format!("budget broken: {}", one_line(budget)))
        .collect();
    for cell in &comparison.cells {
        let place =
            if comparison.is_sweep() { format!(" in cell {}", cell.name) } else { String::new() };
        for group in &cell.strategies {
            for status in [Status::Diverged, Status::Failed] {
                let Some(first) = group.trials.iter().find(|trial| trial.row.status == status)
                else {
                    continue;
                };
                let (count, all) = (group.count(status), group.trials.len());
                lines.push(format!(
                    "{}: {}{place} in {count} of {all} trials, first at seed {}: {}",
                    status.name(),
                    group.strategy,
                    first.row.seed,
                    one_line(&first.row.reason)
                ));
            }
        }
    }
    lines
}

fn full_stop(text: &str) -> String {
    let text = one_line(text);
    if text.ends_with(['.', '!', '?']) { text } else { text + "." }
}
