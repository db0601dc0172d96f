//! The scenarios that come with the program.

use crate::error::{ScenarioError, listed, nearest};

const DEFINITIONS: [(&str, &str); 10] = [
    ("commuter", include_str!("../definitions/commuter.toml")),
    ("field-offices", include_str!("../definitions/field-offices.toml")),
    ("field-team", include_str!("../definitions/field-team.toml")),
    ("icde19", include_str!("../definitions/icde19.toml")),
    ("icde19-tree", include_str!("../definitions/icde19-tree.toml")),
    ("office", include_str!("../definitions/office.toml")),
    ("power-cut", include_str!("../definitions/power-cut.toml")),
    ("rumors", include_str!("../definitions/rumors.toml")),
    ("sabbatical", include_str!("../definitions/sabbatical.toml")),
    ("small", include_str!("../definitions/small.toml")),
];

/// The names of the built-in scenarios; the first is the default.
pub fn builtin_names() -> impl Iterator<Item = &'static str> + Clone {
    DEFINITIONS.iter().map(|(name, _)| *name)
}

/// The text of a built-in scenario, for [`crate::parse`].
///
/// # Errors
///
/// No built-in scenario has that name.
pub fn builtin(name: &str) -> Result<&'static str, Box<ScenarioError>> {
    match DEFINITIONS.iter().find(|(known, _)| *known == name) {
        Some((_, text)) => Ok(text),
        None => Err(Box::new(ScenarioError {
            source_name: name.to_owned(),
            span: None,
            line: None,
            path: String::new(),
            found: format!("{name:?}"),
            expected: format!("a built-in scenario: one of {}", listed(builtin_names())),
            suggestion: nearest(name, builtin_names()).map(str::to_owned),
        })),
    }
}
