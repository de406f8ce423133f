//! GPT-2 (Radford et al. 2019) and its heirs: layer norms, two matrices with a GELU between them, positions that are learned,
//! rotary, or a slope on the scores (ALiBi).

use gristmill_kernels::ops::{Activation, RopePairing};

use super::{Architecture, Builder, FeedForwards, Layer};
use crate::error::Error;
use crate::layers::{Attention, FeedForward, HeadNorms, NormKind, RopeSpec};

pub static GPT2: Architecture = Architecture::new("gpt2", "GPT-2, Cerebras-GPT", learned);
pub static STARCODER: Architecture =
    Architecture::new("starcoder", "StarCoder, SantaCoder", learned);
pub static STARCODER2: Architecture = Architecture::new("starcoder2", "StarCoder 2", rotary);
pub static CODESHELL: Architecture = Architecture::new("codeshell", "CodeShell", rotary);
pub static GPTNEOX: Architecture =
    Architecture::new("gptneox", "Pythia, GPT-NeoX, RedPajama", gptneox);
pub static BLOOM: Architecture = Architecture::new("bloom", "BLOOM, BLOOMZ", bloom);
pub static MPT: Architecture = Architecture::new("mpt", "MPT", mpt);
pub static NEMOTRON: Architecture =
    Architecture::new("nemotron", "Nemotron-4, Minitron", relu_squared);
pub static JAIS2: Architecture = Architecture::new("jais2", "Jais 2", relu_squared);

pub(super) fn layer(b: &mut Builder<'_>, attention: Attention, activation: Activation) -> Layer {
    b.norms(NormKind::Layer);
    Layer::new(
        attention,
        FeedForwards::dense(FeedForward::plain(activation)),
    )
}

pub(super) fn rotated(b: &mut Builder<'_>) -> Result<Attention, Error> {
    Ok(Attention::rotated(
        b.rope(RopeSpec::new(RopePairing::Halves))?,
    ))
}

fn learned(b: &mut Builder<'_>) -> Result<(), Error> {
    b.learned_positions()?;
    let layer = layer(b, Attention::default(), Activation::Gelu);
    b.repeat(|_| layer)
}

fn rotary(b: &mut Builder<'_>) -> Result<(), Error> {
    let attention = rotated(b)?;
    let layer = layer(b, attention, Activation::Gelu);
    b.repeat(|_| layer)
}

fn relu_squared(b: &mut Builder<'_>) -> Result<(), Error> {
    let attention = rotated(b)?;
    let layer = layer(b, attention, Activation::ReluSquared);
    b.repeat(|_| layer)
}

fn gptneox(b: &mut Builder<'_>) -> Result<(), Error> {
    let attention = rotated(b)?;
    let mut layer = layer(b, attention, Activation::Gelu);
    layer.parallel = b.keys.opt_bool("use_parallel_residual")?.unwrap_or(true);
    b.repeat(|_| layer)
}

fn bloom(b: &mut Builder<'_>) -> Result<(), Error> {
    let attention = Attention {
        alibi: Some(8.0),
        ..Attention::default()
    };
    let layer = layer(b, attention, Activation::Gelu);
    b.norm_embeddings()?;
    b.repeat(|_| layer)
}

fn mpt(b: &mut Builder<'_>) -> Result<(), Error> {
    let attention = Attention {
        alibi: b
            .keys
            .opt_f32("attention.max_alibi_bias")?
            .filter(|&most| most > 0.0),
        clamp: b.clamp()?,
        norms: if b.has(0, "attn_q_norm.weight") {
            HeadNorms::Weighted
        } else {
            HeadNorms::None
        },
        ..Attention::default()
    };
    // A norm of keys alone has no effect, as in the model's own code.
    if attention.norms == HeadNorms::None {
        b.layers()
            .for_each(|number| b.ignore(number, "attn_k_norm."));
    }
    if b.has_learned_positions() {
        b.learned_positions()?;
    }
    let layer = layer(b, attention, Activation::Gelu);
    b.repeat(|_| layer)
}
