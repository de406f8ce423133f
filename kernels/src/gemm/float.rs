//! Products with float weights (F32, F16, BF16 and the plain numbers): the activations stay f32, nothing is rounded to
//! 8 bits.
//!
//! Every output is the sum of its dot products ([`dots`]) over [`DEPTH`] weights at a time, in ascending order, for any
//! number of columns. Few columns and many differ in how far apart a weight's uses are: few columns meet a few whole rows
//! before the next ones are read; many go through a strip of rows one `DEPTH` at a time, so that rows and columns stay in
//! the caches.

use crate::isa::aligned::Aligned;
use crate::isa::float::{Element, Floats, Kernel, Rows, Simd, dots, most_rows};
use crate::matrix::Matrix;
use crate::pool::Strip;
use crate::product::FEW_COLUMNS;
use crate::quant::{self, QuantType};
use half::slice::HalfBitsSliceExt;
use half::{bf16, f16};

/// Weights of a row that are summed on their own.
const DEPTH: usize = 1024;
/// Rows of a strip where columns are many.
pub const STRIP_ROWS: usize = 32;
/// Rows that few columns meet together.
const FEW_ROWS: usize = 8;

/// A worker's memory.
#[derive(Debug, Default)]
pub struct Buffers {
    rows: Aligned<f32>,
    results: Aligned<f32>,
}

/// A strip of rows times all columns of `x`.
pub fn product(
    floats: Floats,
    buffers: &mut Buffers,
    weights: Matrix<'_>,
    x: &[f32],
    mut strip: Strip<'_>,
) {
    let (cols, columns) = (weights.cols(), strip.columns());
    let together = if columns <= FEW_COLUMNS {
        FEW_ROWS
    } else {
        STRIP_ROWS
    };
    let results = buffers.results.of(strip.rows() * columns);
    // Rows without weights.
    results.fill(0.0);
    for first in (0..strip.rows()).step_by(together) {
        let count = together.min(strip.rows() - first);
        let bytes = weights.row_range(strip.first() + first, count);
        for from in (0..cols).step_by(DEPTH) {
            let depth = DEPTH.min(cols - from);
            let piece = Piece {
                rows: count,
                x: Rows {
                    data: &x[from..],
                    width: cols,
                },
                columns,
                depth,
                more: from > 0,
                out: &mut results[first..],
                step: strip.rows(),
            };
            match InPlace::of(weights.quant(), bytes) {
                Some(InPlace::F32(data)) => floats.run((
                    Rows {
                        data: &data[from..],
                        width: cols,
                    },
                    piece,
                )),
                Some(InPlace::F16(data)) => floats.run((
                    Rows {
                        data: &data[from..],
                        width: cols,
                    },
                    piece,
                )),
                Some(InPlace::Bf16(data)) => floats.run((
                    Rows {
                        data: &data[from..],
                        width: cols,
                    },
                    piece,
                )),
                None => {
                    let rows = buffers.rows.of(count * depth);
                    let (elements, size) =
                        (weights.quant().block_elements, weights.quant().block_bytes);
                    let range = from / elements * size..(from + depth) / elements * size;
                    let each = bytes.chunks_exact(weights.row_bytes());
                    for (bytes, row) in each.zip(rows.chunks_exact_mut(depth)) {
                        weights.quant().dequantize(&bytes[range.clone()], row);
                    }
                    let rows = Rows {
                        data: &*rows,
                        width: depth,
                    };
                    floats.run((rows, piece));
                }
            }
        }
    }
    for column in 0..columns {
        let results = &results[column * strip.rows()..][..strip.rows()];
        strip.column(column).copy_from_slice(results);
    }
}

/// Rows that are multiplied as they lie in the file: they have its byte order and their own alignment.
#[derive(Clone, Copy)]
enum InPlace<'a> {
    F32(&'a [f32]),
    F16(&'a [f16]),
    Bf16(&'a [bf16]),
}

impl<'a> InPlace<'a> {
    fn of(quant: &QuantType, bytes: &'a [u8]) -> Option<InPlace<'a>> {
        if !cfg!(target_endian = "little") {
            return None;
        }
        if quant.id == quant::float::F32.id {
            return bytemuck::try_cast_slice(bytes).ok().map(InPlace::F32);
        }
        let halves: &[u16] = bytemuck::try_cast_slice(bytes).ok()?;
        if quant.id == quant::float::F16.id {
            return Some(InPlace::F16(halves.reinterpret_cast()));
        }
        let bf16 = quant.id == quant::float::BF16.id;
        bf16.then(|| InPlace::Bf16(halves.reinterpret_cast()))
    }
}

/// A few rows times all columns, over one depth.
struct Piece<'a> {
    rows: usize,
    x: Rows<'a, f32>,
    columns: usize,
    depth: usize,
    /// Whether `out` holds the sums of the depths before.
    more: bool,
    /// The outputs of a column, `step` after those of the column before.
    out: &'a mut [f32],
    step: usize,
}

impl<T: Element> Kernel for (Rows<'_, T>, Piece<'_>) {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (weights, piece) = self;
        let Piece {
            rows,
            x,
            columns,
            depth,
            more,
            out,
            step,
        } = piece;
        let mut sums = [0f32; 6 * STRIP_ROWS];
        for column in (0..columns).step_by(most_rows::<S>()) {
            let count = most_rows::<S>().min(columns - column);
            let (x, out) = (x.skip(column), &mut out[column * step..]);
            if !more {
                dots(s, x, count, weights, rows, depth, out, step);
                continue;
            }
            dots(s, x, count, weights, rows, depth, &mut sums, STRIP_ROWS);
            for (out, sums) in out
                .chunks_mut(step)
                .zip(sums.chunks_exact(STRIP_ROWS))
                .take(count)
            {
                for (out, sum) in out[..rows].iter_mut().zip(sums) {
                    *out += sum;
                }
            }
        }
    }
}
