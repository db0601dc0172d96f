//! The files of a run, read back.

mod fixture;

use std::fs;
use std::path::{Path, PathBuf};

use hdrhistogram::Histogram;
use reconverge_reports::{Comparison, RunInfo, WriteError, json, write_run};
use reconverge_simulator::row::{Metrics, TrialResult};

/// An empty folder for one test.
fn folder(test: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
    if folder.exists() {
        fs::remove_dir_all(&folder).expect("a folder of an earlier test");
    }
    fs::create_dir_all(&folder).expect("a writable folder");
    folder
}

/// Header and records of a CSV file.
fn read(path: &Path) -> (Vec<String>, Vec<Vec<String>>) {
    let mut reader = csv::Reader::from_path(path).expect("a CSV file");
    let strings =
        |record: &csv::StringRecord| record.iter().map(str::to_owned).collect::<Vec<String>>();
    let header = strings(reader.headers().expect("a header"));
    let records = reader
        .records()
        .map(|record| strings(&record.expect("every row has all columns")))
        .collect();
    (header, records)
}

/// All files below a folder with their bytes, by relative path.
fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(next).expect("a folder") {
            let path = entry.expect("an entry").path();
            match path.is_dir() {
                true => open.push(path),
                false => {
                    let name = path.strip_prefix(folder).expect("below it").to_path_buf();
                    found.push((name, fs::read(&path).expect("a file")));
                }
            }
        }
    }
    found.sort();
    found
}

fn written(test: &str, seeds: u64) -> (RunInfo, Vec<TrialResult>, PathBuf) {
    let (info, results, episode) = fixture::run_with_unsupported(seeds);
    let at = write_run(&folder(test), &info, &results, &episode, &[]).expect("writes");
    (info, results, at)
}

#[test]
fn trials_have_their_columns_and_nothing_else() {
    let (_, results, at) = written("trials", 3);
    let (header, records) = read(&at.join("trials.csv"));
    let fixed =
        "scenario,cell,strategy,schedule,seed,status,reason,digest,world_digest,edits_asked";
    let expected: Vec<&str> = fixed.split(',').chain(Metrics::NAMES.iter().copied()).collect();
    assert_eq!(header, expected);
    assert_eq!(records.len(), results.len());
    for (record, result) in records.iter().zip(&results) {
        assert_eq!(record[2], result.row.strategy);
        assert_eq!(record[4], result.row.seed.to_string());
        if record[5] == "unsupported" {
            assert!(record[6].contains("texts only; |"));
            assert!(record[7..].iter().all(String::is_empty), "{record:?}");
            continue;
        }
        for digest in [&record[7], &record[8]] {
            assert_eq!(digest.len(), 32);
            assert!(digest.chars().all(|c| c.is_ascii_hexdigit() && !c.is_ascii_uppercase()));
        }
        let figures = result.row.metrics.as_ref().expect("it ran");
        for (name, field) in header.iter().zip(record).skip(10) {
            let value = figures.get(name).expect("a column");
            assert_eq!(*field, value.map(|v| v.to_string()).unwrap_or_default(), "{name}");
        }
    }
}

#[test]
fn latencies_rebuild_the_histograms() {
    let (_, results, at) = written("latency", 2);
    let (header, records) = read(&at.join("latency.csv"));
    assert_eq!(header.join(","), "cell,strategy,seed,measure,value_us,count");
    let trial = &results[3];
    for (measure, original) in trial.histograms.named() {
        let mut rebuilt = Histogram::<u64>::new(3).expect("three digits");
        let own = |r: &&Vec<String>| {
            r[1] == trial.row.strategy && r[2] == trial.row.seed.to_string() && r[3] == measure
        };
        for record in records.iter().filter(own) {
            let number = |field: usize| record[field].parse::<u64>().expect("a number");
            rebuilt.record_n(number(4), number(5)).expect("in range");
        }
        assert!(!original.is_empty());
        assert_eq!(rebuilt, *original, "{measure}");
    }
}

