//! Gemma 3 (arXiv:2503.19786): norms before and after each part, norms on queries and keys, five layers with a sliding
//! window and their own rope base for each global layer, embeddings scaled by the root of their width.

use gristmill_kernels::ops::{Activation, RopePairing};

use super::{Architecture, AttentionSpec, Builder, RopeSpec};
use crate::error::Error;
use crate::layers::{Decoder, Residual};

pub static GEMMA3: Architecture = Architecture {
    name: "gemma3",
    used_by: "Gemma 3 (270M to 27B, text part)",
    build,
};

/// Layers of the 27B model, whose scores alone are scaled by the width per head instead of the key length.
const LAYERS_27B: usize = 62;

fn build(b: &mut Builder<'_>) -> Result<Decoder, Error> {
    let window = b
        .keys
        .opt_number("attention.sliding_window")?
        .filter(|&w| w > 0);
    let local = b
        .keys
        .pattern("attention.sliding_window_pattern", b.hparams.block_count, 6)?;
    let global_rope = b.rope(RopeSpec::new(RopePairing::Halves))?;
    let local_rope = b.rope(RopeSpec {
        base: Some(("rope.freq_base_swa", 10_000.0)),
        unscaled: true,
        ..RopeSpec::new(RopePairing::Halves)
    })?;
    for layer in b.layers() {
        let window = window.filter(|_| local.contains(layer));
        let spec = AttentionSpec {
            rope: Some(if window.is_some() {
                local_rope
            } else {
                global_rope
            }),
            window,
            query_key_norms: true,
            scale_by_embedding: b.hparams.block_count == LAYERS_27B,
        };
        let attention = Residual::pre_norm(b.norm(layer, "attn_norm")?, b.attention(layer, spec)?)
            .post_norm(b.norm(layer, "post_attention_norm")?);
        let norm = b.norm(layer, "ffn_norm")?;
        let feed_forward = Residual::pre_norm(norm, b.gated_feed_forward(layer, Activation::Gelu)?)
            .post_norm(b.norm(layer, "post_ffw_norm")?);
        b.block([attention, feed_forward]);
    }
    b.scale_embeddings_by_width();
    b.softcap_logits("final_logit_softcapping")?;
    b.decoder()
}
