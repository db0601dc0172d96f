//! The difference between two texts as an operation: what a client that was away needs where the operations that led from the one to
//! the other are not kept any more.
//!
//! Texts are compared by words (with a space behind them, and single other characters within, as in 3.14 or well-known) and other characters:
//! letters that two different words happen to share do not make one of the other. Only what has more than half of its characters in
//! common, at its beginning and end, is compared by characters. Common beginnings and ends are set aside; between them is the shortest script of insertions and deletions,
//! found from both ends at once in linear space (E. Myers, "An O(ND) difference algorithm and its variations", Algorithmica 1, 1986,
//! section 4b). Stretches that differ in more than twice [`MOST_CHANGES`] words are replaced as a whole.

use super::text::{Component, TextOp};
use crate::document::{byte_offset, char_count};

/// Most insertions and deletions that are searched for in one stretch from each end: it bounds the time by their square.
const MOST_CHANGES: usize = 1024;

/// The operation that makes `after` of `before`, and the work in units to find it.
pub fn difference(before: &str, after: &str) -> (TextOp, u64) {
    let mut work = (before.len() + after.len()) as u64 / 16 + 1;
    let by_words = compare(&words(before), &words(after), &mut work);
    let mut closely = Vec::new();
    let mut rest = before;
    let mut components = by_words.components().iter().peekable();
    while let Some(component) = components.next() {
        match component {
            Component::Retain(count) | Component::Delete(count) => {
                rest = &rest[byte_offset(rest, *count)..];
                closely.push(component.clone());
            }
            Component::Insert(new) => {
                let Some(Component::Delete(count)) = components.peek() else {
                    closely.push(component.clone());
                    continue;
                };
                components.next();
                let (old, after) = rest.split_at(byte_offset(rest, *count));
                rest = after;
                match close(old, new, &mut work) {
                    // The end of what was looked at is not the end of the text.
                    Some(op) => {
                        let end = char_count(old) - op.least_length();
                        closely.extend(op.components().iter().cloned());
                        closely.push(Component::Retain(end));
                    }
                    None => closely.extend([component.clone(), Component::Delete(*count)]),
                }
            }
        }
    }
    (closely.into_iter().collect(), work)
}

/// The difference by characters, where the two begin and end with the same, and that is more than half of the longer one.
fn close(before: &str, after: &str, work: &mut u64) -> Option<TextOp> {
    let longest = char_count(before).max(char_count(after));
    let most = char_count(before).min(char_count(after));
    let front = before.chars().zip(after.chars()).take_while(|(a, b)| a == b).count();
    let ends = before.chars().rev().zip(after.chars().rev()).take(most - front);
    let back = ends.take_while(|(a, b)| a == b).count();
    *work += longest as u64;
    if 2 * (front + back) <= longest {
        return None;
    }
    let characters = |text| str::split(text, "").filter(|c| !c.is_empty()).collect::<Vec<_>>();
    let op = compare(&characters(before), &characters(after), work);
    Some(op)
}

/// Insertions come before deletions: what somebody else inserts behind a stretch that was replaced stays behind it.
fn compare(before: &[&str], after: &[&str], work: &mut u64) -> TextOp {
    let mut search = Search { out: Vec::new(), work: 0 };
    search.stretch(before, after);
    *work += search.work;
    search.out.into_iter().collect::<TextOp>().normal()
}

/// A text cut into words, each with a space behind it if there is one, and single characters that belong to no word.
fn words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let mut end = end_of_word(rest);
        if end == 0 {
            end = first.len_utf8();
        } else if rest[end..].starts_with(' ') {
            end += 1;
        }
        let (word, after) = rest.split_at(end);
        words.push(word);
        rest = after;
    }
    words
}

/// Where the word ends that a text begins with: letters and digits, and single other characters between two of these.
fn end_of_word(text: &str) -> usize {
    let mut end = 0;
    let mut characters = text.char_indices().peekable();
    while let Some((at, c)) = characters.next() {
        let goes_on = characters.peek().is_some_and(|(_, next)| next.is_alphanumeric());
        if c.is_alphanumeric() {
            end = at + c.len_utf8();
        } else if end == 0 || end < at || c.is_whitespace() || !goes_on {
            break;
        }
    }
    end
}

struct Search {
    out: Vec<Component>,
    work: u64,
}

impl Search {
    fn stretch(&mut self, before: &[&str], after: &[&str]) {
        let length = |words: &[&str]| words.iter().map(|word| char_count(word)).sum();
        let start = before.iter().zip(after).take_while(|(a, b)| a == b).count();
        self.out.push(Component::Retain(length(&before[..start])));
        let (before, after) = (&before[start..], &after[start..]);
        let end = before.iter().rev().zip(after.iter().rev()).take_while(|(a, b)| a == b).count();
        let kept = length(&before[before.len() - end..]);
        let (before, after) = (&before[..before.len() - end], &after[..after.len() - end]);
        self.work += 1 + (start + end) as u64;
        let differ = !before.is_empty() && !after.is_empty();
        if let Some((x, y)) = differ.then(|| self.meeting(before, after)).flatten() {
            self.stretch(&before[..x], &after[..y]);
            self.stretch(&before[x..], &after[y..]);
        } else {
            self.out.push(Component::Insert(after.concat()));
            self.out.push(Component::Delete(length(before)));
        }
        self.out.push(Component::Retain(kept));
    }

