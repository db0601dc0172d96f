//! Reading the tree strictly: every value with its type, unit and range, every table with exactly the keys it may have.
//!
//! A reader that meets an error records it and goes on, so that the first one in the order of the text can be reported,
//! whatever the order in which keys are read.

use std::cell::RefCell;
use std::ops::RangeInclusive;

use crate::error::{ScenarioError, line_of, listed, nearest};
use crate::overrides::Override;
use crate::tree::{Entry, Node, Origin, Value};
use crate::units::{Fault, Quantity, decimal};

/// What a text is called, what overrides it, and what is wrong with it so far.
pub(crate) struct Context<'a> {
    pub(crate) source_name: &'a str,
    pub(crate) text: &'a str,
    pub(crate) overrides: &'a [Override],
    pub(crate) errors: RefCell<Vec<(Origin, ScenarioError)>>,
}

impl<'a> Context<'a> {
    pub(crate) fn new(source_name: &'a str, text: &'a str, overrides: &'a [Override]) -> Self {
        Self { source_name, text, overrides, errors: RefCell::default() }
    }

    /// Records an error.
    pub(crate) fn refuse(
        &self,
        origin: &Origin,
        path: &str,
        found: String,
        expected: String,
        suggestion: Option<String>,
    ) {
        let (source_name, span) = match origin {
            Origin::Text(span) => (self.source_name.to_owned(), Some(span.clone())),
            Origin::Override(index) => (self.overrides[*index].to_string(), None),
        };
        let line = span.as_ref().map(|span| line_of(self.text, span.start));
        let path = path.to_owned();
        let error = ScenarioError { source_name, span, line, path, found, expected, suggestion };
        self.errors.borrow_mut().push((origin.clone(), error));
    }

    /// Whether nothing is wrong so far.
    pub(crate) fn is_clean(&self) -> bool {
        self.errors.borrow().is_empty()
    }

    /// The first error in the order of the text; errors of overrides come after it.
    pub(crate) fn first_error(&self) -> Option<Box<ScenarioError>> {
        let errors = self.errors.borrow();
        let place = |origin: &Origin| match origin {
            Origin::Text(span) => (0, span.start),
            Origin::Override(index) => (1, *index),
        };
        let first = errors.iter().min_by_key(|(origin, _)| place(origin));
        first.map(|(_, error)| Box::new(error.clone()))
    }
}

/// A value to read, and its path. Every reading method records an error and returns none where the value is wrong.
#[derive(Clone)]
pub(crate) struct Place<'a> {
    pub(crate) context: &'a Context<'a>,
    pub(crate) path: String,
    pub(crate) node: &'a Node,
}

impl<'a> Place<'a> {
    fn inner(&self, segment: &str, node: &'a Node) -> Place<'a> {
        let separator = if self.path.is_empty() { "" } else { "." };
        let path = format!("{}{separator}{segment}", self.path);
        Place { context: self.context, path, node }
    }

    /// Records that this value is not what is expected.
    pub(crate) fn refuse<T>(&self, expected: impl Into<String>) -> Option<T> {
        self.refuse_as(self.node.described(), expected, None)
    }

    /// Records an error that has its own words for what was found.
    pub(crate) fn refuse_as<T>(
        &self,
        found: impl Into<String>,
        expected: impl Into<String>,
        suggestion: Option<String>,
    ) -> Option<T> {
        let (found, expected) = (found.into(), expected.into());
        self.context.refuse(&self.node.origin, &self.path, found, expected, suggestion);
        None
    }

    /// Whether this is the word `none`.
    pub(crate) fn is_none(&self) -> bool {
        self.as_text() == Some("none")
    }

    /// Whether this is a table.
    pub(crate) fn is_table(&self) -> bool {
        matches!(self.node.value, Value::Table(_))
    }

    /// The text, if it is one.
    pub(crate) fn as_text(&self) -> Option<&'a str> {
        match &self.node.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Any text.
    pub(crate) fn text(&self) -> Option<String> {
        let text = self.as_text().map(str::to_owned);
        if text.is_some() { text } else { self.refuse("a text") }
    }

    /// A text that can be part of a path: letters, digits, `-` and `_`.
    pub(crate) fn name(&self) -> Option<String> {
        const LONGEST: usize = 64;
        match self.as_text() {
            Some(text) if is_name(text) && text.len() <= LONGEST => Some(text.to_owned()),
            _ => self.refuse(format!("a name of 1 to {LONGEST} letters, digits, `-` and `_`")),
        }
    }

    /// `true` or `false`.
    pub(crate) fn boolean(&self) -> Option<bool> {
        match self.node.value {
            Value::Boolean(value) => Some(value),
            _ => self.refuse("`true` or `false`"),
        }
    }

    /// One of some names.
    pub(crate) fn choice<T: Copy>(&self, choices: &[(&str, T)]) -> Option<T> {
        let names = choices.iter().map(|(name, _)| *name);
        let chosen = self.as_text().and_then(|text| names.clone().position(|name| name == text));
        match chosen {
            Some(index) => Some(choices[index].1),
            None => self.refuse_name("one of", names),
        }
    }

    /// Records that this is none of `names`.
    pub(crate) fn refuse_name<'n, T>(
        &self,
        expected: &str,
        names: impl Iterator<Item = &'n str> + Clone,
    ) -> Option<T> {
        let near = self.as_text().and_then(|text| nearest(text, names.clone())).map(str::to_owned);
        self.refuse_as(self.node.described(), format!("{expected} {}", listed(names)), near)
    }

