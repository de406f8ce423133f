//! Mixture of experts (Mixtral: arXiv:2401.04088): a [`Router`] picks a few of many feed-forwards for each token.

use gristmill_kernels::ops::{self, Activation};
use gristmill_kernels::{Matrix, Product};

use super::router::Router;
use super::{Cost, Linear, Mixer, Norm, Pass, Tensor, cut};
use crate::error::Error;
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
        }
    }
}

/// The matrices of all experts for one purpose.
struct Stack {
    /// One tensor for all, or one for each.
    tensors: Vec<Tensor>,
    /// A bias for each expert, one after the other.
    bias: Option<Vec<f32>>,
}

impl Stack {
    fn load(
        at: &mut LayerTensors<'_, '_>,
        part: &str,
        [cols, rows, count]: [usize; 3],
    ) -> Result<Self, Error> {
        let name = format!("ffn_{part}_exps");
        let single = |expert: usize| format!("ffn_{part}.{expert}.weight");
        let tensors = if !at.has(&format!("{name}.weight")) && at.has(&single(0)) {
            let each = (0..count).map(|expert| at.tensor(&single(expert), &[cols, rows]));
            each.collect::<Result<_, _>>()?
        } else {
            vec![at.tensor(&format!("{name}.weight"), &[cols, rows, count])?]
        };
        let bias = at.opt_values(&format!("{name}.bias"), &[rows, count])?;
        Ok(Self { tensors, bias })
    }

    /// Some of each expert's rows.
    fn row_range(&self, first: usize, rows: usize) -> Self {
        let all = self.rows();
        let bias = self.bias.as_ref().map(|bias| {
            let experts = bias.chunks_exact(all);
            experts
                .flat_map(|bias| &bias[first..first + rows])
                .copied()
                .collect()
        });
        let tensors = self.tensors.iter();
        Self {
            tensors: tensors.map(|t| t.row_range(first, rows)).collect(),
            bias,
        }
    }

    fn rows(&self) -> usize {
        self.tensors[0].rows
    }

    fn matrix<'a>(&self, pass: &Pass<'a>, expert: usize) -> Matrix<'a> {
        match self.tensors.get(expert) {
            Some(tensor) if self.tensors.len() > 1 => tensor.matrix(pass.gguf),
            _ => self.tensors[0].slice(pass.gguf, expert),
        }
    }

    /// Adds the expert's bias to each row of `out`, if there is one.
    fn add_bias(&self, pass: &Pass<'_>, expert: usize, out: &mut [f32]) {
        if let Some(bias) = &self.bias {
            let bias = &bias[expert * self.rows()..][..self.rows()];
            let with = pass.compute.floats();
            for row in out.chunks_exact_mut(bias.len()) {
                ops::add(with, row, bias);
            }
        }
    }
}

