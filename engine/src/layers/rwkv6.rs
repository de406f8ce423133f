//! The time mix of RWKV 6 (arXiv:2404.05892): how a position is mixed with the one before it, and how fast each channel
//! forgets, depend on the position.

use gristmill_kernels::isa::float::Rows;
use gristmill_kernels::ops::recurrent::{self, Head, Wkv6};
use gristmill_kernels::ops::{self, Activation};

use super::rwkv::{LowRank, Shift, head_norm, heads};
use super::{Cost, Linear, Mixer, Norm, Pass, cut};
use crate::cache::FixedId;
use crate::error::Error;
use crate::load::{LayerTensors, Part};

/// With the tensors `time_mix_lerp_x`, `time_mix_w1` and `time_mix_w2` (how positions are mixed), `time_mix_lerp_fused` (in
/// older files `time_mix_lerp_w`, `_k`, `_v`, `_r` and `_g`), `time_mix_decay`, `time_mix_decay_w1` and `time_mix_decay_w2`,
/// `time_mix_first`, `time_mix_key`, `time_mix_value`, `time_mix_receptance`, `time_mix_gate`, `time_mix_ln`,
/// `time_mix_output`.
#[derive(Debug, Clone, Copy)]
pub struct TimeMix6;

/// In the order of decay, key, value, receptance and gate.
const MIXED: usize = 5;

struct Times {
    length: usize,
    heads: usize,
    shift: Shift,
    /// Mixes what the other mixes are made of.
    mix_mix: Vec<f32>,
    mix_down: [Linear; MIXED],
    /// With what is added to each mix as biases.
    mix_up: [Linear; MIXED],
    decay: LowRank,
    /// Key, value, receptance and gate.
    inputs: [Linear; MIXED - 1],
    bonus: Vec<f32>,
    norm: Norm,
    output: Linear,
    state: FixedId,
}

impl Part for TimeMix6 {
    fn load(self, at: &mut LayerTensors<'_, '_>) -> Result<Box<dyn Mixer>, Error> {
        let (keys, width) = (at.keys(), at.width());
        let (length, heads) = heads(at)?;
        let rank = keys.count("time_mix_extra_dim")?;
        let fused = at.opt_values("time_mix_lerp_fused.weight", &[width, 1, 1, MIXED])?;
        let mixes = match fused {
            Some(mixes) => mixes,
            None => {
                let mut mixes = Vec::with_capacity(MIXED * width);
                for letter in ["w", "k", "v", "r", "g"] {
                    let name = format!("time_mix_lerp_{letter}.weight");
                    mixes.extend(at.vector(&name, width)?);
                }
                mixes
            }
        };
        let stack = at.tensor("time_mix_w2.weight", &[rank, width, MIXED])?;
        let mix_up = std::array::from_fn(|number| Linear {
            weight: stack.of_stack(number),
            bias: Some(mixes[number * width..][..width].to_vec()),
        });
        let bonus = at.opt_values("time_mix_first.weight", &[length, heads])?;
        let bonus = bonus.ok_or_else(|| at.missing("time_mix_first.weight"))?;
        let decay = ["time_mix_decay_w1", "time_mix_decay_w2"];
        Ok(Box::new(Times {
            shift: Shift::new(at),
            mix_mix: at.vector("time_mix_lerp_x.weight", width)?,
            mix_down: at
                .linear("time_mix_w1", width, MIXED * rank)?
                .parts([rank; MIXED]),
            mix_up,
            decay: LowRank::load(at, decay, Activation::Tanh, Some("time_mix_decay"))?,
            inputs: [
                at.linear("time_mix_key", width, width)?,
                at.linear("time_mix_value", width, width)?,
                at.linear("time_mix_receptance", width, width)?,
                at.linear("time_mix_gate", width, width)?,
            ],
            bonus,
            norm: head_norm(at, length)?,
            output: at.linear("time_mix_output", width, width)?,
            state: at.fixed(heads, length * length),
            length,
            heads,
        }))
    }
}

