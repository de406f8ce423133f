//! MiniMax: lightning attention (MiniMax-01, arXiv:2501.08313), then attention to everything (M2), then to the blocks of
//! positions that an index chooses (M3).

use gristmill_kernels::ops::{Activation, RopePairing};

use super::layer::normalised;
use super::{Architecture, Builder, FeedForwards, Layer};
use crate::error::Error;
use crate::layers::{
    Attention, Gating, HeadNorms, Indexer, LightningAttention, RopeSpec, Router, Step,
};

pub static MINIMAX_01: Architecture =
    Architecture::new("minimax-01", "MiniMax-Text-01, MiniMax-M1", minimax_01);
pub static MINIMAX_M2: Architecture = Architecture::new("minimax-m2", "MiniMax M2", minimax_m2);
pub static MINIMAX_M3: Architecture = Architecture::new("minimax-m3", "MiniMax M3", minimax_m3);

/// Lightning attention, and attention in every eighth layer. What each adds to is what its norm gives, times a factor.
fn minimax_01(b: &mut Builder<'_>) -> Result<(), Error> {
    let attention = Attention::rotated(b.rope(RopeSpec::new(RopePairing::Halves))?);
    let feed_forward = FeedForwards::gated(&b.keys, Activation::Silu, normalised)?;
    let Some(experts) = feed_forward.experts else {
        return Err(b.keys.missing("expert_count"));
    };
    let factor = b.keys.f32("residual_scale")?;
    let first = b.norm(0, "attn_norm")?;
    b.norm_embeddings_by(first);
    for layer in b.layers() {
        let mixer = if b.has(layer, "attn_norm_2.weight") {
            b.bare(layer, LightningAttention)?
        } else {
            b.bare(layer, attention)?
        };
        let norm = b.norm(layer, "ffn_norm")?;
        b.step(Step::new([mixer]).onto(factor).after(norm));
        let step = Step::new([b.bare(layer, experts)?]).onto(factor);
        let step = if layer + 1 < b.layers().end {
            step.after(b.norm(layer + 1, "attn_norm")?)
        } else {
            step
        };
        b.step(step);
    }
    Ok(())
}

fn minimax_m2(b: &mut Builder<'_>) -> Result<(), Error> {
    let attention = Attention {
        norms: HeadNorms::Weighted,
        ..Attention::rotated(b.rope(RopeSpec::new(RopePairing::Halves))?)
    };
    let adapt = |router| Router {
        gating: Gating::Sigmoid,
        ..normalised(router)
    };
    let feed_forward = FeedForwards::gated(&b.keys, Activation::Silu, adapt)?;
    let layer = Layer::new(attention, feed_forward);
    b.repeat(|_| layer)
}

/// An index in layers with its tensors; gates with a bound, as in gpt-oss.
fn minimax_m3(b: &mut Builder<'_>) -> Result<(), Error> {
    let attention = Attention {
        norms: HeadNorms::Weighted,
        ..Attention::rotated(b.rope(RopeSpec::new(RopePairing::Halves))?)
    };
    let indexer = Indexer::read(&b.keys)?;
    let clamped = Activation::SiluClamped { limit: 7.0 };
    let feed_forward = FeedForwards::gated(&b.keys, clamped, |router| router)?;
    let has_index = |number| b.has(number, "indexer.q_proj.weight");
    let indexed: Vec<bool> = b.layers().map(has_index).collect();
    b.repeat(|number| {
        let indexer = indexer.filter(|_| indexed[number]);
        Layer::new(
            Attention {
                indexer,
                ..attention
            },
            feed_forward,
        )
    })
}
