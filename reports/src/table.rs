//! The comparison: one line per strategy, for terminals and Markdown, and the summary behind it as CSV and JSON.

mod export;

pub use export::{csv, json};

use std::fmt::Write;

use reconverge_simulator::row::Status;

use crate::comparison::{Cell, Comparison, Group};
use crate::human;
use crate::verdict::broken_lines;

/// Whether to colour text with ANSI escapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// Text only.
    Plain,
    /// With escapes.
    Ansi,
}

/// Headers, and what each means.
pub(crate) const COLUMNS: [(&str, &str); 9] = [
    (
        "strategy",
        "how devices synchronise; an asterisk marks one that runs under a schedule of its own",
    ),
    ("converged", "trials in which all replicas ended up showing the same"),
    (
        "lost",
        "edits overwritten or dropped by someone who had never seen them: mean per trial, and share of those asked for",
    ),
    ("surfaced", "edits kept beside a rival, for the user to choose: mean per trial"),
    (
        "visible p50",
        "time from an edit until another person's device first shows it: median over all seeds",
    ),
    ("p99", "the same for the slowest of a hundred"),
    ("bytes/edit", "everything a radio would carry, divided by the edits asked for"),
    (
        "energy/edit",
        "energy spent on synchronising by devices with a battery, divided by the edits asked for",
    ),
    ("footprint", "what a replica stores at the end: content, metadata and history"),
];

/// How a cell of the table should be felt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    Plain,
    Good,
    Bad,
}

/// One line of the table.
pub(crate) struct TableRow {
    pub name: String,
    /// The columns after the name, or why there are none.
    pub columns: Result<Vec<(String, Tone)>, String>,
}

/// The lines of a cell's table.
pub(crate) fn rows(cell: &Cell) -> Vec<TableRow> {
    cell.strategies.iter().map(|group| row(cell, group)).collect()
}

fn row(cell: &Cell, group: &Group) -> TableRow {
    let own_schedule = has_own_schedule(cell, group);
    let name = group.label() + if own_schedule { " *" } else { "" };
    if group.measured().next().is_none() {
        let status = group.trials[0].row.status.name();
        return TableRow {
            name,
            columns: Err(format!("{status}: {}", one_line(&group.trials[0].row.reason))),
        };
    }
    let mean =
        |metric: &str, show: fn(f64) -> String| group.mean(metric).map_or("–".to_owned(), show);
    let pooled = |metric: &str| {
        let value = group.line(metric).and_then(|line| line.pooled);
        value.map_or("–".to_owned(), |us| human::duration(us as f64))
    };
    let lost = match group.mean("edits_lost_permille").filter(|share| *share > 0.0) {
        Some(share) => {
            format!("{} ({})", mean("edits_lost", human::count), human::share(share / 1_000.0))
        }
        None => mean("edits_lost", human::count),
    };
    let tone = |good: bool| if good { Tone::Good } else { Tone::Bad };
    let plain = |text: String| (text, Tone::Plain);
    let columns = vec![
        match group.is_oracle() {
            true => plain("–".to_owned()),
            false => (
                format!("{}/{}", group.count(Status::Ok), group.trials.len()),
                tone(group.always_converged()),
            ),
        },
        (lost, if group.is_oracle() { Tone::Plain } else { tone(group.never("edits_lost")) }),
        plain(mean("edits_surfaced", human::count)),
        plain(pooled("visible_us_p50")),
        plain(pooled("visible_us_p99")),
        plain(mean("bytes_wire_per_edit", human::bytes)),
        plain(mean("energy_per_edit_uj", human::energy)),
        plain(mean("footprint_bytes", human::bytes)),
    ];
    TableRow { name, columns: Ok(columns) }
}

fn has_own_schedule(cell: &Cell, group: &Group) -> bool {
    !group.is_unsupported() && !group.is_oracle() && group.schedule != cell.schedule
}

/// What the asterisks mean; `None` where there are none.
pub(crate) fn schedule_note(cell: &Cell) -> Option<String> {
    let own = cell.strategies.iter().filter(|group| has_own_schedule(cell, group));
    let own: Vec<String> = own
        .map(|group| format!("{} ({})", group.strategy, group.schedule.trim_end_matches(" (own)")))
        .collect();
    (!own.is_empty()).then(|| format!("* under a schedule of its own: {}", human::list(&own)))
}

/// What stands above a table.
pub(crate) fn heading(comparison: &Comparison, cell: &Cell) -> String {
    let seeds = comparison.info.seeds.end.saturating_sub(comparison.info.seeds.start);
    let name = match comparison.is_sweep() {
        true => format!("{}, cell {}", comparison.info.scenario_name, cell.name),
        false => comparison.info.scenario_name.clone(),
    };
    let schedule = if cell.schedule.is_empty() {
        String::new()
    } else {
        format!(", schedule {}", cell.schedule)
    };
    format!("{name}: {seeds} seed{}{schedule}", if seeds == 1 { "" } else { "s" })
}

