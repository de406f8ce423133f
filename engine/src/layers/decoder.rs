//! A decoder: embeddings, blocks around a residual stream, a last norm and the output matrix.

use std::ops::Range;

use gristmill_gguf::Gguf;
use gristmill_kernels::{Compute, ops};

use super::{Layer, Linear, Norm, Pass, Rope, Tensor};
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
        batch * (3 * self.width() + self.layer_scratch())
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

    /// Runs the tokens of one batch through all blocks; the hidden states stay in `buffers`.
    pub fn forward(&self, pass: &mut Pass<'_>, ids: &[u32], buffers: &mut Buffers) {
        let values = pass.n * self.width();
        let x = &mut buffers.x[..values];
        let normed = &mut buffers.normed[..values];
        let out = &mut buffers.out[..values];
        pass.compute.rows(self.embedding.matrix(pass.gguf), ids, x);
        if let Some(scale) = self.embedding_scale {
            ops::scale(x, scale);
        }
        for step in self.blocks.iter().flat_map(|b| &b.0) {
            step.norm.forward(x, normed);
            step.layer.forward(pass, normed, out, &mut buffers.scratch);
            match &step.post_norm {
                Some(norm) => {
                    norm.forward(out, normed);
                    ops::add(x, normed);
                }
                None => ops::add(x, out),
            }
        }
    }

    /// The logits of some rows of the batch that went through [`Self::forward`] last.
    pub fn logits(
        &self,
        gguf: &Gguf,
        compute: &mut Compute,
        buffers: &mut Buffers,
        rows: Range<usize>,
        out: &mut [f32],
    ) {
        let (n, width) = (rows.len(), self.width());
        let normed = &mut buffers.normed[..n * width];
        self.norm
            .forward(&buffers.x[rows.start * width..rows.end * width], normed);
        Pass {
            gguf,
            compute,
            caches: &mut [],
            ropes: &[],
            first: 0,
            n,
        }
        .linear(&self.output, normed, out);
        if let Some(cap) = self.logit_softcap {
            ops::softcap(out, cap);
        }
    }
}
