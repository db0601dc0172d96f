//! Common random numbers: what every strategy meets alike (class A), what follows from the strategy (class C), and that neither depends on
//! who listens, on how many threads run, or on who else takes part.

mod common;

use common::meddling::{Meddler, meddled};
use common::*;
use reconverge_scenarios::Scenario;
use reconverge_simulator::fact::Fact;
use reconverge_simulator::row::{Status, TrialResult};
use reconverge_simulator::trial::{Case, run, run_all};
use reconverge_simulator::workload::Asked;
use reconverge_strategies::{Input, Outbox, Replica, registry};

#[test]
fn the_world_is_the_same_for_all_strategies_and_another_one_for_every_seed() {
    let scenario = built_in("small", &["duration=1h"]);
    let mut worlds = Vec::new();
    for seed in 0..3 {
        let rows: Vec<_> =
            registry().iter().map(|one| trial(&scenario, *one, seed).result.row).collect();
        for row in &rows {
            assert_eq!(row.status, Status::Ok, "{} seed {seed}: {}", row.strategy, row.reason);
            assert_eq!(row.world_digest, rows[0].world_digest, "{} seed {seed}", row.strategy);
            assert_eq!(row.edits_asked, rows[0].edits_asked, "{} seed {seed}", row.strategy);
        }
        for (n, row) in rows.iter().enumerate() {
            let same = rows[..n].iter().find(|other| other.digest == row.digest);
            assert!(same.is_none(), "{} does what another strategy does", row.strategy);
        }
        worlds.push(rows[0].world_digest);
    }
    worlds.dedup();
    assert_eq!(worlds.len(), 3);
}

/// Works four seconds on every input.
struct Spendthrift;

impl Meddler for Spendthrift {
    fn after(&mut self, _: &dyn Replica, _: &Input<'_>, out: &mut Outbox) {
        out.work(50_000_000);
    }
}

#[test]
fn a_strategy_that_drains_batteries_changes_what_it_causes_and_not_the_world() {
    // Enough for two hours of screen, and for little else.
    let scenario = built_in(
        "small",
        &[
            "group.phone.device.battery.capacity=15kJ",
            "group.phone.device.battery.initial=0.8",
            "group.phone.device.cpu.active=5W",
            "group.phone.device.battery.charging=[]",
            "group.phone.device.battery.charging_jitter=0s",
        ],
    );
    let inner = strategy("lww/hlc");
    let wasteful = meddled(inner, |_, _| Box::new(Spendthrift));
    for seed in 0..2 {
        let frugal = trial(&scenario, inner, seed).result.row;
        let wasteful = trial(&scenario, &wasteful, seed).result.row;
        assert_eq!(frugal.world_digest, wasteful.world_digest, "seed {seed}");
        assert_ne!(frugal.digest, wasteful.digest, "seed {seed}");
        let (frugal, wasteful) = (figures(&frugal), figures(&wasteful));
        assert_eq!(frugal.battery_deaths, Some(0), "seed {seed}");
        assert!(wasteful.battery_deaths > Some(0), "seed {seed}");
        assert!(wasteful.battery_min_permille < frugal.battery_min_permille, "seed {seed}");
        assert!(wasteful.dead_ms > Some(0), "seed {seed}");
        assert!(wasteful.edits_blocked > frugal.edits_blocked, "seed {seed}");
    }
}

/// Everything of a result that must never differ.
fn assert_same(a: &TrialResult, b: &TrialResult) {
    assert_eq!(a.row, b.row);
    assert_eq!(a.timeline, b.timeline);
    for ((name, a), (_, b)) in a.histograms.named().into_iter().zip(b.histograms.named()) {
        assert_eq!(a, b, "{name}");
    }
    assert_eq!(a.timing.events, b.timing.events);
}

