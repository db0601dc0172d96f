//! `crdt/digest` and `crdt/digest+rga` through recorded editing sessions. Where concurrently inserted text ends up is compared with results that
//! others computed in `cli/tests/vectors.rs`.
//!
//! The data lie in the folder named by `RECONVERGE_DATA`, by default `../shared` beside the checkout.

use reconverge_strategies::crdt::{Crdt, DIGEST, DIGEST_RGA};
use reconverge_strategies::*;
use serde::Deserialize;
use std::collections::VecDeque;
use std::io::Read;
use std::path::PathBuf;

fn data(path: &str) -> Vec<u8> {
    let folder = std::env::var_os("RECONVERGE_DATA").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared")),
        PathBuf::from,
    );
    let path = folder.join(path);
    std::fs::read(&path).unwrap_or_else(|error| {
        panic!("{}: {error} (RECONVERGE_DATA names the data folder)", path.display())
    })
}

const TEXT: Cell = Cell { record: RecordId(0), field: FieldId(0) };
const CLOCK: Clock = Clock { now: Tick(0), wall: WallTime(0) };

/// Replicas in a mesh that write to one text.
struct Mesh {
    replicas: Vec<Box<dyn Replica>>,
    edits: u64,
    bytes: usize,
}

impl Mesh {
    fn new(strategy: Crdt, replicas: u32) -> Self {
        let schema = Schema::new(vec![FieldKind::Text]);
        let members: Vec<_> = (0..replicas).map(ReplicaId).collect();
        let create = |replica| {
            let others: Vec<_> = (0..replicas).filter(|id| *id != replica).map(ReplicaId).collect();
            strategy.create(&Seat {
                replica: ReplicaId(replica),
                peers: &others,
                members: &members,
                partitions: Partitions::WHOLE,
                authority: None,
                schema: &schema,
                genesis: &[],
                transport: Transport::Session,
                incarnation: 0,
            })
        };
        Mesh { replicas: (0..replicas).map(create).collect(), edits: 0, bytes: 0 }
    }

    fn splice(&mut self, replica: usize, at: usize, delete: usize, insert: &str) {
        self.edits += 1;
        let id = EditId { origin: ReplicaId(replica as u32), sequence: self.edits };
        let edit = Edit::Splice { cell: TEXT, at, delete, insert: insert.to_owned() };
        let sent = self.handle(replica, Input::Edit { id, edit: &edit });
        assert!(sent.is_empty(), "nothing is sent on an edit");
    }

    fn handle(&mut self, replica: usize, input: Input<'_>) -> Vec<(usize, Vec<u8>, Cargo)> {
        let mut out = Outbox::new();
        self.replicas[replica].handle(CLOCK, input, &mut out).expect("honest peers");
        let sent = out.outputs.into_iter().filter_map(|output| match output {
            Output::Send { to, bytes, cargo } => Some((to.0 as usize, bytes, cargo)),
            Output::Change(_) => None,
        });
        sent.collect()
    }

    fn link(&mut self, a: usize, b: usize, state: LinkState) {
        for (me, peer) in [(a, b), (b, a)] {
            self.handle(me, Input::Link { peer: ReplicaId(peer as u32), state });
        }
    }

    fn receive(
        &mut self,
        to: usize,
        from: usize,
        bytes: &[u8],
        cargo: &Cargo,
    ) -> Vec<(usize, Vec<u8>, Cargo)> {
        let from = ReplicaId(from as u32);
        self.handle(to, Input::Receive { from, bytes, cargo })
    }

    /// Lets one speak to another, until both are silent.
    fn sync(&mut self, from: usize, to: usize) {
        let first = self.handle(from, Input::Sync { peer: ReplicaId(to as u32) });
        let mut queue: VecDeque<_> = first.into_iter().map(|message| (from, message)).collect();
        while let Some((from, (to, bytes, cargo))) = queue.pop_front() {
            self.bytes += bytes.len();
            let replies = self.receive(to, from, &bytes, &cargo);
            queue.extend(replies.into_iter().map(|message| (to, message)));
        }
    }

    fn text(&self, replica: usize) -> String {
        let mut rendering = Rendering::new();
        self.replicas[replica].render(Scope::Cell(TEXT), &mut rendering);
        match rendering.get(TEXT) {
            Some(Shown::Settled(Content::Text(text))) => text.clone(),
            None => String::new(),
            other => panic!("not a text: {other:?}"),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Trace {
    end_content: String,
    txns: Vec<Txn>,
}

#[derive(Deserialize)]
struct Txn {
    patches: Vec<(usize, usize, String)>,
}

fn trace(name: &str) -> Trace {
    let bytes = data(&format!("traces/sequential/{name}.json.gz"));
    let mut json = String::new();
    flate2::read::GzDecoder::new(&bytes[..]).read_to_string(&mut json).expect("gzipped JSON");
    serde_json::from_str(&json).expect("the documented format")
}

/// Replays a trace on one replica that syncs into a second one after so many edits; returns bytes per edit.
fn replay(strategy: Crdt, name: &str, edits_per_sync: u64) -> f64 {
    let trace = trace(name);
    let mut mesh = Mesh::new(strategy, 2);
    mesh.link(0, 1, LinkState::Open);
    for (at, delete, insert) in trace.txns.iter().flat_map(|txn| &txn.patches) {
        mesh.splice(0, *at, *delete, insert);
        if mesh.edits.is_multiple_of(edits_per_sync) {
            mesh.sync(0, 1);
        }
    }
    mesh.sync(0, 1);
    assert!(mesh.text(0) == trace.end_content, "{name}: the author's text differs");
    assert!(mesh.text(1) == trace.end_content, "{name}: the receiver's text differs");
    let fingerprint = |replica: usize| mesh.replicas[replica].fingerprint(PartitionId(0));
    assert_eq!(fingerprint(0), fingerprint(1), "{name}");
    mesh.bytes as f64 / mesh.edits as f64
}

#[test]
#[ignore = "needs RECONVERGE_DATA"]
fn recorded_sessions_arrive_as_they_were_typed_in_few_bytes() {
    for name in ["automerge-paper", "friendsforever_flat", "seph-blog1", "json-crdt-patch"] {
        for strategy in [DIGEST, DIGEST_RGA] {
            let bytes_per_edit = replay(strategy, name, 50);
            println!("{name}, {}: {bytes_per_edit:.2} bytes per edit", strategy.name());
            let most = if name == "json-crdt-patch" { 9.0 } else { 4.0 };
            assert!(bytes_per_edit < most, "{name}: {bytes_per_edit} bytes, answers included");
        }
    }
}

#[test]
#[ignore = "needs RECONVERGE_DATA"]
fn one_keystroke_in_its_own_message_is_short() {
    let trace = trace("automerge-paper");
    let mut mesh = Mesh::new(DIGEST, 2);
    mesh.link(0, 1, LinkState::Open);
    mesh.sync(0, 1);
    for (at, delete, insert) in trace.txns.iter().flat_map(|txn| &txn.patches).take(50_000) {
        mesh.bytes = 0;
        mesh.splice(0, *at, *delete, insert);
        mesh.sync(0, 1);
        assert!(mesh.bytes < 30, "{} bytes with the acknowledgement", mesh.bytes);
    }
}
