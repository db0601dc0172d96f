//! What people see: table, verdict, page and figures.

mod fixture;

use reconverge_reports::{
    Colour, Comparison, Figure, RunInfo, figures, markdown, page, terminal, verdict,
};
use reconverge_simulator::row::{Status, TrialResult};

const BROKEN: &str =
    "lww/hlc: edits_lost must be at most 0; broken in 10 of 10 trials, worst <20> at seed 4";

/// Two points of a sweep, made of one run.
fn sweep() -> (RunInfo, Vec<TrialResult>) {
    let (info, results, _) = fixture::run(2);
    let cells = ["count=12", "count=4"].into_iter().flat_map(|cell| {
        results.iter().cloned().map(move |mut result| {
            result.row.cell = cell.to_owned();
            result
        })
    });
    let cells = cells.collect();
    (info, cells)
}

/// The same run, but no strategy can take part.
fn nothing_ran() -> (RunInfo, Vec<TrialResult>) {
    let (info, mut results, _) = fixture::run(2);
    for result in &mut results {
        result.row.status = Status::Unsupported;
        result.row.reason = "no star".to_owned();
        result.row.metrics = None;
        result.timeline.clear();
    }
    (info, results)
}

#[test]
fn the_terminal_table_is_aligned_and_narrow() {
    let (info, results, _) = fixture::run_with_unsupported(10);
    let comparison = Comparison::new(&info, &results);
    let text = terminal(&comparison, &[BROKEN.to_owned()], Colour::Plain);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "commuter: 10 seeds, schedule batched 30s");
    let width = lines[1].chars().count();
    assert!(width <= 120, "{width} columns");
    // Lines of figures are as wide as the header; that of the unsupported one is not wider.
    assert!(lines[2..10].iter().all(|line| line.chars().count() == width), "{text}");
    assert!(
        lines[10].starts_with("text/only") && lines[10].contains("unsupported: has texts only"),
        "{text}"
    );
    assert!(lines[10].chars().count() <= width);
    assert_eq!(lines[11], "* under a schedule of its own: online-only (immediate)");
    assert!(lines[8].starts_with("online-only * "), "{text}");
    assert_eq!(lines[12], format!("budget broken: {BROKEN}"));
    assert!(
        lines[13].starts_with("diverged: lww/wall in 1 of 10 trials, first at seed 3: phone-3"),
        "{text}"
    );
    assert_eq!(lines.len(), 14);
    assert!(!text.contains('\x1b'));
    assert!(terminal(&comparison, &[], Colour::Ansi).contains("\x1b[31m"));
}

#[test]
fn markdown_has_as_many_columns_everywhere() {
    let (info, results, _) = fixture::run_with_unsupported(2);
    let text = markdown(&Comparison::new(&info, &results), &[]);
    let table: Vec<&str> = text.lines().filter(|line| line.starts_with('|')).collect();
    assert_eq!(table.len(), 2 + 9);
    for line in table {
        assert_eq!(line.replace("\\|", "").matches('|').count(), 10, "{line}");
    }
}

#[test]
fn the_verdict_names_names() {
    let (info, results, _) = fixture::run_with_unsupported(10);
    let comparison = Comparison::new(&info, &results);
    let sentences = verdict(&comparison.cells[0]);
    assert_eq!(
        sentences[0],
        "Not every strategy converged in every trial: lww/wall (9 of 10 trials) did not."
    );
    assert_eq!(
        sentences[1],
        "Nobody's work was lost or doubled by version-vector/client-ids, ot/central, crdt/digest and online-only."
    );
    assert!(
        sentences[2].starts_with(
            "Edits were lost by full-copy (36.9 of 720 per trial, 5.12 %), lww/wall ("
        )
    );
    assert_eq!(sentences[3], "On average, full-copy lost 9 additions to counters per trial.");
    assert!(sentences[4].starts_with(
        "version-vector/client-ids left conflicts for people to settle (15.7 of 720 edits"
    ));
    // crdt/digest and version-vector/client-ids differ by less than seeds do; online-only did less work, and full-copy harm.
    assert!(sentences[5].starts_with(
        "Cheapest in energy among those without damage: crdt/digest under schedule batched 30s"
    ));
    assert!(
        sentences[5].contains("do not separate it from version-vector/client-ids."),
        "{}",
        sentences[5]
    );
    assert!(sentences[6].starts_with("Cheapest in bytes among those without damage: ot/central"));
    assert!(
        sentences[7].starts_with("online-only harmed nothing either, but turned away 38."),
        "{}",
        sentences[7]
    );
    assert!(sentences[8].starts_with("text/only did not run: has texts only;"));
    assert_eq!(sentences.len(), 9);
}

