//! How much memory a model takes to run. Flows in: a model and the options of a context. Flows out: a [`MemoryPlan`].

use crate::cache::FixedStates;
use crate::memory::{MemoryPlan, available};
use crate::model::Model;
use crate::options::ContextOptions;
use crate::runner::room;
use crate::speculate::MOST_GUESSES;

impl Model {
    /// What a context with these options will take, a draft model's share included, before it is taken. Without a length
    /// in the options, the plan is for the trained length or what fits in memory beside the weights, whichever is less.
    pub fn memory(&self, options: &ContextOptions) -> MemoryPlan {
        self.memory_of(options, 1)
    }

    /// What an engine with room for this number of sequences will take.
    pub fn memory_of(&self, options: &ContextOptions, sequences: usize) -> MemoryPlan {
        self.memory_within(options, sequences, available())
    }

    fn memory_within(
        &self,
        options: &ContextOptions,
        sequences: usize,
        available: Option<u64>,
    ) -> MemoryPlan {
        let draft = options.speculation.draft.as_deref();
        let weights = self.file_bytes() + draft.map_or(0, |draft| draft.file_bytes());
        let trained = self.trained_context();
        let logits = if options.speculation.is_on() {
            MOST_GUESSES + 1
        } else {
            1
        };
        let scratch = |positions: usize| {
            let draft = draft.map_or(0, |draft| draft.scratch_bytes(options, positions, 1));
            self.scratch_bytes(options, positions, logits)
                .saturating_add(draft)
        };
        let cache = |positions: usize| {
            let draft = draft.map_or(0, |draft| draft.cache_bytes(options, 1, positions));
            self.cache_bytes(options, sequences, positions)
                .saturating_add(draft)
        };
        let fits = |positions: usize, room: u64| {
            cache(positions).saturating_add(scratch(positions)) <= room
        };
        let fitting_context = available.map_or(trained, |available| {
            // Weights that are larger than memory are paged in from disk: slow, but possible.
            let room = if weights < available {
                available - weights
            } else {
                available
            };
            let (mut fitting, mut too_many) = (0, trained + 1);
            while fitting + 1 < too_many {
                let middle = fitting + (too_many - fitting) / 2;
                if fits(middle, room) {
                    fitting = middle
                } else {
                    too_many = middle
                }
            }
            fitting
        });
        let context_length = options.context_length.unwrap_or(if fitting_context == 0 {
            trained
        } else {
            fitting_context
        });
        MemoryPlan {
            weights,
            cache: cache(context_length),
            scratch: scratch(context_length),
            available,
            context_length,
            fitting_context,
        }
    }

    /// Hidden states, rows of logits, and the int8 copies and partial sums of the kernels.
    fn scratch_bytes(&self, options: &ContextOptions, positions: usize, logits: usize) -> u64 {
        let batch = options.batch.max(1).min(positions);
        let values = self.decoder.buffer_values(batch);
        let values = values.saturating_add(logits * self.vocab_size()) as u64;
        let copies = (batch as u64).saturating_mul(self.decoder.width() as u64);
        values
            .saturating_mul(4)
            .saturating_add(copies.saturating_mul(2))
    }

    /// Keys and values, and other states, of all layers and sequences.
    fn cache_bytes(&self, options: &ContextOptions, sequences: usize, positions: usize) -> u64 {
        let room = room(options, sequences, positions);
        let fixed = FixedStates::bytes(&self.decoder.fixed).saturating_mul(sequences as u64);
        let caches = self.decoder.caches.iter().map(|shape| room.bytes(shape));
        caches.fold(fixed, u64::saturating_add)
    }
}
