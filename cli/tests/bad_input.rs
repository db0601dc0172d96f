//! A mistake in every input: exit code 2 (1 for scenarios and recordings that cannot be read), one clear message, and nothing created.

mod common;

use common::Folder;

/// A name, the arguments, the exit code, and what the message contains.
type Case<'a> = (&'a [&'a str], i32, &'a [&'a str]);

#[test]
fn mistakes_in_arguments() {
    let folder = Folder::new("bad-arguments");
    folder.write("a-file", "not a folder");
    folder.write("near.toml", "");
    let cases: &[Case] = &[
        (&["rum"], 2, &["unrecognized subcommand 'rum'"]),
        (&["run", "small", "--seed", "1"], 2, &["--seed", "'--seeds'"]),
        (&["run", "small", "--seeds", "0"], 2, &["--seeds", "no seed in it"]),
        (&["run", "small", "--seeds", "5..3"], 2, &["--seeds", "no seed in it"]),
        (&["run", "small", "--seeds", "many"], 2, &["--seeds", "`20`", "`5..15`"]),
        (&["run", "small", "--seeds", "9999999"], 2, &["at most 1000000"]),
        (&["run", "small", "--jobs", "0"], 2, &["--jobs", "0 is not in 1..=1024"]),
        (&["run", "small", "--format", "xml"], 2, &["--format", "markdown"]),
        (&["run", "small", "--set", "x"], 2, &["--set x", "PATH=VALUE"]),
        (&["run", "small", "--out", "a-file"], 2, &["--out", "a-file is not a folder"]),
        (&["run", "small", "--out", "a-file/x"], 2, &["--out", "a-file is not a folder"]),
        (&["run", "comuter"], 2, &["no built-in scenario `comuter`", "did you mean `commuter`?"]),
        (&["run", "near"], 2, &["no built-in scenario `near`", "write `./near.toml`"]),
        (&["run", "./nowhere"], 1, &["cannot read ./nowhere", "No such file"]),
        (&["run", "nowhere.toml"], 1, &["cannot read nowhere.toml"]),
        (&["run", "./"], 1, &["cannot read ./", "directory"]),
        (
            &["run", "small", "--strategy", "crdt/dleta"],
            2,
            &[
                "no strategy matches `crdt/dleta`",
                "did you mean `crdt/delta`?",
                "there are `lww/wall`",
            ],
        ),
        (&["run", "small", "--strategy", "lwv/*"], 2, &["`lwv/*`", "did you mean `lww/*`?"]),
        (&["run", "small", "--strategy", "lww/*", "--strategy", "zzz"], 2, &["matches `zzz`"]),
        (
            &["run", "small", "--set", "group.phne.count=3"],
            2,
            &["--set group.phne.count=3", "`group.phne`", "did you mean `phone`?"],
        ),
        (
            &["run", "small", "--set", "group.phone.count=0"],
            2,
            &["--set group.phone.count=0", "a whole number from 1", "the number 0"],
        ),
        (
            &["run", "small", "--set", "strategies=[\"crdt/diges\"]"],
            2,
            &[
                "no strategy matches `crdt/diges`",
                "did you mean `crdt/digest`?",
                "see `--set strategies",
            ],
        ),
        (
            &["run", "small", "--set", "budget.0.metric=edit_lost"],
            2,
            &["no metric `edit_lost`", "did you mean `edits_lost`?", "see `--set budget"],
        ),
        (&["run", "small", "--set", "sweep={}"], 2, &["`sweep`", "a later release"]),
        (&["check", "small", "--strategy", "x"], 2, &["no strategy matches `x`"]),
        (&["check", "small", "--jobs", "2"], 2, &["--determinism"]),
        (&["check", "small", "--determinism", "--jobs", "1"], 2, &["--jobs", "2..=1024"]),
        (&["show", "smal"], 2, &["did you mean `small`?"]),
        (&["list", "network"], 2, &["'networks'"]),
        (&["trace", "small"], 2, &["--strategy"]),
        (&["trace", "small", "--strategy", "lww"], 2, &["there is no strategy `lww`"]),
        (
            &["trace", "small", "--strategy", "online-only", "--set", "topology.kind=mesh"],
            2,
            &["`online-only` cannot run in `small`: mesh:"],
        ),
        (&["replay"], 2, &["<TRACE>"]),
        (&["vectors"], 2, &["<KIND>", "<FILE>"]),
        (&["vectors", "ot-apply"], 2, &["<FILE>"]),
        (&["vectors", "ot-aply", "a-file"], 2, &["'ot-aply' for '<KIND>'", "'ot-apply'"]),
        (&["vectors", "ot-apply", "nowhere"], 2, &["cannot read nowhere", "No such file"]),
        (&["vectors", "ot-apply", "./"], 2, &["cannot read ./", "directory"]),
        (
            &["vectors", "ot-apply", "a-file"],
            2,
            &["a-file:1: not an object", "found `not a folder`"],
        ),
    ];
    for (args, code, parts) in cases {
        let ran = folder.run(args).ended(*code).says(parts);
        assert_eq!(ran.out, "", "{args:?}");
        assert_eq!(folder.names(), ["a-file", "near.toml"], "{args:?} creates nothing");
    }
}

#[test]
fn mistakes_in_scenarios() {
    let folder = Folder::new("bad-scenarios");
    let good = folder.run(&["show", "small"]).ended(0).out;
    // What is replaced, by what, and what the message contains: the place, and what would be right.
    let cases: &[(&str, &str, &[&str])] = &[
        ("count = 3", "cuont = 3", &["`group.phone.cuont`", "cuont = 3", "did you mean `count`?"]),
        ("count = 3", "count = \"3\"", &["`group.phone.count`", "a whole number", "found \"3\""]),
        ("\"lte\"", "\"lts\"", &["`group.phone.link.profile`", "`wifi`", "did you mean `lte`?"]),
        ("duration = ", "duration = 7200 #", &["`duration`", "\"30s\"", "the number 7200"]),
        ("partitions = 1\n", "partitions = 21\n", &["`data.partitions`", "at most 20, the number"]),
        (
            "partitions_held = \"all\"",
            "partitions_held = 2",
            &["`group.phone.partitions_held`", "at most 1, the number of partitions"],
        ),
        ("retention = \"720h\"", "retention = 30", &["`data.retention`", "\"30s\""]),
        ("hub = \"server\"", "hub = \"serve\"", &["`topology.hub`", "did you mean `server`?"]),
        ("name = \"small\"", "name = \"../up\"", &["`name`", "letters, digits"]),
        (
            "\"edits_lost\"",
            "\"edit_lost\"",
            &["no metric `edit_lost`", "did you mean `edits_lost`?"],
        ),
        ("\"crdt/*\"", "\"crtd/*\"", &["no strategy of this scenario", "`crtd/*`"]),
        ("strategies = [\"*\"]", "strategies = [\"lww/hcl\"]", &["`lww/hcl`", "`lww/hlc`?"]),
        (
            "[topology]",
            "[sweep]\n\"data.records\" = [1]\n[topology]",
            &["`sweep`", "later release"],
        ),
        ("[topology]", "[topology", &["expected TOML"]),
    ];
    for (from, to, parts) in cases {
        assert!(good.contains(from), "{from:?} in {good}");
        let bad = good.replacen(from, to, 1);
        folder.write("bad.toml", &bad);
        for command in ["run", "check"] {
            // The place is named by file and line.
            let ran = folder.run(&[command, "bad.toml"]).ended(2).says(parts).says(&["bad.toml:"]);
            assert_eq!(ran.out, "");
            let line = bad.lines().zip(good.lines()).take_while(|(a, b)| a == b).count() + 1;
            let shown = format!("bad.toml:{line}:");
            assert!(ran.err.contains(&shown), "{shown} in:\n{}", ran.err);
        }
        assert_eq!(folder.names(), ["bad.toml"]);
    }
    folder.write("bad.toml", b"name = \"\xff\"");
    folder.run(&["run", "bad.toml"]).ended(2).says(&["bad.toml:1", "UTF-8"]);
    folder.write("bad.toml", "");
    folder.run(&["run", "bad.toml"]).ended(2).says(&["bad.toml", "`name`"]);
}
