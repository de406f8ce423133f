//! Queries that grow with their position, so that attention stays sharp over long texts.

use crate::error::Error;
use crate::hparams::Keys;

/// Queries at position p are multiplied by `1 + scale · ln(1 + floor((p + offset) / length))`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Temperature {
    /// Factor on the logarithm.
    pub scale: f32,
    /// Positions from one step to the next.
    pub length: usize,
    /// Added to positions.
    pub offset: usize,
}

impl Temperature {
    /// The key `attention.temperature_scale`, if the file has it, in steps of `length` positions.
    pub fn read(keys: &Keys<'_>, length: usize) -> Result<Option<Self>, Error> {
        let scale = keys.opt_f32("attention.temperature_scale")?;
        let scale = scale.filter(|&scale| scale != 0.0);
        Ok(scale.map(|scale| Self {
            scale,
            length,
            offset: 0,
        }))
    }

    /// The factor at a position.
    pub(super) fn at(&self, position: usize) -> f32 {
        let step = (position + self.offset) / self.length.max(1);
        1.0 + self.scale * (step as f32).ln_1p()
    }
}
