//! Operations on cells, and how two of them that were made apart are reconciled.
//!
//! Of two concurrent operations one is earlier in the server's order. [`CellOp::over_earlier`] makes the later one fit after the
//! earlier one; [`CellOp::under_later`] makes the earlier one fit where the later one is already displayed. Both ways round give
//! the same content (property TP1 of Ressel et al. 1996), which is all that a server that orders everything needs.
//!
//! | kind | two concurrent operations |
//! |---|---|
//! | register | the later write wins; a write wins over a concurrent clear, whatever their order |
//! | counter | additions add up; a wipe takes away what its author saw, and two wipes take nothing twice |
//! | set | each element for itself: the later insertion or removal wins |
//! | text | as in [`super::text`]; where both insert at the same place, the later insertion goes first |
//!
//! The later insertion goes first because somebody who types on does so behind his own earlier text: what came in between is
//! then never in the middle of it.

use super::text::{Side, TextOp};
use crate::document::{Cell, FieldKind, Value};
use std::collections::BTreeMap;

/// The operations of a batch or revision, by cell. Operations that lost everything stay, as ones that do nothing.
pub type Ops = BTreeMap<Cell, CellOp>;

/// An operation on one cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CellOp {
    /// On a register.
    Register(RegisterOp),
    /// On a counter.
    Counter(CounterOp),
    /// On a set: what becomes of elements.
    Set(BTreeMap<Value, ElementOp>),
    /// On a text.
    Text(TextOp),
}

/// An operation on a register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegisterOp {
    /// Lost against another one.
    Nothing,
    /// Empties the register.
    Clear,
    /// Writes a value.
    Put(Value),
}

/// An operation on an element of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ElementOp {
    /// Lost against another one.
    Nothing,
    /// Puts it in.
    Insert,
    /// Takes it out.
    Remove,
}

/// An operation on a counter: perhaps a wipe, then an addition.
///
/// A wipe takes away everything but the additions that it is concurrent to, which it lists. Two concurrent wipes leave what both
/// leave, so that nothing is taken away twice, and no amount that was taken needs to be known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CounterOp {
    /// What a wipe leaves, in order of revisions; `None` where there is no wipe.
    pub left: Option<Vec<Addition>>,
    /// What is added after that.
    pub add: i64,
}

/// What revisions added to a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addition {
    /// The revision, or several whose sum alone is known.
    pub revisions: Span,
    /// The sum of what they added, not zero.
    pub amount: i64,
}

/// Revisions in a row: those after `since`, up to `last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The one before the first.
    pub since: u64,
    /// The last one; greater than `since`.
    pub last: u64,
}

impl Span {
    /// Stands for an addition that the server has not ordered yet.
    const NOT_YET: Span = Span::one(u64::MAX);

    /// A single revision, counted from 1.
    pub const fn one(revision: u64) -> Self {
        Span { since: revision - 1, last: revision }
    }

    /// Whether a revision is among them.
    pub fn contains(self, revision: u64) -> bool {
        self.since < revision && revision <= self.last
    }

    /// Whether any revision is in both.
    pub fn meets(self, other: Span) -> bool {
        self.since < other.last && other.since < self.last
    }

    fn holds(self, other: Span) -> bool {
        self.since <= other.since && other.last <= self.last
    }
}

/// What a stretch of revisions did to a counter, as far as a wipe by somebody who lacks them must know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// The last revision that wiped it; 0 for none.
    pub wiped: u64,
    /// What was added and is still there, in order: all that was there before `wiped`, and all that these revisions added since.
    pub left: Vec<Addition>,
}

/// Additions that a tally lists singly: older ones are kept as one sum.
const MOST_LISTED: usize = 64;

impl Tally {
    /// Takes in one more revision.
    pub fn take(&mut self, revision: u64, op: &CounterOp) {
        if let Some(left) = &op.left {
            self.wiped = revision;
            self.left.clone_from(left);
        }
        if op.add != 0 {
            self.left.push(Addition { revisions: Span::one(revision), amount: op.add });
        }
        while self.left.len() > MOST_LISTED {
            let oldest = self.left.remove(0);
            let next = &mut self.left[0];
            next.revisions.since = oldest.revisions.since;
            next.amount = next.amount.wrapping_add(oldest.amount);
            if next.amount == 0 {
                self.left.remove(0);
            }
        }
    }
}

