//! Recorded editing sessions of real people through every strategy that serves texts: everybody ends with the recorded text, and what
//! it took on the wire is the table in `docs/sizes.md`.
//!
//! The traces are those of <https://github.com/josephg/editing-traces>, in the folder `traces` of `RECONVERGE_DATA`, by default
//! `../shared` beside the checkout. `RECONVERGE_BLESS=1` writes the table anew; `RECONVERGE_STRATEGY` chooses strategies as for the laws, and
//! then no table is compared.

use reconverge_strategies::*;
use serde::Deserialize;
use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

const TEXT: Cell = Cell { record: RecordId(0), field: FieldId(0) };

/// The sequential traces, and how many transactions make a batch: where it is 1, each travels by itself.
const SEQUENTIAL: [(&str, usize); 5] = [
    ("friendsforever_flat", 1),
    ("json-crdt-patch", 64),
    ("rustcode", 64),
    ("seph-blog1", 64),
    ("automerge-paper", 64),
];

fn read(path: &str) -> Vec<u8> {
    let folder = std::env::var_os("RECONVERGE_DATA").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared")),
        PathBuf::from,
    );
    let path = folder.join("traces").join(path).with_extension("json.gz");
    let bytes = std::fs::read(&path).unwrap_or_else(|error| {
        panic!("{}: {error} (RECONVERGE_DATA names the data folder)", path.display())
    });
    let mut json = Vec::new();
    flate2::read::GzDecoder::new(&bytes[..]).read_to_end(&mut json).expect("it is gzip");
    json
}

/// At a position, delete so many characters and insert a text.
type Patch = (usize, usize, String);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Trace {
    end_content: String,
    txns: Vec<Txn>,
}

#[derive(Deserialize)]
struct Txn {
    patches: Vec<Patch>,
    #[serde(default)]
    parents: Vec<usize>,
    #[serde(default)]
    agent: usize,
}

fn trace(path: &str) -> Trace {
    serde_json::from_slice(&read(path)).expect("the documented format")
}

/// A strategy that is here only with a cargo feature: its texts are judged like all others', but the table is of those that are always here.
fn is_optional(strategy: &dyn Strategy) -> bool {
    strategy.name() == "yrs"
}

/// Name of a strategy or beginning of some names: only these are judged, and no table is compared.
fn named() -> String {
    std::env::var_os("RECONVERGE_STRATEGY").unwrap_or_default().to_string_lossy().into_owned()
}

/// Every strategy that serves texts over sessions and brings every edit to everybody.
fn strategies() -> Vec<&'static dyn Strategy> {
    let named = named();
    let serves = |strategy: &&&dyn Strategy| {
        let profile = strategy.profile();
        strategy.name().starts_with(&named)
            && profile.text.unsupported().is_none()
            && profile.session.unsupported().is_none()
            && !profile.is_probabilistic()
    };
    registry().iter().filter(serves).copied().collect()
}

/// Does something for each of so many pieces of work, on both cores.
fn each<T: Send>(count: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let done: Mutex<BTreeMap<usize, T>> = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let mine = next.fetch_add(1, Ordering::Relaxed);
                    if mine >= count {
                        break;
                    }
                    let result = work(mine);
                    done.lock().expect("no panic while locked").insert(mine, result);
                }
            });
        }
    });
    done.into_inner().expect("no thread panicked").into_values().collect()
}

/// Replicas of one text and the bytes that they sent.
struct World<'s> {
    strategy: &'s dyn Strategy,
    schema: Schema,
    members: Vec<ReplicaId>,
    is_star: bool,
    replicas: Vec<Box<dyn Replica>>,
    out: Outbox,
    edits: u64,
    now_us: u64,
    bytes: u64,
}

