//! The intent ledger: every edit that was made, who was shown it and when, and what it meant.
//!
//! It listens to facts while a trial runs; at the end `accounts` compares what it was told with what is shown.

use super::holding::Holding;
use crate::fact::{Fact, NotMade, Phase, Probe};
use crate::partitions::Holders;
use crate::row::Histograms;
use crate::workload::{Script, Token};
use reconverge_strategies::{
    Cell, Change, Content, Edit, EditId, RecordId, Rendering, ReplicaId, char_count,
};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// What an edit does, as far as its account needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Intent {
    /// Puts a value.
    Put,
    /// Adds an amount.
    Add(i64),
    /// Inserts an element.
    Insert,
    /// Removes what its author saw.
    Remove,
    /// Splices: this many words inserted, with their lengths in characters.
    Splice {
        /// Characters of each inserted word.
        inserted: Vec<u32>,
        /// The words before and after the place, as the author saw them.
        between: (Option<Token>, Option<Token>),
    },
    /// Deletes a record, and these additions with it.
    Delete {
        /// Edits that added to the counters the author saw.
        adds: Vec<u32>,
    },
    /// Answers a conflict.
    Resolve {
        /// What stays visible.
        chosen: Vec<Token>,
    },
}

/// One edit.
#[derive(Clone, Debug)]
pub struct EditRecord {
    /// Its name.
    pub id: EditId,
    /// Number of the asked edit; none for answers and genesis.
    pub number: Option<u32>,
    /// The record it speaks of.
    pub record: RecordId,
    /// The cell; none for deletes.
    pub cell: Option<Cell>,
    /// What it means.
    pub intent: Intent,
    /// Tokens that the author saw and that it takes away.
    pub removes: Vec<Token>,
    /// When the user acted.
    pub acted_ns: u64,
    /// Its place among all facts.
    pub sequence: u64,
    /// Bytes of content.
    pub content_bytes: u64,
    /// An authority refused it.
    pub refused: bool,
    /// It is durable where it must be.
    pub committed: bool,
    /// Its own device lost it with an unsynced journal, and has not synced it since.
    pub destroyed: bool,
    /// It is among those that some seat with a user lacks and may still get.
    awaited: bool,
}

/// What a seat is to the ledger.
#[derive(Clone, Copy, Debug)]
pub struct SeatKind {
    /// Somebody reads there: its freshness counts.
    pub has_user: bool,
}

/// The other side of a disruption: whom a device must be level with again.
#[derive(Clone, Debug, Default)]
struct Recovery {
    /// Reasons why it is cut off now.
    causes: u32,
    /// When the last disruption ended, and the edits not level then.
    open: Option<(u64, BTreeSet<u32>)>,
}

/// What a report changed: how often the device showed the edit before.
#[derive(Clone, Copy, Debug)]
struct Before {
    edit: u32,
    shown: u8,
}

/// Time that a seat lacks something.
#[derive(Clone, Copy, Debug, Default)]
struct Lack {
    lacking: u64,
    stopped: bool,
    since_ns: u64,
    lacking_ns: u64,
    alive_ns: u64,
}

impl Lack {
    fn advance(&mut self, now_ns: u64) {
        let passed_ns = now_ns - self.since_ns;
        self.since_ns = now_ns;
        if !self.stopped {
            self.alive_ns += passed_ns;
            if self.lacking > 0 {
                self.lacking_ns += passed_ns;
            }
        }
    }
}

