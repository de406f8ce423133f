//! The layer of most decoders: attention, and a feed-forward or experts, each between its norms, one after the other or side
//! by side. What differs from it is said field by field.

use gristmill_kernels::ops::Activation;

use super::{Builder, Norms};
use crate::error::Error;
use crate::hparams::Keys;
use crate::layers::{Attention, Branch, Experts, FeedForward, Router, Step};

/// Attention and a feed-forward around the residual stream.
#[derive(Debug, Clone, Copy)]
pub struct Layer {
    /// Attention.
    pub attention: Attention,
    /// Feed-forward or experts.
    pub feed_forward: FeedForwards,
    /// Norms of what attention is given, and of what it gives.
    pub attention_norms: Norms,
    /// Norms of what the feed-forward is given, and of what it gives.
    pub feed_forward_norms: Norms,
    /// Both see the same residual stream, and are added together.
    pub parallel: bool,
    /// Factor on what is added to the residual stream.
    pub residual_scale: f32,
    /// Epsilon of the norms of what both give, if it is another.
    pub epsilon_behind: Option<f32>,
}

/// Feed-forwards of a model, some or all of whose layers may have experts: those with the tensor `ffn_gate_inp`.
#[derive(Debug, Clone, Copy)]
pub struct FeedForwards {
    /// That of a layer without experts.
    pub dense: FeedForward,
    /// Those that are chosen from.
    pub experts: Option<Experts>,
    /// The sigmoid of this matrix of one row is a factor on the shared expert.
    pub shared_weight: Option<&'static str>,
    /// The shared expert has another activation than feed-forwards of layers without experts.
    pub shared_activation: Option<Activation>,
    /// Factor on experts and the shared one, where there is one.
    pub with_shared: f32,
}

/// The usual norm of what attention is given.
pub const ATTN_NORM: Norms = Norms::Before("attn_norm");

/// A router whose weights add up to 1.
pub fn normalised(router: Router) -> Router {
    Router {
        normalise: true,
        ..router
    }
}

/// Silu with a bound on it and on what it gates (`swiglu_clamp_exp` and its like), of which zero means none.
pub fn bounded_silu(limit: f32) -> Activation {
    if limit > 0.0 {
        Activation::SiluBounded { limit }
    } else {
        Activation::Silu
    }
}

impl FeedForwards {
    /// The same in all layers.
    pub fn dense(dense: FeedForward) -> Self {
        Self {
            dense,
            experts: None,
            shared_weight: None,
            shared_activation: None,
            with_shared: 1.0,
        }
    }

    /// Gated ones, and experts if the keys say so, whose router `adapt` may change.
    pub fn gated(
        keys: &Keys<'_>,
        activation: Activation,
        adapt: impl Fn(Router) -> Router,
    ) -> Result<Self, Error> {
        let router = Router::read(keys)?.map(adapt);
        Ok(Self {
            experts: router.map(|router| Experts::gated(router, activation)),
            ..Self::dense(FeedForward::gated(activation))
        })
    }

    /// Two matrices, and experts of two matrices if the keys say so.
    pub fn plain(
        keys: &Keys<'_>,
        dense: FeedForward,
        adapt: impl Fn(Router) -> Router,
    ) -> Result<Self, Error> {
        let router = Router::read(keys)?.map(adapt);
        Ok(Self {
            experts: router.map(|router| Experts {
                gated: false,
                ..Experts::gated(router, dense.activation)
            }),
            ..Self::dense(dense)
        })
    }

    /// What a layer adds up: its feed-forward, or its experts and the shared one.
    pub fn branches(
        &self,
        b: &mut Builder<'_>,
        layer: usize,
        norms: Norms,
    ) -> Result<Vec<Branch>, Error> {
        let experts = self.experts.filter(|_| b.has(layer, "ffn_gate_inp.weight"));
        let Some(experts) = experts else {
            return Ok(vec![b.between(layer, norms, self.dense)?]);
        };
        let mut branches = vec![b.between(layer, norms, experts)?];
        if b.has(layer, "ffn_up_shexp.weight") {
            let shared = FeedForward {
                weighted_by: self.shared_weight,
                activation: self.shared_activation.unwrap_or(self.dense.activation),
                ..self.dense.shared()
            };
            branches.push(b.between(layer, norms, shared)?);
            for branch in &mut branches {
                branch.scale = self.with_shared;
            }
        }
        Ok(branches)
    }
}

impl Builder<'_> {
    /// Adds the layers, each as `layer` says.
    pub fn repeat(&mut self, layer: impl Fn(usize) -> Layer) -> Result<(), Error> {
        for number in self.layers() {
            layer(number).add(self, number)?;
        }
        Ok(())
    }

    /// Adds layers like this one, of which all but every `period`-th look back over a window, and those alone are rotated.
    pub fn repeat_rotated_in_windows(&mut self, layer: Layer, period: usize) -> Result<(), Error> {
        let (pattern, window) = self.windows(period)?;
        let (mut global, mut local) = (layer, layer);
        global.attention.rope = None;
        local.attention.window = window;
        self.repeat(|number| {
            if pattern.contains(number) {
                local
            } else {
                global
            }
        })
    }
}

impl Layer {
    /// Each behind a norm, `attn_norm` and `ffn_norm`.
    pub fn new(attention: Attention, feed_forward: FeedForwards) -> Self {
        Self {
            attention,
            feed_forward,
            attention_norms: Norms::Before("attn_norm"),
            feed_forward_norms: Norms::Before("ffn_norm"),
            parallel: false,
            residual_scale: 1.0,
            epsilon_behind: None,
        }
    }

    /// With norms on what both give, too: `post_attention_norm` and `post_ffw_norm`.
    pub fn sandwiched(self) -> Self {
        Self {
            attention_norms: Norms::Around("attn_norm", "post_attention_norm"),
            feed_forward_norms: Norms::Around("ffn_norm", "post_ffw_norm"),
            ..self
        }
    }

    /// With norms on what both give alone.
    pub fn norms_behind(self) -> Self {
        Self {
            attention_norms: Norms::Behind("post_attention_norm"),
            feed_forward_norms: Norms::Behind("post_ffw_norm"),
            ..self
        }
    }

    /// Adds it to the model.
    pub fn add(&self, b: &mut Builder<'_>, layer: usize) -> Result<(), Error> {
        let mut attention = b.between(layer, self.attention_norms, self.attention)?;
        let norms = self.feed_forward_norms;
        let mut feed_forward = self.feed_forward.branches(b, layer, norms)?;
        for branch in feed_forward.iter_mut().chain([&mut attention]) {
            if let (Some(norm), Some(epsilon)) = (&mut branch.behind, self.epsilon_behind) {
                norm.epsilon = epsilon;
            }
        }
        let step = |branches: Vec<Branch>| Step::new(branches).scaled(self.residual_scale);
        if self.parallel {
            feed_forward.insert(0, attention);
            b.step(step(feed_forward));
            return Ok(());
        }
        let experts = self.feed_forward.experts;
        b.step(Step {
            keeps: experts.is_some_and(|experts| experts.routed_by_kept),
            ..step(vec![attention])
        });
        // A norm of what several give together is one of their sum.
        let joint = if feed_forward.len() > 1 {
            feed_forward
                .iter_mut()
                .filter_map(|b| b.behind.take())
                .last()
        } else {
            None
        };
        b.step(Step {
            joint,
            ..step(feed_forward)
        });
        Ok(())
    }
}
