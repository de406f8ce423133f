//! Joins a decoder's parts: an architecture names its steps, in the order in which they run, and what is before and behind
//! them; the parts take their tensors themselves ([`load`](crate::load)).

use std::ops::Range;

use gristmill_gguf::Gguf;
use gristmill_kernels::ops::RopeSections;

use super::Architecture;
use crate::adapter::Adapters;
use crate::error::Error;
use crate::hparams::{HParams, Keys, Pattern};
use crate::layers::{
    Branch, Classifier, Correct, Decoder, Embedding, FirstStates, Head, LEVELS, LastMix,
    LayerEmbedding, LayerInput, Level, Linear, Merge, NextState, Norm, NormKind, Open, Output,
    PoolingHead, Predict, RopeId, RopeSpec, SetAside, Stage, Step, TakeBack,
};
use crate::load::{Loader, Part};

/// A decoder in the making.
pub struct Builder<'a> {
    /// The architecture's metadata.
    pub keys: Keys<'a>,
    loader: Loader<'a>,
    embedding: Embedding,
    steps: Vec<Stage>,
    streams: usize,
    head: HeadOptions,
}

/// What an architecture says of its head.
#[derive(Default)]
struct HeadOptions {
    norm: HeadNorm,
    scale: Option<f32>,
    softcap: Option<f32>,
    ignores_bias: bool,
    /// There is no output matrix.
    is_encoder: bool,
    classifier: Classifier,
}

/// The norm before the output matrix.
#[derive(Default)]
enum HeadNorm {
    /// `output_norm`.
    #[default]
    Usual,
    /// One that was made, or none.
    Given(Option<Norm>),
}

