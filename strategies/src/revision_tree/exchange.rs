//! What passes between two replicas: greetings, changes, what is missing of them, documents, and that they are stored.

use super::leaf::{Leaf, Rev};
use super::message::{Changes, Deleted, Message, Told};
use super::peer::{Asked, Batch, Exchange};
use super::record::Record;
use super::replica::{RevisionTreeReplica, feed};
use super::report::{report_news, report_twins};
use super::story::{Story, unload_edits};
use crate::contract::{Cargo, Malformed, Outbox};
use crate::document::RecordId;
use crate::lineage::Lineage;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

impl RevisionTreeReplica {
    pub(super) fn send_greeting(&mut self, at: usize, answer: bool, out: &mut Outbox) {
        let peer = &mut self.peers[at];
        let (life, through) = peer.recorded();
        let asks_all = self.members.doubts() && !peer.tells_all;
        peer.asks(asks_all);
        self.send(
            at,
            &Message::Greeting { answer, asks_all, own: self.incarnation, life, through },
            Cargo::default(),
            out,
        );
    }

    fn send(&self, at: usize, message: &Message, cargo: Cargo, out: &mut Outbox) {
        let bytes = message.encode();
        out.work_bytes(bytes.len());
        out.send(self.peers[at].id, bytes, cargo);
    }

    pub(super) fn send_changes(&mut self, at: usize, out: &mut Outbox) {
        let Some(batch) = self.peers[at].take_batch(self.transport) else { return };
        let Batch { number, from_start, life, last, remaining, mut records, deleted } = batch;
        records.sort();
        let mut cargo = Cargo::default();
        let (mut told, mut listed) = (Vec::new(), Vec::new());
        for id in records {
            let record = &self.records[&id];
            let revs = record.revs();
            for rev in &revs {
                let leaf = record.leaves().iter().find(|leaf| leaf.rev() == *rev);
                let edits = leaf.map(|leaf| leaf.story.edits()).unwrap_or_default();
                cargo.ids.extend(edits.cargo(listed.len()));
                listed.push((id, *rev));
            }
            told.push(Told { record: id, revs });
        }
        if from_start && remaining == 0 {
            self.members.load_graves(&mut cargo.ids);
        }
        let seen = |id: RecordId| {
            let record = self.records.get(&id)?;
            let seen_by = record.seen_by.iter().copied().collect();
            Some(Deleted { record: id, key: record.key(), seen_by })
        };
        let deleted = deleted.into_iter().filter_map(seen).collect();
        out.work(listed.len() as u64);
        self.peers[at].begun(Exchange { number, last, listed, answered: false });
        let records = told;
        let changes = Changes { number, from_start, life, last, remaining, records, deleted };
        self.send(at, &Message::Changes(changes), cargo, out);
    }

    /// The peer, in its life `own`, says how far it has this replica's feed.
    pub(super) fn greeted(
        &mut self,
        at: usize,
        own: u32,
        (life, through): (u32, u64),
        (answer, asks_all): (bool, bool),
        out: &mut Outbox,
    ) {
        let knows_me = life == self.incarnation;
        let through = if knows_me { through.min(self.seq) } else { 0 };
        let peer = &mut self.peers[at];
        let owed = peer.records();
        match peer.lives(own) {
            Ordering::Less => return,
            Ordering::Equal => peer.compare(through, feed(&self.records)),
            Ordering::Greater => {
                peer.tell_from(through, feed(&self.records));
                self.forgot(at, through);
            }
        }
        let peer = &mut self.peers[at];
        if asks_all {
            peer.tell_all(feed(&self.records));
        }
        out.work(1 + peer.records().abs_diff(owed));
        if answer {
            // An answer to what was said in an earlier life is none.
            (peer.greet, peer.anxious) = (!knows_me, !knows_me);
        } else {
            peer.greet = peer.anxious;
            self.send_greeting(at, true, out);
        }
    }

