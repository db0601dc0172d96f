//! Who has which tombstones, so that records that are deleted everywhere can go; and what becomes of a replica that was away when they went.

use super::message::Deleted;
use super::peer::Peer;
use super::replica::RevisionTreeReplica;
use super::report::shown;
use crate::contract::{CargoIds, Change, Malformed, Outbox, Seat, SeatChange, Transport};
use crate::document::{RecordId, ReplicaId};
use crate::lineage::Lineage;
use crate::wire::{Reader, Writer};
use std::collections::{BTreeMap, BTreeSet};

/// Elements of cargo from here on are records that were purged, with the deletes that took them away.
const GRAVES: usize = 1 << 31;

static NONE: Lineage = Lineage::new();

/// The members, and what this replica knows of deletion.
#[derive(Debug)]
pub struct Members {
    own: ReplicaId,
    has_authority: bool,
    /// Current ones.
    current: BTreeSet<ReplicaId>,
    /// Deleted records that every current member has.
    ripe: BTreeSet<RecordId>,
    /// After an absence: records that may have been purged meanwhile, and the peers that have not had them and cannot say.
    doubtful: BTreeMap<RecordId, BTreeSet<ReplicaId>>,
    /// The deletes behind purged records; for reports only, and at no cost.
    graves: BTreeMap<RecordId, Lineage>,
}

impl Members {
    pub fn new(seat: &Seat<'_>) -> Self {
        Members {
            own: seat.replica,
            has_authority: seat.authority.is_some(),
            current: seat.members.iter().copied().collect(),
            ripe: BTreeSet::new(),
            doubtful: BTreeMap::new(),
            graves: BTreeMap::new(),
        }
    }

    pub fn own(&self) -> ReplicaId {
        self.own
    }

    /// A record changed.
    pub fn moved(&mut self, record: RecordId) {
        self.ripe.remove(&record);
    }

    /// Deleted records that everybody has.
    pub fn ripe_records(&self) -> impl Iterator<Item = &RecordId> {
        self.ripe.iter()
    }

    /// Whether some records may have been purged elsewhere.
    pub fn doubts(&self) -> bool {
        !self.doubtful.is_empty()
    }

    /// Whether this one may.
    pub fn doubts_record(&self, record: RecordId) -> bool {
        self.doubtful.contains_key(&record)
    }

    /// Whether a peer has not had this one as it is here.
    pub fn is_lacked(&self, record: RecordId, by: ReplicaId) -> bool {
        self.doubtful.get(&record).is_some_and(|lacking| lacking.contains(&by))
    }

    /// This one was not, or is wanted here. Returns the peers that have not had it.
    pub fn vouch_for(&mut self, record: RecordId) -> BTreeSet<ReplicaId> {
        self.doubtful.remove(&record).unwrap_or_default()
    }

    /// The deletes behind a record that was purged.
    pub fn grave(&self, record: RecordId) -> &Lineage {
        self.graves.get(&record).unwrap_or(&NONE)
    }

    /// Appends the deletes behind purged records to a message's cargo.
    pub fn load_graves(&self, ids: &mut Vec<CargoIds>) {
        for (record, by) in &self.graves {
            // Elements have 32 bits; records beyond go without a report.
            if (record.0 as usize) < GRAVES {
                ids.extend(by.cargo(GRAVES + record.0 as usize));
            }
        }
    }

    /// Takes them from a message's cargo.
    pub fn unload_graves(&mut self, edits: &BTreeMap<usize, Lineage>) {
        for (element, edits) in edits.range(GRAVES..) {
            let record = u32::try_from(element - GRAVES);
            if let Ok(record) = record {
                self.graves.entry(RecordId(record)).or_default().extend(edits);
            }
        }
    }

    pub fn save(&self, out: &mut Writer) {
        out.count(self.current.len());
        self.current.iter().for_each(|member| out.replica(*member));
        out.count(self.ripe.len());
        self.ripe.iter().for_each(|record| out.uint(u64::from(record.0)));
        out.count(self.doubtful.len());
        for (record, lacking) in &self.doubtful {
            out.uint(u64::from(record.0));
            out.count(lacking.len());
            lacking.iter().for_each(|peer| out.replica(*peer));
        }
        out.count(self.graves.len());
        for (record, by) in &self.graves {
            out.uint(u64::from(record.0));
            by.write(out);
        }
    }

