//! Whole trials: `small` with every strategy, and one trial of the default scenario.

use criterion::{Criterion, criterion_group, criterion_main};
use reconverge_scenarios::{Scenario, builtin, parse};
use reconverge_simulator::trial::{Case, run};
use reconverge_strategies::{Strategy, registry};
use std::hint::black_box;

fn scenario(name: &str) -> Scenario {
    let text = builtin(name).expect("a built-in scenario");
    parse(text, name, &[]).expect("a valid scenario")
}

fn trial(scenario: &Scenario, strategy: &dyn Strategy) -> u128 {
    let case = Case { scenario, strategy, seed: 0, detailed: false, script: None };
    black_box(run(&case, &mut [])).result.row.digest
}

fn trials(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("trial");
    group.sample_size(10);
    let small = scenario("small");
    for strategy in registry() {
        group.bench_function(format!("small/{}", strategy.name()), |bencher| {
            bencher.iter(|| trial(&small, *strategy));
        });
    }
    let commuter = scenario("commuter");
    for name in ["lww/hlc", "crdt/digest"] {
        let strategy = registry().iter().find(|strategy| strategy.name() == name);
        let strategy = *strategy.expect("a built-in strategy");
        group.bench_function(format!("commuter/{name}"), |bencher| {
            bencher.iter(|| trial(&commuter, strategy));
        });
    }
    group.finish();
}

criterion_group!(benches, trials);
criterion_main!(benches);
