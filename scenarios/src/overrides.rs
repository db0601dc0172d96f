//! Overrides of single values (`--set PATH=VALUE`), made in the tree before it is resolved.

use std::fmt;
use std::str::FromStr;

use crate::error::{ScenarioError, listed, nearest};
use crate::tree::{Entry, Node, Origin, Value};

/// An override: the value at a path is replaced.
///
/// A path is made of keys as in the file; `[[group]]` entries go by their name, other lists by index:
/// `group.phone.outages.0.down.weibull.0`. It may lead into a value that is only named (`device = "phone-2020"`) or left
/// to its default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// The path.
    pub path: String,
    /// The value: TOML, or a bare text.
    pub value: String,
}

impl fmt::Display for Override {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "--set {}={}", self.path, self.value)
    }
}

impl FromStr for Override {
    type Err = Box<ScenarioError>;

    fn from_str(text: &str) -> Result<Override, Box<ScenarioError>> {
        match text.split_once('=') {
            Some((path, value)) if !path.trim().is_empty() => {
                Ok(Override { path: path.trim().to_owned(), value: value.trim().to_owned() })
            }
            _ => Err(Box::new(ScenarioError {
                source_name: format!("--set {text}"),
                span: None,
                line: None,
                path: String::new(),
                found: format!("{text:?}"),
                expected: "PATH=VALUE".to_owned(),
                suggestion: None,
            })),
        }
    }
}

/// Values that are given part by part: what is absent in them comes from the profile they start from. All others are
/// given as a whole.
const GIVEN_BY_PARTS: [&str; 6] = ["device", "battery", "cpu", "storage", "link", "radio"];

/// Keys of which a table has one: setting one replaces another.
const ALTERNATIVES: [&str; 4] = ["uniform", "exponential", "lognormal", "weibull"];

/// Makes override number `index` in the tree. `resolved` gives the tree of the scenario as it is so far, with every key,
/// or the error that it has.
pub(crate) fn apply(
    root: &mut Node,
    over: &Override,
    index: usize,
    resolved: &dyn Fn(&Node) -> Result<Node, Box<ScenarioError>>,
) -> Result<(), Box<ScenarioError>> {
    let walk = Walk { over, index, resolved };
    let segments: Vec<&str> = over.path.split('.').collect();
    if segments.iter().any(|segment| segment.is_empty()) {
        return walk.refuse(&over.path, "an empty part", "keys joined by dots", None);
    }
    let untouched = root.clone();
    walk.set(root, &untouched, &segments, 0)
}

struct Walk<'a> {
    over: &'a Override,
    index: usize,
    resolved: &'a dyn Fn(&Node) -> Result<Node, Box<ScenarioError>>,
}

