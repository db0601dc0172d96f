//! Recorded editing sessions through the whole strategy. (Single operations are compared with results that others computed in
//! `cli/tests/vectors.rs` and `oracles/ot-text-unicode`.)
//!
//! The data are not part of the project: `RECONVERGE_DATA` names their folder (by default `shared` beside the checkout). Run with
//! `cargo test -p reconverge-strategies --test data_ot -- --ignored`.

use flate2::read::GzDecoder;
use reconverge_strategies::ot::Central;
use reconverge_strategies::*;
use serde_json::Value as Json;
use std::collections::VecDeque;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

fn data(path: &str) -> String {
    let folder = std::env::var_os("RECONVERGE_DATA").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared")),
        PathBuf::from,
    );
    let path = folder.join(path);
    let file = File::open(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut text = String::new();
    GzDecoder::new(file).read_to_string(&mut text).expect("gzipped UTF-8");
    text
}

fn string(json: &Json) -> &str {
    json.as_str().expect("a string")
}

const TEXT: Cell = Cell { record: RecordId(0), field: FieldId(0) };
const SERVER: ReplicaId = ReplicaId(0);

/// A server (number 0) and its clients, with messages that pass at once.
struct Star {
    replicas: Vec<Box<dyn Replica>>,
    out: Outbox,
}

impl Star {
    fn new(count: u32) -> Self {
        let schema = Schema::new(vec![FieldKind::Text]);
        let members: Vec<ReplicaId> = (0..count).map(ReplicaId).collect();
        let clients = &members[1..];
        let replicas = (0..count)
            .map(|n| {
                Central.create(&Seat {
                    replica: ReplicaId(n),
                    peers: if n == 0 { clients } else { &[SERVER] },
                    members: &members,
                    partitions: Partitions::WHOLE,
                    authority: Some(SERVER),
                    schema: &schema,
                    genesis: &[],
                    transport: Transport::Session,
                    incarnation: 0,
                })
            })
            .collect();
        Star { replicas, out: Outbox::new() }
    }

    fn handle(&mut self, n: ReplicaId, input: Input<'_>) {
        let clock = Clock { now: Tick(0), wall: WallTime(0) };
        self.replicas[n.0 as usize].handle(clock, input, &mut self.out).expect("well-formed");
    }

    /// A replica speaks to a peer, and everything that follows arrives. Returns the bytes that passed.
    fn sync(&mut self, from: ReplicaId, peer: ReplicaId) -> usize {
        let mut bytes_sent = 0;
        self.out.clear();
        self.handle(from, Input::Sync { peer });
        let mut on_the_way = VecDeque::new();
        let mut speaker = from;
        loop {
            for output in self.out.outputs.drain(..) {
                if let Output::Send { to, bytes, cargo } = output {
                    on_the_way.push_back((speaker, to, bytes, cargo));
                }
            }
            let Some((from, to, bytes, cargo)) = on_the_way.pop_front() else { return bytes_sent };
            bytes_sent += bytes.len();
            self.handle(to, Input::Receive { from, bytes: &bytes, cargo: &cargo });
            speaker = to;
        }
    }

    fn text(&self, n: ReplicaId) -> Content {
        let mut shown = Rendering::new();
        self.replicas[n.0 as usize].render(Scope::Cell(TEXT), &mut shown);
        shown.get(TEXT).expect("a text").first().clone()
    }
}

/// One writer, a reader, and a server between them; batches of 15 keystrokes, about three seconds of typing.
fn replay(trace: &str, patches: usize) {
    let trace: Json =
        serde_json::from_str(&data(&format!("traces/sequential/{trace}.json.gz"))).expect("JSON");
    let (writer, reader) = (ReplicaId(1), ReplicaId(2));
    let mut star = Star::new(3);
    let mut bytes_sent = 0;
    let mut sequence = 0;
    let txns = trace["txns"].as_array().expect("a list");
    for patch in txns.iter().flat_map(|txn| txn["patches"].as_array().expect("a list")) {
        let edit = Edit::Splice {
            cell: TEXT,
            at: patch[0].as_u64().expect("a position") as usize,
            delete: patch[1].as_u64().expect("a length") as usize,
            insert: string(&patch[2]).to_owned(),
        };
        sequence += 1;
        star.out.clear();
        star.handle(writer, Input::Edit { id: EditId { origin: writer, sequence }, edit: &edit });
        if sequence % 15 == 0 {
            bytes_sent += star.sync(writer, SERVER) + star.sync(SERVER, reader);
        }
    }
    bytes_sent += star.sync(writer, SERVER) + star.sync(SERVER, reader);
    assert_eq!(sequence, patches as u64);
    let expected = Content::Text(string(&trace["endContent"]).to_owned());
    for replica in [SERVER, writer, reader] {
        assert!(star.text(replica) == expected, "{replica} shows another text");
    }
    println!("{patches} patches, {bytes_sent} bytes sent");
}

#[test]
#[ignore = "needs RECONVERGE_DATA"]
fn a_paper_is_typed_again() {
    replay("automerge-paper", 259_778);
}

#[test]
#[ignore = "needs RECONVERGE_DATA"]
fn code_with_characters_of_many_bytes_is_typed_again() {
    replay("rustcode", 40_173);
}