/// Norms around a part, by name.
#[derive(Debug, Clone, Copy)]
pub enum Norms {
    /// Before.
    Before(&'static str),
    /// Behind.
    Behind(&'static str),
    /// Before and behind.
    Around(&'static str, &'static str),
    /// Before, without weights.
    Plain,
    /// None.
    None,
}

impl<'a> Builder<'a> {
    pub(crate) fn new(
        gguf: &'a Gguf,
        architecture: &'static Architecture,
        adapters: Adapters,
    ) -> Result<Self, Error> {
        let mut loader = Loader::new(gguf, architecture.name, adapters)?;
        // Asked for first, since its shape shows best if the metadata belong to these tensors.
        let shape = [loader.hparams.embedding_length, loader.hparams.vocab_size];
        let tokens = loader.table("token_embd.weight", &shape)?;
        Ok(Self {
            keys: loader.keys,
            loader,
            embedding: Embedding {
                tokens,
                scale: None,
                scales_tokens_alone: false,
                first_type: None,
                positions: None,
                norm: None,
                layers: None,
            },
            steps: Vec::new(),
            streams: 0,
            head: HeadOptions::default(),
        })
    }

    /// The shape of the model.
    pub fn hparams(&self) -> &HParams {
        &self.loader.hparams
    }

    /// The numbers of the layers.
    pub fn layers(&self) -> Range<usize> {
        0..self.loader.hparams.block_count
    }

    /// How norms are computed from here on: RMS, unless this is called.
    pub fn norms(&mut self, kind: NormKind) {
        self.loader.norms = kind;
    }

    /// Makes embeddings alone: every position sees the whole text, and there is no output matrix.
    pub fn encoder(&mut self) {
        self.loader.causal = false;
        self.head.is_encoder = true;
    }

    /// How the classifier works that scores texts, if it is not BERT's.
    pub fn classifier(&mut self, classifier: Classifier) {
        self.head.classifier = classifier;
    }

    /// Whether the file has a tensor of a layer.
    pub fn has(&self, layer: usize, name: &str) -> bool {
        self.loader.has(&format!("blk.{layer}.{name}"))
    }

    /// Refuses files in which rotary positions cover only a part of each head.
    pub fn require_whole_heads_rotated(&self) -> Result<(), Error> {
        let (key, length) = ("rope.dimension_count", self.loader.head_length()?);
        match self.keys.opt_count(key)? {
            Some(dims) if dims != length => Err(self.keys.wrong(
                key,
                format!("is {dims}, and must be the length of a head, {length}"),
            )),
            _ => Ok(()),
        }
    }

    /// Values of a query or key head.
    pub fn head_length(&self) -> Result<usize, Error> {
        self.loader.head_length()
    }

    /// One by the root of the width's share of a head, a factor on scores.
    pub fn scale_by_width_per_head(&self) -> Result<f32, Error> {
        let heads = self.keys.count("attention.head_count")?;
        let width = self.loader.hparams.embedding_length;
        Ok(1.0 / ((width / heads) as f32).sqrt())
    }

    /// Factor on scores that makes up for a rotation whose magnitude does not grow with YaRN's factor
    /// (`rope.scaling.yarn_log_multiplier`): it is for both sides of a product.
    pub fn score_growth(&self, rope: RopeId) -> Result<f32, Error> {
        let scaling = &self.loader.ropes[rope.0].scaling;
        let key = "rope.scaling.yarn_log_multiplier";
        let multiplier = self.keys.opt_f32(key)?.unwrap_or(0.0);
        let growth = match scaling.yarn {
            Some(_) => 1.0 + multiplier * scaling.factor.max(1.0).ln(),
            None => 1.0,
        };
        Ok(growth * growth)
    }

    /// Positions of the training before the context was stretched.
    pub fn original_context(&self) -> Result<usize, Error> {
        self.loader.original_context()
    }

    /// Which layers look back over a window (by a key, else all but every `period`-th), and over how many positions.
    pub fn windows(&self, period: usize) -> Result<(Pattern, Option<usize>), Error> {
        let key = "attention.sliding_window_pattern";
        let pattern = self.keys.pattern(key, self.layers().len(), period)?;
        let window = self.keys.opt_number("attention.sliding_window")?;
        Ok((pattern, window.filter(|&window| window > 0)))
    }

    /// As [`windows`](Self::windows), but by a period it is the first layer of each that sees everything.
    pub fn windows_but_first_of(&self, period: usize) -> Result<(Pattern, Option<usize>), Error> {
        let (pattern, window) = self.windows(period)?;
        Ok((pattern.first_for_last(), window))
    }

    /// Whether a layer's feed-forward has a gate: a matrix of its own, or rows of `ffn_up` before the others.
    pub fn has_gate(&self, layer: usize) -> bool {
        let dims = |name: &str| self.loader.dims(&format!("blk.{layer}.{name}.weight"));
        let (up, down) = (dims("ffn_up"), dims("ffn_down"));
        let rows = up.and_then(|dims| dims.get(1));
        dims("ffn_gate").is_some() || rows != down.and_then(|dims| dims.first())
    }

    /// The bound of queries, keys and values.
    pub fn clamp(&self) -> Result<Option<f32>, Error> {
        let bound = self.keys.opt_f32("attention.clamp_kqv")?;
        Ok(bound.filter(|&bound| bound > 0.0))
    }

    /// Adds a rotation.
    pub fn rope(&mut self, spec: RopeSpec) -> Result<RopeId, Error> {
        let rope = spec.load(&mut self.loader)?;
        self.loader.ropes.push(rope);
        Ok(RopeId(self.loader.ropes.len() - 1))
    }

    /// Lets all rotations so far take positions of several parts, as a picture's are, if the file has `rope.dimension_sections`
    /// for them.
    pub fn position_parts(&mut self, interleaved: bool) -> Result<(), Error> {
        let lengths = self.keys.opt_four("rope.dimension_sections")?;
        let sections = lengths.map(|lengths| RopeSections {
            lengths,
            interleaved,
        });
        let ropes = self.loader.ropes.iter_mut();
        ropes.for_each(|rope| rope.sections = sections);
        Ok(())
    }

    /// A norm of the residual stream, `blk.{layer}.{name}`.
    pub fn norm(&mut self, layer: usize, name: &str) -> Result<Norm, Error> {
        let mut at = self.loader.layer(layer);
        at.norm(name, at.width())
    }

    /// A factor that is a tensor of its own, `blk.{layer}.{name}.weight`; 1 where the file has none.
    pub fn factor(&mut self, layer: usize, name: &str) -> Result<f32, Error> {
        let mut at = self.loader.layer(layer);
        let factor = at.opt_vector(&format!("{name}.weight"), 1)?;
        Ok(factor.map_or(1.0, |factor| factor[0]))
    }

    /// A norm of the residual stream without weights.
    pub fn plain_norm(&self) -> Result<Norm, Error> {
        let width = self.loader.hparams.embedding_length;
        self.loader.plain_norm(self.loader.norms, width)
    }

    /// A part of a layer between norms.
    pub fn between(
        &mut self,
        layer: usize,
        norms: Norms,
        part: impl Part,
    ) -> Result<Branch, Error> {
        let (before, behind) = match norms {
            Norms::Before(before) => (Some(self.norm(layer, before)?), None),
            Norms::Behind(behind) => (None, Some(self.norm(layer, behind)?)),
            Norms::Around(before, behind) => (
                Some(self.norm(layer, before)?),
                Some(self.norm(layer, behind)?),
            ),
            Norms::Plain => (Some(self.plain_norm()?), None),
            Norms::None => (None, None),
        };
        Ok(Branch {
            before,
            mixer: part.load(&mut self.loader.layer(layer))?,
            scale: 1.0,
            sees_kept: false,
            behind,
        })
    }

    /// A part of a layer that sees the residual stream as it is.
    pub fn bare(&mut self, layer: usize, part: impl Part) -> Result<Branch, Error> {
        Ok(Branch {
            before: None,
            mixer: part.load(&mut self.loader.layer(layer))?,
            scale: 1.0,
            sees_kept: false,
            behind: None,
        })
    }

    /// Takes note that tensors of a layer whose names begin so have no part in what is computed here.
    pub fn ignore(&mut self, layer: usize, beginning: &str) {
        self.loader.layer(layer).ignore(beginning);
    }

    /// Takes note that in layers with experts another feed-forward has no part.
    pub fn ignore_feed_forwards_beside_experts(&mut self) {
        for layer in self.layers() {
            if self.has(layer, "ffn_gate_inp.weight") {
                for name in ["ffn_gate.", "ffn_up.", "ffn_down."] {
                    self.ignore(layer, name);
                }
            }
        }
    }

    /// As [`ignore`](Self::ignore), of tensors that belong to no layer.
    pub fn ignore_all(&mut self, beginning: &str) {
        self.loader.ignore(beginning);
    }

    /// Adds a step.
    pub fn step(&mut self, step: impl Into<Stage>) {
        self.steps.push(step.into());
    }

    /// Makes `streams` of the residual stream.
    pub fn open_streams(&mut self, streams: usize) -> Result<(), Error> {
        self.streams = streams;
        let open = Open::load(&mut self.loader, streams)?;
        self.step(open);
        Ok(())
    }

    /// Predicts all streams for a layer.
    pub fn predict_streams(&mut self, layer: usize) -> Result<(), Error> {
        let predict = Predict::load(&mut self.loader.layer(layer), self.streams)?;
        self.step(predict);
        Ok(())
    }

    /// Corrects all streams by what a layer gave, and adds `input` to all but the first.
    pub fn correct_streams(&mut self, layer: usize, input: impl Part) -> Result<(), Error> {
        let correct = Correct::load(&mut self.loader.layer(layer), self.streams, input)?;
        self.step(correct);
        Ok(())
    }

    /// Makes one of all streams.
    pub fn merge_streams(&mut self) -> Result<(), Error> {
        let merge = Merge::load(&mut self.loader, self.streams)?;
        self.step(merge);
        Ok(())
    }

    /// Makes room for `checkpoints` of the residual stream, if there are any, and for the stream while it is set aside.
    pub fn open_checkpoints(&mut self, checkpoints: usize) {
        self.streams = if checkpoints > 0 { checkpoints + 1 } else { 0 };
    }

    /// Runs branches on a mix of the stream and the first `checkpoints`, whose scores are `blk.{layer}.{score}`, and adds what
    /// they give to the stream; or, where it is kept as the next checkpoint, lets it start anew from that.
    pub fn mixed_step(
        &mut self,
        (layer, score): (usize, &str),
        checkpoints: usize,
        is_kept: bool,
        branches: Vec<Branch>,
    ) -> Result<(), Error> {
        let to = if is_kept {
            checkpoints
        } else {
            self.streams - 1
        };
        let name = format!("blk.{layer}.{score}");
        let before = SetAside::load(&mut self.loader, &name, checkpoints, to)?;
        self.step(before);
        self.step(Step::new(branches).onto(0.0));
        if !is_kept {
            self.step(TakeBack { from: to });
        }
        Ok(())
    }

    /// Lets the head see a mix of the stream and all `checkpoints`, if there are any.
    pub fn mix_last(&mut self, checkpoints: usize) -> Result<(), Error> {
        if checkpoints == 0 {
            return Ok(());
        }
        let last = LastMix::load(&mut self.loader, checkpoints)?;
        self.step(last);
        Ok(())
    }

    /// Gives each token the two states of a hierarchy, and the residual stream their sum.
    pub fn first_states(&mut self) -> Result<(), Error> {
        self.streams = LEVELS;
        let first = FirstStates::load(&mut self.loader)?;
        self.step(first);
        Ok(())
    }

    /// Makes the residual stream the next state of a level, and the sum of both states the residual stream.
    pub fn next_state(&mut self, of: Level) {
        self.step(NextState { of });
    }

    /// A norm of the residual stream without weights, behind the last step.
    pub fn norm_stream(&mut self) -> Result<(), Error> {
        let norm = self.plain_norm()?;
        if let Some(Stage::Residual(step)) = self.steps.last_mut() {
            step.after = Some(norm);
        }
        Ok(())
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

    /// Everything that was added, with the head: a norm, and `output` (or `token_embd` again, where the file has none).
    /// Tensors that nothing has asked for are refused.
    pub(crate) fn finish(mut self) -> Result<(Decoder, HParams), Error> {
        let HParams {
            embedding_length: width,
            vocab_size,
            ..
        } = self.loader.hparams;
        let norm = match self.head.norm {
            HeadNorm::Usual => Some(self.loader.norm("output_norm", width)?),
            HeadNorm::Given(norm) => norm,
        };
        let output = if self.head.is_encoder {
            None
        } else {
            let mut matrix = if self.loader.has("output.weight") {
                self.loader.linear("output", width, vocab_size)?
            } else {
                Linear {
                    weight: self.embedding.tokens.clone(),
                    bias: self.loader.opt_vector("output.bias", vocab_size)?,
                }
            };
            matrix.bias = matrix.bias.filter(|_| !self.head.ignores_bias);
            Some(Output {
                matrix,
                scale: self.head.scale,
                softcap: self.head.softcap,
            })
        };
        let pooling = PoolingHead::load(&mut self.loader, self.head.classifier)?;
        self.loader.ignore_what_is_not_for_text();
        self.loader.refuse_unused()?;
        let adapted = self.loader.adapted_values();
        let decoder = Decoder {
            embedding: self.embedding,
            steps: self.steps,
            streams: self.streams,
            head: Head {
                norm,
                output,
                pooling,
            },
            is_causal: self.loader.causal,
            ropes: self.loader.ropes,
            caches: self.loader.caches,
            fixed: self.loader.fixed,
            adapted,
        };
        Ok((decoder, self.loader.hparams))
    }
}
