//! Llama (Touvron et al. 2023, arXiv:2302.13971) and the many models that share its blocks: RMS norms before attention and
//! before a SiLU-gated feed-forward or a mixture of experts, rotary positions on interleaved pairs, grouped queries.

use gristmill_kernels::ops::{Activation, RopePairing};

use super::{Architecture, AttentionSpec, Builder, RopeSpec};
use crate::error::Error;
use crate::layers::{Decoder, Residual};

pub static LLAMA: Architecture = Architecture {
    name: "llama",
    used_by: "Llama 1 to 3, Mistral, Mixtral, SmolLM2, TinyLlama, Yi",
    build,
};

fn build(b: &mut Builder<'_>) -> Result<Decoder, Error> {
    b.require_whole_heads_rotated()?;
    let rope = b.rope(RopeSpec {
        factors: Some("rope_freqs.weight"),
        ..RopeSpec::new(RopePairing::Interleaved)
    })?;
    let attention = AttentionSpec {
        rope: Some(rope),
        ..AttentionSpec::default()
    };
    for layer in b.layers() {
        let attention =
            Residual::pre_norm(b.norm(layer, "attn_norm")?, b.attention(layer, attention)?);
        let norm = b.norm(layer, "ffn_norm")?;
        let feed_forward = match b.experts()? {
            Some(experts) => b.mixture_of_experts(layer, experts, Activation::Silu)?,
            None => b.gated_feed_forward(layer, Activation::Silu)?,
        };
        b.block([attention, Residual::pre_norm(norm, feed_forward)]);
    }
    b.decoder()
}
