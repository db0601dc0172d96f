//! What the arguments name: scenarios by file or name, and files of data.

use std::fs;
use std::io::Read;
use std::path::Path;

use flate2::read::MultiGzDecoder;
use reconverge_scenarios::{self as scenarios, Override, Scenario, nearest};

use crate::args::ScenarioArgs;
use crate::error::Failure;

/// A scenario and the text it comes from.
pub(crate) struct Loaded {
    pub(crate) scenario: Scenario,
    text: String,
    source_name: String,
    overrides: Vec<Override>,
}

/// Reads the scenario that the arguments name.
pub(crate) fn load(args: &ScenarioArgs) -> Result<Loaded, Failure> {
    let name = &args.scenario;
    let is_file = name.contains('/') || name.ends_with(".toml");
    let text = if is_file { read(Path::new(name))? } else { built_in(name)?.to_owned() };
    match scenarios::parse(&text, name, &args.overrides) {
        Ok(scenario) => Ok(Loaded {
            scenario,
            text,
            source_name: name.clone(),
            overrides: args.overrides.clone(),
        }),
        Err(error) => Err(Failure::scenario(&error, &text)),
    }
}

fn read(path: &Path) -> Result<String, Failure> {
    let bytes = fs::read(path).map_err(|error| Failure::unreadable(path, error))?;
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let line = 1 + error.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count();
        Failure::input(format!(
            "{}:{line}: expected UTF-8, found a byte that is none",
            path.display()
        ))
    })
}

fn built_in(name: &str) -> Result<&'static str, Failure> {
    scenarios::builtin(name).map_err(|_| {
        let names: Vec<&str> = scenarios::builtin_names().collect();
        let failure = Failure::input(format!(
            "there is no built-in scenario `{name}`; there are {}",
            quoted(&names)
        ));
        let file = [format!("./{name}"), format!("./{name}.toml")];
        match file.iter().find(|file| Path::new(file).is_file()) {
            Some(file) => failure.help(format!("to read the file, write `{file}`")),
            None => failure.did_you_mean(nearest(name, names)),
        }
    })
}

/// The first bytes of a gzip file (RFC 1952).
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// The bytes of a file, unpacked where it is gzipped.
pub(crate) fn unpacked(path: &Path) -> Result<Vec<u8>, Failure> {
    let bytes = fs::read(path).map_err(|error| Failure::unreadable(path, error))?;
    if !bytes.starts_with(&GZIP) {
        return Ok(bytes);
    }
    let mut plain = Vec::new();
    let unpacked = MultiGzDecoder::new(bytes.as_slice()).read_to_end(&mut plain);
    unpacked
        .map_err(|error| Failure::input(format!("{}: damaged gzip: {error}", path.display())))?;
    Ok(plain)
}

/// Names as a message lists them.
pub(crate) fn quoted(names: &[&str]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    reconverge_reports::human::list(&names)
}

impl Loaded {
    /// Adds to a failure where in the scenario the value at `path` stands. A value that an override has given stands nowhere.
    pub(crate) fn blame(&self, failure: Failure, path: &str, found: &str) -> Failure {
        let top = path.split('.').next().unwrap_or(path);
        let is_overridden = |over: &&Override| over.path.split('.').next() == Some(top);
        match self.overrides.iter().find(is_overridden) {
            Some(over) => failure.help(format!("see `{over}`")),
            None => match scenarios::locate(&self.text, path) {
                Some(span) => failure.at(&self.source_name, &self.text, span, found),
                None => failure,
            },
        }
    }
}
