//! Falcon (arXiv:2311.16867): attention and feed-forward side by side.

use gristmill_kernels::ops::Activation;

use super::gpt::{layer, rotated};
use super::{Architecture, Builder, Norms};
use crate::error::Error;

pub static FALCON: Architecture = Architecture::new("falcon", "Falcon 7B to 180B", falcon);

/// Attention and feed-forward side by side; the larger models have a norm for each.
fn falcon(b: &mut Builder<'_>) -> Result<(), Error> {
    b.require_whole_heads_rotated()?;
    let attention = rotated(b)?;
    let mut one = layer(b, attention, Activation::Gelu);
    one.parallel = true;
    one.feed_forward_norms = Norms::Before("attn_norm");
    let mut two = one;
    two.attention_norms = Norms::Before("attn_norm_2");
    let has_two = b.has(0, "attn_norm_2.weight");
    b.repeat(|_| if has_two { two } else { one })
}