    /// A whole number.
    pub(crate) fn integer(&self, range: RangeInclusive<u64>) -> Option<u64> {
        if let Value::Integer(number) = self.node.value
            && let Ok(number) = u64::try_from(number)
            && range.contains(&number)
        {
            return Some(number);
        }
        self.refuse(format!("a whole number from {} to {}", range.start(), range.end()))
    }

    /// A whole number that fits 32 bits.
    pub(crate) fn small(&self, range: RangeInclusive<u32>) -> Option<u32> {
        self.integer(u64::from(*range.start())..=u64::from(*range.end())).map(|n| n as u32)
    }

    /// A number.
    pub(crate) fn number(&self, range: RangeInclusive<f64>) -> Option<f64> {
        // Adding zero turns −0 into 0, so that equal scenarios print alike.
        let number = match self.node.value {
            Value::Integer(number) => Some(number as f64),
            Value::Float(number) => Some(number + 0.0),
            _ => None,
        };
        match number {
            Some(number) if range.contains(&number) => Some(number),
            _ => self.refuse(format!("a number from {} to {}", range.start(), range.end())),
        }
    }

    /// A probability or share, in steps of 1 / `steps`.
    fn share(&self, range: RangeInclusive<u32>, places: u32) -> Option<u32> {
        let steps = 10_u32.pow(places);
        let number = match self.node.value {
            Value::Integer(number) => Some(number as f64),
            Value::Float(number) => Some(number),
            _ => None,
        };
        // A decimal fraction of that many places lies within rounding of a whole number of steps.
        const ROUNDING: f64 = 1e-6;
        if let Some(number) = number
            && (0.0..=1.0).contains(&number)
        {
            let scaled = number * f64::from(steps);
            let whole = scaled.round() as u32;
            if (scaled - scaled.round()).abs() < ROUNDING && range.contains(&whole) {
                return Some(whole);
            }
        }
        let bound = |share: &u32| decimal(u128::from(*share), places);
        let (from, until) = (bound(range.start()), bound(range.end()));
        self.refuse(format!("a number from {from} to {until}, of at most {places} decimals"))
    }

    /// A probability, in parts per million.
    pub(crate) fn probability_ppm(&self) -> Option<u32> {
        self.share(0..=1_000_000, 6)
    }

    /// A share, in thousandths.
    pub(crate) fn permille(&self, range: RangeInclusive<u32>) -> Option<u32> {
        self.share(range, 3)
    }

    /// A text with a unit, in base units.
    pub(crate) fn quantity(&self, quantity: &Quantity, range: RangeInclusive<u64>) -> Option<u64> {
        let Some(text) = self.as_text() else { return self.refuse(quantity.what) };
        match quantity.parse(text) {
            Ok(value) if range.contains(&value) => Some(value),
            Ok(_) | Err(Fault::TooLarge) => {
                let bound = |value: &u64| quantity.print(*value);
                let (from, until) = (bound(range.start()), bound(range.end()));
                self.refuse(format!("{} from {from} to {until}", quantity.what))
            }
            Err(Fault::Shape) => self.refuse(quantity.what),
            Err(Fault::Inexact(unit)) => {
                self.refuse(format!("{}, a whole number of {unit}", quantity.what))
            }
            Err(Fault::Unit(near)) => {
                let expected =
                    format!("{}; its units are {}", quantity.what, quantity.unit_names());
                self.refuse_as(self.node.described(), expected, near)
            }
        }
    }

    /// The items of a list.
    pub(crate) fn items(&self, expected: &str) -> Option<Vec<Place<'a>>> {
        match &self.node.value {
            Value::List(items) => {
                let place = |(index, node): (usize, &'a Node)| self.inner(&index.to_string(), node);
                Some(items.iter().enumerate().map(place).collect())
            }
            _ => self.refuse(expected),
        }
    }

