//! Which edit each dot stems from. For reports only: nothing that a replica shows, sends or decides depends on it, and nothing is
//! missing where the ids did not arrive.

use super::causal::{Agent, Dot};
use crate::contract::{CargoIds, Malformed};
use crate::document::EditId;
use crate::wire::{Reader, Writer};
use std::collections::BTreeMap;

/// Dots of one agent and the edits they stem from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stretch {
    first: u64,
    len: u64,
    id: EditId,
    /// Whether each dot stems from the next edit; otherwise all from one.
    stepping: bool,
}

impl Stretch {
    fn end(&self) -> u64 {
        self.first + self.len
    }

    fn last_id(&self) -> EditId {
        let steps = if self.stepping { self.len - 1 } else { 0 };
        EditId { sequence: self.id.sequence.wrapping_add(steps), ..self.id }
    }

    /// The part from a counter on, up to another; not empty.
    fn cut(&self, from: u64, end: u64) -> Stretch {
        let (from, end) = (from.max(self.first), end.min(self.end()));
        let steps = if self.stepping { from - self.first } else { 0 };
        let id = EditId { sequence: self.id.sequence.wrapping_add(steps), ..self.id };
        Stretch { first: from, len: end - from, id, stepping: self.stepping }
    }
}

/// The edits behind all dots seen, as far as their ids are known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attribution {
    /// Ascending and disjoint for each agent.
    stretches: BTreeMap<Agent, Vec<Stretch>>,
}

impl Attribution {
    /// The edit a dot stems from.
    pub fn of(&self, dot: Dot) -> Option<EditId> {
        let stretches = self.stretches.get(&dot.agent)?;
        let after = stretches.partition_point(|stretch| stretch.first <= dot.counter);
        let stretch = stretches[..after].last()?;
        (dot.counter < stretch.end()).then(|| stretch.cut(dot.counter, dot.counter + 1).id)
    }

    /// The first dot of an edit under one agent.
    pub fn find(&self, agent: Agent, id: EditId) -> Option<Dot> {
        let stretches = self.stretches.get(&agent)?;
        // Ids ascend with dots, in honest cargo.
        let after = stretches.partition_point(|stretch| stretch.id <= id);
        let mut at = after.checked_sub(1)?;
        while at > 0 && stretches[at - 1].last_id() == id {
            at -= 1;
        }
        let stretch = &stretches[at];
        let steps = id.sequence.wrapping_sub(stretch.id.sequence);
        let within = stretch.id.origin == id.origin
            && (steps == 0 || stretch.stepping && steps < stretch.len);
        within.then(|| Dot { agent, counter: stretch.first + steps })
    }

    /// The first dot of an edit under the latest life of its origin that knows it.
    pub fn find_any(&self, id: EditId) -> Option<Dot> {
        let [first, last] = [0, u32::MAX].map(|life| Agent::new(id.origin, life));
        let mut agents = self.stretches.range(first..=last).rev();
        agents.find_map(|(agent, _)| self.find(*agent, id))
    }

    /// The first dot of an edit under each life of its origin that knows it, where there are several lives.
    pub fn aliases(&self, id: EditId) -> Vec<Dot> {
        let [first, last] = [0, u32::MAX].map(|life| Agent::new(id.origin, life));
        let lives = self.stretches.range(first..=last);
        if lives.clone().count() < 2 {
            return Vec::new();
        }
        lives.filter_map(|(agent, _)| self.find(*agent, id)).collect()
    }

    /// Notes that `len` dots stem from one edit; true where that edit is new here, which it is not if the dots before stem from it too.
    pub fn note(&mut self, first: Dot, len: u64, id: EditId) -> bool {
        self.push(first.agent, Stretch { first: first.counter, len, id, stepping: false })
    }

    fn push(&mut self, agent: Agent, new: Stretch) -> bool {
        let stretches = self.stretches.entry(agent).or_default();
        let Some(last) = stretches.last_mut() else {
            stretches.push(new);
            return true;
        };
        if new.first < last.end() {
            return false;
        }
        let is_new = last.last_id() != new.id;
        let adjacent = new.first == last.end();
        let next = EditId { sequence: last.last_id().sequence.wrapping_add(1), ..last.id };
        if adjacent && !is_new && !last.stepping {
            last.len += new.len;
        } else if adjacent && new.id == next && new.len == 1 && (last.stepping || last.len == 1) {
            last.len += 1;
            last.stepping = true;
        } else {
            stretches.push(new);
        }
        is_new
    }

