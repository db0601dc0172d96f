//! The contract between a strategy and whatever runs it: the simulator, the law suite, or real sockets.
//!
//! A [`Strategy`] is a factory. A [`Replica`] is a deterministic state machine without clock, socket, thread or generator of its
//! own: inputs go in, effects come out in order. Bytes are the only thing that crosses between replicas.

use crate::document::{
    Cell, Edit, EditId, PartitionId, RecordId, Rendering, ReplicaId, Schema, Scope,
};

/// A way of synchronising: what peers say to each other, and how they merge it.
pub trait Strategy: Send + Sync {
    /// The name used in scenarios, tables and files, as in `lww/hlc`. A variant is a longer name.
    fn name(&self) -> &str;

    /// What this strategy can and cannot do.
    fn profile(&self) -> Profile;

    /// A new replica that holds what the seat's genesis says.
    fn create(&self, seat: &Seat<'_>) -> Box<dyn Replica>;

    /// The replica that wrote `saved` with [`Replica::save`], in the same seat.
    ///
    /// # Errors
    /// [`Malformed`] where the bytes are not such a snapshot.
    fn restore(&self, seat: &Seat<'_>, saved: &[u8]) -> Result<Box<dyn Replica>, Malformed>;

    /// Decodes one message and encodes it again. The law `decode(encode(m)) = m`, the decoder benches and fuzzers go through here.
    ///
    /// # Errors
    /// [`Malformed`] where the bytes are not a message of this strategy.
    fn recode(&self, message: &[u8]) -> Result<Vec<u8>, Malformed>;
}

/// One copy of the document and all that its strategy remembers.
pub trait Replica: Send {
    /// Takes one input and pushes its effects into `out`, which is empty before the call.
    ///
    /// - On [`Input::Edit`] nothing is sent. The edit's effect is visible when the call returns, unless the profile excepts it.
    /// - On [`Input::Receive`] messages may be sent to `from` only.
    /// - On [`Input::Sync`] messages may be sent to that peer only.
    ///
    /// # Errors
    /// [`Malformed`] where received bytes make no sense; nothing visible has changed then.
    fn handle(&mut self, clock: Clock, input: Input<'_>, out: &mut Outbox)
    -> Result<(), Malformed>;

    /// What this peer is owed, as far as this replica knows: advice to schedules.
    fn pending(&self, peer: ReplicaId) -> Pending;

    /// Length of a text in Unicode scalar values, as displayed (of a conflict: its first alternative).
    fn length(&self, cell: Cell) -> usize;

    /// Adds what the user sees within `scope`, the alternatives of conflicts included.
    fn render(&self, scope: Scope, out: &mut Rendering);

    /// A digest of the rendering of a partition: equal exactly where the renderings are equal.
    fn fingerprint(&self, partition: PartitionId) -> u128 {
        let mut rendering = Rendering::new();
        self.render(Scope::Partition(partition), &mut rendering);
        rendering.fingerprint()
    }

    /// Appends everything that survives a restart.
    fn save(&self, out: &mut Vec<u8>);

    /// What this replica keeps.
    fn footprint(&self) -> Footprint;
}

/// Something that happens to a replica.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// The user did this here.
    Edit {
        /// The host's name for it.
        id: EditId,
        /// What the user did.
        edit: &'a Edit,
    },
    /// The schedule says: now you may talk to this peer.
    Sync {
        /// The peer.
        peer: ReplicaId,
    },
    /// A message arrived.
    Receive {
        /// The sender.
        from: ReplicaId,
        /// What it wrote; hostile until decoded.
        bytes: &'a [u8],
        /// What the sender counted; for reports only.
        cargo: &'a Cargo,
    },
    /// A session (or, over datagrams, a usable link) to a peer began or ended, as this device learns of it. The end of one always
    /// comes before the beginning of the next.
    Link {
        /// The peer.
        peer: ReplicaId,
        /// Which of the two.
        state: LinkState,
    },
    /// The membership changed, as the host's membership service says to every member.
    Seat(SeatChange),
}

/// How the membership of a document changes. Stability and compaction count current members only.
///
/// The host's membership service promises this. Contact is a message delivered, from a replica or to it. A replica without any contact
/// for the retention (a figure of the scenario, 30 days where it says nothing) is gone: every other replica is told `Gone`, itself
/// gone or not, reachable or not; the one that is gone is not told. With the next message delivered from it or to it, it is back: every replica,
/// itself included, is told `Back` before that message is handled. Whoever does not run is told when it next starts, of everything
/// and in order, before it hears of sessions; so is whoever was told and lost that with its power. For each replica the two alternate and `Gone`
/// comes first. What is said goes through the journal as all inputs do. In one moment different replicas may believe different things: one may still
/// handle older inputs, or not run.
///
/// It is class C of the common random numbers: contact depends on when a strategy speaks. So strategies may be told different things
/// in one world, and one that has nothing to say for so long is gone though its links are up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeatChange {
    /// A replica had no contact for longer than the retention and is presumed gone. Nobody waits for it any more. If it comes
    /// back it may lack what was dropped meanwhile, and hold edits that nobody else has.
    Gone {
        /// Which one.
        replica: ReplicaId,
    },
    /// A replica that was gone is back.
    Back {
        /// Which one.
        replica: ReplicaId,
    },
}

/// State of a session with a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// It began: messages pass in order until it is lost.
    Open,
    /// It ended: everything in flight is gone.
    Lost,
}

