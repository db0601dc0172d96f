//! A client: asks the server for everything, and shows what it was told.

use super::message::{Base, Request, Update, write_submission};
use super::table::{Held, Table};
use crate::contract::{
    Cargo, Change, Clock, Footprint, Input, LinkState, Malformed, Outbox, Pending, Refusal,
    Replica, Seat,
};
use crate::document::{
    Cell, Content, Edit, EditId, PartitionId, Rendering, ReplicaId, Schema, Scope, char_count,
};
use crate::lww::ids;
use crate::lww::store::target;
use crate::wire::{Reader, Writer};
use std::collections::{BTreeSet, VecDeque};

pub(super) struct Client {
    schema: Schema,
    server: Option<ReplicaId>,
    incarnation: u32,
    /// What the server has told, as of `revision`.
    table: Table,
    revision: u64,
    session_open: bool,
    /// Whether this session still has to be told what is shown here.
    greeting_owed: bool,
    /// Accepted and not yet answered, in order.
    queue: VecDeque<Queued>,
    /// How many of the queue were sent in this session.
    sent: usize,
    /// The number of the next request; from 1, contiguous but for lost memory.
    next_number: u64,
}

struct Queued {
    number: u64,
    /// For reports only.
    id: EditId,
    request: Request,
}

impl Client {
    pub fn new(seat: &Seat<'_>) -> Self {
        Client {
            schema: seat.schema.clone(),
            server: seat.authority,
            incarnation: seat.incarnation,
            table: Table::new(seat),
            revision: 0,
            session_open: false,
            greeting_owed: false,
            queue: VecDeque::new(),
            sent: 0,
            next_number: first_number(seat.incarnation),
        }
    }

    fn edit(&mut self, id: EditId, edit: &Edit, out: &mut Outbox) -> Result<(), Malformed> {
        if !matches!(edit, Edit::Delete { .. }) && target(&self.schema, edit).is_none() {
            return Err(Malformed("the edit does not fit the schema"));
        }
        out.work_bytes(edit.content_bytes() as usize);
        if !self.session_open {
            out.change(Change::Refused { edit: id, reason: Refusal::Offline });
            return Ok(());
        }
        let Some(request) = self.request(edit, out) else {
            out.change(Change::Refused { edit: id, reason: Refusal::Stale });
            return Ok(());
        };
        self.queue.push_back(Queued { number: self.next_number, id, request });
        self.next_number += 1;
        Ok(())
    }

    /// The request for an edit. A splice speaks of what is shown, which is without the own requests that wait: its positions are
    /// moved to where they will be after those. `None` where there is no such place.
    fn request(&self, edit: &Edit, out: &mut Outbox) -> Option<Request> {
        let Edit::Splice { cell, at, delete, insert } = edit else {
            return Some(Request { edit: edit.clone(), base: Base::Any });
        };
        let mut base = Base::Revision(self.revision);
        let mut stretch = (*at, *delete);
        for earlier in &self.queue {
            out.work(1);
            let over = match &earlier.request.edit {
                Edit::Splice { cell: same, at, delete, insert } if same == cell => {
                    (*at, *delete, char_count(insert))
                }
                Edit::Resolve { cell: same, content, .. } if same == cell => {
                    (0, usize::MAX, content.length())
                }
                Edit::Delete { record } if *record == cell.record => (0, usize::MAX, 0),
                _ => continue,
            };
            stretch = rebase(stretch, over)?;
            base = Base::After(earlier.number);
        }
        let (at, delete) = stretch;
        let edit = Edit::Splice { cell: *cell, at, delete, insert: insert.clone() };
        Some(Request { edit, base })
    }

