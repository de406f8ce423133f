//! Gemma (arXiv:2403.08295, 2408.00118, 2503.19786): embeddings scaled by the root of their width and a GELU gate; from
//! Gemma 2 on norms before and after each part and layers with a sliding window, in Gemma 3 with a rope base of their own.
//! Gemma 3n has several streams, a product of small matrices beside attention, and sparse feed-forwards in its first
//! layers; Gemma 4 has heads of another length in layers with a window, and in one model experts beside the feed-forward.
//! Both have inputs for each layer, and last layers without keys and values of their own.

use gristmill_kernels::ops::{Activation, RopePairing};

use super::{Architecture, Builder, FeedForwards, Layer, Norms};
use crate::error::Error;
use crate::layers::{
    Attention, Experts, FeedForward, Gating, HeadNorms, Laurel, RopeSpec, Router, Step,
};

pub static GEMMA: Architecture = Architecture::new("gemma", "Gemma 1", gemma);
pub static GEMMA2: Architecture = Architecture::new("gemma2", "Gemma 2", gemma2);
pub static GEMMA3: Architecture =
    Architecture::new("gemma3", "Gemma 3 (270M to 27B, text part)", gemma3);
pub static GEMMA3N: Architecture =
    Architecture::new("gemma3n", "Gemma 3n (E2B and E4B, text part)", gemma3n);
pub static GEMMA4: Architecture =
    Architecture::new("gemma4", "Gemma 4 (E2B to 31B, text part)", gemma4);
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

fn gemma4(b: &mut Builder<'_>) -> Result<(), Error> {
    b.scale_token_embeddings_by_width();
    b.softcap_logits("final_logit_softcapping")?;
    let attention = |rope| Attention {
        norms: HeadNorms::Weighted,
        value_norm: true,
        values_may_be_keys: true,
        scale: Some(1.0),
        ..Attention::rotated(rope)
    };
    let global = attention(b.rope(RopeSpec {
        factors: Some("rope_freqs.weight"),
        ..RopeSpec::new(RopePairing::Halves)
    })?);
    let local = attention(b.rope(RopeSpec {
        dimensions: Some("rope.dimension_count_swa"),
        base: Some(("rope.freq_base_swa", 10_000.0)),
        ..RopeSpec::new(RopePairing::Halves)
    })?);
    let (pattern, window) = b.windows(6)?;
    let local = Attention {
        window,
        lengths: Some(["attention.key_length_swa", "attention.value_length_swa"]),
        ..local
    };
    let is_local = |number| window.is_some() && pattern.contains(number);
    let sharing = b.keys.opt_number("attention.shared_kv_layers")?;
    let router = Router::read(&b.keys)?.map(|router| Router {
        gating: Gating::Softmax,
        normalise: true,
        ..router
    });
    let experts = router.map(|router| Experts {
        norm: Some("pre_ffw_norm_2"),
        ..Experts::gated(router, Activation::Gelu)
    });
    let input = b.layer_inputs(0)?;
    for number in b.layers() {
        let mut attention = if is_local(number) { local } else { global };
        attention.shares = shared(b, number, sharing.unwrap_or(0), is_local)?;
        let around = Norms::Around("attn_norm", "post_attention_norm");
        let attention = b.between(number, around, attention)?;
        b.step(Step::new([attention]));

        let dense = FeedForward::gated(Activation::Gelu);
        let has_experts = b.has(number, "ffn_gate_inp.weight");
        let mut last = match experts.filter(|_| has_experts) {
            Some(experts) => {
                let around = Norms::Around("ffn_norm", "post_ffw_norm_1");
                let dense = b.between(number, around, dense)?;
                let experts = b.between(number, Norms::Behind("post_ffw_norm_2"), experts)?;
                Step {
                    joint: Some(b.norm(number, "post_ffw_norm")?),
                    ..Step::new([dense, experts])
                }
            }
            None => {
                let around = Norms::Around("ffn_norm", "post_ffw_norm");
                Step::new([b.between(number, around, dense)?])
            }
        };
        if let Some(input) = input {
            b.step(last);
            last = Step::new([b.between(number, Norms::Behind("post_norm"), input)?]);
        }
        last.factor = b.factor(number, "layer_output_scale")?;
        b.step(last);
    }
    Ok(())
}

/// The layer whose keys and values a layer reads, if it is one of the last `sharing`: the last of the same kind before these.
fn shared(
    b: &Builder<'_>,
    number: usize,
    sharing: usize,
    is_local: impl Fn(usize) -> bool,
) -> Result<Option<usize>, Error> {
    let own = b.layers().len().saturating_sub(sharing);
    if number < own {
        return Ok(None);
    }
    let last = (0..own).rev().find(|&of| is_local(of) == is_local(number));
    last.map(Some).ok_or_else(|| {
        b.keys.wrong(
            "attention.shared_kv_layers",
            format!("is {sharing}, and leaves layer {number} none to share with"),
        )
    })
}