    /// Every item of a list, each read by `read`.
    pub(crate) fn list<T>(
        &self,
        expected: &str,
        read: impl Fn(&Place<'a>) -> Option<T>,
    ) -> Option<Vec<T>> {
        // All are read before the first missing one spoils the list, so that each can record its error.
        let read: Vec<Option<T>> = self.items(expected)?.iter().map(read).collect();
        read.into_iter().collect()
    }

    /// A list of exactly two.
    pub(crate) fn pair(&self, expected: &str) -> Option<[Place<'a>; 2]> {
        match <[Place<'a>; 2]>::try_from(self.items(expected)?) {
            Ok(pair) => Some(pair),
            Err(_) => self.refuse(expected),
        }
    }

    /// The entries of a table whose keys are free.
    pub(crate) fn entries(&self, expected: &str) -> Option<Vec<(&'a Entry, Place<'a>)>> {
        match &self.node.value {
            Value::Table(entries) => {
                Some(entries.iter().map(|e| (e, self.inner(&e.key, &e.node))).collect())
            }
            _ => self.refuse(expected),
        }
    }

    /// The key of one of its entries, which must be a name.
    pub(crate) fn key_name(&self, entry: &Entry) -> Option<String> {
        if is_name(&entry.key) {
            return Some(entry.key.clone());
        }
        let path = self.inner(&entry.key, &entry.node).path;
        let found = format!("the key {:?}", entry.key);
        let expected = "a name of letters, digits, `-` and `_`".to_owned();
        self.context.refuse(&entry.key_origin, &path, found, expected, None);
        None
    }

    /// A table, read by `read`; keys that it does not ask for are errors.
    pub(crate) fn table<T>(
        &self,
        expected: &str,
        read: impl FnOnce(&Section<'a>) -> Option<T>,
    ) -> Option<T> {
        let Value::Table(entries) = &self.node.value else { return self.refuse(expected) };
        let section = Section {
            place: self.clone(),
            entries,
            asked: RefCell::default(),
            missing: RefCell::default(),
            refused: RefCell::default(),
        };
        let result = read(&section);
        section.finish();
        result
    }
}

/// Whether a text can be part of a path.
fn is_name(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    !text.is_empty() && text.chars().all(allowed)
}

/// A table being read.
pub(crate) struct Section<'a> {
    pub(crate) place: Place<'a>,
    entries: &'a [Entry],
    asked: RefCell<Vec<&'static str>>,
    missing: RefCell<Vec<(&'static str, &'static str)>>,
    refused: RefCell<Vec<&'static str>>,
}

impl<'a> Section<'a> {
    /// The value of a key that may be absent.
    pub(crate) fn get(&self, key: &'static str) -> Option<Place<'a>> {
        self.asked.borrow_mut().push(key);
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        Some(self.place.inner(key, &entry.node))
    }

    /// The value of a key, read by `read`, or its default.
    pub(crate) fn read_or<T>(
        &self,
        key: &'static str,
        default: T,
        read: impl FnOnce(&Place<'a>) -> Option<T>,
    ) -> Option<T> {
        match self.get(key) {
            Some(place) => read(&place),
            None => Some(default),
        }
    }

    /// The value of a key that must be there, read by `read`. `expected` says what its value would be.
    pub(crate) fn require<T>(
        &self,
        key: &'static str,
        expected: &'static str,
        read: impl FnOnce(&Place<'a>) -> Option<T>,
    ) -> Option<T> {
        match self.get(key) {
            Some(place) => read(&place),
            None => self.lacks(key, expected),
        }
    }

    /// Records that a key is missing. `expected` says what its value would be.
    pub(crate) fn lacks<T>(&self, key: &'static str, expected: &'static str) -> Option<T> {
        self.missing.borrow_mut().push((key, expected));
        None
    }

    /// The value of a key, read by `read`, or what it is in the profile this table starts from; required where there is none.
    pub(crate) fn inherit<T>(
        &self,
        key: &'static str,
        expected: &'static str,
        base: Option<T>,
        read: impl FnOnce(&Place<'a>) -> Option<T>,
    ) -> Option<T> {
        match base {
            Some(base) => self.read_or(key, base, read),
            None => self.require(key, expected, read),
        }
    }

    /// Whether it has no entries at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Records an error where the key `key` is present: one that is understood but not allowed.
    pub(crate) fn forbid(&self, key: &'static str, found: &str, expected: &str) {
        if let Some(entry) = self.entries.iter().find(|entry| entry.key == key) {
            self.refused.borrow_mut().push(key);
            let (found, expected) = (found.to_owned(), expected.to_owned());
            self.place.context.refuse(&entry.key_origin, key, found, expected, None);
        }
    }

    fn finish(&self) {
        let asked = self.asked.borrow();
        let refused = self.refused.borrow();
        let mut unknown = false;
        for entry in self.entries {
            if asked.contains(&entry.key.as_str()) || refused.contains(&entry.key.as_str()) {
                continue;
            }
            unknown = true;
            let names = asked.iter().copied();
            let near = nearest(&entry.key, names.clone()).map(str::to_owned);
            let path = self.place.inner(&entry.key, &entry.node).path;
            let found = format!("the unknown key `{}`", entry.key);
            let expected = format!("one of {}", listed(names));
            self.place.context.refuse(&entry.key_origin, &path, found, expected, near);
        }
        // A key that is missing beside an unknown one is most likely that one, misspelt.
        if !unknown {
            for (key, expected) in self.missing.borrow().iter() {
                let path = self.place.inner(key, self.place.node).path;
                let found = "nothing".to_owned();
                let expected = format!("the key `{key}`: {expected}");
                self.place.context.refuse(&self.place.node.origin, &path, found, expected, None);
            }
        }
    }
}
