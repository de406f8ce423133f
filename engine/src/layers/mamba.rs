//! State-space layers: Mamba (arXiv:2312.00752), whose every channel has a state of its own, and Mamba 2 (arXiv:2405.21060),
//! whose channels are heads that forget as one.

use gristmill_kernels::isa::float::Rows;
use gristmill_kernels::ops::recurrent::{self, Head, Scan, StateSpace};
use gristmill_kernels::ops::{self, Activation};

use super::conv::Conv;
use super::{Cost, Linear, Mixer, Norm, NormKind, Pass, copy, cut};
use crate::cache::FixedId;
use crate::error::Error;
use crate::load::{LayerTensors, Part};

/// Mamba with the tensors `ssm_in`, `ssm_conv1d`, `ssm_x`, `ssm_dt`, `ssm_a`, `ssm_d`, `ssm_out`, and where the file has
/// them (or the key `ssm.dt_b_c_rms` asks for them) norms of step sizes, inputs and outputs.
#[derive(Debug, Clone, Copy)]
pub struct Mamba;

/// Mamba 2 with the tensors `ssm_in`, `ssm_conv1d`, `ssm_dt.bias`, `ssm_a`, `ssm_d`, `ssm_norm`, `ssm_out`.
#[derive(Debug, Clone, Copy)]
pub struct Mamba2;

/// Channels that a thread takes at once.
const CHANNELS: usize = 8 * recurrent::SCAN_CHANNELS;

struct ScanLayer {
    inner: usize,
    state_size: usize,
    rank: usize,
    input: Linear,
    gate: Linear,
    conv: Conv,
    /// To step sizes of low rank, and what writes and reads the state.
    select: Linear,
    norms: Option<[Norm; 3]>,
    step: Linear,
    /// In the order of the scan.
    rates: Vec<f32>,
    direct: Vec<f32>,
    output: Linear,
    state: FixedId,
}

impl Part for Mamba {
    fn load(self, at: &mut LayerTensors<'_, '_>) -> Result<Box<dyn Mixer>, Error> {
        let (keys, width) = (at.keys(), at.width());
        let inner = keys.count("ssm.inner_size")?;
        let state_size = keys.count("ssm.state_size")?;
        let rank = keys.count("ssm.time_step_rank")?;
        let [input, gate] = at.linear("ssm_in", width, 2 * inner)?.parts([inner, inner]);
        let values = at.opt_values("ssm_a", &[state_size, inner])?;
        let values = values.ok_or_else(|| at.missing("ssm_a"))?;
        let mut rates = vec![0.0; recurrent::scan_len(inner, state_size)];
        recurrent::scan_blocks(&values, state_size, &mut rates);
        let norms = if at.has("ssm_dt_norm.weight") {
            Some([
                at.norm("ssm_dt_norm", rank)?,
                at.norm("ssm_b_norm", state_size)?,
                at.norm("ssm_c_norm", state_size)?,
            ])
        } else if keys.opt_bool("ssm.dt_b_c_rms")?.unwrap_or(false) {
            let plain = |width| at.loader.plain_norm(NormKind::Rms, width);
            Some([plain(rank)?, plain(state_size)?, plain(state_size)?])
        } else {
            None
        };
        let taps = keys.count("ssm.conv_kernel")?;
        Ok(Box::new(ScanLayer {
            input,
            gate,
            conv: Conv::load(at, "ssm_conv1d", taps, inner)?,
            select: at.linear("ssm_x", inner, rank + 2 * state_size)?,
            norms,
            step: at.linear("ssm_dt", rank, inner)?,
            rates,
            direct: at.vector("ssm_d", inner)?,
            output: at.linear("ssm_out", inner, width)?,
            state: at.fixed(
                inner.div_ceil(CHANNELS),
                recurrent::scan_len(CHANNELS, state_size),
            ),
            inner,
            state_size,
            rank,
        }))
    }
}

impl Mixer for ScanLayer {
    fn scratch(&self, rows: usize) -> usize {
        rows.saturating_mul(4 * self.inner + 2 * (self.rank + 2 * self.state_size) + self.rank)
    }

