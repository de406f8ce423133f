//! Many columns: eight rows of a slab times a few pairs of columns, 32-bit sums of signed bytes. Nothing can saturate.
//!
//! A slab lies in words of four codes (eight for `smmla`): for every word all eight rows. Only a run's sums are in registers:
//! the running sums of its place in the unit are touched once.
//!
//! What the multiply instructions alone take, sixteen codes deep, in cycles of an Apple M1 (four pipes) and of a Neoverse N1
//! (two, of which one has `smull`): `sdot`, six columns: 12 and 24; `smmla`, six columns: 6 and 12; NEON alone, two columns:
//! 12 and 32, with its `sadalp`.

use super::multiply::{Sdot, Smmla, Widening, sdot_word, smmla, zeros};
use crate::isa::{RUN, RUNS, Slab, SlabBuffers, SlabRows, TileColumns, UNIT, UNIT_GROUPS};
use std::arch::aarch64::*;

/// Rows of a slab.
pub const ROWS: usize = 8;

/// Where the next codes of some pairs of columns lie.
type Columns<const P: usize> = [[*const i8; 2]; P];

/// Sixteen codes deep, eight rows times pairs of columns.
pub trait Pairs {
    /// The integer sums of eight rows with two columns.
    type Sums: Copy;
    /// Zeros.
    fn none() -> Self::Sums;
    /// Sixteen codes of each row to the order of a slab.
    fn interleaved(rows: [int8x16_t; ROWS]) -> [int8x16_t; ROWS];
    /// Adds the products of the 128 codes at `weights` with sixteen of every column.
    /// # Safety
    /// The CPU must have the instructions; all pointers must be readable.
    unsafe fn add<const P: usize>(sums: &mut [Self::Sums; P], weights: *const i8, x: &Columns<P>);
    /// The sums of either column, rows in order.
    fn finish(sums: Self::Sums) -> [[int32x4_t; 2]; 2];
}

impl Pairs for Sdot {
    type Sums = [[int32x4_t; 2]; 2];
    #[inline(always)]
    fn none() -> Self::Sums {
        [[zeros(); 2]; 2]
    }
    #[inline(always)]
    fn interleaved(rows: [int8x16_t; ROWS]) -> [int8x16_t; ROWS] {
        // SAFETY: NEON is part of aarch64.
        unsafe { fours(rows) }
    }
    #[inline(always)]
    unsafe fn add<const P: usize>(sums: &mut [Self::Sums; P], weights: *const i8, x: &Columns<P>) {
        // SAFETY: the caller's promise: dotprod, 128 codes of the slab and sixteen of every column.
        unsafe {
            let x = x.map(|[a, b]| [vld1q_s8(a), vld1q_s8(b)]);
            sdot_step::<P, 0>(sums, weights, &x);
            sdot_step::<P, 1>(sums, weights, &x);
            sdot_step::<P, 2>(sums, weights, &x);
            sdot_step::<P, 3>(sums, weights, &x);
        }
    }
    #[inline(always)]
    fn finish(sums: Self::Sums) -> [[int32x4_t; 2]; 2] {
        sums
    }
}

/// Word `K` of four.
/// # Safety
/// The CPU must have dotprod; 128 codes can be read at `weights`.
#[inline(always)]
unsafe fn sdot_step<const P: usize, const K: usize>(
    sums: &mut [[[int32x4_t; 2]; 2]; P],
    weights: *const i8,
    x: &[[int8x16_t; 2]; P],
) {
    // SAFETY: the caller's promise: dotprod, and 128 codes at `weights`, of which word `K` is 32.
    unsafe {
        let low = vld1q_s8(weights.add(K * 32));
        let high = vld1q_s8(weights.add(K * 32 + 16));
        for (sums, x) in sums.iter_mut().zip(x) {
            for c in 0..2 {
                sums[c][0] = sdot_word::<K>(sums[c][0], low, x[c]);
                sums[c][1] = sdot_word::<K>(sums[c][1], high, x[c]);
            }
        }
    }
}

