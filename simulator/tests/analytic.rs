//! The engine against closed forms. Each tolerance is four standard errors of the mean over independent replications with fixed seeds.

mod common;

use common::*;
use reconverge_scenarios::{
    DurationLaw, Encryption, Link, Loss, Radio, Scenario, Transport, TransportKind,
};
use reconverge_simulator::fact::{Fact, Phase};
use reconverge_simulator::network::{Network, TCP_HEADER_BYTES};
use reconverge_simulator::plan::{Stretches, plan};
use reconverge_simulator::streams::Streams;
use reconverge_strategies::{Change, EditId};
use std::collections::BTreeMap;

const SESSION: Transport = Transport { kind: TransportKind::Session, encryption: Encryption::None };
const DATAGRAM: Transport =
    Transport { kind: TransportKind::Datagram, encryption: Encryption::None };

/// No delay, no loss, no radio, a packet for every message.
fn link(up_bps: u64) -> Link {
    Link {
        profile: "test".into(),
        up_bps,
        down_bps: u64::MAX,
        delay_ns: 0,
        jitter: DurationLaw::Fixed { ns: 0 },
        loss: Loss::Independent { ppm: 0 },
        duplicate_ppm: 0,
        mtu_bytes: u32::MAX,
        radio: None,
    }
}

fn lossy(up_ppm: u32) -> Link {
    Link { loss: Loss::Independent { ppm: up_ppm }, ..link(1_000_000_000) }
}

/// Device 0 and the hub.
fn network(seed: u64, transport: Transport, device: Link, hub: Link) -> Network {
    let links = [(device, Stretches::default(), false), (hub, Stretches::default(), true)];
    Network::new(Streams::new(seed), transport, links.into_iter())
}

/// Bytes of a message of a device that come to so many on the wire: framing of 6, 8 or 14 bytes and one TCP header are added.
fn message_bytes(wire: u64) -> u64 {
    let payload = wire.saturating_sub(TCP_HEADER_BYTES);
    match payload {
        0..132 => payload.saturating_sub(6),
        132..65_544 => payload.saturating_sub(8),
        _ => payload - 14,
    }
}

/// Mean time from a message's arrival at the queue of a link until its last bit has left, in milliseconds. Arrivals are Poisson, one
/// message of mean size takes a millisecond; the first tenth is warm-up.
fn mean_sojourn_ms(seed: u64, load: f64, size: &mut dyn FnMut(u64) -> u64) -> f64 {
    const MESSAGES: usize = 30_000;
    let mut network = network(seed, SESSION, link(8_000_000_000), link(u64::MAX));
    let mut arrivals = Streams::new(seed).stream("arrivals", 0);
    let (mut now_ns, mut sum_ns, mut counted) = (0, 0, 0);
    for n in 0..MESSAGES {
        now_ns += arrivals.exponential_ns((1e6 / load) as u64);
        let passage = network.send(now_ns, 0, 1, message_bytes(size(seed)));
        if n >= MESSAGES / 10 {
            sum_ns += passage.reaches_ns.expect("nothing is lost in a session") - now_ns;
            counted += 1;
        }
    }
    sum_ns as f64 / f64::from(counted) / 1e6
}

const MEAN_WIRE_BYTES: u64 = 1_000_000;

/// M/M/1: W = 1 / (μ − λ).
#[test]
fn a_link_with_exponential_messages_is_an_m_m_1_queue() {
    for load in [0.4, 0.7] {
        let sojourns: Vec<f64> = (0..40)
            .map(|seed| {
                let mut sizes = Streams::new(seed).stream("sizes", 0);
                mean_sojourn_ms(seed, load, &mut |_| sizes.exponential_ns(MEAN_WIRE_BYTES))
            })
            .collect();
        assert_agrees(&format!("M/M/1 at load {load}"), &sojourns, 1.0 / (1.0 - load), 0.01);
    }
}

/// M/D/1: W = S + λS² / 2(1 − ρ), the formula of Pollaczek and Khinchine.
#[test]
fn a_link_with_constant_messages_is_an_m_d_1_queue() {
    for load in [0.4, 0.7] {
        let sojourns: Vec<f64> =
            (0..40).map(|seed| mean_sojourn_ms(seed, load, &mut |_| MEAN_WIRE_BYTES)).collect();
        let expected = 1.0 + load / (2.0 * (1.0 - load));
        assert_agrees(&format!("M/D/1 at load {load}"), &sojourns, expected, 0.01);
    }
}

