//! Vectors of f32, written once and compiled for every instruction set.
//!
//! [`Simd`] is a token that proves the CPU has an instruction set; its methods are the vector operations that
//! norms, activations, rope and attention need. An operation is a [`Kernel`]: safe code generic over `Simd`.
//! [`Floats::run`] compiles it once per instruction set (`#[target_feature]`) and picks the right copy at run time.
//! The portable implementation is [`wide`]; x86 adds AVX2+FMA+F16C and AVX-512, and on aarch64 `wide` is NEON itself.

mod dots;
mod portable;
mod rows;
mod weighted;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use dots::dots;
pub use rows::{Element, Rows, finite, most_rows};
pub use weighted::{Onto, weighted_rows};

/// The operations on one vector of f32. A value of an implementing type exists only where the CPU can run them.
///
/// All methods are lane-wise unless said otherwise. Where the two operands of `min` and `max` hold a NaN, the
/// second operand is the result on x86, a NaN on ARM: a NaN in the second operand always comes through.
pub trait Simd: Copy + Send + Sync + 'static {
    /// One vector.
    type V: Copy;
    /// How many f32 it holds: 8 or 16.
    const LANES: usize;
    /// How many runs of eight it holds. [`dots`] gives every row eight lanes, so that sums are the same for any width.
    const EIGHTS: usize = Self::LANES / 8;
    /// A set of eight lanes that goes with this one.
    type Eight: Simd;

    /// The token of [`Simd::Eight`].
    fn eight(self) -> Self::Eight;
    /// Runs `kernel` with these instructions in a function of its own: what is large and called from several places is
    /// compiled once. Worth it only where a call costs nothing beside the work.
    fn apart<K: Kernel>(self, kernel: K) -> K::Output;

    /// All lanes `x`.
    fn splat(self, x: f32) -> Self::V;
    /// The first `LANES` values of `values`, which must hold as many.
    fn load(self, values: &[f32]) -> Self::V;
    /// Writes the first `LANES` values of `out`, which must hold as many.
    fn store(self, v: Self::V, out: &mut [f32]);
    /// `LANES` values from `at`.
    /// # Safety
    /// `at` must be readable for `LANES` values.
    unsafe fn load_at(self, at: *const f32) -> Self::V;
    /// `LANES` values to `at`.
    /// # Safety
    /// `at` must be writable for `LANES` values.
    unsafe fn store_at(self, v: Self::V, at: *mut f32);
    /// Eight values from each of the first `EIGHTS` places.
    /// # Safety
    /// Those places must be readable for eight values.
    unsafe fn eights_at(self, at: [*const f32; 2]) -> Self::V;
    /// As [`Simd::eights_at`], IEEE half floats widened.
    /// # Safety
    /// The first `EIGHTS` places must be readable for eight values.
    unsafe fn eights_f16_at(self, at: [*const u16; 2]) -> Self::V;
    /// As [`Simd::eights_at`], upper halves of floats widened.
    /// # Safety
    /// The first `EIGHTS` places must be readable for eight values.
    unsafe fn eights_bf16_at(self, at: [*const u16; 2]) -> Self::V;
    /// The same eight values `EIGHTS` times.
    /// # Safety
    /// `at` must be readable for eight values.
    unsafe fn eight_at(self, at: *const f32) -> Self::V;
    /// `a + b`.
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a - b`.
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a * b`.
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a / b`.
    fn div(self, a: Self::V, b: Self::V) -> Self::V;
    /// The smaller one.
    fn min(self, a: Self::V, b: Self::V) -> Self::V;
    /// The larger one.
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a * b + c`, rounded once where the instruction set has a fused multiply-add.
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// To the nearest integer (in -2^22 ..= 2^22), ties to even.
    fn round(self, v: Self::V) -> Self::V;
    /// `2^n` for integral `n` in -126 ..= 127.
    fn power_of_two(self, n: Self::V) -> Self::V;
    /// `a < b ? yes : no`.
    fn select_less(self, a: Self::V, b: Self::V, yes: Self::V, no: Self::V) -> Self::V;
    /// The sum over the lanes: of sixteen, the upper eight are added to the lower first, and eight are added as
    /// `((0 + 4) + (2 + 6)) + ((1 + 5) + (3 + 7))`.
    fn sum(self, v: Self::V) -> f32;
    /// The sum of each eight lanes of four vectors, in the order of [`Simd::sum`]. Only the first `4 * EIGHTS` results
    /// mean anything.
    fn sums_of_eights(self, v: [Self::V; 4]) -> [f32; 8];
    /// The largest lane.
    fn largest(self, v: Self::V) -> f32;
    /// The first `LANES` values of `bits` (IEEE half floats), widened.
    fn load_f16(self, bits: &[u16]) -> Self::V;
    /// The first `LANES` values of `bits` (upper halves of floats), widened.
    fn load_bf16(self, bits: &[u16]) -> Self::V;
    /// Narrows to IEEE half floats, ties to even.
    fn store_f16(self, v: Self::V, bits: &mut [u16]);
    /// The first `LANES` values of `codes`, widened.
    fn load_i8(self, codes: &[i8]) -> Self::V;
}

