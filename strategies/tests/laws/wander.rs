//! Random histories, and what follows them: healing, and settling until nobody has anything left to say.

use crate::editor::random_edit;
use crate::harness::World;
use crate::stage::{Event, id};
use rand::RngExt;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use reconverge_strategies::*;

/// Full rounds of `Sync` after which everybody must have fallen silent.
const ROUNDS_TO_SILENCE: usize = 10;
/// Passes over all links in which what is said to be owed must have been paid.
const PASSES_TO_PAY: usize = 30;

impl World<'_> {
    /// One thing happens at random: an edit, a `Sync`, an arrival, a session that begins; with `faults` also a session that
    /// breaks or a device that crashes and comes back.
    pub fn random_step(&mut self, rng: &mut ChaCha8Rng, faults: bool) -> Result<(), String> {
        // Often no time passes at all, so that equal times are met.
        self.pass_us([0, 0, 1, 20_000, 5_000_000][rng.random_range(0..5)]);
        match rng.random_range(0..100) {
            0..30 => self.random_edit(rng),
            30..65 => match self.busy().choose(rng) {
                Some((from, to)) => self.deliver_any(*from, *to, rng),
                None => self.random_sync(rng),
            },
            65..85 => self.random_sync(rng),
            85..92 => self.random_open(rng),
            92..99 if faults => self.random_fault(rng),
            99 => {
                let n = rng.random_range(0..self.replicas.len());
                self.set_offset_us(n, rng.random_range(0..100_000_000));
                Ok(())
            }
            _ => self.random_edit(rng),
        }
    }

    /// A user edits.
    pub fn random_edit(&mut self, rng: &mut ChaCha8Rng) -> Result<(), String> {
        let n = *self.stage.authors().choose(rng).expect("somebody has a user");
        let mut serial = self.serial;
        let edit = random_edit(rng, self.stage, &*self.replicas[n], &mut serial);
        self.serial = serial;
        let Some(edit) = edit else { return Ok(()) };
        self.edit(n, edit, rng.random_range(1..4))?;
        if self.stage.profile.schedule == Some(OwnSchedule::Immediate) {
            self.sync_owed(n)?;
        }
        Ok(())
    }

    /// A replica speaks to everybody it owes something and believes to reach.
    fn sync_owed(&mut self, n: usize) -> Result<(), String> {
        for (_, peer) in self.stage.directions().into_iter().filter(|(from, _)| *from == n) {
            if self.believes(n, peer) && self.replicas[n].pending(id(peer)).edits > 0 {
                self.act(n, Event::Sync { peer: id(peer) })?;
            }
        }
        Ok(())
    }

    fn random_sync(&mut self, rng: &mut ChaCha8Rng) -> Result<(), String> {
        let mut usable = self.stage.directions();
        usable.retain(|(n, peer)| {
            self.believes(*n, *peer) || self.stage.transport == Transport::Datagram
        });
        // Mostly, nobody is called upon who has nothing to say.
        if rng.random_bool(0.8) {
            usable.retain(|(n, peer)| self.replicas[*n].pending(id(*peer)).edits > 0);
        }
        match usable.choose(rng) {
            Some((n, peer)) => self.act(*n, Event::Sync { peer: id(*peer) }),
            None => Ok(()),
        }
    }

    fn random_open(&mut self, rng: &mut ChaCha8Rng) -> Result<(), String> {
        let mut closed = self.stage.links();
        closed.retain(|(a, b)| !self.alive(*a, *b));
        match closed.choose(rng) {
            Some((a, b)) => self.open(*a, *b, rng.random_bool(0.5)),
            None => Ok(()),
        }
    }

    fn random_fault(&mut self, rng: &mut ChaCha8Rng) -> Result<(), String> {
        if rng.random_bool(0.35) {
            return self.restart(rng.random_range(0..self.replicas.len()));
        }
        let (a, b) = *self.stage.links().choose(rng).expect("there are links");
        if rng.random_bool(0.7) {
            self.lose(a, b);
        }
        // Each side may believe in a session for a while after its end.
        for (n, peer) in [(a, b), (b, a)] {
            if rng.random_bool(0.5) {
                self.tell_lost(n, peer)?;
            }
        }
        Ok(())
    }

    /// All faults end, everything under way arrives, and everybody talks until nobody has anything left to say. Over sessions
    /// that takes nothing but `Sync` where something is owed; over datagrams a round of `Sync` in all directions repairs.
    pub fn heal_and_settle(&mut self) -> Result<(), String> {
        self.open_all()?;
        self.drain_all()?;
        self.pay_what_is_owed()?;
        if self.stage.transport == Transport::Session {
            self.check_agreement()
                .map_err(|e| format!("nobody owes anything any more, but {e}"))?;
        }
        let rounds = self.rounds_to_silence()?;
        self.check_agreement().map_err(|e| format!("silent after {rounds} rounds, but {e}"))?;
        if self.round()? {
            return Err(String::from("a round after a silent one was not silent"));
        }
        for (n, peer) in self.stage.directions() {
            let pending = self.replicas[n].pending(id(peer));
            if pending != Pending::default() {
                return Err(format!(
                    "all is settled, but {} owes {}: {pending:?}",
                    id(n),
                    id(peer)
                ));
            }
        }
        Ok(())
    }

    /// All faults end, everything under way arrives, and everybody speaks to everybody a few times, whatever comes of it.
    pub fn heal(&mut self) -> Result<(), String> {
        self.open_all()?;
        self.drain_all()?;
        for _ in 0..3 {
            self.round()?;
        }
        Ok(())
    }

    fn pay_what_is_owed(&mut self) -> Result<(), String> {
        for _ in 0..PASSES_TO_PAY {
            let mut owed = false;
            for (n, peer) in self.stage.directions() {
                if self.replicas[n].pending(id(peer)).edits > 0 {
                    owed = true;
                    self.pass_us(1_000);
                    self.sync(n, peer)?;
                }
            }
            if !owed {
                return Ok(());
            }
        }
        Err(format!("after {PASSES_TO_PAY} passes over all links somebody is still owed something"))
    }

    fn rounds_to_silence(&mut self) -> Result<usize, String> {
        for round in 0..ROUNDS_TO_SILENCE {
            if !self.round()? {
                return Ok(round);
            }
        }
        Err(format!("{ROUNDS_TO_SILENCE} rounds of Sync, and changes still come"))
    }

    /// Everybody speaks to everybody once; true where that changed anything.
    pub fn round(&mut self) -> Result<bool, String> {
        let (before, start) = (self.fingerprints(), self.journal.len());
        for (n, peer) in self.stage.directions() {
            self.pass_us(1_000);
            self.sync(n, peer)?;
        }
        let reported = self.journal[start..]
            .iter()
            .flat_map(|moment| &moment.outputs)
            .any(|output| matches!(output, Output::Change(_)));
        Ok(reported || self.fingerprints() != before)
    }
}
