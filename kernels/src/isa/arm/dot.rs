//! A few columns: blocks are unpacked in registers and multiplied at once, so that weights are read once, in order.
//!
//! Every (row, column) has two running sums of four lanes and two for what mins take off; units in order. That order
//! doesn't depend on the number of columns, so one column and four give the same bits.
//!
//! Cycles per unit of 256 weights and one column by static analysis (llvm-mca 19, apple-m1 / neoverse-n1), of what rustc
//! 1.96 makes of it, and the bound that the multiply instructions alone set (M1: four pipes, N1: two, one for `smull`):
//!
//! | type | neon | dotprod, i8mm | type | neon | dotprod, i8mm | type | neon | dotprod, i8mm |
//! |---|---|---|---|---|---|---|---|---|
//! | Q4_0 | 38/63 | 29/48 | Q6_K | 74/128 | 69/124 | IQ1_S | 82/82 | 82/71 |
//! | Q4_1 | 41/69 | 32/52 | IQ4_NL | 39/69 | 29/48 | IQ1_M | 114/155 | 120/142 |
//! | Q5_0 | 63/107 | 53/84 | IQ4_XS | 41/67 | 32/53 | TQ1_0 | 76/136 | 43/69 |
//! | Q5_1 | 65/105 | 56/88 | MXFP4 | 35/56 | 29/44 | TQ2_0 | 33/54 | 25/42 |
//! | Q8_0 | 27/49 | 19/32 | IQ2_XXS | 84/125 | 72/108 | Q1_0 | 47/80 | 39/62 |
//! | Q2_K | 70/120 | 64/106 | IQ2_XS | 93/162 | 91/146 | Q2_0 | 44/73 | 36/58 |
//! | Q3_K | 79/136 | 77/137 | IQ2_S | 95/139 | 94/127 | NVFP4 | 62/115 | 55/95 |
//! | Q4_K | 44/74 | 36/57 | IQ3_XXS | 96/138 | 89/123 | Q8_1 | 27/51 | 19/32 |
//! | Q5_K | 56/89 | 48/76 | IQ3_S | 162/144 | 162/119 | Q8_K | 26/49 | 16/28 |
//! | bound | 12/32 | 4/8 | | | | | | |
//!
//! The rest is unpacking and the float scale of every group. A core of an M1 at 3.2 GHz would read Q4_K at 12.8 GB/s:
//! with four of them memory is the limit. The types of grids wait for a load of every point, one by one.

use super::layouts::Layout;
use super::multiply::Multiply;
use crate::isa::{Columns, UNIT, Unpacked};
use std::arch::aarch64::*;

