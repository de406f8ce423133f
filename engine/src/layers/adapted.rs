//! What adapters add to products and to rows that are looked up: y = W x + Σ scale · up (down x), see [`LowRank`].
//! Flows in: the input of a product and its results without adapters. Flows out: the same results, added to.
//! A row's sums are those of the kernels, so its bits depend neither on the rows beside it nor on the threads.

use gristmill_kernels::{Product, ops};

use super::{LowRank, Pass, Tensor, cut};

/// Rows that are added to together at most: it bounds the scratch.
pub(crate) const ADAPTED_ROWS: usize = 64;

impl Pass<'_> {
    /// Adds what adapters add to products of `x`: of each, the tensor, which matrix of a stack it is, and the result.
    pub(super) fn adapt<'t, 'o>(
        &mut self,
        x: &[f32],
        parts: impl IntoIterator<Item = (&'t Tensor, usize, &'o mut [f32])>,
    ) {
        let parts = parts.into_iter().filter(|(tensor, ..)| tensor.is_adapted());
        // Collecting nothing allocates nothing.
        let mut parts: Vec<_> = parts.collect();
        let Some((first, ..)) = parts.first() else {
            return;
        };
        let cols = first.cols;
        for (number, x) in x.chunks(ADAPTED_ROWS * cols).enumerate() {
            self.adapt_rows(x, x.len() / cols, number * ADAPTED_ROWS, &mut parts);
        }
    }

    /// The same for `n` rows, whose results begin at row `first`. All products with `down` share a dispatch, and all with
    /// `up`.
    fn adapt_rows(
        &mut self,
        x: &[f32],
        n: usize,
        first: usize,
        parts: &mut [(&Tensor, usize, &mut [f32])],
    ) {
        let mut buffer = std::mem::take(self.spare);
        let sums = |tensor: &Tensor| {
            let ranks = tensor.low_rank.iter().map(|part| part.up.cols);
            ranks.fold((0, 0), |(low, high), rank| (low + rank, high + tensor.rows))
        };
        let (low, high) = parts.iter().fold((0, 0), |(low, high), (tensor, ..)| {
            let (ranks, rows) = sums(tensor);
            (low + ranks, high + rows)
        });
        if buffer.len() < n * (low + high) {
            buffer.resize(n * (low + high), 0.0);
        }
        let mut rest = &mut buffer[..];
        let (low, high) = (cut(&mut rest, n * low), cut(&mut rest, n * high));
        let additions = || {
            let parts = parts.iter();
            parts.flat_map(|(tensor, number, _)| tensor.low_rank.iter().map(move |p| (p, *number)))
        };

        let mut left = &mut *low;
        let mut products: Vec<Product<'_>> = additions()
            .map(|(part, number)| Product {
                weights: part.down.slice(&part.file, number),
                out: cut(&mut left, n * part.up.cols),
            })
            .collect();
        self.compute.matmul(x, n, &mut products);
        let with = self.compute.floats();
        let mut left = &mut *low;
        for (part, _) in additions() {
            ops::scale(with, cut(&mut left, n * part.up.cols), part.scale);
        }
        let mut left = &mut *high;
        let mut products: Vec<Product<'_>> = additions()
            .map(|(part, number)| Product {
                weights: part.up.slice(&part.file, number),
                out: cut(&mut left, n * part.up.rows),
            })
            .collect();
        self.compute.matmul_each(low, n, &mut products);
        let mut left = &mut *high;
        for (tensor, _, out) in parts {
            let out = &mut out[first * tensor.rows..][..n * tensor.rows];
            for _ in &tensor.low_rank {
                self.add(tensor.rows, out, cut(&mut left, n * tensor.rows));
            }
        }
        *self.spare = buffer;
    }

    /// The rows of a tensor with these numbers, as embeddings of token ids are.
    pub(super) fn look_up(&mut self, tensor: &Tensor, numbers: &[u32], out: &mut [f32]) {
        self.compute.rows(tensor.matrix(self.gguf), numbers, out);
        for part in &tensor.low_rank {
            let out = out.chunks_mut(ADAPTED_ROWS * tensor.cols);
            for (numbers, out) in numbers.chunks(ADAPTED_ROWS).zip(out) {
                self.adapt_looked_up(tensor, part, numbers, out);
            }
        }
    }

    /// Adds `back` times the rows of `up`.
    fn adapt_looked_up(
        &mut self,
        tensor: &Tensor,
        part: &LowRank,
        numbers: &[u32],
        out: &mut [f32],
    ) {
        let Some(back) = &part.back else { return };
        let (n, rank, cols) = (numbers.len(), part.up.cols, tensor.cols);
        let mut buffer = std::mem::take(self.spare);
        if buffer.len() < n * (rank + cols) {
            buffer.resize(n * (rank + cols), 0.0);
        }
        let mut rest = &mut buffer[..];
        let (low, high) = (cut(&mut rest, n * rank), cut(&mut rest, n * cols));
        self.compute.rows(part.up.matrix(&part.file), numbers, low);
        ops::scale(self.compute.floats(), low, part.scale);
        let product = Product {
            weights: back.slice(&part.file, 0),
            out: &mut *high,
        };
        self.compute.matmul(low, n, &mut [product]);
        self.add(cols, out, high);
        *self.spare = buffer;
    }
}
