//! The text of a scenario as a tree that knows where each part was written, and that overrides can change.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

/// Where a part was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// In the text, at these bytes.
    Text(Range<usize>),
    /// In the override of this number.
    Override(usize),
}

/// A value and where it was written.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) origin: Origin,
    pub(crate) value: Value,
}

/// A TOML value.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Text(String),
    Integer(i128),
    Float(f64),
    Boolean(bool),
    /// A date or a time, which no key takes.
    Date(String),
    List(Vec<Node>),
    /// In the order of the text.
    Table(Vec<Entry>),
}

/// A key of a table with its value.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_origin: Origin,
    pub(crate) node: Node,
}

/// An error of syntax: what, and where.
pub(crate) type SyntaxError = (String, Option<Range<usize>>);

impl Node {
    /// Reads a whole document.
    pub(crate) fn document(text: &str) -> Result<Node, SyntaxError> {
        let table = DeTable::parse(text).map_err(|e| (e.message().to_owned(), e.span()))?;
        let span = table.span();
        let value = Value::of(DeValue::Table(table.into_inner()), &Origin::Text);
        Ok(Node { origin: Origin::Text(span), value })
    }

    /// Reads one value as given to override number `index`; what is no TOML is a bare string.
    pub(crate) fn of_override(text: &str, index: usize) -> Node {
        let value = match DeValue::parse(text) {
            Ok(value) => Value::of(value.into_inner(), &|_| Origin::Override(index)),
            Err(_) => Value::Text(text.to_owned()),
        };
        Node { origin: Origin::Override(index), value }
    }

    /// The part at `path`: keys, `[[group]]` entries by name, other lists by index.
    pub(crate) fn at(&self, path: &str) -> Option<&Node> {
        let mut node = self;
        for (depth, segment) in path.split('.').enumerate() {
            let in_groups = depth == 1 && path.starts_with("group.");
            node = match &node.value {
                Value::Table(entries) => &entries.iter().find(|entry| entry.key == segment)?.node,
                Value::List(items) if in_groups => {
                    items.iter().find(|item| item.name() == Some(segment))?
                }
                Value::List(items) => items.get(segment.parse::<usize>().ok()?)?,
                _ => return None,
            };
        }
        Some(node)
    }

    /// The value of the key `name`, if it is a text.
    pub(crate) fn name(&self) -> Option<&str> {
        let Value::Table(entries) = &self.value else { return None };
        match &entries.iter().find(|entry| entry.key == "name")?.node.value {
            Value::Text(name) => Some(name),
            _ => None,
        }
    }

    /// What stands here, for a message.
    pub(crate) fn described(&self) -> String {
        const LONGEST: usize = 60;
        match &self.value {
            Value::Text(text) if text.chars().count() > LONGEST => {
                format!("{:?}…", text.chars().take(LONGEST).collect::<String>())
            }
            Value::Text(text) => format!("{text:?}"),
            Value::Integer(number) => format!("the number {number}"),
            Value::Float(number) => format!("the number {number:?}"),
            Value::Boolean(value) => value.to_string(),
            Value::Date(text) => format!("the date {text}"),
            Value::List(items) if items.is_empty() => "an empty list".to_owned(),
            Value::List(items) => format!("a list of {}", items.len()),
            Value::Table(entries) if entries.is_empty() => "an empty table".to_owned(),
            Value::Table(_) => "a table".to_owned(),
        }
    }
}

impl Value {
    fn of(value: DeValue<'_>, origin: &dyn Fn(Range<usize>) -> Origin) -> Value {
        match value {
            DeValue::String(text) => Value::Text(text.into_owned()),
            DeValue::Integer(number) => {
                // The parser has checked the digits: only numbers beyond every range fail here.
                let parsed = i128::from_str_radix(number.as_str(), number.radix());
                Value::Integer(parsed.unwrap_or(i128::MAX))
            }
            DeValue::Float(number) => Value::Float(number.as_str().parse().unwrap_or(f64::NAN)),
            DeValue::Boolean(value) => Value::Boolean(value),
            DeValue::Datetime(date) => Value::Date(date.to_string()),
            DeValue::Array(items) => Value::List(
                items
                    .into_iter()
                    .map(|item| {
                        let origin_of_item = origin(item.span());
                        Node { origin: origin_of_item, value: Value::of(item.into_inner(), origin) }
                    })
                    .collect(),
            ),
            DeValue::Table(table) => {
                let mut entries: Vec<(usize, Entry)> = table
                    .into_iter()
                    .map(|(key, value)| {
                        let (start, key_origin) = (key.span().start, origin(key.span()));
                        let node_origin = origin(value.span());
                        let value = Value::of(value.into_inner(), origin);
                        let node = Node { origin: node_origin, value };
                        (start, Entry { key: key.into_inner().into_owned(), key_origin, node })
                    })
                    .collect();
                // The parser sorts by key; the order of the text matters for `data.fields` and for "the first error".
                entries.sort_by_key(|(start, _)| *start);
                Value::Table(entries.into_iter().map(|(_, entry)| entry).collect())
            }
        }
    }
}

/// Where in a scenario's text the value at `path` was written: keys as in the file, `[[group]]` entries by name, other lists
/// by index. None where the text is no TOML or does not hold that path, as when the value is a default.
///
/// For checks of values that only the caller can judge, such as names of strategies and columns.
pub fn locate(text: &str, path: &str) -> Option<Range<usize>> {
    match &Node::document(text).ok()?.at(path)?.origin {
        Origin::Text(span) => Some(span.clone()),
        Origin::Override(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "z = 1\na = 2\nlist = ['x', 'y']\n[[group]]\nname = 'phone'\ncount = 3\n[[group]]\nname = 'group'\ncount = 4\n";

    #[test]
    fn parts_are_located_by_path() {
        let cases = [
            ("z", Some("1")),
            ("list.1", Some("'y'")),
            ("list.2", None),
            ("list.x", None),
            ("group.phone.count", Some("3")),
            ("group.group.count", Some("4")),
            ("group.server.count", None),
            ("group.phone.count.x", None),
            ("", None),
        ];
        for (path, expected) in cases {
            assert_eq!(locate(TEXT, path).map(|span| &TEXT[span]), expected, "{path}");
        }
        assert_eq!(locate("a = ", "a"), None);
    }

    #[test]
    fn keys_keep_the_order_of_the_text() {
        let Value::Table(entries) = Node::document(TEXT).expect("valid").value else { panic!() };
        let keys: Vec<&str> = entries.iter().map(|entry| entry.key.as_str()).collect();
        assert_eq!(keys, ["z", "a", "list", "group"]);
    }

    #[test]
    fn values_of_overrides_fall_back_to_bare_text() {
        let cases = [
            ("12", "the number 12"),
            ("0x10", "the number 16"),
            ("1.5", "the number 1.5"),
            ("true", "true"),
            ("30s", "\"30s\""),
            ("5g-nsa", "\"5g-nsa\""),
            ("\"30s\"", "\"30s\""),
            ("[1, 2]", "a list of 2"),
            ("{ a = 1 }", "a table"),
            ("[1, 2", "\"[1, 2\""),
            ("", "\"\""),
            ("2026-01-01", "the date 2026-01-01"),
        ];
        for (text, expected) in cases {
            assert_eq!(Node::of_override(text, 0).described(), expected, "{text}");
        }
    }
}
