//! The row of perfect knowledge lies below every strategy: in bytes, and in how soon people see what others did.

mod common;

use common::{built_in, figures, trial};
use reconverge_simulator::oracle;
use reconverge_strategies::registry;

#[test]
fn no_strategy_needs_less_or_is_sooner() {
    let mut compared = 0;
    for seed in 0..3 {
        let scenario = built_in("small", &[]);
        let perfect = oracle::run(&scenario, seed).row;
        let least = figures(&perfect);
        for strategy in registry() {
            let row = trial(&scenario, *strategy, seed).result.row;
            let Some(metrics) = &row.metrics else { continue };
            assert_eq!(row.edits_asked, perfect.edits_asked);
            let name = strategy.name();
            assert!(metrics.bytes_wire >= least.bytes_wire, "{name}, seed {seed}");
            // Who refuses what is made offline has only the quick ones left.
            let takes_all = metrics.edits_refused == Some(0) && metrics.edits_blocked == Some(0);
            let later = metrics.visible_us_mean >= least.visible_us_mean;
            assert!(later || !takes_all, "{name}, seed {seed}");
            compared += u32::from(takes_all);
        }
    }
    assert!(compared > 6, "only {compared} trials took every edit");
}

#[test]
fn it_is_the_same_every_time() {
    let scenario = built_in("commuter", &["duration=\"2h\""]);
    assert_eq!(oracle::run(&scenario, 5).row, oracle::run(&scenario, 5).row);
    assert_ne!(oracle::run(&scenario, 5).row, oracle::run(&scenario, 6).row);
}
