//! Grok: bounds on scores and on the router, factors on everything.

use gristmill_kernels::ops::{Activation, RopePairing};

use super::layer::normalised;
use super::{Architecture, Builder, FeedForwards, Norms};
use crate::error::Error;
use crate::layers::{Attention, RopeSpec, Router, Step, YarnNumbers};

pub static GROK: Architecture = Architecture::new("grok", "Grok 1 and 2", grok);

/// Norms around each part, bounds on scores and on the router's outputs; a feed-forward beside the experts, each with half
/// of the strength.
fn grok(b: &mut Builder<'_>) -> Result<(), Error> {
    let rope = b.rope(RopeSpec {
        yarn: YarnNumbers::Keys,
        ..RopeSpec::new(RopePairing::Halves)
    })?;
    let attention = Attention {
        softcap: b.keys.opt_f32("attn_logit_softcapping")?,
        scale: b.keys.opt_f32("attention.output_scale")?,
        ..Attention::rotated(rope)
    };
    let softcap = b.keys.opt_f32("router_logit_softcapping")?;
    let adapt = |router| Router {
        softcap,
        ..normalised(router)
    };
    let feed_forward = FeedForwards::gated(&b.keys, Activation::Gelu, adapt)?;
    let embedding = b.keys.opt_f32("embedding_scale")?;
    b.scale_embeddings(embedding.unwrap_or(78.383_67));
    let logits = b.keys.opt_f32("logit_scale")?;
    b.scale_logits(logits.unwrap_or(0.577_350_3));
    b.softcap_logits("final_logit_softcapping")?;
    for layer in b.layers() {
        let norms = Norms::Around("attn_norm", "attn_output_norm");
        let attention = b.between(layer, norms, attention)?;
        b.step(Step::new([attention]));
        let before = Norms::Before("ffn_norm");
        let mut branches = feed_forward.branches(b, layer, before)?;
        if b.has(layer, "ffn_up.weight") {
            branches.push(b.between(layer, before, feed_forward.dense)?);
            for branch in &mut branches {
                branch.scale = std::f32::consts::FRAC_1_SQRT_2;
            }
        }
        let joint = if b.has(layer, "layer_output_norm.weight") {
            "layer_output_norm"
        } else {
            "post_ffw_norm"
        };
        let joint = b.norm(layer, joint)?;
        b.step(Step {
            joint: Some(joint),
            ..Step::new(branches)
        });
    }
    Ok(())
}
