//! Mixture of experts (Mixtral: arXiv:2401.04088): a [`Router`] picks a few of many feed-forwards for each token.

use gristmill_kernels::ops::{self, Activation};

use super::router::Router;
use super::stacks::{Stacks, StacksSpec};
use super::{Cost, Linear, Mixer, Norm, Pass, cut};
use crate::error::Error;
use crate::hparams::Keys;
use crate::load::{LayerTensors, Part};

/// A router (`ffn_gate_inp`) over stacks of feed-forwards: `ffn_gate_exps` and `ffn_up_exps`, or both in one,
/// `ffn_gate_up_exps`, and `ffn_down_exps`. Some files have a tensor for each expert instead (`ffn_gate.0` and so on).
#[derive(Debug, Clone, Copy)]
pub struct Experts {
    /// Who is chosen.
    pub router: Router,
    /// Between the matrices.
    pub activation: Activation,
    /// Whether experts have a gate.
    pub gated: bool,
    /// The weights are for what the experts are given, not for what they give.
    pub weigh_inputs: bool,
    /// The norm of this name is for the experts alone: the router sees what both are given under a norm without weights,
    /// times `ffn_gate_inp.scale`, by the root of the width.
    pub norm: Option<&'static str>,
    /// Experts that groups of others share.
    pub chunks: Option<Chunks>,
    /// The router sees the stream as a step kept it, not what the experts are given.
    pub routed_by_kept: bool,
    /// Experts work on rows of this length: a matrix leads there (`ffn_routed_down`), and another back (`ffn_routed_up`), with
    /// a norm between them where the file has one (`ffn_routed_norm`).
    pub latent: Option<usize>,
}

impl Experts {
    /// Gated experts.
    pub fn gated(router: Router, activation: Activation) -> Self {
        Self {
            router,
            activation,
            gated: true,
            weigh_inputs: false,
            norm: None,
            chunks: None,
            routed_by_kept: false,
            latent: None,
        }
    }
}

/// Adjugate experts (GroveMoE: arXiv:2508.07785), `ffn_gate_chexps` and so on: each belongs to a group of experts, and is
/// given what the experts give.
#[derive(Debug, Clone, Copy)]
pub struct Chunks {
    /// Experts in a group (`experts_per_group`).
    pub size: usize,
    /// Factor on what they add (`expert_group_scale`).
    pub scale: f32,
    /// Rows of their `up` matrices (`expert_chunk_feed_forward_length`), if they are not as long as a key.
    pub hidden: Option<usize>,
}

impl Chunks {
    /// The keys of both.
    pub fn read(keys: &Keys<'_>, experts: usize) -> Result<Self, Error> {
        let size = keys.count("experts_per_group")?;
        if !experts.is_multiple_of(size) {
            return Err(keys.wrong(
                "experts_per_group",
                format!("is {size}, and the {experts} experts can't be shared out so"),
            ));
        }
        Ok(Self {
            size,
            scale: keys.f32("expert_group_scale")?,
            hidden: keys
                .opt_number("expert_chunk_feed_forward_length")?
                .filter(|&hidden| hidden > 0),
        })
    }

    /// Groups.
    fn count(&self, router: &Router) -> usize {
        router.count / self.size
    }

    fn load(self, at: &mut LayerTensors<'_, '_>, of: &Experts) -> Result<(Stacks, Self), Error> {
        let spec = StacksSpec {
            ending: "chexps",
            width: at.width(),
            count: self.count(&of.router),
            hidden: match self.hidden {
                Some(hidden) => hidden,
                None => at.count("attention.key_length")?,
            },
            gated: of.gated,
            activation: of.activation,
            weigh_inputs: of.weigh_inputs,
        };
        Ok((spec.load(at)?, self))
    }
}

