//! Many columns: eight rows of a slab times a few pairs of columns, 32-bit sums of signed bytes. Nothing can saturate.
//!
//! A slab lies in words of four codes (eight for `smmla`): for every word all eight rows.
//!
//! What the multiply instructions alone take, sixteen codes deep, in cycles of an Apple M1 (four pipes) and of a Neoverse N1
//! (two, of which one has `smull`): `sdot`, six columns: 12 and 24; `smmla`, six columns: 6 and 12; NEON alone, two columns:
//! 12 and 32, with its `sadalp`.

use super::multiply::{Sdot, Smmla, Widening, sdot_word, smmla, zeros};
use crate::isa::{
    RUN, RUN_ORDER, Slab, SlabBuffers, SlabRows, TileBlock, TileColumns, TileOut, UNIT,
    UNIT_GROUPS, places, units_with,
};
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
pub unsafe fn pack<T: Pairs>(from: &SlabRows<'_>, unit: usize, to: &mut SlabBuffers<'_>) {
    let groups = RUN / from.format.group;
    for (run, place) in places(to.length).into_iter().enumerate().take(from.runs) {
        let place = place + unit;
        for group in 0..groups {
            for row in 0..ROWS {
                let (at, value) = (
                    (place * groups + group) * ROWS + row,
                    row * UNIT_GROUPS + run * groups + group,
                );
                to.scales[at] = from.scales[value];
                if from.format.has_mins {
                    to.mins[at] = from.mins[value];
                }
            }
        }
        for half in 0..2 {
            // SAFETY: the caller's promise: UNIT codes of each of ROWS rows, of which this run has two halves of sixteen;
            // the slab has a place for each run.
            unsafe {
                let mut rows = [vdupq_n_s8(0); ROWS];
                for (row, codes) in rows.iter_mut().enumerate() {
                    let at = row * UNIT + run * RUN + half * 16;
                    *codes = vld1q_s8(from.codes.as_ptr().add(at));
                }
                for (index, codes) in T::interleaved(rows).into_iter().enumerate() {
                    let at = ((place * 2 + half) * ROWS + index) * 16;
                    vst1q_s8(to.codes.as_mut_ptr().add(at), codes);
                }
            }
        }
    }
}

/// See [`crate::isa::Tile::run`]; `P` pairs of columns at a time.
/// # Safety
/// The CPU must have `T`'s instructions; lengths as `ReadyTile::run` checks them.
#[inline(always)]
pub unsafe fn run<T: Pairs, const P: usize>(slab: &Slab<'_>, x: &TileColumns<'_>, out: TileOut) {
    for (first, count, block) in x.blocks(2 * P, slab.length) {
        // SAFETY: the caller's promise: `T`'s instructions and lengths; the block is of `count` columns, at most 2 · P, and
        // `out` has a place for each of all columns.
        unsafe {
            let out = out.from(first);
            match (count > 2, slab.format.group) {
                (true, 16) => tile::<T, P, 16>(slab, block, count, out),
                (true, _) => tile::<T, P, 32>(slab, block, count, out),
                (false, 16) => tile::<T, 1, 16>(slab, block, count, out),
                (false, _) => tile::<T, 1, 32>(slab, block, count, out),
            }
        }
    }
}

/// Sums of eight rows with `P` pairs of columns.
type Floats<const P: usize> = [[[float32x4_t; 2]; 2]; P];

/// A slab times a block of `count` columns: `P` pairs, of which the last columns may be missing.
/// # Safety
/// The CPU must have `T`'s instructions; lengths as `ReadyTile::run` checks them, `out` has `count` columns.
#[inline(always)]
unsafe fn tile<T: Pairs, const P: usize, const G: usize>(
    slab: &Slab<'_>,
    x: TileBlock,
    count: usize,
    out: TileOut,
) {
    let (last, groups) = (count - 1, RUN / G);
    // SAFETY: the caller's promise: `T`'s instructions; all runs of the slab and of `count` columns in order. A missing column
    // is the last one again; its sums are dropped. NEON is part of aarch64.
    unsafe {
        let none: Floats<P> = [[[vdupq_n_f32(0.0); 2]; 2]; P];
        let mut weights = slab.codes.as_ptr();
        let (mut scales, mut mins) = (slab.scales.as_ptr(), slab.mins.as_ptr());
        let mut activations = x.codes.cast::<i8>();
        let mut x_scales = x.scales;
        let mut x_sums = if G == 16 { x.half_sums } else { x.sums };
        // Sums of one, two and four running sums that wait for their neighbours.
        let mut waiting = [none; 3];
        for (number, run) in RUN_ORDER.into_iter().enumerate() {
            let mut acc = none;
            for _ in 0..units_with(slab.length, run) {
                let mut columns = [[activations; 2]; P];
                for (index, column) in columns.as_flattened_mut().iter_mut().enumerate() {
                    *column = column.add(index.min(last) * RUN);
                }
                activations = activations.add(count * RUN);
                let mut scaled = none;
                for group in 0..groups {
                    let mut products = [T::none(); P];
                    for _ in 0..G / 16 {
                        T::add(&mut products, weights, &columns);
                        weights = weights.add(16 * ROWS);
                        for column in columns.as_flattened_mut() {
                            *column = column.add(16);
                        }
                    }
                    let scale = [vld1q_f32(scales), vld1q_f32(scales.add(4))];
                    scales = scales.add(ROWS);
                    for (scaled, products) in scaled.iter_mut().zip(products) {
                        for (scaled, products) in scaled.iter_mut().zip(T::finish(products)) {
                            for part in 0..2 {
                                let sum = vcvtq_f32_s32(products[part]);
                                scaled[part] = if group == 0 {
                                    vmulq_f32(sum, scale[part])
                                } else {
                                    vfmaq_f32(scaled[part], sum, scale[part])
                                };
                            }
                        }
                    }
                }
                if slab.format.has_mins {
                    for group in 0..groups {
                        let min = [vld1q_f32(mins), vld1q_f32(mins.add(4))];
                        mins = mins.add(ROWS);
                        for (index, scaled) in scaled.as_flattened_mut().iter_mut().enumerate() {
                            let sum = *x_sums.add(group * count + index.min(last));
                            scaled[0] = vfmsq_n_f32(scaled[0], min[0], sum);
                            scaled[1] = vfmsq_n_f32(scaled[1], min[1], sum);
                        }
                    }
                }
                x_sums = x_sums.add(groups * count);
                let pairs = acc.as_flattened_mut().iter_mut().zip(scaled.as_flattened());
                for (index, (acc, scaled)) in pairs.enumerate() {
                    let scale = *x_scales.add(index.min(last));
                    acc[0] = vfmaq_n_f32(acc[0], scaled[0], scale);
                    acc[1] = vfmaq_n_f32(acc[1], scaled[1], scale);
                }
                x_scales = x_scales.add(count);
            }
            // A binary counter: a sum that is full is added to its neighbour.
            let full = number.trailing_ones() as usize;
            for waiting in &waiting[..full] {
                let sums = acc
                    .as_flattened_mut()
                    .iter_mut()
                    .zip(waiting.as_flattened());
                for (acc, waiting) in sums {
                    acc[0] = vaddq_f32(waiting[0], acc[0]);
                    acc[1] = vaddq_f32(waiting[1], acc[1]);
                }
            }
            if full < waiting.len() {
                waiting[full] = acc;
            } else {
                for (index, acc) in acc.as_flattened().iter().enumerate().take(count) {
                    let out = out.from(index).at;
                    vst1q_f32(out, acc[0]);
                    vst1q_f32(out.add(4), acc[1]);
                }
            }
        }
    }
}
