//! Histories as plain data, run through the graph and the merging of this strategy: for test vectors that others computed.

use super::graph::{Graph, Time};
use super::ops::{Kind, Run};
use super::text::Text;
use crate::contract::Malformed;
use crate::crdt::causal::{Agent, Dot};
use crate::document::{ReplicaId, char_count};
use std::collections::BTreeMap;
use std::ops::Range;

pub use super::graph::Side;

/// Edits that follow one another, by local times, and the version that the first one was made in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// Times of the edits; the first span starts at 0, every other where the one before ends.
    pub times: Range<usize>,
    /// The heads of the version, ascending; all earlier than the edits.
    pub parents: Vec<usize>,
}

/// Times of edits, range by range.
pub type Ranges = Vec<Range<usize>>;

/// What lies between two versions, ascending, and what both contain before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// Edits that do not belong to `common`, and which version they are in.
    pub spans: Vec<(Range<usize>, Side)>,
    /// The heads of the common version.
    pub common: Vec<usize>,
}

/// Whether a version contains an edit; `None` stands for the beginning, which every version contains.
///
/// # Errors
/// [`Malformed`] where the spans or versions make no sense.
pub fn version_contains(
    spans: &[Span],
    version: &[usize],
    target: Option<usize>,
) -> Result<bool, Malformed> {
    let graph = graph(spans)?;
    let version = checked(&graph, version)?;
    let Some(target) = target else { return Ok(true) };
    checked(&graph, &[target])?;
    Ok(graph.contains(&version, target))
}

/// The edits that only the first of two versions contains, and those that only the second one does, each latest first.
///
/// # Errors
/// [`Malformed`] where the spans or versions make no sense.
pub fn diff(spans: &[Span], a: &[usize], b: &[usize]) -> Result<(Ranges, Ranges), Malformed> {
    let graph = graph(spans)?;
    let (only_a, only_b, _) = graph.diff(&checked(&graph, a)?, &checked(&graph, b)?);
    Ok((only_a, only_b))
}

/// What lies between two versions.
///
/// # Errors
/// [`Malformed`] where the spans or versions make no sense.
pub fn conflicting(spans: &[Span], a: &[usize], b: &[usize]) -> Result<Conflict, Malformed> {
    let graph = graph(spans)?;
    let found = graph.conflict(&checked(&graph, a)?, &checked(&graph, b)?);
    Ok(Conflict { spans: found.spans, common: found.common })
}

/// Edits of one list by one agent, as a trace writes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// Times, one for each character inserted or deleted, and the version that the first edit was made in.
    pub span: Span,
    /// The agent's name. An agent may fork from itself.
    pub agent: String,
    /// Number of the first edit among the agent's.
    pub first: u64,
    /// Position, characters deleted there, and text inserted there, each in the version that the one before has left.
    pub splices: Vec<(usize, usize, String)>,
}

/// The text after all of these edits; concurrent insertions at one place are ordered by the agents' names.
///
/// # Errors
/// [`Malformed`] where the history makes no sense.
pub fn final_text(history: &[Transaction]) -> Result<String, Malformed> {
    let names: BTreeMap<&str, u32> = history.iter().map(|txn| (txn.agent.as_str(), 0)).collect();
    let numbers: BTreeMap<&str, u32> = names.into_keys().zip(0..).collect();
    check_names(history)?;
    let mut text = Text::default();
    for txn in history {
        let (start, end) = (txn.span.times.start, txn.span.times.end);
        let parents = parents_of(&txn.span, text.graph())?;
        let agent = Agent::new(ReplicaId(numbers[txn.agent.as_str()]), 0);
        let mut first = Dot { agent, counter: txn.first + 1 };
        let (mut next, mut version) = (start, parents);
        for (at, delete, insert) in &txn.splices {
            let count = delete + char_count(insert);
            if count == 0 || next + count > end {
                return Err(Malformed("the edits are not as many as the times"));
            }
            if *delete > 0 {
                text.learn(first, &version, Kind::Delete, *at, *delete, "");
                version = vec![next + delete - 1];
            }
            if !insert.is_empty() {
                let inserted = first.plus(*delete as u64);
                text.learn(inserted, &version, Kind::Insert, *at, count - delete, insert);
            }
            (first, next) = (first.plus(count as u64), next + count);
            version = vec![next - 1];
        }
        if next != end {
            return Err(Malformed("the edits are not as many as the times"));
        }
    }
    text.merge(0, Vec::new());
    // How long the text was where somebody edited it is known only now.
    if !text.ops().runs().iter().all(is_within) {
        return Err(Malformed("an edit is beyond the end of the text"));
    }
    Ok(text.content())
}

/// Whether a run of edits that was applied stays within the text that it was made on.
fn is_within(run: &Run) -> bool {
    match run.kind {
        Kind::Insert => run.pos <= run.before,
        Kind::Delete => run.pos + run.len <= run.before,
        Kind::Backspace => run.pos < run.before && run.len <= run.pos + 1,
    }
}

/// No two edits of an agent have the same number.
fn check_names(history: &[Transaction]) -> Result<(), Malformed> {
    let names = history.iter().map(|txn| {
        let last = txn.first.saturating_add(txn.span.times.len() as u64);
        (txn.agent.as_str(), txn.first, last)
    });
    let mut names: Vec<(&str, u64, u64)> = names.collect();
    names.sort_unstable();
    let overlap = |pair: &[(&str, u64, u64)]| pair[0].0 == pair[1].0 && pair[1].1 < pair[0].2;
    if names.windows(2).any(overlap) {
        return Err(Malformed("two edits of an agent have the same number"));
    }
    Ok(())
}

fn graph(spans: &[Span]) -> Result<Graph, Malformed> {
    let mut graph = Graph::default();
    for span in spans {
        graph.push(&parents_of(span, &graph)?, span.times.len());
    }
    Ok(graph)
}

/// The parents of the span that comes next.
fn parents_of(span: &Span, graph: &Graph) -> Result<Vec<Time>, Malformed> {
    if span.times.start != graph.end() || span.times.is_empty() {
        return Err(Malformed("spans do not follow one another"));
    }
    checked(graph, &span.parents)
}

fn checked(graph: &Graph, version: &[usize]) -> Result<Vec<Time>, Malformed> {
    let mut version = version.to_vec();
    version.sort_unstable();
    if version.last().is_some_and(|last| *last >= graph.end()) {
        return Err(Malformed("a version names an edit that does not exist before"));
    }
    // They ascend, so only later ones can contain earlier ones.
    if (1..version.len()).any(|next| graph.contains(&version[next..], version[next - 1])) {
        return Err(Malformed("a version names an edit that another one of it contains"));
    }
    Ok(version)
}
