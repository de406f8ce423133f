//! Gated DeltaNet (arXiv:2412.06464), linear attention whose state forgets, and corrects what it would have answered.

use gristmill_kernels::isa::float::Rows;
use gristmill_kernels::ops::recurrent::{self, Decay, Delta, Head};
use gristmill_kernels::ops::{self, Activation};

use super::conv::Conv;
use super::{Cost, Linear, Mixer, Norm, Pass, copy, cut};
use crate::cache::FixedId;
use crate::error::Error;
use crate::load::{LayerTensors, Part};

/// Gated DeltaNet as in Qwen 3-Next and 3.5: `attn_qkv` and `attn_gate` (in older files both in one, `ssm_in`), strengths and
/// decays (`ssm_beta` and `ssm_alpha`, or both in one, `ssm_ba`), a convolution, `ssm_norm`, `ssm_out`.
#[derive(Debug, Clone, Copy)]
pub struct DeltaNet {
    /// Value heads that share a key head follow each other; if not, they lie as many apart as there are key heads.
    pub neighbours_share: bool,
}

struct Sizes {
    /// Heads of queries and keys.
    keys: usize,
    /// Heads of values, a multiple.
    values: usize,
    key_length: usize,
    value_length: usize,
}

/// Matrices that some files have in one, which then holds the shares of each key head together.
enum Inputs {
    /// One matrix for each purpose.
    Apart(Vec<Linear>),
    /// Rows for each purpose, key head by key head.
    Together(Linear),
}

/// How rows that are computed together are shared out.
#[derive(Clone, Copy)]
struct Shares<'s> {
    /// Key heads, whose rows lie together.
    heads: usize,
    /// Rows of a head for each purpose.
    sizes: &'s [usize],
    /// Purposes whose rows go to the first output; the others' go to the second.
    first: usize,
}

impl Inputs {
    fn linears(&self) -> &[Linear] {
        match self {
            Self::Apart(all) => all,
            Self::Together(one) => std::slice::from_ref(one),
        }
    }

    /// Rows that are computed before they are sorted.
    fn scratch(&self) -> usize {
        match self {
            Self::Apart(_) => 0,
            Self::Together(all) => all.weight.rows,
        }
    }

    /// Both outputs, in which the purposes follow each other.
    fn forward(
        &self,
        pass: &mut Pass<'_>,
        x: &[f32],
        shares: Shares<'_>,
        outs: [&mut [f32]; 2],
        mut scratch: &mut [f32],
    ) {
        let Shares {
            heads,
            sizes,
            first,
        } = shares;
        let n = pass.n;
        match self {
            Self::Apart(all) => {
                for (linear, out) in all.iter().zip(outs) {
                    pass.linear(linear, x, out);
                }
            }
            Self::Together(all) => {
                let row = all.weight.rows;
                let mixed = cut(&mut scratch, n * row);
                pass.linear(all, x, mixed);
                let [one, two] = outs;
                let group = row / heads;
                let mut from = 0;
                let (mut at, mut second) = (0, 0);
                for (number, &size) in sizes.iter().enumerate() {
                    let (out, to) = if number < first {
                        (&mut *one, &mut at)
                    } else {
                        (&mut *two, &mut second)
                    };
                    let width = out.len() / n;
                    for token in 0..n {
                        let mixed = &mixed[token * row + from..(token + 1) * row];
                        let out = &mut out[token * width + *to..][..heads * size];
                        copy(heads, size, (mixed, group), (out, size));
                    }
                    *to += heads * size;
                    from += size;
                }
            }
        }
    }
}

struct GatedDeltaNet {
    spec: DeltaNet,
    sizes: Sizes,
    /// Queries, keys and values; and the gate.
    inputs: Inputs,
    /// Strengths; and decays.
    rates: Inputs,
    /// Added to decays.
    decay_bias: Vec<f32>,
    /// Factors on decays, negative.
    decay: Vec<f32>,
    conv: Conv,
    norm: Norm,
    output: Linear,
    state: FixedId,
}

