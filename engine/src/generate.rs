//! Generation: an iterator that feeds the prompt, samples, and hands out text piece by piece.
//! Flows in: prompt ids and [`GenerateOptions`]. Flows out: [`Piece`]s, then why it ended and how long it took.
//! Text that may be the beginning of a stop string is held back until that is decided. Where the context guesses ahead
//! ([`speculate`](crate::speculate)), one pass may give the logits of several tokens; they are sampled one by one all
//! the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use gristmill_kernels::Compute;

use crate::context::{Context, Logits, Session};
use crate::error::Error;
use crate::model::Model;
use crate::sampler::{SamplerChain, SamplerOptions};
use crate::speculate::{Counts, MOST_GUESSES, Speculation};
use crate::tokenizer::{DetokStream, Tokenizer};

/// What to generate, and when to stop.
#[derive(Debug, Clone, Default)]
pub struct GenerateOptions {
    /// How tokens are chosen.
    pub sampler: SamplerOptions,
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

    /// Whether it was called.
    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// Whether it was called; that is then forgotten.
    pub(crate) fn take(&self) -> bool {
        self.0.swap(false, Ordering::AcqRel)
    }
}

/// A running generation: an iterator over [`Piece`]s. Made by [`Context::generate`].
pub struct Generation<'a> {
    model: &'a Model,
    compute: &'a mut Compute,
    session: &'a mut Session,
    speculation: Option<&'a mut Speculation>,
    sampler: SamplerChain,
    /// Absent for models without a tokenizer: they give ids and no text.
    text: Option<(&'a Tokenizer, DetokStream<'a>)>,
    stops: StopText,
    max_tokens: usize,
    ignore_end: bool,
    prompt: Vec<u32>,
    /// The tokens that the context held before, the prompt and what was generated, if there is speculation.
    ids: Vec<u32>,
    /// The token that was chosen last: the next one follows it.
    last: Option<u32>,
    /// What went through the model last: that token, and guesses.
    fed: Vec<u32>,
    /// The row of its logits from which the next token is chosen.
    row: usize,
    reason: Option<StopReason>,
    timings: Timings,
}

impl<'a> Generation<'a> {
    pub(crate) fn new(
        context: &'a mut Context,
        prompt: &[u32],
        options: GenerateOptions,
    ) -> Result<Self, Error> {
        let Context {
            model,
            compute,
            session,
            speculation,
        } = context;
        let model: &'a Model = model;
        if prompt.is_empty() {
            return Err(Error::Option(
                "there is nothing to go on from: the prompt has no tokens".into(),
            ));
        }
        session.check(model, prompt)?;
        let tokenizer = match model.tokenizer() {
            Ok(tokenizer) => Some(tokenizer),
            Err(_) if options.stop.is_empty() => None,
            Err(error) => return Err(error),
        };
        let mut sampler = SamplerChain::new(&options.sampler, tokenizer, model.vocab_size())?;
        session.stop.take();
        session.take_back();
        // Penalties are for what the whole text repeats, not the answer alone.
        for &id in session.tokens().iter().chain(prompt) {
            sampler.accept(id);
        }
        let max_tokens = options.max_tokens.unwrap_or(usize::MAX);
        let mut ids = Vec::new();
        if let Some(speculation) = speculation {
            speculation.begin();
            ids.extend_from_slice(session.tokens());
            ids.extend_from_slice(prompt);
        }
        Ok(Self {
            sampler,
            text: tokenizer.map(|t| (t, t.stream(options.show_special))),
            stops: StopText::new(options.stop),
            max_tokens,
            ignore_end: options.ignore_end,
            prompt: prompt.to_vec(),
            ids,
            last: None,
            fed: Vec::with_capacity(MOST_GUESSES + 1),
            row: 0,
            reason: (max_tokens == 0).then_some(StopReason::Length),
            timings: Timings::default(),
            model,
            compute,
            session,
            speculation: speculation.as_mut(),
        })
    }

    /// Why it ended; `None` while it runs.
    pub fn stop_reason(&self) -> Option<StopReason> {
        self.reason
    }

    /// The times so far.
    pub fn timings(&self) -> Timings {
        self.timings
    }

    /// What became of the guesses so far, if the context makes any.
    pub fn speculation(&self) -> Option<Counts> {
        self.speculation.as_ref().map(|s| s.counts())
    }

    /// Logits after the last token: of the pass that guessed it, or of a new one.
    fn advance(&mut self, last: u32) -> Result<(), Error> {
        if self.row + 1 < self.fed.len() {
            self.row += 1;
            self.session.accept();
            return Ok(());
        }
        self.row = 0;
        self.fed.clear();
        self.fed.push(last);
        let Some(speculation) = &mut self.speculation else {
            return self.session.extend(self.model, self.compute, &self.fed);
        };
        // No more guesses than the context, a batch and the caller have room for behind this token.
        let wanted = self.max_tokens - self.timings.generated_tokens;
        let most = self.session.room().min(self.session.batch()).min(wanted);
        let most = most.saturating_sub(1).min(MOST_GUESSES);
        speculation.propose(self.compute, &self.ids, most, &mut self.fed)?;
        let start = Instant::now();
        self.session.extend(self.model, self.compute, &self.fed)?;
        speculation.passed(self.fed.len(), start.elapsed());
        Ok(())
    }