impl CellOp {
    /// The kind of cell it is for.
    pub fn kind(&self) -> FieldKind {
        match self {
            CellOp::Register(_) => FieldKind::Register,
            CellOp::Counter(_) => FieldKind::Counter,
            CellOp::Set(_) => FieldKind::Set,
            CellOp::Text(_) => FieldKind::Text,
        }
    }

    /// Data elements in it: one, or the elements of a set.
    pub fn elements(&self) -> usize {
        match self {
            CellOp::Set(elements) => elements.len(),
            _ => 1,
        }
    }

    /// Units of work to go through it once.
    pub fn size(&self) -> u64 {
        let size = match self {
            CellOp::Register(_) => 1,
            CellOp::Counter(op) => 1 + op.left.as_ref().map_or(0, Vec::len),
            CellOp::Set(elements) => elements.len(),
            CellOp::Text(op) => 1 + op.components().len() + op.inserted_bytes() / 64,
        };
        size as u64
    }

    /// Appends what the same author did next, in view of this operation. A wipe in `next` is fresh: it leaves nothing.
    pub fn compose(&mut self, next: CellOp) {
        match (self, next) {
            (CellOp::Register(slot), CellOp::Register(next)) => {
                if next != RegisterOp::Nothing {
                    *slot = next;
                }
            }
            (CellOp::Counter(slot), CellOp::Counter(next)) => {
                if next.left.is_some() {
                    *slot = next;
                } else {
                    slot.add = slot.add.wrapping_add(next.add);
                }
            }
            (CellOp::Set(slots), CellOp::Set(next)) => {
                slots.extend(next.into_iter().filter(|(_, op)| *op != ElementOp::Nothing));
            }
            (CellOp::Text(slot), CellOp::Text(next)) => {
                *slot = std::mem::take(slot).compose(&next);
            }
            (slot, next) => debug_assert_eq!(slot.kind(), next.kind(), "checked on arrival"),
        }
    }

    /// Makes this operation, which is later in the server's order, fit after `earlier`, which is (part of) the given revision.
    pub fn over_earlier(&mut self, earlier: &CellOp, at: Span) {
        match (self, earlier) {
            (CellOp::Register(slot), CellOp::Register(earlier)) => {
                if *slot == RegisterOp::Clear && *earlier != RegisterOp::Nothing {
                    *slot = RegisterOp::Nothing;
                }
            }
            (CellOp::Counter(slot), CellOp::Counter(earlier)) => {
                slot.keep_what_is_left_by(earlier, at);
            }
            (CellOp::Set(_), CellOp::Set(_)) => {}
            (CellOp::Text(slot), CellOp::Text(earlier)) => {
                *slot = std::mem::take(slot).transform(earlier, Side::Left);
            }
            (slot, earlier) => debug_assert_eq!(slot.kind(), earlier.kind(), "checked on arrival"),
        }
    }

    /// Makes this operation, which is earlier in the server's order, fit where `later` is displayed already.
    pub fn under_later(&mut self, later: &CellOp) {
        match (self, later) {
            (CellOp::Register(slot), CellOp::Register(later)) => match later {
                RegisterOp::Put(_) => *slot = RegisterOp::Nothing,
                RegisterOp::Clear if *slot == RegisterOp::Clear => *slot = RegisterOp::Nothing,
                RegisterOp::Clear | RegisterOp::Nothing => {}
            },
            (CellOp::Counter(slot), CellOp::Counter(later)) => {
                slot.keep_what_is_left_by(later, Span::NOT_YET);
            }
            (CellOp::Set(slots), CellOp::Set(later)) => {
                for (element, slot) in slots {
                    if later.get(element).is_some_and(|op| *op != ElementOp::Nothing) {
                        *slot = ElementOp::Nothing;
                    }
                }
            }
            (CellOp::Text(slot), CellOp::Text(later)) => {
                *slot = std::mem::take(slot).transform(later, Side::Right);
            }
            (slot, later) => debug_assert_eq!(slot.kind(), later.kind(), "checked on arrival"),
        }
    }
}

/// Two operations that were made apart pass each other: `later` comes to fit after `earlier`, which is (part of) the given revision,
/// and `earlier` where `later` is displayed already. Returns the work in units.
pub fn cross(earlier: &mut CellOp, later: &mut CellOp, at: Span) -> u64 {
    let work = earlier.size() + later.size();
    let before = later.clone();
    later.over_earlier(earlier, at);
    earlier.under_later(&before);
    work
}

