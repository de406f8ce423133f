//! Hyper-parameters: the metadata keys that fix a model's shape, read with checks.
//! Flows in: a file's metadata. Flows out: [`HParams`], the numbers that all architectures share, and [`Keys`], through
//! which an architecture reads what is its own. Every refusal names the key.

use gristmill_gguf::{Gguf, Metadata, Value};

use crate::error::Error;

/// No count of a real model comes near this; products of two such counts fit in 64 bits.
const LARGEST_COUNT: u64 = 1 << 31;

/// A number that is the same in all layers, or given layer by layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PerLayer {
    /// One for all.
    Same(usize),
    /// One for each.
    Each(Vec<usize>),
}

impl PerLayer {
    /// The number of one layer.
    pub fn get(&self, layer: usize) -> usize {
        match self {
            Self::Same(n) => *n,
            Self::Each(numbers) => numbers.get(layer).copied().unwrap_or(0),
        }
    }

    /// The largest of all.
    pub fn max(&self) -> usize {
        match self {
            Self::Same(n) => *n,
            Self::Each(numbers) => numbers.iter().copied().max().unwrap_or(0),
        }
    }
}

/// The numbers that fix a decoder's shape.
#[derive(Debug, Clone)]
pub struct HParams {
    /// Positions the model was trained for (`context_length`).
    pub context_length: usize,
    /// Width of the residual stream (`embedding_length`).
    pub embedding_length: usize,
    /// Number of blocks (`block_count`), those left aside that only guess further tokens (`nextn_predict_layers`).
    pub block_count: usize,
    /// Number of those that only guess further tokens.
    pub guessing_blocks: usize,
    /// Number of tokens (of `tokenizer.ggml.tokens`, else `vocab_size`).
    pub vocab_size: usize,
}

impl HParams {
    /// Reads the keys of an architecture.
    pub fn read(gguf: &Gguf, keys: &Keys<'_>) -> Result<Self, Error> {
        let embedding_length = keys.count("embedding_length")?;
        let block_count = keys.count("block_count")?;
        if block_count > gguf.tensors().len() {
            let found = gguf.tensors().len();
            return Err(keys.wrong(
                "block_count",
                format!("{block_count} blocks, but the file has only {found} tensors"),
            ));
        }
        let guessing_blocks = keys.opt_number("nextn_predict_layers")?.unwrap_or(0);
        if guessing_blocks >= block_count {
            return Err(keys.wrong(
                "nextn_predict_layers",
                format!("is {guessing_blocks}, and must be less than the {block_count} blocks"),
            ));
        }
        Ok(Self {
            context_length: keys.count("context_length")?,
            embedding_length,
            block_count: block_count - guessing_blocks,
            guessing_blocks,
            vocab_size: vocab_size(gguf, keys)?,
        })
    }
}

/// The tokenizer's list counts, where there is one; it must be a list of strings even if no tokenizer is ever built.
fn vocab_size(gguf: &Gguf, keys: &Keys<'_>) -> Result<usize, Error> {
    const TOKENS: &str = "tokenizer.ggml.tokens";
    if gguf.metadata().contains(TOKENS) {
        return Ok(gguf.metadata().strings(TOKENS)?.len());
    }
    keys.count("vocab_size")
}

/// The metadata of one architecture: names are given without its prefix.
#[derive(Debug, Clone, Copy)]
pub struct Keys<'a> {
    metadata: &'a Metadata,
    prefix: &'static str,
}

impl<'a> Keys<'a> {
    /// Keys that begin with `prefix` and a dot.
    pub fn new(metadata: &'a Metadata, prefix: &'static str) -> Self {
        Self { metadata, prefix }
    }

    /// The key in full.
    pub fn full(&self, name: &str) -> String {
        format!("{}.{name}", self.prefix)
    }

    /// An error about a key.
    pub fn wrong(&self, name: &str, problem: String) -> Error {
        Error::Metadata {
            key: self.full(name),
            problem,
        }
    }

    /// The error of a key that is not there.
    pub fn missing(&self, name: &str) -> Error {
        self.wrong(name, "is missing, and the architecture needs it".into())
    }

    /// Whether the file has the key.
    pub fn contains(&self, name: &str) -> bool {
        self.metadata.contains(&self.full(name))
    }

    /// A number of things, at least 1.
    pub fn count(&self, name: &str) -> Result<usize, Error> {
        self.opt_count(name)?.ok_or_else(|| self.missing(name))
    }

    /// A number of things, at least 1, if the key is there.
    pub fn opt_count(&self, name: &str) -> Result<Option<usize>, Error> {
        match self.metadata.opt_u64(&self.full(name))? {
            None => Ok(None),
            Some(n @ 1..=LARGEST_COUNT) => Ok(Some(n as usize)),
            Some(n) => Err(self.wrong(name, format!("is {n}, and must be 1 to {LARGEST_COUNT}"))),
        }
    }

    /// A number that may be zero, if the key is there.
    pub fn opt_number(&self, name: &str) -> Result<Option<usize>, Error> {
        match self.metadata.opt_u64(&self.full(name))? {
            Some(n) if n > LARGEST_COUNT => {
                Err(self.wrong(name, format!("is {n}, and must be at most {LARGEST_COUNT}")))
            }
            n => Ok(n.map(|n| n as usize)),
        }
    }

