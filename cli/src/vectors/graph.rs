//! Graphs of edits: their versions, and lists that are written along them.

use std::ops::Range;

use reconverge_strategies::Malformed;
use reconverge_strategies::event_graph::vectors::{
    self, Conflict, Side, Span, Transaction, conflicting, final_text, version_contains,
};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;

use super::{Outcome, parse};

/// What a case of `list-histories` looks like.
pub(super) const LIST_HISTORIES: &str = r#"{"txns": [{"span": [FROM, UNTIL], "parents": [TIMES], "agent": NAME, "seqStart": NUMBER, "ops": [[POSITION, DELETED, INSERTED]]}], "endContent": TEXT}"#;
/// What a case of `causal-graph` looks like.
pub(super) const CAUSAL_GRAPH: &str = r#"{"hist": [{"span": [FROM, UNTIL], "parents": [TIMES]}], …} with
    "a": [TIMES], "b": [TIMES], "expect_spans": [[{"start", "end"}, "OnlyA" or "OnlyB" or "Shared"]], "expect_common": [TIMES]
    or "a": [TIMES], "b": [TIMES], "expect_a": [[FROM, UNTIL]], "expect_b": [[FROM, UNTIL]]
    or "frontier": [TIMES], "target": TIME or -1, "expected": true or false"#;

/// A local time. With 32 bits no sum of a few overflows.
type Time = u32;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct List {
    txns: Vec<Edits>,
    end_content: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Edits {
    span: (Time, Time),
    parents: Vec<Time>,
    agent: String,
    seq_start: u32,
    ops: Vec<(u32, u32, String)>,
}

impl From<Edits> for Transaction {
    fn from(Edits { span, parents, agent, seq_start, ops }: Edits) -> Transaction {
        let splice = |(at, delete, insert)| (at as usize, delete as usize, insert);
        Transaction {
            span: Node { span, parents }.into(),
            agent,
            first: u64::from(seq_start),
            splices: ops.into_iter().map(splice).collect(),
        }
    }
}

pub(super) fn list_histories(line: &[u8]) -> Result<Vec<Outcome>, String> {
    let List { txns, end_content } = parse(line)?;
    let history: Vec<Transaction> = txns.into_iter().map(Transaction::from).collect();
    let found = final_text(&history).map_err(in_words)?;
    Ok(vec![Outcome { name: "", expected: end_content, found }])
}

/// Edits that follow one another, from a time until before another one, and the version before them.
#[derive(Deserialize)]
struct Node {
    span: (Time, Time),
    parents: Vec<Time>,
}

impl From<Node> for Span {
    fn from(Node { span, parents }: Node) -> Span {
        Span { times: span.0 as usize..span.1 as usize, parents: times(&parents) }
    }
}

fn spans(nodes: Vec<Node>) -> Vec<Span> {
    nodes.into_iter().map(Span::from).collect()
}

fn times(times: &[Time]) -> Vec<usize> {
    times.iter().map(|time| *time as usize).collect()
}

/// Tells the three questions apart.
#[derive(Deserialize)]
struct Question {
    frontier: Option<IgnoredAny>,
    expect_spans: Option<IgnoredAny>,
}

pub(super) fn causal_graph(line: &[u8]) -> Result<Vec<Outcome>, String> {
    let question: Question = parse(line)?;
    let (expected, found) = if question.frontier.is_some() {
        contains(line)?
    } else if question.expect_spans.is_some() {
        conflict(line)?
    } else {
        diff(line)?
    };
    Ok(vec![Outcome { name: "", expected, found }])
}

#[derive(Deserialize)]
struct Contains {
    hist: Vec<Node>,
    frontier: Vec<Time>,
    target: i64,
    expected: bool,
}

fn contains(line: &[u8]) -> Result<(String, String), String> {
    let Contains { hist, frontier, target, expected } = parse(line)?;
    let target = match target {
        -1 => None,
        time => Some(Time::try_from(time).map_err(|_| "`target`: neither a time nor -1")? as usize),
    };
    let found = version_contains(&spans(hist), &times(&frontier), target).map_err(in_words)?;
    Ok((expected.to_string(), found.to_string()))
}

#[derive(Deserialize)]
struct Diff {
    hist: Vec<Node>,
    a: Vec<Time>,
    b: Vec<Time>,
    expect_a: Vec<(Time, Time)>,
    expect_b: Vec<(Time, Time)>,
}

fn diff(line: &[u8]) -> Result<(String, String), String> {
    let Diff { hist, a, b, expect_a, expect_b } = parse(line)?;
    let (only_a, only_b) = vectors::diff(&spans(hist), &times(&a), &times(&b)).map_err(in_words)?;
    let pairs = |ranges: &[Range<usize>]| -> Vec<(usize, usize)> {
        ranges.iter().map(|range| (range.start, range.end)).collect()
    };
    Ok((
        json!({ "a": expect_a, "b": expect_b }).to_string(),
        json!({ "a": pairs(&only_a), "b": pairs(&only_b) }).to_string(),
    ))
}

#[derive(Deserialize)]
struct Between {
    hist: Vec<Node>,
    a: Vec<Time>,
    b: Vec<Time>,
    expect_spans: Vec<(Times, Where)>,
    expect_common: Vec<Time>,
}

#[derive(Deserialize)]
struct Times {
    start: Time,
    end: Time,
}

#[derive(Clone, Copy, Debug, Deserialize)]
enum Where {
    OnlyA,
    OnlyB,
    Shared,
}

fn conflict(line: &[u8]) -> Result<(String, String), String> {
    let Between { hist, a, b, expect_spans, expect_common } = parse(line)?;
    let Conflict { spans, common } =
        conflicting(&spans(hist), &times(&a), &times(&b)).map_err(in_words)?;
    let expected = expect_spans
        .iter()
        .map(|(Times { start, end }, side)| json!([start, end, format!("{side:?}")]));
    let found = spans.iter().map(|(Range { start, end }, side)| {
        let side = match side {
            Side::OnlyA => Where::OnlyA,
            Side::OnlyB => Where::OnlyB,
            Side::Shared => Where::Shared,
        };
        json!([start, end, format!("{side:?}")])
    });
    let both = |spans: Vec<serde_json::Value>, common: Vec<usize>| {
        json!({ "spans": spans, "common": common }).to_string()
    };
    Ok((both(expected.collect(), times(&expect_common)), both(found.collect(), common)))
}

fn in_words(Malformed(why): Malformed) -> String {
    why.to_owned()
}