impl Part for Experts {
    fn load(self, at: &mut LayerTensors<'_, '_>) -> Result<Box<dyn Mixer>, Error> {
        let (width, count) = (at.width(), self.router.count);
        let hidden = match at.number("expert_feed_forward_length")? {
            Some(hidden) if hidden > 0 => hidden,
            _ => at.count("feed_forward_length")?,
        };
        let stacks = StacksSpec {
            ending: "exps",
            width: self.latent.unwrap_or(width),
            count,
            hidden,
            gated: self.gated,
            activation: self.activation,
            weigh_inputs: self.weigh_inputs,
        };
        let chunks = match self.chunks {
            Some(chunks) => Some(chunks.load(at, &self)?),
            None => None,
        };
        Ok(Box::new(MixtureOfExperts {
            spec: self,
            router: at.linear("ffn_gate_inp", width, count)?,
            bias: match at.opt_vector("exp_probs_b.bias", count)? {
                None => at.opt_vector("exp_probs_b", count)?,
                bias => bias,
            },
            stacks: stacks.load(at)?,
            chunks,
            latent: match self.latent {
                Some(length) => Some(LatentSpace::load(at, length)?),
                None => None,
            },
            factors: match self.weigh_inputs {
                true => None,
                false => at.opt_vector("ffn_down_exps.scale", count)?,
            },
            norms: match self.norm {
                Some(name) => Some([at.norm(name, width)?, router_norm(at)?]),
                None => None,
            },
            width,
        }))
    }
}

/// A norm whose weights are `ffn_gate_inp.scale` by the root of the width.
fn router_norm(at: &mut LayerTensors<'_, '_>) -> Result<Norm, Error> {
    let (width, kind) = (at.width(), at.loader.norms);
    let root = (width as f32).sqrt();
    let scale = at.vector("ffn_gate_inp.scale", width)?;
    Ok(Norm {
        weight: Some(scale.iter().map(|scale| scale / root).collect()),
        ..at.loader.plain_norm(kind, width)?
    })
}

/// The way from the residual stream's space to a smaller one, and back.
struct LatentSpace {
    down: Linear,
    norm: Option<Norm>,
    up: Linear,
}

impl LatentSpace {
    fn load(at: &mut LayerTensors<'_, '_>, length: usize) -> Result<Self, Error> {
        let width = at.width();
        Ok(Self {
            down: at.linear("ffn_routed_down", width, length)?,
            norm: match at.has("ffn_routed_norm.weight") {
                true => Some(at.norm("ffn_routed_norm", length)?),
                false => None,
            },
            up: at.linear("ffn_routed_up", length, width)?,
        })
    }

    /// Values of a row there.
    fn length(&self) -> usize {
        self.down.weight.rows
    }

    fn cost(&self) -> Cost {
        self.down.cost() + self.up.cost()
    }
}

impl MixtureOfExperts {
    /// `out` = the weighted sums of what the chosen experts make of the rows of `x`.
    fn run(
        &self,
        pass: &mut Pass<'_>,
        weights: &[f32],
        x: &[f32],
        out: &mut [f32],
        mut scratch: &mut [f32],
    ) {
        let Some(LatentSpace { down, norm, up }) = &self.latent else {
            return self.stacks.forward(pass, weights, x, out, scratch);
        };
        let low = cut(&mut scratch, pass.n * down.weight.rows);
        let given = cut(&mut scratch, pass.n * down.weight.rows);
        pass.linear(down, x, low);
        self.stacks.forward(pass, weights, low, given, scratch);
        match norm {
            Some(norm) => {
                norm.forward(pass, given, low);
                pass.linear(up, low, out);
            }
            None => pass.linear(up, given, out),
        }
    }
}

struct MixtureOfExperts {
    spec: Experts,
    router: Linear,
    /// Has a part in the choice.
    bias: Option<Vec<f32>>,
    stacks: Stacks,
    /// Those that groups of experts share, and the factor on what they give.
    chunks: Option<(Stacks, Chunks)>,
    /// Where the experts work, if not in the residual stream's space.
    latent: Option<LatentSpace>,
    /// On what each expert gives.
    factors: Option<Vec<f32>>,
    /// Of what the experts and of what the router is given, if they are not given the same.
    norms: Option<[Norm; 2]>,
    width: usize,
}

