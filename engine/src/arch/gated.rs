//! Smaller families of Llama-like layers that differ in a norm, in their positions or in how attention is scaled.

use gristmill_kernels::ops::{Activation, RopePairing};

use super::{Architecture, Builder, FeedForwards, Layer, Norms};
use crate::error::Error;
use crate::layers::{Attention, FeedForward, HeadNorms, NormKind, RopeSpec};

pub static ORION: Architecture = Architecture::new("orion", "Orion 14B", orion);
pub static STABLELM: Architecture =
    Architecture::new("stablelm", "StableLM 2, StableLM 3B 4E1T", stablelm);
pub static JAIS: Architecture = Architecture::new("jais", "Jais 13B", jais);
pub static REFACT: Architecture = Architecture::new("refact", "Refact 1.6B", refact);
pub static BAICHUAN: Architecture = Architecture::new("baichuan", "Baichuan, Baichuan 2", baichuan);
pub static PLAMO: Architecture = Architecture::new("plamo", "PLaMo 13B", plamo);
pub static OPENELM: Architecture = Architecture::new("openelm", "OpenELM", openelm);

pub(super) fn layer(attention: Attention) -> Layer {
    Layer::new(
        attention,
        FeedForwards::dense(FeedForward::gated(Activation::Silu)),
    )
}

pub(super) fn rotated(b: &mut Builder<'_>) -> Result<Attention, Error> {
    let rope = b.rope(RopeSpec {
        factors: Some("rope_freqs.weight"),
        ..RopeSpec::new(RopePairing::Halves)
    })?;
    Ok(Attention::rotated(rope))
}

fn orion(b: &mut Builder<'_>) -> Result<(), Error> {
    b.norms(NormKind::Layer);
    let layer = layer(rotated(b)?);
    b.repeat(|_| layer)
}

/// The largest model has norms of each head, and no norm before the feed-forward: it sees what attention sees.
fn stablelm(b: &mut Builder<'_>) -> Result<(), Error> {
    b.norms(NormKind::Layer);
    let attention = Attention {
        norms: HeadNorms::IfPresent,
        ..rotated(b)?
    };
    let mut layer = layer(attention);
    if !b.has(0, "ffn_norm.weight") {
        layer.parallel = true;
        layer.feed_forward_norms = Norms::Before("attn_norm");
    }
    b.repeat(|_| layer)
}

/// Slopes on the scores, which are scaled by the length of a key, not by its root.
fn jais(b: &mut Builder<'_>) -> Result<(), Error> {
    b.norms(NormKind::Layer);
    let layer = layer(Attention {
        alibi: b.keys.opt_f32("attention.max_alibi_bias")?,
        scale: Some(1.0 / b.head_length()? as f32),
        ..Attention::default()
    });
    b.repeat(|_| layer)
}

fn refact(b: &mut Builder<'_>) -> Result<(), Error> {
    let mut layer = layer(Attention {
        alibi: Some(8.0),
        ignores_output_bias: true,
        ..Attention::default()
    });
    layer.feed_forward.dense.ignores_biases = true;
    b.ignore_all("rope_freqs.");
    b.repeat(|_| layer)
}

/// The model of 32 layers has rotary positions, that of 40 slopes.
fn baichuan(b: &mut Builder<'_>) -> Result<(), Error> {
    let rope = b.rope(RopeSpec::new(RopePairing::Interleaved))?;
    let layers = b.layers().len();
    let layer = layer(Attention {
        rope: Some(rope).filter(|_| layers == 32),
        alibi: Some(8.0).filter(|_| layers == 40),
        ..Attention::default()
    });
    b.repeat(|_| layer)
}

fn plamo(b: &mut Builder<'_>) -> Result<(), Error> {
    let layer = Layer {
        feed_forward_norms: Norms::Before("attn_norm"),
        parallel: true,
        ..layer(rotated(b)?)
    };
    b.repeat(|_| layer)
}

/// Numbers of heads and widths differ from layer to layer.
fn openelm(b: &mut Builder<'_>) -> Result<(), Error> {
    let layer = layer(Attention {
        norms: HeadNorms::Weighted,
        ..rotated(b)?
    });
    b.repeat(|_| layer)
}
