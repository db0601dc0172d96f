//! A client that lacks revisions which the server does not keep any more takes in a snapshot, and its own edits under way are applied
//! again on top.
//!
//! What changed meanwhile is seen as one big revision. In texts it is the difference between the server's state that the client knew
//! and the snapshot ([`super::diff`]); of a register or set, what it holds now. Of a counter the snapshot says what was wiped and added
//! singly, so that a wipe under way takes what its author saw. So each edit under way means what it meant, and none is lost.

use super::batch::{Batch, check_made_at};
use super::client::Client;
use super::codec::Snapshot;
use super::diff;
use super::history::History;
use super::missed::SnapshotNames;
use super::op::{Addition, CellOp, CounterOp, ElementOp, Ops, RegisterOp, Span, Tally};
use super::rebase::Rebase;
use super::standing::UNDER_WAY;
use crate::contract::{Cargo, Change, Malformed, Outbox};
use crate::document::{Cell, Content, EditId, FieldKind, ReplicaId, Value};
use crate::lineage::Lineage;
use std::collections::{BTreeMap, BTreeSet};

impl Client {
    /// Displays a snapshot, with the edits under way on top; sends what was in flight again where it is not in the snapshot.
    pub(super) fn adopt(
        &mut self,
        snapshot: Snapshot,
        cargo: &Cargo,
        out: &mut Outbox,
    ) -> Result<(), Malformed> {
        self.check(&snapshot)?;
        let seen_before = self.seen;
        let landed = !self.flight.is_empty() && snapshot.executed == self.number;
        // Aside, and on what the server will have had when the snapshot was made.
        let mut rebase = Rebase::default();
        if landed {
            rebase.land(self, self.flight.len() as u32)?;
        }
        let mut bases = BTreeMap::new();
        for cell in self.cells_under_way(landed) {
            let mut base = self.bases.get(&cell).map(|base| base.held.clone());
            if let Some(base) = base.as_mut().filter(|_| landed) {
                for op in self.flight.iter().filter_map(|batch| batch.ops.get(&cell)) {
                    base.apply(op)?;
                }
            }
            let shown = self.cells.get(cell).map(|held| held.content().clone());
            let content = base.map(|base| base.content().clone()).or(shown);
            bases.insert(cell, content);
        }
        // Of these its own later wipes saw.
        let own = if landed { self.flight.len() as u64 } else { 0 };
        let own =
            Span { since: snapshot.executed_at.saturating_sub(own), last: snapshot.executed_at };
        let (mut changes, mut additions) = (Ops::new(), Vec::new());
        for (cell, before) in &bases {
            let empty = self.cells.kind(*cell)?.empty();
            let before = before.as_ref().unwrap_or(&empty);
            let after = snapshot.cells.get(cell).unwrap_or(&empty);
            let op = if let (Content::Counter(before), Content::Counter(after)) = (before, after) {
                let tally = snapshot.tallies.get(cell).cloned().unwrap_or_default();
                let new = Span { since: seen_before, last: snapshot.revision };
                let (op, single) = recount(*before, *after, tally, new, own)?;
                additions.extend(single.into_iter().map(|addition| (*cell, addition)));
                CellOp::Counter(op)
            } else {
                change(before, after, &mut rebase.work)
            };
            changes.insert(*cell, op);
        }
        // What was added to counters comes after that.
        let at = Span { since: seen_before, last: snapshot.revision };
        let mut shown = rebase.pass(self, at, &changes)?;
        let mut counters = Vec::new();
        for (cell, Addition { revisions, amount }) in additions {
            let op = CellOp::Counter(CounterOp { left: None, add: amount });
            counters.push(rebase.pass(self, revisions, &Ops::from([(cell, op)]))?);
        }
        for (cell, op) in counters.into_iter().flatten() {
            if let (Some(CellOp::Counter(shown)), CellOp::Counter(op)) = (shown.get_mut(&cell), op)
            {
                shown.add = shown.add.wrapping_add(op.add);
            }
        }
        // All of it fits.
        out.work(rebase.work + self.cells.iter().len() as u64 + snapshot.cells.len() as u64);
        self.seen = snapshot.revision;
        if landed {
            while let Some(ops) = self.flight.front().map(|batch| batch.ops.clone()) {
                self.land(&ops, out);
            }
        }
        self.display(&snapshot, &shown, out);
        rebase.settle(&mut self.flight, &mut self.buffer);
        self.report(&snapshot, &changes, &shown, seen_before, cargo, out);
        self.history = History::default();
        snapshot.history.into_iter().for_each(|ops| self.history.push(ops));
        self.asked = false;
        self.send_flight(out);
        Ok(())
    }