#[test]
fn a_verdict_on_nothing() {
    let (info, results) = nothing_ran();
    let sentences = verdict(&Comparison::new(&info, &results).cells[0]);
    assert_eq!(sentences[0], "No strategy could run here.");
    assert_eq!(sentences[1], "lww/wall did not run: no star.");
}

#[test]
fn failed_trials_are_counted_but_not_measured() {
    let (info, mut results, _) = fixture::run(3);
    let victim = results.iter_mut().find(|r| r.row.strategy == "crdt/digest").expect("it is there");
    victim.row.status = Status::Failed;
    victim.row.reason = "malformed\nbytes".to_owned();
    let comparison = Comparison::new(&info, &results);
    let group = comparison.cells[0]
        .strategies
        .iter()
        .find(|g| g.strategy == "crdt/digest")
        .expect("it is there");
    assert_eq!(group.line("edits_kept").map(|line| line.values.len()), Some(2));
    let text = terminal(&comparison, &[], Colour::Plain);
    assert!(
        text.contains("failed: crdt/digest in 1 of 3 trials, first at seed 0: malformed bytes\n"),
        "{text}"
    );
    assert!(verdict(&comparison.cells[0])[0].contains("crdt/digest (2 of 3 trials)"));
}

/// Checks that tags are balanced, and returns how many there were. Good enough for markup without comments and CDATA.
fn balanced(markup: &str) -> usize {
    let mut open: Vec<&str> = Vec::new();
    let mut count = 0;
    let mut rest = markup;
    while let Some(start) = rest.find('<') {
        let end = start + rest[start..].find('>').expect("every tag ends");
        let tag = &rest[start + 1..end];
        rest = &rest[end + 1..];
        count += 1;
        let name = tag.trim_start_matches('/').split([' ', '/']).next().expect("a name");
        if tag.starts_with('!') || tag.ends_with('/') || name == "meta" {
            continue;
        }
        match tag.starts_with('/') {
            true => assert_eq!(open.pop(), Some(name), "before {}", &rest[..rest.len().min(80)]),
            false => open.push(name),
        }
    }
    assert!(open.is_empty(), "{open:?} stay open");
    count
}

#[test]
fn the_page_is_whole_and_needs_nothing_else() {
    let (info, results, episode) = fixture::run_with_unsupported(3);
    let html = page(&Comparison::new(&info, &results), &episode, &[BROKEN.to_owned()]);
    assert!(balanced(&html) > 500);
    for needed in [
        "<!doctype html>",
        "worst &lt;20&gt; at seed 4",
        "# &lt;few&gt; &amp; &quot;small&quot;",
        "milk &amp; bread",
        "has texts only; | registers",
        &info.command(),
        "<h2>The outcome</h2>",
        "Differences from lww/hlc",
        "undercover",
        "08:00:12.400",
    ] {
        assert!(html.contains(needed), "{needed} is missing");
    }
    assert_eq!(html.matches("<svg ").count(), 5);
    // Nothing is fetched from anywhere: the only address is the name of SVG's own vocabulary.
    assert_eq!(
        html.matches("http").count(),
        html.matches("xmlns=\"http://www.w3.org/2000/svg\"").count()
    );
    for forbidden in ["<script", "<link", "<img", "@import", "url(", "NaN", "inf "] {
        assert!(!html.contains(forbidden), "{forbidden}");
    }
}

