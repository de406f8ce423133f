//! Many columns: eight rows of a slab times a few pairs of columns, 32-bit sums of signed bytes. Nothing can saturate.
//!
//! A slab lies in words of four codes (eight for `smmla`): for every word all eight rows.
//!
//! Cycles of the inner loop, sixteen codes deep, by static analysis (llvm-mca 19, apple-m1 / neoverse-n1), and the bound
//! that its multiply instructions alone set: `sdot`, six columns: 16/24, bound 12/24; `smmla`, six columns: 10/15, bound
//! 6/12 (on neoverse-v1, which has it, 8 and 6); NEON alone, two columns: 24/32, bound 12/32 with its `sadalp`.

use super::multiply::{Sdot, Smmla, Widening, sdot_word, smmla};
use crate::isa::{ACTIVATION_GROUP, Slab, SlabRows, TileColumns, UNIT, UNIT_GROUPS};
use std::arch::aarch64::*;

/// Rows of a slab.
pub const ROWS: usize = 8;

/// Where the next codes of some pairs of columns lie.
type Columns<const P: usize> = [[*const i8; 2]; P];

/// Four sums of 0.
// SAFETY: any bits are integers.
const NONE: int32x4_t = unsafe { std::mem::transmute([0i32; 4]) };

/// Sixteen codes deep, eight rows times pairs of columns.
pub trait Pairs {
    /// Codes of a row that lie together in a slab.
    const WORD: usize;
    /// The integer sums of eight rows with two columns.
    type Sums: Copy;
    /// Zeros.
    const ZERO: Self::Sums;
    /// Adds the products of the 128 codes at `weights` with sixteen of every column.
    /// # Safety
    /// The CPU must have the instructions; all pointers must be readable.
    unsafe fn add<const P: usize>(sums: &mut [Self::Sums; P], weights: *const i8, x: &Columns<P>);
    /// The sums of either column, rows in order.
    /// # Safety
    /// The CPU must have the instructions.
    unsafe fn finish(sums: Self::Sums) -> [[int32x4_t; 2]; 2];
}

impl Pairs for Sdot {
    const WORD: usize = 4;
    type Sums = [[int32x4_t; 2]; 2];
    const ZERO: Self::Sums = [[NONE; 2]; 2];
    #[inline(always)]
    unsafe fn add<const P: usize>(sums: &mut [Self::Sums; P], weights: *const i8, x: &Columns<P>) {
        // SAFETY: the caller's promise.
        unsafe {
            let x = x.map(|[a, b]| [vld1q_s8(a), vld1q_s8(b)]);
            sdot_step::<P, 0>(sums, weights, &x);
            sdot_step::<P, 1>(sums, weights, &x);
            sdot_step::<P, 2>(sums, weights, &x);
            sdot_step::<P, 3>(sums, weights, &x);
        }
    }
    #[inline(always)]
    unsafe fn finish(sums: Self::Sums) -> [[int32x4_t; 2]; 2] {
        sums
    }
}

