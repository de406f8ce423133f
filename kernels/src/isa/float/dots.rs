//! Dot products of a few rows with a run of others.

#![allow(clippy::too_many_arguments)] // kernels: operands and their shapes
#![allow(clippy::needless_range_loop)] // arrays of registers: iterators are closures, which don't have their instructions

use super::rows::{Element, Rows, covers, most_rows, share};
use super::{Kernel, Simd};

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
    s.apart(Dots {
        a,
        rows,
        b,
        count,
        width,
        out,
        step,
    });
}

/// The operands of [`dots`], lengths checked.
struct Dots<'a, T> {
    a: Rows<'a, f32>,
    rows: usize,
    b: Rows<'a, T>,
    count: usize,
    width: usize,
    out: &'a mut [f32],
    step: usize,
}

impl<T: Element> Kernel for Dots<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        if const { S::LANES == 8 } {
            self.by_blocks::<S, 1, 2>(s);
        } else if self.rows < most_rows::<S>() {
            // What is used but a few times is not worth the shuffle that puts two rows into one vector.
            self.by_blocks::<S::Eight, 1, 5>(s.eight());
        } else {
            self.by_blocks::<S, 3, 6>(s);
        }
    }
}

/// Elements of a row that is a stream of memory of its own.
const LONG: usize = 512;

impl<T: Element> Dots<'_, T> {
    /// With these vectors, `LEAST` to `MOST` rows at a time. Either all rows fit into `MOST`, or there are enough of them for
    /// [`share`] to give at least `LEAST` each time.
    #[inline(always)]
    fn by_blocks<S: Simd, const LEAST: usize, const MOST: usize>(self, s: S) {
        let Dots {
            a,
            rows,
            b,
            count,
            width,
            out,
            step,
        } = self;
        let mut j = 0;
        while j < count {
            let left = count - j;
            // Of short rows only a few at a time, so that memory is read in its order.
            let eight = rows == 1 && left >= 8 * S::EIGHTS && width >= LONG;
            let mut i = 0;
            while i < rows {
                let here = share(rows - i, MOST);
                macro_rules! block {
                    ($rows:literal, $vectors:literal) => {
                        dot_block::<S, T, $rows, $vectors>(s, a, i, b, j, left, width, out, step)
                    };
                }
                // SAFETY: `dots` has checked that `a` and `out` have the rows from i on that the block takes, LEAST to `here` of
                // them, and that `b` has `left` from j on. (Arms outside of LEAST ..= MOST are not compiled.)
                unsafe {
                    match here {
                        1 if const { LEAST <= 1 } && eight => block!(1, 8),
                        1 if const { LEAST <= 1 } => block!(1, 4),
                        4 if const { MOST > 3 } => block!(4, 4),
                        5 if const { MOST > 4 } => block!(5, 4),
                        6.. if const { MOST > 5 } => block!(6, 4),
                        3 if const { LEAST <= 2 && MOST > 2 } => block!(3, 4),
                        _ if const { LEAST <= 2 } => block!(2, 4),
                        _ => block!(3, 4),
                    }
                }
                i += here;
            }
            j += (if eight { 8 } else { 4 } * S::EIGHTS).min(left);
        }
    }
}

/// `R` rows of `a` from `i`, with `N` (4 or 8) vectors of rows of `b` from `j`, of which `left` are left. Unless
/// these fill the vectors, the last one is repeated.
/// # Safety
/// The rows of `a`, those of `b` and those of `out` must exist and be `width` long, as laid out in [`dots`].
#[inline(always)]
unsafe fn dot_block<S: Simd, T: Element, const R: usize, const N: usize>(
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
    let row = |n: usize| j + n.min(left - 1);
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
            if left >= N * S::EIGHTS {
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

#[cfg(test)]
mod tests {
    use super::super::Floats;
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
}
