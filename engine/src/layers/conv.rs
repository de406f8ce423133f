//! Short causal convolutions over time, a kernel for each channel: what recurrent layers put before their states.

use gristmill_kernels::isa::float::Rows;
use gristmill_kernels::ops;
use gristmill_kernels::ops::recurrent::{self, ConvWeights, RowsMut};

use super::{Cost, Linear, Mixer, Pass, cut};
use crate::cache::FixedId;
use crate::error::Error;
use crate::load::{LayerTensors, Part};

/// The convolution itself, with the rows that it still has to see again.
pub(super) struct Conv {
    channels: usize,
    /// `[tap][channel]`.
    taps: Vec<f32>,
    bias: Option<Vec<f32>>,
    state: FixedId,
}

impl Conv {
    /// `{name}.weight` of `taps` by `channels`, and `{name}.bias` if the file has it.
    pub(super) fn load(
        at: &mut LayerTensors<'_, '_>,
        name: &str,
        taps: usize,
        channels: usize,
    ) -> Result<Self, Error> {
        let weight = format!("{name}.weight");
        // Some files have a dimension of 1 between the two.
        let shape = match at.dims(&weight) {
            Some(dims) if dims.len() > 2 => vec![taps, 1, channels],
            _ => vec![taps, channels],
        };
        let values = at.opt_values(&weight, &shape)?;
        let values = values.ok_or_else(|| at.missing(&weight))?;
        let mut first = vec![0.0; values.len()];
        recurrent::taps_first(&values, channels, &mut first);
        Ok(Self {
            channels,
            taps: first,
            bias: at.opt_vector(&format!("{name}.bias"), channels)?,
            state: at.fixed(1, (taps - 1) * channels),
        })
    }

    /// `out` = the convolution of `x`, whose rows begin `step` values apart.
    pub(super) fn forward(&self, pass: &Pass<'_>, x: &[f32], step: usize, out: &mut [f32]) {
        let weights = ConvWeights {
            channels: self.channels,
            taps: &self.taps,
            bias: self.bias.as_deref(),
        };
        let with = pass.compute.floats();
        for run in pass.runs {
            let mut state = pass.states.fixed(self.state, run.sequence).part(0);
            let rows = Rows {
                data: &x[run.row * step..],
                width: step,
            };
            let mut to = RowsMut {
                data: run.of_mut(out, self.channels),
                width: self.channels,
            };
            recurrent::causal_conv(with, weights, run.n, rows, &mut state, &mut to);
        }
    }
}

/// The gated short convolution of LFM2 (Liquid AI 2025, arXiv:2511.23404): `out_proj(c · conv(b · x))`, where b, c and x are
/// the three parts of `shortconv.in_proj`.
#[derive(Debug, Clone, Copy)]
pub struct ShortConv;

struct GatedConv {
    before: Linear,
    gate: Linear,
    input: Linear,
    conv: Conv,
    output: Linear,
}

impl Part for ShortConv {
    fn load(self, at: &mut LayerTensors<'_, '_>) -> Result<Box<dyn Mixer>, Error> {
        let width = at.width();
        let taps = at.keys().count("shortconv.l_cache")?;
        let all = at.linear("shortconv.in_proj", width, 3 * width)?;
        let [before, gate, input] = all.parts([width; 3]);
        Ok(Box::new(GatedConv {
            before,
            gate,
            input,
            conv: Conv::load(at, "shortconv.conv", taps, width)?,
            output: at.linear("shortconv.out_proj", width, width)?,
        }))
    }
}

impl Mixer for GatedConv {
    fn scratch(&self, rows: usize) -> usize {
        rows.saturating_mul(4 * self.output.weight.cols)
    }

    fn cost(&self) -> Cost {
        let all = [&self.before, &self.gate, &self.input, &self.output];
        all.into_iter().map(Linear::cost).sum()
    }

    fn forward(&self, pass: &mut Pass<'_>, x: &[f32], out: &mut [f32], mut scratch: &mut [f32]) {
        let len = x.len();
        let [before, gate, input, mixed] = [(); 4].map(|()| cut(&mut scratch, len));
        pass.linears(
            x,
            [
                (&self.before, &mut *before),
                (&self.gate, &mut *gate),
                (&self.input, &mut *input),
            ],
        );
        let with = pass.compute.floats();
        ops::mul(with, input, before);
        self.conv.forward(pass, input, len / pass.n, mixed);
        ops::mul(with, mixed, gate);
        pass.linear(&self.output, mixed, out);
    }
}
