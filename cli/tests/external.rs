//! A program with strategies of its own, as somebody else would write it: a main function that hands its list to the library. Started
//! with `--as-command` this test is that program; else it starts itself so and looks at what comes out.

mod common;

use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};

use common::{Folder, Ran, column};
use reconverge_strategies::partitioned::Partitioned;
use reconverge_strategies::versioned::Versioned;
use reconverge_strategies::{
    Cell, Clock, Footprint, Input, Malformed, Outbox, PartitionId, Pending, Profile, Rendering,
    Replica, ReplicaId, Scope, Seat, Strategy, crdt, registry,
};

/// What is wrong with a strategy of this program.
#[derive(Clone, Copy)]
enum Vice {
    None,
    /// Its work depends on how much the whole process has worked before.
    Fickle,
    /// It refuses every tenth message.
    Moody,
}

/// `crdt/digest` as it is registered.
const DIGEST: Versioned<Partitioned<crdt::Crdt>> = Versioned(Partitioned(crdt::DIGEST));

/// It under another name, with a vice.
struct Mine {
    name: &'static str,
    vice: Vice,
}

struct MineReplica {
    inner: Box<dyn Replica>,
    vice: Vice,
    received: u64,
}

static WORKED: AtomicU64 = AtomicU64::new(0);

impl Mine {
    fn wrap(&self, inner: Box<dyn Replica>) -> Box<dyn Replica> {
        Box::new(MineReplica { inner, vice: self.vice, received: 0 })
    }
}

impl Strategy for Mine {
    fn name(&self) -> &str {
        self.name
    }

    fn profile(&self) -> Profile {
        Profile { summary: "Somebody else's.", ..DIGEST.profile() }
    }

    fn create(&self, seat: &Seat<'_>) -> Box<dyn Replica> {
        self.wrap(DIGEST.create(seat))
    }

    fn restore(&self, seat: &Seat<'_>, saved: &[u8]) -> Result<Box<dyn Replica>, Malformed> {
        Ok(self.wrap(DIGEST.restore(seat, saved)?))
    }

    fn recode(&self, message: &[u8]) -> Result<Vec<u8>, Malformed> {
        DIGEST.recode(message)
    }
}

impl Replica for MineReplica {
    fn handle(
        &mut self,
        clock: Clock,
        input: Input<'_>,
        out: &mut Outbox,
    ) -> Result<(), Malformed> {
        self.received += u64::from(matches!(input, Input::Receive { .. }));
        match self.vice {
            Vice::None => {}
            Vice::Fickle => out.work(1 + WORKED.fetch_add(1, Ordering::Relaxed)),
            Vice::Moody if self.received == 10 => return Err(Malformed("not today")),
            Vice::Moody => {}
        }
        self.inner.handle(clock, input, out)
    }

    fn pending(&self, peer: ReplicaId) -> Pending {
        self.inner.pending(peer)
    }

    fn length(&self, cell: Cell) -> usize {
        self.inner.length(cell)
    }

    fn render(&self, scope: Scope, out: &mut Rendering) {
        self.inner.render(scope, out);
    }

    fn fingerprint(&self, partition: PartitionId) -> u128 {
        self.inner.fingerprint(partition)
    }

    fn save(&self, out: &mut Vec<u8>) {
        self.inner.save(out);
    }

    fn footprint(&self) -> Footprint {
        self.inner.footprint()
    }
}

const TWIN: Mine = Mine { name: "mine/twin", vice: Vice::None };
const FICKLE: Mine = Mine { name: "mine/fickle", vice: Vice::Fickle };
const MOODY: Mine = Mine { name: "mine/moody", vice: Vice::Moody };

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|argument| argument == "--as-command") {
        let mine: [&dyn Strategy; 3] = [&TWIN, &FICKLE, &MOODY];
        let strategies = match arguments[at + 1].as_str() {
            "all" => [registry(), &mine].concat(),
            "mine" => mine.to_vec(),
            "doubled" => [mine, mine].concat(),
            _ => Vec::new(),
        };
        let program = ["reconverge".to_owned()];
        return reconverge::main_from(program.iter().chain(&arguments[at + 2..]), &strategies);
    }
    // Asked for by tools that collect tests: there is one.
    if arguments.iter().any(|argument| argument == "--list") {
        println!("external: test");
        return ExitCode::SUCCESS;
    }
    its_strategies_are_strategies_like_all();
    its_strategies_suffice();
    failures_end_with_1();
    what_differs_from_run_to_run_is_found();
    mistakes_of_the_program_are_said();
    println!("external: 5 tests passed");
    ExitCode::SUCCESS
}

