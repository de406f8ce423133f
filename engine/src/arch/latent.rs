//! Decoders with latent attention: DeepSeek V2, V3 and R1 (arXiv:2405.04434, 2412.19437) and what is built like them, with
//! many small experts; MiniCPM 3 without.

use gristmill_kernels::ops::{Activation, RopePairing};

use super::{Architecture, Builder, FeedForwards, Norms};
use crate::error::Error;
use crate::layers::{LatentAttention, RopeSpec, Step, Temperature, YarnNumbers};

pub static DEEPSEEK2: Architecture = Architecture::new(
    "deepseek2",
    "DeepSeek V2, V3 and R1, Kimi K2, GLM-4.7-Flash",
    deepseek2,
);
pub static MISTRAL4: Architecture =
    Architecture::new("mistral4", "Mistral Large 3, Mistral 4", deepseek2);
pub static MINICPM3: Architecture = Architecture::new("minicpm3", "MiniCPM 3", minicpm3);

fn layers(
    b: &mut Builder<'_>,
    attention: LatentAttention,
    feed_forward: FeedForwards,
    residual: f32,
) -> Result<(), Error> {
    for layer in b.layers() {
        let attention = b.between(layer, Norms::Before("attn_norm"), attention)?;
        b.step(Step::new([attention]).scaled(residual));
        let branches = feed_forward.branches(b, layer, Norms::Before("ffn_norm"))?;
        b.step(Step::new(branches).scaled(residual));
    }
    Ok(())
}

fn deepseek2(b: &mut Builder<'_>) -> Result<(), Error> {
    let rope = b.rope(RopeSpec {
        yarn: YarnNumbers::Scores,
        ..RopeSpec::new(RopePairing::Interleaved)
    })?;
    let attention = LatentAttention {
        rope: Some(rope),
        temperature: Temperature::read(&b.keys, b.original_context()?)?,
        scale: b.score_growth(rope)?,
        gate: None,
    };
    let feed_forward = FeedForwards::gated(&b.keys, Activation::Silu, |router| router)?;
    layers(b, attention, feed_forward, 1.0)
}

/// Factors on embeddings, on what each part adds, and on the logits, as the models were trained.
fn minicpm3(b: &mut Builder<'_>) -> Result<(), Error> {
    let rope = b.rope(RopeSpec {
        factors: Some("rope_freqs.weight"),
        ..RopeSpec::new(RopePairing::Halves)
    })?;
    let attention = LatentAttention {
        rope: Some(rope),
        scale: 1.0,
        ..LatentAttention::default()
    };
    b.scale_embeddings(12.0);
    b.scale_logits(256.0 / b.hparams().embedding_length as f32);
    let residual = 1.4 / (b.layers().len() as f32).sqrt();
    let feed_forward = FeedForwards::gated(&b.keys, Activation::Silu, |router| router)?;
    layers(b, attention, feed_forward, residual)
}
