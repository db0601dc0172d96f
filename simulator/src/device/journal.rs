//! A host's journal: inputs appended before they take effect, snapshots now and then, recovery by restore and replay.
//!
//! What was written is in the care of the operating system, and survives the process; only what was synced survives a loss of power. Torn
//! writes are not modelled: an input is on storage as a whole or not at all, as checksums make it.

use reconverge_strategies::{
    Cargo, Cell, Clock, Edit, EditId, Input, LinkState, Malformed, Outbox, Replica, ReplicaId,
    Seat, SeatChange, Strategy,
};

/// An input that waits or is kept: owned, as a journal holds it.
#[derive(Clone, Debug)]
pub enum HostInput {
    /// An edit by the user.
    Edit {
        /// The host's name for it.
        id: EditId,
        /// The edit.
        edit: Edit,
    },
    /// The schedule lets it talk.
    Sync {
        /// To whom.
        peer: ReplicaId,
    },
    /// A message.
    Receive {
        /// The sender.
        from: ReplicaId,
        /// Its bytes.
        bytes: Vec<u8>,
        /// Its cargo.
        cargo: Cargo,
    },
    /// A session began or ended.
    Link {
        /// With whom.
        peer: ReplicaId,
        /// Which of the two.
        state: LinkState,
    },
    /// What the membership service says.
    Seat(SeatChange),
}

impl HostInput {
    /// The input as a replica takes it.
    pub fn input(&self) -> Input<'_> {
        match self {
            HostInput::Edit { id, edit } => Input::Edit { id: *id, edit },
            HostInput::Sync { peer } => Input::Sync { peer: *peer },
            HostInput::Receive { from, bytes, cargo } => {
                Input::Receive { from: *from, bytes, cargo }
            }
            HostInput::Link { peer, state } => Input::Link { peer: *peer, state: *state },
            HostInput::Seat(change) => Input::Seat(*change),
        }
    }

    /// Bytes that its record takes in the journal: the content or message, and a header of 8 bytes (length and checksum).
    pub fn journal_bytes(&self) -> u64 {
        8 + match self {
            HostInput::Edit { edit, .. } => 16 + edit.content_bytes(),
            HostInput::Receive { bytes, .. } => 4 + bytes.len() as u64,
            HostInput::Sync { .. } | HostInput::Link { .. } | HostInput::Seat(_) => 5,
        }
    }
}

/// What was written so far, by cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Own edits.
    pub own_bytes: u64,
    /// Received messages, and the small records of syncs, sessions and the membership.
    pub received_bytes: u64,
    /// Snapshots.
    pub snapshot_bytes: u64,
}

impl Written {
    /// All of it.
    pub fn total(self) -> u64 {
        self.own_bytes + self.received_bytes + self.snapshot_bytes
    }
}

/// What a loss of power took.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Edits made here.
    pub edits: u64,
    /// Conflicts that such an edit had answered.
    pub answered: Vec<Cell>,
    /// What the membership service had said, in order.
    pub members: Vec<SeatChange>,
}

/// Inputs with the times at which they were handled.
type Inputs = Vec<(Clock, HostInput)>;

/// The journal of one host.
#[derive(Debug, Default)]
pub struct Journal {
    /// Whether inputs are kept for a recovery; else they are only counted.
    keeps: bool,
    snapshot: Vec<u8>,
    since: Inputs,
    /// How many of these are on storage.
    synced: usize,
    /// The snapshot before, and the inputs after it: what is on storage until the newer one is.
    before: Option<(Vec<u8>, Inputs)>,
    since_bytes: u64,
    since_inputs: u32,
    unsynced_bytes: u64,
    /// Facts that tell of the effects of all inputs so far, and of those on storage.
    reports: u64,
    reports_synced: u64,
    /// What is not on storage, if power failed now.
    unsynced: Taken,
    written: Written,
}

/// A snapshot is due after so many inputs, so that a recovery is short,
const SNAPSHOT_AFTER_INPUTS: u32 = 256;
/// or when the journal since the last one exceeds four times its size (and this), so that storage does not fill up.
const SNAPSHOT_AFTER_BYTES: u64 = 16 * 1024;

impl Journal {
    /// The journal of a new replica. `keeps` where the process may stop before the end.
    pub fn new(replica: &dyn Replica, keeps: bool) -> Self {
        let mut journal = Journal { keeps, ..Journal::default() };
        if keeps {
            replica.save(&mut journal.snapshot);
        }
        journal
    }

