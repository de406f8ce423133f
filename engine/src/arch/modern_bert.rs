//! ModernBERT (arXiv:2412.13663): windows, norms before each part, gated feed-forwards.

use gristmill_kernels::ops::{Activation, RopePairing};

use super::bert::{embeddings, rotated};
use super::{Architecture, Builder, Norms};
use crate::error::Error;
use crate::layers::{Attention, Classifier, FeedForward, Pooling, RopeSpec, Step};

pub static MODERN_BERT: Architecture = Architecture::new(
    "modern-bert",
    "ModernBERT, granite-embedding R2 (embeddings)",
    modern,
);

fn modern(b: &mut Builder<'_>) -> Result<(), Error> {
    embeddings(b)?;
    b.head_norm_named("output_norm")?;
    b.classifier(Classifier {
        reads: Pooling::Mean,
        activation: Some(Activation::Gelu),
        ..Classifier::default()
    });
    let global = rotated(b)?;
    let mut local = Attention::rotated(b.rope(RopeSpec {
        base: Some(("rope.freq_base_swa", 10_000.0)),
        ..RopeSpec::new(RopePairing::Halves)
    })?);
    let (pattern, window) = b.windows_but_first_of(3)?;
    local.window = window;
    let feed_forward = FeedForward::gated(match b.keys.opt_string("hidden_activation")? {
        Some("silu" | "swish" | "swiglu") => Activation::Silu,
        _ => Activation::Gelu,
    });
    for layer in b.layers() {
        let is_local = window.is_some() && pattern.contains(layer);
        let attention = if is_local { local } else { global };
        let norms = match b.has(layer, "attn_norm.weight") {
            true => Norms::Before("attn_norm"),
            // The embeddings' norm is enough for the first layer.
            false => Norms::None,
        };
        let attention = b.between(layer, norms, attention)?;
        b.step(Step::new([attention]));
        let feed_forward = b.between(layer, Norms::Before("ffn_norm"), feed_forward)?;
        b.step(Step::new([feed_forward]));
    }
    Ok(())
}
