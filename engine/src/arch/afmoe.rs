//! Arcee Trinity (afmoe): gated attention with norms around each part; a router by sigmoids.

use gristmill_kernels::ops::{Activation, RopePairing};

use super::windows::{layer, sigmoid};
use super::{Architecture, Builder};
use crate::error::Error;
use crate::layers::RopeSpec;

pub static AFMOE: Architecture = Architecture::new("afmoe", "Arcee Trinity", afmoe);

/// Rotary positions in three of four layers, wherever the windows are.
fn afmoe(b: &mut Builder<'_>) -> Result<(), Error> {
    b.scale_embeddings_by_width();
    let mut layer = layer(b, Activation::Silu, sigmoid(b))?.sandwiched();
    layer.attention.gate = Some(Activation::Sigmoid);
    let rope = b.rope(RopeSpec::new(RopePairing::Halves))?;
    let (pattern, window) = b.windows(4)?;
    b.repeat(|number| {
        let mut layer = layer;
        layer.attention.rope = Some(rope).filter(|_| number % 4 != 3);
        layer.attention.window = window.filter(|_| pattern.contains(number));
        layer
    })
}
