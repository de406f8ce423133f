//! Activations rounded to 8 bits, in the two orders that the kernels read: whole columns for the dots; for the tiles
//! blocks of columns, run by run.

use crate::isa::aligned::Aligned;
use crate::isa::parts::Parts;
use crate::isa::{
    Columns, RUN, RUNS, Ready, ReadyTile, Rounded, TileBlock, TileColumns, TileOrder, UNIT, places,
};
use crate::pool::Team;

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

/// Columns in the order of the tiles, see [`TileColumns`].
#[derive(Debug, Default)]
pub struct ManyColumns {
    words: Aligned<u32>,
}

impl ManyColumns {
    /// Rounds `count` columns of `length` for a tile, on at most `limit` threads.
    pub fn fill(
        &mut self,
        (ready, tile): (Ready, ReadyTile),
        (team, limit): (&Team, usize),
        (x, count, length): (&[f32], usize, usize),
    ) -> TileColumns<'_> {
        let order = tile.order();
        let of_column = length / RUN * order.words();
        let words = self.words.of(count * of_column);
        let blocks = Parts::new(words, tile.columns() * of_column);
        team.for_each(limit, blocks.left(), |_, _| {
            if let Some((block, words)) = blocks.take() {
                let x = &x[block * tile.columns() * length..][..words.len() / of_column * length];
                fill_block(ready, order, x, length, words);
            }
        });
        TileColumns {
            count,
            order,
            words,
        }
    }
}

/// Rounds the columns of one block.
fn fill_block(ready: Ready, order: TileOrder, x: &[f32], length: usize, words: &mut [u32]) {
    let count = x.len() / length;
    let places = places(length);
    let [_, scales, sums, half_sums] = TileBlock::parts(order, count * length / RUN);
    let mut rounded = Rounded::ZERO;
    for (column, x) in x.chunks_exact(length).enumerate() {
        for (unit, x) in x.chunks(UNIT).enumerate() {
            ready.round(x, &mut rounded);
            let codes: &[u32; UNIT / 4] = bytemuck::cast_ref(&rounded.codes);
            let runs = codes.as_chunks::<{ RUN / 4 }>().0.iter();
            for (run, codes) in runs.enumerate().take(x.len() / RUN) {
                let at = (places[run] + unit) * count;
                let size = RUN / 4 * order.code_bytes();
                let to = &mut words[at * size..][..size * count];
                match order {
                    #[cfg(target_arch = "aarch64")]
                    TileOrder::Columns => {
                        to[column * RUN / 4..][..RUN / 4].copy_from_slice(codes);
                    }
                    #[cfg(target_arch = "x86_64")]
                    TileOrder::Words { bias } => {
                        let bias = u32::from_ne_bytes([bias; 4]);
                        for (to, code) in to[column..].iter_mut().step_by(count).zip(codes) {
                            *to = code ^ bias;
                        }
                    }
                    #[cfg(target_arch = "x86_64")]
                    TileOrder::Wide => {
                        let pairs = rounded.codes[run * RUN..][..RUN].as_chunks::<2>().0;
                        for (to, pair) in to[column..].iter_mut().step_by(count).zip(pairs) {
                            *to = bytemuck::cast(pair.map(i16::from));
                        }
                    }
                }
                let [first, second] = [rounded.sums[2 * run], rounded.sums[2 * run + 1]];
                words[scales + at + column] = rounded.scales[run].to_bits();
                words[sums + at + column] = ((first + second) as f32).to_bits();
                words[half_sums + 2 * at + column] = (first as f32).to_bits();
                words[half_sums + 2 * at + count + column] = (second as f32).to_bits();
            }
        }
    }
}
