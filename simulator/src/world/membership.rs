//! The membership service of a document's host: it sees who has contact, and says who has been away for too long.
//!
//! Contact is a message delivered, from a replica or to it. Who had none for the retention is gone: all others are told, however they can
//! be reached themselves. With its next message it is back: all are told, itself included, before that message is handled. A process
//! that does not run is told when it next starts, and one whose storage lost what it was told is told that again. Where the retention is
//! as long as the work, nobody can be gone, and nothing is watched.

use super::{Event, World};
use crate::device::journal::HostInput;
use crate::fact::{Fact, Phase};
use reconverge_strategies::{ReplicaId, SeatChange};

/// Who has been seen when.
#[derive(Debug)]
pub(super) struct Membership {
    retention_ns: u64,
    /// Whether anybody can be away for so long.
    watches: bool,
    /// The last contact of each device; all begin in contact.
    seen_ns: Vec<u64>,
    gone: Vec<bool>,
}

impl Membership {
    pub(super) fn new(devices: usize, retention_ns: u64, duration_ns: u64) -> Membership {
        Membership {
            retention_ns,
            watches: retention_ns < duration_ns,
            seen_ns: vec![0; devices],
            gone: vec![false; devices],
        }
    }
}

impl World<'_> {
    /// Looks after every device once it may have been away for too long.
    pub(super) fn watch_members(&mut self) {
        if self.membership.watches {
            for device in 0..self.hosts.len() as u32 {
                self.agenda.schedule(self.membership.retention_ns, Event::Absence { device });
            }
        }
    }

    /// A device may have been away for the retention; if not, it is looked after when that may be so.
    pub(super) fn absence_due(&mut self, device: u32) {
        if self.phase != Phase::Work {
            return;
        }
        let membership = &mut self.membership;
        let due_ns = membership.seen_ns[device as usize] + membership.retention_ns;
        if due_ns > self.now_ns {
            return self.agenda.schedule(due_ns, Event::Absence { device });
        }
        membership.gone[device as usize] = true;
        self.emit(&Fact::Member { device, gone: true });
        self.announce(SeatChange::Gone { replica: ReplicaId(device) });
    }

    /// A message of a device, or to it, is delivered.
    pub(super) fn in_contact(&mut self, device: u32) {
        let membership = &mut self.membership;
        membership.seen_ns[device as usize] = self.now_ns;
        if !std::mem::take(&mut membership.gone[device as usize]) {
            return;
        }
        let due_ns = self.now_ns + membership.retention_ns;
        self.agenda.schedule(due_ns, Event::Absence { device });
        self.emit(&Fact::Member { device, gone: false });
        self.announce(SeatChange::Back { replica: ReplicaId(device) });
    }

    /// Tells all whom it concerns; who is gone cannot be told so.
    fn announce(&mut self, change: SeatChange) {
        for device in 0..self.hosts.len() {
            if change == (SeatChange::Gone { replica: ReplicaId(device as u32) }) {
                continue;
            }
            if self.hosts[device].running() {
                self.enqueue_input(device, HostInput::Seat(change), 0);
            } else {
                self.hosts[device].missed.push(change);
            }
        }
    }

    /// A process that starts again hears what it missed.
    pub(super) fn tell_missed(&mut self, device: usize) {
        for change in std::mem::take(&mut self.hosts[device].missed) {
            self.enqueue_input(device, HostInput::Seat(change), 0);
        }
    }
}
