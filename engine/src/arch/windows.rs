//! Newer mixtures of experts and their kin: norms of queries and keys, layers with a sliding window among others that see
//! everything (and often know no positions), gates on what attention gives.

use gristmill_kernels::ops::{Activation, RopePairing};

use super::layer::bounded_silu;
use super::{Architecture, Builder, FeedForwards, Layer};
use crate::error::Error;
use crate::layers::{Attention, FeedForward, Gating, HeadNorms, RopeSpec, Router, Sinks};

pub static EXAONE_MOE: Architecture = Architecture::new("exaone-moe", "K-EXAONE", exaone_moe);
pub static AFMOE: Architecture = Architecture::new("afmoe", "Arcee Trinity", afmoe);
pub static MELLUM: Architecture = Architecture::new("mellum", "JetBrains Mellum 2", mellum);
pub static MIMO2: Architecture = Architecture::new("mimo2", "MiMo V2", mimo2);
pub static LAGUNA: Architecture = Architecture::new("laguna", "Poolside Laguna", laguna);
pub static MUSE_GLIMMER: Architecture =
    Architecture::new("muse-glimmer", "Muse Glimmer", muse_glimmer);
pub static SPARK2_5: Architecture = Architecture::new("spark2_5", "iFlytek Spark 2.5", spark);
pub static MAPLE: Architecture = Architecture::new("maple", "Maple", maple);
pub static STEP35: Architecture = Architecture::new("step35", "Step 3.5", step35);
pub static SMALLTHINKER: Architecture =
    Architecture::new("smallthinker", "SmallThinker 4B and 21B", smallthinker);
pub static PLAMO3: Architecture = Architecture::new("plamo3", "PLaMo 3", plamo3);

/// Where layers with a window differ from the others.
struct Windows {
    rope: RopeSpec,
    local_rope: RopeSpec,
    /// Layers without a window know no positions.
    local_rope_alone: bool,
    period: usize,
}

impl Windows {
    /// Both rotate alike, but for a base of its own where the file has one.
    fn new(pairing: RopePairing) -> Self {
        let rope = RopeSpec {
            factors: Some("rope_freqs.weight"),
            ..RopeSpec::new(pairing)
        };
        Self {
            rope,
            local_rope: rope,
            local_rope_alone: false,
            period: 4,
        }
    }

    /// Adds layers that are all like this one.
    fn repeat(self, b: &mut Builder<'_>, layer: Layer) -> Result<(), Error> {
        let base = b.keys.opt_f32("rope.freq_base_swa")?;
        let rope = b.rope(self.rope)?;
        let local_rope = b.rope(RopeSpec {
            base: base.map(|base| ("rope.freq_base_swa", base)),
            ..self.local_rope
        })?;
        let (pattern, window) = b.windows(self.period)?;
        let (mut global, mut local) = (layer, layer);
        global.attention.rope = Some(rope).filter(|_| !self.local_rope_alone);
        local.attention.rope = Some(local_rope);
        local.attention.window = window;
        b.repeat(|number| {
            let is_local = window.is_some() && pattern.contains(number);
            if is_local { local } else { global }
        })
    }
}

fn layer(
    b: &Builder<'_>,
    activation: Activation,
    adapt: impl Fn(Router) -> Router,
) -> Result<Layer, Error> {
    let attention = Attention {
        norms: HeadNorms::Weighted,
        ..Attention::default()
    };
    let feed_forward = FeedForwards::gated(&b.keys, activation, adapt)?;
    Ok(Layer::new(attention, feed_forward))
}

fn normalised(router: Router) -> Router {
    Router {
        normalise: true,
        ..router
    }
}

/// Sigmoid, unless the file says otherwise.
fn sigmoid(b: &Builder<'_>) -> impl Fn(Router) -> Router + use<> {
    let is_given = b.keys.contains("expert_gating_func");
    move |router| Router {
        gating: if is_given {
            router.gating
        } else {
            Gating::Sigmoid
        },
        ..router
    }
}

fn exaone_moe(b: &mut Builder<'_>) -> Result<(), Error> {
    let layer = layer(b, Activation::Silu, |router| router)?;
    let windows = Windows {
        local_rope_alone: true,
        ..Windows::new(RopePairing::Halves)
    };
    windows.repeat(b, layer)
}

/// Rotary positions in three of four layers, wherever the windows are.
fn afmoe(b: &mut Builder<'_>) -> Result<(), Error> {
    b.scale_embeddings_by_width();
    let mut layer = layer(b, Activation::Silu, sigmoid(b))?.sandwiched();
    layer.attention.gate = Some(Activation::Sigmoid);
    let rope = b.rope(RopeSpec::new(RopePairing::Halves))?;
    let (pattern, window) = b.windows(4)?;
    b.repeat(|number| {
        let mut layer = layer;
        layer.attention.rope = Some(rope).filter(|_| number % 4 != 3);
        layer.attention.window = window.filter(|_| pattern.contains(number));
        layer
    })
}

