//! Gates: what a scenario demands of every trial.

use reconverge_scenarios::{Budget, nearest};
use reconverge_simulator::row::{Metrics, Row, Status};
use thiserror::Error;

use crate::names::glob_matches;

/// A budget that cannot be checked.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BudgetError {
    /// Its glob matches none of the scenario's strategies.
    #[error("budget {number}: no strategy of this scenario matches `{strategy}`{}", hint(.nearest))]
    NoStrategy {
        /// Which budget, counted from 1.
        number: usize,
        /// The glob.
        strategy: String,
        /// What may have been meant.
        nearest: Option<String>,
    },
    /// There is no such column.
    #[error("budget {number}: there is no metric `{metric}`{}", hint(.nearest))]
    NoMetric {
        /// Which budget, counted from 1.
        number: usize,
        /// The name.
        metric: String,
        /// What may have been meant.
        nearest: Option<String>,
    },
    /// It neither has a maximum nor a minimum, or no value lies between them.
    #[error("budget {number}: no value of `{metric}` could break it, or none could keep it")]
    NoRange {
        /// Which budget, counted from 1.
        number: usize,
        /// The metric.
        metric: String,
    },
}

fn hint(nearest: &Option<String>) -> String {
    nearest.as_ref().map(|name| format!("; did you mean `{name}`?")).unwrap_or_default()
}

/// Checks the budgets themselves, before anything runs. `strategies` are all names that the scenario asks for, resolved, also where the
/// command runs only some of them.
pub fn validate_budgets(budgets: &[Budget], strategies: &[String]) -> Result<(), BudgetError> {
    for (budget, number) in budgets.iter().zip(1..) {
        if !strategies.iter().any(|name| glob_matches(&budget.strategy, name)) {
            let nearest =
                nearest(&budget.strategy, strategies.iter().map(String::as_str)).map(str::to_owned);
            return Err(BudgetError::NoStrategy {
                number,
                strategy: budget.strategy.clone(),
                nearest,
            });
        }
        if !is_column(&budget.metric) {
            let columns = Metrics::NAMES.iter().copied().chain(["edits_asked"]);
            let nearest = nearest(&budget.metric, columns).map(str::to_owned);
            return Err(BudgetError::NoMetric { number, metric: budget.metric.clone(), nearest });
        }
        let empty = match (budget.min, budget.max) {
            (None, None) => true,
            (Some(min), Some(max)) => min > max,
            _ => false,
        };
        if empty {
            return Err(BudgetError::NoRange { number, metric: budget.metric.clone() });
        }
    }
    Ok(())
}

fn is_column(metric: &str) -> bool {
    metric == "edits_asked" || Metrics::NAMES.contains(&metric)
}

/// Checks every trial against the budgets and says in words which broke: one line per budget, cell and strategy, in the order of the
/// budgets and then of the rows.
///
/// A trial that has no value for the metric breaks a budget too: what was not measured does not pass. Only rows whose strategy does not
/// support the scenario stand aside; the table says so.
pub fn check_budgets<'a>(
    budgets: &[Budget],
    strategies: &[String],
    rows: impl IntoIterator<Item = &'a Row>,
) -> Result<Vec<String>, BudgetError> {
    validate_budgets(budgets, strategies)?;
    let rows: Vec<&Row> =
        rows.into_iter().filter(|row| row.status != Status::Unsupported).collect();
    let mut broken = Vec::new();
    for budget in budgets {
        let mut groups: Vec<(&str, &str, Vec<&Row>)> = Vec::new();
        for &row in rows.iter().filter(|row| glob_matches(&budget.strategy, &row.strategy)) {
            match groups
                .iter_mut()
                .find(|(cell, name, _)| *cell == row.cell && *name == row.strategy)
            {
                Some((_, _, group)) => group.push(row),
                None => groups.push((&row.cell, &row.strategy, vec![row])),
            }
        }
        for (cell, name, group) in groups {
            let cell = if cell == "0" { String::new() } else { format!(" in cell {cell}") };
            broken.extend(broken_by(budget, &group).map(|how| format!("{name}{cell}: {how}")));
        }
    }
    Ok(broken)
}

