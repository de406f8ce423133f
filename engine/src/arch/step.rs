//! Step 3.5: layers of two kinds of rotation, and feed-forwards with bounds.

use gristmill_kernels::ops::{Activation, RopePairing};

use super::layer::bounded_silu;
use super::windows::{layer, sigmoid};
use super::{Architecture, Builder};
use crate::error::Error;
use crate::layers::{HeadNorms, RopeSpec};

pub static STEP35: Architecture = Architecture::new("step35", "Step 3.5", step35);

/// Layers without a window rotate half of each head; gates per head; bounds on the gates and inputs of experts and of the
/// shared one, layer by layer.
fn step35(b: &mut Builder<'_>) -> Result<(), Error> {
    let mut layer = layer(b, Activation::Silu, sigmoid(b))?;
    layer.attention.norms = HeadNorms::IfPresent;
    let layers = b.layers().len();
    let of_experts = b.keys.f32_per_layer("swiglu_clamp_exp", layers)?;
    let of_shared = b.keys.f32_per_layer("swiglu_clamp_shexp", layers)?;
    let whole = RopeSpec::new(RopePairing::Halves);
    let global = b.rope(RopeSpec {
        halved: true,
        factors: Some("rope_freqs.weight"),
        ..whole
    })?;
    let local = b.rope(RopeSpec {
        dimensions: Some("rope.dimension_count_swa"),
        base: Some(("rope.freq_base_swa", 10_000.0)),
        ..whole
    })?;
    let (pattern, window) = b.windows(4)?;
    for number in b.layers() {
        if !b.has(number, "ffn_gate_inp.weight") {
            b.ignore(number, "exp_probs_b.");
        }
    }
    let gated: Vec<bool> = b.layers().map(|n| b.has(n, "attn_gate.weight")).collect();
    b.repeat(|number| {
        let mut layer = layer;
        if let Some(experts) = &mut layer.feed_forward.experts {
            experts.activation = bounded_silu(of_experts[number]);
        }
        layer.feed_forward.shared_activation = Some(bounded_silu(of_shared[number]));
        let is_local = pattern.contains(number);
        layer.attention.gate = Some(Activation::Sigmoid).filter(|_| gated[number]);
        layer.attention.rope = Some(if is_local { local } else { global });
        layer.attention.window = window.filter(|_| is_local);
        layer
    })
}
