//! Writes random pairs of concurrent operations on a text, and what our own code makes of them, for `oracles/ot-text-unicode` to check:
//!
//! `cargo run --release -p reconverge-strategies --example ot_pairs -- COUNT SEED | node oracles/ot-text-unicode/check.js COUNT`
//!
//! One JSON object a line: `text`; `a` and `b`, made on it; `c`, made after `a`; and as `ours` all results. Pair n of a seed does not
//! depend on how many there are.

use std::io::{self, BufWriter, Write};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use reconverge_strategies::char_count;
use reconverge_strategies::ot::text::{Component, Side, TextOp};
use serde_json::{Value, json};

fn main() -> io::Result<()> {
    let arguments: Vec<u64> =
        std::env::args().skip(1).filter_map(|text| text.parse().ok()).collect();
    let [count, seed] = arguments[..] else {
        eprintln!("expected two numbers: how many pairs, and a seed");
        std::process::exit(2);
    };
    let mut out = BufWriter::new(io::stdout().lock());
    for number in 0..count {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(number);
        writeln!(out, "{}", pair(&mut rng))?;
    }
    out.flush()
}

fn pair(rng: &mut ChaCha8Rng) -> Value {
    // Mostly short texts, where operations meet; some long ones.
    let most = if rng.random_range(0..8) == 0 { 300 } else { 12 };
    let text = random_text(rng, 0, most);
    let length = char_count(&text);
    let (a, b) = (random_op(rng, length), random_op(rng, length));
    let after_a = applied(&a, &text);
    let after_b = applied(&b, &text);
    let c = random_op(rng, char_count(&after_a));
    let a_and_c = a.clone().compose(&c);
    let [a_left, a_right] = [Side::Left, Side::Right].map(|side| a.clone().transform(&b, side));
    let [b_left, b_right] = [Side::Left, Side::Right].map(|side| b.clone().transform(&a, side));
    json!({
        "text": text,
        "a": to_json(&a),
        "b": to_json(&b),
        "c": to_json(&c),
        "ours": {
            "aLeft": to_json(&a_left),
            "aRight": to_json(&a_right),
            "bLeft": to_json(&b_left),
            "bRight": to_json(&b_right),
            "aThenC": to_json(&a_and_c),
            "textAfterA": after_a,
            "textAfterB": after_b,
            "textAfterAThenC": applied(&a_and_c, &text),
            "aFirst": applied(&a_left, &after_b),
            "bFirst": applied(&b_left, &after_a),
            // The same two texts by the other way round the diamond: written by both authors' devices.
            "aFirstAgain": applied(&b_right, &after_a),
            "bFirstAgain": applied(&a_right, &after_b),
        },
    })
}

/// What tells counting in scalar values from counting in UTF-8 or UTF-16 units: one to four bytes, pairs of surrogates that share a half
/// with another, the ends of ranges, marks that combine with what stands before, and what JSON and JavaScript write differently.
const CHARACTERS: [char; 24] = [
    'a',
    'b',
    'c',
    ' ',
    '\n',
    '"',
    '\\',
    '\0',
    '\u{7f}',
    'é',
    '\u{301}',
    '\u{7ff}',
    '\u{800}',
    '語',
    '\u{200d}',
    '\u{2028}',
    '\u{d7ff}',
    '\u{e000}',
    '\u{ffff}',
    '\u{10000}',
    '\u{10ffff}',
    '😀',
    '😁',
    '𝄞',
];

fn random_text(rng: &mut ChaCha8Rng, least: usize, most: usize) -> String {
    let length = rng.random_range(least..=most);
    (0..length).map(|_| CHARACTERS[rng.random_range(0..CHARACTERS.len())]).collect()
}

/// An operation on a text of that many characters. Insertions and deletions that touch come in both orders.
fn random_op(rng: &mut ChaCha8Rng, length: usize) -> TextOp {
    let mut left = length;
    let steps = rng.random_range(0..8);
    let component = |_| {
        let short = if rng.random_range(0..8) == 0 { left } else { left.min(4) };
        match rng.random_range(0..3) {
            0 => Component::Insert(random_text(rng, 1, 4)),
            kind => {
                let count = rng.random_range(0..=short);
                left -= count;
                if kind == 1 { Component::Retain(count) } else { Component::Delete(count) }
            }
        }
    };
    (0..steps).map(component).collect()
}

fn applied(op: &TextOp, text: &str) -> String {
    let (mut text, mut length) = (text.to_owned(), char_count(text));
    op.apply(&mut text, &mut length).expect("operations are made for the text");
    text
}

/// The form of `ot-text-unicode`.
fn to_json(op: &TextOp) -> Value {
    let component = |component: &Component| match component {
        Component::Retain(count) => json!(count),
        Component::Insert(text) => json!(text),
        Component::Delete(count) => json!({ "d": count }),
    };
    op.components().iter().map(component).collect()
}
