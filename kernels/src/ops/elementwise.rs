//! Sums, products, scales and conversions of whole slices. Operands of different length are a bug of the caller: they
//! panic before anything is written.

use crate::isa::float::{Floats, Kernel, Simd};
use crate::ops::exp::tanh;
use half::f16;
use half::slice::HalfFloatSliceExt;

/// `map!(s, x, |v| expression)`: `x[i] = expression(x[i])`, whole vectors first, then a zero-padded copy of the rest.
///
/// A macro because closures are not compiled with the instructions of the function around them.
macro_rules! map {
    ($s:expr, $x:expr, |$v:ident| $result:expr) => {{
        let x: &mut [f32] = $x;
        let mut padded = [0f32; 16];
        for chunk in x.chunks_mut(S::LANES) {
            let whole = chunk.len() == S::LANES;
            let $v = if whole {
                $s.load(chunk)
            } else {
                padded[..chunk.len()].copy_from_slice(chunk);
                $s.load(&padded)
            };
            let result = $result;
            if whole {
                $s.store(result, chunk);
            } else {
                $s.store(result, &mut padded);
                chunk.copy_from_slice(&padded[..chunk.len()]);
            }
        }
    }};
}

/// `zip!(s, x, y, |v, w| expression)`: `x[i] = expression(x[i], y[i])`.
macro_rules! zip {
    ($s:expr, $x:expr, $y:expr, |$v:ident, $w:ident| $result:expr) => {{
        let (x, y): (&mut [f32], &[f32]) = ($x, $y);
        assert_eq!(x.len(), y.len(), "operands of different length");
        let mut padded = [[0f32; 16]; 2];
        for (x, y) in x.chunks_mut(S::LANES).zip(y.chunks(S::LANES)) {
            let whole = x.len() == S::LANES;
            let ($v, $w) = if whole {
                ($s.load(x), $s.load(y))
            } else {
                padded[0][..x.len()].copy_from_slice(x);
                padded[1][..y.len()].copy_from_slice(y);
                ($s.load(&padded[0]), $s.load(&padded[1]))
            };
            let result = $result;
            if whole {
                $s.store(result, x);
            } else {
                $s.store(result, &mut padded[0]);
                x.copy_from_slice(&padded[0][..x.len()]);
            }
        }
    }};
}

pub(crate) use {map, zip};

enum Pair {
    Add,
    Mul,
    AddScaled(f32),
}

struct Zip<'a>(Pair, &'a mut [f32], &'a [f32]);

impl Kernel for Zip<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        match self.0 {
            Pair::Add => zip!(s, self.1, self.2, |x, y| s.add(x, y)),
            Pair::Mul => zip!(s, self.1, self.2, |x, y| s.mul(x, y)),
            Pair::AddScaled(k) => zip!(s, self.1, self.2, |x, y| s.fma(y, s.splat(k), x)),
        }
    }
}

/// `x += y`.
pub fn add(with: Floats, x: &mut [f32], y: &[f32]) {
    with.run(Zip(Pair::Add, x, y));
}

/// `x *= y`.
pub fn mul(with: Floats, x: &mut [f32], y: &[f32]) {
    with.run(Zip(Pair::Mul, x, y));
}

/// `x += factor * y`.
pub fn add_scaled(with: Floats, x: &mut [f32], factor: f32, y: &[f32]) {
    with.run(Zip(Pair::AddScaled(factor), x, y));
}

enum Single {
    ScaleAdd(f32, f32),
    Softcap(f32),
    Clamp(f32),
}

struct Map<'a>(Single, &'a mut [f32]);

impl Kernel for Map<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        match self.0 {
            Single::ScaleAdd(k, c) => {
                map!(s, self.1, |x| s.add(s.mul(x, s.splat(k)), s.splat(c)))
            }
            Single::Softcap(cap) => map!(s, self.1, |x| soft_cap(s, x, cap)),
            Single::Clamp(most) => {
                map!(s, self.1, |x| s
                    .max(s.min(x, s.splat(most)), s.splat(-most)))
            }
        }
    }
}

/// `cap * tanh(x / cap)` on one vector.
#[inline(always)]
pub(crate) fn soft_cap<S: Simd>(s: S, x: S::V, cap: f32) -> S::V {
    s.mul(s.splat(cap), tanh(s, s.mul(x, s.splat(1.0 / cap))))
}

/// `x *= factor`.
pub fn scale(with: Floats, x: &mut [f32], factor: f32) {
    scale_add(with, x, factor, 0.0);
}

/// `x = x * factor + offset`.
pub fn scale_add(with: Floats, x: &mut [f32], factor: f32, offset: f32) {
    with.run(Map(Single::ScaleAdd(factor, offset), x));
}

/// `x = cap * tanh(x / cap)`: a smooth limit on logits (Gemma 2, arXiv:2408.00118).
pub fn softcap(with: Floats, x: &mut [f32], cap: f32) {
    with.run(Map(Single::Softcap(cap), x));
}

