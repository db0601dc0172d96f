//! What members say that they have, as part of the lattice: of each agent the last that it said.

use crate::contract::Malformed;
use crate::crdt::causal::{Agent, COUNTER_MAX, Dot, Version};
use crate::document::ReplicaId;
use crate::wire::{Reader, Writer};
use std::collections::BTreeMap;

/// What an agent said under one of its dots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// That dot's counter. Whoever hears it has all that the agent made before.
    pub counter: u64,
    /// All that it had.
    pub has: Version,
    /// Who it takes to be gone, in order.
    pub gone: Vec<ReplicaId>,
}

/// The last that each agent said.
pub type Rows = BTreeMap<Agent, Row>;

/// Takes in what an agent said, unless it has said something since.
pub fn say(rows: &mut Rows, agent: Agent, row: &Row) {
    if rows.get(&agent).is_none_or(|own| own.counter < row.counter) {
        rows.insert(agent, row.clone());
    }
}

/// Bytes that rows take in memory, about.
pub fn memory_bytes(rows: &Rows) -> u64 {
    let row = |row: &Row| row.has.memory_bytes() + size_of_val(&row.gone[..]) as u64;
    rows.values().map(row).sum::<u64>() + (rows.len() * size_of::<(Agent, Row)>()) as u64
}

/// Appends rows.
pub fn write_rows(writer: &mut Writer, rows: &Rows) {
    writer.count(rows.len());
    for (agent, row) in rows {
        agent.write(writer);
        writer.uint(row.counter);
        row.has.write(writer);
        writer.count(row.gone.len());
        row.gone.iter().for_each(|gone| writer.replica(*gone));
    }
}

/// Reads what [`write_rows`] wrote.
///
/// # Errors
/// [`Malformed`] where it makes no sense whoever reads it.
pub fn read_rows(reader: &mut Reader<'_>) -> Result<Rows, Malformed> {
    let mut rows = Rows::new();
    for _ in 0..reader.count(4)? {
        let (agent, counter) = (Agent::read(reader)?, reader.uint()?);
        if rows.last_key_value().is_some_and(|(last, _)| *last >= agent) {
            return Err(Malformed("those who say something are not ascending"));
        }
        let has = Version::read(reader)?;
        let most = has.iter().map(|(_, counter)| counter).max().unwrap_or(0);
        if counter == 0 || counter.max(most) > COUNTER_MAX {
            return Err(Malformed("counter out of range"));
        }
        let mut gone: Vec<ReplicaId> = Vec::new();
        for _ in 0..reader.count(1)? {
            let replica = reader.replica()?;
            if gone.last().is_some_and(|last| *last >= replica) {
                return Err(Malformed("those who are gone are not ascending"));
            }
            gone.push(replica);
        }
        rows.insert(agent, Row { counter, has, gone });
    }
    Ok(rows)
}

/// Checks that rows name nothing but what is known.
///
/// # Errors
/// [`Malformed`] where not.
pub fn check_rows(rows: &Rows, known: impl Fn(Dot) -> bool) -> Result<(), Malformed> {
    let is_known = rows.iter().all(|(agent, row)| {
        let said = Dot { agent: *agent, counter: row.counter };
        known(said) && row.has.iter().all(|(agent, counter)| known(Dot { agent, counter }))
    });
    if is_known { Ok(()) } else { Err(Malformed("somebody has what nobody has made")) }
}
