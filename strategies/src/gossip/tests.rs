//! Table 1 of the paper, measured on replicas that speak to each other; and what anti-entropy adds.

use super::{Gossip, RUMOR, RUMOR_ONLY};
use crate::contract::{
    Cargo, Clock, Input, Outbox, Output, Partitions, Replica, Seat, Strategy, Tick, Transport,
    WallTime,
};
use crate::document::{Cell, Edit, EditId, FieldId, FieldKind, RecordId, ReplicaId, Schema};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeSet;
use std::num::NonZeroU32;

const CLOCK: Clock = Clock { now: Tick(0), wall: WallTime(0) };

/// Replicas in the paper's table.
const COUNT: usize = 1000;
/// Cycles for which partners are drawn ahead: the paper's last delivery is in the 18th on average.
const CYCLES: usize = 40;
/// Runs for each k.
const SEEDS: u64 = 10;

/// Somebody's replica, which speaks by datagrams.
struct Party<'a> {
    strategy: &'a Gossip,
    id: ReplicaId,
    peers: Vec<ReplicaId>,
    schema: &'a Schema,
    replica: Box<dyn Replica>,
}

impl<'a> Party<'a> {
    fn new(strategy: &'a Gossip, id: ReplicaId, peers: Vec<ReplicaId>, schema: &'a Schema) -> Self {
        let replica = strategy.create(&seat(id, &peers, schema));
        Party { strategy, id, peers, schema, replica }
    }

    fn saved(&self) -> Vec<u8> {
        let mut saved = Vec::new();
        self.replica.save(&mut saved);
        saved
    }

    /// The replica as it was when it was saved.
    fn as_of(&self, saved: &[u8]) -> Box<dyn Replica> {
        let seat = seat(self.id, &self.peers, self.schema);
        self.strategy.restore(&seat, saved).expect("its own bytes")
    }

    fn knows(&self) -> bool {
        self.replica.fingerprint(crate::PartitionId(0)) != EMPTY.with(|empty| *empty)
    }
}

thread_local! {
    /// What a replica shows that knows nothing.
    static EMPTY: u128 = {
        let schema = schema();
        RUMOR.create(&seat(ReplicaId(0), &[], &schema)).fingerprint(crate::PartitionId(0))
    };
}

fn schema() -> Schema {
    Schema::new(vec![FieldKind::Counter])
}

fn seat<'a>(replica: ReplicaId, peers: &'a [ReplicaId], schema: &'a Schema) -> Seat<'a> {
    Seat {
        replica,
        peers,
        // Stability is not what is measured.
        members: peers,
        partitions: Partitions::WHOLE,
        authority: None,
        schema,
        genesis: &[],
        transport: Transport::Datagram,
        incarnation: 0,
    }
}

fn addition() -> Edit {
    Edit::Add { cell: Cell { record: RecordId(0), field: FieldId(0) }, amount: 1 }
}

fn messages(out: &mut Outbox) -> Vec<(ReplicaId, Vec<u8>, Cargo)> {
    let sent = out.outputs.drain(..).filter_map(|output| match output {
        Output::Send { to, bytes, cargo } => Some((to, bytes, cargo)),
        Output::Change(_) => None,
    });
    sent.collect()
}

fn receive(replica: &mut dyn Replica, from: ReplicaId, bytes: &[u8], cargo: &Cargo) -> Outbox {
    let mut out = Outbox::new();
    let input = Input::Receive { from, bytes, cargo };
    replica.handle(CLOCK, input, &mut out).expect("an honest message");
    out
}

