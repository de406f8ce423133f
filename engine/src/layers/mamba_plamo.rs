//! The state-space layer of PLaMo 2 (Preferred Networks 2025, arXiv:2509.04897): heads that forget as one, as in Mamba 2, whose
//! step sizes and what writes and reads the state come out of the convolution, as in Mamba.

use gristmill_kernels::isa::float::Rows;
use gristmill_kernels::ops::recurrent::{self, Head, StateSpace};
use gristmill_kernels::ops::{self, Activation};

use super::conv::Conv;
use super::{Cost, Linear, Mixer, Norm, Pass, copy, cut};
use crate::cache::FixedId;
use crate::error::Error;
use crate::load::{LayerTensors, Part};

/// With the tensors `ssm_in` (head by head the gate and what is read), `ssm_conv1d`, `ssm_x`, `ssm_dt_norm`, `ssm_b_norm`,
/// `ssm_c_norm`, `ssm_dt`, `ssm_a`, `ssm_d`, `ssm_out`.
#[derive(Debug, Clone, Copy)]
pub struct PlamoMamba;

struct Layer {
    inner: usize,
    state_size: usize,
    heads: usize,
    /// Values that the step sizes are made of.
    rank: usize,
    input: Linear,
    conv: Conv,
    /// To what writes and reads the state, and step sizes of low rank.
    select: Linear,
    /// In the same order.
    norms: [Norm; 3],
    step: Linear,
    rates: Vec<f32>,
    direct: Vec<f32>,
    output: Linear,
    state: FixedId,
}

impl Part for PlamoMamba {
    fn load(self, at: &mut LayerTensors<'_, '_>) -> Result<Box<dyn Mixer>, Error> {
        let (keys, width) = (at.keys(), at.width());
        let inner = keys.count("ssm.inner_size")?;
        let state_size = keys.count("ssm.state_size")?;
        let heads = keys.count("ssm.time_step_rank")?;
        if !inner.is_multiple_of(heads) {
            let problem = format!("is {heads}, and must divide inner_size ({inner})");
            return Err(keys.wrong("ssm.time_step_rank", problem));
        }
        let rank = (width / 16).max(64);
        let taps = keys.count("ssm.conv_kernel")?;
        Ok(Box::new(Layer {
            input: at.linear("ssm_in", width, 2 * inner)?,
            conv: Conv::load(at, "ssm_conv1d", taps, inner)?,
            select: at.linear("ssm_x", inner, 2 * state_size + rank)?,
            norms: [
                at.norm("ssm_b_norm", state_size)?,
                at.norm("ssm_c_norm", state_size)?,
                at.norm("ssm_dt_norm", rank)?,
            ],
            step: at.linear("ssm_dt", rank, heads)?,
            rates: at.vector("ssm_a", heads)?,
            direct: at.vector("ssm_d", heads)?,
            output: at.linear("ssm_out", inner, width)?,
            state: at.fixed(heads, state_size * (inner / heads)),
            inner,
            state_size,
            heads,
            rank,
        }))
    }
}

impl Mixer for Layer {
    fn scratch(&self, rows: usize) -> usize {
        let selected = 2 * self.state_size + self.rank;
        rows.saturating_mul(5 * self.inner + 2 * selected + self.state_size + self.heads)
    }

    fn cost(&self) -> Cost {
        let all = [&self.input, &self.select, &self.step, &self.output];
        all.into_iter().map(Linear::cost).sum()
    }

    fn forward(&self, pass: &mut Pass<'_>, x: &[f32], out: &mut [f32], mut scratch: &mut [f32]) {
        let (n, inner, size, heads) = (pass.n, self.inner, self.state_size, self.heads);
        let (length, rank) = (inner / heads, self.rank);
        let row = 2 * size + rank;
        let both = cut(&mut scratch, n * 2 * inner);
        let [input, gate, mixed] = [(); 3].map(|()| cut(&mut scratch, n * inner));
        let selected = cut(&mut scratch, n * row);
        let [writes, reads] = [(); 2].map(|()| cut(&mut scratch, n * size));
        let low = cut(&mut scratch, n * rank);
        let spare = cut(&mut scratch, n * size.max(rank));
        let steps = cut(&mut scratch, n * heads);
        let with = pass.compute.floats();

        pass.linear(&self.input, x, both);
        copy(n * heads, length, (both, 2 * length), (&mut *gate, length));
        let read = (&both[length..], 2 * length);
        copy(n * heads, length, read, (&mut *input, length));
        self.conv.forward(pass, input, inner, mixed);
        pass.each_row(inner, mixed, |_, row| Activation::Silu.apply(with, row));
        pass.linear(&self.select, mixed, selected);
        let parts = [
            (0, &mut *writes),
            (size, &mut *reads),
            (2 * size, &mut *low),
        ];
        for (norm, (first, part)) in self.norms.iter().zip(parts) {
            let spare = &mut spare[..part.len()];
            let from = (&selected[first..], row);
            copy(n, norm.width, from, (&mut *spare, norm.width));
            norm.forward(pass, spare, part);
        }
        pass.linear(&self.step, low, steps);
        Activation::Softplus.apply(with, steps);

        let read = input;
        let [mixed, steps, writes, reads] = [mixed, steps, writes, reads].map(|x| &*x);
        let of_state = |data| Rows { data, width: size };
        for run in pass.runs {
            let state = pass.states.fixed(self.state, run.sequence);
            let (mixed, steps) = (run.of(mixed, inner), run.of(steps, heads));
            let (writes, reads) = (run.of(writes, size), run.of(reads, size));
            let read = run.of_mut(read, inner);
            let head = Head {
                tokens: run.n,
                keys: size,
                values: length,
            };
            pass.compute.heads(run.n, length, read, |number, out| {
                let space = StateSpace {
                    x: Rows {
                        data: &mixed[number * length..],
                        width: inner,
                    },
                    dt: Rows {
                        data: &steps[number..],
                        width: heads,
                    },
                    b: of_state(writes),
                    c: of_state(reads),
                    a: self.rates[number],
                    d: self.direct[number],
                };
                recurrent::state_space(with, head, space, &mut state.part(number), out);
            });
        }
        let read = &*read;
        pass.each_row(inner, gate, |row, gate| {
            ops::gated(with, Activation::Silu, gate, &read[row * inner..][..inner]);
        });
        pass.linear(&self.output, gate, out);
    }
}
