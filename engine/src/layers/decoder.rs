//! A decoder: embeddings, steps of the residual stream, and the head that makes logits of it.

use gristmill_kernels::ops;

use super::step::{Stage, Step, StepBuffers};
use super::{
    ADAPTED_ROWS, Batch, Cost, LayerEmbedding, Linear, Norm, Pass, PoolingHead, Rope, Tensor,
};
use crate::cache::{CacheShape, FixedShape};
use crate::error::Error;

/// From token ids to the residual stream.
pub struct Embedding {
    pub(crate) tokens: Tensor,
    /// Factor on the rows.
    pub(crate) scale: Option<f32>,
    /// Rows that are fed in place of tokens are not multiplied by it.
    pub(crate) scales_tokens_alone: bool,
    /// Added to all rows: what marks a text's first part, the only one here.
    pub(crate) first_type: Option<Vec<f32>>,
    /// Rows by position, which are added.
    pub(crate) positions: Option<Tensor>,
    /// Of the sum.
    pub(crate) norm: Option<Norm>,
    /// Rows that each layer sees beside the residual stream.
    pub(crate) layers: Option<LayerEmbedding>,
}

/// From the residual stream to what is asked for: logits or embeddings.
pub struct Head {
    pub(crate) norm: Option<Norm>,
    /// None in encoders.
    pub(crate) output: Option<Output>,
    pub(crate) pooling: PoolingHead,
}

/// From hidden states to logits.
pub struct Output {
    pub(crate) matrix: Linear,
    /// Factor on the logits.
    pub(crate) scale: Option<f32>,
    /// Bound of the logits, which tanh keeps them in.
    pub(crate) softcap: Option<f32>,
}

/// A model's computation, with handles to its tensors.
pub struct Decoder {
    pub(crate) embedding: Embedding,
    pub(crate) steps: Vec<Stage>,
    /// Rows for each token that steps keep beside the residual stream.
    pub(crate) streams: usize,
    pub(crate) head: Head,
    /// Positions are blind for what follows them.
    pub(crate) is_causal: bool,
    pub(crate) ropes: Vec<Rope>,
    pub(crate) caches: Vec<CacheShape>,
    pub(crate) fixed: Vec<FixedShape>,
    /// f32 values of scratch for a row, for what adapters add.
    pub(crate) adapted: usize,
}

