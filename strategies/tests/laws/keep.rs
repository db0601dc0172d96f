//! The laws that random histories show. Each takes a strategy and says what breaks it, with the seed and the history.

use crate::harness::World;
use crate::naive::Naive;
use crate::stage::{Event, Stage, difference, id, play, rendering, settings};
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use reconverge_strategies::*;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

/// Random histories of each strategy in all laws together, at least; `RECONVERGE_CASES` may say otherwise.
const CASES: u64 = 10_000;
/// So often the laws call [`over_cases`].
const CALLS: u64 = 12;
/// Steps of the longest of them.
const STEPS: usize = 100;

/// Random histories in every supported setting, from short to long, so that what fails first is short.
pub fn over_cases(
    strategy: &dyn Strategy,
    clients: usize,
    body: impl Fn(&mut World<'_>, &mut ChaCha8Rng, usize) -> Result<(), String>,
) -> Result<(), String> {
    let profile = strategy.profile();
    let settings_count = settings(&profile, clients, 0).len() as u64;
    if settings_count == 0 {
        return Err(String::from("the profile supports no topology over any transport"));
    }
    let cases = std::env::var_os("RECONVERGE_CASES").map_or(CASES, |said| {
        said.to_str().and_then(|said| said.parse().ok()).expect("RECONVERGE_CASES is a number")
    });
    let seeds = cases.div_ceil(CALLS * settings_count).max(1);
    for seed in 0..seeds {
        for (topology, transport, count) in settings(&profile, clients, seed as usize) {
            let stage = Stage::new(strategy, topology, transport, count);
            let steps = 3 + seed as usize * STEPS / seeds as usize;
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let mut world = World::new(&stage, &mut rng);
            let case = catch_unwind(AssertUnwindSafe(|| body(&mut world, &mut rng, steps)));
            let verdict = case.unwrap_or_else(|panic| Err(panic_text(&*panic)));
            verdict.map_err(|what| {
                format!("{stage}, seed {seed}, {steps} steps: {what}\n{}", world.history())
            })?;
            RAN.fetch_add(1, Ordering::Relaxed);
        }
    }
    Ok(())
}

/// Random histories that were lived through.
pub static RAN: AtomicU64 = AtomicU64::new(0);

/// What a panic said.
pub fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().map(str::to_owned);
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    format!("panicked: {}", text.unwrap_or_default())
}

/// Offline, an edit is visible when the call returns; so is the answer to a conflict.
pub fn local_visibility(strategy: &dyn Strategy) -> Result<(), String> {
    over_cases(strategy, 2, |world, rng, steps| {
        let mut naive: Vec<Naive> = (0..world.stage.count())
            .map(|_| Naive::after(world.stage.genesis.iter().map(|(_, edit)| edit)))
            .collect();
        for _ in 0..steps {
            world.pass_us(rng.random_range(0..2));
            let before = world.journal.len();
            world.random_edit(rng)?;
            for moment in &world.journal[before..] {
                if let Event::Edit { edit, .. } = &moment.event {
                    naive[moment.replica].apply(edit);
                }
            }
            for (n, naive) in naive.iter().enumerate() {
                let shown = rendering(&*world.replicas[n]);
                let expected = naive.rendering();
                if shown != expected {
                    return Err(format!("{} shows {}", id(n), difference(&shown, &expected)));
                }
            }
        }
        Ok(())
    })?;
    over_cases(strategy, 2, |world, rng, _| {
        let (cell, kind) = *world.stage.cells().collect::<Vec<_>>().choose(rng).expect("cells");
        answer_a_conflict(world, cell, kind)
    })
}

