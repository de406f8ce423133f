//! Rotary position embedding: the numbers of one rotation, as a model file gives them. Layers that turn alike share a
//! [`RopeId`], and so the table of a batch's sines and cosines, which is computed once.

use gristmill_kernels::ops::{RopeOptions, RopePairing, RopeTable, Yarn};

use super::Pass;

/// Names one of a decoder's [`Rope`]s.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RopeId(pub(crate) usize);

/// A rotation.
#[derive(Debug, Clone)]
pub struct Rope {
    /// Which two elements form a pair.
    pub pairing: RopePairing,
    /// Elements of a head that are rotated (`rope.dimension_count`).
    pub dimensions: usize,
    /// Base of the frequencies (`rope.freq_base`).
    pub base: f32,
    /// How a longer context is fitted onto the trained positions.
    pub scaling: Scaling,
    /// Divisors of the frequencies (`rope_freqs.weight`).
    pub factors: Option<Vec<f32>>,
}

/// How a longer context is fitted onto the trained positions (`rope.scaling.type`).
#[derive(Debug, Clone, Copy)]
pub struct Scaling {
    /// Factor by which the context grows (`rope.scaling.factor`): positions are divided by it.
    pub factor: f32,
    /// Only slow pairs are slowed down (arXiv:2309.00071).
    pub yarn: Option<Yarn>,
    /// Factor on sines and cosines (`rope.scaling.attn_factor`).
    pub magnitude: f32,
}

impl Scaling {
    /// Positions as they were trained.
    pub const NONE: Scaling = Scaling {
        factor: 1.0,
        yarn: None,
        magnitude: 1.0,
    };
}

impl Rope {
    /// A table for the positions of one batch at a time.
    pub fn table(&self) -> RopeTable {
        RopeTable::new(&RopeOptions {
            dimensions: self.dimensions,
            pairing: self.pairing,
            base: self.base,
            scale: 1.0 / self.scaling.factor,
            yarn: self.scaling.yarn,
            magnitude: self.scaling.magnitude,
            factors: self.factors.as_deref(),
        })
    }
}

impl Pass<'_> {
    /// Turns the heads of all rows of `x` by their positions.
    pub fn rotate(&self, rope: RopeId, x: &mut [f32], heads: usize, head_length: usize) {
        self.each_row(heads * head_length, x, |row, x| {
            self.ropes[rope.0].apply(self.first + row, x, head_length);
        });
    }
}
