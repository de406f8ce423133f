//! A context: the state of one sequence of tokens (keys and values of the past), its buffers, and the threads that extend
//! it. Flows in: token ids. Flows out: logits. Memory is taken when the context is made and at the first
//! feed of a size; feeding another token allocates nothing.

use std::ops::Range;
use std::sync::Arc;

use gristmill_kernels::ops::RopeTable;
use gristmill_kernels::{Compute, ComputeOptions};

use crate::cache::{Cache, CacheType, FixedStates, Moment};
use crate::error::Error;
use crate::generate::{GenerateOptions, Generation, StopHandle};
use crate::layers::{Buffers, LayerInputs, Pass};
use crate::model::Model;
use crate::speculate::{Speculation, SpeculationOptions};

/// Size and threads of a context.
#[derive(Debug, Clone)]
pub struct ContextOptions {
    /// Positions; `None`: what the model was trained for, or what fits in memory if that is less.
    pub context_length: Option<usize>,
    /// Tokens that are evaluated together at most.
    pub batch: usize,
    /// Threads; `None`: the performance cores.
    pub threads: Option<usize>,
    /// Threads for prompts, if not the same.
    pub threads_prompt: Option<usize>,
    /// Instruction set by name; `None`: the best one of this CPU.
    pub isa: Option<String>,
    /// Storage of keys.
    pub cache_keys: CacheType,
    /// Storage of values.
    pub cache_values: CacheType,
    /// How the next tokens are guessed, so that several can be checked at once.
    pub speculation: SpeculationOptions,
}

impl Default for ContextOptions {
    fn default() -> Self {
        Self {
            context_length: None,
            batch: 512,
            threads: None,
            threads_prompt: None,
            isa: None,
            cache_keys: CacheType::F16,
            cache_values: CacheType::F16,
            speculation: SpeculationOptions::default(),
        }
    }
}

/// For which of the fed tokens logits are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Logits {
    /// For none.
    None,
    /// For the last one.
    Last,
    /// For each.
    All,
}

/// The state of one sequence of tokens.
pub struct Context {
    pub(crate) model: Arc<Model>,
    pub(crate) compute: Compute,
    pub(crate) session: Session,
    pub(crate) speculation: Option<Speculation>,
}

impl Context {
    pub(crate) fn new(model: &Arc<Model>, options: &ContextOptions) -> Result<Context, Error> {
        if options.batch == 0 || options.context_length == Some(0) {
            return Err(Error::Option(
                "the batch and the context must hold at least 1 token".into(),
            ));
        }
        let plan = model.memory(options);
        if !plan.fits() {
            return Err(Error::Memory(Box::new(plan)));
        }
        let positions = plan.context_length;
        let compute = Compute::new(&ComputeOptions {
            threads: options.threads,
            threads_prompt: options.threads_prompt,
            isa: options.isa.clone(),
        })?;
        let session = Session::new(model, options, positions)?;
        let speculation = Speculation::new(model, options, positions, &session.stop)?;
        Ok(Context {
            model: Arc::clone(model),
            compute,
            session,
            speculation,
        })
    }

    /// The model of this context.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// Appends tokens at [`position`](Self::position) and gives the logits that were asked for: none, one row of
    /// [`vocab_size`](Model::vocab_size) values, or `ids.len()` rows. Nothing fed gives nothing. After an error,
    /// `position` tells how many tokens were evaluated before it. A mapped file that was written to since it was opened
    /// is an error: the weights are not those of the tokens before any more.
    pub fn feed(&mut self, ids: &[u32], want: Logits) -> Result<&[f32], Error> {
        self.session.feed(&self.model, &mut self.compute, ids, want)
    }

    /// The tokens that this context holds.
    pub fn tokens(&self) -> &[u32] {
        self.session.tokens()
    }

    /// Number of tokens held: where the next one goes.
    pub fn position(&self) -> usize {
        self.session.tokens().len()
    }

    /// Number of tokens that can be held.
    pub fn capacity(&self) -> usize {
        self.session.capacity
    }

    /// Number of worker threads.
    pub fn threads(&self) -> usize {
        self.compute.threads()
    }

    /// Number of worker threads for prompts.
    pub fn threads_prompt(&self) -> usize {
        self.compute.threads_prompt()
    }

