//! Partial replication: everybody who holds a partition shows the same of it, and nobody else hears of it.

mod common;

use common::meddling::{Meddler, meddled};
use common::*;
use reconverge_scenarios::Scenario;
use reconverge_simulator::fact::Fact;
use reconverge_simulator::oracle;
use reconverge_simulator::partitions::Holders;
use reconverge_simulator::row::Status;
use reconverge_simulator::trial::{Finished, unsupported};
use reconverge_strategies::{Cell, Input, Rendering, Replica, ReplicaId, registry};
use std::collections::BTreeMap;

/// Of each partition every holder shows the same, and all of it; nobody shows anything else.
fn assert_parted(scenario: &Scenario, finished: &Finished, what: &str) {
    let holders = Holders::new(scenario, None);
    for partition in holders.partitions() {
        let of = |device: usize| -> Vec<(Cell, String)> {
            let rendering: &Rendering = &finished.renderings[device];
            let here = |cell: &Cell| holders.seat().of(cell.record) == partition;
            let cells = rendering.iter().filter(|(cell, _)| here(cell));
            cells.map(|(cell, shown)| (cell, format!("{shown:?}"))).collect()
        };
        let expected = of(holders.of(partition)[0] as usize);
        assert!(expected.len() > 5, "{what}: {partition:?} is empty");
        for device in 0..finished.renderings.len() {
            if holders.holds(device as u32, partition) {
                assert_eq!(of(device), expected, "{what}: r{device}, {partition:?}");
            } else {
                assert_eq!(of(device), [], "{what}: r{device} does not hold {partition:?}");
            }
        }
    }
}

/// In the built-in scenario all strategies converge on every partition, meet one world, and need far fewer bytes than with everything everywhere.
#[test]
fn every_strategy_gets_by_with_the_parts_that_are_held() {
    let parted = built_in("field-offices", &["duration=1h"]);
    let everything =
        ["duration=1h", "group.office.partitions_held=all", "group.desk.partitions_held=all"];
    let whole = built_in("field-offices", &everything);
    let mut worlds = BTreeMap::new();
    for strategy in registry() {
        let name = strategy.name();
        assert_eq!(unsupported(&parted, &strategy.profile()), None, "{name} takes part");
        let finished = trial(&parted, *strategy, 0);
        let row = &finished.result.row;
        let part = figures(row);
        assert_parted(&parted, &finished, name);
        worlds.insert(row.world_digest, name);
        let all = trial(&whole, *strategy, 0).result.row;
        let all = figures(&all);
        assert!(part.edits_kept > Some(50), "{name}: {:?}", part.edits_kept);
        let bytes = [part.bytes_strategy, all.bytes_strategy].map(|bytes| bytes.expect("counted"));
        assert!(bytes[0] * 3 < bytes[1] * 2, "{name}: {bytes:?}");
        let wire = [part.bytes_wire, all.bytes_wire].map(|bytes| bytes.expect("counted"));
        assert!(wire[0] * 4 < wire[1] * 3, "{name}: {wire:?}");
        assert!(part.records_held < all.records_held, "{name}");
    }
    assert_eq!(worlds.len(), 1, "class A is the same for all: {worlds:?}");
}

/// Kills, outages and no hub: a device deals with those that share something with it.
#[test]
fn parts_converge_on_every_graph() {
    let rough = |topology: &str, held: u32| {
        let topology = format!("topology={{ {topology} }}");
        let held = format!("group.phone.partitions_held={held}");
        let own = ["duration=1h", "group.phone.count=6", "data.partitions=3", &held, &topology];
        built_in("small", &own)
    };
    // Number 6 holds everything and passes on what its neighbours hold; 0 and 3 hold the same and are neighbours too.
    let edges =
        "kind = \"edges\", edges = [[6, 0], [1, 6], [2, 6], [6, 3], [4, 6], [6, 5], [0, 3]]";
    let mesh = "kind = \"mesh\"";
    for scenario in [rough(mesh, 1), rough(mesh, 2), rough(edges, 2)] {
        let topology = scenario.topology.name();
        for strategy in registry() {
            for seed in 0..2 {
                let finished = trial(&scenario, *strategy, seed);
                let row = &finished.result.row;
                let what = format!("{} in {topology} seed {seed}", row.strategy);
                if unsupported(&scenario, &strategy.profile()).is_some() {
                    assert_eq!(row.status, Status::Unsupported, "{what}");
                    continue;
                }
                assert!(figures(row).kills > Some(0), "{what}");
                // Rumors alone leave something out.
                if !strategy.profile().is_probabilistic() {
                    assert_parted(&scenario, &finished, &what);
                }
            }
        }
    }
}

/// Sees to it that a replica is asked for nothing that it does not hold.
struct Overheard(Holders, ReplicaId);

impl Meddler for Overheard {
    fn before(&mut self, _: &dyn Replica, input: &Input<'_>) {
        if let Input::Edit { edit, .. } = input {
            assert!(self.0.concerns(self.1.0, edit.record()), "{} edits {edit:?}", self.1);
        }
    }
}

/// Users edit what their device holds; figures count those whom an edit concerns.
#[test]
fn an_edit_concerns_those_who_hold_its_record() {
    let scenario = built_in("field-offices", &["duration=1h", "group.desk.kills.mean=20min"]);
    let holders = Holders::new(&scenario, None);
    let inner = strategy("crdt/digest");
    let curious = meddled(inner, |seat, _| Box::new(Overheard(holders.clone(), seat.replica)));
    for seed in 0..2 {
        let (mut bytes, mut pairs, mut edits) = (0, 0, 0);
        let finished = listen(&scenario, &curious, seed, |_, fact| {
            if let Fact::EditMade { id, edit, .. } = fact {
                let others = holders.of_record(edit.record());
                bytes += edit.content_bytes() * (others.len() as u64 - 1);
                let seat = 8;
                let users = others.iter().filter(|other| **other != id.origin.0 && **other != seat);
                pairs += users.count() as u64;
                edits += 1;
            }
        });
        let row = &finished.result.row;
        let metrics = figures(row);
        assert!(metrics.kills > Some(0), "seed {seed}");
        assert_eq!(metrics.bytes_user, Some(bytes), "seed {seed}");
        assert_eq!(finished.result.histograms.settled.len(), pairs, "seed {seed}");
        assert_eq!(metrics.unsettled_permille, Some(0), "seed {seed}");
        // Each partition is held by one office and two desks, so with the origin's that makes two other users for each edit.
        assert_eq!(pairs, 2 * edits, "seed {seed}");
        let at_the_end = finished.result.timeline.last().expect("samples");
        assert!(at_the_end.edits_pending < edits, "seed {seed}");
        let perfect = oracle::run(&scenario, seed).row;
        let least = figures(&perfect);
        assert!(metrics.bytes_wire >= least.bytes_wire, "seed {seed}");
        assert!(metrics.visible_us_mean >= least.visible_us_mean, "seed {seed}");
        let gap = least.bytes_user.expect("counted").abs_diff(bytes);
        assert!(gap * 10 < bytes, "seed {seed}: the oracle counts the same edits but a few");
    }
}
