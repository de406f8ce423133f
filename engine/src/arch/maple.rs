//! Maple: windows and rotary positions go together, and experts have bounds.

use gristmill_kernels::ops::{Activation, RopePairing};

use super::layer::normalised;
use super::windows::layer;
use super::{Architecture, Builder};
use crate::error::Error;
use crate::layers::RopeSpec;

pub static MAPLE: Architecture = Architecture::new("maple", "Maple", maple);

/// Windows and rotary positions go together; experts' gates and inputs are bounded.
fn maple(b: &mut Builder<'_>) -> Result<(), Error> {
    let layer = layer(b, Activation::Silu, normalised)?;
    let key = "swiglu_clamp_exp";
    let given = b.keys.contains(key);
    let limits = b.keys.f32_per_layer(key, b.layers().len())?;
    let rope = b.rope(RopeSpec::new(RopePairing::Halves))?;
    let (pattern, window) = b.windows(4)?;
    b.repeat(|number| {
        let mut layer = layer;
        let limit = if given { limits[number] } else { 7.0 };
        if let Some(experts) = layer.feed_forward.experts.as_mut().filter(|_| limit > 0.0) {
            experts.activation = Activation::SiluOfBounded { limit };
        }
        let is_local = pattern.contains(number);
        layer.attention.rope = Some(rope).filter(|_| is_local);
        layer.attention.window = window.filter(|_| is_local);
        layer
    })
}
