//! Puts: what a client made goes to the coordinator, which files it and answers.

use super::{VersionVectorReplica, ids_of};
use crate::contract::{Cargo, Malformed, Outbox};
use crate::document::{Cell, EditId, ReplicaId};
use crate::version_vector::entry::{Draft, Entry};
use crate::version_vector::message::{Message, Put, filed_head, unload_puts};
use crate::version_vector::object::Object;
use crate::version_vector::uplink::Uplink;
use crate::version_vector::vector::Context;
use crate::version_vector::version::{Version, Write};
use crate::wire::{Reader, Writer};
use std::collections::BTreeSet;

impl VersionVectorReplica {
    pub(super) fn restore_drafts(
        &mut self,
        uplink: &mut Uplink,
        bytes: &mut Reader<'_>,
    ) -> Result<(), Malformed> {
        for _ in 0..bytes.count(4)? {
            let cell = bytes.cell()?;
            let kind = self.kind(cell)?;
            let entry = self.cells.get_mut(&cell).ok_or(Malformed("a draft of no cell"))?;
            for _ in 0..bytes.count(8)? {
                let draft = Draft::restore(bytes)?;
                if draft.version.content.kind() != kind {
                    return Err(Malformed("content of another kind than its field"));
                }
                uplink.restore_draft(cell, &draft)?;
                entry.drafts.push(draft);
            }
            if !entry.in_flight() {
                uplink.is_ready(cell);
            }
        }
        Ok(())
    }

    pub(super) fn send_drafts(&mut self, to: ReplicaId, out: &mut Outbox) {
        let Some(uplink) = &mut self.uplink else { return };
        let mut puts = Vec::new();
        let mut cargo = Cargo::default();
        let mut add = |serial, cell, entry: &Entry, draft: &Draft| {
            let Version { edit, deleted, content, story, .. } = &draft.version;
            story.load(puts.len(), *edit, &mut cargo.ids);
            cargo.elements += 1;
            cargo.content_bytes += content.bytes();
            puts.push(Put {
                serial,
                cell,
                context: entry.context(self.naming, draft),
                sequence: edit.sequence,
                deleted: *deleted,
                content: content.clone(),
            });
        };
        for (serial, cell) in uplink.again(self.transport) {
            let entry = &self.cells[&cell];
            let sent = entry.drafts.iter().find(|draft| draft.serial == Some(serial));
            let sent = sent.expect("what is on its way is kept");
            add(serial, cell, entry, sent);
        }
        for cell in uplink.take_ready() {
            let entry = self.cells.get_mut(&cell).expect("only cells that exist");
            for draft in &mut entry.drafts {
                uplink.number(cell, draft);
            }
            for draft in &entry.drafts {
                add(draft.serial.expect("just numbered"), cell, entry, draft);
            }
        }
        if puts.is_empty() {
            return;
        }
        out.work(puts.len() as u64);
        let bytes = Message::Puts { puts }.encode(self.naming);
        out.work_bytes(bytes.len());
        out.send(to, bytes, cargo);
    }

    /// Files what the users of another replica did.
    pub(super) fn coordinate(
        &mut self,
        from: ReplicaId,
        puts: Vec<Put>,
        cargo: &Cargo,
        out: &mut Outbox,
    ) -> Result<(), Malformed> {
        let known = self.peers.binary_search_by_key(&from, |peer| peer.id);
        let (Ok(at), None) = (known, &self.uplink) else {
            return Err(Malformed("puts for somebody who coordinates nothing"));
        };
        let Some(last) = puts.last().map(|put| put.serial) else {
            return Err(Malformed("no puts"));
        };
        for put in &puts {
            if put.content.kind() != self.kind(put.cell)? {
                return Err(Malformed("content of another kind than its field"));
            }
            let entry = self.cells.get(&put.cell);
            let here = entry.map_or(0, |entry| entry.object.vector.get(self.actor));
            if put.context.vector.get(self.actor) > here {
                return Err(Malformed("a context with events that were never made"));
            }
        }
        let yours: Vec<EditId> =
            puts.iter().map(|put| EditId { origin: from, sequence: put.sequence }).collect();
        let mut cells = BTreeSet::new();
        for (put, story) in unload_puts(puts, &cargo.ids) {
            let (cell, context, write, serial) = put.into_write(from, story);
            cells.insert(cell);
            self.cells.entry(cell).or_default();
            if self.peers[at].files(serial) {
                self.file(from, cell, &context, write, out);
                // The answer tells the author all there is to know of this cell, and he insists on one. (Of what comes again, he may have had
                // an earlier answer.)
                self.peers[at].knows(cell);
            }
        }
        let cells: Vec<Cell> = cells.into_iter().collect();
        let mut bytes = Writer::new();
        filed_head(last, &mut bytes);
        self.send_objects(from, &cells, &yours, bytes, out);
        Ok(())
    }