    fn check(&self, snapshot: &Snapshot) -> Result<(), Malformed> {
        if snapshot.revision < self.seen {
            return Err(Malformed("a snapshot from before what is displayed"));
        }
        let landed_or_not = [self.number - u64::from(!self.flight.is_empty()), self.number];
        if !landed_or_not.contains(&snapshot.executed) {
            return Err(Malformed("a snapshot without batches that were executed"));
        }
        if !self.kind.relays() && !snapshot.history.is_empty() {
            return Err(Malformed("history is for clients of a server that only relays"));
        }
        for (cell, content) in &snapshot.cells {
            self.cells.check_kind(*cell, content.kind())?;
        }
        let before = snapshot.revision - snapshot.history.len() as u64;
        for (revision, ops) in (before..).zip(&snapshot.history) {
            check_made_at(revision, ops, &self.cells)?;
        }
        for cell in snapshot.tallies.keys() {
            self.cells.check_kind(*cell, FieldKind::Counter)?;
        }
        Ok(())
    }

    /// The cells that edits under way touch; without those in flight, where these landed.
    fn cells_under_way(&self, landed: bool) -> BTreeSet<Cell> {
        let flight = self.flight.iter().filter(|_| !landed);
        flight.chain(&self.buffer).flat_map(|batch| batch.ops.keys().copied()).collect()
    }

    /// Cells with edits under way change by `shown`, all others become what the snapshot says.
    fn display(&mut self, snapshot: &Snapshot, shown: &Ops, out: &mut Outbox) {
        for (cell, op) in shown {
            out.work(self.cells.apply(*cell, op));
            if let Some(base) = self.bases.get_mut(cell) {
                let empty = || op.kind().empty();
                base.held = snapshot.cells.get(cell).cloned().unwrap_or_else(empty).into();
            }
        }
        let gone: Vec<Cell> = self
            .cells
            .iter()
            .map(|(cell, _)| cell)
            .filter(|cell| !snapshot.cells.contains_key(cell) && !shown.contains_key(cell))
            .collect();
        for cell in gone {
            self.cells.clear(cell);
        }
        for (cell, content) in &snapshot.cells {
            let held = self.cells.get(*cell).map(|held| held.content());
            if !shown.contains_key(cell) && held != Some(content) {
                self.cells.replace(*cell, content.clone());
            }
        }
    }

