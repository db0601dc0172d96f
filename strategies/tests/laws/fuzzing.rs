//! What a fuzzer does with bytes, and the test over its corpus after it: every decoder of every strategy is given them, where they were made up and
//! in the middle of a real history.
//!
//! Bytes are refused or handled: without a panic, without much memory, and what is refused changes nothing that is shown. A replica that
//! takes nonsense for a message lives on: it shows something, talks, edits, and comes back from its own snapshot.

use crate::allocation::peak_growth;
use crate::harness::World;
use crate::stage::{Event, Stage, difference, id, play, rendering, settings};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use reconverge_strategies::reconcile::{Key, merkle, rateless};
use reconverge_strategies::wire::{Reader, Writer};
use reconverge_strategies::*;
use std::sync::OnceLock;

/// Memory that one call may ask for at least, in bytes; and as many times the length of its bytes.
const MEMORY: usize = 1 << 20;
const MEMORY_PER_BYTE: usize = 4096;
/// Steps of the history that a replica has behind it.
const STEPS_BEFORE: usize = 60;
/// Steps of the history that goes on from there.
const STEPS_AFTER: usize = 40;
/// Honest messages that arrive after a hostile one.
const ARRIVALS: usize = 3;

/// Which decoders the bytes go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Messages: `[strategy, message...]`.
    Recode,
    /// Snapshots: `[strategy, situation, snapshot...]`.
    Restore,
    /// A replica in the middle of a history: `[strategy, situation, messages...]`, each message but the last preceded by its length
    /// in one byte (255: the rest).
    Receive,
    /// Numbers, strings and contents, and the codecs of set reconciliation.
    Wire,
}

impl Target {
    /// All of them.
    pub const ALL: [Target; 4] = [Target::Recode, Target::Restore, Target::Receive, Target::Wire];

    /// The name of its program and of its folder in the corpus.
    pub fn name(self) -> &'static str {
        match self {
            Target::Recode => "recode",
            Target::Restore => "restore",
            Target::Receive => "receive",
            Target::Wire => "wire",
        }
    }
}

/// A replica in the middle of a history.
struct Situation {
    stage: Stage<'static>,
    n: usize,
    clock: Clock,
    saved: Vec<u8>,
    /// What arrived after this moment.
    arrivals: Vec<(ReplicaId, Vec<u8>, Cargo)>,
}

static SITUATIONS: OnceLock<Vec<Vec<Situation>>> = OnceLock::new();

/// The situations of each strategy, in the order of the registry.
fn situations() -> &'static [Vec<Situation>] {
    SITUATIONS.get_or_init(|| registry().iter().map(|strategy| situations_of(*strategy)).collect())
}

/// Lives through the histories, so that the first input is no slower than the others.
pub fn prepare() {
    situations();
}

/// The first and the last replica in every setting; in the first setting as well with the document in two partitions.
fn situations_of(strategy: &'static dyn Strategy) -> Vec<Situation> {
    let mut situations = Vec::new();
    let settings = settings(&strategy.profile(), 2, 1).into_iter();
    let whole = settings.clone().map(|setting| (setting, 1));
    for ((topology, transport, count), partitions) in whole.chain(settings.take(1).map(|s| (s, 2)))
    {
        for n in [0, count - 1] {
            let stage = Stage::new(strategy, topology, transport, count).in_partitions(partitions);
            let words = format!("{} in a {stage}", strategy.name());
            let (clock, saved, arrivals) =
                live(&stage, n).unwrap_or_else(|e| panic!("{words}: {e}"));
            situations.push(Situation { stage, n, clock, saved, arrivals });
        }
    }
    situations
}

type Lived = (Clock, Vec<u8>, Vec<(ReplicaId, Vec<u8>, Cargo)>);