impl Pairs for Widening {
    /// Of each column, two lanes a row: rows 0 1, 2 3, 4 5, 6 7.
    type Sums = [[int32x4_t; 4]; 2];
    #[inline(always)]
    fn none() -> Self::Sums {
        [[zeros(); 4]; 2]
    }
    #[inline(always)]
    fn interleaved(rows: [int8x16_t; ROWS]) -> [int8x16_t; ROWS] {
        // SAFETY: NEON is part of aarch64.
        unsafe { fours(rows) }
    }
    #[inline(always)]
    unsafe fn add<const P: usize>(sums: &mut [Self::Sums; P], weights: *const i8, x: &Columns<P>) {
        // SAFETY: the caller's promise: 128 codes of the slab and sixteen of every column. NEON is part of aarch64.
        unsafe {
            // Two words at a time: two products of at most 128 · 127 fit in 16 bits.
            for word in [0, 2] {
                let at = weights.add(word * 32);
                for (sums, column) in sums.iter_mut().zip(x) {
                    for (sums, column) in sums.iter_mut().zip(column) {
                        let x = column.add(word * 4).cast::<[i32; 2]>().read_unaligned();
                        let x = [
                            vreinterpret_s8_s32(vdup_n_s32(x[0])),
                            vreinterpret_s8_s32(vdup_n_s32(x[1])),
                        ];
                        for (rows, sum) in sums.iter_mut().enumerate() {
                            let first = vmull_s8(vld1_s8(at.add(rows * 8)), x[0]);
                            let both = vmlal_s8(first, vld1_s8(at.add(32 + rows * 8)), x[1]);
                            *sum = vpadalq_s16(*sum, both);
                        }
                    }
                }
            }
        }
    }
    #[inline(always)]
    fn finish(sums: Self::Sums) -> [[int32x4_t; 2]; 2] {
        // SAFETY: NEON is part of aarch64.
        unsafe {
            let [a, b] = sums;
            [
                [vpaddq_s32(a[0], a[1]), vpaddq_s32(a[2], a[3])],
                [vpaddq_s32(b[0], b[1]), vpaddq_s32(b[2], b[3])],
            ]
        }
    }
}

impl Pairs for Smmla {
    /// Two rows times two columns each: rows 0 1, 2 3, 4 5, 6 7.
    type Sums = [int32x4_t; 4];
    #[inline(always)]
    fn none() -> Self::Sums {
        [zeros(); 4]
    }
    #[inline(always)]
    fn interleaved(rows: [int8x16_t; ROWS]) -> [int8x16_t; ROWS] {
        // SAFETY: NEON is part of aarch64.
        unsafe { eights(rows) }
    }
    #[inline(always)]
    unsafe fn add<const P: usize>(sums: &mut [Self::Sums; P], weights: *const i8, x: &Columns<P>) {
        // SAFETY: the caller's promise: i8mm, 128 codes of the slab and sixteen of every column.
        unsafe {
            // Eight codes of both columns in one vector, then the next eight.
            let x = x.map(|[a, b]| {
                let a = vreinterpretq_s64_s8(vld1q_s8(a));
                let b = vreinterpretq_s64_s8(vld1q_s8(b));
                [
                    vreinterpretq_s8_s64(vzip1q_s64(a, b)),
                    vreinterpretq_s8_s64(vzip2q_s64(a, b)),
                ]
            });
            for word in 0..2 {
                for rows in 0..4 {
                    let w = vld1q_s8(weights.add(word * 64 + rows * 16));
                    for (sums, x) in sums.iter_mut().zip(&x) {
                        sums[rows] = smmla(sums[rows], w, x[word]);
                    }
                }
            }
        }
    }
    #[inline(always)]
    fn finish(sums: Self::Sums) -> [[int32x4_t; 2]; 2] {
        // SAFETY: NEON is part of aarch64.
        unsafe {
            let [a, b, c, d] = sums;
            [
                [vuzp1q_s32(a, b), vuzp1q_s32(c, d)],
                [vuzp2q_s32(a, b), vuzp2q_s32(c, d)],
            ]
        }
    }
}

