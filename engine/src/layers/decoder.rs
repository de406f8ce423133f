//! A decoder: embeddings, steps of the residual stream, and the head that makes logits of it.

use gristmill_kernels::ops;

use super::step::{Stage, Step, StepBuffers};
use super::{Cost, LayerEmbedding, Linear, Norm, Pass, Rope, Tensor};
use crate::cache::{CacheShape, FixedShape};

/// From token ids to the residual stream.
pub struct Embedding {
    pub(crate) tokens: Tensor,
    /// Factor on the rows.
    pub(crate) scale: Option<f32>,
    /// Rows by position, which are added.
    pub(crate) positions: Option<Tensor>,
    /// Of the sum.
    pub(crate) norm: Option<Norm>,
    /// Rows that each layer sees beside the residual stream.
    pub(crate) layers: Option<LayerEmbedding>,
}

/// From the residual stream to logits.
pub struct Head {
    pub(crate) norm: Option<Norm>,
    pub(crate) output: Linear,
    /// Factor on the logits.
    pub(crate) scale: Option<f32>,
    /// Bound of the logits, which tanh keeps them in.
    pub(crate) softcap: Option<f32>,
}

/// A model's computation, with handles to its tensors.
pub struct Decoder {
    pub(crate) embedding: Embedding,
    pub(crate) steps: Vec<Stage>,
    /// Streams for each token, the residual stream among them.
    pub(crate) streams: usize,
    pub(crate) head: Head,
    pub(crate) ropes: Vec<Rope>,
    pub(crate) caches: Vec<CacheShape>,
    pub(crate) fixed: Vec<FixedShape>,
}

/// The buffers of one context: everything that a batch needs, taken once.
#[derive(Debug)]
pub struct Buffers {
    /// The residual stream.
    x: Vec<f32>,
    normed: Vec<f32>,
    out: Vec<f32>,
    other: Vec<f32>,
    kept: Vec<f32>,
    streams: Vec<f32>,
    scratch: Vec<f32>,
}

impl Decoder {
    /// Width of the residual stream.
    pub fn width(&self) -> usize {
        self.embedding.tokens.cols
    }

    /// Number of tokens, and of logits for each position.
    pub fn vocab_size(&self) -> usize {
        self.head.output.weight.rows
    }

    /// f32 values that [`Self::buffers`] takes.
    pub fn buffer_values(&self, batch: usize) -> usize {
        let rows = 3 + usize::from(self.has_branches()) + usize::from(self.keeps());
        let rows = rows + self.parallel_streams();
        batch
            .saturating_mul(rows * self.width())
            .saturating_add(self.layer_inputs(batch))
            .saturating_add(self.scratch(batch))
            .saturating_add(self.left_values(batch))
    }

    /// f32 values of [`Pass::left`].
    pub fn left_values(&self, batch: usize) -> usize {
        let branches = self.residual_steps().flat_map(|step| &step.branches);
        let row = branches.map(|b| b.mixer.leaves()).max().unwrap_or(0);
        batch.saturating_mul(row)
    }

    /// f32 values of the layers' inputs for batches of up to `batch` tokens.
    pub fn layer_inputs(&self, batch: usize) -> usize {
        let layers = self.embedding.layers.as_ref();
        layers.map_or(0, |layers| batch.saturating_mul(layers.row()))
    }

    /// Whether a step has several branches.
    fn has_branches(&self) -> bool {
        self.residual_steps().any(|step| step.branches.len() > 1)
    }

    /// Whether a step keeps the stream.
    fn keeps(&self) -> bool {
        self.residual_steps().any(|step| step.keeps)
    }

    fn residual_steps(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter().filter_map(|stage| match stage {
            Stage::Residual(step) => Some(step),
            Stage::Streams(_) => None,
        })
    }

    /// Rows of all streams of a token, where there are several.
    fn parallel_streams(&self) -> usize {
        if self.streams > 1 { self.streams } else { 0 }
    }

    /// What a token costs whose logits are not asked for, and what is added for one whose logits are: the steps after
    /// the last that later positions see something of, and the output matrix.
    pub fn cost(&self) -> (Cost, Cost) {
        let (inner, last) = self.steps.split_at(self.local_from());
        let sum = |steps: &[Stage]| steps.iter().map(Stage::cost).sum::<Cost>();
        let row = |matrix: &Tensor| Cost {
            bytes: (matrix.bytes() / matrix.rows.max(1)) as u64,
            ..Cost::default()
        };
        let mut rows = row(&self.embedding.tokens);
        if let Some(positions) = &self.embedding.positions {
            rows = rows + row(positions);
        }
        if let Some(layers) = &self.embedding.layers {
            rows = rows + row(&layers.tokens) + layers.projection.cost();
        }
        (rows + sum(inner), sum(last) + self.head.output.cost())
    }

