//! Strategies that lie in their reports, or otherwise break the contract: a trial that meets one ends `failed`, or `diverged`, and says why.

mod common;

use common::meddling::{Bystander, Meddler, meddled};
use common::*;
use reconverge_scenarios::Scenario;
use reconverge_simulator::fact::Fact;
use reconverge_simulator::row::{Row, Status};
use reconverge_strategies::{
    Cargo, Cell, Change, Clock, Content, Edit, EditId, FieldId, Footprint, Input, Malformed,
    Outbox, Output, Pending, Profile, RecordId, Rendering, Replica, ReplicaId, Scope, Seat, Shown,
    Strategy, Value,
};
use std::collections::BTreeMap;

fn office() -> Scenario {
    built_in(
        "office",
        &["duration=20min", "group.laptop.count=2", "data.records=5", "group.laptop.user.gap=1min"],
    )
}

/// A put that device 0 makes, that device 1 is told of, and that is still shown at the end; and its value.
fn a_lasting_put(scenario: &Scenario) -> (EditId, Value) {
    let mut last: BTreeMap<Cell, (EditId, Value)> = BTreeMap::new();
    let finished = listen(scenario, strategy("lww/hlc"), 0, |_, fact| {
        if let Fact::EditMade { id, edit: Edit::Put { cell, value }, .. } = fact {
            last.insert(*cell, (*id, value.clone()));
        }
    });
    figures(&finished.result.row);
    let lasts = last.into_iter().find(|(cell, (id, value))| {
        let shown = finished.renderings[1].get(*cell).map(Shown::first);
        id.origin.0 == 0 && shown == Some(&Content::Register(Some(value.clone())))
    });
    lasts.expect("some put of device 0 lasts").1
}

/// The row of a trial in which somebody meddles with device 1.
fn row_with<M: Meddler + 'static>(
    scenario: &Scenario,
    make: impl Fn(bool) -> M + Send + Sync,
) -> Row {
    let meddled = meddled(strategy("lww/hlc"), |seat, restored| -> Box<dyn Meddler> {
        if seat.replica.0 == 1 { Box::new(make(restored)) } else { Box::new(Bystander) }
    });
    trial(scenario, &meddled, 0).result.row
}

fn assert_failed(row: &Row, parts: &[&str]) {
    assert_eq!(row.status, Status::Failed, "{}", row.reason);
    assert_eq!(row.metrics, None, "figures of a failed trial mean nothing");
    for part in parts {
        assert!(row.reason.contains(part), "{part:?} is not in: {}", row.reason);
    }
}

/// Changes reports.
struct Reporter<F>(F);

impl<F: FnMut(&mut Vec<Output>) + Send> Meddler for Reporter<F> {
    fn after(&mut self, _: &dyn Replica, _: &Input<'_>, out: &mut Outbox) {
        (self.0)(&mut out.outputs);
    }
}

#[test]
fn an_edit_that_is_shown_and_never_reported() {
    let scenario = office();
    let (put, _) = a_lasting_put(&scenario);
    let applied = Output::Change(Change::Applied { edit: put });
    let row = row_with(&scenario, |_| {
        let applied = applied.clone();
        Reporter(move |outputs: &mut Vec<Output>| outputs.retain(|output| *output != applied))
    });
    assert_failed(&row, &[&format!("r1 shows edit {put} and never reported it")]);
}

/// Hides a value.
struct Hides(Value);

impl Meddler for Hides {
    fn render(&self, inner: &dyn Replica, scope: Scope, out: &mut Rendering) {
        let mut all = Rendering::new();
        inner.render(scope, &mut all);
        for (cell, shown) in all.iter() {
            match shown {
                Shown::Settled(Content::Register(Some(value))) if *value == self.0 => {}
                Shown::Settled(content) => out.settled(cell, content.clone()),
                Shown::Conflict(alternatives) => out.conflict(cell, alternatives.clone()),
            }
        }
    }
}

#[test]
fn an_edit_that_is_reported_and_not_shown() {
    let scenario = office();
    let (put, value) = a_lasting_put(&scenario);
    let hides = meddled(strategy("lww/hlc"), |_, _| Box::new(Hides(value.clone())));
    let row = trial(&scenario, &hides, 0).result.row;
    assert_failed(&row, &[&format!("r0 does not show edit {put}")]);
}

#[test]
fn replacements_that_are_swallowed() {
    let row = row_with(&office(), |_| {
        Reporter(|outputs: &mut Vec<Output>| {
            outputs.retain(|output| !matches!(output, Output::Change(Change::Replaced { .. })));
        })
    });
    assert_failed(&row, &["r1 does not show edit", "which by its reports it shows"]);
}

#[test]
fn reports_under_names_of_other_edits() {
    for (shift, part) in [(1_000_000, "which nobody made"), (1, "and never reported it")] {
        let row = row_with(&office(), |_| {
            Reporter(move |outputs: &mut Vec<Output>| {
                for output in outputs {
                    if let Output::Change(Change::Applied { edit }) = output {
                        edit.sequence = edit.sequence.wrapping_add(shift);
                    }
                }
            })
        });
        // An edit may also be named before it is made.
        assert_eq!(row.status, Status::Failed, "shift {shift}: {}", row.reason);
        let named = row.reason.contains(part) || row.reason.contains("which nobody made");
        assert!(named && row.reason.contains("r1 "), "shift {shift}: {}", row.reason);
    }
}

