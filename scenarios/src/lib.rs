//! Scenario files of Reconverge: what a world looks like, as data.
//!
//! [`parse`] reads one strictly, [`to_toml`] prints it with every key; the two are inverse. [`builtin`] gives those that
//! come with the program, [`networks`], [`devices`] and so on what they can name.

mod built_in;
mod definitions;
mod error;
mod overrides;
mod print;
mod resolve;
mod scenario;
mod section;
mod topology;
mod tree;
mod units;

pub use built_in::{BuiltIn, devices, networks, outages, radios, schedules, topologies};
pub use definitions::{builtin, builtin_names};
pub use error::{ScenarioError, nearest};
pub use overrides::Override;
pub use print::to_toml;
pub use scenario::*;
pub use topology::Graph;
pub use tree::locate;

use section::{Context, Place};
use tree::Node;

/// Reads a scenario, with some values replaced in order.
///
/// # Errors
///
/// The first thing that is wrong, in the order of the text; then what is wrong with overrides, in their order. Names of
/// strategies and of metrics are not judged here: [`locate`] finds them for those who can.
pub fn parse(
    text: &str,
    source_name: &str,
    overrides: &[Override],
) -> Result<Scenario, Box<ScenarioError>> {
    let mut root = Node::document(text).map_err(|(message, span)| {
        let line = span.as_ref().map(|span| error::line_of(text, span.start));
        Box::new(ScenarioError {
            source_name: source_name.to_owned(),
            span,
            line,
            path: String::new(),
            found: message,
            expected: "TOML".to_owned(),
            suggestion: None,
        })
    })?;
    let resolve = |root: &Node| {
        let context = Context::new(source_name, text, overrides);
        let place = Place { context: &context, path: String::new(), node: root };
        let scenario = resolve::scenario(&place);
        match context.first_error() {
            Some(error) => Err(error),
            None => Ok(scenario.expect("what is not read is an error")),
        }
    };
    let resolved_tree = |root: &Node| {
        let printed = to_toml(&resolve(root)?);
        Ok(Node::document(&printed).expect("printed scenarios are TOML"))
    };
    for (index, over) in overrides.iter().enumerate() {
        overrides::apply(&mut root, over, index, &resolved_tree)?;
    }
    resolve(&root)
}
