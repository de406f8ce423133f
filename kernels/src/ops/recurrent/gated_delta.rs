//! The gated delta rule: Gated DeltaNet (arXiv:2412.06464; Qwen3-Next), where a token has one decay, and Kimi Delta
//! Attention (arXiv:2510.26692), where each key channel has its own.

use super::columns::{Columns, Work, advance, get, in_head, load, span, store};
use super::{Decay, Head, Output, row};
use crate::isa::float::{Floats, Rows, Simd};

/// The inputs of [`gated_delta`].
#[derive(Clone, Copy, Debug)]
pub struct Delta<'a> {
    /// Queries, rows of `keys` elements.
    pub q: Rows<'a, f32>,
    /// Keys, rows of `keys` elements; a model makes them of length one.
    pub k: Rows<'a, f32>,
    /// Values, rows of `values` elements.
    pub v: Rows<'a, f32>,
    /// The factors `e^g`, see [`super::decay_factors`].
    pub decay: Decay<'a>,
    /// How much of the prediction's error is corrected: rows of one element.
    pub beta: Rows<'a, f32>,
    /// Factor on the queries, usually 1 / √keys.
    pub scale: f32,
}

impl Columns for Work<'_, '_, Delta<'_>> {
    #[inline(always)]
    fn columns<S: Simd, const N: usize, const WHOLE: bool>(&mut self, s: S, at: usize) {
        let (x, keys, values) = (&self.x, self.head.keys, self.head.values);
        let scale = s.splat(x.scale);
        for token in 0..self.head.tokens {
            let k = row(x.k, token, keys);
            let (decay, step) = x.decay.of(token, keys);
            // The faded state is worked out twice: cheaper than to write it and read it again.
            let mut predicted = [s.splat(0.0); N];
            for (i, state) in self.state.chunks_exact(values).enumerate() {
                let (decay, k) = (s.splat(decay[i * step]), s.splat(k[i]));
                let state = span::<S, N, WHOLE>(state, at);
                for n in 0..N {
                    let faded = s.mul(decay, get::<S, WHOLE>(s, state, n));
                    predicted[n] = s.fma(k, faded, predicted[n]);
                }
            }
            let beta = s.splat(row(x.beta, token, 1)[0]);
            let mut error = load::<S, N, WHOLE>(s, row(x.v, token, values), at);
            for n in 0..N {
                error[n] = s.mul(beta, s.sub(error[n], predicted[n]));
            }
            let q = row(x.q, token, keys);
            let mut sums =
                advance::<S, N, WHOLE>(s, self.state, values, at, (decay, step), k, error, q);
            for n in 0..N {
                sums[n] = s.mul(scale, sums[n]);
            }
            store::<S, N, WHOLE>(s, sums, self.out.row(token, values), at);
        }
    }
}

/// For each token `S = decay S`, `S += k ⊗ (beta (v - Sᵀ k))`, `out = Sᵀ (q scale)`, for one head. The state is
/// `[keys][values]`.
///
/// # Panics
/// If a slice doesn't hold what the shape asks for.
pub fn gated_delta(
    with: Floats,
    head: Head,
    x: Delta<'_>,
    state: &mut [f32],
    out: &mut dyn Output,
) {
    x.q.check(head.tokens, head.keys);
    x.k.check(head.tokens, head.keys);
    x.v.check(head.tokens, head.values);
    x.decay.check(head.tokens, head.keys);
    x.beta.check(head.tokens, 1);
    in_head(with, head, x, state, out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::recurrent::tests::{HEADS, Values, check_head};

    #[test]
    fn agrees_with_f64() {
        for (keys, values) in HEADS {
            let scale = 1.0 / (keys as f32).sqrt();
            let q = Values::new(1, keys, 1.0);
            let k = Values::new(2, keys, scale);
            let v = Values::new(3, values, 1.0);
            let per_key = Values::positive(4, keys);
            let per_token = Values::positive(5, 1);
            let beta = Values::positive(6, 1);
            for kimi in [false, true] {
                check_head(
                    (keys, values),
                    |state, token, out| {
                        for j in 0..values {
                            let mut error = v.get(token, j);
                            for i in 0..keys {
                                let decay = if kimi {
                                    per_key.get(token, i)
                                } else {
                                    per_token.get(token, 0)
                                };
                                state[i * values + j] *= decay;
                                error -= state[i * values + j] * k.get(token, i);
                            }
                            for i in 0..keys {
                                let x = &mut state[i * values + j];
                                *x += k.get(token, i) * beta.get(token, 0) * error;
                                out[j] += *x * q.get(token, i) * f64::from(scale);
                            }
                        }
                    },
                    |with, head, first, state, out| {
                        let x = Delta {
                            q: q.from(first),
                            k: k.from(first),
                            v: v.from(first),
                            decay: if kimi {
                                Decay::PerKey(per_key.from(first))
                            } else {
                                Decay::PerToken(per_token.from(first))
                            },
                            beta: beta.from(first),
                            scale,
                        };
                        gated_delta(with, head, x, state, out);
                    },
                );
            }
        }
    }
}
