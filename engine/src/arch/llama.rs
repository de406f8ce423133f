//! Llama (Touvron et al. 2023, arXiv:2302.13971) and the many models that share its blocks: RMS norms before attention and
//! before a SiLU-gated feed-forward or a mixture of experts, rotary positions on interleaved pairs, grouped queries.

use gristmill_kernels::ops::{Activation, RopePairing};

use super::{Architecture, Builder, FeedForwards, Layer};
use crate::error::Error;
use crate::layers::{
    Attention, FeedForward, Gating, HeadNorms, Matrix, RopeSpec, Router, Step, Temperature,
    YarnNumbers,
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
pub static LLAMA4: Architecture = Architecture::new("llama4", "Llama 4 Scout and Maverick", llama4);
pub static ARCEE: Architecture = Architecture::new("arcee", "Arcee AFM", arcee);
pub static MAINCODER: Architecture = Architecture::new("maincoder", "Maincoder", maincoder);
pub static DECI: Architecture =
    Architecture::new("deci", "DeciLM, Llama Nemotron Super and Ultra", deci);
pub static SMOLLM3: Architecture = Architecture::new("smollm3", "SmolLM3", smollm3);

fn spec() -> RopeSpec {
    RopeSpec {
        factors: Some("rope_freqs.weight"),
        ..RopeSpec::new(RopePairing::Interleaved)
    }
}

/// Attention over whole heads, and a feed-forward or experts whose weights add up to 1.
fn layer(b: &mut Builder<'_>, rope: RopeSpec) -> Result<Layer, Error> {
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

/// Three of four layers have rotary positions and see the chunk they are in; in the others queries grow with their position
/// instead. The experts' weights are for what they are given.
fn llama4(b: &mut Builder<'_>) -> Result<(), Error> {
    const MAVERICK: usize = 128;
    let experts = b.keys.opt_number("expert_count")?;
    let mut layer = layer(b, spec())?;
    if let Some(experts) = &mut layer.feed_forward.experts {
        experts.weigh_inputs = true;
        experts.router.gating = Gating::Sigmoid;
        experts.router.normalise = false;
    }
    let mut without = layer;
    layer.attention.chunk = Some(8192);
    if experts != Some(MAVERICK) {
        layer.attention.norms = HeadNorms::Plain;
        layer.attention.norms_after_rope = true;
    }
    without.attention.rope = None;
    without.attention.temperature = Some(Temperature {
        scale: 0.1,
        length: 8192,
        offset: 1,
    });
    b.repeat(|number| if number % 4 == 3 { without } else { layer })
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

/// Some layers have no attention or no feed-forward, others a single matrix in place of attention.
fn deci(b: &mut Builder<'_>) -> Result<(), Error> {
    let layer = layer(b, spec())?;
    for number in b.layers() {
        if b.has(number, "attn_q.weight") {
            let attention = b.between(number, layer.attention_norms, layer.attention)?;
            b.step(Step::new([attention]));
        } else if b.has(number, "attn_output.weight") {
            let matrix = b.between(number, layer.attention_norms, Matrix("attn_output"))?;
            b.step(Step::new([matrix]));
        }
        if b.has(number, "ffn_down.weight") {
            let dense = layer.feed_forward.dense;
            let feed_forward = b.between(number, layer.feed_forward_norms, dense)?;
            b.step(Step::new([feed_forward]));
        }
    }
    Ok(())
}

/// Every fourth layer knows no positions.
fn smollm3(b: &mut Builder<'_>) -> Result<(), Error> {
    let layer = layer(b, spec())?;
    let mut without = layer;
    without.attention.rope = None;
    b.repeat(|number| if number % 4 == 3 { without } else { layer })
}
