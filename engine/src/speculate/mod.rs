//! Speculation without loss: several tokens are guessed, and one pass over the weights tells which guesses are right.
//! A [`Drafter`] guesses: [`Lookup`] from the text so far, [`Draft`] with a small model.
//!
//! Nothing is lost because nothing is chosen here: the generation samples from the logits of each position as it would
//! have without guesses, with the same random numbers, and goes on to the next position's logits as long as what it
//! chose is what was guessed. A pass of up to [`MOST_GUESSES`] + 1 tokens gives the same bits as one token after the
//! other, so even the text is the same. Time decides how many tokens are guessed ([`depth`]), never which are taken.
//! Flows in: the ids so far. Flows out: guesses, and [`Counts`] of them.

pub mod depth;
mod draft;
mod lookup;

use std::sync::Arc;
use std::time::{Duration, Instant};

use gristmill_kernels::{Compute, FEW_COLUMNS};

use crate::context::ContextOptions;
use crate::error::Error;
use crate::generate::StopHandle;
use crate::model::Model;
pub use depth::Odds;
use depth::{Costs, Mean};
pub use draft::Draft;
pub use lookup::Lookup;

/// The most tokens that are guessed at once: with the one before them they are the columns that the kernels compute bit
/// for bit as single ones.
pub const MOST_GUESSES: usize = FEW_COLUMNS - 1;

/// Something that guesses how a text goes on.
pub trait Drafter: Send {
    /// The kinds of guesses that differ in how sure they are, with the odds to assume at first.
    fn odds(&self) -> Vec<Odds>;

    /// Whether guesses cost nothing to speak of: then they are made, and compared, even where none are checked.
    fn is_free(&self) -> bool;

    /// Of which kind a guess after `ids` would be; `None`: there is none.
    fn look(&mut self, ids: &[u32]) -> Option<usize>;

    /// Appends up to `most` guesses of what follows `ids`, for which [`look`](Self::look) was just asked. What became of
    /// the guesses before is in `ids`.
    fn propose(
        &mut self,
        compute: &mut Compute,
        ids: &[u32],
        most: usize,
        out: &mut Vec<u32>,
    ) -> Result<(), Error>;
}

/// How a context guesses.
#[derive(Debug, Clone, Default)]
pub struct SpeculationOptions {
    /// From the text so far.
    pub lookup: bool,
    /// With this model, where the text so far gives nothing. Its vocabulary must be the main model's.
    pub draft: Option<Arc<Model>>,
    /// Always guess so many tokens (at most [`MOST_GUESSES`]); `None`: as many as measured times make worth while.
    pub depth: Option<usize>,
}

impl SpeculationOptions {
    /// Whether anything guesses.
    pub fn is_on(&self) -> bool {
        self.lookup || self.draft.is_some()
    }

    /// Rows of logits that a pass may give.
    pub(crate) fn rows(&self) -> usize {
        if self.is_on() { MOST_GUESSES + 1 } else { 1 }
    }
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
    /// The drafter whose guesses are being checked.
    speaking: usize,
    trial: Trial,
    counts: Counts,
}

/// A drafter and what is known of it.
struct Voice {
    drafter: Box<dyn Drafter>,
    odds: Vec<Odds>,
    /// Time that a guess takes.
    each: Mean,
    /// Guesses that are only compared with the text.
    silent: Trial,
    /// How often it was not asked since it last was, and after how many times it is asked again.
    skipped: usize,
    patience: usize,
}

/// Guesses that are compared with the text at a time where none are checked: few, to learn most about first ones.
const SILENT: usize = 3;

/// Guesses of one kind that are compared with the text, one after the other.
#[derive(Debug, Default)]
struct Trial {
    kind: usize,
    guesses: Vec<u32>,
    next: usize,
}

impl Trial {
    fn is_over(&self) -> bool {
        self.next >= self.guesses.len()
    }