/// Sixteen codes of each row: for every four all rows.
#[inline]
#[target_feature(enable = "neon")]
fn fours(rows: [int8x16_t; ROWS]) -> [int8x16_t; ROWS] {
    let [a, b, c, d, e, f, g, h] = rows;
    let (low, high) = (columns(a, b, c, d), columns(e, f, g, h));
    [
        low[0], high[0], low[1], high[1], low[2], high[2], low[3], high[3],
    ]
}

/// Four rows of four words to four columns.
#[inline]
#[target_feature(enable = "neon")]
fn columns(a: int8x16_t, b: int8x16_t, c: int8x16_t, d: int8x16_t) -> [int8x16_t; 4] {
    let (a, b) = (vreinterpretq_s32_s8(a), vreinterpretq_s32_s8(b));
    let (c, d) = (vreinterpretq_s32_s8(c), vreinterpretq_s32_s8(d));
    let (ab, cd) = (
        vreinterpretq_s8_s32(vzip1q_s32(a, b)),
        vreinterpretq_s8_s32(vzip1q_s32(c, d)),
    );
    let first = pair(ab, cd);
    let (ab, cd) = (
        vreinterpretq_s8_s32(vzip2q_s32(a, b)),
        vreinterpretq_s8_s32(vzip2q_s32(c, d)),
    );
    let second = pair(ab, cd);
    [first[0], first[1], second[0], second[1]]
}

/// The low halves of two vectors, then the high ones.
#[inline]
#[target_feature(enable = "neon")]
fn pair(a: int8x16_t, b: int8x16_t) -> [int8x16_t; 2] {
    let (a, b) = (vreinterpretq_s64_s8(a), vreinterpretq_s64_s8(b));
    [
        vreinterpretq_s8_s64(vzip1q_s64(a, b)),
        vreinterpretq_s8_s64(vzip2q_s64(a, b)),
    ]
}

/// Sixteen codes of each row: for every eight all rows.
#[inline]
#[target_feature(enable = "neon")]
fn eights(rows: [int8x16_t; ROWS]) -> [int8x16_t; ROWS] {
    let [a, b, c, d, e, f, g, h] = rows;
    let (ab, cd, ef, gh) = (pair(a, b), pair(c, d), pair(e, f), pair(g, h));
    [ab[0], cd[0], ef[0], gh[0], ab[1], cd[1], ef[1], gh[1]]
}

/// See [`crate::isa::Tile::pack`]. Sums start at 0: nothing is biased.
/// # Safety
/// Lengths as `ReadyTile::pack` checks them.
#[inline(always)]
pub unsafe fn pack<T: Pairs>(from: &SlabRows<'_>, to: &mut SlabBuffers<'_>) {
    let groups = from.runs * RUN / from.format.group;
    for row in 0..ROWS {
        for group in 0..groups {
            to.scales[group * ROWS + row] = from.scales[row * UNIT_GROUPS + group];
        }
        if from.format.has_mins {
            for group in 0..groups {
                to.mins[group * ROWS + row] = from.mins[row * UNIT_GROUPS + group];
            }
        }
    }
    for step in 0..from.runs * RUN / 16 {
        // SAFETY: the caller's promise: UNIT codes of each of ROWS rows on either side; a unit has sixteen steps of sixteen.
        unsafe {
            let mut rows = [vdupq_n_s8(0); ROWS];
            for (row, codes) in rows.iter_mut().enumerate() {
                *codes = vld1q_s8(from.codes.as_ptr().add(row * UNIT + step * 16));
            }
            for (index, codes) in T::interleaved(rows).into_iter().enumerate() {
                vst1q_s8(to.codes.as_mut_ptr().add((step * ROWS + index) * 16), codes);
            }
        }
    }
}

/// See [`crate::isa::Tile::run`]; `P` pairs of columns at a time.
/// # Safety
/// The CPU must have `T`'s instructions; lengths as `ReadyTile::run` checks them.
#[inline(always)]
pub unsafe fn run<T: Pairs, const P: usize>(
    slab: &Slab<'_>,
    x: &TileColumns<'_>,
    sums: &mut [f32],
) {
    let mut first = 0;
    while first < x.count {
        let left = x.count - first;
        // SAFETY: the caller's promise: `T`'s instructions and lengths. `first` is below `x.count`.
        first += unsafe {
            match (left >= 2 * P - 1, slab.format.group) {
                (true, 16) => tile::<T, P, 16>(slab, x, first, sums),
                (true, _) => tile::<T, P, 32>(slab, x, first, sums),
                (false, 16) => tile::<T, 1, 16>(slab, x, first, sums),
                (false, _) => tile::<T, 1, 32>(slab, x, first, sums),
            }
        };
    }
}