    fn file(
        &mut self,
        from: ReplicaId,
        cell: Cell,
        context: &Context,
        write: Write,
        out: &mut Outbox,
    ) {
        let told = self.all_told(cell);
        let entry = self.cells.entry(cell).or_default();
        out.work(1 + (entry.object.vector.len() + entry.object.versions.len()) as u64);
        // Only a coordinator that came back without its memory may have it already.
        if entry.object.made_by(write.edit).is_some() {
            return;
        }
        let shown = ids_of(&entry.visible());
        let gone = entry.object.put(self.naming, self.actor, context, write);
        if !told {
            entry.inherit(&shown, &gone);
        }
        self.report(cell, &shown, &gone, out);
        let others = self.peers.iter_mut().filter(|peer| peer.id != from);
        others.for_each(|peer| peer.owe(cell));
    }

    /// Fills in the contents that the coordinator left out: they are in the drafts, or in the object since an earlier answer, or do not
    /// matter since that version is known to be gone.
    pub(super) fn complete(
        &self,
        cells: &mut [(Cell, Object)],
        yours: &[EditId],
    ) -> Result<(), Malformed> {
        for (cell, object) in cells {
            let entry = self.cells.get(cell).ok_or(Malformed("an answer about another cell"))?;
            let kind = self.kind(*cell)?;
            let left_out = object.versions.iter_mut().filter(|v| yours.contains(&v.edit));
            for version in left_out {
                let drafts = entry.drafts.iter().map(|draft| &draft.version);
                let known = drafts.chain(&entry.object.versions).find(|v| v.edit == version.edit);
                version.content = match known {
                    Some(known) if known.deleted == version.deleted => known.content.clone(),
                    None if entry.object.vector.covers(version.dot) => kind.empty(),
                    _ => return Err(Malformed("an answer about somebody else's edit")),
                };
            }
        }
        Ok(())
    }

    /// The coordinator has filed this replica's drafts up to a serial number; this is what it made of them.
    pub(super) fn filed(
        &mut self,
        from: ReplicaId,
        serial: u64,
        cells: Vec<(Cell, Object)>,
        out: &mut Outbox,
    ) {
        let Some(uplink) = self.uplink.as_mut().filter(|uplink| uplink.coordinator == from) else {
            return;
        };
        let mut answered = uplink.filed(serial);
        for (cell, object) in cells {
            answered.remove(&cell);
            self.answered(cell, serial, object, out);
        }
        // Nobody leaves cells out of an answer but by mistake; what was shown of them is not taken away.
        for cell in answered {
            self.answered(cell, serial, Object::default(), out);
        }
    }

    fn answered(&mut self, cell: Cell, serial: u64, object: Object, out: &mut Outbox) {
        let entry = self.cells.get_mut(&cell).expect("an answer about a draft");
        out.work((object.versions.len() + entry.drafts.len() + 1) as u64);
        let shown = ids_of(&entry.visible());
        let joined = entry.join(self.naming, object);
        let mut gone = joined.dropped;
        gone.extend(entry.filed(serial));
        if !entry.drafts.is_empty()
            && !entry.in_flight()
            && let Some(uplink) = &mut self.uplink
        {
            uplink.is_ready(cell);
        }
        self.report(cell, &shown, &gone, out);
        self.settle(cell);
    }
}
