//! A few columns: blocks are unpacked in registers and multiplied at once, so that weights are read once, in order.
//!
//! The products of four runs are summed into the four lanes of either half of a vector, twice; so a unit's eight sums come
//! to lie in the lanes of a vector, as its scales do, and what follows is one operation for all eight.

use super::layouts::{Head, Layout};
use crate::isa::{Columns, RUNS, UNIT};
use std::arch::asm;
use std::arch::x86_64::*;
use std::mem::MaybeUninit;

/// What differs between the sets: products of unsigned and signed bytes, how they are summed, and how heads are gathered.
pub trait Multiply: Copy {
    /// Whether the unsigned side may be any byte; if not, 128 at most, and signed codes are multiplied by their magnitude.
    const ANY_BYTE: bool;
    /// The products of 32 pairs, `u` and `s`, |`s`| ≤ 127, summed by twos or fours.
    /// # Safety
    /// The CPU must have the set's features.
    unsafe fn products(u: __m256i, s: __m256i) -> __m256i;
    /// Four results of [`Multiply::products`] to their sums: in each half of the lanes the four sums of the products in the
    /// same half. `largest`: the largest byte of the unsigned sides.
    /// # Safety
    /// The CPU must have the set's features.
    unsafe fn sums(products: [__m256i; 4], largest: i32) -> __m256i;
    /// A unit's scales and mins.
    /// # Safety
    /// The CPU must have the set's features; as [`Layout::head`].
    #[inline(always)]
    unsafe fn head<L: Layout>(unit: *const u8) -> Head {
        // SAFETY: the caller's promise.
        unsafe { L::head(unit) }
    }
}

/// AVX2: pairs in 16 bits.
#[derive(Clone, Copy)]
pub struct Maddubs;
/// AVX-VNNI: 256 bits, VEX encoding.
#[derive(Clone, Copy)]
pub struct Vnni;
/// AVX-512 VNNI + VL: 256 bits, EVEX encoding.
#[derive(Clone, Copy)]
pub struct VnniVl;

/// Even words of `a` and `b`, then odd ones, half by half: their sum has the pairs of `a`, then those of `b`.
#[inline(always)]
unsafe fn even_and_odd(a: __m256i, b: __m256i) -> [__m256i; 2] {
    // SAFETY: AVX, as the callers'.
    unsafe {
        let (a, b) = (_mm256_castsi256_ps(a), _mm256_castsi256_ps(b));
        [
            _mm256_castps_si256(_mm256_shuffle_ps::<0x88>(a, b)),
            _mm256_castps_si256(_mm256_shuffle_ps::<0xdd>(a, b)),
        ]
    }
}

/// Sums of neighbouring 32-bit lanes of two vectors.
#[inline(always)]
unsafe fn pairs32(a: __m256i, b: __m256i) -> __m256i {
    // SAFETY: AVX2, as the callers'.
    unsafe {
        let [even, odd] = even_and_odd(a, b);
        _mm256_add_epi32(even, odd)
    }
}

/// Sums of neighbouring words of two 16-bit lanes each, which must fit.
#[inline(always)]
unsafe fn pairs16(a: __m256i, b: __m256i) -> __m256i {
    // SAFETY: AVX2, as the callers'.
    unsafe {
        let [even, odd] = even_and_odd(a, b);
        _mm256_add_epi16(even, odd)
    }
}

/// Sums of neighbouring 16-bit lanes, in 32 bits.
#[inline(always)]
unsafe fn widened(v: __m256i) -> __m256i {
    // SAFETY: AVX2, as the callers'.
    unsafe { _mm256_madd_epi16(v, _mm256_set1_epi16(1)) }
}

impl Multiply for Maddubs {
    const ANY_BYTE: bool = false;
    #[inline(always)]
    unsafe fn products(u: __m256i, s: __m256i) -> __m256i {
        // SAFETY: the caller's promise. Two products fit in 16 bits: 2 · 128 · 127 < 2^15.
        unsafe { _mm256_maddubs_epi16(u, s) }
    }
    #[inline(always)]
    unsafe fn sums([a, b, c, d]: [__m256i; 4], largest: i32) -> __m256i {
        // SAFETY: the caller's promise.
        unsafe {
            // Sums of four products, and of eight, stay in 16 bits where they fit.
            if largest * 127 * 8 <= i32::from(i16::MAX) {
                widened(pairs16(pairs16(a, b), pairs16(c, d)))
            } else if largest * 127 * 4 <= i32::from(i16::MAX) {
                pairs32(widened(pairs16(a, b)), widened(pairs16(c, d)))
            } else {
                let (a, b, c, d) = (widened(a), widened(b), widened(c), widened(d));
                pairs32(pairs32(a, b), pairs32(c, d))
            }
        }
    }
}