#[test]
fn how_often_the_timeline_is_sampled_changes_nothing_else() {
    for world in ["small", "power-cut"] {
        let trials = ["10min", "7s", "26h"].map(|step| {
            let scenario = built_in(world, &[&format!("timeline_step={step}")]);
            trial(&scenario, strategy("crdt/digest"), 1).result
        });
        let [usual, often, never] = &trials;
        for other in [often, never] {
            assert_eq!(usual.row, other.row, "{world}");
        }
        assert_eq!(never.timeline.iter().filter(|row| row.device.is_none()).count(), 1, "{world}");
        for row in &usual.timeline {
            let same = often
                .timeline
                .iter()
                .find(|other| (other.at_s, other.device) == (row.at_s, row.device));
            assert!(row.at_s % 7 > 0 || same == Some(row), "{world}: {row:?} and {same:?}");
        }
    }
}

#[test]
fn a_trial_is_the_same_again_whoever_listens() {
    let scenario = built_in("small", &[]);
    for name in ["lww/wall", "crdt/digest", "ot/central"] {
        let case = Case {
            scenario: &scenario,
            strategy: strategy(name),
            seed: 1,
            detailed: true,
            script: None,
        };
        let alone = run(&case, &mut []);
        assert_same(&alone.result, &run(&case, &mut []).result);
        let (mut first, mut second) = (0_u64, Vec::new());
        let heard = run(
            &case,
            &mut [
                &mut Listen(|_, _: &Fact<'_>| first += 1),
                &mut Listen(|at_ns, fact: &Fact<'_>| second.push((at_ns, fact.to_string()))),
            ],
        );
        assert_same(&alone.result, &heard.result);
        assert_eq!(alone.renderings, heard.renderings);
        assert_eq!(first, second.len() as u64);
        assert!(second.is_sorted_by_key(|(at_ns, _)| *at_ns), "facts come in order of time");
    }
}

#[test]
fn one_thread_and_three_give_the_same_rows_in_the_same_order() {
    let scenario = built_in("small", &["duration=1h"]);
    let mut cases = Vec::new();
    for seed in 0..2 {
        cases.extend(registry().iter().map(|strategy| Case {
            scenario: &scenario,
            strategy: *strategy,
            seed,
            detailed: seed == 0,
            script: None,
        }));
    }
    let one = run_all(&cases, 1, &|| 0, &|_| {});
    let three = run_all(&cases, 3, &|| 0, &|_| {});
    assert_eq!(one.len(), cases.len());
    for ((case, a), b) in cases.iter().zip(&one).zip(&three) {
        assert_eq!((a.row.strategy.as_str(), a.row.seed), (case.strategy.name(), case.seed));
        assert_same(a, b);
    }
}

/// What is asked at the first `seats` devices, and everything else that the world does to them.
fn world_of(scenario: &Scenario, seats: u32) -> (Vec<Asked>, Vec<(u64, String)>) {
    let (mut asked_edits, mut rest) = (Vec::new(), Vec::new());
    let finished = listen(scenario, strategy("lww/hlc"), 5, |at_ns, fact| match fact {
        Fact::Asked { asked, .. } if asked.seat < seats => asked_edits.push(**asked),
        Fact::Asked { .. } => {}
        _ if fact.is_world() && fact.device().is_some_and(|device| device < seats) => {
            rest.push((at_ns, fact.to_string()));
        }
        _ => {}
    });
    figures(&finished.result.row);
    (asked_edits, rest)
}

#[test]
fn one_more_device_changes_nothing_for_the_others() {
    let scenario = built_in("small", &[]);
    let mut larger = scenario.clone();
    let mut tablet = larger.groups[0].clone();
    (tablet.name, tablet.count) = ("tablet".into(), 1);
    larger.groups.push(tablet);
    let (asked, rest) = world_of(&scenario, 4);
    assert!(asked.len() > 100 && rest.len() > 50, "{} {}", asked.len(), rest.len());
    assert_eq!((asked, rest), world_of(&larger, 4));
    let by_tablet = world_of(&larger, 5).0.iter().filter(|asked| asked.seat == 4).count();
    assert!(by_tablet > 10, "{by_tablet}");
}
