//! From logits to the next token and its text: sampling, stop strings, and what ends a text. It knows no model.
//! Text that may be the beginning of a stop string is held back until that is decided.

use crate::error::Error;
use crate::sampler::{SamplerChain, SamplerOptions};
use crate::tokenizer::{DetokStream, Tokenizer};

/// What to generate, and when to stop.
#[derive(Debug, Clone, Default)]
pub struct GenerateOptions {
    /// How tokens are chosen.
    pub sampler: SamplerOptions,
    /// The most new tokens; `None`: until the model ends its text or the context is full.
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
    /// [`StopHandle::stop`](crate::StopHandle::stop) was called.
    Interrupt,
    /// The context has no room for another token.
    ContextFull,
    /// Something failed, as the error before told.
    Error,
}

impl StopReason {
    /// The name in JSON outputs: `length`, `end`, `string`, `interrupt`, `context_full` or `error`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Length => "length",
            Self::End => "end",
            Self::String => "string",
            Self::Interrupt => "interrupt",
            Self::ContextFull => "context_full",
            Self::Error => "error",
        }
    }
}

/// What goes on outside of the text when a token is chosen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outside {
    /// No further token has room.
    pub is_full: bool,
    /// It was asked to stop.
    pub is_stopped: bool,
}

/// Chooses the tokens of one text.
pub(crate) struct Chooser<'a> {
    sampler: SamplerChain,
    /// Absent for models without a tokenizer: they give ids and no text.
    text: Option<(&'a Tokenizer, DetokStream<'a>)>,
    stops: StopText,
    max_tokens: usize,
    ignore_end: bool,
    chosen: usize,
    reason: Option<StopReason>,
}

impl<'a> Chooser<'a> {
    /// For texts of a vocabulary of `vocab_size` tokens.
    pub(crate) fn new(
        tokenizer: Option<&'a Tokenizer>,
        vocab_size: usize,
        options: GenerateOptions,
    ) -> Result<Self, Error> {
        let max_tokens = options.max_tokens.unwrap_or(usize::MAX);
        Ok(Self {
            sampler: SamplerChain::new(&options.sampler, tokenizer, vocab_size)?,
            text: tokenizer.map(|t| (t, t.stream(options.show_special))),
            stops: StopText::new(options.stop),
            max_tokens,
            ignore_end: options.ignore_end,
            chosen: 0,
            reason: (max_tokens == 0).then_some(StopReason::Length),
        })
    }

    /// Takes note of a token that the text has already: penalties are for what the whole text repeats.
    pub(crate) fn has(&mut self, id: u32) {
        self.sampler.accept(id);
    }

    /// Why the text ended; `None` before.
    pub(crate) fn reason(&self) -> Option<StopReason> {
        self.reason
    }

    /// Ends the text.
    pub(crate) fn end(&mut self, reason: StopReason) {
        self.reason = Some(reason);
    }

    /// Tokens that were chosen.
    pub(crate) fn chosen(&self) -> usize {
        self.chosen
    }

    /// Tokens that may still be chosen.
    pub(crate) fn left(&self) -> usize {
        self.max_tokens - self.chosen
    }

    /// The token that follows, which the logits are for.
    pub(crate) fn choose(&mut self, logits: &[f32]) -> u32 {
        let id = self.sampler.sample(logits);
        self.sampler.accept(id);
        self.chosen += 1;
        id
    }

    /// What the token that was just chosen makes of the text.
    pub(crate) fn piece(&mut self, id: u32, outside: Outside) -> Piece {
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
        } else if self.chosen >= self.max_tokens {
            Some(StopReason::Length)
        } else if outside.is_full {
            Some(StopReason::ContextFull)
        } else if outside.is_stopped {
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
        Piece { id, text }
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