impl CounterOp {
    /// A wipe leaves nothing that a concurrent wipe takes, and what was added concurrently.
    fn keep_what_is_left_by(&mut self, other: &CounterOp, at: Span) {
        let Some(left) = &mut self.left else { return };
        if let Some(left_by_other) = &other.left {
            *left = left_by_both(left, left_by_other);
        }
        if other.add != 0 {
            left.push(Addition { revisions: at, amount: other.add });
        }
    }

    /// The counter after this operation.
    pub fn apply(&self, sum: i64) -> i64 {
        let start = match &self.left {
            None => sum,
            Some(left) => {
                left.iter().fold(0, |sum: i64, addition| sum.wrapping_add(addition.amount))
            }
        };
        start.wrapping_add(self.add)
    }
}

/// What two wipes leave, each of which lists what it leaves in order. Where one knows a sum alone, the parts that the other knows count.
/// Of two sums that overlap the one that ends first stays: some of it was to be taken, but little is lost that both leave.
fn left_by_both(left: &[Addition], right: &[Addition]) -> Vec<Addition> {
    let stays = |one: Span, others: &[Addition], proper: bool| {
        others.iter().map(|other| other.revisions).any(|other| {
            let overlaps_earlier =
                one.since < other.since && other.since < one.last && one.last < other.last;
            overlaps_earlier || other.holds(one) && !(proper && other == one)
        })
    };
    let mut both: Vec<Addition> =
        left.iter().filter(|one| stays(one.revisions, right, false)).copied().collect();
    both.extend(right.iter().filter(|one| stays(one.revisions, left, true)));
    both.sort_by_key(|addition| addition.revisions.last);
    both.dedup_by(|next, before| next.revisions.meets(before.revisions));
    both
}

#[cfg(test)]
mod tests {
    use super::super::content::Held;
    use super::super::text::Component;
    use super::*;
    use crate::document::{Content, char_count};
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    const KINDS: [FieldKind; 4] =
        [FieldKind::Register, FieldKind::Counter, FieldKind::Set, FieldKind::Text];

    /// An operation that a user could make on `held`, all of whose additions are `recent`.
    fn random_op(rng: &mut ChaCha8Rng, held: &Held, recent: &[Addition]) -> CellOp {
        let value =
            |rng: &mut ChaCha8Rng| Value::from(["a", "b", "c", "d"][rng.random_range(0..4)]);
        match held.content() {
            Content::Register(_) => CellOp::Register(match rng.random_range(0..3) {
                0 => RegisterOp::Nothing,
                1 => RegisterOp::Clear,
                _ => RegisterOp::Put(value(rng)),
            }),
            Content::Counter(_) => CellOp::Counter(CounterOp {
                left: rng
                    .random_bool(0.6)
                    .then(|| recent.iter().copied().filter(|_| rng.random_bool(0.5)).collect()),
                add: rng.random_range(-2..3),
            }),
            Content::Set(_) => {
                let ops = [ElementOp::Nothing, ElementOp::Insert, ElementOp::Remove];
                let count = rng.random_range(0..4);
                CellOp::Set((0..count).map(|_| (value(rng), ops[rng.random_range(0..3)])).collect())
            }
            Content::Text(text) => {
                let mut rest = char_count(text);
                let mut components = Vec::new();
                while rest > 0 && components.len() < 7 {
                    let count = rng.random_range(0..=rest);
                    rest -= count;
                    components.push(match rng.random_range(0..2) {
                        0 => Component::Retain(count),
                        _ => Component::Delete(count),
                    });
                    components.push(Component::Insert(["", "x", "é😀"][count % 3].into()));
                }
                CellOp::Text(components.into_iter().collect())
            }
        }
    }

    fn random_content(rng: &mut ChaCha8Rng, kind: FieldKind) -> (Held, Vec<Addition>) {
        let recent: Vec<Addition> = (1..rng.random_range(1..5))
            .map(|n| Addition { revisions: Span::one(n), amount: rng.random_range(1..4) })
            .collect();
        let content = match kind {
            FieldKind::Register => Content::Register(rng.random_bool(0.5).then(|| "a".into())),
            FieldKind::Counter => {
                Content::Counter(7 + recent.iter().map(|a| a.amount).sum::<i64>())
            }
            FieldKind::Set => Content::Set(["a".into(), "b".into()].into()),
            FieldKind::Text => Content::Text("aé語😀z".into()),
        };
        (content.into(), recent)
    }

