//! LFM2 (Liquid AI 2025, arXiv:2511.23404): short convolutions and attention.

use gristmill_kernels::ops::{Activation, RopePairing};

use super::layer::{ATTN_NORM, normalised};
use super::{Architecture, Builder, FeedForwards, Norms};
use crate::error::Error;
use crate::layers::{Attention, HeadNorms, RopeSpec, ShortConv, Step};

pub static LFM2: Architecture = Architecture::new("lfm2", "LFM2 350M to 2.6B", lfm2);
pub static LFM2MOE: Architecture = Architecture::new("lfm2moe", "LFM2 8B-A1B", lfm2);

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
