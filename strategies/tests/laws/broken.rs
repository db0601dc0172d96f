//! Broken strategies: the toy with one flaw each, to show that every law can fail, and that the suite says so.

use crate::toy::{TOY, Toy};
use crate::{Check, hostile, judge, keep, orders};
use reconverge_strategies::*;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

/// What is wrong with a strategy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    /// An edit waits for the next `Sync`.
    ShowsLate,
    /// Texts are spliced one too far.
    OffByOne,
    /// A counter shared by all replicas of the process goes into the bytes.
    HiddenCounter,
    /// What is encoded again is longer.
    RecodesLonger,
    /// A message that ends early is a panic.
    PanicsWhenCutOff,
    /// A message that makes no sense makes it ask for memory.
    AllocatesWhenPuzzled,
    /// A message that makes no sense is never done with.
    HangsWhenPuzzled,
    /// A message that is refused is shown nevertheless.
    ShowsWhatItRefuses,
    /// The same message again shows.
    CountsDuplicates,
    /// What was edited since the last message is not saved.
    ForgetsInSave,
    /// Each `Sync` reports something.
    NeverSilent,
    /// Each message is answered.
    Chatters,
    /// Says that it owes nothing.
    OwesNothing,
    /// The ids in cargo are shown.
    ShowsCargo,
    /// Reports a change twice.
    ReportsTwice,
    /// Does not report what went.
    ForgetsWhatWent,
    /// Sends as soon as there is an edit.
    SpeaksUnasked,
    /// One fingerprint for everything.
    OneFingerprint,
}

/// The toy with a flaw.
struct Broken {
    flaw: Flaw,
    exceptions: &'static [(Law, &'static str)],
}

const fn broken(flaw: Flaw) -> Broken {
    Broken { flaw, exceptions: &[] }
}

struct BrokenReplica {
    flaw: Flaw,
    inner: Box<dyn Replica>,
    peers: Vec<ReplicaId>,
    last: Vec<u8>,
    waiting: Vec<(EditId, Edit)>,
    /// Shown in an extra cell.
    mark: i64,
    edits: u8,
}

static HIDDEN: AtomicU8 = AtomicU8::new(0);

impl Flaw {
    /// Whether messages carry one more byte at their end.
    fn adds_a_byte(self) -> bool {
        matches!(self, Flaw::HiddenCounter | Flaw::ForgetsInSave)
    }
}

impl Broken {
    fn wrap(&self, seat: &Seat<'_>, inner: Box<dyn Replica>) -> Box<dyn Replica> {
        Box::new(BrokenReplica {
            flaw: self.flaw,
            inner,
            peers: seat.peers.to_vec(),
            last: Vec::new(),
            waiting: Vec::new(),
            mark: 0,
            edits: 0,
        })
    }
}

impl Strategy for Broken {
    fn name(&self) -> &str {
        "broken"
    }

    fn profile(&self) -> Profile {
        Profile { exceptions: self.exceptions, ..TOY.profile() }
    }

    fn create(&self, seat: &Seat<'_>) -> Box<dyn Replica> {
        self.wrap(seat, TOY.create(seat))
    }

    fn restore(&self, seat: &Seat<'_>, saved: &[u8]) -> Result<Box<dyn Replica>, Malformed> {
        Ok(self.wrap(seat, TOY.restore(seat, saved)?))
    }

    fn recode(&self, message: &[u8]) -> Result<Vec<u8>, Malformed> {
        if self.flaw.adds_a_byte() {
            let (last, rest) = message.split_last().ok_or(Malformed("message ends early"))?;
            let mut bytes = TOY.recode(rest)?;
            bytes.push(*last);
            return Ok(bytes);
        }
        let mut bytes = TOY.recode(message)?;
        if self.flaw == Flaw::RecodesLonger && bytes.len() > 12 {
            bytes.push(0);
        }
        Ok(bytes)
    }
}

