//! What a context or an engine is made with.

use std::sync::Arc;

use crate::cache::CacheType;
use crate::model::Model;

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

/// How a context guesses.
#[derive(Debug, Clone, Default)]
pub struct SpeculationOptions {
    /// From the text so far.
    pub lookup: bool,
    /// With this model, where the text so far gives nothing. Its vocabulary must be the main model's.
    pub draft: Option<Arc<Model>>,
    /// Always guess this number of tokens (at most [`MOST_GUESSES`](crate::speculate::MOST_GUESSES)); `None`: as many as
    /// measured times make worth while.
    pub depth: Option<usize>,
}

impl SpeculationOptions {
    /// Whether anything guesses.
    pub fn is_on(&self) -> bool {
        self.lookup || self.draft.is_some()
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

impl Logits {
    /// The first of `tokens` tokens whose logits are wanted.
    pub(crate) fn first(self, tokens: usize) -> usize {
        match self {
            Logits::None => tokens,
            Logits::Last => tokens.saturating_sub(1),
            Logits::All => 0,
        }
    }
}
