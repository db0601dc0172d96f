//! How a text orders what several people inserted at one place.

use crate::crdt::causal::Dot;

/// Which of the known rules orders a text. All its replicas follow the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TextOrder {
    /// FugueMax (Weidner and Kleppmann, "The Art of the Fugue", 2023): an insertion names the characters on both sides. Nothing that
    /// somebody typed in one go is ever interleaved with what others typed at the same place, forwards or backwards.
    #[default]
    FugueMax,
    /// RGA (Roh, Jeon, Kim and Lee, "Replicated abstract data types", 2011) with Lamport timestamps, as in Automerge: an insertion
    /// names the character on its left, and of those behind the same one the newest comes first; of those equally old, that of
    /// the lower replica. What was typed backwards at one place may interleave.
    Rga,
}

/// What an insertion says besides the character on its left: what decides its place among others behind that one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The character on the right, none for the end; the same for every character of a run. [`TextOrder::FugueMax`].
    Before(Dot),
    /// Lamport timestamp of the first character of a run; each of the others is one later. [`TextOrder::Rga`].
    At(u64),
}

impl Claim {
    /// The order in which it means something.
    pub fn order(self) -> TextOrder {
        match self {
            Claim::Before(_) => TextOrder::FugueMax,
            Claim::At(_) => TextOrder::Rga,
        }
    }

    /// The claim of the character `steps` later in the same run.
    pub fn of_later(self, steps: u64) -> Claim {
        match self {
            Claim::Before(right) => Claim::Before(right),
            Claim::At(time) => Claim::At(time + steps),
        }
    }
}
