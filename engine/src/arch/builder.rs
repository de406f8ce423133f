//! Takes a decoder's parts from a file: every tensor is looked up by name and checked against the shape that the metadata
//! ask for. This is where the numbers of an architecture meet the names in the file.

use std::collections::HashMap;

use gristmill_gguf::{Gguf, TensorInfo};
use gristmill_kernels::ops::{Activation, RopePairing, Yarn};
use gristmill_kernels::registry::quant;

use super::Architecture;
use crate::cache::{CacheId, CacheShape};
use crate::error::Error;
use crate::hparams::{HParams, Keys};
use crate::layers::{
    Attention, Block, Decoder, ExpertRouting, GatedFeedForward, Layer, Linear, LongFactors,
    MixtureOfExperts, Norm, Residual, Rope, RopeId, Scaling, Tensor,
};

/// Collects the parts of one decoder.
pub struct Builder<'a> {
    /// The shape of the model.
    pub hparams: HParams,
    /// The architecture's metadata.
    pub keys: Keys<'a>,
    gguf: &'a Gguf,
    architecture: &'static Architecture,
    names: HashMap<&'a str, usize>,
    used: Vec<bool>,
    epsilon: f32,
    ropes: Vec<Rope>,
    caches: Vec<CacheShape>,
    blocks: Vec<Block>,
    embedding_scale: Option<f32>,
    logit_softcap: Option<f32>,
}

/// Where a rotation's numbers come from.
#[derive(Debug, Clone, Copy)]
pub struct RopeSpec {
    /// Which two dimensions form a pair.
    pub pairing: RopePairing,
    /// Key of the base and its default, if not `rope.freq_base`.
    pub base: Option<(&'static str, f32)>,
    /// Factor and YaRN are for other layers (the magnitude is for all).
    pub unscaled: bool,
    /// A tensor that divides the frequencies, if the file has it; with LongRoPE there are two others in its place.
    pub factors: Option<&'static str>,
}

impl RopeSpec {
    /// The usual keys.
    pub fn new(pairing: RopePairing) -> Self {
        Self {
            pairing,
            base: None,
            unscaled: false,
            factors: None,
        }
    }
}

/// The value of `rope.scaling.type` for divisors that depend on the context's length.
const LONGROPE: &str = "longrope";

/// How a layer attends.
#[derive(Debug, Clone, Copy, Default)]
pub struct AttentionSpec {
    /// Rotation of queries and keys.
    pub rope: Option<RopeId>,
    /// Sliding window, in positions.
    pub window: Option<usize>,
    /// RMS norms on each head of the queries (`attn_q_norm`) and keys (`attn_k_norm`).
    pub query_key_norms: bool,
    /// Scores are scaled by the embedding's width per head, not by the key length.
    pub scale_by_embedding: bool,
}

impl<'a> Builder<'a> {
    pub(crate) fn new(gguf: &'a Gguf, architecture: &'static Architecture) -> Result<Self, Error> {
        let keys = Keys::new(gguf.metadata(), architecture.name);
        let mut builder = Self {
            hparams: HParams::read(gguf, &keys)?,
            epsilon: keys.not_negative("attention.layer_norm_rms_epsilon")?,
            keys,
            gguf,
            architecture,
            names: gguf
                .tensors()
                .iter()
                .enumerate()
                .map(|(i, t)| (t.name(), i))
                .collect(),
            used: vec![false; gguf.tensors().len()],
            ropes: Vec::new(),
            caches: Vec::new(),
            blocks: Vec::new(),
            embedding_scale: None,
            logit_softcap: None,
        };
        builder.embedding()?;
        Ok(builder)
    }

    /// The numbers of the blocks.
    pub fn layers(&self) -> std::ops::Range<usize> {
        0..self.hparams.block_count
    }

    /// Adds the next block: residual steps, one after the other.
    pub fn block(&mut self, steps: impl IntoIterator<Item = Residual>) {
        self.blocks.push(Block::new(steps));
    }

    /// Multiplies the embeddings with the square root of their width.
    pub fn scale_embeddings_by_width(&mut self) {
        self.embedding_scale = Some((self.hparams.embedding_length as f32).sqrt());
    }

    /// Squashes the logits into ± the value of a key, if the file has it and it is not zero.
    pub fn softcap_logits(&mut self, key: &str) -> Result<(), Error> {
        self.logit_softcap = self.keys.opt_f32(key)?.filter(|&cap| cap != 0.0);
        Ok(())
    }

