//! Falcon-H1: Mamba 2 beside attention.

use gristmill_kernels::ops::{Activation, RopePairing};

use super::layer::ATTN_NORM;
use super::{Architecture, Builder, Norms};
use crate::error::Error;
use crate::layers::{Attention, FeedForward, Mamba2, RopeSpec, Step};

pub static FALCON_H1: Architecture = Architecture::new("falcon-h1", "Falcon-H1", falcon_h1);

/// Mamba 2 and attention side by side in each layer.
fn falcon_h1(b: &mut Builder<'_>) -> Result<(), Error> {
    let attention = Attention {
        ignores_output_bias: true,
        ..Attention::rotated(b.rope(RopeSpec::new(RopePairing::Halves))?)
    };
    b.ignore_all("rope_freqs.");
    for layer in b.layers() {
        let attention = b.between(layer, ATTN_NORM, attention)?;
        let mamba = b.between(layer, ATTN_NORM, Mamba2)?;
        b.step(Step::new([attention, mamba]));
        let silu = FeedForward::gated(Activation::Silu);
        let feed_forward = b.between(layer, Norms::Before("ffn_norm"), silu)?;
        b.step(Step::new([feed_forward]));
    }
    Ok(())
}