/// One rumor among [`COUNT`] replicas in cycles that are the same moment for everybody: all push before anybody hears, and what is known is
/// judged as of the beginning of the cycle. Returns how many never know, and how many pushes there were.
fn epidemic(strategy: &Gossip, seed: u64) -> (usize, usize) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let schema = schema();
    // Partners do not depend on what happens; drawn ahead, they spare everybody a list of all the others.
    let mut partners = vec![Vec::new(); COUNT];
    let mut peers = vec![BTreeSet::new(); COUNT];
    for (n, partners) in partners.iter_mut().enumerate() {
        for _ in 0..CYCLES {
            let other = rng.random_range(0..COUNT - 1);
            let other = other + usize::from(other >= n);
            partners.push(ReplicaId(other as u32));
            peers[n].insert(ReplicaId(other as u32));
            peers[other].insert(ReplicaId(n as u32));
        }
    }
    let mut parties: Vec<Party<'_>> = (0u32..)
        .zip(peers)
        .map(|(n, peers)| Party::new(strategy, ReplicaId(n), peers.into_iter().collect(), &schema))
        .collect();
    let mut out = Outbox::new();
    let id = EditId { origin: ReplicaId(0), sequence: 1 };
    let edit = addition();
    parties[0].replica.handle(CLOCK, Input::Edit { id, edit: &edit }, &mut out).expect("an edit");
    let (mut knowing, mut pushes) = (vec![0], 0);
    let mut known = vec![false; COUNT];
    known[0] = true;
    for cycle in 0.. {
        let mut said = Vec::new();
        for n in &knowing {
            out.clear();
            let peer = partners[*n].get(cycle).copied();
            let peer = peer.unwrap_or_else(|| panic!("seed {seed}: still talking"));
            parties[*n].replica.handle(CLOCK, Input::Sync { peer }, &mut out).expect("a sync");
            said.extend(messages(&mut out).into_iter().map(|message| (*n, message)));
        }
        if said.is_empty() {
            break;
        }
        pushes += said.len();
        // Who is told of it for the first time answers everybody of this cycle as it was before.
        let mut twice = vec![0; COUNT];
        said.iter().for_each(|(_, (to, ..))| twice[to.0 as usize] += 1);
        let is_told_twice = |n: usize| twice[n] > 1 && !known[n];
        let before: Vec<Option<Vec<u8>>> =
            (0..COUNT).map(|n| is_told_twice(n).then(|| parties[n].saved())).collect();
        let mut answers = Vec::new();
        for (from, (to, bytes, cargo)) in said {
            let sender = ReplicaId(from as u32);
            let n = to.0 as usize;
            let as_before = before[n].as_ref().map(|saved| parties[n].as_of(saved));
            let mut now = receive(&mut *parties[n].replica, sender, &bytes, &cargo);
            if let Some(mut before) = as_before {
                now = receive(&mut *before, sender, &bytes, &cargo);
            }
            answers.extend(messages(&mut now).into_iter().map(|message| (n, from, message)));
            if !known[n] && parties[n].knows() {
                known[n] = true;
                knowing.push(n);
            }
        }
        for (from, to, (_, bytes, cargo)) in answers {
            let from = ReplicaId(from as u32);
            let mut more = receive(&mut *parties[to].replica, from, &bytes, &cargo);
            assert!(messages(&mut more).is_empty(), "seed {seed}: feedback ends it");
        }
    }
    (known.iter().filter(|known| !**known).count(), pushes)
}

#[test]
fn residue_and_traffic_are_those_of_the_paper() {
    // Demers et al. 1987, table 1: 0.18, 0.037, 0.011, 0.0036, 0.0012 and 1.7, 3.3, 4.5, 5.6, 6.7; with more digits from 200 runs of a model
    // of the same process.
    let table = [(0.176, 1.74), (0.0368, 3.30), (0.0107, 4.53), (0.0036, 5.63), (0.0014, 6.68)];
    for (k, (residue, traffic)) in (1..).zip(table) {
        let strategy = Gossip { interest: NonZeroU32::new(k).expect("from 1"), ..RUMOR_ONLY };
        let runs: Vec<(usize, usize)> = (0..SEEDS).map(|seed| epidemic(&strategy, seed)).collect();
        let mean = |of: fn(&(usize, usize)) -> usize| {
            let values = runs.iter().map(|run| of(run) as f64 / COUNT as f64);
            let mean = values.clone().sum::<f64>() / SEEDS as f64;
            let variance = values.map(|value| (value - mean) * (value - mean)).sum::<f64>();
            (mean, (variance / (SEEDS - 1) as f64 / SEEDS as f64).sqrt())
        };
        let ((s, s_error), (m, m_error)) = (mean(|run| run.0), mean(|run| run.1));
        println!("k {k}: residue {s:.4} ± {s_error:.4}, traffic {m:.3} ± {m_error:.3}");
        // Within ten per cent, or three standard errors where so few runs do not tell more.
        let near = |value: f64, error: f64, paper: f64| {
            (value - paper).abs() <= (paper * 0.1).max(3.0 * error)
        };
        assert!(near(s, s_error, residue), "k {k}: residue {s} ± {s_error}");
        assert!(near(m, m_error, traffic), "k {k}: traffic {m} ± {m_error}");
    }
}