/// Two users edit one cell at once; where that ends in a conflict, an answer given offline settles it.
fn answer_a_conflict(world: &mut World<'_>, cell: Cell, kind: FieldKind) -> Result<(), String> {
    let authors = world.stage.authors();
    let (left, right) = (authors[0], authors[authors.len() - 1]);
    for (n, word) in [(left, "left"), (right, "right")] {
        let edit = match kind {
            FieldKind::Register => Edit::Put { cell, value: word.into() },
            FieldKind::Counter => Edit::Add { cell, amount: word.len() as i64 },
            FieldKind::Set => Edit::Insert { cell, element: word.into() },
            FieldKind::Text => Edit::Splice { cell, at: 0, delete: 0, insert: word.into() },
        };
        world.edit(n, edit, 1)?;
    }
    world.heal()?;
    world.lose_all()?;
    let shown = rendering(&*world.replicas[left]);
    let Some(Shown::Conflict(alternatives)) = shown.get(cell) else { return Ok(()) };
    let content = match kind {
        FieldKind::Register => Content::Register(Some("answer".into())),
        FieldKind::Counter => Content::Counter(17),
        FieldKind::Set => Content::Set(["answer".into()].into()),
        FieldKind::Text => Content::Text("answer".into()),
    };
    let seen = alternatives.iter().map(|alternative| alternative.mark).collect();
    world.edit(left, Edit::Resolve { cell, content: content.clone(), seen }, 1)?;
    let shown = rendering(&*world.replicas[left]);
    if shown.get(cell) == Some(&Shown::Settled(content)) {
        Ok(())
    } else {
        Err(format!("after its answer {} shows {:?} in {cell}", id(left), shown.get(cell)))
    }
}

/// What happened to each replica, fed in turns to two others made apart, gives the same effects and the same snapshot.
pub fn same_bytes(strategy: &dyn Strategy) -> Result<(), String> {
    over_cases(strategy, 3, |world, rng, steps| {
        for _ in 0..steps {
            world.random_step(rng, true)?;
        }
        let stage = world.stage;
        let again = || (0..stage.count()).map(|n| stage.create(n)).collect::<Vec<_>>();
        let mut copies = [again(), again()];
        let mut out = Outbox::new();
        for moment in &world.journal {
            let n = moment.replica;
            for copy in &mut copies {
                play(stage, n, &mut copy[n], moment.clock, &moment.event, &mut out)?;
                if out.outputs != moment.outputs || out.work_units != moment.work_units {
                    return Err(format!(
                        "when it {}, a second {} does {:?} in {} units instead of {:?} in {}",
                        moment.event,
                        id(n),
                        out.outputs,
                        out.work_units,
                        moment.outputs,
                        moment.work_units
                    ));
                }
            }
        }
        for (n, replica) in world.replicas.iter().enumerate() {
            for copy in &copies {
                let (mut left, mut right) = (Vec::new(), Vec::new());
                replica.save(&mut left);
                copy[n].save(&mut right);
                if left != right {
                    return Err(format!("a second {} saves other bytes", id(n)));
                }
                let partition = PartitionId(0);
                if replica.fingerprint(partition) != copy[n].fingerprint(partition) {
                    return Err(format!("a second {} has another fingerprint", id(n)));
                }
            }
        }
        Ok(())
    })
}

/// Every message decodes, and encodes to the same bytes.
pub fn round_trip(strategy: &dyn Strategy) -> Result<(), String> {
    over_cases(strategy, 3, |world, rng, steps| {
        for _ in 0..steps {
            world.random_step(rng, true)?;
        }
        world.heal()?;
        for output in world.journal.iter().flat_map(|moment| &moment.outputs) {
            if let Output::Send { bytes, .. } = output
                && strategy.recode(bytes).as_ref() != Ok(bytes)
            {
                return Err(format!("{bytes:02x?} becomes {:02x?}", strategy.recode(bytes)));
            }
        }
        Ok(())
    })
}

/// A message that comes again changes nothing and is not reported again; over sessions, where that cannot happen, it may also
/// be refused.
pub fn duplicates(strategy: &dyn Strategy) -> Result<(), String> {
    over_cases(strategy, 3, |world, rng, steps| {
        for _ in 0..steps {
            world.random_step(rng, true)?;
            let received: Vec<usize> = (0..world.journal.len())
                .filter(|at| matches!(world.journal[*at].event, Event::Receive { .. }))
                .collect();
            // The last one again, or any older one.
            let old = if rng.random_bool(0.2) { received.choose(rng) } else { received.last() };
            let Some(at) = old.copied().filter(|_| rng.random_bool(0.3)) else { continue };
            let (n, event) = (world.journal[at].replica, world.journal[at].event.clone());
            match world.stage.transport {
                Transport::Datagram => duplicate_datagram(world, n, event)?,
                Transport::Session => duplicate_in_session(world, n, &event)?,
            }
        }
        world.heal()
    })
}