impl<'s> World<'s> {
    /// A star around replica 0 where the strategy can, else (or where asked for) a mesh.
    fn new(strategy: &'s dyn Strategy, count: u32, is_star: bool) -> World<'s> {
        let mut world = World {
            strategy,
            schema: Schema::new(vec![FieldKind::Text]),
            members: (0..count).map(ReplicaId).collect(),
            is_star,
            replicas: Vec::new(),
            out: Outbox::new(),
            edits: 0,
            now_us: 1_700_000_000_000_000,
            bytes: 0,
        };
        world.replicas =
            (0..count).map(|n| world.seated(n, |seat| strategy.create(seat))).collect();
        world
    }

    fn seated<R>(&self, replica: u32, with: impl FnOnce(&Seat<'_>) -> R) -> R {
        let is_peer = |other: &ReplicaId| {
            other.0 != replica && (!self.is_star || replica == 0 || other.0 == 0)
        };
        let peers: Vec<_> = self.members.iter().copied().filter(is_peer).collect();
        with(&Seat {
            replica: ReplicaId(replica),
            peers: &peers,
            members: &self.members,
            partitions: Partitions::WHOLE,
            authority: self.is_star.then_some(ReplicaId(0)),
            schema: &self.schema,
            genesis: &[],
            transport: Transport::Session,
            incarnation: 0,
        })
    }

    fn handle(&mut self, replica: u32, input: Input<'_>) -> Vec<(u32, u32, Vec<u8>, Cargo)> {
        self.now_us += 1;
        let clock = Clock { now: Tick(self.now_us * 1000), wall: WallTime(self.now_us) };
        self.out.clear();
        let handled = self.replicas[replica as usize].handle(clock, input, &mut self.out);
        handled.unwrap_or_else(|e| panic!("{}: {e} among honest replicas", self.strategy.name()));
        let sent = self.out.outputs.drain(..).filter_map(|output| match output {
            Output::Send { to, bytes, cargo } => Some((replica, to.0, bytes, cargo)),
            Output::Change(_) => None,
        });
        let sent: Vec<_> = sent.collect();
        self.bytes += sent.iter().map(|(_, _, bytes, _)| bytes.len() as u64).sum::<u64>();
        sent
    }

    fn edit(&mut self, replica: u32, (at, delete, insert): &Patch) {
        self.edits += 1;
        let id = EditId { origin: ReplicaId(replica), sequence: self.edits };
        let edit = Edit::Splice { cell: TEXT, at: *at, delete: *delete, insert: insert.clone() };
        self.handle(replica, Input::Edit { id, edit: &edit });
    }

    fn link(&mut self, a: u32, b: u32, state: LinkState) {
        for (replica, peer) in [(a, b), (b, a)] {
            self.handle(replica, Input::Link { peer: ReplicaId(peer), state });
        }
    }

    /// Lets two replicas speak until neither owes the other anything.
    fn talk(&mut self, a: u32, b: u32) {
        for round in 0.. {
            assert!(round < 1000, "{}: they never finish", self.strategy.name());
            let owes =
                |from: u32, to: u32| self.replicas[from as usize].pending(ReplicaId(to)).edits > 0;
            let speaking: Vec<_> = [(a, b), (b, a)]
                .into_iter()
                .filter(|(from, to)| round == 0 || owes(*from, *to))
                .collect();
            if speaking.is_empty() {
                break;
            }
            for (from, to) in speaking {
                let mut flight: VecDeque<_> =
                    self.handle(from, Input::Sync { peer: ReplicaId(to) }).into();
                while let Some((from, to, bytes, cargo)) = flight.pop_front() {
                    let from = ReplicaId(from);
                    flight.extend(
                        self.handle(to, Input::Receive { from, bytes: &bytes, cargo: &cargo }),
                    );
                }
            }
        }
    }

    /// Lets `into` learn everything that `from` has, and not the other way round: two sessions, begun by one and by the other, each of which is
    /// lost before `into` tells anything of its own. The second one only where `from` did not come to an end of what it knew to owe: it may take
    /// `into` long to put together what nobody will hear.
    fn learn(&mut self, from: u32, into: u32) {
        let owes = |world: &Self| world.replicas[from as usize].pending(ReplicaId(into)).edits > 0;
        let owed = owes(self);
        for (speaker, peer) in [(from, into), (into, from)] {
            self.link(from, into, LinkState::Open);
            let (mut is_cut, mut told) = (false, false);
            let mut flight: VecDeque<_> =
                self.handle(speaker, Input::Sync { peer: ReplicaId(peer) }).into();
            while let Some((sender, to, bytes, cargo)) = flight.pop_front() {
                is_cut |= sender == into && cargo.elements > 0;
                told |= sender == from && cargo.elements > 0;
                if is_cut && sender == into {
                    continue;
                }
                let from = ReplicaId(sender);
                flight
                    .extend(self.handle(to, Input::Receive { from, bytes: &bytes, cargo: &cargo }));
            }
            let is_all = told && owed && !owes(self);
            self.link(from, into, LinkState::Lost);
            if is_all {
                break;
            }
        }
    }

    /// A session in which two replicas tell each other everything.
    fn meet(&mut self, a: u32, b: u32) {
        self.link(a, b, LinkState::Open);
        self.talk(a, b);
        self.link(a, b, LinkState::Lost);
    }

    fn text(&self, replica: u32) -> String {
        let mut rendering = Rendering::new();
        self.replicas[replica as usize].render(Scope::Cell(TEXT), &mut rendering);
        match rendering.get(TEXT).map(Shown::first) {
            Some(Content::Text(text)) => text.clone(),
            _ => String::new(),
        }
    }
}

/// What a trace took.
struct Sizes {
    /// All messages of both directions while the trace was typed, in batches.
    typed_bytes: u64,
    /// All messages that bring a member up to date which was there from the beginning and never heard anything.
    history_bytes: u64,
    /// The same for a member that was presumed gone, so that nothing was kept for it.
    state_bytes: u64,
}

/// A client types, the hub of a star listens; later two more clients that never heard anything appear.
fn typed(strategy: &dyn Strategy, trace: &Trace, batch: usize) -> Sizes {
    let name = strategy.name();
    let (hub, author, silent, gone) = (0, 1, 2, 3);
    let mut world = World::new(strategy, 4, true);
    let change = |world: &mut World<'_>, back: bool| {
        let replica = ReplicaId(gone);
        let change = if back { SeatChange::Back { replica } } else { SeatChange::Gone { replica } };
        for member in [hub, author, silent, gone] {
            if back || member != gone {
                world.handle(member, Input::Seat(change));
            }
        }
    };
    change(&mut world, false);
    world.link(hub, author, LinkState::Open);
    world.talk(author, hub);
    for txns in trace.txns.chunks(batch) {
        for patch in txns.iter().flat_map(|txn| &txn.patches) {
            // Where edits show late, each waits for the one before.
            if patch.0 + patch.1 > world.replicas[author as usize].length(TEXT) {
                world.talk(author, hub);
            }
            world.edit(author, patch);
            if strategy.profile().exceptions.iter().any(|(law, _)| *law == Law::LocalVisibility) {
                world.talk(author, hub);
            }
        }
        world.talk(author, hub);
    }
    let typed_bytes = world.bytes;
    let catch_up = |world: &mut World<'_>, member: u32| {
        let before = world.bytes;
        world.link(member, hub, LinkState::Open);
        world.talk(member, hub);
        world.bytes - before
    };
    let history_bytes = catch_up(&mut world, silent);
    change(&mut world, true);
    let state_bytes = catch_up(&mut world, gone);
    for member in [hub, author, silent, gone] {
        assert!(
            world.text(member) == trace.end_content,
            "{name}: replica {member} shows another text"
        );
    }
    Sizes { typed_bytes, history_bytes, state_bytes }
}