/// A snapshot of a replica after a while, and what arrives afterwards.
fn live(stage: &Stage<'_>, n: usize) -> Result<Lived, String> {
    let mut rng = ChaCha8Rng::seed_from_u64(n as u64);
    let mut world = World::new(stage, &mut rng);
    world.open_all()?;
    for _ in 0..STEPS_BEFORE {
        world.random_step(&mut rng, true)?;
    }
    let mut saved = Vec::new();
    world.replicas[n].save(&mut saved);
    let begun = world.journal.len();
    for _ in 0..STEPS_AFTER {
        world.random_step(&mut rng, true)?;
    }
    world.heal()?;
    let clock = world.journal.last().expect("something happened").clock;
    let mut arrivals = Vec::new();
    for moment in world.journal.drain(begun..).filter(|moment| moment.replica == n) {
        if let Event::Receive { from, bytes, cargo } = moment.event {
            arrivals.push((from, bytes, cargo));
        }
    }
    Ok((clock, saved, arrivals))
}

/// One input of a fuzzer: the first bytes choose strategy and situation.
///
/// # Panics
/// Where something is wrong.
pub fn one(target: Target, bytes: &[u8]) {
    let all = situations();
    match target {
        Target::Wire => wire(bytes),
        Target::Recode => {
            let Some((strategy, message)) = bytes.split_first() else { return };
            recode(registry()[usize::from(*strategy) % all.len()], message);
        }
        Target::Restore | Target::Receive => {
            let [strategy, situation, rest @ ..] = bytes else { return };
            let of_strategy = &all[usize::from(*strategy) % all.len()];
            in_situation(target, &of_strategy[usize::from(*situation) % of_strategy.len()], rest);
        }
    }
}

/// One input for every strategy, whichever it was found with; the situation is chosen as in [`one`].
#[allow(dead_code, reason = "the test over the corpus uses it, the fuzzers do not")]
pub fn each(target: Target, bytes: &[u8], mut strategies: impl FnMut(&'static str)) {
    if target == Target::Wire {
        return wire(bytes);
    }
    for (strategy, situations) in registry().iter().zip(situations()) {
        strategies(strategy.name());
        match (target, bytes) {
            (Target::Recode, [_, message @ ..]) => recode(*strategy, message),
            (_, [_, situation, rest @ ..]) => {
                in_situation(target, &situations[usize::from(*situation) % situations.len()], rest);
            }
            _ => {}
        }
    }
}

/// Inputs to begin with: what real replicas write.
#[allow(dead_code, reason = "the fuzzers begin with it, the test over the corpus does not")]
pub fn seeds(target: Target) -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (strategy, of_strategy) in situations().iter().enumerate() {
        for (n, situation) in of_strategy.iter().enumerate() {
            let head = [strategy as u8, n as u8];
            let messages = situation.arrivals.iter().map(|(_, bytes, _)| bytes);
            match target {
                Target::Recode => {
                    seeds.extend(messages.map(|message| [&head[..1], message].concat()));
                }
                Target::Restore => seeds.push([&head[..], &situation.saved].concat()),
                Target::Receive => {
                    let single = messages.clone();
                    seeds.extend(single.map(|message| [&head[..], &[255], message].concat()));
                    let several = messages.filter(|message| message.len() < 255).take(6);
                    let several = several.flat_map(|m| [&[m.len() as u8], &m[..]].concat());
                    seeds.push(head.into_iter().chain(several).collect());
                }
                Target::Wire => {}
            }
        }
    }
    if target == Target::Wire {
        let mut visited = 0;
        let (mut sketch, mut tree) = (sketch(&mut visited), tree(&mut visited));
        for key in 40..60 {
            sketch.insert(key << 60, &mut visited);
            tree.insert(key << 60, &mut visited);
        }
        let mut writer = Writer::new();
        let drift = rateless::Drift::new();
        sketch.batch(0, &drift, &mut visited).expect("the first batch").write(&mut writer);
        seeds.push(writer.finish());
        let (_, question) = merkle::Descent::start(&tree, &mut visited);
        let tree = self::tree(&mut visited);
        seeds.push(merkle::answer(&tree, &question, &mut visited).expect("a question"));
        seeds.push(question);
        let mut writer = Writer::new();
        writer.content(&Content::Set(["a".into(), "b".into()].into()));
        writer.content(&Content::Text("ñ😀".into()));
        seeds.push(writer.finish());
    }
    seeds
}