    /// The number of the first of the last steps, of none of which later positions see anything.
    fn local_from(&self) -> usize {
        let local = self.steps.iter().rev().take_while(|step| step.is_local());
        self.steps.len() - local.count()
    }

    fn scratch(&self, rows: usize) -> usize {
        let steps = self.steps.iter().map(|step| step.scratch(rows));
        let most = steps.max().unwrap_or(0);
        most.max(self.layer_inputs(rows))
    }

    /// Buffers for batches of up to `batch` tokens.
    pub fn buffers(&self, batch: usize) -> Buffers {
        let rows = |needed: bool| vec![0.0; if needed { batch * self.width() } else { 0 }];
        Buffers {
            x: rows(true),
            normed: rows(true),
            out: rows(true),
            other: rows(self.has_branches()),
            kept: rows(self.keeps()),
            streams: vec![0.0; batch * self.width() * self.parallel_streams()],
            scratch: vec![0.0; self.scratch(batch)],
        }
    }

    /// Runs the tokens of one batch through all steps. The hidden states of rows from `wanted` on stay in `buffers`;
    /// for the rows before them, only what later tokens need is computed.
    pub fn forward(&self, pass: &mut Pass<'_>, ids: &[u32], wanted: usize, buffers: &mut Buffers) {
        let (n, width, start) = (pass.n, self.width(), pass.first);
        let Buffers {
            x,
            normed,
            out,
            other,
            kept,
            streams,
            scratch,
        } = buffers;
        let x = &mut x[..n * width];
        self.embedding.forward(pass, ids, x, normed);
        if let Some(layers) = &self.embedding.layers {
            layers.forward(pass, ids, x, scratch);
        }
        let local_from = self.local_from();
        for (number, step) in self.steps.iter().enumerate() {
            let first = if number < local_from { 0 } else { wanted };
            if first == n {
                break;
            }
            (pass.first, pass.n) = (start + first, n - first);
            let x = &mut x[first * width..];
            let rows = x.len();
            // Buffers that no step has a use for are empty.
            let (others, kepts) = (rows.min(other.len()), rows.min(kept.len()));
            let skipped = (first * width).min(kept.len());
            let all = self.parallel_streams() * width;
            let buffers = StepBuffers {
                normed: &mut normed[..rows],
                out: &mut out[..rows],
                other: &mut other[..others],
                kept: &mut kept[skipped..][..kepts],
                streams: &mut streams[first * all..n * all],
                scratch,
            };
            step.forward(pass, x, buffers);
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
        let x = match &self.head.norm {
            Some(norm) => {
                let normed = &mut buffers.normed[..x.len()];
                norm.forward(pass, x, normed);
                &*normed
            }
            None => x,
        };
        pass.linear(&self.head.output, x, out);
        let with = pass.compute.floats();
        if let Some(scale) = self.head.scale {
            pass.each_row(self.vocab_size(), out, |_, row| {
                ops::scale(with, row, scale)
            });
        }
        if let Some(cap) = self.head.softcap {
            pass.each_row(self.vocab_size(), out, |_, row| {
                ops::softcap(with, row, cap)
            });
        }
    }
}

impl Embedding {
    /// `x` = the rows of `ids`, which begin at the pass's first position; `spare` is as long.
    fn forward(&self, pass: &mut Pass<'_>, ids: &[u32], x: &mut [f32], spare: &mut [f32]) {
        let width = self.tokens.cols;
        let with = pass.compute.floats();
        pass.compute.rows(self.tokens.matrix(pass.gguf), ids, x);
        if let Some(scale) = self.scale {
            pass.each_row(width, x, |_, row| ops::scale(with, row, scale));
        }
        let spare = &mut spare[..x.len()];
        if let Some(positions) = &self.positions {
            let numbers = pass.first as u32..(pass.first + pass.n) as u32;
            let numbers: Vec<u32> = numbers.collect();
            let matrix = positions.matrix(pass.gguf);
            pass.compute.rows(matrix, &numbers, spare);
            pass.add(width, x, spare);
        }
        if let Some(norm) = &self.norm {
            norm.forward(pass, x, spare);
            x.copy_from_slice(spare);
        }
    }
}
