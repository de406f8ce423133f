//! What the person at the terminal is told when something is wrong or worth knowing.
//!
//! Everything here goes to standard error; standard output carries results only. A wrong command line ends in exit
//! code 2, a failure in 1, an interrupt in 130. A reader that closes our output early (`gristmill … | head`) is no
//! error. Nothing here panics when standard error itself is closed.

use gristmill_engine::Error;
use gristmill_gguf::ErrorKind;
use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

/// Exit code of a run that failed.
pub const FAILURE: u8 = 1;
/// Exit code of a command line that makes no sense.
pub const USAGE: u8 = 2;
/// Exit code of a run that the user interrupted (128 + SIGINT, as shells expect).
pub const INTERRUPTED: u8 = 130;

/// The command line asks for something that makes no sense: exit code 2.
#[derive(Debug)]
pub struct Usage(String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// An error for a wrong command line.
pub fn usage(message: impl Into<String>) -> anyhow::Error {
    anyhow::Error::new(Usage(message.into()))
}

/// The user stopped the run with Ctrl-C. What there is to say of it has been said.
#[derive(Debug)]
pub struct Interrupted;

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

/// The reader of our standard output went away. Carried inside the `io::Error` that [`crate::render::Output`] returns.
#[derive(Debug)]
pub struct ClosedOutput;

impl fmt::Display for ClosedOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("standard output was closed")
    }
}

impl std::error::Error for ClosedOutput {}

/// Whether an error only says that nobody reads our output any more.
pub fn is_closed_output(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
            .is_some_and(|inner| inner.is::<ClosedOutput>())
    })
}

/// Tells the user how a command ended and gives the exit code for it.
pub fn report(outcome: anyhow::Result<()>) -> ExitCode {
    let Err(error) = outcome else {
        return ExitCode::SUCCESS;
    };
    if is_closed_output(&error) {
        return ExitCode::SUCCESS;
    }
    if error.is::<Interrupted>() {
        return ExitCode::from(INTERRUPTED);
    }
    line("error", "1;31", &one_line(&error));
    if is_usage(&error) {
        line(
            "",
            "",
            "Try 'gristmill --help', or 'gristmill help COMMAND'.",
        );
        return ExitCode::from(USAGE);
    }
    ExitCode::from(FAILURE)
}

/// Whether the command line is at fault, or the environment that stands in for it.
fn is_usage(error: &anyhow::Error) -> bool {
    let kernels = |cause: &(dyn std::error::Error + 'static)| {
        cause
            .downcast_ref::<gristmill_kernels::Error>()
            .is_some_and(|error| matches!(error, gristmill_kernels::Error::UnknownIsa { .. }))
    };
    error.is::<Usage>() || error.chain().any(kernels)
}

/// What the program has to say of an error of the engine, where that is more than the engine's own text: options and
/// commands, which only the command line has.
fn in_words(error: &Error) -> Option<String> {
    match error {
        Error::UnknownArchitecture { .. } => Some(format!(
            "{error} ('gristmill inspect' and 'gristmill tokenize' work without; 'gristmill supported architectures' \
             lists all that are known)"
        )),
        Error::UnusedTensors { .. } => Some(format!(
            "{error} ('gristmill inspect --tensors' shows all that is in it)"
        )),
        Error::ContextFull { .. } => Some(format!("{error} (-c sets it)")),
        Error::Memory(plan) => Some(match plan.fitting_context {
            0 => format!("{plan} (--batch)"),
            _ => {
                let plan = plan.describe(|n| format!("-c {n}"));
                format!("{plan} (--cache-type-k q8_0 --cache-type-v q8_0)")
            }
        }),
        Error::Gguf(gguf) if matches!(gguf.kind(), ErrorKind::Memory { .. }) => {
            Some(format!("{error} (leave --no-mmap out)"))
        }
        Error::Gguf(gguf) if matches!(gguf.kind(), ErrorKind::Changed) => {
            Some(format!("{error} (--no-mmap does)"))
        }
        _ => crate::sampling::refused(error),
    }
}

/// The error and its causes on one line; a cause whose text is already part of what was said is left out.
pub fn one_line(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let words = cause.downcast_ref().and_then(in_words);
        let cause = words.unwrap_or_else(|| cause.to_string());
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    // File names and metadata are foreign text: no line breaks or terminal escapes from there.
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// Whether standard error may carry colour: a terminal, and `NO_COLOR` unset or empty.
pub fn stderr_colour() -> bool {
    io::stderr().is_terminal() && colour_wanted()
}

/// Whether the environment leaves colour on (see <https://no-color.org>).
pub fn colour_wanted() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// One line on standard error, with an optional coloured label in front.
pub fn line(label: &str, colour: &str, text: &str) {
    let mut stderr = io::stderr().lock();
    let written = match (label.is_empty(), stderr_colour()) {
        (true, _) => writeln!(stderr, "{text}"),
        (false, true) => writeln!(stderr, "\x1b[{colour}m{label}:\x1b[0m {text}"),
        (false, false) => writeln!(stderr, "{label}: {text}"),
    };
    // Nobody is left to tell when standard error is closed.
    drop(written);
}

/// Says something worth knowing on standard error.
macro_rules! note {
    ($($arg:tt)*) => { $crate::diagnostics::line("", "", &format!($($arg)*)) };
}

/// Warns on standard error.
macro_rules! warning {
    ($($arg:tt)*) => { $crate::diagnostics::line("warning", "1;33", &format!($($arg)*)) };
}

pub(crate) use {note, warning};

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn causes_are_joined_once_and_escapes_are_removed() {
        let error = Err::<(), _>(anyhow::anyhow!("no such file"))
            .context("cannot open a\x1b[2J\nb: no such file")
            .context("model")
            .unwrap_err();
        assert_eq!(one_line(&error), "model: cannot open a [2J b: no such file");
    }
}
