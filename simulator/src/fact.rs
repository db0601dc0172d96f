//! What happened: the facts that a world emits, one at a time, in order of virtual time.

use crate::workload::Asked;
use reconverge_strategies::{Change, Content, Digest, Edit, EditId, Rendering};
use std::fmt;

/// The phases of a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Edits, weather, faults.
    Work,
    /// All links up, batteries full, no new edits.
    Heal,
    /// The end of talking, or the deadline.
    End,
}

/// Why an asked edit was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotMade {
    /// The device is dead, or its process is not running.
    Blocked,
    /// It would have no effect in the author's view.
    Void,
}

/// Why a process stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The operating system killed it; what it wrote is there.
    Killed,
    /// The battery is empty: the device shut down in order.
    Battery,
    /// The power failed: what was not synced to storage is gone.
    Power,
}

/// Something that happened. Devices are numbered as replicas are.
#[derive(Clone, Copy, Debug)]
pub enum Fact<'a> {
    /// A phase began.
    Phase(Phase),
    /// Class A: a user wants to edit.
    Asked {
        /// Number of the asked edit.
        number: u32,
        /// What is asked.
        asked: &'a Asked,
    },
    /// It came to nothing.
    NotMade {
        /// Number of the asked edit.
        number: u32,
        /// Why.
        why: NotMade,
    },
    /// A user made an edit.
    EditMade {
        /// Its name.
        id: EditId,
        /// Number of the asked edit; none for an answer to a prompt.
        number: Option<u32>,
        /// The edit.
        edit: &'a Edit,
        /// When the user acted: earlier than now where the processor was busy.
        acted_ns: u64,
        /// What the author saw of the cell (for a delete: of the record) just before, where that matters.
        seen: &'a Rendering,
        /// For an answer: what the prompt showed.
        prompted: &'a [Content],
    },
    /// The own replica shows it (or, where its authority decides, has taken note of it).
    EditDone {
        /// Its name.
        id: EditId,
        /// When the user acted.
        acted_ns: u64,
    },
    /// A replica reported a change.
    Changed {
        /// Where.
        device: u32,
        /// What.
        change: Change,
    },
    /// Everything that a device did is on its storage.
    Committed {
        /// Where.
        device: u32,
    },
    /// The schedule let a replica talk.
    Synced {
        /// Which.
        device: u32,
        /// With whom.
        peer: u32,
    },
    /// A message left.
    Sent {
        /// The sender.
        from: u32,
        /// The receiver.
        to: u32,
        /// What was written.
        bytes: &'a [u8],
        /// When it reaches the receiver's link; none where it is lost.
        arrives_ns: Option<u64>,
    },
    /// A message arrived.
    Delivered {
        /// The sender.
        from: u32,
        /// The receiver.
        to: u32,
        /// Its length.
        bytes: u64,
    },
    /// A message was lost, or its session was cut.
    Dropped {
        /// The sender.
        from: u32,
        /// The receiver.
        to: u32,
        /// Its length.
        bytes: u64,
    },
    /// A session began.
    SessionOpened {
        /// The side that dialled.
        device: u32,
        /// The other side.
        peer: u32,
    },
    /// A session ended, or did not come about.
    SessionLost {
        /// The side that dialled.
        device: u32,
        /// The other side.
        peer: u32,
        /// Whether it had begun.
        was_open: bool,
    },
    /// Class A: a link became usable or unusable.
    Link {
        /// Whose.
        device: u32,
        /// Which of the two.
        up: bool,
    },
    /// Class A: a charger came or went.
    Plugged {
        /// Whose.
        device: u32,
        /// Which of the two.
        plugged: bool,
    },
    /// Class A: a user came or went.
    Present {
        /// Whose.
        device: u32,
        /// Which of the two.
        present: bool,
    },
    /// Class A: the operating system wants to kill a process.
    Kill {
        /// Whose.
        device: u32,
    },
    /// Class A: the power of a device fails.
    PowerFails {
        /// Whose.
        device: u32,
    },
    /// A process stopped.
    Stopped {
        /// Whose.
        device: u32,
        /// Why.
        why: Stop,
    },
    /// What a device did last is on no storage, and its power failed: there it never happened.
    Forgotten {
        /// Where.
        device: u32,
        /// The last so many edits made there are gone.
        edits: u64,
        /// The last so many facts [`Fact::EditDone`] and [`Fact::Changed`] of that device are void.
        reports: u64,
    },
    /// A replica comes back as another one: its peers may know more of it than itself.
    Reborn {
        /// Whose.
        device: u32,
        /// Its incarnation from now on.
        incarnation: u32,
    },
    /// A process runs again.
    Restarted {
        /// Whose.
        device: u32,
        /// Work of the recovery.
        work_units: u64,
    },
    /// Class C, because contact is: the membership service takes a replica to be gone, or back.
    Member {
        /// Which.
        device: u32,
        /// Gone; else back.
        gone: bool,
    },
    /// A user was shown a conflict.
    Prompted {
        /// Whose device.
        device: u32,
        /// How many alternatives.
        alternatives: u32,
    },
    /// A user answered, or found the conflict gone.
    Answered {
        /// Whose device.
        device: u32,
        /// How long it stood open.
        open_ns: u64,
        /// Whether there was still something to answer.
        resolves: bool,
    },
}

