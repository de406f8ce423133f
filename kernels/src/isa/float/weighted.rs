//! Weighted sums of a run of rows.

#![allow(clippy::too_many_arguments)] // kernels: operands and their shapes
#![allow(clippy::needless_range_loop)] // arrays of registers: iterators are closures, which don't have their instructions

use super::rows::{Element, Rows, covers, most_rows, share};
use super::{Kernel, Simd};

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
    s.apart(Weighted {
        weights,
        weight_step,
        rows,
        values,
        count,
        width,
        out,
        out_step,
        onto,
    });
}

/// The operands of [`weighted_rows`], lengths checked.
struct Weighted<'a, T> {
    weights: &'a [f32],
    weight_step: usize,
    rows: usize,
    values: Rows<'a, T>,
    count: usize,
    width: usize,
    out: &'a mut [f32],
    out_step: usize,
    onto: Onto<'a>,
}

impl<T: Element> Kernel for Weighted<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Weighted {
            weights,
            weight_step,
            rows,
            values,
            count,
            width,
            out,
            out_step,
            onto,
        } = self;
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
                        (2, 8) if const { S::LANES == 16 } => block!(2, 8),
                        (3.., 8) if const { S::LANES == 16 } => block!(3, 8),
                        (_, 8) => block!(1, 8),
                        (1, 4) => block!(1, 4),
                        (3, 4) if const { S::LANES == 16 } => block!(3, 4),
                        (4, 4) if const { S::LANES == 16 } => block!(4, 4),
                        (5, 4) if const { S::LANES == 16 } => block!(5, 4),
                        (6.., 4) if const { S::LANES == 16 } => block!(6, 4),
                        (_, 4) => block!(2, 4),
                        (1, 1) => block!(1, 1),
                        (3, 1) if const { S::LANES == 16 } => block!(3, 1),
                        (4, 1) if const { S::LANES == 16 } => block!(4, 1),
                        (5, 1) if const { S::LANES == 16 } => block!(5, 1),
                        (6.., 1) if const { S::LANES == 16 } => block!(6, 1),
                        (_, _) => block!(2, 1),
                    }
                }
                i += here;
            }
            at += vectors * S::LANES;
        }
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
    use super::super::Floats;
    use super::super::finite;
    use super::*;

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