impl BrokenReplica {
    fn receive(
        &mut self,
        clock: Clock,
        from: ReplicaId,
        bytes: &[u8],
        cargo: &Cargo,
        out: &mut Outbox,
    ) -> Result<(), Malformed> {
        let bytes = match bytes.split_last() {
            Some((_, rest)) if self.flaw.adds_a_byte() => rest,
            _ => bytes,
        };
        let answer = self.inner.handle(clock, Input::Receive { from, bytes, cargo }, out);
        match (self.flaw, answer) {
            (Flaw::PanicsWhenCutOff, Err(Malformed("message ends early"))) => {
                panic!("index out of bounds");
            }
            (Flaw::AllocatesWhenPuzzled, Err(_)) => {
                drop(std::hint::black_box(Vec::<u8>::with_capacity(64 << 20)));
            }
            (Flaw::HangsWhenPuzzled, Err(_)) => loop {
                std::thread::park();
            },
            (Flaw::ShowsWhatItRefuses, Err(_)) => self.mark += 1,
            (Flaw::CountsDuplicates, Ok(())) if self.last == bytes => self.mark += 1,
            (Flaw::ShowsCargo, Ok(())) => {
                self.mark |=
                    cargo.ids.iter().map(|ids| 1 << (ids.first.sequence % 60)).sum::<i64>();
            }
            (Flaw::Chatters, Ok(())) => out.send(from, bytes.to_vec(), cargo.clone()),
            _ => {}
        }
        self.last = bytes.to_vec();
        answer
    }

    /// The flaws in what comes out.
    fn spoil(&mut self, out: &mut Outbox) {
        for output in std::mem::take(&mut out.outputs) {
            match output {
                Output::Send { to, mut bytes, cargo } => {
                    if self.flaw == Flaw::HiddenCounter {
                        bytes.push(HIDDEN.fetch_add(1, Ordering::Relaxed));
                    } else if self.flaw == Flaw::ForgetsInSave {
                        bytes.push(self.edits);
                    }
                    out.send(to, bytes, cargo);
                }
                Output::Change(change) => {
                    let went = matches!(change, Change::Replaced { .. });
                    if !(went && self.flaw == Flaw::ForgetsWhatWent) {
                        out.change(change);
                    }
                    if self.flaw == Flaw::ReportsTwice {
                        out.change(change);
                    }
                }
            }
        }
    }
}

impl Replica for BrokenReplica {
    fn handle(
        &mut self,
        clock: Clock,
        input: Input<'_>,
        out: &mut Outbox,
    ) -> Result<(), Malformed> {
        match (self.flaw, input) {
            (_, Input::Receive { from, bytes, cargo }) => {
                self.receive(clock, from, bytes, cargo, out)?;
            }
            (Flaw::ShowsLate, Input::Edit { id, edit }) => self.waiting.push((id, edit.clone())),
            (Flaw::ShowsLate, Input::Sync { .. }) => {
                for (id, edit) in std::mem::take(&mut self.waiting) {
                    self.inner.handle(clock, Input::Edit { id, edit: &edit }, out)?;
                }
                self.inner.handle(clock, input, out)?;
            }
            (
                Flaw::OffByOne,
                Input::Edit { id, edit: Edit::Splice { cell, at, delete, insert } },
            ) => {
                let (at, insert) = (at + 1, insert.clone());
                let edit = Edit::Splice { cell: *cell, at, delete: *delete, insert };
                self.inner.handle(clock, Input::Edit { id, edit: &edit }, out)?;
            }
            (Flaw::NeverSilent, Input::Sync { .. }) => {
                let edit = EditId { origin: ReplicaId::GENESIS, sequence: 1 };
                out.change(Change::Acknowledged { edit });
                self.inner.handle(clock, input, out)?;
            }
            (Flaw::SpeaksUnasked, Input::Edit { .. }) => {
                self.inner.handle(clock, input, out)?;
                self.inner.handle(clock, Input::Sync { peer: self.peers[0] }, out)?;
            }
            _ => self.inner.handle(clock, input, out)?,
        }
        self.edits = self.edits.wrapping_add(u8::from(matches!(input, Input::Edit { .. })));
        self.spoil(out);
        Ok(())
    }

    fn pending(&self, peer: ReplicaId) -> Pending {
        match self.flaw {
            Flaw::OwesNothing => Pending::default(),
            _ => self.inner.pending(peer),
        }
    }

    fn length(&self, cell: Cell) -> usize {
        self.inner.length(cell)
    }

    fn render(&self, scope: Scope, out: &mut Rendering) {
        self.inner.render(scope, out);
        let extra = Cell { record: RecordId(900), field: FieldId(0) };
        if scope.contains(extra) {
            out.settled(extra, Content::Counter(self.mark));
        }
    }

    fn fingerprint(&self, partition: PartitionId) -> u128 {
        if self.flaw == Flaw::OneFingerprint {
            return 1;
        }
        let mut rendering = Rendering::new();
        self.render(Scope::Partition(partition), &mut rendering);
        rendering.fingerprint()
    }

    fn save(&self, out: &mut Vec<u8>) {
        self.inner.save(out);
    }

    fn footprint(&self) -> Footprint {
        self.inner.footprint()
    }
}

