//! How fast a state forgets.

use crate::isa::float::{Floats, Kernel, Rows, Simd};
use crate::ops::elementwise::map;
use crate::ops::exp::exp;

/// The factors that a state is multiplied with before a token is added, not their logarithms.
#[derive(Clone, Copy, Debug)]
pub enum Decay<'a> {
    /// One for all tokens.
    Constant(f32),
    /// One for each token: rows of one element.
    PerToken(Rows<'a, f32>),
    /// One for each token and key channel: rows of `keys` elements.
    PerKey(Rows<'a, f32>),
}

impl Decay<'_> {
    /// Panics if a token has none.
    pub(super) fn check(&self, tokens: usize, keys: usize) {
        match self {
            Decay::Constant(_) => {}
            Decay::PerToken(rows) => rows.check(tokens, 1),
            Decay::PerKey(rows) => rows.check(tokens, keys),
        }
    }

    /// The factors of a token, and how far those of successive keys are apart: 0 where all share one.
    #[inline(always)]
    pub(super) fn of(&self, token: usize, keys: usize) -> (&[f32], usize) {
        match self {
            Decay::Constant(factor) => (std::slice::from_ref(factor), 0),
            Decay::PerToken(rows) => (super::row(*rows, token, 1), 0),
            Decay::PerKey(rows) => (super::row(*rows, token, keys), 1),
        }
    }
}

struct Factors<'a>(&'a mut [f32]);

impl Kernel for Factors<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        map!(s, self.0, |x| exp(s, x));
    }
}

/// `g = e^g`: the factors for [`Decay`] where a model computes logarithms.
pub fn decay_factors(with: Floats, g: &mut [f32]) {
    with.run(Factors(g));
}

/// `e^x` with these instructions.
#[inline(always)]
pub(super) fn factor<S: Simd>(s: S, x: f32) -> f32 {
    let mut lanes = [0f32; 16];
    s.store(exp(s, s.splat(x)), &mut lanes);
    lanes[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_of_any_number_of_logarithms() {
        for with in Floats::all() {
            for n in [0, 1, 15, 16, 40] {
                let mut g: Vec<f32> = (0..n).map(|i| i as f32 * -0.3).collect();
                decay_factors(with, &mut g);
                for (i, g) in g.iter().enumerate() {
                    let want = f64::from(i as f32 * -0.3).exp();
                    assert!((f64::from(*g) / want - 1.0).abs() < 3e-7);
                }
            }
        }
    }
}
