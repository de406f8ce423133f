//! The inner loops of recurrent layers: what takes the place of attention where a layer keeps a state of one size instead
//! of every key and value.
//!
//! All but [`causal_conv()`] and [`selective_scan()`] work on one head with a state `S` of `[keys][values]`. The values are
//! the lanes of the vectors, so no sum crosses lanes and every set of instructions adds in the same order: keys ascending.
//! (AVX2 and AVX-512 give the same bits. The portable set may not: it has no fused multiply-add on x86.)
//!
//! The state carries everything: tokens in one call or in several give the same bits. A state of zeros is the beginning of
//! a sequence. Some columns of the state go through all tokens of the call before the next ones do, so that they stay in
//! the nearest cache.

#![allow(clippy::too_many_arguments)] // kernels: operands and their shapes
#![allow(clippy::needless_range_loop)] // arrays of registers: iterators are closures, which don't have their instructions

mod causal_conv;
mod decay;
mod gated_delta;
mod linear_attention;
mod selective_scan;
mod state_space;
#[cfg(test)]
mod tests;
mod wkv;

pub use causal_conv::{ConvWeights, causal_conv, taps_first};
pub use decay::{Decay, decay_factors};
pub use gated_delta::{Delta, gated_delta};
pub use linear_attention::{Linear, linear_attention};
pub use selective_scan::{SCAN_CHANNELS, Scan, scan_blocks, scan_len, selective_scan};
pub use state_space::{StateSpace, state_space};
pub use wkv::{Wkv6, Wkv7, wkv6, wkv7};

use crate::isa::float::{Floats, Kernel, Rows, Simd};
use crate::pool::Strip;

/// The shape of one head's work in one call.
#[derive(Clone, Copy, Debug)]
pub struct Head {
    /// Tokens of the call.
    pub tokens: usize,
    /// Elements of a key and of a query: rows of the state.
    pub keys: usize,
    /// Elements of a value and of an output: columns of the state.
    pub values: usize,
}

impl Head {
    /// Panics unless a state and an output have this shape.
    fn check(self, state: &[f32], out: &dyn Output) {
        assert_eq!(state.len(), self.keys * self.values, "the head's state");
        out.check(self.tokens, self.values);
    }
}

/// Where results go, a row for each token. Rows of several heads may lie side by side.
pub trait Output {
    /// Panics unless there are `rows` rows of `width` elements.
    fn check(&self, rows: usize, width: usize);
    /// The first `width` elements of row `row`.
    fn row(&mut self, row: usize, width: usize) -> &mut [f32];
}

/// Rows that are written; each begins `width` elements after the one before.
#[derive(Debug)]
pub struct RowsMut<'a> {
    /// The elements.
    pub data: &'a mut [f32],
    /// Elements from the beginning of a row to that of the next.
    pub width: usize,
}

impl Output for RowsMut<'_> {
    fn check(&self, rows: usize, width: usize) {
        let (data, step) = (&*self.data, self.width);
        Rows { data, width: step }.check(rows, width);
        assert!(rows <= 1 || step >= width, "rows of the output overlap");
    }
    fn row(&mut self, row: usize, width: usize) -> &mut [f32] {
        &mut self.data[row * self.width..][..width]
    }
}

/// A thread's share of an output that has a column for each token: the rows of one head, or of some channels.
impl Output for Strip<'_> {
    fn check(&self, rows: usize, width: usize) {
        assert!(
            rows <= self.columns() && width == self.rows(),
            "{rows} rows of {width} are no strip of {} columns of {}",
            self.columns(),
            self.rows()
        );
    }
    fn row(&mut self, row: usize, width: usize) -> &mut [f32] {
        &mut self.column(row)[..width]
    }
}

/// The first `width` elements of row `row`.
#[inline(always)]
fn row(rows: Rows<'_, f32>, row: usize, width: usize) -> &[f32] {
    &rows.data[row * rows.width..][..width]
}

/// How much of a row `N` vectors from `at` take; the rest of it, if they are not `WHOLE`.
#[inline(always)]
fn span<S: Simd, const N: usize, const WHOLE: bool>(row: &[f32], at: usize) -> &[f32] {
    if WHOLE {
        &row[at..][..N * S::LANES]
    } else {
        &row[at..]
    }
}

/// [`span`] to be written.
#[inline(always)]
fn span_mut<S: Simd, const N: usize, const WHOLE: bool>(row: &mut [f32], at: usize) -> &mut [f32] {
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
fn get<S: Simd, const WHOLE: bool>(s: S, span: &[f32], n: usize) -> S::V {
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
fn put<S: Simd, const WHOLE: bool>(s: S, v: S::V, span: &mut [f32], n: usize) {
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
fn load<S: Simd, const N: usize, const WHOLE: bool>(s: S, row: &[f32], at: usize) -> [S::V; N] {
    let span = span::<S, N, WHOLE>(row, at);
    let mut v = [s.splat(0.0); N];
    for n in 0..N {
        v[n] = get::<S, WHOLE>(s, span, n);
    }
    v
}

/// Writes what [`load`] reads.
#[inline(always)]
fn store<S: Simd, const N: usize, const WHOLE: bool>(
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

/// Work on columns that are independent of each other.
trait Columns {
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
fn in_all_columns(with: Floats, width: usize, work: &mut impl Columns) {
    with.run(All { width, work });
}

/// `S = decay S + k ⊗ v`, and then `Sᵀ q`, in the columns from `at`. Row `i` of the state fades by `decay.0[i * decay.1]`.
#[inline(always)]
fn advance<S: Simd, const N: usize, const WHOLE: bool>(
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
