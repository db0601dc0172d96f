//! Which edits stand behind the items: for reports only. Nothing that a replica shows, sends or owes depends on it.
//!
//! The items of an edit are known by [`Attribution`]. Edits that make none (deletions, removals) have no name in Yjs; their ids are told in the
//! order in which they were learnt, and those that emptied a register or counter with the items that they deleted.
//!
//! Ids ride in cargo by number: the items of the message's blocks first, then the items that it deletes, in the order of the
//! bytes; beyond them the ids of all edits that the message brings.

use super::document::Hidden;
use super::update::{Client, Id, Update};
use crate::contract::{CargoIds, Change, Malformed, Outbox};
use crate::crdt::attribution::Attribution;
use crate::crdt::causal::{Agent, Dot};
use crate::document::{Cell, EditId};
use crate::lineage::Lineage;
use crate::wire::{Reader, Writer};
use std::collections::BTreeMap;

/// What is known of edits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Story {
    makers: Attribution,
    /// Who deleted items of registers and counters, where it was no newer value.
    killers: BTreeMap<Id, EditId>,
    /// Who emptied a register or counter last.
    emptied: BTreeMap<Cell, EditId>,
    known: Lineage,
    /// The same in the order in which they came.
    order: Vec<EditId>,
}

fn dot(client: Client, clock: u32) -> Dot {
    Dot { agent: Agent::from_bits(client), counter: u64::from(clock) + 1 }
}

fn report(edit: EditId, by: EditId, out: &mut Outbox) {
    if edit != by {
        out.change(Change::Replaced { edit, by });
    }
}

/// Items in the blocks of an update.
fn made(update: &Update) -> u64 {
    update.spans().map(|(_, start, end)| u64::from(end - start)).sum()
}

impl Story {
    /// How many edits are known.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Notes who made items.
    pub fn note(&mut self, client: Client, (start, end): (u32, u32), id: EditId) {
        if end > start {
            self.makers.note(dot(client, start), u64::from(end - start), id);
        }
    }

    /// An edit was made here: reports what it hides.
    pub fn edited(&mut self, id: EditId, hidden: &[Hidden], out: &mut Outbox) {
        self.learn(id);
        for gone in hidden {
            if gone.by.is_none() {
                let items = gone.first.clock..gone.end;
                self.killers.extend(items.map(|clock| (Id { clock, ..gone.first }, id)));
                self.emptied.insert(gone.cell, id);
            }
            for (_, edit) in self.makers_of(gone) {
                report(edit, id, out);
            }
        }
    }

    fn learn(&mut self, id: EditId) -> bool {
        let is_new = self.known.insert(id);
        if is_new {
            self.order.push(id);
        }
        is_new
    }

    /// The edits behind items, with the first item of each.
    fn makers_of(&self, gone: &Hidden) -> Vec<(Id, EditId)> {
        let mut ids = Vec::new();
        let Hidden { first, end, .. } = *gone;
        self.makers.ride(dot(first.client, first.clock), u64::from(end - first.clock), 0, &mut ids);
        let each = |ids: CargoIds| {
            (0..ids.count).map(move |step| {
                let clock = first.clock + ids.element + step as u32;
                let sequence = ids.first.sequence.wrapping_add(step);
                (Id { clock, ..first }, EditId { sequence, ..ids.first })
            })
        };
        ids.into_iter().flat_map(each).collect()
    }

    /// The ids that ride with an update, and with them all those learnt since there were `told`.
    pub fn ride(&self, update: &Update, told: usize) -> Vec<CargoIds> {
        let mut ids = Vec::new();
        let mut element = 0;
        for (client, start, end) in update.spans() {
            let len = u64::from(end - start);
            self.makers.ride(dot(client, start), len, element, &mut ids);
            element += len;
        }
        for (client, start, end) in update.deleted.iter() {
            let [first, last] = [start, end].map(|clock| Id { client, clock });
            ids.extend(self.killers.range(first..last).map(|(item, id)| CargoIds {
                element: (element + u64::from(item.clock - start)) as u32,
                first: *id,
                count: 1,
            }));
            element += u64::from(end - start);
        }
        for id in self.order.get(told..).unwrap_or_default() {
            match ids.last_mut() {
                Some(last)
                    if u64::from(last.element) == element
                        && last.first.origin == id.origin
                        && last.first.sequence + last.count == id.sequence =>
                {
                    last.count += 1;
                }
                _ => ids.push(CargoIds { element: element as u32, first: *id, count: 1 }),
            }
        }
        ids
    }