impl Mixer for MixtureOfExperts {
    fn scratch(&self, rows: usize) -> usize {
        let used = self.spec.router.used;
        let mut stacks = self.stacks.scratch(rows, used);
        if let Some((chunks, spec)) = &self.chunks {
            let own = rows.saturating_mul(2 * self.width + spec.count(&self.spec.router));
            stacks = stacks.max(chunks.scratch(rows, used)).saturating_add(own);
        }
        let normed = self.norms.as_ref().map_or(0, |_| self.width);
        let latent = self.latent.as_ref().map_or(0, |latent| 2 * latent.length());
        rows.saturating_mul(3 * self.spec.router.count + normed + latent)
            .saturating_add(stacks)
    }

    fn is_local(&self) -> bool {
        true
    }

    fn cost(&self) -> Cost {
        let router = &self.spec.router;
        let chunks = self.chunks.as_ref().map(|(chunks, spec)| {
            let used = router.used.min(spec.count(router));
            chunks.cost() * used as u64
        });
        let experts = self.stacks.cost() * router.used as u64;
        let latent = self.latent.as_ref().map(LatentSpace::cost);
        self.router.cost() + experts + chunks.unwrap_or_default() + latent.unwrap_or_default()
    }

    fn forward(&self, pass: &mut Pass<'_>, x: &[f32], out: &mut [f32], scratch: &mut [f32]) {
        self.forward_with_kept(pass, x, &[], out, scratch);
    }

    fn forward_with_kept(
        &self,
        pass: &mut Pass<'_>,
        x: &[f32],
        kept: &[f32],
        out: &mut [f32],
        mut scratch: &mut [f32],
    ) {
        let (n, width, experts) = (pass.n, self.width, self.spec.router.count);
        let with = pass.compute.floats();
        let scores = cut(&mut scratch, n * experts);
        let ranks = cut(&mut scratch, n * experts);
        let weights = cut(&mut scratch, n * experts);

        let normed = cut(&mut scratch, self.norms.as_ref().map_or(0, |_| x.len()));
        let x = match &self.norms {
            Some([of_experts, of_router]) => {
                of_router.forward(pass, x, normed);
                pass.linear(&self.router, normed, scores);
                of_experts.forward(pass, x, normed);
                &*normed
            }
            None => {
                let seen = if self.spec.routed_by_kept { kept } else { x };
                pass.linear(&self.router, seen, scores);
                x
            }
        };
        let rows = scores.chunks_exact_mut(experts);
        let rows = rows.zip(ranks.chunks_exact_mut(experts));
        for ((scores, ranks), weights) in rows.zip(weights.chunks_exact_mut(experts)) {
            let bias = self.bias.as_deref();
            self.spec.router.choose(with, bias, scores, ranks, weights);
            if let Some(factors) = &self.factors {
                ops::mul(with, weights, factors);
            }
        }
        let weights = &*weights;
        let Some((chunks, spec)) = &self.chunks else {
            return self.run(pass, weights, x, out, scratch);
        };
        let count = spec.count(&self.spec.router);
        let of_chunks = cut(&mut scratch, n * count);
        let given = cut(&mut scratch, n * width);
        let added = cut(&mut scratch, n * width);
        self.run(pass, weights, x, out, scratch);
        let rows = scores.chunks_exact(experts);
        let rows = rows.zip(ranks.chunks_exact_mut(experts));
        for ((scores, ranks), weights) in rows.zip(of_chunks.chunks_exact_mut(count)) {
            let router = &self.spec.router;
            router.choose_chunks(with, spec.size, scores, ranks, weights);
        }
        given.copy_from_slice(out);
        chunks.forward(pass, of_chunks, given, added, scratch);
        pass.each_row(width, out, |row, out| {
            ops::add_scaled(with, out, spec.scale, &added[row * width..][..width]);
        });
    }
}
