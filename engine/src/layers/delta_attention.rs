//! Kimi Delta Attention (arXiv:2510.26692): the delta rule with a decay for each channel of a key, and convolutions of
//! queries, keys and values. Decays and gates come by two low-rank matrices each, or by one of full rank.

use gristmill_kernels::isa::float::{Floats, Rows};
use gristmill_kernels::ops::recurrent::{self, Decay, Delta, Head};
use gristmill_kernels::ops::{self, Activation};

use super::conv::Conv;
use super::{Cost, Linear, Mixer, Norm, Pass, cut};
use crate::cache::FixedId;
use crate::error::Error;
use crate::load::{LayerTensors, Part};

/// With the tensors `attn_q`, `attn_k`, `attn_v`, `ssm_conv1d_q`, `_k` and `_v`, `ssm_f_a` and `ssm_f_b` or `ssm_f_a` alone
/// (decays), `ssm_g_a` and `ssm_g_b`, `ssm_g_a` alone or `ssm_g` (gate), `ssm_beta`, `ssm_dt.bias`, `ssm_a`, `ssm_norm`,
/// `attn_output`.
#[derive(Debug, Clone, Copy)]
pub struct DeltaAttention {
    /// What makes logarithms of decays of what the matrices give.
    pub decay: LogDecay,
}

/// From what the matrices and the bias give, y, and the rate of a head, r (`ssm_a`), to the logarithm of a decay.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum LogDecay {
    /// r · softplus(y), with negative rates: as small as it gets.
    Unbounded,
    /// least · sigmoid(factor · r · y): never below `least`.
    Bounded {
        /// The bound, negative (`kda.gate_lower_bound`).
        least: f32,
        /// 1, or -1 where the file has the rates negated.
        factor: f32,
    },
}

/// A matrix of full rank, or two over as few values as a head has.
struct Ranked {
    first: Linear,
    second: Option<Linear>,
}

impl Ranked {
    /// The first of `names` that the file has is the only matrix, or the first of two; the second is `second`.
    fn load(
        at: &mut LayerTensors<'_, '_>,
        names: &[&str],
        second: &str,
        [width, rank, rows]: [usize; 3],
    ) -> Result<Self, Error> {
        let has = |name: &str| at.has(&format!("{name}.weight"));
        let found = names.iter().find(|name| has(name));
        let first = found.unwrap_or(&names[0]);
        if !has(second) {
            return Ok(Self {
                first: at.linear(first, width, rows)?,
                second: None,
            });
        }
        Ok(Self {
            first: at.linear(first, width, rank)?,
            second: Some(at.linear(second, rank, rows)?),
        })
    }

    fn linears(&self) -> impl Iterator<Item = &Linear> {
        [&self.first].into_iter().chain(&self.second)
    }

    /// `out` = what the matrices make of the rows of `x`, by way of `low`.
    fn forward(&self, pass: &mut Pass<'_>, x: &[f32], low: &mut [f32], out: &mut [f32]) {
        match &self.second {
            None => pass.linear(&self.first, x, out),
            Some(second) => {
                pass.linear(&self.first, x, low);
                pass.linear(second, low, out);
            }
        }
    }
}

struct KimiDelta {
    heads: usize,
    length: usize,
    inputs: [Linear; 3],
    convs: [Conv; 3],
    decay: Ranked,
    log_decay: LogDecay,
    gate: Ranked,
    strength: Linear,
    /// Added to what `decay` gives.
    decay_bias: Vec<f32>,
    /// Of each head.
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
        let shape = [width, length, rows];
        Ok(Box::new(KimiDelta {
            inputs,
            convs: [
                Conv::load(at, "ssm_conv1d_q", taps, rows)?,
                Conv::load(at, "ssm_conv1d_k", taps, rows)?,
                Conv::load(at, "ssm_conv1d_v", taps, rows)?,
            ],
            decay: Ranked::load(at, &["ssm_f_a"], "ssm_f_b", shape)?,
            log_decay: self.decay,
            gate: Ranked::load(at, &["ssm_g_a", "ssm_g"], "ssm_g_b", shape)?,
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
        let pairs = self.decay.linears().chain(self.gate.linears());
        self.inputs
            .iter()
            .chain(pairs)
            .chain([&self.strength, &self.output])
    }

    /// Logarithms of decays, in place of what the matrices and the bias give.
    fn log_decays(&self, with: Floats, row: &mut [f32]) {
        if self.log_decay == LogDecay::Unbounded {
            Activation::Softplus.apply(with, row);
        }
        let factor = match self.log_decay {
            LogDecay::Unbounded => 1.0,
            LogDecay::Bounded { factor, .. } => factor,
        };
        for (head, &rate) in row.chunks_exact_mut(self.length).zip(&self.rates) {
            ops::scale(with, head, factor * rate);
        }
        if let LogDecay::Bounded { least, .. } = self.log_decay {
            Activation::Sigmoid.apply(with, row);
            ops::scale(with, row, least);
        }
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
        self.decay.forward(pass, x, low, decay);
        pass.each_row(row, decay, |_, row| {
            ops::add(with, row, &self.decay_bias);
            self.log_decays(with, row);
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
        self.gate.forward(pass, x, low, gate);
        ops::gated(with, Activation::Sigmoid, gate, normed);
        pass.linear(&self.output, gate, out);
    }
}