    /// Forgets the edits of an agent's dots behind a counter, and returns them.
    pub fn cut(&mut self, agent: Agent, counter: u64) -> Vec<EditId> {
        let Some(stretches) = self.stretches.get_mut(&agent) else { return Vec::new() };
        let from = stretches.partition_point(|stretch| stretch.end() <= counter + 1);
        let mut ids = Vec::new();
        for stretch in stretches.split_off(from) {
            if stretch.first <= counter {
                stretches.push(stretch.cut(stretch.first, counter + 1));
            }
            let gone = stretch.cut(counter + 1, stretch.end());
            let steps = if gone.stepping { gone.len } else { 1 };
            let id = |step| EditId { sequence: gone.id.sequence.wrapping_add(step), ..gone.id };
            ids.extend((0..steps).map(id));
        }
        ids.dedup();
        ids
    }

    /// Notes that `len` dots stem from one edit each, where that goes on as the dots before: all at once.
    fn step_on(&mut self, first: Dot, len: u64, id: EditId) -> bool {
        let last = self.stretches.get_mut(&first.agent).and_then(|stretches| stretches.last_mut());
        let Some(last) = last else { return false };
        let next = EditId { sequence: last.last_id().sequence.wrapping_add(1), ..last.id };
        let goes_on = last.end() == first.counter && next == id && (last.stepping || last.len == 1);
        if goes_on {
            last.len += len;
            last.stepping = true;
        }
        goes_on
    }

    /// The ids of `len` dots, as they ride along with a message in which the first of these dots is the `element`-th.
    pub fn ride(&self, first: Dot, len: u64, element: u64, ids: &mut Vec<CargoIds>) {
        let Some(stretches) = self.stretches.get(&first.agent) else { return };
        let end = first.counter + len;
        let from = stretches.partition_point(|stretch| stretch.end() <= first.counter);
        for stretch in stretches[from..].iter().take_while(|stretch| stretch.first < end) {
            let part = stretch.cut(first.counter, end);
            ids.push(CargoIds {
                element: (element + part.first - first.counter) as u32,
                first: part.id,
                count: if part.stepping { part.len } else { 1 },
            });
        }
    }

    /// Takes the ids of `len` dots from those that rode along with a message, where the first of these dots was the `element`-th. Dots
    /// up to `skip` are known already. Calls `arrived` for every edit that is new here.
    pub fn take(
        &mut self,
        first: Dot,
        (len, skip): (u64, u64),
        element: u64,
        ids: &[CargoIds],
        mut arrived: impl FnMut(EditId),
    ) {
        let start = ids.partition_point(|entry| u64::from(entry.element) < element);
        let own = &ids[start..];
        for (n, entry) in own.iter().enumerate() {
            let from = u64::from(entry.element);
            if from < element || from >= element + len {
                break;
            }
            let until = own.get(n + 1).map_or(element + len, |next| u64::from(next.element));
            let until = until.clamp(from, element + len).max(from + 1) - element;
            let from = from - element;
            if entry.count > 1 {
                let steps = (until - from).min(entry.count);
                let id = |step| {
                    let sequence = entry.first.sequence.wrapping_add(step);
                    EditId { sequence, ..entry.first }
                };
                let mut step = skip.saturating_sub(from);
                while step < steps {
                    if self.note(first.plus(from + step), 1, id(step)) {
                        arrived(id(step));
                    }
                    step += 1;
                    if step < steps && self.step_on(first.plus(from + step), steps - step, id(step))
                    {
                        (step..steps).for_each(|step| arrived(id(step)));
                        break;
                    }
                }
            } else if until > skip
                && (from >= skip || self.of(first.plus(skip - 1)) == Some(entry.first))
            {
                // Behind its last dot there may be some that stem from no edit, or from one of which nobody needs to be told any more.
                let from = from.max(skip);
                if self.note(first.plus(from), until - from, entry.first) {
                    arrived(entry.first);
                }
            }
        }
    }

    /// Writes it.
    pub fn write(&self, writer: &mut Writer) {
        writer.count(self.stretches.len());
        for (agent, stretches) in &self.stretches {
            agent.write(writer);
            writer.count(stretches.len());
            for stretch in stretches {
                writer.uint(stretch.first);
                writer.uint(stretch.len);
                writer.edit_id(stretch.id);
                writer.byte(u8::from(stretch.stepping));
            }
        }
    }

