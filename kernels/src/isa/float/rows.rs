//! The two inner loops of attention and of products with float weights: dot products of a few rows with a run of others,
//! and weighted sums of a run of rows. Lengths are checked once, at the door.
//!
//! Every result has one order of sums, whatever is computed along with it and however wide the vectors are.

#![allow(clippy::too_many_arguments)] // kernels: operands and their shapes
#![allow(clippy::needless_range_loop)] // arrays of registers: iterators are closures, which don't have their instructions

use super::Simd;
use half::{bf16, f16};

/// Rows of elements that become f32 as they are read; each begins `width` elements after the one before.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a, T> {
    /// The elements.
    pub data: &'a [T],
    /// Elements from the beginning of a row to that of the next.
    pub width: usize,
}

/// A number that vectors of f32 can be loaded of.
pub trait Element: Copy + 'static {
    /// `LANES` elements from `at`.
    /// # Safety
    /// `at` must be readable for `LANES` elements.
    unsafe fn vector_at<S: Simd>(s: S, at: *const Self) -> S::V;
    /// Eight elements from each of the first `EIGHTS` places.
    /// # Safety
    /// Those places must be readable for eight elements.
    unsafe fn eights_at<S: Simd>(s: S, at: [*const Self; 2]) -> S::V;
    /// One element.
    fn widened(self) -> f32;
}

impl Element for f32 {
    #[inline(always)]
    unsafe fn vector_at<S: Simd>(s: S, at: *const f32) -> S::V {
        // SAFETY: the caller vouches for `LANES` elements.
        unsafe { s.load_at(at) }
    }
    #[inline(always)]
    unsafe fn eights_at<S: Simd>(s: S, at: [*const f32; 2]) -> S::V {
        // SAFETY: the caller vouches for eight elements at each place.
        unsafe { s.eights_at(at) }
    }
    #[inline(always)]
    fn widened(self) -> f32 {
        self
    }
}

impl Element for f16 {
    #[inline(always)]
    unsafe fn vector_at<S: Simd>(s: S, at: *const f16) -> S::V {
        // SAFETY: the caller vouches for `LANES` elements; f16 is a transparent u16.
        s.load_f16(unsafe { std::slice::from_raw_parts(at.cast(), S::LANES) })
    }
    #[inline(always)]
    unsafe fn eights_at<S: Simd>(s: S, at: [*const f16; 2]) -> S::V {
        // SAFETY: the caller vouches for eight elements at each place; f16 is a transparent u16.
        unsafe { s.eights_f16_at([at[0].cast(), at[1].cast()]) }
    }
    #[inline(always)]
    fn widened(self) -> f32 {
        self.to_f32()
    }
}

impl Element for bf16 {
    #[inline(always)]
    unsafe fn vector_at<S: Simd>(s: S, at: *const bf16) -> S::V {
        // SAFETY: the caller vouches for `LANES` elements; bf16 is a transparent u16.
        s.load_bf16(unsafe { std::slice::from_raw_parts(at.cast(), S::LANES) })
    }
    #[inline(always)]
    unsafe fn eights_at<S: Simd>(s: S, at: [*const bf16; 2]) -> S::V {
        // SAFETY: the caller vouches for eight elements at each place; bf16 is a transparent u16.
        unsafe { s.eights_bf16_at([at[0].cast(), at[1].cast()]) }
    }
    #[inline(always)]
    fn widened(self) -> f32 {
        f32::from_bits(u32::from(self.to_bits()) << 16)
    }
}

/// Whether `len` elements hold `rows` rows of `width` that begin `step` apart.
fn covers(len: usize, rows: usize, step: usize, width: usize) -> bool {
    let Some(last) = rows.checked_sub(1) else {
        return true;
    };
    let end = last.checked_mul(step).and_then(|at| at.checked_add(width));
    end.is_some_and(|end| end <= len)
}