/// What a replica does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// A message for a peer.
    Send {
        /// The peer.
        to: ReplicaId,
        /// The message.
        bytes: Vec<u8>,
        /// What it holds; counted, never part of the bytes.
        cargo: Cargo,
    },
    /// Something for the application to know.
    Change(Change),
}

/// Effects of one input, in order. Owned by the caller.
#[derive(Debug, Default)]
pub struct Outbox {
    /// Messages and changes, in order.
    pub outputs: Vec<Output>,
    /// Cost of the input so far: one unit is one element visited, compared, moved or copied (up to 64 bytes).
    pub work_units: u64,
}

impl Outbox {
    /// An empty outbox.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sends a message.
    pub fn send(&mut self, to: ReplicaId, bytes: Vec<u8>, cargo: Cargo) {
        self.outputs.push(Output::Send { to, bytes, cargo });
    }

    /// Reports a change.
    pub fn change(&mut self, change: Change) {
        self.outputs.push(Output::Change(change));
    }

    /// Adds to the cost, in units.
    pub fn work(&mut self, units: u64) {
        self.work_units += units;
    }

    /// Adds the cost of copying, encoding or decoding so many bytes: one unit, and one more for every 64 bytes.
    pub fn work_bytes(&mut self, bytes: usize) {
        self.work_units += 1 + bytes as u64 / 64;
    }

    /// Forgets everything, to be used for the next input.
    pub fn clear(&mut self) {
        self.outputs.clear();
        self.work_units = 0;
    }
}

/// What became of an edit, in domain words. Reports give times; the truth is what is shown, and a report that contradicts it fails
/// the trial.
///
/// - An edit counts as shown at its origin from the moment it is made, without a report (where the profile delays local
///   visibility: from its `Applied`).
/// - Whenever a remote edit becomes part of what a replica holds, it reports `Applied`, once; edits that travelled inside a composed or
///   coalesced message included, even where their own effect was overwritten knowingly by a later edit in the same message.
/// - Whenever an edit's effect is hidden by another one, be it by the user's own later edit of the same register, by a delete, or by a
///   merge that prefers a rival (also one that arrives and loses at once), the replica reports `Replaced`. The one
///   exception: an element or text that a user removed knowingly need not be reported, since whoever shows the removal is known
///   not to show the removed.
/// - Once some replica has lost its memory, an edit that some replica reported replaced by one that is held here need not be reported
///   replaced here: whoever is told anew of what it forgot is told what is, and not always what was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// A remote edit is now part of this replica's state.
    Applied {
        /// The edit.
        edit: EditId,
    },
    /// No longer visible here (may be taken back by a later `Applied`).
    Replaced {
        /// The edit that went.
        edit: EditId,
        /// The edit that took its place.
        by: EditId,
    },
    /// Both are kept and shown as alternatives: the user must choose.
    Conflicted {
        /// The cell that shows the conflict.
        cell: Cell,
        /// The edit that was here.
        edit: EditId,
        /// The rival that came.
        with: EditId,
    },
    /// The edit's authority has it durably.
    Acknowledged {
        /// The edit.
        edit: EditId,
    },
    /// The edit's authority will never have it, and it is not shown here.
    Refused {
        /// The edit.
        edit: EditId,
        /// Why.
        reason: Refusal,
    },
}

