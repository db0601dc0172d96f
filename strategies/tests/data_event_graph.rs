//! `event-graph` against data that others computed: versions of graphs, histories of lists, and where concurrently inserted text ends up.
//!
//! The data lie in the folder named by `RECONVERGE_DATA`, by default `../shared` beside the checkout.

use reconverge_strategies::event_graph::vectors::{
    Side, Span, Transaction, conflicting, diff, final_text, version_contains,
};
use serde::Deserialize;
use std::io::Read;
use std::ops::Range;
use std::path::PathBuf;

fn data(path: &str) -> Vec<u8> {
    let folder = std::env::var_os("RECONVERGE_DATA").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared")),
        PathBuf::from,
    );
    let path = folder.join(path);
    std::fs::read(&path).unwrap_or_else(|error| {
        panic!("{}: {error} (RECONVERGE_DATA names the data folder)", path.display())
    })
}

/// The cases of a file with one JSON object a line.
fn cases<C: for<'de> Deserialize<'de>>(bytes: &[u8]) -> Vec<C> {
    let file = std::str::from_utf8(bytes).expect("JSON is UTF-8");
    file.lines().map(|line| serde_json::from_str(line).expect("the documented format")).collect()
}

#[derive(Deserialize)]
struct PlainSpan {
    span: (usize, usize),
    parents: Vec<usize>,
}

fn spans(plain: Vec<PlainSpan>) -> Vec<Span> {
    let span = |PlainSpan { span: (start, end), parents }| Span { times: start..end, parents };
    plain.into_iter().map(span).collect()
}

#[derive(Deserialize)]
struct Contains {
    hist: Vec<PlainSpan>,
    frontier: Vec<usize>,
    target: i64,
    expected: bool,
}

#[test]
#[ignore = "needs RECONVERGE_DATA"]
fn versions_contain_what_the_published_graphs_say() {
    let cases: Vec<Contains> = cases(&data("vectors/causal-graph/version_contains.json"));
    assert_eq!(cases.len(), 61);
    for (n, case) in cases.into_iter().enumerate() {
        let target = usize::try_from(case.target).ok();
        let found = version_contains(&spans(case.hist), &case.frontier, target);
        assert_eq!(found, Ok(case.expected), "case {n}");
    }
}

#[derive(Deserialize)]
struct Diff {
    hist: Vec<PlainSpan>,
    a: Vec<usize>,
    b: Vec<usize>,
    expect_a: Vec<(usize, usize)>,
    expect_b: Vec<(usize, usize)>,
}

#[test]
#[ignore = "needs RECONVERGE_DATA"]
fn versions_differ_as_the_published_graphs_say() {
    let cases: Vec<Diff> = cases(&data("vectors/causal-graph/diff.json"));
    assert_eq!(cases.len(), 14);
    let ranges = |pairs: Vec<(usize, usize)>| -> Vec<Range<usize>> {
        pairs.into_iter().map(|(start, end)| start..end).collect()
    };
    for (n, case) in cases.into_iter().enumerate() {
        let found = diff(&spans(case.hist), &case.a, &case.b);
        assert_eq!(found, Ok((ranges(case.expect_a), ranges(case.expect_b))), "case {n}");
    }
}

#[derive(Deserialize)]
struct Conflict {
    hist: Vec<PlainSpan>,
    a: Vec<usize>,
    b: Vec<usize>,
    expect_spans: Vec<(PlainRange, PlainSide)>,
    expect_common: Vec<usize>,
}

#[derive(Deserialize)]
struct PlainRange {
    start: usize,
    end: usize,
}

#[derive(Clone, Copy, Deserialize)]
enum PlainSide {
    OnlyA,
    OnlyB,
    Shared,
}

#[test]
#[ignore = "needs RECONVERGE_DATA"]
fn what_lies_between_versions_is_as_published() {
    let cases: Vec<Conflict> = cases(&data("vectors/causal-graph/conflicting.json"));
    assert_eq!(cases.len(), 26);
    for (n, case) in cases.into_iter().enumerate() {
        let found = conflicting(&spans(case.hist), &case.a, &case.b).expect("a graph");
        let side = |side| match side {
            PlainSide::OnlyA => Side::OnlyA,
            PlainSide::OnlyB => Side::OnlyB,
            PlainSide::Shared => Side::Shared,
        };
        let expected: Vec<_> =
            case.expect_spans.iter().map(|(r, s)| (r.start..r.end, side(*s))).collect();
        assert_eq!(found.spans, expected, "case {n}");
        assert_eq!(found.common, case.expect_common, "case {n}");
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct History {
    txns: Vec<Txn>,
    end_content: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Txn {
    span: (usize, usize),
    parents: Vec<usize>,
    agent: String,
    seq_start: u64,
    ops: Vec<(usize, usize, String)>,
}

#[test]
#[ignore = "needs RECONVERGE_DATA"]
fn histories_of_lists_end_as_published() {
    let mut json = Vec::new();
    flate2::read::GzDecoder::new(&data("vectors/list-histories.jsonl.gz")[..])
        .read_to_end(&mut json)
        .expect("gzipped JSON");
    let cases: Vec<History> = cases(&json);
    assert_eq!(cases.len(), 500);
    for (n, case) in cases.into_iter().enumerate() {
        let history: Vec<Transaction> = case
            .txns
            .into_iter()
            .map(|txn| Transaction {
                span: Span { times: txn.span.0..txn.span.1, parents: txn.parents },
                agent: txn.agent,
                first: txn.seq_start,
                splices: txn.ops,
            })
            .collect();
        assert_eq!(final_text(&history), Ok(case.end_content), "history {n}");
    }
}