    fn sync(&mut self, peer: ReplicaId, out: &mut Outbox) {
        let unsent = self.queue.len() - self.sent;
        let nothing = unsent == 0 && !self.greeting_owed;
        if Some(peer) != self.server || !self.session_open || nothing {
            return;
        }
        let shows = std::mem::take(&mut self.greeting_owed).then_some(self.revision);
        let mut writer = Writer::new();
        let mut cargo = Cargo { elements: unsent as u64, ..Cargo::default() };
        let fresh = self.queue.range(self.sent..);
        for (element, queued) in fresh.clone().enumerate() {
            cargo.content_bytes += queued.request.edit.content_bytes();
            ids::load_one(&mut cargo, element, Some(queued.id));
        }
        let requests = fresh.map(|queued| (queued.number, &queued.request));
        write_submission(&mut writer, shows, self.answered(), requests);
        self.sent = self.queue.len();
        out.work(unsent as u64);
        out.work_bytes(writer.len());
        out.send(peer, writer.finish(), cargo);
    }

    /// The number up to which all requests are answered.
    fn answered(&self) -> u64 {
        self.queue.front().map_or(self.next_number, |queued| queued.number) - 1
    }

    fn receive(
        &mut self,
        from: ReplicaId,
        bytes: &[u8],
        cargo: &Cargo,
        out: &mut Outbox,
    ) -> Result<(), Malformed> {
        out.work_bytes(bytes.len());
        if Some(from) != self.server {
            return Err(Malformed("not from the server"));
        }
        let mut update = Update::read(bytes)?;
        let fits = |(cell, content): &(Cell, Content)| {
            self.schema.kind(cell.field) == Some(content.kind())
        };
        if !update.cells.iter().all(fits) {
            return Err(Malformed("content of another kind"));
        }
        // Answers to what was answered before are doubles.
        let answered = self.answered();
        update.answers.retain(|(number, _)| *number > answered);
        let waiting = self.queue.iter().take(self.sent).map(|queued| queued.number);
        if update.answers.len() > self.sent
            || !waiting.zip(&update.answers).all(|(number, answer)| number == answer.0)
        {
            return Err(Malformed("answers what was not asked"));
        }
        let mut applied = BTreeSet::new();
        if update.revision >= self.revision {
            self.revision = update.revision;
            self.show(update.fresh_start, update.cells, cargo, &mut applied, out);
        }
        for (number, made) in update.answers {
            self.take_answer(number, made, &applied, out);
        }
        Ok(())
    }

    /// Shows cells as the server has them, and reports what came and what went.
    fn show(
        &mut self,
        fresh_start: bool,
        cells: Vec<(Cell, Content)>,
        cargo: &Cargo,
        applied: &mut BTreeSet<EditId>,
        out: &mut Outbox,
    ) {
        let mut old = Table::default();
        if fresh_start {
            old = std::mem::take(&mut self.table);
        }
        let mut unloader = ids::Unloader::new(cargo);
        let lineages: Vec<_> =
            (0..cells.len()).map(|n| ids::lineage(unloader.element(n))).collect();
        let count = cells.len();
        let mut emptied = BTreeSet::new();
        for (n, ((cell, content), lineage)) in cells.into_iter().zip(lineages).enumerate() {
            out.work(1);
            let emptied_by = ids::one(unloader.element(count + n));
            let new = Held { content, lineage, emptied_by };
            let before = match self.table.get(cell).or(old.get(cell)) {
                Some(before) => before,
                None => &Held::empty(new.content.kind()),
            };
            let deleted = new.emptied_by.filter(|_| new.emptied_by != before.emptied_by);
            let came = new.lineage.minus(&before.lineage).chain(deleted);
            came.filter(|edit| applied.insert(*edit))
                .for_each(|edit| out.change(Change::Applied { edit }));
            if let Some(by) = new.usurper() {
                let went = before.lineage.minus(&new.lineage);
                went.for_each(|edit| out.change(Change::Replaced { edit, by }));
            }
            if let (Some(edit), Some(by)) = (before.emptied_by, deleted)
                && emptied.insert(edit)
            {
                out.change(Change::Replaced { edit, by });
            }
            self.table.replace(cell, new);
        }
    }