    /// Refuses files in which rotary positions cover only a part of each head.
    pub fn require_whole_heads_rotated(&self) -> Result<(), Error> {
        let (key, length) = ("rope.dimension_count", self.hparams.key_length);
        match self.keys.opt_count(key)? {
            Some(dims) if dims != length => Err(self.keys.wrong(
                key,
                format!("is {dims}, and must be the length of a head, {length}"),
            )),
            _ => Ok(()),
        }
    }

    /// Adds a rotation.
    pub fn rope(&mut self, spec: RopeSpec) -> Result<RopeId, Error> {
        let dimensions = self
            .keys
            .opt_count("rope.dimension_count")?
            .unwrap_or(self.hparams.key_length);
        if dimensions % 2 != 0 || dimensions > self.hparams.key_length {
            let problem = format!(
                "is {dimensions}, and must be even and at most the length of a head, {}",
                self.hparams.key_length
            );
            return Err(self.keys.wrong("rope.dimension_count", problem));
        }
        let (key, default) = spec.base.unwrap_or(("rope.freq_base", 10_000.0));
        let base = self.keys.opt_f32(key)?.unwrap_or(default);
        if base <= 0.0 {
            return Err(self
                .keys
                .wrong(key, format!("is {base}, and must be positive")));
        }
        let mut scaling = self.scaling()?;
        if spec.unscaled {
            (scaling.factor, scaling.yarn) = (1.0, None);
        }
        let (mut factors, mut long) = (None, None);
        if spec.factors.is_some() && self.scaling_type()? == LONGROPE {
            factors = Some(self.vector("rope_factors_short.weight", dimensions / 2)?);
            long = Some(LongFactors {
                original_context: self.original_context()?,
                factors: self.vector("rope_factors_long.weight", dimensions / 2)?,
            });
        } else if let Some(name) = spec.factors {
            factors = self.opt_vector(name, dimensions / 2)?;
        }
        self.ropes.push(Rope {
            pairing: spec.pairing,
            dimensions,
            base,
            scaling,
            factors,
            long,
        });
        Ok(RopeId(self.ropes.len() - 1))
    }

    fn scaling(&self) -> Result<Scaling, Error> {
        let keys = &self.keys;
        // Files from before 2023-09 have only the old key, and mean linear scaling.
        let key = if keys.contains("rope.scaling.factor") {
            "rope.scaling.factor"
        } else {
            "rope.scale_linear"
        };
        let factor = match keys.opt_f32(key)? {
            None | Some(0.0) => 1.0,
            Some(factor) if factor > 0.0 => factor,
            Some(factor) => {
                return Err(keys.wrong(key, format!("is {factor}, and must be positive")));
            }
        };
        let magnitude = keys.opt_f32("rope.scaling.attn_factor")?.unwrap_or(1.0);
        let (factor, yarn) = match self.scaling_type()? {
            "none" => (1.0, None),
            "linear" | LONGROPE => (factor, None),
            "yarn" => (factor, Some(Yarn::new(self.original_context()?))),
            other => {
                return Err(keys.wrong(
                    "rope.scaling.type",
                    format!("'{other}' is not known (none, linear, yarn, {LONGROPE})"),
                ));
            }
        };
        Ok(Scaling {
            factor,
            yarn,
            magnitude,
        })
    }

    fn scaling_type(&self) -> Result<&'a str, Error> {
        let name = self.keys.opt_string("rope.scaling.type")?;
        Ok(name.unwrap_or("linear"))
    }

    /// Positions of the training before the context was stretched.
    fn original_context(&self) -> Result<usize, Error> {
        let key = "rope.scaling.original_context_length";
        Ok(self
            .keys
            .opt_count(key)?
            .unwrap_or(self.hparams.context_length))
    }

    /// An RMS norm of the residual stream, `blk.{layer}.{name}.weight`.
    pub fn norm(&mut self, layer: usize, name: &str) -> Result<Norm, Error> {
        self.norm_of(
            &format!("blk.{layer}.{name}.weight"),
            self.hparams.embedding_length,
        )
    }

    fn norm_of(&mut self, name: &str, width: usize) -> Result<Norm, Error> {
        Ok(Norm {
            weight: self.vector(name, width)?,
            epsilon: self.epsilon,
        })
    }

