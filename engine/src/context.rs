//! A context: the state of one sequence of tokens (keys and values of the past) and the threads that extend it.
//! Flows in: token ids. Flows out: logits.

use std::sync::Arc;

use crate::error::Error;
use crate::generate::{GenerateOptions, Generation, StopHandle};
use crate::model::Model;

/// How keys or values of past tokens are stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CacheType {
    /// Single precision.
    F32,
    /// Half precision, the default.
    #[default]
    F16,
    /// 8 bits in blocks of 32 with one scale.
    Q8_0,
}

impl CacheType {
    /// All of them, for help texts.
    pub const ALL: [CacheType; 3] = [Self::F32, Self::F16, Self::Q8_0];

    /// The name in options: `f32`, `f16` or `q8_0`.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Q8_0 => "q8_0",
        }
    }
}

impl std::str::FromStr for CacheType {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|t| t.name().eq_ignore_ascii_case(name))
            .ok_or_else(|| Error::Option(format!("'{name}' is no cache type: f32, f16 or q8_0")))
    }
}

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
    model: Arc<Model>,
    stop: StopHandle,
}

impl Context {
    pub(crate) fn new(model: &Arc<Model>, options: &ContextOptions) -> Result<Context, Error> {
        let _ = options;
        Ok(Context {
            model: Arc::clone(model),
            stop: StopHandle::default(),
        })
    }

    /// The model of this context.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// Appends tokens at [`position`](Self::position) and gives the logits that were asked for: none, one row of
    /// [`vocab_size`](Model::vocab_size) values, or `ids.len()` rows. An error leaves the tokens in place that were
    /// evaluated before it (see `position`).
    pub fn feed(&mut self, ids: &[u32], want: Logits) -> Result<&[f32], Error> {
        let _ = (ids, want);
        Err(Error::Unsupported("tokens can't be fed yet".into()))
    }

    /// The tokens that this context holds.
    pub fn tokens(&self) -> &[u32] {
        &[]
    }

    /// Number of tokens held: where the next one goes.
    pub fn position(&self) -> usize {
        0
    }

    /// Number of tokens that can be held.
    pub fn capacity(&self) -> usize {
        0
    }

    /// Number of worker threads.
    pub fn threads(&self) -> usize {
        0
    }

    /// Name of the instruction set in use.
    pub fn isa(&self) -> &'static str {
        ""
    }

    /// Forgets all tokens from position `positions` on. Refused with [`Error::Truncate`] where a sliding window has
    /// already forgotten what the next token would need.
    pub fn truncate(&mut self, positions: usize) -> Result<(), Error> {
        let _ = positions;
        Ok(())
    }

    /// Keeps as much as possible of the beginning that `ids` shares with the tokens held, drops the rest, and says how
    /// many were kept: `feed(&ids[kept..])` then completes `ids`. At least one token is left to feed.
    pub fn keep_prefix(&mut self, ids: &[u32]) -> usize {
        let _ = ids;
        0
    }

    /// Forgets everything.
    pub fn reset(&mut self) {}

    /// A handle that stops a generation from another thread.
    pub fn stop_handle(&self) -> StopHandle {
        self.stop.clone()
    }

    /// Feeds `prompt` after what the context holds, and generates. The work is done while the result is iterated over.
    pub fn generate<'a>(
        &'a mut self,
        prompt: &[u32],
        options: GenerateOptions,
    ) -> Result<Generation<'a>, Error> {
        let _ = (prompt, options);
        Err(Error::Unsupported("nothing can be generated yet".into()))
    }
}
