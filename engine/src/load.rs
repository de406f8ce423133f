//! Takes handles to tensors from a file: each is looked up by name and checked against the shape that the part asking for
//! it expects. Norm weights and biases, a few values, are unpacked at once.
//! Flows in: a file, and the metadata of its architecture. Flows out: [`Linear`], [`Tensor`], [`Norm`], and a refusal
//! if there are tensors that nothing has asked for.

use std::collections::HashMap;

use gristmill_gguf::{Gguf, TensorInfo};

use crate::adapter::Adapters;
use crate::cache::{CacheId, CacheShape, FixedId, FixedShape};
use crate::error::Error;
use crate::hparams::{HParams, Keys};
use crate::layers::{Linear, Mixer, Norm, NormKind, Rope, Tensor, kernel};

/// Something that an architecture is made of: it knows its own keys and tensors, and is the only place that does.
pub trait Part {
    /// Takes what it needs from one layer of the file.
    fn load(self, at: &mut LayerTensors<'_, '_>) -> Result<Box<dyn Mixer>, Error>;
}

/// A file's tensors, and what was taken of them.
pub struct Loader<'a> {
    /// The architecture's metadata.
    pub keys: Keys<'a>,
    /// The shape of the model.
    pub hparams: HParams,
    /// How the model's norms are computed.
    pub norms: NormKind,
    /// Whether a position is blind for what follows it (`attention.causal`).
    pub causal: bool,
    /// Rotations, by [`RopeId`](crate::layers::RopeId).
    pub(crate) ropes: Vec<Rope>,
    /// States of the layers, by [`CacheId`].
    pub(crate) caches: Vec<CacheShape>,
    /// States of recurrent layers, by [`FixedId`].
    pub(crate) fixed: Vec<FixedShape>,
    /// Which layers have which caches.
    cached: Vec<(usize, CacheId)>,
    gguf: &'a Gguf,
    architecture: &'static str,
    names: HashMap<&'a str, usize>,
    used: Vec<bool>,
    adapters: Adapters,
    /// f32 values of scratch that adapters need for a row, by the layer of the tensor.
    adapted: HashMap<String, usize>,
}

impl<'a> Loader<'a> {
    pub(crate) fn new(
        gguf: &'a Gguf,
        architecture: &'static str,
        adapters: Adapters,
    ) -> Result<Self, Error> {
        let keys = Keys::new(gguf.metadata(), architecture);
        let names = gguf.tensors().iter().enumerate();
        Ok(Self {
            hparams: HParams::read(gguf, &keys)?,
            keys,
            norms: NormKind::Rms,
            causal: keys.opt_bool("attention.causal")?.unwrap_or(true),
            ropes: Vec::new(),
            caches: Vec::new(),
            fixed: Vec::new(),
            cached: Vec::new(),
            gguf,
            architecture,
            names: names.map(|(i, t)| (t.name(), i)).collect(),
            used: vec![false; gguf.tensors().len()],
            adapters,
            adapted: HashMap::new(),
        })
    }

    /// Positions of the training before the context was stretched (`rope.scaling.original_context_length`).
    pub fn original_context(&self) -> Result<usize, Error> {
        let key = "rope.scaling.original_context_length";
        let length = self.keys.opt_count(key)?;
        Ok(length.unwrap_or(self.hparams.context_length))
    }

    /// Values of a query or key head (`attention.key_length`, else the width's share of a head).
    pub fn head_length(&self) -> Result<usize, Error> {
        if let Some(length) = self.keys.opt_count("attention.key_length")? {
            return Ok(length);
        }
        let key = "attention.head_count";
        let heads = self.keys.per_layer(key, self.hparams.block_count)?;
        let heads = heads.ok_or_else(|| self.keys.missing(key))?.max();
        match self.hparams.embedding_length {
            width if heads > 0 && width.is_multiple_of(heads) => Ok(width / heads),
            width => Err(self.keys.wrong(
                key,
                format!("{heads} does not divide embedding_length {width}"),
            )),
        }
    }

    /// The tensors of one layer.
    pub fn layer(&mut self, layer: usize) -> LayerTensors<'_, 'a> {
        LayerTensors {
            loader: self,
            layer,
        }
    }

    /// Takes note of what any architecture's file may hold beside the text model: encoders of pictures and sound with
    /// their projections, and blocks behind the last one that only guess further tokens.
    pub(crate) fn ignore_what_is_not_for_text(&mut self) {
        for beginning in ["v.", "a.", "mm."] {
            self.ignore(beginning);
        }
        let HParams {
            block_count,
            guessing_blocks,
            ..
        } = self.hparams;
        // Some files have such blocks and do not say so; what belongs to them alone gives them away.
        let behind = |name: &str| {
            let (number, _) = name.strip_prefix("blk.")?.split_once(".nextn.")?;
            let number: usize = number.parse().ok()?;
            (number >= block_count).then_some(number)
        };
        let mut guessing: Vec<usize> = self.names.keys().filter_map(|name| behind(name)).collect();
        guessing.extend(block_count..block_count + guessing_blocks);
        guessing.sort_unstable();
        guessing.dedup();
        for number in guessing {
            self.ignore(&format!("blk.{number}."));
        }
    }