    /// Which edits came with the snapshot, and which went.
    fn report(
        &mut self,
        snapshot: &Snapshot,
        changes: &Ops,
        shown: &Ops,
        seen_before: u64,
        cargo: &Cargo,
        out: &mut Outbox,
    ) {
        let targets = snapshot.cells.values().map(|content| match content {
            Content::Set(elements) => elements.len() as u64,
            _ => 1,
        });
        let names = SnapshotNames::read(targets.sum(), &cargo.ids);
        let mut report = Report {
            names,
            seen_before,
            replica: self.replica,
            came: Lineage::new(),
            added: Lineage::new(),
            gone: Vec::new(),
        };
        let mut target = 0;
        let mut standing = std::mem::take(&mut self.standing);
        let (registers, counters, sets) =
            (&mut standing.registers, &mut standing.counters, &mut standing.sets);
        let mut cells: BTreeSet<Cell> = snapshot.cells.keys().copied().collect();
        cells.extend(registers.keys().chain(counters.keys()).chain(sets.keys()));
        cells.extend(report.names.zeros().filter_map(|number| self.cells.cell(number)));
        for cell in cells {
            let first = target;
            target += match snapshot.cells.get(&cell) {
                None => 0,
                Some(Content::Set(elements)) => elements.len() as u64,
                Some(_) => 1,
            };
            let behind = if target > first {
                report.names.behind(first)
            } else {
                report.names.behind_zero(self.cells.number(cell))
            };
            let emptied = report.names.emptied_by(self.cells.number(cell));
            match self.cells.kind(cell) {
                Ok(FieldKind::Register) => {
                    let new = behind.iter().next();
                    let own = || self.winner(cell, None);
                    let hidden = matches!(
                        (shown.get(&cell), changes.get(&cell)),
                        (Some(CellOp::Register(RegisterOp::Nothing)), Some(_))
                    );
                    if hidden {
                        let unchanged = CellOp::Register(RegisterOp::Nothing);
                        if changes.get(&cell) != Some(&unchanged) {
                            report.replaced(new, own());
                        }
                        continue;
                    }
                    let old = registers.get(&cell).copied();
                    if new != old {
                        report.applied(new);
                        report.replaced(old, new.or(emptied));
                        registers.remove(&cell);
                        registers.extend(new.map(|new| (cell, new)));
                    }
                }
                Ok(FieldKind::Counter) => {
                    let held = counters.entry(cell).or_default();
                    report.counter(held, &behind, emptied);
                }
                Ok(FieldKind::Set) => {
                    let held = sets.entry(cell).or_default();
                    let elements = match snapshot.cells.get(&cell) {
                        Some(Content::Set(elements)) => elements.clone(),
                        _ => BTreeSet::new(),
                    };
                    held.retain(|element, inserted| {
                        if elements.contains(element) {
                            return true;
                        }
                        // Who removed what is missing now had seen it, or it is told elsewhere.
                        *inserted = self.own_insertions(cell, element);
                        !inserted.is_empty()
                    });
                    for (number, element) in (first..).zip(elements) {
                        let behind = report.names.behind(number);
                        let own = self.own_insertions(cell, &element);
                        if own.is_empty()
                            && let Some(remover) = self.winner(cell, Some(&element))
                        {
                            report.replaced(behind.iter(), Some(remover));
                            continue;
                        }
                        let held = held.entry(element).or_default();
                        report.element(held, &behind, &own);
                    }
                }
                Ok(FieldKind::Text) | Err(_) => {}
            }
        }
        self.standing = standing;
        report.finish(out);
    }

    /// The edit under way that hides what is at a target.
    fn winner(&self, cell: Cell, element: Option<&Value>) -> Option<EditId> {
        let target = (cell, element.cloned());
        self.flight.iter().chain(&self.buffer).find_map(|batch| batch.winner(&target))
    }

    /// The insertions of an element that are under way, unless a removal is.
    fn own_insertions(&self, cell: Cell, element: &Value) -> Lineage {
        let last = |batch: &&Batch| match batch.ops.get(&cell) {
            Some(CellOp::Set(ops)) => ops.get(element).is_some_and(|op| *op != ElementOp::Nothing),
            _ => false,
        };
        let Some(batch) = self.buffer.iter().rev().chain(self.flight.iter().rev()).find(last)
        else {
            return Lineage::new();
        };
        let inserts = matches!(
            batch.ops.get(&cell),
            Some(CellOp::Set(ops)) if ops.get(element) == Some(&ElementOp::Insert)
        );
        let names = batch.names.by_target.get(&(cell, Some(element.clone())));
        names.filter(|_| inserts).map(|names| names.deciding.clone()).unwrap_or_default()
    }
}

/// What became of a counter in `new` revisions other than the `own` ones: what was wiped, and what was added after that. A sum that begins
/// before the first new revision counts as seen.
///
/// # Errors
/// [`Malformed`] where nothing is new and yet the counter is another.
fn recount(
    before: i64,
    after: i64,
    tally: Tally,
    new: Span,
    own: Span,
) -> Result<(CounterOp, Vec<Addition>), Malformed> {
    let sum = |all: &[Addition]| all.iter().fold(0, |sum: i64, a| sum.wrapping_add(a.amount));
    let (known, mut added): (Vec<Addition>, Vec<Addition>) =
        tally.left.into_iter().partition(|Addition { revisions, .. }| {
            revisions.since < new.since || own.contains(revisions.last)
        });
    let (left, kept) = if tally.wiped > new.since {
        let kept = sum(&known);
        (Some(known), kept)
    } else {
        (None, before)
    };
    // Not listed singly.
    let rest = after.wrapping_sub(kept).wrapping_sub(sum(&added));
    if rest != 0 {
        if new.since == new.last {
            return Err(Malformed("nothing is new and yet there is more"));
        }
        match added.first_mut() {
            Some(first) => {
                first.revisions.since = new.since;
                first.amount = first.amount.wrapping_add(rest);
            }
            None => added.push(Addition { revisions: new, amount: rest }),
        }
        added.retain(|addition| addition.amount != 0);
    }
    Ok((CounterOp { left, add: 0 }, added))
}