    /// Takes the answer to the oldest request.
    fn take_answer(
        &mut self,
        number: u64,
        made: Option<u64>,
        applied: &BTreeSet<EditId>,
        out: &mut Outbox,
    ) {
        let queued = self.queue.pop_front().expect("answers were compared with the queue");
        self.sent -= 1;
        let edit = queued.id;
        let Some(revision) = made else {
            out.change(Change::Refused { edit, reason: Refusal::Stale });
            return;
        };
        if !applied.contains(&edit) {
            // It was executed, and overwritten before it could be shown here.
            match self.usurper(&queued.request.edit, edit) {
                Some(by) => out.change(Change::Replaced { edit, by }),
                None => out.change(Change::Applied { edit }),
            }
        }
        out.change(Change::Acknowledged { edit });
        for later in &mut self.queue {
            if later.request.base == Base::After(number) {
                later.request.base = Base::Revision(revision);
            }
        }
    }

    /// What took the place of an own edit that is not shown, where that is known.
    fn usurper(&self, edit: &Edit, id: EditId) -> Option<EditId> {
        match edit.cell() {
            Some(cell) => {
                let held = self.table.get(cell)?;
                held.usurper().filter(|_| !held.lineage.contains(id))
            }
            None => {
                // A delete touches every cell that there is, so all that were emptied name the last one.
                let mut cells = self.table.within(Scope::Record(edit.record()));
                cells.find_map(|(_, held)| held.emptied_by).filter(|by| *by != id)
            }
        }
    }

    pub fn restore(seat: &Seat<'_>, saved: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(saved);
        let incarnation = reader.uint32()?;
        let revision = reader.uint()?;
        let table = Table::restore(seat.schema, &mut reader)?;
        let flags = reader.byte()?;
        let sent = reader.uint()?;
        let mut next_number = reader.uint()?;
        let mut queue: VecDeque<Queued> = VecDeque::new();
        for _ in 0..reader.count(5)? {
            let (number, id) = (reader.uint()?, reader.edit_id()?);
            let request = Request::read(&mut reader)?;
            if number >= next_number || queue.back().is_some_and(|last| last.number >= number) {
                return Err(Malformed("request numbers are not ascending"));
            }
            queue.push_back(Queued { number, id, request });
        }
        reader.end()?;
        let first = queue.front().map_or(next_number, |queued| queued.number);
        let sent = usize::try_from(sent).ok().filter(|sent| *sent <= queue.len());
        let sent = sent.filter(|_| first > 0).ok_or(Malformed("impossible request numbers"))?;
        if incarnation != seat.incarnation {
            next_number = next_number.max(first_number(seat.incarnation));
        }
        Ok(Client {
            schema: seat.schema.clone(),
            server: seat.authority,
            incarnation: seat.incarnation,
            table,
            revision,
            session_open: flags & 1 != 0,
            greeting_owed: flags & 2 != 0,
            queue,
            sent,
            next_number,
        })
    }
}

/// Request numbers do not repeat after lost memory.
fn first_number(incarnation: u32) -> u64 {
    (u64::from(incarnation) << 32) + 1
}

/// Where a stretch (position, length) lies after an earlier splice (position, deleted, inserted) of the same text, without the
/// inserted characters, which its author was not shown. `None` where these would lie in its middle.
fn rebase(stretch: (usize, usize), over: (usize, usize, usize)) -> Option<(usize, usize)> {
    let ((at, length), (start, deleted, inserted)) = (stretch, over);
    let (end, deleted_end) = (at.saturating_add(length), start.saturating_add(deleted));
    if at < start && end <= start {
        return Some(stretch);
    }
    if at >= deleted_end {
        return Some((at - deleted + inserted, length));
    }
    let before = start.saturating_sub(at);
    let after = end.saturating_sub(deleted_end);
    match (before > 0, after > 0) {
        (true, true) if inserted > 0 => None,
        (true, _) => Some((at, before + after)),
        (false, _) => Some((start + inserted, after)),
    }
}