fn duplicate_datagram(world: &mut World<'_>, n: usize, event: Event) -> Result<(), String> {
    let before = rendering(&*world.replicas[n]);
    let fingerprint = world.replicas[n].fingerprint(PartitionId(0));
    world.act(n, event)?;
    let after = rendering(&*world.replicas[n]);
    if after != before || world.replicas[n].fingerprint(PartitionId(0)) != fingerprint {
        return Err(format!("a duplicate changed {}", difference(&before, &after)));
    }
    let outputs = &world.journal.last().expect("it just happened").outputs;
    match outputs.iter().find(|output| matches!(output, Output::Change(_))) {
        Some(change) => Err(format!("a duplicate is reported as {change:?}")),
        None => Ok(()),
    }
}

/// On a copy of the replica, since the session goes on without the duplicate.
fn duplicate_in_session(world: &World<'_>, n: usize, event: &Event) -> Result<(), String> {
    let mut copy = world.stage.create(n);
    let mut out = Outbox::new();
    let mut clock = None;
    for moment in world.journal.iter().filter(|moment| moment.replica == n) {
        play(world.stage, n, &mut copy, moment.clock, &moment.event, &mut out)?;
        clock = Some(moment.clock);
    }
    let before = rendering(&*copy);
    // Malformed or not: what counts is what it shows.
    let clock = clock.expect("it received something");
    let answer = play(world.stage, n, &mut copy, clock, event, &mut out);
    let after = rendering(&*copy);
    if after == before {
        Ok(())
    } else {
        let what = difference(&before, &after);
        Err(format!("{} {event} again ({answer:?}), which changed {what}", id(n)))
    }
}

/// A restored copy shows the same, owes the same, saves the same, and does the same from then on.
pub fn save_restore(strategy: &dyn Strategy) -> Result<(), String> {
    over_cases(strategy, 3, |world, rng, steps| {
        let moment = rng.random_range(0..steps);
        for step in 0..steps {
            if step == moment {
                let n = rng.random_range(0..world.stage.count());
                world.shadow(n)?;
            }
            world.random_step(rng, true)?;
        }
        world.heal()
    })
}

/// One user's edits give what a naive document gives, at once and in the end everywhere.
pub fn sequential(strategy: &dyn Strategy) -> Result<(), String> {
    over_cases(strategy, 2, sequential_case)
}

fn sequential_case(
    world: &mut World<'_>,
    rng: &mut ChaCha8Rng,
    steps: usize,
) -> Result<(), String> {
    let author = world.stage.authors()[0];
    let mut naive = Naive::after(world.stage.genesis.iter().map(|(_, edit)| edit));
    world.open_all()?;
    for _ in 0..steps {
        world.pass_us(rng.random_range(0..100_000));
        let mut serial = world.serial;
        let edit =
            crate::editor::random_edit(rng, world.stage, &*world.replicas[author], &mut serial);
        world.serial = serial;
        let Some(edit) = edit else { continue };
        naive.apply(&edit);
        world.edit(author, edit, rng.random_range(1..4))?;
        let late = world.stage.shows_late();
        if late || rng.random_bool(0.5) {
            for (n, peer) in world.stage.directions().into_iter().filter(|(n, _)| *n == author) {
                world.sync(n, peer)?;
            }
        }
        let (shown, expected) = (rendering(&*world.replicas[author]), naive.rendering());
        if shown != expected {
            return Err(format!("the author shows {}", difference(&shown, &expected)));
        }
    }
    world.heal()?;
    for (n, replica) in world.replicas.iter().enumerate() {
        let (shown, expected) = (rendering(&**replica), naive.rendering());
        if shown != expected {
            return Err(format!("in the end {} shows {}", id(n), difference(&shown, &expected)));
        }
    }
    Ok(())
}

/// Whatever happened before: once healed, everybody soon falls silent and shows the same, and the reports agree with it.
pub fn quiescence(strategy: &dyn Strategy) -> Result<(), String> {
    over_cases(strategy, 3, |world, rng, steps| {
        world.checks_reports = true;
        // A device may crash before it ever had a session.
        if rng.random_bool(0.4) {
            world.restart(rng.random_range(0..world.stage.count()))?;
        }
        // Twice, so that what settling leaves behind is built upon.
        for _ in 0..2 {
            for _ in 0..steps {
                world.random_step(rng, true)?;
            }
            world.heal_and_settle()?;
        }
        Ok(())
    })
}

