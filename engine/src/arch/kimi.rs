//! Kimi Linear (arXiv:2510.26692) and what is built like it: delta attention in most layers, latent attention in the others.

use gristmill_kernels::ops::{Activation, RopePairing};

use super::layer::bounded_silu;
use super::{Architecture, Builder, FeedForwards, Norms};
use crate::error::Error;
use crate::layers::{Branch, DeltaAttention, LatentAttention, LogDecay, RopeSpec, Router, Step};

pub static KIMI_LINEAR: Architecture =
    Architecture::new("kimi-linear", "Kimi Linear 48B-A3B", kimi_linear);
pub static KIMI_K3: Architecture = Architecture::new("kimi-k3", "Kimi K3", kimi_k3);
pub static BAILINGMOE3: Architecture = Architecture::new("bailingmoe3", "Ling 3.0", bailingmoe3);

/// Delta attention in layers with its convolutions, latent attention elsewhere.
fn mixer(
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
fn bounded(b: &Builder<'_>, factor: f32) -> Result<DeltaAttention, Error> {
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

/// What a layer is given is a mix of checkpoints of the residual stream. Decays with a bound; latent attention without
/// positions, with a gate; experts in a latent space.
fn kimi_k3(b: &mut Builder<'_>) -> Result<(), Error> {
    let delta = match b.keys.contains("kda.gate_lower_bound") {
        true => bounded(b, -1.0)?,
        false => DeltaAttention {
            decay: LogDecay::Unbounded,
        },
    };
    let bound = "activation.situ_beta";
    let activation = Activation::SiluSquashed {
        beta: match b.keys.f32(bound)? {
            beta if beta > 0.0 => beta,
            beta => {
                return Err(b
                    .keys
                    .wrong(bound, format!("is {beta}, and must be positive")));
            }
        },
        linear_beta: b.keys.f32("activation.situ_linear_beta")?,
    };
    let latent = b.keys.opt_number("expert_latent_length")?;
    let mut feed_forward = FeedForwards::gated(&b.keys, activation, |router| router)?;
    if let Some(experts) = &mut feed_forward.experts {
        experts.latent = latent.filter(|&length| length > 0);
    }
    let period = b.keys.opt_number("attn_res.block_size")?.unwrap_or(0);
    let checkpoints = if period > 0 {
        b.layers().len().div_ceil(period)
    } else {
        0
    };
    b.open_checkpoints(checkpoints);
    for layer in b.layers() {
        let gate = Some(Activation::Sigmoid).filter(|_| b.has(layer, "attn_gate.weight"));
        let latent = LatentAttention {
            scale: 1.0,
            gate,
            ..LatentAttention::default()
        };
        let mixer = mixer(b, layer, delta, latent)?;
        let branches = feed_forward.branches(b, layer, Norms::Before("ffn_norm"))?;
        if period == 0 {
            b.step(Step::new([mixer]));
            b.step(Step::new(branches));
            continue;
        }
        let is_kept = layer.is_multiple_of(period);
        b.mixed_step(
            (layer, "attn_res_score"),
            layer.div_ceil(period),
            is_kept,
            vec![mixer],
        )?;
        b.mixed_step(
            (layer, "ffn_res_score"),
            layer / period + 1,
            false,
            branches,
        )?;
    }
    b.mix_last(checkpoints)
}
