//! `vectors`: runs cases whose results others computed, and compares.
//!
//! A file has one case a line, as a JSON object. A line may hold several results to compare: each counts.

mod graph;
mod ot;
mod text;

use std::fmt::Write;
use std::process::ExitCode;

use serde::Deserialize;

use crate::args::{Kind, VectorsArgs};
use crate::error::Failure;
use crate::{load, output};

/// So many failures are shown.
const MOST_SHOWN: usize = 20;
/// So many characters of a result are shown, and so many of them before the first difference.
const EXCERPT_CHARS: usize = 60;
const EXCERPT_CHARS_BEFORE: usize = 15;

/// A result of a case, as others computed it and as it came out here.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    /// Which of the line's results, where it has several.
    name: &'static str,
    expected: String,
    found: String,
}

/// Runs the case on a line, or says why it is none.
type Runner = fn(&[u8]) -> Result<Vec<Outcome>, String>;

/// How cases of a kind are run, and what they look like.
fn runner(kind: Kind) -> (Runner, &'static str) {
    match kind {
        Kind::TextOrder => (text::text_order, text::TEXT_ORDER),
        Kind::ListHistories => (graph::list_histories, graph::LIST_HISTORIES),
        Kind::CausalGraph => (graph::causal_graph, graph::CAUSAL_GRAPH),
        Kind::OtApply => (ot::apply, ot::APPLY),
        Kind::OtCompose => (ot::compose, ot::COMPOSE),
        Kind::OtTransform => (ot::transform, ot::TRANSFORM),
    }
}

pub(crate) fn vectors(args: &VectorsArgs) -> Result<ExitCode, Failure> {
    // Exit code 1 says that cases failed, so what keeps them from being run is always bad input.
    let bytes = load::unpacked(&args.file).map_err(|mut failure| {
        failure.code = 2;
        failure
    })?;
    let file = args.file.display();
    let (run, form) = runner(args.kind);
    let (mut passed, mut failed) = (0, 0);
    let mut failures = String::new();
    for (number, line) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
        if line.trim_ascii().is_empty() {
            continue;
        }
        let outcomes = run(line).map_err(|why| {
            let found = excerpt(&String::from_utf8_lossy(line), 0);
            Failure::input(format!("{file}:{number}: {why}"))
                .help(format!("expected {form}"))
                .help(format!("found {found}"))
        })?;
        for Outcome { name, expected, found } in outcomes {
            if expected == found {
                passed += 1;
                continue;
            }
            failed += 1;
            if failed <= MOST_SHOWN {
                let (expected, found) = excerpts(&expected, &found);
                let name = if name.is_empty() { String::new() } else { format!(" {name}:") };
                writeln!(failures, "{file}:{number}:{name} expected {expected}, found {found}")
                    .expect("a string takes everything");
            }
        }
    }
    if passed + failed == 0 {
        return Err(Failure::input(format!("{file}: there is no case in it"))
            .help(format!("expected lines, each {form}")));
    }
    if failed > MOST_SHOWN {
        writeln!(failures, "and {} more", failed - MOST_SHOWN).expect("a string takes everything");
    }
    output::say(&failures);
    output::print(&format!("{passed} passed, {failed} failed\n"))?;
    Ok(ExitCode::from(u8::from(failed > 0)))
}

/// A case of this form, or why the line is none.
fn parse<'a, T: Deserialize<'a>>(line: &'a [u8]) -> Result<T, String> {
    // A list of the values alone would do for serde.
    if !line.trim_ascii_start().starts_with(b"{") {
        return Err("not an object".to_owned());
    }
    // Its line is always the first: what it is called in the file is said elsewhere.
    serde_json::from_slice(line)
        .map_err(|error| error.to_string().replace(" at line 1 column ", ", at column "))
}

/// Two texts that differ, each from shortly before the first difference on.
fn excerpts(expected: &str, found: &str) -> (String, String) {
    let at = expected.chars().zip(found.chars()).take_while(|(a, b)| a == b).count();
    let longest = expected.chars().count().max(found.chars().count());
    let from = if longest <= EXCERPT_CHARS { 0 } else { at.saturating_sub(EXCERPT_CHARS_BEFORE) };
    (excerpt(expected, from), excerpt(found, from))
}

/// What a text has from a character on, shortened and with its control characters escaped.
fn excerpt(text: &str, from: usize) -> String {
    let mut rest = text.chars().skip(from);
    let shown: String = rest.by_ref().take(EXCERPT_CHARS).collect();
    let before = if from == 0 { "" } else { "…" };
    let after = if rest.next().is_none() { "" } else { "…" };
    let shown: String = shown
        .chars()
        .map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() })
        .collect();
    format!("`{before}{shown}{after}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excerpts_show_the_difference() {
        assert_eq!(excerpts("a\tb", ""), ("`a\\tb`".to_owned(), "``".to_owned()));
        let long = "añ🙂".repeat(40);
        let (expected, found) = excerpts(&format!("{long}x"), &format!("{long}y"));
        assert_eq!(expected, format!("`…{}x`", "añ🙂".repeat(5)));
        assert_eq!(found, format!("`…{}y`", "añ🙂".repeat(5)));
        let (expected, found) = excerpts(&long, "añ");
        assert!(expected.starts_with("`añ🙂añ") && expected.ends_with("…`"), "{expected}");
        assert_eq!(found, "`añ`");
    }
}
