//! Mixtures of many small experts, with one that all tokens share: DeepSeek (arXiv:2401.06066), and the models that are built
//! like it around attention of their own.

use gristmill_kernels::ops::{Activation, RopePairing};

use super::{Architecture, Builder, FeedForwards, Layer};
use crate::error::Error;
use crate::layers::{Attention, HeadNorms, RopeSpec, Router};

pub static DEEPSEEK: Architecture = Architecture::new("deepseek", "DeepSeek-MoE 16B", deepseek);
pub static BAILINGMOE: Architecture =
    Architecture::new("bailingmoe", "Ling lite and plus", by_keys);
pub static BAILINGMOE2: Architecture =
    Architecture::new("bailingmoe2", "Ling 2.0, Ring 2.0", with_head_norms);
pub static DOTS1: Architecture = Architecture::new("dots1", "dots.llm1", with_head_norms);

pub(super) fn layer(
    b: &mut Builder<'_>,
    pairing: RopePairing,
    adapt: impl Fn(Router) -> Router,
) -> Result<Layer, Error> {
    let rope = b.rope(RopeSpec::new(pairing))?;
    let feed_forward = FeedForwards::gated(&b.keys, Activation::Silu, adapt)?;
    Ok(Layer::new(Attention::rotated(rope), feed_forward))
}

/// The weights of a softmax, as they are.
fn deepseek(b: &mut Builder<'_>) -> Result<(), Error> {
    let adapt = |router| Router {
        normalise: false,
        ..router
    };
    let layer = layer(b, RopePairing::Interleaved, adapt)?;
    b.repeat(|_| layer)
}

fn by_keys(b: &mut Builder<'_>) -> Result<(), Error> {
    let layer = layer(b, RopePairing::Interleaved, |router| router)?;
    b.repeat(|_| layer)
}

pub(super) fn with_head_norms(b: &mut Builder<'_>) -> Result<(), Error> {
    let mut layer = layer(b, RopePairing::Halves, |router| router)?;
    layer.attention.norms = HeadNorms::Weighted;
    b.repeat(|_| layer)
}