    fn cost(&self) -> Cost {
        let inputs = [&self.input, &self.gate, &self.select];
        let all = inputs.into_iter().chain([&self.step, &self.output]);
        all.map(Linear::cost).sum()
    }

    fn forward(&self, pass: &mut Pass<'_>, x: &[f32], out: &mut [f32], mut scratch: &mut [f32]) {
        let (n, inner, size, rank) = (pass.n, self.inner, self.state_size, self.rank);
        let raw = cut(&mut scratch, n * inner);
        let mixed = cut(&mut scratch, n * inner);
        let gate = cut(&mut scratch, n * inner);
        let steps = cut(&mut scratch, n * inner);
        let selected = cut(&mut scratch, n * (rank + 2 * size));
        let low = cut(&mut scratch, n * rank);
        let [writes, reads] = [(); 2].map(|()| cut(&mut scratch, n * size));

        pass.linears(x, [(&self.input, &mut *raw), (&self.gate, &mut *gate)]);
        self.conv.forward(pass, raw, inner, mixed);
        let with = pass.compute.floats();
        pass.each_row(inner, mixed, |_, row| Activation::Silu.apply(with, row));
        pass.linear(&self.select, mixed, selected);
        let row = rank + 2 * size;
        copy(n, rank, (selected, row), (&mut *low, rank));
        copy(n, size, (&selected[rank..], row), (&mut *writes, size));
        copy(
            n,
            size,
            (&selected[rank + size..], row),
            (&mut *reads, size),
        );
        if let Some(norms) = &self.norms {
            for (norm, values) in norms.iter().zip([&mut *low, &mut *writes, &mut *reads]) {
                let spare = &mut selected[..values.len()];
                norm.forward(pass, values, spare);
                values.copy_from_slice(spare);
            }
        }
        pass.linear(&self.step, low, steps);
        pass.each_row(inner, steps, |_, row| Activation::Softplus.apply(with, row));

        let read = raw;
        let (mixed, steps, writes, reads) = (&*mixed, &*steps, &*writes, &*reads);
        for run in pass.runs {
            let state = pass.states.fixed(self.state, run.sequence);
            let (mixed, steps) = (run.of(mixed, inner), run.of(steps, inner));
            let (writes, reads) = (run.of(writes, size), run.of(reads, size));
            let read = run.of_mut(read, inner);
            pass.compute.heads(run.n, CHANNELS, read, |number, out| {
                let first = number * CHANNELS;
                let channels = CHANNELS.min(inner - first);
                let len = recurrent::scan_len(channels, size);
                let scan = Scan {
                    channels,
                    state_size: size,
                    x: Rows {
                        data: &mixed[first..],
                        width: inner,
                    },
                    dt: Rows {
                        data: &steps[first..],
                        width: inner,
                    },
                    b: Rows {
                        data: writes,
                        width: size,
                    },
                    c: Rows {
                        data: reads,
                        width: size,
                    },
                    a: &self.rates[recurrent::scan_len(first, size)..][..len],
                    d: &self.direct[first..][..channels],
                };
                recurrent::selective_scan(with, run.n, scan, &mut state.part(number)[..len], out);
            });
        }
        ops::gated(with, Activation::Silu, gate, read);
        pass.linear(&self.output, gate, out);
    }
}

struct HeadsLayer {
    inner: usize,
    state_size: usize,
    heads: usize,
    groups: usize,
    gate: Linear,
    /// What is read, and what writes and reads the state.
    input: Linear,
    step: Linear,
    step_bias: Vec<f32>,
    conv: Conv,
    rates: Vec<f32>,
    direct: Vec<f32>,
    norm: Option<Norm>,
    output: Linear,
    state: FixedId,
}

