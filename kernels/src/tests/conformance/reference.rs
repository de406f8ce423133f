//! What a product of a type on a set must be: the exact sums, within what the rounding of f32 sums makes of them, and, bit
//! for bit, those of the one order of sums.

use super::order;
use super::*;

/// References for all columns of an input. A column's depends on no other.
pub struct Reference {
    what: String,
    rows: usize,
    in_order: Vec<f32>,
    exact: Vec<f64>,
    /// How large the terms are: sums can cancel, roundings don't.
    sizes: Vec<f64>,
}

impl Reference {
    /// Of rows of `cols` weights times columns `x`.
    pub fn new(ready: Ready, quant: &QuantType, bytes: &[u8], cols: usize, x: &[f32]) -> Reference {
        let rows = bytes.len() / (cols / quant.block_elements * quant.block_bytes);
        let mut weights = vec![0f32; rows * cols];
        quant.dequantize(bytes, &mut weights);
        let (mut exact, mut sizes) = (Vec::new(), Vec::new());
        for x in x.chunks_exact(cols) {
            // Activations in 8 bits, exactly as the kernels round them; everything after in f64.
            let mut rounded = Vec::new();
            for x in x.chunks(32) {
                let mut codes = Rounded::ZERO;
                ready.round(x, &mut codes);
                let scale = f64::from(codes.scales[0]);
                let codes = &codes.codes[..x.len()];
                rounded.extend(codes.iter().map(|&c| f64::from(c) * scale));
            }
            for row in weights.chunks_exact(cols) {
                let terms = row.iter().zip(&rounded).map(|(&w, x)| f64::from(w) * x);
                exact.push(terms.clone().sum());
                sizes.push(terms.map(f64::abs).sum());
            }
        }
        Reference {
            what: format!("{} {} {rows}x{cols}", ready.isa().name, quant.name),
            rows,
            in_order: order::model(ready, quant, bytes, cols, x),
            exact,
            sizes,
        }
    }

    /// Panics unless `got` is the product. It may have fewer columns than the reference; if it has more, the reference's are
    /// repeated. `tolerance`: how far off the exact sum, as a share of its terms.
    pub fn check(&self, got: &[f32], tolerance: f64) {
        let what = format!("{} n={}", self.what, got.len() / self.rows);
        for (i, &got) in got.iter().enumerate() {
            let at = i % self.in_order.len();
            let want = self.in_order[at];
            assert!(got == want, "{what} [{i}]: {got:e} not {want:e}");
            let (want, size) = (self.exact[at], self.sizes[at]);
            assert!(
                (f64::from(got) - want).abs() <= tolerance * size + 1e-30,
                "{what} [{i}]: {got} not {want}, terms {size}"
            );
        }
    }

    /// The error of the first columns against the exact sums.
    pub fn nmse(&self, got: &[f32]) -> f64 {
        nmse(got, &self.exact[..got.len()])
    }
}