    pub fn restore(seat: &Seat<'_>, bytes: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut members = Members { current: BTreeSet::new(), ..Members::new(seat) };
        for _ in 0..bytes.count(1)? {
            members.current.insert(bytes.replica()?);
        }
        for _ in 0..bytes.count(1)? {
            members.ripe.insert(RecordId(bytes.uint32()?));
        }
        for _ in 0..bytes.count(2)? {
            let record = RecordId(bytes.uint32()?);
            let lacking = (0..bytes.count(1)?).map(|_| bytes.replica());
            members.doubtful.insert(record, lacking.collect::<Result<_, _>>()?);
        }
        for _ in 0..bytes.count(2)? {
            members.graves.insert(RecordId(bytes.uint32()?), Lineage::read(bytes)?);
        }
        Ok(members)
    }
}

impl RevisionTreeReplica {
    /// Whether every current member has just these tombstones, as far as is known here.
    fn is_seen_by_all(&self, id: RecordId) -> bool {
        let seen_by = self.records.get(&id).map(|record| &record.seen_by);
        seen_by.is_some_and(|seen_by| self.members.current.is_subset(seen_by))
    }

    /// A record is deleted here: it can go once everybody has it.
    pub(super) fn check_ripe(&mut self, id: RecordId) {
        if self.is_seen_by_all(id) {
            self.members.ripe.insert(id);
        }
    }

    /// A peer has just the same leaves of a record.
    pub(super) fn has_same(&mut self, at: usize, id: RecordId) {
        let peer = self.peers[at].id;
        if self.records.get(&id).is_some_and(|record| record.is_deleted()) {
            self.learn(at, id, &[peer]);
            // What the peer cannot know yet.
            let record = &self.records[&id];
            let others = record.seen_by.iter().any(|r| *r != peer && *r != self.members.own);
            if others && self.is_worth_telling(id) {
                self.peers[at].tell(id);
            }
        }
    }

    /// A peer lost its memory of whatever came after this position of the feed.
    pub(super) fn forgot(&mut self, at: usize, through: u64) {
        let peer = self.peers[at].id;
        for (id, record) in self.records.iter_mut().filter(|(_, record)| record.seq > through) {
            if record.seen_by.remove(&peer) {
                self.members.moved(*id);
            }
        }
    }

    /// In a star everybody hears from the hub, which needs no parts of the truth.
    fn is_worth_telling(&self, id: RecordId) -> bool {
        !self.members.has_authority || self.is_seen_by_all(id)
    }

    /// A peer said who has a deleted record.
    pub(super) fn heard_who_has(&mut self, at: usize, told: &Deleted) {
        let id = told.record;
        let Some(record) = self.records.get(&id) else { return };
        if !record.is_deleted() || record.key() != told.key {
            return;
        }
        self.learn(at, id, &told.seen_by);
        let knows = |replica: &ReplicaId| told.seen_by.contains(replica);
        if self.records[&id].seen_by.iter().all(knows) {
            self.peers[at].forget(id);
        }
    }

    /// Some replicas have a deleted record; a peer knows that.
    fn learn(&mut self, at: usize, id: RecordId, replicas: &[ReplicaId]) {
        let Some(record) = self.records.get_mut(&id) else { return };
        let before = record.seen_by.len();
        record.seen_by.extend(replicas.iter().filter(|r| self.members.current.contains(r)));
        if record.seen_by.len() > before {
            if self.is_worth_telling(id) {
                let heard_it = |n: usize| n == at && replicas.len() > 1;
                let peers = self.peers.iter_mut().enumerate();
                peers.filter(|(n, _)| !heard_it(*n)).for_each(|(_, peer)| peer.tell(id));
            }
            self.check_ripe(id);
        }
    }

    /// Deleted records that everybody has, and everybody here is told so, go. Not while documents are on their way that were asked for
    /// earlier: they could bring back what was deleted.
    pub(super) fn purge_ripe(&mut self) {
        if self.members.ripe.is_empty() {
            return;
        }
        if self.transport == Transport::Session && self.peers.iter().any(|p| p.is_asked()) {
            return;
        }
        let current = &self.members.current;
        let told = |id: &RecordId| {
            let mut peers = self.peers.iter().filter(|peer| current.contains(&peer.id));
            peers.all(|peer| peer.is_told(*id))
        };
        let purged: Vec<RecordId> = self.members.ripe.iter().copied().filter(told).collect();
        for id in purged {
            self.peers.iter_mut().for_each(|peer| drop(peer.drop_asked()));
            let grave = self.members.graves.entry(id).or_default();
            self.records[&id].leaves().iter().for_each(|leaf| grave.extend(&leaf.story.deletes));
            self.remove(id);
        }
    }

