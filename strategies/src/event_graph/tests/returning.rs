//! A device that was presumed gone comes back: it gets a snapshot, and its own edits go on top of that under the same edit ids.

use super::net::{COUNTER, Net, REGISTER, SET, TEXT, id};
use crate::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Everybody but replica 3 edits until all history of replica 3's time is forgotten.
fn go_on_without(net: &mut Net, rng: &mut ChaCha8Rng) {
    for _ in 0..60 {
        for n in 1..3 {
            let length = net.replicas[n].length(TEXT);
            net.splice(n, rng.random_range(0..=length.min(3)), 0, "more ");
            net.edit(n, Edit::Add { cell: COUNTER, amount: 100 });
        }
        net.settle();
    }
}

#[test]
fn a_device_that_was_gone_loses_none_of_its_edits() {
    let links: [&[(usize, usize)]; 3] =
        [&[(1, 0), (2, 0), (3, 0)], &[(0, 1), (1, 2), (2, 3)], &[(0, 1), (0, 2), (1, 2), (0, 3)]];
    for (case, links) in links.into_iter().enumerate() {
        for seed in 0..20 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let mut net = Net::new(4, links, (case == 0).then_some(0));
            net.splice(1, 0, 0, "the beginning and the end");
            net.edit(1, Edit::Put { cell: REGISTER, value: "old".into() });
            net.edit(1, Edit::Add { cell: COUNTER, amount: 1 });
            net.edit(2, Edit::Insert { cell: SET, element: "kept".into() });
            net.settle();
            let (a, b) = *links.iter().find(|ends| ends.0 == 3 || ends.1 == 3).expect("a link");
            net.close(a, b);
            let mine = [
                net.splice(3, 3, 0, ", let us say,"),
                net.splice(3, 4, 4, ""),
                net.splice(3, 0, 0, "typo"),
                net.splice(3, 0, 4, ""),
                net.edit(3, Edit::Add { cell: COUNTER, amount: 7 }),
                net.edit(3, Edit::Put { cell: REGISTER, value: "mine".into() }),
                net.edit(3, Edit::Insert { cell: SET, element: "mine".into() }),
                net.edit(3, Edit::Remove { cell: SET, element: "kept".into() }),
            ];
            net.seat(&[0, 1, 2], SeatChange::Gone { replica: id(3) });
            net.settle();
            go_on_without(&mut net, &mut rng);
            let history = net.replicas[1].footprint().history_bytes;
            assert!(history < 30_000, "case {case}, seed {seed}: {history} bytes wait for nobody");
            net.seat(&[0, 1, 2], SeatChange::Back { replica: id(3) });
            net.open(a, b);
            net.settle();
            net.assert_agreement(&format!("case {case}, seed {seed}"));
            let text = net.text(0);
            assert!(text.contains(", us say,"), "case {case}, seed {seed}: {text}");
            assert!(!text.contains("typo"), "case {case}, seed {seed}: {text}");
            let rendering = net.rendering(1);
            let Some(Shown::Settled(Content::Counter(sum))) = rendering.get(COUNTER) else {
                panic!("case {case}, seed {seed}: no sum");
            };
            assert_eq!(*sum, 1 + 7 + 2 * 60 * 100, "case {case}, seed {seed}");
            let mine_shows = |shown: Option<&Shown>, element: &str| {
                shown.is_some_and(|shown| format!("{shown:?}").contains(element))
            };
            assert!(mine_shows(rendering.get(REGISTER), "mine"), "case {case}, seed {seed}");
            assert!(mine_shows(rendering.get(SET), "mine"), "case {case}, seed {seed}");
            assert!(!mine_shows(rendering.get(SET), "kept"), "case {case}, seed {seed}");
            for n in 0..3 {
                let applied = net.applied(n);
                for edit in mine {
                    let times = applied.get(&edit).copied().unwrap_or(0);
                    assert_eq!(times, 1, "case {case}, seed {seed}: {edit} at replica {n}");
                }
            }
            // Life goes on, and history is forgotten again.
            for n in 0..40 {
                net.splice(3, 0, 0, "again ");
                net.splice(1 + n % 2, 2, 1, "and again ");
                net.settle();
            }
            go_on_without(&mut net, &mut rng);
            net.assert_agreement(&format!("later, case {case}, seed {seed}"));
            let history = net.replicas[3].footprint().history_bytes;
            assert!(history < 30_000, "case {case}, seed {seed}: {history} bytes in the end");
        }
    }
}