    fn after(mut held: Held, ops: &[&CellOp]) -> Held {
        for op in ops {
            held.apply(op).expect("made for it");
        }
        held
    }

    #[test]
    fn both_ways_round_the_diamond_give_the_same_content() {
        for seed in 0..8000 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let (held, recent) = random_content(&mut rng, KINDS[seed as usize % 4]);
            let earlier = random_op(&mut rng, &held, &recent);
            let later = random_op(&mut rng, &held, &recent);
            let (mut over, mut under) = (later.clone(), earlier.clone());
            over.over_earlier(&earlier, Span::one(9));
            under.under_later(&later);
            assert_eq!(
                after(held.clone(), &[&earlier, &over]),
                after(held.clone(), &[&later, &under]),
                "seed {seed}: {earlier:?} and then {later:?} on {held:?}"
            );
        }
    }

    /// What a client does with one operation in flight and a later one on top.
    #[test]
    fn two_steps_of_a_diamond_fit_together() {
        for seed in 0..8000 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let (held, recent) = random_content(&mut rng, KINDS[seed as usize % 4]);
            let remote = random_op(&mut rng, &held, &recent);
            let flight = random_op(&mut rng, &held, &recent);
            let mut displayed = after(held.clone(), &[&flight]);
            // What was in flight when the user went on is his own, and taken by a wipe.
            let mut buffer = random_op(&mut rng, &displayed, &[]);
            displayed.apply(&buffer).expect("made for it");
            let words = format!("seed {seed}: {remote:?}, {flight:?}, {buffer:?} on {held:?}");

            let mut shown = remote.clone();
            let mut flight_now = flight.clone();
            cross(&mut shown, &mut flight_now, Span::one(9));
            cross(&mut shown, &mut buffer, Span::one(9));
            displayed.apply(&shown).expect("made for it");
            assert_eq!(after(held, &[&remote, &flight_now, &buffer]), displayed, "{words}");
        }
    }

    #[test]
    fn a_composition_does_what_both_do() {
        for seed in 0..8000 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let (held, recent) = random_content(&mut rng, KINDS[seed as usize % 4]);
            let first = random_op(&mut rng, &held, &recent);
            let second = random_op(&mut rng, &after(held.clone(), &[&first]), &[]);
            let mut both = first.clone();
            both.compose(second.clone());
            assert_eq!(
                after(held.clone(), &[&both]),
                after(held, &[&first, &second]),
                "seed {seed}: {first:?} then {second:?}"
            );
        }
    }

    #[test]
    fn two_wipes_take_nothing_twice_and_leave_what_neither_saw() {
        let add = |add| CellOp::Counter(CounterOp { left: None, add });
        let wipe = || CellOp::Counter(CounterOp { left: Some(Vec::new()), add: 0 });
        // Revision 1 adds 5. Two users who saw it wipe, one who did not add 3 (revision 2) and 4 (revision 3).
        let mut first = wipe();
        first.over_earlier(&add(3), Span::one(2));
        let mut second = wipe();
        second.over_earlier(&add(3), Span::one(2));
        second.over_earlier(&first, Span::one(3));
        let last = add(4);
        let end = after(Content::Counter(5).into(), &[&add(3), &first, &second, &last]);
        assert_eq!(end, Content::Counter(7).into());
        // One who saw the 3 takes it away too, and one who did not leaves it.
        let mut saw = wipe();
        saw.over_earlier(&first, Span::one(3));
        let end = after(Content::Counter(5).into(), &[&add(3), &first, &saw, &last]);
        assert_eq!(end, Content::Counter(4).into());
    }

    #[test]
    fn of_a_sum_that_one_wipe_leaves_the_parts_that_another_leaves_stay() {
        let addition = |since, last, amount| Addition { revisions: Span { since, last }, amount };
        let parts = [addition(3, 4, 1), addition(6, 7, 2), addition(9, 10, 4)];
        let sum = [addition(1, 2, 8), addition(4, 8, 2)];
        assert_eq!(left_by_both(&parts, &sum), [parts[1]]);
        assert_eq!(left_by_both(&sum, &parts), [parts[1]], "whichever comes first");
        assert_eq!(left_by_both(&sum, &sum), sum);
        assert_eq!(left_by_both(&parts, &[]), []);
        let (first, second) = ([addition(1, 6, 3)], [addition(4, 9, 5)]);
        assert_eq!(left_by_both(&first, &second), first, "rather too much than too little");
        assert_eq!(left_by_both(&second, &first), first);
    }
}
