//! ERNIE 4.5, and PaddleOCR-VL, whose text part is built like it.

use gristmill_kernels::ops::RopePairing;

use super::layer::normalised;
use super::mixtures::layer;
use super::{Architecture, Builder};
use crate::error::Error;

pub static ERNIE4_5: Architecture = Architecture::new("ernie4_5", "ERNIE 4.5 0.3B", ernie);
pub static ERNIE4_5_MOE: Architecture =
    Architecture::new("ernie4_5-moe", "ERNIE 4.5 A3B and A47B", ernie);
pub static PADDLEOCR: Architecture =
    Architecture::new("paddleocr", "PaddleOCR-VL (text part)", paddleocr);

fn ernie(b: &mut Builder<'_>) -> Result<(), Error> {
    let mut layer = layer(b, RopePairing::Interleaved, normalised)?;
    layer.attention.ignores_output_bias = true;
    b.repeat(|_| layer)
}

fn paddleocr(b: &mut Builder<'_>) -> Result<(), Error> {
    let layer = layer(b, RopePairing::Halves, normalised)?;
    b.repeat(|_| layer)?;
    b.position_parts(false)
}
