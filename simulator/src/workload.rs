//! Who wants to edit what and when, and the concrete edit that this becomes in the author's view.
//!
//! What is asked is drawn before the trial from the seed alone, with a fixed number of draws for each edit. Everything inserted is
//! recognisable: a value, an element or a word is a token that names the asked edit it comes from.

use crate::partitions::Holders;
use crate::plan::DevicePlan;
use crate::streams::{Stream, Streams, mix};
use reconverge_scenarios::{self as scenarios, Scenario, Workload};
use reconverge_strategies::{
    Cell, Content, Digest, Edit, EditId, FieldId, FieldKind, RecordId, Rendering, Replica,
    ReplicaId, Schema, Scope, Value, char_count,
};

/// The kinds of edit that a workload asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EditKind {
    /// Replaces a register's value.
    Put,
    /// Adds to a counter.
    Add,
    /// Inserts an element.
    Insert,
    /// Removes an element.
    Remove,
    /// Splices a text.
    Splice,
    /// Deletes a record.
    Delete,
    /// Types one patch of a recorded session.
    Typed,
}

impl EditKind {
    /// The word used in traces.
    pub fn name(self) -> &'static str {
        match self {
            EditKind::Put => "put",
            EditKind::Add => "add",
            EditKind::Insert => "insert",
            EditKind::Remove => "remove",
            EditKind::Splice => "splice",
            EditKind::Delete => "delete",
            EditKind::Typed => "typed",
        }
    }
}

/// An edit that somebody wants to make, before anybody knows what the author will see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// When.
    pub at_ns: u64,
    /// Where: number of the device.
    pub seat: u32,
    /// Of what kind.
    pub kind: EditKind,
    /// In which record.
    pub record: RecordId,
    /// In which field; meaningless for a delete.
    pub field: FieldId,
    /// Random bits for the position as a fraction.
    pub position: u64,
    /// Random bits for the payload.
    pub payload: u64,
}

impl Asked {
    /// Adds it to the digest of the world.
    pub fn digest(&self, digest: &mut Digest) {
        digest.word(self.at_ns);
        digest.word(u64::from(self.seat) << 32 | u64::from(self.record.0));
        digest.word(u64::from(self.field.0) << 8 | self.kind as u64);
        digest.word(self.position);
        digest.word(self.payload);
    }

    fn cell(&self) -> Cell {
        Cell { record: self.record, field: self.field }
    }
}

/// Where a token comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Token {
    /// The edit: an asked one by its number, or a genesis one.
    pub source: TokenSource,
    /// Which word of that edit; 0 for values and elements.
    pub word: u32,
}

/// The edit that a token comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TokenSource {
    /// Held by everybody from the start.
    Genesis(u32),
    /// Asked for, by number.
    Asked(u32),
}

/// A recorded patch: at a position, delete so many scalar values and insert a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patch {
    /// Position in Unicode scalar values.
    pub at: usize,
    /// How many to delete.
    pub delete: usize,
    /// What to insert.
    pub insert: String,
}

/// All that users want to do in one trial, in order of time.
#[derive(Clone, Debug)]
pub struct Script {
    /// The edits.
    pub asked: Vec<Asked>,
    /// What every replica holds at the start.
    pub genesis: Vec<(EditId, Edit)>,
    /// The patches of a recorded session, where one is replayed.
    pub patches: Vec<Patch>,
    audit: bool,
    value_bytes: u32,
    splice_words: u32,
}

/// The schema of a scenario's data.
pub fn schema(scenario: &Scenario) -> Schema {
    let fields = &scenario.data.fields;
    let kinds = fields.iter().map(|field| match field.kind {
        scenarios::FieldKind::Register => FieldKind::Register,
        scenarios::FieldKind::Counter => FieldKind::Counter,
        scenarios::FieldKind::Set => FieldKind::Set,
        scenarios::FieldKind::Text => FieldKind::Text,
    });
    let critical = (0..fields.len()).filter(|n| fields[*n].critical);
    let critical = critical.map(|n| FieldId(n as u16)).collect();
    Schema { critical, ..Schema::new(kinds.collect()) }
}