/// What became of any other cell, as one operation.
fn change(before: &Content, after: &Content, work: &mut u64) -> CellOp {
    match (before, after) {
        (Content::Register(_), Content::Register(value)) => CellOp::Register(match value {
            _ if before == after => RegisterOp::Nothing,
            None => RegisterOp::Clear,
            Some(value) => RegisterOp::Put(value.clone()),
        }),
        (Content::Set(before), Content::Set(after)) => {
            *work += (before.len() + after.len()) as u64;
            let gone = before.difference(after).map(|e| (e.clone(), ElementOp::Remove));
            let new = after.difference(before).map(|e| (e.clone(), ElementOp::Insert));
            CellOp::Set(gone.chain(new).collect())
        }
        (Content::Text(before), Content::Text(after)) => {
            let (op, searched) = diff::difference(before, after);
            *work += searched;
            CellOp::Text(op)
        }
        _ => unreachable!("both are of the cell's kind, which is not a counter"),
    }
}

/// What is to be reported.
struct Report {
    names: SnapshotNames,
    seen_before: u64,
    replica: ReplicaId,
    /// Edits that are new here, each once.
    came: Lineage,
    /// Additions to counters that are in the snapshot.
    added: Lineage,
    gone: Vec<(EditId, EditId)>,
}

impl Report {
    fn applied(&mut self, edits: impl IntoIterator<Item = EditId>) {
        for edit in edits {
            if edit.origin != self.replica {
                self.came.insert(edit);
            }
        }
    }

    fn replaced(&mut self, edits: impl IntoIterator<Item = EditId>, by: Option<EditId>) {
        let pairs = edits.into_iter().filter_map(|edit| Some((edit, by?)));
        self.gone.extend(pairs.filter(|(edit, by)| edit != by));
    }

    /// The additions that are in a counter now.
    fn counter(&mut self, held: &mut Vec<(u64, EditId)>, now: &Lineage, emptied: Option<EditId>) {
        let mut before: BTreeMap<EditId, u64> =
            held.drain(..).map(|(revision, edit)| (edit, revision)).collect();
        self.added.extend(now);
        for edit in now.iter() {
            let came = self.names.came.get(&edit).copied();
            match (before.remove(&edit), came) {
                (Some(revision), came) => held.push((came.unwrap_or(revision), edit)),
                (None, Some(came)) if came > self.seen_before && edit.origin != self.replica => {
                    held.push((came, edit));
                    self.applied([edit]);
                }
                // Taken away by a wipe that is under way.
                (None, _) => {}
            }
        }
        for (edit, revision) in before {
            if revision == UNDER_WAY {
                held.push((revision, edit));
            } else {
                self.replaced([edit], emptied);
            }
        }
    }

    /// The insertions behind an element that is there now; `own` are under way.
    fn element(&mut self, held: &mut Lineage, now: &Lineage, own: &Lineage) {
        self.applied(now.minus(held));
        let by = now.iter().next();
        self.replaced(held.minus(now).filter(|edit| !own.contains(*edit)), by);
        held.clone_from(now);
        held.extend(own);
    }

    fn finish(mut self, out: &mut Outbox) {
        let came = std::mem::take(&mut self.names.came);
        let new = came.into_iter().filter(|(_, revision)| *revision > self.seen_before);
        let lasting: Vec<EditId> =
            new.map(|(edit, _)| edit).filter(|edit| !self.added.contains(*edit)).collect();
        self.applied(lasting);
        for edit in self.came.iter() {
            out.change(Change::Applied { edit });
        }
        for (edit, by) in self.gone {
            out.change(Change::Replaced { edit, by });
        }
    }
}
