//! Models: from a GGUF file and token ids to logits and text.
#![forbid(unsafe_code)]

mod context;
mod error;
pub mod eval;
mod generate;
pub mod memory;
mod model;
pub mod sampler;
pub mod tokenizer;

pub use context::{CacheType, Context, ContextOptions, Logits};
pub use error::Error;
pub use generate::{GenerateOptions, Generation, Piece, StopHandle, StopReason, Timings};
pub use memory::MemoryPlan;
pub use model::{Model, ModelOptions};
pub use sampler::{SamplerChain, SamplerOptions};
pub use tokenizer::Tokenizer;
