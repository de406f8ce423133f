//! Activations rounded to 8 bits, in the two orders that the kernels read: whole columns for the dots; for the tiles
//! blocks of columns, unit by unit.

use crate::isa::aligned::Aligned;
use crate::isa::parts::Parts;
use crate::isa::{
    ACTIVATION_GROUP, Columns, DOT_ACTIVATION_GROUP, Ready, Rounded, TileColumns, UNIT,
    UNIT_GROUPS, UNIT_SCALES,
};
use crate::pool::Team;
use std::ops::Range;

/// Columns in the order of the dots.
#[derive(Debug, Default)]
pub struct FewColumns {
    codes: Aligned<i8>,
    scales: Aligned<f32>,
    sums: Aligned<f32>,
    half_sums: Aligned<f32>,
}

impl FewColumns {
    /// Rounds `count` columns of `length`.
    pub fn fill(&mut self, ready: Ready, x: &[f32], count: usize, length: usize) -> Columns<'_> {
        let units = length.div_ceil(UNIT);
        let codes = self.codes.of(count * units * UNIT);
        let scales = self.scales.of(count * units * 8);
        let sums = self.sums.of(count * units * 8);
        let half_sums = self.half_sums.of(count * units * 16);
        let mut rounded = Rounded::ZERO;
        for column in 0..count {
            let x = &x[column * length..][..length];
            for unit in 0..units {
                let x = &x[unit * UNIT..];
                ready.round(&x[..x.len().min(UNIT)], DOT_ACTIVATION_GROUP, &mut rounded);
                let at = column * units + unit;
                codes[at * UNIT..][..UNIT].copy_from_slice(&rounded.codes);
                scales[at * 8..][..8].copy_from_slice(&rounded.scales);
                let half_sums = &mut half_sums[at * 16..][..16];
                for (group, (out, sum)) in half_sums.iter_mut().zip(rounded.sums).enumerate() {
                    *out = sum as f32 * rounded.scales[group / 2];
                }
                for (out, pair) in sums[at * 8..][..8]
                    .iter_mut()
                    .zip(half_sums.chunks_exact(2))
                {
                    *out = pair[0] + pair[1];
                }
            }
        }
        Columns {
            count,
            length,
            units,
            codes,
            scales,
            sums,
            half_sums,
        }
    }
}

/// The most columns in a block: a few tiles' worth, so that threads can share the rounding evenly.
const BLOCK: usize = 48;

/// Columns in the order of the tiles: blocks of nearly equal numbers of columns, each cut into units of depth.
#[derive(Debug, Default)]
pub struct ManyColumns {
    count: usize,
    blocks: usize,
    units: usize,
    /// `[block][unit]`, and more that an earlier product used.
    pieces: Vec<Piece>,
}

/// One unit of one block, see [`TileColumns`].
#[derive(Debug, Default)]
struct Piece {
    codes: Aligned<u8>,
    scales: Aligned<f32>,
    sums: Aligned<f32>,
    pair_sums: Aligned<f32>,
}

impl ManyColumns {
    /// Rounds `count` columns of `length`, on at most `limit` threads, for a tile with unsigned activations or not.
    pub fn fill(
        &mut self,
        ready: Ready,
        (team, limit): (&Team, usize),
        (x, count, length): (&[f32], usize, usize),
        unsigned: bool,
    ) {
        self.count = count;
        self.blocks = count.div_ceil(BLOCK);
        self.units = length.div_ceil(UNIT);
        let pieces = self.blocks * self.units;
        self.pieces
            .resize_with(self.pieces.len().max(pieces), Piece::default);
        let (units, blocks) = (self.units, self.blocks);
        let all = Parts::new(&mut self.pieces[..pieces], 1);
        team.for_each(limit, pieces, |_, _| {
            if let Some((index, [piece])) = all.take() {
                let columns = columns_of(count, blocks, index / units);
                let x = &x[columns.start * length..columns.end * length];
                piece.fill(ready, x, length, index % units, unsigned);
            }
        });
    }

    /// Number of blocks.
    pub fn blocks(&self) -> usize {
        self.blocks
    }

    /// Columns of a block.
    pub fn columns(&self, block: usize) -> Range<usize> {
        columns_of(self.count, self.blocks, block)
    }

    /// Unit number `unit` of a block.
    pub fn piece(&self, block: usize, unit: usize) -> TileColumns<'_> {
        self.pieces[block * self.units + unit].get(self.columns(block).len())
    }
}

fn columns_of(count: usize, blocks: usize, block: usize) -> Range<usize> {
    count * block / blocks..count * (block + 1) / blocks
}

impl Piece {
    /// Unit number `unit` of the columns of `length` in `x`.
    fn fill(&mut self, ready: Ready, x: &[f32], length: usize, unit: usize, unsigned: bool) {
        let count = x.len() / length;
        let from = unit * UNIT..length.min((unit + 1) * UNIT);
        let all = self.codes.of(count * UNIT);
        let scales = self.scales.of(count * UNIT_SCALES);
        let sums = self.sums.of(count * UNIT_GROUPS);
        let pair_sums = self.pair_sums.of(count * UNIT_GROUPS / 2);
        let bias = if unsigned { 0x80 } else { 0 };
        let mut rounded = Rounded::ZERO;
        for (column, x) in x.chunks_exact(length).enumerate() {
            ready.round(&x[from.clone()], ACTIVATION_GROUP, &mut rounded);
            for (out, &code) in all[column * UNIT..][..UNIT].iter_mut().zip(&rounded.codes) {
                *out = code as u8 ^ bias;
            }
            for (part, &scale) in rounded.scales[..UNIT_SCALES].iter().enumerate() {
                scales[part * count + column] = scale;
            }
            for (group, &sum) in rounded.sums.iter().enumerate() {
                sums[group * count + column] = sum as f32;
            }
            for (pair, sum) in rounded.sums.chunks_exact(2).enumerate() {
                pair_sums[pair * count + column] = (sum[0] + sum[1]) as f32;
            }
        }
    }

    fn get(&self, count: usize) -> TileColumns<'_> {
        TileColumns {
            count,
            codes: self.codes.get(count * UNIT),
            scales: self.scales.get(count * UNIT_SCALES),
            sums: self.sums.get(count * UNIT_GROUPS),
            pair_sums: self.pair_sums.get(count * UNIT_GROUPS / 2),
        }
    }
}
