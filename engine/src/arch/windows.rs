//! Newer mixtures of experts and their kin: norms of queries and keys, layers with a sliding window among others that see
//! everything (and often know no positions), gates on what attention gives.

use gristmill_kernels::ops::{Activation, RopePairing};

use super::layer::normalised;
use super::{Architecture, Builder, FeedForwards, Layer};
use crate::error::Error;
use crate::layers::{Attention, FeedForward, Gating, HeadNorms, RopeSpec, Router};

pub static EXAONE_MOE: Architecture = Architecture::new("exaone-moe", "K-EXAONE", exaone_moe);
pub static MELLUM: Architecture = Architecture::new("mellum", "JetBrains Mellum 2", mellum);
pub static SPARK2_5: Architecture = Architecture::new("spark2_5", "iFlytek Spark 2.5", spark);
pub static PLAMO3: Architecture = Architecture::new("plamo3", "PLaMo 3", plamo3);

/// Where layers with a window differ from the others.
pub(super) struct Windows {
    pub(super) rope: RopeSpec,
    pub(super) local_rope: RopeSpec,
    /// Layers without a window know no positions.
    pub(super) local_rope_alone: bool,
    pub(super) period: usize,
}

impl Windows {
    /// Both rotate alike, but for a base of its own where the file has one.
    pub(super) fn new(pairing: RopePairing) -> Self {
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
    pub(super) fn repeat(self, b: &mut Builder<'_>, layer: Layer) -> Result<(), Error> {
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

pub(super) fn layer(
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

/// Sigmoid, unless the file says otherwise.
pub(super) fn sigmoid(b: &Builder<'_>) -> impl Fn(Router) -> Router + use<> {
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