    /// Name of the instruction set in use.
    pub fn isa(&self) -> &'static str {
        self.compute.isa().name()
    }

    /// Forgets all tokens from position `positions` on. Refused with [`Error::Truncate`] where a sliding window has
    /// already forgotten what the next token would need.
    pub fn truncate(&mut self, positions: usize) -> Result<(), Error> {
        self.session.truncate(positions)
    }

    /// Keeps as much as possible of the beginning that `ids` shares with the tokens held, drops the rest, and says how
    /// many were kept: `feed(&ids[kept..])` then completes `ids`. At least one token is left to feed.
    pub fn keep_prefix(&mut self, ids: &[u32]) -> usize {
        let shared = self
            .tokens()
            .iter()
            .zip(ids)
            .take_while(|(a, b)| a == b)
            .count();
        if self
            .truncate(shared.min(ids.len().saturating_sub(1)))
            .is_err()
        {
            self.reset();
        }
        self.position()
    }

    /// Forgets everything.
    pub fn reset(&mut self) {
        self.session.reset();
    }

    /// A handle that stops a generation from another thread.
    pub fn stop_handle(&self) -> StopHandle {
        self.session.stop.clone()
    }

    /// Feeds `prompt` after what the context holds, and generates. The work is done while the result is iterated over.
    pub fn generate<'a>(
        &'a mut self,
        prompt: &[u32],
        options: GenerateOptions,
    ) -> Result<Generation<'a>, Error> {
        Generation::new(self, prompt, options)
    }

    /// Feeds `ids` and hands out the logits from index `from` on in slabs of a few rows: the index of the slab's first
    /// token, and the rows. For evaluations, whose logits together would be too large.
    pub(crate) fn feed_slabs(
        &mut self,
        ids: &[u32],
        from: usize,
        sink: impl FnMut(&mut Compute, usize, &[f32]),
    ) -> Result<(), Error> {
        self.session
            .feed_slabs(&self.model, &mut self.compute, ids, from, sink)
    }
}

/// Rows of logits that are computed together in an evaluation.
const SLAB: usize = 32;

/// A context without its model and its threads.
pub(crate) struct Session {
    caches: Vec<Cache>,
    fixed: FixedStates,
    ropes: Vec<RopeTable>,
    buffers: Buffers,
    layer_inputs: Vec<f32>,
    /// What layers leave to later ones.
    left: Vec<f32>,
    logits: Vec<f32>,
    batch: usize,
    pub(crate) capacity: usize,
    tokens: Vec<u32>,
    /// The last so many tokens are guesses.
    guesses: usize,
    /// The most tokens that were held since the last reset, guesses that were taken back left aside.
    longest: usize,
    pub(crate) stop: StopHandle,
}

impl Session {
    /// For `capacity` positions.
    pub(crate) fn new(
        model: &Model,
        options: &ContextOptions,
        capacity: usize,
    ) -> Result<Self, Error> {
        let batch = options.batch.min(capacity);
        let decoder = &model.decoder;
        let (keys, values) = (options.cache_keys, options.cache_values);
        if let Some(shape) = decoder.caches.iter().find(|s| !s.supports(keys, values)) {
            return Err(Error::Option(format!(
                "a q8_0 cache needs heads of a multiple of 32 values, and this model's have {} and {}; use f16",
                shape.key_length, shape.value_length
            )));
        }
        Ok(Self {
            caches: decoder
                .caches
                .iter()
                .map(|&shape| Cache::new(shape, capacity, batch, keys, values))
                .collect(),
            fixed: FixedStates::new(&decoder.fixed),
            ropes: decoder.ropes.iter().map(|r| r.table(capacity)).collect(),
            buffers: decoder.buffers(batch),
            layer_inputs: vec![0.0; decoder.layer_inputs(batch)],
            left: vec![0.0; decoder.left_values(batch)],
            logits: vec![0.0; model.vocab_size()],
            batch,
            capacity,
            tokens: Vec::with_capacity(capacity.min(1 << 16)),
            guesses: 0,
            longest: 0,
            stop: StopHandle::default(),
        })
    }

