//! Recorded sessions of real people, through the strategies of the default comparison: all replicas end in the recorded text.
//!
//! The traces are those of <https://github.com/josephg/editing-traces>, in the folder `traces/sequential` of `RECONVERGE_DATA`.

mod common;

use common::Folder;
use std::path::PathBuf;

fn trace(name: &str) -> PathBuf {
    let data = std::env::var_os("RECONVERGE_DATA").map(PathBuf::from);
    let data =
        data.unwrap_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared")));
    let path = data.join("traces").join(name);
    assert!(path.is_file(), "{} is missing: set RECONVERGE_DATA", path.display());
    path
}

fn replayed(name: &str, strategy: &str, characters: usize) {
    let folder =
        Folder::new(&format!("data-replay-{}-{}", &name[11..15], strategy.replace('/', "-")));
    let trace = trace(name);
    let trace = trace.to_str().expect("the path is text");
    let ran = folder.run(&["replay", trace, "--strategy", strategy]).ended(0);
    let end = format!("all 3 replicas show the recorded end: {characters} characters");
    assert!(ran.out.contains(&end), "{}", ran.out);
}

const PAPER: (&str, usize) = ("sequential/automerge-paper.json.gz", 104_852);
const FRIENDS: (&str, usize) = ("sequential/friendsforever_flat.json.gz", 21_362);

#[test]
#[ignore = "needs RECONVERGE_DATA"]
fn automerge_paper_through_lww() {
    replayed(PAPER.0, "lww/hlc", PAPER.1);
}

#[test]
#[ignore = "needs RECONVERGE_DATA"]
fn automerge_paper_through_ot() {
    replayed(PAPER.0, "ot/central", PAPER.1);
}

#[test]
#[ignore = "needs RECONVERGE_DATA"]
fn automerge_paper_through_crdt() {
    replayed(PAPER.0, "crdt/digest", PAPER.1);
}

#[test]
#[ignore = "needs RECONVERGE_DATA"]
fn friendsforever_through_lww() {
    replayed(FRIENDS.0, "lww/hlc", FRIENDS.1);
}

#[test]
#[ignore = "needs RECONVERGE_DATA"]
fn friendsforever_through_ot() {
    replayed(FRIENDS.0, "ot/central", FRIENDS.1);
}

#[test]
#[ignore = "needs RECONVERGE_DATA"]
fn friendsforever_through_crdt() {
    replayed(FRIENDS.0, "crdt/digest", FRIENDS.1);
}

#[test]
#[ignore = "needs RECONVERGE_DATA"]
fn concurrent_sessions_are_refused() {
    let folder = Folder::new("data-replay-concurrent");
    let trace = trace("concurrent/friendsforever.json.gz");
    let trace = trace.to_str().expect("the path is text");
    folder.run(&["replay", trace]).ended(2).says(&["concurrent trace", "later release"]);
}