/// The buffers of one engine: everything that a pass needs, taken once.
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
        self.embedding.tokens.rows
    }

    /// f32 values that [`Self::buffers`] takes.
    pub fn buffer_values(&self, batch: usize) -> usize {
        let rows = 3 + usize::from(self.has_branches()) + usize::from(self.keeps());
        let rows = rows + self.streams;
        batch
            .saturating_mul(rows * self.width())
            .saturating_add(self.layer_inputs(batch))
            .saturating_add(self.scratch(batch))
            .saturating_add(self.left_values(batch))
            .saturating_add(self.adapted_values(batch))
    }

    /// f32 values of [`Pass::spare`].
    pub fn adapted_values(&self, batch: usize) -> usize {
        self.adapted.saturating_mul(batch.min(ADAPTED_ROWS))
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
        let output = self.head.output.as_ref();
        let output = output.map_or(Cost::default(), |output| output.matrix.cost());
        (rows + sum(inner), sum(last) + output)
    }

    /// Refuses a model that is said to see whole texts, of which a part only looks back.
    pub(crate) fn check_whole(&self) -> Result<(), Error> {
        if self.caches.is_empty() && self.fixed.is_empty() && self.embedding.layers.is_none() {
            return Ok(());
        }
        Err(Error::Unsupported(
            "attention.causal is false in the file, and this architecture has layers that only look back".into(),
        ))
    }

    /// Whether positions have several parts.
    pub(crate) fn has_position_parts(&self) -> bool {
        self.ropes.iter().any(|rope| rope.sections.is_some())
    }

    /// Refuses what can't be fed in place of tokens.
    pub(crate) fn check_rows(&self, values: &[f32]) -> Result<(), Error> {
        if self.embedding.layers.is_some() {
            return Err(Error::Unsupported(
                "this architecture looks inputs of each layer up by token id: rows can't be fed in place of tokens".into(),
            ));
        }
        let (width, count) = (self.width(), values.len());
        if !count.is_multiple_of(width) {
            return Err(Error::Option(format!(
                "{count} values are no whole rows: this model's have {width} each"
            )));
        }
        match values.iter().find(|value| !value.is_finite()) {
            Some(value) => Err(Error::Option(format!(
                "a row that is fed in place of a token has the value {value}"
            ))),
            None => Ok(()),
        }
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
            streams: vec![0.0; batch * self.width() * self.streams],
            scratch: vec![0.0; self.scratch(batch)],
        }
    }

    /// Runs the rows of a pass through all steps. The hidden states of the wanted rows stay in `buffers`, one after the other;
    /// for all others, only what later tokens need is computed. False if it was stopped on the way: the states of the
    /// sequences are then those of no token.
    pub fn forward<'b>(
        &self,
        pass: &mut Pass<'b>,
        batch: &'b Batch,
        buffers: &mut Buffers,
        is_stopped: &dyn Fn() -> bool,
    ) -> bool {
        let width = self.width();
        let Buffers {
            x, normed, scratch, ..
        } = buffers;
        let x = &mut x[..pass.n * width];
        self.embedding.forward(pass, batch, x, normed);
        if let Some(layers) = &self.embedding.layers {
            layers.forward(pass, &batch.ids, x, scratch);
        }
        let (inner, last) = self.steps.split_at(self.local_from());
        if !self.steps(pass, inner, buffers, is_stopped) {
            return false;
        }
        let wanted = &batch.wanted;
        for (to, row) in wanted.rows.iter().enumerate() {
            let all = self.streams;
            for (rows, width) in [
                (&mut buffers.x, width),
                (&mut buffers.kept, width),
                (&mut buffers.streams, all * width),
            ] {
                if row.index != to && !rows.is_empty() {
                    let from = row.index * width;
                    rows.copy_within(from..from + width, to * width);
                }
            }
        }
        (pass.rows, pass.runs, pass.n) = (&wanted.rows, &wanted.runs, wanted.rows.len());
        wanted.rows.is_empty() || self.steps(pass, last, buffers, is_stopped)
    }

    fn steps(
        &self,
        pass: &mut Pass<'_>,
        steps: &[Stage],
        buffers: &mut Buffers,
        is_stopped: &dyn Fn() -> bool,
    ) -> bool {
        let rows = pass.n * self.width();
        for step in steps {
            if is_stopped() {
                return false;
            }
            // Buffers that no step has a use for are empty.
            let (others, kept) = (rows.min(buffers.other.len()), rows.min(buffers.kept.len()));
            let parts = StepBuffers {
                normed: &mut buffers.normed[..rows],
                out: &mut buffers.out[..rows],
                other: &mut buffers.other[..others],
                kept: &mut buffers.kept[..kept],
                streams: &mut buffers.streams[..rows * self.streams],
                scratch: &mut buffers.scratch,
            };
            step.forward(pass, &mut buffers.x[..rows], parts);
        }
        true
    }

    /// The hidden states behind the last norm of `pass.n` of the wanted rows that went through [`Self::forward`] last, from
    /// number `first` on.
    pub fn hidden<'b>(&self, pass: &Pass<'_>, buffers: &'b mut Buffers, first: usize) -> &'b [f32] {
        let width = self.width();
        let x = &buffers.x[first * width..][..pass.n * width];
        let Some(norm) = &self.head.norm else {
            return x;
        };
        let normed = &mut buffers.normed[..x.len()];
        norm.forward(pass, x, normed);
        normed
    }

    /// The logits of `pass.n` of the wanted rows that went through [`Self::forward`] last, from number `first` on. An encoder
    /// has none: no engine is made of it.
    pub fn logits(
        &self,
        pass: &mut Pass<'_>,
        buffers: &mut Buffers,
        first: usize,
        out: &mut [f32],
    ) {
        let Some(output) = &self.head.output else {
            return;
        };
        let x = self.hidden(pass, buffers, first);
        pass.linear(&output.matrix, x, out);
        let with = pass.compute.floats();
        if let Some(scale) = output.scale {
            pass.each_row(self.vocab_size(), out, |_, row| {
                ops::scale(with, row, scale)
            });
        }
        if let Some(cap) = output.softcap {
            pass.each_row(self.vocab_size(), out, |_, row| {
                ops::softcap(with, row, cap)
            });
        }
    }
}

impl Embedding {
    /// `x` = the rows of the tokens, or those that are fed in their place; `spare` is as long.
    fn forward(&self, pass: &mut Pass<'_>, batch: &Batch, x: &mut [f32], spare: &mut [f32]) {
        let width = self.tokens.cols;
        let with = pass.compute.floats();
        pass.look_up(&self.tokens, &batch.ids, x);
        let insert = |x: &mut [f32]| {
            for (&number, row) in batch.given.iter().zip(batch.rows.chunks_exact(width)) {
                x[number * width..][..width].copy_from_slice(row);
            }
        };
        if !self.scales_tokens_alone {
            insert(x);
        }
        if let Some(scale) = self.scale {
            pass.each_row(width, x, |_, row| ops::scale(with, row, scale));
        }
        if self.scales_tokens_alone {
            insert(x);
        }
        if let Some(first_type) = &self.first_type {
            pass.each_row(width, x, |_, row| ops::add(with, row, first_type));
        }
        let spare = &mut spare[..x.len()];
        if let Some(positions) = &self.positions {
            let numbers: Vec<u32> = pass.rows.iter().map(|row| row.position as u32).collect();
            pass.look_up(positions, &numbers, spare);
            pass.add(width, x, spare);
        }
        if let Some(norm) = &self.norm {
            norm.forward(pass, x, spare);
            x.copy_from_slice(spare);
        }
    }
}
