//! An engine: a model, the threads that run it, and any number of sequences of tokens up to a fixed one. Flows in: token
//! ids by sequence. Flows out: logits. One pass may carry tokens of several sequences; what a token's logits are depends
//! on its own sequence alone, to the bit: not on the others of the pass, on how a text is cut into passes, or on threads.

use std::io::{Read, Write};
use std::sync::Arc;

use gristmill_kernels::{Compute, ComputeOptions};

use crate::error::Error;
use crate::layers::Input;
use crate::model::Model;
use crate::options::{ContextOptions, Logits};
use crate::runner::Runner;
use crate::sequence::{Feed, SequenceId};
use crate::stop::StopHandle;

/// A model with its threads and the sequences that it runs.
pub struct Engine {
    pub(crate) model: Arc<Model>,
    pub(crate) compute: Compute,
    pub(crate) runner: Runner,
    pub(crate) stop: StopHandle,
}

impl Engine {
    /// Room for this number of sequences at the same time, each of the options' length. Refused with [`Error::Memory`] if
    /// that would not fit, and with [`Error::Encoder`] for a model that makes embeddings alone.
    pub fn new(
        model: &Arc<Model>,
        options: &ContextOptions,
        sequences: usize,
    ) -> Result<Engine, Error> {
        if options.batch == 0 || options.context_length == Some(0) || sequences == 0 {
            return Err(Error::Option(
                "the batch and the context must hold at least 1 token, and there must be a sequence".into(),
            ));
        }
        if model.is_encoder() {
            return Err(Error::Encoder {
                architecture: model.architecture().name,
            });
        }
        let plan = model.memory_of(options, sequences);
        if !plan.fits() {
            return Err(Error::Memory(Box::new(plan)));
        }
        let compute = Compute::new(&ComputeOptions {
            threads: options.threads,
            threads_prompt: options.threads_prompt,
            isa: options.isa.clone(),
        })?;
        Ok(Engine {
            runner: Runner::new(model, options, sequences, plan.context_length)?,
            model: Arc::clone(model),
            compute,
            stop: StopHandle::default(),
        })
    }

    /// The model.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// A new, empty sequence. [`Error::Sequences`] if there are as many as there is room for.
    pub fn open(&mut self) -> Result<SequenceId, Error> {
        self.runner.open()
    }

    /// A sequence that begins as another one is now. It shares the memory of what they have in common, so this is cheap, and a
    /// way to mark a place: to go back, go on with the fork. [`Error::Sequences`] if there is no room for one more.
    pub fn fork(&mut self, of: SequenceId) -> Result<SequenceId, Error> {
        self.runner.fork(of)
    }

    /// Ends a sequence. Its id is good for nothing afterwards: every call with it gives [`Error::Released`].
    pub fn release(&mut self, sequence: SequenceId) -> Result<(), Error> {
        self.runner.release(sequence)
    }

    /// The tokens that a sequence holds, with [`ROW`](crate::ROW) for each row that was fed in place of one; none of a sequence
    /// that was released.
    pub fn tokens(&self, sequence: SequenceId) -> &[u32] {
        self.runner.tokens(sequence)
    }

    /// The position that text has for rotations which follows what a sequence holds: the number of its tokens, but behind rows
    /// with positions of their own ([`Input::Placed`]) one more than the largest part so far.
    pub fn next_position(&self, sequence: SequenceId) -> Result<usize, Error> {
        self.runner.next_position(sequence)
    }

    /// Number of tokens that a sequence can hold.
    pub fn capacity(&self) -> usize {
        self.runner.capacity()
    }

    /// Number of tokens that a pass can have.
    pub fn rows(&self) -> usize {
        self.runner.rows()
    }

    /// One pass over tokens of any number of sequences, [`rows`](Self::rows) together at most. Gives the logits that were
    /// asked for, rows of [`vocab_size`](Model::vocab_size) values in the order of `feeds`. After an error no sequence has
    /// changed. A mapped file that was written to since it was opened is an error.
    pub fn pass(&mut self, feeds: &[Feed<'_>]) -> Result<&[f32], Error> {
        self.runner
            .pass(&self.model, &mut self.compute, feeds, &self.stop)
    }

    /// Feeds any number of tokens to a sequence, or of rows in place of tokens ([`Input`]), in as many passes as that takes, and
    /// gives the logits that were asked for. Models with recurrent layers keep copies of rows, to go back into what was fed.
    /// After an error, [`tokens`](Self::tokens) tells what was evaluated before it.
    pub fn feed<'a>(
        &mut self,
        sequence: SequenceId,
        input: impl Into<Input<'a>>,
        want: Logits,
    ) -> Result<&[f32], Error> {
        let feed = Feed {
            sequence,
            input: input.into(),
            want,
        };
        self.runner
            .feed(&self.model, &mut self.compute, feed, &self.stop)
    }

    /// Forgets all tokens of a sequence from position `positions` on. Refused with [`Error::Truncate`] where a sliding window
    /// has already forgotten what the next token would need.
    pub fn truncate(&mut self, sequence: SequenceId, positions: usize) -> Result<(), Error> {
        self.runner.truncate(sequence, positions)
    }

    /// Forgets all tokens of a sequence.
    pub fn reset(&mut self, sequence: SequenceId) -> Result<(), Error> {
        self.runner.reset(sequence)
    }

    /// Writes a sequence: an engine of the same model can go on from it, on any machine, to the bit as if it had read the
    /// tokens itself. Takes as many bytes as the keys, values and states of its tokens; `out` is best buffered.
    /// [`Error::Saved`] if `out` can't be written to.
    pub fn save(&mut self, sequence: SequenceId, mut out: impl Write) -> Result<(), Error> {
        let Self {
            model,
            compute,
            runner,
            stop,
        } = self;
        runner.save(model, compute, sequence, stop, &mut out)
    }

    /// A sequence that was [saved](Self::save), which must be all that `from` (best buffered) has. [`Error::Saved`] if it is
    /// of another model or of other adapters, if keys and values are stored in another type here, or if it is damaged;
    /// [`Error::ContextFull`] if it is longer than a sequence can be, [`Error::Sequences`] if there is no room for one more.
    pub fn restore(&mut self, mut from: impl Read) -> Result<SequenceId, Error> {
        let sequence = self.open()?;
        match self.runner.restore(&self.model, sequence, &mut from) {
            Ok(()) => Ok(sequence),
            Err(error) => {
                self.release(sequence)?;
                Err(error)
            }
        }
    }

    /// A handle that stops what runs from another thread, within a layer.
    pub fn stop_handle(&self) -> StopHandle {
        self.stop.clone()
    }
}