impl<'a, T: Element> Rows<'a, T> {
    /// The rows from `row` on.
    #[inline(always)]
    pub fn skip(self, row: usize) -> Rows<'a, T> {
        Rows {
            data: &self.data[row * self.width..],
            width: self.width,
        }
    }

    /// Panics unless there are `rows` rows of `width` elements.
    pub(crate) fn check(self, rows: usize, width: usize) {
        assert!(
            covers(self.data.len(), rows, self.width, width),
            "{rows} rows of {width}, {} apart, are more than {} elements",
            self.width,
            self.data.len()
        );
    }

    /// Where element `at` of row `row` lies.
    #[inline(always)]
    fn place(self, row: usize, at: usize) -> *const T {
        self.data.as_ptr().wrapping_add(row * self.width + at)
    }

    /// The elements from `at` up to `width` of two rows, at most eight of each, followed by zeros.
    fn rest(self, rows: [usize; 2], at: usize, width: usize) -> [f32; 16] {
        let mut rest = [0f32; 16];
        for (row, rest) in rows.into_iter().zip(rest.chunks_exact_mut(8)) {
            let row = &self.data[row * self.width..][at..width];
            for (rest, element) in rest.iter_mut().zip(row) {
                *rest = element.widened();
            }
        }
        rest
    }
}

/// How many rows share the other operand's vectors once those are in registers: as many as registers allow.
#[inline(always)]
pub const fn most_rows<S: Simd>() -> usize {
    if S::LANES == 16 { 6 } else { 2 }
}

/// The size of the next block of at most `most` where `left` rows are left: as few blocks as can be, about equal ones.
#[inline(always)]
fn share(left: usize, most: usize) -> usize {
    left.div_ceil(left.div_ceil(most))
}

/// `out[i * step + j] = a[i] · b[j]` for `rows` rows of `a` and `count` of `b`, each `width` elements long.
///
/// Element `k` of a product goes to running sum `k % 8`, in ascending order, with [`Simd::fma`]; the eight sums are added
/// in the order of [`Simd::sum`].
///
/// # Panics
/// If the slices are shorter than that.
#[inline(always)]
pub fn dots<S: Simd, T: Element>(
    s: S,
    a: Rows<'_, f32>,
    rows: usize,
    b: Rows<'_, T>,
    count: usize,
    width: usize,
    out: &mut [f32],
    step: usize,
) {
    if rows == 0 || count == 0 {
        return;
    }
    a.check(rows, width);
    b.check(count, width);
    assert!(
        covers(out.len(), rows, step, count),
        "{rows} x {count} dot products, {step} apart, are more than {} elements",
        out.len()
    );
    if rows < most_rows::<S>() {
        // What is used but a few times is not worth the shuffle that puts two rows into one vector.
        dots_in::<S::Eight, T>(
            s.eight(),
            most_rows::<S>(),
            a,
            rows,
            b,
            count,
            width,
            out,
            step,
        );
    } else {
        dots_in::<S, T>(s, most_rows::<S>(), a, rows, b, count, width, out, step);
    }
}

/// Elements of a row that is a stream of memory of its own.
const LONG: usize = 512;

/// [`dots`] with these vectors, `most` rows at a time; lengths are checked.
#[inline(always)]
fn dots_in<S: Simd, T: Element>(
    s: S,
    most: usize,
    a: Rows<'_, f32>,
    rows: usize,
    b: Rows<'_, T>,
    count: usize,
    width: usize,
    out: &mut [f32],
    step: usize,
) {
    let mut j = 0;
    while j < count {
        let left = count - j;
        // Of short rows only a few at a time, so that memory is read in its order.
        let eight = rows == 1 && left >= 8 * S::EIGHTS && width >= LONG;
        let full = left >= 4 * S::EIGHTS;
        let mut i = 0;
        while i < rows {
            let here = share(rows - i, most);
            macro_rules! block {
                ($rows:literal, $vectors:literal, $full:literal) => {
                    dot_block::<S, T, $rows, $vectors, $full>(s, a, i, b, j, left, width, out, step)
                };
            }
            // SAFETY: `dots` has checked that `a` and `out` have the rows from i on that the block takes (`share` gives no more
            // than `most`, which is 2 or 6, so the last arms are for two rows), and that `b` has `left` from j on.
            unsafe {
                match (here, full) {
                    (1, _) if eight => block!(1, 8, true),
                    (1, true) => block!(1, 4, true),
                    (3, true) if most > 2 => block!(3, 4, true),
                    (4, true) if most > 2 => block!(4, 4, true),
                    (5, true) if most > 2 => block!(5, 4, true),
                    (6.., true) if most > 2 => block!(6, 4, true),
                    (_, true) => block!(2, 4, true),
                    (1, false) => block!(1, 4, false),
                    (3, false) if most > 2 => block!(3, 4, false),
                    (4, false) if most > 2 => block!(4, 4, false),
                    (5, false) if most > 2 => block!(5, 4, false),
                    (6.., false) if most > 2 => block!(6, 4, false),
                    (_, false) => block!(2, 4, false),
                }
            }
            i += here;
        }
        j += (if eight { 8 } else { 4 } * S::EIGHTS).min(left);
    }
}

