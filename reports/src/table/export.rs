//! The summary as data: `summary.csv`, and the same as JSON. One row per cell, strategy and metric.

use serde_json::{Map, Value, json};

use crate::comparison::{Cell, Comparison, Group};
use crate::human::decimal;
use crate::stats::Interval;
use crate::summary::{Estimate, Line};

/// Version of the shape of the JSON: raised when a reader of the old shape would misread the new one.
const SCHEMA_VERSION: u64 = 1;

/// A field of a row.
enum Field {
    Text(String),
    /// An exact decimal; `None` is an empty field.
    Number(Option<String>),
}

/// `summary.csv`. Decimals have up to three digits after the point (p values, deltas and ratios four); what does not exist is empty.
pub fn csv(comparison: &Comparison) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let mut first = true;
    for (cell, group, line) in lines(comparison) {
        let fields = fields(comparison, cell, group, line);
        if first {
            writer
                .write_record(fields.iter().map(|(name, _)| *name))
                .expect("memory takes everything");
            first = false;
        }
        let texts = fields.into_iter().map(|(_, field)| match field {
            Field::Text(text) => text,
            Field::Number(number) => number.unwrap_or_default(),
        });
        writer.write_record(texts).expect("memory takes everything");
    }
    let bytes = writer.into_inner().expect("memory takes everything");
    String::from_utf8(bytes).expect("fields are UTF-8")
}

/// The same as JSON: `{"schema_version", "scenario", "command", "rows"}`, each row an object with the columns of `summary.csv`; what
/// does not exist is null. Ends with a newline.
pub fn json(comparison: &Comparison) -> String {
    let rows: Vec<Value> = lines(comparison)
        .map(|(cell, group, line)| {
            let fields = fields(comparison, cell, group, line).into_iter();
            let object: Map<String, Value> = fields
                .map(|(name, field)| {
                    let value = match field {
                        Field::Text(text) => Value::String(text),
                        Field::Number(None) => Value::Null,
                        Field::Number(Some(number)) => number.parse().expect("a decimal is JSON"),
                    };
                    (name.to_owned(), value)
                })
                .collect();
            Value::Object(object)
        })
        .collect();
    let document = json!({
        "schema_version": SCHEMA_VERSION,
        "scenario": comparison.info.scenario_name,
        "command": comparison.info.command(),
        "rows": rows,
    });
    format!("{document:#}\n")
}

fn lines<'a>(
    comparison: &'a Comparison<'a>,
) -> impl Iterator<Item = (&'a Cell<'a>, &'a Group<'a>, &'a Line)> {
    let groups = comparison
        .cells
        .iter()
        .flat_map(|cell| cell.strategies.iter().map(move |group| (cell, group)));
    groups.flat_map(|(cell, group)| group.lines.iter().map(move |line| (cell, group, line)))
}

fn fields(
    comparison: &Comparison,
    cell: &Cell,
    group: &Group,
    line: &Line,
) -> Vec<(&'static str, Field)> {
    let text = |text: &str| Field::Text(text.to_owned());
    let whole = |number: Option<u64>| Field::Number(number.map(|n| n.to_string()));
    let number = |number: Option<f64>, places| Field::Number(number.map(|n| decimal(n, places)));
    let value = |estimate: Option<Estimate>| number(estimate.map(|e| e.value), 3);
    let end = |estimate: Option<Estimate>, end: fn(Interval) -> f64| {
        number(estimate.and_then(|e| e.interval).map(end), 3)
    };
    let low = |estimate| end(estimate, |interval| interval.low);
    let high = |estimate| end(estimate, |interval| interval.high);
    let difference = line.difference.as_ref();
    let estimate = difference.map(|d| d.estimate);
    vec![
        ("scenario", text(&comparison.info.scenario_name)),
        ("cell", text(cell.name)),
        ("strategy", text(group.strategy)),
        ("schedule", text(group.schedule)),
        ("metric", text(line.metric)),
        ("seeds", whole(Some(line.values.len() as u64))),
        ("pooled", whole(line.pooled)),
        ("median", value(line.median)),
        ("median_low", low(line.median)),
        ("median_high", high(line.median)),
        ("mean", value(line.mean)),
        ("mean_low", low(line.mean)),
        ("mean_high", high(line.mean)),
        ("baseline", text(&comparison.info.baseline)),
        ("pairs", whole(difference.map(|d| d.pairs as u64))),
        ("difference_of", text(difference.map_or("", |d| d.of))),
        ("difference", value(estimate)),
        ("difference_low", low(estimate)),
        ("difference_high", high(estimate)),
        ("p_holm", number(difference.map(|d| d.p_holm), 4)),
        ("cliffs_delta", number(difference.map(|d| d.delta), 4)),
        ("ratio", number(difference.and_then(|d| d.ratio), 4)),
        ("interval_note", text(line.note())),
    ]
}