/// Four replicas without peers out of reach.
fn four<'a>(strategy: &'a Gossip, schema: &'a Schema) -> Vec<Party<'a>> {
    let peers = |n| (0..4).filter(|other| *other != n).map(ReplicaId).collect();
    (0..4).map(|n| Party::new(strategy, ReplicaId(n), peers(n), schema)).collect()
}

/// One speaks to another until both are silent. Returns the lengths of the messages.
fn talk(parties: &mut [Party<'_>], from: usize, to: usize) -> Vec<usize> {
    let mut out = Outbox::new();
    let peer = ReplicaId(to as u32);
    parties[from].replica.handle(CLOCK, Input::Sync { peer }, &mut out).expect("a sync");
    let (mut under_way, mut lengths) = (Vec::new(), Vec::new());
    under_way.extend(messages(&mut out).into_iter().map(|message| (from, message)));
    while let Some((sender, (to, bytes, cargo))) = under_way.pop() {
        lengths.push(bytes.len());
        assert!(lengths.len() < 20, "they do not stop: {lengths:?}");
        let to = to.0 as usize;
        let mut said = receive(&mut *parties[to].replica, ReplicaId(sender as u32), &bytes, &cargo);
        under_way.extend(messages(&mut said).into_iter().map(|message| (to, message)));
    }
    lengths
}

/// Replica 0 adds one and tells replica 1 until it has lost interest.
fn tell_one_alone(parties: &mut [Party<'_>], sequence: u64) {
    let (id, edit) = (EditId { origin: ReplicaId(0), sequence }, addition());
    let mut out = Outbox::new();
    parties[0].replica.handle(CLOCK, Input::Edit { id, edit: &edit }, &mut out).expect("an edit");
    for _ in 0..=2 {
        assert!(!talk(parties, 0, 1).is_empty());
    }
}

fn shows(party: &Party<'_>) -> u128 {
    party.replica.fingerprint(crate::PartitionId(0))
}

#[test]
fn whom_nobody_tells_never_knows_without_anti_entropy() {
    let schema = schema();
    let mut parties = four(&RUMOR_ONLY, &schema);
    tell_one_alone(&mut parties, 1);
    assert!(parties[1].knows());
    assert_eq!(parties[0].replica.pending(ReplicaId(2)).edits, 0);
    assert_eq!(talk(&mut parties, 0, 2), [0; 0], "it is of no interest");
    assert!(!parties[2].knows());

    let mut parties = four(&RUMOR, &schema);
    tell_one_alone(&mut parties, 1);
    assert!(parties[0].replica.pending(ReplicaId(2)).edits > 0);
    assert!(talk(&mut parties, 0, 2).len() > 2, "versions are compared");
    assert_eq!(shows(&parties[2]), shows(&parties[0]));
    tell_one_alone(&mut parties, 2);
    assert_ne!(shows(&parties[2]), shows(&parties[0]));
    let lengths = talk(&mut parties, 0, 2);
    assert_eq!(lengths[0], 9, "a checksum first: {lengths:?}");
    assert!(lengths.len() > 3, "versions where it differs: {lengths:?}");
    assert_eq!(shows(&parties[2]), shows(&parties[0]));
}

#[test]
fn equal_checksums_end_it() {
    let schema = schema();
    let mut parties = four(&RUMOR, &schema);
    tell_one_alone(&mut parties, 1);
    talk(&mut parties, 0, 2);
    tell_one_alone(&mut parties, 2);
    talk(&mut parties, 1, 2);
    assert_eq!(shows(&parties[2]), shows(&parties[0]), "told by another one");
    assert_eq!(talk(&mut parties, 0, 2), [9, 9]);
    assert_eq!(talk(&mut parties, 0, 2), [0; 0], "all is known");
}

#[test]
fn a_rumor_brings_what_came_before_it() {
    let schema = schema();
    let mut parties = four(&RUMOR_ONLY, &schema);
    tell_one_alone(&mut parties, 1);
    let (id, edit) = (EditId { origin: ReplicaId(0), sequence: 2 }, addition());
    let mut out = Outbox::new();
    parties[0].replica.handle(CLOCK, Input::Edit { id, edit: &edit }, &mut out).expect("an edit");
    talk(&mut parties, 0, 2);
    assert_eq!(shows(&parties[2]), shows(&parties[0]), "both are there");
}
