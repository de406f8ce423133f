//! Lightning attention (MiniMax-01, arXiv:2501.08313): linear attention whose heads forget at rates of their own, the slower
//! the later the layer.

use gristmill_kernels::isa::float::Rows;
use gristmill_kernels::ops::recurrent::{self, Decay, Head};
use gristmill_kernels::ops::{self, Activation};

use super::{Cost, Linear, Mixer, Norm, Pass, cut};
use crate::cache::FixedId;
use crate::error::Error;
use crate::load::{LayerTensors, Part};

/// With the tensors `attn_qkv` (head by head queries, keys and values), `attn_gate`, `attn_norm_2` of what attention gives,
/// and `attn_output`.
#[derive(Debug, Clone, Copy)]
pub struct LightningAttention;

struct Lightning {
    heads: usize,
    length: usize,
    inputs: Linear,
    gate: Linear,
    /// Factors on the states of the heads.
    decays: Vec<f32>,
    norm: Norm,
    output: Linear,
    state: FixedId,
}

impl Part for LightningAttention {
    fn load(self, at: &mut LayerTensors<'_, '_>) -> Result<Box<dyn Mixer>, Error> {
        let width = at.width();
        let heads = at.count("attention.head_count")?;
        let length = at.loader.head_length()?;
        let row = heads * length;
        Ok(Box::new(Lightning {
            inputs: at.linear("attn_qkv", width, 3 * row)?,
            gate: at.linear("attn_gate", width, row)?,
            decays: decays(heads, at.layer, at.loader.hparams.block_count),
            norm: at.norm("attn_norm_2", row)?,
            output: at.linear("attn_output", row, width)?,
            state: at.fixed(heads, length * length),
            heads,
            length,
        }))
    }
}

/// The slopes of ALiBi are rates in the first layer; they fall evenly to almost nothing in the last.
fn decays(heads: usize, layer: usize, layers: usize) -> Vec<f32> {
    let depth = layer as f32 / (layers - 1).max(1) as f32;
    let rate = 1.0 - depth + 1e-5;
    (1..=heads)
        .map(|head| (-8.0 * head as f32 / heads as f32).exp2())
        .map(|slope| (-slope * rate).exp())
        .collect()
}

impl Mixer for Lightning {
    fn scratch(&self, rows: usize) -> usize {
        rows.saturating_mul(6 * self.heads * self.length)
    }

    fn cost(&self) -> Cost {
        let all = [&self.inputs, &self.gate, &self.output];
        all.into_iter().map(Linear::cost).sum()
    }

    fn forward(&self, pass: &mut Pass<'_>, x: &[f32], out: &mut [f32], mut scratch: &mut [f32]) {
        let (n, length) = (pass.n, self.length);
        let row = self.heads * length;
        let inputs = cut(&mut scratch, n * 3 * row);
        let [gate, read, normed] = [(); 3].map(|()| cut(&mut scratch, n * row));
        let with = pass.compute.floats();
        pass.linears(x, [(&self.inputs, &mut *inputs), (&self.gate, &mut *gate)]);
        pass.each_row(3 * row, inputs, |_, row| Activation::Silu.apply(with, row));

        let inputs = &*inputs;
        for run in pass.runs {
            let state = pass.states.fixed(self.state, run.sequence);
            let inputs = run.of(inputs, 3 * row);
            let read = run.of_mut(read, row);
            let head = Head {
                tokens: run.n,
                keys: length,
                values: length,
            };
            pass.compute.heads(run.n, length, read, |number, out| {
                let [q, k, v] = [0, 1, 2].map(|part| Rows {
                    data: &inputs[(3 * number + part) * length..],
                    width: 3 * row,
                });
                let decay = Decay::Constant(self.decays[number]);
                let linear = recurrent::Linear { q, k, v, decay };
                recurrent::linear_attention(with, head, linear, &mut state.part(number), out);
            });
        }
        self.norm.forward(pass, read, normed);
        let normed = &*normed;
        pass.each_row(row, gate, |number, gate| {
            let normed = &normed[number * row..][..row];
            ops::gated(with, Activation::Sigmoid, gate, normed);
        });
        pass.linear(&self.output, gate, out);
    }
}
