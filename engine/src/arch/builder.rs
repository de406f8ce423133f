//! Joins a decoder's parts: an architecture names its steps, in the order in which they run, and what is before and behind
//! them; the parts take their tensors themselves ([`load`](crate::load)).

use std::ops::Range;

use gristmill_gguf::Gguf;
use gristmill_kernels::ops::RopeSections;

use super::Architecture;
use crate::adapter::Adapters;
use crate::error::Error;
use crate::hparams::{HParams, Keys};
use crate::layers::{
    Branch, Classifier, Decoder, Embedding, Head, Linear, Norm, NormKind, Output, PoolingHead,
    RopeId, RopeSpec, Stage,
};
use crate::load::{Loader, Part};

/// A decoder in the making.
pub struct Builder<'a> {
    /// The architecture's metadata.
    pub keys: Keys<'a>,
    pub(super) loader: Loader<'a>,
    pub(super) embedding: Embedding,
    pub(super) steps: Vec<Stage>,
    pub(super) streams: usize,
    pub(super) head: HeadOptions,
}

/// What an architecture says of its head.
#[derive(Default)]
pub(super) struct HeadOptions {
    pub(super) norm: HeadNorm,
    pub(super) scale: Option<f32>,
    pub(super) softcap: Option<f32>,
    pub(super) ignores_bias: bool,
    /// There is no output matrix.
    pub(super) is_encoder: bool,
    pub(super) classifier: Classifier,
}

/// The norm before the output matrix.
#[derive(Default)]
pub(super) enum HeadNorm {
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

    /// Whether the file has a tensor of a layer.
    pub fn has(&self, layer: usize, name: &str) -> bool {
        self.loader.has(&format!("blk.{layer}.{name}"))
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
