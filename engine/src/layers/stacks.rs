//! The feed-forwards of all experts of a layer, and how those run that were chosen. Flows in: rows, and for each the weights
//! of all experts, zero for those that are not used. Flows out: the weighted sums of what the experts give.

use gristmill_kernels::ops::{self, Activation};
use gristmill_kernels::{Matrix, Product};

use super::{Cost, Pass, Tensor, cut};
use crate::error::Error;
use crate::load::LayerTensors;

/// A gate where there is one, `up` and `down` of each expert.
pub(super) struct Stacks {
    gate: Option<Stack>,
    up: Stack,
    down: Stack,
    activation: Activation,
    /// The weights are for what the experts are given, not for what they give.
    weigh_inputs: bool,
    width: usize,
}

/// What there is to know of [`Stacks`] before their tensors are read.
pub(super) struct StacksSpec {
    /// Of the tensors' names.
    pub ending: &'static str,
    /// Values of what the experts are given, and of what they give.
    pub width: usize,
    pub count: usize,
    /// Rows of `up`.
    pub hidden: usize,
    pub gated: bool,
    pub activation: Activation,
    pub weigh_inputs: bool,
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
        [part, ending]: [&str; 2],
        [cols, rows, count]: [usize; 3],
    ) -> Result<Self, Error> {
        let name = format!("ffn_{part}_{ending}");
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

    /// An expert's product, as [`Pass::adapt`] takes it.
    fn adapted<'s, 'o>(
        &'s self,
        expert: usize,
        out: &'o mut [f32],
    ) -> (&'s Tensor, usize, &'o mut [f32]) {
        match self.tensors.get(expert) {
            Some(tensor) if self.tensors.len() > 1 => (tensor, 0, out),
            _ => (&self.tensors[0], expert, out),
        }
    }

    /// Whether nothing is added to its products.
    fn is_plain(&self) -> bool {
        self.bias.is_none() && !self.tensors.iter().any(Tensor::is_adapted)
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

impl StacksSpec {
    /// Tensors `ffn_gate_{ending}` and so on, [width, hidden, count].
    pub(super) fn load(self, at: &mut LayerTensors<'_, '_>) -> Result<Stacks, Error> {
        let Self {
            ending,
            width,
            count,
            hidden,
            ..
        } = self;
        let up = [width, hidden, count];
        let (gate, up) = if !self.gated {
            (None, Stack::load(at, ["up", ending], up)?)
        } else if at.has(&format!("ffn_gate_up_{ending}.weight")) {
            let both = Stack::load(at, ["gate_up", ending], [width, 2 * hidden, count])?;
            (
                Some(both.row_range(0, hidden)),
                both.row_range(hidden, hidden),
            )
        } else {
            (
                Some(Stack::load(at, ["gate", ending], up)?),
                Stack::load(at, ["up", ending], up)?,
            )
        };
        Ok(Stacks {
            gate,
            up,
            down: Stack::load(at, ["down", ending], [hidden, width, count])?,
            activation: self.activation,
            weigh_inputs: self.weigh_inputs,
            width,
        })
    }
}

impl Stacks {
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
        let activation = self.activation;
        let up = self.up.matrix(pass, expert);
        let with = pass.compute.floats();
        match &self.gate {
            Some(gate) if gate.is_plain() && self.up.is_plain() => {
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
                let parts = [(gate, &mut *hidden), (&self.up, &mut *second)];
                pass.adapt(x, parts.map(|(stack, out)| stack.adapted(expert, out)));
                gate.add_bias(pass, expert, hidden);
                self.up.add_bias(pass, expert, second);
                ops::gated(with, activation, hidden, second);
            }
            None => {
                let weights = up;
                let out = &mut *hidden;
                pass.compute.matmul(x, n, &mut [Product { weights, out }]);
                pass.adapt(x, [self.up.adapted(expert, &mut *hidden)]);
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
        pass.adapt(hidden, [self.down.adapted(expert, &mut *out)]);
        self.down.add_bias(pass, expert, out);
    }

    /// One token's experts, which share the dispatches: gate and up of all, then down of all.
    fn forward_one(
        &self,
        pass: &mut Pass<'_>,
        weights: &[f32],
        x: &[f32],
        out: &mut [f32],
        mut scratch: &mut [f32],
    ) {
        let (hidden, activation) = (self.up.rows(), self.activation);
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
        let of_gate = self.gate.as_ref().map(|gate| (gate, &mut *gates));
        let stacks = [(&self.up, &mut *ups)].into_iter().chain(of_gate);
        let parts = stacks.flat_map(|(stack, outs)| {
            let outs = chosen.iter().zip(outs.chunks_exact_mut(hidden));
            outs.map(move |(&expert, out)| stack.adapted(expert, out))
        });
        pass.adapt(x, parts);
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
        let results = results.chunks_exact_mut(self.width);
        for ((&expert, result), x) in chosen.iter().zip(results).zip(inner.chunks_exact(hidden)) {
            pass.adapt(x, [self.down.adapted(expert, &mut *result)]);
            self.down.add_bias(pass, expert, result);
            ops::add_scaled(with, out, weights[expert], result);
        }
    }
    /// f32 values of scratch for up to `rows` rows with `used` experts each.
    pub(super) fn scratch(&self, rows: usize, used: usize) -> usize {
        let of_expert = 2 * self.width + 2 * self.up.rows();
        let one = used * (2 * self.up.rows() + self.width);
        rows.saturating_mul(of_expert).max(one)
    }

    /// Of one expert.
    pub(super) fn cost(&self) -> Cost {
        let stacks = [&self.up, &self.down].into_iter().chain(&self.gate);
        stacks.map(|stack| stack.tensors[0].cost()).sum()
    }

    /// `out` = the weighted sums of what the chosen experts make of the rows of `x`.
    pub(super) fn forward(
        &self,
        pass: &mut Pass<'_>,
        weights: &[f32],
        x: &[f32],
        out: &mut [f32],
        mut scratch: &mut [f32],
    ) {
        let (n, width) = (pass.n, self.width);
        let experts = weights.len() / n;
        let with = pass.compute.floats();
        if n == 1 && !self.weigh_inputs {
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
                if self.weigh_inputs {
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
                if self.weigh_inputs {
                    ops::add(with, out, result);
                } else {
                    ops::add_scaled(with, out, weight(token), result);
                }
            }
        }
    }
}
