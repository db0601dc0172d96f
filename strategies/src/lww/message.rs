//! What last-writer-wins replicas say to each other: batches of updates, and acknowledgements of them.
//!
//! A message begins with a byte that says what it is. An acknowledgement (0; over datagrams 1) holds the number of the batch and, over
//! datagrams, the number of the next batch of its sender: of earlier ones that have not come yet, what matters will be repeated. An
//! authority adds what became of the writes in the batch. A batch (2 and flags) holds its number, how far below it the earliest batch lies
//! that may be repeated, for a snapshot the number up to which the receiver's batches have come and the latest time of a grave that was
//! forgotten, and then updates.

use super::store::{Receipts, Rules, Store};
use crate::contract::Malformed;
use crate::wire::{Reader, Writer};

const ACKNOWLEDGEMENT: u8 = 0;
const ACKNOWLEDGEMENT_WITH_FLOOR: u8 = 1;
const BATCH: u8 = 2;
const ASKS_EVERYTHING: u8 = 4;
const ASKS_SNAPSHOT: u8 = 8;
const IS_SNAPSHOT: u8 = 16;

/// One message.
pub(crate) enum Message<U> {
    /// Latest values.
    Batch { head: Head, updates: U },
    /// A batch has come.
    Acknowledge(Acknowledgement),
}

/// What a batch says beside its updates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub number: u64,
    /// Batches below this number will not be repeated.
    pub lowest: u64,
    /// The sender wants all that the receiver has.
    pub asks_everything: bool,
    /// The sender has lost memory and wants a snapshot; what it sends may be long deleted.
    pub asks_snapshot: bool,
    /// Where all that the sender has is in here.
    pub snapshot: Option<Snapshot>,
}

/// What a snapshot adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Snapshot {
    /// One more than the latest batch of the receiver that was taken.
    pub received: u64,
    /// The latest time in a grave that the sender has forgotten.
    pub forgotten: u64,
}

/// That a batch has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Acknowledgement {
    pub number: u64,
    /// The next batch of who acknowledges; where messages overtake each other.
    pub floor: Option<u64>,
    /// What an authority did with the writes in the batch.
    pub receipts: Receipts,
}

impl<U> Message<U> {
    pub fn read<'a, S: Store<Updates<'a> = U>>(
        rules: Rules,
        bytes: &'a [u8],
    ) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let kind = reader.byte()?;
        let number = reader.uint()?;
        let message = match kind {
            ACKNOWLEDGEMENT | ACKNOWLEDGEMENT_WITH_FLOOR => {
                let with_floor = kind == ACKNOWLEDGEMENT_WITH_FLOOR;
                let floor = if with_floor { Some(reader.uint()?) } else { None };
                let receipts = read_receipts(rules, &mut reader)?;
                Message::Acknowledge(Acknowledgement { number, floor, receipts })
            }
            _ if kind & !(ASKS_EVERYTHING | ASKS_SNAPSHOT | IS_SNAPSHOT) == BATCH => {
                let lowest = number.checked_sub(reader.uint()?);
                let mut snapshot = None;
                if kind & IS_SNAPSHOT != 0 {
                    let (received, forgotten) = (reader.uint()?, reader.uint()?);
                    snapshot = Some(Snapshot { received, forgotten });
                }
                let head = Head {
                    number,
                    lowest: lowest.ok_or(Malformed("a batch before the first"))?,
                    asks_everything: kind & ASKS_EVERYTHING != 0,
                    asks_snapshot: kind & ASKS_SNAPSHOT != 0,
                    snapshot,
                };
                Message::Batch { head, updates: S::read(rules, &mut reader)? }
            }
            _ => return Err(Malformed("unknown kind of message")),
        };
        reader.end()?;
        Ok(message)
    }
}

/// Decodes a message and encodes it again.
pub(crate) fn recode<S: Store>(rules: Rules, bytes: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut writer = Writer::new();
    match Message::read::<S>(rules, bytes)? {
        Message::Batch { head, updates } => {
            head.write(&mut writer);
            S::rewrite(rules, &updates, &mut writer);
        }
        Message::Acknowledge(acknowledgement) => acknowledgement.write(rules, &mut writer),
    }
    Ok(writer.finish())
}

impl Head {
    pub fn write(&self, writer: &mut Writer) {
        let flag = |yes, flag| if yes { flag } else { 0 };
        writer.byte(
            BATCH
                | flag(self.asks_everything, ASKS_EVERYTHING)
                | flag(self.asks_snapshot, ASKS_SNAPSHOT)
                | flag(self.snapshot.is_some(), IS_SNAPSHOT),
        );
        writer.uint(self.number);
        writer.uint(self.number - self.lowest);
        if let Some(Snapshot { received, forgotten }) = self.snapshot {
            writer.uint(received);
            writer.uint(forgotten);
        }
    }
}

impl Acknowledgement {
    pub fn write(&self, rules: Rules, writer: &mut Writer) {
        let with_floor = self.floor.is_some();
        writer.byte(if with_floor { ACKNOWLEDGEMENT_WITH_FLOOR } else { ACKNOWLEDGEMENT });
        writer.uint(self.number);
        self.floor.into_iter().for_each(|floor| writer.uint(floor));
        if rules.orders_by_arrival() {
            write_receipts(writer, &self.receipts);
        }
    }
}

/// Each as differences from the one before.
fn write_receipts(writer: &mut Writer, receipts: &Receipts) {
    writer.count(receipts.len());
    let (mut last_write, mut last_time) = (0, 0);
    for (write, time) in receipts {
        writer.uint(write - last_write);
        last_write = *write;
        match time {
            None => writer.byte(0),
            Some(time) => {
                writer.byte(1);
                writer.int(time.wrapping_sub(last_time) as i64);
                last_time = *time;
            }
        }
    }
}

fn read_receipts(rules: Rules, reader: &mut Reader<'_>) -> Result<Receipts, Malformed> {
    let mut receipts = Receipts::new();
    if !rules.orders_by_arrival() {
        return Ok(receipts);
    }
    let (mut last_write, mut last_time) = (0u64, 0u64);
    for _ in 0..reader.count(2)? {
        let write = last_write.checked_add(reader.uint()?).filter(|write| *write > last_write);
        last_write = write.ok_or(Malformed("writes are not ascending"))?;
        let time = match reader.byte()? {
            0 => None,
            1 => {
                last_time = last_time.wrapping_add(reader.int()? as u64);
                if last_time == 0 || last_time >> 62 != 0 {
                    return Err(Malformed("impossible number"));
                }
                Some(last_time)
            }
            _ => return Err(Malformed("neither a number nor none")),
        };
        receipts.push((last_write, time));
    }
    Ok(receipts)
}
