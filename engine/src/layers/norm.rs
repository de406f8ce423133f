//! Normalisation of rows.

use gristmill_kernels::ops;

use super::Pass;

/// Root-mean-square norm (Zhang and Sennrich 2019, arXiv:1910.07467) with a weight for each column.
#[derive(Debug, Clone)]
pub struct Norm {
    /// The weights; their number is the length of a row.
    pub weight: Vec<f32>,
    /// Added to the mean square (`attention.layer_norm_rms_epsilon`).
    pub epsilon: f32,
}

impl Norm {
    /// `out` = norm of each row of `x`.
    pub fn forward(&self, pass: &Pass<'_>, x: &[f32], out: &mut [f32]) {
        let width = self.weight.len();
        let with = pass.compute.floats();
        pass.each_row(width, out, |row, out| {
            ops::rms_norm(
                with,
                &x[row * width..][..width],
                Some(&self.weight),
                self.epsilon,
                out,
            );
        });
    }
}