/// Word `K` of four.
#[inline(always)]
unsafe fn sdot_step<const P: usize, const K: usize>(
    sums: &mut [[[int32x4_t; 2]; 2]; P],
    weights: *const i8,
    x: &[[int8x16_t; 2]; P],
) {
    // SAFETY: the caller's promise.
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
    const WORD: usize = 4;
    /// Of each column, two lanes a row: rows 0 1, 2 3, 4 5, 6 7.
    type Sums = [[int32x4_t; 4]; 2];
    const ZERO: Self::Sums = [[NONE; 4]; 2];
    #[inline(always)]
    unsafe fn add<const P: usize>(sums: &mut [Self::Sums; P], weights: *const i8, x: &Columns<P>) {
        // SAFETY: the caller's promise.
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
    unsafe fn finish(sums: Self::Sums) -> [[int32x4_t; 2]; 2] {
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
    const WORD: usize = 8;
    /// Two rows times two columns each: rows 0 1, 2 3, 4 5, 6 7.
    type Sums = [int32x4_t; 4];
    const ZERO: Self::Sums = [NONE; 4];
    #[inline(always)]
    unsafe fn add<const P: usize>(sums: &mut [Self::Sums; P], weights: *const i8, x: &Columns<P>) {
        // SAFETY: the caller's promise.
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
    unsafe fn finish(sums: Self::Sums) -> [[int32x4_t; 2]; 2] {
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

/// See [`crate::isa::Tile::pack`].
/// # Safety
/// Lengths as `ReadyTile::pack` checks them.
#[inline(always)]
pub unsafe fn pack<T: Pairs>(from: &SlabRows<'_>, slab: &mut Slab<'_>) {
    slab.groups = from.groups;
    slab.has_mins = from
        .quant
        .codes
        .as_ref()
        .is_some_and(|codes| codes.has_mins);
    for (row, codes) in from.codes.chunks_exact(UNIT).enumerate() {
        let used = &codes[..from.groups * from.group];
        for (word, codes) in used.chunks_exact(T::WORD).enumerate() {
            slab.codes[(word * ROWS + row) * T::WORD..][..T::WORD].copy_from_slice(codes);
        }
        for group in 0..from.groups {
            slab.scales[group * ROWS + row] = from.scales[row * UNIT_GROUPS + group];
            slab.mins[group * ROWS + row] = from.mins[row * UNIT_GROUPS + group];
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
        // SAFETY: columns below `x.count`.
        first += unsafe {
            match (left >= 2 * P - 1, slab.group) {
                (true, 16) => tile::<T, P, 16>(slab, x, first, sums),
                (true, _) => tile::<T, P, 32>(slab, x, first, sums),
                (false, 16) => tile::<T, 1, 16>(slab, x, first, sums),
                (false, _) => tile::<T, 1, 32>(slab, x, first, sums),
            }
        };
    }
}

/// A slab times `P` pairs of columns from `first`, of which the very last may be missing; gives back how many were done.
#[inline(always)]
unsafe fn tile<T: Pairs, const P: usize, const G: usize>(
    slab: &Slab<'_>,
    x: &TileColumns<'_>,
    first: usize,
    sums: &mut [f32],
) -> usize {
    let last = x.count - 1;
    // SAFETY: groups of the slab and columns first ..= last, which the slices hold.
    unsafe {
        let zero = vdupq_n_f32(0.0);
        let mut weights = slab.codes.as_ptr();
        // A missing column is the last one again; its sums are dropped.
        let mut columns = [[std::ptr::null::<i8>(); 2]; P];
        for (pair, columns) in columns.iter_mut().enumerate() {
            for (c, column) in columns.iter_mut().enumerate() {
                *column = x
                    .codes
                    .as_ptr()
                    .cast::<i8>()
                    .add((first + 2 * pair + c).min(last) * UNIT);
            }
        }
        let group_sums = if G == 16 { x.sums } else { x.pair_sums };
        let mut group = 0;
        let mut part = 0;
        while group < slab.groups {
            let end = slab.groups.min(group + ACTIVATION_GROUP / G);
            let mut scaled = [[[zero; 2]; 2]; P];
            while group < end {
                let mut products = [T::ZERO; P];
                for _ in 0..G / 16 {
                    T::add(&mut products, weights, &columns);
                    weights = weights.add(16 * ROWS);
                    for column in columns.as_flattened_mut() {
                        *column = column.add(16);
                    }
                }
                let at = group * ROWS;
                let scales = slab.scales.as_ptr().add(at);
                let scales = [vld1q_f32(scales), vld1q_f32(scales.add(4))];
                for (scaled, products) in scaled.iter_mut().zip(products) {
                    let products = T::finish(products);
                    for (scaled, products) in scaled.iter_mut().zip(products) {
                        scaled[0] = vfmaq_f32(scaled[0], vcvtq_f32_s32(products[0]), scales[0]);
                        scaled[1] = vfmaq_f32(scaled[1], vcvtq_f32_s32(products[1]), scales[1]);
                    }
                }
                if slab.has_mins {
                    let mins = slab.mins.as_ptr().add(at);
                    let mins = [vld1q_f32(mins), vld1q_f32(mins.add(4))];
                    for (index, scaled) in scaled.as_flattened_mut().iter_mut().enumerate() {
                        let sum = group_sums[group * x.count + (first + index).min(last)];
                        scaled[0] = vfmsq_n_f32(scaled[0], mins[0], sum);
                        scaled[1] = vfmsq_n_f32(scaled[1], mins[1], sum);
                    }
                }
                group += 1;
            }
            for (index, scaled) in scaled.as_flattened().iter().enumerate() {
                let column = first + index;
                if column <= last {
                    let scale = x.scales[part * x.count + column];
                    let to = sums.as_mut_ptr().add(column * ROWS);
                    vst1q_f32(to, vfmaq_n_f32(vld1q_f32(to), scaled[0], scale));
                    vst1q_f32(
                        to.add(4),
                        vfmaq_n_f32(vld1q_f32(to.add(4)), scaled[1], scale),
                    );
                }
            }
            part += 1;
        }
        (2 * P).min(last + 1 - first)
    }
}
