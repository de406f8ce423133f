//! Matrix products with the weights of the file.

use gristmill_gguf::Gguf;
use gristmill_kernels::quant::QuantType;
use gristmill_kernels::{Matrix, Product, ops};

use super::{Cost, Pass};

/// A checked handle to a matrix in the file, to some of its rows, or to a stack of matrices.
#[derive(Debug, Clone, Copy)]
pub struct Tensor {
    /// Index in the file's list of tensors.
    index: usize,
    quant: &'static QuantType,
    /// Output width.
    pub rows: usize,
    /// Input width: the length of a row in the file.
    pub cols: usize,
    /// Bytes before the first row.
    offset: usize,
    /// Bytes from one matrix of a stack to the next.
    stride: usize,
}

impl Tensor {
    /// `rows` rows of `cols` values, a multiple of the type's blocks.
    pub(crate) fn new(index: usize, quant: &'static QuantType, cols: usize, rows: usize) -> Self {
        let tensor = Self {
            index,
            quant,
            rows,
            cols,
            offset: 0,
            stride: 0,
        };
        Self {
            stride: tensor.bytes(),
            ..tensor
        }
    }

    /// `rows` of its rows (of each matrix of a stack), from `first` on: matrices that a file has fused come apart so.
    pub fn row_range(&self, first: usize, rows: usize) -> Self {
        assert!(first + rows <= self.rows, "rows of a matrix");
        Self {
            rows,
            offset: self.offset + first * self.row_bytes(),
            ..*self
        }
    }

    /// One matrix of a stack.
    pub fn of_stack(&self, number: usize) -> Self {
        Self {
            offset: self.offset + number * self.stride,
            ..*self
        }
    }

    fn row_bytes(&self) -> usize {
        self.cols / self.quant.block_elements() * self.quant.block_bytes()
    }

    /// Bytes of one matrix.
    pub fn bytes(&self) -> usize {
        self.rows * self.row_bytes()
    }

    /// The matrix, as a view into the file.
    pub fn matrix<'a>(&self, gguf: &'a Gguf) -> Matrix<'a> {
        self.slice(gguf, 0)
    }

    /// What one product with one of its matrices costs.
    pub fn cost(&self) -> Cost {
        let multiply_adds = (self.rows * self.cols) as u64;
        let float = self.quant.codes().is_none();
        Cost {
            bytes: self.bytes() as u64,
            multiply_adds,
            float_multiply_adds: if float { multiply_adds } else { 0 },
        }
    }

    /// Matrix `number` of a stack.
    pub fn slice<'a>(&self, gguf: &'a Gguf, number: usize) -> Matrix<'a> {
        let data = gguf.data(&gguf.tensors()[self.index]);
        let bytes = &data[number * self.stride + self.offset..][..self.bytes()];
        Matrix::of(self.quant, self.rows, self.cols, bytes)
    }
}

/// A matrix with an optional bias: y = W x + b.
#[derive(Debug, Clone)]
pub struct Linear {
    /// W.
    pub weight: Tensor,
    /// b.
    pub bias: Option<Vec<f32>>,
}

impl Linear {
    /// What one product costs.
    pub fn cost(&self) -> Cost {
        self.weight.cost()
    }

    /// Some of its outputs, see [`Tensor::row_range`].
    pub fn row_range(&self, first: usize, rows: usize) -> Self {
        let bias = self.bias.as_ref();
        Self {
            weight: self.weight.row_range(first, rows),
            bias: bias.map(|bias| bias[first..first + rows].to_vec()),
        }
    }

    /// Its outputs in parts of these sizes, one after the other.
    pub fn parts<const N: usize>(&self, sizes: [usize; N]) -> [Self; N] {
        let mut first = 0;
        sizes.map(|rows| {
            first += rows;
            self.row_range(first - rows, rows)
        })
    }
}

impl Pass<'_> {
    /// One product over all rows of `x`.
    pub fn linear(&mut self, linear: &Linear, x: &[f32], out: &mut [f32]) {
        self.linears(x, [(linear, out)]);
    }

    /// Several products of the same input, which the threads share as one piece of work.
    pub fn linears<const N: usize>(&mut self, x: &[f32], mut parts: [(&Linear, &mut [f32]); N]) {
        let gguf = self.gguf;
        let mut products = parts.each_mut().map(|(linear, out)| Product {
            weights: linear.weight.matrix(gguf),
            out,
        });
        self.compute.matmul(x, self.n, &mut products);
        let with = self.compute.floats();
        for (linear, out) in &mut parts {
            if let Some(bias) = &linear.bias {
                self.each_row(bias.len(), out, |_, row| ops::add(with, row, bias));
            }
        }
    }
}