/// Without faults, every order of a longer exchange ends in one rendering.
pub fn random_orders(strategy: &dyn Strategy) -> Result<(), String> {
    over_cases(strategy, 3, |world, rng, steps| {
        world.checks_reports = true;
        world.open_all()?;
        for _ in 0..steps {
            world.random_step(rng, false)?;
        }
        world.heal_and_settle()
    })
}

/// With the ids in cargo scrambled or dropped, everything but the reported changes is the same. Where ids travel in cargo only, so
/// it is with other ids of a replica's own edits.
pub fn cargo_inert(strategy: &dyn Strategy) -> Result<(), String> {
    over_cases(strategy, 3, |world, rng, steps| {
        for _ in 0..steps {
            world.random_step(rng, true)?;
        }
        world.heal()?;
        let stage = world.stage;
        let fresh = || (0..stage.count()).map(|n| stage.create(n)).collect::<Vec<_>>();
        let (mut honest, mut misled) = (fresh(), fresh());
        let (mut honest_out, mut misled_out) = (Outbox::new(), Outbox::new());
        for moment in &world.journal {
            let (n, clock, event) = (moment.replica, moment.clock, &moment.event);
            play(stage, n, &mut honest[n], clock, event, &mut honest_out)?;
            let scrambled = scramble(event, stage, rng);
            play(stage, n, &mut misled[n], clock, &scrambled, &mut misled_out)
                .map_err(|e| format!("with other ids in cargo: {e}"))?;
            if messages(&honest_out) != messages(&misled_out) {
                return Err(format!("ids in cargo change what {} sends when it {event}", id(n)));
            }
            compare(stage, n, &*honest[n], &*misled[n])
                .map_err(|what| format!("ids in cargo change {what} when it {event}"))?;
        }
        for n in 0..stage.count() {
            let restored = |replica: &dyn Replica| {
                let mut saved = Vec::new();
                replica.save(&mut saved);
                stage.restore(n, &saved)
            };
            compare(stage, n, &*restored(&*honest[n])?, &*restored(&*misled[n])?)
                .map_err(|what| format!("ids in cargo change {what} once restored"))?;
        }
        Ok(())
    })
}

fn messages(out: &Outbox) -> Vec<(ReplicaId, &[u8])> {
    out.outputs
        .iter()
        .filter_map(|output| match output {
            Output::Send { to, bytes, .. } => Some((*to, bytes.as_slice())),
            Output::Change(_) => None,
        })
        .collect()
}

fn compare(
    stage: &Stage<'_>,
    n: usize,
    left: &dyn Replica,
    right: &dyn Replica,
) -> Result<(), String> {
    let (shown, other) = (rendering(left), rendering(right));
    if shown != other {
        return Err(format!("what {} shows: {}", id(n), difference(&shown, &other)));
    }
    if left.fingerprint(PartitionId(0)) != right.fingerprint(PartitionId(0)) {
        return Err(format!("the fingerprint of {}", id(n)));
    }
    for peer in stage.peers(n) {
        if left.pending(*peer) != right.pending(*peer) {
            return Err(format!("what {} owes {peer}", id(n)));
        }
    }
    Ok(())
}

/// The same event with other ids in the cargo, or none, and other ids of edits where they must not matter.
fn scramble(event: &Event, stage: &Stage<'_>, rng: &mut ChaCha8Rng) -> Event {
    let mut event = event.clone();
    if let Event::Receive { cargo, .. } = &mut event {
        match rng.random_range(0..3) {
            0 => cargo.ids.clear(),
            1 => cargo.ids.reverse(),
            _ => {
                for ids in &mut cargo.ids {
                    ids.element = rng.random_range(0..4);
                    ids.first.origin = id(rng.random_range(0..stage.count()));
                    ids.first.sequence = rng.random_range(0..50);
                    ids.count = rng.random_range(1..4);
                }
            }
        }
    }
    if let (Event::Edit { id, .. }, EditIds::InCargo) = (&mut event, stage.profile.edit_ids) {
        id.sequence = 100 + id.sequence * 5;
    }
    event
}