impl Script {
    /// What users of a scenario ask for under one seed.
    pub fn draw(scenario: &Scenario, devices: &[DevicePlan], streams: &Streams) -> Script {
        let schema = schema(scenario);
        let choices = Choices::new(&scenario.workload, &schema, scenario.data.records);
        let mut asked = Vec::new();
        let users = scenario
            .groups
            .iter()
            .flat_map(|group| std::iter::repeat_n(group.user.is_some(), group.count as usize));
        for (seat, (device, has_user)) in devices.iter().zip(users).enumerate() {
            let mut stream = streams.stream("workload", seat as u32);
            if let Some(rhythm) = scenario.workload.rhythm {
                let count = if has_user { u64::from(rhythm.count) } else { 0 };
                let phase_ns = u128::from(rhythm.every_ns) * (2 * seat as u128 + 1)
                    / (2 * devices.len() as u128);
                asked.extend((1..=count).map(|k| {
                    let at_ns = k * rhythm.every_ns + phase_ns as u64;
                    choices.draw(at_ns, seat as u32, &mut stream)
                }));
                continue;
            }
            let mean_ns = 3.6e12 / scenario.workload.edits_per_hour;
            let mut wait_ns = stream.exponential_ns(mean_ns as u64);
            for (from, until) in device.present.iter() {
                let mut at_ns = from;
                while at_ns + wait_ns < until {
                    at_ns += wait_ns;
                    asked.push(choices.draw(at_ns, seat as u32, &mut stream));
                    wait_ns = stream.exponential_ns(mean_ns as u64).max(1);
                }
                wait_ns -= until - at_ns;
            }
        }
        asked.sort_by_key(|edit| (edit.at_ns, edit.seat));
        if scenario.data.partitions > 1 {
            let (holders, records) = (Holders::new(scenario, None), scenario.data.records);
            for edit in &mut asked {
                edit.record = holders.editable(edit.seat, edit.record, records);
            }
        }
        let mut script = Script {
            asked,
            genesis: Vec::new(),
            patches: Vec::new(),
            audit: scenario.workload.audit,
            value_bytes: scenario.workload.value_bytes,
            splice_words: scenario.workload.splice_words,
        };
        script.genesis = script.initial_document(scenario, &schema);
        script
    }

    /// A recorded session, typed on one device, a patch at each interval, into the first cell of an empty document.
    pub fn recorded(patches: Vec<Patch>, seat: u32, interval_ns: u64) -> Script {
        let typed = |n: usize| Asked {
            at_ns: (n as u64 + 1) * interval_ns,
            seat,
            kind: EditKind::Typed,
            record: RecordId(0),
            field: FieldId(0),
            position: n as u64,
            payload: 0,
        };
        Script {
            asked: (0..patches.len()).map(typed).collect(),
            genesis: Vec::new(),
            patches,
            audit: false,
            value_bytes: 0,
            splice_words: 0,
        }
    }

    /// Whether a recorded session is replayed; its content cannot be attributed to edits.
    pub fn is_recorded(&self) -> bool {
        !self.patches.is_empty()
    }

    fn initial_document(&self, scenario: &Scenario, schema: &Schema) -> Vec<(EditId, Edit)> {
        let mut genesis = Vec::new();
        let texts = schema.fields.iter().filter(|kind| **kind == FieldKind::Text).count() as u32;
        for record in 0..scenario.data.records {
            let mut left = scenario.data.record_bytes;
            // Short fields first; what is left goes to the texts.
            for pass in [false, true] {
                for (cell, kind) in schema.cells(RecordId(record)) {
                    if (kind == FieldKind::Text) != pass || left == 0 {
                        continue;
                    }
                    let number = genesis.len() as u32;
                    let source = TokenSource::Genesis(number);
                    let edit = match kind {
                        FieldKind::Register => {
                            let value = self.value(source, u64::from(number));
                            left = left.saturating_sub(value.as_str().len() as u32);
                            Edit::Put { cell, value }
                        }
                        FieldKind::Counter => {
                            left = left.saturating_sub(8);
                            Edit::Add { cell, amount: 1 + i64::from(record % 7) }
                        }
                        FieldKind::Set => {
                            let element = Value::from(token_text(Token { source, word: 0 }));
                            left = left.saturating_sub(element.as_str().len() as u32);
                            Edit::Insert { cell, element }
                        }
                        FieldKind::Text => {
                            let bytes = left / texts;
                            let mut insert = String::new();
                            let mut word = 0;
                            while (insert.len() as u32) < bytes {
                                self.push_word(&mut insert, Token { source, word });
                                word += 1;
                            }
                            Edit::Splice { cell, at: 0, delete: 0, insert }
                        }
                    };
                    let id = EditId { origin: ReplicaId::GENESIS, sequence: u64::from(number) };
                    genesis.push((id, edit));
                }
            }
        }
        genesis
    }

