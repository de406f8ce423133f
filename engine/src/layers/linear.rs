//! Matrix products with the weights of the file.

use gristmill_gguf::Gguf;
use gristmill_kernels::quant::QuantType;
use gristmill_kernels::{Matrix, Product, ops};

use super::{Cost, Pass};

/// A checked handle to a matrix in the file (or to one expert's slice of a stack of matrices).
#[derive(Debug, Clone, Copy)]
pub struct Tensor {
    /// Index in the file's list of tensors.
    pub(crate) index: usize,
    pub(crate) quant: &'static QuantType,
    /// Output width.
    pub rows: usize,
    /// Input width: the length of a row in the file.
    pub cols: usize,
    /// Bytes of one matrix.
    pub(crate) bytes: usize,
}

impl Tensor {
    /// The matrix, as a view into the file.
    pub fn matrix<'a>(&self, gguf: &'a Gguf) -> Matrix<'a> {
        self.slice(gguf, 0)
    }

    /// What one product with one of its matrices costs.
    pub fn cost(&self) -> Cost {
        let multiply_adds = (self.rows * self.cols) as u64;
        let float = self.quant.codes().is_none();
        Cost {
            bytes: self.bytes as u64,
            multiply_adds,
            float_multiply_adds: if float { multiply_adds } else { 0 },
        }
    }

    /// Matrix number `expert` of a stack.
    pub fn slice<'a>(&self, gguf: &'a Gguf, expert: usize) -> Matrix<'a> {
        let data = gguf.data(&gguf.tensors()[self.index]);
        let bytes = &data[expert * self.bytes..][..self.bytes];
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
