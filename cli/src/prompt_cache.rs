//! What a model knows after a prompt, kept in a file: another run whose prompt begins alike need not read that part again.

use anyhow::{Context as _, Result};
use gristmill_engine::{Context, Error, Logits};
use std::fs::File;
use std::io::{self, BufReader, ErrorKind};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::whole_file;

/// What was read of a prompt.
#[derive(Default)]
pub struct Read {
    /// Tokens at its beginning that the context holds.
    pub held: usize,
    /// How many of them were evaluated for it.
    pub evaluated: usize,
    /// The time they took.
    pub time: Duration,
    /// Whether it was stopped from elsewhere before its end.
    pub is_stopped: bool,
}

/// Reads a prompt up to its last token, whose logits are asked for later, beginning with what the file has of it. The file is
/// written anew unless it has all of that. A stop from elsewhere leaves the file as it is, and the context with what was
/// read so far.
pub fn read(context: &mut Context, prompt: &[u32], file: &Path) -> Result<Read> {
    restore(context, file)?;
    let kept = context.keep_prefix(prompt);
    let most = prompt.len().saturating_sub(1);
    let start = Instant::now();
    let fed = context.feed(&prompt[kept..most], Logits::None).map(drop);
    let is_stopped = matches!(fed, Err(Error::Stopped));
    if !is_stopped {
        fed?;
    }
    let (held, time) = (context.position(), start.elapsed());
    if kept < held && !is_stopped {
        save(context, file)?;
    }
    Ok(Read {
        held,
        evaluated: held - kept,
        time,
        is_stopped,
    })
}

/// Takes over what the file holds, if it is there.
fn restore(context: &mut Context, file: &Path) -> Result<()> {
    let opened = match File::open(file) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        opened => opened.with_context(|| format!("cannot read {}", file.display()))?,
    };
    context.restore(BufReader::new(opened)).with_context(|| {
        format!(
            "{} (--prompt-cache: remove it, or name another file)",
            file.display()
        )
    })
}

fn save(context: &mut Context, file: &Path) -> Result<()> {
    whole_file::write(file, |out| context.save(out).map_err(io::Error::other))
}