/// A slab times `P` pairs of columns from `first`, of which the very last may be missing, run by run; gives back how many
/// were done.
/// # Safety
/// The CPU must have `T`'s instructions; `first` is below `x.count`, lengths as `ReadyTile::run` checks them.
#[inline(always)]
unsafe fn tile<T: Pairs, const P: usize, const G: usize>(
    slab: &Slab<'_>,
    x: &TileColumns<'_>,
    first: usize,
    sums: &mut [f32],
) -> usize {
    let last = x.count - 1;
    let groups = RUN / G;
    let of_groups = if G == 16 { x.half_sums } else { x.sums };
    // SAFETY: the caller's promise: `T`'s instructions; `slab.runs` runs, at most RUNS, of the slab and of columns up to
    // `last`, which the slices hold. NEON is part of aarch64.
    unsafe {
        let mut weights = slab.codes.as_ptr();
        // A missing column is the last one again; its sums are dropped.
        let mut columns = [[x.codes.as_ptr().cast::<i8>(); 2]; P];
        for (index, column) in columns.as_flattened_mut().iter_mut().enumerate() {
            *column = column.add((first + index).min(last) * UNIT);
        }
        for run in 0..slab.runs {
            let mut scaled = [[[vdupq_n_f32(0.0); 2]; 2]; P];
            for half in 0..groups {
                let mut products = [T::none(); P];
                for _ in 0..G / 16 {
                    T::add(&mut products, weights, &columns);
                    weights = weights.add(16 * ROWS);
                    for column in columns.as_flattened_mut() {
                        *column = column.add(16);
                    }
                }
                let scales = eight(slab.scales, run * groups + half);
                for (scaled, products) in scaled.iter_mut().zip(products) {
                    for (scaled, products) in scaled.iter_mut().zip(T::finish(products)) {
                        for part in 0..2 {
                            let sum = vcvtq_f32_s32(products[part]);
                            scaled[part] = if half == 0 {
                                vmulq_f32(sum, scales[part])
                            } else {
                                vfmaq_f32(scaled[part], sum, scales[part])
                            };
                        }
                    }
                }
            }
            if slab.format.has_mins {
                for group in run * groups..(run + 1) * groups {
                    let mins = eight(slab.mins, group);
                    for (index, scaled) in scaled.as_flattened_mut().iter_mut().enumerate() {
                        let column = (first + index).min(last);
                        let sum = *of_groups.as_ptr().add(group * x.count + column);
                        scaled[0] = vfmsq_n_f32(scaled[0], mins[0], sum);
                        scaled[1] = vfmsq_n_f32(scaled[1], mins[1], sum);
                    }
                }
            }
            for (index, scaled) in scaled.as_flattened().iter().enumerate() {
                let column = first + index;
                if column <= last {
                    let scale = *x.scales.as_ptr().add(run * x.count + column);
                    let to = sums.as_mut_ptr().add((column * RUNS + run) * ROWS);
                    vst1q_f32(to, vfmaq_n_f32(vld1q_f32(to), scaled[0], scale));
                    let to = to.add(4);
                    vst1q_f32(to, vfmaq_n_f32(vld1q_f32(to), scaled[1], scale));
                }
            }
        }
        (2 * P).min(last + 1 - first)
    }
}

/// A number of a group for each row.
/// # Safety
/// `of` has `group + 1` times [`ROWS`] numbers.
#[inline(always)]
unsafe fn eight(of: &[f32], group: usize) -> [float32x4_t; 2] {
    // SAFETY: the caller's promise: the group's numbers are there.
    unsafe {
        let at = of.as_ptr().add(group * ROWS);
        [vld1q_f32(at), vld1q_f32(at.add(4))]
    }
}
