//! Linear attention with a decay: lightning attention (MiniMax-01, arXiv:2501.08313), retention (arXiv:2307.08621), gated
//! linear attention (arXiv:2312.06635).

use super::columns::{Columns, Work, advance, in_head, load, store};
use super::{Decay, Head, Output, row};
use crate::isa::float::{Floats, Rows, Simd};

/// The inputs of [`linear_attention`].
#[derive(Clone, Copy, Debug)]
pub struct Linear<'a> {
    /// Queries, rows of `keys` elements.
    pub q: Rows<'a, f32>,
    /// Keys, rows of `keys` elements.
    pub k: Rows<'a, f32>,
    /// Values, rows of `values` elements.
    pub v: Rows<'a, f32>,
    /// The decay; of lightning attention a constant of the head.
    pub decay: Decay<'a>,
}

impl Columns for Work<'_, '_, Linear<'_>> {
    #[inline(always)]
    fn columns<S: Simd, const N: usize, const WHOLE: bool>(&mut self, s: S, at: usize) {
        let (x, keys, values) = (&self.x, self.head.keys, self.head.values);
        for token in 0..self.head.tokens {
            let sums = advance::<S, N, WHOLE>(
                s,
                self.state,
                values,
                at,
                x.decay.of(token, keys),
                row(x.k, token, keys),
                load::<S, N, WHOLE>(s, row(x.v, token, values), at),
                row(x.q, token, keys),
            );
            store::<S, N, WHOLE>(s, sums, self.out.row(token, values), at);
        }
    }
}

/// For each token `S = decay S + k ⊗ v`, `out = Sᵀ q`, for one head. The state is `[keys][values]`.
///
/// # Panics
/// If a slice doesn't hold what the shape asks for.
pub fn linear_attention(
    with: Floats,
    head: Head,
    x: Linear<'_>,
    state: &mut [f32],
    out: &mut dyn Output,
) {
    x.q.check(head.tokens, head.keys);
    x.k.check(head.tokens, head.keys);
    x.v.check(head.tokens, head.values);
    x.decay.check(head.tokens, head.keys);
    in_head(with, head, x, state, out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::recurrent::tests::{HEADS, Values, check_head};

    #[test]
    fn agrees_with_f64() {
        for (keys, values) in HEADS {
            let [q, k] = [1, 2].map(|seed| Values::new(seed, keys, 1.0));
            let v = Values::new(3, values, 1.0);
            let per_key = Values::positive(4, keys);
            let per_token = Values::positive(5, 1);
            for kind in 0..3 {
                check_head(
                    (keys, values),
                    |state, token, out| {
                        for i in 0..keys {
                            let decay = match kind {
                                0 => f64::from(0.9f32),
                                1 => per_token.get(token, 0),
                                _ => per_key.get(token, i),
                            };
                            for j in 0..values {
                                let x = &mut state[i * values + j];
                                *x = *x * decay + k.get(token, i) * v.get(token, j);
                                out[j] += *x * q.get(token, i);
                            }
                        }
                    },
                    |with, head, first, state, out| {
                        let x = Linear {
                            q: q.from(first),
                            k: k.from(first),
                            v: v.from(first),
                            decay: match kind {
                                0 => Decay::Constant(0.9),
                                1 => Decay::PerToken(per_token.from(first)),
                                _ => Decay::PerKey(per_key.from(first)),
                            },
                        };
                        linear_attention(with, head, x, state, out);
                    },
                );
            }
        }
    }
}
