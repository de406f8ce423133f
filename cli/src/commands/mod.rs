//! The commands, one file each. A command is a struct of arguments (clap) with a `run`; it is registered in `Command` in
//! `main.rs`.

pub mod bench;
pub mod chat;
pub mod completions;
pub mod embed;
pub mod inspect;
pub mod logits;
pub mod models;
pub mod perplexity;
pub mod pull;
pub mod run;
pub mod supported;
pub mod template;
pub mod tokenize;
