//! An opened model: the file's views, checked against what its architecture needs. Nothing is copied or converted; many
//! contexts can share one model.

use std::path::Path;
use std::sync::Arc;

use crate::context::{Context, ContextOptions};
use crate::error::Error;
use crate::memory::MemoryPlan;

/// How to open a model.
#[derive(Debug, Clone, Default)]
pub struct ModelOptions {
    /// Read the file into memory instead of mapping it.
    pub no_mmap: bool,
}

/// A model, shared by its contexts.
#[derive(Debug)]
pub struct Model {}

impl Model {
    /// Opens a GGUF file (of a split model: its first part) and checks every tensor that its architecture needs.
    pub fn open(path: impl AsRef<Path>, options: &ModelOptions) -> Result<Arc<Model>, Error> {
        let _ = (path.as_ref(), options);
        Err(Error::Unsupported("models can't be opened yet".into()))
    }

    /// Number of tokens in the vocabulary: the length of a row of logits.
    pub fn vocab_size(&self) -> usize {
        0
    }

    /// Positions the model was trained for (`{architecture}.context_length`).
    pub fn trained_context(&self) -> usize {
        0
    }

    /// What a context with these options will take, before it is taken.
    pub fn memory(&self, options: &ContextOptions) -> MemoryPlan {
        let _ = options;
        MemoryPlan {
            weights: 0,
            cache: 0,
            scratch: 0,
            available: None,
            context_length: 0,
            fitting_context: 0,
        }
    }

    /// A new, empty context. Refused with [`Error::Memory`] if it would not fit.
    pub fn context(self: &Arc<Self>, options: &ContextOptions) -> Result<Context, Error> {
        Context::new(self, options)
    }
}
