//! A context: an engine with one sequence of tokens, and with guesses of how it goes on, if the options ask for them.
//! Flows in: token ids. Flows out: logits, or a generation. Memory is taken when the context is made and at the first
//! feed of a size; feeding another token allocates nothing.

use std::io::{Read, Write};
use std::sync::Arc;

use gristmill_kernels::Compute;

use crate::chooser::GenerateOptions;
use crate::engine::Engine;
use crate::error::Error;
use crate::generate::Generation;
use crate::layers::Input;
use crate::model::Model;
use crate::options::{ContextOptions, Logits};
use crate::sequence::SequenceId;
use crate::speculate::Speculation;
use crate::stop::StopHandle;

/// One sequence of tokens, and what extends it.
pub struct Context {
    engine: Engine,
    sequence: SequenceId,
    speculation: Option<Speculation>,
}

impl Model {
    /// A new, empty context. Refused with [`Error::Memory`] if it would not fit.
    pub fn context(self: &Arc<Self>, options: &ContextOptions) -> Result<Context, Error> {
        let mut engine = Engine::new(self, options, 1)?;
        let sequence = engine.open()?;
        let speculation = Speculation::new(self, options, engine.capacity(), &engine.stop)?;
        Ok(Context {
            engine,
            sequence,
            speculation,
        })
    }
}

impl Context {
    /// The model of this context.
    pub fn model(&self) -> &Arc<Model> {
        &self.engine.model
    }

    /// Appends tokens, or rows in place of tokens ([`Input`]), at [`position`](Self::position) and gives the logits that were
    /// asked for: none, one row of [`vocab_size`](Model::vocab_size) values, or one for each token; without tokens there are
    /// none. After an error, `position` tells how many tokens were evaluated before it. A mapped file that was written to
    /// since it was opened is an error: the weights are not those of the tokens before any more.
    pub fn feed<'a>(&mut self, input: impl Into<Input<'a>>, want: Logits) -> Result<&[f32], Error> {
        self.engine.feed(self.sequence, input, want)
    }

    /// The tokens that this context holds, with [`ROW`](crate::ROW) for each row that was fed in place of one.
    pub fn tokens(&self) -> &[u32] {
        self.engine.tokens(self.sequence)
    }

    /// Number of tokens held: where the next one goes.
    pub fn position(&self) -> usize {
        self.tokens().len()
    }

    /// Number of tokens that can be held.
    pub fn capacity(&self) -> usize {
        self.engine.capacity()
    }

    /// Number of worker threads.
    pub fn threads(&self) -> usize {
        self.engine.compute.threads()
    }

    /// Number of worker threads for prompts.
    pub fn threads_prompt(&self) -> usize {
        self.engine.compute.threads_prompt()
    }

    /// Name of the instruction set in use.
    pub fn isa(&self) -> &'static str {
        self.engine.compute.isa().name()
    }

    /// Forgets all tokens from position `positions` on. Refused with [`Error::Truncate`] where a sliding window has
    /// already forgotten what the next token would need.
    pub fn truncate(&mut self, positions: usize) -> Result<(), Error> {
        self.engine.truncate(self.sequence, positions)
    }

    /// Keeps as much as possible of the beginning that `ids` shares with the tokens held, drops the rest, and says how
    /// many were kept: `feed(&ids[kept..])` then completes `ids`. At least one token is left to feed.
    pub fn keep_prefix(&mut self, ids: &[u32]) -> usize {
        let pairs = self.tokens().iter().zip(ids);
        let shared = pairs.take_while(|(a, b)| a == b).count();
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
        let done = self.engine.reset(self.sequence);
        debug_assert!(done.is_ok(), "a context's sequence is never released");
    }

    /// Writes what the context holds, see [`Engine::save`].
    pub fn save(&mut self, out: impl Write) -> Result<(), Error> {
        self.engine.save(self.sequence, out)
    }

    /// Holds what was [saved](Self::save) in place of what it holds now; nothing after an error. See [`Engine::restore`].
    pub fn restore(&mut self, mut from: impl Read) -> Result<(), Error> {
        let Engine { model, runner, .. } = &mut self.engine;
        runner.restore(model, self.sequence, &mut from)
    }

    /// A handle that stops a generation from another thread.
    pub fn stop_handle(&self) -> StopHandle {
        self.engine.stop_handle()
    }

    /// Feeds `prompt` after what the context holds, and generates. The work is done while the result is iterated over.
    pub fn generate<'a>(
        &'a mut self,
        prompt: &[u32],
        options: GenerateOptions,
    ) -> Result<Generation<'a>, Error> {
        let speculation = self.speculation.as_mut();
        Generation::new(
            &mut self.engine,
            self.sequence,
            speculation,
            prompt,
            options,
        )
    }

    /// Feeds `ids` and hands out the logits from index `from` on in slabs of a few rows: the index of the slab's first
    /// token, and the rows. For evaluations, whose logits together would be too large.
    pub(crate) fn feed_slabs(
        &mut self,
        ids: &[u32],
        from: usize,
        sink: impl FnMut(&mut Compute, usize, &[f32]),
    ) -> Result<(), Error> {
        let Engine {
            model,
            compute,
            runner,
            stop,
        } = &mut self.engine;
        runner.feed_slabs(
            model,
            compute,
            (self.sequence, ids.into(), from),
            stop,
            sink,
        )
    }
}
