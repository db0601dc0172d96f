//! The progress bar: on standard error, where that is a terminal, and nowhere else.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output::{self, Stream};

/// A bar over `total` steps of a kind; one that shows nothing in a pipe or where `quiet`.
pub(crate) fn bar(total: u64, what: &str, quiet: bool) -> ProgressBar {
    if quiet || !output::is_terminal(Stream::Error) {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
    let shape = match output::speaks_unicode() {
        true => "█▉▊▋▌▍▎▏ ",
        false => "#- ",
    };
    let style = ProgressStyle::with_template(&format!(
        "{{bar:30}} {{human_pos}}/{{human_len}} {what}, {{eta}} left"
    ));
    let style = style.expect("the template is right").progress_chars(shape);
    bar.set_style(style);
    bar.tick();
    bar
}
