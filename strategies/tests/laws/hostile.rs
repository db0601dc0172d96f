//! The law of hostile bytes: whatever arrives is refused or handled, without a panic, without end, without much memory; and what
//! is refused changes nothing that is shown.

use crate::allocation::peak_growth;
use crate::harness::World;
use crate::keep::{over_cases, panic_text};
use crate::stage::{Event, difference, id, play, rendering};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use reconverge_strategies::*;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Messages of each random history that are tampered with.
const MESSAGES: usize = 3;
/// Tampered copies of each message; short messages are tampered with in every way there is.
const COPIES: usize = 120;
/// Memory that one call may ask for at least, in bytes; and as many times the message's length.
const MEMORY: usize = 1 << 20;
const MEMORY_PER_BYTE: usize = 4096;
/// Work that one call may bill at most, in units: far more than any message of these histories takes.
const WORK_UNITS: u64 = 10_000_000;

/// Tampered copies of real messages, where and when the real one arrived.
pub fn hostile_bytes(strategy: &dyn Strategy) -> Result<(), String> {
    over_cases(strategy, 2, |world, rng, steps| {
        for _ in 0..steps.min(40) {
            world.random_step(rng, true)?;
        }
        let arrivals: Vec<usize> = (0..world.journal.len())
            .filter(|at| matches!(world.journal[*at].event, Event::Receive { .. }))
            .collect();
        for _ in 0..MESSAGES.min(arrivals.len()) {
            let at = arrivals[rng.random_range(0..arrivals.len())];
            tamper_with(strategy, world, at, rng)?;
        }
        Ok(())
    })
}

fn tamper_with(
    strategy: &dyn Strategy,
    world: &World<'_>,
    at: usize,
    rng: &mut ChaCha8Rng,
) -> Result<(), String> {
    let moment = &world.journal[at];
    let Event::Receive { from, bytes, cargo } = &moment.event else {
        unreachable!("only arrivals are tampered with")
    };
    let n = moment.replica;
    let mut victim = before(world, at)?;
    let mut shown = rendering(&*victim);
    for hostile in tampered(bytes, rng) {
        let words = || format!("given {hostile:02x?} instead of {bytes:02x?}, {}", id(n));
        let most = MEMORY + MEMORY_PER_BYTE * hostile.len();
        let (recoded, memory) =
            peak_growth(|| catch_unwind(AssertUnwindSafe(|| strategy.recode(&hostile))));
        let _: Result<_, Malformed> =
            recoded.map_err(|p| format!("recode, {}: {}", words(), panic_text(&*p)))?;
        if memory > most {
            return Err(format!("recode, {}: asks for {memory} bytes of memory", words()));
        }
        let event = Event::Receive { from: *from, bytes: hostile.clone(), cargo: cargo.clone() };
        let mut out = Outbox::new();
        let (answer, memory) = peak_growth(|| {
            catch_unwind(AssertUnwindSafe(|| {
                play(world.stage, n, &mut victim, moment.clock, &event, &mut out)
            }))
        });
        let answer = answer.map_err(|p| format!("{}: {}", words(), panic_text(&*p)))?;
        if memory > most {
            return Err(format!("{} asks for {memory} bytes of memory", words()));
        }
        if out.work_units > WORK_UNITS {
            return Err(format!("{} works for {} units", words(), out.work_units));
        }
        if answer.is_err() {
            let after = rendering(&*victim);
            if after != shown {
                let what = difference(&shown, &after);
                return Err(format!("{} refuses it, but changed {what}", words()));
            }
        } else {
            let lives_on = || live_on(world, at, &mut victim);
            catch_unwind(AssertUnwindSafe(lives_on))
                .map_err(|p| format!("{} accepts it, and then {}", words(), panic_text(&*p)))?;
            victim = before(world, at)?;
            shown = rendering(&*victim);
        }
    }
    Ok(())
}

/// The replica just before a message arrived.
fn before(world: &World<'_>, at: usize) -> Result<Box<dyn Replica>, String> {
    let n = world.journal[at].replica;
    let mut replica = world.stage.create(n);
    let mut out = Outbox::new();
    for moment in world.journal[..at].iter().filter(|moment| moment.replica == n) {
        play(world.stage, n, &mut replica, moment.clock, &moment.event, &mut out)?;
    }
    Ok(replica)
}

/// A replica that has taken in nonsense must go on: it may show nonsense, or refuse what comes, but not panic.
fn live_on(world: &World<'_>, at: usize, replica: &mut Box<dyn Replica>) {
    let stage = world.stage;
    let n = world.journal[at].replica;
    let mut out = Outbox::new();
    let _ = rendering(&**replica);
    let _ = replica.fingerprint(PartitionId(0));
    let _ = replica.footprint();
    let mut saved = Vec::new();
    replica.save(&mut saved);
    let clock = world.journal[at].clock;
    for peer in stage.peers(n) {
        let _ = replica.pending(*peer);
        let _ = play(stage, n, replica, clock, &Event::Sync { peer: *peer }, &mut out);
    }
    let rest = world.journal[at..].iter().filter(|moment| moment.replica == n).take(6);
    for moment in rest {
        // An edit was made in view of another document, and may not fit this one.
        if !matches!(moment.event, Event::Edit { .. } | Event::Restart) {
            let _ = play(stage, n, replica, moment.clock, &moment.event, &mut out);
        }
    }
    for (cell, kind) in stage.cells() {
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
        let id = EditId { origin: id(n), sequence: 1_000 + u64::from(cell.field.0) };
        let _ = play(stage, n, replica, clock, &Event::Edit { id, edit }, &mut out);
    }
    let _ = rendering(&**replica);
}

/// Copies of a message that somebody tampered with: cut off, flipped, lengths blown up, bytes added, garbage.
fn tampered(bytes: &[u8], rng: &mut ChaCha8Rng) -> Vec<Vec<u8>> {
    let changed = |at: usize, byte: u8| {
        let mut copy = bytes.to_vec();
        copy[at] = byte;
        copy
    };
    let mut copies: Vec<Vec<u8>> =
        (0..bytes.len()).map(|length| bytes[..length].to_vec()).collect();
    for (at, byte) in bytes.iter().enumerate() {
        copies.extend((0..8).map(|bit| changed(at, byte ^ 1 << bit)));
        copies.extend([0, 0x7f, 0xff].map(|byte| changed(at, byte)));
        // A count or length that becomes a very large one.
        for blown_up in [&[0xff, 0xff, 0xff, 0x7f][..], &[0xff; 9], &[0xff, 0xff, 0xff, 0xff, 0x0f]]
        {
            let mut copy = bytes[..at].to_vec();
            copy.extend(blown_up);
            if blown_up.len() == 9 {
                copy.push(1);
            }
            copy.extend(&bytes[at + 1..]);
            copies.push(copy);
        }
    }
    // A sample, evenly spread from a random start.
    let stride = copies.len().div_ceil(COPIES).max(1);
    let first = rng.random_range(0..stride);
    let mut sample: Vec<_> = copies.into_iter().skip(first).step_by(stride).collect();
    sample.push([bytes, &[0]].concat());
    sample.push([bytes, bytes].concat());
    for _ in 0..8 {
        let length = rng.random_range(0..40);
        sample.push((0..length).map(|_| rng.random_range(0..=255)).collect());
    }
    sample
}
