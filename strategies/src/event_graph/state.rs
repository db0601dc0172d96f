//! Taking over a peer's whole document, where the peer's history does not reach back to what is here.
//!
//! What this replica has and the peer lacks goes on top: as it is where the peer's history knows the versions in which it was made. Where it does
//! not, nobody can say any more what the positions mean. Then this replica makes its own edits again on the peer's document, under the
//! same edit ids but in a new life: what it said under its old name and the peer never took up is void everywhere. Edits by others
//! are left to those who made them.

use super::cells::{Cells, State};
use super::event::{Act, Event, Passage, Seen, Typed};
use super::graph::Time;
use super::log::Log;
use super::receiving::{Stale, Use};
use super::replica::GraphReplica;
use super::snapshot;
use super::text::Done;
use crate::contract::{Cargo, Malformed, Outbox};
use crate::crdt::causal::{Agent, Dot, Version};
use crate::crdt::counter::Tally;
use crate::crdt::takeover::{Displayed, Replacement};
use crate::document::{Cell, EditId, ReplicaId, char_count};
use crate::wire::Reader;
use similar::{Algorithm, DiffOp, capture_diff_slices};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;

/// An event that the peer lacks: as it travels, and where the text's graph has it if it is typed.
struct Lacking {
    event: Event<Typed>,
    typed: Option<Time>,
}

impl GraphReplica {
    /// Takes over the document of a peer that has `version`. Where this replica does not remember all that the peer lacks, the peer lost
    /// its memory too: then the smaller document gives way, and a peer with the smaller one gets this one's. With `over` the peer takes this replica, in that life, for one
    /// that was gone, or could not take up its edits.
    pub(super) fn take_state(
        &mut self,
        from: ReplicaId,
        version: &Version,
        (state, over): (&[u8], Option<Agent>),
        cargo: &Cargo,
        out: &mut Outbox,
    ) -> Result<Use, Malformed> {
        let mut theirs = version.clone();
        theirs.raise(Agent::GENESIS, self.have.get(Agent::GENESIS));
        let mut reader = Reader::new(state);
        let cells = snapshot::read_cells(&mut reader, &theirs, &self.schema)?;
        reader.end()?;
        if theirs.get(self.agent) > self.have.get(self.agent) {
            return Err(Malformed("own events that were never made"));
        }
        let rebase = over.is_some();
        // It has begun a new life since.
        if over.is_some_and(|life| self.agent > life) && self.have.get(self.agent) > 0 {
            return Ok(Use::Gap);
        }
        if theirs.beyond(&self.have) == 0 && !rebase {
            return Ok(Use::All);
        }
        let size = |version: &Version| version.beyond(&Version::new());
        let gives_way = (size(&self.have), from) < (size(&theirs), self.agent.replica());
        let remembers = self.log.reaches(&theirs);
        if !remembers && !rebase && !gives_way {
            return Ok(Use::Gap);
        }
        // Of two that take each other to be gone, one goes on and the other one comes back.
        if rebase && self.members.is_gone(from) && from > self.agent.replica() {
            return Ok(Use::All);
        }
        self.members.welcome(from);
        out.work_bytes(state.len());
        let lacking = self.lacking(&theirs);
        let was = self.displayed();
        let before = std::mem::replace(&mut self.cells, cells);
        let (fresh, replaced) = self.take_ids(version, cargo, out);
        self.keep_own(&theirs);
        self.log = Log::resume(self.log.end(), theirs.news(&Version::new()), Vec::new());
        let known = std::mem::replace(&mut self.have, theirs);
        for peer in &mut self.peers {
            peer.cursor = self.log.start();
        }
        let anew = rebase || !remembers;
        let rest = if anew { lacking } else { self.put_on_top(lacking, out) };
        self.note_deletions(&before);
        let renewed = anew || !rest.is_empty();
        if renewed {
            let mut again = BTreeSet::new();
            self.begin_again(&before, &known, rest, &mut again, out);
            again.extend(was.times.keys());
            let by = fresh.last().copied();
            let by = by.or_else(|| self.displayed().times.into_keys().next());
            self.ids.drop_beyond(&self.have, &known, by, &again, out);
        }
        self.report_replacement((&before, &was), (fresh, &replaced), out);
        Ok(if renewed { Use::Gap } else { Use::All })
    }

