//! How strategies write and read bytes: LEB128 variable-length integers, length-prefixed strings, and a reader that trusts
//! nothing. Allocations are bounded by the bytes actually present.

use crate::contract::Malformed;
use crate::document::{Cell, Content, EditId, FieldId, RecordId, ReplicaId, Value};
use std::collections::BTreeSet;

/// Appends fields to a message.
#[derive(Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// An empty message, with room for what most messages need.
    pub fn new() -> Self {
        Writer { bytes: Vec::with_capacity(96) }
    }

    /// Continues after bytes that are already there.
    pub fn after(bytes: Vec<u8>) -> Self {
        Writer { bytes }
    }

    /// The message.
    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }

    /// Bytes written so far.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing was written yet.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// One byte.
    pub fn byte(&mut self, byte: u8) {
        self.bytes.push(byte);
    }

    /// An unsigned integer, seven bits a byte, least significant first.
    pub fn uint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    /// A signed integer, zigzag.
    pub fn int(&mut self, value: i64) {
        self.uint((value << 1 ^ value >> 63) as u64);
    }

    /// A number of things that follow.
    pub fn count(&mut self, count: usize) {
        self.uint(count as u64);
    }

    /// Bytes as they are, without a length.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Bytes preceded by their length.
    pub fn blob(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.raw(bytes);
    }

    /// A string preceded by its length in bytes.
    pub fn str(&mut self, text: &str) {
        self.blob(text.as_bytes());
    }

    /// A replica; genesis is written as 0.
    pub fn replica(&mut self, replica: ReplicaId) {
        self.uint(u64::from(replica.0.wrapping_add(1)));
    }

    /// An edit's name.
    pub fn edit_id(&mut self, id: EditId) {
        self.replica(id.origin);
        self.uint(id.sequence);
    }

    /// A cell.
    pub fn cell(&mut self, cell: Cell) {
        self.uint(u64::from(cell.record.0));
        self.uint(u64::from(cell.field.0));
    }

    /// A cell's content; the kind is in the first byte.
    pub fn content(&mut self, content: &Content) {
        match content {
            Content::Register(None) => self.byte(0),
            Content::Register(Some(value)) => {
                self.byte(1);
                self.str(value.as_str());
            }
            Content::Counter(sum) => {
                self.byte(2);
                self.int(*sum);
            }
            Content::Set(elements) => {
                self.byte(3);
                self.count(elements.len());
                for element in elements {
                    self.str(element.as_str());
                }
            }
            Content::Text(text) => {
                self.byte(4);
                self.str(text);
            }
        }
    }
}

