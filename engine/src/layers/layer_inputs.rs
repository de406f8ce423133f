//! Per-layer embeddings (Gemma 3n and 4): beside the residual stream, each layer sees a short row of its own for each token,
//! made of a row of a second table of embeddings and of a product of the token's usual one.

use gristmill_kernels::ops::{self, Activation};

use super::{Cost, Linear, Mixer, Norm, Pass, Tensor, cut};
use crate::error::Error;
use crate::load::{LayerTensors, Loader, Part};

/// From tokens and their embeddings to the inputs of all layers: `per_layer_token_embd`, which has them one after the other
/// in a row, and `per_layer_model_proj` with the norm `per_layer_proj_norm` of each layer's share.
pub struct LayerEmbedding {
    pub(crate) tokens: Tensor,
    pub(crate) projection: Linear,
    norm: Norm,
}

impl LayerEmbedding {
    /// Takes the tensors for inputs of `length` values.
    pub(crate) fn load(from: &mut Loader<'_>, length: usize) -> Result<Self, Error> {
        let (width, vocabulary) = (from.hparams.embedding_length, from.hparams.vocab_size);
        let row = length.saturating_mul(from.hparams.block_count);
        Ok(Self {
            tokens: from.table("per_layer_token_embd.weight", &[row, vocabulary])?,
            projection: from.linear("per_layer_model_proj", width, row)?,
            norm: from.norm("per_layer_proj_norm", length)?,
        })
    }

    /// Values of all layers' inputs for a token.
    pub(super) fn row(&self) -> usize {
        self.tokens.cols
    }

    /// Computes the batch's inputs from `x`, the embeddings of `ids`.
    pub(super) fn forward(&self, pass: &mut Pass<'_>, ids: &[u32], x: &[f32], scratch: &mut [f32]) {
        let (row, width, length) = (self.row(), self.projection.weight.cols, self.norm.width);
        let with = pass.compute.floats();
        let spare = &mut scratch[..pass.n * row];
        let values = std::mem::take(&mut pass.inputs);
        let out = &mut values[..pass.n * row];

        pass.linear(&self.projection, x, spare);
        let scale = 1.0 / (width as f32).sqrt();
        pass.each_row(row, spare, |_, row| ops::scale(with, row, scale));
        self.norm.forward(pass, spare, out);

        pass.look_up(&self.tokens, ids, spare);
        let (scale, spare) = ((length as f32).sqrt(), &*spare);
        pass.each_row(row, out, |number, out| {
            ops::add_scaled(with, out, scale, &spare[number * row..][..row]);
            ops::scale(with, out, std::f32::consts::FRAC_1_SQRT_2);
        });
        pass.inputs = values;
    }
}

/// Adds what a layer makes of its input: `proj(gelu(inp_gate x) · input)`.
#[derive(Debug, Clone, Copy)]
pub struct LayerInput {
    /// Values of the input.
    pub length: usize,
}

impl Part for LayerInput {
    fn load(self, at: &mut LayerTensors<'_, '_>) -> Result<Box<dyn Mixer>, Error> {
        let (width, length) = (at.width(), self.length);
        Ok(Box::new(GatedInput {
            gate: at.linear("inp_gate", width, length)?,
            back: at.linear("proj", length, width)?,
            row: length * at.loader.hparams.block_count,
            offset: length * at.layer,
        }))
    }
}

struct GatedInput {
    gate: Linear,
    back: Linear,
    /// Values of all layers' inputs for a token.
    row: usize,
    /// Where this layer's begin.
    offset: usize,
}

impl Mixer for GatedInput {
    fn scratch(&self, rows: usize) -> usize {
        rows.saturating_mul(self.gate.weight.rows)
    }

    fn is_local(&self) -> bool {
        true
    }

    fn cost(&self) -> Cost {
        self.gate.cost() + self.back.cost()
    }

    fn forward(&self, pass: &mut Pass<'_>, x: &[f32], out: &mut [f32], mut scratch: &mut [f32]) {
        let length = self.gate.weight.rows;
        let hidden = cut(&mut scratch, pass.n * length);
        pass.linear(&self.gate, x, hidden);
        let with = pass.compute.floats();
        let (inputs, rows) = (&*pass.inputs, pass.rows);
        pass.each_row(length, hidden, |row, hidden| {
            let input = &inputs[rows[row].index * self.row + self.offset..][..length];
            ops::gated(with, Activation::Gelu, hidden, input);
        });
        pass.linear(&self.back, hidden, out);
    }
}