    /// Counts an input, before it takes effect.
    pub fn append(&mut self, input: &HostInput) {
        let bytes = input.journal_bytes();
        match input {
            HostInput::Edit { .. } => self.written.own_bytes += bytes,
            _ => self.written.received_bytes += bytes,
        }
        self.since_bytes += bytes;
        self.unsynced_bytes += bytes;
    }

    /// Keeps an input that took effect, of which so many facts will tell, and writes a snapshot where one is due; returns the bytes of
    /// the snapshot.
    pub fn keep(
        &mut self,
        clock: Clock,
        input: HostInput,
        reports: u64,
        replica: &dyn Replica,
    ) -> u64 {
        self.reports += reports;
        match &input {
            HostInput::Edit { edit, .. } => {
                self.unsynced.edits += 1;
                if let Edit::Resolve { cell, .. } = edit {
                    self.unsynced.answered.push(*cell);
                }
            }
            HostInput::Seat(change) => self.unsynced.members.push(*change),
            _ => {}
        }
        if self.keeps {
            self.since.push((clock, input));
        }
        self.since_inputs += 1;
        let most_bytes = SNAPSHOT_AFTER_BYTES.max(4 * self.snapshot.len() as u64);
        if self.since_inputs < SNAPSHOT_AFTER_INPUTS && self.since_bytes <= most_bytes {
            return 0;
        }
        self.snapshot(replica)
    }

    fn snapshot(&mut self, replica: &dyn Replica) -> u64 {
        let mut snapshot = Vec::with_capacity(self.snapshot.len());
        replica.save(&mut snapshot);
        let older = std::mem::replace(&mut self.snapshot, snapshot);
        let mut since = std::mem::take(&mut self.since);
        if self.before.is_none() {
            since.truncate(self.synced);
            self.before = Some((older, since));
        }
        self.synced = 0;
        (self.since_bytes, self.since_inputs) = (0, 0);
        let bytes = self.snapshot.len() as u64;
        self.written.snapshot_bytes += bytes;
        self.unsynced_bytes += bytes;
        bytes
    }

    /// Bytes not yet synced to storage.
    pub fn unsynced_bytes(&self) -> u64 {
        self.unsynced_bytes
    }

    /// Everything is on storage now.
    pub fn sync(&mut self) {
        self.unsynced_bytes = 0;
        self.before = None;
        self.synced = self.since.len();
        self.reports_synced = self.reports;
        self.unsynced = Taken::default();
    }

    /// Whether every input is on storage.
    pub fn is_synced(&self) -> bool {
        self.before.is_none() && self.synced == self.since.len()
    }

    /// Facts that tell of the effects of inputs on storage.
    pub fn reports_synced(&self) -> u64 {
        self.reports_synced
    }

    /// The power fails: what is not on storage is gone.
    pub fn lose(&mut self) -> Taken {
        match self.before.take() {
            Some((snapshot, since)) => (self.snapshot, self.since) = (snapshot, since),
            None => self.since.truncate(self.synced),
        }
        self.synced = self.since.len();
        self.since_inputs = self.since.len() as u32;
        self.since_bytes = self.since.iter().map(|(_, input)| input.journal_bytes()).sum();
        self.unsynced_bytes = 0;
        self.reports = self.reports_synced;
        std::mem::take(&mut self.unsynced)
    }

    /// Starts anew with a replica that came back as another one: its snapshot is on storage before it does anything. Returns its bytes.
    pub fn begin_anew(&mut self, replica: &dyn Replica) -> u64 {
        let bytes = self.snapshot(replica);
        self.sync();
        bytes
    }

    /// What was written so far.
    pub fn written(&self) -> Written {
        self.written
    }

    /// The replica as it was: restored from the snapshot, inputs replayed. Sends are discarded; returns the work of the replay too.
    ///
    /// # Errors
    /// [`Malformed`] where the replica does not understand its own snapshot.
    pub fn recover(
        &self,
        strategy: &dyn Strategy,
        seat: &Seat<'_>,
    ) -> Result<(Box<dyn Replica>, u64), Malformed> {
        let mut replica = strategy.restore(seat, &self.snapshot)?;
        let mut out = Outbox::new();
        let mut work_units = 0;
        for (clock, input) in &self.since {
            // A message that was refused then is refused again.
            let _ = replica.handle(*clock, input.input(), &mut out);
            work_units += out.work_units;
            out.clear();
        }
        Ok((replica, work_units))
    }
}
