//! What a strategy may rely on over sessions, output commit, and the recovery of killed processes.

mod common;

use common::meddling::{Meddler, meddled};
use common::*;
use reconverge_scenarios::{Crashes, Durability, OutageModel, Scenario, Topology};
use reconverge_simulator::fact::{Fact, Stop};
use reconverge_strategies::{Input, LinkState, Outbox, Replica, ReplicaId};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};

/// `small` with everybody killed about every ten minutes, the server too, and links cut as often.
fn rough() -> Scenario {
    let mut scenario = built_in("small", &[]);
    let outages = scenario.groups[0].outages.clone();
    for group in &mut scenario.groups {
        group.kills = Some(Crashes { mean_ns: 10 * MINUTE, restart_ns: 2 * SECOND });
        group.outages = outages.clone();
        for outage in &mut group.outages {
            let OutageModel::Renewal { up, down, .. } = &mut outage.model else {
                panic!("the outages of small are a renewal process")
            };
            *up = reconverge_scenarios::DurationLaw::Exponential { mean_ns: 5 * MINUTE };
            *down = reconverge_scenarios::DurationLaw::Exponential { mean_ns: 20 * SECOND };
        }
    }
    scenario
}

fn mesh(mut scenario: Scenario) -> Scenario {
    scenario.topology = Topology::Mesh;
    scenario
}

/// What a replica believes about its session with a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Belief {
    /// It was restored, and the journal is being replayed.
    Unknown,
    Open,
    Lost,
}

/// Notes what breaks the rules of sessions.
struct Referee {
    replica: ReplicaId,
    peers: BTreeMap<ReplicaId, Belief>,
    offences: Arc<Mutex<Vec<String>>>,
}

impl Meddler for Referee {
    fn before(&mut self, _: &dyn Replica, input: &Input<'_>) {
        let (peer, allowed): (_, &[Belief]) = match input {
            Input::Edit { .. } | Input::Seat(_) => return,
            Input::Sync { peer } => (peer, &[Belief::Unknown, Belief::Open]),
            Input::Receive { from, .. } => (from, &[Belief::Unknown, Belief::Open]),
            Input::Link { peer, state: LinkState::Open } => {
                (peer, &[Belief::Unknown, Belief::Lost])
            }
            Input::Link { peer, .. } => (peer, &[Belief::Unknown, Belief::Lost, Belief::Open]),
        };
        let belief = self.peers.get_mut(peer).expect("only peers are spoken of");
        if !allowed.contains(belief) {
            let offence = format!("{} is given {input:?} while {peer} is {belief:?}", self.replica);
            self.offences.lock().expect("one thread").push(offence);
        }
        match input {
            Input::Link { state: LinkState::Open, .. } => *belief = Belief::Open,
            Input::Link { state: LinkState::Lost, .. } => *belief = Belief::Lost,
            _ => {}
        }
    }
}

/// A loss comes before the next opening; nothing is said to, and nothing heard from, a peer without a session.
#[test]
fn sessions_open_and_are_lost_in_turn_and_only_open_ones_are_used() {
    for scenario in [rough(), mesh(rough())] {
        for name in ["lww/hlc", "crdt/digest", "full-copy"] {
            for seed in 0..3 {
                let offences = Arc::new(Mutex::new(Vec::new()));
                let shared = Arc::clone(&offences);
                let refereed = meddled(strategy(name), move |seat, restored| {
                    let belief = if restored { Belief::Unknown } else { Belief::Lost };
                    Box::new(Referee {
                        replica: seat.replica,
                        peers: seat.peers.iter().map(|peer| (*peer, belief)).collect(),
                        offences: Arc::clone(&shared),
                    })
                });
                let row = trial(&scenario, &refereed, seed).result.row;
                let metrics = figures(&row);
                assert!(metrics.kills > Some(20) && metrics.sessions > Some(40), "{name} {seed}");
                let offences = offences.lock().expect("one thread");
                assert_eq!(offences.first(), None, "{name} seed {seed}, {:?}", scenario.topology);
            }
        }
    }
}

/// Messages arrive in the order sent, or their session is lost and they with it.
#[test]
fn messages_of_a_session_arrive_in_order_or_not_at_all() {
    let mut scenario = rough();
    scenario.groups[0].link =
        built_in("small", &["group.phone.link=wifi-congested"]).groups[0].link.clone();
    scenario.groups[0].schedule.age_ns = SECOND;
    let (mut delivered, mut lost, mut wasted) = (0, 0, 0);
    for seed in 0..4 {
        // What is under way, by direction, as lengths: nearly all differ.
        let mut under_way: BTreeMap<(u32, u32), VecDeque<u64>> = BTreeMap::new();
        let finished = listen(&scenario, strategy("lww/hlc"), seed, |at_ns, fact| match fact {
            Fact::Sent { from, to, bytes, arrives_ns } => {
                assert!(arrives_ns.is_some_and(|arrives_ns| arrives_ns > at_ns), "never lost here");
                under_way.entry((*from, *to)).or_default().push_back(bytes.len() as u64);
            }
            Fact::Delivered { from, to, bytes } => {
                let next = under_way.entry((*from, *to)).or_default().pop_front();
                assert_eq!(next, Some(*bytes), "seed {seed}: r{from} to r{to} at {at_ns}");
                delivered += 1;
            }
            Fact::SessionLost { device, peer, .. } => {
                for pair in [(*device, *peer), (*peer, *device)] {
                    lost += under_way.remove(&pair).map_or(0, |messages| messages.len());
                }
            }
            _ => {}
        });
        let metrics = figures(&finished.result.row);
        wasted += metrics.bytes_wasted.expect("every trial has it");
        assert!(under_way.values().all(|messages| messages.is_empty()), "seed {seed}");
    }
    assert!(delivered > 2_000 && lost > 0 && wasted > 0, "{delivered} {lost} {wasted}");
}

