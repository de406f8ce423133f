//! Gemma (arXiv:2403.08295, 2408.00118, 2503.19786): embeddings scaled by the root of their width and a GELU gate; from
//! Gemma 2 on norms before and after each part and layers with a sliding window, in Gemma 3 with a rope base of their own.
//! Gemma 3n has several streams, a product of small matrices beside attention, and sparse feed-forwards in its first
//! layers; Gemma 4 has heads of another length in layers with a window, and in one model experts beside the feed-forward.
//! Both have inputs for each layer, and last layers without keys and values of their own.

use gristmill_kernels::ops::{Activation, RopePairing};

use super::{Architecture, Builder, FeedForwards, Layer};
use crate::error::Error;
use crate::layers::{Attention, FeedForward, HeadNorms, RopeSpec};

pub static GEMMA: Architecture = Architecture::new("gemma", "Gemma 1", gemma);
pub static GEMMA2: Architecture = Architecture::new("gemma2", "Gemma 2", gemma2);
pub static GEMMA3: Architecture =
    Architecture::new("gemma3", "Gemma 3 (270M to 27B, text part)", gemma3);
pub static GEMMA_EMBEDDING: Architecture =
    Architecture::new("gemma-embedding", "EmbeddingGemma (embeddings)", embedding);

/// Layers of the models of 27 billion weights, whose scores alone are scaled by the width per head instead of the key length.
const LAYERS_27B: [usize; 2] = [46, 62];

fn layer(b: &mut Builder<'_>, attention: Attention) -> Layer {
    b.scale_token_embeddings_by_width();
    Layer::new(
        attention,
        FeedForwards::dense(FeedForward::gated(Activation::Gelu)),
    )
}

fn gemma(b: &mut Builder<'_>) -> Result<(), Error> {
    let rope = b.rope(RopeSpec::new(RopePairing::Halves))?;
    let layer = layer(b, Attention::rotated(rope));
    b.repeat(|_| layer)
}

fn gemma2(b: &mut Builder<'_>) -> Result<(), Error> {
    let rope = b.rope(RopeSpec::new(RopePairing::Halves))?;
    let attention = Attention {
        softcap: b.keys.opt_f32("attn_logit_softcapping")?,
        ..Attention::rotated(rope)
    };
    windowed(b, attention, attention, 2)
}

/// EmbeddingGemma (arXiv:2509.20354): Gemma 3 that sees a text whole, and two matrices behind the mean.
fn embedding(b: &mut Builder<'_>) -> Result<(), Error> {
    b.encoder();
    gemma3(b)
}

fn gemma3(b: &mut Builder<'_>) -> Result<(), Error> {
    let attention = |rope| Attention {
        norms: HeadNorms::Weighted,
        ..Attention::rotated(rope)
    };
    let global = attention(b.rope(RopeSpec::new(RopePairing::Halves))?);
    let local = attention(b.rope(RopeSpec {
        base: Some(("rope.freq_base_swa", 10_000.0)),
        unscaled: true,
        ..RopeSpec::new(RopePairing::Halves)
    })?);
    windowed(b, global, local, 6)
}

fn windowed(
    b: &mut Builder<'_>,
    mut global: Attention,
    mut local: Attention,
    period: usize,
) -> Result<(), Error> {
    if LAYERS_27B.contains(&b.layers().len()) {
        global.scale = Some(b.scale_by_width_per_head()?);
        local.scale = global.scale;
    }
    let (pattern, window) = b.windows(period)?;
    local.window = window;
    let [global, local] = [global, local].map(|attention| layer(b, attention).sandwiched());
    b.softcap_logits("final_logit_softcapping")?;
    b.repeat(|number| {
        if window.is_some() && pattern.contains(number) {
            local
        } else {
            global
        }
    })
}
