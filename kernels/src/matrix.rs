//! Matrices in a file, as products take them.

use crate::error::Error;
use crate::quant::QuantType;

/// A matrix in the file: `rows` rows of `cols` weights each. Its bytes are what its shape asks for.
///
/// ```compile_fail
/// let quant = gristmill_kernels::quant(2).unwrap();
/// let matrix = gristmill_kernels::Matrix { quant, rows: 9, cols: 32, bytes: &[] };
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Matrix<'a> {
    quant: &'static QuantType,
    rows: usize,
    cols: usize,
    bytes: &'a [u8],
}

impl<'a> Matrix<'a> {
    /// Checks that the bytes are exactly `rows` rows of `cols` elements.
    pub fn new(
        quant: &'static QuantType,
        rows: usize,
        cols: usize,
        bytes: &'a [u8],
    ) -> Result<Matrix<'a>, Error> {
        let matrix = Matrix {
            quant,
            rows,
            cols,
            bytes,
        };
        match matrix.problem() {
            None => Ok(matrix),
            Some(problem) => Err(Error::Matrix {
                quant: quant.name,
                rows,
                cols,
                problem,
            }),
        }
    }

    /// The same for a shape that has been checked before.
    ///
    /// # Panics
    /// If the bytes are not `rows` rows of `cols` elements.
    pub fn of(quant: &'static QuantType, rows: usize, cols: usize, bytes: &'a [u8]) -> Matrix<'a> {
        let matrix = Matrix {
            quant,
            rows,
            cols,
            bytes,
        };
        let problem = matrix.problem();
        assert!(
            problem.is_none(),
            "a {rows} x {cols} matrix of {}: {}",
            quant.name,
            problem.unwrap_or_default()
        );
        matrix
    }

    /// The type of its blocks.
    pub fn quant(&self) -> &'static QuantType {
        self.quant
    }

    /// Rows: the width of the output.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns: the width of the input.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// The rows, one after another.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    fn problem(&self) -> Option<String> {
        let Some(row_bytes) = self.quant.row_bytes(self.cols) else {
            return Some(format!(
                "rows must be whole blocks of {}",
                self.quant.block_elements
            ));
        };
        match row_bytes.checked_mul(self.rows) {
            Some(bytes) if bytes == self.bytes.len() => None,
            Some(bytes) => Some(format!(
                "{} bytes where {bytes} are needed",
                self.bytes.len()
            )),
            None => Some("too large".to_string()),
        }
    }

    /// Bytes of a row.
    pub(crate) fn row_bytes(&self) -> usize {
        self.cols / self.quant.block_elements * self.quant.block_bytes
    }

    /// The bytes of `count` rows from `first`.
    pub(crate) fn row_range(&self, first: usize, count: usize) -> &'a [u8] {
        let row_bytes = self.row_bytes();
        &self.bytes[first * row_bytes..][..count * row_bytes]
    }
}