fn mellum(b: &mut Builder<'_>) -> Result<(), Error> {
    let layer = layer(b, Activation::Silu, normalised)?;
    let rope = RopeSpec::new(RopePairing::Halves);
    let windows = Windows {
        rope,
        local_rope: RopeSpec {
            unscaled: true,
            unmagnified: true,
            ..rope
        },
        ..Windows::new(RopePairing::Halves)
    };
    windows.repeat(b, layer)
}

/// Sinks where the file has them; a feed-forward beside the experts has no effect, as in the model's own code.
fn mimo2(b: &mut Builder<'_>) -> Result<(), Error> {
    let adapt = |router| Router {
        gating: Gating::Sigmoid,
        ..normalised(router)
    };
    let mut layer = layer(b, Activation::Silu, adapt)?;
    layer.attention.norms = HeadNorms::None;
    layer.attention.ignores_input_biases = true;
    layer.attention.sinks = Sinks::IfPresent;
    b.ignore_feed_forwards_beside_experts();
    Windows::new(RopePairing::Halves).repeat(b, layer)
}

fn laguna(b: &mut Builder<'_>) -> Result<(), Error> {
    let mut layer = layer(b, Activation::Silu, sigmoid(b))?;
    layer.attention.gate = Some(Activation::Softplus);
    let rope = RopeSpec::new(RopePairing::Halves);
    let windows = Windows {
        rope,
        local_rope: RopeSpec {
            dimensions: Some("rope.dimension_count_swa"),
            unscaled: true,
            unmagnified: true,
            ..rope
        },
        ..Windows::new(RopePairing::Halves)
    };
    windows.repeat(b, layer)
}

fn muse_glimmer(b: &mut Builder<'_>) -> Result<(), Error> {
    let mut layer = layer(b, Activation::Silu, |router| router)?.sandwiched();
    layer.attention.gate = Some(Activation::Sigmoid);
    layer.epsilon_behind = Some(1e-8);
    b.norm_embeddings_plainly()?;
    let logits = b.keys.f32("logit_scale")?;
    b.scale_logits(logits);
    b.softcap_logits("final_logit_softcapping")?;
    let windows = Windows {
        local_rope_alone: true,
        ..Windows::new(RopePairing::Interleaved)
    };
    windows.repeat(b, layer)
}

fn spark(b: &mut Builder<'_>) -> Result<(), Error> {
    let mut layer = layer(b, Activation::Gelu, |router| router)?;
    layer.attention.norms = HeadNorms::None;
    layer.attention.gate = Some(Activation::Sigmoid);
    Windows::new(RopePairing::Halves).repeat(b, layer)
}

fn plamo3(b: &mut Builder<'_>) -> Result<(), Error> {
    let mut layer = layer(b, Activation::Silu, |router| router)?.sandwiched();
    layer.feed_forward = FeedForwards::dense(FeedForward::gated(Activation::Silu));
    Windows::new(RopePairing::Halves).repeat(b, layer)
}

/// SmallThinker (arXiv:2507.20984): experts are chosen by what the layer is given, before attention, so that they can be
/// fetched in time. The first of every four layers sees everything and knows no positions.
fn smallthinker(b: &mut Builder<'_>) -> Result<(), Error> {
    let mut layer = layer(b, Activation::Relu, normalised)?;
    layer.attention.norms = HeadNorms::None;
    if let Some(experts) = &mut layer.feed_forward.experts {
        experts.routed_by_kept = true;
    }
    let (_, window) = b.windows(4)?;
    let base = b.keys.opt_f32("rope.freq_base_swa")?;
    let base = base.filter(|_| window.is_some());
    let rope = b.rope(RopeSpec {
        base: base.map(|base| ("rope.freq_base_swa", base)),
        ..RopeSpec::new(RopePairing::Halves)
    })?;
    b.repeat(|number| {
        let mut layer = layer;
        let is_local = number % 4 != 0;
        layer.attention.rope = Some(rope).filter(|_| is_local || window.is_none());
        layer.attention.window = window.filter(|_| is_local);
        layer
    })
}

/// Windows and rotary positions go together; experts' gates and inputs are bounded.
fn maple(b: &mut Builder<'_>) -> Result<(), Error> {
    let layer = layer(b, Activation::Silu, normalised)?;
    let key = "swiglu_clamp_exp";
    let given = b.keys.contains(key);
    let limits = b.keys.f32_per_layer(key, b.layers().len())?;
    let rope = b.rope(RopeSpec::new(RopePairing::Halves))?;
    let (pattern, window) = b.windows(4)?;
    b.repeat(|number| {
        let mut layer = layer;
        let limit = if given { limits[number] } else { 7.0 };
        if let Some(experts) = layer.feed_forward.experts.as_mut().filter(|_| limit > 0.0) {
            experts.activation = Activation::SiluOfBounded { limit };
        }
        let is_local = pattern.contains(number);
        layer.attention.rope = Some(rope).filter(|_| is_local);
        layer.attention.window = window.filter(|_| is_local);
        layer
    })
}

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