#[test]
fn courses_facts_and_times() {
    let (_, results, at) = written("courses", 2);
    let (header, records) = read(&at.join("timeline.csv"));
    assert_eq!(header[3..6].join(","), "at_s,device,edits_pending");
    assert_eq!(records.len(), results.iter().map(|r| r.timeline.len()).sum::<usize>());
    assert!(
        records.iter().all(|record| record[4].is_empty()),
        "rows of whole trials name no device"
    );

    let (header, records) = read(&at.join("episode.csv"));
    assert_eq!(header.join(","), "at_us,strategy,seed,device,fact,detail");
    assert_eq!(records.len(), 4);
    assert_eq!(records[1][5], "record 41: title becomes \"milk & bread\"");

    let (header, records) = read(&at.join("timing.csv"));
    assert_eq!(header.join(","), "cell,strategy,seed,wall_us,events,events_per_s");
    assert_eq!(records[0][5], (480_000u64 * 1_000_000 / 900_000).to_string());
    // What never ran has no rate.
    assert_eq!(records.last().expect("rows")[3..], ["0", "0", ""]);
}

#[test]
fn the_summary_is_exact_and_complete() {
    let (info, results, at) = written("summary", 6);
    let (header, records) = read(&at.join("summary.csv"));
    assert_eq!(records.len(), 9 * reconverge_reports::metrics().count());
    let column = |name: &str| {
        header.iter().position(|h| h == name).unwrap_or_else(|| panic!("no column {name}"))
    };
    let texts = [
        "scenario",
        "cell",
        "strategy",
        "schedule",
        "metric",
        "baseline",
        "difference_of",
        "interval_note",
    ];
    for record in &records {
        for (name, field) in
            header.iter().zip(record).filter(|(name, _)| !texts.contains(&name.as_str()))
        {
            let digits = field.strip_prefix('-').unwrap_or(field);
            let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
            let clean = whole.chars().chain(fraction.chars()).all(|c| c.is_ascii_digit());
            assert!(
                clean && fraction.len() <= 4 && !fraction.ends_with('0'),
                "{name} is {field:?} in {record:?}"
            );
        }
        assert!(
            ["undercovers", "too few seeds"].contains(&record[column("interval_note")].as_str())
        );
    }
    let row = |strategy: &str, metric: &str| {
        let found = records
            .iter()
            .find(|r| r[column("strategy")] == strategy && r[column("metric")] == metric);
        found.unwrap_or_else(|| panic!("no {metric} of {strategy}"))
    };

    // Percentiles come from merged histograms, and are never averaged.
    let mut merged = Histogram::<u64>::new(3).expect("three digits");
    for result in results.iter().filter(|result| result.row.strategy == "crdt/digest") {
        merged.add(&result.histograms.visible).expect("grows");
    }
    let slow = row("crdt/digest", "visible_us_p99");
    assert_eq!(slow[column("pooled")], merged.value_at_quantile(0.99).to_string());
    assert_eq!(slow[column("mean")], "");
    assert_eq!(slow[column("difference_of")], "median");

    // The mean of a count by hand, and its difference from the baseline.
    let lost = |strategy: &str| {
        let own = results.iter().filter(|result| result.row.strategy == strategy);
        let sum: u64 = own.filter_map(|result| result.row.metrics.as_ref()?.edits_lost).sum();
        sum as f64 / 6.0
    };
    let number = |text: &str| text.parse::<f64>().expect("a number");
    let wall = row("lww/wall", "edits_lost");
    assert!((number(&wall[column("mean")]) - lost("lww/wall")).abs() < 0.001);
    assert!(
        (number(&wall[column("difference")]) - (lost("lww/wall") - lost("lww/hlc"))).abs() < 0.001
    );
    assert!((number(&wall[column("ratio")]) - lost("lww/wall") / lost("lww/hlc")).abs() < 0.000_1);
    assert!(number(&wall[column("mean_low")]) <= number(&wall[column("mean")]));
    assert_eq!(wall[column("pairs")], "6");
    // The baseline is not compared with itself, and what never ran has no figures.
    assert_eq!(row("lww/hlc", "edits_lost")[column("difference")], "");
    assert_eq!(row("text/only", "edits_lost")[column("seeds")], "0");
    assert_eq!(row("text/only", "edits_lost")[column("mean")], "");

    // JSON says the same.
    let document: serde_json::Value =
        serde_json::from_str(&json(&Comparison::new(&info, &results))).expect("JSON");
    assert_eq!(document["schema_version"], 1);
    let rows = document["rows"].as_array().expect("rows");
    assert_eq!(rows.len(), records.len());
    for (object, record) in rows.iter().zip(&records) {
        for (name, field) in header.iter().zip(record) {
            match &object[name] {
                serde_json::Value::Null => assert_eq!(field, "", "{name}"),
                serde_json::Value::String(text) => assert_eq!(field, text, "{name}"),
                number => assert_eq!(*field, number.to_string(), "{name}"),
            }
        }
    }
}

