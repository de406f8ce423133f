//! Time mixing of RWKV-6 (arXiv:2404.05892).

use super::columns::{Columns, Work, get, in_head, load, put, span_mut, store};
use super::{Head, Output, row};
use crate::isa::float::{Floats, Rows, Simd};

/// The inputs of [`wkv6`].
#[derive(Clone, Copy, Debug)]
pub struct Wkv6<'a> {
    /// Receptance, rows of `keys` elements.
    pub r: Rows<'a, f32>,
    /// Decay factors, rows of `keys` elements.
    pub w: Rows<'a, f32>,
    /// Keys, rows of `keys` elements.
    pub k: Rows<'a, f32>,
    /// Values, rows of `values` elements.
    pub v: Rows<'a, f32>,
    /// The bonus of the present token, `keys` elements.
    pub u: &'a [f32],
}

impl Columns for Work<'_, '_, Wkv6<'_>> {
    #[inline(always)]
    fn columns<S: Simd, const N: usize, const WHOLE: bool>(&mut self, s: S, at: usize) {
        let (x, keys, values) = (&self.x, self.head.keys, self.head.values);
        for token in 0..self.head.tokens {
            let [r, w, k] = [x.r, x.w, x.k].map(|rows| row(rows, token, keys));
            let v = load::<S, N, WHOLE>(s, row(x.v, token, values), at);
            let mut sums = [s.splat(0.0); N];
            for (i, state) in self.state.chunks_exact_mut(values).enumerate() {
                let (r, w, k) = (s.splat(r[i]), s.splat(w[i]), s.splat(k[i]));
                let u = s.splat(x.u[i]);
                let state = span_mut::<S, N, WHOLE>(state, at);
                for n in 0..N {
                    let (x, kv) = (get::<S, WHOLE>(s, state, n), s.mul(k, v[n]));
                    sums[n] = s.fma(r, s.fma(u, kv, x), sums[n]);
                    put::<S, WHOLE>(s, s.fma(w, x, kv), state, n);
                }
            }
            store::<S, N, WHOLE>(s, sums, self.out.row(token, values), at);
        }
    }
}

/// For each token `out = (S + (u ⊙ k) ⊗ v)ᵀ r`, then `S = diag(w) S + k ⊗ v`, for one head. The state is `[keys][values]`.
///
/// # Panics
/// If a slice doesn't hold what the shape asks for.
pub fn wkv6(with: Floats, head: Head, x: Wkv6<'_>, state: &mut [f32], out: &mut dyn Output) {
    for rows in [x.r, x.w, x.k] {
        rows.check(head.tokens, head.keys);
    }
    x.v.check(head.tokens, head.values);
    assert_eq!(x.u.len(), head.keys, "a bonus for every key");
    in_head(with, head, x, state, out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::recurrent::tests::{HEADS, Values, check_head};

    #[test]
    fn agrees_with_f64() {
        for (keys, values) in HEADS {
            let [r, k, u] = [1, 2, 3].map(|seed| Values::new(seed, keys, 1.0));
            let v = Values::new(4, values, 1.0);
            let w = Values::positive(5, keys);
            check_head(
                (keys, values),
                |state, token, out| {
                    for i in 0..keys {
                        for j in 0..values {
                            let x = &mut state[i * values + j];
                            let kv = k.get(token, i) * v.get(token, j);
                            out[j] += r.get(token, i) * (*x + u.get(0, i) * kv);
                            *x = *x * w.get(token, i) + kv;
                        }
                    }
                },
                |with, head, first, state, out| {
                    let x = Wkv6 {
                        r: r.from(first),
                        w: w.from(first),
                        k: k.from(first),
                        v: v.from(first),
                        u: row(u.from(0), 0, keys),
                    };
                    wkv6(with, head, x, state, out);
                },
            );
        }
    }
}