    /// An update was taken in, where `known` says how far each client was known before: reports what came and what it hides.
    pub fn received(
        &mut self,
        update: &Update,
        known: impl Fn(Client) -> u32,
        ids: &[CargoIds],
        hidden: &[Hidden],
        out: &mut Outbox,
    ) {
        let mut element = 0;
        for (client, start, end) in update.spans() {
            let (len, skip) = (end - start, known(client).saturating_sub(start));
            let range = (u64::from(len), u64::from(skip));
            self.makers.take(dot(client, start), range, element, ids, |_| {});
            element += u64::from(len);
        }
        self.take_killers(update, ids);
        let all = made(update)
            + update.deleted.iter().map(|(_, start, end)| u64::from(end - start)).sum::<u64>();
        for entry in ids.iter().filter(|entry| u64::from(entry.element) >= all) {
            for step in 0..entry.count {
                let Some(sequence) = entry.first.sequence.checked_add(step) else { break };
                let edit = EditId { sequence, ..entry.first };
                if self.learn(edit) {
                    out.change(Change::Applied { edit });
                }
            }
        }
        // One item of a register may have been deleted knowingly, and others with it because they came before it.
        for gone in hidden.iter().filter(|gone| gone.by.is_none()) {
            let behind = Id { clock: gone.end, ..gone.first };
            if let Some((_, killer)) = self.killers.range(gone.first..behind).next_back() {
                self.emptied.insert(gone.cell, *killer);
            }
        }
        for gone in hidden {
            for (item, edit) in self.makers_of(gone) {
                let by = match gone.by {
                    Some(by) => self.makers.of(dot(by.client, by.clock)),
                    None => self.killers.get(&item).or(self.emptied.get(&gone.cell)).copied(),
                };
                if let Some(by) = by {
                    report(edit, by, out);
                }
            }
        }
    }

    fn take_killers(&mut self, update: &Update, ids: &[CargoIds]) {
        let mut element = made(update);
        for (client, start, end) in update.deleted.iter() {
            let until = element + u64::from(end - start);
            let from = ids.partition_point(|entry| u64::from(entry.element) < element);
            let own = ids[from..].iter().take_while(|entry| u64::from(entry.element) < until);
            for entry in own.filter(|entry| u64::from(entry.element) >= element) {
                let clock = start + (u64::from(entry.element) - element) as u32;
                self.killers.entry(Id { client, clock }).or_insert(entry.first);
            }
            element = until;
        }
    }

    /// Writes it.
    pub fn write(&self, writer: &mut Writer) {
        self.makers.write(writer);
        writer.count(self.killers.len());
        for (item, id) in &self.killers {
            writer.uint(item.client);
            writer.uint(u64::from(item.clock));
            writer.edit_id(*id);
        }
        writer.count(self.emptied.len());
        for (cell, id) in &self.emptied {
            writer.cell(*cell);
            writer.edit_id(*id);
        }
        writer.count(self.order.len());
        self.order.iter().for_each(|id| writer.edit_id(*id));
    }

    /// Reads what [`Story::write`] wrote.
    ///
    /// # Errors
    /// [`Malformed`] where it makes no sense.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut story = Story { makers: Attribution::read(reader)?, ..Story::default() };
        for _ in 0..reader.count(4)? {
            let item = Id { client: reader.uint()?, clock: reader.uint32()? };
            story.killers.insert(item, reader.edit_id()?);
        }
        for _ in 0..reader.count(4)? {
            story.emptied.insert(reader.cell()?, reader.edit_id()?);
        }
        for _ in 0..reader.count(2)? {
            story.learn(reader.edit_id()?);
        }
        Ok(story)
    }
}
