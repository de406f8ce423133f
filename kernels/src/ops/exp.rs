//! exp, tanh and erf on vectors: the transcendental functions that the other operations are made of.
//!
//! Polynomial coefficients are those of Cephes (S. L. Moshier, public domain): expf, tanhf, erff.

use crate::isa::float::Simd;

/// A polynomial, highest power first (Horner).
#[inline(always)]
fn polynomial<S: Simd, const N: usize>(s: S, x: S::V, coefficients: [f32; N]) -> S::V {
    let mut sum = s.splat(coefficients[0]);
    for c in &coefficients[1..] {
        sum = s.fma(sum, x, s.splat(*c));
    }
    sum
}

/// `e^x` to 2 units in the last place; 0 below -86.5 (results under 2.8e-38), infinity above 88.73, NaN for NaN.
#[inline(always)]
pub fn exp<S: Simd>(s: S, x: S::V) -> S::V {
    let clamped = s.min(s.splat(89.0), s.max(s.splat(-87.0), x));
    let n = s.round(s.mul(clamped, s.splat(std::f32::consts::LOG2_E)));
    // r = x - n ln 2, with ln 2 in two parts so that n * (first part) is exact.
    let r = s.fma(n, s.splat(-0.693_359_4), clamped);
    let r = s.fma(n, s.splat(2.121_944_4e-4), r);
    let p = polynomial(
        s,
        r,
        [
            1.987_569_1e-4,
            1.398_199_9e-3,
            8.333_452e-3,
            4.166_579_6e-2,
            1.666_666_5e-1,
            0.5,
        ],
    );
    let e = s.add(s.fma(s.mul(r, r), p, r), s.splat(1.0));
    // 2^n in two steps: n reaches 128, the exponent of a float only 127.
    let half = s.power_of_two(s.sub(n, s.splat(1.0)));
    let e = s.mul(s.mul(e, half), s.splat(2.0));
    s.select_less(x, s.splat(-86.5), s.splat(0.0), e)
}

/// `tanh x` to 3 units in the last place.
#[inline(always)]
pub fn tanh<S: Simd>(s: S, x: S::V) -> S::V {
    let zero = s.splat(0.0);
    let size = s.max(x, s.sub(zero, x));
    // Small: an odd polynomial keeps the relative precision that 1 - 2 / (e^2x + 1) would lose.
    let z = s.mul(x, x);
    let p = polynomial(
        s,
        z,
        [
            -5.704_988_7e-3,
            2.063_909e-2,
            -5.373_971_4e-2,
            1.333_144_2e-1,
            -3.333_328e-1,
        ],
    );
    let small = s.fma(s.mul(p, z), x, x);
    let e = exp(s, s.add(size, size));
    let large = s.sub(s.splat(1.0), s.div(s.splat(2.0), s.add(e, s.splat(1.0))));
    let large = s.select_less(x, zero, s.sub(zero, large), large);
    s.select_less(size, s.splat(0.625), small, large)
}

