//! What a [`Ready`] instruction set does: each call checks the lengths that its micro-kernel relies on.

use super::float::Floats;
use super::scalar::SCALAR;
use super::{
    Columns, Isa, RUN, Ready, Rounded, Slab, SlabBuffers, SlabRows, Tile, TileColumns, TileOrder,
    TileOut, UNIT, UNIT_GROUPS, Unpacked,
};
use crate::pool::Strip;
use crate::quant::{Codes, QuantType};

impl Ready {
    /// Plain Rust, which needs nothing of the CPU.
    pub(crate) const SCALAR: Ready = Ready(&SCALAR, Floats::PORTABLE);

    /// The instruction set.
    pub fn isa(self) -> &'static Isa {
        self.0
    }

    /// The float instructions that go with it.
    pub fn floats(self) -> Floats {
        self.1
    }

    /// Rounds up to [`UNIT`] activations to 8 bits with a scale for each run. NaN or infinity in a run makes its scale NaN
    /// or infinite.
    pub(crate) fn round(self, x: &[f32], to: &mut Rounded) {
        assert!(x.len() <= UNIT);
        // SAFETY: the CPU has the instructions (`Ready`).
        unsafe { (self.0.kernels.round)(x, to) }
    }

    /// Whether there is a fused product for a type.
    pub(crate) fn multiplies_blocks(self, quant: &QuantType) -> bool {
        (self.0.kernels.dot)(quant).is_some()
    }

    /// The fused product for a type. It panics if lengths don't agree.
    pub(crate) fn dot(
        self,
        quant: &QuantType,
    ) -> Option<impl Fn(&[u8], &Columns<'_>, &mut [f32]) + Copy> {
        let dot = (self.0.kernels.dot)(quant)?;
        let (elements, bytes) = (quant.block_elements, quant.block_bytes);
        Some(move |weights: &[u8], x: &Columns<'_>, out: &mut [f32]| {
            x.check();
            assert!(x.length.is_multiple_of(elements));
            let row_bytes = x.length / elements * bytes;
            let rows = out.len().checked_div(x.count).unwrap_or(0);
            assert!(
                rows * x.count == out.len() && rows.checked_mul(row_bytes) == Some(weights.len()),
                "{} bytes for {rows} rows of {row_bytes}",
                weights.len()
            );
            if !out.is_empty() && x.length > 0 {
                // SAFETY: the CPU has the instructions; lengths were checked above.
                unsafe { dot(weights, row_bytes, x, out) }
            } else {
                out.fill(0.0);
            }
        })
    }

    /// The product with one unpacked row: `out` gets `x.count` results.
    pub(crate) fn dot_unpacked(self, row: &Unpacked<'_>, x: &Columns<'_>, out: &mut [f32]) {
        x.check();
        assert!(row.group == 16 || row.group == 32);
        assert!(out.len() == x.count && row.codes.len() == x.units * UNIT);
        assert!(row.scales.len() == x.units * UNIT / row.group);
        assert!(row.mins.is_empty() || row.mins.len() == row.scales.len());
        // SAFETY: the CPU has the instructions; lengths were checked above.
        unsafe { (self.0.kernels.dot_unpacked)(row, x, out) }
    }

    /// Unpacks up to a unit of whole blocks of a type that has codes, see [`crate::quant::Codes`].
    ///
    /// # Panics
    /// If lengths don't agree.
    pub fn unpack(
        self,
        quant: &QuantType,
        blocks: &[u8],
        codes: &mut [i8],
        scales: &mut [f32],
        mins: &mut [f32],
    ) {
        let Some(plain) = &quant.codes else { return };
        assert!(codes.len() <= UNIT && scales.len() * plain.group >= codes.len());
        assert!(!plain.has_mins || mins.len() >= scales.len());
        assert!(codes.len().is_multiple_of(quant.block_elements));
        assert!(codes.len() / quant.block_elements * quant.block_bytes == blocks.len());
        match (self.0.kernels.unpack)(quant) {
            // SAFETY: the CPU has the instructions; lengths were checked above.
            Some(unpack) => unsafe { unpack(blocks, codes, scales, mins) },
            None => (plain.unpack)(blocks, codes, scales, mins),
        }
    }

    /// Whether there is a fast way to unpack a type.
    pub fn unpacks_fast(self, quant: &QuantType) -> bool {
        (self.0.kernels.unpack)(quant).is_some()
    }

    /// Runs `rounds` rounds of [`Peak`] and says how many multiply-adds that were.
    pub(crate) fn peak(self, rounds: usize) -> u64 {
        let peak = self.0.kernels.peak;
        // SAFETY: the CPU has the instructions (`Ready`).
        unsafe { (peak.run)(rounds) };
        peak.multiply_adds as u64 * rounds as u64
    }

    /// The kernel for many columns of a type, if there is one.
    pub(crate) fn tile(self, format: &Codes) -> Option<ReadyTile> {
        (self.0.kernels.tile)(format).map(ReadyTile)
    }
}

/// A [`Tile`] that this CPU can run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReadyTile(Tile);

impl ReadyTile {
    /// Rows of a slab.
    pub fn rows(self) -> usize {
        self.0.rows
    }

    /// The most columns of a block.
    pub fn columns(self) -> usize {
        self.0.columns
    }

    /// How activations lie.
    pub fn order(self) -> TileOrder {
        self.0.order
    }

    /// Codes row by row to the order of [`ReadyTile::run`], as unit number `unit`.
    pub fn pack(self, from: &SlabRows<'_>, unit: usize, to: &mut SlabBuffers<'_>) {
        let rows = self.0.rows;
        assert!(from.codes.len() == rows * UNIT);
        assert!(from.scales.len() == rows * UNIT_GROUPS && from.mins.len() == from.scales.len());
        assert!(unit * UNIT < to.length && from.runs == UNIT.min(to.length - unit * UNIT) / RUN);
        let others = [to.start.len(), to.scales.len(), to.mins.len()];
        self.check(to.length, from.format, to.codes.len(), others);
        // SAFETY: the CPU has the instructions; lengths were checked above.
        unsafe { (self.0.pack)(from, unit, to) }
    }

    /// Multiplies a slab with columns of its length: `out` gets a run of `rows` results for each.
    pub fn run(self, slab: &Slab<'_>, x: &TileColumns<'_>, out: &mut Strip<'_>) {
        let others = [slab.start.len(), slab.scales.len(), slab.mins.len()];
        self.check(slab.length, slab.format, slab.codes.len(), others);
        assert!(x.order == self.0.order);
        assert!(x.words.len() == x.count * (slab.length / RUN) * x.order.words());
        assert!(out.rows() == self.0.rows && out.columns() == x.count && slab.length > 0);
        let (at, stride) = out.places();
        // SAFETY: the CPU has the instructions; lengths were checked above, and `out` is borrowed mutably.
        unsafe { (self.0.run)(slab, x, TileOut { at, stride }) }
    }

    fn check(self, length: usize, format: &Codes, codes: usize, others: [usize; 3]) {
        assert!(length.is_multiple_of(RUN) && (format.group == 16 || format.group == 32));
        let groups = length / format.group;
        let code_bytes = self.0.order.code_bytes();
        assert!(codes == length * code_bytes * self.0.rows && others == [groups * self.0.rows; 3]);
    }
}
