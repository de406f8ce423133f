//! Muse Glimmer: gated attention with norms around each part.

use gristmill_kernels::ops::{Activation, RopePairing};

use super::windows::{Windows, layer};
use super::{Architecture, Builder};
use crate::error::Error;

pub static MUSE_GLIMMER: Architecture =
    Architecture::new("muse-glimmer", "Muse Glimmer", muse_glimmer);

fn muse_glimmer(b: &mut Builder<'_>) -> Result<(), Error> {
    let mut layer = layer(b, Activation::Silu, |router| router)?.sandwiched();
    layer.attention.gate = Some(Activation::Sigmoid);
    layer.epsilon_behind = Some(1e-8);
    b.norm_embeddings_plainly()?;
    let logits = b.keys.f32("logit_scale")?;
    b.scale_logits(logits);
    b.softcap_logits("final_logit_softcapping")?;
    let windows = Windows {
        local_rope_alone: true,
        ..Windows::new(RopePairing::Interleaved)
    };
    windows.repeat(b, layer)
}
