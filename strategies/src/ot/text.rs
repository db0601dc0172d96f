//! Operations on a text: lists of components that retain, insert and delete, over Unicode scalar values.
//!
//! The three functions of operational transformation (Ellis and Gibbs 1989; components as in Google Wave and ShareDB) are here:
//! [`TextOp::apply`], [`TextOp::compose`] and [`TextOp::transform`]. An operation ends with an implied retain of the rest, so
//! that all three are defined for any two operations; only applying asks how long the text is.

use crate::contract::Malformed;
use crate::document::char_count;

/// One step of an operation, from where the previous one ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Component {
    /// Leaves so many scalar values as they are.
    Retain(usize),
    /// Inserts a string.
    Insert(String),
    /// Deletes so many scalar values.
    Delete(usize),
}

/// An operation on a text: components that are not empty, neighbours of different kinds, no retain at the end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TextOp {
    components: Vec<Component>,
}

/// Whose insertion goes first where two operations insert at the same place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// That of the operation being transformed.
    Left,
    /// That of the other operation.
    Right,
}

impl TextOp {
    /// The operation that changes nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Replaces `delete` scalar values from position `at` by `insert`.
    pub fn splice(at: usize, delete: usize, insert: &str) -> Self {
        [Component::Retain(at), Component::Insert(insert.to_owned()), Component::Delete(delete)]
            .into_iter()
            .collect()
    }

    /// The components.
    pub fn components(&self) -> &[Component] {
        &self.components
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.components.is_empty()
    }

    /// Least length that a text must have for this operation, in scalar values.
    pub fn least_length(&self) -> usize {
        self.components.iter().map(Component::consumed).sum()
    }

    /// Length of a text of `length` scalar values after this operation.
    ///
    /// # Errors
    /// [`Malformed`] where the text is too short for it.
    pub fn length_after(&self, length: usize) -> Result<usize, Malformed> {
        if self.least_length() > length {
            return Err(Malformed("operation reaches beyond the end of the text"));
        }
        Ok(self.components.iter().fold(length, |length, component| match component {
            Component::Retain(_) => length,
            Component::Insert(text) => length + char_count(text),
            Component::Delete(count) => length - count,
        }))
    }

    /// Bytes of text that it inserts.
    pub fn inserted_bytes(&self) -> usize {
        let bytes = |component: &Component| match component {
            Component::Insert(text) => text.len(),
            _ => 0,
        };
        self.components.iter().map(bytes).sum()
    }

    /// Changes a text and its `length` in scalar values. Costs as much as the stretch from the first change to the last is long,
    /// and a move of what follows.
    ///
    /// Returns the bytes visited or moved.
    ///
    /// # Errors
    /// [`Malformed`] where the text is too short; it is unchanged then.
    pub fn apply(&self, text: &mut String, length: &mut usize) -> Result<usize, Malformed> {
        let length_after = self.length_after(*length)?;
        let ascii = *length == text.len();
        let offset = |text: &str, from: usize, count: usize| {
            from + if ascii { count } else { byte_offset(&text[from..], count) }
        };
        let mut changes = self.components.as_slice();
        let mut start = 0;
        if let [Component::Retain(count), rest @ ..] = changes {
            start = offset(text, 0, *count);
            changes = rest;
        }
        let mut end = start;
        let mut replacement = String::new();
        for component in changes {
            match component {
                Component::Retain(count) => {
                    let kept_to = offset(text, end, *count);
                    replacement.push_str(&text[end..kept_to]);
                    end = kept_to;
                }
                Component::Insert(inserted) => replacement.push_str(inserted),
                Component::Delete(count) => end = offset(text, end, *count),
            }
        }
        let moved = text.len() - end;
        text.replace_range(start..end, &replacement);
        *length = length_after;
        Ok(end - start + replacement.len() + moved)
    }