    /// The edits of which something is shown, texts left aside.
    fn displayed(&self) -> Displayed {
        self.ids.displayed(self.cells.displayed())
    }

    /// What a peer lacks: own events and those in the log, as far as the texts' graphs still have what was typed.
    fn lacking(&self, theirs: &Version) -> Vec<Lacking> {
        let own = self.own.iter().map(|event| {
            (event, theirs.get(event.first.agent).saturating_sub(event.first.counter - 1))
        });
        let unknown = own.chain(self.log.unknown(self.log.start(), theirs));
        let lacking = unknown.filter_map(|(event, mut skip)| {
            let mut typed = None;
            if let Act::Type { cell, typed: start } = &event.act {
                let begins = self.cells.text(*cell)?.graph().start();
                skip = skip.max(begins.saturating_sub(*start) as u64);
                typed = Some(start + skip as usize);
            }
            (skip < event.span).then(|| Lacking { event: self.to_send(event, skip), typed })
        });
        lacking.collect()
    }

    /// Goes on keeping, on a document that was taken over, the own events that are in it: not every member may have them.
    fn keep_own(&mut self, theirs: &Version) {
        let replica = self.agent.replica();
        let logged = self.log.events().filter(|event| event.first.agent.replica() == replica);
        let logged: Vec<Event<Passage>> = logged.cloned().collect();
        for event in std::mem::take(&mut self.own).into_iter().chain(logged) {
            let Event { first, span, act } = event;
            let span = span.min((theirs.get(first.agent) + 1).saturating_sub(first.counter));
            if span == 0 {
                continue;
            }
            let Act::Type { cell, .. } = act else {
                self.own.push_back(Event { first, span, act });
                continue;
            };
            let pieces = self.cells.text(cell).map(|text| text.pieces(first, span));
            for (first, times) in pieces.into_iter().flatten() {
                let act = Act::Type { cell, typed: times.start };
                self.own.push_back(Event { first, span: times.len() as u64, act });
            }
        }
    }

    /// Takes the ids that came with a document, and reports those that are new here; returns them, and what took the place of those that were
    /// replaced.
    fn take_ids(
        &mut self,
        version: &Version,
        cargo: &Cargo,
        out: &mut Outbox,
    ) -> (Vec<EditId>, BTreeMap<EditId, EditId>) {
        let (fresh, elements) = self.ids.take_all(version, &self.have, &cargo.ids, out);
        let behind = cargo.ids.partition_point(|ids| u64::from(ids.element) < elements);
        let pairs = cargo.ids[behind..].chunks_exact(2);
        (fresh, pairs.map(|pair| (pair[0].first, pair[1].first)).collect())
    }

    /// Goes on knowing what this replica's user deleted, which no document says: without that nobody could tell where it was, if it is to be
    /// done again on another document.
    fn note_deletions(&mut self, before: &Cells) {
        for (cell, state) in before.states() {
            if let State::Text(former) = state
                && self.cells.text(*cell).is_some()
            {
                self.cells.text_mut(*cell).note_deletions(former);
            }
        }
    }

    /// Applies events as they are, until one was made in a version that is not known; returns that one and the rest.
    fn put_on_top(&mut self, lacking: Vec<Lacking>, out: &mut Outbox) -> Vec<Lacking> {
        let mut stale = Stale::new();
        let mut lacking = VecDeque::from(lacking);
        while let Some(Lacking { event, typed }) = lacking.pop_front() {
            let last = event.last();
            let Some(listed) = self.take_up(event.clone(), 0, &mut stale) else {
                lacking.push_front(Lacking { event, typed });
                break;
            };
            self.have.raise(last.agent, last.counter);
            let mut effects = Default::default();
            self.cells.apply(&listed, &mut effects);
            out.work(effects.work_units);
            self.list(listed);
        }
        self.merge(stale, out);
        lacking.into()
    }

