//! `vectors`: cases that others computed, in files by hand and in those of `RECONVERGE_DATA`.

mod common;

use common::{Folder, Ran};
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;
use std::path::PathBuf;

fn gzipped(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).expect("memory takes everything");
    encoder.finish().expect("memory takes everything")
}

/// A kind, cases that are right, and a case that is wrong: a piece of its first line, and what takes its place.
const KINDS: [(&str, &[&str], &str, &str); 6] = [
    (
        "text-order",
        &[
            r#"{"replicas":2,"steps":[{"insert":{"replica":0,"at":0,"text":"b"}},{"merge":{"from":0,"into":1}},{"insert":{"replica":1,"at":1,"text":"😀"}}],"expected":{"fuguemax":"b😀","rga":"b😀"}}"#,
            r#"{"replicas":1,"steps":[],"expected":{"fuguemax":"","rga":""},"by":"hand"}"#,
        ],
        "\"fuguemax\":\"b😀\"",
        "\"fuguemax\":\"😀b\"",
    ),
    (
        "list-histories",
        &[
            // Agent `a` forks from itself, and deletes what it inserted in the one branch in the other one's future.
            r#"{"txns":[{"span":[0,2],"parents":[],"agent":"a","seqStart":0,"ops":[[0,0,"x😀"]]},{"span":[2,3],"parents":[1],"agent":"a","seqStart":2,"ops":[[2,0,"é"]]},{"span":[3,4],"parents":[1],"agent":"a","seqStart":3,"ops":[[0,0,"b"]]},{"span":[4,6],"parents":[2,3],"agent":"b","seqStart":0,"ops":[[1,1,""],[3,0,"!"]]}],"endContent":"b😀é!"}"#,
            r#"{"txns":[],"endContent":""}"#,
        ],
        "b😀é!",
        "b😀!é",
    ),
    (
        "causal-graph",
        &[
            r#"{"hist":[{"span":[0,2],"parents":[]},{"span":[2,5],"parents":[0]}],"a":[1],"b":[3],"expect_spans":[[{"start":1,"end":2},"OnlyA"],[{"start":2,"end":4},"OnlyB"]],"expect_common":[0]}"#,
            r#"{"hist":[{"span":[0,2],"parents":[]},{"span":[2,5],"parents":[0]}],"a":[1],"b":[3],"expect_a":[[1,2]],"expect_b":[[2,4]]}"#,
            r#"{"hist":[{"span":[0,2],"parents":[]},{"span":[2,5],"parents":[0]}],"frontier":[3],"target":1,"expected":false}"#,
            r#"{"hist":[],"frontier":[],"target":-1,"expected":true}"#,
        ],
        "\"expect_common\":[0]",
        "\"expect_common\":[1]",
    ),
    (
        "ot-apply",
        &[
            r#"{"str":"a😀c","op":[1,{"d":1},"é"],"result":"aéc"}"#,
            r#"{"str":"","op":[],"result":""}"#,
        ],
        "aéc",
        "aec",
    ),
    (
        "ot-compose",
        &[
            r#"{"op1":["😀b"],"op2":[1,{"d":2},"c"],"result":["😀c",{"d":1}]}"#,
            r#"{"op1":["a"],"op2":[{"d":1}],"result":[]}"#,
        ],
        "{\"d\":1}]}",
        "{\"d\":2}]}",
    ),
    (
        "ot-transform",
        &[
            r#"{"op":[1,"a"],"otherOp":[1,"😀"],"side":"right","result":[2,"a"]}"#,
            r#"{"op":[1,{"d":2},"a"],"otherOp":[1,{"d":1}],"side":"left","result":[1,"a",{"d":1}]}"#,
        ],
        "right",
        "left",
    ),
];

/// Results in a case of a kind.
fn results(kind: &str) -> usize {
    if kind == "text-order" { 2 } else { 1 }
}

#[test]
fn right_cases_pass_plain_or_gzipped() {
    let folder = Folder::new("vectors-right");
    for (kind, lines, ..) in KINDS {
        let text = lines.join("\n");
        let said = format!("{} passed, 0 failed\n", lines.len() * results(kind));
        for (name, bytes) in [
            ("plain", text.clone().into_bytes()),
            ("lines", format!("\n{}\r\n\n", text.replace('\n', "\r\n")).into_bytes()),
            ("packed", gzipped(&text)),
        ] {
            folder.write(name, bytes);
            let ran = folder.run(&["vectors", kind, name]).ended(0);
            assert_eq!((ran.out.as_str(), ran.err.as_str()), (said.as_str(), ""), "{kind} {name}");
        }
    }
}

