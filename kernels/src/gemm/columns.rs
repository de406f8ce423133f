//! Activations rounded to 8 bits, in the two orders that the kernels read: whole columns for the dots; for the tiles
//! blocks of columns, unit by unit.

use crate::isa::aligned::Aligned;
use crate::isa::parts::Parts;
use crate::isa::{Columns, RUNS, Ready, ReadyTile, Rounded, TileColumns, UNIT};
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
        let scales = self.scales.of(count * units * RUNS);
        let sums = self.sums.of(count * units * RUNS);
        let half_sums = self.half_sums.of(count * units * 2 * RUNS);
        let mut rounded = Rounded::ZERO;
        for column in 0..count {
            let x = &x[column * length..][..length];
            for unit in 0..units {
                let x = &x[unit * UNIT..];
                ready.round(&x[..x.len().min(UNIT)], &mut rounded);
                let at = column * units + unit;
                codes[at * UNIT..][..UNIT].copy_from_slice(&rounded.codes);
                scales[at * RUNS..][..RUNS].copy_from_slice(&rounded.scales);
                let sums = &mut sums[at * RUNS..][..RUNS];
                let (first, second) = half_sums[at * 2 * RUNS..][..2 * RUNS].split_at_mut(RUNS);
                for (run, pair) in rounded.sums.chunks_exact(2).enumerate() {
                    first[run] = pair[0] as f32;
                    second[run] = pair[1] as f32;
                    sums[run] = (pair[0] + pair[1]) as f32;
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

/// About as many columns are in a block: with [`RUNS`] running sums for every row of a slab they stay in the first-level
/// cache.
const BLOCK: usize = 16;

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
    half_sums: Aligned<f32>,
}

impl ManyColumns {
    /// Rounds `count` columns of `length` for a tile, on at most `limit` threads.
    pub fn fill(
        &mut self,
        (ready, tile): (Ready, ReadyTile),
        (team, limit): (&Team, usize),
        (x, count, length): (&[f32], usize, usize),
    ) {
        let unsigned = tile.unsigned_activations();
        self.count = count;
        // Whole tiles.
        self.blocks = count.div_ceil(BLOCK.next_multiple_of(tile.columns()));
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
        let scales = self.scales.of(count * RUNS);
        let sums = self.sums.of(count * RUNS);
        let half_sums = self.half_sums.of(count * RUNS * 2);
        let bias = if unsigned { 0x80 } else { 0 };
        let mut rounded = Rounded::ZERO;
        for (column, x) in x.chunks_exact(length).enumerate() {
            ready.round(&x[from.clone()], &mut rounded);
            for (out, &code) in all[column * UNIT..][..UNIT].iter_mut().zip(&rounded.codes) {
                *out = code as u8 ^ bias;
            }
            for (run, &scale) in rounded.scales.iter().enumerate() {
                scales[run * count + column] = scale;
            }
            for (run, pair) in rounded.sums.chunks_exact(2).enumerate() {
                sums[run * count + column] = (pair[0] + pair[1]) as f32;
                half_sums[2 * run * count + column] = pair[0] as f32;
                half_sums[(2 * run + 1) * count + column] = pair[1] as f32;
            }
        }
    }

    fn get(&self, count: usize) -> TileColumns<'_> {
        TileColumns {
            count,
            codes: self.codes.get(count * UNIT),
            scales: self.scales.get(count * RUNS),
            sums: self.sums.get(count * RUNS),
            half_sums: self.half_sums.get(count * RUNS * 2),
        }
    }
}