    /// The concrete edit that asked edit `number` becomes in the view of its author; `None` where it would have no effect. `seen` is
    /// filled with what the author sees of the cell, or for a delete of the record.
    pub fn concrete(
        &self,
        number: u32,
        replica: &dyn Replica,
        seen: &mut Rendering,
    ) -> Option<Edit> {
        let asked = &self.asked[number as usize];
        let source = TokenSource::Asked(number);
        let cell = asked.cell();
        seen.clear();
        match asked.kind {
            EditKind::Put => Some(Edit::Put { cell, value: self.value(source, asked.payload) }),
            EditKind::Add => {
                let size = if self.audit { 1 } else { 1 + (asked.payload >> 8 & 7) as i64 };
                let amount = if asked.payload & 3 == 0 { -size } else { size };
                Some(Edit::Add { cell, amount })
            }
            EditKind::Insert => {
                let element = Value::from(token_text(Token { source, word: 0 }));
                Some(Edit::Insert { cell, element })
            }
            EditKind::Remove => {
                replica.render(Scope::Cell(cell), seen);
                let Some(Content::Set(elements)) = seen.get(cell).map(|shown| shown.first()) else {
                    return None;
                };
                let nth = fraction(asked.position, elements.len());
                let element = elements.iter().nth(nth)?.clone();
                Some(Edit::Remove { cell, element })
            }
            EditKind::Splice => {
                replica.render(Scope::Cell(cell), seen);
                let text = match seen.get(cell).map(|shown| shown.first()) {
                    Some(Content::Text(text)) => text.as_str(),
                    _ => "",
                };
                self.splice(source, cell, asked, text)
            }
            EditKind::Delete => {
                replica.render(Scope::Record(asked.record), seen);
                let shown = seen.iter().next().is_some();
                shown.then_some(Edit::Delete { record: asked.record })
            }
            EditKind::Typed => {
                let Patch { at, delete, insert } = &self.patches[asked.position as usize];
                let length = replica.length(cell);
                // Delayed by their authority, earlier patches may be missing: then this one finds no place.
                (at + delete <= length).then(|| Edit::Splice {
                    cell,
                    at: *at,
                    delete: *delete,
                    insert: insert.clone(),
                })
            }
        }
    }

    /// A third of splices only insert, a third insert over something, a third only delete.
    fn splice(&self, source: TokenSource, cell: Cell, asked: &Asked, text: &str) -> Option<Edit> {
        let words: Vec<&str> = self.words(text).collect();
        let (inserts, deletes) = match asked.payload >> 32 & 0xffff {
            0..21_845 => (true, false),
            21_845..43_690 => (true, true),
            _ => (false, true),
        };
        let first = fraction(asked.position, words.len() + 1);
        let wanted = if deletes { 1 + (asked.payload >> 48 & 3) as usize } else { 0 };
        // A deletion at the very end takes the last words.
        let first =
            if wanted > 0 && first == words.len() { first.saturating_sub(wanted) } else { first };
        let deleted = &words[first..(first + wanted).min(words.len())];
        let mut insert = String::new();
        if inserts {
            let count = 1 + (asked.payload & 0xffff) as u32 * 2 * self.splice_words / 0x1_0000;
            for word in 0..count {
                self.push_word(&mut insert, Token { source, word });
            }
        }
        if deleted.is_empty() && insert.is_empty() {
            return None;
        }
        let at = words[..first].iter().map(|word| char_count(word)).sum();
        let delete = deleted.iter().map(|word| char_count(word)).sum();
        Some(Edit::Splice { cell, at, delete, insert })
    }

    fn value(&self, source: TokenSource, payload: u64) -> Value {
        let mut text = token_text(Token { source, word: 0 });
        let bytes = self.value_bytes / 2 + (payload % u64::from(self.value_bytes.max(1))) as u32;
        while (text.len() as u32) < bytes {
            text.push(char::from(letter(mix(payload ^ text.len() as u64))));
        }
        Value::from(text)
    }

