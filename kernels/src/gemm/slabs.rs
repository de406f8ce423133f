//! Slabs of rows, unpacked and interleaved for the tiles: as many rows as a tile has, as deep as the matrix, unit by unit.
//!
//! In: some rows of a matrix. Out: a [`Slab`] for every unit of them. It lies in the second-level cache and is read again
//! for each block of columns.

use crate::compute::Matrix;
use crate::isa::aligned::Aligned;
use crate::isa::{RUN, Ready, ReadyTile, Slab, SlabBuffers, SlabRows, UNIT, UNIT_GROUPS};
use crate::pool::Strip;
use crate::quant::Codes;

/// A worker's slab, and what one unit is unpacked into on its way there.
#[derive(Debug, Default)]
pub struct Slabs {
    codes: Aligned<i8>,
    scales: Aligned<f32>,
    mins: Aligned<f32>,
    slab_codes: Aligned<i8>,
    slab_start: Aligned<i32>,
    slab_scales: Aligned<f32>,
    slab_mins: Aligned<f32>,
}

/// Runs of a unit that a row of `cols` has.
fn runs(cols: usize, unit: usize) -> usize {
    UNIT.min(cols - unit * UNIT) / RUN
}

impl Slabs {
    /// Unpacks the rows of a strip, at most as many as the tile has.
    pub fn fill(&mut self, ready: Ready, tile: ReadyTile, weights: &Matrix<'_>, strip: &Strip<'_>) {
        let (quant, cols, rows) = (weights.quant, weights.cols, tile.rows());
        let Some(format) = &quant.codes else { return };
        let units = cols.div_ceil(UNIT);
        let codes = self.codes.of(rows * UNIT);
        let scales = self.scales.of(rows * UNIT_GROUPS);
        let mins = self.mins.of(rows * UNIT_GROUPS);
        if strip.rows < rows {
            // Rows that are not there are zeros.
            codes.fill(0);
            scales.fill(0.0);
            mins.fill(0.0);
        }
        let slab_codes = self.slab_codes.of(units * rows * UNIT);
        let slab_start = self.slab_start.of(units * rows * UNIT_GROUPS);
        let slab_scales = self.slab_scales.of(units * rows * UNIT_GROUPS);
        let slab_mins = self.slab_mins.of(units * rows * UNIT_GROUPS);
        for unit in 0..units {
            let first = unit * UNIT;
            let depth = runs(cols, unit) * RUN;
            let groups = depth / format.group;
            let bytes = first / quant.block_elements * quant.block_bytes
                ..(first + depth) / quant.block_elements * quant.block_bytes;
            for row in 0..strip.rows {
                let row_bytes = weights.row_range(strip.first + row, 1);
                let at = row * UNIT_GROUPS;
                ready.unpack(
                    quant,
                    &row_bytes[bytes.clone()],
                    &mut codes[row * UNIT..][..depth],
                    &mut scales[at..][..groups],
                    &mut mins[at..][..groups],
                );
            }
            let from = SlabRows {
                format,
                codes,
                scales,
                mins,
                runs: depth / RUN,
            };
            let (codes_at, groups_at) = (unit * rows * UNIT, unit * rows * UNIT_GROUPS);
            let mut to = SlabBuffers {
                codes: &mut slab_codes[codes_at..][..rows * UNIT],
                start: &mut slab_start[groups_at..][..rows * UNIT_GROUPS],
                scales: &mut slab_scales[groups_at..][..rows * UNIT_GROUPS],
                mins: &mut slab_mins[groups_at..][..rows * UNIT_GROUPS],
            };
            tile.pack(&from, &mut to);
        }
    }

    /// One unit of the slab that was filled last, from a matrix of `cols` columns.
    pub fn unit(
        &self,
        tile: ReadyTile,
        format: &'static Codes,
        cols: usize,
        unit: usize,
    ) -> Slab<'_> {
        let rows = tile.rows();
        let units = cols.div_ceil(UNIT);
        let (codes_at, groups_at) = (unit * rows * UNIT, unit * rows * UNIT_GROUPS);
        let (all_codes, all_groups) = (units * rows * UNIT, units * rows * UNIT_GROUPS);
        Slab {
            format,
            codes: &self.slab_codes.get(all_codes)[codes_at..][..rows * UNIT],
            start: &self.slab_start.get(all_groups)[groups_at..][..rows * UNIT_GROUPS],
            scales: &self.slab_scales.get(all_groups)[groups_at..][..rows * UNIT_GROUPS],
            mins: &self.slab_mins.get(all_groups)[groups_at..][..rows * UNIT_GROUPS],
            runs: runs(cols, unit),
        }
    }
}
