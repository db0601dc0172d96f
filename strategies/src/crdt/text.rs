//! A text by itself: the sequence of `crdt/*` with its changes and its encodings, without cells, peers and schedules around it.

use super::causal::{Agent, Dot, Span, Version, insert_span};
use super::codec::{Piece, read_deltas, write_deltas};
use super::op::{Delta, Op, Seen};
use super::sequence::{Claim, RUN_CHARS, Sequence, TextOrder};
use crate::contract::Malformed;
use crate::document::{Cell, FieldId, RecordId, ReplicaId, char_count};
use crate::wire::{Reader, Writer};

const CELL: Cell = Cell { record: RecordId(0), field: FieldId(0) };

/// One replica of a text, for measurements and tests of the text alone.
#[derive(Debug)]
pub struct TextReplica {
    agent: Agent,
    order: TextOrder,
    have: Version,
    text: Sequence,
    /// What was written here and not taken by [`TextReplica::take_changes`] yet.
    changes: Vec<Delta>,
    /// Room for the characters of one deletion.
    gone: Vec<Span>,
}

impl TextReplica {
    /// An empty text.
    pub fn new(replica: ReplicaId, order: TextOrder) -> Self {
        let text = Sequence::new(order);
        TextReplica {
            agent: Agent::new(replica, 0),
            order,
            have: Version::new(),
            text,
            changes: Vec::new(),
            gone: Vec::new(),
        }
    }

    /// Shown characters.
    pub fn len(&self) -> usize {
        self.text.len()
    }

    /// Whether nothing is shown.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The text.
    pub fn text(&self) -> String {
        self.text.text()
    }

    /// Runs of characters that it is made of, deleted ones included.
    pub fn runs(&self) -> usize {
        self.text.items()
    }

    /// Inserts text at a position, in characters; beyond the end is the end.
    pub fn insert(&mut self, at: usize, text: &str) {
        if text.is_empty() {
            return;
        }
        let span = char_count(text) as u64;
        let first = self.mint(span);
        let (left, claim) = self.text.insert_at(at.min(self.text.len()), first, text);
        if !self.types_on(first, span, left, claim, text) {
            let op = Op::Run { cell: CELL, left, claim, text: text.to_owned() };
            self.changes.push(Delta { first, span, op });
        }
    }

    /// Deletes up to `count` characters from a position on.
    pub fn erase(&mut self, at: usize, count: usize) {
        if count == 0 || at >= self.text.len() {
            return;
        }
        let first = self.mint(1);
        let mut gone = std::mem::take(&mut self.gone);
        self.text.erase_each(at, count, |span| insert_span(&mut gone, span));
        if !self.deletes_on(first, &gone) {
            let op = Op::Hide { seen: vec![(CELL, Seen::Characters(gone.clone()))] };
            self.changes.push(Delta { first, span: 1, op });
        }
        gone.clear();
        self.gone = gone;
    }

    /// What was written here since the last call, as bytes for others.
    pub fn take_changes(&mut self) -> Vec<u8> {
        let pieces: Vec<Piece<'_>> = self.changes.iter().map(|delta| (delta, 0)).collect();
        let mut writer = Writer::new();
        write_deltas(&mut writer, &pieces);
        self.changes.clear();
        writer.finish()
    }

    /// Takes in what [`TextReplica::take_changes`] gave elsewhere.
    ///
    /// # Errors
    /// [`Malformed`] where it makes no sense, or something is missing that it builds on.
    pub fn merge(&mut self, changes: &[u8]) -> Result<(), Malformed> {
        let deltas = read_deltas(&mut Reader::new(changes))?;
        let mut have = self.have.clone();
        for delta in &deltas {
            let is_next = have.get(delta.first.agent) + 1 == delta.first.counter;
            let is_text = match &delta.op {
                Op::Run { cell, claim, .. } => *cell == CELL && claim.order() == self.order,
                Op::Hide { seen } => seen
                    .iter()
                    .all(|(cell, seen)| *cell == CELL && matches!(seen, Seen::Characters(_))),
                _ => false,
            };
            if !is_next || !is_text || !delta.is_ready(&have) {
                return Err(Malformed("not a change of this text, or not the next one"));
            }
            have.raise(delta.first.agent, delta.last().counter);
        }
        for delta in deltas {
            match delta.op {
                Op::Run { left, claim, text, .. } => {
                    self.text.insert_beside(delta.first, left, claim, &text);
                }
                Op::Hide { seen } => {
                    for (_, seen) in seen {
                        if let Seen::Characters(spans) = seen {
                            self.text.erase(&spans);
                        }
                    }
                }
                _ => {}
            }
        }
        self.have = have;
        Ok(())
    }

    /// Lets go what nobody needs of the characters deleted so far. Every replica has all changes that any of them made.
    pub fn forget(&mut self) {
        let deleted = self.text.deleted();
        self.text.forget(&deleted);
    }

