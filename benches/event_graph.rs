//! `event-graph` beside diamond-types, the library of one of the paper's authors: a long editing session replayed locally, and the whole of it
//! merged into an empty replica from one full encoding.
//!
//! The trace is automerge-paper: 259,778 keystrokes. It lies in the folder named by `RECONVERGE_DATA`, by default `../shared` beside the checkout;
//! without it there is nothing to measure, and the bench says so. The floor: within four times diamond-types.

use criterion::{Criterion, criterion_group, criterion_main};
use diamond_types::list::encoding::EncodeOptions;
use diamond_types::list::{ListCRDT, OpLog};
use reconverge_strategies::event_graph::EventGraph;
use reconverge_strategies::{
    Cargo, Cell, Clock, Content, Edit, EditId, FieldId, FieldKind, Input, LinkState, Outbox,
    Output, Partitions, RecordId, Rendering, Replica, ReplicaId, Schema, Scope, Seat, Shown,
    Strategy, Tick, Transport, WallTime,
};
use std::hint::black_box;
use std::io::Read;
use std::path::PathBuf;

const TEXT: Cell = Cell { record: RecordId(0), field: FieldId(0) };
const CLOCK: Clock = Clock { now: Tick(0), wall: WallTime(0) };
const SERVER: ReplicaId = ReplicaId(0);
const CLIENT: ReplicaId = ReplicaId(1);

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Trace {
    end_content: String,
    txns: Vec<Txn>,
}

#[derive(serde::Deserialize)]
struct Txn {
    patches: Vec<(usize, usize, String)>,
}

fn trace() -> Option<Trace> {
    let folder = std::env::var_os("RECONVERGE_DATA").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared")),
        PathBuf::from,
    );
    let path = folder.join("traces/sequential/automerge-paper.json.gz");
    let Ok(bytes) = std::fs::read(&path) else {
        eprintln!("{}: not there, nothing is measured (RECONVERGE_DATA)", path.display());
        return None;
    };
    let mut json = String::new();
    flate2::read::GzDecoder::new(&bytes[..]).read_to_string(&mut json).expect("gzipped JSON");
    Some(serde_json::from_str(&json).expect("the documented format"))
}

fn replica(own: ReplicaId, peer: ReplicaId) -> Box<dyn Replica> {
    EventGraph.create(&Seat {
        replica: own,
        peers: &[peer],
        members: &[SERVER, CLIENT],
        partitions: Partitions::WHOLE,
        authority: Some(SERVER),
        schema: &Schema::new(vec![FieldKind::Text]),
        genesis: &[],
        transport: Transport::Session,
        incarnation: 0,
    })
}

fn handle(replica: &mut dyn Replica, input: Input<'_>, out: &mut Outbox) {
    out.clear();
    replica.handle(CLOCK, input, out).expect("honest peers");
}

/// A client that made all edits, and whose user was served after each.
fn typed(edits: &[Edit]) -> Box<dyn Replica> {
    let mut replica = replica(CLIENT, SERVER);
    let mut out = Outbox::new();
    for (sequence, edit) in (1..).zip(edits) {
        let id = EditId { origin: CLIENT, sequence };
        handle(&mut *replica, Input::Edit { id, edit }, &mut out);
    }
    replica
}

/// All that a client sends to an empty server.
fn encoded(client: &mut dyn Replica) -> (Vec<u8>, Cargo) {
    let mut out = Outbox::new();
    handle(client, Input::Link { peer: SERVER, state: LinkState::Open }, &mut out);
    handle(client, Input::Sync { peer: SERVER }, &mut out);
    match out.outputs.pop() {
        Some(Output::Send { bytes, cargo, .. }) => (bytes, cargo),
        other => panic!("nothing was sent: {other:?}"),
    }
}

/// A server that got all of it. The outbox is the host's, which uses it again.
fn merged(bytes: &[u8], cargo: &Cargo, out: &mut Outbox) -> Box<dyn Replica> {
    let mut server = replica(SERVER, CLIENT);
    handle(&mut *server, Input::Link { peer: CLIENT, state: LinkState::Open }, out);
    handle(&mut *server, Input::Receive { from: CLIENT, bytes, cargo }, out);
    server
}

fn text(replica: &dyn Replica) -> String {
    let mut rendering = Rendering::new();
    replica.render(Scope::Cell(TEXT), &mut rendering);
    match rendering.get(TEXT) {
        Some(Shown::Settled(Content::Text(text))) => text.clone(),
        other => panic!("not a text: {other:?}"),
    }
}

fn diamond(patches: &[(usize, usize, String)]) -> ListCRDT {
    let mut document = ListCRDT::new();
    let agent = document.get_or_create_agent_id("author");
    for (at, delete, insert) in patches {
        if *delete > 0 {
            document.delete_without_content(agent, *at..at + delete);
        }
        if !insert.is_empty() {
            document.insert(agent, *at, insert);
        }
    }
    document
}

fn benches(criterion: &mut Criterion) {
    let Some(trace) = trace() else { return };
    let patches: Vec<_> = trace.txns.into_iter().flat_map(|txn| txn.patches).collect();
    let edits: Vec<Edit> = patches
        .iter()
        .map(|(at, delete, insert)| Edit::Splice {
            cell: TEXT,
            at: *at,
            delete: *delete,
            insert: insert.clone(),
        })
        .collect();

    let mut local = criterion.benchmark_group("event_graph_local");
    local.sample_size(20);
    local.bench_function("diamond-types", |b| {
        b.iter_with_large_drop(|| diamond(black_box(&patches)));
    });
    local.bench_function("event-graph", |b| {
        b.iter_with_large_drop(|| typed(black_box(&edits)));
    });
    local.finish();

    let theirs = diamond(&patches).oplog.encode(EncodeOptions::default());
    let mut client = typed(&edits);
    assert!(text(&*client) == trace.end_content, "the client's text differs");
    let (ours, cargo) = encoded(&mut *client);
    let mut out = Outbox::new();
    assert!(
        text(&*merged(&ours, &cargo, &mut out)) == trace.end_content,
        "the server's text differs"
    );
    println!(
        "full encoding: diamond-types {} bytes, event-graph {} bytes",
        theirs.len(),
        ours.len()
    );

    let mut merge = criterion.benchmark_group("event_graph_merge");
    merge.sample_size(20);
    merge.bench_function("diamond-types", |b| {
        b.iter_with_large_drop(|| {
            let log = OpLog::load_from(black_box(&theirs)).expect("its own encoding");
            let tip = log.checkout_tip();
            (log, tip)
        });
    });
    merge.bench_function("event-graph", |b| {
        b.iter_with_large_drop(|| merged(black_box(&ours), black_box(&cargo), &mut out));
    });
    merge.finish();
}

criterion_group!(all, benches);
criterion_main!(all);