    /// Makes this replica's own edits among `rest` again under a new name.
    fn begin_again(
        &mut self,
        before: &Cells,
        known: &Version,
        rest: Vec<Lacking>,
        again: &mut BTreeSet<EditId>,
        out: &mut Outbox,
    ) {
        // What of it could be put on top as it is included.
        let shared = meet(known, &self.have);
        let replica = self.agent.replica();
        self.agent = self.agent.next();
        let mut texts: BTreeMap<Cell, Replay> = BTreeMap::new();
        let mut names: BTreeMap<Dot, Dot> = BTreeMap::new();
        for Lacking { event, typed } in rest {
            let first = Dot { agent: self.agent, counter: self.have.get(self.agent) + 1 };
            out.work(1);
            if event.first.agent.replica() != replica || matches!(event.act, Act::Saw { .. }) {
                continue;
            }
            let mut made: Vec<Event<Passage>> = Vec::new();
            // Which edit each new name stems from.
            let mut stems: Vec<(Dot, EditId)> = Vec::new();
            match (&event.act, typed) {
                (Act::Type { cell, .. }, Some(start)) => {
                    let end = start + event.span as usize;
                    let replay = texts
                        .entry(*cell)
                        .or_insert_with(|| Replay::new(before, *cell, &shared, &self.cells));
                    replay.go_on(start..end, |at, delete, insert, times| {
                        let name = made.last().map_or(first, |last| last.last().plus(1));
                        let text = self.cells.text_mut(*cell);
                        let typed = text.graph().end();
                        let (span, work) = text.edit(name, at, delete, insert);
                        out.work(work);
                        for (n, time) in (0..span as u64).zip(times) {
                            let old = event.first.plus((time - start) as u64);
                            stems.extend(self.ids.of(old).map(|id| (name.plus(n), id)));
                        }
                        let act = Act::Type { cell: *cell, typed };
                        made.push(Event { first: name, span: span as u64, act });
                    });
                }
                _ => {
                    if let Some(mut same) = event.clone().into_untyped() {
                        same.first = first;
                        self.rename(&mut same.act, &names);
                        names.insert(event.first, first);
                        stems.extend(self.ids.of(event.first).map(|id| (first, id)));
                        let mut effects = Default::default();
                        self.cells.apply(&same, &mut effects);
                        out.work(effects.work_units);
                        made.push(same);
                    }
                }
            }
            // Where nothing is left to do of an edit, everybody is still to know that it was done.
            for id in (0..event.span).filter_map(|n| self.ids.of(event.first.plus(n))) {
                if again.insert(id) && stems.iter().all(|(_, stem)| *stem != id) {
                    let name = made.last().map_or(first, |last| last.last().plus(1));
                    made.push(Event { first: name, span: 1, act: Act::Hide { seen: Vec::new() } });
                    stems.push((name, id));
                }
            }
            for (name, id) in stems {
                self.ids.note(name, 1, id);
            }
            if let Some(last) = made.last().map(Event::last) {
                self.have.raise(self.agent, last.counter);
            }
            made.into_iter().for_each(|event| self.list(event));
        }
        for peer in &mut self.peers {
            // They take this replica to have edits by others that it left to those.
            peer.sent = peer.acked.clone();
            (peer.misled, peer.greeted, peer.met) = (true, false, false);
        }
        self.members.start_over();
    }

    /// Puts the new names of events in place of the old ones, and leaves out what is not here: changes by others that the peer lacks. What was
    /// covered of this replica's own additions is all that it has made so far.
    fn rename<T>(&self, act: &mut Act<T>, names: &BTreeMap<Dot, Dot>) {
        let rename = |dots: &mut Vec<Dot>| {
            dots.retain_mut(|dot| {
                *dot = names.get(dot).copied().unwrap_or(*dot);
                self.have.covers(*dot)
            });
        };
        match act {
            Act::Put { seen, .. } | Act::Insert { seen, .. } => rename(seen),
            Act::Hide { seen } => {
                for (cell, seen) in seen {
                    match seen {
                        Seen::Values(dots) | Seen::Insertions(dots) => rename(dots),
                        Seen::Tallies(tallies) => *tallies = self.covered(*cell, tallies),
                    }
                }
            }
            Act::Add { .. } | Act::Type { .. } | Act::Saw { .. } => {}
        }
    }