    /// The whole text with everything that is needed to write on and to take in what others wrote.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        self.have.write(&mut writer);
        self.text.write(&mut writer, &self.have.agents());
        writer.finish()
    }

    /// A replica that starts with what [`TextReplica::encode`] gave elsewhere.
    ///
    /// # Errors
    /// [`Malformed`] where it makes no sense.
    pub fn decode(replica: ReplicaId, order: TextOrder, bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let have = Version::read(&mut reader)?;
        let text = Sequence::read(&mut reader, order, &have)?;
        reader.end()?;
        let agent = Agent::new(replica, 0);
        Ok(TextReplica { agent, order, have, text, changes: Vec::new(), gone: Vec::new() })
    }

    fn mint(&mut self, count: u64) -> Dot {
        let counter = self.have.get(self.agent) + 1;
        self.have.raise(self.agent, counter + count - 1);
        Dot { agent: self.agent, counter }
    }

    /// Adds typed text to the change before, where it goes on.
    fn types_on(&mut self, first: Dot, span: u64, left: Dot, claim: Claim, more: &str) -> bool {
        let Some(Delta { first: start, span: before, op: Op::Run { claim: of, text, .. } }) =
            self.changes.last_mut()
        else {
            return false;
        };
        let goes_on = start.plus(*before) == first
            && start.plus(*before - 1) == left
            && of.of_later(*before) == claim
            && *before + span <= u64::from(RUN_CHARS);
        if goes_on {
            text.push_str(more);
            *before += span;
        }
        goes_on
    }

    /// Adds a deletion to the one before, where it goes on beside.
    fn deletes_on(&mut self, first: Dot, gone: &[Span]) -> bool {
        let ([gone], Some(last)) = (gone, self.changes.last_mut()) else { return false };
        let follows = last.first.plus(last.span) == first && last.span < u64::from(RUN_CHARS);
        let Op::Hide { seen } = &mut last.op else { return false };
        let [(_, Seen::Characters(spans))] = &mut seen[..] else { return false };
        let at = spans.partition_point(|span| span.first < gone.first);
        let beside = at > 0 && spans[at - 1].end() == gone.first
            || spans.get(at).is_some_and(|span| gone.end() == span.first);
        if follows && beside {
            insert_span(spans, *gone);
            last.span += 1;
        }
        follows && beside
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    fn scribble(text: &mut TextReplica, rng: &mut ChaCha8Rng) {
        for _ in 0..rng.random_range(1..20) {
            let at = rng.random_range(0..=text.len());
            match rng.random_range(0..4) {
                0 => text.erase(at, rng.random_range(0..8)),
                1 => (0..5).for_each(|n| text.erase(at.saturating_sub(n), 1)),
                2 => (0..5).for_each(|n| text.insert(at + n, "é")),
                _ => text.insert(at, "some words "),
            }
        }
    }

    #[test]
    fn changes_and_encodings_give_the_same_text_elsewhere() {
        for seed in 0..300 {
            let order = if seed % 2 == 0 { TextOrder::FugueMax } else { TextOrder::Rga };
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let mut texts = [0, 1].map(|id| TextReplica::new(ReplicaId(id), order));
            for _ in 0..rng.random_range(1..6) {
                texts.iter_mut().for_each(|text| scribble(text, &mut rng));
                let changes = texts.each_mut().map(TextReplica::take_changes);
                texts[0].merge(&changes[1]).expect("honest changes");
                texts[1].merge(&changes[0]).expect("honest changes");
                assert_eq!(texts[0].text(), texts[1].text(), "seed {seed}");
                assert!(
                    texts[0].merge(&changes[0]).is_err() || changes[0].len() < 2,
                    "seed {seed}"
                );
                if rng.random_range(0..3) == 0 {
                    texts.iter_mut().for_each(TextReplica::forget);
                }
                let of = rng.random_range(0..2);
                let bytes = texts[of].encode();
                let id = ReplicaId(of as u32);
                texts[of] = TextReplica::decode(id, order, &bytes).expect("its own bytes");
                assert_eq!(texts[of].encode(), bytes, "seed {seed}");
            }
        }
    }

    #[test]
    fn bytes_that_were_cut_or_changed_are_refused_or_read_without_harm() {
        for seed in 0..200 {
            let order = if seed % 2 == 0 { TextOrder::FugueMax } else { TextOrder::Rga };
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let mut text = TextReplica::new(ReplicaId(0), order);
            scribble(&mut text, &mut rng);
            let bytes = text.encode();
            for end in 0..bytes.len() {
                let cut = TextReplica::decode(ReplicaId(1), order, &bytes[..end]);
                assert!(cut.is_err(), "seed {seed}: {end} of {} bytes", bytes.len());
                let mut other = bytes.clone();
                other[end] = rng.random_range(0..=255);
                if let Ok(mut read) = TextReplica::decode(ReplicaId(1), order, &other) {
                    scribble(&mut read, &mut rng);
                    assert_eq!(read.text().chars().count(), read.len(), "seed {seed}");
                }
            }
        }
    }
}
