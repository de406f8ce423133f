//! The short convolution over time before a recurrent layer (Mamba, arXiv:2312.00752; LFM2, Kimi Linear): each channel with
//! weights of its own, over the present token and the few before it.

use super::columns::{Columns, get, in_all_columns, load, span, store};
use super::{Output, row};
use crate::isa::float::{Floats, Rows, Simd};

/// The weights of [`causal_conv`].
#[derive(Clone, Copy, Debug)]
pub struct ConvWeights<'a> {
    /// How many channels.
    pub channels: usize,
    /// `[tap][channel]`, see [`taps_first`]; the last tap is for the present token.
    pub taps: &'a [f32],
    /// One bias a channel.
    pub bias: Option<&'a [f32]>,
}

/// The `[channel][tap]` of a file as `[tap][channel]`.
///
/// # Panics
/// If the slices differ in length or aren't rows of `channels` elements.
pub fn taps_first(weights: &[f32], channels: usize, out: &mut [f32]) {
    assert_eq!(weights.len(), out.len(), "weights");
    assert!(
        channels > 0 && out.len().is_multiple_of(channels),
        "weights for every channel"
    );
    let taps = out.len() / channels;
    for (tap, out) in out.chunks_exact_mut(channels).enumerate() {
        for (channel, out) in out.iter_mut().enumerate() {
            *out = weights[channel * taps + tap];
        }
    }
}

struct Work<'a, 'o> {
    weights: ConvWeights<'a>,
    tokens: usize,
    x: Rows<'a, f32>,
    state: &'a [f32],
    out: &'a mut (dyn Output + 'o),
}

impl Columns for Work<'_, '_> {
    #[inline(always)]
    fn columns<S: Simd, const N: usize, const WHOLE: bool>(&mut self, s: S, at: usize) {
        let ConvWeights {
            channels,
            taps,
            bias,
        } = self.weights;
        let before = self.state.len() / channels;
        for token in 0..self.tokens {
            let mut sums = match bias {
                Some(bias) => load::<S, N, WHOLE>(s, bias, at),
                None => [s.splat(0.0); N],
            };
            for tap in 0..=before {
                let past = token + tap;
                let x = if past < before {
                    &self.state[past * channels..][..channels]
                } else {
                    row(self.x, past - before, channels)
                };
                let x = span::<S, N, WHOLE>(x, at);
                let weights = span::<S, N, WHOLE>(&taps[tap * channels..][..channels], at);
                for n in 0..N {
                    let (x, weight) = (get::<S, WHOLE>(s, x, n), get::<S, WHOLE>(s, weights, n));
                    sums[n] = s.fma(weight, x, sums[n]);
                }
            }
            store::<S, N, WHOLE>(s, sums, self.out.row(token, channels), at);
        }
    }
}

/// `out[t][c] = bias[c] + Σ taps[j][c] x[t - (taps - 1) + j][c]`, `tokens` rows of `channels`. What lies before the first
/// row is the state, `[taps - 1][channels]` with the latest row last; it then holds the last rows of this call.
///
/// # Panics
/// If a slice doesn't hold what the shape asks for.
pub fn causal_conv(
    with: Floats,
    weights: ConvWeights<'_>,
    tokens: usize,
    x: Rows<'_, f32>,
    state: &mut [f32],
    out: &mut dyn Output,
) {
    let ConvWeights {
        channels,
        taps,
        bias,
    } = weights;
    assert!(
        channels > 0 && !taps.is_empty() && taps.len().is_multiple_of(channels),
        "weights for every channel"
    );
    assert!(
        bias.is_none_or(|bias| bias.len() == channels),
        "a bias for every channel"
    );
    assert_eq!(state.len(), taps.len() - channels, "rows of the past");
    x.check(tokens, channels);
    out.check(tokens, channels);
    let mut work = Work {
        weights,
        tokens,
        x,
        state,
        out,
    };
    in_all_columns(with, channels, &mut work);
    // Rows of the past that are still of use move to the front, the latest of this call fill up.
    let before = state.len() / channels;
    let kept = before.saturating_sub(tokens);
    state.copy_within((before - kept) * channels.., 0);
    for (i, state) in state.chunks_exact_mut(channels).enumerate().skip(kept) {
        state.copy_from_slice(row(x, tokens + i - before, channels));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::recurrent::tests::{Values, check};

    #[test]
    fn agrees_with_f64() {
        for channels in [1, 7, 16, 40, 64, 133] {
            for taps in [1, 2, 4, 11] {
                let x = Values::new(1, channels, 1.0);
                let file: Vec<f32> = (0..channels * taps)
                    .map(|i| (i as f32 * 0.61).sin())
                    .collect();
                let bias: Vec<f32> = (0..channels).map(|i| (i as f32 * 0.3).cos()).collect();
                let mut weights = vec![0.0; file.len()];
                taps_first(&file, channels, &mut weights);
                let bias = (taps != 2).then_some(&bias[..]);
                check(
                    (channels, (taps - 1) * channels),
                    |state, token, out| {
                        for c in 0..channels {
                            let weights = &file[c * taps..][..taps];
                            out[c] = bias.map_or(0.0, |bias| bias[c].into());
                            for tap in 0..taps - 1 {
                                out[c] += f64::from(weights[tap]) * state[tap * channels + c];
                            }
                            out[c] += f64::from(weights[taps - 1]) * x.get(token, c);
                            for tap in 1..taps {
                                state[(tap - 1) * channels + c] = if tap < taps - 1 {
                                    state[tap * channels + c]
                                } else {
                                    x.get(token, c)
                                };
                            }
                        }
                    },
                    |with, tokens, state, out| {
                        let weights = ConvWeights {
                            channels,
                            taps: &weights,
                            bias,
                        };
                        causal_conv(
                            with,
                            weights,
                            tokens.len(),
                            x.from(tokens.start),
                            state,
                            out,
                        );
                    },
                );
            }
        }
    }
}
