//! `run`: exit codes, files, and the same bytes every time.

mod common;

use common::{Folder, column};

const FILES: [&str; 8] = [
    "episode.csv",
    "latency.csv",
    "manifest.json",
    "report.html",
    "summary.csv",
    "summary.md",
    "timeline.csv",
    "trials.csv",
];

#[test]
fn a_run_prints_a_table_and_writes_its_files() {
    let folder = Folder::new("run-files");
    let ran = folder.run(&["run", "small", "--seeds", "2"]).ended(0);
    assert!(ran.out.starts_with("small: 2 seeds"), "{}", ran.out);
    for name in ["lww/hlc", "crdt/digest", "online-only *", "full-copy *"] {
        assert!(ran.out.lines().any(|line| line.starts_with(name)), "{name} in {}", ran.out);
    }
    assert_eq!(ran.err, "The report is reconverge-out/small/report.html\n");
    let files = folder.files("reconverge-out/small");
    let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    for name in FILES {
        assert!(names.contains(&name), "{name} in {names:?}");
    }
    assert!(names.iter().any(|name| name.starts_with("figures/") && name.ends_with(".svg")));
    assert!(folder.0.join("reconverge-out/small/timing.csv").is_file());
    assert!(files.iter().all(|(_, bytes)| !bytes.is_empty()));
    let trials = folder.read("reconverge-out/small/trials.csv");
    assert!(column(&trials, "status").iter().all(|status| status == "ok"), "{trials}");
    assert_eq!(column(&trials, "seed")[..3], ["0", "1", "0"]);
    assert!(folder.read("reconverge-out/small/episode.csv").lines().count() > 10);
}

#[test]
fn every_run_gives_the_same_bytes() {
    let folder = Folder::new("run-bytes");
    let run = ["run", "small", "--seeds", "1..3", "--set", "group.phone.count=4", "--quiet"];
    let with = |more: &[&str]| {
        let ran = folder.run(&[&run, more].concat()).ended(0);
        assert_eq!(ran.err, "", "quiet");
        ran.out
    };
    let table = with(&["--jobs", "1"]);
    let first = folder.files("reconverge-out/small");
    assert_eq!(with(&["--jobs", "1"]), table);
    assert_eq!(folder.files("reconverge-out/small"), first, "a second run");
    assert_eq!(with(&["--jobs", "2", "--out", "else/where"]), table);
    assert_eq!(folder.files("else/where/small"), first, "other jobs, other folder");
}

#[test]
fn formats() {
    let folder = Folder::new("run-formats");
    let printed = |format: &str| {
        let args = ["run", "small", "--seeds", "1", "--strategy", "lww/*", "--quiet", "--format"];
        folder.run(&[args.as_slice(), &[format]].concat()).ended(0).out
    };
    assert_eq!(printed("csv"), folder.read("reconverge-out/small/summary.csv"));
    let json: serde_json::Value = serde_json::from_str(&printed("json")).expect("JSON");
    assert!(!json.is_null());
    let markdown = printed("markdown");
    assert!(markdown.contains("| strategy |"), "{markdown}");
    assert!(folder.read("reconverge-out/small/summary.md").contains(&markdown));
}

#[test]
fn what_others_put_there_stays() {
    let folder = Folder::new("run-stays");
    std::fs::create_dir_all(folder.0.join("out/small")).expect("a folder");
    folder.write("out/mine.txt", "mine");
    folder.write("out/small/notes.txt", "notes");
    folder.write("out/small/trials.csv", "old");
    let run = ["run", "small", "--seeds", "1", "--strategy", "lww/hlc", "--out", "out", "--quiet"];
    folder.run(&run).ended(0);
    assert_eq!(folder.read("out/mine.txt"), "mine");
    assert_eq!(folder.read("out/small/notes.txt"), "notes");
    assert!(folder.read("out/small/trials.csv").starts_with("scenario,"));
}

#[test]
fn a_broken_budget_is_said_and_ends_with_1() {
    let folder = Folder::new("run-budget");
    let overrides = ["budget.0.strategy=lww/*", "budget.0.metric=messages", "budget.0.max=0"];
    let mut args = vec!["run", "small", "--seeds", "1", "--strategy", "lww/hlc"];
    overrides.iter().for_each(|over| args.extend(["--set", over]));
    let ran = folder.run(&args).ended(1);
    assert!(ran.out.contains("budget broken: lww/hlc: messages must be at most 0"), "{}", ran.out);
    assert!(folder.0.join("reconverge-out/small/report.html").is_file());
}

#[test]
fn what_is_unsupported_is_no_failure() {
    let folder = Folder::new("run-unsupported");
    let args = ["run", "small", "--seeds", "1", "--set", "topology.kind=mesh", "--quiet"];
    let ran = folder.run(&args).ended(0);
    let line = ran.out.lines().find(|line| line.starts_with("online-only")).expect("its row");
    assert!(line.contains("unsupported: mesh"), "{line}");
    let trials = folder.read("reconverge-out/small/trials.csv");
    assert!(trials.contains(",unsupported,"));
}

#[test]
fn a_budget_outside_the_choice_is_no_mistake() {
    let folder = Folder::new("run-choice");
    // `small` has a budget for `crdt/*`, which does not run here.
    folder.run(&["run", "small", "--seeds", "1", "--strategy", "lww/wall", "--quiet"]).ended(0);
}

#[test]
fn a_folder_that_cannot_be_written_ends_with_1() {
    let folder = Folder::new("run-unwritable");
    std::fs::create_dir_all(folder.0.join("out/small/report.html")).expect("a folder in the way");
    let run = ["run", "small", "--seeds", "1", "--strategy", "lww/hlc", "--out", "out"];
    folder.run(&run).ended(1).says(&["cannot write out/small/report.html"]);
}

#[test]
fn the_command_in_the_manifest_repeats_the_run() {
    let folder = Folder::new("run-manifest");
    let set = ["--set", "analysis=\"it's short\"", "--set", "data.records=9"];
    let run = ["run", "small", "--seeds", "3..4", "--strategy", "lww/*", "--quiet", "--out", "a"];
    folder.run(&[run.as_slice(), &set].concat()).ended(0);
    let manifest: serde_json::Value =
        serde_json::from_str(&folder.read("a/small/manifest.json")).expect("JSON");
    let command = manifest["command"].as_str().expect("a command");
    let words = command.strip_prefix("reconverge ").expect("it is this program");
    let script = format!("\"$0\" {words} --quiet --out b");
    let shell =
        folder.run_program("sh".as_ref(), &["-c", &script, env!("CARGO_BIN_EXE_reconverge")]);
    shell.ended(0);
    assert_eq!(folder.files("a"), folder.files("b"));
}