impl Part for Mamba2 {
    fn load(self, at: &mut LayerTensors<'_, '_>) -> Result<Box<dyn Mixer>, Error> {
        let (keys, width) = (at.keys(), at.width());
        let inner = keys.count("ssm.inner_size")?;
        let state_size = keys.count("ssm.state_size")?;
        let heads = keys.count("ssm.time_step_rank")?;
        let groups = keys.count("ssm.group_count")?;
        if !heads.is_multiple_of(groups) || !inner.is_multiple_of(heads) {
            let problem = format!(
                "is {heads}, and must be a multiple of group_count ({groups}) and divide inner_size ({inner})"
            );
            return Err(keys.wrong("ssm.time_step_rank", problem));
        }
        let channels = inner + 2 * groups * state_size;
        let [gate, input, step] = at
            .linear("ssm_in", width, inner + channels + heads)?
            .parts([inner, channels, heads]);
        let each = |at: &mut LayerTensors<'_, '_>, name: &str| {
            let values = at.opt_values(name, &[1, heads])?;
            values.ok_or_else(|| at.missing(name))
        };
        let norm = if at.has("ssm_norm.weight") {
            let width = inner / groups;
            let weight = at.opt_values("ssm_norm.weight", &[width, groups])?;
            Some(Norm {
                weight,
                ..at.loader.plain_norm(NormKind::Rms, width)?
            })
        } else {
            None
        };
        let taps = keys.count("ssm.conv_kernel")?;
        Ok(Box::new(HeadsLayer {
            gate,
            input,
            step,
            step_bias: at.vector("ssm_dt.bias", heads)?,
            conv: Conv::load(at, "ssm_conv1d", taps, channels)?,
            rates: each(at, "ssm_a")?,
            direct: each(at, "ssm_d")?,
            norm,
            output: at.linear("ssm_out", inner, width)?,
            state: at.fixed(heads, state_size * (inner / heads)),
            inner,
            state_size,
            heads,
            groups,
        }))
    }
}

impl Mixer for HeadsLayer {
    fn scratch(&self, rows: usize) -> usize {
        let channels = self.inner + 2 * self.groups * self.state_size;
        rows.saturating_mul(2 * channels + 3 * self.inner + self.heads)
    }

    fn cost(&self) -> Cost {
        let all = [&self.gate, &self.input, &self.step, &self.output];
        all.into_iter().map(Linear::cost).sum()
    }

    fn forward(&self, pass: &mut Pass<'_>, x: &[f32], out: &mut [f32], mut scratch: &mut [f32]) {
        let (n, inner, size, heads) = (pass.n, self.inner, self.state_size, self.heads);
        let channels = inner + 2 * self.groups * size;
        let raw = cut(&mut scratch, n * channels);
        let mixed = cut(&mut scratch, n * channels);
        let gate = cut(&mut scratch, n * inner);
        let read = cut(&mut scratch, n * inner);
        let normed = cut(&mut scratch, n * inner);
        let steps = cut(&mut scratch, n * heads);

        pass.linears(
            x,
            [
                (&self.gate, &mut *gate),
                (&self.input, &mut *raw),
                (&self.step, &mut *steps),
            ],
        );
        let with = pass.compute.floats();
        for row in steps.chunks_exact_mut(heads) {
            ops::add(with, row, &self.step_bias);
            Activation::Softplus.apply(with, row);
        }
        self.conv.forward(pass, raw, channels, mixed);
        pass.each_row(channels, mixed, |_, row| Activation::Silu.apply(with, row));

        let length = inner / heads;
        let (mixed, steps) = (&*mixed, &*steps);
        for run in pass.runs {
            let state = pass.states.fixed(self.state, run.sequence);
            let (mixed, steps) = (run.of(mixed, channels), run.of(steps, heads));
            let rows = |first: usize| Rows {
                data: &mixed[first..],
                width: channels,
            };
            let read = run.of_mut(read, inner);
            let head = Head {
                tokens: run.n,
                keys: size,
                values: length,
            };
            pass.compute.heads(run.n, length, read, |number, out| {
                let group = number / (heads / self.groups);
                let space = StateSpace {
                    x: rows(number * length),
                    dt: Rows {
                        data: &steps[number..],
                        width: heads,
                    },
                    b: rows(inner + group * size),
                    c: rows(inner + (self.groups + group) * size),
                    a: self.rates[number],
                    d: self.direct[number],
                };
                recurrent::state_space(with, head, space, &mut state.part(number), out);
            });
        }
        ops::gated(with, Activation::Silu, gate, read);
        let result = match &self.norm {
            Some(norm) => {
                norm.forward(pass, gate, normed);
                normed
            }
            None => gate,
        };
        pass.linear(&self.output, result, out);
    }
}