/// Nothing leaves a device before all that it did before is on its storage, and the barrier takes its time.
#[test]
fn nothing_leaves_before_it_is_on_storage() {
    let barrier_ns = 50_000_000;
    let mut scenario = built_in("small", &[]);
    for group in &mut scenario.groups {
        group.device.storage.sync_ns = barrier_ns;
        // Only what leaves makes it sync.
        group.device.storage.durability = Durability::Output { interval_ns: 100 * HOUR };
    }
    for name in ["lww/hlc", "ot/central", "crdt/digest"] {
        let mut unsynced: BTreeMap<u32, u64> = BTreeMap::new();
        let mut last_input_ns: BTreeMap<u32, u64> = BTreeMap::new();
        let (mut waited, mut sent) = (0, 0);
        let finished = listen(&scenario, strategy(name), 1, |at_ns, fact| match fact {
            Fact::EditDone { id, .. } => *unsynced.entry(id.origin.0).or_default() += 1,
            Fact::Committed { device } => {
                waited += unsynced.remove(device).unwrap_or(0);
            }
            Fact::Synced { device, .. } => {
                last_input_ns.insert(*device, at_ns);
            }
            Fact::Delivered { to, .. } => {
                last_input_ns.insert(*to, at_ns);
            }
            Fact::Sent { from, .. } => {
                sent += 1;
                assert_eq!(unsynced.get(from), None, "{name}: r{from} at {at_ns}");
                // At the earliest a barrier after some input before it.
                assert!(at_ns >= last_input_ns.values().min().expect("an input") + barrier_ns);
            }
            _ => {}
        });
        figures(&finished.result.row);
        assert!(waited > 50 && sent > 100, "{name}: {waited} edits waited, {sent} messages");
    }
}

/// Works for about twenty seconds on every edit, so that kills hit edits that are not done.
struct Slow;

impl Meddler for Slow {
    fn after(&mut self, _: &dyn Replica, input: &Input<'_>, out: &mut Outbox) {
        if let Input::Edit { .. } = input {
            out.work(250_000_000);
        }
    }
}

/// An edit that a killed process had taken survives, though nothing had synced it: the operating system holds what was written. What a
/// replica is after its recovery is compared with what it was by the engine, which fails the trial where they differ.
#[test]
fn edits_survive_the_kill_of_their_process() {
    let mut scenario = rough();
    scenario.groups[0].device.battery = None;
    for group in &mut scenario.groups {
        group.device.storage.durability = Durability::Output { interval_ns: 100 * HOUR };
    }
    for name in ["lww/hlc", "version-vector/client-ids", "ot/central", "crdt/digest"] {
        let (mut unsynced, mut survivors, mut cut_off) = (BTreeSet::new(), 0, 0);
        let (mut made, mut done) = (BTreeSet::new(), BTreeSet::new());
        for seed in 0..3 {
            let slow = meddled(strategy(name), |_, _| Box::new(Slow));
            let finished = listen(&scenario, &slow, seed, |_, fact| match fact {
                Fact::EditMade { id, .. } => {
                    made.insert((seed, *id));
                    unsynced.insert((seed, *id));
                }
                Fact::EditDone { id, .. } => {
                    assert!(done.insert((seed, *id)), "{name} seed {seed}: {id} is done twice");
                }
                Fact::Committed { device } => unsynced.retain(|(_, id)| id.origin.0 != *device),
                Fact::Stopped { device, why: Stop::Killed } => {
                    let here = unsynced.iter().filter(|(_, id)| id.origin.0 == *device);
                    for edit in here {
                        *if done.contains(edit) { &mut survivors } else { &mut cut_off } += 1;
                    }
                }
                _ => {}
            });
            let metrics = figures(&finished.result.row);
            assert_eq!(metrics.edits_crashed, Some(0), "{name} seed {seed}");
            assert_eq!(metrics.edits_stranded, Some(0), "{name} seed {seed}");
            assert!(metrics.work_recovery_units > Some(0), "{name} seed {seed}");
            if name == "crdt/digest" {
                assert_eq!(metrics.edits_lost, Some(0), "seed {seed}");
            }
        }
        assert_eq!(made, done, "{name}");
        assert!(survivors > 5 && cut_off > 0, "{name}: {survivors} after, {cut_off} within");
    }
}