/// The sums of one row with `C` columns.
struct Sums<const C: usize> {
    products: [[float32x4_t; 2]; C],
    lowered: [[float32x4_t; 2]; C],
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
/// The CPU must have `M`'s instruction; lengths as `Ready::dot` checks them.
#[inline(always)]
pub unsafe fn rows<M: Multiply, L: Layout>(
    weights: &[u8],
    row_bytes: usize,
    x: &Columns<'_>,
    out: &mut [f32],
) {
    for (row, out) in weights
        .chunks_exact(row_bytes)
        .zip(out.chunks_exact_mut(x.count))
    {
        let mut column = 0;
        // SAFETY: `row` holds whole units or blocks; columns below `x.count`.
        unsafe {
            while column + 4 <= x.count {
                one_row::<M, L, 4>(row, x, column, &mut out[column..]);
                column += 4;
            }
            while column < x.count {
                one_row::<M, L, 1>(row, x, column, &mut out[column..]);
                column += 1;
            }
        }
    }
}

/// One row with `C` columns from `first`.
#[inline(always)]
unsafe fn one_row<M: Multiply, L: Layout, const C: usize>(
    row: &[u8],
    x: &Columns<'_>,
    first: usize,
    out: &mut [f32],
) {
    // SAFETY: a row is `x.length` weights; a part of a unit is copied first, so that whole units may be read; a column
    // is `x.units` units long.
    unsafe {
        let columns: [Column; C] = std::array::from_fn(|c| {
            let unit = (first + c) * x.units;
            let (sums, step) = if L::HALVES {
                (x.half_sums, 16)
            } else {
                (x.sums, 8)
            };
            Column {
                codes: x.codes.as_ptr().add(unit * UNIT),
                scales: x.scales.as_ptr().add(unit * 8),
                sums: sums.as_ptr().add(unit * step),
            }
        });
        let zero = vdupq_n_f32(0.0);
        let mut sums = Sums::<C> {
            products: [[zero; 2]; C],
            lowered: [[zero; 2]; C],
        };
        let whole = x.length / UNIT;
        for index in 0..whole {
            unit_product::<M, L, C, false>(
                row.as_ptr().add(index * L::UNIT_BYTES),
                8,
                &columns,
                index,
                &mut sums,
            );
        }
        let runs = x.length % UNIT / 32;
        if L::PARTS && runs > 0 {
            let mut copy = [0u8; 512];
            let rest = &row[whole * L::UNIT_BYTES..];
            copy[..rest.len()].copy_from_slice(rest);
            unit_product::<M, L, C, true>(copy.as_ptr(), runs, &columns, whole, &mut sums);
        }
        for (c, out) in out[..C].iter_mut().enumerate() {
            let total = vaddq_f32(sums.products[c][0], sums.products[c][1]);
            *out = vaddvq_f32(if L::LOWERS {
                vsubq_f32(total, vaddq_f32(sums.lowered[c][0], sums.lowered[c][1]))
            } else {
                total
            });
        }
    }
}

/// The first `runs` runs of 32 of one unit. `PART`: there may be fewer than eight.
#[inline(always)]
unsafe fn unit_product<M: Multiply, L: Layout, const C: usize, const PART: bool>(
    unit: *const u8,
    runs: usize,
    columns: &[Column; C],
    index: usize,
    sums: &mut Sums<C>,
) {
    let groups = if L::HALVES { 16 } else { 8 };
    // SAFETY: as `one_row`.
    unsafe {
        let head = L::head(unit);
        // Scales go through memory: a load can put one in all lanes.
        let mut scales = [[0f32; 16]; C];
        for (c, column) in columns.iter().enumerate() {
            let x = column.scales.add(index * 8).cast::<[f32; 8]>().read();
            for (g, scale) in scales[c][..groups].iter_mut().enumerate() {
                *scale = head.scales[g] * x[if L::HALVES { g / 2 } else { g }];
            }
            if L::LOWERS {
                // Past the end of a row the activations' sums are 0.
                let of_x = column.sums.add(index * groups);
                for part in 0..groups / 4 {
                    let mins = vld1q_f32(head.mins.as_ptr().add(part * 4));
                    let lowered = &mut sums.lowered[c][part % 2];
                    *lowered = vfmaq_f32(*lowered, mins, vld1q_f32(of_x.add(part * 4)));
                }
            }
        }
        if PART {
            for run in 0..runs {
                run_product::<M, L, C>(unit, run, columns, index, &scales, sums);
            }
        } else {
            // Not a loop: the number of a run must be a constant when it is compiled.
            run_product::<M, L, C>(unit, 0, columns, index, &scales, sums);
            run_product::<M, L, C>(unit, 1, columns, index, &scales, sums);
            run_product::<M, L, C>(unit, 2, columns, index, &scales, sums);
            run_product::<M, L, C>(unit, 3, columns, index, &scales, sums);
            run_product::<M, L, C>(unit, 4, columns, index, &scales, sums);
            run_product::<M, L, C>(unit, 5, columns, index, &scales, sums);
            run_product::<M, L, C>(unit, 6, columns, index, &scales, sums);
            run_product::<M, L, C>(unit, 7, columns, index, &scales, sums);
        }
    }
}

/// One run of 32 codes.
#[inline(always)]
unsafe fn run_product<M: Multiply, L: Layout, const C: usize>(
    unit: *const u8,
    run: usize,
    columns: &[Column; C],
    index: usize,
    scales: &[[f32; 16]; C],
    sums: &mut Sums<C>,
) {
    // SAFETY: as `one_row`.
    unsafe {
        let codes = L::codes(unit, run);
        let zero = vdupq_n_s32(0);
        for (c, column) in columns.iter().enumerate() {
            let x = column.codes.add(index * UNIT + run * 32);
            let x = [vld1q_s8(x), vld1q_s8(x.add(16))];
            let products = &mut sums.products[c];
            if L::HALVES {
                for half in 0..2 {
                    let sum = vcvtq_f32_s32(M::dot(zero, codes[half], x[half]));
                    products[half] = vfmaq_n_f32(products[half], sum, scales[c][2 * run + half]);
                }
            } else {
                let sum = vcvtq_f32_s32(M::dot(M::dot(zero, codes[0], x[0]), codes[1], x[1]));
                products[run % 2] = vfmaq_n_f32(products[run % 2], sum, scales[c][run]);
            }
        }
    }
}

/// A row of codes times every column.
/// # Safety
/// The CPU must have `M`'s instruction; lengths as `Ready::dot_unpacked` checks them.
#[inline(always)]
pub unsafe fn unpacked<M: Multiply>(row: &Unpacked<'_>, x: &Columns<'_>, out: &mut [f32]) {
    // SAFETY: runs of 32 codes up to whole units, which all slices hold.
    unsafe {
        let zero = vdupq_n_s32(0);
        for (column, out) in out.iter_mut().enumerate() {
            let codes = x.codes.as_ptr().add(column * x.units * UNIT);
            let scales = &x.scales[column * x.units * 8..][..x.units * 8];
            let mut products = [vdupq_n_f32(0.0); 2];
            for (run, &scale) in scales.iter().enumerate() {
                let (w, x) = (row.codes.as_ptr().add(run * 32), codes.add(run * 32));
                let (w, x) = (
                    [vld1q_s8(w), vld1q_s8(w.add(16))],
                    [vld1q_s8(x), vld1q_s8(x.add(16))],
                );
                if row.group == 32 {
                    let sum = vcvtq_f32_s32(M::dot(M::dot(zero, w[0], x[0]), w[1], x[1]));
                    products[run % 2] =
                        vfmaq_n_f32(products[run % 2], sum, row.scales[run] * scale);
                } else {
                    for half in 0..2 {
                        let sum = vcvtq_f32_s32(M::dot(zero, w[half], x[half]));
                        products[half] =
                            vfmaq_n_f32(products[half], sum, row.scales[2 * run + half] * scale);
                    }
                }
            }
            let mut total = vaddq_f32(products[0], products[1]);
            if !row.mins.is_empty() {
                let sums = if row.group == 32 { x.sums } else { x.half_sums };
                let sums = &sums[column * row.mins.len()..][..row.mins.len()];
                for (min, sum) in row.mins.chunks_exact(4).zip(sums.chunks_exact(4)) {
                    total = vfmsq_f32(total, vld1q_f32(min.as_ptr()), vld1q_f32(sum.as_ptr()));
                }
            }
            *out = vaddvq_f32(total);
        }
    }
}

/// Up to a unit of a row to signed codes, scales and mins, see [`crate::isa::UnpackUnit`].
/// # Safety
/// Lengths as `Ready::unpack` checks them.
#[inline(always)]
pub unsafe fn unpack<L: Layout>(
    blocks: &[u8],
    codes: &mut [i8],
    scales: &mut [f32],
    mins: &mut [f32],
) {
    let mut copy = [0u8; 512];
    let unit = if codes.len() < UNIT {
        copy[..blocks.len()].copy_from_slice(blocks);
        copy.as_ptr()
    } else {
        blocks.as_ptr()
    };
    // SAFETY: `unit` is a whole unit; runs are stored where there are 32 codes.
    unsafe {
        let head = L::head(unit);
        let groups = codes.len() / if L::HALVES { 16 } else { 32 };
        scales[..groups].copy_from_slice(&head.scales[..groups]);
        if L::MINS {
            mins[..groups].copy_from_slice(&head.mins[..groups]);
        }
        let bias = vdupq_n_s8(L::BIAS);
        for (run, to) in codes.chunks_exact_mut(32).enumerate() {
            let [low, high] = L::codes(unit, run);
            vst1q_s8(to.as_mut_ptr(), vsubq_s8(low, bias));
            vst1q_s8(to[16..].as_mut_ptr(), vsubq_s8(high, bias));
        }
    }
}
