//! A few columns: blocks are unpacked in registers and multiplied at once, so that weights are read once, in order.
//!
//! The products of four runs are summed into the four lanes of a vector; so a unit's eight sums come to lie in two vectors,
//! as its scales do, and what follows is one operation for four runs.

use super::layouts::{Head, Layout};
use super::multiply::{Multiply, zeros};
pub use super::multiply::{Sdot, Smmla, Widening};
use crate::isa::{Columns, RUN, RUNS, UNIT};
use std::arch::aarch64::*;

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
        while column < x.count {
            let out = &mut out[column..];
            // SAFETY: the caller's promise: `M`'s instruction, rows and columns of `x.length`. The columns taken are below
            // `x.count`.
            column += unsafe {
                match out.len() {
                    4.. => one_row::<M, L, 4>(row, x, column, out),
                    2.. => one_row::<M, L, 2>(row, x, column, out),
                    _ => one_row::<M, L, 1>(row, x, column, out),
                }
            };
        }
    }
}

/// One row with `C` columns from `first`; gives back `C`.
/// # Safety
/// The CPU must have `M`'s instruction; `row` is `x.length` weights, whole blocks, and `first + C` is at most `x.count`.
#[inline(always)]
unsafe fn one_row<M: Multiply, L: Layout, const C: usize>(
    row: &[u8],
    x: &Columns<'_>,
    first: usize,
    out: &mut [f32],
) -> usize {
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
        // SAFETY: the column is there, and `x.units` units long.
        unsafe {
            column.codes = column.codes.add(unit * UNIT);
            column.scales = column.scales.add(unit * RUNS);
            column.sums = column.sums.add(unit * step);
        }
    }
    // SAFETY: NEON is part of aarch64.
    let mut acc = [[unsafe { vdupq_n_f32(0.0) }; 2]; C];
    let mut units = row.chunks_exact(L::UNIT_BYTES);
    let mut index = 0;
    for unit in &mut units {
        // SAFETY: the caller's promise: `M`'s instruction. A whole unit of the row, and as many units of the columns.
        unsafe { add_unit::<M, L, C>(unit.as_ptr(), &columns, index, &mut acc) };
        index += 1;
    }
    let rest = units.remainder();
    if L::PARTS && !rest.is_empty() {
        // Zeros, where activations are zeros too.
        let mut copy = [0u8; 512];
        copy[..rest.len()].copy_from_slice(rest);
        // SAFETY: the caller's promise: `M`'s instruction. The copy is a whole unit, and columns are whole units.
        unsafe { add_unit::<M, L, C>(copy.as_ptr(), &columns, index, &mut acc) };
    }
    for (out, acc) in out[..C].iter_mut().zip(acc) {
        // SAFETY: NEON is part of aarch64.
        *out = unsafe { total(acc) };
    }
    C
}

/// The sum of eight lanes.
#[inline]
#[target_feature(enable = "neon")]
fn total([low, high]: [float32x4_t; 2]) -> f32 {
    let fours = vaddq_f32(low, high);
    vaddv_f32(vadd_f32(vget_low_f32(fours), vget_high_f32(fours)))
}

/// The sums of the lanes of four vectors.
#[inline]
#[target_feature(enable = "neon")]
fn sums([a, b, c, d]: [int32x4_t; 4]) -> int32x4_t {
    vpaddq_s32(vpaddq_s32(a, b), vpaddq_s32(c, d))
}

/// One unit times all columns: a lane of `acc` for each run.
/// # Safety
/// The CPU must have `M`'s instruction; the unit can be read, and unit `index` of every column.
#[inline(always)]
unsafe fn add_unit<M: Multiply, L: Layout, const C: usize>(
    unit: *const u8,
    columns: &[Column; C],
    index: usize,
    acc: &mut [[float32x4_t; 2]; C],
) {
    const {
        let (low, high) = L::RANGE;
        assert!(low as i32 + L::BIAS as i32 >= -128 && high as i32 + L::BIAS as i32 <= 127);
    }
    // SAFETY: the caller's promise: `M`'s instruction, the unit, and unit `index` of every column.
    unsafe {
        let head = L::head(unit);
        add_four_runs::<M, L, C, 0>(unit, &head, columns, index, acc);
        add_four_runs::<M, L, C, 1>(unit, &head, columns, index, acc);
    }
}

