//! Phi (arXiv:2404.14219): Phi 2 adds attention and a feed-forward side by side behind one layer norm; Phi 3 and 4 are
//! Llama-like with fused matrices and divisors of the frequencies for long contexts; Phi 3.5 with experts has norms with
//! biases.

use gristmill_kernels::ops::{Activation, RopePairing};

use super::{Architecture, Builder, FeedForwards, Layer, Norms};
use crate::error::Error;
use crate::layers::{Attention, FeedForward, NormKind, RopeSpec, Router};

pub static PHI2: Architecture = Architecture::new("phi2", "Phi 1, 1.5 and 2", phi2);
pub static PHI3: Architecture = Architecture::new("phi3", "Phi 3, 3.5 and 4", phi3);
pub static PHIMOE: Architecture = Architecture::new("phimoe", "Phi 3.5 with experts", phi3);

fn phi2(b: &mut Builder<'_>) -> Result<(), Error> {
    b.norms(NormKind::Layer);
    let rope = b.rope(RopeSpec::new(RopePairing::Halves))?;
    let gelu = FeedForwards::dense(FeedForward::plain(Activation::Gelu));
    let layer = Layer {
        feed_forward_norms: Norms::Before("attn_norm"),
        parallel: true,
        ..Layer::new(Attention::rotated(rope), gelu)
    };
    b.repeat(|_| layer)
}

fn phi3(b: &mut Builder<'_>) -> Result<(), Error> {
    let rope = b.rope(RopeSpec {
        factors: Some("rope_freqs.weight"),
        ..RopeSpec::new(RopePairing::Halves)
    })?;
    let normalised = |router| Router {
        normalise: true,
        ..router
    };
    let feed_forward = FeedForwards::gated(&b.keys, Activation::Silu, normalised)?;
    let layer = Layer::new(Attention::rotated(rope), feed_forward);
    b.repeat(|_| layer)
}
