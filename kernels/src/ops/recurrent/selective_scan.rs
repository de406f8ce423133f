//! The selective scan of Mamba (arXiv:2312.00752): every channel has a state of its own.

use super::columns::{load, store};
use super::{Output, row};
use crate::isa::float::{Floats, Kernel, Rows, Simd};
use crate::ops::exp::exp;

/// Channels of a block. Rates and states lie in blocks of `[state][16 channels]`, the last one filled up, so that channels
/// are the lanes of the vectors and threads can share them out by whole blocks.
pub const SCAN_CHANNELS: usize = 16;

/// Elements of the blocks that hold `channels` channels, the last block filled up.
pub const fn scan_len(channels: usize, state_size: usize) -> usize {
    channels.div_ceil(SCAN_CHANNELS) * SCAN_CHANNELS * state_size
}

/// The `[channel][state]` of a file in blocks, filled up with zeros.
///
/// # Panics
/// If `values` aren't rows of `state_size` elements or `out` is not [`scan_len`] long.
pub fn scan_blocks(values: &[f32], state_size: usize, out: &mut [f32]) {
    assert!(
        state_size > 0 && values.len().is_multiple_of(state_size),
        "a state for every channel"
    );
    let channels = values.len() / state_size;
    assert_eq!(out.len(), scan_len(channels, state_size), "blocks");
    out.fill(0.0);
    for (channel, values) in values.chunks_exact(state_size).enumerate() {
        let (block, lane) = (channel / SCAN_CHANNELS, channel % SCAN_CHANNELS);
        for (i, value) in values.iter().enumerate() {
            out[(block * state_size + i) * SCAN_CHANNELS + lane] = *value;
        }
    }
}

/// The inputs of [`selective_scan`], for all channels of a layer or for a range that begins with a block.
#[derive(Clone, Copy, Debug)]
pub struct Scan<'a> {
    /// How many channels.
    pub channels: usize,
    /// Elements of a channel's state.
    pub state_size: usize,
    /// Inputs, rows of `channels` elements.
    pub x: Rows<'a, f32>,
    /// Step sizes, already through softplus: rows of `channels` elements.
    pub dt: Rows<'a, f32>,
    /// What writes to the states, rows of `state_size` elements.
    pub b: Rows<'a, f32>,
    /// What reads the states, rows of `state_size` elements.
    pub c: Rows<'a, f32>,
    /// Rates, negative, in the order of [`scan_blocks`]; GGUF files hold these and not their logarithms.
    pub a: &'a [f32],
    /// Each channel's direct way from input to output.
    pub d: &'a [f32],
}

struct Work<'a, 'o> {
    tokens: usize,
    x: Scan<'a>,
    state: &'a mut [f32],
    out: &'a mut (dyn Output + 'o),
}

impl Work<'_, '_> {
    /// All tokens, in the vector of channels from `at`, which is `WHOLE` or the rest.
    #[inline(always)]
    fn vector<S: Simd, const WHOLE: bool>(&mut self, s: S, at: usize) {
        let x = &self.x;
        let size = x.state_size;
        let (block, lane) = (at / SCAN_CHANNELS, at % SCAN_CHANNELS);
        let blocks = block * size * SCAN_CHANNELS..(block + 1) * size * SCAN_CHANNELS;
        let (a, state) = (&x.a[blocks.clone()], &mut self.state[blocks]);
        let [d] = load::<S, 1, WHOLE>(s, x.d, at);
        for token in 0..self.tokens {
            let [input] = load::<S, 1, WHOLE>(s, row(x.x, token, x.channels), at);
            let [dt] = load::<S, 1, WHOLE>(s, row(x.dt, token, x.channels), at);
            let (b, c) = (row(x.b, token, size), row(x.c, token, size));
            let step = s.mul(dt, input);
            let mut sum = s.mul(d, input);
            for i in 0..size {
                let a = s.load(&a[i * SCAN_CHANNELS + lane..]);
                let h = &mut state[i * SCAN_CHANNELS + lane..];
                let faded = s.mul(exp(s, s.mul(dt, a)), s.load(h));
                let new = s.fma(step, s.splat(b[i]), faded);
                s.store(new, h);
                sum = s.fma(new, s.splat(c[i]), sum);
            }
            store::<S, 1, WHOLE>(s, [sum], self.out.row(token, x.channels), at);
        }
    }
}

