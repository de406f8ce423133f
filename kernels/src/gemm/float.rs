//! Products with float weights (F32, F16, BF16 and the plain numbers): the activations stay f32, nothing is rounded to
//! 8 bits.
//!
//! Few columns: a row is multiplied with each column as it is read, four running sums of a vector each. Many: 2 vectors
//! of rows, one unit deep, are transposed and multiplied with 6 columns at a time; each output is summed in order of depth.

use crate::isa::UNIT;
use crate::isa::aligned::Aligned;
use crate::isa::float::{Floats, Kernel, Simd};
use crate::matrix::Matrix;
use crate::pool::Strip;
use crate::quant::{self, QuantType};
use half::{bf16, f16};

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
    let cols = weights.cols();
    for index in 0..strip.rows() {
        let bytes = weights.row_range(strip.first() + index, 1);
        let row = Row::of(weights.quant(), bytes, &mut buffers.row);
        for column in 0..strip.columns() {
            let x = &x[column * cols..][..cols];
            strip.column(column)[index] = match row {
                Row::F32(row) => floats.run(Dot(row, x)),
                Row::F16(row) => floats.run(Dot(Halves(row), x)),
                Row::Bf16(row) => floats.run(Dot(UpperHalves(row), x)),
            };
        }
    }
}

/// A row as it is multiplied: as it lies in the file where that can be read in vectors.
#[derive(Clone, Copy)]
enum Row<'a> {
    F32(&'a [f32]),
    F16(&'a [u16]),
    Bf16(&'a [u16]),
}

impl<'a> Row<'a> {
    fn of(quant: &QuantType, bytes: &'a [u8], buffer: &'a mut Aligned<f32>) -> Row<'a> {
        // What has the file's byte order and its own alignment needs no copy.
        if cfg!(target_endian = "little") {
            if quant.id == quant::float::F32.id
                && let Ok(row) = bytemuck::try_cast_slice(bytes)
            {
                return Row::F32(row);
            }
            if let Ok(row) = bytemuck::try_cast_slice(bytes) {
                if quant.id == quant::float::F16.id {
                    return Row::F16(row);
                }
                if quant.id == quant::float::BF16.id {
                    return Row::Bf16(row);
                }
            }
        }
        let row = buffer.of(bytes.len() / quant.block_bytes * quant.block_elements);
        (quant.dequantize)(bytes, row);
        Row::F32(row)
    }
}

/// Weights that a vector can be loaded of.
trait Weights: Copy {
    fn load<S: Simd>(self, s: S, at: usize) -> S::V;
    fn value(self, at: usize) -> f32;
}

impl Weights for &[f32] {
    #[inline(always)]
    fn load<S: Simd>(self, s: S, at: usize) -> S::V {
        s.load(&self[at..at + S::LANES])
    }
    #[inline(always)]
    fn value(self, at: usize) -> f32 {
        self[at]
    }
}

/// IEEE half floats.
#[derive(Clone, Copy)]
struct Halves<'a>(&'a [u16]);

impl Weights for Halves<'_> {
    #[inline(always)]
    fn load<S: Simd>(self, s: S, at: usize) -> S::V {
        s.load_f16(&self.0[at..at + S::LANES])
    }
    #[inline(always)]
    fn value(self, at: usize) -> f32 {
        f16::from_bits(self.0[at]).to_f32()
    }
}

/// Upper halves of floats.
#[derive(Clone, Copy)]
struct UpperHalves<'a>(&'a [u16]);

impl Weights for UpperHalves<'_> {
    #[inline(always)]
    fn load<S: Simd>(self, s: S, at: usize) -> S::V {
        s.load_bf16(&self.0[at..at + S::LANES])
    }
    #[inline(always)]
    fn value(self, at: usize) -> f32 {
        bf16::from_bits(self.0[at]).to_f32()
    }
}

/// Weights times a column of the same length.
struct Dot<'a, W>(W, &'a [f32]);

impl<W: Weights> Kernel for Dot<'_, W> {
    type Output = f32;
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f32 {
        let Dot(weights, x) = self;
        let mut sums = [s.splat(0.0); 4];
        let four = x.len() - x.len() % (4 * S::LANES);
        let whole = x.len() - x.len() % S::LANES;
        for at in (0..four).step_by(4 * S::LANES) {
            for (i, sum) in sums.iter_mut().enumerate() {
                let at = at + i * S::LANES;
                *sum = s.fma(weights.load(s, at), s.load(&x[at..at + S::LANES]), *sum);
            }
        }
        for at in (four..whole).step_by(S::LANES) {
            sums[0] = s.fma(weights.load(s, at), s.load(&x[at..at + S::LANES]), sums[0]);
        }
        let mut rest = 0.0;
        for (at, x) in x.iter().enumerate().skip(whole) {
            rest += weights.value(at) * x;
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
    let (cols, rows, n) = (weights.cols(), 2 * floats.lanes(), strip.columns());
    let sums = buffers.sums.of(rows * n);
    let slab = buffers.slab.of(rows * UNIT);
    let row = buffers.row.of(UNIT);
    let (elements, bytes) = (weights.quant().block_elements, weights.quant().block_bytes);
    sums.fill(0.0);
    slab.fill(0.0);
    for first in (0..cols).step_by(UNIT) {
        let depth = UNIT.min(cols - first);
        for index in 0..strip.rows() {
            let blocks = weights.row_range(strip.first() + index, 1);
            let blocks = &blocks[first / elements * bytes..(first + depth) / elements * bytes];
            (weights.quant().dequantize)(blocks, &mut row[..depth]);
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
        let rows = strip.rows();
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
