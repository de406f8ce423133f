//! gpt-oss (OpenAI 2025, arXiv:2508.10925): attention sinks, a sliding window on every other layer, experts with a clamped
//! gate and biases, weighed by a softmax over those that are chosen.

use gristmill_kernels::ops::{Activation, RopePairing};

use super::{Architecture, Builder, FeedForwards, Layer, Norms};
use crate::error::Error;
use crate::layers::{Attention, Gating, RopeSpec, Router, Sinks};

pub static GPT_OSS: Architecture = Architecture::new("gpt-oss", "gpt-oss 20B and 120B", build);

fn build(b: &mut Builder<'_>) -> Result<(), Error> {
    let attention = Attention {
        sinks: Sinks::All,
        ..Attention::rotated(b.rope(RopeSpec::new(RopePairing::Halves))?)
    };
    let clamped = Activation::SiluClamped { limit: 7.0 };
    let adapt = |router| Router {
        gating: Gating::SoftmaxOfChosen,
        ..router
    };
    let feed_forward = FeedForwards::gated(&b.keys, clamped, adapt)?;
    let global = Layer {
        feed_forward_norms: Norms::Before("post_attention_norm"),
        ..Layer::new(attention, feed_forward)
    };
    let (pattern, window) = b.windows(2)?;
    let mut local = global;
    local.attention.window = window;
    b.repeat(|number| {
        if pattern.contains(number) {
            local
        } else {
            global
        }
    })
}
