//! Ling 3.0: Kimi Linear with rotary positions, gates per head and bounds on feed-forwards.

use gristmill_kernels::ops::{Activation, RopePairing};

use super::kimi::{bounded, mixer};
use super::layer::bounded_silu;
use super::{Architecture, Builder, FeedForwards, Norms};
use crate::error::Error;
use crate::layers::{LatentAttention, RopeSpec, Step};

pub static BAILINGMOE3: Architecture = Architecture::new("bailingmoe3", "Ling 3.0", bailingmoe3);

/// Decays with a bound; latent attention with rotary positions and a gate per head; bounds on feed-forwards, layer by layer.
fn bailingmoe3(b: &mut Builder<'_>) -> Result<(), Error> {
    if b.keys.opt_bool("kda.safe_gate")? == Some(false) {
        let problem = "is false, and decays without a bound are not known here";
        return Err(b.keys.wrong("kda.safe_gate", problem.into()));
    }
    let delta = bounded(b, 1.0)?;
    let pairing = if b.keys.contains("rope.dimension_sections") {
        RopePairing::Halves
    } else {
        RopePairing::Interleaved
    };
    let latent = LatentAttention {
        rope: Some(b.rope(RopeSpec::new(pairing))?),
        scale: 1.0,
        gate: Some(Activation::Sigmoid),
        ..LatentAttention::default()
    };
    let layers = b.layers().len();
    let of_experts = b.keys.f32_per_layer("swiglu_clamp_exp", layers)?;
    let of_others = b.keys.f32_per_layer("swiglu_clamp_shexp", layers)?;
    let mut feed_forward = FeedForwards::gated(&b.keys, Activation::Silu, |router| router)?;
    for layer in b.layers() {
        let mixer = mixer(b, layer, delta, latent)?;
        b.step(Step::new([mixer]));
        if let Some(experts) = &mut feed_forward.experts {
            experts.activation = bounded_silu(of_experts[layer]);
        }
        // Of the shared expert, and of layers without experts.
        feed_forward.dense.activation = bounded_silu(of_others[layer]);
        let branches = feed_forward.branches(b, layer, Norms::Before("ffn_norm"))?;
        b.step(Step::new(branches));
    }
    Ok(())
}