    /// A number for all layers or an array with one for each, if the key is there. Zeros are allowed in arrays only.
    pub fn per_layer(&self, name: &str, layers: usize) -> Result<Option<PerLayer>, Error> {
        if !self.is_array(name) {
            return Ok(self.opt_count(name)?.map(PerLayer::Same));
        }
        let numbers = self.each_layer(name, layers)?;
        match numbers.iter().find(|&&n| u64::from(n) > LARGEST_COUNT) {
            Some(n) => Err(self.wrong(
                name,
                format!("contains {n}, and must be at most {LARGEST_COUNT}"),
            )),
            None => Ok(Some(PerLayer::Each(
                numbers.iter().map(|&n| n as usize).collect(),
            ))),
        }
    }

    fn is_array(&self, name: &str) -> bool {
        matches!(self.metadata.get(&self.full(name)), Some(Value::Array(_)))
    }

    /// Integers, or truth values as 1 and 0.
    fn each_layer(&self, name: &str, layers: usize) -> Result<Vec<u32>, Error> {
        self.metadata
            .opt_u32_per_layer(&self.full(name), layers)?
            .ok_or_else(|| self.missing(name))
    }

    /// Four numbers, those that the array lacks being zero; `None` if the key is not there or all of them are zero.
    pub fn opt_four(&self, name: &str) -> Result<Option<[usize; 4]>, Error> {
        let Some(numbers) = self.metadata.opt_u32s(&self.full(name))? else {
            return Ok(None);
        };
        if numbers.len() > 4 || numbers.iter().any(|&n| u64::from(n) > LARGEST_COUNT) {
            let problem = format!("must be up to four numbers of at most {LARGEST_COUNT}");
            return Err(self.wrong(name, problem));
        }
        let mut four = [0; 4];
        four.iter_mut()
            .zip(numbers.iter())
            .for_each(|(to, &n)| *to = n as usize);
        Ok(Some(four).filter(|four| *four != [0; 4]))
    }

    /// A finite number.
    pub fn f32(&self, name: &str) -> Result<f32, Error> {
        self.opt_f32(name)?.ok_or_else(|| self.missing(name))
    }

    /// A finite number that is not negative.
    pub fn not_negative(&self, name: &str) -> Result<f32, Error> {
        match self.f32(name)? {
            x if x < 0.0 => Err(self.wrong(name, format!("is {x}, and must not be negative"))),
            x => Ok(x),
        }
    }

    /// A finite number, if the key is there.
    pub fn opt_f32(&self, name: &str) -> Result<Option<f32>, Error> {
        match self.metadata.opt_f32(&self.full(name))? {
            Some(x) if !x.is_finite() => {
                Err(self.wrong(name, format!("is {x}, and must be a finite number")))
            }
            x => Ok(x),
        }
    }

    /// A number for each layer, one for all of them repeated; zeros if the key is not there.
    pub fn f32_per_layer(&self, name: &str, layers: usize) -> Result<Vec<f32>, Error> {
        if !self.is_array(name) {
            return Ok(vec![self.opt_f32(name)?.unwrap_or(0.0); layers]);
        }
        let numbers = self.metadata.f32s(&self.full(name))?;
        if numbers.len() < layers || numbers.iter().any(|x| !x.is_finite()) {
            let problem = format!("must be {layers} finite numbers");
            return Err(self.wrong(name, problem));
        }
        Ok(numbers.to_vec())
    }

    /// A truth value, if the key is there.
    pub fn opt_bool(&self, name: &str) -> Result<Option<bool>, Error> {
        Ok(self.metadata.opt_bool(&self.full(name))?)
    }

    /// A text, if the key is there.
    pub fn opt_string(&self, name: &str) -> Result<Option<&'a str>, Error> {
        Ok(self.metadata.opt_string(&self.full(name))?)
    }
}

/// Which layers have a property, by their place in a period or one by one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pattern {
    /// All but every n-th layer; with 0, all.
    ButEvery(usize),
    /// All but the first of every n layers; with 0, all.
    ButFirstOf(usize),
    /// Layer by layer.
    Each(Vec<bool>),
}

impl Pattern {
    /// The first layer of a period in place of its last one.
    pub fn first_for_last(self) -> Self {
        match self {
            Self::ButEvery(n) => Self::ButFirstOf(n),
            other => other,
        }
    }

    /// Whether a layer has it.
    pub fn contains(&self, layer: usize) -> bool {
        match self {
            Self::ButEvery(0) | Self::ButFirstOf(0) => true,
            Self::ButEvery(n) => layer % n != n - 1,
            Self::ButFirstOf(n) => !layer.is_multiple_of(*n),
            Self::Each(layers) => layers.get(layer).copied().unwrap_or(false),
        }
    }
}

impl Keys<'_> {
    /// A pattern over the layers: a period n, after which one layer lacks the property, or an array with a truth value
    /// (or 1 and 0) for each layer.
    pub fn pattern(&self, name: &str, layers: usize, default: usize) -> Result<Pattern, Error> {
        if !self.is_array(name) {
            return Ok(Pattern::ButEvery(self.opt_number(name)?.unwrap_or(default)));
        }
        let each = self.each_layer(name, layers)?;
        Ok(Pattern::Each(each.into_iter().map(|n| n != 0).collect()))
    }
}
