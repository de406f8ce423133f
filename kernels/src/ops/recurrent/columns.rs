//! Work on the columns of a state: all tokens in a few vectors of columns, then the next few.

use super::{Head, Output};
use crate::isa::float::{Floats, Kernel, Simd};

/// How much of a row `N` vectors from `at` take; the rest of it, if they are not `WHOLE`.
#[inline(always)]
pub fn span<S: Simd, const N: usize, const WHOLE: bool>(row: &[f32], at: usize) -> &[f32] {
    if WHOLE {
        &row[at..][..N * S::LANES]
    } else {
        &row[at..]
    }
}

/// [`span`] to be written.
#[inline(always)]
pub fn span_mut<S: Simd, const N: usize, const WHOLE: bool>(
    row: &mut [f32],
    at: usize,
) -> &mut [f32] {
    if WHOLE {
        &mut row[at..][..N * S::LANES]
    } else {
        &mut row[at..]
    }
}

/// Vector `n` of a [`span`], or, unless it is whole, all of it followed by zeros.
///
/// One at a time: AVX2 has no registers for all vectors of a span beside their sums.
#[inline(always)]
pub fn get<S: Simd, const WHOLE: bool>(s: S, span: &[f32], n: usize) -> S::V {
    if WHOLE {
        s.load(&span[n * S::LANES..])
    } else {
        let mut padded = [0f32; 16];
        padded[..span.len()].copy_from_slice(span);
        s.load(&padded)
    }
}

/// Writes what [`get`] reads.
#[inline(always)]
pub fn put<S: Simd, const WHOLE: bool>(s: S, v: S::V, span: &mut [f32], n: usize) {
    if WHOLE {
        s.store(v, &mut span[n * S::LANES..]);
    } else {
        let mut padded = [0f32; 16];
        s.store(v, &mut padded);
        let len = span.len();
        span.copy_from_slice(&padded[..len]);
    }
}

/// All vectors of a row's [`span`].
#[inline(always)]
pub fn load<S: Simd, const N: usize, const WHOLE: bool>(s: S, row: &[f32], at: usize) -> [S::V; N] {
    let span = span::<S, N, WHOLE>(row, at);
    let mut v = [s.splat(0.0); N];
    for n in 0..N {
        v[n] = get::<S, WHOLE>(s, span, n);
    }
    v
}

/// Writes what [`load`] reads.
#[inline(always)]
pub fn store<S: Simd, const N: usize, const WHOLE: bool>(
    s: S,
    v: [S::V; N],
    row: &mut [f32],
    at: usize,
) {
    let span = span_mut::<S, N, WHOLE>(row, at);
    for n in 0..N {
        put::<S, WHOLE>(s, v[n], span, n);
    }
}

/// One head's work in a call: `x` is what goes in.
pub struct Work<'a, 'o, X> {
    pub head: Head,
    pub x: X,
    pub state: &'a mut [f32],
    pub out: &'a mut (dyn Output + 'o),
}

/// Work on columns that are independent of each other.
pub trait Columns {
    /// All tokens, in `N` vectors of columns from `at`, or (`N` is 1 then) in the columns that are left from there and
    /// don't make a `WHOLE` vector.
    fn columns<S: Simd, const N: usize, const WHOLE: bool>(&mut self, s: S, at: usize);
}

/// [`Columns`] in all of `width` columns.
struct All<'w, W> {
    width: usize,
    work: &'w mut W,
}

impl<W: Columns> Kernel for All<'_, W> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let mut at = 0;
        // The 128 values of common heads at once, so that whole rows of the state are read in their order: AVX-512 has the
        // registers.
        while S::LANES == 16 && self.width - at >= 8 * S::LANES {
            self.work.columns::<S, 8, true>(s, at);
            at += 8 * S::LANES;
        }
        // Four running sums hide most of the time that a multiply-add takes.
        while self.width - at >= 4 * S::LANES {
            self.work.columns::<S, 4, true>(s, at);
            at += 4 * S::LANES;
        }
        while self.width - at >= S::LANES {
            self.work.columns::<S, 1, true>(s, at);
            at += S::LANES;
        }
        if at < self.width {
            self.work.columns::<S, 1, false>(s, at);
        }
    }
}

/// Does the work in all of `width` columns with these instructions.
pub fn in_all_columns(with: Floats, width: usize, work: &mut impl Columns) {
    with.run(All { width, work });
}

/// Does a head's work on what goes in.
///
/// # Panics
/// If the state and the output don't have the head's shape.
pub fn in_head<'a, 'o, X>(
    with: Floats,
    head: Head,
    x: X,
    state: &'a mut [f32],
    out: &'a mut (dyn Output + 'o),
) where
    Work<'a, 'o, X>: Columns,
{
    head.check(state, out);
    let mut work = Work {
        head,
        x,
        state,
        out,
    };
    in_all_columns(with, head.values, &mut work);
}

/// `S = decay S + k ⊗ v`, and then `Sᵀ q`, in the columns from `at`. Row `i` of the state fades by `decay.0[i * decay.1]`.
#[inline(always)]
pub fn advance<S: Simd, const N: usize, const WHOLE: bool>(
    s: S,
    state: &mut [f32],
    values: usize,
    at: usize,
    decay: (&[f32], usize),
    k: &[f32],
    v: [S::V; N],
    q: &[f32],
) -> [S::V; N] {
    let mut sums = [s.splat(0.0); N];
    for (i, state) in state.chunks_exact_mut(values).enumerate() {
        let (decay, k, q) = (s.splat(decay.0[i * decay.1]), s.splat(k[i]), s.splat(q[i]));
        let state = span_mut::<S, N, WHOLE>(state, at);
        for n in 0..N {
            let faded = s.mul(decay, get::<S, WHOLE>(s, state, n));
            let x = s.fma(k, v[n], faded);
            sums[n] = s.fma(q, x, sums[n]);
            put::<S, WHOLE>(s, x, state, n);
        }
    }
    sums
}
