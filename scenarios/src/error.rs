//! What is wrong with a scenario, where, and what would be right.

use std::ops::Range;

use thiserror::Error;

/// The first thing that is wrong with a scenario, in the order of its text.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{}", self.sentence())]
pub struct ScenarioError {
    /// Name of the text: a file, a built-in scenario, or the `--set` that is at fault.
    pub source_name: String,
    /// Byte range in that text; none where an override is at fault.
    pub span: Option<Range<usize>>,
    /// Line of the text, from 1; none where an override is at fault.
    pub line: Option<usize>,
    /// The key, as an override would name it (`group.phone.device.battery`); empty for errors of syntax.
    pub path: String,
    /// What stands there.
    pub found: String,
    /// What should stand there.
    pub expected: String,
    /// The nearest valid name, where a name is wrong.
    pub suggestion: Option<String>,
}

impl ScenarioError {
    fn sentence(&self) -> String {
        let mut text = self.source_name.clone();
        if let Some(line) = self.line {
            text += &format!(":{line}");
        }
        if !self.path.is_empty() {
            text += &format!(": `{}`", self.path);
        }
        text += &format!(": expected {}, found {}", self.expected, self.found);
        if let Some(suggestion) = &self.suggestion {
            text += &format!("; did you mean `{suggestion}`?");
        }
        text
    }
}

/// The number, from 1, of the line that holds the byte at `offset`.
pub(crate) fn line_of(text: &str, offset: usize) -> usize {
    let end = offset.min(text.len());
    1 + text.as_bytes()[..end].iter().filter(|byte| **byte == b'\n').count()
}

/// A list of names for a message: `` `a`, `b` ``.
pub(crate) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}

/// The valid name nearest to `wrong`; none where nothing is near. The first of equals wins.
///
/// Near means that at most two fifths of the letters differ. Case and the choice between `-` and `_` cost nothing.
pub fn nearest<'a>(wrong: &str, valid: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |name: &str| -> Vec<char> {
        name.chars().map(|c| if c == '_' { '-' } else { c.to_ascii_lowercase() }).collect()
    };
    let wrong = plain(wrong);
    let mut best: Option<(usize, &str)> = None;
    for name in valid {
        let candidate = plain(name);
        let distance = edit_distance(&wrong, &candidate);
        let allowed = wrong.len().max(candidate.len()).max(3) * 2 / 5;
        if distance <= allowed && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, name));
        }
    }
    best.map(|(_, name)| name)
}

/// Insertions, removals, replacements and swaps of neighbours that turn `a` into `b`.
fn edit_distance(a: &[char], b: &[char]) -> usize {
    // Three rows of the table of distances between beginnings: the one before the last is there for swaps.
    let mut before: Vec<usize> = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = last;
        last = row;
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found_and_far_ones_are_not() {
        let names = ["lte", "lte-poor", "wifi", "datacenter", "starlink"];
        let cases = [
            ("let", Some("lte")),
            ("LTE", Some("lte")),
            ("lte_poor", Some("lte-poor")),
            ("wify", Some("wifi")),
            ("data-center", Some("datacenter")),
            ("sattelite", None),
            ("", None),
        ];
        for (wrong, expected) in cases {
            assert_eq!(nearest(wrong, names), expected, "{wrong}");
        }
    }

    #[test]
    fn distances() {
        let cases = [
            ("", "", 0),
            ("", "ab", 2),
            ("count", "cuont", 1),
            ("age", "ages", 1),
            ("abc", "xyz", 3),
        ];
        for (a, b, distance) in cases {
            let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
            assert_eq!(edit_distance(&a, &b), distance);
            assert_eq!(edit_distance(&b, &a), distance);
        }
    }

    #[test]
    fn lines_count_from_one() {
        assert_eq!(line_of("a\nb\n", 0), 1);
        assert_eq!(line_of("a\nb\n", 1), 1);
        assert_eq!(line_of("a\nb\n", 2), 2);
        assert_eq!(line_of("a\nb\n", 99), 3);
    }
}
