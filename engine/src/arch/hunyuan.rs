//! Hunyuan: norms of queries and keys after the rotation; Hunyuan 3 has them before it.

use gristmill_kernels::ops::RopePairing;

use super::layer::normalised;
use super::mixtures::{layer, with_head_norms};
use super::{Architecture, Builder};
use crate::error::Error;
use crate::layers::HeadNorms;

pub static HUNYUAN_DENSE: Architecture =
    Architecture::new("hunyuan-dense", "Hunyuan 0.5B to 7B", hunyuan);
pub static HUNYUAN_MOE: Architecture = Architecture::new("hunyuan-moe", "Hunyuan A13B", hunyuan);
pub static HUNYUAN_VL: Architecture = Architecture::new(
    "hunyuan_vl",
    "HunyuanOCR, Hunyuan VL (text part)",
    hunyuan_vl,
);
pub static HY_V3: Architecture = Architecture::new("hy_v3", "Hunyuan 3", hy_v3);

fn hunyuan(b: &mut Builder<'_>) -> Result<(), Error> {
    let mut layer = layer(b, RopePairing::Halves, normalised)?;
    layer.attention.norms = HeadNorms::Weighted;
    layer.attention.norms_after_rope = true;
    b.repeat(|_| layer)
}

fn hunyuan_vl(b: &mut Builder<'_>) -> Result<(), Error> {
    hunyuan(b)?;
    b.position_parts(false)
}

/// A feed-forward beside the experts has no effect, as in the model's own code.
fn hy_v3(b: &mut Builder<'_>) -> Result<(), Error> {
    b.ignore_feed_forwards_beside_experts();
    with_head_norms(b)
}