/// Keeps a text within one line of a table.
pub(crate) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<&str>>().join(" ")
}

/// The table for a terminal, then what broke: budgets, and the first divergence of each strategy. Ends with a newline.
pub fn terminal(comparison: &Comparison, broken_budgets: &[String], colour: Colour) -> String {
    let mut text = String::new();
    for cell in &comparison.cells {
        if !text.is_empty() {
            text.push('\n');
        }
        writeln!(text, "{}", paint(&heading(comparison, cell), "1", colour))
            .expect("a string takes everything");
        text += &aligned(&rows(cell), colour);
        if let Some(note) = schedule_note(cell) {
            text += &note;
            text.push('\n');
        }
    }
    for line in broken_lines(comparison, broken_budgets) {
        writeln!(text, "{}", paint(&line, "31", colour)).expect("a string takes everything");
    }
    text
}

/// Columns side by side: names to the left, figures to the right.
fn aligned(rows: &[TableRow], colour: Colour) -> String {
    const GAP: usize = 2;
    let mut widths = COLUMNS.map(|(header, _)| header.chars().count());
    for row in rows {
        widths[0] = widths[0].max(row.name.chars().count());
        for (width, (text, _)) in widths[1..].iter_mut().zip(row.columns.iter().flatten()) {
            *width = (*width).max(text.chars().count());
        }
    }
    let total = widths.iter().sum::<usize>() + GAP * (widths.len() - 1);
    let mut text = String::new();
    for (index, (header, _)) in COLUMNS.iter().enumerate() {
        let width = widths[index];
        let padded =
            if index == 0 { format!("{header:<width$}") } else { format!("  {header:>width$}") };
        text += &paint(&padded, "2", colour);
    }
    text.push('\n');
    for row in rows {
        let width = widths[0];
        write!(text, "{:<width$}", row.name).expect("a string takes everything");
        match &row.columns {
            Ok(columns) => {
                for ((column, tone), width) in columns.iter().zip(&widths[1..]) {
                    let code = match tone {
                        Tone::Plain => "",
                        Tone::Good => "32",
                        Tone::Bad => "31",
                    };
                    text += &paint(&format!("  {column:>width$}"), code, colour);
                }
            }
            Err(reason) => {
                text +=
                    &paint(&format!("  {}", shortened(reason, total - width - GAP)), "33", colour)
            }
        }
        text.push('\n');
    }
    text
}

/// Cut to a width, with an ellipsis where something is missing.
fn shortened(text: &str, width: usize) -> String {
    match text.chars().count() > width {
        true => text.chars().take(width.saturating_sub(1)).chain(['…']).collect(),
        false => text.to_owned(),
    }
}

fn paint(text: &str, code: &str, colour: Colour) -> String {
    match colour {
        Colour::Ansi if !code.is_empty() => format!("\x1b[{code}m{text}\x1b[0m"),
        _ => text.to_owned(),
    }
}

/// The same in Markdown.
pub fn markdown(comparison: &Comparison, broken_budgets: &[String]) -> String {
    let escape =
        |text: &str| one_line(text).replace('\\', "\\\\").replace('|', "\\|").replace('*', "\\*");
    let mut text = String::new();
    let mut line = |words: &str| {
        text += words;
        text.push('\n');
    };
    for (index, cell) in comparison.cells.iter().enumerate() {
        if index > 0 {
            line("");
        }
        line(&format!("**{}**", escape(&heading(comparison, cell))));
        line("");
        line(&format!("| {} |", COLUMNS.map(|(header, _)| header).join(" | ")));
        line(&format!("| :-- {}|", "| --: ".repeat(COLUMNS.len() - 1)));
        for row in rows(cell) {
            let name = escape(&row.name);
            match row.columns {
                Ok(columns) => {
                    let columns: Vec<String> =
                        columns.iter().map(|(text, _)| escape(text)).collect();
                    line(&format!("| {name} | {} |", columns.join(" | ")));
                }
                Err(reason) => {
                    line(&format!(
                        "| {name} | {} |{}",
                        escape(&reason),
                        " |".repeat(COLUMNS.len() - 2)
                    ));
                }
            }
        }
        if let Some(note) = schedule_note(cell) {
            line("");
            line(&escape(&note));
        }
    }
    for (index, broken) in broken_lines(comparison, broken_budgets).iter().enumerate() {
        if index == 0 {
            line("");
        }
        line(&format!("- {}", escape(broken)));
    }
    text
}
