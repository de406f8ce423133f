//! Softmax of one row, and the log-probability that perplexity sums.

use super::elementwise::map;
use super::exp::exp;
use crate::isa::float::{Floats, Kernel, Simd};

struct Softmax<'a>(&'a mut [f32]);

impl Kernel for Softmax<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let x = self.0;
        let top = x
            .iter()
            .fold(f32::NEG_INFINITY, |a, b| if *b > a { *b } else { a });
        if top == f32::NEG_INFINITY {
            return;
        }
        let vtop = s.splat(top);
        map!(s, x, |v| exp(s, s.sub(v, vtop)));
        // In f64: a vocabulary has 262,144 entries.
        let total: f64 = x
            .chunks(256)
            .map(|x| f64::from(x.iter().sum::<f32>()))
            .sum();
        let factor = s.splat((1.0 / total) as f32);
        map!(s, x, |v| s.mul(v, factor));
    }
}

/// `x = e^x / Σ e^x`. A row that is empty or nothing but negative infinity is left as it is.
pub fn softmax(with: Floats, x: &mut [f32]) {
    with.run(Softmax(x));
}

/// The natural logarithm of the probability that softmax gives to entry `at`, in f64.
pub fn log_softmax_at(x: &[f32], at: usize) -> f64 {
    let top = x.iter().fold(f32::NEG_INFINITY, |a, b| a.max(*b));
    let total: f64 = x.iter().map(|x| f64::from(x - top).exp()).sum();
    f64::from(x[at]) - f64::from(top) - total.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_f64() {
        for floats in Floats::all() {
            for n in [1usize, 5, 16, 1000, 49_152] {
                let x: Vec<f32> = (0..n)
                    .map(|i| (i as f32 * 0.731).sin() * 12.0 + 3.0)
                    .collect();
                let mut got = x.clone();
                floats.run(Softmax(&mut got));
                let total: f64 = x.iter().map(|x| f64::from(*x).exp()).sum();
                for i in (0..n).step_by(1 + n / 97) {
                    let want = f64::from(x[i]).exp() / total;
                    assert!((f64::from(got[i]) / want - 1.0).abs() < 2e-6);
                    assert!((log_softmax_at(&x, i) - want.ln()).abs() < 1e-6);
                }
            }
        }
        let mut none = [f32::NEG_INFINITY; 3];
        softmax(Floats::best(), &mut none);
        assert_eq!(none, [f32::NEG_INFINITY; 3]);
        softmax(Floats::best(), &mut []);
    }
}