    pub(crate) fn feed(
        &mut self,
        model: &Model,
        compute: &mut Compute,
        ids: &[u32],
        want: Logits,
    ) -> Result<&[f32], Error> {
        self.check(model, ids)?;
        self.take_back();
        let vocab = model.vocab_size();
        let from = match want {
            Logits::None => ids.len(),
            Logits::Last => ids.len().saturating_sub(1),
            Logits::All => 0,
        };
        let values = (ids.len() - from) * vocab;
        if self.logits.len() < values {
            self.logits.resize(values, 0.0);
        }
        self.catch_up(model, compute);
        self.fixed.keep(Moment::Turn);
        for (start, batch) in (0..).step_by(self.batch).zip(ids.chunks(self.batch)) {
            self.stopped()?;
            let rows = wanted(from, start, batch.len());
            self.forward(model, compute, batch, rows.start);
            self.longest = self.longest.max(self.tokens.len());
            let at = (start + rows.start).saturating_sub(from);
            self.logits(model, compute, rows, at);
        }
        // After the work, since it can change while it is read.
        model.gguf.check_unchanged()?;
        Ok(&self.logits[..values])
    }

    /// The tokens that are held, guesses left aside.
    pub(crate) fn tokens(&self) -> &[u32] {
        &self.tokens[..self.tokens.len() - self.guesses]
    }

    /// Feeds a token that was generated and guesses of what follows it, and computes logits after each of them, see
    /// [`row`](Self::row). The guesses are held until they are [`accepted`](Self::accept) or taken back. A stop is left
    /// to the generation to see: it still has text to hand out.
    pub(crate) fn extend(
        &mut self,
        model: &Model,
        compute: &mut Compute,
        ids: &[u32],
    ) -> Result<(), Error> {
        self.check(model, ids)?;
        self.take_back();
        self.catch_up(model, compute);
        if ids.len() > 1 {
            self.fixed.keep(Moment::Guess);
        }
        self.pass_on(model, compute, ids);
        self.guesses = ids.len().saturating_sub(1);
        self.longest = self.longest.max(self.tokens().len());
        Ok(model.gguf.check_unchanged()?)
    }

    /// Feeds one more guess, behind others that are held, and computes the logits after it.
    pub(crate) fn guess(
        &mut self,
        model: &Model,
        compute: &mut Compute,
        id: u32,
    ) -> Result<(), Error> {
        self.check(model, &[id])?;
        if self.tokens.len() >= self.capacity {
            return Err(Error::ContextFull {
                position: self.tokens.len(),
                tokens: 1,
                capacity: self.capacity,
            });
        }
        if self.guesses == 0 {
            self.catch_up(model, compute);
            self.fixed.keep(Moment::Guess);
        }
        self.pass_on(model, compute, &[id]);
        self.guesses += 1;
        Ok(model.gguf.check_unchanged()?)
    }

    fn pass_on(&mut self, model: &Model, compute: &mut Compute, ids: &[u32]) {
        let values = ids.len() * model.vocab_size();
        if self.logits.len() < values {
            self.logits.resize(values, 0.0);
        }
        self.forward(model, compute, ids, 0);
        self.logits(model, compute, 0..ids.len(), 0);
    }

    /// The first of the guesses is right.
    pub(crate) fn accept(&mut self) {
        self.guesses = self.guesses.saturating_sub(1);
        self.longest = self.longest.max(self.tokens().len());
    }

    /// Forgets the guesses that were not accepted.
    pub(crate) fn take_back(&mut self) {
        self.tokens.truncate(self.tokens.len() - self.guesses);
        self.guesses = 0;
    }

    /// The logits after one of the tokens that were fed last, counted from the first one with logits.
    pub(crate) fn row(&self, model: &Model, row: usize) -> &[f32] {
        let vocab = model.vocab_size();
        &self.logits[row * vocab..][..vocab]
    }

    /// Tokens that can still be added.
    pub(crate) fn room(&self) -> usize {
        self.capacity.saturating_sub(self.tokens().len())
    }

    /// Tokens that are evaluated together at most.
    pub(crate) fn batch(&self) -> usize {
        self.batch
    }

    fn feed_slabs(
        &mut self,
        model: &Model,
        compute: &mut Compute,
        ids: &[u32],
        from: usize,
        mut sink: impl FnMut(&mut Compute, usize, &[f32]),
    ) -> Result<(), Error> {
        self.check(model, ids)?;
        self.take_back();
        let vocab = model.vocab_size();
        if self.logits.len() < SLAB * vocab {
            self.logits.resize(SLAB * vocab, 0.0);
        }
        self.catch_up(model, compute);
        self.fixed.keep(Moment::Turn);
        for (start, batch) in (0..).step_by(self.batch).zip(ids.chunks(self.batch)) {
            self.stopped()?;
            let rows = wanted(from, start, batch.len());
            self.forward(model, compute, batch, rows.start);
            self.longest = self.longest.max(self.tokens.len());
            for first in rows.clone().step_by(SLAB) {
                let slab = first..rows.end.min(first + SLAB);
                let values = slab.len() * vocab;
                self.logits(model, compute, slab, 0);
                sink(compute, start + first, &self.logits[..values]);
            }
        }
        Ok(model.gguf.check_unchanged()?)
    }