/// Everything that the figures about edits need.
pub struct Ledger<'a> {
    pub(super) script: &'a Script,
    pub(super) seats: Vec<SeatKind>,
    hub: Option<u32>,
    /// Whom an edit concerns: who holds the partition of its record.
    pub(super) holders: Holders,
    /// Own edits show only when their authority has answered.
    delayed: bool,
    /// Genesis first, then in the order made.
    pub(super) edits: Vec<EditRecord>,
    /// Number of the first edit that is not genesis.
    pub(super) first: u32,
    numbers: Vec<BTreeMap<u64, u32>>,
    /// Edits of each cell, in order; deletes stand in no cell.
    pub(super) by_cell: BTreeMap<Cell, Vec<u32>>,
    pub(super) holding: Holding,
    /// When a replica first showed an edit, as a place among all facts; by edit, then replica.
    first_shown: Vec<u64>,
    /// Edits that others applied just now, by number and seat, and when: shown only if they are not replaced within the same moment.
    fresh: Vec<(u32, u32)>,
    fresh_ns: u64,
    facts: u64,
    uncommitted: Vec<Vec<u32>>,
    /// Edits made at a seat since it last had everything on storage.
    unsynced: Vec<Vec<u32>>,
    /// Reports of a seat since then, as a loss of power takes them back.
    revocable: Vec<Vec<Option<Before>>>,
    lacks: Vec<Lack>,
    recoveries: Vec<Recovery>,
    phase: Phase,
    drained: Vec<(u32, u32, bool)>,
    /// Distributions recorded so far.
    pub histograms: Histograms,
    /// Made by nobody, by reason.
    pub(super) blocked: u64,
    pub(super) void: u64,
    pub(super) conflicts: u64,
    pub(super) prompts: u64,
    /// How long prompts stood open.
    pub(super) prompt_open_ns: Vec<u64>,
    pub(super) local_over_100ms: u64,
    pub(super) censored: u64,
    /// Records that a seat's user edited.
    pub(super) touched: Vec<BTreeSet<RecordId>>,
    /// Edits not held by every seat with a user that they concern.
    pending: u64,
    /// Seats with a user, by partition.
    users: Vec<u32>,
    holding_users: Vec<u32>,
    /// The first report of an edit that nobody made.
    pub(super) invented: Option<(u32, EditId)>,
    /// Some replica came back knowing less than it had told.
    pub(super) memory_lost: bool,
}

