//! Worlds full of random edits, losses, crashes and skewed clocks, and what must hold in all of them.

use super::{COUNTER, Net, RECORDS, REGISTER, SET, TEXT, Topology, cell};
use crate::contract::{Cargo, Input, LinkState, Outbox, Strategy, Transport};
use crate::document::{Content, Edit, PartitionId, RecordId, ReplicaId};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

impl Net {
    /// An edit as a user of replica `n` might make it, recognisable in renderings.
    fn random_edit(&self, n: usize, rng: &mut ChaCha8Rng) -> Edit {
        let record = rng.random_range(0..RECORDS);
        let token = format!("<{}>", self.next_sequence + 1);
        match rng.random_range(0..100) {
            0..30 => Edit::Put { cell: cell(record, REGISTER), value: token.into() },
            30..45 => {
                let amount = rng.random_range(1..100);
                Edit::Add { cell: cell(record, COUNTER), amount }
            }
            45..60 => Edit::Insert { cell: cell(record, SET), element: token.into() },
            60..68 => {
                let cell = cell(record, SET);
                let shown = self.shown(n, cell);
                let Some(Content::Set(elements)) = shown else {
                    return Edit::Insert { cell, element: token.into() };
                };
                let element = elements.iter().nth(rng.random_range(0..elements.len()));
                Edit::Remove { cell, element: element.expect("a shown set has elements").clone() }
            }
            68..90 => {
                let cell = cell(record, TEXT);
                let length = self.nodes[n].replica.length(cell);
                let at = if rng.random_range(0..2) == 0 { 0 } else { length };
                Edit::Splice { cell, at, delete: 0, insert: token }
            }
            _ => Edit::Delete { record: RecordId(record) },
        }
    }

    /// One random step of a world with bad networks.
    fn random_step(&mut self, rng: &mut ChaCha8Rng) {
        let pairs = self.pairs();
        let (a, b) = pairs[rng.random_range(0..pairs.len())];
        self.random_step_between(a, b, rng);
    }

    fn random_step_between(&mut self, a: usize, b: usize, rng: &mut ChaCha8Rng) {
        match rng.random_range(0..100) {
            0..25 => {
                let edit = self.random_edit(a, rng);
                self.edit(a, edit);
            }
            25..40 => self.open(a, b),
            40..60 => self.sync(a, b),
            60..90 => match self.transport {
                Transport::Session => self.deliver(a, b, 0, false),
                Transport::Datagram => {
                    let at = rng.random_range(0..=self.in_flight(a, b));
                    match rng.random_range(0..4) {
                        0 => self.drop_message(a, b, at),
                        dice => self.deliver(a, b, at, dice == 1),
                    }
                }
            },
            90..94 => self.lose(a, b),
            94..97 => self.crash(a),
            _ => {
                let day_us = 86_400_000_000;
                self.shift_clock(a, rng.random_range(-3 * day_us..3 * day_us));
            }
        }
    }
}

/// Random worlds that must all end with everybody showing the same, and with reports that agree with what is shown.
pub(crate) fn random_worlds(
    strategy: &'static dyn Strategy,
    topology: Topology,
    transport: Transport,
) {
    for seed in 0..60 {
        let label = format!("{} {topology:?} {transport:?} seed {seed}", strategy.name());
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut net = Net::new(strategy, topology, transport, 4);
        for _ in 0..3 {
            for _ in 0..rng.random_range(20..150) {
                net.random_step(&mut rng);
                if rng.random_range(0..10) == 0 {
                    net.audit(&label);
                }
            }
            net.settle(&label);
            net.audit(&label);
        }
    }
}