    /// What is here of additions that were seen under this replica's former name.
    fn covered(&self, cell: Cell, seen: &[(Agent, Tally)]) -> Vec<(Agent, Tally)> {
        let is_own = |agent: Agent| agent.replica() == self.agent.replica();
        let saw_own = seen.iter().any(|(agent, _)| is_own(*agent));
        let here = self.cells.tallies(cell).into_iter();
        let covered = here.filter_map(|(agent, added)| {
            if is_own(agent) {
                return saw_own.then_some((agent, added));
            }
            let (_, then) = seen.iter().find(|(of, _)| *of == agent)?;
            Some((agent, if then.through < added.through { *then } else { added }))
        });
        covered.filter(|(_, tally)| tally.through > 0).collect()
    }

    /// Reports what another document shows instead of what was here.
    fn report_replacement(
        &mut self,
        (before, was): (&Cells, &Displayed),
        (mut fresh, replaced): (Vec<EditId>, &BTreeMap<EditId, EditId>),
        out: &mut Outbox,
    ) {
        let (found, is) = (before.compare(&self.cells), self.displayed());
        let stand_ins = [fresh.last(), is.times.keys().next(), is.times.keys().next_back()];
        let stand_ins = stand_ins.into_iter().flatten().copied().collect();
        // A text shows for itself what of an edit is there.
        fresh.retain(|edit| is.times.contains_key(edit) || replaced.contains_key(edit));
        let replacement = Replacement { was, is: &is, found, fresh, replaced, stand_ins };
        self.replaced.extend(self.ids.report(replacement, out));
    }
}

/// What both versions have.
fn meet(a: &Version, b: &Version) -> Version {
    let mut both = Version::new();
    for (agent, counter) in a.iter() {
        both.raise(agent, counter.min(b.get(agent)));
    }
    both
}

/// Characters next to one another that are in the text as it was here, in the one taken over, or in both.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    len: usize,
    here: bool,
    there: bool,
}

/// What was done to a text here, on its way to be done again on another one.
struct Replay {
    stretches: Vec<Stretch>,
    done: VecDeque<(Time, Done)>,
}

impl Replay {
    fn new(before: &Cells, cell: Cell, shared: &Version, after: &Cells) -> Self {
        let (here, done) = before.text(cell).map(|text| text.unravel(shared)).unwrap_or_default();
        let there = after.text(cell).map(|text| text.content()).unwrap_or_default();
        Replay { stretches: align(&here, &there), done: done.into() }
    }

    /// Does what was done up to the end of a range of edits: what these did also there, through `make`, which deletes so many
    /// characters at a position or inserts text, on behalf of the edits of the times given.
    fn go_on(&mut self, edits: Range<Time>, mut make: impl FnMut(usize, usize, &str, Vec<Time>)) {
        while let Some((time, done)) = self.done.pop_front_if(|(time, _)| *time < edits.end) {
            let own = edits.contains(&time);
            match done {
                Done::Inserted(at, text) => {
                    let (place, len) = (self.cut(at), char_count(&text));
                    if own {
                        make(self.there_before(place), 0, &text, (time..time + len).collect());
                    }
                    self.stretches.insert(place, Stretch { len, here: true, there: own });
                }
                Done::Deleted { at, text, backwards } => {
                    let count = char_count(&text);
                    let mut times: Vec<Time> = (time..time + count).collect();
                    if backwards {
                        times.reverse();
                    }
                    let mut n = self.cut(at);
                    self.cut(at + count);
                    let mut gone = 0;
                    while gone < count && n < self.stretches.len() {
                        let Stretch { len, here, there } = self.stretches[n];
                        if here {
                            self.stretches[n].here = false;
                            if there && own {
                                let times = times[gone..gone + len].to_vec();
                                make(self.there_before(n), len, "", times);
                                self.stretches[n].there = false;
                            }
                            gone += len;
                        }
                        n += 1;
                    }
                }
            }
        }
    }

    /// The first stretch that begins at a position of the text as it was here.
    fn cut(&mut self, at: usize) -> usize {
        let mut left = at;
        for n in 0..self.stretches.len() {
            let stretch = self.stretches[n];
            if left == 0 {
                return n;
            }
            if !stretch.here {
                continue;
            }
            if left < stretch.len {
                self.stretches[n].len = left;
                self.stretches.insert(n + 1, Stretch { len: stretch.len - left, ..stretch });
                return n + 1;
            }
            left -= stretch.len;
        }
        self.stretches.len()
    }