#[test]
fn the_summary_for_people_says_it_in_words() {
    let (info, _, at) = written("words", 2);
    let text = fs::read_to_string(at.join("summary.md")).expect("a file");
    assert!(text.starts_with("# commuter\n\nTwelve commuters share a task list; tunnels cut them off twice a day.\n\nWho notices?\n\n- "));
    assert!(text.contains("\n- Edits were lost by full-copy ("), "{text}");
    assert!(text.contains("\n| crdt/digest | 2/2 | 0 |"), "{text}");
    assert!(text.contains(&format!("```sh\n{}\n```", info.command())));
}

#[test]
fn the_manifest_repeats_the_run() {
    let (info, _, at) = written("manifest", 2);
    let text = fs::read_to_string(at.join("manifest.json")).expect("a file");
    let manifest: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(manifest["command"], info.command());
    assert_eq!(manifest["scenario"]["toml"], info.scenario_toml);
    assert_eq!(manifest["seeds"]["until"], 2);
    assert_eq!(manifest["strategies"].as_array().map(Vec::len), Some(9));
}

#[test]
fn same_bytes_for_any_order_and_folder() {
    let (info, mut results, episode) = fixture::run_with_unsupported(3);
    let (one, other) = (folder("order-a"), folder("order-b").join("deep/er"));
    let one = write_run(&one, &info, &results, &episode, &[]).expect("writes");
    // Any order: every seventh, from the back.
    results.reverse();
    let count = results.len();
    let shuffled: Vec<TrialResult> = (0..count).map(|i| results[i * 7 % count].clone()).collect();
    assert_ne!(count % 7, 0, "the stride must reach every trial");
    let other = write_run(&other, &info, &shuffled, &episode, &[]).expect("writes");
    let (one, other) = (contents(&one), contents(&other));
    assert_eq!(one.len(), 14);
    for ((name, bytes), (other_name, other_bytes)) in one.iter().zip(&other) {
        assert_eq!(name, other_name);
        assert!(bytes == other_bytes, "{} differs", name.display());
        let own = Path::new(env!("CARGO_TARGET_TMPDIR")).to_string_lossy().into_owned();
        assert!(
            !String::from_utf8_lossy(bytes).contains(&own),
            "{} names a folder",
            name.display()
        );
    }
    assert_eq!(one.len(), other.len());
}

#[test]
fn other_files_stay_and_nothing_is_left_behind() {
    let (info, results, episode) = fixture::run(1);
    let out = folder("others");
    fs::create_dir_all(out.join("commuter")).expect("a folder");
    fs::write(out.join("commuter/notes.txt"), "mine").expect("a file");
    fs::write(out.join("commuter/trials.csv"), "old").expect("a file");
    let at = write_run(&out, &info, &results, &episode, &[]).expect("writes");
    let files = contents(&at);
    assert!(
        files.iter().all(|(name, _)| !name.to_string_lossy().contains("tmp")),
        "no temporary file remains"
    );
    assert_eq!(fs::read(at.join("notes.txt")).expect("still there"), b"mine");
    assert_ne!(fs::read(at.join("trials.csv")).expect("replaced"), b"old");
}

#[test]
fn a_failure_leaves_the_old_files() {
    let (info, results, episode) = fixture::run(1);
    let out = folder("failure");
    fs::create_dir_all(out.join("commuter")).expect("a folder");
    fs::write(out.join("commuter/trials.csv"), "old").expect("a file");
    // A file where a folder must be.
    fs::write(out.join("commuter/figures"), "in the way").expect("a file");
    let error = write_run(&out, &info, &results, &episode, &[]).expect_err("cannot write figures");
    assert!(
        matches!(&error, WriteError::Io { path, .. } if path.ends_with("figures/visibility.svg")),
        "{error}"
    );
    assert_eq!(fs::read(out.join("commuter/trials.csv")).expect("still there"), b"old");
    assert_eq!(contents(&out).len(), 2, "no temporary file remains");
}

#[test]
fn a_name_cannot_leave_the_folder() {
    let (mut info, results, episode) = fixture::run(1);
    for name in ["", "../up", "a/b", ".", "a b"] {
        info.scenario_name = name.to_owned();
        let error =
            write_run(&folder("names"), &info, &results, &episode, &[]).expect_err("refused");
        assert!(matches!(error, WriteError::Name(_)), "{name}");
    }
}
