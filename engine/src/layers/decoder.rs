//! A decoder: embeddings, blocks around a residual stream, a last norm and the output matrix.

use gristmill_kernels::ops;

use super::{Cost, Layer, Linear, Norm, Pass, Rope, Tensor};
use crate::cache::CacheShape;

/// x + post_norm(layer(norm(x))).
pub struct Residual {
    norm: Norm,
    layer: Box<dyn Layer>,
    post_norm: Option<Norm>,
}

impl Residual {
    /// A layer behind a norm.
    pub fn pre_norm(norm: Norm, layer: Box<dyn Layer>) -> Self {
        Self {
            norm,
            layer,
            post_norm: None,
        }
    }

    /// With another norm on what the layer gives, before it is added.
    pub fn post_norm(self, norm: Norm) -> Self {
        Self {
            post_norm: Some(norm),
            ..self
        }
    }
}

/// Residual steps, one after the other.
pub struct Block(Vec<Residual>);

impl Block {
    /// A block of these steps.
    pub fn new(steps: impl IntoIterator<Item = Residual>) -> Self {
        Self(steps.into_iter().collect())
    }
}

/// A model's computation, with handles to its tensors.
pub struct Decoder {
    pub(crate) embedding: Tensor,
    pub(crate) embedding_scale: Option<f32>,
    pub(crate) blocks: Vec<Block>,
    pub(crate) norm: Norm,
    pub(crate) output: Linear,
    pub(crate) logit_softcap: Option<f32>,
    pub(crate) ropes: Vec<Rope>,
    pub(crate) caches: Vec<CacheShape>,
}

/// The buffers of one context: everything that a batch needs, taken once.
#[derive(Debug)]
pub struct Buffers {
    /// The residual stream.
    x: Vec<f32>,
    normed: Vec<f32>,
    out: Vec<f32>,
    scratch: Vec<f32>,
}

impl Decoder {
    /// Width of the residual stream.
    pub fn width(&self) -> usize {
        self.embedding.cols
    }

    /// Number of tokens, and of logits for each position.
    pub fn vocab_size(&self) -> usize {
        self.output.weight.rows
    }

    /// f32 values that [`Self::buffers`] takes.
    pub fn buffer_values(&self, batch: usize) -> usize {
        batch.saturating_mul(3 * self.width() + self.layer_scratch())
    }

    /// What a token costs whose logits are not asked for, and what is added for one whose logits are: the layers after
    /// the last attention, and the output matrix.
    pub fn cost(&self) -> (Cost, Cost) {
        let steps: Vec<&Residual> = self.blocks.iter().flat_map(|b| &b.0).collect();
        let local = steps.iter().rev().take_while(|s| s.layer.is_local());
        let (inner, last) = steps.split_at(steps.len() - local.count());
        let sum = |steps: &[&Residual]| steps.iter().map(|s| s.layer.cost()).sum::<Cost>();
        let row = Cost {
            bytes: (self.embedding.bytes / self.embedding.rows.max(1)) as u64,
            ..Cost::default()
        };
        (row + sum(inner), sum(last) + self.output.cost())
    }

    fn layer_scratch(&self) -> usize {
        self.blocks
            .iter()
            .flat_map(|b| &b.0)
            .map(|r| r.layer.scratch())
            .max()
            .unwrap_or(0)
    }

    /// Buffers for batches of up to `batch` tokens.
    pub fn buffers(&self, batch: usize) -> Buffers {
        let row = || vec![0.0; batch * self.width()];
        Buffers {
            x: row(),
            normed: row(),
            out: row(),
            scratch: vec![0.0; batch * self.layer_scratch()],
        }
    }

    /// Runs the tokens of one batch through all blocks. The hidden states of rows from `wanted` on stay in `buffers`;
    /// for the rows before them, only what later tokens need is computed.
    pub fn forward(&self, pass: &mut Pass<'_>, ids: &[u32], wanted: usize, buffers: &mut Buffers) {
        let (n, width) = (pass.n, self.width());
        let Buffers {
            x,
            normed,
            out,
            scratch,
        } = buffers;
        let x = &mut x[..n * width];
        pass.compute.rows(self.embedding.matrix(pass.gguf), ids, x);
        if let Some(scale) = self.embedding_scale {
            let with = pass.compute.floats();
            pass.each_row(width, x, |_, row| ops::scale(with, row, scale));
        }
        let steps = || self.blocks.iter().flat_map(|b| &b.0);
        let local_from = steps().count() - steps().rev().take_while(|s| s.layer.is_local()).count();
        for (number, step) in steps().enumerate() {
            let first = if number < local_from { 0 } else { wanted };
            if first == n {
                return;
            }
            pass.n = n - first;
            let x = &mut x[first * width..];
            let (normed, out) = (&mut normed[..x.len()], &mut out[..x.len()]);
            step.norm.forward(pass, x, normed);
            step.layer.forward(pass, normed, out, scratch);
            match &step.post_norm {
                Some(norm) => {
                    norm.forward(pass, out, normed);
                    pass.add(width, x, normed);
                }
                None => pass.add(width, x, out),
            }
        }
    }

    /// The logits of some rows of the batch that went through [`Self::forward`] last, as `pass.n` rows.
    pub fn logits(
        &self,
        pass: &mut Pass<'_>,
        buffers: &mut Buffers,
        first: usize,
        out: &mut [f32],
    ) {
        let width = self.width();
        let x = &buffers.x[first * width..][..pass.n * width];
        let normed = &mut buffers.normed[..x.len()];
        self.norm.forward(pass, x, normed);
        pass.linear(&self.output, normed, out);
        if let Some(cap) = self.logit_softcap {
            let with = pass.compute.floats();
            pass.each_row(self.vocab_size(), out, |_, row| {
                ops::softcap(with, row, cap)
            });
        }
    }
}
