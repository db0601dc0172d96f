//! What replicas say to each other: Yjs' two steps of synchronisation, updates, and acknowledgements.
//!
//! | byte | message | then |
//! |---|---|---|
//! | 1, 2 | step 1: the sender's state vector (2: as an answer to one) | incarnation, count, (client, clock) ascending |
//! | 3 | step 2: everything beyond a state vector | serial, update |
//! | 4 | what happened since | serial, update |
//! | 5 | an acknowledgement | serial |

use super::update::{Client, Update};
use crate::contract::Malformed;
use crate::wire::{Reader, Writer};
use std::collections::BTreeMap;

const STEP_1: u8 = 1;
const STEP_1_ANSWER: u8 = 2;
const STEP_2: u8 = 3;
const SINCE: u8 = 4;
const ACK: u8 = 5;

/// A state vector: how many items of each client are known; no zeros.
pub type Vector = BTreeMap<Client, u32>;

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// The sender's state vector, to be answered with the difference.
    Step1 {
        /// Whether this answers one, and wants none in return.
        answers: bool,
        /// In which of its lives the sender is.
        incarnation: u32,
        /// What the sender has.
        vector: Vector,
    },
    /// Everything beyond a state vector, and all deletions.
    Step2 {
        /// To be acknowledged.
        serial: u64,
        /// What.
        update: Update,
    },
    /// What the sender learnt since it spoke last; perhaps nothing.
    Since {
        /// To be acknowledged.
        serial: u64,
        /// What.
        update: Update,
    },
    /// An update was taken in.
    Ack {
        /// Which.
        serial: u64,
    },
}

impl Message {
    /// Writes it.
    pub fn write(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        match self {
            Message::Step1 { answers, incarnation, vector } => {
                writer.byte(if *answers { STEP_1_ANSWER } else { STEP_1 });
                writer.uint(u64::from(*incarnation));
                writer.count(vector.len());
                for (client, clock) in vector {
                    writer.uint(*client);
                    writer.uint(u64::from(*clock));
                }
            }
            Message::Step2 { serial, update } => {
                writer.byte(STEP_2);
                writer.uint(*serial);
                writer.raw(&update.write());
            }
            Message::Since { serial, update } => {
                writer.byte(SINCE);
                writer.uint(*serial);
                writer.raw(&update.write());
            }
            Message::Ack { serial } => {
                writer.byte(ACK);
                writer.uint(*serial);
            }
        }
        writer.finish()
    }

    /// Reads what [`Message::write`] wrote.
    ///
    /// # Errors
    /// [`Malformed`] where it makes no sense whatever is known here.
    pub fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let kind = reader.byte()?;
        let message = match kind {
            STEP_1 | STEP_1_ANSWER => {
                let incarnation = reader.uint32()?;
                let mut vector = Vector::new();
                for _ in 0..reader.count(2)? {
                    let (client, clock) = (reader.uint()?, reader.uint32()?);
                    if clock == 0 || vector.last_key_value().is_some_and(|last| *last.0 >= client) {
                        return Err(Malformed("a state vector is not ascending"));
                    }
                    vector.insert(client, clock);
                }
                Message::Step1 { answers: kind == STEP_1_ANSWER, incarnation, vector }
            }
            STEP_2 | SINCE => {
                let serial = reader.uint()?;
                let update = Update::read_exactly(reader.raw(reader.remaining())?)?;
                if kind == STEP_2 {
                    Message::Step2 { serial, update }
                } else {
                    Message::Since { serial, update }
                }
            }
            ACK => Message::Ack { serial: reader.uint()? },
            _ => return Err(Malformed("unknown kind of message")),
        };
        reader.end()?;
        Ok(message)
    }
}
