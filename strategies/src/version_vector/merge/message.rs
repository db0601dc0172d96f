//! What replicas say to each other.

use super::history::{History, Name, NewNode, Node, Root};
use super::step::Step;
use super::three_way::State;
use crate::contract::{Cargo, CargoIds, Malformed};
use crate::document::{Cell, Content, EditId, FieldId, RecordId, ReplicaId};
use crate::lineage::Lineage;
use crate::version_vector::vector::{Actor, Dot, Vector};
use crate::wire::{Reader, Writer};
use std::collections::BTreeMap;
use std::sync::Arc;

const UPDATE: u8 = 0;
const ACK: u8 = 1;
const ASK: u8 = 2;
const HEARD: u8 = 3;
const UPDATE_OF_LIVES: u8 = 4;

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Cells that changed, by ascending cell. To be answered with an [`Message::Ack`] of the same number.
    /// Who is said to have an edit has it in the life that `lives` names, by ascending replica; in his first one where it names none.
    Update { batch: u64, lives: Vec<(ReplicaId, u32)>, cells: Vec<(Cell, Part)> },
    /// All batches up to this one have been taken in (over datagrams: this one, which holds all that earlier ones did), and of their
    /// cells the sender has nothing that the receiver lacks; but for these, by ascending cell.
    Ack { batch: u64, remarks: Vec<(Cell, Remark)> },
    /// The sender came back without its memory: everything is owed to it anew. To be answered with [`Message::Heard`].
    Ask { incarnation: u32 },
    /// The question was understood.
    Heard { incarnation: u32 },
}

/// What somebody has of a cell, as far as the receiver is believed to lack it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The sender's root.
    pub root: Dot,
    /// All of it, for somebody who may not have it.
    pub full: Option<Full>,
    /// Edits since, each after those it follows.
    pub nodes: Vec<NewNode>,
}

/// A root in full; the edits it stands on ride in cargo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Full {
    pub events: u64,
    pub edit: EditId,
    pub vector: Vector,
    pub content: Content,
}

/// What is to be said of one cell of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remark {
    /// Where the sender has edits that the receiver of this may lack: the ones that nothing follows.
    pub heads: Vec<Dot>,
    /// What came could not be placed: the root is needed in full.
    pub needs_root: bool,
    /// The sender's root, where it is another one.
    pub root: Option<Dot>,
}

const HAS_MORE: u8 = 1;
const NEEDS_ROOT: u8 = 2;
const ROOT: u8 = 4;

impl Message {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        match self {
            Message::Update { batch, lives, cells } => {
                out.byte(if lives.is_empty() { UPDATE } else { UPDATE_OF_LIVES });
                out.uint(*batch);
                if !lives.is_empty() {
                    encode_lives(lives, &mut out);
                }
                out.count(cells.len());
                let mut last = 0;
                for (cell, part) in cells {
                    encode_cell(*cell, &mut last, &mut out);
                    encode_part(part, &mut out);
                }
            }
            Message::Ack { batch, remarks } => {
                out.byte(ACK);
                out.uint(*batch);
                out.count(remarks.len());
                let mut last = 0;
                for (cell, remark) in remarks {
                    encode_cell(*cell, &mut last, &mut out);
                    let flags = [
                        (!remark.heads.is_empty(), HAS_MORE),
                        (remark.needs_root, NEEDS_ROOT),
                        (remark.root.is_some(), ROOT),
                    ];
                    out.byte(flags.iter().filter(|(on, _)| *on).map(|(_, flag)| flag).sum());
                    if !remark.heads.is_empty() {
                        out.count(remark.heads.len());
                        remark.heads.iter().for_each(|head| encode_dot(*head, &mut out));
                    }
                    remark.root.iter().for_each(|root| encode_dot(*root, &mut out));
                }
            }
            Message::Ask { incarnation } => {
                out.byte(ASK);
                out.uint(u64::from(*incarnation));
            }
            Message::Heard { incarnation } => {
                out.byte(HEARD);
                out.uint(u64::from(*incarnation));
            }
        }
        out.finish()
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut bytes = Reader::new(bytes);
        let message = match bytes.byte()? {
            kind @ (UPDATE | UPDATE_OF_LIVES) => {
                let batch = bytes.uint()?;
                let lives = if kind == UPDATE { Vec::new() } else { decode_lives(&mut bytes)? };
                if lives.is_empty() != (kind == UPDATE) {
                    return Err(Malformed("lives announced, yet none"));
                }
                // Two bytes of cell, a root, whether it is in full, a number of edits.
                let cells = decode_cells(&mut bytes, 5, decode_part)?;
                Message::Update { batch, lives, cells }
            }
            ACK => {
                let batch = bytes.uint()?;
                Message::Ack { batch, remarks: decode_cells(&mut bytes, 3, decode_remark)? }
            }
            ASK => Message::Ask { incarnation: bytes.uint32()? },
            HEARD => Message::Heard { incarnation: bytes.uint32()? },
            _ => return Err(Malformed("unknown kind of message")),
        };
        bytes.end()?;
        Ok(message)
    }
}

