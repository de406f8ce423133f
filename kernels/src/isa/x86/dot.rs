//! A few columns: blocks are unpacked in registers and multiplied at once, so that weights are read once, in order.
//!
//! Every (row, column) has two running sums of eight lanes and one for what mins take off; units in order. That order
//! doesn't depend on the number of columns, so one column and four give the same bits.

use super::layouts::{Head, Layout};
use crate::isa::{Columns, UNIT, Unpacked};
use std::arch::x86_64::*;
use std::mem::MaybeUninit;

/// What differs between the sets: products of unsigned and signed bytes, added up by fours, and how heads are gathered.
pub trait Dot4: Copy {
    /// Eight sums of four products. No pair of products exceeds 16 bits: `u` ≤ 128, |`s`| ≤ 127.
    /// # Safety
    /// The CPU must have the instruction.
    unsafe fn dot4(u: __m256i, s: __m256i) -> __m256i;
    /// A unit's scales and mins.
    /// # Safety
    /// The CPU must have the set's features; as [`Layout::head`].
    #[inline(always)]
    unsafe fn head<L: Layout>(unit: *const u8) -> Head {
        // SAFETY: the caller's promise.
        unsafe { L::head(unit) }
    }
}

/// AVX2: pairs in 16 bits, then pairs of pairs in 32.
#[derive(Clone, Copy)]
pub struct Maddubs;
/// AVX-VNNI: 256 bits, VEX encoding.
#[derive(Clone, Copy)]
pub struct Vnni;
/// AVX-512 VNNI + VL: 256 bits, EVEX encoding.
#[derive(Clone, Copy)]
pub struct VnniVl;

impl Dot4 for Maddubs {
    #[inline(always)]
    unsafe fn dot4(u: __m256i, s: __m256i) -> __m256i {
        // SAFETY: the caller's promise.
        unsafe { _mm256_madd_epi16(_mm256_maddubs_epi16(u, s), _mm256_set1_epi16(1)) }
    }
}

impl Dot4 for Vnni {
    #[inline(always)]
    unsafe fn dot4(u: __m256i, s: __m256i) -> __m256i {
        // SAFETY: the caller's promise.
        unsafe { _mm256_dpbusd_avx_epi32(_mm256_setzero_si256(), u, s) }
    }
}

impl Dot4 for VnniVl {
    #[inline(always)]
    unsafe fn dot4(u: __m256i, s: __m256i) -> __m256i {
        // SAFETY: the caller's promise.
        unsafe { _mm256_dpbusd_epi32(_mm256_setzero_si256(), u, s) }
    }
    #[inline(always)]
    unsafe fn head<L: Layout>(unit: *const u8) -> Head {
        // SAFETY: the caller's promise.
        unsafe { L::head_512(unit) }
    }
}

/// Bytes ahead of the one being read that are asked for.
const PREFETCH: usize = 4096;
/// Activations that leave little room in the first-level cache. Weights asked for go to the second then, and further ahead:
/// reloading activations would wait for the same few outstanding misses as weights on their way from memory.
const WIDE: usize = 8192;
/// Bytes of rows that several columns go through together.
const GROUP: usize = 16 * 1024;

/// The sums of one row with `C` columns.
struct Sums<const C: usize> {
    products: [[__m256; 2]; C],
    lowered: [__m256; C],
}

/// Units ahead of the products that scales are made ready. They go through memory, where a load can put one in all lanes,
/// and loads of what was stored just now would wait.
const LEAD: usize = 4;

/// The same for a type: none where a unit has so many bytes that it waits for memory, not for its scales. Blocks far ahead
/// would be touched there before they have come.
const fn lead<L: Layout>() -> usize {
    if L::UNIT_BYTES > 192 { 0 } else { LEAD }
}

/// The scales of some units, products of a row's and a column's; a place is taken again after `2 * LEAD` units.
#[repr(align(64))]
struct Scales<const C: usize>([[MaybeUninit<[f32; 16]>; C]; 2 * LEAD]);