    /// Refuses files, the model's or an adapter's, with tensors that nothing has asked for.
    pub(crate) fn refuse_unused(&self) -> Result<(), Error> {
        let tensors = self.gguf.tensors().iter().zip(&self.used);
        let unused = tensors.filter(|(_, used)| !**used);
        let names: Vec<String> = unused.map(|(t, _)| t.name().to_string()).collect();
        if names.is_empty() {
            return self.adapters.refuse_unused();
        }
        Err(Error::UnusedTensors {
            names,
            architecture: self.architecture,
        })
    }

    /// Takes note that tensors whose names begin so have no part in what is computed here.
    pub fn ignore(&mut self, beginning: &str) {
        for (tensor, used) in self.gguf.tensors().iter().zip(&mut self.used) {
            *used |= tensor.name().starts_with(beginning);
        }
    }

    /// Whether the file has a tensor.
    pub fn has(&self, name: &str) -> bool {
        self.names.contains_key(name)
    }

    /// A tensor's dimensions, row length first.
    pub fn dims(&self, name: &str) -> Option<&'a [u64]> {
        let index = *self.names.get(name)?;
        Some(self.gguf.tensors()[index].dims())
    }

    /// `{name}.weight`, and `{name}.bias` if the file has it.
    pub fn linear(&mut self, name: &str, cols: usize, rows: usize) -> Result<Linear, Error> {
        let weight = self.tensor(&format!("{name}.weight"), &[cols, rows])?;
        Ok(Linear {
            weight,
            bias: self.opt_vector(&format!("{name}.bias"), rows)?,
        })
    }

    /// A norm of the model's kind over rows of `width`: `{name}.weight`, and `{name}.bias` if the file has it.
    pub fn norm(&mut self, name: &str, width: usize) -> Result<Norm, Error> {
        self.norm_of(self.norms, name, width)
    }

    /// As [`norm`](Self::norm), of a kind.
    pub fn norm_of(&mut self, kind: NormKind, name: &str, width: usize) -> Result<Norm, Error> {
        // Some files leave the ending out.
        let weight = match self.opt_vector(name, width)? {
            Some(weight) => weight,
            None => self.vector(&format!("{name}.weight"), width)?,
        };
        Ok(Norm {
            weight: Some(weight),
            bias: self.opt_vector(&format!("{name}.bias"), width)?,
            ..self.plain_norm(kind, width)?
        })
    }

    /// A norm without weights.
    pub fn plain_norm(&self, kind: NormKind, width: usize) -> Result<Norm, Error> {
        Ok(Norm {
            kind,
            width,
            weight: None,
            bias: None,
            epsilon: self.keys.not_negative(kind.epsilon_key())?,
        })
    }

    /// A matrix of `shape` = columns and rows, or a stack of them, whose number is the third.
    pub fn tensor(&mut self, name: &str, shape: &[usize]) -> Result<Tensor, Error> {
        self.adapted_tensor(name, shape, false)
    }

    /// A matrix whose rows are looked up.
    pub fn table(&mut self, name: &str, shape: &[usize]) -> Result<Tensor, Error> {
        self.adapted_tensor(name, shape, true)
    }

    fn adapted_tensor(
        &mut self,
        name: &str,
        shape: &[usize],
        lookup: bool,
    ) -> Result<Tensor, Error> {
        let (index, info) = self.find(name).ok_or_else(|| self.missing(name))?;
        check_shape(info, shape)?;
        let tensor = Tensor::new(index, kernel(info)?, shape[0], shape[1]);
        let tensor = tensor.adapted(self.adapters.of(name, lookup)?);
        if tensor.is_adapted() {
            let layer = name.splitn(3, '.').take(2).collect();
            *self.adapted.entry(layer).or_default() += tensor.adapted_values();
        }
        Ok(tensor)
    }

    /// f32 values of scratch for a row: products of the same layer may be added to together.
    pub(crate) fn adapted_values(&self) -> usize {
        self.adapted.values().copied().max().unwrap_or(0)
    }

    /// A vector of `len` values.
    pub fn vector(&mut self, name: &str, len: usize) -> Result<Vec<f32>, Error> {
        self.opt_vector(name, len)?
            .ok_or_else(|| self.missing(name))
    }

    /// A vector of `len` values, if the file has it.
    pub fn opt_vector(&mut self, name: &str, len: usize) -> Result<Option<Vec<f32>>, Error> {
        self.opt_values(name, &[len])
    }

    /// The values of a small tensor, if the file has it.
    pub fn opt_values(&mut self, name: &str, shape: &[usize]) -> Result<Option<Vec<f32>>, Error> {
        let Some((_, info)) = self.find(name) else {
            return Ok(None);
        };
        check_shape(info, shape)?;
        let mut values = vec![0.0; shape.iter().product()];
        kernel(info)?.dequantize(self.gguf.data(info), &mut values);
        self.adapters.add_to(name, shape, &mut values)?;
        Ok(Some(values))
    }

    fn find(&mut self, name: &str) -> Option<(usize, &'a TensorInfo)> {
        let index = *self.names.get(name)?;
        self.used[index] = true;
        Some((index, &self.gguf.tensors()[index]))
    }

    /// The error of a tensor that is not there.
    pub fn missing(&self, name: &str) -> Error {
        Error::MissingTensor {
            name: name.to_string(),
            architecture: self.architecture,
        }
    }
}

