//! `replay` on small sessions of our own.

mod common;

use common::Folder;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;

/// Types, corrects, deletes, goes beyond ASCII.
const SESSION: &str = r#"{"startContent":"Grüße ","endContent":"Grüße, wörld! 🌍",
    "txns":[{"time":"2020-01-01","patches":[[6,0,"wörd"],[9,0,"l"]]},{"patches":[[11,0,"!!"],[12,1,""]]},
    {"patches":[[5,1,", "],[13,0," 🌍"]]}]}"#;

#[test]
fn a_session_arrives_everywhere() {
    let folder = Folder::new("replay-session");
    folder.write("session.json", SESSION);
    for strategy in ["crdt/digest", "lww/hlc", "ot/central", "full-copy"] {
        let ran = folder.run(&["replay", "session.json", "--strategy", strategy]).ended(0);
        for part in
            ["7 patches", strategy, "lte", "all 3 replicas show the recorded end: 15 characters"]
        {
            assert!(ran.out.contains(part), "{part:?} in:\n{}", ran.out);
        }
        assert_eq!(ran.err, "");
    }
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(SESSION.as_bytes()).expect("memory takes everything");
    folder.write("session.gz", gzip.finish().expect("memory takes everything"));
    let plain = folder.run(&["replay", "session.json"]).ended(0).out;
    let packed = folder.run(&["replay", "session.gz"]).ended(0).out;
    assert_eq!(packed.replace("session.gz", "session.json"), plain);
    assert_eq!(folder.names(), ["session.gz", "session.json"], "nothing is written");
}

#[test]
fn parameters_count_and_are_said() {
    let folder = Folder::new("replay-parameters");
    folder.write("session.json", SESSION);
    let with = |more: &[&str]| {
        folder.run(&[["replay", "session.json"].as_slice(), more].concat()).ended(0).out
    };
    let cases: &[(&[&str], &str)] = &[
        (&[], "batched 1s"),
        (&["--interval", "5s"], "batched 5s"),
        (&["--schedule", "periodic", "--interval", "15min"], "periodic 15min"),
        (&["--schedule", "immediate"], "immediate"),
        (&["--schedule", "battery-aware", "--interval", "2s"], "battery-aware 2s/2s"),
        (&["--network", "edge-2g"], "edge-2g"),
        (&["--devices", "4"], "all 5 replicas"),
    ];
    let usual = with(&[]);
    for (more, part) in cases {
        let out = with(more);
        assert!(out.contains(part), "{part:?} in:\n{out}");
        assert!(more.is_empty() || out != usual, "{more:?} makes a difference");
    }
}

#[test]
fn mistakes() {
    let folder = Folder::new("replay-mistakes");
    folder.write("good.json", SESSION);
    let good = |more: &[&str], code: i32, parts: &[&str]| {
        folder.run(&[["replay", "good.json"].as_slice(), more].concat()).ended(code).says(parts);
    };
    good(&["--network", "let"], 2, &["--network let", "did you mean `lte`?"]);
    good(&["--schedule", "batch"], 2, &["--schedule batch", "`batched`"]);
    good(&["--interval", "soon"], 2, &["--interval soon", "a duration such as"]);
    good(&["--interval", "5s", "--schedule", "immediate"], 2, &["--interval", "immediate"]);
    good(&["--devices", "1"], 2, &["--devices", "2..=1000"]);
    good(&["--strategy", "crdt/*"], 2, &["there is no strategy `crdt/*`", "`crdt/digest`"]);
    folder.run(&["replay", "none.json"]).ended(1).says(&["cannot read none.json", "No such file"]);

    let cases: &[(&str, &[&str])] = &[
        ("", &["not a recorded session", "line 1"]),
        ("{\"txns\":[],", &["not a recorded session", "line 1 column 11"]),
        ("[1,2]", &["not a recorded session"]),
        (r#"{"txns":[]}"#, &["missing field `endContent`"]),
        (r#"{"endContent":"","txns":[]}"#, &["no patch"]),
        (r#"{"endContent":"a","txns":[{"patches":[[0,"a"]]}]}"#, &["line 1 column"]),
        (r#"{"endContent":"a","txns":[{"patches":[[-1,0,"a"]]}]}"#, &["-1"]),
        (
            r#"{"endContent":"a","txns":[{"patches":[[0,0,"a"]]},{"patches":[[0,0,""],[1,1,"b"]]}]}"#,
            &["transaction 1, patch 1", "deletes 1 characters at 1 of a text of 1"],
        ),
        (
            r#"{"endContent":"axc","txns":[{"patches":[[0,0,"abc"]]}]}"#,
            &["do not end in its `endContent`", "at character 1", "\"bc\"", "\"xc\""],
        ),
        (
            r#"{"kind":"concurrent","endContent":"","txns":[]}"#,
            &["concurrent trace", "later release"],
        ),
        (
            r#"{"endContent":"a","txns":[{"agent":0,"parents":[],"patches":[[0,0,"a"]]}]}"#,
            &["concurrent trace", "later release"],
        ),
        (r#"{"kind":"tree","endContent":"","txns":[]}"#, &["`kind`", "\"tree\""]),
    ];
    for (text, parts) in cases {
        folder.write("bad.json", text);
        let ran = folder.run(&["replay", "bad.json"]).ended(2).says(parts).says(&["bad.json"]);
        assert_eq!(ran.out, "");
    }
    folder.write("bad.json", [0x1f, 0x8b, 0, 0]);
    folder.run(&["replay", "bad.json"]).ended(2).says(&["damaged gzip"]);
}
