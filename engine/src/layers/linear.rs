//! Matrix products with the weights of the file.

use std::sync::Arc;

use gristmill_gguf::{Gguf, TensorInfo};
use gristmill_kernels::quant::QuantType;
use gristmill_kernels::registry::quant;
use gristmill_kernels::{Matrix, Product, ops};

use super::{Cost, Pass};
use crate::error::Error;

/// A checked handle to a matrix in the file, to some of its rows, or to a stack of matrices.
#[derive(Debug, Clone)]
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
    /// What adapters add to it.
    pub(super) low_rank: Vec<LowRank>,
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
            low_rank: Vec::new(),
        };
        Self {
            stride: tensor.bytes(),
            ..tensor
        }
    }

    /// The same with additions.
    pub(crate) fn adapted(self, low_rank: Vec<LowRank>) -> Self {
        Self { low_rank, ..self }
    }

    /// Whether adapters add to it.
    pub fn is_adapted(&self) -> bool {
        !self.low_rank.is_empty()
    }

    /// f32 values of scratch for each row of a product's input, see [`Pass::adapt`].
    pub(crate) fn adapted_values(&self) -> usize {
        let values = |part: &LowRank| part.up.cols + self.rows.max(self.cols);
        self.low_rank.iter().map(values).sum()
    }

    /// `rows` of its rows (of each matrix of a stack), from `first` on: matrices that a file has fused come apart so.
    pub fn row_range(&self, first: usize, rows: usize) -> Self {
        assert!(first + rows <= self.rows, "rows of a matrix");
        Self {
            rows,
            offset: self.offset + first * self.row_bytes(),
            low_rank: self.each_low_rank(|part| part.row_range(first, rows)),
            ..*self
        }
    }

    /// One matrix of a stack.
    pub fn of_stack(&self, number: usize) -> Self {
        Self {
            offset: self.offset + number * self.stride,
            low_rank: self.each_low_rank(|part| part.of_stack(number)),
            ..*self
        }
    }

    fn each_low_rank(&self, change: impl Fn(&LowRank) -> LowRank) -> Vec<LowRank> {
        self.low_rank.iter().map(change).collect()
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

    /// What one product with one of its matrices costs, with what adapters add to it.
    pub fn cost(&self) -> Cost {
        let multiply_adds = (self.rows * self.cols) as u64;
        let float = self.quant.codes().is_none();
        let own = Cost {
            bytes: self.bytes() as u64,
            multiply_adds,
            float_multiply_adds: if float { multiply_adds } else { 0 },
        };
        own + self.low_rank.iter().map(LowRank::cost).sum()
    }

    /// Matrix `number` of a stack.
    pub fn slice<'a>(&self, gguf: &'a Gguf, number: usize) -> Matrix<'a> {
        let data = gguf.data(&gguf.tensors()[self.index]);
        let bytes = &data[number * self.stride + self.offset..][..self.bytes()];
        Matrix::of(self.quant, self.rows, self.cols, bytes)
    }
}

/// What an adapter adds to a matrix W of `cols` columns and `rows` rows, or to each of a stack: `scale · up · down`.
#[derive(Debug, Clone)]
pub struct LowRank {
    /// The adapter's file.
    pub(crate) file: Arc<Gguf>,
    /// `rank` rows of `cols` values.
    pub(crate) down: LowRankFactor,
    /// `rows` rows of `rank` values.
    pub(crate) up: Tensor,
    /// `down` turned round, where rows of W are looked up.
    pub(crate) back: Option<LowRankFactor>,
    /// Factor on the product: the user's, and the adapter's alpha by its rank.
    pub(crate) scale: f32,
}

/// A matrix of [`LowRank`]: as the file has it, or transposed (few values, f32, little-endian).
#[derive(Debug, Clone)]
pub(crate) enum LowRankFactor {
    Stored(Tensor),
    Transposed(Tensor, Arc<[u8]>),
}

impl LowRankFactor {
    fn tensor(&self) -> &Tensor {
        match self {
            Self::Stored(tensor) | Self::Transposed(tensor, _) => tensor,
        }
    }

    /// One matrix of a stack.
    pub(super) fn slice<'a>(&'a self, file: &'a Gguf, number: usize) -> Matrix<'a> {
        match self {
            Self::Stored(tensor) => tensor.slice(file, number),
            Self::Transposed(tensor, bytes) => {
                Matrix::of(tensor.quant, tensor.rows, tensor.cols, bytes)
            }
        }
    }
}

impl LowRank {
    fn row_range(&self, first: usize, rows: usize) -> Self {
        Self {
            up: self.up.row_range(first, rows),
            ..self.clone()
        }
    }

    /// Stacks are never transposed.
    fn of_stack(&self, number: usize) -> Self {
        Self {
            down: match &self.down {
                LowRankFactor::Stored(tensor) => LowRankFactor::Stored(tensor.of_stack(number)),
                transposed => transposed.clone(),
            },
            up: self.up.of_stack(number),
            ..self.clone()
        }
    }

    fn cost(&self) -> Cost {
        self.down.tensor().cost() + self.up.cost()
    }
}

/// The kernels of the type in which a tensor is stored.
pub(crate) fn kernel(info: &TensorInfo) -> Result<&'static QuantType, Error> {
    let kind = info.tensor_type();
    quant(kind.id()).ok_or_else(|| Error::TensorType {
        name: info.name().to_string(),
        kind: kind.name().to_string(),
    })
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
        self.adapt(
            x,
            parts
                .iter_mut()
                .map(|(linear, out)| (&linear.weight, 0, &mut **out)),
        );
        let with = self.compute.floats();
        for (linear, out) in &mut parts {
            if let Some(bias) = &linear.bias {
                self.each_row(bias.len(), out, |_, row| ops::add(with, row, bias));
            }
        }
    }
}