    /// The source tells the next records of its feed.
    pub(super) fn told(&mut self, at: usize, changes: Changes, cargo: &Cargo, out: &mut Outbox) {
        let Changes { number, from_start, life, last, remaining, records, deleted } = changes;
        let peer = &mut self.peers[at];
        // A source in a new life greets first.
        if !peer.is_of_its_life(number) || !peer.begins(number) {
            return;
        }
        // What the source leaves out may be what this replica has forgotten.
        let follows = peer.tells(from_start) && life == self.incarnation;
        let edits: BTreeMap<usize, Lineage> = unload_edits(&cargo.ids).into_iter().collect();
        self.members.unload_graves(&edits);
        let mut answer = Cargo::default();
        let (mut missing, mut lacking) = (Vec::new(), Vec::new());
        let mut first = 0;
        for told in records {
            let count = told.revs.len();
            out.work(count as u64);
            let lacks = self.missing(&told);
            for (n, rev) in told.revs.iter().enumerate() {
                if let Some(edits) = edits.get(&(first + n)) {
                    self.compare_edits(told.record, *rev, first + n, edits, &mut answer, out);
                }
            }
            missing.extend(lacks.iter().map(|n| (first + n) as u32));
            first += count;
            if lacks.is_empty() {
                self.has_all(at, &told, out);
            } else {
                lacking.push(told);
            }
        }
        let is_end = remaining == 0;
        let is_complete = missing.is_empty();
        self.send(at, &Message::Diff { number, missing }, answer, out);
        if is_complete {
            self.peers[at].record(follows, last);
            self.told_all(at, is_end, out);
        } else {
            self.peers[at].ask(Asked { number, follows, last, is_end, told: lacking });
        }
        deleted.into_iter().for_each(|deleted| self.heard_who_has(at, &deleted));
        self.purge_ripe();
    }

    /// Which of a record's leaves elsewhere are not known here.
    fn missing(&self, told: &Told) -> Vec<usize> {
        let all = || 0..told.revs.len();
        let Some(record) = self.records.get(&told.record) else { return all().collect() };
        let mut missing: Vec<usize> = all().filter(|n| !record.knows(told.revs[*n])).collect();
        if let Some(newest) = missing.first().map(|n| told.revs[*n].generation) {
            // An ancestor that will not be remembered beside the newest one would be a leaf then.
            let is_leaf = |rev: Rev| record.leaves().iter().any(|leaf| leaf.rev() == rev);
            let fades = |rev: Rev| rev.generation + self.revs_limit as u64 <= newest;
            missing = all()
                .filter(|n| {
                    let rev = told.revs[*n];
                    missing.contains(n) || fades(rev) && !is_leaf(rev)
                })
                .collect();
        }
        missing
    }

    /// A leaf that both sides have: the edits behind it, there and here. Where they differ, the same edit was made twice.
    fn compare_edits(
        &mut self,
        id: RecordId,
        rev: Rev,
        element: usize,
        told: &Lineage,
        answer: &mut Cargo,
        out: &mut Outbox,
    ) {
        let Some(record) = self.records.get_mut(&id) else { return };
        let Some(at) = record.leaves().iter().position(|leaf| leaf.rev() == rev) else { return };
        let mine = record.leaves()[at].story.edits();
        if mine == *told {
            return;
        }
        if mine.minus(told).next().is_some() {
            answer.ids.extend(mine.cargo(element));
        }
        report_twins(record, at, told, out);
    }

    /// A peer has a record with these leaves, none of which is unknown here.
    fn has_all(&mut self, at: usize, told: &Told, out: &mut Outbox) {
        let id = told.record;
        let Some(record) = self.records.get_mut(&id) else { return };
        if self.members.doubts_record(id) {
            // What was told and has a child by now follows: until it is here, what it takes the place of stays.
            let is_here = told.revs.iter().all(|rev| record.knows(*rev));
            // Of what the peer has not had, its not having it says nothing.
            let may_say = is_here && !self.members.is_lacked(id, self.peers[at].id);
            let known = |leaf: &Leaf| !may_say || told.revs.iter().any(|rev| leaf.covers(*rev));
            let gone = record.retain(known);
            self.vouch_for(at, id);
            let Some(record) = self.records.get(&id) else { return };
            if !gone.is_empty() {
                report_record(id, record, &gone, &[], out);
                self.touch(id, out);
            }
        }
        let Some(record) = self.records.get_mut(&id) else { return };
        let revs = record.revs();
        let peer = &mut self.peers[at];
        if revs.iter().all(|rev| told.revs.contains(rev)) {
            // Of a whole feed some may be in doubt there, and be dropped for what this replica has said of its own.
            if !peer.tells_all {
                peer.has(record.seq);
            }
        } else if !peer.lacks(record.seq) {
            // It had confirmed what it lacks now, before it lost its memory, or somebody else had who knows it no more.
            let lacking = BTreeSet::from([peer.id]);
            self.owe_again(id, &lacking);
        }
        if revs == told.revs {
            self.has_same(at, id);
        }
    }