#[test]
#[ignore = "needs RECONVERGE_DATA"]
fn every_strategy_replays_every_sequential_trace() {
    let strategies = strategies();
    let mut table = String::from(
        "# Bytes that recorded sessions take\n\n\
         One client types, the hub of a star listens; then a member appears that was there from the beginning and heard nothing (`history`), \
         and one that was presumed gone, so that nothing was kept for it (`state`). Counted are all bytes that the strategy writes in both directions: \
         greetings, acknowledgements and digests included, framing and encryption not. `cargo test -p reconverge-strategies --test data_traces -- \
         --include-ignored` computes this table and compares it; the traces are described in its source.\n",
    );
    let jobs: Vec<_> = SEQUENTIAL
        .iter()
        .flat_map(|(name, batch)| strategies.iter().map(move |strategy| (*name, *batch, *strategy)))
        .collect();
    let traces: BTreeMap<&str, Trace> =
        SEQUENTIAL.iter().map(|(name, _)| (*name, trace(&format!("sequential/{name}")))).collect();
    let sizes = each(jobs.len(), |n| {
        let (name, batch, strategy) = jobs[n];
        typed(strategy, &traces[name], batch)
    });
    let mut sizes = jobs.iter().zip(sizes);
    for (name, batch) in SEQUENTIAL {
        let trace = &traces[name];
        let inserted = trace.txns.iter().flat_map(|txn| &txn.patches).map(|patch| patch.2.len());
        let (inserted, txns) = (inserted.sum::<usize>(), trace.txns.len());
        let batched = if batch == 1 {
            "each sent at once".to_owned()
        } else {
            format!("sent in batches of {batch}")
        };
        writeln!(
            table,
            "\n## {name}\n\n{txns} transactions, {batched}; {inserted} bytes inserted, {} at the end.\n\n\
             | strategy | typed | per transaction | history | state |\n| :-- | --: | --: | --: | --: |",
            trace.end_content.len()
        )
        .expect("a string takes everything");
        for ((_, _, strategy), sizes) in sizes.by_ref().take(strategies.len()) {
            if is_optional(*strategy) {
                let Sizes { typed_bytes, history_bytes, state_bytes } = sizes;
                let strategy = strategy.name();
                println!("{name}, {strategy}: {typed_bytes}, {history_bytes}, {state_bytes}");
                continue;
            }
            let tenths = (sizes.typed_bytes * 10 + txns as u64 / 2) / txns as u64;
            writeln!(
                table,
                "| {} | {} | {}.{} | {} | {} |",
                strategy.name(),
                sizes.typed_bytes,
                tenths / 10,
                tenths % 10,
                sizes.history_bytes,
                sizes.state_bytes
            )
            .expect("a string takes everything");
        }
    }
    if !named().is_empty() {
        assert!(!strategies.is_empty(), "no such strategy serves texts");
        return;
    }
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/sizes.md"));
    if std::env::var_os("RECONVERGE_BLESS").is_some() {
        std::fs::write(path, &table).expect("the table can be written");
    }
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    assert!(kept == table, "docs/sizes.md is stale: RECONVERGE_BLESS=1 writes it anew\n{table}");
}