    /// A point on a shortest path, not at either end, where the searches from both ends meet; `None` where it takes too many changes.
    /// The two texts differ at their beginnings and at their ends.
    fn meeting(&mut self, before: &[&str], after: &[&str]) -> Option<(usize, usize)> {
        let (n, m) = (before.len() as isize, after.len() as isize);
        let delta = n - m;
        let most = (before.len() + after.len()).div_ceil(2).min(MOST_CHANGES) as isize;
        // How far each diagonal k = x - y was followed: from the beginning, and (counted from there) from the end.
        let mut ahead = vec![0_isize; 2 * most as usize + 3];
        let mut back = ahead.clone();
        let slot = |k: isize| (k + most + 1) as usize;
        for changes in 0..=most {
            for k in (-changes..=changes).step_by(2) {
                let mut x = Self::furthest(&ahead, slot(k), k, changes);
                let begin = x;
                while x < n
                    && x - k < m
                    && x - k >= 0
                    && before[x as usize] == after[(x - k) as usize]
                {
                    x += 1;
                }
                self.work += 1 + (x - begin) as u64;
                ahead[slot(k)] = x;
                let met = delta - k;
                if delta % 2 != 0 && met.abs() < changes && x + back[slot(met)] >= n {
                    return Self::inside(begin, begin - k, n, m);
                }
            }
            for k in (-changes..=changes).step_by(2) {
                let mut x = Self::furthest(&back, slot(k), k, changes);
                let begin = x;
                while x < n
                    && x - k < m
                    && x - k >= 0
                    && before[(n - 1 - x) as usize] == after[(m - 1 - (x - k)) as usize]
                {
                    x += 1;
                }
                self.work += 1 + (x - begin) as u64;
                back[slot(k)] = x;
                let met = delta - k;
                if delta % 2 == 0 && met.abs() <= changes && x + ahead[slot(met)] >= n {
                    return Self::inside(n - begin, m - (begin - k), n, m);
                }
            }
        }
        None
    }

    /// Where diagonal `k` begins after one more change.
    fn furthest(reached: &[isize], slot: usize, k: isize, changes: isize) -> isize {
        if changes == 0 {
            0
        } else if k == -changes || k != changes && reached[slot - 1] < reached[slot + 1] {
            reached[slot + 1]
        } else {
            reached[slot - 1] + 1
        }
    }

    fn inside(x: isize, y: isize, n: isize, m: isize) -> Option<(usize, usize)> {
        let within = 0 <= x && x <= n && 0 <= y && y <= m;
        let proper = (x, y) != (0, 0) && (x, y) != (n, m);
        (within && proper).then_some((x as usize, y as usize))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::char_count;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    fn random_text(rng: &mut ChaCha8Rng, most: usize, letters: u32) -> String {
        let letter = |n| char::from_u32(0x1f600 + n).expect("a scalar value");
        (0..rng.random_range(0..=most)).map(|_| letter(rng.random_range(0..letters))).collect()
    }

    fn check(before: &str, after: &str, words: &str) -> usize {
        let (op, _) = difference(before, after);
        let (mut text, mut length) = (before.to_owned(), char_count(before));
        op.apply(&mut text, &mut length).expect("made for it");
        assert_eq!(text, after, "{words}: {op:?}");
        op.components()
            .iter()
            .map(|component| match component {
                Component::Retain(_) => 0,
                Component::Insert(text) => char_count(text),
                Component::Delete(count) => *count,
            })
            .sum()
    }

    /// Insertions and deletions that are needed, by the longest common subsequence.
    fn least_changes(before: &str, after: &str) -> usize {
        let (before, after): (Vec<_>, Vec<_>) = (before.chars().collect(), after.chars().collect());
        let mut row = vec![0; after.len() + 1];
        for a in &before {
            let mut diagonal = 0;
            for (n, b) in after.iter().enumerate() {
                let longest = if a == b { diagonal + 1 } else { row[n].max(row[n + 1]) };
                diagonal = std::mem::replace(&mut row[n + 1], longest);
            }
        }
        before.len() + after.len() - 2 * row[after.len()]
    }

    #[test]
    fn it_makes_the_one_text_of_the_other_with_fewest_changes() {
        for seed in 0..6000 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let letters = [2, 4, 30][seed as usize % 3];
            let before = random_text(&mut rng, 24, letters);
            let after = random_text(&mut rng, 24, letters);
            let changes = check(&before, &after, &format!("seed {seed}"));
            assert_eq!(changes, least_changes(&before, &after), "seed {seed}");
        }
    }

    #[test]
    fn words_are_kept_or_not_as_a_whole() {
        assert_eq!(words("añ 1  b,c\n "), ["añ ", "1 ", " ", "b,c", "\n", " "]);
        let (op, _) = difference("what was seen here", "what is new here");
        let expected = [
            Component::Retain(5),
            Component::Insert(String::from("is new ")),
            Component::Delete(9),
        ];
        assert_eq!(op, expected.into_iter().collect());
        let (op, _) = difference("a long word", "a longer word");
        assert_eq!(op, TextOp::splice(6, 0, "er"));
        // What words have in common here and there makes none of another.
        let (op, _) = difference("one 1a.0-xyz two", "one 1b.0-xqz two");
        let expected = [
            Component::Retain(4),
            Component::Insert(String::from("1b.0-xqz ")),
            Component::Delete(9),
        ];
        assert_eq!(op, expected.into_iter().collect());
    }

    #[test]
    fn texts_that_have_little_in_common_are_replaced() {
        for seed in 0..4 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let before = random_text(&mut rng, 6000, 40);
            let after = random_text(&mut rng, 6000, 40);
            check(&before, &after, &format!("seed {seed}"));
            let (_, work) = difference(&before, &after);
            assert!(work < 6_000_000, "seed {seed}: {work} units");
        }
    }
}
