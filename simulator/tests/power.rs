//! Losses of power: what was not synced is gone, what had left is not, and every strategy gets over it.

mod common;

use common::*;
use reconverge_scenarios::{Crashes, Durability, Scenario};
use reconverge_simulator::fact::{Fact, Stop};
use reconverge_simulator::row::{Row, Status};
use reconverge_strategies::{Change, Strategy, registry};
use std::collections::BTreeSet;

/// `small` with everybody's power failing about every ten minutes, the server's too.
fn power_cuts(durability: Durability) -> Scenario {
    let mut scenario = built_in("small", &[]);
    for group in &mut scenario.groups {
        group.power_losses = Some(Crashes { mean_ns: 10 * MINUTE, restart_ns: 20 * SECOND });
        group.device.storage.durability = durability;
    }
    scenario
}

const OUTPUT: Durability = Durability::Output { interval_ns: 5 * MINUTE };

fn survives(scenario: &Scenario, strategy: &dyn Strategy, seed: u64) -> Row {
    let row = trial(scenario, strategy, seed).result.row;
    let metrics = figures(&row);
    assert!(metrics.power_losses > Some(20), "{} seed {seed}", row.strategy);
    row
}

/// With the barrier a loss of power takes only what nobody else can know of.
#[test]
fn every_strategy_gets_over_losses_of_power() {
    let scenario = power_cuts(OUTPUT);
    for strategy in registry() {
        let mut crashed = 0;
        for seed in 0..3 {
            let row = survives(&scenario, *strategy, seed);
            let metrics = figures(&row);
            crashed += metrics.edits_crashed.expect("every trial has it");
            assert_eq!(metrics.edits_stranded, Some(0), "{} seed {seed}", row.strategy);
            if row.strategy.starts_with("crdt/") {
                assert_eq!(metrics.edits_lost, Some(0), "{} seed {seed}", row.strategy);
            }
        }
        let refuses = strategy.name() == "online-only";
        assert!(crashed > 0 || refuses, "{}: nothing was ever lost", strategy.name());
    }
}

/// Synced at once, an edit is lost only while that takes.
#[test]
fn edits_that_are_synced_at_once_are_not_lost() {
    for strategy in registry() {
        let row = survives(&power_cuts(Durability::Edit), *strategy, 1);
        assert_eq!(figures(&row).edits_crashed, Some(0), "{}", row.strategy);
    }
}

/// What a device holds after a loss of power is told by its journal alone: edits synced before are kept, later ones are gone wherever
/// they had not been sent.
#[test]
fn exactly_the_unsynced_edits_are_lost() {
    let mut scenario = power_cuts(OUTPUT);
    for group in &mut scenario.groups {
        group.kills = Some(Crashes { mean_ns: 15 * MINUTE, restart_ns: 2 * SECOND });
        group.device.battery = None;
    }
    for name in ["lww/hlc", "ot/central", "crdt/digest"] {
        let (mut lost, mut twice) = (0, 0);
        for seed in 0..3 {
            let mut unsynced = BTreeSet::new();
            let mut gone = BTreeSet::new();
            let mut asked = 0;
            let mut since_power = 0;
            let finished = listen(&scenario, strategy(name), seed, |_, fact| match fact {
                Fact::EditMade { id, number, .. } => {
                    unsynced.insert((*id, number.is_some()));
                }
                Fact::Committed { device } => unsynced.retain(|(id, _)| id.origin.0 != *device),
                Fact::Stopped { why: Stop::Power, .. } => since_power += 1,
                Fact::Forgotten { device, edits, .. } => {
                    let here: Vec<_> =
                        unsynced.iter().copied().filter(|(id, _)| id.origin.0 == *device).collect();
                    // A kill in the middle of a barrier ends it, which is told with the next one.
                    twice += here.len() as u64 - edits;
                    for edit in here.into_iter().rev().take(*edits as usize) {
                        unsynced.remove(&edit);
                        asked += u64::from(edit.1);
                        gone.insert(edit.0);
                    }
                }
                Fact::Changed { change: Change::Applied { edit }, .. } => {
                    assert!(!gone.contains(edit), "{name} seed {seed}: {edit} came back");
                }
                _ => {}
            });
            let metrics = figures(&finished.result.row);
            // A lost removal counts as kept where somebody else removed the same.
            assert!(metrics.edits_crashed <= Some(asked), "{name} seed {seed}");
            assert!(metrics.edits_crashed >= Some(asked * 3 / 4), "{name} seed {seed}: {asked}");
            assert!(since_power > 10, "{name} seed {seed}");
            lost += asked;
        }
        assert!(lost > 10 && twice < 5, "{name}: {lost} edits lost, {twice}");
    }
}

/// The built-in scenario shows what a barrier after every edit is worth.
#[test]
fn a_power_cut_takes_edits_that_waited_for_their_barrier() {
    let waits = built_in("power-cut", &[]);
    let at_once = ["group.till.device.storage.durability=edit"];
    let at_once = built_in("power-cut", &at_once);
    for name in ["lww/hlc", "ot/central", "crdt/digest"] {
        let (mut crashed, mut world) = (0, Vec::new());
        for seed in 0..3 {
            let row = trial(&waits, strategy(name), seed).result.row;
            crashed += figures(&row).edits_crashed.expect("every trial has it");
            world.push(row.world_digest);
            let row = trial(&at_once, strategy(name), seed).result.row;
            assert_eq!(figures(&row).edits_crashed, Some(0), "{name} seed {seed}");
            assert_eq!(row.world_digest, world[seed as usize], "power fails whatever the policy");
        }
        assert!(crashed > 0, "{name}");
    }
}

/// With three seeds, as anybody would run it: every strategy ends well, and every budget of the scenario is kept.
#[test]
fn the_power_cut_keeps_its_budgets() {
    let scenario = built_in("power-cut", &[]);
    let rows: Vec<Row> = registry()
        .iter()
        .flat_map(|strategy| (0..3).map(|seed| trial(&scenario, *strategy, seed).result.row))
        .collect();
    assert!(scenario.budgets.len() >= 2, "there is something to keep");
    for budget in &scenario.budgets {
        let family = budget.strategy.trim_end_matches('*');
        let mut judged = 0;
        for row in rows.iter().filter(|row| row.strategy.starts_with(family)) {
            let value = figures(row).get(&budget.metric).flatten();
            let value = value.unwrap_or_else(|| panic!("no {} of {}", budget.metric, row.strategy));
            let kept = budget.min.is_none_or(|min| value >= min)
                && budget.max.is_none_or(|max| value <= max);
            let (name, seed) = (&row.strategy, row.seed);
            assert!(kept, "{name} seed {seed}: {} is {value}, where {budget:?}", budget.metric);
            judged += 1;
        }
        assert!(judged > 3, "{budget:?} speaks of {judged} trials");
    }
    for row in &rows {
        assert_eq!(row.status, Status::Ok, "{} seed {}: {}", row.strategy, row.seed, row.reason);
    }
}