/// Share of datagrams lost, sent every 100 ms.
fn lost_share(mut network: Network, count: u64) -> f64 {
    let lost = (0..count)
        .filter(|n| network.send(n * SECOND / 10, 0, 1, 100).reaches_ns.is_none())
        .count();
    lost as f64 / count as f64
}

/// A datagram gets through where both links let it: 1 − (1 − p)(1 − q).
#[test]
fn datagrams_are_lost_on_either_link() {
    let shares: Vec<f64> = (0..30)
        .map(|seed| lost_share(network(seed, DATAGRAM, lossy(100_000), lossy(50_000)), 5_000))
        .collect();
    assert_agrees("loss on two links", &shares, 1.0 - 0.9 * 0.95, 0.01);
}

/// Gilbert–Elliott: the stationary loss is π(good) · p(good) + π(bad) · p(bad).
#[test]
fn bursts_lose_their_stationary_share() {
    let mut scenario = star("immediate", "24h", 1.0);
    let hours = 3;
    scenario.duration_ns = hours * HOUR;
    let (good_ns, bad_ns) = (2 * SECOND, SECOND / 2);
    let loss = Loss::Bursts { good_ns, bad_ns, good_ppm: 10_000, bad_ppm: 600_000 };
    scenario.groups[0].link.loss = loss.clone();
    let shares: Vec<f64> = (0..30)
        .map(|seed| {
            let streams = Streams::new(seed);
            let bad_spells = plan(&scenario, &streams).swap_remove(0).bad_spells;
            let device = Link { loss: loss.clone(), ..link(1_000_000_000) };
            let links = [(device, bad_spells, false), (lossy(0), Stretches::default(), true)];
            let network = Network::new(streams, DATAGRAM, links.into_iter());
            lost_share(network, hours * 3600 * 10)
        })
        .collect();
    assert_agrees("loss in bursts", &shares, 0.8 * 0.01 + 0.2 * 0.6, 0.02);
}

/// In a session a packet is sent until it gets through: p / (1 − p) times in vain.
#[test]
fn sessions_repeat_what_is_lost() {
    let loss = 0.2;
    let shares: Vec<f64> = (0..30)
        .map(|seed| {
            let mut network = network(seed, SESSION, lossy(200_000), lossy(0));
            let packets = 5_000;
            (0..packets).for_each(|n| {
                network.send(n * SECOND, 0, 1, 500);
            });
            let sent = packets * (500 + 8 + TCP_HEADER_BYTES);
            network.traffic().retransmitted as f64 / sent as f64
        })
        .collect();
    assert_agrees("repeated bytes", &shares, loss / (1.0 - loss), 0.01);
}

/// A message that meets a burst is repeated when the burst is over: it is late by its pauses of 200, 400, … ms, not by all of them.
#[test]
fn a_message_sent_in_a_bad_spell_is_repeated_after_it() {
    let spell = Stretches::new(vec![(10 * SECOND, 10 * SECOND + 150_000_000)]);
    let loss = Loss::Bursts { good_ns: SECOND, bad_ns: SECOND, good_ppm: 0, bad_ppm: 1_000_000 };
    let device = Link { loss, ..link(u64::MAX) };
    let links = [(device, spell, false), (lossy(0), Stretches::default(), true)];
    let mut network = Network::new(Streams::new(0), SESSION, links.into_iter());
    let mut late_ns =
        |at_ns| network.send(at_ns, 0, 1, 100).reaches_ns.expect("in a session") - at_ns;
    assert!(late_ns(9 * SECOND) < 1_000);
    let in_spell_ns = late_ns(10 * SECOND + 100_000_000);
    assert!((200_000_000..200_001_000).contains(&in_spell_ns), "{in_spell_ns}");
    assert!(late_ns(11 * SECOND) < 1_000);
}

/// LTE after Huang et al. (MobiSys 2012), which `numbers.md` quotes.
fn lte() -> Link {
    Link {
        up_bps: 6_000_000,
        radio: Some(Radio {
            promotion_ns: 260_100_000,
            promotion_mw: 1211,
            tail_ns: 11_576_000_000,
            tail_mw: 1060,
            active_mw: 1288,
            up_uw_per_mbps: 438_390,
            down_uw_per_mbps: 51_970,
            paging_ns: 1_280_000_000,
        }),
        ..link(0)
    }
}

