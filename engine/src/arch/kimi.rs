//! Kimi Linear (arXiv:2510.26692) and what is built like it: delta attention in most layers, latent attention in the others.

use gristmill_kernels::ops::Activation;

use super::{Architecture, Builder, FeedForwards, Norms};
use crate::error::Error;
use crate::layers::{Branch, DeltaAttention, LatentAttention, LogDecay, Router, Step};

pub static KIMI_LINEAR: Architecture =
    Architecture::new("kimi-linear", "Kimi Linear 48B-A3B", kimi_linear);

/// Delta attention in layers with its convolutions, latent attention elsewhere.
pub(super) fn mixer(
    b: &mut Builder<'_>,
    layer: usize,
    delta: DeltaAttention,
    latent: LatentAttention,
) -> Result<Branch, Error> {
    let norm = Norms::Before("attn_norm");
    if b.has(layer, "ssm_conv1d_q.weight") {
        b.between(layer, norm, delta)
    } else {
        b.between(layer, norm, latent)
    }
}

/// The keys of a decay with a bound, which must be negative.
pub(super) fn bounded(b: &Builder<'_>, factor: f32) -> Result<DeltaAttention, Error> {
    let key = "kda.gate_lower_bound";
    match b.keys.f32(key)? {
        least if least < 0.0 => Ok(DeltaAttention {
            decay: LogDecay::Bounded { least, factor },
        }),
        least => Err(b
            .keys
            .wrong(key, format!("is {least}, and must be negative"))),
    }
}

/// Latent attention without positions.
fn kimi_linear(b: &mut Builder<'_>) -> Result<(), Error> {
    let delta = DeltaAttention {
        decay: LogDecay::Unbounded,
    };
    let latent = LatentAttention {
        scale: 1.0,
        ..LatentAttention::default()
    };
    let feed_forward = FeedForwards::gated(&b.keys, Activation::Silu, |router| Router {
        normalise: true,
        ..router
    })?;
    for layer in b.layers() {
        let mixer = mixer(b, layer, delta, latent)?;
        b.step(Step::new([mixer]));
        let branches = feed_forward.branches(b, layer, Norms::Before("ffn_norm"))?;
        b.step(Step::new(branches));
    }
    Ok(())
}