    /// The one operation that does what this one and then `next` do.
    #[must_use]
    pub fn compose(self, next: &TextOp) -> TextOp {
        let mut out = TextOp { components: Vec::with_capacity(self.components.len() + 2) };
        let mut first = Parts { rest: self.components.into_iter(), cut: None };
        for component in &next.components {
            match component {
                Component::Insert(text) => out.insert(text),
                Component::Retain(count) => first.pass(*count, true, &mut out),
                Component::Delete(count) => first.pass(*count, false, &mut out),
            }
        }
        while let Some(component) = first.next() {
            out.push(component);
        }
        out.trim()
    }

    /// This operation as it reads after `other`, where both were made on the same text: `b(a(text)) = a(b(text))` for
    /// `a.transform(b, side)` and `b.transform(a, other side)`.
    #[must_use]
    pub fn transform(self, other: &TextOp, side: Side) -> TextOp {
        let mut out = TextOp { components: Vec::with_capacity(self.components.len() + 2) };
        let mut other = Lengths { rest: other.components.iter(), current: None };
        for component in self.components {
            match component {
                Component::Insert(text) => {
                    if side == Side::Right {
                        other.pass_insertions(&mut out);
                    }
                    out.push(Component::Insert(text));
                }
                Component::Retain(count) => other.pass(count, Component::Retain, &mut out),
                Component::Delete(count) => other.pass(count, Component::Delete, &mut out),
            }
        }
        out.trim()
    }

    /// The same effect in normal form: where insertions and deletions touch, all insertions come first. Two operations have the
    /// same effect on every text exactly where their normal forms are equal.
    ///
    /// For comparisons, and for operations that were not made by anybody: where inside a deleted stretch an insertion stands matters to
    /// [`TextOp::transform`].
    #[must_use]
    pub fn normal(&self) -> TextOp {
        let mut out = TextOp::new();
        let mut deleted = 0;
        for component in &self.components {
            match component {
                Component::Insert(text) => out.insert(text),
                Component::Delete(count) => deleted += count,
                Component::Retain(_) => {
                    out.push(Component::Delete(std::mem::take(&mut deleted)));
                    out.push(component.clone());
                }
            }
        }
        out.push(Component::Delete(deleted));
        out
    }

    fn insert(&mut self, text: &str) {
        match self.components.last_mut() {
            Some(Component::Insert(last)) => last.push_str(text),
            _ => self.push(Component::Insert(text.to_owned())),
        }
    }

    fn push(&mut self, component: Component) {
        match (self.components.last_mut(), component) {
            (_, Component::Retain(0) | Component::Delete(0)) => {}
            (_, Component::Insert(text)) if text.is_empty() => {}
            (Some(Component::Retain(last)), Component::Retain(more))
            | (Some(Component::Delete(last)), Component::Delete(more)) => *last += more,
            (Some(Component::Insert(last)), Component::Insert(more)) => last.push_str(&more),
            (_, component) => self.components.push(component),
        }
    }

    fn trim(mut self) -> Self {
        if let Some(Component::Retain(_)) = self.components.last() {
            self.components.pop();
        }
        self
    }
}

impl FromIterator<Component> for TextOp {
    /// Drops empty components, joins neighbours of the same kind and drops a retain at the end.
    fn from_iter<I: IntoIterator<Item = Component>>(components: I) -> Self {
        let mut op = TextOp::new();
        for component in components {
            op.push(component);
        }
        op.trim()
    }
}

impl Component {
    /// Scalar values of the old text that it speaks of.
    fn consumed(&self) -> usize {
        match self {
            Component::Retain(count) | Component::Delete(count) => *count,
            Component::Insert(_) => 0,
        }
    }
}

/// The components of the first operation of a composition, which the second one cuts up.
struct Parts {
    rest: std::vec::IntoIter<Component>,
    /// What is left of one that was cut.
    cut: Option<Component>,
}

impl Parts {
    fn next(&mut self) -> Option<Component> {
        self.cut.take().or_else(|| self.rest.next())
    }

