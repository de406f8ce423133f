//! Gemma 4: heads of two lengths, experts beside a feed-forward, keys and values that layers share.

use gristmill_kernels::ops::{Activation, RopePairing};

use super::{Architecture, Builder, Norms};
use crate::error::Error;
use crate::layers::{Attention, Experts, FeedForward, Gating, HeadNorms, RopeSpec, Router, Step};

pub static GEMMA4: Architecture =
    Architecture::new("gemma4", "Gemma 4 (E2B to 31B, text part)", gemma4);

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
pub(super) fn shared(
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