/// Somebody who listens. A probe sees facts and nothing else: it can never influence a run.
pub trait Probe {
    /// Takes note of a fact.
    fn observe(&mut self, at_ns: u64, fact: &Fact<'_>);
}

impl Fact<'_> {
    /// Whether it is part of the world that every strategy meets alike.
    pub fn is_world(&self) -> bool {
        matches!(
            self,
            Fact::Asked { .. }
                | Fact::Link { .. }
                | Fact::Plugged { .. }
                | Fact::Present { .. }
                | Fact::Kill { .. }
                | Fact::PowerFails { .. }
        )
    }

    /// The device it happened on, where it is one.
    pub fn device(&self) -> Option<u32> {
        Some(match self {
            Fact::Phase(_) | Fact::NotMade { .. } => return None,
            Fact::Asked { asked, .. } => asked.seat,
            Fact::EditMade { id, .. } | Fact::EditDone { id, .. } => id.origin.0,
            Fact::Changed { device, .. }
            | Fact::Committed { device }
            | Fact::Synced { device, .. }
            | Fact::SessionOpened { device, .. }
            | Fact::SessionLost { device, .. }
            | Fact::Link { device, .. }
            | Fact::Plugged { device, .. }
            | Fact::Present { device, .. }
            | Fact::Kill { device }
            | Fact::PowerFails { device }
            | Fact::Forgotten { device, .. }
            | Fact::Reborn { device, .. }
            | Fact::Stopped { device, .. }
            | Fact::Restarted { device, .. }
            | Fact::Member { device, .. }
            | Fact::Prompted { device, .. }
            | Fact::Answered { device, .. } => *device,
            Fact::Sent { from, .. } => *from,
            Fact::Delivered { to, .. } | Fact::Dropped { to, .. } => *to,
        })
    }

