//! Histories of a text that several replicas write.

use reconverge_strategies::Malformed;
use reconverge_strategies::crdt::{DIGEST, DIGEST_RGA};
use reconverge_strategies::vectors::{self, Step};
use serde::Deserialize;

use super::{Outcome, parse};

/// What a case of `text-order` looks like.
pub(super) const TEXT_ORDER: &str = r#"{"replicas": NUMBER, "steps": [{"insert": {"replica", "at", "text"}} or {"merge": {"from", "into"}}], "expected": {"fuguemax": TEXT, "rga": TEXT}}"#;

#[derive(Deserialize)]
struct History {
    replicas: u32,
    steps: Vec<Taken>,
    expected: Expected,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Taken {
    Insert { replica: u32, at: usize, text: String },
    Merge { from: u32, into: u32 },
}

impl Taken {
    fn step(&self) -> Step<'_> {
        match *self {
            Taken::Insert { replica, at, ref text } => Step::Insert { replica, at, text },
            Taken::Merge { from, into } => Step::Merge { from, into },
        }
    }
}

/// The text in the end, for each order of concurrent insertions.
#[derive(Deserialize)]
struct Expected {
    fuguemax: String,
    rga: String,
}

pub(super) fn text_order(line: &[u8]) -> Result<Vec<Outcome>, String> {
    let history: History = parse(line)?;
    let steps: Vec<Step<'_>> = history.steps.iter().map(Taken::step).collect();
    let Expected { fuguemax, rga } = history.expected;
    let orders = [("fuguemax", &DIGEST, fuguemax), ("rga", &DIGEST_RGA, rga)];
    let outcomes = orders.into_iter().map(|(name, strategy, expected)| {
        let texts = vectors::text_order(strategy, history.replicas, &steps)
            .map_err(|Malformed(why)| why.to_owned())?;
        // All replicas must show it: one that shows another text stands for the rest.
        let other = texts.into_iter().find(|text| *text != expected);
        Ok(Outcome { name, found: other.unwrap_or_else(|| expected.clone()), expected })
    });
    outcomes.collect()
}
