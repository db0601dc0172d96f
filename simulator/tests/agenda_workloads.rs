//! Two workloads with known answers. Eight other engines arrived at the same digests, so a
//! difference here is a difference in order.

#[path = "../../benches/workloads.rs"]
#[allow(dead_code, reason = "the bench uses the rest")]
mod workloads;

use workloads::{
    W1_SHORT, W2, nodes, processes, w1_agenda, w1_end_ns, w1_outcome, w2_agenda, w2_end_ns,
    w2_outcome,
};

#[test]
fn phold_gives_the_known_digests() {
    for case in W1_SHORT {
        let mut processes = processes(case.n);
        w1_agenda(&mut processes, w1_end_ns(case.n, case.divisor));
        assert_eq!(w1_outcome(&processes), case.outcome, "{case:?}");
    }
}

#[test]
fn a_network_with_idle_timers_gives_the_known_digests() {
    for case in W2 {
        let mut nodes = nodes(case.n);
        w2_agenda(&mut nodes, w2_end_ns(case.n, case.divisor));
        assert_eq!(w2_outcome(nodes.iter()), case.outcome, "{case:?}");
    }
}
