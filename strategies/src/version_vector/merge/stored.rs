//! The stored form of a cell.

use super::history::{History, Line, NewNode, Root};
use super::message::{decode_dot, decode_nodes, encode_dot, encode_nodes, outgoing};
use super::three_way::State;
use crate::contract::Malformed;
use crate::document::ReplicaId;
use crate::lineage::Lineage;
use crate::version_vector::vector::Vector;
use crate::wire::{Reader, Writer};
use std::sync::Arc;

/// Writes all of a cell.
pub fn save_history(history: &History, out: &mut Writer) {
    let Root { dot, events, edit, vector, state, pieces, pieces_kept, removals, deletions } =
        &history.root;
    encode_dot(*dot, out);
    out.uint(*events);
    out.edit_id(*edit);
    vector.encode(out);
    out.content(&state.content);
    state.stands_on.write(out);
    out.count(pieces.len());
    for (edit, piece) in pieces {
        out.edit_id(*edit);
        // 0 stands for one that is not known.
        let piece = piece.as_ref().map(|piece| piece.as_str());
        out.byte(u8::from(piece.is_some()));
        piece.iter().for_each(|piece| out.str(piece));
    }
    out.count(*pieces_kept);
    removals.write(out);
    deletions.write(out);
    history.vector.encode(out);
    let nodes: Vec<NewNode> = history
        .line
        .iter()
        .map(|node| NewNode {
            holders: node.holders.clone(),
            ..outgoing(history, node, ReplicaId::GENESIS)
        })
        .collect();
    encode_nodes(*dot, &nodes, out);
    for node in history.line.iter() {
        let again = !node.name.former.is_empty();
        out.byte(u8::from(node.sent) | u8::from(again) << 1);
        if again {
            out.count(node.name.former.len());
            for former in &node.name.former {
                out.uint(*former.start());
                out.uint(*former.end());
            }
        }
        node.name.also.write(out);
        out.count(node.name.brought.len());
        for (edit, piece) in &node.name.brought {
            out.edit_id(*edit);
            out.str(piece.as_str());
        }
    }
}

/// Reads what [`save_history`] wrote into a new history.
pub fn restore_history(history: &mut History, bytes: &mut Reader<'_>) -> Result<(), Malformed> {
    let dot = decode_dot(bytes)?;
    let (events, edit) = (bytes.uint()?, bytes.edit_id()?);
    let vector = Vector::decode(bytes)?;
    let content = bytes.content()?;
    let state = State { content: Arc::new(content), stands_on: Lineage::read(bytes)? };
    if state.content.kind() != history.kind || !vector.covers(dot) {
        return Err(Malformed("a root that is none"));
    }
    let mut pieces = Vec::new();
    for _ in 0..bytes.count(3)? {
        let edit = bytes.edit_id()?;
        let known = bytes.byte()? == 1;
        pieces.push((edit, if known { Some(bytes.value()?) } else { None }));
    }
    let pieces_kept = usize::try_from(bytes.uint()?).map_err(|_| Malformed("out of range"))?;
    let (removals, deletions) = (Lineage::read(bytes)?, Lineage::read(bytes)?);
    history.vector.join(&vector);
    history.line = Line::new(dot);
    history.root =
        Root { dot, events, edit, vector, state, pieces, pieces_kept, removals, deletions };
    let all = Vector::decode(bytes)?;
    let nodes = decode_nodes(dot, bytes)?;
    for mut node in nodes {
        let flags = bytes.byte()?;
        node.sent = flags & 1 == 1;
        if flags & 2 == 2 {
            for _ in 0..bytes.count(2)? {
                node.name.former.push(bytes.uint()?..=bytes.uint()?);
            }
        }
        node.name.also = Lineage::read(bytes)?;
        for _ in 0..bytes.count(3)? {
            node.name.brought.push((bytes.edit_id()?, bytes.value()?));
        }
        if !node.step.fits(history.kind) {
            return Err(Malformed("a step of another kind than its field"));
        }
        history.put_back(node)?;
    }
    history.vector.join(&all);
    history.look();
    Ok(())
}