#[test]
fn a_counter_that_counts_what_it_never_reports() {
    let mut scenario = office();
    scenario.workload.mix =
        reconverge_scenarios::Mix { put: 0, add: 1, insert: 0, remove: 0, splice: 0, delete: 0 };
    let mut swallowed = false;
    let row = row_with(&scenario, |_| {
        Reporter(move |outputs: &mut Vec<Output>| {
            outputs.retain(|output| {
                let one = matches!(output, Output::Change(Change::Applied { .. })) && !swallowed;
                swallowed |= one;
                !one
            });
        })
    });
    assert_failed(&row, &["r1 shows ", " in counter ", "by its reports the sum is"]);
}

/// Reports something whenever it may talk, and so never comes to rest.
struct Restless;

impl Meddler for Restless {
    fn after(&mut self, _: &dyn Replica, input: &Input<'_>, out: &mut Outbox) {
        if let Input::Sync { .. } = input {
            let genesis = EditId { origin: ReplicaId::GENESIS, sequence: 0 };
            out.change(Change::Acknowledged { edit: genesis });
        }
    }
}

#[test]
fn a_replica_that_never_comes_to_rest() {
    let mut scenario = office();
    scenario.settle_ns = 10 * SECOND;
    assert_failed(&row_with(&scenario, |_| Restless), &["still talking at the deadline"]);
}

/// Says nothing and owes nothing.
struct Mute;

impl Meddler for Mute {
    fn after(&mut self, _: &dyn Replica, _: &Input<'_>, out: &mut Outbox) {
        out.outputs.retain(|output| !matches!(output, Output::Send { .. }));
    }

    fn pending(&self, _: &dyn Replica, _: ReplicaId) -> Pending {
        Pending::default()
    }
}

#[test]
fn a_replica_that_never_says_anything_diverges() {
    let row = row_with(&office(), |_| Mute);
    assert_eq!(row.status, Status::Diverged, "{}", row.reason);
    for part in ["r1 ", " from r2 in ", " cells, first record ", " field ", "r2 shows "] {
        assert!(row.reason.contains(part), "{part:?} is not in: {}", row.reason);
    }
    let metrics = row.metrics.as_ref().expect("a diverged trial has figures");
    assert!(metrics.edits_stranded > Some(0), "what it made exists only there");
}

/// After a restart it shows a cell more.
struct Forgetful {
    restored: bool,
}

impl Meddler for Forgetful {
    fn render(&self, inner: &dyn Replica, scope: Scope, out: &mut Rendering) {
        inner.render(scope, out);
        let cell = Cell { record: RecordId(999), field: FieldId(0) };
        if self.restored && scope.contains(cell) {
            out.settled(cell, Content::Register(Some("déjà vu".into())));
        }
    }
}

#[test]
fn a_replica_that_comes_back_as_another_one() {
    let mut scenario = office();
    scenario.groups[0].kills = built_in("small", &[]).groups[0].kills.clone();
    scenario.groups[0].kills.as_mut().expect("phones are killed").mean_ns = 5 * MINUTE;
    let row = row_with(&scenario, |restored| Forgetful { restored });
    assert_failed(&row, &["r1 shows something else after its recovery"]);
}

/// What a rogue does.
#[derive(Clone, Copy)]
enum Rogue {
    /// Answers every message.
    Chatters,
    /// Writes to somebody it does not know.
    WritesToStrangers,
    /// Writes when its user edits.
    WritesUnasked,
    /// Refuses every message.
    Refuses,
}

/// Rogues show nothing and remember nothing.
impl Strategy for Rogue {
    fn name(&self) -> &str {
        "rogue"
    }

    fn profile(&self) -> Profile {
        strategy("lww/hlc").profile()
    }

    fn create(&self, seat: &Seat<'_>) -> Box<dyn Replica> {
        Box::new(RogueReplica { rogue: *self, peers: seat.peers.to_vec() })
    }

    fn restore(&self, seat: &Seat<'_>, _: &[u8]) -> Result<Box<dyn Replica>, Malformed> {
        Ok(self.create(seat))
    }

    fn recode(&self, message: &[u8]) -> Result<Vec<u8>, Malformed> {
        Ok(message.to_vec())
    }
}

struct RogueReplica {
    rogue: Rogue,
    peers: Vec<ReplicaId>,
}

impl Replica for RogueReplica {
    fn handle(&mut self, _: Clock, input: Input<'_>, out: &mut Outbox) -> Result<(), Malformed> {
        let mut send = |to| out.send(to, vec![1], Cargo::default());
        match (self.rogue, input) {
            (Rogue::Refuses, Input::Receive { .. }) => return Err(Malformed("not today")),
            (Rogue::WritesToStrangers, Input::Sync { .. }) => send(ReplicaId(77)),
            (Rogue::WritesUnasked, Input::Edit { .. }) => send(self.peers[0]),
            (Rogue::WritesUnasked, _) => {}
            (_, Input::Sync { peer }) => send(peer),
            (Rogue::Chatters, Input::Receive { from, .. }) => send(from),
            _ => {}
        }
        Ok(())
    }

    fn pending(&self, _: ReplicaId) -> Pending {
        Pending::default()
    }

    fn length(&self, _: Cell) -> usize {
        0
    }

    fn render(&self, _: Scope, _: &mut Rendering) {}

    fn save(&self, _: &mut Vec<u8>) {}

    fn footprint(&self) -> Footprint {
        Footprint::default()
    }
}

#[test]
fn rogues_are_stopped() {
    for (rogue, reason) in [
        (Rogue::Chatters, "did not end within 64 replies"),
        (Rogue::WritesToStrangers, "writes to r77 where it may write to r2"),
        (Rogue::WritesUnasked, "writes to r2 where it may write to nobody"),
        (Rogue::Refuses, "refuses an input: malformed bytes: not today"),
    ] {
        assert_failed(&trial(&office(), &rogue, 0).result.row, &[reason]);
    }
}