/// Strategies whose texts merge; the others ship a text as one value, of which one wins or both are shown, so that a text written at two
/// places at once cannot come out as recorded.
fn merges_texts(strategy: &dyn Strategy) -> bool {
    let name = strategy.name();
    let is_family = |family: &str| name.starts_with(family);
    ["crdt/", "scuttlebutt", "gossip/", "event-graph", "yrs"].into_iter().any(is_family)
}

/// Who carries what from one agent to another.
struct Couriers {
    /// By transactions that another agent names as a parent: the courier that carries what its agent had right after it.
    of: BTreeMap<usize, u32>,
    /// How many there are.
    count: u32,
}

impl Couriers {
    /// Each serves one agent, so that what it has is always part of what that one has later; and it carries nothing else until everybody who
    /// names what it carries has heard it.
    fn of(trace: &Trace) -> Couriers {
        let mut needed_until: BTreeMap<usize, usize> = BTreeMap::new();
        for (n, txn) in trace.txns.iter().enumerate() {
            let others = txn.parents.iter().filter(|p| trace.txns[**p].agent != txn.agent);
            needed_until.extend(others.map(|parent| (*parent, n)));
        }
        // Agent served and transaction until which it is taken, of each courier.
        let mut couriers: Vec<(usize, usize)> = Vec::new();
        let mut of = BTreeMap::new();
        for (named, until) in needed_until {
            let agent = trace.txns[named].agent;
            let is_free = |(serves, taken): &(usize, usize)| *serves == agent && *taken <= named;
            let courier = couriers.iter().position(is_free).unwrap_or_else(|| {
                couriers.push((agent, 0));
                couriers.len() - 1
            });
            couriers[courier].1 = until;
            of.insert(named, courier as u32);
        }
        Couriers { of, count: couriers.len() as u32 }
    }
}

/// Each agent is a replica that has merged exactly what the trace's parents name. What an agent had at some moment is brought by a courier, a
/// replica that nobody types at and that heard of everything up to that moment. (Operational transformation is left out: with one batch in
/// flight a client cannot see exactly that.)
fn concurrent(strategy: &dyn Strategy, trace: &Trace) {
    let name = strategy.name();
    let agents = 1 + trace.txns.iter().map(|txn| txn.agent).max().expect("somebody types") as u32;
    let couriers = Couriers::of(trace);
    let members = agents + couriers.count;
    let mut world = World::new(strategy, members, false);
    let mut merges = 0;
    for (n, txn) in trace.txns.iter().enumerate() {
        let me = txn.agent as u32;
        for parent in txn.parents.iter().filter(|parent| trace.txns[**parent].agent != txn.agent) {
            world.learn(agents + couriers.of[parent], me);
            merges += 1;
        }
        for patch in &txn.patches {
            world.edit(me, patch);
        }
        if let Some(courier) = couriers.of.get(&n) {
            world.meet(me, agents + courier);
        }
    }
    for a in 0..members {
        for b in a + 1..members {
            world.meet(a, b);
        }
    }
    assert!(merges > 2000, "{name}: {merges} merges");
    for member in 0..members {
        assert!(world.text(member) == trace.end_content, "{name}: {member} shows another text");
    }
}

#[test]
#[ignore = "needs RECONVERGE_DATA"]
fn texts_that_merge_come_out_of_a_concurrent_trace_as_recorded() {
    let trace = trace("concurrent/friendsforever");
    let strategies: Vec<_> = strategies()
        .into_iter()
        .filter(|strategy| {
            merges_texts(*strategy) && strategy.profile().mesh.unsupported().is_none()
        })
        .collect();
    assert!(strategies.len() > if named().is_empty() { 5 } else { 0 });
    each(strategies.len(), |n| concurrent(strategies[n], &trace));
}
