//! The time mix of RWKV 7 (arXiv:2503.14456): what a state holds under a key is replaced in part, and later layers mix their
//! values with those of the first.

use gristmill_kernels::isa::float::Rows;
use gristmill_kernels::ops::recurrent::{self, Head, Wkv7};
use gristmill_kernels::ops::{self, Activation};

use super::rwkv::{LowRank, Shift, head_norm, heads};
use super::{Cost, Linear, Mixer, Norm, Pass, cut};
use crate::cache::FixedId;
use crate::error::Error;
use crate::load::{LayerTensors, Part};

/// With the tensors `time_mix_lerp_fused`, `time_mix_receptance`, `time_mix_key`, `time_mix_value`, low-rank matrices and
/// what is added to what they give (`time_mix_w0`, `_w1` and `_w2` for decays, `a` for how much is replaced, `v` for values
/// of the first layer, `time_mix_g1` and `_g2` for a gate where the file has it), `time_mix_k_k`, `time_mix_k_a`,
/// `time_mix_r_k`, `time_mix_ln` where the file has it, `time_mix_output`.
#[derive(Debug, Clone, Copy)]
pub struct TimeMix7;

/// The root of 1/e: no state fades faster.
const FASTEST: f32 = 0.606_530_7;

struct Times {
    length: usize,
    heads: usize,
    shift: Shift,
    /// In the order of receptance, decay, key, value, replacement and gate.
    mixes: Vec<f32>,
    receptance: Linear,
    decay: LowRank,
    key: Linear,
    value: Linear,
    /// None in the first layer.
    value_mix: Option<LowRank>,
    replacement: LowRank,
    gate: Option<LowRank>,
    /// Makes of keys those whose values are replaced.
    removal: Vec<f32>,
    /// How much of the keys fades with what is not replaced.
    key_mix: Vec<f32>,
    bonus: Vec<f32>,
    norm: Option<Norm>,
    output: Linear,
    state: FixedId,
}

impl Part for TimeMix7 {
    fn load(self, at: &mut LayerTensors<'_, '_>) -> Result<Box<dyn Mixer>, Error> {
        let width = at.width();
        let (length, heads) = heads(at)?;
        let has_gate = at.has("time_mix_g1.weight");
        let name = "time_mix_lerp_fused.weight";
        let mixes = at.opt_values(name, &[width, 1, 1, 5 + usize::from(has_gate)])?;
        let mixes = mixes.ok_or_else(|| at.missing(name))?;
        let gate = if has_gate {
            let names = ["time_mix_g1", "time_mix_g2"];
            Some(LowRank::load(at, names, Activation::Sigmoid, None)?)
        } else {
            None
        };
        let low = |at: &mut LayerTensors<'_, '_>, letter: &str, activation: Activation| {
            let [bias, down, up] = [0, 1, 2].map(|number| format!("time_mix_{letter}{number}"));
            LowRank::load(at, [&down, &up], activation, Some(&bias))
        };
        let value_mix = if at.layer > 0 {
            Some(low(at, "v", Activation::Identity)?)
        } else {
            // Some files have them, for nothing.
            for name in ["time_mix_v0.", "time_mix_v1.", "time_mix_v2."] {
                at.ignore(name);
            }
            None
        };
        let norm = if at.has("time_mix_ln.weight") {
            Some(head_norm(at, length)?)
        } else {
            None
        };
        Ok(Box::new(Times {
            shift: Shift::new(at),
            mixes,
            receptance: at.linear("time_mix_receptance", width, width)?,
            decay: low(at, "w", Activation::Tanh)?,
            key: at.linear("time_mix_key", width, width)?,
            value: at.linear("time_mix_value", width, width)?,
            value_mix,
            replacement: low(at, "a", Activation::Identity)?,
            gate,
            removal: at.vector("time_mix_k_k.weight", width)?,
            key_mix: at.vector("time_mix_k_a.weight", width)?,
            bonus: at.vector("time_mix_r_k.weight", width)?,
            norm,
            output: at.linear("time_mix_output", width, width)?,
            state: at.fixed(heads, length * length),
            length,
            heads,
        }))
    }
}

impl Times {
    fn low_ranks(&self) -> impl Iterator<Item = &LowRank> {
        let optional = self.value_mix.iter().chain(&self.gate);
        [&self.decay, &self.replacement].into_iter().chain(optional)
    }

    /// `v += sigmoid(mix) · (first - v)`, and `mix` holds what was added.
    fn mix_values(&self, pass: &Pass<'_>, mix: &mut [f32], v: &mut [f32], gap: &mut [f32]) {
        let width = self.heads * self.length;
        let with = pass.compute.floats();
        let (first, own) = (&*pass.left, &*v);
        pass.each_row(width, gap, |row, gap| {
            let at = row * width..(row + 1) * width;
            gap.copy_from_slice(&first[at.clone()]);
            ops::add_scaled(with, gap, -1.0, &own[at]);
        });
        let gap = &*gap;
        pass.each_row(width, mix, |row, mix| {
            let gap = &gap[row * width..][..width];
            ops::gated(with, Activation::Sigmoid, mix, gap);
        });
        pass.add(width, v, mix);
    }
}