/// Writes how often each replica came back without its memory, as far as it ever did.
pub fn encode_lives(lives: &[(ReplicaId, u32)], out: &mut Writer) {
    out.count(lives.len());
    for (replica, life) in lives {
        out.replica(*replica);
        out.uint(u64::from(*life));
    }
}

pub fn decode_lives(bytes: &mut Reader<'_>) -> Result<Vec<(ReplicaId, u32)>, Malformed> {
    let mut lives: Vec<(ReplicaId, u32)> = Vec::new();
    for _ in 0..bytes.count(2)? {
        let (replica, life) = (bytes.replica()?, bytes.uint32()?);
        if life == 0 || lives.last().is_some_and(|(last, _)| *last >= replica) {
            return Err(Malformed("lives that are none, or not ascending"));
        }
        lives.push((replica, life));
    }
    Ok(lives)
}

fn encode_cell(cell: Cell, last: &mut u32, out: &mut Writer) {
    out.uint(u64::from(cell.record.0 - *last));
    *last = cell.record.0;
    out.uint(u64::from(cell.field.0));
}

/// Reads cells in ascending order, each with what belongs to it, and at least so many bytes long together.
fn decode_cells<T>(
    bytes: &mut Reader<'_>,
    least_bytes: usize,
    mut what: impl FnMut(&mut Reader<'_>) -> Result<T, Malformed>,
) -> Result<Vec<(Cell, T)>, Malformed> {
    let count = bytes.count(least_bytes)?;
    let mut cells: Vec<(Cell, T)> = Vec::with_capacity(count);
    for _ in 0..count {
        let last = cells.last().map(|(cell, _)| *cell);
        let record = last.map_or(0, |last| last.record.0).checked_add(bytes.uint32()?);
        let record = RecordId(record.ok_or(Malformed("record number out of range"))?);
        let field = u16::try_from(bytes.uint()?);
        let field = FieldId(field.map_err(|_| Malformed("field number out of range"))?);
        let cell = Cell { record, field };
        if last.is_some_and(|last| last >= cell) {
            return Err(Malformed("cells are not ascending"));
        }
        cells.push((cell, what(bytes)?));
    }
    Ok(cells)
}

fn decode_remark(bytes: &mut Reader<'_>) -> Result<Remark, Malformed> {
    let flags = bytes.byte()?;
    if flags == 0 || flags > HAS_MORE + NEEDS_ROOT + ROOT {
        return Err(Malformed("unknown remark"));
    }
    let mut heads: Vec<Dot> = Vec::new();
    if flags & HAS_MORE != 0 {
        for _ in 0..bytes.count(1)? {
            let head = decode_dot(bytes)?;
            if heads.last().is_some_and(|last| *last >= head) {
                return Err(Malformed("heads are not ascending"));
            }
            heads.push(head);
        }
        if heads.is_empty() {
            return Err(Malformed("more, yet nothing"));
        }
    }
    let root = if flags & ROOT != 0 { Some(decode_dot(bytes)?) } else { None };
    Ok(Remark { heads, needs_root: flags & NEEDS_ROOT != 0, root })
}

/// An actor, with a flag for lives after the first, and a counter. The genesis is written as 0.
pub fn encode_dot(dot: Dot, out: &mut Writer) {
    if dot.actor == Actor::GENESIS {
        return out.uint(0);
    }
    let again = dot.actor.incarnation > 0;
    out.uint((u64::from(dot.actor.replica.0) + 1) << 1 | u64::from(again));
    if again {
        out.uint(u64::from(dot.actor.incarnation));
    }
    out.uint(dot.counter);
}

pub fn decode_dot(bytes: &mut Reader<'_>) -> Result<Dot, Malformed> {
    let head = bytes.uint()?;
    if head == 0 {
        return Ok(Dot::GENESIS);
    }
    let replica = (head >> 1).checked_sub(1).and_then(|replica| u32::try_from(replica).ok());
    let replica = ReplicaId(replica.ok_or(Malformed("no such replica"))?);
    let incarnation = if head & 1 == 1 { bytes.uint32()? } else { 0 };
    let counter = bytes.uint()?;
    if replica == ReplicaId::GENESIS || head & 1 == 1 && incarnation == 0 {
        return Err(Malformed("no such actor"));
    }
    if counter == 0 || counter > 1 << 48 {
        return Err(Malformed("counter out of range"));
    }
    Ok(Dot { actor: Actor { replica, incarnation }, counter })
}

fn encode_part(part: &Part, out: &mut Writer) {
    encode_dot(part.root, out);
    out.byte(u8::from(part.full.is_some()));
    if let Some(Full { events, edit, vector, content }) = &part.full {
        out.uint(*events);
        out.edit_id(*edit);
        vector.encode(out);
        out.content(content);
    }
    encode_nodes(part.root, &part.nodes, out);
}

fn decode_part(bytes: &mut Reader<'_>) -> Result<Part, Malformed> {
    let root = decode_dot(bytes)?;
    let full = match bytes.byte()? {
        0 => None,
        1 => {
            let (events, edit) = (bytes.uint()?, bytes.edit_id()?);
            let (vector, content) = (Vector::decode(bytes)?, bytes.content()?);
            if !vector.covers(root) || (events == 0) != (root == Dot::GENESIS) {
                return Err(Malformed("a root outside of its vector"));
            }
            Some(Full { events, edit, vector, content })
        }
        _ => return Err(Malformed("neither in full nor not")),
    };
    Ok(Part { root, full, nodes: decode_nodes(root, bytes)? })
}

/// Some of its dots before it name what it was before later edits went into it.
const GROWN: u8 = 1 << 4;
/// The edit is somebody else's: what an older root said, kept beside a later one.
const FOREIGN: u8 = 1 << 5;
/// Some of its dots before it stand for nothing.
const SKIPS: u8 = 1 << 6;
/// It follows the one before it (the root, if it is the first) and nothing else.
const STRAIGHT: u8 = 1 << 7;

pub fn encode_nodes(root: Dot, nodes: &[NewNode], out: &mut Writer) {
    out.count(nodes.len());
    let mut places = BTreeMap::from([(root, 0)]);
    let mut before = root;
    for (n, node) in nodes.iter().enumerate() {
        encode_dot(node.dot, out);
        let straight = node.parents == [before];
        let foreign = node.name.edit.origin != node.dot.actor.replica;
        let (grown, skips) = (node.grown > 0, node.skips > 0);
        let flags = [(grown, GROWN), (foreign, FOREIGN), (skips, SKIPS), (straight, STRAIGHT)];
        let flags = flags.iter().filter(|(on, _)| *on).map(|(_, flag)| flag).sum();
        out.byte(flags);
        if skips {
            out.uint(node.skips);
        }
        if grown {
            out.uint(node.grown);
        }
        if !straight {
            out.count(node.parents.len());
            for parent in &node.parents {
                // The root is 0 and the n-th edit before this one n; 1 more than there are stands for one that is not here.
                match places.get(parent) {
                    Some(place) => out.count(*place),
                    None => {
                        out.count(n + 1);
                        encode_dot(*parent, out);
                    }
                }
            }
        }
        if foreign {
            out.replica(node.name.edit.origin);
        }
        out.uint(node.name.edit.sequence);
        // Its author has it, and so has the sender.
        out.count(node.holders.len());
        node.holders.iter().for_each(|holder| out.replica(*holder));
        node.step.encode(out);
        places.insert(node.dot, n + 1);
        before = node.dot;
    }
}

pub fn decode_nodes(root: Dot, bytes: &mut Reader<'_>) -> Result<Vec<NewNode>, Malformed> {
    // Two bytes of dot, flags, edit, number of holders, step.
    let count = bytes.count(6)?;
    let mut nodes: Vec<NewNode> = Vec::new();
    let mut places = BTreeMap::from([(root, 0)]);
    for n in 0..count {
        let dot = decode_dot(bytes)?;
        if dot == Dot::GENESIS || places.insert(dot, n + 1).is_some() {
            return Err(Malformed("an edit by nobody, or twice"));
        }
        let flags = bytes.byte()?;
        if flags & !(GROWN | FOREIGN | SKIPS | STRAIGHT) != 0 {
            return Err(Malformed("unknown flag of an edit"));
        }
        let skips = if flags & SKIPS != 0 { bytes.uint()? } else { 0 };
        if skips >= dot.counter || (skips == 0) != (flags & SKIPS == 0) {
            return Err(Malformed("more dots left out than there were"));
        }
        let grown = if flags & GROWN != 0 { bytes.uint()? } else { 0 };
        if grown >= dot.counter - skips || (grown == 0) != (flags & GROWN == 0) {
            return Err(Malformed("grown from more dots than there were"));
        }
        let before = nodes.last().map_or(root, |node| node.dot);
        let parents = if flags & STRAIGHT != 0 {
            vec![before]
        } else {
            let parents = decode_parents(root, &nodes, &places, bytes)?;
            if parents == [before] {
                return Err(Malformed("straight, yet not said so"));
            }
            parents
        };
        let own = dot.actor.replica;
        let origin = if flags & FOREIGN != 0 { bytes.replica()? } else { own };
        if (origin == own) != (flags & FOREIGN == 0) {
            return Err(Malformed("somebody else's edit, yet his own"));
        }
        let edit = EditId { origin, sequence: bytes.uint()? };
        let mut holders: Vec<ReplicaId> = Vec::new();
        for _ in 0..bytes.count(1)? {
            let holder = bytes.replica()?;
            if holders.last().is_some_and(|last| *last >= holder) {
                return Err(Malformed("holders are not ascending"));
            }
            holders.push(holder);
        }
        let (name, step, sent) = (Name::of(edit), Step::decode(bytes)?, true);
        nodes.push(NewNode { dot, skips, grown, name, parents, step, holders, sent });
    }
    Ok(nodes)
}

fn decode_parents(
    root: Dot,
    nodes: &[NewNode],
    places: &BTreeMap<Dot, usize>,
    bytes: &mut Reader<'_>,
) -> Result<Vec<Dot>, Malformed> {
    let mut parents: Vec<Dot> = Vec::new();
    for _ in 0..bytes.count(1)? {
        let place = bytes.uint()?;
        let parent = match usize::try_from(place) {
            Ok(0) => root,
            Ok(place) if place <= nodes.len() => nodes[place - 1].dot,
            Ok(place) if place == nodes.len() + 1 => {
                let dot = decode_dot(bytes)?;
                if places.contains_key(&dot) {
                    return Err(Malformed("an edit that is here, by its dot"));
                }
                dot
            }
            _ => return Err(Malformed("an edit that follows none")),
        };
        if parents.last().is_some_and(|last| *last >= parent) {
            return Err(Malformed("what an edit follows is not ascending"));
        }
        parents.push(parent);
    }
    Ok(parents)
}

/// A node as it is sent by `from`.
pub fn outgoing(history: &History, node: &Node, from: ReplicaId) -> NewNode {
    let known = |holder: &&ReplicaId| **holder != from && **holder != node.dot.actor.replica;
    NewNode {
        dot: node.dot,
        skips: node.skips,
        grown: node.grown,
        name: Name::of(node.name.edit),
        parents: node.parents.clone(),
        step: history.step(node),
        holders: node.holders.iter().filter(known).copied().collect(),
        sent: true,
    }
}

/// A root as it is sent in full.
fn full_of(history: &History) -> Full {
    let Root { events, edit, vector, state, .. } = &history.root;
    Full {
        events: *events,
        edit: *edit,
        vector: vector.clone(),
        content: Content::clone(&state.content),
    }
}

impl Full {
    /// The root that it describes.
    pub fn into_root(self, dot: Dot, names: RootNames, known: &History) -> Root {
        let RootNames { stands_on, pieces, removals, deletions } = names;
        let Full { events, edit, vector, content } = self;
        let pieces = known.name_pieces(&pieces);
        let pieces_kept = pieces.len();
        let state = State { content: Arc::new(content), stands_on };
        Root { dot, events, edit, vector, state, pieces, pieces_kept, removals, deletions }
    }
}

/// The edits behind a root, which ride in cargo.
#[derive(Clone, Debug, Default)]
pub struct RootNames {
    pub stands_on: Lineage,
    pub pieces: Lineage,
    pub removals: Lineage,
    pub deletions: Lineage,
}

impl RootNames {
    /// Takes them from a message's cargo.
    pub fn unload(next_element: &mut usize, ids: &mut &[CargoIds]) -> Self {
        let [stands_on, pieces, removals, deletions] = [(); 4].map(|()| unload(next_element, ids));
        RootNames { stands_on, pieces, removals, deletions }
    }
}

/// What somebody is sent of a cell, and the edits behind it as cargo: those that a root in full stands on, those that brought what is in
/// it, took something out or deleted it, and for each node the earlier ones that went into it.
pub fn part_for(
    history: &History,
    to: ReplicaId,
    from: ReplicaId,
    in_full: bool,
    next_element: &mut usize,
    cargo: &mut Cargo,
) -> Part {
    let full = in_full.then(|| full_of(history));
    if let Some(full) = &full {
        let mut pieces = Lineage::new();
        history.told_pieces().for_each(|edit| {
            pieces.insert(edit);
        });
        load(&history.root.state.stands_on, next_element, cargo);
        load(&pieces, next_element, cargo);
        load(&history.root.removals, next_element, cargo);
        load(&history.root.deletions, next_element, cargo);
        cargo.elements += 1;
        cargo.content_bytes += full.content.bytes();
    }
    let mut nodes = Vec::new();
    for node in history.lacking((!in_full).then_some(to)) {
        load(&node.name.also, next_element, cargo);
        if !node.name.also.is_empty() {
            // Of each word or element, which of these edits brought it.
            for edit in node.attributed() {
                load(&edit.map_or_else(Lineage::new, Lineage::of), next_element, cargo);
            }
        }
        let node = outgoing(history, node, from);
        cargo.elements += 1;
        cargo.content_bytes += node.step.content_bytes();
        nodes.push(node);
    }
    Part { root: history.root.dot, full, nodes }
}

fn load(lineage: &Lineage, next_element: &mut usize, cargo: &mut Cargo) {
    cargo.ids.extend(lineage.cargo(*next_element));
    *next_element += 1;
}

/// Takes the edits behind a node from a message's cargo.
pub fn unload_node(node: &mut NewNode, next_element: &mut usize, ids: &mut &[CargoIds]) {
    node.name.also = unload(next_element, ids);
    if !node.name.also.is_empty() {
        for piece in node.step_tokens() {
            let by = unload(next_element, ids);
            node.name.brought.extend(by.iter().next().map(|edit| (edit, piece)));
        }
    }
}

/// Takes the next element's edits from a message's cargo, whatever it holds.
fn unload(next_element: &mut usize, ids: &mut &[CargoIds]) -> Lineage {
    let element = *next_element;
    *next_element += 1;
    let mut ranges = Vec::new();
    while let Some((next, rest)) = ids.split_first() {
        if next.element as usize > element {
            break;
        }
        if next.element as usize == element {
            ranges.extend(Lineage::range_of(next));
        }
        *ids = rest;
    }
    Lineage::from_ranges(ranges).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages() -> Vec<Message> {
        let actor = |replica, incarnation| Actor { replica: ReplicaId(replica), incarnation };
        let dot = |replica, counter| Dot { actor: actor(replica, 0), counter };
        let node = |dot: Dot, parents: Vec<Dot>, step| NewNode {
            dot,
            skips: 0,
            grown: 0,
            name: Name::of(EditId { origin: dot.actor.replica, sequence: 300 }),
            parents,
            step,
            holders: vec![ReplicaId(0), ReplicaId(7)],
            sent: true,
        };
        let root = dot(3, 7);
        let foreign = EditId { origin: ReplicaId::GENESIS, sequence: 2 };
        let reborn = Dot { actor: actor(1, 2), counter: 9 };
        let change = Step::Change { inserted: ["x".into()].into(), removed: ["y".into()].into() };
        let splice = Step::Splice { at: 3, delete: 0, insert: "añ😀".into() };
        let nodes = vec![
            node(dot(1, 1), vec![root], Step::Put("v".into())),
            node(dot(2, 5), vec![root], Step::Add(-4)),
            node(dot(2, 6), vec![dot(1, 1), dot(2, 5)], change),
            NewNode { skips: 3, grown: 5, ..node(reborn, vec![], splice) },
            NewNode { name: Name::of(foreign), ..node(dot(2, 7), vec![], Step::Put("w".into())) },
            node(dot(9, 1), vec![dot(8, 1)], Step::Clear),
            node(dot(9, 2), vec![dot(9, 1)], Step::Set(Content::Counter(5))),
        ];
        let mut vector = Vector::default();
        vector.raise(root);
        let edit = EditId { origin: ReplicaId(3), sequence: 40 };
        let full = Full { events: 9, edit, vector, content: Content::Text("ñ".into()) };
        let cell = |record| Cell { record: RecordId(record), field: FieldId(1) };
        let cells = vec![
            (cell(1), Part { root, full: None, nodes: nodes.clone() }),
            (cell(700), Part { root, full: Some(full), nodes }),
            (cell(701), Part { root: Dot::GENESIS, full: None, nodes: Vec::new() }),
        ];
        let heads = vec![dot(1, 4), dot(2, 2)];
        let remark = Remark { heads, needs_root: false, root: Some(root) };
        let needs = Remark { needs_root: true, ..Remark::default() };
        vec![
            Message::Update { batch: 12, lives: Vec::new(), cells: cells.clone() },
            Message::Update { batch: 1 << 32, lives: vec![(ReplicaId(0), 2)], cells },
            Message::Ack { batch: 300, remarks: vec![(cell(2), remark), (cell(3), needs)] },
            Message::Ask { incarnation: 2 },
            Message::Heard { incarnation: 2 },
        ]
    }

    #[test]
    fn messages_survive() {
        for message in messages() {
            assert_eq!(Message::decode(&message.encode()).as_ref(), Ok(&message));
        }
    }

    #[test]
    fn what_is_decoded_is_encoded_to_the_same_bytes_or_refused() {
        for message in messages() {
            let bytes = message.encode();
            for length in 0..bytes.len() {
                assert!(Message::decode(&bytes[..length]).is_err(), "cut to {length}");
            }
            for at in 0..bytes.len() {
                for bit in 0..8 {
                    let mut flipped = bytes.clone();
                    flipped[at] ^= 1 << bit;
                    if let Ok(message) = Message::decode(&flipped) {
                        assert_eq!(message.encode(), flipped, "bit {bit} of byte {at}");
                    }
                }
            }
        }
    }
}