    /// Attention with separate query, key, value and output matrices.
    pub fn attention(
        &mut self,
        layer: usize,
        spec: AttentionSpec,
    ) -> Result<Box<dyn Layer>, Error> {
        let HParams {
            embedding_length: width,
            key_length,
            value_length,
            ..
        } = self.hparams;
        let heads = self.hparams.heads.get(layer);
        let key_value_heads = self.hparams.key_value_heads.get(layer);
        if heads == 0 || key_value_heads == 0 || !heads.is_multiple_of(key_value_heads) {
            let problem = format!(
                "has {heads} heads in layer {layer}, not a multiple of the {key_value_heads} of attention.head_count_kv"
            );
            return Err(self.keys.wrong("attention.head_count", problem));
        }
        let norms = if spec.query_key_norms {
            let query = self.norm_of(&format!("blk.{layer}.attn_q_norm.weight"), key_length)?;
            Some((
                query,
                self.norm_of(&format!("blk.{layer}.attn_k_norm.weight"), key_length)?,
            ))
        } else {
            None
        };
        let scaled_by = if spec.scale_by_embedding {
            width / heads
        } else {
            key_length
        };
        self.caches.push(CacheShape {
            heads: key_value_heads,
            key_length,
            value_length,
            window: spec.window,
        });
        Ok(Box::new(Attention {
            query: self.linear(&format!("blk.{layer}.attn_q"), width, heads * key_length)?,
            key: self.linear(
                &format!("blk.{layer}.attn_k"),
                width,
                key_value_heads * key_length,
            )?,
            value: self.linear(
                &format!("blk.{layer}.attn_v"),
                width,
                key_value_heads * value_length,
            )?,
            output: self.linear(
                &format!("blk.{layer}.attn_output"),
                heads * value_length,
                width,
            )?,
            heads,
            key_value_heads,
            key_length,
            value_length,
            norms,
            rope: spec.rope,
            scale: 1.0 / (scaled_by as f32).sqrt(),
            window: spec.window,
            cache: CacheId(self.caches.len() - 1),
        }))
    }

    /// A gated feed-forward: `ffn_gate`, `ffn_up`, `ffn_down`.
    pub fn gated_feed_forward(
        &mut self,
        layer: usize,
        activation: Activation,
    ) -> Result<Box<dyn Layer>, Error> {
        let width = self.hparams.embedding_length;
        let hidden = self.feed_forward_length(layer)?;
        Ok(Box::new(GatedFeedForward {
            gate: self.linear(&format!("blk.{layer}.ffn_gate"), width, hidden)?,
            up: self.linear(&format!("blk.{layer}.ffn_up"), width, hidden)?,
            down: self.linear(&format!("blk.{layer}.ffn_down"), hidden, width)?,
            activation,
        }))
    }

    fn feed_forward_length(&self, layer: usize) -> Result<usize, Error> {
        match self.hparams.feed_forward_length.get(layer) {
            0 => Err(self.keys.missing("feed_forward_length")),
            n => Ok(n),
        }
    }

    /// How tokens are routed, if the model has experts.
    pub fn experts(&self) -> Result<Option<ExpertRouting>, Error> {
        let Some(count) = self.keys.opt_number("expert_count")?.filter(|&n| n > 0) else {
            return Ok(None);
        };
        let used = self.keys.count("expert_used_count")?;
        if used > count {
            return Err(self.keys.wrong(
                "expert_used_count",
                format!("is {used}, more than the {count} experts"),
            ));
        }
        Ok(Some(ExpertRouting { count, used }))
    }

    /// A router (`ffn_gate_inp`) over stacks of gated experts (`ffn_gate_exps`, `ffn_up_exps`, `ffn_down_exps`).
    pub fn mixture_of_experts(
        &mut self,
        layer: usize,
        routing: ExpertRouting,
        activation: Activation,
    ) -> Result<Box<dyn Layer>, Error> {
        let width = self.hparams.embedding_length;
        let hidden = match self.keys.opt_count("expert_feed_forward_length")? {
            Some(n) => n,
            None => self.feed_forward_length(layer)?,
        };
        let name = |part: &str| format!("blk.{layer}.{part}.weight");
        Ok(Box::new(MixtureOfExperts {
            router: self.linear(&format!("blk.{layer}.ffn_gate_inp"), width, routing.count)?,
            gate: self.tensor(&name("ffn_gate_exps"), &[width, hidden, routing.count])?,
            up: self.tensor(&name("ffn_up_exps"), &[width, hidden, routing.count])?,
            down: self.tensor(&name("ffn_down_exps"), &[hidden, width, routing.count])?,
            routing,
            activation,
        }))
    }