/// `R` rows of `a` from `i`, with `N` (4 or 8) vectors of rows of `b` from `j`, of which `left` are left. Unless
/// these fill the vectors (`FULL`), the last one is repeated.
/// # Safety
/// The rows of `a`, those of `b` and those of `out` must exist and be `width` long, as laid out in [`dots`].
#[inline(always)]
unsafe fn dot_block<S: Simd, T: Element, const R: usize, const N: usize, const FULL: bool>(
    s: S,
    a: Rows<'_, f32>,
    i: usize,
    b: Rows<'_, T>,
    j: usize,
    left: usize,
    width: usize,
    out: &mut [f32],
    step: usize,
) {
    let whole = width - width % 8;
    let mut sums = [[s.splat(0.0); N]; R];
    let row = |n: usize| if FULL { j + n } else { j + n.min(left - 1) };
    let mut places = [[b.place(j, 0); 2]; N];
    for n in 0..N {
        places[n] = [
            b.place(row(n * S::EIGHTS), 0),
            b.place(row((n + 1) * S::EIGHTS - 1), 0),
        ];
    }
    let mut rows = [a.place(i, 0); R];
    for r in 0..R {
        rows[r] = a.place(i + r, 0);
    }
    for at in (0..whole).step_by(8) {
        // This order takes R + 1 registers beside the sums.
        let mut x = [s.splat(0.0); R];
        for r in 0..R {
            // SAFETY: the caller vouches for `width` elements of this row; at + 8 is at most `width`.
            x[r] = unsafe { s.eight_at(rows[r].add(at)) };
        }
        for n in 0..N {
            let [first, second] = places[n];
            // SAFETY: as for the rows of `a`: at + 8 <= width, and `second` is a row of `b` as `first` is.
            let v = unsafe { T::eights_at(s, [first.add(at), second.add(at)]) };
            for r in 0..R {
                sums[r][n] = s.fma(x[r], v, sums[r][n]);
            }
        }
    }
    if whole < width {
        for n in 0..N {
            let pair = [row(n * S::EIGHTS), row((n + 1) * S::EIGHTS - 1)];
            let v = s.load(&b.rest(pair, whole, width));
            for r in 0..R {
                let x = s.load(&a.rest([i + r; 2], whole, width));
                sums[r][n] = s.fma(x, v, sums[r][n]);
            }
        }
    }
    for r in 0..R {
        let out = &mut out[(i + r) * step + j..];
        for first in (0..N).step_by(4) {
            let mut four = [s.splat(0.0); 4];
            four.copy_from_slice(&sums[r][first..first + 4]);
            let sums = s.sums_of_eights(four);
            if FULL {
                // A constant length: a store instead of a call.
                out[first * S::EIGHTS..][..4 * S::EIGHTS].copy_from_slice(&sums[..4 * S::EIGHTS]);
            } else {
                for (out, sum) in out[first * S::EIGHTS..].iter_mut().zip(sums).take(left) {
                    *out = sum;
                }
            }
        }
    }
}