#[test]
fn two_that_take_each_other_to_be_gone_agree_in_the_end() {
    for seed in 0..20 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut net = Net::mesh(2);
        net.splice(0, 0, 0, "shared words");
        net.settle();
        net.close(0, 1);
        for n in 0..2 {
            net.seat(&[n], SeatChange::Gone { replica: id(1 - n) });
            for _ in 0..rng.random_range(1..60) {
                let at = rng.random_range(0..=net.replicas[n].length(TEXT));
                net.splice(n, at, 0, ["left ", "right "][n]);
            }
        }
        let count = |text: &str, word: &str| text.matches(word).count();
        let left = count(&net.text(0).replace(' ', ""), "left");
        net.open(0, 1);
        net.settle();
        net.assert_agreement(&format!("seed {seed}"));
        let text = net.text(0).replace(' ', "");
        assert!(count(&text, "l") >= left, "seed {seed}: {text}");
        net.splice(0, 0, 0, "after");
        net.splice(1, 0, 0, "wards");
        net.settle();
        net.assert_agreement(&format!("afterwards, seed {seed}"));
    }
}

/// Two at the end of a chain are cut off, and one of them hears from the other what nobody else has. When they come back, the nearer one takes over
/// the document of the others and leaves to the farther one what is its own, though it had acknowledged that.
#[test]
fn what_only_another_one_who_was_gone_had_heard_is_not_lost() {
    for seed in 0..20 {
        let label = format!("seed {seed}");
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut net = Net::new(4, &[(0, 1), (1, 2), (2, 3)], None);
        net.splice(1, 0, 0, "the beginning and the end");
        net.edit(1, Edit::Add { cell: COUNTER, amount: 1 });
        net.edit(1, Edit::Put { cell: REGISTER, value: "old".into() });
        net.edit(1, Edit::Insert { cell: SET, element: "kept".into() });
        net.settle();
        net.close(1, 2);
        net.splice(3, 3, 0, ", let us say,");
        net.edit(3, Edit::Add { cell: COUNTER, amount: 7 });
        net.edit(3, Edit::Put { cell: REGISTER, value: "three".into() });
        net.edit(3, Edit::Insert { cell: SET, element: "three".into() });
        net.edit(3, Edit::Remove { cell: SET, element: "kept".into() });
        net.settle();
        // On top of what the other one did, which nobody else has.
        net.edit(2, Edit::Put { cell: REGISTER, value: "two".into() });
        net.edit(2, Edit::Remove { cell: SET, element: "three".into() });
        net.edit(2, Edit::Insert { cell: SET, element: "two".into() });
        net.edit(2, Edit::Add { cell: COUNTER, amount: 50 });
        if rng.random() {
            net.settle();
        }
        net.close(2, 3);
        for away in [2, 3] {
            let all = [0, 1, 2, 3].into_iter().filter(|n| *n != away);
            net.seat(&all.collect::<Vec<_>>(), SeatChange::Gone { replica: id(away) });
        }
        net.settle();
        go_on_without(&mut net, &mut rng);
        for away in [2, 3] {
            net.seat(&[0, 1, 2, 3], SeatChange::Back { replica: id(away) });
        }
        let links = if rng.random() { [(1, 2), (2, 3)] } else { [(2, 3), (1, 2)] };
        for (a, b) in links {
            net.open(a, b);
            (0..4).for_each(|n| net.reread(n, &label));
            net.settle();
            (0..4).for_each(|n| net.reread(n, &label));
        }
        net.assert_agreement(&label);
        let text = net.text(0);
        assert!(text.contains(", let us say,"), "{label}: {text}");
        let rendering = net.rendering(0);
        let shown = |cell| format!("{:?}", rendering.get(cell));
        let Some(Shown::Settled(Content::Counter(sum))) = rendering.get(COUNTER) else {
            panic!("{label}: no sum");
        };
        assert_eq!(*sum, 1 + 7 + 50 + 2 * 60 * 100, "{label}");
        assert!(shown(SET).contains("two"), "{label}: {}", shown(SET));
        assert!(!shown(SET).contains("kept"), "{label}: {}", shown(SET));
        assert!(shown(REGISTER).contains("two"), "{label}: {}", shown(REGISTER));
        // Whoever owes nothing sends no documents.
        let before = net.work_units;
        net.splice(0, 0, 0, "x");
        net.settle();
        net.assert_agreement(&label);
        assert!(net.work_units - before < 2000, "{label}: {}", net.work_units - before);
    }
}