impl<'a> Ledger<'a> {
    /// A ledger for seats in order, of which `holders` says who holds what. `delayed` where the strategy shows own edits only when their authority
    /// has answered.
    pub fn new(
        script: &'a Script,
        seats: Vec<SeatKind>,
        holders: Holders,
        hub: Option<usize>,
        delayed: bool,
    ) -> Ledger<'a> {
        let count = seats.len();
        let has_user = |seat: &&u32| seats[**seat as usize].has_user;
        let users = |partition| holders.of(partition).iter().filter(has_user).count() as u32;
        let users = holders.partitions().map(users).collect();
        let mut ledger = Ledger {
            script,
            hub: hub.map(|hub| hub as u32),
            delayed,
            edits: Vec::new(),
            first: 0,
            numbers: vec![BTreeMap::new(); count],
            by_cell: BTreeMap::new(),
            holding: Holding::new(count),
            first_shown: Vec::new(),
            fresh: Vec::new(),
            fresh_ns: 0,
            facts: 0,
            uncommitted: vec![Vec::new(); count],
            unsynced: vec![Vec::new(); count],
            revocable: vec![Vec::new(); count],
            lacks: vec![Lack::default(); count],
            recoveries: vec![Recovery::default(); count],
            phase: Phase::Work,
            drained: Vec::new(),
            histograms: Histograms::default(),
            blocked: 0,
            void: 0,
            conflicts: 0,
            prompts: 0,
            prompt_open_ns: Vec::new(),
            local_over_100ms: 0,
            censored: 0,
            touched: vec![BTreeSet::new(); count],
            pending: 0,
            users,
            holding_users: Vec::new(),
            invented: None,
            memory_lost: false,
            seats,
            holders,
        };
        for (id, edit) in &script.genesis {
            let edit = ledger.record(*id, None, edit, 0, &Rendering::new(), &[]);
            for n in 0..ledger.concerned(edit).len() {
                let seat = ledger.concerned(edit)[n];
                ledger.holding.show(edit, seat, 0);
                let at = ledger.at(edit, seat);
                ledger.first_shown[at] = 0;
            }
            ledger.held_changed(0);
            ledger.edits[edit as usize].committed = true;
        }
        ledger.first = ledger.edits.len() as u32;
        ledger
    }

    fn at(&self, edit: u32, seat: u32) -> usize {
        edit as usize * self.seats.len() + seat as usize
    }

    /// The seats that an edit concerns.
    fn concerned(&self, edit: u32) -> &[u32] {
        self.holders.of_record(self.edits[edit as usize].record)
    }

    /// How many of those have a user.
    fn users(&self, edit: u32) -> u32 {
        let partition = self.holders.seat().of(self.edits[edit as usize].record);
        self.users[partition.0 as usize]
    }

    /// Number of an edit.
    pub(super) fn number(&self, id: EditId) -> Option<u32> {
        if id.origin == ReplicaId::GENESIS {
            return (id.sequence < u64::from(self.first)).then_some(id.sequence as u32);
        }
        self.numbers.get(id.origin.0 as usize)?.get(&id.sequence).copied()
    }

    /// Whether the author of `by` had been shown `edit` when making it.
    pub(super) fn knew(&self, by: u32, edit: u32) -> bool {
        if by < self.first {
            return false;
        }
        let author = self.edits[by as usize].id.origin.0;
        self.first_shown[self.at(edit, author)] < self.edits[by as usize].sequence
    }

    /// Whether an edit was destroyed before it was synced, and what it did is nowhere.
    pub(super) fn crashed(&self, edit: u32) -> bool {
        self.edits[edit as usize].destroyed && self.holding.holders(edit) == 0
    }

    /// Whether a replica has something that took the place of an edit, and may not know that it did. Whoever lost its memory is told anew
    /// of edits together with what replaced them long ago, and not of which replaced whose.
    pub(super) fn replaced_unawares(&self, edit: u32, seat: u32) -> bool {
        self.memory_lost && self.holding.holds_successor(edit, seat)
    }

    /// Whether an edit can have an effect at all.
    pub(super) fn counts(&self, edit: u32) -> bool {
        !self.edits[edit as usize].refused && !self.crashed(edit)
    }

    /// The whole document: of each partition what the replica shows that stands for it.
    pub(super) fn whole<'r>(&self, renderings: &'r [Rendering]) -> Cow<'r, Rendering> {
        let stands = |partition| self.holders.reference(partition);
        let mut all = self.holders.partitions().map(stands);
        let first = all.next().expect("at least one partition");
        if all.all(|other| other == first) {
            return Cow::Borrowed(&renderings[first as usize]);
        }
        let mut whole = Rendering::new();
        for (device, rendering) in (0..).zip(renderings) {
            let stood_for = |cell: &Cell| stands(self.holders.seat().of(cell.record)) == device;
            for (cell, _) in rendering.iter().filter(|(cell, _)| stood_for(cell)) {
                whole.replace(cell, rendering);
            }
        }
        Cow::Owned(whole)
    }

    /// Edits not yet held by every seat with a user that they concern.
    pub fn pending(&self) -> u64 {
        self.pending
    }

    /// Committed edits that a seat lacks.
    pub fn lacking(&self, seat: usize) -> u64 {
        self.lacks[seat].lacking
    }

    /// Share of seat-time in which a seat with a user lacked a committed edit, in thousandths, until healing began.
    pub fn diverged_permille(&self) -> Option<u64> {
        let users = self.lacks.iter().zip(&self.seats).filter(|(_, seat)| seat.has_user);
        let (lacking_ns, alive_ns) = users.fold((0_u128, 0_u128), |(lacking, alive), (lack, _)| {
            (lacking + u128::from(lack.lacking_ns), alive + u128::from(lack.alive_ns))
        });
        (alive_ns > 0).then(|| (lacking_ns * 1000 / alive_ns) as u64)
    }

    /// Conflicts reported.
    pub fn conflicts(&self) -> u64 {
        self.conflicts
    }

    /// Prompts shown.
    pub fn prompts(&self) -> u64 {
        self.prompts
    }

    /// Median of how long prompts stood open, in seconds.
    pub fn prompt_open_s_p50(&self) -> Option<u64> {
        let mut open_ns = self.prompt_open_ns.clone();
        open_ns.sort_unstable();
        open_ns.get(open_ns.len().saturating_sub(1) / 2).map(|ns| ns / 1_000_000_000)
    }

    /// Disruptions whose recovery the end of the work phase cut off.
    pub fn censored(&self) -> u64 {
        self.censored
    }

    /// Local actions that took longer than 100 ms.
    pub fn local_over_100ms(&self) -> u64 {
        self.local_over_100ms
    }

    /// Records that a seat's user edited.
    pub fn records_touched(&self, seat: usize) -> u64 {
        self.touched[seat].len() as u64
    }

    /// The users' own content, once per edit and replica that it concerns, but for the origin.
    pub fn bytes_user(&self) -> u64 {
        let made = (self.first..self.edits.len() as u32).filter(|edit| self.counts(*edit));
        made.map(|edit| {
            let others = self.concerned(edit).len() as u64 - 1;
            self.edits[edit as usize].content_bytes * others
        })
        .sum()
    }

    /// Share of pairs of an edit that some replica holds and a replica that it concerns, but that does not hold it, in millionths.
    pub fn residue_ppm(&self) -> Option<u64> {
        let made = (self.first..self.edits.len() as u32)
            .filter(|edit| !self.edits[*edit as usize].refused && self.holding.holders(*edit) > 0);
        let (held, pairs) = made.fold((0, 0), |(held, pairs), edit| {
            let concerned = self.concerned(edit).len() as u64;
            (held + u64::from(self.holding.holders(edit)), pairs + concerned)
        });
        (pairs > 0).then(|| (pairs - held) * 1_000_000 / pairs)
    }

    /// Records settled and everywhere times; returns how many pairs never settle, and how many pairs there are.
    pub fn settled_times(&self, histograms: &mut Histograms) -> (u64, u64) {
        let (mut unsettled, mut pairs) = (0, 0);
        for edit in self.first..self.edits.len() as u32 {
            let record = &self.edits[edit as usize];
            if !self.counts(edit) {
                continue;
            }
            let mut everywhere = Some(0);
            for seat in self.concerned(edit) {
                if !self.seats[*seat as usize].has_user || record.id.origin.0 == *seat {
                    continue;
                }
                pairs += 1;
                let settled = self.holding.settled_ns(edit, *seat);
                let after_us = settled.map(|ns| ns.saturating_sub(record.acted_ns) / 1000);
                match after_us {
                    Some(us) => histograms.settled.record(us).expect("histograms grow"),
                    None => unsettled += 1,
                }
                everywhere = everywhere.zip(after_us).map(|(a, b): (u64, u64)| a.max(b));
            }
            if let Some(us) = everywhere
                && self.users(edit) > 1
            {
                histograms.everywhere.record(us).expect("histograms grow");
            }
        }
        (unsettled, pairs)
    }

    fn record(
        &mut self,
        id: EditId,
        number: Option<u32>,
        edit: &Edit,
        acted_ns: u64,
        seen: &Rendering,
        prompted: &[Content],
    ) -> u32 {
        let index = self.edits.len() as u32;
        let mut removes = Vec::new();
        let intent = match edit {
            Edit::Put { .. } => Intent::Put,
            Edit::Add { amount, .. } => Intent::Add(*amount),
            Edit::Insert { .. } => Intent::Insert,
            Edit::Remove { element, .. } => {
                removes.extend(self.script.token(element.as_str()));
                Intent::Remove
            }
            Edit::Splice { cell, at, delete, insert } => {
                let text = match seen.get(*cell).map(|shown| shown.first()) {
                    Some(Content::Text(text)) => text.as_str(),
                    _ => "",
                };
                let between = self.splice_place(text, *at, *delete, &mut removes);
                let inserted = self.script.words(insert).map(|word| char_count(word) as u32);
                Intent::Splice { inserted: inserted.collect(), between }
            }
            Edit::Delete { record } => {
                for (_, shown) in seen.iter() {
                    shown.contents().for_each(|content| self.tokens(content, &mut removes));
                }
                let author = id.origin.0;
                let adds = self
                    .by_cell
                    .range(cells_of(*record))
                    .flat_map(|(_, edits)| edits)
                    .copied()
                    .filter(|add| matches!(self.edits[*add as usize].intent, Intent::Add(_)))
                    .filter(|add| self.holding.shown(*add, author) > 0);
                Intent::Delete { adds: adds.collect() }
            }
            Edit::Resolve { content, .. } => {
                let mut chosen = Vec::new();
                self.tokens(content, &mut chosen);
                prompted.iter().for_each(|content| self.tokens(content, &mut removes));
                removes.retain(|token| !chosen.contains(token));
                Intent::Resolve { chosen }
            }
        };
        removes.sort_unstable();
        removes.dedup();
        let cell = edit.cell();
        if let Some(cell) = cell {
            self.by_cell.entry(cell).or_default().push(index);
        }
        if id.origin != ReplicaId::GENESIS {
            self.numbers[id.origin.0 as usize].insert(id.sequence, index);
        }
        self.holding.add();
        self.holding_users.push(0);
        let wide = self.first_shown.len() + self.seats.len();
        self.first_shown.resize(wide, u64::MAX);
        self.edits.push(EditRecord {
            id,
            number,
            record: edit.record(),
            cell,
            intent,
            removes,
            acted_ns,
            sequence: self.facts,
            content_bytes: edit.content_bytes(),
            refused: false,
            committed: false,
            destroyed: false,
            awaited: false,
        });
        self.recount(index);
        index
    }

    /// The words that a splice deletes, and its neighbours. Recorded sessions have no words to speak of.
    fn splice_place(
        &self,
        text: &str,
        at: usize,
        delete: usize,
        removes: &mut Vec<Token>,
    ) -> (Option<Token>, Option<Token>) {
        let (mut before, mut after) = (None, None);
        if self.script.is_recorded() {
            return (before, after);
        }
        let mut position = 0;
        for word in self.script.words(text) {
            let token = self.script.word_token(word);
            if position < at {
                before = token;
            } else if position < at + delete {
                removes.extend(token);
            } else {
                after = token;
                break;
            }
            position += char_count(word);
        }
        (before, after)
    }

    /// The tokens in a content.
    pub(super) fn tokens(&self, content: &Content, into: &mut Vec<Token>) {
        match content {
            Content::Register(value) => {
                into.extend(value.as_ref().and_then(|value| self.script.token(value.as_str())));
            }
            Content::Counter(_) => {}
            Content::Set(elements) => {
                into.extend(
                    elements.iter().filter_map(|element| self.script.token(element.as_str())),
                );
            }
            Content::Text(text) => {
                into.extend(
                    self.script.words(text).filter_map(|word| self.script.word_token(word)),
                );
            }
        }
    }

    /// A seat shows an edit.
    fn show(&mut self, edit: u32, seat: u32, now_ns: u64) {
        let at = self.at(edit, seat);
        let record = &self.edits[edit as usize];
        if self.first_shown[at] == u64::MAX {
            if record.id.origin.0 == seat {
                self.first_shown[at] = self.facts;
                let after_us = (now_ns - record.acted_ns.min(now_ns)) / 1000;
                self.histograms.local.record(after_us).expect("histograms grow");
                self.local_over_100ms += u64::from(after_us > 100_000);
            } else {
                self.fresh.push((edit, seat));
                self.fresh_ns = now_ns;
            }
        }
        self.holding.show(edit, seat, now_ns);
        // Before it counts as committed: from then on whoever does not hold it lacks it.
        self.held_changed(now_ns);
        if self.delayed && self.hub == Some(seat) {
            self.commit(edit, now_ns);
        }
    }

    /// A moment is over: what was applied in it and is still there has been shown.
    fn settle_fresh(&mut self) {
        for n in 0..self.fresh.len() {
            let (edit, seat) = self.fresh[n];
            let at = self.at(edit, seat);
            if self.first_shown[at] != u64::MAX || self.holding.shown(edit, seat) == 0 {
                continue;
            }
            self.first_shown[at] = self.facts;
            if self.seats[seat as usize].has_user {
                let acted_ns = self.edits[edit as usize].acted_ns;
                let after_us = self.fresh_ns.saturating_sub(acted_ns) / 1000;
                self.histograms.visible.record(after_us).expect("histograms grow");
            }
        }
        self.fresh.clear();
    }

    fn commit(&mut self, edit: u32, now_ns: u64) {
        if std::mem::replace(&mut self.edits[edit as usize].committed, true) {
            return;
        }
        for seat in self.holders.of_record(self.edits[edit as usize].record) {
            if !self.holding.holds(edit, *seat) {
                let lack = &mut self.lacks[*seat as usize];
                lack.advance(now_ns);
                lack.lacking += 1;
            }
        }
    }

    /// Follows up on what became held or not held.
    fn held_changed(&mut self, now_ns: u64) {
        let mut changes = std::mem::take(&mut self.drained);
        self.holding.drain_changes(&mut changes);
        for (edit, seat, held) in changes.drain(..) {
            let lack = &mut self.lacks[seat as usize];
            if self.edits[edit as usize].committed {
                lack.advance(now_ns);
                lack.lacking = if held { lack.lacking - 1 } else { lack.lacking + 1 };
            }
            if self.seats[seat as usize].has_user {
                let count = &mut self.holding_users[edit as usize];
                let before = *count;
                *count = if held { before + 1 } else { before - 1 };
            }
            self.recount(edit);
            if held || self.edits[edit as usize].refused || self.edits[edit as usize].destroyed {
                self.recovered(edit, seat, now_ns);
            }
        }
        self.drained = changes;
    }

    /// Whether somebody waits for an edit. Nobody waits for one that was refused, or that is nowhere any more.
    fn recount(&mut self, edit: u32) {
        let awaited = self.counts(edit) && self.holding_users[edit as usize] < self.users(edit);
        let before = std::mem::replace(&mut self.edits[edit as usize].awaited, awaited);
        self.pending = self.pending + u64::from(awaited) - u64::from(before);
    }

    /// A device lost its last edits and reports with its power.
    fn forget(&mut self, device: u32, edits: u64, reports: u64, now_ns: u64) {
        let unsynced = &mut self.unsynced[device as usize];
        let destroyed = unsynced.split_off(unsynced.len().saturating_sub(edits as usize));
        for edit in &destroyed {
            self.edits[*edit as usize].destroyed = true;
        }
        let revocable = &mut self.revocable[device as usize];
        let void = revocable.split_off(revocable.len().saturating_sub(reports as usize));
        for before in void.into_iter().rev().flatten() {
            self.holding.revert(before.edit, before.shown, device, now_ns);
        }
        self.held_changed(now_ns);
        for edit in destroyed {
            self.recount(edit);
        }
        let edits = &self.edits;
        self.uncommitted[device as usize].retain(|edit| !edits[*edit as usize].destroyed);
    }

    /// Notes how often a device shows an edit before it reports something of it.
    fn note(&mut self, edit: Option<u32>, device: u32) {
        let before = edit.map(|edit| Before { edit, shown: self.holding.shown(edit, device) });
        self.revocable[device as usize].push(before);
    }

    /// A device was cut off for one more reason.
    fn disrupt(&mut self, device: u32) {
        self.recoveries[device as usize].causes += 1;
    }

    /// A device is back as far as one reason goes; what is not level now must become so.
    fn restore(&mut self, device: u32, now_ns: u64) {
        let recovery = &mut self.recoveries[device as usize];
        recovery.causes = recovery.causes.saturating_sub(1);
        if recovery.causes > 0 || self.phase != Phase::Work || Some(device) == self.hub {
            return;
        }
        let mut unlevel: BTreeSet<u32> = (self.first..self.edits.len() as u32)
            .filter(|edit| self.is_unlevel(*edit, device))
            .collect();
        // A disruption before the last one was over extends that episode.
        if let Some((_, earlier)) = self.recoveries[device as usize].open.take() {
            unlevel.extend(earlier);
        }
        if !unlevel.is_empty() {
            self.recoveries[device as usize].open = Some((now_ns, unlevel));
        }
    }

    /// Whether one side of a device's connection holds an edit and the other does not. In a star the other side is the hub, in a mesh
    /// everybody. An edit that does not concern the device is no matter of its connection.
    fn is_unlevel(&self, edit: u32, device: u32) -> bool {
        if !self.holders.concerns(device, self.edits[edit as usize].record) {
            return false;
        }
        match self.hub {
            Some(hub) => self.holding.holds(edit, device) != self.holding.holds(edit, hub),
            None => {
                let holders = self.holding.holders(edit);
                holders > 0 && (holders as usize) < self.concerned(edit).len()
            }
        }
    }

    fn recovered(&mut self, edit: u32, seat: u32, now_ns: u64) {
        let level_with = |device: u32| match self.hub {
            Some(hub) => seat == device || seat == hub,
            None => true,
        };
        for device in 0..self.recoveries.len() as u32 {
            if self.recoveries[device as usize].open.is_none()
                || !level_with(device)
                || self.is_unlevel(edit, device)
            {
                continue;
            }
            let recovery = &mut self.recoveries[device as usize];
            if let Some((end_ns, unlevel)) = &mut recovery.open {
                unlevel.remove(&edit);
                if unlevel.is_empty() && recovery.causes == 0 {
                    let after_us = (now_ns - *end_ns) / 1000;
                    recovery.open = None;
                    self.histograms.reconverge.record(after_us).expect("histograms grow");
                }
            }
        }
    }

    /// Number of an edit that a replica speaks of.
    fn reported(&mut self, id: EditId, device: u32) -> Option<u32> {
        let number = self.number(id);
        if number.is_none() {
            self.invented.get_or_insert((device, id));
        }
        number
    }

    fn changed(&mut self, device: u32, change: Change, now_ns: u64) {
        match change {
            Change::Applied { edit } => {
                let edit = self.reported(edit, device);
                self.note(edit, device);
                if let Some(edit) = edit {
                    let record = &self.edits[edit as usize];
                    if record.destroyed && record.id.origin.0 == device {
                        // It had left before it was lost, and is back.
                        self.uncommitted[device as usize].push(edit);
                    }
                    self.show(edit, device, now_ns);
                }
            }
            Change::Replaced { edit, by } => {
                let by = self.reported(by, device);
                let edit = self.reported(edit, device);
                self.note(edit, device);
                if let Some(edit) = edit {
                    self.holding.hide(edit, by, device, now_ns);
                    self.held_changed(now_ns);
                }
            }
            Change::Conflicted { edit, with, .. } => {
                self.reported(edit, device);
                self.reported(with, device);
                self.note(None, device);
                self.conflicts += 1;
            }
            Change::Acknowledged { edit } => {
                self.reported(edit, device);
                self.note(None, device);
            }
            Change::Refused { edit, .. } => {
                let edit = self.reported(edit, device);
                self.note(edit, device);
                if let Some(edit) = edit {
                    self.edits[edit as usize].refused = true;
                    self.recount(edit);
                    self.holding.hide(edit, None, device, now_ns);
                    self.held_changed(now_ns);
                }
            }
        }
    }
}