impl<const C: usize> Scales<C> {
    /// The 16 scales of unit `index` and column `c`.
    #[inline(always)]
    fn of(&mut self, index: usize, c: usize) -> *mut f32 {
        self.0[index % (2 * LEAD)][c].as_mut_ptr().cast()
    }
}

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
pub unsafe fn rows<D: Dot4, L: Layout>(
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
unsafe fn row<D: Dot4, L: Layout, const C: usize>(
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
            (x.half_sums, 16)
        } else {
            (x.sums, 8)
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
            column.scales = column.scales.add(unit * 8);
            column.sums = column.sums.add(unit * step);
        }
        let mut sums = Sums::<C> {
            products: [[_mm256_setzero_ps(); 2]; C],
            lowered: [_mm256_setzero_ps(); C],
        };
        let mut scales = Scales([[MaybeUninit::uninit(); C]; 2 * LEAD]);
        let scales = &mut scales;
        let whole = x.length / UNIT;
        for index in 0..whole.min(lead::<L>()) {
            let unit = start.add(index * L::UNIT_BYTES);
            make_scales::<D, L, C, false>(unit, 8, &columns, index, scales, &mut sums);
        }
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
            let later = index + lead::<L>();
            if later < whole {
                let unit = start.add(later * L::UNIT_BYTES);
                make_scales::<D, L, C, false>(unit, 8, &columns, later, scales, &mut sums);
            }
            unit_product::<D, L, C, false>(unit, 8, &columns, index, scales, &mut sums);
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
            make_scales::<D, L, C, true>(unit, runs, &columns, whole, scales, &mut sums);
            unit_product::<D, L, C, true>(unit, runs, &columns, whole, scales, &mut sums);
        }
        for (c, out) in out[..C].iter_mut().enumerate() {
            let [even, odd] = sums.products[c];
            let total = _mm256_add_ps(even, odd);
            *out = sum(if L::LOWERS {
                _mm256_sub_ps(total, sums.lowered[c])
            } else {
                total
            });
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

/// The first so many lanes, the others 0: what counts where a unit has so many groups.
#[inline(always)]
unsafe fn first_lanes(count: usize, v: __m256) -> __m256 {
    // SAFETY: AVX2, as the callers'.
    unsafe {
        let lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
        let counts = _mm256_cmpgt_epi32(_mm256_set1_epi32(count as i32), lanes);
        _mm256_and_ps(v, _mm256_castsi256_ps(counts))
    }
}

/// Unsigned and signed side of a product of codes.
#[inline(always)]
unsafe fn product<D: Dot4>(signed: bool, codes: __m256i, x: __m256i) -> __m256 {
    // SAFETY: the callers'.
    unsafe {
        let sums = if signed {
            // w · x = |w| · (x with the sign of w); |-128| is 128 as an unsigned byte.
            D::dot4(_mm256_abs_epi8(codes), _mm256_sign_epi8(x, codes))
        } else {
            D::dot4(codes, x)
        };
        _mm256_cvtepi32_ps(sums)
    }
}

/// The scales of the unit at `unit`, for its first `runs` runs, and what its mins take off. `PART`: there may be fewer than
/// eight.
#[inline(always)]
unsafe fn make_scales<D: Dot4, L: Layout, const C: usize, const PART: bool>(
    unit: *const u8,
    runs: usize,
    columns: &[Column; C],
    index: usize,
    scales: &mut Scales<C>,
    sums: &mut Sums<C>,
) {
    // SAFETY: as `row`.
    unsafe {
        let mut head: Head = D::head::<L>(unit);
        if PART {
            let groups = if L::HALVES { 2 * runs } else { runs };
            head.scales[0] = first_lanes(groups, head.scales[0]);
            head.mins[0] = first_lanes(groups, head.mins[0]);
            if L::HALVES {
                head.scales[1] = first_lanes(groups.saturating_sub(8), head.scales[1]);
                head.mins[1] = first_lanes(groups.saturating_sub(8), head.mins[1]);
            }
        }
        for (c, column) in columns.iter().enumerate() {
            let x = _mm256_loadu_ps(column.scales.add(index * 8));
            let to = scales.of(index, c);
            if L::HALVES {
                let low = _mm256_permutevar8x32_ps(x, _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3));
                let high = _mm256_permutevar8x32_ps(x, _mm256_setr_epi32(4, 4, 5, 5, 6, 6, 7, 7));
                _mm256_store_ps(to, _mm256_mul_ps(head.scales[0], low));
                _mm256_store_ps(to.add(8), _mm256_mul_ps(head.scales[1], high));
            } else {
                _mm256_store_ps(to, _mm256_mul_ps(head.scales[0], x));
            }
            if L::LOWERS {
                let step = if L::HALVES { 16 } else { 8 };
                let at = column.sums.add(index * step);
                let lowered = _mm256_fmadd_ps(head.mins[0], _mm256_loadu_ps(at), sums.lowered[c]);
                sums.lowered[c] = if L::HALVES {
                    _mm256_fmadd_ps(head.mins[1], _mm256_loadu_ps(at.add(8)), lowered)
                } else {
                    lowered
                };
            }
        }
    }
}