/// The error function, to an absolute 1.5e-7.
#[inline(always)]
pub fn erf<S: Simd>(s: S, x: S::V) -> S::V {
    let zero = s.splat(0.0);
    let one = s.splat(1.0);
    let size = s.max(x, s.sub(zero, x));
    let z = s.mul(x, x);
    let small = s.mul(
        x,
        polynomial(
            s,
            z,
            [
                7.853_862e-5,
                -8.010_194e-4,
                5.188_327_5e-3,
                -2.685_381_2e-2,
                1.128_358_5e-1,
                -3.761_262_6e-1,
                std::f32::consts::FRAC_2_SQRT_PI,
            ],
        ),
    );
    // erfc(x) = e^(-x^2) / x * P(1 / x^2), with one P up to 2 and another beyond.
    let q = s.div(one, s.max(size, s.splat(0.5)));
    let y = s.mul(q, q);
    let near = polynomial(
        s,
        y,
        [
            2.326_82e-2,
            -1.387_039_4e-1,
            3.687_424_7e-1,
            -5.824_733e-1,
            6.210_004_7e-1,
            -4.944_515_3e-1,
            3.404_88e-1,
            -2.741_127e-1,
            5.638_26e-1,
        ],
    );
    let far = polynomial(
        s,
        y,
        [
            -1.047_766_4e1,
            1.297_72e1,
            -7.495_519,
            2.921_019,
            -1.015_265_3,
            4.218_463_4e-1,
            -2.820_767_5e-1,
            5.641_895e-1,
        ],
    );
    let p = s.select_less(size, s.splat(2.0), near, far);
    let tail = s.mul(s.mul(exp(s, s.sub(zero, z)), q), p);
    let large = s.sub(one, tail);
    let large = s.select_less(x, zero, s.sub(zero, large), large);
    s.select_less(size, one, small, large)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::isa::float::{Floats, Kernel};

    #[derive(Clone, Copy)]
    enum Function {
        Exp,
        Tanh,
        Erf,
    }
    struct Apply<'a>(Function, &'a mut [f32]);
    impl Kernel for Apply<'_> {
        type Output = ();
        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            for x in self.1.chunks_exact_mut(S::LANES) {
                let v = s.load(x);
                let v = match self.0 {
                    Function::Exp => exp(s, v),
                    Function::Tanh => tanh(s, v),
                    Function::Erf => erf(s, v),
                };
                s.store(v, x);
            }
        }
    }

    /// erf in f64: the Maclaurin series, or the continued fraction of erfc.
    pub fn erf_f64(x: f64) -> f64 {
        if x.abs() < 3.0 {
            let (mut term, mut sum, mut n) = (x, x, 0.0);
            while term.abs() > 1e-18 {
                n += 1.0;
                term *= -x * x / n;
                sum += term / (2.0 * n + 1.0);
            }
            sum * 2.0 / std::f64::consts::PI.sqrt()
        } else {
            let a = x.abs();
            let fraction = (1..=60).rev().fold(a, |f, k| a + k as f64 / 2.0 / f);
            x.signum() * (1.0 - (-x * x).exp() / fraction / std::f64::consts::PI.sqrt())
        }
    }

    fn sweep(function: Function, low: f32, high: f32, check: impl Fn(f32, f32)) {
        for floats in Floats::all() {
            let xs: Vec<f32> = (0..160_000)
                .map(|i| low + (high - low) * (i as f32 / 160_000.0))
                .collect();
            let mut out = xs.clone();
            floats.run(Apply(function, &mut out));
            xs.iter().zip(&out).for_each(|(x, y)| check(*x, *y));
        }
    }

    #[test]
    fn exp_is_exact_to_two_ulp() {
        sweep(Function::Exp, -86.4, 88.7, |x, y| {
            let want = f64::from(x).exp();
            assert!(
                (f64::from(y) / want - 1.0).abs() < 2.4e-7,
                "exp({x}) = {y}, not {want}"
            );
        });
        sweep(Function::Exp, -1000.0, -87.0, |_, y| assert_eq!(y, 0.0));
        for floats in Floats::all() {
            let mut edge = [
                0.0,
                -0.0,
                1.0,
                f32::INFINITY,
                f32::NEG_INFINITY,
                f32::NAN,
                89.5,
                -90.0,
            ]
            .repeat(2);
            floats.run(Apply(Function::Exp, &mut edge));
            assert_eq!(edge[..2], [1.0, 1.0]);
            assert_eq!(edge[3..5], [f32::INFINITY, 0.0]);
            assert!(edge[5].is_nan());
            assert_eq!(edge[6..8], [f32::INFINITY, 0.0]);
        }
    }

    #[test]
    fn tanh_and_erf_are_exact() {
        sweep(Function::Tanh, -20.0, 20.0, |x, y| {
            let want = f64::from(x).tanh();
            assert!(
                (f64::from(y) - want).abs() < 3e-7 * want.abs() + 1e-12,
                "tanh({x}) = {y}, not {want}"
            );
        });
        sweep(Function::Erf, -6.0, 6.0, |x, y| {
            let want = erf_f64(f64::from(x));
            assert!(
                (f64::from(y) - want).abs() < 1.5e-7,
                "erf({x}) = {y}, not {want}"
            );
        });
    }
}
