//! Strategies by name and glob, and whether budgets speak of strategies and columns that exist.

use reconverge_reports::names::glob_matches;
use reconverge_reports::{BudgetError, validate_budgets};
use reconverge_scenarios::nearest;
use reconverge_strategies::Strategy;

use crate::error::Failure;
use crate::load::{Loaded, quoted};

/// Two strategies of one name could not be told apart.
pub(crate) fn check_names(strategies: &[&dyn Strategy]) -> Result<(), Failure> {
    if strategies.is_empty() {
        return Err(Failure::input("this program has no strategies"));
    }
    for (index, strategy) in strategies.iter().enumerate() {
        let name = strategy.name();
        if strategies[..index].iter().any(|earlier| earlier.name() == name) {
            return Err(Failure::input(format!("this program has two strategies named `{name}`")));
        }
    }
    Ok(())
}

/// The strategy of that name.
pub(crate) fn one<'s>(name: &str, known: &[&'s dyn Strategy]) -> Result<&'s dyn Strategy, Failure> {
    match known.iter().find(|strategy| strategy.name() == name) {
        Some(strategy) => Ok(*strategy),
        None => Err(no_strategy("there is no strategy", name, known)),
    }
}

/// The strategies to run: those that match `asked`, or where that is empty, those that the scenario names. In the order of the globs, then
/// of the known ones; each once.
pub(crate) fn strategies<'s>(
    loaded: &Loaded,
    asked: &[String],
    known: &[&'s dyn Strategy],
) -> Result<Vec<&'s dyn Strategy>, Failure> {
    let from_scenario = asked.is_empty();
    let globs = if from_scenario { &loaded.scenario.strategies } else { asked };
    let mut chosen: Vec<&dyn Strategy> = Vec::new();
    for (index, glob) in globs.iter().enumerate() {
        let mut matching = matching(glob, known).peekable();
        if matching.peek().is_none() {
            let failure = no_strategy("no strategy matches", glob, known);
            return Err(match from_scenario {
                true => loaded.blame(failure, &format!("strategies.{index}"), "matches nothing"),
                false => failure,
            });
        }
        for strategy in matching {
            if chosen.iter().all(|other| other.name() != strategy.name()) {
                chosen.push(strategy);
            }
        }
    }
    Ok(chosen)
}

fn matching<'a, 's>(
    glob: &'a str,
    known: &'a [&'s dyn Strategy],
) -> impl Iterator<Item = &'s dyn Strategy> + use<'a, 's> {
    known.iter().copied().filter(move |strategy| glob_matches(glob, strategy.name()))
}

fn no_strategy(what: &str, wrong: &str, known: &[&dyn Strategy]) -> Failure {
    let names: Vec<&str> = known.iter().map(|strategy| strategy.name()).collect();
    // A family is a good guess too: `lwv/*` means `lww/*`.
    let families = names.iter().filter_map(|name| Some(format!("{}/*", name.split_once('/')?.0)));
    let families: Vec<String> = families.collect();
    let is_glob = wrong.contains(['*', '?']);
    let guesses = families.iter().map(String::as_str).filter(|_| is_glob);
    let near = nearest(wrong, guesses.chain(names.iter().copied()));
    Failure::input(format!("{what} `{wrong}`"))
        .did_you_mean(near)
        .help(format!("there are {}", quoted(&names)))
}

/// The names of all strategies that budgets may speak of, where the scenario's budgets are valid: all that the scenario names, also where
/// others were asked for. A budget for a built-in strategy that this program leaves out is no mistake then.
pub(crate) fn budgeted(
    loaded: &Loaded,
    chosen: &[&dyn Strategy],
    known: &[&dyn Strategy],
) -> Result<Vec<String>, Failure> {
    let scenario = &loaded.scenario;
    let mut names: Vec<String> = chosen.iter().map(|strategy| strategy.name().to_owned()).collect();
    for strategy in known.iter().chain(reconverge_strategies::registry()) {
        let name = strategy.name();
        let is_named = scenario.strategies.iter().any(|glob| glob_matches(glob, name));
        if is_named && names.iter().all(|other| other != name) {
            names.push(name.to_owned());
        }
    }
    validate_budgets(&scenario.budgets, &names).map_err(|error| {
        let (BudgetError::NoStrategy { number, .. }
        | BudgetError::NoMetric { number, .. }
        | BudgetError::NoRange { number, .. }) = &error;
        let at = |key: &str| format!("budget.{}.{key}", number - 1);
        let (message, path, near) = match &error {
            BudgetError::NoStrategy { strategy, nearest, .. } => {
                let what =
                    format!("no strategy of this scenario matches the budget's `{strategy}`");
                (what, at("strategy"), nearest)
            }
            BudgetError::NoMetric { metric, nearest, .. } => {
                let what =
                    format!("there is no metric `{metric}`: expected a column of trials.csv");
                (what, at("metric"), nearest)
            }
            BudgetError::NoRange { .. } => (error.to_string(), at("metric"), &None),
        };
        let failure = Failure::input(message).did_you_mean(near.as_deref());
        loaded.blame(failure, &path, "this budget")
    })?;
    Ok(names)
}
