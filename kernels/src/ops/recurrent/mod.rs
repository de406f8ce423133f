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
mod columns;
mod decay;
mod gated_delta;
mod linear_attention;
mod selective_scan;
mod state_space;
#[cfg(test)]
mod tests;
mod wkv6;
mod wkv7;

pub use causal_conv::{ConvWeights, causal_conv, taps_first};
pub use decay::{Decay, decay_factors};
pub use gated_delta::{Delta, gated_delta};
pub use linear_attention::{Linear, linear_attention};
pub use selective_scan::{SCAN_CHANNELS, Scan, scan_blocks, scan_len, selective_scan};
pub use state_space::{StateSpace, state_space};
pub use wkv6::{Wkv6, wkv6};
pub use wkv7::{Wkv7, wkv7, wkv7_bonus};

use crate::isa::float::Rows;
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
