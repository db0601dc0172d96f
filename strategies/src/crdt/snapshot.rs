//! A replica as bytes: its document, as peers that are too far behind get it, and everything else that survives a restart.

use super::attribution::Attribution;
use super::causal::{Agent, Dot, Version};
use super::cells::{Cells, State};
use super::codec::{Dots, Piece, read_deltas, write_deltas};
use super::counter::{Counter, Share, Tally};
use super::log::Log;
use super::register::Register;
use super::replica::{DeltaReplica, Peer};
use super::sequence::{Sequence, TextOrder};
use super::set::Set;
use crate::contract::{Malformed, Seat};
use crate::document::{Cell, FieldKind, ReplicaId, Schema};
use crate::wire::{Reader, Writer};
use std::collections::{BTreeMap, BTreeSet};

/// Appends a replica.
pub fn save(replica: &DeltaReplica, out: &mut Vec<u8>) {
    let mut writer = Writer::after(std::mem::take(out));
    writer.uint(u64::from(replica.agent.incarnation()));
    writer.uint(replica.have.get(Agent::GENESIS));
    replica.have.write(&mut writer);
    write_cells(&mut writer, &replica.have, &replica.cells);
    writer.uint(replica.log.start());
    replica.log.dropped().write(&mut writer);
    let pieces: Vec<Piece<'_>> = replica.log.deltas().map(|delta| (delta, 0)).collect();
    let mut log = Writer::new();
    write_deltas(&mut log, &pieces);
    writer.blob(&log.finish());
    writer.count(replica.peers.len());
    for peer in &replica.peers {
        writer.replica(peer.id);
        peer.acked.write(&mut writer);
        peer.sent.write(&mut writer);
        writer.uint(peer.cursor);
        let flags = [peer.greeted, peer.met, peer.misled, peer.offered];
        writer.byte((0..).zip(flags).map(|(bit, flag)| u8::from(flag) << bit).sum());
    }
    replica.ids.write(&mut writer);
    *out = writer.finish();
}

/// Reads what [`save`] wrote, in the same seat.
///
/// # Errors
/// [`Malformed`] where it makes no sense.
pub fn restore(
    seat: &Seat<'_>,
    text_order: TextOrder,
    saved: &[u8],
) -> Result<DeltaReplica, Malformed> {
    let mut reader = Reader::new(saved);
    let lost_memory = u64::from(seat.incarnation) != reader.uint()?;
    let genesis = reader.uint()?;
    let mut have = Version::read(&mut reader)?;
    have.raise(Agent::GENESIS, genesis);
    let cells = read_cells(&mut reader, &have, seat.schema, text_order)?;
    let start = reader.uint()?;
    let dropped = Version::read(&mut reader)?;
    let deltas = read_deltas(&mut Reader::new(reader.blob()?))?;
    let known = |delta: &super::op::Delta| {
        have.covers(delta.last()) && delta.is_ready(&have) && delta.fits(seat.schema, text_order)
    };
    if !deltas.iter().all(known) || start.checked_add(deltas.len() as u64).is_none() {
        return Err(Malformed("the log holds changes that the document lacks"));
    }
    let log = Log::resume(start, dropped, deltas);
    let mut peers = Vec::new();
    for _ in 0..reader.count(5)? {
        let peer = Peer {
            id: reader.replica()?,
            acked: Version::read(&mut reader)?,
            sent: Version::read(&mut reader)?,
            cursor: reader.uint()?,
            greeted: false,
            met: false,
            misled: false,
            offered: false,
        };
        let flags = reader.byte()?;
        if peer.cursor < log.start() || peer.cursor > log.end() || flags > 15 {
            return Err(Malformed("a peer's position is out of range"));
        }
        let misled = lost_memory || flags & 4 != 0;
        let (greeted, met, offered) = (flags & 1 != 0, flags & 2 != 0, flags & 8 != 0);
        peers.push(Peer { greeted, met, misled, offered, ..peer });
    }
    let mut expected: Vec<ReplicaId> = seat.peers.to_vec();
    expected.sort_unstable();
    if !peers.iter().map(|peer| peer.id).eq(expected) {
        return Err(Malformed("the peers are those of another seat"));
    }
    let ids = Attribution::read(&mut reader)?;
    reader.end()?;
    Ok(DeltaReplica {
        agent: Agent::new(seat.replica, seat.incarnation),
        schema: seat.schema.clone(),
        transport: seat.transport,
        is_star: seat.authority.is_some(),
        have,
        cells,
        log,
        peers,
        ids,
    })
}