/// Whether `count` rows of `width` elements, a multiple of `LANES`, are all finite.
///
/// # Panics
/// If the slice is shorter than that.
#[inline(always)]
pub fn finite<S: Simd, T: Element>(s: S, rows: Rows<'_, T>, count: usize, width: usize) -> bool {
    rows.check(count, width);
    assert!(width.is_multiple_of(S::LANES));
    let zero = s.splat(0.0);
    let mut sum = zero;
    for row in 0..count {
        for at in (0..width).step_by(S::LANES) {
            // SAFETY: this row has `width` elements (checked above), at + LANES of which are at most `width`.
            let v = unsafe { T::vector_at(s, rows.place(row, at)) };
            // Zero times infinity or NaN is NaN, and stays.
            sum = s.fma(v, zero, sum);
        }
    }
    s.sum(sum) == 0.0
}

/// What [`weighted_rows`] adds sums to: row by row, `out * shrink + sums * grow`.
#[derive(Clone, Copy, Debug)]
pub struct Onto<'a> {
    /// Factor on what was there.
    pub shrink: &'a [f32],
    /// Factor on the sums.
    pub grow: &'a [f32],
}

impl Onto<'_> {
    /// Those from row `row` on.
    #[inline(always)]
    pub fn skip(&self, row: usize) -> Onto<'_> {
        Onto {
            shrink: &self.shrink[row..],
            grow: &self.grow[row..],
        }
    }
}

/// `Σ weights[i * weight_step + j] * values[j]` over `count` rows of `values`, for `rows` rows, added to
/// `out[i * out_step ..]` as [`Onto`] says. Sums start from zero and run in ascending order of `j`, with [`Simd::fma`].
///
/// Rows of `values` and of `out` are `width` elements long, a multiple of `LANES`.
///
/// # Panics
/// If the slices are shorter than that.
#[inline(always)]
pub fn weighted_rows<S: Simd, T: Element>(
    s: S,
    weights: &[f32],
    weight_step: usize,
    rows: usize,
    values: Rows<'_, T>,
    count: usize,
    width: usize,
    out: &mut [f32],
    out_step: usize,
    onto: Onto<'_>,
) {
    if rows == 0 || count == 0 {
        return;
    }
    values.check(count, width);
    assert!(
        width.is_multiple_of(S::LANES)
            && covers(weights.len(), rows, weight_step, count)
            && covers(out.len(), rows, out_step, width),
        "{rows} sums of {count} x {width} elements, {weight_step} and {out_step} apart, are more than {} and {} elements",
        weights.len(),
        out.len()
    );
    assert!(
        onto.shrink.len() >= rows && onto.grow.len() >= rows,
        "factors for {rows} rows"
    );
    let mut at = 0;
    while at < width {
        // As many columns as registers allow: values are read in longer runs, and more sums run side by side.
        let fit = (width - at) / S::LANES;
        let vectors = match fit {
            8.. if rows <= most_rows::<S>() / 2 => 8,
            4.. => 4,
            _ => 1,
        };
        let mut i = 0;
        while i < rows {
            let here = share(rows - i, most_rows::<S>());
            let weights = &weights[i * weight_step..];
            let out = &mut out[i * out_step + at..];
            let onto = onto.skip(i);
            macro_rules! block {
                ($rows:literal, $vectors:literal) => {
                    weighted_block::<S, T, $rows, $vectors>(
                        s,
                        weights,
                        weight_step,
                        values,
                        count,
                        at,
                        out,
                        out_step,
                        onto,
                    )
                };
            }
            // SAFETY: rows i .. i + here and columns at .. at + vectors * LANES exist (checked above).
            unsafe {
                match (here, vectors) {
                    (2, 8) if S::LANES == 16 => block!(2, 8),
                    (3.., 8) if S::LANES == 16 => block!(3, 8),
                    (_, 8) => block!(1, 8),
                    (1, 4) => block!(1, 4),
                    (3, 4) if S::LANES == 16 => block!(3, 4),
                    (4, 4) if S::LANES == 16 => block!(4, 4),
                    (5, 4) if S::LANES == 16 => block!(5, 4),
                    (6.., 4) if S::LANES == 16 => block!(6, 4),
                    (_, 4) => block!(2, 4),
                    (1, 1) => block!(1, 1),
                    (3, 1) if S::LANES == 16 => block!(3, 1),
                    (4, 1) if S::LANES == 16 => block!(4, 1),
                    (5, 1) if S::LANES == 16 => block!(5, 1),
                    (6.., 1) if S::LANES == 16 => block!(6, 1),
                    (_, _) => block!(2, 1),
                }
            }
            i += here;
        }
        at += vectors * S::LANES;
    }
}

