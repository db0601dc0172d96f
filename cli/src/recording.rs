//! Recorded editing sessions: the JSON of traces, checked as a whole before anything is typed.

use std::path::Path;

use reconverge_simulator::workload::Patch;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::error::Failure;
use crate::load;

/// A recorded session: what was typed, and the text at its end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Recording {
    pub(crate) patches: Vec<Patch>,
    pub(crate) end: String,
}

/// The file, as far as it is used. The patches of a transaction are `[position, deleted, inserted]`, positions count Unicode scalar values.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Trace {
    kind: Option<String>,
    #[serde(default)]
    start_content: String,
    end_content: String,
    txns: Vec<Transaction>,
}

#[derive(Deserialize)]
struct Transaction {
    patches: Vec<(usize, usize, String)>,
    agent: Option<IgnoredAny>,
    parents: Option<IgnoredAny>,
}

/// Reads a session from a file.
pub(crate) fn read(path: &Path) -> Result<Recording, Failure> {
    parse(&path.display().to_string(), &load::unpacked(path)?)
}

fn parse(name: &str, bytes: &[u8]) -> Result<Recording, Failure> {
    let trace: Trace = serde_json::from_slice(bytes)
        .map_err(|error| Failure::input(format!("{name}: not a recorded session: {error}")))?;
    let concurrent = trace.txns.iter().any(|txn| txn.agent.is_some() || txn.parents.is_some());
    match trace.kind.as_deref() {
        Some("concurrent") => return Err(is_concurrent(name)),
        _ if concurrent => return Err(is_concurrent(name)),
        None | Some("sequential") => {}
        Some(other) => {
            return Err(Failure::input(format!(
                "{name}: `kind`: expected `sequential`, found {other:?}"
            )));
        }
    }
    let mut patches = Vec::new();
    let mut text = GapText::default();
    if !trace.start_content.is_empty() {
        text.splice(0, 0, &trace.start_content);
        patches.push(Patch { at: 0, delete: 0, insert: trace.start_content });
    }
    for (t, txn) in trace.txns.into_iter().enumerate() {
        for (p, (at, delete, insert)) in txn.patches.into_iter().enumerate() {
            if !text.splice(at, delete, &insert) {
                return Err(Failure::input(format!(
                    "{name}: transaction {t}, patch {p} (both from 0): it deletes {delete} characters at {at} of a text of {}",
                    text.len()
                )));
            }
            patches.push(Patch { at, delete, insert });
        }
    }
    if patches.is_empty() {
        return Err(Failure::input(format!("{name}: there is no patch in it, so nothing to type")));
    }
    if patches.len() > u32::MAX as usize {
        return Err(Failure::input(format!("{name}: too many patches")));
    }
    let typed = text.into_string();
    if let Some(difference) = difference(&typed, &trace.end_content) {
        return Err(Failure::input(format!(
            "{name}: its patches do not end in its `endContent`: {difference}"
        )));
    }
    Ok(Recording { patches, end: trace.end_content })
}

fn is_concurrent(name: &str) -> Failure {
    Failure::input(format!("{name} is a concurrent trace: several people typed at the same time"))
        .help("concurrent traces come with a later release; sequential ones can be replayed")
}

/// Where two texts differ first, in words; `None` where they are equal.
pub(crate) fn difference(found: &str, expected: &str) -> Option<String> {
    if found == expected {
        return None;
    }
    let at = found.chars().zip(expected.chars()).take_while(|(a, b)| a == b).count();
    let excerpt = |text: &str| {
        let mut rest = text.chars().skip(at);
        let shown: String = rest.by_ref().take(20).collect();
        match (shown.is_empty(), rest.next()) {
            (true, _) => "the end of the text".to_owned(),
            (_, Some(_)) => format!("{shown:?}…"),
            (_, None) => format!("{shown:?}"),
        }
    };
    Some(format!(
        "at character {at} (from 0) there is {}, where it should be {}",
        excerpt(found),
        excerpt(expected)
    ))
}

/// A text with a cursor: what stands before it, and what stands after it from the end. People type where they typed before, so that the
/// cursor has a short way.
#[derive(Default)]
struct GapText {
    before: Vec<char>,
    after: Vec<char>,
}

impl GapText {
    fn len(&self) -> usize {
        self.before.len() + self.after.len()
    }

    /// Makes a patch; says whether there is such a place.
    fn splice(&mut self, at: usize, delete: usize, insert: &str) -> bool {
        if at.checked_add(delete).is_none_or(|end| end > self.len()) {
            return false;
        }
        if at < self.before.len() {
            self.after.extend(self.before.drain(at..).rev());
        } else {
            let start = self.after.len() - (at - self.before.len());
            self.before.extend(self.after.drain(start..).rev());
        }
        self.after.truncate(self.after.len() - delete);
        self.before.extend(insert.chars());
        true
    }

    fn into_string(self) -> String {
        self.before.into_iter().chain(self.after.into_iter().rev()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_text_is_a_text() {
        let mut text = GapText::default();
        let mut plain: Vec<char> = Vec::new();
        // A small multiplicative generator: any mixed bag of places will do.
        let mut bits = 1_u64;
        let mut below = |n: usize| {
            bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            ((bits >> 33) as usize) % n
        };
        for step in 0..2000 {
            let at = below(plain.len() + 1);
            let delete = below((plain.len() - at).min(5) + 1);
            let insert: String = "añ🙂xyz".chars().skip(below(6)).take(below(4)).collect();
            assert!(text.splice(at, delete, &insert));
            plain.splice(at..at + delete, insert.chars());
            assert_eq!(text.len(), plain.len(), "step {step}");
        }
        assert!(!text.splice(plain.len() + 1, 0, ""));
        assert!(!text.splice(0, plain.len() + 1, ""));
        assert!(!text.splice(usize::MAX, 1, ""));
        assert_eq!(text.into_string(), plain.into_iter().collect::<String>());
    }

    #[test]
    fn a_session_is_read_whole() {
        let json = r#"{"startContent":"ab","endContent":"aXb","txns":[{"time":"2020","patches":[[1,0,"XY"],[2,1,""]]}]}"#;
        let recording = parse("t.json", json.as_bytes()).expect("valid");
        assert_eq!(recording.end, "aXb");
        assert_eq!(recording.patches.len(), 3);
        assert_eq!(recording.patches[0], Patch { at: 0, delete: 0, insert: "ab".to_owned() });
    }

    #[test]
    fn differences_say_where() {
        assert_eq!(difference("añb", "añb"), None);
        let said = |a, b| difference(a, b).expect("they differ");
        assert_eq!(
            said("añb", "añc"),
            "at character 2 (from 0) there is \"b\", where it should be \"c\""
        );
        assert_eq!(
            said("a", "ab"),
            "at character 1 (from 0) there is the end of the text, where it should be \"b\""
        );
    }
}