/// Appends the document of a replica that has `have`.
pub fn write_cells(writer: &mut Writer, have: &Version, cells: &Cells) {
    let mut dots = Dots::of(have.agents());
    writer.count(cells.states().len());
    for (cell, state) in cells.states() {
        writer.cell(*cell);
        match state {
            State::Register(register) => {
                writer.count(register.values().len());
                for (dot, value) in register.values() {
                    dots.write(writer, *dot);
                    writer.str(value.as_str());
                }
            }
            State::Counter(counter) => {
                writer.count(counter.shares().len());
                for (agent, share) in counter.shares() {
                    for tally in [share.added, share.reset] {
                        dots.write(writer, Dot { agent: *agent, counter: tally.through });
                        writer.int(tally.sum);
                    }
                }
                writer.count(counter.standing().len());
                counter.standing().iter().for_each(|dot| dots.write(writer, *dot));
            }
            State::Set(set) => {
                writer.count(set.insertions().len());
                for (dot, element) in set.insertions() {
                    dots.write(writer, *dot);
                    writer.str(element.as_str());
                }
            }
            State::Text(text) => text.write(writer, &have.agents()),
        }
    }
}

/// Reads what [`write_cells`] wrote.
///
/// # Errors
/// [`Malformed`] where it makes no sense, or names a dot that `have` does not cover.
pub fn read_cells(
    reader: &mut Reader<'_>,
    have: &Version,
    schema: &Schema,
    text_order: TextOrder,
) -> Result<Cells, Malformed> {
    let mut all = CellReader { have, dots: Dots::of(have.agents()) };
    let mut states: BTreeMap<Cell, State> = BTreeMap::new();
    for _ in 0..reader.count(3)? {
        let cell = reader.cell()?;
        if states.last_key_value().is_some_and(|(last, _)| *last >= cell) {
            return Err(Malformed("cells are not ascending"));
        }
        let state = match schema.kind(cell.field).ok_or(Malformed("no such field"))? {
            FieldKind::Register => State::Register(all.register(reader)?),
            FieldKind::Counter => State::Counter(all.counter(reader)?),
            FieldKind::Set => State::Set(all.set(reader)?),
            FieldKind::Text => State::Text(Sequence::read(reader, text_order, have)?),
        };
        states.insert(cell, state);
    }
    Ok(Cells::from_states(text_order, states))
}

struct CellReader<'a> {
    have: &'a Version,
    dots: Dots,
}

impl CellReader<'_> {
    fn dot(&mut self, reader: &mut Reader<'_>) -> Result<Dot, Malformed> {
        let dot = self.dots.read(reader)?;
        if self.have.covers(dot) { Ok(dot) } else { Err(Malformed("a dot nobody has made")) }
    }

    fn some_dot(&mut self, reader: &mut Reader<'_>) -> Result<Dot, Malformed> {
        let dot = self.dot(reader)?;
        if dot.is_none() { Err(Malformed("a dot is missing")) } else { Ok(dot) }
    }

    fn register(&mut self, reader: &mut Reader<'_>) -> Result<Register, Malformed> {
        let mut values = Vec::new();
        for _ in 0..reader.count(2)? {
            values.push((self.some_dot(reader)?, reader.value()?));
        }
        Ok(Register::from_values(values))
    }

    fn counter(&mut self, reader: &mut Reader<'_>) -> Result<Counter, Malformed> {
        let mut shares = BTreeMap::new();
        for _ in 0..reader.count(4)? {
            let mut agent = None;
            let mut tally = || {
                let dot = self.dot(reader)?;
                agent = agent.or((!dot.is_none()).then_some(dot.agent));
                let same = dot.is_none() || agent == Some(dot.agent);
                let tally = Tally { through: dot.counter, sum: reader.int()? };
                if same { Ok(tally) } else { Err(Malformed("a share of two agents")) }
            };
            let share = Share { added: tally()?, reset: tally()? };
            shares.insert(agent.ok_or(Malformed("a share of nobody"))?, share);
        }
        let mut standing = BTreeSet::new();
        for _ in 0..reader.count(1)? {
            standing.insert(self.some_dot(reader)?);
        }
        Ok(Counter::from_parts(shares, standing))
    }

    fn set(&mut self, reader: &mut Reader<'_>) -> Result<Set, Malformed> {
        let mut set = Set::default();
        for _ in 0..reader.count(2)? {
            let dot = self.some_dot(reader)?;
            if set.insertions().contains_key(&dot) {
                return Err(Malformed("an insertion twice"));
            }
            set.insert(dot, reader.value()?, &[]);
        }
        Ok(set)
    }
}