    fn push_word(&self, text: &mut String, token: Token) {
        if self.audit {
            text.push(audit_char(token));
        } else {
            text.push_str(&token_text(token));
            text.push(' ');
        }
    }

    /// The words of a text: stretches up to and including a space; in audit mode single characters.
    pub fn words<'t>(&self, text: &'t str) -> Box<dyn Iterator<Item = &'t str> + 't> {
        if self.audit {
            Box::new(text.char_indices().map(|(at, c)| &text[at..at + c.len_utf8()]))
        } else {
            Box::new(text.split_inclusive(' '))
        }
    }

    /// Which edit a word, value or element comes from; `None` where nobody ever wrote it.
    pub fn token(&self, word: &str) -> Option<Token> {
        if self.audit
            && let Some(token) = word.chars().next().and_then(audit_token)
        {
            return Some(token);
        }
        let word = word.strip_suffix(' ').unwrap_or(word);
        let (name, _) = word.split_once('-')?;
        let (source, word_number) = name.split_once('.')?;
        let token = Token {
            source: match source.strip_prefix('G') {
                Some(number) => TokenSource::Genesis(from_base36(number)?),
                None => TokenSource::Asked(from_base36(source)?),
            },
            word: from_base36(word_number)?,
        };
        begins_with(word, token).is_some().then_some(token)
    }

    /// As [`Script::token`], for a word of a text: exactly as somebody wrote it, nothing glued to it.
    pub fn word_token(&self, word: &str) -> Option<Token> {
        let token = self.token(word)?;
        let whole = self.audit || begins_with(word.trim_end(), token) == Some(0);
        whole.then_some(token)
    }
}

/// A fraction of `count` places from random bits; 0 where there are none.
fn fraction(bits: u64, count: usize) -> usize {
    ((u128::from(bits) * count as u128) >> 64) as usize
}

fn letter(bits: u64) -> u8 {
    b'a' + (bits % 26) as u8
}

/// `12.3-abcd`: number of the edit, number of the word, and a few letters that make words as long as words are.
fn token_text(token: Token) -> String {
    let mut text = String::with_capacity(16);
    spell(token, |letter| text.push(char::from(letter)));
    text
}

/// Where a word begins with the spelling of a token, to the letter: how many bytes follow.
fn begins_with(word: &str, token: Token) -> Option<usize> {
    let mut letters = word.bytes();
    let mut same = true;
    spell(token, |letter| same &= letters.next() == Some(letter));
    same.then(|| letters.len())
}

fn spell(token: Token, mut put: impl FnMut(u8)) {
    let number = match token.source {
        TokenSource::Genesis(number) => {
            put(b'G');
            number
        }
        TokenSource::Asked(number) => number,
    };
    spell_base36(number, &mut put);
    put(b'.');
    spell_base36(token.word, &mut put);
    put(b'-');
    let bits = mix(u64::from(number) << 32 | u64::from(token.word));
    for n in 0..2 + bits % 4 {
        put(letter(bits >> (8 + 8 * n)));
    }
}

fn spell_base36(number: u32, put: &mut impl FnMut(u8)) {
    if number >= 36 {
        spell_base36(number / 36, put);
    }
    put(b"0123456789abcdefghijklmnopqrstuvwxyz"[number as usize % 36]);
}

fn from_base36(text: &str) -> Option<u32> {
    u32::from_str_radix(text, 36).ok()
}

/// Audit mode: characters of the two private planes, 16 for each of the first 4,096 genesis and 4,096 asked edits.
fn audit_char(token: Token) -> char {
    let (plane, number) = match token.source {
        TokenSource::Genesis(number) => (0xf_0000, number),
        TokenSource::Asked(number) => (0x10_0000, number),
    };
    assert!(number < 4000 && token.word < 16, "audit mode is for small trials");
    char::from_u32(plane + number * 16 + token.word).expect("a private character")
}

fn audit_token(character: char) -> Option<Token> {
    let code = character as u32;
    let (source, rest) = match code {
        0xf_0000..0x10_0000 => (TokenSource::Genesis((code - 0xf_0000) / 16), code),
        0x10_0000.. => (TokenSource::Asked((code - 0x10_0000) / 16), code),
        _ => return None,
    };
    Some(Token { source, word: rest % 16 })
}