    /// Its kind in one word, as in `episode.csv`.
    pub fn name(&self) -> &'static str {
        match self {
            Fact::Phase(_) => "phase",
            Fact::Asked { .. } => "asked",
            Fact::NotMade { .. } => "not-made",
            Fact::EditMade { .. } => "edit",
            Fact::EditDone { .. } => "edit-done",
            Fact::Changed { .. } => "change",
            Fact::Committed { .. } => "committed",
            Fact::Synced { .. } => "sync",
            Fact::Sent { .. } => "sent",
            Fact::Delivered { .. } => "delivered",
            Fact::Dropped { .. } => "dropped",
            Fact::SessionOpened { .. } => "session-opened",
            Fact::SessionLost { .. } => "session-lost",
            Fact::Link { .. } => "link",
            Fact::Plugged { .. } => "plugged",
            Fact::Present { .. } => "present",
            Fact::Kill { .. } => "kill",
            Fact::PowerFails { .. } => "power-fails",
            Fact::Forgotten { .. } => "forgotten",
            Fact::Reborn { .. } => "reborn",
            Fact::Stopped { .. } => "stopped",
            Fact::Restarted { .. } => "restarted",
            Fact::Member { .. } => "member",
            Fact::Prompted { .. } => "prompted",
            Fact::Answered { .. } => "answered",
        }
    }

    /// Adds it to a digest.
    pub fn digest(&self, at_ns: u64, digest: &mut Digest) {
        digest.word(at_ns);
        let id = |digest: &mut Digest, id: &EditId| {
            digest.word(u64::from(id.origin.0));
            digest.word(id.sequence);
        };
        let words = |digest: &mut Digest, tag: u64, words: [u64; 2]| {
            digest.word(tag);
            digest.word(words[0]);
            digest.word(words[1]);
        };
        match self {
            Fact::Phase(phase) => words(digest, 1, [*phase as u64, 0]),
            Fact::Asked { number, asked } => {
                words(digest, 2, [u64::from(*number), 0]);
                asked.digest(digest);
            }
            Fact::NotMade { number, why } => words(digest, 3, [u64::from(*number), *why as u64]),
            Fact::EditMade { id: name, edit, acted_ns, .. } => {
                words(digest, 4, [*acted_ns, edit.content_bytes()]);
                id(digest, name);
                digest_edit(edit, digest);
            }
            Fact::EditDone { id: name, acted_ns } => {
                words(digest, 5, [*acted_ns, 0]);
                id(digest, name);
            }
            Fact::Changed { device, change } => {
                digest.word(6 | u64::from(*device) << 32);
                match change {
                    Change::Applied { edit } => {
                        digest.word(1);
                        id(digest, edit);
                    }
                    Change::Replaced { edit, by } => {
                        digest.word(2);
                        id(digest, edit);
                        id(digest, by);
                    }
                    Change::Conflicted { cell, edit, with } => {
                        digest.word(3 | u64::from(cell.record.0) << 32);
                        digest.word(u64::from(cell.field.0));
                        id(digest, edit);
                        id(digest, with);
                    }
                    Change::Acknowledged { edit } => {
                        digest.word(4);
                        id(digest, edit);
                    }
                    Change::Refused { edit, reason } => {
                        digest.word(5 | (*reason as u64) << 32);
                        id(digest, edit);
                    }
                }
            }
            Fact::Committed { device } => words(digest, 7, [u64::from(*device), 0]),
            Fact::Synced { device, peer } => {
                words(digest, 8, [u64::from(*device), u64::from(*peer)]);
            }
            Fact::Sent { from, to, bytes, arrives_ns } => {
                words(digest, 9, [u64::from(*from), u64::from(*to)]);
                digest.bytes(bytes);
                digest.word(arrives_ns.unwrap_or(u64::MAX));
            }
            Fact::Delivered { from, to, bytes } => {
                words(digest, 10, [u64::from(*from) << 32 | u64::from(*to), *bytes]);
            }
            Fact::Dropped { from, to, bytes } => {
                words(digest, 11, [u64::from(*from) << 32 | u64::from(*to), *bytes]);
            }
            Fact::SessionOpened { device, peer } => {
                words(digest, 12, [u64::from(*device), u64::from(*peer)]);
            }
            Fact::SessionLost { device, peer, was_open } => {
                words(digest, 13 | u64::from(*was_open) << 32, [(*device).into(), (*peer).into()]);
            }
            Fact::Link { device, up } => words(digest, 14, [u64::from(*device), u64::from(*up)]),
            Fact::Plugged { device, plugged } => {
                words(digest, 15, [u64::from(*device), u64::from(*plugged)]);
            }
            Fact::Present { device, present } => {
                words(digest, 16, [u64::from(*device), u64::from(*present)]);
            }
            Fact::Kill { device } => words(digest, 17, [u64::from(*device), 0]),
            Fact::Stopped { device, why } => words(digest, 18, [(*device).into(), *why as u64]),
            Fact::Restarted { device, work_units } => {
                words(digest, 19, [u64::from(*device), *work_units]);
            }
            Fact::Member { device, gone } => {
                words(digest, 22, [u64::from(*device), u64::from(*gone)]);
            }
            Fact::Prompted { device, alternatives } => {
                words(digest, 20, [u64::from(*device), u64::from(*alternatives)]);
            }
            Fact::Answered { device, open_ns, resolves } => {
                words(digest, 21 | u64::from(*resolves) << 32, [u64::from(*device), *open_ns]);
            }
            Fact::PowerFails { device } => words(digest, 22, [u64::from(*device), 0]),
            Fact::Forgotten { device, edits, reports } => {
                words(digest, 23 | u64::from(*device) << 32, [*edits, *reports]);
            }
            Fact::Reborn { device, incarnation } => {
                words(digest, 24, [u64::from(*device), u64::from(*incarnation)]);
            }
        }
    }
}

fn digest_edit(edit: &Edit, digest: &mut Digest) {
    match edit {
        Edit::Put { value, .. } => digest.bytes(value.as_str().as_bytes()),
        Edit::Delete { record } => digest.word(record.0.into()),
        Edit::Add { amount, .. } => digest.word(*amount as u64),
        Edit::Insert { element, .. } | Edit::Remove { element, .. } => {
            digest.bytes(element.as_str().as_bytes());
        }
        Edit::Splice { at, delete, insert, .. } => {
            digest.word(*at as u64);
            digest.word(*delete as u64);
            digest.bytes(insert.as_bytes());
        }
        Edit::Resolve { content, seen, .. } => {
            digest.content(content);
            digest.word(seen.len() as u64);
        }
    }
}

