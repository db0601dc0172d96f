//! Joining a text with that of a replica that let characters go which are not known here, or that takes this one to have been gone.
//!
//! What this replica typed meanwhile may stand beside characters that nobody else has any more. So the other one's text is taken as it
//! is, and what it lacks is typed again beside the nearest character that is still there, under new dots in a new life: everybody
//! listens to that. The old dots are covered and say nothing, which means deleted. Registers, counters and sets forget nothing that a join
//! needs, and are joined as ever, under their old dots.
//!
//! All text that the other one lacks is typed again, also what others wrote who were away as well: its old dots being covered, nobody
//! else can bring it. What two replicas have of a third one and bring back at the same time on different ways is there twice.

use super::join::Retyped;
use super::passage::Run;
use super::replica::GroupReplica;
use super::spans;
use crate::contract::Outbox;
use crate::crdt::causal::{Dot, Span, Version};
use crate::crdt::sequence::Sequence;
use crate::document::{ReplicaId, char_count};

/// Text that is to be typed again: what it stood behind that is still there, and the text. In order of the text.
pub type Lacking = Vec<(Dot, String)>;

/// Takes over another replica's text, which has `version`, in place of one in which `have` was seen. Returns what the other one lacks.
pub fn adopt(own: &mut Sequence, theirs: &Sequence, have: &Version, version: &Version) -> Lacking {
    let mut new = theirs.clone();
    let shown = own.visible();
    let seen = new.visible().into_iter().filter_map(|span| within(span, have));
    let gone: Vec<Span> = seen.flat_map(|span| spans::minus(span, &shown)).collect();
    new.erase(&gone);
    let (mut lacking, mut anchor) = (Lacking::new(), Dot::NONE);
    for item in own.runs() {
        if let Some(span) = within(item.span(), version) {
            let kept = (0..span.len).rev().map(|n| span.first.plus(n)).find(|dot| new.has(*dot));
            anchor = kept.unwrap_or(anchor);
        }
        let rest = spans::beyond(item.span(), version).filter(|_| !item.is_deleted());
        if let Some(rest) = rest {
            lacking.push((anchor, Run::of(item).cut(item.first, rest).text));
        }
    }
    *own = new;
    lacking
}

/// The part of a span that a version covers.
fn within(span: Span, version: &Version) -> Option<Span> {
    let end = span.end().counter.min(version.get(span.first.agent) + 1);
    let len = end.saturating_sub(span.first.counter);
    (len > 0).then_some(Span { len, ..span })
}

impl GroupReplica {
    /// Begins a new life on the document that was taken over from a peer, and types again what that one lacked.
    pub(super) fn begin_again(&mut self, from: ReplicaId, retyped: Retyped, out: &mut Outbox) {
        self.agent = self.agent.next();
        for (cell, lacking) in retyped {
            // What stands behind the same character is typed on; where a deleted one is, typing goes before it.
            let (mut at, mut last) = (0, Dot::NONE);
            for (anchor, text) in lacking {
                let Some(now) = self.cells.text(cell) else { continue };
                if anchor != last {
                    out.work(now.items() as u64);
                    (at, last) = (now.position_behind(anchor), anchor);
                }
                let first = Dot { agent: self.agent, counter: self.have.get(self.agent) + 1 };
                let len = char_count(&text);
                self.cells.type_at(cell, at, first, text);
                self.have.raise(self.agent, first.counter + len as u64 - 1);
                at += len;
            }
            self.whole.touch(cell);
        }
        // Nobody can go on where the old stream ended: everybody gets the whole state first.
        self.buffer.restart();
        for peer in &mut self.peers {
            peer.forget();
            (peer.greeted, peer.answered, peer.reborn) = (false, false, 0);
        }
        self.members.start_over();
        self.members.welcome(from);
        self.say(out);
    }
}