impl Mixer for Times {
    fn scratch(&self, rows: usize) -> usize {
        let rank = self.low_ranks().map(LowRank::rank).max().unwrap_or(0);
        rows.saturating_mul(10 * self.heads * self.length + rank)
    }

    fn leaves(&self) -> usize {
        self.heads * self.length
    }

    fn cost(&self) -> Cost {
        let all = [&self.receptance, &self.key, &self.value, &self.output];
        let low: Cost = self.low_ranks().map(LowRank::cost).sum();
        all.into_iter().map(Linear::cost).sum::<Cost>() + low
    }

    fn forward(&self, pass: &mut Pass<'_>, x: &[f32], out: &mut [f32], mut scratch: &mut [f32]) {
        let (n, length) = (pass.n, self.length);
        let width = self.heads * length;
        let with = pass.compute.floats();
        let [shift, mixed, r, w, k, v, a, gate, lookup, replace] =
            [(); 10].map(|()| cut(&mut scratch, n * width));
        let low = scratch;

        self.shift.forward(pass, x, shift);
        let mix = |pass: &Pass<'_>, number: usize, mixed: &mut [f32]| {
            let weights = &self.mixes[number * width..][..width];
            self.shift.mix(pass, x, shift, weights, mixed);
        };
        mix(pass, 0, mixed);
        pass.linear(&self.receptance, mixed, r);
        mix(pass, 1, mixed);
        self.decay.forward(pass, mixed, low, w);
        mix(pass, 2, mixed);
        pass.linear(&self.key, mixed, k);
        mix(pass, 3, mixed);
        pass.linear(&self.value, mixed, v);
        match &self.value_mix {
            None => pass.left[..v.len()].copy_from_slice(v),
            Some(value_mix) => {
                value_mix.forward(pass, mixed, low, gate);
                self.mix_values(pass, gate, v, lookup);
            }
        }
        mix(pass, 4, mixed);
        self.replacement.forward(pass, mixed, low, a);
        if let Some(linear) = &self.gate {
            mix(pass, 5, mixed);
            linear.forward(pass, mixed, low, gate);
        }

        pass.each_row(width, w, |_, w| {
            Activation::Sigmoid.apply(with, w);
            ops::scale(with, w, -FASTEST);
            recurrent::decay_factors(with, w);
        });
        pass.each_row(width, a, |_, a| Activation::Sigmoid.apply(with, a));
        pass.each_row(width, lookup, |row, lookup| {
            lookup.copy_from_slice(&k[row * width..][..width]);
            ops::mul(with, lookup, &self.removal);
            ops::l2_norm(with, lookup, length, 1e-12);
            ops::scale(with, lookup, -1.0);
        });
        pass.each_row(width, replace, |row, replace| {
            let at = row * width..(row + 1) * width;
            replace.copy_from_slice(&lookup[at.clone()]);
            ops::mul(with, replace, &a[at]);
            ops::scale(with, replace, -1.0);
        });
        // Of keys, what is not replaced fades.
        pass.each_row(width, a, |_, a| {
            ops::scale_add(with, a, 1.0, -1.0);
            ops::mul(with, a, &self.key_mix);
            ops::scale_add(with, a, 1.0, 1.0);
        });
        pass.each_row(width, k, |row, k| {
            ops::mul(with, k, &a[row * width..][..width]);
        });

        let rows = |data| Rows { data, width };
        let [r, w, k, v, lookup, replace] = [r, w, k, v, lookup, replace].map(|x| &*x);
        for run in pass.runs {
            let state = pass.states.fixed(self.state, run.sequence);
            let [r, w, k, v, lookup, replace] =
                [r, w, k, v, lookup, replace].map(|x| run.of(x, width));
            let mixed = run.of_mut(mixed, width);
            let head = Head {
                tokens: run.n,
                keys: length,
                values: length,
            };
            pass.compute.heads(run.n, length, mixed, |number, out| {
                let first = number * length;
                let wkv = Wkv7 {
                    r: rows(&r[first..]),
                    w: rows(&w[first..]),
                    k: rows(&k[first..]),
                    v: rows(&v[first..]),
                    a: rows(&lookup[first..]),
                    b: rows(&replace[first..]),
                };
                recurrent::wkv7(with, head, wkv, &mut state.part(number), out);
            });
        }
        let read = match &self.norm {
            Some(norm) => {
                norm.forward(pass, mixed, shift);
                shift
            }
            None => mixed,
        };
        pass.each_row(width, read, |row, read| {
            let at = row * width..(row + 1) * width;
            let [r, k, v] = [r, k, v].map(|x| &x[at.clone()]);
            recurrent::wkv7_bonus(with, length, [r, k, &self.bonus], v, read);
            if self.gate.is_some() {
                ops::mul(with, read, &gate[at]);
            }
        });
        pass.linear(&self.output, read, out);
    }
}