/// The tensors `blk.{layer}.…`; names are given without that beginning.
pub struct LayerTensors<'l, 'a> {
    /// All of the file.
    pub loader: &'l mut Loader<'a>,
    /// The layer's number.
    pub layer: usize,
}

impl<'a> LayerTensors<'_, 'a> {
    fn full(&self, name: &str) -> String {
        format!("blk.{}.{name}", self.layer)
    }

    /// The architecture's metadata.
    pub fn keys(&self) -> Keys<'a> {
        self.loader.keys
    }

    /// Width of the residual stream.
    pub fn width(&self) -> usize {
        self.loader.hparams.embedding_length
    }

    /// A key's number for this layer: one for all, or an element of an array with one for each.
    pub fn number(&self, key: &str) -> Result<Option<usize>, Error> {
        let blocks = self.loader.hparams.block_count;
        let numbers = self.keys().per_layer(key, blocks)?;
        Ok(numbers.map(|numbers| numbers.get(self.layer)))
    }

    /// As [`number`](Self::number), at least 1.
    pub fn count(&self, key: &str) -> Result<usize, Error> {
        match self.number(key)? {
            Some(n) if n > 0 => Ok(n),
            _ => Err(self.keys().missing(key)),
        }
    }

    /// See [`Loader::has`].
    pub fn has(&self, name: &str) -> bool {
        self.loader.has(&self.full(name))
    }

    /// See [`Loader::dims`].
    pub fn dims(&self, name: &str) -> Option<&'a [u64]> {
        self.loader.dims(&self.full(name))
    }

    /// See [`Loader::linear`].
    pub fn linear(&mut self, name: &str, cols: usize, rows: usize) -> Result<Linear, Error> {
        let name = self.full(name);
        self.loader.linear(&name, cols, rows)
    }

    /// See [`Loader::tensor`].
    pub fn tensor(&mut self, name: &str, shape: &[usize]) -> Result<Tensor, Error> {
        let name = self.full(name);
        self.loader.tensor(&name, shape)
    }

    /// See [`Loader::vector`].
    pub fn vector(&mut self, name: &str, len: usize) -> Result<Vec<f32>, Error> {
        let name = self.full(name);
        self.loader.vector(&name, len)
    }

    /// See [`Loader::opt_vector`].
    pub fn opt_vector(&mut self, name: &str, len: usize) -> Result<Option<Vec<f32>>, Error> {
        let name = self.full(name);
        self.loader.opt_vector(&name, len)
    }

    /// See [`Loader::opt_values`].
    pub fn opt_values(&mut self, name: &str, shape: &[usize]) -> Result<Option<Vec<f32>>, Error> {
        let name = self.full(name);
        self.loader.opt_values(&name, shape)
    }

    /// See [`Loader::norm`].
    pub fn norm(&mut self, name: &str, width: usize) -> Result<Norm, Error> {
        let name = self.full(name);
        self.loader.norm(&name, width)
    }

    /// The error of a tensor that is not there.
    pub fn missing(&self, name: &str) -> Error {
        self.loader.missing(&self.full(name))
    }

    /// See [`Loader::ignore`].
    pub fn ignore(&mut self, beginning: &str) {
        let beginning = self.full(beginning);
        self.loader.ignore(&beginning);
    }

    /// Keys and values of the past, which this layer will write.
    pub fn cache(&mut self, shape: CacheShape) -> CacheId {
        self.loader.caches.push(shape);
        let id = CacheId(self.loader.caches.len() - 1);
        self.loader.cached.push((self.layer, id));
        id
    }

    /// Keys and values of the past that another layer writes, which must be of this shape.
    pub fn cache_of(&self, layer: usize, shape: CacheShape) -> Result<CacheId, Error> {
        let mut cached = self.loader.cached.iter().rev();
        match cached.find(|(of, _)| *of == layer) {
            Some(&(_, id)) if self.loader.caches[id.0] == shape => Ok(id),
            _ => Err(self.keys().wrong(
                "attention.shared_kv_layers",
                format!(
                    "layer {} can't read the keys and values of layer {layer}",
                    self.layer
                ),
            )),
        }
    }

    /// A state of one size, in `parts` of `values`.
    pub fn fixed(&mut self, parts: usize, values: usize) -> FixedId {
        self.loader.fixed.push(FixedShape { parts, values });
        FixedId(self.loader.fixed.len() - 1)
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