impl Kernel for Work<'_, '_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let channels = self.x.channels;
        let whole = channels - channels % S::LANES;
        for at in (0..whole).step_by(S::LANES) {
            self.vector::<S, true>(s, at);
        }
        if whole < channels {
            self.vector::<S, false>(s, whole);
        }
    }
}

/// For each token and channel `h = e^(dt a) h + dt x b`, `out = Σ h c + d x`, where `h`, `a`, `b` and `c` have `state_size`
/// elements. States are in blocks, [`scan_len`] elements. A channel's bits don't depend on which others are in the call.
///
/// # Panics
/// If a slice doesn't hold what the shape asks for.
pub fn selective_scan(
    with: Floats,
    tokens: usize,
    x: Scan<'_>,
    state: &mut [f32],
    out: &mut dyn Output,
) {
    let len = scan_len(x.channels, x.state_size);
    assert_eq!(x.a.len(), len, "blocks of rates");
    assert_eq!(state.len(), len, "blocks of states");
    assert_eq!(x.d.len(), x.channels, "a direct way for every channel");
    x.x.check(tokens, x.channels);
    x.dt.check(tokens, x.channels);
    x.b.check(tokens, x.state_size);
    x.c.check(tokens, x.state_size);
    out.check(tokens, x.channels);
    with.run(Work {
        tokens,
        x,
        state,
        out,
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::recurrent::RowsMut;
    use crate::ops::recurrent::tests::{TOKENS, Values, check};

    #[test]
    fn agrees_with_f64() {
        for (channels, size) in [(1, 16), (8, 1), (23, 5), (32, 16), (77, 8)] {
            let x = Values::new(1, channels, 1.0);
            let dt = Values::positive(2, channels);
            let [b, c] = [3, 4].map(|seed| Values::new(seed, size, 1.0));
            let d: Vec<f32> = (0..channels).map(|i| (i as f32 * 0.3).cos()).collect();
            let file: Vec<f32> = (0..channels * size)
                .map(|i| -0.1 - (i % 13) as f32)
                .collect();
            let mut a = vec![1.0; scan_len(channels, size)];
            scan_blocks(&file, size, &mut a);
            check(
                (channels, a.len()),
                |state, token, out| {
                    for channel in 0..channels {
                        let (x, dt) = (x.get(token, channel), dt.get(token, channel));
                        out[channel] = x * f64::from(d[channel]);
                        for i in 0..size {
                            let a = f64::from(file[channel * size + i]);
                            let h = &mut state[(channel / 16 * size + i) * 16 + channel % 16];
                            *h = *h * (dt * a).exp() + dt * x * b.get(token, i);
                            out[channel] += *h * c.get(token, i);
                        }
                    }
                },
                |with, tokens, state, out| {
                    let first = tokens.start;
                    let x = Scan {
                        channels,
                        state_size: size,
                        x: x.from(first),
                        dt: dt.from(first),
                        b: b.from(first),
                        c: c.from(first),
                        a: &a,
                        d: &d,
                    };
                    selective_scan(with, tokens.len(), x, state, out);
                },
            );
        }
    }

    #[test]
    fn channels_can_be_shared_out() {
        let (channels, size) = (40, 3);
        let x = Values::new(1, channels, 1.0);
        let dt = Values::positive(2, channels);
        let [b, c] = [3, 4].map(|seed| Values::new(seed, size, 1.0));
        let (d, a) = (vec![0.5; channels], vec![-1.0; scan_len(channels, size)]);
        for with in Floats::all() {
            let run = |split: &[usize]| {
                let mut out = vec![0.0; TOKENS * channels];
                let mut state = vec![0.25; a.len()];
                for range in split.windows(2) {
                    let range = range[0]..range[1];
                    let blocks = scan_len(range.start, size)..scan_len(range.end, size);
                    let part = Scan {
                        channels: range.len(),
                        state_size: size,
                        x: x.columns_from(range.start),
                        dt: dt.columns_from(range.start),
                        b: b.from(0),
                        c: c.from(0),
                        a: &a[blocks.clone()],
                        d: &d[range.clone()],
                    };
                    let mut out = RowsMut {
                        data: &mut out[range.start..],
                        width: channels,
                    };
                    selective_scan(with, TOKENS, part, &mut state[blocks], &mut out);
                }
                (out, state)
            };
            assert!(run(&[0, channels]) == run(&[0, 16, channels]));
            assert!(run(&[0, channels]) == run(&[0, 32, channels]));
        }
    }
}
