//! Nemotron-H (arXiv:2504.03624) and what came after it: Mamba 2, attention and feed-forwards, one in each layer.

use gristmill_kernels::ops::Activation;

use super::layer::ATTN_NORM;
use super::{Architecture, Builder, FeedForwards};
use crate::error::Error;
use crate::layers::{Attention, FeedForward, Gating, Mamba2, Router, Step};

pub static NEMOTRON_H: Architecture =
    Architecture::new("nemotron_h", "Nemotron-H, Nemotron Nano 2", nemotron_h);
pub static NEMOTRON_H_MOE: Architecture =
    Architecture::new("nemotron_h_moe", "Nemotron 3 Nano", nemotron_h);

/// Each layer is one of Mamba 2, attention without positions, or a feed-forward.
fn nemotron_h(b: &mut Builder<'_>) -> Result<(), Error> {
    let relu = FeedForward::plain(Activation::ReluSquared);
    let sigmoid = |router| Router {
        gating: Gating::Sigmoid,
        ..router
    };
    let feed_forward = FeedForwards::plain(&b.keys, relu, sigmoid)?;
    for layer in b.layers() {
        let branches = if b.has(layer, "ssm_conv1d.weight") {
            vec![b.between(layer, ATTN_NORM, Mamba2)?]
        } else if b.has(layer, "attn_output.weight") {
            vec![b.between(layer, ATTN_NORM, Attention::default())?]
        } else {
            feed_forward.branches(b, layer, ATTN_NORM)?
        };
        b.step(Step::new(branches));
    }
    Ok(())
}
