//! Gated feed-forward (Shazeer 2020, arXiv:2002.05202): down(act(gate x) * up x).

use gristmill_kernels::ops::{self, Activation};

use super::{Cost, Layer, Linear, Pass, cut};

/// Three matrices and an activation: SwiGLU, GeGLU and their kin.
#[derive(Debug)]
pub struct GatedFeedForward {
    pub(crate) gate: Linear,
    pub(crate) up: Linear,
    pub(crate) down: Linear,
    pub(crate) activation: Activation,
}

impl Layer for GatedFeedForward {
    fn scratch(&self) -> usize {
        2 * self.up.weight.rows
    }

    fn is_local(&self) -> bool {
        true
    }

    fn cost(&self) -> Cost {
        [&self.gate, &self.up, &self.down]
            .into_iter()
            .map(Linear::cost)
            .sum()
    }

    fn forward(&self, pass: &mut Pass<'_>, x: &[f32], out: &mut [f32], mut scratch: &mut [f32]) {
        let hidden = cut(&mut scratch, pass.n * self.up.weight.rows);
        if self.gate.bias.is_none() && self.up.bias.is_none() {
            let (gate, up) = (
                self.gate.weight.matrix(pass.gguf),
                self.up.weight.matrix(pass.gguf),
            );
            pass.compute
                .gated_matmul(x, pass.n, gate, up, self.activation, hidden);
        } else {
            let up = cut(&mut scratch, hidden.len());
            pass.linears(x, [(&self.gate, &mut *hidden), (&self.up, &mut *up)]);
            ops::gated(pass.compute.floats(), self.activation, hidden, up);
        }
        pass.linear(&self.down, hidden, out);
    }
}