impl Walk<'_> {
    fn refuse(
        &self,
        path: &str,
        found: impl Into<String>,
        expected: impl Into<String>,
        suggestion: Option<String>,
    ) -> Result<(), Box<ScenarioError>> {
        Err(Box::new(ScenarioError {
            source_name: self.over.to_string(),
            span: None,
            line: None,
            path: path.to_owned(),
            found: found.into(),
            expected: expected.into(),
            suggestion,
        }))
    }

    /// Replaces what `segments[depth..]` leads to from `node`, which is what `segments[..depth]` lead to.
    fn set(
        &self,
        node: &mut Node,
        root: &Node,
        segments: &[&str],
        depth: usize,
    ) -> Result<(), Box<ScenarioError>> {
        let Some(segment) = segments.get(depth) else {
            *node = Node::of_override(&self.over.value, self.index);
            return Ok(());
        };
        if let Some(table) = spelt_out(node, &segments[..depth], self.index) {
            *node = table;
        }
        match &mut node.value {
            Value::List(items) => {
                let is_groups = segments[..depth] == ["group"];
                let found = if is_groups {
                    items.iter_mut().find(|item| item.name() == Some(segment))
                } else {
                    segment.parse::<usize>().ok().and_then(|index| items.get_mut(index))
                };
                match found {
                    Some(item) => self.set(item, root, segments, depth + 1),
                    None => self.refuse_item(items, is_groups, segments, depth),
                }
            }
            Value::Table(entries) => self.set_in_table(entries, root, segments, depth),
            _ => unreachable!("what is neither list nor table was spelt out"),
        }
    }

    fn set_in_table(
        &self,
        entries: &mut Vec<Entry>,
        root: &Node,
        segments: &[&str],
        depth: usize,
    ) -> Result<(), Box<ScenarioError>> {
        let key = segments[depth];
        if segments[0] == "group" && ALTERNATIVES.contains(&key) {
            entries.retain(|entry| entry.key == key || !ALTERNATIVES.contains(&entry.key.as_str()));
        }
        if !entries.iter().any(|entry| entry.key == key) {
            let origin = Origin::Override(self.index);
            let node = self.absent(root, segments, depth)?;
            entries.push(Entry { key: key.to_owned(), key_origin: origin, node });
        }
        let entry = entries.iter_mut().find(|entry| entry.key == key);
        let entry = entry.expect("it was there or has just been added");
        self.set(&mut entry.node, root, segments, depth + 1)
    }

    /// What to put where the text has nothing, for the path to lead on.
    fn absent(
        &self,
        root: &Node,
        segments: &[&str],
        depth: usize,
    ) -> Result<Node, Box<ScenarioError>> {
        let empty = Node { origin: Origin::Override(self.index), value: Value::Table(Vec::new()) };
        let is_last = depth + 1 == segments.len();
        if is_last || GIVEN_BY_PARTS.contains(&segments[depth]) {
            return Ok(empty);
        }
        // What is left to a default or a profile, and is given as a whole, is taken from there to be changed.
        let resolved = (self.resolved)(root)?;
        let path = segments[..=depth].join(".");
        let mut node = match resolved.at(&path) {
            Some(node) => node.clone(),
            None => empty,
        };
        node.move_to(&Origin::Override(self.index));
        Ok(node)
    }

    fn refuse_item(
        &self,
        items: &[Node],
        is_groups: bool,
        segments: &[&str],
        depth: usize,
    ) -> Result<(), Box<ScenarioError>> {
        let path = segments[..=depth].join(".");
        let found = format!("{:?}", segments[depth]);
        if is_groups {
            let names: Vec<&str> = items.iter().filter_map(Node::name).collect();
            let near = nearest(segments[depth], names.iter().copied()).map(str::to_owned);
            return self.refuse(&path, found, format!("one of the groups {}", listed(names)), near);
        }
        let expected = match items.len() {
            0 => "nothing more: the list is empty".to_owned(),
            1 => "the index 0 of a list of one".to_owned(),
            count => format!("an index from 0 to {} of a list of {count}", count - 1),
        };
        self.refuse(&path, found, expected, None)
    }
}

impl Node {
    /// Says that all of this was written by an override.
    fn move_to(&mut self, origin: &Origin) {
        self.origin = origin.clone();
        match &mut self.value {
            Value::List(items) => items.iter_mut().for_each(|item| item.move_to(origin)),
            Value::Table(entries) => {
                for entry in entries {
                    entry.key_origin = origin.clone();
                    entry.node.move_to(origin);
                }
            }
            _ => {}
        }
    }
}

/// The table that a value which is neither list nor table stands for, so that a path can lead into it; none for lists and
/// tables.
fn spelt_out(node: &Node, path: &[&str], index: usize) -> Option<Node> {
    if matches!(node.value, Value::List(_) | Value::Table(_)) {
        return None;
    }
    let key = match path {
        [.., "device" | "link" | "radio"] | [.., "outages", _] => Some("profile"),
        [.., "schedule"] => Some("kind"),
        [.., "battery"] => Some("capacity"),
        ["data", "fields", _] => Some("kind"),
        _ => None,
    };
    let origin = Origin::Override(index);
    let is_name = matches!(&node.value, Value::Text(text) if text != "none");
    let entries = match key {
        Some(key) if is_name => {
            vec![Entry { key: key.to_owned(), key_origin: origin.clone(), node: node.clone() }]
        }
        // Another form of the same value: the override says which.
        _ => Vec::new(),
    };
    Some(Node { origin, value: Value::Table(entries) })
}