/// `x = min(max(x, -most), most)`.
pub fn clamp(with: Floats, x: &mut [f32], most: f32) {
    with.run(Map(Single::Clamp(most), x));
}

/// The index of the largest value, the first of equals; 0 for an empty slice. NaN never wins.
pub fn largest(x: &[f32]) -> usize {
    let mut best = (0, f32::NEG_INFINITY);
    // A block's maximum is one pass of vector instructions; only a block that beats the best so far is searched.
    for (block, values) in x.chunks(64).enumerate() {
        let top = values
            .iter()
            .fold(f32::NEG_INFINITY, |a, b| if *b > a { *b } else { a });
        if top > best.1
            && let Some(at) = values.iter().position(|v| *v == top)
        {
            best = (block * 64 + at, top);
        }
    }
    best.0
}

struct Widen<'a>(&'a [u16], &'a mut [f32]);

impl Kernel for Widen<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let whole = self.0.len() - self.0.len() % S::LANES;
        let (bits, rest) = self.0.split_at(whole);
        let (out, out_rest) = self.1.split_at_mut(whole);
        for (b, o) in bits
            .chunks_exact(S::LANES)
            .zip(out.chunks_exact_mut(S::LANES))
        {
            s.store(s.load_f16(b), o);
        }
        for (b, o) in rest.iter().zip(out_rest) {
            *o = f16::from_bits(*b).to_f32();
        }
    }
}

/// Half floats to f32, exactly.
pub fn widen_f16(with: Floats, x: &[f16], out: &mut [f32]) {
    assert_eq!(x.len(), out.len(), "operands of different length");
    with.run(Widen(x.reinterpret_cast(), out));
}

struct Narrow<'a>(&'a [f32], &'a mut [u16]);

impl Kernel for Narrow<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let whole = self.0.len() - self.0.len() % S::LANES;
        let (x, rest) = self.0.split_at(whole);
        let (out, out_rest) = self.1.split_at_mut(whole);
        for (x, o) in x.chunks_exact(S::LANES).zip(out.chunks_exact_mut(S::LANES)) {
            s.store_f16(s.load(x), o);
        }
        for (x, o) in rest.iter().zip(out_rest) {
            *o = f16::from_f32(*x).to_bits();
        }
    }
}

/// f32 to half floats, to nearest even; values past 65504 become infinite.
pub fn narrow_f16(with: Floats, x: &[f32], out: &mut [f16]) {
    assert_eq!(x.len(), out.len(), "operands of different length");
    with.run(Narrow(x, out.reinterpret_cast_mut()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_lengths() {
        for n in [0, 1, 7, 8, 9, 15, 16, 17, 31, 33, 100] {
            let x: Vec<f32> = (0..n).map(|i| (i as f32 * 0.7).sin() * 40.0).collect();
            let y: Vec<f32> = (0..n).map(|i| (i as f32 * 1.3).cos()).collect();
            let with = Floats::best();
            let check = |run: &dyn Fn(&mut [f32]), want: &dyn Fn(f64, f64) -> f64| {
                let mut out = x.clone();
                run(&mut out);
                for i in 0..n {
                    let want = want(x[i].into(), y[i].into());
                    assert!(
                        (f64::from(out[i]) - want).abs() <= 1e-6 * want.abs() + 1e-7,
                        "{n}, {i}"
                    );
                }
            };
            check(&|o| add(with, o, &y), &|x, y| x + y);
            check(&|o| mul(with, o, &y), &|x, y| x * y);
            check(&|o| add_scaled(with, o, 0.5, &y), &|x, y| x + 0.5 * y);
            check(&|o| scale(with, o, -3.0), &|x, _| x * -3.0);
            check(&|o| scale_add(with, o, 2.0, 1.0), &|x, _| x * 2.0 + 1.0);
            check(&|o| clamp(with, o, 0.7), &|x, _| x.clamp(-0.7, 0.7));
            check(&|o| softcap(with, o, 30.0), &|x, _| {
                30.0 * (x / 30.0).tanh()
            });
            let mut half = vec![f16::ZERO; n];
            narrow_f16(with, &x, &mut half);
            let mut back = vec![0.0; n];
            widen_f16(with, &half, &mut back);
            for i in 0..n {
                assert_eq!(half[i], f16::from_f32(x[i]));
                assert_eq!(back[i], half[i].to_f32());
            }
        }
    }

    #[test]
    fn the_first_of_the_largest() {
        assert_eq!(largest(&[]), 0);
        assert_eq!(largest(&[f32::NAN, 1.0, 3.0, 3.0, f32::NAN, 2.0]), 2);
        assert_eq!(largest(&[f32::NEG_INFINITY; 3]), 0);
        let mut x = vec![0.0f32; 1000];
        x[777] = 1.0;
        x[901] = 1.0;
        assert_eq!(largest(&x), 777);
    }
}