/// Sums of neighbouring lanes of two vectors, whose values fit in 16 bits.
#[inline(always)]
unsafe fn narrow_pairs(a: __m256i, b: __m256i) -> __m256i {
    // SAFETY: AVX2, as the callers'.
    unsafe { widened(_mm256_packs_epi32(a, b)) }
}

/// [`Multiply::sums`] of sums of four products in 32 bits.
#[inline(always)]
unsafe fn sums_of_fours([a, b, c, d]: [__m256i; 4], largest: i32) -> __m256i {
    // SAFETY: AVX2, as the callers'.
    unsafe {
        if largest * 127 * 8 <= i32::from(i16::MAX) {
            narrow_pairs(narrow_pairs(a, b), narrow_pairs(c, d))
        } else if largest * 127 * 4 <= i32::from(i16::MAX) {
            pairs32(narrow_pairs(a, b), narrow_pairs(c, d))
        } else {
            pairs32(pairs32(a, b), pairs32(c, d))
        }
    }
}

impl Multiply for Vnni {
    const ANY_BYTE: bool = true;
    #[inline(always)]
    unsafe fn products(u: __m256i, s: __m256i) -> __m256i {
        // SAFETY: the caller's promise.
        unsafe { _mm256_dpbusd_avx_epi32(_mm256_setzero_si256(), u, s) }
    }
    #[inline(always)]
    unsafe fn sums(products: [__m256i; 4], largest: i32) -> __m256i {
        // SAFETY: the caller's promise.
        unsafe { sums_of_fours(products, largest) }
    }
}

impl Multiply for VnniVl {
    const ANY_BYTE: bool = true;
    #[inline(always)]
    unsafe fn products(u: __m256i, s: __m256i) -> __m256i {
        // SAFETY: the caller's promise.
        unsafe { _mm256_dpbusd_epi32(_mm256_setzero_si256(), u, s) }
    }
    #[inline(always)]
    unsafe fn sums(products: [__m256i; 4], largest: i32) -> __m256i {
        // SAFETY: the caller's promise.
        unsafe { sums_of_fours(products, largest) }
    }
    #[inline(always)]
    unsafe fn head<L: Layout>(unit: *const u8) -> Head {
        let mut ahead = 0usize;
        // SAFETY: the caller's promise; no instruction is added, and `ahead` stays 0. The compiler must not know that the head's
        // wide loads and those of the codes overlap: it would make one out of the other by slow shuffles.
        unsafe {
            asm!("/* {0} */", inout(reg) ahead, options(pure, nomem, nostack, preserves_flags));
            L::head_512(unit.add(ahead))
        }
    }
}

/// A set and a layout together.
#[derive(Clone, Copy)]
struct Of<D, L>(std::marker::PhantomData<(D, L)>);

impl<D: Multiply, L: Layout> Of<D, L> {
    /// Whether codes are multiplied by their magnitudes, and their signs given to the activations.
    const SIGNS: bool = L::BIAS.is_none() && (L::SPLIT || !D::ANY_BYTE);
    /// What is added to codes to make them unsigned.
    const BIAS: i32 = match L::BIAS {
        Some(bias) => bias as i32,
        None if Self::SIGNS => 0,
        None => 128,
    };
    /// The largest byte of the unsigned side.
    const LARGEST: i32 = if Self::SIGNS {
        let (low, high) = L::RANGE;
        let (low, high) = (-(low as i32), high as i32);
        if low > high { low } else { high }
    } else {
        L::RANGE.1 as i32 + Self::BIAS
    };

    /// A run's unsigned side, and where signs are split off what has them.
    /// # Safety
    /// As [`Layout::codes`].
    #[inline(always)]
    unsafe fn sides(unit: *const u8, run: usize) -> [__m256i; 2] {
        // SAFETY: the caller's promise.
        unsafe {
            if Self::SIGNS {
                L::split(unit, run)
            } else if L::BIAS.is_none() {
                let codes = L::codes(unit, run);
                [_mm256_xor_si256(codes, _mm256_set1_epi8(-128)); 2]
            } else {
                [L::codes(unit, run); 2]
            }
        }
    }
}

/// Bytes ahead of the one being read that are asked for.
const PREFETCH: usize = 4096;
/// Activations that leave little room in the first-level cache. Weights asked for go to the second then, and further ahead:
/// reloading activations would wait for the same few outstanding misses as weights on their way from memory.
const WIDE: usize = 8192;
/// Bytes of rows that several columns go through together.
const GROUP: usize = 16 * 1024;

/// One column's data, at its start.
#[derive(Clone, Copy)]
struct Column {
    codes: *const i8,
    scales: *const f32,
    sums: *const f32,
}