    fn remove(&mut self, id: RecordId) {
        self.members.moved(id);
        let Some(record) = self.records.remove(&id) else { return };
        self.peers.iter_mut().for_each(|peer| peer.purged(record.seq, id));
    }

    /// The membership service says who is a member.
    pub(super) fn membership(&mut self, change: SeatChange) {
        let (SeatChange::Gone { replica } | SeatChange::Back { replica }) = change;
        if replica == self.members.own {
            self.doubt();
            return;
        }
        match change {
            SeatChange::Gone { .. } => self.members.current.remove(&replica),
            SeatChange::Back { .. } => self.members.current.insert(replica),
        };
        if let SeatChange::Gone { .. } = change {
            self.cannot_say(replica);
        }
        let deleted = self.records.iter().filter(|(_, record)| record.is_deleted());
        let deleted: Vec<RecordId> = deleted.map(|(id, _)| *id).collect();
        self.members.ripe.clear();
        deleted.into_iter().for_each(|id| self.check_ripe(id));
        self.purge_ripe();
    }

    /// This replica was gone. Whatever is here may have been deleted and purged, but for changes that nobody has confirmed.
    fn doubt(&mut self) {
        for (id, record) in &self.records {
            let lack = |peer: &&Peer| peer.lacks(record.seq);
            let lacking: BTreeSet<_> = self.peers.iter().filter(lack).map(|peer| peer.id).collect();
            if lacking.len() < self.peers.len() && !self.members.doubtful.contains_key(id) {
                self.members.doubtful.insert(*id, lacking);
                self.peers.iter_mut().for_each(|peer| peer.has(record.seq));
            }
        }
        if self.members.doubts() {
            self.peers.iter_mut().for_each(|peer| peer.ask_all());
        }
    }

    /// A record was not purged, as this peer says. Those who have not had it are owed it again, and those who are still to tell their feeds: they may
    /// have purged it, where the peer was away as well.
    pub(super) fn vouch_for(&mut self, at: usize, id: RecordId) {
        let mut lacking = self.members.vouch_for(id);
        let others = self.peers.iter().enumerate().filter(|(n, _)| *n != at);
        lacking.extend(others.filter(|(_, peer)| peer.is_to_tell_all()).map(|(_, peer)| peer.id));
        self.owe_again(id, &lacking);
    }

    /// Peers lack a record that they may have been beyond in the feed: it moves to the end, as when it changes, but who has it has it.
    pub(super) fn owe_again(&mut self, id: RecordId, lacking: &BTreeSet<ReplicaId>) {
        let Some(record) = self.records.get_mut(&id).filter(|_| !lacking.is_empty()) else {
            return;
        };
        self.seq += 1;
        let old = std::mem::replace(&mut record.seq, self.seq);
        for peer in &mut self.peers {
            if peer.lacks(old) || lacking.contains(&peer.id) {
                peer.owe(old, self.seq, id);
            }
            if lacking.contains(&peer.id) && record.seen_by.remove(&peer.id) {
                self.members.moved(id);
            }
        }
    }

    /// A peer will not say for now what was purged. What no other one can speak of stays.
    fn cannot_say(&mut self, peer: ReplicaId) {
        let mut stays = Vec::new();
        for (id, lacking) in &mut self.members.doubtful {
            lacking.insert(peer);
            if self.peers.iter().all(|peer| lacking.contains(&peer.id)) {
                stays.push(*id);
            }
        }
        for id in stays {
            let lacking = self.members.vouch_for(id);
            self.owe_again(id, &lacking);
        }
    }

    /// A batch of a peer's feed is here; where it was the last, and the feed was told from its beginning, what the peer has had and was not in
    /// it is purged.
    pub(super) fn told_all(&mut self, at: usize, is_end: bool, out: &mut Outbox) {
        if !is_end || !std::mem::take(&mut self.peers[at].tells_all) {
            return;
        }
        let peer = self.peers[at].id;
        let had = self.members.doubtful.extract_if(.., |_, lacking| !lacking.contains(&peer));
        for id in had.map(|(id, _)| id).collect::<Vec<_>>() {
            if let Some(record) = self.records.get(&id) {
                let by = self.members.grave(id).iter().last();
                for edit in shown(record.leaves().iter()).minus(self.members.grave(id)) {
                    if let Some(by) = by {
                        out.change(Change::Replaced { edit, by });
                    }
                }
            }
            self.remove(id);
        }
    }
}
