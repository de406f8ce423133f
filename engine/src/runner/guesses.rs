//! Guesses of what follows: held behind a sequence's tokens until they are accepted or taken back.

use gristmill_kernels::Compute;

use super::{Runner, Share};
use crate::cache::Moment;
use crate::error::Error;
use crate::layers::Input;
use crate::model::Model;
use crate::sequence::SequenceId;

impl Runner {
    /// Feeds a token that was generated and guesses of what follows it, and computes logits after each of them, see
    /// [`row`](Self::row). The guesses are held until they are [`accepted`](Self::accept) or taken back. A stop is left
    /// to the generation to see: it still has text to hand out.
    pub(crate) fn extend(
        &mut self,
        model: &Model,
        compute: &mut Compute,
        sequence: SequenceId,
        ids: &[u32],
    ) -> Result<(), Error> {
        self.take_back(sequence)?;
        self.check(model, sequence, ids.into())?;
        self.catch_up(model, compute, sequence, None)?;
        let guesses = ids.len().saturating_sub(1);
        if guesses > 0 {
            self.work.states.mark(sequence.slot, Moment::Guess);
        }
        self.add(model, compute, sequence, ids, guesses)
    }

    /// Feeds one more guess, behind others that are held, and computes the logits after it.
    pub(crate) fn guess(
        &mut self,
        model: &Model,
        compute: &mut Compute,
        sequence: SequenceId,
        id: u32,
    ) -> Result<(), Error> {
        self.check(model, sequence, Input::Tokens(&[id]))?;
        let text = self.text(sequence)?;
        if text.tokens.len() >= self.capacity {
            return Err(Error::ContextFull {
                position: text.tokens.len(),
                tokens: 1,
                capacity: self.capacity,
            });
        }
        if text.guesses == 0 {
            self.catch_up(model, compute, sequence, None)?;
            self.work.states.mark(sequence.slot, Moment::Guess);
        }
        self.add(model, compute, sequence, &[id], 1)
    }

    /// Feeds tokens behind all that a sequence holds, the last of which are guesses, with logits after each.
    fn add(
        &mut self,
        model: &Model,
        compute: &mut Compute,
        sequence: SequenceId,
        ids: &[u32],
        guesses: usize,
    ) -> Result<(), Error> {
        let share = Share {
            slot: sequence.slot,
            first: self.text(sequence)?.tokens.len(),
            input: ids.into(),
            len: ids.len(),
            wanted: 0,
            certain: ids.len() - guesses,
        };
        self.forward(model, compute, &[share], None)?;
        let text = self.text_mut(sequence)?;
        text.tokens.extend(ids);
        text.guesses += guesses;
        self.logits(model, compute, 0..ids.len(), 0)?;
        Ok(model.check_unchanged()?)
    }

    /// The first of a sequence's guesses is right.
    pub(crate) fn accept(&mut self, sequence: SequenceId) -> Result<(), Error> {
        let text = self.text_mut(sequence)?;
        text.guesses = text.guesses.saturating_sub(1);
        let held = text.tokens.len() - text.guesses;
        self.work.states.accept(sequence.slot, held);
        Ok(())
    }

    /// Forgets a sequence's guesses that were not accepted.
    pub(crate) fn take_back(&mut self, sequence: SequenceId) -> Result<(), Error> {
        let text = self.text_mut(sequence)?;
        text.tokens.truncate(text.tokens.len() - text.guesses);
        text.guesses = 0;
        Ok(())
    }
}