    /// Characters of the other text before a stretch.
    fn there_before(&self, stretch: usize) -> usize {
        self.stretches[..stretch].iter().filter(|s| s.there).map(|s| s.len).sum()
    }
}

/// Comparing what lies between two texts' common beginning and end takes steps that grow with how much they differ. If that may be more
/// than this many, it counts as one difference.
const MOST_STEPS: usize = 1 << 24;

/// What two texts share: what they begin with and what they end with, and between these the longest common subsequence (Myers, "An O(ND)
/// difference algorithm and its variations", Algorithmica 1986). All in whole words where there are spaces: letters that two different words
/// happen to share do not make one of the other; without spaces beginning and end are all. U+FFFD stands for any character there.
fn align(here: &str, there: &str) -> Vec<Stretch> {
    let same = |pair: &(char, char)| pair.0 == pair.1 || pair.0 == '\u{fffd}';
    let (here_len, there_len) = (char_count(here), char_count(there));
    let mut front = here.chars().zip(there.chars()).take_while(same).count();
    let has_words = there.contains(' ');
    if has_words && front < here_len.max(there_len) {
        let spaces = there.chars().take(front).enumerate().filter(|(_, c)| *c == ' ');
        front = spaces.last().map_or(0, |(at, _)| at + 1);
    }
    let most = here_len.min(there_len) - front;
    let mut back = here.chars().rev().zip(there.chars().rev()).take(most).take_while(same).count();
    let begins = |at: usize| at == 0 || there.chars().nth(at - 1) == Some(' ');
    while has_words && back > 0 && !begins(there_len - back) {
        back -= 1;
    }
    let between = |text: &str, len: usize| -> String {
        text.chars().skip(front).take(len - front - back).collect()
    };
    let (mine, theirs) = (between(here, here_len), between(there, there_len));
    let [old, new] = [&mine, &theirs].map(|text| text.split_inclusive(' ').collect::<Vec<&str>>());
    let mut stretches = vec![Stretch { len: front, here: true, there: true }];
    let mut only = |len: usize, here: bool, there: bool| {
        stretches.push(Stretch { len, here, there });
    };
    let chars = |words: &[&str]| words.iter().map(|word| char_count(word)).sum::<usize>();
    if has_words && old.len().saturating_mul(new.len()) <= MOST_STEPS {
        for op in capture_diff_slices(Algorithm::Myers, &old, &new) {
            let (gone, came) = (chars(&old[op.old_range()]), chars(&new[op.new_range()]));
            if matches!(op, DiffOp::Equal { .. }) {
                only(gone, true, true);
            } else {
                only(gone, true, false);
                only(came, false, true);
            }
        }
    } else {
        only(char_count(&mine), true, false);
        only(char_count(&theirs), false, true);
    }
    only(back, true, true);
    stretches.into_iter().filter(|stretch| stretch.len > 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_share_whole_words_where_there_are_spaces() {
        let shared = |here: &str, there: &str| -> Vec<(usize, bool, bool)> {
            align(here, there).iter().map(|s| (s.len, s.here, s.there)).collect()
        };
        let (both, here, there) = ((true, true), (true, false), (false, true));
        let stretch = |len: usize, (here, there)| (len, here, there);
        assert_eq!(shared("one two", "one two"), [stretch(7, both)]);
        // The t of "two" and "ten" is not one letter, nor is the e of "one" and "three".
        let expected = [stretch(4, both), stretch(4, here), stretch(4, there), stretch(3, both)];
        assert_eq!(shared("one two six", "one ten six"), expected);
        assert_eq!(shared("one ", "three "), [stretch(4, here), stretch(6, there)]);
        // Words in the middle are found again.
        let expected = [
            stretch(4, here),
            stretch(6, there),
            stretch(4, both),
            stretch(3, here),
            stretch(5, there),
        ];
        assert_eq!(shared("one two six", "three two seven"), expected);
        // Without spaces there are no words to go by.
        let expected = [stretch(1, both), stretch(1, here), stretch(1, there), stretch(1, both)];
        assert_eq!(shared("abc", "axc"), expected);
        // A character that nobody remembers is any.
        assert_eq!(shared("o\u{fffd}e two", "one two"), [stretch(7, both)]);
    }
}
