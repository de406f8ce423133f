//! What is asked of a product of matrices.

use crate::matrix::Matrix;

/// Up to this many columns a product is computed straight from the file's bytes, each row read once for all of them. With more
/// it is quicker to unpack first. The results are the same bits either way.
pub const FEW_COLUMNS: usize = 16;

/// One product of a [`crate::Compute::matmul`]: `out` = `weights` times the input.
#[derive(Debug)]
pub struct Product<'a> {
    /// The matrix.
    pub weights: Matrix<'a>,
    /// `weights.rows` values for each input, input after input.
    pub out: &'a mut [f32],
}
