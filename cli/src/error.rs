//! What goes wrong, as people read it: one clear message, with the place in the file where there is one.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::Path;

use miette::{Diagnostic, LabeledSpan, MietteHandlerOpts, NamedSource, ReportHandler, SourceCode};
use reconverge_scenarios::ScenarioError;

use crate::output::{self, Stream};

/// Why the command did not do what it was asked for, and the exit code that says so.
#[derive(Debug)]
pub(crate) struct Failure {
    /// 1 where something failed, 2 where the input is wrong.
    pub(crate) code: u8,
    problem: Box<Problem>,
}

/// A message, what may help, and the place that it speaks of.
#[derive(Debug)]
struct Problem {
    message: String,
    help: Option<String>,
    place: Option<Place>,
    cause: Option<io::Error>,
}

#[derive(Debug)]
struct Place {
    source: NamedSource<String>,
    label: LabeledSpan,
}

impl Failure {
    fn new(code: u8, message: String) -> Failure {
        Failure {
            code,
            problem: Box::new(Problem { message, help: None, place: None, cause: None }),
        }
    }

    /// The input is wrong.
    pub(crate) fn input(message: impl Into<String>) -> Failure {
        Failure::new(2, message.into())
    }

    /// Something failed that was asked for in the right way.
    pub(crate) fn run(message: impl Into<String>) -> Failure {
        Failure::new(1, message.into())
    }

    /// A file could not be read or written, as the message says.
    pub(crate) fn io(message: impl Into<String>, cause: io::Error) -> Failure {
        let mut failure = Failure::new(1, message.into());
        failure.problem.cause = Some(cause);
        failure
    }

    /// A file could not be read.
    pub(crate) fn unreadable(path: &Path, cause: io::Error) -> Failure {
        Failure::io(format!("cannot read {}", path.display()), cause)
    }

    /// Adds what may help.
    pub(crate) fn help(mut self, help: impl Into<String>) -> Failure {
        let help = help.into();
        self.problem.help = Some(match self.problem.help.take() {
            Some(earlier) => format!("{earlier}\n{help}"),
            None => help,
        });
        self
    }

    /// Adds what may have been meant, where anything is near.
    pub(crate) fn did_you_mean(self, name: Option<&str>) -> Failure {
        match name {
            Some(name) => self.help(format!("did you mean `{name}`?")),
            None => self,
        }
    }

    /// Adds the place in a text that is wrong, and what is found there.
    pub(crate) fn at(mut self, name: &str, text: &str, span: Range<usize>, found: &str) -> Failure {
        let source = NamedSource::new(name, text.to_owned());
        let span = within_a_line(text, span);
        let label = LabeledSpan::new_primary_with_span(Some(found.to_owned()), span);
        self.problem.place = Some(Place { source, label });
        self
    }

    /// A scenario is wrong; `text` is its text.
    pub(crate) fn scenario(error: &ScenarioError, text: &str) -> Failure {
        let ScenarioError { source_name, span, path, found, expected, suggestion, .. } = error;
        let key = if path.is_empty() { String::new() } else { format!("`{path}`: ") };
        let failure = match span {
            Some(span) => {
                let found = format!("found {found}");
                Failure::input(format!("{key}expected {expected}")).at(
                    source_name,
                    text,
                    span.clone(),
                    &found,
                )
            }
            None => {
                Failure::input(format!("{source_name}: {key}expected {expected}, found {found}"))
            }
        };
        failure.did_you_mean(suggestion.as_deref())
    }

    /// The whole text for standard error, with a newline at its end; in colour where that is a terminal.
    pub(crate) fn text(&self) -> String {
        let terminal = output::is_terminal(Stream::Error);
        // In a pipe each sentence is one line, for those who search in it.
        let handler = MietteHandlerOpts::new()
            .force_graphical(true)
            .terminal_links(false)
            .context_lines(1)
            .color(output::in_colour(Stream::Error))
            .unicode(terminal && output::speaks_unicode())
            .wrap_lines(terminal)
            .build();
        let text = Shown(&handler, self.problem.as_ref()).to_string();
        // On a terminal its first line is laid out for the whole width, and its mark says what it is.
        let word = if terminal { "" } else { "Error:" };
        format!("{word}{}\n", text.trim_end())
    }
}

/// A span that begins here and ends on the same line, at least one byte long where the line is not over.
fn within_a_line(text: &str, span: Range<usize>) -> Range<usize> {
    let start = span.start.min(text.len());
    let line_end = text[start..].find('\n').map_or(text.len(), |length| start + length);
    start..span.end.clamp(start, line_end)
}

struct Shown<'a>(&'a dyn ReportHandler, &'a Problem);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.debug(self.1, f)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Problem {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.as_ref().map(|cause| cause as _)
    }
}

impl Diagnostic for Problem {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.place.as_ref().map(|place| &place.source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let label = self.place.as_ref()?.label.clone();
        Some(Box::new(std::iter::once(label)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_stays_on_its_line() {
        let text = "ab\ncd\n";
        assert_eq!(within_a_line(text, 0..6), 0..2);
        assert_eq!(within_a_line(text, 3..4), 3..4);
        assert_eq!(within_a_line(text, 3..3), 3..3);
        assert_eq!(within_a_line(text, 6..9), 6..6);
        assert_eq!(within_a_line("", 0..0), 0..0);
    }
}
