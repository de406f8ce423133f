//! MiMo V2: sinks and windows, and experts chosen by sigmoids.

use gristmill_kernels::ops::{Activation, RopePairing};

use super::layer::normalised;
use super::windows::{Windows, layer};
use super::{Architecture, Builder};
use crate::error::Error;
use crate::layers::{Gating, HeadNorms, Router, Sinks};

pub static MIMO2: Architecture = Architecture::new("mimo2", "MiMo V2", mimo2);

/// Sinks where the file has them; a feed-forward beside the experts has no effect, as in the model's own code.
fn mimo2(b: &mut Builder<'_>) -> Result<(), Error> {
    let adapt = |router| Router {
        gating: Gating::Sigmoid,
        ..normalised(router)
    };
    let mut layer = layer(b, Activation::Silu, adapt)?;
    layer.attention.norms = HeadNorms::None;
    layer.attention.ignores_input_biases = true;
    layer.attention.sinks = Sinks::IfPresent;
    b.ignore_feed_forwards_beside_experts();
    Windows::new(RopePairing::Halves).repeat(b, layer)
}