/// The first `runs` runs of 32 of one unit, whose scales are ready. `PART`: there may be fewer than eight.
#[inline(always)]
unsafe fn unit_product<D: Dot4, L: Layout, const C: usize, const PART: bool>(
    unit: *const u8,
    runs: usize,
    columns: &[Column; C],
    index: usize,
    scales: &mut Scales<C>,
    sums: &mut Sums<C>,
) {
    // SAFETY: as `row`.
    unsafe {
        // Not a loop and not a closure: the number of a run must be a constant when it is compiled.
        if PART {
            for run in 0..runs {
                run_product::<D, L, C>(unit, run, index, columns, scales, sums);
            }
        } else {
            run_product::<D, L, C>(unit, 0, index, columns, scales, sums);
            run_product::<D, L, C>(unit, 1, index, columns, scales, sums);
            run_product::<D, L, C>(unit, 2, index, columns, scales, sums);
            run_product::<D, L, C>(unit, 3, index, columns, scales, sums);
            run_product::<D, L, C>(unit, 4, index, columns, scales, sums);
            run_product::<D, L, C>(unit, 5, index, columns, scales, sums);
            run_product::<D, L, C>(unit, 6, index, columns, scales, sums);
            run_product::<D, L, C>(unit, 7, index, columns, scales, sums);
        }
    }
}

/// 32 codes times all columns.
#[inline(always)]
unsafe fn run_product<D: Dot4, L: Layout, const C: usize>(
    unit: *const u8,
    run: usize,
    index: usize,
    columns: &[Column; C],
    scales: &mut Scales<C>,
    sums: &mut Sums<C>,
) {
    // SAFETY: as `row`.
    unsafe {
        let codes = L::codes(unit, run);
        for (c, column) in columns.iter().enumerate() {
            let x = column.codes.add(index * UNIT + run * 32);
            let x = _mm256_loadu_si256(x.cast());
            let from = scales.of(index, c).cast_const();
            let scale = if L::HALVES {
                // Lanes 0..4 are codes of group 2 · run, lanes 4..8 of the next.
                let (a, b) = (run as i32 % 4 * 2, run as i32 % 4 * 2 + 1);
                let lanes = _mm256_setr_epi32(a, a, a, a, b, b, b, b);
                _mm256_permutevar8x32_ps(_mm256_load_ps(from.add(run / 4 * 8)), lanes)
            } else {
                _mm256_broadcast_ss(&*from.add(run))
            };
            let product = product::<D>(L::BIAS.is_none(), codes, x);
            let sum = &mut sums.products[c][run % 2];
            *sum = _mm256_fmadd_ps(product, scale, *sum);
        }
    }
}

/// A row of codes times every column.
/// # Safety
/// The CPU must have AVX2, FMA and `D`'s instruction; lengths as `Ready::dot_unpacked` checks them.
#[inline(always)]
pub unsafe fn unpacked<D: Dot4>(row: &Unpacked<'_>, x: &Columns<'_>, out: &mut [f32]) {
    // SAFETY: runs of 32 codes up to whole units, which all slices hold.
    unsafe {
        for (column, out) in out.iter_mut().enumerate() {
            let unit = column * x.units;
            let codes = x.codes.as_ptr().add(unit * UNIT);
            let scales = x.scales.as_ptr().add(unit * 8);
            let mut products = [_mm256_setzero_ps(); 2];
            for run in 0..x.units * 8 {
                let w = _mm256_loadu_si256(row.codes.as_ptr().add(run * 32).cast());
                let x = _mm256_loadu_si256(codes.add(run * 32).cast());
                let scale = if row.group == 32 {
                    _mm256_set1_ps(row.scales[run])
                } else {
                    let (low, high) = (row.scales[2 * run], row.scales[2 * run + 1]);
                    _mm256_set_m128(_mm_set1_ps(high), _mm_set1_ps(low))
                };
                let scale = _mm256_mul_ps(scale, _mm256_broadcast_ss(&*scales.add(run)));
                let sum = &mut products[run % 2];
                *sum = _mm256_fmadd_ps(product::<D>(true, w, x), scale, *sum);
            }
            let mut total = sum(_mm256_add_ps(products[0], products[1]));
            if !row.mins.is_empty() {
                let sums = if row.group == 32 { x.sums } else { x.half_sums };
                let sums = &sums[column * row.mins.len()..][..row.mins.len()];
                let mut lowered = _mm256_setzero_ps();
                for (min, sum) in row.mins.chunks_exact(8).zip(sums.chunks_exact(8)) {
                    let (min, sum) = (_mm256_loadu_ps(min.as_ptr()), _mm256_loadu_ps(sum.as_ptr()));
                    lowered = _mm256_fmadd_ps(min, sum, lowered);
                }
                total -= sum(lowered);
            }
            *out = total;
        }
    }
}