    /// Everything that was added, between `token_embd` and `output_norm`, `output` (or `token_embd` again, where the file
    /// has no `output`).
    pub fn decoder(&mut self) -> Result<Decoder, Error> {
        let HParams {
            embedding_length: width,
            vocab_size,
            ..
        } = self.hparams;
        let embedding = self.embedding()?;
        let output = match self.gguf.tensor("output.weight") {
            Some(_) => self.linear("output", width, vocab_size)?,
            None => Linear {
                weight: embedding,
                bias: None,
            },
        };
        Ok(Decoder {
            embedding,
            embedding_scale: self.embedding_scale,
            blocks: std::mem::take(&mut self.blocks),
            norm: self.norm_of("output_norm.weight", width)?,
            output,
            logit_softcap: self.logit_softcap,
            ropes: std::mem::take(&mut self.ropes),
            caches: std::mem::take(&mut self.caches),
        })
    }

    /// The matrix of embeddings: asked for first, since its shape shows best if the metadata belong to these tensors.
    fn embedding(&mut self) -> Result<Tensor, Error> {
        self.tensor(
            "token_embd.weight",
            &[self.hparams.embedding_length, self.hparams.vocab_size],
        )
    }

    /// Names of the tensors that nothing has asked for.
    pub(crate) fn unused(&self) -> Vec<String> {
        let tensors = self.gguf.tensors().iter().zip(&self.used);
        tensors
            .filter(|(_, used)| !**used)
            .map(|(tensor, _)| tensor.name().to_string())
            .collect()
    }

    fn linear(&mut self, name: &str, cols: usize, rows: usize) -> Result<Linear, Error> {
        let weight = self.tensor(&format!("{name}.weight"), &[cols, rows])?;
        Ok(Linear {
            weight,
            bias: self.opt_vector(&format!("{name}.bias"), rows)?,
        })
    }

    fn find(&mut self, name: &str) -> Option<(usize, &'a TensorInfo)> {
        let index = *self.names.get(name)?;
        self.used[index] = true;
        Some((index, &self.gguf.tensors()[index]))
    }

    fn missing(&self, name: &str) -> Error {
        Error::MissingTensor {
            name: name.to_string(),
            architecture: self.architecture.name,
        }
    }

    fn tensor(&mut self, name: &str, shape: &[usize]) -> Result<Tensor, Error> {
        let (index, info) = self.find(name).ok_or_else(|| self.missing(name))?;
        check_shape(info, shape)?;
        let kind = info.tensor_type();
        let Some(quant) = quant(kind.id()) else {
            return Err(Error::TensorType {
                name: name.to_string(),
                kind: kind.name().to_string(),
            });
        };
        let (cols, rows) = (shape[0], shape[1]);
        let bytes = cols / quant.block_elements() * quant.block_bytes() * rows;
        Ok(Tensor {
            index,
            quant,
            rows,
            cols,
            bytes,
        })
    }

    fn vector(&mut self, name: &str, len: usize) -> Result<Vec<f32>, Error> {
        self.opt_vector(name, len)?
            .ok_or_else(|| self.missing(name))
    }

    /// Norm weights and biases are a few values, so they are unpacked once.
    fn opt_vector(&mut self, name: &str, len: usize) -> Result<Option<Vec<f32>>, Error> {
        let Some((_, info)) = self.find(name) else {
            return Ok(None);
        };
        check_shape(info, &[len])?;
        let kind = info.tensor_type();
        let Some(quant) = quant(kind.id()) else {
            return Err(Error::TensorType {
                name: name.to_string(),
                kind: kind.name().to_string(),
            });
        };
        let mut values = vec![0.0; len];
        quant.dequantize(self.gguf.data(info), &mut values);
        Ok(Some(values))
    }
}

/// Trailing dimensions of 1 don't count.
fn check_shape(info: &TensorInfo, shape: &[usize]) -> Result<(), Error> {
    let found = info.dims();
    let at = |dims: &[u64], i: usize| dims.get(i).copied().unwrap_or(1);
    let expected: Vec<u64> = shape.iter().map(|&d| d as u64).collect();
    if (0..found.len().max(expected.len())).all(|i| at(found, i) == at(&expected, i)) {
        return Ok(());
    }
    let text = |dims: &[u64]| {
        dims.iter()
            .map(u64::to_string)
            .collect::<Vec<_>>()
            .join(" x ")
    };
    Err(Error::TensorShape {
        name: info.name().to_string(),
        expected: text(&expected),
        found: text(found),
    })
}
