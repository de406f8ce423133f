//! Granite 3 (IBM 2024) and MiniCPM (arXiv:2404.06395): Llama's layers with factors on the embeddings, on what each part
//! adds to the residual stream, on the scores and on the logits.

use gristmill_kernels::ops::{Activation, RopePairing};

use super::{Architecture, Builder, FeedForwards, Layer};
use crate::error::Error;
use crate::layers::{Attention, RopeSpec, Router, Sinks};

pub static GRANITE: Architecture = Architecture::new("granite", "Granite 3", granite);
pub static GRANITEMOE: Architecture =
    Architecture::new("granitemoe", "Granite 3 with experts", granite);
pub static GRANITE_SWA: Architecture =
    Architecture::new("granite_swa", "Granite with a sliding window", granite_swa);
pub static MINICPM: Architecture = Architecture::new("minicpm", "MiniCPM 1 and 2", minicpm);

pub(super) fn layer(b: &mut Builder<'_>) -> Result<Layer, Error> {
    // Where rope is turned off, this key says so.
    let rotated = b.keys.opt_bool("rope.scaling.finetuned")?.unwrap_or(true);
    let rope = b.rope(RopeSpec {
        factors: Some("rope_freqs.weight"),
        ..RopeSpec::new(RopePairing::Interleaved)
    })?;
    let attention = Attention {
        rope: Some(rope).filter(|_| rotated),
        scale: b
            .keys
            .opt_f32("attention.scale")?
            .filter(|&scale| scale != 0.0),
        ..Attention::default()
    };
    let normalised = |router| Router {
        normalise: true,
        ..router
    };
    let feed_forward = FeedForwards::gated(&b.keys, Activation::Silu, normalised)?;
    Ok(Layer::new(attention, feed_forward))
}

/// The factors of the file's keys, or these.
pub(super) fn scaled(
    b: &mut Builder<'_>,
    layer: Layer,
    embedding: f32,
    residual: f32,
    logits: f32,
) -> Result<Layer, Error> {
    let factor = |b: &Builder<'_>, key: &str, default: f32| {
        let given = b.keys.opt_f32(key)?.filter(|&factor| factor != 0.0);
        Ok::<f32, Error>(given.unwrap_or(default))
    };
    let embedding = factor(b, "embedding_scale", embedding)?;
    b.scale_embeddings(embedding);
    let divisor = factor(b, "logit_scale", logits)?;
    b.scale_logits(1.0 / divisor);
    Ok(Layer {
        residual_scale: factor(b, "residual_scale", residual)?,
        ..layer
    })
}

fn granite(b: &mut Builder<'_>) -> Result<(), Error> {
    let layer = layer(b)?;
    let layer = scaled(b, layer, 1.0, 1.0, 1.0)?;
    b.repeat(|_| layer)
}

/// Some layers look back over a window, all have sinks.
fn granite_swa(b: &mut Builder<'_>) -> Result<(), Error> {
    let layer = layer(b)?;
    let mut global = scaled(b, layer, 1.0, 1.0, 1.0)?;
    global.attention.sinks = Sinks::All;
    let (pattern, window) = b.windows(1)?;
    let mut local = global;
    local.attention.window = window;
    b.repeat(|number| {
        if pattern.contains(number) {
            local
        } else {
            global
        }
    })
}

/// The factors that the first models were trained with stand where a file names none.
fn minicpm(b: &mut Builder<'_>) -> Result<(), Error> {
    let layer = layer(b)?;
    let depth = 1.4 / (b.layers().len() as f32).sqrt();
    let logits = 256.0 / b.hparams().embedding_length as f32;
    let layer = scaled(b, layer, 12.0, depth, logits)?;
    b.repeat(|_| layer)
}