    /// The second operation retains (`keep`) or deletes `count` scalar values of what the first one leaves.
    fn pass(&mut self, mut count: usize, keep: bool, out: &mut TextOp) {
        let step = if keep { Component::Retain } else { Component::Delete };
        while count > 0 {
            match self.next() {
                None => {
                    out.push(step(count));
                    return;
                }
                Some(Component::Delete(deleted)) => out.push(Component::Delete(deleted)),
                Some(Component::Retain(retained)) => {
                    let both = retained.min(count);
                    out.push(step(both));
                    count -= both;
                    self.cut = (retained > both).then(|| Component::Retain(retained - both));
                }
                Some(Component::Insert(mut text)) => {
                    let cut_at = byte_offset(&text, count);
                    count -= if cut_at == text.len() { char_count(&text) } else { count };
                    if cut_at < text.len() {
                        self.cut = Some(Component::Insert(text.split_off(cut_at)));
                    }
                    if keep {
                        out.push(Component::Insert(text));
                    }
                }
            }
        }
    }
}

/// The components of the operation that another one is transformed over.
struct Lengths<'a> {
    rest: std::slice::Iter<'a, Component>,
    /// What is left of the component that was looked at last; insertions as the length of what they insert.
    current: Option<Length>,
}

#[derive(Clone, Copy)]
enum Length {
    Retain(usize),
    Insert(usize),
    Delete(usize),
}

impl Lengths<'_> {
    fn next(&mut self) -> Option<Length> {
        self.current.take().or_else(|| {
            self.rest.next().map(|component| match component {
                Component::Retain(count) => Length::Retain(*count),
                Component::Insert(text) => Length::Insert(char_count(text)),
                Component::Delete(count) => Length::Delete(*count),
            })
        })
    }

    /// Retains what the other operation inserts just here.
    fn pass_insertions(&mut self, out: &mut TextOp) {
        while let Some(length) = self.next() {
            let Length::Insert(inserted) = length else {
                self.current = Some(length);
                return;
            };
            out.push(Component::Retain(inserted));
        }
    }

    /// Takes `count` scalar values of the common text, as far as the other operation leaves them.
    fn pass(&mut self, mut count: usize, step: fn(usize) -> Component, out: &mut TextOp) {
        while count > 0 {
            match self.next() {
                None => {
                    out.push(step(count));
                    return;
                }
                Some(Length::Insert(inserted)) => out.push(Component::Retain(inserted)),
                Some(Length::Retain(retained)) => {
                    let both = retained.min(count);
                    out.push(step(both));
                    count -= both;
                    self.current = (retained > both).then(|| Length::Retain(retained - both));
                }
                Some(Length::Delete(deleted)) => {
                    let both = deleted.min(count);
                    count -= both;
                    self.current = (deleted > both).then(|| Length::Delete(deleted - both));
                }
            }
        }
    }
}

