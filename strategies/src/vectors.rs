//! Histories as others write them down, run through whole replicas: what `reconverge vectors` compares with results that
//! others computed.

use crate::contract::{Cargo, Clock, Input, LinkState, Malformed, Outbox, Output, Partitions};
use crate::contract::{Replica, Seat, Strategy, Tick, Transport, WallTime};
use crate::document::{Cell, Content, Edit, EditId, FieldId, FieldKind, RecordId, ReplicaId};
use crate::document::{Rendering, Schema, Scope, Shown};
use std::collections::VecDeque;

/// Most replicas of one history: at its end each merges every other one.
pub const MOST_REPLICAS: u32 = 1000;

/// One step of a history. Replicas are numbered from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// A replica inserts text.
    Insert {
        /// Who.
        replica: u32,
        /// Where in the text that it shows, in Unicode scalar values.
        at: usize,
        /// What, not empty.
        text: &'a str,
    },
    /// A replica gets everything that another one has at that moment, and not the other way round.
    Merge {
        /// The other one.
        from: u32,
        /// Who merges.
        into: u32,
    },
}

/// The text that each replica shows in the end: all start empty, take the steps, and then every one merges every other one.
///
/// `strategy` must serve texts and sessions in a mesh; its messages are encoded and decoded as anywhere.
///
/// # Errors
/// [`Malformed`] where a step names a replica or a position that does not exist or inserts nothing, or where there are no replicas or
/// more than [`MOST_REPLICAS`].
pub fn text_order(
    strategy: &dyn Strategy,
    replicas: u32,
    steps: &[Step<'_>],
) -> Result<Vec<String>, Malformed> {
    if !(1..=MOST_REPLICAS).contains(&replicas) {
        return Err(Malformed("the number of replicas is not from 1 to 1000"));
    }
    let mut mesh = Mesh::new(strategy, replicas);
    for step in steps {
        match *step {
            Step::Insert { replica, at, text } => mesh.insert(replica, at, text)?,
            Step::Merge { from, into } => {
                mesh.check(from)?;
                mesh.check(into)?;
                mesh.merge(from, into);
            }
        }
    }
    for from in 0..replicas {
        for into in 0..replicas {
            mesh.merge(from, into);
        }
    }
    Ok((0..replicas).map(|replica| mesh.text(replica)).collect())
}

const TEXT: Cell = Cell { record: RecordId(0), field: FieldId(0) };
const CLOCK: Clock = Clock { now: Tick(0), wall: WallTime(0) };

/// Replicas that write one text.
struct Mesh {
    replicas: Vec<Box<dyn Replica>>,
    inserts: u64,
    out: Outbox,
}

/// A message under way.
struct Message {
    from: u32,
    to: u32,
    bytes: Vec<u8>,
    cargo: Cargo,
}

impl Mesh {
    fn new(strategy: &dyn Strategy, replicas: u32) -> Mesh {
        let schema = Schema::new(vec![FieldKind::Text]);
        let members: Vec<_> = (0..replicas).map(ReplicaId).collect();
        let create = |replica| {
            let others: Vec<_> = (0..replicas).filter(|id| *id != replica).map(ReplicaId).collect();
            strategy.create(&Seat {
                replica: ReplicaId(replica),
                peers: &others,
                members: &members,
                partitions: Partitions::WHOLE,
                authority: None,
                schema: &schema,
                genesis: &[],
                transport: Transport::Session,
                incarnation: 0,
            })
        };
        Mesh { replicas: (0..replicas).map(create).collect(), inserts: 0, out: Outbox::new() }
    }

    fn check(&self, replica: u32) -> Result<usize, Malformed> {
        let at = replica as usize;
        if at < self.replicas.len() { Ok(at) } else { Err(Malformed("there is no such replica")) }
    }

    fn insert(&mut self, replica: u32, at: usize, text: &str) -> Result<(), Malformed> {
        let length = self.replicas[self.check(replica)?].length(TEXT);
        if at > length {
            return Err(Malformed("an insertion is beyond the end of the text"));
        }
        if text.is_empty() {
            return Err(Malformed("an insertion is empty"));
        }
        self.inserts += 1;
        let id = EditId { origin: ReplicaId(replica), sequence: self.inserts };
        let edit = Edit::Splice { cell: TEXT, at, delete: 0, insert: text.to_owned() };
        self.handle(replica, Input::Edit { id, edit: &edit });
        Ok(())
    }

    /// Lets the two speak in one session, up to the moment when `into` would tell news of its own: what it says then, and from then on,
    /// is lost with the session.
    fn merge(&mut self, from: u32, into: u32) {
        if from == into {
            return;
        }
        self.link(from, into, LinkState::Open);
        let mut is_cut = false;
        for (speaker, peer) in [(into, from), (from, into)] {
            let mut under_way: VecDeque<Message> =
                self.handle(speaker, Input::Sync { peer: ReplicaId(peer) }).into();
            while let Some(message) = under_way.pop_front() {
                let Message { from: sender, to, bytes, cargo } = message;
                is_cut |= sender == into && cargo.elements > 0;
                if is_cut && sender == into {
                    continue;
                }
                let input =
                    Input::Receive { from: ReplicaId(sender), bytes: &bytes, cargo: &cargo };
                under_way.extend(self.handle(to, input));
            }
        }
        self.link(from, into, LinkState::Lost);
    }

    fn link(&mut self, a: u32, b: u32, state: LinkState) {
        for (replica, peer) in [(a, b), (b, a)] {
            self.handle(replica, Input::Link { peer: ReplicaId(peer), state });
        }
    }

    /// Gives a replica an input; returns what it sends.
    fn handle(&mut self, replica: u32, input: Input<'_>) -> Vec<Message> {
        self.out.clear();
        let handled = self.replicas[replica as usize].handle(CLOCK, input, &mut self.out);
        handled.expect("honest replicas understand each other");
        let sent = self.out.outputs.drain(..).filter_map(|output| match output {
            Output::Send { to, bytes, cargo } => {
                Some(Message { from: replica, to: to.0, bytes, cargo })
            }
            Output::Change(_) => None,
        });
        sent.collect()
    }

    fn text(&self, replica: u32) -> String {
        let mut rendering = Rendering::new();
        self.replicas[replica as usize].render(Scope::Cell(TEXT), &mut rendering);
        match rendering.get(TEXT).map(Shown::first) {
            Some(Content::Text(text)) => text.clone(),
            _ => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crdt::DIGEST;

    const fn insert(replica: u32, at: usize, text: &str) -> Step<'_> {
        Step::Insert { replica, at, text }
    }

    const fn merge(from: u32, into: u32) -> Step<'static> {
        Step::Merge { from, into }
    }

    #[test]
    fn a_merge_goes_one_way() {
        let mut mesh = Mesh::new(&DIGEST, 2);
        mesh.insert(0, 0, "a").expect("a place");
        mesh.merge(0, 1);
        mesh.insert(1, 1, "b").expect("a place");
        mesh.merge(0, 1);
        assert_eq!([mesh.text(0), mesh.text(1)], ["a", "ab"]);
        mesh.insert(0, 1, "c").expect("a place");
        assert_eq!([mesh.text(0), mesh.text(1)], ["ac", "ab"]);
        mesh.merge(1, 0);
        assert_eq!([mesh.text(0), mesh.text(1)], ["acb", "ab"]);
    }

    #[test]
    fn in_the_end_all_show_the_same() {
        let steps = [insert(0, 0, "año"), merge(0, 2), insert(2, 1, "😀"), insert(1, 0, "x")];
        let texts = text_order(&DIGEST, 4, &steps).expect("a history");
        assert_eq!(texts, vec!["a😀ñox"; 4]);
    }

    #[test]
    fn steps_that_cannot_be_taken_are_refused() {
        let cases: [(u32, &[Step<'_>]); 9] = [
            (0, &[]),
            (1001, &[]),
            (u32::MAX, &[]),
            (2, &[insert(2, 0, "a")]),
            (2, &[insert(0, 1, "a")]),
            (2, &[insert(0, 0, "é"), insert(0, 2, "a")]),
            (2, &[insert(0, 0, "")]),
            (2, &[merge(2, 0)]),
            (2, &[merge(0, u32::MAX)]),
        ];
        for (replicas, steps) in cases {
            assert!(text_order(&DIGEST, replicas, steps).is_err(), "{replicas}: {steps:?}");
        }
    }
}
