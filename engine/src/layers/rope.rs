//! Rotary position embedding. Layers that turn alike share a [`RopeId`], and so the table of a pass's sines and cosines, which
//! is computed once.

use gristmill_kernels::ops::{RopeOptions, RopePairing, RopeSections, RopeTable, Yarn};

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
    /// Divisors of the frequencies, one for each pair (`rope_freqs.weight`; `rope_factors_short.weight`).
    pub factors: Option<Vec<f32>>,
    /// Those of contexts that are longer than the model was first trained for.
    pub long: Option<LongFactors>,
    /// Positions of several parts (`rope.dimension_sections`).
    pub sections: Option<RopeSections>,
}

/// LongRoPE (arXiv:2402.13753): contexts beyond the original length have divisors of their own. The length of the context
/// decides, not that of the text: what is in the cache would have to be turned again.
#[derive(Debug, Clone)]
pub struct LongFactors {
    /// Positions that the short divisors are for (`rope.scaling.original_context_length`).
    pub original_context: usize,
    /// The divisors (`rope_factors_long.weight`).
    pub factors: Vec<f32>,
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

impl Rope {
    /// Whether a context of this length has [`LongFactors`].
    pub fn is_long(&self, capacity: usize) -> bool {
        let long = self.long.as_ref();
        long.is_some_and(|long| capacity > long.original_context)
    }

    /// A table for the positions of one batch at a time, in a context of `capacity` positions.
    pub fn table(&self, capacity: usize) -> RopeTable {
        let long = self.long.as_ref();
        let factors = long
            .filter(|_| self.is_long(capacity))
            .map(|long| &long.factors)
            .or(self.factors.as_ref());
        RopeTable::new(&RopeOptions {
            dimensions: self.dimensions,
            pairing: self.pairing,
            base: self.base,
            scale: 1.0 / self.scaling.factor,
            yarn: self.scaling.yarn,
            magnitude: self.scaling.magnitude,
            factors: factors.map(Vec::as_slice),
            sections: self.sections,
        })
    }
}

impl Pass<'_> {
    /// Turns the heads of all rows of `x` by their positions.
    pub fn rotate(&self, rope: RopeId, x: &mut [f32], heads: usize, head_length: usize) {
        self.each_row(heads * head_length, x, |row, x| {
            self.ropes[rope.0].apply(self.rows[row].index, x, head_length);
        });
    }
}
