//! Texts beside diamond-types, the fastest of its kind: recorded editing sessions replayed by the user who typed them, and the result
//! taken into an empty replica from one full encoding.
//!
//! The patches lie in memory before the clock starts. The floor for automerge-paper, 259,778 keystrokes: within four times
//! diamond-types, of which there are two: `diamond-types` keeps the text up to date after every patch, as ours do, and
//! `diamond-types-log` only appends patches to its log, without a text. Another kind of text joins by implementing [`Text`] and a line in
//! [`benches`].
//!
//! The traces lie in the folder named by `RECONVERGE_DATA`, by default `../shared` beside the checkout; without them nothing is measured.

use criterion::{
    BenchmarkGroup, Criterion, criterion_group, criterion_main, measurement::WallTime,
};
use diamond_types::list::encoding::EncodeOptions;
use diamond_types::list::{Branch, ListCRDT, OpLog};
use reconverge_strategies::ReplicaId;
use reconverge_strategies::crdt::{TextOrder, TextReplica};
use std::hint::black_box;
use std::io::Read;
use std::path::PathBuf;

/// Position, characters to delete, text to insert.
type Patch = (usize, usize, String);

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Trace {
    end_content: String,
    txns: Vec<Txn>,
}

#[derive(serde::Deserialize)]
struct Txn {
    patches: Vec<Patch>,
}

/// A text that one user writes and others take in.
trait Text {
    /// The text after these patches, with whatever must be sent of them.
    fn typed(&self, patches: &[Patch]) -> Box<dyn Written>;
    /// The text taken in from one full encoding, ready to be shown and written on.
    fn loaded(&self, encoding: &[u8]) -> Box<dyn Written>;
}

/// A text as it is now.
trait Written {
    fn text(&self) -> String;
    fn encoding(&self) -> Vec<u8>;
}

struct Ours(TextOrder);

impl Text for Ours {
    fn typed(&self, patches: &[Patch]) -> Box<dyn Written> {
        let mut text = TextReplica::new(ReplicaId(0), self.0);
        for (at, delete, insert) in patches {
            text.erase(*at, *delete);
            text.insert(*at, insert);
        }
        Box::new(text)
    }

    fn loaded(&self, encoding: &[u8]) -> Box<dyn Written> {
        let text = TextReplica::decode(ReplicaId(1), self.0, encoding);
        Box::new(text.expect("its own encoding"))
    }
}

impl Written for TextReplica {
    fn text(&self) -> String {
        self.text()
    }

    fn encoding(&self) -> Vec<u8> {
        self.encode()
    }
}

struct Diamond;

impl Text for Diamond {
    fn typed(&self, patches: &[Patch]) -> Box<dyn Written> {
        let mut text = ListCRDT::new();
        let agent = text.get_or_create_agent_id("author");
        for (at, delete, insert) in patches {
            if *delete > 0 {
                text.delete_without_content(agent, *at..at + delete);
            }
            if !insert.is_empty() {
                text.insert(agent, *at, insert);
            }
        }
        Box::new((text.oplog, text.branch))
    }

    fn loaded(&self, encoding: &[u8]) -> Box<dyn Written> {
        let log = OpLog::load_from(encoding).expect("its own encoding");
        let tip = log.checkout_tip();
        Box::new((log, tip))
    }
}

impl Written for (OpLog, Branch) {
    fn text(&self) -> String {
        self.1.content().to_string()
    }

    fn encoding(&self) -> Vec<u8> {
        self.0.encode(EncodeOptions::default())
    }
}

/// The patches appended to the log of diamond-types alone, by `add_insert_at` and `add_delete_at`.
fn logged(patches: &[Patch]) -> ListCRDT {
    let mut text = ListCRDT::new();
    let agent = text.get_or_create_agent_id("author");
    let mut tip = None;
    for (at, delete, insert) in patches {
        if *delete > 0 {
            tip = Some(text.oplog.add_delete_at(agent, tip.as_slice(), *at..at + delete));
        }
        if !insert.is_empty() {
            tip = Some(text.oplog.add_insert_at(agent, tip.as_slice(), *at, insert));
        }
    }
    text
}

fn trace(name: &str) -> Option<Trace> {
    let folder = std::env::var_os("RECONVERGE_DATA").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared")),
        PathBuf::from,
    );
    let path = folder.join(format!("traces/sequential/{name}.json.gz"));
    let Ok(bytes) = std::fs::read(&path) else {
        eprintln!("{}: not there, nothing is measured (RECONVERGE_DATA)", path.display());
        return None;
    };
    let mut json = String::new();
    flate2::read::GzDecoder::new(&bytes[..]).read_to_string(&mut json).expect("gzipped JSON");
    Some(serde_json::from_str(&json).expect("the documented format"))
}

fn group<'a>(criterion: &'a mut Criterion, name: &str) -> BenchmarkGroup<'a, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group.sample_size(20);
    group
}

fn benches(criterion: &mut Criterion) {
    let kinds: [(&str, &dyn Text); 3] = [
        ("diamond-types", &Diamond),
        ("fuguemax", &Ours(TextOrder::FugueMax)),
        ("rga", &Ours(TextOrder::Rga)),
    ];
    for name in
        ["automerge-paper", "rustcode", "seph-blog1", "friendsforever_flat", "json-crdt-patch"]
    {
        let Some(trace) = trace(name) else { continue };
        let patches: Vec<Patch> = trace.txns.into_iter().flat_map(|txn| txn.patches).collect();
        let mut encodings = Vec::new();
        for (kind, text) in kinds {
            let typed = text.typed(&patches);
            assert!(typed.text() == trace.end_content, "{name}, {kind}: the author's text differs");
            let encoding = typed.encoding();
            let loaded = text.loaded(&encoding);
            assert!(loaded.text() == trace.end_content, "{name}, {kind}: the loaded text differs");
            println!("{name}, {kind}: full encoding of {} bytes", encoding.len());
            encodings.push(encoding);
        }
        if name != "automerge-paper" {
            continue;
        }
        let mut local = group(criterion, "local");
        local.bench_function("diamond-types-log", |b| {
            b.iter_with_large_drop(|| logged(black_box(&patches)));
        });
        for (kind, text) in kinds {
            local.bench_function(kind, |b| {
                b.iter_with_large_drop(|| text.typed(black_box(&patches)));
            });
        }
        local.finish();
        let mut merge = group(criterion, "merge");
        for ((kind, text), encoding) in kinds.into_iter().zip(&encodings) {
            merge.bench_function(kind, |b| {
                b.iter_with_large_drop(|| text.loaded(black_box(encoding)));
            });
        }
        merge.finish();
    }
}

criterion_group!(all, benches);
criterion_main!(all);
