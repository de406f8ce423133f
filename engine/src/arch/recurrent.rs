//! Decoders some or all of whose layers keep a state of one size in place of keys and values: Mamba, LFM2, Qwen 3-Next, and
//! hybrids of Mamba and attention. What a layer is shows by its tensors.

use gristmill_kernels::ops::{Activation, RopePairing};

use super::{Architecture, Builder, FeedForwards, Norms};
use crate::error::Error;
use crate::layers::{
    Attention, DeltaNet, FeedForward, Gating, HeadNorms, Mamba, Mamba2, PlamoMamba, RopeSpec,
    Router, ShortConv, Step,
};

pub static LFM2: Architecture = Architecture::new("lfm2", "LFM2 350M to 2.6B", lfm2);
pub static LFM2MOE: Architecture = Architecture::new("lfm2moe", "LFM2 8B-A1B", lfm2);
pub static QWEN3NEXT: Architecture =
    Architecture::new("qwen3next", "Qwen 3-Next 80B-A3B", qwen3next);
pub static QWEN35: Architecture = Architecture::new("qwen35", "Qwen 3.5", qwen35);
pub static QWEN35MOE: Architecture =
    Architecture::new("qwen35moe", "Qwen 3.5 with experts", qwen35);
pub static MAMBA: Architecture = Architecture::new("mamba", "Mamba, Falcon Mamba", mamba);
pub static MAMBA2: Architecture = Architecture::new("mamba2", "Mamba 2, Mamba Codestral", mamba2);
pub static JAMBA: Architecture = Architecture::new("jamba", "Jamba", jamba);
pub static FALCON_H1: Architecture = Architecture::new("falcon-h1", "Falcon-H1", falcon_h1);
pub static NEMOTRON_H: Architecture =
    Architecture::new("nemotron_h", "Nemotron-H, Nemotron Nano 2", nemotron_h);
pub static NEMOTRON_H_MOE: Architecture =
    Architecture::new("nemotron_h_moe", "Nemotron 3 Nano", nemotron_h);
pub static PLAMO2: Architecture = Architecture::new("plamo2", "PLaMo 2", plamo2);

const ATTN_NORM: Norms = Norms::Before("attn_norm");

fn normalised(router: Router) -> Router {
    Router {
        normalise: true,
        ..router
    }
}

/// Short convolutions and attention.
fn lfm2(b: &mut Builder<'_>) -> Result<(), Error> {
    let rope = b.rope(RopeSpec::new(RopePairing::Halves))?;
    let attention = Attention {
        norms: HeadNorms::Weighted,
        window: b
            .keys
            .opt_number("attention.sliding_window")?
            .filter(|&window| window > 0),
        ..Attention::rotated(rope)
    };
    let feed_forward = FeedForwards::gated(&b.keys, Activation::Silu, normalised)?;
    for layer in b.layers() {
        let mixer = if b.has(layer, "shortconv.conv.weight") {
            b.between(layer, ATTN_NORM, ShortConv)?
        } else {
            b.between(layer, ATTN_NORM, attention)?
        };
        b.step(Step::new([mixer]));
        let branches = feed_forward.branches(b, layer, Norms::Before("ffn_norm"))?;
        b.step(Step::new(branches));
    }
    b.head_norm_named("token_embd_norm")
}

fn delta(b: &mut Builder<'_>, delta: DeltaNet) -> Result<(), Error> {
    let rope = b.rope(RopeSpec::new(RopePairing::Halves))?;
    let attention = Attention {
        norms: HeadNorms::Weighted,
        gate: Some(Activation::Sigmoid),
        gate_in_queries: true,
        ..Attention::rotated(rope)
    };
    let feed_forward = FeedForwards {
        shared_weight: Some("ffn_gate_inp_shexp"),
        ..FeedForwards::gated(&b.keys, Activation::Silu, normalised)?
    };
    for layer in b.layers() {
        let mixer = if b.has(layer, "ssm_conv1d.weight") {
            b.between(layer, ATTN_NORM, delta)?
        } else {
            b.between(layer, ATTN_NORM, attention)?
        };
        b.step(Step::new([mixer]));
        let norm = Norms::Before("post_attention_norm");
        let branches = feed_forward.branches(b, layer, norm)?;
        b.step(Step::new(branches));
    }
    Ok(())
}

fn qwen3next(b: &mut Builder<'_>) -> Result<(), Error> {
    delta(
        b,
        DeltaNet {
            neighbours_share: true,
        },
    )
}

fn qwen35(b: &mut Builder<'_>) -> Result<(), Error> {
    delta(
        b,
        DeltaNet {
            neighbours_share: false,
        },
    )?;
    b.position_parts(true)
}

fn mamba(b: &mut Builder<'_>) -> Result<(), Error> {
    for layer in b.layers() {
        let mamba = b.between(layer, ATTN_NORM, Mamba)?;
        b.step(Step::new([mamba]));
    }
    Ok(())
}

fn mamba2(b: &mut Builder<'_>) -> Result<(), Error> {
    for layer in b.layers() {
        let mamba = b.between(layer, ATTN_NORM, Mamba2)?;
        b.step(Step::new([mamba]));
    }
    Ok(())
}

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

/// Attention among Mamba layers of its own kind, norms around everything.
fn plamo2(b: &mut Builder<'_>) -> Result<(), Error> {
    let attention = Attention {
        norms: HeadNorms::Weighted,
        ..Attention::rotated(b.rope(RopeSpec::new(RopePairing::Halves))?)
    };
    let norms = Norms::Around("attn_norm", "post_attention_norm");
    for layer in b.layers() {
        let mixer = if b.has(layer, "ssm_conv1d.weight") {
            b.between(layer, norms, PlamoMamba)?
        } else {
            b.between(layer, norms, attention)?
        };
        b.step(Step::new([mixer]));
        let silu = FeedForward::gated(Activation::Silu);
        let norms = Norms::Around("ffn_norm", "post_ffw_norm");
        let feed_forward = b.between(layer, norms, silu)?;
        b.step(Step::new([feed_forward]));
    }
    Ok(())
}