impl Mixer for Times {
    fn scratch(&self, rows: usize) -> usize {
        let rank = self.mix_down[0].weight.rows;
        let width = self.heads * self.length;
        rows.saturating_mul((2 * MIXED + 1) * width + MIXED * rank + self.decay.rank())
    }

    fn cost(&self) -> Cost {
        let mixes = self.mix_down.iter().chain(&self.mix_up);
        let all = mixes.chain(&self.inputs).chain([&self.output]);
        all.map(Linear::cost).sum::<Cost>() + self.decay.cost()
    }

    fn forward(&self, pass: &mut Pass<'_>, x: &[f32], out: &mut [f32], mut scratch: &mut [f32]) {
        let (n, length) = (pass.n, self.length);
        let width = self.heads * length;
        let rank = self.mix_down[0].weight.rows;
        let with = pass.compute.floats();
        let shift = cut(&mut scratch, n * width);
        let mut mixed = [(); MIXED].map(|()| cut(&mut scratch, n * width));
        let mut low = [(); MIXED].map(|()| cut(&mut scratch, n * rank));
        let [decay, key, value, receptance, gate] =
            [(); MIXED].map(|()| cut(&mut scratch, n * width));
        let decay_low = scratch;

        self.shift.forward(pass, x, shift);
        let all = &mut *mixed[0];
        self.shift.mix(pass, x, shift, &self.mix_mix, all);
        let [a, b, c, d, e] = &mut low;
        let [da, db, dc, dd, de] = &self.mix_down;
        pass.linears(
            all,
            [
                (da, &mut **a),
                (db, &mut **b),
                (dc, &mut **c),
                (dd, &mut **d),
                (de, &mut **e),
            ],
        );
        let shift = &*shift;
        for ((low, up), mixed) in low.iter_mut().zip(&self.mix_up).zip(&mut mixed) {
            pass.each_row(rank, low, |_, row| Activation::Tanh.apply(with, row));
            pass.linear(up, low, mixed);
            pass.each_row(width, mixed, |row, mixed| {
                let at = row * width..(row + 1) * width;
                ops::mul(with, mixed, &shift[at.clone()]);
                ops::add(with, mixed, &x[at]);
            });
        }
        self.decay.forward(pass, mixed[0], decay_low, decay);
        pass.each_row(width, decay, |_, row| {
            recurrent::decay_factors(with, row);
            ops::scale(with, row, -1.0);
            recurrent::decay_factors(with, row);
        });
        let outs = [&mut *key, &mut *value, &mut *receptance, &mut *gate];
        for ((linear, mixed), out) in self.inputs.iter().zip(&mixed[1..]).zip(outs) {
            pass.linear(linear, mixed, out);
        }

        let [read, normed, ..] = mixed;
        let [decay, key, value, receptance] = [decay, key, value, receptance].map(|x| &*x);
        for run in pass.runs {
            let state = pass.states.fixed(self.state, run.sequence);
            let [decay, key, value, receptance] =
                [decay, key, value, receptance].map(|x| run.of(x, width));
            let read = run.of_mut(read, width);
            let head = Head {
                tokens: run.n,
                keys: length,
                values: length,
            };
            pass.compute.heads(run.n, length, read, |number, out| {
                let first = number * length;
                let rows = |data| Rows { data, width };
                let wkv = Wkv6 {
                    r: rows(&receptance[first..]),
                    w: rows(&decay[first..]),
                    k: rows(&key[first..]),
                    v: rows(&value[first..]),
                    u: &self.bonus[first..][..length],
                };
                recurrent::wkv6(with, head, wkv, &mut state.part(number), out);
            });
        }
        self.norm.forward(pass, read, normed);
        let normed = &*normed;
        pass.each_row(width, gate, |row, gate| {
            ops::gated(
                with,
                Activation::Silu,
                gate,
                &normed[row * width..][..width],
            );
        });
        pass.linear(&self.output, gate, out);
    }
}
