//! A user at random: every edit is valid in the author's own view, and recognisable in the end.

use crate::stage::{RECORDS, Stage};
use rand::RngExt;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use reconverge_strategies::*;

/// An edit for the user of `replica`, or `None` where what was thought of would change nothing. `serial` makes contents unique.
pub fn random_edit(
    rng: &mut ChaCha8Rng,
    stage: &Stage<'_>,
    replica: &dyn Replica,
    serial: &mut u64,
) -> Option<Edit> {
    *serial += 1;
    // Mostly one record, so that edits meet.
    let record = RecordId(if rng.random_bool(0.6) { 0 } else { rng.random_range(0..RECORDS) });
    let mut shown = Rendering::new();
    replica.render(Scope::Record(record), &mut shown);
    if rng.random_bool(0.07) {
        return shown.iter().next().map(|_| Edit::Delete { record });
    }
    let cells: Vec<_> = stage.schema.cells(record).collect();
    let (cell, kind) = *cells.choose(rng)?;
    if let Some(Shown::Conflict(alternatives)) = shown.get(cell)
        && rng.random_bool(0.5)
    {
        let content = if rng.random_bool(0.5) {
            alternatives.choose(rng)?.content.clone()
        } else {
            fresh_content(rng, kind, *serial)
        };
        let seen = alternatives.iter().map(|alternative| alternative.mark).collect();
        return Some(Edit::Resolve { cell, content, seen });
    }
    match kind {
        FieldKind::Register => Some(Edit::Put { cell, value: fresh(rng, *serial).into() }),
        FieldKind::Counter => Some(Edit::Add { cell, amount: amount(rng) }),
        FieldKind::Set => Some(set_edit(rng, cell, shown.get(cell), *serial)),
        FieldKind::Text => splice_edit(rng, cell, replica.length(cell), *serial),
    }
}

fn amount(rng: &mut ChaCha8Rng) -> i64 {
    let amount = if rng.random_bool(0.1) { 1 << 40 } else { rng.random_range(1..10) };
    if rng.random_bool(0.4) { -amount } else { amount }
}

fn set_edit(rng: &mut ChaCha8Rng, cell: Cell, shown: Option<&Shown>, serial: u64) -> Edit {
    let elements: Vec<&Value> = match shown.map(Shown::first) {
        Some(Content::Set(elements)) => elements.iter().collect(),
        _ => Vec::new(),
    };
    if rng.random_bool(0.4)
        && let Some(element) = elements.choose(rng)
    {
        return Edit::Remove { cell, element: (*element).clone() };
    }
    // Some elements come and go, and are inserted by several users.
    let common = Value::from(format!("common{}", rng.random_range(0..2)));
    let element = if rng.random_bool(0.3) && !elements.contains(&&common) {
        common
    } else {
        fresh(rng, serial).into()
    };
    Edit::Insert { cell, element }
}

fn splice_edit(rng: &mut ChaCha8Rng, cell: Cell, length: usize, serial: u64) -> Option<Edit> {
    let at = match rng.random_range(0..4) {
        0 => 0,
        1 => length,
        _ => rng.random_range(0..=length),
    };
    let delete = if rng.random_bool(0.4) { rng.random_range(0..=(length - at).min(4)) } else { 0 };
    let insert = if rng.random_bool(0.2) { String::new() } else { fresh(rng, serial) };
    (delete > 0 || !insert.is_empty()).then_some(Edit::Splice { cell, at, delete, insert })
}

fn fresh(rng: &mut ChaCha8Rng, serial: u64) -> String {
    let letter = ["v", "é", "😀"][rng.random_range(0..3)];
    let padding = if rng.random_bool(0.05) { "long".repeat(50) } else { String::new() };
    format!("{letter}{serial}{padding}")
}

fn fresh_content(rng: &mut ChaCha8Rng, kind: FieldKind, serial: u64) -> Content {
    match kind {
        FieldKind::Register => Content::Register(Some(fresh(rng, serial).into())),
        FieldKind::Counter => Content::Counter(amount(rng)),
        FieldKind::Set => Content::Set([fresh(rng, serial).into()].into()),
        FieldKind::Text => Content::Text(fresh(rng, serial)),
    }
}
