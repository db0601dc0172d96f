//! Deleted characters go once nobody can need them to say where something stands.
//!
//! Call a character settled at a replica once it is deleted and no change can come any more from somebody who did not know that. In a
//! row of settled characters with nothing between them, the first one is kept and the others go. Why that is safe, in both orders:
//!
//! 1. Nothing ever comes to stand inside such a row. Whatever comes was inserted by somebody who knew the row as deleted, right behind a
//!    character shown to him; that would have to be inside the row too, and so on back to one that was there when the row was found.
//! 2. Nothing that comes names one that went. On its left an insertion names a character shown to its author. On its right, in FugueMax
//!    order, it names the next character, deleted or not: that may be the first of a row, which is kept, or one outside of rows. Its
//!    author may have let characters go as well; by 1 and this rule he kept the one next to any that he is shown.
//! 3. So between the two neighbours of an insertion that comes, no settled character stands, kept or gone: those were next to each other for
//!    its author, who knew all that is settled here. Only what stands between decides its place, and that is all still here. What stands there
//!    may name one that went: on its left then one further left than the insertion's own left neighbour, on its right one further
//!    right; the scan takes a name that it does not find as the start or the end, which compares the same.
//! 4. In RGA order an insertion passes what is newer than itself from its left neighbour on. It is newer than all that is settled, as
//!    its author knew that, and stops at the latest at the first of a row.
//!
//! A replica that lets characters go so names the same neighbours in its own insertions as one that keeps all.

use super::Sequence;
use super::chunks::Place;
use crate::crdt::causal::{Dot, Span};

impl Sequence {
    /// The dots of deleted characters that [`Sequence::forget`] can still let go, or would keep in place of others.
    pub fn deleted(&self) -> Vec<Span> {
        self.spans(|item| {
            item.is_deleted() && !(item.len == 1 && self.settled.contains(&item.first))
        })
    }

    /// Lets go what nobody needs any more of these characters. Of those deleted at most one stays between two others, so that a text that
    /// is steadily edited takes no more and more memory. Returns how many items were looked at.
    ///
    /// The caller guarantees that their deletion is causally stable: applied here and at every member, and every change that is not applied
    /// here yet comes from a replica that had applied it before it made the change. A member that was left out of account because it was
    /// away too long must not send changes that it made without knowing the deletion; it takes a snapshot first and makes them anew.
    /// Characters that are not here, or not deleted, are passed over.
    pub fn forget(&mut self, deleted: &[Span]) -> u64 {
        self.chunks.list();
        let mut looked_at = 0;
        for span in deleted {
            let mut dot = span.first;
            while dot < span.end() {
                looked_at += 1;
                let Some(place) = self.chunks.find(dot) else {
                    let Some(next) = self.chunks.next_known(dot) else { break };
                    dot = next;
                    continue;
                };
                let item = self.chunks.get(place).expect("a place inside an item");
                let here = u64::from(item.len - place.offset);
                let len = here.min(span.end().counter - dot.counter) as u32;
                if item.is_deleted() {
                    looked_at += self.settle(place, len);
                }
                dot = dot.plus(u64::from(len));
            }
        }
        looked_at
    }

    /// Takes deleted characters of one item as settled.
    fn settle(&mut self, place: Place, len: u32) -> u64 {
        let first = self.dot(place);
        let follows = self.chunks.before(place).map(|before| self.dot(before));
        let after = self.dot_after(Place { offset: place.offset + len, ..place });
        if follows.is_some_and(|before| self.settled.contains(&before)) {
            self.drop_settled(first, len);
        } else {
            if len > 1 {
                self.drop_settled(first.plus(1), len - 1);
            }
            self.settled.insert(first);
        }
        if self.settled.contains(&after) {
            self.drop_settled(after, 1);
        }
        3
    }

    fn drop_settled(&mut self, first: Dot, len: u32) {
        let place = self.chunks.find(first).expect("a character that is here");
        self.chunks.remove(place, len);
        let end = first.plus(u64::from(len));
        while let Some(dot) = self.settled.range(first..end).next().copied() {
            self.settled.remove(&dot);
        }
    }
}