#[test]
fn wrong_cases_are_told_and_counted() {
    let folder = Folder::new("vectors-wrong");
    for (kind, lines, from, to) in KINDS {
        assert!(lines[0].contains(from), "{from} in {kind}");
        folder.write("wrong", format!("{}\n{}\n", lines[1], lines[0].replace(from, to)));
        let ran = folder.run(&["vectors", kind, "wrong"]).ended(1);
        let ran = ran.says(&["wrong:2:", " expected `", ", found `"]);
        assert_eq!(ran.out, format!("{} passed, 1 failed\n", 2 * results(kind) - 1), "{kind}");
        assert_eq!(ran.err.lines().count(), 1, "{}", ran.err);
    }
    folder.write("long", r#"{"str":"abc","op":[],"result":"abd"}"#.replace('a', &"x".repeat(500)));
    let ran = folder.run(&["vectors", "ot-apply", "long"]).ended(1);
    assert_eq!(ran.err, "long:1: expected `…xxxxxxxxxxxxxxbd`, found `…xxxxxxxxxxxxxxbc`\n");
    folder.write("short", r#"{"str":"abc","op":[4,"x"],"result":"abcx"}"#);
    let ran = folder.run(&["vectors", "ot-apply", "short"]).ended(1);
    ran.says(&["short:1: expected `abcx`, found `operation reaches beyond the end of the text`"]);
}

#[test]
fn only_the_first_failures_are_shown() {
    let folder = Folder::new("vectors-many");
    folder.write("many", "{\"str\":\"\",\"op\":[],\"result\":\"x\"}\n".repeat(123));
    let ran = folder.run(&["vectors", "ot-apply", "many"]).ended(1);
    assert_eq!(ran.out, "0 passed, 123 failed\n");
    assert_eq!(ran.err.lines().count(), 21);
    assert!(ran.err.ends_with("many:20: expected `x`, found ``\nand 103 more\n"), "{}", ran.err);
}

#[test]
fn lines_that_are_no_cases_are_refused() {
    let folder = Folder::new("vectors-bad");
    // A kind, its second line, and what the message contains.
    let cases: &[(&str, &str, &[&str])] = &[
        ("ot-apply", "{", &["EOF", "at column 1", "expected {\"str\": TEXT", "found `{`"]),
        ("ot-apply", "[]", &["not an object"]),
        ("ot-apply", r#"["a",[],"a"]"#, &["not an object"]),
        ("ot-apply", r#"{"str":"a","op":[]}"#, &["missing field `result`"]),
        ("ot-apply", r#"{"str":"a","op":[-1],"result":"a"}"#, &["expected a component", "[-1]"]),
        ("ot-apply", r#"{"str":"a","op":[4294967296],"result":"a"}"#, &["expected a component"]),
        ("ot-apply", r#"{"str":"a","op":[{"d":0.5}],"result":"a"}"#, &["expected a component"]),
        ("ot-apply", r#"{"str":"\ud83d","op":[],"result":"a"}"#, &["hex escape"]),
        ("ot-compose", r#"{"op1":[],"op2":3,"result":[]}"#, &["expected a sequence"]),
        (
            "ot-transform",
            r#"{"op":[],"otherOp":[],"side":"up","result":[]}"#,
            &["unknown variant `up`, expected `left` or `right`", "at column 33"],
        ),
        (
            "text-order",
            r#"{"replicas":1,"steps":[{"delete":{}}],"expected":{"fuguemax":"","rga":""}}"#,
            &["unknown variant `delete`, expected `insert` or `merge`"],
        ),
        (
            "text-order",
            r#"{"replicas":1,"steps":[{"merge":{"from":1,"into":0}}],"expected":{"fuguemax":"","rga":""}}"#,
            &["there is no such replica"],
        ),
        (
            "text-order",
            r#"{"replicas":1,"steps":[{"insert":{"replica":0,"at":1,"text":"a"}}],"expected":{"fuguemax":"","rga":""}}"#,
            &["beyond the end"],
        ),
        (
            "text-order",
            r#"{"replicas":4000000000,"steps":[],"expected":{"fuguemax":"","rga":""}}"#,
            &["not from 1 to 1000"],
        ),
        (
            "list-histories",
            r#"{"txns":[{"span":[0,1],"parents":[0],"agent":"a","seqStart":0,"ops":[[0,0,"a"]]}],"endContent":""}"#,
            &["does not exist before"],
        ),
        (
            "list-histories",
            r#"{"txns":[{"span":[0,1],"parents":[],"agent":"a","seqStart":0,"ops":[[1,0,"a"]]}],"endContent":""}"#,
            &["beyond the end of the text"],
        ),
        (
            "list-histories",
            r#"{"txns":[{"span":[0,1],"parents":[],"agent":"a","seqStart":0,"ops":[[0,1,""]]}],"endContent":""}"#,
            &["beyond the end of the text"],
        ),
        (
            "list-histories",
            r#"{"txns":[{"span":[0,9],"parents":[],"agent":"a","seqStart":0,"ops":[[0,0,"a"]]}],"endContent":""}"#,
            &["not as many as the times"],
        ),
        (
            "list-histories",
            r#"{"txns":[{"span":[0,1],"parents":[],"agent":"a","seqStart":0,"ops":[[0,0,"a"]]},{"span":[1,2],"parents":[],"agent":"a","seqStart":0,"ops":[[0,0,"a"]]}],"endContent":""}"#,
            &["have the same number"],
        ),
        (
            "list-histories",
            r#"{"txns":[{"span":[0,1],"parents":[],"agent":"a","seqStart":18446744073709551615,"ops":[[0,0,"a"]]}],"endContent":""}"#,
            &["expected u32"],
        ),
        ("causal-graph", r#"{"hist":[]}"#, &["missing field `a`", "\"frontier\": [TIMES]"]),
        (
            "causal-graph",
            r#"{"hist":[{"span":[3,1],"parents":[]}],"frontier":[],"target":-1,"expected":true}"#,
            &["spans do not follow"],
        ),
        (
            "causal-graph",
            r#"{"hist":[{"span":[0,1],"parents":[5]}],"frontier":[],"target":-1,"expected":true}"#,
            &["does not exist before"],
        ),
        (
            "causal-graph",
            r#"{"hist":[{"span":[0,1],"parents":[]}],"frontier":[1],"target":-1,"expected":true}"#,
            &["does not exist before"],
        ),
        (
            "causal-graph",
            r#"{"hist":[{"span":[0,1],"parents":[]}],"frontier":[0],"target":1,"expected":true}"#,
            &["does not exist before"],
        ),
        (
            "causal-graph",
            r#"{"hist":[{"span":[0,2],"parents":[]}],"a":[0,1],"b":[],"expect_a":[],"expect_b":[]}"#,
            &["another one of it contains"],
        ),
        (
            "causal-graph",
            r#"{"hist":[{"span":[0,2],"parents":[]}],"a":[1,1],"b":[],"expect_a":[],"expect_b":[]}"#,
            &["another one of it contains"],
        ),
        (
            "causal-graph",
            r#"{"hist":[{"span":[0,1],"parents":[]}],"frontier":[0],"target":-2,"expected":true}"#,
            &["`target`"],
        ),
    ];
    for (kind, line, parts) in cases {
        let (_, good, ..) = KINDS.iter().find(|row| row.0 == *kind).expect("a kind");
        folder.write("bad", format!("{}\n{line}\n", good[0]));
        let ran = folder.run(&["vectors", kind, "bad"]).ended(2).says(&["bad:2: "]).says(parts);
        assert_eq!(ran.out, "", "{line}");
    }
    for (other, lines, ..) in KINDS {
        for (kind, ..) in KINDS.iter().filter(|row| row.0 != other) {
            folder.write("bad", lines[0]);
            folder.run(&["vectors", kind, "bad"]).ended(2).says(&["bad:1: ", "expected {"]);
        }
    }
    folder.write("bad", b"{\"str\":\"\xff\",\"op\":[],\"result\":\"\"}");
    folder.run(&["vectors", "ot-apply", "bad"]).ended(2).says(&["bad:1: ", "unicode"]);
    folder.write("bad", &gzipped("some text, to be cut")[..20]);
    folder.run(&["vectors", "ot-apply", "bad"]).ended(2).says(&["bad: damaged gzip"]);
    folder.write("bad", "\n \n");
    folder.run(&["vectors", "ot-apply", "bad"]).ended(2).says(&["bad: there is no case in it"]);
}

/// A file of the data folder, whole: so many results in it, and all are ours too.
fn all_pass(kind: &str, path: &str, count: usize) {
    let data = std::env::var_os("RECONVERGE_DATA").map(PathBuf::from);
    let data =
        data.unwrap_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared")));
    let path = data.join("vectors").join(path);
    assert!(path.is_file(), "{} is missing: set RECONVERGE_DATA", path.display());
    let folder = Folder::new(&format!("data-vectors-{}", path.file_name().unwrap().display()));
    let ran: Ran = folder.run(&["vectors", kind, path.to_str().expect("the path is text")]);
    print!("{path:?}: {}", ran.out);
    assert_eq!(ran.out, format!("{count} passed, 0 failed\n"), "{}", ran.err);
    ran.ended(0);
}

#[test]
#[ignore = "needs RECONVERGE_DATA"]
fn concurrent_insertions_end_in_the_published_orders() {
    all_pass("text-order", "text-order.jsonl", 2 * 300);
}

#[test]
#[ignore = "needs RECONVERGE_DATA"]
fn graphs_of_edits_end_in_the_published_texts() {
    all_pass("list-histories", "list-histories.jsonl.gz", 500);
}

#[test]
#[ignore = "needs RECONVERGE_DATA"]
fn versions_of_graphs_compare_as_published() {
    all_pass("causal-graph", "causal-graph/conflicting.json", 26);
    all_pass("causal-graph", "causal-graph/diff.json", 14);
    all_pass("causal-graph", "causal-graph/version_contains.json", 61);
}

#[test]
#[ignore = "needs RECONVERGE_DATA"]
fn operations_apply_as_published() {
    all_pass("ot-apply", "ot/apply.json.gz", 4316);
}

#[test]
#[ignore = "needs RECONVERGE_DATA"]
fn operations_compose_as_published() {
    all_pass("ot-compose", "ot/compose.json.gz", 1415);
}

#[test]
#[ignore = "needs RECONVERGE_DATA"]
fn operations_transform_as_published() {
    all_pass("ot-transform", "ot/transform.json.gz", 2254);
}
