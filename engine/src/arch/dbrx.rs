//! DBRX: layer norms, and bounds on queries, keys and values.

use gristmill_kernels::ops::RopePairing;

use super::layer::normalised;
use super::mixtures::layer;
use super::{Architecture, Builder, Norms};
use crate::error::Error;
use crate::layers::NormKind;

pub static DBRX: Architecture = Architecture::new("dbrx", "DBRX", dbrx);

/// Layer norms; bounds on queries, keys and values.
fn dbrx(b: &mut Builder<'_>) -> Result<(), Error> {
    b.norms(NormKind::Layer);
    let mut layer = layer(b, RopePairing::Halves, normalised)?;
    layer.attention.clamp = b.clamp()?;
    layer.feed_forward_norms = Norms::Before("attn_output_norm");
    b.repeat(|_| layer)
}
