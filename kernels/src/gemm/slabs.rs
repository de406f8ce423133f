//! Slabs of rows, unpacked and interleaved for the tiles: as many rows as a tile has, as deep as the matrix.
//!
//! In: some rows of a matrix. Out: a [`Slab`]. It lies in the second-level cache and is read again for each block of
//! columns.

use crate::isa::aligned::Aligned;
use crate::isa::{RUN, Ready, ReadyTile, Slab, SlabBuffers, SlabRows, UNIT, UNIT_GROUPS};
use crate::matrix::Matrix;
use crate::pool::Strip;

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

impl Slabs {
    /// Unpacks the rows of a strip, at most as many as the tile has; nothing if the type has no codes.
    pub fn fill(
        &mut self,
        ready: Ready,
        tile: ReadyTile,
        weights: &Matrix<'_>,
        strip: &Strip<'_>,
    ) -> Option<Slab<'_>> {
        let (quant, length, rows) = (weights.quant(), weights.cols(), tile.rows());
        let format = quant.codes.as_ref()?;
        let units = length.div_ceil(UNIT);
        let codes = self.codes.of(rows * UNIT);
        let scales = self.scales.of(rows * UNIT_GROUPS);
        let mins = self.mins.of(rows * UNIT_GROUPS);
        if strip.rows() < rows {
            // Rows that are not there are zeros.
            codes.fill(0);
            scales.fill(0.0);
            mins.fill(0.0);
        }
        let groups = length / format.group;
        let mut to = SlabBuffers {
            length,
            codes: self
                .slab_codes
                .of(length * tile.order().code_bytes() * rows),
            start: self.slab_start.of(groups * rows),
            scales: self.slab_scales.of(groups * rows),
            mins: self.slab_mins.of(groups * rows),
        };
        for unit in 0..units {
            let first = unit * UNIT;
            let depth = UNIT.min(length - first);
            let groups = depth / format.group;
            let bytes = first / quant.block_elements * quant.block_bytes
                ..(first + depth) / quant.block_elements * quant.block_bytes;
            for row in 0..strip.rows() {
                let row_bytes = weights.row_range(strip.first() + row, 1);
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
            tile.pack(&from, unit, &mut to);
        }
        Some(Slab {
            format,
            length,
            codes: to.codes,
            start: to.start,
            scales: to.scales,
            mins: to.mins,
        })
    }
}
