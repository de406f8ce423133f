//! Matrix products.

use crate::compute::Product;
use crate::isa::Isa;
use crate::pool::{Grid, Team};

/// Memory that products reuse.
#[derive(Debug)]
pub struct Scratch {
    x: Vec<f32>,
}

impl Scratch {
    /// For so many threads.
    pub fn new(_threads: usize) -> Scratch {
        Scratch { x: Vec::new() }
    }
}

/// All products of one input.
pub fn products(
    _isa: &Isa,
    team: &Team,
    limit: usize,
    scratch: &mut Scratch,
    x: &[f32],
    _n: usize,
    products: &mut [Product<'_>],
) {
    let weights: Vec<_> = products.iter().map(|p| p.weights).collect();
    let mut grids: Vec<Grid<'_>> = products
        .iter_mut()
        .map(|p| Grid {
            rows: p.weights.rows,
            out: &mut *p.out,
            strip_rows: 16,
        })
        .collect();
    scratch.x.clear();
    team.strips(limit, &mut grids, |_, mut strip| {
        let w = weights[strip.grid];
        let mut row_values = vec![0.0; w.cols];
        for row in 0..strip.rows {
            (w.quant.dequantize)(w.row_range(strip.first + row, 1), &mut row_values);
            for column in 0..strip.columns() {
                let x = &x[column * w.cols..][..w.cols];
                let mut lanes = [0.0f32; 16];
                for (x, w) in x.chunks(16).zip(row_values.chunks(16)) {
                    for (lane, (x, w)) in lanes.iter_mut().zip(x.iter().zip(w)) {
                        *lane += x * w;
                    }
                }
                strip.column(column)[row] = lanes.iter().sum();
            }
        }
    });
}
