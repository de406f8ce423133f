//! Jamba (arXiv:2403.19887): Mamba and attention.

use gristmill_kernels::ops::Activation;

use super::layer::ATTN_NORM;
use super::{Architecture, Builder, FeedForwards, Norms};
use crate::error::Error;
use crate::layers::{Attention, Mamba, Step};

pub static JAMBA: Architecture = Architecture::new("jamba", "Jamba", jamba);

/// Attention without positions among Mamba layers.
fn jamba(b: &mut Builder<'_>) -> Result<(), Error> {
    let feed_forward = FeedForwards::gated(&b.keys, Activation::Silu, |router| router)?;
    for layer in b.layers() {
        let mixer = if b.has(layer, "ssm_conv1d.weight") {
            b.between(layer, ATTN_NORM, Mamba)?
        } else {
            b.between(layer, ATTN_NORM, Attention::default())?
        };
        b.step(Step::new([mixer]));
        let branches = feed_forward.branches(b, layer, Norms::Before("ffn_norm"))?;
        b.step(Step::new(branches));
    }
    Ok(())
}