/// Does something with so many hostile bytes, within bounds.
fn bounded<R>(what: &str, length: usize, call: impl FnOnce() -> R) -> R {
    let (result, memory) = peak_growth(call);
    let most = MEMORY + MEMORY_PER_BYTE * length;
    assert!(memory <= most, "{what} asks for {memory} bytes of memory, given {length}");
    result
}

/// What decodes, encodes to something that decodes to the same.
fn recode(strategy: &dyn Strategy, message: &[u8]) {
    let name = strategy.name();
    let Ok(written) = bounded(name, message.len(), || strategy.recode(message)) else { return };
    let again = strategy.recode(&written);
    assert_eq!(again.as_deref(), Ok(&written[..]), "{name}: what it wrote, recoded");
}

fn in_situation(target: Target, situation: &Situation, bytes: &[u8]) {
    match target {
        Target::Restore => restore(situation, bytes),
        _ => receive(situation, bytes),
    }
}

/// A snapshot is refused, or is one: what comes back from it can be looked at and saved.
fn restore(situation: &Situation, saved: &[u8]) {
    let name = situation.stage.strategy.name();
    let restored = bounded(name, saved.len(), || situation.stage.restore(situation.n, saved));
    if let Ok(replica) = restored {
        bounded(name, saved.len(), || look(situation, &*replica));
    }
}

/// Everything that can be asked of a replica, and its snapshot.
fn look(situation: &Situation, replica: &dyn Replica) -> Vec<u8> {
    let stage = &situation.stage;
    let _ = rendering(replica);
    let _ = stage.fingerprint(replica);
    let _ = replica.footprint();
    for peer in stage.peers(situation.n) {
        let _ = replica.pending(*peer);
    }
    for (cell, _) in stage.cells() {
        let _ = replica.length(cell);
    }
    let mut saved = Vec::new();
    replica.save(&mut saved);
    saved
}

/// Messages arrive, one after another.
fn receive(situation: &Situation, messages: &[u8]) {
    let Situation { stage, n, clock, saved, arrivals } = situation;
    let name = stage.strategy.name();
    let mut out = Outbox::new();
    let mut replica = stage.restore(*n, saved).expect("its own snapshot");
    let from = stage.peers(*n)[0];
    for peer in stage.peers(*n) {
        for state in [LinkState::Lost, LinkState::Open] {
            act(situation, &mut replica, Event::Link { peer: *peer, state }, &mut out);
        }
        act(situation, &mut replica, Event::Sync { peer: *peer }, &mut out);
    }
    let mut accepted = false;
    let mut rest = messages;
    while let Some((length, more)) = rest.split_first() {
        let length = if *length == 255 { more.len() } else { more.len().min(usize::from(*length)) };
        let (message, more) = more.split_at(length);
        rest = more;
        let before = rendering(&*replica);
        let event = Event::Receive { from, bytes: message.to_vec(), cargo: Cargo::default() };
        let answer = bounded(name, message.len(), || {
            play(stage, *n, &mut replica, *clock, &event, &mut out)
        });
        accepted |= answer.is_ok();
        if answer.is_err() {
            let after = rendering(&*replica);
            let what = || difference(&before, &after);
            assert!(before == after, "{name} refuses {message:02x?}, but changed {}", what());
        }
    }
    if !accepted {
        return;
    }
    // It lives on: honest messages, edits, a crash, and more talk.
    for (from, bytes, cargo) in arrivals.iter().take(ARRIVALS) {
        let event = Event::Receive { from: *from, bytes: bytes.clone(), cargo: cargo.clone() };
        act(situation, &mut replica, event, &mut out);
    }
    edit_all(situation, &mut replica, &mut out);
    let saved = look(situation, &*replica);
    let again = stage.restore(*n, &saved);
    let mut again = again.unwrap_or_else(|e| panic!("{name}, after {messages:02x?}: {e}"));
    for peer in stage.peers(*n) {
        for replica in [&mut replica, &mut again] {
            act(situation, replica, Event::Sync { peer: *peer }, &mut out);
        }
    }
    look(situation, &*again);
}