    pub(crate) fn check(&self, model: &Model, ids: &[u32]) -> Result<(), Error> {
        let (position, vocab_size) = (self.tokens().len(), model.vocab_size());
        if ids.len() > self.capacity - position {
            return Err(Error::ContextFull {
                position,
                tokens: ids.len(),
                capacity: self.capacity,
            });
        }
        match ids.iter().find(|&&id| id as usize >= vocab_size) {
            Some(&id) => Err(Error::TokenId { id, vocab_size }),
            None => Ok(()),
        }
    }

    /// One batch through all blocks; `wanted` is the first row whose hidden state is asked for.
    fn forward(&mut self, model: &Model, compute: &mut Compute, ids: &[u32], wanted: usize) {
        for table in &mut self.ropes {
            table.prepare(self.tokens.len(), ids.len());
        }
        let (mut pass, buffers, _) = self.pass(model, compute, ids.len());
        model.decoder.forward(&mut pass, ids, wanted, buffers);
        self.tokens.extend_from_slice(ids);
        self.fixed.advance(ids.len());
    }

    /// Brings the states of recurrent layers to where the tokens end, if those were taken back: from a copy of earlier
    /// states, by feeding what follows it again.
    fn catch_up(&mut self, model: &Model, compute: &mut Compute) {
        let lacking = self.fixed.rewind(self.tokens.len());
        if !lacking.is_empty() {
            let again = self.tokens.split_off(lacking.start);
            for ids in again.chunks(self.batch) {
                self.forward(model, compute, ids, ids.len());
            }
        }
    }

    /// Logits of some rows of the last batch, into the rows from `at` on.
    fn logits(&mut self, model: &Model, compute: &mut Compute, rows: Range<usize>, at: usize) {
        if !rows.is_empty() {
            let (mut pass, buffers, logits) = self.pass(model, compute, rows.len());
            let vocab = model.vocab_size();
            let out = &mut logits[at * vocab..][..rows.len() * vocab];
            model.decoder.logits(&mut pass, buffers, rows.start, out);
        }
    }

    /// What `n` rows need to go through layers.
    fn pass<'s>(
        &'s mut self,
        model: &'s Model,
        compute: &'s mut Compute,
        n: usize,
    ) -> (Pass<'s>, &'s mut Buffers, &'s mut [f32]) {
        let pass = Pass {
            gguf: &model.gguf,
            compute,
            caches: &mut self.caches,
            fixed: self.fixed.states(),
            ropes: &self.ropes,
            inputs: LayerInputs::new(&mut self.layer_inputs, self.tokens.len()),
            left: &mut self.left,
            first: self.tokens.len(),
            n,
        };
        (pass, &mut self.buffers, &mut self.logits)
    }

    fn stopped(&self) -> Result<(), Error> {
        if self.stop.take() {
            Err(Error::Stopped)
        } else {
            Ok(())
        }
    }

    pub(crate) fn truncate(&mut self, positions: usize) -> Result<(), Error> {
        self.take_back();
        if positions == 0 {
            self.reset();
        }
        if positions >= self.tokens.len() {
            return Ok(());
        }
        let oldest = self
            .caches
            .iter()
            .map(|cache| cache.oldest_restart(self.longest))
            .max()
            .unwrap_or(0);
        // Recurrent layers go on from a copy of their states, which may be of an earlier position.
        if self.fixed.restart(positions) < oldest {
            return Err(Error::Truncate {
                to: positions,
                oldest,
            });
        }
        self.tokens.truncate(positions);
        Ok(())
    }

    pub(crate) fn reset(&mut self) {
        self.tokens.clear();
        self.fixed.clear();
        (self.guesses, self.longest) = (0, 0);
    }
}

/// The rows of a batch that starts at index `start` for which logits are wanted, if they are from index `from` on.
fn wanted(from: usize, start: usize, len: usize) -> Range<usize> {
    from.saturating_sub(start).min(len)..len
}
