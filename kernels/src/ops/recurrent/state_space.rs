//! The state space layer of Mamba-2 (arXiv:2405.21060).

use super::columns::{Columns, Work, advance, in_head, load, store};
use super::decay::factor;
use super::{Head, Output, row};
use crate::isa::float::{Floats, Rows, Simd};

/// The inputs of [`state_space`]. Rows of `b` and `c` belong to the head's group.
#[derive(Clone, Copy, Debug)]
pub struct StateSpace<'a> {
    /// What the head reads, rows of `values` (the head's dimension) elements.
    pub x: Rows<'a, f32>,
    /// Step sizes, already through softplus: rows of one element.
    pub dt: Rows<'a, f32>,
    /// What writes to the state, rows of `keys` (the state's size) elements.
    pub b: Rows<'a, f32>,
    /// What reads the state, rows of `keys` elements.
    pub c: Rows<'a, f32>,
    /// The head's rate, negative; GGUF files hold this and not its logarithm.
    pub a: f32,
    /// The head's direct way from input to output.
    pub d: f32,
}

impl Columns for Work<'_, '_, StateSpace<'_>> {
    #[inline(always)]
    fn columns<S: Simd, const N: usize, const WHOLE: bool>(&mut self, s: S, at: usize) {
        let (x, keys, values) = (&self.x, self.head.keys, self.head.values);
        let d = s.splat(x.d);
        for token in 0..self.head.tokens {
            let dt = row(x.dt, token, 1)[0];
            let decay = factor(s, dt * x.a);
            let input = load::<S, N, WHOLE>(s, row(x.x, token, values), at);
            let mut step = input;
            for n in 0..N {
                step[n] = s.mul(s.splat(dt), input[n]);
            }
            let mut sums = advance::<S, N, WHOLE>(
                s,
                self.state,
                values,
                at,
                (&[decay], 0),
                row(x.b, token, keys),
                step,
                row(x.c, token, keys),
            );
            for n in 0..N {
                sums[n] = s.fma(d, input[n], sums[n]);
            }
            store::<S, N, WHOLE>(s, sums, self.out.row(token, values), at);
        }
    }
}

/// For each token `S = e^(dt a) S + b ⊗ (dt x)`, `out = Sᵀ c + d x`, for one head. The state is `[keys][values]`, that is
/// `[state size][head dimension]`.
///
/// # Panics
/// If a slice doesn't hold what the shape asks for.
pub fn state_space(
    with: Floats,
    head: Head,
    x: StateSpace<'_>,
    state: &mut [f32],
    out: &mut dyn Output,
) {
    x.x.check(head.tokens, head.values);
    x.dt.check(head.tokens, 1);
    x.b.check(head.tokens, head.keys);
    x.c.check(head.tokens, head.keys);
    in_head(with, head, x, state, out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::recurrent::tests::{HEADS, Values, check_head};

    #[test]
    fn agrees_with_f64() {
        let (a, d) = (-0.7f32, 1.3f32);
        for (keys, values) in HEADS {
            let x = Values::new(1, values, 1.0);
            let [b, c] = [2, 3].map(|seed| Values::new(seed, keys, 1.0));
            let dt = Values::positive(4, 1);
            check_head(
                (keys, values),
                |state, token, out| {
                    let dt = dt.get(token, 0);
                    for i in 0..keys {
                        for j in 0..values {
                            let h = &mut state[i * values + j];
                            *h = *h * (dt * f64::from(a)).exp()
                                + dt * b.get(token, i) * x.get(token, j);
                            out[j] += *h * c.get(token, i);
                        }
                    }
                    for j in 0..values {
                        out[j] += f64::from(d) * x.get(token, j);
                    }
                },
                |with, head, first, state, out| {
                    let x = StateSpace {
                        x: x.from(first),
                        dt: dt.from(first),
                        b: b.from(first),
                        c: c.from(first),
                        a,
                        d,
                    };
                    state_space(with, head, x, state, out);
                },
            );
        }
    }
}
