//! Qwen (arXiv:2309.16609, 2407.10671, 2505.09388) and decoders of its kind: Llama's layers with rotary positions on halves
//! of a head, biases in Qwen 1 and 2, norms of queries and keys in Qwen 3, experts whose weights are those of a softmax.
//! Of the models that see pictures this is the part behind those: rows of pictures are fed to it with positions of three parts
//! (arXiv:2409.12191), which are one and the same in text.

use gristmill_kernels::ops::{Activation, RopePairing};

use super::{Architecture, Builder, FeedForwards, Layer, Norms};
use crate::error::Error;
use crate::layers::{Attention, Classifier, HeadNorms, Pooling, RopeSpec, Router};

pub static QWEN: Architecture = Architecture::new("qwen", "Qwen 1", plain);
pub static QWEN2: Architecture = Architecture::new("qwen2", "Qwen 1.5, 2 and 2.5", plain);
pub static QWEN2VL: Architecture =
    Architecture::new("qwen2vl", "Qwen 2-VL and 2.5-VL (text part)", qwen2vl);
pub static EXAONE: Architecture = Architecture::new("exaone", "EXAONE 3 and 3.5", plain);
pub static PANGU: Architecture =
    Architecture::new("pangu-embedded", "openPangu Embedded", without_factors);
pub static COGVLM: Architecture =
    Architecture::new("cogvlm", "CogVLM (text part)", without_factors);
pub static SEED_OSS: Architecture = Architecture::new("seed_oss", "Seed-OSS", seed_oss);
pub static QWEN3: Architecture = Architecture::new("qwen3", "Qwen 3", qwen3);
pub static QWEN3VL: Architecture = Architecture::new("qwen3vl", "Qwen 3-VL (text part)", qwen3vl);
pub static QWEN3MOE: Architecture =
    Architecture::new("qwen3moe", "Qwen 3-30B-A3B and 235B-A22B", qwen3);
pub static QWEN3VLMOE: Architecture =
    Architecture::new("qwen3vlmoe", "Qwen 3-VL with experts (text part)", qwen3vl);

pub(super) fn layer(b: &mut Builder<'_>, normalise: bool) -> Result<Layer, Error> {
    rotated(b, normalise, Some("rope_freqs.weight"))
}

fn rotated(
    b: &mut Builder<'_>,
    normalise: bool,
    factors: Option<&'static str>,
) -> Result<Layer, Error> {
    let rope = b.rope(RopeSpec {
        factors,
        ..RopeSpec::new(RopePairing::Halves)
    })?;
    let adapt = |router| Router {
        normalise,
        ..router
    };
    let feed_forward = FeedForwards::gated(&b.keys, Activation::Silu, adapt)?;
    Ok(Layer::new(Attention::rotated(rope), feed_forward))
}

fn plain(b: &mut Builder<'_>) -> Result<(), Error> {
    let layer = layer(b, true)?;
    b.repeat(|_| layer)
}

/// The output matrix's bias has no effect, as in the models' own code.
fn qwen2vl(b: &mut Builder<'_>) -> Result<(), Error> {
    b.ignore_output_bias();
    plain(b)?;
    b.position_parts(false)
}

/// Divisors of the frequencies have no effect, nor have the matrices for pictures.
fn without_factors(b: &mut Builder<'_>) -> Result<(), Error> {
    let layer = rotated(b, true, None)?;
    b.ignore_all("rope_freqs.");
    b.layers().for_each(|number| b.ignore(number, "vis_"));
    b.repeat(|_| layer)
}

fn seed_oss(b: &mut Builder<'_>) -> Result<(), Error> {
    let mut layer = layer(b, true)?;
    layer.feed_forward_norms = Norms::Before("post_attention_norm");
    b.repeat(|_| layer)
}

/// Norms of each query and key head. Rerankers have a classifier of two answers.
fn qwen3(b: &mut Builder<'_>) -> Result<(), Error> {
    let mut layer = layer(b, true)?;
    b.classifier(Classifier {
        reads: Pooling::Last,
        softmax: true,
        ..Classifier::default()
    });
    layer.attention.norms = HeadNorms::Weighted;
    b.repeat(|_| layer)
}

fn qwen3vl(b: &mut Builder<'_>) -> Result<(), Error> {
    qwen3(b)?;
    b.position_parts(true)
}
