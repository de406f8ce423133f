//! Nomic Embed (arXiv:2402.01613, with experts arXiv:2502.07972): BERT with rotary positions.

use gristmill_kernels::ops::Activation;

use super::bert::{layers, rotated};
use super::{Architecture, Builder, FeedForwards};
use crate::error::Error;
use crate::layers::FeedForward;

pub static NOMIC_BERT: Architecture = Architecture::new(
    "nomic-bert",
    "nomic-embed-text 1 and 1.5 (embeddings)",
    nomic,
);
pub static NOMIC_BERT_MOE: Architecture = Architecture::new(
    "nomic-bert-moe",
    "nomic-embed-text 2 (embeddings)",
    nomic_moe,
);

fn nomic(b: &mut Builder<'_>) -> Result<(), Error> {
    let attention = rotated(b)?;
    layers(b, attention, |_, _| {
        FeedForwards::dense(FeedForward::gated(Activation::Silu))
    })
}

/// Every second layer has experts (`moe_every_n_layers`): those whose router is in the file.
fn nomic_moe(b: &mut Builder<'_>) -> Result<(), Error> {
    let attention = rotated(b)?;
    let dense = FeedForward::plain(Activation::Gelu);
    let experts = FeedForwards::plain(&b.keys, dense, |router| router)?;
    layers(b, attention, |_, _| experts)
}
