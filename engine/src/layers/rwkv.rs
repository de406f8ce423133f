//! What RWKV 6 (arXiv:2404.05892) and RWKV 7 (arXiv:2503.14456) share: the token shift, which mixes a position with the one
//! before it, matrices of low rank, and the channel mix in the place of a feed-forward.

use gristmill_kernels::ops::{self, Activation};

use super::{Cost, Linear, Mixer, Norm, NormKind, Pass, cut};
use crate::cache::FixedId;
use crate::error::Error;
use crate::load::{LayerTensors, Part};

/// The position before each, of which the last of a batch is kept for the next.
pub(super) struct Shift {
    width: usize,
    state: FixedId,
}

impl Shift {
    pub(super) fn new(at: &mut LayerTensors<'_, '_>) -> Self {
        let width = at.width();
        Self {
            width,
            state: at.fixed(1, width),
        }
    }

    /// `out` = each row's predecessor minus the row.
    pub(super) fn forward(&self, pass: &Pass<'_>, x: &[f32], out: &mut [f32]) {
        let (width, with) = (self.width, pass.compute.floats());
        for run in pass.runs {
            let mut state = pass.states.fixed(self.state, run.sequence).part(0);
            let (before, x) = (&*state, run.of(x, width));
            pass.each_row(width, run.of_mut(out, width), |row, out| {
                let previous = match row.checked_sub(1) {
                    Some(row) => &x[row * width..][..width],
                    None => before,
                };
                out.copy_from_slice(previous);
                ops::add_scaled(with, out, -1.0, &x[row * width..][..width]);
            });
            state.copy_from_slice(&x[x.len() - width..]);
        }
    }

    /// `out = x + shift · weights`, where `shift` is what [`forward`](Self::forward) gave.
    pub(super) fn mix(
        &self,
        pass: &Pass<'_>,
        x: &[f32],
        shift: &[f32],
        weights: &[f32],
        out: &mut [f32],
    ) {
        let (width, with) = (self.width, pass.compute.floats());
        pass.each_row(width, out, |row, out| {
            let at = row * width..(row + 1) * width;
            out.copy_from_slice(&shift[at.clone()]);
            ops::mul(with, out, weights);
            ops::add(with, out, &x[at]);
        });
    }
}

/// Two matrices with few values between them.
pub(super) struct LowRank {
    down: Linear,
    activation: Activation,
    up: Linear,
}

impl LowRank {
    /// From the width of the stream to it. The first matrix's shape says how many values are between.
    pub(super) fn load(
        at: &mut LayerTensors<'_, '_>,
        [down, up]: [&str; 2],
        activation: Activation,
        bias: Option<&str>,
    ) -> Result<Self, Error> {
        let width = at.width();
        let name = format!("{down}.weight");
        let rank = match at.dims(&name).and_then(|dims| dims.get(1)) {
            Some(&rank) => rank as usize,
            None => return Err(at.missing(&name)),
        };
        let mut up = at.linear(up, rank, width)?;
        if let Some(bias) = bias {
            up.bias = Some(at.vector(&format!("{bias}.weight"), width)?);
        }
        Ok(Self {
            down: at.linear(down, width, rank)?,
            activation,
            up,
        })
    }

    pub(super) fn rank(&self) -> usize {
        self.down.weight.rows
    }

    pub(super) fn cost(&self) -> Cost {
        self.down.cost() + self.up.cost()
    }

    /// `low` has room for the values between.
    pub(super) fn forward(&self, pass: &mut Pass<'_>, x: &[f32], low: &mut [f32], out: &mut [f32]) {
        let rank = self.rank();
        let low = &mut low[..pass.n * rank];
        pass.linear(&self.down, x, low);
        let with = pass.compute.floats();
        pass.each_row(rank, low, |_, row| self.activation.apply(with, row));
        pass.linear(&self.up, low, out);
    }
}

