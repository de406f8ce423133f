//! Products with float weights (F32, F16, BF16 and the plain numbers): the activations stay f32, nothing is rounded to
//! 8 bits.
//!
//! Few columns: a row becomes f32 and is multiplied with each column, four running sums of a vector each. Many: 2 vectors
//! of rows, one unit deep, are transposed and multiplied with 6 columns at a time; each output is summed in order of depth.

use crate::compute::Matrix;
use crate::isa::UNIT;
use crate::isa::aligned::Aligned;
use crate::isa::float::{Floats, Kernel, Simd};
use crate::pool::Strip;

/// A worker's memory.
#[derive(Debug, Default)]
pub struct Buffers {
    row: Aligned<f32>,
    slab: Aligned<f32>,
    sums: Aligned<f32>,
}

/// A strip of rows times a few columns.
pub fn few(
    floats: Floats,
    buffers: &mut Buffers,
    weights: Matrix<'_>,
    x: &[f32],
    mut strip: Strip<'_>,
) {
    let cols = weights.cols;
    let row = buffers.row.of(cols);
    for index in 0..strip.rows {
        (weights.quant.dequantize)(weights.row_range(strip.first + index, 1), row);
        for column in 0..strip.columns() {
            let x = &x[column * cols..][..cols];
            strip.column(column)[index] = floats.run(Dot(row, x));
        }
    }
}

struct Dot<'a>(&'a [f32], &'a [f32]);

impl Kernel for Dot<'_> {
    type Output = f32;
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f32 {
        let Dot(a, b) = self;
        let mut sums = [s.splat(0.0); 4];
        let (a_four, b_four) = (a.chunks_exact(4 * S::LANES), b.chunks_exact(4 * S::LANES));
        let (a_rest, b_rest) = (a_four.remainder(), b_four.remainder());
        for (a, b) in a_four.zip(b_four) {
            for (i, sum) in sums.iter_mut().enumerate() {
                let at = i * S::LANES;
                *sum = s.fma(
                    s.load(&a[at..at + S::LANES]),
                    s.load(&b[at..at + S::LANES]),
                    *sum,
                );
            }
        }
        let (a_one, b_one) = (a_rest.chunks_exact(S::LANES), b_rest.chunks_exact(S::LANES));
        let rest = a_one.remainder().iter().zip(b_one.remainder());
        let rest: f32 = rest.map(|(a, b)| a * b).sum();
        for (a, b) in a_one.zip(b_one) {
            sums[0] = s.fma(s.load(a), s.load(b), sums[0]);
        }
        s.sum(s.add(s.add(sums[0], sums[1]), s.add(sums[2], sums[3]))) + rest
    }
}

/// A strip of at most two vectors of rows times many columns.
pub fn many(
    floats: Floats,
    buffers: &mut Buffers,
    weights: Matrix<'_>,
    x: &[f32],
    mut strip: Strip<'_>,
) {
    let (cols, rows, n) = (weights.cols, 2 * floats.lanes(), strip.columns());
    let sums = buffers.sums.of(rows * n);
    let slab = buffers.slab.of(rows * UNIT);
    let row = buffers.row.of(UNIT);
    let (elements, bytes) = (weights.quant.block_elements, weights.quant.block_bytes);
    sums.fill(0.0);
    slab.fill(0.0);
    for first in (0..cols).step_by(UNIT) {
        let depth = UNIT.min(cols - first);
        for index in 0..strip.rows {
            let blocks = weights.row_range(strip.first + index, 1);
            let blocks = &blocks[first / elements * bytes..(first + depth) / elements * bytes];
            (weights.quant.dequantize)(blocks, &mut row[..depth]);
            for (k, &value) in row[..depth].iter().enumerate() {
                slab[k * rows + index] = value;
            }
        }
        floats.run(Many {
            slab,
            x: &x[first..],
            cols,
            depth,
            sums,
        });
    }
    for (column, sums) in sums.chunks_exact(rows).enumerate() {
        let rows = strip.rows;
        strip.column(column).copy_from_slice(&sums[..rows]);
    }
}

/// `sums += slab · x`: `slab` is `depth` runs of two vectors, the columns of `x` are `cols` apart.
struct Many<'a> {
    slab: &'a [f32],
    x: &'a [f32],
    cols: usize,
    depth: usize,
    sums: &'a mut [f32],
}

impl Kernel for Many<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Many {
            slab,
            x,
            cols,
            depth,
            sums,
        } = self;
        for (index, sums) in sums.chunks_mut(6 * 2 * S::LANES).enumerate() {
            let x = &x[index * 6 * cols..];
            match sums.len() / (2 * S::LANES) {
                6 => block::<S, 6>(s, slab, x, cols, depth, sums),
                5 => block::<S, 5>(s, slab, x, cols, depth, sums),
                4 => block::<S, 4>(s, slab, x, cols, depth, sums),
                3 => block::<S, 3>(s, slab, x, cols, depth, sums),
                2 => block::<S, 2>(s, slab, x, cols, depth, sums),
                _ => block::<S, 1>(s, slab, x, cols, depth, sums),
            }
        }
    }
}

#[inline(always)]
fn block<S: Simd, const C: usize>(
    s: S,
    slab: &[f32],
    x: &[f32],
    cols: usize,
    depth: usize,
    sums: &mut [f32],
) {
    let rows = 2 * S::LANES;
    let x: [&[f32]; C] = std::array::from_fn(|column| &x[column * cols..][..depth]);
    let mut totals: [[S::V; 2]; C] = std::array::from_fn(|column| {
        let at = column * rows;
        [
            s.load(&sums[at..at + S::LANES]),
            s.load(&sums[at + S::LANES..at + rows]),
        ]
    });
    for (k, weights) in slab[..depth * rows].chunks_exact(rows).enumerate() {
        let (first, second) = (s.load(&weights[..S::LANES]), s.load(&weights[S::LANES..]));
        for column in 0..C {
            let x = s.splat(x[column][k]);
            totals[column][0] = s.fma(first, x, totals[column][0]);
            totals[column][1] = s.fma(second, x, totals[column][1]);
        }
    }
    for (column, [first, second]) in totals.into_iter().enumerate() {
        let at = column * rows;
        s.store(first, &mut sums[at..at + S::LANES]);
        s.store(second, &mut sums[at + S::LANES..at + rows]);
    }
}
