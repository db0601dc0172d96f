//! What two contents become that were made of one.
//!
//! - A **counter** gets both differences.
//! - A **set** gets what either side inserted and loses what either side removed.
//! - A **text** is compared word by word (Myers, "An O(ND) difference algorithm and its variations", 1986). Every word that either
//!   side deleted is gone, and every word that either side inserted is there, at its place; where both inserted at the same place,
//!   the left side's words come first. That is what `git merge-file --union` does, but by words, and it needs no markers: nothing is lost.
//! - A **register** cannot be merged: a side that changed nothing yields. Where both did, somebody has to choose; see `history`.

use crate::document::{Content, EditId, FieldKind};
use crate::lineage::Lineage;
use similar::{Algorithm, DiffOp, capture_diff_slices};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Comparing texts takes time that grows with how much they differ. If that may be more than this many steps, what lies between the first and
/// the last difference counts as one difference.
const MOST_STEPS: usize = 1 << 24;

/// What a cell holds at some point of its history, and the edits it stands on (of registers and counters).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    pub content: Arc<Content>,
    pub stands_on: Lineage,
}

/// Merges two states with a common ancestor. Returns it with the number of elements compared.
pub fn merge(base: &State, left: &State, right: &State) -> (State, u64) {
    let (content, work) = match (&base.content, &left.content, &right.content) {
        (base, left, right) if right == base && left.kind() != FieldKind::Counter => {
            (left.clone(), 1)
        }
        (base, left, right) => {
            let (content, work) = merge_contents(base, left, right);
            (Arc::new(content), work)
        }
    };
    let stands_on = merge_lineages(&base.stands_on, &left.stands_on, &right.stands_on);
    (State { content, stands_on }, work)
}

/// Merges two contents with a common ancestor, all of one kind. Returns it with the number of elements compared.
pub fn merge_contents(base: &Content, left: &Content, right: &Content) -> (Content, u64) {
    match (base, left, right) {
        // Two who added the same have added twice.
        (Content::Counter(base), Content::Counter(left), Content::Counter(right)) => {
            (Content::Counter(left.wrapping_add(*right).wrapping_sub(*base)), 1)
        }
        (_, left, right) if left == base => (right.clone(), 1),
        (_, left, right) if right == base || left == right => (left.clone(), 1),
        (Content::Set(base), Content::Set(left), Content::Set(right)) => {
            let merged = left.union(right).filter(|element| {
                !base.contains(*element) || left.contains(*element) && right.contains(*element)
            });
            (Content::Set(merged.cloned().collect()), (left.len() + right.len()) as u64)
        }
        (Content::Text(base), Content::Text(left), Content::Text(right)) => {
            let (text, work) = merge_texts(base, left, right);
            (Content::Text(text), work)
        }
        // A register that both sides changed.
        (_, left, _) => (left.clone(), 1),
    }
}

fn merge_lineages(base: &Lineage, left: &Lineage, right: &Lineage) -> Lineage {
    let mut merged = Lineage::new();
    let gone = |edit: EditId| base.contains(edit) && !(left.contains(edit) && right.contains(edit));
    left.iter().chain(right.iter()).filter(|edit| !gone(*edit)).for_each(|edit| {
        merged.insert(edit);
    });
    merged
}

/// Words and the space after each. What stands before the first word is the space after an empty one.
struct Tokens<'t> {
    words: Vec<&'t str>,
    spaces: Vec<&'t str>,
}

impl<'t> Tokens<'t> {
    fn of(text: &'t str) -> Self {
        let (mut words, mut spaces) = (Vec::new(), Vec::new());
        let mut rest = text;
        while !rest.is_empty() {
            let word_end = rest.find(char::is_whitespace).unwrap_or(rest.len());
            let (word, after) = rest.split_at(word_end);
            let space_end = after.find(|c: char| !c.is_whitespace()).unwrap_or(after.len());
            let (space, more) = after.split_at(space_end);
            words.push(word);
            spaces.push(space);
            rest = more;
        }
        Tokens { words, spaces }
    }
}

