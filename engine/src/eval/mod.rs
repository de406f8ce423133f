//! Measuring models on text.

pub mod perplexity;
