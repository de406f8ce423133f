//! Feed-forwards: down(act(up x)), or gated (Shazeer 2020, arXiv:2002.05202): down(act(gate x) · up x).

use gristmill_kernels::isa::float::Floats;
use gristmill_kernels::ops::{self, Activation};

use super::{Cost, Linear, Mixer, Pass, cut};
use crate::error::Error;
use crate::load::{LayerTensors, Part};

/// A feed-forward with the tensors `ffn_gate`, `ffn_up` and `ffn_down`; in some files `ffn_up` holds the gate, too, before
/// its own rows.
#[derive(Debug, Clone, Copy)]
pub struct FeedForward {
    /// Between the matrices.
    pub activation: Activation,
    /// Whether there is a gate.
    pub gated: bool,
    /// End of the tensors' names.
    pub suffix: &'static str,
    /// Its output is multiplied by the sigmoid of this matrix of one row.
    pub weighted_by: Option<&'static str>,
    /// Biases have no effect, as in the models' own code.
    pub ignores_biases: bool,
    /// Gates go to the activation less a threshold, and not below 0: their mean plus this number of standard deviations.
    pub sparsity: Option<f32>,
}

impl FeedForward {
    /// SwiGLU, GeGLU and their kin.
    pub fn gated(activation: Activation) -> Self {
        Self {
            activation,
            gated: true,
            suffix: "",
            weighted_by: None,
            ignores_biases: false,
            sparsity: None,
        }
    }

    /// Two matrices.
    pub fn plain(activation: Activation) -> Self {
        Self {
            gated: false,
            ..Self::gated(activation)
        }
    }

    /// The expert that every token goes through, beside those that are chosen.
    pub fn shared(self) -> Self {
        Self {
            suffix: "_shexp",
            ..self
        }
    }
}

impl Part for FeedForward {
    fn load(self, at: &mut LayerTensors<'_, '_>) -> Result<Box<dyn Mixer>, Error> {
        let width = at.width();
        let name = |part: &str| format!("ffn_{part}{}", self.suffix);
        // Some architectures' keys mean another width than that of the tensors.
        let hidden = match at.dims(&format!("{}.weight", name("down"))) {
            Some(dims) => dims[0] as usize,
            None => return Err(at.missing(&format!("{}.weight", name("down")))),
        };
        let weight = match self.weighted_by {
            Some(name) => Some(at.linear(name, width, 1)?),
            None => None,
        };
        let linear = |at: &mut LayerTensors<'_, '_>, part: &str, cols: usize, rows: usize| {
            let mut linear = at.linear(&name(part), cols, rows)?;
            linear.bias = linear.bias.filter(|_| !self.ignores_biases);
            Ok::<Linear, Error>(linear)
        };
        let down = linear(at, "down", hidden, width)?;
        if !self.gated {
            let divisors = at.opt_vector("ffn.act.scales", hidden)?;
            return Ok(Box::new(Plain {
                up: linear(at, "up", width, hidden)?,
                down,
                activation: self.activation,
                factors: divisors.map(|values| values.iter().map(|x| 1.0 / x).collect()),
                weight,
            }));
        }
        let [gate, up] = if at.has(&format!("{}.weight", name("gate"))) {
            [
                linear(at, "gate", width, hidden)?,
                linear(at, "up", width, hidden)?,
            ]
        } else {
            linear(at, "up", width, 2 * hidden)?.parts([hidden, hidden])
        };
        Ok(Box::new(Gated {
            gate,
            up,
            down,
            activation: self.activation,
            sparsity: self.sparsity,
            weight,
        }))
    }
}

struct Plain {
    up: Linear,
    down: Linear,
    activation: Activation,
    /// On what the activation gives.
    factors: Option<Vec<f32>>,
    weight: Option<Linear>,
}

struct Gated {
    gate: Linear,
    up: Linear,
    down: Linear,
    activation: Activation,
    sparsity: Option<f32>,
    weight: Option<Linear>,
}

/// Leaves what is above the mean of `x` by more than `most` standard deviations, the excess alone.
fn excess(with: Floats, x: &mut [f32], most: f32) {
    let (mean, squares) = ops::deviations(with, x);
    let deviation = (squares / (x.len() - 1).max(1) as f32).sqrt();
    ops::scale_add(with, x, 1.0, -(mean + most * deviation));
    Activation::Relu.apply(with, x);
}

/// Multiplies rows by the sigmoid of a product of their own, if there is a matrix for it.
fn weigh(
    pass: &mut Pass<'_>,
    weight: &Option<Linear>,
    x: &[f32],
    out: &mut [f32],
    scratch: &mut [f32],
) {
    let Some(weight) = weight else { return };
    let weights = &mut scratch[..pass.n];
    pass.linear(weight, x, weights);
    let with = pass.compute.floats();
    Activation::Sigmoid.apply(with, weights);
    let weights = &*weights;
    pass.each_row(out.len() / pass.n, out, |row, out| {
        ops::scale(with, out, weights[row]);
    });
}

impl Mixer for Plain {
    fn scratch(&self, rows: usize) -> usize {
        rows.saturating_mul(self.up.weight.rows.max(1))
    }

    fn is_local(&self) -> bool {
        true
    }

    fn cost(&self) -> Cost {
        let all = [&self.up, &self.down].into_iter().chain(&self.weight);
        all.map(Linear::cost).sum()
    }

    fn forward(&self, pass: &mut Pass<'_>, x: &[f32], out: &mut [f32], scratch: &mut [f32]) {
        let rows = self.up.weight.rows;
        let hidden = &mut scratch[..pass.n * rows];
        pass.linear(&self.up, x, hidden);
        let with = pass.compute.floats();
        pass.each_row(rows, hidden, |_, row| {
            self.activation.apply(with, row);
            if let Some(factors) = &self.factors {
                ops::mul(with, row, factors);
            }
        });
        pass.linear(&self.down, hidden, out);
        weigh(pass, &self.weight, x, out, scratch);
    }
}

impl Mixer for Gated {
    fn scratch(&self, rows: usize) -> usize {
        rows.saturating_mul(2 * self.up.weight.rows)
    }

    fn is_local(&self) -> bool {
        true
    }

    fn cost(&self) -> Cost {
        let all = [&self.gate, &self.up, &self.down];
        let all = all.into_iter().chain(&self.weight);
        all.map(Linear::cost).sum()
    }

    fn forward(&self, pass: &mut Pass<'_>, x: &[f32], out: &mut [f32], scratch: &mut [f32]) {
        let mut rest = &mut *scratch;
        let rows = self.up.weight.rows;
        let hidden = cut(&mut rest, pass.n * rows);
        let plain = |linear: &Linear| linear.bias.is_none() && !linear.weight.is_adapted();
        if plain(&self.gate) && plain(&self.up) && self.sparsity.is_none() {
            let (gate, up) = (
                self.gate.weight.matrix(pass.gguf),
                self.up.weight.matrix(pass.gguf),
            );
            pass.compute
                .gated_matmul(x, pass.n, gate, up, self.activation, hidden);
        } else {
            let up = cut(&mut rest, hidden.len());
            pass.linears(x, [(&self.gate, &mut *hidden), (&self.up, &mut *up)]);
            let with = pass.compute.floats();
            if let Some(most) = self.sparsity {
                pass.each_row(rows, hidden, |_, row| excess(with, row, most));
            }
            ops::gated(with, self.activation, hidden, up);
        }
        pass.linear(&self.down, hidden, out);
        weigh(pass, &self.weight, x, out, scratch);
    }
}
