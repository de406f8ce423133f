//! The three inner loops of attention: a register tile of an f32 matrix product, the dot products of a few query rows
//! with a run of keys, and the weighted sum of a run of value rows. Lengths are checked once, at the door.

#![allow(clippy::too_many_arguments)] // kernels: operands and their shapes

use super::Simd;

/// A panel of [`tile_product`] is this many vectors wide.
pub const LANE_PANEL_VECTORS: usize = 2;

/// `c = a · b`, or `c += a · b`. `b` and `c` are panels of `P = LANE_PANEL_VECTORS * LANES` columns, row-major;
/// element (row, k) of `a` lies at `row * a_steps.0 + k * a_steps.1`, so a transposed `a` costs nothing.
/// Every element of `c` is summed over k in ascending order.
#[inline(always)]
pub fn tile_product<S: Simd>(
    s: S,
    a: &[f32],
    a_steps: (usize, usize),
    rows: usize,
    depth: usize,
    b: &[f32],
    c: &mut [f32],
    accumulate: bool,
) {
    let panel = LANE_PANEL_VECTORS * S::LANES;
    if rows == 0 || depth == 0 {
        return;
    }
    assert!(a.len() > (rows - 1) * a_steps.0 + (depth - 1) * a_steps.1);
    assert!(b.len() >= depth * panel && c.len() >= rows * panel);
    let (a, b, c) = (a.as_ptr(), b.as_ptr(), c.as_mut_ptr());
    let mut row = 0;
    // SAFETY: row + block <= rows in every call, so all accesses lie inside what was checked above.
    unsafe {
        if S::LANES == 16 {
            while row + 8 <= rows {
                tile_block::<S, 8>(
                    s,
                    a.add(row * a_steps.0),
                    a_steps,
                    depth,
                    b,
                    c.add(row * panel),
                    accumulate,
                );
                row += 8;
            }
        }
        while row + 4 <= rows {
            tile_block::<S, 4>(
                s,
                a.add(row * a_steps.0),
                a_steps,
                depth,
                b,
                c.add(row * panel),
                accumulate,
            );
            row += 4;
        }
        while row < rows {
            tile_block::<S, 1>(
                s,
                a.add(row * a_steps.0),
                a_steps,
                depth,
                b,
                c.add(row * panel),
                accumulate,
            );
            row += 1;
        }
    }
}

/// `R` rows of [`tile_product`]: `2 R` accumulators live in registers over the whole depth.
/// # Safety
/// `a`, `b`, `c` must cover `R` rows and `depth` steps as laid out there.
#[inline(always)]
unsafe fn tile_block<S: Simd, const R: usize>(
    s: S,
    a: *const f32,
    a_steps: (usize, usize),
    depth: usize,
    b: *const f32,
    c: *mut f32,
    accumulate: bool,
) {
    let panel = 2 * S::LANES;
    let zero = s.splat(0.0);
    let mut sums = [[zero; 2]; R];
    // SAFETY: the caller's promise covers every pointer formed here.
    unsafe {
        if accumulate {
            for (r, sum) in sums.iter_mut().enumerate() {
                *sum = [
                    s.load_at(c.add(r * panel)),
                    s.load_at(c.add(r * panel + S::LANES)),
                ];
            }
        }
        for k in 0..depth {
            let b0 = s.load_at(b.add(k * panel));
            let b1 = s.load_at(b.add(k * panel + S::LANES));
            for (r, sum) in sums.iter_mut().enumerate() {
                let x = s.splat(*a.add(r * a_steps.0 + k * a_steps.1));
                *sum = [s.fma(x, b0, sum[0]), s.fma(x, b1, sum[1])];
            }
        }
        for (r, sum) in sums.iter().enumerate() {
            s.store_at(sum[0], c.add(r * panel));
            s.store_at(sum[1], c.add(r * panel + S::LANES));
        }
    }
}

/// `scores[row * score_step + key] = queries[row] · keys[key]` for all rows and keys.
///
/// Rows of `queries` and `keys` are `width` long, a multiple of `LANES`; `count` is a multiple of 4. Each dot product
/// is summed in one order that depends on `width` alone.
#[inline(always)]
pub fn dot_keys<S: Simd>(
    s: S,
    queries: &[f32],
    rows: usize,
    keys: &[f32],
    count: usize,
    width: usize,
    scores: &mut [f32],
    score_step: usize,
) {
    if rows == 0 || count == 0 {
        return;
    }
    assert!(width.is_multiple_of(S::LANES) && count.is_multiple_of(4));
    assert!(queries.len() >= rows * width && keys.len() >= count * width);
    assert!(scores.len() >= (rows - 1) * score_step + count);
    let (queries, keys, scores) = (queries.as_ptr(), keys.as_ptr(), scores.as_mut_ptr());
    for key in (0..count).step_by(4) {
        // SAFETY: rows, keys and widths stay inside what was checked above.
        unsafe {
            let keys = keys.add(key * width);
            let mut row = 0;
            while row + 2 <= rows {
                dot_block::<S, 2>(
                    s,
                    queries.add(row * width),
                    keys,
                    width,
                    scores.add(row * score_step + key),
                    score_step,
                );
                row += 2;
            }
            if row < rows {
                dot_block::<S, 1>(
                    s,
                    queries.add(row * width),
                    keys,
                    width,
                    scores.add(row * score_step + key),
                    score_step,
                );
            }
        }
    }
}

