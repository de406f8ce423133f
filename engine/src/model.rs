//! An opened model: the file's views, checked against what its architecture needs. Weights are neither copied nor
//! converted; any number of contexts share one model.
//! Flows in: a GGUF file. Flows out: what engines and contexts are made of.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use gristmill_gguf::{Access, Gguf};

use crate::adapter::{Adapter, AdapterOptions, Adapters};
use crate::arch::{self, Architecture, Builder};
use crate::error::Error;
use crate::hparams::HParams;
use crate::layers::{Cost, Decoder};
use crate::template::ChatTemplate;
use crate::tokenizer::Tokenizer;

/// How to open a model.
#[derive(Debug, Clone, Default)]
pub struct ModelOptions {
    /// Read the files into memory instead of mapping them.
    pub no_mmap: bool,
    /// LoRA adapters to run it with.
    pub adapters: Vec<AdapterOptions>,
}

impl ModelOptions {
    /// How files are read.
    pub fn access(&self) -> Access {
        match self.no_mmap {
            true => Access::Read,
            false => Access::Map,
        }
    }
}

/// A model, shared by its contexts.
pub struct Model {
    pub(crate) gguf: Gguf,
    /// Files of adapters, and their scales.
    adapters: Vec<(Arc<Gguf>, f32)>,
    pub(crate) decoder: Decoder,
    architecture: &'static Architecture,
    hparams: HParams,
    tokenizer: OnceLock<Tokenizer>,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model")
            .field("architecture", &self.architecture)
            .field("hparams", &self.hparams)
            .finish()
    }
}

impl Model {
    /// Opens a GGUF file (of a split model: its first part) and checks every tensor. One that
    /// its architecture does not use is refused ([`Error::UnusedTensors`]): it could change what comes out.
    pub fn open(path: impl AsRef<Path>, options: &ModelOptions) -> Result<Arc<Model>, Error> {
        let access = options.access();
        let gguf = Gguf::open(path, access)?;
        let adapters = options.adapters.iter();
        let adapters = adapters.map(|adapter| adapter.open(access));
        Self::with_adapters(gguf, adapters.collect::<Result<_, Error>>()?)
    }

    /// The model in a GGUF file that is open already.
    pub fn from_gguf(gguf: Gguf) -> Result<Arc<Model>, Error> {
        Self::with_adapters(gguf, Vec::new())
    }

    /// The same with adapters, and the factor on what each adds. One that is not for this model is refused, or that
    /// adds to a tensor without a use ([`Error::Adapter`]).
    pub fn with_adapters(gguf: Gguf, adapters: Vec<(Adapter, f32)>) -> Result<Arc<Model>, Error> {
        if Adapter::is_adapter(gguf.metadata()) {
            return Err(Error::Unsupported(
                "the file is an adapter, not a model: give it with --lora, beside the model that it is for".into(),
            ));
        }
        let architecture = arch::architecture(gguf.metadata().architecture()?)?;
        let adapters = Adapters::new(&gguf, adapters)?;
        let files = adapters.files();
        let mut builder = Builder::new(&gguf, architecture, adapters)?;
        (architecture.build)(&mut builder)?;
        let (decoder, hparams) = builder.finish()?;
        Ok(Arc::new(Model {
            gguf,
            adapters: files,
            decoder,
            architecture,
            hparams,
            tokenizer: OnceLock::new(),
        }))
    }

    /// The file.
    pub fn gguf(&self) -> &Gguf {
        &self.gguf
    }

    /// The files of the adapters it runs with, and the factor on what each adds.
    pub fn adapters(&self) -> impl ExactSizeIterator<Item = (&Gguf, f32)> {
        self.adapters.iter().map(|(file, scale)| (&**file, *scale))
    }

    /// Fails if a mapped file, the model's or an adapter's, was written to since it was opened.
    pub(crate) fn check_unchanged(&self) -> Result<(), gristmill_gguf::Error> {
        self.gguf.check_unchanged()?;
        self.adapters
            .iter()
            .try_for_each(|(file, _)| file.check_unchanged())
    }

    /// Its file, and those of its adapters.
    pub(crate) fn files(&self) -> impl Iterator<Item = &Gguf> {
        let adapters = self.adapters.iter().map(|(file, _)| &**file);
        std::iter::once(&self.gguf).chain(adapters)
    }

    /// Bytes of all its files.
    pub(crate) fn file_bytes(&self) -> u64 {
        let adapters = self.adapters.iter().map(|(file, _)| file.file_bytes());
        self.gguf.file_bytes() + adapters.sum::<u64>()
    }

    /// What `general.architecture` names.
    pub fn architecture(&self) -> &'static Architecture {
        self.architecture
    }

    /// The numbers that fix the model's shape.
    pub fn hparams(&self) -> &HParams {
        &self.hparams
    }

    /// Number of tokens in the vocabulary: the length of a row of logits.
    pub fn vocab_size(&self) -> usize {
        self.hparams.vocab_size
    }

    /// Positions the model was trained for (`{architecture}.context_length`).
    pub fn trained_context(&self) -> usize {
        self.hparams.context_length
    }

    /// The tokenizer, built at its first use: a model with an unknown one still runs on token ids.
    pub fn tokenizer(&self) -> Result<&Tokenizer, Error> {
        if let Some(tokenizer) = self.tokenizer.get() {
            return Ok(tokenizer);
        }
        let tokenizer = Tokenizer::from_metadata(self.gguf.metadata())?;
        Ok(self.tokenizer.get_or_init(|| tokenizer))
    }

    /// The model's own chat template, if it has one.
    pub fn chat_template(&self) -> Result<Option<ChatTemplate>, Error> {
        let metadata = self.gguf.metadata();
        if metadata.opt_string(ChatTemplate::KEY)?.is_none() {
            return Ok(None);
        }
        ChatTemplate::from_metadata(metadata, self.tokenizer()?)
    }

    /// What a token costs whose logits are not asked for (all of a prompt but the last), and what is added for one whose
    /// logits are. Norms and the cache are left out: they are small beside the weights.
    pub fn cost(&self) -> (Cost, Cost) {
        self.decoder.cost()
    }

    /// Whether it makes embeddings alone: its positions see a whole text, so that there is no next token.
    pub fn is_encoder(&self) -> bool {
        !self.decoder.is_causal
    }
}
