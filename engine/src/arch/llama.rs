//! Llama (Touvron et al. 2023, arXiv:2302.13971) and the many models that share its blocks: RMS norms before attention and
//! before a SiLU-gated feed-forward or a mixture of experts, rotary positions on interleaved pairs, grouped queries.

use gristmill_kernels::ops::{Activation, RopePairing};

use super::{Architecture, Builder, FeedForwards, Layer};
use crate::error::Error;
use crate::layers::{
    Attention, FeedForward, HeadNorms, RopeSpec, Router, Temperature, YarnNumbers,
};

pub static LLAMA: Architecture = Architecture::new(
    "llama",
    "Llama 1 to 3, Mistral 7B, Mixtral, SmolLM2, TinyLlama, Yi",
    llama,
);
pub static INTERNLM2: Architecture = Architecture::new("internlm2", "InternLM 2, 2.5 and 3", llama);
pub static XVERSE: Architecture = Architecture::new("xverse", "XVERSE", llama);
pub static NANBEIGE: Architecture = Architecture::new("nanbeige", "Nanbeige", llama);
pub static MISTRAL3: Architecture = Architecture::new(
    "mistral3",
    "Mistral Small and Medium 3, Ministral 3",
    mistral3,
);
pub static ARCEE: Architecture = Architecture::new("arcee", "Arcee AFM", arcee);
pub static MAINCODER: Architecture = Architecture::new("maincoder", "Maincoder", maincoder);
pub static SMOLLM3: Architecture = Architecture::new("smollm3", "SmolLM3", smollm3);

pub(super) fn spec() -> RopeSpec {
    RopeSpec {
        factors: Some("rope_freqs.weight"),
        ..RopeSpec::new(RopePairing::Interleaved)
    }
}

/// Attention over whole heads, and a feed-forward or experts whose weights add up to 1.
pub(super) fn layer(b: &mut Builder<'_>, rope: RopeSpec) -> Result<Layer, Error> {
    b.require_whole_heads_rotated()?;
    let attention = Attention::rotated(b.rope(rope)?);
    let normalised = |router| Router {
        normalise: true,
        ..router
    };
    let feed_forward = FeedForwards::gated(&b.keys, Activation::Silu, normalised)?;
    Ok(Layer::new(attention, feed_forward))
}

fn llama(b: &mut Builder<'_>) -> Result<(), Error> {
    let layer = layer(b, spec())?;
    b.repeat(|_| layer)
}

/// YaRN by its own keys, and queries that grow with their position.
fn mistral3(b: &mut Builder<'_>) -> Result<(), Error> {
    let mut layer = layer(
        b,
        RopeSpec {
            yarn: YarnNumbers::Keys,
            ..spec()
        },
    )?;
    layer.attention.temperature = Temperature::read(&b.keys, b.original_context()?)?;
    b.repeat(|_| layer)
}

/// Two matrices and a squared ReLU.
fn arcee(b: &mut Builder<'_>) -> Result<(), Error> {
    let mut layer = layer(b, spec())?;
    layer.feed_forward = FeedForwards::dense(FeedForward::plain(Activation::ReluSquared));
    b.repeat(|_| layer)
}

/// Norms of queries and keys after the rotation.
fn maincoder(b: &mut Builder<'_>) -> Result<(), Error> {
    let mut layer = layer(b, spec())?;
    layer.attention.norms = HeadNorms::Weighted;
    layer.attention.norms_after_rope = true;
    b.repeat(|_| layer)
}

/// Every fourth layer knows no positions.
fn smollm3(b: &mut Builder<'_>) -> Result<(), Error> {
    let layer = layer(b, spec())?;
    let mut without = layer;
    without.attention.rope = None;
    b.repeat(|number| if number % 4 == 3 { without } else { layer })
}
