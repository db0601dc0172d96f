//! What a report says about the run itself: only what anyone needs to repeat it.

use std::ops::Range;

use serde::Serialize;

use crate::names;

/// A run: everything that decides its results, and nothing else. No path, job count, host or date belongs here, because all files of a
/// run must have the same bytes wherever and however it ran.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunInfo {
    /// Name of the scenario: letters, digits, `-`, `_`. Also the name of the folder.
    pub scenario_name: String,
    /// The scenario as TOML, resolved: every key present.
    pub scenario_toml: String,
    /// What the scenario is meant to show, in prose.
    pub analysis: String,
    /// Overrides as given to `--set`, in order: `path=value`.
    pub overrides: Vec<String>,
    /// Names of the strategies, resolved, in the order of tables.
    pub strategies: Vec<String>,
    /// The seeds.
    pub seeds: Range<u64>,
    /// Version of the tool.
    pub version: String,
    /// The strategy that others are compared with; see [`default_baseline`].
    pub baseline: String,
}

/// What differences are taken against where nobody says otherwise: `lww/hlc`, the habit that people come from, if it takes part; else
/// the first strategy. Empty where there is none.
pub fn default_baseline(strategies: &[String]) -> &str {
    let habit = strategies.iter().find(|name| *name == "lww/hlc");
    habit.or(strategies.first()).map_or("", String::as_str)
}

impl RunInfo {
    /// The command that repeats this run, the same wherever and however it ran.
    pub fn command(&self) -> String {
        let mut words =
            vec!["reconverge".to_owned(), "run".to_owned(), quoted(&self.scenario_name)];
        for strategy in &self.strategies {
            words.extend(["--strategy".to_owned(), quoted(strategy)]);
        }
        words.extend(["--seeds".to_owned(), format!("{}..{}", self.seeds.start, self.seeds.end)]);
        for change in &self.overrides {
            words.extend(["--set".to_owned(), quoted(change)]);
        }
        words.join(" ")
    }

    /// Digest of the resolved scenario: FNV-1a, 128 bits, over its text and a byte 255.
    pub(crate) fn scenario_digest(&self) -> u128 {
        names::hash(&[&self.scenario_toml])
    }
}

/// A word of a command line, in single quotes where a shell would take it apart.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./,=:+".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

/// One fact of a chosen stretch of a trial: a row of `episode.csv`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EpisodeRow {
    /// Virtual microseconds since the start.
    pub at_us: u64,
    /// Name of the strategy.
    pub strategy: String,
    /// The seed.
    pub seed: u64,
    /// Name of the device it happened on.
    pub device: String,
    /// What happened, in one word or two.
    pub fact: String,
    /// The rest, in words.
    pub detail: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info() -> RunInfo {
        RunInfo {
            scenario_name: "commuter".to_owned(),
            scenario_toml: "name = \"commuter\"\n".to_owned(),
            analysis: String::new(),
            overrides: vec!["group.phone.count=4".to_owned(), "analysis=\"it's short\"".to_owned()],
            strategies: vec!["lww/wall".to_owned(), "lww/hlc".to_owned()],
            seeds: 0..10,
            version: "0.1.0".to_owned(),
            baseline: "lww/hlc".to_owned(),
        }
    }

    #[test]
    fn the_command_survives_a_shell() {
        assert_eq!(
            info().command(),
            r#"reconverge run commuter --strategy lww/wall --strategy lww/hlc --seeds 0..10 --set group.phone.count=4 --set 'analysis="it'\''s short"'"#
        );
    }

    #[test]
    fn baselines() {
        assert_eq!(default_baseline(&info().strategies), "lww/hlc");
        assert_eq!(default_baseline(&["a".to_owned(), "b".to_owned()]), "a");
        assert_eq!(default_baseline(&[]), "");
    }
}