/// Why an authority refuses an edit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The authority cannot be reached, and the strategy does not work offline.
    Offline,
    /// The edit speaks of a version that is no longer current.
    Stale,
}

/// What a device's own clocks say. No replica gets a perfect clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// Monotone, zero at boot, running with this device's drift; never comparable between devices.
    pub now: Tick,
    /// The time of day, with this device's offset, drift and jumps.
    pub wall: WallTime,
}

/// Nanoseconds on a monotone clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tick(pub u64);

/// Microseconds since 1970-01-01 00:00 UTC, as a device believes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WallTime(pub u64);

/// What a message holds, for the figures. Not part of the bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cargo {
    /// Data elements: fields, operations, or join-irreducibles.
    pub elements: u64,
    /// Bytes of user content among the message's bytes.
    pub content_bytes: u64,
    /// Ids of the edits in the message, in an order that its receiver understands, where the modelled product would not send
    /// them ([`EditIds::InCargo`]). They reach reports and nothing else.
    pub ids: Vec<CargoIds>,
}

/// Consecutive edit ids of one origin that one element of a message stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CargoIds {
    /// Which element, counted from 0 in the order of the message.
    pub element: u32,
    /// The first id.
    pub first: EditId,
    /// How many; at least 1.
    pub count: u64,
}

/// What a peer is owed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pending {
    /// Edits (or elements) that this peer is believed to lack; 0 means that speaking would bring it nothing new.
    pub edits: u64,
    /// An exchange with it is open: an answer is awaited.
    pub exchange_open: bool,
}

/// What a replica keeps, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Footprint {
    /// The user's own content.
    pub content_bytes: u64,
    /// What merging needs beside it: stamps, identities, vectors.
    pub metadata_bytes: u64,
    /// What is kept of the past: tombstones, logs, unsent batches.
    pub history_bytes: u64,
}

impl Footprint {
    /// All of it.
    pub fn total(self) -> u64 {
        self.content_bytes + self.metadata_bytes + self.history_bytes
    }
}

/// Where a replica sits: all that it may know of its surroundings.
#[derive(Clone, Copy, Debug)]
pub struct Seat<'a> {
    /// The replica itself.
    pub replica: ReplicaId,
    /// Those it can talk to, in order: in a star the hub, or for the hub everybody else; in a mesh everybody else; in any other graph its
    /// neighbours.
    pub peers: &'a [ReplicaId],
    /// Every replica of the document when the trial begins, this one included, in order.
    pub members: &'a [ReplicaId],
    /// Which records go where.
    pub partitions: Partitions<'a>,
    /// The server that decides and relays, where the topology has one (it may be this replica).
    pub authority: Option<ReplicaId>,
    /// The fields of every record.
    pub schema: &'a Schema,
    /// What every replica holds from the beginning: `Put`, `Add`, `Insert` and `Splice` edits by [`ReplicaId::GENESIS`].
    pub genesis: &'a [(EditId, Edit)],
    /// Whether messages can be lost, doubled and reordered.
    pub transport: Transport,
    /// How often this replica came back without its memory; part of the identity of whatever it mints.
    pub incarnation: u32,
}

/// Partial replication: the document's records fall into partitions, and a replica holds whole partitions.
#[derive(Clone, Copy, Debug)]
pub struct Partitions<'a> {
    /// How many partitions there are; at least 1. Record *r* is in partition *r* mod `count`.
    pub count: u32,
    /// What each replica holds, in order of names; a replica that is not listed holds everything.
    pub held: &'a [(ReplicaId, Vec<PartitionId>)],
}

