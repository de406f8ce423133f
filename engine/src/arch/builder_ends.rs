//! What is before the first layer and behind the last one: embeddings, and the head.

use super::builder::{Builder, HeadNorm};
use crate::error::Error;
use crate::hparams::HParams;
use crate::layers::{Classifier, LayerEmbedding, LayerInput, Norm};

impl Builder<'_> {
    /// Makes embeddings alone: every position sees the whole text, and there is no output matrix.
    pub fn encoder(&mut self) {
        self.loader.causal = false;
        self.head.is_encoder = true;
    }

    /// How the classifier works that scores texts, if it is not BERT's.
    pub fn classifier(&mut self, classifier: Classifier) {
        self.head.classifier = classifier;
    }

    /// Multiplies the embeddings, also rows that are fed in place of tokens.
    pub fn scale_embeddings(&mut self, factor: f32) {
        self.embedding.scale = Some(factor);
    }

    /// Multiplies the embeddings with the square root of their width.
    pub fn scale_embeddings_by_width(&mut self) {
        self.scale_embeddings((self.loader.hparams.embedding_length as f32).sqrt());
    }

    /// Multiplies the embeddings of tokens with the square root of their width, but not rows that are fed in their place.
    pub fn scale_token_embeddings_by_width(&mut self) {
        self.scale_embeddings_by_width();
        self.embedding.scales_tokens_alone = true;
    }

    /// Whether the file has rows by position.
    pub fn has_learned_positions(&self) -> bool {
        self.loader.has("position_embd.weight")
    }

    /// Adds learned rows by position, `position_embd`.
    pub fn learned_positions(&mut self) -> Result<(), Error> {
        let HParams {
            embedding_length,
            context_length,
            ..
        } = self.loader.hparams;
        let shape = [embedding_length, context_length];
        self.embedding.positions = Some(self.loader.table("position_embd.weight", &shape)?);
        Ok(())
    }

    /// Adds the first row of `token_types`, that of a text's first part, if the file has it.
    pub fn first_token_type(&mut self) -> Result<(), Error> {
        let name = "token_types.weight";
        let width = self.loader.hparams.embedding_length;
        if let Some(dims) = self.loader.dims(name) {
            let types = dims.get(1).copied().unwrap_or(1) as usize;
            let mut rows = self.loader.opt_values(name, &[width, types])?;
            if let Some(rows) = &mut rows {
                rows.truncate(width);
            }
            self.embedding.first_type = rows;
        }
        Ok(())
    }

    /// A norm of the embeddings, `token_embd_norm`.
    pub fn norm_embeddings(&mut self) -> Result<(), Error> {
        let width = self.loader.hparams.embedding_length;
        self.embedding.norm = Some(self.loader.norm("token_embd_norm", width)?);
        Ok(())
    }

    /// A norm of the embeddings of another name than `token_embd_norm`.
    pub fn norm_embeddings_by(&mut self, norm: Norm) {
        self.embedding.norm = Some(norm);
    }

    /// A norm of the embeddings without weights.
    pub fn norm_embeddings_plainly(&mut self) -> Result<(), Error> {
        self.embedding.norm = Some(self.plain_norm()?);
        Ok(())
    }

    /// Gives each layer an input of its own beside the residual stream, and the part that reads it. Its length is
    /// `embedding_length_per_layer_input`, else `default`; with 0 there is none.
    pub fn layer_inputs(&mut self, default: usize) -> Result<Option<LayerInput>, Error> {
        let length = self.keys.opt_number("embedding_length_per_layer_input")?;
        let length = length.unwrap_or(default);
        if length == 0 {
            return Ok(None);
        }
        self.embedding.layers = Some(LayerEmbedding::load(&mut self.loader, length)?);
        Ok(Some(LayerInput { length }))
    }

    /// The norm before the output matrix, if it is not `output_norm`; or that there is none.
    pub fn head_norm(&mut self, norm: Option<Norm>) {
        self.head.norm = HeadNorm::Given(norm);
    }

    /// The norm before the output matrix has another name.
    pub fn head_norm_named(&mut self, name: &str) -> Result<(), Error> {
        let width = self.loader.hparams.embedding_length;
        self.head.norm = HeadNorm::Given(Some(self.loader.norm(name, width)?));
        Ok(())
    }

    /// A bias of the output matrix has no effect.
    pub fn ignore_output_bias(&mut self) {
        self.head.ignores_bias = true;
    }

    /// Multiplies the logits.
    pub fn scale_logits(&mut self, factor: f32) {
        self.head.scale = Some(factor);
    }

    /// Squashes the logits into ± the value of a key, if the file has it and it is not zero.
    pub fn softcap_logits(&mut self, key: &str) -> Result<(), Error> {
        self.softcap_logits_or(key, 0.0)
    }

    /// As [`softcap_logits`](Self::softcap_logits), with a value for files without the key.
    pub fn softcap_logits_or(&mut self, key: &str, default: f32) -> Result<(), Error> {
        let cap = self.keys.opt_f32(key)?.unwrap_or(default);
        self.head.softcap = Some(cap).filter(|&cap| cap != 0.0);
        Ok(())
    }
}