impl Part for DeltaNet {
    fn load(self, at: &mut LayerTensors<'_, '_>) -> Result<Box<dyn Mixer>, Error> {
        let (keys, width) = (at.keys(), at.width());
        let (key_heads, heads) = (
            keys.count("ssm.group_count")?,
            keys.count("ssm.time_step_rank")?,
        );
        let inner = keys.count("ssm.inner_size")?;
        if !heads.is_multiple_of(key_heads) || !inner.is_multiple_of(heads) {
            let problem = format!(
                "is {heads}, and must be a multiple of group_count ({key_heads}) and divide inner_size ({inner})"
            );
            return Err(keys.wrong("ssm.time_step_rank", problem));
        }
        let sizes = Sizes {
            keys: key_heads,
            values: heads,
            key_length: keys.count("ssm.state_size")?,
            value_length: inner / heads,
        };
        let key = sizes.keys * sizes.key_length;
        let channels = 2 * key + inner;
        let inputs = if at.has("attn_qkv.weight") {
            at.ignore("ssm_in.");
            Inputs::Apart(vec![
                at.linear("attn_qkv", width, channels)?,
                at.linear("attn_gate", width, inner)?,
            ])
        } else {
            Inputs::Together(at.linear("ssm_in", width, channels + inner)?)
        };
        let rates = if at.has("ssm_ba.weight") {
            Inputs::Together(at.linear("ssm_ba", width, 2 * heads)?)
        } else {
            Inputs::Apart(vec![
                at.linear("ssm_beta", width, heads)?,
                at.linear("ssm_alpha", width, heads)?,
            ])
        };
        let taps = keys.count("ssm.conv_kernel")?;
        Ok(Box::new(GatedDeltaNet {
            inputs,
            rates,
            decay_bias: at.vector("ssm_dt.bias", heads)?,
            decay: at.vector("ssm_a", heads)?,
            conv: Conv::load(at, "ssm_conv1d", taps, channels)?,
            norm: at.norm("ssm_norm", sizes.value_length)?,
            output: at.linear("ssm_out", inner, width)?,
            state: at.fixed(heads, sizes.key_length * sizes.value_length),
            sizes,
            spec: self,
        }))
    }
}

impl Mixer for GatedDeltaNet {
    fn scratch(&self, rows: usize) -> usize {
        let Sizes {
            keys,
            values,
            key_length,
            value_length,
        } = self.sizes;
        let channels = 2 * keys * key_length + values * value_length;
        let together = self.inputs.scratch().max(self.rates.scratch());
        rows.saturating_mul(2 * channels + 3 * values * value_length + 2 * values + together)
    }

    fn cost(&self) -> Cost {
        let inputs = self.inputs.linears().iter().chain(self.rates.linears());
        inputs.chain([&self.output]).map(Linear::cost).sum()
    }

    fn forward(&self, pass: &mut Pass<'_>, x: &[f32], out: &mut [f32], mut scratch: &mut [f32]) {
        let Sizes {
            keys,
            values,
            key_length,
            value_length,
        } = self.sizes;
        let n = pass.n;
        let (key, inner) = (keys * key_length, values * value_length);
        let channels = 2 * key + inner;
        let raw = cut(&mut scratch, n * channels);
        let mixed = cut(&mut scratch, n * channels);
        let gate = cut(&mut scratch, n * inner);
        let read = cut(&mut scratch, n * inner);
        let normed = cut(&mut scratch, n * inner);
        let strength = cut(&mut scratch, n * values);
        let decay = cut(&mut scratch, n * values);

        let share = values / keys;
        let of_key = [
            key_length,
            key_length,
            share * value_length,
            share * value_length,
        ];
        let shares = Shares {
            heads: keys,
            sizes: &of_key,
            first: 3,
        };
        let outs = [&mut *raw, &mut *gate];
        self.inputs.forward(pass, x, shares, outs, scratch);
        let shares = Shares {
            heads: keys,
            sizes: &[share, share],
            first: 1,
        };
        let outs = [&mut *strength, &mut *decay];
        self.rates.forward(pass, x, shares, outs, scratch);

        let with = pass.compute.floats();
        Activation::Sigmoid.apply(with, strength);
        for row in decay.chunks_exact_mut(values) {
            ops::add(with, row, &self.decay_bias);
            Activation::Softplus.apply(with, row);
            ops::mul(with, row, &self.decay);
        }
        recurrent::decay_factors(with, decay);
        self.conv.forward(pass, raw, channels, mixed);
        pass.each_row(channels, mixed, |_, row| {
            Activation::Silu.apply(with, row);
            ops::l2_norm(with, &mut row[..2 * key], key_length, self.norm.epsilon);
        });

        let (mixed, strength, decay) = (&*mixed, &*strength, &*decay);
        let scale = 1.0 / (key_length as f32).sqrt();
        for run in pass.runs {
            let state = pass.states.fixed(self.state, run.sequence);
            let mixed = run.of(mixed, channels);
            let (strength, decay) = (run.of(strength, values), run.of(decay, values));
            let rows = |first: usize| Rows {
                data: &mixed[first..],
                width: channels,
            };
            let read = run.of_mut(read, inner);
            let head = Head {
                tokens: run.n,
                keys: key_length,
                values: value_length,
            };
            pass.compute
                .heads(run.n, value_length, read, |number, out| {
                    let key_head = if self.spec.neighbours_share {
                        number / share
                    } else {
                        number % keys
                    };
                    let delta = Delta {
                        q: rows(key_head * key_length),
                        k: rows(key + key_head * key_length),
                        v: rows(2 * key + number * value_length),
                        decay: Decay::PerToken(Rows {
                            data: &decay[number..],
                            width: values,
                        }),
                        beta: Rows {
                            data: &strength[number..],
                            width: values,
                        },
                        scale,
                    };
                    recurrent::gated_delta(with, head, delta, &mut state.part(number), out);
                });
        }
        self.norm.forward(pass, read, normed);
        ops::gated(with, Activation::Silu, gate, normed);
        pass.linear(&self.output, gate, out);
    }
}
