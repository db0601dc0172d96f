//! The membership service: who is told what and when, and that whoever was away for long comes back to everybody.

mod common;

use common::meddling::{Bystander, Meddler, meddled};
use common::*;
use reconverge_scenarios::{Crashes, Durability, Scenario};
use reconverge_simulator::fact::{Fact, Phase};
use reconverge_simulator::row::Status;
use reconverge_simulator::trial::unsupported;
use reconverge_strategies::{Input, Replica, ReplicaId, SeatChange, registry};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

const DAY: u64 = 24 * HOUR;

/// The device that is away in `sabbatical`.
const TRAVELLER: u32 = 3;

/// Sixty days away, half of them taken to be gone, with edits on both sides: everybody shows the same in the end, nothing is stranded, and
/// what promises to lose nothing loses nothing.
#[test]
fn every_strategy_survives_a_sabbatical() {
    let scenario = built_in("sabbatical", &[]);
    let (mut failures, mut careful) = (Vec::new(), 0);
    for strategy in registry() {
        let reason = unsupported(&scenario, &strategy.profile());
        assert_eq!(reason, None, "{} takes part", strategy.name());
        let (mut members, mut unsent) = (Vec::new(), 0);
        let row = listen(&scenario, *strategy, 0, |at_ns, fact| match fact {
            Fact::Member { device, gone } => members.push((at_ns / DAY, *device, *gone)),
            Fact::EditMade { id, .. } if id.origin == ReplicaId(TRAVELLER) => {
                unsent += u32::from((10 * DAY..70 * DAY).contains(&at_ns));
            }
            _ => {}
        });
        let row = row.result.row;
        let mut complain = |what: String| failures.push(format!("{}: {what}", row.strategy));
        if row.status != Status::Ok {
            complain(format!("{:?}: {}", row.status, row.reason));
            continue;
        }
        let metrics = row.metrics.as_ref().expect("it ended well");
        assert!(unsent > 30, "{}: {unsent}", row.strategy);
        // Nothing reached the traveller from the eleventh day on, and for a month nothing had since before that day.
        let [(gone, TRAVELLER, true), (70, TRAVELLER, false)] = members[..] else {
            complain(format!("{members:?}"));
            continue;
        };
        assert!((38..=40).contains(&gone), "{}: {members:?}", row.strategy);
        if metrics.edits_stranded != Some(0) {
            complain(format!("{:?} stranded", metrics.edits_stranded));
        }
        if row.strategy.starts_with("crdt/")
            || ["event-graph", "scuttlebutt"].contains(&row.strategy.as_str())
        {
            careful += 1;
            let lost = [
                metrics.edits_lost,
                metrics.text_chars_lost,
                metrics.increments_lost,
                metrics.increments_doubled,
                metrics.text_chars_doubled,
            ];
            if lost != [Some(0); 5] {
                complain(format!("edits, characters and additions lost or doubled: {lost:?}"));
            }
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
    assert!(careful >= 11, "{careful}");
}

/// What one replica has been told.
type Told = Arc<Mutex<Vec<(ReplicaId, SeatChange)>>>;

/// Notes what a replica is told, and holds it against what arrives.
struct Listener {
    own: ReplicaId,
    told: Told,
    /// Who is gone, as it was told; a restored replica has it in its snapshot, which is not looked into.
    gone: BTreeMap<ReplicaId, bool>,
}

impl Meddler for Listener {
    fn before(&mut self, _: &dyn Replica, input: &Input<'_>) {
        match input {
            Input::Seat(change) => {
                let (replica, gone) = match *change {
                    SeatChange::Gone { replica } => (replica, true),
                    SeatChange::Back { replica } => (replica, false),
                };
                assert!(replica != self.own || !gone, "{} is told so itself", self.own);
                let before = self.gone.insert(replica, gone);
                let first = before.is_none();
                let alternates = replica == self.own || before != Some(gone);
                assert!(first || alternates, "{}: {change:?} again", self.own);
                self.told.lock().expect("one thread").push((self.own, *change));
            }
            Input::Receive { from, .. } => {
                let gone = self.gone.get(from).copied().unwrap_or(false);
                assert!(!gone, "{} hears from {from}, which it takes to be gone", self.own);
            }
            _ => {}
        }
    }
}

/// `small` where two minutes of silence are an absence.
fn impatient(overrides: &[&str]) -> Scenario {
    built_in("small", &[&["data.retention=2min"], overrides].concat())
}

#[test]
fn everybody_is_told_once_and_before_the_next_message() {
    for (topology, overrides) in [
        ("star", vec!["group.phone.kills=none"]),
        ("mesh", vec!["group.phone.kills=none", "topology.kind=mesh"]),
        ("star with kills", vec![]),
        ("mesh with kills", vec!["topology.kind=mesh"]),
    ] {
        let scenario = impatient(&overrides);
        for seed in 0..3 {
            let told = Told::default();
            let curious = meddled(strategy("version-vector/dotted"), |seat, _| {
                let told = told.clone();
                Box::new(Listener { own: seat.replica, told, gone: BTreeMap::new() })
            });
            let (mut gone, mut back, mut work) = (0, 0, true);
            let finished = listen(&scenario, &curious, seed, |_, fact| match fact {
                Fact::Phase(phase) => work &= *phase == Phase::Work,
                Fact::Member { gone: true, .. } => {
                    assert!(work, "nobody goes while all are healed");
                    gone += 1;
                }
                Fact::Member { gone: false, .. } => back += 1,
                _ => {}
            });
            assert_eq!(finished.result.row.status, Status::Ok, "{}", finished.result.row.reason);
            let what = format!("{topology} seed {seed}: {gone} gone, {back} back");
            assert!(gone > 3, "{what}");
            assert_eq!(gone, back, "{what}: healing brings everybody back");
            let told = told.lock().expect("one thread");
            // A recovery replays what the journal holds.
            if scenario.groups[0].kills.is_none() {
                assert_eq!(told.len(), gone * 3 + back * 4, "{what}");
            } else {
                assert!(told.len() >= gone * 3 + back * 4, "{what}: {}", told.len());
            }
        }
    }
}

/// Believes what it is told, remembers it as long as its device does, and so hears everything exactly once.
struct Believer {
    own: ReplicaId,
    /// Of each replica whether it is gone.
    gone: Vec<u8>,
    /// What all believe now.
    beliefs: Arc<Mutex<BTreeMap<ReplicaId, Vec<u8>>>>,
}

impl Believer {
    fn confess(&self) {
        self.beliefs.lock().expect("one thread").insert(self.own, self.gone.clone());
    }
}

impl Meddler for Believer {
    fn before(&mut self, _: &dyn Replica, input: &Input<'_>) {
        let (replica, gone) = match *input {
            Input::Seat(SeatChange::Gone { replica }) => (replica, 1),
            Input::Seat(SeatChange::Back { replica }) => (replica, 0),
            Input::Receive { from, .. } => {
                let gone = self.gone[from.0 as usize] == 1;
                return assert!(!gone, "{} hears from {from}, which it takes to be gone", self.own);
            }
            _ => return,
        };
        let before = std::mem::replace(&mut self.gone[replica.0 as usize], gone);
        assert!(before != gone || replica == self.own, "{} hears {input:?} again", self.own);
        self.confess();
    }

    fn save(&self) -> Vec<u8> {
        self.gone.clone()
    }

    fn restore(&mut self, saved: &[u8]) {
        self.gone = saved.to_vec();
        self.confess();
    }
}

/// What was told and not synced when power failed is told again: nobody takes for gone who is not, nor the other way round.
#[test]
fn what_a_loss_of_power_takes_is_told_again() {
    for (topology, kills) in [("star", true), ("mesh", true), ("mesh", false)] {
        let mesh: &[&str] = if topology == "mesh" { &["topology.kind=mesh"] } else { &[] };
        let mut scenario = impatient(mesh);
        for group in &mut scenario.groups {
            group.power_losses = Some(Crashes { mean_ns: 5 * MINUTE, restart_ns: 20 * SECOND });
            group.device.storage.durability = Durability::Output { interval_ns: 5 * MINUTE };
            if !kills {
                group.kills = None;
            }
        }
        for seed in 0..3 {
            let beliefs = Arc::new(Mutex::new(BTreeMap::new()));
            let strategy = meddled(strategy("version-vector/dotted"), |seat, _| {
                let gone = vec![0; seat.members.len()];
                Box::new(Believer { own: seat.replica, gone, beliefs: beliefs.clone() })
            });
            let mut gone = 0;
            let finished = listen(&scenario, &strategy, seed, |_, fact| {
                gone += u32::from(matches!(fact, Fact::Member { gone: true, .. }));
            });
            let row = finished.result.row;
            let what = format!("{topology} seed {seed}");
            assert_eq!(row.status, Status::Ok, "{what}: {}", row.reason);
            assert!(gone > 3, "{what}: {gone} gone");
            let beliefs = beliefs.lock().expect("one thread");
            assert!(beliefs.len() > 3, "{what}: everybody heard something");
            assert!(beliefs.values().flatten().all(|gone| *gone == 0), "{what}: {beliefs:?}");
        }
    }
}

/// A retention as long as the work changes nothing at all.
#[test]
fn nobody_is_watched_where_nobody_can_be_away_for_so_long() {
    let digest = |retention: &str| {
        let scenario = built_in("small", &[&format!("data.retention={retention}")]);
        let bystander = meddled(strategy("version-vector/dotted"), |_, _| Box::new(Bystander));
        trial(&scenario, &bystander, 1).result.row.digest
    };
    assert_eq!(digest("30d"), digest("2h"));
    assert_ne!(digest("30d"), digest("2min"), "else the test shows nothing");
}