/// How the trials of one strategy break a budget; `None` where they keep it.
fn broken_by(budget: &Budget, rows: &[&Row]) -> Option<String> {
    let mut count = 0;
    let mut worst: Option<(u64, Option<u64>, u64)> = None;
    for row in rows {
        let value = match budget.metric.as_str() {
            "edits_asked" => Some(row.edits_asked),
            metric => row.metrics.as_ref().and_then(|figures| figures.get(metric).flatten()),
        };
        let excess = match value {
            None => u64::MAX,
            Some(value) => {
                let above = budget.max.map_or(0, |max| value.saturating_sub(max));
                let below = budget.min.map_or(0, |min| min.saturating_sub(value));
                above.max(below)
            }
        };
        if excess > 0 {
            count += 1;
            if worst.is_none_or(|(most, _, _)| excess > most) {
                worst = Some((excess, value, row.seed));
            }
        }
    }
    let (_, value, seed) = worst?;
    let bound = match (budget.min, budget.max) {
        (Some(min), Some(max)) => format!("between {min} and {max}"),
        (Some(min), None) => format!("at least {min}"),
        (None, max) => format!("at most {}", max.unwrap_or(u64::MAX)),
    };
    let worst = match value {
        Some(value) => format!("worst {value} at seed {seed}"),
        None => format!("no value at seed {seed}"),
    };
    Some(format!(
        "{} must be {bound}; broken in {count} of {} trials, {worst}",
        budget.metric,
        rows.len()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(strategy: &str, metric: &str, min: Option<u64>, max: Option<u64>) -> Budget {
        Budget { strategy: strategy.to_owned(), metric: metric.to_owned(), max, min }
    }

    fn row(strategy: &str, seed: u64, lost: Option<u64>) -> Row {
        Row {
            scenario: "s".to_owned(),
            cell: "0".to_owned(),
            strategy: strategy.to_owned(),
            schedule: "immediate".to_owned(),
            seed,
            status: Status::Ok,
            reason: String::new(),
            digest: 0,
            world_digest: 0,
            edits_asked: 10,
            metrics: Some(Metrics { edits_lost: lost, ..Metrics::default() }),
        }
    }

    fn strategies() -> Vec<String> {
        vec!["crdt/digest".to_owned(), "lww/hlc".to_owned()]
    }

    #[test]
    fn says_which_trial_broke_what() {
        let rows = [
            row("crdt/digest", 0, Some(0)),
            row("lww/hlc", 0, Some(3)),
            row("lww/hlc", 1, Some(5)),
        ];
        let check = |b| check_budgets(&[b], &strategies(), &rows).expect("valid");
        assert_eq!(check(budget("crdt/*", "edits_lost", None, Some(0))), Vec::<String>::new());
        assert_eq!(
            check(budget("*", "edits_lost", None, Some(3))),
            ["lww/hlc: edits_lost must be at most 3; broken in 1 of 2 trials, worst 5 at seed 1"]
        );
        assert_eq!(
            check(budget("crdt/*", "edits_lost", Some(1), None)),
            [
                "crdt/digest: edits_lost must be at least 1; broken in 1 of 1 trials, worst 0 at seed 0"
            ]
        );
        assert_eq!(check(budget("*", "edits_asked", Some(10), Some(10))), Vec::<String>::new());
    }

    #[test]
    fn what_was_not_measured_does_not_pass() {
        let mut failed = row("lww/hlc", 1, Some(0));
        failed.status = Status::Failed;
        failed.metrics = None;
        let mut unsupported = failed.clone();
        unsupported.status = Status::Unsupported;
        let gate = budget("lww/*", "edits_lost", None, Some(0));
        let broken = check_budgets(
            std::slice::from_ref(&gate),
            &strategies(),
            [&row("lww/hlc", 0, None), &failed],
        );
        assert_eq!(
            broken.expect("valid"),
            ["lww/hlc: edits_lost must be at most 0; broken in 2 of 2 trials, no value at seed 0"]
        );
        assert_eq!(
            check_budgets(&[gate], &strategies(), [&unsupported]).expect("valid"),
            Vec::<String>::new()
        );
    }

    #[test]
    fn mistakes_are_errors() {
        let error = |b| validate_budgets(&[b], &strategies()).expect_err("invalid").to_string();
        assert_eq!(
            error(budget("crdt/diges", "edits_lost", None, Some(0))),
            "budget 1: no strategy of this scenario matches `crdt/diges`; did you mean `crdt/digest`?"
        );
        assert_eq!(
            error(budget("crdt/*", "edit_lost", None, Some(0))),
            "budget 1: there is no metric `edit_lost`; did you mean `edits_lost`?"
        );
        assert_eq!(
            error(budget("x*", "edits_lost", None, Some(0))),
            "budget 1: no strategy of this scenario matches `x*`"
        );
        assert!(matches!(
            validate_budgets(&[budget("*", "edits_lost", None, None)], &strategies()),
            Err(BudgetError::NoRange { .. })
        ));
        assert!(matches!(
            validate_budgets(&[budget("*", "edits_lost", Some(2), Some(1))], &strategies()),
            Err(BudgetError::NoRange { .. })
        ));
    }
}