impl Partitions<'_> {
    /// One partition that everybody holds.
    pub const WHOLE: Partitions<'static> = Partitions { count: 1, held: &[] };

    /// The partition of a record.
    pub fn of(&self, record: RecordId) -> PartitionId {
        PartitionId(record.0 % self.count)
    }

    /// Whether a replica holds a partition.
    pub fn holds(&self, replica: ReplicaId, partition: PartitionId) -> bool {
        let at = self.held.binary_search_by_key(&replica, |(holder, _)| *holder);
        at.map_or(true, |at| self.held[at].1.contains(&partition))
    }
}

/// What carries the messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// In order and complete, or lost with everything in flight.
    Session,
    /// Each message for itself: lost, doubled, reordered.
    Datagram,
}

/// How far something is supported; the text says how it is emulated, or why it cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// As the strategy means it.
    Native,
    /// In terms of something else, as said.
    Emulated(&'static str),
    /// Not at all, for the reason said.
    Unsupported(&'static str),
}

impl Support {
    /// The reason why it is not supported, where it is not.
    pub fn unsupported(self) -> Option<&'static str> {
        match self {
            Support::Unsupported(reason) => Some(reason),
            _ => None,
        }
    }
}

/// What a strategy can and cannot do.
#[derive(Clone, Debug)]
pub struct Profile {
    /// One sentence: what it is.
    pub summary: &'static str,
    /// Registers.
    pub register: Support,
    /// Counters.
    pub counter: Support,
    /// Sets.
    pub set: Support,
    /// Texts.
    pub text: Support,
    /// A hub that everybody talks to.
    pub star: Support,
    /// Everybody talks to everybody.
    pub mesh: Support,
    /// Any other connected graph (a tree, a ring, explicit edges): everybody talks to its neighbours alone, and what one of them told must
    /// reach the others.
    pub graph: Support,
    /// Sessions.
    pub session: Support,
    /// Datagrams.
    pub datagram: Support,
    /// Replicas that come back knowing less than they told, under a new [`Seat::incarnation`], the authority included.
    pub memory_loss: Support,
    /// Laws that it does not keep, each with the weaker one that it keeps instead.
    pub exceptions: &'static [(Law, &'static str)],
    /// A schedule that it insists on, whatever the scenario says.
    pub schedule: Option<OwnSchedule>,
    /// Where edit ids travel.
    pub edit_ids: EditIds,
}

impl Profile {
    /// How far it supports a kind of field.
    pub fn field(&self, kind: crate::document::FieldKind) -> Support {
        use crate::document::FieldKind;
        match kind {
            FieldKind::Register => self.register,
            FieldKind::Counter => self.counter,
            FieldKind::Set => self.set,
            FieldKind::Text => self.text,
        }
    }

    /// Whether some replicas may lack some edits for ever: it does not keep [`Law::Quiescence`]. Trials then tell how much is lacking,
    /// and not that replicas differ.
    pub fn is_probabilistic(&self) -> bool {
        self.exceptions.iter().any(|(law, _)| *law == Law::Quiescence)
    }
}

/// A schedule that is part of a strategy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnSchedule {
    /// After every edit.
    Immediate,
    /// At fixed intervals.
    Periodic {
        /// The interval in seconds.
        interval_s: u64,
    },
}

/// Where the ids of edits travel between replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EditIds {
    /// In the bytes, because the protocol needs such an identity anyway.
    InMessages,
    /// In [`Cargo`], uncounted, for reports only.
    InCargo,
}

/// The laws of the law suite (`tests/laws.rs`), which every strategy keeps or excepts in its profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Law {
    /// A local edit is visible at once, offline.
    LocalVisibility,
    /// The same inputs give the same bytes.
    SameBytes,
    /// Decoding what was encoded and encoding it again gives the same bytes.
    RoundTrip,
    /// Truncated and flipped messages are refused or handled: no panic, no hang, no large allocation.
    HostileBytes,
    /// A message received twice changes nothing the second time.
    Duplicates,
    /// Every possible order of a small exchange ends in one rendering.
    Orders,
    /// Saving and restoring changes nothing of the future.
    SaveRestore,
    /// One user's edits give what a naive document gives.
    Sequential,
    /// After healing, talking ends and everybody shows the same.
    Quiescence,
    /// The ids in cargo reach reports and nothing else.
    CargoInert,
}

/// Bytes that make no sense, and in which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed bytes: {0}")]
pub struct Malformed(pub &'static str);
