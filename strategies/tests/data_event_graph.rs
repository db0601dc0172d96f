//! `event-graph` against data that others computed: versions of graphs, histories of lists, where concurrently inserted text ends up, and a
//! recorded session of two people.
//!
//! The data lie in the folder named by `RECONVERGE_DATA`, by default `../shared` beside the checkout.

use reconverge_strategies::event_graph::EventGraph;
use reconverge_strategies::event_graph::vectors::{
    Side, Span, Transaction, conflicting, diff, final_text, version_contains,
};
use reconverge_strategies::vectors::{Step, text_order};
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

fn unzipped(path: &str) -> Vec<u8> {
    let mut json = Vec::new();
    let read = flate2::read::GzDecoder::new(&data(path)[..]).read_to_end(&mut json);
    read.expect("gzipped JSON");
    json
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
    let cases: Vec<History> = cases(&unzipped("vectors/list-histories.jsonl.gz"));
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

#[derive(Deserialize)]
struct Order {
    seed: u64,
    replicas: u32,
    steps: Vec<PlainStep>,
    expected: Expected,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum PlainStep {
    Insert { replica: u32, at: usize, text: String },
    Merge { from: u32, into: u32 },
}

#[derive(Deserialize)]
struct Expected {
    fuguemax: String,
}

#[test]
#[ignore = "needs RECONVERGE_DATA"]
fn concurrent_insertions_end_in_the_published_fuguemax_order() {
    let cases: Vec<Order> = cases(&data("vectors/text-order.jsonl"));
    assert_eq!(cases.len(), 300);
    for case in &cases {
        let mut steps = Vec::new();
        for step in &case.steps {
            steps.push(match step {
                PlainStep::Insert { replica, at, text } => {
                    Step::Insert { replica: *replica, at: *at, text }
                }
                PlainStep::Merge { from, into } => Step::Merge { from: *from, into: *into },
            });
        }
        let texts = text_order(&EventGraph, case.replicas, &steps).expect("the documented format");
        assert!(texts.iter().all(|text| *text == case.expected.fuguemax), "seed {}", case.seed);
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Recorded {
    end_content: String,
    txns: Vec<RecordedTxn>,
}

#[derive(Deserialize)]
struct RecordedTxn {
    parents: Vec<usize>,
    agent: u32,
    patches: Vec<(usize, usize, String)>,
}

/// Each transaction is made in exactly the version that the trace names.
#[test]
#[ignore = "needs RECONVERGE_DATA"]
fn a_recorded_session_of_two_ends_as_recorded() {
    let json = unzipped("traces/concurrent/friendsforever.json.gz");
    let trace: Recorded = serde_json::from_slice(&json).expect("the documented format");
    let (mut history, mut ends, mut made, mut time) = (Vec::new(), Vec::new(), [0, 0], 0);
    for txn in trace.txns {
        let edits =
            txn.patches.iter().map(|(_, d, insert)| d + insert.chars().count()).sum::<usize>();
        let parents = txn.parents.iter().map(|parent| ends[*parent] - 1).collect();
        let first = made[txn.agent as usize];
        made[txn.agent as usize] += edits as u64;
        let span = Span { times: time..time + edits, parents };
        time += edits;
        ends.push(time);
        history.push(Transaction {
            span,
            agent: txn.agent.to_string(),
            first,
            splices: txn.patches,
        });
    }
    assert_eq!(history.len(), 26_078);
    assert!(final_text(&history) == Ok(trace.end_content), "the text differs");
}
