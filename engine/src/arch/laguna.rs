//! Poolside Laguna: gates per head.

use gristmill_kernels::ops::{Activation, RopePairing};

use super::windows::{Windows, layer, sigmoid};
use super::{Architecture, Builder};
use crate::error::Error;
use crate::layers::RopeSpec;

pub static LAGUNA: Architecture = Architecture::new("laguna", "Poolside Laguna", laguna);

fn laguna(b: &mut Builder<'_>) -> Result<(), Error> {
    let mut layer = layer(b, Activation::Silu, sigmoid(b))?;
    layer.attention.gate = Some(Activation::Softplus);
    let rope = RopeSpec::new(RopePairing::Halves);
    let windows = Windows {
        rope,
        local_rope: RopeSpec {
            dimensions: Some("rope.dimension_count_swa"),
            unscaled: true,
            unmagnified: true,
            ..rope
        },
        ..Windows::new(RopePairing::Halves)
    };
    windows.repeat(b, layer)
}
