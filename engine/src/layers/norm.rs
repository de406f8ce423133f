//! Normalisation of rows.

use gristmill_kernels::ops;

use super::Pass;

/// How rows are normalised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NormKind {
    /// By the root of their mean square (Zhang and Sennrich 2019, arXiv:1910.07467).
    Rms,
    /// To a mean of 0 and a variance of 1 (Ba et al. 2016, arXiv:1607.06450).
    Layer,
}

impl NormKind {
    /// The key of what is added to the mean square or the variance.
    pub fn epsilon_key(self) -> &'static str {
        match self {
            Self::Rms => "attention.layer_norm_rms_epsilon",
            Self::Layer => "attention.layer_norm_epsilon",
        }
    }
}

/// A norm with a factor and a summand for each column, where it has them.
#[derive(Debug, Clone)]
pub struct Norm {
    /// What is computed.
    pub kind: NormKind,
    /// Length of a row.
    pub width: usize,
    /// Factors.
    pub weight: Option<Vec<f32>>,
    /// Summands.
    pub bias: Option<Vec<f32>>,
    /// Added to the mean square or the variance.
    pub epsilon: f32,
}

impl Norm {
    /// `out` = norm of each row of `x`. Factors of several rows (heads with their own) follow each other.
    pub fn forward(&self, pass: &Pass<'_>, x: &[f32], out: &mut [f32]) {
        let width = self.width;
        let with = pass.compute.floats();
        pass.each_row(width, out, |row, out| {
            let x = &x[row * width..][..width];
            let weight = of_row(&self.weight, row, width);
            let bias = of_row(&self.bias, row, width);
            match self.kind {
                NormKind::Rms => {
                    ops::rms_norm(with, x, weight, self.epsilon, out);
                    if let Some(bias) = bias {
                        ops::add(with, out, bias);
                    }
                }
                NormKind::Layer => ops::layer_norm(with, x, weight, bias, self.epsilon, out),
            }
        });
    }
}

/// The values of one row: the same for all, or one row after another.
fn of_row(values: &Option<Vec<f32>>, row: usize, width: usize) -> Option<&[f32]> {
    let values = values.as_ref()?;
    Some(&values[row * width % values.len()..][..width])
}