/// The numbers of an attribute wherever it occurs.
fn numbers(svg: &str, attribute: &str) -> Vec<f64> {
    let start = format!(" {attribute}=\"");
    svg.split(&start)
        .skip(1)
        .flat_map(|rest| {
            rest.split('"')
                .next()
                .unwrap_or("")
                .split([',', ' '])
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .filter(|number| !number.is_empty())
        .map(|number| number.parse().unwrap_or_else(|_| panic!("{attribute} is {number:?}")))
        .collect()
}

fn check(figure: &Figure) {
    let svg = &figure.svg;
    assert!(balanced(svg) > 10, "{}", figure.file_stem);
    assert!(svg.contains(figure.title));
    let size = |name| numbers(svg, name)[0];
    let (width, height) = (size("width"), size("height"));
    for x in ["x", "x1", "x2", "cx"].iter().flat_map(|name| numbers(svg, name)) {
        assert!((0.0..=width).contains(&x), "{}: x = {x}", figure.file_stem);
    }
    for y in ["y", "y1", "y2", "cy"].iter().flat_map(|name| numbers(svg, name)) {
        assert!((0.0..=height).contains(&y), "{}: y = {y}", figure.file_stem);
    }
    for (index, at) in numbers(svg, "points").into_iter().enumerate() {
        let limit = if index % 2 == 0 { width } else { height };
        assert!((0.0..=limit).contains(&at), "{}: a point at {at}", figure.file_stem);
    }
    assert!(!svg.contains("NaN"));
}

#[test]
fn figures_show_every_strategy_within_their_frame() {
    let (info, results, _) = fixture::run(3);
    let comparison = Comparison::new(&info, &results);
    let drawn = figures(&comparison, &comparison.cells[0]);
    let stems: Vec<&str> = drawn.iter().map(|figure| figure.file_stem.as_str()).collect();
    assert_eq!(stems, ["visibility", "edits", "bytes", "energy", "divergence"]);
    for figure in &drawn {
        check(figure);
        for strategy in &info.strategies {
            assert!(
                figure.svg.contains(&format!("\n{strategy}\n")),
                "{strategy} in {}",
                figure.file_stem
            );
        }
    }
}

#[test]
fn figures_of_nothing_say_so() {
    let (info, results) = nothing_ran();
    let comparison = Comparison::new(&info, &results);
    for figure in figures(&comparison, &comparison.cells[0]) {
        check(&figure);
        let said = ["No edit was seen", "unsupported", "Nothing was measured"];
        assert!(said.iter().any(|words| figure.svg.contains(words)), "{}", figure.file_stem);
    }
}

#[test]
fn what_nobody_spent_is_not_drawn_and_not_ranked() {
    let (info, mut results, _) = fixture::run(2);
    for metrics in results.iter_mut().filter_map(|result| result.row.metrics.as_mut()) {
        metrics.energy_per_edit_uj = Some(0);
        metrics.energy_total_mj = Some(0);
        metrics.energy_radio_promotion_mj = Some(0);
        metrics.energy_radio_transfer_mj = Some(0);
        metrics.energy_radio_tail_mj = Some(0);
        metrics.energy_cpu_mj = Some(0);
        metrics.energy_storage_mj = Some(0);
    }
    let comparison = Comparison::new(&info, &results);
    let drawn = figures(&comparison, &comparison.cells[0]);
    check(&drawn[3]);
    assert!(drawn[3].svg.contains("No device with a battery spent anything."));
    assert_eq!(drawn[3].reading, "");
    let sentences = verdict(&comparison.cells[0]);
    assert!(!sentences.iter().any(|sentence| sentence.contains("energy")), "{sentences:?}");
    assert!(sentences.iter().any(|sentence| sentence.starts_with("Cheapest in bytes")));
    let html = page(&comparison, &[], &[]);
    balanced(&html);
    assert_eq!(html.matches("<figcaption>").count(), 4);
}

#[test]
fn what_is_true_of_several_is_said_once() {
    let (mut info, results, _) = fixture::run(2);
    // Three that do what full-copy did.
    let names = ["lww/hlc", "full-copy", "full-copy-2", "full-copy-3"];
    let mut renamed: Vec<TrialResult> = Vec::new();
    for name in names {
        let like = name.trim_end_matches(['-', '2', '3']);
        for result in results.iter().filter(|result| result.row.strategy == like) {
            let mut result = result.clone();
            result.row.strategy = name.to_owned();
            renamed.push(result);
        }
    }
    info.strategies = names.map(str::to_owned).into();
    let comparison = Comparison::new(&info, &renamed);
    let sentences = verdict(&comparison.cells[0]);
    let names = "full-copy, full-copy-2 and full-copy-3";
    for (start, end) in [
        (format!("Edits were lost by {names} (each "), ")."),
        (format!("On average, {names} each lost "), " additions to counters per trial."),
    ] {
        let said = |sentence: &&String| sentence.starts_with(&start) && sentence.ends_with(end);
        assert_eq!(sentences.iter().filter(said).count(), 1, "{start}: {sentences:#?}");
    }
}

#[test]
fn one_moment_and_one_value_can_be_drawn() {
    let (info, mut results, _) = fixture::run(1);
    results.truncate(1);
    results[0].timeline.truncate(1);
    results[0].histograms = Default::default();
    results[0].histograms.visible.record(1).expect("in range");
    let comparison = Comparison::new(&info, &results);
    let drawn = figures(&comparison, &comparison.cells[0]);
    drawn.iter().for_each(check);
    assert!(drawn[4].svg.contains("before a `timeline_step`"), "no course of one moment");
}

#[test]
fn long_names_and_many_of_them_fit() {
    let (mut info, results, _) = fixture::run(1);
    let name = |i: usize| format!("someone/very-long-variant-number-{i}");
    let results: Vec<TrialResult> = (0..24)
        .map(|i| {
            let mut result = results[i % results.len()].clone();
            result.row.strategy = name(i);
            result
        })
        .collect();
    info.strategies = (0..24).map(name).collect();
    info.baseline = name(0);
    let comparison = Comparison::new(&info, &results);
    for figure in figures(&comparison, &comparison.cells[0]) {
        check(&figure);
        // Names to the right of a plot begin early enough to end on the paper; those to the left of bars late enough.
        let letters = name(23).len() as f64;
        let at = figure.svg.find(&name(23)).expect("the last name is there");
        let tag = &figure.svg[figure.svg[..at].rfind("<text").expect("it is a text")..at];
        let x = numbers(tag, "x")[0];
        match tag.contains("text-anchor=\"end\"") {
            true => assert!(x > letters * 7.0, "{}: ends at {x}", figure.file_stem),
            false => assert!(960.0 - x > letters * 7.0, "{}: begins at {x}", figure.file_stem),
        }
    }
}

#[test]
fn cells_of_a_sweep_stand_apart() {
    let (info, results) = sweep();
    let comparison = Comparison::new(&info, &results);
    let names: Vec<&str> = comparison.cells.iter().map(|cell| cell.name).collect();
    assert_eq!(names, ["count=4", "count=12"]);
    let drawn = figures(&comparison, &comparison.cells[1]);
    assert_eq!(drawn[0].file_stem, "visibility-1");
    let text = terminal(&comparison, &[], Colour::Plain);
    assert!(
        text.contains("commuter, cell count=4: 2 seeds")
            && text.contains("commuter, cell count=12: 2 seeds")
    );
    let html = page(&comparison, &[], &[]);
    balanced(&html);
    assert!(html.contains("<h2>Cell count=12</h2>"));
}
