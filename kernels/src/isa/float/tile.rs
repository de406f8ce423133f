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
    macro_rules! block {
        ($rows:literal) => {{
            let (a, c) = (a.add(row * a_steps.0), c.add(row * panel));
            tile_block::<S, $rows>(s, a, a_steps, depth, b, c, accumulate);
            row += $rows;
        }};
    }
    // SAFETY: row + block <= rows in every call, so all accesses lie inside what was checked above.
    unsafe {
        if S::LANES == 16 {
            while row + 8 <= rows {
                block!(8);
            }
        }
        while row + 4 <= rows {
            block!(4);
        }
        while row < rows {
            block!(1);
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

/// Rows that can be read as vectors of f32, wherever and however they are stored.
pub trait WideRows: Copy {
    /// The vector of row `row` that begins at element `at`.
    /// # Safety
    /// The row must exist and have `LANES` elements from `at`.
    unsafe fn vector<S: Simd>(self, s: S, row: usize, at: usize) -> S::V;
    /// Panics unless there are `rows` rows of `width` elements.
    fn check(self, rows: usize, width: usize);
}

/// Rows of f32, one right after another.
#[derive(Clone, Copy)]
pub struct F32Rows<'a> {
    /// The elements.
    pub data: &'a [f32],
    /// Elements of a row.
    pub width: usize,
}

impl WideRows for F32Rows<'_> {
    #[inline(always)]
    unsafe fn vector<S: Simd>(self, s: S, row: usize, at: usize) -> S::V {
        // SAFETY: the caller's promise.
        unsafe { s.load_at(self.data.as_ptr().add(row * self.width + at)) }
    }
    #[inline(always)]
    fn check(self, rows: usize, width: usize) {
        assert!(width <= self.width && self.data.len() >= rows * self.width);
    }
}

/// Rows of half floats, one right after another.
#[derive(Clone, Copy)]
pub struct F16Rows<'a> {
    /// The elements.
    pub data: &'a [u16],
    /// Elements of a row.
    pub width: usize,
}

impl WideRows for F16Rows<'_> {
    #[inline(always)]
    unsafe fn vector<S: Simd>(self, s: S, row: usize, at: usize) -> S::V {
        // SAFETY: the caller's promise.
        let bits = unsafe {
            std::slice::from_raw_parts(self.data.as_ptr().add(row * self.width + at), S::LANES)
        };
        s.load_f16(bits)
    }
    #[inline(always)]
    fn check(self, rows: usize, width: usize) {
        assert!(width <= self.width && self.data.len() >= rows * self.width);
    }
}

/// Query rows that share a key's or value's vector once it is in a register: as many as registers allow.
#[inline(always)]
pub fn shared_rows<S: Simd>() -> usize {
    if S::LANES == 16 { 4 } else { 2 }
}

/// `scores[row * score_step + key] = queries[row] · keys[key]` for all `rows` and `count` keys.
///
/// Rows are `width` long, a multiple of `LANES`. Each dot product is summed in one order that depends on `width` alone.
#[inline(always)]
pub fn dot_keys<S: Simd, K: WideRows>(
    s: S,
    queries: &[f32],
    rows: usize,
    keys: K,
    count: usize,
    width: usize,
    scores: &mut [f32],
    score_step: usize,
) {
    if rows == 0 || count == 0 {
        return;
    }
    assert!(width.is_multiple_of(S::LANES) && queries.len() >= rows * width);
    assert!(scores.len() >= (rows - 1) * score_step + count);
    keys.check(count, width);
    let (queries, scores) = (queries.as_ptr(), scores.as_mut_ptr());
    let whole = count - count % 4;
    // SAFETY: rows, keys and widths stay inside what was checked above.
    unsafe {
        for key in (0..whole).step_by(4) {
            let mut row = 0;
            while row < rows {
                let q = queries.add(row * width);
                let out = scores.add(row * score_step + key);
                let here = (rows - row).min(shared_rows::<S>());
                match here {
                    1 => dot_block::<S, K, 1, 4>(s, q, keys, key, width, out, score_step),
                    2 => dot_block::<S, K, 2, 4>(s, q, keys, key, width, out, score_step),
                    3 => dot_block::<S, K, 3, 4>(s, q, keys, key, width, out, score_step),
                    _ => dot_block::<S, K, 4, 4>(s, q, keys, key, width, out, score_step),
                }
                row += here;
            }
        }
        for key in whole..count {
            for row in 0..rows {
                let out = scores.add(row * score_step + key);
                dot_block::<S, K, 1, 1>(
                    s,
                    queries.add(row * width),
                    keys,
                    key,
                    width,
                    out,
                    score_step,
                );
            }
        }
    }
}

