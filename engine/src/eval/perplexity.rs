//! Perplexity by the protocol that llama.cpp's figures follow, so that values can be compared: windows of `n_ctx` tokens,
//! each on its own, of which the second half is scored.
//! Flows in: a context and the tokens of a text. Flows out: one [`Chunk`] per window, and a [`State`] from which an
//! interrupted run goes on.

use std::sync::atomic::{AtomicU64, Ordering};

use gristmill_kernels::{Compute, ops};
use serde::{Deserialize, Serialize};

use crate::{Context, Error, Tokenizer};

/// What is measured.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Length of a window in tokens.
    pub n_ctx: usize,
    /// The most windows; `None`: as many as the text has.
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

    /// Whether it can be what some windows came to.
    fn is_sound(&self) -> bool {
        let windows = self.cumulative.len();
        let mut numbers = self
            .cumulative
            .iter()
            .chain([&self.nll_sum, &self.nll_square_sum]);
        self.scored_tokens == (windows * scored_of_window(self.n_ctx)) as u64
            && numbers.all(|number| number.is_finite())
    }
}

/// Tokens of a window that are scored: those of its second half, of which the last one has no next token to predict.
fn scored_of_window(n_ctx: usize) -> usize {
    n_ctx - 1 - n_ctx / 2
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
    /// Replaces the first token of each window, where the vocabulary wants one in front of a text.
    bos: Option<u32>,
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
        let Options { n_ctx, chunks } = options;
        if n_ctx < 4 {
            return Err(Error::Evaluation(format!(
                "windows of {n_ctx} tokens are too short: at least 4"
            )));
        }
        if context.capacity() < n_ctx {
            let capacity = context.capacity();
            return Err(Error::Evaluation(format!(
                "the context holds {capacity} tokens, fewer than a window of {n_ctx}"
            )));
        }
        if tokens.len() < 2 * n_ctx {
            let found = tokens.len();
            return Err(Error::Evaluation(format!(
                "the text has {found} tokens, too few for windows of {n_ctx}: at least {} are needed",
                2 * n_ctx
            )));
        }
        let available = tokens.len() / n_ctx;
        let chunks = chunks.unwrap_or(available).min(available);
        let fresh = State {
            n_ctx,
            text_hash: hash(&tokens),
            ..State::default()
        };
        let state = match resume {
            None => fresh,
            Some(state) if state.n_ctx == n_ctx && state.text_hash == fresh.text_hash => {
                if !state.is_sound() {
                    let problem = "the saved state is damaged: its sums are not those of its windows; start without it";
                    return Err(Error::Evaluation(problem.into()));
                }
                state
            }
            Some(_) => {
                let problem = "the saved state belongs to another text, tokenizer or window length; start without it";
                return Err(Error::Evaluation(problem.into()));
            }
        };
        let tokenizer = context.model().tokenizer().ok();
        let bos = tokenizer.filter(|t| t.adds_bos()).and_then(Tokenizer::bos);
        Ok(Self {
            context,
            tokens,
            bos,
            chunks,
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

    fn evaluate(&mut self, index: usize) -> Result<Chunk, Error> {
        let n_ctx = self.state.n_ctx;
        let window = &mut self.tokens[index * n_ctx..][..n_ctx];
        let original = window[0];
        window[0] = self.bos.unwrap_or(original);
        let vocab = self.context.model().vocab_size();
        let first = n_ctx / 2;
        let mut losses = vec![0.0; scored_of_window(n_ctx)];
        self.context.reset();
        let fed = self
            .context
            .feed_slabs(&window[..n_ctx - 1], first, |compute, at, rows| {
                let targets = &window[at + 1..];
                score(compute, rows, vocab, targets, &mut losses[at - first..]);
            });
        window[0] = original;
        fed?;
        for loss in losses {
            self.state.nll_sum += loss;
            self.state.nll_square_sum += loss * loss;
            self.state.scored_tokens += 1;
        }
        let (cumulative, standard_error) = (self.state.perplexity(), self.state.standard_error());
        self.state.cumulative.push(cumulative);
        Ok(Chunk {
            index,
            cumulative,
            standard_error,
        })
    }
}

impl Iterator for Perplexity<'_> {
    type Item = Result<Chunk, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let index = self.state.cumulative.len();
        (index < self.chunks).then(|| self.evaluate(index))
    }
}

/// The negative log-likelihood of each row's target, computed by all threads.
fn score(compute: &mut Compute, rows: &[f32], vocab: usize, targets: &[u32], losses: &mut [f64]) {
    let n = rows.len() / vocab;
    let bits: Vec<AtomicU64> = (0..n).map(|_| AtomicU64::new(0)).collect();
    compute.parallel(n, |i| {
        let row = &rows[i * vocab..][..vocab];
        let loss = -ops::log_softmax_at(row, targets[i] as usize);
        bits[i].store(loss.to_bits(), Ordering::Relaxed);
    });
    for (loss, bits) in losses.iter_mut().zip(bits) {
        *loss = f64::from_bits(bits.into_inner());
    }
}

/// FNV-1a over the tokens.
fn hash(tokens: &[u32]) -> u64 {
    let bytes = tokens.iter().flat_map(|t| t.to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |h, b| {
        (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_estimate_and_its_error_follow_from_the_sums() {
        let losses = [1.0, 2.0, 4.0];
        let state = State {
            scored_tokens: 3,
            nll_sum: losses.iter().sum(),
            nll_square_sum: losses.iter().map(|l| l * l).sum(),
            ..State::default()
        };
        let mean: f64 = 7.0 / 3.0;
        assert!((state.perplexity() - mean.exp()).abs() < 1e-12);
        // PPL * sqrt((mean of squares - square of mean) / (count - 1))
        let expected = mean.exp() * ((7.0 - mean * mean) / 2.0).sqrt();
        assert!((state.standard_error() - expected).abs() < 1e-12);
    }

    #[test]
    fn a_state_survives_json() {
        let state = State {
            n_ctx: 512,
            text_hash: u64::MAX,
            cumulative: vec![48.71, 38.6],
            scored_tokens: 510,
            nll_sum: 1.5,
            nll_square_sum: 2.5,
        };
        let text = serde_json::to_string(&state).unwrap();
        assert_eq!(serde_json::from_str::<State>(&text).unwrap(), state);
    }

    #[test]
    fn damaged_states_are_told() {
        let state = State {
            n_ctx: 512,
            cumulative: vec![48.71, 38.6],
            scored_tokens: 510,
            nll_sum: 1.5,
            nll_square_sum: 2.5,
            ..State::default()
        };
        assert!(state.is_sound());
        let change = |change: fn(&mut State)| {
            let mut state = state.clone();
            change(&mut state);
            state.is_sound()
        };
        assert!(!change(|state| state.scored_tokens = 0));
        assert!(!change(|state| state.cumulative.clear()));
        assert!(!change(|state| state.nll_sum = f64::NAN));
        assert!(!change(|state| state.cumulative[1] = f64::INFINITY));
    }

    proptest::proptest! {
        #[test]
        fn sums_survive_json_to_the_bit(sum in 0f64..1e9, square in 0f64..1e12) {
            let state = State { nll_sum: sum, nll_square_sum: square, ..State::default() };
            let text = serde_json::to_vec(&state).unwrap();
            let read: State = serde_json::from_slice(&text).unwrap();
            proptest::prop_assert_eq!(read.nll_sum.to_bits(), sum.to_bits());
            proptest::prop_assert_eq!(read.nll_square_sum.to_bits(), square.to_bits());
        }
    }
}