/// Rows times columns, see [`crate::isa::DotRows`].
/// # Safety
/// The CPU must have AVX2, FMA, F16C and what `D` needs; lengths as `Ready::dot` checks them.
#[inline(always)]
pub unsafe fn rows<D: Multiply, L: Layout>(
    weights: &[u8],
    row_bytes: usize,
    x: &Columns<'_>,
    out: &mut [f32],
) {
    // Several columns go through a group of rows block by block: a block's activations stay in the first-level cache for
    // all of the group, which a row of all columns would push out.
    let group = if x.count == 1 {
        weights.len() / row_bytes.max(1)
    } else {
        GROUP / row_bytes.max(1)
    };
    let group = group.max(1);
    // Then what comes next is not the next row but the next group.
    let ahead = match x.count {
        1 if x.length > WIDE => 2 * PREFETCH,
        1 => PREFETCH,
        _ => group * row_bytes,
    };
    // SAFETY: whole rows of whole units or blocks, see `row`; columns below `x.count`.
    unsafe {
        let end = weights.as_ptr().add(weights.len());
        for (number, out) in out.chunks_mut(group * x.count).enumerate() {
            let start = weights.as_ptr().add(number * group * row_bytes);
            let mut column = 0;
            while column < x.count {
                let left = x.count - column;
                for (row, out) in out.chunks_exact_mut(x.count).enumerate() {
                    let (at, out) = (start.add(row * row_bytes), &mut out[column..]);
                    match left {
                        4.. => self::row::<D, L, 4>(at, end, ahead, x, column, out),
                        2.. => self::row::<D, L, 2>(at, end, ahead, x, column, out),
                        _ => self::row::<D, L, 1>(at, end, ahead, x, column, out),
                    }
                }
                column += match left {
                    4.. => 4,
                    2.. => 2,
                    _ => 1,
                };
            }
        }
    }
}

/// One row with `C` columns from `first`.
#[inline(always)]
unsafe fn row<D: Multiply, L: Layout, const C: usize>(
    start: *const u8,
    end: *const u8,
    ahead: usize,
    x: &Columns<'_>,
    first: usize,
    out: &mut [f32],
) {
    // SAFETY: a row is `x.length` weights from `start`; `unit` reads whole units, the last one from a copy if it would
    // go past `end`; a column is `x.units` units long.
    unsafe {
        let (x_sums, step) = if L::HALVES {
            (x.half_sums, 2 * RUNS)
        } else {
            (x.sums, RUNS)
        };
        let none = Column {
            codes: x.codes.as_ptr(),
            scales: x.scales.as_ptr(),
            sums: x_sums.as_ptr(),
        };
        let mut columns = [none; C];
        for (c, column) in columns.iter_mut().enumerate() {
            let unit = (first + c) * x.units;
            column.codes = column.codes.add(unit * UNIT);
            column.scales = column.scales.add(unit * RUNS);
            column.sums = column.sums.add(unit * step);
        }
        let mut acc = [_mm256_setzero_ps(); C];
        let whole = x.length / UNIT;
        for index in 0..whole {
            let unit = start.add(index * L::UNIT_BYTES);
            let mut line = 0;
            while line < L::UNIT_BYTES {
                // A prefetch of an address outside the file does nothing.
                let line_at = unit.wrapping_add(ahead + line).cast();
                if C == 1 && x.length > WIDE {
                    _mm_prefetch::<_MM_HINT_T1>(line_at);
                } else {
                    _mm_prefetch::<_MM_HINT_T0>(line_at);
                }
                line += 64;
            }
            add_unit::<D, L, C>(unit, RUNS, D::head::<L>(unit), &columns, index, &mut acc);
        }
        let runs = x.length % UNIT / 32;
        if L::PARTS && runs > 0 {
            let unit = start.add(whole * L::UNIT_BYTES);
            // Blocks of the next row may be read, their scales are not used; beyond the end there is nothing to read.
            let mut copy = MaybeUninit::<[u8; 512]>::uninit();
            let unit = if (end as usize) < unit as usize + L::UNIT_BYTES {
                copy.write([0; 512]);
                let copy = copy.as_mut_ptr().cast::<u8>();
                std::ptr::copy_nonoverlapping(unit, copy, runs * L::UNIT_BYTES / 8);
                copy.cast_const()
            } else {
                unit
            };
            let mut head = D::head::<L>(unit);
            for part in 0..if L::HALVES { 2 } else { 1 } {
                head.scales[part] = first_lanes(runs, head.scales[part]);
                head.mins[part] = first_lanes(runs, head.mins[part]);
            }
            add_unit::<D, L, C>(unit, runs, head, &columns, whole, &mut acc);
        }
        for (out, acc) in out[..C].iter_mut().zip(acc) {
            *out = sum(acc);
        }
    }
}