/// `R` queries with four keys.
/// # Safety
/// As laid out in [`dot_keys`].
#[inline(always)]
unsafe fn dot_block<S: Simd, const R: usize>(
    s: S,
    queries: *const f32,
    keys: *const f32,
    width: usize,
    scores: *mut f32,
    score_step: usize,
) {
    let mut sums = [[s.splat(0.0); 4]; R];
    // SAFETY: the caller's promise covers every pointer formed here.
    unsafe {
        for at in (0..width).step_by(S::LANES) {
            let k = [
                s.load_at(keys.add(at)),
                s.load_at(keys.add(width + at)),
                s.load_at(keys.add(2 * width + at)),
                s.load_at(keys.add(3 * width + at)),
            ];
            for (r, sum) in sums.iter_mut().enumerate() {
                let q = s.load_at(queries.add(r * width + at));
                for (sum, k) in sum.iter_mut().zip(k) {
                    *sum = s.fma(q, k, *sum);
                }
            }
        }
        for (r, sum) in sums.into_iter().enumerate() {
            scores
                .add(r * score_step)
                .cast::<[f32; 4]>()
                .write_unaligned(s.sum4(sum));
        }
    }
}

/// `out[row * out_step ..] += Σ weights[row * weight_step + key] * values[key]` over `count` keys, in ascending order.
///
/// Rows of `values` and `out` are `width` long, a multiple of `LANES`; those of `out` begin `out_step` apart.
#[inline(always)]
pub fn weighted_rows<S: Simd>(
    s: S,
    weights: &[f32],
    weight_step: usize,
    rows: usize,
    values: &[f32],
    count: usize,
    width: usize,
    out: &mut [f32],
    out_step: usize,
) {
    if rows == 0 || count == 0 {
        return;
    }
    assert!(width.is_multiple_of(S::LANES) && values.len() >= count * width);
    assert!(
        weights.len() >= (rows - 1) * weight_step + count
            && out.len() >= (rows - 1) * out_step + width
    );
    let (weights, values, out) = (weights.as_ptr(), values.as_ptr(), out.as_mut_ptr());
    let mut at = 0;
    while at < width {
        let vectors = if at + 4 * S::LANES <= width { 4 } else { 1 };
        // SAFETY: rows, keys and columns at .. at + vectors * LANES stay inside what was checked above.
        unsafe {
            let (values, out) = (values.add(at), out.add(at));
            let mut row = 0;
            while row < rows {
                let (weights, out) = (weights.add(row * weight_step), out.add(row * out_step));
                row += match (rows - row, vectors) {
                    (1, 4) => weighted_block::<S, 1, 4>(
                        s,
                        weights,
                        weight_step,
                        values,
                        count,
                        width,
                        out,
                        out_step,
                    ),
                    (1, _) => weighted_block::<S, 1, 1>(
                        s,
                        weights,
                        weight_step,
                        values,
                        count,
                        width,
                        out,
                        out_step,
                    ),
                    (_, 4) => weighted_block::<S, 2, 4>(
                        s,
                        weights,
                        weight_step,
                        values,
                        count,
                        width,
                        out,
                        out_step,
                    ),
                    (_, _) => weighted_block::<S, 2, 1>(
                        s,
                        weights,
                        weight_step,
                        values,
                        count,
                        width,
                        out,
                        out_step,
                    ),
                };
            }
        }
        at += vectors * S::LANES;
    }
}

/// `R` rows times `W` vectors of columns; returns `R`.
/// # Safety
/// As laid out in [`weighted_rows`].
#[inline(always)]
unsafe fn weighted_block<S: Simd, const R: usize, const W: usize>(
    s: S,
    weights: *const f32,
    weight_step: usize,
    values: *const f32,
    count: usize,
    width: usize,
    out: *mut f32,
    out_step: usize,
) -> usize {
    let mut sums = [[s.splat(0.0); W]; R];
    // SAFETY: the caller's promise covers every pointer formed here.
    unsafe {
        for (r, sum) in sums.iter_mut().enumerate() {
            for (w, sum) in sum.iter_mut().enumerate() {
                *sum = s.load_at(out.add(r * out_step + w * S::LANES));
            }
        }
        for key in 0..count {
            let mut v = [s.splat(0.0); W];
            for (w, v) in v.iter_mut().enumerate() {
                *v = s.load_at(values.add(key * width + w * S::LANES));
            }
            for (r, sum) in sums.iter_mut().enumerate() {
                let p = s.splat(*weights.add(r * weight_step + key));
                for (sum, v) in sum.iter_mut().zip(v) {
                    *sum = s.fma(p, v, *sum);
                }
            }
        }
        for (r, sum) in sums.iter().enumerate() {
            for (w, sum) in sum.iter().enumerate() {
                s.store_at(*sum, out.add(r * out_step + w * S::LANES));
            }
        }
    }
    R
}
