//! The leading byte, and the fields that may follow it.

use crate::contract::Malformed;
use crate::document::ReplicaId;
use crate::wire::{Reader, Writer};

/// The version in which the strategy's own bytes follow the leading byte.
pub const PLAIN: u8 = 1;
/// The version in which fields stand before them; the newest that this release reads.
pub const WITH_FIELDS: u8 = 2;
/// Most bytes that a field may hold.
const MOST_BYTES: usize = 255;

/// The leading byte of a message: in which version it is written, and which one its sender reads.
pub const fn lead(version: u8, reads: u8) -> u8 {
    reads << 4 | version
}

/// What names a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FieldKey {
    /// What it means, to releases that know.
    pub tag: u32,
    /// Who says so.
    pub author: ReplicaId,
}

impl FieldKey {
    /// Writes it.
    pub fn write(&self, writer: &mut Writer) {
        writer.uint(u64::from(self.tag));
        writer.replica(self.author);
    }

    /// Reads one.
    ///
    /// # Errors
    /// [`Malformed`] where the numbers are out of range.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(FieldKey { tag: reader.uint32()?, author: reader.replica()? })
    }
}

/// Something that a later release says of a document, beside what its strategy says: one value for each tag and author, of which the one with the
/// highest number holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub key: FieldKey,
    /// Grows whenever its author says something else.
    pub number: u64,
    /// What is said, at most 255 bytes; `None` confirms that the sender has this number.
    pub content: Option<Vec<u8>>,
}

impl Field {
    /// The same without its content.
    pub fn confirmation(&self) -> Self {
        Field { key: self.key, number: self.number, content: None }
    }

    /// What it takes to keep it.
    pub fn bytes(&self) -> u64 {
        16 + self.content.as_ref().map_or(0, Vec::len) as u64
    }

    /// Writes it: key, number, and the length of the content plus one.
    pub fn write(&self, writer: &mut Writer) {
        self.key.write(writer);
        writer.uint(self.number);
        match &self.content {
            None => writer.uint(0),
            Some(content) => {
                writer.count(content.len() + 1);
                writer.raw(content);
            }
        }
    }

    /// Reads one.
    ///
    /// # Errors
    /// [`Malformed`] where it makes no sense or is too long.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let (key, number) = (FieldKey::read(reader)?, reader.uint()?);
        let content = match reader.uint()? {
            0 => None,
            more if more > MOST_BYTES as u64 + 1 => return Err(Malformed("field is too long")),
            more => Some(reader.raw(more as usize - 1)?.to_vec()),
        };
        Ok(Field { key, number, content })
    }
}

/// A message without its leading byte.
#[derive(Debug)]
pub struct Opened<'a> {
    /// The newest version that its sender reads.
    pub reads: u8,
    /// The fields, in a message of version 2.
    pub told: Option<Vec<Field>>,
    /// The strategy's own bytes; a message of version 2 may be without.
    pub body: Option<&'a [u8]>,
}

/// Reads the leading byte and the fields.
///
/// # Errors
/// [`Malformed`] where the version is unknown or the fields make no sense.
pub fn open(bytes: &[u8]) -> Result<Opened<'_>, Malformed> {
    let mut reader = Reader::new(bytes);
    let first = reader.byte()?;
    let (version, reads) = (first & 0x0f, first >> 4);
    if version == 0 || reads < version {
        return Err(Malformed("not a version of the wire format"));
    }
    if version > WITH_FIELDS {
        return Err(Malformed("a newer version of the wire format: this replica reads 1 and 2"));
    }
    if version == PLAIN {
        return Ok(Opened { reads, told: None, body: Some(&bytes[1..]) });
    }
    let head = reader.uint()?;
    let mut told: Vec<Field> = Vec::new();
    for _ in 0..head >> 1 {
        let field = Field::read(&mut reader)?;
        if told.last().is_some_and(|last| last.key >= field.key) {
            return Err(Malformed("fields are not ascending"));
        }
        told.push(field);
    }
    if told.is_empty() {
        return Err(Malformed("version 2 without fields"));
    }
    let rest = reader.raw(reader.remaining())?;
    if head & 1 == 0 && !rest.is_empty() {
        return Err(Malformed("bytes left over"));
    }
    Ok(Opened { reads, told: Some(told), body: (head & 1 == 1).then_some(rest) })
}

/// Writes a message: with fields in version 2, without in version 1.
pub fn write(reads: u8, told: Option<&[Field]>, body: Option<Vec<u8>>) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.byte(lead(if told.is_some() { WITH_FIELDS } else { PLAIN }, reads));
    if let Some(told) = told {
        writer.uint((told.len() as u64) << 1 | u64::from(body.is_some()));
        told.iter().for_each(|field| field.write(&mut writer));
    }
    writer.raw(&body.unwrap_or_default());
    writer.finish()
}