/// `R` rows times `W` vectors of columns, of `values` from column `at`.
/// # Safety
/// The weights, the columns of `values` and those of `out` must exist, as laid out in [`weighted_rows`].
#[inline(always)]
unsafe fn weighted_block<S: Simd, T: Element, const R: usize, const W: usize>(
    s: S,
    weights: &[f32],
    weight_step: usize,
    values: Rows<'_, T>,
    count: usize,
    at: usize,
    out: &mut [f32],
    out_step: usize,
    onto: Onto<'_>,
) {
    let mut sums = [[s.splat(0.0); W]; R];
    let out = out.as_mut_ptr();
    let mut rows = [weights.as_ptr(); R];
    for r in 0..R {
        rows[r] = rows[r].wrapping_add(r * weight_step);
    }
    let mut row = values.place(0, at);
    for j in 0..count {
        let mut weights = [s.splat(0.0); R];
        for r in 0..R {
            // SAFETY: the caller vouches for `count` weights in each row.
            weights[r] = s.splat(unsafe { *rows[r].add(j) });
        }
        for w in 0..W {
            // SAFETY: the caller vouches for `W` vectors of row j, which is below `count`.
            let v = unsafe { T::vector_at(s, row.add(w * S::LANES)) };
            for r in 0..R {
                sums[r][w] = s.fma(weights[r], v, sums[r][w]);
            }
        }
        row = row.wrapping_add(values.width);
    }
    for r in 0..R {
        for w in 0..W {
            // SAFETY: the caller vouches for `W` vectors of each row of `out`.
            unsafe {
                let out = out.add(r * out_step + w * S::LANES);
                let before = s.mul(s.load_at(out), s.splat(onto.shrink[r]));
                s.store_at(s.fma(sums[r][w], s.splat(onto.grow[r]), before), out);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Floats, Kernel};
    use super::*;

    /// `dots` over these shapes: rows of `a` and `b`, width, and steps of `a`, `b` and `out`.
    struct Dots<'a> {
        a: Rows<'a, f32>,
        rows: usize,
        b: Rows<'a, f32>,
        count: usize,
        width: usize,
        out: &'a mut [f32],
        step: usize,
    }

    impl Kernel for Dots<'_> {
        type Output = ();
        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            let Dots {
                a,
                rows,
                b,
                count,
                width,
                out,
                step,
            } = self;
            dots(s, a, rows, b, count, width, out, step);
        }
    }

    /// Every result, however many are computed with it, is the sum that the documentation describes.
    #[test]
    fn dots_have_one_order() {
        let values: Vec<f32> = (0..9000).map(|i| (i as f32 * 0.77).sin()).collect();
        for floats in Floats::all() {
            let fma = |a: f32, b: f32, c: f32| match floats == Floats::PORTABLE {
                // What the portable set does depends on how it was compiled.
                true => f32::NAN,
                false => a.mul_add(b, c),
            };
            for width in [1, 7, 8, 40, 61, 600] {
                let (a, b) = (
                    Rows {
                        data: &values[1..],
                        width,
                    },
                    Rows {
                        data: &values[3..],
                        width: width + 3,
                    },
                );
                let mut alone = vec![0f32; 9 * 13];
                for i in 0..9 {
                    for j in 0..13 {
                        let (a, b) = (a.skip(i), b.skip(j));
                        let out = &mut alone[i * 13 + j..];
                        let (rows, count, step) = (1, 1, 1);
                        floats.run(Dots {
                            a,
                            rows,
                            b,
                            count,
                            width,
                            out,
                            step,
                        });
                        let mut sums = [0f32; 8];
                        for k in 0..width {
                            sums[k % 8] = fma(a.data[k], b.data[k], sums[k % 8]);
                        }
                        let [s0, s1, s2, s3, s4, s5, s6, s7] = sums;
                        let want = ((s0 + s4) + (s2 + s6)) + ((s1 + s5) + (s3 + s7));
                        assert!(want.is_nan() || out[0] == want, "{} {width}", floats.name());
                    }
                }
                for rows in 1..=9 {
                    for count in 1..=13 {
                        let mut out = vec![f32::NAN; rows * 16];
                        floats.run(Dots {
                            a,
                            rows,
                            b,
                            count,
                            width,
                            out: &mut out,
                            step: 16,
                        });
                        for (i, row) in out.chunks_exact(16).enumerate() {
                            assert_eq!(row[..count], alone[i * 13..][..count]);
                            assert!(row[count..].iter().all(|v| v.is_nan()));
                        }
                    }
                }
            }
        }
    }

    /// Shapes whose size is more than a usize holds must not pass as small ones.
    #[test]
    fn shapes_that_wrap_around_are_refused() {
        assert!(covers(10, 3, 4, 2) && !covers(10, 3, 4, 3) && covers(0, 0, 9, 9));
        let small = [1f32; 64];
        let rows = |width| Rows {
            data: &small[..],
            width,
        };
        // 16 * 2^60 is 0 in 64 bits.
        let huge = 1 << (usize::BITS - 4);
        for floats in Floats::all() {
            for wrong in 0..6 {
                let refused = std::panic::catch_unwind(|| {
                    let mut out = [0f32; 1024];
                    floats.run(Dots {
                        a: rows(if wrong == 0 { huge } else { 1 }),
                        rows: 17,
                        b: rows(if wrong == 1 { huge } else { 1 }),
                        count: if wrong == 3 { usize::MAX } else { 17 },
                        width: if wrong == 4 { usize::MAX - 7 } else { 8 },
                        out: &mut out,
                        step: if wrong == 2 { huge } else { 17 },
                    });
                });
                assert_eq!(refused.is_err(), wrong < 5, "{} {wrong}", floats.name());
            }
        }
    }

    struct Weighted<'a> {
        weight_step: usize,
        count: usize,
        values: Rows<'a, f32>,
        width: usize,
        out_step: usize,
    }

    impl Kernel for Weighted<'_> {
        type Output = ();
        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            let (ones, mut out) = ([1f32; 1024], [0f32; 1024]);
            let onto = Onto {
                shrink: &ones,
                grow: &ones,
            };
            let Weighted {
                weight_step,
                count,
                values,
                width,
                out_step,
            } = self;
            let (weights, out) = (&ones, &mut out);
            weighted_rows(
                s,
                weights,
                weight_step,
                17,
                values,
                count,
                width,
                out,
                out_step,
                onto,
            );
            assert!(finite(s, values, count, width));
        }
    }

    #[test]
    fn weighted_rows_that_wrap_around_are_refused() {
        let small = [1f32; 64];
        let huge = 1 << (usize::BITS - 4);
        for floats in Floats::all() {
            for wrong in 0..5 {
                let refused = std::panic::catch_unwind(|| {
                    floats.run(Weighted {
                        weight_step: if wrong == 0 { huge } else { 4 },
                        count: if wrong == 1 { huge + 1 } else { 3 },
                        values: Rows {
                            data: &small,
                            width: if wrong == 1 { huge } else { 16 },
                        },
                        width: if wrong == 2 { usize::MAX - 15 } else { 16 },
                        out_step: if wrong == 3 { huge } else { 16 },
                    });
                });
                assert_eq!(refused.is_err(), wrong < 4, "{} {wrong}", floats.name());
            }
        }
    }
}