/// The check fails, and says what is expected of it.
fn must_fail(strategy: &dyn Strategy, check: Check, says: &str) {
    match check(strategy) {
        Ok(()) => panic!("a strategy that should break the law keeps it ({says:?} was expected)"),
        Err(what) => assert!(what.contains(says), "{says:?} was expected instead of: {what}"),
    }
}

#[test]
fn late_showing_breaks_local_visibility() {
    must_fail(&broken(Flaw::ShowsLate), keep::local_visibility, "shows cell");
}

#[test]
fn a_hidden_counter_breaks_same_bytes() {
    must_fail(&broken(Flaw::HiddenCounter), keep::same_bytes, "instead of");
}

#[test]
fn a_longer_encoding_breaks_round_trip() {
    must_fail(&broken(Flaw::RecodesLonger), keep::round_trip, "becomes Ok");
}

#[test]
fn a_panic_breaks_hostile_bytes() {
    must_fail(&broken(Flaw::PanicsWhenCutOff), hostile::hostile_bytes, "index out of bounds");
}

#[test]
fn a_large_allocation_breaks_hostile_bytes() {
    must_fail(&broken(Flaw::AllocatesWhenPuzzled), hostile::hostile_bytes, "bytes of memory");
}

#[test]
fn a_hang_breaks_hostile_bytes() {
    static HANGS: Broken = broken(Flaw::HangsWhenPuzzled);
    let verdict = judge(Law::HostileBytes, &HANGS, hostile::hostile_bytes, Duration::from_secs(2));
    assert!(verdict.is_err_and(|what| what.contains("has not ended within 2s")));
}

#[test]
fn showing_what_was_refused_breaks_hostile_bytes() {
    must_fail(&broken(Flaw::ShowsWhatItRefuses), hostile::hostile_bytes, "refuses it, but changed");
}

/// Noticed over datagrams and over sessions: with how many cases decides which are met first.
#[test]
fn counting_duplicates_breaks_duplicates() {
    must_fail(&broken(Flaw::CountsDuplicates), keep::duplicates, "changed cell 900:0");
}

#[test]
fn preferring_what_came_last_breaks_orders() {
    let last_received = Toy { prefers: |received, held| received != held };
    must_fail(&last_received, orders::orders, "differ in cell");
}

#[test]
fn forgetting_in_save_breaks_save_restore() {
    must_fail(&broken(Flaw::ForgetsInSave), keep::save_restore, "the restored copy");
}

#[test]
fn a_splice_off_by_one_breaks_sequential() {
    must_fail(&broken(Flaw::OffByOne), keep::sequential, "the author shows cell");
}

#[test]
fn endless_reports_break_quiescence() {
    must_fail(&broken(Flaw::NeverSilent), keep::quiescence, "changes still come");
}

#[test]
fn endless_answers_break_quiescence() {
    must_fail(&broken(Flaw::Chatters), keep::quiescence, "messages over");
}

#[test]
fn owing_in_secret_breaks_quiescence() {
    must_fail(&broken(Flaw::OwesNothing), keep::quiescence, "nobody owes anything any more, but");
}

#[test]
fn cargo_in_state_breaks_cargo_inert() {
    must_fail(&broken(Flaw::ShowsCargo), keep::cargo_inert, "ids in cargo change what");
}

#[test]
fn a_report_too_many_is_noticed() {
    must_fail(&broken(Flaw::ReportsTwice), keep::quiescence, "it was shown already");
}

#[test]
fn a_missing_report_is_noticed() {
    must_fail(&broken(Flaw::ForgetsWhatWent), keep::quiescence, "which reported that it is shown");
}

#[test]
fn speaking_unasked_is_noticed() {
    must_fail(&broken(Flaw::SpeaksUnasked), keep::quiescence, "was sent when it makes");
}

#[test]
fn a_wrong_fingerprint_is_noticed() {
    must_fail(&broken(Flaw::OneFingerprint), keep::quiescence, "stands for two renderings");
}

#[test]
fn a_declared_exception_must_hold() {
    const EXCEPTION: &[(Law, &str)] = &[(Law::RoundTrip, "some encodings are longer than others")];
    static HONEST: Broken = Broken { flaw: Flaw::RecodesLonger, exceptions: EXCEPTION };
    static MODEST: Broken = Broken { flaw: Flaw::ShowsLate, exceptions: EXCEPTION };
    let judge =
        |strategy| judge(Law::RoundTrip, strategy, keep::round_trip, Duration::from_secs(60));
    assert_eq!(judge(&HONEST), Ok(()));
    assert!(judge(&MODEST).is_err_and(|what| what.contains("though it declares")));
}
