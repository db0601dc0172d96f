//! What replicas say to each other: rumors, what was known of them, checksums, and whatever replicas by version say.
//!
//! A message begins with flags that say which of its parts follow, in this order.

use crate::contract::Malformed;
use crate::crdt::versions::{RumorMessage, recode_message};
use crate::wire::{Reader, Writer};

const PUSH: u8 = 1;
const FEEDBACK: u8 = 2;
const CHECKSUM: u8 = 4;
const ANSWERS: u8 = 8;
const INNER: u8 = 16;

/// A message. At least one part is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message<'a> {
    /// The operations in `inner` are rumors; number of the push.
    pub push: Option<u64>,
    /// Which rumors of the push of that number were known.
    pub feedback: Option<(u64, Vec<bool>)>,
    /// A digest of all that the sender has.
    pub checksum: Option<u64>,
    /// The checksum is not to be answered by one that equals it.
    pub answers: bool,
    /// A message as between replicas by version.
    pub inner: Option<&'a [u8]>,
}

impl<'a> Message<'a> {
    /// Writes it.
    pub fn write(&self) -> Vec<u8> {
        let flag = |is_set, flag| if is_set { flag } else { 0 };
        let mut writer = Writer::new();
        writer.byte(
            flag(self.push.is_some(), PUSH)
                | flag(self.feedback.is_some(), FEEDBACK)
                | flag(self.checksum.is_some(), CHECKSUM)
                | flag(self.answers, ANSWERS)
                | flag(self.inner.is_some(), INNER),
        );
        if let Some(number) = self.push {
            writer.uint(number);
        }
        if let Some((number, known)) = &self.feedback {
            writer.uint(*number);
            writer.count(known.len());
            for eight in known.chunks(8) {
                writer.byte((0..).zip(eight).map(|(bit, known)| u8::from(*known) << bit).sum());
            }
        }
        if let Some(checksum) = self.checksum {
            writer.raw(&checksum.to_le_bytes());
        }
        if let Some(inner) = self.inner {
            writer.raw(inner);
        }
        writer.finish()
    }

    /// Reads a message; what `inner` says is not looked at.
    ///
    /// # Errors
    /// [`Malformed`] where it makes no sense.
    pub fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let flags = reader.byte()?;
        let has = |flag: u8| flags & flag != 0;
        if flags & (PUSH | FEEDBACK | CHECKSUM | INNER) == 0
            || flags > PUSH | FEEDBACK | CHECKSUM | ANSWERS | INNER
            || has(PUSH) && !has(INNER)
            || has(PUSH) && has(FEEDBACK)
            || has(ANSWERS) && !has(CHECKSUM)
        {
            return Err(Malformed("unknown kind of message"));
        }
        let push = if has(PUSH) { Some(reader.uint()?) } else { None };
        let feedback = if has(FEEDBACK) { Some(read_feedback(&mut reader)?) } else { None };
        let checksum = match has(CHECKSUM) {
            true => {
                let bytes = reader.raw(8)?.try_into().expect("eight bytes");
                Some(u64::from_le_bytes(bytes))
            }
            false => None,
        };
        let inner = if has(INNER) { Some(reader.raw(reader.remaining())?) } else { None };
        reader.end()?;
        Ok(Message { push, feedback, checksum, answers: has(ANSWERS), inner })
    }
}

fn read_feedback(reader: &mut Reader<'_>) -> Result<(u64, Vec<bool>), Malformed> {
    let (number, count) = (reader.uint()?, reader.uint()?);
    let bytes = usize::try_from(count.div_ceil(8)).map_err(|_| Malformed("too much feedback"))?;
    let bits = reader.raw(bytes)?;
    let is_set = |n: u64| bits[(n / 8) as usize] & 1 << (n % 8) != 0;
    if count == 0 || (count..bytes as u64 * 8).any(is_set) {
        return Err(Malformed("feedback on nothing"));
    }
    Ok((number, (0..count).map(is_set).collect()))
}

/// Reads a message and writes it again.
///
/// # Errors
/// [`Malformed`] where it makes no sense.
pub fn recode(bytes: &[u8]) -> Result<Vec<u8>, Malformed> {
    let message = Message::read(bytes)?;
    let inner = message.inner.map(recode_message).transpose()?;
    if let (Some(_), Some(inner)) = (message.push, &inner)
        && RumorMessage::read(inner)?.operations() == 0
    {
        return Err(NO_RUMORS);
    }
    Ok(Message { inner: inner.as_deref(), ..message }.write())
}

/// A push without rumors.
pub const NO_RUMORS: Malformed = Malformed("a push of nothing");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn feedback_has_one_form() {
        let known: Vec<bool> = (0..11).map(|n| n % 3 == 0).collect();
        let message = Message {
            feedback: Some((300, known)),
            checksum: Some(u64::MAX - 1),
            ..Message::default()
        };
        let mut bytes = message.write();
        assert_eq!(bytes.len(), 1 + 2 + 1 + 2 + 8);
        assert_eq!(Message::read(&bytes), Ok(message));
        bytes[5] |= 0x80;
        assert!(Message::read(&bytes).is_err(), "a mark for a rumor that was not there");
        for bytes in [&[FEEDBACK, 1, 0][..], &[PUSH, 1], &[ANSWERS], &[0], &[32]] {
            assert!(Message::read(bytes).is_err(), "{bytes:?}");
        }
    }
}
