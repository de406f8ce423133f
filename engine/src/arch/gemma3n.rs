//! Gemma 3n: several streams beside each other, inputs of each layer, keys and values that layers share.

use gristmill_kernels::ops::{Activation, RopePairing};

use super::gemma4::shared;
use super::{Architecture, Builder, Norms};
use crate::error::Error;
use crate::layers::{Attention, FeedForward, HeadNorms, Laurel, RopeSpec, Step};

pub static GEMMA3N: Architecture =
    Architecture::new("gemma3n", "Gemma 3n (E2B and E4B, text part)", gemma3n);

/// What Gemma 3n's files may leave unsaid: the length of a layer's input, the number of streams, the first layer without keys
/// and values of its own, the bound of the logits.
const INPUT_3N: usize = 256;
const STREAMS_3N: usize = 4;
const FIRST_SHARING_3N: usize = 20;
const SOFTCAP_3N: f32 = 30.0;

/// Layers whose feed-forwards are sparse, and above how many standard deviations a value counts: 5% of a normal
/// distribution's do.
const SPARSE_LAYERS_3N: usize = 10;
const SPARSITY_3N: f32 = 1.644_853_6;

fn gemma3n(b: &mut Builder<'_>) -> Result<(), Error> {
    b.scale_token_embeddings_by_width();
    b.softcap_logits_or("final_logit_softcapping", SOFTCAP_3N)?;
    let attention = |rope| Attention {
        norms: HeadNorms::Weighted,
        value_norm: true,
        scale: Some(1.0),
        ..Attention::rotated(rope)
    };
    let global = attention(b.rope(RopeSpec::new(RopePairing::Halves))?);
    let mut local = attention(b.rope(RopeSpec {
        base: Some(("rope.freq_base_swa", 10_000.0)),
        unscaled: true,
        ..RopeSpec::new(RopePairing::Halves)
    })?);
    let (pattern, window) = b.windows(5)?;
    local.window = window;
    let is_local = |number| window.is_some() && pattern.contains(number);
    let sharing = b.keys.opt_number("attention.shared_kv_layers")?;
    let sharing = sharing.unwrap_or(b.layers().len().saturating_sub(FIRST_SHARING_3N));
    if b.keys.opt_number("altup.active_idx")?.unwrap_or(0) != 0 {
        let problem = "must be 0".to_string();
        return Err(b.keys.wrong("altup.active_idx", problem));
    }
    let input = b.layer_inputs(INPUT_3N)?;
    let input = input.ok_or_else(|| b.keys.missing("embedding_length_per_layer_input"))?;
    let streams = b.keys.opt_count("altup.num_inputs")?;
    b.open_streams(streams.unwrap_or(STREAMS_3N))?;
    for number in b.layers() {
        b.predict_streams(number)?;
        let mut attention = if is_local(number) { local } else { global };
        attention.shares = shared(b, number, sharing, is_local)?;
        let around = Norms::Around("attn_norm", "post_attention_norm");
        let attention = b.between(number, around, attention)?;
        let laurel = b.between(number, Norms::Before("attn_norm"), Laurel)?;
        b.step(Step {
            factor: std::f32::consts::FRAC_1_SQRT_2,
            ..Step::new([attention, laurel])
        });
        let dense = FeedForward {
            sparsity: (number < SPARSE_LAYERS_3N).then_some(SPARSITY_3N),
            ..FeedForward::gated(Activation::Gelu)
        };
        let around = Norms::Around("ffn_norm", "post_ffw_norm");
        let dense = b.between(number, around, dense)?;
        b.step(Step::new([dense]));
        b.correct_streams(number, input)?;
    }
    b.merge_streams()
}
