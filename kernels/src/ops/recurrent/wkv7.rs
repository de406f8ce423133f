//! Time mixing of RWKV-7 (arXiv:2503.14456), whose state lies the other way round than in the paper.

use super::columns::{Columns, Work, get, in_head, put, span, span_mut, store};
use super::{Head, Output, row};
use crate::isa::float::{Floats, Kernel, Rows, Simd};
use crate::ops::elementwise::zip;

/// The inputs of [`wkv7`].
#[derive(Clone, Copy, Debug)]
pub struct Wkv7<'a> {
    /// Receptance, rows of `keys` elements.
    pub r: Rows<'a, f32>,
    /// Decay factors, rows of `keys` elements.
    pub w: Rows<'a, f32>,
    /// Keys, rows of `keys` elements.
    pub k: Rows<'a, f32>,
    /// Values, rows of `values` elements.
    pub v: Rows<'a, f32>,
    /// What is looked up in the state, rows of `keys` elements; a model gives its negated removal keys.
    pub a: Rows<'a, f32>,
    /// Where what was looked up is written, rows of `keys` elements.
    pub b: Rows<'a, f32>,
}

impl Columns for Work<'_, '_, Wkv7<'_>> {
    #[inline(always)]
    fn columns<S: Simd, const N: usize, const WHOLE: bool>(&mut self, s: S, at: usize) {
        let (x, keys, values) = (&self.x, self.head.keys, self.head.values);
        for token in 0..self.head.tokens {
            let [r, w, k, a, b] = [x.r, x.w, x.k, x.a, x.b].map(|rows| row(rows, token, keys));
            let v = span::<S, N, WHOLE>(row(x.v, token, values), at);
            let mut found = [s.splat(0.0); N];
            for (i, state) in self.state.chunks_exact(values).enumerate() {
                let (a, state) = (s.splat(a[i]), span::<S, N, WHOLE>(state, at));
                for n in 0..N {
                    found[n] = s.fma(a, get::<S, WHOLE>(s, state, n), found[n]);
                }
            }
            let mut sums = [s.splat(0.0); N];
            for (i, state) in self.state.chunks_exact_mut(values).enumerate() {
                let (r, w, k, b) = (s.splat(r[i]), s.splat(w[i]), s.splat(k[i]), s.splat(b[i]));
                let state = span_mut::<S, N, WHOLE>(state, at);
                for n in 0..N {
                    let faded = s.mul(w, get::<S, WHOLE>(s, state, n));
                    let v = get::<S, WHOLE>(s, v, n);
                    let x = s.fma(b, found[n], s.fma(k, v, faded));
                    sums[n] = s.fma(r, x, sums[n]);
                    put::<S, WHOLE>(s, x, state, n);
                }
            }
            store::<S, N, WHOLE>(s, sums, self.out.row(token, values), at);
        }
    }
}

/// For each token `S = diag(w) S + b ⊗ (Sᵀ a) + k ⊗ v`, `out = Sᵀ r`, for one head. The state is `[keys][values]`.
///
/// # Panics
/// If a slice doesn't hold what the shape asks for.
pub fn wkv7(with: Floats, head: Head, x: Wkv7<'_>, state: &mut [f32], out: &mut dyn Output) {
    for rows in [x.r, x.w, x.k, x.a, x.b] {
        rows.check(head.tokens, head.keys);
    }
    x.v.check(head.tokens, head.values);
    in_head(with, head, x, state, out);
}

struct Bonus<'a> {
    length: usize,
    factors: [&'a [f32]; 3],
    v: &'a [f32],
    out: &'a mut [f32],
}

impl Kernel for Bonus<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let heads = self.out.chunks_exact_mut(self.length);
        for (head, out) in heads.enumerate() {
            let at = head * self.length;
            let [r, k, u] = self.factors.map(|x| &x[at..][..self.length]);
            let v = &self.v[at..][..self.length];
            let sum = s.splat(triple(s.eight(), r, k, u));
            zip!(s, out, v, |out, v| s.fma(v, sum, out));
        }
    }
}

/// `Σ r k u`, in the same order with AVX2 and AVX-512.
#[inline(always)]
fn triple<S: Simd>(s: S, r: &[f32], k: &[f32], u: &[f32]) -> f32 {
    let whole = r.len() - r.len() % S::LANES;
    let mut sum = s.splat(0.0);
    for at in (0..whole).step_by(S::LANES) {
        let rk = s.mul(s.load(&r[at..]), s.load(&k[at..]));
        sum = s.fma(rk, s.load(&u[at..]), sum);
    }
    let rest = (whole..r.len()).map(|i| r[i] * k[i] * u[i]);
    s.sum(sum) + rest.sum::<f32>()
}

/// What the present token adds beside the state: `out += v Σ r k u` for each head of `length` values, the sum being that
/// head's, `factors` being r, k and u.
///
/// # Panics
/// If the slices differ in length or aren't whole heads.
pub fn wkv7_bonus(with: Floats, length: usize, factors: [&[f32]; 3], v: &[f32], out: &mut [f32]) {
    let all = factors.iter().chain([&v]);
    assert!(
        length > 0 && out.len().is_multiple_of(length),
        "whole heads"
    );
    assert!(
        all.into_iter().all(|x| x.len() == out.len()),
        "slices of one length"
    );
    with.run(Bonus {
        length,
        factors,
        v,
        out,
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bonus_agrees_with_f64() {
        for length in [1, 5, 8, 33, 64] {
            let [r, k, u, v, start] = [1.0, 2.0, 3.0, 4.0, 5.0].map(|seed: f32| {
                let values = (0..3 * length).map(|i| (i as f32 * 0.7 + seed).sin());
                values.collect::<Vec<f32>>()
            });
            for with in Floats::all() {
                let mut out = start.clone();
                wkv7_bonus(with, length, [&r, &k, &u], &v, &mut out);
                for (i, out) in out.iter().enumerate() {
                    let head = i / length * length..(i / length + 1) * length;
                    let products =
                        head.map(|i| f64::from(r[i]) * f64::from(k[i]) * f64::from(u[i]));
                    let want = f64::from(start[i]) + products.sum::<f64>() * f64::from(v[i]);
                    assert!((f64::from(*out) - want).abs() < 1e-5, "{length}");
                }
            }
        }
    }

    use crate::ops::recurrent::tests::{HEADS, Values, check_head};

    #[test]
    fn agrees_with_f64() {
        for (keys, values) in HEADS {
            let small = 1.0 / (keys as f32).sqrt();
            let [r, k] = [1, 2].map(|seed| Values::new(seed, keys, 1.0));
            let [a, b] = [3, 4].map(|seed| Values::new(seed, keys, small));
            let v = Values::new(5, values, 1.0);
            let w = Values::positive(6, keys);
            check_head(
                (keys, values),
                |state, token, out| {
                    for j in 0..values {
                        let found: f64 = (0..keys)
                            .map(|i| a.get(token, i) * state[i * values + j])
                            .sum();
                        for i in 0..keys {
                            let x = &mut state[i * values + j];
                            *x = *x * w.get(token, i)
                                + k.get(token, i) * v.get(token, j)
                                + b.get(token, i) * found;
                            out[j] += *x * r.get(token, i);
                        }
                    }
                },
                |with, head, first, state, out| {
                    let x = Wkv7 {
                        r: r.from(first),
                        w: w.from(first),
                        k: k.from(first),
                        v: v.from(first),
                        a: a.from(first),
                        b: b.from(first),
                    };
                    wkv7(with, head, x, state, out);
                },
            );
        }
    }
}