impl Replica for Client {
    fn handle(&mut self, _: Clock, input: Input<'_>, out: &mut Outbox) -> Result<(), Malformed> {
        match input {
            Input::Edit { id, edit } => self.edit(id, edit, out)?,
            Input::Sync { peer } => self.sync(peer, out),
            Input::Receive { from, bytes, cargo } => self.receive(from, bytes, cargo, out)?,
            Input::Link { peer, state } if Some(peer) == self.server => {
                self.session_open = state == LinkState::Open;
                self.greeting_owed = self.session_open;
                self.sent = 0;
            }
            Input::Link { .. } | Input::Seat(_) => {}
        }
        Ok(())
    }

    fn pending(&self, peer: ReplicaId) -> Pending {
        if Some(peer) != self.server {
            return Pending::default();
        }
        let unsent = self.queue.len() - self.sent;
        Pending {
            edits: unsent as u64 + u64::from(self.greeting_owed),
            exchange_open: self.sent > 0,
        }
    }

    fn length(&self, cell: Cell) -> usize {
        self.table.length(cell)
    }

    fn render(&self, scope: Scope, out: &mut Rendering) {
        self.table.render(scope, out);
    }

    fn fingerprint(&self, partition: PartitionId) -> u128 {
        self.table.fingerprint(partition)
    }

    fn save(&self, out: &mut Vec<u8>) {
        let mut writer = Writer::after(std::mem::take(out));
        writer.uint(u64::from(self.incarnation));
        writer.uint(self.revision);
        self.table.save(&mut writer);
        writer.byte(u8::from(self.session_open) | u8::from(self.greeting_owed) << 1);
        writer.count(self.sent);
        writer.uint(self.next_number);
        writer.count(self.queue.len());
        for queued in &self.queue {
            writer.uint(queued.number);
            writer.edit_id(queued.id);
            queued.request.write(&mut writer);
        }
        *out = writer.finish();
    }

    fn footprint(&self) -> Footprint {
        let queued = |queued: &Queued| 16 + queued.request.edit.content_bytes();
        Footprint {
            content_bytes: self.table.content_bytes(),
            metadata_bytes: 6 * self.table.len(),
            history_bytes: self.queue.iter().map(queued).sum(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::splice;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn a_rebased_stretch_deletes_what_its_author_saw_and_nothing_else() {
        let shown = "abcdefgh";
        for seed in 0..3000 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let mut stretch = || {
                let at = rng.random_range(0..=shown.len());
                (at, rng.random_range(0..=shown.len() - at))
            };
            let (first, second) = (stretch(), stretch());
            let inserted = ["", "12", "3"][rng.random_range(0..3)];
            let mut text = shown.to_owned();
            splice(&mut text, first.0, first.1, inserted);
            let Some((at, length)) = rebase(second, (first.0, first.1, inserted.len())) else {
                let spans = second.0 < first.0 && second.0 + second.1 > first.0 + first.1;
                assert!(spans && !inserted.is_empty(), "seed {seed}: refused without need");
                continue;
            };
            assert!(at + length <= text.len(), "seed {seed}");
            splice(&mut text, at, length, "X");
            let deleted = |n: usize, (at, length): (usize, usize)| n >= at && n < at + length;
            let place = text.find('X').expect("it was inserted");
            for (n, char) in shown.char_indices() {
                let found = text.find(char);
                if deleted(n, first) || deleted(n, second) {
                    assert_eq!(found, None, "seed {seed}: {char} in {text}");
                } else {
                    let found =
                        found.unwrap_or_else(|| panic!("seed {seed}: {char} not in {text}"));
                    assert_eq!(found < place, n < second.0, "seed {seed}: {char} in {text}");
                }
            }
            assert!(inserted.chars().all(|c| text.contains(c)), "seed {seed}: {text}");
        }
    }
}
