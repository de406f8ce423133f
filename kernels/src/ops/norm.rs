//! RMSNorm (arXiv:1910.07467) and LayerNorm (arXiv:1607.06450) of one row, and rows of length one.

use super::elementwise::map;
use crate::isa::float::{Floats, Kernel, Simd};

/// `Σ x`, or `Σ (x - center)²`, in four chains of eight lanes; one fixed order for a length, the same on
/// AVX2 and AVX-512.
#[inline(always)]
fn sum<S: Simd, const SQUARES: bool>(s: S, x: &[f32], center: f32) -> f32 {
    let vcenter = s.splat(center);
    let mut sums = [s.splat(0.0); 4];
    let whole = x.len() - x.len() % S::LANES;
    for (index, x) in x[..whole].chunks_exact(S::LANES).enumerate() {
        let v = s.load(x);
        let sum = &mut sums[index % 4];
        *sum = if SQUARES {
            let d = s.sub(v, vcenter);
            s.fma(d, d, *sum)
        } else {
            s.add(*sum, v)
        };
    }
    let total = s.sum(s.add(s.add(sums[0], sums[1]), s.add(sums[2], sums[3])));
    let rest = x[whole..].iter().map(|x| {
        if SQUARES {
            (x - center) * (x - center)
        } else {
            *x
        }
    });
    total + rest.sum::<f32>()
}

/// `out = (x - mean) * factor * weight + bias`.
#[inline(always)]
fn write<S: Simd>(
    s: S,
    x: &[f32],
    mean: f32,
    factor: f32,
    weight: Option<&[f32]>,
    bias: Option<&[f32]>,
    out: &mut [f32],
) {
    let n = x.len();
    assert!(
        out.len() == n && weight.is_none_or(|w| w.len() == n) && bias.is_none_or(|b| b.len() == n)
    );
    let whole = n - n % S::LANES;
    let (vmean, vfactor) = (s.splat(mean), s.splat(factor));
    for at in (0..whole).step_by(S::LANES) {
        let mut v = s.mul(s.sub(s.load(&x[at..]), vmean), vfactor);
        if let Some(w) = weight {
            v = s.mul(v, s.load(&w[at..]));
        }
        if let Some(b) = bias {
            v = s.add(v, s.load(&b[at..]));
        }
        s.store(v, &mut out[at..]);
    }
    for i in whole..n {
        let v = (x[i] - mean) * factor * weight.map_or(1.0, |w| w[i]);
        out[i] = v + bias.map_or(0.0, |b| b[i]);
    }
}

struct RmsNorm<'a> {
    x: &'a [f32],
    weight: Option<&'a [f32]>,
    epsilon: f32,
    out: &'a mut [f32],
}

impl Kernel for RmsNorm<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let squares = sum::<S::Eight, true>(s.eight(), self.x, 0.0);
        let factor = 1.0 / (squares / self.x.len() as f32 + self.epsilon).sqrt();
        write(s, self.x, 0.0, factor, self.weight, None, self.out);
    }
}

/// `out = x / √(mean(x²) + epsilon) * weight`. A missing weight counts as ones.
pub fn rms_norm(with: Floats, x: &[f32], weight: Option<&[f32]>, epsilon: f32, out: &mut [f32]) {
    with.run(RmsNorm {
        x,
        weight,
        epsilon,
        out,
    });
}

struct LayerNorm<'a> {
    x: &'a [f32],
    weight: Option<&'a [f32]>,
    bias: Option<&'a [f32]>,
    epsilon: f32,
    out: &'a mut [f32],
}

impl Kernel for LayerNorm<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let n = self.x.len() as f32;
        let mean = sum::<S::Eight, false>(s.eight(), self.x, 0.0) / n;
        let variance = sum::<S::Eight, true>(s.eight(), self.x, mean) / n;
        let factor = 1.0 / (variance + self.epsilon).sqrt();
        write(s, self.x, mean, factor, self.weight, self.bias, self.out);
    }
}

/// `out = (x - mean) / √(variance + epsilon) * weight + bias`. A missing weight counts as ones, a missing bias as zeros.
pub fn layer_norm(
    with: Floats,
    x: &[f32],
    weight: Option<&[f32]>,
    bias: Option<&[f32]>,
    epsilon: f32,
    out: &mut [f32],
) {
    with.run(LayerNorm {
        x,
        weight,
        bias,
        epsilon,
        out,
    });
}

struct Squares<'a>(&'a [f32]);

