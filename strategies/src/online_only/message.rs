//! What a client and its server say to each other.

use crate::contract::Malformed;
use crate::document::{Cell, Content, Edit, RecordId};
use crate::wire::{Reader, Writer};

/// First byte of a [`Submission`].
pub(super) const SUBMISSION: u8 = 0;
/// First byte of a [`Submission`] that greets.
pub(super) const GREETING: u8 = 1;
const UPDATE: u8 = 2;
const FRESH_START: u8 = 3;

/// From a client: please execute these.
#[derive(Debug)]
pub(super) struct Submission {
    /// The first message of a session says what revision the client shows.
    pub shows: Option<u64>,
    /// Requests up to this number are answered, as the client knows.
    pub answered: u64,
    /// In ascending order of numbers.
    pub requests: Vec<(u64, Request)>,
}

/// An edit, and what it stands on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub edit: Edit,
    /// For a splice: when its positions are right.
    pub base: Base,
}

/// The text that a splice's positions speak of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Base {
    /// The edit is executed whatever there is.
    Any,
    /// The text as of this revision of the document.
    Revision(u64),
    /// The text as the client's own request of this number leaves it.
    After(u64),
}

/// From the server: this is how things are now.
#[derive(Debug)]
pub(super) struct Update {
    /// Whether the client must forget all it shows, because the server has lost memory of it.
    pub fresh_start: bool,
    /// The revision that the client shows with this.
    pub revision: u64,
    /// What became of requests: the revision that each made, or `None` where it was refused.
    pub answers: Vec<(u64, Option<u64>)>,
    /// Every cell that the client lacks, whole, in ascending order.
    pub cells: Vec<(Cell, Content)>,
}

impl Submission {
    pub fn write(&self, writer: &mut Writer) {
        let requests = self.requests.iter().map(|(number, request)| (*number, request));
        write_submission(writer, self.shows, self.answered, requests);
    }

    pub fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let shows = match reader.byte()? {
            SUBMISSION => None,
            GREETING => Some(reader.uint()?),
            _ => return Err(Malformed("not a submission")),
        };
        let answered = reader.uint()?;
        let mut requests = Vec::new();
        let mut last = answered;
        for _ in 0..reader.count(3)? {
            let number = reader.uint()?;
            if number <= last {
                return Err(Malformed("request numbers are not ascending"));
            }
            last = number;
            requests.push((number, Request::read(&mut reader)?));
        }
        reader.end()?;
        Ok(Submission { shows, answered, requests })
    }
}

/// Writes a [`Submission`] without copying requests.
pub(super) fn write_submission<'a>(
    writer: &mut Writer,
    shows: Option<u64>,
    answered: u64,
    requests: impl ExactSizeIterator<Item = (u64, &'a Request)>,
) {
    match shows {
        None => writer.byte(SUBMISSION),
        Some(revision) => {
            writer.byte(GREETING);
            writer.uint(revision);
        }
    }
    writer.uint(answered);
    writer.count(requests.len());
    for (number, request) in requests {
        writer.uint(number);
        request.write(writer);
    }
}

impl Request {
    pub fn write(&self, writer: &mut Writer) {
        match &self.edit {
            Edit::Put { cell, value } => {
                writer.byte(0);
                writer.cell(*cell);
                writer.str(value.as_str());
            }
            Edit::Delete { record } => {
                writer.byte(1);
                writer.uint(u64::from(record.0));
            }
            Edit::Add { cell, amount } => {
                writer.byte(2);
                writer.cell(*cell);
                writer.int(*amount);
            }
            Edit::Insert { cell, element } => {
                writer.byte(3);
                writer.cell(*cell);
                writer.str(element.as_str());
            }
            Edit::Remove { cell, element } => {
                writer.byte(4);
                writer.cell(*cell);
                writer.str(element.as_str());
            }
            Edit::Splice { cell, at, delete, insert } => {
                writer.byte(match self.base {
                    Base::Any => 5,
                    Base::Revision(_) => 6,
                    Base::After(_) => 7,
                });
                if let Base::Revision(number) | Base::After(number) = self.base {
                    writer.uint(number);
                }
                writer.cell(*cell);
                writer.count(*at);
                writer.count(*delete);
                writer.str(insert);
            }
            // There are never alternatives, so nothing of them travels.
            Edit::Resolve { cell, content, .. } => {
                writer.byte(8);
                writer.cell(*cell);
                writer.content(content);
            }
        }
    }

    pub fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut base = Base::Any;
        let edit = match reader.byte()? {
            0 => Edit::Put { cell: reader.cell()?, value: reader.value()? },
            1 => Edit::Delete { record: RecordId(reader.uint32()?) },
            2 => Edit::Add { cell: reader.cell()?, amount: reader.int()? },
            3 => Edit::Insert { cell: reader.cell()?, element: reader.value()? },
            4 => Edit::Remove { cell: reader.cell()?, element: reader.value()? },
            kind @ 5..=7 => {
                base = match kind {
                    5 => Base::Any,
                    6 => Base::Revision(reader.uint()?),
                    _ => Base::After(reader.uint()?),
                };
                let cell = reader.cell()?;
                let (at, delete) = (position(reader)?, position(reader)?);
                Edit::Splice { cell, at, delete, insert: reader.str()?.to_owned() }
            }
            8 => {
                let (cell, content) = (reader.cell()?, reader.content()?);
                Edit::Resolve { cell, content, seen: Vec::new() }
            }
            _ => return Err(Malformed("unknown kind of request")),
        };
        Ok(Request { edit, base })
    }
}

fn position(reader: &mut Reader<'_>) -> Result<usize, Malformed> {
    usize::try_from(reader.uint()?).map_err(|_| Malformed("position out of range"))
}

impl Update {
    pub fn write(&self, writer: &mut Writer) {
        let cells = self.cells.iter().map(|(cell, content)| (*cell, content));
        write_update(writer, self.fresh_start, self.revision, &self.answers, cells);
    }

    pub fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let fresh_start = match reader.byte()? {
            UPDATE => false,
            FRESH_START => true,
            _ => return Err(Malformed("not an update")),
        };
        let revision = reader.uint()?;
        let mut answers: Vec<(u64, Option<u64>)> = Vec::new();
        for _ in 0..reader.count(2)? {
            let number = reader.uint()?;
            if answers.last().is_some_and(|(last, _)| *last >= number) {
                return Err(Malformed("answers are not ascending"));
            }
            answers.push((number, Some(reader.uint()?).filter(|made| *made > 0)));
        }
        let mut cells: Vec<(Cell, Content)> = Vec::new();
        for _ in 0..reader.count(3)? {
            let cell = reader.cell()?;
            if cells.last().is_some_and(|(last, _)| *last >= cell) {
                return Err(Malformed("cells are not ascending"));
            }
            cells.push((cell, reader.content()?));
        }
        reader.end()?;
        Ok(Update { fresh_start, revision, answers, cells })
    }
}

/// Writes an [`Update`] without copying contents.
pub(super) fn write_update<'a>(
    writer: &mut Writer,
    fresh_start: bool,
    revision: u64,
    answers: &[(u64, Option<u64>)],
    cells: impl ExactSizeIterator<Item = (Cell, &'a Content)>,
) {
    writer.byte(if fresh_start { FRESH_START } else { UPDATE });
    writer.uint(revision);
    writer.count(answers.len());
    for (number, made) in answers {
        writer.uint(*number);
        writer.uint(made.unwrap_or(0));
    }
    writer.count(cells.len());
    for (cell, content) in cells {
        writer.cell(cell);
        writer.content(content);
    }
}
