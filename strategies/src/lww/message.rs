//! What last-writer-wins replicas say to each other.

use super::store::{Receipts, Rules, Store};
use crate::contract::Malformed;
use crate::wire::{Reader, Writer};

/// One message: a leading byte, a batch number, and what belongs to it.
pub(crate) enum Message<U> {
    /// Latest values.
    Batch { number: u64, ask: Ask, updates: U },
    /// A batch has come. An authority adds what became of the writes in it.
    Acknowledge { number: u64, receipts: Receipts },
}

/// What the sender of a batch wants in return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    Nothing,
    /// All that the receiver has.
    Everything,
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
            0 => Message::Acknowledge { number, receipts: read_receipts(rules, &mut reader)? },
            1 | 2 => {
                let ask = if kind == 2 { Ask::Everything } else { Ask::Nothing };
                Message::Batch { number, ask, updates: S::read(rules, &mut reader)? }
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
        Message::Batch { number, ask, updates } => {
            write_batch_head(&mut writer, number, ask);
            S::rewrite(rules, &updates, &mut writer);
        }
        Message::Acknowledge { number, receipts } => {
            write_acknowledgement(rules, &mut writer, number, &receipts);
        }
    }
    Ok(writer.finish())
}

pub(crate) fn write_batch_head(writer: &mut Writer, number: u64, ask: Ask) {
    writer.byte(if ask == Ask::Everything { 2 } else { 1 });
    writer.uint(number);
}

pub(crate) fn write_acknowledgement(
    rules: Rules,
    writer: &mut Writer,
    number: u64,
    receipts: &Receipts,
) {
    writer.byte(0);
    writer.uint(number);
    if rules.orders_by_arrival() {
        write_receipts(writer, receipts);
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