fn run(folder: &Folder, strategies: &str, args: &[&str]) -> Ran {
    let program = std::env::current_exe().expect("it runs");
    let args = [["--as-command", strategies].as_slice(), args].concat();
    folder.run_program(Path::new(&program), &args)
}

fn its_strategies_are_strategies_like_all() {
    let folder = Folder::new("external-all");
    let args =
        ["run", "small", "--seeds", "1", "--strategy", "crdt/digest", "--strategy", "mine/twin"];
    let ran = run(&folder, "all", &args).ended(0);
    assert!(ran.out.lines().any(|line| line.starts_with("mine/twin")), "{}", ran.out);
    let digests = column(&folder.read("reconverge-out/small/trials.csv"), "digest");
    assert_eq!(digests[0], digests[1], "another name is no other strategy");
    let list = run(&folder, "all", &["list", "strategies"]).ended(0).out;
    assert!(list.contains("mine/twin") && list.contains("lww/hlc"), "{list}");
}

/// The scenario's budget speaks of `crdt/*`, which this program does not have.
fn its_strategies_suffice() {
    let folder = Folder::new("external-mine");
    run(&folder, "mine", &["run", "small", "--seeds", "1", "--strategy", "*/twin"]).ended(0);
    run(&folder, "mine", &["run", "small", "--strategy", "lww/*"])
        .ended(2)
        .says(&["no strategy matches `lww/*`", "there are `mine/twin`"]);
}

fn failures_end_with_1() {
    let folder = Folder::new("external-failures");
    let args = ["run", "small", "--seeds", "1", "--strategy", "mine/moody", "--quiet"];
    let ran = run(&folder, "all", &args).ended(1);
    assert!(ran.out.contains("failed: mine/moody in 1 of 1 trials"), "{}", ran.out);
    assert!(ran.out.contains("not today"), "{}", ran.out);
    assert!(folder.read("reconverge-out/small/trials.csv").contains(",failed,"));
    let ran = run(&folder, "all", &["trace", "small", "--strategy", "mine/moody"]).ended(1);
    assert!(ran.out.contains("phase End") && ran.err.contains("not today"), "{}", ran.err);
    folder.write(
        "t.json",
        format!(
            r#"{{"endContent":"{0}","txns":[{1}{{"patches":[[0,0,"a"]]}}]}}"#,
            "a".repeat(100),
            r#"{"patches":[[0,0,"a"]]},"#.repeat(99)
        ),
    );
    run(&folder, "all", &["replay", "t.json", "--strategy", "mine/moody"])
        .ended(1)
        .says(&["mine/moody: failed", "not today"]);
    run(&folder, "all", &["replay", "t.json", "--strategy", "mine/twin"]).ended(0);
}

fn what_differs_from_run_to_run_is_found() {
    let folder = Folder::new("external-fickle");
    let args = ["check", "small", "--seeds", "1", "--strategy", "mine/*k*", "--determinism"];
    let ran = run(&folder, "all", &args).ended(1).says(&["1 of 1 trials differ"]);
    assert!(ran.out.contains("mine/fickle, seed 0: the facts differ, with digests"), "{}", ran.out);
    let facts: Vec<&str> = ran.out.lines().filter(|line| line.starts_with("  ")).collect();
    assert!(facts[0].starts_with("  one:   00:00:"), "a time and a fact: {facts:?}");
    assert!(facts[1].starts_with("  other: 00:00:"), "a time and a fact: {facts:?}");
    assert_ne!(facts[0][9..], facts[1][9..]);
}

fn mistakes_of_the_program_are_said() {
    let folder = Folder::new("external-mistakes");
    run(&folder, "doubled", &["list"]).ended(2).says(&["two strategies named `mine/twin`"]);
    run(&folder, "none", &["list"]).ended(2).says(&["no strategies"]);
}