    fn end(&mut self) {
        self.guesses.clear();
        self.next = 0;
    }

    /// Compares the next guess with what came; whether it was right.
    fn judge(&mut self, id: u32, odds: &mut [Odds]) -> bool {
        let Some(&guess) = self.guesses.get(self.next) else {
            return false;
        };
        odds[self.kind].add(self.next, guess == id);
        self.next += 1;
        if guess != id {
            self.end();
        }
        guess == id
    }
}

impl Voice {
    /// A drafter that does not pay is tried again after so many tokens, then after twice as many, up to
    const PATIENCE: usize = 32;
    /// this many.
    const MOST_PATIENCE: usize = 512;
    /// Guesses of such a try.
    const TRY: usize = 2;

    fn new(drafter: Box<dyn Drafter>) -> Self {
        Self {
            odds: drafter.odds(),
            drafter,
            each: Mean::default(),
            silent: Trial::default(),
            skipped: 0,
            patience: Self::PATIENCE,
        }
    }

    /// How many guesses of a kind to ask for.
    fn depth(&mut self, costs: &Costs, kind: usize, most: usize) -> usize {
        let free = self.drafter.is_free();
        // Before it is measured, a guess is taken to cost a fifth of a token.
        let each = self.each.get().or(costs.seconds(1).map(|s| s / 5.0));
        let each = if free { 0.0 } else { each.unwrap_or(0.0) };
        let depth = self.odds[kind].best_depth(costs, each, most);
        if depth > 0 {
            (self.skipped, self.patience) = (0, Self::PATIENCE);
        } else if !free {
            self.skipped += 1;
            if self.skipped >= self.patience {
                self.skipped = 0;
                self.patience = (2 * self.patience).min(Self::MOST_PATIENCE);
                return Self::TRY.min(most);
            }
        }
        depth
    }
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
            speaking: 0,
            trial: Trial::default(),
            counts: Counts::default(),
        }))
    }

    /// A generation begins.
    pub(crate) fn begin(&mut self) {
        self.counts = Counts::default();
        self.trial.end();
        self.drafters.iter_mut().for_each(|v| v.silent.end());
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
        self.trial.end();
        let plain = self.depth.is_none() && self.costs.wants_plain();
        for (index, voice) in self.drafters.iter_mut().enumerate() {
            let Some(kind) = voice.drafter.look(ids) else {
                continue;
            };
            let depth = match self.depth {
                Some(depth) => depth.min(most),
                None if plain => 0,
                None => voice.depth(&self.costs, kind, most),
            };
            if depth == 0 {
                if voice.drafter.is_free() && voice.silent.is_over() {
                    voice.silent.end();
                    voice.silent.kind = kind;
                    let guesses = &mut voice.silent.guesses;
                    voice.drafter.propose(compute, ids, SILENT, guesses)?;
                }
                continue;
            }
            let start = Instant::now();
            let guesses = &mut self.trial.guesses;
            voice.drafter.propose(compute, ids, depth, guesses)?;
            if !guesses.is_empty() {
                voice
                    .each
                    .add(start.elapsed().as_secs_f64() / guesses.len() as f64);
                out.extend_from_slice(guesses);
                self.counts.proposed += guesses.len();
                self.trial.kind = kind;
                self.speaking = index;
                return Ok(());
            }
        }
        Ok(())
    }

    /// A pass of so many tokens took so long.
    pub(crate) fn passed(&mut self, tokens: usize, time: Duration) {
        self.costs.add(tokens, time.as_secs_f64());
    }

    /// The text goes on with `id`. True if that was the next guess of those that are being checked.
    pub(crate) fn judge(&mut self, id: u32) -> bool {
        for voice in &mut self.drafters {
            voice.silent.judge(id, &mut voice.odds);
        }
        let right = self.trial.judge(id, &mut self.drafters[self.speaking].odds);
        self.counts.accepted += usize::from(right);
        right
    }
}

#[cfg(test)]
mod tests;