    /// The target says what it lacks.
    pub(super) fn asked(
        &mut self,
        at: usize,
        number: u64,
        missing: &[u32],
        cargo: &Cargo,
        out: &mut Outbox,
    ) -> Result<(), Malformed> {
        let Some(exchange) = self.peers[at].answered(number) else { return Ok(()) };
        if missing.last().is_some_and(|last| *last as usize >= exchange.listed.len()) {
            self.peers[at].begun(Exchange { answered: false, ..exchange });
            return Err(Malformed("asks for what was not told"));
        }
        for (element, edits) in unload_edits(&cargo.ids) {
            if let Some((id, rev)) = exchange.listed.get(element) {
                let (id, rev) = (*id, *rev);
                self.compare_edits(id, rev, element, &edits, &mut Cargo::default(), out);
            }
        }
        if missing.is_empty() {
            self.stored(at, number, out);
            return Ok(());
        }
        let mut cargo = Cargo::default();
        let mut leaves = Vec::new();
        for index in missing {
            let (id, rev) = exchange.listed[*index as usize];
            let record = self.records.get(&id);
            let leaf = record.and_then(|r| r.leaves().iter().find(|leaf| leaf.rev() == rev));
            // What has a child by now stands further on in the feed.
            let Some(leaf) = leaf else { continue };
            leaf.story.load(leaves.len(), self.schema.fields.len(), &mut cargo.ids);
            cargo.elements += leaf.contents.len().max(1) as u64;
            cargo.content_bytes += leaf.content_bytes();
            out.work(1);
            leaves.push((id, leaf.clone()));
        }
        self.send(at, &Message::Documents { number, leaves }, cargo, out);
        Ok(())
    }

    /// Documents came.
    pub(super) fn store(
        &mut self,
        at: usize,
        number: u64,
        leaves: Vec<(RecordId, Leaf)>,
        cargo: &Cargo,
        out: &mut Outbox,
    ) {
        let Some(asked) = self.peers[at].take_asked(number) else { return };
        let stories = Story::unload(leaves.len(), self.schema.fields.len(), &cargo.ids);
        let mut by_record: BTreeMap<RecordId, Vec<Leaf>> = BTreeMap::new();
        for ((id, leaf), story) in leaves.into_iter().zip(stories) {
            by_record.entry(id).or_default().push(leaf.with(story));
        }
        for (id, leaves) in by_record {
            self.merge(id, leaves, out);
        }
        for told in &asked.told {
            self.has_all(at, told, out);
        }
        self.peers[at].record(asked.follows, asked.last);
        self.send(at, &Message::Stored { number }, Cargo::default(), out);
        self.told_all(at, asked.is_end, out);
        self.purge_ripe();
    }

    fn merge(&mut self, id: RecordId, leaves: Vec<Leaf>, out: &mut Outbox) {
        let record = self.records.entry(id).or_default();
        out.work((record.leaves().len() + leaves.len()) as u64);
        for leaf in &leaves {
            let same = record.leaves().iter().position(|here| here.rev() == leaf.rev());
            if let Some(same) = same {
                report_twins(record, same, &leaf.story.edits(), out);
            }
        }
        let was_purged = record.leaves().is_empty();
        let mut merged = record.merge(leaves);
        if was_purged {
            merged.gone.push(Leaf::nothing(self.members.grave(id).clone()));
        }
        if !merged.fresh.is_empty() {
            report_record(id, record, &merged.gone, &merged.fresh, out);
            self.touch(id, out);
        }
    }

    /// The target has everything that it was told of.
    pub(super) fn stored(&mut self, at: usize, number: u64, out: &mut Outbox) {
        let Some(records) = self.peers[at].completed(number) else { return };
        for id in records {
            self.has_same(at, id);
        }
        self.purge_ripe();
        // What changed meanwhile follows at once.
        if self.peers[at].pending(self.transport).edits > 0 {
            self.send_changes(at, out);
        }
    }
}

/// Reports how a record changed that has lost some leaves and got others.
fn report_record(id: RecordId, record: &Record, gone: &[Leaf], fresh: &[Rev], out: &mut Outbox) {
    let is_fresh = |leaf: &&Leaf| fresh.contains(&leaf.rev());
    let after: Vec<&Leaf> = record.leaves().iter().collect();
    let stayed = record.leaves().iter().filter(|leaf| !is_fresh(leaf));
    let before: Vec<&Leaf> = gone.iter().chain(stayed).collect();
    let fresh: Vec<&Leaf> = record.leaves().iter().filter(is_fresh).collect();
    report_news(id, &before, &after, &fresh, out);
}