/// Byte offset of the `at`-th scalar value, or the end. Counts whole chunks at a time: a scalar value begins at every byte that
/// does not continue one.
fn byte_offset(text: &str, at: usize) -> usize {
    const CHUNK: usize = 64;
    let begins = |byte: &u8| byte & 0xc0 != 0x80;
    let mut left = at;
    let mut offset = 0;
    for chunk in text.as_bytes().chunks_exact(CHUNK) {
        let count = chunk.iter().filter(|byte| begins(byte)).count();
        if count > left {
            break;
        }
        left -= count;
        offset += CHUNK;
    }
    let mut begun = text.as_bytes()[offset..].iter().enumerate().filter(|(_, byte)| begins(byte));
    begun.nth(left).map_or(text.len(), |(further, _)| offset + further)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    const LETTERS: [char; 6] = ['a', 'b', 'é', '語', '😀', '𝄞'];

    fn random_string(rng: &mut ChaCha8Rng, most: usize) -> String {
        (0..rng.random_range(0..=most)).map(|_| LETTERS[rng.random_range(0..6)]).collect()
    }

    fn random_op(rng: &mut ChaCha8Rng, mut length: usize) -> TextOp {
        let mut components = Vec::new();
        for _ in 0..rng.random_range(0..8) {
            let count = rng.random_range(0..=length.min(4));
            components.push(match rng.random_range(0..3) {
                0 => Component::Insert(random_string(rng, 3)),
                kind => {
                    length -= count;
                    if kind == 1 { Component::Retain(count) } else { Component::Delete(count) }
                }
            });
        }
        components.into_iter().collect()
    }

    /// What an operation does, as plainly as can be.
    fn plain(op: &TextOp, text: &str) -> String {
        let mut rest = text.chars();
        let mut out = String::new();
        for component in op.components() {
            match component {
                Component::Retain(count) => out.extend(rest.by_ref().take(*count)),
                Component::Insert(text) => out.push_str(text),
                Component::Delete(count) => {
                    assert_eq!(rest.by_ref().take(*count).count(), *count, "within the text");
                }
            }
        }
        out.extend(rest);
        out
    }

    fn applied(op: &TextOp, text: &str) -> String {
        let (mut text, mut length) = (text.to_owned(), char_count(text));
        op.apply(&mut text, &mut length).expect("within the text");
        assert_eq!(length, char_count(&text));
        text
    }

    fn is_canonical(op: &TextOp) -> bool {
        let again: TextOp = op.components.iter().cloned().collect();
        again == *op
    }

    #[test]
    fn apply_does_what_the_components_say() {
        for seed in 0..2000 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let text = random_string(&mut rng, 200);
            let op = random_op(&mut rng, char_count(&text));
            assert_eq!(applied(&op, &text), plain(&op, &text), "seed {seed}");
            assert_eq!(applied(&op.normal(), &text), plain(&op, &text), "seed {seed}");
        }
    }

    #[test]
    fn a_composition_does_what_both_do() {
        for seed in 0..4000 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let text = random_string(&mut rng, 12);
            let first = random_op(&mut rng, char_count(&text));
            let between = plain(&first, &text);
            let second = random_op(&mut rng, char_count(&between));
            let both = first.clone().compose(&second);
            assert!(is_canonical(&both), "seed {seed}: {both:?}");
            assert_eq!(
                plain(&both, &text),
                plain(&second, &between),
                "seed {seed}: {first:?} then {second:?} gives {both:?}"
            );
        }
    }

    #[test]
    fn both_ways_round_the_diamond_end_in_one_text() {
        for seed in 0..4000 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let text = random_string(&mut rng, 12);
            let length = char_count(&text);
            let (a, b) = (random_op(&mut rng, length), random_op(&mut rng, length));
            let a_after_b = a.clone().transform(&b, Side::Left);
            let b_after_a = b.clone().transform(&a, Side::Right);
            assert!(is_canonical(&a_after_b) && is_canonical(&b_after_a), "seed {seed}");
            assert_eq!(
                plain(&a_after_b, &plain(&b, &text)),
                plain(&b_after_a, &plain(&a, &text)),
                "seed {seed}: {a:?} and {b:?} on {text:?}"
            );
        }
    }

    #[test]
    fn the_left_side_goes_first_and_nothing_is_deleted_twice() {
        let (a, b) = (TextOp::splice(1, 2, "A"), TextOp::splice(1, 1, "B"));
        let after = |op: &TextOp, other: &TextOp, side| {
            applied(&op.clone().transform(other, side), &applied(other, "wxyz"))
        };
        assert_eq!(after(&a, &b, Side::Left), "wABz");
        assert_eq!(after(&a, &b, Side::Right), "wBAz");
    }

    #[test]
    fn a_text_that_is_too_short_is_left_alone() {
        let (mut text, mut length) = (String::from("añ😀"), 3);
        for op in [
            TextOp::splice(4, 0, "x"),
            TextOp::splice(2, 2, ""),
            TextOp::splice(1 << 40, 1 << 40, "x"),
        ] {
            assert!(op.apply(&mut text, &mut length).is_err(), "{op:?}");
            assert_eq!((text.as_str(), length), ("añ😀", 3));
        }
    }

    #[test]
    fn offsets_are_found_in_long_texts() {
        for seed in 0..50 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let text = random_string(&mut rng, 400);
            for at in 0..=char_count(&text) + 1 {
                let expected = text.char_indices().nth(at).map_or(text.len(), |(n, _)| n);
                assert_eq!(byte_offset(&text, at), expected, "seed {seed}, at {at}");
            }
        }
    }
}