impl Probe for Ledger<'_> {
    fn observe(&mut self, now_ns: u64, fact: &Fact<'_>) {
        let acts = matches!(fact, Fact::EditMade { .. } | Fact::Phase(Phase::End));
        if now_ns > self.fresh_ns || acts {
            self.settle_fresh();
        }
        self.facts += 1;
        match fact {
            Fact::Phase(Phase::Heal) => {
                self.lacks.iter_mut().for_each(|lack| lack.advance(now_ns));
                let cut = |recovery: &&Recovery| recovery.causes > 0 || recovery.open.is_some();
                self.censored = self.recoveries.iter().filter(cut).count() as u64;
                self.recoveries.iter_mut().for_each(|recovery| recovery.open = None);
                self.phase = Phase::Heal;
                // What follows is not part of the share.
                self.lacks.iter_mut().for_each(|lack| lack.stopped = true);
            }
            Fact::NotMade { why: NotMade::Blocked, .. } => self.blocked += 1,
            Fact::NotMade { why: NotMade::Void, .. } => self.void += 1,
            Fact::EditMade { id, number, edit, acted_ns, seen, prompted } => {
                let seat = id.origin.0 as usize;
                self.touched[seat].insert(edit.record());
                let edit = self.record(*id, *number, edit, *acted_ns, seen, prompted);
                self.uncommitted[seat].push(edit);
                self.unsynced[seat].push(edit);
            }
            Fact::EditDone { id, .. } => {
                let shown = self.number(*id).filter(|_| !self.delayed);
                self.note(shown, id.origin.0);
                if let Some(edit) = shown {
                    self.show(edit, id.origin.0, now_ns);
                }
            }
            Fact::Changed { device, change } => self.changed(*device, *change, now_ns),
            Fact::Committed { device } => {
                let device = *device as usize;
                self.unsynced[device].clear();
                self.revocable[device].clear();
                if !self.delayed {
                    for edit in std::mem::take(&mut self.uncommitted[device]) {
                        self.edits[edit as usize].destroyed = false;
                        self.commit(edit, now_ns);
                    }
                }
            }
            Fact::Reborn { .. } => self.memory_lost = true,
            Fact::Forgotten { device, edits, reports } => {
                self.forget(*device, *edits, *reports, now_ns);
            }
            Fact::Link { device, up: false } => self.disrupt(*device),
            Fact::Link { device, up: true } => self.restore(*device, now_ns),
            Fact::Stopped { device, .. } => {
                self.disrupt(*device);
                self.lacks[*device as usize].advance(now_ns);
                self.lacks[*device as usize].stopped = true;
            }
            Fact::Restarted { device, .. } => {
                self.restore(*device, now_ns);
                self.lacks[*device as usize].advance(now_ns);
                self.lacks[*device as usize].stopped = self.phase != Phase::Work;
            }
            Fact::Prompted { .. } => self.prompts += 1,
            Fact::Answered { open_ns, .. } => self.prompt_open_ns.push(*open_ns),
            _ => {}
        }
    }
}

/// All cells of a record.
pub(super) fn cells_of(record: RecordId) -> std::ops::RangeInclusive<Cell> {
    let cell = |field| Cell { record, field: reconverge_strategies::FieldId(field) };
    cell(0)..=cell(u16::MAX)
}
