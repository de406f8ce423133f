//! Models: from a GGUF file and token ids to logits and text.
//!
//! ```no_run
//! use gristmill_engine::{ContextOptions, GenerateOptions, Logits, Model};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Open a model: the file is mapped, nothing is copied.
//! let model = Model::open("SmolLM2-135M-Instruct.Q4_1.gguf", &Default::default())?;
//!
//! // A context holds one sequence of tokens. What it takes can be seen before.
//! let options = ContextOptions { context_length: Some(2048), ..Default::default() };
//! println!("{}", model.memory(&options));
//! let mut context = model.context(&options)?;
//!
//! // Tokens in, logits out.
//! let tokenizer = model.tokenizer()?;
//! let ids = tokenizer.encode("The mill turns", true, false);
//! let logits = context.feed(&ids, Logits::Last)?;
//! println!("{} logits", logits.len());
//!
//! // Or text, as it is made; another thread may end it.
//! let stop = context.stop_handle();
//! std::thread::spawn(move || {
//!     std::thread::sleep(std::time::Duration::from_secs(5));
//!     stop.stop();
//! });
//! context.reset();
//! let mut generation = context.generate(&ids, GenerateOptions::default())?;
//! for piece in &mut generation {
//!     print!("{}", piece?.text);
//! }
//! println!("\nended by {:?} after {:?}", generation.stop_reason(), generation.timings());
//! # Ok(())
//! # }
//! ```
//!
//! [`arch`] describes the architectures, [`layers`] holds the parts they are made of.
#![forbid(unsafe_code)]

mod adapter;
pub mod arch;
pub mod cache;
pub mod chat;
mod chooser;
mod context;
mod damage;
mod embed;
mod engine;
mod error;
pub mod eval;
mod fingerprint;
mod generate;
pub mod hparams;
pub mod layers;
pub mod load;
pub mod memory;
mod model;
mod options;
mod plan;
pub mod reasoning;
mod runner;
pub mod sampler;
mod sequence;
pub mod speculate;
mod stop;
mod stream;
pub mod template;
pub mod tokenizer;

pub use adapter::{Adapter, AdapterOptions};
pub use cache::CacheType;
pub use chat::{ChatFormat, Conversation};
pub use chooser::{GenerateOptions, Piece, StopReason};
pub use context::Context;
pub use embed::{EmbedOptions, Embedder, Embedding};
pub use engine::Engine;
pub use error::Error;
pub use generate::{Generation, Timings};
pub use layers::{Input, Pooling};
pub use memory::MemoryPlan;
pub use model::{Model, ModelOptions};
pub use options::{ContextOptions, Logits, SpeculationOptions};
pub use sampler::{SamplerChain, SamplerOptions};
pub use sequence::{Feed, ROW, SequenceId};
pub use speculate::Counts;
pub use stop::StopHandle;
pub use template::{ChatTemplate, Message, TemplateError};
pub use tokenizer::Tokenizer;