impl Kernel for Squares<'_> {
    type Output = f32;
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f32 {
        sum::<S::Eight, true>(s.eight(), self.0, 0.0)
    }
}

/// `Σ x²`.
pub fn squares(with: Floats, x: &[f32]) -> f32 {
    with.run(Squares(x))
}

struct Deviations<'a>(&'a [f32]);

impl Kernel for Deviations<'_> {
    type Output = (f32, f32);
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> (f32, f32) {
        let mean = sum::<S::Eight, false>(s.eight(), self.0, 0.0) / self.0.len() as f32;
        (mean, sum::<S::Eight, true>(s.eight(), self.0, mean))
    }
}

/// The mean of `x`, and `Σ (x - mean)²`.
pub fn deviations(with: Floats, x: &[f32]) -> (f32, f32) {
    with.run(Deviations(x))
}

struct L2Norm<'a> {
    x: &'a mut [f32],
    width: usize,
    epsilon: f32,
}

impl Kernel for L2Norm<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for row in self.x.chunks_exact_mut(self.width) {
            let length = sum::<S::Eight, true>(s.eight(), row, 0.0).sqrt();
            let factor = s.splat(1.0 / length.max(self.epsilon));
            map!(s, row, |x| s.mul(x, factor));
        }
    }
}

/// `x = x / max(‖x‖, epsilon)` for each row of `width` values: queries and keys of the delta rule. The epsilon bounds the
/// length from below, it isn't added to the squares.
///
/// # Panics
/// If `x` is not a whole number of rows.
pub fn l2_norm(with: Floats, x: &mut [f32], width: usize, epsilon: f32) {
    assert!(
        width > 0 && x.len().is_multiple_of(width),
        "{} values are no rows of {width}",
        x.len()
    );
    with.run(L2Norm { x, width, epsilon });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agree_with_f64() {
        for floats in Floats::all() {
            for n in [1, 3, 8, 15, 16, 33, 64, 100, 576, 2048] {
                let x: Vec<f32> = (0..n)
                    .map(|i| (i as f32 * 0.37).sin() * 3.0 + 0.5)
                    .collect();
                let w: Vec<f32> = (0..n)
                    .map(|i| 1.0 + (i as f32 * 0.11).cos() * 0.3)
                    .collect();
                let b: Vec<f32> = (0..n).map(|i| (i as f32 * 0.21).cos()).collect();
                let mut rms = vec![0.0; n];
                let mut layer = vec![0.0; n];
                floats.run(RmsNorm {
                    x: &x,
                    weight: Some(&w),
                    epsilon: 1e-5,
                    out: &mut rms,
                });
                floats.run(LayerNorm {
                    x: &x,
                    weight: Some(&w),
                    bias: Some(&b),
                    epsilon: 1e-5,
                    out: &mut layer,
                });
                let mean = x.iter().map(|x| f64::from(*x)).sum::<f64>() / n as f64;
                let square = x.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / n as f64;
                let variance = x
                    .iter()
                    .map(|x| (f64::from(*x) - mean).powi(2))
                    .sum::<f64>()
                    / n as f64;
                for i in 0..n {
                    let (x, w, b) = (f64::from(x[i]), f64::from(w[i]), f64::from(b[i]));
                    let want = x / (square + 1e-5).sqrt() * w;
                    assert!((f64::from(rms[i]) - want).abs() < 2e-6, "{n} {i}");
                    let want = (x - mean) / (variance + 1e-5).sqrt() * w + b;
                    assert!((f64::from(layer[i]) - want).abs() < 5e-6, "{n} {i}");
                }
            }
        }
    }

    #[test]
    fn rows_of_length_one() {
        for with in Floats::all() {
            for width in [1, 7, 16, 33, 128] {
                let x: Vec<f32> = (0..3 * width)
                    .map(|i| (i as f32 * 0.37).sin() * if i < width { 1e-4 } else { 2.0 })
                    .collect();
                let mut got = x.clone();
                l2_norm(with, &mut got, width, 0.01);
                for (x, got) in x.chunks_exact(width).zip(got.chunks_exact(width)) {
                    let squares: f64 = x.iter().map(|x| f64::from(*x).powi(2)).sum();
                    for (x, got) in x.iter().zip(got) {
                        let want = f64::from(*x) / squares.sqrt().max(f64::from(0.01f32));
                        assert!((f64::from(*got) - want).abs() < 1e-6, "{width}");
                    }
                }
            }
        }
    }
}
