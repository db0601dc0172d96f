//! A probe that writes facts down as text, for `trace`, for the page and for comparing runs.

use crate::fact::{Fact, Probe, clock_text};

/// One fact, written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// When.
    pub at_ns: u64,
    /// On which device, where it is one.
    pub device: Option<u32>,
    /// Its kind in one word.
    pub name: &'static str,
    /// In words.
    pub text: String,
}

impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", clock_text(self.at_ns), self.text)
    }
}

/// Hands every fact within a stretch of time to a function.
pub struct Log<F> {
    from_ns: u64,
    until_ns: u64,
    take: F,
}

impl<F: FnMut(Line)> Log<F> {
    /// Facts from the one moment until before the other.
    pub fn new(from_ns: u64, until_ns: u64, take: F) -> Log<F> {
        Log { from_ns, until_ns, take }
    }
}

impl<F: FnMut(Line)> Probe for Log<F> {
    fn observe(&mut self, at_ns: u64, fact: &Fact<'_>) {
        if (self.from_ns..self.until_ns).contains(&at_ns) {
            let (device, name) = (fact.device(), fact.name());
            (self.take)(Line { at_ns, device, name, text: fact.to_string() });
        }
    }
}
