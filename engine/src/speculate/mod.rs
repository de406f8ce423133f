//! Speculation without loss: several tokens are guessed, and one pass over the weights tells which guesses are right.
//! A [`Drafter`] guesses: [`Lookup`] from the text so far, [`Draft`] with a small model.
//!
//! Nothing is lost because nothing is chosen here: the generation samples from the logits of each position as it would
//! have without guesses, with the same random numbers, and goes on to the next position's logits as long as what it
//! chose is what was guessed. A pass of several tokens gives the same bits as one token after the other, so
//! even the text is the same. Time decides how many tokens are guessed ([`depth`]), never which are taken.
//! Flows in: the ids so far. Flows out: guesses, and [`Counts`] of them.

pub mod depth;
mod draft;
mod lookup;
mod voice;

use std::time::Duration;

use gristmill_kernels::{Compute, FEW_COLUMNS};

use crate::error::Error;
use crate::model::Model;
use crate::options::{ContextOptions, SpeculationOptions};
use crate::stop::StopHandle;
use depth::Costs;
pub use depth::Odds;
pub use draft::Draft;
pub use lookup::Lookup;
use voice::Voice;

/// The most tokens that are guessed at once: with the one before them they are as many columns as the kernels multiply with
/// weights straight from the file.
pub const MOST_GUESSES: usize = FEW_COLUMNS - 1;

/// Something that guesses how a text goes on.
pub trait Drafter: Send {
    /// The kinds of guesses that differ in how sure they are, with the odds to assume at first.
    fn odds(&self) -> Vec<Odds>;

    /// Whether guesses cost nothing to speak of: then they are made, and compared, even where none are checked.
    fn is_free(&self) -> bool;

    /// Of which kind a guess after `ids` would be; `None`: there is none.
    fn look(&mut self, ids: &[u32]) -> Option<usize>;

    /// How many tokens of `ids` have to be read before the next guess.
    fn lacks(&self, _ids: &[u32]) -> usize {
        0
    }

    /// Appends up to `most` guesses of what follows `ids`, for which [`look`](Self::look) was just asked, and says what
    /// that took. What became of the guesses before is in `ids`. Where more than `reads` tokens would have to be read,
    /// the end of the text must do.
    fn propose(
        &mut self,
        compute: &mut Compute,
        ids: &[u32],
        most: usize,
        reads: usize,
        out: &mut Vec<u32>,
    ) -> Result<Spent, Error>;
}

/// What guesses took.
#[derive(Debug, Clone, Copy, Default)]
pub struct Spent {
    /// Tokens that were read to catch up with the text, beyond the few of each pass.
    pub read: usize,
    /// Seconds for that.
    pub reading: f64,
    /// Seconds for all else.
    pub guessing: f64,
}

/// What became of the guesses of a generation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Tokens that were guessed and checked.
    pub proposed: usize,
    /// Those of them that were right.
    pub accepted: usize,
}

/// The guessing of one context; what is measured lasts as long as that.
pub(crate) struct Speculation {
    drafters: Vec<Voice>,
    costs: Costs,
    depth: Option<usize>,
    counts: Counts,
}

impl Speculation {
    /// As the options say; `None` if nothing guesses.
    pub(crate) fn new(
        model: &Model,
        options: &ContextOptions,
        positions: usize,
        stop: &StopHandle,
    ) -> Result<Option<Self>, Error> {
        let SpeculationOptions {
            lookup,
            draft,
            depth,
        } = &options.speculation;
        let mut drafters = Vec::new();
        if *lookup {
            drafters.push(Voice::new(Box::new(Lookup::default())));
        }
        if let Some(draft) = draft {
            let draft = Draft::new(draft, model, options, positions, stop)?;
            drafters.push(Voice::new(Box::new(draft)));
        }
        Ok((!drafters.is_empty()).then(|| Self {
            drafters,
            costs: Costs::default(),
            depth: *depth,
            counts: Counts::default(),
        }))
    }

    /// A generation begins.
    pub(crate) fn begin(&mut self) {
        self.counts = Counts::default();
        self.drafters.iter_mut().for_each(Voice::begin);
    }

    /// Of this generation so far.
    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    /// Appends guesses of what follows `ids`, at most `most`, as far as they are worth being checked.
    pub(crate) fn propose(
        &mut self,
        compute: &mut Compute,
        ids: &[u32],
        most: usize,
        out: &mut Vec<u32>,
    ) -> Result<(), Error> {
        let plain = most == 0 || (self.depth.is_none() && self.costs.wants_plain());
        for voice in &mut self.drafters {
            let Some(kind) = voice.drafter.look(ids) else {
                continue;
            };
            let depth = match self.depth {
                _ if plain => 0,
                Some(depth) => depth.min(most),
                None => voice.depth(&self.costs, kind, most, ids),
            };
            let before = out.len();
            voice.propose(compute, ids, kind, depth, out)?;
            if out.len() > before {
                self.counts.proposed += out.len() - before;
                break;
            }
        }
        Ok(())
    }

    /// A pass of `tokens` tokens took this time.
    pub(crate) fn passed(&mut self, tokens: usize, time: Duration) {
        let seconds = time.as_secs_f64();
        self.costs.add(tokens, seconds);
        let more = seconds - self.costs.seconds(1).unwrap_or(seconds);
        for voice in &mut self.drafters {
            voice.passed(seconds, more);
        }
    }

    /// The text goes on with `id`; whether it was checked as a guess and is right.
    pub(crate) fn judge(&mut self, id: u32, right: bool) {
        self.drafters.iter_mut().for_each(|voice| voice.judge(id));
        self.counts.accepted += usize::from(right);
    }
}

#[cfg(test)]
mod tests;