impl Part for Experts {
    fn load(self, at: &mut LayerTensors<'_, '_>) -> Result<Box<dyn Mixer>, Error> {
        let (width, count) = (at.width(), self.router.count);
        let hidden = match at.number("expert_feed_forward_length")? {
            Some(hidden) if hidden > 0 => hidden,
            _ => at.count("feed_forward_length")?,
        };
        let up = [width, hidden, count];
        let (gate, up) = if !self.gated {
            (None, Stack::load(at, "up", up)?)
        } else if at.has("ffn_gate_up_exps.weight") {
            let both = Stack::load(at, "gate_up", [width, 2 * hidden, count])?;
            (
                Some(both.row_range(0, hidden)),
                both.row_range(hidden, hidden),
            )
        } else {
            (
                Some(Stack::load(at, "gate", up)?),
                Stack::load(at, "up", up)?,
            )
        };
        Ok(Box::new(MixtureOfExperts {
            spec: self,
            router: at.linear("ffn_gate_inp", width, count)?,
            bias: match at.opt_vector("exp_probs_b.bias", count)? {
                None => at.opt_vector("exp_probs_b", count)?,
                bias => bias,
            },
            gate,
            up,
            down: Stack::load(at, "down", [hidden, width, count])?,
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

struct MixtureOfExperts {
    spec: Experts,
    router: Linear,
    /// Has a part in the choice.
    bias: Option<Vec<f32>>,
    gate: Option<Stack>,
    up: Stack,
    down: Stack,
    /// On what each expert gives.
    factors: Option<Vec<f32>>,
    /// Of what the experts and of what the router is given, if they are not given the same.
    norms: Option<[Norm; 2]>,
    width: usize,
}

impl MixtureOfExperts {
    /// One expert's feed-forward of `n` gathered rows.
    fn run(
        &self,
        pass: &mut Pass<'_>,
        expert: usize,
        x: &[f32],
        hidden: &mut [f32],
        second: &mut [f32],
        out: &mut [f32],
    ) {
        let n = x.len() / self.width;
        let activation = self.spec.activation;
        let up = self.up.matrix(pass, expert);
        let with = pass.compute.floats();
        match &self.gate {
            Some(gate) if gate.bias.is_none() && self.up.bias.is_none() => {
                let gate = gate.matrix(pass, expert);
                pass.compute
                    .gated_matmul(x, n, gate, up, activation, hidden);
            }
            Some(gate) => {
                let mut products = [
                    Product {
                        weights: gate.matrix(pass, expert),
                        out: &mut *hidden,
                    },
                    Product {
                        weights: up,
                        out: &mut *second,
                    },
                ];
                pass.compute.matmul(x, n, &mut products);
                gate.add_bias(pass, expert, hidden);
                self.up.add_bias(pass, expert, second);
                ops::gated(with, activation, hidden, second);
            }
            None => {
                let weights = up;
                let out = &mut *hidden;
                pass.compute.matmul(x, n, &mut [Product { weights, out }]);
                self.up.add_bias(pass, expert, hidden);
                activation.apply(with, hidden);
            }
        }
        let weights = self.down.matrix(pass, expert);
        let product = Product {
            weights,
            out: &mut *out,
        };
        pass.compute.matmul(hidden, n, &mut [product]);
        self.down.add_bias(pass, expert, out);
    }
}

impl MixtureOfExperts {
    /// One token's experts, which share the dispatches: gate and up of all, then down of all.
    fn forward_one(
        &self,
        pass: &mut Pass<'_>,
        weights: &[f32],
        x: &[f32],
        out: &mut [f32],
        mut scratch: &mut [f32],
    ) {
        let (hidden, activation) = (self.up.rows(), self.spec.activation);
        let chosen: Vec<usize> = (0..weights.len()).filter(|&e| weights[e] != 0.0).collect();
        let ups = cut(&mut scratch, chosen.len() * hidden);
        let gates = cut(&mut scratch, chosen.len() * hidden);
        let results = cut(&mut scratch, chosen.len() * self.width);
        let with = pass.compute.floats();

        let mut products = Vec::with_capacity(2 * chosen.len());
        for (&expert, out) in chosen.iter().zip(ups.chunks_exact_mut(hidden)) {
            let weights = self.up.matrix(pass, expert);
            products.push(Product { weights, out });
        }
        if let Some(gate) = &self.gate {
            for (&expert, out) in chosen.iter().zip(gates.chunks_exact_mut(hidden)) {
                let weights = gate.matrix(pass, expert);
                products.push(Product { weights, out });
            }
        }
        pass.compute.matmul(x, 1, &mut products);
        for (&expert, out) in chosen.iter().zip(ups.chunks_exact_mut(hidden)) {
            self.up.add_bias(pass, expert, out);
        }
        let inner = if let Some(gate) = &self.gate {
            for (&expert, out) in chosen.iter().zip(gates.chunks_exact_mut(hidden)) {
                gate.add_bias(pass, expert, out);
            }
            ops::gated(with, activation, gates, ups);
            gates
        } else {
            activation.apply(with, ups);
            ups
        };
        let mut products: Vec<Product<'_>> = chosen
            .iter()
            .zip(results.chunks_exact_mut(self.width))
            .map(|(&expert, out)| Product {
                weights: self.down.matrix(pass, expert),
                out,
            })
            .collect();
        pass.compute.matmul_each(inner, 1, &mut products);
        out.fill(0.0);
        for (&expert, result) in chosen.iter().zip(results.chunks_exact_mut(self.width)) {
            self.down.add_bias(pass, expert, result);
            ops::add_scaled(with, out, weights[expert], result);
        }
    }
}

impl Mixer for MixtureOfExperts {
    fn scratch(&self, rows: usize) -> usize {
        let of_expert = 2 * self.width + 2 * self.up.rows();
        let one = self.spec.router.used * (2 * self.up.rows() + self.width);
        let normed = self.norms.as_ref().map_or(0, |_| self.width);
        rows.saturating_mul(3 * self.spec.router.count + normed)
            .saturating_add(rows.saturating_mul(of_expert).max(one))
    }

    fn is_local(&self) -> bool {
        true
    }

    fn cost(&self) -> Cost {
        let stacks = [&self.up, &self.down].into_iter().chain(&self.gate);
        let expert: Cost = stacks.map(|stack| stack.tensors[0].cost()).sum();
        self.router.cost() + expert * self.spec.router.used as u64
    }

    fn forward(&self, pass: &mut Pass<'_>, x: &[f32], out: &mut [f32], mut scratch: &mut [f32]) {
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
                pass.linear(&self.router, x, scores);
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
        if n == 1 && !self.spec.weigh_inputs {
            return self.forward_one(pass, weights, x, out, scratch);
        }
        let gathered = cut(&mut scratch, n * width);
        let results = cut(&mut scratch, n * width);
        let hidden = cut(&mut scratch, n * self.up.rows());
        let second = cut(&mut scratch, n * self.up.rows());
        out.fill(0.0);
        // Each expert takes all of its tokens at once. A token's experts are added in the order of their numbers, however
        // many tokens there are.
        for expert in 0..experts {
            let weight = |token: usize| weights[token * experts + expert];
            let tokens = || (0..n).filter(|&t| weight(t) != 0.0);
            let mut count = 0;
            for token in tokens() {
                let row = &mut gathered[count * width..][..width];
                row.copy_from_slice(&x[token * width..][..width]);
                if self.spec.weigh_inputs {
                    ops::scale(with, row, weight(token));
                }
                count += 1;
            }
            if count == 0 {
                continue;
            }
            let (gathered, results) = (&gathered[..count * width], &mut results[..count * width]);
            let values = count * self.up.rows();
            let (hidden, second) = (&mut hidden[..values], &mut second[..values]);
            self.run(pass, expert, gathered, hidden, second, results);
            for (token, result) in tokens().zip(results.chunks_exact(width)) {
                let out = &mut out[token * width..][..width];
                if self.spec.weigh_inputs {
                    ops::add(with, out, result);
                } else {
                    ops::add_scaled(with, out, weight(token), result);
                }
            }
        }
    }
}