/// Runs 4 · `PART` to 4 · `PART` + 3 of a unit times all columns.
/// # Safety
/// As [`add_unit`].
#[inline(always)]
unsafe fn add_four_runs<M: Multiply, L: Layout, const C: usize, const PART: usize>(
    unit: *const u8,
    head: &Head,
    columns: &[Column; C],
    index: usize,
    acc: &mut [[float32x4_t; 2]; C],
) {
    // SAFETY: the caller's promise: `M`'s instruction, the unit, and unit `index` of every column: UNIT codes, RUNS scales
    // and sums, or 2 · RUNS sums of halves. NEON is part of aarch64.
    unsafe {
        // Not a loop and not a closure: the number of a run must be a constant when it is compiled.
        let codes = [
            L::codes(unit, 4 * PART),
            L::codes(unit, 4 * PART + 1),
            L::codes(unit, 4 * PART + 2),
            L::codes(unit, 4 * PART + 3),
        ];
        for (column, acc) in columns.iter().zip(acc) {
            let x = column.codes.add(index * UNIT + 4 * PART * RUN);
            let mut first = [zeros(); 4];
            let mut second = [zeros(); 4];
            for (run, codes) in codes.iter().enumerate() {
                let x = x.add(run * RUN);
                first[run] = M::dot(first[run], codes[0], vld1q_s8(x));
                let to = if L::HALVES { &mut second } else { &mut first };
                to[run] = M::dot(to[run], codes[1], vld1q_s8(x.add(16)));
            }
            let scales = column.scales.add(index * RUNS + 4 * PART);
            let x_sums = column
                .sums
                .add(index * if L::HALVES { 2 * RUNS } else { RUNS } + 4 * PART);
            let x_first = vld1q_f32(x_sums);
            // Sums of 16 codes, or of 32; with what the bias has added taken off they stay exact, far below 2^24.
            let mut t = vmulq_f32(exact::<L>(sums(first), x_first), head.scales[PART]);
            if L::HALVES {
                let x_second = vld1q_f32(x_sums.add(RUNS));
                let second = exact::<L>(sums(second), x_second);
                t = vfmaq_f32(t, second, head.scales[2 + PART]);
                if L::MINS {
                    t = vfmsq_f32(t, head.mins[PART], x_first);
                    t = vfmsq_f32(t, head.mins[2 + PART], x_second);
                }
            } else if L::MINS {
                t = vfmsq_f32(t, head.mins[PART], x_first);
            }
            acc[PART] = vfmaq_f32(acc[PART], t, vld1q_f32(scales));
        }
    }
}

/// Sums of products with what the codes' bias has added taken off, by the sums of the activations' codes.
#[inline]
#[target_feature(enable = "neon")]
fn exact<L: Layout>(sums: int32x4_t, x_sums: float32x4_t) -> float32x4_t {
    let sums = vcvtq_f32_s32(sums);
    if L::BIAS == 0 {
        sums
    } else {
        vfmsq_f32(sums, x_sums, vdupq_n_f32(f32::from(L::BIAS)))
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
    let (runs, _) = codes.as_chunks_mut::<RUN>();
    if let Ok(runs) = <&mut [[i8; RUN]; RUNS]>::try_from(&mut *runs) {
        // SAFETY: the caller's promise: codes for a whole unit are blocks of a whole unit.
        unsafe {
            let unit = blocks.as_ptr();
            heads::<L>(unit, RUNS, scales, mins);
            // Not a loop: the number of a run must be a constant when it is compiled.
            store_run::<L>(unit, 0, &mut runs[0]);
            store_run::<L>(unit, 1, &mut runs[1]);
            store_run::<L>(unit, 2, &mut runs[2]);
            store_run::<L>(unit, 3, &mut runs[3]);
            store_run::<L>(unit, 4, &mut runs[4]);
            store_run::<L>(unit, 5, &mut runs[5]);
            store_run::<L>(unit, 6, &mut runs[6]);
            store_run::<L>(unit, 7, &mut runs[7]);
        }
    } else {
        let mut copy = [0u8; 512];
        copy[..blocks.len()].copy_from_slice(blocks);
        // SAFETY: the copy is a whole unit, and there are fewer runs than in one.
        unsafe {
            heads::<L>(copy.as_ptr(), runs.len(), scales, mins);
            for (run, to) in runs.iter_mut().enumerate() {
                store_run::<L>(copy.as_ptr(), run, to);
            }
        }
    }
}

/// Scales and mins of the first `runs` runs of a unit, in order.
/// # Safety
/// All blocks of the unit can be read.
#[inline(always)]
unsafe fn heads<L: Layout>(unit: *const u8, runs: usize, scales: &mut [f32], mins: &mut [f32]) {
    let groups = runs * if L::HALVES { 2 } else { 1 };
    // SAFETY: the caller's promise: all blocks of the unit. NEON is part of aarch64.
    unsafe {
        let head = L::head(unit);
        scales[..groups].copy_from_slice(&in_order::<L>(head.scales)[..groups]);
        if L::MINS {
            mins[..groups].copy_from_slice(&in_order::<L>(head.mins)[..groups]);
        }
    }
}

/// A value for each group of a unit, in order.
#[inline]
#[target_feature(enable = "neon")]
fn in_order<L: Layout>([a, b, c, d]: [float32x4_t; 4]) -> [f32; 2 * RUNS] {
    let mut values = [0.0; 2 * RUNS];
    let to = values.as_mut_ptr();
    // SAFETY: four vectors are as long as the array.
    unsafe {
        if L::HALVES {
            vst2q_f32(to, float32x4x2_t(a, c));
            vst2q_f32(to.add(RUNS), float32x4x2_t(b, d));
        } else {
            vst1q_f32(to, a);
            vst1q_f32(to.add(4), b);
        }
    }
    values
}

/// The type's own codes of a run.
/// # Safety
/// All blocks of the unit can be read; `run` is below [`RUNS`].
#[inline(always)]
unsafe fn store_run<L: Layout>(unit: *const u8, run: usize, to: &mut [i8; RUN]) {
    // SAFETY: the caller's promise: the unit and its run. `to` is as long as two vectors; NEON is part of aarch64.
    unsafe {
        let bias = vdupq_n_s8(L::BIAS);
        let [low, high] = L::codes(unit, run);
        vst1q_s8(to.as_mut_ptr(), vsubq_s8(low, bias));
        vst1q_s8(to.as_mut_ptr().add(16), vsubq_s8(high, bias));
    }
}