    /// Reads what [`Attribution::write`] wrote.
    ///
    /// # Errors
    /// [`Malformed`] where stretches are empty, overlap or are out of order.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut attribution = Attribution::default();
        for _ in 0..reader.count(2)? {
            let agent = Agent::read(reader)?;
            let mut stretches: Vec<Stretch> = Vec::new();
            for _ in 0..reader.count(5)? {
                let (first, len, id) = (reader.uint()?, reader.uint()?, reader.edit_id()?);
                let stepping = reader.byte()? == 1;
                let follows = stretches.last().is_none_or(|last| last.end() <= first);
                if !follows || len == 0 || first.checked_add(len).is_none() {
                    return Err(Malformed("ids of edits are not ascending"));
                }
                stretches.push(Stretch { first, len, id, stepping });
            }
            attribution.stretches.insert(agent, stretches);
        }
        Ok(attribution)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::ReplicaId;

    fn id(sequence: u64) -> EditId {
        EditId { origin: ReplicaId(1), sequence }
    }

    fn dot(counter: u64) -> Dot {
        Dot { agent: Agent::new(ReplicaId(1), 0), counter }
    }

    /// Single characters, a word of 4, a gap in the sequence.
    fn typed() -> Attribution {
        let mut typed = Attribution::default();
        for (first, len, sequence) in [(1, 1, 10), (2, 1, 11), (3, 1, 12), (4, 4, 13), (8, 1, 20)] {
            assert!(typed.note(dot(first), len, id(sequence)));
        }
        assert!(!typed.note(dot(9), 2, id(20)), "the same edit goes on");
        typed
    }

    #[test]
    fn every_dot_is_traced_to_its_edit() {
        let typed = typed();
        let ids: Vec<_> = (1..12).map(|n| typed.of(dot(n)).map(|id| id.sequence)).collect();
        let expected = [10, 11, 12, 13, 13, 13, 13, 20, 20, 20].map(Some);
        assert_eq!(ids[..10], expected);
        assert_eq!(ids[10], None);
        let mut writer = Writer::new();
        typed.write(&mut writer);
        assert_eq!(Attribution::read(&mut Reader::new(&writer.finish())), Ok(typed));
    }

    #[test]
    fn ids_ride_along_and_arrive_once_each() {
        let typed = typed();
        let mut ids = Vec::new();
        typed.ride(dot(2), 9, 100, &mut ids);
        assert_eq!(ids.len(), 3);
        let mut there = Attribution::default();
        let mut arrived = Vec::new();
        there.take(dot(2), (9, 0), 100, &ids, |id| arrived.push(id.sequence));
        assert_eq!(arrived, [11, 12, 13, 20]);
        assert!((2..11).all(|n| there.of(dot(n)) == typed.of(dot(n))));

        let mut there = Attribution::default();
        let mut arrived = Vec::new();
        there.take(dot(2), (3, 0), 100, &ids, |id| arrived.push(id.sequence));
        there.take(dot(2), (9, 3), 100, &ids, |id| arrived.push(id.sequence));
        assert_eq!(arrived, [11, 12, 13, 20], "a prefix that is known already is passed over");
    }

    #[test]
    fn an_edit_ends_where_dots_without_ids_follow_one_that_is_known() {
        let mut there = typed();
        let ids = [CargoIds { element: 3, first: id(13), count: 1 }];
        let mut arrived = Vec::new();
        // Dots 4 to 7 stem from it. What is known of 8 to 10 is not said again, and 11 stems from no edit.
        there.take(dot(1), (11, 10), 0, &ids, |id| arrived.push(id.sequence));
        assert_eq!((arrived, there.of(dot(11))), (vec![], None));
    }

    #[test]
    fn what_is_cut_off_can_come_again() {
        let mut cut = typed();
        let gone = cut.cut(dot(1).agent, 5);
        assert_eq!(gone.iter().map(|id| id.sequence).collect::<Vec<_>>(), [13, 20]);
        assert_eq!((cut.of(dot(5)), cut.of(dot(6))), (Some(id(13)), None));
        assert!(!cut.note(dot(6), 2, id(13)), "the same edit goes on");
        assert!(cut.note(dot(8), 3, id(20)));
        assert!((1..12).all(|n| cut.of(dot(n)) == typed().of(dot(n))));
        assert_eq!(cut.cut(dot(1).agent, 2).len(), 3);
        assert_eq!(cut.cut(dot(1).agent, 2), []);
    }

    #[test]
    fn scrambled_ids_do_no_harm() {
        let entry = |element, first, count| CargoIds { element, first: id(first), count };
        for ids in [
            vec![entry(u32::MAX, 1, u64::MAX), entry(0, u64::MAX, u64::MAX), entry(3, 5, 0)],
            vec![entry(0, u64::MAX, 9), entry(0, 3, 1), entry(2, 1, 7), entry(1, 1, 7)],
            vec![],
        ] {
            let mut there = typed();
            there.take(dot(11), (6, 2), 0, &ids, |_| {});
            assert_eq!(there.of(dot(1)), Some(id(10)));
        }
    }
}
