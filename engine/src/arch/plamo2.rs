//! PLaMo 2: attention among Mamba layers of its own kind.

use gristmill_kernels::ops::{Activation, RopePairing};

use super::{Architecture, Builder, Norms};
use crate::error::Error;
use crate::layers::{Attention, FeedForward, HeadNorms, PlamoMamba, RopeSpec, Step};

pub static PLAMO2: Architecture = Architecture::new("plamo2", "PLaMo 2", plamo2);

/// Attention among Mamba layers of its own kind, norms around everything.
fn plamo2(b: &mut Builder<'_>) -> Result<(), Error> {
    let attention = Attention {
        norms: HeadNorms::Weighted,
        ..Attention::rotated(b.rope(RopeSpec::new(RopePairing::Halves))?)
    };
    let norms = Norms::Around("attn_norm", "post_attention_norm");
    for layer in b.layers() {
        let mixer = if b.has(layer, "ssm_conv1d.weight") {
            b.between(layer, norms, PlamoMamba)?
        } else {
            b.between(layer, norms, attention)?
        };
        b.step(Step::new([mixer]));
        let silu = FeedForward::gated(Activation::Silu);
        let norms = Norms::Around("ffn_norm", "post_ffw_norm");
        let feed_forward = b.between(layer, norms, silu)?;
        b.step(Step::new([feed_forward]));
    }
    Ok(())
}
