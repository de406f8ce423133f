//! Mixtures of many small experts, with one that all tokens share: DeepSeek (arXiv:2401.06066), and the models that are built
//! like it around attention of their own.

use gristmill_kernels::ops::{Activation, RopePairing};

use super::{Architecture, Builder, FeedForwards, Layer, Norms};
use crate::error::Error;
use crate::layers::{Attention, HeadNorms, NormKind, RopeSpec, Router, Step, YarnNumbers};

pub static DEEPSEEK: Architecture = Architecture::new("deepseek", "DeepSeek-MoE 16B", deepseek);
pub static BAILINGMOE: Architecture =
    Architecture::new("bailingmoe", "Ling lite and plus", by_keys);
pub static BAILINGMOE2: Architecture =
    Architecture::new("bailingmoe2", "Ling 2.0, Ring 2.0", with_head_norms);
pub static DOTS1: Architecture = Architecture::new("dots1", "dots.llm1", with_head_norms);
pub static ERNIE4_5: Architecture = Architecture::new("ernie4_5", "ERNIE 4.5 0.3B", ernie);
pub static ERNIE4_5_MOE: Architecture =
    Architecture::new("ernie4_5-moe", "ERNIE 4.5 A3B and A47B", ernie);
pub static PADDLEOCR: Architecture =
    Architecture::new("paddleocr", "PaddleOCR-VL (text part)", paddleocr);
pub static HUNYUAN_DENSE: Architecture =
    Architecture::new("hunyuan-dense", "Hunyuan 0.5B to 7B", hunyuan);
pub static HUNYUAN_MOE: Architecture = Architecture::new("hunyuan-moe", "Hunyuan A13B", hunyuan);
pub static HUNYUAN_VL: Architecture = Architecture::new(
    "hunyuan_vl",
    "HunyuanOCR, Hunyuan VL (text part)",
    hunyuan_vl,
);
pub static HY_V3: Architecture = Architecture::new("hy_v3", "Hunyuan 3", hy_v3);
pub static DBRX: Architecture = Architecture::new("dbrx", "DBRX", dbrx);

pub static ARCTIC: Architecture = Architecture::new("arctic", "Snowflake Arctic", arctic);
pub static GROK: Architecture = Architecture::new("grok", "Grok 1 and 2", grok);

fn layer(
    b: &mut Builder<'_>,
    pairing: RopePairing,
    adapt: impl Fn(Router) -> Router,
) -> Result<Layer, Error> {
    let rope = b.rope(RopeSpec::new(pairing))?;
    let feed_forward = FeedForwards::gated(&b.keys, Activation::Silu, adapt)?;
    Ok(Layer::new(Attention::rotated(rope), feed_forward))
}

fn normalised(router: Router) -> Router {
    Router {
        normalise: true,
        ..router
    }
}

/// The weights of a softmax, as they are.
fn deepseek(b: &mut Builder<'_>) -> Result<(), Error> {
    let adapt = |router| Router {
        normalise: false,
        ..router
    };
    let layer = layer(b, RopePairing::Interleaved, adapt)?;
    b.repeat(|_| layer)
}

fn by_keys(b: &mut Builder<'_>) -> Result<(), Error> {
    let layer = layer(b, RopePairing::Interleaved, |router| router)?;
    b.repeat(|_| layer)
}

fn with_head_norms(b: &mut Builder<'_>) -> Result<(), Error> {
    let mut layer = layer(b, RopePairing::Halves, |router| router)?;
    layer.attention.norms = HeadNorms::Weighted;
    b.repeat(|_| layer)
}

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

/// Layer norms; bounds on queries, keys and values.
fn dbrx(b: &mut Builder<'_>) -> Result<(), Error> {
    b.norms(NormKind::Layer);
    let mut layer = layer(b, RopePairing::Halves, normalised)?;
    layer.attention.clamp = b.clamp()?;
    layer.feed_forward_norms = Norms::Before("attn_output_norm");
    b.repeat(|_| layer)
}

/// A feed-forward, and beside it experts that see what attention saw.
fn arctic(b: &mut Builder<'_>) -> Result<(), Error> {
    let rope = b.rope(RopeSpec::new(RopePairing::Interleaved))?;
    let feed_forward = FeedForwards::gated(&b.keys, Activation::Silu, normalised)?;
    for layer in b.layers() {
        let norm = Norms::Before("attn_norm");
        let attention = b.between(layer, norm, Attention::rotated(rope))?;
        b.step(Step {
            keeps: true,
            ..Step::new([attention])
        });
        let mut branches = feed_forward.branches(b, layer, Norms::Before("ffn_norm_exps"))?;
        for branch in &mut branches {
            branch.sees_kept = true;
        }
        let norm = Norms::Before("ffn_norm");
        branches.push(b.between(layer, norm, feed_forward.dense)?);
        b.step(Step::new(branches));
    }
    Ok(())
}

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