/// n isolated syncs cost n · (promotion + transfer + tail); b within one tail save b − 1 promotions and what their tails overlap.
#[test]
fn isolated_and_batched_syncs_cost_what_the_hand_says() {
    let energy_pj = |interval_ns: u64| {
        let mut network = network(0, SESSION, lte(), link(u64::MAX));
        for n in 0..10 {
            let passage = network.send(n * interval_ns, 0, 1, 800);
            network.receive(passage.reaches_ns.expect("in a session"), 1, passage.wire_bytes);
        }
        let radio = network.radio_mut(0).expect("a phone has one");
        radio.close(u64::MAX);
        (radio.energy().total_pj(), radio.promotions())
    };
    // 800 bytes, 8 of framing, 52 of header: 6,880 bits, 1,146,667 ns at 6 Mbit/s. The acknowledgement is 416 bits.
    let transfer_pj = 1_146_667 * 1288 + 6_880 * 438_390 + 416 * 51_970;
    let promotion_pj = 260_100_000 * 1211;
    let tail_pj = 11_576_000_000 * 1060;
    assert_eq!(energy_pj(MINUTE), (10 * (promotion_pj + transfer_pj + tail_pj), 10));
    let between_pj = (9 * (SECOND - 1_146_667) - 260_100_000) * 1060;
    let batched_pj = promotion_pj + 10 * transfer_pj + between_pj + tail_pj;
    assert_eq!(energy_pj(SECOND), (batched_pj, 1));
}

/// Two phones and a server without any cost of their own, 40 + 10 ms and 10 + 50 ms apart.
fn star(schedule: &str, awake: &str, edits_per_hour: f64) -> Scenario {
    scenario(&format!(
        r#"
        name = "analytic"
        duration = "24h"
        settle = "1h"
        [[group]]
        name = "first"
        device = {FREE}
        link = {{ profile = "ideal", delay = "40ms" }}
        schedule = {{ kind = "{schedule}", interval = "10min" }}
        user = {{ awake = ["0h", "{awake}"], session = "48h", gap = "1s" }}
        [[group]]
        name = "second"
        device = {FREE}
        link = {{ profile = "ideal", delay = "50ms" }}
        schedule = {{ kind = "{schedule}", interval = "10min" }}
        user = {{ awake = ["0h", "{awake}"], session = "48h", gap = "1s" }}
        [[group]]
        name = "server"
        device = {FREE}
        link = {{ profile = "ideal", delay = "10ms" }}
        schedule = "immediate"
        [topology]
        kind = "star"
        hub = "server"
        [data]
        records = 1
        record_size = "20B"
        fields = {{ title = "register" }}
        [workload]
        edits_per_hour = {edits_per_hour}
        mix = {{ put = 1 }}
        [transport]
        kind = "session"
        encryption = "none"
        "#
    ))
}

/// A device whose processor and storage take no time.
const FREE: &str = r#"{ profile = "server", cpu = { unit = "0ns" }, storage = { sync = "0s", write_rate = "1000GB/s" } }"#;

/// Alternating renewal: availability is E[U] / (E[U] + E[D]), as facts of whole trials tell it.
#[test]
fn links_are_up_for_the_share_of_theory() {
    let mut scenario = star("immediate", "24h", 1.0);
    scenario.groups[0].outages = built_in("small", &[]).groups[0].outages.clone();
    let shares: Vec<f64> = (0..60)
        .map(|seed| {
            let (mut down_ns, mut since_ns, mut work) = (0, None, true);
            let finished = listen(&scenario, strategy("lww/hlc"), seed, |at_ns, fact| match fact {
                Fact::Link { device: 0, up: false } => since_ns = Some(at_ns),
                Fact::Link { device: 0, up: true } if work => {
                    down_ns += at_ns - since_ns.take().expect("it was down");
                }
                Fact::Phase(Phase::Heal) => work = false,
                _ => {}
            });
            figures(&finished.result.row);
            assert_eq!(since_ns, None, "seed {seed}: outages end with the work");
            1.0 - down_ns as f64 / scenario.duration_ns as f64
        })
        .collect();
    assert_agrees("availability", &shares, 10.0 / 13.0, 0.01);
}

