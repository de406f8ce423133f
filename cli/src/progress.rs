//! Progress bars on standard error. In a pipe or a log file there is no bar: callers say in one line what they start.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

fn styled(length: u64, template: &str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr_with_hz(8));
    // A template that does not parse would only cost the looks.
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar
}

/// A bar over bytes, with speed and time left; `start` bytes are there already.
pub fn of_bytes(total: u64, start: u64, what: &str) -> ProgressBar {
    let bar = styled(
        total,
        "{msg} [{wide_bar}] {decimal_bytes}/{decimal_total_bytes}  {decimal_bytes_per_sec}  {eta} left",
    );
    bar.set_message(what.to_owned());
    bar.set_position(start);
    bar.reset_eta();
    bar
}

/// A bar over equal steps, with a message that changes and the time left.
pub fn of_steps(total: u64, start: u64) -> ProgressBar {
    let bar = styled(total, "[{wide_bar}] {pos}/{len}  {msg}  {eta} left");
    bar.set_position(start);
    bar.reset_eta();
    bar
}