/// Where one text differs from the text it was made of.
struct Changes {
    /// For each word of the base, its place in the new text, unless it is gone.
    kept: Vec<Option<usize>>,
    /// By the place in the base before which they stand: places of words that came.
    inserted: BTreeMap<usize, Vec<usize>>,
}

fn merge_texts(base: &str, left: &str, right: &str) -> (String, u64) {
    let (base, left, right) = (Tokens::of(base), Tokens::of(left), Tokens::of(right));
    let work = (2 * base.words.len() + left.words.len() + right.words.len()) as u64;
    let (ours, theirs) = (changes(&base.words, &left.words), changes(&base.words, &right.words));
    let mut text = String::new();
    for place in 0..=base.words.len() {
        let nothing = Vec::new();
        let words = |tokens: &Tokens<'_>, places: &[usize]| -> Vec<String> {
            places.iter().map(|at| tokens.words[*at].to_owned()).collect()
        };
        let our_new = ours.inserted.get(&place).unwrap_or(&nothing);
        let their_new = theirs.inserted.get(&place).unwrap_or(&nothing);
        our_new.iter().for_each(|at| push(&mut text, left.words[*at], left.spaces[*at]));
        // What both inserted alike is one insertion.
        if words(&left, our_new) != words(&right, their_new) {
            their_new.iter().for_each(|at| push(&mut text, right.words[*at], right.spaces[*at]));
        }
        if place < base.words.len()
            && let (Some(ours), Some(theirs)) = (ours.kept[place], theirs.kept[place])
        {
            let changed = left.spaces[ours] != base.spaces[place];
            let space = if changed { left.spaces[ours] } else { right.spaces[theirs] };
            push(&mut text, base.words[place], space);
        }
    }
    (text, work)
}

/// Appends a word and the space after it. Words do not run into one.
fn push(text: &mut String, word: &str, space: &str) {
    let ends = text.chars().next_back().is_some_and(|last| !last.is_whitespace());
    if ends && !word.is_empty() {
        text.push(' ');
    }
    text.push_str(word);
    text.push_str(space);
}

