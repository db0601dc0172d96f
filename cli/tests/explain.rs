//! `list`, `show`, `check` and `trace`.

mod common;

use common::{Folder, column};
use std::process::{Command, Stdio};

#[test]
fn help_has_examples_everywhere() {
    let folder = Folder::new("explain-help");
    for command in ["run", "list", "show", "check", "replay", "trace"] {
        let ran = folder.run(&[command, "--help"]).ended(0);
        assert!(ran.out.contains("Examples:\n  reconverge "), "{}", ran.out);
        assert!(ran.out.contains(&format!("reconverge {command}")), "{}", ran.out);
    }
    assert!(folder.run(&["--help"]).ended(0).out.contains("Exit codes"));
    assert!(folder.run(&["--version"]).ended(0).out.starts_with("reconverge 0."));
    folder.run(&[]).ended(2).says(&["Usage: reconverge"]);
    assert!(folder.names().is_empty());
}

#[test]
fn lists() {
    let folder = Folder::new("explain-list");
    let cases = [
        ("strategies", "crdt/digest"),
        ("scenarios", "commuter"),
        ("topologies", "ring"),
        ("networks", "lte"),
        ("devices", "phone-2020"),
        ("outages", "tunnels"),
        ("schedules", "battery-aware"),
    ];
    let all = folder.run(&["list"]).ended(0).out;
    for (what, name) in cases {
        let one = folder.run(&["list", what]).ended(0).out;
        assert!(one.lines().any(|line| line.trim_start().starts_with(name)), "{one}");
        assert!(one.lines().all(|line| line.trim().contains("  ")), "a name and a summary: {one}");
        assert!(all.contains(&one), "{what}");
    }
    let strategies = folder.run(&["list", "strategies"]).ended(0).out;
    let line = |name: &str| {
        let found = strategies.lines().find(|line| line.contains(name));
        found.expect("it is listed").to_owned()
    };
    assert!(line("version-vector/dotted").ends_with(
        "[register ~counter ~set ~text; star mesh graph; session datagram memory loss]"
    ));
    assert!(line("gossip/rumor").contains("; ~star mesh graph; "));
    assert!(line("online-only").ends_with("[register counter set text; star; session]"));
}

#[test]
fn what_show_prints_gives_the_same_digests() {
    let folder = Folder::new("explain-show");
    let set = ["--set", "group.phone.link=edge-2g", "--set", "data.records=7"];
    let shown = folder.run(&[["show", "small"].as_slice(), &set].concat()).ended(0).out;
    folder.write("shown.toml", &shown);
    assert_eq!(folder.run(&["show", "shown.toml"]).ended(0).out, shown, "printing it again");
    let run = ["--seeds", "1", "--quiet", "--out"];
    folder.run(&[["run", "small"].as_slice(), &set, &run, &["a"]].concat()).ended(0);
    folder.run(&[["run", "shown.toml"].as_slice(), &run, &["b"]].concat()).ended(0);
    assert_eq!(folder.read("a/small/trials.csv"), folder.read("b/small/trials.csv"));
    assert_eq!(folder.read("a/small/latency.csv"), folder.read("b/small/latency.csv"));
}

#[test]
fn check_says_what_would_run() {
    let folder = Folder::new("explain-check");
    let ran = folder.run(&["check", "small", "--seeds", "3", "--strategy", "*"]).ended(0);
    // The width of a column depends on the longest name.
    let spaced = |out: &str| out.split_whitespace().collect::<Vec<_>>().join(" ");
    let out = spaced(&ran.out);
    for part in [
        "small is valid",
        "× 3 seeds =",
        "4: 3 phone (phone-2020, lte), 1 server (server, datacenter, no user); a star around server",
        "20 records of about 200 B",
        "crdt/* edits_lost at most 0",
        "crdt/digest batched 30s",
        "immediate (own)",
        "emulates votes, tags and notes as one value",
    ] {
        assert!(out.contains(part), "{part:?} in:\n{}", ran.out);
    }
    let mesh = folder.run(&["check", "small", "--set", "topology.kind=mesh"]).ended(0);
    assert!(spaced(&mesh.out).contains("online-only unsupported: mesh:"), "{}", mesh.out);
    let tree = ["topology.kind=tree", "topology.branching=3", "data.fields.title.critical=true"];
    let set = tree.iter().flat_map(|over| ["--set", over]);
    let args: Vec<&str> = ["check", "small"].into_iter().chain(set).collect();
    let tree = folder.run(&args).ended(0).out;
    for part in
        ["a tree, 3 children each", "title (register, critical)", "unsupported: tree: one server"]
    {
        assert!(tree.contains(part), "{part:?} in:\n{tree}");
    }
    let graph = folder.run(&["check", "icde19"]).ended(0).out;
    for part in ["a graph of 30 edges", "1500 asked for", "rounds 1s"] {
        assert!(graph.contains(part), "{part:?} in:\n{graph}");
    }
    // The number of edits is exact.
    folder.run(&["run", "small", "--seeds", "1", "--strategy", "lww/hlc", "--quiet"]).ended(0);
    let asked = column(&folder.read("reconverge-out/small/trials.csv"), "edits_asked");
    let one = folder.run(&["check", "small", "--seeds", "1"]).ended(0);
    let expected = format!("edits     {} asked for in each trial", asked[0]);
    assert!(one.out.contains(&expected), "{expected:?} in:\n{}", one.out);
}

#[test]
fn trials_are_deterministic() {
    let folder = Folder::new("explain-determinism");
    let ran = folder.run(&["check", "small", "--determinism", "--seeds", "2", "--jobs", "2"]);
    let ran = ran.ended(0);
    assert!(ran.out.contains("each on 1 thread and on 2: the same digests"), "{}", ran.out);
    assert_eq!(ran.err, "");
    assert!(folder.names().is_empty());
}

#[test]
fn a_trace_has_every_fact_on_a_line() {
    let folder = Folder::new("explain-trace");
    let args = ["trace", "small", "--strategy", "crdt/digest", "--seed", "1"];
    let ran = folder.run(&args).ended(0);
    assert_eq!(ran.err, "");
    let lines: Vec<&str> = ran.out.lines().collect();
    assert_eq!(lines[0], "00:00:00.000000000 phase Work");
    assert!(lines.last().expect("many").ends_with("phase End"));
    assert!(lines.iter().any(|line| line.contains("r0 makes edit r0.0")), "{}", lines.len());
    // Times are written so that texts sort as they do, and they never go back.
    assert!(lines.is_sorted_by_key(|line| &line[..18]));
    assert!(lines.iter().all(|line| line.as_bytes()[2] == b':' && line.as_bytes()[18] == b' '));
    assert_eq!(folder.run(&args).ended(0).out, ran.out);
    assert_ne!(folder.run(&[&args[..5], &["2"]].concat()).ended(0).out, ran.out);
}

#[test]
fn a_reader_may_leave() {
    let folder = Folder::new("explain-pipe");
    for args in [
        ["trace", "small", "--strategy", "lww/hlc"].as_slice(),
        ["list"].as_slice(),
        ["show", "commuter"].as_slice(),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_reconverge"));
        command.args(args).current_dir(&folder.0).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("it ends");
        assert_eq!(output.status.code(), Some(0), "{args:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{args:?}");
    }
}