/// The laws of what is edited, prepared for drawing.
struct Choices {
    /// Cumulative weights of the records, by rank.
    records: Vec<f64>,
    /// Cumulative weights of the kinds.
    kinds: Vec<(u64, EditKind)>,
    fields: Schema,
}

impl Choices {
    fn new(workload: &Workload, schema: &Schema, records: u32) -> Self {
        let mut sum = 0.0;
        let records = (1..=records).map(|rank| {
            sum += libm::pow(f64::from(rank), -workload.zipf);
            sum
        });
        let mix = &workload.mix;
        let mut total = 0;
        let kinds = [
            (mix.put, EditKind::Put, Some(FieldKind::Register)),
            (mix.add, EditKind::Add, Some(FieldKind::Counter)),
            (mix.insert, EditKind::Insert, Some(FieldKind::Set)),
            (mix.remove, EditKind::Remove, Some(FieldKind::Set)),
            (mix.splice, EditKind::Splice, Some(FieldKind::Text)),
            (mix.delete, EditKind::Delete, None),
        ];
        let kinds = kinds.into_iter().filter_map(|(share, kind, field)| {
            let possible = field.is_none_or(|field| schema.fields.contains(&field));
            total += if possible { u64::from(share) } else { 0 };
            (possible && share > 0).then_some((total, kind))
        });
        Choices { records: records.collect(), kinds: kinds.collect(), fields: schema.clone() }
    }

    /// Five draws, whatever comes of them.
    fn draw(&self, at_ns: u64, seat: u32, stream: &mut Stream) -> Asked {
        let rank = stream.unit() * self.records.last().expect("at least one record");
        let record = self.records.partition_point(|sum| *sum < rank).min(self.records.len() - 1);
        let (bits, field) = (stream.bits(), stream.bits());
        let total = self.kinds.last().expect("a mix that is not empty").0;
        let share = ((u128::from(bits) * u128::from(total)) >> 64) as u64;
        let kind = self.kinds[self.kinds.partition_point(|(sum, _)| *sum <= share)].1;
        let wanted = match kind {
            EditKind::Put => Some(FieldKind::Register),
            EditKind::Add => Some(FieldKind::Counter),
            EditKind::Insert | EditKind::Remove => Some(FieldKind::Set),
            EditKind::Splice | EditKind::Typed => Some(FieldKind::Text),
            EditKind::Delete => None,
        };
        let fields: Vec<u16> = (0..self.fields.fields.len() as u16)
            .filter(|n| self.fields.kind(FieldId(*n)) == wanted)
            .collect();
        Asked {
            at_ns,
            seat,
            kind,
            record: RecordId(record as u32),
            field: FieldId(fields.get(fraction(field, fields.len())).copied().unwrap_or(0)),
            position: stream.bits(),
            payload: stream.bits(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_read_back_and_strangers_are_not() {
        let mut script = Script::recorded(Vec::new(), 0, 1);
        script.value_bytes = 30;
        for audit in [false, true] {
            script.audit = audit;
            for number in [0, 1, 35, 36, 1000, 3999] {
                for source in [TokenSource::Genesis(number), TokenSource::Asked(number)] {
                    let value = script.value(source, 77);
                    assert_eq!(script.token(value.as_str()), Some(Token { source, word: 0 }));
                    let mut text = String::new();
                    for word in 0..5 {
                        script.push_word(&mut text, Token { source, word });
                    }
                    let tokens: Vec<_> = script.words(&text).map(|w| script.token(w)).collect();
                    let expected: Vec<_> =
                        (0..5).map(|word| Some(Token { source, word })).collect();
                    assert_eq!(tokens, expected);
                }
            }
            for stranger in ["", " ", "x", "1.0-", "zz.0-zzzzzz ", "1.0"] {
                assert_eq!(script.token(stranger), None, "{stranger:?}");
            }
        }
        script.audit = false;
        let token = Token { source: TokenSource::Asked(7), word: 1 };
        let word = token_text(token);
        assert_eq!(script.word_token(&format!("{word} ")), Some(token));
        assert_eq!(script.word_token(&format!("{word}{word} ")), None, "glued together");
    }
}
