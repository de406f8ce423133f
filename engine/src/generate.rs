//! Generation: an iterator that feeds the prompt, and hands out text piece by piece as tokens are chosen.
//! Flows in: prompt ids and [`GenerateOptions`]. Flows out: [`Piece`]s, then why it ended and how long it took.
//! Where the context guesses ahead ([`speculate`](crate::speculate)), one pass may give the logits of several tokens; they
//! are sampled one by one all the same.

use std::time::{Duration, Instant};

use gristmill_kernels::Compute;

use crate::chooser::{Chooser, GenerateOptions, Outside, Piece, StopReason};
use crate::engine::Engine;
use crate::error::Error;
use crate::layers::Input;
use crate::model::Model;
use crate::options::Logits;
use crate::runner::Runner;
use crate::sequence::{Feed, ROW, SequenceId};
use crate::speculate::{Counts, MOST_GUESSES, Speculation};
use crate::stop::StopHandle;

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

/// A running generation: an iterator over [`Piece`]s. Made by [`Context::generate`](crate::Context::generate).
pub struct Generation<'a> {
    model: &'a Model,
    compute: &'a mut Compute,
    runner: &'a mut Runner,
    stop: &'a StopHandle,
    sequence: SequenceId,
    speculation: Option<&'a mut Speculation>,
    chooser: Chooser<'a>,
    prompt: Vec<u32>,
    /// The tokens that the context held before, the prompt and what was generated, if there is speculation.
    ids: Vec<u32>,
    /// The token that was chosen last: the next one follows it.
    last: Option<u32>,
    /// What went through the model last: that token, and guesses.
    fed: Vec<u32>,
    /// The row of its logits from which the next token is chosen.
    row: usize,
    timings: Timings,
}

impl<'a> Generation<'a> {
    pub(crate) fn new(
        engine: &'a mut Engine,
        sequence: SequenceId,
        mut speculation: Option<&'a mut Speculation>,
        prompt: &[u32],
        options: GenerateOptions,
    ) -> Result<Self, Error> {
        let Engine {
            model,
            compute,
            runner,
            stop,
        } = engine;
        let (model, stop): (&'a _, &'a _) = (&**model, stop);
        if prompt.is_empty() {
            return Err(Error::Option(
                "there is nothing to go on from: the prompt has no tokens".into(),
            ));
        }
        runner.check(model, sequence, prompt.into())?;
        let tokenizer = match model.tokenizer() {
            Ok(tokenizer) => Some(tokenizer),
            Err(_) if options.stop.is_empty() => None,
            Err(error) => return Err(error),
        };
        let mut chooser = Chooser::new(tokenizer, model.vocab_size(), options)?;
        stop.take();
        runner.take_back(sequence)?;
        let held = runner.tokens(sequence);
        // Rows in place of tokens can be neither repeated nor guessed from.
        if held.contains(&ROW) {
            speculation = None;
        }
        let known = held.iter().chain(prompt).filter(|&&id| id != ROW);
        known.for_each(|&id| chooser.has(id));
        let mut ids = Vec::new();
        if let Some(speculation) = &mut speculation {
            speculation.begin();
            ids.extend(held.iter().chain(prompt));
        }
        Ok(Self {
            chooser,
            prompt: prompt.to_vec(),
            ids,
            last: None,
            fed: Vec::with_capacity(MOST_GUESSES + 1),
            row: 0,
            timings: Timings::default(),
            model,
            compute,
            runner,
            stop,
            sequence,
            speculation,
        })
    }

    /// Why it ended; `None` while it runs.
    pub fn stop_reason(&self) -> Option<StopReason> {
        self.chooser.reason()
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
            return self.runner.accept(self.sequence);
        }
        self.row = 0;
        self.fed.clear();
        self.fed.push(last);
        let (model, sequence) = (self.model, self.sequence);
        let Some(speculation) = &mut self.speculation else {
            return self.runner.extend(model, self.compute, sequence, &self.fed);
        };
        // No more guesses than the context, a pass and the caller have room for behind this token.
        let most = self.runner.room(sequence).min(self.runner.rows());
        let most = most.min(self.chooser.left()).saturating_sub(1);
        let most = most.min(MOST_GUESSES);
        speculation.propose(self.compute, &self.ids, most, &mut self.fed)?;
        let start = Instant::now();
        self.runner
            .extend(model, self.compute, sequence, &self.fed)?;
        speculation.passed(self.fed.len(), start.elapsed());
        Ok(())
    }

    /// Follows the text with `id`: the guesses stay as long as they are right.
    fn follow(&mut self, id: u32) -> Result<(), Error> {
        self.last = Some(id);
        if let Some(speculation) = &mut self.speculation {
            self.ids.push(id);
            let right = self.fed.get(self.row + 1) == Some(&id);
            speculation.judge(id, right);
            if !right {
                self.runner.take_back(self.sequence)?;
                self.fed.truncate(self.row + 1);
            }
        }
        Ok(())
    }

    /// Reads the prompt. False if it was stopped.
    fn read(&mut self) -> Result<bool, Error> {
        let start = Instant::now();
        let feed = Feed {
            sequence: self.sequence,
            input: Input::Tokens(&self.prompt),
            want: Logits::Last,
        };
        match self.runner.feed(self.model, self.compute, feed, self.stop) {
            Err(Error::Stopped) => return Ok(false),
            logits => logits?,
        };
        self.timings.prompt = start.elapsed();
        self.timings.prompt_tokens = self.prompt.len();
        Ok(true)
    }

    fn step(&mut self) -> Result<Option<Piece>, Error> {
        if self.last.is_none() && !self.read()? {
            self.chooser.end(StopReason::Interrupt);
            return Ok(None);
        }
        let start = Instant::now();
        if let Some(last) = self.last {
            self.advance(last)?;
        }
        let id = self.chooser.choose(self.runner.row(self.model, self.row));
        self.timings.generated_tokens = self.chooser.chosen();
        let is_full = self.runner.room(self.sequence) == 0;
        self.follow(id)?;
        let outside = Outside {
            is_full,
            is_stopped: self.stop.is_set(),
        };
        let piece = self.chooser.piece(id, outside);
        if self.stop_reason() == Some(StopReason::Interrupt) {
            self.stop.take();
        }
        self.timings.generate += start.elapsed();
        Ok(Some(piece))
    }
}

impl Iterator for Generation<'_> {
    type Item = Result<Piece, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.stop_reason().is_some() {
            return None;
        }
        let step = self.step();
        if step.is_err() {
            // Nothing follows an error.
            self.chooser.end(StopReason::Error);
        }
        step.transpose()
    }
}
