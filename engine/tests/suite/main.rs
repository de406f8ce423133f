//! The engine seen from outside, as a program uses it. One binary of tests, so that it is linked once.

mod adapters;
mod architectures;
mod batches;
mod common;
mod company;
mod determinism;
mod embeddings;
mod fuzz_finds;
mod hostile;
mod hostile_templates;
mod lora;
mod malformed;
mod positions;
mod real_models;
mod rows;
mod saved;
mod sessions;
mod speculation;
mod templates;
mod tokenizer_kinds;
mod tokenizers;