/// `R` queries with `N` keys (1 or 4).
/// # Safety
/// As laid out in [`dot_keys`].
#[inline(always)]
unsafe fn dot_block<S: Simd, K: WideRows, const R: usize, const N: usize>(
    s: S,
    queries: *const f32,
    keys: K,
    key: usize,
    width: usize,
    scores: *mut f32,
    score_step: usize,
) {
    let mut sums = [[s.splat(0.0); 4]; R];
    // SAFETY: the caller's promise covers every pointer formed here.
    unsafe {
        for at in (0..width).step_by(S::LANES) {
            let mut k = [s.splat(0.0); 4];
            for (n, k) in k.iter_mut().enumerate().take(N) {
                *k = keys.vector(s, key + n, at);
            }
            for (r, sum) in sums.iter_mut().enumerate() {
                let q = s.load_at(queries.add(r * width + at));
                for n in 0..N {
                    sum[n] = s.fma(q, k[n], sum[n]);
                }
            }
        }
        for (r, sum) in sums.into_iter().enumerate() {
            let out = scores.add(r * score_step);
            if N == 4 {
                out.cast::<[f32; 4]>().write_unaligned(s.sum4(sum));
            } else {
                *out = s.sum(sum[0]);
            }
        }
    }
}

/// `out[row * out_step ..] += Σ weights[row * weight_step + key] * values[key]` over `count` keys, in ascending order.
///
/// Rows of `values` and `out` are `width` long, a multiple of `LANES`; those of `out` begin `out_step` apart.
#[inline(always)]
pub fn weighted_rows<S: Simd, K: WideRows>(
    s: S,
    weights: &[f32],
    weight_step: usize,
    rows: usize,
    values: K,
    count: usize,
    width: usize,
    out: &mut [f32],
    out_step: usize,
) {
    if rows == 0 || count == 0 {
        return;
    }
    assert!(width.is_multiple_of(S::LANES));
    assert!(
        weights.len() >= (rows - 1) * weight_step + count
            && out.len() >= (rows - 1) * out_step + width
    );
    values.check(count, width);
    let (weights, out) = (weights.as_ptr(), out.as_mut_ptr());
    let mut at = 0;
    while at < width {
        let vectors = if at + 4 * S::LANES <= width { 4 } else { 1 };
        let mut row = 0;
        while row < rows {
            let here = (rows - row).min(shared_rows::<S>());
            // SAFETY: rows, keys and columns at .. at + vectors * LANES stay inside what was checked above.
            unsafe {
                let w = weights.add(row * weight_step);
                let out = out.add(row * out_step + at);
                macro_rules! block {
                    ($rows:literal, $vectors:literal) => {
                        weighted_block::<S, K, $rows, $vectors>(
                            s,
                            w,
                            weight_step,
                            values,
                            count,
                            at,
                            out,
                            out_step,
                        )
                    };
                }
                match (here, vectors) {
                    (1, 4) => block!(1, 4),
                    (2, 4) => block!(2, 4),
                    (3, 4) => block!(3, 4),
                    (_, 4) => block!(4, 4),
                    (1, _) => block!(1, 1),
                    (2, _) => block!(2, 1),
                    (3, _) => block!(3, 1),
                    (_, _) => block!(4, 1),
                }
            }
            row += here;
        }
        at += vectors * S::LANES;
    }
}

/// `R` rows times `W` vectors of columns from column `at`.
/// # Safety
/// As laid out in [`weighted_rows`].
#[inline(always)]
unsafe fn weighted_block<S: Simd, K: WideRows, const R: usize, const W: usize>(
    s: S,
    weights: *const f32,
    weight_step: usize,
    values: K,
    count: usize,
    at: usize,
    out: *mut f32,
    out_step: usize,
) {
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
                *v = values.vector(s, key, at + w * S::LANES);
            }
            for (r, sum) in sums.iter_mut().enumerate() {
                let p = s.splat(*weights.add(r * weight_step + key));
                for w in 0..W {
                    sum[w] = s.fma(p, v[w], sum[w]);
                }
            }
        }
        for (r, sum) in sums.iter().enumerate() {
            for (w, sum) in sum.iter().enumerate() {
                s.store_at(*sum, out.add(r * out_step + w * S::LANES));
            }
        }
    }
}
