//! Qwen 3-Next and 3.5: gated delta nets (arXiv:2412.06464), and gated attention in every fourth layer.

use gristmill_kernels::ops::{Activation, RopePairing};

use super::layer::{ATTN_NORM, normalised};
use super::{Architecture, Builder, FeedForwards, Norms};
use crate::error::Error;
use crate::layers::{Attention, DeltaNet, HeadNorms, RopeSpec, Step};

pub static QWEN3NEXT: Architecture =
    Architecture::new("qwen3next", "Qwen 3-Next 80B-A3B", qwen3next);
pub static QWEN35: Architecture = Architecture::new("qwen35", "Qwen 3.5", qwen35);
pub static QWEN35MOE: Architecture =
    Architecture::new("qwen35moe", "Qwen 3.5 with experts", qwen35);

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