/// A virtual time as `hh:mm:ss.nnnnnnnnn`.
pub fn clock_text(at_ns: u64) -> String {
    let s = at_ns / 1_000_000_000;
    format!("{:02}:{:02}:{:02}.{:09}", s / 3600, s / 60 % 60, s % 60, at_ns % 1_000_000_000)
}

impl fmt::Display for Fact<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let on_off = |on: bool, yes: &'static str, no: &'static str| if on { yes } else { no };
        match self {
            Fact::Phase(phase) => write!(f, "phase {phase:?}"),
            Fact::Asked { number, asked } => {
                let (kind, seat) = (asked.kind.name(), asked.seat);
                write!(
                    f,
                    "r{seat} is asked for edit #{number}: {kind} in record {}",
                    asked.record.0
                )
            }
            Fact::NotMade { number, why } => write!(f, "edit #{number} is not made: {why:?}"),
            Fact::EditMade { id, edit, .. } => write!(f, "{} makes edit {id}: {edit:?}", id.origin),
            Fact::EditDone { id, .. } => write!(f, "{} shows its edit {id}", id.origin),
            Fact::Changed { device, change } => match change {
                Change::Applied { edit } => write!(f, "r{device} applied {edit}"),
                Change::Replaced { edit, by } => write!(f, "r{device} replaced {edit} by {by}"),
                Change::Conflicted { cell, edit, with } => {
                    write!(f, "r{device} shows a conflict in {cell}: {edit} with {with}")
                }
                Change::Acknowledged { edit } => write!(f, "r{device} learns that {edit} is safe"),
                Change::Refused { edit, reason } => {
                    write!(f, "r{device} learns that {edit} is refused: {reason:?}")
                }
            },
            Fact::Committed { device } => write!(f, "r{device} has everything on storage"),
            Fact::Synced { device, peer } => write!(f, "r{device} may talk to r{peer}"),
            Fact::Sent { from, to, bytes, arrives_ns } => {
                write!(f, "r{from} sends {} bytes to r{to}, ", bytes.len())?;
                match arrives_ns {
                    Some(at_ns) => write!(f, "arriving {}", clock_text(*at_ns)),
                    None => f.write_str("never arriving"),
                }
            }
            Fact::Delivered { from, to, bytes } => {
                write!(f, "r{to} receives {bytes} bytes from r{from}")
            }
            Fact::Dropped { from, to, bytes } => {
                write!(f, "{bytes} bytes from r{from} to r{to} are lost")
            }
            Fact::SessionOpened { device, peer } => {
                write!(f, "session between r{device} and r{peer} opens")
            }
            Fact::SessionLost { device, peer, was_open: true } => {
                write!(f, "session between r{device} and r{peer} is cut")
            }
            Fact::SessionLost { device, peer, was_open: false } => {
                write!(f, "session between r{device} and r{peer} does not come about")
            }
            Fact::Link { device, up } => {
                write!(f, "link of r{device} goes {}", on_off(*up, "up", "down"))
            }
            Fact::Plugged { device, plugged } => {
                write!(f, "charger of r{device} is {}", on_off(*plugged, "plugged in", "unplugged"))
            }
            Fact::Present { device, present } => {
                write!(f, "user of r{device} {}", on_off(*present, "is present", "leaves"))
            }
            Fact::Kill { device } => write!(f, "the system wants to kill the process on r{device}"),
            Fact::PowerFails { device } => write!(f, "power of r{device} fails"),
            Fact::Stopped { device, why } => {
                let why = match why {
                    Stop::Killed => "it was killed",
                    Stop::Battery => "its battery is empty",
                    Stop::Power => "its power failed",
                };
                write!(f, "r{device} stops: {why}")
            }
            Fact::Reborn { device, incarnation } => {
                write!(f, "r{device} comes back as its incarnation {incarnation}")
            }
            Fact::Forgotten { device, edits, reports } => {
                write!(f, "r{device} has lost its last {edits} edits and {reports} reports")
            }
            Fact::Restarted { device, work_units } => {
                write!(f, "r{device} runs again after {work_units} units of recovery")
            }
            Fact::Member { device, gone } => {
                let what = on_off(*gone, "is taken to be gone", "is back");
                write!(f, "r{device} {what}: all members are told")
            }
            Fact::Prompted { device, alternatives } => {
                write!(f, "user of r{device} is shown {alternatives} alternatives")
            }
            Fact::Answered { device, resolves, .. } => {
                let what = on_off(*resolves, "resolves the conflict", "finds the conflict gone");
                write!(f, "user of r{device} {what}")
            }
        }
    }
}