/// Reads fields from bytes that may be hostile.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads from the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Reader { bytes }
    }

    /// Whether everything was read.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Bytes not read yet.
    pub fn remaining(&self) -> usize {
        self.bytes.len()
    }

    /// Succeeds only where everything was read.
    ///
    /// # Errors
    /// [`Malformed`] where bytes are left over.
    pub fn end(self) -> Result<(), Malformed> {
        if self.is_empty() { Ok(()) } else { Err(Malformed("bytes left over")) }
    }

    /// One byte.
    ///
    /// # Errors
    /// [`Malformed`] at the end.
    pub fn byte(&mut self) -> Result<u8, Malformed> {
        let (first, rest) = self.bytes.split_first().ok_or(Malformed("message ends early"))?;
        self.bytes = rest;
        Ok(*first)
    }

    /// An unsigned integer in its shortest form.
    ///
    /// # Errors
    /// [`Malformed`] where it is cut off, exceeds 64 bits or has a superfluous last byte.
    pub fn uint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            if shift == 63 && byte > 1 {
                return Err(Malformed("integer exceeds 64 bits"));
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                if byte == 0 && shift > 0 {
                    return Err(Malformed("integer is not in its shortest form"));
                }
                return Ok(value);
            }
        }
        Err(Malformed("integer exceeds 64 bits"))
    }

    /// An unsigned integer of at most 32 bits.
    ///
    /// # Errors
    /// [`Malformed`] as for [`Reader::uint`], or where it exceeds 32 bits.
    pub fn uint32(&mut self) -> Result<u32, Malformed> {
        u32::try_from(self.uint()?).map_err(|_| Malformed("integer exceeds 32 bits"))
    }

    /// A signed integer, zigzag.
    ///
    /// # Errors
    /// As for [`Reader::uint`].
    pub fn int(&mut self) -> Result<i64, Malformed> {
        let value = self.uint()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// A number of things that follow, each at least `least_bytes` (at least 1) long: never more than the bytes present can hold,
    /// so that it may size an allocation.
    ///
    /// # Errors
    /// [`Malformed`] as for [`Reader::uint`], or where the bytes present cannot hold that many.
    pub fn count(&mut self, least_bytes: usize) -> Result<usize, Malformed> {
        let count = self.uint()?;
        if count > (self.bytes.len() / least_bytes.max(1)) as u64 {
            return Err(Malformed("count exceeds the message"));
        }
        Ok(count as usize)
    }

    /// The next `length` bytes.
    ///
    /// # Errors
    /// [`Malformed`] where there are fewer.
    pub fn raw(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        if length > self.bytes.len() {
            return Err(Malformed("message ends early"));
        }
        let (piece, rest) = self.bytes.split_at(length);
        self.bytes = rest;
        Ok(piece)
    }

    /// Bytes preceded by their length.
    ///
    /// # Errors
    /// [`Malformed`] where the length exceeds what is there.
    pub fn blob(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.count(1)?;
        self.raw(length)
    }

    /// A string.
    ///
    /// # Errors
    /// [`Malformed`] where the length exceeds what is there or the bytes are not UTF-8.
    pub fn str(&mut self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.blob()?).map_err(|_| Malformed("text is not UTF-8"))
    }

    /// A value or element.
    ///
    /// # Errors
    /// As for [`Reader::str`].
    pub fn value(&mut self) -> Result<Value, Malformed> {
        Ok(Value::from(self.str()?))
    }

    /// A replica.
    ///
    /// # Errors
    /// As for [`Reader::uint32`].
    pub fn replica(&mut self) -> Result<ReplicaId, Malformed> {
        Ok(ReplicaId(self.uint32()?.wrapping_sub(1)))
    }

    /// An edit's name.
    ///
    /// # Errors
    /// As for [`Reader::uint`].
    pub fn edit_id(&mut self) -> Result<EditId, Malformed> {
        Ok(EditId { origin: self.replica()?, sequence: self.uint()? })
    }

    /// A cell. The caller checks it against its schema.
    ///
    /// # Errors
    /// [`Malformed`] where the numbers are out of range.
    pub fn cell(&mut self) -> Result<Cell, Malformed> {
        let record = RecordId(self.uint32()?);
        let field =
            u16::try_from(self.uint()?).map_err(|_| Malformed("field number out of range"))?;
        Ok(Cell { record, field: FieldId(field) })
    }

    /// A cell's content.
    ///
    /// # Errors
    /// [`Malformed`] where the kind is unknown, or a set's elements are not strictly ascending.
    pub fn content(&mut self) -> Result<Content, Malformed> {
        Ok(match self.byte()? {
            0 => Content::Register(None),
            1 => Content::Register(Some(self.value()?)),
            2 => Content::Counter(self.int()?),
            3 => {
                let mut elements = BTreeSet::new();
                for _ in 0..self.count(1)? {
                    let element = self.value()?;
                    if elements.last().is_some_and(|last| *last >= element) {
                        return Err(Malformed("set elements are not ascending"));
                    }
                    elements.insert(element);
                }
                Content::Set(elements)
            }
            4 => Content::Text(self.str()?.to_owned()),
            _ => return Err(Malformed("unknown kind of content")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_survive_and_only_their_shortest_form_is_read() {
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
            let mut writer = Writer::new();
            writer.uint(value);
            writer.int(value as i64);
            let bytes = writer.finish();
            let mut reader = Reader::new(&bytes);
            assert_eq!(reader.uint(), Ok(value));
            assert_eq!(reader.int(), Ok(value as i64));
            assert_eq!(reader.end(), Ok(()));
        }
        assert!(Reader::new(&[0x80, 0x00]).uint().is_err(), "a longer form of 0");
        assert!(Reader::new(&[0xff; 10]).uint().is_err(), "65 bits and more");
        assert!(Reader::new(&[0x80]).uint().is_err(), "cut off");
    }

    #[test]
    fn a_count_cannot_exceed_the_message() {
        let mut writer = Writer::new();
        writer.uint(1 << 40);
        writer.raw(&[0; 16]);
        let bytes = writer.finish();
        assert!(Reader::new(&bytes).count(1).is_err());
        assert!(Reader::new(&bytes).blob().is_err());
    }

    #[test]
    fn contents_survive() {
        for content in [
            Content::Register(None),
            Content::Register(Some("x".into())),
            Content::Counter(-5),
            Content::Set([Value::from("a"), Value::from("b")].into()),
            Content::Text("ñ😀".into()),
        ] {
            let mut writer = Writer::new();
            writer.content(&content);
            let bytes = writer.finish();
            let mut reader = Reader::new(&bytes);
            assert_eq!(reader.content(), Ok(content));
            assert!(reader.is_empty());
        }
        assert!(Reader::new(&[3, 2, 1, b'b', 1, b'a']).content().is_err(), "not ascending");
    }
}
