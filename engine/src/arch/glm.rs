//! GLM (arXiv:2406.12793): fused gate and up matrices; GLM 4 has norms before and after each part, GLM 4.5 experts with
//! a sigmoid router.

use gristmill_kernels::ops::{Activation, RopePairing};

use super::{Architecture, Builder, FeedForwards, Layer, Norms};
use crate::error::Error;
use crate::layers::{Attention, Gating, HeadNorms, RopeSpec, Router};

pub static CHATGLM: Architecture = Architecture::new("chatglm", "ChatGLM 3, GLM-4-9B", chatglm);
pub static GLM4: Architecture = Architecture::new("glm4", "GLM-4-0414, GLM-Z1", glm4);
pub static GLM4MOE: Architecture = Architecture::new("glm4moe", "GLM-4.5, 4.6 and 4.7", glm4moe);

fn layer(b: &mut Builder<'_>, pairing: RopePairing) -> Result<Layer, Error> {
    let attention = Attention::rotated(b.rope(RopeSpec::new(pairing))?);
    let sigmoid = !b.keys.contains("expert_gating_func");
    let adapt = |router: Router| Router {
        gating: if sigmoid {
            Gating::Sigmoid
        } else {
            router.gating
        },
        ..router
    };
    let feed_forward = FeedForwards::gated(&b.keys, Activation::Silu, adapt)?;
    Ok(Layer::new(attention, feed_forward))
}

fn chatglm(b: &mut Builder<'_>) -> Result<(), Error> {
    let layer = layer(b, RopePairing::Interleaved)?;
    b.repeat(|_| layer)
}

fn glm4(b: &mut Builder<'_>) -> Result<(), Error> {
    // Positions of three parts, as of pictures, are for halves of a head.
    let pairing = if b.keys.contains("rope.dimension_sections") {
        RopePairing::Halves
    } else {
        RopePairing::Interleaved
    };
    let layer = layer(b, pairing)?.sandwiched();
    b.repeat(|_| layer)?;
    b.position_parts(false)
}

fn glm4moe(b: &mut Builder<'_>) -> Result<(), Error> {
    let mut layer = layer(b, RopePairing::Halves)?;
    layer.attention.norms = HeadNorms::IfPresent;
    layer.feed_forward_norms = Norms::Before("post_attention_norm");
    b.repeat(|_| layer)?;
    b.position_parts(false)
}