/// When each edit was made, and when the other device first learnt of it.
fn made_and_learnt(scenario: &Scenario, seed: u64) -> BTreeMap<EditId, (u64, Option<u64>)> {
    let mut edits: BTreeMap<EditId, (u64, Option<u64>)> = BTreeMap::new();
    let finished = listen(scenario, strategy("lww/hlc"), seed, |at_ns, fact| match fact {
        Fact::EditMade { id, acted_ns, .. } => {
            edits.insert(*id, (*acted_ns, None));
        }
        Fact::Changed {
            device,
            change: Change::Applied { edit } | Change::Replaced { edit, .. },
        } if *device < 2 && *device != edit.origin.0 => {
            // Of a rival that loses at once, only the replacement is reported. Genesis is nobody's edit.
            if let Some((_, learnt_ns)) = edits.get_mut(edit) {
                learnt_ns.get_or_insert(at_ns);
            }
        }
        _ => {}
    });
    figures(&finished.result.row);
    edits
}

/// The first device syncs every T, everything after that is immediate: mean staleness T / 2 + delay, at most T + delay.
#[test]
fn periodic_sync_is_stale_by_half_its_interval() {
    let mut scenario = star("periodic", "20h", 30.0);
    scenario.groups[1].user.as_mut().expect("a reader").awake.until_ns = SECOND;
    (scenario.data.records, scenario.workload.zipf) = (2_000, 0.0);
    let (interval_s, delay_s) = (600.0, 0.11);
    let means: Vec<f64> = (0..30)
        .map(|seed| {
            let edits = made_and_learnt(&scenario, seed);
            // A register that is written again before it was sent hides its earlier value: among two thousand, next to never.
            let stale: Vec<f64> = edits
                .iter()
                .filter(|(id, _)| id.origin.0 == 0)
                .filter_map(|(_, (made, learnt))| Some((*learnt)?.checked_sub(*made)? as f64 / 1e9))
                .collect();
            assert!(stale.len() > 400, "seed {seed}: {} edits", stale.len());
            let worst = stale.iter().copied().fold(0.0, f64::max);
            let best = stale.iter().copied().fold(f64::MAX, f64::min);
            assert!(worst < interval_s + delay_s + 1e-5, "seed {seed}: {worst}");
            assert!(best > delay_s, "seed {seed}: {best}");
            stale.iter().sum::<f64>() / stale.len() as f64
        })
        .collect();
    assert_agrees("staleness in s", &means, interval_s / 2.0 + delay_s, 0.01);
}

/// Two writers of one register, Poisson with rate λ each, constant one-way delay D: an edit has a rival, made by somebody who did not
/// know of it and whom its author did not know of, with probability 1 − e^(−2λD).
#[test]
fn rivals_of_last_writer_wins_are_as_many_as_theory_says() {
    let (edits_per_hour, delay_ns) = (7_200.0, 110_000_000);
    let mut scenario = star("immediate", "20min", edits_per_hour);
    scenario.duration_ns = HOUR;
    let shares: Vec<f64> = (0..24)
        .map(|seed| {
            let edits = made_and_learnt(&scenario, seed);
            let by = |device: u32| {
                let own = edits.iter().filter(move |(id, _)| id.origin.0 == device);
                // What the server drops in favour of a rival never arrives; it would have after the same delay.
                own.map(|(_, (made, learnt))| (*made, learnt.unwrap_or(made + delay_ns)))
                    .inspect(|(made, learnt)| {
                        let found_ns = learnt - made;
                        assert!((delay_ns..delay_ns + 1_000).contains(&found_ns), "{found_ns}");
                    })
                    .collect::<Vec<_>>()
            };
            let (first, second) = (by(0), by(1));
            let has_rival = |(made, learnt): &(u64, u64), others: &[(u64, u64)]| {
                others.iter().any(|(other, other_learnt)| other < learnt && made < other_learnt)
            };
            let rivalled = first.iter().filter(|edit| has_rival(edit, &second)).count()
                + second.iter().filter(|edit| has_rival(edit, &first)).count();
            rivalled as f64 / edits.len() as f64
        })
        .collect();
    let expected = 1.0 - libm::exp(-2.0 * edits_per_hour / 3600.0 * delay_ns as f64 / 1e9);
    assert_agrees("edits with a rival", &shares, expected, 0.01);
}