fn changes(base: &[&str], new: &[&str]) -> Changes {
    let start = base.iter().zip(new).take_while(|(a, b)| a == b).count();
    let (old_rest, new_rest) = (&base[start..], &new[start..]);
    let same = old_rest.iter().rev().zip(new_rest.iter().rev()).take_while(|(a, b)| a == b).count();
    let old_rest = &old_rest[..old_rest.len() - same];
    let new_rest = &new_rest[..new_rest.len() - same];
    let mut changes = Changes { kept: vec![None; base.len()], inserted: BTreeMap::new() };
    let mut keep = |old: usize, new: usize, count: usize| {
        (0..count).for_each(|n| changes.kept[old + n] = Some(new + n));
    };
    keep(0, 0, start);
    keep(base.len() - same, new.len() - same, same);
    let mut insert = |old: usize, new: usize, count: usize| {
        changes.inserted.entry(old).or_default().extend(new..new + count);
    };
    let size = old_rest.len().saturating_add(new_rest.len());
    if size.saturating_pow(2) > MOST_STEPS {
        insert(start, start, new_rest.len());
        return changes;
    }
    for op in capture_diff_slices(Algorithm::Myers, old_rest, new_rest) {
        match op {
            DiffOp::Equal { old_index, new_index, len } => {
                keep(start + old_index, start + new_index, len);
            }
            DiffOp::Delete { .. } => {}
            DiffOp::Insert { old_index, new_index, new_len }
            | DiffOp::Replace { old_index, new_index, new_len, .. } => {
                insert(start + old_index, start + new_index, new_len);
            }
        }
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Value;
    use rand::seq::IndexedRandom;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    fn text(text: &str) -> Content {
        Content::Text(text.into())
    }

    fn set(elements: &[&str]) -> Content {
        Content::Set(elements.iter().map(|element| Value::from(*element)).collect())
    }

    #[test]
    fn both_sides_changes_are_in_the_merge() {
        let register = |value: &str| Content::Register(Some(value.into()));
        let table = [
            (text("a b c"), text("a x b c"), text("a b y c"), text("a x b y c")),
            (text("a b c"), text("a c"), text("a b c d"), text("a c d")),
            (text("a b"), text("a b x"), text("a b y"), text("a b x y")),
            (text("a b"), text("x a b"), text("y a b"), text("x y a b")),
            (text("a b"), text("a b x"), text("a b x"), text("a b x")),
            (text("a b c"), text("c"), text("a b x c"), text("x c")),
            (text(""), text("x"), text("y"), text("x y")),
            (Content::Counter(1), Content::Counter(5), Content::Counter(5), Content::Counter(9)),
            (Content::Counter(1), Content::Counter(1), Content::Counter(5), Content::Counter(5)),
            (text("a b c"), text("a x c"), text("a y c"), text("a x y c")),
            (text("a b"), text(""), text("a b c"), text("c")),
            (set(&["a", "b"]), set(&["a", "b", "c"]), set(&["b"]), set(&["b", "c"])),
            (set(&["a"]), set(&[]), set(&["a", "b"]), set(&["b"])),
            (set(&[]), set(&["x"]), set(&["x"]), set(&["x"])),
            (Content::Counter(5), Content::Counter(7), Content::Counter(2), Content::Counter(4)),
            (register("a"), register("a"), register("b"), register("b")),
            (register("a"), register("b"), register("a"), register("b")),
        ];
        for (base, left, right, expected) in table {
            assert_eq!(merge_contents(&base, &left, &right).0, expected, "{base:?}");
        }
    }

    #[test]
    fn no_inserted_word_is_lost_or_doubled_and_no_deleted_one_remains() {
        for seed in 0..2000 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let base: Vec<String> = (0..rng.random_range(0..12)).map(|n| format!("b{n}")).collect();
            let mut side = |name: &str| {
                let mut words: Vec<String> =
                    base.iter().filter(|_| rng.random_bool(0.8)).cloned().collect();
                for n in 0..rng.random_range(0..4) {
                    let at = rng.random_range(0..=words.len());
                    words.insert(at, format!("{name}{n}"));
                }
                words
            };
            let (left, right) = (side("l"), side("r"));
            let [base_text, left_text, right_text] =
                [&base, &left, &right].map(|words| text(&words.join(" ")));
            let (merged, _) = merge_contents(&base_text, &left_text, &right_text);
            let Content::Text(merged) = merged else { panic!("a text") };
            let mut shown: Vec<&str> = merged.split_whitespace().collect();
            shown.sort_unstable();
            let all = left.iter().chain(&right);
            let mut expected: Vec<&str> = all
                .filter(|word| !base.contains(word) || left.contains(word) && right.contains(word))
                .map(String::as_str)
                .collect();
            expected.sort_unstable();
            expected.dedup();
            assert_eq!(shown, expected, "seed {seed}: {base:?} {left:?} {right:?}");
        }
    }

    #[test]
    fn texts_that_differ_beyond_measure_are_merged_as_one_difference() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let words = ["a", "b", "c", "d"];
        let mut long = |n: usize| {
            let words: Vec<&str> =
                (0..n).map(|_| *words.choose(&mut rng).expect("words")).collect();
            words.join(" ")
        };
        let (base, left) = (long(4000), long(4000));
        const { assert!(8000 * 8000 > MOST_STEPS) };
        let right = format!("{base} end");
        let (merged, _) = merge_contents(&text(&base), &text(&left), &text(&right));
        let Content::Text(merged) = merged else { panic!("a text") };
        assert!(merged.ends_with(" end"));
    }

    #[test]
    fn edits_that_a_counter_stands_on_are_merged_like_a_set() {
        let lineage = |ids: &[u64]| {
            let mut lineage = Lineage::new();
            for id in ids {
                lineage.insert(EditId { origin: crate::document::ReplicaId(1), sequence: *id });
            }
            lineage
        };
        let merged = merge_lineages(&lineage(&[1, 2]), &lineage(&[1, 2, 3]), &lineage(&[2, 4]));
        assert_eq!(merged, lineage(&[2, 3, 4]));
    }
}
