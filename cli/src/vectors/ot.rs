//! Operations on texts, in the form of `ot-text-unicode`: a number skips so many characters (Unicode scalar values), a string
//! inserts, `{"d": number}` deletes.

use reconverge_strategies::ot::text::{Component, Side, TextOp};
use reconverge_strategies::{Malformed, char_count};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Outcome, parse};

/// What a case of `ot-apply` looks like.
pub(super) const APPLY: &str = r#"{"str": TEXT, "op": OPERATION, "result": TEXT}"#;
/// What a case of `ot-compose` looks like.
pub(super) const COMPOSE: &str = r#"{"op1": OPERATION, "op2": OPERATION, "result": OPERATION}"#;
/// What a case of `ot-transform` looks like.
pub(super) const TRANSFORM: &str =
    r#"{"op": OPERATION, "otherOp": OPERATION, "side": "left" or "right", "result": OPERATION}"#;

#[derive(Deserialize)]
struct Apply {
    str: String,
    op: Op,
    result: String,
}

#[derive(Deserialize)]
struct Compose {
    op1: Op,
    op2: Op,
    result: Op,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Transform {
    op: Op,
    other_op: Op,
    side: OpSide,
    result: Op,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum OpSide {
    Left,
    Right,
}

#[derive(Deserialize)]
#[serde(from = "Vec<Step>")]
struct Op(TextOp);

/// A component. Lengths have 32 bits, so that no sum of them overflows.
#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "expected a component of an operation: a number, a string or {\"d\": number}"
)]
enum Step {
    Skip(u32),
    Insert(String),
    Delete { d: u32 },
}

impl From<Vec<Step>> for Op {
    fn from(steps: Vec<Step>) -> Op {
        let component = |step| match step {
            Step::Skip(count) => Component::Retain(count as usize),
            Step::Insert(text) => Component::Insert(text),
            Step::Delete { d } => Component::Delete(d as usize),
        };
        Op(steps.into_iter().map(component).collect())
    }
}

pub(super) fn apply(line: &[u8]) -> Result<Vec<Outcome>, String> {
    let Apply { mut str, op: Op(op), result } = parse(line)?;
    let mut length = char_count(&str);
    let found = match op.apply(&mut str, &mut length) {
        Ok(_) => str,
        Err(Malformed(why)) => why.to_owned(),
    };
    Ok(vec![Outcome { name: "", expected: result, found }])
}

pub(super) fn compose(line: &[u8]) -> Result<Vec<Outcome>, String> {
    let Compose { op1: Op(first), op2: Op(second), result: Op(result) } = parse(line)?;
    Ok(vec![same_effect(&result, &first.compose(&second))])
}

pub(super) fn transform(line: &[u8]) -> Result<Vec<Outcome>, String> {
    let Transform { op: Op(op), other_op: Op(other), side, result: Op(result) } = parse(line)?;
    let side = match side {
        OpSide::Left => Side::Left,
        OpSide::Right => Side::Right,
    };
    Ok(vec![same_effect(&result, &op.transform(&other, side))])
}

/// Operations are compared by what they do to texts: in normal form.
fn same_effect(expected: &TextOp, found: &TextOp) -> Outcome {
    Outcome { name: "", expected: to_json(&expected.normal()), found: to_json(&found.normal()) }
}

fn to_json(op: &TextOp) -> String {
    let component = |component: &Component| match component {
        Component::Retain(count) => json!(count),
        Component::Insert(text) => json!(text),
        Component::Delete(count) => json!({ "d": count }),
    };
    Value::Array(op.components().iter().map(component).collect()).to_string()
}
