//! Kimi Delta Attention (arXiv:2510.26692): the delta rule with a decay for each channel of a key, low-rank matrices for
//! decays and gates, and convolutions of queries, keys and values.

use gristmill_kernels::isa::float::Rows;
use gristmill_kernels::ops::recurrent::{self, Decay, Delta, Head};
use gristmill_kernels::ops::{self, Activation};

use super::conv::Conv;
use super::{Cost, Linear, Mixer, Norm, Pass, cut};
use crate::cache::FixedId;
use crate::error::Error;
use crate::load::{LayerTensors, Part};

/// With the tensors `attn_q`, `attn_k`, `attn_v`, `ssm_conv1d_q`, `_k` and `_v`, `ssm_f_a` and `ssm_f_b` (decays), `ssm_g_a`
/// and `ssm_g_b` (gate), `ssm_beta`, `ssm_dt.bias`, `ssm_a`, `ssm_norm`, `attn_output`.
#[derive(Debug, Clone, Copy)]
pub struct DeltaAttention;

struct KimiDelta {
    heads: usize,
    length: usize,
    inputs: [Linear; 3],
    convs: [Conv; 3],
    decay: [Linear; 2],
    gate: [Linear; 2],
    strength: Linear,
    /// Added to decays.
    decay_bias: Vec<f32>,
    /// A factor on the decays of each head, negative.
    rates: Vec<f32>,
    norm: Norm,
    output: Linear,
    state: FixedId,
}

impl Part for DeltaAttention {
    fn load(self, at: &mut LayerTensors<'_, '_>) -> Result<Box<dyn Mixer>, Error> {
        let (keys, width) = (at.keys(), at.width());
        let length = keys.count("kda.head_dim")?;
        let taps = keys.count("ssm.conv_kernel")?;
        // The number of heads of such a layer is 0 in the metadata.
        let rows = match at.dims("attn_q.weight").and_then(|dims| dims.get(1)) {
            Some(&rows) => rows as usize,
            None => return Err(at.missing("attn_q.weight")),
        };
        if !rows.is_multiple_of(length) {
            let problem = format!("is {length}, and does not divide the {rows} rows of attn_q");
            return Err(keys.wrong("kda.head_dim", problem));
        }
        let heads = rows / length;
        let rates = match at.opt_values("ssm_a", &[1, heads]) {
            Ok(Some(rates)) => rates,
            _ => at.vector("ssm_a", heads)?,
        };
        let mut inputs = [
            at.linear("attn_q", width, rows)?,
            at.linear("attn_k", width, rows)?,
            at.linear("attn_v", width, rows)?,
        ];
        // As in the models' own code.
        for linear in &mut inputs {
            linear.bias = None;
        }
        Ok(Box::new(KimiDelta {
            inputs,
            convs: [
                Conv::load(at, "ssm_conv1d_q", taps, rows)?,
                Conv::load(at, "ssm_conv1d_k", taps, rows)?,
                Conv::load(at, "ssm_conv1d_v", taps, rows)?,
            ],
            decay: [
                at.linear("ssm_f_a", width, length)?,
                at.linear("ssm_f_b", length, rows)?,
            ],
            gate: [
                at.linear("ssm_g_a", width, length)?,
                at.linear("ssm_g_b", length, rows)?,
            ],
            strength: at.linear("ssm_beta", width, heads)?,
            decay_bias: at.vector("ssm_dt.bias", rows)?,
            rates,
            norm: at.norm("ssm_norm", length)?,
            output: at.linear("attn_output", rows, width)?,
            state: at.fixed(heads, length * length),
            heads,
            length,
        }))
    }
}

impl KimiDelta {
    fn linears(&self) -> impl Iterator<Item = &Linear> {
        let pairs = self.decay.iter().chain(&self.gate);
        self.inputs
            .iter()
            .chain(pairs)
            .chain([&self.strength, &self.output])
    }
}

impl Mixer for KimiDelta {
    fn scratch(&self, rows: usize) -> usize {
        rows.saturating_mul(8 * self.heads * self.length + self.length + self.heads)
    }

    fn cost(&self) -> Cost {
        self.linears().map(Linear::cost).sum()
    }

    fn forward(&self, pass: &mut Pass<'_>, x: &[f32], out: &mut [f32], mut scratch: &mut [f32]) {
        let (n, heads, length) = (pass.n, self.heads, self.length);
        let row = heads * length;
        let raw = cut(&mut scratch, n * row);
        let mut mixed = [(); 3].map(|()| cut(&mut scratch, n * row));
        let [decay, gate, read, normed] = [(); 4].map(|()| cut(&mut scratch, n * row));
        let low = cut(&mut scratch, n * length);
        let strength = cut(&mut scratch, n * heads);
        let with = pass.compute.floats();

        let inputs = self.inputs.iter().zip(&self.convs);
        for (number, ((linear, conv), mixed)) in inputs.zip(&mut mixed).enumerate() {
            pass.linear(linear, x, raw);
            conv.forward(pass, raw, row, mixed);
            pass.each_row(row, mixed, |_, row| {
                Activation::Silu.apply(with, row);
                if number < 2 {
                    ops::l2_norm(with, row, length, self.norm.epsilon);
                }
            });
        }
        pass.linear(&self.decay[0], x, low);
        pass.linear(&self.decay[1], low, decay);
        pass.each_row(row, decay, |_, row| {
            ops::add(with, row, &self.decay_bias);
            Activation::Softplus.apply(with, row);
            for (head, &rate) in row.chunks_exact_mut(length).zip(&self.rates) {
                ops::scale(with, head, rate);
            }
            recurrent::decay_factors(with, row);
        });
        pass.linear(&self.strength, x, strength);
        Activation::Sigmoid.apply(with, strength);

        let [q, k, v] = mixed.map(|values| &*values);
        let (decay, strength) = (&*decay, &*strength);
        let scale = 1.0 / (length as f32).sqrt();
        for run in pass.runs {
            let state = pass.states.fixed(self.state, run.sequence);
            let [q, k, v, decay] = [q, k, v, decay].map(|rows| run.of(rows, row));
            let strength = run.of(strength, heads);
            let read = run.of_mut(read, row);
            let head = Head {
                tokens: run.n,
                keys: length,
                values: length,
            };
            pass.compute.heads(run.n, length, read, |number, out| {
                let first = number * length;
                let delta = Delta {
                    q: Rows {
                        data: &q[first..],
                        width: row,
                    },
                    k: Rows {
                        data: &k[first..],
                        width: row,
                    },
                    v: Rows {
                        data: &v[first..],
                        width: row,
                    },
                    decay: Decay::PerKey(Rows {
                        data: &decay[number * length..],
                        width: row,
                    }),
                    beta: Rows {
                        data: &strength[number..],
                        width: heads,
                    },
                    scale,
                };
                recurrent::gated_delta(with, head, delta, &mut state.part(number), out);
            });
        }
        self.norm.forward(pass, read, normed);
        pass.linear(&self.gate[0], x, low);
        pass.linear(&self.gate[1], low, gate);
        ops::gated(with, Activation::Sigmoid, gate, normed);
        pass.linear(&self.output, gate, out);
    }
}