/// Something happens to a replica that may have taken in nonsense: it may refuse it, and that is all.
fn act(situation: &Situation, replica: &mut Box<dyn Replica>, event: Event, out: &mut Outbox) {
    let _ = play(&situation.stage, situation.n, replica, situation.clock, &event, out);
}

/// The user edits every cell of what is shown.
fn edit_all(situation: &Situation, replica: &mut Box<dyn Replica>, out: &mut Outbox) {
    for (cell, kind) in situation.stage.cells() {
        let length = replica.length(cell);
        let edit = match kind {
            FieldKind::Register => Edit::Put { cell, value: "later".into() },
            FieldKind::Counter => Edit::Add { cell, amount: 1 },
            FieldKind::Set => Edit::Insert { cell, element: "later".into() },
            FieldKind::Text => {
                let (at, delete) = (length / 2, usize::from(length > 1));
                Edit::Splice { cell, at, delete, insert: "later".into() }
            }
        };
        let sequence = 1_000_000 + u64::from(cell.record.0) * 100 + u64::from(cell.field.0);
        let id = EditId { origin: id(situation.n), sequence };
        act(situation, replica, Event::Edit { id, edit }, out);
    }
}

/// Twenty keys, as the peer of a set reconciliation holds them.
fn keys() -> impl Iterator<Item = Key> {
    (30..50).map(|key| key << 60)
}

fn sketch(visited: &mut u64) -> rateless::Sketch {
    let mut sketch = rateless::Sketch::new(7);
    keys().for_each(|key| assert!(sketch.insert(key, visited)));
    sketch
}

fn tree(visited: &mut u64) -> merkle::Tree {
    let mut tree = merkle::Tree::new();
    keys().for_each(|key| assert!(tree.insert(key, visited)));
    tree
}

/// The pieces that all messages are made of, and set reconciliation.
fn wire(bytes: &[u8]) {
    bounded("wire", bytes.len(), || {
        let mut reader = Reader::new(bytes);
        while let Ok(content) = reader.content() {
            let mut writer = Writer::new();
            writer.content(&content);
            let written = writer.finish();
            assert_eq!(Reader::new(&written).content().as_ref(), Ok(&content));
        }
        let mut reader = Reader::new(bytes);
        while reader.edit_id().is_ok() && reader.cell().is_ok() && reader.int().is_ok() {}
    });
    let mut visited = 0;
    bounded("rateless", bytes.len(), || {
        let Ok(batch) = rateless::Batch::read(&mut Reader::new(bytes)) else { return };
        let mut writer = Writer::new();
        batch.write(&mut writer);
        let written = writer.finish();
        assert_eq!(rateless::Batch::read(&mut Reader::new(&written)).as_ref(), Ok(&batch));
        let mut decoder = rateless::Decoder::new();
        let (mut sketch, drift) = (sketch(&mut visited), rateless::Drift::new());
        let _ = decoder.take(&batch, &mut sketch, &drift, &mut visited);
        let _ = decoder.differences();
    });
    bounded("merkle", bytes.len(), || {
        if let Ok(written) = merkle::recode(bytes) {
            assert_eq!(merkle::recode(&written).as_ref(), Ok(&written));
        }
        let tree = tree(&mut visited);
        let _ = merkle::answer(&tree, bytes, &mut visited);
        let (mut descent, _) = merkle::Descent::start(&tree, &mut visited);
        let _ = descent.take(&tree, bytes, &mut visited);
        let _ = descent.differences();
    });
}