/// The length of a head (`wkv.head_size`), and how many there are.
pub(super) fn heads(at: &LayerTensors<'_, '_>) -> Result<(usize, usize), Error> {
    let (key, width) = ("wkv.head_size", at.width());
    let length = at.keys().count(key)?;
    if !width.is_multiple_of(length) {
        let problem = format!("is {length}, and does not divide embedding_length {width}");
        return Err(at.keys().wrong(key, problem));
    }
    Ok((length, width / length))
}

/// The norm of each head, `time_mix_ln`.
pub(super) fn head_norm(at: &mut LayerTensors<'_, '_>, length: usize) -> Result<Norm, Error> {
    let width = at.width();
    Ok(Norm {
        kind: NormKind::Layer,
        width: length,
        weight: Some(at.vector("time_mix_ln.weight", width)?),
        bias: Some(at.vector("time_mix_ln.bias", width)?),
        // Of all these models.
        epsilon: 64e-5,
    })
}

/// `value(relu(key x)²)` of a position mixed with the one before, with the tensors `channel_mix_lerp_k`, `channel_mix_key`
/// and `channel_mix_value`; in RWKV 6 times the sigmoid of `channel_mix_receptance`, whose input `channel_mix_lerp_r` mixes.
#[derive(Debug, Clone, Copy)]
pub struct ChannelMix {
    /// Whether there is a receptance.
    pub receptance: bool,
}

struct Channels {
    shift: Shift,
    key_mix: Vec<f32>,
    key: Linear,
    value: Linear,
    receptance: Option<(Vec<f32>, Linear)>,
}

impl Part for ChannelMix {
    fn load(self, at: &mut LayerTensors<'_, '_>) -> Result<Box<dyn Mixer>, Error> {
        let width = at.width();
        let hidden = at.count("feed_forward_length")?;
        let receptance = if self.receptance {
            Some((
                at.vector("channel_mix_lerp_r.weight", width)?,
                at.linear("channel_mix_receptance", width, width)?,
            ))
        } else {
            None
        };
        Ok(Box::new(Channels {
            shift: Shift::new(at),
            key_mix: at.vector("channel_mix_lerp_k.weight", width)?,
            key: at.linear("channel_mix_key", width, hidden)?,
            value: at.linear("channel_mix_value", hidden, width)?,
            receptance,
        }))
    }
}

impl Mixer for Channels {
    fn scratch(&self, rows: usize) -> usize {
        rows.saturating_mul(3 * self.shift.width + self.key.weight.rows)
    }

    fn cost(&self) -> Cost {
        let receptance = self.receptance.as_ref().map(|(_, linear)| linear);
        let all = [&self.key, &self.value].into_iter().chain(receptance);
        all.map(Linear::cost).sum()
    }

    fn forward(&self, pass: &mut Pass<'_>, x: &[f32], out: &mut [f32], mut scratch: &mut [f32]) {
        let hidden_width = self.key.weight.rows;
        let [shift, mixed, gate] = [(); 3].map(|()| cut(&mut scratch, x.len()));
        let hidden = cut(&mut scratch, pass.n * hidden_width);
        let with = pass.compute.floats();
        self.shift.forward(pass, x, shift);
        self.shift.mix(pass, x, shift, &self.key_mix, mixed);
        pass.linear(&self.key, mixed, hidden);
        pass.each_row(hidden_width, hidden, |_, row| {
            Activation::ReluSquared.apply(with, row);
        });
        pass.linear(&self.value, hidden, out);
        if let Some((weights, receptance)) = &self.receptance {
            self.shift.mix(pass, x, shift, weights, mixed);
            pass.linear(receptance, mixed, gate);
            let width = self.shift.width;
            pass.each_row(width, gate, |_, row| Activation::Sigmoid.apply(with, row));
            let gate = &*gate;
            pass.each_row(width, out, |row, out| {
                ops::mul(with, out, &gate[row * width..][..width]);
            });
        }
    }
}