/// Worlds in which replicas are away for so long that they are presumed gone, some of them edit meanwhile, and they come back.
pub(crate) fn worlds_of_members(
    strategy: &'static dyn Strategy,
    topology: Topology,
    transport: Transport,
) {
    for seed in 0..60 {
        let label = format!("{} {topology:?} {transport:?} seed {seed}", strategy.name());
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let asks = strategy.name() == "lww/prompt";
        let critical: &[u16] = if asks { &[REGISTER] } else { &[] };
        let mut net = Net::with_critical(strategy, topology, transport, 5, critical);
        for _ in 0..3 {
            for _ in 0..rng.random_range(20..80) {
                net.random_step(&mut rng);
            }
            let away = rng.random_range(0..5);
            net.isolate(away);
            net.member(away, true);
            for _ in 0..rng.random_range(20..150) {
                let (a, b) = net.pairs()[rng.random_range(0..net.pairs().len())];
                if a == away || b == away {
                    if rng.random_range(0..4) == 0 {
                        let edit = net.random_edit(away, &mut rng);
                        net.edit(away, edit);
                    }
                } else {
                    net.random_step_between(a, b, &mut rng);
                }
            }
            if rng.random_range(0..2) == 0 {
                net.member(away, false);
            }
            net.settle(&label);
            if !asks {
                net.audit(&label);
            }
        }
    }
}

/// The same worlds with and without sensible ids in cargos send the same bytes and show the same.
pub(crate) fn scrambled_ids(strategy: &'static dyn Strategy, transport: Transport) {
    for seed in 0..30 {
        let run = |scrambled: bool| {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let mut net = Net::new(strategy, Topology::Star, transport, 4);
            net.scrambler = scrambled.then(|| ChaCha8Rng::seed_from_u64(seed + 1));
            for _ in 0..300 {
                net.random_step(&mut rng);
            }
            let pending: Vec<_> = net.pairs().iter().map(|(n, m)| net.pending(*n, *m)).collect();
            (net.sent.clone(), net.fingerprints(), pending)
        };
        assert_eq!(run(false), run(true), "{} seed {seed}", strategy.name());
    }
}

/// Flipped and truncated messages are refused without a trace, or understood; never a panic.
pub(crate) fn hostile_bytes(strategy: &'static dyn Strategy) {
    for seed in 0..60 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut net = Net::new(strategy, Topology::Star, Transport::Session, 3);
        for _ in 0..120 {
            net.random_step(&mut rng);
        }
        net.open(0, 1);
        for _ in 0..100 {
            let mut bytes = net.sent[rng.random_range(0..net.sent.len())].clone();
            for _ in 0..rng.random_range(0..3) {
                let at = rng.random_range(0..bytes.len());
                bytes[at] ^= 1 << rng.random_range(0..8);
            }
            bytes.truncate(rng.random_range(0..=bytes.len() * 2).min(bytes.len()));
            if let Ok(recoded) = strategy.recode(&bytes) {
                assert_eq!(recoded, bytes, "seed {seed}: one form only");
            }
            let (to, from) = if rng.random_range(0..2) == 0 { (0, 1) } else { (1, 0) };
            let before = (net.fingerprints(), net.saved(to));
            let input =
                Input::Receive { from: ReplicaId(from), bytes: &bytes, cargo: &Cargo::default() };
            if net.handle(to, input).is_err() {
                assert_eq!((net.fingerprints(), net.saved(to)), before, "seed {seed}");
            }
        }
    }
}

/// Damaged snapshots are refused or restored; never a panic, also not afterwards.
pub(crate) fn hostile_snapshots(strategy: &'static dyn Strategy) {
    for seed in 0..60 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut net = Net::new(strategy, Topology::Star, Transport::Session, 3);
        for _ in 0..120 {
            net.random_step(&mut rng);
        }
        for _ in 0..40 {
            let n = rng.random_range(0..3);
            let mut saved = net.saved(n);
            let at = rng.random_range(0..saved.len());
            saved[at] ^= 1 << rng.random_range(0..8);
            saved.truncate(rng.random_range(0..=saved.len() * 2).min(saved.len()));
            let peers = net.nodes[n].peers.clone();
            let Ok(mut replica) = strategy.restore(&net.seat(n, &peers, 0), &saved) else {
                continue;
            };
            let mut out = Outbox::new();
            for peer in peers {
                for input in [
                    Input::Link { peer, state: LinkState::Lost },
                    Input::Link { peer, state: LinkState::Open },
                    Input::Sync { peer },
                ] {
                    replica.handle(net.clock(n), input, &mut out).expect("nothing received");
                }
            }
            replica.fingerprint(PartitionId(0));
        }
    }
}