/// The sum of eight lanes.
#[inline(always)]
unsafe fn sum(v: __m256) -> f32 {
    // SAFETY: AVX, as the callers'.
    unsafe {
        let v = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
        let v = _mm_add_ps(v, _mm_movehl_ps(v, v));
        _mm_cvtss_f32(_mm_add_ss(v, _mm_movehdup_ps(v)))
    }
}

/// The first `count` lanes, the others 0.
#[inline(always)]
unsafe fn first_lanes(count: usize, v: __m256) -> __m256 {
    // SAFETY: AVX2, as the callers'.
    unsafe {
        let lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
        let counts = _mm256_cmpgt_epi32(_mm256_set1_epi32(count as i32), lanes);
        _mm256_and_ps(v, _mm256_castsi256_ps(counts))
    }
}

/// The first `runs` runs of a unit, or more of them, times all columns: a lane of `acc` for each run.
#[inline(always)]
unsafe fn add_unit<D: Multiply, L: Layout, const C: usize>(
    unit: *const u8,
    runs: usize,
    head: Head,
    columns: &[Column; C],
    index: usize,
    acc: &mut [__m256; C],
) {
    // SAFETY: as `row`.
    unsafe {
        let mut sums = [[_mm256_setzero_si256(); 2]; C];
        four_runs::<D, L, C, 0>(unit, columns, index, &mut sums);
        if runs > 4 {
            four_runs::<D, L, C, 4>(unit, columns, index, &mut sums);
        }
        let bias = _mm256_set1_ps(Of::<D, L>::BIAS as f32);
        for (c, column) in columns.iter().enumerate() {
            let [low, high] = sums[c];
            let first = _mm256_permute2x128_si256::<0x20>(low, high);
            let second = _mm256_permute2x128_si256::<0x31>(low, high);
            // Sums of 16 codes, or of 32; with what the bias has added taken off they stay exact, far below 2^24.
            let mut t;
            if L::HALVES {
                let x = column.sums.add(index * 2 * RUNS);
                let x = [_mm256_loadu_ps(x), _mm256_loadu_ps(x.add(RUNS))];
                let mut sums = [_mm256_cvtepi32_ps(first), _mm256_cvtepi32_ps(second)];
                if Of::<D, L>::BIAS != 0 {
                    sums[0] = _mm256_fnmadd_ps(bias, x[0], sums[0]);
                    sums[1] = _mm256_fnmadd_ps(bias, x[1], sums[1]);
                }
                t = _mm256_mul_ps(sums[0], head.scales[0]);
                t = _mm256_fmadd_ps(sums[1], head.scales[1], t);
                if L::MINS {
                    t = _mm256_fnmadd_ps(head.mins[0], x[0], t);
                    t = _mm256_fnmadd_ps(head.mins[1], x[1], t);
                }
            } else {
                let mut sums = _mm256_cvtepi32_ps(_mm256_add_epi32(first, second));
                let x = column.sums.add(index * RUNS);
                if Of::<D, L>::BIAS != 0 {
                    sums = _mm256_fnmadd_ps(bias, _mm256_loadu_ps(x), sums);
                }
                t = _mm256_mul_ps(sums, head.scales[0]);
                if L::MINS {
                    t = _mm256_fnmadd_ps(head.mins[0], _mm256_loadu_ps(x), t);
                }
            }
            let scales = _mm256_loadu_ps(column.scales.add(index * RUNS));
            acc[c] = _mm256_fmadd_ps(t, scales, acc[c]);
        }
    }
}

/// Runs `FIRST` to `FIRST + 3` times all columns.
#[inline(always)]
unsafe fn four_runs<D: Multiply, L: Layout, const C: usize, const FIRST: usize>(
    unit: *const u8,
    columns: &[Column; C],
    index: usize,
    sums: &mut [[__m256i; 2]; C],
) {
    // SAFETY: as `row`.
    unsafe {
        // Not a loop and not a closure: the number of a run must be a constant when it is compiled.
        let sides = [
            Of::<D, L>::sides(unit, FIRST),
            Of::<D, L>::sides(unit, FIRST + 1),
            Of::<D, L>::sides(unit, FIRST + 2),
            Of::<D, L>::sides(unit, FIRST + 3),
        ];
        for (c, column) in columns.iter().enumerate() {
            let x = column.codes.add(index * UNIT + FIRST * 32);
            let mut products = [_mm256_setzero_si256(); 4];
            for (run, product) in products.iter_mut().enumerate() {
                let [u, signs] = sides[run];
                let mut x = _mm256_loadu_si256(x.add(run * 32).cast());
                if Of::<D, L>::SIGNS {
                    x = _mm256_sign_epi8(x, signs);
                }
                *product = D::products(u, x);
            }
            sums[c][FIRST / 4] = D::sums(products, Of::<D, L>::LARGEST);
        }
    }
}
