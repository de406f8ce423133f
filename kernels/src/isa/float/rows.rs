//! Rows of floats and of halves, which the two inner loops of attention and of products with float weights go through
//! ([`dots`](super::dots), [`weighted_rows`](super::weighted_rows)). Those check lengths once, at the door.
//!
//! Every result has one order of sums, whatever is computed along with it and however wide the vectors are.

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
pub(super) fn covers(len: usize, rows: usize, step: usize, width: usize) -> bool {
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
    pub(super) fn place(self, row: usize, at: usize) -> *const T {
        self.data.as_ptr().wrapping_add(row * self.width + at)
    }

    /// The elements from `at` up to `width` of two rows, at most eight of each, followed by zeros.
    pub(super) fn rest(self, rows: [usize; 2], at: usize, width: usize) -> [f32; 16] {
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
pub(super) fn share(left: usize, most: usize) -> usize {
    left.div_ceil(left.div_ceil(most))
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
