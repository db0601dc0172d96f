//! What is known of a neighbour.

use crate::contract::Malformed;
use crate::crdt::causal::Version;
use crate::document::ReplicaId;
use crate::wire::{Reader, Writer};

/// How far a neighbour has come in this replica's stream of groups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// The position that it was told of.
    pub told: u64,
    /// Position of the first group that it lacks; what lies between is its own.
    pub next: u64,
}

/// What is known of a neighbour.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its name.
    pub id: ReplicaId,
    /// In which of its lives it is, as far as it told.
    pub incarnation: u32,
    /// Position in that life's stream of groups up to which this replica has everything.
    pub heard: u64,
    /// What it said it has of this replica's stream.
    pub confirmed: Cursor,
    /// What it has, or gets if the session lasts.
    pub sent: Cursor,
    /// Position in this replica's stream up to which it may lack anything, also what came from itself: it was in an earlier life then.
    pub reborn: u64,
    /// Where whole states travel: what it is known to have.
    pub known: Version,
    /// Where whole states travel: what it has, or gets if the session lasts.
    pub offered: Version,
    /// Whether something was said to it since the link opened.
    pub greeted: bool,
    /// Whether it said something since.
    pub answered: bool,
    /// Whether the host says that it is gone.
    pub gone: bool,
    /// Whether it spoke of what was forgotten here, and must begin a new life.
    pub again: bool,
}

impl Peer {
    /// A neighbour that nothing was heard of.
    pub fn new(id: ReplicaId) -> Self {
        Peer {
            id,
            incarnation: 0,
            heard: 0,
            confirmed: Cursor::default(),
            sent: Cursor::default(),
            reborn: 0,
            known: Version::new(),
            offered: Version::new(),
            greeted: false,
            answered: false,
            gone: false,
            again: false,
        }
    }

    /// Takes it for one that may have nothing.
    pub fn forget(&mut self) {
        (self.confirmed, self.sent) = (Cursor::default(), Cursor::default());
        (self.known, self.offered) = (Version::new(), Version::new());
    }

    /// Appends it.
    pub fn write(&self, writer: &mut Writer) {
        writer.replica(self.id);
        writer.uint(u64::from(self.incarnation));
        writer.uint(self.heard);
        for cursor in [self.confirmed, self.sent] {
            writer.uint(cursor.told);
            writer.uint(cursor.next);
        }
        writer.uint(self.reborn);
        self.known.write(writer);
        self.offered.write(writer);
        let flags = [self.greeted, self.answered, self.gone, self.again];
        writer.byte((0..).zip(flags).map(|(bit, flag)| u8::from(flag) << bit).sum());
    }

    /// Reads what [`Peer::write`] wrote.
    ///
    /// # Errors
    /// [`Malformed`] where it makes no sense.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let (id, incarnation, heard) = (reader.replica()?, reader.uint32()?, reader.uint()?);
        let mut cursor = || -> Result<Cursor, Malformed> {
            let cursor = Cursor { told: reader.uint()?, next: reader.uint()? };
            let ordered = cursor.told <= cursor.next;
            if ordered { Ok(cursor) } else { Err(Malformed("a peer's position is out of range")) }
        };
        let (confirmed, sent) = (cursor()?, cursor()?);
        let reborn = reader.uint()?;
        let (known, offered) = (Version::read(reader)?, Version::read(reader)?);
        let flags = reader.byte()?;
        if flags > 15 {
            return Err(Malformed("unknown flags of a peer"));
        }
        let [greeted, answered, gone, again] = [1, 2, 4, 8].map(|bit| flags & bit != 0);
        Ok(Peer {
            id,
            incarnation,
            heard,
            confirmed,
            sent,
            reborn,
            known,
            offered,
            greeted,
            answered,
            gone,
            again,
        })
    }
}
