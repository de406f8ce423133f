//! Cohere's Command models: attention and a feed-forward side by side behind one layer norm without bias, a factor on the
//! logits; from Command R7B on, three of four layers look back over a window, and only those have rotary positions.

use gristmill_kernels::ops::{Activation, RopePairing};

use super::{Architecture, Builder, FeedForwards, Layer, Norms};
use crate::error::Error;
use crate::layers::{Attention, HeadNorms, NormKind, RopeSpec};

pub static COMMAND_R: Architecture =
    Architecture::new("command-r", "Command R, Command R+, Aya", command_r);
pub static COHERE2: Architecture = Architecture::new("cohere2", "Command R7B, Command A", cohere2);
pub static COHERE2MOE: Architecture =
    Architecture::new("cohere2moe", "Cohere 2 with experts", cohere2moe);

fn layer(b: &mut Builder<'_>) -> Result<Layer, Error> {
    // Later models set the other norm's key.
    if !b.keys.contains("attention.layer_norm_rms_epsilon") {
        b.norms(NormKind::Layer);
    }
    let rope = b.rope(RopeSpec::new(RopePairing::Interleaved))?;
    let attention = Attention {
        norms: HeadNorms::IfPresent,
        ..Attention::rotated(rope)
    };
    let logits = b.keys.f32("logit_scale")?;
    b.scale_logits(logits);
    let feed_forward = FeedForwards::gated(&b.keys, Activation::Silu, |router| router)?;
    Ok(Layer {
        feed_forward_norms: Norms::Before("attn_norm"),
        parallel: true,
        ..Layer::new(attention, feed_forward)
    })
}

fn command_r(b: &mut Builder<'_>) -> Result<(), Error> {
    let layer = layer(b)?;
    b.repeat(|_| layer)
}

fn cohere2(b: &mut Builder<'_>) -> Result<(), Error> {
    let layer = layer(b)?;
    b.repeat_rotated_in_windows(layer, 4)
}

/// Experts are as strong as the shared one; the first layers, which have none, are rotated and see everything.
fn cohere2moe(b: &mut Builder<'_>) -> Result<(), Error> {
    let mut layer = layer(b)?;
    layer.feed_forward.with_shared = 0.5;
    let dense = b.keys.opt_number("leading_dense_block_count")?.unwrap_or(0);
    let (pattern, window) = b.windows(4)?;
    let (mut global, mut local) = (layer, layer);
    global.attention.rope = None;
    local.attention.window = window;
    b.repeat(|number| match (pattern.contains(number), number < dense) {
        (true, _) => local,
        (false, true) => layer,
        (false, false) => global,
    })
}