    /// Follows the text with `id`: the guesses stay as long as they are right.
    fn follow(&mut self, id: u32) {
        self.last = Some(id);
        if let Some(speculation) = &mut self.speculation {
            self.ids.push(id);
            let right = self.fed.get(self.row + 1) == Some(&id);
            speculation.judge(id, right);
            if !right {
                self.session.take_back();
                self.fed.truncate(self.row + 1);
            }
        }
    }

    fn step(&mut self) -> Result<Option<Piece>, Error> {
        let start = Instant::now();
        let start = if let Some(last) = self.last {
            self.advance(last)?;
            start
        } else {
            let (model, prompt) = (self.model, &self.prompt);
            match self.session.feed(model, self.compute, prompt, Logits::Last) {
                Err(Error::Stopped) => {
                    self.reason = Some(StopReason::Interrupt);
                    return Ok(None);
                }
                logits => logits?,
            };
            self.timings.prompt = start.elapsed();
            self.timings.prompt_tokens = self.prompt.len();
            Instant::now()
        };
        let id = self.sampler.sample(self.session.row(self.model, self.row));
        self.sampler.accept(id);
        self.timings.generated_tokens += 1;
        let is_full = self.session.room() == 0;
        self.follow(id);

        let mut text = String::new();
        let (mut ends, mut stops) = (false, false);
        if let Some((tokenizer, stream)) = &mut self.text {
            ends = !self.ignore_end && tokenizer.is_end(id);
            stops = self.stops.push(stream.push(id), &mut text);
        }
        self.reason = if stops {
            Some(StopReason::String)
        } else if ends {
            Some(StopReason::End)
        } else if self.timings.generated_tokens >= self.max_tokens {
            Some(StopReason::Length)
        } else if is_full {
            Some(StopReason::ContextFull)
        } else if self.session.stop.take() {
            Some(StopReason::Interrupt)
        } else {
            None
        };
        if let (Some(reason), Some((_, stream))) = (self.reason, &mut self.text)
            && reason != StopReason::String
            && !self.stops.push(stream.finish(), &mut text)
        {
            text.push_str(&self.stops.held);
        }
        self.timings.generate += start.elapsed();
        Ok(Some(Piece { id, text }))
    }
}

impl Iterator for Generation<'_> {
    type Item = Result<Piece, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.reason.is_some() {
            return None;
        }
        let step = self.step();
        if step.is_err() {
            // Nothing follows an error.
            self.reason = Some(StopReason::Interrupt);
        }
        step.transpose()
    }
}

/// Looks for stop strings in a text that comes in pieces.
#[derive(Debug)]
struct StopText {
    stops: Vec<String>,
    /// The end of the text so far, as far as a stop string may have begun in it.
    held: String,
}

impl StopText {
    fn new(stops: Vec<String>) -> Self {
        Self {
            stops: stops.into_iter().filter(|s| !s.is_empty()).collect(),
            held: String::new(),
        }
    }

    /// Takes a piece in and appends what is certain to `out`. True if a stop string is complete: it and what follows it
    /// are dropped.
    fn push(&mut self, piece: &str, out: &mut String) -> bool {
        self.held.push_str(piece);
        if let Some(at) = self
            .stops
            .iter()
            .filter_map(|s| self.held.find(s.as_str()))
            .min()
        {
            out.push_str(&self.held[..at]);
            self.held.clear();
            return true;
        }
        let may_begin = |from: usize| self.stops.iter().any(|s| s.starts_with(&self.held[from..]));
        let mut starts = self.held.char_indices().map(|(at, _)| at);
        let certain = starts.find(|&at| may_begin(at)).unwrap_or(self.held.len());
        out.extend(self.held.drain(..certain));
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn run(stops: &[&str], pieces: &[&str]) -> (String, bool) {
        let mut text = StopText::new(stops.iter().map(|s| s.to_string()).collect());
        let mut out = String::new();
        for piece in pieces {
            if text.push(piece, &mut out) {
                return (out, true);
            }
        }
        (out + &text.held, false)
    }

    #[test]
    fn stop_strings_are_found_across_pieces() {
        assert_eq!(run(&["</s>"], &["a<", "/", "s>b"]), ("a".into(), true));
        assert_eq!(run(&["</s>"], &["a<", "/", "b"]), ("a</b".into(), false));
        assert_eq!(run(&["aab"], &["aa", "aa", "b"]), ("aa".into(), true));
        assert_eq!(run(&["é!", "x"], &["né", "é!"]), ("né".into(), true));
        assert_eq!(run(&["", "z"], &["abc"]), ("abc".into(), false));
        assert_eq!(run(&["\n\n"], &["a\n"]), ("a\n".into(), false));
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(pieces in prop::collection::vec("[ab]{0,4}", 0..8), stop in "[ab]{1,4}") {
            let whole = pieces.concat();
            let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
            prop_assert_eq!(run(&[&stop], &pieces), run(&[&stop], &[&whole]));
            let expected = whole.find(&stop).map_or((whole.clone(), false), |at| (whole[..at].to_string(), true));
            prop_assert_eq!(run(&[&stop], &pieces), expected);
        }
    }
}