/// A piece of arithmetic that is generic over the instruction set.
///
/// Mark `run`, and every function below it that touches vectors, `#[inline(always)]`, and keep vectors out of closures:
/// only what is inlined into [`Floats::run`]'s copies is compiled with their instructions.
pub trait Kernel {
    /// What it gives back.
    type Output;
    /// Does the work with `s`'s instructions.
    fn run<S: Simd>(self, s: S) -> Self::Output;
}

/// A float instruction set that this CPU has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Floats(Set);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Set {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Floats {
    /// The portable one (`wide`): SSE2 on x86, NEON on ARM.
    pub const PORTABLE: Floats = Floats(Set::Portable);

    /// AVX2 with FMA and F16C, if the CPU has them.
    pub fn avx2() -> Option<Floats> {
        #[cfg(target_arch = "x86_64")]
        if x86::Avx2::detect().is_some() {
            return Some(Floats(Set::Avx2));
        }
        None
    }

    /// AVX-512 (F, BW, DQ, VL), if the CPU has it.
    pub fn avx512() -> Option<Floats> {
        #[cfg(target_arch = "x86_64")]
        if x86::Avx512::detect().is_some() {
            return Some(Floats(Set::Avx512));
        }
        None
    }

    /// The best there is.
    pub fn best() -> Floats {
        Floats::avx512()
            .or_else(Floats::avx2)
            .unwrap_or(Floats::PORTABLE)
    }

    /// All that this CPU has, for tests and measurements.
    pub fn all() -> Vec<Floats> {
        [Some(Floats::PORTABLE), Floats::avx2(), Floats::avx512()]
            .into_iter()
            .flatten()
            .collect()
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self.0 {
            Set::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 => "avx512",
        }
    }

    /// Lanes of its vector.
    pub fn lanes(self) -> usize {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 => 16,
            _ => 8,
        }
    }

    /// Runs `kernel` with these instructions.
    #[inline]
    pub fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self.0 {
            Set::Portable => kernel.run(portable::Portable),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `Set::Avx2` is made only in `Floats::avx2`, after `Avx2::detect` found AVX2, FMA and F16C.
            Set::Avx2 => unsafe { x86::run_avx2(kernel) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `Set::Avx512` is made only in `Floats::avx512`, after `Avx512::detect` found AVX-512 F, BW, DQ and VL
            // and all that AVX2 needs.
            Set::Avx512 => unsafe { x86::run_avx512(kernel) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every operation against plain f32 arithmetic.
    struct Check;
    impl Kernel for Check {
        type Output = ();
        fn run<S: Simd>(self, s: S) {
            let a: Vec<f32> = (0..16).map(|i| i as f32 * 1.25 - 7.0).collect();
            let b: Vec<f32> = (0..16).map(|i| 3.0 - i as f32 * 0.5).collect();
            let read = |v| {
                let mut out = [0f32; 16];
                s.store(v, &mut out);
                out[..S::LANES].to_vec()
            };
            let (va, vb) = (s.load(&a), s.load(&b));
            let each = |got: Vec<f32>, want: fn(f32, f32) -> f32| {
                for i in 0..S::LANES {
                    assert_eq!(got[i], want(a[i], b[i]), "lane {i}");
                }
            };
            each(read(s.add(va, vb)), |a, b| a + b);
            each(read(s.sub(va, vb)), |a, b| a - b);
            each(read(s.mul(va, vb)), |a, b| a * b);
            each(read(s.div(va, vb)), |a, b| a / b);
            each(read(s.min(va, vb)), f32::min);
            each(read(s.max(va, vb)), f32::max);
            each(read(s.fma(va, vb, va)), |a, b| a * b + a);
            each(read(s.round(va)), |a, _| a.round_ties_even());
            each(read(s.power_of_two(s.round(va))), |a, _| {
                a.round_ties_even().exp2()
            });
            each(read(s.select_less(va, vb, va, s.splat(9.0))), |a, b| {
                if a < b { a } else { 9.0 }
            });
            assert_eq!(s.sum(va), a[..S::LANES].iter().sum::<f32>());
            assert_eq!(s.largest(vb), 3.0);
            check_eights(s);
            let codes: Vec<i8> = (0..16).map(|i| (i * 17 - 128) as i8).collect();
            assert!(
                read(s.load_i8(&codes))
                    .iter()
                    .zip(&codes)
                    .all(|(x, c)| *x == *c as f32)
            );
            for start in (0..=u16::MAX).step_by(16) {
                let bits: Vec<u16> = (0..16).map(|i| start + i).collect();
                let wide = read(s.load_f16(&bits));
                for (x, b) in wide.iter().zip(&bits) {
                    let want = half::f16::from_bits(*b).to_f32();
                    assert!(x.to_bits() == want.to_bits() || (x.is_nan() && want.is_nan()));
                }
                let upper = read(s.load_bf16(&bits));
                assert!(
                    upper
                        .iter()
                        .zip(&bits)
                        .all(|(x, b)| x.to_bits() == u32::from(*b) << 16)
                );
                let mut back = [0u16; 16];
                s.store_f16(s.load(&[wide.as_slice(), &wide].concat()), &mut back);
                for (x, b) in back.iter().zip(&bits).take(S::LANES) {
                    assert!(x == b || half::f16::from_bits(*b).is_nan(), "{x:x} {b:x}");
                }
                // Halfway between two halves, and a little to either side.
                if bits[0] & 0x7c00 < 0x7800 {
                    let between: Vec<f32> = bits
                        .iter()
                        .flat_map(|b| {
                            let (low, high) =
                                (half::f16::from_bits(*b), half::f16::from_bits(b + 1));
                            let middle = (low.to_f32() + high.to_f32()) / 2.0;
                            [middle, middle * 1.0001, middle * 0.9999]
                        })
                        .collect();
                    for values in between.chunks_exact(16) {
                        s.store_f16(s.load(values), &mut back);
                        for (x, v) in back.iter().zip(values).take(S::LANES) {
                            assert_eq!(*x, half::f16::from_f32(*v).to_bits(), "{v}");
                        }
                    }
                }
            }
        }
    }

    /// The operations on runs of eight lanes.
    fn check_eights<S: Simd>(s: S) {
        let values: Vec<f32> = (0..64).map(|i| (i as f32 * 0.77).sin()).collect();
        let sum = |v: &[f32]| ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7]));
        let mut folded = [0f32; 8];
        for (i, folded) in folded.iter_mut().enumerate() {
            *folded = values[i..S::LANES].iter().step_by(8).sum();
        }
        assert_eq!(s.sum(s.load(&values)), sum(&folded));
        let vectors = [0, 1, 2, 3].map(|i| s.load(&values[i * S::LANES..]));
        let sums = s.sums_of_eights(vectors);
        for (got, eight) in sums.iter().zip(values.chunks(8)).take(4 * S::EIGHTS) {
            assert_eq!(*got, sum(eight));
        }
        let bits: Vec<u16> = (0..32).map(|i| 0x3c00 + 37 * i).collect();
        // SAFETY: all places are followed by eight values of their vectors.
        let (eights, f16, bf16, same) = unsafe {
            (
                s.eights_at([values[5..13].as_ptr(), values[40..48].as_ptr()]),
                s.eights_f16_at([bits[3..11].as_ptr(), bits[20..28].as_ptr()]),
                s.eights_bf16_at([bits[3..11].as_ptr(), bits[20..28].as_ptr()]),
                s.eight_at(values[5..13].as_ptr()),
            )
        };
        let read = |v| {
            let mut out = [0f32; 16];
            s.store(v, &mut out);
            out[..S::LANES].to_vec()
        };
        let want = [&values[5..13], &values[40..48]].concat();
        assert_eq!(read(eights), want[..S::LANES]);
        assert_eq!(read(same), values[5..13].repeat(S::EIGHTS));
        let want = [&bits[3..11], &bits[20..28]].concat();
        let wide = |bits: &u16| half::f16::from_bits(*bits).to_f32();
        let want16: Vec<f32> = want[..S::LANES].iter().map(wide).collect();
        assert_eq!(read(f16), want16);
        let upper = |bits: &u16| f32::from_bits(u32::from(*bits) << 16);
        let want: Vec<f32> = want[..S::LANES].iter().map(upper).collect();
        assert_eq!(read(bf16), want);
    }

    #[test]
    fn every_set_computes_what_f32_does() {
        for floats in Floats::all() {
            println!("{}", floats.name());
            floats.run(Check);
        }
    }
}
