//! Products to the last bit: the one order of sums that [`crate::isa`] lays down, written once more in plain Rust.
//!
//! Integer sums are exact on every set, so results can differ only by the order in which scaled sums are added. Here it is
//! followed over the type's own plain `unpack`, and all kernels must give the same bits; a single wrong integer, lane or
//! rounding would show.

use super::*;

/// A row as its type unpacks it.
struct Row {
    codes: Vec<i8>,
    scales: Vec<f32>,
    mins: Vec<f32>,
    group: usize,
    has_mins: bool,
}

impl Row {
    fn new(quant: &QuantType, bytes: &[u8]) -> Row {
        let format = quant.codes.as_ref().unwrap();
        let length = bytes.len() / quant.block_bytes * quant.block_elements;
        let groups = length / format.group;
        let (mut codes, mut scales) = (vec![0; length], vec![0.0; groups]);
        let mut mins = vec![0.0; groups];
        (format.unpack)(bytes, &mut codes, &mut scales, &mut mins);
        Row {
            codes,
            scales,
            mins,
            group: format.group,
            has_mins: format.has_mins,
        }
    }
}

/// A column of activations, rounded.
struct Column {
    codes: Vec<i8>,
    scales: Vec<f32>,
}

impl Column {
    fn new(ready: Ready, x: &[f32]) -> Column {
        let (mut codes, mut scales) = (Vec::new(), Vec::new());
        let mut rounded = Rounded::ZERO;
        for x in x.chunks(UNIT) {
            ready.round(x, &mut rounded);
            codes.extend(&rounded.codes[..x.len()]);
            scales.extend(&rounded.scales[..x.len().div_ceil(32)]);
        }
        Column { codes, scales }
    }
}

fn product(row: &Row, x: &Column) -> f32 {
    let mut acc = [0f32; 8];
    for (run, scale) in x.scales.iter().enumerate() {
        let groups = || (run * 32..(run + 1) * 32).step_by(row.group);
        let mut t = 0f32;
        for at in groups() {
            let terms =
                (at..at + row.group).map(|i| i32::from(row.codes[i]) * i32::from(x.codes[i]));
            t = (terms.sum::<i32>() as f32).mul_add(row.scales[at / row.group], t);
        }
        if row.has_mins {
            for at in groups() {
                let sum: i32 = x.codes[at..at + row.group]
                    .iter()
                    .map(|&c| i32::from(c))
                    .sum();
                t = (-row.mins[at / row.group]).mul_add(sum as f32, t);
            }
        }
        acc[run % 8] = t.mul_add(*scale, acc[run % 8]);
    }
    let [a, b, c, d, e, f, g, h] = acc;
    ((a + e) + (c + g)) + ((b + f) + (d + h))
}

/// What rows of `cols` weights times all columns of `x` must be.
pub fn model(ready: Ready, quant: &QuantType, bytes: &[u8], cols: usize, x: &[f32]) -> Vec<f32> {
    let row_bytes = cols / quant.block_elements * quant.block_bytes;
    let rows: Vec<Row> = bytes
        .chunks(row_bytes)
        .map(|bytes| Row::new(quant, bytes))
        .collect();
    let mut out = Vec::new();
    for x in x.chunks(cols) {
        let x = Column::new(ready, x);
        out.extend(rows.iter().map(|row| product(row, &x)));
    }
    out
}
